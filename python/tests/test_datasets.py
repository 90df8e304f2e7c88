"""Simulated data: shape of the truth, files, seeds; and the registry of real data."""

from __future__ import annotations

import hashlib
import inspect
import subprocess
import sys
import warnings

import anndata as ad
import numpy as np
import pytest
from conftest import DATA

import zensaibo as zs

SMALL = {"n_obs": 1500, "n_vars": 2000, "umi_per_cell": 1200, "genes_per_cell": 450, "n_types": 6, "n_lineages": 3}


def equal(a: ad.AnnData, b: ad.AnnData) -> bool:
    same = a.X.shape == b.X.shape and (a.X != b.X).nnz == 0
    return bool(same and a.obs.equals(b.obs) and a.var.equals(b.var))


def test_truth_and_counts():
    adata = zs.datasets.simulate(**SMALL)
    assert adata.shape == (1500, 2000) and adata.X.dtype == np.float32 and adata.X.has_sorted_indices
    assert adata.uns["simulated"] and adata.uns["zensaibo"]["simulate"]["options"]["n_types"] == 6
    counts = adata.X.data
    assert (counts == np.round(counts)).all() and counts.min() >= 1
    assert 400 < np.median(np.diff(adata.X.indptr)) < 520
    assert 1080 < np.median(np.asarray(adata.X.sum(1))) < 1350
    assert list(adata.obs["cell_type"].cat.categories) == [f"type{i:02}" for i in range(6)]
    assert set(adata.obs.groupby("cell_type", observed=True)["lineage"].nunique()) == {1}
    assert adata.obs["batch"].nunique() == 4
    assert (adata.obs["is_doublet"] == adata.obs["doublet_of"].notna()).all()
    assert (adata.obs["pseudotime"].notna() == adata.obs["trajectory"].notna()).all()
    assert adata.var_names.is_unique and adata.var["is_mito"].sum() == 13
    assert adata.var_names[adata.var["is_mito"]].str.startswith("MT-").all()
    mito = adata.X[:, adata.var["is_mito"].to_numpy()].sum() / adata.X.sum()
    assert 0.03 < mito < 0.08
    assert adata.var["marker_of"].value_counts().min() >= 5


def test_seeds_threads_and_prefixes():
    base = zs.datasets.simulate(**SMALL, threads=1)
    for threads in (2, 8):
        assert equal(base, zs.datasets.simulate(**SMALL, threads=threads))
    assert not equal(base, zs.datasets.simulate(**SMALL, seed=1))
    fewer = zs.datasets.simulate(**{**SMALL, "n_obs": 200})
    assert (fewer.X != base.X[:200]).nnz == 0


def test_a_streamed_file_is_the_same_data(tmp_path):
    path = tmp_path / "x.h5ad"
    options = {**SMALL, "n_obs": 30_000, "n_vars": 600, "umi_per_cell": 300, "genes_per_cell": 150}
    assert zs.datasets.simulate(**options, out=path) is None
    back = ad.read_h5ad(path)
    assert equal(back, zs.datasets.simulate(**options))
    assert [p.name for p in tmp_path.iterdir()] == ["x.h5ad"]


def test_command_line(tmp_path):
    command = [sys.executable, "-m", "zensaibo.datasets", "simulate"]
    path = tmp_path / "y.h5ad"
    done = subprocess.run(
        [*command, "--cells", "300", "--genes", "2000", "--umi-per-cell", "900", "--genes-per-cell", "400", "--out", str(path)],
        capture_output=True, text=True, check=False,
    )
    assert done.returncode == 0, done.stderr
    assert ad.read_h5ad(path).shape == (300, 2000)
    bad = subprocess.run([*command, "--cells", "10", "--genes", "3", "--out", str(path)], capture_output=True, text=True, check=False)
    assert bad.returncode == 2 and "n_vars" in bad.stderr
    assert ad.read_h5ad(path).shape == (300, 2000)


def test_bad_input(tmp_path):
    with pytest.raises(zs.errors.ParameterError, match="genes_per_cell"):
        zs.datasets.simulate(10, 2000, umi_per_cell=100, genes_per_cell=1500)
    with pytest.raises(zs.errors.ParameterError, match="liver"):
        zs.datasets.simulate(10, template="liver")
    with pytest.raises(zs.errors.ParameterError, match="folder that exists"):
        zs.datasets.simulate(**SMALL, out=tmp_path / "no" / "x.h5ad")


