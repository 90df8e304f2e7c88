"""Diffusion maps and pseudotime of a graph, on scipy and numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError
from ._umap import _whole


class Diffmap(NamedTuple):
    """What `diffmap` returns."""

    #: (n, n_comps) float32: unit eigenvectors, the first the steady state; largest entry in magnitude positive.
    vectors: np.ndarray
    #: (n_comps,) float64: eigenvalues, falling, the first 1.
    values: np.ndarray
    #: Largest ``|T x - value x|`` among the vectors.
    residual: float
    #: Products of the matrix with a vector that were needed.
    products: int


def as_graph(graph: Any, name: str = "graph") -> sparse.csr_matrix:
    """A square scipy CSR matrix of numbers, from any sparse or dense one."""
    graph = as_matrix(graph, name)
    if graph.shape[0] != graph.shape[1]:
        raise ShapeError(f"`{name}`: expected a square matrix, found shape {graph.shape}")
    return graph.tocsr() if sparse.issparse(graph) else sparse.csr_matrix(graph)


def diffmap(
    graph: Any,
    *,
    n_comps: int = 15,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Diffmap:
    """Diffusion map: leading eigenvectors of the density-normalised random walk on a graph of n cells.

    Parameters
    ----------
    graph
        (n, n) symmetric weights, sparse or dense, at least 0; every cell needs an edge. One that is not symmetric counts
        as the mean of itself and its transpose.
    n_comps
        Eigenvectors, the steady state included, 3 to 500; with n cells at most n - 1 are given.
    seed
        Seed of the starting vector; changes rounding only.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Diffmap
        ``(vectors, values, residual, products)``. The eigenvalues are those largest in magnitude.

    Raises
    ------
    ParameterError, ShapeError, DataError, NotConvergedError
        For an option out of range; a matrix that is not square; weights that are negative or not finite, or a cell without
        an edge.

    Notes
    -----
    Restarted Lanczos iteration with partial reorthogonalisation in float64, residual 1e-10. Memory: 8 (2 n_comps + 30)
    bytes per cell.
    Reference: Coifman and Lafon 2006, Appl. Comput. Harmon. Anal. 21, 5.
    """
    options = to_json(n_comps=_whole("n_comps", n_comps), seed=_whole("seed", seed))
    with reporting(progress) as callback:
        return Diffmap(*_core.diffmap(as_graph(graph), options, threads, callback))


def pseudotime(
    graph: Any,
    vectors: Any,
    values: Any,
    *,
    root: int,
    n_dcs: int = 10,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Diffusion pseudotime: distance along the diffusion from one root cell, 1 at the furthest cell.

    Parameters
    ----------
    graph
        (n, n) weights whose connected parts count: cells that nothing joins to the root have infinite pseudotime.
    vectors
        (n, c) eigenvectors, as `diffmap` returns them.
    values
        (c,) eigenvalues.
    root
        Index of the root cell.
    n_dcs
        Components to use, from the first; 1 to c.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n,) float32.

    Raises
    ------
    ParameterError, ShapeError, NonFiniteError
        For ``n_dcs`` or ``root`` out of range; shapes that disagree; values that are not finite.

    Notes
    -----
    Components with an eigenvalue of at least 0.9994 count as stationary, with weight 1, as in scanpy.
    References: Haghverdi et al. 2016, Nature Methods 13, 845; Wolf et al. 2019, Genome Biology 20, 59.
    """
    vectors, values = _map(vectors, values)
    options = to_json(n_dcs=_whole("n_dcs", n_dcs))
    with reporting(progress) as callback:
        return _core.pseudotime(as_graph(graph), vectors, values, _whole("root", root), options, threads, callback)


def _map(vectors: Any, values: Any) -> tuple[np.ndarray, np.ndarray]:
    """A diffusion map whose shapes agree: vectors float32 (n, c), eigenvalues float64 (c,)."""
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    values = np.ascontiguousarray(values, dtype=np.float64)
    if vectors.ndim != 2 or values.ndim != 1 or vectors.shape[1] != len(values):
        raise ShapeError(
            f"`vectors`, `values`: expected shapes (n, c) and (c,), found {vectors.shape} and {values.shape}"
        )
    return vectors, values


