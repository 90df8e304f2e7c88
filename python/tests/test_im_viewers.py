"""What others show and count: napari (its model of a viewer, which needs no window) and squidpy, on what is written here."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial import cKDTree

import zensaibo as zs

SPACING = (5.0, 2.0, 2.0)


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A volume with 40 nuclei as OME-Zarr with labels in it, and both tables as h5ad."""
    rng = np.random.default_rng(3)
    light = np.zeros((30, 90, 90))
    places = np.indices((2, 4, 5)).reshape(3, -1).T * (13, 21, 17) + (8, 13, 11)
    light[tuple(places.T)] = 1
    volume = (3e5 * ndimage.gaussian_filter(light, (1.6, 4, 4)) + rng.normal(200, 6, light.shape)).astype(np.uint16)
    folder = tmp_path_factory.mktemp("viewers")
    labels, nuclei = zs.im.segment_nuclei(volume, diameter=18, spacing=SPACING)
    zs.im.write(volume, folder / "sample.ome.zarr", spacing=SPACING)
    zs.im.write(labels, folder / "sample.ome.zarr", labels=True, name="nuclei")
    cells = zs.im.detect_cells(volume, spacing=SPACING, soma_diameter=18, classifier=None)
    assert cells.n_obs == nuclei.n_obs == len(places)
    cells.write_h5ad(folder / "cells.h5ad")
    nuclei.write_h5ad(folder / "nuclei.h5ad")
    return folder, volume, labels, places * SPACING


def test_napari_lays_image_labels_and_cells_over_each_other(results):
    pytest.importorskip("napari", reason="napari is not installed")
    pytest.importorskip("napari_ome_zarr", reason="napari-ome-zarr is not installed")
    import npe2
    from napari.components import ViewerModel

    folder, volume, labels, truth = results
    npe2.PluginManager.instance().discover()
    viewer = ViewerModel()
    viewer.open(str(folder / "sample.ome.zarr"), plugin="napari-ome-zarr")
    image, painted = viewer.layers
    assert [type(layer).__name__ for layer in (image, painted)] == ["Image", "Labels"]
    for layer in (image, painted):
        np.testing.assert_array_equal(layer.scale, SPACING)
        assert {str(unit) for unit in layer.units} == {"micrometer"}
    finest = [layer.data[0] if layer.multiscale else layer.data for layer in (image, painted)]
    finest = [np.asarray(data) for data in finest]
    np.testing.assert_array_equal(finest[0], volume)
    np.testing.assert_array_equal(finest[1], labels)
    cells = ad.read_h5ad(folder / "cells.h5ad")
    points = viewer.add_points(cells.obsm["spatial"][:, ::-1], size=18, units=image.units)
    for place in truth:
        # A cell lies on the nucleus that the labels show there, in the world that all layers share.
        nearest = points.data[np.linalg.norm(points.data - place, axis=1).argmin()]
        voxel = np.rint(painted.world_to_data(points.data_to_world(nearest))).astype(int)
        assert np.linalg.norm(nearest - place) < 3 and finest[1][tuple(voxel)] == labels[tuple(np.rint(place / SPACING).astype(int))] > 0


@pytest.mark.parametrize("table", ["cells", "nuclei"])
def test_squidpy_counts_neighbours_among_cells(results, table):
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed")
    folder, _, _, truth = results
    cells = ad.read_h5ad(folder / f"{table}.h5ad")
    sq.gr.spatial_neighbors(cells, coord_type="generic", n_neighs=3)
    distances, _ = cKDTree(truth).query(truth, k=4)
    found = np.sort([row.data for row in cells.obsp["spatial_distances"].tocsr()], axis=1)
    order = cKDTree(truth[:, ::-1]).query(cells.obsm["spatial"])[1]
    np.testing.assert_allclose(found, distances[order, 1:], atol=4, err_msg="micrometres along all three axes")
    cells.obs["half"] = ["low" if z < 60 else "high" for z in cells.obsm["spatial"][:, 2]]
    cells.obs["half"] = cells.obs["half"].astype("category")
    sq.gr.interaction_matrix(cells, "half")
    assert cells.uns["half_interactions"].sum() == 3 * len(truth)
