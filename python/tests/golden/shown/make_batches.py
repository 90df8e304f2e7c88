"""Makes batches.npz: what harmonypy and bbknn make of real batches: kang_pbmc_ifnb (control, stimulated),
mouse_hspc_4samples (four libraries) and cell_line_mixology (three plates).

Run: ZENSAIBO_DATA=.../data python make_batches.py
Needs: scanpy==1.11.5 harmonypy==2.1.0 bbknn==1.6.0 anndata==0.12.19 numpy==2.4.6.

For each set: `<set>_lisi` (mean LISI of the batches before; after harmonypy; of the types before; after), every eighth
cell of harmonypy's coordinates, and for `kang` the graph of bbknn on every fourth cell.
"""

import os
import pathlib
import warnings

import anndata as ad
import bbknn
import harmonypy
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse

warnings.simplefilter("ignore")
DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"])


def components(adata, n_top_genes, **options):
    sc.pp.filter_genes(adata, min_cells=3)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes, **options)
    sc.pp.pca(adata, n_comps=20)
    return adata


def plates():
    parts = []
    for plate in ("p1", "p2", "p3"):
        stem = str(DATA / "cell_line_mixology" / f"sc_celseq2_5cl_{plate}")
        counts, table = (
            pd.read_csv(stem + ".count.csv.gz", index_col=0).T,
            pd.read_csv(stem + ".metadata.csv.gz", index_col=0),
        )
        table = table.loc[counts.index]
        part = ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)))
        part.obs_names, part.var_names = [f"{plate}_{i}" for i in range(len(counts))], counts.columns.astype(str)
        part.obs["plate"], part.obs["line"] = plate, table["cell_line_demuxlet"].to_numpy()
        part.obs["single"] = (table["demuxlet_cls"] == "SNG").to_numpy()
        parts.append(part)
    adata = ad.concat(parts)
    return adata[adata.obs["single"]].copy()


def kinds(adata):
    """Cells that plainly express one of three genes, by that gene."""
    table = adata[:, ["CD3D", "MS4A1", "LYZ"]].to_df()
    return table.idxmax(axis=1).where(table.max(axis=1) > 1.5)


golden = {}
kang = ad.read_h5ad(DATA / "kang_pbmc_ifnb" / "counts.h5ad")
kang.var_names_make_unique()
hspc = ad.read_h5ad(DATA / "mouse_hspc_4samples" / "counts.h5ad")
hspc.var_names_make_unique()
lines = plates()
for name, adata, batch, top in (
    ("kang", kang, "stim", 2000),
    ("hspc", hspc, "sample", 2000),
    ("lines", lines, "plate", 2000),
):
    components(adata, top, **({"batch_key": "sample"} if name == "hspc" else {}))
    if name == "kang":
        adata.obs["kind"] = kinds(adata)
    if name == "lines":
        adata.obs["kind"] = adata.obs["line"]
    found = harmonypy.run_harmony(adata.obsm["X_pca"].astype(np.float64), adata.obs, batch, verbose=False)
    after = np.asarray(found.Z_corr)
    after = after if after.shape[0] == adata.n_obs else after.T
    adata.obsm["after"] = after
    scores = []
    keys = [batch] + (["kind"] if "kind" in adata.obs else [])
    for key in keys:
        there = adata.obs[key].notna().to_numpy()
        for rep in ("X_pca", "after"):
            table = adata.obs.loc[there, [key]].astype(str)
            scores.append(harmonypy.compute_lisi(adata.obsm[rep][there].astype(np.float64), table, [key]).mean())
    golden[f"{name}_lisi"] = np.array(scores)
    golden[f"{name}_harmony"] = after[::8].astype(np.float16)
    for rep in ("X_pca", "after"):
        sc.pp.neighbors(adata, n_neighbors=15, use_rep=rep, key_added=rep)
        sc.tl.leiden(
            adata,
            resolution=0.5,
            neighbors_key=rep,
            key_added=f"leiden_{rep}",
            flavor="igraph",
            n_iterations=2,
            directed=False,
        )
    if name == "lines":
        from sklearn.metrics import adjusted_rand_score

        golden["lines_ari"] = np.array(
            [adjusted_rand_score(adata.obs["line"], adata.obs[f"leiden_{r}"]) for r in ("X_pca", "after")]
        )
        print(golden["lines_ari"], adata.obs["leiden_after"].nunique())
    print(name, adata.shape, golden[f"{name}_lisi"], after.shape)

small = ad.AnnData(obs=kang.obs[["stim"]].iloc[::4].copy())
small.obsm["X_pca"] = kang.obsm["X_pca"][::4].astype(np.float16).astype(np.float32)
golden["kang_pcs"] = small.obsm["X_pca"].astype(np.float16)
bbknn.bbknn(small, batch_key="stim", neighbors_within_batch=5, computation="cKDTree", metric="euclidean")
graph = small.obsp["connectivities"].tocsr()
graph.sort_indices()
golden |= {
    "bbknn_data": graph.data.astype(np.float32),
    "bbknn_indices": graph.indices.astype(np.uint16),
    "bbknn_indptr": graph.indptr,
}

path = pathlib.Path(__file__).with_name("batches.npz")
np.savez_compressed(path, **golden)
print(path.stat().st_size)
