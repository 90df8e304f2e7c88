"""Differential expression between samples on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ShapeError

__all__ = ["PseudobulkTest", "lowess", "pseudobulk_test"]


class PseudobulkTest(NamedTuple):
    """What `pseudobulk_test` returns. Per gene: shape (genes,), NaN where a gene was not tested."""

    kept: np.ndarray
    """bool: whether the gene had counts enough to be tested."""
    logfoldchanges: np.ndarray
    """float64: the contrast of the coefficients; log2 fold changes when it compares two groups."""
    mean_expression: np.ndarray
    """float64: mean over samples of log2 counts per million."""
    scores: np.ndarray
    """float64: moderated t."""
    pvals: np.ndarray
    """float64: two-sided p-values."""
    pvals_adj: np.ndarray
    """float64: false discovery rates (Benjamini-Hochberg) over the genes tested."""
    sigma: np.ndarray
    """float64: residual standard deviation of the weighted fit."""
    library_sizes: np.ndarray
    """(samples,) float64: counts over the genes kept."""
    norm_factors: np.ndarray
    """(samples,) float64: what each library size was multiplied with; their product is 1."""
    df_residual: float
    """Samples less coefficients."""
    df_prior: float
    """Degrees of freedom that all genes together lend to each; infinite when their variances differ by chance alone."""
    variance_prior: float
    """The variance that each was drawn towards."""
    trend: np.ndarray
    """(genes kept, 3) float64: mean log2 count (rising), square root of the standard deviation, fitted square root."""


def pseudobulk_test(
    counts: Any,
    design: Any,
    contrast: Any,
    *,
    coefficients: Sequence[str] | None = None,
    samples: Sequence[str] | None = None,
    min_count: float = 10.0,
    min_total_count: float = 15.0,
    normalization: Literal["tmm", "none"] = "tmm",
    span: float = 0.5,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> PseudobulkTest:
    """Test a contrast of a linear model on the summed counts of samples: precision weights and moderated t-statistics.

    Parameters
    ----------
    counts
        Samples x genes: whole numbers, summed over the cells of each sample.
    design
        Samples x coefficients, full column rank.
    contrast
        One weight per coefficient; ``[0, 1]`` tests the second.
    coefficients, samples
        Names for messages.
    min_count
        Counts that a gene must have in a sample of median size, in as many samples as the smallest group has.
    min_total_count
        Counts that a gene must have over all samples.
    normalization
        ``"tmm"``: library sizes corrected by the trimmed mean of M-values. ``"none"``: as they are.
    span
        Share of the genes in each window of the mean and spread trend.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    PseudobulkTest

    Raises
    ------
    NotCountsError, NegativeValuesError, NonFiniteError
        Values that are not raw counts.
    DataError
        Coefficients that are collinear; the first that adds nothing is named.
    TooFewError
        A sample that alone determines a coefficient (a group with one replicate), no residual degrees of freedom, or
        fewer than two genes left.
    EmptyDataError, ShapeError, ParameterError
        As named.

    Notes
    -----
    Steps and constants are those of edgeR's ``filterByExpr`` and ``calcNormFactors`` and of limma's ``voom``, ``lmFit``
    and ``eBayes`` (no trend, not robust), with library sizes counted anew after the filter and contrasts tested exactly
    under the weights. Nothing is random, and threads change no bit.

    References
    ----------
    Law et al., Genome Biology 15:R29 (2014); Smyth, SAGMB 3 (2004); Robinson and Oshlack, Genome Biology 11:R25 (2010).
    """
    table = np.ascontiguousarray(counts, dtype=np.float64)
    model = np.ascontiguousarray(design, dtype=np.float64)
    weights = np.ascontiguousarray(contrast, dtype=np.float64)
    if table.ndim != 2 or model.ndim != 2 or table.shape[0] != model.shape[0]:
        raise ShapeError(
            f"`counts`, `design`: expected samples x genes and samples x coefficients, found {table.shape} and {model.shape}"
        )
    if weights.ndim != 1:
        raise ShapeError(f"`contrast`: expected one weight per coefficient, found shape {weights.shape}")
    names = (
        [f"coefficient {i}" for i in range(model.shape[1])] if coefficients is None else list(map(str, coefficients))
    )
    rows = [f"{i}" for i in range(model.shape[0])] if samples is None else list(map(str, samples))
    if len(names) != model.shape[1] or len(rows) != model.shape[0]:
        raise ShapeError(
            f"`coefficients`, `samples`: expected names for a design of {model.shape}, found {len(names)} and {len(rows)}"
        )
    options = to_json(min_count=min_count, min_total_count=min_total_count, normalization=normalization, span=span)
    with reporting(progress) as callback:
        found = _core.pseudobulk_test(table, model, names, rows, weights, options, threads, callback)
    return PseudobulkTest(**found)


def lowess(x: Any, y: Any, *, span: float = 0.5, delta: float = 0.0) -> np.ndarray:
    """A robust local line through points: locally weighted linear regression in four rounds.

    Parameters
    ----------
    x, y
        Points, shape (n,); ``x`` may come in any order.
    span
        Share of the points in each window; above 0, at most 1.
    delta
        Points nearer than this to the last one fitted are interpolated.

    Returns
    -------
    Fitted values in the order of ``x``, float64.

    References
    ----------
    Cleveland, JASA 74 (1979).
    """
    from ..errors import NonFiniteError, ParameterError

    points = np.ascontiguousarray(x, dtype=np.float64), np.ascontiguousarray(y, dtype=np.float64)
    if points[0].ndim != 1 or points[0].shape != points[1].shape:
        raise ShapeError(
            f"`x`, `y`: expected one dimension and equal lengths, found {points[0].shape} and {points[1].shape}"
        )
    if not 0 < span <= 1:
        raise ParameterError(f"parameter `span`: expected above 0 and at most 1, found {span}")
    if not delta >= 0:
        raise ParameterError(f"parameter `delta`: expected at least 0, found {delta}")
    if not (np.isfinite(points[0]).all() and np.isfinite(points[1]).all()):
        raise NonFiniteError("`x`, `y`: expected finite values, found NaN or infinity")
    order = np.argsort(points[0], kind="stable")
    fitted = np.empty(len(order))
    fitted[order] = _core.lowess(points[0][order], points[1][order], float(span), float(delta))
    return fitted
