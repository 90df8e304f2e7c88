"""`zs.tl.leiden`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import arrays
from .._anndata import start
from .._keys import LEIDEN
from .._progress import Progress
from .._provenance import record
from ._communities import choose_objective, choose_restriction, name_groups, within
from ._graph import check_seed, choose_graph

if TYPE_CHECKING:
    from anndata import AnnData


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
    tolerance: float = 1e-4,
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
        Iterations; -1 until one gains too little (`tolerance`), which also tries new starts on a coarse copy of the graph.
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
    tolerance
        With ``n_iterations=-1``, an iteration that raises the objective by no more than this share of it is the last; at
        least 0, below 1. 0 goes on until no label changes, which takes large graphs several times as long.
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
    objective = choose_objective(flavor, partition_type, objective_function, directed, resolution)
    seed = check_seed(random_state)
    adata = start(adata, copy)
    graph = choose_graph(adata, adjacency, neighbors_key, obsp)
    restriction = choose_restriction(adata, restrict_to)
    found = arrays.leiden(
        within(graph, restriction),
        resolution=1.0 if resolution is None else resolution,
        objective=objective,
        n_iterations=n_iterations,
        theta=theta,
        tolerance=tolerance,
        use_weights=use_weights,
        seed=seed,
        initial_membership=initial_membership,
        threads=threads,
        progress=progress,
    )
    if restriction is not None and key_added == LEIDEN:
        key_added += "_R"
    adata.obs[key_added] = name_groups(adata, found.membership, found.n_communities, restriction)
    params = {"resolution": resolution, "random_state": seed, "n_iterations": n_iterations}
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
        tolerance=tolerance,
        use_weights=use_weights,
        key_added=key_added,
        restrict_to=None if restriction is None else restriction.recorded(),
        neighbors_key=neighbors_key,
        obsp=obsp,
        quality=found.quality,
        converged=found.converged,
    )
    return adata if copy else None
