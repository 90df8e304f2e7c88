"""zs.io readers against anndata and scanpy, on real files and on every encoding and compression."""

from __future__ import annotations

import gzip
import shutil
import subprocess
import sys

import anndata as ad
import h5py
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from anndata.tests.helpers import assert_equal
from conftest import DATA, data_path
from scipy import sparse

pytestmark = [
    pytest.mark.filterwarnings("ignore:.*names are not unique"),
    pytest.mark.filterwarnings("ignore:.*written without encoding metadata"),
]

REAL = sorted(str(path.relative_to(DATA)) for path in DATA.rglob("*.h5ad")) if DATA.exists() else []


def make_adata(layout=sparse.csr_matrix, dtype=np.float32, n=300, m=120, seed=0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    counts = sparse.random(n, m, density=0.2, random_state=rng, format="csr", dtype=np.float64)
    counts.data = np.ceil(counts.data * 20)
    matrix = counts.toarray().astype(dtype) if layout is np.asarray else layout(counts.astype(dtype))
    obs = pd.DataFrame(
        {
            "kind": pd.Categorical(rng.choice(["b", "a", "c"], n)),
            "stage": pd.Categorical(rng.choice(["late", "early"], n), categories=["early", "late"], ordered=True),
            "score": rng.normal(size=n),
            "count": rng.integers(0, 9, n),
            "flag": rng.random(n) > 0.5,
            "maybe": pd.array(np.where(rng.random(n) > 0.5, 1, None), dtype="Int64"),
            "perhaps": pd.array(np.where(rng.random(n) > 0.5, True, None), dtype="boolean"),
            "note": [f"note {i} é" for i in range(n)],
        },
        index=[f"cell{i}" for i in range(n)],
    )
    var = pd.DataFrame({"ids": [f"ENS{i}" for i in range(m)]}, index=[f"gene{i}" for i in range(m)])
    adata = ad.AnnData(matrix, obs=obs, var=var)
    adata.layers["counts"] = counts.tocsc()
    adata.obsm["X_pca"] = rng.normal(size=(n, 100))
    adata.obsm["frame"] = pd.DataFrame({"a": np.arange(n), "b": rng.normal(size=n)}, index=obs.index)
    adata.varm["PCs"] = rng.normal(size=(m, 10)).astype(np.float32)
    adata.obsp["distances"] = sparse.random(n, n, density=0.05, random_state=rng, format="csr")
    adata.uns["nested"] = {"number": 3, "text": "yes", "array": np.arange(5), "deep": {"flag": True, "none": None}}
    names = np.array([("x", 1.5), ("y", 2.5)], dtype=[("0", "O"), ("1", "f8")])
    adata.uns["records"] = names
    adata.raw = ad.AnnData(counts.astype(np.float32), obs=obs[[]], var=var)
    return adata


@pytest.mark.parametrize("relative", REAL or ["(none)"])
def test_real_files_equal_anndata(relative):
    path = data_path(relative)
    ours = zs.io.read(path)
    assert_equal(ours, ad.read_h5ad(path), exact=True)
    if sparse.issparse(ours.X):
        assert ours.X.indices.dtype == np.int32


@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int64, np.uint16])
def test_layouts_and_types(tmp_path, layout, dtype):
    path = tmp_path / "a.h5ad"
    make_adata(layout, dtype).write_h5ad(path)
    ours, theirs = zs.io.read_h5ad(path), ad.read_h5ad(path)
    assert_equal(ours, theirs, exact=True)
    assert ours.X.dtype == dtype and type(ours.X) is type(theirs.X)


def _compressions():
    import hdf5plugin

    return {
        "gzip": {"compression": "gzip"},
        "gzip-shuffle-fletcher": {"compression": "gzip", "shuffle": True, "fletcher32": True},
        "fletcher": {"fletcher32": True},
        "lzf": {"compression": "lzf"},
        "lzf-shuffle": {"compression": "lzf", "shuffle": True},
        "zstd": dict(hdf5plugin.Zstd(clevel=5)),
        "blosc-lz4": dict(hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.SHUFFLE)),
        "blosc-zstd": dict(hdf5plugin.Blosc(cname="zstd", shuffle=hdf5plugin.Blosc.BITSHUFFLE)),
        "blosc-zlib": dict(hdf5plugin.Blosc(cname="zlib")),
        "blosc-blosclz": dict(hdf5plugin.Blosc(cname="blosclz")),
    }


