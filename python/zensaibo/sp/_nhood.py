"""Labels of neighbours, in uns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsp, start
from .._provenance import record

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

_CONNECTIVITIES = "spatial_connectivities"


def _texts(categories: Any) -> Any:
    return categories.astype(str).to_numpy(dtype=object)


def nhood_enrichment(
    adata: AnnData,
    cluster_key: str,
    *,
    library_key: str | None = None,
    connectivity_key: str = _CONNECTIVITIES,
    n_perms: int | None = None,
    seed: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """How often neighbours carry two labels, against the same labels dealt out at random.

    By default the mean and the standard deviation over all ways to deal the labels out are exact, from a closed form.

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours.
    cluster_key
        Column of ``obs`` with a label for every cell.
    library_key
        Column of ``obs``: labels are dealt out within each library. The graph should then have been built per library.
    connectivity_key
        Key of ``obsp``. Every stored edge counts once, whatever its weight.
    n_perms
        Draw this many random orders, at least 2, instead of the closed form; squidpy draws 1,000.
    seed
        Seed of the orders. Without effect on the closed form.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[cluster_key + "_nhood_enrichment"]``:

    ``zscore``
        (k, k) float64: row the label of a cell, column that of its neighbour. NaN where chance leaves no choice, such as for
        a label of one cell with itself.
    ``count``, ``mean``, ``std``
        (k, k): edges, and what random labels give.
    ``categories``
        The labels in use, in the order of rows and columns.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range.
    DataError
        Cells without a label or library; without ``n_perms``: an edge between libraries, or a graph in which some cells only
        are their own neighbours.

    Notes
    -----
    Closed form: one look at each edge; permuted: edges x n_perms. Memory 16 bytes per edge.
    """
    check_adata(adata)
    found = arrays.nhood_enrichment(
        get_obsp(adata, connectivity_key),
        get_obs(adata, cluster_key),
        libraries=None if library_key is None else get_obs(adata, library_key),
        n_perms=n_perms,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    adata = start(adata, copy)
    adata.uns[f"{cluster_key}_nhood_enrichment"] = {
        "zscore": found.zscore,
        "count": found.count,
        "mean": found.mean,
        "std": found.std,
        "categories": _texts(found.categories),
    }
    record(
        adata, "nhood_enrichment", cluster_key=cluster_key, library_key=library_key, connectivity_key=connectivity_key,
        n_perms=n_perms, seed=seed,
    )  # fmt: skip
    return adata if copy else None


def interaction_matrix(
    adata: AnnData,
    cluster_key: str,
    *,
    connectivity_key: str = _CONNECTIVITIES,
    normalized: bool = False,
    weights: bool = False,
    copy: bool = False,
    threads: int | None = None,
) -> AnnData | None:
    """Counts the edges between labels.

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours.
    cluster_key
        Column of ``obs``. Cells without a label are left out with their edges.
    connectivity_key
        Key of ``obsp``.
    normalized
        Divide each row by its sum; NaN for a label without edges.
    weights
        Add up the weights of the edges instead of counting them.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.

    Returns
    -------
    None, or the copy. Writes ``uns[cluster_key + "_interactions"]``: (k, k), row the label of a cell, column that of its
    neighbour, in the order of the categories in use.

    Raises
    ------
    MissingKeyError
        No such key.
    DataError
        No cell with a label.

    Notes
    -----
    Nothing is random. Time and memory in proportion to the edges.
    """
    check_adata(adata)
    matrix, _ = arrays.interaction_matrix(
        get_obsp(adata, connectivity_key), get_obs(adata, cluster_key), weights=weights, normalized=normalized, threads=threads
    )
    adata = start(adata, copy)
    adata.uns[f"{cluster_key}_interactions"] = matrix
    record(
        adata, "interaction_matrix", cluster_key=cluster_key, connectivity_key=connectivity_key, normalized=normalized,
        weights=weights,
    )  # fmt: skip
    return adata if copy else None
