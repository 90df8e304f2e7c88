"""The tree of groups on its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .._anndata import check_adata
from ..errors import ParameterError
from ._grid import draw_tree
from ._groups import tree_of
from ._panels import fit, grid_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def dendrogram(
    adata: AnnData,
    groupby: str | Sequence[str],
    *,
    dendrogram_key: str | None = None,
    orientation: str = "top",
    remove_labels: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """The dendrogram of groups that `tl.dendrogram` computed.

    Parameters
    ----------
    adata
        With ``uns["dendrogram_<groupby>"]``.
    groupby
        Column of obs, or several that were crossed.
    dendrogram_key
        Key in uns, if it is another.
    orientation
        Where the root is: ``"top"``, ``"bottom"``, ``"left"`` or ``"right"``.
    remove_labels
        Whether names of groups are left out.
    ax
        Axes to draw into.

    Returns
    -------
    The axes; leaf i lies at i.
    """
    check_adata(adata)
    if orientation not in ("top", "bottom", "left", "right"):
        raise ParameterError(f"parameter `orientation`: expected top, bottom, left or right, found {orientation!r}")
    joined = groupby if isinstance(groupby, str) else "_".join(groupby)
    tree = tree_of(adata, dendrogram_key or False, joined)
    names = [str(name) for name in tree["categories_ordered"]]
    sideways = orientation in ("left", "right")
    own = ax is None
    if ax is None:
        long = max(0.3 * len(names), 2.0)
        _, (ax,) = grid_of(1, 1, *((2.0, long) if sideways else (long, 2.0)))
    draw_tree(ax, tree, orientation)
    ax.set_axis_on()
    ax.spines[:].set_visible(False)
    places = np.arange(len(names))
    if sideways:
        ax.set_xticks([])
        ax.set_yticks(places, [] if remove_labels else names)
        ax.tick_params(
            axis="y", length=0, left=False, right=False, labelleft=orientation == "right", labelright=orientation == "left"
        )
    else:
        ax.set_yticks([])
        ax.set_xticks(places, [] if remove_labels else names, rotation=90)
        ax.tick_params(axis="x", length=0, labelbottom=orientation == "top", labeltop=orientation == "bottom")
    if own:
        fit(ax.figure)
    return ax