def test_defaults_are_those_of_rust():
    from zensaibo._options import defaults

    keywords = inspect.signature(zs.datasets.simulate).parameters
    rust = defaults("simulate")
    assert set(rust) == set(keywords) - {"out", "gzip", "threads", "progress"}
    for name, value in rust.items():
        assert keywords[name].default == value, name


def cluster(adata: ad.AnnData, n_pcs: int, n_top_genes: int) -> ad.AnnData:
    sc = pytest.importorskip("scanpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=n_top_genes)
        sc.pp.pca(adata, n_comps=n_pcs)
        sc.pp.neighbors(adata)
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, directed=False)
    return adata


def test_demo_tells_its_story():
    from sklearn.metrics import adjusted_rand_score

    adata = zs.datasets.demo()
    assert adata.shape == (2400, 3000) and equal(adata, zs.datasets.demo(threads=1))
    adata = cluster(adata, 30, 1000)
    single = ~adata.obs["is_doublet"]
    assert adjusted_rand_score(adata.obs["cell_type"][single], adata.obs["leiden"][single]) > 0.85
    zs.tl.rank_genes_groups(adata, "cell_type", method="wilcoxon")
    names = adata.uns["rank_genes_groups"]["names"]
    expected = {
        "CD4 T": "IL7R", "CD14+ monocyte": "CD14", "B": "MS4A1", "CD8 T": "CD8A", "NK": "GNLY",
        "FCGR3A+ monocyte": "FCGR3A", "Dendritic": "FCER1A", "Megakaryocyte": "PPBP",
    }
    for kind, gene in expected.items():
        assert gene in names[kind][:30], (kind, list(names[kind][:30]))


def test_types_are_found_again_at_scale():
    from sklearn.metrics import adjusted_rand_score

    adata = cluster(zs.datasets.simulate(10_000), 50, 2000)
    single = ~adata.obs["is_doublet"]
    assert adjusted_rand_score(adata.obs["cell_type"][single], adata.obs["leiden"][single]) > 0.85


@pytest.mark.parametrize("name", zs.datasets.registry())
def test_registered_data_has_the_stated_hash(name, monkeypatch):
    entry = zs.datasets.registry()[name]
    assert {"path", "url", "licence", "citation", "shape", "description", "files"} <= set(entry)
    for relative, expected in entry["files"].items():
        if not (DATA / relative).exists():
            pytest.skip(f"real data not found: {relative} (set ZENSAIBO_DATA; looked in {DATA})")
        assert hashlib.sha256((DATA / relative).read_bytes()).hexdigest() == expected
    monkeypatch.setenv("ZENSAIBO_DATA", str(DATA))
    assert zs.datasets.locate(name, check=True).exists()


def test_pbmc3k_is_read(monkeypatch, pbmc3k):
    monkeypatch.setenv("ZENSAIBO_DATA", str(DATA))
    adata = zs.datasets.pbmc3k()
    assert (adata.X != pbmc3k.X).nnz == 0 and list(adata.var_names) == list(pbmc3k.var_names)
    assert adata.X.nnz == 2_286_884


def test_absent_data_is_named(monkeypatch, tmp_path):
    monkeypatch.delenv("ZENSAIBO_DATA", raising=False)
    with pytest.raises(zs.errors.FileError, match="ZENSAIBO_DATA.*unset.*10xgenomics"):
        zs.datasets.pbmc3k()
    monkeypatch.setenv("ZENSAIBO_DATA", str(tmp_path))
    with pytest.raises(OSError, match="no such file"):
        zs.datasets.pbmc3k()
    with pytest.raises(zs.errors.MissingKeyError, match="nothing.*pbmc3k"):
        zs.datasets.locate("nothing")


def test_a_streamed_file_has_one_width_of_indices(tmp_path):
    import h5py

    zs.datasets.simulate(500, 4000, out=tmp_path / "s.h5ad")
    with h5py.File(tmp_path / "s.h5ad") as file:
        assert file["X/indptr"].dtype == file["X/indices"].dtype == np.int32
        assert file["X/indptr"][-1] == len(file["X/indices"]) == len(file["X/data"])
