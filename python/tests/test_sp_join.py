"""Imaged cells joined to typed ones, on made data with decoys; and spaces with maps between them."""

from __future__ import annotations

import json

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import errors

TURN = np.array([[0.96, -0.28, 0, 40], [0.28, 0.96, 0, -15], [0, 0, 1, 8], [0, 0, 0, 1.0]])


def cloud(n, seed, side=100.0, apart=6.0):
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    kept = np.zeros((0, 3))
    while len(kept) < n:
        drawn = rng.uniform(0, side, (n, 3))
        kept = np.concatenate([kept, drawn])
        near = cKDTree(kept).query_pairs(apart, output_type="ndarray")
        kept = np.delete(kept, np.unique(near.max(axis=1)), axis=0) if len(near) else kept
    return kept[:n]


def two_sides(n=500, decoys=120, noise=0.5, seed=0):
    """Typed cells, and of most of them the imaged ones, moved, shuffled, with others among them."""
    rng = np.random.default_rng(seed)
    places = cloud(n + decoys, seed)
    typed_places, other = places[:n], places[n:]
    seen = rng.permutation(n)[: int(0.8 * n)]
    imaged_places = np.concatenate([typed_places[seen] + rng.normal(0, noise, (len(seen), 3)), other])
    truth = np.concatenate([seen, np.full(len(other), -1)])
    order = rng.permutation(len(truth))
    imaged_places, truth = imaged_places[order], truth[order]
    kinds = pd.Categorical(np.array(list("abc"))[rng.integers(0, 3, n)])
    typed = ad.AnnData(
        rng.poisson(3, (n, 4)).astype(np.float32),
        obs=pd.DataFrame({"type": kinds}, index=[f"t{i}" for i in range(n)]),
        var=pd.DataFrame(index=list("WXYZ")),
    )
    typed.obsm["spatial"] = typed_places
    imaged = ad.AnnData(np.zeros((len(truth), 1), np.float32), obs=pd.DataFrame(index=[f"i{i}" for i in range(len(truth))]))
    imaged.obsm["spatial"] = (imaged_places - TURN[:3, 3]) @ np.linalg.inv(TURN[:3, :3]).T
    for side in (imaged, typed):
        side.uns["spatial_space"] = {"name": "here", "unit": "micrometer", "axes": "xyz"}
    return imaged, typed, truth


@pytest.mark.parametrize("one_to_one", [True, False])
def test_by_place_partners_come_back_and_decoys_stay_alone(one_to_one):
    imaged, typed, truth = two_sides()
    joined = zs.sp.join_cells(imaged, typed, transform=TURN, labels="type", genes=["X", "Z"], one_to_one=one_to_one)
    assert "join_match" not in imaged.obs and joined.n_obs == imaged.n_obs
    match = joined.obs["join_match"].astype(object).where(joined.obs["join_match"].notna(), "").to_numpy()
    right = np.array([f"t{i}" if i >= 0 else "" for i in truth])
    has = match != ""
    assert (match[has] == right[has]).mean() > 0.97 and (match[right != ""] == right[right != ""]).mean() > 0.93
    assert has[right == ""].mean() < 0.05
    kinds = joined.obs["type"].astype(object).to_numpy()[has]
    partner = typed.obs_names.get_indexer(match[has])
    assert (kinds == typed.obs["type"].astype(object).to_numpy()[partner]).mean() > 0.98
    assert joined.obs["type"][~has].isna().all() and (joined.obs["type_confidence"][~has] == 0).all()
    weights = joined.obsm["join_weights"]
    assert sparse.issparse(weights) and weights.shape == (imaged.n_obs, typed.n_obs)
    assert np.asarray(weights.sum(axis=1)).max() <= 1 + 1e-9
    carried = joined.obsm["join_expression"]
    assert list(carried) == ["X", "Z"] and carried[~has].isna().all(axis=None)
    if one_to_one:
        assert len(set(match[has])) == has.sum()
        np.testing.assert_allclose(carried.to_numpy()[has], typed[partner][:, ["X", "Z"]].X, rtol=1e-6)
        assert joined.uns["join"]["false_match_rate"] < 0.05
    assert np.nanmax(joined.obs["join_distance"]) < 5 and joined.uns["join"]["joined"] == has.sum()
    for threads in (1, 2):
        again = zs.sp.join_cells(imaged, typed, transform=TURN, labels="type", one_to_one=one_to_one, threads=threads)
        assert (again.obsm["join_weights"] != weights).nnz == 0


