"""Some of the cells or genes, drawn at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from .._anndata import get_obs, get_var
from .._provenance import record
from ..errors import DataError, NonFiniteError, ParameterError, ShapeError

_AXES = {"obs": 0, 0: 0, "var": 1, 1: 1}


def _probabilities(data: Any, p: Any, axis: int, n: int) -> Any:
    """Chances that sum to 1, or None; masks share them evenly."""
    if p is None:
        return None
    if isinstance(p, str):
        if not hasattr(data, "obs"):
            raise ParameterError(f"parameter `p`: expected an array beside a matrix, found the name {p!r}")
        p = (get_obs if axis == 0 else get_var)(data, p).to_numpy()
    array = np.asarray(p)
    if array.shape != (n,):
        raise ShapeError(f"`p`: expected {n} entries, found shape {array.shape}")
    if array.dtype.kind not in "bf":
        raise DataError(f"`p`: expected a boolean mask or probabilities (floats), found dtype {array.dtype}")
    if array.dtype.kind == "b":
        if not array.any():
            raise DataError("`p`: expected at least one True in the mask, found none")
        return array / array.sum()
    if not np.isfinite(array).all():
        raise NonFiniteError("`p`: expected finite probabilities, found NaN or infinity")
    if (array < 0).any() or abs(array.sum() - 1) > 1e-8 * max(n, 1):
        raise DataError(f"`p`: expected probabilities of at least 0 that sum to 1, found a sum of {array.sum():g}")
    return array


def sample(
    data: Any,
    fraction: float | None = None,
    *,
    n: int | None = None,
    rng: Any = 0,
    copy: bool = False,
    replace: bool = False,
    axis: Any = "obs",
    p: Any = None,
) -> Any:
    """Draws some of the cells or genes at random.

    Parameters
    ----------
    data
        Annotated data, or a matrix (sparse or numpy).
    fraction
        Fraction of the cells (genes) to draw, 0 to 1, or more with ``replace``. Exactly one of ``fraction`` and ``n``.
    n
        Number of cells (genes) to draw.
    rng
        Seed, or a ``numpy.random.Generator``; ``None`` draws anew each time. scanpy's default is ``None``.
    copy
        Return a copy, and leave ``data`` as it is.
    replace
        Draw with replacement: cells can come more than once.
    axis
        ``"obs"`` (0): cells; ``"var"`` (1): genes.
    p
        Chance of each cell (gene), summing to 1, or a boolean mask of those to draw from; an array or the name of a
        column.

    Returns
    -------
    ``None`` for annotated data changed in place, the copy with ``copy``; for a matrix the drawn rows (columns) and their
    numbers.

    Raises
    ------
    ParameterError, MissingKeyError, ShapeError, DataError, NonFiniteError

    Notes
    -----
    The draws are those of ``numpy.random.default_rng(rng).choice``, as in scanpy: the same seed gives the same cells, in
    the order drawn.
    """
    from anndata import AnnData

    if axis not in _AXES:
        raise ParameterError(f"parameter `axis`: expected 'obs', 'var', 0 or 1, found {axis!r}")
    axis = _AXES[axis]
    if (fraction is None) is (n is None):
        found = "neither" if n is None else "both"
        raise ParameterError(f"parameters `fraction`, `n`: expected exactly one of them, found {found}")
    whole = isinstance(data, AnnData)
    if not whole and len(getattr(data, "shape", ())) != 2:
        raise ParameterError(f"parameter `data`: expected an AnnData or a matrix, found {type(data).__name__}")
    if whole and data.isbacked and not copy:
        raise ParameterError("parameter `copy`: expected True with a backed AnnData, found False")
    size = data.shape[axis]
    if fraction is not None:
        if not (fraction >= 0 and np.isfinite(fraction)) or (fraction > 1 and not replace):
            limit = "of at least 0" if replace else "from 0 to 1 (more with replace=True)"
            raise ParameterError(f"parameter `fraction`: expected a number {limit}, found {fraction!r}")
        n = int(fraction * size)
    elif isinstance(n, (bool, np.bool_)) or not isinstance(n, (int, np.integer)) or n < 0:
        raise ParameterError(f"parameter `n`: expected a whole number of at least 0, found {n!r}")
    chances = _probabilities(data, p, axis, size)
    possible = size if chances is None else int(np.count_nonzero(chances))
    if (not replace and n > possible) or (n > 0 and possible == 0):
        raise ParameterError(f"parameter `n`: expected at most {possible} to draw from, found {n}")
    try:
        generator = np.random.default_rng(rng)
    except (TypeError, ValueError):
        raise ParameterError(
            f"parameter `rng`: expected a whole number of at least 0, a numpy Generator or None, found {rng!r}"
        ) from None
    chosen = generator.choice(size, size=int(n), replace=replace, p=chances)
    if not whole:
        drawn = data[chosen] if axis == 0 else data[:, chosen]
        return (drawn.copy() if copy else drawn), chosen
    settings = {
        "n": int(n),
        "axis": axis,
        "replace": replace,
        "rng": rng if rng is None or isinstance(rng, (int, np.integer)) else "generator",
        "p": p if p is None or isinstance(p, str) else "array",
    }
    if copy:
        drawn = data[chosen] if axis == 0 else data[:, chosen]
        drawn = drawn.to_memory() if data.isbacked else drawn.copy()
        record(drawn, "sample", **settings)
        return drawn
    if axis == 0:
        data._inplace_subset_obs(chosen)
    else:
        data._inplace_subset_var(chosen)
    record(data, "sample", **settings)
    return None
