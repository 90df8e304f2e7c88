"""``tl.marker_gene_overlap``: ranked genes against lists of known markers."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from .. import _anndata
from .._keys import RANK_GENES_GROUPS
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

#: Genes taken of each group when neither `top_n_markers` nor `adj_pval_threshold` is given.
_TOP = 100


def marker_gene_overlap(
    adata: AnnData,
    reference_markers: Mapping[str, Iterable[str]],
    *,
    key: str = RANK_GENES_GROUPS,
    method: Literal["overlap_count", "overlap_coef", "jaccard"] = "overlap_count",
    normalize: Literal["reference", "data"] | None = None,
    top_n_markers: int | None = None,
    adj_pval_threshold: float | None = None,
) -> pd.DataFrame:
    """Overlap of the ranked genes of each group with lists of known marker genes.

    Parameters
    ----------
    adata
        Annotated data after :func:`rank_genes_groups`.
    reference_markers
        Known markers: name of a cell type -> its genes.
    key
        Key of ``uns`` with the ranking.
    method
        ``"overlap_count"``: genes in common. ``"overlap_coef"``: over the size of the smaller set. ``"jaccard"``: over
        the size of the union.
    normalize
        Only with ``"overlap_count"``: divide by the number of known markers (``"reference"``) or of ranked genes taken
        (``"data"``).
    top_n_markers
        Ranked genes taken of each group; 100 by default.
    adj_pval_threshold
        Take the genes of adjusted p-value below this instead; ignored, with a warning, beside `top_n_markers`.

    Returns
    -------
    pandas.DataFrame
        Cell types x groups, float64.

    Raises
    ------
    MissingKeyError
        `key`, or adjusted p-values where `adj_pval_threshold` needs them.
    ParameterError
        An unknown `method` or `normalize`, no markers, a string where a list of genes is expected.

    Notes
    -----
    As ``scanpy.tl.marker_gene_overlap`` 1.11.5, whose ``inplace`` and ``key_added`` do nothing but raise and are absent.
    """
    _anndata.check_adata(adata)
    if method not in ("overlap_count", "overlap_coef", "jaccard"):
        raise ParameterError(f"parameter `method`: expected overlap_count, overlap_coef or jaccard, found {method!r}")
    if normalize not in ("reference", "data", None):
        raise ParameterError(f"parameter `normalize`: expected reference, data or None, found {normalize!r}")
    if normalize is not None and method != "overlap_count":
        raise ParameterError(
            f"parameter `normalize`: expected None unless method is overlap_count, found {normalize!r}"
        )
    known = marker_sets(reference_markers, "reference_markers")
    stored = _anndata.get_uns(adata, key)
    groups = list(stored["names"].dtype.names)
    if adj_pval_threshold is not None:
        if "pvals_adj" not in stored:
            raise MissingKeyError(f"key `pvals_adj` not found in uns[{key!r}]; present: {', '.join(stored)}")
        if not 0 <= adj_pval_threshold <= 1:
            warnings.warn("`adj_pval_threshold` lies outside 0 to 1 and is set to the nearer end", stacklevel=2)
            adj_pval_threshold = min(max(adj_pval_threshold, 0.0), 1.0)
        if top_n_markers is not None:
            warnings.warn("`adj_pval_threshold` is ignored: `top_n_markers` is set", stacklevel=2)
            adj_pval_threshold = None
    if top_n_markers is not None and top_n_markers < 1:
        warnings.warn("`top_n_markers` lies below 1 and is set to 1", stacklevel=2)
        top_n_markers = 1

    found = {}
    for group in groups:
        names = np.asarray(stored["names"][group], dtype=object)
        if adj_pval_threshold is not None:
            taken = int((np.asarray(stored["pvals_adj"][group]) < adj_pval_threshold).sum())
            if taken == 0:
                warnings.warn(f"group {group!r}: no gene of adjusted p-value below {adj_pval_threshold}", stacklevel=2)
        else:
            taken = _TOP if top_n_markers is None else top_n_markers
        found[group] = set(names[:taken])

    table = np.zeros((len(known), len(groups)))
    for row, markers in enumerate(known.values()):
        for column, ranked in enumerate(found.values()):
            common = len(markers & ranked)
            if method == "overlap_coef":
                table[row, column] = common / max(min(len(markers), len(ranked)), 1)
            elif method == "jaccard":
                table[row, column] = common / max(len(markers | ranked), 1)
            else:
                divisor = {"reference": len(markers), "data": len(ranked), None: 1}[normalize]
                table[row, column] = common / divisor if divisor else 0.0
    return pd.DataFrame(table, index=list(known), columns=groups)


def marker_sets(markers: Mapping[str, Iterable[str]], parameter: str) -> dict[str, set[str]]:
    """`markers` as sets, or a `ParameterError` that says what is wrong with them."""
    if not isinstance(markers, Mapping) or not markers:
        raise ParameterError(f"parameter `{parameter}`: expected a dict of cell type -> genes, found {markers!r}")
    sets = {}
    for name, genes in markers.items():
        if isinstance(genes, str) or not isinstance(genes, Iterable):
            raise ParameterError(
                f"parameter `{parameter}`: expected a list or set of genes for {name!r}, found {genes!r}"
            )
        sets[name] = set(genes)
    return sets
