"""`zs.tl.embedding_density`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import arrays
from .._anndata import check_adata, get_obsm
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, ParameterError, TooFewError
from ._graph import grouping

if TYPE_CHECKING:
    from anndata import AnnData


def embedding_density(
    adata: AnnData,
    basis: str = "umap",
    *,
    groupby: str | None = None,
    key_added: str | None = None,
    components: str | Sequence[str] | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Density of cells in an embedding, of all or of each group by itself, as `scanpy.tl.embedding_density`.

    Parameters
    ----------
    adata
        With the embedding ``obsm["X_" + basis]``.
    basis
        Name of the embedding; ``"fa"`` means ``"draw_graph_fa"``.
    groupby
        Column of obs with categories: each group's density is estimated, and scaled, by itself.
    key_added
        Column of obs to write; default ``basis + "_density"``, with ``"_" + groupby`` if given.
    components
        Two components, counted from 1, as ``"1,2"`` or ``["1", "2"]``; of ``diffmap`` the steady state is not counted.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    None. Written: ``obs[key_added]``, float64, 0 at the least dense cell of a group and 1 at the densest;
    ``uns[key_added + "_params"]`` with ``covariate`` (where grouped) and ``components``.

    Raises
    ------
    MissingKeyError, ParameterError, TooFewError, DataError
        No such embedding or column; not two components; a group of fewer than 3 cells, or with all cells on one line.

    Notes
    -----
    Gaussian kernels with Scott's bandwidth. O(n^2) in the cells of a group, about 5 ns of one core per pair.
    """
    check_adata(adata)
    basis = "draw_graph_fa" if basis.lower() == "fa" else basis.lower()
    points = np.asarray(get_obsm(adata, f"X_{basis}"))
    axes = _components(components)
    chosen = [axis + (basis == "diffmap") for axis in axes]
    if max(chosen) >= points.shape[1]:
        raise ParameterError(
            f"parameter `components`: expected up to {points.shape[1] - (basis == 'diffmap')}, found {max(axes) + 1}"
        )
    points = np.ascontiguousarray(points[:, chosen], dtype=np.float64)
    key = key_added or (f"{basis}_density" if groupby is None else f"{basis}_density_{groupby}")
    density = np.zeros(adata.n_obs)
    if groupby is None:
        density = _scaled(points, "all cells", threads, progress)
    else:
        groups = grouping(adata, groupby)
        for code, name in enumerate(groups.categories):
            mask = groups.codes == code
            if mask.any():
                density[mask] = _scaled(points[mask], f"group {name!r} of obs[{groupby!r}]", threads, progress)
    adata.obs[key] = density
    params = {"components": [int(axis) + 1 for axis in axes]}
    # HDF5 has no null: without groups there is no covariate.
    adata.uns[f"{key}_params"] = params if groupby is None else {"covariate": groupby, **params}
    record(adata, "embedding_density", basis=basis, groupby=groupby, key_added=key, components=params["components"])


def _components(components: str | Sequence[str] | None) -> list[int]:
    """Two components, counted from 0."""
    given = "1,2" if components is None else components
    parts = given.split(",") if isinstance(given, str) else list(given)
    try:
        axes = [int(part) - 1 for part in parts]
    except (TypeError, ValueError):
        axes = []
    if len(axes) != 2 or min(axes) < 0:
        raise ParameterError(f"parameter `components`: expected two whole numbers from 1, such as '1,2', found {components!r}")
    return axes


def _scaled(points: np.ndarray, what: str, threads: int | None, progress: bool | Progress | None) -> np.ndarray:
    """Density of some cells from 0 to 1."""
    if len(points) < 3:
        raise TooFewError(f"{what}: expected at least 3 cells to estimate a density, found {len(points)}")
    try:
        density = arrays.gaussian_density(points, threads=threads, progress=progress)
    except DataError as error:
        raise type(error)(f"{what}: {error}") from None
    low, high = density.min(), density.max()
    return (density - low) / (high - low) if high > low else np.ones(len(points))
