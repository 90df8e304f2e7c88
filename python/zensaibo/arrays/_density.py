"""Density of points in the plane."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import ShapeError


def gaussian_density(
    points: Any, *, threads: int | None = None, progress: bool | Progress | None = None
) -> np.ndarray:
    """Gaussian kernel density of points in the plane, at each of them, as `scipy.stats.gaussian_kde`.

    Parameters
    ----------
    points
        (n, 2) finite coordinates, at least 3 points that are not on one line.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n,) float64, per unit of area; the bandwidth is the covariance times n^(-1/3) (Scott's rule).

    Raises
    ------
    ShapeError, TooFewError, NonFiniteError, DataError
        For another shape; fewer than 3 points; coordinates that are not finite; points on one line.

    Notes
    -----
    O(n^2), about 5 ns of one core per pair. Reference: Scott 1992, Multivariate Density Estimation.
    """
    points = np.ascontiguousarray(points, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"`points`: expected shape (n, 2), found {points.shape}")
    with reporting(progress) as callback:
        return _core.gaussian_density(points, threads, callback)
