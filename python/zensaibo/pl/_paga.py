"""The graph of groups that `tl.paga` computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._anndata import check_adata, get_obs
from ..errors import MissingKeyError, ParameterError, ShapeError
from ._colors import category_colors, norm_of
from ._groups import columns_of
from ._panels import fit, grid_of, part_texts, settle, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Square points of the smallest disc: its name stays readable.
_SMALLEST = 120


def paga(
    adata: AnnData,
    *,
    threshold: float | None = None,
    color: str | Sequence[str] | Mapping[Any, Mapping[Any, float]] | None = None,
    layout: str = "fr",
    init_pos: np.ndarray | None = None,
    labels: Sequence[str] | None = None,
    single_component: bool = False,
    solid_edges: str = "connectivities",
    dashed_edges: str | None = None,
    transitions: str | None = None,
    fontsize: float | None = None,
    fontweight: str | int = "bold",
    fontoutline: float | None = 2,
    node_size_scale: float = 1.0,
    node_size_power: float = 0.5,
    edge_width_scale: float = 1.0,
    min_edge_width: float | None = None,
    max_edge_width: float | None = None,
    arrowsize: float = 30,
    title: str | Sequence[str] | None = None,
    random_state: int = 0,
    pos: np.ndarray | None = None,
    normalize_to_color: bool = False,
    cmap: Any = None,
    vmin: Any = None,
    vmax: Any = None,
    colorbar: bool = True,
    frameon: bool = False,
    add_pos: bool = True,
    use_raw: bool | None = None,
    layer: str | None = None,
    ncols: int = 4,
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Groups as discs joined by lines as thick as they are connected.

    Parameters
    ----------
    adata
        With ``uns["paga"]`` of `tl.paga`.
    threshold
        Edges weaker than this are not drawn; 0.01 by default.
    color
        ``None``: the groups' colours; a column of obs with numbers or a gene: the mean in each group; a column with
        categories: a pie of their shares; a colour; ``"degree_solid"`` or ``"degree_dashed"``: sums of weights; or for
        each group (in order of categories, keys 0, 1, 2...) a dictionary from colours to shares. Several give a panel
        each.
    layout
        ``"fr"`` (forces, Fruchterman and Reingold) or ``"circle"``, where no `pos` is given.
    init_pos
        (groups, 2) starting places of "fr"; random by default.
    labels
        Names to write instead of the categories.
    single_component
        Whether only the largest connected part is shown.
    solid_edges, dashed_edges
        Keys of ``uns["paga"]`` with (groups, groups) weights.
    transitions
        Key of ``uns["paga"]`` with directed weights: entry (i, j) is an arrow from j to i. Drawn instead of solid
        lines.
    fontsize, fontweight, fontoutline
        Text of the names; the outline in points is white.
    node_size_scale, node_size_power
        Area of a disc: scale x (cells / median cells) ** power, but no less than a name takes.
    edge_width_scale, min_edge_width, max_edge_width
        Width of a line: 5 lines' widths x scale x weight, kept within the limits.
    arrowsize
        Size of arrow heads.
    title
        Title, or one for each panel; by default the colour.
    random_state
        Seed of the layout.
    pos
        (groups, 2) places.
    normalize_to_color
        For pies: shares of each colour's cells in the group (and the rest grey) instead of each group's cells.
    cmap, vmin, vmax
        Colour map of numbers and its range.
    colorbar
        Whether numbers have a colour bar.
    frameon
        Whether there is a frame.
    add_pos
        Whether places are stored in ``uns["paga"]["pos"]``, where `tl.umap` and `tl.draw_graph` look for them.
    use_raw, layer
        Where genes come from, as for `embedding`.
    ncols
        Panels in a row.
    ax
        Axes to draw into (one panel only).

    Returns
    -------
    The axes, or a list of them for several panels. The layout depends on the seed alone.
    """
    check_adata(adata)
    if "paga" not in adata.uns:
        present = ", ".join(map(str, adata.uns)) or "(nothing)"
        raise MissingKeyError(f"key `paga` not found in adata.uns; present: {present}; run `tl.paga` first")
    stored = adata.uns["paga"]
    groups_key = str(stored["groups"])
    column = get_obs(adata, groups_key)
    if not isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype("category")
    names = [str(c) for c in column.cat.categories]
    count = len(names)
    codes = column.cat.codes.to_numpy()
    least = 0.01 if threshold is None else float(threshold)
    solid = _weights(stored, solid_edges, count, least)
    dashed = None if dashed_edges is None else _weights(stored, dashed_edges, count, least)
    arrows = None if transitions is None else _weights(stored, transitions, count, least)
    if layout not in ("fr", "circle"):
        raise ParameterError(f"parameter `layout`: expected 'fr' or 'circle' (or places by `pos`), found {layout!r}")
    if labels is not None and len(labels) != count:
        raise ParameterError(f"parameter `labels`: expected {count} names, one for each group, found {len(labels)}")
    for name, value in (("pos", pos), ("init_pos", init_pos)):
        if value is not None and np.shape(value) != (count, 2):
            raise ShapeError(f"`{name}`: expected shape ({count}, 2), found {np.shape(value)}")

    if pos is not None:
        places = np.asarray(pos, dtype=np.float64)
    elif layout == "circle":
        angle = 2 * np.pi * np.arange(count) / max(count, 1)
        places = np.column_stack([np.cos(angle), np.sin(angle)])
    else:
        places = spring_layout(solid, init_pos, random_state)
    if add_pos and not adata.is_view:
        adata.uns["paga"] = {**stored, "pos": places}

    kept = np.arange(count)
    if single_component:
        parts, member = sparse.csgraph.connected_components(sparse.csr_matrix(solid + solid.T), directed=False)
        kept = np.flatnonzero(member == np.bincount(member, minlength=parts).argmax())
    sizes = np.bincount(codes[codes >= 0], minlength=count).astype(np.float64)
    median = np.median(sizes) or 1.0
    area = np.maximum(4000 / (np.sqrt(count) + 10) * (sizes / median) ** node_size_power, _SMALLEST) * node_size_scale

    wanted: list[Any] = [color] if color is None or isinstance(color, (str, Mapping)) else list(color)
    if not wanted:
        raise ParameterError("parameter `color`: expected None or at least one key, found an empty list")
    if ax is not None and len(wanted) > 1:
        raise ParameterError(f"parameter `ax`: expected None for {len(wanted)} colours, found axes")
    titles = [title] * len(wanted) if title is None or isinstance(title, str) else list(title)
    if len(titles) != len(wanted):
        raise ParameterError(f"parameter `title`: expected one text or {len(wanted)}, found {len(titles)}")
    own = ax is None
    if ax is None:
        _, axes = grid_of(len(wanted), ncols, 4.2, 4.0)
    else:
        axes = [ax]
    slots, clusters = [slot_of(panel) for panel in axes], [[panel] for panel in axes]
    for number, (panel, what) in enumerate(zip(axes, wanted, strict=True)):
        values, colors, pies = _node_colors(
            adata, what, column, groups_key, codes, solid, dashed, normalize_to_color, use_raw, layer
        )
        panel.set_xticks([])
        panel.set_yticks([])
        panel.set_frame_on(frameon)
        text = titles[number]
        panel.set_title(text if text is not None else what if isinstance(what, str) else "")
        if values is not None:
            scale = norm_of(values, vmin, vmax, None)
            import matplotlib

            mappable = matplotlib.cm.ScalarMappable(norm=scale, cmap=cmap)
            colors = [mappable.to_rgba(v) if np.isfinite(v) else (0.83, 0.83, 0.83, 1) for v in values]
            if colorbar:
                bar = panel.figure.colorbar(mappable, ax=panel, pad=0.02, fraction=0.05, aspect=30)
                clusters[number].append(bar.ax)
        _limits(panel, places[kept], area[kept])
        width = 5 * _line_width() * edge_width_scale
        _edges(panel, places, kept, arrows, solid, dashed, width, min_edge_width, max_edge_width, area, arrowsize)
        texts = []
        for i in kept:
            if pies is not None:
                _pie(panel, places[i], area[i], pies[i])
            else:
                panel.scatter(places[i, 0], places[i, 1], s=area[i], color=[colors[i]], edgecolors="none", zorder=3)
            name = str(labels[int(i)]) if labels is not None else names[i]
            texts.append(panel.text(
                places[i, 0], places[i, 1], name, ha="center", va="center", fontsize=fontsize, fontweight=fontweight, zorder=5,
                path_effects=_outline_of(fontoutline),
            ))  # fmt: skip
        part_texts(panel, texts)
    if own and len(axes) > 1:
        settle(clusters, slots, min(ncols, len(axes)), 0.1, None)
    elif own:
        fit(axes[0].figure)
    return axes if len(axes) > 1 else axes[0]


