"""Places of cells: (x, y, z) in an AnnData, as squidpy and SpatialData read them; (z, y, x) everywhere else."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._keys import SPATIAL


def store_places(cells: Any, points: np.ndarray, *, known: bool) -> None:
    """Writes (n, 3) places (z, y, x) as ``obsm["spatial"]``, and what they mean beside: micrometres, or voxels where the
    spacing is not ``known``."""
    cells.obsm[SPATIAL] = np.ascontiguousarray(np.asarray(points, dtype=np.float64)[:, ::-1])
    cells.uns["spatial_space"] = {"name": "sample", "unit": "micrometer" if known else "voxel", "axes": "xyz"}


def places(cells: Any) -> np.ndarray:
    """(n, 3) places (z, y, x) of ``obsm["spatial"]``, or (n, 2) of (y, x) where there is no z."""
    return np.ascontiguousarray(np.asarray(cells.obsm[SPATIAL], dtype=np.float64)[:, ::-1])
