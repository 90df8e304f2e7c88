"""Cells of a volume, and the classifier that tells them from the rest."""

from __future__ import annotations

import json
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from .._provenance import record
from .._shared import call
from ..errors import ParameterError, ShapeError
from ._spatial import store_places
from ._volume import _known, _spacing, open

if TYPE_CHECKING:
    from anndata import AnnData

_OBS = ("score", "volume", "radius", "mean_intensity", "peak_intensity", "background", "noise", "edge")


class CellClassifier:
    """Boosted trees that decide which candidates are cells. Made by `train_cell_classifier` or `CellClassifier.load`."""

    def __init__(self, text: str) -> None:
        _core.im_check_classifier("classifier", text)
        self._text = text
        self._content = json.loads(text)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> CellClassifier:
        """A classifier from a file that `save` wrote."""
        text = Path(path).read_text(encoding="utf-8")
        _core.im_check_classifier(str(path), text)
        return cls(text)

    @classmethod
    def default(cls) -> CellClassifier:
        """The classifier that comes with zensaibo: c-Fos nuclei in cleared mouse brain."""
        return cls(_core.im_default_classifier())

    def save(self, path: str | PathLike[str]) -> None:
        """Writes it as JSON text."""
        Path(path).write_text(self._text, encoding="utf-8")

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Micrometres per voxel of the volumes it was trained on."""
        z, y, x = self._content["spacing"]
        return z, y, x

    @property
    def soma_diameter(self) -> float:
        """Soma diameter in micrometres that it was trained with."""
        return self._content["soma_diameter"]

    @property
    def elongation(self) -> float:
        """How many times longer along z than across cells looked in training."""
        return self._content["elongation"]

    @property
    def features(self) -> list[str]:
        """What it looks at."""
        return self._content["features"]

    @property
    def min_score(self) -> float:
        """The score from which on a candidate counts as a cell."""
        return self._content["min_score"]

    @property
    def validation(self) -> dict[str, float]:
        """Precision, recall and F1 on groups that the trees had not seen; cells, groups and matching radius beside."""
        return dict(self._content["validation"])

    def __repr__(self) -> str:
        v = self.validation
        return (
            f"CellClassifier(soma {self.soma_diameter:g} um, {v['cells']} cells in {v['groups']} groups, "
            f"F1 {v['f1']:.3f} on unseen groups)"
        )


def _classifier_text(classifier: Any) -> str | None:
    if classifier is None:
        return None
    if isinstance(classifier, CellClassifier):
        return classifier._text
    if isinstance(classifier, str) and classifier == "default":
        return _core.im_default_classifier()
    if isinstance(classifier, (str, PathLike)):
        return CellClassifier.load(classifier)._text
    raise ParameterError(
        f'parameter `classifier`: expected "default", a path, a CellClassifier or None, found {type(classifier).__name__}'
    )


def detect_cells(
    signal: Any,
    background: Any = None,
    *,
    spacing: Sequence[float] | float | None = None,
    soma_diameter: float = 10.0,
    elongation: float | None = None,
    classifier: str | PathLike[str] | CellClassifier | None = "default",
    threshold: float = 5.0,
    noise_floor: float = 0.2,
    min_score: float | None = None,
    min_distance: float = 0.6,
    edge_zone: float = 0.5,
    channel: int = 0,
    time: int = 0,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Finds the cells of one channel.

    Peaks of differences of Gaussians at two scales become candidates; a classifier, or a threshold in local noise, decides.

    Parameters
    ----------
    signal
        Anything that `zensaibo.im.open` takes.
    background
        A channel of the same shape without the stain (autofluorescence). What of the signal goes with it, by a slope
        that is fitted around each place, is taken off first. It has one channel and one time point.
    spacing
        Micrometres per voxel (z, y, x); that of the volume by default, and 1 where it has none.
    soma_diameter
        Diameter of a cell body in micrometres; every other length is a share of it.
    elongation
        How many times longer a cell looks along z than across, 0.2 to 10, since a light sheet blurs along z: every
        length along z is as many times longer. That of the classifier by default, and 1 without one.
    classifier
        "default" (shipped, trained on c-Fos nuclei of cleared mouse brain), the path of a saved one, a
        `CellClassifier`, or None: then `threshold` decides.
    threshold
        How far a cell must stand out in local noise; without a classifier only. There a peak that is no brighter than three
        of the eight sides around it is the rim of something larger and does not count.
    noise_floor
        Least local noise that is believed, as a share of the noise of tissue, 0 to 1: in black surroundings, where noise is next to
        nothing, a cell must stand out from this much. The noise of tissue is the level above which tiles of the volume
        (six soma diameters) hold half of all noise. 0 believes any.
    min_score
        Smallest probability of a cell; that of the classifier by default. With a classifier only.
    min_distance
        Smallest distance between two cells in soma diameters (times the elongation along z): of two nearer ones the
        weaker goes. Smaller splits more.
    edge_zone
        Width of the zone, in soma diameters, in which cells are marked as near the border of the volume.
    channel, time
        Which channel and time point of the signal.
    memory
        Working memory in bytes or as text ("4GiB"); 2 GiB by default, less for small volumes.
    threads
        Threads to use; all cores by default. They change the time and nothing else, as does `memory`.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    AnnData with one row for each cell and no genes: ``obs`` label (1, 2, ... in the order of z, y, x), score (probability
    with a classifier, else prominence in local noise), volume (cubic micrometres) and radius of the half-height body,
    mean_intensity, peak_intensity, background (local median), noise, edge; ``obsm["spatial"]`` (x, y, z) in micrometres from the
    centre of the first voxel plus the origin of the volume; ``uns["spatial_space"]``, whose unit is "voxel" where no
    spacing is known; ``uns["detection"]`` what was seen on the way (voxels, saturated, constant, candidates,
    dark: others that stand out from the noise around them but not from ``noise_floor``, least_noise: that floor in units of the
    signal, too_near, edge).

    Raises
    ------
    zensaibo.errors.ParameterError
        A parameter out of range; a diameter below 0.2 or above 200 voxels.
    zensaibo.errors.DataError
        An empty volume, NaN or infinity (the first such voxel is named), a background of another shape.
    zensaibo.errors.LimitError
        The memory does not hold one block with its neighbours.

    Notes
    -----
    The volume is read twice. A volume without contrast gives no cells and ``uns["detection"]["constant"]``.

    The table is laid out as squidpy reads it. In napari, which counts (z, y, x) as arrays do:
    ``viewer.add_image(volume, scale=spacing)`` and ``viewer.add_points(cells.obsm["spatial"][:, ::-1], size=soma_diameter)``.
    """
    import pandas as pd
    from anndata import AnnData

    signal = open(signal)
    other = None if background is None else open(background)
    used = _spacing(signal, spacing)
    options = {
        "soma_diameter": soma_diameter,
        "elongation": elongation,
        "threshold": threshold,
        "noise_floor": noise_floor,
        "min_score": min_score,
        "min_distance": min_distance,
        "edge_zone": edge_zone,
        "channel": channel,
        "time": time,
    }
    text = _classifier_text(classifier)
    with reporting(progress) as callback:
        found = call(
            _core.im_detect_cells,
            signal._core,
            None if other is None else other._core,
            to_json(**options, memory=to_bytes(memory)),
            used,
            text,
            threads,
            callback,
        )
    centre = found["centre"].reshape(-1, 3)
    n = len(centre)
    obs = pd.DataFrame({name: found[name] for name in _OBS}, index=[str(i) for i in range(1, n + 1)])
    obs.insert(0, "label", np.arange(1, n + 1, dtype=np.uint32))
    cells = AnnData(obs=obs)
    store_places(cells, centre + np.asarray(signal.origin), known=_known(signal, spacing))
    cells.uns["detection"] = json.loads(found["report"])
    kind = "none" if text is None else ("default" if isinstance(classifier, str) and classifier == "default" else "own")
    record(cells, "detect_cells", **options, spacing=list(used), classifier=kind)
    return cells


