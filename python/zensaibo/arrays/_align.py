"""Clouds of cells brought together: maps between them, and pairs of cells."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, FileError, NonFiniteError, NotTrustworthyError, ParameterError, ShapeError
from ._sketch import _seed, _whole

if TYPE_CHECKING:
    import pandas as pd

    from ..im import Registration

_FORMAT = "zensaibo point transform"


def _places(points: Any, name: str) -> np.ndarray:
    """(n, 2 or 3) float64, C-ordered and finite."""
    array = np.asarray(points)
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise ShapeError(f"`{name}`: expected 2 or 3 coordinates per cell, found shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"`{name}`: expected real numbers, found dtype {array.dtype}")
    array = np.ascontiguousarray(array, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(array).all(axis=1))
    if bad.size:
        raise NonFiniteError(
            f"`{name}`: expected finite coordinates, found {bad.size} rows without (the first: {bad[0]}, {array[bad[0]].tolist()})"
        )
    return array


class PointTransform:
    """A map from one space of points to another, forth and back: linear, or linear and a smooth part of control points.

    ``y = affine(u) + sum_c weights[c] exp(-|u - controls[c]|^2 / (2 beta^2))`` with ``u = start(x)``. All coordinates are in
    the order in which the points were handed in.
    """

    def __init__(self, state: str) -> None:
        self._state = state
        self._held: dict[str, Any] = json.loads(state)

    def __repr__(self) -> str:
        kind = "linear" if self.is_linear else f"{len(self.controls)} control points"
        return f"PointTransform({self.dimensions} dimensions, {kind})"

    @classmethod
    def from_matrix(cls, matrix: Any) -> PointTransform:
        """A linear map from a (D, D + 1) or homogeneous (D + 1, D + 1) matrix, D being 2 or 3."""
        rows = _matrix(matrix, "matrix")
        dimensions = len(rows)
        return cls(
            json.dumps(
                {
                    "dimensions": dimensions,
                    "start": _linear_state(np.eye(dimensions, dimensions + 1)),
                    "affine": _linear_state(rows),
                    "controls": [],
                    "weights": [],
                    "beta": 1.0,
                    "reach": 0.0,
                }
            )
        )

    @property
    def dimensions(self) -> int:
        """2 or 3."""
        return int(self._held["dimensions"])

    @property
    def is_linear(self) -> bool:
        """Whether there are no control points."""
        return not self._held["controls"]

    def _linear(self, name: str) -> np.ndarray:
        d, held = self.dimensions, self._held[name]
        whole = np.eye(d + 1)
        whole[:d, :d], whole[:d, d] = np.array(held["matrix"])[:d, :d], held["shift"][:d]
        return whole

    @property
    def start(self) -> np.ndarray:
        """(D + 1, D + 1) homogeneous: from the moving space to the frame of the control points (the rough fit)."""
        return self._linear("start")

    @property
    def affine(self) -> np.ndarray:
        """(D + 1, D + 1) homogeneous: from the frame to the fixed space."""
        return self._linear("affine")

    @property
    def matrix(self) -> np.ndarray:
        """(D + 1, D + 1) homogeneous: the linear part from the moving to the fixed space. All of the map if it `is_linear`."""
        return self.affine @ self.start

    @property
    def controls(self) -> np.ndarray:
        """(m, D) control points, in the frame."""
        return np.array(self._held["controls"], dtype=np.float64).reshape(-1, 3)[:, : self.dimensions]

    @property
    def weights(self) -> np.ndarray:
        """(m, D): how far each of them carries, in the unit of the fixed space."""
        return np.array(self._held["weights"], dtype=np.float64).reshape(-1, 3)[:, : self.dimensions]

    @property
    def beta(self) -> float:
        """Width of the kernel, in the frame; beyond five of them (of exact drift: never) it is 0."""
        return float(self._held["beta"])

    def transform_points(
        self,
        points: Any,
        inverse: bool = False,
        *,
        threads: int | None = None,
        progress: bool | Progress | None = False,
    ) -> np.ndarray:
        """Points of the moving space in the fixed one; with `inverse` the other way.

        Parameters
        ----------
        points
            (n, D) array, finite.
        inverse
            From the fixed to the moving space, by Newton's method: to about 1e-9 kernel widths. NaN where nothing leads there,
            beyond a fold.
        threads
            Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
        progress
            A bar or not, or a callable ``(stage, done, total)``.

        Returns
        -------
        (n, D) float64. Time: points x control points, back some ten times that.
        """
        array = _places(points, "points")
        if array.shape[1] != self.dimensions:
            raise ShapeError(f"`points`: expected {self.dimensions} coordinates, as the map has, found {array.shape[1]}")
        with reporting(progress) as callback:
            return _core.map_through(self._state, array, bool(inverse), threads, callback)

    def to_registration(
        self,
        fixed_shape: Sequence[int],
        fixed_spacing: Sequence[float],
        moving_shape: Sequence[int],
        moving_spacing: Sequence[float],
        *,
        axes: str = "zyx",
        step: int = 1,
        threads: int | None = None,
    ) -> Registration:
        """The map as a `zensaibo.im.Registration` between two volumes: warps images, saves as OME-NGFF, exports for ITK.

        Parameters
        ----------
        fixed_shape, moving_shape
            Voxels (z, y, x) of the two volumes.
        fixed_spacing, moving_spacing
            Micrometres per voxel (z, y, x).
        axes
            Order of the coordinates of this map: ``"zyx"``, or ``"xyz"`` as in an AnnData. Only for three dimensions.
        step
            Displacements are kept at every ``step``-th voxel of the fixed volume, and between them linear.
        threads
            Number of threads; ``None`` for all cores.

        Returns
        -------
        zensaibo.im.Registration
            Its displacements are the way back at the voxels kept; 12 bytes for each.

        Raises
        ------
        zensaibo.errors.ParameterError
            A map of two dimensions, or other axes.
        zensaibo.errors.NotTrustworthyError
            The map folds within the fixed volume, so that it has no way back there.
        """
        from ..im import Registration

        if self.dimensions != 3 or axes not in ("zyx", "xyz"):
            raise ParameterError(
                f"to_registration: expected a map of three dimensions and axes 'zyx' or 'xyz', found {self.dimensions} and {axes!r}"
            )
        step = _whole("step", step)
        turn = np.eye(4) if axes == "zyx" else np.eye(4)[[2, 1, 0, 3]]
        shape, um = tuple(int(n) for n in fixed_shape), np.asarray(fixed_spacing, dtype=np.float64)
        coarse = tuple(-(-(n - 1) // step) + 1 for n in shape)
        spacing = tuple(float(u) * step for u in um)
        grid = np.stack(np.meshgrid(*(np.arange(n) * u for n, u in zip(coarse, spacing, strict=True)), indexing="ij"), -1)
        grid = grid.reshape(-1, 3)
        order = slice(None) if axes == "zyx" else slice(None, None, -1)
        back = self.transform_points(np.ascontiguousarray(grid[:, order]), True, threads=threads)[:, order]
        lost = np.flatnonzero(np.isnan(back).any(axis=1))
        if lost.size:
            raise NotTrustworthyError(
                f"to_registration: the map has no way back at {lost.size} of {len(grid)} places (the first: {grid[lost[0]].tolist()}, "
                "z, y, x in the fixed space): it folds there"
            )
        whole = turn @ self.matrix @ turn.T
        vectors = back @ whole[:3, :3].T + whole[:3, 3] - grid
        affine = np.ascontiguousarray(np.linalg.inv(whole)[:3])
        core = _core.Registration(
            np.ascontiguousarray(vectors.reshape(*coarse, 3), dtype=np.float32),
            spacing,
            affine,
            (shape, tuple(float(u) for u in um)),
            (tuple(int(n) for n in moving_shape), tuple(float(u) for u in moving_spacing)),
            "{}",
        )
        return Registration(core)

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the map as JSON, beside the target and then renamed; numbers keep all their digits."""
        path = Path(path)
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            beside.write_text(json.dumps({"format": _FORMAT, "version": 1, "map": self._held}), encoding="utf-8")
            os.replace(beside, path)
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise FileError(f"{path}: cannot be written ({error})") from None

    @classmethod
    def load(cls, path: str | PathLike[str]) -> PointTransform:
        """A map that was saved.

        Raises
        ------
        zensaibo.errors.FileError
            No such file.
        zensaibo.errors.DataError
            A file that holds something else.
        """
        try:
            held = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise FileError(f"{path}: cannot be read ({error})") from None
        except ValueError as error:
            raise DataError(f"{path}: expected a saved PointTransform ({error})") from None
        if not isinstance(held, dict) or held.get("format") != _FORMAT or held.get("version") != 1:
            raise DataError(f"{path}: expected a saved PointTransform of version 1, found another file")
        return cls(json.dumps(held["map"]))


