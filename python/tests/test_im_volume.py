"""Opening volumes: arrays of every kind, axes, spacing, parts; and one filter through all of it."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import zensaibo as zs
from zensaibo.errors import LimitError, ParameterError, ShapeError

RANDOM = np.random.default_rng(0)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64", "float16", "float32", "float64", ">u2"])
def test_arrays_of_every_type_come_back_as_they_are(dtype):
    array = (RANDOM.random((3, 4, 5)) * 100).astype(dtype)
    volume = zs.im.open(array)
    assert volume.shape == (3, 4, 5) and volume.axes == "zyx" and volume.dtype == array.dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(volume), array)


def test_axes_by_number_and_by_name():
    for shape, axes in [((4, 5), "yx"), ((3, 4, 5), "zyx"), ((2, 3, 4, 5), "czyx"), ((2, 2, 3, 4, 5), "tczyx")]:
        assert zs.im.open(np.zeros(shape)).axes == axes
    volume = zs.im.open(RANDOM.random((6, 4, 5)), axes="tyx")
    assert volume.shape == (6, 4, 5) and volume[2].shape == (1, 4, 5)
    for bad in ["zxy", "zy", "abc", "yxz"]:
        with pytest.raises(ParameterError, match="axes"):
            zs.im.open(np.zeros((3, 4, 5)), axes=bad)
    with pytest.raises(ShapeError, match="2 to 5 axes"):
        zs.im.open(np.zeros(3))
    with pytest.raises(ShapeError, match="complex"):
        zs.im.open(np.zeros((3, 4, 5), dtype=complex))


def test_parts_are_lazy_and_those_of_numpy():
    array = RANDOM.integers(0, 1000, (2, 3, 6, 7, 8)).astype(np.uint16)
    volume = zs.im.open(array, spacing=(5, 2, 2))
    part = volume[1, 0, 2:5, :, -3:]
    np.testing.assert_array_equal(np.asarray(part), array[1:2, 0:1, 2:5, :, -3:])
    assert part.origin == (10.0, 0.0, 10.0)
    np.testing.assert_array_equal(np.asarray(volume[..., 4:4]), array[..., 4:4])
    for bad, message in [((slice(None, None, 2),), "step"), ((5,), "axis t"), (("z",), "whole number")]:
        with pytest.raises(ParameterError, match=message):
            volume[bad]


def test_other_arrays_are_read_by_regions():
    zarr = pytest.importorskip("zarr")
    array = RANDOM.integers(0, 1000, (20, 33, 47)).astype(np.uint16)
    stored = zarr.create_array({}, shape=array.shape, chunks=(8, 16, 16), dtype=array.dtype)
    stored[...] = array
    volume = zs.im.open(stored)
    assert volume.chunk == (8, 16, 16)
    np.testing.assert_array_equal(np.asarray(volume), array)
    np.testing.assert_array_equal(zs.im.gaussian(stored, 1.5), zs.im.gaussian(array, 1.5))


def test_a_source_that_fails_says_so():
    class Broken:
        shape, dtype = (4, 5, 6), np.dtype("uint8")

        def __getitem__(self, key):
            raise OSError("the disk is gone")

    with pytest.raises(zs.errors.DataError, match="the disk is gone"):
        np.asarray(zs.im.open(Broken()))


def test_metadata_are_checked():
    array = np.zeros((2, 3, 4, 5), np.uint8)
    volume = zs.im.open(array, spacing=(5, 2, 1), orientation="PSL", channel=-1)
    assert volume.spacing == (5.0, 2.0, 1.0) and volume.orientation == "psl" and volume.shape == (1, 3, 4, 5)
    for keywords, message in [
        ({"spacing": (0, 1, 1)}, "spacing, axis z"),
        ({"spacing": (1, np.nan, 1)}, "spacing, axis y"),
        ({"spacing": 1e9}, "spacing"),
        ({"spacing": (1, 2)}, "three"),
        ({"orientation": "abc"}, "orientation"),
        ({"channel": 2}, "channel"),
        ({"channel": "GFP"}, "GFP"),
    ]:
        with pytest.raises(ParameterError, match=message):
            zs.im.open(array, **keywords)


@pytest.mark.parametrize("border", ["reflect", "mirror", "nearest", "zero"])
@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_gaussian_is_scipys(border, dtype):
    array = (RANDOM.random((17, 40, 51)) * 1000).astype(dtype)
    ours = zs.im.gaussian(array, (3.0, 2.5, 1.0), spacing=(2.0, 1.0, 0.5), border=border)
    mode = "constant" if border == "zero" else border
    theirs = ndi.gaussian_filter(array.astype(np.float64), (1.5, 2.5, 2.0), mode=mode)
    np.testing.assert_allclose(ours, theirs, rtol=2e-6, atol=1e-4)


def test_the_same_bits_for_any_threads_and_memory():
    array = (RANDOM.random((40, 130, 150)) * 1000).astype(np.uint16)
    one = zs.im.gaussian(array, 2.0, threads=1)
    for threads in (2, 8):
        assert np.array_equal(zs.im.gaussian(array, 2.0, threads=threads), one)
    for memory in ("4MB", "700KiB"):
        assert np.array_equal(zs.im.gaussian(array, 2.0, memory=memory), one)
    with pytest.raises(LimitError, match="memory"):
        zs.im.gaussian(array, 2.0, memory="1KiB")
    with pytest.raises(ParameterError, match="memory"):
        zs.im.gaussian(array, 2.0, memory="much")


def test_every_frame_is_filtered_and_whole_numbers_are_rounded():
    array = RANDOM.integers(0, 255, (2, 3, 5, 20, 21)).astype(np.uint8)
    ours = zs.im.gaussian(array, 1.0, dtype=np.uint8)
    assert ours.dtype == np.uint8 and ours.shape == array.shape
    for t in range(2):
        for c in range(3):
            theirs = ndi.gaussian_filter(array[t, c].astype(np.float64), 1.0)
            assert np.abs(ours[t, c] - theirs).max() <= 0.5 + 1e-3


def test_empty_volumes_stay_empty():
    assert zs.im.gaussian(np.zeros((0, 4, 5)), 1.0).shape == (0, 4, 5)
