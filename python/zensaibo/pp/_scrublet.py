"""`pp.scrublet`: doublets, under scanpy's slots."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from .._anndata import get_matrix, get_obs, in_file, start
from .._labels import codes_of
from .._progress import Progress
from .._provenance import record
from ..arrays._neighbors import Metric
from ..errors import DataError

if TYPE_CHECKING:
    from anndata import AnnData

SCRUBLET = "scrublet"


def scrublet(
    adata: AnnData,
    *,
    batch_key: str | None = None,
    sim_doublet_ratio: float = 2.0,
    expected_doublet_rate: float = 0.05,
    stdev_doublet_rate: float = 0.02,
    synthetic_doublet_umi_subsampling: float = 1.0,
    knn_dist_metric: Metric = "euclidean",
    normalize_variance: bool = True,
    log_transform: bool = False,
    mean_center: bool = True,
    n_prin_comps: int = 30,
    use_approx_neighbors: bool | None = None,
    n_neighbors: int | None = None,
    threshold: float | None = None,
    copy: bool = False,
    random_state: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Scores and calls doublets of two different cells, as `scanpy.pp.scrublet`.

    Parameters
    ----------
    adata
        With raw counts in X. Filtering, normalisation and choice of variable genes happen inside.
    batch_key
        Column of obs: each of its batches (libraries) is run by itself, since doublets form within one.
    sim_doublet_ratio, expected_doublet_rate, stdev_doublet_rate, synthetic_doublet_umi_subsampling
        See `zensaibo.arrays.scrublet`.
    knn_dist_metric, normalize_variance, log_transform, mean_center, n_prin_comps, use_approx_neighbors, n_neighbors
        See `zensaibo.arrays.scrublet`.
    threshold
        Score above which a cell is a doublet, the same for every batch. Default: found in each batch.
    copy
        Return a changed copy instead of changing ``adata``.
    random_state
        Seed of the simulated doublets.
    threads, progress
        See `zensaibo.arrays.scrublet`. The result is the same for any number of threads.

    Returns
    -------
    None, or the copy. Writes, as scanpy does:

    ``obs["doublet_score"]``
        float64; NaN for cells that express fewer than 3 genes (scanpy drops them).
    ``obs["predicted_doublet"]``
        bool.
    ``uns["scrublet"]``
        ``doublet_scores_sim``, ``doublet_parents`` (rows of ``adata``), ``parameters``, and ``threshold`` where one was
        found; with ``batch_key`` these per batch under ``batches``, and ``batched_by``.

    Raises
    ------
    MissingKeyError
        No such column of obs.
    ParameterError, DataError
        As `zensaibo.arrays.scrublet`; with ``batch_key`` the message names the batch.

    Notes
    -----
    Doublets are drawn from other random numbers than scanpy's, so scores agree in their order and calls, not in every
    digit. Handing in simulated doublets (``adata_sim``) is not offered. Warns where no threshold is found: then no cell
    is called; and where the threshold found calls over a quarter of the cells, and over three times the share expected.
    Reference: Wolock, Lopez, Klein 2019.
    """
    adata = start(adata, copy)
    matrix = get_matrix(adata, stream=True)
    options: dict[str, Any] = {
        "sim_doublet_ratio": sim_doublet_ratio,
        "expected_doublet_rate": expected_doublet_rate,
        "stdev_doublet_rate": stdev_doublet_rate,
        "synthetic_doublet_umi_subsampling": synthetic_doublet_umi_subsampling,
        "knn_dist_metric": knn_dist_metric,
        "normalize_variance": normalize_variance,
        "log_transform": log_transform,
        "mean_center": mean_center,
        "n_prin_comps": n_prin_comps,
        "use_approx_neighbors": use_approx_neighbors,
        "n_neighbors": n_neighbors,
        "threshold": threshold,
    }
    run = {**options, "seed": random_state, "threads": threads, "progress": progress}
    if batch_key is None:
        found = arrays.scrublet(matrix, **run)
        scores, predicted = found.scores, found.predicted
        entry = _entry(found, np.arange(adata.n_obs), options, random_state)
        if found.threshold is None:
            _no_threshold("")
        elif threshold is None:
            _implausible(found, expected_doublet_rate, "")
    else:
        codes, batches = codes_of(get_obs(adata, batch_key), batch_key)
        matrix = matrix.tocsr() if hasattr(matrix, "tocsr") else matrix
        part = _some_rows(matrix)
        scores, predicted = np.full(adata.n_obs, np.nan), np.zeros(adata.n_obs, dtype=bool)
        entry = {"batches": {}, "batched_by": batch_key}
        for code, batch in enumerate(batches):
            rows = np.flatnonzero(codes == code)
            try:
                found = arrays.scrublet(part(rows), **run)
            except DataError as error:
                raise type(error)(f"batch {batch!r} of `{batch_key}`: {error}") from error
            scores[rows], predicted[rows] = found.scores, found.predicted
            entry["batches"][str(batch)] = _entry(found, rows, options, random_state)
            if found.threshold is None:
                _no_threshold(f" in batch {batch!r} of `{batch_key}`")
            elif threshold is None:
                _implausible(found, expected_doublet_rate, f" in batch {batch!r} of `{batch_key}`")
    adata.obs["doublet_score"] = scores
    adata.obs["predicted_doublet"] = predicted
    adata.uns[SCRUBLET] = entry
    record(adata, "scrublet", batch_key=batch_key, random_state=random_state, **options)
    return adata if copy else None


def _some_rows(matrix: Any) -> Any:
    """A function that gives rows (rising) of a matrix; of one in a file, a handle of them."""
    if not in_file(matrix):
        return lambda rows: matrix[rows]
    return lambda rows: matrix.select_rows(np.isin(np.arange(matrix.shape[0]), rows).tolist())


def _entry(found: arrays.Scrublet, rows: np.ndarray, options: dict[str, Any], random_state: int) -> dict[str, Any]:
    """What scanpy keeps in uns of one run."""
    entry: dict[str, Any] = {
        "doublet_scores_sim": found.simulated_scores,
        "doublet_parents": rows[found.parents],
        "parameters": {
            "expected_doublet_rate": options["expected_doublet_rate"],
            "sim_doublet_ratio": options["sim_doublet_ratio"],
            "n_neighbors": found.n_neighbors,
            "random_state": random_state,
        },
    }
    if found.threshold is not None:
        entry["threshold"] = found.threshold
    return entry


def _no_threshold(where: str) -> None:
    warnings.warn(
        f"no threshold found{where}: the scores of simulated doublets have not two modes, and no cell is called a "
        "doublet; look at their histogram and give `threshold`",
        UserWarning,
        stacklevel=3,
    )


def _implausible(found: arrays.Scrublet, expected: float, where: str) -> None:
    """Tells of a threshold between modes that do not part doublets from single cells."""
    scored = int(np.isfinite(found.scores).sum())
    called = int(np.sum(found.predicted))
    if called > max(0.25, 3 * expected) * scored:
        warnings.warn(
            f"the threshold found{where}, {found.threshold:.3g}, calls {called} of {scored} cells doublets, and "
            f"{expected:.3g} of them are expected: look at the histogram of the scores and give `threshold`",
            UserWarning,
            stacklevel=3,
        )
