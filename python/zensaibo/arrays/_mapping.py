"""New cells and a reference: neighbours, projection, labels, places in a layout."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ..errors import DataError, NonFiniteError, ShapeError
from ._neighbors import Algorithm, Metric, _points


class Nearest(NamedTuple):
    """What `knn_query` returns."""

    indices: np.ndarray
    """(n, n_neighbors) uint32: rows of the reference, by distance, equal distances by row number."""
    distances: np.ndarray
    """(n, n_neighbors) float32, in the unit of the metric."""


class Votes(NamedTuple):
    """What `vote` returns."""

    labels: Any
    """(n,) `pandas.Categorical` with the categories of the reference."""
    confidence: np.ndarray
    """(n,) float64: share of the neighbours (of their weight) that bear the label, above 0 and at most 1."""


def knn_query(
    reference: np.ndarray,
    queries: np.ndarray,
    n_neighbors: int = 15,
    *,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Nearest:
    """The nearest rows of a reference for each row of other data.

    Parameters
    ----------
    reference
        (m, d) array.
    queries
        (n, d) array. A row that is in the reference too finds itself.
    n_neighbors
        Neighbours per query, 1 to m.
    metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    algorithm
        ``"exact"``; ``"approximate"``, as `knn` searches; or ``"auto"``: approximate where the reference has at least
        16,384 rows and there is a query for every 32 of them.
    threads
        Number of threads, None for all cores. The result is the same to the last bit for any number.
    progress
        None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `Nearest`.

    Raises
    ------
    ParameterError, DataError
        More neighbours than rows; different numbers of columns; NaN or infinity.

    Notes
    -----
    Cost: exact n m d multiply-adds, approximate m^2 d / 256 and a small part of n m d; 16 d bytes per row of both.
    """
    reference, queries = _points(reference), _points(queries)
    with reporting(progress) as callback:
        return Nearest(*_core.knn_query(reference, queries, n_neighbors, metric, algorithm, threads, callback))


#: Cells whose votes are counted at once.
_VOTERS = 65536


def vote(indices: np.ndarray, labels: Any, *, weights: np.ndarray | None = None) -> Votes:
    """The label of most weight among each row's neighbours; of equal ones the first category.

    Parameters
    ----------
    indices
        (n, k) rows of the reference, as `knn_query` returns them.
    labels
        (m,) labels of the reference.
    weights
        (n, k) weights of the votes, finite and at least 0, in each row at least one above 0. ``None``: 1 each.

    Returns
    -------
    `Votes`: labels with their shares of the neighbours' weight.

    Raises
    ------
    DataError
        Cells of the reference without a label; indices beyond them; weights that do not fit.
    """
    import pandas as pd

    codes, categories = codes_of(labels, "labels")
    indices = np.asarray(indices)
    if indices.ndim != 2 or indices.shape[1] == 0:
        raise ShapeError(f"`indices`: expected shape (n, k) with at least one neighbour, found {indices.shape}")
    if indices.size and indices.max() >= len(codes):
        raise DataError(f"`indices`: expected rows below {len(codes)}, found {indices.max()}")
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != indices.shape:
            raise ShapeError(f"`weights`: expected shape {indices.shape}, as `indices`, found {weights.shape}")
        wrong = np.flatnonzero(~((weights >= 0) & np.isfinite(weights)).all(axis=1) | ~(weights > 0).any(axis=1))
        if wrong.size:
            raise DataError(
                "`weights`: expected finite numbers of at least 0, in each row one above 0, found "
                f"{weights[wrong[0]].tolist()} in row {wrong[0]}"
            )
    best, shares = np.empty(len(indices), np.int64), np.empty(len(indices))
    for first in range(0, len(indices), _VOTERS):
        part = slice(first, first + _VOTERS)
        rows = len(indices[part])
        places = np.arange(rows)[:, None] * len(categories) + codes[indices[part]]
        given = None if weights is None else weights[part].ravel()
        sums = np.bincount(places.ravel(), given, rows * len(categories)).reshape(rows, len(categories))
        best[part] = sums.argmax(axis=1)
        shares[part] = sums[np.arange(rows), best[part]] / sums.sum(axis=1)
    return Votes(pd.Categorical.from_codes(best, categories=categories), shares)


def pca_project(
    X: Any,
    components: np.ndarray,
    *,
    center: np.ndarray | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Coordinates of cells along principal components made from other cells.

    Parameters
    ----------
    X
        Cells x genes: scipy csr or csc matrix or array, or numpy array; not made dense.
    components
        (k, genes) loadings.
    center
        (genes,) values to take off each cell first: the mean of the cells the components were made from. None: nothing.
    threads, progress
        See `knn_query`.

    Returns
    -------
    (cells, k) float32.

    Raises
    ------
    DataError
        Components or centre that do not fit the genes; NaN or infinity.
    """
    components = np.ascontiguousarray(components, dtype=np.float64)
    center = None if center is None else np.ascontiguousarray(center, dtype=np.float64)
    if components.ndim != 2:
        raise ShapeError(f"`components`: expected two dimensions, found shape {components.shape}")
    with reporting(progress) as callback:
        found = call(_core.pca_project, as_matrix(X, "X", stream=True), components, center, threads, callback)
    places = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if places.size:
        raise NonFiniteError(
            f"`X`: expected finite values (and `components`, `center`), found NaN, infinity or overflow in {places.size} "
            f"cells, the first in row {places[0]}"
        )
    return found


