"""``tl.pseudobulk_test``: which genes differ between groups of samples, with samples (not cells) as replicates."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .. import _anndata, arrays
from .._progress import Progress
from .._provenance import record
from ..arrays._pseudobulk import pseudobulk_test as test_arrays
from ..errors import DataError, MissingKeyError, ParameterError, TooFewError
from ..get._aggregate import aggregate

if TYPE_CHECKING:
    from anndata import AnnData


def pseudobulk_test(
    adata: AnnData,
    sample: str | Collection[str],
    design: str | Sequence[str],
    *,
    contrast: tuple[str, str, str] | str | Mapping[str, float],
    groupby: str | None = None,
    layer: str | None = None,
    min_cells: int = 10,
    min_count: float = 10.0,
    min_total_count: float = 15.0,
    normalization: Literal["tmm", "none"] = "tmm",
    span: float = 0.5,
    key_added: str = "pseudobulk_test",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Sum the counts of each sample and test a difference between groups of samples (voom and moderated t).

    Parameters
    ----------
    adata
        Annotated data with raw counts.
    sample
        Column, or columns, of ``obs`` that say which sample (replicate) a cell belongs to.
    design
        Columns of ``obs`` that the model explains expression by: categorical ones by a coefficient per level but the
        first (named ``column[level]``), numeric ones by a slope. An ``Intercept`` is always there. Each must be the same
        for all cells of a sample.
    contrast
        What to test. ``(column, level, reference)``: the log2 fold change of a level over another. A coefficient's name:
        that coefficient. A dict of coefficient -> weight: their weighted sum.
    groupby
        Column of ``obs``, cell types say: one test for each of its groups, on the cells of that group alone. A group
        that cannot be tested is left out, with a warning that says why.
    layer
        Raw counts, in place of ``X``.
    min_cells
        Samples with fewer cells (of the group) are left out, with a warning that counts them.
    min_count, min_total_count, normalization, span
        See :func:`zensaibo.arrays.pseudobulk_test`.
    key_added
        Key of ``uns``.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key_added]``:

    ``results``
        Data frame, one row per group and gene tested, by rising p-value within a group: ``group`` (with `groupby`),
        ``names``, ``logfoldchanges``, ``mean_expression`` (log2 counts per million), ``scores`` (moderated t),
        ``pvals``, ``pvals_adj``.
    ``design``
        Data frame, samples x coefficients (of the first group tested).
    ``params``
        The options, and per group the residual and prior degrees of freedom.

    Raises
    ------
    MissingKeyError
        A column, layer, level or coefficient that is not there.
    DataError
        Collinear columns of the design; a column that differs within a sample.
    TooFewError
        A level with one replicate, or fewer samples than coefficients need.
    NotCountsError
        Values that are not raw counts.

    Notes
    -----
    Cells of one sample are not replicates of each other; tests that take them so find differences in every comparison.
    Sums are exact, nothing is random, threads change no bit. Two reads of the matrix.

    References
    ----------
    Law et al., Genome Biology 15:R29 (2014); Smyth, SAGMB 3 (2004); Squair et al., Nature Communications 12 (2021).
    """
    _anndata.check_adata(adata)
    keys = [sample] if isinstance(sample, str) else list(sample)
    columns = [design] if isinstance(design, str) else list(design)
    if not columns:
        raise ParameterError("parameter `design`: expected at least one column of obs, found none")
    if min_cells < 1:
        raise ParameterError(f"parameter `min_cells`: expected at least 1, found {min_cells}")
    for key in [*keys, *columns]:
        _anndata.get_obs(adata, key)
    by = keys if groupby is None else [groupby, *[key for key in keys if key != groupby]]
    # Sums would hide a value below 0, and fractions that add up to whole numbers.
    matrix = _anndata.get_matrix(adata, layer=layer, stream=True)
    if 0 not in matrix.shape:
        arrays.check_counts(matrix, threads=threads)
    bulk = aggregate(adata, by, "sum", layer=layer, threads=threads, progress=progress)
    covariates = _covariates(adata, by, columns, bulk.obs)

    few = (bulk.obs["n_obs_aggregated"] < min_cells).to_numpy()
    if few.any():
        what = "samples" if groupby is None else f"samples of a group of {groupby!r}"
        warnings.warn(
            f"{int(few.sum())} of {len(few)} {what} have fewer than {min_cells} cells and are left out", stacklevel=2
        )
    groups = [None] if groupby is None else list(bulk.obs[groupby].cat.categories)
    tables, designs, fits, problems = [], [], {}, {}
    for group in groups:
        rows = ~few if group is None else ~few & (bulk.obs[groupby] == group).to_numpy()
        try:
            if not rows.any():
                raise TooFewError(f"expected samples with at least {min_cells} cells (`min_cells`), found none")
            model = _design(covariates[rows], columns)
            weights = _contrast(contrast, model, covariates[rows], columns)
            found = test_arrays(
                bulk.layers["sum"][rows],
                model.to_numpy(),
                weights,
                coefficients=list(model.columns),
                samples=list(model.index),
                min_count=min_count,
                min_total_count=min_total_count,
                normalization=normalization,
                span=span,
                threads=threads,
                progress=progress,
            )
        except (DataError, MissingKeyError) as error:
            # Without groups, or values that are no counts at all: for the caller to act on.
            if group is None or type(error) not in (DataError, TooFewError, MissingKeyError):
                raise
            problems[str(group)] = str(error)
            continue
        table = pd.DataFrame(
            {
                "names": np.asarray(adata.var_names, dtype=object),
                "logfoldchanges": found.logfoldchanges,
                "mean_expression": found.mean_expression,
                "scores": found.scores,
                "pvals": found.pvals,
                "pvals_adj": found.pvals_adj,
            }
        )[found.kept]
        # By |t| and not by p, which may underflow.
        table = table.iloc[np.argsort(-table["scores"].abs().to_numpy(), kind="stable")]
        if group is not None:
            table.insert(0, "group", str(group))
        tables.append(table)
        designs.append(model)
        fits["all" if group is None else str(group)] = {
            "df_residual": found.df_residual,
            "df_prior": found.df_prior,
            "samples": len(model),
            "genes_tested": int(found.kept.sum()),
        }
    if not tables:
        raise TooFewError(f"obs[{groupby!r}]: expected at least one group that can be tested, found none: {problems}")
    for group_name, reason in problems.items():
        warnings.warn(f"group {group_name!r} is not tested: {reason}", stacklevel=2)

    results = pd.concat(tables, ignore_index=True)
    results.index = results.index.astype(str)
    if groupby is not None:
        results["group"] = pd.Categorical(results["group"])
    params = {
        "sample": keys,
        "design": columns,
        "contrast": dict(contrast)
        if isinstance(contrast, Mapping)
        else contrast
        if isinstance(contrast, str)
        else list(contrast),
        "groupby": groupby,
        "layer": layer,
        "min_cells": min_cells,
        "min_count": min_count,
        "min_total_count": min_total_count,
        "normalization": normalization,
        "span": span,
    }
    adata = _anndata.start(adata, copy)
    stored = {name: "None" if value is None else value for name, value in params.items()}
    adata.uns[key_added] = {"results": results, "design": designs[0], "params": {**stored, "fits": fits}}
    record(adata, "pseudobulk_test", **params, key_added=key_added)
    return adata if copy else None


