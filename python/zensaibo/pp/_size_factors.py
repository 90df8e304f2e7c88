"""Size factors other than totals, division by them, and transcripts per million."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import sparse

from .. import _core, arrays
from .._anndata import check_adata, check_changeable, get_matrix, get_obs, get_var, set_matrix, start
from .._progress import reporting
from .._provenance import record
from ..arrays._counts import ProgressArgument, _writeable
from ..errors import DataError, ParameterError
from ._hvg import _batch_codes
from ._normalize import _fetch

_SIZES = (21, 26, 31, 36, 41, 46, 51, 56, 61, 66, 71, 76, 81, 86, 91, 96, 101)


def pooled_size_factors(
    adata: Any,
    *,
    clusters: str | None = None,
    sizes: Sequence[int] = _SIZES,
    min_mean: float = 0.1,
    layer: str | None = None,
    key_added: str = "size_factors",
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Size factors by pooling cells and deconvolving, which few strongly differing genes do not mislead.

    Parameters
    ----------
    adata
        Annotated data with raw counts; every cell with a count above 0.
    clusters
        Column of ``obs`` with a rough clustering, within which pools are made. ``None``: one cluster.
    sizes
        Numbers of cells per pool. Sizes above the number of cells of a cluster are left out there.
    min_mean
        Mean count that a gene needs in the average cell to take part; lower it for counts of reads seen rarely.
    layer
        Layer to use in place of X.
    key_added
        Column of ``obs`` to write.
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes ``obs[key_added]`` (float64, mean 1). Divide by them with `normalize_size_factors`.

    Raises
    ------
    ParameterError, MissingKeyError, DataError, EmptyDataError, NegativeValuesError, NonFiniteError, TooFewError

    Notes
    -----
    A cell whose solution is not positive gets the factor of its library size, with a warning.

    References
    ----------
    Lun, Bach, Marioni, Pooling across cells to normalize single-cell RNA sequencing data with many zero counts, Genome
    Biology 2016.
    """
    check_adata(adata)
    codes = None if clusters is None else _batch_codes(get_obs(adata, clusters), clusters)
    found = arrays.pooled_size_factors(
        get_matrix(adata, layer=layer, stream=True),
        clusters=codes,
        sizes=sizes,
        min_mean=min_mean,
        threads=threads,
        progress=progress,
    )
    replaced = int(found.replaced.sum())
    if replaced:
        warnings.warn(
            f"the size factors of {replaced} cells are those of their library sizes: their pools have no positive "
            "solution",
            UserWarning,
            stacklevel=2,
        )
    adata = start(adata, copy)
    adata.obs[key_added] = found.factors
    record(
        adata,
        "pooled_size_factors",
        clusters=clusters,
        sizes=[int(size) for size in sizes],
        min_mean=float(min_mean),
        layer=layer,
        key_added=key_added,
        replaced=replaced,
    )
    return adata if copy else None


