"""``get.aggregate``: one profile per group of cells (pseudobulk)."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .. import _anndata
from .._progress import Progress
from ..arrays._aggregate import Statistic
from ..arrays._aggregate import aggregate as aggregate_arrays
from ..errors import ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData


def aggregate(
    adata: AnnData,
    by: str | Collection[str],
    func: Statistic | Iterable[Statistic],
    *,
    axis: Literal["obs", 0, "var", 1] | None = None,
    mask: Any = None,
    dof: int = 1,
    layer: str | None = None,
    obsm: str | None = None,
    varm: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Aggregate cells (or genes) by one or several categorical columns, straight from sparse rows.

    Parameters
    ----------
    adata
        Annotated data.
    by
        Column, or columns, of ``obs`` (of ``var`` with ``axis=1``). With several, groups are the combinations present.
    func
        One or several of ``"count_nonzero"``, ``"mean"``, ``"sum"``, ``"var"``, ``"median"``.
    axis
        ``"obs"`` (0): groups of cells. ``"var"`` (1): groups of genes. By default 1 with `varm`, else 0.
    mask
        Boolean array along the axis, or a boolean column: what is False counts in no group.
    dof
        Taken off the number of members when variances are divided.
    layer, obsm, varm
        What to aggregate in place of ``X``; at most one of them.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    AnnData
        Groups x genes (transposed with ``axis=1``), float64, one layer per statistic. ``obs`` holds the columns `by`,
        and ``n_obs_aggregated``, the members of each group that counted. Groups are named by their categories joined
        with ``_``, in the order of the categories.

    Raises
    ------
    MissingKeyError
        A column, layer or array that is not there.
    ParameterError, ShapeError
        An unknown statistic or axis, a mask of another type or length.

    Notes
    -----
    Equals ``scanpy.get.aggregate`` 1.11.5 save where that is at fault: `mask` also holds for the divisor of means and
    variances and for medians; cells with a missing value in `by` are left out, with a warning. Sums are float64. Nothing
    is random, and threads change no bit. One read of the matrix, and more for medians. NaN or infinity stays in the numbers
    of its group and gene; the variance of no more cells than `dof` is NaN.
    """
    _anndata.check_adata(adata)
    if sum(name is not None for name in (layer, obsm, varm)) > 1:
        raise ParameterError("parameters `layer`, `obsm`, `varm`: expected at most one of them, found several")
    number = _axis(axis, varm is not None)
    if varm is not None and number == 0:
        raise ParameterError("parameter `varm`: expected axis=1 beside it, found axis 0")
    if obsm is not None and number == 1:
        raise ParameterError("parameter `obsm`: expected axis=0 beside it, found axis 1")
    labels = adata.obs if number == 0 else adata.var
    codes, groups = _groups(labels, by, "obs" if number == 0 else "var")
    missing = int((codes < 0).sum())
    if missing:
        what = "cells" if number == 0 else "genes"
        warnings.warn(f"{missing} {what} have no value in {by!r} and are left out", UserWarning, stacklevel=2)
    if mask is not None:
        codes = np.where(_mask(labels, mask), codes, -1)

    names: pd.Index | None = None
    matrix: Any
    if obsm is not None or varm is not None:
        mapping, key = (adata.obsm, obsm) if obsm is not None else (adata.varm, varm)
        matrix = _anndata._fetch(mapping, str(key), "adata.obsm" if obsm is not None else "adata.varm")
        if isinstance(matrix, pd.DataFrame):
            names, matrix = matrix.columns, matrix.to_numpy()
        matrix = _anndata.as_matrix(matrix, str(key))
        columns = pd.DataFrame(index=pd.RangeIndex(matrix.shape[1]).astype(str) if names is None else names.astype(str))
    else:
        matrix = _anndata.get_matrix(adata, layer=layer, allow_empty=True, stream=True)
        if number == 1:
            matrix = _anndata.as_matrix(matrix.T)
        columns = adata.var if number == 0 else adata.obs
    found = aggregate_arrays(
        matrix,
        codes,
        func=func if isinstance(func, str) else list(func),
        n_groups=len(groups),
        dof=dof,
        threads=threads,
        progress=progress,
    )
    groups["n_obs_aggregated"] = found.sizes
    from anndata import AnnData

    result = AnnData(layers=found.tables, obs=groups, var=columns.copy())
    return result if number == 0 else result.T


def _axis(axis: Any, varm: bool) -> int:
    if axis is None:
        return int(varm)
    known = {"obs": 0, 0: 0, "var": 1, 1: 1}
    if axis not in known:
        raise ParameterError(f"parameter `axis`: expected `obs`, 0, `var`, 1 or None, found {axis!r}")
    return known[axis]


def _mask(labels: pd.DataFrame, mask: Any) -> np.ndarray:
    name = "mask"
    if isinstance(mask, str):
        name, mask = f"mask {mask!r}", _anndata._fetch(labels, mask, "the columns along the axis")
    values = np.asarray(mask)
    if values.dtype != bool:
        raise ParameterError(f"parameter `mask`: expected booleans, found {values.dtype}")
    if values.shape != (len(labels),):
        raise ShapeError(f"`{name}`: expected {len(labels)} entries along the axis, found shape {values.shape}")
    return values


def _groups(labels: pd.DataFrame, by: str | Collection[str], container: str) -> tuple[np.ndarray, pd.DataFrame]:
    """Group of each row (-1 where a value is missing), and the table of the groups that are present."""
    keys = [by] if isinstance(by, str) else list(by)
    if not keys:
        raise ParameterError("parameter `by`: expected at least one column, found none")
    columns = [pd.Categorical(_anndata._fetch(labels, key, f"adata.{container}")) for key in keys]
    columns = [column.remove_unused_categories() for column in columns]
    combined = np.zeros(len(labels), dtype=np.int64)
    missing = np.zeros(len(labels), dtype=bool)
    for column in columns:
        combined = combined * len(column.categories) + column.codes
        missing |= column.codes < 0
    present, inverse = np.unique(combined[~missing], return_inverse=True)
    codes = np.full(len(labels), -1, dtype=np.int64)
    codes[~missing] = inverse
    table: dict[str, pd.Categorical] = {}
    rest = present
    for key, column in reversed(list(zip(keys, columns, strict=True))):
        table[key] = pd.Categorical.from_codes(rest % max(len(column.categories), 1), categories=column.categories)
        rest = rest // max(len(column.categories), 1)
    ordered = {key: table[key] for key in keys}
    names = ["_".join(map(str, row)) for row in zip(*ordered.values(), strict=True)]
    return codes, pd.DataFrame(ordered, index=pd.Index(names, dtype=object))
