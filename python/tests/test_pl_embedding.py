"""Scatter plots: what is drawn, where it lies, what is stored, bad input."""

from __future__ import annotations


import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from matplotlib.colors import to_hex, to_rgba
from zensaibo import errors
from zensaibo._options import defaults


@pytest.fixture
def embedded(small):
    """`small` with three round groups in X_umap and five axes of X_pca."""
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [10, 0], [5, 10]])
    small.obsm["X_umap"] = centres[np.repeat([0, 1, 2], 100)] + rng.normal(size=(300, 2))
    small.obsm["X_pca"] = rng.normal(size=(300, 5))
    small.obs["score"] = np.arange(300.0)
    yield small
    plt.close("all")


def image(ax):
    """Pixels of the axes' one image."""
    (picture,) = ax.get_images()
    return picture.get_array(), picture.get_extent()


def at(ax, x, y):
    pixels, (left, right, bottom, top) = image(ax)
    column = int((x - left) / (right - left) * pixels.shape[1])
    row = int((top - y) / (top - bottom) * pixels.shape[0])
    return pixels[row, column]


def test_each_point_lies_where_it_should(embedded):
    ax = zs.pl.umap(embedded, color="group", size=200)
    colors = embedded.uns["group_colors"]
    hits = 0
    for (x, y), code in zip(embedded.obsm["X_umap"], embedded.obs["group"].cat.codes, strict=True):
        pixel = at(ax, x, y)
        assert pixel[3] == 255
        hits += to_hex(pixel[:3] / 255) == colors[code]
    assert hits > 290
    left, right, bottom, top = image(ax)[1]
    assert ax.get_xlim() == (left, right) and ax.get_ylim() == (bottom, top)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_title()) == ("UMAP1", "UMAP2", "group")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["g0", "g1", "g2"]


def test_colors_are_stored_as_scanpy_reads_them(embedded):
    import scanpy as sc

    zs.pl.umap(embedded, color="group")
    stored = list(embedded.uns["group_colors"])
    assert len(stored) == 3 and all(color.startswith("#") for color in stored)
    sc.pl.umap(embedded, color="group", show=False)
    assert list(embedded.uns["group_colors"]) == stored
    embedded.uns["group_colors"] = ["#ff0000", "#00ff00", "#0000ff"]
    ax = zs.pl.umap(embedded, color="group", size=200)
    assert at(ax, *embedded.obsm["X_umap"][0])[:3].tolist() == [255, 0, 0]
    zs.pl.umap(embedded, color="group", palette={"g0": "black", "g1": "white", "g2": "red"})
    assert embedded.uns["group_colors"] == ["#000000", "#ffffff", "#ff0000"]


def test_numbers_follow_the_colour_map(embedded):
    embedded.obs.loc[embedded.obs_names[0], "score"] = np.nan
    embedded.obsm["X_umap"][:, 0] = np.arange(300)
    embedded.obsm["X_umap"][:, 1] = 0
    embedded.obsm["X_umap"][0, 1] = 1
    ax = zs.pl.umap(embedded, color="score", cmap="magma", vmin=0, vmax=100, size=20, na_color="#00ff00")
    table = matplotlib.colormaps["magma"]
    assert to_hex(at(ax, 150, 0)[:3] / 255) == to_hex(table(1.0))
    assert to_hex(at(ax, 0, 1)[:3] / 255) == "#00ff00"
    assert np.abs(at(ax, 50, 0)[:3] / 255 - np.array(table(0.5))[:3]).max() < 0.05
    colorbar = [other for other in ax.figure.axes if other is not ax]
    assert len(colorbar) == 1 and colorbar[0].get_ylim() == (0, 100)


