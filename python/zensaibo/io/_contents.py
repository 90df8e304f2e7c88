"""What Zarr stores, h5mu, loom and tables hold, told as the Rust reader tells it of h5ad and 10x."""

from __future__ import annotations

import csv
import math
import os
import zlib
from typing import Any

from ..errors import FileError, FormatError, ZensaiboError
from ._beside import need
from ._zarrfiles import Store

_MAPPINGS = ("layers", "obsm", "obsp", "varm", "varp", "raw", "uns")


def contents(place: str, kind: str) -> dict[str, Any]:
    """The report of :func:`zensaibo.io.inspect`."""
    tell = {"zarr": _zarr, "h5mu": _h5mu, "loom": _loom, "csv": _csv, "parquet": _parquet}[kind]
    try:
        report = {"path": place, "format": kind, "bytes": _bytes(place)}
        return report | tell(place)
    except (ZensaiboError, ImportError):
        raise
    except PermissionError as error:
        raise FileError(f"{place}: cannot read: {error.strerror}") from error
    except Exception as error:  # libraries raise of every kind on a damaged file
        raise FormatError(f"{place}: expected a sound {kind} file, found: {error}") from error


def _bytes(place: str) -> int:
    if os.path.isdir(place):
        with Store(place) as store:
            return sum(store.sizes.values())
    return os.path.getsize(place)


class _ZarrTree:
    """Groups and arrays of a Zarr store, from its metadata alone."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.members = store.members

    def attributes(self, key: str) -> dict[str, Any]:
        return self.store.attributes(key) or {}

    def array(self, key: str) -> tuple[list[int], str, list[str]] | None:
        """Shape, type and compression of an array; None of a group or of nothing."""
        modern = self.store.document(f"{key}/zarr.json")
        if modern is not None:
            if modern.get("node_type") != "array":
                return None
            return list(modern["shape"]), _type_of(modern["data_type"]), _codecs(modern["codecs"])
        old = self.store.document(f"{key}/.zarray")
        if old is None:
            return None
        packed = [part["id"] for part in [*(old.get("filters") or []), old.get("compressor")] if part]
        return list(old["shape"]), _type_of(old["dtype"]), [name for name in packed if not name.startswith("vlen")]

    def bytes(self, key: str) -> int:
        return sum(size for name, size in self.store.sizes.items() if name.startswith(f"{key}/"))


class _H5Tree:
    """The same of an HDF5 file."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def members(self, key: str) -> list[str]:
        import h5py

        found = self.file[key] if key else self.file
        return sorted(found) if isinstance(found, h5py.Group) else []

    def attributes(self, key: str) -> dict[str, Any]:
        def plain(value: Any) -> Any:
            value = value.tolist() if hasattr(value, "tolist") else value
            return value.decode() if isinstance(value, bytes) else value

        return {name: plain(value) for name, value in self.file[key].attrs.items()}

    def array(self, key: str) -> tuple[list[int], str, list[str]] | None:
        import h5py

        found = self.file.get(key)
        if not isinstance(found, h5py.Dataset):
            return None
        dtype = found.dtype
        name = "string" if dtype.kind in "OSU" else f"{len(dtype)} fields" if dtype.names else str(dtype)
        return list(found.shape or ()), name, [found.compression] if found.compression else []

    def bytes(self, key: str) -> int:
        sizes: list[int] = []
        if self.array(key) is not None:
            return int(self.file[key].id.get_storage_size())
        self.file[key].visititems(
            lambda _, item: sizes.append(item.id.get_storage_size()) if hasattr(item, "shape") else None
        )
        return sum(sizes)


def _type_of(kind: Any) -> str:
    if isinstance(kind, list):
        return f"{len(kind)} fields"
    if isinstance(kind, dict):
        fields = kind.get("configuration", {}).get("fields")
        return f"{len(fields)} fields" if fields is not None else "string" if "utf" in kind["name"] else kind["name"]
    if kind.startswith(("<", ">", "|")):
        import numpy as np

        return "string" if kind[1] in "OSU" else str(np.dtype(kind))
    return "string" if kind.startswith(("string", "fixed_length")) else kind


