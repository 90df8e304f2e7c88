"""Cells per structure and per voxel: sums conserved whatever comes in, volumes as deformed, tables of several samples."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

import zensaibo as zs
from zensaibo import errors


def atlas_of(ids: np.ndarray, parents: list[int], spacing=50.0, **more) -> zs.im.Atlas:
    """Structure k + 1 is part of structure parents[k] (0: of none)."""
    n = len(parents)
    table = pd.DataFrame(
        {
            "id": range(1, n + 1),
            "acronym": [f"s{k}" for k in range(1, n + 1)],
            "name": [f"structure {k}" for k in range(1, n + 1)],
            "parent_structure_id": [parent or np.nan for parent in parents],
        }
    )
    return zs.im.load_atlas(annotation=ids, structures=table, spacing=spacing, orientation="asr", name="made", **more)


def moved(atlas: zs.im.Atlas, vectors: np.ndarray, field_spacing, affine: np.ndarray) -> zs.im.Registration:
    fixed = (atlas.annotation.shape, atlas.spacing)
    core = zs._core.Registration(np.ascontiguousarray(vectors, "f4"), tuple(field_spacing), affine, fixed, fixed, "{}")
    return zs.im.Registration(core)


def waves(shape, um, size=25.0) -> np.ndarray:
    """Smooth displacements in micrometres."""
    rng = np.random.default_rng(5)
    out = np.stack([ndimage.gaussian_filter(rng.normal(size=shape), 2.0) for _ in range(3)], axis=-1)
    return (out / np.abs(out).max() * size).astype("f4")


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    parents=st.lists(st.integers(0, 6), min_size=1, max_size=7),
    cells=st.integers(0, 300),
    spread=st.floats(0.5, 3.0),
)
def test_sums_are_conserved_at_every_level(seed, parents, cells, spread):
    rng = np.random.default_rng(seed)
    # A parent comes before its part, so that it is a tree.
    parents = [min(parent, k) for k, parent in enumerate(parents)]
    n = len(parents)
    ids = rng.integers(0, n + 1, (4, 5, 6)).astype("u4")
    ids[0, 0, 0] = n
    atlas = atlas_of(ids, parents, spacing=(39.0, 25.0, 16.75))
    extent = np.array(ids.shape) * np.array(atlas.spacing)
    points = extent * (0.5 + spread * (rng.random((cells, 3)) - 0.5))
    points[rng.random(cells) < 0.1] = np.inf
    table = zs.im.count_regions(points, atlas)
    nowhere = [table.attrs[key] for key in ("background", "outside", "lost")]
    assert table["own_cell_count"].sum() + sum(nowhere) == table.attrs["cells"] == cells
    np.testing.assert_array_equal(table["left_cell_count"] + table["right_cell_count"], table["total_cells"])
    by_id = table.set_index("id")
    for row in table.itertuples():
        parts = table[table["parent_id"] == row.id]
        assert row.total_cells == row.own_cell_count + parts["total_cells"].sum()
        voxels = (ids == row.id).sum() * np.prod(atlas.spacing) * 1e-9
        assert np.isclose(row.total_volume_mm3, voxels + parts["total_volume_mm3"].sum(), rtol=1e-12)
    roots = by_id[by_id["parent_id"] == 0]
    assert roots["total_cells"].sum() == cells - sum(nowhere)
    assert np.isclose(roots["total_volume_mm3"].sum(), (ids > 0).sum() * np.prod(atlas.spacing) * 1e-9)


def test_negative_coordinates_are_flagged_and_not_wrapped():
    ids = np.ones((4, 4, 4), "u4")
    atlas = atlas_of(ids, [0], spacing=25.0)
    points = np.array([[-3.0, 5, 5], [-3 * 25.0, 5, 5], [-12.4, 0, 0], [-12.6, 0, 0], [0, 0, 87.4], [0, 0, 87.6]])
    table = zs.im.point_table(points, atlas)
    assert list(table["structure_name"]) == ["structure 1", "outside", "structure 1", "outside", "structure 1", "outside"]
    assert list(table["hemisphere"]) == ["right", "none", "right", "none", "left", "none"]
    np.testing.assert_array_equal(table["structure_id"], [1, 0, 1, 0, 1, 0])
    found = zs.im.count_regions(points, atlas)
    assert found.attrs["outside"] == 3
    # Signed: a difference of counts may be negative.
    assert (found["left_cell_count"] - found["right_cell_count"]).tolist() == [-1]


def test_points_keep_their_rows():
    rng = np.random.default_rng(1)
    atlas = atlas_of(rng.integers(0, 3, (6, 6, 6)).astype("u4"), [0, 1], spacing=(39.0, 39.0, 39.0))
    points = rng.uniform(-100, 350, (400, 3))
    affine = np.hstack([np.diag([1.1, 0.9, 1.2]), [[10.0], [-5.0], [3.0]]])
    reg = moved(atlas, np.zeros((6, 6, 6, 3)), atlas.spacing, affine)
    cells = ad.AnnData(np.zeros((400, 1), "f4"), obsm={"spatial": points[:, ::-1].copy()})
    table = zs.im.point_table(cells, atlas, reg, spacing=(5.0, 2.0, 2.0))
    raw = table[[f"coordinate_raw_axis_{axis}" for axis in range(3)]].to_numpy()
    np.testing.assert_allclose(raw * [5.0, 2.0, 2.0], points)
    there = table[[f"coordinate_atlas_axis_{axis}" for axis in range(3)]].to_numpy() * 39.0
    np.testing.assert_allclose(there @ affine[:, :3].T + affine[:, 3], points, atol=1e-6)
    zs.im.count_regions(cells, atlas, reg)
    assert (cells.obs["region"].astype(str).to_numpy() == table["acronym"].to_numpy()).all()
    np.testing.assert_array_equal(zs.im.point_table(points, atlas, reg)["coordinate_raw_axis_1"], points[:, 1])


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_volumes_are_those_of_the_sample(factor):
    rng = np.random.default_rng(2)
    shape = (12, 11, 13)
    ids = rng.integers(0, 4, shape).astype("u4")
    atlas = atlas_of(ids, [0, 1, 1], spacing=(40.0, 50.0, 30.0))
    coarse = tuple(-(-n // factor) for n in shape)
    um = np.array(atlas.spacing) * factor
    affine = np.hstack([np.diag([1.2, 1.0, 0.9]), np.zeros((3, 1))])
    reg = moved(atlas, waves(coarse, um), um, affine)
    table = zs.im.count_regions(np.zeros((0, 3)), atlas, reg)
    # By hand: the Jacobian interpolated linearly at the centres of the voxels.
    at = np.indices(shape) / factor
    at = np.minimum(at, (np.array(coarse) - 1).reshape(3, 1, 1, 1))
    growth = ndimage.map_coordinates(reg.jacobian().astype("f8"), at, order=1)
    own = np.array([growth[ids == k].sum() for k in (1, 2, 3)]) * np.prod(atlas.spacing) * 1e-9
    np.testing.assert_allclose(table["total_volume_mm3"], [own.sum(), own[1], own[2]], rtol=1e-6)
    for threads in (1, 2, 8):
        pd.testing.assert_frame_equal(zs.im.count_regions(np.zeros((0, 3)), atlas, reg, threads=threads), table)


def test_samples_as_one_table():
    rng = np.random.default_rng(3)
    atlas = atlas_of(rng.integers(0, 4, (6, 6, 6)).astype("u4"), [0, 1, 1])
    tables = {f"m{k}": zs.im.count_regions(rng.uniform(-40, 320, (50 * k, 3)), atlas) for k in (1, 2, 3)}
    adata = zs.im.region_table(tables, {"m1": "control", "m2": "control", "m3": "treated", "m9": "treated"})
    assert adata.shape == (3, 3) and list(adata.obs["group"]) == ["control", "control", "treated"]
    np.testing.assert_array_equal(adata["m2"].X[0], tables["m2"]["total_cells"])
    np.testing.assert_array_equal(adata.layers["left"] + adata.layers["right"], adata.X)
    np.testing.assert_allclose(adata.layers["left_volume"] + adata.layers["right_volume"], adata.layers["volume"])
    np.testing.assert_array_equal(adata.obs["cells"], [50, 100, 150])
    assert (adata.layers["own"].sum(axis=1) + adata.obs[["background", "outside", "lost"]].sum(axis=1) == adata.obs["cells"]).all()
    assert list(adata.var_names) == ["s1", "s2", "s3"] and list(adata.var["parent_id"]) == [0, 1, 1]
    frame = pd.DataFrame({"age": [8, 9, 10], "group": list("aab")}, index=["m3", "m2", "m1"])
    assert list(zs.im.region_table(tables, frame).obs["age"]) == [10, 9, 8]
    with pytest.raises(errors.ParameterError, match="'m3'"):
        zs.im.region_table(tables, {"m1": "x", "m2": "y"})
    with pytest.raises(errors.ParameterError, match="at least one"):
        zs.im.region_table({})
    with pytest.raises(errors.ParameterError, match="no column 'outside'"):
        zs.im.region_table(tables, frame.assign(outside=1))
    with pytest.raises(errors.ParameterError, match="'m1' again"):
        zs.im.region_table(tables, frame.loc[["m1", "m1", "m2", "m3"]])
    other = zs.im.count_regions(np.zeros((0, 3)), atlas_of(np.ones((2, 2, 2), "u4"), [0]))
    with pytest.raises(errors.DataError, match="sample z.*another atlas"):
        zs.im.region_table({**tables, "z": other})
    with pytest.raises(errors.DataError, match="no left_cell_count"):
        zs.im.region_table({"m1": tables["m1"].drop(columns="left_cell_count")})


def slow_ball(points, shape, um, radius):
    centres = np.stack(np.meshgrid(*[np.arange(n) * s for n, s in zip(shape, um, strict=True)], indexing="ij"), -1)
    out = np.zeros(shape)
    for point in points:
        held = ((centres - point) ** 2).sum(-1) <= radius**2
        if held.any():
            out[held] += 1 / held.sum()
        else:
            out[tuple(np.floor(point / um + 0.5).astype(int))] += 1
    return out / (np.prod(um) * 1e-9)


def test_a_ball_by_hand():
    rng = np.random.default_rng(4)
    shape, um = (7, 8, 9), np.array([50.0, 40.0, 30.0])
    atlas = atlas_of(np.ones(shape, "u4"), [0], spacing=um)
    points = rng.uniform(-20, 1, (80, 3)) + rng.random((80, 3)) * um * (np.array(shape) - 1)
    points = points[((points > -um / 2) & (points < um * (np.array(shape) - 0.5))).all(axis=1)]
    for radius in (12.0, 60.0, 500.0):
        density = zs.im.density_volume(points, atlas, radius=radius)
        np.testing.assert_allclose(np.asarray(density), slow_ball(points, shape, um, radius), rtol=1e-5, atol=1e-4)
        assert density.spacing == tuple(um) and density.orientation == "asr"


def test_a_gaussian_is_scipys_inside():
    shape, um = (40, 41, 42), (25.0, 25.0, 25.0)
    atlas = atlas_of(np.ones(shape, "u4"), [0], spacing=um)
    # Cells on voxel centres, far from the border: what ndimage makes of the counts.
    rng = np.random.default_rng(6)
    voxels = rng.integers(17, 23, (60, 3))
    counts = np.zeros(shape)
    np.add.at(counts, tuple(voxels.T), 1)
    density = np.asarray(zs.im.density_volume(voxels * 25.0, atlas, sigma=100.0))
    expected = ndimage.gaussian_filter(counts, 4.0, truncate=4.0, mode="constant") / 0.025**3
    np.testing.assert_allclose(density, expected, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize("kernel", [{"radius": 90.0}, {"sigma": 60.0}])
def test_densities_conserve_cells_and_count_what_lies_outside(kernel, tmp_path):
    rng = np.random.default_rng(7)
    atlas = atlas_of(rng.integers(0, 2, (14, 13, 12)).astype("u4"), [0], spacing=(50.0, 40.0, 40.0))
    reg = moved(atlas, waves((14, 13, 12), atlas.spacing), atlas.spacing, np.hstack([np.diag([1.1, 0.9, 1.0]), np.zeros((3, 1))]))
    points = rng.uniform(-80, 400, (3000, 3))
    points[:5] = np.nan
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        density = np.asarray(zs.im.density_volume(points, atlas, reg, **kernel)).astype("f8")
    inside = reg.transform_points(points) / np.array(atlas.spacing)
    inside = ((inside >= -0.5) & (inside < np.array(density.shape) - 0.5)).all(axis=1)
    voxels = reg.jacobian() * np.prod(atlas.spacing) * 1e-9
    assert np.isclose((density * voxels).sum(), inside.sum(), rtol=1e-6)
    assert 1000 < inside.sum() < 2900
    assert f"{2995 - inside.sum()} lie beyond" in str(caught[-1].message) and "5 have no place" in str(caught[-1].message)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for threads in (1, 2, 8):
            again = np.asarray(zs.im.density_volume(points, atlas, reg, threads=threads, **kernel))
            np.testing.assert_array_equal(again, density.astype("f4"))
        zs.im.write(zs.im.density_volume(points, atlas, reg, **kernel), tmp_path / "density.ome.zarr")
    back = zs.im.open(tmp_path / "density.ome.zarr")
    np.testing.assert_array_equal(np.asarray(back), density.astype("f4"))
    assert back.spacing == atlas.spacing


def test_densities_refuse_what_is_no_length():
    atlas = atlas_of(np.ones((3, 3, 3), "u4"), [0])
    for bad in ({"radius": 0.0}, {"sigma": -1.0}, {"radius": float(1e9)}):
        with pytest.raises(errors.ParameterError, match=next(iter(bad))):
            zs.im.density_volume(np.zeros((1, 3)), atlas, **bad)
    with pytest.raises(errors.ShapeError, match="places"):
        zs.im.density_volume(np.zeros((1, 2)), atlas)
    other = atlas_of(np.ones((3, 3, 4), "u4"), [0])
    with pytest.raises(errors.ShapeError, match="registration"):
        zs.im.density_volume(np.zeros((1, 3)), atlas, moved(other, np.zeros((3, 3, 4, 3)), other.spacing, np.eye(3, 4)))


def test_points_come_back_where_the_field_is_steep():
    # Displacements that change by up to 0.8 of their distance: far from where one step is enough.
    rng = np.random.default_rng(8)
    shape = (16, 16, 16)
    vectors = np.zeros((*shape, 3), "f4")
    slope = 0.8 * np.sin(np.arange(16) / 2.0) * 25
    vectors[..., 0] = np.cumsum(slope)[:, None, None] / 2
    vectors[..., 2] = ndimage.gaussian_filter(rng.normal(size=shape), 1.5) * 100
    atlas = atlas_of(np.ones(shape, "u4"), [0], spacing=25.0)
    reg = moved(atlas, vectors, (25.0,) * 3, np.hstack([np.eye(3), [[5.0], [6.0], [7.0]]]))
    assert reg.jacobian().min() > 0.05
    points = rng.uniform(-30, 16 * 25 + 30, (20000, 3))
    there = reg.transform_points(points, inverse=True)
    np.testing.assert_allclose(reg.transform_points(there), points, atol=2e-4)


def test_the_allen_atlas_as_a_map():
    folder = data_path("allen_ccf_mouse_atlas")
    atlas = zs.im.load_atlas(
        annotation=folder / "annotation_100.nii.gz",
        template=folder / "average_template_100.nii.gz",
        structures=folder / "structure_tree_safe_2017.csv",
    )
    rng = np.random.default_rng(9)
    voxels = np.argwhere(atlas.mask("HPF"))
    points = (voxels[rng.integers(0, len(voxels), 50_000)] + rng.uniform(-0.5, 0.5, (50_000, 3))) * 100.0
    table = zs.im.count_regions(points, atlas).set_index("acronym")
    assert table.loc["HPF", "total_cells"] == 50_000 and table.loc["root", "total_cells"] == 50_000
    density = np.asarray(zs.im.density_volume(points, atlas, radius=150.0))
    assert np.isclose(density.sum() * 1e-3, 50_000, rtol=1e-5)
    inner = ndimage.binary_erosion(atlas.mask("HPF"), iterations=2)
    assert abs(density[inner].mean() / table.loc["HPF", "cells_per_mm3"] - 1) < 0.1
