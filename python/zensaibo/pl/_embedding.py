"""Scatter plots of embeddings, points drawn in Rust."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from itertools import product
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata
from ..errors import MissingKeyError, ParameterError, ShapeError
from ._colors import category_colors, fetch, norm_of
from ._panels import end, fit, grid_of, part_texts, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_NAMES = {"umap": "UMAP", "pca": "PC", "tsne": "tSNE", "diffmap": "DC"}
#: What computes each basis.
_MAKERS = {"umap": "tl.umap", "pca": "pp.pca", "tsne": "tl.tsne", "diffmap": "tl.diffmap"}
_LEGENDS = (
    "right margin", "on data", "best", "upper right", "upper left", "lower left", "lower right", "right", "center left",
    "center right", "lower center", "upper center", "center",
)  # fmt: skip


def embedding(
    adata: AnnData,
    basis: str,
    *,
    color: str | Sequence[str] | None = None,
    gene_symbols: str | None = None,
    use_raw: bool | None = None,
    sort_order: bool = True,
    groups: str | Sequence[str] | None = None,
    components: str | Sequence[str] | None = None,
    dimensions: tuple[int, int] | Sequence[tuple[int, int]] | None = None,
    layer: str | None = None,
    color_map: Any = None,
    cmap: Any = None,
    palette: Any = None,
    na_color: Any = "lightgray",
    na_in_legend: bool = True,
    size: float | None = None,
    alpha: float = 1.0,
    frameon: bool = True,
    legend_fontsize: float | str | None = None,
    legend_fontweight: int | str = "bold",
    legend_loc: str | None = "right margin",
    legend_fontoutline: float | None = None,
    colorbar_loc: str | None = "right",
    vmax: Any = None,
    vmin: Any = None,
    vcenter: Any = None,
    ncols: int = 4,
    hspace: float = 0.25,
    wspace: float | None = None,
    title: str | Sequence[str] | None = None,
    show: bool | None = None,
    save: str | os.PathLike | None = None,
    ax: Axes | None = None,
    return_fig: bool = False,
    random_state: int = 0,
    dpi: float | None = None,
    threads: int | None = None,
) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of an embedding, with points rasterised: a million cells in about a second, and small files.

    Parameters
    ----------
    adata
        Annotated cells x genes, with an embedding.
    basis
        Key of obsm, with or without its ``X_``.
    color
        Columns of obs or genes; one panel each.
    gene_symbols
        Column of var with the names by which genes are asked for, instead of ``var_names``.
    use_raw
        Whether genes come from ``adata.raw``; by default if there is one and no `layer` is asked for.
    sort_order
        For numbers: higher values on top. For categories: in an order shuffled by `random_state`, so that none hides
        another by its place in the table. ``False``: cells in their order, later over earlier. Cells without a value
        always lie at the bottom.
    groups
        Categories to colour; all others are shown as `na_color`. Panels of numbers show all cells.
    components, dimensions
        Which axes to show: ``"1,2"`` (counted from 1; every colour is shown for each), or ``(0, 1)`` (counted from 0;
        several go with several colours one by one).
    layer
        Layer from which genes come.
    cmap, color_map
        Colour map of numbers; two names of one parameter. By default matplotlib's.
    palette
        Colours of categories: a list, a dictionary, a cycler, or the name of a colour map. By default those stored in
        ``uns["<color>_colors"]``, else zensaibo's list: up to 8 categories the colours of Okabe and Ito (2008), which the
        colour-blind tell apart; up to 20 also hues of Tableau; beyond, the colour farthest from all before it (CIELAB).
        The colours of the first categories do not depend on how many follow.
    na_color
        Colour of cells without a value or outside `groups`.
    na_in_legend
        Whether the legend shows them.
    size
        Area of a point as in `matplotlib.axes.Axes.scatter` with marker "."; by default 120000 / cells.
    alpha
        Opacity of points, above 0, at most 1.
    frameon
        Whether to draw the frame and axis labels.
    legend_loc
        ``"right margin"``, ``"on data"``, a matplotlib location, or ``None`` (also ``"none"``).
    legend_fontsize, legend_fontweight, legend_fontoutline
        Text of the legend; the weight is used on the data, the outline in points is white.
    colorbar_loc
        ``"right"``, ``"left"``, ``"top"``, ``"bottom"``, or ``None``.
    vmin, vmax, vcenter
        Range and middle of the colour map: a number, a percentile such as ``"p99"``, a function of the values, or one
        of these for each panel.
    ncols, hspace, wspace
        Panels per row, and gaps between them as shares of a panel; by default as wide as labels and legends need.
    title
        Title, or one for each panel; by default the colour.
    show
        ``True`` calls `matplotlib.pyplot.show` and returns ``None``.
    save
        File to write, by its extension (written at `dpi`).
    ax
        Axes to draw into (one panel only).
    return_fig
        Whether to return the figure instead.
    random_state
        Seed of the shuffled order.
    dpi
        Pixels per inch of the points; by default the larger of the figure's and 200.
    threads
        Threads; by default one per core. The picture does not depend on it.

    Returns
    -------
    The axes, or a list of them for several panels. Writes ``uns["<color>_colors"]`` for categories without colours
    (not into a view).

    Notes
    -----
    Points are drawn for the size that the axes have now. With `ax`, make the figure as large as it shall be first;
    without it, each panel has matplotlib's figure size and the figure grows by what labels and legends need.
    """
    import matplotlib
    import matplotlib.pyplot as plt

    check_adata(adata)
    coordinates, basis_name = _basis(adata, basis)
    if use_raw is None:
        use_raw = layer is None and adata.raw is not None
    if use_raw and layer is not None:
        raise ParameterError("parameters `use_raw`, `layer`: expected at most one of them, found both")
    if use_raw and adata.raw is None:
        raise MissingKeyError("key `raw` not found in adata: `use_raw=True` needs `adata.raw`")
    if cmap is not None and color_map is not None:
        raise ParameterError("parameters `cmap`, `color_map`: expected at most one of them, found both")
    if legend_loc is not None and legend_loc not in (*_LEGENDS, "none"):
        raise ParameterError(f"parameter `legend_loc`: expected None or one of {', '.join(_LEGENDS)}, found {legend_loc!r}")
    if colorbar_loc not in (None, "right", "left", "top", "bottom"):
        raise ParameterError(f"parameter `colorbar_loc`: expected None, right, left, top or bottom, found {colorbar_loc!r}")
    if size is not None and (not isinstance(size, Real) or not size > 0):
        raise ParameterError(f"parameter `size`: expected a number above 0, found {size!r}")
    table = matplotlib.colormaps.get_cmap(cmap if cmap is not None else color_map)
    groups = [groups] if isinstance(groups, str) else groups
    if groups is not None and len(groups) == 0:
        raise ParameterError("parameter `groups`: expected None or at least one category, found an empty list")
    panels = _panels(color, components, dimensions, coordinates.shape[1])
    size = 120_000 / max(adata.n_obs, 1) if size is None else float(size)

    figure: Any
    if len(panels) > 1:
        if ax is not None:
            raise ParameterError(f"parameter `ax`: expected None for several panels, found axes for {len(panels)} panels")
        figure, axes = grid_of(len(panels), ncols, *_panel_size())
    else:
        own = ax is None
        if ax is None:
            _, (ax,) = grid_of(1, 1, *_panel_size())
        figure, axes = ax.figure, [ax]
    slots = [slot_of(panel) for panel in axes]
    clusters = [[panel] for panel in axes]
    dpi = float(dpi) if dpi is not None else max(200.0, figure.dpi)
    titles = _each(title, len(panels), "title", default=None)

    held = fetch(
        adata, [key for key, _ in panels if key is not None], use_raw=use_raw, layer=layer, gene_symbols=gene_symbols
    )
    for number, (panel, (key, dims)) in enumerate(zip(axes, panels, strict=True)):
        points = coordinates[:, list(dims)]
        values = None
        if key is not None:
            values = held[key]
        name = titles[number] if titles[number] is not None else (key or "")
        panel.set_title(name)
        panel.set_xticks([])
        panel.set_yticks([])
        if frameon:
            panel.set_xlabel(f"{basis_name}{dims[0] + 1}")
            panel.set_ylabel(f"{basis_name}{dims[1] + 1}")
        else:
            panel.axis("off")
        style = {"alpha": alpha, "size": size, "na_color": na_color, "seed": random_state, "dpi": dpi, "threads": threads}
        if values is None:
            _draw(panel, points, style, colors="lightgray", order="shuffled" if sort_order else "given")
        elif key is not None and isinstance(values.dtype, pd.CategoricalDtype):
            categories = list(values.cat.categories)
            colors = category_colors(adata, key, categories, palette)
            codes = values.cat.codes.to_numpy().astype(np.int64)
            if groups is not None:
                absent = [group for group in groups if group not in categories]
                if absent:
                    present = ", ".join(map(str, categories))
                    raise MissingKeyError(f"key `{absent[0]}` not found in adata.obs[{key!r}]; present: {present}")
                codes = np.where(np.isin(codes, [categories.index(group) for group in groups]), codes, -1)
            shown = np.arange(len(categories)) if groups is None else np.array([categories.index(g) for g in groups])
            _draw(panel, points, style, colors=colors or ["lightgray"], codes=codes, order="shuffled" if sort_order else "given")
            if legend_loc not in (None, "none"):
                _legend(
                    panel, points, codes, [(i, str(categories[i]), colors[i]) for i in shown], legend_loc, legend_fontsize,
                    legend_fontweight, legend_fontoutline, na_color if na_in_legend and (codes < 0).any() else None,
                )  # fmt: skip
        else:
            if groups is not None and len(panels) == 1:
                raise ParameterError(f"parameter `groups`: expected None for numbers, found {groups!r} with color {key!r}")
            numbers = values.to_numpy(dtype=np.float64, na_value=np.nan)
            norm = norm_of(
                numbers,
                *(_each(limit, len(panels), word)[number] for limit, word in ((vmin, "vmin"), (vmax, "vmax"), (vcenter, "vcenter"))),
            )
            if colorbar_loc is not None:
                scale = matplotlib.cm.ScalarMappable(norm=norm, cmap=table)
                bar = figure.colorbar(scale, ax=panel, pad=0.02, fraction=0.06, aspect=30, location=colorbar_loc)
                clusters[number].append(bar.ax)
            colors = np.rint(table(np.linspace(0, 1, 256)) * 255).astype(np.uint8)
            scaled = np.ma.filled(norm(np.ma.masked_invalid(numbers)), np.nan)
            _draw(panel, points, style, colors=colors, values=scaled, order="ascending" if sort_order else "given")

    if len(panels) > 1:
        settle(clusters, slots, min(ncols, len(panels)), hspace, wspace)
    elif own:
        fit(figure)
    return end(figure, axes if len(panels) > 1 else axes[0], show, save, return_fig, dpi)


