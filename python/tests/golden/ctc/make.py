"""Scores of the Cell Tracking Challenge by py-ctcmetrics 1.3.3 and traccuracy 0.4.3, on masks made here.

Run in an environment with both: `python make.py` writes masks.npz and scores.json next to it.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import tifffile

HERE = Path(__file__).parent
SIDE, TIMES = 96, 14


def truth(rng):
    """Discs that wander and divide: masks, rows of (track, first, last, parent)."""
    cells = [[i + 1, p, rng.normal(size=2), 0, 0] for i, p in enumerate(rng.uniform(15, SIDE - 15, (9, 2)))]
    masks, lineage, count = np.zeros((TIMES, SIDE, SIDE), np.uint16), {}, len(cells)
    grid = np.moveaxis(np.indices((SIDE, SIDE)), 0, -1)
    for t in range(TIMES):
        kept = []
        for number, place, way, parent, born in cells:
            disc = (np.linalg.norm(grid - place, axis=-1) < 4.2) & (masks[t] == 0)
            if disc.sum() < 8:
                continue
            masks[t][disc] = number
            lineage.setdefault(number, [number, t, t, parent])[2] = t
            if t - born > 3 and rng.random() < 0.12:
                axis = rng.normal(size=2)
                axis *= 5 / np.linalg.norm(axis)
                for sign in (-1, 1):
                    count += 1
                    kept.append([count, np.clip(place + sign * axis, 5, SIDE - 5), way, number, t + 1])
            else:
                kept.append([number, np.clip(place + way, 5, SIDE - 5), way, parent, born])
        cells = kept
    rows = np.array(sorted(lineage.values()))
    rows[~np.isin(rows[:, 3], rows[:, 0]), 3] = 0
    return masks, rows


def spoiled(masks, rows, rng, strength):
    """A result with errors: objects lost, shifted, merged; tracks cut, swapped, divisions lost and invented."""
    out, parents = masks.copy(), {int(r[0]): int(r[3]) for r in rows}
    top = int(rows[:, 0].max())
    for t in range(TIMES):
        out[t] = np.roll(out[t], rng.integers(-1, 2, 2), (0, 1))
        for number in np.unique(out[t])[1:]:
            if rng.random() < 0.05 * strength:
                out[t][out[t] == number] = 0
        labels = np.unique(out[t])[1:]
        if rng.random() < 0.3 * strength and len(labels) > 1:
            a, b = rng.choice(labels, 2, replace=False)
            out[t][out[t] == a] = b
        if rng.random() < 0.3 * strength:
            top += 1
            y, x = rng.integers(0, SIDE - 4, 2)
            out[t][y : y + 4, x : x + 4] = top
            parents[top] = 0
    for number in list(parents):
        if parents[number] and rng.random() < 0.2 * strength:
            parents[number] = 0
        if rng.random() < 0.2 * strength:
            cut = int(rng.integers(3, TIMES - 3))
            if (out[:cut] == number).any() and (out[cut:] == number).any():
                top += 1
                out[cut:][out[cut:] == number] = top
                parents[top] = number if rng.random() < 0.5 else 0
                for child in [c for c in parents if parents[c] == number and c != top]:
                    parents[child] = top
    # The format asks for tracks without gaps: each run is a track of its own, child of the run before.
    final, lineage = np.zeros_like(out), {}
    last_run, count = {}, 0
    first_run = {}
    for number in sorted(set(np.unique(out)) - {0}):
        times = np.flatnonzero((out == number).any((1, 2)))
        for run in np.split(times, np.flatnonzero(np.diff(times) > 1) + 1):
            count += 1
            for t in run:
                final[t][out[t] == number] = count
            lineage[count] = [count, int(run[0]), int(run[-1]), last_run.get(number, 0)]
            first_run.setdefault(number, count)
            last_run[number] = count
    for number, run in first_run.items():
        mother = parents.get(int(number), 0)
        if mother in last_run and lineage[last_run[mother]][2] < lineage[run][1]:
            lineage[run][3] = last_run[mother]
    return final, np.array(sorted(lineage.values()))


def write(folder, masks, rows, name):
    folder.mkdir(parents=True)
    for t, mask in enumerate(masks):
        tifffile.imwrite(folder / f"{name}{t:03d}.tif", mask.astype(np.uint16))


def main():
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    arrays, scores = {}, []
    for case, strength in enumerate((0.0, 0.4, 1.0, 2.0)):
        rng = np.random.default_rng(case)
        masks, rows = truth(rng)
        result, found = spoiled(masks, rows, rng, strength) if strength else (masks, rows)
        with tempfile.TemporaryDirectory() as temporary:
            root = Path(temporary)
            write(root / "01_GT" / "TRA", masks, rows, "man_track")
            write(root / "01_GT" / "SEG", masks, rows, "man_seg")
            np.savetxt(root / "01_GT" / "TRA" / "man_track.txt", rows, fmt="%d")
            write(root / "01_RES", result, found, "mask")
            np.savetxt(root / "01_RES" / "res_track.txt", found, fmt="%d")
            names = ["DET", "TRA", "LNK", "SEG", "CT", "TF", "BC", "OP_CSB", "OP_CTB", "Valid"]
            ctc = evaluate_sequence(str(root / "01_RES"), str(root / "01_GT"), metrics=names)
            second = by_traccuracy(root)
        for name, array in (("truth", masks), ("result", result)):
            arrays[f"{name}{case}"] = array.astype(np.uint8)
        arrays[f"truth_rows{case}"], arrays[f"result_rows{case}"] = rows.astype(np.int32), found.astype(np.int32)
        ctc = {k: (v.item() if hasattr(v, "item") else v) for k, v in ctc.items() if not isinstance(v, (dict, list, str))}
        print(case, ctc, second)
        scores.append({"py-ctcmetrics": ctc, "traccuracy": second})
    np.savez_compressed(HERE / "masks.npz", **arrays)
    (HERE / "scores.json").write_text(json.dumps(scores, indent=1) + "\n")


def by_traccuracy(root):
    from traccuracy import run_metrics
    from traccuracy.loaders import load_ctc_data
    from traccuracy.matchers import CTCMatcher
    from traccuracy.metrics import CTCMetrics

    gt = load_ctc_data(str(root / "01_GT" / "TRA"), str(root / "01_GT" / "TRA" / "man_track.txt"))
    pred = load_ctc_data(str(root / "01_RES"), str(root / "01_RES" / "res_track.txt"))
    found, _ = run_metrics(gt, pred, CTCMatcher(), [CTCMetrics()])
    results = found[0]["results"]
    return {k: (v.item() if hasattr(v, "item") else v) for k, v in results.items()}


if __name__ == "__main__":
    main()
