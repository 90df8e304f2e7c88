"""Batch-balanced neighbours."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError
from ._neighbors import Algorithm, Metric, NeighborsGraph, _csr, _points, connectivities, distances_matrix


def bbknn(
    data: np.ndarray,
    batches: Any,
    *,
    neighbors_within_batch: int = 3,
    metric: Metric = "euclidean",
    algorithm: Algorithm = "auto",
    trim: int | None = None,
    set_op_mix_ratio: float = 1.0,
    local_connectivity: float = 1.0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> NeighborsGraph:
    """Neighbourhood graph in which every cell has neighbours in every batch.

    Parameters
    ----------
    data
        (n, d) coordinates, such as principal components.
    batches
        (n,) labels.
    neighbors_within_batch
        Neighbours of each cell in each batch, the cell itself counted in its own; at least 1, and at most the size of
        the smallest batch.
    metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    algorithm
        ``"exact"``; ``"approximate"``, as `knn` searches; or ``"auto"``: approximate in batches of at least 4,096 cells
        where there are at least 16,384 in all.
    trim
        Edges that a cell keeps at most, the strongest; 0 cuts none. None: ten times the neighbours of a cell.
    set_op_mix_ratio, local_connectivity
        See `connectivities`.
    threads
        Number of threads, None for all cores. The result is the same to the last bit for any number.
    progress
        None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `NeighborsGraph`: distances with ``neighbors_within_batch * batches - 1`` entries per row, and connectivities.

    Raises
    ------
    ParameterError, DataError
        An option out of its range; NaN or infinity; cells without a label; a batch that is too small.

    Notes
    -----
    Cost: exact n^2 d multiply-adds; approximate a small part of that. The sample that clusters are
    learnt from is drawn by a fixed seed.

    References
    ----------
    Polanski et al., Bioinformatics 36, 964 (2020).
    """
    points = _points(data)
    codes, categories = codes_of(batches, "batches")
    if trim is not None and trim < 0:
        raise ParameterError(f"parameter `trim`: expected at least 0, or None, found {trim}")
    options = to_json(neighbors_within_batch=neighbors_within_batch, metric=metric, algorithm=algorithm)
    with reporting(progress) as callback:
        indices, distances = _core.balanced_neighbors(points, codes, len(categories), options, threads, callback)
        graph = connectivities(
            indices,
            distances,
            local_connectivity=local_connectivity,
            set_op_mix_ratio=set_op_mix_ratio,
            threads=threads,
            progress=progress,
        )
        most = 10 * indices.shape[1] if trim is None else trim
        if most > 0:
            indptr, columns, weights = _core.trim_graph(graph, most, threads, callback)
            graph = _csr(weights, columns, indptr, len(indices))
    return NeighborsGraph(distances_matrix(indices, distances), graph)
