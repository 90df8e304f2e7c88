"""Genes by cells, cells sorted by group: as colours, or as one track for each gene."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError
from ._colors import norm_of
from ._grid import _GAP, _LABEL, _SMALL, _TREE, draw_brackets, draw_tree, text_size
from ._groups import Grouped, gather
from ._panels import Frame, size_of
from ._violin import group_colors

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Rows that a screen can show; where there are more cells, each stands for several of one group.
_ROWS = 2000
#: Names of genes are shown up to here.
_NAMED = 60


def rows_of(data: Grouped) -> tuple[np.ndarray, np.ndarray]:
    """Where each row starts among the sorted cells, and the rows of each group.

    A row is one cell, or as many consecutive cells of one group as it takes to stay near 2,000 rows.
    """
    each = max(-(-int(data.sizes.sum()) // _ROWS), 1)
    starts, first = [], 0
    for size in data.sizes:
        starts.append(first + np.arange(0, size, each))
        first += size
    return np.concatenate(starts), np.array([len(part) for part in starts])


def _merged(values: np.ndarray, starts: np.ndarray, how: str) -> np.ndarray:
    """One number for each row: the mean without NaN, or the highest."""
    if len(starts) == len(values):
        return values
    if how == "max":
        return np.fmax.reduceat(values, starts)
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.add.reduceat(np.where(known, values, 0.0), starts) / np.add.reduceat(known.astype(np.int64), starts)


def heatmap(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    dendrogram: bool | str = False,
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    standard_scale: str | None = None,
    swap_axes: bool = False,
    show_gene_labels: bool | None = None,
    figsize: Sequence[float] | None = None,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    vcenter: Any = None,
    norm: Any = None,
    cmap: Any = "viridis",
) -> dict[str, Axes]:
    """Colours for genes by cells; cells are sorted by group, and stay in their order within it.

    Parameters are those of `dotplot`, and:

    Parameters
    ----------
    standard_scale
        ``"var"`` stretches the values of each gene to 0..1, ``"group"`` those of each cell over the genes shown.
    show_gene_labels
        Whether genes are named; by default up to 60 of them.

    Returns
    -------
    Axes by name: ``heatmap_ax``, ``groupby_ax`` (a strip in the groups' colours), ``colorbar_ax`` and, where there are
    such, ``gene_groups_ax`` (brackets) and ``dendrogram_ax``.

    Notes
    -----
    Beyond 2,000 cells each row of the picture is the mean of consecutive cells of one group, as many as it takes: a
    screen shows no more. Colours of groups are those of ``uns["<groupby>_colors"]``, written if there are none.
    """
    data = gather(
        adata, var_names, groupby, use_raw=use_raw, log=log, num_categories=num_categories, dendrogram=dendrogram,
        gene_symbols=gene_symbols, var_group_positions=var_group_positions, var_group_labels=var_group_labels, layer=layer,
    )  # fmt: skip
    starts, lengths = rows_of(data)
    values_of = data.scaled(standard_scale)
    picture = np.column_stack([_merged(values_of(j)[data.order], starts, "mean") for j in range(len(data.names))])
    scale = norm_of(picture, vmin, vmax, vcenter, norm)
    stage = _Stage(
        ax, adata, data, lengths, swap_axes=swap_axes, figsize=figsize, rotation=var_group_rotation,
        named=len(data.names) <= _NAMED if show_gene_labels is None else show_gene_labels, tracks=False,
    )  # fmt: skip
    main = stage.main
    main.set_facecolor("lightgray")
    rows, genes = picture.shape
    extent = (-0.5, rows - 0.5, genes - 0.5, -0.5) if swap_axes else (-0.5, genes - 0.5, rows - 0.5, -0.5)
    # Genes are several pixels wide, so that smoothing over many cells does not blur one gene into the next.
    pixels = np.repeat(np.ma.masked_invalid(picture), max(1, 800 // genes), axis=1)
    drawn = main.imshow(
        pixels.T if swap_axes else pixels, norm=scale, cmap=cmap, aspect="auto", extent=extent,
        interpolation="nearest" if rows < 300 else "antialiased",
    )  # fmt: skip
    for edge in np.cumsum(lengths)[:-1] - 0.5:
        (main.axvline if swap_axes else main.axhline)(edge, color="white", linewidth=0.4)
    bar = stage.frame.add(stage.legend_left, stage.legend_bottom, 0.14, stage.legend_height)
    stage.frame.figure.colorbar(drawn, cax=bar)
    bar.tick_params(labelsize=_SMALL, length=2)
    stage.axes["colorbar_ax"] = bar
    return stage.finish()


def tracksplot(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    dendrogram: bool | str = False,
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    layer: str | None = None,
    figsize: Sequence[float] | None = None,
    ax: Axes | None = None,
) -> dict[str, Any]:
    """A track for each gene: its value in each cell as height, cells sorted and coloured by group.

    Parameters are those of `dotplot`.

    Returns
    -------
    ``track_axes`` (a list, one for each gene), ``groupby_ax`` (a strip in the groups' colours) and, where there are
    such, ``gene_groups_ax`` (brackets) and ``dendrogram_ax``.

    Notes
    -----
    Beyond 2,000 cells each step of a track is the highest value of consecutive cells of one group, which is what
    narrower steps would show. The range of each track runs from 0, or its lowest value if that is less, to its highest.
    """
    data = gather(
        adata, var_names, groupby, use_raw=use_raw, log=log, num_categories=num_categories, dendrogram=dendrogram,
        gene_symbols=gene_symbols, var_group_positions=var_group_positions, var_group_labels=var_group_labels, layer=layer,
    )  # fmt: skip
    from matplotlib.collections import PolyCollection

    starts, lengths = rows_of(data)
    stage = _Stage(ax, adata, data, lengths, swap_axes=True, figsize=figsize, rotation=None, named=True, tracks=True)
    edges = np.arange(lengths.sum() + 1) - 0.5
    ends = np.cumsum(lengths)
    for j, track in enumerate(stage.axes["track_axes"]):
        height = _merged(data.dense(j)[data.order], starts, "max")
        outlines = [_steps(height[first:last], edges[first : last + 1]) for first, last in zip(ends - lengths, ends, strict=True)]
        track.add_collection(PolyCollection(outlines, facecolors=stage.colors, linewidths=0), autolim=False)
        low, high = min(np.nanmin(np.append(height, 0)), 0), np.nanmax(np.append(height, 0))
        high = high if high > low else low + 1
        track.set_xlim(edges[0], edges[-1])
        track.set_ylim(low, high)
        track.set_yticks([high], [f"{high:.3g}"], fontsize=_SMALL)
        track.set_xticks([])
        track.tick_params(axis="y", labelleft=False, labelright=True, left=False, right=True, length=2)
        track.set_ylabel(data.names[j], rotation=0, ha="right", va="center")
        track.spines[["top", "left"]].set_visible(False)
        track.spines[["bottom", "right"]].set_color("#aaaaaa")
    return stage.finish()


def _steps(heights: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The outline of bars side by side that stand on 0; NaN has no height."""
    top = np.column_stack([np.repeat(edges, 2)[1:-1], np.repeat(np.nan_to_num(heights), 2)])
    return np.concatenate([[[edges[0], 0.0]], top, [[edges[-1], 0.0]]])


class _Stage:
    """A frame for sorted cells: the main plot (or tracks), a strip of groups with names, brackets, a dendrogram."""

    def __init__(
        self,
        ax: Axes | None,
        adata: AnnData,
        data: Grouped,
        lengths: np.ndarray,
        *,
        swap_axes: bool,
        figsize: Sequence[float] | None,
        rotation: float | None,
        named: bool,
        tracks: bool,
    ):
        from matplotlib.colors import ListedColormap
        from matplotlib.figure import Figure

        self.axes: dict[str, Any] = {}
        self.colors = group_colors(adata, data)
        genes, groups, rows = len(data.names), len(data.categories), int(lengths.sum())
        ruler = ax.figure if ax is not None else Figure()
        widths = np.array([text_size(ruler, name, _LABEL)[0] for name in data.categories])
        strip = 0.14
        tree = _TREE + _GAP if data.tree is not None else 0.0
        bracket = 0.0
        if data.brackets:
            labels = np.array([text_size(ruler, b.label, _LABEL)[0] for b in data.brackets])
            spans = np.array([b.last - b.first + 1 for b in data.brackets]) * (0.42 if tracks else 0.2 if swap_axes else 0.22)
            if rotation is None:
                rotation = 90.0 if not swap_axes and (labels > spans - 0.05).any() else 0.0
            turn = np.deg2rad(rotation)
            deep = abs(np.cos(turn)) if swap_axes else abs(np.sin(turn))
            bracket = float(labels.max() * deep + 0.16 * (1 - deep)) + 0.2
        legend = 0.0 if tracks else 0.6
        # Left or below: the strip; right or above: brackets and the tree.
        if swap_axes:
            main = np.array([7.0, genes * (0.42 if tracks else 0.2 if named else min(0.2, 6.0 / genes))])
            beside, above, below = bracket + legend, tree, strip + 0.05
        else:
            main = np.array([genes * (0.22 if named else min(0.22, 8.0 / genes)), max(4.0, 0.2 * groups)])
            beside, above, below = tree + legend, bracket, 0.0
        left = 0.0 if swap_axes else strip + 0.05
        whole = size_of(figsize, ax)
        if whole is not None:
            main = whole - (left + beside, below + above)
            if (main <= 0.2).any():
                raise ParameterError(
                    f"parameters `figsize`, `ax`: expected over {left + beside + 0.2:.1f} x {below + above + 0.2:.1f} inches for "
                    f"legends and brackets, found {whole[0]:.1f} x {whole[1]:.1f}"
                )
        self.frame = Frame(ax, left + main[0] + beside, below + main[1] + above)
        if tracks:
            share = main[1] / genes
            self.axes["track_axes"] = [
                self.frame.add(left, below + main[1] - (j + 1) * share + 0.05, main[0], share - 0.05) for j in range(genes)
            ]
        else:
            self.main = self.frame.add(left, below, *main)
            self.axes["heatmap_ax"] = self.main
            put = self.main.set_yticks if swap_axes else self.main.set_xticks
            if named:
                put(range(genes), data.names, rotation=0 if swap_axes else 90)
            else:
                put([])
            (self.main.set_xticks if swap_axes else self.main.set_yticks)([])
            self.main.tick_params(length=2)

        middles = np.cumsum(lengths) - lengths / 2 - 0.5
        codes = np.repeat(np.arange(groups), lengths)
        table = ListedColormap(self.colors)
        along = main[0] if swap_axes else main[1]
        if swap_axes:
            side = self.frame.add(left, 0.0, main[0], strip)
            side.imshow(codes[None], aspect="auto", cmap=table, vmin=-0.5, vmax=groups - 0.5, interpolation="nearest",
                        extent=(-0.5, rows - 0.5, 0, 1))  # fmt: skip
            room = widths.max() + 0.08
            upright = groups * room > 0.8 * along
            room = 0.17 if upright else room
            _names(side, data.categories, middles, rows, room / along * rows, below=True, upright=bool(upright), depth=strip)
        else:
            side = self.frame.add(0.0, below, strip, main[1])
            side.imshow(codes[:, None], aspect="auto", cmap=table, vmin=-0.5, vmax=groups - 0.5, interpolation="nearest",
                        extent=(0, 1, rows - 0.5, -0.5))  # fmt: skip
            _names(side, data.categories, middles, rows, 0.17 / along * rows, below=False, upright=False, depth=strip)
        self.axes["groupby_ax"] = side
        if data.brackets:
            place = (main[0], below, bracket, main[1]) if swap_axes else (left, main[1], main[0], bracket)
            over = self.frame.add(*(place if not tracks else (main[0] + 0.35, *place[1:])))
            draw_brackets(over, data.brackets, genes, swap_axes, float(rotation or 0), bracket)
            self.axes["gene_groups_ax"] = over
        if data.tree is not None:
            if swap_axes:
                extra = self.frame.add(left, below + main[1] + _GAP / 2, main[0], _TREE)
                extra.set_xlim(-0.5, rows - 0.5)
                draw_tree(extra, data.tree, "top", middles)
            else:
                extra = self.frame.add(left + main[0] + _GAP / 2, below, _TREE, main[1])
                extra.set_ylim(rows - 0.5, -0.5)
                draw_tree(extra, data.tree, "right", middles)
            self.axes["dendrogram_ax"] = extra
        self.legend_left = left + main[0] + beside - legend + 0.15
        self.legend_height = min(main[1], 2.0)
        self.legend_bottom = below + (main[1] - self.legend_height) / 2

    def finish(self) -> dict[str, Any]:
        self.frame.finish()
        return self.axes


def _names(
    ax: Axes, names: list[str], middles: np.ndarray, rows: int, room: float, *, below: bool, upright: bool, depth: float
) -> None:
    """Names beside the strip of groups, moved apart where they would meet, with a line to their group."""
    places = apart(middles, room, -0.5, rows - 0.5)
    off = 0.12 / depth  # of the names, in depths of the strip
    if below:
        ax.set_xlim(-0.5, rows - 0.5)
        ax.set_ylim(0, 1)
    else:
        ax.set_xlim(0, 1)
        ax.set_ylim(rows - 0.5, -0.5)
    for name, middle, place in zip(names, middles, places, strict=True):
        start, bend, end = (middle, 0.0), (place, -0.7 * off), (place, -off)
        line = np.array([start, bend, end])
        x, y = line.T if below else line.T[::-1]
        ax.plot(x, y, color="#666666", linewidth=0.6, clip_on=False)
        if below:
            ax.text(place, -1.15 * off, name, rotation=90 if upright else 0, ha="center", va="top", fontsize=_LABEL)
        else:
            ax.text(-1.15 * off, place, name, ha="right", va="center", fontsize=_LABEL)
    ax.set_axis_off()


def apart(places: np.ndarray, room: float, low: float, high: float) -> np.ndarray:
    """Ascending places moved as little as it takes to be `room` apart and `room` / 2 within low..high.

    Where that does not fit, they are spread evenly. Least squares by merging neighbours that meet.
    """
    n = len(places)
    if n * room >= high - low:
        return low + (np.arange(n) + 0.5) * (high - low) / n
    blocks: list[list[float]] = []  # sum of wished starts, members
    for i, place in enumerate(places):
        blocks.append([place - i * room, 1.0])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] > blocks[-1][0] / blocks[-1][1]:
            total, members = blocks.pop()
            blocks[-1][0] += total
            blocks[-1][1] += members
    starts = np.concatenate([np.full(int(members), total / members) for total, members in blocks])
    return np.clip(starts, low + room / 2, high - room / 2 - (n - 1) * room) + np.arange(n) * room
