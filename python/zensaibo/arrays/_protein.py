"""Surface proteins on plain arrays: centred log ratios, and background correction by empty droplets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_dense, as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ShapeError

__all__ = ["Dsb", "clr", "dsb"]


class Dsb(NamedTuple):
    """What `dsb` returns."""

    values: np.ndarray
    """(cells, proteins) float64: normalised values."""
    background_mean: np.ndarray
    """(proteins,) float64: mean of ln(count + pseudocount) over the empty droplets."""
    background_sd: np.ndarray
    """(proteins,) float64: standard deviation of the same."""
    cell_background: np.ndarray
    """(cells,) float64: lower mean of two normal distributions over the proteins of a cell; empty unless denoised."""
    technical: np.ndarray
    """(cells,) float64: the factor that each protein was regressed on; empty unless denoised."""


def clr(X: Any, *, axis: Literal[0, 1] = 0, threads: int | None = None, progress: bool | Progress | None = None) -> Any:
    """Centred log ratios of counts: ln(1 + x / exp(mean of ln(1 + x))).

    Parameters
    ----------
    X
        Cells x features, at least 0: scipy CSR or CSC, or a numpy array. Values are taken as float32.
    axis
        0: the mean of each feature over the cells. 1: the mean of each cell over its features. Zeros count.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    float32, CSR for sparse input, else a numpy array. Zeros stay zeros.

    Raises
    ------
    NegativeValuesError, NonFiniteError, ParameterError
        As named.

    Notes
    -----
    Equals muon's ``prot.pp.clr(axis, flavor="seurat")`` and Seurat's CLR (``margin = 2`` for axis 0, 1 for axis 1 of its
    features x cells matrices). Nothing is random, and neither threads nor layout change a bit.

    References
    ----------
    Stoeckius et al., Nature Methods 14 (2017).
    """
    matrix = as_matrix(X)
    with reporting(progress) as callback:
        return csr(_core.clr(matrix, to_json(axis=axis), threads, callback), matrix)


def csr(parts: tuple, like: Any) -> Any:
    """Parts from the extension as CSR, or as an array where `like` is one."""
    values, indices, indptr, shape = parts
    array = isinstance(like, sparse.sparray)
    matrix = (sparse.csr_array if array else sparse.csr_matrix)((values, indices, indptr), shape=shape, copy=False)
    return matrix if sparse.issparse(like) else matrix.toarray()


def dsb(
    cells: Any,
    empty: Any,
    *,
    isotype_controls: Sequence[int] = (),
    pseudocount: float = 10.0,
    denoise_counts: bool = True,
    scale_factor: Literal["standardize", "mean_subtract"] = "standardize",
    quantile_clipping: bool = False,
    quantile_clip: tuple[float, float] = (0.001, 0.9995),
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Dsb:
    """Protein counts in units of the background that empty droplets show, less what is technical in each cell.

    Parameters
    ----------
    cells, empty
        Counts, cells x proteins and empty droplets x proteins, the same proteins in the same order.
    isotype_controls
        Columns of antibodies that bind nothing.
    pseudocount
        Added before the logarithm.
    denoise_counts
        Take off the part of each protein that follows the background of the cell: the lower mean of two normal
        distributions over its proteins, or, with `isotype_controls`, the first principal component of that and of them.
    scale_factor
        ``"standardize"``: standard deviations of the background. ``"mean_subtract"``: its mean is taken off alone.
    quantile_clipping, quantile_clip
        Clip each protein at these quantiles.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    Dsb

    Raises
    ------
    TooFewError
        Fewer than two droplets; fewer than two cells or four proteins to denoise with.
    DataError
        A protein that is the same in every empty droplet.
    NegativeValuesError, NonFiniteError, ShapeError, ParameterError
        As named.

    Notes
    -----
    Steps and constants are those of the R package dsb. The mixture is fitted from the halves about the median, with one
    variance and with two, and the better by BIC is taken: nothing is random, and threads change no bit.

    References
    ----------
    Mule, Martins and Tsang, Nature Communications 13:2099 (2022).
    """
    counts, droplets = as_dense(cells, "cells", np.float64), as_dense(empty, "empty", np.float64)
    if counts.shape[1] != droplets.shape[1]:
        raise ShapeError(
            f"`cells`, `empty`: expected the same proteins, found {counts.shape[1]} and {droplets.shape[1]} columns"
        )
    options = to_json(
        pseudocount=pseudocount,
        denoise_counts=denoise_counts,
        scale_factor=scale_factor,
        quantile_clipping=quantile_clipping,
        quantile_clip=list(quantile_clip),
    )
    with reporting(progress) as callback:
        return Dsb(**_core.dsb(counts, droplets, [int(i) for i in isotype_controls], options, threads, callback))
