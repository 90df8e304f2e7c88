"""Total-count normalisation and logarithm."""

from __future__ import annotations

import warnings
from typing import Any

from .. import arrays
from .._anndata import check_adata, check_changeable, get_matrix, set_matrix, start
from .._keys import LOG1P
from .._provenance import record
from ..arrays._counts import ProgressArgument
from ..errors import ParameterError


def _fetch(adata: Any, *, layer: str | None = None, obsm: str | None = None) -> Any:
    """As it is stored, so that it can be overwritten; `get_matrix` has seen to errors."""
    if layer is not None:
        return adata.layers[layer]
    return adata.X if obsm is None else adata.obsm[obsm]


def normalize_total(
    adata: Any,
    *,
    target_sum: float | None = None,
    exclude_highly_expressed: bool = False,
    max_fraction: float = 0.05,
    key_added: str | None = None,
    layer: str | None = None,
    inplace: bool = True,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Divides each cell so that all have the same total.

    Parameters
    ----------
    adata
        Annotated data, cells x genes, at least 0 everywhere.
    target_sum
        Total of every cell afterwards; ``None``: the median total of the cells that are not empty.
    exclude_highly_expressed
        Leave genes above ``max_fraction`` of some cell's total out of the totals (not out of the matrix).
    max_fraction
        See there; 0 to 1.
    key_added
        Column of ``obs`` for the size factors.
    layer
        Layer to use in place of X.
    inplace
        Change ``adata``; otherwise return ``{"X": matrix, "norm_factor": factors}``.
    copy
        Change and return a copy; not with ``inplace=False``.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Notes
    -----
    float32 and float64 matrices in CSR or C order are overwritten in place; integers become float32, CSC becomes
    CSR. Empty cells stay empty, with a warning. Two reads and one write of the matrix.

    Raises
    ------
    ParameterError, MissingKeyError, NegativeValuesError, NonFiniteError, EmptyDataError
    """
    if copy and not inplace:
        raise ParameterError("parameters `copy`, `inplace`: expected at most copy=True or inplace=False, found both")
    adata = start(adata, copy) if inplace else check_adata(adata)
    if inplace:
        check_changeable(adata, layer=layer)
    get_matrix(adata, layer=layer, stream=True)
    matrix, factors = arrays.normalize_total(
        _fetch(adata, layer=layer),
        target_sum=target_sum,
        exclude_highly_expressed=exclude_highly_expressed,
        max_fraction=max_fraction,
        copy=not inplace,
        threads=threads,
        progress=progress,
    )
    if factors.n_empty:
        warnings.warn("Some cells have zero counts", UserWarning, stacklevel=2)
    norm_factor = factors.factors.astype(matrix.dtype)
    if not inplace:
        return {"X": matrix, "norm_factor": norm_factor}
    if key_added is not None:
        adata.obs[key_added] = norm_factor
    set_matrix(adata, matrix, layer=layer)
    record(
        adata,
        "normalize_total",
        target_sum=target_sum,
        used_target_sum=factors.target_sum,
        exclude_highly_expressed=exclude_highly_expressed,
        max_fraction=max_fraction,
        layer=layer,
    )
    return adata if copy else None


def log1p(
    data: Any,
    *,
    base: float | None = None,
    copy: bool = False,
    layer: str | None = None,
    obsm: str | None = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """ln(1 + x) of every value, or the logarithm to ``base``.

    Parameters
    ----------
    data
        Annotated data, or a matrix (then returned; floats are overwritten unless ``copy``).
    base
        Base of the logarithm; ``None``: e.
    copy
        Change and return a copy.
    layer, obsm
        What to use in place of X.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Notes
    -----
    Writes ``uns["log1p"] = {"base": base}``. Integers become float64. float32 results lie within 0.51 units in the
    last place. Warns when ``uns["log1p"]`` is there already.

    Raises
    ------
    ParameterError, MissingKeyError, EmptyDataError
    """
    from anndata import AnnData

    if not isinstance(data, AnnData):
        if layer is not None or obsm is not None:
            raise ParameterError("parameters `layer`, `obsm`: expected an AnnData to look in, found a matrix")
        return arrays.log1p(data, base=base, copy=copy, threads=threads, progress=progress)
    if LOG1P in data.uns:
        warnings.warn("adata.X seems to be already log-transformed.", UserWarning, stacklevel=2)
    adata = start(data, copy)
    check_changeable(adata, layer=layer, obsm=obsm)
    get_matrix(adata, layer=layer, obsm=obsm)
    matrix = arrays.log1p(
        _fetch(adata, layer=layer, obsm=obsm), base=base, copy=False, threads=threads, progress=progress
    )
    set_matrix(adata, matrix, layer=layer, obsm=obsm)
    adata.uns[LOG1P] = {"base": base}
    record(adata, "log1p", base=base, layer=layer, obsm=obsm)
    return adata if copy else None
