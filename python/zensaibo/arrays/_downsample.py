"""Drawing molecules from a matrix of raw counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from ..errors import ParameterError, ShapeError
from ._counts import ProgressArgument


def _count(name: str, value: Any) -> int:
    if isinstance(value, (bool, np.bool_)) or not np.isfinite(value) or int(value) != value or value < 0:
        raise ParameterError(f"parameter `{name}`: expected a whole number of at least 0, found {value!r}")
    return int(value)


def _targets(counts_per_cell: Any, n_cells: int) -> np.ndarray:
    array = np.asarray(counts_per_cell)
    if array.ndim == 0:
        return np.full(n_cells, _count("counts_per_cell", array.item()), dtype=np.uint64)
    if array.shape != (n_cells,):
        raise ShapeError(
            f"`counts_per_cell`: expected one number, or {n_cells}, one per cell, found shape {array.shape}"
        )
    if array.dtype.kind not in "iuf" or not (np.isfinite(array) & (array >= 0) & (array == np.floor(array))).all():
        raise ParameterError("parameter `counts_per_cell`: expected whole numbers of at least 0, found others")
    return array.astype(np.uint64)


def downsample_counts(
    matrix: Any,
    counts_per_cell: Any = None,
    total_counts: int | None = None,
    *,
    replace: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Draws molecules from raw counts: at most so many per cell, or so many in all.

    Parameters
    ----------
    matrix
        Raw counts, cells x genes: CSR, CSC or dense, any numeric dtype, each below 2^24.
    counts_per_cell
        Counts that a cell keeps: one number, or one per cell. Cells with no more are left alone.
    total_counts
        Counts that the matrix keeps in all; a matrix with fewer is left alone. Exactly one of the two is given.
    replace
        Put each molecule back before the next is drawn.
    seed
        Seed of the draws. Each cell has a random stream of its own.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    A new matrix of the layout (CSR, CSC or dense) and dtype of ``matrix``, without stored zeros.

    Raises
    ------
    ParameterError, ShapeError, NotCountsError, NegativeValuesError, NonFiniteError, LimitError

    Notes
    -----
    The distribution is scanpy's, the draws are not: scanpy starts each cell from the same seed. Time: for each cell the
    smaller of the molecules kept and dropped.
    """
    if (counts_per_cell is None) is (total_counts is None):
        found = "neither" if total_counts is None else "both"
        raise ParameterError(f"parameters `counts_per_cell`, `total_counts`: expected exactly one of them, found {found}")
    if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or not 0 <= seed < 2**64:
        raise ParameterError(f"parameter `seed`: expected a whole number from 0 to 2^64 - 1, found {seed!r}")
    found = as_matrix(matrix, "matrix")
    targets = None if counts_per_cell is None else _targets(counts_per_cell, found.shape[0])
    total = 0 if total_counts is None else _count("total_counts", total_counts)
    with reporting(progress) as callback:
        indptr, indices, values = _core.downsample_counts(
            found, to_json(replace=replace, random_state=int(seed)), targets, total, threads, callback
        )
    index = np.int32 if max(len(values), found.shape[1]) < 2**31 else np.int64
    parts = (values.astype(found.dtype, copy=False), indices.astype(index), indptr.astype(index))
    if not sparse.issparse(found):
        return sparse.csr_matrix(parts, shape=found.shape).toarray()
    kind = sparse.csr_array if isinstance(found, sparse.sparray) else sparse.csr_matrix
    drawn = kind(parts, shape=found.shape)
    return drawn if found.format == "csr" else drawn.tocsc()
