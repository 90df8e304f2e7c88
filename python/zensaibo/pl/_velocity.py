"""Where cells are heading: projected RNA velocities over an embedding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .._anndata import check_adata
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError
from ._embedding import _basis, embedding
from ._panels import fit

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Grid points for each axis at density 1, and nodes between two of them when cells are shared out.
_GRID, _FINER = 40, 4
#: Arrows of single cells by default.
_ARROWS = 2000


class Field(NamedTuple):
    """Velocities averaged around the points of a grid."""

    #: (n,) places along each axis.
    x: np.ndarray
    y: np.ndarray
    #: (n, n, 2) mean velocity, first index along y.
    mean: np.ndarray
    #: (n, n) weight of the cells around each point; 1 for a cell that lies there.
    mass: np.ndarray


def velocity_field(points: np.ndarray, velocity: np.ndarray, n: int, smooth: float) -> Field:
    """Gaussian averages of `velocity` on an n x n grid over `points`; the deviation is `smooth` grid steps.

    Cells are shared out between nodes four times as dense as the grid: O(cells + nodes), exact but for that.
    """
    from scipy.ndimage import gaussian_filter

    low, high = points.min(axis=0), points.max(axis=0)
    span = np.where(high > low, high - low, 1.0)
    nodes = (n - 1) * _FINER + 1
    place = (points - low) / span * (nodes - 1)
    corner = np.minimum(place.astype(np.int64), nodes - 2)
    share = place - corner
    sums = np.zeros((3, nodes * nodes))
    values = (np.ones(len(points)), velocity[:, 0], velocity[:, 1])
    for dx in (0, 1):
        for dy in (0, 1):
            weight = np.abs(1 - dx - share[:, 0]) * np.abs(1 - dy - share[:, 1])
            index = (corner[:, 1] + dy) * nodes + corner[:, 0] + dx
            for total, value in zip(sums, values, strict=True):
                total += np.bincount(index, weight * value, nodes * nodes)
    sigma = smooth * _FINER
    mass, u, v = (
        gaussian_filter(total.reshape(nodes, nodes), sigma, mode="constant", truncate=5)[::_FINER, ::_FINER] for total in sums
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = np.stack([u, v], axis=2) / mass[..., None]
    grid = np.linspace(0, 1, n)
    return Field(low[0] + grid * span[0], low[1] + grid * span[1], mean, mass * 2 * np.pi * sigma**2)


def _fetch(adata: AnnData, basis: str, vkey: str, dimensions: tuple[int, int]) -> tuple[np.ndarray, np.ndarray, str]:
    """Places and velocities of the cells that have both."""
    check_adata(adata)
    points, _ = _basis(adata, basis)
    basis = basis.removeprefix("X_")
    key = f"{vkey}_{basis}"
    if key not in adata.obsm:
        present = ", ".join(map(str, adata.obsm.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.obsm; present: {present}; run `tl.velocity_embedding` first")
    velocity = np.asarray(adata.obsm[key], dtype=np.float64)
    if velocity.ndim != 2 or velocity.shape[1] < 2:
        raise ShapeError(f"`obsm[{key!r}]`: expected two columns or more, found shape {velocity.shape}")
    if len(dimensions) != 2 or not all(0 <= d < min(points.shape[1], velocity.shape[1]) for d in dimensions):
        available = min(points.shape[1], velocity.shape[1])
        raise ParameterError(f"parameter `dimensions`: expected two of {available} (from 0), found {dimensions}")
    points = np.asarray(points, dtype=np.float64)[:, list(dimensions)]
    velocity = velocity[:, list(dimensions)]
    known = np.isfinite(points).all(axis=1) & np.isfinite(velocity).all(axis=1)
    if not known.any():
        raise DataError(f"`obsm[{key!r}]`: expected at least one cell with finite velocity and place, found none")
    return points[known], velocity[known], basis


def _check(**positive: float | None) -> None:
    for name, value in positive.items():
        if value is not None and not value > 0:
            raise ParameterError(f"parameter `{name}`: expected a number above 0, found {value!r}")


def _below(adata: AnnData, basis: str, dimensions: tuple[int, int], parameters: dict[str, Any]) -> Axes:
    """The cells, one panel, as `embedding` draws them."""
    for name in ("return_fig", "show", "save", "components"):
        if name in parameters:
            raise ParameterError(f"parameter `{name}`: not offered here; use the axes that come back (and `dimensions`)")
    color = parameters.get("color")
    if color is not None and not isinstance(color, str):
        raise ParameterError(f"parameter `color`: expected one key, found {color!r}")
    ax: Any = embedding(adata, basis, dimensions=dimensions, **parameters)
    return ax


def _over(ax: Axes, own: bool) -> None:
    if own:
        fit(ax.figure)


def _quiver(ax: Axes, points: np.ndarray, arrows: np.ndarray, longest: np.ndarray, length: float, size: float, color: Any) -> None:
    """Arrows in the units of the axes; the 95th percentile is `length` times the box `longest` long."""
    reach = np.percentile(np.sqrt(((arrows / longest) ** 2).sum(axis=1)), 95) if len(arrows) else 0.0
    limits = ax.get_xlim(), ax.get_ylim()
    ax.quiver(
        points[:, 0], points[:, 1], arrows[:, 0], arrows[:, 1], angles="xy", scale_units="xy",
        scale=(reach / length) or 1.0, color=color, width=0.002 * size, headwidth=4, headlength=4.5, headaxislength=3.5, zorder=4,
    )  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])


def velocity_embedding(
    adata: AnnData,
    *,
    basis: str = "umap",
    vkey: str = "velocity",
    dimensions: tuple[int, int] = (0, 1),
    density: float | None = None,
    arrow_length: float = 1.0,
    arrow_size: float = 1.0,
    arrow_color: Any = "#222222",
    random_state: int = 0,
    **parameters: Any,
) -> Axes:
    """An arrow for each cell (or some of them) along its velocity, over the embedding.

    Parameters
    ----------
    adata
        With ``obsm["X_<basis>"]`` and ``obsm["<vkey>_<basis>"]``, (cells, 2 or more).
    basis, vkey
        Name the slots.
    dimensions
        Axes to show, counted from 0.
    density
        Share of cells that get an arrow; by default all up to 2,000 cells, then 2,000 drawn at random.
    arrow_length
        1: the 95th percentile of arrows is a 25th of the embedding long.
    arrow_size
        Thickness and heads; 1 is 0.2% of the width of the axes.
    arrow_color
        Colour of the arrows.
    random_state
        Seed of which cells get one, and of the order of points.
    **parameters
        Those of `embedding` for one panel.

    Returns
    -------
    The axes. Cells without a finite velocity get no arrow.
    """
    _check(density=density, arrow_length=arrow_length, arrow_size=arrow_size)
    points, velocity, basis = _fetch(adata, basis, vkey, dimensions)
    wanted = _ARROWS if density is None else int(np.ceil(min(density, 1.0) * len(points)))
    if wanted < len(points):
        picked = np.sort(np.random.default_rng(random_state).choice(len(points), wanted, replace=False))
        points, velocity = points[picked], velocity[picked]
    ax = _below(adata, basis, dimensions, {"random_state": random_state, **parameters})
    span = np.ptp(points, axis=0)
    _quiver(ax, points, velocity, np.where(span > 0, span, 1.0) / 25, arrow_length, arrow_size, arrow_color)
    _over(ax, parameters.get("ax") is None)
    return ax


def velocity_embedding_grid(
    adata: AnnData,
    *,
    basis: str = "umap",
    vkey: str = "velocity",
    dimensions: tuple[int, int] = (0, 1),
    density: float = 1.0,
    smooth: float = 0.5,
    min_mass: float = 1.0,
    arrow_length: float = 1.0,
    arrow_size: float = 1.0,
    arrow_color: Any = "#222222",
    **parameters: Any,
) -> Axes:
    """Arrows on a grid, each the mean velocity of the cells around it.

    Parameters are those of `velocity_embedding`, and:

    Parameters
    ----------
    density
        Grid points for each axis: 40 times this.
    smooth
        Deviation of the Gaussian weights in grid steps.
    min_mass
        Points with a weight below this percentage of the 99th percentile of weights get no arrow.
    arrow_length
        1: the 95th percentile of arrows is as long as a grid step.

    Returns
    -------
    The axes.
    """
    _check(density=density, smooth=smooth, arrow_length=arrow_length, arrow_size=arrow_size)
    points, velocity, basis = _fetch(adata, basis, vkey, dimensions)
    field = velocity_field(points, velocity, max(int(round(_GRID * density)), 2), smooth)
    shown = _massive(field, min_mass)
    ax = _below(adata, basis, dimensions, parameters)
    x, y = np.meshgrid(field.x, field.y)
    step = np.array([field.x[1] - field.x[0], field.y[1] - field.y[0]])
    _quiver(ax, np.column_stack([x[shown], y[shown]]), field.mean[shown], step, arrow_length, arrow_size, arrow_color)
    _over(ax, parameters.get("ax") is None)
    return ax


def velocity_embedding_stream(
    adata: AnnData,
    *,
    basis: str = "umap",
    vkey: str = "velocity",
    dimensions: tuple[int, int] = (0, 1),
    density: float = 2.0,
    smooth: float = 0.5,
    min_mass: float = 1.0,
    linewidth: float = 1.0,
    arrow_size: float = 1.0,
    arrow_color: Any = "#222222",
    **parameters: Any,
) -> Axes:
    """Stream lines of the mean velocities on a grid.

    Parameters are those of `velocity_embedding_grid`, and:

    Parameters
    ----------
    density
        How close lines lie, as of `matplotlib.axes.Axes.streamplot`. The grid has 40 points for each axis.
    linewidth
        Width of lines where cells move fastest, in points; slower stretches are thinner, down to a third.

    Returns
    -------
    The axes.
    """
    _check(density=density, smooth=smooth, linewidth=linewidth, arrow_size=arrow_size)
    points, velocity, basis = _fetch(adata, basis, vkey, dimensions)
    field = velocity_field(points, velocity, _GRID, smooth)
    shown = _massive(field, min_mass)
    mean = np.where(shown[..., None], field.mean, np.nan)
    speed = np.sqrt((mean**2).sum(axis=2))
    fastest = np.nanmax(speed, initial=0.0) or 1.0
    ax = _below(adata, basis, dimensions, parameters)
    limits = ax.get_xlim(), ax.get_ylim()
    width = linewidth * (1 / 3 + 2 / 3 * np.nan_to_num(speed) / fastest)
    ax.streamplot(
        field.x, field.y, mean[..., 0], mean[..., 1], density=density, linewidth=width, color=arrow_color, arrowsize=arrow_size,
        zorder=4,
    )  # fmt: skip
    ax.set_xlim(limits[0])
    ax.set_ylim(limits[1])
    _over(ax, parameters.get("ax") is None)
    return ax


def _massive(field: Field, min_mass: float) -> np.ndarray:
    """(n, n) which points have enough cells around."""
    if not min_mass >= 0:
        raise ParameterError(f"parameter `min_mass`: expected 0 or more, found {min_mass!r}")
    return (field.mass > min_mass / 100 * np.percentile(field.mass, 99)) & np.isfinite(field.mean).all(axis=2)
