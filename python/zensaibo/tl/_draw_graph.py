"""`zs.tl.draw_graph`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from .._anndata import start
from .._keys import DRAW_GRAPH
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError
from ._graph import check_seed, choose_graph
from ._umap import _from_paga

if TYPE_CHECKING:
    from anndata import AnnData


def draw_graph(
    adata: AnnData,
    layout: str = "fa",
    *,
    init_pos: str | bool | np.ndarray | None = None,
    random_state: int = 0,
    adjacency: Any = None,
    key_added_ext: str | None = None,
    neighbors_key: str | None = None,
    obsp: str | None = None,
    maxiter: int = 500,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Drawing of the neighbour graph by ForceAtlas2, as `scanpy.tl.draw_graph`.

    Parameters
    ----------
    adata
        With a neighbour graph (`zs.pp.neighbors`).
    layout
        ``"fa"``, the only one.
    init_pos
        ``None`` or ``False``: at random. ``"paga"`` or ``True``: at the groups of the drawn PAGA graph
        (``uns["paga"]["pos"]``, as `sc.pl.paga` writes it). Else the name of an obsm entry, whose first two columns are
        taken, or an array of shape (n_obs, 2).
    random_state
        Seed of the random start.
    adjacency
        (n_obs, n_obs) weights to use in place of the stored graph.
    key_added_ext
        Ending of the name to write in place of ``layout``.
    neighbors_key
        Entry of uns that names the graph; default ``"neighbors"``.
    obsp
        Key of obsp to use in place of the stored graph.
    maxiter
        Steps.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm["X_draw_graph_fa"]``, float32 (n_obs, 2); ``uns["draw_graph"]``.

    Raises
    ------
    MissingKeyError, ParameterError, ShapeError
        No such graph, positions or layout; an option out of range.

    Notes
    -----
    The same coordinates for any number of threads. Reference: Jacomy et al. 2014, PLoS ONE 9, e98679.
    """
    if layout != "fa":
        raise ParameterError(f"parameter `layout`: expected 'fa' (ForceAtlas2), found {layout!r}")
    seed = check_seed(random_state)
    adata = start(adata, copy)
    graph = choose_graph(adata, adjacency, neighbors_key, obsp)
    positions = _start(adata, init_pos, seed)
    found = arrays.force_atlas(
        graph, maxiter=maxiter, init_pos=positions, seed=seed, threads=threads, progress=progress
    )
    adata.obsm[f"X_draw_graph_{key_added_ext or layout}"] = found
    adata.uns[DRAW_GRAPH] = {"params": {"layout": layout, "random_state": seed}}
    record(
        adata,
        "draw_graph",
        layout=layout,
        init_pos=init_pos if isinstance(init_pos, (str, bool)) or init_pos is None else "array",
        random_state=seed,
        key_added_ext=key_added_ext,
        neighbors_key=neighbors_key,
        obsp=obsp,
        maxiter=int(maxiter),
    )
    return adata if copy else None


def _start(adata: AnnData, init_pos: Any, seed: int) -> Any:
    """Positions to start from, or none."""
    if init_pos is None or init_pos is False:
        return None
    if init_pos is True or (isinstance(init_pos, str) and init_pos == "paga" and init_pos not in adata.obsm):
        return _from_paga(adata, 2, seed)
    if not isinstance(init_pos, str):
        return init_pos
    if init_pos not in adata.obsm:
        present = ", ".join(map(str, adata.obsm.keys())) or "(nothing)"
        raise MissingKeyError(
            f"parameter `init_pos`: expected None, 'paga' or a key of adata.obsm ({present}), found {init_pos!r}"
        )
    values = adata.obsm[init_pos]
    values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
    return values[:, :2] if values.ndim == 2 else values
