"""Scores of gene sets and phases of the cell cycle."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, get_matrix_to_sum, start
from .._progress import Progress
from .._provenance import record
from ..errors import DuplicateNamesError, EmptyDataError, MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def _names(genes: Any, name: str) -> Any:
    import pandas as pd

    found = pd.Index([genes] if isinstance(genes, str) else list(genes))
    if len(found) == 0:
        raise EmptyDataError(f"`{name}`: expected at least one gene name, found none")
    return found


def _columns(genes: Any, var_names: Any, name: str) -> np.ndarray:
    """Columns of the genes that are there, in the order that scanpy puts them in; a warning names the others."""
    found = _names(genes, name)
    missing = found.difference(var_names, sort=False)
    present = found.intersection(var_names)
    if len(present) == 0:
        shown = ", ".join(map(str, missing[:5]))
        raise MissingKeyError(f"`{name}`: expected genes that are in var_names, found none that is (first: {shown})")
    if len(missing):
        shown = ", ".join(map(str, missing[:20])) + (", ..." if len(missing) > 20 else "")
        warnings.warn(
            f"{len(missing)} genes of `{name}` are not in var_names and ignored: {shown}", UserWarning, stacklevel=4
        )
    return var_names.get_indexer(present)


def score_genes(
    adata: AnnData,
    gene_list: Sequence[str],
    *,
    ctrl_as_ref: bool = True,
    ctrl_size: int = 50,
    gene_pool: Sequence[str] | None = None,
    n_bins: int = 25,
    score_name: str = "score",
    random_state: int = 0,
    copy: bool = False,
    use_raw: bool | None = None,
    layer: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Scores each cell by the mean of a set of genes less that of control genes of similar average expression.

    Parameters
    ----------
    adata
        Annotated data, usually logarithmised.
    gene_list
        Names of the genes. Names that are not in ``var_names`` are left out, with a warning.
    ctrl_as_ref
        Draw control genes among all genes of a bin and drop those of ``gene_list`` afterwards (scanpy 1's way);
        ``False``: draw among the others only.
    ctrl_size
        Control genes drawn from each bin of average expression that holds genes of the list; at least 1.
    gene_pool
        Names of the genes to bin and to draw from; must hold the genes of the list. ``None``: all.
    n_bins
        Bins of average expression, at least 2.
    score_name
        Column of ``obs`` to write.
    random_state
        Seed of the draws, a whole number. The global generator of numpy is left alone.
    copy
        Change and return a copy.
    use_raw
        Use ``adata.raw``. ``None``: if it is there and no ``layer`` is given.
    layer
        Layer to use in place of X.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes ``obs[score_name]`` (float64).

    Raises
    ------
    ParameterError, MissingKeyError, DataError, EmptyDataError, DuplicateNamesError

    Notes
    -----
    The control genes are those that scanpy 1.11 draws for the same seed. See `zensaibo.arrays.score_genes` for cost.

    References
    ----------
    Satija et al., Spatial reconstruction of single-cell gene expression data, Nat Biotechnol 2015.
    """
    check_adata(adata)
    if use_raw is None:
        use_raw = layer is None and adata.raw is not None
    # The order of near-equal genes, and with it the draws, depend on how their means are added up.
    matrix = get_matrix_to_sum(adata, layer=layer, use_raw=use_raw)
    var_names = adata.raw.var_names if use_raw else adata.var_names
    if not var_names.is_unique:
        name = var_names[var_names.duplicated()][0]
        raise DuplicateNamesError(f"`var_names`: expected each name once, found {name!r} again; use var_names_make_unique()")
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise ParameterError(f"parameter `random_state`: expected a whole number of at least 0, found {random_state!r}")
    genes = _columns(gene_list, var_names, "gene_list")
    pool = None
    if gene_pool is not None:
        # As scanpy: the names that are there, in the order of the pool, which the draws depend on.
        present = _names(gene_pool, "gene_pool").astype("string").intersection(var_names)
        if len(present) == 0:
            raise MissingKeyError("`gene_pool`: expected genes that are in var_names, found none that is")
        pool = var_names.get_indexer(present)
    found = arrays.score_genes(
        matrix,
        genes,
        ctrl_as_ref=ctrl_as_ref,
        ctrl_size=ctrl_size,
        gene_pool=pool,
        n_bins=n_bins,
        seed=random_state,
        threads=threads,
        progress=progress,
    )
    if found.empty_bins:
        warnings.warn(
            f"no control genes in {found.empty_bins} of the expression bins; a larger `gene_pool` may help",
            UserWarning,
            stacklevel=2,
        )
    adata = start(adata, copy)
    adata.obs[score_name] = found.scores
    record(
        adata,
        "score_genes",
        genes=len(genes),
        control_genes=len(found.control_genes),
        ctrl_as_ref=ctrl_as_ref,
        ctrl_size=ctrl_size,
        gene_pool=None if gene_pool is None or pool is None else f"{len(pool)} genes",
        n_bins=n_bins,
        score_name=score_name,
        random_state=int(random_state),
        use_raw=bool(use_raw),
        layer=layer,
    )
    return adata if copy else None


def score_genes_cell_cycle(
    adata: AnnData,
    *,
    s_genes: Sequence[str],
    g2m_genes: Sequence[str],
    copy: bool = False,
    **kwargs: Any,
) -> AnnData | None:
    """Scores the genes of the S and G2M phases and assigns each cell a phase of the cell cycle.

    Parameters
    ----------
    adata
        Annotated data, usually logarithmised.
    s_genes
        Names of genes of the S phase.
    g2m_genes
        Names of genes of the G2M phase.
    copy
        Change and return a copy.
    **kwargs
        Passed to `score_genes`, save ``ctrl_size`` (the length of the shorter list) and ``score_name``.

    Returns
    -------
    ``None``, or the copy. Writes ``obs["S_score"]``, ``obs["G2M_score"]`` (float64) and ``obs["phase"]``: ``"S"``,
    ``"G2M"`` where that score is higher, ``"G1"`` where both are below 0.

    Raises
    ------
    ParameterError
        For ``ctrl_size`` or ``score_name`` among the keywords.
    MissingKeyError, DataError, EmptyDataError, DuplicateNamesError
        As `score_genes`.

    References
    ----------
    Satija et al., Spatial reconstruction of single-cell gene expression data, Nat Biotechnol 2015; Tirosh et al.,
    Dissecting the multicellular ecosystem of metastatic melanoma by single-cell RNA-seq, Science 2016.
    """
    import pandas as pd

    for name in ("ctrl_size", "score_name"):
        if name in kwargs:
            raise ParameterError(f"parameter `{name}`: expected none here, where it is set, found {kwargs[name]!r}")
    check_adata(adata)
    if copy:
        adata = adata.copy()
    ctrl_size = min(len(s_genes), len(g2m_genes))
    for genes, name in ((s_genes, "S_score"), (g2m_genes, "G2M_score")):
        score_genes(adata, genes, score_name=name, ctrl_size=ctrl_size, **kwargs)
    s_score, g2m_score = adata.obs["S_score"].to_numpy(), adata.obs["G2M_score"].to_numpy()
    phase = np.where(g2m_score > s_score, "G2M", "S").astype(object)
    phase[(s_score < 0) & (g2m_score < 0)] = "G1"
    adata.obs["phase"] = pd.Series(phase, index=adata.obs_names)
    record(adata, "score_genes_cell_cycle", s_genes=list(s_genes), g2m_genes=list(g2m_genes), ctrl_size=ctrl_size)
    return adata if copy else None
