"""Folders of instruments, made small from their documented layouts, and real ones; SpatialData stores there and back."""

from __future__ import annotations

import gzip
import json

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo.errors import DataError, FileError, FormatError, MissingKeyError, ParameterError, ShapeError
from zensaibo.io import Element, SpatialStore
from zensaibo.io._wkb import from_wkb, to_wkb

from conftest import data_path


def counts(n: int, genes: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).poisson(1.0, (n, genes)).astype(np.float32)


def tenx(path, matrix: np.ndarray, barcodes, genes, kinds=None) -> None:
    """A 10x HDF5 file of version 3."""
    csc = sparse.csc_matrix(matrix.T)
    with h5py.File(path, "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, dtype="S")
        group["data"], group["indices"], group["indptr"] = (
            csc.data.astype("i4"),
            csc.indices.astype("i8"),
            csc.indptr.astype("i8"),
        )
        group["shape"] = np.array(csc.shape, dtype="i4")
        features = group.create_group("features")
        features["id"] = np.array([f"ENSG{i}" for i in range(len(genes))], dtype="S")
        features["name"] = np.array(genes, dtype="S")
        features["feature_type"] = np.array(kinds or ["Gene Expression"] * len(genes), dtype="S")
        features["genome"] = np.array(["GRCh38"] * len(genes), dtype="S")


# Visium


def visium(folder, *, positions: str = "tissue_positions.csv", microns: float | None = None, factor: float = 2.0):
    """A small slide: spots 100 um apart, `factor` pixels per micrometre."""
    (folder / "spatial").mkdir(parents=True)
    rows, columns = np.divmod(np.arange(24), 4)
    array_col = 2 * columns + rows % 2
    x, y = 300 + array_col * 50 * factor, 100 + rows * 100 * np.sqrt(0.75) * factor
    barcodes = [f"AAAC{i:02d}-1" for i in range(24)]
    table = pd.DataFrame(
        {
            "barcode": barcodes,
            "in_tissue": 1,
            "array_row": rows,
            "array_col": array_col,
            "pxl_row_in_fullres": y,
            "pxl_col_in_fullres": x,
        }
    )
    if positions.endswith("parquet"):
        table.to_parquet(folder / "spatial" / positions)
    else:
        table.to_csv(folder / "spatial" / positions, index=False, header=positions == "tissue_positions.csv")
    factors = {
        "tissue_hires_scalef": 0.1,
        "tissue_lowres_scalef": 0.05,
        "spot_diameter_fullres": 65 * factor,
        "fiducial_diameter_fullres": 144 * factor,
    }
    if microns:
        factors["microns_per_pixel"] = microns
    (folder / "spatial" / "scalefactors_json.json").write_text(json.dumps(factors))
    import matplotlib.image

    picture = np.zeros((120, 110, 3))
    picture[20:30, 40:50] = (1, 0.5, 0)
    matplotlib.image.imsave(folder / "spatial" / "tissue_hires_image.png", picture)
    tenx(folder / "filtered_feature_bc_matrix.h5", counts(20, 5), barcodes[:20], [f"G{i}" for i in range(5)])
    return table


@pytest.mark.parametrize("positions", ["tissue_positions.csv", "tissue_positions_list.csv", "tissue_positions.parquet"])
def test_visium_in_micrometres_and_pixels(tmp_path, positions):
    table = visium(tmp_path / "slide", positions=positions)
    pixels = zs.io.read_visium(tmp_path / "slide", unit="pixel")
    np.testing.assert_allclose(pixels.obsm["spatial"], table[["pxl_col_in_fullres", "pxl_row_in_fullres"]][:20])
    assert (
        pixels.obs["array_row"].tolist() == table["array_row"][:20].tolist() and pixels.uns["spatial_space"]["unit"] == "pixel"
    )
    adata = zs.io.read_visium(tmp_path / "slide")
    assert adata.shape == (20, 5) and adata.uns["spatial_space"] == {"name": "slide", "unit": "micrometer", "axes": "xy"}
    np.testing.assert_allclose(adata.obsm["spatial"] * 2, pixels.obsm["spatial"], rtol=1e-9)
    entry = adata.uns["spatial"]["slide"]
    assert entry["scalefactors"]["spot_diameter_fullres"] == pytest.approx(65) and set(entry["images"]) == {"hires"}
    # The same pixel of the image for the same spot.
    np.testing.assert_allclose(
        adata.obsm["spatial"] * entry["scalefactors"]["tissue_hires_scalef"], pixels.obsm["spatial"] * 0.1
    )
    zs.sp.spatial_neighbors_grid(adata)
    assert adata.obsp["spatial_connectivities"].sum(axis=1).max() == 6


def test_visium_hd_says_how_large_its_pixels_are(tmp_path):
    visium(tmp_path / "square_008um", microns=0.25)
    adata = zs.io.read_visium(tmp_path / "square_008um", library_id="hd", load_images=False)
    assert adata.uns["spatial"]["hd"]["metadata"]["microns_per_pixel"] == 0.25 and adata.uns["spatial"]["hd"]["images"] == {}


def test_a_real_visium_folder_has_spots_of_sixty_five_micrometres():
    adata = zs.io.read_visium(data_path("tenx_format_samples/visium/1.0.0"), library_id="sample")
    factors = adata.uns["spatial"]["sample"]["scalefactors"]
    # Space Ranger gives the diameter of a spot of 65 um in pixels; we found the size of a pixel from the grid.
    assert factors["spot_diameter_fullres"] == pytest.approx(65, rel=0.01)
    pixels = zs.io.read_visium(data_path("tenx_format_samples/visium/1.0.0"), library_id="sample", unit="pixel")
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed: parity with it is not looked at")
    theirs = sq.read.visium(data_path("tenx_format_samples/visium/1.0.0"), library_id="sample")
    np.testing.assert_allclose(pixels.obsm["spatial"], theirs[pixels.obs_names].obsm["spatial"])
    assert (pixels.X != theirs[pixels.obs_names].X).nnz == 0
    assert pixels.uns["spatial"]["sample"]["scalefactors"] == pytest.approx(theirs.uns["spatial"]["sample"]["scalefactors"])


def test_visium_names_what_is_wrong(tmp_path):
    with pytest.raises(FileError, match="nothing"):
        zs.io.read_visium(tmp_path / "none")
    visium(tmp_path / "slide")
    with pytest.raises(ParameterError, match="unit"):
        zs.io.read_visium(tmp_path / "slide", unit="inch")
    table = pd.read_csv(tmp_path / "slide" / "spatial" / "tissue_positions.csv")
    table[5:].to_csv(tmp_path / "slide" / "spatial" / "tissue_positions.csv", index=False)
    with pytest.raises(FormatError, match="5 without"):
        zs.io.read_visium(tmp_path / "slide")
    (tmp_path / "slide" / "spatial" / "tissue_positions.csv").unlink()
    with pytest.raises(FileError, match="tissue_positions_list.csv"):
        zs.io.read_visium(tmp_path / "slide")
    (tmp_path / "slide" / "filtered_feature_bc_matrix.h5").unlink()
    with pytest.raises(FileError, match="the folder has spatial"):
        zs.io.read_visium(tmp_path / "slide")


# Xenium


def xenium(folder, *, ending: str = ".parquet", as_bytes: bool = False) -> pd.DataFrame:
    folder.mkdir(parents=True)
    names = [f"aaaa{i:04d}-1" for i in range(12)]
    cells = pd.DataFrame(
        {
            "cell_id": names,
            "x_centroid": np.arange(12) * 7.5,
            "y_centroid": np.arange(12) % 4 * 11.0,
            "transcript_counts": 30,
            "cell_area": 55.5,
            "nucleus_area": 20.25,
        }
    )
    if ending == ".parquet":
        stored = cells.assign(cell_id=[name.encode() for name in names]) if as_bytes else cells
        stored.to_parquet(folder / "cells.parquet")
    else:
        with gzip.open(folder / "cells.csv.gz", "wt") as file:
            cells.to_csv(file, index=False)
    kinds = ["Gene Expression"] * 4 + ["Negative Control Probe", "Unassigned Codeword"]
    tenx(
        folder / "cell_feature_matrix.h5",
        counts(12, 6),
        names,
        ["ACTA2", "CD3E", "EPCAM", "KRT8", "NegControlProbe_1", "UnassignedCodeword_1"],
        kinds,
    )
    (folder / "experiment.xenium").write_text(
        json.dumps({"run_name": "run", "region_name": "left lobe", "pixel_size": 0.2125, "images": {"x": 1}})
    )
    return cells


@pytest.mark.parametrize(("ending", "as_bytes"), [(".parquet", False), (".parquet", True), (".csv.gz", False)])
def test_xenium(tmp_path, ending, as_bytes):
    cells = xenium(tmp_path / "out", ending=ending, as_bytes=as_bytes)
    adata = zs.io.read_xenium(tmp_path / "out")
    assert adata.shape == (12, 4) and adata.obs_names.tolist() == cells["cell_id"].tolist()
    np.testing.assert_array_equal(adata.obsm["spatial"], cells[["x_centroid", "y_centroid"]])
    assert adata.obs.columns.tolist() == ["transcript_counts", "cell_area", "nucleus_area"]
    assert adata.uns["spatial_space"] == {"name": "left lobe", "unit": "micrometer", "axes": "xy"}
    assert adata.uns["spatial"]["left lobe"]["metadata"] == {
        "run_name": "run",
        "region_name": "left lobe",
        "pixel_size": 0.2125,
    }
    assert zs.io.read_xenium(tmp_path / "out", gex_only=False).n_vars == 6
    adata.write_h5ad(tmp_path / "a.h5ad")


def test_xenium_names_what_is_wrong(tmp_path):
    cells = xenium(tmp_path / "out", ending=".csv.gz")
    with gzip.open(tmp_path / "out" / "cells.csv.gz", "wt") as file:
        cells[3:].to_csv(file, index=False)
    with pytest.raises(FormatError, match="3 of 12"):
        zs.io.read_xenium(tmp_path / "out")
    with gzip.open(tmp_path / "out" / "cells.csv.gz", "wt") as file:
        cells.drop(columns="x_centroid").to_csv(file, index=False)
    with pytest.raises(FormatError, match="x_centroid"):
        zs.io.read_xenium(tmp_path / "out")
    (tmp_path / "out" / "cells.csv.gz").unlink()
    with pytest.raises(FileError, match="cells"):
        zs.io.read_xenium(tmp_path / "out")


# MERSCOPE and CosMx


def test_merscope(tmp_path):
    folder = tmp_path / "region_0"
    (folder / "images").mkdir(parents=True)
    names = [110883424764611924400221639916314253469 + i for i in range(6)]
    matrix = counts(6, 4)
    genes = ["Slc17a7", "Gad1", "Blank-1", "Aqp4"]
    pd.DataFrame(matrix.astype(int), columns=genes, index=pd.Index(names, name="cell")).to_csv(folder / "cell_by_gene.csv")
    meta = pd.DataFrame(
        {"fov": 0, "volume": 500.0, "center_x": np.arange(6) * 10.0, "center_y": 3.0},
        index=pd.Index(names[::-1], name="EntityID"),
    )
    meta.to_csv(folder / "cell_metadata.csv")
    np.savetxt(folder / "images" / "micron_to_mosaic_pixel_transform.csv", [[9.26, 0, 100], [0, 9.26, 200], [0, 0, 1]])
    adata = zs.io.read_merscope(folder)
    assert adata.obs_names.tolist() == [str(name) for name in names] and adata.var_names.tolist() == ["Slc17a7", "Gad1", "Aqp4"]
    np.testing.assert_array_equal(adata.X.toarray(), matrix[:, [0, 1, 3]])
    np.testing.assert_array_equal(adata.obsm["blank_genes"]["Blank-1"], matrix[:, 2])
    np.testing.assert_array_equal(adata.obsm["spatial"], np.column_stack([np.arange(6)[::-1] * 10.0, np.full(6, 3.0)]))
    assert adata.uns["spatial"]["region_0"]["scalefactors"]["transformation_matrix"][0, 2] == 100
    assert adata.uns["spatial_space"]["unit"] == "micrometer" and "volume" in adata.obs
    meta[1:].to_csv(folder / "cell_metadata.csv")
    with pytest.warns(UserWarning, match="left out 1 cells of the counts"):
        assert zs.io.read_merscope(folder).n_obs == 5
    meta.set_axis(range(6)).rename_axis("EntityID").to_csv(folder / "cell_metadata.csv")
    with pytest.raises(FormatError, match="both tables"):
        zs.io.read_merscope(folder)
    meta.drop(columns="center_x").to_csv(folder / "cell_metadata.csv")
    with pytest.raises(FormatError, match="center_x"):
        zs.io.read_merscope(folder)
    (folder / "cell_by_gene.csv").write_text("cell,a\n1,\n")
    with pytest.raises(FormatError, match="empty"):
        zs.io.read_merscope(folder)


def test_cosmx(tmp_path):
    fov = [1, 1, 1, 2, 2]
    cell = [0, 1, 2, 1, 2]
    matrix = counts(5, 4)
    table = pd.DataFrame(
        {
            "fov": fov,
            "cell_ID": cell,
            **{gene: matrix[:, i].astype(int) for i, gene in enumerate(["AATK", "ABL1", "NegPrb1", "XBP1"])},
        }
    )
    table.to_csv(tmp_path / "Lung5_exprMat_file.csv", index=False)
    meta = pd.DataFrame(
        {
            "fov": [1, 1, 2, 2],
            "cell_ID": [1, 2, 1, 2],
            "Area": 100,
            "CenterX_local_px": [1, 2, 3, 4],
            "CenterY_local_px": 5,
            "CenterX_global_px": [101, 102, 203, 204],
            "CenterY_global_px": 50,
        }
    )
    meta.to_csv(tmp_path / "Lung5_metadata_file.csv", index=False)
    adata = zs.io.read_cosmx(tmp_path)
    assert adata.obs_names.tolist() == ["1_1", "2_1", "1_2", "2_2"] and adata.var_names.tolist() == ["AATK", "ABL1", "XBP1"]
    np.testing.assert_array_equal(adata.X.toarray(), matrix[1:, [0, 1, 3]])
    assert (
        adata.obsm["negative_probes"]["NegPrb1"].tolist() == matrix[1:, 2].tolist()
        and adata.uns["spatial_space"]["unit"] == "pixel"
    )
    np.testing.assert_array_equal(adata.obsm["spatial"][:, 0], [101, 102, 203, 204])
    um = zs.io.read_cosmx(tmp_path, pixel_size=0.12, library_id="lung")
    np.testing.assert_allclose(um.obsm["spatial"], adata.obsm["spatial"] * 0.12)
    np.testing.assert_allclose(um.obsm["spatial_fov"][:, 0], np.array([1, 2, 3, 4]) * 0.12)
    assert um.uns["spatial_space"] == {"name": "lung", "unit": "micrometer", "axes": "xy"} and um.obs["fov"].dtype == "category"
    with pytest.raises(ParameterError, match="pixel_size"):
        zs.io.read_cosmx(tmp_path, pixel_size=0)
    table.to_csv(tmp_path / "Other_exprMat_file.csv", index=False)
    with pytest.raises(FileError, match="Lung5_exprMat_file.csv, Other_exprMat_file.csv"):
        zs.io.read_cosmx(tmp_path)
    assert zs.io.read_cosmx(tmp_path, counts_file="Other_exprMat_file.csv").n_obs == 4
    pd.concat([meta, meta]).to_csv(tmp_path / "Lung5_metadata_file.csv", index=False)
    with pytest.raises(FormatError, match="twice"):
        zs.io.read_cosmx(tmp_path, counts_file="Other_exprMat_file.csv")


# SpatialData


def store() -> SpatialStore:
    rng = np.random.default_rng(1)
    turn = np.array([[0.0, -2.0, 30.0], [2.0, 0.0, -5.0], [0.0, 0.0, 1.0]])
    image = rng.integers(0, 255, (3, 40, 60), dtype=np.uint8)
    labels = np.zeros((40, 60), np.int32)
    labels[5:10, 5:15], labels[20:30, 30:34] = 1, 7
    circles = pd.DataFrame(
        {"geometry": pd.Series(list(rng.uniform(0, 50, (6, 2))), dtype=object), "radius": 2.5},
        index=[f"spot{i}" for i in range(6)],
    )
    circles["geometry"] = pd.Series(list(rng.uniform(0, 50, (6, 2))), index=circles.index, dtype=object)
    outline = np.array([[0, 0], [10, 0], [10, 10], [0, 10], [0, 0]], float)
    hole = np.array([[2, 2], [2, 6], [6, 6], [6, 2], [2, 2]], float)
    polygons = pd.DataFrame({"geometry": pd.Series([[outline, hole], [[outline + 20], [outline + 40]]], dtype=object)})
    points = pd.DataFrame(
        {"x": rng.uniform(0, 50, 9), "y": rng.uniform(0, 50, 9), "z": np.arange(9.0), "gene": pd.Categorical(list("abcabcabc"))}
    )
    table = ad.AnnData(sparse.csr_matrix(counts(6, 4)))
    table.obs["region"], table.obs["instance"] = pd.Categorical(["spots"] * 6), circles.index.to_numpy()[::-1]
    table.uns["spatialdata_attrs"] = {"region": "spots", "region_key": "region", "instance_key": "instance"}
    return SpatialStore(
        tables={"counts": table},
        points={"molecules": Element(points, {"global": np.diag([2.0, 2.0, 1.0, 1.0])}, feature_key="gene", unit="micrometer")},
        shapes={
            "spots": Element(circles, {"global": np.eye(3), "aligned": turn}, unit="micrometer"),
            "cells": Element(polygons),
        },
        labels={"nuclei": Element(labels, {"global": np.diag([0.5, 0.5, 1.0])})},
        images={
            "he": Element(image, {"aligned": turn}, channels=["r", "g", "b"], levels=[image[:, ::2, ::2]]),
            "deep": Element(rng.random((2, 3, 8, 8))),
        },
    )


def same(a: SpatialStore, b: SpatialStore) -> None:
    for group in ("points", "shapes", "labels", "images"):
        ours, theirs = getattr(a, group), getattr(b, group)
        assert list(ours) == list(theirs) or sorted(ours) == sorted(theirs)
        for name, element in ours.items():
            other = theirs[name]
            maps = element.transforms or {"global": np.eye(len(next(iter(other.transforms.values()))))}
            assert set(maps) == set(other.transforms)
            for space, matrix in maps.items():
                np.testing.assert_allclose(other.transforms[space], matrix, atol=1e-12)
            if group in ("labels", "images"):
                np.testing.assert_array_equal(np.asarray(element.data[...]), np.asarray(other.data[...]))
                assert len(element.levels) == len(other.levels)
                continue
            plain = [column for column in element.data if column != "geometry"]
            pd.testing.assert_frame_equal(pd.DataFrame(element.data)[plain], other.data[plain])
            if group == "shapes":
                for one, two in zip(element.data["geometry"], other.data["geometry"], strict=True):
                    assert to_wkb(one, "") == to_wkb(two, "")


def test_a_store_reads_back_as_it_was(tmp_path):
    one = store()
    zs.io.write_spatialdata(one, tmp_path / "a.zarr")
    two = zs.io.read_spatialdata(tmp_path / "a.zarr")
    same(one, two)
    assert (
        two.images["he"].channels == ["r", "g", "b"]
        and two.points["molecules"].feature_key == "gene"
        and two.points["molecules"].unit == "micrometer"
    )
    zs.io.write_spatialdata(two, tmp_path / "a.zarr")
    same(one, zs.io.read_spatialdata(tmp_path / "a.zarr"))
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zarr"]


def test_the_places_of_a_table_are_those_of_its_shapes(tmp_path):
    one = store()
    zs.io.write_spatialdata(one, tmp_path / "a.zarr")
    two = zs.io.read_spatialdata(tmp_path / "a.zarr")
    adata = two.to_adata(space="aligned")
    places = np.array(list(one.shapes["spots"].data["geometry"]))[::-1]
    np.testing.assert_allclose(adata.obsm["spatial"], np.column_stack([-2 * places[:, 1] + 30, 2 * places[:, 0] - 5]))
    assert adata.uns["spatial_space"] == {"name": "aligned", "unit": "micrometer", "axes": "xy"}
    zs.sp.spatial_neighbors_knn(adata, n_neighs=2)
    table = two.tables["counts"][:2].copy()
    table.obs["region"], table.obs["instance"] = pd.Categorical(["nuclei"] * 2), [7, 1]
    table.uns["spatialdata_attrs"] = {"region": "nuclei", "region_key": "region", "instance_key": "instance"}
    two.tables = {"t": table}
    np.testing.assert_allclose(two.to_adata().obsm["spatial"], [[16.0, 12.5], [5.0, 3.75]])
    table.obs["region"], table.obs["instance"] = pd.Categorical(["cells"] * 2), [0, 1]
    table.uns["spatialdata_attrs"]["region"] = "cells"
    # A square of 100 around 5, 5 less one of 16 around 4, 4; and two equal squares.
    np.testing.assert_allclose(two.to_adata().obsm["spatial"], [[(500 - 64) / 84] * 2, [35.0, 35.0]])
    with pytest.raises(MissingKeyError, match="elsewhere"):
        two.to_adata(space="elsewhere")
    table.obs["instance"] = [0, 99]
    with pytest.raises(DataError, match="1 that are not"):
        two.to_adata()


def test_annotated_data_becomes_circles_images_and_a_table(tmp_path):
    visium(tmp_path / "slide")
    adata = zs.io.read_visium(tmp_path / "slide")
    zs.io.write_spatialdata(adata, tmp_path / "slide.zarr")
    back = zs.io.read_spatialdata(tmp_path / "slide.zarr")
    np.testing.assert_allclose(back.to_adata().obsm["spatial"], adata.obsm["spatial"])
    assert back.shapes["cells"].data["radius"].iloc[0] == pytest.approx(32.5) and back.images["slide_hires"].data.shape[1:] == (
        120,
        110,
    )
    corner = back.images["slide_hires"].to_space([[40.0, 20.0]])
    np.testing.assert_allclose(corner * adata.uns["spatial"]["slide"]["scalefactors"]["tissue_hires_scalef"], [[40.0, 20.0]])
    solid = ad.AnnData(counts(5, 2))
    solid.obsm["spatial"] = np.arange(15.0).reshape(5, 3)
    zs.io.write_spatialdata(solid, tmp_path / "solid.zarr")
    np.testing.assert_array_equal(
        zs.io.read_spatialdata(tmp_path / "solid.zarr").to_adata().obsm["spatial"], solid.obsm["spatial"]
    )


def test_stores_name_what_is_wrong(tmp_path):
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "a.txt").write_text("mine")
    with pytest.raises(FileError, match="something else"):
        zs.io.write_spatialdata(store(), tmp_path / "notes")
    assert (tmp_path / "notes" / "a.txt").read_text() == "mine"
    with pytest.raises(FormatError, match="no Zarr store"):
        zs.io.read_spatialdata(tmp_path / "notes")
    with pytest.raises(FileError, match="nothing"):
        zs.io.read_spatialdata(tmp_path / "none")

    def refused(error, word, change):
        bad = store()
        change(bad)
        with pytest.raises(error, match=word):
            zs.io.write_spatialdata(bad, tmp_path / "bad.zarr")
        assert not (tmp_path / "bad.zarr").exists()

    refused(ParameterError, "letters", lambda s: s.images.update({"a/b": s.images["he"]}))
    refused(ParameterError, "also in images", lambda s: s.labels.update({"HE": s.labels["nuclei"]}))
    refused(DataError, "last row", lambda s: s.images["he"].transforms.update({"x": np.ones((3, 3))}))
    refused(ParameterError, "furlong", lambda s: setattr(s.images["he"], "unit", "furlong"))
    refused(ShapeError, "names of channels", lambda s: setattr(s.images["he"], "channels", ["r"]))
    refused(DataError, "whole numbers", lambda s: setattr(s.labels["nuclei"], "data", np.zeros((3, 3))))
    refused(DataError, "radius", lambda s: setattr(s.shapes["spots"], "data", s.shapes["spots"].data.drop(columns="radius")))
    refused(MissingKeyError, "gone", lambda s: setattr(s.points["molecules"], "feature_key", "gone"))
    refused(DataError, "regions", lambda s: s.tables["counts"].uns["spatialdata_attrs"].update(region="others"))

    def lost(s):
        s.points["molecules"].data.loc[3, "x"] = np.nan

    refused(DataError, "row 3", lost)
    zs.io.write_spatialdata(store(), tmp_path / "a.zarr")
    (tmp_path / "a.zarr" / "shapes" / "spots" / "shapes.parquet").write_bytes(b"none")
    with pytest.raises(FormatError, match="shapes/spots"):
        zs.io.read_spatialdata(tmp_path / "a.zarr")


