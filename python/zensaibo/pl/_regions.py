"""Pictures of atlases: cells per structure as bars, slices with outlines, template and density."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, MissingKeyError, ParameterError, ShapeError
from ..im._atlas import Atlas
from ..im._volume import open

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame

#: What is shown: columns of a table of one sample (left, right, both), layers of several (cells, volume), label.
_VALUES = {
    "density": (("left_cells_per_mm3", "right_cells_per_mm3", "cells_per_mm3"), "cells per mm3"),
    "cells": (("left_cell_count", "right_cell_count", "total_cells"), "cells"),
    "volume": (("left_volume_mm3", "right_volume_mm3", "total_volume_mm3"), "mm3"),
}
#: What an atlas is looked at along, by the letters of its orientation.
_VIEWS = {"coronal": "ap", "sagittal": "lr", "horizontal": "is"}
#: Sides that are up in a picture, the first one that it can show, and those that are left in it.
_UP, _LEFT = "sa", "la"
_SIDES = ("ap", "is", "lr")
_GREY = "#7f8c9b"


def regions(
    table: DataFrame | AnnData,
    *,
    structures: Sequence[str] | int = 20,
    value: str = "density",
    groupby: str | None = None,
    sides: bool = True,
    atlas: Atlas | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Bars of structures: left and right of one sample, or groups of samples with a dot for each sample.

    Parameters
    ----------
    table
        Of `zensaibo.im.count_regions` (one sample) or `zensaibo.im.region_table` (several).
    structures
        Acronyms, in the order to show; or how many of the finest structures with the most cells.
    value
        "density" (cells per mm3), "cells" or "volume" (mm3).
    groupby
        With several samples: column of ``obs`` that groups them; "group" where there is one.
    sides
        With one sample: left bars to the left and right bars to the right, instead of both in one.
    atlas
        Colours bars as the atlas does.
    log
        Logarithmic values.
    ax
        Axes to draw into.

    Returns
    -------
    The axes.
    """
    from matplotlib import pyplot as plt

    if value not in _VALUES:
        raise ParameterError(f"parameter `value`: expected 'density', 'cells' or 'volume', found {value!r}")
    several = hasattr(table, "layers")
    about = table.var if several else table
    if several and not {"left", "volume"} <= set(table.layers) or not several and "total_cells" not in table:
        raise DataError("table: expected one of count_regions or region_table, found other columns")
    cells = np.asarray(table.X, dtype=np.float64).sum(axis=0) if several else table["total_cells"].to_numpy(dtype=np.float64)
    rows = _chosen(about, cells, structures)
    names = about["acronym"].to_numpy()[rows]
    colors: list[Any] = [_GREY] * len(rows)
    if atlas is not None:
        known = dict(zip(atlas.structures["acronym"], atlas.structures["rgb"], strict=True))
        colors = [tuple(part / 255 for part in known.get(name, (127, 140, 155))) for name in names]
    columns, label = _VALUES[value]
    if ax is None:
        _, ax = plt.subplots(figsize=(5.5, 0.26 * max(len(rows), 3) + 1.1), layout="constrained")
    at = np.arange(len(rows))
    if several:
        _groups(ax, table, rows, colors, value, groupby)
    elif sides:
        left, right = (table[column].to_numpy(dtype=np.float64)[rows] for column in columns[:2])
        left, right = (np.log10(side + 1) if log else side for side in (left, right))
        ax.barh(at, -left, color=colors, edgecolor="#333333", linewidth=0.5)
        ax.barh(at, right, color=colors, edgecolor="#333333", linewidth=0.5)
        ax.axvline(0, color="#333333", linewidth=0.8)
        most = np.nanmax([*left, *right, 1e-12]) * 1.05
        ax.set_xlim(-most, most)
        ax.xaxis.set_major_formatter(lambda tick, _: f"{10**abs(tick) - 1:.3g}" if log else f"{abs(tick):g}")
        ax.text(0.01, 1.01, "left", transform=ax.transAxes, ha="left", va="bottom", fontsize="small")
        ax.text(0.99, 1.01, "right", transform=ax.transAxes, ha="right", va="bottom", fontsize="small")
    else:
        ax.barh(at, table[columns[2]].to_numpy(dtype=np.float64)[rows], color=colors, edgecolor="#333333", linewidth=0.5)
    if log and (several or not sides):
        ax.set_xscale("log")
    ax.set_yticks(at, names)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlabel(label)
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    return ax


