"""How well batches mix and types stay apart."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._labels import codes_of
from .._progress import Progress, reporting
from ..arrays._neighbors import _pair, _points, knn
from ..errors import ParameterError, ShapeError, TooFewError


class Kbet(NamedTuple):
    """What `kbet` returns."""

    acceptance_rate: float
    """Share of the cells whose neighbourhood looks like the whole, 0 to 1: 1 is best."""
    statistics: np.ndarray
    """(n,) float64: chi-square statistic of each neighbourhood."""
    p_values: np.ndarray
    """(n,) float64: its p-value."""


def _labelled(X: Any, labels: Any, name: str) -> tuple[np.ndarray, np.ndarray, int]:
    points = _points(X)
    codes, categories = codes_of(labels, name)
    if len(codes) != len(points):
        raise ShapeError(f"`{name}`: expected {len(points)} labels, one per row of `X`, found {len(codes)}")
    return points, codes, len(categories)


def lisi(
    X: Any,
    labels: Any,
    *,
    perplexity: float = 30.0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Local inverse Simpson's index: effective number of labels in each cell's neighbourhood.

    Parameters
    ----------
    X
        (n, d) coordinates.
    labels
        (n,) labels: batches (large is good: iLISI) or types (1 is good: cLISI).
    perplexity
        Effective number of neighbours, at least 1. The ``3 * perplexity`` nearest other rows are looked at.
    threads, progress
        See `zensaibo.arrays.knn`. The result is the same for any number of threads.

    Returns
    -------
    (n,) float64, from 1 to the number of labels.

    Raises
    ------
    ParameterError, DataError
        A perplexity below 1; NaN or infinity; labels missing or not as many as rows.

    Notes
    -----
    Neighbours are exact below 16,384 cells, else found at a recall of about 0.9998. Reference: Korsunsky et al. 2019.
    """
    points, codes, n_labels = _labelled(X, labels, "labels")
    if not perplexity >= 1:
        raise ParameterError(f"parameter `perplexity`: expected a number of at least 1, found {perplexity!r}")
    if len(points) < 3:
        raise TooFewError(f"`X`: expected at least 3 rows, found {len(points)}")
    n_neighbors = min(max(int(3 * perplexity) + 1, 3), len(points))
    with reporting(progress) as callback:
        found = knn(points, n_neighbors, threads=threads, progress=progress)
        return _core.lisi(found.indices, found.distances, codes, n_labels, float(perplexity), threads, callback)


def ilisi(X: Any, batches: Any, *, perplexity: float = 30.0, scale: bool = True, threads: int | None = None) -> float:
    """Median `lisi` of ``batches``: how well batches mix; scaled to 0 (apart) to 1 (mixed evenly) by default.

    ``X``, ``perplexity`` and ``threads`` as in `lisi`. With ``scale`` the median m of B batches becomes
    ``(m - 1) / (B - 1)``, as in scIB (Luecken et al. 2022); False returns m.
    """
    return _median(X, batches, perplexity, scale, threads, falling=False)


def clisi(X: Any, labels: Any, *, perplexity: float = 30.0, scale: bool = True, threads: int | None = None) -> float:
    """Median `lisi` of types ``labels``: how well types stay apart; scaled to 0 (mixed) to 1 (apart) by default.

    ``X``, ``perplexity`` and ``threads`` as in `lisi`. With ``scale`` the median m of C types becomes
    ``(C - m) / (C - 1)``, as in scIB (Luecken et al. 2022); False returns m.
    """
    return _median(X, labels, perplexity, scale, threads, falling=True)


def _median(X: Any, labels: Any, perplexity: float, scale: bool, threads: int | None, *, falling: bool) -> float:
    median = float(np.nanmedian(lisi(X, labels, perplexity=perplexity, threads=threads)))
    if not scale:
        return median
    count = len(codes_of(labels, "labels")[1])
    if count < 2:
        raise TooFewError(f"`labels`: expected at least two labels to scale by, found {count}")
    return (count - median) / (count - 1) if falling else (median - 1) / (count - 1)


def silhouette(
    X: Any,
    labels: Any,
    *,
    sample: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> float:
    """Mean silhouette width: 1 where labels are compact and far apart, 0 where they overlap, below 0 where mixed up.

    Parameters
    ----------
    X
        (n, d) coordinates; distances are Euclidean.
    labels
        (n,) labels, at least two different ones.
    sample
        Number of cells whose width is taken (each held against all n); ``None``: all.
    seed
        Of the choice of cells.
    threads, progress
        See `zensaibo.arrays.knn`. The result is the same for any number of threads.

    Returns
    -------
    float
        As `sklearn.metrics.silhouette_score` without a sample. A cell alone under its label counts 0.

    Raises
    ------
    ParameterError, DataError
        A sample of 0; one label only; NaN or infinity; labels missing or not as many as rows.

    Notes
    -----
    Cost: sample x n x d. Reference: Rousseeuw 1987.
    """
    points, codes, n_labels = _labelled(X, labels, "labels")
    if sample is not None and sample < 1:
        raise ParameterError(f"parameter `sample`: expected at least 1, or None, found {sample}")
    wanted = np.arange(len(points), dtype=np.uint32)
    if sample is not None and sample < len(points):
        wanted = np.sort(np.random.default_rng(seed).choice(wanted, sample, replace=False))
    with reporting(progress) as callback:
        return float(_core.silhouette(points, codes, n_labels, wanted, threads, callback).mean())


def kbet(
    X: Any,
    batches: Any,
    *,
    n_neighbors: int = 50,
    alpha: float = 0.05,
    indices: np.ndarray | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Kbet:
    """k-nearest-neighbour batch effect test: share of cells around which batches occur as they do overall; 1 is best.

    Parameters
    ----------
    X
        (n, d) coordinates; ignored when ``indices`` are given, and may then be None.
    batches
        (n,) labels, at least two different ones.
    n_neighbors
        Neighbours of each cell, the cell itself included. Larger neighbourhoods test more sharply.
    alpha
        Level of the test, above 0 and below 1.
    indices
        (n, k) neighbours found elsewhere, each row itself included.
    threads, progress
        See `zensaibo.arrays.knn`. The result is the same for any number of threads.

    Returns
    -------
    `Kbet`.

    Raises
    ------
    ParameterError, DataError
        alpha out of range; one batch only; NaN or infinity; labels missing or not as many as rows.

    Notes
    -----
    Reference: Buettner, Miao, Wolf, Teichmann, Theis 2019.
    """
    codes, categories = codes_of(batches, "batches")
    if indices is None:
        points, codes, _ = _labelled(X, batches, "batches")
        indices = knn(points, min(n_neighbors, len(points)), threads=threads, progress=progress).indices
    else:
        indices, _ = _pair(indices, np.zeros(np.shape(indices), np.float32))
    with reporting(progress) as callback:
        return Kbet(*_core.kbet(indices, codes, len(categories), float(alpha), threads, callback))
