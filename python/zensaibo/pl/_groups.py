"""What plots of genes by groups show: the genes' columns, the groups of cells, statistics of one by the other.

Only the columns of the genes shown are taken out of the matrix; sparse ones stay sparse.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _anndata
from .._anndata import check_adata, get_obs
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData

#: A column: the cells with a stored value (None: all) and the values.
Column = tuple[np.ndarray | None, np.ndarray]


class Bracket(NamedTuple):
    """A run of genes under one label."""

    first: int
    last: int
    label: str


@dataclass(frozen=True)
class Grouped:
    """Genes by groups."""

    #: Genes as they were asked for.
    names: list[str]
    #: One for each name.
    columns: list[Column]
    #: (cells,) group of each cell; -1 for none.
    codes: np.ndarray
    #: Names of the groups, none of them empty.
    categories: list[str]
    #: Key of obs that the groups come from; several joined by "_".
    groupby: str
    #: Runs of genes, from left to right.
    brackets: list[Bracket] = field(default_factory=list)
    #: ``uns["dendrogram_<groupby>"]`` where groups are in its order.
    tree: dict[str, Any] | None = None

    @property
    def sizes(self) -> np.ndarray:
        """Cells of each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.categories))

    def stored(self, column: int) -> tuple[np.ndarray, np.ndarray, bool]:
        """Groups and values of what the column stores, cells without a group left out; whether others are 0."""
        rows, values = self.columns[column]
        codes = self.codes if rows is None else self.codes[rows]
        keep = codes >= 0
        return codes[keep], np.asarray(values, dtype=np.float64)[keep], rows is not None

    def dense(self, column: int) -> np.ndarray:
        """(cells,) values of a column."""
        rows, values = self.columns[column]
        if rows is None:
            return np.asarray(values, dtype=np.float64)
        out = np.zeros(len(self.codes))
        out[rows] = values
        return out

    def table(self, rows: Sequence[np.ndarray]) -> pd.DataFrame:
        """One array for each gene as groups x genes."""
        return pd.DataFrame(np.array(rows).reshape(len(self.names), -1).T, self.categories, self.names)

    def means(self, above: float | None = None) -> pd.DataFrame:
        """Means by group, NaN left out. With `above`, of the values over it only, 0 where there are none."""
        out = []
        for j in range(len(self.names)):
            codes, values, is_sparse = self.stored(j)
            known = ~np.isnan(values) if above is None else values > above
            sums = np.bincount(codes[known], weights=values[known], minlength=len(self.categories))
            count = np.bincount(codes[known], minlength=len(self.categories))
            if is_sparse and (above is None or above < 0):
                count = count + self.sizes - np.bincount(codes, minlength=len(self.categories))
            with np.errstate(invalid="ignore"):
                mean = sums / count
            out.append(mean if above is None else np.nan_to_num(mean))
        return self.table(out)

    def fractions(self, cutoff: float) -> pd.DataFrame:
        """Shares of each group's cells whose value is over `cutoff`."""
        out = []
        for j in range(len(self.names)):
            codes, values, is_sparse = self.stored(j)
            over = np.bincount(codes[values > cutoff], minlength=len(self.categories))
            if is_sparse and cutoff < 0:
                over = over + self.sizes - np.bincount(codes, minlength=len(self.categories))
            out.append(over / self.sizes)
        return self.table(out)

    @cached_property
    def order(self) -> np.ndarray:
        """Cells that have a group, by group, else in their order."""
        return np.argsort(self.codes, kind="stable")[int((self.codes < 0).sum()) :]

    def by_group(self, values: np.ndarray) -> list[np.ndarray]:
        """Values, one for each cell, of each group without NaN, in the order of cells."""
        parts = np.split(values[self.order], np.cumsum(self.sizes)[:-1])
        return [part[~np.isnan(part)] for part in parts]

    def scaled(self, standard_scale: str | None) -> Callable[[int], np.ndarray]:
        """What gives the (cells,) values of a column, as scanpy scales them where cells are shown.

        "var": each gene from its lowest to its highest value to 0..1; "group": each cell, over the genes shown.
        """
        check_scale(standard_scale)
        if standard_scale is None:
            return self.dense
        if standard_scale == "group":
            low, high = np.full(len(self.codes), np.nan), np.full(len(self.codes), np.nan)
            for j in range(len(self.names)):
                values = self.dense(j)
                low, high = np.fmin(low, values), np.fmax(high, values)

        def scale(j: int) -> np.ndarray:
            values = self.dense(j)
            if standard_scale == "var":
                bottom, top = np.fmin.reduce(values, initial=np.inf), np.fmax.reduce(values, initial=-np.inf)
            else:
                bottom, top = low, high
            with np.errstate(divide="ignore", invalid="ignore"):
                out = (values - bottom) / (top - bottom)
            return np.where(np.isnan(values), np.nan, np.nan_to_num(out))

        return scale

    def mapped(self, function: Any) -> Grouped:
        """Values changed one by one by a function that keeps 0."""
        return replace(self, columns=[(rows, function(np.asarray(values, np.float64))) for rows, values in self.columns])


