"""How well expression was predicted, gene by gene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from ..errors import ShapeError

if TYPE_CHECKING:
    import pandas as pd

#: Constants of the structural similarity for values of at most 1.
_C1, _C2 = 0.01**2, 0.03**2


def imputation_scores(truth: Any, predicted: Any, *, genes: Sequence[str] | None = None) -> pd.DataFrame:
    """Scores of predicted expression against what was measured, one row per gene.

    Parameters
    ----------
    truth, predicted
        (n, g) arrays or sparse matrices: the same cells and genes. Cells where a prediction is NaN are left out of that gene.
    genes
        Names of the genes; ``None``: their numbers.

    Returns
    -------
    pandas.DataFrame
        By gene:

        ``pearson``
            Correlation.
        ``cosine``
            ``x @ y / (|x| |y|)``, the score that Tangram reports.
        ``rmse``
            Root mean square of the difference after each was standardised (standard deviation of n).
        ``js``
            Jensen-Shannon divergence of the two after each was divided by its sum: ``(KL(p, m) + KL(q, m)) / 2`` with m their mean and
            natural logarithms; 0 to ln 2.
        ``ssim``
            Structural similarity after each was divided by its maximum, over all cells at once:
            ``(2 ux uy + C1) (2 sxy + C2) / ((ux^2 + uy^2 + C1) (sx^2 + sy^2 + C2))``, C1 = 0.01^2, C2 = 0.03^2.
        ``n``
            Cells that were compared.

        NaN where a score is not defined: a side that does not vary (``pearson``, ``rmse``), is 0 everywhere (``cosine``), or has no
        positive sum or negative values (``js``, ``ssim``).

    Raises
    ------
    ShapeError
        Other shapes on the two sides, or another number of names.

    Notes
    -----
    For ``rmse`` and ``js`` less is better, for the others more.

    References
    ----------
    Li et al., Nature Methods 19 (2022), from where the set is taken.
    """
    import pandas as pd

    if np.ndim(truth) != 2 or truth.shape != predicted.shape:
        raise ShapeError(
            f"`predicted`: expected the cells and genes of `truth`, shape {np.shape(truth)}, found shape {np.shape(predicted)}"
        )
    count = truth.shape[1]
    names = list(range(count)) if genes is None else [str(name) for name in genes]
    if len(names) != count:
        raise ShapeError(f"`genes`: expected {count} names, found {len(names)}")
    sides: list[Any] = [side.tocsc() if sparse.issparse(side) else np.asarray(side) for side in (truth, predicted)]
    rows = []
    for gene in range(count):
        x, y = (
            np.asarray(side[:, [gene]].toarray() if sparse.issparse(side) else side[:, gene], dtype=np.float64).ravel()
            for side in sides
        )
        known = ~(np.isnan(x) | np.isnan(y))
        rows.append(_scores(x[known], y[known]))
    return pd.DataFrame(rows, index=pd.Index(names), columns=["pearson", "cosine", "rmse", "js", "ssim", "n"])


def _scores(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float, float, int]:
    nan = float("nan")
    pearson = cosine = rmse = js = ssim = nan
    if len(x):
        a, b = x - x.mean(), y - y.mean()
        spread_x, spread_y = np.sqrt((a * a).mean()), np.sqrt((b * b).mean())
        # Rounding alone is no variation.
        if spread_x > 1e-9 * np.abs(x).max() and spread_y > 1e-9 * np.abs(y).max():
            pearson = float((a * b).mean() / (spread_x * spread_y))
            rmse = float(np.sqrt(((a / spread_x - b / spread_y) ** 2).mean()))
        long = np.linalg.norm(x) * np.linalg.norm(y)
        if long > 0:
            cosine = float(x @ y / long)
        if min(x.min(), y.min()) >= 0 and x.sum() > 0 and y.sum() > 0:
            p, q = x / x.sum(), y / y.sum()
            m = (p + q) / 2
            js = float(sum((part[part > 0] * np.log(part[part > 0] / m[part > 0])).sum() for part in (p, q)) / 2)
            u, v = x / x.max(), y / y.max()
            mean_u, mean_v = u.mean(), v.mean()
            both = ((u - mean_u) * (v - mean_v)).mean()
            level = (2 * mean_u * mean_v + _C1) / (mean_u**2 + mean_v**2 + _C1)
            ssim = float(level * (2 * both + _C2) / (u.var() + v.var() + _C2))
    return pearson, cosine, rmse, js, ssim, len(x)
