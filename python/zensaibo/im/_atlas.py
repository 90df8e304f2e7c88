"""Atlases: structures, where they lie, and cells per structure."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import DataError, FileError, ParameterError, ShapeError
from ._register import Registration
from ._spatial import places
from ._volume import open

if TYPE_CHECKING:
    import pandas as pd

#: What `locate` writes where a cell lies in no structure, by code.
_NOWHERE = {-1: "background", -2: "outside", -3: "lost"}


class Atlas:
    """A reference atlas: which structure lies in each voxel, how structures nest, and an image to register to.

    Places in it are (z, y, x) in micrometres along its array axes, the centre of the first voxel at 0.
    """

    def __init__(
        self,
        core: _core.Atlas,
        name: str,
        annotation: np.ndarray,
        template: np.ndarray | None,
        spacing: Any,
        orientation: str,
    ) -> None:
        import pandas as pd

        self._core = core
        #: Name of the atlas.
        self.name = name
        #: Ids of structures per voxel, as in the files; 0 outside.
        self.annotation = annotation
        #: The image on the same grid, or None.
        self.template = template
        #: Micrometres per voxel.
        self.spacing = tuple(float(um) for um in spacing)
        #: Sides where index 0 of each axis lies.
        self.orientation = orientation
        #: What is worth knowing of the parts, such as structures without a voxel.
        self.remarks = core.remarks
        rows = core.structures()
        #: One row per structure, each before its parts: id, acronym, name, parent_id (0 for the whole), depth, path, rgb.
        self.structures = pd.DataFrame(
            {
                "id": np.array([row[0] for row in rows], dtype=np.uint64),
                "acronym": [row[1] for row in rows],
                "name": [row[2] for row in rows],
                "parent_id": np.array([0 if row[3] is None else rows[row[3]][0] for row in rows], dtype=np.uint64),
                "depth": [row[4] for row in rows],
                "rgb": [tuple(row[6]) for row in rows],
            }
        )
        paths: list[str] = []
        for row in rows:
            paths.append(("/" if row[3] is None else paths[row[3]]) + f"{row[0]}/")
        self.structures["path"] = paths
        self._ends = [row[5] for row in rows]

    def __repr__(self) -> str:
        shape, um = " x ".join(map(str, self.annotation.shape)), " x ".join(f"{um:g}" for um in self.spacing)
        return f"Atlas({self.name}, {shape} voxels of {um} um, {self.orientation}, {len(self.structures)} structures)"

    @property
    def hemispheres(self) -> np.ndarray:
        """1 left, 2 right, on the grid of the annotation (uint8)."""
        grid = np.indices(self.annotation.shape).reshape(3, -1).T * np.array(self.spacing)
        codes, left = self._core.locate(np.ascontiguousarray(grid, dtype=np.float64))
        halves = np.where(left, 1, 2).astype(np.uint8)
        halves[codes < 0] = 0
        return halves.reshape(self.annotation.shape)

    def mask(self, structure: str | int) -> np.ndarray:
        """Where a structure with all its parts lies: bool on the grid of the annotation.

        `structure` is an acronym, a name or an id; one that is not there raises KeyError.
        """
        table = self.structures
        found = np.flatnonzero((table["acronym"] == structure) | (table["name"] == structure) | (table["id"] == structure))
        if not len(found):
            raise KeyError(f"structure {structure!r} is not in atlas {self.name}")
        ids = table["id"].to_numpy()[found[0] : self._ends[found[0]]]
        return np.isin(self.annotation, ids)


def load_atlas(
    path: str | PathLike[str] | None = None,
    *,
    annotation: Any = None,
    template: Any = None,
    structures: Any = None,
    hemispheres: Any = None,
    spacing: Any = None,
    orientation: str | None = None,
    name: str | None = None,
) -> Atlas:
    """Opens an atlas: a BrainGlobe folder, or its parts.

    Parameters
    ----------
    path
        A folder of BrainGlobe's version 2 layout: metadata.json, structures.json, annotation.tiff, and reference.tiff and
        hemispheres.tiff where there are any.
    annotation
        Ids of structures (whole numbers, up to 64 bits): anything that `zensaibo.im.open` takes.
    template
        An image on the same grid.
    structures
        A CSV file or DataFrame with columns id, acronym, name and parent_structure_id, or structure_id_path in its place
        (Allen's), and color_hex_triplet or rgb where there are colours; or a BrainGlobe structures.json.
    hemispheres
        1 left, 2 right on the same grid; without it the plane through the middle of the left-right axis parts them.
    spacing, orientation
        Those of the annotation by default.
    name
        For messages; that of the folder or file by default.

    Returns
    -------
    Atlas

    Raises
    ------
    zensaibo.errors.DataError
        An id in the annotation that the table does not list, structures that are no tree, ids that are not whole numbers,
        an orientation or spacing that nobody gave.
    zensaibo.errors.ShapeError
        Parts of different shape.
    zensaibo.errors.FileError
        Files that are not there.
    """
    if (path is None) == (annotation is None):
        raise ParameterError("load_atlas: expected either `path` or `annotation` with `structures`, found both or neither")
    if path is not None:
        folder = Path(path)
        given = {"template": template, "structures": structures, "hemispheres": hemispheres}
        extra = [key for key, value in given.items() if value is not None]
        if extra:
            raise ParameterError(f"load_atlas: expected no {extra[0]} beside a folder, which has its own; found one")
        metadata = _json(folder / "metadata.json")
        lacking = [key for key in ("resolution", "orientation") if key not in metadata]
        if lacking:
            raise DataError(f"{folder / 'metadata.json'}: expected {lacking[0]}, found {sorted(metadata)}")
        annotation, structures = folder / "annotation.tiff", folder / "structures.json"
        reference, halves = folder / "reference.tiff", folder / "hemispheres.tiff"
        template = reference if reference.exists() else None
        hemispheres = halves if halves.exists() and not metadata.get("symmetric", False) else None
        spacing = spacing if spacing is not None else metadata["resolution"]
        orientation = orientation if orientation is not None else metadata["orientation"]
        name = name if name is not None else str(metadata.get("name", folder.name))
    volume = open(annotation)
    spacing = spacing if spacing is not None else volume.spacing
    orientation = orientation if orientation is not None else volume.orientation
    if spacing is None:
        raise ParameterError(f"spacing: expected micrometres per voxel, since {volume.name} does not say; found none")
    if orientation is None:
        raise ParameterError(f'orientation: expected three letters such as "asr", since {volume.name} does not say; found none')
    if volume.axes != "zyx" or np.dtype(volume.dtype).kind not in "iu":
        raise DataError(f"annotation {volume.name}: expected whole numbers on axes zyx, found {volume.dtype} on {volume.axes}")
    if structures is None:
        raise ParameterError("structures: expected a table, found none")
    ids = np.asarray(volume)
    if ids.dtype.kind == "i" and ids.size and ids.min() < 0:
        raise DataError(f"annotation {volume.name}: expected ids of at least 0, found {ids.min()}")
    um = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3)
    image = None if template is None else np.asarray(open(template))
    if image is not None and image.shape != ids.shape:
        raise ShapeError(f"template: expected the shape of the annotation, {ids.shape}, found {image.shape}")
    halves_array = None if hemispheres is None else np.ascontiguousarray(np.asarray(open(hemispheres)), dtype=np.uint8)
    name = name if name is not None else volume.name
    core = _core.Atlas(
        name,
        np.ascontiguousarray(ids, dtype=np.uint64),
        tuple(float(value) for value in um),
        orientation,
        _records(structures),
        halves_array,
    )
    return Atlas(core, name, ids, image, um, orientation)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: expected a file of an atlas ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: expected JSON ({error})") from None


def _records(structures: Any) -> list[tuple[int, str, str, int | None, tuple[int, ...]]]:
    """Rows (id, acronym, name, id of the parent, colour)."""
    where = "structures"
    if isinstance(structures, str | PathLike):
        path = Path(structures)
        where = str(path)
        if path.suffix.lower() == ".json":
            rows = _json(path)
        else:
            try:
                with path.open(newline="", encoding="utf-8-sig") as file:
                    rows = list(csv.DictReader(file))
            except OSError as error:
                raise FileError(f"{path}: expected a table of structures ({error.strerror})") from None
    else:
        rows = structures.to_dict("records")
    return [_record(row, f"{where}, row {number}") for number, row in enumerate(rows, start=1)]


def _record(row: Mapping[str, Any], where: str) -> tuple[int, str, str, int | None, tuple[int, ...]]:
    def whole(value: Any, column: str) -> int:
        try:
            number = int(value)
            if number != float(value):
                raise ValueError
        except (TypeError, ValueError):
            raise DataError(f"{where}: expected a whole number in {column}, found {value!r}") from None
        return number

    def empty(value: Any) -> bool:
        return value is None or value == "" or value != value

    lacking = [column for column in ("id", "acronym", "name") if column not in row]
    if lacking:
        raise DataError(f"{where}: expected column {lacking[0]}, found {list(row)}")
    own = whole(row["id"], "id")
    parent: int | None = None
    if "structure_id_path" in row and not empty(row["structure_id_path"]):
        trail = row["structure_id_path"]
        steps = [s for s in trail.split("/") if s] if isinstance(trail, str) else list(trail)
        ids = [whole(step, "structure_id_path") for step in steps]
        if not ids or ids[-1] != own:
            raise DataError(f"{where}: expected a structure_id_path that ends in {own}, found {trail!r}")
        parent = ids[-2] if len(ids) > 1 else None
    else:
        column = "parent_structure_id" if "parent_structure_id" in row else "parent_id"
        if column not in row:
            raise DataError(f"{where}: expected structure_id_path or parent_structure_id, found {list(row)}")
        parent = None if empty(row[column]) else whole(row[column], column)
        parent = None if parent == 0 else parent
    rgb: tuple[int, ...] = (128, 128, 128)
    if not empty(row.get("color_hex_triplet")):
        text = str(row["color_hex_triplet"]).zfill(6)
        try:
            rgb = tuple(bytes.fromhex(text))
        except ValueError:
            raise DataError(f"{where}: expected six hexadecimal digits in color_hex_triplet, found {text!r}") from None
    else:
        for column in ("rgb_triplet", "rgb"):
            if row.get(column) is not None and not isinstance(row[column], float | str):
                rgb = tuple(int(value) for value in row[column])
    if len(rgb) != 3 or not all(0 <= value <= 255 for value in rgb):
        raise DataError(f"{where}: expected a colour of three numbers up to 255, found {rgb}")
    return own, str(row["acronym"]), str(row["name"]), parent, rgb


def count_regions(
    cells: Any,
    atlas: Atlas,
    registration: Registration | None = None,
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Cells per structure of an atlas, at every level of its tree.

    Parameters
    ----------
    cells
        (n, 3) places (z, y, x) in micrometres, or an AnnData with ``obsm["spatial"]`` (x, y, z). An AnnData gains the columns
        ``region`` (acronym; "background", "outside" or "lost" where there is none), ``region_id`` (0 there) and
        ``hemisphere``, and with a registration ``obsm["spatial_atlas"]`` (x, y, z).
    atlas
        Of `load_atlas`.
    registration
        Of `register`, from the sample of the cells to this atlas. Without it the places are those of the atlas.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    pandas.DataFrame, one row per structure, each before its parts
        ``id``, ``acronym``, ``structure_name``, ``parent_id``, ``depth``; ``own_cell_count`` (in voxels of the structure itself);
        and with all its parts ``left_cell_count``, ``right_cell_count``, ``total_cells``, ``left_volume_mm3``,
        ``right_volume_mm3``, ``total_volume_mm3``, ``left_cells_per_mm3``, ``right_cells_per_mm3``, ``cells_per_mm3`` (NaN
        without volume). Volumes are those that the structures take in the sample. ``attrs``: ``background``, ``outside``,
        ``lost`` and ``cells``; the own counts of all structures and the first three add up to the fourth.

    Raises
    ------
    zensaibo.errors.ShapeError
        Places of another shape; a registration to another grid than that of the atlas.

    Notes
    -----
    Places are mapped and looked up in float64, once; a cell belongs to the voxel whose box holds it. A million cells take about a
    second with a registration and a tenth without. Nothing is random.
    """
    import pandas as pd

    adata = cells if hasattr(cells, "obsm") else None
    points = np.ascontiguousarray(places(cells) if adata is not None else cells, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"cells: expected places of shape (n, 3), found {points.shape}")
    growth = None
    if registration is not None:
        shape, um = registration._core.fixed
        if tuple(shape) != atlas.annotation.shape or not np.allclose(um, atlas.spacing):
            found = f"{tuple(shape)} voxels of {tuple(um)} um"
            expected = f"{atlas.annotation.shape} voxels of {atlas.spacing} um"
            raise ShapeError(f"registration: expected one to the grid of atlas {atlas.name}, {expected}, found {found}")
        points = registration.transform_points(points, threads=threads, progress=progress)
        growth = _on_grid(registration, atlas)
    with reporting(progress) as callback:
        codes, left = atlas._core.locate(points, threads, callback)
        own, counts, volume, nowhere = atlas._core.count(codes, left, growth, threads, callback)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(volume > 0, counts / volume, np.nan)
        both = np.where(volume.sum(axis=1) > 0, counts.sum(axis=1) / volume.sum(axis=1), np.nan)
    structures = atlas.structures
    table = pd.DataFrame(
        {
            "id": structures["id"],
            "acronym": structures["acronym"],
            "structure_name": structures["name"],
            "parent_id": structures["parent_id"],
            "depth": structures["depth"],
            "own_cell_count": own.sum(axis=1),
            "left_cell_count": counts[:, 0],
            "right_cell_count": counts[:, 1],
            "total_cells": counts.sum(axis=1),
            "left_volume_mm3": volume[:, 0],
            "right_volume_mm3": volume[:, 1],
            "total_volume_mm3": volume.sum(axis=1),
            "left_cells_per_mm3": density[:, 0],
            "right_cells_per_mm3": density[:, 1],
            "cells_per_mm3": both,
        }
    )
    table.attrs.update(dict(zip(_NOWHERE.values(), map(int, nowhere), strict=True)), cells=len(points))
    if adata is not None:
        names = np.array([*structures["acronym"], *reversed(_NOWHERE.values())], dtype=object)
        ids = np.append(structures["id"].to_numpy(), np.zeros(len(_NOWHERE), dtype=np.uint64))
        adata.obs["region"] = pd.Categorical(names[codes])
        adata.obs["region_id"] = ids[codes]
        half = np.where(codes < 0, "none", np.where(left, "left", "right"))
        adata.obs["hemisphere"] = pd.Categorical(half, categories=["left", "right", "none"])
        if registration is not None:
            adata.obsm["spatial_atlas"] = np.ascontiguousarray(points[:, ::-1])
    return table


def _on_grid(registration: Registration, atlas: Atlas) -> np.ndarray:
    """Growth at every voxel of the atlas, from the grid of the displacements, which may be coarser."""
    growth = registration.jacobian()
    shape = atlas.annotation.shape
    if growth.shape == shape:
        return growth
    ratio = np.array(atlas.spacing) / np.array(registration.displacement_spacing)
    sizes = zip(shape, ratio, growth.shape, strict=True)
    at = [np.minimum(np.rint(np.arange(n) * r).astype(int), m - 1) for n, r, m in sizes]
    return np.ascontiguousarray(growth[np.ix_(*at)])
