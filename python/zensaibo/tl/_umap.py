"""`zs.tl.umap`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import get_obs, get_obsp, get_uns, start
from .._keys import CONNECTIVITIES, NEIGHBORS, UMAP, V2_NAMES, X_UMAP, check_preset
from .._progress import Progress
from .._provenance import record
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def umap(
    adata: AnnData,
    *,
    min_dist: float = 0.5,
    spread: float = 1.0,
    n_components: int = 2,
    maxiter: int | None = None,
    alpha: float = 1.0,
    gamma: float = 1.0,
    negative_sample_rate: int = 5,
    init_pos: str | np.ndarray | None = "spectral",
    random_state: int = 0,
    a: float | None = None,
    b: float | None = None,
    method: str = "umap",
    key_added: str | None = None,
    neighbors_key: str = NEIGHBORS,
    copy: bool = False,
    preset: str = "scanpy-v1",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """UMAP of the neighbourhood graph, as `scanpy.tl.umap`; the same coordinates for any number of threads.

    Parameters
    ----------
    adata
        With a neighbourhood graph (`zs.pp.neighbors`).
    min_dist, spread, n_components, maxiter, alpha, gamma, negative_sample_rate, a, b
        As `zs.arrays.umap`.
    init_pos
        ``"spectral"``; ``"random"``; ``"paga"`` (needs ``uns["paga"]["pos"]``, as `sc.pl.paga` writes it); the name of
        an obsm entry, whose first ``n_components`` columns are taken; an array of shape (n_obs, n_components);
        ``None`` means ``"random"``.
    random_state
        Seed, a whole number.
    method
        ``"umap"``, the only one.
    key_added
        Write to ``obsm[key_added]`` and ``uns[key_added]`` instead of the default slots.
    neighbors_key
        Entry of ``uns`` that names the graph.
    copy
        Return a changed copy instead of changing ``adata``.
    preset
        ``"scanpy-v2"`` writes to ``obsm["umap"]``; ``"scanpy-v1"`` to ``obsm["X_umap"]``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm["X_umap"]``, float32 (n_obs, n_components);
        ``uns["umap"]["params"]`` with ``a``, ``b`` and, where not 0, ``random_state``.

    Raises
    ------
    MissingKeyError
        No such graph, obsm entry or PAGA positions.
    ParameterError
        An option outside its range.

    Notes
    -----
    Not the coordinates of umap-learn: the same objective, optimised in an order that does not depend on threads.
    Reference: McInnes, Healy, Melville 2018, arXiv:1802.03426.
    """
    check_preset(preset)
    if method != "umap":
        raise ParameterError(f"parameter `method`: expected 'umap', found {method!r}")
    adata = start(adata, copy)
    graph = _graph(adata, neighbors_key)
    positions = _initial(adata, init_pos, n_components, random_state)
    result = arrays.umap(
        graph,
        min_dist=min_dist,
        spread=spread,
        n_components=n_components,
        maxiter=maxiter,
        alpha=alpha,
        gamma=gamma,
        negative_sample_rate=negative_sample_rate,
        init_pos=positions,
        a=a,
        b=b,
        seed=random_state,
        threads=threads,
        progress=progress,
    )
    params: dict[str, Any] = {"a": result.a, "b": result.b}
    if random_state != 0:
        params["random_state"] = int(random_state)
    slot = X_UMAP if preset == "scanpy-v1" else V2_NAMES[X_UMAP]
    adata.obsm[key_added or slot] = result.coordinates
    adata.uns[key_added or UMAP] = {"params": params}
    record(
        adata,
        "umap",
        min_dist=min_dist,
        spread=spread,
        n_components=n_components,
        maxiter=maxiter,
        alpha=alpha,
        gamma=gamma,
        negative_sample_rate=negative_sample_rate,
        init_pos=init_pos if isinstance(init_pos, str) or init_pos is None else "array",
        random_state=random_state,
        a=result.a,
        b=result.b,
        key_added=key_added,
        neighbors_key=neighbors_key,
        preset=preset,
    )
    return adata if copy else None


def _graph(adata: AnnData, neighbors_key: str) -> Any:
    """The connectivities that ``uns[neighbors_key]`` names."""
    if neighbors_key not in adata.uns:
        present = ", ".join(map(str, adata.uns.keys())) or "(nothing)"
        raise MissingKeyError(
            f"key `{neighbors_key}` not found in adata.uns; present: {present}; run `zs.pp.neighbors` first"
        )
    entry = get_uns(adata, neighbors_key)
    return get_obsp(adata, entry.get("connectivities_key", CONNECTIVITIES))


def _initial(adata: AnnData, init_pos: Any, n_components: int, seed: int) -> Any:
    """What `arrays.umap` takes as `init_pos`."""
    if init_pos is None:
        return "random"
    if not isinstance(init_pos, str):
        return init_pos
    if init_pos in adata.obsm:
        values = adata.obsm[init_pos]
        values = values.toarray() if hasattr(values, "toarray") else np.asarray(values)
        return values[:, :n_components] if values.ndim == 2 else values
    if init_pos == "paga":
        return _from_paga(adata, n_components, seed)
    if init_pos not in ("spectral", "random"):
        present = ", ".join(map(str, adata.obsm.keys())) or "(nothing)"
        raise MissingKeyError(
            f"parameter `init_pos`: expected 'spectral', 'random', 'paga' or a key of adata.obsm ({present}), "
            f"found {init_pos!r}"
        )
    return init_pos


def _from_paga(adata: AnnData, n_components: int, seed: int) -> np.ndarray:
    """Each cell at its group's place in the drawn PAGA graph, spread over half the way to the nearest other group."""
    paga = adata.uns.get("paga", {})
    if "pos" not in paga or "groups" not in paga:
        raise MissingKeyError(
            "key `pos` not found in adata.uns['paga']: `init_pos='paga'` needs the positions that `sc.tl.paga` "
            "followed by `sc.pl.paga` stores"
        )
    places = np.asarray(paga["pos"], dtype=np.float64)
    if n_components != 2 or places.ndim != 2 or places.shape[1] != 2:
        raise ParameterError(f"parameter `init_pos`: 'paga' expected n_components=2, found {n_components}")
    groups = pd.Categorical(get_obs(adata, str(paga["groups"])))
    if len(groups.categories) != len(places) or (groups.codes < 0).any():
        raise ParameterError(
            f"parameter `init_pos`: 'paga' expected every cell in one of {len(places)} groups, found "
            f"{len(groups.categories)} groups and {int((groups.codes < 0).sum())} cells without one"
        )
    gaps = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(gaps, np.inf)
    nearest = gaps.min(axis=1)
    nearest[~np.isfinite(nearest)] = 1.0
    noise = np.random.default_rng(seed).uniform(-0.5, 0.5, size=(adata.n_obs, 2))
    return places[groups.codes] + noise * nearest[groups.codes, None]
