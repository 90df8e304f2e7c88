"""Found points beside true points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from ..errors import ParameterError, ShapeError


class DetectionScores(NamedTuple):
    """What `detection_scores` returns."""

    precision: float
    """Share of the found points that have a true one; NaN when none was found."""
    recall: float
    """Share of the true points that were found; NaN when there is none."""
    f1: float
    """2 pairs / (found + true); NaN when there is neither."""
    error: float
    """Mean distance of the pairs; NaN without a pair."""
    pairs: int
    """Number of pairs."""
    found: int
    """Found points, less those of the edge zone."""
    true: int
    """True points, less those of the edge zone."""
    edge_pairs: int
    """Pairs of which a point lies in the edge zone."""
    edge_found: int
    """Found points left out with the edge zone."""
    edge_true: int
    """True points left out with the edge zone."""


def detection_scores(
    found: Any,
    truth: Any,
    *,
    radius: float,
    extent: Sequence[float] | None = None,
    edge_zone: float = 0.0,
) -> DetectionScores:
    """Scores of detected points: one-to-one pairs within a radius, as many as there can be.

    Parameters
    ----------
    found, truth
        (n, 3) points (z, y, x) in micrometres, or an AnnData of `zensaibo.im.detect_cells`.
    radius
        Farthest that the two points of a pair may lie apart.
    extent
        Place (z, y, x) of the last voxel in micrometres, the first at 0; needed with an `edge_zone`.
    edge_zone
        Points nearer than this to a border are counted apart. A pair with one of its points there is an edge pair: its
        other point is left out of precision and recall, so that nobody gains or loses by half a cell.

    Returns
    -------
    `DetectionScores`.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius that is not positive, an edge zone without extent.
    zensaibo.errors.DataError
        Points of another shape or not finite.

    Notes
    -----
    The nearest pairs are made first; then augmenting paths (Berge 1957) make as many as there can be.
    """
    found, truth = _points("found", found), _points("truth", truth)
    if not (np.isfinite(edge_zone) and edge_zone >= 0):
        raise ParameterError(f"parameter `edge_zone`: expected a length of at least 0, found {edge_zone}")
    if edge_zone > 0 and extent is None:
        raise ParameterError("parameter `extent`: expected the place of the last voxel with an edge zone, found None")
    f, t, distance = (np.asarray(values) for values in _core.im_match_points(found, truth, radius))
    f, t = f.astype(np.int64), t.astype(np.int64)
    edge_f, edge_t = _edge(found, extent, edge_zone), _edge(truth, extent, edge_zone)
    at_edge = edge_f[f] | edge_t[t]
    out_f, out_t = edge_f.copy(), edge_t.copy()
    out_f[f[at_edge]] = True
    out_t[t[at_edge]] = True
    n_found, n_true = int((~out_f).sum()), int((~out_t).sum())
    pairs = int((~at_edge).sum())
    nan = float("nan")
    return DetectionScores(
        precision=pairs / n_found if n_found else nan,
        recall=pairs / n_true if n_true else nan,
        f1=2 * pairs / (n_found + n_true) if n_found + n_true else nan,
        error=float(distance[~at_edge].mean()) if pairs else nan,
        pairs=pairs,
        found=n_found,
        true=n_true,
        edge_pairs=int(at_edge.sum()),
        edge_found=int(out_f.sum()),
        edge_true=int(out_t.sum()),
    )


def _points(name: str, points: Any) -> np.ndarray:
    if hasattr(points, "obsm"):
        from ..im._spatial import places

        points = places(points)
    points = np.ascontiguousarray(points, dtype=np.float64)
    if points.size == 0:
        return np.zeros((0, 3))
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"`{name}`: expected shape (n, 3), found {points.shape}")
    return points


def _edge(points: np.ndarray, extent: Sequence[float] | None, zone: float) -> np.ndarray:
    if extent is None or zone == 0:
        return np.zeros(len(points), dtype=bool)
    far = np.asarray(extent, dtype=np.float64)
    # A volume of one plane has no border along that axis.
    near = ((points < zone) | (points > far - zone)) & (far > 0)
    return np.asarray(near.any(axis=1))
