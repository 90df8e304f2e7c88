"""``tl.train_classifier`` and ``tl.annotate``: cell types learnt from one data set, named in another, with how sure."""

from __future__ import annotations

import os
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _anndata
from .._progress import Progress
from .._provenance import record
from ..arrays._logistic import LogisticModel, logistic_regression
from ..errors import DataError, DuplicateNamesError, FormatError, MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


@dataclass(frozen=True)
class Classifier:
    """What `train_classifier` learnt: a logistic model over named genes. Plain arrays; :meth:`save` writes an npz."""

    #: The model.
    model: LogisticModel
    #: Names of its genes, in order.
    genes: np.ndarray

    @property
    def classes(self) -> np.ndarray:
        """Names of the cell types."""
        return self.model.classes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the classifier as a numpy npz file (no pickled objects)."""
        with open(path, "wb") as file:
            np.savez_compressed(
                file,
                genes=self.genes.astype(str),
                classes=self.classes.astype(str),
                coef=self.model.coef,
                intercept=self.model.intercept,
                fit=np.array([self.model.n_iter, self.model.gradient, self.model.converged, self.model.loss]),
            )

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Classifier:
        """Read what :meth:`save` wrote; a `FormatError` names what is missing."""
        try:
            with np.load(path, allow_pickle=False) as stored:
                n_iter, gradient, converged, loss = stored["fit"]
                model = LogisticModel(
                    classes=stored["classes"].astype(object),
                    coef=stored["coef"],
                    intercept=stored["intercept"],
                    n_iter=int(n_iter),
                    gradient=float(gradient),
                    converged=bool(converged),
                    loss=float(loss),
                )
                return cls(model=model, genes=stored["genes"].astype(object))
        except (KeyError, ValueError, TypeError) as error:
            raise FormatError(f"{os.fspath(path)}: expected a classifier saved by zensaibo, found: {error}") from error


def train_classifier(
    adata: AnnData,
    groupby: str,
    *,
    mask_var: Any = None,
    use_raw: bool | None = None,
    layer: str | None = None,
    c: float = 1.0,
    fit_intercept: bool = True,
    max_iter: int = 1000,
    tol: float = 1e-4,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Classifier:
    """Learn to tell cell types apart by L2-penalised multinomial logistic regression.

    Parameters
    ----------
    adata
        Annotated data, log-transformed; `annotate` must be given data transformed alike.
    groupby
        Column of ``obs`` with the cell types; cells without one are left out.
    mask_var
        Genes to learn from: a boolean array, or the name of a boolean column of ``var`` (``"highly_variable"``).
    use_raw, layer
        Where to look; ``raw`` by default if there is one and no `layer` is named.
    c, fit_intercept, max_iter, tol
        See :func:`zensaibo.arrays.logistic_regression`.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    Classifier
        For :func:`annotate`. `adata` is not changed.

    Raises
    ------
    MissingKeyError, TooFewError, DuplicateNamesError, NonFiniteError
        As named.
    """
    _anndata.check_adata(adata)
    column = _anndata.get_obs(adata, groupby)
    matrix, var_names = _matrix(adata, use_raw, layer)
    mask = None
    if mask_var is not None:
        from ._rank_genes_groups import _mask

        mask = _mask(adata, mask_var, matrix.shape[1])
    genes = np.asarray(var_names, dtype=object)[mask if mask is not None else slice(None)]
    repeated = pd.Index(genes).duplicated()
    if repeated.any():
        raise DuplicateNamesError(
            f"gene {genes[repeated][0]!r}: expected unique gene names, found several of this name"
        )
    labels = column.astype(object).where(column.notna(), None)
    labels = labels.map(lambda name: name if name is None else str(name)).to_numpy(dtype=object)
    model = logistic_regression(
        matrix,
        labels,
        mask=mask,
        c=c,
        fit_intercept=fit_intercept,
        max_iter=max_iter,
        tol=tol,
        threads=threads,
        progress=progress,
    )
    return Classifier(model=model, genes=genes)


def annotate(
    adata: AnnData,
    classifier: Classifier,
    *,
    groupby: str | None = None,
    min_confidence: float = 0.0,
    min_genes: float = 0.5,
    unassigned: str = "unassigned",
    use_raw: bool | None = None,
    layer: str | None = None,
    key_added: str = "predicted",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Name the cells of `adata` by a classifier from :func:`train_classifier`.

    Parameters
    ----------
    adata
        Annotated data, transformed as the data that the classifier learnt from.
    classifier
        What was learnt.
    groupby
        Column of clusters: probabilities are averaged over the cells of a cluster, which is named as a whole.
    min_confidence
        Cells (or clusters) whose best probability is lower stay `unassigned`.
    min_genes
        Fraction of the classifier's genes that must be in the data. Those that are not count as zero, with a warning.
    unassigned
        The name for cells that are not sure enough.
    use_raw, layer
        Where to look; ``raw`` by default if there is one and no `layer` is named.
    key_added
        Column of ``obs`` to write, and first part of the other names.
    copy
        Return a changed copy and leave `adata` alone.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    None, or the changed copy. Writes ``obs[key_added]`` (categorical), ``obs[key_added + "_confidence"]`` (f8, the
    probability of the most probable type) and ``obsm[key_added + "_probabilities"]`` (data frame, cells x types).

    Raises
    ------
    MissingKeyError
        Fewer than `min_genes` of the classifier's genes are there: another species or naming, say.
    ParameterError, DuplicateNamesError, NonFiniteError
        As named.

    Notes
    -----
    Probabilities are those of the model, and sure beyond reason on cells of a type that it never saw.
    """
    _anndata.check_adata(adata)
    if not isinstance(classifier, Classifier):
        raise ParameterError(f"parameter `classifier`: expected a Classifier, found {type(classifier).__name__}")
    if not 0 <= min_genes <= 1:
        raise ParameterError(f"parameter `min_genes`: expected a fraction from 0 to 1, found {min_genes}")
    if unassigned in set(classifier.classes):
        raise ParameterError(f"parameter `unassigned`: expected a name that is no cell type, found {unassigned!r}")
    codes = None
    if groupby is not None:
        column = pd.Categorical(_anndata.get_obs(adata, groupby))
        codes = column.codes
        if (codes < 0).any():
            raise DataError(
                f"obs[{groupby!r}]: expected a value for every cell, found {int((codes < 0).sum())} without"
            )
    matrix, var_names = _matrix(adata, use_raw, layer)
    selected = _select(matrix, pd.Index(var_names), classifier, min_genes)
    probabilities = classifier.model.predict_proba(selected, threads=threads, progress=progress)
    if codes is not None:
        sums = np.stack([np.bincount(codes, weights=row) for row in probabilities.T], axis=1)
        probabilities = (sums / np.maximum(np.bincount(codes), 1)[:, None])[codes]
    confidence = probabilities.max(axis=1)
    names = np.asarray(classifier.classes, dtype=object)[probabilities.argmax(axis=1)]
    names[confidence < min_confidence] = unassigned

    adata = _anndata.start(adata, copy)
    types = [str(name) for name in classifier.classes]
    found = set(names)
    adata.obs[key_added] = pd.Categorical(names, categories=[name for name in [*types, unassigned] if name in found])
    adata.obs[f"{key_added}_confidence"] = confidence
    adata.obsm[f"{key_added}_probabilities"] = pd.DataFrame(probabilities, index=adata.obs_names, columns=types)
    record(
        adata,
        "annotate",
        groupby=groupby,
        min_confidence=min_confidence,
        min_genes=min_genes,
        unassigned=unassigned,
        use_raw=use_raw,
        layer=layer,
        key_added=key_added,
        genes=len(classifier.genes),
    )
    return adata if copy else None


