"""Abstracted graphs of groups of cells, on scipy and numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ._diffusion import _labels, as_graph
from ._umap import _whole


class Paga(NamedTuple):
    """What `paga` returns."""

    #: (groups, groups) float64, symmetric: confidence that two groups are connected.
    connectivities: np.ndarray
    #: (groups, groups) float64: the links of the strongest tree, each once, above the diagonal.
    tree: np.ndarray
    #: (groups,) uint64: cells in each group.
    sizes: np.ndarray


def paga(
    graph: Any,
    labels: Any,
    *,
    n_groups: int | None = None,
    model: str = "v1.2",
    n_neighbors: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Paga:
    """Connectivities of groups of cells (partition-based graph abstraction).

    Parameters
    ----------
    graph
        (n, n) sparse matrix whose stored entries are the edges, whatever their value: distances to the nearest
        neighbours for model v1.2, symmetric connectivities for v1.0.
    labels
        (n,) group of each cell, 0, 1, ...
    n_groups
        Number of groups; default: the largest label + 1.
    model
        ``"v1.2"``: directed edges against edges drawn at random, at most 1. ``"v1.0"``: undirected edges against
        neighbours x the geometric mean of the sizes.
    n_neighbors
        Neighbours per cell, for model v1.0 only.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Paga
        ``(connectivities, tree, sizes)``.

    Raises
    ------
    ParameterError, ShapeError, DataError, LimitError
        For options that contradict; labels that do not fit; more than 10,000 groups.

    Notes
    -----
    O(edges + groups^2 log groups). Reference: Wolf et al. 2019, Genome Biology 20, 59.
    """
    codes, groups = _labels(labels, n_groups)
    options = to_json(model=model, n_neighbors=None if n_neighbors is None else _whole("n_neighbors", n_neighbors))
    with reporting(progress) as callback:
        return Paga(*_core.paga(as_graph(graph), codes, groups, options, threads, callback))


def paga_transitions(
    graph: Any,
    labels: Any,
    *,
    n_neighbors: int,
    n_groups: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Confidence of transitions between groups, from a directed graph of cells such as that of RNA velocity.

    Parameters
    ----------
    graph
        (n, n) matrix, positive at (a, b) where cell a moves towards cell b.
    labels
        (n,) group of each cell, 0, 1, ...
    n_neighbors
        Neighbours per cell, at least 1.
    n_groups
        Number of groups; default: the largest label + 1.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (groups, groups) float64: entry (i, j) is the surplus of edges from group j to group i over those back, divided by
    ``n_neighbors sqrt(n_i n_j)``; 0 where there is none.

    Notes
    -----
    Reference: Wolf et al. 2019, Genome Biology 20, 59.
    """
    codes, groups = _labels(labels, n_groups)
    with reporting(progress) as callback:
        return _core.paga_transitions(
            as_graph(graph), codes, groups, _whole("n_neighbors", n_neighbors), threads, callback
        )
