"""The chain in crest-sc: `peer_crest.py INPUT.h5ad OUT.json OUT.npz THREADS`."""

import sys
import warnings

from measure import Recorder, set_threads

source, out, arrays, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_threads(threads)
warnings.simplefilter("ignore")

import crest
import numpy as np

record = Recorder("crest", crest.__version__, threads)
with record.stage("read"):
    data = crest.read_h5ad(source)
with record.stage("qc_plain"):
    crest.pp.calculate_qc_metrics(data)
with record.stage("filter"):
    data = crest.pp.filter_cells(data, min_genes=200)
    data = crest.pp.filter_genes(data, min_cells=3)
with record.stage("hvg_v3"):
    crest.pp.highly_variable_genes(data, flavor="seurat_v3", n_top_genes=2000)
v3 = data.var["highly_variable"].to_numpy().copy()
with record.stage("norm_log"):
    crest.pp.normalize_total(data, target_sum=1e4)
    crest.pp.log1p(data)
with record.stage("hvg"):
    crest.pp.highly_variable_genes(data, n_top_genes=2000, flavor="seurat")
with record.stage("pca"):
    crest.tl.pca(data, n_comps=50)
with record.stage("knn"):
    crest.pp.neighbors(data, n_neighbors=15)
with record.stage("leiden_2"):
    crest.tl.leiden(data, resolution=1.0)
with record.stage("umap"):
    crest.tl.umap(data)
group = "cell_type" if "cell_type" in data.obs.columns else "leiden"
with record.stage("ttest"):
    crest.tl.rank_genes_groups(data, group, method="t-test", n_genes=None)
with record.stage("wilcoxon"):
    table = crest.tl.rank_genes_groups(data, group, method="wilcoxon", n_genes=None)
record.save(out)


n = data.n_obs
graph = crest.pp.connectivities_matrix(data).tocsr()
indices = np.asarray(data.uns["neighbors"]["indices"]).reshape(n, -1)
groups = sorted(set(table["group"].to_list()))
names = np.array([table.filter(table["group"] == g)["names"].to_list()[:20] for g in groups])
np.savez(
    arrays,
    names=np.arange(n).astype(str),
    genes=np.asarray(data.var_names, dtype=str),
    truth=np.asarray(data.obs[group].cast(str), dtype=str),
    hvg=data.var["highly_variable"].to_numpy(),
    hvg_v3=v3,
    pcs=np.asarray(data.obsm["X_pca"], dtype=np.float32),
    knn_indptr=np.arange(n + 1) * indices.shape[1],
    knn_indices=indices.ravel(),
    graph_indptr=graph.indptr,
    graph_indices=graph.indices,
    graph_data=graph.data,
    labels=np.asarray(data.obs["leiden"].cast(str), dtype=str),
    umap=np.asarray(data.obsm["X_umap"], dtype=np.float32),
    markers=names,
)

