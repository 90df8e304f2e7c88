"""What Leiden and Louvain share on an AnnData: the objective asked for, and clustering within some groups."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .._anndata import get_obs
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

#: leidenalg's partition types that have the same objective here, by name.
_PARTITION_TYPES = {
    "RBConfigurationVertexPartition": "modularity",
    "ModularityVertexPartition": "modularity",
    "CPMVertexPartition": "cpm",
}
_OBJECTIVES = {"modularity": "modularity", "cpm": "cpm"}


def choose_objective(
    flavor: str,
    partition_type: Any,
    objective_function: str | None,
    directed: bool | None,
    resolution: float | None,
) -> str:
    """The objective asked for, by whichever convention; contradictions are refused."""
    if flavor not in ("zensaibo", "leidenalg", "igraph"):
        raise ParameterError(f"parameter `flavor`: expected zensaibo, leidenalg or igraph, found {flavor!r}")
    if flavor == "igraph" and partition_type is not None:
        raise ParameterError("parameter `partition_type`: expected None with flavor='igraph'; use `objective_function`")
    if flavor == "igraph" and directed:
        raise ParameterError("parameter `directed`: expected None or False with flavor='igraph', found True")
    if flavor == "leidenalg" and objective_function is not None:
        raise ParameterError("parameter `objective_function`: expected None with flavor='leidenalg'; use `partition_type`")
    if partition_type is not None and objective_function is not None:
        raise ParameterError("parameters `partition_type`, `objective_function`: expected at most one, found both")
    if objective_function is not None:
        if str(objective_function).lower() not in _OBJECTIVES:
            raise ParameterError(
                f"parameter `objective_function`: expected 'modularity' or 'CPM', found {objective_function!r}"
            )
        return _OBJECTIVES[str(objective_function).lower()]
    if partition_type is None:
        return "modularity"
    name = partition_type if isinstance(partition_type, str) else getattr(partition_type, "__name__", str(partition_type))
    if name not in _PARTITION_TYPES:
        raise ParameterError(
            f"parameter `partition_type`: expected one of {', '.join(_PARTITION_TYPES)} (the class or its name), found {name}"
        )
    if name == "ModularityVertexPartition" and resolution not in (None, 1):
        raise ParameterError(
            f"parameter `resolution`: expected 1 or None with ModularityVertexPartition, which has none, found {resolution}"
        )
    return _PARTITION_TYPES[name]


class Restriction(NamedTuple):
    """Groups within which to cluster anew."""

    #: Column of obs.
    key: str
    #: Its categories to cluster.
    categories: list[str]
    #: Which cells belong to them, boolean.
    chosen: np.ndarray

    def recorded(self) -> list[str]:
        """Key and categories, as the provenance has them."""
        return [self.key, *self.categories]


def choose_restriction(adata: AnnData, restrict_to: Any) -> Restriction | None:
    """The groups that ``restrict_to=(key, categories)`` names."""
    if restrict_to is None:
        return None
    try:
        key, categories = restrict_to
    except (TypeError, ValueError):
        raise ParameterError(
            f"parameter `restrict_to`: expected (key of obs, list of categories), found {restrict_to!r}"
        ) from None
    if isinstance(categories, str) or not all(isinstance(category, str) for category in categories) or not len(categories):
        raise ParameterError(
            f"parameter `restrict_to`: expected a list of categories as strings, such as ['0', '1'], found {categories!r}"
        )
    labels = get_obs(adata, key).astype(str)
    unknown = [category for category in categories if category not in set(labels)]
    if unknown:
        present = ", ".join(map(str, labels.unique()[:20]))
        raise MissingKeyError(f"key `{unknown[0]}` not found in adata.obs[{key!r}]; present: {present}")
    return Restriction(key, list(categories), labels.isin(categories).to_numpy())


def within(graph: Any, restriction: Restriction | None) -> Any:
    """The graph among the cells to cluster."""
    if restriction is None:
        return graph
    chosen = np.flatnonzero(restriction.chosen)
    graph = graph.tocsr() if hasattr(graph, "tocsr") else np.asarray(graph)
    return graph[chosen][:, chosen]


def name_groups(
    adata: AnnData, membership: np.ndarray, n_communities: int, restriction: Restriction | None
) -> pd.Categorical:
    """Communities as categories "0", "1", ...; under a restriction "A-B,0", ..., and the other cells' groups as they were."""
    groups = membership.astype(str).astype(object)
    if restriction is None:
        return pd.Categorical(groups, categories=[str(community) for community in range(n_communities)])
    from natsort import natsorted

    before = get_obs(adata, restriction.key)
    everyone = before.astype(str).to_numpy().astype(object)
    everyone[restriction.chosen] = [f"{'-'.join(restriction.categories)},{group}" for group in groups]
    missing = before.isna().to_numpy() & ~restriction.chosen
    everyone[missing] = None
    return pd.Categorical(everyone, categories=natsorted(set(everyone[~missing])))
