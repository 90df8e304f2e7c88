"""Plots of genes by groups: every number that is drawn against a slow table, and bad input."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from matplotlib.colors import to_hex
from scipy.integrate import trapezoid
from scipy.stats import gaussian_kde
from zensaibo import errors
from zensaibo.pl._density import half_widths, shape
from zensaibo.pl._heatmap import apart

GENES = ["gene3", "gene7", "gene50"]
MARKERS = {"first": ["gene3", "gene7"], "second": ["gene50"], "third": ["gene3"]}
ALL = (zs.pl.dotplot, zs.pl.matrixplot, zs.pl.stacked_violin, zs.pl.heatmap, zs.pl.tracksplot)


@pytest.fixture
def grouped(small):
    """`small` with a category without cells, cells without a category, and NaN in a column of obs."""
    rng = np.random.default_rng(0)
    groups = np.array(["b", "a", "c"])[rng.integers(0, 3, 300)].astype(object)
    groups[:20] = np.nan
    small.obs["type"] = pd.Categorical(groups, categories=["b", "empty", "a", "c"])
    small.obs["score"] = rng.normal(size=300)
    small.obs.loc[small.obs_names[25:60], "score"] = np.nan
    small.obs["flag"] = rng.random(300) < 0.3
    yield small
    plt.close("all")


def slow(adata, names, groupby="type"):
    """Values as a data frame with one row for each cell that has a group."""
    columns = [adata.obs[n].to_numpy(float) if n in adata.obs else np.asarray(adata[:, n].X.todense()).ravel() for n in names]
    table = pd.DataFrame(np.column_stack(columns).astype(float), adata.obs_names, columns=names)
    return table[adata.obs[groupby].notna()].groupby(adata.obs[groupby].dropna(), observed=True)


def dots(axes):
    """Offsets, areas and values of the dots."""
    (found,) = axes["mainplot_ax"].collections
    return np.array(found.get_offsets()), found.get_sizes(), np.ma.filled(found.get_array(), np.nan)


def steps(track):
    """Heights of each group's cells."""
    (found,) = track.collections
    out = []
    for outline in found.get_paths():
        corners = outline.vertices[1:-2]
        assert (corners[::2, 1] == corners[1::2, 1]).all() and (np.diff(corners[:, 0])[::2] == 1).all()
        out.append(corners[::2, 1])
    return out


def labels(ax, axis="x"):
    return [text.get_text() for text in (ax.get_xticklabels() if axis == "x" else ax.get_yticklabels())]


@pytest.mark.parametrize("swap", [False, True])
@pytest.mark.parametrize("names", [GENES, ["gene3", "score", "gene7"]])
def test_dots_are_fractions_and_means(grouped, names, swap):
    axes = zs.pl.dotplot(grouped, names, "type", swap_axes=swap)
    groups = slow(grouped, names)
    share = groups.agg(lambda x: (x > 0).mean()).to_numpy()
    mean = groups.mean().to_numpy()
    places, area, shade = dots(axes)
    main = axes["mainplot_ax"]
    assert (labels(main, "x"), labels(main, "y")) == ((["b", "a", "c"], names) if swap else (names, ["b", "a", "c"]))
    high = np.ceil(share.max() * 10) / 10
    largest = area.max() / (share.max() / high) ** 1.5
    for (x, y), size, value in zip(places.astype(int), area, shade, strict=True):
        row, column = (x, y) if swap else (y, x)
        assert value == pytest.approx(mean[row, column], rel=1e-12)
        assert size == pytest.approx((share[row, column] / high) ** 1.5 * largest, rel=1e-12)
    assert axes["color_legend_ax"].get_xlim() == (pytest.approx(mean.min()), pytest.approx(mean.max()))
    assert labels(axes["size_legend_ax"])[-1] == f"{100 * high:g}"