def test_limits_by_percentile_and_function(embedded):
    for limits, expected in (
        ({"vmin": "p10", "vmax": "p90"}, (29.9, 269.1)),
        ({"vmax": lambda values: values.mean()}, (0, 149.5)),
        ({"vmin": [5], "vmax": [6.5]}, (5, 6.5)),
    ):
        ax = zs.pl.umap(embedded, color="score", **limits)
        low, high = ax.figure.axes[1].get_ylim()
        assert (low, high) == pytest.approx(expected)
    middle = zs.pl.umap(embedded, color="score", vcenter=10, cmap="coolwarm")
    assert middle.figure.axes[1].get_ylim() == (0, 299)


def test_genes_come_from_layer_raw_or_x(embedded):
    embedded.layers["double"] = embedded.X * 2
    embedded.raw = embedded.copy()
    embedded.X = embedded.X * 5
    high = {}
    for name, parameters in {"raw": {}, "x": {"use_raw": False}, "layer": {"layer": "double"}}.items():
        ax = zs.pl.umap(embedded, color="gene3", **parameters)
        high[name] = ax.figure.axes[1].get_ylim()[1]
    peak = embedded.raw.X[:, 3].max()
    assert high == {"raw": peak, "x": peak * 5, "layer": peak * 2}
    embedded.var["symbol"] = [f"S{i}" for i in range(120)]
    by_symbol = zs.pl.umap(embedded, color="S3", gene_symbols="symbol", use_raw=False)
    assert by_symbol.figure.axes[1].get_ylim()[1] == peak * 5


def test_panels_groups_and_legends(embedded):
    axes = zs.pl.umap(embedded, color=["group", "score", "gene0"], ncols=2)
    assert [ax.get_title() for ax in axes] == ["group", "score", "gene0"]
    axes = zs.pl.embedding(embedded, "X_pca", color=["group", "score"], components=["1,2", "2,5"])
    assert [(ax.get_xlabel(), ax.get_ylabel()) for ax in axes] == [("PC1", "PC2"), ("PC2", "PC5")] * 2
    assert zs.pl.pca(embedded, dimensions=(3, 0)).get_xlabel() == "PC4"

    ax = zs.pl.umap(embedded, color="group", groups="g1", size=200)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["g1", "NA"]
    assert to_hex(at(ax, *embedded.obsm["X_umap"][5])[:3] / 255) == to_hex("lightgray")
    ax = zs.pl.umap(embedded, color="group", legend_loc="on data", legend_fontoutline=2, frameon=False)
    assert [text.get_text() for text in ax.texts] == ["g0", "g1", "g2"] and ax.get_legend() is None
    assert np.hypot(*np.array(ax.texts[1].get_position()) - [10, 0]) < 1
    assert zs.pl.umap(embedded, color="group", legend_loc=None).get_legend() is None
    plain = zs.pl.umap(embedded, title="all")
    assert plain.get_title() == "all" and plain.get_legend() is None


def test_text_booleans_and_missing_categories(embedded):
    embedded.obs["flag"] = np.arange(300) % 2 == 0
    embedded.obs["text"] = pd.Series(np.where(np.arange(300) < 10, None, "b"), index=embedded.obs_names, dtype=object)
    ax = zs.pl.umap(embedded, color="flag")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["False", "True"]
    ax = zs.pl.umap(embedded, color="text")
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["b", "NA"]
    assert embedded.obs["text"].dtype == object, "the table is not changed"
    many = pd.Categorical([f"c{i}" for i in range(300)])
    embedded.obs["many"] = many
    zs.pl.umap(embedded, color="many", legend_loc=None)
    assert len(set(embedded.uns["many_colors"])) == 300


def test_views_and_missing_coordinates(embedded):
    view = embedded[:200]
    zs.pl.umap(view, color="group")
    assert view.is_view and "group_colors" not in embedded.uns
    embedded.obsm["X_umap"][3] = np.nan
    with pytest.warns(UserWarning, match="1 cells have no finite coordinates"):
        zs.pl.umap(embedded)


