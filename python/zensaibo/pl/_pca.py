"""What principal components explain and which genes carry them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._anndata import check_adata
from .._keys import PCS
from ..errors import MissingKeyError, ParameterError
from ._panels import fit, grid_of, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def pca_variance_ratio(adata: AnnData, *, n_pcs: int = 30, log: bool = False, ax: Axes | None = None) -> Axes:
    """Share of the variance that each principal component explains.

    Parameters
    ----------
    adata
        With ``uns["pca"]["variance_ratio"]`` of `pp.pca`.
    n_pcs
        Components to show, or all if there are fewer.
    log
        Whether the axis is logarithmic.
    ax
        Axes to draw into.

    Returns
    -------
    The axes. The elbow of the curve is a guide to how many components carry more than noise.
    """
    check_adata(adata)
    ratio = adata.uns.get("pca", {}).get("variance_ratio")
    if ratio is None:
        raise MissingKeyError("key `variance_ratio` not found in adata.uns['pca']: run `pp.pca` first")
    if n_pcs < 1:
        raise ParameterError(f"parameter `n_pcs`: expected at least 1, found {n_pcs}")
    ratio = np.asarray(ratio, dtype=np.float64)[:n_pcs]
    own = ax is None
    if ax is None:
        _, (ax,) = grid_of(1, 1, 4.8, 3.2)
    ax.plot(np.arange(1, len(ratio) + 1), ratio, "o-", color="#1f77b4", markersize=4, linewidth=0.8)
    if log:
        ax.set_yscale("log")
    else:
        ax.set_ylim(bottom=0)
    ax.set_xlim(0.3, len(ratio) + 0.7)
    step = max(1, 5 * (len(ratio) // 20))
    ax.set_xticks([1, *range(step, len(ratio) + 1, step)] if step > 1 else range(1, len(ratio) + 1))
    ax.set_xlabel("principal component")
    ax.set_ylabel("share of variance")
    ax.spines[["top", "right"]].set_visible(False)
    if own:
        fit(ax.figure)
    return ax


def pca_loadings(
    adata: AnnData,
    *,
    components: str | Sequence[int] | None = None,
    include_lowest: bool = True,
    n_points: int | None = None,
) -> list[Axes]:
    """Names of the genes that weigh most in principal components.

    Parameters
    ----------
    adata
        With ``varm["PCs"]`` of `pp.pca`.
    components
        Such as ``"1,2,3"`` or ``[1, 2, 3]``, counted from 1; the first three by default.
    include_lowest
        Whether half of the genes are those with the lowest loadings.
    n_points
        Genes for each component; 30 by default, or all if there are fewer.

    Returns
    -------
    One axes for each component; a dashed line parts the highest from the lowest.
    """
    check_adata(adata)
    if PCS not in adata.varm:
        present = ", ".join(map(str, adata.varm.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{PCS}` not found in adata.varm; present: {present}; run `pp.pca` first")
    loadings = np.asarray(adata.varm[PCS], dtype=np.float64)
    available = loadings.shape[1]
    if components is None:
        wanted = list(range(1, min(3, available) + 1))
    else:
        try:
            parts = components.split(",") if isinstance(components, str) else list(components)
            wanted = [int(part) for part in parts]
        except (TypeError, ValueError):
            raise ParameterError(f"parameter `components`: expected '1,2' or a list of numbers, found {components!r}") from None
    if not wanted or not all(1 <= component <= available for component in wanted):
        raise ParameterError(f"parameter `components`: expected numbers from 1 to {available}, found {components!r}")
    # Genes outside the selection that was used have loadings of exactly 0 in all components.
    used = np.flatnonzero((loadings != 0).any(axis=1))
    n_points = min(30 if n_points is None else n_points, len(used))
    if n_points < 1:
        raise ParameterError(f"parameter `n_points`: expected at least 1, found {n_points}")
    _, axes = grid_of(len(wanted), 3, 0.17 * n_points + 0.5, 3.0)
    slots = [slot_of(ax) for ax in axes]
    for ax, component in zip(axes, wanted, strict=True):
        score = loadings[used, component - 1]
        order = np.argsort(-score, kind="stable")
        lowest = n_points // 2 if include_lowest else 0
        picked = np.concatenate([order[: n_points - lowest], order[len(order) - lowest :]])
        values = score[picked]
        span = (values.max() - values.min()) or 1.0
        places = np.arange(len(picked)) + (np.arange(len(picked)) >= n_points - lowest)
        ax.plot(places, values, ".", color="#1f77b4", markersize=4)
        for place, value, gene in zip(places, values, used[picked], strict=True):
            ax.annotate(
                str(adata.var_names[gene]), (place, value), (0, 4 if value >= 0 else -4), textcoords="offset points",
                rotation=90, ha="center", va="bottom" if value >= 0 else "top", fontsize=8,
            )  # fmt: skip
        if lowest:
            ax.axvline(n_points - lowest, color="#999999", linestyle="--", linewidth=0.8)
        ax.axhline(0, color="#cccccc", linewidth=0.6, zorder=0)
        ax.set_xlim(-0.9, places[-1] + 0.9)
        # Room for the names below and above.
        below, above = (0.38 if values.min() < 0 else 0.05), (0.38 if values.max() > 0 else 0.05)
        ax.set_ylim(values.min() - below * span, values.max() + above * span)
        ax.set_title(f"PC{component}")
        ax.set_xticks([])
        ax.set_ylabel("loading")
        ax.spines[["top", "right", "bottom"]].set_visible(False)
    if len(axes) > 1:
        settle([[ax] for ax in axes], slots, min(3, len(axes)), 0.0, None)
    else:
        fit(axes[0].figure)
    return axes
