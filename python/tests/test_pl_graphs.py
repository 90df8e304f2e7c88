"""Dendrograms, PAGA graphs, densities on embeddings and velocity arrows: what is drawn, scanpy's slots, bad input."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from matplotlib.colors import to_hex
from scipy import sparse
from zensaibo import errors
from zensaibo.pl._paga import spring_layout
from zensaibo.pl._velocity import velocity_field

NAMES = [f"t{i}" for i in range(5)]


@pytest.fixture
def graphed(small):
    """`small` with five groups of unlike size, their dendrogram and PAGA by scanpy, an embedding."""
    import scanpy as sc

    rng = np.random.default_rng(0)
    small.obs["type"] = pd.Categorical(np.repeat(NAMES, [20, 50, 70, 100, 60]))
    codes = small.obs["type"].cat.codes.to_numpy()
    small.obsm["X_umap"] = np.column_stack([codes * 10.0, codes % 2 * 10.0]) + rng.normal(size=(300, 2))
    zs.pp.pca(small, n_comps=10)
    zs.pp.neighbors(small)
    sc.tl.dendrogram(small, "type", use_rep="X_pca")
    sc.tl.paga(small, "type")
    yield small
    plt.close("all")


def at(ax, picture, x, y):
    pixels, (left, right, bottom, top) = picture.get_array(), picture.get_extent()
    column = int((x - left) / (right - left) * pixels.shape[1])
    row = int((top - y) / (top - bottom) * pixels.shape[0])
    return to_hex(pixels[row, column][:3] / 255) if pixels[row, column][3] == 255 else None


@pytest.mark.parametrize("orientation", ["top", "bottom", "left", "right"])
def test_the_tree_is_scipys(graphed, orientation):
    ax = zs.pl.dendrogram(graphed, "type", orientation=orientation)
    info = graphed.uns["dendrogram_type"]["dendrogram_info"]
    (lines,) = ax.collections
    along, height = np.array(lines.get_segments()).transpose(2, 0, 1)[:: -1 if orientation in ("left", "right") else 1]
    assert np.allclose(along, (np.array(info["icoord"]) - 5) / 10) and np.allclose(height, info["dcoord"])
    texts = ax.get_yticklabels() if orientation in ("left", "right") else ax.get_xticklabels()
    assert [text.get_text() for text in texts] == list(graphed.uns["dendrogram_type"]["categories_ordered"])
    upward = {"top": ax.get_ylim(), "bottom": ax.get_ylim()[::-1], "right": ax.get_xlim(), "left": ax.get_xlim()[::-1]}[orientation]
    assert upward[0] == 0 < upward[1]
    mine = plt.figure().add_subplot()
    assert zs.pl.dendrogram(graphed, "type", remove_labels=True, ax=mine) is mine
    assert not "".join(text.get_text() for text in mine.get_xticklabels())


def test_no_tree_says_what_computes_it(graphed):
    with pytest.raises(errors.MissingKeyError, match="dendrogram_kind.*present: dendrogram_type; run `tl.dendrogram"):
        zs.pl.dendrogram(graphed, "kind")
    with pytest.raises(errors.ParameterError, match="orientation"):
        zs.pl.dendrogram(graphed, "type", orientation="up")
    graphed.uns["mine"] = graphed.uns.pop("dendrogram_type")
    assert zs.pl.dendrogram(graphed, "type", dendrogram_key="mine")


def discs(ax):
    """Collections with one marker for each group."""
    return [c for c in ax.collections if isinstance(c, matplotlib.collections.PathCollection)]


def lines(ax):
    return [c for c in ax.collections if isinstance(c, matplotlib.collections.LineCollection)]


def test_edges_are_as_wide_as_their_weight(graphed):
    weights = np.triu(np.random.default_rng(0).random((5, 5)), 1)
    weights = weights + weights.T
    graphed.uns["paga"]["connectivities"] = sparse.csr_matrix(weights)
    ax = zs.pl.paga(graphed, threshold=0.1, edge_width_scale=2)
    weights = np.where(weights < 0.1, 0, weights)
    pairs = [(i, j) for i in range(5) for j in range(i + 1, 5) if weights[i, j] > 0]
    assert 0 < len(pairs) < 10, "the data does not test the threshold"
    (edges,) = lines(ax)
    places = graphed.uns["paga"]["pos"]
    assert np.allclose(edges.get_segments(), [places[list(pair)] for pair in pairs])
    assert np.allclose(edges.get_linewidths(), [weights[pair] * 10 * plt.rcParams["lines.linewidth"] for pair in pairs])
    (clipped,) = lines(zs.pl.paga(graphed, threshold=0.1, min_edge_width=3, max_edge_width=6))
    widths = [weights[pair] * 5 * plt.rcParams["lines.linewidth"] for pair in pairs]
    assert min(widths) < 3 and max(widths) > 6, "the data does not test the limits"
    assert np.allclose(clipped.get_linewidths(), np.clip(widths, 3, 6))
    both = lines(zs.pl.paga(graphed, dashed_edges="connectivities_tree"))
    assert len(both[0].get_segments()) == graphed.uns["paga"]["connectivities_tree"].nnz == 4


def test_discs_are_groups(graphed):
    ax = zs.pl.paga(graphed, pos=np.arange(10.0).reshape(5, 2), add_pos=False)
    assert "pos" not in graphed.uns["paga"]
    found = discs(ax)
    assert np.allclose([c.get_offsets()[0] for c in found], np.arange(10.0).reshape(5, 2))
    sizes = np.array([20, 50, 70, 100, 60])
    assert np.allclose([c.get_sizes()[0] for c in found], 4000 / (np.sqrt(5) + 10) * np.sqrt(sizes / 60))
    assert [to_hex(c.get_facecolor()[0]) for c in found] == list(graphed.uns["type_colors"])
    assert [text.get_text() for text in ax.texts] == NAMES
    ax = zs.pl.paga(graphed, labels=list("abcde"), node_size_power=0, node_size_scale=2, color="red")
    assert {c.get_sizes()[0] for c in discs(ax)} == {8000 / (np.sqrt(5) + 10)}
    assert [text.get_text() for text in ax.texts] == list("abcde")
    assert {to_hex(c.get_facecolor()[0]) for c in discs(ax)} == {"#ff0000"}


def test_discs_by_gene_number_and_degree(graphed):
    graphed.obs["score"] = np.arange(300.0)
    graphed.obs.loc[graphed.obs_names[:5], "score"] = np.nan
    axes = zs.pl.paga(graphed, color=["gene3", "score", "degree_solid"], threshold=0, ncols=2, cmap="magma")
    groups = graphed.obs["type"]
    weights = graphed.uns["paga"]["connectivities"].toarray()
    expected = (
        pd.Series(graphed[:, "gene3"].X.toarray().ravel(), graphed.obs_names).groupby(groups, observed=True).mean(),
        graphed.obs["score"].groupby(groups, observed=True).mean(),
        weights.sum(axis=1),
    )
    bars = [ax for ax in axes[0].figure.axes if ax not in axes]
    for ax, bar, values in zip(axes, bars, expected, strict=True):
        values = np.asarray(values)
        assert bar.get_ylim() == (pytest.approx(values.min()), pytest.approx(values.max()))
        table = matplotlib.colormaps["magma"]
        shown = [table((value - values.min()) / (values.max() - values.min())) for value in values]
        assert np.allclose([c.get_facecolor()[0] for c in discs(ax)], shown)
    assert [ax.get_title() for ax in axes] == ["gene3", "score", "degree_solid"]


def test_pies_are_shares(graphed):
    rng = np.random.default_rng(0)
    graphed.obs["sample"] = pd.Categorical(rng.choice(["x", "y", "z"], 300))
    table = pd.crosstab(graphed.obs["type"], graphed.obs["sample"])
    ax = zs.pl.paga(graphed, color="sample", pos=np.arange(10.0).reshape(5, 2))
    slices = discs(ax)
    assert len(slices) == 15
    for number, marker in enumerate(slices):
        outline = marker.get_paths()[0].vertices[1:]
        outline = outline[(outline**2).sum(axis=1) > 0]
        turn = np.unwrap(np.arctan2(outline[:, 1], outline[:, 0]))
        group, sample = divmod(number, 3)
        share = table.to_numpy()[group, sample] / table.to_numpy()[group].sum()
        assert (turn.max() - turn.min()) / (2 * np.pi) == pytest.approx(share, abs=1e-9)
        assert to_hex(marker.get_facecolor()[0]) == graphed.uns["sample_colors"][sample]
        assert marker.get_offsets()[0].tolist() == [2 * group, 2 * group + 1]
    grey = discs(zs.pl.paga(graphed, color="sample", normalize_to_color=True))
    assert sum(to_hex(c.get_facecolor()[0]) == to_hex("lightgray") for c in grey) >= 4, "shares of the samples leave a rest"
    given = discs(zs.pl.paga(graphed, color={i: {"red": 0.25, "blue": 0.5} for i in range(5)}))
    assert [to_hex(c.get_facecolor()[0]) for c in given[:3]] == ["#ff0000", "#0000ff", to_hex("lightgray")]


def test_arrows_run_from_column_to_row_and_parts_can_be_left_out(graphed):
    graphed.uns["paga"]["flow"] = sparse.csr_matrix(([0.5, 0.005], ([2, 3], [0, 1])), shape=(5, 5))
    ax = zs.pl.paga(graphed, transitions="flow", pos=np.arange(10.0).reshape(5, 2))
    (arrow,) = ax.patches
    assert [tuple(end) for end in arrow._posA_posB] == [(0, 1), (4, 5)]
    graphed.uns["paga"]["connectivities"] = sparse.csr_matrix(([1.0, 0.5, 0.2], ([0, 1, 3], [1, 2, 4])), shape=(5, 5))
    ax = zs.pl.paga(graphed, single_component=True)
    assert [text.get_text() for text in ax.texts] == ["t0", "t1", "t2"]
    assert len(lines(ax)[0].get_segments()) == 2


def test_the_layout_joins_neighbours_and_repeats():
    chain = np.diag(np.ones(7), 1)
    places = spring_layout(chain, seed=3)
    assert (places == spring_layout(chain, seed=3)).all() and not np.allclose(places, spring_layout(chain, seed=4))
    distance = np.sqrt(((places[:, None] - places[None]) ** 2).sum(axis=2))
    assert distance[np.arange(7), np.arange(1, 8)].max() < distance[0, 7] / 2
    assert (distance + np.eye(8) * 9).min() > 0.1
    alone = spring_layout(np.zeros((4, 4)))
    assert np.isfinite(alone).all() and np.abs(alone).max() < 5
    start = np.random.default_rng(0).normal(size=(8, 2))
    assert np.isfinite(spring_layout(chain, start)).all()
    assert spring_layout(np.zeros((1, 1))).shape == (1, 2)


def test_paga_refuses_bad_input_by_name(graphed):
    for kind, message, parameters in (
        (errors.ParameterError, "layout", {"layout": "fa"}),
        (errors.ParameterError, "labels", {"labels": ["a"]}),
        (errors.ShapeError, "pos", {"pos": np.zeros((3, 2))}),
        (errors.ShapeError, "init_pos", {"init_pos": np.zeros(3)}),
        (errors.MissingKeyError, "`flow` not found in adata.uns..paga..; present: .*connectivities", {"transitions": "flow"}),
        (errors.MissingKeyError, "dashes", {"dashed_edges": "dashes"}),
        (errors.MissingKeyError, "nobody", {"color": "nobody"}),
        (errors.ParameterError, "dashed_edges", {"color": "degree_dashed"}),
        (errors.ParameterError, "group 1", {"color": {0: {"red": 1.0}}}),
        (errors.ParameterError, "at most 1", {"color": {i: {"red": 1.5} for i in range(5)}}),
        (errors.ParameterError, "color", {"color": []}),
        (errors.ParameterError, "title", {"color": ["gene1", "gene2"], "title": ["one"]}),
        (errors.ParameterError, "`ax`", {"color": ["gene1", "gene2"], "ax": plt.figure().add_subplot()}),
    ):
        with pytest.raises(kind, match=message):
            zs.pl.paga(graphed, **parameters)
    graphed.obs["type"] = graphed.obs["type"].cat.add_categories("new")
    with pytest.raises(errors.ShapeError, match="run `tl.paga` again"):
        zs.pl.paga(graphed)
    del graphed.uns["paga"]
    with pytest.raises(errors.MissingKeyError, match="run `tl.paga` first"):
        zs.pl.paga(graphed)


def test_densities_of_groups(graphed):
    import scanpy as sc

    sc.tl.embedding_density(graphed, "umap", groupby="type")
    sc.tl.embedding_density(graphed, "umap")
    axes = zs.pl.embedding_density(graphed, groupby="type", fg_dotsize=300, bg_dotsize=300)
    assert [ax.get_title() for ax in axes] == NAMES
    density = graphed.obs["umap_density_type"]
    points = graphed.obsm["X_umap"]
    table = matplotlib.colormaps["YlOrRd"]
    for ax, name in zip(axes, NAMES, strict=True):
        mine = np.flatnonzero(graphed.obs["type"] == name)
        rest = np.flatnonzero(graphed.obs["type"] != name)
        grey, colored = ax.get_images()
        densest = mine[density.to_numpy()[mine].argmax()]
        assert density.iloc[densest] == 1 and at(ax, colored, *points[densest]) == to_hex(table(1.0))
        assert all(at(ax, grey, *points[i]) == to_hex("lightgray") for i in rest)
        assert all(at(ax, colored, *points[i]) is None for i in rest)
    assert zs.pl.embedding_density(graphed, groupby="type", group="t2").get_title() == "t2"
    ax = zs.pl.embedding_density(graphed)
    assert len(ax.get_images()) == 1
    mine = plt.figure().add_subplot()
    assert zs.pl.embedding_density(graphed, key="umap_density_type", group=["t1"], ax=mine, title="here") is mine
    assert mine.get_title() == "here"
    for kind, message, parameters in (
        (errors.ParameterError, "found both", {"key": "a", "groupby": "type"}),
        (errors.MissingKeyError, "umap_density_kind.*run `tl.embedding_density` first", {"groupby": "kind"}),
        (errors.MissingKeyError, "t9", {"groupby": "type", "group": "t9"}),
        (errors.MissingKeyError, "tsne", {"basis": "tsne"}),
        (errors.ParameterError, "group", {"group": "t1"}),
        (errors.ParameterError, "`ax`", {"groupby": "type", "ax": mine}),
        (errors.ParameterError, "fg_dotsize", {"fg_dotsize": -1}),
    ):
        with pytest.raises(kind, match=message):
            zs.pl.embedding_density(graphed, **parameters)
    graphed.obs["umap_density"] *= 2
    with pytest.raises(errors.DataError, match="from 0 to 1"):
        zs.pl.embedding_density(graphed)


def slow_field(points, velocity, field, step):
    """The Gaussian averages, cell by cell."""
    x, y = np.meshgrid(field.x, field.y)
    apart = (np.stack([x, y], axis=2)[:, :, None] - points) / step
    weight = np.exp(-0.5 * (apart**2).sum(axis=3))
    return (weight[..., None] * velocity).sum(axis=2) / weight.sum(axis=2)[..., None], weight.sum(axis=2)


@pytest.mark.parametrize("smooth", [0.5, 1.0])
def test_the_field_is_the_mean_of_the_cells_around(smooth):
    rng = np.random.default_rng(0)
    points = rng.normal(size=(2000, 2)) * (1, 3)
    velocity = np.column_stack([-points[:, 1], points[:, 0]])
    field = velocity_field(points, velocity, 20, smooth)
    step = np.array([field.x[1] - field.x[0], field.y[1] - field.y[0]]) * smooth
    mean, mass = slow_field(points, velocity, field, step)
    dense = mass > 5
    assert dense.sum() > 50
    # Sharing cells out between nodes widens the weights by a sixth of a node squared: 1/24 of a step.
    assert np.abs(field.mass[dense] - mass[dense]).max() < 0.06 * mass.max()
    assert np.abs(field.mean[dense] - mean[dense]).max() < 0.04 * np.abs(velocity).max()


def test_arrows_point_along_velocities(graphed):
    rng = np.random.default_rng(1)
    velocity = rng.normal(size=(300, 2))
    velocity[:3] = np.nan
    graphed.obsm["velocity_umap"] = velocity
    ax = zs.pl.velocity_embedding(graphed, color="type")
    (arrows,) = [c for c in ax.collections if isinstance(c, matplotlib.quiver.Quiver)]
    assert np.allclose(arrows.XY, graphed.obsm["X_umap"][3:])
    assert np.allclose(np.column_stack([arrows.U, arrows.V]), velocity[3:])
    span = np.ptp(graphed.obsm["X_umap"][3:], axis=0) / 25
    assert arrows.scale == pytest.approx(np.percentile(np.sqrt(((velocity[3:] / span) ** 2).sum(axis=1)), 95))
    few = zs.pl.velocity_embedding(graphed, density=0.1)
    (arrows,) = [c for c in few.collections if isinstance(c, matplotlib.quiver.Quiver)]
    assert len(arrows.U) == 30
    mine = plt.figure().add_subplot()
    assert zs.pl.velocity_embedding(graphed, ax=mine, arrow_length=2) is mine


def test_grid_and_stream_follow_a_rotation(graphed):
    rng = np.random.default_rng(2)
    points = rng.normal(size=(300, 2))
    graphed.obsm["X_umap"] = points
    graphed.obsm["velocity_umap"] = np.column_stack([-points[:, 1], points[:, 0]])
    ax = zs.pl.velocity_embedding_grid(graphed, color="type", density=0.5, smooth=1.0)
    (arrows,) = [c for c in ax.collections if isinstance(c, matplotlib.quiver.Quiver)]
    turned = np.column_stack([-arrows.XY[:, 1], arrows.XY[:, 0]])
    far = np.sqrt((turned**2).sum(axis=1)) > 0.5
    along = (turned * np.column_stack([arrows.U, arrows.V])).sum(axis=1) / np.sqrt((turned**2).sum(axis=1) * (arrows.U**2 + arrows.V**2))
    assert far.sum() > 50 and np.percentile(along[far], 10) > 0.95
    limits = ax.get_xlim()
    ax = zs.pl.velocity_embedding_stream(graphed, color="type")
    assert ax.get_xlim() == limits and len(lines(ax)[0].get_segments()) > 100 and len(ax.patches) > 5
    assert max(lines(ax)[0].get_linewidths()) <= 1.0 + 1e-9


def test_velocity_refuses_bad_input_by_name(graphed):
    plots = (zs.pl.velocity_embedding, zs.pl.velocity_embedding_grid, zs.pl.velocity_embedding_stream)
    for plot in plots:
        with pytest.raises(errors.MissingKeyError, match="velocity_umap.*run `tl.velocity_embedding` first"):
            plot(graphed)
        with pytest.raises(errors.MissingKeyError, match="tsne"):
            plot(graphed, basis="tsne")
    graphed.obsm["velocity_umap"] = np.ones((300, 2))
    for plot in plots:
        for message, parameters in (
            ("dimensions", {"dimensions": (0, 2)}),
            ("arrow_size", {"arrow_size": 0}),
            ("density", {"density": -1}),
            ("one key", {"color": ["type", "gene1"]}),
            ("return_fig", {"return_fig": True}),
        ):
            with pytest.raises(errors.ParameterError, match=message):
                plot(graphed, **parameters)
    with pytest.raises(errors.ParameterError, match="smooth"):
        zs.pl.velocity_embedding_grid(graphed, smooth=0)
    with pytest.raises(errors.ParameterError, match="min_mass"):
        zs.pl.velocity_embedding_grid(graphed, min_mass=-1)
    graphed.obsm["velocity_umap"] = np.full((300, 2), np.nan)
    with pytest.raises(errors.DataError, match="at least one cell"):
        zs.pl.velocity_embedding(graphed)


def test_scanpys_plots_work_on_our_results(pbmc3k_log):
    import scanpy as sc

    adata = pbmc3k_log
    zs.pp.pca(adata, n_comps=20)
    zs.pp.neighbors(adata)
    zs.tl.leiden(adata)
    zs.tl.umap(adata, maxiter=50)
    zs.tl.rank_genes_groups(adata, "leiden", method="t-test")
    genes = {"T": ["CD3D", "IL7R"], "B": ["MS4A1"]}
    sc.tl.dendrogram(adata, "leiden")
    sc.tl.paga(adata, "leiden")
    sc.tl.embedding_density(adata, "umap", groupby="leiden")
    zs.pl.paga(adata)
    assert np.shape(adata.uns["paga"]["pos"]) == (adata.obs["leiden"].nunique(), 2)
    sc.tl.umap(adata, init_pos="paga", maxiter=5)
    for plot in ("dotplot", "matrixplot", "stacked_violin", "heatmap", "tracksplot"):
        assert getattr(sc.pl, plot)(adata, genes, "leiden", dendrogram=True, show=False)
        assert getattr(zs.pl, plot)(adata, genes, "leiden", dendrogram=True)
        plt.close("all")
    assert sc.pl.violin(adata, ["CD3D"], "leiden", show=False)
    assert sc.pl.paga(adata, show=False)
    assert sc.pl.dendrogram(adata, "leiden", show=False)
    sc.pl.embedding_density(adata, "umap", groupby="leiden", show=False)
    assert len(zs.pl.embedding_density(adata, groupby="leiden")) == adata.obs["leiden"].nunique()
    sc.pl.pca_variance_ratio(adata, show=False)
    sc.pl.pca_loadings(adata, show=False)
    sc.pl.highly_variable_genes(adata, show=False)
