"""Patterns of cells against complete randomness, in uns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import get_obs, start
from .._labels import codes_of
from .._provenance import record
from ..arrays._spatial_neighbors import libraries_of, places_of
from ..arrays._spatial_patterns import hull_of, reach_of
from ..errors import ParameterError
from ._neighbors import _columns

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def ripley(
    adata: AnnData,
    cluster_key: str,
    *,
    mode: str = "F",
    spatial_key: str = "spatial",
    n_simulations: int = 100,
    n_observations: int = 1000,
    max_dist: float | None = None,
    n_steps: int = 50,
    edge_correction: str = "border",
    library_key: str | None = None,
    seed: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Ripley's F, G or L of the cells of each label, against as many cells at random in the convex hull of all cells.

    Parameters
    ----------
    adata
        Annotated data.
    cluster_key
        Column of ``obs`` with a label for every cell.
    mode
        ``"F"``, ``"G"`` or ``"L"``; see `zensaibo.arrays.ripley`.
    spatial_key
        Key of ``obsm`` with 2 or 3 finite coordinates per cell.
    n_simulations
        Random patterns, at least 1.
    n_observations
        At most this many cells of a label are used, a random choice where there are more; as many are drawn in simulations.
    max_dist
        Largest distance, in the unit of the coordinates. ``None``: half the way of the innermost cell to the border (of the smallest
        library); without correction the root (in space: cube root) of half the area (volume).
    n_steps
        Distances, evenly from 0, at least 2.
    edge_correction
        ``"border"``: for each distance only cells at least that far from the border are looked from. ``"none"``: all.
    library_key
        Column of ``obs``: each library by itself, in its own hull, over the same distances.
    seed
        Seed of simulations and choices.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[cluster_key + "_ripley_" + mode]``:

    ``<mode>_stat``
        DataFrame: ``bins`` (distances), the label under `cluster_key`, ``stats``; NaN for labels of too few cells.
    ``sims_stat``
        DataFrame: ``bins``, ``simulations`` (number), ``n_cells`` (drawn in each), ``stats``.
    ``bins``
        (L,) float64.
    ``pvalues``
        (k, L) float64: two-sided p value at each distance. ``pvalue``: (k,) of the whole curve.
    ``n_cells``
        (k,): cells used of each label.
    ``categories``
        The labels in use, in order.

    With `library_key` the DataFrames have a column of that name, arrays a first axis of libraries, and ``libraries`` has their names.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range.
    DataError
        NaN or infinity, other than 2 or 3 columns, cells without a label or library, cells all on a line (plane).

    Notes
    -----
    Time and memory as `zensaibo.arrays.ripley`, for each library.

    References
    ----------
    Ripley, Journal of Applied Probability 13 (1976); Baddeley, Rubak, Turner, Spatial Point Patterns (2015).
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    places = places_of(coordinates)
    labels = pd.Categorical(get_obs(adata, cluster_key))
    _, categories = codes_of(labels, cluster_key)
    labels = labels.set_categories(categories)
    sections, names = libraries_of(libraries, len(places))
    members = [np.flatnonzero(sections == library) for library in range(len(names))]
    if edge_correction not in ("border", "none"):
        raise ParameterError(f"parameter `edge_correction`: expected 'border' or 'none', found {edge_correction!r}")
    reach = max_dist
    if reach is None:
        reach = min(reach_of(places[cells], *hull_of(places[cells]), edge_correction) for cells in members)
    found = [
        arrays.ripley(
            places[cells], labels[cells], mode=mode, n_simulations=n_simulations, n_observations=n_observations, max_dist=reach,
            n_steps=n_steps, edge_correction=edge_correction, seed=seed, threads=threads, progress=progress,
        )
        for cells in members
    ]  # fmt: skip
    adata = start(adata, copy)
    adata.uns[f"{cluster_key}_ripley_{mode}"] = _stored(found, categories, cluster_key, mode, library_key, names)
    record(
        adata, "ripley", cluster_key=cluster_key, mode=mode, spatial_key=spatial_key, n_simulations=n_simulations,
        n_observations=n_observations, max_dist=max_dist, n_steps=n_steps, edge_correction=edge_correction, library_key=library_key,
        seed=seed,
    )  # fmt: skip
    return adata if copy else None


def _stored(
    found: list[Any], categories: pd.Index, cluster_key: str, mode: str, library_key: str | None, names: list[str]
) -> dict[str, Any]:
    """Tables and arrays as they stand in uns; labels that a library lacks have NaN."""
    bins, k = found[0].bins, len(categories)
    shape = (len(found), k, len(bins))
    stats, pvalues = np.full(shape, np.nan), np.full(shape, np.nan)
    pvalue, n_cells = np.full(shape[:2], np.nan), np.zeros(shape[:2], np.int64)
    sims = []
    for at, one in enumerate(found):
        rows = categories.get_indexer(one.categories)
        stats[at, rows], pvalues[at, rows], pvalue[at, rows], n_cells[at, rows] = one.stat, one.pvalues, one.pvalue, one.n_cells
        sizes, first = np.unique(one.n_cells, return_index=True)
        curves = one.simulations[first]
        table = pd.DataFrame(
            {
                "bins": np.tile(bins, curves.shape[0] * curves.shape[1]),
                "simulations": np.tile(np.repeat(np.arange(curves.shape[1]), len(bins)), len(sizes)),
                "n_cells": np.repeat(sizes, curves.shape[1] * len(bins)),
                "stats": curves.ravel(),
            }
        )
        sims.append(table if library_key is None else table.assign(**{library_key: names[at]}))
    texts = categories.astype(str).to_numpy(dtype=object)
    stat = pd.DataFrame(
        {
            "bins": np.tile(bins, len(found) * k),
            cluster_key: pd.Categorical(np.tile(np.repeat(texts, len(bins)), len(found)), categories=list(texts)),
            "stats": stats.ravel(),
        }
    )
    simulated = pd.concat(sims, ignore_index=True)
    stored: dict[str, Any] = {"categories": texts, "bins": bins}
    if library_key is None:
        stored |= {"pvalues": pvalues[0], "pvalue": pvalue[0], "n_cells": n_cells[0]}
    else:
        stat[library_key] = pd.Categorical(np.repeat(names, k * len(bins)), categories=names)
        simulated[library_key] = pd.Categorical(simulated[library_key], categories=names)
        stored |= {"pvalues": pvalues, "pvalue": pvalue, "n_cells": n_cells, "libraries": np.array(names, dtype=object)}
    # Files want text as names of rows.
    stat.index, simulated.index = stat.index.astype(str), simulated.index.astype(str)
    return stored | {f"{mode}_stat": stat, "sims_stat": simulated}
