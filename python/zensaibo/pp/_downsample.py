"""Fewer counts."""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, check_changeable, get_matrix, set_matrix, start
from .._provenance import record
from ..arrays._counts import ProgressArgument


def downsample_counts(
    adata: Any,
    counts_per_cell: Any = None,
    total_counts: int | None = None,
    *,
    random_state: int = 0,
    replace: bool = False,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Draws molecules from raw counts: at most so many per cell, or so many in all.

    Parameters
    ----------
    adata
        Annotated data with raw counts in X.
    counts_per_cell
        Counts that a cell keeps: one number, or one per cell. Cells with no more are left alone.
    total_counts
        Counts that X keeps in all; an X with fewer is left alone. Exactly one of the two is given.
    random_state
        Seed of the draws, a whole number. Each cell has a random stream of its own.
    replace
        Put each molecule back before the next is drawn.
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes X, in its layout and dtype.

    Raises
    ------
    ParameterError, ShapeError, NotCountsError, NegativeValuesError, NonFiniteError, EmptyDataError, LimitError

    Notes
    -----
    The distribution is scanpy's, the draws are not. See `zensaibo.arrays.downsample_counts`.
    """
    check_adata(adata)
    check_changeable(adata)
    drawn = arrays.downsample_counts(
        get_matrix(adata),
        counts_per_cell,
        total_counts,
        replace=replace,
        seed=random_state,
        threads=threads,
        progress=progress,
    )
    adata = start(adata, copy)
    set_matrix(adata, drawn)
    record(
        adata,
        "downsample_counts",
        counts_per_cell=counts_per_cell if counts_per_cell is None or np.ndim(counts_per_cell) == 0 else "array",
        total_counts=total_counts,
        random_state=int(random_state),
        replace=replace,
    )
    return adata if copy else None
