"""ComBat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import arrays
from .._anndata import check_adata, check_changeable, get_matrix, get_obs, set_matrix, start
from .._labels import small_batches_named
from .._provenance import record
from ..arrays._counts import ProgressArgument
from ..errors import NonFiniteError, ParameterError
from ._hvg import _batch_codes
from ._regress import _is_categorical


def _indicators(adata: Any, keys: Sequence[str]) -> list[np.ndarray]:
    """Numeric columns as they are, others as indicators of all categories but the first."""
    import pandas as pd

    columns = []
    for key in keys:
        column = get_obs(adata, key)
        if column.isna().any():
            cell = int(np.flatnonzero(column.isna().to_numpy())[0])
            raise NonFiniteError(f"`adata.obs[{key!r}]`: expected a value for every cell, found none for cell {cell}")
        if not _is_categorical(column):
            columns.append(column.to_numpy(dtype=np.float64))
            continue
        codes = pd.Categorical(column).remove_unused_categories().codes
        columns.extend((codes == code).astype(np.float64) for code in range(1, codes.max() + 1))
    return columns


def combat(
    adata: Any,
    key: str = "batch",
    *,
    covariates: Sequence[str] | None = None,
    inplace: bool = True,
    threads: int | None = None,
    progress: ProgressArgument = None,
) -> Any:
    """Takes batch effects off X, estimated gene by gene with strength borrowed across genes.

    Parameters
    ----------
    adata
        Annotated data, usually logarithmised.
    key
        Column of ``obs`` with the batches; at least two, of at least two cells each.
    covariates
        Columns of ``obs`` whose effect is kept: numbers, or categories.
    inplace
        Replace X; otherwise return the corrected matrix.
    threads
        Threads; ``None`` uses all. The result does not depend on it.
    progress
        Progress bars: ``None`` when somebody is looking, True, False, or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the corrected matrix (dense float32). Writes X.

    Raises
    ------
    ParameterError, MissingKeyError, DataError, NonFiniteError, TooFewError, EmptyDataError, NotConvergedError

    Notes
    -----
    Covariates that the batches determine make their effects indistinguishable and are refused. Genes that do not vary
    are left as they are and take no part in the priors, where scanpy lets them. See `zensaibo.arrays.combat`.

    References
    ----------
    Johnson, Li, Rabinovic, Adjusting batch effects in microarray expression data using empirical Bayes methods,
    Biostatistics 2007.
    """
    check_adata(adata)
    names = [covariates] if isinstance(covariates, str) else list(covariates or [])
    if key in names:
        raise ParameterError(f"parameter `covariates`: expected columns other than the batches, found {key!r}")
    if len(set(names)) != len(names):
        raise ParameterError(f"parameter `covariates`: expected each column once, found {names}")
    if inplace:
        check_changeable(adata)
    codes = _batch_codes(get_obs(adata, key), key)
    columns = _indicators(adata, names)
    with small_batches_named(adata.obs[key], key, 2):
        found = arrays.combat(
            get_matrix(adata),
            codes,
            covariates=np.column_stack(columns) if columns else None,
            threads=threads,
            progress=progress,
        )
    if not inplace:
        return found.corrected
    adata = start(adata, copy=False)
    set_matrix(adata, found.corrected)
    record(adata, "combat", key=key, covariates=names)
    return None
