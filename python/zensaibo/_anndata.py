"""The only module that knows where AnnData keeps things."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .errors import DataError, EmptyDataError, MissingKeyError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData

#: What the extension takes as values without a copy.
_VALUE_TYPES = frozenset(np.dtype(t) for t in ("f4", "f8", "i4", "i8", "u1", "u2", "u4", "u8"))

#: Types of which single precision holds every value.
_EXACT = frozenset(np.dtype(t) for t in ("f2", "f4", "i1", "i2", "u1", "u2"))


def check_adata(adata: Any, name: str = "adata") -> AnnData:
    """``adata`` if it is an AnnData, else a `ParameterError` that says what came instead."""
    from anndata import AnnData

    if not isinstance(adata, AnnData):
        raise ParameterError(f"parameter `{name}`: expected an AnnData, found {type(adata).__name__}")
    return adata


def start(adata: AnnData, copy: bool) -> AnnData:
    """The object to change: a copy if asked for; a view is made real first, as scanpy does."""
    check_adata(adata)
    if copy:
        return adata.copy()
    if adata.is_view:
        adata._init_as_actual(adata.copy())
    return adata


def as_matrix(matrix: Any, name: str = "X", *, stream: bool = False) -> Any:
    """``matrix`` as csr, csc or C-ordered numpy array of a type that the extension takes.

    No copy is made where none is needed. Unsorted or repeated column indices are put right in a copy. What lies in an HDF5
    file or a Zarr folder (a `zensaibo.io.FileMatrix`, the matrix of a backed AnnData) is read; with `stream` it stays there, and a handle comes back
    that the extension reads block by block.
    """
    stored = _in_file(matrix)
    if stored is not None:
        if stream:
            return stored
        values, indices, indptr = stored.collect()
        return sparse.csr_matrix((values, indices, indptr), shape=stored.shape)
    if sparse.issparse(matrix):
        if matrix.format not in ("csr", "csc"):
            matrix = matrix.tocsr()
        if not matrix.has_canonical_format:
            matrix = matrix.copy()
            matrix.sum_duplicates()
        if matrix.dtype not in _VALUE_TYPES:
            matrix = matrix.astype(_wider(matrix.dtype, name))
        return matrix
    array = np.asarray(matrix)
    if array.ndim != 2:
        raise DataError(f"`{name}`: expected two dimensions, found shape {array.shape}")
    if array.dtype not in _VALUE_TYPES:
        array = array.astype(_wider(array.dtype, name))
    return np.ascontiguousarray(array)


def _in_file(matrix: Any) -> Any:
    """The handle of a matrix in an HDF5 file or a Zarr folder; None for any other."""
    from . import _core

    if isinstance(matrix, _core.FileMatrix):
        return matrix
    if isinstance(getattr(matrix, "_core", None), _core.FileMatrix):
        return matrix._core
    # anndata's sparse datasets have a group, h5py's dense ones are datasets.
    place = getattr(matrix, "group", matrix)
    store = getattr(place, "store", None)
    if store is not None and isinstance(getattr(place, "path", None), str):
        # zarr 3 calls the folder root, zarr 2 path.
        folder = getattr(store, "root", None) or getattr(store, "path", None)
        if place.path and isinstance(folder, (str, os.PathLike)) and os.path.isdir(folder):
            return _core.FileMatrix([os.fspath(folder)], place.path)
        return None
    file = getattr(place, "file", None)
    if file is None or not isinstance(getattr(file, "filename", None), str) or not isinstance(getattr(place, "name", None), str):
        return None
    file.flush()
    return _core.FileMatrix([file.filename], place.name.strip("/"))


def in_file(matrix: Any) -> bool:
    """Whether ``matrix`` lies in a file, or is the handle of one."""
    return _in_file(matrix) is not None


def rows_of(matrix: Any, rows: slice) -> Any:
    """A few rows of what `as_matrix` gave, in memory."""
    if not in_file(matrix):
        return matrix[rows]
    mask = np.zeros(matrix.shape[0], dtype=bool)
    mask[rows] = True
    return as_matrix(matrix.select_rows(mask.tolist()))


def columns_of(matrix: Any, places: Any) -> Any:
    """Columns ``places`` of a matrix, in that order, in memory. One in a file is read once, and nothing else of it is held."""
    places = np.asarray(places, dtype=np.int64)
    stored = _in_file(matrix)
    if stored is None:
        return matrix[:, places]
    distinct, order = np.unique(places, return_inverse=True)
    dtype = np.dtype(getattr(matrix, "dtype", np.float32))
    handle = matrix is stored or hasattr(matrix, "_core")
    dense = stored.dense and not handle
    if handle or dtype in _EXACT or dtype == bool:
        mask = np.zeros(stored.shape[1], dtype=bool)
        mask[distinct] = True
        part = as_matrix(stored.select_columns(mask.tolist()))
        part = part if handle else part.astype(dtype, copy=False)
    else:
        # Values that single precision does not hold: some rows at a time in the type of the file.
        step = max(1, (1 << 24) // max(1, stored.shape[1]))
        pieces = [matrix[start : start + step][:, distinct] for start in range(0, stored.shape[0], step)]
        part = sparse.vstack([sparse.csr_matrix(piece) for piece in pieces], format="csr")
    part = part[:, order]
    return part.toarray() if dense else part


def as_dense(matrix: Any, name: str, dtype: Any = np.float32) -> np.ndarray:
    """``matrix``, sparse or dense, as a C-ordered numpy array of two dimensions."""
    array = matrix.toarray() if sparse.issparse(matrix) else np.asarray(matrix)
    if array.ndim != 2:
        raise ShapeError(f"`{name}`: expected two dimensions, found shape {array.shape}")
    return np.ascontiguousarray(array, dtype=dtype)


def _wider(dtype: np.dtype, name: str) -> np.dtype:
    if dtype.kind == "b":
        return np.dtype("u1")
    if dtype.kind == "i":
        return np.dtype("i4")
    if dtype.kind == "f":
        return np.dtype("f4") if dtype.itemsize < 4 else np.dtype("f8")
    raise DataError(f"`{name}`: expected numbers, found dtype {dtype}")


def get_matrix(
    adata: AnnData,
    *,
    layer: str | None = None,
    use_raw: bool = False,
    obsm: str | None = None,
    allow_empty: bool = False,
    stream: bool = False,
) -> Any:
    """X, a layer, ``raw.X`` or an obsm array, ready for the extension (see `as_matrix`, also for `stream`)."""
    if sum((layer is not None, use_raw, obsm is not None)) > 1:
        raise ParameterError("parameters `layer`, `use_raw`, `obsm`: expected at most one of them, found several")
    if layer is not None:
        name, matrix = f"layers[{layer!r}]", _fetch(adata.layers, layer, "adata.layers")
    elif obsm is not None:
        name, matrix = f"obsm[{obsm!r}]", _fetch(adata.obsm, obsm, "adata.obsm")
    elif use_raw:
        if adata.raw is None:
            raise MissingKeyError("key `raw` not found in adata: `use_raw=True` needs `adata.raw`")
        name, matrix = "raw.X", adata.raw.X
    else:
        name, matrix = "X", adata.X
        if matrix is None:
            raise EmptyDataError("`adata.X`: expected a matrix, found None")
    if adata.isbacked and not stream and not sparse.issparse(matrix) and not isinstance(matrix, np.ndarray):
        matrix = matrix[:] if not hasattr(matrix, "to_memory") else matrix.to_memory()
    matrix = as_matrix(matrix, name, stream=stream)
    if not allow_empty and 0 in matrix.shape:
        raise EmptyDataError(f"`adata.{name}`: expected at least one cell and one gene, found shape {matrix.shape}")
    return matrix


def get_matrix_to_sum(adata: AnnData, *, layer: str | None = None, use_raw: bool = False) -> Any:
    """As `get_matrix`, in its file only where sums over its rows keep their bits: dense matrices and those of double precision are
    added up in ways of their own."""
    matrix = get_matrix(adata, layer=layer, use_raw=use_raw, stream=True)
    if in_file(matrix) and (matrix.dense or matrix.dtype == np.float64):
        matrix = get_matrix(adata, layer=layer, use_raw=use_raw)
    return matrix


def check_changeable(adata: AnnData, *, layer: str | None = None, obsm: str | None = None) -> None:
    """Refuses, before any work, to change X of an AnnData that is backed by a file: files stay as they are."""
    if layer is None and obsm is None and adata.isbacked:
        raise ParameterError(
            f"`adata.X`: expected a matrix in memory to change, found an AnnData backed by {adata.filename}; "
            "zensaibo.io.open_matrix(...).normalize_total().log1p() changes values as they are read, adata.to_memory() reads them"
        )


def set_matrix(adata: AnnData, matrix: Any, *, layer: str | None = None, obsm: str | None = None) -> None:
    """Puts a matrix in place of X (see `check_changeable`), of a layer or of an obsm array."""
    check_changeable(adata, layer=layer, obsm=obsm)
    if layer is not None:
        adata.layers[layer] = matrix
    elif obsm is not None:
        adata.obsm[obsm] = matrix
    else:
        adata.X = matrix


def _fetch(mapping: Any, key: str, container: str) -> Any:
    try:
        return mapping[key]
    except KeyError:
        present = ", ".join(map(str, mapping.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in {container}; present: {present}") from None


def get_obs(adata: AnnData, key: str) -> Any:
    """A column of obs, or a `MissingKeyError` that lists the columns."""
    return _fetch(adata.obs, key, "adata.obs")


def get_var(adata: AnnData, key: str) -> Any:
    """A column of var, or a `MissingKeyError` that lists the columns."""
    return _fetch(adata.var, key, "adata.var")


def get_obsm(adata: AnnData, key: str) -> Any:
    """An obsm array, or a `MissingKeyError` that lists those present."""
    return _fetch(adata.obsm, key, "adata.obsm")


def get_obsp(adata: AnnData, key: str) -> Any:
    """An obsp matrix, or a `MissingKeyError` that lists those present."""
    return _fetch(adata.obsp, key, "adata.obsp")


def get_uns(adata: AnnData, key: str) -> Any:
    """An entry of uns, or a `MissingKeyError` that lists those present."""
    return _fetch(adata.uns, key, "adata.uns")
