"""Logistic regression on sparse rows."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError

__all__ = ["LogisticModel", "logistic_regression"]


@dataclass(frozen=True)
class LogisticModel:
    """A fitted model: the probability of class k is proportional to exp(coef[k] x + intercept[k])."""

    #: Names of the classes, sorted as numpy sorts them.
    classes: np.ndarray
    #: Weights, float64, (classes, features); (1, features) for two classes: the log odds of the second.
    coef: np.ndarray
    #: Intercepts, float64, (classes,) or (1,).
    intercept: np.ndarray
    #: Iterations done.
    n_iter: int
    #: Largest entry of the gradient of the mean loss at the end.
    gradient: float
    #: Whether the gradient came below the tolerance.
    converged: bool
    #: Mean negative log likelihood and penalty at the end.
    loss: float

    def predict_proba(
        self, X: Any, *, threads: int | None = None, progress: bool | Progress | None = None
    ) -> np.ndarray:
        """Probability of each class for the rows of `X`, (cells, classes) float64."""
        with reporting(progress) as callback:
            found, _ = _core.logistic_predict(
                as_matrix(X, stream=True),
                np.ascontiguousarray(self.coef, dtype=np.float64),
                np.ascontiguousarray(self.intercept, dtype=np.float64),
                len(self.classes),
                threads,
                callback,
            )
        return found

    def predict(self, X: Any, *, threads: int | None = None, progress: bool | Progress | None = None) -> np.ndarray:
        """The most probable class of each row of `X`, the first of equals."""
        return self.classes[self.predict_proba(X, threads=threads, progress=progress).argmax(axis=1)]


def logistic_regression(
    X: Any,
    y: Any,
    *,
    mask: Any = None,
    c: float = 1.0,
    fit_intercept: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> LogisticModel:
    """Multinomial logistic regression with an L2 penalty, by L-BFGS on the rows as they lie.

    Parameters
    ----------
    X
        Cells x features: scipy CSR or CSC, or a numpy array. Values are taken as float32.
    y
        Class of each cell, shape (cells,); missing values (NaN, None) leave a cell out.
    mask
        Features to use, boolean, shape (features,). All by default.
    c
        Inverse strength of the penalty: scikit-learn's ``C``.
    fit_intercept
        Whether classes get intercepts, which are not penalised.
    max_iter
        Iterations at most. Running out warns; ``converged`` says so.
    tol
        Largest entry of the gradient of the mean loss at which the fit ends.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    LogisticModel

    Raises
    ------
    TooFewError
        Fewer than two classes.
    NonFiniteError, ShapeError, ParameterError
        As named.

    Notes
    -----
    The objective is that of scikit-learn's ``LogisticRegression(solver="lbfgs")``, whose coefficients it meets at
    convergence; ours runs 1000 iterations by default where scikit-learn stops at 100, mostly before it has converged.
    Nothing is random, and neither threads nor layout change a bit. About one read of the matrix per iteration.

    References
    ----------
    Liu and Nocedal, Math. Programming 45 (1989).
    """
    matrix = as_matrix(X, stream=True)
    names, labels = _classes(y)
    if labels.shape != (matrix.shape[0],):
        raise ShapeError(f"`y`: expected one class per cell, shape ({matrix.shape[0]},), found {labels.shape}")
    if mask is not None:
        mask = np.ascontiguousarray(mask)
        if mask.dtype != bool or mask.shape != (matrix.shape[1],):
            raise ShapeError(
                f"`mask`: expected booleans of shape ({matrix.shape[1]},), found {mask.dtype} of shape {mask.shape}"
            )
        if not mask.any():
            raise ParameterError("parameter `mask`: expected at least one feature, found none")
    options = to_json(c=c, fit_intercept=fit_intercept, max_iter=max_iter, tol=tol)
    with reporting(progress) as callback:
        found = _core.logistic_fit(matrix, labels, len(names), mask, options, threads, callback)
    if not found["converged"]:
        warnings.warn(
            f"logistic regression stopped after max_iter={max_iter} iterations at gradient {found['gradient']:.2e} "
            f"(tol={tol:g}); more iterations would change the coefficients",
            UserWarning,
            stacklevel=2,
        )
    return LogisticModel(
        classes=names,
        coef=found["coefficients"],
        intercept=found["intercepts"],
        n_iter=found["iterations"],
        gradient=found["gradient"],
        converged=found["converged"],
        loss=found["loss"],
    )


def _classes(y: Any) -> tuple[np.ndarray, np.ndarray]:
    """Sorted distinct classes, and the class of each cell as int32, -1 where it is missing."""
    import pandas as pd

    column = pd.Series(np.asarray(y).ravel() if np.ndim(y) != 1 else np.asarray(y))
    present = column.notna().to_numpy()
    names, codes = np.unique(column[present].to_numpy(), return_inverse=True)
    labels = np.full(np.shape(y)[0] if np.ndim(y) == 1 else np.size(y), -1, dtype=np.int32)
    labels[present] = codes
    return names, labels
