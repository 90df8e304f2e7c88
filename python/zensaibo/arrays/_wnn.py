"""Weighted nearest neighbours on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ShapeError

__all__ = ["Wnn", "wnn"]


class Wnn(NamedTuple):
    """What `wnn` returns."""

    indices: np.ndarray
    """(cells, k) uint32: the cell itself, then its joint neighbours, the most similar first."""
    distances: np.ndarray
    """(cells, k) float32: sqrt((1 - affinity) / 2), 0 to 0.71."""
    weights: np.ndarray
    """(cells, modalities) float64: the weight of each modality in each cell; rows sum to 1."""


def wnn(
    modalities: Sequence[Any],
    *,
    n_neighbors: int = 20,
    n_bandwidth_neighbors: int = 20,
    n_multineighbors: int = 200,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Wnn:
    """Joint neighbours of cells measured in two or more modalities, each weighted cell by cell by what it tells.

    Parameters
    ----------
    modalities
        Two or more arrays (cells, dimensions), the same cells in the same order: principal components, say. Values are
        taken as float32.
    n_neighbors
        Neighbours per cell, the cell itself counted, in each modality and in the joint graph.
    n_bandwidth_neighbors
        Cells that the width of a kernel is averaged over.
    n_multineighbors
        Nearest cells of each modality that may become joint neighbours.
    seed
        Of the approximate search of neighbours, from 16,384 cells on. The exact one is free of chance.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    Wnn
        Hand ``indices`` and ``distances`` to :func:`connectivities` for a graph.

    Raises
    ------
    TooFewError
        Fewer than two modalities or three cells.
    ShapeError, NonFiniteError, ParameterError
        As named.

    Notes
    -----
    As the paper has it (see there for the formulas): affinities e^-(max(d - nearest, 0) / (width - nearest)), the width
    from the cells that share fewest neighbours. Threads change no bit. Seurat scales each cell to unit length first; so
    may the caller.

    References
    ----------
    Hao et al., Cell 184 (2021).
    """
    arrays = []
    for at, modality in enumerate(modalities):
        array = modality.toarray() if sparse.issparse(modality) else np.asarray(modality)
        if array.ndim != 2 or array.shape[0] != np.shape(modalities[0])[0]:
            raise ShapeError(
                f"`modalities`: expected arrays of the same cells, found shape {array.shape} at place {at}"
            )
        arrays.append(np.ascontiguousarray(array, dtype=np.float32))
    options = to_json(
        n_neighbors=n_neighbors,
        n_bandwidth_neighbors=n_bandwidth_neighbors,
        n_multineighbors=n_multineighbors,
        seed=seed,
    )
    with reporting(progress) as callback:
        return Wnn(*_core.wnn(arrays, options, threads, callback))
