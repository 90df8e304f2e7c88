"""A volume far larger than memory through ``zensaibo detect``: seconds, peak memory, and what is found of the truth.

    python benches/compare/large_volume.py --folder /somewhere --gigabytes 10 --memory 1500MiB

A phantom of about 1.25 GB is made, and mirrored in every axis it fills the volume: eight copies, so that every nucleus
is known eight times over, and no seam cuts one off. Both are written as OME-Zarr in bounded memory. The folder needs
about as much room as the volume; both are removed at the end unless ``--keep`` is given.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

import zensaibo as zs

SPACING = (5.0, 2.0, 2.0)
#: Nuclei in a cubic millimetre of the phantom.
DENSITY = 2000.0


class Mirrored:
    """A volume followed by its mirror image along every axis, read by regions."""

    def __init__(self, base: zs.im.Volume) -> None:
        self.base = base
        self.shape = tuple(2 * n for n in base.shape)
        self.ndim = 3
        self.dtype = base.dtype
        self.chunks = base.chunk

    def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
        places = []
        for part, n in zip(key, self.base.shape, strict=True):
            at = np.arange(*part.indices(2 * n))
            places.append(np.where(at < n, at, 2 * n - 1 - at))
        read = tuple(slice(int(at.min()), int(at.max()) + 1) for at in places)
        voxels = np.asarray(self.base[read])
        return voxels[np.ix_(*(at - part.start for at, part in zip(places, read, strict=True)))]


def make(folder: Path, gigabytes: float) -> tuple[Path, np.ndarray]:
    """The volume, and the centres of its nuclei in micrometres."""
    depth = 320
    side = int(round((gigabytes * 1e9 / 2 / 8 / depth) ** 0.5 / 64)) * 64
    shape = (depth, side, side)
    extent = (np.array(shape) - 1) * SPACING
    nuclei = int(DENSITY * np.prod(extent / 1000))
    phantom = zs.datasets.phantom_volume(shape, spacing=SPACING, nuclei=nuclei, gap=4.0, unevenness=0.0, seed=7)
    base, whole = folder / "base.ome.zarr", folder / "large.ome.zarr"
    if not whole.exists():
        start = time.perf_counter()
        zs.im.write(phantom.volume, base, levels=1, memory="512MB")
        print(f"phantom of {shape} with {len(phantom.cells):,} nuclei: {time.perf_counter() - start:.0f} s", flush=True)
        source = zs.im.open(Mirrored(zs.im.open(base)), spacing=SPACING)
        zs.im.write(source, whole, memory="1GB")
        print(f"volume of {source.shape}, {source.nbytes / 1e9:.2f} GB: {time.perf_counter() - start:.0f} s", flush=True)
        shutil.rmtree(base)
    # The mirror image of voxel i is voxel 2 n - 1 - i.
    centres = phantom.centres
    for axis in range(3):
        other = centres.copy()
        other[:, axis] = (2 * shape[axis] - 1) * SPACING[axis] - other[:, axis]
        centres = np.concatenate([centres, other])
    return whole, centres


def main() -> int:
    """Makes the volume, runs the command on it, prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--gigabytes", type=float, default=10.0)
    parser.add_argument("--memory", default="1500MiB")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--zensaibo", nargs="+", default=[sys.executable, "-m", "zensaibo"])
    parser.add_argument("--make", action="store_true", help="make the volume and stop")
    parser.add_argument("--keep", action="store_true")
    parsed = parser.parse_args()
    parsed.folder.mkdir(parents=True, exist_ok=True)
    whole, centres = make(parsed.folder, parsed.gigabytes)
    if parsed.make:
        return 0
    cells = parsed.folder / "cells.parquet"
    command = [*parsed.zensaibo, "detect", str(whole), "--soma-diameter", "16", "-o", str(cells), "--memory", parsed.memory]
    if parsed.threads is not None:
        command += ["--threads", str(parsed.threads)]
    start = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, used = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    if status != 0:
        return os.waitstatus_to_exitcode(status)
    found = zs.im.read_cells(cells)
    scores = zs.metrics.detection_scores(found, centres, radius=8.0)
    voxels, cpu = found.uns["detection"]["voxels"], used.ru_utime + used.ru_stime
    row = {
        "voxels": voxels,
        "wall_s": round(wall, 1),
        "cpu_s": round(cpu, 1),
        "peak_rss_gb": round(used.ru_maxrss * 1024 / 1e9, 3),
        "voxels_per_cpu_s": round(voxels / cpu),
        "nuclei": len(centres),
        "cells": found.n_obs,
        "precision": round(scores.precision, 4),
        "recall": round(scores.recall, 4),
        "f1": round(scores.f1, 4),
    }
    print(json.dumps(row))
    if not parsed.keep:
        shutil.rmtree(whole)
        cells.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main())