def umap(adata: AnnData, **parameters: Any) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of ``obsm["X_umap"]``. Parameters, results and slots are those of `embedding`."""
    return embedding(adata, "umap", **parameters)


def pca(
    adata: AnnData, *, annotate_var_explained: bool = False, **parameters: Any
) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of ``obsm["X_pca"]``. Parameters, results and slots are those of `embedding`, and:

    Parameters
    ----------
    annotate_var_explained
        Whether axis labels show the share of variance, from ``uns["pca"]["variance_ratio"]``.
    """
    if not annotate_var_explained:
        return embedding(adata, "pca", **parameters)
    ratio = check_adata(adata).uns.get("pca", {}).get("variance_ratio")
    if ratio is None:
        raise MissingKeyError("key `variance_ratio` not found in adata.uns['pca']: run `zs.pp.pca` first")
    late = {name: parameters.pop(name, None) for name in ("show", "save", "return_fig")}
    axes: Any = embedding(adata, "pca", **parameters)
    listed = axes if isinstance(axes, list) else [axes]
    for ax in listed:
        for label, put in ((ax.get_xlabel(), ax.set_xlabel), (ax.get_ylabel(), ax.set_ylabel)):
            if label:
                put(f"{label} ({ratio[int(label.removeprefix('PC')) - 1] * 100:.2f}%)")
    figure = listed[0].figure
    return end(figure, axes, late["show"], late["save"], bool(late["return_fig"]), parameters.get("dpi"))


