"""t-SNE: dense points in, coordinates in the plane out."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_dense
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError
from ._umap import _number, _positions, _whole


class Tsne(NamedTuple):
    """What `tsne` returns."""

    #: Coordinates, shape (n, 2), float32, centred.
    coordinates: np.ndarray
    #: Kullback-Leibler divergence of the layout from the similarities, in nats.
    kl_divergence: float
    #: Descent steps done.
    iterations: int


def tsne(
    points: Any,
    *,
    perplexity: float = 30.0,
    metric: str = "euclidean",
    early_exaggeration: float = 12.0,
    learning_rate: float | str = 1000.0,
    n_iter: int = 1000,
    early_exaggeration_iter: int = 250,
    theta: float = 0.5,
    init_pos: np.ndarray | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Tsne:
    """Coordinates in the plane that keep each point's neighbours together (t-SNE by Barnes and Hut's approximation).

    Parameters
    ----------
    points
        (n, d) finite values, at least 4 points; used as float32.
    perplexity
        Effective number of neighbours of a point, at least 1 and below n; larger values show coarser structure.
    metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    early_exaggeration
        Factor on attraction in the first steps, at least 1.
    learning_rate
        Length of steps, above 0; ``"auto"`` is n / exaggeration, at least 50, which suits any number of points.
    n_iter, early_exaggeration_iter
        Steps in all, and those with exaggeration.
    theta
        0 to 1: how coarsely far-away points are taken together; 0 is exact and takes time n^2.
    init_pos
        (n, 2) positions to start from, which are scaled to the usual small size; default: the first two principal axes.
    seed
        Seed of all random numbers, 0 to 2^64 - 1.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Tsne
        ``(coordinates, kl_divergence, iterations)``.

    Raises
    ------
    ParameterError, ShapeError, TooFewError, NonFiniteError
        An option out of range; another shape; fewer than 4 points; values that are not finite.

    Notes
    -----
    O(n_iter n log n). Reference: van der Maaten 2014, JMLR 15, 3221; Kobak and Berens 2019, Nat. Commun. 10, 5416.
    """
    points = as_dense(points, "points")
    initial = None if init_pos is None else _positions(init_pos, points.shape[0], 2)
    if isinstance(learning_rate, str) and learning_rate != "auto":
        raise ParameterError(f"parameter `learning_rate`: expected a number above 0 or 'auto', found {learning_rate!r}")
    options = to_json(
        perplexity=_number("perplexity", perplexity),
        metric=metric,
        early_exaggeration=_number("early_exaggeration", early_exaggeration),
        learning_rate=None if isinstance(learning_rate, str) else _number("learning_rate", learning_rate),
        n_iter=_whole("n_iter", n_iter),
        early_exaggeration_iter=_whole("early_exaggeration_iter", early_exaggeration_iter),
        theta=_number("theta", theta),
        seed=_whole("seed", seed),
    )
    with reporting(progress) as callback:
        return Tsne(*_core.tsne(points, initial, options, threads, callback))
