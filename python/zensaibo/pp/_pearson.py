"""Normalisation by Pearson residuals."""

from __future__ import annotations

import warnings
from typing import Any

from .. import arrays
from .._anndata import check_adata, check_changeable, get_matrix, set_matrix, start
from .._provenance import record
from ..arrays._counts import ProgressArgument
from ..errors import ParameterError


def normalize_pearson_residuals(
    adata: Any,
    *,
    theta: float = 100,
    clip: float | None = None,
    check_values: bool = True,
    layer: str | None = None,
    inplace: bool = True,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Replaces raw counts by their residuals from a negative binomial model of cell and gene totals.

    Parameters
    ----------
    adata
        Annotated data with raw counts.
    theta
        Overdispersion, shared by all genes; above 0. Larger is closer to Poisson, ``inf`` is Poisson.
    clip
        Residuals are cut to -clip..clip. ``None``: the square root of the number of cells.
    check_values
        Warn when values are not raw counts.
    layer
        Layer to use in place of X.
    inplace
        Change ``adata``; otherwise return ``{"X": residuals, "theta": ..., "clip": ..., "computed_on": ...}``.
    copy
        Change and return a copy; not with ``inplace=False``.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, the copy, or the dictionary. Writes X or the layer (dense float32) and
    ``uns["pearson_residuals_normalization"]`` with ``theta``, ``clip``, ``computed_on``.

    Raises
    ------
    ParameterError, MissingKeyError, EmptyDataError, NegativeValuesError, NonFiniteError

    Notes
    -----
    Dense: 4 bytes per cell and gene; select genes first (``highly_variable_genes`` with ``flavor="pearson_residuals"``
    does not make anything dense). Genes and cells without counts have residuals of 0 (scanpy: NaN).

    References
    ----------
    Lause, Berens, Kobak, Analytic Pearson residuals for normalization of single-cell RNA-seq UMI data, Genome Biology
    2021.
    """
    if copy and not inplace:
        raise ParameterError("parameters `copy`, `inplace`: expected at most copy=True or inplace=False, found both")
    check_adata(adata)
    if inplace:
        check_changeable(adata, layer=layer)
    found = arrays.pearson_residuals(
        get_matrix(adata, layer=layer, stream=True),
        theta=theta,
        clip=clip,
        check_values=check_values,
        threads=threads,
        progress=progress,
    )
    if found.not_counts:
        warnings.warn(
            "`normalize_pearson_residuals()` expects raw count data, but non-integers were found.",
            UserWarning,
            stacklevel=2,
        )
    settings = {"theta": theta, "clip": clip, "computed_on": layer or "adata.X"}
    if not inplace:
        return {"X": found.residuals, **settings}
    adata = start(adata, copy)
    set_matrix(adata, found.residuals, layer=layer)
    adata.uns["pearson_residuals_normalization"] = settings
    record(adata, "normalize_pearson_residuals", theta=theta, clip=clip, check_values=check_values, layer=layer)
    return adata if copy else None
