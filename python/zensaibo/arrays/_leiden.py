"""Communities of a graph and scores of partitions, on scipy and numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, ShapeError


class Leiden(NamedTuple):
    """Result of `leiden`."""

    #: (n,) uint32. Community of each node, numbered by decreasing size.
    membership: np.ndarray
    #: Number of communities.
    n_communities: int
    #: Value of the objective that was maximised, at its resolution.
    quality: float
    #: Modularity at resolution 1.
    modularity: float
    #: Iterations done.
    iterations: int
    #: Whether it stopped because nothing changed any more, or too little to go on for.
    converged: bool


class Agreement(NamedTuple):
    """Result of `partition_agreement`."""

    #: Adjusted Rand index: 1 for equal partitions, about 0 for independent ones.
    adjusted_rand: float
    #: Mutual information over the mean of both entropies, between 0 and 1.
    normalized_mutual_information: float


def _graph(graph: Any, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Row pointers, neighbours and weights as the extension takes them; without a copy where types allow."""
    if not sparse.issparse(graph):
        array = np.asarray(graph)
        if array.ndim != 2:
            raise ShapeError(f"`{name}`: expected a square matrix, found shape {array.shape}")
        if array.dtype.kind not in "buif":
            raise DataError(f"`{name}`: expected numbers, found dtype {array.dtype}")
        graph = sparse.csr_matrix(array)
    if graph.shape[0] != graph.shape[1]:
        raise ShapeError(f"`{name}`: expected a square matrix, found shape {graph.shape}")
    if graph.format != "csr":
        graph = graph.tocsr()
    if graph.dtype.kind not in "buif":
        raise DataError(f"`{name}`: expected numbers, found dtype {graph.dtype}")
    with np.errstate(over="ignore"):
        weights = np.ascontiguousarray(graph.data, dtype=np.float32)
    indices = np.ascontiguousarray(graph.indices)
    if indices.dtype == np.int32:
        indices = indices.view(np.uint32)  # a negative index becomes a large one, and is refused as such
    else:
        if indices.size and not (0 <= indices.min() and indices.max() < graph.shape[1]):
            raise DataError(f"`{name}`: expected indices in 0..{graph.shape[1]}, found others")
        indices = indices.astype(np.uint32)
    return np.ascontiguousarray(graph.indptr, dtype=np.uint64), indices, weights


def _codes(labels: Any, name: str) -> np.ndarray:
    """Labels of any kind as numbers 0, 1, ...; missing ones are refused."""
    import pandas as pd

    values = getattr(labels, "to_numpy", lambda: np.asarray(labels))()
    if values.ndim != 1:
        raise ShapeError(f"`{name}`: expected one dimension, found shape {values.shape}")
    codes, _ = pd.factorize(values, use_na_sentinel=True)
    if (codes < 0).any():
        raise DataError(f"`{name}`: expected a label for each item, found none for {int((codes < 0).sum())}")
    return codes.astype(np.uint32)


