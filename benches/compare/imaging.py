"""Imaging side by side: `python benches/compare/imaging.py [label edt-solid detect-dense ...]`.

Every call runs in a process of its own, on volumes that are made here with known truth; what a peer compiles or loads it does on
a small part of the volume, outside the clock. Prints and writes to benches/results/imaging.{json,md}: CPU-seconds and
wall, ours / peer, peak memory, one judgement for all peers of a case, and for our kernels the bound (bytes that must be moved
over the bandwidth of this machine, or vector instructions at one a cycle, whichever takes longer; of stores the codec alone) and the
share of it that is reached. `--side 128` tries the cases on smaller volumes and writes nothing down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from bounds import bandwidth, instructions
from omics import ENVIRONMENTS, HERE, RESULTS, _cpu_name

#: Peer: (environment, package that gives the version).
PEERS = {
    "zensaibo": ("zensaibo", "zensaibo"),
    "cc3d": ("arrays", "connected-components-3d"),
    "edt": ("arrays", "edt"),
    "scipy": ("arrays", "scipy"),
    "skimage": ("arrays", "scikit-image"),
    "sitk": ("arrays", "SimpleITK"),
    "tensorstore": ("zarr", "tensorstore"),
    "ome-zarr": ("zarr", "ome-zarr"),
    # As it comes, and with a threshold of 3 standard deviations instead of 10. Its classifier is not run: its weights are no package.
    "cellfinder": ("cellfinder", "cellfinder"),
    "cellfinder-3sd": ("cellfinder", "cellfinder"),
}
#: Environment: packages, pinned.
PACKAGES = {
    "arrays": ["numpy==2.4.6", "connected-components-3d==4.1.1", "edt==3.1.2", "scipy==1.17.1", "scikit-image==0.26.0", "SimpleITK==2.5.7"],
    "zarr": ["numpy==2.4.6", "tensorstore==0.1.86", "ome-zarr==0.18.0", "zarr==3.1.6"],
    "cellfinder": ["cellfinder==1.10.1", "torch==2.15.0", "numpy==2.4.6"],
}
#: Case: (input, peers, bytes moved per voxel, vector instructions per voxel and lane).
CASES = {
    "label": ("mask", ["cc3d", "scipy", "skimage", "sitk"], 1 + 4, 0),
    "edt-cells": ("mask", ["edt", "scipy", "sitk"], 1 + 3 * 4 + 2 * 4, 0),
    "edt-solid": ("solid", ["edt", "scipy", "sitk"], 1 + 3 * 4 + 2 * 4, 0),
    "gaussian": ("picture", ["scipy", "skimage", "sitk"], 4 + 4, 3 * (1 + 2 * 8)),
    "log": ("picture", ["scipy", "sitk"], 4 + 4, 124),
    "median": ("picture", ["scipy", "sitk"], 4 + 4, 96),
    "tophat": ("picture", ["scipy", "sitk"], 4 + 4, 25),
    "downsample": ("picture", ["skimage", "sitk"], 4 + 0.5, 0),
    "region-properties": ("labels", ["cc3d", "skimage", "sitk"], 4, 0),
    # Three Gaussians along each axis, two differences, six comparisons of each with neighbours; every voxel is read twice.
    "detect-sparse": ("sparse", ["scipy", "skimage"], 2 * 2, 161),
    "detect-dense": ("dense", ["scipy", "skimage"], 2 * 2, 161),
    "detect-large": ("large", ["cellfinder", "cellfinder-3sd"], 2 * 2, 139),
    # Read once, labels written once: what a watershed follows has no bound of its own.
    "segment": ("dense", ["skimage", "sitk"], 2 + 4, 0),
    "zarr-write": ("dense", ["tensorstore"], None, None),
    "zarr-write-pyramid": ("dense", ["ome-zarr"], None, None),
    "zarr-read": ("store", ["tensorstore", "ome-zarr"], None, None),
}
#: Micrometres per voxel, and mean diameter of a nucleus.
SPACING, DIAMETER = 2.0, 16.0
#: Micrometres per voxel of the large volume, which has 20 times the voxels of the others: those that cellfinder is made for.
LARGE_SPACING = (5.0, 2.0, 2.0)


def environment(peer: str) -> Path:
    """The interpreter of a peer; its environment is made on first use."""
    name = PEERS[peer][0]
    if name == "zensaibo":
        return Path(sys.executable)
    home = ENVIRONMENTS / f"imaging-{name}"
    stamp, wanted = home / "packages.txt", "\n".join(PACKAGES[name])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "--quiet", *PACKAGES[name]], check=True)
        stamp.write_text(wanted)
    return home / "bin/python"


def phantom(nuclei: int, side: int, seed: int = 0) -> dict[str, np.ndarray]:
    """Ellipsoids of uneven brightness behind a point spread function, on an uneven background, with the noise of photons
    and camera: volume (uint16), labels (uint16) and centres (voxels) of those that do not overlap by more than a tenth."""
    from scipy.ndimage import gaussian_filter

    rng = np.random.default_rng(seed)
    nuclei = round(nuclei * (side / 256) ** 3)
    radius = DIAMETER / SPACING / 2
    centres = np.empty((0, 3))
    while len(centres) < nuclei:
        point = rng.uniform(1, side - 2, 3)
        if len(centres) == 0 or np.min(((centres - point) ** 2).sum(1)) > (1.9 * radius) ** 2:
            centres = np.vstack([centres, point])
    light, labels = np.zeros((side,) * 3, np.float32), np.zeros((side,) * 3, np.uint16)
    reach = int(np.ceil(1.5 * radius))
    for number, centre in enumerate(centres, 1):
        first = np.maximum(centre.astype(int) - reach, 0)
        last = np.minimum(centre.astype(int) + reach + 1, side)
        box = tuple(slice(a, b) for a, b in zip(first, last, strict=True))
        place = np.stack(np.meshgrid(*[np.arange(a, b) for a, b in zip(first, last, strict=True)], indexing="ij"), -1) - centre
        turn, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        axes = radius * rng.normal(1, 0.08) * np.array([1.12, 1.0, 0.89])
        inside = ((place @ turn / axes) ** 2).sum(-1) <= 1
        inside &= labels[box] == 0
        labels[box][inside] = number
        light[box][inside] = 500 * rng.lognormal(0, 0.25)
    waves = gaussian_filter(rng.normal(size=(side // 8,) * 3), 4)
    waves = np.kron(waves / np.abs(waves).max(), np.ones((8, 8, 8)))
    waves = gaussian_filter(np.pad(waves, [(0, side - waves.shape[0])] * 3, mode="edge"), 8)
    light = gaussian_filter(light, (1.25, 0.5, 0.5)) + 150 * (1 + 0.2 * waves)
    picture = rng.poisson(light) + 100 + rng.normal(0, 5, light.shape)
    return {"volume": picture.round().clip(0, 65535).astype(np.uint16), "labels": labels, "centres": centres}


def prepared(side: int) -> Path:
    """The folder of inputs of one size."""
    home = ENVIRONMENTS / "data" / f"imaging-{side}"
    if (home / "done").exists():
        return home
    home.mkdir(parents=True, exist_ok=True)
    sparse, dense = phantom(400, side), phantom(6000, side)
    for name, made in (("sparse", sparse), ("dense", dense)):
        np.save(home / f"{name}.npy", made["volume"])
        np.save(home / f"{name}-labels.npy", made["labels"])
        np.save(home / f"{name}-centres.npy", made["centres"])
    np.save(home / "mask.npy", dense["labels"] > 0)
    np.save(home / "labels.npy", dense["labels"].astype(np.uint32))
    np.save(home / "picture.npy", dense["volume"].astype(np.float32))
    solid = np.zeros((side,) * 3, bool)
    solid[side // 8 : -side // 8, side // 8 : -side // 8, side // 8 : -side // 8] = True
    np.save(home / "solid.npy", solid)
    (home / "done").touch()
    return home


def large(side: int) -> None:
    """The large volume, as sparse as the sparse one, and the places of its nuclei in micrometres."""
    home = prepared(side)
    if (home / "large-centres.npy").exists():
        return
    import zensaibo as zs

    shape = (side * 5 // 4, side * 4, side * 4)
    um = np.prod(np.multiply(shape, LARGE_SPACING))
    made = zs.datasets.phantom_volume(shape, spacing=LARGE_SPACING, nuclei=round(400 * um / (256 * SPACING) ** 3), diameter=DIAMETER, seed=0)
    np.save(home / "large.npy", np.asarray(made.volume))
    np.save(home / "large-centres.npy", made.centres)


def run(peer: str, case: str, side: int, threads: int) -> dict | None:
    out = ENVIRONMENTS / "runs" / f"imaging-{case}-{peer}-{threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    try:
        python = environment(peer)
    except subprocess.CalledProcessError:
        print(f"  {peer}: no environment", file=sys.stderr)
        return None
    if CASES[case][0] == "large":
        large(side)
    env = dict(os.environ)
    if peer != "zensaibo":
        env.pop("PYTHONPATH", None)
    command = [str(python), str(HERE / "image.py"), peer, case, CASES[case][0], str(prepared(side)), str(out), str(threads), PEERS[peer][1]]
    if subprocess.run(command, cwd=HERE, env=env, check=False).returncode != 0:
        print(f"  {peer} failed on {case}", file=sys.stderr)
        return None
    return json.loads(out.read_text()) | {"arrays": dict(np.load(out.with_suffix(".npz")))}


def judge(case: str, side: int, results: dict[str, dict]) -> dict[str, str]:
    """One figure of quality for each peer, by one referee."""
    import zensaibo as zs

    verdict, home = {}, prepared(side)
    for peer, result in results.items():
        found = result["arrays"]
        if case.startswith("detect"):
            truth = np.load(home / f"{case.split('-')[1]}-centres.npy")
            # Voxels, but for the large volume.
            score = zs.metrics.detection_scores(found["centres"], truth, radius=8.0 if case == "detect-large" else 4.0)
            verdict[peer] = f"P {score.precision:.3f} R {score.recall:.3f} F1 {score.f1:.3f}"
        elif case == "segment":
            scores = zs.metrics.segmentation_scores(np.load(home / "dense-labels.npy"), found["labels"], thresholds=[0.5])
            verdict[peer] = f"AP50 {scores['average_precision'].iloc[0]:.3f} SEG {scores.attrs['seg']:.3f}"
        elif case.startswith("zarr-write"):
            verdict[peer] = f"{int(found['bytes']) / 1e6:.1f} MB"
        elif "count" in found and case == "label":
            verdict[peer] = f"{int(found['count'])} components"
        elif "zensaibo" in results and peer != "zensaibo":
            ours = results["zensaibo"]["arrays"]["sample"]
            verdict[peer] = f"largest difference to ours {np.max(np.abs(ours - found['sample'])):.1e}"
    return verdict


def codec(volume: np.ndarray, case: str) -> dict:
    """CPU-seconds of the codec alone: chunks of 64 voxels a side by Blosc with Zstandard at level 3, as our stores have them."""
    from numcodecs import Blosc, blosc

    blosc.use_threads = False
    compressor = Blosc(cname="zstd", clevel=3, shuffle=Blosc.SHUFFLE)
    starts = [range(0, n, 64) for n in volume.shape]
    chunks = [np.ascontiguousarray(volume[z : z + 64, y : y + 64, x : x + 64]) for z in starts[0] for y in starts[1] for x in starts[2]]
    packed = [compressor.encode(chunk) for chunk in chunks]
    begin = time.process_time()
    for chunk, bytes_ in zip(chunks, packed, strict=True):
        compressor.decode(bytes_) if case == "zarr-read" else compressor.encode(chunk)
    spent = time.process_time() - begin
    # Each coarser level of the pyramid has an eighth of the voxels.
    spent *= 8 / 7 if case == "zarr-write-pyramid" else 1
    return {"kind": "decode" if case == "zarr-read" else "encode", "cpu": spent}


def bound(case: str, side: int, moved: float, worked: float) -> dict:
    """What takes a kernel longest at least: moving its bytes, its vector instructions, or the codec."""
    _, _, size, steps = CASES[case]
    if size is None:
        return codec(np.load(prepared(side) / "dense.npy"), case)
    voxels = side**3 * (20 if case == "detect-large" else 1)
    bounds = {"memory": voxels * size / moved, "arithmetic": voxels * steps / worked}
    kind = max(bounds, key=bounds.get)
    return {"kind": kind, "cpu": bounds[kind]}


def table(record: dict) -> str:
    """The record as a table, ours beside each peer."""
    lines = ["| case | peer | CPU-s (wall) | ours CPU-s (wall) | ours / peer | peak MB ours, peer | quality: ours; peer | bound, share reached |", "|" + "---|" * 8]
    for case, entry in record.items():
        ours, bound = entry["peers"].get("zensaibo"), entry.get("bound")
        for peer, theirs in entry["peers"].items():
            if peer == "zensaibo" or ours is None:
                continue
            quality = "; ".join(text for text in (ours["quality"], theirs["quality"]) if text)
            reached = "" if bound is None else f"{bound['kind']} {bound['cpu']:.3f} s, {bound['cpu'] / max(ours['cpu'], 1e-9):.0%}"
            lines.append(
                f"| {case} | {peer} {theirs['version']} | {theirs['cpu']:.2f} ({theirs['wall']:.2f}) | {ours['cpu']:.2f} ({ours['wall']:.2f}) "
                f"| {ours['cpu'] / max(theirs['cpu'], 1e-9):.2f} | {ours['peak_mb']:.0f}, {theirs['peak_mb']:.0f} | {quality} | {reached} |"
            )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--side", type=int, default=256, help="voxels along each axis; nothing is written down but at 256")
    parser.add_argument("--peers", help="only these, as a,b")
    arguments = parser.parse_args()
    record_path = RESULTS / "imaging.json"
    record = json.loads(record_path.read_text()) if record_path.exists() and arguments.side == 256 else {}
    moved, worked = bandwidth(), instructions()
    for case in arguments.cases or CASES:
        if case not in CASES:
            parser.error(f"case: expected one of {', '.join(CASES)}, found {case}")
        peers = CASES[case][1]
        if arguments.peers is not None:
            peers = [peer for peer in peers if peer in arguments.peers.split(",")]
        results = {peer: result for peer in ["zensaibo", *peers] if (result := run(peer, case, arguments.side, arguments.threads))}
        verdict = judge(case, arguments.side, results)
        old = record.get(case, {}).get("peers", {})
        new = {
            peer: result["stages"][case] | {"version": result["version"], "quality": verdict.get(peer, "")}
            for peer, result in results.items()
        }
        record[case] = {"side": arguments.side, "threads": arguments.threads, "peers": old | new}
        record[case]["bound"] = bound(case, arguments.side, moved, worked)
    text = table(record) + (
        f"\n{arguments.side}^3 voxels (detect-large: 20 times as many), {arguments.threads} thread{'s' * (arguments.threads > 1)} on {_cpu_name()}, load average "
        f"{os.getloadavg()[2]:.1f} on {os.cpu_count()} cores; one core moves {moved / 1e9:.1f} GB/s.\n"
    )
    print(text)
    if arguments.side == 256 and arguments.peers is None:
        RESULTS.mkdir(parents=True, exist_ok=True)
        record_path.write_text(json.dumps(record, indent=1) + "\n")
        (RESULTS / "imaging.md").write_text(text)


if __name__ == "__main__":
    main()
