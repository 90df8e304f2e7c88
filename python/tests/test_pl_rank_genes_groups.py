"""Plots of ranked genes: names at their scores, values of the ranking, the genes chosen, bad input."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from scipy.stats import gaussian_kde
from zensaibo import errors

PLOTS = (
    zs.pl.rank_genes_groups_dotplot,
    zs.pl.rank_genes_groups_matrixplot,
    zs.pl.rank_genes_groups_stacked_violin,
    zs.pl.rank_genes_groups_heatmap,
    zs.pl.rank_genes_groups_tracksplot,
)


@pytest.fixture
def ranked(small):
    zs.pp.normalize_total(small, target_sum=1e4)
    zs.pp.log1p(small)
    zs.tl.rank_genes_groups(small, "group", method="wilcoxon")
    yield small
    plt.close("all")


def labels(ax, axis="x"):
    return [text.get_text() for text in (ax.get_xticklabels() if axis == "x" else ax.get_yticklabels())]


def brackets(axes):
    return [text.get_text() for text in axes.get("gene_group_ax", axes.get("gene_groups_ax")).texts]


def best(adata, group, n, **options):
    return zs.get.rank_genes_groups_df(adata, group, **options)["names"].tolist()[:n]


def test_names_stand_at_their_scores(ranked):
    axes = zs.pl.rank_genes_groups(ranked, n_genes=7)
    assert [ax.get_title() for ax in axes] == ["g0 vs. rest", "g1 vs. rest", "g2 vs. rest"]
    for group, ax in zip(("g0", "g1", "g2"), axes, strict=True):
        table = zs.get.rank_genes_groups_df(ranked, group).head(7)
        assert [text.get_text() for text in ax.texts] == table["names"].tolist()
        assert np.allclose([text.xy for text in ax.texts], np.column_stack([np.arange(7), table["scores"]]))
        assert np.allclose(ax.lines[0].get_ydata(), table["scores"])
        assert ax.get_ylim() == axes[0].get_ylim()
        ax.figure.draw_without_rendering()
        assert all(text.get_window_extent().y1 <= ax.get_window_extent().y1 for text in ax.texts), "names are cut"
    free = zs.pl.rank_genes_groups(ranked, n_genes=7, sharey=False, ncols=2)
    assert len({ax.get_ylim() for ax in free}) == 3
    mine = plt.figure().add_subplot()
    assert zs.pl.rank_genes_groups(ranked, groups="g1", ax=mine) is mine
    ranked.var["symbol"] = [f"S{i}" for i in range(120)]
    ax = zs.pl.rank_genes_groups(ranked, groups=["g2"], gene_symbols="symbol", n_genes=3)
    assert [text.get_text() for text in ax.texts] == ["S" + name[4:] for name in best(ranked, "g2", 3)]


@pytest.mark.parametrize("plot", PLOTS, ids=lambda plot: plot.__name__)
def test_the_best_genes_are_shown_by_group(ranked, plot):
    axes = plot(ranked, n_genes=3)
    assert brackets(axes) == ["g0", "g1", "g2"]
    expected = [name for group in ("g0", "g1", "g2") for name in best(ranked, group, 3)]
    if "track_axes" in axes:
        assert [ax.get_ylabel() for ax in axes["track_axes"]] == expected
    else:
        assert labels(axes.get("mainplot_ax", axes.get("heatmap_ax"))) == expected
    assert brackets(plot(ranked, groups=["g2", "g1"], n_genes=2)) == ["g2", "g1"]
    ranked.obs["half"] = pd.Categorical(np.where(np.arange(300) % 2, "x", "y"))
    other = plot(ranked, groups="g0", groupby="half", var_names=["gene1", "gene2"])
    main = other.get("mainplot_ax") or other.get("heatmap_ax") or other["track_axes"][0]
    assert main.figure is not None and "gene_group_ax" not in other


def test_ten_genes_by_default_and_the_worst_if_negative(ranked):
    axes = zs.pl.rank_genes_groups_dotplot(ranked)
    assert len(labels(axes["mainplot_ax"])) == 30
    axes = zs.pl.rank_genes_groups_dotplot(ranked, groups="g1", n_genes=-2)
    assert labels(axes["mainplot_ax"]) == zs.get.rank_genes_groups_df(ranked, "g1")["names"].tolist()[-2:]
    axes = zs.pl.rank_genes_groups_dotplot(ranked, n_genes=4, min_logfoldchange=1)
    assert labels(axes["mainplot_ax"]) == [n for g in ("g0", "g1", "g2") for n in best(ranked, g, 4, log2fc_min=1)]
    with pytest.raises(errors.TooFewError, match="min_logfoldchange"):
        zs.pl.rank_genes_groups_dotplot(ranked, min_logfoldchange=1e6)


@pytest.mark.parametrize("values", ["scores", "logfoldchanges", "pvals", "pvals_adj", "log10_pvals", "log10_pvals_adj"])
def test_values_are_those_of_the_ranking_and_of_scanpy(ranked, values):
    import scanpy as sc

    theirs = sc.pl.rank_genes_groups_dotplot(ranked, n_genes=3, values_to_plot=values, return_fig=True, dendrogram=False)
    names = [name for group in ("g0", "g1", "g2") for name in best(ranked, group, 3)]
    table = {g: zs.get.rank_genes_groups_df(ranked, g).set_index("names") for g in ("g0", "g1", "g2")}
    expected = np.array([[table[g].loc[name, values.removeprefix("log10_")] for name in names] for g in table])
    expected = -np.log10(expected) if values.startswith("log10") else expected
    axes = zs.pl.rank_genes_groups_dotplot(ranked, n_genes=3, values_to_plot=values)
    (dots,) = axes["mainplot_ax"].collections
    assert np.allclose(dots.get_array(), expected.ravel())
    assert np.allclose(dots.get_array(), theirs.dot_color_df.to_numpy().ravel(), rtol=1e-5, equal_nan=True)
    assert axes["color_legend_ax"].get_title() != "Mean expression\nin group"
    (mesh,) = zs.pl.rank_genes_groups_matrixplot(ranked, n_genes=3, values_to_plot=values)["mainplot_ax"].collections
    assert np.allclose(mesh.get_array(), expected)


def test_a_reference_group_has_no_values_and_is_left_out(ranked):
    zs.tl.rank_genes_groups(ranked, "group", reference="g1", method="t-test")
    axes = zs.pl.rank_genes_groups_matrixplot(ranked, n_genes=2, values_to_plot="logfoldchanges")
    assert labels(axes["mainplot_ax"], "y") == ["g0", "g2"]
    assert labels(zs.pl.rank_genes_groups_matrixplot(ranked, n_genes=2)["mainplot_ax"], "y") == ["g0", "g1", "g2"]
    ax = zs.pl.rank_genes_groups_violin(ranked, groups="g0", n_genes=2)
    assert ax.get_title() == "g0 vs. g1"


@pytest.mark.parametrize("split", [True, False])
def test_violins_of_a_group_and_the_rest(ranked, split):
    ax = zs.pl.rank_genes_groups_violin(ranked, groups=["g1"], n_genes=3, split=split, strip=False)
    names = best(ranked, "g1", 3)
    assert labels(ax) == names
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["g1", "rest"]
    (found,) = ax.collections
    for number, outline in enumerate(found.get_paths()):
        gene, rest = divmod(number, 2)
        values = ranked[(ranked.obs["group"] != "g1") if rest else (ranked.obs["group"] == "g1"), names[gene]].X.toarray().ravel()
        half = slice(101, 202) if rest else slice(0, 101)
        x, y = outline.vertices[half].T
        y = y[::-1] if rest else y
        x = x[::-1] if rest else x
        exact = gaussian_kde(values)(y)
        middle, width = (gene, 0.45) if split else (gene + (0.22 if rest else -0.22), 0.21)
        assert np.abs(np.abs(x - middle) / width - exact / exact.max()).max() < 0.01
        if split:
            flat = outline.vertices[0:101 if rest else None, 0] if rest else outline.vertices[101:202, 0]
            assert np.allclose(flat, gene), "the other half is cut off"
    assert len(zs.pl.rank_genes_groups_violin(ranked, n_genes=2)) == 3


def test_scanpys_plots_work_on_our_ranking(ranked):
    import scanpy as sc

    zs.pp.pca(ranked, n_comps=10)
    sc.tl.dendrogram(ranked, "group", use_rep="X_pca")
    assert len(sc.pl.rank_genes_groups(ranked, n_genes=5, show=False)) == 3
    for name in ("dotplot", "matrixplot", "stacked_violin", "heatmap", "tracksplot"):
        assert getattr(sc.pl, f"rank_genes_groups_{name}")(ranked, n_genes=3, show=False)
    assert sc.pl.rank_genes_groups_violin(ranked, groups=["g0"], n_genes=3, show=False)
    axes = zs.pl.rank_genes_groups_dotplot(ranked, n_genes=2)
    assert brackets(axes) == list(ranked.uns["dendrogram_group"]["categories_ordered"]), "the dendrogram is used"
    ranked.obs["half"] = pd.Categorical(np.where(np.arange(300) % 2, "x", "y"))
    assert "group_extra_ax" not in zs.pl.rank_genes_groups_dotplot(ranked, n_genes=2, groupby="half"), "of these groups"
    assert "group_extra_ax" not in zs.pl.rank_genes_groups_dotplot(ranked, n_genes=2, dendrogram=False)


def test_our_plots_work_on_scanpys_ranking(ranked):
    import scanpy as sc

    ranked.raw = ranked.copy()
    for method in ("t-test", "logreg"):
        sc.tl.rank_genes_groups(ranked, "group", method=method)
        assert len(zs.pl.rank_genes_groups(ranked, n_genes=4)) == 3
        assert brackets(zs.pl.rank_genes_groups_dotplot(ranked, n_genes=2)) == ["g0", "g1", "g2"]
        assert len(zs.pl.rank_genes_groups_violin(ranked, n_genes=2)) == 3
    with pytest.raises(errors.MissingKeyError, match="`pvals` not found in uns"):
        zs.pl.rank_genes_groups_dotplot(ranked, values_to_plot="pvals")


def test_bad_input_is_refused_by_name(ranked):
    plain = ranked.copy()
    del plain.uns["rank_genes_groups"]
    for plot in (zs.pl.rank_genes_groups, zs.pl.rank_genes_groups_violin, *PLOTS):
        with pytest.raises(errors.MissingKeyError, match="rank_genes_groups.*run `tl.rank_genes_groups` first"):
            plot(plain)
        with pytest.raises(errors.MissingKeyError, match="`g7` not found in uns.*present: g0, g1, g2"):
            plot(ranked, groups=["g7"])
        with pytest.raises(errors.ParameterError, match="n_genes"):
            plot(ranked, n_genes=0)
        with pytest.raises(errors.ParameterError, match="groups"):
            plot(ranked, groups=[])
    with pytest.raises(errors.ParameterError, match="values_to_plot"):
        zs.pl.rank_genes_groups_dotplot(ranked, values_to_plot="fold")
    with pytest.raises(errors.ParameterError, match="found both"):
        zs.pl.rank_genes_groups_dotplot(ranked, n_genes=3, var_names=["gene1"])
    for plot in (zs.pl.rank_genes_groups, zs.pl.rank_genes_groups_violin):
        with pytest.raises(errors.ParameterError, match="`ax`"):
            plot(ranked, ax=plt.figure().add_subplot())
    with pytest.raises(errors.ParameterError, match="jitter"):
        zs.pl.rank_genes_groups_violin(ranked, groups="g0", jitter=2)
    zs.tl.rank_genes_groups(ranked, "group", method="t-test", n_genes=5)
    with pytest.raises(errors.DataError, match="expected all genes in each group"):
        zs.pl.rank_genes_groups_dotplot(ranked, values_to_plot="scores")
    assert zs.pl.rank_genes_groups_dotplot(ranked, n_genes=5)