def test_dots_with_cutoff_expressed_only_limits_and_scale(grouped):
    groups = slow(grouped, GENES)
    _, area, shade = dots(zs.pl.dotplot(grouped, GENES, "type", expression_cutoff=1, mean_only_expressed=True, dot_max=0.2, dot_min=0.05))
    share = groups.agg(lambda x: (x > 1).mean()).to_numpy().ravel()
    mean = groups.agg(lambda x: x[x > 1].mean() if (x > 1).any() else 0.0).to_numpy().ravel()
    assert np.allclose(shade, mean, rtol=1e-12)
    clipped = (np.clip(share, 0.05, 0.2) - 0.05) / 0.15
    assert (share > 0.2).any() and (share < 0.05).any(), "the data does not test dot_max"
    assert np.allclose(area, clipped**1.5 * area.max())
    _, area, _ = dots(zs.pl.dotplot(grouped, GENES, "type", expression_cutoff=-1))
    assert np.allclose(area, area[0]), "all values are above -1"
    for scale, axis in (("var", 0), ("group", 1)):
        _, _, shade = dots(zs.pl.dotplot(grouped, GENES, "type", standard_scale=scale))
        mean = groups.mean().to_numpy()
        mean = mean - mean.min(axis=axis, keepdims=True)
        assert np.allclose(shade, (mean / mean.max(axis=axis, keepdims=True)).ravel(), rtol=1e-12)
    _, _, shade = dots(zs.pl.dotplot(grouped, GENES, "type", log=True))
    assert np.allclose(shade, groups.agg(lambda x: np.log1p(x).mean()).to_numpy().ravel())


def test_numbers_are_scanpys(grouped):
    import scanpy as sc

    # scanpy's own plots stop at a category without cells.
    adata = grouped[grouped.obs["type"].notna()].copy()
    adata.obs["type"] = adata.obs["type"].cat.remove_unused_categories()
    for options in ({}, {"standard_scale": "var"}, {"log": True, "mean_only_expressed": True}, {"expression_cutoff": 1}):
        theirs = sc.pl.dotplot(adata, GENES, "type", return_fig=True, **options)
        _, area, shade = dots(zs.pl.dotplot(adata, GENES, "type", **options))
        assert np.allclose(shade, theirs.dot_color_df.to_numpy().ravel(), rtol=1e-6)
        high = np.ceil(theirs.dot_size_df.to_numpy().max() * 10) / 10
        sizes = (theirs.dot_size_df.to_numpy().ravel() / high) ** 1.5
        assert np.allclose(area / area.max(), sizes / sizes.max(), rtol=1e-12)
    for scale in (None, "var", "group"):
        theirs = sc.pl.stacked_violin(adata, GENES, "type", return_fig=True, standard_scale=scale)
        medians = theirs.obs_tidy.groupby(level=0, observed=True).median()
        axes = zs.pl.stacked_violin(adata, GENES, "type", standard_scale=scale)
        (found,) = axes["mainplot_ax"].collections
        assert np.allclose(found.get_array(), medians.to_numpy().T.ravel(), rtol=1e-6)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_numbers(grouped, layout):
    expected = dots(zs.pl.dotplot(grouped, [*GENES, "gene3"], "type"))
    grouped.X = LAYOUTS[layout](grouped.X)
    found = dots(zs.pl.dotplot(grouped, [*GENES, "gene3"], "type"))
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one, other, rtol=1e-12)


@pytest.mark.parametrize("swap", [False, True])
def test_the_matrix_shows_means(grouped, swap):
    axes = zs.pl.matrixplot(grouped, GENES, "type", swap_axes=swap)
    (mesh,) = axes["mainplot_ax"].collections
    mean = slow(grouped, GENES).mean().to_numpy()
    assert np.allclose(mesh.get_array(), mean.T if swap else mean, rtol=1e-12)
    table = pd.DataFrame(np.arange(12.0).reshape(3, 4), ["c", "b", "a"], [*GENES, "other"])
    (mesh,) = zs.pl.matrixplot(grouped, GENES, "type", values_df=table)["mainplot_ax"].collections
    assert mesh.get_array().tolist() == [[4, 5, 6], [8, 9, 10], [0, 1, 2]]
    _, _, shade = dots(zs.pl.dotplot(grouped, ["gene7", "gene7"], "type", dot_color_df=table))
    assert shade.tolist() == [5, 5, 9, 9, 1, 1]


