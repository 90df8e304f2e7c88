"""Passes and recipes on several processes: Dask, Snakemake, Nextflow. The same bits as one process."""

from __future__ import annotations

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs

WORKFLOWS = Path(__file__).parents[2] / "docs" / "workflows"
BINARY = Path(__file__).parents[2] / "target" / "release" / "zensaibo"
OPTIONS = {
    "filter": {"min_genes": 5},
    "pca": {"n_comps": 8},
    "hvg": {"n_top_genes": 200},
    "umap": {"maxiter": 10},
}
FLAGS = [f"--set={section}.{name}={value}" for section, options in OPTIONS.items() for name, value in options.items()]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """14,000 cells x 900 genes, 4 million counts: several blocks."""
    folder = tmp_path_factory.mktemp("dist")
    adata = zs.datasets.simulate(14_000, 900, genes_per_cell=300, umi_per_cell=900, seed=3)
    adata.obs["group"] = [f"g{at % 4}" for at in range(adata.n_obs)]
    zs.io.write(adata, folder / "counts.h5ad")
    return folder / "counts.h5ad"


@pytest.fixture(scope="module")
def client():
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


def same(a, b, where="result"):
    """Whether two results have the same bits."""
    if dataclasses.is_dataclass(a):
        for field in dataclasses.fields(a):
            same(getattr(a, field.name), getattr(b, field.name), f"{where}.{field.name}")
    elif isinstance(a, dict):
        assert a.keys() == b.keys(), where
        for key in a:
            same(a[key], b[key], f"{where}[{key!r}]")
    elif isinstance(a, (list, tuple)):
        assert len(a) == len(b), where
        for at, (x, y) in enumerate(zip(a, b, strict=True)):
            same(x, y, f"{where}[{at}]")
    elif sparse.issparse(a):
        for part in ("indptr", "indices", "data"):
            same(getattr(a, part), getattr(b, part), f"{where}.{part}")
    elif isinstance(a, np.ndarray) and a.dtype.kind in "fiub":
        assert a.dtype == b.dtype and a.tobytes() == b.tobytes(), where
    elif hasattr(a, "to_numpy"):
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b), err_msg=where)
    else:
        np.testing.assert_equal(a, b, err_msg=where)


def passes(counts):
    """One result of every function that reads a file in blocks."""
    labels = np.array([f"g{at % 4}" for at in range(counts.shape[0])])
    logged = counts.normalize_total(1e4).log1p()
    variable = zs.arrays.highly_variable_genes(logged, n_top_genes=200)
    mask = np.asarray(variable.highly_variable)
    pca = zs.arrays.pca(logged, 6, mask=mask, chunked=True)
    return {
        "quality": zs.arrays.qc_metrics(counts, gene_masks={"some": np.arange(counts.shape[1]) % 9 == 0}),
        "cells": zs.arrays.filter_cells(counts, min_genes=200),
        "genes": zs.arrays.filter_genes(counts, min_cells=100),
        "factors": zs.arrays.size_factors(counts, exclude_highly_expressed=True),
        "variable": variable,
        "variable v3": zs.arrays.highly_variable_genes(counts, n_top_genes=100, flavor="seurat_v3"),
        "pca": pca,
        "pca gathered": zs.arrays.pca(logged, 6, mask=mask),
        "t-test": zs.arrays.rank_genes_groups(logged, labels, method="t-test"),
        "wilcoxon": zs.arrays.rank_genes_groups(logged, labels, method="wilcoxon"),
        "sums": zs.arrays.aggregate(counts, np.arange(counts.shape[0]) % 5 - 1, func=["sum", "var"]),
    }


@pytest.fixture(scope="module")
def alone(path):
    return passes(zs.io.open_matrix(path))


@pytest.mark.parametrize("n_parts", [1, 5])
def test_workers_give_the_bits_of_one_process(client, path, alone, n_parts):
    with zs.dist.use(client, n_parts=n_parts):
        shared = passes(zs.io.open_matrix(path))
    for name, result in alone.items():
        same(result, shared[name], name)


