"""Moran's I and Geary's C, in uns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import as_matrix, check_adata, get_matrix, get_obs, get_obsm, get_obsp, start
from .._corrections import CORRECTIONS, corrected
from .._provenance import record
from ..errors import DuplicateNamesError, EmptyDataError, MissingKeyError, ParameterError
from ._nhood import _CONNECTIVITIES

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def spatial_autocorr(
    adata: AnnData,
    *,
    connectivity_key: str = _CONNECTIVITIES,
    genes: str | int | Sequence[str] | Sequence[int] | None = None,
    mode: str = "moran",
    transformation: bool = True,
    n_perms: int | None = None,
    two_tailed: bool = False,
    corr_method: str | None = "fdr_bh",
    attr: str = "X",
    layer: str | None = None,
    seed: int = 0,
    use_raw: bool = False,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Moran's I or Geary's C of genes, columns of obs or of an embedding: do neighbours in space have like values?

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours.
    connectivity_key
        Key of ``obsp`` with the weights.
    genes
        With ``attr="X"``: genes; ``None`` for those that are ``highly_variable``, or all where no such column is. With
        ``"obs"``: columns; ``None`` for all numbers. With ``"obsm"``: columns by number; ``None`` for all.
    mode
        ``"moran"``: near 1 where neighbours are alike, -1 / (n - 1) by chance. ``"geary"``: near 0 and 1.
    transformation
        Divide the weights of each cell by their sum.
    n_perms
        Also score this many permutations of the cells, at least 1.
    two_tailed
        Double the p values from normal distributions. One-tailed ones are of the side on which the score lies.
    corr_method
        ``"fdr_bh"``, ``"fdr_by"``, ``"bonferroni"`` or ``None``, over the genes with variance.
    attr
        ``"X"``, ``"obs"`` or ``"obsm"``.
    layer
        With ``"X"``: layer to use instead. With ``"obsm"``: its key, required.
    seed
        Seed of the permutations; each has random numbers of its own.
    use_raw
        With ``"X"``: take ``adata.raw``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns["moranI"]`` or ``uns["gearyC"]``: a DataFrame by gene, the most alike first, with ``I`` or
    ``C``, ``pval_norm``, ``var_norm``, with ``n_perms`` also ``pval_z_sim``, ``pval_sim``, ``var_sim``, and each p value corrected
    (``pval_norm_fdr_bh`` ...). Genes without variance have NaN and stand last.

    Raises
    ------
    MissingKeyError
        No such key or gene.
    ParameterError
        An option out of range, or one that ``attr`` does not use.
    DuplicateNamesError
        Genes asked for by a name that several have.
    DataError
        Fewer than three cells, no edges, weights that sum to zero, NaN or infinity.

    Notes
    -----
    Values that are not finite are refused. Time: for each gene the edges of its cells that are not zero (all edges where half or more
    are not), ``n_perms`` times that beside. Memory: a copy of the genes by columns; see `zensaibo.arrays.spatial_autocorr`,
    also for how permutations differ from squidpy's.

    References
    ----------
    Moran, Biometrika 37 (1950); Geary, The Incorporated Statistician 5 (1954); Cliff and Ord, Spatial Processes (1981).
    """
    check_adata(adata)
    if corr_method is not None and corr_method not in CORRECTIONS:
        raise ParameterError(f"parameter `corr_method`: expected None or one of {', '.join(CORRECTIONS)}, found {corr_method!r}")
    if mode not in ("moran", "geary"):
        raise ParameterError(f"parameter `mode`: expected 'moran' or 'geary', found {mode!r}")
    graph = get_obsp(adata, connectivity_key)
    matrix, names = _values(adata, attr, genes, layer, use_raw)
    found = arrays.spatial_autocorr(
        graph, matrix, mode=mode, transformation=transformation, n_perms=n_perms, two_tailed=two_tailed, seed=seed,
        threads=threads, progress=progress,
    )  # fmt: skip
    stat = "I" if mode == "moran" else "C"
    columns: dict[str, Any] = {stat: found.score, "pval_norm": found.pval_norm, "var_norm": np.full(len(names), found.var_norm)}
    if found.pval_sim is not None:
        columns |= {"pval_z_sim": found.pval_z_sim, "pval_sim": found.pval_sim, "var_sim": found.var_sim}
    if corr_method is not None:
        columns |= {
            f"{name}_{corr_method}": corrected(values, corr_method) for name, values in columns.items() if "pval" in name
        }
    table = pd.DataFrame(columns, index=names).sort_values(stat, ascending=mode == "geary", kind="stable")
    adata = start(adata, copy)
    adata.uns[f"{mode}{stat}"] = table
    record(
        adata, "spatial_autocorr", connectivity_key=connectivity_key, mode=mode, transformation=transformation, n_perms=n_perms,
        two_tailed=two_tailed, corr_method=corr_method, attr=attr, layer=layer, seed=seed, use_raw=use_raw,
    )  # fmt: skip
    return adata if copy else None


