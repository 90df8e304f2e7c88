"""Pictures of which types fill which region."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, MissingKeyError, ParameterError
from ._regions import _chosen

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: What is shown: layer, label.
_VALUES = {
    "share": ("share", "share of the cells of the region"),
    "density": ("density", "cells per mm³"),
    "cells": (None, "cells"),
    "of_type": ("of_type", "share of the cells of the type"),
}


def region_composition(
    table: AnnData,
    *,
    structures: Sequence[str] | int = 20,
    value: str = "share",
    kind: str | None = None,
    samples: Sequence[str] | str | None = None,
    types: Sequence[str] | None = None,
    palette: Mapping[str, Any] | None = None,
    cmap: str = "viridis",
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Types in regions of `zensaibo.sp.region_composition`: stacked bars, or a map of values.

    Parameters
    ----------
    table
        Of `zensaibo.sp.region_composition`; of several animals the mean over them is shown.
    structures
        Acronyms, in the order to show; or how many of the finest structures with the most cells.
    value
        "share" (of the cells of the region), "density" (cells per mm3), "cells" or "of_type" (share of the cells of the type).
    kind
        "bars" (stacked by type) or "heat"; by default bars, and heat of "of_type".
    samples
        Animals to show; all by default.
    types
        Types to show, in this order; all by default.
    palette
        Colours of types in bars; by default those of `zensaibo.pl` in their order.
    cmap, log
        With "heat": colours, and whether they are spread by logarithm.
    ax
        Axes to draw into.

    Returns
    -------
    The axes.
    """
    from matplotlib import pyplot as plt
    from matplotlib.colors import LogNorm, Normalize

    from .. import _core

    if "region_composition" not in table.uns or "share" not in table.layers:
        raise DataError("table: expected one of zensaibo.sp.region_composition, found another")
    if value not in _VALUES:
        raise ParameterError(f"parameter `value`: expected one of {', '.join(_VALUES)}, found {value!r}")
    kind = ("heat" if value == "of_type" else "bars") if kind is None else kind
    if kind not in ("bars", "heat") or (kind == "bars" and value == "of_type"):
        raise ParameterError(f"parameter `kind`: expected 'bars' or 'heat' ('heat' of 'of_type'), found {kind!r}")
    if log and kind == "bars":
        raise ParameterError("parameter `log`: expected False of bars that are stacked, found True")
    groupby = str(table.uns["region_composition"]["groupby"])
    animals = table.obs["sample"].astype(str).to_numpy()
    labels = table.obs[groupby].astype(str).to_numpy()
    chosen = [samples] if isinstance(samples, str) else list(dict.fromkeys(animals)) if samples is None else list(samples)
    known = list(dict.fromkeys(labels))
    shown = known if types is None else list(types)
    for name, wanted, present in (("samples", chosen, set(animals)), ("types", shown, set(known))):
        lacking = [one for one in wanted if one not in present]
        if lacking:
            raise MissingKeyError(f"{name}: expected some of {', '.join(sorted(present))}, found {lacking[0]!r}")
    inside = np.isin(animals, chosen)
    rows = _chosen(table.var, np.asarray(table.X)[inside].sum(axis=0), structures)
    layer, label = _VALUES[value]
    matrix = np.asarray(table.X if layer is None else table.layers[layer], dtype=np.float64)[:, rows]
    values = np.full((len(shown), len(rows)), np.nan)
    for row, one in enumerate(shown):
        mine = matrix[inside & (labels == one)]
        known_values = np.isfinite(mine)
        number = known_values.sum(axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            values[row] = np.where(number > 0, np.where(known_values, mine, 0).sum(axis=0) / number, np.nan)
    names = table.var["acronym"].to_numpy()[rows]
    if ax is None:
        size = (6.4, 0.26 * max(len(rows), 3) + 1.1) if kind == "bars" else (0.42 * len(shown) + 3.0, 0.26 * max(len(rows), 3) + 1.4)
        _, ax = plt.subplots(figsize=size, layout="constrained")
    at = np.arange(len(rows))
    if kind == "bars":
        shades = _core.category_colors(len(known))
        left = np.zeros(len(rows))
        for one, width in zip(shown, np.nan_to_num(values), strict=True):
            shade = (palette or {}).get(one, shades[known.index(one)])
            ax.barh(at, width, left=left, color=shade, edgecolor="#333333", linewidth=0.4, label=one)
            left += width
        ax.set_xlabel(label)
        ax.legend(frameon=False, fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
        for side in ("top", "right"):
            ax.spines[side].set_visible(False)
        ax.set_ylim(len(rows) - 0.4, -0.6)
    else:
        positive = values[np.isfinite(values) & (values > 0)]
        most = float(positive.max()) if positive.size else 1.0
        norm: Any = LogNorm(float(positive.min()) if positive.size else 0.1, most) if log else Normalize(0, most)
        drawn = ax.imshow(values.T, aspect="auto", cmap=cmap, norm=norm, interpolation="nearest")
        ax.set_xticks(np.arange(len(shown)), shown, rotation=90 if max(map(len, shown)) > 3 else 0)
        ax.figure.colorbar(drawn, ax=ax, shrink=0.8, label=label)
    ax.set_yticks(at, names)
    return ax
