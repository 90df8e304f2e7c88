"""`pp.harmony_integrate`: Harmony under scanpy's slots."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import arrays
from .._anndata import get_matrix, get_obs, start
from .._keys import X_PCA
from .._progress import Progress
from .._provenance import record
from ..arrays._harmony import Flavor
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

#: Where the clusters are kept, for `zs.tl.map_to_reference`.
HARMONY = "harmony"


def harmony_integrate(
    adata: AnnData,
    key: str | Sequence[str],
    *,
    basis: str = X_PCA,
    adjusted_basis: str = "X_pca_harmony",
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
    random_state: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Corrects principal components for batches with Harmony, as scanpy 1.13's `pp.harmony_integrate`.

    Parameters
    ----------
    adata
        With coordinates in ``obsm[basis]``.
    key
        Column of obs with the batch of each cell, or several columns. Several are separate batch keys, each with its
        own terms, as in harmonypy; to treat combinations as batches join the columns into one.
    basis
        Key of obsm to correct.
    adjusted_basis
        Key of obsm to write.
    flavor, n_clusters, max_iter_harmony, max_iter_clustering, tol_harmony, tol_clustering, sigma, theta, tau
        See `zensaibo.arrays.harmony`.
    ridge_lambda, alpha, batch_prune_threshold, block_proportion
        See `zensaibo.arrays.harmony`.
    random_state
        Seed of the start of k-means and the order of renewal.
    copy
        Return a changed copy instead of changing ``adata``.
    threads, progress
        See `zensaibo.arrays.harmony`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes:

    ``obsm[adjusted_basis]``
        (n_obs, d) float32.
    ``uns["harmony"]``
        The clusters that `zs.tl.map_to_reference` needs (``centroids``, ``cluster_sizes``, ``cluster_sums``),
        ``objective``, ``converged`` and ``params``.

    Raises
    ------
    MissingKeyError
        No such column of obs or entry of obsm.
    ParameterError, DataError
        As `zensaibo.arrays.harmony`; no key; the same key twice.

    Notes
    -----
    Warns when there is one batch only (nothing is corrected), and when the corrections ended before the objective
    settled. Reference: Korsunsky et al. 2019.
    """
    keys = [key] if isinstance(key, str) else list(key)
    if not keys or len(set(keys)) != len(keys):
        raise ParameterError(f"parameter `key`: expected one or several different columns of obs, found {keys!r}")
    adata = start(adata, copy)
    batches = {name: get_obs(adata, name) for name in keys}
    data = get_matrix(adata, obsm=basis)
    if all(labels.nunique() < 2 for labels in batches.values()):
        warnings.warn(f"one batch only in {', '.join(keys)}: nothing is corrected", UserWarning, stacklevel=2)
    options: dict[str, Any] = {
        "flavor": flavor,
        "n_clusters": n_clusters,
        "max_iter_harmony": max_iter_harmony,
        "max_iter_clustering": max_iter_clustering,
        "tol_harmony": tol_harmony,
        "tol_clustering": tol_clustering,
        "sigma": sigma,
        "theta": theta if isinstance(theta, (int, float)) else [float(value) for value in theta],
        "tau": tau,
        "ridge_lambda": ridge_lambda,
        "alpha": alpha,
        "batch_prune_threshold": batch_prune_threshold,
        "block_proportion": block_proportion,
    }
    found = arrays.harmony(data, batches, **options, seed=random_state, threads=threads, progress=progress)
    if not found.converged:
        warnings.warn(
            f"Harmony had not settled after {max_iter_harmony} corrections; raise `max_iter_harmony`",
            UserWarning,
            stacklevel=2,
        )
    adata.obsm[adjusted_basis] = found.corrected
    adata.uns[HARMONY] = {
        "centroids": found.centroids,
        "cluster_sizes": found.cluster_sizes,
        "cluster_sums": found.cluster_sums,
        "objective": found.objective,
        "converged": found.converged,
        "params": {"key": keys, "basis": basis, "adjusted_basis": adjusted_basis, "sigma": float(sigma)},
    }
    record(
        adata,
        "harmony_integrate",
        key=keys,
        basis=basis,
        adjusted_basis=adjusted_basis,
        random_state=random_state,
        **options,
    )
    return adata if copy else None
