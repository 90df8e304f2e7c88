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


def _same(volume: Any, dtype: Any) -> Any:
    """The number type asked for, else that of the volume (float32 for half precision, which is not written)."""
    if dtype is not None:
        return dtype
    return np.float32 if volume.dtype == np.float16 else volume.dtype


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


def difference_of_gaussians(
    volume: Any,
    low_sigma: Sequence[float] | float,
    high_sigma: Sequence[float] | float,
    *,
    spacing: Sequence[float] | float | None = None,
    truncate: float = 4.0,
    border: str = "reflect",
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """A narrow Gaussian less a wide one: bright blobs between the two in size, of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    low_sigma, high_sigma
        Standard deviations in micrometres, one for all axes or one for each of z, y and x; `high_sigma` at least
        `low_sigma` along each axis and more along one. For blobs of radius r, r / sqrt(3) / 1.26 and 1.6 times that.
    spacing, truncate, border, dtype, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError
        A sigma that is negative, not finite or in the wrong order; otherwise as `gaussian`.

    Notes
    -----
    Costs two Gaussians.
    """
    return _filter(
        "difference_of_gaussians",
        volume,
        spacing,
        dtype,
        memory,
        threads,
        progress,
        low_sigma=_triple("low_sigma", low_sigma),
        high_sigma=_triple("high_sigma", high_sigma),
        truncate=truncate,
        border=border,
    )


def gaussian_laplace(
    volume: Any,
    sigma: Sequence[float] | float,
    *,
    normalized: bool = False,
    spacing: Sequence[float] | float | None = None,
    truncate: float = 4.0,
    border: str = "reflect",
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Laplacian of a Gaussian of every time point and channel: most negative at bright blobs of radius sqrt(3) sigma.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    sigma
        Standard deviation in micrometres, one for all axes or one for each of z, y and x. 0 leaves an axis out: neither
        smoothed nor differentiated (planes by themselves).
    normalized
        Multiply each second derivative by its sigma squared, so that responses of different sizes compare (Lindeberg,
        Int. J. Comput. Vis. 30, 79, 1998). Otherwise the result is in intensity units per square micrometre.
    spacing, truncate, border, dtype, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError
        A sigma that is negative, not finite, 0 along all axes, or above 0 and too small for the voxels; otherwise as
        `gaussian`.

    Notes
    -----
    Equals ``scipy.ndimage.gaussian_laplace`` to float32 precision where voxels are one micrometre. Costs two Gaussians.
    """
    return _filter(
        "gaussian_laplace",
        volume,
        spacing,
        dtype,
        memory,
        threads,
        progress,
        sigma=_triple("sigma", sigma),
        normalized=normalized,
        truncate=truncate,
        border=border,
    )


def median(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Median of the neighbourhood of each voxel, of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes. Voxels are used as float32: exact up to 16 bits and below 2^24.
    radius
        Voxels whose centres lie within this many micrometres belong to the neighbourhood; one number for all axes or one
        for each of z, y and x. With voxels of one micrometre, 1 is a box of 3 x 3 x 3.
    form
        "box", or "ball": the ellipsoid that the radii span.
    dtype
        Number type of the result; that of the volume by default.
    spacing, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume. Volumes are mirrored at their borders.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius that is negative, not finite, above 500 voxels, or reaches no neighbour.
    zensaibo.errors.NonFiniteError
        NaN in the volume.

    Notes
    -----
    Equals ``scipy.ndimage.median_filter`` exactly. 3 x 3 x 3 voxels take 96 vectorised comparisons; others a sliding
    histogram (Huang et al., IEEE Trans. Acoust. Speech Signal Process. 27, 13, 1979), a time that grows with the square of the radius.
    """
    volume = open(volume)
    return _filter(
        "median",
        volume,
        spacing,
        _same(volume, dtype),
        memory,
        threads,
        progress,
        radius=_triple("radius", radius),
        form=form,
    )


def _morphology(
    operation: str,
    volume: Any,
    radius: Sequence[float] | float,
    form: str,
    spacing: Sequence[float] | float | None,
    dtype: Any,
    memory: int | str | None,
    threads: int | None,
    progress: bool | Progress | None,
) -> np.ndarray:
    volume = open(volume)
    return _filter(
        "morphology",
        volume,
        spacing,
        _same(volume, dtype),
        memory,
        threads,
        progress,
        operation=operation,
        radius=_triple("radius", radius),
        form=form,
    )


def erosion(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """The lowest voxel of each neighbourhood, of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes. Voxels are used as float32: exact up to 16 bits and below 2^24.
    radius
        Voxels whose centres lie within this many micrometres belong to the neighbourhood; one number for all axes or one
        for each of z, y and x.
    form
        "box", or "ball": the ellipsoid that the radii span.
    dtype
        Number type of the result; that of the volume by default.
    spacing, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume. Volumes are mirrored at their borders.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius that is negative, not finite, above 500 voxels, or reaches no neighbour.
    zensaibo.errors.NonFiniteError
        NaN in the volume.

    Notes
    -----
    Equals ``scipy.ndimage.grey_erosion`` exactly. Boxes take a time of log2(radius) for each axis; balls
    one comparison for each line along x of the neighbourhood.
    """
    return _morphology("erosion", volume, radius, form, spacing, dtype, memory, threads, progress)


def dilation(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """The highest voxel of each neighbourhood, of every time point and channel.

    Parameters
    ----------
    volume, radius, form, spacing, dtype, memory, threads, progress
        As in `erosion`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError, zensaibo.errors.NonFiniteError
        As `erosion`.

    Notes
    -----
    Equals ``scipy.ndimage.grey_dilation`` exactly.
    """
    return _morphology("dilation", volume, radius, form, spacing, dtype, memory, threads, progress)


def opening(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Erosion, then dilation: takes away what is bright and smaller than the neighbourhood.

    Parameters
    ----------
    volume, radius, form, spacing, dtype, memory, threads, progress
        As in `erosion`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError, zensaibo.errors.NonFiniteError
        As `erosion`.

    Notes
    -----
    Equals ``scipy.ndimage.grey_opening`` exactly. Costs an erosion and a dilation.
    """
    return _morphology("opening", volume, radius, form, spacing, dtype, memory, threads, progress)


def closing(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Dilation, then erosion: fills what is dark and smaller than the neighbourhood.

    Parameters
    ----------
    volume, radius, form, spacing, dtype, memory, threads, progress
        As in `erosion`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError, zensaibo.errors.NonFiniteError
        As `erosion`.

    Notes
    -----
    Equals ``scipy.ndimage.grey_closing`` exactly. Costs an erosion and a dilation.
    """
    return _morphology("closing", volume, radius, form, spacing, dtype, memory, threads, progress)


def white_tophat(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    form: str = "box",
    spacing: Sequence[float] | float | None = None,
    dtype: Any = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """The volume less its opening: keeps what is bright and smaller than the neighbourhood.

    Parameters
    ----------
    volume, radius, form, spacing, dtype, memory, threads, progress
        As in `erosion`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError, zensaibo.errors.NonFiniteError
        As `erosion`.

    Notes
    -----
    Equals ``scipy.ndimage.white_tophat`` exactly. Costs an erosion and a dilation.
    """
    return _morphology("white_tophat", volume, radius, form, spacing, dtype, memory, threads, progress)