@pytest.mark.parametrize("name", list(_compressions()))
@pytest.mark.parametrize("layout", [sparse.csr_matrix, np.asarray])
def test_compressions(tmp_path, name, layout):
    adata = make_adata(layout, n=900)
    path = tmp_path / "a.h5ad"
    adata.write_h5ad(path)
    options = _compressions()[name]
    with h5py.File(path, "r+") as file:
        for key in ["X"] if layout is np.asarray else ["X/data", "X/indices", "X/indptr"]:
            values, attributes = file[key][()], dict(file[key].attrs)
            del file[key]
            chunks = (97, 50) if values.ndim == 2 else (min(1000, len(values)),)
            made = file.create_dataset(key, data=values, chunks=chunks, **options)
            made.attrs.update(attributes)
    ours = zs.io.read_h5ad(path)
    assert_equal(ours.X, adata.X, exact=True)


def test_unknown_filter_is_named(tmp_path):
    import hdf5plugin

    path = tmp_path / "a.h5ad"
    adata = make_adata(np.asarray)
    adata.write_h5ad(path)
    with h5py.File(path, "r+") as file:
        attributes = dict(file["X"].attrs)
        del file["X"]
        file.create_dataset("X", data=np.zeros((300, 120), "f4"), chunks=(50, 120), **hdf5plugin.Bitshuffle()).attrs.update(attributes)
    with pytest.raises(zs.errors.FormatError, match="X: .*gzip.*32008"):
        zs.io.read_h5ad(path)


def test_odd_storage(tmp_path):
    """Big-endian numbers, half precision, contiguous and never-written arrays go through the library."""
    path = tmp_path / "a.h5"
    values = np.arange(60.0).reshape(12, 5)
    with h5py.File(path, "w") as file:
        file["big"] = values.astype(">f8")
        file["half"] = values.astype("f2")
        file["bool"] = values > 7
        file["cube"] = np.arange(24, dtype="i2").reshape(2, 3, 4)
        file.create_dataset("blank", (1000,), "i4", chunks=(10,), fillvalue=7)
        file.create_dataset("part", (1000,), "i4", chunks=(10,), fillvalue=7)[5:30] = 1
    core = zs._core if hasattr(zs, "_core") else __import__("zensaibo._core", fromlist=["x"])
    for key in ["big", "half", "bool", "cube", "blank", "part"]:
        with h5py.File(path) as file:
            expected = file[key][()]
        found = core.io_read_array(path, key)
        np.testing.assert_array_equal(found, expected)
        assert found.dtype == expected.dtype.newbyteorder("=")


def test_threads_give_the_same_bits():
    path = data_path("kang_pbmc_ifnb/counts.h5ad")
    one = zs.io.read(path, threads=1).X
    for threads in (2, 8):
        other = zs.io.read(path, threads=threads).X
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(one, part), getattr(other, part))


TENX_H5 = [
    ("cellranger2/filtered_gene_bc_matrices_h5.h5", {}),
    ("cellranger2/multiple_genomes.h5", {"genome": "hg19_chr21"}),
    ("cellranger2/multiple_genomes.h5", {"genome": "another_genome"}),
    ("cellranger3/filtered_feature_bc_matrix.h5", {}),
    ("cellranger3/filtered_feature_bc_matrix.h5", {"gex_only": False}),
    ("cellranger3/filtered_feature_bc_matrix.h5", {"genome": "GRCh38_chr21"}),
    ("visium/1.0.0/filtered_feature_bc_matrix.h5", {}),
    ("visium/2.1.0/raw_probe_bc_matrix.h5", {}),
    ("visium/2.1.0/raw_probe_bc_matrix.h5", {"gex_only": False}),
]


@pytest.mark.parametrize(("relative", "options"), TENX_H5)
def test_10x_h5_equals_scanpy(relative, options):
    import scanpy as sc

    path = data_path(f"tenx_format_samples/{relative}")
    ours, theirs = zs.io.read_10x_h5(path, **options), sc.read_10x_h5(path, **options)
    assert_equal(ours, theirs, exact=True)
    assert ours.X.dtype == theirs.X.dtype and ours.X.indices.dtype == np.int32
    assert_equal(zs.io.read(path, **options), theirs, exact=True)


def test_10x_genome_must_be_chosen():
    path = data_path("tenx_format_samples/cellranger2/multiple_genomes.h5")
    with pytest.raises(zs.errors.ParameterError, match="genome.*another_genome, hg19_chr21"):
        zs.io.read_10x_h5(path)
    with pytest.raises(zs.errors.ParameterError, match="hg19_chr21.*mm10"):
        zs.io.read_10x_h5(path, genome="mm10")
    with pytest.raises(zs.errors.ParameterError, match="mm10"):
        zs.io.read_10x_h5(data_path("tenx_format_samples/cellranger3/filtered_feature_bc_matrix.h5"), genome="mm10")


