"""Wall time, CPU time and peak memory of stages, the same for every peer. No dependency beyond the standard library."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import sys
import time
from collections.abc import Iterator


def set_threads(threads: int) -> None:
    """Before any numeric import: every pool that a peer may start."""
    for name in ("OMP", "OPENBLAS", "MKL", "NUMBA", "RAYON", "POLARS_MAX", "BLIS", "VECLIB_MAXIMUM"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    os.environ["POLARS_MAX_THREADS"] = str(threads)
    os.environ["NUMBA_NUM_THREADS"] = str(threads)


def _cpu() -> float:
    """User and system seconds of this process, all its threads and its ended children."""
    own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + children.ru_utime + children.ru_stime


def peak_mb() -> float:
    """Highest resident size so far, in MiB: of this process, or of the largest program that it ran."""
    with open("/proc/self/status") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return max(int(line.split()[1]), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss) / 1024


class Recorder:
    """Collects stages; `save` writes them as JSON."""

    def __init__(self, peer: str, version: str, threads: int) -> None:
        self.result: dict = {"peer": peer, "version": version, "threads": threads, "stages": {}, "quality": {}}

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        wall, cpu = time.perf_counter(), _cpu()
        yield
        entry = {"wall": time.perf_counter() - wall, "cpu": _cpu() - cpu, "peak_mb": peak_mb()}
        self.result["stages"][name] = entry
        print(f"  {self.result['peer']:9s} {name:9s} {entry['cpu']:8.2f} cpu-s {entry['wall']:8.2f} s {entry['peak_mb']:7.0f} MB", file=sys.stderr, flush=True)

    def save(self, path: str) -> None:
        self.result["peak_mb"] = peak_mb()
        with open(path, "w") as file:
            json.dump(self.result, file, indent=1)
