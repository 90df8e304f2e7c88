"""Volumes of fewer, or other, voxels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError
from ._filters import _same
from ._volume import Volume, _spacing, _triple, open


def downsample(
    volume: Any,
    factor: Sequence[int] | int = (2, 2, 2),
    *,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Volume:
    """Means over blocks of voxels, of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; read as float32, summed in float64.
    factor
        Voxels that become one, one number for all axes or one for each of z, y and x, each 1 to 1024.
    dtype
        Number type of the result, that of the volume by default; whole numbers are rounded (ties to even).
    memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    Volume
        In memory, with spacing and origin that fit. At the end of an axis, the mean is of the voxels that are left: none
        is dropped.

    Raises
    ------
    zensaibo.errors.ParameterError
        A factor that is not a whole number of 1 to 1024.

    Notes
    -----
    Equals ``skimage.measure.block_reduce(volume, factor, numpy.mean)`` where the factors divide the shape. Runs at the
    speed of memory.
    """
    volume = open(volume)
    factors = np.asarray(factor)
    if factors.ndim == 0:
        factors = np.repeat(factors, 3)
    if factors.shape != (3,) or factors.dtype.kind not in "iu" or factors.min() < 0:
        raise ParameterError(f"parameter `factor`: expected a whole number of 1 to 1024 or three (z, y, x), found {factor!r}")
    with reporting(progress) as callback:
        found = _core.im_downsample(
            volume._core,
            to_json(factor=factors),
            np.dtype(_same(volume, dtype)).name,
            to_bytes(memory),
            threads,
            callback,
        )
    return _described(volume, *found)


def resample(
    volume: Any,
    to: Sequence[float] | float,
    *,
    antialias: bool = True,
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Volume:
    """A volume at another spacing: smoothed where it becomes coarser, then interpolated linearly.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    to
        Micrometres per voxel of the result, one number for all axes or one for each of z, y and x.
    antialias
        Smooth an axis that becomes coarser by ratio r by a Gaussian with a standard deviation of (r - 1) / 2 voxels, so
        that fine structure does not come back as false coarse structure.
    spacing
        Micrometres per voxel of the volume; its own by default, and 1 where it has none.
    dtype
        Number type of the result, that of the volume by default; whole numbers are rounded (ties to even) and saturated.
    memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    Volume
        In memory, with spacing and origin that fit: the outer faces of the first voxels coincide. Its length along an
        axis is the old one times old spacing over new, rounded, at least 1.

    Raises
    ------
    zensaibo.errors.ParameterError
        Spacings that no microscope has.

    Notes
    -----
    Costs a Gaussian.
    """
    volume = open(volume)
    with reporting(progress) as callback:
        found = _core.im_resample(
            volume._core,
            to_json(to=_triple("to", to), antialias=antialias),
            _spacing(volume, spacing),
            np.dtype(_same(volume, dtype)).name,
            to_bytes(memory),
            threads,
            callback,
        )
    return _described(volume, *found)


def _described(
    volume: Volume,
    flat: np.ndarray,
    shape: Sequence[int],
    spacing: tuple[float, float, float] | None,
    origin: tuple[float, float, float],
) -> Volume:
    """An array as a volume that has what is known of another, and a spacing and origin of its own."""
    lengths = [n for axis, n in zip("tczyx", shape, strict=True) if axis in volume.axes]
    core, known = open(flat.reshape(lengths), axes=volume.axes)._core, volume._core
    return Volume(core.described(spacing, origin, known.time_step, known.orientation, known.channels))
