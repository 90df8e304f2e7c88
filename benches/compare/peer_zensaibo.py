"""The chain in zensaibo, by its Python face: `peer_zensaibo.py INPUT.h5ad OUT.json OUT.npz THREADS`."""

import sys
import warnings

from measure import Recorder, set_threads

source, out, arrays, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_threads(threads)
warnings.simplefilter("ignore")

import anndata  # noqa: F401  # what any user of AnnData has paid for already

import zensaibo as zs

zs.pp, zs.tl, zs.io  # load the faces before the clock starts, as the peers' imports do
record = Recorder("zensaibo", zs.__version__, threads)

with record.stage("read"):
    adata = zs.io.read(source)
with record.stage("qc_plain"):
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    zs.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=None, threads=threads)
with record.stage("qc"):
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    zs.pp.calculate_qc_metrics(adata, qc_vars=["mt"], inplace=True, threads=threads)
with record.stage("filter"):
    zs.pp.filter_cells(adata, min_genes=200, threads=threads)
    zs.pp.filter_genes(adata, min_cells=3, threads=threads)
with record.stage("hvg_v3"):
    v3 = zs.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2000, inplace=False, threads=threads)
with record.stage("norm_log"):
    zs.pp.normalize_total(adata, target_sum=1e4, threads=threads)
    zs.pp.log1p(adata, threads=threads)
with record.stage("hvg"):
    zs.pp.highly_variable_genes(adata, n_top_genes=2000, threads=threads)
with record.stage("pca"):
    zs.pp.pca(adata, n_comps=50, threads=threads)
with record.stage("knn"):
    zs.pp.neighbors(adata, n_neighbors=15, threads=threads)
with record.stage("leiden_2"):
    zs.tl.leiden(adata, n_iterations=2, key_added="leiden_2", threads=threads)
with record.stage("leiden"):
    zs.tl.leiden(adata, threads=threads)
with record.stage("umap"):
    zs.tl.umap(adata, threads=threads)
adata.obs["truth"] = adata.obs["cell_type"].astype("category") if "cell_type" in adata.obs else adata.obs["leiden"]
with record.stage("ttest"):
    zs.tl.rank_genes_groups(adata, "truth", method="t-test", threads=threads)
with record.stage("wilcoxon"):
    zs.tl.rank_genes_groups(adata, "truth", method="wilcoxon", threads=threads)
record.save(out)

from common import save_arrays

save_arrays(arrays, adata, v3["highly_variable"].to_numpy())