class Branchings(NamedTuple):
    """What `dpt_branchings` returns."""

    #: (n,) int64: segment of each cell, from 0.
    groups: np.ndarray
    #: (segments, 2) int64: the cells at the ends of each segment, the one nearer to the root first.
    tips: np.ndarray
    #: (n,) int64: cells by segment, and within it by distance from the root.
    order: np.ndarray
    #: (segments - 1,) int64: places in `order` where a new segment begins.
    changepoints: np.ndarray


def dpt_branchings(
    graph: Any,
    vectors: Any,
    values: Any,
    *,
    root: int,
    n_dcs: int = 10,
    n_branchings: int = 0,
    min_group_size: float = 0.01,
    allow_kendall_tau_shift: bool = True,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Branchings:
    """Segments of cells between the tips of the diffusion, from successive splits into branches.

    Each split takes the segment that reaches furthest aside from the line between its two tips and cuts a branch off at
    each of three tips: the cells, in order of distance from the tip, whose distances to the other two tips run together,
    up to the largest difference between Kendall's tau of those and of the rest. What several tips take, or none, is
    undecided between them and keeps the number of the segment; without such cells, the branch in the middle does.

    Parameters
    ----------
    graph
        (n, n) weights; in one part.
    vectors
        (n, c) eigenvectors, as `diffmap` returns them.
    values
        (c,) eigenvalues.
    root
        Index of the root cell.
    n_dcs
        Components to use, from the first; 1 to c.
    n_branchings
        Splits at most; 0 leaves all cells in one segment. Fewer are made where no segment is left to split.
    min_group_size
        Segments of this many cells or fewer are not split; below 1 a fraction of all cells.
    allow_kendall_tau_shift
        Let a branch that would take more than 95% of its segment have 5% less.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Branchings
        ``(groups, tips, order, changepoints)``.

    Raises
    ------
    ParameterError, ShapeError, DataError
        For an option or ``root`` out of range; shapes that disagree; values that are not finite; a graph of several parts.

    Notes
    -----
    Nothing is random. A split costs O(n log^2 n) time for the n cells of its segment, where comparing all pairs costs
    O(n^2); memory about 200 bytes per cell. Tau here counts a tie as neither concordant nor discordant.
    Reference: Haghverdi et al. 2016, Nature Methods 13, 845.
    """
    vectors, values = _map(vectors, values)
    if not np.isfinite(min_group_size):
        raise ParameterError(f"parameter `min_group_size`: expected a number of at least 0, found {min_group_size}")
    if not isinstance(allow_kendall_tau_shift, (bool, np.bool_)):
        raise ParameterError(
            f"parameter `allow_kendall_tau_shift`: expected True or False, found {allow_kendall_tau_shift!r}"
        )
    options = to_json(
        n_dcs=_whole("n_dcs", n_dcs),
        n_branchings=_whole("n_branchings", n_branchings),
        min_group_size=float(min_group_size),
        allow_kendall_tau_shift=allow_kendall_tau_shift,
    )
    with reporting(progress) as callback:
        return Branchings(
            *_core.dpt_branchings(as_graph(graph), vectors, values, _whole("root", root), options, threads, callback)
        )


def _labels(labels: Any, n_groups: int | None, name: str = "labels") -> tuple[np.ndarray, int]:
    """Group of each cell as uint32, and how many groups there are."""
    codes = np.asarray(labels)
    if codes.ndim != 1:
        raise ShapeError(f"`{name}`: expected one dimension, found shape {codes.shape}")
    if codes.dtype.kind not in "iu" or (codes.size and codes.min() < 0):
        raise ParameterError(f"parameter `{name}`: expected whole numbers of at least 0, found dtype {codes.dtype} or less")
    groups = int(codes.max()) + 1 if codes.size else 0
    return codes.astype(np.uint32), groups if n_groups is None else _whole("n_groups", n_groups)
