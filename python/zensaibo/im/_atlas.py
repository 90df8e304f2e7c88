"""Atlases: structures, how they nest, and where they lie."""

from __future__ import annotations

from os import PathLike
from typing import Any

import numpy as np

from .. import _core
from ..errors import DataError, ParameterError, ShapeError
from ._atlas_files import brainglobe, records, renamed, whole_ids
from ._volume import _triple, open


class Atlas:
    """A reference atlas: which structure lies in each voxel, how structures nest, and an image to register to.

    Places in it are (z, y, x) in micrometres along its array axes, the centre of the first voxel at 0. A structure is named by
    its acronym, its name or its id; one that is not there, or a name that several have, raises KeyError.
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
        #: Ids of structures per voxel; 0 outside.
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
        #: One row per structure, each before its parts: id, acronym, name, parent_id (0 for the whole), depth, rgb, path.
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
        self._parents = np.array([-1 if row[3] is None else row[3] for row in rows], dtype=np.int64)
        self._ends = [row[5] for row in rows]
        self._hemispheres: np.ndarray | None = None

    def __repr__(self) -> str:
        shape, um = " x ".join(map(str, self.annotation.shape)), " x ".join(f"{um:g}" for um in self.spacing)
        return f"Atlas({self.name}, {shape} voxels of {um} um, {self.orientation}, {len(self.structures)} structures)"

    @property
    def hemispheres(self) -> np.ndarray:
        """1 left, 2 right, on the grid of the annotation (uint8); in the background too."""
        if self._hemispheres is None:
            self._hemispheres = self._core.hemispheres()
        return self._hemispheres

    def _row(self, structure: str | int) -> int:
        table = self.structures
        if isinstance(structure, str):
            found = np.flatnonzero(table["acronym"] == structure)
            found = found if len(found) else np.flatnonzero(table["name"] == structure)
        else:
            found = np.flatnonzero(table["id"] == structure)
        if not len(found):
            raise KeyError(f"structure {structure!r} is not in atlas {self.name}")
        if len(found) > 1:
            ids = ", ".join(str(table["id"][row]) for row in found[:5])
            raise KeyError(f"structure {structure!r} is the name of {len(found)} structures of atlas {self.name}: ask by id ({ids})")
        return int(found[0])

    def descendants(self, structure: str | int) -> list[str]:
        """Acronyms of all parts of a structure, at every level below it, each before its own parts."""
        row = self._row(structure)
        return list(self.structures["acronym"][row + 1 : self._ends[row]])

    def ancestors(self, structure: str | int) -> list[str]:
        """Acronyms of the structures that a structure is part of, from the whole down."""
        above, row = [], self._parents[self._row(structure)]
        while row >= 0:
            above.append(self.structures["acronym"][row])
            row = self._parents[row]
        return above[::-1]

    def roll_up(self, values: Any) -> np.ndarray:
        """Sums over every structure with its parts of numbers that each has of its own.

        `values` has one row per row of `structures`; further axes are summed alike. Returns float64 of the same shape.
        """
        out = np.array(values, dtype=np.float64)
        if out.shape[:1] != (len(self.structures),):
            raise ShapeError(f"values: expected one for each of {len(self.structures)} structures, found shape {out.shape}")
        # Parts come after the whole.
        for row in range(len(out) - 1, 0, -1):
            if self._parents[row] >= 0:
                out[self._parents[row]] += out[row]
        return out

    def mask(self, structure: str | int) -> np.ndarray:
        """Where a structure with all its parts lies: bool on the grid of the annotation."""
        row = self._row(structure)
        return np.isin(self.annotation, self.structures["id"].to_numpy()[row : self._ends[row]])


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
    """Opens an atlas: one of BrainGlobe, or its parts.

    Parameters
    ----------
    path
        An atlas of BrainGlobe as its program stores it. Version 2: a folder with metadata.json, structures.json,
        annotation.tiff, and reference.tiff and hemispheres.tiff where there are any. Version 3: a manifest.json, the folder
        ``atlases/NAME/VERSION`` that holds it, ``atlases/NAME`` (its newest version is taken), or the store that holds
        ``atlases``, ``annotation-sets``, ``templates`` and ``terminologies``, with `name` where it has several atlases.
    annotation
        Ids of structures: anything that `zensaibo.im.open` takes. Whole numbers up to 64 bits; floating-point numbers are
        taken where all are whole and the type tells each from the next (below 2**24 for float32).
    template
        An image on the same grid.
    structures
        A CSV file or DataFrame with columns id, acronym, name and parent_structure_id, or structure_id_path in its place
        (Allen's), and color_hex_triplet or rgb where there are colours; or a BrainGlobe structures.json or terminology.csv.
    hemispheres
        1 left, 2 right on the same grid; without it the plane through the middle of the left-right axis parts them.
    spacing, orientation
        Those of the annotation by default.
    name
        For messages; that of the folder or file by default. In a store of several atlases, which one ("allen_mouse_25um").

    Returns
    -------
    Atlas

    Raises
    ------
    zensaibo.errors.DataError
        An id in the annotation that the table does not list, ids listed twice, structures that are no tree, ids that are not
        whole numbers or beyond what floating-point numbers tell apart, parts of different spacing, an orientation or
        spacing that nobody gave.
    zensaibo.errors.ShapeError
        Parts of different shape.
    zensaibo.errors.FileError, zensaibo.errors.FormatError
        Files that are not there or not what they should be, among them voxels that were not downloaded yet.

    Notes
    -----
    A structure is counted by its place in the table; several structures that are part of no other are allowed and remarked
    (`Atlas.remarks`). Takes about 10 bytes per voxel.
    """
    if (path is None) == (annotation is None):
        raise ParameterError("load_atlas: expected either `path` or `annotation` with `structures`, found both or neither")
    shape = None
    if path is not None:
        given = {"template": template, "structures": structures, "hemispheres": hemispheres}
        extra = [key for key, value in given.items() if value is not None]
        if extra:
            raise ParameterError(f"load_atlas: expected no {extra[0]} beside a folder, which has its own; found one")
        parts = brainglobe(path, name)
        volume, template, hemispheres, structures = (parts[key] for key in ("annotation", "template", "hemispheres", "structures"))
        spacing = spacing if spacing is not None else parts["spacing"]
        orientation = orientation if orientation is not None else parts["orientation"]
        name, shape = name if name is not None else parts["name"], parts["shape"]
    else:
        volume = open(annotation)
        spacing = spacing if spacing is not None else volume.spacing
        orientation = orientation if orientation is not None else volume.orientation
        template = None if template is None else open(template)
        hemispheres = None if hemispheres is None else open(hemispheres)
    if spacing is None:
        raise ParameterError(f"spacing: expected micrometres per voxel, since {volume.name} does not say; found none")
    if orientation is None:
        raise ParameterError(f'orientation: expected three letters such as "asr", since {volume.name} does not say; found none')
    if structures is None:
        raise ParameterError("structures: expected a table, found none")
    um = _triple("spacing", spacing)
    rows, values = records(structures)
    name = name if name is not None else volume.name
    ids = renamed(whole_ids(volume), values, name)
    if shape is not None and tuple(shape) != ids.shape:
        raise ShapeError(f"annotation {volume.name}: expected the shape that the atlas states, {tuple(shape)}, found {ids.shape}")
    for what, part in (("template", template), ("hemispheres", hemispheres)):
        if part is None:
            continue
        if part.shape != ids.shape:
            raise ShapeError(f"{what}: expected the shape of the annotation, {ids.shape}, found {part.shape}")
        # Folders of BrainGlobe state one spacing for all; elsewhere every file may have its own.
        if path is None and part.spacing is not None and not np.allclose(part.spacing, um, rtol=0.01):
            raise DataError(f"{what} {part.name}: expected the spacing of the annotation, {um} um, found {part.spacing} um")
    image = None if template is None else np.asarray(template)
    halves = None if hemispheres is None else _halves(np.asarray(hemispheres))
    core = _core.Atlas(name, np.ascontiguousarray(ids), um, orientation, rows, halves)
    return Atlas(core, name, ids, image, um, orientation)


def _halves(array: np.ndarray) -> np.ndarray:
    """Hemispheres as uint8, refused where that changes them."""
    small = np.ascontiguousarray(array, dtype=np.uint8)
    if (small != array).any():
        raise DataError(f"hemispheres: expected 1 (left) and 2 (right), found {array[small != array][0]}")
    return small
