"""`pp.hashsolo`: hashtag demultiplexing under scanpy's slots."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import get_obs, start
from .._labels import codes_of
from .._provenance import record
from ..errors import DataError, NotCountsError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def hashsolo(
    adata: AnnData,
    cell_hashing_columns: Sequence[str],
    *,
    priors: tuple[float, float, float] = (0.01, 0.8, 0.19),
    pre_existing_clusters: str | None = None,
    number_of_noise_barcodes: int | None = None,
    inplace: bool = True,
) -> AnnData | None:
    """Demultiplexes hashtagged cells, as `scanpy.external.pp.hashsolo`: one sample, two (a doublet) or none.

    Parameters
    ----------
    adata
        With the counts of each hashtag in a column of obs.
    cell_hashing_columns
        Those columns, one per sample.
    priors
        Prior probabilities of negative, singlet and doublet.
    pre_existing_clusters
        Column of obs with clusters or types: each is demultiplexed by itself. Not batches.
    number_of_noise_barcodes
        Number of each cell's lowest hashtags that count as noise; default: two less than there are.
    inplace
        False returns a changed copy of ``adata``.

    Returns
    -------
    None, or the copy. Writes to obs, as scanpy does:

    ``most_likely_hypothesis``
        float64: 0 negative, 1 singlet, 2 doublet.
    ``cluster_feature``
        The cluster demultiplexed with; 0 without clusters.
    ``negative_hypothesis_probability``, ``singlet_hypothesis_probability``, ``doublet_hypothesis_probability``
        float64.
    ``Classification``
        Name of the hashtag, ``"Negative"`` or ``"Doublet"``.

    Raises
    ------
    MissingKeyError
        No such column of obs.
    NotCountsError, DataError, ParameterError
        Fractional or negative counts; too few hashtags; one named twice; as `zensaibo.arrays.hashsolo`. With clusters the
        message names the cluster.

    References
    ----------
    Bernstein, Fong, Lam et al., Cell Systems 11, 95 (2020).
    """
    columns = [cell_hashing_columns] if isinstance(cell_hashing_columns, str) else list(cell_hashing_columns)
    if len(set(columns)) != len(columns):
        raise ParameterError(f"parameter `cell_hashing_columns`: expected different columns, found {columns!r}")
    adata = start(adata, not inplace)
    if not columns:
        raise ParameterError("parameter `cell_hashing_columns`: expected columns of obs, found none")
    counts = np.column_stack([_counts(adata, column) for column in columns])
    options: dict[str, Any] = {"priors": tuple(priors), "number_of_noise_barcodes": number_of_noise_barcodes}
    hypothesis, probabilities = np.zeros(adata.n_obs), np.zeros((adata.n_obs, 3))
    barcode = np.zeros(adata.n_obs, dtype=np.int64)
    if pre_existing_clusters is None:
        feature = np.zeros(adata.n_obs, dtype=np.int64)
        hypothesis[:], probabilities[:], barcode[:] = arrays.hashsolo(counts, **options)
    else:
        labels = get_obs(adata, pre_existing_clusters)
        codes, clusters = codes_of(labels, pre_existing_clusters)
        feature = labels.to_numpy()
        for code, cluster in enumerate(clusters):
            rows = np.flatnonzero(codes == code)
            try:
                hypothesis[rows], probabilities[rows], barcode[rows] = arrays.hashsolo(counts[rows], **options)
            except DataError as error:
                raise type(error)(f"cluster {cluster!r} of `{pre_existing_clusters}`: {error}") from error
    names = np.array(columns, dtype=object)[barcode]
    names[hypothesis == 0], names[hypothesis == 2] = "Negative", "Doublet"
    adata.obs["most_likely_hypothesis"] = hypothesis
    adata.obs["cluster_feature"] = feature
    for place, name in enumerate(("negative", "singlet", "doublet")):
        adata.obs[f"{name}_hypothesis_probability"] = probabilities[:, place]
    adata.obs["Classification"] = pd.Series(names, index=adata.obs_names, dtype=object)
    record(
        adata,
        "hashsolo",
        cell_hashing_columns=columns,
        pre_existing_clusters=pre_existing_clusters,
        priors=[float(prior) for prior in priors],
        number_of_noise_barcodes=number_of_noise_barcodes,
    )
    return None if inplace else adata


def _counts(adata: AnnData, column: str) -> np.ndarray:
    values = get_obs(adata, column)
    try:
        values = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise DataError(f"`adata.obs[{column!r}]`: expected counts, found dtype {values.dtype}") from None
    wrong = np.flatnonzero(values != np.round(values))
    if wrong.size:
        raise NotCountsError(
            f"`adata.obs[{column!r}]`: expected whole numbers, found {values[wrong[0]]} in row {wrong[0]}"
        )
    return values