def umap_place(
    nearest: Nearest,
    layout: np.ndarray,
    *,
    a: float,
    b: float,
    maxiter: int | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    negative_sample_rate: int = 5,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Places of new points in a UMAP layout that stays as it is.

    Parameters
    ----------
    nearest
        Neighbours of the new points in the reference (`knn_query`).
    layout
        (m, d) layout of the reference.
    a, b
        Curve of the layout, as in ``uns["umap"]["params"]``.
    maxiter
        Epochs; None: 100 for up to 10,000 points, else 30. With 0 points stay at the mean of their neighbours.
    alpha, gamma, negative_sample_rate
        As in `zensaibo.arrays.umap`; new points move at a quarter of the learning rate.
    seed
        Of the repelling points. Each point has random numbers of its own: its place does not depend on the others.
    threads, progress
        See `knn_query`. The result is the same for any number of threads.

    Returns
    -------
    (n, d) float32.

    Raises
    ------
    ParameterError, DataError
        An option out of range; a layout with NaN, or too short for the neighbours.

    References
    ----------
    McInnes, Healy, Melville 2018, arXiv:1802.03426.
    """
    layout = np.ascontiguousarray(layout, dtype=np.float32)
    if layout.ndim != 2:
        raise ShapeError(f"`layout`: expected two dimensions, found shape {layout.shape}")
    options = to_json(
        n_components=layout.shape[1],
        maxiter=maxiter,
        alpha=alpha,
        gamma=gamma,
        negative_sample_rate=negative_sample_rate,
        seed=seed,
    )
    with reporting(progress) as callback:
        return _core.umap_place(
            np.ascontiguousarray(nearest.indices, dtype=np.uint32),
            np.ascontiguousarray(nearest.distances, dtype=np.float32),
            layout,
            float(a),
            float(b),
            options,
            threads,
            callback,
        )


def harmony_map(
    data: np.ndarray,
    batches: Any,
    centroids: np.ndarray,
    *,
    cluster_sizes: np.ndarray,
    cluster_sums: np.ndarray,
    sigma: float = 0.1,
    ridge_lambda: float = 1.0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Coordinates of new cells in the space of a reference corrected by Harmony, which stays as it is.

    Parameters
    ----------
    data
        (n, d) coordinates of the new cells along the axes of the reference, not corrected.
    batches
        (n,) labels: the batches among the new cells.
    centroids, cluster_sizes, cluster_sums
        The clusters of the reference, as `harmony` returns them.
    sigma
        Width of soft clustering, above 0; best that of the reference.
    ridge_lambda
        Ridge penalty of each batch, above 0; larger corrects less.
    threads, progress
        See `knn_query`. The result is the same for any number of threads.

    Returns
    -------
    (n, d) float32.

    Raises
    ------
    ParameterError, DataError
        An option out of range; clusters that do not fit the data; NaN; cells without a label.

    References
    ----------
    Kang, Nathan, Weinand et al., Nature Communications 12, 5890 (2021): Symphony.
    """
    points = _points(data)
    codes, categories = codes_of(batches, "batches")
    options = to_json(sigma=sigma, ridge_lambda=ridge_lambda)
    centroids = np.ascontiguousarray(centroids, dtype=np.float32)
    sizes = np.ascontiguousarray(cluster_sizes, dtype=np.float64)
    sums = np.ascontiguousarray(cluster_sums, dtype=np.float64)
    if centroids.ndim != 2 or sums.ndim != 2 or sizes.ndim != 1:
        found = f"{centroids.shape}, {sizes.shape} and {sums.shape}"
        raise ShapeError(f"`centroids`, `cluster_sizes`, `cluster_sums`: expected shapes (k, d), (k,), (k, d), found {found}")
    with reporting(progress) as callback:
        batch = ("batches", codes, len(categories))
        return _core.harmony_map(points, batch, centroids, sizes, sums, options, threads, callback)
