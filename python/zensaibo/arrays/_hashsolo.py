"""HashSolo: samples of cells by their counts of sample barcodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from ..errors import DataError, ShapeError


class Hashsolo(NamedTuple):
    """What `hashsolo` returns."""

    hypothesis: np.ndarray
    """(cells,) uint8: 0 negative, 1 singlet, 2 doublet."""
    probabilities: np.ndarray
    """(cells, 3) float64: probability of each."""
    barcode: np.ndarray
    """(cells,) uint32: barcode of the highest count (the first of equals)."""


def hashsolo(
    counts: Any,
    *,
    priors: Sequence[float] = (0.01, 0.8, 0.19),
    number_of_noise_barcodes: int | None = None,
) -> Hashsolo:
    """Tells for each cell whether it is from one sample, from two, or bears no sample's barcode.

    Parameters
    ----------
    counts
        (cells, barcodes) counts, at least 0; at least three barcodes, or two with ``number_of_noise_barcodes=1``.
    priors
        Prior probabilities of negative, singlet and doublet; only their ratios matter.
    number_of_noise_barcodes
        Number of each cell's lowest barcodes that count as noise; None: two less than there are barcodes.

    Returns
    -------
    `Hashsolo`. Nothing is random; one thread.

    Raises
    ------
    ParameterError, DataError
        Priors below 0 or all 0; as many noise barcodes as barcodes; too few barcodes; counts below 0, not finite, or
        the same in every cell.

    References
    ----------
    Bernstein, Fong, Lam et al., Cell Systems 11, 95 (2020).
    """
    array = np.asarray(counts)
    if array.ndim != 2:
        raise ShapeError(f"`counts`: expected two dimensions, found shape {array.shape}")
    if array.dtype.kind not in "biuf":
        raise DataError(f"`counts`: expected numbers, found dtype {array.dtype}")
    options = to_json(
        priors=[float(prior) for prior in priors], number_of_noise_barcodes=number_of_noise_barcodes
    )
    return Hashsolo(*_core.hashsolo(np.ascontiguousarray(array, dtype=np.float64), options))
