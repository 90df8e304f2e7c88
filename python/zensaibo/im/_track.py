"""Tracks: detections over time, with divisions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError
from ._spatial import places
from ._volume import Volume, _spacing, open

if TYPE_CHECKING:
    import pandas as pd

_PLACES = ("z", "y", "x")


def _points(table: Any, name: str) -> np.ndarray:
    """(n, 3) float64 (z, y, x) of one time point: an array, a table with columns z, y, x (z may be absent), or an AnnData."""
    obsm = getattr(table, "obsm", None)
    if obsm is not None:
        if "spatial" not in obsm:
            raise ShapeError(f'{name}: expected obsm["spatial"] with (x, y[, z]) in micrometres, found {list(obsm)}')
        table = places(table)
    elif hasattr(table, "columns"):
        missing = [axis for axis in "yx" if axis not in table.columns]
        if missing:
            raise ShapeError(f"{name}: expected columns y and x (and z), found {list(table.columns)}")
        table = np.column_stack([np.asarray(table[axis], np.float64) for axis in _PLACES if axis in table.columns])
    points = np.asarray(table, dtype=np.float64)
    if points.size == 0:
        return np.zeros((0, 3))
    if points.ndim != 2 or points.shape[1] not in (2, 3):
        raise ShapeError(f"{name}: expected (n, 3) coordinates (z, y, x), or (n, 2) of (y, x), found shape {points.shape}")
    if points.shape[1] == 2:
        points = np.column_stack([np.zeros(len(points)), points])
    return np.ascontiguousarray(points)


def _volume_like(source: Any) -> bool:
    if isinstance(source, Volume):
        return True
    return not hasattr(source, "columns") and hasattr(source, "dtype") and getattr(source, "ndim", 0) >= 3


def _label_table(
    labels: Any, spacing: Any, threads: int | None, callback: Progress | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """(time, label, voxels, centre in micrometres) of the objects of label volumes over time."""
    volume = _over_time(labels)
    times, names, voxels, centres = _core.im_label_centres(volume._core, threads, callback)
    return times, names, voxels, centres * np.asarray(_spacing(volume, spacing))


def _over_time(labels: Any) -> Volume:
    """Label images over time: (t, y, x) or (t, z, y, x) arrays, or a volume with an axis t."""
    if isinstance(labels, Volume):
        if "t" not in labels.axes:
            raise ShapeError(f'labels: expected a volume with an axis t, found axes "{labels.axes}"')
        return labels
    axes = {3: "tyx", 4: "tzyx"}.get(labels.ndim)
    if axes is None:
        raise ShapeError(f"labels: expected (t, y, x) or (t, z, y, x), found shape {tuple(labels.shape)}")
    return open(labels, axes=axes)


def track(
    detections_by_time: Any,
    *,
    max_speed: float,
    max_gap: int = 1,
    divisions: bool = True,
    max_division_distance: float | None = None,
    drift: bool = True,
    quantile: float = 0.95,
    unlinked: float = 3.0,
    passes: int = 6,
    sizes: Sequence[Any] | None = None,
    spacing: Sequence[float] | float | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Follows cells through time, through gaps and divisions.

    Parameters
    ----------
    detections_by_time
        For each time point (n, 3) coordinates (z, y, x) in micrometres, or (n, 2) of (y, x); or a table with columns
        z, y, x; or an AnnData with ``obsm["spatial"]`` (x, y[, z]), as `detect_cells` returns it. Or one table of all with
        a column t of whole numbers. Or labels over time, (t, y, x) or (t, z, y, x) or a `Volume` with an axis t, whose
        objects are tracked by their centres and sizes.
    max_speed
        Farthest that a cell moves from one time point to the next, beyond the motion common to all; micrometres.
    max_gap
        Time points that a track may miss between two detections. 0 closes no gaps.
    divisions
        Whether cells may divide.
    max_division_distance
        Farthest that a daughter appears from where its mother is expected; micrometres. ``None``: ``max_speed``.
    drift
        Whether the motion common to all cells is estimated (up to ``max_speed``) and taken out.
    quantile, unlinked
        To end a track and begin another costs ``unlinked`` times this quantile of the costs of links. A larger
        ``unlinked`` links more.
    passes
        Largest number of passes in which the motion is learned from the links and the links are solved again.
    sizes
        For each time point the (n,) volumes of its detections, if they are to count; of labels they are known.
    spacing
        Micrometres per voxel of labels; that of the volume by default, and 1 where it has none. Not for points.
    threads
        Threads to use; all cores by default. They change the time and nothing else.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    pandas.DataFrame, one row per detection in the order of time and then of the input:

    - ``track``: its track, from 1. The two daughters of a division begin tracks of their own.
    - ``parent``: the track of the mother, 0 where there is none: the same in all rows of a track.
    - ``t``: time point, from 0 (or as the table said). ``z``, ``y``, ``x``: micrometres.
    - ``detection``: row of the detection in its time point (in a table of all: row of the table).
    - ``label``: label in its time point; of labels only.

    Raises
    ------
    zensaibo.errors.ParameterError
        A speed that is not above 0, options out of range.
    zensaibo.errors.ShapeError, zensaibo.errors.NonFiniteError, zensaibo.errors.DataError
        Tables without coordinates, sizes that do not fit; NaN or infinity; labels that are not whole numbers or below 0.

    Notes
    -----
    Links are assigned optimally from each time point to the next over all pairs within the gate, with costs from a
    motion model that is learned from the links themselves: drift of all cells, flow of the neighbours, steadiness of each
    cell before and after the link. Then ends, beginnings and possible mothers are assigned to each other, optimally too.
    Cells divide and never fuse, so divisions that are found in the recording played backwards are mistakes; they say how many
    of those found forwards to believe, at each cost.
    Nothing is random. Time grows with detections times neighbours within ``max_speed``. After Jaqaman et al. 2008.

    Examples
    --------
    >>> frames = [[[0, 0, 10 * t], [0, 50, 0]] for t in range(3)]
    >>> zs.im.track(frames, max_speed=15)["track"].tolist()
    [1, 2, 1, 2, 1, 2]
    """
    import pandas as pd

    with reporting(progress) as callback:
        label = None
        rows = None
        volume: np.ndarray | None
        whole = hasattr(detections_by_time, "columns")
        if _volume_like(detections_by_time):
            if sizes is not None:
                raise ParameterError("parameter `sizes`: expected None for labels, whose sizes are known, found sizes")
            times, label, voxels, points = _label_table(detections_by_time, spacing, threads, callback)
            volume = voxels.astype(np.float64)
            n_times = _over_time(detections_by_time)._core.shape[0]
            first = 0
        else:
            if spacing is not None:
                raise ParameterError("parameter `spacing`: expected None for points, which are micrometres, found one")
            if whole:
                points, times, rows, n_times, first, volume = _from_table(detections_by_time, sizes)
            else:
                frames = [_points(frame, f"time point {t}") for t, frame in enumerate(detections_by_time)]
                n_times, first = len(frames), 0
                points = np.concatenate([np.zeros((0, 3)), *frames])
                times = np.repeat(np.arange(n_times), [len(frame) for frame in frames])
                volume = _sizes(sizes, [len(frame) for frame in frames])
        offsets = np.searchsorted(times, np.arange(n_times + 1) + first)
        options = to_json(
            max_speed=max_speed,
            max_gap=max_gap,
            divisions=divisions,
            max_division_distance=max_division_distance,
            drift=drift,
            quantile=quantile,
            unlinked=unlinked,
            passes=passes,
        )
        points = np.ascontiguousarray(points)
        tracks, parents = _core.im_track(offsets.tolist(), points, volume, options, threads, callback)
    if rows is None:
        rows = np.arange(len(points)) - offsets[:-1][np.asarray(times, np.int64) - first]
    columns = {
        "track": tracks.astype(np.int64),
        "parent": parents[tracks.astype(np.int64) - 1].astype(np.int64),
        "t": np.asarray(times, np.int64),
        **dict(zip(_PLACES, points.T, strict=True)),
        "detection": rows,
    }
    if label is not None:
        columns["label"] = label.astype(np.int64)
    return pd.DataFrame(columns)


