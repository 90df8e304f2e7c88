"""Filters: a voxel and its neighbourhood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ._volume import _spacing, _triple, open


def _filter(
    name: str,
    volume: Any,
    spacing: Sequence[float] | float | None,
    dtype: Any,
    memory: int | str | None,
    threads: int | None,
    progress: bool | Progress | None,
    **options: Any,
) -> np.ndarray:
    volume = open(volume)
    with reporting(progress) as callback:
        flat = _core.im_filter(
            volume._core,
            name,
            to_json(**options),
            _spacing(volume, spacing),
            np.dtype(dtype).name,
            to_bytes(memory),
            threads,
            callback,
        )
    return flat.reshape(volume.shape)


def gaussian(
    volume: Any,
    sigma: Sequence[float] | float,
    *,
    spacing: Sequence[float] | float | None = None,
    truncate: float = 4.0,
    border: str = "reflect",
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Gaussian smoothing of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    sigma
        Standard deviation in micrometres, one for all axes or one for each of z, y and x; 0 leaves an axis alone.
    spacing
        Micrometres per voxel; that of the volume by default, and 1 where it has none (lengths are then voxels).
    truncate
        Standard deviations at which the kernel is cut off.
    border
        What lies beyond the volume, in scipy's words: "reflect", "mirror", "nearest"; or "zero".
    dtype
        Number type of the result; whole numbers are rounded (ties to even) and saturated.
    memory
        Working memory in bytes or as text ("4GiB"), beside input and result; 2 GiB by default.
    threads
        Threads to use; all cores by default. They change the time and nothing else, as does `memory`.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError
        A sigma below 0 or not finite, a truncate that is not positive, a kernel of more than 10,000 voxels to a side.
    zensaibo.errors.LimitError
        The memory does not hold one block with its neighbours.

    Notes
    -----
    Equals ``scipy.ndimage.gaussian_filter`` to float32 precision. Time is linear in voxels times kernel lengths.
    """
    return _filter(
        "gaussian",
        volume,
        spacing,
        dtype,
        memory,
        threads,
        progress,
        sigma=_triple("sigma", sigma),
        truncate=truncate,
        border=border,
    )
