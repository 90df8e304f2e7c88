"""Trains the cell classifier that ships with zensaibo, and says how it does on animals that it has not seen.

    ZENSAIBO_DATA=... python datasets/train_cell_classifier.py            # scores: leave one animal out, learning curve
    ZENSAIBO_DATA=... python datasets/train_cell_classifier.py --write    # and writes imaging/src/classify/default.json

Data: cfos_lightsheet_patches (12 patches of 3 animals), on which it is trained, and microglia_lightsheet_patches (2 of 1),
on which it is only judged; see the data sets' DATA.md.
Every score is nested: the animal that is judged has no part in the trees nor in the choice of the score threshold.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage

import zensaibo as zs

SPACING = (6.0, 1.62, 1.62)
RADIUS = 8.0
TARGET = Path(__file__).resolve().parents[1] / "imaging" / "src" / "classify" / "default.json"


def load(folder: Path) -> list[tuple[str, str, np.ndarray, np.ndarray]]:
    """Name, animal, voxels and annotated centres of each patch."""
    patches = []
    for path in sorted((folder / "raw").glob("*.tif")):
        mask = tifffile.imread(folder / "gt" / path.name) > 0
        labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
        centres = np.asarray(ndimage.center_of_mass(mask, labels, range(1, count + 1))) * SPACING
        patches.append((path.stem, path.stem.split("_")[0], tifffile.imread(path), centres))
    return patches


def train(patches: list) -> zs.im.CellClassifier:
    """A classifier of these patches, grouped by animal."""
    _, animals, voxels, centres = zip(*patches, strict=True)
    return zs.im.train_cell_classifier(voxels, centres, spacing=SPACING, groups=animals, radius=RADIUS, progress=False)


def judge(model: zs.im.CellClassifier | None, patches: list, **options: float) -> np.ndarray:
    """Pairs, found and true, over all patches."""
    total = np.zeros(3, dtype=int)
    for _, _, voxels, centres in patches:
        cells = zs.im.detect_cells(voxels, spacing=SPACING, classifier=model, progress=False, **options)
        scores = zs.metrics.detection_scores(cells, centres, radius=RADIUS)
        total += (scores.pairs, scores.found, scores.true)
    return total


def line(total: np.ndarray) -> str:
    pairs, found, true = total
    return f"P {pairs / max(found, 1):.3f}  R {pairs / max(true, 1):.3f}  F1 {2 * pairs / max(found + true, 1):.3f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the classifier into the source tree")
    arguments = parser.parse_args()
    root = Path(os.environ.get("ZENSAIBO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    cfos = load(root / "cfos_lightsheet_patches")
    microglia = load(root / "microglia_lightsheet_patches")
    animals = sorted({animal for _, animal, _, _ in cfos})
    print("c-Fos, leave one animal out, pairs within 8 um")
    total, plain = np.zeros(3, dtype=int), np.zeros(3, dtype=int)
    for animal in animals:
        inside = [patch for patch in cfos if patch[1] != animal]
        outside = [patch for patch in cfos if patch[1] == animal]
        own, without = judge(train(inside), outside), judge(None, outside)
        print(f"  {animal:>5}  {line(own)}   without a classifier {line(without)}")
        total, plain = total + own, plain + without
    print(f"    all  {line(total)}   without a classifier {line(plain)}")
    print("learning curve: patches of the other animals used for training, the first of each in turn")
    for count in (1, 2, 4, 6):
        total = np.zeros(3, dtype=int)
        for animal in animals:
            inside = [patch for patch in cfos if patch[1] != animal]
            inside.sort(key=lambda patch: (int(patch[0].split("_")[1]), patch[1]))
            total += judge(train(inside[:count]), [patch for patch in cfos if patch[1] == animal])
        print(f"  {count:>5}  {line(total)}")
    print(f"microglia, trained on c-Fos alone\n         {line(judge(train(cfos), microglia))}")
    halves = [microglia[:1], microglia[1:]]
    both = sum(judge(train(cfos + halves[i]), halves[1 - i]) for i in range(2))
    print(f"microglia, trained on c-Fos and the other patch (same animal)\n         {line(both)}")
    model = train(cfos)
    print(model)
    if arguments.write:
        model.save(TARGET)
        print(f"{TARGET}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
