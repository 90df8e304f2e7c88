"""How many of the true neighbours a search found."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..arrays._neighbors import Metric, _pair, _points


class Recall(NamedTuple):
    """What `knn_recall` returns."""

    mean: float
    """Mean share of the true neighbours that were found, 0 to 1."""
    lowest: float
    """Lowest share over the sampled rows."""
    sample: int
    """Number of rows sampled."""


def knn_recall(
    data: np.ndarray,
    indices: Any,
    *,
    metric: Metric = "euclidean",
    sample: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Recall:
    """Share of the true nearest neighbours among those given, on rows drawn at random.

    Parameters
    ----------
    data
        (n, d) array that was searched.
    indices
        (n, k) neighbours, each row itself included (as `zensaibo.arrays.knn` returns them).
    metric
        The metric of the search.
    sample
        Number of rows to check; all, if there are no more. Cost: sample x n x d operations.
    seed
        Of the sample.
    threads, progress
        See `zensaibo.arrays.knn`.

    Returns
    -------
    `Recall`. The row itself does not count; a neighbour as near as the last true one counts as found.

    Raises
    ------
    ParameterError
        A sample of zero, an unknown metric.
    DataError
        Shapes that do not agree, indices out of range, NaN or infinity.
    """
    array = _points(data)
    indices, _ = _pair(indices, np.zeros(np.shape(indices), np.float32))
    with reporting(progress) as callback:
        return Recall(*_core.knn_recall(array, indices, metric, sample, seed, threads, callback))
