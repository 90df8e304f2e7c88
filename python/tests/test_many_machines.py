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


def test_snakemake_on_volumes(volume, images_alone, tmp_path):
    """The same file for other recipes: their steps, options and outputs."""
    cells, (labels, _) = images_alone

    def snakemake(recipe, output, options, *more):
        flags = [f"recipe={recipe}", f"input={volume}", f"output={tmp_path / output}", "parts=3", f"zensaibo={BINARY}"]
        command = ["snakemake", "--snakefile", WORKFLOWS / "Snakefile", "--cores", "2", "--config", *flags]
        done = workflow("Snakemake", [*command, f"options={options}", *more], tmp_path)
        assert done.returncode == 0, done.stdout + done.stderr
        return len(list((tmp_path / f"{output}.parts" / "steps").glob("*/part-*-of-3")))

    assert snakemake("detect", "cells.h5ad", f"--set detect.soma_diameter=14 --set detect.memory={MEMORY}") == 2 * 3
    same(zs.io.read(tmp_path / "cells.h5ad").obs["score"].to_numpy(), cells.obs["score"].to_numpy(), "score")
    options = f"--set segment.diameter=14 --set input.memory={MEMORY}"
    assert snakemake("segment", "labels.ome.zarr", options, f"merge=--table {tmp_path / 'nuclei.csv'}") == 4 * 3
    same(np.asarray(zs.im.open(tmp_path / "labels.ome.zarr")).reshape(labels.shape), labels, "labels")
    assert (tmp_path / "nuclei.csv").exists()


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


