"""Room for axes: figures that grow until nothing is cut, places in inches, points drawn as an image."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import arrays
from ..errors import ParameterError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

#: White border around everything, in inches.
_BORDER = 0.08


@contextmanager
def finely(figure: Any) -> Iterator[None]:
    """Text is measured at 300 dots per inch: at a screen's 100 its width is rounded, and files of other kinds are cut."""
    manager, dpi = figure.canvas.manager, figure.dpi
    width, height = figure.get_size_inches()
    # Measuring takes a canvas of that resolution: at most 160 MB, and no side of 65,536 pixels.
    fine = min(300.0, 30_000 / max(width, height), (4e7 / (width * height)) ** 0.5)
    # Without its manager a figure on a screen does not resize its window.
    figure.canvas.manager = None
    try:
        figure.dpi = max(fine, dpi)
        yield
    finally:
        figure.dpi = dpi
        figure.canvas.manager = manager


def fit(figure: Any) -> None:
    """Resizes `figure` to what is drawn in it, labels and legends included; no axes change their size in inches."""
    with finely(figure):
        box = figure.get_tightbbox()
    if not np.isfinite([box.x0, box.y0, box.x1, box.y1]).all():
        return
    _move(figure, {ax: (0.0, 0.0) for ax in figure.axes}, box.x0, box.y0, box.width, box.height)


def _move(
    figure: Any, shifts: dict[Axes, tuple[float, float]], left: float, bottom: float, width: float, height: float
) -> None:
    """Makes the part of `figure` at (left, bottom) inches its whole, after moving each of the axes by its shift."""
    old = figure.get_size_inches()
    new = np.array([width, height]) + 2 * _BORDER
    places: dict[Any, Any] = {}
    for ax, (right, up) in shifts.items():
        box = ax.get_position(original=True)
        corner = np.array([box.x0, box.y0]) * old + (right - left + _BORDER, up - bottom + _BORDER)
        places[ax] = [*(corner / new), *(np.array([box.width, box.height]) * old / new)]
    suptitle = getattr(figure, "_suptitle", None)
    if suptitle is not None:
        x, y = np.array(suptitle.get_position()) * old + (_BORDER - left, _BORDER - bottom)
        suptitle.set_position((x / new[0], y / new[1]))
    figure.set_size_inches(new)
    for ax, place in places.items():
        ax.set_position(place)


def settle(clusters: Sequence[Sequence[Axes]], slots: Sequence[Bbox], ncols: int, hspace: float, wspace: float | None) -> None:
    """Moves the panels of a grid apart until their labels, legends and colour bars do not meet, then fits the figure.

    `clusters`: the axes of each panel; `slots`: where it was placed, in inches; `wspace`, `hspace`: gaps as shares of
    a slot, ``None``: as narrow as the labels allow. Rows never overlap, whatever `hspace`.
    """
    figure: Any = clusters[0][0].figure
    reach = np.zeros((len(clusters), 4))  # beyond the slot: left, right, below, above
    with finely(figure):
        for number, (cluster, slot) in enumerate(zip(clusters, slots, strict=True)):
            for ax in cluster:
                box = ax.get_tightbbox()
                if box is None:
                    continue
                left, low, right, high = box.extents / figure.dpi
                beyond = (slot.x0 - left, right - slot.x1, slot.y0 - low, high - slot.y1)
                reach[number] = np.maximum(reach[number], beyond)
    column, row = np.arange(len(clusters)) % ncols, np.arange(len(clusters)) // ncols
    width, height = slots[0].width, slots[0].height

    def most(side: int, of: np.ndarray) -> np.ndarray:
        return np.array([reach[of == i, side].max() for i in range(of.max() + 1)])

    left, right, below, above = most(0, column), most(1, column), most(2, row), most(3, row)
    across = right[:-1] + left[1:] + 0.2 if wspace is None else np.full(len(right) - 1, wspace * width)
    down = np.maximum(hspace * height, below[:-1] + above[1:] + 0.1)
    x = left[0] + np.concatenate([[0], np.cumsum(across + width)])
    y = np.concatenate([[0], np.cumsum(down + height)])
    total = y[-1] + height + above[0] + below[-1]
    shifts = {}
    for number, (cluster, slot) in enumerate(zip(clusters, slots, strict=True)):
        to = x[column[number]], total - above[0] - height - y[row[number]]
        for ax in cluster:
            shifts[ax] = (to[0] - slot.x0, to[1] - slot.y0)
    _move(figure, shifts, 0.0, 0.0, x[-1] + width + right[-1], total)


