"""``tl.rank_genes_groups``: scanpy's, on sparse data as it lies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd

from .. import _anndata
from .._keys import RANK_GENES_GROUPS, check_preset
from .._progress import Progress
from .._provenance import record
from ..arrays._logistic import logistic_regression
from ..arrays._markers import Correction, FoldChange, Method, RankedGenes
from ..arrays._markers import rank_genes_groups as rank_arrays
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError, TooFewError

if TYPE_CHECKING:
    from anndata import AnnData

#: What the two presets of scanpy take where the caller names nothing.
class _Preset(NamedTuple):
    method: Literal["t-test", "t-test_overestim_var", "wilcoxon"]
    fold_change: FoldChange


_PRESETS = {"scanpy-v1": _Preset("t-test", "exp_of_mean"), "scanpy-v2": _Preset("wilcoxon", "mean_of_exp")}


def rank_genes_groups(
    adata: AnnData,
    groupby: str,
    *,
    mask_var: Any = None,
    use_raw: bool | None = None,
    groups: Literal["all"] | Iterable[str] = "all",
    reference: str = "rest",
    n_genes: int | None = None,
    rankby_abs: bool = False,
    pts: bool = False,
    key_added: str | None = None,
    copy: bool = False,
    method: Method | Literal["logreg"] | None = None,
    corr_method: Correction = "benjamini-hochberg",
    tie_correct: bool = False,
    layer: str | None = None,
    fold_change: FoldChange | None = None,
    pseudocount: float | None = None,
    mean_in_log_space: bool | None = None,
    log10_pvals: bool = False,
    c: float | None = None,
    max_iter: int | None = None,
    tol: float | None = None,
    preset: Literal["scanpy-v1", "scanpy-v2"] = "scanpy-v1",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Rank genes that tell groups of cells apart. Expects log-transformed data.

    Parameters
    ----------
    adata
        Annotated data.
    groupby
        Column of ``obs`` with the groups. Strings and the like become categorical, as in scanpy.
    mask_var
        Genes to test: a boolean array of shape (genes,) or the name of a boolean column of ``var``.
    use_raw
        Take ``raw.X``. By default if there is a ``raw`` (and no `layer` is named).
    groups
        Groups to test, or ``"all"``. With ``reference="rest"`` cells of all groups still make up the rest.
    reference
        ``"rest"``, or the group to compare with.
    n_genes
        Genes in the tables; all by default.
    rankby_abs
        Rank by absolute score.
    pts
        Also store the fraction of cells where each gene is not zero.
    key_added
        Key in ``uns``; ``"rank_genes_groups"`` by default.
    copy
        Return a changed copy and leave `adata` alone.
    method
        ``"t-test"`` (the default of ``scanpy-v1``), ``"t-test_overestim_var"``, ``"wilcoxon"`` (the default of
        ``scanpy-v2``), or ``"logreg"``: coefficients of an L2-penalised multinomial logistic regression on the cells
        of the groups alone. It gives names and scores only; what concerns p-values, fold changes and fractions is refused
        with it.
    corr_method
        ``"benjamini-hochberg"`` or ``"bonferroni"``.
    tie_correct
        Correct the variance of ``"wilcoxon"`` for ties. Without it the p-values of sparse data are too large.
    layer
        Take this layer instead of ``X``.
    fold_change
        What the log2 fold changes are, of log-transformed values x and pseudocount p; scores and p-values do not
        depend on it:

        - ``"exp_of_mean"`` (the default of ``scanpy-v1``): log2 ratio of e^mean(x) - 1 + p;
        - ``"mean_of_exp"`` (the default of ``scanpy-v2``): log2 ratio of mean(e^x - 1) + p, the mean before the
          logarithm; Seurat 4's ``avg_log2FC`` with ``pseudocount=1``;
        - ``"sum_of_exp"``: log2 ratio of (sum(e^x - 1) + p) / cells, Seurat 5's ``avg_log2FC``;
        - ``"mean_difference"``: mean(x) less that of the others, in units of log2; for scaled values, too.
    pseudocount
        p, greater than 0; by default 1e-9 (scanpy), with ``"sum_of_exp"`` 1 (Seurat). Larger values shrink the fold
        changes of genes of low expression; ``"mean_difference"`` takes none.
    mean_in_log_space
        scanpy 2's name for the choice between two of these: True is ``fold_change="exp_of_mean"``, False
        ``"mean_of_exp"``. Refused beside `fold_change`.
    log10_pvals
        Also store ``uns[key]["log10_pvals"]`` and ``["log10_pvals_adj"]``, which do not underflow.
    c, max_iter, tol
        With ``"logreg"``: inverse strength of the penalty (1), iterations at most (1000), gradient at which the fit
        ends (1e-4); see :func:`zensaibo.arrays.logistic_regression`. Refused with other methods.
    preset
        Defaults of `method` and `fold_change`: those of scanpy 1.x or of its 2.0 preview.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy. Writes ``uns[key]``, all sorted by score, one field per group:

    ``names`` (object), ``scores`` (f4), ``pvals``, ``pvals_adj`` (f8), ``logfoldchanges`` (f4)
        Record arrays.
    ``pts``, ``pts_rest``
        Data frames genes x groups, with `pts`; ``pts_rest`` only with ``reference="rest"``.
    ``log10_pvals``, ``log10_pvals_adj`` (f8)
        Record arrays, with `log10_pvals`.
    ``params``
        As scanpy's.

    Raises
    ------
    MissingKeyError
        `groupby`, `layer`, `mask_var` or a group that is not there.
    TooFewError
        A group with one cell, or one that holds every cell.
    NonFiniteError
        NaN or infinity in the matrix.

    Notes
    -----
    With two groups ``"logreg"`` gives each its table, of opposite signs, where scanpy gives only the first, under the
    signs of the second. Nothing is random and threads change no bit. Values are taken as float32. Groups without cells
    are left out where scanpy refuses them. The base of the logarithm is read from ``uns["log1p"]``. See
    :func:`zensaibo.arrays.rank_genes_groups` for cost and references.
    """
    check_preset(preset)
    chosen = _PRESETS[preset]
    method = chosen.method if method is None else method
    named = {"fold_change": fold_change, "pseudocount": pseudocount, "mean_in_log_space": mean_in_log_space}
    if mean_in_log_space is not None:
        if fold_change is not None:
            raise ParameterError("parameters `fold_change`, `mean_in_log_space`: expected at most one, found both")
        if not isinstance(mean_in_log_space, (bool, np.bool_)):
            raise ParameterError(f"parameter `mean_in_log_space`: expected True or False, found {mean_in_log_space!r}")
        fold_change = "exp_of_mean" if mean_in_log_space else "mean_of_exp"
    elif fold_change is None:
        fold_change = chosen.fold_change
    key = RANK_GENES_GROUPS if key_added is None else key_added
    _anndata.check_adata(adata)
    column = _as_categorical(_anndata.get_obs(adata, groupby), groupby)
    if use_raw is None:
        # scanpy refuses `layer` here when there is a raw; naming a layer says clearly enough what is meant.
        use_raw = adata.raw is not None and layer is None
    if use_raw and layer is not None:
        raise ParameterError("parameters `layer`, `use_raw`: cannot specify `layer` and have `use_raw=True`")
    names = _chosen(column, groups, reference, groupby)
    matrix = _anndata.get_matrix(adata, layer=layer, use_raw=use_raw, stream=True)
    var_names = adata.raw.var_names if use_raw else adata.var_names
    mask = _mask(adata, mask_var, matrix.shape[1])

    codes = column.cat.codes.to_numpy()
    relabel = np.full(len(column.cat.categories) + 1, -1, dtype=np.int32)
    for index, name in enumerate(names):
        relabel[column.cat.categories.get_loc(name)] = index
    params = {
        "groupby": groupby,
        "reference": reference,
        "method": method,
        "use_raw": use_raw,
        "layer": layer,
        "corr_method": corr_method,
    }
    options: dict[str, Any] = {
        "groups": "all" if isinstance(groups, str) else [str(name) for name in names],
        "n_genes": n_genes,
        "rankby_abs": rankby_abs,
    }
    fit = {"c": c, "max_iter": max_iter, "tol": tol}
    if method == "logreg":
        refused = {"pts": pts, "tie_correct": tie_correct, "log10_pvals": log10_pvals}
        for parameter, asked in refused.items():
            if asked:
                raise ParameterError(f"parameter `{parameter}`: expected False with method `logreg`, found {asked!r}")
        for parameter, given in named.items():
            if given is not None:
                raise ParameterError(
                    f"parameter `{parameter}`: expected None with method `logreg`, which gives no fold changes, found {given!r}"
                )
        if corr_method != "benjamini-hochberg":
            raise ParameterError(
                f"parameter `corr_method`: expected the default with method `logreg`, which gives no p-values, found {corr_method!r}"
            )
        slots = _logreg(matrix, relabel[codes], names, var_names, mask, n_genes, rankby_abs, fit, threads, progress)
        options |= fit
    else:
        for parameter, given in fit.items():
            if given is not None:
                raise ParameterError(
                    f"parameter `{parameter}`: expected None unless method is `logreg`, found {given!r}"
                )
        base = adata.uns.get("log1p", {}).get("base")
        found = rank_arrays(
            matrix,
            relabel[codes],
            names=[str(name) for name in names],
            reference="rest" if reference == "rest" else str(reference),
            mask=mask,
            method=method,
            corr_method=corr_method,
            tie_correct=tie_correct,
            n_genes=n_genes,
            rankby_abs=rankby_abs,
            pts=pts,
            fold_change=fold_change,
            pseudocount=pseudocount,
            log_base=None if base is None else float(base),
            threads=threads,
            progress=progress,
        )
        slots = _slots(found, var_names, var_names if mask is None else var_names[mask], log10_pvals)
        options |= {
            "pts": pts,
            "tie_correct": tie_correct,
            "fold_change": fold_change,
            "pseudocount": pseudocount,
            "preset": preset,
        }
    adata = _anndata.start(adata, copy)
    adata.obs[groupby] = column
    adata.uns[key] = {"params": params, **slots}
    record(adata, "rank_genes_groups", **params, key_added=key, **options)
    return adata if copy else None