def test_a_group_without_values_is_grey_in_the_matrix_and_nan_does_not_spread(grouped):
    grouped.obs.loc[grouped.obs["type"] == "a", "score"] = np.nan
    (mesh,) = zs.pl.matrixplot(grouped, ["score", "gene3"], "type")["mainplot_ax"].collections
    mean = slow(grouped, ["score", "gene3"]).mean().to_numpy()
    assert mesh.get_array().mask.tolist() == [[False, False], [True, False], [False, False]]
    assert np.allclose(mesh.get_array().compressed(), mean[~np.isnan(mean)])
    for plot in ALL:
        plot(grouped, ["score", "gene3"], "type")
        plot(grouped, ["score", "gene3"], "type", layer=None)


def test_brackets_stand_over_their_genes(grouped):
    axes = zs.pl.dotplot(grouped, MARKERS, "type")
    assert labels(axes["mainplot_ax"]) == ["gene3", "gene7", "gene50", "gene3"]
    brackets = axes["gene_group_ax"]
    assert [text.get_text() for text in brackets.texts] == ["first", "second", "third"]
    assert [text.get_position()[0] for text in brackets.texts] == [0.5, 2, 3]
    assert [(line.get_xdata()[0].round(), line.get_xdata()[-1].round()) for line in brackets.lines] == [(0, 1), (2, 2), (3, 3)]
    same = zs.pl.dotplot(
        grouped, ["gene3", "gene7", "gene50"], "type", var_group_positions=[(0, 1), (2, 2)], var_group_labels=["x", "y"]
    )
    assert [text.get_text() for text in same["gene_group_ax"].texts] == ["x", "y"]


def test_dendrogram_orders_groups_and_their_brackets(grouped):
    import scanpy as sc

    with pytest.raises(errors.MissingKeyError, match="dendrogram_type.*run `tl.dendrogram"):
        zs.pl.dotplot(grouped, GENES, "type", dendrogram=True)
    adata = grouped[grouped.obs["type"].notna()].copy()
    adata.obs["type"] = pd.Categorical([f"t{i % 5}" for i in range(adata.n_obs)])
    adata.X = adata.X.toarray() + np.arange(adata.n_obs)[:, None] % 5 * np.arange(120)[None] % 7
    sc.tl.dendrogram(adata, "type", use_rep="X")
    order = list(adata.uns["dendrogram_type"]["categories_ordered"])
    assert order != sorted(order), "the dendrogram does not test the order"
    genes = {f"t{i}": [f"gene{i}", f"gene{i + 10}"] for i in range(5)}
    for plot in ALL:
        axes = plot(adata, genes, "type", dendrogram=True)
        tree = axes.get("group_extra_ax", axes.get("dendrogram_ax"))
        (lines,) = tree.collections
        assert len(lines.get_segments()) == 4
        brackets = axes.get("gene_group_ax", axes.get("gene_groups_ax"))
        assert [text.get_text() for text in brackets.texts] == order
    axes = zs.pl.matrixplot(adata, genes, "type", dendrogram="dendrogram_type")
    assert labels(axes["mainplot_ax"], "y") == order
    assert labels(axes["mainplot_ax"]) == [gene for name in order for gene in genes[name]]
    (mesh,) = axes["mainplot_ax"].collections
    mean = pd.DataFrame(adata.X, columns=adata.var_names).groupby(adata.obs["type"].to_numpy()).mean()
    assert np.allclose(mesh.get_array(), mean.loc[order, labels(axes["mainplot_ax"])])
    # The tree's leaves lie at the rows: scipy's own drawing has leaf i at 5 + 10 i.
    (lines,) = axes["group_extra_ax"].collections
    assert np.allclose(np.array(lines.get_segments())[..., 1], (np.array(adata.uns["dendrogram_type"]["dendrogram_info"]["icoord"]) - 5) / 10)
    assert axes["group_extra_ax"].get_ylim() == axes["mainplot_ax"].get_ylim()
    with pytest.warns(UserWarning, match="brackets keep their order"):
        zs.pl.dotplot(adata, MARKERS, "type", dendrogram=True)
    adata.obs["type"] = adata.obs["type"].cat.rename_categories({"t0": "other"})
    with pytest.raises(errors.ShapeError, match="other.*run `tl.dendrogram` again"):
        zs.pl.dotplot(adata, GENES, "type", dendrogram=True)


