"""Same work, peers side by side: `make compare` or `python benches/compare/omics.py pbmc3k 10k 100k`.

For every size and number of threads: our chain and each peer's, from a file to Wilcoxon markers, each in a process of its own, in turn,
as often as asked; a figure is the median of its repeats. Before them, what it costs to load each and to make its first call. Peers are pinned and installed into environments of their own under .bench/. Prints and
writes to benches/results/: CPU-seconds and wall per stage, ours / peer, peak memory, and quality judged by one referee
for all (ARI to the planted truth, kNN recall against exact search, modularity, trustworthiness of the embedding, overlap
of gene sets with scanpy's).
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENTS = ROOT / ".bench"
RESULTS = ROOT / "benches" / "results"
DATA = Path(os.environ.get("ZENSAIBO_DATA", ROOT.parent / "shared" / "data"))

#: peer: packages, pinned.
PEERS = {
    "scanpy": ["scanpy==1.11.5", "pynndescent<0.7", "igraph==1.0.0", "scikit-misc==0.5.3"],
    "crest": ["crest-sc==0.4.0", "scipy", "pyarrow", "anndata"],
    "brisc": ["brisc==0.2.3", "scipy", "anndata"],
    "scranpy": ["scranpy==0.3.1", "anndata"],
}
#: Peer: its import and a first call, from an interpreter that has loaded nothing.
FIRST = {
    "zensaibo": ("import zensaibo as api", "api.pp.log1p(api.pp.normalize_total(toy, copy=True))"),
    "scanpy": ("import scanpy as api", "api.pp.normalize_total(toy); api.pp.log1p(toy)"),
    "crest": ("import crest as api", ""),
    "brisc": ("import brisc as api", ""),
    "scranpy": ("import scranpy as api", "api.compute_rna_qc_metrics(toy.X.T.tocsc(), {})"),
}
SIZES = {"2k": 2_000, "10k": 10_000, "100k": 100_000, "300k": 300_000}
STAGES = ["read", "qc_plain", "qc", "filter", "hvg_v3", "norm_log", "hvg", "pca", "knn", "leiden_2", "leiden", "umap", "ttest", "wilcoxon"]
#: Less of a stage, which some peers do instead of the whole; a chain has one of the two. `qc_plain` is quality without the share of the
#: largest genes, which crest and scranpy do not compute; `leiden_2` is two iterations, of which scanpy's and crest's Leiden consists.
LESS = {"qc_plain": "qc", "leiden_2": "leiden"}


def environment(peer: str) -> Path:
    """The interpreter of a peer's own environment; made on first use."""
    if peer == "zensaibo":
        return Path(sys.executable)
    home = ENVIRONMENTS / peer
    python = home / "bin" / "python"
    stamp = home / "packages.txt"
    wanted = "\n".join(PEERS[peer])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        stamp.write_text(wanted)
    return python


def dataset(size: str) -> Path:
    """The input: PBMC 3k as h5ad, or generated counts with known truth."""
    path = ENVIRONMENTS / "data" / f"{size}.h5ad"
    if path.exists():
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    import zensaibo as zs

    if size == "pbmc3k":
        adata = zs.io.read(DATA / "pbmc3k/filtered_gene_bc_matrices/hg19")
        adata.var_names_make_unique()
        zs.io.write(adata, path)
    else:
        n_obs = SIZES[size]
        subprocess.run(
            [sys.executable, "-m", "zensaibo.datasets", "simulate", "--cells", str(n_obs), "--out", str(path)], check=True
        )
    return path


