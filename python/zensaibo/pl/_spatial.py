"""Cells in tissue, in two and three dimensions, over the image of the tissue where there is one."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsm
from .._labels import codes_of
from .._units import LENGTHS, unit_of
from ..errors import MissingKeyError, NonFiniteError, ParameterError, ShapeError
from ._colors import category_colors, fetch, norm_of
from ._embedding import _LEGENDS, _each, _legend
from ._panels import draw_points, end, fit, grid_of, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of the longer side of a panel.
_SIDE = 4.2


def spatial(
    adata: AnnData,
    *,
    color: str | Sequence[str] | None = None,
    spatial_key: str = "spatial",
    library_key: str | None = None,
    library_id: str | Sequence[str] | None = None,
    dimensions: tuple[int, int] | None = None,
    view: tuple[float, float] = (25.0, -60.0),
    img: bool | None = None,
    img_key: str | None = None,
    img_alpha: float = 1.0,
    unit: str | None = None,
    scale_bar: bool | float = True,
    crop: Sequence[float] | None = None,
    size: float | None = None,
    invert_y: bool = True,
    gene_symbols: str | None = None,
    use_raw: bool | None = None,
    layer: str | None = None,
    sort_order: bool = True,
    groups: str | Sequence[str] | None = None,
    cmap: Any = None,
    palette: Any = None,
    na_color: Any = "lightgray",
    na_in_legend: bool = True,
    alpha: float = 1.0,
    vmin: Any = None,
    vmax: Any = None,
    vcenter: Any = None,
    legend_loc: str | None = "right margin",
    legend_fontsize: float | str | None = None,
    legend_fontweight: int | str = "bold",
    colorbar_loc: str | None = "right",
    frameon: bool = False,
    title: str | Sequence[str] | None = None,
    ncols: int = 4,
    hspace: float = 0.05,
    wspace: float | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | os.PathLike | None = None,
    return_fig: bool = False,
    random_state: int = 0,
    dpi: float | None = None,
    threads: int | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Cells where they lie in the tissue, coloured by obs or genes; one panel for each colour and library, all to one scale.

    Parameters
    ----------
    adata
        Annotated data with coordinates.
    color
        Columns of obs or genes.
    spatial_key
        Key of obsm with 2 or 3 coordinates (x, y[, z]); y points down, as in images, unless `invert_y` is False.
    library_key
        Column of obs with the section of each cell; one panel for each. ``None``: one, or ``uns["spatial"]``'s only library.
    library_id
        Which libraries to show, in this order; all by default.
    dimensions
        Two axes to look at, such as ``(0, 2)``; by default all: three are seen from `view`.
    view
        Elevation and azimuth in degrees from which three dimensions are seen, parallel (without perspective). Nearer cells cover
        farther ones.
    img
        Whether to show the image of the tissue, ``uns["spatial"][library]["images"]``; by default where there is one and two dimensions are
        shown.
    img_key
        Which one, such as ``"hires"``; by default the largest.
    img_alpha
        Opacity of the image, 0 to 1.
    unit
        Unit of the coordinates, such as ``"micrometer"``, ``"pixel"`` or ``"unit"``; by default that of ``uns["spatial_space"]``, else none.
    scale_bar
        Whether to draw one, or its length in the unit of the coordinates.
    crop
        Left, right, top and bottom of what is shown, in coordinates (two dimensions).
    size
        Diameter of a cell in the unit of the coordinates; by default that of the spots (``scalefactors``), else the median distance to
        the nearest cell.
    invert_y
        Whether y points down (two dimensions).
    groups
        Categories to colour; all others are shown as `na_color`.
    vmin, vmax, vcenter
        As in `embedding`; one range for all libraries of a colour.
    color, gene_symbols, use_raw, layer, sort_order, cmap, palette, na_color, na_in_legend, alpha, legend_loc, legend_fontsize, legend_fontweight, colorbar_loc
        As in `embedding`.
    frameon
        Whether to draw frame and axis labels.
    title
        Title, or one for each panel; by default library and colour.
    ncols, hspace, wspace, ax, show, save, return_fig, random_state, dpi, threads
        As in `embedding`.

    Returns
    -------
    The axes, or a list of them for several panels. Writes ``uns["<color>_colors"]`` for categories without colours (not into a
    view).

    Notes
    -----
    Points are drawn as an image: a million cells in about a second. Cells without finite coordinates are refused.
    """
    adata = check_adata(adata)
    colors = [color] if color is None or isinstance(color, str) else list(color)
    if not colors:
        raise ParameterError("parameter `color`: expected None or at least one key, found an empty list")
    if use_raw is None:
        use_raw = layer is None and adata.raw is not None
    if use_raw and layer is not None:
        raise ParameterError("parameters `use_raw`, `layer`: expected at most one of them, found both")
    if use_raw and adata.raw is None:
        raise MissingKeyError("key `raw` not found in adata: `use_raw=True` needs `adata.raw`")
    held = fetch(adata, [key for key in colors if key is not None], use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    options = {
        name: value
        for name, value in locals().items()
        if name not in {"adata", "color", "colors", "held", "use_raw", "layer", "gene_symbols"}
    }
    return draw(adata, [(key, None if key is None else held[key]) for key in colors], **options)


class _Scene(NamedTuple):
    """One library as it is seen."""

    cells: np.ndarray
    points: np.ndarray
    """(n, 2) to the right and down (up in three dimensions)."""
    order: np.ndarray | None
    """Farthest first, in three dimensions."""
    box: np.ndarray | None
    """Ends of the edges of the box around the cells, (edges, 2, 2)."""
    labels: list[tuple[np.ndarray, str]]
    """Names of the axes of the box."""


def draw(
    adata: AnnData, colors: Sequence[tuple[str | None, pd.Series | None]], *, spatial_key: str, library_key: str | None, library_id: Any, dimensions: Any,
    view: Any, img: bool | None, img_key: str | None, img_alpha: float, unit: str | None, scale_bar: bool | float, crop: Any, size: float | None,
    invert_y: bool, sort_order: bool, groups: Any, cmap: Any, palette: Any, na_color: Any, na_in_legend: bool, alpha: float, vmin: Any, vmax: Any,
    vcenter: Any, legend_loc: Any, legend_fontsize: Any, legend_fontweight: Any, colorbar_loc: Any, frameon: bool, title: Any, ncols: int, hspace: float,
    wspace: float | None, ax: Any, show: bool | None, save: Any, return_fig: bool, random_state: int, dpi: float | None, threads: int | None,
) -> Any:  # fmt: skip
    """`spatial`, with what the panels are coloured by: names and values."""
    import matplotlib

    places = _places(adata, spatial_key)
    if legend_loc is not None and legend_loc not in (*_LEGENDS, "none"):
        raise ParameterError(f"parameter `legend_loc`: expected None or one of {', '.join(_LEGENDS)}, found {legend_loc!r}")
    if colorbar_loc not in (None, "right", "left", "top", "bottom"):
        raise ParameterError(f"parameter `colorbar_loc`: expected None, right, left, top or bottom, found {colorbar_loc!r}")
    if size is not None and (not isinstance(size, Real) or not size > 0):
        raise ParameterError(f"parameter `size`: expected a number above 0, found {size!r}")
    if not 0 <= img_alpha <= 1:
        raise ParameterError(f"parameter `img_alpha`: expected a number from 0 to 1, found {img_alpha!r}")
    length = _length_of(adata, unit)
    axes_shown = _axes_of(dimensions, places.shape[1])
    solid = len(axes_shown) == 3
    libraries = _libraries(adata, library_key, library_id, len(places))
    if solid and crop is not None:
        raise ParameterError(
            "parameter `crop`: expected None in three dimensions, found a rectangle (or name two `dimensions`)"
        )
    if solid and img:
        raise ParameterError("parameter `img`: expected False or None in three dimensions, found True")
    groups = [groups] if isinstance(groups, str) else groups
    table = matplotlib.colormaps.get_cmap(cmap)
    scenes = [_scene(places[cells][:, axes_shown], cells, view, axes_shown) for _, cells in libraries]
    down = invert_y and not solid
    images = [_image(adata, name, img, img_key) if not solid and axes_shown == [0, 1] else None for name, _ in libraries]
    if img and not any(image is not None for image in images):
        raise MissingKeyError("key `images` not found in adata.uns['spatial'] of the libraries shown: `img=True` needs one")
    frames = [
        _frame(scene, image, crop, 0.0 if scale_bar is False else 0.09, down)
        for scene, image in zip(scenes, images, strict=True)
    ]
    spots = [_diameter(adata, name, scene, size) for (name, _), scene in zip(libraries, scenes, strict=True)]
    # All panels to one scale.
    wide, tall = (max(frame[2 * at + 1] - frame[2 * at] for frame in frames) for at in (0, 1))
    wide, tall = wide or 1.0, tall or 1.0
    inches = np.array([wide, tall]) / max(wide, tall) * _SIDE
    inches = np.maximum(inches, 0.25 * _SIDE)
    panels = [(key, values, at) for key, values in colors for at in range(len(libraries))]
    figure: Any
    own = ax is None
    if len(panels) > 1:
        if ax is not None:
            raise ParameterError(f"parameter `ax`: expected None for several panels, found axes for {len(panels)} panels")
        figure, axes = grid_of(len(panels), ncols, *inches)
    elif ax is None:
        figure, axes = grid_of(1, 1, *inches)
    else:
        figure, axes = ax.figure, [ax]
    slots = [slot_of(panel) for panel in axes]
    clusters = [[panel] for panel in axes]
    titles = _each(title, len(panels), "title")
    style: dict[str, Any] = {"alpha": alpha, "na_color": na_color, "seed": random_state, "threads": threads}
    shown_cells = np.concatenate([cells for _, cells in libraries])
    for number, (panel, (key, values, at)) in enumerate(zip(axes, panels, strict=True)):
        name, cells = libraries[at]
        scene = scenes[at]
        _limits(panel, frames[at], (wide, tall), down)
        texts = [text for text in (name if library_key is not None else None, key) if text]
        panel.set_title(titles[number] if titles[number] is not None else " · ".join(texts))
        panel.set_xticks([])
        panel.set_yticks([])
        if not frameon:
            panel.axis("off")
        elif not solid:
            suffix = f" ({length})" if length else ""
            panel.set_xlabel("xyz"[axes_shown[0]] + suffix)
            panel.set_ylabel("xyz"[axes_shown[1]] + suffix)
        image = images[at]
        if image is not None:
            pixels, extent = image
            panel.imshow(pixels, extent=extent, alpha=img_alpha, aspect="auto", interpolation="antialiased", zorder=1)
            _limits(panel, frames[at], (wide, tall), down)
        if scene.box is not None:
            for edge in scene.box:
                panel.plot(*edge.T, color="#9a9a9a", linewidth=0.7, zorder=1.5, scalex=False, scaley=False)
            for place, text in scene.labels:
                panel.text(float(place[0]), float(place[1]), text, color="#555555", ha="center", va="center", fontsize="small")
        last = at == len(libraries) - 1
        if values is None:
            _points(panel, scene, spots[at], style, sort_order, colors="#4c78a8")
        elif isinstance(values.dtype, pd.CategoricalDtype):
            categories = list(values.cat.categories)
            hues = category_colors(adata, key or "", categories, palette) or ["lightgray"]
            codes = values.cat.codes.to_numpy().astype(np.int64)
            chosen = list(range(len(categories)))
            if groups is not None:
                absent = [group for group in groups if group not in categories]
                if absent:
                    raise MissingKeyError(
                        f"key `{absent[0]}` not found in adata.obs[{key!r}]; present: {', '.join(map(str, categories))}"
                    )
                chosen = [categories.index(group) for group in groups]
                codes = np.where(np.isin(codes, chosen), codes, -1)
            _points(panel, scene, spots[at], style, sort_order, colors=hues, codes=codes[cells])
            if legend_loc not in (None, "none") and (last or legend_loc != "right margin"):
                used = set(codes[shown_cells].tolist())
                entries = [(i, str(categories[i]), hues[i]) for i in chosen if i in used]
                missing = na_color if na_in_legend and -1 in used else None
                _legend(
                    panel, scene.points, codes[cells], entries, legend_loc, legend_fontsize, legend_fontweight, None, missing
                )
        else:
            if groups is not None and len(colors) == 1:
                raise ParameterError(f"parameter `groups`: expected None for numbers, found {groups!r} with color {key!r}")
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            limits = [
                _each(limit, len(colors), word)[number // len(libraries)]
                for limit, word in ((vmin, "vmin"), (vmax, "vmax"), (vcenter, "vcenter"))
            ]
            norm = norm_of(numbers[shown_cells], *limits)
            if colorbar_loc is not None and last:
                bar = figure.colorbar(
                    matplotlib.cm.ScalarMappable(norm=norm, cmap=table),
                    cax=_beside(panel, colorbar_loc),
                    orientation=_lies(colorbar_loc),
                )
                bar.ax.yaxis.set_ticks_position("left") if colorbar_loc == "left" else None
                clusters[number].append(bar.ax)
            ramp = np.rint(table(np.linspace(0, 1, 256)) * 255).astype(np.uint8)
            scaled = np.ma.filled(norm(np.ma.masked_invalid(numbers[cells])), np.nan)
            _points(panel, scene, spots[at], style, sort_order, colors=ramp, values=scaled)
        if scale_bar is not False:
            _bar(panel, length, scale_bar, frames[at], down)
    if len(panels) > 1:
        settle(clusters, slots, min(ncols, len(panels)), hspace, wspace)
    elif own:
        fit(figure)
    return end(figure, axes if len(panels) > 1 else axes[0], show, save, return_fig, dpi)


def _places(adata: AnnData, key: str) -> np.ndarray:
    values = get_obsm(adata, key)
    places = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values, dtype=np.float64)
    if places.ndim != 2 or places.shape[1] not in (2, 3) or not len(places):
        raise ShapeError(f"`obsm[{key!r}]`: expected 2 or 3 coordinates for at least one cell, found shape {places.shape}")
    bad = np.flatnonzero(~np.isfinite(places).all(axis=1))
    if bad.size:
        flat = places.shape[1] == 3 and np.isfinite(places[:, :2]).all() and len(bad) < len(places)
        hint = (
            "; are cells of two and of three dimensions mixed? dimensions=(0, 1) needs a third coordinate for all, too"
            if flat
            else ""
        )
        raise NonFiniteError(
            f"`obsm[{key!r}]`: expected finite coordinates, found {bad.size} cells without (the first in row {bad[0]}: {places[bad[0]].tolist()}){hint}"
        )
    return places


def _length_of(adata: AnnData, unit: str | None) -> str:
    """How the unit is written; empty for none."""
    if unit is not None:
        return unit_of(unit, "parameter `unit`")
    space = adata.uns.get("spatial_space")
    if isinstance(space, Mapping) and "unit" in space:
        return unit_of(str(space["unit"]), "`uns['spatial_space']['unit']`")
    return ""


def _axes_of(dimensions: Any, available: int) -> list[int]:
    if dimensions is None:
        return list(range(available))
    chosen = [int(axis) for axis in dimensions]
    if len(chosen) not in (2, 3) or len(set(chosen)) != len(chosen) or not all(0 <= axis < available for axis in chosen):
        raise ParameterError(
            f"parameter `dimensions`: expected two or three different axes below {available}, found {dimensions!r}"
        )
    return chosen


def _libraries(adata: AnnData, key: str | None, wanted: Any, n: int) -> list[tuple[str | None, np.ndarray]]:
    """Names and cells of the libraries to show."""
    if key is None:
        if wanted is not None:
            raise ParameterError(f"parameter `library_id`: expected None without `library_key`, found {wanted!r}")
        stored = adata.uns.get("spatial")
        only = str(next(iter(stored))) if isinstance(stored, Mapping) and len(stored) == 1 else None
        return [(only, np.arange(n))]
    codes, categories = codes_of(get_obs(adata, key), key)
    names = [str(name) for name in categories]
    chosen = names if wanted is None else [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    if not chosen:
        raise ParameterError("parameter `library_id`: expected None or at least one library, found an empty list")
    for name in chosen:
        if name not in names:
            raise MissingKeyError(f"key `{name}` not found in adata.obs[{key!r}]; present: {', '.join(names)}")
    return [(name, np.flatnonzero(codes == names.index(name))) for name in chosen]


def _scene(places: np.ndarray, cells: np.ndarray, view: Any, axes: Sequence[int]) -> _Scene:
    if places.shape[1] == 2:
        return _Scene(cells, places, None, None, [])
    try:
        elevation, azimuth = (np.deg2rad(float(angle)) for angle in view)
    except (TypeError, ValueError):
        raise ParameterError(f"parameter `view`: expected elevation and azimuth in degrees, found {view!r}") from None
    # Rows: to the right, up, towards the eye, for an eye at this elevation and azimuth.
    turn = np.array([
        [-np.sin(azimuth), np.cos(azimuth), 0.0],
        [-np.sin(elevation) * np.cos(azimuth), -np.sin(elevation) * np.sin(azimuth), np.cos(elevation)],
        [np.cos(elevation) * np.cos(azimuth), np.cos(elevation) * np.sin(azimuth), np.sin(elevation)],
    ])  # fmt: skip
    low, high = places.min(axis=0), places.max(axis=0)
    middle = (low + high) / 2
    seen = (places - middle) @ turn.T
    corners = np.array([[(low, high)[(corner >> axis) & 1][axis] for axis in range(3)] for corner in range(8)])
    flat = (corners - middle) @ turn.T
    # The corner nearest the eye is hidden by no cell: its edges would cover them.
    nearest = int(flat[:, 2].argmax())
    edges = [(a, a | 1 << axis) for axis in range(3) for a in range(8) if not a >> axis & 1]
    kept = [(a, b) for a, b in edges if nearest not in (a, b)]
    box = np.array([[flat[a, :2], flat[b, :2]] for a, b in kept])
    labels = []
    centre = flat[:, :2].mean(axis=0)
    for axis in range(3):
        # The edge along this axis that lies lowest in the picture.
        along = [(a, b) for a, b in kept if a ^ b == 1 << axis]
        a, b = min(along, key=lambda edge: flat[edge[0], 1] + flat[edge[1], 1])
        place = (flat[a, :2] + flat[b, :2]) / 2
        labels.append((place + 0.12 * (place - centre), "xyz"[axes[axis]]))
    return _Scene(cells, seen[:, :2], np.argsort(seen[:, 2], kind="stable"), box, labels)


def _image(
    adata: AnnData, library: str | None, wanted: bool | None, key: str | None
) -> tuple[np.ndarray, tuple[float, float, float, float]] | None:
    """Pixels, and left, right, bottom and top in coordinates."""
    if wanted is False:
        return None
    stored = adata.uns.get("spatial")
    if not isinstance(stored, Mapping) or library not in stored:
        return None
    entry = stored[library]
    images = entry.get("images", {}) if isinstance(entry, Mapping) else {}
    if key is not None and key not in images:
        raise MissingKeyError(
            f"key `{key}` not found in adata.uns['spatial'][{library!r}]['images']; present: {', '.join(images) or '(nothing)'}"
        )
    if not len(images):
        return None
    name = key if key is not None else max(images, key=lambda k: np.asarray(images[k]).shape[0])
    pixels = np.asarray(images[name])
    if pixels.ndim not in (2, 3):
        raise ShapeError(
            f"`uns['spatial'][{library!r}]['images'][{name!r}]`: expected rows x columns (x colours), found shape {pixels.shape}"
        )
    factors = entry.get("scalefactors", {})
    factor = factors.get(f"tissue_{name}_scalef")
    if factor is None or not float(factor) > 0:
        raise MissingKeyError(
            f"key `tissue_{name}_scalef` not found in adata.uns['spatial'][{library!r}]['scalefactors']; present: {', '.join(factors)}"
        )
    across, down = pixels.shape[1] / float(factor), pixels.shape[0] / float(factor)
    half = 0.5 / float(factor)
    return pixels, (-half, across - half, down - half, -half)


def _frame(scene: _Scene, image: Any, crop: Any, room: float, down: bool) -> tuple[float, float, float, float]:
    """Left, right, and the two ends along y of what is shown, with room below for a bar where no image is."""
    if crop is not None:
        values = [float(value) for value in crop]
        if len(values) != 4 or not (values[0] < values[1] and values[2] < values[3]):
            raise ParameterError(f"parameter `crop`: expected left < right and top < bottom, found {crop!r}")
        return values[0], values[1], values[2], values[3]
    points = scene.points if scene.box is None else np.concatenate([scene.points, scene.box.reshape(-1, 2)])
    low, high = points.min(axis=0), points.max(axis=0)
    edge = 0.04 * max(*(high - low), 1e-12)
    if image is not None:
        _, (left, right, bottom, top) = image
        return (
            max(left, low[0] - 3 * edge),
            min(right, high[0] + 3 * edge),
            max(top, low[1] - 3 * edge),
            min(bottom, high[1] + 3 * edge),
        )
    room *= max(high - low)
    return low[0] - edge, high[0] + edge, low[1] - edge - (0.0 if down else room), high[1] + edge + (room if down else 0.0)


def _limits(panel: Any, frame: Sequence[float], room: tuple[float, float], down: bool) -> None:
    """Limits around the middle of the frame, as wide as the widest panel and with square units."""
    box = panel.get_window_extent()
    per_inch = max(room[0] / box.width, room[1] / box.height)
    half = np.array([box.width, box.height]) * per_inch / 2
    x, y = (frame[0] + frame[1]) / 2, (frame[2] + frame[3]) / 2
    panel.set_xlim(x - half[0], x + half[0])
    panel.set_ylim(*((y + half[1], y - half[1]) if down else (y - half[1], y + half[1])))


def _diameter(adata: AnnData, library: str | None, scene: _Scene, size: float | None) -> float:
    """In the unit of the coordinates; 0 where nothing says."""
    if size is not None:
        return float(size)
    stored = adata.uns.get("spatial")
    if isinstance(stored, Mapping) and library in stored and isinstance(stored[library], Mapping):
        spot = stored[library].get("scalefactors", {}).get("spot_diameter_fullres")
        if spot is not None and float(spot) > 0:
            return float(spot)
    sample = scene.points if len(scene.points) <= 200_000 else scene.points[:: -(-len(scene.points) // 200_000)]
    sample = np.unique(sample, axis=0)
    if len(sample) < 2:
        return 0.0
    near = arrays.spatial_neighbors_knn(sample, n_neighs=1).distances.data
    thinned = len(scene.points) / len(sample)
    return float(np.median(near)) / np.sqrt(thinned)


def _points(panel: Any, scene: _Scene, diameter: float, style: dict[str, Any], sort_order: bool, **what: Any) -> None:
    box = panel.get_window_extent()
    left, right = panel.get_xlim()
    points_per_unit = box.width / panel.figure.dpi * 72 / abs(right - left)
    # A third of a point is the least that is seen; a lone cell is drawn as 8 points.
    across = max(diameter * points_per_unit, 0.9) if diameter > 0 else 8.0
    x, y = scene.points.T
    if "values" in what:
        how = "ascending" if sort_order and scene.order is None else "given"
    else:
        how = "shuffled" if sort_order and scene.order is None else "given"
    if scene.order is not None:
        x, y = x[scene.order], y[scene.order]
        what = {name: (value[scene.order] if name in ("codes", "values") else value) for name, value in what.items()}
    draw_points(panel, x, y, size=(2 * across) ** 2, order=how, **style, **what)


def _beside(panel: Any, side: str) -> Any:
    """Axes for a colour bar next to a panel, outside of it."""
    boxes = {
        "right": (1.03, 0.1, 0.04, 0.8),
        "left": (-0.07, 0.1, 0.04, 0.8),
        "top": (0.1, 1.03, 0.8, 0.04),
        "bottom": (0.1, -0.07, 0.8, 0.04),
    }
    place = panel.get_position(original=True)
    x, y, width, height = boxes[side]
    return panel.figure.add_axes(
        [place.x0 + x * place.width, place.y0 + y * place.height, width * place.width, height * place.height]
    )


def _lies(side: str) -> Any:
    return "vertical" if side in ("right", "left") else "horizontal"


def round_length(most: float) -> float:
    """The largest of 1, 2, 5 times a power of ten that is not above ``most``."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(m * power for m in (1.0, 2.0, 5.0) if m * power <= most * (1 + 1e-12)))


def length_text(length: float, unit: str) -> str:
    """A length as people write it: micrometres from 1,000 on as millimetres."""
    if unit == LENGTHS["micrometer"] and length >= 1000:
        length, unit = length / 1000, "mm"
    return f"{length:g} {unit}".rstrip()


def _bar(panel: Any, unit: str, asked: bool | float, frame: Sequence[float], down: bool) -> None:
    """A bar of a round length in the lower left corner of what is shown."""
    from matplotlib import patheffects
    from matplotlib.patches import Rectangle

    left, right = panel.get_xlim()
    low, high = sorted(panel.get_ylim())
    if asked is True:
        length = round_length((frame[1] - frame[0]) / 4) if frame[1] > frame[0] else 0.0
    else:
        length = float(asked)
        if not 0 < length < np.inf:
            raise ParameterError(f"parameter `scale_bar`: expected True, False or a length above 0, found {asked!r}")
    if not length > 0:
        return
    thick, gap = 0.012 * (high - low), 0.02 * (high - low)
    x = max(left, frame[0]) + 0.02 * (right - left)
    # Below the cells where there is room, else on them.
    bottom = max(frame[3], frame[2]) if down else min(frame[2], frame[3])
    y = min(bottom, high) - gap - thick if down else max(bottom, low) + gap
    halo: Any = [patheffects.withStroke(linewidth=2.5, foreground="white")]
    patch = Rectangle((x, y), length, thick, color="black", zorder=5, linewidth=0)
    patch.set_path_effects(halo)
    panel.add_patch(patch)
    text = panel.text(
        x + length / 2,
        y - 0.3 * gap if down else y + thick + 0.3 * gap,
        length_text(length, unit),
        ha="center",
        va="bottom",
        fontsize="small",
        zorder=5,
    )
    text.set_path_effects(halo)
