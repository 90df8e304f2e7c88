"""Quality control, filters, normalisation and logarithm on matrices of cells x genes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ..errors import NonFiniteError, ParameterError

ProgressArgument = bool | Progress | None


@dataclass(frozen=True)
class QcMetrics:
    """Quality-control metrics; arrays of float64 unless said otherwise."""

    #: Genes other than zero, per cell (int64).
    n_genes: np.ndarray
    #: Total count, per cell.
    totals: np.ndarray
    #: Percentage of the total in the n highest genes, per n (ascending) and cell; NaN for empty cells.
    percent_top: dict[int, np.ndarray]
    #: Total count of the genes of each mask, per cell.
    subset_totals: dict[str, np.ndarray]
    #: Cells other than zero, per gene (int64).
    n_cells: np.ndarray
    #: Mean over all cells, per gene.
    gene_means: np.ndarray
    #: Total count, per gene.
    gene_totals: np.ndarray
    #: Percentage of cells that are zero, per gene.
    percent_dropout: np.ndarray


class Filtered(NamedTuple):
    """Which rows (columns) pass, and the number that was compared."""

    #: True where kept (bool).
    keep: np.ndarray
    #: Total counts, or number of values above zero (float64).
    number: np.ndarray


@dataclass(frozen=True)
class SizeFactors:
    """What each cell is divided by."""

    #: Total count per cell over the genes that count (float64).
    totals: np.ndarray
    #: ``totals / target_sum``; 0 for an empty cell (float64).
    factors: np.ndarray
    #: ``factors`` with 1 in place of 0 (float64).
    divisors: np.ndarray
    #: Total of every cell after division.
    target_sum: float
    #: Genes left out of the totals as highly expressed (bool).
    excluded: np.ndarray
    #: Number of cells whose total is 0.
    n_empty: int


def qc_metrics(
    matrix: Any,
    *,
    gene_masks: Mapping[str, Any] | None = None,
    percent_top: Sequence[int] = (50, 100, 200, 500),
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> QcMetrics:
    """Quality-control metrics per cell and gene, in one read.

    Parameters
    ----------
    matrix
        Cells x genes, scipy sparse or numpy. Stored zeros do not count as expressed.
    gene_masks
        Name -> boolean mask over genes (mitochondrial, ribosomal, ...).
    percent_top
        Numbers of highest genes whose share is computed; each from 1 to the number of genes.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Raises
    ------
    ParameterError
        ``percent_top`` out of range.
    NonFiniteError
        NaN or infinity, with the first place.
    """
    masks = {str(name): np.ascontiguousarray(mask, dtype=bool) for name, mask in (gene_masks or {}).items()}
    tops = sorted({_whole("percent_top", n) for n in percent_top})
    with reporting(progress) as callback:
        found = call(
            _core.qc_metrics,
            as_matrix(matrix, "matrix", stream=True), list(masks.values()), to_json(percent_top=tops), threads, callback
        )
    found["percent_top"] = dict(zip(tops, found["percent_top"], strict=True))
    found["subset_totals"] = dict(zip(masks, found["subset_totals"], strict=True))
    return QcMetrics(**found)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or int(value) != value or value < 1:
        raise ParameterError(f"parameter `{name}`: expected whole numbers of at least 1, found {value!r}")
    return int(value)


def check_counts(matrix: Any, *, threads: int | None = None) -> None:
    """Returns if ``matrix`` holds raw counts; raises with the first place where it does not.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype.
    threads
        Threads; ``None`` takes all. Does not change the answer.

    Raises
    ------
    NegativeValuesError, NonFiniteError, NotCountsError, EmptyDataError
    """
    call(_core.check_counts, as_matrix(matrix, "matrix", stream=True), threads)


def filter_cells(
    matrix: Any,
    *,
    min_counts: float | None = None,
    min_genes: float | None = None,
    max_counts: float | None = None,
    max_genes: float | None = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Filtered:
    """Which cells reach a minimum or stay within a maximum, both inclusive. Exactly one threshold is given.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype.
    min_counts, max_counts
        Bounds on the total of a cell.
    min_genes, max_genes
        Bounds on the number of genes with a non-zero value.
    threads
        Threads; ``None`` takes all. Does not change the answer.

    Raises
    ------
    ParameterError
        Unless exactly one threshold is given.
    NonFiniteError
        A total that is NaN or infinite.
    """
    options = to_json(min_counts=min_counts, min_genes=min_genes, max_counts=max_counts, max_genes=max_genes)
    with reporting(progress) as callback:
        return _finite(Filtered(*call(_core.filter_cells, as_matrix(matrix, "matrix", stream=True), options, threads, callback)), "cell")


def filter_genes(
    matrix: Any,
    *,
    min_counts: float | None = None,
    min_cells: float | None = None,
    max_counts: float | None = None,
    max_cells: float | None = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Filtered:
    """Which genes reach a minimum or stay within a maximum, both inclusive. Exactly one threshold is given.

    Parameters
    ----------
    matrix
        Cells x genes: CSR, CSC or dense, any numeric dtype.
    min_counts, max_counts
        Bounds on the total of a gene.
    min_cells, max_cells
        Bounds on the number of cells with a non-zero value.
    threads
        Threads; ``None`` takes all. Does not change the answer.

    Raises
    ------
    ParameterError
        Unless exactly one threshold is given.
    NonFiniteError
        A total that is NaN or infinite.
    """
    options = to_json(min_counts=min_counts, min_cells=min_cells, max_counts=max_counts, max_cells=max_cells)
    with reporting(progress) as callback:
        return _finite(Filtered(*call(_core.filter_genes, as_matrix(matrix, "matrix", stream=True), options, threads, callback)), "gene")


def _finite(found: Filtered, axis: str) -> Filtered:
    """``found``, unless a total is NaN or infinite: it lies on neither side of a threshold."""
    places = np.flatnonzero(~np.isfinite(found.number))
    if places.size:
        value = found.number[places[0]]
        raise NonFiniteError(
            f"`matrix`: expected finite totals, found {places.size} that are not, the first, {value}, in {axis} {places[0]}"
        )
    return found


def size_factors(
    matrix: Any,
    *,
    target_sum: float | None = None,
    exclude_highly_expressed: bool = False,
    max_fraction: float = 0.05,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> SizeFactors:
    """What each cell is divided by so that all have the same total.

    Parameters
    ----------
    matrix
        Cells x genes, scipy sparse or numpy, at least 0 everywhere.
    target_sum
        Total afterwards; ``None``: the median total of the cells that are not empty.
    exclude_highly_expressed
        Leave genes above ``max_fraction`` of some cell's total out of the totals.
    max_fraction
        See there; 0 to 1.
    threads
        Threads; ``None`` takes all. Does not change the factors.

    Raises
    ------
    ParameterError, NegativeValuesError, NonFiniteError
    """
    options = to_json(
        target_sum=target_sum, exclude_highly_expressed=exclude_highly_expressed, max_fraction=max_fraction
    )
    with reporting(progress) as callback:
        return SizeFactors(**call(_core.size_factors, as_matrix(matrix, "matrix", stream=True), options, threads, callback))


def _writeable(matrix: Any, original: Any, integers: Any, copy: bool) -> Any:
    """``matrix`` with float values that may be overwritten: itself, or a copy when asked for or unavoidable."""
    if matrix.dtype not in (np.float32, np.float64):
        return matrix.astype(integers)
    if sparse.issparse(matrix):
        shared = matrix is original
        values = matrix.data
    else:
        shared = np.may_share_memory(matrix, np.asarray(original))
        values = matrix
    if (shared and copy) or not (values.flags.writeable and values.flags.c_contiguous and values.flags.aligned):
        return matrix.copy()
    return matrix


def normalize_total(
    matrix: Any,
    *,
    target_sum: float | None = None,
    exclude_highly_expressed: bool = False,
    max_fraction: float = 0.05,
    copy: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> tuple[Any, SizeFactors]:
    """Divides each cell by its size factor.

    ``matrix``, ``target_sum``, ``exclude_highly_expressed``, ``max_fraction`` and ``threads`` as in `size_factors`; with ``copy=False`` the values of a float32 or float64 matrix are
    overwritten. Returns the matrix (CSR or dense; integers become float32) and the factors. Empty cells stay as
    they are.
    """
    found = as_matrix(matrix, "matrix")
    if sparse.issparse(found) and found.format != "csr":
        found = found.tocsr()
    found = _writeable(found, matrix, np.float32, copy)
    factors = size_factors(
        found,
        target_sum=target_sum,
        exclude_highly_expressed=exclude_highly_expressed,
        max_fraction=max_fraction,
        threads=threads,
        progress=progress,
    )
    with reporting(progress) as callback:
        if sparse.issparse(found):
            _core.divide_rows(found.indptr, found.data, factors.divisors, threads, callback)
        else:
            _core.divide_rows(None, found, factors.divisors, threads, callback)
    return found, factors


def log1p(
    matrix: Any,
    *,
    base: float | None = None,
    copy: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """ln(1 + x) of every value, or the logarithm to ``base``.

    float32 is computed to within 0.51 units in the last place; integers become float64. With ``copy=False`` the
    values of a float32 or float64 matrix are overwritten. Values below -1 give NaN. ``matrix`` is CSR,
    CSC or dense; ``threads`` (``None``: all) do not change the result.
    """
    if isinstance(matrix, np.ndarray) and matrix.ndim != 2:
        found = np.ascontiguousarray(matrix)
    else:
        found = as_matrix(matrix, "matrix")
    found = _writeable(found, matrix, np.float64, copy)
    with reporting(progress) as callback:
        _core.log1p(found.data if sparse.issparse(found) else found, base, threads, callback)
    return found
