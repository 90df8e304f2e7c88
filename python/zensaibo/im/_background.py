"""Background: what is not signal, found and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ._filters import _filter
from ._volume import _spacing, _triple, open


def rolling_ball(
    volume: Any,
    radius: Sequence[float] | float,
    *,
    height: float | None = None,
    subtract: bool = False,
    spacing: Sequence[float] | float | None = None,
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Background under which a ball can be rolled, of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    radius
        Half axes of the ball in micrometres, one for all axes or one for each of z, y and x; larger than what shall not
        count as background. 0 along z rolls a disc over each plane by itself.
    height
        How many intensity units the ball's apex lies above its middle: smaller is flatter. By default the largest half axis
        in voxels, as scikit-image has it.
    subtract
        Give the volume less its background, in place of the background.
    spacing, dtype, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius that is negative, not finite, above 500 voxels, or reaches no neighbour; a height that is not positive.
    zensaibo.errors.NonFiniteError
        NaN in the volume.

    Notes
    -----
    Sternberg, Computer 16(1), 22, 1983. Equals ``skimage.restoration.rolling_ball`` with a ball or an ellipsoid to float32
    precision. Time grows with the voxels of the ball: for large ones, open (`opening`) or work on fewer voxels (`downsample`).
    """
    return _filter(
        "rolling_ball",
        volume,
        spacing,
        dtype,
        memory,
        threads,
        progress,
        radius=_triple("radius", radius),
        height=height,
        subtract=subtract,
    )