def _linear_state(rows: np.ndarray) -> dict[str, Any]:
    d = len(rows)
    matrix, shift = np.eye(3), np.zeros(3)
    matrix[:d, :d], shift[:d] = rows[:, :d], rows[:, d]
    return {"matrix": matrix.tolist(), "shift": shift.tolist()}


def _matrix(matrix: Any, name: str) -> np.ndarray:
    """(D, D + 1) rows of a linear map."""
    array = np.asarray(matrix, dtype=np.float64)
    if array.ndim != 2 or array.shape not in ((2, 3), (3, 3), (3, 4), (4, 4)) or not np.isfinite(array).all():
        raise ShapeError(f"`{name}`: expected a finite (D, D + 1) or (D + 1, D + 1) matrix for D = 2 or 3, found shape {array.shape}")
    d = array.shape[1] - 1
    if len(array) == d + 1 and not np.allclose(array[d], [0] * d + [1]):
        raise DataError(f"`{name}`: expected a last row of {[0] * d + [1]}, found {array[d].tolist()}")
    if abs(np.linalg.det(array[:d, :d])) == 0:
        raise DataError(f"`{name}`: expected a matrix that has an inverse, found {array.tolist()}")
    return np.ascontiguousarray(array[:d])


class Matches(NamedTuple):
    """Pairs of cells, one to one."""

    pairs: np.ndarray
    """(m, 2) int64: moving cell, fixed cell; in the order of the moving cells."""
    probability: np.ndarray
    """(m,): that the two are the same cell."""
    distance: np.ndarray
    """(m,): between them after alignment, in the unit of the fixed side."""
    pair_false_rate: np.ndarray
    """(m,): the share of false ones among all pairs at least as probable, by displaced copies."""
    false_match_rate: float
    """The share of all pairs that is false, by displaced copies of the moving cells; 1 without pairs."""
    expected_false: float
    """The same from the probabilities alone: the mean of what they lack of 1."""
    decoy_rate: float
    """Share of displaced cells that found a partner; NaN where none could."""
    inside: int
    """Moving cells that lie among the fixed ones."""
    scatter: float
    """Scatter of partners along each axis, learned; in the unit of the fixed side."""
    share: float
    """Share of the moving cells that have a partner, learned."""
    gate: float
    """Beyond this distance no pairs are formed."""


