"""Open chromatin on plain arrays: TF-IDF, and peaks summed over genes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import NegativeValuesError, ShapeError
from ._protein import csr

__all__ = ["GeneActivity", "gene_activity", "tfidf"]


class GeneActivity(NamedTuple):
    """What `gene_activity` returns."""

    matrix: sparse.csr_matrix
    """(cells, genes) float32 CSR."""
    n_peaks: np.ndarray
    """(genes,) int64: peaks that overlap each gene."""


def tfidf(
    X: Any,
    *,
    log_tf: bool = True,
    log_idf: bool = True,
    log_tfidf: bool = False,
    scale_factor: float = 1e4,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Any:
    """Term frequency, inverse document frequency, of cells x peaks.

    TF is a count over the total of its cell, IDF the number of cells over the total of the peak.

    Parameters
    ----------
    X
        Cells x peaks, counts or 0 and 1: scipy CSR or CSC, or a numpy array. Values are taken as float32.
    log_tf
        Take ln(1 + `scale_factor` TF) for TF.
    log_idf
        Take ln(1 + IDF) for IDF.
    log_tfidf
        Return ln(1 + TF IDF); only with the two others off.
    scale_factor
        What TF is multiplied with.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    float32, CSR for sparse input, else a numpy array. Cells and peaks without counts stay zero.

    Raises
    ------
    NegativeValuesError, NonFiniteError, ParameterError
        As named.

    Notes
    -----
    The parameters are muon's ``atac.pp.tfidf``. Signac's methods: 1 is ``log_tf=False, log_idf=False, log_tfidf=True``;
    2 is ``log_tf=False, scale_factor=1``; 3 is the default. Nothing is random, and neither threads nor layout change a
    bit. Two reads.

    References
    ----------
    Cusanovich et al., Science 348 (2015); Stuart et al., Nature Methods 18 (2021).
    """
    matrix = as_matrix(X)
    options = to_json(log_tf=log_tf, log_idf=log_idf, log_tfidf=log_tfidf, scale_factor=scale_factor)
    with reporting(progress) as callback:
        return csr(_core.tfidf(matrix, options, threads, callback), matrix)


def gene_activity(
    X: Any,
    peaks: tuple[Any, Any, Any],
    genes: tuple[Any, Any, Any],
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> GeneActivity:
    """Sums of the peaks that overlap each gene.

    Parameters
    ----------
    X
        Cells x peaks.
    peaks, genes
        Intervals as (chromosomes, starts, ends): start <= position < end, chromosomes as strings.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    GeneActivity
        A peak counts for every gene that it shares a position with.

    Raises
    ------
    ShapeError
        Not one interval per column of `X`, or columns of different lengths.
    DataError
        An interval that ends before it starts.
    """
    matrix = as_matrix(X, stream=True)
    names = np.unique(np.concatenate([np.asarray(peaks[0], dtype=str), np.asarray(genes[0], dtype=str)]))
    columns: list[tuple[np.ndarray, ...]] = []
    for what, (chromosomes, starts, ends) in (("peaks", peaks), ("genes", genes)):
        numbers = np.searchsorted(names, np.asarray(chromosomes, dtype=str)).astype(np.uint32)
        edges = [np.asarray(edge, dtype=np.int64) for edge in (starts, ends)]
        if any(edge.shape != numbers.shape for edge in edges):
            raise ShapeError(f"`{what}`: expected as many starts and ends as chromosomes, {len(numbers)}")
        if any((edge < 0).any() for edge in edges):
            raise NegativeValuesError(f"`{what}`: expected positions of at least 0, found {min(map(np.min, edges))}")
        columns.append(
            (np.ascontiguousarray(numbers), *(np.ascontiguousarray(edge.astype(np.uint64)) for edge in edges))
        )
    if len(columns[0][0]) != matrix.shape[1]:
        raise ShapeError(
            f"`peaks`: expected one interval per column of X, {matrix.shape[1]}, found {len(columns[0][0])}"
        )
    with reporting(progress) as callback:
        parts, counts = _core.gene_activity(matrix, columns[0], columns[1], threads, callback)
    return GeneActivity(csr(parts, sparse.csr_matrix((0, 0))), np.array(counts, dtype=np.int64))