def slot_of(ax: Axes) -> Bbox:
    """The place of `ax` in its figure, in inches."""
    from matplotlib.transforms import Bbox

    figure: Any = ax.figure
    box, size = ax.get_position(original=True), figure.get_size_inches()
    return Bbox([[box.x0 * size[0], box.y0 * size[1]], [box.x1 * size[0], box.y1 * size[1]]])


class Frame:
    """A rectangle of `width` x `height` inches in which axes are placed: a figure of its own, or inside `ax`."""

    def __init__(self, ax: Axes | None, width: float, height: float):
        import matplotlib.pyplot as plt

        self.size = np.array([width, height])
        self.host = ax
        self.figure: Any
        if ax is None:
            self.figure = plt.figure(figsize=(width, height), layout="none")
        else:
            ax.set_axis_off()
            self.figure = ax.figure

    def add(self, x: float, y: float, width: float, height: float, **options: Any) -> Axes:
        """Axes with the lower left corner at (x, y), in inches."""
        place: Any = [*(np.array([x, y]) / self.size), *(np.array([width, height]) / self.size)]
        if self.host is not None:
            return self.host.inset_axes(place, **options)
        return self.figure.add_axes(place, **options)

    def finish(self) -> None:
        """Grows a figure of our own until nothing is cut."""
        if self.host is None:
            fit(self.figure)


