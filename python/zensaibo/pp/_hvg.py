"""Highly variable genes."""

from __future__ import annotations

import math
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, get_matrix, get_obs
from .._keys import HIGHLY_VARIABLE, HVG, LOG1P, check_preset
from .._labels import small_batches_named
from .._provenance import record
from .._subset import subset_var
from ..arrays._counts import ProgressArgument
from ..errors import DataError, ParameterError

_FLAVORS = ("seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper", "pearson_residuals")
_CUTOFFS = {"min_disp": 0.5, "max_disp": math.inf, "min_mean": 0.0125, "max_mean": 3}


def _batch_codes(column: Any, key: str) -> np.ndarray:
    """Batches numbered from 0 in order of their values; categories without cells do not count."""
    import pandas as pd

    if column.isna().any():
        cell = int(np.flatnonzero(column.isna().to_numpy())[0])
        raise DataError(f"`adata.obs[{key!r}]`: expected a batch for every cell, found none for cell {cell}")
    categories = pd.Categorical(column).remove_unused_categories()
    return categories.codes.astype(np.uint32)


def highly_variable_genes(
    adata: Any,
    *,
    layer: str | None = None,
    n_top_genes: int | None = None,
    min_disp: float = 0.5,
    max_disp: float = math.inf,
    min_mean: float = 0.0125,
    max_mean: float = 3,
    span: float = 0.3,
    n_bins: int = 20,
    flavor: str | None = None,
    subset: bool = False,
    inplace: bool | None = None,
    batch_key: str | None = None,
    check_values: bool = True,
    filter_unexpressed_genes: bool | None = None,
    theta: float = 100,
    clip: float | None = None,
    preset: str = "scanpy-v1",
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Marks the genes that vary more than others of their mean.

    Parameters
    ----------
    adata
        Annotated data, cells x genes: logarithmised for ``seurat`` and ``cell_ranger``, raw counts for the
        other flavors.
    layer
        Layer to use in place of X.
    n_top_genes
        Number of genes; ``None`` selects by the cutoffs (2000 for the seurat_v3 flavors); needed for
        ``pearson_residuals``.
    min_disp, max_disp, min_mean, max_mean
        Cutoffs, all exclusive. Ignored, with a warning when set, if ``n_top_genes`` is given; not used by
        flavors that take raw counts.
    span
        Fraction of the genes, above 0 and at most 1, in each local fit of the loess curve (seurat_v3 flavors).
    n_bins
        Bins of the mean (``seurat``).
    flavor
        ``"seurat"``, ``"cell_ranger"``, ``"seurat_v3"``, ``"seurat_v3_paper"``, ``"pearson_residuals"``; ``None`` as the preset has it:
        ``seurat`` for scanpy-v1, ``seurat_v3_paper`` for scanpy-v2.
    subset
        Keep only the selected genes.
    inplace
        Store in ``var``; otherwise return a data frame. ``None`` as the preset has it: True for scanpy-v1, False
        for scanpy-v2.
    batch_key
        Column of ``obs``: select within each batch, then join. ``seurat`` and ``cell_ranger`` join by number of
        batches, then mean normalised dispersion; ``seurat_v3`` by median rank, then number of batches;
        ``seurat_v3_paper`` and ``pearson_residuals`` the other way round. Every batch needs two cells.
    check_values
        Warn when values are not raw counts (flavors that take them).
    filter_unexpressed_genes
        Leave genes that no cell expresses out of the bins (``seurat``, ``cell_ranger``). Always done with batches.
    theta
        Overdispersion of the negative binomial model, above 0; ``inf`` is Poisson (``pearson_residuals``).
    clip
        Residuals are cut to -clip..clip. ``None``: the square root of the number of cells of each batch (scanpy takes
        that of the first batch for all of them).
    preset
        ``"scanpy-v1"`` or ``"scanpy-v2"``: defaults of ``flavor`` and ``inplace``.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the data frame. Columns of ``var``: ``highly_variable`` (bool), ``means``; ``dispersions``,
    ``dispersions_norm`` (float32) or ``variances``, ``variances_norm`` (``residual_variances`` for
    ``pearson_residuals``), ``highly_variable_rank``; with batches ``highly_variable_nbatches`` and, except for the
    seurat_v3 flavors, ``highly_variable_intersection``. ``uns["hvg"]`` holds the flavor.

    Raises
    ------
    ParameterError, MissingKeyError, EmptyDataError, NonFiniteError, NegativeValuesError, TooFewError

    Notes
    -----
    Nothing is random. One read of the matrix (two for seurat_v3, four for
    pearson_residuals, which makes nothing dense); 24 to 40 bytes per gene and batch. Genes with exactly
    equal normalised variance rank in gene order; scanpy leaves that order open.

    References
    ----------
    Satija et al., Nat Biotechnol 2015; Zheng et al., Nat Commun 2017; Stuart et al., Cell 2019;
    Lause, Berens, Kobak, Genome Biology 2021.
    """
    import pandas as pd

    check_adata(adata)
    modern = check_preset(preset) == "scanpy-v2"
    flavor = flavor if flavor is not None else ("seurat_v3_paper" if modern else "seurat")
    inplace = inplace if inplace is not None else not modern
    if flavor not in _FLAVORS:
        raise ParameterError(f"parameter `flavor`: expected one of {', '.join(_FLAVORS)}, found {flavor!r}")
    if inplace and subset and adata.isbacked:
        raise ParameterError("parameter `subset`: expected an AnnData in memory, found a backed one; use .to_memory()")
    takes_counts = flavor not in ("seurat", "cell_ranger")
    cutoffs = {"min_disp": min_disp, "max_disp": max_disp, "min_mean": min_mean, "max_mean": max_mean}
    if n_top_genes is not None and not takes_counts and cutoffs != _CUTOFFS:
        warnings.warn("If you pass `n_top_genes`, all cutoffs are ignored.", UserWarning, stacklevel=2)
    batches = None if batch_key is None else _batch_codes(get_obs(adata, batch_key), batch_key)
    names = adata.var_names
    tie_order = None
    if batches is not None and not takes_counts:
        # scanpy joins batches in a table sorted by name, which decides between equals.
        tie_order = np.argsort(names.to_numpy().astype(str), kind="stable")
    base = adata.uns.get(LOG1P, {}).get("base") if flavor == "seurat" else None
    with nullcontext() if batch_key is None else small_batches_named(adata.obs[batch_key], batch_key, 2):
        found = arrays.highly_variable_genes(
            get_matrix(adata, layer=layer, stream=True),
            flavor=flavor,
            n_top_genes=n_top_genes,
            **cutoffs,
            span=span,
            n_bins=n_bins,
            check_values=check_values,
            filter_unexpressed_genes=filter_unexpressed_genes,
            theta=theta,
            clip=clip,
            batches=batches,
            log_base=None if base is None else float(base),
            tie_order=tie_order,
            threads=threads,
            progress=progress,
        )
    if found.not_counts:
        warnings.warn(
            f"`flavor={flavor!r}` expects raw count data, but non-integers were found.", UserWarning, stacklevel=2
        )
    for note in found.notes:
        warnings.warn(note, UserWarning, stacklevel=2)
    table = pd.DataFrame(index=names)
    table[HIGHLY_VARIABLE] = found.highly_variable
    if takes_counts:
        table["highly_variable_rank"] = np.asarray(found.rank, dtype=np.float32)
    table["means"] = found.means
    if takes_counts:
        table["variances"] = found.variances
        if flavor == "pearson_residuals":
            table["residual_variances"] = found.residual_variances
        else:
            table["variances_norm"] = found.variances_norm
    else:
        table["dispersions"] = found.dispersions
        table["dispersions_norm"] = np.asarray(found.dispersions_norm, dtype=np.float32 if inplace else np.float64)
    if found.n_batches is not None:
        table["highly_variable_nbatches"] = found.n_batches
    if found.intersection is not None:
        table["highly_variable_intersection"] = found.intersection
    if not inplace:
        return table.loc[found.highly_variable] if subset else table
    adata.uns[HVG] = {"flavor": flavor}
    if flavor == "pearson_residuals":
        adata.uns[HVG]["computed_on"] = layer or "adata.X"
    for column in table.columns:
        adata.var[column] = table[column].to_numpy()
    record(
        adata,
        "highly_variable_genes",
        layer=layer,
        flavor=flavor,
        n_top_genes=n_top_genes,
        **{name: float(value) for name, value in cutoffs.items()},
        span=span,
        n_bins=n_bins,
        subset=subset,
        batch_key=batch_key,
        check_values=check_values,
        filter_unexpressed_genes=filter_unexpressed_genes,
        theta=theta,
        clip=clip,
        preset=preset,
    )
    if subset:
        subset_var(adata, found.highly_variable, threads=threads)
    return None
