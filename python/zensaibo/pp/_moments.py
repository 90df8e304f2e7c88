"""`zs.pp.moments`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .. import arrays
from .._anndata import get_matrix, get_obsp, get_uns, start
from .._keys import CONNECTIVITIES, DISTANCES, NEIGHBORS
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def moments(
    adata: AnnData,
    *,
    mode: str = "connectivities",
    neighbors_key: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Means of spliced and unspliced counts over each cell's neighbours, for RNA velocity.

    Parameters
    ----------
    adata
        With layers ``"spliced"`` and ``"unspliced"``, each normalised (`zs.pp.normalize_total` with ``layer=``; a warning
        says if they still hold whole numbers), and a neighbour graph (`zs.pp.neighbors`).
    mode
        ``"connectivities"`` or ``"distances"``: which of the two graphs says who is a neighbour.
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
        The copy if ``copy=True``. Written: ``layers["Ms"]`` and ``layers["Mu"]``, float32, dense (n_obs, n_vars).

    Raises
    ------
    MissingKeyError, ParameterError, NonFiniteError
        A layer or graph that is missing (spliced without unspliced, too); an unknown mode; values that are not finite.

    Notes
    -----
    As `scvelo.pp.moments` on the same graph, but that layers are never normalised behind your back.
    Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    if mode not in ("connectivities", "distances"):
        raise ParameterError(f"parameter `mode`: expected 'connectivities' or 'distances', found {mode!r}")
    adata = start(adata, copy)
    spliced, unspliced = spliced_and_unspliced(adata)
    graph = graph_of(adata, neighbors_key, mode)
    if _whole_numbers(spliced) and _whole_numbers(unspliced):
        warnings.warn(
            "layers 'spliced' and 'unspliced' hold whole numbers: normalise each by zensaibo.pp.normalize_total(adata, "
            "layer=...) first, or differences in depth count as velocity",
            UserWarning,
            stacklevel=2,
        )
    first = arrays.moments(graph, spliced, threads=threads, progress=progress)
    second = arrays.moments(graph, unspliced, threads=threads, progress=progress)
    adata.layers["Ms"], adata.layers["Mu"] = first, second
    record(adata, "moments", mode=mode, neighbors_key=neighbors_key)
    return adata if copy else None


def spliced_and_unspliced(adata: AnnData) -> tuple[Any, Any]:
    """Both layers, or a `MissingKeyError` that says which is missing."""
    missing = [name for name in ("spliced", "unspliced") if name not in adata.layers]
    if missing:
        present = ", ".join(map(str, adata.layers.keys())) or "(nothing)"
        raise MissingKeyError(
            f"key `{missing[0]}` not found in adata.layers; present: {present}; RNA velocity needs both 'spliced' and "
            "'unspliced'"
        )
    return get_matrix(adata, layer="spliced"), get_matrix(adata, layer="unspliced")


def graph_of(adata: AnnData, neighbors_key: str | None, mode: str) -> Any:
    """The graph of connectivities or of distances."""
    key = NEIGHBORS if neighbors_key is None else neighbors_key
    if key not in adata.uns:
        present = ", ".join(map(str, adata.uns.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.uns; present: {present}; run `zs.pp.neighbors` first")
    default = CONNECTIVITIES if mode == "connectivities" else DISTANCES
    return get_obsp(adata, get_uns(adata, key).get(f"{mode}_key", default))


def _whole_numbers(matrix: Any) -> bool:
    """Whether a sample of the values are all whole."""
    values = matrix.data if sparse.issparse(matrix) else np.asarray(matrix).ravel()
    values = values[:10_000]
    return bool(np.isfinite(values).all() and (values % 1 == 0).all())
