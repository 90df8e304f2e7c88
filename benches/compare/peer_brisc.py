"""The chain in brisc: `peer_brisc.py INPUT.h5ad OUT.json OUT.npz THREADS`.

brisc has no t-test and no Wilcoxon test (its markers are another statistic), no `seurat` flavour, and keeps a mask in
place of filtering. Its UMAP runs as many epochs as the others' (500 up to 10,000 cells, else 200).
"""

import sys
import warnings

from measure import Recorder, set_threads

source, out, arrays, threads = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
set_threads(threads)
warnings.simplefilter("ignore")

import brisc
import numpy as np
from brisc import SingleCell

record = Recorder("brisc", brisc.__version__, threads)
with record.stage("read"):
    data = SingleCell(source, num_threads=threads)
with record.stage("qc"):
    data = data.qc(max_mito_fraction=None, min_genes=200, nonzero_MALAT1=False, allow_float=True)
with record.stage("hvg_v3"):
    data = data.hvg(num_genes=2000)
with record.stage("norm_log"):
    data = data.normalize(method="logCP10k")
with record.stage("pca"):
    data = data.pca(num_PCs=50)
with record.stage("knn"):
    data = data.neighbors(num_neighbors=14)
with record.stage("leiden"):
    # Its clustering works on a graph of shared neighbours, which belongs to the stage.
    data = data.shared_neighbors()
    data = data.cluster(resolution=1)
with record.stage("umap"):
    data = data.umap(num_iterations=500 if len(data.obs) <= 10_000 else 200)
record.save(out)

obs = data.obs
passed = obs["passed_QC"].to_numpy() if "passed_QC" in obs.columns else np.ones(len(obs), bool)
neighbors = np.asarray(data.obsm["neighbors"])
if len(neighbors) == len(obs) and not passed.all():
    raise SystemExit("brisc: some cells failed QC; the referee expects all cells")
column = "cluster" if "cluster" in obs.columns else next(c for c in obs.columns if c.startswith("cluster"))
np.savez(
    arrays,
    names=np.asarray(obs[:, 0].to_numpy(), dtype=str),
    genes=np.asarray(data.var[:, 0].to_numpy(), dtype=str),
    truth=np.asarray(obs["cell_type"].to_numpy() if "cell_type" in obs.columns else obs[column].to_numpy(), dtype=str),
    hvg_v3=data.var["highly_variable"].to_numpy().astype(bool),
    pcs=np.asarray(data.obsm["pca"], dtype=np.float32),
    knn_indptr=np.arange(len(neighbors) + 1) * neighbors.shape[1],
    knn_indices=neighbors.ravel(),
    labels=np.asarray(obs[column].cast(str).to_numpy(), dtype=str),
    umap=np.asarray(data.obsm["umap"], dtype=np.float32),
)
