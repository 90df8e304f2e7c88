"""Labels of cells as numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pandas as pd

from .errors import DataError, TooFewError


def codes_of(labels: Any, name: str) -> tuple[np.ndarray, pd.Index]:
    """``labels`` as uint32 codes and the categories in use, sorted or in the order of a categorical.

    A cell without a label is refused: it belongs nowhere, and leaving it out would be a loss.
    """
    if not pd.api.types.is_list_like(labels):
        raise DataError(f"`{name}`: expected one label per cell, found {labels!r}")
    values = pd.Categorical(labels).remove_unused_categories()
    missing = np.flatnonzero(values.codes < 0)
    if missing.size:
        raise DataError(
            f"`{name}`: expected a label for every cell, found {missing.size} without one (the first in row {missing[0]})"
        )
    return np.ascontiguousarray(values.codes, dtype=np.uint32), values.categories


@contextmanager
def small_batches_named(column: Any, key: str, least: int) -> Iterator[None]:
    """Where too few cells are the trouble and a batch of the column ``key`` has less than ``least``, names that batch."""
    try:
        yield
    except TooFewError as error:
        sizes = pd.Series(np.asarray(column)).value_counts(sort=False)
        for batch, size in sizes.items():
            if 0 < size < least:
                raise TooFewError(
                    f"`{key}`: expected at least {least} cells in each batch, found {size} in batch {str(batch)!r}"
                ) from error
        raise
