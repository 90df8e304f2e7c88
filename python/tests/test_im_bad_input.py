"""Sources of every kind, and input that is damaged, absurd or extreme: an error that names it, or a result that counts it."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap

import numpy as np
import pytest
import tifffile

import zensaibo as zs
from zensaibo.errors import DataError, FileError, FormatError, NonFiniteError, ParameterError, ShapeError

ARRAY = np.random.default_rng(0).integers(0, 4000, (24, 40, 50)).astype(np.uint16)


class Watched:
    """An array that keeps what was asked of it."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype
        self.asked = []

    def __getitem__(self, key):
        self.asked.append(key)
        return self.array[key]


def voxels(key):
    return int(np.prod([part.stop - part.start for part in key]))


def test_nothing_is_read_before_it_is_needed_and_then_region_by_region():
    source = Watched(np.random.default_rng(1).integers(0, 4000, (64, 160, 160)).astype(np.uint16))
    volume = zs.im.open(source, spacing=(2, 1, 1))
    part = volume[10:30, 5:, 40:90]
    assert part.shape == (20, 155, 50) and source.asked == []
    np.testing.assert_array_equal(np.asarray(part), source.array[10:30, 5:, 40:90])
    assert all(key[0].start >= 10 and key[0].stop <= 30 for key in source.asked)
    source.asked.clear()
    found = zs.im.gaussian(volume, 2.0, memory="4MB")
    np.testing.assert_array_equal(found, zs.im.gaussian(source.array, 2.0, spacing=(2, 1, 1)))
    assert len(source.asked) > 4
    assert max(voxels(key) for key in source.asked) * 4 < 4e6


def test_dask_arrays_are_computed_by_regions():
    dask_array = pytest.importorskip("dask.array", reason="dask is not installed")
    computed = []

    def plane(block, block_info=None):
        computed.append(block_info[0]["chunk-location"])
        return block

    lazy = dask_array.from_array(ARRAY, chunks=((10, 14), 20, 25)).map_blocks(plane, dtype=ARRAY.dtype)
    computed.clear()
    volume = zs.im.open(lazy, spacing=(5, 2, 2))
    assert volume.shape == ARRAY.shape and volume.chunk == (10, 20, 25) and "dask" in volume.name and computed == []
    np.testing.assert_array_equal(np.asarray(volume[:8, :15, :20]), ARRAY[:8, :15, :20])
    assert set(computed) == {(0, 0, 0)}, "one chunk is enough"
    np.testing.assert_array_equal(np.asarray(volume), ARRAY)
    for threads in (1, 8):
        found = zs.im.gaussian(lazy, 3.0, spacing=(5, 2, 2), threads=threads, memory="2MB")
        np.testing.assert_array_equal(found, zs.im.gaussian(ARRAY, 3.0, spacing=(5, 2, 2)))
    stacked = dask_array.stack([lazy, lazy + 1])
    np.testing.assert_array_equal(np.asarray(zs.im.open(stacked, channel=1))[0], ARRAY + 1)
    ours, _ = zs.im.label(lazy > 2000)
    np.testing.assert_array_equal(ours, zs.im.label(ARRAY > 2000)[0])


@pytest.mark.parametrize("kind", ["<u2", ">u2"])
def test_mapped_files_of_either_byte_order_and_any_strides(tmp_path, kind):
    mapped = np.memmap(tmp_path / "raw.bin", dtype=kind, mode="w+", shape=ARRAY.shape)
    mapped[:] = ARRAY
    mapped.flush()
    mapped = np.memmap(tmp_path / "raw.bin", dtype=kind, mode="r", shape=ARRAY.shape)
    for view, plain in [(mapped, ARRAY), (mapped[:, ::2], ARRAY[:, ::2]), (mapped.transpose(2, 0, 1), ARRAY.transpose(2, 0, 1)), (mapped[3:], ARRAY[3:])]:
        np.testing.assert_array_equal(np.asarray(zs.im.open(view)), plain)
        np.testing.assert_array_equal(zs.im.median(view, 2.0), zs.im.median(np.ascontiguousarray(plain), 2.0))