def test_by_place_through_an_alignment_and_what_does_not_fit(tmp_path):
    imaged, typed, truth = two_sides(seed=3)
    found = zs.sp.align(imaged.copy(), typed.copy(), landmarks=(imaged.obsm["spatial"][truth >= 0][:12], typed.obsm["spatial"][truth[truth >= 0][:12]]))
    joined = zs.sp.join_cells(imaged, typed, transform=found, labels="type")
    assert joined.uns["join"]["joined"] > 350
    spaces = zs.sp.Spaces()
    spaces.add("live", "here", found)
    named = imaged.copy()
    named.uns["spatial_space"] = {"name": "live", "unit": "micrometer", "axes": "xyz"}
    by_name = zs.sp.join_cells(named, typed, transform=spaces, labels="type")
    assert (by_name.obsm["join_weights"] != joined.obsm["join_weights"]).nnz == 0
    np.testing.assert_array_equal(by_name.obsm["spatial_here"], found.placed)
    assert zs.sp.Spaces.from_uns(by_name).names == ["live", "here"] and "spaces" not in named.uns
    with pytest.raises(errors.MissingKeyError, match=r"imaged\.uns"):
        zs.sp.join_cells(ad.AnnData(np.zeros((imaged.n_obs, 1)), obsm={"spatial": imaged.obsm["spatial"]}), typed, transform=spaces)
    joined.write_h5ad(tmp_path / "joined.h5ad")
    back = ad.read_h5ad(tmp_path / "joined.h5ad")
    assert (back.obsm["join_weights"] != joined.obsm["join_weights"]).nnz == 0
    far = imaged.copy()
    far.obsm["spatial"] = far.obsm["spatial"] + 1e5
    with pytest.raises(errors.TooFewError, match="mirrored, or in another unit"):
        zs.sp.join_cells(far, typed)
    other = imaged.copy()
    other.uns["spatial_space"] = {"name": "here", "unit": "voxel"}
    with pytest.raises(errors.DataError, match="'voxel'"):
        zs.sp.join_cells(other, typed)
    mirrored = imaged.copy()
    mirrored.obsm["spatial"] = imaged.obsm["spatial"] * [-1, 1, 1] + [100, 0, 0]
    with pytest.raises(errors.TooFewError, match="mirrored, or in another unit"):
        zs.sp.join_cells(mirrored, typed)
    chance = imaged.copy()
    chance.obsm["spatial"] = cloud(imaged.n_obs, 77)
    with pytest.warns(UserWarning, match="likely false"):
        zs.sp.join_cells(chance, typed, min_probability=0.02)


def marked(n, seed, counts):
    """Types by three genes, seen as counts or as brightness."""
    rng = np.random.default_rng(seed)
    kind = rng.integers(0, 3, n)
    mean = np.full((n, 5), 1.0)
    mean[np.arange(n), kind] = 6.0
    depth = rng.lognormal(0, 0.2, (n, 1))
    if counts:
        values = np.log1p(rng.poisson(mean * depth)).astype(np.float32)
    else:
        values = (200 + 37 * mean[:, :3] ** 0.8 * rng.lognormal(0, 0.25, (n, 3))).astype(np.float32)
    obs = pd.DataFrame({"type": pd.Categorical(np.array(["p", "q", "r"])[kind])}, index=[f"{'s' if counts else 'v'}{i}" for i in range(n)])
    names = ["GA", "GB", "GC", "GD", "GE"] if counts else ["GA", "GB", "red"]
    return ad.AnnData(values, obs=obs, var=pd.DataFrame(index=names))


