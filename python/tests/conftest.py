"""Fixtures that several test files share. Real data is found through ZENSAIBO_DATA and skipped aloud when absent."""

from __future__ import annotations

import os
import signal
import threading
import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("ZENSAIBO_DATA", REPOSITORY.parent / "shared" / "data"))


def pytest_configure(config: pytest.Config) -> None:
    # A job that a shell runs in the background ignores SIGINT, and so would every process that it starts: those that are
    # to be interrupted would run for ever. A handler here is the default in what is started from here.
    if threading.current_thread() is threading.main_thread() and signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # anndata's test helpers, which compare objects slot by slot, use this mark on import.
    config.addinivalue_line("markers", "gpu: needs a graphics card (anndata's helpers name it)")


def data_path(relative: str) -> Path:
    """A path under ZENSAIBO_DATA; skips the test, with the reason, when it is not there."""
    path = DATA / relative
    if not path.exists():
        pytest.skip(f"real data not found: {relative} (set ZENSAIBO_DATA; looked in {DATA})")
    return path


@pytest.fixture(scope="session")
def _pbmc3k() -> ad.AnnData:
    import scanpy as sc

    path = data_path("pbmc3k/filtered_gene_bc_matrices/hg19")
    from scipy.io import mmread
    import gzip
    import pandas as pd

    with gzip.open(path / "matrix.mtx.gz") as file:
        matrix = sparse.csr_matrix(mmread(file).T.astype(np.float32))
    genes = pd.read_csv(path / "genes.tsv.gz", sep="\t", header=None)
    cells = pd.read_csv(path / "barcodes.tsv.gz", sep="\t", header=None)
    adata = ad.AnnData(matrix)
    adata.obs_names = cells[0].to_numpy().astype(str)
    adata.var_names = genes[1].to_numpy().astype(str)
    adata.var["gene_ids"] = genes[0].to_numpy().astype(str)
    adata.var_names_make_unique()
    assert adata.shape == (2700, 32738) and sc is not None
    return adata


@pytest.fixture
def pbmc3k(_pbmc3k: ad.AnnData) -> ad.AnnData:
    """PBMC 3k, raw counts, 2,700 x 32,738, float32 CSR."""
    return _pbmc3k.copy()


@pytest.fixture(scope="session")
def _pbmc3k_log(_pbmc3k: ad.AnnData) -> ad.AnnData:
    """Filtered, normalised and logged by scanpy; `var.highly_variable`, `X_pca` (50) and louvain-free labels."""
    import scanpy as sc

    adata = _pbmc3k.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.filter_cells(adata, min_genes=200)
        sc.pp.filter_genes(adata, min_cells=3)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=2000)
        sc.pp.pca(adata, n_comps=50)
        sc.pp.neighbors(adata, n_neighbors=15)
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
    return adata


@pytest.fixture
def pbmc3k_log(_pbmc3k_log: ad.AnnData) -> ad.AnnData:
    """PBMC 3k after scanpy's standard steps (scanpy's own PCA, neighbours and leiden in place)."""
    return _pbmc3k_log.copy()


def _read(relative: str) -> ad.AnnData:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = ad.read_h5ad(data_path(relative))
    adata.var_names_make_unique()
    return adata


@pytest.fixture
def paul15() -> ad.AnnData:
    """Paul 2015, raw counts, 2,730 x 3,451, obs.paul15_clusters."""
    return _read("paul15/paul15.h5ad")


@pytest.fixture
def kang() -> ad.AnnData:
    """Kang 2018, raw counts, 2,000 x 9,015, obs.stim."""
    return _read("kang_pbmc_ifnb/counts.h5ad")


@pytest.fixture
def pbmc68k_reduced(tmp_path: Path) -> ad.AnnData:
    """PBMC 68k reduced, 700 x 765, scaled X (the archive holds no raw), obs.bulk_labels."""
    import zipfile

    path = data_path("pbmc68k_reduced/10x_pbmc68k_reduced.zarr.zip")
    with zipfile.ZipFile(path) as archive:
        archive.extractall(tmp_path / "z")
    # Zarr v2 marks groups by .zattrs, v3 by zarr.json; the archive may hold the store in a folder of its own.
    marks = [*(tmp_path / "z").rglob(".zattrs"), *(tmp_path / "z").rglob("zarr.json")]
    store = next(p.parent for p in marks if (p.parent / "obs").exists() and (p.parent / "var").exists())
    import zarr

    # `uns` holds record arrays that zarr-python does not read; everything else is read element by element.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = zarr.open_group(store, mode="r", use_consolidated=False)
        parts = {k: ad.io.read_elem(group[k]) for k in ("X", "obs", "var", "obsm", "varm", "obsp", "layers") if k in group}
        adata = ad.AnnData(**parts)
    assert adata.shape == (700, 765)
    return adata


@pytest.fixture
def small() -> ad.AnnData:
    """Counts made on the spot: 300 cells x 120 genes in three groups, seed 0, float32 CSR."""
    rng = np.random.default_rng(0)
    groups = np.repeat([0, 1, 2], 100)
    rates = rng.gamma(0.6, 1.0, size=(3, 120)) + 0.05
    counts = rng.poisson(rates[groups]).astype(np.float32)
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.obs_names = [f"cell{i}" for i in range(300)]
    adata.var_names = [f"gene{i}" for i in range(120)]
    adata.obs["group"] = [f"g{g}" for g in groups]
    adata.obs["group"] = adata.obs["group"].astype("category")
    return adata


#: Every layout that a matrix may come in, by name.
LAYOUTS = {
    "csr": sparse.csr_matrix,
    "csc": sparse.csc_matrix,
    "csr_array": sparse.csr_array,
    "dense": lambda x: x.toarray() if sparse.issparse(x) else np.asarray(x),
    "csr_i64": lambda x: _wide(sparse.csr_matrix(x)),
    "csr_f64": lambda x: sparse.csr_matrix(x).astype(np.float64),
    "csr_i32_values": lambda x: sparse.csr_matrix(x).astype(np.int32),
}


def _wide(matrix: sparse.csr_matrix) -> sparse.csr_matrix:
    out = matrix.copy()
    out.indices, out.indptr = out.indices.astype(np.int64), out.indptr.astype(np.int64)
    return out
