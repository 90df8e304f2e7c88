"""``pp.wnn``: one graph from several modalities of the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .. import _anndata, _mudata, arrays
from .._progress import Progress
from .._provenance import record
from ..arrays._neighbors import distances_matrix
from ..errors import DataError, DuplicateNamesError, MissingKeyError, ParameterError


def wnn(
    data: Any,
    reps: Sequence[str] | Mapping[str, str],
    *,
    n_neighbors: int = 20,
    n_bandwidth_neighbors: int = 20,
    n_multineighbors: int = 200,
    random_state: int = 0,
    key_added: str = "wnn",
    weight_key: str = "mod_weight",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Any:
    """Weighted nearest neighbours: a joint graph of two or more modalities.

    Parameters
    ----------
    data
        AnnData with a representation of each modality in ``obsm``, or MuData whose modalities hold the same cells.
    reps
        AnnData: keys of ``obsm``. MuData: modality -> key of its ``obsm``.
    n_neighbors
        Neighbours per cell, the cell itself counted.
    n_bandwidth_neighbors
        Cells that the width of a kernel is averaged over.
    n_multineighbors
        Nearest cells of each modality that may become joint neighbours.
    random_state
        Seed of the approximate search, from 16,384 cells on.
    key_added
        Key of ``uns``, and first part of the two of ``obsp``.
    weight_key
        Second part of the columns of ``obs``.
    copy
        Return a changed copy and leave `data` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy. Writes

    ``obsp[key_added + "_distances"]``, ``obsp[key_added + "_connectivities"]``
        csr_matrix, float32, as :func:`neighbors` has them: for ``tl.leiden(neighbors_key=key_added)`` and ``tl.umap``.
    ``uns[key_added]``
        Their keys and the parameters.
    ``obs[modality + ":" + weight_key]`` (f8)
        The weight of each modality in each cell.

    Raises
    ------
    MissingKeyError
        A modality or representation that is not there.
    DataError
        Modalities that hold different cells.
    TooFewError, NonFiniteError, ParameterError
        As named.

    Notes
    -----
    See :func:`zensaibo.arrays.wnn`. Seurat scales the cells of each representation to unit length first.

    References
    ----------
    Hao et al., Cell 184 (2021).
    """
    names, points = _representations(data, reps)
    found = arrays.wnn(
        points,
        n_neighbors=n_neighbors,
        n_bandwidth_neighbors=n_bandwidth_neighbors,
        n_multineighbors=n_multineighbors,
        seed=random_state,
        threads=threads,
        progress=progress,
    )
    graph = arrays.connectivities(found.indices, found.distances, threads=threads, progress=progress)
    if copy:
        data = data.copy()
    elif not _mudata.is_mudata(data):
        data = _anndata.start(data, False)
    connectivities, distances = f"{key_added}_connectivities", f"{key_added}_distances"
    data.obsp[distances] = distances_matrix(found.indices, found.distances)
    data.obsp[connectivities] = graph
    params = {
        "n_neighbors": int(found.indices.shape[1]),
        "n_bandwidth_neighbors": n_bandwidth_neighbors,
        "n_multineighbors": n_multineighbors,
        "random_state": random_state,
        "method": "umap",
        "metric": "euclidean",
    }
    data.uns[key_added] = {"connectivities_key": connectivities, "distances_key": distances, "params": params}
    for name, weights in zip(names, found.weights.T, strict=True):
        data.obs[f"{name}:{weight_key}"] = np.ascontiguousarray(weights)
    stored = dict(reps) if isinstance(reps, Mapping) else list(reps)
    record(data, "wnn", reps=stored, key_added=key_added, weight_key=weight_key, **params)
    return data if copy else None


def _representations(data: Any, reps: Any) -> tuple[list[str], list[np.ndarray]]:
    """Names of the modalities, and their coordinates."""
    if isinstance(reps, str) or len(reps) < 2:
        raise ParameterError(f"parameter `reps`: expected at least two representations, found {reps!r}")
    if not _mudata.is_mudata(data):
        _anndata.check_adata(data, "data")
        if isinstance(reps, Mapping):
            raise ParameterError("parameter `reps`: expected keys of obsm with AnnData, found a dict")
        if len(set(reps)) < len(reps):
            raise DuplicateNamesError(f"`reps`: expected each representation once, found {list(reps)}")
        return list(reps), [_anndata.get_matrix(data, obsm=key) for key in reps]
    if not isinstance(reps, Mapping):
        raise ParameterError(
            f"parameter `reps`: expected a dict of modality -> key of obsm with MuData, found {reps!r}"
        )
    points, first = [], None
    for modality, key in reps.items():
        if modality not in data.mod:
            raise MissingKeyError(f"key `{modality}` not found in mdata.mod; present: {', '.join(data.mod)}")
        adata = data.mod[modality]
        first = adata.obs_names if first is None else first
        if not (adata.obs_names.equals(first) and adata.obs_names.equals(data.obs_names)):
            raise DataError(
                f"modality {modality!r}: expected the cells of the MuData in its order ({data.n_obs}), found "
                f"{adata.n_obs}; keep the common ones first (mudata.pp.intersect_obs or muon.pp.intersect_obs)"
            )
        points.append(_anndata.get_matrix(adata, obsm=key))
    return list(reps), points
