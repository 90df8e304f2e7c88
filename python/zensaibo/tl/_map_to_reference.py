"""`tl.map_to_reference`: new cells in a reference corrected by Harmony."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_matrix, get_obs, start
from .._keys import X_PCA
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError
from ._reference import Projection, align_genes, label_keys, write_labels

if TYPE_CHECKING:
    from anndata import AnnData


def map_to_reference(
    adata: AnnData,
    adata_ref: AnnData,
    *,
    obs: str | list[str] | None = None,
    batch_key: str | list[str] | None = None,
    key_added: str = "X_pca_harmony",
    n_neighbors: int = 15,
    sigma: float | None = None,
    ridge_lambda: float = 1.0,
    missing: str = "error",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Brings new cells into the space of a reference of several batches, and labels them by their neighbours there.

    The reference stays as it is: its clusters (`zs.pp.harmony_integrate` keeps them) say what each batch of new cells
    must be moved by, as in Symphony.

    Parameters
    ----------
    adata
        New cells, normalised as the reference was. Genes are matched by name, in any order; others are ignored.
    adata_ref
        Reference with `zs.pp.pca` and `zs.pp.harmony_integrate` on ``X_pca``. It is not changed.
    obs
        Columns of ``adata_ref.obs`` to carry over.
    batch_key
        Column or columns of ``adata.obs`` with the batches among the new cells (combinations of several columns);
        default: one batch.
    key_added
        Key of ``adata.obsm`` to write.
    n_neighbors
        Cells of the reference that vote on a label, at least 1.
    sigma
        Width of soft clustering; default: that of the reference.
    ridge_lambda
        Ridge penalty of each batch of new cells, above 0; larger corrects less.
    missing
        ``"error"``: all genes that the components use must be there; ``"mean"``: those that are missing are taken at
        the mean of the reference, with a warning that counts them.
    copy
        Return a changed copy instead of changing ``adata``.
    threads, progress
        See `zensaibo.arrays.knn_query`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes:

    ``obsm[key_added]``, ``obsm["X_pca"]``
        float32: corrected coordinates, and those before correction.
    ``obs[key]``, ``obs[key + "_confidence"]``
        For each key of ``obs``: the most frequent label among the neighbours (categorical; ties: the first category),
        and the share of the neighbours that bear it.

    Raises
    ------
    MissingKeyError
        The reference lacks components or clusters; no such column.
    DataError
        Genes that do not match; duplicate gene names; a reference whose X is not what its components were made from;
        cells without a label or batch; NaN.
    ParameterError
        An option out of range; a reference corrected in other coordinates than ``X_pca``.

    References
    ----------
    Kang, Nathan, Weinand et al., Nature Communications 12, 5890 (2021): Symphony.
    """
    check_adata(adata_ref, "adata_ref")
    check_adata(adata)
    if "harmony" not in adata_ref.uns:
        present = ", ".join(map(str, adata_ref.uns.keys())) or "(nothing)"
        raise MissingKeyError(
            f"key `harmony` not found in adata_ref.uns; present: {present}; run `zs.pp.harmony_integrate(adata_ref)` first"
        )
    clusters = adata_ref.uns["harmony"]
    params = clusters["params"]
    if params["basis"] != X_PCA:
        raise ParameterError(
            f"parameter `adata_ref`: expected a reference corrected in obsm[{X_PCA!r}], found basis {params['basis']!r}"
        )
    keys = label_keys(adata_ref, obs)
    names = [] if batch_key is None else [batch_key] if isinstance(batch_key, str) else list(batch_key)
    columns = [get_obs(adata, name) for name in names]
    if any(column.isna().any() for column in columns):
        batches = next(column for column in columns if column.isna().any())  # refused below, by its name
    elif columns:
        batches = pd.concat([column.astype(str) for column in columns], axis=1).agg(",".join, axis=1)
    else:
        batches = np.zeros(adata.n_obs, dtype=np.int64)

    projection = Projection(adata_ref)
    matrix, absent = align_genes(adata, adata_ref, projection, missing)
    if absent:
        warnings.warn(
            f"{absent} of {int(projection.used.sum())} genes that the reference uses are missing and taken at its mean",
            UserWarning,
            stacklevel=2,
        )
    adata = start(adata, copy)
    coordinates = projection.project(matrix, threads=threads, progress=progress)
    coordinates = np.ascontiguousarray(coordinates[:, : np.shape(clusters["centroids"])[1]])
    width = float(params["sigma"]) if sigma is None else sigma
    corrected = arrays.harmony_map(
        coordinates,
        batches,
        clusters["centroids"],
        cluster_sizes=clusters["cluster_sizes"],
        cluster_sums=clusters["cluster_sums"],
        sigma=width,
        ridge_lambda=ridge_lambda,
        threads=threads,
        progress=progress,
    )
    if keys:
        known = get_matrix(adata_ref, obsm=str(params["adjusted_basis"]))
        nearest = arrays.knn_query(known, corrected, n_neighbors, threads=threads, progress=progress)
        write_labels(adata, adata_ref, keys, nearest.indices)
    adata.obsm[X_PCA] = coordinates
    adata.obsm[key_added] = corrected
    record(
        adata,
        "map_to_reference",
        obs=keys,
        batch_key=names,
        key_added=key_added,
        n_neighbors=n_neighbors,
        sigma=width,
        ridge_lambda=ridge_lambda,
        missing=missing,
        genes_missing=absent,
    )
    return adata if copy else None
