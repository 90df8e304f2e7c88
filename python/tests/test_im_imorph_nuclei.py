"""Nuclei: drawn ones, real ones with expert labels, and the scores themselves."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import data_path

import zensaibo as zs
from zensaibo.errors import DataError, ParameterError, ShapeError


def drawn(shape=(40, 90, 90), spacing=(4.0, 2.0, 2.0), diameter=16.0, count=150, seed=0):
    """Balls that do not overlap, blurred a little, with shot noise; and their labels."""
    from scipy.ndimage import gaussian_filter

    random = np.random.default_rng(seed)
    extent = (np.array(shape) - 1) * spacing
    centres: list[np.ndarray] = []
    while len(centres) < count:
        centre = random.random(3) * extent
        if all(np.linalg.norm(centre - other) > diameter + 0.5 for other in centres):
            centres.append(centre)
    places = np.indices(shape).reshape(3, -1).T * spacing
    labels, light = np.zeros(len(places), np.int32), np.full(len(places), 150.0)
    for k, centre in enumerate(centres, 1):
        inside = ((places - centre) ** 2).sum(1) <= (diameter / 2) ** 2
        labels[inside] = k
        light[inside] += 500 * random.lognormal(0, 0.25)
    light = gaussian_filter(light.reshape(shape), (0.6, 0.5, 0.5))
    return (random.poisson(light) + 100).astype(np.uint16), labels.reshape(shape), np.array(centres)


@pytest.fixture(scope="module")
def nuclei():
    return drawn()


def test_drawn_nuclei_come_back(nuclei):
    volume, truth, centres = nuclei
    labels, cells = zs.im.segment_nuclei(volume, diameter=16, spacing=(4, 2, 2))
    scores = zs.metrics.segmentation_scores(truth, labels)
    assert labels.shape == volume.shape and labels.dtype == np.uint32
    assert scores.loc[0.5, "f1"] >= 0.98 and scores.attrs["seg"] > 0.7
    assert list(cells.obs["label"]) == list(range(1, labels.max() + 1))
    assert cells.uns["spatial_space"]["axes"] == "xyz"
    spatial = cells.obsm["spatial"][:, ::-1]
    np.testing.assert_array_equal(spatial, cells.obs[["z", "y", "x"]])
    distance = np.linalg.norm(spatial[:, None] - centres[None], axis=2).min(1)
    inner = ~cells.obs["touches_border"].to_numpy()
    assert np.median(distance[inner]) < 1.0
    assert abs(np.median(cells.obs["diameter"][inner]) / 16 - 1) < 0.1
    values = volume[labels == 5]
    np.testing.assert_allclose(cells.obs["mean_0"].iloc[4], values.mean())
    np.testing.assert_allclose(cells.X[4, 0], values.mean(), rtol=1e-6)


def test_places_and_provenance_are_those_of_detect_cells(nuclei, tmp_path):
    import anndata

    volume, _, _ = nuclei
    part = zs.im.open(volume, spacing=(4, 2, 2))[3:, 10:60, 20:]
    _, cells = zs.im.segment_nuclei(part, diameter=16)
    # (x, y, z), from the origin of the volume that the part was taken of.
    expected = cells.obs[["x", "y", "z"]].to_numpy() + (40, 20, 12)
    np.testing.assert_allclose(cells.obsm["spatial"], expected)
    points = zs.im.detect_cells(part, soma_diameter=16, classifier=None)
    assert cells.uns["spatial_space"] == points.uns["spatial_space"]
    assert zs.metrics.detection_scores(cells, points, radius=8).f1 > 0.8
    cells.write(tmp_path / "cells.h5ad")
    for adata, name in [(cells, "segment_nuclei"), (anndata.read_h5ad(tmp_path / "cells.h5ad"), "segment_nuclei"), (points, "detect_cells")]:
        entry = adata.uns["zensaibo"][name]
        assert entry["version"] == zs.__version__ and list(entry["options"]["spacing"]) == [4, 2, 2]
    assert cells.uns["zensaibo"]["segment_nuclei"]["options"]["diameter"] == 16


def test_same_nuclei_for_any_threads_memory_and_type(nuclei):
    volume, _, _ = nuclei
    labels, cells = zs.im.segment_nuclei(volume, diameter=16, spacing=(4, 2, 2), threads=1)
    for array, keywords in [
        (volume, {"threads": 8, "memory": "48MB"}),
        (volume, {"threads": 2, "memory": "24MB"}),
        (volume.astype(np.float32), {}),
        (zs.im.open(volume, spacing=(4, 2, 2)), {"spacing": None}),
    ]:
        again, table = zs.im.segment_nuclei(array, diameter=16, **{"spacing": (4, 2, 2), **keywords})
        np.testing.assert_array_equal(again, labels)
        np.testing.assert_allclose(table.obs["volume"], cells.obs["volume"])


def test_flips_give_flipped_nuclei(nuclei):
    volume, _, _ = nuclei
    labels, _ = zs.im.segment_nuclei(volume, diameter=16, spacing=(4, 2, 2))
    flipped, _ = zs.im.segment_nuclei(volume[::-1, :, ::-1], diameter=16, spacing=(4, 2, 2))
    scores = zs.metrics.segmentation_scores(labels, flipped[::-1, :, ::-1])
    assert scores.loc[0.9, "f1"] > 0.99


def test_channels_and_times(nuclei):
    volume, _, _ = nuclei
    volume = volume[:16, :40, :40]
    other = (volume // 3).astype(np.uint16)
    film = np.stack([np.stack([other, volume]), np.stack([other, np.zeros_like(volume)])])
    labels, cells = zs.im.segment_nuclei(film, diameter=16, channel=1, spacing=(4, 2, 2))
    alone, single = zs.im.segment_nuclei(volume, diameter=16, spacing=(4, 2, 2))
    assert labels.shape == (2, 16, 40, 40) and cells.shape == (single.n_obs, 2)
    np.testing.assert_array_equal(labels[0], alone)
    assert not labels[1].any() and set(cells.obs["time"]) == {0}
    np.testing.assert_allclose(cells.obs["mean_1"], single.obs["mean_0"])
    assert (cells.X[:, 0] < cells.X[:, 1]).all()


def test_bad_input_is_refused(nuclei):
    volume, _, _ = nuclei
    for keywords, message in [
        ({"diameter": 0}, "diameter"),
        ({"diameter": 16, "merge_depth": 2}, "merge_depth"),
        ({"diameter": 16, "channel": 3}, "channel"),
        ({"diameter": 16, "min_volume": 9, "max_volume": 3}, "max_volume"),
    ]:
        with pytest.raises(ParameterError, match=message):
            zs.im.segment_nuclei(volume[:8, :16, :16], spacing=(4, 2, 2), **keywords)
    with pytest.raises(DataError, match="finite"):
        zs.im.segment_nuclei(np.full((8, 16, 16), np.nan, np.float32), diameter=6)
    for value in (0, 500, 65535):
        labels, cells = zs.im.segment_nuclei(np.full((8, 16, 16), value, np.uint16), diameter=6)
        assert not labels.any() and cells.n_obs == 0


def test_scores_by_hand_and_beside_a_plain_count():
    truth = np.array([[[1, 1, 1, 1, 0, 2, 2, 2, 2, 0, 9, 9, 0, 0]]])
    found = np.array([[[5, 5, 5, 0, 0, 3, 3, 4, 4, 0, 0, 0, 6, 6]]])
    scores = zs.metrics.segmentation_scores(truth, found, thresholds=(0.5, 0.6))
    assert list(scores["true_positives"]) == [2, 1] and scores.loc[0.5, "average_precision"] == 0.4
    assert scores.attrs["seg"] == pytest.approx(0.25)
    with pytest.raises(ParameterError, match="threshold"):
        zs.metrics.segmentation_scores(truth, found, thresholds=[0])
    with pytest.raises(ShapeError):
        zs.metrics.segmentation_scores(truth, found[..., 1:])
    same = zs.metrics.segmentation_scores(truth, truth * 3, thresholds=[1.0])
    assert same.loc[1.0, "f1"] == 1 and same.attrs["seg"] == 1


def test_embryo_nuclei_beside_expert_labels():
    tifffile = pytest.importorskip("tifffile")
    image = tifffile.imread(data_path("stardist_small_gt/img3d.tif"))
    truth = tifffile.imread(data_path("stardist_small_gt/mask3d.tif"))
    # The planes lie twice as far apart as the pixels: objects are 7 planes and 14 pixels across.
    labels, _ = zs.im.segment_nuclei(image, diameter=14, spacing=(2, 1, 1))
    scores = zs.metrics.segmentation_scores(truth, labels)
    print(scores, scores.attrs)
    assert scores.loc[0.5, "average_precision"] > 0.75
