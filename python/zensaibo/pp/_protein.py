"""``pp.clr`` and ``pp.dsb``: surface proteins."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd

from .. import _anndata, _mudata, arrays
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def clr(
    adata: AnnData | MuData,
    *,
    axis: Literal[0, 1] = 0,
    layer: str | None = None,
    obsm: str | None = None,
    key_added: str | None = None,
    mod: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | MuData | None:
    """Centred log ratios of protein counts: ln(1 + x / exp(mean of ln(1 + x))).

    Parameters
    ----------
    adata
        Annotated data with counts; or MuData with such a modality.
    axis
        0: the mean of each protein over the cells (by feature). 1: the mean of each cell over its proteins (by cell).
    layer, obsm
        Where the counts are, in place of ``X``.
    key_added
        Layer (or, with `obsm`, obsm key) to write; by default the counts are overwritten.
    mod
        With MuData: the modality to work on, in which results are written. Refused with AnnData.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy, with float32 values in the layout of the counts (CSC becomes CSR). See
    :func:`zensaibo.arrays.clr`.

    Raises
    ------
    MissingKeyError, NegativeValuesError, NonFiniteError, ParameterError
        As named.
    """
    whole, adata = _mudata.modality(adata, mod, copy)
    matrix = _anndata.get_matrix(adata, layer=layer, obsm=obsm)
    found = arrays.clr(matrix, axis=axis, threads=threads, progress=progress)
    adata = _anndata.start(adata, copy and whole is None)
    _store(adata, found, layer, obsm, key_added)
    record(adata, "clr", axis=axis, layer=layer, obsm=obsm, key_added=key_added)
    return (adata if whole is None else whole) if copy else None


def dsb(
    adata: AnnData | MuData,
    empty: Any,
    *,
    isotype_controls: Collection[str | int] | None = None,
    pseudocount: float = 10.0,
    denoise_counts: bool = True,
    scale_factor: Literal["standardize", "mean_subtract"] = "standardize",
    quantile_clipping: bool = False,
    quantile_clip: tuple[float, float] = (0.001, 0.9995),
    layer: str | None = None,
    obsm: str | None = None,
    key_added: str | None = None,
    mod: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | MuData | None:
    """Protein counts in units of the background of empty droplets, less what is technical in each cell (dsb).

    Parameters
    ----------
    adata
        Annotated data with the protein counts of cells; or MuData with such a modality.
    empty
        Counts of empty droplets: an AnnData with the same proteins (matched by name; in the same slot with `layer` or
        `obsm`), a MuData with them in the same modality, or an array with the same columns.
    isotype_controls
        Names (columns, with an unnamed `obsm`) of antibodies that bind nothing.
    pseudocount, denoise_counts, scale_factor, quantile_clipping, quantile_clip
        See :func:`zensaibo.arrays.dsb`.
    layer, obsm
        Where the counts are, in place of ``X``.
    key_added
        Layer (or, with `obsm`, obsm key) to write; by default the counts are overwritten.
    mod
        With MuData: the modality to work on, in which results are written. Refused with AnnData.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy, with dense float32 values. With `denoise_counts` also ``obs["dsb_background"]`` and
    ``obs["dsb_technical"]`` (f8): the background of each cell, and the factor taken off.

    Raises
    ------
    MissingKeyError
        Proteins, a layer or controls that are not there.
    TooFewError, DataError, NegativeValuesError, NonFiniteError, ParameterError
        As named.
    """
    from anndata import AnnData

    whole, adata = _mudata.modality(adata, mod, copy)
    if _mudata.is_mudata(empty):
        _, empty = _mudata.modality(empty, mod, name="empty")
    cells, names = _named(adata, layer, obsm)
    if isinstance(empty, AnnData):
        droplets, droplet_names = _named(empty, layer, obsm)
        if names is not None and droplet_names is not None:
            absent = names[~names.isin(droplet_names)]
            if len(absent):
                raise MissingKeyError(
                    f"key `{absent[0]}` not found in the proteins of `empty`; present: {', '.join(map(str, droplet_names[:20]))}"
                )
            droplets = droplets[:, droplet_names.get_indexer_for(names)]
    else:
        droplets = empty
    found = arrays.dsb(
        cells,
        droplets,
        isotype_controls=_columns(isotype_controls, names, cells.shape[1]),
        pseudocount=pseudocount,
        denoise_counts=denoise_counts,
        scale_factor=scale_factor,
        quantile_clipping=quantile_clipping,
        quantile_clip=quantile_clip,
        threads=threads,
        progress=progress,
    )
    adata = _anndata.start(adata, copy and whole is None)
    _store(adata, found.values.astype(np.float32), layer, obsm, key_added)
    if denoise_counts:
        adata.obs["dsb_background"] = found.cell_background
        adata.obs["dsb_technical"] = found.technical
    record(
        adata,
        "dsb",
        isotype_controls=None if isotype_controls is None else [str(name) for name in isotype_controls],
        pseudocount=pseudocount,
        denoise_counts=denoise_counts,
        scale_factor=scale_factor,
        quantile_clipping=quantile_clipping,
        quantile_clip=list(quantile_clip),
        layer=layer,
        obsm=obsm,
        key_added=key_added,
    )
    return (adata if whole is None else whole) if copy else None


def _named(adata: AnnData, layer: str | None, obsm: str | None) -> tuple[Any, pd.Index | None]:
    """The counts, and the names of their columns where there are such."""
    if obsm is None:
        return _anndata.get_matrix(adata, layer=layer), adata.var_names
    table = _anndata.get_obsm(adata, obsm)
    names = table.columns if isinstance(table, pd.DataFrame) else None
    return _anndata.get_matrix(adata, layer=layer, obsm=obsm), names


def _columns(controls: Collection[str | int] | None, names: pd.Index | None, width: int) -> list[int]:
    if controls is None:
        return []
    if isinstance(controls, (str, bytes)):
        raise ParameterError(
            f"parameter `isotype_controls`: expected several names, found {controls!r}; put it in a list"
        )
    columns = []
    for control in controls:
        if names is not None and control in names:
            columns.append(int(np.flatnonzero(names == control)[0]))
        elif names is None and isinstance(control, (int, np.integer)) and 0 <= control < width:
            columns.append(int(control))
        else:
            present = f"columns 0 to {width - 1}" if names is None else ", ".join(map(str, names[:20]))
            raise MissingKeyError(f"key `{control}` not found in the proteins; present: {present}")
    return columns


def _store(adata: AnnData, found: Any, layer: str | None, obsm: str | None, key_added: str | None) -> None:
    if obsm is not None:
        old = adata.obsm[obsm]
        if isinstance(old, pd.DataFrame):
            found = pd.DataFrame(found, index=old.index, columns=old.columns)
        adata.obsm[obsm if key_added is None else key_added] = found
    else:
        _anndata.set_matrix(adata, found, layer=layer if key_added is None else key_added)
