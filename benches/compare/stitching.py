"""Stitching side by side: `stitching.py [--cases a,b] [--peers zensaibo,multiview-stitcher] [--out FOLDER]`.

Each peer is given the same tiles and the same wrong places, in a process of its own, on one thread: it finds where they lie
and fuses them into an OME-Zarr. Error is the largest distance of a tile from its place in voxels of an axis, after the whole
is moved to where it fits; cost is CPU-seconds of finding and of fusing, without imports. multiview-stitcher lives in an
environment of its own, made on first use; it is warmed up on two small tiles outside the clock. It is run with its defaults
and, as `-filtered`, with its filter by quality. Real volumes are found through ZENSAIBO_DATA and left out aloud when absent.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("ZENSAIBO_DATA", HERE.parents[2] / "shared" / "data"))
ENVIRONMENTS = Path(os.environ.get("ZENSAIBO_BENCH", HERE.parents[1] / ".bench"))
PACKAGES = ["multiview-stitcher==0.1.62", "numpy==2.4.6", "scikit-image==0.26.0", "dask==2026.8.0"]
SPACING = (5.0, 2.0, 2.0)


def environment() -> Path:
    """The interpreter with multiview-stitcher; made on first use."""
    home = ENVIRONMENTS / "stitching"
    stamp, wanted = home / "packages.txt", "\n".join(PACKAGES)
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "--quiet", *PACKAGES], check=True)
        stamp.write_text(wanted)
    return home / "bin/python"


def tissue(shape):
    """Cells in tissue."""
    import numpy as np
    from scipy import ndimage

    noise = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    blobs = ndimage.gaussian_filter(noise, (0.8, 2, 2))
    blobs = np.clip(blobs / blobs.std() - 1.2, 0, None)
    return 150 + 3600 * ndimage.gaussian_filter(noise, (4, 20, 20)) + 500 * blobs


def crop():
    import tifffile

    return tifffile.imread(DATA / "cellfinder_whole_brain_crops" / "crop_signal_ch0.tif").astype("float32")


#: Case: (volume, (rows, columns), shape of a tile, step along y and x, greatest error along z, y, x in voxels, uneven light).
#: Tiles of `parts-...` lie between the voxels of the volume, those of the others on them.
CASES = {
    "clean-2x2": (lambda: tissue((108, 252, 252)), (2, 2), (96, 128, 128), (100, 100), (3, 5, 5), False),
    "uneven-2x2": (lambda: tissue((108, 252, 252)), (2, 2), (96, 128, 128), (100, 100), (3, 5, 5), True),
    "parts-2x2": (lambda: tissue((110, 254, 254)), (2, 2), (96, 128, 128), (100, 100), (3, 5, 5), True),
    "uneven-3x3": (lambda: tissue((44, 480, 480)), (3, 3), (40, 160, 160), (136, 136), (2, 5, 5), True),
    "brain-2x2": (crop, (2, 2), (26, 280, 360), (210, 280), (2, 5, 5), True),
}


def tiles_of(case):
    """Tiles, where they are said to lie and where they lie (voxels)."""
    import numpy as np
    from scipy import ndimage

    make, (rows, columns), shape, step, jitter, uneven = CASES[case]
    volume, rng = make(), np.random.default_rng(7)
    said = np.array([(0, step[0] * r, step[1] * c) for r in range(rows) for c in range(columns)], dtype=float)
    truth = said + np.column_stack([rng.integers(0, 2 * j + 1, len(said)) for j in jitter])
    parts = case.startswith("parts")
    if parts:
        truth += 1 + rng.uniform(-0.5, 0.5, truth.shape)
        volume = ndimage.spline_filter(volume)
    tiles = []
    for at, place in enumerate(truth):
        if parts:
            grid = np.meshgrid(*(p + np.arange(n) for p, n in zip(place, shape, strict=True)), indexing="ij")
            part = ndimage.map_coordinates(volume, grid, prefilter=False)
        else:
            part = volume[tuple(slice(int(a), int(a) + n) for a, n in zip(place, shape, strict=True))]
        assert part.shape == shape, (case, place, volume.shape)
        if uneven:
            z, y, x = (np.linspace(-1, 1, n) for n in shape)
            light = (1 - 0.15 * y[:, None] ** 2 - 0.15 * x**2) * np.exp(-0.1 * (z + 1))[:, None, None]
            part = part * light * 0.93**at * (1.3 if at % 2 else 1.0)
            part = part + 0.7 * np.sqrt(np.maximum(part, 0)) * rng.normal(size=shape)
        tiles.append(np.clip(np.round(part), 0, 65535).astype(np.uint16))
    return np.stack(tiles), said, truth


def ours(record, tiles, said, out):
    import zensaibo as zs

    record.result["version"] = zs.__version__
    with record.stage("find"):
        found = zs.im.stitch(list(tiles), positions=said * SPACING, spacing=SPACING, threads=1, progress=False)
    with record.stage("fuse"):
        found.write(out, threads=1, progress=False)
    return found.positions / SPACING


def theirs(record, tiles, said, out, filtered):
    import importlib.metadata

    import dask
    import numpy as np
    from multiview_stitcher import fusion, msi_utils, registration, spatial_image_utils

    # Chunks as large as those of its output, as it asks for.
    dask.config.set({"scheduler": "single-threaded", "array.chunk-size": "64MiB"})
    record.result["version"] = importlib.metadata.version("multiview-stitcher")
    axes = ("z", "y", "x")

    def images(tiles, said):
        scale = dict(zip(axes, SPACING, strict=True))
        sims = [
            spatial_image_utils.get_sim_from_array(
                tile,
                dims=list(axes),
                scale=scale,
                translation={a: float(p * s) for a, p, s in zip(axes, place, SPACING, strict=True)},
                transform_key="said",
            )
            for tile, place in zip(tiles, said, strict=True)
        ]
        return [msi_utils.get_msim_from_sim(sim, scale_factors=[]) for sim in sims]

    def find(msims):
        registration.register(
            msims,
            transform_key="said",
            new_transform_key="found",
            reg_channel_index=0,
            post_registration_do_quality_filter=filtered,
        )

    find(images(tiles[:2, :24, :64, :64], [(0, 0, 0), (0, 0, 48)]))
    msims = images(tiles, said)
    with record.stage("find"):
        find(msims)
    with record.stage("fuse"):
        sims = [msi_utils.get_sim_from_msim(msim) for msim in msims]
        um = dict(zip(axes, SPACING, strict=True))
        fusion.fuse(sims, transform_key="found", output_spacing=um, output_zarr_url=out, zarr_options={"overwrite": True})
    places = []
    for msim, place in zip(msims, said, strict=True):
        affine = np.asarray(msi_utils.get_transform_from_msim(msim, transform_key="found")).squeeze()
        start = np.append(np.array(place) * SPACING, 1.0)
        places.append((affine @ start)[:3] / SPACING)
    return np.array(places)


def work(peer, source, out):
    """One peer on one case, in its own environment."""
    from measure import Recorder, set_threads

    set_threads(1)
    import numpy as np

    with np.load(source) as arrays:
        tiles, said = arrays["tiles"], arrays["said"]
    record = Recorder(peer, "", 1)
    target = out + ".ome.zarr"
    if peer == "zensaibo":
        places = ours(record, tiles, said, target)
    else:
        places = theirs(record, tiles, said, target, peer.endswith("-filtered"))
    np.save(out + ".npy", places)
    record.save(out + ".json")


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--peers", default="zensaibo,multiview-stitcher,multiview-stitcher-filtered")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    lines = ["| case | peer | find CPU-s | fuse CPU-s | peak MB | error, voxels (largest) | median |", "|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        for case in arguments.cases.split(","):
            try:
                tiles, said, truth = tiles_of(case)
            except FileNotFoundError as error:
                print(f"{case} left out: {error.filename} is not there (set ZENSAIBO_DATA)", file=sys.stderr)
                continue
            source = f"{temporary}/{case}.npz"
            np.savez(source, tiles=tiles, said=said)
            for peer in arguments.peers.split(","):
                python = Path(sys.executable) if peer == "zensaibo" else environment()
                out = f"{temporary}/{case}-{peer}"
                if subprocess.run([python, __file__, "--worker", peer, source, out], check=False).returncode:
                    lines.append(f"| {case} | {peer} | failed | | | | |")
                    continue
                cost = json.loads(Path(out + ".json").read_text())
                off = np.load(out + ".npy") - truth
                off = np.abs(off - np.median(off, axis=0)).max(axis=1)
                find, fuse = (cost["stages"][name]["cpu"] for name in ("find", "fuse"))
                numbers = f"{find:.2f} | {fuse:.2f} | {cost['peak_mb']:.0f} | {off.max():.3f} | {np.median(off):.3f}"
                lines.append(f"| {case} | {peer} {cost['version']} | {numbers} |")
                shutil.rmtree(out + ".ome.zarr", ignore_errors=True)
    print("\n".join(lines))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "stitching.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:5])
    else:
        main()
