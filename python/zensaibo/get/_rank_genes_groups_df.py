"""``get.rank_genes_groups_df``: the tables of one or more groups as one data frame."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _anndata
from .._keys import RANK_GENES_GROUPS
from ..errors import DuplicateNamesError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData

#: Columns of the frame, as scanpy orders them; the last two where they were stored.
_COLUMNS = ("names", "scores", "logfoldchanges", "pvals", "pvals_adj", "log10_pvals", "log10_pvals_adj")


def rank_genes_groups_df(
    adata: AnnData,
    group: str | Iterable[str] | None,
    *,
    key: str = RANK_GENES_GROUPS,
    pval_cutoff: float | None = None,
    log2fc_min: float | None = None,
    log2fc_max: float | None = None,
    gene_symbols: str | None = None,
) -> pd.DataFrame:
    """Results of :func:`zensaibo.tl.rank_genes_groups` (or scanpy's) as a data frame.

    Parameters
    ----------
    adata
        Annotated data with ``uns[key]``.
    group
        A group, several, or None for all.
    key
        Key in ``uns``.
    pval_cutoff
        Keep adjusted p-values below this.
    log2fc_min, log2fc_max
        Keep log2 fold changes above, below this.
    gene_symbols
        Column of ``var`` to add, looked up by gene name.

    Returns
    -------
    pandas.DataFrame
        ``group`` (categorical; only when several were asked for), ``names``, ``scores``, ``logfoldchanges``,
        ``pvals``, ``pvals_adj``; then the gene symbols, ``log10_pvals`` and ``log10_pvals_adj``,
        ``pct_nz_group``, ``pct_nz_reference`` where there are such. In the order of the groups asked for,
        best score first.

    Raises
    ------
    MissingKeyError
        `key`, a group or `gene_symbols` that is not there.
    DuplicateNamesError
        Fractions stored under gene names that are not unique.
    """
    _anndata.check_adata(adata)
    stored = _anndata.get_uns(adata, key)
    present = list(stored["names"].dtype.names)
    wanted = [group] if isinstance(group, str) else present if group is None else list(group)
    for name in wanted:
        if name not in present:
            raise MissingKeyError(f"key `{name}` not found in uns[{key!r}]; present: {', '.join(present)}")

    columns = [column for column in _COLUMNS if column in stored]
    rows = len(stored["names"])
    table = pd.DataFrame({"group": pd.Categorical(np.repeat(wanted, rows), categories=wanted)})
    for column in columns:
        table[column] = np.concatenate([np.asarray(stored[column][name]) for name in wanted]) if wanted else []

    keep = np.ones(len(table), dtype=bool)
    if stored["params"]["method"] != "logreg":
        if pval_cutoff is not None:
            keep &= (table["pvals_adj"] < pval_cutoff).to_numpy()
        if log2fc_min is not None:
            keep &= (table["logfoldchanges"] > log2fc_min).to_numpy()
        if log2fc_max is not None:
            keep &= (table["logfoldchanges"] < log2fc_max).to_numpy()
    table = table[keep]
    if gene_symbols is not None:
        table = table.join(_anndata.get_var(adata, gene_symbols), on="names")

    for slot, column in (("pts", "pct_nz_group"), ("pts_rest", "pct_nz_reference")):
        if slot in stored:
            fractions = stored[slot]
            if not fractions.index.is_unique:
                raise DuplicateNamesError(
                    f"uns[{key!r}][{slot!r}]: expected unique gene names, found repeated ones; "
                    "call adata.var_names_make_unique() before ranking"
                )
            parts = [
                fractions[name].reindex(table.loc[table["group"] == name, "names"]).to_numpy() for name in wanted
            ]
            table[column] = np.concatenate(parts) if parts else []
    if len(wanted) == 1:
        table = table.drop(columns="group")
    return table.reset_index(drop=True)
