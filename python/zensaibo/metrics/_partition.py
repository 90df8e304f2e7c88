"""Scores of partitions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsp, get_uns
from .._keys import CONNECTIVITIES, NEIGHBORS
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def modularity(
    adata_or_graph: AnnData | Any,
    labels: Any = "leiden",
    *,
    resolution: float = 1.0,
    use_weights: bool = True,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    threads: int | None = None,
) -> float:
    """Modularity of a clustering on the neighbour graph.

    Parameters
    ----------
    adata_or_graph
        AnnData with a neighbour graph, or a symmetric (n, n) matrix.
    labels
        Column of obs (for an AnnData), or (n,) labels.
    resolution
        Weight of what chance expects, at least 0.
    use_weights
        Whether edge weights count.
    neighbors_key, obsp
        Which graph of the AnnData to use, as in `zs.tl.leiden`.
    threads
        Threads; by default one per core. The result does not depend on it.

    References
    ----------
    Newman and Girvan (2004), Phys. Rev. E 69, 026113.
    """
    from anndata import AnnData

    graph = adata_or_graph
    if isinstance(graph, AnnData):
        adata = check_adata(graph)
        if obsp is not None and neighbors_key is not None:
            raise ParameterError("parameters `obsp`, `neighbors_key`: expected at most one of them, found both")
        if obsp is None:
            obsp = get_uns(adata, neighbors_key or NEIGHBORS).get("connectivities_key", CONNECTIVITIES)
        graph = get_obsp(adata, obsp)
        if isinstance(labels, str):
            labels = get_obs(adata, labels)
    elif obsp is not None or neighbors_key is not None:
        raise ParameterError("parameters `obsp`, `neighbors_key`: expected None unless an AnnData is given")
    elif isinstance(labels, str):
        raise ParameterError(f"parameter `labels`: expected labels beside a matrix, found {labels!r}")
    return arrays.modularity(graph, labels, resolution=resolution, use_weights=use_weights, threads=threads)


def adjusted_rand_index(a: Any, b: Any) -> float:
    """Adjusted Rand index of two labellings: 1 for equal partitions, about 0 for independent ones, below 0 for worse.

    ``a`` and ``b`` are (n,) labels of any kind, compared as partitions: their names do not matter. Equals
    ``sklearn.metrics.adjusted_rand_score``. O(n).

    References
    ----------
    Hubert and Arabie (1985), J. Classification 2, 193.
    """
    return arrays.partition_agreement(a, b).adjusted_rand


def normalized_mutual_information(a: Any, b: Any) -> float:
    """Mutual information of two labellings over the mean of their entropies: 1 for equal partitions, 0 for independent.

    ``a`` and ``b`` are (n,) labels of any kind, compared as partitions: their names do not matter. Equals
    ``sklearn.metrics.normalized_mutual_info_score``. O(n).

    References
    ----------
    Strehl and Ghosh (2002), JMLR 3, 583.
    """
    return arrays.partition_agreement(a, b).normalized_mutual_information