def _matrix(adata: AnnData, use_raw: bool | None, layer: str | None) -> tuple[Any, pd.Index]:
    if use_raw is None:
        use_raw = adata.raw is not None and layer is None
    matrix = _anndata.get_matrix(adata, layer=layer, use_raw=use_raw, stream=True)
    return matrix, adata.raw.var_names if use_raw else adata.var_names


def _select(matrix: Any, var_names: pd.Index, classifier: Classifier, min_genes: float) -> Any:
    """The classifier's genes as columns, zeros where the data have none."""
    genes = pd.Index(classifier.genes)
    if genes.equals(var_names):
        return matrix
    doubled = var_names[var_names.duplicated()]
    clash = doubled[doubled.isin(genes)]
    if len(clash):
        raise DuplicateNamesError(f"gene {clash[0]!r}: expected one gene of this name, found several")
    unique = ~var_names.duplicated()
    columns = np.flatnonzero(unique)
    at = genes.get_indexer(var_names[unique])
    columns, at = columns[at >= 0], at[at >= 0]
    if len(at) < min_genes * len(genes) or len(at) == 0:
        absent = genes[~genes.isin(var_names)]
        raise MissingKeyError(
            f"{len(at)} of the {len(genes)} genes of the classifier are in the data, expected at least "
            f"{min_genes:g} of them; the first that is not: {absent[0]!r}"
        )
    if len(at) < len(genes):
        warnings.warn(
            f"{len(genes) - len(at)} of the {len(genes)} genes of the classifier are not in the data and count as zero",
            UserWarning,
            stacklevel=3,
        )
    ones = np.ones(len(at), dtype=np.float32)
    if _anndata.in_file(matrix):
        # In the order of the file, as the product takes them.
        order = np.argsort(columns)
        matrix, at, columns = _anndata.columns_of(matrix, columns[order]), at[order], np.arange(len(columns))
    place = sparse.csr_matrix((ones, (columns, at)), shape=(matrix.shape[1], len(genes)))
    return _anndata.as_matrix(sparse.csr_matrix(matrix) @ place)
