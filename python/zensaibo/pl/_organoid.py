"""Pictures of organoids: sections with surface, lumens and cells; profiles from the surface inwards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, MissingKeyError, ParameterError, ShapeError
from ..im._organoid import Organoids
from ..im._volume import open

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

#: What the axis of a profile is called.
_LABELS = {"rho": "normalised depth (0 surface, 1 lumen)", "depth": "µm from the surface", "to_lumen": "µm from the lumen"}
_VALUES = {"density": "cells per mm³ of tissue", "brightness": "mean brightness", "mean": "mean over cells"}
_SURFACE, _LUMEN = "#333333", "#c0392b"


def organoid(
    organoids: Organoids,
    *,
    color: str | None = "rho",
    axis: str = "z",
    at: float | None = None,
    thickness: float | None = None,
    image: Any = None,
    channel: int | str = 0,
    cmap: str = "viridis",
    palette: Mapping[str, Any] | None = None,
    size: float | None = None,
    ax: Axes | None = None,
) -> Axes:
    """A section through organoids: outlines of surfaces and lumens, and the cells near it.

    Parameters
    ----------
    organoids
        Of `zensaibo.im.organoid`.
    color
        Column of ``cells.obs``, or a name of ``var_names``, that colours the cells; None: no cells.
    axis
        Axis of the volume to look along: "z", "y" or "x".
    at
        Micrometres along it from the first voxel; the plane with the most tissue by default.
    thickness
        Cells at most half of this many micrometres from the plane are shown; twice the spacing along the axis and at least 8 by default.
    image
        A volume to show beneath, in grey.
    channel
        Its channel.
    cmap
        Colours of numbers.
    palette
        Colours of labels; by default those of `zensaibo.pl` in their order.
    size
        Area of the points in square points.
    ax
        Axes to draw into.

    Returns
    -------
    The axes, in micrometres from the first voxel.
    """
    from matplotlib import pyplot as plt

    from .. import _core

    if axis not in ("z", "y", "x"):
        raise ParameterError(f"parameter `axis`: expected 'z', 'y' or 'x', found {axis!r}")
    along, um = "zyx".index(axis), np.asarray(organoids.spacing)
    down, across = (place for place in range(3) if place != along)
    tissue = (organoids.body > 0) & (organoids.lumen == 0)
    n = tissue.shape[along]
    if at is None:
        plane = int(tissue.sum(axis=(down, across)).argmax())
    else:
        plane = round(float(at) / um[along])
        if not 0 <= plane < n:
            raise ParameterError(f"parameter `at`: expected 0 to {(n - 1) * um[along]:g} um along {axis}, found {at!r}")
    tall, wide = (tissue.shape[place] * um[place] for place in (down, across))
    if ax is None:
        scale = 5.0 / max(tall, wide)
        _, ax = plt.subplots(figsize=(wide * scale + 1.4, tall * scale + 0.6), layout="constrained")
    extent = (-um[across] / 2, wide - um[across] / 2, tall - um[down] / 2, -um[down] / 2)
    if image is not None:
        volume = open(image)
        if volume._core.shape[1] > 1 or isinstance(channel, str):
            volume = open(volume, channel=channel)
        if tuple(volume._core.shape[2:]) != organoids.body.shape:
            raise ShapeError(f"image: expected {organoids.body.shape} voxels, found shape {volume.shape}")
        picture = np.take(np.asarray(volume).reshape(organoids.body.shape), plane, along)
        ax.imshow(picture, extent=extent, cmap="gray", vmax=np.percentile(picture, 99.7), interpolation="nearest")
    else:
        # So that the picture is as large as the volume.
        ax.imshow(np.zeros((1, 1)), extent=extent, cmap="gray_r", vmin=0, vmax=1)
    places = [np.arange(tissue.shape[place]) * um[place] for place in (across, down)]
    for labels, shade in ((organoids.body, "#ffffff" if image is not None else _SURFACE), (organoids.lumen, _LUMEN)):
        section = np.take(labels, plane, along)
        for label in np.unique(section[section > 0]):
            ax.contour(*places, (section == label).astype(np.float32), levels=[0.5], colors=shade, linewidths=1.1)
    if color is not None and organoids.cells is not None:
        cells = organoids.cells
        points = np.asarray(cells.obsm["spatial"], dtype=np.float64)[:, ::-1] - np.asarray(organoids.origin)
        deep = max(8.0, 2 * um[along]) if thickness is None else float(thickness)
        near = np.abs(points[:, along] - plane * um[along]) <= deep / 2
        if color in cells.obs:
            values: Any = cells.obs[color]
        elif color in cells.var_names:
            values = np.asarray(cells[:, color].X.todense() if hasattr(cells.X, "todense") else cells[:, color].X).ravel()
        else:
            raise MissingKeyError(f"color: expected a column of obs or a name of var_names, found {color!r}")
        area = size if size is not None else 26.0
        shown = points[near]
        if hasattr(values, "cat") or getattr(values, "dtype", None) == object:
            import pandas as pd

            kinds = pd.Categorical(values)
            shades = _core.category_colors(len(kinds.categories))
            for code, kind in enumerate(kinds.categories):
                mine = kinds.codes[near] == code
                shade = (palette or {}).get(kind, shades[code])
                ax.scatter(shown[mine, across], shown[mine, down], s=area, color=shade, edgecolors="#222222", linewidths=0.3, label=str(kind))
            ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        else:
            numbers = np.asarray(values, dtype=np.float64)[near]
            drawn = ax.scatter(
                shown[:, across], shown[:, down], c=numbers, s=area, cmap=cmap, edgecolors="#222222", linewidths=0.3, plotnonfinite=False
            )
            ax.figure.colorbar(drawn, ax=ax, shrink=0.7, label=color)
    ax.set_xlim(extent[0], extent[1])
    ax.set_ylim(extent[2], extent[3])
    ax.set_aspect("equal")
    ax.set_xlabel(f"{'zyx'[across]} (µm)")
    ax.set_ylabel(f"{'zyx'[down]} (µm)")
    ax.set_title(f"{axis} = {plane * um[along]:.4g} µm", fontsize="small")
    return ax


def radial_profile(
    profile: DataFrame,
    *,
    labels: Sequence[str] | None = None,
    value: str = "value",
    groupby: str | None = None,
    palette: Mapping[str, Any] | None = None,
    scale: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Profiles of `zensaibo.im.radial_profile`: a line for each label, its mean over organoids, and between quartiles of organoids
    where there are several.

    Parameters
    ----------
    profile
        Of one or several organoids.
    labels
        Types, markers or channels to show; all by default.
    value
        "value" or, of types, "share".
    groupby
        Column of the profile, such as an arm, whose values get lines of their own (full, dashed, dotted).
    palette
        Colours of labels; by default those of `zensaibo.pl` in their order.
    scale
        Divide each label by its greatest mean, so that markers of different brightness are seen together.
    ax
        Axes to draw into.

    Returns
    -------
    The axes.
    """
    from matplotlib import pyplot as plt

    from .. import _core

    if not {"organoid", "label", "shell", "middle", "value"} <= set(profile):
        raise DataError(f"profile: expected one of zensaibo.im.radial_profile, found columns {', '.join(map(str, profile))}")
    if value not in ("value", "share") or value not in profile:
        raise ParameterError(f"parameter `value`: expected 'value' or, of types, 'share', found {value!r}")
    if groupby is not None and groupby not in profile:
        raise MissingKeyError(f"groupby: expected a column of the profile ({', '.join(map(str, profile))}), found {groupby!r}")
    present = list(dict.fromkeys(profile["label"]))
    known = [kind for kind in profile["label"].cat.categories if kind in present] if hasattr(profile["label"], "cat") else present
    wanted = known if labels is None else list(labels)
    lacking = [kind for kind in wanted if kind not in known]
    if lacking:
        raise MissingKeyError(f"labels: expected some of {', '.join(map(str, known))}, found {lacking[0]!r}")
    arms = [None] if groupby is None else list(dict.fromkeys(profile[groupby]))
    if len(arms) > 4:
        raise ParameterError(f"parameter `groupby`: expected at most 4 groups, found {len(arms)}")
    if ax is None:
        _, ax = plt.subplots(figsize=(5.5, 3.6), layout="constrained")
    shades = _core.category_colors(len(known))
    for kind in wanted:
        shade = (palette or {}).get(kind, shades[known.index(kind)])
        of_kind = profile[(profile["label"] == kind).to_numpy()]
        most = 1.0
        if scale:
            most = float(of_kind.groupby("shell")[value].mean().max()) or 1.0
        for arm, line in zip(arms, ("-", "--", ":", "-."), strict=False):
            part = of_kind if arm is None else of_kind[(of_kind[groupby] == arm).to_numpy()]
            shells = part.groupby("shell")[value]
            middle = part.groupby("shell")["middle"].first().to_numpy()
            mean = shells.mean().to_numpy() / most
            ax.plot(middle, mean, line, color=shade, marker="o", markersize=3, label=str(kind) if arm is None else f"{kind}, {arm}")
            if part["organoid"].nunique() > 1:
                low, high = (shells.quantile(q).to_numpy() / most for q in (0.25, 0.75))
                ax.fill_between(middle, low, high, color=shade, alpha=0.15, linewidth=0)
    by, of = profile.attrs.get("by", "depth"), profile.attrs.get("of", "mean")
    ax.set_xlabel(_LABELS.get(by, by))
    text = "share of the cells of the shell" if value == "share" else _VALUES.get(of, of)
    ax.set_ylabel(f"{text}, of its greatest" if scale else text)
    ax.set_ylim(bottom=min(0.0, ax.get_ylim()[0]))
    for side in ("top", "right"):
        ax.spines[side].set_visible(False)
    ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    return ax