def test_geometry_of_both_byte_orders_and_with_z():
    import struct

    big = struct.pack(">BI", 0, 1) + struct.pack(">dd", 1.5, -2.0)
    assert from_wkb(big, "").tolist() == [1.5, -2.0]
    iso = struct.pack("<BI", 1, 1001) + struct.pack("<ddd", 1, 2, 3)
    ewkb = struct.pack("<BI", 1, 0x80000001) + struct.pack("<ddd", 1, 2, 3)
    assert from_wkb(iso, "").tolist() == from_wkb(ewkb, "").tolist() == [1.0, 2.0, 3.0]
    with pytest.raises(FormatError, match="type 2"):
        from_wkb(struct.pack("<BII", 1, 2, 0), "here")
    with pytest.raises(FormatError, match="damaged"):
        from_wkb(big[:9], "here")
    with pytest.raises(DataError, match="three finite corners"):
        to_wkb([np.zeros((2, 2))], "here")


def test_spatialdata_opens_what_we_write_and_we_what_it_writes(tmp_path):
    sd = pytest.importorskip("spatialdata", reason="spatialdata is not installed: that it opens our stores is not looked at")
    from spatialdata.transformations import get_transformation

    one = store()
    zs.io.write_spatialdata(one, tmp_path / "a.zarr")
    theirs = sd.read_zarr(tmp_path / "a.zarr")
    assert {name for _, name, _ in theirs.gen_elements()} == {"counts", "molecules", "spots", "cells", "nuclei", "he", "deep"}
    assert set(theirs.coordinate_systems) == {"global", "aligned"}
    aligned = get_transformation(theirs["he"], "aligned").to_affine_matrix(("x", "y"), ("x", "y"))
    np.testing.assert_allclose(aligned, one.images["he"].transforms["aligned"])
    np.testing.assert_array_equal(np.asarray(theirs["nuclei"]), one.labels["nuclei"].data)
    assert theirs["cells"].geometry.area.tolist() == [84.0, 200.0] and len(theirs["molecules"].compute()) == 9
    middles = sd.get_centroids(theirs["spots"], coordinate_system="aligned").compute()
    np.testing.assert_allclose(
        middles.loc[one.tables["counts"].obs["instance"]].to_numpy(),
        zs.io.read_spatialdata(tmp_path / "a.zarr").to_adata(space="aligned").obsm["spatial"],
    )
    theirs.write(tmp_path / "b.zarr")
    same(one, zs.io.read_spatialdata(tmp_path / "b.zarr"))
