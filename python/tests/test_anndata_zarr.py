"""AnnData in Zarr by blocks: the same bits as of the h5ad, of the matrix in memory, and of a list of files."""

from __future__ import annotations

import shutil
import warnings
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from test_file_matrix import same
from test_many_files import results
from zensaibo import errors

zarr = pytest.importorskip("zarr", minversion="3")


@pytest.fixture(scope="module")
def counts() -> ad.AnnData:
    """Enough cells for several blocks."""
    made = zs.datasets.simulate(7000, 700, genes_per_cell=300, umi_per_cell=1200, n_types=4, n_lineages=2, n_trajectories=0, seed=2)
    made.X = sparse.csr_matrix(made.X).astype(np.float32)
    made.layers["counts"] = made.X.copy()
    made.obs["flag"] = np.arange(made.n_obs) % 5 == 0
    made.obs_names = [f"célula-{i}" for i in range(made.n_obs)]
    made.raw = made
    return made


def write(adata: ad.AnnData, path: Path, version: int, arrays: dict[str, Any] | None = None) -> Path:
    """A store; `arrays` says how those of X in rows are laid out instead."""
    with warnings.catch_warnings(), ad.settings.override(zarr_write_format=version):
        warnings.simplefilter("ignore")
        adata.write_zarr(path)
        if arrays is not None:
            group = zarr.open_group(path / "X", mode="r+", use_consolidated=False)
            for name in ("data", "indices", "indptr"):
                values, attributes = group[name][:], dict(group[name].attrs)
                del group[name]
                group.create_array(name, data=values, attributes=attributes, **arrays)
    return path


LAYOUTS: dict[str, tuple[str, int, dict[str, Any] | None]] = {
    "version 2": ("csr", 2, None),
    "version 3": ("csr", 3, None),
    "version 2, one large chunk": ("csr", 2, {"chunks": (3_000_000,)}),
    "version 3, small chunks": ("csr", 3, {"chunks": (5003,), "compressors": zarr.codecs.GzipCodec(level=1)}),
    "version 3, shards": ("csr", 3, {"chunks": (20_000,), "shards": (200_000,), "compressors": zarr.codecs.ZstdCodec()}),
    "version 3, plain": ("csr", 3, {"chunks": (1 << 18,), "compressors": None}),
    "columns": ("csc", 3, None),
    "dense": ("dense", 2, None),
    "dense, version 3": ("dense", 3, None),
}


@pytest.fixture(scope="module", params=LAYOUTS)
def stored(request: pytest.FixtureRequest, counts: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> Path:
    kind, version, arrays = LAYOUTS[request.param]
    kept = counts.copy()
    kept.X = {"csr": lambda X: X, "csc": sparse.csc_matrix, "dense": lambda X: X.toarray()}[kind](kept.X)
    return write(kept, tmp_path_factory.mktemp("zarr") / "x.zarr", version, arrays)


@pytest.fixture(scope="module")
def wanted(counts: ad.AnnData) -> dict:
    return results(counts.X, counts.obs["cell_type"].to_numpy().astype(str))


def test_bits_are_those_of_memory(stored: Path, counts: ad.AnnData, wanted: dict) -> None:
    found = zs.io.open_matrix(stored)
    assert found.shape == counts.shape and found.key == "X"
    assert found.obs_names.tolist() == counts.obs_names.tolist()
    assert found.var_names.tolist() == counts.var_names.tolist()
    for threads in (1, 2):
        same(results(found, counts.obs["cell_type"].to_numpy().astype(str), threads), wanted)
    for key in ("layers/counts", "raw/X"):
        assert (zs.io.open_matrix(stored, key).to_memory() != counts.X).nnz == 0


def test_memory_h5ad_zarr_and_a_list_are_one(counts: ad.AnnData, wanted: dict, tmp_path: Path) -> None:
    types = counts.obs["cell_type"].to_numpy().astype(str)
    counts.write_h5ad(tmp_path / "x.h5ad", compression="gzip")
    halves = [counts[:2500].copy(), counts[2500:].copy()]
    halves[0].write_h5ad(tmp_path / "first.h5ad")
    for part in halves:
        part.raw = None
    second = write(halves[1], tmp_path / "second.zarr", 3)
    for matrix in (
        zs.io.open_matrix(tmp_path / "x.h5ad"),
        zs.io.open_matrix([tmp_path / "first.h5ad", second]),
        zs.io.open_matrix([tmp_path / "first.h5ad", second], "layers/counts"),
    ):
        same(results(matrix, types), wanted)
    # From file to file as well.
    zs.io.concat_on_disk([tmp_path / "first.h5ad", second], tmp_path / "both.h5ad", label=None)
    both = ad.read_h5ad(tmp_path / "both.h5ad")
    assert (both.X != counts.X).nnz == 0 and both.obs_names.tolist() == counts.obs_names.tolist()
    zs.io.subset_on_disk(second, tmp_path / "few.h5ad", obs=slice(0, 700), var=slice(0, 90))
    assert (ad.read_h5ad(tmp_path / "few.h5ad").X != halves[1][:700, :90].X).nnz == 0


def test_an_anndata_whose_matrix_stays_in_the_store(counts: ad.AnnData, tmp_path: Path) -> None:
    path = write(counts, tmp_path / "x.zarr", 3)
    group = zarr.open_group(path, mode="r", use_consolidated=False)
    lazy = ad.AnnData(ad.io.sparse_dataset(group["X"]), obs=counts.obs.copy(), var=counts.var.copy())
    held = ad.AnnData(counts.X.copy(), obs=counts.obs.copy(), var=counts.var.copy())
    for function in (
        lambda a: zs.pp.calculate_qc_metrics(a, inplace=False),
        lambda a: zs.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=100, inplace=False),
        lambda a: zs.get.aggregate(a, "cell_type", ["mean"]).layers["mean"],
    ):
        same(function(lazy), function(held))


