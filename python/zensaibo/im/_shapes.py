"""Shapes: connected components, distances, watersheds, properties of labelled regions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError
from ._volume import Volume, _spacing, open

if TYPE_CHECKING:
    import pandas as pd


def label(
    volume: Any,
    *,
    connectivity: int = 26,
    by_value: bool = False,
    min_voxels: int = 1,
    first_label: int = 1,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> tuple[np.ndarray, Any]:
    """Numbers connected components, each time point and channel apart.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes: a mask (0 is background), or labels where `by_value` is set.
    connectivity
        Neighbours that connect: 6 (faces), 18 (and edges) or 26 (and corners).
    by_value
        Whether only equal values connect, so that touching labels stay apart.
    min_voxels
        Components of fewer voxels become background and take no number.
    first_label
        Number of the first component.
    memory
        Working memory in bytes or as text ("4GiB"), beside input and result; 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    labels : numpy.ndarray of the shape of the volume, uint32 (uint64 where numbers pass 2^32 - 1)
        Numbered in raster order of first voxels.
    count : int, or numpy.ndarray of the leading (time, channel) shape
        Components found.

    Raises
    ------
    zensaibo.errors.ParameterError
        A connectivity other than 6, 18, 26; a first label of 0.
    zensaibo.errors.LimitError
        The memory does not hold one block of lines.

    Notes
    -----
    The numbers are those of ``scipy.ndimage.label`` and, up to the order of numbers, of ``cc3d.connected_components``. Linear in voxels.
    """
    volume = open(volume)
    options = to_json(connectivity=connectivity, by_value=by_value, min_voxels=min_voxels, first_label=first_label)
    with reporting(progress) as callback:
        flat, counts = _core.im_label(volume._core, options, to_bytes(memory), threads, callback)
    leading = tuple(n for axis, n in zip(volume.axes, volume.shape, strict=True) if axis in "tc")
    return flat.reshape(volume.shape), np.array(counts).reshape(leading) if leading else counts[0]


def distance_transform(
    volume: Any,
    *,
    spacing: Sequence[float] | float | None = None,
    black_border: bool = False,
    squared: bool = False,
    max_distance: float | None = None,
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Distance from each foreground voxel to the nearest background voxel, each time point and channel apart.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes; 0 is background.
    spacing
        Micrometres per voxel; that of the volume by default, and 1 where it has none (distances are then voxels).
    black_border
        Whether what lies beyond the volume counts as background.
    squared
        Whether squared distances come back.
    max_distance
        Distance in micrometres that all voxels further inside take. With it the work is done in blocks within `memory`;
        without it whole frames are held.
    dtype
        float32 or float64.
    memory
        Working memory in bytes or as text ("4GiB") for blocks with `max_distance`; 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    numpy.ndarray of the shape of the volume; micrometres, 0 in the background, infinity where there is no background.

    Raises
    ------
    zensaibo.errors.ParameterError
        A spacing or distance out of range, another dtype, or `squared` with `max_distance`.

    Notes
    -----
    Equals ``scipy.ndimage.distance_transform_edt(volume, sampling=spacing)`` to the precision of `dtype`. Felzenszwalb and
    Huttenlocher, Theory of Computing 2012.
    """
    volume = open(volume)
    dtype = np.dtype(dtype)
    if dtype not in (np.float32, np.float64):
        raise ParameterError(f"parameter `dtype`: expected float32 or float64, found {dtype}")
    if max_distance is not None and (squared or dtype != np.float32):
        raise ParameterError("parameter `max_distance`: expected None with squared distances or float64, found both")
    with reporting(progress) as callback:
        flat = _core.im_distance_transform(
            volume._core,
            to_json(black_border=black_border, squared=squared),
            _spacing(volume, spacing),
            dtype == np.float64,
            max_distance,
            to_bytes(memory),
            threads,
            callback,
        )
    return flat.reshape(volume.shape)


