"""Principal components of a cells x genes matrix."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._options import to_json
from .._progress import reporting
from .._shared import call
from ..errors import DataError
from ._regress import as_design

if TYPE_CHECKING:
    from .._progress import Progress


class PcaResult(NamedTuple):
    """What `pca` returns."""

    scores: np.ndarray
    """(cells, n_comps) float32, C order: coordinates of the cells."""
    components: np.ndarray
    """(n_comps, genes) float64: unit loadings of the genes used; the largest in magnitude is positive."""
    variance: np.ndarray
    """(n_comps,) float64: variance along each component (divided by cells - 1; by cells without centring)."""
    variance_ratio: np.ndarray
    """(n_comps,) float64: the same over the variance of all genes used."""
    mean: np.ndarray
    """(genes,) float64: mean of each gene used; with ``scale`` that of the divided values."""
    solver: str
    """The route taken: "gram" or "krylov"."""


def as_mask(mask: Any, n_genes: int, name: str = "mask") -> np.ndarray:
    """``mask`` as a bool array of ``n_genes`` entries, or a `DataError` that says what it is instead."""
    array = np.asarray(mask)
    if array.dtype == object and all(isinstance(item, (bool, np.bool_)) for item in array.ravel()):
        array = array.astype(bool)
    if array.dtype != np.bool_:
        raise DataError(f"`{name}`: expected a boolean mask, found dtype {array.dtype}")
    if array.shape != (n_genes,):
        raise DataError(f"`{name}`: expected {n_genes} entries, one per gene, found shape {array.shape}")
    return np.ascontiguousarray(array)


def pca(
    X: Any,
    n_comps: int | None = None,
    *,
    mask: Any = None,
    zero_center: bool = True,
    scale: bool = False,
    max_value: float | None = None,
    covariates: Any = None,
    categories: Any = None,
    svd_solver: str = "auto",
    chunked: bool = False,
    chunk_size: int | None = None,
    tolerance: float = 1e-7,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> PcaResult:
    """Principal component analysis of a sparse or dense matrix; sparse data are centred without becoming dense.

    Parameters
    ----------
    X
        Cells x genes: scipy csr or csc matrix or array, or numpy array, of any number type; used as float32.
    n_comps
        Number of components, 1 to min(cells - 1, genes). ``None``: 50, or one less than the smaller side of the
        matrix when that is fewer.
    mask
        Boolean array, one entry per gene: use only these genes.
    zero_center
        Take each gene's mean off. ``False``: truncated singular value decomposition.
    scale
        Bring each gene to unit variance first, as `scale` does; sparse data stay sparse. Needs ``zero_center``.
    max_value
        With ``scale``: cut scaled values to ``-max_value..max_value``. Not with ``covariates`` or ``categories``.
    covariates, categories
        Properties of the cells to regress out first (before ``scale``), as `regress_out` takes them; the residuals are
        never formed. Need ``zero_center``.
    svd_solver
        ``"auto"``: the cheaper of the two routes. ``"gram"`` (also ``"covariance_eigh"``): the exact genes x genes
        matrix of products and its leading eigenpairs; best up to some thousands of genes. ``"krylov"`` (also
        ``"arpack"``, ``"randomized"``, ``"lobpcg"``): block Lanczos from random start vectors, iterated to
        ``tolerance``; for many genes. Both give the same components.
    chunked
        Do not hold the selected genes in memory beside ``X``: select them anew, block by block, for each look.
        Same result, less memory, more time.
    chunk_size
        Cells laid out at once in the gram route (``None``: 512); only with ``chunked``.
    tolerance
        Residual at which a component counts as found, relative to its eigenvalue.
    seed
        Seed of the start vectors. Changes the result by less than ``tolerance``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable
        ``(stage, done, total)``.

    Returns
    -------
    PcaResult
        ``scores, components, variance, variance_ratio, mean, solver``.

    Raises
    ------
    ParameterError
        For an option out of range, or more components than the matrix can have.
    DataError
        For a matrix with NaN or infinity, fewer than two cells, no genes, or no variance; a mask of the wrong
        length or type.
    NotConvergedError
        When the iteration does not reach ``tolerance``.

    Notes
    -----
    Scaling divides columns and regressing out takes a matrix of low rank off, so neither makes anything dense.
    Gram route: 16 genes^2 bytes and about 160 MB beside the matrix. Krylov route: some 20 to 40 reads of the matrix.
    Unless ``chunked``, the selected genes are copied once, 8 bytes per non-zero.

    References
    ----------
    Wu and Simon, Thick-restart Lanczos, SIAM J. Matrix Anal. Appl. 22 (2000).
    """
    matrix = as_matrix(X, "X", stream=True)
    if mask is not None:
        mask = as_mask(mask, matrix.shape[1])
    columns, codes = as_design(covariates, categories, matrix.shape[0])
    options = to_json(
        n_comps=n_comps,
        zero_center=zero_center,
        scale=scale,
        max_value=None if max_value is None else float(max_value),
        svd_solver=svd_solver,
        chunked=chunked,
        chunk_size=chunk_size,
        tolerance=tolerance,
        random_state=seed,
    )
    with reporting(progress) as callback:
        return PcaResult(**call(_core.pca, matrix, mask, options, columns, codes, threads, callback))