def gather(
    adata: AnnData,
    var_names: str | Sequence[str] | Mapping[str, str | Sequence[str]],
    groupby: str | Sequence[str],
    *,
    use_raw: bool | None = None,
    log: bool = False,
    num_categories: int = 7,
    categories_order: Sequence[str] | None = None,
    dendrogram: bool | str = False,
    gene_symbols: str | None = None,
    var_group_positions: Sequence[tuple[int, int]] | None = None,
    var_group_labels: Sequence[str] | None = None,
    layer: str | None = None,
) -> Grouped:
    """The parameters that all plots of genes by groups share, as data."""
    check_adata(adata)
    names, brackets = _brackets(var_names, var_group_positions, var_group_labels)
    codes, categories, joined = groups_of(adata, groupby, num_categories)
    if categories_order is not None:
        codes, categories = reorder(codes, categories, [str(c) for c in categories_order], "categories_order")
    columns = columns_of(adata, names, use_raw=use_raw, layer=layer, gene_symbols=gene_symbols)
    found = Grouped(names, columns, codes, categories, joined, brackets)
    if log:
        for name, (_, values) in zip(names, found.columns, strict=True):
            if len(values) and np.nanmin(np.append(values, 0)) <= -1:
                raise DataError(f"`{name}`: expected values above -1 for `log=True`, found {np.nanmin(values)}")
        found = found.mapped(np.log1p)
    if dendrogram:
        if categories_order is not None:
            raise ParameterError("parameters `dendrogram`, `categories_order`: expected at most one of them, found both")
        found = _by_tree(adata, found, dendrogram)
    return found


def columns_of(
    adata: AnnData, names: Sequence[str], *, use_raw: bool | None, layer: str | None, gene_symbols: str | None
) -> list[Column]:
    """The columns of genes or of numbers in obs."""
    source, matrix = source_of(adata, use_raw, layer)
    if gene_symbols is None:
        index, where = source.var_names, "adata.raw.var_names" if source is not adata else "adata.var_names"
    else:
        held = source.var if gene_symbols in source.var else adata.var
        if gene_symbols not in held:
            present = ", ".join(map(str, adata.var.columns)) or "(nothing)"
            raise MissingKeyError(f"key `{gene_symbols}` not found in adata.var; present: {present}")
        symbols = held[gene_symbols]
        if not symbols.index.equals(source.var_names):
            # Genes of raw that were left out of adata have no symbol.
            symbols = symbols[~symbols.index.duplicated()].reindex(source.var_names)
        index, where = pd.Index(symbols), f"var[{gene_symbols!r}]"
    places: dict[str, int] = {}
    for name in names:
        at = np.flatnonzero(index == name)
        if len(at) > 1:
            raise MissingKeyError(f"key `{name}` is not unique in {where}: found {len(at)} times")
        if len(at) and name in adata.obs:
            raise MissingKeyError(f"key `{name}` is in both adata.obs and {where}: rename the column of obs")
        if not len(at) and name not in adata.obs:
            near = [*(str(n) for n in index if str(n).lower() == name.lower()), *map(str, index[:5])]
            raise MissingKeyError(f"key `{name}` not found in adata.obs or {where}; present: {', '.join(near[:6])}, ...")
        if len(at):
            places[name] = int(at[0])
    wanted = np.unique(list(places.values())).astype(np.int64)
    part: Any = None
    if len(wanted):
        part = _anndata.columns_of(matrix, wanted)
        part = part.tocsc() if sparse.issparse(part) else np.asarray(part)
    columns: list[Column] = []
    for name in names:
        if name not in places:
            columns.append((None, _numbers(adata, name)))
            continue
        j = int(np.searchsorted(wanted, places[name]))
        if sparse.issparse(part):
            span = slice(part.indptr[j], part.indptr[j + 1])
            columns.append((part.indices[span], part.data[span]))
        else:
            columns.append((None, part[:, j]))
    return columns


