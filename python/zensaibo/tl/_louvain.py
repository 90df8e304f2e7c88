"""`zs.tl.louvain`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from .._anndata import start
from .._keys import LOUVAIN
from .._progress import Progress
from .._provenance import record
from ..errors import ParameterError
from ._communities import choose_objective, choose_restriction, name_groups, within
from ._graph import check_seed, choose_graph

if TYPE_CHECKING:
    from anndata import AnnData


def louvain(
    adata: AnnData,
    resolution: float | None = None,
    *,
    random_state: int = 0,
    restrict_to: tuple[str, Sequence[str]] | None = None,
    key_added: str = LOUVAIN,
    adjacency: Any = None,
    flavor: str = "vtraag",
    directed: bool = True,
    use_weights: bool = False,
    partition_type: Any = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Louvain communities of the neighbour graph, as `scanpy.tl.louvain`. (`zs.tl.leiden` finds better ones.)

    Parameters
    ----------
    adata
        Annotated cells x genes, with a neighbour graph.
    resolution
        Coarseness, at least 0; larger values give more, smaller communities. ``None`` means 1.
    random_state
        Seed of the order of visits, a whole number of at least 0.
    restrict_to
        ``(key of obs, categories)``: only cells of these categories are clustered anew, on the graph among them.
    key_added
        Column of obs and entry of uns to write. With `restrict_to` the default becomes ``"louvain_R"``.
    adjacency
        (n_obs, n_obs) symmetric weights to use in place of the stored graph.
    flavor
        Whose calling convention to follow; the engine is zensaibo's own. ``"vtraag"`` takes `partition_type`;
        ``"igraph"`` takes neither that nor a resolution other than 1.
    directed
        A symmetric matrix has the same partitions either way; one that is not is refused, whatever this says.
    use_weights
        Whether edge weights count; if not, as by default, every edge counts 1.
    partition_type
        The class of the louvain package, or its name: ``RBConfigurationVertexPartition`` (default),
        ``ModularityVertexPartition`` (with resolution 1 only) or ``CPMVertexPartition``. Others are refused.
    neighbors_key
        Entry of uns that names the graph; by default ``uns["neighbors"]`` and ``obsp["connectivities"]``.
    obsp
        Key of obsp to use in place of the stored graph.
    copy
        Whether to return a changed copy.
    threads
        Threads; by default one per core. The result does not depend on it.
    progress
        ``None`` shows a bar on a terminal, ``True`` always, ``False`` never; or a callable ``(stage, done, total)``.

    Returns
    -------
    ``None``, or the changed copy. Writes ``obs[key_added]``, categories "0", "1", ... by decreasing size, and
    ``uns[key_added]`` with ``params`` (resolution, random_state) and ``modularity`` (at resolution 1, on the graph that
    was clustered, with weights as asked).

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        When there is no graph; for a parameter outside its range; for a graph that is not symmetric.

    Notes
    -----
    Same labels for any number of threads. Reference: Blondel et al. 2008, J. Stat. Mech. P10008.
    """
    if flavor not in ("vtraag", "igraph"):
        raise ParameterError(f"parameter `flavor`: expected 'vtraag' or 'igraph', found {flavor!r}")
    if not isinstance(directed, (bool, np.bool_)):
        raise ParameterError(f"parameter `directed`: expected True or False, found {directed!r}")
    if flavor == "igraph" and partition_type is not None:
        raise ParameterError("parameter `partition_type`: expected None with flavor='igraph'")
    if flavor == "igraph" and resolution not in (None, 1):
        raise ParameterError(f"parameter `resolution`: expected None or 1 with flavor='igraph', found {resolution!r}")
    objective = choose_objective("leidenalg", partition_type, None, None, resolution)
    seed = check_seed(random_state)
    adata = start(adata, copy)
    graph = choose_graph(adata, adjacency, neighbors_key, obsp)
    restriction = choose_restriction(adata, restrict_to)
    found = arrays.louvain(
        within(graph, restriction),
        resolution=1.0 if resolution is None else resolution,
        objective=objective,
        use_weights=use_weights,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    if restriction is not None and key_added == LOUVAIN:
        key_added += "_R"
    adata.obs[key_added] = name_groups(adata, found.membership, found.n_communities, restriction)
    params: dict[str, Any] = {"random_state": seed}
    if resolution is not None:  # HDF5 has no null: an absent resolution is left out.
        params["resolution"] = resolution
    adata.uns[key_added] = {"params": params, "modularity": found.modularity}
    record(
        adata,
        "louvain",
        resolution=resolution,
        random_state=seed,
        objective=objective,
        use_weights=bool(use_weights),
        key_added=key_added,
        restrict_to=None if restriction is None else restriction.recorded(),
        neighbors_key=neighbors_key,
        obsp=obsp,
        quality=found.quality,
    )
    return adata if copy else None
