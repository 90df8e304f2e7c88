"""Trains the cell classifier that ships with zensaibo, and says how it does on animals that it has not seen.

    ZENSAIBO_DATA=... python datasets/train_cell_classifier.py            # scores: leave one animal out, learning curve
    ZENSAIBO_DATA=... python datasets/train_cell_classifier.py --write    # and writes imaging/src/classify/default.json

Data: cfos_lightsheet_patches (12 patches of 3 animals), on which it is trained, and microglia_lightsheet_patches (2 of 1),
on which it is only judged; see the data sets' DATA.md.
Every score is nested: the animal that is judged has no part in the trees nor in the choice of the score threshold.

Nobody annotated the block z < 34, x >= 50 of the patches 1008_0 and 1008_4: the masks end there at one voxel plane, through
cells as bright as those beside it. Scores are given for whole patches, where every cell found there counts as false, and without
it. Cells look about three times longer along z than across; what comes of telling the detector is shown beside.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from scipy import ndimage

import zensaibo as zs

SPACING = (6.0, 1.62, 1.62)
RADIUS = 8.0
# Cells are about 24 um long and 8 um wide in these volumes.
LONG = 3.0
UNANNOTATED = {"1008_0": np.s_[:34, :, 50:], "1008_4": np.s_[:34, :, 50:]}
TARGET = Path(__file__).resolve().parents[1] / "imaging" / "src" / "classify" / "default.json"


class Patch(NamedTuple):
    """Voxels, annotated centres (um) and which voxels somebody looked at."""

    name: str
    animal: str
    voxels: np.ndarray
    centres: np.ndarray
    looked: np.ndarray


def load(folder: Path) -> list[Patch]:
    """The patches of a data set."""
    patches = []
    for path in sorted((folder / "raw").glob("*.tif")):
        mask = tifffile.imread(folder / "gt" / path.name) > 0
        labels, count = ndimage.label(mask, np.ones((3, 3, 3)))
        centres = np.asarray(ndimage.center_of_mass(mask, labels, range(1, count + 1))) * SPACING
        looked = np.ones(mask.shape, dtype=bool)
        if path.stem in UNANNOTATED:
            looked[UNANNOTATED[path.stem]] = False
        patches.append(Patch(path.stem, path.stem.split("_")[0], tifffile.imread(path), centres, looked))
    return patches


def train(patches: list[Patch], elongation: float = 1.0) -> zs.im.CellClassifier:
    """A classifier of these patches, grouped by animal; without the unannotated block where cells are taken as long."""
    return zs.im.train_cell_classifier(
        [patch.voxels for patch in patches],
        [patch.centres for patch in patches],
        regions=None if elongation == 1.0 else [patch.looked for patch in patches],
        groups=[patch.animal for patch in patches],
        spacing=SPACING,
        elongation=elongation,
        radius=RADIUS,
        progress=False,
    )


def judge(model: zs.im.CellClassifier | None, patches: list[Patch], **options: float) -> np.ndarray:
    """Pairs, found and true over all patches: whole; without the unannotated block; that without the edge zone as well."""
    total = np.zeros((3, 3), dtype=int)
    for patch in patches:
        cells = zs.im.detect_cells(patch.voxels, spacing=SPACING, classifier=model, progress=False, **options)
        found = cells.obsm["spatial"][:, ::-1]
        own, truth = inside(found, patch), inside(patch.centres, patch)
        extent = tuple((n - 1) * s for n, s in zip(patch.voxels.shape, SPACING, strict=True))
        whole = zs.metrics.detection_scores(found, patch.centres, radius=RADIUS)
        looked = zs.metrics.detection_scores(found[own], patch.centres[truth], radius=RADIUS)
        core = zs.metrics.detection_scores(
            found[own], patch.centres[truth], radius=RADIUS, extent=extent, edge_zone=RADIUS
        )
        total += [(score.pairs, score.found, score.true) for score in (whole, looked, core)]
    return total


def inside(points: np.ndarray, patch: Patch) -> np.ndarray:
    """Which points lie where somebody looked."""
    place = np.clip(np.rint(points / SPACING).astype(int), 0, np.array(patch.voxels.shape) - 1)
    return patch.looked[tuple(place.T)]


def line(total: np.ndarray) -> str:
    def one(counts: np.ndarray) -> str:
        pairs, found, true = counts
        return f"P {pairs / max(found, 1):.3f} R {pairs / max(true, 1):.3f} F1 {2 * pairs / max(found + true, 1):.3f}"

    return f"{one(total[0])} | annotated part {one(total[1])} | and no edge zone {one(total[2])}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the classifier into the source tree")
    arguments = parser.parse_args()
    root = Path(os.environ.get("ZENSAIBO_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    cfos = load(root / "cfos_lightsheet_patches")
    microglia = load(root / "microglia_lightsheet_patches")
    animals = sorted({patch.animal for patch in cfos})
    model = train(cfos)
    print(model, flush=True)
    if arguments.write:
        model.save(TARGET)
        print(f"{TARGET}: {TARGET.stat().st_size} bytes", flush=True)
    print("c-Fos, leave one animal out, pairs within 8 um", flush=True)
    ways = ("classifier", "classifier, long cells", "no classifier", "no classifier, long cells")
    total = {way: np.zeros((3, 3), dtype=int) for way in ways}
    for animal in animals:
        inside_, outside = split(cfos, animal)
        models = (train(inside_), train(inside_, LONG), None, None)
        for way, own, elongation in zip(ways, models, (1.0, LONG, 1.0, LONG), strict=True):
            counts = judge(own, outside, elongation=elongation)
            print(f"  {animal:>5}  {way:25}  {line(counts)}", flush=True)
            total[way] += counts
    for way in ways:
        print(f"    all  {way:25}  {line(total[way])}", flush=True)
    print("learning curve: patches of the other animals used for training, the first of each in turn", flush=True)
    for count in (1, 2, 4, 6):
        total = np.zeros((3, 3), dtype=int)
        for animal in animals:
            others, outside = split(cfos, animal)
            others.sort(key=lambda patch: (int(patch.name.split("_")[1]), patch.animal))
            total += judge(train(others[:count]), outside)
        print(f"  {count:>5}  {line(total)}", flush=True)
    print(f"microglia, trained on c-Fos alone\n         {line(judge(model, microglia))}", flush=True)
    halves = [microglia[:1], microglia[1:]]
    both = sum(judge(train(cfos + halves[i]), halves[1 - i]) for i in range(2))
    print(f"microglia, trained on c-Fos and the other patch (same animal)\n         {line(both)}", flush=True)
    print("leave one patch out: the other patches of the same animal are in training", flush=True)
    print(f"    all  {line(sum(judge(train([p for p in cfos if p is not patch]), [patch]) for patch in cfos))}")


def split(patches: list[Patch], animal: str) -> tuple[list[Patch], list[Patch]]:
    """The patches of the other animals, and of this one."""
    return [p for p in patches if p.animal != animal], [p for p in patches if p.animal == animal]


if __name__ == "__main__":
    main()
