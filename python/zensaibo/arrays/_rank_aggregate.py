"""Scores of ligands and receptors after several methods, and their ranks made one."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, TooFewError
from ._ligrec import _expression, _least, _Parts, _parts, _rows, _share, _sides, _sized, _table_of
from ._sketch import _seed, _whole
from ._spatial_neighbors import libraries_of
from ._spatial_statistics import _graph, _labels


class _Method(NamedTuple):
    """Columns of a method: how strong (always high first) and how special (with whether low comes first)."""

    magnitude: str | None
    specificity: str | None
    low_first: bool = False
    #: Score of the extension, if random orders are drawn.
    drawn: str | None = None


_METHODS = {
    "cellphonedb": _Method("lr_means", "cellphone_pvals", True, "mean"),
    "connectome": _Method("expr_prod", "scaled_weight"),
    "logfc": _Method(None, "lr_logfc"),
    "natmi": _Method("expr_prod", "spec_weight"),
    "singlecellsignalr": _Method("lrscore", None),
    "cellchat": _Method("lr_probs", "cellchat_pvals", True, "probability"),
    "geometric_mean": _Method("lr_gmeans", "gmean_pvals", True, "geometric"),
    "scseqcomm": _Method("inter_score", None),
}


def rank_aggregate(
    X: Any,
    labels: Any,
    interactions: Any,
    *,
    genes: Any,
    methods: Sequence[str] = ("cellphonedb", "connectome", "logfc", "natmi", "singlecellsignalr"),
    aggregate_method: str = "rra",
    expr_prop: float = 0.1,
    min_cells: int = 5,
    base: float = float(np.e),
    n_perms: int | None = 1000,
    libraries: Any = None,
    graph: Any = None,
    seed: int = 1337,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Ligands and receptors scored as several methods do, under LIANA's names, and the ranks aggregated.

    Parameters
    ----------
    X
        (n, genes) matrix, scipy sparse or numpy, log-normalised, at least 0. Sparse ones are never made dense.
    labels
        (n,) labels, one for every cell.
    interactions
        Table with columns ``source`` and ``target`` (or ``ligand`` and ``receptor``), pairs of names, or what
        `zensaibo.io.read_interactions` gives. The genes of a complex are joined by "_"; it counts with the least expressed of them.
    genes
        (genes,) names of the columns of X.
    methods
        Of ``"cellphonedb"`` (``lr_means``, ``cellphone_pvals``), ``"connectome"`` (``expr_prod``, ``scaled_weight``), ``"logfc"``
        (``lr_logfc``), ``"natmi"`` (``expr_prod``, ``spec_weight``), ``"singlecellsignalr"`` (``lrscore``), ``"cellchat"``
        (``lr_probs``, ``cellchat_pvals``), ``"geometric_mean"`` (``lr_gmeans``, ``gmean_pvals``), ``"scseqcomm"`` (``inter_score``).
    aggregate_method
        ``"rra"``: robust rank aggregation; ``"mean"``: the mean of the ranks over their number.
    expr_prop
        Interactions count between labels in which each gene is above 0 in at least this share of the cells, 0 to 1.
    min_cells
        Labels with fewer cells are left out, with a warning.
    base
        Of the logarithm of X, for ``lr_logfc``.
    n_perms
        Random orders of the labels for p values, or ``None``: those columns are left out.
    libraries
        (n,) labels of libraries: labels are dealt out within each. ``None``: among all cells.
    graph
        (n, n) scipy sparse graph of neighbours: means and shares are over those cells of each label that touch the other label.
        ``None``: over all cells of a label.
    seed
        Seed of the orders; each has random numbers of its own.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    pandas.DataFrame
        A row for each interaction and pair of labels that passes `expr_prop`: ``source``, ``target`` (labels), ``ligand_complex``,
        ``receptor_complex``, the scores, ``specificity_rank`` and ``magnitude_rank`` (of scores of that kind among the methods; 0 to
        1, low is good), sorted by the latter.

    Raises
    ------
    ParameterError
        An option out of range, or no such method.
    TooFewError
        Fewer than two labels of at least `min_cells` cells.
    EmptyDataError
        No interaction whose genes are there; says so where names differ only in their case.
    DataError
        NaN, infinity or values below 0, shapes or labels that do not fit.

    Notes
    -----
    p values are (orders that reach the score + 1) / (n_perms + 1), and a complex is as scarce as its scarcest gene in each order anew;
    LIANA divides orders that reach it by their number and keeps the gene. ``lr_probs`` has only the ligand and the receptor of
    CellChat's formula, of trimeans over the largest value of X. Time and memory as `ligrec`, for each method with p values.

    References
    ----------
    Dimitrov et al., Nature Communications 13 (2022), and the methods named there; Kolde et al., Bioinformatics 28 (2012), for robust
    rank aggregation.
    """
    wanted = [methods] if isinstance(methods, str) else list(methods)
    other = [name for name in wanted if name not in _METHODS]
    if other or not wanted:
        raise ParameterError(f"parameter `methods`: expected some of {', '.join(_METHODS)}, found {(other or ['none'])[0]!r}")
    if aggregate_method not in ("rra", "mean"):
        raise ParameterError(f"parameter `aggregate_method`: expected 'rra' or 'mean', found {aggregate_method!r}")
    if isinstance(base, bool) or not isinstance(base, (int, float, np.number)) or not 1 < base < np.inf:
        raise ParameterError(f"parameter `base`: expected a number above 1, found {base!r}")
    share = _share("expr_prop", expr_prop)
    least_cells = max(1, _whole("min_cells", min_cells))
    orders = 0 if n_perms is None else _whole("n_perms", n_perms, 2**32 - 1)
    matrix, names = _expression(X, genes)
    codes, categories = _labels(labels, matrix.shape[0])
    sections, library_names = libraries_of(libraries, matrix.shape[0])
    edges = None if graph is None else _sized(graph, matrix.shape[0])
    # As LIANA: genes that no cell has are no part of means over all genes, and labels of few cells of nothing.
    present = int((np.bincount(matrix.indices, weights=matrix.data, minlength=matrix.shape[1]) > 0).sum())
    sizes = np.bincount(codes, minlength=len(categories))
    small = sizes < least_cells
    if small.any():
        left = ", ".join(categories[small].astype(str)[:5])
        warnings.warn(f"{int(small.sum())} labels have fewer than {least_cells} cells and are left out: {left}", UserWarning, stacklevel=3)
        kept = ~small[codes]
        matrix, sections = matrix[kept], np.ascontiguousarray(sections[kept])
        edges = None if graph is None else _graph(graph.tocsr()[kept][:, kept])
        codes = np.searchsorted(np.flatnonzero(~small), codes[kept]).astype(np.uint32)
        categories = categories[~small]
    k = len(categories)
    if k < 2:
        raise TooFewError(f"`labels`: expected at least two labels of {least_cells} cells or more, found {k}")
    parts = _parts(_table_of(interactions), names, "min")
    grid = np.array([(one, two) for one in range(k) for two in range(k)], dtype=np.uint32)
    data = _Groups(matrix, codes, k, edges, parts, present, threads)
    one, two = _sides(grid, k, edges is not None)
    ligand, receptor = parts.couples[:, 0].astype(np.int64), parts.couples[:, 1].astype(np.int64)
    enough = _least(data.fractions, parts)[0]
    # (I, P): what passes.
    tested = np.minimum(enough[one][:, ligand], enough[two][:, receptor]).T >= share
    tested &= (data.sizes[one] > 0)[None] & (data.sizes[two] > 0)[None]
    row, column = np.nonzero(tested)
    sides = _Rows(one[column], two[column], ligand[row], receptor[row], grid[column, 0], grid[column, 1])
    table = pd.DataFrame(
        {
            "source": categories.astype(str)[sides.sender],
            "target": categories.astype(str)[sides.receiver],
            "ligand_complex": parts.table["source"].to_numpy()[row],
            "receptor_complex": parts.table["target"].to_numpy()[row],
        }
    )
    for name in dict.fromkeys(wanted):
        method = _METHODS[name]
        if method.drawn is None:
            for title, values in _plain(name, data, parts, sides, float(base), graph is not None).items():
                table[title] = values
            continue
        expression = data.small if method.drawn != "probability" else data.relative()
        chosen = (parts.starts, parts.genes, parts.couples, grid, tested.astype(np.uint8))
        options = to_json(n_perms=orders, seed=_seed(seed))
        with reporting(progress) as callback:
            scores, reached = _core.ligrec(
                expression, len(parts.columns), codes, k, sections, len(library_names), edges, chosen, method.drawn, options, threads, callback
            )  # fmt: skip
        table[method.magnitude] = scores[row, column]
        if orders:
            table[method.specificity] = (reached[row, column] + 1.0) / (orders + 1.0)
    return ranked(table, wanted, aggregate_method)


