"""Violins: one for each group, and small ones for genes by groups."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._anndata import check_adata
from ..errors import ParameterError
from ._colors import category_colors, norm_of
from ._density import Shape, half_widths, shape
from ._grid import Grid
from ._groups import Column, Grouped, columns_of, gather, groups_of, reorder
from ._panels import draw_points, fit, grid_of, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Seed of the sideways scatter of points: the same picture each time.
_SEED = 0


def violin(
    adata: AnnData,
    keys: str | Sequence[str],
    groupby: str | None = None,
    *,
    log: bool = False,
    use_raw: bool | None = None,
    stripplot: bool = True,
    jitter: float | bool = True,
    size: float = 1,
    layer: str | None = None,
    gene_symbols: str | None = None,
    density_norm: str = "width",
    order: Sequence[str] | None = None,
    multi_panel: bool = False,
    xlabel: str = "",
    ylabel: str | Sequence[str] | None = None,
    rotation: float | None = None,
    palette: Any = None,
    ncols: int = 4,
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Violins of genes or columns of obs, side by side or by group.

    Parameters
    ----------
    adata
        Annotated cells x genes.
    keys
        Genes or numeric columns of obs. Without `groupby`, a violin each; with it, axes each.
    groupby
        Column of obs with categories. Those without cells, and cells without one, are left out.
    log
        Whether the axis is logarithmic; the density is then that of the logarithms. Values that are not above 0 are
        left out with a warning.
    use_raw
        Whether genes come from ``adata.raw``; by default if there is one and no `layer` is asked for.
    stripplot, jitter, size
        Whether all values are drawn as points, scattered sideways by at most `jitter` (``True``: 0.1; a violin is 0.8
        wide), and their diameter in points of 1/72 inch.
    layer
        Layer from which genes come.
    gene_symbols
        Column of var with the names by which genes are asked for.
    density_norm
        ``"width"``: all violins equally wide; ``"count"``: as their numbers of cells; ``"area"``: equal areas.
    order
        Groups to show, in this order.
    multi_panel
        Without `groupby`: whether each key gets axes of its own.
    xlabel, ylabel
        Labels; `ylabel` one for all or one for each of the axes. By default the key and the group.
    rotation
        Angle of group names in degrees; by default 90 where they would meet.
    palette
        Colours of the groups, as for `embedding`; by default ``uns["<groupby>_colors"]``, written if there are none.
    ncols
        Axes in a row.
    ax
        Axes to draw into (if one will do).

    Returns
    -------
    The axes, or a list of them for several.

    Notes
    -----
    Each shape is a Gaussian kernel density (bandwidth by Scott's rule) of binned values, cut at the lowest and highest:
    a million cells take about a second for each key, most of it for the points. NaN are left out.
    """
    check_adata(adata)
    keys = list(dict.fromkeys([keys] if isinstance(keys, str) else keys))
    if not keys:
        raise ParameterError("parameter `keys`: expected at least one key, found none")
    if not size > 0:
        raise ParameterError(f"parameter `size`: expected a number above 0, found {size!r}")
    spread = 0.1 if jitter is True else float(jitter)
    if not 0 <= spread <= 0.5:
        raise ParameterError(f"parameter `jitter`: expected a flag or 0 to 0.5, found {jitter!r}")
    columns = columns_of(adata, keys, use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    if groupby is None:
        if order is not None:
            raise ParameterError("parameter `order`: expected None without `groupby`, found groups")
        codes, labels, colors = np.zeros(adata.n_obs, np.int64), [""], {}
    else:
        codes, labels, _ = groups_of(adata, groupby)
        colors = _colors_by_name(adata, groupby, labels, palette)
        if order is not None:
            codes, labels = reorder(codes, labels, [str(c) for c in order], "order")
    data = Grouped(keys, columns, codes, labels, groupby or "")
    if log:
        data = _logged(data)

    apart = groupby is not None or multi_panel
    panels = [[j] for j in range(len(keys))] if apart else [list(range(len(keys)))]
    titles = _labels(ylabel, len(panels))
    if ax is not None and len(panels) > 1:
        raise ParameterError(f"parameter `ax`: expected None for {len(panels)} keys, found axes")
    if ax is None:
        wide = max(0.45 * len(labels) + 0.6, 2.6) if groupby is not None else max(1.3 * len(panels[0]) + 0.4, 2.0)
        figure, axes = grid_of(len(panels), ncols, min(wide, 14), 3.2)
    else:
        figure, axes = ax.figure, [ax]
    slots = [slot_of(panel) for panel in axes]
    for number, (panel, members) in enumerate(zip(axes, panels, strict=True)):
        names = [keys[j] for j in members] if groupby is None else labels
        values = [part for j in members for part in data.by_group(data.dense(j))]
        fill = category_palette(len(members)) if groupby is None else [colors[name] for name in labels]
        if groupby is None and apart:
            fill = category_palette(len(keys))[number : number + 1]
        _violins(panel, values, fill, density_norm, log)
        if stripplot:
            _strip(panel, values, spread, size, log)
        panel.set_xticks(range(len(names)), names)
        panel.set_xlabel(xlabel or (groupby.replace("_", " ") if groupby else ""))
        panel.set_ylabel(titles[number] or (keys[members[0]] if apart or len(keys) == 1 else "value"))
        if groupby is None and apart:
            panel.set_xticks([])
            panel.set_xlabel(xlabel)
        panel.spines[["top", "right"]].set_visible(False)
        turn_labels(panel, rotation)
    if ax is None:
        if len(axes) > 1:
            settle([[panel] for panel in axes], slots, min(ncols, len(axes)), 0.0, None)
        else:
            fit(figure)
    return axes if len(axes) > 1 else axes[0]


def category_palette(n: int) -> list[str]:
    """The list of colours for n things."""
    from .. import _core

    return list(_core.category_colors(n))


def _colors_by_name(adata: AnnData, key: str, labels: list[str], palette: Any) -> dict[str, str]:
    """Colours of the groups of an obs column, by the text of the category."""
    column = adata.obs[key]
    if isinstance(column.dtype, pd.CategoricalDtype):
        categories = list(column.cat.categories)
        return dict(zip(map(str, categories), category_colors(adata, key, categories, palette), strict=True))
    # Not a stored category (numbers cut into ranges, text): nothing is written, as there is nothing to belong to.
    if palette is None:
        return dict(zip(labels, category_palette(len(labels)), strict=True))
    from ._colors import _from_palette

    return dict(zip(labels, _from_palette(palette, labels), strict=True))


def group_colors(adata: AnnData, data: Grouped) -> list[str]:
    """Colours of the groups shown: those of an obs column, else from the list."""
    if data.groupby in adata.obs:
        table = _colors_by_name(adata, data.groupby, data.categories, None)
        return [table[name] for name in data.categories]
    return category_palette(len(data.categories))


def _labels(given: str | Sequence[str] | None, count: int) -> list[str | None]:
    if given is None or isinstance(given, str):
        return [given] * count
    if len(given) != count:
        raise ParameterError(f"parameter `ylabel`: expected one text or {count}, one for each of the axes, found {len(given)}")
    return list(given)


def _logged(data: Grouped) -> Grouped:
    """log10 of what is above 0; NaN for the rest, which is counted."""
    columns: list[Column] = []
    left_out = 0
    for j in range(len(data.names)):
        values = data.dense(j)
        low = (values <= 0) & (data.codes >= 0)
        left_out += int(low.sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            columns.append((None, np.where(values > 0, np.log10(values), np.nan)))
    if left_out:
        warnings.warn(f"{left_out} values are not above 0 and not shown on the logarithmic axis", UserWarning, stacklevel=3)
    return Grouped(data.names, columns, data.codes, data.categories, data.groupby)


def _violins(ax: Axes, values: list[np.ndarray], colors: Sequence[str], density_norm: str, log: bool) -> None:
    """One violin for each array at 0, 1, 2..."""
    from matplotlib.collections import PolyCollection

    finite = [part[np.isfinite(part)] for part in values]
    shapes = [shape(part) for part in finite]
    outlines = []
    for place, (s, half) in enumerate(zip(shapes, half_widths(shapes, density_norm, 0.8), strict=True)):
        outlines.append(_outline(place, s, half, upright=True, log=log))
    ax.set_xlim(-0.5, len(values) - 0.5)
    low = min((part.min() for part in finite if len(part)), default=0.0)
    high = max((part.max() for part in finite if len(part)), default=1.0)
    margin = 0.04 * (high - low) or 0.5
    if log:
        ax.set_yscale("log")
        ax.set_ylim(10 ** (low - margin), 10 ** (high + margin))
    else:
        ax.set_ylim(low - margin, high + margin)
    ax.add_collection(PolyCollection(outlines, facecolors=list(colors), edgecolors="#444444", linewidths=0.8, zorder=1))


def _outline(place: float, s: Shape, half: np.ndarray, *, upright: bool, log: bool = False) -> np.ndarray:
    at = 10**s.at if log else s.at
    sides = np.concatenate([place - half, (place + half)[::-1]])
    return np.column_stack([sides, np.concatenate([at, at[::-1]])])


def _strip(ax: Axes, values: list[np.ndarray], spread: float, size: float, log: bool) -> None:
    """All values as points beside the middle of their violin."""
    places = np.repeat(np.arange(len(values)), [len(part) for part in values]).astype(np.float64)
    if not len(places):
        return
    places += np.random.default_rng(_SEED).uniform(-spread, spread, len(places)) if spread else 0
    heights = np.concatenate(values)
    draw_points(ax, places, 10**heights if log else heights, size=4 * size**2, alpha=0.5 if len(places) > 20_000 else 0.8, order="given")


def turn_labels(ax: Axes, rotation: float | None) -> None:
    """Turns the labels below by `rotation`, or upright where they would meet."""
    if rotation is None:
        boxes = [label.get_window_extent() for label in ax.get_xticklabels() if label.get_text()]
        meet = any(left.x1 + 4 > right.x0 for left, right in zip(boxes, boxes[1:], strict=False))
        rotation = 90 if meet else 0
    ax.tick_params(axis="x", labelrotation=rotation)
    if 0 < rotation < 90:
        for label in ax.get_xticklabels():
            label.set_horizontalalignment("right")
            label.set_rotation_mode("anchor")


def stacked_violin(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    log: bool = False,
    use_raw: bool | None = None,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    title: str | None = None,
    colorbar_title: str | None = "Median expression\nin group",
    figsize: Sequence[float] | None = None,
    dendrogram: bool | str = False,
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    var_group_rotation: float | None = None,
    standard_scale: str | None = None,
    layer: str | None = None,
    swap_axes: bool = False,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    vcenter: Any = None,
    norm: Any = None,
    cmap: Any = "Blues",
    density_norm: str = "width",
) -> dict[str, Axes]:
    """Small violins for genes by groups, coloured by the median.

    Parameters are those of `dotplot`, and:

    Parameters
    ----------
    standard_scale
        ``"var"`` stretches the values of each gene to 0..1, ``"group"`` those of each cell over the genes shown.
    density_norm
        As for `violin`, among the violins of one gene.

    Returns
    -------
    Axes by name: ``mainplot_ax``, ``color_legend_ax`` and, where there are such, ``gene_group_ax`` (brackets) and
    ``group_extra_ax`` (dendrogram).

    Notes
    -----
    In each cell of the grid values run upwards from the lowest to the highest of all values shown, so that heights
    compare across genes and groups. Genes are made dense one at a time.
    """
    from matplotlib.collections import PolyCollection

    data = gather(
        adata, var_names, groupby, use_raw=use_raw, log=log, num_categories=num_categories, categories_order=categories_order,
        dendrogram=dendrogram, gene_symbols=gene_symbols, var_group_positions=var_group_positions,
        var_group_labels=var_group_labels, layer=layer,
    )  # fmt: skip
    values_of = data.scaled(standard_scale)
    shapes: list[list[Shape]] = []
    medians = np.full((len(data.names), len(data.categories)), np.nan)
    for j in range(len(data.names)):
        parts = data.by_group(values_of(j))
        medians[j] = [np.median(part) if len(part) else np.nan for part in parts]
        shapes.append([shape(part[np.isfinite(part)]) for part in parts])

    bottom = min((s.at[0] for row in shapes for s in row if s.members), default=0.0)
    top = max((s.at[-1] for row in shapes for s in row if s.members), default=1.0)
    span = top - bottom or 1.0
    grid = Grid(
        ax, data, cell=(0.42, 0.42), swap_axes=swap_axes, figsize=figsize, legends=0.8, title=title, rotation=var_group_rotation
    )
    outlines, shades = [], []
    for j, row in enumerate(shapes):
        for g, (s, half) in enumerate(zip(row, half_widths(row, density_norm, 0.9), strict=True)):
            if not s.members:
                continue
            across, down = (g, j) if swap_axes else (j, g)
            outline = _outline(across, s, half, upright=True)
            outline[:, 1] = down + 0.45 - 0.9 * (outline[:, 1] - bottom) / span
            outlines.append(outline)
            shades.append(medians[j, g])
    scale = norm_of(medians, vmin, vmax, vcenter, norm)
    violins = PolyCollection(outlines, array=np.array(shades), norm=scale, cmap=cmap, edgecolors="black", linewidths=0.4)
    grid.main.add_collection(violins)
    for line in np.arange(0.5, len(data.names if swap_axes else data.categories) - 1):
        grid.main.axhline(line, color="#dddddd", linewidth=0.5, zorder=0)
    grid.colorbar(violins, colorbar_title)
    return grid.finish()
