"""The frame that plots of genes by groups share: a grid, brackets over genes, a dendrogram, legends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError
from ._panels import Frame, size_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ._groups import Bracket, Grouped

#: Inches: a dendrogram's depth, gaps, the breadth of legends.
_TREE, _GAP, _LEGEND = 0.5, 0.1, 1.2
#: Points: text of legends and of brackets.
_SMALL, _LABEL = 8, 9


def text_size(figure: Any, text: str, fontsize: float) -> tuple[float, float]:
    """Width and height of a line of text in inches."""
    drawn = figure.text(0, 0, text, fontsize=fontsize)
    box = drawn.get_window_extent()
    drawn.remove()
    return box.width / figure.dpi, box.height / figure.dpi


class Grid:
    """A frame with a main plot of rows and columns; genes run across, or down with `swap_axes`."""

    def __init__(
        self,
        ax: Axes | None,
        data: Grouped,
        *,
        cell: tuple[float, float],
        swap_axes: bool,
        figsize: Sequence[float] | None,
        legends: float,
        title: str | None,
        rotation: float | None,
    ):
        rows, columns = (data.names, data.categories) if swap_axes else (data.categories, data.names)
        self.swapped, self.data = swap_axes, data
        self.axes: dict[str, Any] = {}
        main = np.array([len(columns) * cell[0], len(rows) * cell[1]])
        tree = _TREE + _GAP if data.tree is not None else 0.0
        bracket = self._bracket_depth(ax, data, rotation, main[1 if swap_axes else 0])
        right = (bracket if swap_axes else tree) + (_GAP * 2 + _LEGEND if legends else 0.0)
        above = tree if swap_axes else bracket
        whole = size_of(figsize, ax)
        if whole is not None:
            main = whole - (right, above)
            if (main <= 0.2).any():
                raise ParameterError(f"parameters `figsize`, `ax`: expected over {right + 0.2:.1f} x {above + 0.2:.1f} inches "
                                     f"for legends and brackets, found {whole[0]:.1f} x {whole[1]:.1f}")  # fmt: skip
        height = max(main[1], legends)
        self.frame = Frame(ax, main[0] + right, height + above)
        low = (height - main[1]) / 2
        self.main = self.frame.add(0, low, *main)
        self.axes["mainplot_ax"] = self.main
        self.cell_points = float(min(main / (len(columns), len(rows)))) * 72
        self.main.set_xlim(-0.5, len(columns) - 0.5)
        self.main.set_ylim(len(rows) - 0.5, -0.5)
        self.main.set_xticks(range(len(columns)), columns, rotation=90)
        self.main.set_yticks(range(len(rows)), rows)
        self.main.tick_params(length=2)
        top = self.main
        if data.brackets:
            place = (main[0], low, bracket, main[1]) if swap_axes else (0, low + main[1], main[0], bracket)
            top_or_side = self.frame.add(*place)
            draw_brackets(top_or_side, data.brackets, len(data.names), swap_axes, self.rotation, bracket)
            self.axes["gene_group_ax"] = top_or_side
            top = top if swap_axes else top_or_side
        if data.tree is not None:
            place = (0, low + main[1] + _GAP / 2, main[0], _TREE) if swap_axes else (main[0] + _GAP / 2, low, _TREE, main[1])
            extra = self.frame.add(*place)
            draw_tree(extra, data.tree, "top" if swap_axes else "right")
            self.axes["group_extra_ax"] = extra
            top = extra if swap_axes else top
        if title is not None:
            top.set_title(title)
        self.legend_left = main[0] + right - _LEGEND
        self.legend_top = (height + legends) / 2

    def _bracket_depth(self, ax: Axes | None, data: Grouped, rotation: float | None, length: float) -> float:
        """Inches that brackets and labels take beside the main plot; settles how labels are turned."""
        from matplotlib.figure import Figure

        if not data.brackets:
            self.rotation = 0.0
            return 0.0
        figure = ax.figure if ax is not None else Figure()
        sizes = np.array([text_size(figure, bracket.label, _LABEL) for bracket in data.brackets])
        if rotation is None:
            spans = [(bracket.last - bracket.first + 1) * length / len(data.names) for bracket in data.brackets]
            rotation = 90.0 if not self.swapped and (sizes[:, 0] > np.array(spans) - 0.05).any() else 0.0
        self.rotation = float(rotation)
        angle = np.deg2rad(self.rotation)
        along, upright = np.abs([np.cos(angle), np.sin(angle)])
        deep = sizes @ ([along, upright] if self.swapped else [upright, along])
        return float(deep.max()) + 0.2

    def legend(self, height: float, width: float = _LEGEND) -> Axes:
        """Axes for a legend, `height` inches high, below those before it."""
        self.legend_top -= height
        return self.frame.add(self.legend_left, self.legend_top, width, height)

    def colorbar(self, mappable: Any, title: str | None) -> None:
        """A colour bar with its title above."""
        self.legend_top -= 0.4  # the title
        bar = self.legend(0.14)
        self.legend_top -= 0.2  # its numbers
        self.frame.figure.colorbar(mappable, cax=bar, orientation="horizontal")
        bar.set_title(title or "", fontsize=_SMALL)
        bar.tick_params(labelsize=_SMALL, length=2)
        bar.xaxis.set_major_locator(_few())
        self.axes["color_legend_ax"] = bar

    def finish(self) -> dict[str, Any]:
        """The axes, after the figure has grown to hold all labels."""
        self.frame.finish()
        return self.axes


def _few() -> Any:
    from matplotlib.ticker import MaxNLocator

    return MaxNLocator(4)


def draw_brackets(
    ax: Axes, brackets: Sequence[Bracket], genes: int, sideways: bool, rotation: float, depth: float
) -> None:
    """Brackets with labels, over genes that run across, or to the right of genes that run down."""
    reach, foot = 0.08 / depth, 0.02 / depth
    for first, last, label in brackets:
        along = np.array([first - 0.35, first - 0.35, last + 0.35, last + 0.35])
        off = np.array([foot, reach, reach, foot])
        x, y = (off, along) if sideways else (along, off)
        ax.plot(x, y, color="black", linewidth=1)
        middle = (first + last) / 2
        if sideways:
            ax.text(reach + 0.06 / depth, middle, label, rotation=rotation, ha="left", va="center", fontsize=_LABEL)
        else:
            slanted = 0 < rotation % 90
            ax.text(
                middle, reach + 0.04 / depth, label, rotation=rotation, ha="left" if slanted else "center", va="bottom",
                fontsize=_LABEL, rotation_mode="anchor" if slanted else "default",
            )  # fmt: skip
    if sideways:
        ax.set_xlim(0, 1)
        ax.set_ylim(genes - 0.5, -0.5)
    else:
        ax.set_xlim(-0.5, genes - 0.5)
        ax.set_ylim(0, 1)
    ax.set_axis_off()


def draw_tree(ax: Axes, tree: dict[str, Any], orientation: str, places: Any = None) -> None:
    """The dendrogram of ``tl.dendrogram``, leaves at 0, 1, 2... or at `places`, root to the side of `orientation`."""
    from matplotlib.collections import LineCollection

    info = tree["dendrogram_info"]
    # scipy puts leaf i at 5 + 10 i.
    leaf = (np.asarray(info["icoord"], dtype=np.float64).reshape(-1, 4) - 5) / 10
    height = np.asarray(info["dcoord"], dtype=np.float64).reshape(-1, 4)
    leaves = len(tree["categories_ordered"])
    ends: tuple[float, float] | None = (-0.5, leaves - 0.5)
    if places is not None:
        places = np.asarray(places, dtype=np.float64)
        leaf = np.interp(leaf, np.arange(leaves), places)
        ends = None
    top = float(height.max()) * 1.05 if height.size and height.max() > 0 else 1.0
    sideways = orientation in ("left", "right")
    lines = np.stack([height, leaf] if sideways else [leaf, height], axis=2)
    ax.add_collection(LineCollection(list(lines), colors="#555555", linewidths=1))
    ax.set_axis_off()
    if sideways:
        ax.set_xlim((0, top) if orientation == "right" else (top, 0))
        if ends:
            ax.set_ylim(ends[::-1])
    else:
        ax.set_ylim((0, top) if orientation == "top" else (top, 0))
        if ends:
            ax.set_xlim(ends)
