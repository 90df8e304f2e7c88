"""Pictures of volumes: slices and projections, with cells and outlines of labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ParameterError, ShapeError
from ..im._spatial import places
from ..im._volume import Volume, _spacing, open

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Across, up and down the picture of each view: places in (z, y, x).
_VIEWS = {"z": (2, 1), "y": (2, 0), "x": (1, 0)}
#: Voxels that are held while a projection is made.
_AT_ONCE = 1 << 25


def volume(
    volume: Any,
    *,
    axis: str = "z",
    at: float | None = None,
    projection: str | None = None,
    depth: float | None = None,
    cells: AnnData | Any | None = None,
    color: str | None = None,
    labels: Any | None = None,
    spacing: Sequence[float] | float | None = None,
    channel: int | str = 0,
    time: int = 0,
    clip: tuple[float, float] = (1.0, 99.8),
    cmap: str = "gray",
    size: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A slice or a projection of a volume in micrometres, with cells as circles and labels as outlines.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes. Only the planes that are shown are read.
    axis
        The axis to look along: "z", "y" or "x".
    at
        Micrometres along that axis of the plane to show, or of the middle of the slab; the middle by default.
    projection
        "max" or "mean" along the axis; None shows one plane.
    depth
        Thickness in micrometres of the slab that is projected, and from which cells are drawn; the whole volume by
        default for a projection, and for one plane the cells within 5 um to each side.
    cells
        AnnData with ``obsm["spatial"]`` (x, y, z), as `zensaibo.im` returns it, or an (n, 3) array (z, y, x); micrometres.
    color
        Column of ``cells.obs`` that colours the circles.
    labels
        Volume of whole numbers of the same shape; the outlines of what is not 0 are drawn on the plane at `at`.
    spacing
        Micrometres per voxel; that of the volume by default.
    channel
        Channel to show, by number or name.
    time
        Time point to show.
    clip
        Percentiles of the picture that become black and white.
    cmap
        Colour map of the picture.
    size
        Diameter of the circles in micrometres; 2 % of the wider side by default.
    ax
        Axes to draw into.

    Returns
    -------
    The axes, in micrometres; z or y run downwards.
    """
    from matplotlib import pyplot as plt
    from matplotlib.collections import EllipseCollection

    if axis not in _VIEWS:
        raise ParameterError(f"parameter `axis`: expected 'z', 'y' or 'x', found {axis!r}")
    if projection not in (None, "max", "mean"):
        raise ParameterError(f"parameter `projection`: expected 'max', 'mean' or None, found {projection!r}")
    source = open(volume, spacing, channel=channel)
    times = source._core.shape[0]
    if not -times <= time < times:
        raise ParameterError(f"parameter `time`: expected a place in {-times}..{times}, found {time}")
    um, origin = np.array(_spacing(source, None)), np.array(source.origin)
    shape = np.array(source._core.shape[2:])
    if 0 in shape:
        raise ShapeError(f"volume: expected voxels to show, found shape {source.shape}")
    along = "zyx".index(axis)
    first, last, middle = _slab(axis, at, depth if projection else 0.0, shape[along], um[along], origin[along])
    picture = _project(source, time % times, axis, first, last, projection)

    across, down = _VIEWS[axis]
    low, high = origin - um / 2, origin + (shape - 0.5) * um
    extent = (low[across], high[across], high[down], low[down])
    if ax is None:
        wide, tall = high[across] - low[across], high[down] - low[down]
        scale = 5.0 / max(wide, tall)
        _, ax = plt.subplots(figsize=(max(1.5, wide * scale) + 0.9, max(1.5, tall * scale) + 0.7), layout="constrained")
    finite = picture[np.isfinite(picture)]
    black, white = np.percentile(finite, clip) if finite.size else (0.0, 1.0)
    ax.imshow(picture, extent=extent, cmap=cmap, vmin=black, vmax=max(white, black + 1e-9), interpolation="nearest")

    if labels is not None:
        _outline(ax, labels, source, axis, middle, extent, time % times)
    if cells is not None:
        points = _points(cells)
        reach = um[along] * (last - first) / 2 if projection else (5.0 if depth is None else depth / 2)
        centre = origin[along] + um[along] * ((first + last - 1) / 2 if projection else middle)
        near = np.abs(points[:, along] - centre) <= reach
        shown = points[near]
        diameter = size if size is not None else 0.02 * max(high[across] - low[across], high[down] - low[down])
        circles = EllipseCollection(
            [diameter] * len(shown),
            [diameter] * len(shown),
            [0.0] * len(shown),
            units="xy",
            offsets=shown[:, [across, down]],
            offset_transform=ax.transData,
            facecolors="none",
            edgecolors="#ffb000" if color is None else _colors(cells, color, near, ax),
            linewidths=0.9,
        )
        ax.add_collection(circles)
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])
    ax.set_xlabel(f"{'zyx'[across]} (um)")
    ax.set_ylabel(f"{'zyx'[down]} (um)")
    where = f"{axis} = {origin[along] + um[along] * middle:.4g} um"
    if projection:
        span = f"{origin[along] + um[along] * first:.4g} to {origin[along] + um[along] * (last - 1):.4g}"
        where = f"{projection} over {axis} {span} um"
    ax.set_title(where, fontsize="small")
    return ax


