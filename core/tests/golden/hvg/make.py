"""Makes expected.json: loess curves of scikit-misc and gene selections of scanpy on small made-up counts.

Run with scanpy 1.11.5, scikit-misc 0.5.3, numpy 2.x, pandas 2.x: ``python make.py``.
"""

import json
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import scanpy as sc
from scipy import sparse
from skmisc.loess import loess

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)


def numbers(values):
    """12 significant digits; None for NaN."""
    return [None if np.isnan(v) else float(f"{v:.12g}") for v in np.asarray(values, float)]


# Equal x are common among gene means and decide where the tree is cut.
x = np.round(np.sort(rng.normal(size=300)), 2)
y = np.sin(2 * x) + 0.2 * rng.normal(size=300)
x, y = np.array(numbers(x)), np.array(numbers(y))
fitted = {}
for span in (0.2, 0.3, 0.75, 1.0):
    model = loess(x, y, span=span, degree=2)
    model.fit()
    fitted[str(span)] = numbers(model.outputs.fitted_values)

n_cells, n_genes = 80, 150
# Means high enough that no two genes have equal variances: numpy leaves the order of ties open.
means = 10 ** rng.uniform(0.4, 1.8, n_genes)
size = np.where(np.arange(n_genes) % 4 == 0, 0.4, 4.0)
batches = rng.integers(0, 3, n_cells)
shift = rng.lognormal(0, 0.4, (3, n_genes))
counts = rng.negative_binomial(size, size / (size + means * shift[batches])).astype(np.float32)
counts[:, 17] = 0
counts[batches == 1, 23] = 0
names = [f"g{i}" for i in rng.permutation(n_genes)]

raw = ad.AnnData(sparse.csr_matrix(counts), var=pd.DataFrame(index=names))
raw.obs["batch"] = pd.Categorical([f"b{b}" for b in batches])
log = raw.copy()
# The float32 nearest to the logarithm, held as float64: scanpy squares float32 in float32, which costs digits.
log.X = log.X.astype(np.float64).log1p().astype(np.float32).astype(np.float64)
log.uns["log1p"] = {"base": None}
cases = []
for flavor in ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper"):
    for batched in (False, True):
        for n_top_genes in (None, 30, 90):
            if n_top_genes is None and flavor.startswith("seurat_v3"):
                continue
            data = raw if flavor.startswith("seurat_v3") else log
            table = sc.pp.highly_variable_genes(
                data, flavor=flavor, n_top_genes=n_top_genes, batch_key="batch" if batched else None, inplace=False
            )
            columns = [c for c in table.columns if c in (
                "means", "dispersions", "dispersions_norm", "variances", "variances_norm", "highly_variable_rank")]
            if batched:
                table = table.loc[names]
            case = {"flavor": flavor, "batched": batched, "n_top_genes": n_top_genes}
            case |= {c: numbers(table[c]) for c in columns}
            case["highly_variable"] = np.flatnonzero(table["highly_variable"].to_numpy()).tolist()
            cases.append(case)

out = {
    "loess": {"x": numbers(x), "y": numbers(y), "fitted": fitted},
    "n_cells": n_cells, "n_genes": n_genes,
    "counts": counts.astype(int).ravel().tolist(),
    "batches": batches.tolist(),
    "name_order": np.argsort(np.array(names), kind="stable").tolist(),
    "cases": cases,
}
Path(__file__).with_name("expected.json").write_text(json.dumps(out, separators=(",", ":")))
