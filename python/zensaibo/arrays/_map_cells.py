"""Dissociated cells and tissue brought together: vectors that both share, weights between them, mixtures."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_dense, as_matrix
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, NonFiniteError, ParameterError, ShapeError
from ._neighbors import Algorithm

#: How much each gene counts in `deconvolve`.
Weighting = Literal["variance", "dampened", "equal"]

#: Cells that each place asks for, so that none is out of reach.
_PER_PLACE = 20


class PrincipalVectors(NamedTuple):
    """What `principal_vectors` returns; n cells, s places, g genes, q vectors."""

    cells: np.ndarray
    """(n, q) float64: the dissociated cells along the vectors."""
    places: np.ndarray
    """(s, q) float64: the places along them."""
    cosines: np.ndarray
    """float64, falling: cosines of all pairs of principal vectors; the first q are above ``min_cosine``."""
    vectors: np.ndarray
    """(g, q) float64: the vectors of the cells' side, of unit length; 0 where a gene was not used."""
    used: np.ndarray
    """(g,) bool: whether the gene varies on both sides."""


class NeighborWeights(NamedTuple):
    """What `neighbor_weights` returns."""

    weights: sparse.csr_matrix
    """(n, m) float32: rows sum to 1, or are empty where no row of the reference lies within a right angle."""
    similarity: np.ndarray
    """(n,) float64: weighted mean of the cosines to the neighbours, 0 for an empty row."""


class TangramMap(NamedTuple):
    """What `tangram` returns."""

    weights: sparse.csr_matrix
    """(n, s) float32: probability of each place for each cell; rows sum to 1."""
    history: dict[str, np.ndarray]
    """(num_epochs + 1,) float64 each, before each epoch and at the end: ``total_loss``, and without their weights ``main_loss`` (mean cosine of the
    genes), ``vg_reg`` (of the places), ``kl_reg`` (divergence of the density), ``entropy_reg`` (sum of P ln P). NaN for terms of weight 0."""
    cosines: np.ndarray
    """(g,) float64: cosine of each gene over the places at the end."""


class WeightedPlaces(NamedTuple):
    """What `weighted_places` returns."""

    places: np.ndarray
    """(n, D) float64: weighted means; NaN for rows without weights."""
    spread: np.ndarray
    """(n,) float64: root of the weighted mean squared distance from there, in the unit of the places."""


class LabelShares(NamedTuple):
    """What `label_shares` returns."""

    labels: Any
    """(n,) `pandas.Categorical`: the label of the largest share (equal ones: the first category); missing for rows without weights."""
    confidence: np.ndarray
    """(n,) float64: its share; 0 without weights."""
    shares: np.ndarray
    """(n, labels) float32: all shares; NaN without weights."""


class Deconvolved(NamedTuple):
    """What `deconvolve` returns."""

    abundance: np.ndarray
    """(s, t) float64, at least 0, in the unit of the signatures; NaN for spots without counts in their genes."""
    residual: np.ndarray
    """(s,) float64: root of the weighted squares left over, as a share of those that were there; 0 to 1."""
    iterations: np.ndarray
    """(s,) uint32: rounds of weighting."""
    converged: np.ndarray
    """(s,) bool: whether the shares came to rest."""


