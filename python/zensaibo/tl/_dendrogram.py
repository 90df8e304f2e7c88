"""`zs.tl.dendrogram`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._anndata import as_matrix, check_adata, columns_of
from .._provenance import record
from ..errors import DataError, MissingKeyError, NonFiniteError, ParameterError, TooFewError
from ..pp._neighbors import _representation
from ._graph import grouping

if TYPE_CHECKING:
    from anndata import AnnData

_CORRELATIONS = ("pearson", "kendall", "spearman")
_LINKAGES = ("single", "complete", "average", "weighted", "centroid", "median", "ward")


def dendrogram(
    adata: AnnData,
    groupby: str | Sequence[str],
    *,
    n_pcs: int | None = None,
    use_rep: str | None = None,
    var_names: Sequence[str] | None = None,
    use_raw: bool | None = None,
    cor_method: str = "pearson",
    linkage_method: str = "complete",
    optimal_ordering: bool = False,
    key_added: str | None = None,
    inplace: bool = True,
    threads: int | None = None,
) -> dict[str, Any] | None:
    """Hierarchical clustering of groups of cells by the correlation of their means, as `scanpy.tl.dendrogram`.

    Parameters
    ----------
    adata
        Annotated cells x genes.
    groupby
        Column of obs with categories, or several, whose combinations are the groups.
    n_pcs
        Columns of the representation to use; default: all.
    use_rep
        ``"X"`` or a key of obsm; default ``X_pca`` if there are more than 50 genes (computed with a warning if it is
        missing), else X.
    var_names
        Genes to use in place of a representation; `n_pcs` and `use_rep` must then be ``None``.
    use_raw
        With `var_names`: whether they are looked up in ``adata.raw``; default: yes if there is one.
    cor_method
        ``"pearson"``, ``"kendall"`` or ``"spearman"``.
    linkage_method
        One of scipy's: single, complete, average, weighted, centroid, median, ward.
    optimal_ordering
        Whether leaves are put in the order in which neighbours are most alike.
    key_added
        Entry of uns to write; default ``"dendrogram_" + groupby``.
    inplace
        Whether to write to ``adata.uns`` or to return the result.
    threads
        Threads for the representation, where it is missing; changes the time and nothing else.

    Returns
    -------
    ``None``, or the dictionary that is written otherwise: ``linkage`` (groups - 1, 4), ``groupby``, ``use_rep``,
    ``cor_method``, ``linkage_method``, ``categories_ordered``, ``categories_idx_ordered``, ``dendrogram_info`` (scipy's)
    and ``correlation_matrix`` (groups, groups).

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        No such column, gene or representation; an unknown method; fewer than two groups, a group that is everywhere the
        same, values that are not finite.

    Notes
    -----
    Nothing is random. Means are taken in float64; scipy does the linkage. O(cells x columns + groups^2 columns).
    """
    check_adata(adata)
    if cor_method not in _CORRELATIONS:
        raise ParameterError(f"parameter `cor_method`: expected one of {', '.join(_CORRELATIONS)}, found {cor_method!r}")
    if linkage_method not in _LINKAGES:
        raise ParameterError(f"parameter `linkage_method`: expected one of {', '.join(_LINKAGES)}, found {linkage_method!r}")
    keys = [groupby] if isinstance(groupby, str) else list(groupby)
    if not keys:
        raise ParameterError("parameter `groupby`: expected a column of obs, found none")
    groups = grouping(adata, keys[0])
    for key in keys[1:]:
        joined = pd.Series(groups).astype(str) + "_" + pd.Series(grouping(adata, key)).astype(str)
        groups = pd.Categorical(joined)
    if var_names is None:
        if use_raw is not None:
            raise ParameterError("parameter `use_raw`: expected None without `var_names`, found " + repr(use_raw))
        values = _representation(adata, use_rep, n_pcs, 0, threads, False)
    else:
        if n_pcs is not None or use_rep is not None:
            raise ParameterError("parameters `n_pcs`, `use_rep`: expected None with `var_names`")
        values = _genes(adata, var_names, use_raw)
    names = list(groups.categories)
    sizes = np.bincount(groups.codes, minlength=len(names))
    if len(names) < 2 or (sizes == 0).any():
        empty = [str(name) for name, size in zip(names, sizes, strict=True) if size == 0]
        found = f"{len(names)} groups" + (f", without cells: {', '.join(empty)}" if empty else "")
        raise TooFewError(f"`adata.obs[{keys[0]!r}]`: expected at least 2 groups, each with cells, found {found}")
    indicator = sparse.csr_matrix(
        (np.ones(adata.n_obs), (groups.codes, np.arange(adata.n_obs))), shape=(len(names), adata.n_obs)
    )
    sums = indicator @ (values.astype(np.float64) if sparse.issparse(values) else np.asarray(values, dtype=np.float64))
    means = (sums.toarray() if sparse.issparse(sums) else sums) / sizes[:, None]
    if not np.isfinite(means).all():
        row, column = np.argwhere(~np.isfinite(means))[0]
        raise NonFiniteError(
            f"means of the groups: expected finite values, found {means[row, column]} in group {names[row]!r}, column {column}"
        )
    correlation = pd.DataFrame(means, index=groups.categories).T.corr(method=cor_method).clip(-1, 1).to_numpy()
    if not np.isfinite(correlation).all():
        flat = [str(name) for name, row in zip(names, means, strict=True) if np.ptp(row) == 0]
        raise DataError(f"means of the groups: expected some that vary, found constant ones in {', '.join(flat) or 'one'}")
    import scipy.cluster.hierarchy as hierarchy
    from scipy.spatial.distance import squareform

    linkage = hierarchy.linkage(
        squareform(1 - correlation, checks=False), method=linkage_method, optimal_ordering=optimal_ordering
    )
    drawn = hierarchy.dendrogram(linkage, labels=names, no_plot=True)
    result = {
        "linkage": linkage,
        "groupby": keys,
        "use_rep": use_rep,
        "cor_method": cor_method,
        "linkage_method": linkage_method,
        "categories_ordered": drawn["ivl"],
        "categories_idx_ordered": drawn["leaves"],
        "dendrogram_info": drawn,
        "correlation_matrix": correlation,
    }
    if not inplace:
        return result
    adata.uns[key_added or f"dendrogram_{'_'.join(keys)}"] = result
    record(
        adata,
        "dendrogram",
        groupby=keys,
        n_pcs=n_pcs,
        use_rep=use_rep,
        var_names=None if var_names is None else list(var_names),
        use_raw=use_raw,
        cor_method=cor_method,
        linkage_method=linkage_method,
        optimal_ordering=optimal_ordering,
        key_added=key_added,
    )
    return None


def _genes(adata: AnnData, var_names: Sequence[str], use_raw: bool | None) -> Any:
    """The columns of some genes."""
    wanted = [var_names] if isinstance(var_names, str) else list(var_names)
    if len(wanted) < 2:
        raise ParameterError(f"parameter `var_names`: expected at least 2 genes to correlate over, found {len(wanted)}")
    if use_raw is None:
        use_raw = adata.raw is not None
    if use_raw and adata.raw is None:
        raise MissingKeyError("key `raw` not found in adata: `use_raw=True` needs `adata.raw`")
    source = adata.raw if use_raw else adata
    places = source.var_names.get_indexer(wanted)
    if (places < 0).any():
        missing = [name for name, place in zip(wanted, places, strict=True) if place < 0]
        where = "adata.raw.var_names" if use_raw else "adata.var_names"
        raise MissingKeyError(f"key `{missing[0]}` not found in {where} ({len(missing)} of {len(wanted)} genes missing)")
    return as_matrix(columns_of(source.X, places), "X")
