"""Batches on real data, beside harmonypy 2.1.0 and bbknn 1.6.0 (golden/shown): kang's conditions mix within types, the
libraries of mouse_hspc mix, the plates of cell_line_mixology mix and its five lines and designed mixtures are found."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import _read, data_path
from scipy import sparse
from scipy.stats import spearmanr

import zensaibo as zs

LINES = ("A549", "H1975", "H2228", "H838", "HCC827")


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "golden" / "shown" / "batches.npz")


def components(adata: ad.AnnData, n_comps: int = 20, **options) -> ad.AnnData:
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.highly_variable_genes(adata, n_top_genes=2000, **options)
    zs.pp.pca(adata, n_comps=n_comps)
    return adata


def table(name: str) -> ad.AnnData:
    """A plate of cell_line_mixology: cells in rows, the metadata in obs."""
    counts = pd.read_csv(data_path(f"cell_line_mixology/{name}.count.csv.gz"), index_col=0).T
    found = pd.read_csv(data_path(f"cell_line_mixology/{name}.metadata.csv.gz"), index_col=0)
    adata = ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), obs=found.loc[counts.index])
    adata.var_names = counts.columns.astype(str)
    return adata


@pytest.fixture(scope="module")
def kang_pcs() -> ad.AnnData:
    adata = components(_read("kang_pbmc_ifnb/counts.h5ad"))
    genes = adata[:, ["CD3D", "MS4A1", "LYZ"]].to_df()
    adata.obs["kind"] = genes.idxmax(axis=1).where(genes.max(axis=1) > 1.5)
    return adata


@pytest.fixture(scope="module")
def hspc_pcs() -> ad.AnnData:
    return components(_read("mouse_hspc_4samples/counts.h5ad"), batch_key="sample")


@pytest.fixture(scope="module")
def plates() -> ad.AnnData:
    """The cells of the three plates that demuxlet calls single."""
    parts = []
    for plate in ("p1", "p2", "p3"):
        part = table(f"sc_celseq2_5cl_{plate}")
        part.obs_names = [f"{plate}_{i}" for i in range(part.n_obs)]
        part.obs["plate"], part.obs["line"] = plate, part.obs["cell_line_demuxlet"].astype(str)
        parts.append(part[(part.obs["demuxlet_cls"] == "SNG").to_numpy()].copy())
    adata = ad.concat(parts)
    assert set(adata.obs["line"]) == set(LINES)
    return components(adata)


def mixing(adata: ad.AnnData, rep: str, key: str) -> float:
    there = adata.obs[key].notna().to_numpy()
    return zs.metrics.lisi(adata.obsm[rep][there], adata.obs[key][there].astype(str)).mean()


@pytest.mark.parametrize(("name", "fixture", "batch"), [
    ("kang", "kang_pcs", "stim"), ("hspc", "hspc_pcs", "sample"), ("lines", "plates", "plate"),
])  # fmt: skip
def test_batches_mix_as_with_harmonypy(request, golden, name, fixture, batch):
    """Mean LISI of batches within 0.06 of harmonypy's or above, of types within 0.01 or below; coordinates correlate."""
    adata = request.getfixturevalue(fixture).copy()
    before, after, *types = golden[f"{name}_lisi"]
    assert mixing(adata, "X_pca", batch) == pytest.approx(before, abs=5e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.pp.harmony_integrate(adata, batch)
    ours = mixing(adata, "X_pca_harmony", batch)
    assert ours > after - 0.06 and ours > before + 0.1, (before, after, ours)
    if types:
        kept = mixing(adata, "X_pca_harmony", "kind" if name == "kang" else "line")
        assert kept < types[1] + 0.01, (types, kept)
    theirs, mine = golden[f"{name}_harmony"].astype(np.float64), adata.obsm["X_pca_harmony"][::8]
    # Components come with either sign.
    correlations = [abs(np.corrcoef(theirs[:, i], mine[:, i])[0, 1]) for i in range(8)]
    assert min(correlations[:3]) > 0.97 and np.median(correlations) > 0.95, correlations


def test_kbet_and_clusters_tell_that_libraries_mix(hspc_pcs):
    adata = hspc_pcs.copy()
    zs.pp.harmony_integrate(adata, "sample")
    rates = {}
    for rep in ("X_pca", "X_pca_harmony"):
        rates[rep] = zs.metrics.kbet(adata.obsm[rep], adata.obs["sample"], n_neighbors=25).acceptance_rate
    assert rates["X_pca_harmony"] > rates["X_pca"] + 0.05, rates
    zs.pp.neighbors(adata, use_rep="X_pca_harmony")
    zs.tl.leiden(adata)
    counts = pd.crosstab(adata.obs["leiden"], adata.obs["sample"])
    alone = counts.max(axis=1) > 0.8 * counts.sum(axis=1)
    # Few cells lie in clusters of one library: P12A holds a population of its own.
    assert counts[alone].to_numpy().sum() < 0.1 * adata.n_obs, counts


def test_variable_genes_by_library_are_scanpys(hspc_pcs):
    import scanpy as sc

    adata = hspc_pcs.copy()
    ours = adata.var["highly_variable"].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.highly_variable_genes(adata, n_top_genes=2000, batch_key="sample")
    assert (ours == adata.var["highly_variable"]).all()


def test_kangs_graph_is_bbknns(golden, kang_pcs):
    """The same edges on every fourth cell, weights to 1e-5; on all cells conditions mix and types stay apart."""
    small = ad.AnnData(obs=kang_pcs.obs[["stim"]].iloc[::4].copy())
    small.obsm["X_pca"] = golden["kang_pcs"].astype(np.float32)
    zs.pp.bbknn(small, batch_key="stim", neighbors_within_batch=5)
    parts = (golden[f"bbknn_{field}"] for field in ("data", "indices", "indptr"))
    data, indices, indptr = parts
    theirs = sparse.csr_matrix((data, indices.astype(np.int32), indptr), shape=(small.n_obs, small.n_obs))
    ours = small.obsp["connectivities"].copy()
    ours.sort_indices()
    np.testing.assert_array_equal(ours.indptr, theirs.indptr)
    np.testing.assert_array_equal(ours.indices, theirs.indices)
    np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-5)

    adata = kang_pcs.copy()
    zs.pp.neighbors(adata, key_added="plain")
    zs.pp.bbknn(adata, batch_key="stim", neighbors_within_batch=5)
    stim = (adata.obs["stim"] == "stim").to_numpy()

    def across(graph):
        return graph[stim][:, ~stim].sum() / graph[stim].sum()

    # Weights fall with distance, so most weight stays within a condition; bbknn's own share is the same (above).
    assert across(adata.obsp["connectivities"]) > 3 * across(adata.obsp["plain_connectivities"])
    kinds = adata.obs["kind"].to_numpy()
    rows, columns = adata.obsp["connectivities"].nonzero()
    known = pd.notna(kinds[rows]) & pd.notna(kinds[columns])
    assert (kinds[rows][known] == kinds[columns][known]).mean() > 0.93


