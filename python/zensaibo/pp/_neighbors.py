"""`pp.neighbors`: the neighbourhood graph under scanpy's slots."""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING, Any, Literal

from scipy import sparse

from .. import arrays
from .._anndata import get_matrix, start
from .._keys import CONNECTIVITIES, DISTANCES, NEIGHBORS, X_PCA
from .._progress import Progress
from .._provenance import record
from ..arrays._neighbors import Method, Metric, distances_matrix
from ..errors import ParameterError, TooFewError

if TYPE_CHECKING:
    import numpy as np
    from anndata import AnnData

#: Genes up to which scanpy searches X itself.
_N_PCS = 50



def neighbors(
    adata: AnnData,
    n_neighbors: int = 15,
    n_pcs: int | None = None,
    *,
    use_rep: str | None = None,
    knn: bool = True,
    method: Method = "umap",
    transformer: Literal["exact", "approximate", "sklearn"] | None = None,
    metric: Metric = "euclidean",
    effort: float = 1.0,
    random_state: int = 0,
    index: str | os.PathLike[str] | None = None,
    key_added: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Neighbourhood graph of the cells: distances to the nearest, and connectivities.

    Parameters
    ----------
    adata
        Annotated data.
    n_neighbors
        Neighbours per cell, the cell itself included; 2 to 100 as a rule. If there are fewer cells, it becomes
        ``1 + n_obs // 2`` with a warning, as in scanpy.
    n_pcs
        Number of principal components to use; 0 means X itself. Default: all of ``X_pca``.
    use_rep
        ``"X"`` or a key of obsm. Default: ``X_pca`` if there are more than 50 genes (computed with a warning if
        it is missing), else X.
    knn
        Only True: the graph holds nearest neighbours. scanpy's dense kernel over all pairs (False) is refused.
    method
        ``"umap"``, ``"gauss"`` or ``"jaccard"`` (see `zensaibo.arrays.connectivities`).
    transformer
        ``"exact"`` (or scanpy's ``"sklearn"``, the same neighbours) looks at every pair; ``"approximate"`` at nearby
        clusters; default: exact below 16,384 cells.
    metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    effort
        Of the approximate search: larger finds more of the true neighbours (see `zensaibo.arrays.knn`).
    random_state
        Seed of the approximate search, and of the PCA if one is computed.
    index
        File of an index of the cells (see `zensaibo.arrays.build_index`), to be made if it is not there. The search is approximate
        and reads its lists; from an index with the default number of lists the result is that of ``transformer="approximate"``. An index of other values, or with another metric
        or seed, is refused.
    key_added
        Name under which to store instead of the default.
    copy
        Return a changed copy instead of changing ``adata``.
    threads, progress
        See `zensaibo.arrays.knn`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes, as scanpy does:

    ``obsp["distances" | key_added + "_distances"]``
        (n_obs, n_obs) csr_matrix, float32: ``n_neighbors - 1`` stored entries per row.
    ``obsp["connectivities" | key_added + "_connectivities"]``
        (n_obs, n_obs) csr_matrix, float32, symmetric.
    ``uns["neighbors" | key_added]``
        keys of the two, and the parameters.

    Raises
    ------
    ParameterError
        An unknown method, metric or transformer; ``n_pcs`` beyond the components there are; an ``index`` that was made
        of other values or options.
    FormatError
        An ``index`` that is no index, or is damaged.
    MissingKeyError
        ``use_rep`` is not in obsm.
    DataError
        NaN or infinity; a single cell.

    Notes
    -----
    scanpy's ``metric_kwds``, callable metrics and transformer objects are not offered; neighbours found
    elsewhere go through `zensaibo.arrays.neighbors_graph`. Cost and memory: see `zensaibo.arrays.knn`.

    Reference: McInnes, Healy and Melville 2018 (umap).
    """
    algorithms: dict[str | None, Literal["auto", "exact", "approximate"]] = {None: "auto", "exact": "exact", "sklearn": "exact", "approximate": "approximate"}
    if not (transformer is None or isinstance(transformer, str)) or transformer not in algorithms:
        expected = "None, 'exact', 'sklearn' or 'approximate'"
        hint = "neighbours found elsewhere go through zensaibo.arrays.neighbors_graph"
        raise ParameterError(f"parameter `transformer`: expected {expected}, found {transformer!r} ({hint})")
    if knn is not True:
        raise ParameterError(f"parameter `knn`: expected True (dense kernels over all pairs are not offered), found {knn!r}")
    if index is not None and algorithms[transformer] == "exact":
        raise ParameterError(f"parameter `transformer`: expected None or 'approximate' with `index`, found {transformer!r}")
    adata = start(adata, copy)
    n_obs = adata.n_obs
    if n_obs < 2:
        raise TooFewError(f"adata: expected at least 2 cells to have neighbours, found {n_obs}")
    if n_neighbors > n_obs:
        n_neighbors = 1 + n_obs // 2
        warnings.warn(f"only {n_obs} cells: n_neighbors becomes {n_neighbors}", UserWarning, stacklevel=2)
    data = _representation(adata, use_rep, n_pcs, random_state, threads, progress)
    if index is None:
        found = arrays.knn(
            data,
            n_neighbors,
            metric=metric,
            algorithm=algorithms[transformer],
            effort=effort,
            seed=random_state,
            threads=threads,
            progress=progress,
        )
    else:
        opened = _index(data, index, metric, random_state, threads, progress)
        found = opened.neighbors(n_neighbors, effort=effort, threads=threads, progress=progress)
    graph = arrays.connectivities(found.indices, found.distances, method=method, threads=threads, progress=progress)
    prefix = "" if key_added is None else f"{key_added}_"
    connectivities_key, distances_key = prefix + CONNECTIVITIES, prefix + DISTANCES
    params: dict[str, Any] = {
        "n_neighbors": int(n_neighbors),
        "method": method,
        "random_state": random_state,
        "metric": metric,
    }
    if use_rep is not None:
        params["use_rep"] = use_rep
    if n_pcs is not None:
        params["n_pcs"] = int(n_pcs)
    adata.obsp[distances_key] = distances_matrix(found.indices, found.distances)
    adata.obsp[connectivities_key] = graph
    adata.uns[NEIGHBORS if key_added is None else key_added] = {
        "connectivities_key": connectivities_key,
        "distances_key": distances_key,
        "params": params,
    }
    record(
        adata,
        "neighbors",
        n_neighbors=int(n_neighbors),
        n_pcs=n_pcs,
        use_rep=use_rep,
        method=method,
        transformer=transformer,
        exact=found.exact,
        metric=metric,
        effort=effort,
        random_state=random_state,
        index=None if index is None else os.fspath(index),
        key_added=key_added,
    )
    return adata if copy else None


def _index(
    data: Any,
    path: str | os.PathLike[str],
    metric: Metric,
    seed: int,
    threads: int | None,
    progress: bool | Progress | None,
) -> arrays.NeighborIndex:
    """The index at ``path``, made where there is none; one of anything else than ``data`` is refused."""
    if sparse.issparse(data):
        data = data.tocsr()
    if not os.path.exists(path):
        return arrays.build_index(data, path, metric=metric, seed=seed, threads=threads, progress=progress)
    opened = arrays.NeighborIndex(path)
    options: list[tuple[str, Any, Any]] = [("metric", metric, opened.metric), ("random_state", seed, opened.seed)]
    for name, expected, found in options:
        if expected != found:
            hint = "remove the file, or name another"
            raise ParameterError(f"parameter `index`: expected an index with {name}={expected!r}, found {found!r} in {opened.path} ({hint})")
    if not opened.is_of(data, threads=threads, progress=progress):
        found = f"one of other {opened.shape[0]} x {opened.shape[1]} values, {opened.path}"
        expected = f"an index of the {data.shape[0]} x {data.shape[1]} values to search"
        raise ParameterError(f"parameter `index`: expected {expected}, found {found}")
    return opened


def _representation(
    adata: AnnData,
    use_rep: str | None,
    n_pcs: int | None,
    random_state: int,
    threads: int | None,
    progress: bool | Progress | None,
) -> np.ndarray | sparse.spmatrix:
    """What scanpy would search: X, or (the first ``n_pcs`` columns of) an obsm array."""
    if n_pcs is not None and n_pcs < 0:
        raise ParameterError(f"parameter `n_pcs`: expected at least 0, found {n_pcs}")
    if use_rep is None and n_pcs == 0:
        use_rep = "X"
    if use_rep is None:
        use_rep = X_PCA if adata.n_vars > _N_PCS else "X"
        if use_rep == X_PCA and X_PCA not in adata.obsm:
            from . import pca

            warnings.warn(
                "`X_pca` is missing: computing it by zensaibo.pp.pca with its defaults; call that yourself to choose",
                UserWarning,
                stacklevel=3,
            )
            pca(adata, n_comps=n_pcs, random_state=random_state, threads=threads, progress=progress)
        if use_rep == "X" and n_pcs is not None:
            found = f"n_pcs={n_pcs} with {adata.n_vars} genes, where X itself is searched"
            raise ParameterError(f"parameter `n_pcs`: expected None or 0, or use_rep='X_pca', found {found}")
    if use_rep == "X":
        if n_pcs:
            raise ParameterError(f"parameter `n_pcs`: expected None or 0 with use_rep='X', found {n_pcs}")
        return get_matrix(adata)
    data = get_matrix(adata, obsm=use_rep)
    if n_pcs:
        if n_pcs > data.shape[1]:
            expected = f"at most {data.shape[1]} (columns of {use_rep})"
            raise ParameterError(f"parameter `n_pcs`: expected {expected}, found {n_pcs}")
        data = data[:, :n_pcs]
    return data
