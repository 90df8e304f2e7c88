"""Makes doublets.npz: scores of scrublet 0.2.3 (the authors' package) on pbmc3k and of scanpy 1.11.5's on each of the
four libraries of mouse_hspc_4samples.

Run: ZENSAIBO_DATA=.../data python make_doublets.py
Needs: scrublet==0.2.3 scanpy==1.11.5 scikit-image==0.26.0 annoy==1.17.3 numpy==2.4.6.
"""

import os
import pathlib
import warnings

import anndata as ad
import numpy as np
import scanpy as sc
import scrublet
from scipy.io import mmread
from scipy.sparse import csc_matrix, csr_matrix

warnings.simplefilter("ignore")
DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"])

counts = csc_matrix(mmread(DATA / "pbmc3k/filtered_gene_bc_matrices/hg19/matrix.mtx.gz").T)
authors = scrublet.Scrublet(counts, expected_doublet_rate=0.05, random_state=0)
scores, _ = authors.scrub_doublets(verbose=False)
golden = {"pbmc3k": scores.astype(np.float32), "pbmc3k_simulated": authors.doublet_scores_sim_.astype(np.float32)}

cells = ad.AnnData(csr_matrix(counts, dtype=np.float32))
sc.pp.scrublet(cells)
golden["pbmc3k_scanpy"] = cells.obs["doublet_score"].to_numpy(np.float32)
golden["pbmc3k_scanpy_simulated"] = cells.uns["scrublet"]["doublet_scores_sim"].astype(np.float32)

hspc = ad.read_h5ad(DATA / "mouse_hspc_4samples" / "counts.h5ad")
hspc.var_names_make_unique()
# Library by library: with `batch_key`, scanpy 1.11.5 ends in a KeyError where its filters drop a cell.
golden["hspc"], golden["hspc_called"] = np.full(hspc.n_obs, np.nan, np.float32), np.zeros(hspc.n_obs, bool)
thresholds = []
for name in ("P9A", "P11A", "P11B", "P12A"):
    rows = np.flatnonzero(hspc.obs["sample"] == name)
    part = hspc[rows].copy()
    sc.pp.scrublet(part)
    golden["hspc"][rows] = part.obs["doublet_score"].to_numpy(np.float32)
    golden["hspc_called"][rows] = (part.obs["predicted_doublet"] == True).to_numpy(bool)  # noqa: E712 (object dtype, with NaN)
    thresholds.append(part.uns["scrublet"].get("threshold", np.nan))
golden["hspc_thresholds"] = np.array(thresholds)
path = pathlib.Path(__file__).with_name("doublets.npz")
np.savez_compressed(path, **golden)
print(path.stat().st_size, golden["hspc_thresholds"], golden["hspc_called"].sum(), np.nanmean(golden["pbmc3k"]))