def test_by_markers_types_come_back():
    imaged, typed = marked(600, 1, False), marked(800, 2, True)
    truth = imaged.obs.pop("type")
    joined = zs.sp.join_cells(imaged, typed, by="markers", markers={"GA": "GA", "GB": "GB", "red": "GC"}, labels="type", genes=["GD"])
    assert (joined.obs["type"].astype(str) == truth.astype(str)).mean() > 0.93
    assert np.asarray(joined.obsm["join_weights"].sum(axis=1)) == pytest.approx(1)
    wrong = (joined.obs["type"].astype(str) != truth.astype(str)).to_numpy()
    sure = joined.obs["type_confidence"].to_numpy()
    assert sure[wrong].mean() < sure[~wrong].mean() - 0.1
    two = zs.sp.join_cells(imaged, typed, by="markers", labels="type")
    assert two.uns["join"]["markers"] == ["GA", "GB"]
    strict = zs.sp.join_cells(imaged, typed, by="markers", markers={"red": "GC"}, labels="type", min_confidence=0.9)
    assert 0.2 < strict.obs["type"].isna().mean() < 0.9 and (strict.obs["type"].dropna() == "r").mean() > 0.9
    typed.obsm["X_pca"] = typed.X[:, :3]
    three = {"GA": "GA", "GB": "GB", "red": "GC"}
    smoothed = zs.sp.join_cells(imaged, typed, by="markers", markers=three, labels="type", smooth=15)
    assert smoothed.uns["join"]["smooth"] == 15 and (smoothed.obs["type"].astype(str) == truth.astype(str)).mean() > 0.93
    again = zs.sp.join_cells(imaged, typed, by="markers", labels="type", threads=1, smooth=0)
    assert (again.obsm["join_weights"] != zs.sp.join_cells(imaged, typed, by="markers", threads=2, smooth=0).obsm["join_weights"]).nnz == 0
    with pytest.raises(errors.DataError, match="which channel is which gene"):
        zs.sp.join_cells(imaged[:, ["red"]].copy(), typed, by="markers")
    with pytest.raises(errors.MissingKeyError, match="'GQ'"):
        zs.sp.join_cells(imaged, typed, by="markers", markers={"red": "GQ"})
    with pytest.raises(errors.ParameterError, match="n_neighbors"):
        zs.sp.join_cells(imaged, typed, by="markers", n_neighbors=0)


def test_by_a_map_made_before():
    imaged, typed = marked(4, 1, False), marked(3, 2, True)
    typed.obs["type"] = pd.Categorical(["p", "q", "q"])
    weights = sparse.csr_matrix(np.array([[2.0, 1, 1], [0, 0, 5], [0, 0, 0], [1, 2, 0]]))
    joined = zs.sp.join_cells(imaged, typed, by="mapping", mapping=weights, labels="type", genes=["GA"])
    assert joined.obs["type"].astype(object).where(joined.obs["type"].notna(), None).tolist() == ["p", "q", None, "q"]
    assert joined.obs["type_confidence"].tolist() == pytest.approx([0.5, 1, 0, 2 / 3])
    assert joined.obs["join_match"].astype(object).where(joined.obs["join_match"].notna(), None).tolist() == ["s0", "s2", None, "s1"]
    expected = (typed[:, "GA"].X.ravel() * [0.5, 0.25, 0.25]).sum()
    assert joined.obsm["join_expression"]["GA"].iloc[0] == pytest.approx(expected)
    imaged.obsm["map_weights"] = weights
    assert (zs.sp.join_cells(imaged, typed, by="mapping").obsm["join_weights"] != joined.obsm["join_weights"]).nnz == 0
    with pytest.raises(errors.ShapeError, match=r"\(4, 3\)"):
        zs.sp.join_cells(imaged, typed, by="mapping", mapping=weights.T)
    with pytest.raises(errors.DataError, match="at least 0"):
        zs.sp.join_cells(imaged, typed, by="mapping", mapping=-weights)
    with pytest.raises(errors.MissingKeyError, match="other"):
        zs.sp.join_cells(imaged, typed, by="mapping", mapping="other")
    with pytest.raises(errors.TooFewError, match="mapping"):
        zs.sp.join_cells(imaged, typed, by="mapping", mapping=weights * 0)
    with pytest.raises(errors.ParameterError, match="`gate`"):
        zs.sp.join_cells(imaged, typed, by="mapping", mapping=weights, gate=2.0)
    with pytest.raises(errors.ParameterError, match="`by`"):
        zs.sp.join_cells(imaged, typed, by="guess")


# --- spaces -----------------------------------------------------------------------------------------------------------


def bent(seed=0):
    """A map with a smooth part, from an alignment."""
    places = cloud(300, seed, apart=5.0)
    moved = places + 2 * np.sin(places[:, [1, 2, 0]] / 25)
    return zs.arrays.align_points(places, moved, initial=np.eye(4)).transform


@pytest.fixture(scope="module")
def graph():
    spaces = zs.sp.Spaces()
    spaces.add("live", "fixed", TURN)
    smooth = bent()
    spaces.add("fixed", "cleared", smooth)
    field = smooth.to_registration((30, 30, 30), (4, 4, 4), (30, 30, 30), (4, 4, 4), step=2)
    spaces.add("cleared", "atlas:toy", field)
    spaces.add("section", "fixed", np.diag([2.0, 3.0, 4.0, 1.0]), axes="zyx")
    return spaces


