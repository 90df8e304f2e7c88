"""Several files taken as one matrix: the same bits as `anndata.concat` in memory, or a refusal that names the file."""

from __future__ import annotations

import pickle
import shutil
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from test_file_matrix import same
from zensaibo import errors


@pytest.fixture(scope="module")
def parts() -> list[ad.AnnData]:
    """Three samples with genes that differ in number and order; enough cells that blocks span files."""
    whole = zs.datasets.simulate(9000, 800, genes_per_cell=320, umi_per_cell=1300, n_types=4, n_lineages=2, n_trajectories=0, seed=9)
    whole.X = sparse.csr_matrix(whole.X).astype(np.float32)
    rng = np.random.default_rng(0)
    made = []
    for at, (cells, genes) in enumerate([((0, 3500), 800), ((3500, 4100), 700), ((4100, 9000), 760)]):
        order = np.arange(800) if at == 0 else rng.permutation(800)[:genes]
        part = whole[cells[0] : cells[1], order].copy()
        if at == 1:
            part.var_names = [f"own{i}" if i < 20 else name for i, name in enumerate(part.var_names)]
        part.layers["counts"] = part.X.copy()
        made.append(part)
    return made


@pytest.fixture(scope="module", params=["csr", "mixed"])
def paths(request: pytest.FixtureRequest, parts: list[ad.AnnData], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp(request.param)
    found = []
    for at, part in enumerate(parts):
        kept = part.copy()
        if request.param == "mixed":
            kept.X = [sparse.csc_matrix(kept.X), kept.X.toarray(), kept.X.astype(np.float64)][at]
        found.append(folder / f"sample{at}.h5ad")
        kept.write_h5ad(found[-1], compression="gzip" if at == 0 else None)
    return found


def concat(parts: list[ad.AnnData], join: str) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return ad.concat(parts, join=join, label="batch")


def results(matrix, types: np.ndarray, threads: int | None = None) -> dict:
    """Quality control, variable genes, components and markers of counts; `matrix` in memory or in files."""
    arrays = zs.arrays
    factors = arrays.size_factors(matrix, target_sum=1e4, threads=threads)
    if sparse.issparse(matrix):
        logged = matrix.copy()
        logged = arrays.log1p(arrays.normalize_total(logged, target_sum=1e4)[0])
    else:
        logged = matrix.normalize_total(1e4).log1p()
    return {
        "qc": arrays.qc_metrics(matrix, threads=threads),
        "factors": factors,
        "hvg": arrays.highly_variable_genes(logged, n_top_genes=200, threads=threads),
        "hvg, seurat_v3": arrays.highly_variable_genes(matrix, flavor="seurat_v3", n_top_genes=200, threads=threads),
        "pca": arrays.pca(logged, 8, threads=threads),
        "markers": arrays.rank_genes_groups(logged, types, method="wilcoxon", threads=threads),
    }


@pytest.mark.parametrize("join", ["inner", "outer"])
def test_a_list_of_files_is_the_concatenated_matrix(join: str, parts: list[ad.AnnData], paths: list[Path]) -> None:
    held = concat(parts, join)
    found = zs.io.open_matrix(paths, join=join)
    assert found.shape == held.shape
    assert found.var_names.tolist() == held.var_names.tolist()
    assert found.obs_names.tolist() == held.obs_names.tolist()
    assert (found.to_memory() != held.X).nnz == 0
    assert found.paths == [str(path) for path in paths] and found.path == str(paths[0])
    assert "3 files" in repr(found)
    types = held.obs["cell_type"].to_numpy().astype(str)
    wanted = results(held.X, types)
    for threads in (1, 2):
        same(results(found, types, threads), wanted)


def test_layers_one_file_and_masks(parts: list[ad.AnnData], paths: list[Path]) -> None:
    held = concat(parts, "inner")
    layer = zs.io.open_matrix(paths, "layers/counts")
    same(zs.arrays.qc_metrics(layer), zs.arrays.qc_metrics(held.layers["counts"]))
    one = zs.io.open_matrix([paths[1]])
    assert one.shape == parts[1].shape and one.var_names.tolist() == parts[1].var_names.tolist()
    rng = np.random.default_rng(1)
    cells, genes = rng.random(held.n_obs) < 0.5, rng.random(held.n_vars) < 0.5
    chosen = layer.select(cells, genes)
    again = chosen.select(genes=np.arange(genes.sum()) % 2 == 0)
    assert chosen.obs_names.tolist() == held.obs_names[cells].tolist()
    assert again.var_names.tolist() == held.var_names[genes][::2].tolist()
    assert (again.to_memory() != held.X[cells][:, genes][:, ::2]).nnz == 0


def test_a_list_goes_to_other_processes(paths: list[Path], tmp_path: Path) -> None:
    copies = [tmp_path / path.name for path in paths[:2]]
    for path, copy in zip(paths, copies, strict=False):
        shutil.copy(path, copy)
    sent = zs.io.open_matrix(copies, join="outer").log1p()
    there = pickle.loads(pickle.dumps(sent))
    assert there.shape == sent.shape and there.var_names.tolist() == sent.var_names.tolist() and repr(there) == repr(sent)
    same(zs.arrays.pca(there, 3), zs.arrays.pca(sent, 3))
    packed = pickle.dumps(sent)
    shutil.copy(paths[2], copies[1])
    with pytest.raises(errors.FormatError, match="sample1.h5ad.*as it was when it was first opened"):
        pickle.loads(packed)


def test_faults_name_the_file(parts: list[ad.AnnData], paths: list[Path], tmp_path: Path) -> None:
    with pytest.raises(errors.FileError, match="nowhere.h5ad"):
        zs.io.open_matrix([paths[0], tmp_path / "nowhere.h5ad"])
    with pytest.raises(errors.ParameterError, match="inner or outer"):
        zs.io.open_matrix(paths, join="left")
    with pytest.raises(errors.ParameterError, match="at least one path"):
        zs.io.open_matrix([])
    with pytest.raises(errors.ParameterError, match="list of paths, found int"):
        zs.io.open_matrix(3)
    other = parts[0][:100].copy()
    del other.layers["counts"]
    other.write_h5ad(tmp_path / "bare.h5ad")
    with pytest.raises(errors.MissingKeyError, match="layers/counts.*bare.h5ad"):
        zs.io.open_matrix([paths[0], tmp_path / "bare.h5ad"], "layers/counts")
    other.var_names = [f"other{i}" for i in range(other.n_vars)]
    other.write_h5ad(tmp_path / "other.h5ad")
    with pytest.raises(errors.EmptyDataError, match="other.h5ad"):
        zs.io.open_matrix([paths[0], tmp_path / "other.h5ad"])
    other.var_names = ["twice", "twice", *other.var_names[2:]]
    other.write_h5ad(tmp_path / "twice.h5ad")
    with pytest.raises(errors.DuplicateNamesError, match="twice.h5ad.*twice twice"):
        zs.io.open_matrix([paths[0], tmp_path / "twice.h5ad"], join="outer")
    # The same names in both: nothing has to be told apart.
    assert zs.io.open_matrix([tmp_path / "twice.h5ad"] * 2).shape == (200, other.n_vars)


def test_a_file_cut_short_while_it_is_read(parts: list[ad.AnnData], tmp_path: Path) -> None:
    paths = [tmp_path / "a.h5ad", tmp_path / "b.h5ad"]
    for path, part in zip(paths, parts, strict=False):
        part.write_h5ad(path, compression="gzip")
    found = zs.io.open_matrix(paths)
    with open(paths[1], "r+b") as file:
        file.truncate(20_000)
    with pytest.raises(errors.FormatError, match=r"b\.h5ad: X/.*end of the file"):
        zs.arrays.qc_metrics(found)


SMALL = {"umap": {"maxiter": 10}, "pca": {"n_comps": 12}, "filter": {"min_genes": 20}}


def test_the_recipe_on_several_files(parts: list[ad.AnnData], tmp_path: Path) -> None:
    kept = []
    for part in parts:
        part = part.copy()
        del part.layers["counts"]
        part.var = part.var[[]].assign(gene_ids=[f"id-{name}" for name in part.var_names])
        kept.append(part)
    paths = [tmp_path / f"sample{at}.h5ad" for at in range(3)]
    for path, part in zip(paths, kept, strict=True):
        part.write_h5ad(path)
    for join in ("inner", "outer"):
        held = concat(kept, join)
        held.obs_names_make_unique()
        held.write_h5ad(tmp_path / "held.h5ad")
        wanted = zs.pp.recipe(tmp_path / "held.h5ad", config=SMALL, progress=False)
        for options in ({}, {"memory": "1GiB", "threads": 2}):
            found = zs.pp.recipe(paths, tmp_path / "out.h5ad", SMALL, join=join, progress=False, **options)
            for key in ("X_pca", "X_umap"):
                np.testing.assert_array_equal(found.obsm[key], wanted.obsm[key])
            assert (found.X != wanted.X).nnz == 0 and (found.layers["counts"] != wanted.layers["counts"]).nnz == 0
            assert found.obs["leiden"].tolist() == wanted.obs["leiden"].tolist()
        assert set(found.obs["batch"].cat.categories) == {"sample0", "sample1", "sample2"}
        assert found.obs["batch"].cat.codes.tolist() == wanted.obs["batch"].astype(int).tolist()
        assert found.obs["cell_type"].tolist() == wanted.obs["cell_type"].tolist()
        assert ("gene_ids" in found.var) == (join == "inner")
        origin = found.uns["zensaibo"]["recipe"]["input"]
        assert "sample2.h5ad" in origin["name"] and "3 files (h5ad)" in origin["format"] and len(origin["sha256"]) == 64
    # Names that repeat over the files carry the name of their file.
    twin = tmp_path / "twin.h5ad"
    kept[1].write_h5ad(twin)
    found = zs.pp.recipe([paths[1], twin], config=SMALL, progress=False)
    assert found.obs_names.is_unique and {name.rpartition("-")[2] for name in found.obs_names} == {"sample1", "twin"}


def test_several_files_on_the_command_line(parts: list[ad.AnnData], paths: list[Path], tmp_path: Path) -> None:
    import subprocess
    import sys

    def command(*arguments: object) -> subprocess.CompletedProcess:
        line = [sys.executable, "-m", "zensaibo", "cluster", *map(str, arguments), "--set", "umap.maxiter=10", "--quiet"]
        return subprocess.run(line, capture_output=True, text=True, check=False)

    out = tmp_path / "out.h5ad"
    done = command(*paths, "-o", out, "--set", "pca.n_comps=12", "--set", "filter.min_genes=20")
    assert done.returncode == 0, done.stderr
    found, wanted = ad.read_h5ad(out), zs.pp.recipe(paths, config=SMALL, progress=False)
    np.testing.assert_array_equal(found.obsm["X_pca"], wanted.obsm["X_pca"])
    for arguments, code, message in [
        ((paths[0], "--join", "outer"), 2, "join"),
        ((*paths, "--join", "left"), 2, "inner or outer"),
        ((paths[0], tmp_path / "nowhere.h5ad"), 3, "nowhere.h5ad"),
    ]:
        done = command(*arguments, "-o", tmp_path / "other.h5ad")
        assert done.returncode == code and message in done.stderr, done.stderr
    assert command(*paths, "-o", paths[1]).returncode == 2
    with pytest.raises(errors.ParameterError, match="join"):
        zs.pp.recipe(paths[0], join="outer")
    zs.pp.recipe(paths, tmp_path / "checked.h5ad", SMALL, checkpoints=tmp_path / "kept", progress=False)
    np.testing.assert_array_equal(ad.read_h5ad(tmp_path / "checked.h5ad").obsm["X_umap"], wanted.obsm["X_umap"])
    assert not (tmp_path / "kept").exists()


def test_a_file_by_columns_is_read_within_a_limit_of_memory(parts: list[ad.AnnData], tmp_path: Path) -> None:
    turned = parts[1].copy()
    turned.X = sparse.csc_matrix(turned.X)
    for name, part in (("first", parts[0]), ("second", parts[1]), ("columns", turned)):
        part.write_h5ad(tmp_path / f"{name}.h5ad")
    (tmp_path / "other").mkdir()
    (tmp_path / "columns.h5ad").rename(tmp_path / "other" / "second.h5ad")
    found, wanted = (
        zs.pp.recipe([tmp_path / "first.h5ad", second], config=SMALL, memory="1GiB", progress=False)
        for second in (tmp_path / "other" / "second.h5ad", tmp_path / "second.h5ad")
    )
    np.testing.assert_array_equal(found.obsm["X_umap"], wanted.obsm["X_umap"])
    assert (found.X != wanted.X).nnz == 0 and found.obs.equals(wanted.obs)
