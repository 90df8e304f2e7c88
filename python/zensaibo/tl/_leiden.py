"""`zs.tl.leiden`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import get_obs, get_obsp, get_uns, start
from .._keys import CONNECTIVITIES, LEIDEN, NEIGHBORS
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData

#: leidenalg's partition types that have the same objective here, by name.
_PARTITION_TYPES = {
    "RBConfigurationVertexPartition": "modularity",
    "ModularityVertexPartition": "modularity",
    "CPMVertexPartition": "cpm",
}
_OBJECTIVES = {"modularity": "modularity", "cpm": "cpm"}


def _objective(flavor: str, partition_type: Any, objective_function: str | None, directed: bool | None) -> str:
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
    return _PARTITION_TYPES[name]


def _choose_graph(adata: AnnData, adjacency: Any, neighbors_key: str | None, obsp: str | None) -> Any:
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


def _restricted(adata: AnnData, restrict_to: Any) -> tuple[str, list[str], np.ndarray]:
    """Key, categories, and which cells belong to them."""
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
    return key, list(categories), labels.isin(categories).to_numpy()


def leiden(
    adata: AnnData,
    resolution: float | None = 1,
    *,
    restrict_to: tuple[str, Sequence[str]] | None = None,
    random_state: int = 0,
    key_added: str = LEIDEN,
    adjacency: Any = None,
    directed: bool | None = None,
    use_weights: bool = True,
    n_iterations: int = -1,
    partition_type: Any = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    copy: bool = False,
    flavor: str = "zensaibo",
    objective_function: str | None = None,
    initial_membership: Any = None,
    theta: float = 0.3,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Leiden communities of the neighbour graph.

    Parameters
    ----------
    adata
        Annotated cells x genes, with a neighbour graph.
    resolution
        Coarseness, at least 0; larger values give more, smaller communities. ``None`` means 1.
    restrict_to
        ``(key of obs, categories)``: only cells of these categories are clustered anew, on the graph among them. Their
        new labels are ``"a-b,0"``, ``"a-b,1"``, ... for categories a, b; all others keep theirs.
    random_state
        Seed of every random choice, a whole number of at least 0.
    key_added
        Column of obs and entry of uns to write. With `restrict_to` the default becomes ``"leiden_R"``.
    adjacency
        (n_obs, n_obs) symmetric weights to use in place of the stored graph.
    directed
        The method is for undirected graphs. A symmetric matrix has the same partitions either way, so ``None``, ``False``
        and ``True`` are equal for it (``True`` is refused with ``flavor="igraph"``, as there). A matrix that is not
        symmetric is refused, whatever this says.
    use_weights
        Whether edge weights count.
    n_iterations
        Iterations; -1 until nothing changes any more, which also tries new starts on a coarse copy of the graph.
    partition_type
        leidenalg's class, or its name: ``RBConfigurationVertexPartition`` (default), ``ModularityVertexPartition`` (with
        resolution 1 only) or ``CPMVertexPartition``. Others are refused.
    neighbors_key
        Entry of uns that names the graph; by default ``uns["neighbors"]`` and ``obsp["connectivities"]``.
    obsp
        Key of obsp to use in place of the stored graph.
    copy
        Whether to return a changed copy.
    flavor
        Whose calling convention to follow; the engine is zensaibo's own always, and so are its labels.
        ``"leidenalg"`` takes `partition_type` and no `objective_function`; ``"igraph"`` takes `objective_function`, no
        `partition_type`, and no ``directed=True``; ``"zensaibo"`` takes either.
    objective_function
        ``"modularity"`` (default) or ``"CPM"``.
    initial_membership
        (cells clustered,) labels of any kind to start from.
    theta
        Randomness of the refinement, in units of the mean edge weight.
    threads
        Threads; by default one per core. The result does not depend on it.
    progress
        ``None`` shows a bar on a terminal, ``True`` always, ``False`` never; or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the changed copy. Writes

    - ``obs[key_added]``: categorical of strings "0", "1", ..., by decreasing size of the communities;
    - ``uns[key_added]``: ``params`` (resolution, random_state, n_iterations) and ``modularity`` (at resolution 1, on the
      graph that was clustered).

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        When there is no graph; for a parameter outside its range; for a graph that is not symmetric.

    Notes
    -----
    Every community is connected. Same labels for any number of threads.

    References
    ----------
    Traag, Waltman, van Eck (2019), From Louvain to Leiden, Scientific Reports 9, 5233.
    """
    objective = _objective(flavor, partition_type, objective_function, directed)
    name = getattr(partition_type, "__name__", partition_type)
    if name == "ModularityVertexPartition" and resolution not in (None, 1):
        raise ParameterError(
            f"parameter `resolution`: expected 1 or None with ModularityVertexPartition, which has none, found {resolution}"
        )
    if not isinstance(random_state, (int, np.integer)) or isinstance(random_state, bool) or random_state < 0:
        raise ParameterError(f"parameter `random_state`: expected a whole number of at least 0, found {random_state!r}")
    adata = start(adata, copy)
    graph = _choose_graph(adata, adjacency, neighbors_key, obsp)
    restricted = None
    if restrict_to is not None:
        restricted = _restricted(adata, restrict_to)
        chosen = np.flatnonzero(restricted[2])
        graph = graph.tocsr() if hasattr(graph, "tocsr") else np.asarray(graph)
        graph = graph[chosen][:, chosen]
    found = arrays.leiden(
        graph,
        resolution=1.0 if resolution is None else resolution,
        objective=objective,
        n_iterations=n_iterations,
        theta=theta,
        use_weights=use_weights,
        seed=random_state,
        initial_membership=initial_membership,
        threads=threads,
        progress=progress,
    )
    groups = found.membership.astype(str).astype(object)
    categories = [str(i) for i in range(found.n_communities)]
    if restricted is not None:
        from natsort import natsorted

        key, chosen_categories, chosen = restricted
        if key_added == LEIDEN:
            key_added += "_R"
        everyone = get_obs(adata, key).astype(str).to_numpy().astype(object)
        everyone[chosen] = [f"{'-'.join(chosen_categories)},{group}" for group in groups]
        missing = get_obs(adata, key).isna().to_numpy() & ~chosen
        everyone[missing] = None
        groups, categories = everyone, natsorted(set(everyone[~missing]))
    adata.obs[key_added] = pd.Categorical(groups, categories=categories)
    params = {"resolution": resolution, "random_state": int(random_state), "n_iterations": n_iterations}
    # HDF5 has no null: an absent resolution is left out.
    adata.uns[key_added] = {
        "params": {key: value for key, value in params.items() if value is not None},
        "modularity": found.modularity,
    }
    record(
        adata,
        "leiden",
        **params,
        objective=objective,
        theta=theta,
        use_weights=use_weights,
        key_added=key_added,
        restrict_to=None if restricted is None else [restricted[0], *restricted[1]],
        neighbors_key=neighbors_key,
        obsp=obsp,
        quality=found.quality,
        converged=found.converged,
    )
    return adata if copy else None
