"""The chain in scanpy 1.11.5: `peer_scanpy.py INPUT.h5ad OUT.json OUT.npz THREADS`."""

import sys
import warnings

from measure import Recorder, set_threads

source, out, arrays, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_threads(threads)
warnings.simplefilter("ignore")

import numpy as np
import scanpy as sc

sc.settings.n_jobs = threads
record = Recorder("scanpy", sc.__version__, threads)

# numba compiles on first use; a toy run first, so that the stages show work and not compilation.
with record.stage("jit"):
    toy = sc.AnnData(np.random.default_rng(0).poisson(1.0, (600, 300)).astype("f4"))
    from scipy import sparse

    toy.X = sparse.csr_matrix(toy.X)
    toy.var["mt"] = False
    sc.pp.calculate_qc_metrics(toy, qc_vars=["mt"], percent_top=(50,), inplace=True)
    sc.pp.normalize_total(toy, target_sum=1e4)
    sc.pp.log1p(toy)
    sc.pp.highly_variable_genes(toy, n_top_genes=100)
    sc.pp.pca(toy, n_comps=20)
    sc.pp.neighbors(toy)
    sc.tl.umap(toy, maxiter=10)

with record.stage("read"):
    adata = sc.read_h5ad(source)
    # scanpy fails on row pointers of another width than the columns (scanpy#3331).
    adata.X.indptr = adata.X.indptr.astype(adata.X.indices.dtype)
with record.stage("qc"):
    adata.var["mt"] = adata.var_names.str.startswith("MT-")
    sc.pp.calculate_qc_metrics(adata, qc_vars=["mt"], inplace=True)
with record.stage("filter"):
    sc.pp.filter_cells(adata, min_genes=200)
    sc.pp.filter_genes(adata, min_cells=3)
with record.stage("hvg_v3"):
    v3 = sc.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=2000, inplace=False)
with record.stage("norm_log"):
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
with record.stage("hvg"):
    sc.pp.highly_variable_genes(adata, n_top_genes=2000)
with record.stage("pca"):
    sc.pp.pca(adata, n_comps=50)
with record.stage("knn"):
    # Brute force of scikit-learn: exact, and without the compilation of pynndescent.
    sc.pp.neighbors(adata, n_neighbors=15, transformer="sklearn")
with record.stage("leiden_2"):
    sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
with record.stage("umap"):
    sc.tl.umap(adata)
adata.obs["truth"] = adata.obs["cell_type"].astype("category") if "cell_type" in adata.obs else adata.obs["leiden"]
with record.stage("ttest"):
    sc.tl.rank_genes_groups(adata, "truth", method="t-test")
with record.stage("wilcoxon"):
    sc.tl.rank_genes_groups(adata, "truth", method="wilcoxon")
record.save(out)

from common import save_arrays

save_arrays(arrays, adata, v3["highly_variable"].to_numpy())