def _annotation(annotation: Any, shape: tuple[int, ...], spacing: tuple[float, float, float]) -> np.ndarray:
    """Points (n, 3) as they are; centres of the 26-connected objects of a mask; centres of the labels of a label volume."""
    array = np.asarray(annotation)
    if array.ndim == 2 and array.shape[1:] == (3,):
        return np.ascontiguousarray(array, dtype=np.float64)
    if array.ndim != 3 or array.shape != shape:
        raise ShapeError(
            f"`annotations`: expected (n, 3) points in micrometres or a mask of shape {shape}, found shape {array.shape}"
        )
    from scipy import ndimage

    if array.dtype == bool or len(np.unique(array)) <= 2:
        array, _ = ndimage.label(array, np.ones((3, 3, 3)))
    labels = np.unique(array)
    labels = labels[labels != 0]
    if len(labels) == 0:
        return np.zeros((0, 3))
    return np.asarray(ndimage.center_of_mass(array != 0, array, labels), dtype=np.float64) * np.asarray(spacing)


def _region(region: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A boolean volume of the patch's shape."""
    array = np.asarray(region)
    if array.dtype != bool or array.shape != shape:
        raise ShapeError(
            f"`regions`: expected a boolean volume of shape {shape}, found {array.dtype} of shape {array.shape}"
        )
    return np.ascontiguousarray(array)


def train_cell_classifier(
    patches: Sequence[Any],
    annotations: Sequence[Any],
    *,
    spacing: Sequence[float] | float | None = None,
    backgrounds: Sequence[Any] | None = None,
    groups: Sequence[Any] | None = None,
    regions: Sequence[Any] | None = None,
    soma_diameter: float = 10.0,
    elongation: float = 1.0,
    radius: float | None = None,
    min_distance: float = 0.6,
    gate_loss: float = 0.02,
    trees: int = 80,
    learning_rate: float = 0.08,
    leaves: int = 6,
    min_rows: int = 60,
    shrinkage: float = 20.0,
    features: float = 0.5,
    seed: int = 0,
    channel: int = 0,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> CellClassifier:
    """Trains the classifier of `detect_cells` on volumes whose every cell is annotated.

    Parameters
    ----------
    patches
        Volumes, each anything that `zensaibo.im.open` takes.
    annotations
        For each, all its cells: (n, 3) points (z, y, x) in micrometres, a mask (26-connected objects) or a label volume.
    spacing
        Micrometres per voxel of all patches; that of the first patch by default.
    backgrounds
        For each, its background channel; none by default.
    groups
        For each, the animal (any value): the score from which on a candidate counts is chosen on groups that the trees in
        question have not seen. Each patch by itself by default.
    regions
        For each, a boolean volume of the voxels that were annotated, or None for all. Elsewhere nothing is learned and
        nothing is judged.
    soma_diameter, elongation, min_distance, channel, memory, threads, progress
        As in `detect_cells`; train with the values that you detect with. Any local noise is believed (``noise_floor`` 0).
    radius
        Farthest that a found and an annotated centre may lie apart, in micrometres; 0.8 soma diameters by default.
    gate_loss
        Share of the annotated cells that may be lost to the gate before the trees. Larger is faster.
    trees, learning_rate, leaves, min_rows, shrinkage, features, seed
        Boosting: number of trees, share of each step, leaves of a tree, rows that a leaf must hold, pull of the leaves
        towards 0, share of the features that each tree may use, seed of that choice.

    Returns
    -------
    CellClassifier. Same for any memory and number of threads.

    Raises
    ------
    zensaibo.errors.ParameterError
        A parameter out of range.
    zensaibo.errors.DataError
        Lists of different length, no patch, no annotated cell near a candidate, and what `detect_cells` refuses.
    """
    volumes = [open(patch) for patch in patches]
    lists = {"annotations": annotations, "backgrounds": backgrounds, "groups": groups, "regions": regions}
    for name, values in lists.items():
        if values is not None and len(values) != len(volumes):
            raise ShapeError(f"`{name}`: expected one for each of {len(volumes)} patches, found {len(values)}")
    others = [None] * len(volumes) if backgrounds is None else [None if b is None else open(b) for b in backgrounds]
    looked = [None] * len(volumes) if regions is None else regions
    keys = list(range(len(volumes)) if groups is None else groups)
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    used = _spacing(volumes[0], spacing) if volumes else (1.0, 1.0, 1.0)
    rows = [
        (
            volume._core,
            None if other is None else other._core,
            _annotation(annotation, volume.shape[-3:], used),
            None if region is None else _region(region, volume.shape[-3:]),
            numbers[key],
        )
        for volume, other, annotation, region, key in zip(volumes, others, annotations, looked, keys, strict=True)
    ]
    boosting = {
        "trees": trees,
        "learning_rate": learning_rate,
        "leaves": leaves,
        "min_rows": min_rows,
        "shrinkage": shrinkage,
        "features": features,
        "seed": seed,
    }
    options = to_json(
        soma_diameter=soma_diameter,
        elongation=elongation,
        radius=radius,
        min_distance=min_distance,
        gate_loss=gate_loss,
        boosting=boosting,
        channel=channel,
        memory=to_bytes(memory),
    )
    with reporting(progress) as callback:
        return CellClassifier(_core.im_train_cell_classifier(rows, options, used, threads, callback))