def tsne(adata: AnnData, **parameters: Any) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of ``obsm["X_tsne"]``. Parameters, results and slots are those of `embedding`."""
    return embedding(adata, "tsne", **parameters)


def diffmap(adata: AnnData, **parameters: Any) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of ``obsm["X_diffmap"]``. Parameters, results and slots are those of `embedding`.

    The first component of a diffusion map is the stationary state and tells cells little apart: ``components="2,3"``
    shows the two after it.
    """
    return embedding(adata, "diffmap", **parameters)


def draw_graph(adata: AnnData, *, layout: str | None = None, **parameters: Any) -> Axes | list[Axes] | Figure | None:
    """Scatter plot of ``obsm["X_draw_graph_<layout>"]``. Parameters, results and slots are those of `embedding`, and:

    Parameters
    ----------
    layout
        Such as "fa" or "fr"; by default the last one computed, ``uns["draw_graph"]["params"]["layout"]``.
    """
    if layout is None:
        layout = check_adata(adata).uns.get("draw_graph", {}).get("params", {}).get("layout")
        if layout is None:
            raise MissingKeyError("key `draw_graph` not found in adata.uns: run `tl.draw_graph` first, or name the `layout`")
    return embedding(adata, f"draw_graph_{layout}", **parameters)


def _basis(adata: AnnData, basis: str) -> tuple[np.ndarray, str]:
    """The coordinates, and the name of their axes."""
    key = basis if basis in adata.obsm else f"X_{basis}"
    if key not in adata.obsm:
        name = basis.removeprefix("X_")
        present = ", ".join(map(str, adata.obsm.keys())) or "(nothing)"
        maker = "tl.draw_graph" if name.startswith("draw_graph") else _MAKERS.get(name)
        hint = f"; run `{maker}` first" if maker else ""
        raise MissingKeyError(f"key `{basis}` not found in adata.obsm; present: {present}{hint}")
    values = adata.obsm[key]
    values = np.asarray(values.to_numpy() if hasattr(values, "to_numpy") else values)
    if values.ndim != 2 or values.shape[1] < 2:
        raise ShapeError(f"`obsm[{key!r}]`: expected two columns or more, found shape {values.shape}")
    name = key.removeprefix("X_")
    if name.startswith("draw_graph_"):
        return values, name.removeprefix("draw_graph_").upper()
    return values, _NAMES.get(name, name)


