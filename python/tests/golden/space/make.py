"""Makes peers.npz: what squidpy and LIANA give for the 700 cells of pbmc68k_reduced.

    pip install squidpy==1.8.2 liana==1.10.0 scanpy==1.11.5
    python make.py

The pairs of pairs.csv are textbook ligands and receptors, written by hand.
"""

import warnings
from pathlib import Path

import liana
import numpy as np
import pandas as pd
import scanpy as sc
import squidpy as sq

warnings.simplefilter("ignore")
HERE = Path(__file__).resolve().parent
SCORES = {
    "cellphonedb": ["lr_means", "cellphone_pvals"],
    "connectome": ["expr_prod", "scaled_weight"],
    "logfc": ["lr_logfc"],
    "natmi": ["spec_weight"],
    "singlecellsignalr": ["lrscore"],
    "cellchat": ["lr_probs", "cellchat_pvals"],
    "geometric_mean": ["lr_gmeans"],
    "scseqcomm": ["inter_score"],
}

adata = sc.datasets.pbmc68k_reduced()
pairs = pd.read_csv(HERE / "pairs.csv")
labels = list(adata.obs["bulk_labels"].cat.categories)
interactions = list(pairs.itertuples(index=False, name=None))
out = {}
cube = (len(labels), len(labels), len(interactions))
for method, columns in SCORES.items():
    adata.uns.pop("liana_res", None)
    getattr(liana.mt, method)(adata, "bulk_labels", resource=pairs.copy(), n_perms=1000, expr_prop=0.1, verbose=False)
    table = adata.uns["liana_res"]
    at = (
        pd.Categorical(table["source"], labels).codes,
        pd.Categorical(table["target"], labels).codes,
        [interactions.index(pair) for pair in zip(table["ligand_complex"], table["receptor_complex"])],
    )
    for column in columns:
        values = np.full(cube, np.nan)
        values[at] = table[column]
        out[column] = values
found = sq.gr.ligrec(
    adata, "bulk_labels", pairs.set_axis(["source", "target"], axis=1), n_perms=1000, seed=0, copy=True, show_progress_bar=False
)
for key in ("means", "pvalues"):
    out[f"squidpy_{key}"] = found[key].to_numpy(dtype=np.float64)
out["squidpy_pairs"] = np.array([list(pair) for pair in found["means"].index], dtype="U16")
adata.obsp["near_connectivities"] = adata.obsp["connectivities"]
sq.gr.centrality_scores(adata, "bulk_labels", connectivity_key="near", show_progress_bar=False)
out["centrality"] = adata.uns["bulk_labels_centrality_scores"].loc[labels].to_numpy(dtype=np.float64)
out["centrality_columns"] = np.array(adata.uns["bulk_labels_centrality_scores"].columns, dtype="U24")
np.savez_compressed(HERE / "peers.npz", **out)
