"""Statistics of cells in tissue: matrices of labels, curves over distance, ligands and receptors, genes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._anndata import check_adata, get_uns
from ..errors import EmptyDataError, MissingKeyError, ParameterError
from ._colors import category_colors, norm_of
from ._grid import _SMALL
from ._panels import Frame, fit, grid_of, settle, size_of, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes

#: Inches of a cell of a matrix and of dots.
_CELL = 0.35


def _result(adata: AnnData, key: str, function: str) -> Any:
    check_adata(adata)
    if key not in adata.uns:
        present = ", ".join(map(str, adata.uns)) or "(nothing)"
        raise MissingKeyError(f"key `{key}` not found in adata.uns; present: {present}; run `sp.{function}` first")
    return get_uns(adata, key)


def _chosen(wanted: Any, names: Sequence[str], parameter: str) -> list[int]:
    """Places of some names; all for ``None``."""
    if wanted is None:
        return list(range(len(names)))
    asked = [wanted] if isinstance(wanted, str) else [str(name) for name in wanted]
    absent = [name for name in asked if name not in names]
    if absent or not asked:
        raise ParameterError(f"parameter `{parameter}`: expected some of {', '.join(names)}, found {(absent or ['none'])[0]!r}")
    return [list(names).index(name) for name in asked]


def _heat(
    values: np.ndarray, rows: Sequence[str], columns: Sequence[str], *, title: str | None, legend: str, annotate: bool, figsize: Any,
    ax: Axes | None, norm: Any, cmap: Any,
) -> Axes:  # fmt: skip
    """A matrix as colours, with its colour bar to the right; unknown cells are grey."""
    whole = size_of(figsize, ax)
    width, height = (len(columns) * _CELL, max(len(rows) * _CELL, 1.0)) if whole is None else (whole[0] - 0.9, whole[1])
    if width < 0.2:
        raise ParameterError(f"parameters `figsize`, `ax`: expected more than 1.1 inches of width, found {width + 0.9:.1f}")
    frame = Frame(ax, width + 0.9, height)
    main, bar = frame.add(0, 0, width, height), frame.add(width + 0.15, 0, 0.14, height)
    main.set_facecolor("lightgray")
    mesh = main.pcolormesh(
        np.arange(len(columns) + 1) - 0.5, np.arange(len(rows) + 1) - 0.5, np.ma.masked_invalid(values), norm=norm, cmap=cmap,
        edgecolors="white", linewidth=0.3,
    )  # fmt: skip
    main.set_xlim(-0.5, len(columns) - 0.5)
    main.set_ylim(len(rows) - 0.5, -0.5)
    main.set_xticks(range(len(columns)), columns, rotation=90)
    main.set_yticks(range(len(rows)), rows)
    main.tick_params(length=2)
    if annotate:
        for (row, column), value in np.ndenumerate(values):
            if np.isfinite(value):
                red, green, blue, _ = mesh.cmap(mesh.norm(value))
                shade = "white" if 0.3 * red + 0.59 * green + 0.11 * blue < 0.5 else "black"
                main.text(column, row, f"{value:.3g}", ha="center", va="center", fontsize=6, color=shade)
    frame.figure.colorbar(mesh, cax=bar)
    bar.set_ylabel(legend, fontsize=_SMALL)
    bar.tick_params(labelsize=_SMALL, length=2)
    if title is not None:
        main.set_title(title)
    frame.finish()
    return main


def nhood_enrichment(
    adata: AnnData,
    cluster_key: str,
    *,
    mode: str = "zscore",
    annotate: bool = False,
    title: str | None = "Neighbourhood enrichment",
    figsize: Sequence[float] | None = None,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    norm: Any = None,
    cmap: Any = None,
) -> Axes:
    """How often neighbours carry two labels, as a matrix of colours.

    Parameters
    ----------
    adata
        With ``uns[cluster_key + "_nhood_enrichment"]`` of `sp.nhood_enrichment`.
    cluster_key
        Column of ``obs`` that was used.
    mode
        ``"zscore"``, ``"count"``, ``"mean"`` or ``"std"``.
    annotate
        Whether numbers stand in the cells.
    title
        Text above.
    figsize
        Inches of matrix and colour bar; by default as much as the labels need.
    ax
        Axes whose place to fill, instead of a new figure.
    vmin, vmax, norm
        Range of the colours; by default symmetric about 0 for z scores. Or a matplotlib norm instead.
    cmap
        Colour map; by default blue to red for z scores.

    Returns
    -------
    The axes of the matrix: rows are the labels of cells, columns those of their neighbours. Grey where chance leaves no choice.
    """
    found = _result(adata, f"{cluster_key}_nhood_enrichment", "nhood_enrichment")
    if mode not in ("zscore", "count", "mean", "std"):
        raise ParameterError(f"parameter `mode`: expected 'zscore', 'count', 'mean' or 'std', found {mode!r}")
    if mode not in found:
        raise MissingKeyError(f"key `{mode}` not found in adata.uns['{cluster_key}_nhood_enrichment']; present: {', '.join(found)}")
    values = np.asarray(found[mode], dtype=np.float64)
    names = _names(adata, cluster_key, found, len(values))
    if mode == "zscore" and norm is None and vmin is None and vmax is None and np.isfinite(values).any():
        vmax = max(float(np.nanmax(np.abs(values))), 1e-12)
        vmin = -vmax
    shades = cmap if cmap is not None else "RdBu_r" if mode == "zscore" else "viridis"
    return _heat(
        values, names, names, title=title, legend={"zscore": "z score", "count": "edges"}.get(mode, f"{mode} of edges"),
        annotate=annotate, figsize=figsize, ax=ax, norm=norm_of(values, vmin, vmax, None, norm), cmap=shades,
    )  # fmt: skip


def interaction_matrix(
    adata: AnnData,
    cluster_key: str,
    *,
    annotate: bool = False,
    title: str | None = "Interaction matrix",
    figsize: Sequence[float] | None = None,
    ax: Axes | None = None,
    vmin: Any = None,
    vmax: Any = None,
    norm: Any = None,
    cmap: Any = "viridis",
) -> Axes:
    """Edges between labels, as a matrix of colours.

    Parameters
    ----------
    adata
        With ``uns[cluster_key + "_interactions"]`` of `sp.interaction_matrix`.
    cluster_key
        Column of ``obs`` that was used.
    annotate, title, figsize, ax, vmin, vmax, norm, cmap
        See `nhood_enrichment`.

    Returns
    -------
    The axes of the matrix: rows are the labels of cells, columns those of their neighbours.
    """
    values = np.asarray(_result(adata, f"{cluster_key}_interactions", "interaction_matrix"), dtype=np.float64)
    names = _names(adata, cluster_key, {}, len(values))
    return _heat(
        values, names, names, title=title, legend="edges", annotate=annotate, figsize=figsize, ax=ax,
        norm=norm_of(values, vmin, vmax, None, norm), cmap=cmap,
    )  # fmt: skip


def _names(adata: AnnData, cluster_key: str, found: Any, count: int) -> list[str]:
    """The labels behind rows: stored ones, or those in use in obs (results of squidpy have none)."""
    if "categories" in found:
        return [str(name) for name in found["categories"]]
    if cluster_key not in adata.obs:
        raise MissingKeyError(f"key `{cluster_key}` not found in adata.obs; present: {', '.join(map(str, adata.obs.columns))}")
    names = [str(name) for name in pd.Categorical(adata.obs[cluster_key]).remove_unused_categories().categories]
    if len(names) != count:
        raise ParameterError(f"parameter `cluster_key`: expected a column of {count} labels, as in the result, found {len(names)}")
    return names


def centrality_scores(
    adata: AnnData, cluster_key: str, *, score: str | Sequence[str] | None = None, palette: Any = None
) -> list[Axes]:
    """Scores of labels in the graph of neighbours, a panel for each score.

    Parameters
    ----------
    adata
        With ``uns[cluster_key + "_centrality_scores"]`` of `sp.centrality_scores`.
    cluster_key
        Column of ``obs`` that was used.
    score
        Columns to show; ``None`` for all.
    palette
        Colours of the labels; by default those stored under ``uns``.

    Returns
    -------
    One axes for each score, labels from the highest down.
    """
    table = _result(adata, f"{cluster_key}_centrality_scores", "centrality_scores")
    shown = [str(table.columns[at]) for at in _chosen(score, [str(name) for name in table.columns], "score")]
    colors = dict(zip(map(str, table.index), category_colors(adata, cluster_key, list(table.index), palette), strict=True))
    _, axes = grid_of(len(shown), 4, 2.4, max(0.22 * len(table), 1.0))
    slots = [slot_of(ax) for ax in axes]
    for ax, name in zip(axes, shown, strict=True):
        order = table[name].sort_values(kind="stable", na_position="first")
        ax.scatter(order, np.arange(len(order)), c=[colors[str(label)] for label in order.index], s=30, zorder=2)
        ax.set_yticks(range(len(order)), [str(label) for label in order.index])
        ax.set_ylim(-0.6, len(order) - 0.4)
        ax.set_xlabel(name.replace("_", " "))
        ax.grid(axis="y", color="#eeeeee")
        ax.spines[["top", "right"]].set_visible(False)
    settle([[ax] for ax in axes], slots, min(4, len(axes)), 0.2, None)
    return axes


def co_occurrence(
    adata: AnnData,
    cluster_key: str,
    *,
    clusters: str | Sequence[str] | None = None,
    palette: Any = None,
    ncols: int = 3,
) -> list[Axes]:
    """How much more often labels are found near a label than near any cell, over distance.

    Parameters
    ----------
    adata
        With ``uns[cluster_key + "_co_occurrence"]`` of `sp.co_occurrence`.
    cluster_key
        Column of ``obs`` that was used.
    clusters
        Labels to look from, a panel each; ``None`` for all.
    palette
        Colours of the labels; by default those stored under ``uns``.
    ncols
        Panels in a row.

    Returns
    -------
    One axes for each label; 1 (dashed) is no preference.
    """
    found = _result(adata, f"{cluster_key}_co_occurrence", "co_occurrence")
    ratio, interval = np.asarray(found["occ"], dtype=np.float64), np.asarray(found["interval"], dtype=np.float64)
    names = _names(adata, cluster_key, found, len(ratio))
    shown = _chosen(clusters, names, "clusters")
    colors = category_colors(adata, cluster_key, names, palette)
    _, axes = grid_of(len(shown), ncols, 2.6, 2.0)
    slots = [slot_of(ax) for ax in axes]
    for ax, near in zip(axes, shown, strict=True):
        ax.axhline(1, color="#999999", linestyle="--", linewidth=0.8, zorder=1)
        for label, name in enumerate(names):
            ax.plot(interval[1:], ratio[label, near], color=colors[label], linewidth=1.2, label=name)
        ax.set_title(f"near {names[near]}")
        ax.set_xlabel("distance")
        ax.set_ylabel("ratio")
        ax.spines[["top", "right"]].set_visible(False)
    _legend(axes, min(ncols, len(axes)))
    settle([[ax] for ax in axes], slots, min(ncols, len(axes)), 0.2, None)
    return axes


def _legend(axes: list[Axes], across: int) -> None:
    """One legend, to the right of the first row."""
    axes[across - 1].legend(loc="upper left", bbox_to_anchor=(1.02, 1.0), frameon=False, fontsize=_SMALL, borderaxespad=0.0)


def ripley(
    adata: AnnData,
    cluster_key: str,
    *,
    mode: str = "F",
    clusters: str | Sequence[str] | None = None,
    library: str | None = None,
    palette: Any = None,
    ncols: int = 4,
) -> list[Axes]:
    """Ripley's statistic of labels, each over the band in which 95% of random patterns of as many cells lie.

    Parameters
    ----------
    adata
        With ``uns[cluster_key + "_ripley_" + mode]`` of `sp.ripley`.
    cluster_key
        Column of ``obs`` that was used.
    mode
        ``"F"``, ``"G"`` or ``"L"``.
    clusters
        Labels to show, a panel each; ``None`` for all.
    library
        Which library, where `sp.ripley` was run by library.
    palette
        Colours of the labels; by default those stored under ``uns``.
    ncols
        Panels in a row.

    Returns
    -------
    One axes for each label, with the p value of its whole curve.
    """
    found = _result(adata, f"{cluster_key}_ripley_{mode}", "ripley")
    names = _names(adata, cluster_key, found, len(np.atleast_1d(found["categories"])) if "categories" in found else -1)
    stat, sims = found[f"{mode}_stat"], found["sims_stat"]
    pvalue, n_cells = np.asarray(found["pvalue"]), np.asarray(found["n_cells"])
    if "libraries" in found:
        at = _chosen(library, [str(name) for name in found["libraries"]], "library") if library is not None else []
        if len(at) != 1:
            raise ParameterError(f"parameter `library`: expected one of {', '.join(map(str, found['libraries']))}, found {library!r}")
        column = next(name for name in stat.columns if name not in ("bins", "stats", cluster_key))
        stat, sims = stat[stat[column] == library], sims[sims[column] == library]
        pvalue, n_cells = pvalue[at[0]], n_cells[at[0]]
    elif library is not None:
        raise ParameterError(f"parameter `library`: expected None, since `sp.ripley` was not run by library, found {library!r}")
    shown = _chosen(clusters, names, "clusters")
    colors = category_colors(adata, cluster_key, names, palette)
    bins = np.asarray(found["bins"], dtype=np.float64)
    _, axes = grid_of(len(shown), ncols, 2.0, 1.7)
    slots = [slot_of(ax) for ax in axes]
    for ax, label in zip(axes, shown, strict=True):
        drawn = sims.loc[sims["n_cells"] == n_cells[label], "stats"].to_numpy(np.float64).reshape(-1, len(bins))
        # At distances that nothing is from the border there is no curve.
        known = np.isfinite(drawn).all(axis=0) if len(drawn) else np.zeros(len(bins), dtype=bool)
        if known.any():
            low, high = np.quantile(drawn[:, known], [0.025, 0.975], axis=0)
            ax.fill_between(bins[known], low, high, color="#dddddd", linewidth=0)
            ax.plot(bins[known], drawn[:, known].mean(axis=0), color="#888888", linestyle="--", linewidth=0.8)
        own = stat.loc[stat[cluster_key].astype(str) == names[label], "stats"]
        ax.plot(bins, own.to_numpy(np.float64), color=colors[label], linewidth=1.4)
        chance = f"p = {pvalue[label]:.2g}" if np.isfinite(pvalue[label]) else "too few cells"
        ax.set_title(f"{names[label]}\n{chance}", fontsize=9)
        ax.set_xlabel("distance")
        ax.set_ylabel(mode)
        ax.spines[["top", "right"]].set_visible(False)
    settle([[ax] for ax in axes], slots, min(ncols, len(axes)), 0.2, None)
    return axes


def ligrec(
    adata: AnnData,
    cluster_key: str,
    *,
    key: str | None = None,
    source_groups: str | Sequence[str] | None = None,
    target_groups: str | Sequence[str] | None = None,
    pvalue_threshold: float = 0.05,
    means_range: Sequence[float] = (0.0, float("inf")),
    n_interactions: int | None = 30,
    title: str | None = None,
    figsize: Sequence[float] | None = None,
    ax: Axes | None = None,
    cmap: Any = "viridis",
) -> dict[str, Axes]:
    """Ligands and receptors between labels as dots: the colour is the mean, the size the p value.

    Parameters
    ----------
    adata
        With the result of `sp.ligrec`.
    cluster_key
        Column of ``obs`` that was used.
    key
        Key of ``uns``; by default ``cluster_key + "_ligrec"``.
    source_groups, target_groups
        Labels that send and that receive; ``None`` for all.
    pvalue_threshold
        Interactions and pairs of labels without a p value up to this are left out; dots up to it have a black edge. 1 shows all that
        was tested.
    means_range
        Least and largest mean; dots outside are left out.
    n_interactions
        At most this many interactions, those with the lowest p values and highest means; ``None`` for all.
    title
        Text above.
    figsize
        Inches of the whole without tick labels; by default as much as the dots need.
    ax
        Axes whose place to fill, instead of a new figure.
    cmap
        Colour map.

    Returns
    -------
    Axes by name: ``mainplot_ax``, ``color_legend_ax``, ``size_legend_ax``.
    """
    found = _result(adata, key or f"{cluster_key}_ligrec", "ligrec")
    if not 0 < pvalue_threshold <= 1:
        raise ParameterError(f"parameter `pvalue_threshold`: expected a number above 0 and up to 1, found {pvalue_threshold!r}")
    if len(means_range) != 2 or not means_range[0] <= means_range[1]:
        raise ParameterError(f"parameter `means_range`: expected the least and the largest mean, found {means_range!r}")
    pairs = found["clusters"]
    labels = list(dict.fromkeys([*map(str, pairs["cluster_1"]), *map(str, pairs["cluster_2"])]))
    senders = {labels[at] for at in _chosen(source_groups, labels, "source_groups")}
    receivers = {labels[at] for at in _chosen(target_groups, labels, "target_groups")}
    kept = np.flatnonzero(pairs["cluster_1"].astype(str).isin(senders) & pairs["cluster_2"].astype(str).isin(receivers))
    means = np.asarray(found["means"], dtype=np.float64)[:, kept]
    pvalues = np.array(found["pvalues"], dtype=np.float64)[:, kept]
    pvalues[(means < means_range[0]) | (means > means_range[1])] = np.nan
    passing = pvalues <= pvalue_threshold
    rows, columns = np.flatnonzero(passing.any(axis=1)), np.flatnonzero(passing.any(axis=0))
    if not rows.size:
        raise EmptyDataError(f"adata.uns[{key or cluster_key + '_ligrec'!r}]: expected a p value up to {pvalue_threshold}, found none")
    if n_interactions is not None:
        if n_interactions < 1:
            raise ParameterError(f"parameter `n_interactions`: expected at least 1, found {n_interactions}")
        least = np.nanmin(pvalues[rows], axis=1)
        most = np.where(passing, means, -np.inf)[rows].max(axis=1)
        rows = np.sort(rows[np.lexsort([-most, least])[:n_interactions]])
        columns = np.flatnonzero(passing[rows].any(axis=0))
    shade, chance = means[np.ix_(rows, columns)], pvalues[np.ix_(rows, columns)]
    table = found["metadata"].iloc[rows]
    across = [f"{one} > {two}" for one, two in pairs.iloc[kept[columns]][["cluster_1", "cluster_2"]].astype(str).to_numpy()]
    down = [f"{one} | {two}" for one, two in table[["source", "target"]].astype(str).to_numpy()]
    whole = size_of(figsize, ax)
    width, height = (max(len(across) * 0.25, 0.5), max(len(down) * 0.22, 1.6)) if whole is None else (whole[0] - 1.4, whole[1])
    if width < 0.2:
        raise ParameterError(f"parameters `figsize`, `ax`: expected more than 1.6 inches of width, found {width + 1.4:.1f}")
    frame = Frame(ax, width + 1.4, height)
    main = frame.add(0, 0, width, height)
    # Up to p = 0.001 dots grow.
    floor = 1e-3
    largest = (min(width / len(across), height / len(down)) * 72 * 0.85) ** 2

    def area(p: Any) -> Any:
        return largest * (0.1 + 0.9 * np.minimum(-np.log10(np.maximum(p, floor)), 3) / 3)

    row, column = np.nonzero(np.isfinite(chance))
    p, mean = chance[row, column], shade[row, column]
    dots = main.scatter(
        column, row, s=area(p), c=mean, cmap=cmap, norm=norm_of(mean, None, None, None),
        edgecolors=["black" if value <= pvalue_threshold else "none" for value in p], linewidths=0.6,
    )  # fmt: skip
    main.set_xticks(range(len(across)), across, rotation=90, fontsize=_SMALL)
    main.set_yticks(range(len(down)), down, fontsize=_SMALL)
    main.set_xlim(-0.6, len(across) - 0.4)
    main.set_ylim(len(down) - 0.4, -0.6)
    main.tick_params(length=2)
    main.grid(color="#eeeeee", linewidth=0.5)
    main.set_axisbelow(True)
    if title is not None:
        main.set_title(title)
    bar = frame.add(width + 0.25, height - 0.35, 1.0, 0.12)
    frame.figure.colorbar(dots, cax=bar, orientation="horizontal")
    bar.set_title("mean", fontsize=_SMALL)
    bar.tick_params(labelsize=_SMALL, length=2)
    legend = frame.add(width + 0.25, height - 1.35, 1.0, 0.35)
    sizes = np.array([1.0, 0.1, 0.01, floor])
    legend.scatter(range(4), np.zeros(4), s=area(sizes), color="gray")
    legend.set_xticks(range(4), ["1", ".1", ".01", ".001"], fontsize=_SMALL - 1)
    legend.set_yticks([])
    legend.tick_params(length=0, pad=2)
    legend.set_xlim(-0.6, 3.6)
    legend.spines[:].set_visible(False)
    legend.set_title("p value", fontsize=_SMALL)
    frame.finish()
    return {"mainplot_ax": main, "color_legend_ax": bar, "size_legend_ax": legend}


def spatial_autocorr(adata: AnnData, *, mode: str = "moran", n_genes: int = 30, ax: Axes | None = None) -> Axes:
    """The genes whose neighbours are most alike.

    Parameters
    ----------
    adata
        With ``uns["moranI"]`` or ``uns["gearyC"]`` of `sp.spatial_autocorr`.
    mode
        ``"moran"`` or ``"geary"``.
    n_genes
        Genes to show, from the top of the table.
    ax
        Axes to draw into.

    Returns
    -------
    The axes: scores from the top down; hollow where the corrected p value (the first of the table) is above 0.05; dashed what is
    expected by chance.
    """
    if mode not in ("moran", "geary"):
        raise ParameterError(f"parameter `mode`: expected 'moran' or 'geary', found {mode!r}")
    if n_genes < 1:
        raise ParameterError(f"parameter `n_genes`: expected at least 1, found {n_genes}")
    column = "I" if mode == "moran" else "C"
    table = _result(adata, f"{mode}{column}", "spatial_autocorr")
    table = table[table[column].notna()].iloc[:n_genes]
    if table.empty:
        raise EmptyDataError(f"adata.uns['{mode}{column}']: expected genes with a score, found none")
    chances = [name for name in table.columns if name.startswith("pval")]
    corrected = [name for name in chances if not name.endswith(("norm", "sim"))]
    p = table[(corrected or chances)[0]].to_numpy(np.float64)
    own = ax is None
    if ax is None:
        _, (ax,) = grid_of(1, 1, 3.0, max(0.18 * len(table), 1.0))
    places = np.arange(len(table))
    ax.axvline(-1 / (adata.n_obs - 1) if mode == "moran" else 1.0, color="#999999", linestyle="--", linewidth=0.8, zorder=1)
    filled = np.where(p <= 0.05, "#1f77b4", "white")
    ax.scatter(table[column], places, c=filled, edgecolors="#1f77b4", s=22, zorder=2)
    ax.set_yticks(places, [str(name) for name in table.index], fontsize=_SMALL)
    ax.set_ylim(len(table) - 0.4, -0.6)
    ax.set_xlabel("Moran's I" if mode == "moran" else "Geary's C")
    ax.grid(axis="y", color="#eeeeee")
    ax.spines[["top", "right"]].set_visible(False)
    if own:
        fit(ax.figure)
    return ax
