"""How well a layout keeps the neighbourhoods of the data."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._progress import Progress, reporting
from ..arrays._umap import _whole
from ..errors import ShapeError


def trustworthiness(
    X: Any,
    embedding: Any,
    *,
    n_neighbors: int = 15,
    sample: int | None = 2000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> float:
    """Whether neighbours in a layout are neighbours in the data: 1 at best, about 0.5 for a random layout.

    Parameters
    ----------
    X
        Data, shape (n, p): dense or sparse (made dense). Distances are Euclidean, in float32.
    embedding
        Layout, shape (n, d).
    n_neighbors
        Size of a neighbourhood without the point itself, 1 to below n / 2.
    sample
        Rows that are looked at (each against all n rows, exactly); ``None``: all rows.
    seed
        Seed of the choice of rows.
    threads, progress
        As everywhere. The number of threads changes nothing but the time.

    Returns
    -------
    float
        The mean over the sampled rows, as `sklearn.manifold.trustworthiness` defines it.

    Raises
    ------
    ShapeError, EmptyDataError, NonFiniteError, ParameterError

    Notes
    -----
    Time is sample x n x (p + d). Reference: Venna, Kaski 2001.
    """
    return _score("trustworthiness", X, embedding, n_neighbors, sample, seed, threads, progress)


def neighbor_preservation(
    X: Any,
    embedding: Any,
    *,
    n_neighbors: int = 15,
    sample: int | None = 2000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> float:
    """Mean share of each point's nearest neighbours in the data that are also nearest in the layout: 0 to 1.

    ``X``, ``embedding``, ``n_neighbors``, ``sample``, ``seed``, ``threads``, cost and errors as `trustworthiness`.
    """
    return _score("neighbor_preservation", X, embedding, n_neighbors, sample, seed, threads, progress)


def _score(score, X, embedding, n_neighbors, sample, seed, threads, progress) -> float:
    def dense(matrix: Any, name: str) -> np.ndarray:
        matrix = as_matrix(matrix, name)
        matrix = matrix.toarray() if hasattr(matrix, "toarray") else matrix
        return np.ascontiguousarray(matrix, dtype=np.float32)

    X, embedding = dense(X, "X"), dense(embedding, "embedding")
    if len(X) != len(embedding):
        raise ShapeError(f"`embedding`: expected {len(X)} rows as in `X`, found {len(embedding)}")
    n_neighbors, seed = _whole("n_neighbors", n_neighbors), _whole("seed", seed)
    sample = None if sample is None else _whole("sample", sample)
    with reporting(progress) as callback:
        return _core.layout_score(score, X, embedding, n_neighbors, sample, seed, threads, callback)
