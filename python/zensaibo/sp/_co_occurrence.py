"""Labels by distance, in uns."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import arrays
from .._anndata import get_obs
from .._anndata import start as start_adata
from .._provenance import record
from ._neighbors import _columns
from ._nhood import _texts

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def co_occurrence(
    adata: AnnData,
    cluster_key: str,
    *,
    spatial_key: str = "spatial",
    interval: int | Sequence[float] = 50,
    library_key: str | None = None,
    annular: bool = False,
    n_observations: int | None = None,
    seed: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """How much more often a label is found near another than near any cell, by distance.

    Parameters
    ----------
    adata
        Annotated data.
    cluster_key
        Column of ``obs`` with a label for every cell.
    spatial_key
        Key of ``obsm`` with 2 or 3 finite coordinates per cell.
    interval
        Distances, at least two, or how many; see `zensaibo.arrays.co_occurrence`.
    library_key
        Column of ``obs``: only pairs within a library count.
    annular
        ``False``: all pairs up to each distance. ``True``: those between a distance and the one before.
    n_observations
        Look from at most this many cells of each library, a random choice, at all cells. ``None``: all pairs of cells count.
    seed
        Seed of the choice.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes ``uns[cluster_key + "_co_occurrence"]``:

    ``occ``
        (k, k, L - 1) float64: entry (i, c, r) is the share of label i near label c over its share near any cell, up to
        ``interval[r + 1]``; NaN where no cell is near (squidpy: 0).
    ``interval``
        (L,) float64: the distances.
    ``categories``
        The labels in use, in order.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        Fewer than two distances, distances below 0 or equal, or too few cells to choose them.
    DataError
        NaN or infinity, other than 2 or 3 columns, cells without a label or library.

    Notes
    -----
    Exact, in double precision; random is only which cells are looked from. At most cells^2 / 2 distances (`n_observations` x
    cells); memory about 100 bytes per cell, and 8 k^2 L bytes for some four counts per thread.
    """
    coordinates, libraries = _columns(adata, spatial_key, library_key)
    found = arrays.co_occurrence(
        coordinates, get_obs(adata, cluster_key), interval=interval, libraries=libraries, annular=annular,
        n_observations=n_observations, seed=seed, threads=threads, progress=progress,
    )  # fmt: skip
    adata = start_adata(adata, copy)
    adata.uns[f"{cluster_key}_co_occurrence"] = {
        "occ": found.occ,
        "interval": found.interval,
        "categories": _texts(found.categories),
    }
    record(
        adata, "co_occurrence", cluster_key=cluster_key, spatial_key=spatial_key,
        interval=int(interval) if isinstance(interval, (int, np.integer)) else found.interval.tolist(),
        library_key=library_key, annular=annular, n_observations=n_observations, seed=seed,
    )  # fmt: skip
    return adata if copy else None