FOLDERS = [
    "tenx_format_samples/cellranger2/filtered_gene_bc_matrices/hg19_chr21",
    "tenx_format_samples/cellranger3/filtered_feature_bc_matrix",
]


@pytest.mark.parametrize("relative", FOLDERS)
@pytest.mark.parametrize("options", [{}, {"var_names": "gene_ids"}, {"gex_only": False}, {"make_unique": False}])
def test_10x_folders_equal_scanpy(relative, options):
    import scanpy as sc

    path = data_path(relative)
    ours, theirs = zs.io.read_10x_mtx(path, **options), sc.read_10x_mtx(path, **options)
    assert_equal(ours, theirs, exact=True)
    assert ours.X.format == "csr" and ours.X.dtype == np.float32


def test_pbmc3k_folder(pbmc3k):
    # scanpy cannot read a version 2 folder that is compressed; the fixture reads it by hand.
    ours = zs.io.read(data_path("pbmc3k/filtered_gene_bc_matrices/hg19"))
    assert_equal(ours.X, pbmc3k.X, exact=True)
    assert list(ours.var_names) == list(pbmc3k.var_names) and list(ours.obs_names) == list(pbmc3k.obs_names)
    assert list(ours.var["gene_ids"]) == list(pbmc3k.var["gene_ids"])


def test_folder_unpacked_and_prefixed(tmp_path):
    source = data_path("tenx_format_samples/cellranger3/filtered_feature_bc_matrix")
    for name in ("matrix.mtx", "features.tsv", "barcodes.tsv"):
        (tmp_path / f"s1_{name}").write_bytes(gzip.decompress((source / f"{name}.gz").read_bytes()))
    assert_equal(zs.io.read_10x_mtx(tmp_path, prefix="s1_"), zs.io.read_10x_mtx(source), exact=True)
    with pytest.raises(zs.errors.FormatError, match="matrix.mtx.*s1_barcodes.tsv"):
        zs.io.read_10x_mtx(tmp_path)


@pytest.mark.parametrize("field", ["integer", "real", "pattern"])
@pytest.mark.parametrize("order", ["columns", "rows", "shuffled"])
def test_matrix_market(tmp_path, field, order):
    rng = np.random.default_rng(1)
    matrix = sparse.random(50, 70, density=0.1, random_state=rng, format="coo")
    matrix.data = np.ceil(matrix.data * 9) if field != "real" else matrix.data * 1e-3
    keys = {"columns": np.lexsort((matrix.row, matrix.col)), "rows": np.lexsort((matrix.col, matrix.row))}
    at = keys.get(order, rng.permutation(matrix.nnz))
    lines = [f"%%MatrixMarket matrix coordinate {field} general", "% a comment", f"50 70 {matrix.nnz}"]
    for r, c, v in zip(matrix.row[at], matrix.col[at], matrix.data[at], strict=True):
        value = "" if field == "pattern" else f" {int(v)}" if field == "integer" else f" {float(v)!r}"
        lines.append(f"{r + 1} {c + 1}{value}")
    path = tmp_path / "m.mtx"
    path.write_text("\n".join(lines) + "\n")
    assert_equal(zs.io.read(path).X, ad.io.read_mtx(path).X, exact=True)
    packed = tmp_path / "m.dat"
    packed.write_bytes(gzip.compress(path.read_bytes()[:400]) + gzip.compress(path.read_bytes()[400:]))
    assert_equal(zs.io.read(packed).X, ad.io.read_mtx(path).X, exact=True)


def test_content_decides_not_the_name(tmp_path):
    path = tmp_path / "surprise.csv"
    make_adata().write_h5ad(path)
    assert zs.io.detect(path) == "h5ad"
    assert zs.io.read(path).shape == (300, 120)


