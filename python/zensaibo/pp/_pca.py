"""Principal components, stored where scanpy stores them."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .. import _keys
from .._anndata import as_matrix, get_matrix, get_var, start
from .._provenance import record
from ..arrays import _pca as arrays
from ..errors import DataError, ParameterError
from ._regress import design_of

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


class _Unset:
    """Default of ``mask_var``: the highly variable genes if they are marked."""

    def __repr__(self) -> str:
        return "<highly_variable if present>"


_UNSET = _Unset()

#: scanpy's solvers that stand for "the leading components, by iteration": the cheaper exact route answers them.
_SCANPY_ITERATIONS = frozenset({"arpack", "randomized", "lobpcg"})


def pca(
    data: AnnData | np.ndarray | sparse.spmatrix,
    n_comps: int | None = None,
    *,
    layer: str | None = None,
    zero_center: bool = True,
    scale: bool = False,
    max_value: float | None = None,
    regress_keys: str | Sequence[str] | None = None,
    svd_solver: str | None = None,
    chunked: bool = False,
    chunk_size: int | None = None,
    random_state: int = 0,
    return_info: bool = False,
    mask_var: Any = _UNSET,
    use_highly_variable: bool | None = None,
    dtype: Any = "float32",
    key_added: str | None = None,
    copy: bool = False,
    preset: str = "scanpy-v1",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | np.ndarray | tuple[np.ndarray, ...] | None:
    """Principal component analysis, sparse data centred implicitly.

    Parameters
    ----------
    data
        AnnData, or a cells x genes array or sparse matrix. Values are used as float32, sums are float64.
    n_comps
        Number of components. ``None``: 50, or one less than the smaller side of the matrix (genes counted after the
        mask) when that is fewer.
    layer
        Layer to use instead of ``X``.
    zero_center
        Take each gene's mean off. ``False``: truncated singular value decomposition.
    scale
        Bring each gene to unit variance first, as `scale` does, without the dense matrix: the components are those of
        ``scale`` followed by ``pca``. X stays as it is. Needs ``zero_center``.
    max_value
        With ``scale``: cut scaled values to ``-max_value..max_value``. Not with ``regress_keys``.
    regress_keys
        Columns of ``obs`` to regress out first (before ``scale``), as `regress_out` does, without the dense matrix.
        X stays as it is. Needs ``zero_center``.
    svd_solver
        ``None`` or ``"auto"``: the cheaper of the two routes. ``"gram"`` (also ``"covariance_eigh"``): the exact
        genes x genes matrix of products and its leading eigenpairs. ``"krylov"``: block Lanczos on the data, iterated
        to a residual of 1e-7. ``"arpack"``, ``"randomized"`` and ``"lobpcg"``, scanpy's names for iterations that
        approach the same components, mean ``"auto"`` here. All give the same components to the residual; none is a
        sketch. The route taken is recorded in ``uns["zensaibo"]["pca"]``.
    chunked
        Do not copy the genes used into memory: take them from the matrix block by block for each look. Unlike
        scanpy's incremental PCA the result is exact, and every other parameter still counts.
    chunk_size
        Cells laid out at once in the gram route (``None``: 512); only with ``chunked=True``.
    random_state
        Seed of the start vectors, a whole number. Changes the result by less than the residual.
    return_info
        With an array as ``data``: return components, variance ratios and variances too.
    mask_var
        Genes to use: a key of ``var``, a boolean array, or ``None`` for all. Default: ``"highly_variable"`` if ``var``
        has it.
    use_highly_variable
        Deprecated in scanpy; use ``mask_var``.
    dtype
        Type of the coordinates stored. They are computed to float32 precision.
    key_added
        Key of obsm, varm and uns, in place of their default names.
    copy
        Return a changed copy instead of changing ``data``.
    preset
        ``"scanpy-v1"``: obsm ``X_pca``; ``"scanpy-v2"``: obsm ``pca``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    AnnData or None
        The copy with ``copy=True``, else ``None``. Sets ``obsm["X_pca"]`` (cells x n_comps), ``varm["PCs"]``
        (genes x n_comps, zero rows for genes outside the mask) and ``uns["pca"]`` with ``params``, ``variance`` and
        ``variance_ratio`` (n_comps each).
    numpy.ndarray or tuple
        With an array as ``data``: the coordinates; with ``return_info`` (coordinates, components, variance ratios,
        variances).

    Raises
    ------
    ParameterError, DataError, MissingKeyError, NotConvergedError
        For an option out of range; NaN or infinity, too few cells, no genes, no variance, a mask that does not fit;
        a layer or mask that is not there; no convergence.

    See Also
    --------
    zensaibo.arrays.pca : the same on arrays, with cost and method.
    """
    from anndata import AnnData

    _keys.check_preset(preset)
    if isinstance(random_state, bool) or not isinstance(random_state, (int, np.integer)) or random_state < 0:
        raise ParameterError(f"parameter `random_state`: expected a whole number of at least 0, found {random_state!r}")
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype("O")
    if kind.kind != "f":
        raise ParameterError(f"parameter `dtype`: expected a floating-point type, found {dtype!r}")
    if svd_solver is None or svd_solver in _SCANPY_ITERATIONS:
        svd_solver = "auto"
    if use_highly_variable is not None:
        hint = 'use mask_var="highly_variable" for True and mask_var=None for False'
        warnings.warn(f"`use_highly_variable` is deprecated: {hint}", FutureWarning, stacklevel=2)
        if mask_var is not _UNSET:
            raise ParameterError(f"parameters `mask_var`, `use_highly_variable`: expected one of them; {hint}")

    adata = None
    if isinstance(data, AnnData):
        adata = start(data, copy)
        matrix = get_matrix(adata, layer=layer, stream=True)
        mask_name, mask = _mask(adata, mask_var, use_highly_variable)
    else:
        if layer is not None or key_added is not None or use_highly_variable or isinstance(mask_var, str) or regress_keys is not None:
            raise ParameterError(
                "parameters `layer`, `key_added`, `regress_keys`, `use_highly_variable` and a named `mask_var`: expected an AnnData as "
                f"`data` beside them, found {type(data).__name__}"
            )
        matrix = as_matrix(data, "data")
        mask = None if mask_var is _UNSET else mask_var
    if mask is not None:
        mask = arrays.as_mask(mask, matrix.shape[1], "mask_var")
        if not mask.any():
            raise DataError("`mask_var`: expected at least one gene selected, found none")

    design = {} if regress_keys is None else design_of(adata, regress_keys, "regress_keys")
    found = arrays.pca(
        matrix,
        n_comps,
        mask=mask,
        zero_center=zero_center,
        scale=scale,
        max_value=max_value,
        **design,
        svd_solver=svd_solver,
        chunked=chunked,
        chunk_size=chunk_size,
        seed=int(random_state),
        threads=threads,
        progress=progress,
    )
    scores = found.scores.astype(kind, copy=False)
    if adata is None:
        if return_info:
            return scores, found.components, found.variance_ratio, found.variance
        return scores

    obsm, varm, uns = _keys.X_PCA, _keys.PCS, _keys.PCA
    if preset == "scanpy-v2":
        obsm = _keys.V2_NAMES[obsm]
    if key_added is not None:
        obsm = varm = uns = key_added
    loadings = np.zeros((adata.n_vars, found.components.shape[0]))
    loadings[slice(None) if mask is None else mask] = found.components.T
    adata.obsm[obsm] = scores
    adata.varm[varm] = loadings
    params: dict[str, Any] = {
        "zero_center": zero_center,
        "use_highly_variable": isinstance(mask_name, str) and mask_name == _keys.HIGHLY_VARIABLE,
        "mask_var": mask_name,
    }
    if layer is not None:
        params["layer"] = layer
    if scale:
        params["scale"] = True
    if max_value is not None:
        params["max_value"] = float(max_value)
    if regress_keys is not None:
        params["regress_keys"] = [regress_keys] if isinstance(regress_keys, str) else list(regress_keys)
    adata.uns[uns] = {"params": params, "variance": found.variance, "variance_ratio": found.variance_ratio}
    record(
        adata,
        "pca",
        n_comps=found.components.shape[0],
        layer=layer,
        zero_center=zero_center,
        scale=scale,
        max_value=max_value,
        regress_keys=params.get("regress_keys"),
        svd_solver=found.solver,
        chunked=chunked,
        chunk_size=chunk_size,
        random_state=int(random_state),
        mask_var=mask_name if mask_name is None or isinstance(mask_name, str) else "array",
        dtype=str(kind),
        key_added=key_added,
        preset=preset,
    )
    return adata if copy else None


def _mask(adata: AnnData, mask_var: Any, use_highly_variable: bool | None) -> tuple[Any, Any]:
    """The mask as given (a name, an array or None) and its values (None for all genes)."""
    if use_highly_variable or (
        use_highly_variable is None and mask_var is _UNSET and _keys.HIGHLY_VARIABLE in adata.var.columns
    ):
        mask_var = _keys.HIGHLY_VARIABLE
    if mask_var is _UNSET or mask_var is None:
        return None, None
    if isinstance(mask_var, str):
        return mask_var, get_var(adata, mask_var).to_numpy()
    return np.asarray(mask_var), mask_var