def startup(peers: list[str], repeats: int) -> str:
    """Markdown: seconds of loading each peer, and of its first call on a toy that AnnData holds, in interpreters of their own."""
    program = """
import sys, time
before = time.perf_counter()
{load}
loaded = time.perf_counter() - before
first = None
if {call!r} != "None":
    import anndata, numpy as np
    from scipy import sparse
    toy = anndata.AnnData(sparse.random(500, 300, 0.1, format="csr", dtype=np.float32))
    before = time.perf_counter()
    {call}
    first = time.perf_counter() - before
print(loaded, first)
"""
    lines = ["| peer | import, s | first call, s |", "|---|---|---|"]
    for peer in peers:
        load, call = FIRST[peer]
        times = []
        for _ in range(repeats):
            env = dict(os.environ)
            if peer != "zensaibo":
                env.pop("PYTHONPATH", None)
            made = subprocess.run([str(environment(peer)), "-c", program.format(load=load, call=call or "None")], env=env, capture_output=True, text=True)
            if made.returncode != 0:
                print(f"startup of {peer} failed: {made.stderr.splitlines()[-1:]}", file=sys.stderr)
                break
            times.append(made.stdout.split())
        if times:
            loaded = statistics.median(float(time[0]) for time in times)
            first = f"{statistics.median(float(time[1]) for time in times):.2f}" if call else "-"
            lines.append(f"| {peer} | {loaded:.2f} | {first} |")
    return "\n".join(lines) + "\n"


def median(runs: list[dict]) -> dict:
    """One record of several repeats: the median of each figure; arrays and versions are those of the first."""
    merged = dict(runs[0])
    merged["stages"] = {
        stage: {figure: statistics.median(run["stages"][stage][figure] for run in runs) for figure in entry}
        for stage, entry in runs[0]["stages"].items()
    }
    merged["peak_mb"] = statistics.median(run["peak_mb"] for run in runs)
    return merged


def run(peer: str, size: str, threads: int) -> dict | None:
    """One peer on one data set, in a process of its own; `None` when it failed (its error is printed)."""
    out = ENVIRONMENTS / "runs" / f"{size}-{peer}-{threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays = out.with_suffix(".npz")
    command = [str(environment(peer)), str(HERE / f"peer_{peer}.py"), str(dataset(size)), str(out), str(arrays), str(threads)]
    print(f"{size} {peer}", file=sys.stderr, flush=True)
    # Whoever comes first would else pay for the disk.
    with open(dataset(size), "rb") as file:
        while file.read(1 << 24):
            pass
    env = dict(os.environ)
    if peer != "zensaibo":
        env.pop("PYTHONPATH", None)
    if subprocess.run(command, cwd=HERE, env=env).returncode != 0:
        print(f"  {peer} failed on {size}", file=sys.stderr)
        return None
    result = json.loads(out.read_text())
    result["arrays"] = str(arrays)
    return result


