"""Several files taken as one matrix: the same bits as `anndata.concat` in memory, or a refusal that names the file."""

from __future__ import annotations

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
