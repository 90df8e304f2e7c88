"""Scores of the Cell Tracking Challenge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError

_NONE = np.uint32(0xFFFFFFFF)


def ctc_scores(
    truth: Any,
    result: Any,
    *,
    radius: float | None = None,
    tolerance: int = 0,
    spacing: Sequence[float] | float | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> dict[str, Any]:
    """Scores of the Cell Tracking Challenge: DET, TRA, LNK, SEG, and how divisions and whole tracks are found.

    Parameters
    ----------
    truth, result
        Either both tables of detections with columns track, parent, t and y, x (and z), as `zensaibo.im.track` returns
        (parent 0: none), which stand for each other one to one within ``radius``. Or both pairs (masks, lineage) as the
        challenge keeps them: masks over time, (t, y, x) or (t, z, y, x), whose labels are track numbers, and (m, 4) rows
        of track, first and last time point, parent, or a table with columns track and parent; a result object stands
        for the reference objects of which it covers more than half.
    radius
        Farthest that a detection lies from its truth, micrometres; for tables only, and needed there.
    tolerance
        Time points by which a division may be early or late.
    spacing
        For tables only: what one unit of z, y and x is in micrometres; 1 by default.
    threads, progress
        See `zensaibo.im.track`. The result is the same for any number of threads.

    Returns
    -------
    dict with ``DET``, ``TRA``, ``LNK`` (1 is best); ``SEG``, ``OP_CSB`` = (SEG + DET) / 2 and ``OP_CTB`` =
    (SEG + TRA) / 2 for masks; ``CT`` (complete tracks), ``TF`` (track fractions), ``division_recall``,
    ``division_precision`` and ``BC``, their F1; and the counts behind them: ``missed``, ``false_positives``, ``splits``,
    ``links_missed``, ``links_false``, ``links_changed``, ``links_truth``, ``links_result``, ``divisions_truth``,
    ``divisions_result``, ``divisions_found``. NaN where the truth has nothing to find.

    Raises
    ------
    zensaibo.errors.ParameterError
        No radius for tables, or one for masks; a tolerance below 0.
    zensaibo.errors.ShapeError, zensaibo.errors.DataError
        Masks of different shape; tables without these columns; tracks with two detections at a time, with two parents,
        or that begin before their mother ends.

    Notes
    -----
    Weights: split 5, missed 10, false 1; link deleted 1, added 1.5, changed 1. A link joins two consecutive detections of
    a track, over gaps too, or the last of a mother and the first of a daughter. TF is the mean over the reference tracks
    that are found at all. Sources: Matula et al. 2015 (DET, TRA, LNK), Ulman et al. 2017 (SEG, CT, TF, BC).

    Examples
    --------
    >>> tracks = zs.im.track([[[0, 0, 10 * t]] for t in range(3)], max_speed=15)
    >>> zs.metrics.ctc_scores(tracks, tracks, radius=1)["TRA"]
    1.0
    """
    if tolerance < 0:
        raise ParameterError(f"parameter `tolerance`: expected at least 0, found {tolerance}")
    pairs = [isinstance(side, (tuple, list)) for side in (truth, result)]
    if pairs[0] != pairs[1]:
        raise ParameterError("parameter `result`: expected a table for a table, or (masks, lineage) for such a pair")
    with reporting(progress) as callback:
        if pairs[0]:
            if radius is not None or spacing is not None:
                raise ParameterError("parameter `radius`: expected None (and no spacing) for masks, found one")
            return _of_masks(truth, result, int(tolerance), threads, callback)
        if radius is None:
            raise ParameterError("parameter `radius`: expected a distance in micrometres for tables, found None")
        return _of_tables(truth, result, float(radius), spacing, int(tolerance), threads, callback)


def _of_tables(
    truth: Any, result: Any, radius: float, spacing: Any, tolerance: int, threads: int | None, callback: Progress | None
) -> dict[str, Any]:
    from ..im._track import _points
    from ..im._volume import _triple

    scale = np.asarray(_triple("spacing", spacing)) if spacing is not None else np.ones(3)
    places, graphs = [], []
    for name, table in (("truth", truth), ("result", result)):
        missing = [column for column in ("track", "parent", "t") if column not in getattr(table, "columns", ())]
        if missing:
            raise ShapeError(f"`{name}`: expected a table with columns track, parent, t, y, x, found none of {missing}")
        times = np.asarray(table["t"]).astype(np.int64)
        order = np.argsort(times, kind="stable")
        places.append((times[order], np.ascontiguousarray(_points(table, f"`{name}`")[order] * scale)))
        tracks, parents = (np.asarray(table[column]).astype(np.int64)[order] for column in ("track", "parent"))
        graphs.append(_graph(name, tracks, tracks, parents))
    matches = _core.im_match_detections(*places[0], *places[1], radius, threads, callback)
    return _scores(places[0][0], graphs[0], places[1][0], graphs[1], matches, tolerance)


def _of_masks(
    truth: Any, result: Any, tolerance: int, threads: int | None, callback: Progress | None
) -> dict[str, Any]:
    from ..im._track import _over_time

    volumes, lineages = [], []
    for name, side in (("truth", truth), ("result", result)):
        if len(side) != 2:
            raise ShapeError(f"`{name}`: expected (masks, lineage), found {len(side)} parts")
        masks, lineage = side
        volumes.append(_over_time(masks if hasattr(masks, "ndim") else np.asarray(masks)))
        if hasattr(lineage, "columns"):
            lineages.append((np.asarray(lineage["track"]), np.asarray(lineage["parent"])))
        else:
            rows = np.asarray(lineage)
            if rows.ndim != 2 or rows.shape[1] != 4:
                raise ShapeError(f"`{name}`: expected lineage of (m, 4), found shape {rows.shape}")
            lineages.append((rows[:, 0], rows[:, 3]))
    ours, theirs, matches, seg = _core.im_match_labels(volumes[0]._core, volumes[1]._core, threads, callback)
    graphs = [
        _graph(name, objects[1].astype(np.int64), *(part.astype(np.int64) for part in lineage))
        for name, objects, lineage in zip(("truth", "result"), (ours, theirs), lineages, strict=True)
    ]
    out = _scores(ours[0], graphs[0], theirs[0], graphs[1], matches, tolerance)
    return {"SEG": seg, "OP_CSB": (seg + out["DET"]) / 2, "OP_CTB": (seg + out["TRA"]) / 2, **out}


def _graph(name: str, of_detection: np.ndarray, tracks: np.ndarray, parents: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Track of each detection from 0, and the parent of each; tracks of the lineage without detections are left out."""
    known, codes = np.unique(of_detection, return_inverse=True)
    pairs = np.unique(np.column_stack([tracks, parents]), axis=0) if len(tracks) else np.zeros((0, 2), np.int64)
    twice = pairs[:-1][pairs[1:, 0] == pairs[:-1, 0]]
    if len(twice):
        raise ShapeError(f"`{name}`: expected one parent for each track, found several for track {twice[0, 0]}")
    out = np.full(len(known), _NONE, np.uint32)
    for track, parent in pairs:
        if parent == 0:
            continue
        at, mother = np.searchsorted(known, [track, parent])
        if at == len(known) or known[at] != track:
            continue
        if mother == len(known) or known[mother] != parent:
            raise ShapeError(f"`{name}`: expected parents that are tracks, found {parent} of track {track}")
        out[at] = mother
    return codes.reshape(-1).astype(np.uint32), out


def _scores(
    truth_times: np.ndarray,
    truth: tuple[np.ndarray, np.ndarray],
    result_times: np.ndarray,
    result: tuple[np.ndarray, np.ndarray],
    matches: np.ndarray,
    tolerance: int,
) -> dict[str, Any]:
    out = _core.ctc_scores(truth_times, *truth, result_times, *result, matches, tolerance)
    both = out["divisions_truth"] + out["divisions_result"]
    bc = 2 * out["divisions_found"] / both if out["divisions_truth"] else float("nan")
    names = list(out)
    place = names.index("division_precision") + 1
    return {name: out[name] for name in names[:place]} | {"BC": bc} | {name: out[name] for name in names[place:]}
