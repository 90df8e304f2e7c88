"""Plots of the statistics of cells in tissue: what is drawn against the numbers, bad input."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from matplotlib.colors import to_hex
from scipy import sparse
from zensaibo.errors import EmptyDataError, MissingKeyError, ParameterError


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def _tissue() -> ad.AnnData:
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(0.7, (400, 8)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(8)]
    adata.obsm["spatial"] = rng.uniform(0, 100, (400, 2))
    left = adata.obsm["spatial"][:, 0] < 50
    adata.obs["label"] = pd.Categorical(np.where(rng.random(400) < 0.5, "any", np.where(left, "left", "right")))
    adata.obs["library"] = pd.Categorical(np.where(np.arange(400) % 2, "one", "two"))
    adata.X[np.flatnonzero(left), 0] = 9.0
    zs.sp.spatial_neighbors_knn(adata)
    zs.sp.nhood_enrichment(adata, "label")
    zs.sp.interaction_matrix(adata, "label")
    zs.sp.centrality_scores(adata, "label")
    zs.sp.co_occurrence(adata, "label", interval=12)
    zs.sp.ripley(adata, "label", mode="L", n_simulations=39, n_steps=12)
    zs.sp.ripley(adata, "label", mode="G", n_simulations=5, n_steps=12, library_key="library")
    zs.sp.ligrec(adata, "label", [("g0", "g1"), ("g2", "g3"), ("g4", "g5")], n_perms=99)
    zs.sp.spatial_autocorr(adata)
    return adata


@pytest.fixture
def tissue(_tissue: ad.AnnData) -> ad.AnnData:
    return _tissue.copy()


def labels(ax, axis="y"):
    return [text.get_text() for text in (ax.get_xticklabels() if axis == "x" else ax.get_yticklabels())]


def uncut(figure):
    """All that is drawn lies on the figure."""
    box, (width, height) = figure.get_tightbbox(), figure.get_size_inches()
    assert box.x0 > -0.02 and box.y0 > -0.02 and box.x1 < width + 0.02 and box.y1 < height + 0.02, (box, width, height)


def test_matrices_show_their_numbers(tissue):
    z = tissue.uns["label_nhood_enrichment"]["zscore"]
    ax = zs.pl.nhood_enrichment(tissue, "label", annotate=True)
    (mesh,) = ax.collections
    np.testing.assert_array_equal(np.ma.getdata(mesh.get_array()).reshape(3, 3), z)
    assert mesh.norm.vmax == -mesh.norm.vmin == np.abs(z).max()
    assert labels(ax) == labels(ax, "x") == ["any", "left", "right"] and ax.get_ylim()[0] > ax.get_ylim()[1]
    assert [text.get_text() for text in ax.texts] == [f"{value:.3g}" for value in z.ravel()]
    uncut(ax.figure)
    ax = zs.pl.nhood_enrichment(tissue, "label", mode="count", vmin=0, cmap="magma", ax=plt.figure(figsize=(5, 4)).add_subplot())
    assert ax.collections[0].norm.vmin == 0 and ax.collections[0].cmap.name == "magma"
    ax = zs.pl.interaction_matrix(tissue, "label", figsize=(3, 2))
    np.testing.assert_array_equal(np.ma.getdata(ax.collections[0].get_array()).ravel(), tissue.uns["label_interactions"].ravel())
    # What chance leaves no choice in is masked, and grey shows through.
    tissue.uns["label_nhood_enrichment"]["zscore"] = np.where(np.eye(3), np.nan, z)
    mesh = zs.pl.nhood_enrichment(tissue, "label").collections[0]
    assert np.array_equal(np.ma.getmaskarray(mesh.get_array()).reshape(3, 3), np.eye(3, dtype=bool))


def test_curves_over_distance(tissue):
    found = tissue.uns["label_co_occurrence"]
    axes = zs.pl.co_occurrence(tissue, "label", clusters=["left", "any"], ncols=1, palette=["red", "lime", "blue"])
    assert [ax.get_title() for ax in axes] == ["near left", "near any"]
    for ax, near in zip(axes, (1, 0), strict=True):
        for label, line in enumerate(ax.lines[1:]):
            np.testing.assert_array_equal(line.get_xdata(), found["interval"][1:])
            np.testing.assert_array_equal(line.get_ydata(), found["occ"][label, near])
            assert to_hex(line.get_color()) == ["#ff0000", "#00ff00", "#0000ff"][label]
    assert list(tissue.uns["label_colors"]) == ["#ff0000", "#00ff00", "#0000ff"]
    uncut(axes[0].figure)


def test_ripley_lies_over_its_simulations(tissue):
    found = tissue.uns["label_ripley_L"]
    axes = zs.pl.ripley(tissue, "label", mode="L")
    assert len(axes) == 3
    again = zs.arrays.ripley(tissue.obsm["spatial"], tissue.obs["label"], mode="L", n_simulations=39, n_steps=12)
    for label, ax in enumerate(axes):
        mean, own = ax.lines
        np.testing.assert_allclose(own.get_ydata(), again.stat[label])
        np.testing.assert_allclose(mean.get_ydata(), again.simulations[label].mean(axis=0))
        assert f"{found['pvalue'][label]:.2g}" in ax.get_title()
        top = ax.collections[0].get_paths()[0].vertices[:, 1].max()
        assert top == pytest.approx(np.quantile(again.simulations[label], 0.975, axis=0).max())
    uncut(axes[0].figure)
    assert len(zs.pl.ripley(tissue, "label", mode="G", library="two", clusters="left")) == 1
    with pytest.raises(ParameterError, match="library"):
        zs.pl.ripley(tissue, "label", mode="G")
    with pytest.raises(ParameterError, match="library"):
        zs.pl.ripley(tissue, "label", mode="L", library="two")


def test_dots_of_ligands_and_receptors(tissue):
    found = tissue.uns["label_ligrec"]
    axes = zs.pl.ligrec(tissue, "label", pvalue_threshold=1.0)
    main = axes["mainplot_ax"]
    (dots,) = main.collections
    assert labels(main) == ["g0 | g1", "g2 | g3", "g4 | g5"] and len(labels(main, "x")) == 9
    order = np.lexsort([dots.get_offsets()[:, 0], dots.get_offsets()[:, 1]])
    np.testing.assert_allclose(np.asarray(dots.get_array())[order], found["means"].ravel())
    sizes, p = dots.get_sizes()[order], found["pvalues"].ravel()
    assert np.array_equal(np.argsort(-sizes, kind="stable"), np.argsort(p, kind="stable"))
    uncut(main.figure)
    few = zs.pl.ligrec(tissue, "label", source_groups="left", n_interactions=1)["mainplot_ax"]
    assert labels(few) == ["g0 | g1"] and all(text.startswith("left > ") for text in labels(few, "x"))
    assert all(p <= 0.05 for p in found["pvalues"][0, [row for row, name in enumerate(found["clusters"]["cluster_1"]) if name == "left"]])
    with pytest.raises(EmptyDataError, match="found none"):
        zs.pl.ligrec(tissue, "label", means_range=(1e6, np.inf))


def test_scores_of_groups_and_genes(tissue):
    table = tissue.uns["label_centrality_scores"]
    axes = zs.pl.centrality_scores(tissue, "label", score=["degree_centrality", "average_clustering"])
    for ax, name in zip(axes, table.columns, strict=False):
        np.testing.assert_array_equal(ax.collections[0].get_offsets()[:, 0], np.sort(table[name]))
        assert labels(ax) == list(table[name].sort_values(kind="stable").index)
    uncut(axes[0].figure)
    genes = tissue.uns["moranI"]
    ax = zs.pl.spatial_autocorr(tissue, n_genes=3)
    assert labels(ax) == list(genes.index[:3]) and labels(ax)[0] == "g0"
    np.testing.assert_allclose(ax.collections[0].get_offsets()[:, 0], genes["I"][:3])
    # Filled where the corrected p value is low.
    assert to_hex(ax.collections[0].get_facecolors()[0]) == "#1f77b4" and genes["pval_norm_fdr_bh"].iloc[0] < 1e-6
    uncut(ax.figure)


def test_what_is_not_there_is_said(tissue):
    bare = ad.AnnData(np.zeros((3, 1), np.float32))
    for run, name in (
        (lambda: zs.pl.nhood_enrichment(bare, "label"), "nhood_enrichment"),
        (lambda: zs.pl.interaction_matrix(bare, "label"), "interaction_matrix"),
        (lambda: zs.pl.centrality_scores(bare, "label"), "centrality_scores"),
        (lambda: zs.pl.co_occurrence(bare, "label"), "co_occurrence"),
        (lambda: zs.pl.ripley(bare, "label"), "ripley"),
        (lambda: zs.pl.ligrec(bare, "label"), "ligrec"),
        (lambda: zs.pl.spatial_autocorr(bare), "spatial_autocorr"),
    ):
        with pytest.raises(MissingKeyError, match=f"sp.{name}"):
            run()
    for wrong in (
        lambda: zs.pl.nhood_enrichment(tissue, "label", mode="p"),
        lambda: zs.pl.nhood_enrichment(tissue, "label", figsize=(0.5, 2)),
        lambda: zs.pl.centrality_scores(tissue, "label", score="pagerank"),
        lambda: zs.pl.co_occurrence(tissue, "label", clusters="up"),
        lambda: zs.pl.co_occurrence(tissue, "label", ncols=0),
        lambda: zs.pl.ligrec(tissue, "label", target_groups="up"),
        lambda: zs.pl.ligrec(tissue, "label", pvalue_threshold=0),
        lambda: zs.pl.ligrec(tissue, "label", means_range=(2, 1)),
        lambda: zs.pl.ligrec(tissue, "label", n_interactions=0),
        lambda: zs.pl.spatial_autocorr(tissue, n_genes=0),
        lambda: zs.pl.spatial_autocorr(tissue, mode="getis"),
    ):
        with pytest.raises(ParameterError):
            wrong()
