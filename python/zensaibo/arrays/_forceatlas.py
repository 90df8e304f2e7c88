"""ForceAtlas2: a graph in, coordinates in the plane out."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ._diffusion import as_graph
from ._umap import _number, _positions, _whole


def force_atlas(
    graph: Any,
    *,
    maxiter: int = 500,
    scaling_ratio: float = 2.0,
    gravity: float = 1.0,
    jitter_tolerance: float = 1.0,
    theta: float = 1.2,
    init_pos: np.ndarray | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Drawing of a weighted graph in the plane by attraction along edges and repulsion between all (ForceAtlas2).

    Parameters
    ----------
    graph
        (n, n) weights, sparse or dense, at least 0. One that is not symmetric counts as the mean of itself and its
        transpose; self-loops are left out.
    maxiter
        Steps.
    scaling_ratio
        Strength of repulsion, above 0.
    gravity
        Pull towards the origin, at least 0.
    jitter_tolerance
        How much swinging to and fro is allowed, above 0.
    theta
        0 to 2: how coarsely far-away points are taken together.
    init_pos
        (n, 2) positions to start from; default: at random in the unit square.
    seed
        Seed of the random start.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n, 2) float32.

    Raises
    ------
    ParameterError, ShapeError, NonFiniteError, NegativeValuesError
        An option out of range; a matrix that is not square; weights or positions that cannot be used.

    Notes
    -----
    O(maxiter (edges + n log n)). Reference: Jacomy et al. 2014, PLoS ONE 9, e98679.
    """
    graph = as_graph(graph)
    initial = None if init_pos is None else _positions(init_pos, graph.shape[0], 2)
    options = to_json(
        maxiter=_whole("maxiter", maxiter),
        scaling_ratio=_number("scaling_ratio", scaling_ratio),
        gravity=_number("gravity", gravity),
        jitter_tolerance=_number("jitter_tolerance", jitter_tolerance),
        theta=_number("theta", theta),
        seed=_whole("seed", seed),
    )
    with reporting(progress) as callback:
        return _core.force_atlas(graph, initial, options, threads, callback)
