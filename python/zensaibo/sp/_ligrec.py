"""Ligands and receptors, in uns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_matrix, get_obs, get_obsp, start
from .._corrections import CORRECTIONS, corrected
from .._provenance import record
from ..errors import MissingKeyError, ParameterError
from ..io._interactions import interactions_of

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def ligrec(
    adata: AnnData,
    cluster_key: str,
    interactions: Any,
    *,
    clusters: Sequence[Any] | None = None,
    complex_policy: str = "min",
    threshold: float = 0.01,
    n_perms: int | None = 1000,
    corr_method: str | None = None,
    corr_axis: str = "clusters",
    use_raw: bool | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    library_key: str | None = None,
    connectivity_key: str | None = None,
    squidpy_compat: bool = False,
    key_added: str | None = None,
    seed: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """The test of CellPhoneDB: are a ligand in one label and its receptor in another more expressed than with random labels?

    Parameters
    ----------
    adata
        Annotated data, normalised, values at least 0.
    cluster_key
        Column of ``obs`` with a label for every cell.
    interactions
        Table with columns ``source`` and ``target`` (or ``ligand`` and ``receptor``), pairs of names, or what
        `zensaibo.io.read_interactions` gives. The genes of a complex are joined by "_".
    clusters
        Labels or pairs of labels to test; cells of other labels are left out. ``None``: all pairs.
    complex_policy
        ``"min"``: a complex counts with the least of the means of its genes. ``"all"``: each gene with each.
    threshold
        A pair is tested where each gene is above 0 in at least this share of the cells of its label, 0 to 1.
    n_perms
        Random orders of the labels, or ``None`` for means alone.
    corr_method
        ``None``, ``"fdr_bh"``, ``"fdr_by"`` or ``"bonferroni"``, over what is tested.
    corr_axis
        ``"clusters"``: p values of a pair of labels are corrected together; ``"interactions"``: those of an interaction.
    use_raw
        Take ``adata.raw``; by default if there is one and no `layer` is asked for.
    layer
        Layer to use instead of X.
    gene_symbols
        Column of ``var`` with the names that `interactions` uses. ``None``: the names of the genes.
    library_key
        Column of ``obs``: labels are dealt out within each library.
    connectivity_key
        Key of ``obsp`` with a graph of neighbours: means are over those cells of each label that touch the other label, found anew in
        every random order. ``None``: over all cells of a label.
    squidpy_compat
        Complexes and p values as squidpy has them; see `zensaibo.arrays.ligrec`.
    key_added
        Key of ``uns``. ``None``: ``cluster_key + "_ligrec"``.
    seed
        Seed of the orders; each has random numbers of its own.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[key_added]``:

    ``means``, ``pvalues``
        (interactions, pairs) float64; p values are NaN where a pair is not tested.
    ``metadata``
        DataFrame: ``source``, ``target`` of each interaction and the other columns of the table.
    ``clusters``
        DataFrame: ``cluster_1``, ``cluster_2`` of each pair, and the cells behind it, ``n_cells_1``, ``n_cells_2``.
    ``resource``
        ``name``, ``version``, ``sha256``, ``rows`` of the table of interactions.

    Raises
    ------
    MissingKeyError
        No such key or label.
    ParameterError
        An option out of range.
    EmptyDataError
        No interaction whose genes are there; says so where names differ only in their case, as those of human and mouse do.
    DataError
        NaN, infinity or values below 0, cells without a label or library.

    Notes
    -----
    Time and memory as `zensaibo.arrays.ligrec`. The matrix is not made dense.

    References
    ----------
    Efremova et al., Nature Protocols 15 (2020).
    """
    check_adata(adata)
    if corr_method is not None and corr_method not in CORRECTIONS:
        raise ParameterError(f"parameter `corr_method`: expected None or one of {', '.join(CORRECTIONS)}, found {corr_method!r}")
    if corr_axis not in ("clusters", "interactions"):
        raise ParameterError(f"parameter `corr_axis`: expected 'clusters' or 'interactions', found {corr_axis!r}")
    read = interactions_of(interactions)
    matrix, genes = _genes(adata, use_raw, layer, gene_symbols)
    found = arrays.ligrec(
        matrix, get_obs(adata, cluster_key), read, genes=genes, clusters=clusters, complex_policy=complex_policy,
        threshold=threshold, n_perms=n_perms, libraries=None if library_key is None else get_obs(adata, library_key),
        graph=None if connectivity_key is None else get_obsp(adata, connectivity_key), squidpy_compat=squidpy_compat, seed=seed,
        threads=threads, progress=progress,
    )  # fmt: skip
    pvalues = found.pvalues
    if corr_method is not None:
        one = lambda values: corrected(values, corr_method)  # noqa: E731
        pvalues = np.apply_along_axis(one, 0 if corr_axis == "clusters" else 1, pvalues)
    adata = start(adata, copy)
    adata.uns[f"{cluster_key}_ligrec" if key_added is None else key_added] = {
        "means": found.means,
        "pvalues": pvalues,
        "metadata": _rows(found.interactions),
        "clusters": _rows(found.pairs),
        "resource": read.origin(),
    }
    record(
        adata, "ligrec", cluster_key=cluster_key, interactions=read.origin(), complex_policy=complex_policy,
        threshold=threshold, n_perms=n_perms, corr_method=corr_method, corr_axis=corr_axis, layer=layer, gene_symbols=gene_symbols,
        library_key=library_key, connectivity_key=connectivity_key, squidpy_compat=squidpy_compat, seed=seed,
    )  # fmt: skip
    return adata if copy else None


def rank_aggregate(
    adata: AnnData,
    groupby: str,
    interactions: Any,
    *,
    methods: Sequence[str] = ("cellphonedb", "connectome", "logfc", "natmi", "singlecellsignalr"),
    aggregate_method: str = "rra",
    expr_prop: float = 0.1,
    min_cells: int = 5,
    base: float = float(np.e),
    n_perms: int | None = 1000,
    use_raw: bool | None = None,
    layer: str | None = None,
    gene_symbols: str | None = None,
    library_key: str | None = None,
    connectivity_key: str | None = None,
    key_added: str = "liana_res",
    seed: int = 1337,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Ligands and receptors scored as several methods do, under LIANA's names, and the ranks aggregated.

    Parameters
    ----------
    adata
        Annotated data, log-normalised.
    groupby
        Column of ``obs`` with a label for every cell.
    interactions
        Table with columns ``source`` and ``target`` (or ``ligand`` and ``receptor``), pairs of names, or what
        `zensaibo.io.read_interactions` gives. The genes of a complex are joined by "_".
    methods, aggregate_method, expr_prop, min_cells, base, n_perms
        See `zensaibo.arrays.rank_aggregate`.
    use_raw
        Take ``adata.raw``; by default if there is one and no `layer` is asked for.
    layer
        Layer to use instead of X.
    gene_symbols
        Column of ``var`` with the names that `interactions` uses. ``None``: the names of the genes.
    library_key
        Column of ``obs``: labels are dealt out within each library for p values.
    connectivity_key
        Key of ``obsp`` with a graph of neighbours: scores are over those cells of each label that touch the other label. ``None``: over
        all cells of a label.
    key_added
        Key of ``uns``.
    seed
        Seed of the orders; each has random numbers of its own.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[key_added]``: the DataFrame of `zensaibo.arrays.rank_aggregate`, the strongest first. Name, version
    and hash of the table of interactions are in ``uns["zensaibo"]["rank_aggregate"]``.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range, or no such method.
    TooFewError
        Fewer than two labels of at least `min_cells` cells.
    EmptyDataError
        No interaction whose genes are there.
    DataError
        NaN, infinity or values below 0, cells without a label or library.

    Notes
    -----
    Time and memory as `ligrec`, for each method with p values.

    References
    ----------
    Dimitrov et al., Nature Communications 13 (2022); Kolde et al., Bioinformatics 28 (2012).
    """
    check_adata(adata)
    read = interactions_of(interactions)
    matrix, genes = _genes(adata, use_raw, layer, gene_symbols)
    table = arrays.rank_aggregate(
        matrix, get_obs(adata, groupby), read, genes=genes, methods=methods, aggregate_method=aggregate_method,
        expr_prop=expr_prop, min_cells=min_cells, base=base, n_perms=n_perms,
        libraries=None if library_key is None else get_obs(adata, library_key),
        graph=None if connectivity_key is None else get_obsp(adata, connectivity_key), seed=seed, threads=threads, progress=progress,
    )  # fmt: skip
    adata = start(adata, copy)
    adata.uns[key_added] = _rows(table)
    record(
        adata, "rank_aggregate", groupby=groupby, interactions=read.origin(), methods=list(methods),
        aggregate_method=aggregate_method, expr_prop=expr_prop, min_cells=min_cells, base=base, n_perms=n_perms, layer=layer,
        gene_symbols=gene_symbols, library_key=library_key, connectivity_key=connectivity_key, seed=seed,
    )  # fmt: skip
    return adata if copy else None


def _genes(adata: AnnData, use_raw: bool | None, layer: str | None, gene_symbols: str | None) -> tuple[Any, pd.Index]:
    """The matrix, and the names of its genes."""
    raw = (adata.raw is not None and layer is None) if use_raw is None else use_raw
    matrix = get_matrix(adata, layer=layer, use_raw=raw)
    var = adata.raw.var if raw else adata.var
    if gene_symbols is None:
        return matrix, var.index
    if gene_symbols in var:
        return matrix, pd.Index(var[gene_symbols].astype(str))
    raise MissingKeyError(f"key `{gene_symbols}` not found in {'adata.raw.var' if raw else 'adata.var'}; present: {', '.join(map(str, var))}")


def _rows(table: pd.DataFrame) -> pd.DataFrame:
    """With text as names of rows, and text or numbers in columns, as files want them."""
    table = table.set_axis(table.index.astype(str), axis=0)
    for name in table.columns[table.dtypes == object]:
        table[name] = table[name].astype(str)
    return table