def _damage(file, key, values):
    attributes = dict(file[key].attrs)
    del file[key]
    file.create_dataset(key, data=values).attrs.update(attributes)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: _damage(f, "X/indices", np.where(np.arange(f["X/indices"].size) == 5, -1, f["X/indices"][()])), "X/indices.*0..120.*-1 at position 5"),
        (lambda f: _damage(f, "X/indices", np.where(np.arange(f["X/indices"].size) == 5, 120, f["X/indices"][()]).astype("i8")), "0..120.*120 at position 5"),
        (lambda f: _damage(f, "X/indices", f["X/indices"][:-1]), "as many values as indices"),
        (lambda f: _damage(f, "X/indptr", f["X/indptr"][:-1]), "X/indptr.*301 entries.*300"),
        (lambda f: _damage(f, "X/indptr", f["X/indptr"][()][::-1]), "start at 0"),
        (lambda f: f["X"].attrs.__setitem__("shape", [300, -1]), "shape"),
        (lambda f: f["X"].attrs.__setitem__("encoding-type", "coo_matrix"), "coo_matrix|No read method"),
        (lambda f: f.__delitem__("obs"), "obs"),
        (lambda f: f["X"].__delitem__("data"), "X/data.*indices, indptr"),
    ],
)
def test_wrong_contents_are_named(tmp_path, change, message):
    path = tmp_path / "a.h5ad"
    make_adata().write_h5ad(path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(zs.errors.FormatError, match=message) as caught:
        zs.io.read_h5ad(path)
    assert str(path) in str(caught.value) and isinstance(caught.value, ValueError)


def test_bad_files(tmp_path):
    with pytest.raises(zs.errors.FileError, match="nowhere.h5ad") as caught:
        zs.io.read(tmp_path / "nowhere.h5ad")
    assert isinstance(caught.value, OSError)
    (tmp_path / "empty.h5ad").touch()
    (tmp_path / "text.h5ad").write_text("neither a table\nnor a matrix\n")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["stuff"] = 1
    for name, message in [("empty.h5ad", "empty"), ("text.h5ad", "signature"), ("other.h5", "stuff")]:
        with pytest.raises(zs.errors.FormatError, match=message):
            zs.io.read(tmp_path / name)
        with pytest.raises(zs.errors.FormatError):
            zs.io.read_h5ad(tmp_path / name)
    with pytest.raises(zs.errors.FormatError, match="matrix.mtx"):
        zs.io.read(tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("2 2 1\n3 1 1\n", "line 3.*row"),
        ("2 2 1\n1 0 1\n", "line 3"),
        ("2 2 1\n1 1 x\n", 'line 3.*"1 1 x"'),
        ("2 2 2\n1 1 1\n", "2 entries.*1"),
        ("2 2 1\n1 1 1\n2 2 1\n", "1 entries.*more"),
        ("2 2\n", "line 2"),
        ("2 2 99999999999\n", "as many entries"),
    ],
)
def test_bad_matrix_market(tmp_path, body, message):
    path = tmp_path / "m.mtx"
    path.write_text("%%MatrixMarket matrix coordinate integer general\n" + body)
    with pytest.raises(zs.errors.FormatError, match=message):
        zs.io.read_mtx(path)
    path.write_text("%%MatrixMarket matrix array real general\n2 2\n1\n2\n3\n4\n")
    with pytest.raises(zs.errors.FormatError, match="coordinate.*array"):
        zs.io.read_mtx(path)


def test_truncated_gzip(tmp_path):
    source = data_path("tenx_format_samples/cellranger3/filtered_feature_bc_matrix")
    shutil.copytree(source, tmp_path / "f")
    whole = (tmp_path / "f" / "matrix.mtx.gz").read_bytes()
    (tmp_path / "f" / "matrix.mtx.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(zs.errors.FormatError, match="matrix.mtx.gz"):
        zs.io.read(tmp_path / "f")


def test_nothing_of_hdf5_reaches_the_terminal(tmp_path):
    path = tmp_path / "a.h5ad"
    make_adata().write_h5ad(path)
    path.write_bytes(path.read_bytes()[:-5000])
    code = f"import zensaibo as zs\ntry: zs.io.read({str(path)!r})\nexcept zs.errors.FormatError as e: print('refused', e)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("refused") and "HDF5-DIAG" not in done.stderr


def test_inspect(tmp_path):
    path = tmp_path / "a.h5ad"
    make_adata().write_h5ad(path, compression="gzip")
    report = zs.io.inspect(path)
    slots = {slot["key"]: slot for slot in report["slots"]}
    assert (report["format"], report["n_cells"], report["n_genes"]) == ("h5ad", 300, 120)
    assert slots["X"]["kind"] == "csr_matrix" and slots["X"]["dtype"] == "float32" and slots["X"]["compression"] == ["gzip"]
    assert slots["obs"]["shape"] == [300, 8] and slots["obs/kind"]["kind"] == "categorical"
    assert slots["obsm/X_pca"]["shape"] == [300, 100]
    for relative, _ in TENX_H5[:1] + TENX_H5[3:4]:
        assert zs.io.inspect(data_path(f"tenx_format_samples/{relative}"))["entries"] > 0
    assert zs.io.inspect(data_path(FOLDERS[1]))["n_genes"] == 507
