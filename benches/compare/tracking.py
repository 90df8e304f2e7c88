"""Tracking side by side: `tracking.py [--laptrack PYTHON] [--cases a,b] [--out FOLDER]`.

Each peer follows the same detections in a process of its own, on one thread. Quality is precision and recall of links
and divisions against the truth; cost is CPU-seconds of the call (laptrack's first call on a toy is outside the clock).
laptrack runs in an environment of its own: `pip install laptrack==0.17.1`; without `--laptrack` only zensaibo runs and
mutual nearest neighbours. Real recordings are found through ZENSAIBO_DATA and left out aloud when absent.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("ZENSAIBO_DATA", HERE.parents[2] / "shared" / "data"))


def phantom(cells, times, side, speed, turn, noise, share, missed, false, seed=0):
    """Cells that fly on and divide, with missed and false detections: times, points, row of the detection before."""
    import numpy as np

    rng = np.random.default_rng(seed)
    place = rng.uniform(0, side, (cells, 3))
    way = rng.normal(size=(cells, 3))
    last = np.full(cells, -1)
    rows, before = [], []
    for t in range(times):
        seen = rng.random(len(place)) >= missed
        for k in np.flatnonzero(seen):
            rows.append((t, *(place[k] + noise * rng.normal(size=3))))
            before.append(last[k])
            last[k] = len(rows) - 1
        for point in rng.uniform(0, side, (rng.poisson(false * len(place)), 3)):
            rows.append((t, *point))
            before.append(-1)
        way += turn * rng.normal(size=way.shape)
        way *= speed / np.linalg.norm(way, axis=1, keepdims=True)
        out = (place + way < 0) | (place + way > side)
        way[out] *= -1
        place = place + way
        mothers = np.flatnonzero(rng.random(len(place)) < share)
        axis = rng.normal(size=(len(mothers), 3))
        axis *= 3 / np.maximum(np.linalg.norm(axis, axis=1, keepdims=True), 1e-9)
        place = np.concatenate([place, place[mothers] - axis])
        place[mothers] += axis
        way, last = np.concatenate([way, way[mothers]]), np.concatenate([last, last[mothers]])
    rows = np.array(rows)
    return rows[:, 0].astype(int), rows[:, 1:], np.array(before)


def embryo(every):
    import numpy as np
    import pandas as pd

    table = pd.read_csv(DATA / "celegans_embryo_nuclei_4d" / "nuclei_t001_t200.csv.gz")
    row = {key: at for at, key in enumerate(zip(table["t"], table["id"], strict=True))}
    step = np.array([row.get((t - 1, p), -1) for t, p in zip(table["t"], table["pred"], strict=True)])
    before = np.arange(len(table))
    for _ in range(every):
        before = np.where(before >= 0, step[before], -1)
    keep = np.flatnonzero((table["t"] - 1) % every == 0)
    place = {old: new for new, old in enumerate(keep)}
    points = table[["z", "y", "x"]].to_numpy(float)[keep]
    return (table["t"].to_numpy()[keep] - 1) // every, points, np.array([place.get(b, -1) for b in before[keep]])


def hela():
    import numpy as np
    import pandas as pd

    table = pd.read_csv(DATA / "celltracking_hela_tracks" / "hela_tracks.csv.gz").sort_values(["t", "id"], kind="stable")
    row = {name: at for at, name in enumerate(table["id"])}
    before = [row[int(p)] if p == p and int(p) in row else -1 for p in table["parent_id"]]
    points = np.column_stack([np.zeros(len(table)), table["y"], table["x"]])
    return table["t"].to_numpy(), points, np.array(before)


#: Case: (maker, largest step, farthest daughter, time points that may be missed).
CASES = {
    "easy": (lambda: phantom(300, 30, 100, 2, 0.5, 0.3, 0.005, 0, 0), 6, 6, 0),
    "dense-fast": (lambda: phantom(400, 40, 100, 6, 0.5, 0.3, 0.005, 0, 0), 10, 10, 0),
    "dense-fast-noisy": (lambda: phantom(400, 40, 100, 6, 0.5, 0.3, 0.01, 0.02, 0.02), 10, 10, 1),
    "celegans-1min": (lambda: embryo(1), 20, 25, 0),
    "celegans-2min": (lambda: embryo(2), 25, 30, 0),
    "celegans-3min": (lambda: embryo(3), 30, 30, 0),
    "hela": (hela, 20, 20, 0),
}


def links_of(times, tracks, parents):
    """Pairs (detection, the one after), of tracks in the order of time."""
    last, links = {}, set()
    for at, (track, parent) in enumerate(zip(tracks.tolist(), parents.tolist(), strict=True)):
        before = last.get(track, last.get(parent) if parent else None)
        if before is not None:
            links.add((before, at))
        last[track] = at
    return links


def divisions_of(links):
    after = {}
    for a, b in links:
        after.setdefault(a, set()).add(b)
    return {(a, frozenset(both)) for a, both in after.items() if len(both) > 1}


def work(peer, case, source, out):
    """One peer on one case, in its own environment."""
    from measure import Recorder, set_threads

    set_threads(1)
    import numpy as np

    with np.load(source) as arrays:
        times, points = arrays["times"], arrays["points"]
    _, reach, daughters, gap = CASES[case]
    frames = [points[times == t] for t in range(times.max() + 1)]
    if peer == "zensaibo":
        import zensaibo as zs

        record = Recorder(peer, zs.__version__, 1)
        with record.stage(case):
            found = zs.im.track(frames, max_speed=reach, max_division_distance=daughters, max_gap=gap, threads=1)
        tracks, parents = found["track"].to_numpy(), found["parent"].to_numpy()
    elif peer == "laptrack":
        import importlib.metadata

        import pandas as pd
        from laptrack import LapTrack

        record = Recorder(peer, importlib.metadata.version("laptrack"), 1)

        def follow(times, points):
            table = pd.DataFrame({"t": times, **dict(zip("zyx", points.T, strict=True)), "row": np.arange(len(times))})
            tracker = LapTrack(
                cutoff=reach**2,
                splitting_cutoff=daughters**2,
                gap_closing_cutoff=(reach * (gap + 1)) ** 2 if gap else False,
                gap_closing_max_frame_count=gap,
            )
            return tracker.predict_dataframe(table, coordinate_cols=list("zyx"), frame_col="t", only_coordinate_cols=False)

        first = times < 3
        follow(times[first], points[first])
        with record.stage(case):
            table, splits, _ = follow(times, points)
        tracks = table.sort_values("row")["track_id"].to_numpy() + 1
        mother = dict(zip(splits["child_track_id"] + 1, splits["parent_track_id"] + 1, strict=True)) if len(splits) else {}
        parents = np.array([mother.get(track, 0) for track in tracks])
    else:
        from scipy.spatial import cKDTree

        record = Recorder(peer, "scipy", 1)
        with record.stage(case):
            count, parts = 0, []
            for t, frame in enumerate(frames):
                number = np.zeros(len(frame), int)
                if t and len(frame) and len(frames[t - 1]):
                    far, there = cKDTree(frames[t - 1]).query(frame)
                    back = cKDTree(frame).query(frames[t - 1])[1]
                    same = (back[there] == np.arange(len(frame))) & (far <= reach)
                    number[same] = parts[-1][there[same]]
                new = number == 0
                number[new] = count + 1 + np.arange(new.sum())
                count += int(new.sum())
                parts.append(number)
        tracks = np.concatenate(parts)
        parents = np.zeros(len(tracks), int)
    np.savez(out + ".npz", tracks=tracks, parents=parents)
    record.save(out + ".json")


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--laptrack", help="Python of an environment with laptrack")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    peers = {"zensaibo": sys.executable, "nearest": sys.executable}
    if arguments.laptrack:
        peers["laptrack"] = arguments.laptrack
    lines = ["| case | peer | CPU-s | peak MB | links P | links R | divisions P | divisions R |", "|---|---|---|---|---|---|---|---|"]
    with tempfile.TemporaryDirectory() as temporary:
        for case in arguments.cases.split(","):
            try:
                times, points, before = CASES[case][0]()
            except FileNotFoundError as error:
                print(f"{case} left out: {error.filename} is not there (set ZENSAIBO_DATA)", file=sys.stderr)
                continue
            source = f"{temporary}/{case}.npz"
            np.savez(source, times=times, points=points)
            truth = {(int(b), at) for at, b in enumerate(before) if b >= 0}
            real = divisions_of(truth)
            for peer, python in peers.items():
                out = f"{temporary}/{case}-{peer}"
                command = [python, __file__, "--worker", peer, case, source, out]
                if subprocess.run(command, check=False).returncode:
                    lines.append(f"| {case} | {peer} | failed | | | | | |")
                    continue
                cost = json.loads(Path(out + ".json").read_text())
                with np.load(out + ".npz") as arrays:
                    found = links_of(times, arrays["tracks"], arrays["parents"])
                said = divisions_of(found)
                right, split = len(found & truth), len(said & real)
                stage = cost["stages"][case]
                shares = [right / max(1, len(found)), right / len(truth), split / max(1, len(said)), split / max(1, len(real))]
                text = " | ".join(f"{share:.4f}" for share in shares)
                lines.append(f"| {case} | {peer} {cost['version']} | {stage['cpu']:.2f} | {cost['peak_mb']:.0f} | {text} |")
    print("\n".join(lines))
    if arguments.out:
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / "tracking.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:6])
    else:
        main()
