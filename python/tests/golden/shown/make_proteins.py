"""Makes proteins.npz: muon's CLR, dsb and joint weights on real proteins: pbmc_citeseq_10x_200,
citeseq_protein_background, eccite_pbmc_500.

Run: ZENSAIBO_DATA=.../data python make_proteins.py
Needs: muon==0.1.9 mudata==0.3.10 scanpy==1.11.5 scikit-learn==1.9.1 anndata==0.12.19 numpy==2.4.6.
"""

import os
import pathlib
import sys
import warnings

import anndata as ad
import muon
import numpy as np
import scanpy as sc
from scipy import sparse
from sklearn.decomposition import PCA
from sklearn.mixture import GaussianMixture

warnings.simplefilter("ignore")
DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"])


class Mixture(GaussianMixture):
    """muon's mixtures, started from the halves about the median and run to the end, rather than once at random."""

    def __init__(self, n_components, covariance_type, init_params, random_state):
        super().__init__(
            n_components, covariance_type=covariance_type, init_params=init_params, random_state=random_state
        )

    def fit(self, X):
        upper = (X > np.median(X)).astype(float)
        self.means_init = np.array([[X[upper == 0].mean()], [X[upper == 1].mean()]])
        self.init_params, self.tol, self.max_iter = "kmeans", 1e-9, 5000
        return super().fit(X)


class Components(PCA):
    """muon leaves controls and backgrounds as they are, dsb 1.0 brings them to one deviation first."""

    def fit_transform(self, X, y=None):
        return super().fit_transform((X - X.mean(axis=0)) / X.std(axis=0, ddof=1))


def dense(x):
    return np.asarray(x.todense() if sparse.issparse(x) else x, dtype=np.float64)


def exact_neighbors(X, n_neighbors, metric, metric_kwds, **_):
    """In place of umap's approximate search: every pair is looked at."""
    n = X.shape[0]
    if callable(metric):
        points = np.asarray(X, dtype=np.float64)
        table = np.array([[metric(points[i], points[j], *metric_kwds.values()) for j in range(n)] for i in range(n)])
    else:
        table = np.linalg.norm(X[:, None, :].astype(np.float64) - X[None, :, :], axis=-1)
    order = np.argsort(table, axis=1, kind="stable")[:, :n_neighbors]
    return order, np.take_along_axis(table, order, axis=1), None


golden = {}
tables = {
    "pbmc_5k": ad.read_h5ad(DATA / "pbmc_citeseq_10x_200/pbmc_5k_protein_v3_200cells.h5ad").obsm["protein_expression"],
    "pbmc_10k": ad.read_h5ad(DATA / "pbmc_citeseq_10x_200/pbmc_10k_protein_v3_200cells.h5ad").obsm[
        "protein_expression"
    ],
    "eccite": ad.read_h5ad(DATA / "eccite_pbmc_500/eccite_rna_adt_hto.h5ad").obsm["ADT"],
}
for name, counts in tables.items():
    for axis in (0, 1):
        proteins = ad.AnnData(dense(counts))
        muon.prot.pp.clr(proteins, axis=axis)
        golden[f"{name}_clr_{axis}"] = dense(proteins.X)[::4].astype(np.float32)

folder = DATA / "citeseq_protein_background"
cells, empty = (ad.read_h5ad(folder / f"{name}_87proteins.h5ad") for name in ("cells", "empty_droplets"))
controls = [name for name in cells.var_names if "isotype" in name.lower() or "igg" in name.lower()]
sys.modules[muon.prot.pp.dsb.__module__].GaussianMixture = Mixture
sys.modules[muon.prot.pp.dsb.__module__].PCA = Components
for name, settings in {"scaled": {"denoise_counts": False}, "denoised": {"isotype_controls": controls}}.items():
    counts, droplets = ad.AnnData(dense(cells.X)[::6]), ad.AnnData(dense(empty.X))
    counts.var_names = droplets.var_names = list(cells.var_names)
    droplets.obs_names = [f"empty{i}" for i in range(len(droplets))]
    muon.prot.pp.dsb(counts, droplets, random_state=0, **settings)
    rows = slice(None, None, 8) if name == "scaled" else slice(None, None, 2)
    golden[f"dsb_{name}"] = dense(counts.X)[rows].astype(np.float32 if name == "scaled" else np.float16)
golden["dsb_controls"] = np.array(controls)

source = ad.read_h5ad(DATA / "pbmc_citeseq_10x_200/pbmc_5k_protein_v3_200cells.h5ad")
source.var_names_make_unique()
sc.pp.filter_genes(source, min_cells=3)
sc.pp.normalize_total(source, target_sum=1e4)
sc.pp.log1p(source)
sc.pp.highly_variable_genes(source, n_top_genes=1000)
sc.pp.pca(source, n_comps=10)
proteins = ad.AnnData(dense(source.obsm["protein_expression"]))
muon.prot.pp.clr(proteins, axis=0)
golden["joint_rna"] = np.round(source.obsm["X_pca"], 3).astype(np.float32)
golden["joint_proteins"] = np.round(dense(proteins.X), 3).astype(np.float32)
mods = {}
for name, values in (("rna", golden["joint_rna"]), ("proteins", golden["joint_proteins"])):
    part = ad.AnnData(np.zeros((len(values), 1), np.float32))
    part.obs_names, part.var_names = [f"c{i}" for i in range(len(values))], [f"{name}0"]
    part.obsm["X"] = values
    sc.pp.neighbors(part, n_neighbors=15, use_rep="X", transformer="sklearn")
    part.obsp["distances"].sort_indices()
    mods[name] = part
mdata = muon.MuData(mods)
muon._core.preproc.nearest_neighbors = exact_neighbors
muon.pp.neighbors(mdata, n_neighbors=14, n_multineighbors=199, random_state=0)
golden["joint_weights"] = mdata.obs[["rna:mod_weight", "proteins:mod_weight"]].to_numpy()

path = pathlib.Path(__file__).with_name("proteins.npz")
np.savez_compressed(path, **golden)
print(path.stat().st_size, controls, golden["joint_weights"].mean(axis=0), {k: v.shape for k, v in golden.items()})
