"""Regressing properties of the cells out of a matrix of cells x genes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._progress import reporting
from ..errors import DataError, ParameterError, ShapeError
from ._counts import ProgressArgument


class Regressed(NamedTuple):
    """What `regress_out` returns."""

    residuals: np.ndarray
    """(cells, genes) float32: what the fit leaves."""
    dropped: int
    """Number of covariates that added nothing: constant, or combinations of others."""


def as_design(covariates: Any, categories: Any, n_cells: int) -> tuple[Any, Any]:
    """Both as the extension takes them; at most one is given."""
    if covariates is not None and categories is not None:
        raise ParameterError("parameters `covariates`, `categories`: expected at most one of them, found both")
    if covariates is not None:
        try:
            table = np.asarray(covariates, dtype=np.float64)
        except (TypeError, ValueError):
            kind = np.asarray(covariates).dtype
            raise DataError(f"`covariates`: expected numbers, found dtype {kind}") from None
        if table.ndim == 1:
            table = table[:, None]
        if table.ndim != 2 or table.shape[0] != n_cells:
            raise ShapeError(f"`covariates`: expected {n_cells} rows, one per cell, found shape {table.shape}")
        return [np.ascontiguousarray(column) for column in table.T], None
    if categories is not None:
        codes = np.asarray(categories)
        if codes.shape != (n_cells,):
            raise ShapeError(f"`categories`: expected {n_cells} entries, one per cell, found shape {codes.shape}")
        if codes.dtype.kind not in "iu" or (codes.size and codes.min() < 0):
            found = f"dtype {codes.dtype}" if codes.dtype.kind not in "iu" else f"{codes.min()}"
            raise DataError(f"`categories`: expected whole numbers of at least 0, found {found}")
        count = int(codes.max()) + 1 if codes.size else 0
        if count > max(n_cells, 1 << 16):
            raise DataError(f"`categories`: expected numbers from 0 without large gaps, found {count - 1}")
        return None, (np.ascontiguousarray(codes, dtype=np.uint32), count)
    return None, None


def regress_out(
    matrix: Any,
    covariates: Any = None,
    *,
    categories: Any = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Regressed:
    """Residuals of each gene after an ordinary least-squares fit on properties of the cells.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype, finite; values are used as float32.
    covariates
        Continuous properties, (cells,) or (cells, p), finite. A constant is always fitted beside them. Collinear and
        constant columns add nothing and do no harm.
    categories
        Instead: one category per cell, numbered from 0; each gene then loses its mean in the category.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    Regressed
        ``residuals, dropped``.

    Raises
    ------
    ParameterError, DataError, ShapeError, NonFiniteError, EmptyDataError

    Notes
    -----
    The result is dense: 4 bytes per cell and gene. Two reads and one write, sums in float64. Principal components of
    the residuals need none of that memory: see ``covariates`` of `pca`.
    """
    found = as_matrix(matrix, "matrix")
    columns, codes = as_design(covariates, categories, found.shape[0])
    if columns is None and codes is None:
        raise ParameterError("parameters `covariates`, `categories`: expected one of them, found neither")
    with reporting(progress) as callback:
        return Regressed(*_core.regress_out(found, columns, codes, threads, callback))