def test_groups_from_several_columns_numbers_text_and_order(grouped):
    grouped.obs["text"] = np.where(np.arange(300) % 2, "y", "x")
    _, _, shade = dots(zs.pl.dotplot(grouped, GENES, ["type", "text"]))
    keys = grouped.obs["type"].astype(object) + "_" + grouped.obs["text"]
    keys = pd.Series(pd.Categorical(keys, ["b_x", "b_y", "a_x", "a_y", "c_x", "c_y"]), grouped.obs_names)
    grouped.obs["crossed"] = keys
    assert np.allclose(shade, slow(grouped, GENES, "crossed").mean().to_numpy().ravel())
    axes = zs.pl.dotplot(grouped, GENES, "score", num_categories=3)
    grouped.obs["cut"] = pd.cut(grouped.obs["score"], 3)
    assert np.allclose(dots(axes)[2], slow(grouped, GENES, "cut").mean().to_numpy().ravel())
    assert labels(axes["mainplot_ax"], "y") == list(map(str, grouped.obs["cut"].cat.categories))
    axes = zs.pl.matrixplot(grouped, GENES, "type", categories_order=["c", "b"])
    assert labels(axes["mainplot_ax"], "y") == ["c", "b"]
    assert np.allclose(axes["mainplot_ax"].collections[0].get_array(), slow(grouped, GENES).mean().loc[["c", "b"]])
    assert labels(zs.pl.dotplot(grouped, GENES, "flag")["mainplot_ax"], "y") == ["False", "True"]


def test_raw_layers_and_symbols(grouped):
    grouped.layers["double"] = grouped.X * 2
    grouped.raw = grouped.copy()
    grouped.X = grouped.X * 5
    grouped.var["symbol"] = [f"S{i}" for i in range(120)]
    raw = dots(zs.pl.dotplot(grouped, GENES, "type"))[2]
    assert np.allclose(dots(zs.pl.dotplot(grouped, GENES, "type", use_raw=False))[2], raw * 5)
    assert np.allclose(dots(zs.pl.dotplot(grouped, GENES, "type", layer="double"))[2], raw * 2)
    symbols = zs.pl.dotplot(grouped, ["S3", "S7", "S50"], "type", gene_symbols="symbol")
    assert np.allclose(dots(symbols)[2], raw)
    assert labels(symbols["mainplot_ax"]) == ["S3", "S7", "S50"]


def test_symbols_of_genes_that_only_raw_has(grouped):
    grouped.var["symbol"] = [f"S{i}" for i in range(120)]
    grouped.raw = grouped.copy()
    expected = dots(zs.pl.dotplot(grouped, GENES, "type"))[2]
    adata = grouped[:, 40:].copy()
    assert np.allclose(dots(zs.pl.dotplot(adata, ["S3", "S7", "S50"], "type", gene_symbols="symbol"))[2], expected)
    with pytest.raises(errors.MissingKeyError, match="`S3` not found in adata.obs or var"):
        zs.pl.dotplot(adata, ["S3"], "type", gene_symbols="symbol", use_raw=False)


def test_files_are_read_where_they_lie(grouped, tmp_path):
    import anndata as ad

    grouped.layers["double"] = grouped.X * 2
    expected = dots(zs.pl.dotplot(grouped, GENES, "type"))[2]
    top = labels(zs.pl.highest_expr_genes(grouped, n_top=5), "y")
    grouped.write_h5ad(tmp_path / "a.h5ad")
    backed = ad.read_h5ad(tmp_path / "a.h5ad", backed="r")
    assert np.allclose(dots(zs.pl.dotplot(backed, GENES, "type"))[2], expected)
    assert np.allclose(dots(zs.pl.dotplot(backed, GENES, "type", layer="double"))[2], 2 * expected)
    assert labels(zs.pl.highest_expr_genes(backed, n_top=5), "y") == top
    backed.file.close()


