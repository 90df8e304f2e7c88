"""Files of atlases: BrainGlobe's two layouts, tables of structures, ids that came as floating-point numbers."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike
from typing import Any

import numpy as np

from .. import _core
from ..errors import DataError
from ._volume import Volume, open


def brainglobe(path: str | PathLike[str], name: str | None) -> dict[str, Any]:
    """The parts of a BrainGlobe atlas: annotation, template, hemispheres, structures, spacing, orientation, shape, name."""
    parts = _core.atlas_files(os.fspath(path), name)
    for part in ("annotation", "template", "hemispheres"):
        if parts[part] is not None:
            file, level = parts[part]
            parts[part] = open(file, level=level) if level else open(file)
    return parts


def whole_ids(volume: Volume) -> np.ndarray:
    """The ids of an annotation as unsigned numbers. Floating-point files are taken where every id is a whole number that the
    type tells from its neighbours."""
    dtype = np.dtype(volume.dtype)
    if volume.axes != "zyx" or dtype.kind not in "iuf":
        raise DataError(f"annotation {volume.name}: expected whole numbers on axes zyx, found {dtype} on {volume.axes}")
    ids = np.asarray(volume)
    if dtype.kind == "f":
        limit = 2.0 ** (np.finfo(dtype).nmant + 1)
        if ids.size and not np.isfinite(ids).all():
            raise DataError(f"annotation {volume.name}: expected ids, found values that are not finite")
        if ids.size and (ids != np.floor(ids)).any():
            first = float(ids[ids != np.floor(ids)][0])
            raise DataError(f"annotation {volume.name}: expected whole numbers, found {first}")
        if ids.size and ids.max() >= limit:
            raise DataError(
                f"annotation {volume.name}: expected ids below {limit:.0f}, beyond which {dtype} cannot tell one whole number "
                f"from the next, found {float(ids.max()):.0f}: ids were lost when the file was written; use one with integers"
            )
    if dtype.kind in "if" and ids.size and ids.min() < 0:
        raise DataError(f"annotation {volume.name}: expected ids of at least 0, found {ids.min()}")
    if dtype.kind == "f":
        return ids.astype(np.uint32 if dtype.itemsize <= 4 else np.uint64)
    if dtype.kind == "i":
        return ids.view(f"u{dtype.itemsize}")
    return ids


def renamed(ids: np.ndarray, values: Mapping[int, int] | None, where: str) -> np.ndarray:
    """Ids in place of the values that stand for them in the files."""
    if values is None:
        return ids
    present, ranks = np.unique(ids, return_inverse=True)
    lacking = [int(value) for value in present if value and int(value) not in values]
    if lacking:
        raise DataError(f"annotation of {where}: expected values that the table lists as annotation_value, found {lacking[:5]}")
    ours = np.array([values[int(value)] if value else 0 for value in present], dtype=np.uint64)
    return ours[ranks].reshape(ids.shape)


def records(structures: Any) -> tuple[list[tuple[int, str, str, int | None, Any]], dict[int, int] | None]:
    """Rows (id, acronym, name, id of the parent, colour), and which id each value of the annotation stands for where that
    is another number."""
    if isinstance(structures, str | PathLike):
        return _core.atlas_structures(os.fspath(structures))
    return _core.atlas_structures_csv(structures.to_csv(index=False), "structures")
