"""``tl.filter_rank_genes_groups``: markers that are common inside their group, rare outside, and change enough."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _anndata
from .._keys import RANK_GENES_GROUPS
from .._progress import Progress
from .._provenance import record
from ..arrays._aggregate import aggregate
from ..errors import DuplicateNamesError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


def filter_rank_genes_groups(
    adata: AnnData,
    *,
    key: str | None = None,
    groupby: str | None = None,
    use_raw: bool | None = None,
    key_added: str = "rank_genes_groups_filtered",
    min_in_group_fraction: float = 0.25,
    min_fold_change: float = 1,
    max_out_group_fraction: float = 0.5,
    compare_abs: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Keep the ranked genes that pass limits of log fold change and of the fractions of cells that express them.

    Parameters
    ----------
    adata
        Annotated data after :func:`rank_genes_groups`.
    key
        Key of ``uns`` to filter; ``"rank_genes_groups"`` by default.
    groupby, use_raw
        Column of groups, and whether to look in ``raw``; as ranked by default.
    key_added
        Key of ``uns`` to write.
    min_in_group_fraction
        Genes must be expressed in more than this fraction of the cells of the group.
    min_fold_change
        log2 fold changes must be greater than this.
    max_out_group_fraction
        Genes must be expressed in less than this fraction of the other cells.
    compare_abs
        Compare the absolute log2 fold change.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None. Writes ``uns[key_added]``: a copy of ``uns[key]`` whose ``names`` are NaN where a gene does not pass.

    Raises
    ------
    MissingKeyError
        `key`, `groupby` or a ranked gene that is not there.
    DuplicateNamesError
        Gene names that are not unique, so that a name does not say which gene is meant.

    Notes
    -----
    As ``scanpy.tl.filter_rank_genes_groups`` 1.11.5. Fold changes are those stored when the ranking was against the rest
    with the same `groupby` and `use_raw`, fractions those stored with ``pts=True``; else both are computed here, against
    all other cells, in one read of the matrix. A fold change computed here is from means of logged values.
    """
    _anndata.check_adata(adata)
    key = RANK_GENES_GROUPS if key is None else key
    stored = _anndata.get_uns(adata, key)
    params = stored["params"]
    groupby = params["groupby"] if groupby is None else groupby
    use_raw = params["use_raw"] if use_raw is None else use_raw
    same = params["groupby"] == groupby and params["reference"] == "rest" and params["use_raw"] == use_raw
    names = pd.DataFrame(stored["names"])
    var_names = adata.raw.var_names if use_raw and adata.raw is not None else adata.var_names
    if not var_names.is_unique:
        raise DuplicateNamesError(
            "gene names: expected unique names, found repeated ones; call adata.var_names_make_unique() before ranking"
        )

    computed = None
    if not (same and "logfoldchanges" in stored and "pts_rest" in stored):
        computed = _levels(adata, groupby, bool(use_raw), list(names.columns), threads, progress)
    keep = np.zeros(names.shape, dtype=bool)
    for at, group in enumerate(names.columns):
        genes = names[group].to_numpy()
        rows = var_names.get_indexer(genes)
        if (rows < 0).any():
            raise MissingKeyError(f"key `{genes[rows < 0][0]}` not found in the gene names; `uns[{key!r}]` names it")
        if same and "pts_rest" in stored:
            inside = stored["pts"][group].loc[genes].to_numpy()
            outside = stored["pts_rest"][group].loc[genes].to_numpy()
        else:
            assert computed is not None
            inside, outside = computed[group]["inside"][rows], computed[group]["outside"][rows]
        if same and "logfoldchanges" in stored:
            folds = np.asarray(stored["logfoldchanges"][group])
        else:
            assert computed is not None
            folds = computed[group]["folds"][rows]
        folds = np.abs(folds) if compare_abs else folds
        keep[:, at] = (inside > min_in_group_fraction) & (outside < max_out_group_fraction) & (folds > min_fold_change)
    filtered = names.where(keep)
    adata.uns[key_added] = {**stored, "names": filtered.to_records(index=False)}
    record(
        adata,
        "filter_rank_genes_groups",
        key=key,
        groupby=groupby,
        use_raw=bool(use_raw),
        key_added=key_added,
        min_in_group_fraction=min_in_group_fraction,
        min_fold_change=min_fold_change,
        max_out_group_fraction=max_out_group_fraction,
        compare_abs=compare_abs,
    )


def _levels(
    adata: AnnData,
    groupby: str,
    use_raw: bool,
    groups: list[str],
    threads: int | None,
    progress: bool | Progress | None,
) -> dict[str, dict[str, np.ndarray]]:
    """Fractions of non-zeros inside and outside each group, and log2 fold changes, of all genes; one read."""
    matrix = _anndata.get_matrix(adata, use_raw=use_raw, stream=True)
    column = _anndata.get_obs(adata, groupby).astype(str).to_numpy()
    distinct, codes = np.unique(column, return_inverse=True)
    unknown = [group for group in groups if group not in distinct]
    if unknown:
        raise MissingKeyError(f"key `{unknown[0]}` not found in obs[{groupby!r}]; present: {', '.join(distinct)}")
    found = aggregate(matrix, codes, func=["sum", "count_nonzero"], threads=threads, progress=progress)
    base = adata.uns.get("log1p", {}).get("base")
    scale = 1.0 if base is None else np.log(float(base))
    levels = {}
    for group in groups:
        at = int(np.searchsorted(distinct, group))
        others = np.arange(len(distinct)) != at
        size, rest = found.sizes[at], found.sizes[others].sum()
        with np.errstate(divide="ignore", invalid="ignore"):
            fractions = {
                "inside": found.tables["count_nonzero"][at] / size,
                "outside": found.tables["count_nonzero"][others].sum(axis=0) / rest,
            }
            level = np.expm1(found.tables["sum"][at] / size * scale) + 1e-9
            other = np.expm1(found.tables["sum"][others].sum(axis=0) / rest * scale) + 1e-9
            levels[group] = {**fractions, "folds": np.log2(level / other)}
    return levels
