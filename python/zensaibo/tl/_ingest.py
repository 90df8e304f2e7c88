"""`tl.ingest`: labels and embeddings of new cells from a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, get_matrix, get_uns, start
from .._keys import NEIGHBORS, UMAP, X_PCA, X_UMAP
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, MissingKeyError, ParameterError
from ._reference import Projection, label_keys, write_labels

if TYPE_CHECKING:
    from anndata import AnnData

#: Genes up to which `zs.pp.neighbors` searches X itself.
_N_PCS = 50


def ingest(
    adata: AnnData,
    adata_ref: AnnData,
    *,
    obs: str | list[str] | None = None,
    embedding_method: str | list[str] | tuple[str, ...] = ("umap", "pca"),
    labeling_method: str = "knn",
    neighbors_key: str | None = None,
    inplace: bool = True,
    n_neighbors: int | None = None,
    random_state: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Labels and embeddings of new cells, from their neighbours in a reference.

    Parameters
    ----------
    adata
        New cells, with the genes of the reference in its order, normalised as it was.
    adata_ref
        Reference with `zs.pp.neighbors`, and `zs.pp.pca` and `zs.tl.umap` as ``embedding_method`` needs. It is not
        changed.
    obs
        Columns of ``adata_ref.obs`` to carry over.
    embedding_method
        ``"umap"``, ``"pca"`` or both; an empty list for none.
    labeling_method
        ``"knn"``, the only one.
    neighbors_key
        Entry of ``adata_ref.uns`` with the neighbours; default ``"neighbors"``.
    inplace
        False returns a changed copy of ``adata``.
    n_neighbors
        Neighbours in the reference that vote; default: as many as its graph has.
    random_state
        Seed of the places in the UMAP.
    threads, progress
        See `zensaibo.arrays.knn_query`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes:

    ``obs[key]``, ``obs[key + "_confidence"]``
        For each key of ``obs``: the most frequent label among the neighbours (categorical; ties: the first category),
        and the share of the neighbours that bear it (float64).
    ``obsm["X_pca"]``, ``obsm["X_umap"]``, ``obsm["rep"]``
        float32; ``rep`` is what was searched, as scanpy stores it.

    Raises
    ------
    MissingKeyError
        The reference lacks neighbours, components, a layout, or a column.
    DataError
        Other genes, or another order of genes, than the reference; a reference whose X is not what its components were
        made from; cells of the reference without a label; NaN.
    ParameterError
        An unknown method; more neighbours than cells of the reference.

    Notes
    -----
    New cells are centred by the means of the reference, as scanpy does from 1.12.3 on (before, by their own). Neighbours
    are found as by `zensaibo.arrays.knn_query`. For a reference of several batches see `zs.tl.map_to_reference`.

    References
    ----------
    McInnes, Healy, Melville 2018 (new points in a layout).
    """
    check_adata(adata_ref, "adata_ref")
    methods = [embedding_method] if isinstance(embedding_method, str) else list(embedding_method)
    for method in methods:
        if method not in ("umap", "pca"):
            raise ParameterError(f"parameter `embedding_method`: expected 'umap' or 'pca', found {method!r}")
    if labeling_method != "knn":
        raise ParameterError(f"parameter `labeling_method`: expected 'knn', found {labeling_method!r}")
    check_adata(adata)
    keys = label_keys(adata_ref, obs)
    key = neighbors_key or NEIGHBORS
    if key not in adata_ref.uns:
        present = ", ".join(map(str, adata_ref.uns.keys())) or "(nothing)"
        raise MissingKeyError(
            f"key `{key}` not found in adata_ref.uns; present: {present}; run `zs.pp.neighbors(adata_ref)` first"
        )
    params = get_uns(adata_ref, key)["params"]
    _same_genes(adata, adata_ref)
    adata = start(adata, not inplace)

    rep, n_pcs = _searched(adata_ref, params)
    projection = Projection(adata_ref) if "pca" in methods or rep == X_PCA else None
    coordinates = None
    if projection is not None:
        matrix = get_matrix(adata, layer=projection.layer, stream=True)
        coordinates = projection.project(matrix, threads=threads, progress=progress)
    if rep == X_PCA and coordinates is not None:
        width = min(n_pcs or coordinates.shape[1], coordinates.shape[1])
        known, new = np.asarray(adata_ref.obsm[X_PCA])[:, :width], np.ascontiguousarray(coordinates[:, :width])
    elif rep == "X":
        known, new = get_matrix(adata_ref), get_matrix(adata)
    else:
        if rep not in adata.obsm:
            raise MissingKeyError(
                f"key `{rep}` not found in adata.obsm: the reference's neighbours were searched there; put the new cells' "
                "coordinates there, or use `zs.tl.map_to_reference` for a reference corrected by Harmony"
            )
        known, new = get_matrix(adata_ref, obsm=rep), get_matrix(adata, obsm=rep)
    count = int(params["n_neighbors"]) if n_neighbors is None else n_neighbors
    nearest = arrays.knn_query(
        known, new, count, metric=params.get("metric", "euclidean"), threads=threads, progress=progress
    )
    if "umap" in methods:
        if X_UMAP not in adata_ref.obsm or UMAP not in adata_ref.uns:
            raise MissingKeyError(
                f"key `{X_UMAP}` not found in adata_ref.obsm, or `{UMAP}` not in adata_ref.uns: run `zs.tl.umap(adata_ref)` "
                "first, or leave 'umap' out of `embedding_method`"
            )
        curve = adata_ref.uns[UMAP]["params"]
        adata.obsm[X_UMAP] = arrays.umap_place(
            nearest,
            adata_ref.obsm[X_UMAP],
            a=curve["a"],
            b=curve["b"],
            seed=random_state,
            threads=threads,
            progress=progress,
        )
    if "pca" in methods:
        adata.obsm[X_PCA] = coordinates
    if rep != "X":
        adata.obsm["rep"] = new
    write_labels(adata, adata_ref, keys, nearest.indices)
    record(
        adata,
        "ingest",
        obs=keys,
        embedding_method=methods,
        neighbors_key=neighbors_key,
        n_neighbors=count,
        representation=rep,
        random_state=random_state,
    )
    return None if inplace else adata


def _same_genes(adata: AnnData, reference: AnnData) -> None:
    ours, theirs = adata.var_names.str.upper(), reference.var_names.str.upper()
    if len(ours) != len(theirs):
        raise DataError(
            f"`adata.var_names`: expected the {len(theirs)} genes of the reference in its order, found {len(ours)} genes"
        )
    wrong = np.flatnonzero(np.asarray(ours != theirs))
    if wrong.size:
        at = wrong[0]
        raise DataError(
            f"`adata.var_names`: expected the genes of the reference in its order, found {wrong.size} others, the first "
            f"{adata.var_names[at]!r} in place of {reference.var_names[at]!r}"
        )


def _searched(reference: AnnData, params: Any) -> tuple[str, int | None]:
    """What the reference's neighbours were searched in: ``"X"`` or a key of obsm, and how many columns."""
    n_pcs = params.get("n_pcs")
    n_pcs = None if n_pcs in (None, "None") else int(n_pcs)
    rep = params.get("use_rep")
    if rep not in (None, "None"):
        return str(rep), n_pcs
    if n_pcs == 0:
        return "X", None
    if n_pcs is not None or (reference.n_vars > _N_PCS and X_PCA in reference.obsm):
        return X_PCA, n_pcs
    return "X", None