def grid_of(count: int, ncols: int, width: float, height: float, **options: Any) -> tuple[Any, list[Axes]]:
    """A figure with `count` axes of `width` x `height` inches, `ncols` in a row, far apart; `settle` them later."""
    import matplotlib.pyplot as plt

    if ncols < 1:
        raise ParameterError(f"parameter `ncols`: expected at least 1, found {ncols}")
    across = min(ncols, count)
    down = -(-count // across)
    total = np.array([across * width * 1.5, down * height * 1.5])
    figure: Any = plt.figure(figsize=(float(total[0]), float(total[1])), layout="none")
    axes = []
    for i in range(count):
        corner = np.array([i % across * width, (down - 1 - i // across) * height]) * 1.5 + (0.25 * width, 0.25 * height)
        axes.append(figure.add_axes([*(corner / total), width / total[0], height / total[1]], **options))
    return figure, axes


def draw_points(
    ax: Axes, x: np.ndarray, y: np.ndarray, *, size: float, colors: Any = "black", alpha: float = 1.0, zorder: float = 2,
    **what: Any,
) -> None:  # fmt: skip
    """Points as an image that fills `ax` at its present limits; `size` is the area as in ``scatter(marker=".")``."""
    limits = ax.get_xlim(), ax.get_ylim()
    box = ax.get_window_extent()
    dpi = max(200.0, ax.figure.dpi)
    width, height = (int(min(max(round(side / ax.figure.dpi * dpi), 1), 16_384)) for side in (box.width, box.height))
    shown = ax.transData.transform(np.column_stack([x, y]))
    shown = (shown - (box.x0, box.y0)) / (box.width, box.height)
    radius = min(max(np.sqrt(size) / 4 * dpi / 72, 1e-3), 1000.0)
    picture = arrays.raster_points(
        shown, colors, width=width, height=height, radius=radius, opacity=alpha, extent=(0, 1, 0, 1), **what
    )
    linear = ax.get_xscale() == ax.get_yscale() == "linear"
    place = {"extent": (*limits[0], *limits[1])} if linear else {"extent": (0, 1, 0, 1), "transform": ax.transAxes}
    ax.imshow(picture.pixels, origin="upper", aspect="auto", interpolation="antialiased", zorder=zorder, **place)
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def part_texts(ax: Axes, texts: Sequence[Any]) -> None:
    """Moves centred texts up and down until none covers another; a line leads back from those that moved far.

    Texts that do not meet stay where they are. Texts stay within the axes where there is room.
    """
    if len(texts) < 2:
        return
    boxes = [text.get_window_extent() for text in texts]
    centre = np.array([[(box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2] for box in boxes])
    half = np.array([[box.width / 2 + 1, box.height / 2 + 1] for box in boxes])
    wished, frame = centre.copy(), ax.get_window_extent()
    # Ties are broken by the order of texts.
    above = centre[:, None, 1] - centre[None, :, 1]
    order = np.arange(len(texts))
    above = np.where(above == 0, np.sign(order[None] - order[:, None]), np.sign(above))
    for _ in range(300):
        room = half[:, None] + half[None]
        meet = np.maximum(room - np.abs(centre[:, None] - centre[None]), 0)
        deep = np.where((meet[..., 0] > 0) & (meet[..., 1] > 0), meet[..., 1], 0)
        np.fill_diagonal(deep, 0)
        # Where one has passed another, the way apart is still that of the start.
        passed = (centre[:, None, 1] - centre[None, :, 1]) * above < 0
        deep = np.where(passed & (deep > 0), 2 * room[..., 1] - deep, deep)
        if not deep.max() > 0.5:
            break
        centre[:, 1] += 0.3 * (deep * above).sum(axis=1)
        low, high = frame.y0 + half[:, 1], frame.y1 - half[:, 1]
        centre[:, 1] = np.where(low < high, np.clip(centre[:, 1], low, np.maximum(low, high)), centre[:, 1])
    to_data = ax.transData.inverted()
    for text, start, end, size in zip(texts, wished, centre, half, strict=True):
        if (start == end).all():
            continue
        text.set_position(to_data.transform(end))
        if abs(end[1] - start[1]) > 2.5 * size[1]:
            line = to_data.transform([start, end - (0, np.sign(end[1] - start[1]) * size[1])])
            ax.plot(*line.T, color="#444444", linewidth=0.6, scalex=False, scaley=False, zorder=text.get_zorder() - 0.1)


def check_finite(points: np.ndarray, stacklevel: int = 3) -> None:
    """Warns of points that cannot be shown."""
    missing = int((~np.isfinite(points).all(axis=1)).sum())
    if missing:
        warnings.warn(f"{missing} cells have no finite coordinates and are not shown", UserWarning, stacklevel=stacklevel)


def size_of(figsize: Sequence[float] | None, ax: Axes | None) -> np.ndarray | None:
    """Inches that are given: of `ax`, or `figsize`; ``None`` if neither is."""
    if figsize is None:
        if ax is None:
            return None
        box = ax.get_window_extent()
        return np.array([box.width, box.height]) / ax.figure.dpi
    if ax is not None:
        raise ParameterError("parameters `figsize`, `ax`: expected at most one of them, found both")
    if len(figsize) != 2 or not all(side > 0 for side in figsize):
        raise ParameterError(f"parameter `figsize`: expected width and height above 0, found {figsize!r}")
    return np.array(figsize, dtype=np.float64)


def end(figure: Any, result: Any, show: bool | None, save: Any, return_fig: bool, dpi: float | None = None) -> Any:
    """Saves and shows `figure` as asked; returns it, or `result`, or nothing once it was shown."""
    if save is not None:
        figure.savefig(os.fspath(save), dpi=dpi or max(200.0, figure.dpi), bbox_inches="tight")
    if show:
        import matplotlib.pyplot as plt

        plt.show()
        return None
    return figure if return_fig else result
