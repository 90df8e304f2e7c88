"""Plots of quality control and of principal components: numbers drawn against slow versions, bad input."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


def labels(ax, axis="y"):
    return [text.get_text() for text in (ax.get_xticklabels() if axis == "x" else ax.get_yticklabels())]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_boxes_of_the_highest_genes(small, layout):
    small.X[5] = 0  # a cell without counts
    counts = small.X.toarray().astype(float)
    small.X = LAYOUTS[layout](small.X)
    ax = zs.pl.highest_expr_genes(small, n_top=12)
    totals = counts.sum(axis=1, keepdims=True)
    share = pd.DataFrame(100 * counts / np.where(totals == 0, 1, totals), columns=small.var_names)
    top = share.mean().sort_values(ascending=False, kind="stable").index[:12]
    assert labels(ax) == list(top) and ax.get_ylim()[0] > ax.get_ylim()[1]
    first, median, third = (share[top].quantile(q).to_numpy() for q in (0.25, 0.5, 0.75))
    assert np.allclose([bar.get_x() for bar in ax.patches], first)
    assert np.allclose([bar.get_width() for bar in ax.patches], third - first)
    (lines,) = ax.collections
    lines = np.array(lines.get_segments())
    assert np.allclose(lines[24:36, 0, 0], median)
    inside = share[top].where((share[top] >= first - 1.5 * (third - first)) & (share[top] <= third + 1.5 * (third - first)))
    assert np.allclose(lines[0:24:2, 0, 0], np.minimum(inside.min(), first))
    assert np.allclose(lines[1:24:2, 1, 0], np.maximum(inside.max(), third))
    assert ax.get_xlim()[1] > share[top].to_numpy().max()


def test_the_highest_genes_are_scanpys(pbmc3k):
    import scanpy as sc

    theirs = labels(sc.pl.highest_expr_genes(pbmc3k, n_top=20, show=False))
    pbmc3k.layers["counts"] = pbmc3k.X
    pbmc3k.X = None
    ax = zs.pl.highest_expr_genes(pbmc3k, n_top=20, layer="counts", log=True, ax=plt.figure().add_subplot())
    assert labels(ax) == theirs and ax.get_xscale() == "log"
    assert labels(zs.pl.highest_expr_genes(pbmc3k, n_top=2, layer="counts", gene_symbols="gene_ids"))[0].startswith("ENSG")


@pytest.mark.parametrize(("flavor", "kind"), [("seurat", "dispersions"), ("seurat_v3", "variances")])
def test_variable_genes(small, flavor, kind):
    if flavor == "seurat":
        zs.pp.normalize_total(small)
        zs.pp.log1p(small)
    zs.pp.highly_variable_genes(small, flavor=flavor, n_top_genes=30)
    axes = zs.pl.highly_variable_genes(small)
    for ax, column in zip(axes, (f"{kind}_norm", kind), strict=True):
        known = small.var[np.isfinite(small.var[column])]
        for points, part in zip(ax.collections, (known[~known["highly_variable"]], known[known["highly_variable"]]), strict=True):
            assert len(part) and np.allclose(points.get_offsets(), part[["means", column]])
        assert kind in ax.get_ylabel()
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["other genes", "highly variable genes"]
    table = small.var.assign(gene_subset=small.var["highly_variable"])
    by_table = zs.pl.highly_variable_genes(table, log=True, highly_variable_genes=False)
    assert by_table[1].get_xscale() == by_table[1].get_yscale() == "log"
    assert len(by_table[0].collections[1].get_offsets()) == (known["highly_variable"] & (known[f"{kind}_norm"] > 0)).sum()


@pytest.mark.parametrize("batches", [None, ["x", "y"]])
def test_doublet_scores(small, batches):
    import scanpy as sc

    if batches:
        small.obs["batch"] = pd.Categorical(np.repeat(batches, 150))
    sc.pp.scrublet(small, batch_key="batch" if batches else None, threshold=0.2, n_prin_comps=10, verbose=False)
    axes = zs.pl.scrublet_score_distribution(small)
    assert axes.shape == ((2, 2) if batches else (2,))
    for row, name in zip(axes.reshape(-1, 2), batches or [None], strict=True):
        stored = small.uns["scrublet"]["batches"][name] if batches else small.uns["scrublet"]
        mine = small.obs["doublet_score"][small.obs["batch"] == name] if batches else small.obs["doublet_score"]
        for ax, values in zip(row, (mine, stored["doublet_scores_sim"]), strict=True):
            heights, _ = np.histogram(values, np.linspace(0, 1, 50), density=True)
            assert np.allclose([bar.get_height() for bar in ax.patches], heights)
            assert ax.lines[0].get_xdata() == [stored["threshold"]] * 2
            assert (f"({name})" in ax.get_title()) == bool(batches)
        assert (row[0].get_yscale(), row[1].get_yscale()) == ("log", "linear")


def test_variance_ratio(small):
    zs.pp.pca(small, n_comps=25)
    ax = zs.pl.pca_variance_ratio(small, n_pcs=20, log=True)
    (line,) = ax.lines
    assert line.get_xdata().tolist() == list(range(1, 21)) and ax.get_yscale() == "log"
    assert np.allclose(line.get_ydata(), small.uns["pca"]["variance_ratio"][:20])
    assert len(zs.pl.pca_variance_ratio(small, n_pcs=99).lines[0].get_xdata()) == 25
    mine = plt.figure().add_subplot()
    assert zs.pl.pca_variance_ratio(small, ax=mine) is mine


def test_loadings(small):
    small.var["highly_variable"] = np.arange(120) < 50
    zs.pp.pca(small, n_comps=8)
    loadings = pd.DataFrame(small.varm["PCs"], small.var_names)
    axes = zs.pl.pca_loadings(small, n_points=10)
    assert [ax.get_title() for ax in axes] == ["PC1", "PC2", "PC3"]
    for component, ax in enumerate(axes):
        ranked = loadings[component][:50].sort_values(ascending=False, kind="stable")
        expected = pd.concat([ranked.head(5), ranked.tail(5)])
        assert [text.get_text() for text in ax.texts] == list(expected.index)
        assert np.allclose([text.xy[1] for text in ax.texts], expected)
        ax.figure.draw_without_rendering()
        frame = ax.get_window_extent()
        assert all(frame.y0 <= text.get_window_extent().y0 and text.get_window_extent().y1 <= frame.y1 for text in ax.texts)
    (ax,) = zs.pl.pca_loadings(small, components="4", include_lowest=False, n_points=7)
    assert [text.get_text() for text in ax.texts] == list(loadings[3][:50].sort_values(ascending=False).index[:7])
    assert len(zs.pl.pca_loadings(small, components=[2, 1], n_points=99)[0].texts) == 50


def test_bad_input_is_refused_by_name(small):
    for plot, message, parameters in (
        (zs.pl.highest_expr_genes, "n_top", {"n_top": 0}),
        (zs.pl.highest_expr_genes, "`no` not found in adata.layers", {"layer": "no"}),
        (zs.pl.highest_expr_genes, "`no` not found in adata.var", {"gene_symbols": "no"}),
        (zs.pl.highly_variable_genes, "highly_variable.*run `pp.highly_variable_genes` first", {}),
        (zs.pl.scrublet_score_distribution, "scrublet.*run `pp.scrublet` first", {}),
        (zs.pl.pca_variance_ratio, "variance_ratio.*run `pp.pca` first", {}),
        (zs.pl.pca_loadings, "PCs.*run `pp.pca` first", {}),
    ):
        with pytest.raises((errors.ParameterError, errors.MissingKeyError), match=message):
            plot(small, **parameters)
    with pytest.raises(errors.EmptyDataError, match="at least one cell"):
        zs.pl.highest_expr_genes(small[:0].copy())
    zs.pp.pca(small, n_comps=5)
    for parameters in ({"components": "0"}, {"components": "6"}, {"components": "one"}, {"components": []}, {"n_points": 0}):
        with pytest.raises(errors.ParameterError, match=next(iter(parameters))):
            zs.pl.pca_loadings(small, **parameters)
    with pytest.raises(errors.ParameterError, match="n_pcs"):
        zs.pl.pca_variance_ratio(small, n_pcs=0)
    small.uns["scrublet"] = {"threshold": 0.3}
    with pytest.raises(errors.MissingKeyError, match="doublet_score"):
        zs.pl.scrublet_score_distribution(small)
    small.obs["doublet_score"] = np.nan
    with pytest.raises(errors.ParameterError, match="scale_hist_obs"):
        zs.pl.scrublet_score_distribution(small, scale_hist_obs="root")
    with pytest.raises(errors.MissingKeyError, match="doublet_scores_sim"):
        zs.pl.scrublet_score_distribution(small)
    small.uns["scrublet"]["doublet_scores_sim"] = np.array([0.1])
    with pytest.raises(errors.DataError, match="expected at least one number"):
        zs.pl.scrublet_score_distribution(small)
