"""RNA velocity on scipy and numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_dense, as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError
from ._diffusion import as_graph
from ._umap import _number, _whole


class Velocity(NamedTuple):
    """What `velocity` returns."""

    #: (n, g) float32: unspliced beyond the steady state, in units of the counts.
    velocity: np.ndarray
    #: (g,) float64: steady-state ratio of unspliced to spliced.
    gamma: np.ndarray
    #: (g,) float64: the ratio by extreme quantiles alone.
    qreg_ratio: np.ndarray
    #: (g,) float64: coefficient of determination of the fit by extreme quantiles.
    r2: np.ndarray
    #: (g,) bool: genes that fit well enough to be used downstream.
    genes: np.ndarray
    #: Threshold of ``r2`` that was used.
    min_r2: float


class VelocityGraph(NamedTuple):
    """What `velocity_graph` returns."""

    #: (n, n) csr, float32: positive cosines.
    positive: sparse.csr_matrix
    #: (n, n) csr, float32: negative cosines.
    negative: sparse.csr_matrix
    #: (n,) float64: what each cell's best cosine lacks to the 98th percentile of all, 0 to 1.
    self_transition: np.ndarray


def _csr(parts: tuple[Any, Any, Any], n: int) -> sparse.csr_matrix:
    indptr, indices, values = parts
    return sparse.csr_matrix((values, indices, indptr), shape=(n, n))


def moments(
    graph: Any, counts: Any, *, threads: int | None = None, progress: bool | Progress | None = None
) -> np.ndarray:
    """Mean of each gene over each cell and its neighbours.

    Parameters
    ----------
    graph
        (n, n) weights or distances: every positive entry is a neighbour, all alike; each cell counts itself once.
    counts
        (n, g) matrix, sparse or dense.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n, g) float32, dense.

    Raises
    ------
    ShapeError, NonFiniteError
        A number of cells that disagrees; values that are not finite.

    Notes
    -----
    O(edges x stored values per cell). Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    counts = as_matrix(counts, "counts")
    with reporting(progress) as callback:
        return _core.velocity_moments(as_graph(graph), counts, threads, callback)


