"""Quality control and filters."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, get_matrix, get_var, start
from .._provenance import record
from .._subset import subset_obs, subset_var
from ..arrays._counts import ProgressArgument
from ..errors import DataError, ParameterError, ShapeError


def _sum_dtype(dtype: np.dtype) -> np.dtype:
    """The type in which scanpy reports sums of values of ``dtype``."""
    if dtype.kind == "f":
        return dtype
    return np.dtype(np.uint64) if dtype.kind == "u" else np.dtype(np.int64)


def _gene_mask(column: Any, name: str) -> np.ndarray:
    """A column of var as a mask."""
    values = np.asarray(column)
    if values.dtype == object and not any(value is not True and value is not False for value in values):
        values = values.astype(bool)
    if values.dtype != bool:
        raise DataError(f"`adata.var[{name!r}]`: expected True and False, found dtype {column.dtype}")
    return values


def calculate_qc_metrics(
    adata: Any,
    *,
    expr_type: str = "counts",
    var_type: str = "genes",
    qc_vars: Collection[str] | str = (),
    percent_top: Collection[int] | None = (50, 100, 200, 500),
    layer: str | None = None,
    use_raw: bool = False,
    inplace: bool = False,
    log1p: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Quality-control metrics per cell and gene, in one read of the matrix.

    Parameters
    ----------
    adata
        Annotated data, cells x genes.
    expr_type
        What the values are, for names of columns.
    var_type
        What the variables are, for names of columns.
    qc_vars
        Names of boolean columns of ``var`` whose share of every cell is computed ("mt", "ribo", ...).
    percent_top
        Numbers of highest genes whose share of every cell is computed; each from 1 to the number of genes.
    layer
        Layer to use in place of X.
    use_raw
        Use ``adata.raw`` in place of X (its genes, its ``var``).
    inplace
        Store in ``obs`` and ``var`` instead of returning two data frames.
    log1p
        Also give log1p of the metrics.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None`` with ``inplace``, else data frames for cells and genes. Columns for cells:
    ``n_genes_by_counts``, ``total_counts``, ``pct_counts_in_top_{n}_genes``, ``total_counts_{qc_var}``,
    ``pct_counts_{qc_var}``; for genes: ``n_cells_by_counts``, ``mean_counts``, ``pct_dropout_by_counts``,
    ``total_counts``; and ``log1p_`` of numbers, totals and means (not of ``n_cells``), as scanpy has them. Percentages of empty cells are NaN. Stored zeros
    do not count as expressed.

    Raises
    ------
    ParameterError, MissingKeyError, NonFiniteError, EmptyDataError

    References
    ----------
    McCarthy et al., Scater, Bioinformatics 2017.
    """
    import pandas as pd

    check_adata(adata)
    if layer is not None and use_raw:
        raise ParameterError("parameters `layer`, `use_raw`: expected at most one of them, found both")
    matrix = get_matrix(adata, layer=layer, use_raw=use_raw, stream=True)
    owner = adata.raw if use_raw else adata
    if inplace and matrix.shape[1] != adata.n_vars:
        raise ShapeError(
            f"`adata.raw`: expected the {adata.n_vars} genes of adata to store results in `var`, "
            f"found {matrix.shape[1]}; use inplace=False"
        )
    names = [qc_vars] if isinstance(qc_vars, str) else list(qc_vars)
    masks = {name: _gene_mask(get_var(owner, name), name) for name in names}
    found = arrays.qc_metrics(
        matrix, gene_masks=masks, percent_top=tuple(percent_top or ()), threads=threads, progress=progress
    )
    sums = _sum_dtype(matrix.dtype)
    counts = matrix.indptr.dtype if hasattr(matrix, "indptr") else np.dtype(np.int64)
    obs: dict[str, np.ndarray] = {}
    var: dict[str, np.ndarray] = {}

    def put(table: dict[str, np.ndarray], name: str, values: np.ndarray, logged: bool = True) -> None:
        table[name] = values
        if log1p and logged:
            with np.errstate(invalid="ignore", divide="ignore"):
                table[f"log1p_{name}"] = np.log1p(values)

    put(obs, f"n_{var_type}_by_{expr_type}", found.n_genes.astype(counts))
    put(obs, f"total_{expr_type}", found.totals.astype(sums))
    for n, percent in found.percent_top.items():
        put(obs, f"pct_{expr_type}_in_top_{n}_{var_type}", percent, logged=False)
    for name in names:
        put(obs, f"total_{expr_type}_{name}", found.subset_totals[name].astype(sums))
        with np.errstate(invalid="ignore", divide="ignore"):
            percent = found.subset_totals[name] / found.totals * 100
        put(obs, f"pct_{expr_type}_{name}", percent.astype(np.result_type(sums, np.float32)), logged=False)
    put(var, f"n_cells_by_{expr_type}", found.n_cells, logged=False)
    put(var, f"mean_{expr_type}", found.gene_means)
    put(var, f"pct_dropout_by_{expr_type}", found.percent_dropout, logged=False)
    put(var, f"total_{expr_type}", found.gene_totals.astype(sums))
    if not inplace:
        return pd.DataFrame(obs, index=adata.obs_names), pd.DataFrame(var, index=owner.var_names)
    for name, values in obs.items():
        adata.obs[name] = values
    for name, values in var.items():
        adata.var[name] = values
    record(
        adata,
        "calculate_qc_metrics",
        expr_type=expr_type,
        var_type=var_type,
        qc_vars=names,
        percent_top=list(percent_top or ()),
        layer=layer,
        use_raw=use_raw,
        log1p=log1p,
    )
    return None


