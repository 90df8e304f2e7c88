"""Genes in space, and pairs of values in space."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_obsp, start
from .._corrections import corrected
from .._provenance import record
from ..errors import EmptyDataError, MissingKeyError, ParameterError
from ._autocorr import _values
from ._neighbors import _columns
from ._nhood import _CONNECTIVITIES

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def spatially_variable_genes(
    adata: AnnData,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    genes: str | Sequence[str] | None = None,
    layer: str | None = None,
    use_raw: bool = False,
    min_cells: int = 3,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Tests genes for being a function of place (SPARK-X): eleven sets of functions of the coordinates, joined.

    Parameters
    ----------
    adata
        Annotated data; counts need no normalisation.
    spatial_key
        Key of ``obsm`` with 2 or 3 finite coordinates per cell.
    library_key
        Column of ``obs``: functions and means are taken within each library. A difference between libraries is no pattern.
    genes
        Genes; ``None`` for those that are ``highly_variable``, or all where no such column is.
    layer
        Layer to use instead of X.
    use_raw
        Take ``adata.raw``.
    min_cells
        Genes that are not zero in fewer cells are left out.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns["spatially_variable_genes"]``, a DataFrame by gene, the least likely by chance first:

    ``share``
        Largest share of the variance that a set of functions explains.
    ``pattern``
        The set: ``"linear"``, ``"gaussian 1"`` (narrow) to ``"gaussian 5"`` (wide), ``"cosine 1"`` to ``"cosine 5"``.
    ``pval``, ``pval_adj``
        p value, and corrected over the genes with variance (Benjamini and Hochberg). Genes without variance have NaN and stand last.

    Raises
    ------
    MissingKeyError
        No such key or gene.
    EmptyDataError
        No gene is left.
    DataError
        NaN or infinity, a library of fewer than five cells or with all of them at one place.

    Notes
    -----
    Patterns that are no sum of functions of one axis each, such as thin rings, are missed;
    Moran's I (`spatial_autocorr`) sees them. Nothing is random. Time: 11 products per axis for each value that is not zero. Memory: 88 bytes per cell and axis, and a copy of the genes by
    columns.

    References
    ----------
    Zhu, Sun and Zhou, Genome Biology 22:184 (2021).
    """
    check_adata(adata)
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    matrix, names = _values(adata, "X", genes, layer, use_raw)
    present = np.asarray((matrix != 0).sum(axis=0)).ravel() >= min_cells
    if not present.any():
        raise EmptyDataError(
            f"`genes`: expected a gene that is not zero in at least {min_cells} cells, found none of {len(names)}"
        )
    if not present.all():
        matrix, names = matrix[:, np.flatnonzero(present)], names[present]
    found = arrays.spatially_variable_genes(coordinates, matrix, libraries=libraries, threads=threads, progress=progress)
    order = np.lexsort([found.ln_pval])
    order = np.concatenate([order[~np.isnan(found.ln_pval[order])], order[np.isnan(found.ln_pval[order])]])
    table = pd.DataFrame(
        {"share": found.share, "pattern": found.pattern, "pval": found.pval, "pval_adj": corrected(found.pval)},
        index=names,
    ).iloc[order]
    adata = start(adata, copy)
    adata.uns["spatially_variable_genes"] = table
    record(
        adata, "spatially_variable_genes", spatial_key=spatial_key, library_key=library_key, layer=layer, use_raw=use_raw,
        min_cells=int(min_cells),
    )  # fmt: skip
    return adata if copy else None