def _values(adata: AnnData, attr: str, genes: Any, layer: str | None, use_raw: bool) -> tuple[Any, pd.Index]:
    """The matrix to score and the names of its columns."""
    if attr not in ("X", "obs", "obsm"):
        raise ParameterError(f"parameter `attr`: expected 'X', 'obs' or 'obsm', found {attr!r}")
    if attr != "X" and use_raw:
        raise ParameterError(f"parameter `use_raw`: expected False with attr={attr!r}, found True")
    wanted: list[Any] | None = None if genes is None else [genes] if isinstance(genes, (str, int, np.integer)) else list(genes)
    if attr == "obs":
        if layer is not None:
            raise ParameterError(f"parameter `layer`: expected None with attr='obs', found {layer!r}")
        if wanted is None:
            wanted = list(adata.obs.select_dtypes(include=np.number).columns)
        columns = [get_obs(adata, str(name)) for name in wanted]
        bad = [name for name, column in zip(wanted, columns, strict=True) if not pd.api.types.is_numeric_dtype(column)]
        if bad:
            raise ParameterError(f"parameter `genes`: expected columns of numbers, found {bad[0]!r} in adata.obs")
        if not columns:
            raise EmptyDataError("`adata.obs`: expected a column of numbers, found none")
        return np.column_stack([column.to_numpy(np.float64) for column in columns]), pd.Index(wanted)
    if attr == "obsm":
        if layer is None:
            raise ParameterError("parameter `layer`: expected a key of obsm with attr='obsm', found None")
        matrix = as_matrix(np.asarray(get_obsm(adata, layer)), f"obsm[{layer!r}]")
        places = list(range(matrix.shape[1])) if wanted is None else wanted
        outside = [place for place in places if not isinstance(place, (int, np.integer)) or not 0 <= place < matrix.shape[1]]
        if outside:
            raise ParameterError(f"parameter `genes`: expected columns from 0 to {matrix.shape[1] - 1}, found {outside[0]!r}")
        return matrix[:, places], pd.Index([str(place) for place in places])
    matrix = get_matrix(adata, layer=layer, use_raw=use_raw)
    var = adata.raw.var if use_raw else adata.var
    if wanted is None:
        if "highly_variable" not in adata.var:
            return matrix, var.index
        wanted = list(adata.var_names[adata.var["highly_variable"].to_numpy(bool)])
        if not use_raw:
            return matrix[:, adata.var["highly_variable"].to_numpy(bool)], pd.Index(wanted)
    missing = [name for name in wanted if name not in var.index]
    if missing:
        raise MissingKeyError(f"key `{missing[0]}` not found in the genes; {len(missing)} of {len(wanted)} are not there")
    if not wanted:
        raise EmptyDataError("`genes`: expected at least one gene, found none")
    shared = [name for name in wanted if (var.index == name).sum() > 1] if not var.index.is_unique else []
    if shared:
        raise DuplicateNamesError(f"`genes`: expected names of one gene each, found {shared[0]!r} for several")
    return matrix[:, var.index.get_indexer(pd.Index(wanted))], pd.Index(wanted)
