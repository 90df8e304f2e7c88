"""Genes by groups as dots or as a matrix of colours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import MissingKeyError, ParameterError
from ._colors import norm_of
from ._grid import _SMALL, Grid
from ._groups import Grouped, gather, standardised

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Diameter of the largest dot as a share of its cell: scanpy's 200 square points in 0.35 inches.
_LARGEST = np.sqrt(200) / (0.35 * 72)


def dotplot(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    expression_cutoff: float = 0.0,
    mean_only_expressed: bool = False,
    standard_scale: str | None = None,
    title: str | None = None,
    colorbar_title: str | None = "Mean expression\nin group",
    size_title: str | None = "Fraction of cells\nin group (%)",
    figsize: Sequence[float] | None = None,
    dendrogram: bool | str = False,
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    swap_axes: bool = False,
    dot_color_df: pd.DataFrame | None = None,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    vcenter: Any = None,
    norm: Any = None,
    cmap: Any = "Reds",
    dot_max: float | None = None,
    dot_min: float | None = None,
    smallest_dot: float = 0.0,
) -> dict[str, Axes]:
    """Dots for genes by groups: the colour is the mean, the size the fraction of cells that express the gene.

    Parameters
    ----------
    adata
        Annotated cells x genes.
    var_names
        Genes, or numeric columns of obs; as a dictionary, its keys become labels of brackets over their genes.
    groupby
        Column of obs, or several to cross. Numbers are cut into `num_categories` equal ranges. Groups without cells
        and cells without a group are left out.
    use_raw
        Whether genes come from ``adata.raw``; by default if there is one and no `layer` is asked for.
    log
        Whether to take log(1 + x) of the values first.
    num_categories
        Ranges into which a numeric `groupby` is cut.
    categories_order
        Groups to show, in this order. Not together with `dendrogram`.
    expression_cutoff
        A cell expresses a gene if its value is above this.
    mean_only_expressed
        Whether the mean is over expressing cells only.
    standard_scale
        ``"var"`` stretches each gene's means to 0..1, ``"group"`` each group's.
    title, colorbar_title, size_title
        Texts.
    figsize
        Inches of the whole without tick labels; by default as much as the grid needs, and the legends.
    dendrogram
        Whether groups are ordered by ``uns["dendrogram_<groupby>"]``, which is drawn; or its key in uns.
    gene_symbols
        Column of var with the names by which genes are asked for.
    var_group_positions, var_group_labels, var_group_rotation
        Brackets for genes in a list: (first, last) counted from 0, and labels; the angle of the labels in degrees.
    layer
        Layer from which genes come.
    swap_axes
        Whether genes run down instead of across.
    dot_color_df
        Groups x genes, numbers to colour dots by instead of the means.
    ax
        Axes whose place to fill, instead of a new figure.
    vmin, vmax, vcenter, norm
        Range and middle of the colours: numbers, percentiles such as ``"p99"``, functions of the values; or a
        matplotlib norm instead.
    cmap
        Colour map.
    dot_max, dot_min
        Fractions of the largest and smallest dot, 0 to 1; by default the largest fraction rounded up to tenths, and 0.
    smallest_dot
        Area of the smallest dot, in square points; the largest fills about half its cell.

    Returns
    -------
    Axes by name: ``mainplot_ax``, ``color_legend_ax``, ``size_legend_ax`` and, where there are such,
    ``gene_group_ax`` (brackets) and ``group_extra_ax`` (dendrogram).

    Notes
    -----
    The area of a dot grows with the 1.5th power of the fraction, as in scanpy. Sums are over stored values of the
    genes shown: the matrix is not made dense. Means leave out NaN.

    Raises
    ------
    MissingKeyError
        A gene, column, layer or dendrogram that is not there.
    ParameterError
        Values out of range, or parameters that exclude each other.
    """
    data = gather(
        adata, var_names, groupby, use_raw=use_raw, log=log, num_categories=num_categories, categories_order=categories_order,
        dendrogram=dendrogram, gene_symbols=gene_symbols, var_group_positions=var_group_positions,
        var_group_labels=var_group_labels, layer=layer,
    )  # fmt: skip
    share = data.fractions(expression_cutoff).to_numpy()
    if dot_color_df is not None:
        shade = pick(dot_color_df, data, "dot_color_df")
    else:
        shade = data.means(expression_cutoff if mean_only_expressed else None)
    shade = standardised(shade, standard_scale).to_numpy(dtype=np.float64)
    high = max(np.ceil(share.max() * 10) / 10, 0.1) if dot_max is None else float(dot_max)
    low = 0.0 if dot_min is None else float(dot_min)
    if not 0 <= low < high <= 1:
        raise ParameterError(f"parameters `dot_min`, `dot_max`: expected 0 <= dot_min < dot_max <= 1, found {low} and {high}")

    grid = Grid(
        ax, data, cell=(0.35, 0.35), swap_axes=swap_axes, figsize=figsize, legends=1.7, title=title, rotation=var_group_rotation
    )
    largest = (_LARGEST * grid.cell_points) ** 2
    if not 0 <= smallest_dot <= largest:
        raise ParameterError(f"parameter `smallest_dot`: expected 0 to {largest:.0f} square points, found {smallest_dot}")

    def area(fraction: np.ndarray) -> np.ndarray:
        return ((np.clip(fraction, low, high) - low) / (high - low)) ** 1.5 * (largest - smallest_dot) + smallest_dot

    if swap_axes:
        share, shade = share.T, shade.T
    row, column = np.indices(share.shape)
    scale = norm_of(shade, vmin, vmax, vcenter, norm)
    dots = grid.main.scatter(
        column.ravel(), row.ravel(), s=area(share).ravel(), c=shade.ravel(), norm=scale, cmap=cmap, edgecolors="black",
        linewidths=0.2, plotnonfinite=True,
    )  # fmt: skip
    _size_legend(grid, area, low, high, size_title)
    grid.colorbar(dots, colorbar_title)
    return grid.finish()


def _size_legend(grid: Grid, area: Any, low: float, high: float, title: str | None) -> None:
    """Dots of a few fractions with their percentages."""
    grid.legend_top -= 0.4  # the title
    legend = grid.legend(0.3)
    grid.legend_top -= 0.15  # the numbers
    span = high - low
    step = 0.05 if span <= 0.3 else 0.1 if span <= 0.6 else 0.2
    shown = np.arange(high, low + 1e-9, -step)[::-1]
    places = np.arange(len(shown))
    legend.scatter(places, np.zeros(len(shown)), s=area(shown), color="gray", edgecolors="black", linewidths=0.2)
    legend.set_xticks(places, [f"{round(100 * fraction, 1):g}" for fraction in shown], fontsize=_SMALL)
    legend.set_yticks([])
    legend.tick_params(length=0, pad=2)
    legend.set_xlim(-0.6, len(shown) - 0.4)
    legend.set_ylim(-1, 1)
    legend.spines[:].set_visible(False)
    legend.set_title(title or "", fontsize=_SMALL)
    grid.axes["size_legend_ax"] = legend


def pick(table: pd.DataFrame, data: Grouped, parameter: str) -> pd.DataFrame:
    """The groups and genes shown, out of a table that was given."""
    for index, wanted, what in ((table.index.map(str), data.categories, "index"), (table.columns, data.names, "columns")):
        absent = [name for name in wanted if name not in index]
        if absent:
            present = ", ".join(map(str, index[:10]))
            raise MissingKeyError(f"key `{absent[0]}` not found in the {what} of `{parameter}`; present: {present}")
    table = table.set_axis(table.index.map(str), axis=0)
    if not (table.index.is_unique and table.columns.is_unique):
        raise ParameterError(f"parameter `{parameter}`: expected each group and gene once, found repeated names")
    return table.loc[data.categories, data.names]


def matrixplot(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    figsize: Sequence[float] | None = None,
    dendrogram: bool | str = False,
    title: str | None = None,
    cmap: Any = "viridis",
    colorbar_title: str | None = "Mean expression\nin group",
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    var_group_rotation: float | None = None,
    layer: str | None = None,
    standard_scale: str | None = None,
    values_df: pd.DataFrame | None = None,
    swap_axes: bool = False,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    vcenter: Any = None,
    norm: Any = None,
) -> dict[str, Axes]:
    """Colours for genes by groups: the mean of each gene in each group.

    Parameters are those of `dotplot`, and:

    Parameters
    ----------
    values_df
        Groups x genes, numbers to show instead of the means.

    Returns
    -------
    Axes by name: ``mainplot_ax``, ``color_legend_ax`` and, where there are such, ``gene_group_ax`` (brackets) and
    ``group_extra_ax`` (dendrogram). Cells whose mean is NaN are grey.
    """
    data = gather(
        adata, var_names, groupby, use_raw=use_raw, log=log, num_categories=num_categories, categories_order=categories_order,
        dendrogram=dendrogram, gene_symbols=gene_symbols, var_group_positions=var_group_positions,
        var_group_labels=var_group_labels, layer=layer,
    )  # fmt: skip
    table = data.means() if values_df is None else pick(values_df, data, "values_df")
    shade = standardised(table, standard_scale).to_numpy(dtype=np.float64)
    shade = shade.T if swap_axes else shade
    grid = Grid(
        ax, data, cell=(0.32, 0.32), swap_axes=swap_axes, figsize=figsize, legends=0.8, title=title, rotation=var_group_rotation
    )
    scale = norm_of(shade, vmin, vmax, vcenter, norm)
    grid.main.set_facecolor("lightgray")
    rows, columns = shade.shape
    mesh = grid.main.pcolormesh(
        np.arange(columns + 1) - 0.5, np.arange(rows + 1) - 0.5, np.ma.masked_invalid(shade), norm=scale, cmap=cmap,
        edgecolors="white", linewidth=0.3,
    )  # fmt: skip
    grid.main.set_xlim(-0.5, columns - 0.5)
    grid.main.set_ylim(rows - 0.5, -0.5)
    grid.colorbar(mesh, colorbar_title)
    return grid.finish()