def test_backed_anndata_is_shared_and_memory_is_not(client, path, monkeypatch):
    import anndata

    submitted = []
    submit = client.submit
    monkeypatch.setattr(client, "submit", lambda *args, **options: submitted.append(args[0].__name__) or submit(*args, **options))
    alone, shared = (anndata.read_h5ad(path, backed="r") for _ in range(2))
    zs.pp.calculate_qc_metrics(alone)
    assert not submitted
    with zs.dist.use(client, n_parts=3):
        zs.pp.calculate_qc_metrics(shared)
        assert submitted == ["_itself", "_compute", "_compute", "_compute"]
        zs.pp.calculate_qc_metrics(shared.to_memory())
    zs.pp.calculate_qc_metrics(shared)
    assert len(submitted) == 4
    for frame in ("obs", "var"):
        assert getattr(alone, frame).equals(getattr(shared, frame))


def test_what_a_worker_finds_wrong_is_raised_here(client, path, tmp_path):
    adata = zs.io.read(path)
    adata.X.data[-1] = np.nan
    zs.io.write(adata, tmp_path / "nan.h5ad")
    bad = zs.io.open_matrix(tmp_path / "nan.h5ad")
    with pytest.raises(zs.errors.NonFiniteError) as alone:
        zs.arrays.qc_metrics(bad)
    with zs.dist.use(client, n_parts=3), pytest.raises(zs.errors.NonFiniteError) as shared:
        zs.arrays.qc_metrics(bad)
    assert str(shared.value) == str(alone.value)

    # A file that is another one by the time that a worker opens it.
    target = tmp_path / "changed.h5ad"
    shutil.copy(path, target)
    counts = zs.io.open_matrix(target)
    zs.io.write(adata[:5000], target)
    with zs.dist.use(client), pytest.raises(zs.errors.FormatError, match=r"changed\.h5ad.*when it was first opened"):
        zs.arrays.qc_metrics(counts)
    target.unlink()
    with zs.dist.use(client), pytest.raises(zs.errors.FileError, match=r"changed\.h5ad"):
        zs.arrays.qc_metrics(counts)


def test_parameters_are_checked(client):
    for options in ({"n_parts": 0}, {"n_parts": 2.5}, {"threads": 0}, {"n_parts": True}):
        (name,) = options
        with pytest.raises(zs.errors.ParameterError, match=name), zs.dist.use(client, **options):
            pass
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(n_workers=0, dashboard_address=None) as empty,
        distributed.Client(empty) as nobody,
        pytest.raises(zs.errors.ParameterError, match="workers"),
        zs.dist.use(nobody),
    ):
        pass


def test_blocks_of_a_worker_that_dies_are_done_again(path, alone):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        killed = []

        def kill():
            # At the first sign of work.
            while not any(client.processing().values()):
                time.sleep(0.002)
            victim = next(iter(client.run(os.getpid).values()))
            os.kill(victim, signal.SIGKILL)
            killed.append(victim)

        assassin = threading.Thread(target=kill)
        assassin.start()
        with zs.dist.use(client, n_parts=6):
            shared = passes(zs.io.open_matrix(path))
        assassin.join()
        assert killed
    for name, result in alone.items():
        same(result, shared[name], name)


@pytest.fixture(scope="module")
def clustered(path, tmp_path_factory):
    """The recipe in one process."""
    return zs.pp.recipe(path, tmp_path_factory.mktemp("one") / "out.h5ad", OPTIONS)


def same_slots(a, b):
    same(a.X, b.X, "X")
    same(a.layers["counts"], b.layers["counts"], "counts")
    for slot in ("obsm", "varm", "obsp"):
        for key in getattr(a, slot):
            same(getattr(a, slot)[key], getattr(b, slot)[key], f"{slot}[{key!r}]")
    assert a.obs.equals(b.obs) and a.var.equals(b.var)
    for field in ("names", "scores", "pvals", "logfoldchanges"):
        assert a.uns["rank_genes_groups"][field].tolist() == b.uns["rank_genes_groups"][field].tolist(), field


