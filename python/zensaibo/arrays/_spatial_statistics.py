"""Statistics of cells in tissue."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, NonFiniteError, ParameterError, ShapeError
from ._sketch import _seed, _whole
from ._spatial_neighbors import libraries_of, places_of


class NhoodEnrichment(NamedTuple):
    """What `nhood_enrichment` returns; k labels, rows the label of a cell, columns that of its neighbour."""

    zscore: np.ndarray
    """(k, k) float64: (count - mean) / std; NaN where chance leaves no choice, such as for a label of one cell with itself."""
    count: np.ndarray  # type: ignore[assignment]
    """(k, k) uint64: edges from one label to the other."""
    mean: np.ndarray
    """(k, k) float64: their mean with labels dealt out at random."""
    std: np.ndarray
    """(k, k) float64: their standard deviation."""
    categories: pd.Index
    """The labels, in the order of rows and columns."""


class CoOccurrence(NamedTuple):
    """What `co_occurrence` returns; k labels, L distances."""

    occ: np.ndarray
    """(k, k, L - 1) float64: entry (i, c, r) is how many times as often label i is found near label c as near any cell; NaN
    where no cell is near."""
    interval: np.ndarray
    """(L,) float64: the distances; layer r belongs to ``interval[r + 1]``."""
    counts: np.ndarray
    """(L - 1, k, k) uint64: ordered pairs of cells behind each layer: row the label looked from, column that of the other."""
    categories: pd.Index
    """The labels, in order."""


class SpatialAutocorr(NamedTuple):
    """What `spatial_autocorr` returns, one entry per column of X; NaN for columns without variance."""

    score: np.ndarray
    """float64: Moran's I or Geary's C."""
    pval_norm: np.ndarray
    """float64: p value under normality."""
    var_norm: float
    """The variance under normality, the same for all columns."""
    expected: float
    """The mean without relation to space."""
    pval_z_sim: np.ndarray | None
    """float64: p value from mean and variance of permuted columns; None without permutations."""
    pval_sim: np.ndarray | None
    """float64: p value from their number beyond the score, at least 1 / (n_perms + 1)."""
    var_sim: np.ndarray | None
    """float64: their variance."""


def _graph(graph: Any, name: str = "graph") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row pointers (int64), columns (int32) and weights (float64) of a square graph."""
    if not sparse.issparse(graph):
        raise ParameterError(f"parameter `{name}`: expected a scipy sparse graph, found {type(graph).__name__}")
    if graph.shape[0] != graph.shape[1]:
        raise ShapeError(f"`{name}`: expected a square graph, found shape {graph.shape}")
    rows = graph.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    return (
        np.ascontiguousarray(rows.indptr, dtype=np.int64),
        np.ascontiguousarray(rows.indices, dtype=np.int32),
        np.ascontiguousarray(rows.data, dtype=np.float64),
    )


def _labels(labels: Any, n: int, name: str = "labels") -> tuple[np.ndarray, pd.Index]:
    codes, categories = codes_of(labels, name)
    if len(codes) != n:
        raise ShapeError(f"`{name}`: expected {n} labels, one per cell, found {len(codes)}")
    return codes, categories


