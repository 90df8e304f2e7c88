"""Rounds of staining of one sample brought together: shift, affine map, nucleus by nucleus; and how far that can be trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import NotTrustworthyError, ParameterError, ShapeError, TooFewError
from ._nuclei import segment_nuclei
from ._register import Registration, register
from ._resample import resample
from ._spatial import places
from ._volume import Volume, _spacing, open

if TYPE_CHECKING:
    import pandas as pd

    from ..arrays import PointTransform

#: Voxels at most on which shifts are looked for.
_COARSE = 1 << 22


@dataclass(frozen=True)
class Rounds:
    """What `register_rounds` returns."""

    #: From each round to the reference, on places (z, y, x) in micrometres; of the reference itself the identity.
    transforms: list[PointTransform]
    #: Which round is the reference.
    reference: int
    #: One row per round; see `register_rounds`.
    report: pd.DataFrame
    #: Places (z, y, x) in micrometres of the nuclei of each round, in its own space.
    nuclei: list[np.ndarray]
    #: For each round an array (m, 2): nucleus of the round, nucleus of the reference.
    pairs: list[np.ndarray]
    _grids: list[tuple[tuple[int, ...], tuple[float, ...], tuple[float, ...]]]

    def __repr__(self) -> str:
        least = self.report["matched_fraction"].min()
        return f"Rounds({len(self.transforms)} rounds to round {self.reference}, at least {100 * least:.0f} % of the nuclei matched)"

    def registration(self, number: int, *, step: int = 2, threads: int | None = None) -> Registration:
        """The map of a round as a `Registration`, between its grid and that of the reference: warps images, saves.

        `step`: displacements are kept at every so many voxels of the reference, and linear between. Both volumes must begin at the
        origin of their space.
        """
        (shape, um, origin), (fixed_shape, fixed_um, fixed_origin) = self._grids[number], self._grids[self.reference]
        if any(origin) or any(fixed_origin):
            raise ParameterError(f"registration: expected volumes that begin at 0, found origins {origin} and {fixed_origin}")
        return self.transforms[number].to_registration(fixed_shape, fixed_um, shape, um, step=step, threads=threads)

    def warp(self, number: int, image: Any, *, step: int = 2, threads: int | None = None) -> np.ndarray:
        """An image of a round, (z, y, x) on its grid, on the grid of the reference: float32, linear, 0 beyond it."""
        return self.registration(number, step=step, threads=threads).warp_image(image, threads=threads, progress=False)


def register_rounds(
    rounds: Sequence[Any],
    *,
    nuclei: Sequence[Any] | None = None,
    diameter: float | None = None,
    channel: int | str = 0,
    spacing: Sequence[float] | float | None = None,
    reference: int = 0,
    affine: bool = True,
    deform: str = "nonrigid",
    gate: float = 0.7,
    min_matched: float = 0.3,
    max_false_rate: float = 0.25,
    trust: bool = False,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Rounds:
    """Brings several rounds of staining of one sample into the space of one of them, by the nuclei that all rounds show.

    Each round is shifted by phase correlation of its nuclear stain, or moved by the affine map of `register`, whichever leaves nuclei nearer to
    nuclei; then its nuclei are aligned with those of the reference and paired one to one (`zensaibo.sp.align`).

    Parameters
    ----------
    rounds
        Volumes with a nuclear stain, anything that `zensaibo.im.open` takes: one time point each, of any shapes.
    nuclei
        Nuclei of each round: AnnData of `segment_nuclei`, or (n, 3) places (z, y, x) in micrometres. None: they are segmented here.
    diameter
        Typical diameter of a nucleus in micrometres; needed without `nuclei`.
    channel
        Number or name of the channel of the nuclei.
    spacing
        Micrometres per voxel of all rounds; those of the volumes by default. Must be known.
    reference
        The round that the others are brought to.
    affine
        Whether the affine map of the images is tried beside the shift: it finds turns of more than some degrees, and takes longer.
    deform
        "nonrigid", "affine", or what else `zensaibo.arrays.align_points` takes.
    gate
        Pairs are at most so many times the median distance of neighbouring nuclei apart.
    min_matched, max_false_rate
        Least share of the nuclei within the reference that find a partner, and greatest share of false pairs, of a round that is to be trusted.
    trust
        Return rounds that are not to be trusted instead of raising; the report names them.
    memory
        Working memory for segmentation and resampling, in bytes or as text; 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads`.

    Returns
    -------
    Rounds
        ``transforms``, ``pairs``, ``warp`` and ``report``, a row per round: ``round``, ``nuclei``, ``inside`` (nuclei within the reference), ``matched``,
        ``matched_fraction`` (of those inside), ``false_match_rate``, ``residual_median``, ``residual_95`` (um between partners), ``shift_z``,
        ``shift_y``, ``shift_x`` (um, phase correlation), ``shift_peak`` (1 for a copy), ``start`` ("shift" or "affine"), ``before`` (um, median distance from
        nucleus to nearest nucleus after that), ``trustworthy``, ``faults``.

    Raises
    ------
    zensaibo.errors.NotTrustworthyError
        A round that does not fit: with its number and the reasons.
    zensaibo.errors.ParameterError
        Fewer than two rounds, no spacing, neither nuclei nor diameter, options out of range.
    zensaibo.errors.TooFewError
        A round with fewer than ten nuclei.

    Notes
    -----
    Shifts are looked for on at most four million voxels, the rest is resampled. Residuals say how well what was paired fits, not
    how far the map is right between nuclei. References: Kuglin and Hines 1975; see `zensaibo.arrays.align_points`.
    """
    import pandas as pd

    from .. import arrays

    volumes = [open(volume, spacing=spacing) for volume in rounds]
    n = len(volumes)
    if n < 2:
        raise ParameterError(f"parameter `rounds`: expected at least two, found {n}")
    if not -n <= reference < n:
        raise ParameterError(f"parameter `reference`: expected 0 to {n - 1}, found {reference}")
    reference %= n
    if not (0 <= min_matched <= 1 and 0 <= max_false_rate <= 1):
        raise ParameterError(f"parameters `min_matched`, `max_false_rate`: expected 0 to 1, found {min_matched!r}, {max_false_rate!r}")
    for number, volume in enumerate(volumes):
        if volume.spacing is None:
            raise ParameterError(f"spacing: expected micrometres per voxel, since round {number} does not say; found none")
        if volume._core.shape[0] != 1:
            raise ShapeError(f"rounds[{number}]: expected one time point, found {volume.axes}, shape {volume.shape}")
    if nuclei is None and diameter is None:
        raise ParameterError("parameter `diameter`: expected micrometres where no `nuclei` are given, found None")
    if nuclei is not None and len(nuclei) != n:
        raise ShapeError(f"nuclei: expected those of {n} rounds, found {len(nuclei)}")
    run: dict[str, Any] = dict(threads=threads, progress=progress)
    stains = [open(volume, channel=channel) for volume in volumes]
    points = []
    for number in range(n):
        if nuclei is not None:
            given = nuclei[number]
        else:
            assert diameter is not None
            given = segment_nuclei(volumes[number], diameter=diameter, channel=channel, memory=memory, **run)[1]
        found = np.ascontiguousarray(places(given) if hasattr(given, "obsm") else given, dtype=np.float64)
        if found.ndim != 2 or found.shape[1] != 3:
            raise ShapeError(f"nuclei[{number}]: expected places of shape (n, 3), found {found.shape}")
        if len(found) < 10:
            raise TooFewError(f"round {number}: expected at least 10 nuclei, found {len(found)}")
        points.append(found)
    still = stains[reference]
    transforms, rows, pairs = [], [], []
    for number in range(n):
        if number == reference:
            transforms.append(arrays.PointTransform.from_matrix(np.eye(4)))
            all_of = np.arange(len(points[number]))
            pairs.append(np.stack([all_of, all_of], axis=1))
            rows.append(_row(number, points[number]))
            continue
        shift, peak = _shift(still, stains[number], memory, threads, progress)
        starts = {"shift": np.eye(4)}
        starts["shift"][:3, 3] = shift
        if affine:
            coarse = register(stains[number], still, deform=False, try_orientations=False, trust=True, memory=memory, **run)
            back = np.vstack([coarse.affine, [0, 0, 0, 1]])
            # That map takes places from the centre of the first voxel of the reference.
            to_origin = np.eye(4)
            to_origin[:3, 3] = still.origin
            starts["affine"] = to_origin @ np.linalg.inv(back)
        before = {name: _apart(points[number], points[reference], start) for name, start in starts.items()}
        best = min(before, key=lambda name: before[name])
        found_map = arrays.align_points(
            points[number], points[reference], initial=starts[best], deform=deform, gate=gate, max_false_rate=max_false_rate, trust=True, **run
        )
        report = found_map.report()
        share = report["matched"] / report["inside"] if report["inside"] else 0.0
        faults = list(report["faults"])
        if share < min_matched:
            faults.append(f"only {100 * share:.0f} % of {report['inside']} nuclei within the reference found a partner")
        if faults and not trust:
            raise NotTrustworthyError(f"register_rounds: round {number} is not to be trusted: {'; '.join(faults)}")
        distance = found_map.matches.distance
        rows.append({
            "round": number, "nuclei": len(points[number]), "inside": report["inside"], "matched": report["matched"], "matched_fraction": share,
            "false_match_rate": report["false_match_rate"], "residual_median": report["median_distance"],
            "residual_95": float(np.quantile(distance, 0.95)) if len(distance) else np.nan,
            **{f"shift_{axis}": float(shift[at]) for at, axis in enumerate("zyx")}, "shift_peak": peak, "start": best, "before": before[best],
            "trustworthy": not faults, "faults": "; ".join(faults),
        })  # fmt: skip
        transforms.append(found_map.transform)
        pairs.append(found_map.pairs)
    grids = [(tuple(volume._core.shape[2:]), tuple(_spacing(volume, None)), tuple(volume.origin)) for volume in volumes]
    return Rounds(transforms, reference, pd.DataFrame(rows), points, pairs, grids)


def _row(number: int, points: np.ndarray) -> dict[str, Any]:
    """The reference is itself."""
    n = len(points)
    return {
        "round": number, "nuclei": n, "inside": n, "matched": n, "matched_fraction": 1.0, "false_match_rate": 0.0, "residual_median": 0.0,
        "residual_95": 0.0, "shift_z": 0.0, "shift_y": 0.0, "shift_x": 0.0, "shift_peak": 1.0, "start": "reference", "before": 0.0,
        "trustworthy": True, "faults": "",
    }  # fmt: skip


def _shift(
    fixed: Volume, moving: Volume, memory: Any, threads: int | None, progress: Any
) -> tuple[np.ndarray, float]:
    """Micrometres to add to places of the moving volume, and the height of the peak."""
    sizes = [np.array(volume._core.shape[2:]) * np.array(_spacing(volume, None)) for volume in (fixed, moving)]
    finest = np.max([_spacing(fixed, None), _spacing(moving, None)], axis=0)
    box = (sizes[0] + sizes[1]).prod()
    # Coarser along all axes alike until both together fit.
    factor = max(1.0, float(np.cbrt(box / finest.prod() / _COARSE)))
    um = finest * factor
    images, begin = [], []
    for volume in (fixed, moving):
        image = resample(volume, tuple(um.tolist()), memory=memory, threads=threads, progress=progress)
        images.append(np.ascontiguousarray(np.asarray(image).reshape(image._core.shape[2:]), dtype=np.float32))
        begin.append(np.asarray(image.origin))
    with reporting(progress) as callback:
        voxels, peak, _ = _core.im_phase_shift(images[0], images[1], callback)
    return np.array(voxels) * um + begin[0] - begin[1], float(peak)


def _apart(moving: np.ndarray, fixed: np.ndarray, start: np.ndarray) -> float:
    """Median distance from moved places to the nearest of the others."""
    from scipy.spatial import cKDTree

    return float(np.median(cKDTree(fixed).query(moving @ start[:3, :3].T + start[:3, 3])[0]))
