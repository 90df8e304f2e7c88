"""``tl.lsi``: latent semantic indexing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .. import _anndata, _mudata, arrays
from .._progress import Progress
from .._provenance import record
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def lsi(
    adata: AnnData | MuData,
    *,
    n_comps: int = 50,
    scale_embeddings: bool = True,
    layer: str | None = None,
    tolerance: float = 1e-7,
    random_state: int = 0,
    mod: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | MuData | None:
    """Latent semantic indexing: the leading singular vectors of cells x peaks, not centred (after :func:`pp.tfidf`).

    Parameters
    ----------
    adata
        Annotated data, TF-IDF transformed; or MuData with such a modality.
    n_comps
        Number of components; at most the smaller side of the matrix is taken.
    scale_embeddings
        Scale each component to mean 0 and variance 1 over the cells.
    layer
        In place of ``X``.
    tolerance
        Residual at which a component counts as found.
    random_state
        Seed of the start vectors; changes the result by less than `tolerance`.
    mod
        With MuData: the modality to work on, in which results are written. Refused with AnnData.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy. Writes, as muon does:

    ``obsm["X_lsi"]`` (f8)
        Cells x components: left singular vectors, scaled if so asked. The first often follows the depth of the cells.
    ``varm["LSI"]`` (f8)
        Peaks x components: right singular vectors, the entry of largest magnitude positive.
    ``uns["lsi"]["stdev"]`` (f8)
        Singular values over sqrt(cells - 1).

    Raises
    ------
    ParameterError, MissingKeyError, NonFiniteError, NotConvergedError
        As named.

    Notes
    -----
    Goes through :func:`zensaibo.arrays.pca` without centring, to convergence, on the transposed matrix (a copy) where
    there are fewer cells than peaks; a sparse matrix is never dense.

    References
    ----------
    Cusanovich et al., Science 348 (2015).
    """
    whole, adata = _mudata.modality(adata, mod, copy)
    matrix = _anndata.get_matrix(adata, layer=layer)
    if n_comps < 1:
        raise ParameterError(f"parameter `n_comps`: expected at least 1, found {n_comps}")
    kept = min(n_comps, *matrix.shape)
    # The work is in the space of the columns: the smaller side, which peaks seldom are.
    # What is refused is refused as it came, so that messages name its rows and columns.
    values = matrix.data if sparse.issparse(matrix) else matrix
    turned = 1 < matrix.shape[0] < matrix.shape[1] and bool(np.isfinite(values).all())
    if turned:
        matrix = matrix.T.tocsr() if sparse.issparse(matrix) else np.ascontiguousarray(matrix.T)
    found = arrays.pca(
        matrix,
        kept,
        zero_center=False,
        tolerance=tolerance,
        seed=random_state,
        threads=threads,
        progress=progress,
    )
    scores = found.scores.astype(np.float64)
    values = np.sqrt((scores**2).sum(axis=0))
    vectors = scores / np.where(values > 0, values, 1.0)
    loadings = np.ascontiguousarray(found.components.T)
    if turned:
        vectors, loadings = loadings, vectors
        largest = loadings[np.abs(loadings).argmax(axis=0), np.arange(kept)]
        signs = np.where(largest < 0, -1.0, 1.0)
        vectors, loadings = vectors * signs, loadings * signs
    n_cells = vectors.shape[0]
    if scale_embeddings:
        spread = vectors.std(axis=0)
        vectors = (vectors - vectors.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    adata = _anndata.start(adata, copy and whole is None)
    adata.obsm["X_lsi"] = vectors
    adata.varm["LSI"] = loadings
    adata.uns["lsi"] = {"stdev": values / np.sqrt(max(n_cells - 1, 1))}
    record(
        adata,
        "lsi",
        n_comps=kept,
        scale_embeddings=scale_embeddings,
        layer=layer,
        tolerance=tolerance,
        random_state=random_state,
    )
    return (adata if whole is None else whole) if copy else None
