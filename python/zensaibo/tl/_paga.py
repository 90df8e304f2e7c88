"""`zs.tl.paga`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from .. import arrays
from .._anndata import get_uns, start
from .._keys import PAGA
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError
from ._graph import grouping, stored_connectivities, stored_distances, stored_n_neighbors

if TYPE_CHECKING:
    from anndata import AnnData


def paga(
    adata: AnnData,
    groups: str | None = None,
    *,
    use_rna_velocity: bool = False,
    model: str = "v1.2",
    neighbors_key: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Abstracted graph of groups of cells, as `scanpy.tl.paga`.

    Parameters
    ----------
    adata
        With a neighbour graph (`zs.pp.neighbors`).
    groups
        Column of obs with categories; default ``"leiden"``, else ``"louvain"``.
    use_rna_velocity
        Count the directed edges of ``uns["velocity_graph"]`` (`zs.tl.velocity_graph`) and write transitions between
        groups in place of connectivities.
    model
        ``"v1.2"`` or ``"v1.0"``, see `zs.arrays.paga`; with ``use_rna_velocity`` only ``"v1.2"``.
    neighbors_key
        Entry of uns that names the graph; default ``"neighbors"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written, groups in the order of the categories: ``uns["paga"]["connectivities"]``, a
        symmetric csr matrix; ``uns["paga"]["connectivities_tree"]``, csr, each link once; ``uns["paga"]["groups"]``;
        ``uns[groups + "_sizes"]``. With ``use_rna_velocity``: ``uns["paga"]["transitions_confidence"]``, csr, entry
        (i, j) from group j to group i.

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        No such graph or column; an unknown model; cells without a group.

    Notes
    -----
    The tree holds each link above its diagonal; scanpy's has it on either side, as its sort happens to fall.
    Reference: Wolf et al. 2019, Genome Biology 20, 59.
    """
    if model not in ("v1.2", "v1.0"):
        raise ParameterError(f"parameter `model`: expected 'v1.2' or 'v1.0', found {model!r}")
    if use_rna_velocity and model != "v1.2":
        raise ParameterError(f"parameter `model`: expected 'v1.2' with use_rna_velocity, which has none, found {model!r}")
    adata = start(adata, copy)
    graph = stored_distances(adata, neighbors_key) if model == "v1.2" else stored_connectivities(adata, neighbors_key)
    if groups is None:
        groups = next((key for key in ("leiden", "louvain") if key in adata.obs), None)
        if groups is None:
            present = ", ".join(map(str, adata.obs.columns)) or "(nothing)"
            raise MissingKeyError(
                f"key `leiden` not found in adata.obs; present: {present}; run `zs.tl.leiden` first or name `groups`"
            )
    categories = grouping(adata, groups)
    codes, count = categories.codes.astype(np.int64), len(categories.categories)
    # A new dict: a shallow copy of the AnnData must not see the change.
    entry = dict(adata.uns.get(PAGA, {}))
    if use_rna_velocity:
        directed, n_neighbors = get_uns(adata, "velocity_graph"), stored_n_neighbors(adata, neighbors_key)
        found = arrays.paga_transitions(
            directed, codes, n_groups=count, n_neighbors=stored_n_neighbors(adata, neighbors_key), threads=threads, progress=progress
        )
        entry["transitions_confidence"] = sparse.csr_matrix(found)
    else:
        result = arrays.paga(
            graph,
            codes,
            n_groups=count,
            model=model,
            n_neighbors=stored_n_neighbors(adata, neighbors_key) if model == "v1.0" else None,
            threads=threads,
            progress=progress,
        )
        entry["connectivities"] = sparse.csr_matrix(result.connectivities)
        entry["connectivities_tree"] = sparse.csr_matrix(result.tree)
        adata.uns[f"{groups}_sizes"] = result.sizes.astype(np.int64)
    entry["groups"] = groups
    adata.uns[PAGA] = entry
    record(
        adata,
        "paga",
        groups=groups,
        use_rna_velocity=bool(use_rna_velocity),
        model=model,
        neighbors_key=neighbors_key,
    )
    return adata if copy else None