def test_save_show_and_figure(embedded, tmp_path):
    assert zs.pl.umap(embedded, show=True) is None
    figure = zs.pl.umap(embedded, return_fig=True, save=tmp_path / "a.png")
    assert figure.axes and plt.imread(tmp_path / "a.png").ndim == 3
    embedded.uns["pca"] = {"variance_ratio": np.array([0.5, 0.25, 0.1, 0.05, 0.01])}
    ax = zs.pl.pca(embedded, annotate_var_explained=True, save=tmp_path / "b.pdf")
    assert ax.get_xlabel() == "PC1 (50.00%)" and (tmp_path / "b.pdf").stat().st_size > 1000
    mine = plt.figure().add_subplot(111)
    assert zs.pl.umap(embedded, ax=mine) is mine


def test_threads_do_not_change_the_picture(embedded):
    pictures = [
        zs.arrays.raster_points(embedded.obsm["X_umap"], "C0", seed=4, opacity=0.5, threads=threads) for threads in (1, 2, 8)
    ]
    assert all((picture.pixels == pictures[0].pixels).all() for picture in pictures)


def test_raster_by_hand():
    points = np.array([[0.5, 0.5], [2.5, 1.5], [1.5, 1.5]])
    options = {"width": 3, "height": 2, "radius": 0.6, "extent": (0, 3, 0, 2), "order": "given"}
    picture = zs.arrays.raster_points(points, ["red", "lime", "blue"], **options)
    assert picture.pixels.shape == (2, 3, 4) and tuple(picture.extent) == (0, 3, 0, 2)
    strongest = picture.pixels[[1, 0, 0], [0, 2, 1]]
    assert (strongest[:, 3] > 200).all()
    assert strongest[:, :3].argmax(axis=1).tolist() == [0, 1, 2]
    assert to_rgba("red")[:3] == tuple(picture.pixels[1, 0, :3] / 255)
    coded = zs.arrays.raster_points(points, ["red", "lime"], codes=[0, 1, -1], na_color="blue", **options)
    # Points without a category lie below the others, whatever the order.
    below = zs.arrays.raster_points(points[[2, 0, 1]], ["blue", "red", "lime"], **options)
    assert (coded.pixels == below.pixels).all()
    valued = zs.arrays.raster_points(points, ["red", "lime"], values=[0.0, 1.0, np.nan], na_color="blue", **options)
    assert (valued.pixels == coded.pixels).all()


def test_a_million_points():
    points = np.random.default_rng(0).normal(size=(1_000_000, 2)).astype(np.float32)
    picture = zs.arrays.raster_points(points, ["red", "blue"], codes=np.arange(1_000_000) % 2)
    assert (picture.pixels[..., 3] > 0).mean() > 0.1


def test_bad_input_is_refused_by_name(embedded):
    for kind, message, parameters in (
        (errors.MissingKeyError, "nothing", {"color": "nothing"}),
        (errors.MissingKeyError, "layers", {"color": "gene0", "layer": "no"}),
        (errors.MissingKeyError, "raw", {"color": "gene0", "use_raw": True}),
        (errors.MissingKeyError, "g9", {"color": "group", "groups": ["g9"]}),
        (errors.ParameterError, "groups", {"color": "score", "groups": ["g1"]}),
        (errors.ParameterError, "legend_loc", {"color": "group", "legend_loc": "nowhere"}),
        (errors.ParameterError, "size", {"size": 0}),
        (errors.ParameterError, "vmin", {"color": "score", "vmin": "90"}),
        (errors.ParameterError, "vmin", {"color": "score", "vmin": 5, "vmax": 4}),
        (errors.ParameterError, "vcenter", {"color": "score", "vcenter": -4}),
        (errors.ParameterError, "palette", {"color": "group", "palette": ["red"]}),
        (errors.ParameterError, "dimensions", {"dimensions": (0, 2)}),
        (errors.ParameterError, "components", {"components": "one"}),
        (errors.ParameterError, "cmap", {"cmap": "magma", "color_map": "magma"}),
        (errors.ParameterError, "opacity", {"alpha": 2.0}),
        (errors.ParameterError, "title", {"color": ["score", "group"], "title": ["one"]}),
        (errors.ParameterError, "`ax`", {"color": ["score", "group"], "ax": plt.figure().add_subplot(111)}),
    ):
        with pytest.raises(kind, match=message):
            zs.pl.umap(embedded, **parameters)
    with pytest.raises(errors.MissingKeyError, match="tsne"):
        zs.pl.embedding(embedded, "tsne")
    with pytest.raises(TypeError):
        zs.pl.umap(embedded, edges=True)
    with pytest.raises(errors.ShapeError, match="points"):
        zs.arrays.raster_points(np.zeros(3))
    with pytest.raises(errors.ShapeError, match="codes"):
        zs.arrays.raster_points(np.zeros((3, 2)), ["red"], codes=[0])