def _covariates(adata: AnnData, by: list[str], columns: list[str], groups: pd.DataFrame) -> pd.DataFrame:
    """The design's columns, one row per sample in the order of `groups`."""
    table = adata.obs[list(dict.fromkeys([*by, *columns]))].dropna(subset=by)
    grouped = table.groupby(by, observed=True, sort=False)
    out = pd.DataFrame(index=groups.index)
    keys = pd.MultiIndex.from_frame(groups[by].astype(object))
    for column in columns:
        values = table[column]
        if values.isna().any():
            raise DataError(
                f"obs[{column!r}]: expected a value for every cell, found {int(values.isna().sum())} without"
            )
        if column in by:
            out[column] = groups[column].to_numpy() if groups[column].dtype != "category" else groups[column]
            continue
        distinct = grouped[column].nunique()
        if (distinct > 1).any():
            where = distinct.index[distinct.to_numpy() > 1][0]
            raise DataError(f"obs[{column!r}]: expected one value for all cells of a sample, found several in {where}")
        first = grouped[column].first()
        first.index = pd.MultiIndex.from_frame(first.index.to_frame(index=False).astype(object))
        out[column] = first.reindex(keys).to_numpy()
        if isinstance(values.dtype, pd.CategoricalDtype):
            out[column] = pd.Categorical(out[column], categories=values.cat.categories)
    return out


def _design(covariates: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """Intercept, a column per level but the first, a slope per number."""
    model = pd.DataFrame({"Intercept": np.ones(len(covariates))}, index=covariates.index)
    for column in columns:
        values = covariates[column]
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            model[column] = values.to_numpy(dtype=np.float64)
            continue
        levels = _levels(values)
        if len(levels) < 2:
            raise TooFewError(f"obs[{column!r}]: expected at least two levels among the samples, found {levels}")
        for level in levels[1:]:
            model[f"{column}[{level}]"] = (values.astype(str) == str(level)).to_numpy(dtype=np.float64)
    return model


def _levels(values: pd.Series) -> list[Any]:
    categories = pd.Categorical(values).remove_unused_categories().categories
    return list(categories)


def _contrast(contrast: Any, model: pd.DataFrame, covariates: pd.DataFrame, columns: list[str]) -> np.ndarray:
    """One weight per coefficient."""
    weights = pd.Series(0.0, index=model.columns)
    present = ", ".join(model.columns)
    if isinstance(contrast, str):
        contrast = {contrast: 1.0}
    if isinstance(contrast, Mapping):
        for name, weight in contrast.items():
            if name not in weights.index:
                raise MissingKeyError(f"key `{name}` not found in the coefficients; present: {present}")
            weights[name] = float(weight)
        return weights.to_numpy()
    try:
        column, level, reference = contrast
    except (TypeError, ValueError):
        raise ParameterError(
            f"parameter `contrast`: expected (column, level, reference), a coefficient or a dict, found {contrast!r}"
        ) from None
    if column not in columns:
        raise MissingKeyError(f"key `{column}` not found in the design; present: {', '.join(columns)}")
    if column in model.columns:
        raise ParameterError(
            f"parameter `contrast`: expected a categorical column, found the numeric {column!r}; name it alone"
        )
    levels = [str(name) for name in _levels(covariates[column])]
    for name, sign in ((str(level), 1.0), (str(reference), -1.0)):
        if name not in levels:
            raise MissingKeyError(
                f"key `{name}` not found in obs[{column!r}] of the samples; present: {', '.join(levels)}"
            )
        if name != levels[0]:
            weights[f"{column}[{name}]"] += sign
    if str(level) == str(reference):
        raise ParameterError(f"parameter `contrast`: expected two different levels, found {level!r} twice")
    return weights.to_numpy()