def test_the_recipe_on_workers_gives_the_bits_of_one_process(client, path, clustered, tmp_path):
    told = []
    out = zs.dist.recipe(
        client,
        path,
        tmp_path / "out.h5ad",
        OPTIONS,
        work=tmp_path / "work",
        n_parts=3,
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    same_slots(clustered, out)
    assert ("qc", 3, 3) in told and ("markers", 3, 3) in told
    # A part that is lost is the only one that is computed again.
    part = tmp_path / "work" / "steps" / "hvg" / "part-2-of-3"
    others = {file: file.stat().st_mtime_ns for file in part.parent.parent.rglob("part-*") if file != part}
    part.unlink()
    again = zs.dist.recipe(client, path, tmp_path / "again.h5ad", OPTIONS, work=tmp_path / "work", n_parts=3)
    same_slots(clustered, again)
    assert part.exists() and others == {file: file.stat().st_mtime_ns for file in others}
    with pytest.raises(zs.errors.ParameterError, match="work"):
        zs.dist.recipe(client, path, tmp_path / "other.h5ad", work=tmp_path / "work", n_parts=3)
    assert not (tmp_path / "other.h5ad").exists()


def workflow(name, command, tmp_path):
    """Runs a workflow manager with the binary that was built."""
    program = shutil.which(command[0], path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if program is None:
        pytest.skip(f"{name} is not installed")
    if not BINARY.exists():
        pytest.skip("the binary is not built (cargo build --release)")
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), "HOME": str(tmp_path)}
    return subprocess.run([program, *command[1:]], cwd=tmp_path, capture_output=True, text=True, env=environment, timeout=600)


def test_snakemake(path, clustered, tmp_path):
    done = workflow(
        "Snakemake",
        [
            "snakemake",
            "--snakefile",
            WORKFLOWS / "Snakefile",
            "--cores",
            "2",
            "--config",
            f"input={path}",
            f"output={tmp_path / 'out.h5ad'}",
            "parts=3",
            f"zensaibo={BINARY}",
            f"options={' '.join(FLAGS)}",
        ],
        tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    same_slots(clustered, zs.io.read(tmp_path / "out.h5ad"))
    assert len(list((tmp_path / "out.h5ad.parts" / "steps").glob("*/part-*-of-3"))) == 3 * 8


def test_nextflow(path, clustered, tmp_path):
    probe = workflow("Nextflow", ["nextflow", "-version"], tmp_path)
    if probe.returncode != 0:
        pytest.skip(f"Nextflow does not start here: {probe.stdout.strip().splitlines()[:1]}")
    flags = [f"--{name}={value}" for name, value in {"input": path, "output": tmp_path / "out.h5ad", "parts": 3}.items()]
    done = workflow(
        "Nextflow",
        ["nextflow", "run", WORKFLOWS / "main.nf", *flags, f"--zensaibo={BINARY}", f"--options={' '.join(FLAGS)}"],
        tmp_path,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    same_slots(clustered, zs.io.read(tmp_path / "out.h5ad"))


def test_slurm_arrays_depend_on_each_other(tmp_path):
    """The script against an `sbatch` that notes what it was asked."""
    if not BINARY.exists():
        pytest.skip("the binary is not built (cargo build --release)")
    log = tmp_path / "log"
    for name, text in {
        "sbatch": f'echo "$@" >> {log}; wc -l < {log}',
        "zensaibo": f'exec {BINARY} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}"}
    subprocess.run(
        [WORKFLOWS / "slurm.sh", "a b.h5ad", "out.h5ad", "4", "--seed", "7"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    jobs = log.read_text().splitlines()
    names = [job.split("--job-name zensaibo-")[1].split()[0] for job in jobs]
    assert names == ["read", "qc", "genes", "filter", "normalize", "hvg", "gather", "clusters", "markers", "output"]
    assert "--dependency" not in jobs[0]
    assert all(f"--dependency afterok:{at} " in job for at, job in enumerate(jobs) if at)
    assert "--array 1-4 " in jobs[0] and "--blocks $SLURM_ARRAY_TASK_ID/4" in jobs[0] and "a\\ b.h5ad" in jobs[0] and "--seed 7" in jobs[0]
    assert "--array" not in jobs[7] and "--until markers" in jobs[7]


def test_dask_jobqueue_writes_jobs_for_slurm():
    """The recipe of the documentation makes a cluster whose job script starts workers."""
    pytest.importorskip("dask_jobqueue", reason="dask-jobqueue is not installed")
    script = """
import runpy, dask_jobqueue
dask_jobqueue.SLURMCluster.scale = lambda self, n=None, jobs=None: print("jobs", jobs)
made = runpy.run_path({path!r})["cluster_of"](jobs=4)
print(made.job_script())
made.close()
"""
    done = subprocess.run(
        [sys.executable, "-c", script.format(path=str(WORKFLOWS / "slurm_dask.py"))], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "jobs 4" in done.stdout and "#SBATCH" in done.stdout and "dask" in done.stdout and "/opt/zensaibo/bin/activate" in done.stdout
