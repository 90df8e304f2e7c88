"""Components, distances, watersheds and region properties beside scipy and scikit-image."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi
from skimage.measure import regionprops_table
from skimage.segmentation import watershed

import zensaibo as zs
from zensaibo.errors import DataError, LimitError, ParameterError, ShapeError

RANDOM = np.random.default_rng(0)
SHAPE = (23, 31, 70)


def blobs(shape=SHAPE, level=0.55, seed=0):
    field = ndi.gaussian_filter(np.random.default_rng(seed).random(shape), 1.5)
    return field > np.quantile(field, level)


@pytest.mark.parametrize(("connectivity", "order"), [(6, 1), (18, 2), (26, 3)])
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int16, np.float32, np.float64])
def test_labels_are_those_of_scipy(connectivity, order, dtype):
    for level in (0.55, 0.8):
        mask = blobs(level=level)
        expected, n = ndi.label(mask, ndi.generate_binary_structure(3, order))
        labels, count = zs.im.label(mask.astype(dtype) * (1 if dtype is bool else 3), connectivity=connectivity)
        assert count == n > 3 and labels.dtype == np.uint32
        np.testing.assert_array_equal(labels, expected)
        for threads, memory in [(1, None), (2, "1MB"), (8, "8MB")]:
            again, _ = zs.im.label(mask, connectivity=connectivity, threads=threads, memory=memory)
            np.testing.assert_array_equal(again, expected)


def test_labels_by_value_keep_touching_ones_apart():
    values = (np.arange(SHAPE[2]) // 10 % 3 + 1) * blobs(level=0.3)
    labels, count = zs.im.label(values.astype(np.uint16), by_value=True, connectivity=6)
    parts = [ndi.label(values == v)[1] for v in (1, 2, 3)]
    assert count == sum(parts)
    for v in (1, 2, 3):
        expected, n = ndi.label(values == v)
        pairs = np.unique(np.stack([expected[values == v], labels[values == v]]), axis=1)
        assert pairs.shape[1] == n
    first = [np.flatnonzero(labels.ravel() == k)[0] for k in range(1, count + 1)]
    assert first == sorted(first)


def test_small_components_first_labels_and_frames():
    mask = blobs(level=0.8)
    every, n = ndi.label(mask, np.ones((3, 3, 3)))
    sizes = np.bincount(every.ravel())[1:]
    labels, count = zs.im.label(mask, min_voxels=30, first_label=2**32 - 2)
    assert count == (sizes >= 30).sum() and 3 < count < n and labels.dtype == np.uint64
    assert labels.max() == 2**32 - 3 + count
    np.testing.assert_array_equal(labels > 0, np.isin(every, np.flatnonzero(sizes >= 30) + 1))
    both = np.stack([mask, ~mask])
    labels, counts = zs.im.label(both)
    assert labels.shape == both.shape and list(counts) == [n, ndi.label(~mask, np.ones((3, 3, 3)))[1]]
    np.testing.assert_array_equal(labels[0], every)
    labels, count = zs.im.label(mask[0])
    np.testing.assert_array_equal(labels, ndi.label(mask[0], np.ones((3, 3)))[0])


def test_labels_refuse_what_makes_no_sense():
    for keywords, message in [
        ({"connectivity": 8}, "6, 18 or 26"),
        ({"first_label": 0}, "first_label"),
        ({"min_voxels": -1}, "im_label"),
    ]:
        with pytest.raises(ParameterError, match=message):
            zs.im.label(np.ones((2, 3, 4)), **keywords)
    with pytest.raises(LimitError, match="memory"):
        zs.im.label(np.ones((20, 30, 40)), memory=100)


@pytest.mark.parametrize("spacing", [None, (5.0, 2.0, 2.0), 0.7])
def test_distances_are_those_of_scipy(spacing):
    for mask in (blobs(level=0.2), blobs(level=0.7), ~blobs(level=0.999)):
        expected = ndi.distance_transform_edt(mask, sampling=spacing)
        found = zs.im.distance_transform(mask, spacing=spacing)
        assert found.dtype == np.float32
        np.testing.assert_allclose(found, expected, rtol=3e-7)
        np.testing.assert_array_equal(found, zs.im.distance_transform(mask, spacing=spacing, threads=1))
        wide = zs.im.distance_transform(mask, spacing=spacing, squared=True, dtype=np.float64)
        np.testing.assert_allclose(wide, expected**2, rtol=1e-13)
        near = zs.im.distance_transform(mask, spacing=spacing, max_distance=3.5, memory="4MB")
        np.testing.assert_allclose(near, np.minimum(expected, 3.5), rtol=3e-7)
        np.testing.assert_array_equal(near, zs.im.distance_transform(mask, spacing=spacing, max_distance=3.5, threads=8))
        padded = ndi.distance_transform_edt(np.pad(mask, 1), sampling=spacing)[1:-1, 1:-1, 1:-1]
        for keywords, most in [({}, np.inf), ({"max_distance": 3.5}, 3.5)]:
            black = zs.im.distance_transform(mask, spacing=spacing, black_border=True, **keywords)
            np.testing.assert_allclose(black, np.minimum(padded, most), rtol=3e-7)


def test_distances_without_background_and_bad_options():
    assert np.isinf(zs.im.distance_transform(np.ones((3, 4, 5)))).all()
    mask = blobs()
    for keywords, message in [
        ({"dtype": np.int32}, "dtype"),
        ({"max_distance": 2.0, "squared": True}, "max_distance"),
        ({"max_distance": 0.0}, "max_distance"),
        ({"spacing": (1, 0, 1)}, "axis y"),
    ]:
        with pytest.raises(ParameterError, match=message):
            zs.im.distance_transform(mask, **keywords)


@pytest.mark.parametrize(("connectivity", "order"), [(6, 1), (18, 2), (26, 3)])
def test_watershed_is_that_of_scikit_image(connectivity, order):
    mask = blobs(level=0.3)
    # All values differ, so that nothing is left to ties.
    image = RANDOM.permutation(mask.size).reshape(SHAPE).astype(np.float32)
    image = ndi.gaussian_filter(image, 2)
    markers = np.zeros(SHAPE, np.int32)
    places = RANDOM.choice(mask.size, 40, replace=False)
    markers.ravel()[places] = RANDOM.permutation(40) + 1
    expected = watershed(image, markers, connectivity=ndi.generate_binary_structure(3, order), mask=mask)
    for threads in (1, 8):
        found = zs.im.watershed(image, markers, mask, connectivity=connectivity, threads=threads)
        np.testing.assert_array_equal(found, expected)
    expected = watershed(image, markers, connectivity=ndi.generate_binary_structure(3, order))
    np.testing.assert_array_equal(zs.im.watershed(image, markers, connectivity=connectivity), expected)


def test_watershed_of_plateaus_is_that_of_scikit_image_from_one_marker_each():
    mask = blobs(level=0.5, seed=4)
    image = np.floor(ndi.distance_transform_edt(mask)).astype(np.float32)
    parts, n = ndi.label(mask)
    markers = np.zeros(SHAPE, np.int32)
    for k in range(1, n + 1):
        markers.ravel()[np.flatnonzero(parts.ravel() == k)[0]] = k
    np.testing.assert_array_equal(zs.im.watershed(-image, markers, mask), watershed(-image, markers, mask=mask))


def test_watershed_refuses():
    image = np.zeros((3, 4, 5), np.float32)
    with pytest.raises(ShapeError, match="markers"):
        zs.im.watershed(image, np.zeros((3, 4, 4), int))
    with pytest.raises(ShapeError, match="one time point"):
        zs.im.watershed(np.zeros((2, 3, 4, 5)), np.zeros((3, 4, 5), int))
    with pytest.raises(DataError, match="whole numbers"):
        zs.im.watershed(image, np.zeros((3, 4, 5)))
    with pytest.raises(DataError, match="2\\^32"):
        zs.im.watershed(image, np.full((3, 4, 5), -1))
    with pytest.raises(DataError, match="NaN"):
        zs.im.watershed(image * np.nan, np.ones((3, 4, 5), int))


def test_region_properties_are_those_of_scikit_image():
    spacing = (5.0, 2.0, 1.5)
    labels, n = ndi.label(blobs(level=0.8))
    labels = labels * 7
    light = RANDOM.integers(0, 60000, (2, *SHAPE)).astype(np.uint16)
    names = ("label", "num_pixels", "area", "centroid", "bbox", "equivalent_diameter_area", "axis_major_length", "axis_minor_length")
    expected = regionprops_table(labels, properties=names, spacing=spacing)
    table = zs.im.region_properties(labels, light, spacing=spacing)
    assert len(table) == n
    np.testing.assert_array_equal(table["label"], expected["label"])
    np.testing.assert_array_equal(table["voxels"], expected["num_pixels"])
    np.testing.assert_allclose(table["volume"], expected["area"], rtol=1e-12)
    np.testing.assert_allclose(table["diameter"], expected["equivalent_diameter_area"], rtol=1e-12)
    for k, axis in enumerate("zyx"):
        np.testing.assert_allclose(table[axis], expected[f"centroid-{k}"], rtol=1e-12, atol=1e-9)
        np.testing.assert_array_equal(table[f"{axis}_first"], expected[f"bbox-{k}"])
        np.testing.assert_array_equal(table[f"{axis}_end"], expected[f"bbox-{k + 3}"])
    np.testing.assert_allclose(table["axis_1"], expected["axis_major_length"], rtol=1e-6, atol=1e-5)
    np.testing.assert_allclose(table["axis_3"], expected["axis_minor_length"], rtol=1e-5, atol=1e-4)
    index = table["label"].to_numpy()
    for c in range(2):
        np.testing.assert_allclose(table[f"mean_{c}"], ndi.mean(light[c], labels, index), rtol=1e-12)
        np.testing.assert_allclose(table[f"sd_{c}"], ndi.standard_deviation(light[c], labels, index), rtol=1e-10)
        np.testing.assert_array_equal(table[f"min_{c}"], ndi.minimum(light[c], labels, index))
        np.testing.assert_array_equal(table[f"max_{c}"], ndi.maximum(light[c], labels, index))
        np.testing.assert_array_equal(table[f"sum_{c}"], ndi.sum_labels(light[c].astype(np.int64), labels, index))
    for threads, memory in [(1, None), (8, "2MB")]:
        assert table.equals(zs.im.region_properties(labels, light, spacing=spacing, threads=threads, memory=memory))
    shapes = zs.im.region_properties(labels, surface=False)
    assert "surface" not in shapes and "mean_0" not in shapes
    volume = zs.im.open(light.astype(np.float32), spacing=spacing)
    again = zs.im.region_properties(zs.im.open(labels, spacing=spacing), volume)
    np.testing.assert_allclose(again.to_numpy(np.float64), table.to_numpy(np.float64), rtol=1e-9)


def test_surfaces_of_balls_and_boxes():
    z, y, x = np.ogrid[-15:16, -40:41, -40:41]
    for radius in (12.0, 24.0):
        ball = (z * 2.0) ** 2 + y**2 + x**2 <= radius**2
        row = zs.im.region_properties(ball.astype(np.uint8), spacing=(2, 1, 1)).iloc[0]
        assert abs(row["surface"] / (4 * np.pi * radius**2) - 1) < 0.03
        assert abs(row["sphericity"] - 1) < 0.03
    bar = np.zeros((40, 40, 40), np.uint8)
    bar[5:35, 18:22, 18:22] = 1
    assert zs.im.region_properties(bar)["sphericity"][0] < 0.75


def test_region_properties_over_time_and_bad_input():
    labels = np.zeros((2, 4, 5, 6), np.uint16)
    labels[0, 1:3, 2, 2:4], labels[1, 2, 3, 3] = 9, 4
    table = zs.im.region_properties(zs.im.open(labels, axes="tzyx"))
    assert list(table["time"]) == [0, 1] and list(table["label"]) == [9, 4] and list(table["voxels"]) == [4, 1]
    assert len(zs.im.region_properties(np.zeros((3, 4, 5), int))) == 0
    with pytest.raises(ShapeError, match="one channel"):
        zs.im.region_properties(labels)
    with pytest.raises(ShapeError, match="voxels"):
        zs.im.region_properties(labels[0], np.zeros((4, 5, 7)))
    with pytest.raises(DataError, match="whole numbers"):
        zs.im.region_properties(labels[0].astype(float))
    with pytest.raises(DataError, match="finite"):
        zs.im.region_properties(labels[0], np.full((4, 5, 6), np.nan))
