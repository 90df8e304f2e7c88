"""UMAP of a graph: scipy matrix in, coordinates out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, NonFiniteError, ParameterError, ShapeError


class Umap(NamedTuple):
    """What `umap` returns."""

    #: Coordinates, shape (n, n_components), float32.
    coordinates: np.ndarray
    #: Attraction curve 1 / (1 + a x^(2b)).
    a: float
    #: See `a`.
    b: float


def umap(
    graph: Any,
    *,
    min_dist: float = 0.5,
    spread: float = 1.0,
    n_components: int = 2,
    maxiter: int | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    negative_sample_rate: int = 5,
    init_pos: str | np.ndarray = "spectral",
    a: float | None = None,
    b: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Umap:
    """Coordinates in which vertices that a weighted graph joins lie close together.

    Parameters
    ----------
    graph
        Weights, shape (n, n), scipy sparse (any format) or dense; at least 0, larger is closer. One that is not
        symmetric counts as the mean of itself and its transpose. Self-loops are left out.
    min_dist
        How close points may lie, 0 to ``spread``. Ignored when ``a`` and ``b`` are given.
    spread
        Scale of the layout, above 0. Ignored when ``a`` and ``b`` are given.
    n_components
        Coordinates per vertex, 1 to 64.
    maxiter
        Epochs; default 500 up to 10,000 vertices, else 200. 0 returns the initial positions.
    alpha
        Learning rate of the first epoch, above 0.
    gamma
        Weight of repulsion, at least 0.
    negative_sample_rate
        Repelling points per attraction, at least 0.
    init_pos
        ``"spectral"``, ``"random"``, or positions of shape (n, n_components), which are brought to 0 to 10 per axis.
    a, b
        Attraction curve 1 / (1 + a x^(2b)), above 0; both or neither. Default: fitted from ``min_dist``, ``spread``.
    seed
        Seed of all random numbers, 0 to 2^64 - 1.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Umap
        ``(coordinates, a, b)``; coordinates float32, shape (n, n_components).

    Raises
    ------
    ParameterError
        An option outside its range.
    ShapeError, NonFiniteError, NegativeValuesError
        A graph that is not square or has such weights; positions of another shape or not finite.

    Notes
    -----
    Time is proportional to epochs x edges; memory beyond the graph is about 12 bytes per edge and 200 per vertex.
    Reference: McInnes, Healy, Melville 2018, arXiv:1802.03426.

    Examples
    --------
    >>> import numpy as np, zensaibo as zs
    >>> ring = np.roll(np.eye(30), 1, axis=1)
    >>> zs.arrays.umap(ring + ring.T).coordinates.shape
    (30, 2)
    """
    graph = as_matrix(graph, "graph")
    if not sparse.issparse(graph):
        graph = sparse.csr_matrix(graph)
    initial = None
    named = init_pos
    if isinstance(init_pos, str):
        if init_pos not in ("spectral", "random"):
            expected = "'spectral', 'random' or an array of positions"
            raise ParameterError(f"parameter `init_pos`: expected {expected}, found {init_pos!r}")
    else:
        initial, named = _positions(init_pos, graph.shape[0], n_components), "spectral"
    options = to_json(
        min_dist=_number("min_dist", min_dist),
        spread=_number("spread", spread),
        n_components=_whole("n_components", n_components),
        maxiter=None if maxiter is None else _whole("maxiter", maxiter),
        alpha=_number("alpha", alpha),
        gamma=_number("gamma", gamma),
        negative_sample_rate=_whole("negative_sample_rate", negative_sample_rate),
        init_pos=named,
        a=None if a is None else _number("a", a),
        b=None if b is None else _number("b", b),
        seed=_whole("seed", seed),
    )
    with reporting(progress) as callback:
        return Umap(*_core.umap(graph, initial, options, threads, callback))


def umap_curve(min_dist: float = 0.5, spread: float = 1.0) -> tuple[float, float]:
    """``a`` and ``b`` of 1 / (1 + a x^(2b)) fitted to the curve that ``min_dist`` and ``spread`` describe.

    Least squares on 300 points from 0 to 3 ``spread``, as umap-learn's `find_ab_params`, to about 1e-7.
    Raises `ParameterError` unless 0 <= min_dist <= spread and spread > 0.
    """
    return _core.umap_curve(_number("min_dist", min_dist), _number("spread", spread))


def _number(name: str, value: Any) -> float:
    """A finite float, or a `ParameterError`: JSON has no infinity or NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        number = np.nan
    if not np.isfinite(number):
        raise ParameterError(f"parameter `{name}`: expected a finite number, found {value!r}")
    return number


def _whole(name: str, value: Any) -> int:
    """A whole number of at least 0, or a `ParameterError`."""
    whole = isinstance(value, (int, np.integer)) and not isinstance(value, (bool, np.bool_))
    if not whole or not 0 <= int(value) < 2**64:
        raise ParameterError(f"parameter `{name}`: expected a whole number of at least 0, found {value!r}")
    return int(value)


def _positions(init_pos: Any, n: int, n_components: int) -> np.ndarray:
    """Initial positions as C-ordered float32 of shape (n, n_components)."""
    try:
        positions = np.ascontiguousarray(init_pos, dtype=np.float64)
    except (TypeError, ValueError):
        found = type(init_pos).__name__
        raise DataError(f"`init_pos`: expected 'spectral', 'random' or an array of numbers, found {found}") from None
    if positions.shape != (n, n_components):
        raise ShapeError(f"`init_pos`: expected shape ({n}, {n_components}), found {positions.shape}")
    bad = ~(np.abs(positions) <= np.finfo(np.float32).max)
    if bad.any():
        row = int(np.argwhere(bad)[0, 0])
        raise NonFiniteError(f"`init_pos`: expected finite float32 values, found {positions[bad][0]} in row {row}")
    return positions.astype(np.float32)
