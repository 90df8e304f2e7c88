"""Scrublet: doublets by their likeness to simulated ones."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ._neighbors import Metric


class Scrublet(NamedTuple):
    """What `scrublet` returns."""

    scores: np.ndarray
    """(cells,) float64: doublet score; NaN for a cell that expresses fewer than 3 genes."""
    errors: np.ndarray
    """(cells,) float64: standard error of the score; NaN likewise."""
    predicted: np.ndarray
    """(cells,) bool: whether the score is above the threshold; all False without one."""
    simulated_scores: np.ndarray
    """(doublets,) float64: scores of the simulated doublets."""
    parents: np.ndarray
    """(doublets, 2) int64: the cells each simulated doublet is made of."""
    threshold: float | None
    """The threshold given or found; None where the scores of simulated doublets have not two modes."""
    n_neighbors: int
    """Neighbours among the observed cells."""
    n_genes: int
    """Number of variable genes used."""
    detectable_fraction: float | None
    """Share of the simulated doublets above the threshold."""


def scrublet(
    X: Any,
    *,
    sim_doublet_ratio: float = 2.0,
    expected_doublet_rate: float = 0.05,
    stdev_doublet_rate: float = 0.02,
    synthetic_doublet_umi_subsampling: float = 1.0,
    knn_dist_metric: Metric = "euclidean",
    normalize_variance: bool = True,
    log_transform: bool = False,
    mean_center: bool = True,
    n_prin_comps: int = 30,
    use_approx_neighbors: bool | None = None,
    n_neighbors: int | None = None,
    threshold: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Scrublet:
    """Doublet scores of cells of one library.

    Parameters
    ----------
    X
        Cells x genes of raw counts: scipy csr or csc matrix or array, or numpy array.
    sim_doublet_ratio
        Doublets simulated per cell, above 0.
    expected_doublet_rate
        Share of doublets expected, above 0 and below 1. Scales the scores.
    stdev_doublet_rate
        Uncertainty of that share; enters the standard errors only.
    synthetic_doublet_umi_subsampling
        Share of the two cells' molecules that a simulated doublet keeps, above 0 and at most 1.
    knn_dist_metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    normalize_variance, log_transform, mean_center
        Scale genes to variance 1; take logarithms before cells are brought to one total; take gene means off.
    n_prin_comps
        Number of principal components.
    use_approx_neighbors
        True: approximate search; False: exact; None: exact below 16,384 cells and doublets together.
    n_neighbors
        Neighbours among the observed; those among the simulated come on top. None: half the square root of the cells.
    threshold
        Score above which a cell is called a doublet. None: the minimum between the modes of the simulated scores.
    seed
        Of the simulated doublets and the approximate search.
    threads
        Number of threads, None for all cores. The result is the same to the last bit for any number.
    progress
        None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `Scrublet`.

    Raises
    ------
    ParameterError
        An option out of range, more components or neighbours than the data can have.
    DataError
        Negative or fractional values, NaN, fewer than 4 cells that express 3 genes, no variable genes.

    References
    ----------
    Wolock, Lopez, Klein, Cell Systems 8, 281 (2019).
    """
    options = to_json(
        sim_doublet_ratio=sim_doublet_ratio,
        expected_doublet_rate=expected_doublet_rate,
        stdev_doublet_rate=stdev_doublet_rate,
        synthetic_doublet_umi_subsampling=synthetic_doublet_umi_subsampling,
        knn_dist_metric=knn_dist_metric,
        normalize_variance=normalize_variance,
        log_transform=log_transform,
        mean_center=mean_center,
        n_prin_comps=n_prin_comps,
        use_approx_neighbors=use_approx_neighbors,
        n_neighbors=n_neighbors,
        threshold=threshold,
        random_state=seed,
    )
    with reporting(progress) as callback:
        return Scrublet(**call(_core.scrublet, as_matrix(X, "X", stream=True), options, threads, callback))
