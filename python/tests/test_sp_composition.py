"""Types by region: a small atlas counted by hand, with its tree and sides; groups of animals."""

from __future__ import annotations

import anndata as ad
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
    """A whole of two parts, the first of which has parts of its own; the last axis runs from right to left."""
    ids = np.zeros((6, 8, 10), "u4")
    ids[:3, :4], ids[:3, 4:], ids[3:] = 11, 12, 20
    ids[:, :, 0] = 0
    table = pd.DataFrame(
        {
            "id": [1, 10, 11, 12, 20],
            "acronym": ["root", "A", "A1", "A2", "B"],
            "name": ["whole", "a", "a one", "a two", "b"],
            "parent_structure_id": [np.nan, 1, 10, 10, 1],
        }
    )
    return zs.im.load_atlas(annotation=ids, structures=table, spacing=(50.0, 20.0, 25.0), orientation="asr")


def typed(places, types, **columns):
    """Cells at voxels (z, y, x)."""
    obs = pd.DataFrame({"type": pd.Categorical(types), **columns}, index=[f"c{i}" for i in range(len(types))])
    cells = ad.AnnData(np.zeros((len(types), 0), np.float32), obs=obs)
    cells.obsm["spatial"] = (np.asarray(places, float) * [50, 20, 25])[:, ::-1].copy()
    return cells


def by_hand(**columns):
    places = [(0, 0, 2), (1, 2, 8), (2, 6, 8), (4, 1, 2), (5, 7, 3), (0, 1, 0), (0, 0, 99)]
    return typed(places, ["n", "n", "n", "n", "g", "g", "g"], **columns)


def test_cells_are_counted_at_every_level_and_on_both_sides(atlas):
    table = zs.sp.region_composition(by_hand(), "type", atlas=atlas)
    assert table.obs_names.tolist() == ["sample|g", "sample|n"] and table.var_names.tolist() == ["root", "A", "A1", "A2", "B"]
    count = table.to_df()
    assert count.loc["sample|n"].tolist() == [4, 3, 2, 1, 1] and count.loc["sample|g"].tolist() == [1, 0, 0, 0, 1]
    # Right is where x is small.
    right, left = (pd.DataFrame(table.layers[side], table.obs_names, table.var_names) for side in ("right", "left"))
    assert right.loc["sample|n"].tolist() == [2, 1, 1, 0, 1] and left.loc["sample|n"].tolist() == [2, 2, 1, 1, 0]
    assert (left + right == count).all(axis=None)
    assert table.layers["own"][1].tolist() == [0, 0, 2, 1, 1]
    voxel = 50 * 20 * 25 * 1e-9
    assert table.layers["volume"][0] == pytest.approx(np.array([6 * 8 * 9, 3 * 8 * 9, 3 * 4 * 9, 3 * 4 * 9, 3 * 8 * 9]) * voxel)
    assert table.layers["density"][1] == pytest.approx(count.loc["sample|n"].to_numpy() / table.layers["volume"][0])
    assert table.layers["share"][1] == pytest.approx([4 / 5, 1, 1, 1, 1 / 2])
    assert table.layers["of_type"][0] == pytest.approx([1 / 3, 0, 0, 0, 1 / 3])
    assert table.obs[["cells", "background", "outside", "lost"]].loc["sample|g"].tolist() == [3, 1, 1, 0]
    # All types together are what count_regions counts.
    whole = zs.im.count_regions(by_hand(), atlas)
    assert table.X.sum(axis=0).tolist() == whole["total_cells"].tolist()
    assert table.layers["left"].sum(axis=0).tolist() == whole["left_cell_count"].tolist()