def local_contrast(
    volume: Any,
    sigma: Sequence[float] | float,
    *,
    sigma_deviation: Sequence[float] | float | None = None,
    floor: float = 0.0,
    spacing: Sequence[float] | float | None = None,
    truncate: float = 4.0,
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Each voxel less the mean around it, divided by the standard deviation around it, for every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    sigma
        Standard deviation in micrometres of the Gaussian window of the mean, one for all axes or one for each of z, y and x.
    sigma_deviation
        That of the window of the standard deviation; `sigma` by default.
    floor
        Standard deviations of intensity below this count as this: the noise of empty regions is not blown up.
    spacing, truncate, dtype, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume; 0 where nothing varies.

    Raises
    ------
    zensaibo.errors.ParameterError
        A window of one voxel or of more than 10,000 to a side; a sigma or floor below 0.

    Notes
    -----
    The variance is that of the voxels less their own local means (Sage and Unser, IEEE Signal Process. Mag. 20(6), 43,
    2003). Costs two Gaussians.
    """
    return _filter(
        "local_contrast",
        volume,
        spacing,
        dtype,
        memory,
        threads,
        progress,
        sigma=_triple("sigma", sigma),
        sigma_deviation=None if sigma_deviation is None else _triple("sigma_deviation", sigma_deviation),
        floor=floor,
        truncate=truncate,
    )


def destripe(
    volume: Any,
    *,
    along: str = "x",
    length: float = 200.0,
    wavelet: int = 3,
    levels: int | None = None,
    log: bool = False,
    spacing: Sequence[float] | float | None = None,
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Takes stripes out of each plane of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    along
        The axis that the stripes run along, "x" or "y".
    length
        Length in micrometres over which a stripe may change. What is thin across and changes over longer lengths than this
        counts as stripe: smaller removes more, structure too.
    wavelet
        Number of vanishing moments of the Daubechies wavelet, 1 (Haar) to 10.
    levels
        Levels of the transform: stripes of up to about 2^levels voxels are removed. By default as many as a plane allows.
    log
        Work on log(1 + voxel), for stripes that are shadows, which multiply the image.
    spacing, dtype, memory, threads, progress
        As in `gaussian`.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ParameterError
        A parameter out of range; planes that are too small for the wavelet or the levels.
    zensaibo.errors.DataError
        NaN; voxels below 0 with `log`.

    Notes
    -----
    Munch et al., Optics Express 17(10), 8567, 2009; their damping is s = extent of the plane along the stripes / `length`.
    Needs about 24 bytes for each voxel of a plane and thread. What is bright and short gives a little of itself to its
    line: in planes that are not much longer than `length`, cells leave faint dark streaks beside them, fewer with `log`.
    """
    volume = open(volume)
    options = to_json(along=along, length=length, wavelet=wavelet, levels=levels, log=log)
    with reporting(progress) as callback:
        flat = _core.im_destripe(
            volume._core,
            options,
            _spacing(volume, spacing),
            np.dtype(dtype).name,
            to_bytes(memory),
            threads,
            callback,
        )
    return flat.reshape(volume.shape)


class BackgroundFit(NamedTuple):
    """Lines that `subtract_background` found: ``signal = offset + slope * background`` where there is no signal."""

    #: Slope of each window; time and channel where the volume has them, then windows along z, y and x.
    slope: np.ndarray
    #: Offset of each window, in intensity units; the same shape.
    offset: np.ndarray
    #: Voxels left out because one of the channels was saturated, for each time and channel.
    saturated: np.ndarray
    #: Windows that could not tell a slope and have that of the whole, for each time and channel.
    undecided: np.ndarray


def subtract_background(
    signal: Any,
    background: Any,
    *,
    window: Sequence[float] | float | None = None,
    smooth: Sequence[float] | float = (0.0, 0.0, 0.0),
    saturation: float | None = None,
    clip: bool = True,
    spacing: Sequence[float] | float | None = None,
    dtype: Any = np.float32,
    return_fit: bool = False,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Any:
    """The signal less what an autofluorescence channel explains of it, by a robust line through both.

    Parameters
    ----------
    signal, background
        Anything that `zensaibo.im.open` takes. The background has the shape of the signal, or one channel for all.
    window
        Size in micrometres of the windows that get a line of their own (one number or z, y, x), some ten times a cell;
        slope and offset are interpolated between their centres. By default one line for all.
    smooth
        Standard deviation in micrometres of a Gaussian over the background channel, which takes out its noise. 0 for none.
    saturation
        Voxels of either channel at or above this are left out of the fit; by default the greatest number of 8- and
        16-bit types.
    clip
        Set what falls below 0 to 0.
    return_fit
        Give (volume, `BackgroundFit`) in place of the volume.
    spacing, dtype, memory, threads, progress
        As in `gaussian`; the spacing is that of the signal by default.

    Returns
    -------
    numpy.ndarray of the shape of the signal, or (numpy.ndarray, `BackgroundFit`).

    Raises
    ------
    zensaibo.errors.ParameterError
        A parameter out of range.
    zensaibo.errors.ShapeError
        Channels of different shapes.
    zensaibo.errors.DataError
        NaN, fewer than 32 voxels that are not saturated, or a constant background.

    Notes
    -----
    Medians of stretches, then least squares with Tukey's biweight (Technometrics 16, 147, 1974) on at most 2^18 voxels of a
    regular grid (8192 for a window). Slopes are never negative. Both volumes are read twice.
    """
    signal, background = open(signal), open(background)
    options = to_json(
        window=None if window is None else _triple("window", window),
        smooth=_triple("smooth", smooth),
        saturation=saturation,
        clip=clip,
    )
    with reporting(progress) as callback:
        flat, fits = _core.im_subtract_background(
            signal._core,
            background._core,
            options,
            _spacing(signal, spacing),
            np.dtype(dtype).name,
            to_bytes(memory),
            threads,
            callback,
        )
    array = flat.reshape(signal.shape)
    if not return_fit:
        return array
    frames = tuple(n for axis, n in zip(signal.axes, signal.shape, strict=True) if axis in "tc")
    windows = tuple(fits[0][2]) if fits else (0, 0, 0)

    def gathered(item: int, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        return np.array([fit[item] for fit in fits], dtype=dtype).reshape(shape)

    return array, BackgroundFit(
        gathered(0, frames + windows, np.float64),
        gathered(1, frames + windows, np.float64),
        gathered(3, frames if fits else (0,), np.int64),
        gathered(4, frames if fits else (0,), np.int64),
    )