def test_defaults_stand_once():
    import inspect

    rust = defaults("raster")
    python = {name: p.default for name, p in inspect.signature(zs.arrays.raster_points).parameters.items()}
    for name in ("width", "height", "radius", "opacity", "extent", "order", "seed"):
        assert python[name] == rust[name], name
    assert [round(255 * channel) for channel in python["background"]] == rust["background"]


def test_other_bases_by_name(embedded):
    rng = np.random.default_rng(1)
    for key in ("X_tsne", "X_diffmap", "X_draw_graph_fa"):
        embedded.obsm[key] = rng.normal(size=(300, 3))
    embedded.uns["draw_graph"] = {"params": {"layout": "fa"}}
    assert zs.pl.tsne(embedded, color="group").get_xlabel() == "tSNE1"
    assert zs.pl.diffmap(embedded, components="2,3").get_xlabel() == "DC2"
    assert zs.pl.draw_graph(embedded).get_ylabel() == "FA2"
    assert zs.pl.draw_graph(embedded, layout="fa", color="group").get_title() == "group"
    ax = zs.pl.tsne(embedded, size=200)
    assert all(at(ax, x, y)[3] == 255 for x, y in embedded.obsm["X_tsne"][:, :2])


def test_a_missing_basis_says_what_computes_it(small):
    for plot, maker in ((zs.pl.umap, "tl.umap"), (zs.pl.pca, "pp.pca"), (zs.pl.tsne, "tl.tsne"), (zs.pl.diffmap, "tl.diffmap")):
        with pytest.raises(errors.MissingKeyError, match=f"present: \\(nothing\\); run `{maker}` first"):
            plot(small)
    with pytest.raises(errors.MissingKeyError, match="draw_graph.*run `tl.draw_graph` first"):
        zs.pl.draw_graph(small)
    with pytest.raises(errors.MissingKeyError, match="draw_graph_fr.*run `tl.draw_graph` first"):
        zs.pl.draw_graph(small, layout="fr")


def test_panels_of_a_grid_keep_their_size_and_nothing_meets_or_is_cut(embedded):
    embedded.obs["long"] = pd.Categorical([f"a cell type with a long name {i % 3}" for i in range(300)])
    axes = zs.pl.umap(embedded, color=["long", "group", "score", "long", "gene0"], ncols=2)
    figure = axes[0].figure
    figure.draw_without_rendering()
    inches = [ax.get_position().size * figure.get_size_inches() for ax in axes]
    assert np.allclose(inches[0], inches[1]) and np.allclose(inches[0], inches[3])
    boxes = [ax.get_tightbbox() for ax in axes]
    for i, one in enumerate(boxes):
        assert one.x0 >= 0 and one.y0 >= 0 and one.x1 <= figure.bbox.width and one.y1 <= figure.bbox.height, i
        for other in boxes[i + 1 :]:
            assert not one.overlaps(other)
    single = zs.pl.umap(embedded, color="long")
    assert single.get_legend().get_window_extent().x1 <= single.figure.bbox.width
    wide = zs.pl.umap(embedded, color=["group", "long"], wspace=2.0)
    left, right = (ax.get_position() for ax in wide)
    assert right.x0 - left.x1 == pytest.approx(2 * left.width, rel=1e-6)


