"""`pp.bbknn`: batch-balanced neighbours under scanpy's slots."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import arrays
from .._anndata import get_matrix, get_obs, start
from .._keys import CONNECTIVITIES, DISTANCES, NEIGHBORS, X_PCA
from .._labels import small_batches_named
from .._progress import Progress
from .._provenance import record
from ..arrays._neighbors import Algorithm, Metric
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def bbknn(
    adata: AnnData,
    *,
    batch_key: str = "batch",
    use_rep: str = X_PCA,
    metric: Metric = "euclidean",
    copy: bool = False,
    neighbors_within_batch: int = 3,
    n_pcs: int = 50,
    trim: int | None = None,
    set_op_mix_ratio: float = 1.0,
    local_connectivity: float = 1.0,
    algorithm: Algorithm = "auto",
    key_added: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Batch-balanced neighbourhood graph, in place of `zs.pp.neighbors`.

    Parameters
    ----------
    adata
        With coordinates in ``obsm[use_rep]``.
    batch_key
        Column of obs with the batch of each cell.
    use_rep
        Key of obsm.
    metric, neighbors_within_batch, trim, set_op_mix_ratio, local_connectivity, algorithm
        See `zensaibo.arrays.bbknn`.
    copy
        Return a changed copy instead of changing ``adata``.
    n_pcs
        Columns of ``obsm[use_rep]`` to use, from the first; all, if there are fewer.
    key_added
        Name under which to store instead of the default.
    threads, progress
        See `zensaibo.arrays.bbknn`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes what `zs.pp.neighbors` writes: ``obsp["distances"]``, ``obsp["connectivities"]`` and
    ``uns["neighbors"]``, whose ``params`` hold a ``bbknn`` entry besides.

    Raises
    ------
    MissingKeyError
        No such column of obs or entry of obsm.
    ParameterError, DataError
        As `zensaibo.arrays.bbknn`; ``n_pcs`` below 1.

    Notes
    -----
    With ``algorithm="exact"`` the neighbours are those of bbknn's exact search (``computation="cKDTree"``); its own
    approximate searches (``approx``, ``use_annoy``, ``annoy_n_trees``, ``pynndescent_n_neighbors``, ``use_faiss``) are
    not offered.
    Reference: Polanski et al. 2020.
    """
    if n_pcs < 1:
        raise ParameterError(f"parameter `n_pcs`: expected at least 1, found {n_pcs}")
    adata = start(adata, copy)
    batches = get_obs(adata, batch_key)
    data = get_matrix(adata, obsm=use_rep)[:, :n_pcs]
    options: dict[str, Any] = {
        "neighbors_within_batch": neighbors_within_batch,
        "metric": metric,
        "algorithm": algorithm,
        "trim": trim,
        "set_op_mix_ratio": set_op_mix_ratio,
        "local_connectivity": local_connectivity,
    }
    with small_batches_named(batches, batch_key, neighbors_within_batch):
        graph = arrays.bbknn(data, batches, **options, threads=threads, progress=progress)
    n_neighbors = neighbors_within_batch * int(batches.nunique())
    prefix = "" if key_added is None else f"{key_added}_"
    adata.obsp[prefix + DISTANCES], adata.obsp[prefix + CONNECTIVITIES] = graph.distances, graph.connectivities
    adata.uns[NEIGHBORS if key_added is None else key_added] = {
        "connectivities_key": prefix + CONNECTIVITIES,
        "distances_key": prefix + DISTANCES,
        "params": {
            "n_neighbors": n_neighbors,
            "method": "umap",
            "metric": metric,
            "n_pcs": data.shape[1],
            "use_rep": use_rep,
            "bbknn": {
                "trim": 10 * n_neighbors if trim is None else trim,
                "computation": algorithm,
                "batch_key": batch_key,
                "neighbors_within_batch": neighbors_within_batch,
            },
        },
    }
    record(adata, "bbknn", batch_key=batch_key, use_rep=use_rep, n_pcs=n_pcs, key_added=key_added, **options)
    return adata if copy else None