def bivariate(
    adata: AnnData,
    pairs: Any,
    *,
    local_name: str = "cosine",
    connectivity_key: str = _CONNECTIVITIES,
    n_perms: int | None = None,
    mask_negatives: bool = False,
    nz_prop: float = 0.05,
    layer: str | None = None,
    use_raw: bool = False,
    key_added: str | None = None,
    seed: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Where in the tissue do neighbours have both of two genes? Local scores of pairs, as LIANA's ``bivariate`` has them.

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours.
    pairs
        Pairs of genes: a list of two names each, or a DataFrame whose first two columns name them (such as ligand and receptor). A gene
        with itself, and pairs of which a gene is not there, are left out.
    local_name
        ``"cosine"``, ``"pearson"``, ``"spearman"``, ``"jaccard"``, ``"product"``, ``"norm_product"``, ``"morans"`` or ``"lee"``; see
        `zensaibo.arrays.bivariate`.
    connectivity_key
        Key of ``obsp`` with weights of at least 0. A cell counts as its own neighbour only where the diagonal says so (``set_diag``).
    n_perms
        Also move the cells around so many times, both genes together, for p values.
    mask_negatives
        Scores of cells whose neighbours are not above the mean in both genes become 0, their p values 1; permutations count that are
        at least as large instead of at least as far from 0.
    nz_prop
        Pairs of which a gene is not zero in a smaller share of the cells are left out.
    layer
        Layer to use instead of X.
    use_raw
        Take ``adata.raw``.
    key_added
        Key to write; by default ``"bivariate_" + local_name``.
    seed
        Seed of the permutations.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes:

    ``obsm[key_added]``, ``obsm[key_added + "_cats"]``, with ``n_perms`` ``obsm[key_added + "_pvals"]``
        DataFrames of cells x pairs, named ``"x^y"``: scores; 1 where the neighbours are above the mean in both, -1 where in one and below in the
        other, else 0; p values.
    ``uns[key_added]``
        DataFrame by pair: ``x``, ``y``, their shares of cells that are not zero, ``mean`` and ``std`` of the score, ``morans`` and ``lee``
        over the tissue, with ``n_perms`` their p values.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range.
    EmptyDataError
        No pair is left; the message says why.
    DataError
        NaN or infinity, negative weights, no edges.

    Notes
    -----
    p values count the score itself, so that none is 0 (LIANA's are). Permutations take both genes away from their places, so that small p values say that
    space matters to the pair; a gene with a pattern of its own makes them small beside any other. Time: pairs x edges, ``n_perms`` times that beside.

    References
    ----------
    Dimitrov et al., Nature Cell Biology 26 (2024); Lee, J. Geogr. Syst. 3 (2001).
    """
    check_adata(adata)
    if not 0 <= nz_prop <= 1:
        raise ParameterError(f"parameter `nz_prop`: expected a share, 0 to 1, found {nz_prop!r}")
    key = f"bivariate_{local_name}" if key_added is None else key_added
    graph = get_obsp(adata, connectivity_key)
    table = _pairs(pairs)
    names = adata.raw.var_names if use_raw and adata.raw is not None else adata.var_names
    there = table["x"].isin(names) & table["y"].isin(names)
    if not there.any():
        missing = sorted({*table["x"], *table["y"]} - set(names))
        raise EmptyDataError(
            f"`pairs`: expected a pair of which both genes are there, found none of {len(table)} (not there: {', '.join(missing[:5])}"
            f"{' ...' if len(missing) > 5 else ''}; genes look like {', '.join(map(str, names[:3]))}; another species?)"
        )
    table = table[there & (table["x"] != table["y"])].drop_duplicates()
    wanted = sorted({*table["x"], *table["y"]})
    if not wanted:
        raise EmptyDataError("`pairs`: expected two different genes in a pair, found none")
    matrix, used = _values(adata, "X", wanted, layer, use_raw)
    share = pd.Series(np.asarray((matrix != 0).sum(axis=0)).ravel() / adata.n_obs, index=used)
    table["x_props"], table["y_props"] = share[table["x"]].to_numpy(), share[table["y"]].to_numpy()
    enough = (table["x_props"] >= nz_prop) & (table["y_props"] >= nz_prop)
    if not enough.any():
        raise EmptyDataError(
            f"`pairs`: expected a pair with both genes in at least {nz_prop:.0%} of the cells, found none of {len(table)}"
        )
    table = table[enough].reset_index(drop=True)
    places = np.column_stack([used.get_indexer(table["x"]), used.get_indexer(table["y"])])
    found = arrays.bivariate(
        graph, matrix, places, local_name=local_name, n_perms=n_perms, mask_negatives=mask_negatives, seed=seed, threads=threads,
        progress=progress,
    )  # fmt: skip
    table.index = pd.Index(table["x"] + "^" + table["y"])
    local, pvals = found.local, found.local_pvals
    table["mean"], table["std"] = local.mean(axis=0), local.std(axis=0)
    table["morans"], table["lee"] = found.morans, found.lee
    if found.morans_pvals is not None:
        table["morans_pvals"], table["lee_pvals"] = found.morans_pvals, found.lee_pvals
    if mask_negatives:
        local = np.where(found.categories == 1, local, 0.0)
        pvals = None if pvals is None else np.where(found.categories == 1, pvals, 1.0)
    adata = start(adata, copy)

    def frame(values: np.ndarray) -> pd.DataFrame:
        return pd.DataFrame(values, index=adata.obs_names, columns=table.index)

    adata.obsm[key], adata.obsm[f"{key}_cats"] = frame(local), frame(found.categories)
    if pvals is not None:
        adata.obsm[f"{key}_pvals"] = frame(pvals)
    adata.uns[key] = table
    record(
        adata, "bivariate", local_name=local_name, connectivity_key=connectivity_key, n_perms=n_perms, mask_negatives=mask_negatives,
        nz_prop=float(nz_prop), layer=layer, use_raw=use_raw, key_added=key, seed=seed,
    )  # fmt: skip
    return adata if copy else None


def _pairs(pairs: Any) -> pd.DataFrame:
    """Two columns of names."""
    if isinstance(pairs, pd.DataFrame):
        if pairs.shape[1] < 2 or not len(pairs):
            raise ParameterError(f"parameter `pairs`: expected a table of two columns or more, found shape {pairs.shape}")
        table = pairs.iloc[:, :2].dropna().astype(str)
    else:
        listed = (
            [pairs] if isinstance(pairs, tuple) and len(pairs) == 2 and all(isinstance(p, str) for p in pairs) else list(pairs)
        )
        if not listed or not all(not isinstance(pair, str) and len(pair) == 2 for pair in listed):
            raise ParameterError(f"parameter `pairs`: expected pairs of names, found {pairs!r}")
        table = pd.DataFrame([[str(x), str(y)] for x, y in listed])
    table.columns = pd.Index(["x", "y"])
    return table.reset_index(drop=True)


def pair_names(adata: AnnData, key: str) -> list[str]:
    """The pairs of a result of `bivariate`, or a `MissingKeyError`."""
    if key not in adata.obsm or not isinstance(adata.obsm[key], pd.DataFrame):
        there = [k for k in adata.obsm if f"{k}_cats" in adata.obsm]
        raise MissingKeyError(f"key `{key}` not found in adata.obsm; results of sp.bivariate: {', '.join(there) or '(none)'}")
    return list(adata.obsm[key].columns)
