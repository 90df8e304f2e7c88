"""Groups in a graph of neighbours, and patterns of cells against complete randomness."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, ParameterError, TooFewError
from ._sketch import _seed, _whole
from ._spatial_neighbors import places_of
from ._spatial_statistics import _graph, _labels

#: Names of the scores, as squidpy has them.
_SCORES = ("degree_centrality", "average_clustering", "closeness_centrality")


class Ripley(NamedTuple):
    """What `ripley` returns; k labels, S simulations, L distances."""

    stat: np.ndarray
    """(k, L) float64: the statistic; NaN for labels of too few cells, and at distances that no cell (or place) is from the border."""
    simulations: np.ndarray
    """(k, S, L) float64: that of random patterns of as many cells; labels of equal numbers have the same."""
    bins: np.ndarray
    """(L,) float64: the distances."""
    pvalues: np.ndarray
    """(k, L) float64: two-sided p value at each distance by itself, at least 2 / (S + 1)."""
    pvalue: np.ndarray
    """(k,) float64: one p value for the whole curve, at least 1 / (S + 1)."""
    n_cells: np.ndarray
    """(k,) int64: cells used of each label."""
    categories: pd.Index
    """The labels, in order."""


def centrality_scores(
    graph: Any,
    labels: Any,
    *,
    score: str | list[str] | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """How the cells of each label lie in a graph of neighbours, looked at without direction.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of neighbours. Every stored edge counts once, whatever its weight and direction; a cell is no
        neighbour of itself.
    labels
        (n,) labels, one for every cell.
    score
        ``"degree_centrality"``, ``"average_clustering"``, ``"closeness_centrality"``, several of them, or ``None`` for all.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    pandas.DataFrame
        A row for each label. ``degree_centrality``: share of the other cells that have a neighbour of the label (NaN if there are
        none). ``average_clustering``: mean share of pairs of neighbours that are neighbours. ``closeness_centrality``: other cells
        over the sum of their steps to the nearest cell of the label; cells that no path reaches add nothing to the sum, so read it
        with ``reached``, the share that one does reach.

    Raises
    ------
    ParameterError
        Another `score`, or not a sparse graph.
    DataError
        Labels that do not fit or are missing.

    Notes
    -----
    Nothing is random. Time: edges x neighbours, and edges for each label. Memory about 30 bytes per edge.

    References
    ----------
    Everett and Borgatti, Journal of Mathematical Sociology 23 (1999); Watts and Strogatz, Nature 393 (1998).
    """
    wanted = list(_SCORES) if score is None else [score] if isinstance(score, str) else list(score)
    other = [name for name in wanted if name not in _SCORES]
    if other or not wanted:
        raise ParameterError(f"parameter `score`: expected {', '.join(_SCORES)} or None, found {other[0] if other else None!r}")
    edges = _graph(graph)
    codes, categories = _labels(labels, len(edges[0]) - 1)
    with reporting(progress) as callback:
        *columns, reached = _core.centrality(edges, codes, len(categories), threads, callback)
    table = pd.DataFrame(dict(zip(_SCORES, columns, strict=True)), index=categories.astype(str))[wanted]
    if "closeness_centrality" in wanted:
        table["reached"] = reached
    return table


def ripley(
    coordinates: Any,
    labels: Any,
    *,
    mode: str = "F",
    n_simulations: int = 100,
    n_observations: int = 1000,
    max_dist: float | None = None,
    n_steps: int = 50,
    edge_correction: str = "border",
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Ripley:
    """Ripley's F, G or L of the cells of each label, against as many cells at random in the convex hull of all cells.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite; any unit.
    labels
        (cells,) labels, one for every cell.
    mode
        ``"F"``: share of random places with a cell of the label within each distance (low where cells cluster). ``"G"``: share of its
        cells with another within each distance (high where they cluster). ``"L"``: pairs by distance, as the radius of the disc or
        ball that holds as many by chance: the distance itself for complete randomness, more where cells cluster.
    n_simulations
        Random patterns, at least 1.
    n_observations
        At most this many cells of a label are used, at least 2: a random choice where there are more, which leaves L as it is and
        thins F and G like their simulations. Also the number of places that F looks from. More find smaller effects and take longer.
    max_dist
        Largest distance. ``None``: half the way of the innermost cell to the border; without correction the root (in space: cube root)
        of half the area (volume), as squidpy has it.
    n_steps
        Distances, evenly from 0, at least 2.
    edge_correction
        ``"border"``: for each distance only cells (places) at least that far from the border are looked from. ``"none"``: all, and
        neighbours beyond the border are missed, in simulations alike.
    seed
        Seed of simulations and choices.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    Ripley
        ``stat``, ``simulations``, ``bins``, ``pvalues``, ``pvalue``, ``n_cells``, ``categories``.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, other than 2 or 3 columns, labels that do not fit or are missing, cells all on a line (plane), or all on
        the border, where a correction leaves nothing.

    Notes
    -----
    The p value of a whole curve ranks its largest distance from the mean curve, in standard deviations over curve and simulations at
    each distance, among those of the simulations. Tissue with holes is not completely random even where labels are: compare labels
    with each other. Time: simulations x cells used, x their neighbours within `max_dist` for L; the same for 1,000 and for a million
    cells. Memory about 100 bytes per cell, and 8 S x L for each number of cells that occurs.

    References
    ----------
    Ripley, Journal of Applied Probability 13 (1976); Baddeley, Rubak, Turner, Spatial Point Patterns (2015); Myllymäki et al., JRSS B
    79 (2017), for tests of whole curves.
    """
    if mode not in ("F", "G", "L"):
        raise ParameterError(f"parameter `mode`: expected 'F', 'G' or 'L', found {mode!r}")
    if edge_correction not in ("border", "none"):
        raise ParameterError(f"parameter `edge_correction`: expected 'border' or 'none', found {edge_correction!r}")
    steps = _whole("n_steps", n_steps, 100_000)
    if steps < 2:
        raise ParameterError(f"parameter `n_steps`: expected at least 2, found {steps}")
    places = places_of(coordinates)
    codes, categories = _labels(labels, len(places))
    options = to_json(
        mode=mode,
        n_simulations=_whole("n_simulations", n_simulations),
        n_observations=_whole("n_observations", n_observations),
        edge_correction=edge_correction,
        seed=_seed(seed),
    )
    planes, measure = hull_of(places)
    reach = reach_of(places, planes, measure, edge_correction) if max_dist is None else max_dist
    if isinstance(reach, bool) or not isinstance(reach, (int, float, np.number)) or not 0 < reach < math.inf:
        raise ParameterError(f"parameter `max_dist`: expected a finite distance above 0, found {max_dist!r}")
    bins = np.linspace(0, float(reach), steps)
    with reporting(progress) as callback:
        stat, sizes, simulated, used = _core.ripley(
            places, codes, len(categories), planes, measure, bins, options, threads, callback
        )
    simulations = simulated[np.searchsorted(sizes, used)]
    pvalues, pvalue = _significance(stat, simulations)
    return Ripley(stat, simulations, bins, pvalues, pvalue, np.asarray(used, dtype=np.int64), categories)


def hull_of(places: np.ndarray) -> tuple[np.ndarray, float]:
    """Planes (unit normals outward, offsets) and area or volume of the convex hull."""
    from scipy.spatial import ConvexHull, QhullError

    n, dimensions = places.shape
    if n <= dimensions:
        raise TooFewError(f"`coordinates`: expected at least {dimensions + 1} cells in {dimensions} dimensions, found {n}")
    try:
        hull = ConvexHull(places)
    except QhullError:
        raise DataError(f"`coordinates`: expected cells that span {dimensions} dimensions, found all on a line or plane") from None
    return np.ascontiguousarray(hull.equations, dtype=np.float64), float(hull.volume)


def reach_of(places: np.ndarray, planes: np.ndarray, measure: float, edge_correction: str) -> float:
    """The largest distance that is looked at by default."""
    if edge_correction == "none":
        return float((measure / 2) ** (1 / places.shape[1]))
    deepest = 0.0
    for start in range(0, len(places), 65_536):
        part = places[start : start + 65_536]
        deepest = max(deepest, float((-(part @ planes[:, :-1].T + planes[:, -1])).min(axis=1).max()))
    # Rounding leaves cells of the hull a trace off it.
    if not deepest > 1e-9 * float(np.ptp(places, axis=0).max()):
        raise DataError("`coordinates`: expected cells away from the border of their hull, found all on it; use edge_correction='none'")
    return deepest / 2


def _significance(stat: np.ndarray, simulations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """p values at each distance, and of whole curves."""
    many = simulations.shape[1]
    above = (simulations >= stat[:, None]).sum(axis=1)
    below = (simulations <= stat[:, None]).sum(axis=1)
    pvalues = np.minimum(1.0, 2 * (np.minimum(above, below) + 1) / (many + 1))
    pvalues[np.isnan(stat)] = np.nan
    pvalue = np.full(len(stat), np.nan)
    for label, own in enumerate(stat):
        curves = np.concatenate([own[None], simulations[label]])
        known = ~np.isnan(curves).any(axis=0)
        if not known.any():
            continue
        curves = curves[:, known]
        spread = curves.std(axis=0)
        off = np.abs(curves - curves.mean(axis=0))
        # Rounding must not part curves that are the same.
        furthest = np.divide(off, spread, out=np.zeros_like(off), where=spread > 1e-12).max(axis=1)
        pvalue[label] = (furthest[1:] >= furthest[0] * (1 - 1e-12)).sum() + 1
        pvalue[label] /= many + 1
    return pvalues, pvalue
