"""What each peer hands over for judging quality: plain arrays in an npz."""

from __future__ import annotations

from typing import Any

import numpy as np


def save_arrays(path: str, adata: Any, hvg_v3: np.ndarray) -> None:
    """From an AnnData in scanpy's slots."""
    distances = adata.obsp["distances"].tocsr()
    connectivities = adata.obsp["connectivities"].tocsr()
    markers = adata.uns["rank_genes_groups"]["names"]
    np.savez(
        path,
        names=np.asarray(adata.obs_names, dtype=str),
        genes=np.asarray(adata.var_names, dtype=str),
        truth=np.asarray(adata.obs["truth"], dtype=str),
        hvg=adata.var["highly_variable"].to_numpy(),
        hvg_v3=hvg_v3,
        pcs=np.asarray(adata.obsm["X_pca"], dtype=np.float32),
        knn_indptr=distances.indptr,
        knn_indices=distances.indices,
        graph_indptr=connectivities.indptr,
        graph_indices=connectivities.indices,
        graph_data=connectivities.data,
        labels=np.asarray(adata.obs["leiden"], dtype=str),
        **({"labels_2": np.asarray(adata.obs["leiden_2"], dtype=str)} if "leiden_2" in adata.obs else {}),
        umap=np.asarray(adata.obsm["X_umap"], dtype=np.float32),
        markers=np.array([[str(markers[group][i]) for i in range(min(20, len(markers)))] for group in markers.dtype.names]),
    )
