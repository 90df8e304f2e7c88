"""`zensaibo cluster` from a file within a limit of memory, against the number of cells: `scale.py --folder FOLDER
[--cells 10000,100000,300000,1000000] [--memory 4GiB] [--out FOLDER]`.

Counts of known cell types (20,000 genes, about 1,500 of them in a cell) are made by ``zs.datasets.simulate``, gzip as most
published files are, and taken from there to clusters, UMAP, markers and a compressed output. The largest needs about 12 GB of
disk for a million cells. Reported are the costs of each stage, the most memory that the process held, and how well the clusters
agree with the cell types (adjusted Rand index). Files are removed unless ``--keep`` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path


def make(path: Path, cells: int) -> None:
    """The counts, unless they are there."""
    import zensaibo as zs

    if not path.exists():
        start = time.perf_counter()
        zs.datasets.simulate(cells, out=path, gzip=1, progress=False)
        print(f"{cells:,} cells, {path.stat().st_size / 1e9:.2f} GB made in {time.perf_counter() - start:.0f} s", flush=True)


def agreement(path: Path) -> tuple[int, float]:
    """Clusters, and their adjusted Rand index with the cell types; doublets are left out."""
    import anndata
    import h5py
    from sklearn.metrics import adjusted_rand_score

    with h5py.File(path) as file:
        obs = anndata.io.read_elem(file["obs"])
    single = ~obs["is_doublet"].to_numpy(bool)
    return obs["leiden"].nunique(), adjusted_rand_score(obs["cell_type"][single], obs["leiden"][single])


def measure(cells: int, parsed: argparse.Namespace) -> dict:
    """One run in a process of its own."""
    counts, out = parsed.folder / f"{cells}.h5ad", parsed.folder / f"{cells}-out.h5ad"
    make(counts, cells)
    command = [*parsed.zensaibo, "cluster", str(counts), "-o", str(out), "--memory", parsed.memory, "--set", "output.gzip=1"]
    if parsed.threads is not None:
        command += ["--threads", str(parsed.threads)]
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    told = process.stdout.read()
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        raise SystemExit(f"{cells:,} cells: exit code {os.waitstatus_to_exitcode(status)}")
    print(told, flush=True)
    clusters, index = agreement(out)
    row = {
        "cells": cells,
        "input_gb": round(counts.stat().st_size / 1e9, 2),
        "wall_s": round(wall, 1),
        "cpu_s": round(used.ru_utime + used.ru_stime, 1),
        "peak_mb": round(used.ru_maxrss * 1024 / 1e6),
        "clusters": clusters,
        "ari": round(float(index), 3),
        "memory": parsed.memory,
        "stages": told[told.index("stage ") : told.index("\noutput: ")].strip(),
    }
    if not parsed.keep:
        out.unlink()
        counts.unlink()
    return row


def table(rows: list[dict]) -> str:
    """As Markdown."""
    lines = ["| cells | input GB | wall s | CPU s | peak MB | clusters | agreement with cell types (ARI) |", "|---:|---:|---:|---:|---:|---:|---:|"]
    lines += [
        f"| {r['cells']:,} | {r['input_gb']:.2f} | {r['wall_s']:.0f} | {r['cpu_s']:.0f} | {r['peak_mb']:,} | {r['clusters']} | {r['ari']:.3f} |"
        for r in rows
    ]
    return "\n".join(lines) + "\n"


def picture(rows: list[dict], path: Path) -> None:
    """Peak memory and time against cells."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    cells = [row["cells"] for row in rows]
    figure, axes = plt.subplots(1, 2, figsize=(8, 3.2), layout="constrained")
    for axis, key, label in ((axes[0], "peak_mb", "peak memory (MB)"), (axes[1], "wall_s", "wall time (s)")):
        axis.loglog(cells, [row[key] for row in rows], "o-", color="#0072B2")
        axis.set(xlabel="cells", ylabel=label)
        axis.grid(True, which="both", alpha=0.3)
    figure.savefig(path, dpi=120)


def main() -> int:
    """Runs each size and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--cells", default="10000,100000,300000,1000000")
    parser.add_argument("--memory", default="4GiB")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--zensaibo", nargs="+", default=[sys.executable, "-m", "zensaibo"])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", action="store_true")
    parsed = parser.parse_args()
    parsed.folder.mkdir(parents=True, exist_ok=True)
    rows = {}
    kept = parsed.out / "scale.json" if parsed.out else None
    if kept and kept.exists():
        rows = {row["cells"]: row for row in json.loads(kept.read_text())}
    for cells in map(int, parsed.cells.split(",")):
        rows[cells] = measure(cells, parsed)
        ordered = [rows[key] for key in sorted(rows)]
        print(table(ordered), flush=True)
        if parsed.out:
            kept.write_text(json.dumps(ordered, indent=1) + "\n")
            head = f"`zensaibo cluster` within {parsed.memory}, from gzip h5ad to clusters, UMAP, markers and a gzip h5ad.\n\n"
            costs = "".join(f"\n{row['cells']:,} cells:\n\n```\n{row['stages'].rstrip()}\n```\n" for row in ordered)
            (parsed.out / "scale.md").write_text(head + table(ordered) + "\n![scale](scale.png)\n" + costs)
            picture(ordered, parsed.out / "scale.png")
    return 0


if __name__ == "__main__":
    sys.exit(main())