def _chosen(about: DataFrame, cells: np.ndarray, structures: Sequence[str] | int) -> np.ndarray:
    """Rows of the structures that are shown."""
    if isinstance(structures, str):
        structures = [structures]
    if isinstance(structures, (int, np.integer)):
        if structures < 1:
            raise ParameterError(f"parameter `structures`: expected at least 1 or acronyms, found {structures}")
        held = cells > 0
        parents = set(about["parent_id"].to_numpy()[held])
        finest = held & ~np.isin(about["id"].to_numpy(), list(parents))
        order = np.argsort(-cells, kind="stable")
        return order[finest[order]][:structures]
    rows = {name: row for row, name in reversed(list(enumerate(about["acronym"])))}
    lacking = [name for name in structures if name not in rows]
    if lacking:
        raise MissingKeyError(f"structures: expected acronyms of the table, found {lacking[0]!r}")
    return np.array([rows[name] for name in structures], dtype=np.int64)


def _groups(ax: Axes, table: AnnData, rows: np.ndarray, colors: list[Any], value: str, groupby: str | None) -> None:
    """A bar per group and a dot per sample."""
    from .. import _core

    if groupby is not None and groupby not in table.obs:
        raise MissingKeyError(f"groupby: expected a column of obs ({', '.join(table.obs)}), found {groupby!r}")
    key = groupby or ("group" if "group" in table.obs else None)
    members = np.full(table.n_obs, "all") if key is None else table.obs[key].astype(str).to_numpy()
    cells, volume = np.asarray(table.X, dtype=np.float64), np.asarray(table.layers["volume"])
    with np.errstate(divide="ignore", invalid="ignore"):
        shown = {"cells": cells, "volume": volume, "density": cells / volume}[value][:, rows]
    groups = list(dict.fromkeys(members))
    tall = 0.8 / len(groups)
    shades = [_GREY] if len(groups) == 1 else _core.category_colors(len(groups))
    for number, group in enumerate(groups):
        inside = shown[members == group]
        at = np.arange(len(rows)) + (number - (len(groups) - 1) / 2) * tall
        fill = colors if len(groups) == 1 else shades[number]
        ax.barh(at, inside.mean(axis=0), height=tall, color=fill, edgecolor="#333333", linewidth=0.5, label=group)
        ax.plot(inside.T, np.repeat(at[:, None], len(inside), axis=1), ".", color="#222222", markersize=3, alpha=0.8)
    if len(groups) > 1:
        ax.legend(frameon=False, fontsize="small", loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(groups), borderaxespad=0.2)


