"""OME-Zarr as others see it: the schemas of the specification, ome-zarr-models, zarr-python, tensorstore, ome-zarr-py and the
reader of napari, on images and labels of both versions."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import zensaibo as zs

RANDOM = np.random.default_rng(0)
SPACING = (5.0, 2.0, 2.0)


#: Groups that `write_all` writes.
NODES = ("", "labels", "labels/cells", "labels/halves")
GOLDEN = Path(__file__).parent / "golden" / "ome_zarr" / "attributes.json"


def write_all(path: Path, version: str) -> tuple[np.ndarray, np.ndarray]:
    """An image of time points and channels with two sets of labels; its array and the first labels."""
    array = RANDOM.integers(0, 4000, (2, 3, 20, 70, 90)).astype(np.uint16)
    volume = zs.im.open(array)
    volume = zs.im.Volume(volume._core.described(SPACING, (10.0, 4.0, 6.0), 30.0, "psl", ["nuclei", "membrane", "other"]))
    zs.im.write(volume, path, version=version, chunk=(8, 32, 32), levels=3)
    labels = (array[:, 0] // 500).astype(np.uint32)
    # An array knows neither spacing nor place: that of the image is taken.
    zs.im.write(zs.im.open(labels, axes="tzyx"), path, labels=True, name="cells")
    zs.im.write(zs.im.open(labels // 2, axes="tzyx"), path, labels=True, name="halves")
    return array, labels


@pytest.fixture(params=["0.4", "0.5"])
def written(request, tmp_path):
    """What `write_all` writes; its array, the labels, the version."""
    path = tmp_path / "brain.ome.zarr"
    return path, *write_all(path, request.param), request.param


def attributes(path: Path) -> dict:
    if (path / "zarr.json").exists():
        return json.loads((path / "zarr.json").read_text())["attributes"]
    return json.loads((path / ".zattrs").read_text())


def multiscale(path: Path) -> dict:
    found = attributes(path)
    return found.get("ome", found)["multiscales"][0]


def test_labels_lie_where_their_image_lies(written):
    path, array, labels, version = written
    image, cells = multiscale(path), multiscale(path / "labels" / "cells")
    assert len(cells["datasets"]) == len(image["datasets"]) == 3
    drop = [axis["name"] for axis in image["axes"]].index("c")
    for ours, theirs in zip(cells["datasets"], image["datasets"], strict=True):
        for mine, other in zip(ours["coordinateTransformations"], theirs["coordinateTransformations"], strict=True):
            values = list(other[other["type"]])
            del values[drop]
            assert mine[mine["type"]] == values
    assert [axis for axis in image["axes"] if axis["name"] != "c"] == cells["axes"]
    volume = zs.im.open(path / "labels" / "cells")
    assert (volume.spacing, volume.origin, volume.time_step, volume.orientation) == (SPACING, (10.0, 4.0, 6.0), 30.0, "psl")
    np.testing.assert_array_equal(np.asarray(volume), labels)
    listed = attributes(path / "labels")
    assert sorted(listed.get("ome", listed)["labels"]) == ["cells", "halves"]
    for name in ("cells", "halves"):
        block = attributes(path / "labels" / name)
        assert block.get("ome", block)["image-label"]["source"] == {"image": "../../"}
    # What says its own spacing keeps it; what has another extent is not taken to lie there.
    zs.im.write(labels[0], path, labels=True, name="own", spacing=(1, 1, 1), levels=1)
    assert zs.im.open(path / "labels" / "own").spacing == (1, 1, 1)
    zs.im.write(labels[0, ::2], path, labels=True, name="thin", levels=1)
    assert zs.im.open(path / "labels" / "thin").spacing is None
    assert np.asarray(zs.im.open(path)).tobytes() == array.tobytes(), "labels leave the image as it was"


def test_metadata_are_those_that_schemas_and_models_accepted(written):
    path, _, _, version = written
    golden = json.loads(GOLDEN.read_text())[version]
    assert {node: attributes(path / node) for node in NODES} == golden


def test_the_schemas_of_the_specification_accept_it(written):
    """JSON schemas of NGFF 0.4 and 0.5, as ngff-zarr carries them."""
    ngff_zarr = pytest.importorskip("ngff_zarr", reason="ngff-zarr is not installed")
    pytest.importorskip("jsonschema", reason="jsonschema is not installed")
    path, _, _, version = written
    ngff_zarr.validate(attributes(path), version=version, model="image")
    for name in ("cells", "halves"):
        ngff_zarr.validate(attributes(path / "labels" / name), version=version, model="image")
        ngff_zarr.validate(attributes(path / "labels" / name), version=version, model="label")
    wrong = json.loads(json.dumps(attributes(path)))
    wrong.get("ome", wrong)["multiscales"][0].pop("datasets")
    with pytest.raises(Exception, match="datasets"):
        ngff_zarr.validate(wrong, version=version, model="image")


def test_ome_zarr_models_accept_it(written):
    pytest.importorskip("ome_zarr_models", reason="ome-zarr-models is not installed")
    import zarr
    from ome_zarr_models import v04, v05

    path, _, _, version = written
    models = v04 if version == "0.4" else v05
    image = models.Image.from_zarr(zarr.open_group(path, mode="r"))
    assert image.labels is not None
    label = models.ImageLabel.from_zarr(zarr.open_group(path / "labels" / "cells", mode="r"))
    axes = (label.attributes.ome if version == "0.5" else label.attributes).multiscales[0].axes
    assert [axis.name for axis in axes] == list("tzyx")


def test_zarr_python_and_tensorstore_read_every_level(written):
    zarr = pytest.importorskip("zarr")
    path, array, labels, version = written
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], array)
    np.testing.assert_array_equal(group["labels/cells/0"][...], labels)
    tensorstore = pytest.importorskip("tensorstore", reason="tensorstore is not installed")
    for place in ["0", "1", "2", "labels/cells/0", "labels/halves/2"]:
        kind = "zarr" if version == "0.4" else "zarr3"
        store = tensorstore.open({"driver": kind, "kvstore": {"driver": "file", "path": str(path / place)}}).result()
        np.testing.assert_array_equal(store.read().result(), group[place][...])


def test_ome_zarr_py_shows_image_and_labels(written):
    pytest.importorskip("ome_zarr", reason="ome-zarr-py is not installed")
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    path, array, labels, _ = written
    nodes = list(Reader(parse_url(path))())
    assert len(nodes) >= 3, "an image and two sets of labels"
    image = nodes[0]
    assert len(image.data) == 3 and [axis["name"] for axis in image.metadata["axes"]] == list("tczyx")
    np.testing.assert_array_equal(np.asarray(image.data[0]), array)
    assert image.metadata["coordinateTransformations"][0][0] == {"type": "scale", "scale": [30.0, 1.0, *SPACING]}
    assert image.metadata["channel_names"] == ["nuclei", "membrane", "other"]
    found = {node.metadata["name"]: np.asarray(node.data[0]) for node in nodes[1:] if node.data}
    assert any(np.array_equal(part.reshape(labels.shape), labels) for part in found.values()), list(found)


def test_the_reader_of_napari_makes_layers(written):
    pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    from napari_ome_zarr._reader import napari_get_reader

    path, array, labels, _ = written
    layers = napari_get_reader(str(path))(str(path))
    kinds = [layer[2] if len(layer) > 2 else "image" for layer in layers]
    assert kinds.count("image") == 1 and kinds.count("labels") == 2
    data, metadata, *_ = layers[kinds.index("image")]
    np.testing.assert_array_equal(np.asarray(data[0]), array)
    assert metadata["channel_axis"] == 1 and list(metadata["scale"])[-3:] == list(SPACING)
    data, metadata, *_ = layers[kinds.index("labels")]
    assert list(np.squeeze(metadata["scale"]))[-3:] == list(SPACING)
    assert np.asarray(data[0]).size == labels.size


def test_what_others_write_is_read(tmp_path):
    """Images and labels by ome-zarr-py, in the versions that it writes."""
    pytest.importorskip("ome_zarr", reason="ome-zarr-py is not installed")
    import zarr
    from ome_zarr import format as formats
    from ome_zarr.writer import write_image, write_labels

    array = RANDOM.integers(0, 4000, (12, 60, 70)).astype(np.uint16)
    labels = (array // 400).astype(np.uint16)
    about = {"axes": list("zyx"), "scale_factors": [2, 4]}
    for number, layout in enumerate([formats.FormatV04(), formats.FormatV05()]):
        path = tmp_path / f"{number}.ome.zarr"
        root = zarr.open_group(path, mode="w", zarr_format=layout.zarr_format)
        write_image(array, root, fmt=layout, **about)
        write_labels(labels, root, name="cells", fmt=layout, **about)
        for place, expected in [(path, array), (path / "labels" / "cells", labels)]:
            volume = zs.im.open(place)
            assert volume.axes == "zyx" and volume.spacing is None, "it names no unit"
            np.testing.assert_array_equal(np.asarray(volume), expected)
            assert zs.im.open(place, level=1).shape[1:] == (30, 35)
        zs.im.write(labels, path, labels=True, name="ours")
        found = attributes(path / "labels")
        assert found.get("ome", found)["labels"] == ["cells", "ours"], "those of others stay in the list"
