"""Groups in the graph of neighbours, in uns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsp, start
from .._provenance import record
from ._nhood import _CONNECTIVITIES

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def centrality_scores(
    adata: AnnData,
    cluster_key: str,
    *,
    score: str | list[str] | None = None,
    connectivity_key: str = _CONNECTIVITIES,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """How the cells of each label lie in the graph of neighbours: degree, clustering and closeness of the group.

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours.
    cluster_key
        Column of ``obs`` with a label for every cell.
    score
        ``"degree_centrality"``, ``"average_clustering"``, ``"closeness_centrality"``, several of them, or ``None`` for all.
    connectivity_key
        Key of ``obsp``. Every stored edge counts once, whatever its weight and direction.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[cluster_key + "_centrality_scores"]``: a DataFrame with a row for each label and the scores as
    columns; with the closeness also ``reached``, the share of the other cells that a path from the label reaches. See
    `zensaibo.arrays.centrality_scores` for what they are.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        Another `score`.
    DataError
        Cells without a label.

    Notes
    -----
    Nothing is random. Time: edges x neighbours, and edges for each label. Memory about 30 bytes per edge.
    """
    check_adata(adata)
    table = arrays.centrality_scores(
        get_obsp(adata, connectivity_key), get_obs(adata, cluster_key), score=score, threads=threads, progress=progress
    )
    adata = start(adata, copy)
    adata.uns[f"{cluster_key}_centrality_scores"] = table
    record(adata, "centrality_scores", cluster_key=cluster_key, score=score, connectivity_key=connectivity_key)
    return adata if copy else None
