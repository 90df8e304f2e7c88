"""Golden values of RNA velocity: writes golden.npz, or the file named second, beside this file.

Made with scvelo 0.3.4, scanpy 1.11.5, anndata 0.11.4, numpy 1.26.4, scipy 1.17.1, pandas 2.2.3 (Python 3.11).
Input: dentategyrus_100cells.h5ad (Hochgerner et al. 2018) or pancreas_50cells.h5ad (Bastidas-Ponce et al. 2019), of
which the 90 genes with most unspliced counts are kept.

    python make.py path/to/dentategyrus_100cells.h5ad
    python make.py path/to/pancreas_50cells.h5ad pancreas.npz
"""

import sys
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import scanpy as sc
import scvelo as scv
from scipy import sparse

warnings.simplefilter("ignore")
scv.settings.verbosity = 0

adata = ad.read_h5ad(sys.argv[1])
spliced, unspliced = (sparse.csr_matrix(adata.layers[key]).astype(np.float32) for key in ("spliced", "unspliced"))
score = np.minimum(np.asarray(unspliced.sum(0)).ravel(), np.asarray(spliced.sum(0)).ravel())
genes = np.sort(np.argsort(-score, kind="stable")[:90])
small = ad.AnnData(spliced[:, genes].copy())
small.layers["spliced"], small.layers["unspliced"] = spliced[:, genes].copy(), unspliced[:, genes].copy()
for layer in ("spliced", "unspliced"):
    sc.pp.normalize_total(small, layer=layer)
# Rounded, so that the file is small and both sides read the same numbers.
for layer in ("spliced", "unspliced"):
    small.layers[layer].data = np.round(small.layers[layer].data * 64).astype(np.float32) / 64 + np.float32(1 / 128)
small.X = small.layers["spliced"].copy()
sc.pp.log1p(small)
sc.pp.pca(small, n_comps=10)
small.obsm["X_pca"] = np.round(small.obsm["X_pca"], 2).astype(np.float32)
sc.pp.neighbors(small, n_neighbors=12)
small.obsm["X_umap"] = small.obsm["X_pca"][:, :2].astype(np.float64)

found = {}
for key in ("spliced", "unspliced"):
    matrix = small.layers[key].tocsr()
    matrix.sort_indices()
    found |= {f"{key}_data": matrix.data, f"{key}_indices": matrix.indices.astype(np.uint8), f"{key}_indptr": matrix.indptr}
for key in ("distances", "connectivities"):
    matrix = small.obsp[key].tocsr()
    matrix.sort_indices()
    found |= {f"{key}_data": matrix.data.astype(np.float32), f"{key}_indices": matrix.indices, f"{key}_indptr": matrix.indptr}
found["X_umap"] = small.obsm["X_umap"].astype(np.float32)

# What 100 cells are worth: thresholds low enough to keep some genes.
scv.pp.moments(small, n_neighbors=None)
found["Ms"], found["Mu"] = small.layers["Ms"], small.layers["Mu"]
for mode in ("deterministic", "stochastic"):
    scv.tl.velocity(small, mode=mode, use_highly_variable=False)
    scv.tl.velocity_graph(small, n_jobs=1, show_progress_bar=False)
    for name in ("gamma", "qreg_ratio", "r2", "genes"):
        found[f"{mode}_{name}"] = small.var[f"velocity_{name}"].to_numpy()
    graph = (small.uns["velocity_graph"] + small.uns["velocity_graph_neg"]).tocsr()
    graph.sort_indices()
    found |= {f"{mode}_graph_data": graph.data.astype(np.float32), f"{mode}_graph_indices": graph.indices.astype(np.uint8)}
    found[f"{mode}_graph_indptr"] = graph.indptr
    found[f"{mode}_self_transition"] = small.obs["velocity_self_transition"].to_numpy()
    # One row of each table of 100 x 90 or 100 x 100 in full, and sums over all: enough to hold the rest.
    found[f"{mode}_velocity"] = small.layers["velocity"][::9].astype(np.float32)
    for negative in (False, True):
        matrix = scv.utils.get_transition_matrix(small, use_negative_cosines=negative)
        found[f"{mode}_transitions_{negative}"] = np.asarray(matrix.todense())[::9].astype(np.float32)
    backward = scv.utils.get_transition_matrix(small, backward=True, self_transitions=False)
    found[f"{mode}_transitions_backward"] = np.asarray(backward.todense())[::9].astype(np.float32)
    for autoscale in (False, True):
        scv.tl.velocity_embedding(small, basis="umap", autoscale=autoscale)
        found[f"{mode}_embedding_{autoscale}"] = small.obsm["velocity_umap"]

path = Path(__file__).with_name(sys.argv[2] if len(sys.argv) > 2 else "golden.npz")
np.savez_compressed(path, **found)
print(path.stat().st_size, {mode: int(found[f"{mode}_genes"].sum()) for mode in ("deterministic", "stochastic")})
