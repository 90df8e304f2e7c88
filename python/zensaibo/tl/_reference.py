"""What the mapping of new cells needs of a reference AnnData."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _core, arrays
from .._anndata import get_matrix, get_obs, rows_of
from .._keys import PCA, PCS, X_PCA
from ..errors import DataError, DuplicateNamesError, MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

#: Cells of the reference that are projected anew, to see whether X is what the components were made from.
_CHECKED = 200


class Projection:
    """The principal components of a reference: loadings, and the mean to take off."""

    def __init__(
        self, reference: AnnData, name: str = "adata_ref", hint: str = "was it scaled or normalised since?"
    ) -> None:
        if PCS not in reference.varm or PCA not in reference.uns:
            raise MissingKeyError(
                f"key `{PCS}` not found in {name}.varm, or `{PCA}` not in {name}.uns: run `zs.pp.pca({name})` first"
            )
        self._name, self._hint = name, hint
        self.loadings = np.asarray(reference.varm[PCS], dtype=np.float64)
        #: Genes with a part in the components.
        self.used = (self.loadings != 0).any(axis=1)
        params = reference.uns[PCA].get("params", {})
        layer = params.get("layer")
        self.layer = None if layer in (None, "None") else str(layer)
        self.center = None
        matrix = get_matrix(reference, layer=self.layer, stream=True)
        if params.get("zero_center", True):
            self.center = _core.gene_totals(matrix, True)[0] / reference.n_obs
        self._check(reference, matrix)

    def _check(self, reference: AnnData, matrix: Any) -> None:
        """Whether the components give back the coordinates stored beside them."""
        if X_PCA not in reference.obsm:
            return
        rows = slice(0, min(_CHECKED, reference.n_obs))
        stored = np.asarray(reference.obsm[X_PCA][rows], dtype=np.float64)
        width = min(stored.shape[1], self.loadings.shape[1])
        anew = self.project(rows_of(matrix, rows), threads=1, progress=False)[:, :width]
        off = np.abs(anew - stored[:, :width]).max()
        size = max(np.abs(stored).max(), 1e-12)
        if not off <= 0.02 * size:
            place = "X" if self.layer is None else f"layers[{self.layer!r}]"
            raise DataError(
                f"`{self._name}.{place}`: expected the matrix that the principal components were made from, found one whose "
                f"projection differs from obsm[{X_PCA!r}] by up to {off:.3g} (largest coordinate {size:.3g}); "
                f"{self._hint}"
            )

    def project(self, matrix: Any, *, threads: int | None, progress: Any) -> np.ndarray:
        """Coordinates of cells whose genes are those of the reference, in its order."""
        return arrays.pca_project(matrix, self.loadings.T, center=self.center, threads=threads, progress=progress)


def label_keys(reference: AnnData, obs: str | list[str] | tuple[str, ...] | None) -> list[str]:
    """``obs`` as a list of columns that the reference has."""
    keys = [] if obs is None else [obs] if isinstance(obs, str) else list(obs)
    for key in keys:
        get_obs(reference, key)
    return keys


def write_labels(adata: AnnData, reference: AnnData, keys: list[str], indices: np.ndarray) -> None:
    """Labels by vote of the neighbours, and their confidence."""
    for key in keys:
        votes = arrays.vote(indices, get_obs(reference, key))
        adata.obs[key] = pd.Categorical(votes.labels)
        adata.obs[f"{key}_confidence"] = votes.confidence


def align_genes(adata: AnnData, reference: AnnData, projection: Projection, missing: str) -> tuple[Any, int]:
    """The matrix of ``adata`` with the genes of the reference in its order, and how many of those used are missing.

    Genes that are missing stand at the mean of the reference, so that they move no cell.
    """
    if missing not in ("error", "mean"):
        raise ParameterError(f"parameter `missing`: expected 'error' or 'mean', found {missing!r}")
    for names, which in ((adata.var_names, "adata"), (reference.var_names, "adata_ref")):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise DuplicateNamesError(f"`{which}.var_names`: expected each gene once, found {twice!r} more than once")
    places = adata.var_names.get_indexer(reference.var_names)
    wanted = reference.var_names[projection.used]
    absent = reference.var_names[projection.used & (places < 0)]
    if len(absent) == len(wanted):
        raise DataError(
            f"`adata.var_names`: expected genes of the reference ({', '.join(map(str, wanted[:3]))}, ...), found none of "
            f"its {len(wanted)} ({', '.join(map(str, adata.var_names[:3]))}, ...): other names or another species?"
        )
    if len(absent) and missing == "error":
        listed = ", ".join(map(str, absent[:5])) + (", ..." if len(absent) > 5 else "")
        raise DataError(
            f"`adata.var_names`: expected all {len(wanted)} genes that the reference uses, found {len(absent)} missing "
            f"({listed}); with missing='mean' they are taken at the reference's mean"
        )
    matrix = get_matrix(adata, layer=projection.layer)
    return _columns(matrix, places, projection), len(absent)


def _columns(matrix: Any, places: np.ndarray, projection: Projection) -> Any:
    """Columns ``places`` of ``matrix``; those at -1 become the centre (dense data) or are handled by the projection."""
    there = places >= 0
    if there.all():
        return matrix[:, places]
    # Genes without a place take no part: no loading, no centre.
    projection.loadings = np.where(there[:, None], projection.loadings, 0.0)
    return matrix[:, np.where(there, places, 0)]
