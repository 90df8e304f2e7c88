"""The files of a Zarr store, in a folder or in a zip archive, and AnnData out of them."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import warnings
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FormatError
from ._beside import need

if TYPE_CHECKING:
    from anndata import AnnData

_MARKS = ("zarr.json", ".zgroup")


class Store:
    """Files of a store by their names below its root: a folder, or the folder that a zip archive holds."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.archive: zipfile.ZipFile | None = None
        self.root = ""
        self.sizes: dict[str, int] = {}
        if os.path.isdir(path):
            for folder, _, files in os.walk(path):
                for name in files:
                    place = os.path.join(folder, name)
                    self.sizes[os.path.relpath(place, path).replace(os.sep, "/")] = os.path.getsize(place)
            return
        self.archive = zipfile.ZipFile(path)
        names = self.archive.namelist()
        marks = [name for name in names if name.rsplit("/", 1)[-1] in _MARKS]
        # The store itself, or one folder that holds it.
        mark = min(marks, key=lambda name: name.count("/"), default="")
        if not mark or mark.count("/") > 1:
            self.archive.close()
            raise KeyError("no store")
        self.root = mark.rpartition("/")[0]
        skip = len(self.root) + 1 if self.root else 0
        for name in names:
            if name.startswith(self.root) and not name.endswith("/"):
                # A file that was written again stands in the archive twice; the last one holds.
                self.sizes[name[skip:]] = self.archive.getinfo(name).compress_size

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        if self.archive is not None:
            self.archive.close()

    def read(self, name: str) -> bytes:
        if self.archive is not None:
            return self.archive.read(f"{self.root}/{name}" if self.root else name)
        with open(os.path.join(self.path, name), "rb") as file:
            return file.read()

    def document(self, name: str) -> dict[str, Any] | None:
        """A JSON file, or None where there is none."""
        if name not in self.sizes:
            return None
        found = json.loads(self.read(name).decode("utf8"))
        return found if isinstance(found, dict) else {}

    def attributes(self, key: str = "") -> dict[str, Any] | None:
        """Attributes of a group or array; None where there is neither."""
        at = f"{key}/" if key else ""
        modern = self.document(f"{at}zarr.json")
        if modern is not None:
            return dict(modern.get("attributes") or {})
        if f"{at}.zgroup" not in self.sizes and f"{at}.zarray" not in self.sizes:
            return None
        return self.document(f"{at}.zattrs") or {}

    def members(self, key: str = "") -> list[str]:
        """Names of what a group holds, sorted."""
        at = f"{key}/" if key else ""
        below = [name[len(at) :].split("/") for name in self.sizes if name.startswith(at)]
        return sorted({parts[0] for parts in below if len(parts) == 2 and parts[1] in (*_MARKS, ".zarray")})


def open_store(path: str) -> Store | None:
    """The store at `path`, or None when there is none."""
    if os.path.isdir(path):
        return Store(path) if any(os.path.exists(os.path.join(path, mark)) for mark in _MARKS) else None
    try:
        return Store(path) if zipfile.is_zipfile(path) else None
    except (OSError, KeyError, zipfile.BadZipFile):
        return None


def read_anndata(place: str) -> AnnData:
    """AnnData out of a store. What zarr cannot read in ``uns`` is left out with a warning that names it."""
    import anndata

    zarr = need("zarr", "zarr")
    if os.path.isdir(place):
        try:
            return anndata.io.read_zarr(place)
        except ValueError as error:
            if "data type" not in str(error):
                raise
    with Store(place) as store:
        holder = zarr.storage.ZipStore(place, mode="r") if store.archive is not None else place
        try:
            settings = {"use_consolidated": False} if int(zarr.__version__.split(".")[0]) > 2 else {}
            group = zarr.open_group(holder, mode="r", path=store.root or None, **settings)
            parts: dict[str, Any] = {}
            for name in store.members():
                if name == "uns":
                    lost: list[str] = []
                    parts[name] = _gently(store, group, name, lost)
                    if lost:
                        warnings.warn(
                            f"{place}: left out {len(lost)} of uns that zarr {zarr.__version__} cannot read: "
                            f"{', '.join(lost[:10])}{' ...' if len(lost) > 10 else ''}",
                            UserWarning,
                            stacklevel=4,
                        )
                elif name == "raw":
                    if store.attributes("raw").get("encoding-type") != "null":  # type: ignore[union-attr]
                        parts[name] = {
                            part: anndata.io.read_elem(group[f"raw/{part}"]) for part in store.members("raw")
                        }
                elif name in {"X", "obs", "var", "layers", "obsm", "varm", "obsp", "varp"}:
                    parts[name] = anndata.io.read_elem(group[name])
            return anndata.AnnData(**parts)
        finally:
            if not isinstance(holder, str):
                holder.close()


def _gently(store: Store, group: Any, key: str, lost: list[str]) -> Any:
    """A mapping of `uns`, element by element."""
    import anndata

    found: dict[str, Any] = {}
    for name in store.members(key):
        at = f"{key}/{name}"
        attributes = store.attributes(at) or {}
        if store.members(at) and attributes.get("encoding-type", "dict") == "dict":
            found[name] = _gently(store, group, at, lost)
            continue
        try:
            try:
                found[name] = anndata.io.read_elem(group[at])
            except Exception:
                found[name] = _records(store, at)
        except Exception:  # zarr and anndata raise of every kind
            lost.append(at.removeprefix("uns/"))
    return found


def _records(store: Store, key: str) -> np.ndarray:
    """An array of records of version 3, whose type zarr-python spells `structured` and others `struct`."""
    import zarr

    document = store.document(f"{key}/zarr.json")
    if document is None or document.get("data_type", {}).get("name") != "struct":
        raise FormatError(f"{store.path}: {key}: expected an array of records")
    fields = document["data_type"]["configuration"]["fields"]
    named = [[field["name"], field["data_type"]] for field in fields]
    document["data_type"] = {"name": "structured", "configuration": {"fields": named}}
    width = sum(_bytes_of(field["data_type"]) for field in fields)
    document["fill_value"] = base64.b64encode(bytes(width)).decode()
    with tempfile.TemporaryDirectory() as folder:
        for name in store.sizes:
            if name.startswith(f"{key}/"):
                target = os.path.join(folder, *name[len(key) + 1 :].split("/"))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                with open(target, "wb") as file:
                    file.write(store.read(name))
        with open(os.path.join(folder, "zarr.json"), "w", encoding="utf8") as file:
            json.dump(document, file)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(zarr.open_array(folder, mode="r")[...])


def _bytes_of(kind: Any) -> int:
    if isinstance(kind, dict):
        return int(kind["configuration"]["length_bytes"])
    return np.dtype(kind).itemsize