def watershed(
    image: Any,
    markers: Any,
    mask: Any = None,
    *,
    connectivity: int = 6,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Floods an image from markers, lowest values first.

    Parameters
    ----------
    image
        One frame, (z, y, x) or (y, x), that `zensaibo.im.open` takes; computed in float32. Negate it to flood from bright places.
    markers
        Whole numbers of the same extent, 0 where there is no marker. Those outside the mask are ignored.
    mask
        Voxels that may be flooded (not 0); all by default.
    connectivity
        Neighbours that water flows to: 6, 18 or 26.
    threads
        Threads to use; all cores by default. Connected components of the mask are flooded in parallel; the result is the same.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    numpy.ndarray of uint32 of the shape of the image; 0 where no water came.

    Raises
    ------
    zensaibo.errors.ShapeError
        More than one frame, or extents that differ.
    zensaibo.errors.DataError
        NaN inside the mask; markers that are not whole numbers below 2^32.

    Notes
    -----
    The rule of ``skimage.segmentation.watershed`` (value, then age): equal voxel for voxel except where markers of equal
    value compete. Holds everything in memory.
    """
    volumes = {"image": open(image), "markers": open(markers)}
    if mask is not None:
        volumes["mask"] = open(mask)
    for name, volume in volumes.items():
        if volume._core.shape[:2] != (1, 1):
            raise ShapeError(f"{name}: expected one time point of one channel, found shape {volume.shape}")
    with reporting(progress) as callback:
        flat = _core.im_watershed(
            volumes["image"]._core,
            volumes["markers"]._core,
            volumes["mask"]._core if mask is not None else None,
            to_json(connectivity=connectivity),
            threads,
            callback,
        )
    return flat.reshape(volumes["image"].shape)


def region_properties(
    labels: Any,
    intensity: Any = None,
    *,
    spacing: Sequence[float] | float | None = None,
    surface: bool = True,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Measures every label: size, place, shape, and intensity in every channel.

    Parameters
    ----------
    labels
        Whole numbers that `zensaibo.im.open` takes, of one channel; 0 and below are background. Need not be consecutive.
    intensity
        A volume of the same extent and number of time points, with any channels; None to measure shapes only.
    spacing
        Micrometres per voxel; that of `labels` by default, then that of `intensity`, then 1.
    surface
        Whether surface and sphericity are measured; more than half of the time goes into them.
    memory
        Working memory in bytes or as text ("4GiB"); 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    pandas.DataFrame, one row for each label (of each time point, then with a column `time`), by ascending label
        `label`, `voxels`, `volume` (um3), `z`, `y`, `x` (um, centroid), `z_first`, `z_end`, ... (voxels, bounding box, half
        open), `axis_1`, `axis_2`, `axis_3` (um, full lengths, longest first), `direction_z`, ... (unit vector of the longest),
        `diameter` (um, of the ball of that volume), `surface` (um2, Crofton in 13 directions), `sphericity`,
        `touches_border`, and `mean_C`, `sd_C`, `min_C`, `max_C`, `sum_C` for each channel C (its name or number).

    Raises
    ------
    zensaibo.errors.ShapeError
        Labels of several channels, or extents that differ.
    zensaibo.errors.DataError
        Labels that are not whole numbers; intensities that are not finite.

    Notes
    -----
    Volume, centroid, box, axes and intensities are those of ``skimage.measure.regionprops`` with the same spacing. One
    pass over the voxels. The surface follows Lehmann and Legland, Insight Journal 2012.
    """
    volume = open(labels)
    picture = None if intensity is None else open(intensity)
    if volume._core.shape[1] != 1:
        raise ShapeError(f"labels: expected one channel, found {volume._core.shape[1]}")
    if picture is not None and picture._core.shape[0] != volume._core.shape[0]:
        raise ShapeError(
            f"intensity: expected {volume._core.shape[0]} time points as the labels have, found {picture._core.shape[0]}"
        )
    if spacing is None and volume.spacing is None and picture is not None:
        spacing = picture.spacing
    with reporting(progress) as callback:
        tables = _core.im_region_properties(
            volume._core,
            None if picture is None else picture._core,
            to_json(surface=surface),
            _spacing(volume, spacing),
            to_bytes(memory),
            threads,
            callback,
        )
    return _frame(volume, tables)


def _frame(volume: Volume, tables: list[dict[str, Any]]) -> pd.DataFrame:
    """Tables of the time points as one."""
    import pandas as pd

    frames = []
    for time, table in enumerate(tables):
        columns: dict[str, Any] = {"time": np.full(len(table["label"]), time)} if "t" in volume.axes else {}
        columns |= {name: table[name] for name in ("label", "voxels", "volume")}
        for place, axis in enumerate("zyx"):
            columns[axis] = table["centroid"][:, place]
        for place, axis in enumerate("zyx"):
            columns[f"{axis}_first"] = table["low"][:, place]
            columns[f"{axis}_end"] = table["high"][:, place]
        for place in range(3):
            columns[f"axis_{place + 1}"] = table["axes"][:, place]
        for place, axis in enumerate("zyx"):
            columns[f"direction_{axis}"] = table["orientation"][:, place]
        columns["diameter"] = table["diameter"]
        if len(table["surface"]) == len(table["label"]):
            columns |= {name: table[name] for name in ("surface", "sphericity")}
        columns["touches_border"] = table["touches_border"]
        for channel, values in table["channels"]:
            columns |= {f"{name}_{channel}": values[name] for name in ("mean", "sd", "min", "max", "sum")}
        frames.append(pd.DataFrame(columns))
    return pd.concat([frame for frame in frames if len(frame)] or frames[:1], ignore_index=True)
