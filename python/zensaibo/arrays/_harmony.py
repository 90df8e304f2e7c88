"""Harmony: coordinates corrected for batches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _core
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from ._neighbors import _points

Flavor = Literal["harmony2", "harmony1"]


class Harmony(NamedTuple):
    """What `harmony` returns."""

    corrected: np.ndarray
    """(n, d) float32: the corrected coordinates."""
    centroids: np.ndarray
    """(k, d) float32: centroids of the clusters, of unit length."""
    cluster_sizes: np.ndarray
    """(k,) float64: cells in each cluster (sums of shares)."""
    cluster_sums: np.ndarray
    """(k, d) float64: sums of the corrected coordinates, weighted by the cells' shares in the cluster."""
    objective: np.ndarray
    """float64: objective at the start and before each correction."""
    converged: bool
    """Whether the objective stopped falling within ``max_iter_harmony`` corrections."""


def harmony(
    data: np.ndarray,
    batches: Any,
    *,
    flavor: Flavor = "harmony2",
    n_clusters: int | None = None,
    max_iter_harmony: int = 10,
    max_iter_clustering: int | None = None,
    tol_harmony: float | None = None,
    tol_clustering: float | None = None,
    sigma: float = 0.1,
    theta: float | Sequence[float] = 2.0,
    tau: float = 0.0,
    ridge_lambda: float = 1.0,
    alpha: float = 0.2,
    batch_prune_threshold: float | None = 1e-5,
    block_proportion: float = 0.05,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Harmony:
    """Coordinates of cells from several batches, corrected so that cells of one kind come together.

    Parameters
    ----------
    data
        (n, d) coordinates, such as principal components; float32 or float64 without a copy.
    batches
        (n,) labels, or a mapping (a DataFrame does) of several keys, each with (n,) labels.
    flavor
        ``"harmony2"``: bounded diversity penalty, ridge penalty in proportion to the expected number of cells, batches
        that are absent from a cluster left out. ``"harmony1"``: as published in 2019.
    n_clusters
        Number of clusters, 1 to n; ``None``: n / 30, at least 2 and at most 100.
    max_iter_harmony
        Corrections at most.
    max_iter_clustering
        Rounds of soft clustering before each correction at most; ``None``: 4 (harmony2) or 200 (harmony1).
    tol_harmony
        Relative fall of the objective below which no further correction is made; ``None``: 0.01 or 0.0001.
    tol_clustering
        Relative change over three rounds below which clustering stops; ``None``: 0.001 or 0.00001.
    sigma
        Width of soft clustering, above 0; smaller is harder.
    theta
        Strength of the diversity penalty, at least 0: one number or one per key. Larger mixes more.
    tau
        Protects small batches from overcorrection: theta of a batch of N cells is multiplied with
        ``1 - exp(-(N / (n_clusters * tau))**2)``; 0 is off.
    ridge_lambda
        Ridge penalty of harmony1; leave it at 1 with harmony2.
    alpha
        Ridge penalty of harmony2 as a share of the expected number of cells of a batch in a cluster; leave it at 0.2
        with harmony1.
    batch_prune_threshold
        With harmony2, a batch is not corrected in a cluster that holds less than this share of it; ``None``: always
        corrected. Leave it alone with harmony1.
    block_proportion
        Share of the cells whose assignments are renewed at once, above 0 and at most 1.
    seed
        Of the start of k-means and the order of renewal.
    threads
        Number of threads, ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``None``: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `Harmony`. With a single batch the coordinates come back as they are.

    Raises
    ------
    ParameterError
        An option out of its range, or one that the flavor does not look at.
    DataError
        NaN or infinity, no cells, cells without a label, labels that are not as many as cells.

    Notes
    -----
    Cost with harmony2: three products of n x d x k per correction; 4 n (k + 4 d) bytes.

    References
    ----------
    Korsunsky et al., Nature Methods 16, 1289 (2019).
    """
    points = _points(data)
    if not isinstance(batches, Mapping) and not hasattr(batches, "columns"):
        batches = {"batch": batches}
    keys = [(str(name), *_codes(batches[name], str(name))) for name in batches.keys()]  # noqa: SIM118
    options = to_json(
        flavor=flavor,
        n_clusters=n_clusters,
        max_iter_harmony=max_iter_harmony,
        max_iter_clustering=max_iter_clustering,
        tol_harmony=tol_harmony,
        tol_clustering=tol_clustering,
        sigma=sigma,
        theta=list(theta) if isinstance(theta, (tuple, list)) else theta,
        tau=tau,
        ridge_lambda=ridge_lambda,
        alpha=alpha,
        batch_prune_threshold=batch_prune_threshold,
        block_proportion=block_proportion,
        random_state=seed,
    )
    with reporting(progress) as callback:
        return Harmony(**_core.harmony(points, keys, options, threads, callback))


def _codes(labels: Any, name: str) -> tuple[np.ndarray, int]:
    codes, categories = codes_of(labels, name)
    return codes, len(categories)
