"""Clouds of cells side by side: `align.py [--pycpd FOLDER] [--most 50e6] [--cases 1k 10k 100k "rung 1" ...] [--threads 2] [--out FOLDER]`.

A box of cells at least 7 um apart (3,000 in 300 x 300 x 150 um, larger boxes as dense) is seen a second time: 35 % of the
cells (of 100,000: 20 %), and a tenth as many that are not there, turned, swollen by 1.8, warped by bumps (80 um wide) and jittered on
both sides; `rung 1` to `rung 4` are 3,000 cells, ever fewer of them seen, ever more bent and shaken. Each peer aligns the second cloud with the first in a process of its own; precision and recall are of
the pairs against the truth. pycpd (2.0.0; `pip install --no-deps --target FOLDER pycpd`) starts from the similarity of the same six
landmarks: deformable (beta 60 um, alpha 3, w 0.3) where its dense matrices fit; it gives no pairs, so the nearest fixed cell
within 6 um is taken.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: Name: fixed cells, share of them seen, warp and jitter in um. The rungs get harder.
CASES = {
    "1k": (1_000, 0.35, 6.0, 1.0),
    "10k": (10_000, 0.35, 6.0, 1.0),
    "100k": (100_000, 0.2, 6.0, 1.0),
    "rung 1": (3_000, 0.35, 6.0, 1.0),
    "rung 2": (3_000, 0.35, 12.0, 1.5),
    "rung 3": (3_000, 0.15, 12.0, 1.5),
    "rung 4": (3_000, 0.35, 25.0, 2.0),
}

def make(n: int, share: float, warp: float, jitter: float, seed: int = 0) -> dict:
    import numpy as np
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    size = np.array([300.0, 300.0, 150.0]) * (n / 3000) ** (1 / 3)
    base = np.empty((0, 3))
    while len(base) < n:
        more = np.vstack([base, rng.uniform(0, size, (n, 3))])
        # Of two that are too near the later one goes; those kept stay.
        drop = {max(pair) for pair in cKDTree(more).query_pairs(7.0)}
        base = more[[at for at in range(len(more)) if at not in drop]]
    base = base[:n]
    seen = rng.permutation(n)[: round(share * n)]
    moving = np.vstack([base[seen], rng.uniform(0, size, (len(seen) // 10, 3))])
    truth = np.concatenate([seen, np.full(len(seen) // 10, -1)])
    bent = moving.copy()
    for _ in range(max(8, round(8 * n / 3000))):
        way = rng.normal(size=3)
        height = np.exp(-((moving - rng.uniform(0, size)) ** 2).sum(axis=1) / (2 * 80**2))
        bent += height[:, None] * way / np.linalg.norm(way) * warp
    bent += jitter * rng.normal(size=bent.shape)
    turn = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    turn *= np.sign(np.linalg.det(turn))
    fixed = base + jitter * rng.normal(size=base.shape)
    # Six cells far from each other.
    marks = [0]
    far = np.full(len(seen), np.inf)
    while len(marks) < 6:
        far = np.minimum(far, ((moving[: len(seen)] - moving[marks[-1]]) ** 2).sum(axis=1))
        marks.append(int(far.argmax()))
    return {"moving": 1.8 * bent @ turn.T, "fixed": fixed, "truth": truth, "marks": np.array(marks)}


def work(args: argparse.Namespace) -> None:
    sys.path.insert(0, str(HERE))
    from measure import Recorder, set_threads

    set_threads(args.threads)
    import numpy as np

    with np.load(args.data) as held:
        moving, fixed, truth, marks = (held[name] for name in ("moving", "fixed", "truth", "marks"))
    pairs = np.column_stack([marks, truth[marks]])
    if args.peer == "pycpd":
        sys.path.insert(0, args.pycpd)
        import scipy
        from pycpd import DeformableRegistration
        from scipy.spatial import cKDTree

        recorder = Recorder("pycpd", "2.0.0", args.threads)
        import zensaibo as zs

        start, _ = zs.arrays.landmark_transform(moving[pairs[:, 0]], fixed[pairs[:, 1]])
        placed = start.transform_points(moving)
        assert scipy is not None
        with recorder.stage("deform"):
            placed = DeformableRegistration(X=fixed, Y=placed, beta=60, alpha=3, w=0.3).register()[0]
        with recorder.stage("pairs"):
            distance, near = cKDTree(fixed).query(placed)
            found = np.column_stack([np.arange(len(placed)), near])[distance <= 6.0]
        rate = None
    else:
        import zensaibo as zs

        recorder = Recorder(args.peer, zs.__version__, args.threads)
        landmarks = pairs if args.peer == "zensaibo" else None
        with recorder.stage("align"):
            result = zs.sp.align(moving, fixed, landmarks=landmarks, scale=True, threads=args.threads, trust=True, progress=False)
        found, rate = result.pairs, result.false_match_rate
        recorder.result["quality"]["control_points"] = len(result.transform.controls)
    right = (truth[found[:, 0]] == found[:, 1]).sum()
    recorder.result["quality"] |= {
        "fixed": len(fixed), "moving": len(moving), "pairs": len(found), "precision": float(right / max(len(found), 1)),
        "recall": float(right / (truth >= 0).sum()), "counted_false": rate,
    }  # fmt: skip
    recorder.save(args.save)


def table(rows: list[dict], threads: int) -> str:
    text = [
        "# Clouds of cells aligned and paired",
        "",
        f"Made by `benches/compare/align.py` ({threads} threads) on two cores shared with other work: compare CPU-seconds.",
        "",
        "| case | peer | fixed | moving | wall s | CPU s | peak MB | precision | recall | false by decoys |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        quality, stages = row["quality"], row["stages"].values()
        wall, cpu = sum(stage["wall"] for stage in stages), sum(stage["cpu"] for stage in stages)
        rate = "" if quality["counted_false"] is None else f"{quality['counted_false']:.3f}"
        text.append(
            f"| {row['case']} | {row['peer']} {row['version']} | {quality['fixed']:,} | {quality['moving']:,} | {wall:.1f} | {cpu:.1f} | "
            f"{row['peak_mb']:.0f} | {quality['precision']:.3f} | {quality['recall']:.3f} | {rate} |"
        )
    text += [
        "",
        "`zensaibo-free`: without landmarks; where it stands in no row it refused, for lack of a",
        "neighbourhood found again. pycpd: deformable, from the similarity of the same landmarks; the nearest fixed cell",
        "within 6 um is its pair.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pycpd", help="folder with pycpd; without it only zensaibo runs")
    parser.add_argument("--most", type=float, default=50e6, help="fixed x moving cells beyond which pycpd is not tried")
    parser.add_argument("--cases", nargs="*", default=list(CASES))
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        work(args)
        return
    import numpy as np

    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        for case in args.cases:
            n, share, warp, jitter = CASES[case]
            data, saved = Path(scratch) / f"{case}.npz", Path(scratch) / "row.json"
            np.savez(data, **make(n, share, warp, jitter))
            peers = ["zensaibo", "zensaibo-free"]
            if args.pycpd and n * n * share * 1.1 <= args.most:
                peers.append("pycpd")
            for peer in peers:
                command = [sys.executable, __file__, "--peer", peer, "--data", data, "--save", saved, "--threads", str(args.threads)]
                done = subprocess.run([*map(str, command), *(["--pycpd", args.pycpd] if args.pycpd else [])])
                if done.returncode == 0:
                    rows.append({"case": case, **json.loads(saved.read_text())})
                else:
                    print(f"{peer} gave up on {case}", file=sys.stderr)
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "align.json").write_text(json.dumps(rows, indent=1) + "\n")
    (args.out / "align.md").write_text(table(rows, args.threads))


if __name__ == "__main__":
    main()
