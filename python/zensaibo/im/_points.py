"""Points as cellfinder keeps them: XML and CSV."""

from __future__ import annotations

import csv
import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, NonFiniteError, ParameterError, ShapeError
from ._spatial import places

#: cellfinder's marker types.
_TYPES = {"1": "artifact", "2": "cell"}


def read_points(
    path: str | PathLike[str], *, spacing: Sequence[float], kind: str | None = "cell"
) -> np.ndarray:
    """Points of a cellfinder file.

    Parameters
    ----------
    path
        An XML file (CellCounter markers) or a CSV file with columns x, y and z (and perhaps type), in voxels.
    spacing
        Micrometres per voxel (z, y, x) of the volume in which they were marked.
    kind
        "cell", "artifact", or None for both. Files without types hold cells.

    Returns
    -------
    (n, 3) float64 points (z, y, x) in micrometres, in the order of the file.

    Raises
    ------
    zensaibo.errors.DataError
        A file of another kind, a marker without a coordinate, or with one that is no number: named with its place.
    """
    if kind not in ("cell", "artifact", None):
        raise ParameterError(f'parameter `kind`: expected "cell", "artifact" or None, found {kind!r}')
    um = _um(spacing)
    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in (".xml", ".csv"):
        raise DataError(f"{path}: expected a file ending in .xml or .csv, found {suffix or 'no ending'}")
    rows = _xml(path) if suffix == ".xml" else _csv(path)
    voxels = np.array([row for name, row in rows if kind is None or name == kind], dtype=np.float64).reshape(-1, 3)
    return voxels * um


def write_points(path: str | PathLike[str], points: Any, *, spacing: Sequence[float], kind: str = "cell") -> None:
    """Writes points for cellfinder, beside the target and then renamed.

    Parameters
    ----------
    path
        Ends in .xml (whole voxels, as cellfinder reads them) or .csv (columns x, y, z, type; voxels with fractions).
    points
        (n, 3) points (z, y, x) in micrometres, or an AnnData of `detect_cells`.
    spacing
        Micrometres per voxel (z, y, x).
    kind
        "cell" or "artifact".

    Raises
    ------
    zensaibo.errors.DataError
        Points of another shape or not finite; for XML, points before the first voxel.
    """
    if kind not in _TYPES.values():
        raise ParameterError(f'parameter `kind`: expected "cell" or "artifact", found {kind!r}')
    um = _um(spacing)
    if hasattr(points, "obsm"):
        points = places(points)
    points = np.asarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"`points`: expected shape (n, 3), found {points.shape}")
    if not np.isfinite(points).all():
        raise NonFiniteError(f"`points`: expected finite numbers, found NaN or infinity in row {np.argwhere(~np.isfinite(points))[0][0]}")
    voxels = points / um
    path = Path(path)
    number = next(key for key, name in _TYPES.items() if name == kind)
    if path.suffix.lower() == ".xml":
        whole = np.rint(voxels).astype(np.int64)
        if (whole < 0).any():
            raise DataError(f"`points`: expected places at or after the first voxel, found {points[(whole < 0).any(1)][0]}")
        root = ET.Element("CellCounter_Marker_File")
        properties = ET.SubElement(root, "Image_Properties")
        ET.SubElement(properties, "Image_Filename").text = "placeholder.tif"
        data = ET.SubElement(root, "Marker_Data")
        ET.SubElement(data, "Current_Type").text = "1"
        for marker_type in _TYPES:
            group = ET.SubElement(data, "Marker_Type")
            ET.SubElement(group, "Type").text = marker_type
            if marker_type != number:
                continue
            for z, y, x in whole.tolist():
                marker = ET.SubElement(group, "Marker")
                for name, value in (("MarkerX", x), ("MarkerY", y), ("MarkerZ", z)):
                    ET.SubElement(marker, name).text = str(value)
        ET.indent(root)
        content = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    elif path.suffix.lower() == ".csv":
        lines = ["x,y,z,type"] + [f"{x!r},{y!r},{z!r},{number}" for z, y, x in voxels.tolist()]
        content = ("\n".join(lines) + "\n").encode()
    else:
        raise ParameterError(f"parameter `path`: expected a name ending in .xml or .csv, found {path.name}")
    beside = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        beside.write_bytes(content)
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


def _um(spacing: Sequence[float]) -> np.ndarray:
    um = np.asarray(spacing, dtype=np.float64)
    if um.shape != (3,) or not (np.isfinite(um).all() and (um > 0).all()):
        raise ParameterError(f"parameter `spacing`: expected three lengths above 0 (z, y, x), found {spacing!r}")
    return um


def _number(path: Path, place: str, text: str | None) -> float:
    try:
        value = float(text or "")
    except ValueError:
        raise DataError(f"{path}: {place}: expected a number, found {text!r}") from None
    if not np.isfinite(value):
        raise NonFiniteError(f"{path}: {place}: expected a finite number, found {text!r}")
    return value


def _xml(path: Path) -> list[tuple[str, list[float]]]:
    try:
        root = ET.parse(path).getroot()
    except ET.ParseError as error:
        raise DataError(f"{path}: expected XML markers, found {error}") from None
    if root.tag != "CellCounter_Marker_File":
        raise DataError(f"{path}: expected a CellCounter_Marker_File, found {root.tag}")
    rows = []
    for group in root.iter("Marker_Type"):
        name = _TYPES.get((group.findtext("Type") or "").strip(), "other")
        for i, marker in enumerate(group.iter("Marker")):
            place = f"marker {i} of type {name}"
            rows.append(
                (name, [_number(path, f"{place}, {tag}", marker.findtext(tag)) for tag in ("MarkerZ", "MarkerY", "MarkerX")])
            )
    return rows


def _csv(path: Path) -> list[tuple[str, list[float]]]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        columns = {(name or "").strip().lower(): name for name in reader.fieldnames or []}
        missing = [name for name in "xyz" if name not in columns]
        if missing:
            raise DataError(f"{path}: expected columns x, y and z, found {', '.join(columns) or 'none'}")
        if {"score", "noise"} <= set(columns):
            raise DataError(f"{path}: expected places in voxels, found a table of cells in micrometres (`read_cells` reads it)")
        rows = []
        for line, row in enumerate(reader, start=2):
            name = _TYPES.get((row[columns["type"]] or "").strip(), "other") if "type" in columns else "cell"
            rows.append((name, [_number(path, f"line {line}, {axis}", row[columns[axis]]) for axis in "zyx"]))
    return rows