def leiden(
    graph: Any,
    *,
    resolution: float = 1.0,
    objective: str = "modularity",
    n_iterations: int = -1,
    tolerance: float = 1e-4,
    theta: float = 0.3,
    use_weights: bool = True,
    seed: int = 0,
    initial_membership: Any = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Leiden:
    """Leiden communities of a weighted undirected graph.

    Parameters
    ----------
    graph
        (n, n) symmetric matrix, sparse or dense, weights finite and at least 0 (used as float32). Zeros count as
        no edge; the diagonal counts once in its row. Halves of an edge that differ by rounding are averaged.
    resolution
        Coarseness, at least 0; larger values give more, smaller communities. For ``objective="cpm"`` a density
        in units of edge weight, typically well below 1.
    objective
        ``"modularity"`` (with resolution, the configuration model of Reichardt and Bornholdt) or ``"cpm"`` (the
        constant Potts model, free of the resolution limit).
    n_iterations
        Iterations, each starting from the partition of the one before; -1 until one gains too little (`tolerance`), which
        also tries new starts on a coarse copy of the graph.
    tolerance
        With ``n_iterations=-1``, an iteration that raises the objective by no more than this share of it is the last; at
        least 0, below 1. 0 goes on until no label changes, which takes large graphs several times as long.
    theta
        Randomness of the refinement, in units of the mean edge weight; 0 takes the best merge always.
    use_weights
        Whether weights count; if not, every edge counts 1.
    seed
        Seed of every random choice, a whole number of at least 0.
    initial_membership
        (n,) labels of any kind to start from; by default each node is alone.
    threads
        Threads; by default one per core. The result does not depend on it.
    progress
        ``None`` shows a bar on a terminal, ``True`` always, ``False`` never; or a callable
        ``(stage, done, total)``.

    Returns
    -------
    `Leiden`. Every community is connected; communities are numbered by decreasing size (of equals, the one with
    the smallest node first).

    Raises
    ------
    ParameterError, DataError
        For an option outside its range; for a graph that is not square, not symmetric, or has weights that are negative
        or not finite; for an initial membership of the wrong length.

    Notes
    -----
    Time is O(edges) per iteration; memory about 100 bytes per node and at most 32 per stored edge.

    References
    ----------
    Traag, Waltman, van Eck (2019), From Louvain to Leiden, Scientific Reports 9, 5233.
    """
    indptr, indices, weights = _graph(graph, "graph")
    n = len(indptr) - 1
    initial = None
    if initial_membership is not None:
        initial = _codes(initial_membership, "initial_membership")
        if len(initial) != n:
            raise ShapeError(f"`initial_membership`: expected {n} labels, one for each node, found {len(initial)}")
    options = to_json(
        resolution=resolution,
        objective=objective,
        n_iterations=n_iterations,
        tolerance=tolerance,
        theta=theta,
        use_weights=use_weights,
        seed=seed,
    )
    with reporting(progress) as callback:
        return Leiden(*_core.leiden(indptr, indices, weights, initial, options, threads, callback))


def modularity(
    graph: Any, labels: Any, *, resolution: float = 1.0, use_weights: bool = True, threads: int | None = None
) -> float:
    """Modularity of a partition: sum over pairs i, j of one community of ``(A_ij - resolution k_i k_j / 2m) / 2m``.

    Parameters
    ----------
    graph
        (n, n) symmetric matrix, sparse or dense, weights finite and at least 0; the diagonal counts once in its row.
    labels
        (n,) labels of any kind, none missing.
    resolution
        Weight of what chance expects, at least 0.
    use_weights
        Whether weights count; if not, every edge counts 1.
    threads
        Threads; by default one per core. The result does not depend on it.

    Returns
    -------
    A number of at most 1; 0 for a graph without edges.

    References
    ----------
    Newman and Girvan (2004), Phys. Rev. E 69, 026113; Reichardt and Bornholdt (2006), Phys. Rev. E 74, 016110.
    """
    indptr, indices, weights = _graph(graph, "graph")
    codes = _codes(labels, "labels")
    if len(codes) != len(indptr) - 1:
        raise ShapeError(f"`labels`: expected {len(indptr) - 1}, one for each node, found {len(codes)}")
    return _core.modularity(indptr, indices, weights, codes, float(resolution), use_weights, threads)


def partition_agreement(a: Any, b: Any) -> Agreement:
    """Adjusted Rand index and normalised mutual information (arithmetic mean) of two labellings of n items.

    Labels may be of any kind, none missing; their names do not matter. O(n log groups).

    References
    ----------
    Hubert and Arabie (1985), J. Classification 2, 193; Strehl and Ghosh (2002), JMLR 3, 583.
    """
    a, b = _codes(a, "a"), _codes(b, "b")
    if len(a) != len(b):
        raise ShapeError(f"`b`: expected {len(a)} labels, as many as `a`, found {len(b)}")
    return Agreement(*_core.partition_agreement(a, b))