def _codecs(codecs: list[dict[str, Any]]) -> list[str]:
    found = []
    for codec in codecs:
        if codec["name"] == "sharding_indexed":
            found += ["sharded", *_codecs(codec["configuration"]["codecs"])]
        elif codec["name"] not in ("bytes", "vlen-utf8", "vlen-bytes"):
            found.append(codec["name"])
    return found


def _slot(key: str, kind: str, shape: list[int], dtype: str = "", **more: Any) -> dict[str, Any]:
    return {
        "key": key,
        "kind": kind,
        "shape": shape,
        "dtype": dtype,
        "entries": None,
        "compression": [],
        "bytes": 0,
    } | more


def _length(tree: Any, key: str) -> int:
    """Values of an array, or of a column that is stored as a group."""
    for at in (key, f"{key}/codes", f"{key}/values"):
        found = tree.array(at)
        if found is not None:
            return int(math.prod(found[0]))
    return 0


def _element(tree: Any, key: str) -> list[dict[str, Any]]:
    """An element and, of a data frame, its columns."""
    attributes, size = tree.attributes(key), tree.bytes(key)
    kind = attributes.get("encoding-type", "")
    array = tree.array(key)
    if array is not None:
        shape, dtype, packed = array
        return [_slot(key, kind or "array", shape, dtype, compression=packed, bytes=size)]
    if kind in ("csr_matrix", "csc_matrix"):
        (entries, *_), dtype, packed = tree.array(f"{key}/data")
        shape = [int(n) for n in attributes["shape"]]
        return [_slot(key, kind, shape, dtype, entries=int(entries), compression=packed, bytes=size)]
    if kind == "dataframe":
        index = attributes.get("_index", "_index")
        columns = attributes.get("column-order")
        if columns is None:
            columns = [name for name in tree.members(key) if name not in (index, "__categories")]
        slots = [_slot(key, kind, [_length(tree, f"{key}/{index}"), len(columns)], bytes=size)]
        for column in columns:
            slots += _element(tree, f"{key}/{column}")
        return slots
    if kind == "categorical":
        dtype = f"{_length(tree, f'{key}/categories')} categories"
        return [_slot(key, kind, [_length(tree, f"{key}/codes")], dtype, bytes=size)]
    if kind.startswith("nullable-"):
        return [_slot(key, kind, [_length(tree, f"{key}/values")], bytes=size)]
    return [_slot(key, kind or "dict", [], f"{len(tree.members(key))} members", bytes=size)]


def _anndata(tree: Any, prefix: str = "") -> dict[str, Any]:
    """Sizes and slots of an AnnData at `prefix`."""
    at = f"{prefix}/" if prefix else ""
    members = tree.members(prefix)
    if not {"obs", "var"} <= set(members):
        raise FormatError(
            f"{prefix or 'root'}: expected AnnData (obs and var), found {', '.join(members[:10]) or 'nothing'}"
        )
    slots: list[dict[str, Any]] = []
    for name in sorted(members, key=lambda name: (name not in ("X", "obs", "var"), name)):
        inner = tree.members(f"{at}{name}") if name in _MAPPINGS else []
        for key in [f"{at}{name}/{member}" for member in inner] if name in _MAPPINGS else [f"{at}{name}"]:
            slots += _element(tree, key)
    by_key = {slot["key"]: slot for slot in slots}
    n_cells, n_genes = by_key[f"{at}obs"]["shape"][0], by_key[f"{at}var"]["shape"][0]
    matrix, entries = by_key.get(f"{at}X"), 0
    if matrix is not None and len(matrix["shape"]) == 2:
        if matrix["shape"] != [n_cells, n_genes]:
            found = " x ".join(map(str, matrix["shape"]))
            raise FormatError(f"{at}X: expected {n_cells} x {n_genes}, as obs and var say, found {found}")
        entries = matrix["entries"] if matrix["entries"] is not None else n_cells * n_genes
    return {"n_cells": n_cells, "n_genes": n_genes, "entries": entries, "slots": slots}


