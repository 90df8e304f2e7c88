"""Scores of gene sets, on matrices of cells x genes."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix, in_file
from .._progress import reporting
from ..errors import DataError, EmptyDataError, ParameterError
from ._counts import ProgressArgument


class GeneScores(NamedTuple):
    """What `score_genes` returns."""

    scores: np.ndarray
    """(cells,) float64: mean of the genes less the mean of the control genes."""
    control_genes: np.ndarray
    """Column numbers of the control genes, rising (int64)."""
    empty_bins: int
    """Number of expression bins of the genes in which there was no control gene to choose."""


def _gene_means(matrix: Any) -> np.ndarray:
    """Mean of each gene over the cells where it is not NaN, summed exactly as scanpy sums, so that ties rank alike."""
    if not sparse.issparse(matrix):
        return np.nanmean(matrix, axis=0)
    n_cells = np.full(matrix.shape[1], matrix.shape[0], dtype=np.float64)
    missing = np.isnan(matrix.data) if matrix.dtype.kind == "f" else np.zeros(0, dtype=bool)
    if missing.any():
        holes = matrix.copy()
        holes.data = missing
        n_cells -= np.asarray(holes.sum(axis=0)).ravel()
        matrix = matrix.copy()
        matrix.data[missing] = 0
    return np.asarray(matrix.sum(axis=0, dtype="float64")).ravel() / n_cells


def _means_from_file(matrix: Any, threads: int | None, progress: ProgressArgument) -> np.ndarray:
    """As `_gene_means` of the sparse matrix in memory, in one read: whole numbers exactly, others in single precision."""
    with reporting(progress) as callback:
        sums, missing = _core.gene_totals(matrix, matrix.dtype.kind in "iu", None, threads, callback)
    return sums / (np.full(len(sums), matrix.shape[0], dtype=np.float64) - missing)


def _columns(values: Any, n_genes: int, name: str) -> np.ndarray:
    """``values`` as distinct column numbers in the order given."""
    array = np.asarray(values)
    if array.dtype == bool:
        if array.shape != (n_genes,):
            raise DataError(f"`{name}`: expected {n_genes} entries, one per gene, found shape {array.shape}")
        array = np.flatnonzero(array)
    if array.ndim != 1 or (array.size and array.dtype.kind not in "iu"):
        raise DataError(f"`{name}`: expected column numbers or a boolean mask, found dtype {array.dtype}")
    if array.size == 0:
        raise EmptyDataError(f"`{name}`: expected at least one gene, found none")
    if array.min() < 0 or array.max() >= n_genes:
        raise DataError(f"`{name}`: expected columns in 0..{n_genes}, found {array.min()} to {array.max()}")
    if len(np.unique(array)) != len(array):
        raise DataError(f"`{name}`: expected each gene once, found repeated ones")
    return array.astype(np.int64)


def _whole(name: str, value: Any, least: int) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or value < least:
        raise ParameterError(f"parameter `{name}`: expected a whole number of at least {least}, found {value!r}")
    return int(value)


def _controls(
    means: np.ndarray, genes: np.ndarray, pool: np.ndarray, ctrl_as_ref: bool, ctrl_size: int, n_bins: int, seed: int
) -> tuple[np.ndarray, int]:
    """Control genes, drawn from the bins of average expression that hold genes of the set."""
    import pandas as pd

    average = pd.Series(means[pool], index=pool)
    average = average[np.isfinite(average)]
    outside = np.setdiff1d(genes, average.index)
    if len(outside):
        raise DataError(
            f"`genes`: expected genes of the gene pool with a finite mean, found {len(outside)} others (first: gene "
            f"{outside[0]})"
        )
    per_bin = int(np.round(len(average) / (n_bins - 1)))
    with np.errstate(divide="ignore"):
        bins = average.rank(method="min") // per_bin
    excluded = np.zeros(len(bins), dtype=bool) if ctrl_as_ref else bins.index.isin(genes)
    random = np.random.RandomState(seed)
    chosen, empty = [], 0
    for cut in np.unique(bins.loc[genes]):
        candidates = bins[(bins == cut) & ~excluded].index
        empty += len(candidates) == 0
        if ctrl_size < len(candidates):
            candidates = candidates.to_series().sample(ctrl_size, random_state=random).index
        chosen.append(np.setdiff1d(candidates, genes))
    return np.unique(np.concatenate(chosen)).astype(np.int64), empty


def score_genes(
    matrix: Any,
    genes: Any,
    *,
    ctrl_as_ref: bool = True,
    ctrl_size: int = 50,
    gene_pool: Any = None,
    n_bins: int = 25,
    seed: int = 0,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> GeneScores:
    """Mean expression of a set of genes less that of control genes of similar average expression, per cell.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC, dense, or in a file, usually logarithmised. NaN values are left out of every mean.
    genes
        Column numbers, or a boolean mask over the genes.
    ctrl_as_ref
        Draw control genes among all genes of a bin and drop those of the set afterwards (scanpy 1's way); ``False``:
        draw among the others only.
    ctrl_size
        Control genes drawn from each bin that holds genes of the set; at least 1.
    gene_pool
        Genes to bin and to draw from: column numbers (their order matters for the draws) or a mask. ``None``: all.
    n_bins
        Bins of average expression, at least 2.
    seed
        Seed of the draws.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    GeneScores
        ``scores, control_genes, empty_bins``.

    Raises
    ------
    ParameterError, DataError, EmptyDataError

    Notes
    -----
    The draws are scanpy 1.11's: the same seed gives the same control genes. Bins follow the order of the genes' means,
    summed as scanpy sums them, which depends on the layout: near-equal genes can rank differently in a dense copy.
    Values are read as float32, summed in float64. Two reads, 16 bytes per cell.

    References
    ----------
    Satija et al., Spatial reconstruction of single-cell gene expression data, Nat Biotechnol 2015.
    """
    ctrl_size, n_bins, seed = _whole("ctrl_size", ctrl_size, 1), _whole("n_bins", n_bins, 2), _whole("seed", seed, 0)
    if seed >= 2**32:
        raise ParameterError(f"parameter `seed`: expected a whole number below 2^32, found {seed}")
    found = as_matrix(matrix, "matrix", stream=True)
    n_cells, n_genes = found.shape
    if n_cells == 0 or n_genes == 0:
        raise EmptyDataError(f"`matrix`: expected at least one cell and one gene, found shape {found.shape}")
    genes = _columns(genes, n_genes, "genes")
    pool = np.arange(n_genes) if gene_pool is None else _columns(gene_pool, n_genes, "gene_pool")
    if in_file(found):
        means = _means_from_file(found, threads, progress)
    elif sparse.issparse(found) or len(pool) == n_genes:
        means = _gene_means(found)
    else:
        means = np.full(n_genes, np.nan)
        means[pool] = _gene_means(found[:, pool])
    controls, empty = _controls(means, genes, pool, ctrl_as_ref, ctrl_size, n_bins, seed)
    if len(controls) == 0:
        hint = "; try ctrl_as_ref=False" if ctrl_as_ref else ""
        raise DataError(f"control genes: expected at least one in the bins of the genes, found none{hint}")
    sets = np.zeros((2, n_genes), dtype=bool)
    sets[0, genes] = True
    sets[1, controls] = True
    with reporting(progress) as callback:
        both = _core.gene_set_means(found, list(sets), threads, callback)
    return GeneScores(both[:, 0] - both[:, 1], controls, empty)
