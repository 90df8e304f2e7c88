"""Regressing unwanted variation out."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, check_changeable, get_matrix, get_obs, set_matrix, start
from .._provenance import record
from ..arrays._counts import ProgressArgument
from ..errors import DataError, NonFiniteError, ParameterError


def _is_categorical(column: Any) -> bool:
    import pandas as pd

    return not (pd.api.types.is_numeric_dtype(column.dtype) or pd.api.types.is_bool_dtype(column.dtype))


def design_of(adata: Any, keys: Any, name: str = "keys") -> dict[str, Any]:
    """Columns of obs as keywords of the array functions: ``covariates``, or ``categories`` for a single such column."""
    import pandas as pd

    keys = [keys] if isinstance(keys, str) else list(keys)
    if not keys:
        raise ParameterError(f"parameter `{name}`: expected at least one column of obs, found none")
    columns = [get_obs(adata, key) for key in keys]
    for key, column in zip(keys, columns, strict=True):
        if column.isna().any():
            cell = int(np.flatnonzero(column.isna().to_numpy())[0])
            raise NonFiniteError(f"`adata.obs[{key!r}]`: expected a value for every cell, found none for cell {cell}")
    categorical = [key for key, column in zip(keys, columns, strict=True) if _is_categorical(column)]
    if not categorical:
        return {"covariates": np.column_stack([column.to_numpy(dtype=np.float64) for column in columns])}
    if len(keys) > 1:
        raise ParameterError(
            f"parameter `{name}`: expected numbers, or a single categorical column, found {categorical[0]!r} among "
            f"{len(keys)}"
        )
    codes = pd.Categorical(columns[0]).remove_unused_categories().codes
    if len(codes) and (codes < 0).any():
        raise DataError(f"`adata.obs[{keys[0]!r}]`: expected a category for every cell, found none for some")
    return {"categories": codes.astype(np.int64)}


def regress_out(
    adata: Any,
    keys: str | Sequence[str],
    *,
    layer: str | None = None,
    n_jobs: int | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Replaces each gene by what an ordinary least-squares fit on properties of the cells leaves of it.

    Parameters
    ----------
    adata
        Annotated data, cells x genes, finite.
    keys
        Columns of ``obs``: one or several numeric ones (fitted together, with a constant), or a single categorical one
        (each gene then loses its mean in the category).
    layer
        Layer to use in place of X.
    n_jobs
        scanpy's name for ``threads``; -1 is all.
    copy
        Change and return a copy.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the copy. Writes X or the layer, dense float32.

    Raises
    ------
    ParameterError, MissingKeyError, DataError, NonFiniteError, EmptyDataError

    Notes
    -----
    4 bytes per cell and gene. Collinear and constant keys add nothing; a warning counts them. A gene that is the same
    in every cell becomes 0. To go on to principal components without the dense matrix, see ``regress_keys`` of
    `zensaibo.pp.pca`.
    """
    check_adata(adata)
    if n_jobs is not None:
        if threads is not None:
            raise ParameterError("parameters `n_jobs`, `threads`: expected at most one of them, found both")
        threads = None if n_jobs == -1 else n_jobs
    check_changeable(adata, layer=layer)
    found = arrays.regress_out(
        get_matrix(adata, layer=layer), **design_of(adata, keys), threads=threads, progress=progress
    )
    if found.dropped:
        warnings.warn(
            f"{found.dropped} of the keys add nothing: constant, or combinations of others", UserWarning, stacklevel=2
        )
    adata = start(adata, copy)
    set_matrix(adata, found.residuals, layer=layer)
    record(adata, "regress_out", keys=[keys] if isinstance(keys, str) else list(keys), layer=layer)
    return adata if copy else None
