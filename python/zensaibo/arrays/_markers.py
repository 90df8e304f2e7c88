"""Marker genes on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ..errors import ParameterError, ShapeError

__all__ = ["RankedGenes", "rank_genes_groups"]

Method = Literal["t-test", "t-test_overestim_var", "wilcoxon"]
Correction = Literal["benjamini-hochberg", "bonferroni"]
FoldChange = Literal["exp_of_mean", "mean_of_exp", "sum_of_exp", "mean_difference"]


@dataclass(frozen=True)
class RankedGenes:
    """Genes of each tested group, the highest score first.

    All tables have shape (tested groups, genes kept); row ``i`` belongs to ``groups[i]``.
    """

    #: Names of the tested groups (all but the reference), strings.
    groups: list[str]
    #: Names of all groups, the rows of `pts` and `pts_rest`.
    all_groups: list[str]
    #: Columns of the matrix, int64.
    genes: np.ndarray
    #: t or z, float64.
    scores: np.ndarray
    #: log2 fold changes, float64.
    logfoldchanges: np.ndarray
    #: Two-sided p-values, float64; 0 where they underflow.
    pvals: np.ndarray
    #: Adjusted p-values, float64.
    pvals_adj: np.ndarray
    #: log10 of `pvals`; finite however small they are.
    log10_pvals: np.ndarray
    #: log10 of `pvals_adj`.
    log10_pvals_adj: np.ndarray
    #: Fraction of non-zeros in each group, (all groups, genes tested), or None.
    pts: np.ndarray | None
    #: The same outside each group, or None.
    pts_rest: np.ndarray | None


def rank_genes_groups(
    X: Any,
    groups: Any,
    *,
    names: Sequence[str] | None = None,
    reference: str = "rest",
    mask: Any = None,
    method: Method = "t-test",
    corr_method: Correction = "benjamini-hochberg",
    tie_correct: bool = False,
    n_genes: int | None = None,
    rankby_abs: bool = False,
    pts: bool = False,
    fold_change: FoldChange = "exp_of_mean",
    pseudocount: float | None = None,
    log_base: float | None = None,
    memory: int = 256 << 20,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> RankedGenes:
    """Rank the genes of each group of cells by how they differ from other cells.

    Parameters
    ----------
    X
        Cells x genes, log-transformed: scipy CSR or CSC, or a numpy array. Values are taken as float32.
    groups
        Group of each cell, shape (cells,): integers from 0, below 0 for cells of no group; or anything else
        that sorts (strings, say), when `names` is not given.
    names
        Names of groups 0, 1, ...; by default the sorted distinct values of `groups`.
    reference
        ``"rest"``: each group against all other cells, those of no group included. A name: each other group
        against that group.
    mask
        Genes to test, boolean, shape (genes,). All by default; p-values are adjusted over those tested.
    method
        ``"t-test"`` (Welch), ``"t-test_overestim_var"``, ``"wilcoxon"``.
    corr_method
        ``"benjamini-hochberg"`` or ``"bonferroni"``.
    tie_correct
        Correct the variance of ``"wilcoxon"`` for ties.
    n_genes
        Genes kept per group; all by default.
    rankby_abs
        Rank by absolute score. The scores returned keep their sign.
    pts
        Also return fractions of non-zeros.
    fold_change
        What the log2 fold changes are, of values x and pseudocount p:

        - ``"exp_of_mean"``: log2 ratio of e^mean(x) - 1 + p (scanpy 1);
        - ``"mean_of_exp"``: log2 ratio of mean(e^x - 1) + p (scanpy 2; Seurat 4 with ``pseudocount=1``);
        - ``"sum_of_exp"``: log2 ratio of (sum(e^x - 1) + p) / cells (Seurat 5);
        - ``"mean_difference"``: mean(x) less mean(x) of the others, in units of log2; for values below zero, too.

        Scores and p-values do not depend on it.
    pseudocount
        p, greater than 0; by default 1e-9, with ``"sum_of_exp"`` 1. ``"mean_difference"`` takes none.
    log_base
        Base of the logarithm of the values (e above); natural by default.
    memory
        Bytes that ``"wilcoxon"`` may gather genes in.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    RankedGenes

    Raises
    ------
    TooFewError
        A group with fewer than two cells, or one that holds all cells.
    NonFiniteError
        NaN or infinity in `X`.
    ParameterError, ShapeError, EmptyDataError
        As named.

    Notes
    -----
    Nothing is random; the result has the same bits for any number of threads and any layout. Equal scores
    keep the order of the genes. Time O(non-zeros); memory a few tables of groups x genes, and `memory` for
    ``"wilcoxon"``. A CSC matrix is turned into rows first (a copy).

    References
    ----------
    Welch (1947); Wilcoxon (1945); Mann and Whitney (1947); Benjamini and Hochberg (1995); names and defaults
    after ``scanpy.tl.rank_genes_groups``.
    """
    if method == "logreg":
        raise ParameterError(
            "parameter `method`: expected `t-test`, `t-test_overestim_var` or `wilcoxon`, found `logreg`; "
            "see zensaibo.arrays.logistic_regression, and zensaibo.tl.rank_genes_groups for its ranking"
        )
    if pseudocount is not None and not np.isfinite(pseudocount):
        raise ParameterError(f"parameter `pseudocount`: expected a number greater than 0, found {pseudocount}")
    labels, names = _labels(groups, names)
    if labels.shape != (X.shape[0],):
        raise ShapeError(f"`groups`: expected one label per cell, shape ({X.shape[0]},), found {labels.shape}")
    if reference == "rest":
        reference_index = None
    elif reference in names:
        reference_index = names.index(reference)
    else:
        raise ParameterError(f"parameter `reference`: expected `rest` or one of {names}, found {reference!r}")
    if mask is not None:
        mask = np.asarray(mask)
        if mask.dtype != bool or mask.shape != (X.shape[1],):
            raise ShapeError(
                f"`mask`: expected booleans of shape ({X.shape[1]},), found {mask.dtype} of shape {mask.shape}"
            )
    options = to_json(
        method=method,
        corr_method=corr_method,
        tie_correct=tie_correct,
        n_genes=n_genes,
        rankby_abs=rankby_abs,
        pts=pts,
        fold_change=fold_change,
        pseudocount=pseudocount,
        log_base=log_base,
        memory=memory,
    )
    with reporting(progress) as callback:
        found = call(
            _core.rank_genes_groups,
            as_matrix(X, stream=True),
            labels,
            names,
            reference_index,
            None if mask is None else mask.tolist(),
            options,
            threads,
            callback,
        )
    genes = found.pop("genes").astype(np.int64)
    if mask is not None:
        genes = np.flatnonzero(mask)[genes]
    tested = [names[index] for index in found.pop("groups")]
    return RankedGenes(groups=tested, all_groups=names, genes=genes, **found)


def _labels(groups: Any, names: Sequence[str] | None) -> tuple[np.ndarray, list[str]]:
    """Labels as int32 and names as strings."""
    labels = np.asarray(groups)
    if names is None:
        distinct, labels = np.unique(labels, return_inverse=True)
        names = [str(name) for name in distinct]
    elif labels.dtype.kind not in "iu":
        raise ParameterError(f"parameter `groups`: expected integers beside `names`, found {labels.dtype}")
    return np.ascontiguousarray(labels, dtype=np.int32), [str(name) for name in names]