def _logreg(
    matrix: Any,
    labels: np.ndarray,
    names: list[Any],
    var_names: pd.Index,
    mask: np.ndarray | None,
    n_genes: int | None,
    rankby_abs: bool,
    fit: dict[str, Any],
    threads: int | None,
    progress: bool | Progress | None,
) -> dict[str, Any]:
    """Names and scores: the coefficients of each group, highest first, equal ones in the order of the genes."""
    if len(names) < 2:
        raise ParameterError("parameter `groups`: expected at least two groups with method `logreg`, found one")
    if n_genes is not None and n_genes < 1:
        raise ParameterError(f"parameter `n_genes`: expected at least 1, found {n_genes}")
    sizes = np.bincount(labels[labels >= 0], minlength=len(names))
    if (sizes == 0).any():
        raise TooFewError(f"group {names[int(np.argmin(sizes))]!r}: expected at least one cell, found none")
    given = {name: value for name, value in fit.items() if value is not None}
    classes = np.where(labels < 0, np.nan, labels.astype(np.float64))
    model = logistic_regression(matrix, classes, mask=mask, threads=threads, progress=progress, **given)
    # With two groups there is one row, the log odds of the second; the first has its opposite.
    coefficients = np.vstack([-model.coef, model.coef]) if len(names) == 2 else model.coef
    genes = np.asarray(var_names, dtype=object)[mask if mask is not None else slice(None)]
    kept = len(genes) if n_genes is None else min(n_genes, len(genes))
    tables = {"names": np.recarray(kept, dtype=[(str(name), "O") for name in names])}
    tables["scores"] = np.recarray(kept, dtype=[(str(name), "f4") for name in names])
    for name, row in zip(names, coefficients, strict=True):
        order = np.argsort(-(np.abs(row) if rankby_abs else row), kind="stable")[:kept]
        tables["names"][str(name)], tables["scores"][str(name)] = genes[order], row[order]
    return tables