def test_nothing_is_cut_in_files_of_any_resolution(embedded):
    embedded.obs["long"] = pd.Categorical([f"a cell type with a rather long name {i % 3}" for i in range(300)])
    with plt.rc_context({"figure.autolayout": True}):
        for color in ("long", ["long", "score"]):
            figure = zs.pl.umap(embedded, color=color, return_fig=True)
            for dpi in (72, 100, 300):
                figure.dpi = dpi
                box, size = figure.get_tightbbox(), figure.get_size_inches()
                assert box.x0 > 0 and box.y0 > 0 and box.x1 < size[0] and box.y1 < size[1]


def test_groups_colour_categories_of_a_grid_and_leave_numbers_whole(embedded):
    axes = zs.pl.umap(embedded, color=["group", "gene0"], groups=["g2"], vmax="p99")
    assert [text.get_text() for text in axes[0].get_legend().get_texts()] == ["g2", "NA"]
    high = np.percentile(embedded.X[:, 0].toarray(), 99)
    assert axes[0].figure.axes[-1].get_ylim()[1] == pytest.approx(high)
    with pytest.raises(errors.ParameterError, match="groups"):
        zs.pl.umap(embedded, color="group", groups=[])


def test_names_on_the_data_do_not_cover_each_other(embedded):
    embedded.obs["long"] = pd.Categorical([f"a cell type with a long name {i % 7}" for i in range(300)])
    embedded.obs["alone"] = pd.Categorical(["the only name"] * 300)
    ax = zs.pl.umap(embedded, color="long", legend_loc="on data")
    assert len(ax.texts) == 7
    ax.figure.draw_without_rendering()
    frame = ax.get_window_extent()
    boxes = [text.get_window_extent() for text in ax.texts]
    for i, one in enumerate(boxes):
        assert frame.y0 - 1 <= one.y0 and one.y1 <= frame.y1 + 1
        assert not any(one.overlaps(other) for other in boxes[i + 1 :])
    assert ax.lines, "lines lead back to where names belong"
    apart = zs.pl.umap(embedded, color="group", legend_loc="on data")
    middles = [np.median(embedded.obsm["X_umap"][embedded.obs["group"] == name], axis=0) for name in ("g0", "g1", "g2")]
    assert np.allclose([text.get_position() for text in apart.texts], middles) and not apart.lines
    assert len(zs.pl.umap(embedded, color="alone", legend_loc="on data").texts) == 1


def test_limits_for_each_panel(embedded):
    axes = zs.pl.umap(embedded, color=["gene0", "gene1", "score"], vmin=[0, 1, None], vmax=["p90", 7, lambda v: v.max() / 2])
    bars = [ax for ax in axes[0].figure.axes if ax not in axes]
    high = np.percentile(embedded.X[:, 0].toarray(), 90)
    assert [bar.get_ylim() for bar in bars] == [(0, pytest.approx(high)), (1, 7), (0, 149.5)]
    with pytest.raises(errors.ParameterError, match="vmin"):
        zs.pl.umap(embedded, color=["gene0", "gene1"], vmin=[1, 2, 3])


def test_scanpy_draws_our_results(pbmc3k_log):
    import scanpy as sc

    adata = pbmc3k_log
    zs.pp.pca(adata, n_comps=20)
    zs.pp.neighbors(adata)
    zs.tl.leiden(adata)
    zs.tl.umap(adata, maxiter=50)
    axes = sc.pl.umap(adata, color=["leiden", "CD3D"], show=False)
    assert [ax.get_title() for ax in axes] == ["leiden", "CD3D"]
    assert sc.pl.pca(adata, color="leiden", show=False).get_title() == "leiden"