def test_regions_from_a_column_are_the_same(atlas):
    cells = by_hand()
    zs.im.count_regions(cells, atlas)
    by_place = zs.sp.region_composition(cells, "type", atlas=atlas)
    del cells.obsm["spatial"]
    by_column = zs.sp.region_composition(cells, "type", atlas=atlas, region_key="region")
    for layer in (None, *by_place.layers):
        a, b = (table.X if layer is None else table.layers[layer] for table in (by_place, by_column))
        np.testing.assert_array_equal(a, b)
    pd.testing.assert_frame_equal(by_place.obs, by_column.obs)
    flat = zs.sp.region_composition(cells, "type", volumes={"A1": 0.5, "B": 2.0})
    assert flat.var_names.tolist() == ["A1", "A2", "B"] and (flat.var["parent_id"] == 0).all()
    assert flat.layers["density"][1, :1].tolist() == [4.0] and np.isnan(flat.layers["density"][1, 1])
    cells.obs["region"] = "Q"
    with pytest.raises(errors.DataError, match="'Q'"):
        zs.sp.region_composition(cells, "type", atlas=atlas, region_key="region")


def animals(atlas, factor, n=4, seed=0):
    """Two groups; type n is `factor` times as frequent in A1 of the treated."""
    rng = np.random.default_rng(seed)
    places, types, who, arms = [], [], [], []
    for animal in range(2 * n):
        treated = animal >= n
        for kind, (z, y) in (("n", ((0, 3), (0, 4))), ("n", ((0, 3), (4, 8))), ("n", ((3, 6), (0, 8))), ("g", ((0, 6), (0, 8)))):
            mean = 60 * (factor if treated and kind == "n" and y == (0, 4) else 1)
            count = rng.poisson(mean * rng.gamma(50, 1 / 50))
            drawn = np.column_stack([rng.integers(*z, count), rng.integers(*y, count), rng.integers(1, 10, count)])
            places.append(drawn)
            types += [kind] * count
            who += [f"m{animal}"] * count
            arms += ["drug" if treated else "control"] * count
    return typed(np.concatenate(places), types, animal=who, arm=pd.Categorical(arms, categories=["control", "drug"]))


def test_groups_are_compared_by_animals(atlas):
    cells = animals(atlas, 3.0)
    table = zs.sp.region_composition(cells, "type", atlas=atlas, sample_key="animal", sample_columns=["arm"])
    assert table.shape == (16, 5) and table.obs["arm"].tolist() == ["control"] * 8 + ["drug"] * 8
    found = zs.sp.compare_region_composition(table, "arm").set_index(["cell_type", "acronym"])
    hit = found.loc[("n", "A1")]
    assert hit["log2_fold_change"] == pytest.approx(np.log2(3), abs=0.4) and hit["fdr_all"] < 0.01 and hit["fdr_tree"] < 0.01
    assert found.loc[("n", "B"), "fdr_all"] > 0.05 and found.loc[("g", "A1"), "fdr_all"] > 0.05
    assert found.attrs["reference"] == "control" and found.attrs["left_out"] == []
    # One type by hand is the same table.
    alone = zs.im.compare_regions(table[table.obs["type"] == "n"].copy(), "arm")
    np.testing.assert_array_equal(alone["p_value"], found.loc["n"]["p_value"])
    share = zs.sp.compare_region_composition(table, "arm", offset="cells", types=["n"]).set_index("acronym")
    fair = table[(table.obs["type"] == "n") & (table.obs["arm"] == "drug")]
    every = table[table.obs["arm"] == "drug"].to_df().groupby(table.obs["sample"][table.obs["arm"] == "drug"], observed=True).sum()
    assert share.loc["A1", "density_group"] == pytest.approx(fair.to_df()["A1"].sum() / every["A1"].sum())
    few = zs.sp.compare_region_composition(table, "arm", min_cells=700)
    assert few["cell_type"].unique().tolist() == ["n"] and few.attrs["left_out"] == ["g"]
    with pytest.raises(errors.TooFewError, match="at least 1e"):
        zs.sp.compare_region_composition(table, "arm", min_cells=1e6)
    with pytest.raises(errors.ParameterError, match="offset"):
        zs.sp.compare_region_composition(table, "arm", offset="brain")
    with pytest.raises(errors.DataError, match="region_composition"):
        zs.sp.compare_region_composition(zs.im.region_table({"a": zs.im.count_regions(by_hand(), atlas)}))


