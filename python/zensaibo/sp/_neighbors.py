"""Graphs of neighbours in space, in obsp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _keys, arrays
from .._anndata import check_adata, get_obs, get_obsm, start
from .._provenance import record

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress
    from ..arrays import SpatialGraph


def _columns(adata: AnnData, spatial_key: str, library_key: str | None) -> tuple[Any, Any]:
    """Coordinates and libraries."""
    check_adata(adata)
    return get_obsm(adata, spatial_key), None if library_key is None else get_obs(adata, library_key)


def _store(adata: AnnData, graph: SpatialGraph, key_added: str, copy: bool, **params: Any) -> AnnData:
    """Puts the graph under squidpy's keys."""
    adata = start(adata, copy)
    connectivities, distances = f"{key_added}_{_keys.CONNECTIVITIES}", f"{key_added}_{_keys.DISTANCES}"
    adata.obsp[connectivities] = graph.connectivities
    adata.obsp[distances] = graph.distances
    # HDF5 holds no None: what is unset is left out.
    adata.uns[f"{key_added}_neighbors"] = {
        "connectivities_key": connectivities,
        "distances_key": distances,
        "params": {name: value for name, value in params.items() if value is not None},
    }
    return adata


def _plain(radius: Any) -> Any:
    return [float(value) for value in radius] if isinstance(radius, (list, tuple)) else radius


