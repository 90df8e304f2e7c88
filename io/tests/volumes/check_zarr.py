"""Checks OME-Zarr images that zensaibo wrote, with zarr-python: the voxels, every coarser level against numpy, and the
metadata against the OME-NGFF specification (with ome-zarr-models too, where that is installed).

Run by the tests of the io crate: `check.json` in the folder given says what was written; voxels lie beside as .raw.
"""

import json
import sys
from pathlib import Path

import numpy as np
import zarr

folder = Path(sys.argv[1])


def mean(array, steps):
    """Mean over up to 2 voxels along each axis that is halved, rounded half up."""
    whole = array.dtype.kind in "ui"
    total = array.astype("i8" if whole else "f8")
    count = np.ones(array.shape, "i8")
    for axis, step in enumerate(steps):
        if step == 2:
            pad = [(0, total.shape[a] % 2 if a == axis else 0) for a in range(total.ndim)]
            total, count = np.pad(total, pad), np.pad(count, pad)
            shape = total.shape[:axis] + (total.shape[axis] // 2, 2) + total.shape[axis + 1:]
            total, count = total.reshape(shape).sum(axis + 1), count.reshape(shape).sum(axis + 1)
    out = (total + count // 2) // count if whole else total / count
    return out.astype(array.dtype)


def mode(array, steps):
    out = np.empty([-(-n // s) for n, s in zip(array.shape, steps)], array.dtype)
    for at in np.ndindex(*out.shape):
        part = array[tuple(slice(i * s, i * s + s) for i, s in zip(at, steps))].ravel()
        values, first, counts = np.unique(part, return_index=True, return_counts=True)
        best = counts == counts.max()
        out[at] = values[best][np.argmin(first[best])]
    return out


for case in json.loads((folder / "check.json").read_text()):
    path = folder / case["path"]
    version, axes = case["version"], case["axes"]
    raw = np.fromfile(folder / case["raw"], case["dtype"]).reshape(case["shape"])
    array = raw.reshape([n for axis, n in zip("tczyx", raw.shape) if axis in axes])
    root = zarr.open_group(str(path), mode="r")
    assert root.metadata.zarr_format == (2 if version == "0.4" else 3), case
    attrs = dict(root.attrs)
    if version == "0.5":
        attrs = attrs["ome"]
        assert attrs["version"] == "0.5"
    (multiscale,) = attrs["multiscales"]
    assert version == "0.5" or multiscale["version"] == "0.4"
    assert [axis["name"] for axis in multiscale["axes"]] == list(axes)
    kinds = {"t": "time", "c": "channel"}
    assert [axis["type"] for axis in multiscale["axes"]] == [kinds.get(axis, "space") for axis in axes]
    if case["spacing"]:
        assert all(axis["unit"] == "micrometer" for axis in multiscale["axes"] if axis["type"] == "space")
    datasets = multiscale["datasets"]
    assert len(datasets) == case["levels"], (case, len(datasets))
    previous, before = array, None
    for level, dataset in enumerate(datasets):
        node = root[dataset["path"]]
        first, *rest = dataset["coordinateTransformations"]
        assert first["type"] == "scale" and len(first["scale"]) == len(axes)
        assert len(rest) <= 1 and all(step["type"] == "translation" and len(step["translation"]) == len(axes) for step in rest)
        assert str(node.dtype) == case["dtype"] and node.ndim == len(axes)
        if version == "0.5":
            assert list(node.metadata.dimension_names) == list(axes)
            if case["shards"]:
                assert node.shards is not None and all(s % c == 0 for s, c in zip(node.shards, node.chunks))
        scale = np.array(first["scale"])
        shift = np.array(rest[0]["translation"]) if rest else np.zeros(len(axes))
        if level == 0:
            space = dict(zip("zyx", case["spacing"] or [1, 1, 1]))
            assert np.allclose(scale, [space.get(axis, 1) for axis in axes]), (case, scale)
            base, wanted = scale, array
        else:
            steps = np.round(scale / before).astype(int)
            assert set(steps) <= {1, 2} and (steps == 2).any()
            # the first voxel's centre stays over the voxels that it stands for
            assert np.allclose(shift - shift0, (scale / base - 1) / 2 * base), (case, shift)
            wanted = (mode if case["labels"] else mean)(previous, steps)
        if level == 0:
            shift0 = shift
        found = node[:]
        assert found.shape == wanted.shape and (found == wanted).all(), (case["path"], level)
        previous, before = found, scale
    assert case["labels"] == ("image-label" in attrs), case
    if case["labels"]:
        assert attrs["image-label"]["source"]["image"] == "../../"
        listed = dict(zarr.open_group(str(path.parent), mode="r").attrs)
        assert path.name in (listed["ome"] if version == "0.5" else listed)["labels"]
    if case["channels"]:
        assert [channel["label"] for channel in attrs["omero"]["channels"]] == case["channels"]
        assert all(set(channel["window"]) == {"min", "max", "start", "end"} for channel in attrs["omero"]["channels"])
    try:
        import ome_zarr_models
        import ome_zarr_models.v04
        import ome_zarr_models.v05
    except ImportError:
        continue
    models = ome_zarr_models.v05 if version == "0.5" else ome_zarr_models.v04
    (models.ImageLabel if case["labels"] else models.Image).from_zarr(root)
    print("ome-zarr-models:", case["path"])
