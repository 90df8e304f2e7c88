"""Files of atlases: BrainGlobe's two layouts, tables of structures, ids that came as floating-point numbers."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import DataError, FileError, ParameterError
from ._volume import Volume, open

#: Files of the parts in BrainGlobe's version 3 layout.
_TEMPLATE, _ANNOTATION, _HEMISPHERES = "template.ome.zarr", "annotations_compressed.ome.zarr", "hemispheres.ome.zarr"
_TERMINOLOGY = "terminology.csv"
#: Columns of a version 3 table by the names that this package uses.
_COLUMNS = {
    "identifier": "id",
    "abbreviation": "acronym",
    "parent_identifier": "parent_structure_id",
    "root_identifier_path": "structure_id_path",
}


def brainglobe(path: str | PathLike[str], name: str | None) -> dict[str, Any]:
    """The parts of a BrainGlobe atlas: annotation, template, hemispheres, structures, values, spacing, orientation, shape, name."""
    path = Path(path)
    if not path.exists():
        raise FileError(f"{path}: expected a folder of an atlas, found nothing")
    manifest = _manifest(path, name)
    return _version_2(path) if manifest is None else _version_3(manifest)


def _manifest(path: Path, name: str | None) -> Path | None:
    """The manifest of a version 3 atlas; None for a version 2 folder."""
    if path.is_file():
        if path.name != "manifest.json":
            raise FileError(f"{path}: expected a folder of an atlas or a manifest.json")
        return path
    if (path / "manifest.json").exists():
        return path / "manifest.json"
    if (path / "metadata.json").exists():
        return None
    if (path / "atlases").is_dir():
        held = sorted(folder.name for folder in (path / "atlases").iterdir() if folder.is_dir())
        if name is None and len(held) != 1:
            raise ParameterError(f"name: expected one of the atlases in {path} ({', '.join(held) or 'none'}), found None")
        chosen = held[0] if name is None else name
        if chosen not in held:
            raise ParameterError(f"name: expected one of the atlases in {path} ({', '.join(held) or 'none'}), found {name!r}")
        path = path / "atlases" / chosen
    versions = [
        (tuple(map(int, file.parent.name.split("_"))), file)
        for file in path.glob("*/manifest.json")
        if re.fullmatch(r"\d+(_\d+)*", file.parent.name)
    ]
    if not versions:
        raise FileError(f"{path}: expected metadata.json (version 2), manifest.json (version 3) or folders of versions with one")
    return max(versions)[1]


def _version_2(folder: Path) -> dict[str, Any]:
    metadata = read_json(folder / "metadata.json")
    lacking = [key for key in ("resolution", "orientation") if key not in metadata]
    if lacking:
        raise DataError(f"{folder / 'metadata.json'}: expected {lacking[0]}, found {sorted(metadata)}")
    reference, halves = folder / "reference.tiff", folder / "hemispheres.tiff"
    return {
        "annotation": open(folder / "annotation.tiff"),
        "template": open(reference) if reference.exists() else None,
        "hemispheres": open(halves) if halves.exists() and not metadata.get("symmetric", False) else None,
        "structures": folder / "structures.json",
        "spacing": metadata["resolution"],
        "orientation": metadata["orientation"],
        "shape": metadata.get("shape"),
        "name": str(metadata.get("name", folder.name)),
    }


def _version_3(manifest: Path) -> dict[str, Any]:
    metadata = read_json(manifest)
    if len(manifest.resolve().parents) < 4:
        raise FileError(f"{manifest}: expected it in atlases/NAME/VERSION of a store, found no store around it")
    root = manifest.resolve().parents[3]

    def place(*keys: str) -> Path:
        value: Any = metadata
        for key in keys:
            if not isinstance(value, Mapping) or key not in value:
                raise DataError(f"{manifest}: expected {'.'.join(keys)}, found no {key}")
            value = value[key]
        return root / str(value).lstrip("/")

    for key in ("resolution", "symmetric"):
        if key not in metadata:
            raise DataError(f"{manifest}: expected {key}, found {sorted(metadata)}")
    um = np.asarray(metadata["resolution"], dtype=np.float64)
    annotation = place("annotation_set", "location")
    template = place("annotation_set", "template", "location") / _TEMPLATE
    return {
        "annotation": _level(annotation / _ANNOTATION, um),
        "template": _level(template, um) if template.exists() else None,
        "hemispheres": None if metadata["symmetric"] else _level(annotation / _HEMISPHERES, um),
        "structures": place("terminology", "location") / _TERMINOLOGY,
        "spacing": um,
        "orientation": metadata.get("orientation", "asr"),
        "shape": metadata.get("shape"),
        "name": f"{metadata.get('name', manifest.parents[1].name)}_{um[0]:g}um",
    }


def _level(path: Path, um: np.ndarray) -> Volume:
    """The level of a pyramid that has a spacing."""
    for file, inside in (("zarr.json", ("attributes", "ome")), (".zattrs", ())):
        if (path / file).exists():
            described = read_json(path / file)
            for key in inside:
                described = described.get(key, {})
            break
    else:
        raise FileError(f"{path}: expected an OME-Zarr of the atlas, found none")
    try:
        levels = [str(level["path"]) for level in described["multiscales"][0]["datasets"]]
    except (KeyError, IndexError, TypeError):
        raise DataError(f"{path / file}: expected multiscales with datasets") from None
    found = []
    for number, level in enumerate(levels):
        volume = open(path, level=number)
        spacing = volume.spacing
        if spacing is None:
            raise DataError(f"{path}: expected a scale with a unit for level {level}, found none")
        found.append(" x ".join(f"{value:g}" for value in spacing))
        if np.allclose(spacing, um, rtol=1e-4):
            # What was never fetched would read as zeros.
            if (path / level / "zarr.json").exists() and not (path / level / "c").exists():
                raise FileError(f"{path / level}: expected voxels, found none (not downloaded yet?)")
            return volume
    wanted = " x ".join(f"{value:g}" for value in um)
    raise DataError(f"{path}: expected a level of {wanted} um, found {'; '.join(found)} um")


def read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: expected a file of an atlas ({error.strerror})") from None
    except ValueError as error:
        raise DataError(f"{path}: expected JSON ({error})") from None


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


def records(structures: Any) -> tuple[list[tuple[int, str, str, int | None, tuple[int, ...]]], dict[int, int] | None]:
    """Rows (id, acronym, name, id of the parent, colour), and which id each value of the annotation stands for where that
    is another number."""
    where = "structures"
    if isinstance(structures, str | PathLike):
        path = Path(structures)
        where = str(path)
        if path.suffix.lower() == ".json":
            rows = read_json(path)
        else:
            try:
                with path.open(newline="", encoding="utf-8-sig") as file:
                    rows = list(csv.DictReader(file))
            except OSError as error:
                raise FileError(f"{path}: expected a table of structures ({error.strerror})") from None
    else:
        rows = structures.to_dict("records")
    rows = [{_COLUMNS.get(key, key): value for key, value in row.items()} for row in rows]
    made = [_record(row, f"{where}, row {number}") for number, row in enumerate(rows, start=1)]
    values: dict[int, int] | None = None
    if any("annotation_value" in row for row in rows):
        values = {}
        for number, (row, record) in enumerate(zip(rows, made, strict=True), start=1):
            if _empty(row.get("annotation_value")):
                continue
            value = _whole(row["annotation_value"], f"{where}, row {number}", "annotation_value")
            if values.setdefault(value, record[0]) != record[0]:
                raise DataError(f"{where}: expected every annotation_value once, found {value} for {values[value]} and {record[0]}")
        if all(value == own for value, own in values.items()):
            values = None
    return made, values


def _empty(value: Any) -> bool:
    return value is None or value == "" or value != value


def _whole(value: Any, where: str, column: str) -> int:
    try:
        # Large ids stay exact; "8.0" is what tables with gaps make of 8.
        number = value
        if isinstance(value, str):
            number = int(value) if re.fullmatch(r"\s*\d+\s*", value) else float(value)
        whole = int(number)
        if whole != number:
            raise ValueError
    except (TypeError, ValueError, OverflowError):
        raise DataError(f"{where}: expected a whole number in {column}, found {value!r}") from None
    return whole


def _record(row: Mapping[str, Any], where: str) -> tuple[int, str, str, int | None, tuple[int, ...]]:
    lacking = [column for column in ("id", "acronym", "name") if column not in row]
    if lacking:
        raise DataError(f"{where}: expected column {lacking[0]}, found {list(row)}")
    own = _whole(row["id"], where, "id")
    parent: int | None = None
    if "structure_id_path" in row and not _empty(row["structure_id_path"]):
        trail = row["structure_id_path"]
        steps = re.findall(r"[^/\[\],\s]+", trail) if isinstance(trail, str) else list(trail)
        ids = [_whole(step, where, "structure_id_path") for step in steps]
        if not ids or ids[-1] != own:
            raise DataError(f"{where}: expected a structure_id_path that ends in {own}, found {trail!r}")
        parent = ids[-2] if len(ids) > 1 else None
    else:
        column = "parent_structure_id" if "parent_structure_id" in row else "parent_id"
        if column not in row:
            raise DataError(f"{where}: expected structure_id_path or parent_structure_id, found {list(row)}")
        parent = None if _empty(row[column]) else _whole(row[column], where, column)
        parent = None if parent == 0 else parent
    rgb: tuple[int, ...] = (128, 128, 128)
    if not _empty(row.get("color_hex_triplet")):
        text = str(row["color_hex_triplet"]).removeprefix("#").zfill(6)
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