def velocity(
    spliced_means: Any,
    unspliced_means: Any,
    *,
    spliced: Any = None,
    unspliced: Any = None,
    graph: Any = None,
    eligible: Any = None,
    mode: str = "stochastic",
    perc: float = 95.0,
    min_r2: float = 0.01,
    min_ratio: float = 0.01,
    r2_adjusted: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Velocity:
    """Velocities by the steady-state or the stochastic model.

    Parameters
    ----------
    spliced_means, unspliced_means
        (n, g) moments of spliced and unspliced counts, as `moments` returns them.
    spliced, unspliced, graph
        The counts (n, g) and the graph (n, n) that the moments were taken on; needed by ``"stochastic"`` and refused by
        ``"deterministic"``.
    eligible
        (g,) flags: which genes may become velocity genes; default all.
    mode
        ``"deterministic"`` (steady state) or ``"stochastic"`` (which adds second moments).
    perc
        Percentile, 0 to 100: the ratio is fitted on the cells with most spliced and unspliced.
    min_r2, min_ratio
        A velocity gene must have a coefficient of determination and a ratio above these. Where fewer than two genes have,
        the fifth of genes with the best coefficients is taken.
    r2_adjusted
        Whether the coefficient of determination is that of a fit on all cells, not on the extreme ones.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Velocity
        ``(velocity, gamma, qreg_ratio, r2, genes, min_r2)``.

    Raises
    ------
    ParameterError, ShapeError, NonFiniteError
        For options out of range or counts that are missing; shapes that disagree; values that are not finite.

    Notes
    -----
    References: La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    s, u = as_dense(spliced_means, "spliced_means"), as_dense(unspliced_means, "unspliced_means")
    if s.shape != u.shape:
        raise ShapeError(f"`unspliced_means`: expected shape {s.shape}, found {u.shape}")
    given = {"spliced": spliced, "unspliced": unspliced, "graph": graph}
    counts = None
    if mode == "stochastic":
        missing = [name for name, value in given.items() if value is None]
        if missing:
            raise ParameterError(f"parameter `{missing[0]}`: expected a matrix with mode='stochastic', found None")
        counts = (as_matrix(spliced, "spliced"), as_matrix(unspliced, "unspliced"), as_graph(graph))
    elif any(value is not None for value in given.values()):
        raise ParameterError("parameters `spliced`, `unspliced`, `graph`: expected None with mode='deterministic'")
    if eligible is not None:
        eligible = np.ascontiguousarray(eligible, dtype=bool)
    options = to_json(
        mode=mode,
        perc=_number("perc", perc),
        min_r2=_number("min_r2", min_r2),
        min_ratio=_number("min_ratio", min_ratio),
        r2_adjusted=r2_adjusted,
    )
    with reporting(progress) as callback:
        return Velocity(**_core.velocity(s, u, counts, eligible, options, threads, callback))


def velocity_graph(
    expression: Any,
    velocity: Any,
    distances: Any,
    *,
    n_recurse_neighbors: int = 2,
    sqrt_transform: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> VelocityGraph:
    """Cosine correlation between each cell's velocity and the steps to its neighbours, and to theirs.

    Parameters
    ----------
    expression, velocity
        (n, g) smoothed spliced counts and velocities of the velocity genes.
    distances
        (n, n) sparse: distances to the nearest neighbours of each cell.
    n_recurse_neighbors
        How far a cell looks: 1 for its neighbours, 2 for theirs as well, at most 3.
    sqrt_transform
        Whether steps and velocities are replaced by their square roots, signs kept.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    VelocityGraph
        ``(positive, negative, self_transition)``.

    Raises
    ------
    ParameterError, ShapeError, NonFiniteError, DataError
        For options out of range; shapes that disagree; values that are not finite; a cell without neighbours.

    Notes
    -----
    O(n x neighbours^recursion x g). Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    x, v = as_dense(expression, "expression"), as_dense(velocity, "velocity")
    if x.shape != v.shape:
        raise ShapeError(f"`velocity`: expected shape {x.shape}, found {v.shape}")
    options = to_json(
        n_recurse_neighbors=_whole("n_recurse_neighbors", n_recurse_neighbors), sqrt_transform=sqrt_transform
    )
    with reporting(progress) as callback:
        positive, negative, stay = _core.velocity_graph(x, v, as_graph(distances, "distances"), options, threads, callback)
    return VelocityGraph(_csr(positive, len(x)), _csr(negative, len(x)), stay)


def transition_matrix(
    positive: Any,
    negative: Any = None,
    *,
    scale: float = 10.0,
    self_transitions: bool = True,
    use_negative_cosines: bool = False,
    backward: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> sparse.csr_matrix:
    """Transition probabilities between cells from the cosines of a velocity graph.

    Parameters
    ----------
    positive, negative
        (n, n) cosines, as `velocity_graph` returns them; without ``negative`` there are none.
    scale
        A step of cosine c has weight exp(scale c); above 0, at most 50.
    self_transitions
        Whether a cell may stay, the more likely the worse its best cosine is.
    use_negative_cosines
        Whether steps against the velocity get negative entries in place of small ones.
    backward
        Whether to go against the velocities: the matrix is transposed before rows are scaled.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n, n) csr, float32; magnitudes of a row sum to 1, or to 0 where a cell has no cosine.

    Raises
    ------
    ParameterError, ShapeError, DataError
        For ``scale`` out of range; matrices of different shape; values outside -1 to 1.

    Notes
    -----
    Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    positive = _rows(positive, "positive")
    negative = sparse.csr_matrix(positive.shape, dtype=np.float32) if negative is None else _rows(negative, "negative")
    options = to_json(
        scale=_number("scale", scale),
        self_transitions=self_transitions,
        use_negative_cosines=use_negative_cosines,
        backward=backward,
    )
    with reporting(progress) as callback:
        return _csr(_core.transition_matrix(positive, negative, options, threads, callback), positive.shape[0])


def velocity_embedding(
    transitions: Any,
    positions: Any,
    *,
    autoscale: bool = True,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Arrows in an embedding: the expected direction of each cell.

    Parameters
    ----------
    transitions
        (n, n) probabilities, as `transition_matrix` returns them.
    positions
        (n, d) finite coordinates.
    autoscale
        Whether all arrows are scaled by one factor to a length that can be drawn.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n, d) float64.

    Raises
    ------
    ShapeError, NonFiniteError
        Shapes that disagree; values that are not finite.

    Notes
    -----
    References: La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    options = to_json(autoscale=autoscale)
    positions = as_dense(positions, "positions", np.float64)
    with reporting(progress) as callback:
        return _core.velocity_embedding(_rows(transitions, "transitions"), positions, options, threads, callback)


def _rows(matrix: Any, name: str) -> sparse.csr_matrix:
    """A canonical csr matrix of any sign."""
    matrix = as_matrix(matrix, name)
    return matrix.tocsr() if sparse.issparse(matrix) else sparse.csr_matrix(matrix)
