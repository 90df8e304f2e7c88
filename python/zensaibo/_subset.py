"""Subsetting an AnnData in place without a second copy of its matrix."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from . import _core

if TYPE_CHECKING:
    from anndata import AnnData

_INDEX_TYPES = (np.dtype(np.int32), np.dtype(np.int64))


def subset_obs(adata: AnnData, mask: np.ndarray, *, threads: int | None = None) -> None:
    """Keeps the cells where ``mask`` is True. X in CSR is compacted inside its own memory when nobody else holds it."""
    _subset(adata, mask, 0, threads)


def subset_var(adata: AnnData, mask: np.ndarray, *, threads: int | None = None) -> None:
    """Keeps the genes where ``mask`` is True. X in CSR is compacted inside its own memory when nobody else holds it."""
    _subset(adata, mask, 1, threads)


def _subset(adata: AnnData, mask: np.ndarray, axis: int, threads: int | None) -> None:
    mask = np.ascontiguousarray(mask, dtype=bool)
    shape = adata.shape
    matrix = _detach(adata)
    try:
        (adata._inplace_subset_obs if axis == 0 else adata._inplace_subset_var)(mask)
    except BaseException:
        if matrix is not None and adata.shape == shape:
            adata.X = matrix
        raise
    if matrix is not None:
        adata.X, interrupt = _compact(matrix, mask, axis, threads)
        if interrupt is not None:
            raise interrupt


def _detach(adata: AnnData) -> Any:
    """Takes X out of ``adata`` when it is CSR that nobody else holds; ``None``, and nothing changed, otherwise."""
    if adata.is_view or adata.isbacked or not getattr(sys, "_is_gil_enabled", lambda: True)():
        return None
    holder = [adata.X]
    if not isinstance(holder[0], (sparse.csr_matrix, sparse.csr_array)):
        return None
    if holder[0].indptr.dtype not in _INDEX_TYPES or holder[0].indices.dtype != holder[0].indptr.dtype:
        return None
    adata.X = None
    if not _sole(holder):
        adata.X = holder[0]
        return None
    return holder[0]


def _sole(holder: list[Any]) -> bool:
    """Whether the matrix in ``holder``, and each of its arrays, is held by nothing else, so that overwriting it is unseen."""
    # What "nothing else" counts as depends on the interpreter: measured on a matrix that surely is alone.
    alone = [type(holder[0])((np.ones(1, "f4"), np.zeros(1, "i4"), np.array([0, 1], "i4")), shape=(1, 1))]
    return _references(holder) == _references(alone) and all(map(_own_memory, _arrays(holder[0])))


def _arrays(matrix: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return matrix.data, matrix.indices, matrix.indptr


def _references(holder: list[Any]) -> tuple[int, ...]:
    counts = [sys.getrefcount(holder[0])]
    counts += [sys.getrefcount(array) for array in _arrays(holder[0])]
    return tuple(counts)


def _own_memory(array: np.ndarray) -> bool:
    """Whether the memory of ``array`` is its own, or that of an owner known to it alone, and may be written."""
    if not (array.flags.writeable and array.flags.c_contiguous and array.flags.aligned and type(array) is np.ndarray):
        return False
    # scipy often keeps the front of a longer array, and arrays from the extension lie over memory that Rust allocated:
    # each owner on the way down must be known to the one above alone.
    while not array.flags.owndata:
        base = array.base
        # Three: the array above, the name here, and the argument of the call itself.
        if base is None or isinstance(base, memoryview) or sys.getrefcount(base) > 3:
            return False
        if not isinstance(base, np.ndarray):
            return True
        array = base
    return True


def _compact(matrix: Any, mask: np.ndarray, axis: int, threads: int | None) -> tuple[Any, BaseException | None]:
    """``matrix`` with the rows (0) or columns (1) of ``mask``, in its own memory, and an interruption to be raised."""
    data, indices, indptr = _arrays(matrix)
    done = np.zeros(1, np.uint8)
    interrupt = None
    try:
        _core.compact_csr(
            indptr,
            indices,
            data.view(f"u{data.dtype.itemsize}"),
            mask if axis == 0 else None,
            mask if axis == 1 else None,
            done,
            threads,
        )
    except KeyboardInterrupt as error:
        # Compaction is never left halfway; either it is done, or it had not begun.
        interrupt = error
        if not done[0]:
            matrix = matrix[mask] if axis == 0 else matrix[:, mask]
            return matrix, interrupt
    kept = int(mask.sum())
    shape = (kept, matrix.shape[1]) if axis == 0 else (matrix.shape[0], kept)
    stored = int(indptr[shape[0]])
    out = type(matrix)(shape, dtype=data.dtype)
    out.indptr = indptr[: shape[0] + 1].copy() if axis == 0 else indptr
    # Everything lets go of the old arrays first: shortening moves their memory.
    parts = [data, indices]
    del matrix, data, indices
    out.indices, out.data = _shorten(parts, stored), _shorten(parts, stored)
    return out, interrupt


def _shorten(parts: list[np.ndarray], length: int) -> np.ndarray:
    """The front of the last of ``parts``, which is taken out; the memory behind it is given back."""
    array = parts.pop()
    base = array.base
    if isinstance(base, np.ndarray) and base.dtype == array.dtype and base.ctypes.data == array.ctypes.data and base.ndim == 1:
        array = base
    base = None
    if array.flags.owndata:
        array.resize(length, refcheck=False)
        return array
    # Memory of another owner cannot be given back in part: copied when that frees more than it takes.
    return array[:length].copy() if length < len(array) // 2 else array[:length]
