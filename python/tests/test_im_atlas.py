"""Atlases and cells per structure: nothing lost, nothing wrapped, nothing rounded; the real Allen atlas."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import zensaibo as zs
from conftest import data_path
from zensaibo import errors

TABLE = pd.DataFrame(
    {
        "id": [997, 8, 484682512, 3, 5],
        "acronym": ["root", "a", "a1", "a2", "b"],
        "name": ["whole", "part a", "a, one", "a, two", "part b"],
        "structure_id_path": ["/997/", "/997/8/", "/997/8/484682512/", "/997/8/3/", "/997/5/"],
        "color_hex_triplet": ["FFFFFF", "FF7080", "1F9D5A", "0", "268F45"],
    }
)
IDS = np.tile(np.array([484682512, 3, 5, 8, 0, 5], dtype=np.uint32), (4, 5, 1))


def small(**changes) -> zs.im.Atlas:
    parts = {"annotation": IDS, "structures": TABLE, "spacing": 39.0, "orientation": "asr", "name": "small", **changes}
    return zs.im.load_atlas(**parts)


def test_an_identity_on_39_um_stays_one():
    atlas = small()
    centres = np.argwhere(IDS > 0) * 39.0
    table = zs.im.count_regions(centres, atlas)
    own = dict(zip(table["acronym"], table["own_cell_count"], strict=True))
    assert own == {"root": 0, "a": 20, "a1": 20, "a2": 20, "b": 40}
    total = dict(zip(table["acronym"], table["total_cells"], strict=True))
    assert total == {"root": 100, "a": 60, "a1": 20, "a2": 20, "b": 40}
    np.testing.assert_allclose(table["total_volume_mm3"], table["total_cells"] * 39e-3**3)
    np.testing.assert_allclose(table["cells_per_mm3"], 39e-3**-3)
    assert (table["left_cell_count"] + table["right_cell_count"] == table["total_cells"]).all()
    # The first half of the axis that begins on the right is the right half.
    assert table.set_index("acronym").loc["a1", "right_cell_count"] == 20
    assert list(atlas.structures["path"]) == list(TABLE["structure_id_path"])
    assert atlas.structures["rgb"][1] == (255, 112, 128)
    assert atlas.mask("a").sum() == 60 and atlas.mask(5).sum() == 40
    with pytest.raises(KeyError, match="'zz'"):
        atlas.mask("zz")
    assert set(np.unique(atlas.hemispheres[IDS > 0])) == {1, 2} and (atlas.hemispheres[..., :2] == 2).all()


def test_no_cell_is_lost():
    rng = np.random.default_rng(3)
    points = rng.uniform(-300, 500, (5000, 3))
    points[::97] = np.nan
    cells = ad.AnnData(np.zeros((5000, 1), "f4"), obsm={"spatial": points[:, ::-1].copy()})
    table = zs.im.count_regions(cells, small())
    assert table.attrs["cells"] == 5000 and table.attrs["lost"] == np.isnan(points).any(axis=1).sum()
    assert table["own_cell_count"].sum() + sum(table.attrs[key] for key in ("background", "outside", "lost")) == 5000
    voxel = np.floor(points / 39 + 0.5)
    outside = ~((voxel >= 0) & (voxel < IDS.shape)).all(axis=1) & ~np.isnan(points).any(axis=1)
    assert table.attrs["outside"] == outside.sum() > 0
    assert (cells.obs["region"][outside] == "outside").all() and (cells.obs["region_id"][outside] == 0).all()
    inside = ~outside & ~np.isnan(points).any(axis=1)
    expected = IDS[tuple(voxel[inside].astype(int).T)]
    np.testing.assert_array_equal(cells.obs["region_id"][inside], expected)
    assert (cells.obs["hemisphere"][inside & (cells.obs["region_id"] > 0)] != "none").all()
    again = zs.im.count_regions(points, small(), threads=1)
    pd.testing.assert_frame_equal(table, again)


def test_a_brainglobe_folder(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "annotation.tiff", IDS, photometric="minisblack")
    tifffile.imwrite(tmp_path / "reference.tiff", np.arange(IDS.size, dtype=np.uint16).reshape(IDS.shape), photometric="minisblack")
    halves = np.ones(IDS.shape, np.uint8)
    halves[:2] = 2
    tifffile.imwrite(tmp_path / "hemispheres.tiff", halves, photometric="minisblack")
    rows = [
        {"id": int(row.id), "acronym": row.acronym, "name": row.name_, "rgb_triplet": [1, 2, 3], "structure_id_path": [int(s) for s in row.structure_id_path.split("/") if s]}
        for row in TABLE.rename(columns={"name": "name_"}).itertuples()
    ]
    (tmp_path / "structures.json").write_text(json.dumps(rows))
    metadata = {"name": "tiny", "resolution": [39.0, 39.0, 39.0], "orientation": "asr", "symmetric": False}
    (tmp_path / "metadata.json").write_text(json.dumps(metadata))
    atlas = zs.im.load_atlas(tmp_path)
    assert atlas.name == "tiny" and atlas.spacing == (39.0,) * 3 and atlas.template.shape == IDS.shape
    np.testing.assert_array_equal(atlas.annotation, IDS)
    table = zs.im.count_regions(np.argwhere(IDS > 0) * 39.0, atlas)
    assert (table["left_cell_count"] == table["right_cell_count"]).all()
    with pytest.raises(errors.ParameterError, match="template"):
        zs.im.load_atlas(tmp_path, template=IDS)
    (tmp_path / "metadata.json").write_text(json.dumps({"name": "tiny"}))
    with pytest.raises(errors.FormatError, match="resolution"):
        zs.im.load_atlas(tmp_path)
    (tmp_path / "metadata.json").unlink()
    with pytest.raises(errors.FormatError, match="metadata.json"):
        zs.im.load_atlas(tmp_path)


def test_parts_that_disagree_are_named():
    with pytest.raises(errors.ParameterError, match="both or neither"):
        zs.im.load_atlas()
    # What float32 makes of an id is another id.
    with pytest.raises(errors.DataError, match="48468249|484682496"):
        small(annotation=IDS.astype(np.float32).astype(np.uint32))
    with pytest.raises(errors.DataError, match="float32 cannot tell"):
        small(annotation=IDS.astype(np.float32))
    with pytest.raises(errors.DataError, match="at least 0"):
        small(annotation=-IDS.astype(np.int64))
    with pytest.raises(errors.ShapeError, match="template"):
        small(template=np.zeros((4, 5, 5)))
    with pytest.raises(errors.DataError, match="hemispheres"):
        small(hemispheres=np.zeros(IDS.shape, np.uint8))
    with pytest.raises(errors.DataError, match="every parent"):
        small(structures=TABLE.iloc[[0, 2, 3, 4]])
    with pytest.raises(errors.DataError, match="acronym"):
        small(structures=TABLE.drop(columns="acronym"))
    with pytest.raises(errors.DataError, match="line 3.*hexadecimal"):
        small(structures=TABLE.assign(color_hex_triplet=["FFFFFF", "GG0000", "0", "0", "0"]))
    with pytest.raises(errors.ParameterError, match="orientation"):
        small(orientation=None)
    with pytest.raises(errors.ShapeError, match="places"):
        zs.im.count_regions(np.zeros((3, 2)), small())


def test_the_allen_atlas_and_a_registration():
    folder = data_path("allen_ccf_mouse_atlas")
    atlas = zs.im.load_atlas(
        annotation=folder / "annotation_100.nii.gz",
        template=folder / "average_template_100.nii.gz",
        structures=folder / "structure_tree_safe_2017.csv",
    )
    assert len(atlas.structures) == 1327
    rng = np.random.default_rng(0)
    extent = (np.array(atlas.annotation.shape) - 1) * 100.0
    points = rng.uniform(-0.1, 1.1, (200_000, 3)) * extent
    table = zs.im.count_regions(points, atlas).set_index("acronym")
    assert abs(table.loc["root", "total_volume_mm3"] - 505) < 1
    assert table["own_cell_count"].sum() + sum(table.attrs[key] for key in ("background", "outside", "lost")) == 200_000
    assert abs(table.loc["root", "left_volume_mm3"] / table.loc["root", "right_volume_mm3"] - 1) < 0.02
    children = table[table["parent_id"] == table.loc["root", "id"]]
    assert children["total_cells"].sum() + table.loc["root", "own_cell_count"] == table.loc["root", "total_cells"]
    # A sample twice as large along each axis: the same cells, volumes eight times as large.
    shape = atlas.annotation.shape
    affine = np.hstack([2 * np.eye(3), [[30.0], [20.0], [10.0]]])
    still = np.zeros((3, 3, 3, 3), np.float32)
    core = zs._core.Registration(still, tuple(extent / 2), affine, (shape, atlas.spacing), (shape, (200.0,) * 3), "{}")
    moved = zs.im.count_regions(2 * points + [30, 20, 10], atlas, zs.im.Registration(core)).set_index("acronym")
    np.testing.assert_array_equal(moved["total_cells"], table["total_cells"])
    np.testing.assert_allclose(moved["total_volume_mm3"], 8 * table["total_volume_mm3"], rtol=1e-6)
