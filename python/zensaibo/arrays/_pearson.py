"""Analytic Pearson residuals of counts."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from .._shared import call
from ._counts import ProgressArgument
from ._hvg import _bound


class PearsonResiduals(NamedTuple):
    """What `pearson_residuals` returns."""

    residuals: np.ndarray
    """(cells, genes) float32: (count - expected) / standard deviation expected, cut to -clip..clip."""
    cell_totals: np.ndarray
    """(cells,) float64: total count of each cell."""
    gene_totals: np.ndarray
    """(genes,) float64: total count of each gene."""
    not_counts: bool
    """Whether values that are not whole numbers were found (where ``check_values`` asked to look)."""


def pearson_residuals(
    matrix: Any,
    *,
    theta: float = 100,
    clip: float | None = None,
    check_values: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> PearsonResiduals:
    """Residuals of counts from a negative binomial model of cell and gene totals.

    Parameters
    ----------
    matrix
        Raw counts, cells x genes: CSR, CSC or dense, any numeric dtype.
    theta
        Overdispersion, shared by all genes; above 0. Larger is closer to Poisson, ``inf`` is Poisson.
    clip
        Residuals are cut to -clip..clip. ``None``: the square root of the number of cells.
    check_values
        Look whether the values are raw counts.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    PearsonResiduals
        ``residuals, cell_totals, gene_totals, not_counts``.

    Raises
    ------
    ParameterError, EmptyDataError, NegativeValuesError, NonFiniteError

    Notes
    -----
    The result is dense: 4 bytes per cell and gene. A gene or cell without counts, of which nothing is expected, has
    residuals of 0 (scanpy gives NaN). Arithmetic is float64.

    References
    ----------
    Lause, Berens, Kobak, Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data, Genome Biology
    2021.
    """
    options = to_json(
        theta=_bound(float(theta)), clip=None if clip is None else float(clip), check_values=check_values
    )
    with reporting(progress) as callback:
        return PearsonResiduals(**call(_core.pearson_residuals, as_matrix(matrix, "matrix", stream=True), options, threads, callback))
