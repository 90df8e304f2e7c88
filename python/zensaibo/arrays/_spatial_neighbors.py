"""Graphs of neighbours in space."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, EmptyDataError, NonFiniteError, ParameterError, ShapeError, TooFewError
from ._sketch import _whole

#: Connectivities (without the diagonal) and distances of the cells of one library.
_Pair = tuple[sparse.csr_matrix, sparse.csr_matrix]


class SpatialGraph(NamedTuple):
    """What the ``spatial_neighbors_*`` functions return."""

    connectivities: sparse.csr_matrix
    """(n, n) float32: 1 for each neighbour, or what `transform` makes of it."""
    distances: sparse.csr_matrix
    """(n, n) float64: distances in the unit of the coordinates (on a grid: the ring), 0 stored for cells at one place."""


def spatial_neighbors_knn(
    coordinates: Any,
    *,
    n_neighs: int = 6,
    libraries: Any = None,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> SpatialGraph:
    """The ``n_neighs`` nearest cells of each cell, exact; directed, since the nearest of a cell need not have it among theirs.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite; any unit.
    n_neighs
        Neighbours of each cell, at least 1; of equally far ones those of lower number. Cells at one place are neighbours.
    libraries
        (cells,) labels of sections or fields of view: no edge joins two of them. ``None``: one library.
    percentile
        Leave out edges longer than this percentile, 0 to 100, of all distances of a library. ``None``: none.
    transform
        ``None``; ``"spectral"``: each edge divided by the roots of the column sums at both its ends; ``"cosine"``: the cosine
        between the rows of the graph, which joins cells that share neighbours.
    set_diag
        Whether each cell is its own neighbour in the connectivities.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable
        ``(stage, done, total)``.

    Returns
    -------
    SpatialGraph
        Connectivities (float32) and distances (float64), csr, columns in order.

    Raises
    ------
    ParameterError
        An option out of range.
    TooFewError
        A library without ``n_neighs`` other cells.
    DataError
        NaN or infinity, other than 2 or 3 columns, no cells, labels that do not fit.

    Notes
    -----
    Nothing is random. Time about cells x (log cells + n_neighs), memory 28 n_neighs + 60 bytes per cell.
    """
    options = to_json(n_neighs=_whole("n_neighs", n_neighs))

    def build(places: np.ndarray) -> _Pair:
        with reporting(progress) as callback:
            indices, distances = _core.spatial_nearest(places, options, threads, callback)
        n, k = indices.shape
        return _pair(np.arange(0, n * k + 1, k), indices.ravel().astype(np.int32), distances.ravel(), n)

    return _by_library(coordinates, libraries, build, percentile, transform, set_diag)


def spatial_neighbors_radius(
    coordinates: Any,
    radius: float | Sequence[float],
    *,
    libraries: Any = None,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> SpatialGraph:
    """All cells within a distance of each cell, exact; symmetric.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite; any unit.
    radius
        Largest distance, in the unit of the coordinates; or the least and the largest. Both are included.
    libraries, percentile, transform, set_diag, threads, progress
        See `spatial_neighbors_knn`.

    Returns
    -------
    SpatialGraph
        Connectivities (float32) and distances (float64), csr, columns in order. Cells with nobody near have empty rows.

    Raises
    ------
    ParameterError
        Distances below 0, not finite or none.
    DataError
        NaN or infinity, other than 2 or 3 columns, no cells, labels that do not fit.

    Notes
    -----
    Nothing is random. Time about cells x (log cells + neighbours), memory some 50 bytes per edge and 60 per cell.
    """
    least, most = _range(radius)

    def build(places: np.ndarray) -> _Pair:
        with reporting(progress) as callback:
            found = _core.spatial_within(places, least, most, threads, callback)
        return _pair(*found, len(places))

    return _by_library(coordinates, libraries, build, percentile, transform, set_diag)


def spatial_neighbors_delaunay(
    coordinates: Any,
    *,
    radius: float | Sequence[float] | None = None,
    libraries: Any = None,
    percentile: float | None = None,
    transform: str | None = None,
    set_diag: bool = False,
) -> SpatialGraph:
    """The cells that share an edge of the Delaunay triangulation (in three dimensions: of its tetrahedra); symmetric.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite, no two cells at one place; any unit.
    radius
        Leave out edges longer than this, or outside a least and a largest length; both are included.
    libraries, percentile, transform, set_diag
        See `spatial_neighbors_knn`.

    Returns
    -------
    SpatialGraph
        Connectivities (float32) and distances (float64), csr, columns in order.

    Raises
    ------
    ParameterError
        Lengths below 0, not finite or none.
    TooFewError
        A library with fewer than three cells (four in three dimensions).
    DataError
        Cells at one place, or all of a library on a line (in a plane), which have no triangulation; else as
        `spatial_neighbors_knn`.

    Notes
    -----
    Nothing is random. Qhull (`scipy.spatial.Delaunay`) on one thread: about cells x log cells.
    """
    limits = None if radius is None else _range(radius)

    def build(places: np.ndarray) -> _Pair:
        indptr, indices = _delaunay(places)
        rows = np.repeat(np.arange(len(places)), np.diff(indptr))
        distances = np.sqrt(((places[rows] - places[indices]) ** 2).sum(axis=1))
        if limits is not None:
            keep = (distances >= limits[0]) & (distances <= limits[1])
            indptr = np.concatenate([[0], np.cumsum(np.bincount(rows[keep], minlength=len(places)))])
            indices, distances = indices[keep], distances[keep]
        return _pair(indptr, indices, distances, len(places))

    return _by_library(coordinates, libraries, build, percentile, transform, set_diag)


def spatial_neighbors_grid(
    coordinates: Any,
    *,
    n_neighs: int = 6,
    n_rings: int = 1,
    delaunay: bool = False,
    libraries: Any = None,
    transform: str | None = None,
    set_diag: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> SpatialGraph:
    """Rings of neighbours on a grid of spots, such as Visium's: a cell is in ring r if r steps lead to it, and no fewer.

    A step leads to the ``n_neighs`` nearest spots that are closer than 1.3 times the median of all these distances, so that
    spots at the rim have fewer.

    Parameters
    ----------
    coordinates
        (spots, 2 or 3) array, finite; any unit.
    n_neighs
        Neighbours of a spot in the first ring, at least 1: 6 for hexagons, 4 for squares.
    n_rings
        Rings, at least 1.
    delaunay
        Steps along the edges of the Delaunay triangulation instead (with no limit on their length); leaves `n_neighs` unused, which must then
        stay at its default.
    libraries, transform, set_diag, threads, progress
        See `spatial_neighbors_knn`.

    Returns
    -------
    SpatialGraph
        Connectivities (float32); ``distances`` hold the ring (float64), 1 for the first.

    Raises
    ------
    ParameterError
        An option out of range, ``n_neighs`` beside ``delaunay``.
    TooFewError
        A library without ``n_neighs`` other spots.
    DataError
        As `spatial_neighbors_knn`; with ``delaunay`` as `spatial_neighbors_delaunay`.

    Notes
    -----
    Nothing is random. Time and memory in proportion to the edges found.
    """
    options = to_json(n_neighs=_whole("n_neighs", n_neighs))
    n_rings = _whole("n_rings", n_rings, 2**31)
    if n_rings == 0:
        raise ParameterError("parameter `n_rings`: expected at least 1, found 0")
    if delaunay and n_neighs != 6:
        raise ParameterError(f"parameter `n_neighs`: expected its default with `delaunay`, found {n_neighs}")

    def build(places: np.ndarray) -> _Pair:
        n = len(places)
        with reporting(progress) as callback:
            if delaunay:
                indptr, indices = _delaunay(places)
            else:
                near, distances = _core.spatial_nearest(places, options, threads, callback)
                keep = distances < 1.3 * np.median(distances)
                first = sparse.csr_matrix(
                    (np.ones(keep.sum()), near[keep], np.concatenate([[0], np.cumsum(keep.sum(axis=1))])), shape=(n, n)
                )
                first.sort_indices()
                indptr, indices = first.indptr, first.indices
            edges = (np.asarray(indptr, np.int64), np.asarray(indices, np.int32), np.ones(len(indices)))
            found = _core.spatial_rings(edges, n_rings, threads, callback)
        return _pair(*found, n)

    return _by_library(coordinates, libraries, build, None, transform, set_diag)


def places_of(coordinates: Any, name: str = "coordinates") -> np.ndarray:
    """Coordinates as (n, 2 or 3) float64, C-ordered and finite."""
    array = np.asarray(coordinates)
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise ShapeError(f"`{name}`: expected 2 or 3 coordinates per cell, found shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"`{name}`: expected real numbers, found dtype {array.dtype}")
    if not len(array):
        raise EmptyDataError(f"`{name}`: expected at least one cell, found none")
    array = np.ascontiguousarray(array, dtype=np.float64)
    bad = ~np.isfinite(array).all(axis=1)
    if bad.any():
        row = int(np.flatnonzero(bad)[0])
        flat = array.shape[1] == 3 and not bad.all() and bool(np.isfinite(array[:, :2]).all())
        hint = "; are cells of two and of three dimensions mixed? Give those in the plane a third coordinate" if flat else ""
        raise NonFiniteError(
            f"`{name}`: expected finite coordinates, found {int(bad.sum())} cells without (the first in row {row}: {array[row].tolist()}){hint}"
        )
    return array


def libraries_of(libraries: Any, n: int, name: str = "libraries") -> tuple[np.ndarray, list[str]]:
    """Codes (uint32) and names of libraries; one library for ``None``."""
    if libraries is None:
        return np.zeros(n, np.uint32), ["all"]
    codes, categories = codes_of(libraries, name)
    if len(codes) != n:
        raise ShapeError(f"`{name}`: expected {n} labels, one per cell, found {len(codes)}")
    return codes, [str(category) for category in categories]


def _range(radius: Any) -> tuple[float, float]:
    values = [radius] if np.ndim(radius) == 0 else list(radius)
    numbers = all(isinstance(value, (int, float, np.number)) and not isinstance(value, bool) for value in values)
    if not numbers or len(values) not in (1, 2) or not all(0 <= value < np.inf for value in values):
        raise ParameterError(
            f"parameter `radius`: expected a distance, or the least and the largest, finite and at least 0, found {radius!r}"
        )
    values = [float(value) for value in values]
    return (0.0, values[0]) if len(values) == 1 else (min(values), max(values))


def _delaunay(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row pointers and neighbours, rising."""
    from scipy.spatial import Delaunay, QhullError

    n, dimensions = places.shape
    if n < dimensions + 1:
        raise TooFewError(f"positions of cells: expected at least {dimensions + 1} for a triangulation, found {n}")
    order = np.lexsort(places.T)
    same = np.flatnonzero((places[order[1:]] == places[order[:-1]]).all(axis=1))
    if same.size:
        pair = sorted((int(order[same[0]]), int(order[same[0] + 1])))
        raise DataError(
            f"positions of cells: expected no two at one place for a triangulation, found {same.size} (the first: cells "
            f"{pair[0]} and {pair[1]} of their library); spatial_neighbors_knn and _radius take them"
        )
    try:
        # Qhull works with absolute tolerances; far from the origin they would swallow the tissue.
        triangles = Delaunay(places - places.mean(axis=0))
    except QhullError as error:
        what = "a line" if dimensions == 2 else "a plane"
        raise DataError(f"positions of cells: expected a triangulation, found none (are all cells on {what}?)") from error
    if len(triangles.coplanar):
        cell, other = (int(value) for value in triangles.coplanar[0][[0, 2]])
        raise DataError(
            f"positions of cells: expected cells that Qhull can tell apart, found {len(triangles.coplanar)} that it cannot "
            f"(the first: cell {cell} beside cell {other} of their library)"
        )
    indptr, indices = triangles.vertex_neighbor_vertices
    graph = sparse.csr_matrix((np.ones(len(indices)), indices, indptr), shape=(n, n))
    graph.sort_indices()
    return graph.indptr, graph.indices