def nhood_enrichment(
    graph: Any,
    labels: Any,
    *,
    libraries: Any = None,
    n_perms: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> NhoodEnrichment:
    """How often neighbours carry two labels, against the same labels dealt out at random among the cells.

    Mean and variance over all ways to deal the labels out have a closed form, so that by default nothing is drawn.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of neighbours. Every stored edge counts once, whatever its weight.
    labels
        (n,) labels, one for every cell.
    libraries
        (n,) labels of libraries: labels are dealt out within each. ``None``: among all cells.
    n_perms
        Draw this many random orders, at least 2, instead of the closed form.
    seed
        Seed of the orders; each has random numbers of its own. Without effect on the closed form.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    NhoodEnrichment
        ``zscore``, ``count``, ``mean``, ``std`` (k x k) and ``categories``.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Labels or libraries that do not fit or are missing; without `n_perms`: an edge between libraries, or a graph in which
        some cells only are their own neighbours.

    Notes
    -----
    Standard deviations are those over the orders (divided by their number). Closed form: one look at each edge; permuted:
    edges x n_perms. Memory 16 bytes per edge.
    """
    edges = _graph(graph)
    n = len(edges[0]) - 1
    codes, categories = _labels(labels, n)
    sections, names = libraries_of(libraries, n)
    options = to_json(n_perms=None if n_perms is None else _whole("n_perms", n_perms), seed=_seed(seed))
    k = len(categories)
    with reporting(progress) as callback:
        count, mean, variance = _core.nhood_enrichment(edges, codes, k, sections, len(names), options, threads, callback)
    std = np.sqrt(variance)
    zscore = np.divide(count - mean, std, out=np.full((k, k), np.nan), where=std > 0)
    return NhoodEnrichment(zscore, count, mean, std, categories)


def interaction_matrix(
    graph: Any, labels: Any, *, weights: bool = False, normalized: bool = False, threads: int | None = None
) -> tuple[np.ndarray, pd.Index]:
    """Edges between labels: how many neighbours of each label the cells of a label have.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of neighbours.
    labels
        (n,) labels. Cells without one are left out with their edges.
    weights
        Add up the weights of the edges instead of counting them.
    normalized
        Divide each row by its sum; NaN for a label without edges.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.

    Returns
    -------
    tuple
        (k, k) array (uint64, or float64 with `weights` or `normalized`) and the labels in its order.

    Raises
    ------
    DataError
        Labels that do not fit, or none at all.

    Notes
    -----
    Nothing is random. Time and memory in proportion to the edges.
    """
    if not sparse.issparse(graph):
        raise ParameterError(f"parameter `graph`: expected a scipy sparse graph, found {type(graph).__name__}")
    column = pd.Series(labels)
    if len(column) != graph.shape[0]:
        raise ShapeError(f"`labels`: expected {graph.shape[0]} labels, one per cell, found {len(column)}")
    known = column.notna().to_numpy()
    if not known.any():
        raise DataError("`labels`: expected at least one cell with a label, found none")
    rows = graph.tocsr()
    edges = _graph(rows if known.all() else rows[known][:, known])
    codes, categories = codes_of(column[known], "labels")
    counts, sums = _core.interaction_matrix(edges, codes, len(categories), threads)
    matrix = sums if weights else counts
    if normalized:
        total = matrix.sum(axis=1, keepdims=True).astype(np.float64)
        matrix = np.divide(matrix, total, out=np.full(matrix.shape, np.nan), where=total != 0)
    return matrix, categories


def co_occurrence(
    coordinates: Any,
    labels: Any,
    *,
    interval: int | Sequence[float] = 50,
    libraries: Any = None,
    annular: bool = False,
    n_observations: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> CoOccurrence:
    """How much more often a label is found near another than near any cell, by distance.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite; any unit.
    labels
        (cells,) labels, one for every cell.
    interval
        Distances, at least two, which are sorted; or how many, evenly spaced. These start at the distance between the two
        cells of smallest coordinate sum and end at half of that from the smallest to the largest, as squidpy has it (over
        several libraries: the smallest start, the largest end).
    libraries
        (cells,) labels of libraries: only pairs within one count. ``None``: one library.
    annular
        ``False``: all pairs up to each distance. ``True``: those between a distance and the one before. Either way the first
        distance has no layer of its own.
    n_observations
        Look from at most this many cells of each library, a random choice, at all cells. ``None``: all pairs of cells count.
    seed
        Seed of the choice.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    CoOccurrence
        ``occ`` (k, k, L - 1), ``interval`` (L,), ``counts`` (L - 1, k, k) and ``categories``.

    Raises
    ------
    ParameterError
        Fewer than two distances, distances below 0 or equal, or too few cells to choose them.
    DataError
        NaN or infinity, other than 2 or 3 columns, labels that do not fit or are missing.

    Notes
    -----
    Exact, in double precision; random is only which cells are looked from. At most cells^2 / 2 distances (`n_observations` x cells);
    boxes of cells that all fall between two of the distances are counted as a whole. Memory: about 100 bytes per cell, and 8 k^2 L
    bytes for some four counts per thread.

    References
    ----------
    Tosti et al., Gastroenterology 160 (2021), for the ratio.
    """
    places = places_of(coordinates)
    codes, categories = _labels(labels, len(places))
    sections, names = libraries_of(libraries, len(places))
    members = [np.flatnonzero(sections == library) for library in range(len(names))]
    distances = _distances(interval, places, members)
    chosen = _seed(seed)
    sample = None if n_observations is None else (_whole("n_observations", n_observations), chosen)
    k = len(categories)
    counts = np.zeros((len(distances), k, k), np.uint64)
    for cells in members:
        with reporting(progress) as callback:
            counts += _core.pairs_by_distance(
                np.ascontiguousarray(places[cells]), np.ascontiguousarray(codes[cells]), k, distances, sample, threads, callback
            )
    layers = counts[1:] if annular else np.cumsum(counts, axis=0)[1:]
    near = layers.sum(axis=2).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        # Labels of what is near any cell; of all pairs both sides are the same.
        share = layers.sum(axis=1) / near.sum(axis=1, keepdims=True)
        ratio = layers / near[:, :, None] / share[:, None, :]
    ratio[~np.isfinite(ratio)] = np.nan
    return CoOccurrence(np.ascontiguousarray(ratio.transpose(2, 1, 0)), distances, layers, categories)


def _distances(interval: Any, places: np.ndarray, members: list[np.ndarray]) -> np.ndarray:
    if np.ndim(interval) == 0:
        many = _whole("interval", interval, 100_000)
        if many < 2:
            raise ParameterError(f"parameter `interval`: expected at least 2 distances, found {many}")
        ends = [_ends(places[cells]) for cells in members if len(cells) >= 3]
        if not ends:
            raise ParameterError("parameter `interval`: expected distances where no library has three cells, found their number")
        least, most = min(end[0] for end in ends), max(end[1] for end in ends)
        if not least < most:
            raise ParameterError(
                f"parameter `interval`: expected distances, since those chosen from the cells do not rise ({least} to {most}), "
                f"found their number, {many}"
            )
        return np.linspace(least, most, many)
    try:
        values = np.sort(np.asarray(list(interval), dtype=np.float64))
    except (TypeError, ValueError):
        raise ParameterError(f"parameter `interval`: expected distances or their number, found {interval!r}") from None
    if len(values) < 2 or not np.isfinite(values).all():
        raise ParameterError(f"parameter `interval`: expected at least 2 finite distances, found {values.tolist()}")
    return values


def _ends(places: np.ndarray) -> tuple[float, float]:
    sums = places.sum(axis=1)
    first, second = np.lexsort([sums])[:2]
    last = int(np.argmax(sums))

    def far(one: int, other: int) -> float:
        # In the order of operations that distances are computed in elsewhere: the least of them is one between two cells.
        sides = [float(one - other) for one, other in zip(places[one], places[other], strict=True)]
        return math.sqrt(sum(side * side for side in sides))

    return far(first, second), far(first, last) / 2


def spatial_autocorr(
    graph: Any,
    X: Any,
    *,
    mode: str = "moran",
    transformation: bool = True,
    n_perms: int | None = None,
    two_tailed: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> SpatialAutocorr:
    """Moran's I or Geary's C of every column over a graph of neighbours.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of weights.
    X
        (n, columns) matrix, scipy sparse or numpy: genes, scores. Sparse ones are never made dense.
    mode
        ``"moran"``: near 1 where neighbours are alike, -1 / (n - 1) by chance. ``"geary"``: near 0 and 1.
    transformation
        Divide the weights of each cell by the sum of their absolute values.
    n_perms
        Also score this many permutations of the cells, at least 1.
    two_tailed
        Double the p values from normal distributions. One-tailed ones are of the side on which the score lies.
    seed
        Seed of the permutations; each has random numbers of its own and is the same for all columns.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number, and for dense and
        sparse matrices.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    SpatialAutocorr
        Scores, p values and variances.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Fewer than three cells, no edges, weights that sum to zero, NaN or infinity, shapes that do not fit.

    Notes
    -----
    Time: for each column the edges of its cells that are not zero (all edges where half or more are not), ``n_perms`` times
    that beside. Memory: a copy of X by columns (12 bytes per value that is not zero), 16 bytes per edge, 8 per cell and
    thread. Permutations move values between cells; squidpy shuffles the rows of the weights, whose scores have mean 0 instead of
    -1 / (n - 1).

    References
    ----------
    Moran, Biometrika 37 (1950); Geary, The Incorporated Statistician 5 (1954); Cliff and Ord, Spatial Processes (1981).
    """
    from scipy.stats import norm

    if mode not in ("moran", "geary"):
        raise ParameterError(f"parameter `mode`: expected 'moran' or 'geary', found {mode!r}")
    edges = _graph(graph)
    n = len(edges[0]) - 1
    matrix = as_matrix(X, "X")
    if matrix.shape[0] != n:
        raise ShapeError(f"`X`: expected {n} rows, one per cell of the graph, found {matrix.shape[0]}")
    columns = sparse.csc_matrix(matrix)
    columns.sort_indices()
    if not np.isfinite(columns.data).all():
        raise NonFiniteError("`X`: expected finite values, found NaN or infinity")
    options = to_json(
        mode=mode,
        transformation=bool(transformation),
        n_perms=None if n_perms is None else _whole("n_perms", n_perms),
        seed=_seed(seed),
    )
    parts = (
        np.ascontiguousarray(columns.indptr, dtype=np.int64),
        np.ascontiguousarray(columns.indices, dtype=np.int32),
        np.ascontiguousarray(columns.data, dtype=np.float64),
    )
    with reporting(progress) as callback:
        score, expected, variance, permuted = _core.spatial_autocorr(edges, parts, options, threads, callback)
    sides = 2.0 if two_tailed else 1.0

    def p_value(mean: Any, spread: Any) -> np.ndarray:
        with np.errstate(invalid="ignore", divide="ignore"):
            return sides * norm.sf(np.abs((score - mean) / np.sqrt(spread)))

    pval_norm = p_value(expected, variance)
    if permuted is None or n_perms is None:
        return SpatialAutocorr(score, pval_norm, variance, expected, None, None, None)
    at_least, means, variances = permuted
    beyond = np.minimum(at_least, n_perms - at_least.astype(np.int64))
    pval_sim = np.where(np.isnan(score), np.nan, (beyond + 1) / (n_perms + 1))
    return SpatialAutocorr(score, pval_norm, variance, expected, p_value(means, variances), pval_sim, variances)
