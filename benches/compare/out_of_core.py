"""The same steps on counts that stay on disk, peer by peer: `out_of_core.py --folder FOLDER [--cells 100000] [--threads 2]
[--peers zensaibo,crest,scanpy] [--gzip 1] [--out FOLDER]`.

From an h5ad (gzip or not) block by block: quality control, total counts and logarithm, 2,000 variable genes (flavor seurat), 50
components, and a t-test of the known cell types where a peer has one that does not read the matrix into memory. zensaibo reads the
h5ad in place. scanpy works on a dask array of the h5ad (`anndata.experimental.read_elem_lazy`). crest-sc keeps parquet: it is
written from the h5ad first, which takes the matrix into memory (stage "prepare").

Also measured: how fast X comes out of the file, against reading the file itself and copying memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

from measure import Recorder, set_threads

STAGES = ["prepare", "qc", "norm_log", "hvg", "pca", "ttest"]


def zensaibo(path: str, out: str, threads: int) -> None:
    """Matrix in its file."""
    import h5py
    import numpy as np

    import zensaibo as zs

    record = Recorder("zensaibo", zs.__version__, threads)
    counts = zs.io.open_matrix(path)
    with record.stage("qc"):
        quality = zs.arrays.qc_metrics(counts, threads=threads)
    with record.stage("norm_log"):
        logged = counts.normalize_total(1e4, threads=threads).log1p()
    with record.stage("hvg"):
        variable = zs.arrays.highly_variable_genes(logged, n_top_genes=2000, flavor="seurat", threads=threads)
    with record.stage("pca"):
        pca = zs.arrays.pca(logged, 50, mask=np.asarray(variable.highly_variable), threads=threads)
    with h5py.File(path) as file:
        codes = file["obs/cell_type/codes"][:]
    with record.stage("ttest"):
        zs.arrays.rank_genes_groups(logged, np.array([f"g{code}" for code in codes]), threads=threads)
    finish(record, out, quality.totals, np.asarray(variable.highly_variable), pca.variance_ratio)


def scanpy(path: str, out: str, threads: int) -> None:
    """Dask array of the file."""
    import anndata
    import dask
    import h5py
    import numpy as np
    import scanpy as sc

    dask.config.set(scheduler="threads", num_workers=threads)
    record = Recorder("scanpy", f"{sc.__version__} + dask {dask.__version__}", threads)
    with h5py.File(path) as file:
        x = anndata.experimental.read_elem_lazy(file["X"], chunks=(10_000, file["X"].attrs["shape"][1]))
        adata = anndata.AnnData(x, obs=anndata.io.read_elem(file["obs"]), var=anndata.io.read_elem(file["var"]))
        with record.stage("qc"):
            cells, genes = sc.pp.calculate_qc_metrics(adata, percent_top=None)
            totals = np.asarray(cells["total_counts"])
        with record.stage("norm_log"):
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        with record.stage("hvg"):
            sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat")
        with record.stage("pca"):
            sc.pp.pca(adata, n_comps=50, mask_var="highly_variable", svd_solver="covariance_eigh")
            adata.obsm["X_pca"] = np.asarray(adata.obsm["X_pca"])
    finish(record, out, totals, adata.var["highly_variable"].to_numpy(), np.asarray(adata.uns["pca"]["variance_ratio"]))


def crest(path: str, out: str, threads: int) -> None:
    """Parquet of the file."""
    import crest as cr
    import numpy as np

    record = Recorder("crest", cr.__version__, threads)
    folder = Path(path).with_suffix(".parquet")
    with record.stage("prepare"):
        # In a process of its own: the steps below never hold the matrix.
        code = f"import crest; crest.read_h5ad({path!r}).write_parquet({str(folder)!r})"
        if not folder.exists():
            subprocess.run([sys.executable, "-c", code], check=True)
    data = cr.read_parquet(str(folder))
    with record.stage("qc"):
        cr.pp.calculate_qc_metrics(data)
    with record.stage("norm_log"):
        cr.pp.normalize_total(data, target_sum=1e4)
        cr.pp.log1p(data)
    with record.stage("hvg"):
        cr.pp.highly_variable_genes(data, n_top_genes=2000, flavor="seurat")
    with record.stage("pca"):
        cr.tl.pca(data, n_comps=50)
    with record.stage("ttest"):
        cr.tl.rank_genes_groups(data, "cell_type", method="t-test", n_genes=None)
    totals = np.asarray(data.obs["total_counts"])
    finish(record, out, totals, np.asarray(data.var["highly_variable"]), np.asarray(data.uns["pca"]["variance_ratio"]))


def finish(record: Recorder, out: str, totals, variable, ratio) -> None:
    """What is compared: totals, genes, variance."""
    record.result["quality"] = {
        "counts": float(sum(totals)),
        "variable": [int(at) for at in variable.nonzero()[0]],
        "ratio": [float(share) for share in ratio],
    }
    record.save(out)


def throughput(path: str, threads: int) -> dict[str, float]:
    """GB/s: the file as bytes, X out of the file (8 bytes per value), and a copy of memory."""
    import numpy as np

    import zensaibo as zs

    def best(job) -> float:
        took = []
        for _ in range(3):
            start = time.perf_counter()
            job()
            took.append(time.perf_counter() - start)
        return min(took)

    def read() -> None:
        with open(path, "rb", buffering=0) as file:
            buffer = bytearray(16 << 20)
            while file.readinto(buffer):
                pass

    matrix = zs.io.open_matrix(path)
    values = zs.arrays.qc_metrics(matrix, percent_top=(), threads=threads).n_genes.sum()
    memory = np.ones(128 << 20)
    target = np.empty_like(memory)
    return {
        "file, page cache": os.path.getsize(path) / best(read) / 1e9,
        "X decoded and checked": 8 * float(values) / best(lambda: zs.arrays.check_counts(matrix, threads=threads)) / 1e9,
        "copy of memory, one thread": 2 * memory.nbytes / best(lambda: np.copyto(target, memory)) / 1e9,
    }


def main() -> int:
    """Runs each peer in a process of its own and writes the table."""
    if len(sys.argv) > 1 and sys.argv[1] in ("zensaibo", "scanpy", "crest"):
        peer, path, out, threads = sys.argv[1:]
        set_threads(int(threads))
        {"zensaibo": zensaibo, "scanpy": scanpy, "crest": crest}[peer](path, out, int(threads))
        return 0
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cells", type=int, default=100_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--gzip", type=int, default=1)
    parser.add_argument("--peers", default="zensaibo,crest,scanpy")
    parser.add_argument("--python", action="append", default=[], metavar="PEER=PYTHON", help="interpreter that has a peer")
    parser.add_argument("--out", type=Path)
    parsed = parser.parse_args()
    python = dict(pair.split("=", 1) for pair in parsed.python)
    parsed.folder.mkdir(parents=True, exist_ok=True)
    path = parsed.folder / f"{parsed.cells}.h5ad"
    import zensaibo as zs

    if not path.exists():
        zs.datasets.simulate(parsed.cells, out=path, gzip=parsed.gzip or None, progress=False)
    rows = {}
    for peer in parsed.peers.split(","):
        out = parsed.folder / f"{peer}.json"
        command = [python.get(peer, sys.executable), __file__, peer, str(path), str(out), str(parsed.threads)]
        env = dict(os.environ)
        if peer in python:
            env.pop("PYTHONPATH", None)
        start = time.perf_counter()
        process = subprocess.Popen(command, env=env)
        _, status, used = os.wait4(process.pid, 0)
        if status != 0:
            print(f"{peer}: failed", file=sys.stderr)
            continue
        rows[peer] = json.loads(out.read_text()) | {
            "wall": time.perf_counter() - start,
            "cpu": used.ru_utime + used.ru_stime,
            "most_mb": used.ru_maxrss / 1024,
        }
    text = table(rows, path, parsed) + "\n" + "".join(f"- {what}: {rate:.2f} GB/s\n" for what, rate in throughput(str(path), parsed.threads).items())
    print(text)
    if parsed.out:
        (parsed.out / "out_of_core.md").write_text(text)
    return 0


def table(rows: dict[str, dict], path: Path, parsed: argparse.Namespace) -> str:
    """CPU-seconds per stage, memory, agreement."""
    import numpy as np

    ours = rows["zensaibo"]["quality"]
    genes = set(ours["variable"])
    lines = [
        f"{parsed.cells:,} cells x 20,000 genes, h5ad of {path.stat().st_size / 1e9:.2f} GB (gzip {parsed.gzip}), {parsed.threads} threads; CPU-seconds.",
        "",
        "| peer | " + " | ".join(STAGES) + " | all | wall s | peak MB | variable genes shared | largest difference of variance ratios |",
        "|---|" + "---:|" * (len(STAGES) + 5),
    ]
    for row in rows.values():
        stages = [row["stages"].get(stage) for stage in STAGES]
        cells = [f"{stage['cpu']:.1f}" if stage else "" for stage in stages]
        shared = len(genes & set(row["quality"]["variable"])) / len(genes)
        far = np.abs(np.subtract(row["quality"]["ratio"][:10], ours["ratio"][:10])).max()
        lines.append(
            f"| {row['peer']} {row['version']} | "
            + " | ".join(cells)
            + f" | {row['cpu']:.0f} | {row['wall']:.0f} | {row['most_mb']:,.0f} | {shared:.3f} | {far:.1e} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