class _Rows(NamedTuple):
    """For each row: groups of the sender and the receiver, partners, and labels."""

    one: np.ndarray
    two: np.ndarray
    ligand: np.ndarray
    receptor: np.ndarray
    sender: np.ndarray
    receiver: np.ndarray


class _Groups:
    """Means over groups of cells of the genes in question."""

    def __init__(
        self, matrix: sparse.csr_matrix, codes: np.ndarray, k: int, edges: Any, parts: _Parts, present: int, threads: int | None
    ) -> None:
        self.matrix, self.codes, self.k, self.edges, self.threads, self.present = matrix, codes, k, edges, threads, present
        self.small, self.n_genes = _rows(matrix[:, parts.columns])
        self.means, self.sizes = self.over(self.small[2])
        self.fractions = self.over((self.small[2] > 0).astype(np.float64))[0]

    def over(self, values: np.ndarray, contact: bool = True) -> tuple[np.ndarray, np.ndarray]:
        """groups x genes means of `values` in place of the expression; labels x genes with `contact` off."""
        parts = (self.small[0], self.small[1], np.ascontiguousarray(values, dtype=np.float64))
        with reporting(False) as callback:
            return _core.group_means(parts, self.n_genes, self.codes, self.k, self.edges if contact else None, self.threads, callback)

    def relative(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Expression over the largest value of all genes."""
        most = float(self.matrix.data.max()) if self.matrix.data.size else 1.0
        return self.small[0], self.small[1], self.small[2] / most


def _plain(name: str, data: _Groups, parts: _Parts, rows: _Rows, base: float, contact: bool) -> dict[str, np.ndarray]:
    """Columns of a method without random orders."""
    least, which = _least(data.means, parts)
    l, r = least[rows.one, rows.ligand], least[rows.two, rows.receptor]
    # The genes that the complexes count with.
    gene_l, gene_r = which[rows.one, rows.ligand], which[rows.two, rows.receptor]
    if name == "singlecellsignalr":
        mean = data.matrix.sum() / (data.matrix.shape[0] * max(data.present, 1))
        root = np.sqrt(l) * np.sqrt(r)
        return {"lrscore": root / (root + mean)}
    if name == "connectome":
        values = data.small
        n = len(data.codes)
        sums = np.bincount(values[1], weights=values[2], minlength=data.n_genes)
        squares = np.bincount(values[1], weights=(values[2] - (sums / n)[values[1]]) ** 2, minlength=data.n_genes)
        zeros = n - np.bincount(values[1], minlength=data.n_genes)
        spread = np.sqrt((squares + zeros * (sums / n) ** 2) / (n - 1))
        spread[spread == 0] = 1.0
        z = (data.means - sums / n) / spread
        return {"expr_prod": l * r, "scaled_weight": (z[rows.one, gene_l] + z[rows.two, gene_r]) / 2}
    if name == "logfc":
        counts = np.power(base, data.small[2]) - 1
        own = data.over(counts)[0]
        sizes = np.bincount(data.codes, minlength=data.k).astype(np.float64)[:, None]
        whole = data.over(counts, contact=False)[0] * sizes
        rest = (whole.sum(axis=0) - whole) / (len(data.codes) - sizes)
        apart = np.log2(own + 1) - np.log2(np.maximum(rest, 0) + 1)[_label_of(data, contact)]
        return {"lr_logfc": (apart[rows.one, gene_l] + apart[rows.two, gene_r]) / 2}
    if name == "natmi":
        if contact:
            # Over the senders that touch the receiver, and the receivers that touch the sender.
            cube = data.means.reshape(data.k, data.k, data.n_genes).sum(axis=0)
            total_l, total_r = cube[rows.receiver, gene_l], cube[rows.sender, gene_r]
        else:
            total = data.means.sum(axis=0)
            total_l, total_r = total[gene_l], total[gene_r]
        with np.errstate(invalid="ignore", divide="ignore"):
            return {"expr_prod": l * r, "spec_weight": (l / total_l) * (r / total_r)}
    from scipy.stats import norm

    # scSeqComm: the mean of a gene among means over all genes of a label, taken as normal.
    n_genes = max(data.present, 1)
    sizes = np.bincount(data.codes, minlength=data.k).astype(np.float64)
    per_cell = np.asarray(data.matrix.sum(axis=1)).ravel()
    per_square = np.asarray(data.matrix.multiply(data.matrix).sum(axis=1)).ravel()
    mean = np.bincount(data.codes, weights=per_cell, minlength=data.k) / sizes / n_genes
    spread = np.sqrt(np.maximum(np.bincount(data.codes, weights=per_square, minlength=data.k) / sizes / n_genes - mean**2, 0))

    def chance(value: np.ndarray, label: np.ndarray) -> np.ndarray:
        return np.where(value == 0, 0.0, norm.cdf(value, mean[label], spread[label] / np.sqrt(sizes[label])))

    return {"inter_score": np.minimum(chance(l, rows.sender), chance(r, rows.receiver))}


def _label_of(data: _Groups, contact: bool) -> np.ndarray:
    """The label whose cells each group is of."""
    labels = np.arange(data.k)
    return np.repeat(labels, data.k) if contact else labels


def ranked(table: pd.DataFrame, methods: Sequence[str], aggregate_method: str) -> pd.DataFrame:
    """The table with the aggregated ranks of what is strong and what is special, the strongest first."""
    chosen = [_METHODS[name] for name in dict.fromkeys(methods)]
    # A score that two methods share counts once.
    magnitude = {method.magnitude: False for method in chosen if method.magnitude in table.columns}
    specificity = {method.specificity: method.low_first for method in chosen if method.specificity in table.columns}
    table = table.copy()
    for title, columns in (("specificity_rank", specificity), ("magnitude_rank", magnitude)):
        if columns:
            table[title] = _aggregate(table, columns, aggregate_method)
    order = next((title for title in ("magnitude_rank", "specificity_rank") if title in table.columns), None)
    return table.sort_values(order, kind="stable", ignore_index=True) if order is not None else table


def _aggregate(table: pd.DataFrame, columns: dict[Any, bool], aggregate_method: str) -> np.ndarray:
    from scipy.stats import beta, rankdata

    if table.empty:
        return np.zeros(0)
    ranks = np.column_stack([rankdata(table[name] if low else -table[name], method="average") for name, low in columns.items()])
    if aggregate_method == "mean":
        return ranks.mean(axis=1) / len(ranks)
    many = ranks.shape[1]
    # Ties make the last rank less than the number of rows.
    relative = np.sort(ranks / ranks.max(axis=0), axis=1)
    place = np.arange(1, many + 1)
    return np.clip(beta.cdf(relative, place, many - place + 1).min(axis=1) * many, 0, 1)