def _zarr(place: str) -> dict[str, Any]:
    with Store(place) as store:
        tree = _ZarrTree(store)
        version = 3 if "zarr.json" in store.sizes else 2
        return {"zarr_format": version} | _anndata(tree)


def _h5mu(place: str) -> dict[str, Any]:
    import h5py

    with h5py.File(place, "r", locking=False) as file:
        tree = _H5Tree(file)
        order = tree.attributes("mod").get("mod-order") or tree.members("mod")
        parts = {name: _anndata(tree, f"mod/{name}") for name in order}
        slots = _element(tree, "obs") if "obs" in file else []
        n_cells = slots[0]["shape"][0] if slots else max((part["n_cells"] for part in parts.values()), default=0)
        sizes = {name: {key: part[key] for key in ("n_cells", "n_genes", "entries")} for name, part in parts.items()}
        return {
            "n_cells": n_cells,
            "n_genes": sum(part["n_genes"] for part in parts.values()),
            "entries": sum(part["entries"] for part in parts.values()),
            "modalities": sizes,
            "slots": slots + [slot for part in parts.values() for slot in part["slots"]],
        }


def _loom(place: str) -> dict[str, Any]:
    import h5py

    with h5py.File(place, "r", locking=False) as file:
        tree = _H5Tree(file)
        n_genes, n_cells = tree.array("matrix")[0]  # type: ignore[index]
        keys = ["matrix"]
        for group in ("layers", "row_attrs", "col_attrs", "row_graphs", "col_graphs"):
            keys += [f"{group}/{name}" for name in (tree.members(group) if group in file else [])]
        slots = [slot for key in keys for slot in _element(tree, key)]
    return {"n_cells": n_cells, "n_genes": n_genes, "entries": n_cells * n_genes, "slots": slots}


def _csv(place: str) -> dict[str, Any]:
    from ._tables import _delimiter, _open

    rows, packed = 0, []
    with open(place, "rb") as raw:
        packed = ["gzip"] if raw.read(2) == b"\x1f\x8b" else []
    try:
        with _open(place) as file:
            first, second = file.readline(), file.readline()
            mark = _delimiter(first, second)
            width = len(next(csv.reader([second.rstrip("\r\n")], delimiter=mark))) - 1
            rows = 1 + sum(1 for line in file if line.strip())
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise FormatError(f"{place}: expected sound text, found: {error}") from error
    slot = _slot(
        os.path.basename(place), "table", [rows, width], "text", compression=packed, bytes=os.path.getsize(place)
    )
    return _table([rows, width], slot) | {"delimiter": mark}


def _parquet(place: str) -> dict[str, Any]:
    need("pyarrow", "parquet")
    import pyarrow.parquet as parquet

    file = parquet.ParquetFile(place)
    numeric = [field for field in file.schema_arrow if str(field.type) not in ("string", "large_string", "binary")]
    groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
    packed = sorted({group.column(j).compression.lower() for group in groups[:1] for j in range(group.num_columns)})
    types = sorted({str(field.type) for field in numeric})
    shape = [file.metadata.num_rows, len(numeric)]
    size = sum(group.column(j).total_compressed_size for group in groups for j in range(group.num_columns))
    packed = [name for name in packed if name != "uncompressed"]
    return _table(shape, _slot("table", "table", shape, ", ".join(types), compression=packed, bytes=size))


def _table(shape: list[int], slot: dict[str, Any]) -> dict[str, Any]:
    # Whether rows are cells or genes a table does not say.
    rows, columns = shape
    return {
        "n_cells": None,
        "n_genes": None,
        "rows": rows,
        "columns": columns,
        "entries": rows * columns,
        "slots": [slot],
    }