def _from_table(table: Any, sizes: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, int, int, np.ndarray | None]:
    """Points, times, rows, number of times and first time of one table of all time points."""
    if "t" not in table.columns:
        raise ShapeError(f"table: expected a column t, found {list(table.columns)}")
    times = np.asarray(table["t"])
    if times.dtype.kind not in "iu" and not (times.dtype.kind == "f" and np.all(times == np.rint(times))):
        raise ShapeError(f"table, column t: expected whole numbers, found {times.dtype}")
    times = times.astype(np.int64)
    points = _points(table, "table")
    order = np.argsort(times, kind="stable")
    first = int(times.min()) if len(times) else 0
    n_times = int(times.max()) - first + 1 if len(times) else 0
    if n_times > 10_000_000:
        raise ShapeError(f"table, column t: expected at most 10,000,000 time points, found {first} to {times.max()}")
    volume = None
    if sizes is not None:
        volume = _sizes([sizes], [len(times)])
        volume = volume[order] if volume is not None else None
    return points[order], times[order], order, n_times, first, volume


def _sizes(sizes: Any, counts: list[int]) -> np.ndarray | None:
    if sizes is None:
        return None
    lists = [np.asarray(part, np.float64).reshape(-1) for part in sizes]
    found = [len(part) for part in lists]
    if found != counts:
        raise ShapeError(f"`sizes`: expected as many as detections at each time point ({counts[:5]} ...), found {found[:5]}")
    return np.concatenate([np.zeros(0), *lists])


def relabel_tracks(labels: Any, tracks: Any) -> np.ndarray:
    """Label images over time in which each object bears the number of its track.

    Parameters
    ----------
    labels
        The labels that were tracked: (t, y, x) or (t, z, y, x), or a `Volume` with an axis t.
    tracks
        What `track` made of them: a table with columns t, label and track.

    Returns
    -------
    numpy.ndarray of the shape of the labels, int32; 0 where there is no object.

    Raises
    ------
    zensaibo.errors.ShapeError
        A table without these columns; labels without an axis t.
    zensaibo.errors.ParameterError
        Objects that the table does not know.
    """
    missing = [name for name in ("t", "label", "track") if name not in tracks.columns]
    if missing:
        raise ShapeError(f"`tracks`: expected columns t, label and track, found {list(tracks.columns)}")
    volume = _over_time(labels)
    out = np.zeros(volume.shape, np.int32)
    by_time = {t: part for t, part in tracks.groupby("t")}
    for t in range(volume.shape[0]):
        frame = np.asarray(volume[t : t + 1])[0]
        known = by_time.get(t)
        names = np.concatenate([[0], np.asarray(known["label"], np.int64) if known is not None else []]).astype(np.int64)
        numbers = np.concatenate([[0], np.asarray(known["track"], np.int64) if known is not None else []])
        order = np.argsort(names)
        names, numbers = names[order], numbers[order].astype(np.int32)
        place = np.minimum(np.searchsorted(names, frame), len(names) - 1)
        strange = names[place] != frame
        if strange.any():
            raise ParameterError(f"parameter `tracks`: expected all labels of time point {t}, found none for {frame[strange][0]}")
        out[t] = numbers[place]
    return out
