"""RNA velocity: `zs.tl.velocity`, `velocity_graph`, `transition_matrix`, `velocity_embedding`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .. import arrays
from .._anndata import check_adata, get_obsm, get_uns, start
from .._keys import HIGHLY_VARIABLE
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, MissingKeyError, ParameterError
from ..pp._moments import graph_of, spliced_and_unspliced

if TYPE_CHECKING:
    from anndata import AnnData

_MODES = ("deterministic", "stochastic")


def _layer(adata: AnnData, key: str, hint: str) -> np.ndarray:
    """A layer as a dense float32 array."""
    if key not in adata.layers:
        present = ", ".join(map(str, adata.layers.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.layers; present: {present}; run `{hint}` first")
    values = adata.layers[key]
    return np.ascontiguousarray(values.toarray() if sparse.issparse(values) else values, dtype=np.float32)


def velocity(
    adata: AnnData,
    *,
    vkey: str = "velocity",
    mode: str = "stochastic",
    perc: float = 95.0,
    min_r2: float = 0.01,
    min_ratio: float = 0.01,
    r2_adjusted: bool = False,
    use_highly_variable: bool = True,
    neighbors_key: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """RNA velocity of each gene in each cell, by the steady-state or the stochastic model.

    Parameters
    ----------
    adata
        With layers ``"Ms"`` and ``"Mu"`` (`zs.pp.moments`), and ``"spliced"`` and ``"unspliced"``.
    vkey
        Name under which results are written.
    mode
        ``"deterministic"`` (the steady-state model) or ``"stochastic"`` (which adds second moments). The dynamical model
        is not offered.
    perc
        Percentile, 0 to 100: the steady-state ratio is fitted on the cells with most spliced and unspliced.
    min_r2, min_ratio
        A velocity gene must have a coefficient of determination and a ratio of unspliced to spliced above these.
    r2_adjusted
        Whether the coefficient of determination is that of a fit on all cells, not on the extreme ones.
    use_highly_variable
        Whether velocity genes must be in ``var["highly_variable"]``, where there is one.
    neighbors_key
        Entry of uns that names the graph on which moments were taken; default ``"neighbors"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``layers[vkey]``, float32 (n_obs, n_vars); in var ``vkey +`` ``"_gamma"``,
        ``"_qreg_ratio"``, ``"_r2"``, ``"_genes"``; ``uns[vkey + "_params"]``.

    Raises
    ------
    MissingKeyError, ParameterError, NonFiniteError
        Layers or a graph that are missing; a parameter out of range; values that are not finite.

    Notes
    -----
    As `scvelo.tl.velocity` without offsets. Where fewer than two genes pass, the fifth with the best fit is taken, with a
    warning. References: La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    if mode not in _MODES:
        raise ParameterError(f"parameter `mode`: expected one of {', '.join(_MODES)}, found {mode!r}")
    adata = start(adata, copy)
    spliced, unspliced = spliced_and_unspliced(adata)
    s, u = _layer(adata, "Ms", "zs.pp.moments"), _layer(adata, "Mu", "zs.pp.moments")
    counts = {}
    if mode == "stochastic":
        moments_mode = adata.uns.get("zensaibo", {}).get("moments", {}).get("options", {}).get("mode", "connectivities")
        counts = {"spliced": spliced, "unspliced": unspliced, "graph": graph_of(adata, neighbors_key, moments_mode)}
    eligible = None
    if use_highly_variable and HIGHLY_VARIABLE in adata.var:
        eligible = adata.var[HIGHLY_VARIABLE].to_numpy().astype(bool)
    found = arrays.velocity(
        s,
        u,
        **counts,
        eligible=eligible,
        mode=mode,
        perc=perc,
        min_r2=min_r2,
        min_ratio=min_ratio,
        r2_adjusted=r2_adjusted,
        threads=threads,
        progress=progress,
    )
    if found.min_r2 != min_r2:
        warnings.warn(
            f"fewer than 2 genes pass min_r2={min_r2} and min_ratio={min_ratio}: those with a coefficient of determination "
            f"above {found.min_r2:.4g} are taken; be careful with what follows",
            UserWarning,
            stacklevel=2,
        )
    elif found.genes.sum() < 10:
        warnings.warn(f"only {int(found.genes.sum())} velocity genes: lower `min_r2`?", UserWarning, stacklevel=2)
    adata.layers[vkey] = found.velocity
    adata.var[f"{vkey}_gamma"] = found.gamma
    adata.var[f"{vkey}_qreg_ratio"] = found.qreg_ratio
    adata.var[f"{vkey}_r2"] = found.r2
    adata.var[f"{vkey}_genes"] = found.genes
    adata.uns[f"{vkey}_params"] = {"mode": mode, "perc": float(perc)}
    record(
        adata,
        "velocity",
        vkey=vkey,
        mode=mode,
        perc=float(perc),
        min_r2=float(min_r2),
        min_ratio=float(min_ratio),
        r2_adjusted=bool(r2_adjusted),
        use_highly_variable=bool(use_highly_variable),
        neighbors_key=neighbors_key,
    )
    return adata if copy else None


