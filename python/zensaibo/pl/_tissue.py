"""Plots of the statistics of cells in tissue."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsp, get_uns
from .._labels import codes_of
from ..errors import MissingKeyError, ParameterError
from ..sp._in_space import pair_names
from ._panels import end, fit, size_of
from ._spatial import draw, spatial

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Inches of one cell of a table.
_CELL = 0.32


def niches(
    adata: AnnData,
    niche_key: str,
    cluster_key: str,
    *,
    connectivity_key: str | None = None,
    annotate: bool = False,
    cmap: Any = None,
    title: str | None = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | os.PathLike | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """What niches are made of: the share of each label among the cells of a niche, or among their neighbours.

    Parameters
    ----------
    adata
        Annotated data with niches (`sp.calculate_niche`).
    niche_key
        Column of obs with the niches.
    cluster_key
        Column of obs with the labels.
    connectivity_key
        Key of obsp: labels of neighbours count instead of those of the cells.
    annotate, cmap, title, figsize, ax, show, save, return_fig
        As in `nhood_enrichment`.

    Returns
    -------
    The axes.
    """
    check_adata(adata)
    niche, rows = codes_of(get_obs(adata, niche_key), niche_key)
    if connectivity_key is None:
        labels, columns = codes_of(get_obs(adata, cluster_key), cluster_key)
        profile = np.eye(len(columns))[labels]
    else:
        profile, columns = arrays.neighborhood_profile(get_obsp(adata, connectivity_key), get_obs(adata, cluster_key))
    values = np.array([profile[niche == at].mean(axis=0) for at in range(len(rows))])
    return _table(
        values, [str(row) for row in rows], [str(column) for column in columns], signed=False, label="share", title=title or niche_key,
        annotate=annotate, cmap=cmap, vmin=0.0, vmax=None, figsize=figsize, ax=ax, show=show, save=save, return_fig=return_fig,
    )  # fmt: skip


def bivariate(
    adata: AnnData,
    pairs: str | Sequence[str] | None = None,
    *,
    key: str = "bivariate_cosine",
    value: str = "score",
    **parameters: Any,
) -> Axes | list[Axes] | Figure | None:
    """Local scores of `sp.bivariate` in the tissue; one panel for each pair and library.

    Parameters
    ----------
    adata
        Annotated data with ``obsm[key]``.
    pairs
        Pairs such as ``"x^y"``; by default the four with the largest Moran's R.
    key
        Key of the result.
    value
        ``"score"``, ``"pvals"`` (as -log10) or ``"cats"``.
    parameters
        Those of `spatial`, but ``color``.

    Returns
    -------
    As `spatial`.
    """
    import inspect

    check_adata(adata)
    names = pair_names(adata, key)
    if pairs is None:
        table = adata.uns.get(key)
        ranked = table.sort_values("morans", ascending=False).index if isinstance(table, pd.DataFrame) else names
        pairs = [name for name in ranked if name in names][:4]
    chosen = [pairs] if isinstance(pairs, str) else [str(pair) for pair in pairs]
    if value not in ("score", "pvals", "cats"):
        raise ParameterError(f"parameter `value`: expected 'score', 'pvals' or 'cats', found {value!r}")
    slot = key if value == "score" else f"{key}_{value}"
    if slot not in adata.obsm:
        raise MissingKeyError(f"key `{slot}` not found in adata.obsm; sp.bivariate writes it with `n_perms`")
    for pair in chosen:
        if pair not in names:
            raise MissingKeyError(f"key `{pair}` not found in the pairs; present: {', '.join(names[:20])}")
    held = adata.obsm[slot]
    words = pd.CategoricalDtype(["both low", "apart", "both high"])
    colors: list[tuple[str | None, pd.Series | None]] = []
    for pair in chosen:
        column = held[pair]
        if value == "pvals":
            column = -np.log10(column)
        elif value == "cats":
            column = column.map({0: "both low", -1: "apart", 1: "both high"}).astype(words)
        colors.append((pair, column))
    known = inspect.signature(spatial).parameters
    unknown = [name for name in parameters if name not in known or name in ("color", "use_raw", "layer", "gene_symbols")]
    if unknown:
        raise ParameterError(
            f"parameter `{unknown[0]}`: expected one of `pl.spatial`'s, but `color` and those of genes, found another"
        )
    options = {
        name: parameter.default
        for name, parameter in known.items()
        if name not in ("adata", "color", "use_raw", "layer", "gene_symbols")
    }
    if value == "cats" and parameters.get("palette") is None:
        parameters["palette"] = ["#d9d9d9", "#6a51a3", "#d7301f"]
    return draw(adata if value != "cats" else adata[:], colors, **{**options, **parameters})


def spatially_variable_genes(
    adata: AnnData,
    *,
    n_genes: int = 20,
    key: str = "spatially_variable_genes",
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | os.PathLike | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """The first genes of a table in uns, with the share of variance that place explains (or Moran's I, Geary's C).

    Parameters
    ----------
    adata
        Annotated data with ``uns[key]``.
    n_genes
        Genes to show, from the first.
    key
        ``"spatially_variable_genes"``, ``"moranI"`` or ``"gearyC"``.
    figsize, ax, show, save, return_fig
        As in `dotplot`.

    Returns
    -------
    The axes.
    """
    import matplotlib.pyplot as plt

    table = get_uns(check_adata(adata), key)
    column = {"spatially_variable_genes": "share", "moranI": "I", "gearyC": "C"}.get(key)
    if column is None or column not in table:
        raise ParameterError(f"parameter `key`: expected 'spatially_variable_genes', 'moranI' or 'gearyC', found {key!r}")
    if n_genes < 1:
        raise ParameterError(f"parameter `n_genes`: expected at least 1, found {n_genes}")
    top = table[table[column].notna()].iloc[:n_genes]
    inches = size_of(figsize, ax)
    own = ax is None
    if ax is None:
        inches = np.array([3.2, max(1.0, 0.2 * len(top))]) if inches is None else inches
        figure = plt.figure(figsize=tuple(inches * 1.6), layout="none")
        ax = figure.add_axes((0.3, 0.15, 1 / 1.6, 1 / 1.6))
    places = np.arange(len(top))[::-1]
    ax.barh(places, top[column].to_numpy(), color="#4c78a8", height=0.72)
    ax.set_yticks(places, top.index.astype(str), fontsize="small")
    ax.set_ylim(-0.7, len(top) - 0.3)
    if "pattern" in top:
        for place, value, word in zip(places, top[column], top["pattern"], strict=True):
            ax.text(value, place, f" {word}", va="center", fontsize="x-small", color="#555555")
    ax.set_xlabel({"share": "share of variance", "I": "Moran's I", "C": "Geary's C"}[column])
    ax.spines[["top", "right"]].set_visible(False)
    if own:
        fit(ax.figure)
    return end(ax.figure, ax, show, save, return_fig)


def compare_conditions(
    adata: AnnData,
    *,
    key: str = "nhood_enrichment_comparison",
    n_top: int = 12,
    alpha: float = 0.05,
    cmap: Any = None,
    figsize: tuple[float, float] | None = None,
    ax: Axes | None = None,
    show: bool | None = None,
    save: str | os.PathLike | None = None,
    return_fig: bool = False,
) -> Axes | Figure | None:
    """A result of `sp.compare_conditions`: a table of differences for pairs of labels, else the values of each sample.

    Parameters
    ----------
    adata
        Annotated data with ``uns[key]``.
    key
        Key of the result.
    n_top
        Genes, labels or pairs by distance whose samples are shown, from the first.
    alpha
        Pairs with a corrected p value of at most this are marked with a star.
    cmap
        Colours of the table.
    figsize, ax, show, save, return_fig
        As in `dotplot`.

    Returns
    -------
    The axes.
    """
    import matplotlib.pyplot as plt

    table = get_uns(check_adata(adata), key)
    samples = get_uns(adata, f"{key}_samples")
    conditions = [column.removeprefix("mean_") for column in table.columns if column.startswith("mean_")]
    if list(table.columns[:2]) == ["label", "neighbor"] and "distance" not in table:
        # The order of the samples' columns is that of the labels.
        names = list(dict.fromkeys(column.split("|")[0] for column in samples.columns if column != "condition"))
        wide = {
            name: table.pivot(index="label", columns="neighbor", values=name).reindex(index=names, columns=names)
            for name in ("difference", "pval_adj")
        }
        starred = wide["pval_adj"].to_numpy() <= alpha
        return _table(
            wide["difference"].to_numpy(), names, names, signed=True, label=f"{conditions[1]} less {conditions[0]} (log2)", title=key, annotate=False,
            cmap=cmap, vmin=None, vmax=None, figsize=figsize, ax=ax, show=show, save=save, return_fig=return_fig, stars=starred,
        )  # fmt: skip
    if n_top < 1:
        raise ParameterError(f"parameter `n_top`: expected at least 1, found {n_top}")
    top = table.iloc[:n_top]
    words = [column for column in ("label", "neighbor", "distance", "gene") if column in table]
    rows = ["|".join(str(value) for value in row) for row in top[words].itertuples(index=False)]
    inches = size_of(figsize, ax)
    own = ax is None
    if ax is None:
        inches = np.array([3.6, max(1.0, 0.34 * len(rows))]) if inches is None else inches
        figure = plt.figure(figsize=tuple(inches * 1.6), layout="none")
        ax = figure.add_axes((0.3, 0.15, 1 / 1.6, 1 / 1.6))
    for number, condition in enumerate(conditions):
        color = ("#4c78a8", "#e45756")[number]
        part = samples.loc[samples["condition"] == condition, rows]
        shift = 0.16 - 0.32 * number
        for at, row in enumerate(rows):
            values = part[row].to_numpy(np.float64)
            ax.plot(
                values,
                np.full(len(values), len(rows) - 1 - at + shift),
                "o",
                color=color,
                markersize=4,
                alpha=0.8,
                label=condition if at == 0 else None,
            )
            ax.plot(
                [np.nanmean(values)] * 2, len(rows) - 1 - at + shift + np.array([-0.14, 0.14]), color=color, linewidth=2
            ) if np.isfinite(values).any() else None
    said = [f"{row}  (p {p:.2g})" for row, p in zip(rows, top["pval"], strict=True)]
    ax.set_yticks(np.arange(len(rows))[::-1], said, fontsize="small")
    ax.set_ylim(-0.6, len(rows) - 0.4)
    ax.set_xlabel(key.removesuffix("_comparison").replace("_", " "))
    ax.legend(frameon=False, loc="lower left", bbox_to_anchor=(0, 1), ncol=2, fontsize="small")
    ax.spines[["top", "right"]].set_visible(False)
    if own:
        fit(ax.figure)
    return end(ax.figure, ax, show, save, return_fig)


def _table(
    values: np.ndarray, rows: list[str], columns: list[str], *, signed: bool, label: str, title: str, annotate: bool, cmap: Any, vmin: Any, vmax: Any,
    figsize: Any, ax: Any, show: bool | None, save: Any, return_fig: bool, stars: np.ndarray | None = None,
) -> Any:  # fmt: skip
    """A table of numbers in colours, with its bar."""
    import matplotlib
    import matplotlib.pyplot as plt

    if values.shape != (len(rows), len(columns)):
        raise ParameterError(
            f"`uns`: expected {len(rows)} x {len(columns)} numbers for the labels in use, found shape {values.shape}; compute it anew"
        )
    finite = values[np.isfinite(values)]
    if signed:
        most = float(np.abs(finite).max()) if finite.size else 1.0
        low, high = (-most if vmin is None else vmin), (most if vmax is None else vmax)
    else:
        low = 0.0 if vmin is None else vmin
        high = (float(finite.max()) if finite.size else 1.0) if vmax is None else vmax
    table = matplotlib.colormaps.get_cmap(cmap if cmap is not None else ("RdBu_r" if signed else "viridis")).with_extremes(
        bad="#eeeeee"
    )
    inches = size_of(figsize, ax)
    own = ax is None
    if ax is None:
        inches = np.array([len(columns), len(rows)]) * _CELL if inches is None else inches
        figure = plt.figure(figsize=tuple(inches * 2), layout="none")
        ax = figure.add_axes((0.3, 0.3, 0.5, 0.5))
    figure = ax.figure
    picture = ax.imshow(
        np.ma.masked_invalid(values),
        cmap=table,
        vmin=low,
        vmax=high if high > low else low + 1,
        aspect="auto",
        interpolation="nearest",
    )
    ax.set_xticks(range(len(columns)), columns, rotation=90, fontsize="small")
    ax.set_yticks(range(len(rows)), rows, fontsize="small")
    ax.set_title(title)
    for row, column in np.ndindex(*values.shape):
        text = "" if not np.isfinite(values[row, column]) else f"{values[row, column]:.3g}" if annotate else ""
        if stars is not None and stars[row, column]:
            text += "*"
        if text:
            red, green, blue, _ = table(picture.norm(values[row, column]))
            ax.text(
                column,
                row,
                text,
                ha="center",
                va="center",
                fontsize="x-small",
                color="black" if 0.3 * red + 0.59 * green + 0.11 * blue > 0.5 else "white",
            )
    place = ax.get_position(original=True)
    height = min(place.height, 1.6 / figure.get_size_inches()[1])
    bar = figure.add_axes((place.x1 + 0.15 / figure.get_size_inches()[0], place.y0, 0.12 / figure.get_size_inches()[0], height))
    figure.colorbar(picture, cax=bar, label=label)
    if own:
        fit(figure)
    return end(figure, ax, show, save, return_fig)
