"""What the machine allows at best: bytes over the bandwidth of one core, or vector instructions at one a cycle."""

from __future__ import annotations

import time
from collections.abc import Sequence

import numpy as np


def bandwidth() -> float:
    """Bytes a second that one core moves: two arrays read and one of them written, far larger than any cache."""
    n = 1 << 24
    a, b = np.ones(n), np.ones(n)
    best = np.inf
    for _ in range(5):
        begin = time.perf_counter()
        np.add(a, b, out=a)
        best = min(best, time.perf_counter() - begin)
    return 3 * 8 * n / best


def instructions() -> float:
    """Lanes of f32 a second that one core works on at one vector instruction a cycle."""
    known: dict[str, str] = {}
    with open("/proc/cpuinfo") as file:
        for line in file:
            name, _, value = line.partition(":")
            known.setdefault(name.strip(), value)
    flags, hertz = known.get("flags", ""), 1e6 * float(known.get("cpu MHz", "2500"))
    return hertz * (16 if "avx512f" in flags else 8 if "avx2" in flags else 4)


#: Stage of the chain: bytes moved for each stored value, and why the bound is not reached.
STREAMED = {
    "read": (24, "copied out of the page cache into pages that the system clears first"),
    "qc": (8, "two sums per value go to places in a table of genes, one load and store each; the highest counts of a cell are counted"),
    "filter": (24, "counts of both axes come before the copy"),
    "hvg_v3": (16, "as qc; a second read compares each value with the limit of its gene"),
    "norm_log": (20, "a division of doubles in each logarithm"),
    "hvg": (8, "an exponential in double precision for each value"),
    "ttest": (8, "as hvg, with sums for each group"),
    "wilcoxon": (24, "values of a gene are brought together and sorted"),
}


def of_chain(path: str, chosen: Sequence[bool] | np.ndarray, genes: Sequence[str] | np.ndarray, n_obs: int) -> dict[str, tuple[str, float, str]]:
    """Stage: what bounds it, the seconds of one core that it takes at least, and why it takes longer. Of those that follow links in
    memory (leiden, umap) there is none."""
    import h5py

    moved, worked = bandwidth(), instructions()
    with h5py.File(path) as file:
        group = file["X"]
        stored = int(group["data"].shape[0])
        names = file["var"][file["var"].attrs["_index"]].asstr()[:]
        wanted = np.isin(names, np.asarray(genes)[np.asarray(chosen)])
        ends = np.append(0, np.cumsum(wanted[group["indices"][:]], dtype=np.int64))[group["indptr"][:]]
    each = np.diff(ends).astype(np.float64)
    bounds = {stage: ("memory", stored * size / moved, why) for stage, (size, why) in STREAMED.items()}
    # Products of pairs of genes of a cell, each once, and the scores of 50 components.
    pairs = float((each * (each + 1) / 2).sum()) + 50 * float(each.sum())
    bounds["pca"] = ("arithmetic", pairs / worked + stored * 16 / moved, "pairs of a sparse row lie scattered over the table of products")
    bounds["knn"] = ("arithmetic, all pairs", n_obs * n_obs * 50 / (2 * worked), "two multiply-adds a cycle; then the connectivities; fewer pairs are looked at from 16,384 cells on")
    return bounds


def table(stages: dict[str, dict[str, float]], bounds: dict[str, tuple[str, float, str]]) -> str:
    """Markdown: our CPU-seconds beside the bound."""
    lines = ["| stage | ours CPU-s | bound | at least, s | share | why not more |", "|---|---|---|---|---|---|"]
    for stage, (kind, least, why) in bounds.items():
        if stage in stages:
            lines.append(f"| {stage} | {stages[stage]['cpu']:.2f} | {kind} | {least:.3f} | {least / max(stages[stage]['cpu'], 1e-9):.0%} | {why} |")
    return "\n".join(lines) + "\n"
