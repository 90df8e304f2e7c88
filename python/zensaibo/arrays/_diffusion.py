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
    Chebyshev-filtered subspace iteration in float64 (Lanczos iteration where eigenvalues lie very close), residual
    1e-10. Memory: 24 (n_comps + 16) bytes per cell.
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
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    values = np.ascontiguousarray(values, dtype=np.float64)
    if vectors.ndim != 2 or values.ndim != 1 or vectors.shape[1] != len(values):
        raise ShapeError(
            f"`vectors`, `values`: expected shapes (n, c) and (c,), found {vectors.shape} and {values.shape}"
        )
    options = to_json(n_dcs=_whole("n_dcs", n_dcs))
    with reporting(progress) as callback:
        return _core.pseudotime(as_graph(graph), vectors, values, _whole("root", root), options, threads, callback)


def _labels(labels: Any, n_groups: int | None, name: str = "labels") -> tuple[np.ndarray, int]:
    """Group of each cell as uint32, and how many groups there are."""
    codes = np.asarray(labels)
    if codes.ndim != 1:
        raise ShapeError(f"`{name}`: expected one dimension, found shape {codes.shape}")
    if codes.dtype.kind not in "iu" or (codes.size and codes.min() < 0):
        raise ParameterError(f"parameter `{name}`: expected whole numbers of at least 0, found dtype {codes.dtype} or less")
    groups = int(codes.max()) + 1 if codes.size else 0
    return codes.astype(np.uint32), groups if n_groups is None else _whole("n_groups", n_groups)
