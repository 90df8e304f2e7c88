"""Tables of cells in files: Parquet and CSV."""

from __future__ import annotations

import json
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._keys import PROVENANCE
from ..errors import DataError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData

_SPACE = {"name": "sample", "unit": "micrometer", "axes": "xyz"}


def write_cells(path: str | PathLike[str], cells: Any) -> None:
    """Writes cells, or tracks, as a table that pandas, R and spreadsheets open; beside the target and then renamed.

    Parameters
    ----------
    path
        Ends in .parquet (types and provenance are kept) or .csv (numbers as the shortest text that gives them back).
    cells
        An AnnData of `detect_cells` or `segment_nuclei`: the columns of ``obs``, the places z, y, x in micrometres, and those
        in an atlas (atlas_z, atlas_y, atlas_x) where there are any.
        Or a DataFrame, as `track` gives it: its columns.

    Raises
    ------
    zensaibo.errors.ParameterError
        Another ending.
    zensaibo.errors.ShapeError
        An AnnData without ``obsm["spatial"]``.
    OSError
        A full disk, a folder that is not there; what stood at the target then stands there still.

    Notes
    -----
    The file is what ``zensaibo detect -o`` writes of the same cells. Parquet needs nothing beside zensaibo.
    """
    from ..pp._recipe import _table

    if not hasattr(cells, "obsm"):
        if not hasattr(cells, "columns"):
            raise ParameterError(f"parameter `cells`: expected an AnnData or a DataFrame, found {type(cells).__name__}")
        _core.columns_write(Path(path), _table(cells), [])
        return
    if "spatial" not in cells.obsm or np.shape(cells.obsm["spatial"])[1:] != (3,):
        raise ShapeError(f'`cells`: expected obsm["spatial"] with (x, y, z) in micrometres, found {list(cells.obsm)}')
    table = cells.obs.copy()
    places = np.asarray(cells.obsm["spatial"], np.float64)
    for place, axis in enumerate("xyz"):
        if axis in table:
            del table[axis]
        table.insert(len(table.columns) - place, axis, places[:, place])
    if "spatial_atlas" in cells.obsm:
        there = np.asarray(cells.obsm["spatial_atlas"], np.float64)
        for axis in "zyx":
            table[f"atlas_{axis}"] = there[:, "xyz".index(axis)]
    said = {"unit": str(cells.uns.get("spatial_space", _SPACE)["unit"])}
    for step in cells.uns.get(PROVENANCE, {}).values():
        if "spacing" in step["options"]:
            said["spacing"] = json.dumps([float(um) for um in step["options"]["spacing"]])
    for key, name in (("detection", "detection"), (PROVENANCE, "zensaibo")):
        if key in cells.uns:
            said[name] = json.dumps(cells.uns[key], default=_plain)
    _core.columns_write(Path(path), _table(table), list(said.items()))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else str(value)


def read_cells(path: str | PathLike[str]) -> AnnData:
    """Reads cells from a file of `write_cells` or of ``zensaibo detect``.

    Parameters
    ----------
    path
        Ends in .parquet, .csv or .h5ad. Any table will do that has columns z, y and x in micrometres.

    Returns
    -------
    AnnData as `detect_cells` gives it: ``obs`` the other columns, ``obsm["spatial"]`` (x, y, z) in micrometres, and
    ``obsm["spatial_atlas"]`` where there are columns atlas_z, atlas_y and atlas_x; from Parquet and h5ad also ``uns``. Columns of CSV that `detect_cells` writes come back in its types.

    Raises
    ------
    zensaibo.errors.FormatError
        Another ending, a damaged file, columns of kinds that are not read.
    zensaibo.errors.DataError
        No columns z, y and x.
    zensaibo.errors.FileError
        No such file.
    """
    import pandas as pd
    from anndata import AnnData

    path = Path(path)
    if path.suffix.lower() == ".h5ad":
        from ..io import read_h5ad

        return read_h5ad(path)
    (_, columns), said = _core.columns_read(path)
    names = [name for name, _ in columns]
    missing = [axis for axis in "zyx" if axis not in names]
    if missing:
        raise DataError(f"{path}: expected columns z, y and x, found {', '.join(names)}")
    table = dict(columns)
    places = np.column_stack([np.asarray(table.pop(axis), np.float64) for axis in "xyz"])
    there = [f"atlas_{axis}" for axis in "xyz"]
    atlas = np.column_stack([np.asarray(table.pop(name), np.float64) for name in there]) if set(there) <= set(table) else None
    if path.suffix.lower() == ".csv" and {"label", "score", "noise"} <= set(table):
        table = {name: _as_detected(name, np.asarray(values)) for name, values in table.items()}
    n = len(places)
    rows = np.asarray(table.get("label", range(1, n + 1)))
    index = [str(row) for row in rows] if len(np.unique(rows)) == n else [str(row) for row in range(1, n + 1)]
    cells = AnnData(obs=pd.DataFrame(table, index=index))
    cells.obsm["spatial"] = places
    if atlas is not None:
        cells.obsm["spatial_atlas"] = atlas
    found = dict(said)
    cells.uns["spatial_space"] = {**_SPACE, "unit": found.get("unit", _SPACE["unit"])}
    for name, key in (("detection", "detection"), ("zensaibo", PROVENANCE)):
        if name in found:
            cells.uns[key] = json.loads(found[name])
    return cells


#: Columns of `detect_cells` that are float32.
_FLOATS = {"score", "volume", "radius", "mean_intensity", "peak_intensity", "background", "noise"}


def _as_detected(name: str, values: np.ndarray) -> np.ndarray:
    """Columns of `detect_cells` in its types: CSV tells whole numbers, others and truths apart, not their widths."""
    types = {"label": np.uint32, "region_id": np.uint64, "edge": np.bool_}
    kind = types.get(name, np.float32 if name in _FLOATS else None)
    return values if kind is None else values.astype(kind)