def spatial_neighbors_knn(
    adata: AnnData,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    n_neighs: int = 6,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
    key_added: str = "spatial",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Joins each cell to its nearest cells in space, exact; directed.

    Parameters
    ----------
    adata
        Annotated data.
    spatial_key
        Key of ``obsm`` with 2 or 3 finite coordinates per cell.
    library_key
        Column of ``obs`` with the section or field of view of each cell: no edge joins two of them.
    n_neighs
        Neighbours of each cell, at least 1; of equally far ones those that come first.
    percentile
        Leave out edges longer than this percentile, 0 to 100, of the distances of a library.
    transform
        ``None``, ``"spectral"`` or ``"cosine"``; see `zensaibo.arrays.spatial_neighbors_knn`.
    set_diag
        Whether each cell is its own neighbour in the connectivities.
    key_added
        Start of the keys to write.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes:

    ``obsp[key_added + "_connectivities"]``
        csr, float32: 1 for each neighbour, or what ``transform`` makes of it.
    ``obsp[key_added + "_distances"]``
        csr, float64: distances in the unit of the coordinates; those of cells at one place are stored zeros.
    ``uns[key_added + "_neighbors"]``
        The two keys and ``params``; what is unset is left out.

    Raises
    ------
    MissingKeyError
        No such key.
    TooFewError
        A library without ``n_neighs`` other cells.
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, other than 2 or 3 columns, cells without a library.

    Notes
    -----
    Nothing is random. Time about cells x (log cells + n_neighs), memory 28 n_neighs + 60 bytes per cell.
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    graph = arrays.spatial_neighbors_knn(
        coordinates, n_neighs=n_neighs, libraries=libraries, percentile=percentile, transform=transform, set_diag=set_diag,
        threads=threads, progress=progress,
    )  # fmt: skip
    adata = _store(adata, graph, key_added, copy, coord_type="generic", n_neighbors=n_neighs, transform=transform)
    record(
        adata, "spatial_neighbors_knn", spatial_key=spatial_key, library_key=library_key, n_neighs=int(n_neighs),
        percentile=percentile, transform=transform, set_diag=set_diag, key_added=key_added,
    )  # fmt: skip
    return adata if copy else None


def spatial_neighbors_radius(
    adata: AnnData,
    radius: float | Sequence[float],
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
    key_added: str = "spatial",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Joins each cell to all cells within a distance, exact; symmetric.

    Parameters
    ----------
    adata
        Annotated data.
    radius
        Largest distance, in the unit of the coordinates; or the least and the largest. Both are included.
    spatial_key, library_key, percentile, transform, set_diag, key_added, copy, threads, progress
        See `spatial_neighbors_knn`.

    Returns
    -------
    None, or the copy. Writes what `spatial_neighbors_knn` writes; cells with nobody near have empty rows.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        Distances below 0, not finite or none.
    DataError
        NaN or infinity, other than 2 or 3 columns, cells without a library.

    Notes
    -----
    Nothing is random. Time about cells x (log cells + neighbours), memory some 50 bytes per edge and 60 per cell.
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    graph = arrays.spatial_neighbors_radius(
        coordinates, radius, libraries=libraries, percentile=percentile, transform=transform, set_diag=set_diag,
        threads=threads, progress=progress,
    )  # fmt: skip
    adata = _store(adata, graph, key_added, copy, coord_type="generic", radius=_plain(radius), transform=transform)
    record(
        adata, "spatial_neighbors_radius", spatial_key=spatial_key, library_key=library_key, radius=_plain(radius),
        percentile=percentile, transform=transform, set_diag=set_diag, key_added=key_added,
    )  # fmt: skip
    return adata if copy else None


def spatial_neighbors_delaunay(
    adata: AnnData,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    radius: float | Sequence[float] | None = None,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
    key_added: str = "spatial",
    copy: bool = False,
) -> AnnData | None:
    """Joins cells that share an edge of the Delaunay triangulation; symmetric.

    Parameters
    ----------
    adata
        Annotated data.
    radius
        Leave out edges longer than this, or outside a least and a largest length; both are included.
    spatial_key, library_key, percentile, transform, set_diag, key_added, copy
        See `spatial_neighbors_knn`.

    Returns
    -------
    None, or the copy. Writes what `spatial_neighbors_knn` writes.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        Lengths below 0, not finite or none.
    TooFewError
        A library with fewer than three cells (four in three dimensions).
    DataError
        Cells at one place, or all of a library on a line (in a plane); NaN or infinity, cells without a library.

    Notes
    -----
    Nothing is random. Qhull (`scipy.spatial.Delaunay`) on one thread: about cells x log cells.
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    graph = arrays.spatial_neighbors_delaunay(
        coordinates, radius=radius, libraries=libraries, percentile=percentile, transform=transform, set_diag=set_diag
    )
    adata = _store(adata, graph, key_added, copy, coord_type="generic", radius=_plain(radius), transform=transform)
    record(
        adata, "spatial_neighbors_delaunay", spatial_key=spatial_key, library_key=library_key, radius=_plain(radius),
        percentile=percentile, transform=transform, set_diag=set_diag, key_added=key_added,
    )  # fmt: skip
    return adata if copy else None


def spatial_neighbors_grid(
    adata: AnnData,
    *,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    n_neighs: int = 6,
    n_rings: int = 1,
    delaunay: bool = False,
    transform: str | None = None,
    set_diag: bool = False,
    key_added: str = "spatial",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Joins spots of a grid, such as Visium's, to those of the rings around them.

    Parameters
    ----------
    adata
        Annotated data.
    n_neighs
        Neighbours of a spot in the first ring, at least 1: 6 for hexagons, 4 for squares.
    n_rings
        Rings, at least 1.
    delaunay
        Steps along the edges of the Delaunay triangulation instead; ``n_neighs`` must then stay at its default.
    spatial_key, library_key, transform, set_diag, key_added, copy, threads, progress
        See `spatial_neighbors_knn`.

    Returns
    -------
    None, or the copy. Writes what `spatial_neighbors_knn` writes, with the ring (1 for the first) as distance.

    Raises
    ------
    MissingKeyError
        No such key.
    TooFewError
        A library without ``n_neighs`` other spots.
    ParameterError
        An option out of range, ``n_neighs`` beside ``delaunay``.
    DataError
        As `spatial_neighbors_knn`; with ``delaunay`` as `spatial_neighbors_delaunay`.

    Notes
    -----
    Nothing is random. Time and memory in proportion to the edges found.
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    graph = arrays.spatial_neighbors_grid(
        coordinates, n_neighs=n_neighs, n_rings=n_rings, delaunay=delaunay, libraries=libraries, transform=transform,
        set_diag=set_diag, threads=threads, progress=progress,
    )  # fmt: skip
    adata = _store(
        adata, graph, key_added, copy, coord_type="grid", n_neighbors=n_neighs, n_rings=n_rings, delaunay=delaunay,
        transform=transform,
    )  # fmt: skip
    record(
        adata, "spatial_neighbors_grid", spatial_key=spatial_key, library_key=library_key, n_neighs=int(n_neighs),
        n_rings=int(n_rings), delaunay=delaunay, transform=transform, set_diag=set_diag, key_added=key_added,
    )  # fmt: skip
    return adata if copy else None