class Alignment:
    """What `align_points` returns: the map, the pairs, and how far to trust them."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.transform = PointTransform(found["map"])
        """From the moving to the fixed space."""
        self.matches = _matches(found)
        """All that is known of the pairs."""
        self.placed: np.ndarray = found["placed"]
        """(moving cells, D): where they lie after alignment."""
        self.spacing: float = found["spacing"]
        """Median distance of a fixed cell to its nearest one: the unit of the options."""
        self.landmark_residuals: np.ndarray = found["landmark_residuals"]
        """Distances that the rough fit leaves at the landmarks; empty without any."""
        self.seeds: tuple[int, int] | None = found["seeds"]
        """Without landmarks: cells tried as seeds, and pairs that spread from the last of them."""
        self.faults: list[str] = found["faults"]
        """Why the result is not to be trusted; empty where nothing speaks against it."""

    def __repr__(self) -> str:
        return (
            f"Alignment({len(self.pairs)} of {len(self.placed)} cells matched, false match rate {self.false_match_rate:.3f}, "
            f"{self.transform!r})"
        )

    @property
    def pairs(self) -> np.ndarray:
        """(m, 2) int64: moving cell, fixed cell."""
        return self.matches.pairs

    @property
    def probability(self) -> np.ndarray:
        """(m,): that the two are the same cell."""
        return self.matches.probability

    @property
    def false_match_rate(self) -> float:
        """The share of the pairs that is false, by displaced copies of the moving cells."""
        return self.matches.false_match_rate

    @property
    def table(self) -> pd.DataFrame:
        """Pairs as a table: moving, fixed, probability, distance, false_match_rate."""
        import pandas as pd

        found = self.matches
        return pd.DataFrame(
            {
                "moving": found.pairs[:, 0],
                "fixed": found.pairs[:, 1],
                "probability": found.probability,
                "distance": found.distance,
                "false_match_rate": found.pair_false_rate,
            }
        )

    def report(self) -> dict[str, Any]:
        """Numbers that say how far to trust it: pairs, rates, residuals (in the unit of the fixed side), faults."""
        found = self.matches
        return {
            "moving": len(self.placed),
            "inside": found.inside,
            "matched": len(found.pairs),
            "false_match_rate": found.false_match_rate,
            "expected_false": found.expected_false,
            "median_distance": float(np.median(found.distance)) if len(found.distance) else float("nan"),
            "scatter": found.scatter,
            "spacing": self.spacing,
            "landmark_rms": float(np.sqrt(np.mean(self.landmark_residuals**2))) if len(self.landmark_residuals) else float("nan"),
            "control_points": len(self.transform.controls),
            "trustworthy": not self.faults,
            "faults": list(self.faults),
        }


def _matches(found: dict[str, Any]) -> Matches:
    return Matches(
        found["pairs"], found["probability"], found["distance"], found["rate"], found["false_match_rate"],
        found["expected_false"], found["decoy_rate"], found["inside"], found["scatter"], found["share"], found["gate"],
    )  # fmt: skip


def _two(pair: Any, name: str, kind: str) -> tuple[Any, ...]:
    if not isinstance(pair, (tuple, list)) or len(pair) not in ((2, 3) if name == "landmarks" else (2,)):
        raise ParameterError(f"parameter `{name}`: expected {kind}, found {type(pair).__name__}")
    return tuple(pair)


def landmarks_of(landmarks: Any, moving: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """Places on both sides and weights: of arrays of places, or of one array (n, 2) of numbers of cells."""
    if isinstance(landmarks, np.ndarray) and landmarks.ndim == 2 and landmarks.shape[1] == 2 and landmarks.dtype.kind in "iu":
        for side, points, column in (("moving", moving, 0), ("fixed", fixed, 1)):
            bad = np.flatnonzero((landmarks[:, column] < 0) | (landmarks[:, column] >= len(points)))
            if bad.size:
                raise DataError(
                    f"`landmarks`: expected numbers of {side} cells below {len(points)}, found {landmarks[bad[0], column]} in row {bad[0]}"
                )
        return np.ascontiguousarray(moving[landmarks[:, 0]]), np.ascontiguousarray(fixed[landmarks[:, 1]]), None
    kind = "(moving places, fixed places[, weights]) or an (n, 2) array of numbers of cells"
    parts = _two(landmarks, "landmarks", kind)
    first, second = _places(parts[0], "landmarks[0]"), _places(parts[1], "landmarks[1]")
    weights = None if len(parts) == 2 or parts[2] is None else np.ascontiguousarray(parts[2], dtype=np.float64).ravel()
    return first, second, weights


def _features(features: Any, moving: np.ndarray, fixed: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    if features is None:
        return None
    given = _two(features, "features", "(features of moving cells, features of fixed cells)")
    sides = []
    for name, array, points in zip(("moving", "fixed"), given, (moving, fixed), strict=True):
        array = np.ascontiguousarray(array.toarray() if hasattr(array, "toarray") else array, dtype=np.float64)
        if array.ndim != 2 or len(array) != len(points):
            raise ShapeError(f"`features`: expected ({len(points)}, values) for the {name} cells, found shape {array.shape}")
        sides.append(array)
    return sides[0], sides[1]


def align_points(
    moving: Any,
    fixed: Any,
    *,
    landmarks: Any = None,
    initial: Any = None,
    features: Any = None,
    scale: bool = False,
    max_scale: float = 4.0,
    mirror: bool = False,
    deform: str = "nonrigid",
    beta: float | None = None,
    stiffness: float = 4.0,
    max_controls: int = 1500,
    start_width: float | None = None,
    end_width: float = 0.125,
    outliers: float = 0.3,
    gate: float = 0.7,
    min_probability: float = 0.5,
    decoys: int = 8,
    tries: int = 200,
    min_matches: int = 10,
    max_false_rate: float = 0.25,
    feature_width: float | None = None,
    trust: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Alignment:
    """Aligns two clouds of cells, in two or three dimensions, and pairs their cells one to one.

    A rough fit first: from landmarks, from a given map, or, without either, by finding neighbourhoods of moving cells again
    among the fixed ones by their geometry. Then coherent point drift whose width is lowered from a neighbourhood to a cell, with at
    most one partner for every cell. Then the likeliest pairs within a gate, the probability of each, and how many are false:
    copies of the moving cells, displaced beyond the gate with the cells about them to where these fit best, find partners by chance, or
    because the tissue is as regular as a lattice, where a whole neighbourhood may be one cell off.

    Options that are lengths are in spacings, the median distance of a fixed cell to its nearest one.

    Parameters
    ----------
    moving, fixed
        (n, 2 or 3) arrays of places, finite, in one unit (with `scale` up to a factor) and one order of axes.
    landmarks
        Places that are known to be the same: ``(moving places, fixed places)`` or with weights as a third, or an integer array
        (n, 2) of numbers of cells (moving, fixed). Two at least (in three dimensions three, not on a line).
    initial
        Instead: a (D, D + 1) or (D + 1, D + 1) matrix from the moving to the fixed space; the unit matrix for clouds that lie
        nearly right.
    features
        ``(values of moving cells, values of fixed cells)``, each (cells, values), scaled alike: expression, intensities, sizes, or
        types as columns of 0 and 1. Cells that are alike become likelier pairs.
    scale
        Whether the sides may differ in scale, as by swelling or clearing.
    max_scale
        With `scale`: the largest factor either way.
    mirror
        Look for the map that mirrors. Otherwise mirrored clouds are refused.
    deform
        How the rough fit is refined: ``"none"`` (turn, shift, and scale if allowed), ``"affine"``, ``"nonrigid"``.
    beta
        Width of the kernel of the smooth map; larger is smoother. ``None``: 8, or what `max_controls` allows.
    stiffness
        How much the smooth map is held back; larger moves less.
    max_controls
        Control points of the smooth map at most. A `beta` that takes more is refused.
    start_width, end_width
        Width of the search at the beginning (``None``: 1.25, without landmarks 0.6) and at the end.
    outliers
        Share of moving cells taken to have no partner while the map is fitted.
    gate
        Farthest partner after alignment.
    min_probability
        Pairs less probable than this are left out.
    decoys
        Displaced copies by which false matches are counted.
    tries
        Without landmarks: moving cells tried as seeds.
    min_matches, max_false_rate
        Fewer pairs, or a higher false match rate, and the result is not to be trusted.
    feature_width
        At this distance of features likeness has fallen to exp(-1/2). ``None``: half the median distance between the sides.
    trust
        Return a result that is not to be trusted, with its `faults`, instead of raising.
    seed
        Seed of the order of seeds and of the displacements; what is paired does not depend on it where landmarks are given.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable
        ``(stage, done, total)``.

    Returns
    -------
    Alignment
        ``transform``, ``pairs``, ``probability``, ``false_match_rate``, ``placed``, ``table``, ``report()``.

    Raises
    ------
    NotTrustworthyError
        No neighbourhood found again, landmarks that fit mirrored or at another scale, no overlap, too few or too many false
        matches; with the reason.
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, sides of other dimensions, landmarks that leave the map open, features that do not fit.

    Notes
    -----
    Time: some 35 rounds of (moving cells x control points about them, squared) and control points cubed; without landmarks
    beside that fixed cells x seeds tried. Memory: 16 bytes per control point squared and some hundred bytes per cell.

    The displaced copies stand for moving cells without a true partner. In tissue as regular as a lattice they find partners nearly
    always; then only cells that all have one can be told to be right, and few landmarks may not be enough.

    References
    ----------
    Myronenko and Song, IEEE TPAMI 32 (2010): coherent point drift. Umeyama, IEEE TPAMI 13 (1991), and Horn, JOSA A 4 (1987): the
    closed form. Chui and Rangarajan, CVIU 89 (2003): lowering the width, one partner for each. Williams and Lau, IEEE
    TAES 50 (2014): probabilities of pairs. Elias and Gygi, Nature Methods 4 (2007), and Storey, JRSS B 64 (2002): counting
    false finds by decoys.
    """
    first, second = _places(moving, "moving"), _places(fixed, "fixed")
    if landmarks is not None and initial is not None:
        raise ParameterError("parameter `initial`: expected none beside `landmarks`, found a matrix")
    marks = None if landmarks is None else landmarks_of(landmarks, first, second)
    matrix = None
    if initial is not None:
        matrix = _matrix(initial, "initial")
        if len(matrix) != second.shape[1]:
            raise ShapeError(f"`initial`: expected a map of {second.shape[1]} dimensions, found {len(matrix)}")
    options = to_json(
        scale=bool(scale), max_scale=max_scale, mirror=bool(mirror), deform=deform, beta=beta, stiffness=stiffness,
        max_controls=_whole("max_controls", max_controls), start_width=start_width, end_width=end_width, outliers=outliers,
        gate=gate, min_probability=min_probability, decoys=_whole("decoys", decoys), tries=_whole("tries", tries),
        min_matches=_whole("min_matches", min_matches), max_false_rate=max_false_rate, feature_width=feature_width,
        seed=_seed(seed),
    )  # fmt: skip
    with reporting(progress) as callback:
        found = _core.align_points(
            first, second, options, marks, matrix, _features(features, first, second), threads, callback
        )
    alignment = Alignment(found)
    if alignment.faults and not trust:
        raise NotTrustworthyError("alignment is not to be trusted: " + "; ".join(alignment.faults))
    return alignment


def match_points(
    moving: Any,
    fixed: Any,
    *,
    features: Any = None,
    gate: float = 0.7,
    min_probability: float = 0.5,
    decoys: int = 8,
    feature_width: float | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Matches:
    """Pairs the cells of two clouds that lie in one space already: the last step of `align_points`.

    Scatter of partners and the share of cells that have one are learned; probabilities take into account that no cell has two
    partners; the pairs are the likeliest set (an optimal assignment).

    Parameters
    ----------
    moving, fixed
        (n, 2 or 3) arrays of places in one space, finite.
    features, gate, min_probability, decoys, feature_width, seed, threads, progress
        See `align_points`.

    Returns
    -------
    Matches
        Pairs, probabilities, false match rates. Nothing is refused for being doubtful.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, sides of other dimensions, features that do not fit.

    Notes
    -----
    Time about cells x (log cells + candidates within the gate, at most 12).
    """
    first, second = _places(moving, "moving"), _places(fixed, "fixed")
    options = to_json(
        gate=gate, min_probability=min_probability, decoys=_whole("decoys", decoys), feature_width=feature_width, seed=_seed(seed)
    )
    with reporting(progress) as callback:
        return _matches(_core.match_points(first, second, options, _features(features, first, second), threads, callback))


def landmark_transform(
    moving: Any, fixed: Any, *, kind: str = "similarity", mirror: bool = False, weights: Any = None
) -> tuple[PointTransform, np.ndarray]:
    """The best linear map between places that are known to be the same, in closed form.

    Parameters
    ----------
    moving, fixed
        (n, 2 or 3) arrays, row by row the same place.
    kind
        ``"rigid"`` (turn and shift), ``"similarity"`` (and one scale) or ``"affine"``.
    mirror
        Take the best map that mirrors instead. An affine map mirrors where that fits better.
    weights
        (n,) weights of at least 0. ``None``: all alike.

    Returns
    -------
    tuple
        The `PointTransform`, and the (n,) distances that it leaves.

    Raises
    ------
    TooFewError
        Too few places, or places on a line (for ``"affine"`` in three dimensions: in a plane).
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, lengths that differ, weights that do not fit.

    References
    ----------
    Umeyama, IEEE TPAMI 13 (1991); Horn, JOSA A 4 (1987).
    """
    options = to_json(kind=kind, mirror=bool(mirror))
    given = None if weights is None else np.ascontiguousarray(weights, dtype=np.float64).ravel()
    state, left = _core.landmark_transform(_places(moving, "moving"), _places(fixed, "fixed"), options, given)
    return PointTransform(state), left


class Drift(NamedTuple):
    """What `coherent_point_drift` returns."""

    transform: PointTransform
    """From the moving to the fixed space."""
    placed: np.ndarray
    """(moving points, D): where they lie after it."""
    sigma2: float
    """Square of the width of the search at the end."""
    iterations: int
    """Iterations done."""
    converged: bool
    """Whether the change fell to the tolerance."""


def coherent_point_drift(
    moving: Any,
    fixed: Any,
    *,
    kind: str = "similarity",
    outliers: float = 0.0,
    beta: float = 2.0,
    stiffness: float = 2.0,
    low_rank: bool = False,
    truncate: float | None = None,
    tolerance: float = 0.001,
    max_iterations: int = 100,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Drift:
    """Coherent point drift as published: the width of the search is estimated in each iteration.

    For cells, `align_points` is the better choice: it lowers the width on a schedule, pairs one to one and tells how many pairs
    are false. This one is for comparison with other programs; its lengths are in the unit of the points.

    Parameters
    ----------
    moving, fixed
        (n, 2 or 3) arrays, finite.
    kind
        ``"rigid"``, ``"similarity"``, ``"affine"`` or ``"nonrigid"``.
    outliers
        Share of fixed points that no moving point explains, at least 0 and below 1.
    beta
        Width of the kernel of the smooth motion, in the unit of the points. Larger is smoother.
    stiffness
        Weight of the smoothness, per squared unit of the points (lambda of the paper, alpha of pycpd).
    low_rank
        Carry the motion by control points on a grid, with an affine part beside, instead of one at each moving point.
    truncate
        Leave out pairs farther apart than this many widths, found by a tree. ``None``: all pairs count.
    tolerance
        Stop when the objective (of ``"nonrigid"``: the squared width) changes by no more than this.
    max_iterations
        Iterations at most.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    Drift
        ``transform``, ``placed``, ``sigma2``, ``iterations``, ``converged``.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, sides of other dimensions, moving points that leave the map open.
    ZensaiboError
        More than 6000 moving points for ``"nonrigid"`` without `low_rank`.

    Notes
    -----
    Per iteration moving x fixed points unless truncated; ``"nonrigid"`` the cube of the moving (control) points beside, and 16
    bytes for their square.

    References
    ----------
    Myronenko and Song, IEEE TPAMI 32 (2010).
    """
    options = to_json(
        kind=kind, outliers=outliers, beta=beta, stiffness=stiffness, low_rank=bool(low_rank), truncate=truncate,
        tolerance=tolerance, max_iterations=_whole("max_iterations", max_iterations),
    )  # fmt: skip
    with reporting(progress) as callback:
        state, placed, sigma2, iterations, converged = _core.coherent_point_drift(
            _places(moving, "moving"), _places(fixed, "fixed"), options, threads, callback
        )
    return Drift(PointTransform(state), placed, sigma2, iterations, converged)
