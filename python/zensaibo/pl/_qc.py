"""Plots of quality control: which genes take most counts, which vary, which cells look like two."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._anndata import check_adata, get_matrix, get_obs, get_var
from ..errors import DataError, MissingKeyError, NonFiniteError, ParameterError
from ._panels import draw_points, fit, grid_of, settle, size_of, slot_of

if TYPE_CHECKING:
    from anndata import AnnData
    from matplotlib.axes import Axes


def highest_expr_genes(
    adata: AnnData,
    *,
    n_top: int = 30,
    layer: str | None = None,
    gene_symbols: str | None = None,
    log: bool = False,
    ax: Axes | None = None,
) -> Axes:
    """Boxes of the genes that take the largest share of a cell's counts, on average over cells.

    Parameters
    ----------
    adata
        Counts, cells x genes.
    n_top
        Genes to show.
    layer
        Layer to take instead of X.
    gene_symbols
        Column of var with the names to write.
    log
        Whether the axis is logarithmic.
    ax
        Axes to draw into.

    Returns
    -------
    The axes. Boxes reach from the first to the third quartile of the share in percent, with a line at the median;
    whiskers to the last cell within 1.5 box lengths; cells beyond are points. A cell without counts has shares of 0.
    """
    from matplotlib.collections import LineCollection

    check_adata(adata)
    if n_top < 1:
        raise ParameterError(f"parameter `n_top`: expected at least 1, found {n_top}")
    matrix = get_matrix(adata, layer=layer)
    totals = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
    places = np.flatnonzero(~np.isfinite(totals))
    if places.size:
        where = "X" if layer is None else f"layers[{layer!r}]"
        raise NonFiniteError(f"{where}: expected finite values, found a total of {totals[places[0]]} in cell {places[0]}")
    weights = 100 / np.where(totals == 0, 1, totals)
    mean = np.asarray(matrix.T @ weights).ravel() / adata.n_obs
    top = np.argsort(-mean, kind="stable")[:n_top]
    part: Any = matrix[:, np.sort(top)]
    part = part.tocsc() if sparse.issparse(part) else np.asarray(part)
    names = adata.var_names if gene_symbols is None else get_var(adata, gene_symbols)

    if ax is None:
        _, (ax,) = grid_of(1, 1, 4.0, 0.2 * len(top) + 0.4)
        own = True
    else:
        own = False
    boxes, whiskers, beyond = [], [], []
    for place, gene in enumerate(top):
        column = part[:, [int(np.searchsorted(np.sort(top), gene))]]
        column = column.toarray() if sparse.issparse(column) else column
        share = column.ravel() * weights
        first, median, third = np.percentile(share, (25, 50, 75))
        inside = share[(share >= first - 1.5 * (third - first)) & (share <= third + 1.5 * (third - first))]
        boxes.append((first, median, third))
        whiskers.append((min(inside.min(), first), max(inside.max(), third)))
        beyond.append(share[(share < whiskers[-1][0]) | (share > whiskers[-1][1])])
    rows = np.arange(len(top))
    first, median, third = np.array(boxes).T
    low, high = np.array(whiskers).T
    ax.barh(rows, third - first, left=first, height=0.7, color="#9ecae1", edgecolor="#333333", linewidth=0.7, zorder=2)
    lines: list[Any] = [[(a, y), (b, y)] for y in rows for a, b in ((low[y], first[y]), (third[y], high[y]))]
    lines += [[(median[y], y - 0.35), (median[y], y + 0.35)] for y in rows]
    lines += [[(x, y - 0.15), (x, y + 0.15)] for y in rows for x in (low[y], high[y])]
    ax.add_collection(LineCollection(lines, colors="#333333", linewidths=0.8, zorder=3))
    least = min([low.min(), *(b.min() for b in beyond if len(b))])
    most = max([high.max(), *(b.max() for b in beyond if len(b))]) or 1.0
    if log:
        positive = np.concatenate([first[first > 0], median[median > 0], third[third > 0], *(b[b > 0] for b in beyond)])
        ax.set_xscale("log")
        ax.set_xlim((positive.min() if len(positive) else most) * 0.9, most * 1.1)
    else:
        ax.set_xlim(least - 0.02 * (most - least), most + 0.02 * (most - least))
    ax.set_ylim(len(top) - 0.4, -0.6)
    points = np.concatenate(beyond)
    if len(points):
        heights = np.repeat(rows, [len(b) for b in beyond])
        keep = points > 0 if log else np.ones(len(points), bool)
        draw_points(ax, points[keep], heights[keep], size=4, alpha=0.5, order="given", zorder=1)
    ax.set_yticks(rows, [str(names.iloc[g] if hasattr(names, "iloc") else names[g]) for g in top])
    ax.set_xlabel("% of total counts")
    ax.spines[["top", "right"]].set_visible(False)
    if own:
        fit(ax.figure)
    return ax


def highly_variable_genes(
    adata_or_result: AnnData | pd.DataFrame, *, log: bool = False, highly_variable_genes: bool = True
) -> list[Axes]:
    """Dispersion or variance of each gene against its mean, after and before normalisation; chosen genes in colour.

    Parameters
    ----------
    adata_or_result
        Annotated data after `pp.highly_variable_genes`, or the table that it returned with ``inplace=False``.
    log
        Whether axes are logarithmic.
    highly_variable_genes
        Whether genes in column ``highly_variable`` are coloured, else those in ``gene_subset``.

    Returns
    -------
    Two axes: normalised, and as measured. Genes without a value are not shown.
    """
    table = adata_or_result if isinstance(adata_or_result, pd.DataFrame) else check_adata(adata_or_result).var
    chosen = "highly_variable" if highly_variable_genes else "gene_subset"
    kind = "variances" if "variances_norm" in table else "dispersions"
    for column in (chosen, "means", kind, f"{kind}_norm"):
        if column not in table:
            present = ", ".join(map(str, table.columns)) or "(nothing)"
            raise MissingKeyError(
                f"key `{column}` not found in adata.var; present: {present}; run `pp.highly_variable_genes` first"
            )
    mask = table[chosen].to_numpy(bool)
    means = table["means"].to_numpy(np.float64)
    _, axes = grid_of(2, 2, 3.8, 3.2)
    slots = [slot_of(ax) for ax in axes]
    for ax, column, how in zip(axes, (f"{kind}_norm", kind), ("normalized", "not normalized"), strict=True):
        values = table[column].to_numpy(np.float64)
        known = np.isfinite(means) & np.isfinite(values)
        if log:
            known &= (means > 0) & (values > 0)
        for part, color, label in ((~mask, "#999999", "other genes"), (mask, "#d55e00", "highly variable genes")):
            part = part & known
            ax.scatter(means[part], values[part], s=3, color=color, label=label, linewidths=0, rasterized=True)
        if log:
            ax.set_xscale("log")
            ax.set_yscale("log")
        ax.set_xlabel("mean expression of genes")
        ax.set_ylabel(f"{kind} of genes ({how})")
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].legend(frameon=False, markerscale=3, loc="best")
    settle([[ax] for ax in axes], slots, 2, 0.0, None)
    return axes


def scrublet_score_distribution(
    adata: AnnData,
    *,
    scale_hist_obs: str = "log",
    scale_hist_sim: str = "linear",
    figsize: Sequence[float] = (8, 3),
) -> np.ndarray:
    """Histograms of doublet scores: of the cells, and of the doublets that were simulated.

    Parameters
    ----------
    adata
        With ``uns["scrublet"]`` and ``obs["doublet_score"]`` of `pp.scrublet`.
    scale_hist_obs, scale_hist_sim
        Scale of the density of cells, and of simulated doublets: ``"linear"``, ``"log"``, ``"symlog"`` or ``"logit"``.
    figsize
        Inches, for each batch.

    Returns
    -------
    (2,) axes, or (batches, 2) where batches were scored apart. A line marks the threshold where there is one.
    """
    check_adata(adata)
    if "scrublet" not in adata.uns:
        present = ", ".join(map(str, adata.uns)) or "(nothing)"
        raise MissingKeyError(f"key `scrublet` not found in adata.uns; present: {present}; run `pp.scrublet` first")
    for name, word in (("scale_hist_obs", scale_hist_obs), ("scale_hist_sim", scale_hist_sim)):
        if word not in ("linear", "log", "symlog", "logit"):
            raise ParameterError(f"parameter `{name}`: expected linear, log, symlog or logit, found {word!r}")
    stored, scores = adata.uns["scrublet"], get_obs(adata, "doublet_score")
    rows: list[tuple[str, Any, Any]] = []
    if "batched_by" in stored:
        batch = get_obs(adata, str(stored["batched_by"])).astype(str)
        for name in pd.unique(batch):
            if name not in stored["batches"]:
                present = ", ".join(stored["batches"])
                raise MissingKeyError(f"key `{name}` not found in uns['scrublet']['batches']; present: {present}")
            rows.append((f" ({name})", scores[batch == name], stored["batches"][name]))
    else:
        rows.append(("", scores, stored))
    width, height = np.broadcast_to(np.asarray(size_of(figsize, None)), 2)
    _, axes = grid_of(2 * len(rows), 2, 0.375 * width, 0.65 * height)
    slots = [slot_of(ax) for ax in axes]
    for number, (suffix, observed, found) in enumerate(rows):
        if "doublet_scores_sim" not in found:
            raise MissingKeyError(f"key `doublet_scores_sim` not found in uns['scrublet']; present: {', '.join(map(str, found))}")
        pair = ((observed, "Observed cells", scale_hist_obs), (found["doublet_scores_sim"], "Simulated doublets", scale_hist_sim))
        for ax, (values, title, scale) in zip(axes[2 * number : 2 * number + 2], pair, strict=True):
            values = np.asarray(values, dtype=np.float64)
            values = values[np.isfinite(values)]
            if not len(values):
                raise DataError(f"`doublet scores`{suffix}: expected at least one number, found none")
            ax.hist(values, np.linspace(0, 1, 50).tolist(), color="#777777", linewidth=0, density=True)
            ax.set_yscale(scale)
            threshold = found.get("threshold")
            if threshold is not None and np.isfinite(float(threshold)):
                ax.axvline(float(threshold), color="#d55e00", linewidth=1.2)
                ax.text(
                    float(threshold), 0.97, f" {float(threshold):.2f}", color="#d55e00", va="top", fontsize=8,
                    transform=ax.get_xaxis_transform(),
                )  # fmt: skip
            ax.set_xlim(0, 1)
            ax.set_title(title + suffix)
            ax.set_xlabel("doublet score")
            ax.set_ylabel("density")
            ax.spines[["top", "right"]].set_visible(False)
    settle([[ax] for ax in axes], slots, 2, 0.0, None)
    out = np.array(axes, dtype=object)
    return out if len(rows) == 1 else out.reshape(-1, 2)
