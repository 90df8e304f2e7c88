"""What the tools on graphs share: which graph, which groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from .._anndata import get_obs, get_obsp, get_uns
from .._keys import CONNECTIVITIES, DISTANCES, NEIGHBORS
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData


def neighbors_entry(adata: AnnData, neighbors_key: str | None) -> Any:
    """``uns[neighbors_key or "neighbors"]``, or a `MissingKeyError` that says what to run."""
    key = NEIGHBORS if neighbors_key is None else neighbors_key
    if key not in adata.uns:
        present = ", ".join(map(str, adata.uns.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.uns; present: {present}; run `zs.pp.neighbors` first")
    return get_uns(adata, key)


def stored_connectivities(adata: AnnData, neighbors_key: str | None) -> Any:
    """The connectivities that the entry names."""
    return get_obsp(adata, neighbors_entry(adata, neighbors_key).get("connectivities_key", CONNECTIVITIES))


def choose_graph(adata: AnnData, adjacency: Any, neighbors_key: str | None, obsp: str | None) -> Any:
    """The graph that one of the three names, or the stored one."""
    given = [name for name, value in (("adjacency", adjacency), ("neighbors_key", neighbors_key), ("obsp", obsp)) if value is not None]
    if len(given) > 1:
        raise ParameterError(f"parameters `{'`, `'.join(given)}`: expected at most one of them, found {len(given)}")
    if adjacency is not None:
        if tuple(adjacency.shape) != (adata.n_obs, adata.n_obs):
            raise ShapeError(f"`adjacency`: expected shape {(adata.n_obs, adata.n_obs)}, found {tuple(adjacency.shape)}")
        return adjacency
    if obsp is not None:
        return get_obsp(adata, obsp)
    if neighbors_key is None:
        if NEIGHBORS not in adata.uns:
            raise MissingKeyError(
                f"key `{NEIGHBORS}` not found in adata.uns: run `zs.pp.neighbors` first, or pass `adjacency` or `obsp`"
            )
        return get_obsp(adata, adata.uns[NEIGHBORS].get("connectivities_key", CONNECTIVITIES))
    return get_obsp(adata, get_uns(adata, neighbors_key).get("connectivities_key", CONNECTIVITIES))


def stored_distances(adata: AnnData, neighbors_key: str | None) -> Any:
    """The distances to the nearest neighbours that the entry names."""
    return get_obsp(adata, neighbors_entry(adata, neighbors_key).get("distances_key", DISTANCES))


def stored_n_neighbors(adata: AnnData, neighbors_key: str | None) -> int:
    """The number of neighbours that the entry records."""
    params = neighbors_entry(adata, neighbors_key).get("params", {})
    if "n_neighbors" not in params:
        raise MissingKeyError("key `n_neighbors` not found in the parameters of the neighbour graph")
    return int(params["n_neighbors"])


def grouping(adata: AnnData, key: str) -> pd.Categorical:
    """A column of obs as categories in use order, none missing."""
    column = get_obs(adata, key)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        if column.dtype.kind not in "OSUb" and not isinstance(column.dtype, pd.StringDtype):
            raise DataError(f"`adata.obs[{key!r}]`: expected categories or strings, found dtype {column.dtype}")
        column = column.astype("category")
    groups = pd.Categorical(column)
    missing = int((groups.codes < 0).sum())
    if missing:
        raise DataError(f"`adata.obs[{key!r}]`: expected a group for every cell, found {missing} cells without one")
    return groups


def check_seed(random_state: Any) -> int:
    """A seed, or a `ParameterError`."""
    import numpy as np

    whole = isinstance(random_state, (int, np.integer)) and not isinstance(random_state, (bool, np.bool_))
    if not whole or random_state < 0:
        raise ParameterError(f"parameter `random_state`: expected a whole number of at least 0, found {random_state!r}")
    return int(random_state)