@pytest.mark.parametrize("version", [2, 3])
def test_zarr_arrays_of_both_versions(version):
    zarr = pytest.importorskip("zarr")
    stored = zarr.create_array({}, shape=(2, *ARRAY.shape), chunks=(1, 7, 16, 16), dtype=ARRAY.dtype, zarr_format=version)
    stored[0], stored[1] = ARRAY, ARRAY // 2
    volume = zs.im.open(stored, spacing=(5, 2, 2))
    assert volume.axes == "czyx" and volume.chunk == (7, 16, 16)
    np.testing.assert_array_equal(np.asarray(volume), np.stack([ARRAY, ARRAY // 2]))


def planes(folder, count=9):
    folder.mkdir()
    for z in range(count):
        tifffile.imwrite(folder / f"plane_{z:03d}.tif", ARRAY[z])
    return folder


def test_folders_of_planes_that_are_not_whole(tmp_path):
    folder = planes(tmp_path / "gap")
    (folder / "plane_004.tif").unlink()
    with pytest.raises(FormatError, match=r"z number 4 after 3 \(a missing plane"):
        zs.im.open(folder)
    folder = planes(tmp_path / "extra")
    tifffile.imwrite(folder / "overview.tif", ARRAY[0])
    with pytest.raises(FormatError, match="overview.tif"):
        zs.im.open(folder)
    folder = planes(tmp_path / "depth")
    tifffile.imwrite(folder / "plane_005.tif", (ARRAY[5] // 16).astype(np.uint8))
    with pytest.raises(FormatError, match=r"plane_005.tif.*uint16.*uint8"):
        zs.im.open(folder)
    folder = planes(tmp_path / "size")
    tifffile.imwrite(folder / "plane_002.tif", ARRAY[2, :, :-1])
    with pytest.raises(FormatError, match="plane_002.tif"):
        zs.im.open(folder)
    folder = planes(tmp_path / "cut")
    content = (folder / "plane_006.tif").read_bytes()
    (folder / "plane_006.tif").write_bytes(content[: len(content) // 3])
    with pytest.raises((FormatError, FileError), match="plane_006.tif"):
        np.asarray(zs.im.open(folder))


def test_spacing_that_is_absurd_absent_or_in_mixed_units(tmp_path):
    for bad, axis in [((0, 2, 2), "z"), ((5, -2, 2), "y"), ((5, 2, np.nan), "x"), ((np.inf, 2, 2), "z"), ((5, 2, 1e6), "x"), ((5, 1e-9, 2), "y")]:
        for call in (zs.im.open, lambda array, spacing: zs.im.detect_cells(array, spacing=spacing), lambda array, spacing: zs.im.segment_nuclei(array, diameter=9, spacing=spacing)):
            with pytest.raises(ParameterError, match=f"spacing, axis {axis}"):
                call(ARRAY, spacing=bad)
    # Nobody said: lengths are voxels, and the result says so.
    for cells in (zs.im.detect_cells(ARRAY, soma_diameter=6, classifier=None), zs.im.segment_nuclei(ARRAY, diameter=6)[1]):
        assert cells.uns["spatial_space"]["unit"] == "voxel"
    known = zs.im.detect_cells(ARRAY, spacing=(5, 2, 2), soma_diameter=12, classifier=None)
    assert known.uns["spatial_space"]["unit"] == "micrometer"
    # Files full of placeholders do not count as saying so; units of their own for each axis do.
    zarr = pytest.importorskip("zarr")
    for name, units, scale, expected in [
        ("mixed", ("nanometer", "micrometer", "millimeter"), [2500.0, 0.5, 0.0005], (2.5, 0.5, 0.5)),
        ("zero", ("micrometer",) * 3, [0.0, 1.0, 1.0], None),
        ("negative", ("micrometer",) * 3, [-1.0, 1.0, 1.0], None),
        ("pixels", ("pixel",) * 3, [3.0, 1.0, 1.0], None),
    ]:
        group = zarr.open_group(tmp_path / f"{name}.zarr", mode="w")
        group.create_array("0", data=ARRAY)
        axes = [{"name": axis, "type": "space", "unit": unit} for axis, unit in zip("zyx", units, strict=True)]
        levels = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": scale}]}]
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": levels}]}
        found = zs.im.open(tmp_path / f"{name}.zarr").spacing
        assert found == (None if expected is None else pytest.approx(expected)), name


def test_empty_saturated_and_constant_volumes():
    empty, broken = np.zeros((0, 20, 20), np.uint16), np.full((6, 20, 20), np.nan, np.float32)
    with pytest.raises(DataError, match="voxel"):
        zs.im.detect_cells(empty, spacing=2.0)
    labels, cells = zs.im.segment_nuclei(empty, diameter=9, spacing=2.0)
    assert labels.shape == empty.shape and cells.n_obs == 0
    with pytest.raises(NonFiniteError, match=r"\(0, 0, 0\)"):
        zs.im.detect_cells(broken, spacing=2.0)
    with pytest.raises(NonFiniteError):
        zs.im.segment_nuclei(broken, diameter=9, spacing=2.0)
    clipped = np.full((12, 40, 40), 300, np.uint16)
    clipped += np.random.default_rng(0).integers(0, 20, clipped.shape).astype(np.uint16)
    clipped[4:8, 10:16, 20:26] = 65535
    cells = zs.im.detect_cells(clipped, spacing=2.0, soma_diameter=11, classifier=None)
    seen = cells.uns["detection"]
    assert seen["saturated"] == 4 * 6 * 6 and seen["voxels"] == clipped.size and not seen["constant"]
    assert cells.n_obs == 1 and np.abs(cells.obsm["spatial"][0] - (45, 25, 11)).max() < 2.5
    for value in (0, 65535):
        full = np.full((8, 30, 30), value, np.uint16)
        cells = zs.im.detect_cells(full, spacing=2.0, soma_diameter=11, classifier=None)
        assert cells.n_obs == 0 and cells.uns["detection"]["constant"]
        assert cells.uns["detection"]["saturated"] == (full.size if value else 0)


def test_more_labels_than_16_or_32_bits_hold(tmp_path):
    # A voxel each, apart: 2^16 and some more.
    mask = np.zeros((61, 71, 121), bool)
    mask[::2, ::2, ::2] = True
    count = int(mask.sum())
    assert count > 2**16
    labels, found = zs.im.label(mask)
    assert found == count == labels.max() and labels.dtype.itemsize >= 4
    assert len(np.unique(labels)) == count + 1
    table = zs.im.region_properties(labels, surface=False)
    assert len(table) == count and (table["voxels"] == 1).all()
    # Labels far beyond 32 bits keep their names, all the way.
    wide = np.where(labels > 0, labels.astype(np.uint64) + np.uint64(2**40), np.uint64(0))
    wide = wide[:20, :30, :40]
    kept = np.unique(wide)[1:]
    np.testing.assert_array_equal(zs.im.region_properties(wide, surface=False)["label"].to_numpy().astype(np.uint64), kept)
    scores = zs.metrics.segmentation_scores(labels[:20, :30, :40], wide, thresholds=[1.0])
    assert scores.loc[1.0, "true_positives"] == len(kept)
    zs.im.write((mask * 100).astype(np.uint8)[:20, :30, :40], tmp_path / "image.ome.zarr")
    zs.im.write(wide, tmp_path / "image.ome.zarr", labels=True, name="wide")
    np.testing.assert_array_equal(np.asarray(zs.im.open(tmp_path / "image.ome.zarr" / "labels" / "wide")), wide)
    tracks = zs.im.track(np.stack([wide[:1], wide[:1]]), max_speed=0.5)
    assert set(tracks["label"]) == set(np.unique(wide[:1])[1:].astype(np.int64).tolist())
    with pytest.raises(DataError, match="-3"):
        zs.metrics.segmentation_scores(np.full((2, 3, 4), -3), np.ones((2, 3, 4), int))
    with pytest.raises(DataError, match="whole number"):
        zs.metrics.segmentation_scores(np.ones((2, 3, 4)), np.ones((2, 3, 4), int))


def test_a_disk_that_is_full_leaves_what_was_there(tmp_path):
    pytest.importorskip("resource", reason="limits of file size are of Unix")
    zs.im.write(ARRAY, tmp_path / "kept.ome.zarr", spacing=(5, 2, 2))
    before = sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*"))
    script = textwrap.dedent(
        """
        import resource, sys
        import numpy as np
        import zensaibo as zs
        noise = np.random.default_rng(0).integers(0, 2**16, (60, 200, 200)).astype(np.uint16)
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
        try:
            zs.im.write(noise, sys.argv[1])
        except zs.errors.FileError as error:
            print(error)
            sys.exit(7)
        """
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "kept.ome.zarr")], capture_output=True, text=True)
    assert done.returncode == 7, done.stderr
    assert "kept.ome.zarr" in done.stdout
    assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == before
    np.testing.assert_array_equal(np.asarray(zs.im.open(tmp_path / "kept.ome.zarr")), ARRAY)


def test_signal_and_background_that_do_not_fit():
    for call in (lambda b: zs.im.detect_cells(ARRAY, b, spacing=(5, 2, 2)), lambda b: zs.im.subtract_background(ARRAY, b)):
        with pytest.raises(DataError, match=r"\[?24.*40.*50"):
            call(ARRAY[:, :, 1:])
        with pytest.raises(DataError):
            call(ARRAY.transpose(0, 2, 1))
    with pytest.raises(ShapeError):
        zs.metrics.segmentation_scores(ARRAY, ARRAY[1:])


def test_metadata_that_speak_of_another_array(tmp_path):
    zarr = pytest.importorskip("zarr")
    zs.im.write(ARRAY, tmp_path / "image.ome.zarr", levels=1)
    meta = tmp_path / "image.ome.zarr" / "zarr.json"
    good = json.loads(meta.read_text())
    for change, message in [
        (lambda image: image["axes"].pop(), "3 axes"),
        (lambda image: image["datasets"][0].update(path="../other"), "inside the image"),
        (lambda image: image["datasets"][0].update(path="7"), "7"),
        (lambda image: image.update(datasets=[]), "at least one level"),
        (lambda image: image["datasets"][0]["coordinateTransformations"][0].update(scale=[1, 1]), "3 numbers"),
    ]:
        document = json.loads(json.dumps(good))
        change(document["attributes"]["ome"]["multiscales"][0])
        meta.write_text(json.dumps(document))
        with pytest.raises((FormatError, FileError), match=message):
            zs.im.open(tmp_path / "image.ome.zarr")
    assert zarr is not None
