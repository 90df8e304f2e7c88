"""Proteins on real CITE-seq sets beside muon 0.1.9 (golden/shown), dsb's documented steps as a slow version, and hashtags."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import _read, data_path
from scipy import sparse

import zensaibo as zs


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "golden" / "shown" / "proteins.npz", allow_pickle=False)


def dense(x) -> np.ndarray:
    return np.asarray(x.todense() if sparse.issparse(x) else x, dtype=np.float64)


SETS = {
    "pbmc_5k": ("pbmc_citeseq_10x_200/pbmc_5k_protein_v3_200cells.h5ad", "protein_expression"),
    "pbmc_10k": ("pbmc_citeseq_10x_200/pbmc_10k_protein_v3_200cells.h5ad", "protein_expression"),
    "eccite": ("eccite_pbmc_500/eccite_rna_adt_hto.h5ad", "ADT"),
}


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("name", SETS)
def test_clr_is_muons(golden, name, axis):
    path, key = SETS[name]
    adata = _read(path)
    zs.pp.clr(adata, obsm=key, axis=axis, key_added="clr")
    np.testing.assert_allclose(dense(adata.obsm["clr"])[::4], golden[f"{name}_clr_{axis}"], rtol=2e-6, atol=1e-6)


@pytest.fixture(scope="module")
def droplets() -> tuple[ad.AnnData, ad.AnnData]:
    folder = "citeseq_protein_background"
    return _read(f"{folder}/cells_87proteins.h5ad"), _read(f"{folder}/empty_droplets_87proteins.h5ad")


def test_dsb_is_muons_on_real_droplets(golden, droplets):
    """Scaling to the digits; denoised values correlate above 0.97 for each protein, with muon's mixtures started as ours
    and its components taken of scaled columns, as dsb itself takes them."""
    cells, empty = droplets
    part = cells[::6].copy()
    zs.pp.dsb(part, empty, denoise_counts=False, key_added="scaled")
    np.testing.assert_allclose(part.layers["scaled"][::8], golden["dsb_scaled"], rtol=2e-4, atol=2e-5)
    zs.pp.dsb(part, empty, isotype_controls=list(golden["dsb_controls"]), key_added="dsb")
    ours, theirs = part.layers["dsb"][::2], golden["dsb_denoised"].astype(np.float64)
    correlations = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, theirs.T, strict=True)])
    assert correlations.min() > 0.97 and np.median(correlations) > 0.99, np.sort(correlations)[:5]


def mixture(x: np.ndarray) -> tuple[float, float]:
    """The lower mean of the best of two Gaussian mixtures of two (one variance, two variances) by BIC, each by
    expectation and maximisation from several splits of the sorted values: (mean, BIC)."""
    best = (np.inf, np.inf)
    for shared in (True, False):
        for share in (0.5, 0.65, 0.8):
            upper = x > np.quantile(x, share)
            weight = np.column_stack([~upper, upper]).astype(float)
            last = -np.inf
            for _ in range(500):
                size = weight.sum(axis=0)
                mean = (weight * x[:, None]).sum(axis=0) / size
                square = (weight * (x[:, None] - mean) ** 2).sum(axis=0)
                variance = np.repeat(square.sum() / len(x), 2) if shared else square / size
                if variance.min() < 1e-4 or size.min() < 1.5:
                    last = -np.inf
                    break
                density = (
                    size / len(x) * np.exp(-((x[:, None] - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
                )
                total = density.sum(axis=1)
                weight, likelihood = density / total[:, None], np.log(total).sum()
                if likelihood - last < 1e-9:
                    break
                last = likelihood
            if np.isfinite(last):
                bic = (4 if shared else 5) * np.log(len(x)) - 2 * last
                best = min(best, (bic, mean.min()))
    return best[1], best[0]


def test_dsb_follows_the_published_steps_on_the_published_data(droplets):
    """The set that dsb's authors publish as their example. Slow version of the paper's steps, from counts to values:
    logarithms of counts + 10; each protein less its mean and over its deviation in empty droplets; each cell's background
    as the lower mean of a mixture of two; the first component of backgrounds and isotype controls regressed out."""
    cells, empty = droplets
    controls = [name for name in cells.var_names if "isotype" in name.lower() or "igg" in name.lower()]
    assert (cells.n_obs, empty.n_obs, cells.n_vars, len(controls)) == (2872, 8005, 87, 4)
    rows = slice(None, None, 5)
    part = cells[rows].copy()
    zs.pp.dsb(part, empty, isotype_controls=controls, key_added="dsb")
    background = np.log(dense(empty.X) + 10)
    scaled = (np.log(dense(part.X) + 10) - background.mean(axis=0)) / background.std(axis=0, ddof=1)
    low = np.array([mixture(row)[0] for row in scaled])
    # Some cells have two maxima of nearly the same height.
    assert np.corrcoef(low, part.obs["dsb_background"])[0, 1] > 0.97
    assert (np.abs(low - part.obs["dsb_background"]) < 0.1).mean() > 0.9
    noise = np.column_stack([scaled[:, part.var_names.get_indexer(controls)], low])
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
    factor = np.linalg.svd(noise, full_matrices=False)[0][:, 0]
    expected = scaled - np.outer(factor, factor @ (scaled - scaled.mean(axis=0)))
    ours = np.asarray(part.layers["dsb"])
    correlations = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(ours.T, expected.T, strict=True)])
    assert correlations.min() > 0.98, np.sort(correlations)[:5]
    assert np.median(np.abs(ours - expected)) < 0.05


def test_dsb_separates_what_proteins_mark(droplets):
    """Values count deviations above the background: isotype controls lie near 0, lineage proteins are of two modes and
    exclude each other (T against B cells)."""
    cells, empty = droplets[0].copy(), droplets[1]
    controls = [name for name in cells.var_names if "isotype" in name.lower() or "igg" in name.lower()]
    zs.pp.dsb(cells, empty, isotype_controls=controls, key_added="dsb")
    values = pd.DataFrame(cells.layers["dsb"], columns=[name.removesuffix("_PROT") for name in cells.var_names])
    assert {"CD3", "CD19"} <= set(values.columns), list(values.columns)
    t, b = values["CD3"] > 3.5, values["CD19"] > 3.5
    assert t.mean() > 0.1 and b.mean() > 0.01 and (t & b).sum() < 0.1 * min(t.sum(), b.sum())


def test_joint_weights_are_muons_on_pbmc(golden):
    found = zs.arrays.wnn([golden["joint_rna"], golden["joint_proteins"]], n_neighbors=15, n_multineighbors=199)
    # Overlaps of 15 neighbours tie in most cells; which of the tied bound a kernel's width differs in one cell of ten.
    apart = np.abs(found.weights - golden["joint_weights"]).max(axis=1)
    assert (apart < 2e-5).mean() > 0.9 and apart.max() < 0.1


def test_two_batches_of_pbmc_by_proteins():
    """The two 10x sets share 14 proteins: after CLR by batch, cells of either mix (as they hardly do raw), types stay."""
    tables = {}
    for name in ("pbmc_5k", "pbmc_10k"):
        path, key = SETS[name]
        adata = _read(path)
        table = pd.DataFrame(dense(adata.obsm[key]), columns=[str(p) for p in adata.uns["protein_names"]])
        zs.pp.clr(adata, obsm=key, key_added="clr")
        tables[name] = (table, pd.DataFrame(dense(adata.obsm["clr"]), columns=table.columns))
    shared = [name for name in tables["pbmc_5k"][0].columns if name in set(tables["pbmc_10k"][0].columns)]
    assert len(shared) >= 10, shared
    batch = np.repeat(["5k", "10k"], 200)
    raw, clr = (np.vstack([tables[name][i][shared] for name in tables]) for i in (0, 1))
    before, after = (zs.metrics.lisi(values, batch, perplexity=15).mean() for values in (np.log1p(raw), clr))
    assert after > before, (before, after)
    joined = ad.AnnData(clr.astype(np.float32))
    joined.obs["batch"] = batch
    joined.obsm["proteins"] = joined.X
    zs.pp.harmony_integrate(joined, "batch", basis="proteins", adjusted_basis="mixed")
    assert zs.metrics.lisi(joined.obsm["mixed"], batch, perplexity=15).mean() > after
    column = next(i for i, name in enumerate(shared) if name.upper().startswith("CD3"))
    high = clr[:, column] > np.median(clr[:, column])
    assert zs.metrics.lisi(joined.obsm["mixed"], high, perplexity=15).mean() < 1.35


def test_hashtags_of_eccite():
    """Called singlets have most of their hashtags' counts in the tag they are called by; called doublets have two;
    doublets have more RNA and more antibodies than singlets."""
    source = _read("eccite_pbmc_500/eccite_rna_adt_hto.h5ad")
    counts = dense(source.obsm["HTO"])
    tags = [f"tag{i}" for i in range(counts.shape[1])]
    adata = ad.AnnData(source.X.copy(), obs=pd.DataFrame(counts.astype(int), columns=tags, index=source.obs_names))
    zs.pp.hashsolo(adata, tags)
    called = adata.obs["Classification"].astype(str).to_numpy()
    share = np.sort(counts / np.maximum(counts.sum(axis=1, keepdims=True), 1), axis=1)[:, ::-1]
    single = np.isin(called, tags)
    assert single.mean() > 0.5 and set(called[single]) == set(tags)
    best = np.array(tags)[counts.argmax(axis=1)]
    assert (best[single] == called[single]).all()
    assert np.median(share[single, 0]) > 0.8 and np.median(share[called == "Doublet", 1]) > 0.15
    total = np.asarray(source.X.sum(axis=1)).ravel()
    assert np.median(total[called == "Doublet"]) > np.median(total[single])


def test_cbmc_clusters_agree_with_proteins():
    """cbmc: clusters of RNA (2,000 genes) tell the proteins apart: they explain most of the ten proteins' variance, and
    the joint graph explains more of it than RNA alone and more of RNA's components than proteins alone."""
    path = data_path("cbmc_citeseq/cbmc_rna2000_adt10.h5ad")
    adata = ad.read_h5ad(path)
    assert adata.shape == (8617, 2000) and adata.obsm["protein"].shape == (8617, 10)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata)
    zs.tl.leiden(adata, resolution=0.5)
    proteins = pd.DataFrame(dense(adata.obsm["protein"]))
    within = proteins - proteins.groupby(adata.obs["leiden"].to_numpy()).transform("mean")
    explained = 1 - within.var().sum() / proteins.var().sum()
    assert explained > 0.45, explained
    score = zs.metrics.silhouette(proteins.to_numpy(), adata.obs["leiden"], sample=1000)
    shuffled = np.random.default_rng(0).permutation(adata.obs["leiden"])
    assert score > zs.metrics.silhouette(proteins.to_numpy(), shuffled, sample=1000) + 0.1
