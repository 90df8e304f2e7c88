"""`sp.deconvolve`: spots as mixtures of types."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import as_matrix, check_adata, columns_of, get_matrix, get_obs, start
from .._labels import codes_of
from .._provenance import record
from ..arrays._map_cells import Weighting
from ..errors import NegativeValuesError, NonFiniteError, ParameterError, TooFewError
from ._map_cells import listed, positions, shared_genes

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def deconvolve(
    sp_adata: AnnData,
    sc_adata: AnnData,
    groupby: str,
    *,
    genes: Sequence[str] | None = None,
    layer: str | None = None,
    sc_layer: str | None = None,
    per_cell: bool = True,
    weighting: Weighting = "variance",
    dampening: float = 10000.0,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
    key_added: str = "deconvolution",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Takes spots apart into types of cells: weighted least squares of what is not negative, on the types' mean counts.

    Parameters
    ----------
    sp_adata
        Spots with raw counts.
    sc_adata
        Dissociated cells of known type with raw counts; left as it is.
    groupby
        Column of ``sc_adata.obs`` with the types.
    genes
        Genes to use; ``None``: all that both sides have under the same name. Genes that tell types apart are worth choosing where there are many.
    layer, sc_layer
        Layers to use instead of X, of the spots and of the cells.
    per_cell
        Shares of cells; ``False``: shares of RNA, a cell of a type counting as much as its mean total over all genes of ``sc_adata``.
    weighting
        How much genes count: ``"variance"``, by 1 / variance that a mixture of such cells has, from the variance within each type (at
        least its mean, as of counts); ``"dampened"``, by 1 / squared expected value; ``"equal"``.
    dampening
        Largest weight over the smallest, at least 1. Not used by ``"equal"``.
    max_iterations, tolerance
        Rounds of fitting and weighting at most, and the change of a share at which they stop. Not used by ``"equal"``.
    key_added
        Start of the keys to write.
    copy
        Return a changed copy instead of changing ``sp_adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes, with ``deconvolution`` standing for ``key_added``:

    ``obsm["deconvolution"]``
        DataFrame, spots x types, float64: shares that sum to 1; NaN for spots without counts in these genes, or that no type explains.
    ``obsm["deconvolution_abundance"]``
        DataFrame, float64: cells of each type as deep as those of ``sc_adata``; not scaled to the depth of the spots.
    ``obs["deconvolution_type"]``
        Type of the largest share.
    ``obs["deconvolution_residual"]``
        Root of the weighted squares left over, as a share of those that were there: 0 (explained) to 1.
    ``uns["deconvolution"]``
        ``genes``, ``types``, ``cells`` of each, ``not_converged`` (spots whose shares did not come to rest).

    Raises
    ------
    MissingKeyError
        No such column, layer or gene.
    TooFewError
        Fewer shared genes than types.
    DuplicateNamesError
        A shared gene that stands twice.
    NegativeValuesError, NonFiniteError
        Negative counts, NaN or infinity, on either side.
    DataError
        Cells without a type, types without any expression in these genes.
    ParameterError
        An option out of range.

    Warns
    -----
    UserWarning
        Types of fewer than 5 cells, whose means are hardly known.

    Notes
    -----
    Differences in capture between the two techniques that hold gene by gene are not modelled. Cost per spot and round: genes x types^2 / 2
    multiply-adds.

    References
    ----------
    Wang et al., MuSiC, Nature Communications 10 (2019); Tsoucas et al., Nature Communications 10 (2019); Dong and Yuan, SpatialDWLS, Genome Biology 22
    (2021).
    """
    check_adata(sp_adata, "sp_adata")
    check_adata(sc_adata, "sc_adata")
    codes, types = codes_of(get_obs(sc_adata, groupby), f"sc_adata.obs[{groupby!r}]")
    if len(types) < 2:
        raise ParameterError(f"parameter `groupby`: expected a column of at least 2 types, found {len(types)}")
    shared = shared_genes(sc_adata, sp_adata)
    used = shared if genes is None else listed(genes, shared, "genes")
    if len(used) < len(types):
        raise TooFewError(f"`genes`: expected at least as many as types, {len(types)}, found {len(used)}")
    sizes = np.bincount(codes)
    few = [f"{name} ({size})" for name, size in zip(types, sizes, strict=True) if size < 5]
    if few:
        warnings.warn(f"types of fewer than 5 cells: {', '.join(few)}", UserWarning, stacklevel=2)
    cells = get_matrix(sc_adata, layer=sc_layer, stream=True)
    spots = get_matrix(sp_adata, layer=layer, stream=True)
    known = as_matrix(columns_of(cells, positions(sc_adata, used)), "X")
    values = known.data if sparse.issparse(known) else known
    if not np.isfinite(values).all():
        raise NonFiniteError("`sc_adata`: expected finite counts, found NaN or infinity")
    if (values < 0).any():
        raise NegativeValuesError("`sc_adata`: expected counts of at least 0, found negative values")
    members = sparse.csr_matrix((np.ones(len(codes)), (codes, np.arange(len(codes)))), (len(types), len(codes)))
    mean = _dense(members @ known) / sizes[:, None]
    squares = _dense(members @ (known.multiply(known) if sparse.issparse(known) else np.asarray(known, np.float64) ** 2))
    variance = (squares - sizes[:, None] * mean**2) / np.maximum(sizes - 1, 1)[:, None]
    variance = np.maximum(variance, mean)
    wanted = as_matrix(columns_of(spots, positions(sp_adata, used)), "X")
    found = arrays.deconvolve(
        wanted, mean, variance, weighting=weighting, dampening=dampening, max_iterations=max_iterations, tolerance=tolerance,
        threads=threads, progress=progress,
    )  # fmt: skip
    abundance = found.abundance
    if not per_cell:
        totals = np.asarray(as_matrix(cells, "X").sum(axis=1), dtype=np.float64).ravel()
        abundance = abundance * (members @ totals / sizes)
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = abundance / abundance.sum(axis=1, keepdims=True)
    adata = start(sp_adata, copy)
    names = [str(name) for name in types]

    def frame(values: Any) -> pd.DataFrame:
        return pd.DataFrame(values, index=adata.obs_names, columns=names)

    adata.obsm[key_added], adata.obsm[f"{key_added}_abundance"] = frame(shares), frame(found.abundance)
    there = ~np.isnan(shares).any(axis=1)
    best = np.where(there, np.where(there[:, None], shares, 0.0).argmax(axis=1), -1)
    adata.obs[f"{key_added}_type"] = pd.Categorical.from_codes(best, categories=names)
    adata.obs[f"{key_added}_residual"] = found.residual
    adata.uns[key_added] = {
        "genes": np.asarray(used, dtype=object), "types": np.asarray(names, dtype=object), "cells": sizes, "not_converged": int((~found.converged).sum()),
    }  # fmt: skip
    record(
        adata, "deconvolve", groupby=groupby, genes=None if genes is None else len(used), layer=layer, sc_layer=sc_layer,
        per_cell=bool(per_cell), weighting=weighting, dampening=float(dampening), max_iterations=int(max_iterations),
        tolerance=float(tolerance), key_added=key_added,
    )  # fmt: skip
    return adata if copy else None


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)
