"""Highly variable genes on matrices of cells x genes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from .._shared import call
from ._counts import ProgressArgument


@dataclass(frozen=True)
class HighlyVariableGenes:
    """Result of `highly_variable_genes`; arrays with one entry per gene, ``None`` where the flavor has no such thing."""

    #: Whether a gene is highly variable (bool).
    highly_variable: np.ndarray
    #: Mean (log1p of the mean for ``seurat``), averaged over batches.
    means: np.ndarray
    #: ``seurat``, ``cell_ranger``: variance / mean (its logarithm for ``seurat``).
    dispersions: np.ndarray | None = None
    #: ``seurat``, ``cell_ranger``: dispersion standardised within its bin.
    dispersions_norm: np.ndarray | None = None
    #: ``seurat_v3``, ``seurat_v3_paper``, ``pearson_residuals``: variance.
    variances: np.ndarray | None = None
    #: ``seurat_v3``, ``seurat_v3_paper``: variance of standardised, clipped counts.
    variances_norm: np.ndarray | None = None
    #: ``pearson_residuals``: variance of Pearson residuals, averaged over batches.
    residual_variances: np.ndarray | None = None
    #: ``seurat_v3``, ``seurat_v3_paper``, ``pearson_residuals``: median rank over batches, NaN where never among the top.
    rank: np.ndarray | None = None
    #: With batches: in how many a gene is highly variable (int64).
    n_batches: np.ndarray | None = None
    #: With batches, not for the seurat_v3 flavors: whether it is in all of them.
    intersection: np.ndarray | None = None
    #: Whether values other than raw counts were found where raw counts are expected.
    not_counts: bool = False
    #: Remarks, such as fewer genes than asked for.
    notes: tuple[str, ...] = ()


def _bound(value: float) -> float | str:
    return value if math.isfinite(value) or math.isnan(value) else ("inf" if value > 0 else "-inf")


def highly_variable_genes(
    matrix: Any,
    *,
    flavor: str = "seurat",
    n_top_genes: int | None = None,
    min_disp: float = 0.5,
    max_disp: float = math.inf,
    min_mean: float = 0.0125,
    max_mean: float = 3,
    span: float = 0.3,
    n_bins: int = 20,
    check_values: bool = True,
    filter_unexpressed_genes: bool | None = None,
    theta: float = 100,
    clip: float | None = None,
    batches: Any = None,
    log_base: float | None = None,
    tie_order: Any = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> HighlyVariableGenes:
    """Selects the genes that vary more than others of their mean.

    Parameters
    ----------
    matrix
        Cells x genes, scipy sparse or numpy: logarithmised for ``seurat`` and ``cell_ranger``, raw counts for
        the others.
    flavor
        ``"seurat"``, ``"cell_ranger"``, ``"seurat_v3"``, ``"seurat_v3_paper"`` or
        ``"pearson_residuals"``.
    n_top_genes
        Number of genes; ``None`` selects by the cutoffs (2000 for the seurat_v3 flavors); needed for
        ``pearson_residuals``.
    min_disp, max_disp, min_mean, max_mean
        Cutoffs, ignored with ``n_top_genes`` and by flavors that take raw counts.
    span
        Fraction of genes in each local fit of the loess curve (seurat_v3 flavors).
    n_bins
        Bins of the mean (``seurat``).
    check_values
        Look whether the values are raw counts (flavors that take them); see ``not_counts`` of the result.
    filter_unexpressed_genes
        Leave genes that no cell expresses out of the bins (``seurat``, ``cell_ranger``); always done with batches.
    theta
        Overdispersion of the negative binomial model, above 0; ``inf`` is Poisson (``pearson_residuals``).
    clip
        Residuals are cut to -clip..clip; ``None``: the square root of the number of cells of the batch
        (``pearson_residuals``).
    batches
        Batch of each cell, as integers from 0 without gaps.
    log_base
        Base of the logarithm that was taken; ``None``: e (``seurat``).
    tie_order
        Gene numbers in the order that breaks ties over batches (``seurat``, ``cell_ranger``).
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Raises
    ------
    ParameterError, EmptyDataError, NonFiniteError, NegativeValuesError, TooFewError
    """
    options = to_json(
        flavor=flavor,
        n_top_genes=n_top_genes,
        min_disp=_bound(min_disp),
        max_disp=_bound(max_disp),
        min_mean=_bound(min_mean),
        max_mean=_bound(max_mean),
        span=span,
        n_bins=n_bins,
        check_values=check_values,
        filter_unexpressed_genes=filter_unexpressed_genes,
        theta=_bound(float(theta)),
        clip=None if clip is None else float(clip),
    )
    if batches is not None:
        batches = np.ascontiguousarray(batches, dtype=np.uint32)
    if tie_order is not None:
        tie_order = np.ascontiguousarray(tie_order, dtype=np.uint32)
    with reporting(progress) as callback:
        found = call(
            _core.highly_variable_genes,
            as_matrix(matrix, "matrix", stream=True), options, batches, log_base, tie_order, threads, callback
        )
    return HighlyVariableGenes(**{**found, "notes": tuple(found["notes"])})


def loess(x: Any, y: Any, *, span: float = 0.75) -> np.ndarray:
    """Smooth curve through ``y`` over ``x`` by local quadratics with tricube weights, read off at ``x``.

    Equal to scikit-misc's ``loess(x, y, span=span, degree=2)`` with its default interpolation, to rounding.

    Parameters
    ----------
    x, y
        Points, one-dimensional, finite.
    span
        Fraction of the points in each local fit, above 0.

    References
    ----------
    Cleveland and Grosse, Computational methods for local regression, Statistics and Computing 1991.
    """
    return _core.loess(np.ascontiguousarray(x, np.float64), np.ascontiguousarray(y, np.float64), float(span))
