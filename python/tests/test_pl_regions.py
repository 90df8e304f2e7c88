"""Pictures of atlases: what is drawn where, in which colours; what cannot be drawn is named."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from zensaibo import errors


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture
def atlas():
    ids = np.zeros((6, 8, 10), "u4")
    ids[1:5, 1:7, 1:5], ids[1:5, 1:7, 5:9] = 2, 3
    table = pd.DataFrame(
        {
            "id": [1, 2, 3],
            "acronym": ["root", "a", "b"],
            "name": ["whole", "one", "two"],
            "parent_structure_id": [np.nan, 1, 1],
            "color_hex_triplet": ["FFFFFF", "FF0000", "0000FF"],
        }
    )
    template = (ids > 0).astype("u2") * 100
    return zs.im.load_atlas(annotation=ids, template=template, structures=table, spacing=(50.0, 20.0, 25.0), orientation="asr")


def cells(atlas, n, seed=0):
    rng = np.random.default_rng(seed)
    held = np.argwhere(atlas.annotation > 0)
    return held[rng.integers(0, len(held), n)] * np.array(atlas.spacing)


def test_bars_of_both_sides(atlas):
    table = zs.im.count_regions(cells(atlas, 900), atlas)
    ax = zs.pl.regions(table, atlas=atlas, value="cells")
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(table.iloc[1:].sort_values("total_cells", ascending=False)["acronym"])
    rows = table.set_index("acronym")
    order = [tick.get_text() for tick in ax.get_yticklabels()]
    widths = [bar.get_width() for bar in ax.patches]
    assert widths == [*(-rows.loc[order, "left_cell_count"].astype(float)), *rows.loc[order, "right_cell_count"]]
    assert ax.patches[order.index("a")].get_facecolor()[:3] == (1, 0, 0)
    ax = zs.pl.regions(table, structures=["root", "b"], sides=False, value="density")
    np.testing.assert_allclose([bar.get_width() for bar in ax.patches], rows.loc[["root", "b"], "cells_per_mm3"])


def test_bars_of_groups(atlas):
    tables = {f"m{k}": zs.im.count_regions(cells(atlas, 100 * k, k), atlas) for k in (1, 2, 3, 4)}
    adata = zs.im.region_table(tables, dict(m1="x", m2="x", m3="y", m4="y"))
    ax = zs.pl.regions(adata, structures=["root"], value="cells")
    assert [bar.get_width() for bar in ax.patches] == [150, 350]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["x", "y"]
    assert sorted(x for line in ax.lines for x in line.get_xdata()) == [100, 200, 300, 400]
    adata.obs["sex"] = list("fmfm")
    assert [bar.get_width() for bar in zs.pl.regions(adata, structures="root", value="cells", groupby="sex").patches] == [200, 300]
    with pytest.raises(errors.MissingKeyError, match="'age'"):
        zs.pl.regions(adata, groupby="age")


def test_bad_bars(atlas):
    table = zs.im.count_regions(cells(atlas, 9), atlas)
    for kind, match, more in [
        (errors.ParameterError, "value", {"value": "size"}),
        (errors.ParameterError, "at least 1", {"structures": 0}),
        (errors.MissingKeyError, "'zz'", {"structures": ["zz"]}),
    ]:
        with pytest.raises(kind, match=match):
            zs.pl.regions(table, **more)
    with pytest.raises(errors.DataError, match="count_regions"):
        zs.pl.regions(pd.DataFrame({"x": [1]}))


def length(figure, number=0):
    """Length of the outlines in micrometres."""
    lines = np.array(figure.axes[number].collections[0].get_segments())
    return np.abs(lines[:, 0] - lines[:, 1]).sum()


def test_outlines_and_pictures(atlas):
    figure = zs.pl.atlas_slices(atlas, at=[0.0, 100.0])
    assert [ax.get_title() for ax in figure.axes] == ["z = 0 um", "z = 100 um"]
    # Around 8 x 6 voxels of 25 x 20 um, and between the two.
    assert len(figure.axes[0].collections[0].get_segments()) == 0
    assert length(figure, 1) == 2 * (8 * 25 + 6 * 20) + 6 * 20
    assert length(zs.pl.atlas_slices(atlas, at=[100.0], depth=0)) == 2 * (8 * 25 + 6 * 20)
    assert length(zs.pl.atlas_slices(atlas, at=[100.0], structures=["a"])) == 2 * (4 * 25 + 6 * 20)
    assert length(zs.pl.atlas_slices(atlas, axis="x", at=[50.0])) == 2 * (4 * 50 + 6 * 20)
    assert length(zs.pl.atlas_slices(atlas, axis="y", at=[60.0], structures=["b"])) == 2 * (4 * 50 + 4 * 25)
    density = zs.im.density_volume(cells(atlas, 500), atlas, radius=40.0)
    figure = zs.pl.atlas_slices(atlas, density, at=3, columns=2, fill=True, label="cells per mm3")
    assert len(figure.axes) == 4 and figure.axes[3].get_ylabel() == "cells per mm3"
    grey, painted, over = figure.axes[0].images
    assert grey.get_array().shape == (8, 10) and over.get_extent() == [-12.5, 237.5, 150.0, -10.0]
    assert np.ma.count_masked(over.get_array()) == (np.asarray(density)[2] == 0).sum()
    # Index 0 along x lies right, and right is right.
    np.testing.assert_allclose(painted.get_array()[3, 7], [1, 0, 0, 0.55])
    np.testing.assert_allclose(painted.get_array()[3, 2], [0, 0, 1, 0.55])
    signed = np.where(atlas.annotation == 2, -2.0, 3.0)
    figure = zs.pl.atlas_slices(atlas, signed, at=[100.0], vmin=-3, vmax=3, cmap="RdBu_r", background=signed * 0 + 1)
    assert figure.axes[0].images[1].get_clim() == (-3, 3)


@pytest.mark.parametrize("view", ["coronal", "sagittal", "horizontal"])
def test_slices_are_upright_whatever_the_order_of_the_axes(atlas, view):
    table = atlas.structures.assign(parent_structure_id=[np.nan, 1, 1])[["id", "acronym", "name", "parent_structure_id"]]
    ids = atlas.annotation.copy()
    ids[2, 2, 2], ids[1:3, 1, 6] = 3, 2  # the same from no other side
    at = {"coronal": [100.0], "sagittal": [150.0], "horizontal": [20.0]}[view]

    def picture(array, um, orientation, at):
        made = zs.im.load_atlas(annotation=array, template=array * 10, structures=table, spacing=um, orientation=orientation)
        figure = zs.pl.atlas_slices(made, axis=view, at=at)
        return np.asarray(figure.axes[0].images[0].get_array()), [text.get_text() for text in figure.axes[0].texts]

    expected, letters = picture(ids, (50.0, 20.0, 25.0), "asr", at)
    assert letters == {"coronal": list("SILR"), "sagittal": list("SIAP"), "horizontal": list("APLR")}[view]
    # By hand: rows from the upper side down, from the left side to the right.
    plain = {"coronal": ids[2][:, ::-1], "sagittal": ids[:, :, 6].T, "horizontal": ids[:, 1][:, ::-1]}[view]
    assert np.array_equal(expected, plain * 10) and (plain > 0).any()
    opposite = dict(zip("asrpil", "pilasr", strict=True))
    for order in ([2, 1, 0], [1, 2, 0], [0, 2, 1]):
        array, um = ids.transpose(order), [(50.0, 20.0, 25.0)[place] for place in order]
        letters_of = ["asr"[place] for place in order]
        for axis in (0, 2):
            array, letters_of[axis] = np.flip(array, axis), opposite[letters_of[axis]]
        along = next(place for place in range(3) if letters_of[place] in {"coronal": "ap", "sagittal": "lr", "horizontal": "is"}[view])
        flipped = letters_of[along] not in "asr"
        there = [(array.shape[along] - 1) * um[along] - place if flipped else place for place in at]
        found, sides = picture(np.ascontiguousarray(array), um, "".join(letters_of), there)
        assert np.array_equal(found, expected) and sides == letters, letters_of


def test_bad_slices(atlas):
    for kind, match, more in [
        (errors.ParameterError, "axis", {"axis": "w"}),
        (errors.ParameterError, "0 to 250 um along z, found 300", {"at": [300.0]}),
        (errors.ParameterError, "at least 1 slice", {"at": 0}),
        (errors.ParameterError, "found none", {"at": []}),
        (errors.ShapeError, "volume.*grid of atlas", {"volume": np.zeros((2, 2, 2))}),
        (errors.ParameterError, "depth", {"depth": -1}),
        (errors.ParameterError, "columns", {"columns": 0}),
        (KeyError, "'zz'", {"structures": ["zz"]}),
    ]:
        with pytest.raises(kind, match=match):
            zs.pl.atlas_slices(atlas, **more)
