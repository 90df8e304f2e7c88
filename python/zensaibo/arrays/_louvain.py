"""Louvain communities of a graph, on scipy and numpy."""

from __future__ import annotations

from typing import Any

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ._leiden import Leiden, _graph


def louvain(
    graph: Any,
    *,
    resolution: float = 1.0,
    objective: str = "modularity",
    use_weights: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Leiden:
    """Louvain communities of a weighted undirected graph. (`leiden` finds better ones, all of them connected.)

    Parameters
    ----------
    graph
        (n, n) symmetric matrix, sparse or dense, weights finite and at least 0.
    resolution
        Coarseness, at least 0; larger values give more, smaller communities.
    objective
        ``"modularity"`` or ``"cpm"`` (the constant Potts model).
    use_weights
        Whether weights count; if not, every edge counts 1.
    seed
        Seed of the order of visits, a whole number of at least 0.
    threads
        Threads; default all cores. The result does not depend on it.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    `Leiden`, communities numbered by decreasing size. A community may fall into parts that no edge joins.

    Raises
    ------
    ParameterError, DataError
        For an option outside its range; for a graph that is not square, not symmetric, or has weights that are negative
        or not finite.

    Notes
    -----
    Passes over all levels are repeated until one changes nothing. O(edges) time per pass.
    Reference: Blondel et al. 2008, J. Stat. Mech. P10008.
    """
    indptr, indices, weights = _graph(graph, "graph")
    options = to_json(resolution=resolution, objective=objective, use_weights=use_weights, seed=seed)
    with reporting(progress) as callback:
        return Leiden(*_core.louvain(indptr, indices, weights, options, threads, callback))