def atlas_slices(
    atlas: Atlas,
    volume: Any = None,
    *,
    axis: str = "z",
    at: Sequence[float] | int = 4,
    structures: Sequence[str | int] | None = None,
    depth: int | None = None,
    background: Any = None,
    cmap: str = "magma",
    clip: tuple[float, float] = (0.0, 99.5),
    vmin: float | None = None,
    vmax: float | None = None,
    alpha: float = 0.75,
    fill: bool = False,
    label: str | None = None,
    columns: int = 4,
) -> Figure:
    """Slices of an atlas: its template, outlines of structures, and a volume such as a density over them.

    Parameters
    ----------
    atlas
        Of `zensaibo.im.load_atlas`.
    volume
        On the grid of the atlas (a density, a statistic), anything that `zensaibo.im.open` takes; not shown where it is NaN or,
        unless `vmin` is below 0, 0.
    axis
        The axis to look along: "z", "y" or "x" of the atlas's array, or "coronal", "sagittal" or "horizontal".
    at
        Micrometres along it; or how many slices, evenly over the tissue.
    structures
        Acronyms, names or ids to outline; all by default.
    depth
        Outline structures as far as this many levels below the whole, with all their parts.
    background
        An image on the grid of the atlas in place of its template.
    cmap, clip, vmin, vmax, alpha
        Colours of `volume`: percentiles of what is not 0 that become the ends, or the ends themselves; opacity.
    fill
        Paint structures in the colours of the atlas.
    label
        Text beside the colour bar.
    columns
        Slices beside each other.

    Returns
    -------
    The figure. Whatever the order of the atlas's axes: superior is up, anterior where that is not to be seen; left is left, and in
    sagittal slices anterior; the letters of the sides stand at the edges.
    """
    from matplotlib import pyplot as plt
    from matplotlib.collections import LineCollection

    along = _along(atlas, axis)
    if columns < 1:
        raise ParameterError(f"parameter `columns`: expected at least 1, found {columns}")
    across, down, turn, sides = _view(atlas.orientation, along)
    shape, um = atlas.annotation.shape, np.array(atlas.spacing)
    planes = _planes(atlas, along, at)
    over = None if volume is None else _on(atlas, volume, "volume")
    under = _on(atlas, background, "background") if background is not None else atlas.template
    shown = _shown(atlas, structures, depth)

    slices = [np.take(atlas.annotation, plane, along) for plane in planes]
    extent = (-um[across] / 2, (shape[across] - 0.5) * um[across], (shape[down] - 0.5) * um[down], -um[down] / 2)
    low, high = _ends(over, planes, along, clip, vmin, vmax) if over is not None else (0.0, 1.0)
    n_columns = min(columns, len(planes))
    n_rows = -(-len(planes) // n_columns)
    wide, tall = extent[1] - extent[0], extent[2] - extent[3]
    scale = 3.2 / max(wide, tall)
    figure, axes = plt.subplots(
        n_rows, n_columns, squeeze=False, figsize=(n_columns * wide * scale + 1.2, n_rows * (tall * scale + 0.4) + 0.5), layout="constrained"
    )
    drawn = None
    grey = np.percentile(under[under > 0], 99.8) if under is not None and (under > 0).any() else 1.0
    for ax in axes.flat[len(planes) :]:
        ax.remove()
    for ax, plane, ids in zip(axes.flat, planes, slices, strict=False):
        ids = shown(turn(ids))
        if under is not None:
            ax.imshow(turn(np.take(under, plane, along)), extent=extent, cmap="gray", vmin=0, vmax=grey, interpolation="nearest")
        if fill:
            ax.imshow(_painted(atlas, ids, 0.55), extent=extent, interpolation="nearest")
        if over is not None:
            values = turn(np.take(over, plane, along)).astype(np.float64)
            hidden = ~np.isfinite(values) | ((values == 0) if low >= 0 else False)
            drawn = ax.imshow(
                np.ma.masked_where(hidden, values), extent=extent, cmap=cmap, vmin=low, vmax=high, alpha=alpha, interpolation="nearest"
            )
        light = "#ffffff" if under is not None or over is not None else "#333333"
        ax.add_collection(LineCollection(list(_edges(ids, um[down], um[across])), colors=light, linewidths=0.35, alpha=0.8))
        ax.set_facecolor("black" if light == "#ffffff" else "white")
        ax.set_xlim(extent[0], extent[1])
        ax.set_ylim(extent[2], extent[3])
        ax.set_aspect("equal")
        ax.set_xticks([])
        ax.set_yticks([])
        ax.set_title(f"{'zyx'[along]} = {plane * um[along]:.6g} um", fontsize="small")
        for letter, (x, y) in zip(sides, ((0.5, 0.97), (0.5, 0.03), (0.03, 0.5), (0.97, 0.5)), strict=True):
            ends = {"ha": {0.03: "left", 0.97: "right"}.get(x, "center"), "va": {0.97: "top", 0.03: "bottom"}.get(y, "center")}
            ax.text(x, y, letter, transform=ax.transAxes, color=light, fontsize="x-small", alpha=0.8, **ends)
    if drawn is not None:
        figure.colorbar(drawn, ax=list(axes.flat[: len(planes)]), shrink=0.7, label=label)
    return figure


def _along(atlas: Atlas, axis: str) -> int:
    """The place in (z, y, x) of what is looked along."""
    if axis in _VIEWS:
        return next(place for place, letter in enumerate(atlas.orientation) if letter in _VIEWS[axis])
    if axis not in ("z", "y", "x"):
        raise ParameterError(f"parameter `axis`: expected 'z', 'y', 'x', 'coronal', 'sagittal' or 'horizontal', found {axis!r}")
    return "zyx".index(axis)


def _view(orientation: str, along: int) -> tuple[int, int, Callable[[np.ndarray], np.ndarray], str]:
    """Which axes go across and down the picture, how a plane is turned for it, and the letters of its upper, lower, left and right
    side. `orientation` names the side where index 0 of each axis lies."""
    one, other = (place for place in range(3) if place != along)
    pair = {place: next(pair for pair in _SIDES if orientation[place] in pair) for place in (one, other)}
    down = one if pair[one] == "is" or (pair[one] == "ap" and pair[other] != "is") else other
    across = other if down == one else one
    first = {down: next(side for side in _UP if side in pair[down]), across: next(side for side in _LEFT if side in pair[across])}

    def turn(plane: np.ndarray) -> np.ndarray:
        plane = plane if down < across else plane.T
        plane = plane if orientation[down] == first[down] else plane[::-1]
        return plane if orientation[across] == first[across] else plane[:, ::-1]

    last = {place: pair[place].replace(first[place], "") for place in first}
    return across, down, turn, (first[down] + last[down] + first[across] + last[across]).upper()


def _planes(atlas: Atlas, along: int, at: Sequence[float] | int) -> list[int]:
    n, um = atlas.annotation.shape[along], atlas.spacing[along]
    if isinstance(at, (int, np.integer)) and not isinstance(at, bool):
        if at < 1:
            raise ParameterError(f"parameter `at`: expected at least 1 slice or places in micrometres, found {at}")
        held = np.flatnonzero(atlas.annotation.any(axis=tuple(axis for axis in range(3) if axis != along)))
        return [int(round(place)) for place in np.linspace(held[0], held[-1], at + 2)[1:-1]]
    wanted = list(at)  # type: ignore[arg-type]
    planes = [round(float(place) / um) for place in wanted]
    wrong = [place for place, plane in zip(wanted, planes, strict=True) if not 0 <= plane < n]
    if wrong or not planes:
        found = wrong[0] if wrong else "none"
        raise ParameterError(f"parameter `at`: expected places in 0 to {(n - 1) * um:g} um along {'zyx'[along]}, found {found}")
    return planes


def _on(atlas: Atlas, volume: Any, name: str) -> np.ndarray:
    array = volume if isinstance(volume, np.ndarray) else np.asarray(open(volume))
    if array.shape != atlas.annotation.shape:
        raise ShapeError(f"{name}: expected the grid of atlas {atlas.name}, {atlas.annotation.shape}, found {array.shape}")
    return array


def _shown(atlas: Atlas, structures: Sequence[str | int] | None, depth: int | None) -> Any:
    """A function from ids to rows of the structures that are outlined, + 1; 0 for none."""
    table = atlas.structures
    rows = np.arange(len(table))
    if depth is not None:
        if depth < 0:
            raise ParameterError(f"parameter `depth`: expected at least 0, found {depth}")
        deep = table["depth"].to_numpy()
        # Parents come first, so each passes on where it went.
        for row in range(len(rows)):
            if deep[row] > depth:
                rows[row] = rows[atlas._parents[row]]
    if structures is not None:
        names = [structures] if isinstance(structures, (str, int)) else structures
        wanted = np.full(len(table), -1)
        for name in names:
            row = atlas._row(name)
            wanted[row : atlas._ends[row]] = row if depth is None else rows[row : atlas._ends[row]]
        rows = wanted
    ids = table["id"].to_numpy()
    order = np.argsort(ids)

    def to_rows(plane: np.ndarray) -> np.ndarray:
        place = np.minimum(np.searchsorted(ids[order], plane), len(order) - 1)
        found = rows[order[place]] + 1
        return np.where(plane == 0, 0, found)

    return to_rows


def _ends(
    over: np.ndarray, planes: list[int], along: int, clip: tuple[float, float], vmin: float | None, vmax: float | None
) -> tuple[float, float]:
    values = np.take(over, planes, along)
    values = values[np.isfinite(values) & (values != 0)]
    low, high = np.percentile(values, clip) if values.size else (0.0, 1.0)
    low = float(low) if vmin is None and (values < 0).any() else (0.0 if vmin is None else float(vmin))
    return low, max(float(high) if vmax is None else float(vmax), low + 1e-12)


def _painted(atlas: Atlas, rows: np.ndarray, alpha: float) -> np.ndarray:
    colors = np.array([(0, 0, 0), *atlas.structures["rgb"]], dtype=np.float64) / 255
    return np.dstack([colors[rows], np.where(rows > 0, alpha, 0.0)])


def _edges(rows: np.ndarray, down: float, across: float) -> np.ndarray:
    """Lines between pixels of different structures, runs of them joined: (lines, 2 ends, (x, y)) in micrometres."""
    lines = []
    for turned in (False, True):
        grid = rows.T if turned else rows
        differs = np.pad(grid[1:] != grid[:-1], ((0, 0), (1, 1))).astype(np.int8)
        starts, ends = (np.argwhere(np.diff(differs, axis=1) == sign) for sign in (1, -1))
        level, first, last = starts[:, 0] + 0.5, starts[:, 1] - 0.5, ends[:, 1] - 0.5
        ends_of = [np.stack([first, level], 1), np.stack([last, level], 1)]
        if turned:
            ends_of = [pair[:, ::-1] for pair in ends_of]
        lines.append(np.stack(ends_of, axis=1))
    return np.concatenate(lines) * np.array([across, down])
