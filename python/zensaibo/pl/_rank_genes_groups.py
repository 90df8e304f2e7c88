"""What `tl.rank_genes_groups` found: ranked names, and the genes it chose in the plots of genes by groups."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._anndata import check_adata, get_uns
from .._keys import RANK_GENES_GROUPS
from ..errors import DataError, MissingKeyError, ParameterError, TooFewError
from ..get import rank_genes_groups_df
from ._density import half_widths, shape
from ._dotplot import dotplot, matrixplot
from ._groups import Grouped, columns_of, groups_of
from ._heatmap import heatmap, tracksplot
from ._panels import draw_points, fit, grid_of, settle, slot_of
from ._violin import _outline, _SEED, category_palette, stacked_violin

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: What a dot or a cell of the matrix may be coloured by, and how it is called.
_VALUES = {
    "scores": "score",
    "logfoldchanges": "log fold change",
    "pvals": "p-value",
    "pvals_adj": "adjusted p-value",
    "log10_pvals": "-log10 p-value",
    "log10_pvals_adj": "-log10 adjusted p-value",
}


def rank_genes_groups(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int = 20,
    gene_symbols: str | None = None,
    key: str = RANK_GENES_GROUPS,
    fontsize: float = 8,
    ncols: int = 4,
    sharey: bool = True,
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """The names of the best genes of each group at their scores.

    Parameters
    ----------
    adata
        With ``uns[key]`` of `tl.rank_genes_groups` (or scanpy's).
    groups
        Groups to show; by default all that were ranked.
    n_genes
        Genes of each, at least 1.
    gene_symbols
        Column of var with the names to write.
    key
        Key in uns.
    fontsize
        Of the names, in points.
    ncols
        Panels in a row.
    sharey
        Whether all panels have one range of scores.
    ax
        Axes to draw into (one group only).

    Returns
    -------
    The axes, or a list of them for several groups.
    """
    stored, names = _stored(adata, key, groups)
    if n_genes < 1:
        raise ParameterError(f"parameter `n_genes`: expected at least 1, found {n_genes}")
    if ax is not None and len(names) > 1:
        raise ParameterError(f"parameter `ax`: expected None for {len(names)} groups, found axes")
    tables = {}
    for name in names:
        table = rank_genes_groups_df(adata, name, key=key, gene_symbols=gene_symbols).head(n_genes)
        table = table[table["names"].notna()]
        if gene_symbols is not None:
            table = table.assign(names=table[gene_symbols])
        tables[name] = table
    figure: Any
    if ax is None:
        figure, axes = grid_of(len(names), ncols, max(0.16 * n_genes, 1.6) + 0.2, 2.6)
    else:
        figure, axes = ax.figure, [ax]
    slots = [slot_of(panel) for panel in axes]
    finite = np.concatenate([table["scores"].to_numpy(np.float64) for table in tables.values()])
    finite = finite[np.isfinite(finite)]
    reference = stored["params"]["reference"]
    for panel, (name, table) in zip(axes, tables.items(), strict=True):
        scores = table["scores"].to_numpy(np.float64)
        own = finite if sharey else scores[np.isfinite(scores)]
        low, high = (own.min(), own.max()) if len(own) else (0.0, 1.0)
        panel.set_xlim(-0.9, n_genes - 0.1)
        span = (high - low) or max(abs(high), 1.0)
        panel.set_ylim(low - 0.06 * span, high + 0.06 * span)
        panel.plot(np.arange(len(scores)), scores, ".", color="#1f77b4", markersize=3)
        for place, (gene, score) in enumerate(zip(table["names"], scores, strict=True)):
            if np.isfinite(score):
                panel.annotate(
                    str(gene), (place, score), (0, 4), textcoords="offset points", rotation=90, ha="center", va="bottom",
                    fontsize=fontsize,
                )  # fmt: skip
        panel.set_title(f"{name} vs. {reference}")
        panel.set_xticks(_ticks(n_genes))
        panel.spines[["top", "right"]].set_visible(False)
        panel.set_xlabel("ranking")
        panel.set_ylabel("score")
    _raise_ceilings(axes, sharey)
    if ax is None:
        if len(axes) > 1:
            settle([[panel] for panel in axes], slots, min(ncols, len(axes)), 0.0, None)
        else:
            fit(figure)
    return axes if len(axes) > 1 else axes[0]


def _ticks(n: int) -> np.ndarray:
    return np.arange(0, n, 1 if n <= 10 else 5 * max(1, n // 30))


def _raise_ceilings(axes: Sequence[Any], together: bool) -> None:
    """Raises upper limits until the names written above the points stay inside."""
    tops = []
    for ax in axes:
        box, (low, high) = ax.get_window_extent(), ax.get_ylim()
        top = high
        for text in ax.texts:
            length, place = text.get_window_extent().height, ax.transData.transform(text.xy)[1] - box.y0
            # The point keeps its share of the range while the text keeps its pixels.
            room = box.height - length - 6 * ax.figure.dpi / 72
            if room > 0 and place > 0:
                top = max(top, low + (high - low) * place / room)
        tops.append(top)
    for ax, top in zip(axes, tops, strict=True):
        ax.set_ylim(ax.get_ylim()[0], max(tops) if together else top)


def _stored(adata: AnnData, key: str, groups: str | Sequence[str] | None) -> tuple[Any, list[str]]:
    check_adata(adata)
    if key not in adata.uns:
        slots = ", ".join(map(str, adata.uns)) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.uns; present: {slots}; run `tl.rank_genes_groups` first")
    stored = get_uns(adata, key)
    present = list(stored["names"].dtype.names)
    names: list[str] = present if groups is None else [groups] if isinstance(groups, str) else [str(group) for group in groups]
    if not names:
        raise ParameterError("parameter `groups`: expected None or at least one group, found an empty list")
    for name in names:
        if name not in present:
            raise MissingKeyError(f"key `{name}` not found in uns[{key!r}]; present: {', '.join(present)}")
    return stored, names


def _chosen(
    adata: AnnData, groups: Any, n_genes: int | None, groupby: str | None, var_names: Any, gene_symbols: str | None,
    min_logfoldchange: float | None, key: str, parameters: dict[str, Any],
) -> tuple[Any, str, dict[str, Any]]:  # fmt: skip
    """Genes (by group), the key of obs to show, and the parameters of the plot with what the ranking implies."""
    stored, names = _stored(adata, key, groups)
    if var_names is not None:
        if n_genes is not None or min_logfoldchange is not None:
            raise ParameterError("parameters `var_names`, `n_genes`, `min_logfoldchange`: expected genes or a rule, found both")
        genes = var_names
    else:
        n_genes = 10 if n_genes is None else n_genes
        if n_genes == 0:
            raise ParameterError("parameter `n_genes`: expected a number above or below 0, found 0")
        genes = {}
        for name in names:
            table = rank_genes_groups_df(adata, name, key=key, gene_symbols=gene_symbols, log2fc_min=min_logfoldchange)
            listed = table[gene_symbols if gene_symbols is not None else "names"].dropna().tolist()
            genes[name] = listed[n_genes:] if n_genes < 0 else listed[:n_genes]
        if not any(genes.values()):
            raise TooFewError(f"parameter `min_logfoldchange`: expected a gene above {min_logfoldchange}, found none")
    shown = groupby or str(stored["params"]["groupby"])
    parameters = {"dendrogram": f"dendrogram_{shown}" in adata.uns, **parameters}
    if parameters.get("categories_order") is not None:
        parameters["dendrogram"] = False
    return genes, shown, parameters


def _values(adata: AnnData, what: str, key: str, gene_symbols: str | None) -> pd.DataFrame:
    """Groups x genes of one result."""
    if what not in _VALUES:
        raise ParameterError(f"parameter `values_to_plot`: expected one of {', '.join(_VALUES)}, found {what!r}")
    stored, names = _stored(adata, key, None)
    column = what.removeprefix("log10_")
    if column not in stored:
        raise MissingKeyError(f"key `{column}` not found in uns[{key!r}]; present: {', '.join(stored)}")
    rows = {}
    for name in names:
        table = rank_genes_groups_df(adata, name, key=key, gene_symbols=gene_symbols)
        index = table[gene_symbols if gene_symbols is not None else "names"]
        values = table[column].to_numpy(np.float64)
        if what.startswith("log10_"):
            # Probabilities below the smallest number are shown as that.
            values = -np.log10(np.maximum(values, np.nextafter(0, 1)))
        rows[name] = pd.Series(values, index=index)
    counted = {len(row) for row in rows.values()}
    if any(not row.index.is_unique for row in rows.values()):
        raise DataError(f"`uns[{key!r}]`: expected each gene once in a group, found repeated names")
    table = pd.DataFrame(rows).T
    if table.isna().any(axis=None) and table.shape[1] > max(counted):
        raise DataError(
            f"`uns[{key!r}]`: expected all genes in each group to show {what!r}, found the best {max(counted)} only; "
            "run `tl.rank_genes_groups` without `n_genes`"
        )
    return table


def _coloured(
    adata: AnnData, plot: Any, slot: str, genes: Any, groupby: str, values_to_plot: str | None, key: str,
    parameters: dict[str, Any],
) -> dict[str, Axes]:  # fmt: skip
    """A dotplot or matrixplot, coloured by a result if one is asked for; groups without a result are left out."""
    if values_to_plot is None:
        return plot(adata, genes, groupby, **parameters)
    table = _values(adata, values_to_plot, key, parameters.get("gene_symbols"))
    parameters = {"colorbar_title": _VALUES[values_to_plot], **parameters, slot: table}
    _, present, _ = groups_of(adata, groupby)
    if set(table.index) < set(present) and parameters.get("categories_order") is None:
        # The reference has no results of its own.
        parameters |= {"categories_order": [name for name in present if name in table.index], "dendrogram": False}
    return plot(adata, genes, groupby, **parameters)


def rank_genes_groups_dotplot(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    groupby: str | None = None,
    values_to_plot: str | None = None,
    var_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    gene_symbols: str | None = None,
    min_logfoldchange: float | None = None,
    key: str = RANK_GENES_GROUPS,
    **parameters: Any,
) -> dict[str, Axes]:
    """`dotplot` of the best genes of each group.

    Parameters
    ----------
    adata
        With ``uns[key]`` of `tl.rank_genes_groups` (or scanpy's).
    groups
        Groups whose genes are shown; by default all that were ranked.
    n_genes
        Best genes of each group, or the worst if negative; 10 by default.
    groupby
        Column of obs to show instead of the one that was ranked.
    values_to_plot
        Colour by a result instead of the mean: ``"scores"``, ``"logfoldchanges"``, ``"pvals"``, ``"pvals_adj"``,
        ``"log10_pvals"``, ``"log10_pvals_adj"`` (the last two negated). Groups without results are left out.
    var_names
        Genes to show instead of the best.
    gene_symbols
        Column of var with the names to write.
    min_logfoldchange
        Only genes with a higher log2 fold change.
    key
        Key in uns.
    **parameters
        Those of `dotplot`. `dendrogram` is True by default where ``uns`` has the one of the groups.

    Returns
    -------
    Axes by name, as of `dotplot`.
    """
    genes, shown, parameters = _chosen(
        adata, groups, n_genes, groupby, var_names, gene_symbols, min_logfoldchange, key, parameters
    )
    parameters["gene_symbols"] = gene_symbols
    return _coloured(adata, dotplot, "dot_color_df", genes, shown, values_to_plot, key, parameters)


def rank_genes_groups_matrixplot(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    groupby: str | None = None,
    values_to_plot: str | None = None,
    var_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    gene_symbols: str | None = None,
    min_logfoldchange: float | None = None,
    key: str = RANK_GENES_GROUPS,
    **parameters: Any,
) -> dict[str, Axes]:
    """`matrixplot` of the best genes of each group. Parameters are those of `rank_genes_groups_dotplot`; the rest go to
    `matrixplot`."""
    genes, shown, parameters = _chosen(
        adata, groups, n_genes, groupby, var_names, gene_symbols, min_logfoldchange, key, parameters
    )
    parameters["gene_symbols"] = gene_symbols
    return _coloured(adata, matrixplot, "values_df", genes, shown, values_to_plot, key, parameters)


def rank_genes_groups_stacked_violin(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    groupby: str | None = None,
    var_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    gene_symbols: str | None = None,
    min_logfoldchange: float | None = None,
    key: str = RANK_GENES_GROUPS,
    **parameters: Any,
) -> dict[str, Axes]:
    """`stacked_violin` of the best genes of each group. Parameters are those of `rank_genes_groups_dotplot`; the rest go
    to `stacked_violin`."""
    genes, shown, parameters = _chosen(
        adata, groups, n_genes, groupby, var_names, gene_symbols, min_logfoldchange, key, parameters
    )
    return stacked_violin(adata, genes, shown, gene_symbols=gene_symbols, **parameters)


def rank_genes_groups_heatmap(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    groupby: str | None = None,
    var_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    gene_symbols: str | None = None,
    min_logfoldchange: float | None = None,
    key: str = RANK_GENES_GROUPS,
    **parameters: Any,
) -> dict[str, Axes]:
    """`heatmap` of the best genes of each group. Parameters are those of `rank_genes_groups_dotplot`; the rest go to
    `heatmap`."""
    genes, shown, parameters = _chosen(
        adata, groups, n_genes, groupby, var_names, gene_symbols, min_logfoldchange, key, parameters
    )
    return heatmap(adata, genes, shown, gene_symbols=gene_symbols, **parameters)


def rank_genes_groups_tracksplot(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int | None = None,
    groupby: str | None = None,
    var_names: Sequence[str] | Mapping[str, Sequence[str]] | None = None,
    gene_symbols: str | None = None,
    min_logfoldchange: float | None = None,
    key: str = RANK_GENES_GROUPS,
    **parameters: Any,
) -> dict[str, Any]:
    """`tracksplot` of the best genes of each group. Parameters are those of `rank_genes_groups_dotplot`; the rest go to
    `tracksplot`."""
    genes, shown, parameters = _chosen(
        adata, groups, n_genes, groupby, var_names, gene_symbols, min_logfoldchange, key, parameters
    )
    return tracksplot(adata, genes, shown, gene_symbols=gene_symbols, **parameters)


def rank_genes_groups_violin(
    adata: AnnData,
    *,
    groups: str | Sequence[str] | None = None,
    n_genes: int = 20,
    gene_names: Sequence[str] | None = None,
    gene_symbols: str | None = None,
    use_raw: bool | None = None,
    layer: str | None = None,
    key: str = RANK_GENES_GROUPS,
    split: bool = True,
    density_norm: str = "width",
    strip: bool = True,
    jitter: float | bool = True,
    size: float = 1,
    ax: Axes | None = None,
) -> Axes | list[Axes]:
    """Violins of the best genes of each group, beside those of the cells it was compared with.

    Parameters
    ----------
    adata
        With ``uns[key]`` of `tl.rank_genes_groups` (or scanpy's).
    groups
        Groups to show, one axes each; by default all that were ranked.
    n_genes
        Best genes of each group.
    gene_names
        Genes to show instead.
    gene_symbols
        Column of var with the names to write.
    use_raw, layer
        Where values come from; by default what was ranked.
    key
        Key in uns.
    split
        Whether a gene has one violin with the group as its left and the others as its right half, instead of two.
    density_norm
        As for `violin`, among all violins of the axes.
    strip, jitter, size
        Points, as `stripplot`, `jitter` and `size` of `violin`.
    ax
        Axes to draw into (one group only).

    Returns
    -------
    The axes, or a list of them for several groups.
    """
    from matplotlib.collections import PolyCollection
    from matplotlib.patches import Patch

    stored, names = _stored(adata, key, groups)
    if n_genes < 1:
        raise ParameterError(f"parameter `n_genes`: expected at least 1, found {n_genes}")
    if not size > 0:
        raise ParameterError(f"parameter `size`: expected a number above 0, found {size!r}")
    if ax is not None and len(names) > 1:
        raise ParameterError(f"parameter `ax`: expected None for {len(names)} groups, found axes")
    params = stored["params"]
    if layer is None and use_raw is None:
        use_raw = bool(params.get("use_raw", False)) and adata.raw is not None
        layer = params.get("layer") or None
        layer = None if layer == "None" else layer
    reference = str(params["reference"])
    codes, labels, _ = groups_of(adata, str(params["groupby"]))
    gone = [name for name in [*names, reference] if name not in labels and name != "rest"]
    if gone:
        raise MissingKeyError(f"key `{gone[0]}` not found in adata.obs[{params['groupby']!r}]; present: {', '.join(labels)}")

    axes = []
    for name in names:
        if gene_names is not None:
            genes = [gene_names] if isinstance(gene_names, str) else list(gene_names)
        else:
            table = rank_genes_groups_df(adata, name, key=key, gene_symbols=gene_symbols)
            genes = table[gene_symbols or "names"].dropna().tolist()[:n_genes]
        side = np.full(adata.n_obs, -1)
        side[(codes >= 0) if reference == "rest" else codes == labels.index(reference)] = 1
        side[codes == labels.index(name)] = 0
        data = Grouped(
            genes, columns_of(adata, genes, use_raw=use_raw, layer=layer, gene_symbols=gene_symbols), side, [name, reference], ""
        )
        panel = ax if ax is not None else grid_of(1, 1, max(0.45 * len(genes), 2.5) + 0.3, 3.0)[1][0]
        parts = [data.by_group(data.dense(j)) for j in range(len(genes))]
        flat = [part for pair in parts for part in pair]
        flat = [part[np.isfinite(part)] for part in flat]
        shapes = [shape(part) for part in flat]
        width = 0.9 if split else 0.42
        outlines, middles = [], []
        for i, (s, half) in enumerate(zip(shapes, half_widths(shapes, density_norm, width), strict=True)):
            gene, which = divmod(i, 2)
            middle = gene if split else gene + (-0.22, 0.22)[which]
            outline = _outline(middle, s, half, upright=True)
            if split:
                outline[:, 0] = np.minimum(outline[:, 0], gene) if which == 0 else np.maximum(outline[:, 0], gene)
            outlines.append(outline)
            middles.append(gene + (-0.2, 0.2)[which] if split else middle)
        low = min((part.min() for part in flat if len(part)), default=0.0)
        high = max((part.max() for part in flat if len(part)), default=1.0)
        margin = 0.04 * (high - low) or 0.5
        panel.set_xlim(-0.6, len(genes) - 0.4)
        panel.set_ylim(low - margin, high + margin)
        colors = category_palette(2)
        panel.add_collection(PolyCollection(outlines, facecolors=colors, edgecolors="#444444", linewidths=0.6, zorder=1))
        if strip and any(len(part) for part in flat):
            spread = 0.05 if jitter is True else float(jitter)
            if not 0 <= spread <= 0.2:
                raise ParameterError(f"parameter `jitter`: expected a flag or 0 to 0.2, found {jitter!r}")
            places = np.repeat(middles, [len(part) for part in flat])
            places = places + np.random.default_rng(_SEED).uniform(-spread, spread, len(places))
            draw_points(panel, places, np.concatenate(flat), size=4 * size**2, alpha=0.5 if len(places) > 20_000 else 0.8, order="given")
        panel.set_xticks(range(len(genes)), genes, rotation=90)
        panel.set_title(f"{name} vs. {reference}")
        panel.set_ylabel("expression")
        panel.spines[["top", "right"]].set_visible(False)
        panel.legend(
            handles=[Patch(color=color, label=label) for color, label in zip(colors, (name, reference), strict=True)],
            frameon=False, loc="center left", bbox_to_anchor=(1, 0.5),
        )  # fmt: skip
        if ax is None:
            fit(panel.figure)
        axes.append(panel)
    return axes if len(axes) > 1 else axes[0]