def _line_width() -> float:
    from matplotlib import rcParams

    return float(rcParams["lines.linewidth"])


def _outline_of(width: float | None) -> Any:
    from matplotlib import patheffects

    return None if width is None else [patheffects.withStroke(linewidth=width, foreground="w")]


def _weights(stored: Mapping[str, Any], key: str, count: int, least: float) -> np.ndarray:
    """(groups, groups) weights of a graph, those below `least` 0."""
    if key not in stored:
        raise MissingKeyError(f"key `{key}` not found in adata.uns['paga']; present: {', '.join(map(str, stored))}")
    matrix = stored[key]
    matrix = matrix.toarray() if sparse.issparse(matrix) else np.array(matrix)
    if matrix.shape != (count, count):
        raise ShapeError(
            f"`uns['paga'][{key!r}]`: expected shape ({count}, {count}), found {matrix.shape}; run `tl.paga` again"
        )
    matrix = matrix.astype(np.float64)
    return np.where(matrix < least, 0.0, matrix)


def spring_layout(weights: np.ndarray, start: np.ndarray | None = None, seed: int = 0, rounds: int = 500) -> np.ndarray:
    """Places of a few nodes: neighbours attract by their weight, all repel, and the middle draws those without edges in.

    Fruchterman and Reingold 1991, with a cooling step. O(rounds x nodes^2).
    """
    n = len(weights)
    if n == 1:
        return np.array([[0.5, 0.5]])
    pull = np.maximum(weights, weights.T)
    np.fill_diagonal(pull, 0)
    places = np.random.default_rng(seed).random((n, 2)) if start is None else np.array(start, dtype=np.float64)
    spread = places.max(axis=0) - places.min(axis=0)
    places = (places - places.mean(axis=0)) / (spread.max() or 1.0)
    ideal = 1 / np.sqrt(n)
    for turn in range(rounds):
        apart = places[:, None] - places[None]
        distance = np.maximum(np.sqrt((apart**2).sum(axis=2)), 1e-9)
        force = (apart * (ideal**2 / distance**2 - pull * distance / ideal)[..., None]).sum(axis=1) - 0.3 * places
        length = np.maximum(np.sqrt((force**2).sum(axis=1, keepdims=True)), 1e-12)
        places = places + force / length * np.minimum(length, 0.1 * (1 - turn / rounds))
    return places


