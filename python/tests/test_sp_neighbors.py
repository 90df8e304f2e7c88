"""Graphs of neighbours in space: against full searches, by library, with the faults that coordinates have."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

import zensaibo as zs
from zensaibo.errors import DataError, MissingKeyError, NonFiniteError, ParameterError, ShapeError, TooFewError


def cells(n: int = 300, dimensions: int = 2, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(1.0, (n, 4)).astype(np.float32)))
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, dimensions))
    adata.obs["library"] = pd.Categorical(rng.choice(["s1", "s2", "s3"], n))
    return adata


def hexagons(rows: int, columns: int) -> np.ndarray:
    return np.array([(x + 0.5 * (y % 2), y * np.sqrt(3) / 2) for y in range(rows) for x in range(columns)]) * 55


@pytest.mark.parametrize("dimensions", [2, 3])
def test_the_nearest_are_those_of_a_full_search(dimensions):
    adata = cells(dimensions=dimensions)
    zs.sp.spatial_neighbors_knn(adata, n_neighs=5)
    far = cdist(adata.obsm["spatial"], adata.obsm["spatial"])
    np.fill_diagonal(far, np.inf)
    nearest = np.argsort(far, axis=1)[:, :5]
    expected = np.zeros_like(far)
    np.put_along_axis(expected, nearest, 1.0, axis=1)
    assert np.array_equal(adata.obsp["spatial_connectivities"].toarray(), expected)
    assert adata.obsp["spatial_connectivities"].dtype == np.float32 and adata.obsp["spatial_distances"].dtype == np.float64
    np.testing.assert_allclose(adata.obsp["spatial_distances"].toarray()[expected > 0], far[expected > 0], rtol=1e-12)
    assert adata.uns["spatial_neighbors"] == {
        "connectivities_key": "spatial_connectivities",
        "distances_key": "spatial_distances",
        "params": {"coord_type": "generic", "n_neighbors": 5},
    }


@pytest.mark.parametrize("dimensions", [2, 3])
def test_radius_is_a_closed_range(dimensions):
    adata = cells(dimensions=dimensions)
    far = cdist(adata.obsm["spatial"], adata.obsm["spatial"])
    np.fill_diagonal(far, np.inf)
    for radius, expected in ((12.0, far <= 12), ((5, 20), (far >= 5) & (far <= 20)), ((20, 5), (far >= 5) & (far <= 20))):
        found = zs.arrays.spatial_neighbors_radius(adata.obsm["spatial"], radius)
        assert np.array_equal(found.connectivities.toarray() > 0, expected)
    # Both ends belong to the range.
    line = np.array([[0.0, 0], [1, 0], [3, 0]])
    assert zs.arrays.spatial_neighbors_radius(line, (1, 2)).connectivities.nnz == 4


@pytest.mark.parametrize("dimensions", [2, 3])
def test_delaunay_joins_cells_with_an_empty_sphere_between_them(dimensions):
    places = cells(60, dimensions, seed=3).obsm["spatial"]
    found = zs.arrays.spatial_neighbors_delaunay(places)
    graph = found.connectivities.toarray() > 0
    assert np.array_equal(graph, graph.T) and not graph.diagonal().any()
    # The nearest cell of each is always a Delaunay neighbour; so are the ends of any empty sphere with that diameter.
    for i in range(60):
        for j in range(i):
            middle, half = (places[i] + places[j]) / 2, np.linalg.norm(places[i] - places[j]) / 2
            others = np.delete(np.linalg.norm(places - middle, axis=1), [i, j])
            if (others > half * (1 + 1e-9)).all():
                assert graph[i, j]
    if dimensions == 2:
        # Euler: a triangulation of n points with h of them on the hull has 3n - 3 - h edges.
        from scipy.spatial import ConvexHull

        assert graph.sum() / 2 == 3 * 60 - 3 - len(ConvexHull(places).vertices)
    shorter = zs.arrays.spatial_neighbors_delaunay(places, radius=20)
    assert shorter.distances.data.max() <= 20 and shorter.distances.nnz == (found.distances.data <= 20).sum() > 0
    # Far from the origin the graph is the same.
    assert (zs.arrays.spatial_neighbors_delaunay(places + 2.0**30).connectivities != found.connectivities).nnz == 0


def test_rings_of_a_grid_of_hexagons():
    places = hexagons(11, 11)
    adata = ad.AnnData(np.zeros((121, 1), np.float32), obsm={"spatial": places})
    zs.sp.spatial_neighbors_grid(adata, n_rings=3)
    middle = 5 * 11 + 5
    rings = adata.obsp["spatial_distances"][middle].toarray().ravel()
    assert [int((rings == ring).sum()) for ring in (1, 2, 3)] == [6, 12, 18]
    corner = adata.obsp["spatial_distances"][0].toarray().ravel()
    assert (corner == 1).sum() == 2
    assert adata.uns["spatial_neighbors"]["params"]["n_rings"] == 3
    squares = np.array([(x, y) for y in range(6) for x in range(6)], float)
    one = zs.arrays.spatial_neighbors_grid(squares, n_neighs=4)
    assert np.array_equal(one.connectivities.toarray() > 0, cdist(squares, squares, "cityblock") == 1)
    by_triangles = zs.arrays.spatial_neighbors_grid(places, delaunay=True)
    assert by_triangles.connectivities[middle].nnz == 6


def test_libraries_are_graphs_of_their_own():
    adata = cells()
    places, library = adata.obsm["spatial"], adata.obs["library"]
    for build in (
        lambda x, **more: zs.arrays.spatial_neighbors_knn(x, **more, percentile=90, transform="spectral", set_diag=True),
        lambda x, **more: zs.arrays.spatial_neighbors_radius(x, 15, **more),
        lambda x, **more: zs.arrays.spatial_neighbors_delaunay(x, **more),
        lambda x, **more: zs.arrays.spatial_neighbors_grid(x, n_rings=2, **more),
    ):
        whole = build(places, libraries=library)
        for name in library.cat.categories:
            here = np.flatnonzero(library == name)
            alone = build(places[here])
            for part in (0, 1):
                assert (whole[part][here][:, here] != alone[part]).nnz == 0
                assert whole[part][here].nnz == alone[part].nnz
                assert whole[part].has_sorted_indices


def test_transforms_percentile_and_diagonal_by_formula():
    places = cells(80).obsm["spatial"]
    plain = zs.arrays.spatial_neighbors_knn(places)
    a = plain.connectivities.toarray().astype(float)
    diagonal = zs.arrays.spatial_neighbors_knn(places, set_diag=True)
    assert np.array_equal(diagonal.connectivities.toarray(), a + np.eye(80)) and diagonal.distances.nnz == plain.distances.nnz
    with np.errstate(divide="ignore"):
        roots = np.where(a.sum(0) > 0, 1 / np.sqrt(a.sum(0)), 0)
    spectral = zs.arrays.spatial_neighbors_knn(places, transform="spectral").connectivities
    np.testing.assert_allclose(spectral.toarray(), roots[:, None] * a * roots, atol=1e-6)
    cosine = zs.arrays.spatial_neighbors_knn(places, transform="cosine").connectivities
    np.testing.assert_allclose(cosine.toarray(), a @ a.T / 6, atol=1e-6)
    cut = zs.arrays.spatial_neighbors_knn(places, percentile=80)
    limit = np.percentile(plain.distances.data, 80)
    assert cut.connectivities.nnz == cut.distances.nnz == (plain.distances.data <= limit).sum() < plain.distances.nnz


def test_cells_at_one_place_stay_neighbours():
    places = np.array([[0.0, 0], [0, 0], [5, 0], [9, 0]])
    found = zs.arrays.spatial_neighbors_knn(places, n_neighs=1)
    assert found.connectivities.nnz == found.distances.nnz == 4 and found.connectivities[0, 1] == 1
    assert zs.arrays.spatial_neighbors_radius(places, 1).connectivities.nnz == 2
    with pytest.raises(DataError, match="cells 0 and 1"):
        zs.arrays.spatial_neighbors_delaunay(places)


def test_any_number_of_threads_gives_the_same_bits():
    places = cells(5000).obsm["spatial"].round()
    for build in (
        lambda t: zs.arrays.spatial_neighbors_knn(places, threads=t),
        lambda t: zs.arrays.spatial_neighbors_radius(places, 3, threads=t),
        lambda t: zs.arrays.spatial_neighbors_grid(places, n_rings=3, threads=t),
    ):
        one = build(1)
        for threads in (2, 8):
            for ours, theirs in zip(one, build(threads), strict=True):
                assert ours.data.tobytes() == theirs.data.tobytes() and ours.indices.tobytes() == theirs.indices.tobytes()


def test_faults_of_coordinates_are_named():
    adata = cells(20)
    bad = adata.copy()
    bad.obsm["spatial"][3, 1] = np.nan
    for build in (zs.sp.spatial_neighbors_knn, zs.sp.spatial_neighbors_delaunay, zs.sp.spatial_neighbors_grid):
        with pytest.raises(NonFiniteError, match="row 3"):
            build(bad)
        with pytest.raises(MissingKeyError, match="adata.obsm"):
            build(adata, spatial_key="nowhere")
        with pytest.raises(MissingKeyError, match="adata.obs"):
            build(adata, library_key="nowhere")
    assert "spatial_connectivities" not in bad.obsp
    with pytest.raises(ShapeError, match="2 or 3"):
        zs.arrays.spatial_neighbors_knn(np.zeros((5, 4)))
    with pytest.raises(TooFewError, match="n_neighs"):
        zs.arrays.spatial_neighbors_knn(np.zeros((5, 2)), n_neighs=5)
    with pytest.raises(TooFewError, match="library 'b'"):
        zs.arrays.spatial_neighbors_knn(np.arange(20.0).reshape(10, 2), libraries=["a"] * 8 + ["b"] * 2)
    with pytest.raises(DataError, match="line"):
        zs.arrays.spatial_neighbors_delaunay(np.arange(20.0).reshape(10, 2))
    adata.obs["library"] = adata.obs["library"].where(np.arange(20) != 4)
    with pytest.raises(DataError, match="row 4"):
        zs.sp.spatial_neighbors_knn(adata, library_key="library")
    places = adata.obsm["spatial"]
    for wrong in (
        lambda: zs.arrays.spatial_neighbors_knn(places, n_neighs=0),
        lambda: zs.arrays.spatial_neighbors_knn(places, transform="none"),
        lambda: zs.arrays.spatial_neighbors_knn(places, percentile=101),
        lambda: zs.arrays.spatial_neighbors_radius(places, -1),
        lambda: zs.arrays.spatial_neighbors_radius(places, (1, 2, 3)),
        lambda: zs.arrays.spatial_neighbors_radius(places, np.inf),
        lambda: zs.arrays.spatial_neighbors_grid(places, n_rings=0),
        lambda: zs.arrays.spatial_neighbors_grid(places, n_neighs=4, delaunay=True),
    ):
        with pytest.raises(ParameterError):
            wrong()


def test_results_go_through_a_file(tmp_path):
    adata = cells()
    copy = zs.sp.spatial_neighbors_radius(adata, (1, 9), library_key="library", key_added="near", copy=True)
    assert not adata.obsp and "near_neighbors" in copy.uns
    copy.write(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert (back.obsp["near_connectivities"] != copy.obsp["near_connectivities"]).nnz == 0
    assert back.uns["zensaibo"]["spatial_neighbors_radius"]["options"]["library_key"] == "library"


@pytest.mark.parametrize("dimensions", [2, 3])
def test_squidpy_has_the_same_graphs(dimensions):
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed: parity with it is not looked at")
    adata = cells(dimensions=dimensions)
    pairs = [
        (zs.sp.spatial_neighbors_knn, sq.gr.spatial_neighbors_knn, {"n_neighs": 7}),
        (zs.sp.spatial_neighbors_knn, sq.gr.spatial_neighbors_knn, {"transform": "cosine", "library_key": "library"}),
        (zs.sp.spatial_neighbors_radius, sq.gr.spatial_neighbors_radius, {"radius": 12.0}),
        (zs.sp.spatial_neighbors_radius, sq.gr.spatial_neighbors_radius, {"radius": (4.0, 12.0), "set_diag": True}),
        (zs.sp.spatial_neighbors_delaunay, sq.gr.spatial_neighbors_delaunay, {"library_key": "library"}),
        (zs.sp.spatial_neighbors_delaunay, sq.gr.spatial_neighbors_delaunay, {"radius": (3.0, 15.0)}),
        (zs.sp.spatial_neighbors_grid, sq.gr.spatial_neighbors_grid, {}),
        (zs.sp.spatial_neighbors_grid, sq.gr.spatial_neighbors_grid, {"n_rings": 3}),
    ]
    for ours, theirs, options in pairs:
        a, b = adata.copy(), adata.copy()
        ours(a, **options)
        theirs(b, **options)
        for key in ("spatial_connectivities", "spatial_distances"):
            np.testing.assert_allclose(a.obsp[key].toarray(), b.obsp[key].toarray(), rtol=1e-6, atol=1e-6, err_msg=f"{ours.__name__} {options}")
    # A percentile of theirs is over the distances and a 0 for each cell.
    far = zs.arrays.spatial_neighbors_knn(adata.obsm["spatial"]).distances.data
    theirs = adata.copy()
    sq.gr.spatial_neighbors_knn(theirs, percentile=80.0)
    limit = np.percentile(np.concatenate([far, np.zeros(adata.n_obs)]), 80)
    assert theirs.obsp["spatial_connectivities"].nnz == (far <= limit).sum()
    ours = zs.arrays.spatial_neighbors_knn(adata.obsm["spatial"], percentile=80.0)
    assert ours.connectivities.nnz == (far <= np.percentile(far, 80)).sum()
