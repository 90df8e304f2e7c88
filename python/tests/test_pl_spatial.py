"""Pictures of tissue: what lies where, in which colours, to which scale; what cannot be drawn is named."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import anndata as ad
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import Rectangle

import zensaibo as zs
from zensaibo.errors import MissingKeyError, NonFiniteError, ParameterError, ShapeError

from conftest import data_path


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


def tissue(dimensions: int = 2, n: int = 40) -> ad.AnnData:
    rng = np.random.default_rng(0)
    adata = ad.AnnData(rng.poisson(2.0, (n, 3)).astype(np.float32))
    adata.var_names = ["g0", "g1", "g2"]
    adata.obsm["spatial"] = rng.uniform(0, 1000, (n, dimensions))
    adata.obs["kind"] = pd.Categorical(np.where(np.arange(n) % 2, "odd", "even"))
    adata.obs["section"] = pd.Categorical(np.where(np.arange(n) < n // 2, "one", "two"))
    adata.obs["depth"] = np.linspace(0, 9, n)
    adata.uns["spatial_space"] = {"name": "sample", "unit": "micrometer"}
    return adata


def pixels_of(figure) -> np.ndarray:
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3].astype(int)


def at(ax, x: float, y: float, picture: np.ndarray) -> np.ndarray:
    column, row = ax.transData.transform([x, y])
    return picture[picture.shape[0] - 1 - round(row), round(column)]


def test_cells_lie_where_they_are_with_y_downwards_and_square_units():
    adata = ad.AnnData(np.ones((3, 1), np.float32))
    adata.obsm["spatial"] = np.array([[0.0, 0.0], [800.0, 0.0], [0.0, 300.0]])
    adata.obs["kind"] = pd.Categorical(["a", "b", "c"])
    ax = zs.pl.spatial(
        adata, color="kind", palette=["#ff0000", "#00ff00", "#0000ff"], size=60, legend_loc=None, scale_bar=False
    )
    picture = pixels_of(ax.figure)
    assert [at(ax, *place, picture).tolist() for place in adata.obsm["spatial"]] == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]
    bottom, top = ax.get_ylim()
    assert bottom > top
    box = ax.get_window_extent()
    assert box.width / abs(np.diff(ax.get_xlim())[0]) == pytest.approx(box.height / (bottom - top))
    # A disc of 60 across: inside coloured, beyond white.
    assert at(ax, 25, 0, picture).tolist() == [255, 0, 0] and at(ax, 36, 0, picture).tolist() == [255, 255, 255]
    up = zs.pl.spatial(adata, color="kind", invert_y=False)
    assert up.get_ylim()[0] < up.get_ylim()[1]


def test_a_bar_has_a_round_length_and_the_unit_of_the_coordinates():
    def bar(**options):
        ax = zs.pl.spatial(tissue(), **options)
        patch = next(patch for patch in ax.patches if isinstance(patch, Rectangle))
        return patch.get_width(), [text.get_text() for text in ax.texts]

    assert bar() == (200.0, ["200 µm"])
    assert bar(scale_bar=1000.0) == (1000.0, ["1 mm"])
    assert bar(unit="pixel") == (200.0, ["200 px"]) and bar(unit="unit")[1] == ["200"]
    assert not zs.pl.spatial(tissue(), scale_bar=False).patches
    with pytest.raises(ParameterError, match="furlong"):
        bar(unit="furlong")
    odd = tissue()
    odd.uns["spatial_space"] = {"unit": "parsec"}
    with pytest.raises(ParameterError, match="parsec"):
        zs.pl.spatial(odd)
    for length in (0, -3.0, np.inf):
        with pytest.raises(ParameterError, match="scale_bar"):
            bar(scale_bar=float(length))


def test_each_library_has_its_panel_to_one_scale_with_one_range_of_colours():
    adata = tissue()
    adata.obsm["spatial"][20:] *= 0.5
    axes = zs.pl.spatial(adata, color=["kind", "depth"], library_key="section")
    assert [ax.get_title() for ax in axes] == ["one · kind", "two · kind", "one · depth", "two · depth"]
    assert len({round(float(abs(np.diff(ax.get_xlim())[0]) / ax.get_window_extent().width), 6) for ax in axes}) == 1
    legends = [ax.get_legend() for ax in axes]
    assert [legend is not None for legend in legends] == [False, True, False, False]
    assert [text.get_text() for text in legends[1].get_texts()] == ["even", "odd"]
    bars = [ax for ax in axes[0].figure.axes if ax not in axes]
    assert len(bars) == 1 and bars[0].get_ylim() == (0.0, 9.0)
    only = zs.pl.spatial(adata, color="kind", library_key="section", library_id="two")
    assert only.get_title() == "two · kind"
    with pytest.raises(MissingKeyError, match="three"):
        zs.pl.spatial(adata, library_key="section", library_id="three")
    with pytest.raises(ParameterError, match="library_id"):
        zs.pl.spatial(adata, library_id="one")


def test_the_image_lies_under_the_cells():
    adata = tissue(n=4)
    adata.obsm["spatial"] = np.array([[0.0, 0.0], [190.0, 0.0], [0.0, 90.0], [190.0, 90.0]])
    image = np.ones((10, 20, 3))
    image[2, 15] = (1, 0, 0)
    adata.uns["spatial"] = {
        "slide": {
            "images": {"hires": image, "lowres": np.zeros((5, 10))},
            "scalefactors": {"tissue_hires_scalef": 0.1, "spot_diameter_fullres": 4.0},
        }
    }
    ax = zs.pl.spatial(adata, color="kind", legend_loc=None)
    picture = pixels_of(ax.figure)
    # Pixel (2, 15) of the image is the square of 10 around x = 150, y = 20.
    assert at(ax, 150, 20, picture).tolist() == [255, 0, 0] and at(ax, 158, 20, picture).tolist() == [255, 255, 255]
    assert len(zs.pl.spatial(adata, img=False).images) == 1
    cut = zs.pl.spatial(adata, crop=(100, 200, 0, 50), scale_bar=False)
    assert cut.get_xlim() == (100.0, 200.0) and cut.get_ylim() == (50.0, 0.0)
    with pytest.raises(MissingKeyError, match="fullres"):
        zs.pl.spatial(adata, img_key="fullres")
    with pytest.raises(MissingKeyError, match="tissue_lowres_scalef"):
        zs.pl.spatial(adata, img_key="lowres")
    with pytest.raises(MissingKeyError, match="images"):
        zs.pl.spatial(tissue(), img=True)
    with pytest.raises(ParameterError, match="crop"):
        zs.pl.spatial(adata, crop=(3, 1, 0, 1))


def test_three_dimensions_are_seen_from_where_one_says_near_cells_over_far_ones():
    adata = ad.AnnData(np.ones((4, 1), np.float32))
    adata.obsm["spatial"] = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 100.0], [-300.0, -300.0, 50.0], [300.0, 300.0, 50.0]])
    adata.obs["kind"] = pd.Categorical(["low", "high", "other", "other"], categories=["low", "high", "other"])
    colors = {"color": "kind", "palette": ["#ff0000", "#0000ff", "#00ff00"], "legend_loc": None, "scale_bar": False, "size": 20}
    above = zs.pl.spatial(adata, view=(90, 0), **colors)
    assert at(above, 0, 0, pixels_of(above.figure)).tolist() == [0, 0, 255]
    below = zs.pl.spatial(adata, view=(-90, 0), **colors)
    assert at(below, 0, 0, pixels_of(below.figure)).tolist() == [255, 0, 0]
    side = zs.pl.spatial(adata, view=(0, 0), **colors)
    picture = pixels_of(side.figure)
    # Seen from the side, z is up: 50 to either side of the middle.
    assert at(side, 0, 50, picture).tolist() == [0, 0, 255] and at(side, 0, -50, picture).tolist() == [255, 0, 0]
    flat = zs.pl.spatial(tissue(3), dimensions=(0, 2), frameon=True)
    assert (flat.get_xlabel(), flat.get_ylabel()) == ("x (µm)", "z (µm)")
    assert {text.get_text() for text in zs.pl.spatial(tissue(3), scale_bar=False).texts} == {"x", "y", "z"}
    for options, word in (
        ({"dimensions": (0, 3)}, "dimensions"),
        ({"crop": (0, 1, 0, 1)}, "crop"),
        ({"img": True}, "img"),
        ({"view": "top"}, "view"),
    ):
        with pytest.raises(ParameterError, match=word):
            zs.pl.spatial(tissue(3), **options)


def test_what_cannot_be_drawn_is_named():
    adata = tissue(3)
    adata.obsm["spatial"][5:, 2] = np.nan
    with pytest.raises(NonFiniteError, match="two and of three dimensions mixed"):
        zs.pl.spatial(adata)
    adata.obsm["four"] = np.zeros((40, 4))
    with pytest.raises(ShapeError, match="four"):
        zs.pl.spatial(adata, spatial_key="four")
    with pytest.raises(MissingKeyError, match="nothing"):
        zs.pl.spatial(tissue(), color="nothing")
    with pytest.raises(MissingKeyError, match="neither"):
        zs.pl.spatial(tissue(), color="kind", groups="neither")
    for options, word in (
        ({"size": 0}, "size"),
        ({"img_alpha": 2}, "img_alpha"),
        ({"legend_loc": "far"}, "legend_loc"),
        ({"color": []}, "color"),
    ):
        with pytest.raises(ParameterError, match=word):
            zs.pl.spatial(tissue(), **options)
    one = tissue(n=1)
    assert zs.pl.spatial(one, color="kind").get_title() == "kind"
    same = tissue(n=3)
    same.obsm["spatial"][:] = 5.0
    zs.pl.spatial(same, color="depth").figure.canvas.draw()


def test_tables_and_curves_show_the_numbers():
    adata = tissue(n=200)
    zs.sp.spatial_neighbors_knn(adata)
    share = zs.pl.niches(adata, "section", "kind").images[0].get_array()
    np.testing.assert_allclose(share, pd.crosstab(adata.obs["section"], adata.obs["kind"], normalize="index"))
    near = zs.pl.niches(adata, "section", "kind", connectivity_key="spatial_connectivities").images[0].get_array()
    np.testing.assert_allclose(near.sum(axis=1), 1.0)
    zs.sp.spatially_variable_genes(adata)
    bars = zs.pl.spatially_variable_genes(adata, n_genes=2).patches
    np.testing.assert_allclose([bar.get_width() for bar in bars], adata.uns["spatially_variable_genes"]["share"][:2])
    zs.sp.spatial_autocorr(adata)
    assert zs.pl.spatially_variable_genes(adata, key="moranI").get_xlabel() == "Moran's I"


def test_pairs_are_drawn_in_the_tissue():
    adata = tissue(n=100)
    zs.sp.spatial_neighbors_knn(adata)
    zs.sp.bivariate(adata, [("g0", "g1"), ("g1", "g2")], n_perms=9)
    axes = zs.pl.bivariate(adata)
    assert {ax.get_title() for ax in axes} == {"g0^g1", "g1^g2"}
    cats = zs.pl.bivariate(adata, "g0^g1", value="cats")
    assert {text.get_text() for text in cats.get_legend().get_texts()} <= {
        "both low",
        "apart",
        "both high",
    } and "g0^g1_colors" not in adata.uns
    assert zs.pl.bivariate(adata, "g0^g1", value="pvals", library_key="section", library_id="one").get_title() == "one · g0^g1"
    with pytest.raises(MissingKeyError, match="g2\\^g0"):
        zs.pl.bivariate(adata, "g2^g0")
    with pytest.raises(MissingKeyError, match="bivariate_lee"):
        zs.pl.bivariate(adata, key="bivariate_lee")
    with pytest.raises(ParameterError, match="color"):
        zs.pl.bivariate(adata, color="kind")


def test_conditions_are_drawn_by_sample():
    adata = tissue(n=240)
    adata.obs["sample"] = pd.Categorical([f"s{i % 6}" for i in range(240)])
    adata.obs["condition"] = pd.Categorical(["well" if i % 6 < 3 else "ill" for i in range(240)])
    zs.sp.spatial_neighbors_knn(adata, library_key="sample")
    zs.sp.compare_conditions(adata, "condition", "sample", cluster_key="kind", conditions=["well", "ill"])
    ax = zs.pl.compare_conditions(adata)
    table = adata.uns["nhood_enrichment_comparison"].pivot(index="label", columns="neighbor", values="difference")
    np.testing.assert_array_equal(ax.images[0].get_array(), table)
    zs.sp.compare_conditions(adata, "condition", "sample", statistic="spatial_autocorr", conditions=["well", "ill"])
    ax = zs.pl.compare_conditions(adata, key="spatial_autocorr_comparison", n_top=2)
    drawn = [line.get_xdata() for line in ax.lines if line.get_marker() == "o"]
    samples, first = adata.uns["spatial_autocorr_comparison_samples"], adata.uns["spatial_autocorr_comparison"]["gene"].iloc[0]
    np.testing.assert_array_equal(drawn[0], samples.loc[samples["condition"] == "well", first])
    assert len(drawn) == 4


def test_real_tissue_is_drawn(tmp_path):
    adata = ad.read_h5ad(data_path("spatial_mouse_olfactory_bulb/mob.h5ad"))
    figure = zs.pl.spatial(adata, color=["layer", "Penk"], return_fig=True, save=tmp_path / "bulb.png")
    assert (tmp_path / "bulb.png").stat().st_size > 10_000 and len(figure.axes) == 3