def _slab(axis: str, at: float | None, depth: float | None, n: int, um: float, origin: float) -> tuple[int, int, int]:
    """First plane, one past the last, and the middle one."""
    middle = (n - 1) // 2 if at is None else round((at - origin) / um)
    if not 0 <= middle < n:
        reach = f"{origin:g} to {origin + (n - 1) * um:g} um along {axis}"
        raise ParameterError(f"parameter `at`: expected {reach}, found {at}")
    if depth is None:
        return 0, n, middle
    if not depth >= 0:
        raise ParameterError(f"parameter `depth`: expected at least 0 um, found {depth}")
    half = int(depth / um / 2)
    return max(0, middle - half), min(n, middle + half + 1), middle


def _project(source: Volume, time: int, axis: str, first: int, last: int, projection: str | None) -> np.ndarray:
    """The picture, read a few planes at a time."""
    along = "zyx".index(axis)
    shape = list(source._core.shape)
    plane = int(np.prod(shape[2:])) // shape[2 + along]
    step = max(1, _AT_ONCE // max(1, plane))
    total: np.ndarray | None = None
    for start in range(first, last, step):
        begin, end = [time, 0, 0, 0, 0], [time + 1, 1, *shape[2:]]
        begin[2 + along], end[2 + along] = start, min(last, start + step)
        part = Volume(source._core.part(begin, end)).read().reshape([b - a for a, b in zip(begin, end, strict=True)][2:])
        slab = part.sum(axis=along, dtype=np.float64) if projection == "mean" else part.max(axis=along)
        slab = slab.astype(np.float64)
        if total is None:
            total = slab
        else:
            total = total + slab if projection == "mean" else np.maximum(total, slab)
    assert total is not None
    return total / (last - first) if projection == "mean" else total


def _outline(ax: Axes, labels: Any, source: Volume, axis: str, middle: int, extent: Any, time: int) -> None:
    labels = open(labels)
    if labels._core.shape[2:] != source._core.shape[2:]:
        raise ShapeError(f"labels: expected {source._core.shape[2:]}, the shape of the volume, found {labels.shape}")
    time = time if labels._core.shape[0] > 1 else 0
    plane = _project(labels, time, axis, middle, middle + 1, None)
    # Drawn on the pixels at the rim of each label: a label is still seen where it touches another.
    inner = np.ones(plane.shape, dtype=bool)
    for shift, along in ((1, 0), (-1, 0), (1, 1), (-1, 1)):
        inner &= np.roll(plane, shift, along) == plane
    edge = (plane != 0) & ~inner
    overlay = np.zeros((*plane.shape, 4))
    rng = np.random.default_rng(0)
    from matplotlib import colormaps

    colors = colormaps["hsv"](rng.random(4096))
    overlay[edge] = colors[plane[edge].astype(np.int64) % 4096]
    ax.imshow(overlay, extent=extent, interpolation="nearest")


def _points(cells: Any) -> np.ndarray:
    """(n, 3) micrometres (z, y, x)."""
    if hasattr(cells, "obsm"):
        return places(cells)
    points = np.asarray(cells, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"cells: expected an AnnData or (n, 3) micrometres (z, y, x), found shape {points.shape}")
    return points


def _colors(cells: Any, color: str, near: np.ndarray, ax: Axes) -> np.ndarray:
    from matplotlib import cm, colors, pyplot as plt

    if not hasattr(cells, "obs") or color not in cells.obs:
        present = ", ".join(map(str, cells.obs.columns)) if hasattr(cells, "obs") else "none (an array has no columns)"
        raise ParameterError(f"parameter `color`: expected a column of obs ({present}), found {color!r}")
    values = cells.obs[color]
    if values.dtype.kind in "fiu":
        norm = colors.Normalize(*np.nanpercentile(values, (1, 99)))
        ax.figure.colorbar(cm.ScalarMappable(norm, "viridis"), ax=ax, label=color, shrink=0.6)
        return plt.get_cmap("viridis")(norm(values.to_numpy()[near]))
    from .. import _core

    codes = values.astype("category").cat
    table = _core.category_colors(max(1, len(codes.categories)))
    picked = np.array([colors.to_rgba(c) for c in table])
    for name, c in zip(codes.categories, table, strict=False):
        ax.plot([], [], "o", mfc="none", mec=c, label=str(name))
    ax.legend(fontsize="x-small", loc="upper left", bbox_to_anchor=(1, 1), frameon=False)
    return picked[codes.codes.to_numpy()[near]]