def velocity_graph(
    adata: AnnData,
    *,
    vkey: str = "velocity",
    xkey: str = "Ms",
    n_recurse_neighbors: int = 2,
    sqrt_transform: bool | None = None,
    neighbors_key: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Cosine correlation between each cell's velocity and the steps to nearby cells.

    Parameters
    ----------
    adata
        With ``layers[vkey]`` (`zs.tl.velocity`) and a neighbour graph.
    vkey
        Name of the velocities.
    xkey
        Layer of smoothed expression.
    n_recurse_neighbors
        How far a cell looks: 1 for its neighbours, 2 for theirs as well, at most 3.
    sqrt_transform
        Whether steps and velocities are replaced by their square roots, signs kept; default: if the velocities are those
        of the stochastic model.
    neighbors_key
        Entry of uns that names the graph of distances; default ``"neighbors"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``uns[vkey + "_graph"]`` and ``uns[vkey + "_graph_neg"]``, csr (n_obs, n_obs),
        positive and negative cosines; ``obs[vkey + "_self_transition"]``.

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        Velocities, expression or a graph that are missing; a parameter out of range; a cell without neighbours.

    Notes
    -----
    Genes are those of ``var[vkey + "_genes"]``. As `scvelo.tl.velocity_graph`.
    Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    adata = start(adata, copy)
    v = _layer(adata, vkey, "zs.tl.velocity")
    x = _layer(adata, xkey, "zs.pp.moments")
    distances = graph_of(adata, neighbors_key, "distances")
    chosen = np.ones(adata.n_vars, dtype=bool)
    if f"{vkey}_genes" in adata.var:
        chosen &= adata.var[f"{vkey}_genes"].to_numpy().astype(bool)
    chosen &= ~np.isnan(v).any(axis=0)
    if not chosen.any():
        raise DataError(f"`adata.var[{vkey + '_genes'!r}]`: expected at least one velocity gene, found none")
    params = dict(adata.uns.get(f"{vkey}_params", {}))
    if sqrt_transform is None:
        sqrt_transform = params.get("mode") == "stochastic"
    found = arrays.velocity_graph(
        x[:, chosen],
        v[:, chosen],
        distances,
        n_recurse_neighbors=n_recurse_neighbors,
        sqrt_transform=bool(sqrt_transform),
        threads=threads,
        progress=progress,
    )
    adata.uns[f"{vkey}_graph"], adata.uns[f"{vkey}_graph_neg"] = found.positive, found.negative
    adata.obs[f"{vkey}_self_transition"] = found.self_transition
    adata.uns[f"{vkey}_params"] = {
        **params,
        "n_recurse_neighbors": int(n_recurse_neighbors),
        "sqrt_transform": bool(sqrt_transform),
    }
    record(
        adata,
        "velocity_graph",
        vkey=vkey,
        xkey=xkey,
        n_recurse_neighbors=int(n_recurse_neighbors),
        sqrt_transform=bool(sqrt_transform),
        neighbors_key=neighbors_key,
    )
    return adata if copy else None


def transition_matrix(
    adata: AnnData,
    *,
    vkey: str = "velocity",
    scale: float = 10.0,
    self_transitions: bool = True,
    use_negative_cosines: bool = False,
    backward: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> sparse.csr_matrix:
    """Transition probabilities between cells from their velocity graph; returned, not stored.

    Parameters
    ----------
    adata
        With ``uns[vkey + "_graph"]`` (`zs.tl.velocity_graph`).
    vkey
        Name of the velocities.
    scale
        A step of cosine c has weight exp(scale c); above 0, at most 50.
    self_transitions
        Whether a cell may stay, the more likely the worse its best cosine is.
    use_negative_cosines
        Whether steps against the velocity get negative entries in place of small ones.
    backward
        Whether to go against the velocities.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    (n_obs, n_obs) csr, float32; magnitudes of a row sum to 1.

    Raises
    ------
    MissingKeyError, ParameterError
        No such graph; ``scale`` out of range.

    Notes
    -----
    As `scvelo.utils.get_transition_matrix`. Reference: Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    check_adata(adata)
    key = f"{vkey}_graph"
    if key not in adata.uns:
        present = ", ".join(map(str, adata.uns.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.uns; present: {present}; run `zs.tl.velocity_graph` first")
    return arrays.transition_matrix(
        get_uns(adata, key),
        adata.uns.get(f"{key}_neg"),
        scale=scale,
        self_transitions=self_transitions,
        use_negative_cosines=use_negative_cosines,
        backward=backward,
        threads=threads,
        progress=progress,
    )


def velocity_embedding(
    adata: AnnData,
    basis: str | None = None,
    *,
    vkey: str = "velocity",
    scale: float = 10.0,
    self_transitions: bool = True,
    use_negative_cosines: bool = True,
    autoscale: bool = True,
    transitions: Any = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Velocities as arrows in an embedding.

    Parameters
    ----------
    adata
        With ``obsm["X_" + basis]`` and ``uns[vkey + "_graph"]`` (`zs.tl.velocity_graph`).
    basis
        Name of the embedding; default: the last there is of pca, tsne, umap.
    vkey
        Name of the velocities.
    scale, self_transitions, use_negative_cosines
        As `zs.tl.transition_matrix`.
    autoscale
        Whether all arrows are scaled by one factor to a length that can be drawn.
    transitions
        (n_obs, n_obs) probabilities to use in place of those of the velocity graph.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm[vkey + "_" + basis]``, float64, of the shape of the embedding.

    Raises
    ------
    MissingKeyError, ParameterError, ShapeError
        No such embedding or graph; ``scale`` out of range; transitions of another shape.

    Notes
    -----
    As `scvelo.tl.velocity_embedding`; with ``autoscale`` the length is computed, not read from a drawing, and agrees with
    scvelo's at matplotlib's default figure size.
    References: La Manno et al. 2018, Nature 560, 494; Bergen et al. 2020, Nature Biotechnology 38, 1408.
    """
    adata = start(adata, copy)
    if basis is None:
        names = [name for name in ("pca", "tsne", "umap") if f"X_{name}" in adata.obsm]
        if not names:
            present = ", ".join(map(str, adata.obsm.keys())) or "(nothing)"
            raise MissingKeyError(f"key `X_umap` not found in adata.obsm; present: {present}; name a `basis`")
        basis = names[-1]
    positions = np.asarray(get_obsm(adata, f"X_{basis}"))
    if transitions is None:
        transitions = transition_matrix(
            adata,
            vkey=vkey,
            scale=scale,
            self_transitions=self_transitions,
            use_negative_cosines=use_negative_cosines,
            threads=threads,
            progress=progress,
        )
    arrows = arrays.velocity_embedding(transitions, positions, autoscale=autoscale, threads=threads, progress=progress)
    adata.obsm[f"{vkey}_{basis}"] = arrows
    record(
        adata,
        "velocity_embedding",
        basis=basis,
        vkey=vkey,
        scale=float(scale),
        self_transitions=bool(self_transitions),
        use_negative_cosines=bool(use_negative_cosines),
        autoscale=bool(autoscale),
    )
    return adata if copy else None