def table(size: str, results: dict[str, dict], quality: dict[str, dict]) -> str:
    """Markdown: CPU-seconds (wall) per stage and peer, ours / peer, memory, quality."""
    peers = list(results)
    others = [peer for peer in peers if peer != "zensaibo"]
    head = "| stage | " + " | ".join(f"{p} CPU-s (wall)" for p in peers) + " | " + " | ".join(f"ours / {p}" for p in others) + " |"
    lines = [f"### {size}", "", head, "|" + "---|" * (1 + len(peers) + len(others))]

    def row(name: str, value) -> None:
        cells, ratios = [], []
        for peer in peers:
            entry = value(results[peer])
            cells.append("-" if entry is None else f"{entry[0]:.2f} ({entry[1]:.2f})")
        ours = value(results["zensaibo"]) if "zensaibo" in results else None
        for peer in others:
            entry = value(results[peer])
            ratios.append("-" if ours is None or entry is None or entry[0] < 0.005 else f"{ours[0] / entry[0]:.2f}")
        lines.append(f"| {name} | " + " | ".join(cells + ratios) + " |")

    for stage in STAGES:
        row(stage, lambda r, s=stage: (r["stages"][s]["cpu"], r["stages"][s]["wall"]) if s in r["stages"] else None)

    def chain(r: dict):
        whole = [LESS.get(s, s) for s in STAGES if s in r["stages"]]
        done = [s for s in r["stages"] if s in STAGES and not (s in LESS and LESS[s] in r["stages"])]
        if any(s not in whole for s in STAGES if s not in LESS):
            return None
        return sum(r["stages"][s]["cpu"] for s in done), sum(r["stages"][s]["wall"] for s in done)

    row("**all**", chain)
    lines.append("| peak MB | " + " | ".join(f"{results[p]['peak_mb']:.0f}" for p in peers) + " | " + " | ".join(f"{results['zensaibo']['peak_mb'] / results[p]['peak_mb']:.2f}" for p in others) + " |" if "zensaibo" in results else "")
    keys = sorted({key for scores in quality.values() for key in scores})
    for key in keys:
        cells = [f"{quality[p][key]:.4f}" if key in quality.get(p, {}) else "-" for p in peers]
        lines.append(f"| {key} | " + " | ".join(cells + [""] * len(others)) + " |")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sizes", nargs="*", default=["pbmc3k", "10k", "100k"], help="pbmc3k, 10k, 100k, 300k")
    parser.add_argument("--threads", type=int, nargs="*", default=[os.cpu_count()], help="numbers of threads, each with a table of its own")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--peers", nargs="*", default=["zensaibo", *PEERS])
    arguments = parser.parse_args()
    sizes = arguments.sizes or ["pbmc3k", "10k", "100k"]
    peers = arguments.peers
    RESULTS.mkdir(parents=True, exist_ok=True)
    begun = startup(peers, arguments.repeats)
    print(begun)
    if len(peers) == len(PEERS) + 1:
        (RESULTS / "startup.md").write_text(begun)
    for size in sizes:
        if size != "pbmc3k" and size not in SIZES:
            parser.error(f"size: expected pbmc3k or one of {', '.join(SIZES)}, found {size}")
        if size == "pbmc3k" and not (DATA / "pbmc3k").exists():
            print(f"pbmc3k left out: not found under ZENSAIBO_DATA ({DATA})", file=sys.stderr)
            continue
        dataset(size)
        for threads in arguments.threads:
            measure(size, peers, threads, arguments.repeats)


def measure(size: str, peers: list[str], threads: int, repeats: int) -> None:
    """All peers on one data set, in turn in each repeat; prints the table and writes it down."""
    runs: dict[str, list[dict]] = {peer: [] for peer in peers}
    for repeat in range(repeats):
        for peer in peers:
            # What failed once is not tried again.
            if len(runs[peer]) == repeat and (result := run(peer, size, threads)):
                runs[peer].append(result)
    results = {peer: median(done) for peer, done in runs.items() if done}
    from quality import judge

    quality = judge({peer: result["arrays"] for peer, result in results.items()}, simulated=size != "pbmc3k")
    text = table(size, results, quality)
    print(text)
    versions = {peer: result["version"] for peer, result in results.items()}
    record = {
        "size": size,
        "threads": threads,
        "repeats": repeats,
        "machine": {"cpu": _cpu_name(), "cores": os.cpu_count(), "python": platform.python_version()},
        "versions": versions,
        "results": {peer: {k: v for k, v in r.items() if k != "arrays"} for peer, r in results.items()},
        "quality": quality,
    }
    name = f"omics-{size}" if threads == os.cpu_count() else f"omics-{size}-{threads}-thread{'s' if threads > 1 else ''}"
    (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n")
    counted = f"median of {repeats} runs" if repeats > 1 else "one run"
    told = f"Versions: {versions}; {threads} thread{'s' if threads > 1 else ''} on {_cpu_name()}; {counted}."
    if "zensaibo" in results:
        import bounds

        with np.load(results["zensaibo"]["arrays"]) as arrays:
            least = bounds.of_chain(str(dataset(size)), arrays["hvg"], arrays["genes"], len(arrays["names"]))
        text += "\n" + bounds.table(results["zensaibo"]["stages"], least)
    (RESULTS / f"{name}.md").write_text(f"{text}\n{told}\n")


def _cpu_name() -> str:
    try:
        with open("/proc/cpuinfo") as file:
            return next(line.split(":", 1)[1].strip() for line in file if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or "unknown"


if __name__ == "__main__":
    main()
