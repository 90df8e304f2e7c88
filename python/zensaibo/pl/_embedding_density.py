"""Where on an embedding the cells of a group lie densely."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._anndata import check_adata, get_obs
from ..errors import DataError, MissingKeyError, ParameterError
from ._colors import norm_of
from ._embedding import _basis, _panel_size
from ._panels import check_finite, draw_points, fit, grid_of, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def embedding_density(
    adata: AnnData,
    *,
    basis: str = "umap",
    key: str | None = None,
    groupby: str | None = None,
    group: str | Sequence[str] | None = "all",
    color_map: Any = "YlOrRd",
    bg_dotsize: float | None = None,
    fg_dotsize: float | None = None,
    vmax: Any = 1,
    vmin: Any = 0,
    vcenter: Any = None,
    norm: Any = None,
    ncols: int = 4,
    hspace: float = 0.25,
    wspace: float | None = None,
    title: str | None = None,
    ax: Axes | None = None,
    random_state: int = 0,
) -> Axes | list[Axes]:
    """Cells coloured by the density of their group, all other cells in grey.

    Parameters
    ----------
    adata
        After `tl.embedding_density`.
    basis
        Of ``obsm["X_<basis>"]``; "fa" means "draw_graph_fa".
    key
        Column of obs with densities, with ``uns["<key>_params"]``; by default ``<basis>_density[_<groupby>]``.
    groupby
        Column of obs within whose groups densities were computed; names the key.
    group
        Groups to show, one panel each; ``"all"`` for all of them.
    color_map
        Colour map.
    bg_dotsize, fg_dotsize
        Area of grey and of coloured points as in ``scatter(marker=".")``; by default 80000 and 180000 / cells.
    vmin, vmax, vcenter, norm
        Range and middle of the colours, or a matplotlib norm when `vmin` and `vmax` are ``None``.
    ncols, hspace, wspace
        As for `embedding`.
    title
        Title of all panels; by default the group.
    ax
        Axes to draw into (one panel only).
    random_state
        Seed of the order of grey points.

    Returns
    -------
    The axes, or a list of them for several groups. Denser cells lie on top.
    """
    import matplotlib

    check_adata(adata)
    basis = "draw_graph_fa" if basis.lower() == "fa" else basis.lower()
    if key is not None and groupby is not None:
        raise ParameterError("parameters `key`, `groupby`: expected at most one of them, found both")
    key = key or f"{basis}_density" + (f"_{groupby}" if groupby else "")
    points, name = _basis(adata, basis)
    if key not in adata.obs or f"{key}_params" not in adata.uns:
        where = "adata.uns" if key in adata.obs else "adata.obs"
        present = ", ".join(map(str, adata.obs.columns)) or "(nothing)"
        raise MissingKeyError(
            f"key `{key if where == 'adata.obs' else key + '_params'}` not found in {where}; present in obs: {present}; "
            "run `tl.embedding_density` first"
        )
    stored = adata.uns[f"{key}_params"]
    covariate = stored.get("covariate")
    covariate = None if covariate in (None, "None") else str(covariate)
    axes_shown = [int(c) - 1 for c in stored["components"]]
    if len(axes_shown) != 2 or max(axes_shown) >= points.shape[1]:
        raise DataError(
            f"`uns['{key}_params']['components']`: expected two of {points.shape[1]} axes, found {stored['components']}"
        )
    points = np.asarray(points, dtype=np.float64)[:, axes_shown]
    check_finite(points)
    density = get_obs(adata, key).to_numpy(np.float64)
    if np.nanmin(density, initial=0) < 0 or np.nanmax(density, initial=0) > 1:
        found = f"{np.nanmin(density)} to {np.nanmax(density)}"
        raise DataError(f"`adata.obs[{key!r}]`: expected densities from 0 to 1, found {found}")

    if covariate is None:
        if group not in (None, "all"):
            raise ParameterError(f"parameter `group`: expected None, as densities are of all cells, found {group!r}")
        panels: list[tuple[str, np.ndarray]] = [("", np.ones(adata.n_obs, bool))]
    else:
        column = get_obs(adata, covariate).astype("category")
        present_groups = [str(c) for c in column.cat.categories]
        if group == "all":
            wanted = present_groups
        elif group is None:
            raise ParameterError(f"parameter `group`: expected groups of {covariate!r}, found None")
        else:
            wanted = [group] if isinstance(group, str) else [str(g) for g in group]
        absent = [g for g in wanted if g not in present_groups]
        if not wanted:
            there = ", ".join(present_groups) or "none at all"
            raise ParameterError(f"parameter `group`: expected groups of {covariate!r} ({there}), found none")
        if absent:
            raise MissingKeyError(
                f"key `{absent[0]}` not found in adata.obs[{covariate!r}]; present: {', '.join(present_groups)}"
            )
        text = column.astype(str).to_numpy()
        panels = [(g, text == g) for g in wanted]
    if ax is not None and len(panels) > 1:
        raise ParameterError(f"parameter `ax`: expected None for {len(panels)} groups, found axes")
    own = ax is None
    if ax is None:
        _, axes = grid_of(len(panels), ncols, *_panel_size())
    else:
        axes = [ax]
    slots, clusters = [slot_of(panel) for panel in axes], [[panel] for panel in axes]
    table = matplotlib.colormaps.get_cmap(color_map)
    behind = 80_000 / max(adata.n_obs, 1) if bg_dotsize is None else bg_dotsize
    front = 180_000 / max(adata.n_obs, 1) if fg_dotsize is None else fg_dotsize
    if not (behind > 0 and front > 0):
        raise ParameterError(f"parameters `bg_dotsize`, `fg_dotsize`: expected numbers above 0, found {behind} and {front}")
    finite = np.isfinite(points).all(axis=1)
    low, high = points[finite].min(axis=0, initial=np.inf), points[finite].max(axis=0, initial=-np.inf)
    low, high = np.where(np.isfinite(low), low, 0), np.where(np.isfinite(high), high, 1)
    margin = np.where(high > low, 0.05 * (high - low), 0.5)
    for number, (panel, (label, mine)) in enumerate(zip(axes, panels, strict=True)):
        panel.set_title(label if title is None else title)
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_xlabel(f"{name}{axes_shown[0] + 1}")
        panel.set_ylabel(f"{name}{axes_shown[1] + 1}")
        panel.set_xlim(low[0] - margin[0], high[0] + margin[0])
        panel.set_ylim(low[1] - margin[1], high[1] + margin[1])
        shown = norm_of(density[mine], vmin, vmax, vcenter, norm)
        bar = panel.figure.colorbar(
            matplotlib.cm.ScalarMappable(norm=shown, cmap=table), ax=panel, pad=0.02, fraction=0.06, aspect=30
        )
        clusters[number].append(bar.ax)
        rest = ~mine & finite
        if rest.any():
            draw_points(panel, *points[rest].T, size=behind, colors="lightgray", order="shuffled", seed=random_state, zorder=1)
        front_cells = mine & finite
        if front_cells.any():
            values = np.ma.filled(shown(np.ma.masked_invalid(density[front_cells])), np.nan)
            draw_points(
                panel, *points[front_cells].T, size=front, colors=np.rint(table(np.linspace(0, 1, 256)) * 255).astype(np.uint8),
                values=values, order="ascending", zorder=2,
            )  # fmt: skip
    if own and len(axes) > 1:
        settle(clusters, slots, min(ncols, len(axes)), hspace, wspace)
    elif own:
        fit(axes[0].figure)
    return axes if len(axes) > 1 else axes[0]