def _panels(color: Any, components: Any, dimensions: Any, available: int) -> list[tuple[str | None, tuple[int, int]]]:
    """Colour and pair of dimensions of each panel."""
    colors = [color] if color is None or isinstance(color, str) else list(color)
    if not colors:
        raise ParameterError("parameter `color`: expected None or at least one key, found an empty list")
    if components is not None and dimensions is not None:
        raise ParameterError("parameters `components`, `dimensions`: expected at most one of them, found both")
    if components is not None:
        if isinstance(components, str) and components == "all":
            raise ParameterError("parameter `components`: expected '1,2' or a list of such, found 'all'")
        listed = [components] if isinstance(components, str) else list(components)
        try:
            pairs = [tuple(int(part) - 1 for part in str(entry).split(",")) for entry in listed]
        except ValueError:
            raise ParameterError(f"parameter `components`: expected '1,2' or a list of such, found {components!r}") from None
        panels = list(product(colors, pairs))
    else:
        if dimensions is None:
            pairs = [(0, 1)]
        else:
            pairs = [tuple(dimensions)] if np.ndim(dimensions) == 1 else [tuple(pair) for pair in dimensions]
        if len(pairs) == 1:
            pairs *= len(colors)
        elif len(colors) == 1:
            colors = colors * len(pairs)
        if len(pairs) != len(colors):
            raise ParameterError(
                f"parameter `dimensions`: expected one pair, or one for each of {len(colors)} colours, found {len(pairs)}"
            )
        panels = list(zip(colors, pairs, strict=True))
    for _, pair in panels:
        if len(pair) != 2 or not all(0 <= dimension < available for dimension in pair):
            raise ParameterError(
                f"parameters `components`, `dimensions`: expected pairs among {available} dimensions, found {pair} (from 0)"
            )
    return panels


