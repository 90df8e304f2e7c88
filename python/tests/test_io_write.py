"""zs.io writers: what we write, anndata reads back unchanged; nothing is left behind by a failure."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap

import anndata as ad
import h5py
import numpy as np
import pytest
import zensaibo as zs
from anndata.tests.helpers import assert_equal
from conftest import data_path
from scipy import sparse
from test_io_read import FOLDERS, REAL, make_adata, pytestmark  # noqa: F401


@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_write_and_read(tmp_path, compression):
    adata = make_adata()
    path = tmp_path / "a.h5ad"
    zs.io.write(adata, path, compression=compression)
    assert_equal(ad.read_h5ad(path), adata, exact=True)
    assert os.listdir(tmp_path) == ["a.h5ad"]


def test_a_failed_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.h5ad"
    path.write_text("old")
    adata = make_adata()
    adata.uns["bad"] = object()
    with pytest.raises(Exception, match="bad|object"):
        zs.io.write(adata, path)
    assert os.listdir(tmp_path) == ["a.h5ad"] and path.read_text() == "old"
    with pytest.raises(zs.errors.FileError):
        zs.io.write(make_adata(), tmp_path)
    with pytest.raises(zs.errors.FileError, match="nowhere"):
        zs.io.write(make_adata(), tmp_path / "nowhere" / "a.h5ad")
    with pytest.raises(zs.errors.ParameterError, match="compression"):
        zs.io.write(make_adata(), path, compression="zip")


@pytest.mark.parametrize("gzip", [None, 1, 6])
@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_convert_round_trip(tmp_path, gzip, layout):
    """Our own writer, element by element, read back by anndata."""
    adata = make_adata(layout, n=900)
    adata.write_h5ad(tmp_path / "in.h5ad")
    zs.io.convert(tmp_path / "in.h5ad", tmp_path / "out.h5ad", gzip=gzip)
    assert_equal(ad.read_h5ad(tmp_path / "out.h5ad"), ad.read_h5ad(tmp_path / "in.h5ad"), exact=True)
    assert_equal(zs.io.read(tmp_path / "out.h5ad"), ad.read_h5ad(tmp_path / "in.h5ad"), exact=True)
    assert sorted(os.listdir(tmp_path)) == ["in.h5ad", "out.h5ad"]
    if gzip:
        assert "gzip" in {s["key"]: s for s in zs.io.inspect(tmp_path / "out.h5ad")["slots"]}["X"]["compression"]


@pytest.mark.parametrize("relative", REAL or ["(none)"])
def test_convert_real_files(tmp_path, relative):
    path = data_path(relative)
    zs.io.convert(path, tmp_path / "out.h5ad", gzip=1)
    assert_equal(ad.read_h5ad(tmp_path / "out.h5ad"), ad.read_h5ad(path), exact=True)


def test_convert_10x(tmp_path):
    for relative in [*FOLDERS, "tenx_format_samples/cellranger3/filtered_feature_bc_matrix.h5"]:
        path = data_path(relative)
        zs.io.convert(path, tmp_path / "out.h5ad")
        expected = zs.io.read(path)
        found = ad.read_h5ad(tmp_path / "out.h5ad")
        assert_equal(found.X, expected.X, exact=True)
        assert list(found.var_names) == list(expected.var_names) and list(found.obs_names) == list(expected.obs_names)
        for column in expected.var.columns:
            assert list(found.var[column]) == list(expected.var[column])


def test_convert_onto_itself(tmp_path):
    adata = make_adata()
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    os.chmod(path, 0o640)
    expected = ad.read_h5ad(path)
    zs.io.convert(path, path, gzip=3)
    assert_equal(ad.read_h5ad(path), expected, exact=True)
    assert os.stat(path).st_mode & 0o777 == 0o640


@pytest.mark.parametrize("how", ["convert", "write"])
def test_a_full_disk(tmp_path, how):
    """A limit on the size of files stands for a full disk: an error, the old file whole, nothing beside it."""
    make_adata(n=2000).write_h5ad(tmp_path / "in.h5ad")
    (tmp_path / "out.h5ad").write_text("old")
    code = f"""
    import os, resource, signal, sys
    import zensaibo as zs
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    adata = zs.io.read("in.h5ad")
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
    try:
        zs.io.convert("in.h5ad", "out.h5ad") if {how == "convert"} else zs.io.write(adata, "out.h5ad")
    except OSError as error:
        sys.stdout.write(f"refused {{error}}")
    sys.stdout.flush()
    """
    done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, cwd=tmp_path, check=False)
    assert done.stdout.startswith("refused") and "out.h5ad" in done.stdout, (done.stdout, done.stderr)
    assert done.returncode == 0 and "HDF5-DIAG" not in done.stderr
    assert sorted(os.listdir(tmp_path)) == ["in.h5ad", "out.h5ad"]
    assert (tmp_path / "out.h5ad").read_text() == "old"


def test_what_is_written_is_what_anndata_writes(tmp_path):
    adata = ad.AnnData(np.ones((4, 2), dtype=np.float32))
    adata.obs["kind"] = ["x", "x", "y", "y"]
    adata.obs["each"] = ["a", "b", "c", "d"]
    theirs = adata.copy()
    zs.io.write(adata, tmp_path / "ours")
    theirs.write_h5ad(tmp_path / "theirs")
    with h5py.File(tmp_path / "ours") as a, h5py.File(tmp_path / "theirs") as b:
        # An empty `raw` would keep anndata before 0.12 from reading the file.
        assert set(a) == set(b) and "raw" not in a
        for key in ("kind", "each"):
            assert a["obs"][key].attrs["encoding-type"] == b["obs"][key].attrs["encoding-type"]
        assert a["obs/kind"].attrs["encoding-type"] == "categorical"
    adata.raw = adata.copy()
    zs.io.write(adata, tmp_path / "ours")
    assert zs.io.read(tmp_path / "ours").raw.shape == (4, 2)