def source_of(adata: AnnData, use_raw: bool | None, layer: str | None) -> tuple[Any, Any]:
    """What holds the genes' names, and the matrix: a layer, ``raw.X`` or X."""
    if use_raw is None:
        use_raw = layer is None and adata.raw is not None
    if use_raw and layer is not None:
        raise ParameterError("parameters `use_raw`, `layer`: expected at most one of them, found both")
    if use_raw and adata.raw is None:
        raise MissingKeyError("key `raw` not found in adata: `use_raw=True` needs `adata.raw`")
    if layer is not None and layer not in adata.layers:
        raise MissingKeyError(f"key `{layer}` not found in adata.layers; present: {', '.join(adata.layers) or '(nothing)'}")
    source = adata.raw if use_raw else adata
    return source, source.X if layer is None else adata.layers[layer]


def _numbers(adata: AnnData, key: str) -> np.ndarray:
    values = adata.obs[key]
    if not pd.api.types.is_numeric_dtype(values.dtype):
        raise DataError(f"`adata.obs[{key!r}]`: expected numbers, found {values.dtype}")
    return values.to_numpy(dtype=np.float64, na_value=np.nan)


def groups_of(adata: AnnData, groupby: str | Sequence[str], num_categories: int = 7) -> tuple[np.ndarray, list[str], str]:
    """Codes, names (of groups with cells) and joined key. Numbers are cut into `num_categories` equal ranges."""
    keys = [groupby] if isinstance(groupby, str) else list(groupby)
    if not keys:
        raise ParameterError("parameter `groupby`: expected a column of obs or several, found an empty list")
    parts = []
    for key in keys:
        values = get_obs(adata, key)
        if pd.api.types.is_numeric_dtype(values.dtype) and not pd.api.types.is_bool_dtype(values.dtype):
            if len(keys) > 1:
                raise DataError(f"`adata.obs[{key!r}]`: expected categories to cross with others, found {values.dtype}")
            if num_categories < 1:
                raise ParameterError(f"parameter `num_categories`: expected at least 1, found {num_categories}")
            if not np.isfinite(values.to_numpy(np.float64, na_value=np.nan)).any():
                raise DataError(f"`adata.obs[{key!r}]`: expected at least one number, found none")
            values = pd.cut(values, num_categories)
        elif not isinstance(values.dtype, pd.CategoricalDtype):
            values = values.astype(str).where(values.notna()).astype("category")
        parts.append(values.cat)
    codes, names = parts[0].codes.to_numpy().astype(np.int64), [[str(c)] for c in parts[0].categories]
    for part in parts[1:]:
        more = part.codes.to_numpy().astype(np.int64)
        codes = np.where((codes < 0) | (more < 0), -1, codes * len(part.categories) + more)
        names = [[*a, str(b)] for a, b in product(names, part.categories)]
    used = np.bincount(codes[codes >= 0], minlength=len(names)) > 0
    if not used.any():
        raise DataError(f"`adata.obs[{keys[0]!r}]`: expected at least one cell with a category, found none")
    new = np.append(np.where(used, np.cumsum(used) - 1, -1), -1)
    return new[codes], ["_".join(name) for name, kept in zip(names, used, strict=True) if kept], "_".join(keys)


def reorder(codes: np.ndarray, categories: list[str], order: list[str], parameter: str) -> tuple[np.ndarray, list[str]]:
    """Groups in another order; those not named are left out."""
    if len(set(order)) != len(order):
        raise ParameterError(f"parameter `{parameter}`: expected each group once, found {', '.join(order)}")
    absent = [category for category in order if category not in categories]
    if absent:
        raise MissingKeyError(f"key `{absent[0]}` not found among the groups with cells; present: {', '.join(categories)}")
    new = np.full(len(categories) + 1, -1)
    for i, category in enumerate(order):
        new[categories.index(category)] = i
    return new[codes], order


