"""Genes brought to unit variance, on matrices of cells x genes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from ..errors import DataError, ShapeError
from ._counts import ProgressArgument, _writeable


class Scaled(NamedTuple):
    """What `scale` returns."""

    matrix: Any
    """The scaled matrix: dense with ``zero_center``, else CSR for sparse and dense for dense input."""
    mean: np.ndarray
    """(genes,) float64: mean of each gene before scaling, over the cells of the mask."""
    std: np.ndarray
    """(genes,) float64: standard deviation (cells - 1 in the divisor), 1 for a gene that does not vary."""


def cell_mask(mask: Any, n_cells: int, name: str = "mask_obs") -> np.ndarray:
    """``mask`` as a bool array of ``n_cells`` entries, or an error that says what it is instead."""
    array = np.asarray(mask)
    if array.dtype != np.bool_:
        raise DataError(f"`{name}`: expected a boolean mask, found dtype {array.dtype}")
    if array.shape != (n_cells,):
        raise ShapeError(f"`{name}`: expected {n_cells} entries, one per cell, found shape {array.shape}")
    return np.ascontiguousarray(array)


def scale(
    matrix: Any,
    *,
    zero_center: bool = True,
    max_value: float | None = None,
    mask_obs: Any = None,
    copy: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Scaled:
    """Divides each gene by its standard deviation, after taking its mean off.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype, finite.
    zero_center
        Take the mean off. The result is dense then; without it sparse stays sparse (CSC becomes CSR).
    max_value
        Cut scaled values above this and, with ``zero_center``, those below its negative; in standard deviations,
        above 0.
    mask_obs
        Boolean array, one entry per cell: means and deviations come from these cells, and only they are scaled.
    copy
        ``False``: the values of a float32 or float64 matrix are overwritten where the result has the same layout.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    Scaled
        ``matrix, mean, std``. float32 stays float32; integers become float64, as in scanpy.

    Raises
    ------
    ParameterError, DataError, ShapeError, NonFiniteError, EmptyDataError

    Notes
    -----
    Two reads and one write; the arithmetic is float64, means and deviations of float64 data are those of their float32
    values. Memory: the result. To go on to principal components without the dense matrix, see ``scale`` of `pca`.
    """
    found = as_matrix(matrix, "matrix")
    if sparse.issparse(found) and found.format != "csr":
        found = found.tocsr()
    mask = None if mask_obs is None else cell_mask(mask_obs, found.shape[0])
    options = to_json(zero_center=zero_center, max_value=None if max_value is None else float(max_value))
    densify = zero_center and sparse.issparse(found)
    with reporting(progress) as callback:
        mean, std = _core.scale_statistics(found, mask, threads, callback)
        if densify and found.dtype == np.float32:
            out = np.empty(found.shape, dtype=np.float32)
            _core.scale_to_dense(found, mean, std, options, out, mask, threads, callback)
            return Scaled(out, mean, std)
        if densify:
            found = np.ascontiguousarray(found.astype(np.float64, copy=False).toarray())
        else:
            found = _writeable(found, matrix, np.float64, copy)
        if sparse.issparse(found):
            _core.scale_in_place(
                found.data, mean, std, options, mask, found.indptr, found.indices, threads, callback
            )
        else:
            _core.scale_in_place(found, mean, std, options, mask, None, None, threads, callback)
    return Scaled(found, mean, std)