def test_the_recipe_reads_a_store(counts: ad.AnnData, tmp_path: Path) -> None:
    config = {"umap": {"maxiter": 10}, "pca": {"n_comps": 12}}
    plain = counts.copy()
    plain.raw = None
    plain.write_h5ad(tmp_path / "x.h5ad")
    path = write(plain, tmp_path / "x.zarr", 3)
    file, store = (zs.pp.recipe(place, config=config, progress=False) for place in (tmp_path / "x.h5ad", path))
    for key in ("X_pca", "X_umap"):
        np.testing.assert_array_equal(store.obsm[key], file.obsm[key])
    assert (store.X != file.X).nnz == 0 and store.obs["leiden"].tolist() == file.obs["leiden"].tolist()
    assert store.obs["cell_type"].tolist() == file.obs["cell_type"].tolist() and store.obs["flag"].dtype == bool
    origin = store.uns["zensaibo"]["recipe"]["input"]
    assert len(origin["sha256"]) == 64 and origin["sha256"] != file.uns["zensaibo"]["recipe"]["input"]["sha256"]


def test_faults_name_store_and_key(counts: ad.AnnData, tmp_path: Path) -> None:
    path = write(counts, tmp_path / "x.zarr", 3, {"chunks": (100_000,), "compressors": zarr.codecs.GzipCodec(level=1)})

    def damaged(change) -> Path:
        place = tmp_path / "damaged.zarr"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(path, place)
        change(place)
        return place

    def cut(place: Path) -> None:
        with open(place / "X/data/c/4", "r+b") as file:
            file.truncate(500)

    def garbage(place: Path) -> None:
        (place / "X/indices/c/2").write_bytes(b"\xff" * 1000)

    for change, message in [
        (cut, r"damaged\.zarr: X/data: chunk \[4\]"),
        (garbage, r"damaged\.zarr: X/indices: chunk \[2\]"),
        (lambda place: (place / "X/data/c/7").unlink(), r"X/data: chunk \[7\].*incomplete copy"),
    ]:
        matrix = zs.io.open_matrix(damaged(change))
        with pytest.raises(errors.FormatError, match=message):
            zs.arrays.qc_metrics(matrix)
    # While it is read, as the second of a list.
    whole = damaged(lambda place: None)
    matrix = zs.io.open_matrix([path, whole])
    shutil.rmtree(whole / "X/data")
    with pytest.raises(errors.FormatError, match=r"damaged\.zarr: X/data"):
        zs.arrays.qc_metrics(matrix)
    with pytest.raises(errors.MissingKeyError, match=r"layers/other.*x\.zarr.*layers/counts"):
        zs.io.open_matrix(path, "layers/other")
    with pytest.raises(errors.FileError, match="nowhere"):
        zs.io.open_matrix(tmp_path / "nowhere.zarr")
    zarr.open_group(tmp_path / "empty.zarr", mode="w")
    with pytest.raises(errors.FormatError, match="empty.zarr"):
        zs.io.open_matrix(tmp_path / "empty.zarr")
    with pytest.raises(errors.FormatError, match="empty.zarr.*without obs and var"):
        zs.io.concat_on_disk([path, tmp_path / "empty.zarr"], tmp_path / "out.h5ad")
    shutil.make_archive(str(tmp_path / "x.zarr"), "zip", path)
    with pytest.raises(errors.FormatError, match="zip archive"):
        zs.io.open_matrix(tmp_path / "x.zarr.zip")
