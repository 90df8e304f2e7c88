"""Statistics per group of cells on plain arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ..errors import ParameterError, ShapeError

__all__ = ["Aggregated", "aggregate"]

Statistic = Literal["count_nonzero", "mean", "sum", "var", "median"]


@dataclass(frozen=True)
class Aggregated:
    """Statistics of each gene over the cells of each group."""

    #: Cells of each group, int64, shape (groups,).
    sizes: np.ndarray
    #: Table of each statistic asked for, float64, shape (groups, genes).
    tables: dict[str, np.ndarray]


def aggregate(
    X: Any,
    groups: Any,
    *,
    func: Statistic | Sequence[Statistic] = ("sum",),
    n_groups: int | None = None,
    dof: int = 1,
    memory: int = 256 << 20,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Aggregated:
    """Sums, means, variances, counts of non-zeros and medians of each gene over the cells of each group.

    Parameters
    ----------
    X
        Cells x genes: scipy CSR or CSC, or a numpy array. Values are taken as float32.
    groups
        Group of each cell, integers, shape (cells,); below 0 for cells of no group, which count nowhere.
    func
        One or several of ``"count_nonzero"``, ``"mean"``, ``"sum"``, ``"var"``, ``"median"``. Zeros that are not stored
        count as zeros.
    n_groups
        Number of groups; by default one more than the largest of `groups`.
    dof
        Taken off the number of cells when variances are divided.
    memory
        Bytes that ``"median"`` may gather genes in.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    Aggregated
        ``sizes`` and ``tables``. Means, variances and medians of a group without cells are NaN, and
        so is a variance of no more cells than ``dof``. NaN or infinity in ``X`` stays in the numbers of its group and gene.

    Raises
    ------
    ParameterError
        An unknown statistic, or none.
    ShapeError
        `groups` of another length than there are cells.

    Notes
    -----
    Nothing is random; sums run in float64 in the order of the cells, so threads and layout change no bit. One read of
    the matrix, and for medians another per `memory` bytes of non-zeros. A CSC matrix is turned into rows first.
    """
    wanted = [func] if isinstance(func, str) else list(func)
    for name in wanted:
        if name not in get_args(Statistic):
            raise ParameterError(f"parameter `func`: expected any of {', '.join(get_args(Statistic))}, found {name!r}")
    labels = np.ascontiguousarray(groups)
    if labels.dtype.kind not in "iu":
        raise ParameterError(f"parameter `groups`: expected integers, found {labels.dtype}")
    if labels.shape != (X.shape[0],):
        raise ShapeError(f"`groups`: expected one label per cell, shape ({X.shape[0]},), found {labels.shape}")
    if n_groups is None:
        n_groups = max(int(labels.max(initial=-1)) + 1, 0)
    options = to_json(func=wanted, dof=dof, memory=memory)
    with reporting(progress) as callback:
        tables = call(_core.aggregate, as_matrix(X, stream=True), labels.astype(np.int32), n_groups, options, threads, callback)
    return Aggregated(sizes=tables.pop("sizes"), tables=tables)
