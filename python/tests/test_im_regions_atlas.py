"""Atlases as BrainGlobe's version 3 stores them, ids of every type, halves, the tree."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import data_path

import zensaibo as zs
from zensaibo import errors

#: id, acronym, name, path of ids, colour. The largest id lies beyond what float32 tells apart.
ROWS = [
    (997, "root", "whole", [997], "FFFFFF"),
    (8, "a", "part a", [997, 8], "FF7080"),
    (484682512, "a1", 'a, "one"', [997, 8, 484682512], "1F9D5A"),
    (3, "NA", "a, two", [997, 8, 3], "00000F"),
    (5, "b", "part b", [997, 5], "268F45"),
]
IDS = np.tile(np.array([484682512, 3, 5, 8, 0, 5], dtype=np.uint32), (4, 6, 1))
TABLE = pd.DataFrame(
    {
        "id": [row[0] for row in ROWS],
        "acronym": [row[1] for row in ROWS],
        "name": [row[2] for row in ROWS],
        "structure_id_path": ["/" + "/".join(map(str, row[3])) + "/" for row in ROWS],
        "color_hex_triplet": [row[4] for row in ROWS],
    }
)


def small(**changes) -> zs.im.Atlas:
    parts = {"annotation": IDS, "structures": TABLE, "spacing": 39.0, "orientation": "asr", "name": "small", **changes}
    return zs.im.load_atlas(**parts)


def pyramid(path: Path, levels: list[np.ndarray], um: list[tuple[float, ...]]) -> None:
    """An OME-Zarr 0.5 as BrainGlobe writes it: Zarr v3, chunks of 128, scale and translation in millimetres."""
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(path, mode="w", zarr_format=3)
    datasets = []
    for number, (array, spacing) in enumerate(zip(levels, um, strict=True)):
        name = f"s{number}"
        made = group.create_array(name, shape=array.shape, dtype=array.dtype, chunks=(128, 128, 128))
        made[...] = array
        scale = [value / 1000 for value in spacing]
        shift = [round((value - first) / 2000, 9) for value, first in zip(spacing, um[0], strict=True)]
        transforms = [{"type": "scale", "scale": scale}, {"type": "translation", "translation": shift}]
        datasets.append({"path": name, "coordinateTransformations": transforms})
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets, "name": "/"}]}


def store(root: Path, *, values=None, symmetric: bool = True, version: str = "1_0", name: str = "tiny_mouse") -> Path:
    """A component store with an atlas of 25 and 50 um; the 50 um one is the second level of each pyramid."""
    shown = IDS if values is None else np.vectorize(lambda own: values.get(own, own))(IDS).astype(np.uint32)
    ids = [np.repeat(np.repeat(np.repeat(shown, 2, 0), 2, 1), 2, 2), shown]
    um = [(25.0,) * 3, (50.0,) * 3]
    image = [(np.arange(level.size) % 977).astype(np.uint16).reshape(level.shape) for level in ids]
    places = {
        "template": f"/templates/{name}-template/{version}",
        "annotation": f"/annotation-sets/{name}-annotation/{version}",
        "terminology": f"/terminologies/{name}-terminology/{version}",
    }
    pyramid(root / places["template"][1:] / "template.ome.zarr", image, um)
    pyramid(root / places["annotation"][1:] / "annotations_compressed.ome.zarr", ids, um)
    if not symmetric:
        halves = [np.full(level.shape, 2, np.uint8) for level in ids]
        for level in halves:
            level[:, : level.shape[1] // 3] = 1
        pyramid(root / places["annotation"][1:] / "hemispheres.ome.zarr", halves, um)
    folder = root / places["terminology"][1:]
    folder.mkdir(parents=True, exist_ok=True)
    pd.DataFrame(
        {
            "identifier": [row[0] for row in ROWS],
            "parent_identifier": pd.array([row[3][-2] if len(row[3]) > 1 else None for row in ROWS], dtype="UInt32"),
            "annotation_value": [(values or {}).get(row[0], row[0]) for row in ROWS],
            "name": [row[2] for row in ROWS],
            "abbreviation": [row[1] for row in ROWS],
            "color_hex_triplet": ["#" + row[4] for row in ROWS],
            "root_identifier_path": [row[3] for row in ROWS],
        }
    ).to_csv(folder / "terminology.csv", index=False)

    def component(key: str, **more) -> dict:
        return {"name": places[key].split("/")[2], "version": version.replace("_", "."), "location": places[key], **more}

    template, terminology = component("template"), component("terminology")
    for spacing, level in zip(um, ids, strict=True):
        location = f"/atlases/{name}_{spacing[0]:g}um/{version}"
        manifest = {
            "name": name,
            "location": location,
            "symmetric": symmetric,
            "resolution": list(spacing),
            "orientation": "asr",
            "version": version.replace("_", "."),
            "shape": list(level.shape),
            "additional_references": [],
            "terminology": terminology,
            "template": template,
            "annotation_set": component("annotation", template=template, terminology=terminology),
        }
        (root / location[1:]).mkdir(parents=True)
        (root / location[1:] / "manifest.json").write_text(json.dumps(manifest, indent=4))
    return root


def test_a_store_of_version_3(tmp_path):
    root = store(tmp_path)
    for path, name in [
        (root / "atlases/tiny_mouse_50um/1_0/manifest.json", None),
        (root / "atlases/tiny_mouse_50um/1_0", None),
        (root / "atlases/tiny_mouse_50um", None),
        (root, "tiny_mouse_50um"),
    ]:
        atlas = zs.im.load_atlas(path, name=name)
        assert (atlas.name, atlas.spacing, atlas.orientation) == ("tiny_mouse_50um", (50.0,) * 3, "asr")
        np.testing.assert_array_equal(atlas.annotation, IDS)
        assert atlas.template.shape == IDS.shape and atlas.template.dtype == np.uint16
        assert list(atlas.structures["acronym"]) == ["root", "a", "a1", "NA", "b"]
        assert list(atlas.structures["path"]) == list(TABLE["structure_id_path"])
        assert atlas.structures["name"][2] == 'a, "one"' and atlas.structures["rgb"][1] == (255, 112, 128)
    fine = zs.im.load_atlas(root, name="tiny_mouse_25um")
    assert fine.annotation.shape == tuple(2 * n for n in IDS.shape) and fine.spacing == (25.0,) * 3
    table = zs.im.count_regions(np.argwhere(fine.annotation > 0) * 25.0, fine)
    assert table["own_cell_count"].sum() == (fine.annotation > 0).sum()
    with pytest.raises(errors.ParameterError, match="tiny_mouse_25um, tiny_mouse_50um"):
        zs.im.load_atlas(root)
    with pytest.raises(errors.ParameterError, match="other_25um"):
        zs.im.load_atlas(root, name="other_25um")


def test_the_newest_version_and_halves_of_a_store(tmp_path):
    store(tmp_path, version="1_9")
    store(tmp_path, version="1_10", symmetric=False)
    atlas = zs.im.load_atlas(tmp_path / "atlases/tiny_mouse_50um")
    halves = np.full(IDS.shape, 2, np.uint8)
    halves[:, :2] = 1
    np.testing.assert_array_equal(atlas.hemispheres, halves)
    older = zs.im.load_atlas(tmp_path / "atlases/tiny_mouse_50um/1_9")
    assert (older.hemispheres[..., :3] == 2).all() and (older.hemispheres[..., 3:] == 1).all()


def test_values_that_stand_for_ids(tmp_path):
    values = {row[0]: number for number, row in enumerate(ROWS, start=1)}
    store(tmp_path, values=values)
    atlas = zs.im.load_atlas(tmp_path / "atlases/tiny_mouse_50um")
    np.testing.assert_array_equal(atlas.annotation, IDS)
    place = tmp_path / "terminologies/tiny_mouse-terminology/1_0/terminology.csv"
    table = pd.read_csv(place, keep_default_na=False)
    table.loc[4, "annotation_value"] = 77
    table.to_csv(place, index=False)
    with pytest.raises(errors.DataError, match=r"annotation_value, found \[5\]"):
        zs.im.load_atlas(tmp_path / "atlases/tiny_mouse_50um")
    table.loc[4, "annotation_value"] = 2
    table.to_csv(place, index=False)
    with pytest.raises(errors.DataError, match="every value once"):
        zs.im.load_atlas(tmp_path / "atlases/tiny_mouse_50um")


def test_a_store_with_something_missing(tmp_path):
    import shutil

    root = store(tmp_path)
    folder = root / "atlases/tiny_mouse_50um/1_0"
    manifest = json.loads((folder / "manifest.json").read_text())

    def refused(kind, match, **changes):
        (folder / "manifest.json").write_text(json.dumps({**manifest, **changes}))
        with pytest.raises(kind, match=match):
            zs.im.load_atlas(folder)

    refused(errors.FormatError, r"\[25\.0, 25\.0, 25\.0\]; \[50", resolution=[40.0] * 3)
    refused(errors.ShapeError, "shape that the atlas states", shape=[4, 6, 7])
    refused(errors.FormatError, "terminology.location", terminology={})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    voxels = root / "annotation-sets/tiny_mouse-annotation/1_0/annotations_compressed.ome.zarr/s1/c"
    shutil.move(voxels, voxels.with_name("away"))
    with pytest.raises(errors.FormatError, match="not downloaded"):
        zs.im.load_atlas(folder)
    shutil.move(voxels.with_name("away"), voxels)
    shutil.rmtree(root / "templates")
    assert zs.im.load_atlas(folder).template is None
    (root / "terminologies/tiny_mouse-terminology/1_0/terminology.csv").unlink()
    with pytest.raises(errors.FileError, match="terminology.csv"):
        zs.im.load_atlas(folder)
    with pytest.raises(errors.FileError, match="nowhere"):
        zs.im.load_atlas(root / "nowhere")
    with pytest.raises(errors.FormatError, match="folders of versions"):
        zs.im.load_atlas(root / "terminologies")


def test_ids_of_any_type():
    expected = zs.im.count_regions(np.argwhere(IDS > 0) * 39.0, small())
    # 484682512 = 16 x 30292657, so float32 happens to hold it; its neighbours it does not.
    narrow = np.where(IDS == 484682512, 9, IDS)
    nine = TABLE.assign(id=TABLE["id"].replace(484682512, 9), structure_id_path=TABLE["structure_id_path"].str.replace("484682512", "9"))
    for dtype in ("u4", "i4", "u8", "i8", ">u4", "f8"):
        table = zs.im.count_regions(np.argwhere(IDS > 0) * 39.0, small(annotation=IDS.astype(dtype)))
        pd.testing.assert_frame_equal(table, expected)
    for dtype in ("u2", "i2", "u4", "f4"):
        table = zs.im.count_regions(np.argwhere(IDS > 0) * 39.0, small(annotation=narrow.astype(dtype), structures=nine))
        np.testing.assert_array_equal(table["total_cells"], expected["total_cells"])
    with pytest.raises(errors.DataError, match="below 16777216.*484682496|below 16777216.*484682"):
        small(annotation=IDS.astype("f4"))
    with pytest.raises(errors.DataError, match="whole numbers, found 3.5"):
        small(annotation=np.where(IDS == 3, 3.5, IDS))
    with pytest.raises(errors.DataError, match="not finite"):
        small(annotation=np.where(IDS == 3, np.nan, IDS))
    with pytest.raises(errors.DataError, match="at least 0, found -3"):
        small(annotation=np.where(IDS == 3, -3, IDS.astype("i8")))
    huge = TABLE.assign(id=TABLE["id"] + 2**60, structure_id_path=[f"/{'/'.join(str(i + 2**60) for i in row[3])}/" for row in ROWS])
    atlas = small(annotation=np.where(IDS > 0, IDS.astype("u8") + 2**60, 0).astype("u8"), structures=huge)
    assert atlas.structures["id"][2] == 484682512 + 2**60 and atlas.mask(3 + 2**60).sum() == 24


def test_parts_that_disagree():
    with pytest.raises(errors.DataError, match="template.*spacing"):
        small(template=zs.im.open(np.zeros(IDS.shape, "u2"), 40.0))
    small(template=zs.im.open(np.zeros(IDS.shape, "u2"), 39.0))
    with pytest.raises(errors.ShapeError, match="hemispheres"):
        small(hemispheres=np.ones((4, 6, 5), np.uint8))
    with pytest.raises(errors.DataError, match="hemispheres.*257"):
        small(hemispheres=np.full(IDS.shape, 257))
    with pytest.raises(errors.DataError, match="every id once"):
        small(structures=pd.concat([TABLE, TABLE.iloc[:1]]))
    loop = TABLE.drop(columns="structure_id_path").assign(parent_structure_id=[np.nan, 484682512, 8, 8, 997])
    with pytest.raises(errors.DataError, match="part of itself"):
        small(structures=loop)
    with pytest.raises(errors.DataError, match=r"3 \(24 voxels\)"):
        small(structures=TABLE.drop(index=3))
    several = TABLE.drop(columns="structure_id_path").assign(parent_structure_id=[np.nan, np.nan, 8, 8, 997])
    assert any("part of no other: root, a" in remark for remark in small(structures=several).remarks)


def test_the_tree():
    atlas = small()
    assert atlas.descendants("root") == ["a", "a1", "NA", "b"] and atlas.descendants("b") == []
    assert atlas.ancestors("a1") == ["root", "a"] and atlas.ancestors(997) == []
    own = np.array([[1.0, 2.0], [3, 4], [5, 6], [7, 8], [9, 10]])
    np.testing.assert_array_equal(atlas.roll_up(own), [[25, 30], [15, 18], [5, 6], [7, 8], [9, 10]])
    with pytest.raises(errors.ShapeError, match="5 structures"):
        atlas.roll_up([1.0])
    assert atlas.mask("a, two").sum() == atlas.mask("NA").sum() == 24
    twice = small(structures=TABLE.assign(acronym=["root", "a", "x", "x", "b"]))
    with pytest.raises(KeyError, match="2 structures"):
        twice.mask("x")
    assert twice.mask(3).sum() == 24


def test_halves_run_along_the_left_right_axis():
    for orientation, axis in [("asr", 2), ("ras", 0), ("arp", 1)]:
        if orientation == "arp":
            orientation = "ars"
        halves = small(orientation=orientation).hemispheres
        first = np.take(halves, range(IDS.shape[axis] // 2), axis)
        assert (first == 2).all() and (halves == 1).sum() * 2 == halves.size
        mirrored = small(orientation=orientation.replace("r", "l")).hemispheres
        np.testing.assert_array_equal(mirrored, 3 - halves)


def test_the_allen_atlas_at_25_um():
    folder = data_path("allen_ccf_mouse_atlas")
    stored = np.asarray(zs.im.open(folder / "annotation_25_reoriented.nrrd"))
    ids = np.ascontiguousarray(stored.transpose(1, 0, 2)[::-1, ::-1])
    atlas = zs.im.load_atlas(
        annotation=ids, structures=folder / "structure_tree_safe_2017.csv", spacing=25.0, orientation="asr", name="allen_25um"
    )
    assert atlas.annotation.shape == (528, 320, 456)
    halves = atlas.hemispheres
    assert halves.dtype == np.uint8 and (halves[..., :228] == 2).all() and (halves[..., 228:] == 1).all()
    # The hippocampal formation with all its parts, against the mask.
    table = zs.im.count_regions(np.zeros((0, 3)), atlas).set_index("acronym")
    assert np.isclose(table.loc["HPF", "total_volume_mm3"], atlas.mask("HPF").sum() * 0.025**3)
    assert "CA1" in atlas.descendants("HPF") and atlas.ancestors("CA1")[0] == "root"