def test_a_registration_of_each_animal(atlas):
    made = zs.datasets.phantom_organ(200, spacing=(12, 12, 12), atlas_spacing=20.0, seed=1)
    reg = zs.arrays.PointTransform.from_matrix(np.eye(4)).to_registration(
        made.atlas.annotation.shape, made.atlas.spacing, made.signal.shape, made.signal.spacing
    )
    cells = ad.AnnData(np.zeros((200, 0), np.float32), obs=pd.DataFrame({"type": ["a"] * 200, "who": ["x", "y"] * 100}, index=[f"c{i}" for i in range(200)]))
    cells.obsm["spatial"] = made.cells[["atlas_x", "atlas_y", "atlas_z"]].to_numpy()
    table = zs.sp.region_composition(cells, "type", atlas=made.atlas, registration={"x": reg, "y": reg}, sample_key="who")
    plain = zs.sp.region_composition(cells, "type", atlas=made.atlas, sample_key="who")
    np.testing.assert_array_equal(table.X, plain.X)
    np.testing.assert_allclose(table.layers["volume"], plain.layers["volume"], rtol=1e-3)
    # Half as large a sample: the volumes are those of the sample.
    half = zs.arrays.PointTransform.from_matrix(np.diag([2.0, 2, 2, 1])).to_registration(
        made.atlas.annotation.shape, made.atlas.spacing, made.signal.shape, made.signal.spacing
    )
    cells.obsm["spatial"][::2] /= 2
    both = zs.sp.region_composition(cells, "type", atlas=made.atlas, registration={"x": half, "y": reg}, sample_key="who")
    np.testing.assert_array_equal(both.X, plain.X)
    np.testing.assert_allclose(both.layers["volume"][0] * 8, both.layers["volume"][1], rtol=1e-3)
    with pytest.raises(errors.MissingKeyError, match="'y'"):
        zs.sp.region_composition(cells, "type", atlas=made.atlas, registration={"x": reg}, sample_key="who")


def test_bad_input_is_refused(atlas):
    cells = by_hand(animal=list("aabbabb"), arm=list("uvvvuvv"))
    with pytest.raises(errors.MissingKeyError, match="kind"):
        zs.sp.region_composition(cells, "kind", atlas=atlas)
    with pytest.raises(errors.DataError, match="one value for all cells"):
        zs.sp.region_composition(cells, "type", atlas=atlas, sample_key="animal", sample_columns=["arm"])
    with pytest.raises(errors.ParameterError, match="volumes"):
        zs.sp.region_composition(cells, "type", atlas=atlas, volumes={"A": 1.0})
    with pytest.raises(errors.MissingKeyError, match="region"):
        zs.sp.region_composition(cells, "type")
    del cells.obsm["spatial"]
    with pytest.raises(errors.MissingKeyError, match="spatial"):
        zs.sp.region_composition(cells, "type", atlas=atlas)


def test_pictures_of_composition(atlas):
    table = zs.sp.region_composition(animals(atlas, 2.0), "type", atlas=atlas, sample_key="animal")
    ax = zs.pl.region_composition(table)
    assert sorted(tick.get_text() for tick in ax.get_yticklabels()) == ["A1", "A2", "B"]
    # Shares of a region fill the bar.
    ends = {round(bar.get_y(), 3): 0.0 for bar in ax.patches}
    for bar in ax.patches:
        ends[round(bar.get_y(), 3)] += bar.get_width()
    assert list(ends.values()) == pytest.approx([1.0] * 3)
    heat = zs.pl.region_composition(table, value="density", kind="heat", structures=["A", "B"], samples="m0", types=["n"])
    of = table[table.obs_names == "m0|n"]
    assert np.asarray(heat.images[0].get_array()).ravel() == pytest.approx(of[:, ["A", "B"]].layers["density"].ravel())
    with pytest.raises(errors.MissingKeyError, match="q"):
        zs.pl.region_composition(table, types=["q"])
    with pytest.raises(errors.ParameterError, match="heat"):
        zs.pl.region_composition(table, value="of_type", kind="bars")
