"""Size factors from pools of cells and from spike-ins; transcripts per million."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix, columns_of
from .._options import to_json
from .._progress import reporting
from .._shared import call
from ..errors import DataError, EmptyDataError, NonFiniteError, ParameterError, ShapeError
from ._counts import ProgressArgument, _whole, _writeable, normalize_total, qc_metrics


@dataclass(frozen=True)
class PooledSizeFactors:
    """Result of `pooled_size_factors`."""

    #: Size factor of each cell, above 0, mean 1 (float64).
    factors: np.ndarray
    #: Whether the solution of a cell was not positive, so that its library size stands in (bool).
    replaced: np.ndarray
    #: Genes that took part, per cluster.
    n_genes: list[int]
    #: The cluster to whose scale the others were brought.
    reference: int


def pooled_size_factors(
    matrix: Any,
    *,
    clusters: Any = None,
    sizes: Sequence[int] = (21, 26, 31, 36, 41, 46, 51, 56, 61, 66, 71, 76, 81, 86, 91, 96, 101),
    min_mean: float = 0.1,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> PooledSizeFactors:
    """Size factors by pooling cells and deconvolving, which few strongly differing genes do not mislead.

    Parameters
    ----------
    matrix
        Raw counts, cells x genes: CSR, CSC or dense, any numeric dtype; every cell with a count above 0.
    clusters
        Cluster of each cell, as integers from 0 without gaps: pools are made within clusters, since most genes of a pool
        must not differ from the average. A rough clustering of at least 100 cells each is enough. ``None``: one cluster.
    sizes
        Numbers of cells per pool. Sizes above the number of cells of a cluster are left out there.
    min_mean
        Mean count that a gene needs in the average cell to take part.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    PooledSizeFactors
        ``factors, replaced, n_genes, reference``.

    Raises
    ------
    ParameterError, DataError, ShapeError, EmptyDataError, NegativeValuesError, NonFiniteError, TooFewError

    Notes
    -----
    Nothing is random. The equations of the pools, on a ring of cells ordered by library size, are circulant and solved by
    Fourier transforms. Memory: the counts of one cluster.

    References
    ----------
    Lun, Bach, Marioni, Pooling across cells to normalize single-cell RNA sequencing data with many zero counts, Genome
    Biology 2016.
    """
    if clusters is not None:
        clusters = np.asarray(clusters)
        if clusters.ndim != 1 or clusters.dtype.kind not in "iu" or (clusters.size and clusters.min() < 0):
            raise DataError("`clusters`: expected one whole number of at least 0 per cell, found others")
        clusters = np.ascontiguousarray(clusters, dtype=np.uint32)
    options = to_json(sizes=[_whole("sizes", size) for size in sizes], min_mean=float(min_mean))
    with reporting(progress) as callback:
        return PooledSizeFactors(
            **call(_core.pooled_size_factors, as_matrix(matrix, "matrix", stream=True), options, clusters, threads, callback)
        )


def spike_in_size_factors(
    matrix: Any, spike_ins: Any, *, threads: int | None = None, progress: ProgressArgument = None
) -> np.ndarray:
    """Size factors from transcripts of which every cell was given the same amount, such as ERCC.

    Parameters
    ----------
    matrix
        Raw counts, cells x genes: CSR, CSC or dense, any numeric dtype.
    spike_ins
        Boolean array, one entry per gene: the spike-ins.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    (cells,) float64: total count of the spike-ins in each cell over its mean. Dividing by it keeps differences in the
    amount of RNA between cells, which library sizes take away.

    Raises
    ------
    DataError
        No spike-ins, or cells without any count of them.
    ShapeError, EmptyDataError, NegativeValuesError, NonFiniteError
    """
    found = as_matrix(matrix, "matrix", stream=True)
    mask = np.asarray(spike_ins)
    if mask.dtype != np.bool_:
        raise DataError(f"`spike_ins`: expected a boolean mask, found dtype {mask.dtype}")
    if mask.shape != (found.shape[1],):
        raise ShapeError(f"`spike_ins`: expected {found.shape[1]} entries, one per gene, found shape {mask.shape}")
    if found.shape[0] == 0:
        raise EmptyDataError("`matrix`: expected at least one cell, found none")
    if not mask.any():
        raise DataError("`spike_ins`: expected at least one spike-in, found none")
    part = columns_of(found, np.flatnonzero(mask))
    part = part if sparse.issparse(part) else np.ascontiguousarray(part)
    _core.size_factors(part, to_json(target_sum=None), threads, None)  # refuses what is negative or not finite
    totals = qc_metrics(
        part, gene_masks={"all": np.ones(part.shape[1], dtype=bool)}, percent_top=(), threads=threads, progress=progress
    ).totals
    if not totals.all():
        cells = np.flatnonzero(totals == 0)
        raise DataError(
            f"`spike_ins`: expected a count above 0 in every cell, found none in {len(cells)} cells (first: cell {cells[0]})"
        )
    return totals / totals.mean()


def normalize_tpm(
    matrix: Any,
    lengths: Any,
    *,
    target_sum: float = 1e6,
    copy: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Transcripts per million: counts over gene lengths, brought to the same total in each cell.

    Parameters
    ----------
    matrix
        Counts of reads, cells x genes: CSR, CSC or dense, any numeric dtype, at least 0 everywhere. Meant for full-length
        protocols; counts of molecules (UMI) do not grow with gene length.
    lengths
        (Effective) length of each gene, above 0, in any unit.
    target_sum
        Total of each cell afterwards; above 0.
    copy
        ``False``: the values of a float32 or float64 matrix in CSR or C order are overwritten.
    threads
        Threads; ``None`` takes all. Does not change the result.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    CSR or dense; float32 for float32 and integers. Cells without counts stay empty.

    Raises
    ------
    ParameterError, DataError, ShapeError, NegativeValuesError, NonFiniteError

    References
    ----------
    Wagner, Kin, Lynch, Measurement of mRNA abundance using RNA-seq data: RPKM measure is inconsistent among samples,
    Theory in Biosciences 2012.
    """
    if not (target_sum > 0 and np.isfinite(target_sum)):
        raise ParameterError(f"parameter `target_sum`: expected a finite number above 0, found {target_sum!r}")
    found = as_matrix(matrix, "matrix")
    if sparse.issparse(found) and found.format != "csr":
        found = found.tocsr()
    try:
        divisors = np.ascontiguousarray(lengths, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"`lengths`: expected numbers, found dtype {np.asarray(lengths).dtype}") from None
    if divisors.shape != (found.shape[1],):
        raise ShapeError(f"`lengths`: expected {found.shape[1]} entries, one per gene, found shape {divisors.shape}")
    bad = ~np.isfinite(divisors)
    if bad.any():
        gene = int(np.flatnonzero(bad)[0])
        raise NonFiniteError(f"`lengths`: expected finite numbers, found {divisors[gene]} for gene {gene}")
    if (divisors <= 0).any():
        gene = int(np.flatnonzero(divisors <= 0)[0])
        raise DataError(f"`lengths`: expected numbers above 0, found {divisors[gene]:g} for gene {gene}")
    # Lengths around 1 keep float32 values in range; the unit cancels.
    divisors = divisors / divisors.mean() if divisors.size else divisors
    _core.size_factors(found, to_json(target_sum=None), threads, None)  # refuses what is negative or not finite
    found = _writeable(found, matrix, np.float32, copy)
    nothing, options = np.zeros(found.shape[1]), to_json(zero_center=False)
    with reporting(progress) as callback:
        if sparse.issparse(found):
            _core.scale_in_place(
                found.data, nothing, divisors, options, None, found.indptr, found.indices, threads, callback
            )
        else:
            _core.scale_in_place(found, nothing, divisors, options, None, None, None, threads, callback)
    return normalize_total(found, target_sum=target_sum, copy=False, threads=threads, progress=progress)[0]
