"""``pp.tfidf``: term frequency, inverse document frequency."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import _anndata, _mudata, arrays
from .._progress import Progress
from .._provenance import record
from ._protein import _store

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def tfidf(
    adata: AnnData | MuData,
    *,
    log_tf: bool = True,
    log_idf: bool = True,
    log_tfidf: bool = False,
    scale_factor: float = 1e4,
    layer: str | None = None,
    key_added: str | None = None,
    mod: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | MuData | None:
    """TF-IDF of cells x peaks, in muon's and Signac's variants.

    Parameters
    ----------
    adata
        Annotated data with peak counts; or MuData with such a modality.
    log_tf, log_idf, log_tfidf, scale_factor
        See :func:`zensaibo.arrays.tfidf`.
    layer
        Where the counts are, in place of ``X``.
    key_added
        Layer to write; by default the counts are overwritten.
    mod
        With MuData: the modality to work on, in which results are written. Refused with AnnData.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy, with float32 values (CSC becomes CSR).

    Raises
    ------
    MissingKeyError, NegativeValuesError, NonFiniteError, ParameterError
        As named.
    """
    whole, adata = _mudata.modality(adata, mod, copy)
    found = arrays.tfidf(
        _anndata.get_matrix(adata, layer=layer),
        log_tf=log_tf,
        log_idf=log_idf,
        log_tfidf=log_tfidf,
        scale_factor=scale_factor,
        threads=threads,
        progress=progress,
    )
    adata = _anndata.start(adata, copy and whole is None)
    _store(adata, found, layer, None, key_added)
    record(
        adata,
        "tfidf",
        log_tf=log_tf,
        log_idf=log_idf,
        log_tfidf=log_tfidf,
        scale_factor=scale_factor,
        layer=layer,
        key_added=key_added,
    )
    return (adata if whole is None else whole) if copy else None
