"""Volumes in files: opened by content, written as OME-Zarr that others open."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tifffile

import zensaibo as zs
from conftest import data_path
from zensaibo.errors import FileError, FormatError, ParameterError

ARRAY = np.random.default_rng(0).integers(0, 4000, (20, 70, 90)).astype(np.uint16)


def test_tiff_stacks_and_folders_of_planes(tmp_path):
    tifffile.imwrite(tmp_path / "stack.tif", ARRAY, imagej=True, resolution=(0.5, 0.5), metadata={"spacing": 5, "unit": "um", "axes": "ZYX"})
    volume = zs.im.open(tmp_path / "stack.tif")
    assert volume.shape == ARRAY.shape and volume.spacing == pytest.approx((5, 2, 2))
    np.testing.assert_array_equal(np.asarray(volume), ARRAY)
    (tmp_path / "planes").mkdir()
    for z, plane in enumerate(ARRAY):
        tifffile.imwrite(tmp_path / "planes" / f"z{z}.tif", plane, compression="zlib")
    volume = zs.im.open(tmp_path / "planes", spacing=(5, 2, 2), orientation="psl")
    assert volume.spacing == (5, 2, 2) and volume.orientation == "psl"
    np.testing.assert_array_equal(np.asarray(volume[3:15, 10:, :50]), ARRAY[3:15, 10:, :50])
    np.testing.assert_array_equal(zs.im.gaussian(volume, 3.0), zs.im.gaussian(ARRAY, 3.0, spacing=(5, 2, 2)))
    (tmp_path / "planes" / "z7.tif").unlink()
    with pytest.raises(FormatError, match="z"):
        zs.im.open(tmp_path / "planes")


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_there_and_back_and_in_zarr_python(tmp_path, version):
    zarr = pytest.importorskip("zarr")
    path = tmp_path / "brain.ome.zarr"
    zs.im.write(ARRAY, path, version=version, spacing=(5, 2, 2), chunk=(8, 32, 32), levels=3)
    volume = zs.im.open(path)
    assert volume.spacing == (5, 2, 2) and volume.shape == ARRAY.shape
    np.testing.assert_array_equal(np.asarray(volume), ARRAY)
    group = zarr.open_group(path, mode="r")
    np.testing.assert_array_equal(group["0"][...], ARRAY)
    coarse = zs.im.open(path, level=1)
    assert coarse.shape == (20, 35, 45) and coarse.spacing == (5, 4, 4), "y and x first: they are finer than z"
    expected = ARRAY.reshape(20, 35, 2, 45, 2).mean((2, 4))
    assert np.abs(np.asarray(coarse) - expected).max() <= 0.5
    labels = (ARRAY > 2000).astype(np.uint32) * 7
    zs.im.write(labels, path, labels=True, name="bright")
    np.testing.assert_array_equal(np.asarray(zs.im.open(path / "labels" / "bright")), labels)
    meta = json.loads((path / "labels" / (".zattrs" if version == "0.4" else "zarr.json")).read_text())
    assert "bright" in json.dumps(meta)


def test_other_arrays_and_bad_files(tmp_path):
    np.save(tmp_path / "a.npy", ARRAY)
    np.testing.assert_array_equal(np.asarray(zs.im.open(tmp_path / "a.npy")), ARRAY)
    with pytest.raises(FileError, match="nothing"):
        zs.im.open(tmp_path / "nothing.tif")
    tifffile.imwrite(tmp_path / "cut.tif", ARRAY)
    whole = (tmp_path / "cut.tif").read_bytes()
    (tmp_path / "cut.tif").write_bytes(whole[: len(whole) // 2])
    with pytest.raises((FormatError, FileError), match="cut.tif"):
        np.asarray(zs.im.open(tmp_path / "cut.tif"))
    for keywords, message in [({"version": "0.3"}, "version"), ({"compression": "rar"}, "compression"), ({"name": "x"}, "name"), ({"levels": 0}, "levels")]:
        with pytest.raises(ParameterError, match=message):
            zs.im.write(ARRAY, tmp_path / "bad.ome.zarr", **keywords)
    with pytest.raises(ParameterError, match="level"):
        zs.im.open(ARRAY, level=1)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").write_text("keep me")
    with pytest.raises(ParameterError, match="mine"):
        zs.im.write(ARRAY, tmp_path / "mine")
    assert (tmp_path / "mine" / "notes.txt").exists() and not (tmp_path / "bad.ome.zarr").exists()


def test_the_real_crops_open():
    for name, shape in [("cellfinder_whole_brain_crops/crop_signal_ch0.tif", (30, 510, 667)), ("mesospim_cortex_nuclei/c5image.tif", (124, 86, 94))]:
        path = data_path(name)
        volume = zs.im.open(path)
        assert volume.shape == shape and volume.dtype == np.uint16
        np.testing.assert_array_equal(np.asarray(volume), tifffile.imread(path))
    volume = zs.im.open(data_path("allen_ccf_mouse_atlas/average_template_100.nii.gz"))
    # NIfTI's first axis runs fastest: it is our x.
    assert volume.shape == (114, 80, 132) and volume.spacing == pytest.approx((100, 100, 100))
