"""The chain in scranpy: `peer_scranpy.py INPUT.h5ad OUT.json OUT.npz THREADS`.

scranpy reads no h5ad (anndata reads it here, outside its stages), takes genes x cells, chooses genes by a trend of variances in place
of `seurat`, clusters a graph of shared neighbours, and scores markers by effect sizes (Cohen's d, AUC) without p-values: its chain
has no t-test and its markers are not those of a Wilcoxon test, so no stage stands for them.
"""

import sys
import warnings

from measure import Recorder, set_threads

source, out, arrays, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_threads(threads)
warnings.simplefilter("ignore")

import importlib.metadata

import anndata
import numpy as np
import scranpy

record = Recorder("scranpy", importlib.metadata.version("scranpy"), threads)
data = anndata.read_h5ad(source)
counts = data.X.T.tocsc()
with record.stage("qc_plain"):
    mitochondrial = data.var_names.str.startswith("MT-")
    metrics = scranpy.compute_rna_qc_metrics(counts, {"mt": np.asarray(mitochondrial)}, num_threads=threads)
with record.stage("filter"):
    kept = np.asarray(metrics["detected"]) >= 200
    detected = np.asarray((counts > 0).sum(axis=1)).ravel() >= 3
    counts = counts[detected][:, kept]
with record.stage("norm_log"):
    factors = scranpy.center_size_factors(np.asarray(metrics["sum"])[kept])
    logged = scranpy.normalize_counts(counts, factors)
with record.stage("hvg"):
    variances = scranpy.model_gene_variances(logged, num_threads=threads)
    chosen = scranpy.choose_highly_variable_genes(np.asarray(variances["statistics"]["residual"]), top=2000)
with record.stage("pca"):
    components = scranpy.run_pca(logged, number=50, subset=chosen, num_threads=threads)["components"]
with record.stage("knn"):
    import knncolle

    # Its exact search; the default (annoy) finds nine of ten neighbours.
    index = knncolle.build_index(knncolle.VptreeParameters(), components.T)
    found = knncolle.find_knn(index, num_neighbors=14, num_threads=threads)
with record.stage("leiden"):
    graph = scranpy.build_snn_graph(found, num_threads=threads)
    labels = scranpy.cluster_graph(graph, method="leiden")["membership"]
with record.stage("umap"):
    embedding = scranpy.run_umap(found, num_epochs=500 if len(data) <= 10_000 else 200, num_threads=threads, parallel_optimization=threads > 1)
record.save(out)

n = int(kept.sum())
truth = data.obs["cell_type"].astype(str).to_numpy()[kept] if "cell_type" in data.obs else np.asarray(labels).astype(str)
neighbors = np.asarray(found["index"] if "index" in found.get_names() else found[0]) if hasattr(found, "get_names") else np.asarray(found.index)
neighbors = neighbors.T if neighbors.shape[0] != n else neighbors
np.savez(
    arrays,
    names=np.asarray(data.obs_names[kept], dtype=str),
    genes=np.asarray(data.var_names[detected], dtype=str),
    truth=np.asarray(truth, dtype=str),
    pcs=np.asarray(components, dtype=np.float32).T,
    knn_indptr=np.arange(n + 1) * neighbors.shape[1],
    knn_indices=neighbors.ravel(),
    labels=np.asarray(labels).astype(str),
    umap=np.asarray(embedding, dtype=np.float32).reshape(n, 2),
)