def _each(value: Any, count: int, name: str, default: Any = None) -> list[Any]:
    """One value for each panel."""
    if value is None:
        return [default] * count
    if isinstance(value, str) or not isinstance(value, (Sequence, np.ndarray)):
        return [value] * count
    if len(value) != count:
        raise ParameterError(f"parameter `{name}`: expected one value, or one for each of {count} panels, found {len(value)}")
    return list(value)


def _panel_size() -> tuple[float, float]:
    """Inches of one panel: what `matplotlib.pyplot.subplots` leaves of a figure."""
    from matplotlib import rcParams

    width, height = rcParams["figure.figsize"]
    return 0.775 * width, 0.77 * height


def _draw(ax: Axes, points: np.ndarray, style: dict[str, Any], **what: Any) -> None:
    """Puts the points into the axes as an image of just its size."""
    dpi = style["dpi"]
    # The size of the axes is known only now: a colour bar has taken its share.
    box = ax.get_window_extent()
    inches = box.width / ax.figure.dpi, box.height / ax.figure.dpi
    width, height = (int(min(max(round(side * dpi), 1), 16_384)) for side in inches)
    # Marker "." has half the width of the square root of its area.
    radius = min(max(np.sqrt(style["size"]) / 4 * dpi / 72, 1e-3), 1000.0)
    picture = arrays.raster_points(
        points, na_color=style["na_color"], width=width, height=height, radius=radius, opacity=style["alpha"],
        seed=style["seed"], threads=style["threads"], **what,
    )  # fmt: skip
    if picture.not_finite:
        warnings.warn(f"{picture.not_finite} cells have no finite coordinates and are not shown", UserWarning, stacklevel=3)
    ax.imshow(picture.pixels, extent=picture.extent, origin="upper", aspect="auto", interpolation="antialiased")


def _legend(
    ax: Axes,
    points: np.ndarray,
    codes: np.ndarray,
    entries: list[tuple[int, str, str]],
    location: Any,
    fontsize: Any,
    fontweight: Any,
    outline: float | None,
    na_color: Any,
) -> None:
    from matplotlib import patheffects

    effects: Any = [patheffects.withStroke(linewidth=outline, foreground="w")] if outline is not None else None
    if location == "on data":
        texts = []
        for code, label, _ in entries:
            mine = points[codes == code]
            mine = mine[np.isfinite(mine).all(axis=1)]
            if len(mine):
                x, y = np.median(mine, axis=0)
                texts.append(ax.text(
                    x, y, label, weight=fontweight, fontsize=fontsize, ha="center", va="center", path_effects=effects
                ))  # fmt: skip
        part_texts(ax, texts)
        return
    if na_color is not None:
        entries = [*entries, (-1, "NA", na_color)]
    for _, label, color in entries:
        ax.scatter([], [], color=[color], label=label)
    if location == "right margin":
        columns = 1 if len(entries) <= 14 else 2 if len(entries) <= 30 else 3
        legend = ax.legend(
            frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncol=columns, fontsize=fontsize
        )  # fmt: skip
    else:
        legend = ax.legend(loc=location, fontsize=fontsize)
    for text in legend.get_texts():
        if effects is not None:
            text.set_path_effects(effects)