def _node_colors(
    adata: AnnData, what: Any, column: pd.Series, groups_key: str, codes: np.ndarray, solid: np.ndarray,
    dashed: np.ndarray | None, by_color: bool, use_raw: bool | None, layer: str | None,
) -> tuple[np.ndarray | None, list[Any], list[dict[Any, float]] | None]:  # fmt: skip
    """Numbers, or colours, or pies of the groups."""
    from matplotlib.colors import is_color_like

    categories = list(column.cat.categories)
    count = len(categories)
    if isinstance(what, Mapping):
        pies = []
        for i in range(count):
            if i not in what or not isinstance(what[i], Mapping):
                raise ParameterError(f"parameter `color`: expected a dictionary of colours and shares for group {i}, found none")
            pies.append(_whole({c: float(share) for c, share in what[i].items()}, i))
        return None, [], pies
    if what is None or what == groups_key:
        return None, category_colors(adata, groups_key, categories, None), None
    if what in ("degree_solid", "degree_dashed"):
        graph = solid if what == "degree_solid" else dashed
        if graph is None:
            raise ParameterError("parameter `color`: expected `dashed_edges` for 'degree_dashed', found None")
        return np.maximum(graph, graph.T).sum(axis=1), [], None
    if what in adata.obs and not pd.api.types.is_numeric_dtype(adata.obs[what].dtype) or (
        what in adata.obs and pd.api.types.is_bool_dtype(adata.obs[what].dtype)
    ):
        other = adata.obs[what].astype("category")
        colors = category_colors(adata, what, list(other.cat.categories), None)
        known = (codes >= 0) & (other.cat.codes.to_numpy() >= 0)
        table = np.zeros((count, len(colors)))
        np.add.at(table, (codes[known], other.cat.codes.to_numpy()[known]), 1)
        total = table.sum(axis=0 if by_color else 1, keepdims=True)
        share = np.divide(table, total, out=np.zeros_like(table), where=total > 0)
        pies = []
        for row in share:
            pie: dict[Any, float] = {}
            for c, part in zip(colors, row, strict=True):
                pie[c] = pie.get(c, 0.0) + part
            # Shares of different wholes are compared with one another; they make no whole themselves.
            pies.append({c: part / max(row.sum(), 1) for c, part in pie.items()} if by_color else pie)
        return None, [], [_whole(pie, i) for i, pie in enumerate(pies)]
    if what not in adata.obs and is_color_like(what) and what not in adata.var_names:
        return None, [what] * count, None
    ((rows, values),) = columns_of(adata, [what], use_raw=use_raw, layer=layer, gene_symbols=None)
    full = np.zeros(adata.n_obs) if rows is not None else np.asarray(values, np.float64)
    if rows is not None:
        full[rows] = values
    known = (codes >= 0) & ~np.isnan(full)
    with np.errstate(invalid="ignore"):
        return np.bincount(codes[known], full[known], count) / np.bincount(codes[known], minlength=count), [], None


