"""Many points as an image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from ..errors import ParameterError, ShapeError


class Picture(NamedTuple):
    """Result of `raster_points`."""

    #: (height, width, 4) uint8, rows from the top: red, green, blue, alpha.
    pixels: np.ndarray
    #: Left, right, bottom and top in the units of the coordinates, as matplotlib's ``imshow(extent=...)`` takes them.
    extent: tuple[float, float, float, float]
    #: Points left out because a coordinate is NaN or infinite.
    not_finite: int


def _rgba(colors: Any) -> np.ndarray:
    from matplotlib.colors import to_rgba_array

    colors = np.asarray(colors) if not isinstance(colors, str) else colors
    if isinstance(colors, np.ndarray) and colors.dtype == np.uint8 and colors.ndim == 2 and colors.shape[1] == 4:
        return np.ascontiguousarray(colors)
    return np.rint(to_rgba_array(colors) * 255).astype(np.uint8)


def raster_points(
    points: Any,
    colors: Any = "black",
    *,
    codes: Any = None,
    values: Any = None,
    na_color: Any = "lightgray",
    width: int = 800,
    height: int = 800,
    radius: float = 1.5,
    opacity: float = 1.0,
    extent: Sequence[float] | None = None,
    background: Any = (1.0, 1.0, 1.0, 0.0),
    order: str = "shuffled",
    seed: int = 0,
    threads: int | None = None,
) -> Picture:
    """Draws n points as anti-aliased discs into an image. A million take about 0.4 CPU-seconds as given, 0.8 shuffled.

    Parameters
    ----------
    points
        (n, 2) coordinates, x and y (upwards), used as float32. Those that are not finite are left out and counted.
    colors
        One colour for all, n colours, or the table that `codes` or `values` look up; anything matplotlib takes as
        colours, or (m, 4) uint8.
    codes
        (n,) category of each point; negative, or not in the table, means none.
    values
        (n,) value of each point between 0 (first colour of the table) and 1 (last); beyond them the ends count,
        NaN means none.
    na_color
        Colour of points without category or value; they lie at the bottom.
    width, height
        Size in pixels, 1 to 16384.
    radius
        Radius of a point in pixels, above 0, at most 1000. Below 0.58 points fade instead of shrinking further.
    opacity
        Above 0, at most 1; multiplied with the alpha of the colours.
    extent
        Left, right, bottom, top of the image; by default the range of the points and a margin.
    background
        Colour of the empty image; transparent by default.
    order
        ``"shuffled"`` by `seed`, ``"given"`` (later over earlier), or ``"ascending"`` (higher `values` on top).
    seed
        Seed of the shuffled order.
    threads
        Threads; by default one per core. The result does not depend on it.

    Returns
    -------
    `Picture`. Memory: 8 bytes per point, 4 for each 64-pixel tile it touches, 20 per pixel.
    """
    points = np.asarray(points)
    if points.ndim != 2 or points.shape[1] != 2:
        raise ShapeError(f"`points`: expected shape (n, 2), found {points.shape}")
    n = len(points)
    if codes is not None and values is not None:
        raise ParameterError("parameters `codes`, `values`: expected at most one of them, found both")
    table = _rgba(colors)
    if codes is not None:
        codes = np.asarray(codes, dtype=np.int64)
        codes = np.where((codes < 0) | (codes >= len(table)), len(table), codes).astype(np.uint32)
    elif values is not None:
        values = np.ascontiguousarray(np.ma.filled(np.ma.asarray(values, dtype=np.float32), np.nan))
    elif len(table) not in (1, n):
        raise ShapeError(f"`colors`: expected one colour or {n}, one for each point, found {len(table)}")
    for name, given in (("codes", codes), ("values", values)):
        if given is not None and given.shape != (n,):
            raise ShapeError(f"`{name}`: expected shape ({n},), found {given.shape}")
    options = to_json(
        width=width,
        height=height,
        radius=radius,
        opacity=opacity,
        extent=None if extent is None else [float(side) for side in extent],
        background=_rgba([background])[0],
        order=order,
        seed=seed,
    )
    x, y = (np.ascontiguousarray(points[:, axis], dtype=np.float32) for axis in (0, 1))
    red, green, blue, alpha = (int(channel) for channel in _rgba([na_color])[0])
    pixels, bounds, not_finite = _core.raster_points(x, y, table, (red, green, blue, alpha), options, codes, values, threads)
    left, right, bottom, top = bounds
    return Picture(pixels, (left, right, bottom, top), not_finite)