def _brackets(var_names: Any, positions: Any, labels: Any) -> tuple[list[str], list[Bracket]]:
    """The genes in a row, and the runs that share a label."""
    if isinstance(var_names, Mapping):
        if positions is not None or labels is not None:
            raise ParameterError("parameters `var_group_positions`, `var_group_labels`: expected None with a dict of genes")
        names: list[str] = []
        brackets = []
        for label, genes in var_names.items():
            genes = [genes] if isinstance(genes, str) else list(genes)
            if genes:
                brackets.append(Bracket(len(names), len(names) + len(genes) - 1, str(label)))
                names += genes
    else:
        names = [var_names] if isinstance(var_names, str) else list(var_names)
        if (positions is None) != (labels is None) or (labels is not None and len(positions) != len(labels)):
            raise ParameterError("parameters `var_group_positions`, `var_group_labels`: expected both, of the same length")
        brackets = [Bracket(int(a), int(b), str(label)) for (a, b), label in zip(positions or [], labels or [], strict=True)]
        for bracket in brackets:
            if not 0 <= bracket.first <= bracket.last < len(names):
                raise ParameterError(
                    f"parameter `var_group_positions`: expected first <= last among {len(names)} genes (from 0), "
                    f"found {tuple(bracket[:2])}"
                )
    if not names:
        raise ParameterError("parameter `var_names`: expected at least one gene, found none")
    return names, brackets


def tree_of(adata: AnnData, key: str | bool, groupby: str) -> dict[str, Any]:
    """A dendrogram that was computed before."""
    slot = key if isinstance(key, str) else f"dendrogram_{groupby}"
    if slot not in adata.uns:
        present = ", ".join(k for k in map(str, adata.uns) if k.startswith("dendrogram")) or "(no dendrogram)"
        raise MissingKeyError(
            f"key `{slot}` not found in adata.uns; present: {present}; run `tl.dendrogram(adata, {groupby!r})` first"
        )
    return adata.uns[slot]


def _by_tree(adata: AnnData, data: Grouped, key: bool | str) -> Grouped:
    """Groups, and brackets that bear their names, in the order of the dendrogram."""
    tree = tree_of(adata, key, data.groupby)
    order = [str(category) for category in tree["categories_ordered"]]
    if set(order) != set(data.categories):
        raise ShapeError(
            f"`uns` dendrogram: expected the groups with cells of {data.groupby!r} ({', '.join(data.categories)}), "
            f"found {', '.join(order)}; run `tl.dendrogram` again"
        )
    codes, categories = reorder(data.codes, data.categories, order, "dendrogram")
    data = replace(data, codes=codes, categories=categories, tree=tree)
    labels = [bracket.label for bracket in data.brackets]
    if not labels:
        return data
    if len(set(labels)) != len(labels) or not set(labels) <= set(order):
        warnings.warn(
            "the brackets keep their order: their labels are not names of the groups that the dendrogram orders",
            UserWarning,
            stacklevel=4,
        )
        return data
    picked: list[int] = []
    brackets = []
    for bracket in sorted(data.brackets, key=lambda b: order.index(b.label)):
        brackets.append(Bracket(len(picked), len(picked) + bracket.last - bracket.first, bracket.label))
        picked += range(bracket.first, bracket.last + 1)
    picked += [i for i in range(len(data.names)) if i not in set(picked)]
    return replace(
        data, names=[data.names[i] for i in picked], columns=[data.columns[i] for i in picked], brackets=brackets
    )


def standardised(table: pd.DataFrame, standard_scale: str | None) -> pd.DataFrame:
    """Each gene ("var") or group ("group") moved and stretched to 0..1; what is constant becomes 0."""
    check_scale(standard_scale)
    if standard_scale is None:
        return table
    axis = 0 if standard_scale == "var" else 1
    low = table.min(axis=axis)
    table = table.sub(low, axis=1 - axis)
    high = table.max(axis=axis)
    return table.div(high.where(high > 0), axis=1 - axis).fillna(0)


def check_scale(standard_scale: str | None) -> None:
    """Refuses unknown ways to scale."""
    if standard_scale not in ("var", "group", None):
        raise ParameterError(f"parameter `standard_scale`: expected 'var', 'group' or None, found {standard_scale!r}")