def _whole(pie: dict[Any, float], group: int) -> dict[Any, float]:
    """Shares with grey for what is missing to 1."""
    total = sum(pie.values())
    if total > 1 + 1e-6 or min(pie.values(), default=0.0) < 0:
        raise ParameterError(f"parameter `color`: expected shares of group {group} from 0 and at most 1 in all, found {total}")
    return {**pie, "lightgray": pie.get("lightgray", 0.0) + 1 - total} if total < 1 - 1e-6 else pie


def _limits(ax: Axes, places: np.ndarray, area: np.ndarray) -> None:
    """Limits that hold all discs and the names in them."""
    low, high = places.min(axis=0), places.max(axis=0)
    box = ax.get_window_extent()
    inches = np.array([box.width, box.height]) / ax.figure.dpi
    radius = np.sqrt(area.max()) / 2 / 72 + 0.12
    share = np.minimum(radius / inches, 0.3)
    span = np.where(high > low, high - low, 1.0)
    margin = span * share / (1 - 2 * share)
    centre = (low + high) / 2
    ax.set_xlim(centre[0] - span[0] / 2 - margin[0], centre[0] + span[0] / 2 + margin[0])
    ax.set_ylim(centre[1] - span[1] / 2 - margin[1], centre[1] + span[1] / 2 + margin[1])


def _edges(
    ax: Axes, places: np.ndarray, kept: np.ndarray, arrows: np.ndarray | None, solid: np.ndarray, dashed: np.ndarray | None,
    width: float, least: float | None, most: float | None, area: np.ndarray, arrowsize: float,
) -> None:  # fmt: skip
    from matplotlib.collections import LineCollection
    from matplotlib.patches import FancyArrowPatch

    def lines(graph: np.ndarray) -> tuple[list[Any], np.ndarray]:
        both = np.triu(np.maximum(graph, graph.T), 1)
        pairs = [(i, j) for i, j in zip(*np.nonzero(both), strict=True) if i in kept and j in kept]
        widths = np.array([both[i, j] for i, j in pairs]) * width
        if least is not None or most is not None:
            widths = np.clip(widths, least, most)
        return [places[[i, j]] for i, j in pairs], widths

    if dashed is not None:
        segments, widths = lines(dashed)
        ax.add_collection(LineCollection(segments, linewidths=widths, colors="gray", linestyles="dashed", alpha=0.5, zorder=1))
    if arrows is None:
        segments, widths = lines(solid)
        ax.add_collection(LineCollection(segments, linewidths=widths, colors="black", zorder=2))
        return
    for to, start in zip(*np.nonzero(arrows), strict=True):
        if to == start or to not in kept or start not in kept:
            continue
        thick = arrows[to, start] * width
        thick = float(np.clip(thick, least, most)) if least is not None or most is not None else float(thick)
        ax.add_patch(
            FancyArrowPatch(
                tuple(places[start]), tuple(places[to]), arrowstyle="-|>", mutation_scale=arrowsize * 0.5, linewidth=thick,
                color="black", shrinkA=np.sqrt(area[start]) / 2, shrinkB=np.sqrt(area[to]) / 2, zorder=2,
                connectionstyle="arc3,rad=0.08",
            )  # fmt: skip
        )


def _pie(ax: Axes, place: np.ndarray, area: float, pie: dict[Any, float]) -> None:
    """Slices as markers, so that they are round whatever the axes; a slice's marker is scaled by its own reach."""
    start = 0.0
    for color, share in pie.items():
        if share <= 0:
            continue
        angle = 2 * np.pi * np.linspace(start, start + share, max(3, int(60 * share)))
        start += share
        outline: Any = np.column_stack([np.append(0, np.cos(angle)), np.append(0, np.sin(angle))])
        ax.scatter(place[0], place[1], marker=outline, s=np.abs(outline).max() ** 2 * area, color=[color], linewidths=0, zorder=3)
