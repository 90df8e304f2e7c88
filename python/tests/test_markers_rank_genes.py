"""rank_genes_groups against scanpy 1.11 and scipy, over layouts and threads, and with bad input."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import LAYOUTS
from scipy import sparse, stats

import zensaibo as zs

sc = pytest.importorskip("scanpy")
KEY = "rank_genes_groups"
METHODS = ["t-test", "t-test_overestim_var", "wilcoxon"]


def quiet(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


def compare(adata: ad.AnnData, groupby: str, *, p_tolerance: float = 1e-6, **options) -> None:
    """Both packages on copies of `adata`; equal to `p_tolerance` in p and to f4 in scores and fold changes."""
    theirs, ours = adata.copy(), adata.copy()
    quiet(sc.tl.rank_genes_groups, theirs, groupby, **options)
    zs.tl.rank_genes_groups(ours, groupby, **options)
    expected, found = theirs.uns[KEY], ours.uns[KEY]
    assert {key: str(value) for key, value in found["params"].items()} == {
        key: str(value) for key, value in expected["params"].items()
    }
    assert set(found) == set(expected)
    for field in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges"):
        assert found[field].dtype == expected[field].dtype, field
    for group in expected["names"].dtype.names:
        table = {
            side: pd.DataFrame({field: slots[field][group] for field in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges")})
            for side, slots in (("theirs", expected), ("ours", found))
        }
        # In order: the same scores. By name: the same rows, which leaves ties free to swap.
        scores = table["theirs"]["scores"].to_numpy()
        size = np.abs if options.get("rankby_abs") else np.asarray
        np.testing.assert_allclose(size(table["ours"]["scores"]), size(scores), rtol=2e-6, atol=1e-6)
        if len(scores) < (adata.raw.n_vars if found["params"]["use_raw"] else adata.n_vars):
            inside = np.abs(size(scores) - size(scores[-1])) > 1e-5 * (1 + abs(scores[-1]))
            table = {side: frame[inside] for side, frame in table.items()}
        table = {side: frame.set_index("names").sort_index() for side, frame in table.items()}
        assert list(table["ours"].index) == list(table["theirs"].index)
        for field, tolerance in (("scores", 2e-6), ("pvals", p_tolerance), ("pvals_adj", p_tolerance), ("logfoldchanges", 2e-6)):
            np.testing.assert_allclose(table["ours"][field], table["theirs"][field], rtol=tolerance, atol=1e-300 if field.startswith("pvals") else 2e-6, err_msg=f"{group} {field}")
    for slot in ("pts", "pts_rest"):
        if slot in expected:
            pd.testing.assert_frame_equal(found[slot], expected[slot], rtol=1e-12)


def doubled(adata: ad.AnnData) -> ad.AnnData:
    """The same values as float64: scanpy squares in the type of the data, and float32 squares cost it digits."""
    adata.X = adata.X.astype(np.float64)
    return adata


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("reference", ["rest", "1"])
def test_pbmc3k_matches_scanpy(pbmc3k_log, method, reference):
    groups = "all" if reference == "rest" else ["0", "3", "5"]  # scanpy takes its time over pairs
    compare(doubled(pbmc3k_log), "leiden", method=method, reference=reference, groups=groups, pts=reference == "rest")


@pytest.mark.parametrize("method", METHODS)
def test_paul15_matches_scanpy(paul15, method):
    sc.pp.normalize_total(paul15)
    sc.pp.log1p(paul15, base=2)
    adata = ad.AnnData(paul15.X.toarray().astype(np.float32), obs=paul15.obs, var=paul15.var, uns={"log1p": {"base": 2}})
    compare(doubled(adata), "paul15_clusters", method=method)
    compare(doubled(adata), "paul15_clusters", method=method, groups=["1Ery", "9GMP", "14Mo"], reference="10GMP")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("use_raw", [True, False, None])
def test_pbmc68k_matches_scanpy_on_raw_and_on_scaled_values(pbmc68k_reduced, method, use_raw):
    adata = pbmc68k_reduced
    raw = ad.AnnData(sparse.csr_matrix(adata.layers["counts"]).astype(np.float32), obs=adata.obs, var=adata.var)
    sc.pp.normalize_total(raw)
    sc.pp.log1p(raw)
    adata.raw = raw
    if use_raw is False:
        assert (np.asarray(adata.X) < 0).any()
        # A gene that is constant within a group has no variance there; rounding leaves scanpy a negative one,
        # hence NaN, hence score 0. Such genes are compared with scipy below.
        spread = pd.DataFrame(adata.X).groupby(adata.obs["bulk_labels"].to_numpy(), observed=True).std()
        adata = doubled(adata[:, (spread.to_numpy() > 1e-6).all(axis=0)].copy())
        assert adata.n_vars > 300
    # float32 squares move scanpy's own p-values by this much where it takes raw.
    quiet(compare, adata, "bulk_labels", method=method, use_raw=use_raw, p_tolerance=1e-6 if use_raw is False or method == "wilcoxon" else 1e-3)


def test_genes_constant_in_a_group_match_scipy(pbmc68k_reduced):
    adata = pbmc68k_reduced
    group = "CD34+"
    inside = (adata.obs["bulk_labels"] == group).to_numpy()
    x = adata.X.astype(np.float64)
    constant = np.ptp(x[inside], axis=0) == 0
    assert constant.sum() > 20
    zs.tl.rank_genes_groups(adata, "bulk_labels", groups=[group], use_raw=False)
    found = zs.get.rank_genes_groups_df(adata, group).set_index("names").loc[adata.var_names]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scipy warns of the constant side
        expected = stats.ttest_ind(x[inside], x[~inside], equal_var=False)
    np.testing.assert_allclose(found["scores"][constant], expected.statistic[constant], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(found["pvals"][constant], expected.pvalue[constant], rtol=1e-5)


@pytest.mark.parametrize("options", [
    {"method": "wilcoxon", "tie_correct": True},
    {"method": "wilcoxon", "tie_correct": True, "reference": "0"},
    {"method": "t-test", "corr_method": "bonferroni"},
    {"method": "wilcoxon", "corr_method": "bonferroni", "n_genes": 25},
    {"method": "t-test", "rankby_abs": True},
    {"method": "t-test", "rankby_abs": True, "n_genes": 40},
    {"method": "t-test", "groups": ["0", "2"]},
    {"method": "wilcoxon", "groups": ["0", "2"], "reference": "1", "pts": True},
    {"method": "t-test", "mask_var": "highly_variable", "pts": True},
    {"method": "t-test", "n_genes": 10**6},
], ids=str)
def test_options_match_scanpy(pbmc3k_log, options):
    adata = doubled(pbmc3k_log[:1200, :2000].copy())
    compare(adata, "leiden", **options)


def test_layers_and_keys(pbmc3k_log):
    adata = pbmc3k_log[:, :500].copy()
    adata.layers["other"] = adata.X.astype(np.float64) * 2
    adata.X = None
    theirs = adata.copy()
    quiet(sc.tl.rank_genes_groups, theirs, "leiden", layer="other", key_added="mine")
    assert zs.tl.rank_genes_groups(adata, "leiden", layer="other", key_added="mine") is None
    assert KEY not in adata.uns
    for group in theirs.uns["mine"]["scores"].dtype.names:
        np.testing.assert_allclose(adata.uns["mine"]["scores"][group], theirs.uns["mine"]["scores"][group], rtol=2e-6)
    copied = zs.tl.rank_genes_groups(adata, "leiden", layer="other", copy=True)
    assert KEY in copied.uns and KEY not in adata.uns
    assert copied.uns["zensaibo"]["rank_genes_groups"]["options"]["layer"] == "other"


def test_single_genes_match_scipy(pbmc3k_log):
    adata = pbmc3k_log
    x = adata.X.toarray().astype(np.float64)
    inside = (adata.obs["leiden"] == "2").to_numpy()
    zs.tl.rank_genes_groups(adata, "leiden", groups=["2"], method="wilcoxon", tie_correct=True, key_added="w")
    zs.tl.rank_genes_groups(adata, "leiden", groups=["2"], key_added="t")
    wilcoxon = zs.get.rank_genes_groups_df(adata, "2", key="w").set_index("names")
    welch = zs.get.rank_genes_groups_df(adata, "2", key="t").set_index("names")
    for gene in ["LYZ", "CD3D", "ACTB", "MS4A1", adata.var_names[-1]]:
        values = x[:, adata.var_names.get_loc(gene)]
        u = stats.mannwhitneyu(values[inside], values[~inside], use_continuity=False, method="asymptotic")
        t = stats.ttest_ind(values[inside], values[~inside], equal_var=False)
        assert wilcoxon.loc[gene, "pvals"] == pytest.approx(u.pvalue, rel=1e-9)
        assert welch.loc[gene, "pvals"] == pytest.approx(t.pvalue, rel=1e-7)
        assert welch.loc[gene, "scores"] == pytest.approx(t.statistic, rel=1e-6)


def test_log10_pvals_reach_beyond_doubles():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(20_000, 5)).astype(np.float32)
    x[:10_000, 1] += 4
    x[:10_000, 2] += 8
    groups = np.repeat([0, 1], 10_000)
    for method in ("t-test", "wilcoxon"):
        found = zs.arrays.rank_genes_groups(x, groups, method=method)
        by_gene = dict(zip(found.genes[0], found.log10_pvals[0], strict=True))
        assert found.pvals[0, 0] == 0
        assert -1e6 < by_gene[2] < by_gene[1] < -320
        t, ln10 = found.scores[0], np.log(10)
        if method == "wilcoxon":
            np.testing.assert_allclose(found.log10_pvals[0], (np.log(2) + stats.norm.logsf(np.abs(t))) / ln10, rtol=1e-12)
        np.testing.assert_allclose(found.pvals, 10**found.log10_pvals, rtol=1e-9, atol=1e-300)
        np.testing.assert_allclose(found.pvals_adj, 10**found.log10_pvals_adj, rtol=1e-9, atol=1e-300)


def test_log10_slots_on_request(small):
    zs.tl.rank_genes_groups(small, "group", log10_pvals=True)
    slots = small.uns[KEY]
    np.testing.assert_allclose(10 ** slots["log10_pvals"]["g1"], slots["pvals"]["g1"], rtol=1e-9)
    assert "log10_pvals" in zs.get.rank_genes_groups_df(small, "g1")
    assert list(sc.get.rank_genes_groups_df(small, "g1")) == ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"]


def test_presets(small):
    sc.pp.log1p(small)
    two, by_hand, one = small.copy(), small.copy(), small.copy()
    zs.tl.rank_genes_groups(two, "group", preset="scanpy-v2")
    zs.tl.rank_genes_groups(one, "group", method="wilcoxon")
    zs.tl.rank_genes_groups(by_hand, "group", method="wilcoxon", mean_in_log_space=False)
    for field in ("names", "scores", "pvals", "logfoldchanges"):
        assert (two.uns[KEY][field] == by_hand.uns[KEY][field]).all()
    assert (two.uns[KEY]["scores"] == one.uns[KEY]["scores"]).all()
    levels = np.expm1(small.X.toarray().astype(np.float64))
    inside = (small.obs["group"] == "g0").to_numpy()
    fold = np.log2((levels[inside].mean(0) + 1e-9) / (levels[~inside].mean(0) + 1e-9))
    found = zs.get.rank_genes_groups_df(two, "g0").set_index("names")["logfoldchanges"]
    np.testing.assert_allclose(found[small.var_names], fold, rtol=1e-5, atol=1e-6)
    # The fold change alone moves: scanpy 1.13's preview ran its t-test on other values too.
    t_one, t_two = small.copy(), small.copy()
    zs.tl.rank_genes_groups(t_one, "group")
    zs.tl.rank_genes_groups(t_two, "group", mean_in_log_space=False)
    assert (t_one.uns[KEY]["scores"] == t_two.uns[KEY]["scores"]).all()


def fold_by_definition(x, inside, fold_change, p, base=None):
    """log2 fold changes of all genes, one numpy expression per definition."""
    x = x.astype(np.float64) * (1.0 if base is None else np.log(base))
    sides = x[inside], x[~inside]
    levels = {
        "exp_of_mean": lambda x: np.log2(np.expm1(x.mean(0)) + p),
        "mean_of_exp": lambda x: np.log2(np.expm1(x).mean(0) + p),
        "sum_of_exp": lambda x: np.log2((np.expm1(x).sum(0) + p) / len(x)),
        "mean_difference": lambda x: x.mean(0) / np.log(2),
    }[fold_change]
    return levels(sides[0]) - levels(sides[1])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(("fold_change", "pseudocount", "p"), [
    ("exp_of_mean", None, 1e-9), ("exp_of_mean", 0.1, 0.1), ("mean_of_exp", None, 1e-9), ("mean_of_exp", 1, 1.0),
    ("sum_of_exp", None, 1.0), ("sum_of_exp", 1e-9, 1e-9), ("mean_difference", None, 0.0),
], ids=str)
def test_fold_changes_are_what_they_say(small, method, fold_change, pseudocount, p):
    sc.pp.log1p(small, base=2)
    options = {"method": method, "fold_change": fold_change, "pseudocount": pseudocount}
    zs.tl.rank_genes_groups(small, "group", **options, key_added="rest")
    zs.tl.rank_genes_groups(small, "group", **options, reference="g2", key_added="pair")
    zs.tl.rank_genes_groups(small, "group", method=method, key_added="plain")
    x, groups = small.X.toarray(), small.obs["group"].to_numpy()
    for group in ("g0", "g1"):
        expected = fold_by_definition(x, groups == group, fold_change, p, base=2)
        found = zs.get.rank_genes_groups_df(small, group, key="rest").set_index("names")["logfoldchanges"]
        np.testing.assert_allclose(found[small.var_names], expected, rtol=1e-6, atol=1e-6)
        pair = np.isin(groups, [group, "g2"])
        expected = fold_by_definition(x[pair], groups[pair] == group, fold_change, p, base=2)
        found = zs.get.rank_genes_groups_df(small, group, key="pair").set_index("names")["logfoldchanges"]
        np.testing.assert_allclose(found[small.var_names], expected, rtol=1e-6, atol=1e-6)
    for field in ("names", "scores", "pvals", "pvals_adj"):  # the fold change alone moves
        assert (small.uns["rest"][field] == small.uns["plain"][field]).all()
    options = small.uns["zensaibo"]["rank_genes_groups"]["options"]
    assert options["fold_change"] == "exp_of_mean" and options["key_added"] == "plain"


def test_seurats_fold_change_by_hand():
    """Six cells x two genes, counts per ten thousand under log1p, pseudocount 1, as FindMarkers of Seurat 4 and 5."""
    levels = np.array([[3, 0], [1, 0], [2, 6], [0, 0], [1, 0], [0, 0]], dtype=np.float64)
    groups = ["a", "a", "b", "b", "b", "b"]
    four = {"a": np.log2([(2 + 1) / (0.75 + 1), (0 + 1) / (1.5 + 1)])}
    five = {"a": np.log2([((4 + 1) / 2) / ((3 + 1) / 4), ((0 + 1) / 2) / ((6 + 1) / 4)])}
    for fold_change, expected in (("mean_of_exp", four), ("sum_of_exp", five)):
        found = zs.arrays.rank_genes_groups(np.log1p(levels), groups, fold_change=fold_change, pseudocount=1)
        by_gene = found.logfoldchanges[0][np.argsort(found.genes[0])]
        np.testing.assert_allclose(by_gene, expected["a"], rtol=1e-6)


def test_scanpys_fold_change_and_its_names(pbmc3k_log):
    adata = doubled(pbmc3k_log[:1200, :1500].copy())
    for method in ("t-test", "wilcoxon"):
        compare(adata, "leiden", method=method)  # scanpy's only definition is the default
    for name, flag in (("exp_of_mean", True), ("mean_of_exp", False)):
        zs.tl.rank_genes_groups(adata, "leiden", fold_change=name, key_added="a")
        zs.tl.rank_genes_groups(adata, "leiden", mean_in_log_space=flag, key_added="b")
        assert (adata.uns["a"]["logfoldchanges"] == adata.uns["b"]["logfoldchanges"]).all()


def test_a_pseudocount_tames_genes_that_are_nowhere_else(small):
    sc.pp.log1p(small)
    x = small.X.toarray()
    x[:, 0] = 0
    x[:3, 0] = 0.5  # three cells of g0, none elsewhere
    small.X = x
    folds = {}
    for p in (None, 1):
        zs.tl.rank_genes_groups(small, "group", fold_change="mean_of_exp", pseudocount=p)
        found = zs.get.rank_genes_groups_df(small, "g0").set_index("names")["logfoldchanges"]
        folds[p] = found[small.var_names[0]]
    assert folds[None] > 20 and 0 < folds[1] < 0.1


def test_the_recipe_takes_the_same_choice(small):
    config = {"pca": {"n_comps": 10}, "neighbors": {"n_neighbors": 10}, "filter": {"min_genes": 1, "min_cells": 1}}
    markers = {"method": "wilcoxon", "fold_change": "sum_of_exp", "pseudocount": 0.5}
    done = zs.pp.recipe(small, config={**config, "markers": markers})
    found = done.uns[KEY]["logfoldchanges"]
    zs.tl.rank_genes_groups(done, "leiden", **markers, key_added="again")
    assert (found == done.uns["again"]["logfoldchanges"]).all()
    assert done.uns["zensaibo"]["recipe"]["options"]["markers"]["fold_change"] == "sum_of_exp"
    with pytest.raises(zs.errors.ParameterError, match="pseudocount"):
        zs.pp.recipe(small, config={**config, "markers": {"pseudocount": -1}})


def test_bad_fold_changes(small):
    rank = zs.tl.rank_genes_groups
    with pytest.raises(zs.errors.ParameterError, match="ratio.*exp_of_mean"):
        rank(small, "group", fold_change="ratio")
    for bad in (0, -1, np.inf, np.nan):
        with pytest.raises(zs.errors.ParameterError, match="`pseudocount`: expected a number greater than 0"):
            rank(small, "group", pseudocount=bad)
    with pytest.raises(zs.errors.ParameterError, match="pseudocount.*mean_difference"):
        rank(small, "group", fold_change="mean_difference", pseudocount=1)
    with pytest.raises(zs.errors.ParameterError, match="fold_change.*mean_in_log_space.*both"):
        rank(small, "group", fold_change="mean_of_exp", mean_in_log_space=False)
    with pytest.raises(zs.errors.ParameterError, match="mean_in_log_space"):
        rank(small, "group", mean_in_log_space="no")
    for options in ({"fold_change": "mean_of_exp"}, {"pseudocount": 1}, {"mean_in_log_space": True}, {"corr_method": "bonferroni"}):
        with pytest.raises(zs.errors.ParameterError, match=f"{next(iter(options))}.*logreg"):
            rank(small, "group", method="logreg", **options)
    assert KEY not in small.uns


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_threads_change_no_bit(small, layout, method):
    def run(matrix, threads):
        found = zs.arrays.rank_genes_groups(matrix, small.obs["group"], method=method, pts=True, threads=threads)
        return [found.genes, found.scores, found.log10_pvals_adj, found.logfoldchanges, found.pts, found.pts_rest]

    expected = run(small.X, 1)
    for threads in (1, 2, 8):
        for a, b in zip(expected, run(LAYOUTS[layout](small.X), threads), strict=True):
            assert a.tobytes() == b.tobytes()


def test_views_and_strings_are_cast_as_scanpy_does(small):
    small.obs["text"] = small.obs["group"].astype(str).replace({"g1": "g10", "g2": "g9"}).astype(object)
    view = small[::2]
    theirs = view.copy()
    quiet(sc.tl.rank_genes_groups, theirs, "text")
    zs.tl.rank_genes_groups(view, "text")
    assert not view.is_view
    assert list(view.obs["text"].cat.categories) == list(theirs.obs["text"].cat.categories) == ["g0", "g9", "g10"]
    assert view.uns[KEY]["names"].dtype == theirs.uns[KEY]["names"].dtype


def test_plots_filters_and_files_of_scanpy_take_the_result(small, tmp_path):
    import matplotlib

    matplotlib.use("Agg")
    sc.pp.log1p(small)
    zs.tl.rank_genes_groups(small, "group", pts=True, log10_pvals=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pl.rank_genes_groups(small, show=False)
        for plot in ("dotplot", "matrixplot", "stacked_violin", "heatmap", "tracksplot"):
            getattr(sc.pl, f"rank_genes_groups_{plot}")(small, n_genes=3, show=False, dendrogram=False)
        sc.pl.rank_genes_groups_violin(small, n_genes=3, show=False)
        sc.tl.filter_rank_genes_groups(small)
        import matplotlib.pyplot as plt

        plt.close("all")
        assert "rank_genes_groups_filtered" in small.uns
        # scanpy marks what it filtered by NaN among the names, which no h5ad can hold.
        del small.uns["rank_genes_groups_filtered"]
        small.write_h5ad(tmp_path / "x.h5ad")
        back = ad.read_h5ad(tmp_path / "x.h5ad")
    assert (back.uns[KEY]["scores"] == small.uns[KEY]["scores"]).all()
    pd.testing.assert_frame_equal(
        zs.get.rank_genes_groups_df(back, "g0"), zs.get.rank_genes_groups_df(small, "g0"), check_dtype=False
    )


@pytest.mark.parametrize("options", [
    {}, {"pval_cutoff": 0.05}, {"log2fc_min": 0.5}, {"log2fc_max": 0.0}, {"pval_cutoff": 1e-300},
    {"gene_symbols": "symbol"}, {"pval_cutoff": 0.01, "log2fc_min": 0, "log2fc_max": 2},
], ids=str)
@pytest.mark.parametrize("group", ["g1", ["g2", "g0"], None], ids=str)
@pytest.mark.parametrize("pts", [False, True])
def test_data_frame_equals_scanpys(small, options, group, pts):
    sc.pp.log1p(small)
    small.var["symbol"] = [name.upper() for name in small.var_names]
    zs.tl.rank_genes_groups(small, "group", pts=pts)
    found = zs.get.rank_genes_groups_df(small, group, **options)
    expected = quiet(sc.get.rank_genes_groups_df, small, group, **options)
    if "group" in found:
        # scanpy's merge with the fractions turns the groups into plain strings.
        assert isinstance(found["group"].dtype, pd.CategoricalDtype)
        found["group"], expected["group"] = found["group"].astype(str), expected["group"].astype(str)
    pd.testing.assert_frame_equal(found, expected, check_dtype=False)


def test_cells_of_no_group_are_part_of_the_rest(small):
    column = small.obs["group"].astype(object)
    column.iloc[:40] = np.nan
    small.obs["group"] = column.astype("category")
    compare(doubled(small), "group", method="wilcoxon", tie_correct=True)
    compare(doubled(small), "group", method="t-test", reference="g1")


def test_empty_groups_are_left_out(small):
    small.obs["group"] = small.obs["group"].cat.add_categories(["nobody"])
    zs.tl.rank_genes_groups(small, "group")
    assert small.uns[KEY]["names"].dtype.names == ("g0", "g1", "g2")
    with pytest.raises(zs.errors.TooFewError, match="nobody"):
        zs.tl.rank_genes_groups(small, "group", groups=["g0", "nobody"])


def test_bad_input(small):
    rank = zs.tl.rank_genes_groups
    with pytest.raises(zs.errors.MissingKeyError, match="`typo` not found in adata.obs; present: group"):
        rank(small, "typo")
    with pytest.raises(zs.errors.MissingKeyError, match="g7"):
        rank(small, "group", groups=["g0", "g7"])
    with pytest.raises(zs.errors.ParameterError, match="reference = g7 needs to be one of groupby"):
        rank(small, "group", reference="g7")
    with pytest.raises(zs.errors.ParameterError, match="sequence of groups"):
        rank(small, "group", groups="g0")
    with pytest.raises(zs.errors.ParameterError, match="pts.*logreg"):
        rank(small, "group", method="logreg", pts=True)
    with pytest.raises(zs.errors.ParameterError, match="nonsense"):
        rank(small, "group", method="nonsense")
    with pytest.raises(zs.errors.ParameterError, match="holm"):
        rank(small, "group", corr_method="holm")
    with pytest.raises(zs.errors.ParameterError, match="tie_correct"):
        rank(small, "group", tie_correct=True)
    with pytest.raises(zs.errors.ParameterError, match="n_genes"):
        rank(small, "group", n_genes=0)
    with pytest.raises(zs.errors.ParameterError, match="preset"):
        rank(small, "group", preset="scanpy-v3")
    with pytest.raises(zs.errors.ParameterError, match="use_raw"):
        small.layers["x"] = small.X
        rank(small, "group", layer="x", use_raw=True)
    with pytest.raises(zs.errors.MissingKeyError, match="raw"):
        rank(small, "group", use_raw=True)
    with pytest.raises(zs.errors.MissingKeyError, match="nolayer"):
        rank(small, "group", layer="nolayer")
    with pytest.raises(zs.errors.ShapeError, match="120"):
        rank(small, "group", mask_var=np.ones(7, dtype=bool))
    with pytest.raises(zs.errors.ParameterError, match="booleans"):
        rank(small, "group", mask_var=np.ones(120))
    with pytest.raises(zs.errors.ParameterError, match="threads"):
        rank(small, "group", threads=0)
    with pytest.raises(zs.errors.ParameterError, match="AnnData"):
        rank(small.X, "group")
    with pytest.raises(TypeError, match="nonsense"):
        rank(small, "group", nonsense=1)
    small.obs["number"] = np.arange(300) % 3
    with pytest.raises(zs.errors.DataError, match="categorical"):
        rank(small, "number")
    assert KEY not in small.uns and "zensaibo" not in small.uns

    lonely = small[:201].copy()
    with pytest.raises(ValueError, match="Could not calculate statistics for groups g2 since they contain only one sample"):
        rank(lonely, "group")
    one = small[:100].copy()
    with pytest.raises(zs.errors.TooFewError, match="holds every cell"):
        rank(one, "group")
    nothing = small[:, :0].copy()
    with pytest.raises(zs.errors.EmptyDataError, match="shape"):
        rank(nothing, "group")
    for bad in (np.nan, np.inf):
        spoilt = small.copy()
        spoilt.X = spoilt.X.toarray()
        spoilt.X[12, 34] = bad
        for method in ("t-test", "wilcoxon"):
            with pytest.raises(zs.errors.NonFiniteError, match="row 12, column 34"):
                rank(spoilt, "group", method=method)


def test_bad_arrays(small):
    rank = zs.arrays.rank_genes_groups
    with pytest.raises(zs.errors.ShapeError, match="one label per cell"):
        rank(small.X, [0, 1])
    with pytest.raises(zs.errors.ParameterError, match="integers beside"):
        rank(small.X, small.obs["group"], names=["a", "b"])
    with pytest.raises(zs.errors.DataError, match="labels below 2"):
        rank(small.X, np.arange(300) % 3, names=["a", "b"])
    with pytest.raises(zs.errors.ParameterError, match="reference"):
        rank(small.X, small.obs["group"], reference="x")
    with pytest.raises(zs.errors.MissingKeyError, match="gx"):
        zs.tl.rank_genes_groups(small, "group")
        zs.get.rank_genes_groups_df(small, "gx")
    with pytest.raises(zs.errors.MissingKeyError, match="elsewhere"):
        zs.get.rank_genes_groups_df(small, "g0", key="elsewhere")


def test_input_is_left_alone(small):
    before = small.X.copy()
    matrix = sparse.csr_matrix(small.X)
    zs.arrays.rank_genes_groups(matrix, small.obs["group"], method="wilcoxon")
    assert (matrix != before).nnz == 0


def test_defaults_are_those_of_rust():
    import inspect

    from zensaibo._options import defaults

    keywords = inspect.signature(zs.arrays.rank_genes_groups).parameters
    for name, value in defaults("rank_genes_groups").items():
        assert keywords[name].default == value, name
