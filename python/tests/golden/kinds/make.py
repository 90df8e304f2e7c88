"""Golden values of the protein and chromatin transforms and of the joint graph.

Made with Python 3.11, muon 0.1.9, mudata 0.3.10, anndata 0.12.19, scanpy 1.11.5, scikit-learn 1.9.1, scipy 1.17.1:

    pip install muon==0.1.9 mudata==0.3.10 scanpy==1.11.5 && python make.py
"""

import sys
import warnings
from pathlib import Path

import anndata as ad
import muon
import numpy as np
import scanpy as sc
from scipy import sparse
from sklearn.mixture import GaussianMixture

warnings.simplefilter("ignore")
HERE = Path(__file__).parent


class Mixture(GaussianMixture):
    """muon's mixtures, started well and run to the end rather than started once at random."""

    def __init__(self, n_components, covariance_type, init_params, random_state):
        super().__init__(
            n_components, covariance_type=covariance_type, init_params=init_params, random_state=random_state
        )

    def fit(self, X):
        upper = (X > np.median(X)).astype(float)
        self.means_init = np.array([[X[upper == 0].mean()], [X[upper == 1].mean()]])
        self.init_params, self.tol, self.max_iter = "kmeans", 1e-9, 5000
        return super().fit(X)


def proteins() -> dict[str, np.ndarray]:
    """80 cells and 120 empty droplets, 24 proteins of which the last two are isotype controls."""
    rng = np.random.default_rng(1)
    level = rng.uniform(4, 20, 24)
    factor = np.exp(rng.normal(0, 0.35, 80))
    signal = np.where(
        (np.arange(24) % 3 == (np.arange(80) % 3)[:, None]) & (np.arange(24) < 22), rng.uniform(6, 25, 24), 1
    )
    cells = rng.poisson(level * factor[:, None] * signal).astype(np.float32)
    empty = rng.poisson(level * 0.5 * np.exp(rng.normal(0, 0.3, (120, 1)))).astype(np.float32)
    out = {"cells": cells, "empty": empty}
    for axis in (0, 1):
        counts = ad.AnnData(cells.astype(np.float64))
        muon.prot.pp.clr(counts, axis=axis)
        out[f"clr_{axis}"] = counts.X
    sys.modules[muon.prot.pp.dsb.__module__].GaussianMixture = Mixture
    for name, settings in {
        "scaled": {"denoise_counts": False},
        "centred": {"denoise_counts": False, "scale_factor": "mean_subtract"},
        "denoised": {},
    }.items():
        counts, droplets = ad.AnnData(cells.astype(np.float64)), ad.AnnData(empty.astype(np.float64))
        droplets.obs_names = [f"empty{i}" for i in range(len(droplets))]
        muon.prot.pp.dsb(counts, droplets, random_state=0, **settings)
        out[f"dsb_{name}"] = counts.X.astype(np.float32)
    return out


def peaks() -> dict[str, np.ndarray]:
    """90 cells x 60 peaks."""
    rng = np.random.default_rng(2)
    rates = rng.gamma(0.5, 0.5, (3, 60))
    counts = rng.poisson(rates[np.arange(90) % 3] * rng.uniform(0.5, 2, (90, 1))).astype(np.float64)
    counts[:, counts.sum(axis=0) == 0] += rng.poisson(1, (90, 1))
    out = {"counts": counts.astype(np.float32)}
    for name, settings in {
        "default": {},
        "signac1": {"log_tf": False, "log_idf": False, "log_tfidf": True},
        "signac2": {"log_tf": False, "scale_factor": 1},
    }.items():
        cells = ad.AnnData(sparse.csr_matrix(counts))
        muon.atac.pp.tfidf(cells, **settings)
        out[f"tfidf_{name}"] = cells.X.toarray().astype(np.float32)
    cells = ad.AnnData(sparse.csr_matrix(counts))
    muon.atac.pp.tfidf(cells)
    muon.atac.tl.lsi(cells, n_comps=10)
    out.update(
        lsi=cells.obsm["X_lsi"].astype(np.float32), lsi_stdev=cells.uns["lsi"]["stdev"], lsi_loadings=cells.varm["LSI"]
    )
    return out


def exact_neighbors(X, n_neighbors, metric, metric_kwds, **_):
    """In place of umap's approximate search, so that the golden is free of its errors: every pair is looked at."""
    n = X.shape[0]
    if callable(metric):
        points = np.asarray(X, dtype=np.float64)
        table = np.array([[metric(points[i], points[j], *metric_kwds.values()) for j in range(n)] for i in range(n)])
    else:
        table = np.linalg.norm(X[:, None, :].astype(np.float64) - X[None, :, :], axis=-1)
    order = np.argsort(table, axis=1, kind="stable")[:, :n_neighbors]
    return order, np.take_along_axis(table, order, axis=1), None


def joint() -> dict[str, np.ndarray]:
    """150 cells in two modalities, exact neighbours."""
    rng = np.random.default_rng(3)
    group = np.arange(150) % 3
    a, b = rng.normal(size=(150, 6)), rng.normal(size=(150, 4))
    a[group == 0, 0] += 6
    b[group == 2, 0] += 6
    a, b = a.astype(np.float32), b.astype(np.float32)
    mods = {}
    for name, values in (("a", a), ("b", b)):
        cells = ad.AnnData(np.zeros((150, 1), np.float32))
        cells.obs_names = [f"c{i}" for i in range(150)]
        cells.var_names = [f"{name}0"]
        cells.obsm["X"] = values
        sc.pp.neighbors(cells, n_neighbors=15, use_rep="X", transformer="sklearn")
        # muon's Jaccard index walks along two lists of neighbours and needs them sorted.
        cells.obsp["distances"].sort_indices()
        mods[name] = cells
    mdata = muon.MuData(mods)
    muon._core.preproc.nearest_neighbors = exact_neighbors
    muon.pp.neighbors(mdata, n_neighbors=14, n_multineighbors=149, random_state=0)
    weights = mdata.obs[["a:mod_weight", "b:mod_weight"]].to_numpy()
    graph = mdata.obsp["distances"].tocsr()
    return {"a": a, "b": b, "weights": weights, "indptr": graph.indptr, "indices": graph.indices}


for name, table in (("proteins", proteins()), ("peaks", peaks()), ("joint", joint())):
    np.savez_compressed(HERE / f"{name}.npz", **table)