def test_places_go_along_the_fewest_maps_and_come_back(graph):
    assert graph.names == ["live", "fixed", "cleared", "atlas:toy", "section"]
    assert [(edge.source, back) for edge, back in graph.path("section", "atlas:toy")] == [("section", False), ("fixed", False), ("cleared", False)]
    assert [(edge.source, back) for edge, back in graph.path("atlas:toy", "live")] == [("cleared", True), ("fixed", True), ("live", True)]
    assert graph.path("live", "live") == []
    places = np.random.default_rng(0).uniform(30, 80, (50, 3))
    start = (places - TURN[:3, 3]) @ np.linalg.inv(TURN[:3, :3]).T
    np.testing.assert_allclose(graph.transform_points(start, "live", "fixed"), places, atol=1e-9)
    there = graph.transform_points(start, "live", "atlas:toy")
    assert np.abs(there - places).max() > 0.5
    np.testing.assert_allclose(graph.transform_points(there, "atlas:toy", "live"), start, atol=1e-4)
    step = graph.edges[1].transform.transform_points(places)
    np.testing.assert_allclose(graph.transform_points(places, "fixed", "cleared"), step, atol=0)
    # A map in the order of volumes: z is doubled, x fourfold.
    np.testing.assert_allclose(graph.transform_points(np.array([[1.0, 1, 1]]), "section", "fixed"), [[4, 3, 2]])
    matrix = graph.matrix("section", "live")
    np.testing.assert_allclose(matrix, np.linalg.inv(TURN) @ np.diag([4.0, 3, 2, 1]), atol=1e-12)
    assert graph.matrix("live", "cleared") is None and (graph.matrix("live", "live") == np.eye(4)).all()
    lost = graph.transform_points(np.array([[np.nan, 0, 0], [40.0, 40, 40]]), "live", "cleared")
    assert np.isnan(lost[0]).all() and np.isfinite(lost[1]).all()


def test_an_anndata_is_moved_and_carries_its_spaces(graph, tmp_path):
    cells = ad.AnnData(np.zeros((20, 1), np.float32))
    cells.obsm["spatial"] = np.random.default_rng(1).uniform(30, 80, (20, 3))
    cells.uns["spatial_space"] = {"name": "fixed", "unit": "micrometer"}
    graph.move(cells, "live")
    np.testing.assert_allclose(graph.transform_points(cells.obsm["spatial_live"], "live", "fixed"), cells.obsm["spatial"])
    graph.to_uns(cells)
    cells.write_h5ad(tmp_path / "cells.h5ad")
    graph.save(tmp_path / "spaces")
    assert json.loads((tmp_path / "spaces" / "spaces.json").read_text())["version"] == 1
    for back in (zs.sp.Spaces.from_uns(ad.read_h5ad(tmp_path / "cells.h5ad")), zs.sp.Spaces.load(tmp_path / "spaces")):
        assert back.names == graph.names
        for source in graph.names:
            for target in graph.names:
                np.testing.assert_array_equal(
                    back.transform_points(cells.obsm["spatial"], source, target), graph.transform_points(cells.obsm["spatial"], source, target)
                )
    with pytest.raises(errors.FileError, match="does not exist yet"):
        graph.save(tmp_path / "spaces")
    with pytest.raises(errors.FileError, match=r"spaces\.json"):
        zs.sp.Spaces.load(tmp_path / "nothing")
    (tmp_path / "spaces" / "spaces.json").write_text("{}")
    with pytest.raises(errors.FormatError, match="version 1"):
        zs.sp.Spaces.load(tmp_path / "spaces")
    with pytest.raises(errors.MissingKeyError, match="spaces"):
        zs.sp.Spaces.from_uns(ad.AnnData(np.zeros((1, 1))))


@pytest.mark.parametrize("kind", ["identity", "shift", "scale", "affine", "affine_2d"])
def test_every_linear_map_goes_through_spatialdata(kind, tmp_path):
    pytest.importorskip("pyarrow")
    matrix = {
        "identity": np.eye(4),
        "shift": np.array([[1.0, 0, 0, 5], [0, 1, 0, -2], [0, 0, 1, 0.125], [0, 0, 0, 1]]),
        "scale": np.diag([2.0, 0.5, 4.0, 1]),
        "affine": TURN,
        "affine_2d": np.array([[0.9, -0.2, 4], [0.1, 1.1, -3], [0, 0, 1.0]]),
    }[kind]
    d = len(matrix) - 1
    spaces = zs.sp.Spaces()
    spaces.add("sample", "atlas", matrix)
    places = np.random.default_rng(0).uniform(0, 50, (12, d))
    store = zs.io.SpatialStore(points={"cells": zs.io.Element(pd.DataFrame(places, columns=list("xyz")[:d]), unit="micrometer")})
    assert spaces.into_spatialdata(store, {"cells": "sample"}) == []
    zs.io.write_spatialdata(store, tmp_path / "store.zarr")
    back = zs.io.read_spatialdata(tmp_path / "store.zarr").points["cells"]
    np.testing.assert_array_equal(back.transforms["atlas"], matrix)
    np.testing.assert_array_equal(back.transforms["sample"], np.eye(d + 1))
    np.testing.assert_allclose(back.to_space(back.data[list("xyz")[:d]], "atlas"), spaces.transform_points(places, "sample", "atlas"), rtol=1e-12)
    again = zs.sp.Spaces.from_spatialdata(zs.io.read_spatialdata(tmp_path / "store.zarr"))
    np.testing.assert_allclose(again.transform_points(places, "sample", "atlas"), spaces.transform_points(places, "sample", "atlas"), rtol=1e-12)
    np.testing.assert_allclose(again.transform_points(spaces.transform_points(places, "sample", "atlas"), "atlas", "sample"), places, atol=1e-9)