def filter_cells(
    data: Any,
    *,
    min_counts: float | None = None,
    min_genes: float | None = None,
    max_counts: float | None = None,
    max_genes: float | None = None,
    inplace: bool = True,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Keeps cells by total counts or by number of genes above zero.

    Exactly one threshold is given per call; both ends are inclusive. X in CSR is compacted inside its own memory
    (no second copy) when nothing else refers to it; layers and the rest are copied part by part.

    Parameters
    ----------
    data
        Annotated data, or a matrix of cells x genes (which is not changed).
    min_counts, min_genes, max_counts, max_genes
        The threshold.
    inplace
        Change ``data``; otherwise return (mask, number).
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``; the copy; or, with ``inplace=False`` or for a matrix, the mask of kept cells (bool) and the number that
    was compared. ``obs["n_counts"]`` or ``obs["n_genes"]`` is written.

    Raises
    ------
    ParameterError
        Unless exactly one threshold is given.
    """
    thresholds = {"min_counts": min_counts, "min_genes": min_genes, "max_counts": max_counts, "max_genes": max_genes}
    return _filter(data, thresholds, "obs", inplace, copy, threads, progress)


def filter_genes(
    data: Any,
    *,
    min_counts: float | None = None,
    min_cells: float | None = None,
    max_counts: float | None = None,
    max_cells: float | None = None,
    inplace: bool = True,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Keeps genes by total counts or by number of cells above zero.

    As `filter_cells`, for genes: ``var["n_counts"]`` or ``var["n_cells"]`` is written.

    Parameters
    ----------
    data
        Annotated data, or a matrix of cells x genes (which is not changed).
    min_counts, min_cells, max_counts, max_cells
        The threshold; exactly one.
    inplace
        Change ``data``; otherwise return (mask, number).
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Raises
    ------
    ParameterError
        Unless exactly one threshold is given.
    """
    thresholds = {"min_counts": min_counts, "min_cells": min_cells, "max_counts": max_counts, "max_cells": max_cells}
    return _filter(data, thresholds, "var", inplace, copy, threads, progress)


def _filter(
    data: Any,
    thresholds: dict[str, float | None],
    axis: str,
    inplace: bool,
    copy: bool,
    threads: int | None,
    progress: ProgressArgument,
) -> Any:
    from anndata import AnnData

    is_adata = isinstance(data, AnnData)
    if is_adata and data.isbacked and inplace:
        raise ParameterError("parameter `data`: expected an AnnData in memory, found a backed one; use .to_memory()")
    function = arrays.filter_cells if axis == "obs" else arrays.filter_genes
    matrix = get_matrix(data, allow_empty=True, stream=True) if is_adata else data
    by_counts = thresholds["min_counts"] is not None or thresholds["max_counts"] is not None
    kept, number = function(matrix, **thresholds, threads=threads, progress=progress)
    number = number.astype(_sum_dtype(np.dtype(matrix.dtype)) if by_counts else np.int64)
    # Whoever counts references must not meet this one.
    del matrix
    if not is_adata or not inplace:
        return kept, number
    adata = data.copy() if copy else data
    # A view is made real by the subset itself, which copies only what is kept.
    if adata.is_view:
        adata = start(adata, False)
    counted = "n_counts" if by_counts else ("n_genes" if axis == "obs" else "n_cells")
    (adata.obs if axis == "obs" else adata.var)[counted] = number
    (subset_obs if axis == "obs" else subset_var)(adata, kept, threads=threads)
    record(adata, "filter_cells" if axis == "obs" else "filter_genes", **thresholds)
    return adata if copy else None