def spike_in_size_factors(
    adata: Any,
    *,
    prefix: str = "ERCC-",
    spike_ins: str | None = None,
    layer: str | None = None,
    key_added: str = "size_factors",
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Size factors from transcripts of which every cell was given the same amount, such as ERCC.

    Parameters
    ----------
    adata
        Annotated data with raw counts, spike-ins among the genes.
    prefix
        Names of the spike-ins begin with this. Not used with ``spike_ins``.
    spike_ins
        Boolean column of ``var`` that marks the spike-ins, in place of ``prefix``.
    layer
        Layer to use in place of X.
    key_added
        Column of ``obs`` to write.
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes ``obs[key_added]`` (float64, mean 1): total count of the spike-ins over its mean, and
    ``var["spike_in"]`` (bool). Divide by the factors with `normalize_size_factors`: differences in the amount of RNA
    between cells stay.

    Raises
    ------
    MissingKeyError, DataError, EmptyDataError, NegativeValuesError, NonFiniteError
    """
    check_adata(adata)
    if spike_ins is None:
        mask = np.array([str(name).startswith(prefix) for name in adata.var_names], dtype=bool)
        if not mask.any():
            raise DataError(f"`var_names`: expected spike-ins that begin with {prefix!r}, found none")
    else:
        mask = get_var(adata, spike_ins).to_numpy()
    factors = arrays.spike_in_size_factors(get_matrix(adata, layer=layer, stream=True), mask, threads=threads, progress=progress)
    adata = start(adata, copy)
    adata.obs[key_added] = factors
    adata.var["spike_in"] = mask
    record(
        adata,
        "spike_in_size_factors",
        prefix=prefix if spike_ins is None else None,
        spike_ins=spike_ins,
        layer=layer,
        key_added=key_added,
        n_spike_ins=int(mask.sum()),
    )
    return adata if copy else None


def normalize_size_factors(
    adata: Any,
    key: str = "size_factors",
    *,
    layer: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Divides each cell by its size factor.

    Parameters
    ----------
    adata
        Annotated data, cells x genes.
    key
        Column of ``obs`` with the factors, finite and above 0.
    layer
        Layer to use in place of X.
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes X or the layer: float32 and float64 are overwritten in place, integers become float32,
    CSC becomes CSR.

    Raises
    ------
    MissingKeyError, DataError, EmptyDataError
    """
    check_adata(adata)
    column = get_obs(adata, key)
    try:
        factors = column.to_numpy(dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"`adata.obs[{key!r}]`: expected numbers, found dtype {column.dtype}") from None
    bad = ~(np.isfinite(factors) & (factors > 0))
    if bad.any():
        cell = int(np.flatnonzero(bad)[0])
        raise DataError(
            f"`adata.obs[{key!r}]`: expected finite factors above 0, found {factors[cell]:g} for cell {cell}"
        )
    check_changeable(adata, layer=layer)
    get_matrix(adata, layer=layer)
    adata = start(adata, copy)
    original = _fetch(adata, layer=layer)
    found = get_matrix(adata, layer=layer)
    if sparse.issparse(found) and found.format != "csr":
        found = found.tocsr()
    found = _writeable(found, original, np.float32, False)
    with reporting(progress) as callback:
        if sparse.issparse(found):
            _core.divide_rows(found.indptr, found.data, factors, threads, callback)
        else:
            _core.divide_rows(None, found, factors, threads, callback)
    set_matrix(adata, found, layer=layer)
    record(adata, "normalize_size_factors", key=key, layer=layer)
    return adata if copy else None


def normalize_tpm(
    adata: Any,
    lengths: Any = "length",
    *,
    target_sum: float = 1e6,
    layer: str | None = None,
    inplace: bool = True,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Transcripts per million: counts over gene lengths, brought to the same total in each cell.

    Parameters
    ----------
    adata
        Annotated data with counts of reads from a full-length protocol, at least 0 everywhere.
    lengths
        Column of ``var``, or array, with the (effective) length of each gene: above 0, in any unit.
    target_sum
        Total of each cell afterwards; above 0.
    layer
        Layer to use in place of X.
    inplace
        Change ``adata``; otherwise return the matrix.
    copy
        Change and return a copy; not with ``inplace=False``.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, the copy, or the matrix. Writes X or the layer: CSR or dense; integers become float32. Cells without counts
    stay empty.

    Raises
    ------
    ParameterError, MissingKeyError, DataError, ShapeError, EmptyDataError, NegativeValuesError, NonFiniteError

    References
    ----------
    Wagner, Kin, Lynch, Measurement of mRNA abundance using RNA-seq data: RPKM measure is inconsistent among samples,
    Theory in Biosciences 2012.
    """
    if copy and not inplace:
        raise ParameterError("parameters `copy`, `inplace`: expected at most copy=True or inplace=False, found both")
    check_adata(adata)
    values = get_var(adata, lengths).to_numpy() if isinstance(lengths, str) else lengths
    if inplace:
        check_changeable(adata, layer=layer)
    get_matrix(adata, layer=layer)
    adata = start(adata, copy) if inplace else adata
    found = arrays.normalize_tpm(
        _fetch(adata, layer=layer), values, target_sum=target_sum, copy=not inplace, threads=threads, progress=progress
    )
    if not inplace:
        return found
    set_matrix(adata, found, layer=layer)
    record(
        adata,
        "normalize_tpm",
        lengths=lengths if isinstance(lengths, str) else "array",
        target_sum=float(target_sum),
        layer=layer,
    )
    return adata if copy else None
