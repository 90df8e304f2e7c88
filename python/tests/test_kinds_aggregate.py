"""Aggregation by group against scanpy.get.aggregate 1.11.5; marker filters and overlaps; annotation by markers."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from conftest import LAYOUTS
from scipy import sparse

import zensaibo as zs

ALL = ["count_nonzero", "mean", "sum", "var", "median"]


def _same(ours: ad.AnnData, theirs: ad.AnnData, rtol: float = 1e-6) -> None:
    """The same groups and, to float32 (scanpy works in the type of the matrix), the same values."""
    assert list(ours.obs_names) == list(theirs.obs_names) and list(ours.var_names) == list(theirs.var_names)
    assert set(ours.layers) == set(theirs.layers)
    for name, table in theirs.layers.items():
        np.testing.assert_allclose(
            ours.layers[name], table, rtol=rtol, atol=1e-6 if name == "var" else 1e-9, err_msg=name
        )


@pytest.mark.parametrize("by", ["group", ["group", "batch"]])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_as_scanpy_on_every_layout(small, layout, by):
    small.obs["batch"] = np.where(np.arange(small.n_obs) % 7 < 3, "b", "a")
    # A combination that does not occur is left out.
    small.obs.loc[small.obs["group"] == "g1", "batch"] = "a"
    theirs = sc.get.aggregate(small, by, ALL)
    small.X = LAYOUTS[layout](small.X)
    ours = zs.get.aggregate(small, by, ALL)
    _same(ours, theirs)
    for key in [by] if isinstance(by, str) else by:
        assert list(ours.obs[key]) == list(theirs.obs[key])
        assert list(ours.obs[key].cat.categories) == list(theirs.obs[key].cat.categories)
    assert list(ours.obs["n_obs_aggregated"]) == list(small.obs.groupby(by, observed=True).size())


def test_as_scanpy_on_real_cells(pbmc3k_log):
    theirs = sc.get.aggregate(pbmc3k_log, "leiden", ALL)
    ours = zs.get.aggregate(pbmc3k_log, "leiden", ALL)
    # scanpy takes variances in float32.
    np.testing.assert_allclose(ours.layers["var"], theirs.layers["var"], rtol=2e-4, atol=2e-6)
    for name in ("count_nonzero", "mean", "sum", "median"):
        np.testing.assert_allclose(ours.layers[name], theirs.layers[name], rtol=1e-6, atol=1e-7, err_msg=name)


def test_counts_are_summed_exactly(kang):
    ours = zs.get.aggregate(kang, "stim", "sum")
    for row, group in enumerate(ours.obs["stim"]):
        expected = np.asarray(kang.X[(kang.obs["stim"] == group).to_numpy()].astype(np.float64).sum(axis=0)).ravel()
        np.testing.assert_array_equal(ours.layers["sum"][row], expected)


def test_other_axes_and_slots(small):
    small.var["kind"] = pd.Categorical(np.where(np.arange(small.n_vars) % 2, "odd", "even"))
    small.obsm["few"] = np.asarray(small.X[:, :4].toarray())
    small.obsm["named"] = pd.DataFrame(small.X[:, :3].toarray(), index=small.obs_names, columns=["a", "b", "c"])
    small.varm["load"] = np.arange(small.n_vars * 2.0).reshape(-1, 2)
    small.layers["twice"] = small.X * 2
    for settings in (
        {"axis": "var", "by": "kind"},
        {"axis": 1, "by": "kind", "layer": "twice"},
        {"by": "group", "layer": "twice"},
        {"by": "group", "obsm": "few"},
        {"by": "group", "obsm": "named"},
        {"by": "kind", "varm": "load"},
    ):
        by = settings.pop("by")
        _same(
            zs.get.aggregate(small, by, ["sum", "mean"], **settings),
            sc.get.aggregate(small, by, ["sum", "mean"], **settings),
        )


def test_a_mask_holds_for_divisors_and_medians_too(small):
    mask = np.arange(small.n_obs) % 3 > 0
    small.obs["keep"] = mask
    ours = zs.get.aggregate(small, "group", ALL, mask="keep")
    expected = zs.get.aggregate(small[mask].copy(), "group", ALL)
    for name in ALL:
        np.testing.assert_array_equal(ours.layers[name], expected.layers[name])
    # Sums and counts are scanpy's; its means divide by all cells.
    theirs = sc.get.aggregate(small, "group", ["sum", "count_nonzero"], mask=mask)
    _same(zs.get.aggregate(small, "group", ["sum", "count_nonzero"], mask=mask), theirs)


def test_missing_labels_are_left_out_aloud(small):
    small.obs["group"] = small.obs["group"].where(np.arange(small.n_obs) >= 5)
    with pytest.warns(UserWarning, match="5 cells have no value in 'group'"):
        ours = zs.get.aggregate(small, "group", "sum")
    expected = np.asarray(small.X[5:100].sum(axis=0)).ravel()
    np.testing.assert_allclose(ours.layers["sum"][0], expected)


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_change_no_bit(pbmc3k, threads):
    pbmc3k.obs["g"] = (np.arange(pbmc3k.n_obs) % 5).astype(str)
    one = zs.get.aggregate(pbmc3k, "g", ALL, threads=1)
    other = zs.get.aggregate(pbmc3k, "g", ALL, threads=threads)
    for name in ALL:
        assert one.layers[name].tobytes() == other.layers[name].tobytes()


def test_aggregate_names_bad_input(small):
    with pytest.raises(zs.errors.MissingKeyError, match="`absent`.*group"):
        zs.get.aggregate(small, "absent", "sum")
    with pytest.raises(zs.errors.ParameterError, match="func.*'mode'"):
        zs.get.aggregate(small, "group", "mode")
    with pytest.raises(zs.errors.ParameterError, match="func"):
        zs.get.aggregate(small, "group", [])
    with pytest.raises(zs.errors.ParameterError, match="axis"):
        zs.get.aggregate(small, "group", "sum", axis=2)
    with pytest.raises(zs.errors.ShapeError, match="300 entries"):
        zs.get.aggregate(small, "group", "sum", mask=np.ones(3, bool))
    with pytest.raises(zs.errors.ParameterError, match="booleans"):
        zs.get.aggregate(small, "group", "sum", mask=np.ones(300))
    with pytest.raises(zs.errors.ParameterError, match="at most one"):
        zs.get.aggregate(small, "group", "sum", layer="a", obsm="b")
    with pytest.raises(zs.errors.ParameterError, match="varm"):
        zs.get.aggregate(small, "group", "sum", varm="a", axis=0)
    with pytest.raises(zs.errors.ShapeError, match="one label per cell"):
        zs.arrays.aggregate(small.X, np.zeros(3, int))
    empty = zs.get.aggregate(small[:0].copy(), "group", ["sum", "median"])
    assert empty.shape == (0, small.n_vars)


@pytest.fixture
def ranked(pbmc3k_log):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(pbmc3k_log, "leiden", method="t-test", pts=True)
    return pbmc3k_log


@pytest.mark.parametrize("stored", [True, False])
def test_filters_markers_as_scanpy(ranked, stored):
    if not stored:
        for slot in ("pts", "pts_rest", "logfoldchanges"):
            del ranked.uns["rank_genes_groups"][slot]
    for settings in (
        {},
        {"min_fold_change": 2, "compare_abs": True},
        {"min_in_group_fraction": 0.6, "max_out_group_fraction": 0.1, "min_fold_change": 0},
    ):
        sc.tl.filter_rank_genes_groups(ranked, key_added="theirs", **settings)
        zs.tl.filter_rank_genes_groups(ranked, key_added="ours", **settings)
        ours, theirs = (pd.DataFrame(ranked.uns[key]["names"]) for key in ("ours", "theirs"))
        # scanpy computes fold changes in float32 when none are stored: genes at the very limit may differ.
        assert (ours.fillna("-") != theirs.fillna("-")).to_numpy().sum() <= (0 if stored else 3)
        assert 10 < ours.notna().to_numpy().sum() < ours.size / 2


def test_filter_names_bad_input(ranked):
    with pytest.raises(zs.errors.MissingKeyError, match="nowhere"):
        zs.tl.filter_rank_genes_groups(ranked, key="nowhere")
    ranked.uns["rank_genes_groups"]["names"]["0"][0] = "not a gene"
    with pytest.raises(zs.errors.MissingKeyError, match="not a gene"):
        zs.tl.filter_rank_genes_groups(ranked)
    ranked.var_names = ["same"] * ranked.n_vars
    with pytest.raises(zs.errors.DuplicateNamesError, match="unique"):
        zs.tl.filter_rank_genes_groups(ranked)


MARKERS = {
    "T": ["IL7R", "CD3D", "CD3E", "LDHB"],
    "B": {"MS4A1", "CD79A", "CD79B", "CD74"},
    "Mono": ["LYZ", "CD14", "S100A9", "S100A8", "FCGR3A", "MS4A7"],
    "NK": ["GNLY", "NKG7", "GZMB", "PRF1"],
    "Mega": ["PPBP", "PF4"],
}


def test_overlaps_as_scanpy(ranked):
    for settings in (
        {},
        {"method": "overlap_coef"},
        {"method": "jaccard", "top_n_markers": 20},
        {"normalize": "reference"},
        {"normalize": "data", "adj_pval_threshold": 1e-20},
    ):
        sets = {name: set(genes) for name, genes in MARKERS.items()}
        ours = zs.tl.marker_gene_overlap(ranked, MARKERS, **settings)
        pd.testing.assert_frame_equal(ours, sc.tl.marker_gene_overlap(ranked, sets, **settings))


def test_overlap_names_bad_input(ranked):
    with pytest.raises(zs.errors.ParameterError, match="method"):
        zs.tl.marker_gene_overlap(ranked, MARKERS, method="enrich")
    with pytest.raises(zs.errors.ParameterError, match="normalize"):
        zs.tl.marker_gene_overlap(ranked, MARKERS, method="jaccard", normalize="data")
    with pytest.raises(zs.errors.ParameterError, match="'T', found 'CD3D'"):
        zs.tl.marker_gene_overlap(ranked, {"T": "CD3D"})
    with pytest.raises(zs.errors.ParameterError, match="reference_markers"):
        zs.tl.marker_gene_overlap(ranked, {})
    with pytest.raises(zs.errors.MissingKeyError, match="none"):
        zs.tl.marker_gene_overlap(ranked, MARKERS, key="none")
    with pytest.warns(UserWarning, match="top_n_markers"):
        zs.tl.marker_gene_overlap(ranked, MARKERS, top_n_markers=5, adj_pval_threshold=0.1)


def _planted(seed: int = 0) -> tuple[ad.AnnData, np.ndarray]:
    """300 cells in three types; genes 0-4, 5-9, 10-14 mark them, 15-29 do not."""
    rng = np.random.default_rng(seed)
    truth = np.repeat([0, 1, 2], [150, 100, 50])
    level = np.full((300, 30), 0.3)
    for kind in range(3):
        level[truth == kind, 5 * kind : 5 * kind + 5] = 4.0
    adata = ad.AnnData(sparse.csr_matrix(np.log1p(rng.poisson(level)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(30)]
    adata.obs["cluster"] = pd.Categorical(truth.astype(str))
    return adata, truth


def test_annotation_finds_planted_types():
    adata, truth = _planted()
    markers = {f"t{k}": [f"g{i}" for i in range(5 * k, 5 * k + 5)] for k in range(3)}
    zs.tl.annotate_by_markers(adata, markers)
    expected = np.array([f"t{k}" for k in truth])
    assert (adata.obs["cell_type"].astype(str) == expected).mean() > 0.98
    assert adata.obs["cell_type_confidence"].between(1 / 3, 1).all()
    # By hand: the mean of standardised genes.
    values = adata.X.toarray().astype(np.float64)
    standard = (values - values.mean(axis=0)) / values.std(axis=0)
    np.testing.assert_allclose(
        adata.obsm["cell_type_scores"]["t1"], standard[:, 5:10].mean(axis=1), rtol=1e-9, atol=1e-12
    )
    np.testing.assert_allclose(adata.obs["cell_type_score"], adata.obsm["cell_type_scores"].max(axis=1))

    zs.tl.annotate_by_markers(adata, markers, groupby="cluster", key_added="by_cluster")
    assert (adata.obs["by_cluster"].astype(str) == expected).all()
    assert (adata.obs.groupby("cluster", observed=True)["by_cluster_score"].nunique() == 1).all()
    # Negative markers count against; what nobody reaches stays unassigned.
    zs.tl.annotate_by_markers(adata, markers, negative_markers={"t0": ["g0", "g1", "g2", "g3", "g4"]}, key_added="neg")
    np.testing.assert_allclose(adata.obsm["neg_scores"]["t0"], 0, atol=1e-12)
    copy = zs.tl.annotate_by_markers(adata, markers, min_score=1e3, copy=True)
    assert (copy.obs["cell_type"] == "unassigned").all() and (adata.obs["cell_type"] != "unassigned").any()


def test_annotation_names_the_clusters_of_pbmc(pbmc3k_log):
    zs.tl.annotate_by_markers(pbmc3k_log, MARKERS, groupby="leiden", min_score=0.2)
    found = pbmc3k_log.obs["cell_type"].value_counts(normalize=True)
    assert {"T", "B", "Mono", "NK"} <= set(found.index)
    # The published shares: about 1 in 8 B cells, 1 in 4 monocytes.
    assert 0.1 < found["B"] < 0.16 and 0.2 < found["Mono"] < 0.33


PBMC_TYPES = {
    "CD4 T": ["IL7R", "CD3D"], "CD8 T": ["CD8A", "CD8B"], "B": ["MS4A1", "CD79A"], "NK": ["GNLY", "NKG7"],
    "CD14 mono": ["CD14", "LYZ"], "FCGR3A mono": ["FCGR3A", "MS4A7"], "DC": ["FCER1A", "CST3"], "Mega": ["PPBP"],
}


@pytest.mark.parametrize("resolution", [1, 3])
def test_by_default_every_cluster_of_pbmc_gets_its_name(pbmc3k_log, resolution):
    zs.tl.leiden(pbmc3k_log, resolution=resolution, key_added="fine")
    zs.tl.annotate_by_markers(pbmc3k_log, PBMC_TYPES, groupby="fine")
    names = pbmc3k_log.obs["cell_type"]
    assert "unassigned" not in set(names) and set(names) == set(PBMC_TYPES)
    # Markers that were not used tell the same cells.
    for kind, gene in (("B", "CD79B"), ("NK", "GZMB"), ("CD14 mono", "S100A8"), ("Mega", "PF4")):
        level = pbmc3k_log[:, gene].X.toarray().ravel()
        inside = (names == kind).to_numpy()
        assert level[inside].mean() > 4 * level[~inside].mean(), kind


def test_by_default_what_has_no_markers_is_not_named_after_the_rarest_type(pbmc3k_log):
    t_cells = pbmc3k_log[:, "CD3D"].X.toarray().ravel() > 0
    others = {name: genes for name, genes in PBMC_TYPES.items() if " T" not in name}
    zs.tl.annotate_by_markers(pbmc3k_log, others, groupby="leiden")
    zs.tl.annotate_by_markers(pbmc3k_log, others, groupby="leiden", min_score=-np.inf, key_added="any")
    default, lax = pbmc3k_log.obs["cell_type"], pbmc3k_log.obs["any"]
    missing = (default == "unassigned").to_numpy()
    assert missing.sum() > 900 and t_cells[missing].mean() > 0.75
    assert (lax[missing] == "Mega").all()  # a cluster of a dozen cells, in truth
    assert (default[~missing].astype(str) == lax[~missing].astype(str)).all()
    # One cell at a time: nothing counted for any marker, nothing named.
    zs.tl.annotate_by_markers(pbmc3k_log, PBMC_TYPES, key_added="single")
    genes = sorted(set().union(*PBMC_TYPES.values()))
    nothing = pbmc3k_log[:, genes].X.toarray().sum(axis=1) == 0
    assert nothing.sum() > 10
    assert (pbmc3k_log.obs["single"][nothing] == "unassigned").all()
    assert (pbmc3k_log.obs["single"] != "unassigned").mean() > 0.95


def test_annotation_stores_what_h5ad_holds(tmp_path):
    adata, _ = _planted()
    zs.tl.annotate_by_markers(adata, {"a": ["g0", "g1"], "b": {"g7"}})
    zs.io.write(adata, tmp_path / "x.h5ad")
    again = zs.io.read(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(again.obsm["cell_type_scores"], adata.obsm["cell_type_scores"])


def test_annotation_names_bad_input():
    adata, _ = _planted()
    good = {"a": ["g0"], "b": ["g9"]}
    with pytest.warns(UserWarning, match="1 of 3 marker genes are not in the data: nope"):
        zs.tl.annotate_by_markers(adata, {"a": ["g0", "nope"], "b": ["g9"]})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(zs.errors.MissingKeyError, match="'b'"):
            zs.tl.annotate_by_markers(adata, {"a": ["g0"], "b": ["nope"]})
    with pytest.raises(zs.errors.ParameterError, match="at least two"):
        zs.tl.annotate_by_markers(adata, {"a": ["g0"]})
    with pytest.raises(zs.errors.ParameterError, match="negative_markers.*'c'"):
        zs.tl.annotate_by_markers(adata, good, negative_markers={"c": ["g1"]})
    with pytest.raises(zs.errors.ParameterError, match="unassigned"):
        zs.tl.annotate_by_markers(adata, good, unassigned="a")
    with pytest.raises(zs.errors.MissingKeyError, match="absent"):
        zs.tl.annotate_by_markers(adata, good, groupby="absent")
    adata.X[0, 0] = np.nan
    with pytest.raises(zs.errors.NonFiniteError, match="g0 in cell 0"):
        zs.tl.annotate_by_markers(adata, good)
    adata.var_names = ["g0"] * 2 + [f"g{i}" for i in range(2, 30)]
    with pytest.raises(zs.errors.DuplicateNamesError, match="'g0'"):
        zs.tl.annotate_by_markers(adata, good)