def test_the_package_spatialdata_reads_the_same_maps(tmp_path):
    spatialdata = pytest.importorskip("spatialdata")
    from spatialdata.transformations import get_transformation

    spaces = zs.sp.Spaces()
    spaces.add("sample", "atlas", TURN)
    store = zs.io.SpatialStore(points={"cells": zs.io.Element(pd.DataFrame(np.eye(3), columns=list("xyz")), unit="micrometer")})
    spaces.into_spatialdata(store, {"cells": "sample"})
    zs.io.write_spatialdata(store, tmp_path / "store.zarr")
    theirs = get_transformation(spatialdata.read_zarr(tmp_path / "store.zarr").points["cells"], "atlas")
    np.testing.assert_allclose(theirs.to_affine_matrix(("x", "y", "z"), ("x", "y", "z")), TURN, atol=1e-12)


def test_bent_maps_are_named_since_spatialdata_holds_none(graph):
    store = zs.io.SpatialStore(points={"cells": zs.io.Element(pd.DataFrame(np.zeros((1, 3)), columns=list("xyz")))})
    assert graph.into_spatialdata(store, {"cells": "live"}) == ["cleared", "atlas:toy"]
    assert set(store.points["cells"].transforms) == {"live", "fixed", "section"}
    with pytest.raises(errors.MissingKeyError, match="beads"):
        graph.into_spatialdata(store, {"beads": "live"})


def test_maps_that_are_none_are_refused(graph):
    spaces = zs.sp.Spaces()
    spaces.add("a", "b", np.eye(4))
    spaces.add("c", "d", np.eye(3))
    for match, arguments in (
        ("no map joins", ("b", "a", np.eye(4))),
        ("another space", ("a", "a", np.eye(4))),
        ("expected a matrix", ("a", "x", 3.0)),
        ("`axes`", ("a", "x", np.eye(4))),
    ):
        with pytest.raises(errors.ParameterError, match=match):
            spaces.add(*arguments, axes="zxy" if match == "`axes`" else None)
    with pytest.raises(errors.DataError, match="inverse"):
        spaces.add("a", "x", np.diag([1.0, 0, 1, 1]))
    with pytest.raises(errors.MissingKeyError, match="no way"):
        spaces.path("a", "c")
    with pytest.raises(errors.MissingKeyError, match="`q`"):
        spaces.path("a", "q")
    with pytest.raises(errors.ShapeError, match="2 coordinates"):
        spaces.transform_points(np.zeros((1, 3)), "c", "d")
    with pytest.raises(errors.MissingKeyError, match="spatial_space"):
        cells = ad.AnnData(np.zeros((1, 1)))
        cells.obsm["spatial"] = np.zeros((1, 3))
        spaces.move(cells, "b")


def test_a_map_that_was_made_joins_the_cells_as_it_labels_them():
    made = zs.datasets.phantom_organoid(cells=400, radius=40, genes=200, channels=1, seed=2)
    known = made.sequenced.copy()
    placed = made.truth[:, made.truth.var["kind"] != "other"].copy()
    truth = placed.obs.pop("cell_type").astype(str).to_numpy()
    for side in (known, placed):
        zs.pp.normalize_total(side, target_sum=1e4)
        zs.pp.log1p(side)
    zs.sp.map_cells(known, placed, labels="cell_type", impute=None)
    joined = zs.sp.join_cells(placed, known, by="mapping", labels="cell_type")
    assert (joined.obs["cell_type"].astype(str).to_numpy() == truth).mean() > 0.9
    assert (joined.obs["cell_type"].astype(str) == placed.obs["map_cell_type"].astype(str)).all()
