"""Zarr, h5mu, loom, delimited text and Parquet: found by content, round trips, real files, damage, nothing left behind."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import warnings

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
from anndata.tests.helpers import assert_equal
from conftest import data_path
from scipy import sparse

import zensaibo as zs


def _zarr():
    return pytest.importorskip("zarr", reason="zarr is not installed (pip install 'zensaibo[zarr]')")


def _mudata():
    return pytest.importorskip("mudata", reason="mudata is not installed (pip install 'zensaibo[mudata]')")


def _parquet():
    return pytest.importorskip("pyarrow", reason="pyarrow is not installed (pip install 'zensaibo[parquet]')")


def _example(small: ad.AnnData) -> ad.AnnData:
    small.layers["dense"] = small.X.toarray()
    small.obsm["X_pca"] = np.arange(600.0).reshape(300, 2)
    small.obsp["graph"] = sparse.identity(300, format="csr")
    small.uns["said"] = {"a": 1, "b": np.arange(3), "c": "text"}
    small.obs["missing"] = [None if i % 7 == 0 else f"t{i}" for i in range(300)]
    small.obs["missing"] = small.obs["missing"].astype("category")
    return small


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_round_trip(small, tmp_path, zarr_format):
    _zarr()
    adata = _example(small)
    path = tmp_path / "store"  # the name says nothing
    zs.io.write(adata, path, format="zarr", zarr_format=zarr_format)
    assert (path / ("zarr.json" if zarr_format == 3 else ".zgroup")).exists()
    assert zs.io.detect(path) == "zarr"
    assert_equal(zs.io.read(path), adata, exact=True)
    assert_equal(ad.io.read_zarr(path), adata, exact=True)
    # Written over: the old store goes, nothing else stays.
    zs.io.write_zarr(adata[:10].copy(), path, zarr_format=5 - zarr_format)
    assert zs.io.read_zarr(path).n_obs == 10 and os.listdir(tmp_path) == ["store"]


def test_zarr_made_by_anndata(tmp_path):
    _zarr()
    old = data_path("tenx_format_samples/anndata_v0.7.8")
    stores = [p for p in old.rglob("*.zarr") if p.is_dir()] or [
        p.parent for p in old.rglob(".zgroup") if (p.parent / "obs").exists()
    ]
    if not stores:
        archives = list(old.rglob("*.zip"))
        if not archives:
            pytest.skip(f"real data not found: a Zarr store under {old}")
        shutil.unpack_archive(archives[0], tmp_path)
        stores = [p.parent for p in tmp_path.rglob(".zgroup") if (p.parent / "obs").exists()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found, expected = zs.io.read(stores[0]), ad.io.read_zarr(stores[0])
    assert_equal(found, expected)
    assert found.n_obs > 0


def test_zarr_names_what_is_wrong(small, tmp_path):
    _zarr()
    path = tmp_path / "a.zarr"
    zs.io.write(small, path)
    assert zs.io.detect(path) == "zarr"
    with pytest.raises(zs.errors.FileError, match="nowhere"):
        zs.io.read_zarr(tmp_path / "nowhere")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine.txt").write_text("keep")
    with pytest.raises(zs.errors.FormatError, match="zarr.json or .zgroup"):
        zs.io.read_zarr(tmp_path / "folder")
    # What is no store is not replaced.
    with pytest.raises(zs.errors.FileError, match="something else"):
        zs.io.write_zarr(small, tmp_path / "folder")
    assert (tmp_path / "folder" / "mine.txt").read_text() == "keep"
    for chunk in (path / "X" / "data").glob("[0-9]*"):
        chunk.write_bytes(b"not what was packed")
    with pytest.raises(zs.errors.FormatError, match="a.zarr"):
        zs.io.read(path)
    bad = small.copy()
    bad.uns["bad"] = object()
    before = sorted(p.name for p in tmp_path.iterdir())
    with pytest.raises(Exception, match="bad|object"):
        zs.io.write_zarr(bad, tmp_path / "b.zarr")
    assert sorted(p.name for p in tmp_path.iterdir()) == before
    with pytest.raises(zs.errors.ParameterError, match="zarr_format"):
        zs.io.write_zarr(small, path, zarr_format=4)
    with pytest.raises(zs.errors.ParameterError, match="zarr_format"):
        zs.io.write(small, tmp_path / "x.h5ad", zarr_format=3)
    with pytest.raises(zs.errors.ParameterError, match="compression"):
        zs.io.write(small, tmp_path / "x.zarr", compression="gzip")
    with pytest.raises(zs.errors.ParameterError, match="format"):
        zs.io.write(small, tmp_path / "x", format="loom")


def _multi(small, mudata):
    proteins = ad.AnnData(np.arange(600, dtype=np.float32).reshape(300, 2))
    proteins.obs_names, proteins.var_names = small.obs_names, ["p0", "p1"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData({"rna": small, "prot": proteins})


def test_h5mu_round_trip(small, tmp_path):
    mudata = _mudata()
    mdata = _multi(small, mudata)
    path = tmp_path / "multi"
    zs.io.write(mdata, path)
    assert zs.io.detect(path) == "h5mu" and os.listdir(tmp_path) == ["multi"]
    found = zs.io.read(path)
    assert list(found.mod) == ["rna", "prot"]
    for name in found.mod:
        assert_equal(found.mod[name], mdata.mod[name])
    assert zs.io.read_h5mu(path).n_vars == 122
    theirs = tmp_path / "theirs.h5mu"
    mudata.write_h5mu(theirs, mdata)
    assert zs.io.read(theirs).shape == mdata.shape


def test_h5mu_names_what_is_wrong(small, tmp_path):
    mudata = _mudata()
    small.write_h5ad(tmp_path / "a.h5ad")
    with pytest.raises(zs.errors.FormatError, match="h5mu"):
        zs.io.read_h5mu(tmp_path / "a.h5ad")
    with pytest.raises(zs.errors.FileError, match="no such file"):
        zs.io.read_h5mu(tmp_path / "nowhere")
    with pytest.raises(zs.errors.ParameterError, match="MuData, found AnnData"):
        zs.io.write(small, tmp_path / "x", format="h5mu")
    path = tmp_path / "m.h5mu"
    zs.io.write(_multi(small, mudata), path)
    with h5py.File(path, "r+") as file:
        del file["mod/rna/X/indices"]
    with pytest.raises(zs.errors.FormatError, match="m.h5mu"):
        zs.io.read(path)
    with pytest.raises(zs.errors.FileError, match="nowhere"):
        zs.io.write(_multi(small, mudata), tmp_path / "nowhere" / "m.h5mu")


def _loom(path, matrix: np.ndarray) -> None:
    """A small loom file of version 3, as the specification has it."""
    genes, cells = matrix.shape
    with h5py.File(path, "w") as file:
        file["matrix"] = matrix
        file["layers/spliced"] = matrix * 2
        file["row_attrs/Gene"] = np.array([f"g{i}" for i in range(genes)], dtype="S")
        file["row_attrs/Length"] = np.arange(genes)
        file["col_attrs/CellID"] = np.array([f"c{i}" for i in range(cells)], dtype="S")
        file["col_attrs/Cluster"] = np.array(["a" if i % 2 else "b" for i in range(cells)], dtype="S")
        file["col_attrs/Embedding"] = np.arange(cells * 2.0).reshape(cells, 2)
        for part, values in (("a", [0, 1]), ("b", [1, 2]), ("w", [0.5, 0.25])):
            file[f"col_graphs/knn/{part}"] = np.array(values)
        file["attrs/Title"] = "said"


def test_loom_by_hand(tmp_path, monkeypatch):
    from zensaibo.io import _stores

    matrix = np.random.default_rng(0).poisson(0.5, (7, 5)).astype(np.int32)
    _loom(tmp_path / "any", matrix)
    for chunk in (1 << 24, 10):
        monkeypatch.setattr(_stores, "_CHUNK", chunk)
        found = zs.io.read(tmp_path / "any")
        assert sparse.issparse(found.X) and found.X.format == "csr" and found.X.dtype == np.float32
        np.testing.assert_array_equal(found.X.toarray(), matrix.T)
        np.testing.assert_array_equal(found.layers["spliced"].toarray(), 2 * matrix.T)
    assert list(found.obs_names) == [f"c{i}" for i in range(5)] and list(found.var_names) == [f"g{i}" for i in range(7)]
    assert list(found.obs["Cluster"]) == ["b", "a", "b", "a", "b"] and list(found.var["Length"]) == list(range(7))
    np.testing.assert_array_equal(found.obsm["Embedding"], np.arange(10.0).reshape(5, 2))
    assert found.obsp["knn"][1, 2] == 0.25 and found.uns["loom"]["Title"] == "said"
    with pytest.warns(UserWarning, match="Observation names are not unique"):
        dense = zs.io.read_loom(tmp_path / "any", sparse=False, obs_names="Cluster", var_names="absent")
    np.testing.assert_array_equal(dense.X, matrix.T)
    assert list(dense.obs_names) == ["b", "a", "b", "a", "b"] and list(dense.var_names) == [str(i) for i in range(7)]


def test_loom_real():
    path = data_path("spatial_osmfish_cortex/osmFISH_SScortex_mouse_all_cells.loom")
    found = zs.io.read(path)
    assert found.shape == (6471, 33) and {"ClusterName", "Region", "X", "Y"} <= set(found.obs.columns)
    with h5py.File(path, "r") as file:
        np.testing.assert_allclose(found.X.toarray(), file["matrix"][...].T)
        assert list(found.obs["ClusterName"][:5]) == [name.decode() for name in file["col_attrs/ClusterName"][:5]]


def test_loom_names_what_is_wrong(small, tmp_path):
    path = tmp_path / "a.loom"
    _loom(path, np.ones((7, 5)))
    with h5py.File(path, "r+") as file:
        del file["col_attrs/Cluster"]
        file["col_attrs/Cluster"] = np.arange(3)
    with pytest.raises(zs.errors.FormatError, match="col_attrs/Cluster: expected 5 values"):
        zs.io.read(path)
    _loom(path, np.ones((7, 5)))
    with h5py.File(path, "r+") as file:
        del file["layers/spliced"]
        file["layers/spliced"] = np.ones((2, 5))
    with pytest.raises(zs.errors.FormatError, match="layers/spliced"):
        zs.io.read(path)
    small.write_h5ad(tmp_path / "x")
    with pytest.raises(zs.errors.FormatError, match="expected a loom file"):
        zs.io.read_loom(tmp_path / "x")
    _loom(path, np.ones((7, 5)))
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(zs.errors.FormatError):
        zs.io.read_loom(path)


@pytest.mark.parametrize("orientation", ["cells_by_genes", "genes_by_cells"])
@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv.gz", "\t"), ("noname", ";")])
def test_text_round_trip(small, tmp_path, monkeypatch, orientation, name, delimiter):
    from zensaibo.io import _tables

    path = tmp_path / name
    small.layers["log"] = small.X.log1p()
    for chunk in (1 << 22, 700):
        monkeypatch.setattr(_tables, "_CHUNK", chunk)
        for layer in (None, "log"):
            zs.io.write_csv(small, path, orientation=orientation, delimiter=delimiter, layer=layer)
            assert zs.io.detect(path) == "csv" and os.listdir(tmp_path) == [name]
            found = zs.io.read(path, orientation=orientation)
            expected = small.X if layer is None else small.layers["log"]
            np.testing.assert_array_equal(found.X.toarray(), expected.toarray())
            assert list(found.obs_names) == list(small.obs_names) and list(found.var_names) == list(small.var_names)
    frame = pd.read_csv(path, sep=delimiter, index_col=0)
    np.testing.assert_allclose(
        (frame if orientation == "cells_by_genes" else frame.T).to_numpy(), small.layers["log"].toarray(), rtol=1e-6
    )
    assert isinstance(zs.io.read_csv(path, orientation=orientation, sparse=False).X, np.ndarray)


def test_text_as_others_write_it(tmp_path):
    # R leaves the field above the row names out.
    (tmp_path / "r").write_text('"c1","c2"\n"g1",1,2\n"g2",0,3.5\n')
    found = zs.io.read(tmp_path / "r", orientation="genes_by_cells")
    np.testing.assert_array_equal(found.X.toarray(), [[1, 0], [2, 3.5]])
    assert list(found.obs_names) == ["c1", "c2"] and list(found.var_names) == ["g1", "g2"]
    (tmp_path / "crlf").write_bytes(b"x\tg1\r\nc1\t4\r\nc2\t5\r\n\r\n")
    np.testing.assert_array_equal(zs.io.read(tmp_path / "crlf", orientation="cells_by_genes").X.toarray(), [[4], [5]])
    (tmp_path / "twice").write_text("x,g,g\nc1,1,2\n")
    with pytest.warns(UserWarning, match="not unique"):
        zs.io.read(tmp_path / "twice", orientation="cells_by_genes")


def test_text_real():
    path = (
        next(data_path("cell_line_mixology").glob("*5cl_p1*count*.csv.gz"), None)
        or sorted(p for p in data_path("cell_line_mixology").glob("sc_celseq2_5cl_p1*.csv.gz") if "meta" not in p.name)[
            0
        ]
    )
    found = zs.io.read(path, orientation="genes_by_cells")
    frame = pd.read_csv(path, index_col=0)
    assert found.shape == frame.shape[::-1] and found.n_obs == 297
    np.testing.assert_array_equal(found.X.toarray(), frame.to_numpy(np.float32).T)
    assert list(found.var_names) == list(frame.index)


def test_text_names_what_is_wrong(tmp_path):
    def fault(text, **settings):
        path = tmp_path / "t"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        with pytest.raises(zs.errors.ZensaiboError) as caught:
            zs.io.read_csv(path, **{"orientation": "cells_by_genes", **settings})
        return str(caught.value)

    assert "an empty file" in fault("")
    assert "one line" in fault("a,b\n")
    assert "line 3: expected 3 fields, found 2" in fault("x,a,b\nc,1,2\nd,1\n")
    assert "line 3, column 'b': expected a number, found 'oops'" in fault("x,a,b\nc,1,2\nd,1,oops\n")
    assert "line 2, column 'a': expected a number, found nan" in fault("x,a,b\nc,nan,2\n")
    assert "line 2" in fault("x,a,b,c\nc,1\n")
    assert "UTF-8" in fault(b"\xff\xfe\x00x\x00,\n")
    assert "cells_by_genes" in fault("x,a\nc,1\n", orientation="rows")
    assert "delimiter" in fault("x,a\nc,1\n", delimiter="::")
    (tmp_path / "t").write_text("x,a\nc,1\n")
    with pytest.raises(zs.errors.ParameterError, match="a table does not say"):
        zs.io.read(tmp_path / "t")
    with pytest.raises(zs.errors.ParameterError, match="genome"):
        zs.io.read(tmp_path / "t", orientation="cells_by_genes", genome="hg19")
    with pytest.raises(zs.errors.FileError):
        zs.io.read_csv(tmp_path / "nowhere", orientation="cells_by_genes")
    with pytest.raises(zs.errors.FormatError):
        (tmp_path / "prose").write_text("just a line\nand another one, with a comma\n")
        zs.io.detect(tmp_path / "prose")
    with gzip.open(tmp_path / "cut.gz", "wt") as file:
        file.write("x,a\n" + "c,1\n" * 5000)
    data = (tmp_path / "cut.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(zs.errors.FormatError, match="end-of-stream"):
        zs.io.read_csv(tmp_path / "cut.gz", orientation="cells_by_genes")


def test_orientation_is_refused_where_the_file_says_it(small, tmp_path):
    zs.io.write(small, tmp_path / "a")
    with pytest.raises(zs.errors.ParameterError, match="orientation.*h5ad"):
        zs.io.read(tmp_path / "a", orientation="cells_by_genes")


def test_a_failed_write_leaves_the_old_table(small, tmp_path, monkeypatch):
    from zensaibo.io import _tables

    path = tmp_path / "a.csv"
    path.write_text("old")

    def fail(value):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_tables, "_digits", fail)
    with pytest.raises(zs.errors.FileError, match="No space left"):
        zs.io.write_csv(small, path, orientation="cells_by_genes")
    assert path.read_text() == "old" and os.listdir(tmp_path) == ["a.csv"]
    with pytest.raises(zs.errors.FileError, match="is a folder"):
        zs.io.write_csv(small, tmp_path, orientation="cells_by_genes")


@pytest.mark.parametrize("orientation", ["cells_by_genes", "genes_by_cells"])
def test_parquet_round_trip(small, tmp_path, orientation):
    _parquet()
    path = tmp_path / "noname"
    zs.io.write_parquet(small, path, orientation=orientation)
    assert zs.io.detect(path) == "parquet" and os.listdir(tmp_path) == ["noname"]
    found = zs.io.read(path, orientation=orientation)
    np.testing.assert_array_equal(found.X.toarray(), small.X.toarray())
    assert list(found.obs_names) == list(small.obs_names) and list(found.var_names) == list(small.var_names)
    frame = pd.read_parquet(path).reset_index()
    frame.to_parquet(tmp_path / "column", index=False)
    for settings in ({}, {"names": "name"}):
        again = zs.io.read_parquet(tmp_path / "column", orientation=orientation, **settings)
        np.testing.assert_array_equal(again.X.toarray(), small.X.toarray())
        assert list(again.obs_names) == list(small.obs_names)


def test_parquet_names_what_is_wrong(small, tmp_path):
    _parquet()
    path = tmp_path / "a"
    frame = pd.DataFrame({"name": ["a", "b"], "x": [1.0, 2.0], "y": ["p", "q"]})
    frame.to_parquet(path, index=False)
    with pytest.raises(zs.errors.FormatError, match="column 'y': expected numbers"):
        zs.io.read_parquet(path, orientation="cells_by_genes", names="name")
    with pytest.raises(zs.errors.ParameterError, match="names.*'z'"):
        zs.io.read_parquet(path, orientation="cells_by_genes", names="z")
    frame.assign(x=[1.0, None]).drop(columns="y").to_parquet(path, index=False)
    with pytest.raises(zs.errors.FormatError, match="row 'b', column 'x'"):
        zs.io.read_parquet(path, orientation="cells_by_genes")
    path.write_bytes(b"PAR1 and nothing more")
    with pytest.raises(zs.errors.FormatError, match="sound Parquet"):
        zs.io.read_parquet(path, orientation="cells_by_genes")
    path.write_text("x,a\nc,1\n")
    with pytest.raises(zs.errors.FormatError, match="expected a Parquet file"):
        zs.io.read_parquet(path, orientation="cells_by_genes")
    with pytest.raises(zs.errors.FileError):
        zs.io.read_parquet(tmp_path / "nowhere", orientation="cells_by_genes")
    small.var_names = ["same"] * small.n_vars
    with pytest.raises(zs.errors.ParameterError, match="unique column names"):
        zs.io.write_parquet(small, path, orientation="cells_by_genes")


def test_a_missing_library_is_named(monkeypatch):
    from zensaibo.io import _beside

    with pytest.raises(ImportError, match=r"pip install 'zensaibo\[mudata\]'"):
        _beside.need("no_such_library", "mudata")


def _zip(folder, target, inside: str = "") -> None:
    import zipfile

    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as archive:
        for place in sorted(folder.rglob("*")):
            if place.is_file():
                archive.write(place, os.path.join(inside, place.relative_to(folder)))


@pytest.mark.parametrize("inside", ["", "store.zarr"])
@pytest.mark.parametrize("zarr_format", [2, 3])
def test_zarr_in_a_zip(small, tmp_path, zarr_format, inside):
    _zarr()
    adata = _example(small)
    zs.io.write(adata, tmp_path / "store", format="zarr", zarr_format=zarr_format)
    _zip(tmp_path / "store", tmp_path / "noname", inside)
    assert zs.io.detect(tmp_path / "noname") == "zarr"
    assert_equal(zs.io.read(tmp_path / "noname"), adata, exact=True)
    assert_equal(zs.io.read_zarr(tmp_path / "noname"), zs.io.read(tmp_path / "store"), exact=True)
    adata.raw = adata[:, :50].copy()
    shutil.rmtree(tmp_path / "store")
    zs.io.write(adata, tmp_path / "store", format="zarr", zarr_format=zarr_format)
    _zip(tmp_path / "store", tmp_path / "raw.zip", inside)
    found = zs.io.read(tmp_path / "raw.zip")
    assert found.raw.shape == (300, 50)
    np.testing.assert_array_equal(found.raw.X.toarray(), adata.raw.X.toarray())


def test_zarr_in_a_zip_real(pbmc68k_reduced):
    path = data_path("pbmc68k_reduced/10x_pbmc68k_reduced.zarr.zip")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        found = zs.io.read(path)
    np.testing.assert_array_equal(found.X, pbmc68k_reduced.X)
    assert found.obs.equals(pbmc68k_reduced.obs) and set(found.obsm) == {"X_pca", "X_umap"}
    # Records, which zarr-python does not read under the name that they have here.
    names = found.uns["rank_genes_groups"]["names"]
    assert names.shape == (100,) and set(names.dtype.names) == set(found.obs["bulk_labels"].cat.categories)
    genes = set(found.var_names) | set(np.char.upper(np.asarray(found.var_names, dtype=str)))
    assert np.mean([name in genes for name in names["CD19+ B"]]) > 0.9 and "CD79A" in names["CD19+ B"]
    inspected = zs.io.inspect(path)
    assert (inspected["n_cells"], inspected["n_genes"], inspected["zarr_format"]) == (700, 765, 3)


def test_zarr_of_unknown_types(small, tmp_path):
    zarr = _zarr()
    if int(zarr.__version__.split(".")[0]) < 3:
        pytest.skip("zarr before 3 writes no version 3")
    zs.io.write(_example(small), tmp_path / "store", format="zarr", zarr_format=3)
    path = tmp_path / "store" / "uns" / "said" / "b" / "zarr.json"
    document = json.loads(path.read_text())
    path.write_text(json.dumps(document | {"data_type": "mystery"}))
    root = tmp_path / "store" / "zarr.json"
    root.write_text(json.dumps({k: v for k, v in json.loads(root.read_text()).items() if k != "consolidated_metadata"}))
    with pytest.warns(UserWarning, match=r"left out 1 of uns that zarr .* cannot read: said/b"):
        found = zs.io.read(tmp_path / "store")
    assert found.uns["said"]["a"] == 1 and found.uns["said"]["c"] == "text"
    # What is not of uns is never left out.
    path = tmp_path / "store" / "obsm" / "X_pca" / "zarr.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"data_type": "mystery"}))
    with pytest.raises(zs.errors.FormatError, match="mystery"):
        zs.io.read(tmp_path / "store")


def test_other_archives_are_named(tmp_path):
    import zipfile

    with zipfile.ZipFile(tmp_path / "a.zarr.zip", "w") as archive:
        archive.writestr("hello.txt", "no store")
    with pytest.raises(zs.errors.FormatError, match="zip archive"):
        zs.io.read(tmp_path / "a.zarr.zip")
    with pytest.raises(zs.errors.FormatError, match="expected a Zarr store"):
        zs.io.read_zarr(tmp_path / "a.zarr.zip")


def _slots(report, prefix=""):
    return {
        slot["key"].removeprefix(prefix): (slot["kind"], slot["shape"], slot["dtype"], slot["entries"])
        for slot in report["slots"]
        if slot["key"].startswith(prefix) and slot["key"].removeprefix(prefix) != "raw"
    }


@pytest.mark.parametrize("zarr_format", [2, 3])
def test_inspect_zarr_as_h5ad(small, tmp_path, zarr_format):
    _zarr()
    adata = _example(small)
    adata.obs["nullable"] = pd.array([None, *range(299)], dtype="Int64")
    adata.layers["csc"] = adata.X.tocsc()
    zs.io.write(adata, tmp_path / "a.h5ad")
    zs.io.write(adata, tmp_path / "a.zarr", zarr_format=zarr_format)
    _zip(tmp_path / "a.zarr", tmp_path / "a.zip", "inside")
    expected = zs.io.inspect(tmp_path / "a.h5ad")
    for name in ("a.zarr", "a.zip"):
        found = zs.io.inspect(tmp_path / name)
        assert _slots(found) == _slots(expected)
        assert {key: found[key] for key in ("n_cells", "n_genes", "entries")} == {
            key: expected[key] for key in ("n_cells", "n_genes", "entries")
        }
        assert (found["format"], found["zarr_format"]) == ("zarr", zarr_format)
        matrix = next(slot for slot in found["slots"] if slot["key"] == "X")
        assert 0 < matrix["bytes"] < found["bytes"] and matrix["compression"]


def test_inspect_h5mu(small, tmp_path):
    mudata = _mudata()
    zs.io.write(_multi(small, mudata), tmp_path / "m")
    zs.io.write(small, tmp_path / "a")
    found = zs.io.inspect(tmp_path / "m")
    assert (found["format"], found["n_cells"], found["n_genes"]) == ("h5mu", 300, 122)
    assert found["modalities"]["prot"] == {"n_cells": 300, "n_genes": 2, "entries": 600}
    assert _slots(found, "mod/rna/").items() >= {"X": _slots(zs.io.inspect(tmp_path / "a"))["X"]}.items()


def test_inspect_loom_and_tables(small, tmp_path):
    _loom(tmp_path / "l", np.ones((7, 5), dtype=np.int32))
    found = zs.io.inspect(tmp_path / "l")
    assert (found["format"], found["n_cells"], found["n_genes"], found["entries"]) == ("loom", 5, 7, 35)
    slots = _slots(found)
    assert slots["matrix"][1:3] == ([7, 5], "int32") and slots["col_attrs/Cluster"][1:3] == ([5], "string")
    assert slots["layers/spliced"][1] == [7, 5] and "col_graphs/knn" in slots
    zs.io.write_csv(small, tmp_path / "t.csv.gz", orientation="genes_by_cells")
    found = zs.io.inspect(tmp_path / "t.csv.gz")
    assert (found["format"], found["rows"], found["columns"], found["n_cells"]) == ("csv", 120, 300, None)
    assert found["slots"][0]["compression"] == ["gzip"]
    data = (tmp_path / "t.csv.gz").read_bytes()
    (tmp_path / "t.csv.gz").write_bytes(data[: len(data) // 2])
    with pytest.raises(zs.errors.FormatError, match="expected sound text"):
        zs.io.inspect(tmp_path / "t.csv.gz")


def test_inspect_parquet(small, tmp_path):
    _parquet()
    zs.io.write_parquet(small, tmp_path / "t", orientation="cells_by_genes")
    found = zs.io.inspect(tmp_path / "t")
    assert (found["format"], found["rows"], found["columns"], found["entries"]) == ("parquet", 300, 120, 36_000)
    assert found["slots"][0]["dtype"] == "float"
    (tmp_path / "t").write_bytes(b"PAR1 and nothing more")
    with pytest.raises(zs.errors.FormatError, match="parquet"):
        zs.io.inspect(tmp_path / "t")


def test_inspect_names_what_is_wrong(small, tmp_path):
    _zarr()
    path = tmp_path / "a.zarr"
    zs.io.write(small, path)
    attributes = json.loads((path / "X" / ".zattrs").read_text())
    (path / "X" / ".zattrs").write_text(json.dumps(attributes | {"shape": [3, 120]}))
    with pytest.raises(zs.errors.FormatError, match="X: expected 300 x 120, as obs and var say, found 3 x 120"):
        zs.io.inspect(path)
    (path / "X" / ".zattrs").write_text("{")
    with pytest.raises(zs.errors.FormatError, match="a.zarr: expected a sound zarr"):
        zs.io.inspect(path)
    shutil.rmtree(path / "var")
    with pytest.raises(zs.errors.FormatError, match=r"expected AnnData \(obs and var\)"):
        zs.io.inspect(path)
    with pytest.raises(zs.errors.FileError):
        zs.io.inspect(tmp_path / "nowhere")


def test_convert_every_kind(small, tmp_path):
    _zarr()
    adata = _example(small)
    zs.io.write(adata, tmp_path / "a")
    zs.io.convert(tmp_path / "a", tmp_path / "b.zarr", zarr_format=3)
    assert zs.io.inspect(tmp_path / "b.zarr")["zarr_format"] == 3
    assert_equal(zs.io.read(tmp_path / "b.zarr"), adata, exact=True)
    _zip(tmp_path / "b.zarr", tmp_path / "b.zip")
    for source in ("b.zarr", "b.zip"):
        zs.io.convert(tmp_path / source, tmp_path / "c", gzip=4)
        assert_equal(zs.io.read(tmp_path / "c"), adata, exact=True)
        assert zs.io.inspect(tmp_path / "c")["slots"][0]["compression"] == ["gzip"]
    zs.io.write_csv(small, tmp_path / "t", orientation="genes_by_cells")
    zs.io.convert(tmp_path / "t", tmp_path / "d.h5ad", orientation="genes_by_cells")
    np.testing.assert_array_equal(zs.io.read(tmp_path / "d.h5ad").X.toarray(), small.X.toarray())
    _loom(tmp_path / "l", np.arange(35).reshape(7, 5))
    zs.io.convert(tmp_path / "l", tmp_path / "e", format="zarr")
    assert zs.io.detect(tmp_path / "e") == "zarr" and zs.io.read(tmp_path / "e").shape == (5, 7)
    for settings, match in (
        ({"format": "loom"}, "`format`: expected h5ad, zarr"),
        ({"format": "h5mu"}, "`format`: h5ad holds one modality"),
        ({"format": "zarr", "gzip": 3}, "`gzip`: expected none with format zarr"),
        ({"gzip": 0}, "`gzip`: expected 1 to 9, found 0"),
        ({"zarr_format": 3}, "`zarr_format`: expected none with format h5ad"),
        ({"orientation": "cells_by_genes"}, "`orientation`: expected none for h5ad"),
    ):
        with pytest.raises(zs.errors.ParameterError, match=match):
            zs.io.convert(tmp_path / "a", tmp_path / "never", **settings)
    with pytest.raises(zs.errors.ParameterError, match="a table does not say"):
        zs.io.convert(tmp_path / "t", tmp_path / "never")
    assert not (tmp_path / "never").exists()


def test_convert_h5mu(small, tmp_path):
    mudata = _mudata()
    zs.io.write(_multi(small, mudata), tmp_path / "m")
    zs.io.convert(tmp_path / "m", tmp_path / "n")
    assert zs.io.read(tmp_path / "n").n_vars == 122
    with pytest.raises(zs.errors.ParameterError, match="does not fit into one h5ad"):
        zs.io.convert(tmp_path / "m", tmp_path / "x", format="h5ad")