def slurm(tmp_path, *args, **environment):
    """What the script asks of an `sbatch` that notes it, and answers with the number of the job."""
    if not BINARY.exists():
        pytest.skip("the binary is not built (cargo build --release)")
    log = tmp_path / "log"
    for name, text in {
        "sbatch": f'echo "$@" >> {log}; wc -l < {log}',
        "zensaibo": f'exec {BINARY} "$@"',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    environment = {**os.environ, "PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", **environment}
    subprocess.run([WORKFLOWS / "slurm.sh", *args], cwd=tmp_path, env=environment, check=True, capture_output=True)
    jobs = log.read_text().splitlines()
    assert "--dependency" not in jobs[0]
    assert all(f"--dependency afterok:{at} " in job for at, job in enumerate(jobs) if at)
    return jobs, [job.split("--job-name zensaibo-")[1].split()[0] for job in jobs]


def test_slurm_arrays_depend_on_each_other(tmp_path):
    jobs, names = slurm(tmp_path, "a b.h5ad", "out.h5ad", "4", "--seed", "7")
    assert names == ["read", "qc", "genes", "filter", "normalize", "hvg", "gather", "clusters", "markers", "output"]
    assert "--array 1-4 " in jobs[0] and "--blocks $SLURM_ARRAY_TASK_ID/4" in jobs[0] and "a\\ b.h5ad" in jobs[0] and "--seed 7" in jobs[0]
    assert "--array" not in jobs[7] and "--until markers" in jobs[7]


def test_slurm_arrays_of_volumes(tmp_path):
    jobs, names = slurm(tmp_path, "in.tif", "cells.csv", "4", "--set", "detect.soma_diameter=14", RECIPE="detect")
    assert names == ["local-noise", "detect-cells", "output"]
    assert all("--recipe detect --set detect.soma_diameter=14" in job for job in jobs)
    (tmp_path / "log").unlink()
    jobs, names = slurm(tmp_path, "in.tif", "labels.zarr", "3", RECIPE="segment", MERGE="--table nuclei.csv")
    assert names == ["nuclei-noise", "nuclei-divide", "nuclei-outline", "nuclei-measure", "output"]
    assert all("--array 1-3 " in job and "--table" not in job for job in jobs[:4]) and "--table nuclei.csv" in jobs[4]


@pytest.fixture(scope="module")
def volume(tmp_path_factory):
    """24 x 120 x 110 voxels with nuclei, in chunks."""
    phantom = zs.datasets.phantom_volume((24, 120, 110), spacing=(5, 2, 2), nuclei=150)
    path = tmp_path_factory.mktemp("volume") / "in.ome.zarr"
    zs.im.write(phantom.volume, path, chunk=(8, 16, 16))
    return path


#: So little memory that the volume is cut into several blocks.
MEMORY = 250_000_000


def images(volume, background=None):
    """One result of every function that reads a volume in blocks."""
    return (
        zs.im.detect_cells(volume, background, soma_diameter=14, memory=MEMORY),
        zs.im.segment_nuclei(volume, diameter=14, memory=MEMORY),
    )


def same_images(a, b):
    (cells, (labels, nuclei)), (more_cells, (more_labels, more_nuclei)) = a, b
    assert cells.n_obs > 50 and nuclei.n_obs > 80
    assert cells.obs.equals(more_cells.obs) and cells.uns["detection"] == more_cells.uns["detection"]
    same(cells.obsm["spatial"], more_cells.obsm["spatial"], "cells")
    same(labels, more_labels, "labels")
    assert nuclei.obs.equals(more_nuclei.obs)
    same(nuclei.X, more_nuclei.X, "intensities")
    for key in ("noise", "min_contrast"):
        same(nuclei.uns["segment_nuclei"][key], more_nuclei.uns["segment_nuclei"][key], key)


@pytest.fixture(scope="module")
def images_alone(volume):
    return images(zs.im.open(volume))


@pytest.mark.parametrize("n_parts", [1, 5])
def test_volumes_on_workers_give_the_bits_of_one_process(client, volume, images_alone, n_parts):
    with zs.dist.use(client, n_parts=n_parts):
        shared = images(zs.im.open(volume))
    same_images(images_alone, shared)


def test_volumes_that_workers_cannot_see_are_computed_here(client, volume, monkeypatch, tmp_path):
    submitted = []
    submit = client.submit
    monkeypatch.setattr(client, "submit", lambda *args, **options: submitted.append(args[0].__name__) or submit(*args, **options))
    opened = zs.im.open(volume)
    crop = opened[2:, 10:]
    alone = zs.im.detect_cells(crop, opened[:22, :110], soma_diameter=14)
    with zs.dist.use(client, n_parts=2):
        memory = zs.im.detect_cells(np.asarray(crop), spacing=(5, 2, 2), soma_diameter=14)
        assert not submitted and memory.n_obs
        zs.im.detect_cells(crop, np.asarray(opened[:22, :110]), soma_diameter=14)
        assert not submitted
        # What was cut out of a file is cut out there as well, of both channels.
        shared = zs.im.detect_cells(crop, opened[:22, :110], soma_diameter=14)
        assert submitted.count("_compute") == 4
        assert alone.n_obs and alone.obs.equals(shared.obs)
        # A volume that is another one by the time that a worker opens it.
        copy = tmp_path / "copy.ome.zarr"
        shutil.copytree(volume, copy)
        changed = zs.im.open(copy)
        shutil.rmtree(copy)
        with pytest.raises(zs.errors.FileError, match=r"copy\.ome\.zarr"):
            zs.im.segment_nuclei(changed, diameter=14)


def test_recipes_of_volumes_on_workers_give_the_bits_of_one_process(client, volume, images_alone, tmp_path):
    cells, (labels, nuclei) = images_alone
    told = []
    summary = zs.dist.segment(
        client,
        volume,
        tmp_path / "labels.ome.zarr",
        {"segment": {"diameter": 14.0}, "input": {"memory": MEMORY}},
        table=tmp_path / "nuclei.h5ad",
        work=tmp_path / "nuclei.parts",
        n_parts=5,
        report=tmp_path / "nuclei.html",
        progress=lambda stage, done, total: told.append((stage, done, total)),
    )
    assert summary["nuclei"] == nuclei.n_obs and ("nuclei-divide", 5, 5) in told and (tmp_path / "nuclei.html").exists()
    same(np.asarray(zs.im.open(tmp_path / "labels.ome.zarr")).reshape(labels.shape), labels, "labels")
    table = zs.io.read(tmp_path / "nuclei.h5ad")
    for column in ("label", "voxels", "volume", "surface", "sphericity", "axis_1", "mean_0"):
        same(table.obs[column].to_numpy(), nuclei.obs[column].to_numpy(), column)
    options = {"detect": {"soma_diameter": 14.0, "memory": MEMORY}}
    summary = zs.dist.detect(client, volume, tmp_path / "cells.h5ad", config=options, work=tmp_path / "cells.parts", n_parts=3)
    found = zs.io.read(tmp_path / "cells.h5ad")
    assert summary["cells"] == cells.n_obs == found.n_obs
    same(found.obs["score"].to_numpy(), cells.obs["score"].to_numpy(), "score")
    same(found.obsm["spatial"], cells.obsm["spatial"], "places")
    with pytest.raises(zs.errors.ParameterError, match="work"):
        zs.dist.detect(client, volume, tmp_path / "other.h5ad", work=tmp_path / "cells.parts", n_parts=3)
    assert not (tmp_path / "other.h5ad").exists()


@pytest.mark.parametrize("kind", ["matrix", "volume", "recipe", "segment"])
def test_ctrl_c_stops_and_cancels_what_is_queued(path, volume, tmp_path, kind):
    """A process of its own gets SIGINT when the first part runs; more parts wait than workers can take."""
    pytest.importorskip("distributed", reason="dask.distributed is not installed")
    script = f"""
import os, re, signal, threading, time
import distributed
import zensaibo as zs
from pathlib import Path

def interrupt(client, seen):
    # At the first part: the call itself is a task as well.
    call = re.compile("zensaibo-[0-9a-f]{{32}}$")
    while not any(not call.match(str(key)) for keys in client.processing().values() for key in keys):
        time.sleep(0.001)
    seen.append(time.monotonic())
    os.kill(os.getpid(), signal.SIGINT)

if __name__ == "__main__":
    out, kind = Path({str(tmp_path)!r}), {kind!r}
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        with distributed.Client(cluster) as client:
            seen = []
            threading.Thread(target=interrupt, args=(client, seen), daemon=True).start()
            try:
                if kind == "matrix":
                    with zs.dist.use(client, n_parts=200):
                        zs.arrays.rank_genes_groups(
                            zs.io.open_matrix({str(path)!r}).log1p(), ["a", "b"] * 7000, method="wilcoxon"
                        )
                elif kind == "volume":
                    with zs.dist.use(client, n_parts=200):
                        zs.im.segment_nuclei(zs.im.open({str(volume)!r}), diameter=14, memory={MEMORY})
                elif kind == "recipe":
                    zs.dist.recipe(client, {str(path)!r}, out / "out.h5ad", work=out / "work", n_parts=200)
                else:
                    zs.dist.segment(client, {str(volume)!r}, out / "out.ome.zarr", work=out / "work", n_parts=200)
            except KeyboardInterrupt:
                print("stopped after", time.monotonic() - seen[0])
            else:
                print("ran to its end")
            # What was queued is gone: the worker is free for something else.
            deadline = time.monotonic() + 60
            while any(client.processing().values()) and time.monotonic() < deadline:
                time.sleep(0.01)
            tasks = client.run_on_scheduler(lambda dask_scheduler: [(str(key), t.state) for key, t in dask_scheduler.tasks.items()])
            print("left", [task for task in tasks if task[1] not in ("memory", "released", "forgotten", "erred")])
            print("alive", client.submit(lambda: 41 + 1).result(timeout=60))
"""
    name = tmp_path / "run.py"
    name.write_text(script)
    done = subprocess.run([sys.executable, str(name)], cwd=tmp_path, capture_output=True, text=True, timeout=300)
    assert "stopped after" in done.stdout and "left []" in done.stdout and "alive 42" in done.stdout, done.stdout + done.stderr
    assert float(done.stdout.split("stopped after")[1].split()[0]) < 30
    # No output, and no half of one under a name that would be taken for whole.
    assert not list(tmp_path.glob("*out*"))
    assert all(not file.name.startswith(".") for file in (tmp_path / "work" / "steps").rglob("*")), done.stdout


def test_leverage_scores_on_workers_draw_the_same_cells(client, path):
    counts = zs.io.open_matrix(path)
    logged = counts.normalize_total(1e4).log1p()
    alone = zs.arrays.leverage_scores(logged, n_comps=8)
    with zs.dist.use(client, n_parts=3):
        shared = zs.arrays.leverage_scores(logged, n_comps=8)
    same(alone, shared, "leverage scores")
    import anndata

    sketches = [anndata.read_h5ad(path, backed="r") for _ in range(2)]
    options = {"method": "leverage", "n_comps": 8, "groupby": "group", "random_state": 3}
    zs.pp.sketch(sketches[0], 300, **options)
    with zs.dist.use(client, n_parts=3):
        zs.pp.sketch(sketches[1], 300, **options)
    assert sketches[0].obs["sketch"].sum() == 4 * 300 and sketches[0].obs.equals(sketches[1].obs)


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