def test_isg15_is_up_in_stimulated_cells(kang_pcs):
    """In the whole and within each kind of cell, by every test of rank_genes_groups, with scanpy's order."""
    import scanpy as sc

    for method in ("t-test", "wilcoxon"):
        ours, theirs = kang_pcs.copy(), kang_pcs.copy()
        zs.tl.rank_genes_groups(ours, "stim", method=method)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            sc.tl.rank_genes_groups(theirs, "stim", method=method)
        names = ours.uns["rank_genes_groups"]["names"]["stim"][:40]
        assert {"ISG15", "IFI6", "IFIT1", "IFIT3", "ISG20"} <= set(names), (method, names)
        assert names[0] == "ISG15" == theirs.uns["rank_genes_groups"]["names"]["stim"][0], names
        table = zs.get.rank_genes_groups_df(ours, "stim").set_index("names")
        assert table.loc["ISG15", "logfoldchanges"] > 2 and table.loc["ISG15", "pvals_adj"] < 1e-50
    for kind in ("CD3D", "MS4A1", "LYZ"):
        part = kang_pcs[(kang_pcs.obs["kind"] == kind).to_numpy()].copy()
        zs.tl.rank_genes_groups(part, "stim", method="wilcoxon")
        table = zs.get.rank_genes_groups_df(part, "stim").set_index("names")
        assert table.loc["ISG15", "pvals_adj"] < 1e-6 and table.loc["ISG15", "logfoldchanges"] > 2, kind