def _slots(found: RankedGenes, var_names: pd.Index, tested: pd.Index, log10_pvals: bool) -> dict[str, Any]:
    """The entries of ``uns[key]``."""
    all_names = var_names.to_numpy().astype(object)

    def records(rows: Any, dtype: str) -> np.recarray:
        table = np.recarray(found.genes.shape[1], dtype=[(group, dtype) for group in found.groups])
        for group, row in zip(found.groups, rows, strict=True):
            table[group] = row
        return table

    slots: dict[str, Any] = {
        "names": records(all_names[found.genes], "O"),
        "scores": records(found.scores, "f4"),
        "pvals": records(found.pvals, "f8"),
        "pvals_adj": records(found.pvals_adj, "f8"),
        "logfoldchanges": records(found.logfoldchanges, "f4"),
    }
    if log10_pvals:
        slots["log10_pvals"] = records(found.log10_pvals, "f8")
        slots["log10_pvals_adj"] = records(found.log10_pvals_adj, "f8")
    for name, fractions in (("pts", found.pts), ("pts_rest", found.pts_rest)):
        if fractions is not None:
            slots[name] = pd.DataFrame(fractions.T, index=tested, columns=found.all_groups)
    return slots


def _as_categorical(column: pd.Series, groupby: str) -> pd.Series:
    """The column as categorical: strings natsorted, as scanpy's `sanitize_anndata` has them."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column
    if pd.api.types.infer_dtype(column) == "string":
        from natsort import natsorted

        values = pd.Categorical(column)
        values = values.reorder_categories(natsorted(values.categories))
        return pd.Series(values, index=column.index, name=column.name)
    raise DataError(
        f"obs[{groupby!r}]: expected a categorical or string column, found dtype {column.dtype}; "
        f"use adata.obs[{groupby!r}].astype('category')"
    )


def _chosen(column: pd.Series, groups: Any, reference: str, groupby: str) -> list[Any]:
    """The categories to work with, in the order that scanpy has them; the reference is among them."""
    categories = list(column.cat.categories)
    if isinstance(groups, str):
        if groups != "all":
            raise ParameterError(f"parameter `groups`: expected `all` or a sequence of groups, found {groups!r}")
        filled = set(column.dropna().unique())
        chosen = [name for name in categories if name in filled]
    else:
        try:
            chosen = list(groups)
        except TypeError:
            raise ParameterError(
                f"parameter `groups`: expected `all` or a sequence of groups, found {groups!r}"
            ) from None
        chosen = [str(name) if isinstance(name, int) and name not in categories else name for name in chosen]
        if not chosen:
            raise ParameterError("parameter `groups`: expected `all` or at least one group, found none")
        if len(set(chosen)) < len(chosen):
            raise ParameterError(f"parameter `groups`: expected each group once, found {chosen}")
        unknown = [name for name in chosen if name not in categories]
        if unknown:
            raise MissingKeyError(f"key `{unknown[0]}` not found in obs[{groupby!r}]; present: {categories}")
    if reference != "rest":
        if reference not in categories:
            raise ParameterError(f"reference = {reference} needs to be one of groupby = {categories}.")
        if reference not in chosen:
            chosen.append(reference)
    if not chosen:
        raise ParameterError(f"obs[{groupby!r}]: expected at least one group with cells, found none")
    return chosen


def _mask(adata: AnnData, mask_var: Any, n_genes: int) -> np.ndarray | None:
    if mask_var is None:
        return None
    name = "mask_var"
    if isinstance(mask_var, str):
        name, mask_var = f"var[{mask_var!r}]", _anndata.get_var(adata, mask_var)
    mask = np.asarray(mask_var)
    if mask.dtype != bool:
        raise ParameterError(f"parameter `mask_var`: expected booleans, found {mask.dtype} in {name}")
    if mask.shape != (n_genes,):
        raise ShapeError(f"`{name}`: expected one flag per gene of the matrix, ({n_genes},), found {mask.shape}")
    if not mask.any():
        raise ParameterError(f"parameter `mask_var`: expected at least one gene, found none in {name}")
    return mask