def test_densities_are_those_of_scipy():
    rng = np.random.default_rng(0)
    for values in (rng.normal(size=1000), rng.poisson(1.0, 500).astype(float), rng.exponential(size=50), np.array([0.0, 1, 5])):
        s = shape(values)
        exact = gaussian_kde(values)(s.at)
        assert (s.at[0], s.at[-1], s.members) == (values.min(), values.max(), len(values))
        assert np.abs(s.density - exact).max() < 0.005 * exact.max()
    assert shape(np.full(5, 2.0)).at.tolist() == [2.0] and shape(np.empty(0)).members == 0 and shape(np.array([1.0])).members == 1
    shapes = [shape(rng.normal(size=n)) for n in (200, 50)]
    assert [half.max() for half in half_widths(shapes, "width", 0.8)] == pytest.approx([0.4, 0.4])
    assert [half.max() for half in half_widths(shapes, "count", 0.8)] == pytest.approx([0.4, 0.1])
    areas = [trapezoid(half, s.at) for s, half in zip(shapes, half_widths(shapes, "area", 0.8), strict=True)]
    within = [trapezoid(s.density, s.at) for s in shapes]  # the tails beyond the ends are cut off
    assert areas[0] / within[0] == pytest.approx(areas[1] / within[1])


def test_violins_by_group(grouped):
    ax = zs.pl.violin(grouped, "score", "type", stripplot=False)
    (found,) = ax.collections
    parts = [part.dropna().to_numpy() for _, part in slow(grouped, ["score"])["score"]]
    assert labels(ax) == ["b", "a", "c"]
    for place, (outline, values) in enumerate(zip(found.get_paths(), parts, strict=True)):
        x, y = outline.vertices[:101].T
        assert (y.min(), y.max()) == (values.min(), values.max())
        exact = gaussian_kde(values)(y)
        assert np.abs((place - x) / 0.4 - exact / exact.max()).max() < 0.01
    assert [to_hex(color) for color in found.get_facecolors()] == [grouped.uns["type_colors"][i] for i in (0, 2, 3)]
    axes = zs.pl.violin(grouped, ["score", "gene3"], "type", order=["c", "a"], ylabel=["one", "two"], rotation=30)
    assert [ax.get_ylabel() for ax in axes] == ["one", "two"] and labels(axes[1]) == ["c", "a"]
    both = zs.pl.violin(grouped, ["score", "gene3", "score"])
    assert labels(both) == ["score", "gene3"]
    assert len(zs.pl.violin(grouped, ["score", "gene3"], multi_panel=True)) == 2


def test_points_of_a_violin_lie_at_their_values(grouped):
    grouped.obs["few"] = np.nan
    grouped.obs.loc[grouped.obs_names[[50, 51, 52]], "few"] = [1.0, 5.0, 9.0]
    ax = zs.pl.violin(grouped, "few", jitter=0.0, size=6)
    (picture,) = ax.get_images()
    alpha = picture.get_array()[..., 3]
    left, right, bottom, top = picture.get_extent()
    assert (left, right, bottom, top) == (*ax.get_xlim(), *ax.get_ylim())
    rows = np.flatnonzero(alpha.max(axis=1) > 150)
    heights = top - (rows + 0.5) / alpha.shape[0] * (top - bottom)
    runs = np.split(heights, np.flatnonzero(np.diff(rows) > 1) + 1)
    assert [run.mean() for run in runs] == pytest.approx([9, 5, 1], abs=0.05)
    columns = np.flatnonzero(alpha.max(axis=0) > 150)
    assert left + (columns.mean() + 0.5) / alpha.shape[1] * (right - left) == pytest.approx(0, abs=0.01)


def test_a_logarithmic_violin(grouped):
    with pytest.warns(UserWarning, match="values are not above 0"):
        ax = zs.pl.violin(grouped, "score", log=True)
    (found,) = ax.collections
    positive = grouped.obs["score"][grouped.obs["score"] > 0].to_numpy()
    x, y = found.get_paths()[0].vertices[:101].T
    assert ax.get_yscale() == "log" and (y.min(), y.max()) == pytest.approx((positive.min(), positive.max()))
    exact = gaussian_kde(np.log10(positive))(np.log10(y))
    assert np.abs(-x / 0.4 - exact / exact.max()).max() < 0.01


