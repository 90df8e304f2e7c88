"""Scaling to unit variance."""

from __future__ import annotations

import warnings
from typing import Any

from scipy import sparse

from .. import arrays
from .._anndata import check_changeable, get_matrix, get_obs, set_matrix, start
from .._provenance import record
from ..arrays._counts import ProgressArgument
from ..arrays._scale import cell_mask
from ..errors import ParameterError
from ._normalize import _fetch


def scale(
    data: Any,
    *,
    zero_center: bool = True,
    max_value: float | None = None,
    copy: bool = False,
    layer: str | None = None,
    obsm: str | None = None,
    mask_obs: Any = None,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Divides each gene by its standard deviation, after taking its mean off.

    Parameters
    ----------
    data
        Annotated data, or a matrix of cells x genes (then the scaled matrix is returned; floats are overwritten where
        the layout allows it unless ``copy``).
    zero_center
        Take the mean off. Sparse data become dense then, with a warning; without it they stay sparse (CSR).
    max_value
        Cut scaled values above this and, with ``zero_center``, those below its negative; in standard deviations,
        above 0.
    copy
        Change and return a copy.
    layer, obsm
        What to scale in place of X.
    mask_obs
        Boolean array, or a column of ``obs``: means and deviations come from these cells, and only they are scaled.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, the copy, or the scaled matrix. Writes X, the layer or the obsm array, and for X and layers the float64
    columns ``mean`` and ``std`` of ``var`` (with a mask ``mean of KEY``, ``std of KEY``, or ``mean with mask``, ``std
    with mask``). ``std`` is 1 for a gene that does not vary; such a gene becomes 0 with ``zero_center``.

    Raises
    ------
    ParameterError, MissingKeyError, DataError, ShapeError, NonFiniteError, EmptyDataError

    Notes
    -----
    float32 stays float32, integers become float64. Two reads, one write; with centring of sparse data 4 bytes per cell
    and gene. Principal components of scaled data need none of that memory: see ``scale`` of `zensaibo.pp.pca`.
    """
    from anndata import AnnData

    if not isinstance(data, AnnData):
        if layer is not None or obsm is not None or isinstance(mask_obs, str):
            raise ParameterError(
                "parameters `layer`, `obsm` and a named `mask_obs`: expected an AnnData to look in, found "
                f"{type(data).__name__}"
            )
        _warn_dense(data, zero_center)
        return arrays.scale(
            data,
            zero_center=zero_center,
            max_value=max_value,
            mask_obs=mask_obs,
            copy=copy,
            threads=threads,
            progress=progress,
        ).matrix
    names = ("mean", "std")
    mask = None
    if mask_obs is not None:
        named = isinstance(mask_obs, str)
        names = (f"mean of {mask_obs}", f"std of {mask_obs}") if named else ("mean with mask", "std with mask")
        mask = cell_mask(get_obs(data, mask_obs).to_numpy() if named else mask_obs, data.n_obs)
    check_changeable(data, layer=layer, obsm=obsm)
    get_matrix(data, layer=layer, obsm=obsm)
    adata = start(data, copy)
    matrix = _fetch(adata, layer=layer, obsm=obsm)
    _warn_dense(matrix, zero_center)
    found = arrays.scale(
        matrix,
        zero_center=zero_center,
        max_value=max_value,
        mask_obs=mask,
        copy=False,
        threads=threads,
        progress=progress,
    )
    set_matrix(adata, found.matrix, layer=layer, obsm=obsm)
    if obsm is None:
        adata.var[names[0]], adata.var[names[1]] = found.mean, found.std
    record(
        adata,
        "scale",
        zero_center=zero_center,
        max_value=max_value,
        layer=layer,
        obsm=obsm,
        mask_obs=mask_obs if mask_obs is None or isinstance(mask_obs, str) else "array",
    )
    return adata if copy else None


def _warn_dense(matrix: Any, zero_center: bool) -> None:
    if zero_center and sparse.issparse(matrix):
        warnings.warn("zero-centering a sparse array/matrix densifies it.", UserWarning, stacklevel=3)
