"""What a panel is coloured by, and the colours of categories."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._anndata import columns_of, get_var
from ..errors import MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def fetch(
    adata: AnnData, keys: Sequence[str], *, use_raw: bool, layer: str | None, gene_symbols: str | None
) -> dict[str, pd.Series]:
    """Columns of obs, or the expression of genes, each as a Series; text and booleans become categories. Genes in a file: one read."""
    found = {key: _of_obs(adata, key) for key in keys if key in adata.obs.columns}
    genes = [key for key in dict.fromkeys(keys) if key not in found]
    if not genes:
        return found
    source = adata.raw if use_raw else adata
    names = source.var_names if gene_symbols is None else pd.Index(_symbols(adata, source, gene_symbols))
    places = [_place(adata, key, names, use_raw, gene_symbols) for key in genes]
    if layer is not None and layer not in adata.layers:
        present = ", ".join(adata.layers) or "(nothing)"
        raise MissingKeyError(f"key `{layer}` not found in adata.layers; present: {present}")
    part = columns_of(source.X if layer is None else adata.layers[layer], places)
    for at, key in enumerate(genes):
        column = part[:, [at]]
        column = column.toarray() if sparse.issparse(column) else np.asarray(column)
        found[key] = pd.Series(column.ravel(), index=adata.obs_names, name=key)
    return found


def _of_obs(adata: AnnData, key: str) -> pd.Series:
    values = adata.obs[key]
    if isinstance(values.dtype, pd.CategoricalDtype) or pd.api.types.is_bool_dtype(values.dtype):
        return values.astype("category")
    if not pd.api.types.is_numeric_dtype(values.dtype):
        return values.astype(str).where(values.notna()).astype("category")
    return values


def _place(adata: AnnData, key: str, names: pd.Index, use_raw: bool, gene_symbols: str | None) -> int:
    """The column of a gene."""
    places = np.flatnonzero(names == key)
    if len(places) != 1:
        where = "adata.obs or " + ("adata.raw.var_names" if use_raw else "adata.var_names")
        if gene_symbols is not None:
            where = f"adata.obs or var[{gene_symbols!r}]"
        if len(places) > 1:
            raise MissingKeyError(f"key `{key}` is not unique in {where}: found {len(places)} times")
        present = ", ".join(map(str, [*adata.obs.columns[:15], *names[:5]]))
        raise MissingKeyError(f"key `{key}` not found in {where}; present: {present}, ...")
    return int(places[0])


def _symbols(adata: AnnData, source: Any, gene_symbols: str) -> Any:
    return source.var[gene_symbols] if gene_symbols in source.var else get_var(adata, gene_symbols)


def category_colors(adata: AnnData, key: str, categories: Sequence[Any], palette: Any) -> list[str]:
    """Colours as "#rrggbb", one for each category, stored under ``uns["<key>_colors"]`` as scanpy does.

    Without `palette`, stored colours are used if there are enough.
    """
    from matplotlib.colors import is_color_like, to_hex

    slot, n = f"{key}_colors", len(categories)
    if palette is None:
        stored = adata.uns.get(slot)
        if stored is not None:
            stored = list(stored)
            if len(stored) >= n and all(is_color_like(color) for color in stored[:n]):
                return [to_hex(color) for color in stored[:n]]
        colors = _core.category_colors(n)
    else:
        colors = _from_palette(palette, categories)
    if not adata.is_view:
        adata.uns[slot] = colors
    return colors


def _from_palette(palette: Any, categories: Sequence[Any]) -> list[str]:
    import matplotlib
    from matplotlib.colors import to_hex

    n = len(categories)
    if isinstance(palette, Mapping):
        absent = [category for category in categories if category not in palette]
        if absent:
            raise ParameterError(f"parameter `palette`: expected a colour for each category, found none for {absent[0]!r}")
        return [to_hex(palette[category]) for category in categories]
    if isinstance(palette, str):
        if palette not in matplotlib.colormaps:
            raise ParameterError(f"parameter `palette`: expected a matplotlib colour map or a list of colours, found {palette!r}")
        table = matplotlib.colormaps[palette]
        if getattr(table, "colors", None) is not None and table.N <= 40:
            return [to_hex(table(i % table.N)) for i in range(n)]
        return [to_hex(color) for color in table(np.linspace(0, 1, max(n, 1)))[:n]]
    if hasattr(palette, "by_key"):  # a cycler
        palette = palette.by_key().get("color", [])
    colors = list(palette)
    if len(colors) < n:
        raise ParameterError(f"parameter `palette`: expected at least {n} colours, one for each category, found {len(colors)}")
    return [to_hex(color) for color in colors[:n]]


def bound(value: Any, values: np.ndarray, name: str) -> float | None:
    """A limit of the colour scale: a number, "p99" for a percentile, a function of the values, or None."""
    if value is None:
        return None
    finite = values[np.isfinite(values)]
    if callable(value):
        return float(value(finite))
    if isinstance(value, str):
        try:
            if not value.startswith("p"):
                raise ValueError
            return float(np.percentile(finite, float(value[1:]))) if finite.size else None
        except ValueError:
            expected = "a number, a function, or a percentile such as 'p99'"
            raise ParameterError(f"parameter `{name}`: expected {expected}, found {value!r}") from None
    return float(value)


def norm_of(values: np.ndarray, vmin: Any, vmax: Any, vcenter: Any, norm: Any = None) -> Any:
    """`norm`, or one from the limits and the finite values."""
    from matplotlib.colors import Normalize, TwoSlopeNorm

    if norm is not None:
        if any(limit is not None for limit in (vmin, vmax, vcenter)):
            raise ParameterError("parameter `norm`: expected None beside `vmin`, `vmax` or `vcenter`, found both")
        return norm
    finite = values[np.isfinite(values)]
    low, high = bound(vmin, values, "vmin"), bound(vmax, values, "vmax")
    low = low if low is not None else (float(finite.min()) if finite.size else 0.0)
    high = high if high is not None else (float(finite.max()) if finite.size else 1.0)
    if low > high:
        raise ParameterError(f"parameters `vmin`, `vmax`: expected vmin <= vmax, found {low} and {high}")
    if vcenter is None:
        return Normalize(low, high)
    centre = bound(vcenter, values, "vcenter")
    if centre is None or not low < centre < high:
        raise ParameterError(f"parameter `vcenter`: expected a value between {low} and {high}, found {centre}")
    return TwoSlopeNorm(centre, low, high)