def test_stacked_violins_show_medians_and_shapes(grouped):
    names = [*GENES, "score"]
    axes = zs.pl.stacked_violin(grouped, names, "type")
    (found,) = axes["mainplot_ax"].collections
    groups = slow(grouped, names)
    assert np.allclose(found.get_array(), groups.median().to_numpy().T.ravel())
    low, high = groups.min().to_numpy().min(), groups.max().to_numpy().max()
    for number, outline in enumerate(found.get_paths()):
        gene, group = divmod(number, 3)
        values = groups.get_group("bac"[group])[names[gene]].dropna()
        level = (group + 0.45 - outline.vertices[:-1, 1]) / 0.9 * (high - low) + low
        assert (level.min(), level.max()) == pytest.approx((values.min(), values.max()), abs=1e-9)
        assert np.abs(outline.vertices[:, 0] - gene).max() == pytest.approx(0.45)
    swapped = zs.pl.stacked_violin(grouped, names, "type", swap_axes=True)["mainplot_ax"]
    assert (labels(swapped), labels(swapped, "y")) == (["b", "a", "c"], names)


@pytest.mark.parametrize("swap", [False, True])
def test_heatmap_shows_each_cell(grouped, swap):
    names = [*GENES, "score"]
    axes = zs.pl.heatmap(grouped, names, "type", swap_axes=swap)
    (picture,) = axes["heatmap_ax"].get_images()
    found = picture.get_array()
    found = (found.T if swap else found)[:, :: 800 // 4]
    expected = pd.concat([part for _, part in slow(grouped, names)]).to_numpy()
    assert np.allclose(found.filled(-99), np.nan_to_num(expected, nan=-99))
    strip = axes["groupby_ax"].get_images()[0]
    codes = strip.get_array().ravel()
    assert np.bincount(codes).tolist() == [len(part) for _, part in slow(grouped, names)]
    assert [to_hex(strip.cmap(i)) for i in range(3)] == [grouped.uns["type_colors"][i] for i in (0, 2, 3)]
    assert sorted(text.get_text() for text in axes["groupby_ax"].texts) == ["a", "b", "c"]


def test_heatmap_scales_as_scanpy(grouped):
    expected = pd.concat([part for _, part in slow(grouped, GENES)])
    everyone = pd.DataFrame(grouped[:, GENES].X.toarray().astype(float), columns=GENES)
    for scale in ("var", "group"):
        (picture,) = zs.pl.heatmap(grouped, GENES, "type", standard_scale=scale)["heatmap_ax"].get_images()
        if scale == "var":
            table = (expected - everyone.min()) / (everyone.max() - everyone.min())
        else:
            low = expected.min(axis=1)
            table = expected.sub(low, axis=0).div(expected.max(axis=1) - low, axis=0).fillna(0)
        assert np.allclose(picture.get_array()[:, :: 800 // 3][:, :3], table)


def test_many_cells_are_merged_within_their_group():
    import anndata as ad

    rng = np.random.default_rng(0)
    n = 9001
    adata = ad.AnnData(rng.poisson(1.0, (n, 4)).astype(np.float32))
    adata.obs["type"] = pd.Categorical(rng.choice(["a", "b", "c"], n, p=[0.6, 0.399, 0.001]))
    values = pd.DataFrame(adata.X.astype(float), columns=adata.var_names)
    rows, peaks, sizes = [], [], []
    for _, part in values.groupby(adata.obs["type"].to_numpy()):
        bins = np.arange(len(part)) // 5
        rows.append(part.groupby(bins).mean())
        peaks.append(part.groupby(bins).max())
        sizes.append(len(rows[-1]))
    (picture,) = zs.pl.heatmap(adata, list(adata.var_names), "type")["heatmap_ax"].get_images()
    assert np.allclose(picture.get_array()[:, ::200], pd.concat(rows))
    axes = zs.pl.tracksplot(adata, list(adata.var_names), "type")
    for j, track in enumerate(axes["track_axes"]):
        heights = steps(track)
        assert np.allclose(np.concatenate(heights), pd.concat(peaks).iloc[:, j])
        assert [len(part) for part in heights] == sizes
    plt.close("all")


def test_tracks_are_the_values_of_each_cell(grouped):
    axes = zs.pl.tracksplot(grouped, MARKERS, "type")
    names = [gene for genes in MARKERS.values() for gene in genes]
    assert [ax.get_ylabel() for ax in axes["track_axes"]] == names
    for name, ax in zip(names, axes["track_axes"], strict=True):
        for heights, (_, part) in zip(steps(ax), slow(grouped, [name]), strict=True):
            assert np.allclose(heights, part[name])
        assert [to_hex(color) for color in ax.collections[0].get_facecolors()] == [grouped.uns["type_colors"][i] for i in (0, 2, 3)]
        assert ax.get_ylim()[1] == slow(grouped, [name])[name].max().max()
    assert [text.get_text() for text in axes["gene_groups_ax"].texts] == list(MARKERS)


def test_labels_are_moved_apart_no_further_than_needed():
    assert apart(np.array([1.0, 5.0]), 1, 0, 10).tolist() == [1, 5]
    assert apart(np.array([5.0, 5.0, 5.0]), 1, 0, 10).tolist() == [4, 5, 6]
    assert apart(np.array([0.0, 0.0]), 1, 0, 10).tolist() == [0.5, 1.5]
    assert apart(np.array([9.9, 10.0]), 1, 0, 10).tolist() == pytest.approx([8.5, 9.5])
    assert apart(np.zeros(20), 1, 0, 10).tolist() == pytest.approx(list(np.arange(20) / 2 + 0.25))
    rng = np.random.default_rng(0)
    for _ in range(50):
        places = np.sort(rng.uniform(0, 10, 7))
        moved = apart(places, 0.9, 0, 10)
        assert (np.diff(moved) > 0.9 - 1e-9).all() and moved[0] >= 0.45 - 1e-9 and moved[-1] <= 9.55 + 1e-9


@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.__name__)
def test_inside_given_axes_and_in_figures_of_their_own(grouped, plot):
    figure, both = plt.subplots(1, 2, figsize=(14, 6))
    axes = plot(grouped, MARKERS, "type", ax=both[0])
    first = axes.get("mainplot_ax", axes.get("heatmap_ax", axes.get("track_axes", [None])[0]))
    outer, inner = both[0].get_window_extent(), first.get_window_extent()
    assert inner.x0 >= outer.x0 - 1 and inner.x1 <= outer.x1 + 1 and inner.width > 100
    assert figure.axes[:2] == list(both) and plt.get_fignums() == [figure.number]
    own = plot(grouped, {"a long label for few genes": ["gene3"], **MARKERS}, "type")
    figure = (own.get("mainplot_ax") or own.get("heatmap_ax") or own["track_axes"][0]).figure
    figure.dpi = 300
    box = figure.get_tightbbox()
    width, height = figure.get_size_inches()
    assert 0 <= box.x0 < 0.2 and 0 <= box.y0 < 0.2 and width - 0.2 < box.x1 <= width and height - 0.2 < box.y1 <= height
    sized = plot(grouped, GENES, "type", figsize=(7, 5))
    figure = (sized.get("mainplot_ax") or sized.get("heatmap_ax") or sized["track_axes"][0]).figure
    assert (figure.get_size_inches() > (6.5, 4.9)).all() and (figure.get_size_inches() < (8.5, 6.5)).all()
    with pytest.raises(errors.ParameterError, match="figsize"):
        plot(grouped, GENES, "type", figsize=(7, 5), ax=both[1])
    with pytest.raises(errors.ParameterError, match="figsize"):
        plot(grouped, GENES, "type", figsize=(0.5, 0.1))


@pytest.mark.parametrize("plot", ALL, ids=lambda plot: plot.__name__)
def test_bad_input_is_refused_by_name(grouped, plot):
    grouped.obs["words"] = "a"
    grouped.obs["nothing"] = np.nan
    grouped.obs["gene9"] = 1.0
    for kind, message, names, groupby, parameters in (
        (errors.MissingKeyError, "`Gene3` not found in adata.obs or adata.var_names; present: gene3", ["Gene3"], "type", {}),
        (errors.MissingKeyError, "`kind` not found in adata.obs; present: .*type", GENES, "kind", {}),
        (errors.MissingKeyError, "`gene9` is in both", ["gene9"], "type", {}),
        (errors.MissingKeyError, "`no` not found in adata.layers", GENES, "type", {"layer": "no"}),
        (errors.MissingKeyError, "adata.raw", GENES, "type", {"use_raw": True}),
        (errors.MissingKeyError, "`symbol` not found in adata.var", GENES, "type", {"gene_symbols": "symbol"}),
        (errors.DataError, "words.*expected numbers", ["words"], "type", {}),
        (errors.DataError, "nothing.*at least one number", GENES, "nothing", {}),
        (errors.DataError, "score.*expected categories to cross", GENES, ["type", "score"], {}),
        (errors.DataError, "score.*above -1", ["score"], "type", {"log": True}),
        (errors.ParameterError, "var_names", [], "type", {}),
        (errors.ParameterError, "groupby", GENES, [], {}),
        (errors.ParameterError, "num_categories", GENES, "score", {"num_categories": 0}),
        (errors.ParameterError, "var_group_positions", GENES, "type", {"var_group_positions": [(0, 1)]}),
        (errors.ParameterError, "first <= last", GENES, "type", {"var_group_positions": [(0, 9)], "var_group_labels": ["x"]}),
        (errors.ParameterError, "dict", MARKERS, "type", {"var_group_positions": [(0, 1)], "var_group_labels": ["x"]}),
    ):
        grouped.obs["score"] -= 5 if "above" in message else 0
        with pytest.raises(kind, match=message):
            plot(grouped, names, groupby, **parameters)
    with pytest.raises(errors.ParameterError, match="adata"):
        plot(None, GENES, "type")


def test_bad_input_of_single_plots(grouped):
    table = pd.DataFrame(0.0, ["a", "b"], GENES)
    for plot, message, parameters in (
        (zs.pl.dotplot, "dot_max", {"dot_max": 1.5}),
        (zs.pl.dotplot, "dot_min", {"dot_min": 0.9, "dot_max": 0.5}),
        (zs.pl.dotplot, "smallest_dot", {"smallest_dot": -1}),
        (zs.pl.dotplot, "norm", {"norm": matplotlib.colors.Normalize(0, 1), "vmax": 1}),
        (zs.pl.dotplot, "`c` not found in the index of `dot_color_df`", {"dot_color_df": table}),
        (zs.pl.matrixplot, "`c` not found in the index of `values_df`", {"values_df": table}),
        (zs.pl.matrixplot, "standard_scale", {"standard_scale": "obs"}),
        (zs.pl.matrixplot, "not found among the groups with cells; present: b, a, c", {"categories_order": ["empty"]}),
        (zs.pl.matrixplot, "each group once", {"categories_order": ["a", "a"]}),
        (zs.pl.stacked_violin, "density_norm", {"density_norm": "height"}),
        (zs.pl.heatmap, "standard_scale", {"standard_scale": "cell"}),
    ):
        with pytest.raises((errors.ParameterError, errors.MissingKeyError), match=message):
            plot(grouped, GENES, "type", **parameters)
    for message, parameters in (
        ("keys", {"keys": []}),
        ("nobody", {"keys": "nobody"}),
        ("jitter", {"jitter": 3}),
        ("size", {"size": 0}),
        ("density_norm", {"density_norm": "height"}),
        ("order", {"order": ["a"]}),
        ("`empty`", {"groupby": "type", "order": ["empty"]}),
        ("ylabel", {"ylabel": ["one", "two"]}),
        ("palette", {"groupby": "type", "palette": ["red"]}),
        ("ncols", {"ncols": 0}),
        ("`ax`", {"keys": ["score", "gene3"], "groupby": "type", "ax": plt.figure().add_subplot()}),
    ):
        with pytest.raises((errors.ParameterError, errors.MissingKeyError), match=message):
            zs.pl.violin(grouped, **{"keys": "score", **parameters})


def test_one_cell_and_one_group(grouped):
    one = grouped[100:101].copy()
    for plot in ALL:
        plot(one, MARKERS, "type")
    zs.pl.violin(one, ["gene3"], "type")
    constant = grouped.copy()
    constant.X = constant.X * 0
    _, area, shade = dots(zs.pl.dotplot(constant, GENES, "type"))
    assert not area.any() and not shade.any()
    for plot in ALL[1:]:
        plot(constant, GENES, "type")


def test_data_is_not_changed(grouped):
    before = grouped.copy()
    for plot in ALL:
        plot(grouped, MARKERS, "type", log=True)
    zs.pl.violin(grouped, ["gene3"], "type")
    assert (before.X != grouped.X).nnz == 0 and before.obs.equals(grouped.obs)
    assert set(grouped.uns) - set(before.uns) == {"type_colors"}
    view = before[:200]
    for plot in (zs.pl.heatmap, zs.pl.dotplot):
        plot(view, MARKERS, "type")
    assert view.is_view
