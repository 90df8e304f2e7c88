"""Ligands of some cells, receptors of others: which pairs of labels could talk, and scores of many methods."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, EmptyDataError, MissingKeyError, NonFiniteError, ParameterError, ShapeError
from ._sketch import _seed, _whole
from ._spatial_neighbors import libraries_of
from ._spatial_statistics import _graph, _labels

#: A share of ligands and receptors found among the genes below which something is likely wrong.
_FEW = 0.02


class Ligrec(NamedTuple):
    """What `ligrec` returns; I interactions, P pairs of labels."""

    means: np.ndarray
    """(I, P) float64: half the sum of the mean of the ligand in the first label and of the receptor in the second; 0 where one is 0."""
    pvalues: np.ndarray
    """(I, P) float64: share of random orders of the labels that reach it; NaN where it is not tested."""
    interactions: pd.DataFrame
    """(I rows) ``source``, ``target``, and the other columns of the table."""
    pairs: pd.DataFrame
    """(P rows) ``cluster_1`` and ``cluster_2``, and the cells behind each: ``n_cells_1``, ``n_cells_2``."""


class _Parts(NamedTuple):
    """Interactions over the genes that are there."""

    table: pd.DataFrame
    """The rows whose genes are all there."""
    couples: np.ndarray
    """(rows, 2) uint32: ligand and receptor as partners."""
    starts: np.ndarray
    """(partners + 1) uint32."""
    genes: np.ndarray
    """uint32: genes of the partners, as columns of the matrix that was cut to `columns`."""
    columns: np.ndarray
    """Columns of the whole matrix in use."""

    def of(self, partner: int) -> np.ndarray:
        return self.genes[self.starts[partner] : self.starts[partner + 1]]


def ligrec(
    X: Any,
    labels: Any,
    interactions: Any,
    *,
    genes: Any,
    clusters: Sequence[Any] | None = None,
    complex_policy: str = "min",
    threshold: float = 0.01,
    n_perms: int | None = 1000,
    libraries: Any = None,
    graph: Any = None,
    squidpy_compat: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Ligrec:
    """The test of CellPhoneDB: are a ligand in one label and its receptor in another more expressed than with random labels?

    Parameters
    ----------
    X
        (n, genes) matrix, scipy sparse or numpy, normalised, at least 0. Sparse ones are never made dense.
    labels
        (n,) labels, one for every cell.
    interactions
        Table with columns ``source`` and ``target`` (or ``ligand`` and ``receptor``), pairs of names, or what
        `zensaibo.io.read_interactions` gives. The genes of a complex are joined by "_".
    genes
        (genes,) names of the columns of X.
    clusters
        Labels or pairs of labels to test; cells of other labels are left out. ``None``: all pairs.
    complex_policy
        ``"min"``: a complex counts with the least of the means of its genes, in each label and each random order; interactions with a
        gene that is not there are left out. ``"all"``: each gene of a complex with each of the other is an interaction.
    threshold
        A pair is tested where each gene is above 0 in at least this share of the cells of its label, 0 to 1.
    n_perms
        Random orders of the labels, or ``None`` (or 0) for means alone.
    libraries
        (n,) labels of libraries: labels are dealt out within each. ``None``: among all cells.
    graph
        (n, n) scipy sparse graph of neighbours: means are over those cells of each label that touch the other label, found anew
        in every random order. ``None``: over all cells of a label.
    squidpy_compat
        As squidpy: a complex is the one gene with the least mean over all cells, of those that are there; the p value is the share of
        orders above the mean found, which can be 0. Not together with `graph`.
    seed
        Seed of the orders; each has random numbers of its own.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    Ligrec
        ``means``, ``pvalues``, ``interactions``, ``pairs``. p values are (orders that reach the mean + 1) / (n_perms + 1).

    Raises
    ------
    ParameterError
        An option out of range.
    EmptyDataError
        No interaction whose genes are there; says so where names differ only in their case, as those of human and mouse do.
    DataError
        NaN, infinity or values below 0, shapes or labels that do not fit, a gene asked for that several columns have.

    Warns
    -----
    UserWarning
        If fewer than one in 50 of the genes of `interactions` are there.

    Notes
    -----
    Time: n_perms x (values of the genes in question that are not zero + interactions x pairs); with a graph, values x labels that a cell
    touches. Memory: a copy of those genes (12 bytes per value); for each thread 8 bytes x genes x labels (with a graph labels
    squared), and 16 x interactions x pairs.

    References
    ----------
    Efremova et al., Nature Protocols 15 (2020).
    """
    if complex_policy not in ("min", "all"):
        raise ParameterError(f"parameter `complex_policy`: expected 'min' or 'all', found {complex_policy!r}")
    share = _share("threshold", threshold)
    if squidpy_compat and graph is not None:
        raise ParameterError("parameter `squidpy_compat`: expected False with `graph`, found True")
    orders = 0 if n_perms is None else _whole("n_perms", n_perms, 2**32 - 1)
    matrix, names = _expression(X, genes)
    codes, categories = _labels(labels, matrix.shape[0])
    sections, libraries_names = libraries_of(libraries, matrix.shape[0])
    edges = None if graph is None else _sized(graph, matrix.shape[0])
    pairs = _pairs(clusters, categories)
    used = np.unique(pairs)
    if len(used) < len(categories):
        # Cells of other labels are no part of the random orders.
        kept = np.isin(codes, used)
        matrix, sections = matrix[kept], np.ascontiguousarray(sections[kept])
        codes = np.searchsorted(used, codes[kept]).astype(np.uint32)
        pairs = np.searchsorted(used, pairs).astype(np.uint32)
        categories = categories[used]
        edges = None if graph is None else _graph(graph.tocsr()[kept][:, kept])
    table = _table_of(interactions)
    if squidpy_compat and complex_policy == "min":
        table = _scarcest(table, matrix, names)
    parts = _parts(table, names, "all" if complex_policy == "all" else "min")
    small = _rows(matrix[:, parts.columns])
    k = len(categories)
    with reporting(False) as callback:
        means, sizes = _core.group_means(small[0], small[1], codes, k, edges, threads, callback)
        there = (small[0][0], small[0][1], (small[0][2] > 0).astype(np.float64))
        fractions, _ = _core.group_means(there, small[1], codes, k, edges, threads, callback)
    one, two = _sides(pairs, k, edges is not None)
    least, spread = _least(means, parts)[0], _least(fractions, parts)[0]
    ligand, receptor = parts.couples[:, 0], parts.couples[:, 1]
    tested = (least[one][:, ligand] > 0) & (least[two][:, receptor] > 0)
    tested &= (spread[one][:, ligand] >= share) & (spread[two][:, receptor] >= share)
    tested = np.ascontiguousarray(tested.T)
    options = to_json(n_perms=orders, seed=_seed(seed), squidpy_compat=bool(squidpy_compat))
    wanted = (parts.starts, parts.genes, parts.couples, pairs, tested.astype(np.uint8))
    with reporting(progress) as callback:
        scores, reached = _core.ligrec(
            small[0], small[1], codes, k, sections, len(libraries_names), edges, wanted, "mean", options, threads, callback
        )
    if squidpy_compat:
        scores[(least[one][:, ligand].T == 0) | (least[two][:, receptor].T == 0)] = 0
    pvalues = np.full(scores.shape, np.nan)
    if orders:
        found = reached / orders if squidpy_compat else (reached + 1.0) / (orders + 1.0)
        pvalues[tested] = found[tested]
    labelled = pd.DataFrame(
        {
            "cluster_1": categories.astype(str)[pairs[:, 0]],
            "cluster_2": categories.astype(str)[pairs[:, 1]],
            "n_cells_1": sizes[one].astype(np.int64),
            "n_cells_2": sizes[two].astype(np.int64),
        }
    )
    return Ligrec(scores, pvalues, parts.table, labelled)


# What both tests share


def _share(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float, np.number)) or not 0 <= value <= 1:
        raise ParameterError(f"parameter `{name}`: expected a share from 0 to 1, found {value!r}")
    return float(value)


def _expression(X: Any, genes: Any) -> tuple[sparse.csr_matrix, pd.Index]:
    matrix = sparse.csr_matrix(as_matrix(X, "X"))
    names = pd.Index(genes).astype(str)
    if len(names) != matrix.shape[1]:
        raise ShapeError(f"`genes`: expected {matrix.shape[1]} names, one per column of X, found {len(names)}")
    if not np.isfinite(matrix.data).all():
        raise NonFiniteError("`X`: expected finite values, found NaN or infinity")
    if matrix.data.size and matrix.data.min() < 0:
        raise DataError(f"`X`: expected values of at least 0, found {matrix.data.min():g}: scaled values have no share of expressing cells")
    return matrix, names


def _sized(graph: Any, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    edges = _graph(graph)
    if len(edges[0]) != n + 1:
        raise ShapeError(f"`graph`: expected {n} cells, as in X, found {len(edges[0]) - 1}")
    return edges


def _rows(matrix: Any) -> tuple[tuple[np.ndarray, np.ndarray, np.ndarray], int]:
    """Row pointers, columns, values, without stored zeros; number of columns."""
    rows = sparse.csr_matrix(matrix).astype(np.float64)
    rows.sum_duplicates()
    rows.eliminate_zeros()
    parts = (
        np.ascontiguousarray(rows.indptr, dtype=np.int64),
        np.ascontiguousarray(rows.indices, dtype=np.int32),
        np.ascontiguousarray(rows.data, dtype=np.float64),
    )
    return parts, rows.shape[1]


def _pairs(clusters: Sequence[Any] | None, categories: pd.Index) -> np.ndarray:
    """(P, 2) codes of labels."""
    k = len(categories)
    if clusters is None:
        wanted = [(one, two) for one in range(k) for two in range(k)]
    else:
        place = {str(category): code for code, category in enumerate(categories)}

        def code(label: Any) -> int:
            if str(label) not in place:
                raise MissingKeyError(f"key `{label}` not found in the labels; present: {', '.join(list(place)[:15])}")
            return place[str(label)]

        given = [clusters] if isinstance(clusters, str) else list(clusters)
        if all(isinstance(item, (tuple, list)) and len(item) == 2 for item in given):
            wanted = [(code(couple[0]), code(couple[1])) for couple in given]
        elif any(isinstance(item, (tuple, list)) for item in given):
            raise ParameterError(f"parameter `clusters`: expected labels or pairs of labels, found {clusters!r:.80}")
        else:
            wanted = [(code(one), code(two)) for one in given for two in given]
    if not wanted:
        raise ParameterError("parameter `clusters`: expected at least one pair of labels, found none")
    return np.array(sorted(set(wanted)), dtype=np.uint32)


def _sides(pairs: np.ndarray, k: int, contact: bool) -> tuple[np.ndarray, np.ndarray]:
    """Groups of senders and receivers, as the extension numbers them."""
    one, two = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    return (one * k + two, two * k + one) if contact else (one, two)


def _table_of(interactions: Any) -> pd.DataFrame:
    from ..io._interactions import interactions_of

    return interactions_of(interactions).table


def _spelled(name: str, known: set[str]) -> list[str]:
    """The genes of a partner; a gene may have "_" in its own name."""
    return [name] if name in known else name.split("_")


def _parts(table: pd.DataFrame, names: pd.Index, policy: str) -> _Parts:
    known = set(names)
    split = [(_spelled(one, known), _spelled(two, known)) for one, two in zip(table["source"], table["target"], strict=True)]
    if policy == "all":
        rows = [(at, one, two) for at, (ones, twos) in enumerate(split) for one in ones for two in twos]
        table = table.iloc[[row[0] for row in rows]].assign(source=[row[1] for row in rows], target=[row[2] for row in rows])
        table = table.drop_duplicates(["source", "target"])
        split = [([one], [two]) for one, two in zip(table["source"], table["target"], strict=True)]
    asked = {gene for couple in split for side in couple for gene in side}
    found = asked & known
    there = np.array([all(gene in known for side in couple for gene in side) for couple in split], dtype=bool)
    if not there.any():
        lower = {name.casefold() for name in known}
        alike = sum(gene.casefold() in lower for gene in asked)
        hint = (
            f"; {alike} of them are there in another case, as genes of another species are: map the names first"
            if alike > len(found)
            else ""
        )
        raise EmptyDataError(
            f"`interactions`: expected genes of the data, found none of {len(split)} with all its genes ({len(found)} of "
            f"{len(asked)} genes are there, such as {', '.join(sorted(asked)[:3])}; the data has {', '.join(names[:3])}){hint}"
        )
    if len(found) < _FEW * len(asked):
        warnings.warn(f"{len(found)} of {len(asked)} genes of the interactions are in the data", UserWarning, stacklevel=4)
    kept = [couple for couple, ok in zip(split, there, strict=True) if ok]
    used = sorted({gene for couple in kept for side in couple for gene in side})
    counts = names.value_counts()
    shared = [gene for gene in used if counts[gene] > 1]
    if shared:
        raise DataError(f"`genes`: expected names of one gene each, found {shared[0]!r} for several columns")
    place = {gene: at for at, gene in enumerate(used)}
    partners: dict[tuple[int, ...], int] = {}
    couples = [[partners.setdefault(tuple(place[gene] for gene in side), len(partners)) for side in couple] for couple in kept]
    return _Parts(
        table[there].reset_index(drop=True),
        np.array(couples, dtype=np.uint32),
        np.cumsum([0, *(len(partner) for partner in partners)]).astype(np.uint32),
        np.array([gene for partner in partners for gene in partner], dtype=np.uint32),
        names.get_indexer(pd.Index(used)) if names.is_unique else np.array([int(np.flatnonzero(names == gene)[0]) for gene in used]),
    )


def _least(values: np.ndarray, parts: _Parts) -> tuple[np.ndarray, np.ndarray]:
    """groups x partners: the least value of the genes of each partner, and which gene it is."""
    least = np.empty((len(values), len(parts.starts) - 1))
    which = np.empty(least.shape, dtype=np.int64)
    for partner in range(least.shape[1]):
        genes = parts.of(partner).astype(np.int64)
        first = values[:, genes].argmin(axis=1)
        which[:, partner] = genes[first]
        least[:, partner] = values[np.arange(len(values)), which[:, partner]]
    return least, which


def _scarcest(table: pd.DataFrame, matrix: sparse.csr_matrix, names: pd.Index) -> pd.DataFrame:
    """Complexes as squidpy has them: the one gene, of those there, with the least mean over all cells."""
    known = set(names)
    means = pd.Series(np.asarray(matrix.mean(axis=0)).ravel(), index=names)

    def one(name: str) -> str | None:
        if name in known or "_" not in name:
            return name
        there = [gene for gene in name.split("_") if gene in known]
        return min(there, key=lambda gene: float(np.min(means[gene]))) if there else None

    table = table.assign(source=table["source"].map(one), target=table["target"].map(one))
    return table.dropna(subset=["source", "target"]).drop_duplicates(["source", "target"])