def principal_vectors(
    cells: Any,
    places: Any,
    *,
    n_components: int | None = None,
    min_cosine: float = 0.3,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> PrincipalVectors:
    """Directions in gene space that dissociated cells and tissue share, and both along them.

    Genes are standardised on each side for itself (standard deviation of n); the principal components of each side span a subspace, and
    the principal vectors of the two subspaces are put in the order of their cosines.

    Parameters
    ----------
    cells, places
        (n, g) and (s, g) arrays or sparse matrices over the same genes, in one order.
    n_components
        Components of each side, at most the genes that vary and the cells less one of each side; ``None``: 50, or as many as there can
        be.
    min_cosine
        Vectors of a cosine above this are kept, 0 to below 1.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    `PrincipalVectors`.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Other genes on one side, NaN or infinity, fewer than two genes that vary on both sides.
    NotTrustworthyError
        No vector above ``min_cosine``.

    Notes
    -----
    Cost: two principal component analyses; 8 bytes per cell and vector.

    References
    ----------
    Mourragui et al., PRECISE, Bioinformatics 35 (2019); Abdelaal et al., SpaGE, Nucleic Acids Research 48 (2020).
    """
    options = to_json(n_components=n_components, min_cosine=min_cosine)
    with reporting(progress) as report:
        found = _core.principal_vectors(as_matrix(cells, "cells"), as_matrix(places, "places"), options, threads, report)
    return PrincipalVectors(**found)


def neighbor_weights(
    reference: Any,
    queries: Any,
    *,
    n_neighbors: int = 50,
    algorithm: Algorithm = "auto",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> NeighborWeights:
    """Weights of the nearest rows of a reference for each row of other data, as SpaGE has them.

    Of the nearest by the cosine distance d those with d < 1 are kept, m of them; each weighs ``(1 - d / d.sum()) / (m - 1)``. One alone
    weighs 1.

    Parameters
    ----------
    reference, queries
        (m, q) and (n, q) arrays, as of `principal_vectors`.
    n_neighbors
        Nearest rows, at least 1; all of them where there are fewer.
    algorithm
        ``"exact"``, ``"approximate"`` or ``"auto"``, as `knn_query` takes it.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    `NeighborWeights`.

    Raises
    ------
    ParameterError, DataError
        An option out of range; different numbers of columns; NaN or infinity.

    Notes
    -----
    Cost: that of `knn_query`; 8 bytes per neighbour.
    """
    reference, queries = as_dense(reference, "reference", np.float64), as_dense(queries, "queries", np.float64)
    options = to_json(n_neighbors=n_neighbors, algorithm=algorithm)
    with reporting(progress) as report:
        (indptr, indices), values, similarity = _core.neighbor_weights(reference, queries, options, threads, report)
    return NeighborWeights(_csr(indptr, indices, values, (len(queries), len(reference))), similarity)


def map_candidates(
    cells: Any,
    places: Any,
    *,
    n_candidates: int = 200,
    per_place: int = _PER_PLACE,
    algorithm: Algorithm = "auto",
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> sparse.csr_matrix:
    """Where each cell may go: the places nearest to it, and those to which it is among the nearest.

    Parameters
    ----------
    cells, places
        (n, q) and (s, q) arrays, as of `principal_vectors`.
    n_candidates
        Nearest places of each cell by the cosine distance; all pairs where there are not more places.
    per_place
        Nearest cells of each place, so that no place is out of reach.
    algorithm
        ``"exact"``, ``"approximate"`` or ``"auto"``, as `knn_query` takes it.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    scipy.sparse.csr_matrix
        (n, s) bool: the pairs.

    Raises
    ------
    ParameterError, DataError, LimitError
        An option out of range; different numbers of columns; NaN or infinity; 2^32 pairs or more.

    Notes
    -----
    Cost: that of two `knn_query`; 5 bytes per pair here.
    """
    cells, places = as_dense(cells, "cells", np.float64), as_dense(places, "places", np.float64)
    options = to_json(algorithm=algorithm)
    with reporting(progress) as report:
        indptr, indices = _core.map_candidates(cells, places, n_candidates, per_place, options, threads, report)
    return _csr(indptr, indices, np.ones(len(indices), dtype=bool), (len(cells), len(places)))


def tangram(
    cells: Any,
    places: Any,
    *,
    candidates: Any = None,
    density: Any = None,
    masses: Any = None,
    lambda_g1: float = 1.0,
    lambda_g2: float = 0.0,
    lambda_d: float | None = None,
    lambda_r: float = 0.0,
    learning_rate: float = 0.1,
    num_epochs: int = 1000,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> TangramMap:
    """A distribution over places for each cell, such that the tissue they make together looks as the one seen (Tangram).

    Parameters
    ----------
    cells, places
        (n, g) and (s, g): expression, at least 0, of the same genes; arrays or sparse matrices. Every gene must be expressed on both
        sides.
    candidates
        (n, s) sparse matrix whose stored entries are the pairs that are allowed (see `map_candidates`); ``None``: all pairs.
    density
        (s,) how the cells should lie; sums to 1. ``None``: anyhow.
    masses
        (n,) share of each row of ``cells`` in all cells, where rows are clusters; sums to 1. ``None``: 1 / n.
    lambda_g1, lambda_g2
        Weights of the mean cosine of genes over the places, above 0, and of places over the genes.
    lambda_d
        Weight of the divergence from ``density``; ``None``: 1 with a density, 0 without.
    lambda_r
        Weight of the entropy of the cells' distributions. Larger gives each cell fewer places.
    learning_rate, num_epochs
        Step and number of steps of Adam.
    seed
        Seed of the start: standard normal numbers of a counter-based stream per cell, other than numpy's of the same seed.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable. It counts epochs.

    Returns
    -------
    `TangramMap`.

    Raises
    ------
    ParameterError
        An option out of range, ``lambda_d`` without a density.
    DataError
        Sides that do not fit, NaN, negative values, genes without any expression, densities that do not sum to 1, a cell without
        candidates.
    LimitError
        2^32 pairs or more.

    Notes
    -----
    Gradients are analytic. Per epoch 4 multiply-adds per pair and gene; memory 4 (n + 2 s) g bytes and 32 per pair. Single precision.

    References
    ----------
    Biancalani et al., Nature Methods 18 (2021).
    """
    cells, places = as_dense(cells, "cells"), as_dense(places, "places")
    if cells.shape[1] != places.shape[1]:
        raise ShapeError(f"`places`: expected {cells.shape[1]} genes, those of the cells, found {places.shape[1]}")
    shape = (len(cells), len(places))
    pairs = None
    if candidates is not None:
        allowed = sparse.csr_matrix(candidates)
        if allowed.shape != shape:
            raise ShapeError(f"`candidates`: expected shape {shape}, found {allowed.shape}")
        if not allowed.has_sorted_indices:
            allowed = allowed.sorted_indices()
        pairs = (allowed.indptr.astype(np.uint64), allowed.indices.astype(np.uint32))
    density, masses = (None if x is None else np.ascontiguousarray(x, dtype=np.float64).ravel() for x in (density, masses))
    options = to_json(
        lambda_g1=lambda_g1, lambda_g2=lambda_g2, lambda_d=lambda_d, lambda_r=lambda_r, learning_rate=learning_rate,
        num_epochs=num_epochs, seed=seed,
    )  # fmt: skip
    with reporting(progress) as report:
        found = _core.tangram(cells, places, options, pairs, density, masses, threads, report)
    indptr, indices = found["pairs"]
    weights = _csr(indptr, indices, found["weights"], shape)
    history = found["history"]
    by_density = 0.0 if density is None else 1.0 if lambda_d is None else lambda_d
    terms = {"main_loss": lambda_g1, "vg_reg": lambda_g2, "kl_reg": by_density, "entropy_reg": -lambda_r}
    for name, weight in terms.items():
        history[name] = history[name] / weight if weight else np.full_like(history[name], np.nan)
    return TangramMap(weights, history, found["cosines"])


def weighted_rows(
    weights: Any,
    matrix: Any,
    *,
    empty: float = float("nan"),
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """Rows of a matrix summed under weights: ``weights @ matrix``, in parallel and with sums in double precision.

    Parameters
    ----------
    weights
        (n, m) sparse matrix, such as of `neighbor_weights`.
    matrix
        (m, g) array or sparse matrix.
    empty
        What rows without weights become.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    numpy.ndarray
        (n, g) float32.

    Raises
    ------
    ShapeError
        Sides that do not fit.
    """
    with reporting(progress) as report:
        return _core.weighted_rows(_parts(weights), as_matrix(matrix, "matrix"), empty, threads, report)


def weighted_places(
    weights: Any, places: Any, *, threads: int | None = None, progress: bool | Progress | None = None
) -> WeightedPlaces:
    """Where each row of weights lies in the mean, and how far its parts are from there.

    Parameters
    ----------
    weights
        (n, s) sparse matrix.
    places
        (s, D) coordinates.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    `WeightedPlaces`.

    Raises
    ------
    ShapeError, NonFiniteError
        Sides that do not fit; NaN or infinity.
    """
    places = as_dense(places, "places", np.float64)
    with reporting(progress) as report:
        return WeightedPlaces(*_core.weighted_places(_parts(weights), places, threads, report))


def label_shares(
    weights: Any,
    labels: Any,
    *,
    masses: Any = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> LabelShares:
    """Which labels the weights of each row fall on.

    Parameters
    ----------
    weights
        (n, m) sparse matrix.
    labels
        (m,) a label for each column of the weights.
    masses
        (m,) numbers that multiply the weights of the columns; ``None``: 1.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    `LabelShares`.

    Raises
    ------
    ShapeError, DataError
        Sides that do not fit; columns without a label.
    """
    import pandas as pd

    codes, categories = codes_of(labels, "labels")
    masses = None if masses is None else np.ascontiguousarray(masses, dtype=np.float64)
    with reporting(progress) as report:
        shares = _core.label_shares(_parts(weights), codes, len(categories), masses, threads, report)
    known = ~np.isnan(shares[:, 0])
    filled = np.where(known[:, None], shares, 0.0)
    best = np.where(known, filled.argmax(axis=1), -1)
    confidence = np.asarray(filled.max(axis=1), dtype=np.float64)
    return LabelShares(pd.Categorical.from_codes(best, categories=categories), confidence, shares)


def nnls(signatures: Any, values: Any, *, weights: Any = None, threads: int | None = None) -> np.ndarray:
    """Least squares of what is not negative: for each row b of ``values`` the x >= 0 that makes ``|b - signatures.T @ x|`` least.

    Parameters
    ----------
    signatures
        (t, g) array.
    values
        (s, g) or (g,) array.
    weights
        (g,) weights of the squares, at least 0; ``None``: 1.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.

    Returns
    -------
    numpy.ndarray
        (s, t) or (t,) float64: exact up to rounding. A signature that is zero, or a mixture of others in use, gets 0.

    Raises
    ------
    ShapeError, NonFiniteError
        Sides that do not fit; NaN or infinity.

    References
    ----------
    Lawson and Hanson, Solving Least Squares Problems (1974).
    """
    signatures = as_dense(signatures, "signatures", np.float64)
    values = np.asarray(values, dtype=np.float64)
    single = values.ndim == 1
    values = as_dense(values[None] if single else values, "values", np.float64)
    g = signatures.shape[1]
    if values.shape[1] != g:
        raise ShapeError(f"`values`: expected {g} columns, those of the signatures, found {values.shape[1]}")
    scaled = signatures
    if weights is not None:
        weights = np.asarray(weights, dtype=np.float64)
        if weights.shape != (g,):
            raise ShapeError(f"`weights`: expected shape ({g},), found {weights.shape}")
        if not (weights >= 0).all():
            raise DataError("`weights`: expected numbers of at least 0, found others")
        scaled = signatures * weights
    found = _core.nnls(scaled @ signatures.T, np.ascontiguousarray(values @ scaled.T), threads)
    return found[0] if single else found


def deconvolve(
    spots: Any,
    mean: Any,
    variance: Any,
    *,
    weighting: Weighting = "variance",
    dampening: float = 10000.0,
    max_iterations: int = 30,
    tolerance: float = 1e-4,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Deconvolved:
    """Spots as mixtures of types, by weighted least squares of what is not negative.

    Parameters
    ----------
    spots
        (s, g) counts; array or sparse matrix.
    mean, variance
        (t, g): mean and variance of each gene over the cells of each type.
    weighting
        ``"variance"``: by 1 / variance of a mixture of such cells, found in rounds (as in MuSiC); ``"dampened"``: by 1 / squared expected
        value, in rounds (as in SpatialDWLS); ``"equal"``: all genes alike.
    dampening
        Largest weight over the smallest. Not used by ``"equal"``.
    max_iterations, tolerance
        Rounds at most, and the change of a share at which they stop. Not used by ``"equal"``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    `Deconvolved`.

    Raises
    ------
    ParameterError, DataError
        An option out of range; sides that do not fit; negative values, NaN; a type without any expression.

    Notes
    -----
    Cost per spot and round g t^2 / 2 multiply-adds; 8 s t bytes.

    References
    ----------
    Tsoucas et al., Nature Communications 10 (2019); Wang et al., MuSiC, Nature Communications 10 (2019); Dong and Yuan, Genome Biology 22 (2021).
    """
    mean, variance = as_dense(mean, "mean", np.float64), as_dense(variance, "variance", np.float64)
    if mean.shape != variance.shape:
        raise ShapeError(f"`variance`: expected shape {mean.shape}, that of `mean`, found {variance.shape}")
    options = to_json(weighting=weighting, dampening=dampening, max_iterations=max_iterations, tolerance=tolerance)
    with reporting(progress) as report:
        return Deconvolved(*_core.deconvolve(as_matrix(spots, "spots"), mean, variance, options, threads, report))


def _csr(indptr: np.ndarray, indices: np.ndarray, values: np.ndarray, shape: tuple[int, int]) -> sparse.csr_matrix:
    kind = np.int32 if max(len(values), shape[1]) < 2**31 else np.int64
    found = sparse.csr_matrix((values, indices.astype(kind), indptr.astype(kind)), shape=shape)
    found.has_sorted_indices = True
    return found


def _parts(weights: Any) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """A sparse matrix of weights as the extension takes it."""
    if not sparse.issparse(weights):
        raise ParameterError(f"parameter `weights`: expected a sparse matrix, found {type(weights).__name__}")
    rows = weights.tocsr()
    if not rows.has_canonical_format:
        rows = rows.copy()
        rows.sum_duplicates()
    values = rows.data.astype(np.float32)
    if not np.isfinite(values).all() or (values < 0).any():
        raise NonFiniteError("`weights`: expected finite numbers of at least 0, found others")
    return rows.shape[1], rows.indptr.astype(np.uint64), rows.indices.astype(np.uint32), values