def _pair(indptr: Any, indices: Any, distances: Any, n: int) -> _Pair:
    distances = sparse.csr_matrix((np.asarray(distances, np.float64), indices, indptr), shape=(n, n))
    distances.sort_indices()
    ones = np.ones(distances.nnz, np.float32)
    return sparse.csr_matrix((ones, distances.indices.copy(), distances.indptr.copy()), shape=(n, n)), distances


def _by_library(
    coordinates: Any,
    libraries: Any,
    build: Callable[[np.ndarray], _Pair],
    percentile: float | None,
    transform: str | None,
    set_diag: bool,
) -> SpatialGraph:
    """Builds library by library and puts the graphs together in the order of the cells."""
    if transform not in (None, "spectral", "cosine"):
        raise ParameterError(f"parameter `transform`: expected None, 'spectral' or 'cosine', found {transform!r}")
    if percentile is not None and not 0 <= percentile <= 100:
        raise ParameterError(f"parameter `percentile`: expected a number from 0 to 100, or None, found {percentile!r}")
    places = places_of(coordinates)
    n = len(places)
    codes, names = libraries_of(libraries, n)
    connectivities: list[Any] = []
    distances: list[Any] = []
    members = [np.flatnonzero(codes == library) for library in range(len(names))]
    for cells, name in zip(members, names, strict=True):
        try:
            one, far = build(np.ascontiguousarray(places[cells]))
        except DataError as error:
            if libraries is None:
                raise
            raise type(error)(f"library {name!r}: {error}") from error
        if percentile is not None and far.nnz:
            one, far = _shorter(one, far, float(np.percentile(far.data, percentile)))
        if set_diag:
            one = (one + sparse.identity(len(cells), dtype=np.float32, format="csr")).tocsr()
        connectivities.append(_transformed(one, transform))
        distances.append(far)
    if len(names) > 1:
        # Where each cell stands in the blocks.
        place = np.empty(n, np.int64)
        place[np.concatenate(members)] = np.arange(n)
        joined = (sparse.block_diag(blocks, format="csr")[place][:, place] for blocks in (connectivities, distances))
        one, far = (sparse.csr_matrix(graph) for graph in joined)
    else:
        one, far = connectivities[0], distances[0]
    one.sort_indices()
    far.sort_indices()
    return SpatialGraph(one, far)


def _shorter(one: sparse.csr_matrix, far: sparse.csr_matrix, longest: float) -> _Pair:
    keep = far.data <= longest
    indptr = np.concatenate([[0], np.cumsum(keep)])[far.indptr]
    return _pair(indptr, far.indices[keep], far.data[keep], far.shape[0])


def _transformed(graph: sparse.csr_matrix, transform: str | None) -> sparse.csr_matrix:
    if transform is None or not graph.nnz:
        return graph
    if transform == "spectral":
        sums = np.asarray(graph.sum(axis=0), dtype=np.float64).ravel()
        # Cells that are nobody's neighbour have no edge in their column; their own edges become 0.
        roots = np.divide(1.0, np.sqrt(sums), out=np.zeros_like(sums), where=sums > 0)
        scaled = sparse.diags(roots) @ graph.astype(np.float64) @ sparse.diags(roots)
    else:
        norms = np.sqrt(np.asarray(graph.multiply(graph).sum(axis=1), dtype=np.float64).ravel())
        rows = sparse.diags(np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)) @ graph.astype(np.float64)
        scaled = rows @ rows.T
    return sparse.csr_matrix(scaled).astype(np.float32)
