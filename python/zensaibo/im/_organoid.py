"""Organoids: bodies, lumens, how deep cells lie, profiles from the surface inwards, arms of an experiment."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from .._provenance import record
from .._units import micrometers_in
from ..errors import DataError, EmptyDataError, MissingKeyError, ParameterError, ShapeError
from ._shapes import _frame, distance_transform, label, region_properties
from ._spatial import places, store_places
from ._volume import Volume, _known, _spacing, open

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: What `radial_profile` may go along.
_ALONG = ("rho", "depth", "to_lumen")


@dataclass(frozen=True)
class Organoids:
    """What `organoid` returns."""

    #: One row per organoid; see `organoid`.
    organoids: AnnData
    #: One row per lumen: `organoid`, `lumen`, `volume`, `z`, `y`, `x`, `axis_1` to `axis_3`, `surface`, `sphericity`, `radius` (of
    #: the largest ball in it), `open`.
    lumens: pd.DataFrame
    #: The cells with their places in the organoids, or None.
    cells: AnnData | None
    #: (z, y, x) uint32: the label of the organoid in whose body each voxel lies, lumens included; 0 outside.
    body: np.ndarray
    #: (z, y, x) uint32: the number of the lumen of each voxel; 0 elsewhere.
    lumen: np.ndarray
    #: (z, y, x) float32: micrometres to the outer surface; 0 outside.
    depth: np.ndarray
    #: (z, y, x) float32: micrometres to the nearest lumen of the same organoid; 0 in lumens and outside, infinite without one.
    to_lumen: np.ndarray
    #: Micrometres per voxel (z, y, x).
    spacing: tuple[float, float, float]
    #: Place of the centre of the first voxel in the space of the cells, (z, y, x) in micrometres.
    origin: tuple[float, float, float]

    def __repr__(self) -> str:
        cells = "no cells" if self.cells is None else f"{self.cells.n_obs} cells"
        return f"Organoids({self.organoids.n_obs} organoids, {len(self.lumens)} lumens, {cells})"

    @property
    def rho(self) -> np.ndarray:
        """(z, y, x) float32: normalised depth, 0 at the outer surface and 1 at a lumen (depth over depth and distance to the
        nearest lumen together), or in organoids without lumen at the deepest place; NaN outside and in lumens."""
        deepest = np.zeros(int(self.body.max(initial=0)) + 1, dtype=np.float32)
        deepest[self.organoids.obs["label"].to_numpy(np.int64)] = self.organoids.obs["max_depth"].to_numpy(np.float32)
        out = _normalised(self.depth, self.to_lumen, deepest[self.body])
        out[(self.body == 0) | (self.lumen > 0)] = np.nan
        return out

    def summary(self, groupby: str | None = None, markers: Sequence[str] | None = None) -> pd.DataFrame:
        """The cells of each organoid in a row of numbers: what `compare_organoids` compares.

        Parameters
        ----------
        groupby
            Column of ``cells.obs`` with a label for each cell: `share_L` (of the cells of the organoid) and `density_L` (per mm3 of
            tissue) for each label L.
        markers
            Names of ``cells.var_names``; all by default where `groupby` is not given: `median_M` and `iqr_M` over the cells.

        Returns
        -------
        pandas.DataFrame, one row per organoid under its name; NaN in organoids without a cell
        """
        import pandas as pd

        cells, own = self._own()
        rows = own.astype(np.int64)
        names = self.organoids.obs_names
        columns: dict[str, Any] = {}
        inside = rows >= 0
        total = np.bincount(rows[inside], minlength=len(names)).astype(np.float64)
        if groupby is not None:
            codes, kinds = _kinds(cells, groupby)
            keep = inside & (codes >= 0)
            counts = np.zeros((len(names), len(kinds)))
            np.add.at(counts, (rows[keep], codes[keep]), 1)
            volume = self.organoids.obs["tissue_volume"].to_numpy() * 1e-9
            with np.errstate(divide="ignore", invalid="ignore"):
                for k, kind in enumerate(kinds):
                    columns[f"share_{kind}"] = counts[:, k] / total
                for k, kind in enumerate(kinds):
                    columns[f"density_{kind}"] = counts[:, k] / volume
        if markers is not None or groupby is None:
            wanted = list(cells.var_names) if markers is None else [markers] if isinstance(markers, str) else list(markers)
            values = _values(cells, wanted, None)
            for at, name in enumerate(wanted):
                quarters = np.full((3, len(names)), np.nan)
                for row in range(len(names)):
                    mine = values[rows == row, at]
                    if len(mine):
                        quarters[:, row] = np.quantile(mine, [0.25, 0.5, 0.75])
                columns[f"median_{name}"], columns[f"iqr_{name}"] = quarters[1], quarters[2] - quarters[0]
        return pd.DataFrame(columns, index=names)

    def _own(self) -> tuple[AnnData, np.ndarray]:
        """The cells, and for each the row of the organoid in whose tissue it lies; -1 for none."""
        if self.cells is None:
            raise MissingKeyError("organoids: expected cells, found none: pass them to zensaibo.im.organoid")
        import pandas as pd

        labels = pd.Index(self.organoids.obs["label"].to_numpy())
        rows = labels.get_indexer(self.cells.obs["organoid"].to_numpy())
        return self.cells, np.where(self.cells.obs["organoid_place"].to_numpy() == "tissue", rows, -1)


def _normalised(depth: np.ndarray, to_lumen: np.ndarray, deepest: np.ndarray) -> np.ndarray:
    with np.errstate(invalid="ignore", divide="ignore"):
        far = np.where(np.isfinite(to_lumen), depth + to_lumen, deepest)
        return np.where(far > 0, np.minimum(depth / far, 1), 0).astype(np.float32)


def _kinds(cells: AnnData, groupby: str) -> tuple[np.ndarray, list[str]]:
    """Code of the label of each cell (-1 for none), and the labels in their order."""
    import pandas as pd

    if groupby not in cells.obs:
        raise MissingKeyError(f"groupby: expected a column of obs ({', '.join(map(str, cells.obs)) or 'none'}), found {groupby!r}")
    kinds = pd.Categorical(cells.obs[groupby])
    return kinds.codes.astype(np.int64), [str(kind) for kind in kinds.categories]


def _values(cells: AnnData, names: Sequence[str], layer: str | None) -> np.ndarray:
    """(cells, names) float64 values of columns of X or of a layer."""
    at = cells.var_names.get_indexer(list(names))
    if (at < 0).any():
        raise MissingKeyError(
            f"markers: expected names of var_names ({', '.join(cells.var_names[:8])}, ...), found {names[int(np.argmax(at < 0))]!r}"
        )
    if layer is not None and layer not in cells.layers:
        raise MissingKeyError(f"layer: expected one of {', '.join(cells.layers) or '(none)'}, found {layer!r}")
    matrix = (cells.X if layer is None else cells.layers[layer])[:, at]
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix, dtype=np.float64)


def organoid_mask(
    nuclei: Any,
    *,
    radius: float,
    spacing: Sequence[float] | float | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """The tissue that nuclei are in: nuclei and the gaps between them, without what is wider.

    Parameters
    ----------
    nuclei
        Labels of nuclei, as `segment_nuclei` gives them, or a mask: (z, y, x), anything that `zensaibo.im.open` takes.
    radius
        Micrometres: gaps through which a ball of this radius does not pass become tissue (a closing). Somewhat less
        than the distance between neighbouring nuclei, and below the radius of the smallest lumen: too small, and lumens leak.
    spacing
        Micrometres per voxel; that of the volume by default. Must be known.
    memory
        Working memory for blocks in bytes or as text ("4GiB"); 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    numpy.ndarray of bool, (z, y, x)
        What `organoid` takes: its connected parts are organoids, its closed cavities lumens.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius that is not above 0; no spacing.
    zensaibo.errors.EmptyDataError
        No nucleus.

    Notes
    -----
    Two exact distance transforms; 10 bytes per voxel.
    """
    volume = open(nuclei)
    if len(volume.axes) != 3 or volume.axes != "zyx":
        raise ShapeError(f"nuclei: expected axes zyx, found {volume.axes}, shape {volume.shape}")
    um = _known_spacing(volume, spacing)
    if not (np.isfinite(radius) and radius > 0):
        raise ParameterError(f"parameter `radius`: expected micrometres above 0, found {radius!r}")
    solid = np.asarray(volume) > 0
    if not solid.any():
        raise EmptyDataError("nuclei: expected at least one, found none")
    run: dict[str, Any] = dict(spacing=um, memory=memory, threads=threads, progress=progress)
    # Distances are held a little beyond the radius, so that "further" is told from "just as far".
    reach = float(radius) + max(um)
    thick = distance_transform(~solid, max_distance=reach, **run) <= radius
    return (distance_transform(thick, max_distance=reach, **run) > radius) | solid


def _known_spacing(volume: Volume, spacing: Any) -> tuple[float, float, float]:
    if spacing is None and volume.spacing is None:
        raise ParameterError(f"spacing: expected micrometres per voxel, since {volume.name} does not say; found none")
    z, y, x = _spacing(volume, spacing)
    return z, y, x


def organoid(
    labels_or_mask: Any,
    cells: Any = None,
    *,
    intensity: Any = None,
    lumen_channel: int | str | None = None,
    spacing: Sequence[float] | float | None = None,
    split: bool | None = None,
    axis: Sequence[float] | None = None,
    snap: float = 0.0,
    min_volume: float = 0.0,
    min_lumen_volume: float = 500.0,
    min_lumen_radius: float = 0.0,
    max_opening: float = 0.0,
    lumen_smoothing: float = 3.0,
    lumen_level: float | None = None,
    name: str = "organoid",
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Organoids:
    """Measures organoids, finds their lumens, and says how deep each cell lies.

    Parameters
    ----------
    labels_or_mask
        (z, y, x) of at least two planes, anything that `zensaibo.im.open` takes: labels of organoids (0 is background), or a mask of
        which each connected part is one. `organoid_mask` makes one from nuclei.
    cells
        AnnData with ``obsm["spatial"]`` (x, y, z) in micrometres, as `segment_nuclei` gives it, which gains columns in place; or
        (n, 3) places (z, y, x) in micrometres, of which an AnnData is made. None: organoids only.
    intensity
        A volume of the same extent with any channels: their means over the tissue become ``organoids.X``.
    lumen_channel
        Number or name of a channel of `intensity`: lumens are what is dark in it. None: lumens are cavities without a label.
    spacing
        Micrometres per voxel; that of the volume by default. Must be known.
    split
        Whether connected parts are organoids of their own whatever their values. None: of a bool volume.
    axis
        (z, y, x): the direction against which the angles of cells are measured. None: the longest axis of each organoid.
    snap
        Cells outside that are at most so many micrometres from an organoid belong to it, at depth 0. (Of a nucleus at the surface the
        centre may lie a voxel beyond the mask.)
    min_volume
        Least volume of an organoid in cubic micrometres, cavities included; smaller ones are left out.
    min_lumen_volume, min_lumen_radius
        Least volume of a lumen in cubic micrometres, and least radius in micrometres of the largest ball in it; what is smaller or
        flatter counts as tissue.
    max_opening
        Width in micrometres of holes through which a cavity may open to the outside and still be a lumen. 0: only closed ones.
    lumen_smoothing, lumen_level
        With `lumen_channel`: standard deviation in micrometres of the Gaussian before, and the brightness below which a voxel is dark;
        None: halfway between the median of the empty box around the organoid and the upper quartile inside it.
    name
        Start of the names of the organoids: ``NAME_LABEL``. Give each volume its own where several are compared.
    memory
        Working memory for connected parts in bytes or as text ("4GiB"); 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    Organoids
        ``organoids`` (AnnData, one row each): ``obs``: `label`, `volume` (um3, lumens included), `tissue_volume`, `surface` (um2, the
        outer one), `sphericity` (1 for a ball), `axis_1` to `axis_3` (um, full lengths of the ellipsoid of the same moments,
        longest first), `eccentricity` (0 for a ball: root of 1 - (axis_3 / axis_1)^2), `elongation` (axis_1 / axis_2), `diameter`, `z`, `y`, `x` (um),
        `direction_z`, ... (of the longest axis, its first component that is not 0 above 0), `lumens`, `lumen_volume`, `lumen_fraction` (of the volume), `largest_lumen`,
        `max_depth`, `wall` (um, mean thickness of the tissue between surface and lumen; NaN without one), `lumen_level`, `touches_border`, and with cells
        `cells` (in the tissue) and `cells_per_mm3` (of tissue). ``X``: mean of each channel of `intensity`. ``obsm["spatial"]``: centroids (x, y, z).

        ``cells.obs``: `organoid` (label; 0 for none), `organoid_place` ("tissue", "lumen" or "outside"), `depth` (um to the outer
        surface), `to_lumen` (um; infinite without lumen), `rho` (0 at the surface, 1 at the lumen or, without one, at the deepest
        place), `axis_angle` (degrees between the axis and the way from the centroid to the cell, 0 to 180), `axial` (how far along the longest axis, -1 to 1 from
        tip to tip). NaN where a cell is in no organoid; in a lumen `rho` is 1.

        ``lumens``, ``body``, ``lumen``, ``depth``, ``to_lumen``, ``rho``: see `Organoids`.

    Raises
    ------
    zensaibo.errors.EmptyDataError
        No organoid.
    zensaibo.errors.ShapeError
        Volumes of other axes or extents, a single plane.
    zensaibo.errors.DataError
        Labels that are not whole numbers below 2^32; cells in another unit, or none of them in the volume.
    zensaibo.errors.ParameterError
        No spacing; options out of range.

    Warns
    -----
    UserWarning
        Organoids cut by the border of the volume; more than a tenth of the cells outside of all organoids.

    Notes
    -----
    Distances are exact between centres of voxels, less a quarter of a voxel, and cells take those of the voxel that holds them.
    What lies beyond the volume counts as outside: an organoid at the border is measured as cut. Linear in voxels; 28 bytes per
    voxel of the volume and some 40 per voxel of the largest box around an organoid. Nothing is random.

    Examples
    --------
    >>> labels, nuclei = zs.im.segment_nuclei("organoid.ome.zarr", diameter=8)
    >>> mask = zs.im.organoid_mask(labels, radius=7, spacing=(2, 1, 1))
    >>> found = zs.im.organoid(mask, nuclei, spacing=(2, 1, 1))
    >>> found.organoids.obs[["volume", "sphericity", "lumens"]]
    """
    import anndata as ad
    import pandas as pd

    volume = open(labels_or_mask)
    if volume.axes != "zyx" or volume.shape[0] < 2:
        raise ShapeError(f"labels_or_mask: expected axes zyx and at least two planes, found {volume.axes}, shape {volume.shape}")
    um = _known_spacing(volume, spacing)
    if not (np.isfinite(snap) and snap >= 0):
        raise ParameterError(f"parameter `snap`: expected micrometres of at least 0, found {snap!r}")
    direction = _direction(axis)
    picture = None if intensity is None else open(intensity)
    if picture is not None and (picture._core.shape[0] != 1 or tuple(picture._core.shape[2:]) != volume.shape):
        raise ShapeError(f"intensity: expected one time point of {volume.shape} voxels, found {picture.axes}, {picture.shape}")
    if lumen_channel is not None and picture is None:
        raise ParameterError(f"parameter `lumen_channel`: expected None without `intensity`, found {lumen_channel!r}")
    dark = None if lumen_channel is None or picture is None else open(picture, channel=lumen_channel)._core
    options = {
        "min_volume": min_volume,
        "min_lumen_volume": min_lumen_volume,
        "min_lumen_radius": min_lumen_radius,
        "max_opening": max_opening,
        "lumen_smoothing": lumen_smoothing,
        "lumen_level": lumen_level,
    }
    run: dict[str, Any] = dict(threads=threads, progress=progress)
    if split or (split is None and volume.dtype == np.bool_):
        numbered, _ = label(volume, memory=memory, **run)
        source = open(numbered)
    else:
        source = volume
    with reporting(progress) as callback:
        found = _core.im_organoids(source._core, dark, to_json(**options), um, threads, callback)
    bodies, lumens = (_frame(open(np.zeros((1, 1, 1), np.uint8)), [found[part]]) for part in ("bodies", "lumens"))
    origin = np.asarray(volume.origin, dtype=np.float64)
    for table in (bodies, lumens):
        table[["z", "y", "x"]] = table[["z", "y", "x"]].to_numpy() + origin
    more = found["bodies"]
    obs = bodies[["label", "volume"]].copy()
    obs["tissue_volume"] = more["tissue_volume"]
    obs[["surface", "sphericity", "axis_1", "axis_2", "axis_3"]] = bodies[["surface", "sphericity", "axis_1", "axis_2", "axis_3"]]
    with np.errstate(divide="ignore", invalid="ignore"):
        obs["eccentricity"] = np.sqrt(1 - (obs["axis_3"] / obs["axis_1"]) ** 2)
        obs["elongation"] = obs["axis_1"] / obs["axis_2"]
    same = ["diameter", "z", "y", "x", "direction_z", "direction_y", "direction_x"]
    obs[same] = bodies[same]
    for column in ("lumens", "lumen_volume", "largest_lumen", "max_depth", "wall"):
        obs[column] = more[column]
    obs.insert(obs.columns.get_loc("largest_lumen"), "lumen_fraction", obs["lumen_volume"] / obs["volume"])
    obs["lumen_level"], obs["touches_border"] = more["level"], bodies["touches_border"]
    obs["lumens"] = obs["lumens"].astype(np.int64)
    obs["label"] = obs["label"].astype(np.int64)
    obs.index = pd.Index([f"{name}_{own}" for own in obs["label"]])
    holes = lumens[["label", "volume", "z", "y", "x", "axis_1", "axis_2", "axis_3", "surface", "sphericity"]]
    holes = holes.rename(columns={"label": "lumen"})
    for at, column in enumerate(("organoid", "radius", "open")):
        holes.insert(0 if at == 0 else len(holes.columns), column, found["lumens"][column])
    holes["organoid"] = obs.index.to_numpy(dtype=object)[pd.Index(obs["label"]).get_indexer(holes["organoid"].to_numpy().astype(np.int64))]
    values, channels = np.zeros((len(obs), 0), np.float32), []
    if picture is not None:
        tissue = np.where(found["lumen"] > 0, np.uint32(0), found["body"])
        means = region_properties(tissue, picture, spacing=um, surface=False, memory=memory, **run).set_index("label")
        columns = [column for column in means if column.startswith("mean_")]
        channels = [column.removeprefix("mean_") for column in columns]
        values = means.reindex(obs["label"].to_numpy())[columns].to_numpy(np.float32)
    table = ad.AnnData(values, obs=obs, var=pd.DataFrame(index=pd.Index(channels, dtype=object)))
    store_places(table, obs[["z", "y", "x"]].to_numpy(np.float64), known=True)
    cut = obs.index[obs["touches_border"]]
    if len(cut):
        warnings.warn(
            f"organoid: {len(cut)} of {len(obs)} organoids touch the border of the volume ({', '.join(cut[:5])}); they are measured as cut",
            stacklevel=2,
        )
    result = Organoids(
        table, holes, _cells(cells), found["body"], found["lumen"], found["depth"], found["to_lumen"], um, tuple(origin.tolist())
    )
    said = dict(options, spacing=list(um), split=split, axis=None if direction is None else list(direction), snap=float(snap))
    if result.cells is not None:
        _place(result, direction, float(snap))
        record(result.cells, "organoid", **said)
    record(table, "organoid", lumen_channel=lumen_channel, **said)
    return result


def _direction(axis: Any) -> np.ndarray | None:
    if axis is None:
        return None
    given = np.asarray(axis, dtype=np.float64)
    if given.shape != (3,) or not np.isfinite(given).all() or not given.any():
        raise ParameterError(f"parameter `axis`: expected a direction (z, y, x), found {axis!r}")
    return given / np.linalg.norm(given)


def _cells(cells: Any) -> AnnData | None:
    """Cells as AnnData, in micrometres."""
    if cells is None:
        return None
    if hasattr(cells, "obsm"):
        if "spatial" not in cells.obsm or np.shape(cells.obsm["spatial"])[1:] != (3,):
            raise ShapeError(f'cells: expected obsm["spatial"] with (x, y, z) in micrometres, found {list(cells.obsm)}')
        unit = (cells.uns.get("spatial_space") or {}).get("unit", "micrometer")
        if micrometers_in(str(unit), 'cells: uns["spatial_space"]') != 1.0:
            raise DataError(f'cells: expected places in micrometres, found uns["spatial_space"] in {unit!r}')
        if cells.is_view:
            cells._init_as_actual(cells.copy())
        return cells
    import anndata as ad
    import pandas as pd

    points = np.asarray(cells, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"cells: expected places of shape (n, 3), found {points.shape}")
    made = ad.AnnData(obs=pd.DataFrame(index=pd.RangeIndex(1, len(points) + 1).astype(str)))
    store_places(made, points, known=True)
    return made


def _place(result: Organoids, direction: np.ndarray | None, snap: float) -> None:
    """Writes where each cell lies."""
    import pandas as pd

    cells, obs = result.cells, result.organoids.obs
    assert cells is not None
    points, um = places(cells) - np.asarray(result.origin), np.asarray(result.spacing)
    shape = np.array(result.body.shape)
    with np.errstate(invalid="ignore"):
        voxels = np.floor(points / um + 0.5)
        inside = np.isfinite(points).all(axis=1) & (voxels >= 0).all(axis=1) & (voxels < shape).all(axis=1)
    if len(points) and not inside.any():
        low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
        raise DataError(
            f"cells: expected places within the volume, 0 to {tuple(np.round((shape - 1) * um, 1).tolist())} um (z, y, x) from its first "
            f"voxel, found all outside, {tuple(np.round(low, 1).tolist())} to {tuple(np.round(high, 1).tolist())}: another unit, order or origin?"
        )
    at = tuple(np.where(inside, voxels[:, a], 0).astype(np.int64) for a in range(3))
    own = np.where(inside, result.body[at], 0).astype(np.int64)
    in_lumen = inside & (result.lumen[at] > 0)
    depth = np.where(own > 0, result.depth[at], np.nan).astype(np.float64)
    to_lumen = np.where(own > 0, result.to_lumen[at], np.nan).astype(np.float64)
    if snap > 0:
        _snap(result, points, inside, own, depth, to_lumen, snap)
    kinds = np.where(own == 0, 2, np.where(in_lumen, 1, 0))
    row = pd.Index(obs["label"].to_numpy()).get_indexer(own)
    some = row >= 0
    deepest = np.where(some, obs["max_depth"].to_numpy()[row], np.nan)
    rho = _normalised(depth, to_lumen, deepest).astype(np.float64)
    rho[in_lumen] = 1.0
    along = obs[["direction_z", "direction_y", "direction_x"]].to_numpy(np.float64)[row]
    centre = obs[["z", "y", "x"]].to_numpy(np.float64)[row] - np.asarray(result.origin)
    from_centre = points - centre
    reference = along if direction is None else np.broadcast_to(direction, along.shape)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosine = (from_centre * reference).sum(axis=1) / np.linalg.norm(from_centre, axis=1)
        angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))
        axial = 2 * (from_centre * along).sum(axis=1) / obs["axis_1"].to_numpy()[row]
    cells.obs["organoid"] = own
    cells.obs["organoid_place"] = pd.Categorical.from_codes(kinds, ["tissue", "lumen", "outside"])
    for column, values in (("depth", depth), ("to_lumen", to_lumen), ("rho", rho), ("axis_angle", angle), ("axial", axial)):
        cells.obs[column] = np.where(some, values, np.nan)
    counted = np.bincount(row[kinds == 0], minlength=len(obs)) if len(row) else np.zeros(len(obs), np.int64)
    obs["cells"] = counted.astype(np.int64)
    obs["cells_per_mm3"] = counted / (obs["tissue_volume"].to_numpy() * 1e-9)
    lost = int((~some).sum())
    if lost > 0.1 * len(points):
        warnings.warn(f"organoid: {lost} of {len(points)} cells lie in no organoid (organoid_place is 'outside')", stacklevel=3)


def _snap(
    result: Organoids, points: np.ndarray, inside: np.ndarray, own: np.ndarray, depth: np.ndarray, to_lumen: np.ndarray, snap: float
) -> None:
    """Gives cells just outside to the organoid whose nearest voxel is at most `snap` away."""
    um, shape = np.asarray(result.spacing), np.array(result.body.shape)
    finite = np.isfinite(points).all(axis=1)
    for cell in np.flatnonzero((own == 0) & finite):
        first = np.maximum(np.ceil((points[cell] - snap) / um), 0).astype(int)
        last = np.minimum(np.floor((points[cell] + snap) / um) + 1, shape).astype(int)
        if (first >= last).any():
            continue
        box = result.body[tuple(map(slice, first, last))]
        near = np.argwhere(box > 0)
        if not len(near):
            continue
        squares = (((near + first) * um - points[cell]) ** 2).sum(axis=1)
        best = int(squares.argmin())
        if squares[best] <= snap**2:
            at = tuple(near[best] + first)
            own[cell], depth[cell], to_lumen[cell] = result.body[at], 0.0, result.to_lumen[at]


def radial_profile(
    organoids: Organoids,
    *,
    groupby: str | None = None,
    markers: Sequence[str] | str | None = None,
    intensity: Any = None,
    layer: str | None = None,
    by: str = "rho",
    bins: int | Sequence[float] = 10,
) -> pd.DataFrame:
    """What lies how deep: cells of each type, markers of cells, or brightness of voxels in shells from the surface inwards.

    Shells hold different volumes, the outer ones most: numbers of cells are therefore given per volume of tissue in the shell.

    Parameters
    ----------
    organoids
        Of `organoid`, with cells unless `intensity` is given.
    groupby
        Column of ``cells.obs`` with types: density of each in each shell.
    markers
        Names of ``cells.var_names``: mean over the cells of each shell. With neither this, `groupby` nor `intensity`: all of them.
    intensity
        Instead of cells: a volume of the same extent, whose channels are averaged over the voxels of tissue in each shell.
    layer
        With `markers`: the layer to take instead of X.
    by
        "rho" (0 at the surface, 1 at the lumen or the deepest place), "depth" (um from the surface) or "to_lumen" (um from the
        nearest lumen).
    bins
        Edges of the shells in ascending order, or their number: as wide as one another, from 0 to 1 or to the deepest tissue of all
        organoids.

    Returns
    -------
    pandas.DataFrame, one row per organoid, label and shell
        ``organoid`` (its name), ``label`` (type, marker or channel), ``shell`` (from 0), ``low``, ``high``, ``middle``, ``volume_mm3`` (tissue in
        the shell), ``cells`` (of the type, or all), ``value`` (cells per mm3, or mean; NaN where there is nothing), and of types
        ``share`` (of the cells in the shell). ``attrs["by"]``, ``attrs["of"]``.

    Raises
    ------
    zensaibo.errors.ParameterError
        Two things at once to show; bins that do not ascend.
    zensaibo.errors.MissingKeyError
        No cells, or columns and names that are not there.
    zensaibo.errors.ShapeError
        A volume of another extent.

    Notes
    -----
    One pass over the voxels, plane by plane. Nothing is random.
    """
    import pandas as pd

    given = [key for key, value in (("groupby", groupby), ("markers", markers), ("intensity", intensity)) if value is not None]
    if len(given) > 1:
        raise ParameterError(f"radial_profile: expected one of groupby, markers and intensity, found {' and '.join(given)}")
    if by not in _ALONG:
        raise ParameterError(f"parameter `by`: expected one of {', '.join(_ALONG)}, found {by!r}")
    if layer is not None and (groupby is not None or intensity is not None):
        raise ParameterError(f"parameter `layer`: expected None without `markers`, found {layer!r}")
    along = organoids.rho if by == "rho" else getattr(organoids, by)
    tissue = (organoids.body > 0) & (organoids.lumen == 0)
    edges = _edges(bins, by, along[tissue])
    obs = organoids.organoids.obs
    rank = np.full(int(organoids.body.max(initial=0)) + 1, -1)
    rank[obs["label"].to_numpy()] = np.arange(len(obs))
    n, k = len(obs), len(edges) - 1

    def shells(values: np.ndarray) -> np.ndarray:
        # The last shell holds its upper edge.
        at = np.searchsorted(edges, values, side="right") - 1
        at = np.where(values == edges[-1], k - 1, at)
        return np.where(np.isfinite(values) & (at >= 0) & (at < k), at, -1)

    picture = None if intensity is None else open(intensity)
    channels: list[str] = []
    if picture is not None:
        if picture._core.shape[0] != 1 or tuple(picture._core.shape[2:]) != organoids.body.shape:
            raise ShapeError(f"intensity: expected one time point of {organoids.body.shape} voxels, found {picture.axes}, {picture.shape}")
        count = picture._core.shape[1]
        channels = picture.channels or [str(channel) for channel in range(count)]
    volume, light = np.zeros(n * k), np.zeros((len(channels), n * k))
    voxel = float(np.prod(organoids.spacing)) * 1e-9
    for z in range(organoids.body.shape[0]):
        own = np.where(tissue[z], rank[organoids.body[z]], -1)
        shell = shells(along[z])
        keep = (own >= 0) & (shell >= 0)
        slot = own[keep] * k + shell[keep]
        volume += np.bincount(slot, minlength=n * k)
        if picture is not None:
            plane = np.asarray(picture[..., z, :, :]).reshape(len(channels), *own.shape)
            for channel in range(len(channels)):
                light[channel] += np.bincount(slot, weights=plane[channel][keep].astype(np.float64), minlength=n * k)
    rows: dict[str, Any] = {}
    share = None
    if picture is not None:
        labels = channels
        counts = np.zeros((n, len(labels), k), dtype=np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            values = np.stack([(light[c] / volume).reshape(n, k) for c in range(len(labels))], axis=1)
    else:
        cells, own = organoids._own()
        shell = shells(cells.obs[by].to_numpy(np.float64))
        keep = (own >= 0) & (shell >= 0)
        if groupby is not None:
            codes, labels = _kinds(cells, groupby)
            keep &= codes >= 0
            counts = np.zeros((n, len(labels), k), dtype=np.int64)
            np.add.at(counts, (own[keep], codes[keep], shell[keep]), 1)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = counts / (volume.reshape(n, 1, k) * voxel)
                share = counts / counts.sum(axis=1, keepdims=True)
        else:
            labels = list(cells.var_names) if markers is None else [markers] if isinstance(markers, str) else list(markers)
            if not labels:
                raise MissingKeyError("markers: expected names of var_names, found none: pass `groupby` or `intensity`")
            found = _values(cells, labels, layer)[keep]
            slot = own[keep] * k + shell[keep]
            number = np.bincount(slot, minlength=n * k).reshape(n, 1, k)
            sums = [np.bincount(slot, weights=found[:, m], minlength=n * k).reshape(n, k) for m in range(len(labels))]
            counts = np.repeat(number, len(labels), axis=1)
            with np.errstate(invalid="ignore", divide="ignore"):
                values = np.stack(sums, axis=1) / number
    m = len(labels)
    rows["organoid"] = np.repeat(obs.index.to_numpy(dtype=object), m * k)
    rows["label"] = pd.Categorical(np.tile(np.repeat(np.array(labels, dtype=object), k), n), categories=list(dict.fromkeys(labels)))
    rows["shell"] = np.tile(np.arange(k), n * m)
    for column, edge in (("low", edges[:-1]), ("high", edges[1:]), ("middle", (edges[:-1] + edges[1:]) / 2)):
        rows[column] = np.tile(edge, n * m)
    rows["volume_mm3"] = np.repeat((volume * voxel).reshape(n, 1, k), m, axis=1).ravel()
    rows["cells"], rows["value"] = counts.ravel(), values.ravel()
    if share is not None:
        rows["share"] = share.ravel()
    out = pd.DataFrame(rows)
    out.attrs.update(by=by, of="density" if groupby is not None else "brightness" if picture is not None else "mean")
    return out


def _edges(bins: Any, by: str, values: np.ndarray) -> np.ndarray:
    if isinstance(bins, (int, np.integer)) and not isinstance(bins, bool):
        if bins < 1:
            raise ParameterError(f"parameter `bins`: expected at least 1, found {bins}")
        finite = values[np.isfinite(values)]
        most = 1.0 if by == "rho" else float(finite.max(initial=0.0))
        if most <= 0:
            raise DataError(f"radial_profile: expected tissue with a finite {by!r}, found none: no organoid has a lumen")
        return np.linspace(0.0, most, int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not np.isfinite(edges).all() or (np.diff(edges) <= 0).any():
        raise ParameterError(f"parameter `bins`: expected a number or edges that ascend, found {bins!r}")
    return edges


def compare_organoids(
    table: Any,
    groups: str | Mapping[str, Any] | Sequence[Any],
    *,
    columns: Sequence[str] | None = None,
    reference: Any = None,
    n_perms: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compares two arms of an experiment, organoid by organoid: each counts once, however many cells it has.

    Parameters
    ----------
    table
        One row per organoid: the ``organoids`` of `organoid` (of several volumes: ``anndata.concat``), a DataFrame such as
        `Organoids.summary`; or a profile of `radial_profile` (several: ``pandas.concat``), of which each label in each shell is compared.
    groups
        The arm of each organoid: a column of the table, a mapping by name of organoid, or one for each in their order.
    columns
        Which columns to compare; by default all of numbers but places, labels and counts of cells.
    reference
        The arm that is compared to; the first (of the categories, or sorted) by default.
    n_perms
        Ways to deal the arms out at most; where there are fewer, all are looked at.
    seed
        Seed of random ways.

    Returns
    -------
    pandas.DataFrame, one row per column in their order
        ``feature`` (of profiles also ``label`` and ``shell``), ``mean_A`` and ``mean_B`` for arms A (the reference) and B,
        ``difference``, ``t`` (Welch), ``pval`` (permutation), ``pval_adj`` (Benjamini and Hochberg), ``n_A``, ``n_B``, ``least`` (the
        smallest p value that so many organoids allow). NaN in a column is a missing value.

    Raises
    ------
    zensaibo.errors.DataError
        Other than two arms, organoids twice in one profile.
    zensaibo.errors.ParameterError
        A table of another kind, such as a list of them.
    zensaibo.errors.TooFewError
        Fewer than two organoids in an arm.
    zensaibo.errors.MissingKeyError
        Columns that are not there, organoids without an arm.

    Notes
    -----
    The test is `zensaibo.arrays.compare_samples`. Organoids of one batch, dish or donor are not independent: take means of
    each first where that matters.
    """
    import pandas as pd

    from .. import arrays

    frame: Any = table.obs if hasattr(table, "obsm") else table
    if not hasattr(frame, "pivot"):
        kind = type(table).__name__
        hint = "bring several together with anndata.concat or pandas.concat"
        raise ParameterError(f"parameter `table`: expected an AnnData or a DataFrame of organoids, found {kind}; {hint}")
    frame = frame.copy()
    profile = {"organoid", "label", "shell", "value"} <= set(frame)
    members: Any = None
    if profile:
        if frame.duplicated(["organoid", "label", "shell"]).any():
            raise DataError("table: expected each organoid once in a profile, found some twice: give each volume a name of its own")
        if isinstance(groups, str):
            if groups not in frame:
                raise MissingKeyError(f"groups: expected a column of the table ({', '.join(frame)}), found {groups!r}")
            members = frame.groupby("organoid", sort=False, observed=True)[groups].first()
        frame = frame.pivot(index="organoid", columns=["label", "shell"], values="value").loc[list(dict.fromkeys(frame["organoid"]))]
        members = members if members is None else members.reindex(frame.index).to_numpy(dtype=object)
    if isinstance(groups, str) and members is None:
        if groups not in frame:
            raise MissingKeyError(f"groups: expected a column of the table ({', '.join(map(str, frame))}), found {groups!r}")
        members = frame.pop(groups)
        order = list(members.cat.categories) if hasattr(members, "cat") else None
        members = members.to_numpy(dtype=object)
        if reference is None and order is not None:
            reference = next((kind for kind in order if kind in set(members)), None)
    elif isinstance(groups, Mapping):
        lacking = [name for name in frame.index if name not in groups]
        if lacking:
            raise MissingKeyError(f"groups: expected an arm for every organoid, found none for {lacking[0]!r}")
        members = np.array([groups[name] for name in frame.index], dtype=object)
    elif not isinstance(groups, str):
        members = np.array(list(groups), dtype=object)
        if members.shape != (len(frame),):
            raise ShapeError(f"groups: expected one for each of {len(frame)} organoids, found shape {members.shape}")
    missing = pd.isna(members)
    if missing.any():
        raise MissingKeyError(f"groups: expected an arm for every organoid, found none for {frame.index[int(missing.argmax())]!r}")
    kinds = sorted(set(members), key=lambda kind: (str(type(kind)), kind))
    if len(kinds) != 2:
        raise DataError(f"groups: expected two arms, found {len(kinds)}: {', '.join(map(str, kinds[:6]))}")
    if reference is not None and reference not in kinds:
        raise ParameterError(f"parameter `reference`: expected one of {', '.join(map(str, kinds))}, found {reference!r}")
    first = kinds[0] if reference is None else reference
    second = next(kind for kind in kinds if kind != first)
    if columns is None:
        left_out = {"label", "z", "y", "x", "direction_z", "direction_y", "direction_x", "touches_border", "cells", "lumen_level"}
        numbers = frame if profile else frame.select_dtypes("number")
        names = [column for column in numbers if profile or column not in left_out]
    else:
        names = list(columns)
        lacking = [column for column in names if column not in frame]
        if lacking:
            raise MissingKeyError(f"columns: expected some of {', '.join(map(str, frame))}, found {lacking[0]!r}")
    arms = pd.Categorical(members, categories=[first, second])
    found = arrays.compare_samples(frame[names].to_numpy(np.float64), arms, n_perms=n_perms, seed=seed)
    rows: dict[str, Any] = {}
    if profile:
        rows = {
            "feature": [f"{name}|{shell}" for name, shell in names],
            "label": [name for name, _ in names],
            "shell": [shell for _, shell in names],
        }
    else:
        rows = {"feature": names}
    return pd.DataFrame({
        **rows, f"mean_{first}": found.mean_a, f"mean_{second}": found.mean_b, "difference": found.difference, "t": found.t,
        "pval": found.pval, "pval_adj": found.pval_adj, f"n_{first}": found.n_a, f"n_{second}": found.n_b, "least": found.least,
    })  # fmt: skip
