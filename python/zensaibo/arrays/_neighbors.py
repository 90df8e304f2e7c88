"""Nearest neighbours and the weighted graphs made from them: numpy in, arrays out."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, ShapeError

Metric = Literal["euclidean", "cosine", "correlation"]
Algorithm = Literal["auto", "exact", "approximate"]
Method = Literal["umap", "gauss", "jaccard"]


class Neighbors(NamedTuple):
    """What `knn` returns."""

    indices: np.ndarray
    """(n, n_neighbors) uint32: the row itself, then the others by distance, equal distances by row number."""
    distances: np.ndarray
    """(n, n_neighbors) float32, in the unit of the metric; the first column is 0."""
    exact: bool
    """Whether every pair was looked at."""


class NeighborsGraph(NamedTuple):
    """What `neighbors_graph` returns."""

    distances: sparse.csr_matrix
    """(n, n), float32: ``n_neighbors - 1`` stored entries per row, nearest first, the row itself not among them."""
    connectivities: sparse.csr_matrix
    """(n, n), float32, symmetric, without self-loops."""


def knn(
    data: np.ndarray,
    n_neighbors: int = 15,
    *,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    exact_below: int = 16384,
    effort: float = 1.0,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Neighbors:
    """The nearest rows of every row.

    Parameters
    ----------
    data
        (n, d) array, float32 or float64 without a copy, other numbers as float64; a sparse matrix is made dense
        (4 or 8 bytes x n x d).
    n_neighbors
        Neighbours per row, the row itself included and counted first; 2 to n.
    metric
        ``"euclidean"``, ``"cosine"`` (1 - cosine; a row of zeros is at distance 1 from every other) or
        ``"correlation"`` (1 - Pearson correlation).
    algorithm
        ``"exact"`` looks at every pair; ``"approximate"`` at nearby clusters only; ``"auto"`` is exact for fewer
        than ``exact_below`` rows.
    effort
        Of the approximate search: larger finds more of the true neighbours and takes longer. On cell-like data
        recall is 0.992 to 0.998 at 1 on 100,000 generated cells; measure yours with `zensaibo.metrics.knn_recall`.
    seed
        Of the sample that the clusters are learnt from. The exact search is free of chance.
    threads
        Number of threads, None for all cores. The result is the same for any number.
    progress
        None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `Neighbors`. Distances are computed from differences in double precision, then rounded to float32.

    Raises
    ------
    ParameterError
        An option out of its range, or more neighbours than rows.
    DataError
        No rows or columns, NaN or infinity, a constant row with metric ``"correlation"``.

    Notes
    -----
    Cost: exact, n^2 d multiply-adds; approximate, a half to a quarter of that time at 100,000 cells and less on more (4.3 to 7.6
    CPU-seconds for 100,000 x 50 at recall 0.992 to 0.998). Memory: 8 d + 16 n_neighbors bytes per row beside the data.
    """
    options = to_json(
        n_neighbors=n_neighbors, metric=metric, algorithm=algorithm, exact_below=exact_below, effort=effort, seed=seed
    )
    with reporting(progress) as callback:
        return Neighbors(*_core.knn_search(_points(data), options, threads, callback))


def connectivities(
    indices: np.ndarray,
    distances: np.ndarray,
    *,
    method: Method = "umap",
    local_connectivity: float = 1.0,
    set_op_mix_ratio: float = 1.0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> sparse.csr_matrix:
    """The weighted, symmetric graph of given neighbours.

    Parameters
    ----------
    indices, distances
        (n, k) arrays as `knn` returns them: each row names itself first, then its neighbours by distance.
    method
        ``"umap"``: fuzzy simplicial set; ``"gauss"``: Gaussian kernel of adaptive width; ``"jaccard"``: share of
        common neighbours.
    local_connectivity
        With ``"umap"``: number of nearest neighbours that are surely connected.
    set_op_mix_ratio
        With ``"umap"``: 1 joins the two directions of an edge as a union, 0 as an intersection.
    threads, progress
        See `knn`.

    Returns
    -------
    (n, n) csr_matrix, float32, sorted, without self-loops or stored zeros. Free of chance.

    Raises
    ------
    ParameterError
        An option out of its range.
    DataError
        Arrays that differ in shape, indices out of range or repeated in a row, distances negative or not finite.

    References
    ----------
    umap: McInnes, Healy and Melville 2018. gauss: Haghverdi et al. 2016. jaccard: Levine et al. 2015.
    """
    indices, distances = _pair(indices, distances)
    options = to_json(method=method, local_connectivity=local_connectivity, set_op_mix_ratio=set_op_mix_ratio)
    with reporting(progress) as callback:
        indptr, columns, weights = _core.connectivities_from_neighbors(indices, distances, options, threads, callback)
    return _csr(weights, columns, indptr, len(indices))


def neighbors_graph(
    data: np.ndarray | None = None,
    n_neighbors: int = 15,
    *,
    indices: np.ndarray | None = None,
    distances: np.ndarray | None = None,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    effort: float = 1.0,
    method: Method = "umap",
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> NeighborsGraph:
    """Distances and connectivities as sparse matrices, from data or from neighbours found elsewhere.

    Give either ``data`` (searched by `knn`; see there for ``n_neighbors``, ``metric``, ``algorithm``, ``effort``,
    ``seed``) or both ``indices`` and ``distances``, whose first column is each row itself. ``method`` as in
    `connectivities`. ``threads`` (``None``: all) do not change the result.

    Returns
    -------
    `NeighborsGraph`.

    Raises
    ------
    DataError
        Both or neither of data and neighbours; neighbours that do not begin with the row itself; and as `knn` and
        `connectivities`.
    """
    given = indices is not None and distances is not None
    if (indices is None) != (distances is None) or given == (data is not None):
        raise DataError("`neighbors_graph`: expected either `data`, or `indices` and `distances`, found another choice")
    if data is not None:
        indices, distances, _ = knn(
            data,
            n_neighbors,
            metric=metric,
            algorithm=algorithm,
            effort=effort,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    indices, distances = _pair(indices, distances)
    graph = connectivities(indices, distances, method=method, threads=threads, progress=progress)
    return NeighborsGraph(distances_matrix(indices, distances), graph)


def distances_matrix(indices: np.ndarray, distances: np.ndarray) -> sparse.csr_matrix:
    """Neighbours as a sparse (n, n) matrix with k - 1 stored entries per row; duplicates are stored zeros.

    Columns stand by distance, as scanpy stores them, not sorted by number.
    """
    indices, distances = _pair(indices, distances)
    n, k = indices.shape
    wrong = np.flatnonzero(indices[:, 0] != np.arange(n, dtype=np.uint32)) if k else np.arange(n)
    if wrong.size:
        raise DataError(f"`indices`: expected each row to name itself first, found another in row {wrong[0]}")
    indptr = np.arange(0, n * (k - 1) + 1, k - 1, dtype=np.int64)
    return _csr(distances[:, 1:].ravel(), indices[:, 1:].ravel().astype(np.int32), indptr, n)


def _csr(values: np.ndarray, columns: np.ndarray, indptr: np.ndarray, n: int) -> sparse.csr_matrix:
    # scipy narrows indptr where it fits.
    return sparse.csr_matrix((values, columns, indptr), shape=(n, n), copy=False)


def _points(data: Any) -> np.ndarray:
    if sparse.issparse(data):
        data = data.toarray()
    array = np.asarray(data)
    if array.ndim != 2:
        raise ShapeError(f"`data`: expected two dimensions, found shape {array.shape}")
    if array.dtype not in (np.float32, np.float64):
        if array.dtype.kind not in "biuf":
            raise DataError(f"`data`: expected real numbers, found dtype {array.dtype}")
        array = array.astype(np.float64)
    return np.ascontiguousarray(array)


def _pair(indices: Any, distances: Any) -> tuple[np.ndarray, np.ndarray]:
    indices, distances = np.asarray(indices), np.asarray(distances)
    if indices.ndim != 2 or indices.shape != distances.shape:
        found = f"{indices.shape} and {distances.shape}"
        raise ShapeError(f"`indices`, `distances`: expected two arrays of one shape (n, k), found {found}")
    if indices.dtype.kind not in "iu":
        raise DataError(f"`indices`: expected whole numbers, found dtype {indices.dtype}")
    if indices.dtype != np.uint32:
        if indices.size and (indices.min() < 0 or indices.max() >= len(indices)):
            found = f"{indices.min()} to {indices.max()}"
            raise DataError(f"`indices`: expected rows from 0 to below {len(indices)}, found {found}")
        indices = indices.astype(np.uint32)
    if distances.dtype.kind not in "iuf":
        raise DataError(f"`distances`: expected numbers, found dtype {distances.dtype}")
    return np.ascontiguousarray(indices), np.ascontiguousarray(distances, dtype=np.float32)
