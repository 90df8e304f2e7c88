"""ComBat on matrices of cells x genes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from ..errors import DataError
from ._counts import ProgressArgument
from ._regress import as_design


class Combat(NamedTuple):
    """What `combat` returns."""

    corrected: np.ndarray
    """(cells, genes) float32: the matrix without the batch effects."""
    gamma: np.ndarray
    """(batches, genes) float64: additive effect, in pooled standard deviations; 0 for genes that do not vary."""
    delta: np.ndarray
    """(batches, genes) float64: multiplicative effect on the variance; 1 for genes that do not vary."""
    n_constant: int
    """Number of genes that do not vary within batches, left as they are."""


def combat(
    matrix: Any,
    batches: Any,
    *,
    covariates: Any = None,
    tolerance: float = 1e-4,
    max_iter: int = 1000,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Combat:
    """Takes batch effects off, estimated gene by gene with strength borrowed across genes.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype, finite, usually logarithmised; values are used as float32.
    batches
        Batch of each cell, as integers from 0 without gaps; at least two batches of at least two cells.
    covariates
        Properties of the cells whose effect is kept, (cells,) or (cells, c): numbers, or indicators of categories (all
        but one of each).
    tolerance
        Largest relative change at which the posterior estimates count as found.
    max_iter
        Rounds after which to give up.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    Combat
        ``corrected, gamma, delta, n_constant``.

    Raises
    ------
    ParameterError, DataError, ShapeError, NonFiniteError, TooFewError, NotConvergedError

    Notes
    -----
    Parametric empirical Bayes. The result is dense, 4 bytes per cell and gene. Two reads and one write: all estimates
    come from sums per gene and batch. Genes that do not vary take no part in the priors.

    References
    ----------
    Johnson, Li, Rabinovic, Adjusting batch effects in microarray expression data using empirical Bayes methods,
    Biostatistics 2007.
    """
    found = as_matrix(matrix, "matrix")
    codes = np.asarray(batches)
    if codes.ndim != 1 or codes.dtype.kind not in "iu" or (codes.size and codes.min() < 0):
        raise DataError("`batches`: expected one whole number of at least 0 per cell, found others")
    columns, _ = as_design(covariates, None, found.shape[0])
    options = to_json(tolerance=tolerance, max_iter=max_iter)
    with reporting(progress) as callback:
        return Combat(
            **_core.combat(
                found, np.ascontiguousarray(codes, dtype=np.uint32), columns or [], options, threads, callback
            )
        )