def test_five_lines_are_found_and_plates_mix(plates, golden):
    adata = plates.copy()
    before = mixing(adata, "X_pca", "plate")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.pp.harmony_integrate(adata, "plate")
    assert mixing(adata, "X_pca_harmony", "plate") > before + 0.1
    assert zs.metrics.silhouette(adata.obsm["X_pca_harmony"], adata.obs["line"]) > 0.3
    for rep, theirs in zip(("X_pca", "X_pca_harmony"), golden["lines_ari"], strict=True):
        zs.pp.neighbors(adata, use_rep=rep)
        zs.tl.leiden(adata, resolution=0.5)
        ari = zs.metrics.adjusted_rand_index(adata.obs["line"], adata.obs["leiden"])
        assert ari > theirs - 0.01, (rep, theirs, ari)
    assert adata.obs["leiden"].nunique() == 5
    zs.pp.bbknn(adata, batch_key="plate")
    zs.tl.leiden(adata, resolution=0.5)
    assert zs.metrics.adjusted_rand_index(adata.obs["line"], adata.obs["leiden"]) > 0.95
    # Classifiers and mapping carry the names of one plate to the others.
    train = adata[(adata.obs["plate"] == "p1").to_numpy()].copy()
    test = adata[(adata.obs["plate"] != "p1").to_numpy()].copy()
    zs.tl.annotate(test, zs.tl.train_classifier(train, "line"))
    found = next(test.obs[c] for c in test.obs if c not in adata.obs and test.obs[c].astype(str).isin(LINES).all())
    assert (found.astype(str) == test.obs["line"]).mean() > 0.98


def test_the_known_markers_of_the_lines_are_ranked(plates):
    """A gene that marks a line by wilcoxon marks it in scanpy's ranking too: the same ten best of each line."""
    import scanpy as sc

    ours, theirs = plates.copy(), plates.copy()
    zs.tl.rank_genes_groups(ours, "line", method="wilcoxon", n_genes=10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(theirs, "line", method="wilcoxon", n_genes=10)
    for line in LINES:
        a, b = (set(x.uns["rank_genes_groups"]["names"][line]) for x in (ours, theirs))
        assert len(a & b) >= 9, line


def test_designed_mixtures_lie_in_order():
    """RNAmix: seven mixtures of three lines. The first two components tell the designed proportions (R2 above 0.9),
    and pseudotime from pure H2228 runs against its proportion, both as with scanpy's steps."""
    import scanpy as sc

    adata = table("RNAmix_celseq2")
    design = adata.obs[["H2228_prop", "H1975_prop", "HCC827_prop"]].to_numpy(float)
    np.testing.assert_allclose(design.sum(axis=1), 1, atol=0.02)
    theirs = adata.copy()
    components(adata, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.filter_genes(theirs, min_cells=3)
        sc.pp.normalize_total(theirs, target_sum=1e4)
        sc.pp.log1p(theirs)
        sc.pp.highly_variable_genes(theirs, n_top_genes=2000)
        sc.pp.pca(theirs, n_comps=10)
    scores = {}
    for name, cells in (("ours", adata), ("theirs", theirs)):
        known = np.column_stack([np.ones(cells.n_obs), cells.obsm["X_pca"][:, :2]])
        left = design - known @ np.linalg.lstsq(known, design, rcond=None)[0]
        scores[name] = 1 - (left**2).sum(axis=0) / ((design - design.mean(axis=0)) ** 2).sum(axis=0)
    assert (scores["ours"] > 0.9).all() and (scores["ours"] > scores["theirs"] - 0.01).all(), scores
    orders = {}
    for name, cells, module in (("ours", adata, zs), ("theirs", theirs, sc)):
        pure = np.flatnonzero(
            (cells.obs["H2228_prop"] == 1) & (cells.obs["mRNA_amount"] == cells.obs["mRNA_amount"].max())
        )
        cells.uns["iroot"] = int(pure[0])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zs.pp.neighbors(cells, n_neighbors=15, n_pcs=5)
            module.tl.diffmap(cells)
            module.tl.dpt(cells, n_dcs=5)
        time = cells.obs["dpt_pseudotime"]
        orders[name] = spearmanr(time, -cells.obs["H2228_prop"]).statistic
        medians = time.groupby(cells.obs["H2228_prop"].round(2)).median()
        assert name == "theirs" or medians.sort_index(ascending=False).is_monotonic_increasing, medians
    assert orders["ours"] > 0.8 and orders["ours"] > orders["theirs"] - 0.02, orders
