"""What cells share with their surroundings: niches, genes in space, pairs of values, comparison of samples."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import comb
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._corrections import corrected
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, NonFiniteError, ParameterError, ShapeError, TooFewError
from ._sketch import _seed, _whole
from ._spatial_neighbors import libraries_of, places_of
from ._spatial_statistics import _graph, _labels

_LOCALS = ("cosine", "pearson", "spearman", "jaccard", "product", "norm_product", "morans", "lee")

#: The sets of functions of `spatially_variable_genes`, in the order of its columns.
PATTERNS = ("linear", *(f"gaussian {i}" for i in range(1, 6)), *(f"cosine {i}" for i in range(1, 6)))


class GaussianMixture(NamedTuple):
    """What `gaussian_mixture` returns; components stand by their number of rows, the largest first."""

    labels: np.ndarray
    """(rows,) uint32: the most likely component."""
    probability: np.ndarray
    """(rows,) float64: its probability."""
    weights: np.ndarray
    """(components,) float64: shares."""
    means: np.ndarray
    """(components, columns) float64."""
    likelihood: float
    """Mean log-likelihood of a row."""
    n_iter: int
    """Steps of the start that stayed."""
    converged: bool
    """Whether it ended before ``max_iter``."""


class SpatiallyVariable(NamedTuple):
    """What `spatially_variable_genes` returns, one entry per column of X; NaN for columns without variance."""

    pval: np.ndarray
    """float64: p value, joined over the sets of functions; 0 where it is too small for a number."""
    ln_pval: np.ndarray
    """float64: its natural logarithm, which tells those apart."""
    share: np.ndarray
    """float64: largest share of the variance that a set explains, 0 to 1."""
    pattern: np.ndarray
    """text: the set that does, one of ``"linear"``, ``"gaussian 1"`` (narrow) to ``"gaussian 5"`` (wide), ``"cosine 1"`` (short
    waves) to ``"cosine 5"`` (long); empty for columns without variance."""
    pval_patterns: np.ndarray
    """(columns, 11) float64: p values of the sets, in that order."""


class Bivariate(NamedTuple):
    """What `bivariate` returns, for p pairs."""

    local: np.ndarray
    """(n, p) float64: the score of each cell; 0 where it is not defined, such as without neighbours."""
    categories: np.ndarray
    """(n, p) int8: 1 where the neighbours are above the mean in both values, -1 where above in one and below in the other, else 0."""
    morans: np.ndarray
    """(p,) float64: Moran's R over all cells; NaN where a value has no variance."""
    lee: np.ndarray
    """(p,) float64: Lee's L over all cells; NaN likewise."""
    local_pvals: np.ndarray | None
    """(n, p) float64: share of permutations at least as extreme, at least 1 / (n_perms + 1); None without permutations."""
    morans_pvals: np.ndarray | None
    """(p,) float64, likewise."""
    lee_pvals: np.ndarray | None
    """(p,) float64, likewise."""


class SampleComparison(NamedTuple):
    """What `compare_samples` returns, one entry per feature; NaN where a group has too few samples with a value."""

    mean_a: np.ndarray
    """float64: mean over the samples of the first group."""
    mean_b: np.ndarray
    """float64: that of the second."""
    difference: np.ndarray
    """float64: second less first."""
    t: np.ndarray
    """float64: Welch's t of the difference; NaN without variance within the groups."""
    pval: np.ndarray
    """float64: share of the ways to deal the groups out to the samples whose t is at least as far from 0."""
    pval_adj: np.ndarray
    """float64: corrected for the number of features (Benjamini and Hochberg)."""
    n_a: np.ndarray
    """int64: samples of the first group with a value."""
    n_b: np.ndarray
    """int64: of the second."""
    least: np.ndarray
    """float64: the smallest p value that so many samples allow."""


def gaussian_mixture(
    X: Any,
    *,
    n_components: int = 10,
    n_init: int = 1,
    max_iter: int = 100,
    tol: float = 1e-3,
    reg_covar: float = 1e-6,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> GaussianMixture:
    """Shares rows out to normal distributions with full covariances, by expectation and maximisation.

    Parameters
    ----------
    X
        (rows, columns) numbers, finite.
    n_components
        Distributions, from 1 to the number of rows.
    n_init
        Starts (centres of k-means), at least 1; the one of the largest likelihood stays.
    max_iter
        Steps of a start at most, at least 1.
    tol
        A start ends once the mean log-likelihood of a row gains less than this in a step.
    reg_covar
        Added to every variance, above 0, in squares of the unit of the columns.
    seed
        Seed of the starts; each has random numbers of its own.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    GaussianMixture
        Labels, probabilities, weights, means.

    Raises
    ------
    ParameterError
        An option out of range, or more components than rows.
    DataError
        NaN or infinity, or no rows.
    NotConvergedError
        Columns so large that no covariance holds them beside ``reg_covar``.

    Notes
    -----
    Time: starts x steps x rows x components x columns^2. Memory: 8 bytes per value, and 40 components x columns^2 per thread.

    References
    ----------
    Dempster, Laird and Rubin, J. R. Stat. Soc. B 39 (1977).
    """
    values = np.asarray(X)
    if values.ndim != 2 or values.dtype.kind not in "biuf":
        raise ShapeError(f"`X`: expected rows x columns of numbers, found shape {values.shape}, dtype {values.dtype}")
    options = to_json(
        n_components=_whole("n_components", n_components), n_init=_whole("n_init", n_init), max_iter=_whole("max_iter", max_iter),
        tol=float(tol), reg_covar=float(reg_covar), seed=_seed(seed),
    )  # fmt: skip
    with reporting(progress) as callback:
        found = _core.gaussian_mixture(np.ascontiguousarray(values, np.float64), options, threads, callback)
    return GaussianMixture(**found)


def _columns_of(X: Any, n: int, name: str = "X") -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A matrix by columns, in double precision."""
    matrix = as_matrix(X, name)
    if matrix.shape[0] != n:
        raise ShapeError(f"`{name}`: expected {n} rows, one per cell, found {matrix.shape[0]}")
    columns = sparse.csc_matrix(matrix)
    columns.sort_indices()
    if not np.isfinite(columns.data).all():
        raise NonFiniteError(f"`{name}`: expected finite values, found NaN or infinity")
    return (
        np.ascontiguousarray(columns.indptr, dtype=np.int64),
        np.ascontiguousarray(columns.indices, dtype=np.int32),
        np.ascontiguousarray(columns.data, dtype=np.float64),
    )


def spatially_variable_genes(
    coordinates: Any,
    X: Any,
    *,
    libraries: Any = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> SpatiallyVariable:
    """Tests every column for being a function of place (SPARK-X): eleven sets of functions of the coordinates, joined.

    For each set, n R^2 of the regression of a column on its functions (one for each axis) is held against chi-squared. The sets:
    the coordinate; bells and waves of five widths each, which are quantiles of the distance to the middle. Counts need no
    normalisation.

    Parameters
    ----------
    coordinates
        (cells, 2 or 3) array, finite; any unit.
    X
        (cells, columns) matrix, scipy sparse or numpy. Sparse ones are never made dense.
    libraries
        (cells,) labels of libraries, each of at least five cells: functions and means are taken within each, statistics add up. A
        difference between libraries is no pattern. ``None``: one library.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    SpatiallyVariable
        p values, the share of the variance explained, and the set that explains most.

    Raises
    ------
    DataError
        NaN or infinity, other than 2 or 3 coordinates, a library of fewer than five cells or with all of them at one place.

    Notes
    -----
    Patterns that are no sum of functions of one axis each, such as thin rings, are missed;
    Moran's I (`spatial_autocorr`) sees them. Nothing is random. Time: 11 products per axis for each stored value. Memory: 88 bytes per cell and axis beside a copy of X by
    columns.

    References
    ----------
    Zhu, Sun and Zhou, Genome Biology 22:184 (2021); Liu and Xie, JASA 115 (2020), for the combination of p values.
    """
    places = places_of(coordinates)
    codes, names = libraries_of(libraries, len(places))
    columns = _columns_of(X, len(places))
    with reporting(progress) as callback:
        joined, of_sets, share, best = _core.spatially_variable(places, codes, len(names), columns, threads, callback)
    pattern = np.array(PATTERNS, dtype=object)[best]
    pattern[np.isnan(share)] = ""
    return SpatiallyVariable(np.exp(joined), joined, share, pattern, np.exp(of_sets))


def bivariate(
    graph: Any,
    X: Any,
    pairs: Any,
    *,
    local_name: str = "cosine",
    n_perms: int | None = None,
    mask_negatives: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Bivariate:
    """Scores of two values in space, cell by cell and over the tissue: where do neighbours have both?

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of weights of at least 0; a cell counts as its own neighbour only where the diagonal says so.
    X
        (n, columns) matrix, scipy sparse or numpy.
    pairs
        (p, 2) places of columns.
    local_name
        Over the neighbours of a cell, by weight: ``"cosine"`` of the two values; ``"pearson"``; ``"spearman"`` (ranks over all
        cells); ``"jaccard"`` of values above 0; ``"product"`` of the weighted sums; ``"norm_product"``, each sum divided by its largest absolute
        value; ``"morans"``, each standardised value of the cell times the other's sum; ``"lee"``, the product of the sums of standardised
        values over the mean square of the sums of weights.
    n_perms
        Also move the cells around so many times, at least 1, both values together.
    mask_negatives
        Count permutations at least as large instead of at least as far from 0.
    seed
        Seed of the permutations; each has random numbers of its own and is the same for all pairs.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    Bivariate
        Local scores, categories, Moran's R and Lee's L.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Fewer than three cells, no edges, negative weights, NaN or infinity, pairs or shapes that do not fit.

    Notes
    -----
    Permutations take both genes away from their places, so that small p values say that
    space matters to the pair; a gene with a pattern of its own makes them small beside any other.
    Time: pairs x edges, ``n_perms`` times that beside. Memory: 9 bytes per pair and cell, 8 more with permutations, 100 bytes per
    cell and thread.

    References
    ----------
    Lee, J. Geogr. Syst. 3 (2001); Wartenberg, Geogr. Anal. 17 (1985); Li et al., Nat. Commun. 14 (2023); Dimitrov et al., Nat. Cell
    Biol. 26 (2024).
    """
    if local_name not in _LOCALS:
        raise ParameterError(f"parameter `local_name`: expected one of {', '.join(_LOCALS)}, found {local_name!r}")
    edges = _graph(graph)
    columns = _columns_of(X, len(edges[0]) - 1)
    places = np.asarray(pairs)
    if places.ndim != 2 or places.shape[1] != 2 or places.dtype.kind not in "iu" or not len(places):
        raise ShapeError(f"`pairs`: expected p x 2 places of columns, found shape {places.shape}, dtype {places.dtype}")
    if places.min() < 0 or places.max() >= len(columns[0]) - 1:
        raise DataError(f"`pairs`: expected places from 0 to {len(columns[0]) - 2}, found {places.min()} to {places.max()}")
    options = to_json(
        local_name=local_name, n_perms=None if n_perms is None else _whole("n_perms", n_perms), mask_negatives=bool(mask_negatives),
        seed=_seed(seed),
    )  # fmt: skip
    with reporting(progress) as callback:
        found = _core.bivariate(edges, columns, places.tolist(), options, threads, callback)
    pvals = found.get("local_pvals")
    return Bivariate(
        found["local"].T, found["categories"].T, found["morans"], found["lee"], None if pvals is None else pvals.T,
        found.get("morans_pvals"), found.get("lee_pvals"),
    )  # fmt: skip


def _hops(graph: Any, n_hops: int, threads: int | None) -> list[sparse.csr_matrix]:
    """For each number of steps from 1, who is so many steps away and no fewer; weights are ones beyond the first, where they are those
    of the graph. Nobody is their own neighbour."""
    rows = sparse.csr_matrix(graph, dtype=np.float64, copy=True)
    rows.setdiag(0)
    rows.eliminate_zeros()
    if n_hops == 1:
        return [rows]
    indptr, indices, _ = _graph(rows)
    start, to, ring = _core.spatial_rings((indptr, indices, np.ones(len(indices))), n_hops, threads, None)
    n = rows.shape[0]
    of = sparse.csr_matrix((ring.astype(np.float64), to, start), shape=(n, n))
    layers = [rows]
    for hop in range(2, n_hops + 1):
        layer = sparse.csr_matrix(((of.data == hop).astype(np.float64), of.indices, of.indptr), shape=(n, n), copy=True)
        layer.eliminate_zeros()
        layers.append(layer)
    return layers


def _by_row(graph: sparse.csr_matrix) -> sparse.csr_matrix:
    """Rows that sum to 1; rows without edges stay empty."""
    sums = np.asarray(graph.sum(axis=1)).ravel()
    return sparse.csr_matrix(sparse.diags(np.divide(1.0, sums, out=np.zeros_like(sums), where=sums != 0)) @ graph)


def _n_hops(distance: Any) -> int:
    hops = _whole("distance", distance, 1000)
    if hops < 1:
        raise ParameterError("parameter `distance`: expected at least 1, found 0")
    return hops


def neighborhood_profile(
    graph: Any,
    labels: Any,
    *,
    distance: int = 1,
    n_hop_weights: Sequence[float] | None = None,
    abs_nhood: bool = False,
    threads: int | None = None,
) -> tuple[np.ndarray, pd.Index]:
    """Which labels surround each cell: shares (or numbers) of each label among its neighbours.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph; every stored edge but those of cells with themselves counts once.
    labels
        (n,) labels, one for every cell.
    distance
        Steps along the graph: profiles of those 1, 2, ... steps away (and no fewer) are added up.
    n_hop_weights
        Weights of these profiles; the last stands for those that are missing. ``None``: 1 each. Shares are divided by their sum.
    abs_nhood
        Numbers instead of shares.
    threads
        Number of threads; ``None`` for all cores. Without effect on the result.

    Returns
    -------
    tuple
        (n, k) float64 array, zeros for cells without neighbours, and the labels in its order.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Labels that do not fit or are missing.

    Notes
    -----
    Nothing is random. Time and memory in proportion to the pairs of cells within ``distance`` steps. squidpy divides by the largest
    number of neighbours instead of each cell's own, and counts those 1 step away again among those 2 steps away.
    """
    hops = _n_hops(distance)
    codes, categories = _labels(labels, sparse.csr_matrix(graph).shape[0])
    weights = [1.0] * hops if n_hop_weights is None else [float(weight) for weight in n_hop_weights]
    if not weights or not all(np.isfinite(weights)) or min(weights) < 0 or sum(weights) == 0:
        raise ParameterError(f"parameter `n_hop_weights`: expected numbers of at least 0, not all 0, found {n_hop_weights!r}")
    weights = (weights + [weights[-1]] * hops)[:hops]
    n = len(codes)
    members = sparse.csr_matrix((np.ones(n), codes.astype(np.int64), np.arange(n + 1)), shape=(n, len(categories)))
    profile = np.zeros((n, len(categories)))
    for weight, layer in zip(weights, _hops(graph, hops, threads), strict=True):
        ones = sparse.csr_matrix((np.ones_like(layer.data), layer.indices, layer.indptr), shape=layer.shape)
        profile += weight * ((ones if abs_nhood else _by_row(ones)) @ members).toarray()
    return (profile if abs_nhood else profile / sum(weights)), categories


def aggregate_neighbors(
    graph: Any, X: Any, *, distance: int = 3, aggregation: str = "mean", threads: int | None = None
) -> np.ndarray | sparse.csr_matrix:
    """The values of each cell beside those of the cells 1, 2, ... steps away from it, aggregated.

    Parameters
    ----------
    graph
        (n, n) scipy sparse graph of weights.
    X
        (n, columns) matrix, scipy sparse or numpy.
    distance
        Steps along the graph, at least 1.
    aggregation
        ``"mean"`` or ``"variance"`` of the values of those so many steps away (and no fewer), by weight; zeros where there are none.
    threads
        Number of threads; ``None`` for all cores. Without effect on the result.

    Returns
    -------
    array or csr_matrix
        (n, columns x (distance + 1)) float64, sparse for sparse X and means: the values, then one block for each step.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Shapes that do not fit, NaN or infinity.

    Notes
    -----
    Nothing is random. Time: columns x pairs of cells within ``distance`` steps; memory that of the result beside.

    References
    ----------
    Varrone et al., Nature Genetics 56 (2024), CellCharter.
    """
    hops = _n_hops(distance)
    if aggregation not in ("mean", "variance"):
        raise ParameterError(f"parameter `aggregation`: expected 'mean' or 'variance', found {aggregation!r}")
    n = _graph(graph)[0].shape[0] - 1
    matrix = as_matrix(X, "X")
    if matrix.shape[0] != n:
        raise ShapeError(f"`X`: expected {n} rows, one per cell of the graph, found {matrix.shape[0]}")
    if not np.isfinite(matrix.data if sparse.issparse(matrix) else matrix).all():
        raise NonFiniteError("`X`: expected finite values, found NaN or infinity")
    matrix = matrix.astype(np.float64)
    blocks: list[Any] = [matrix]
    for layer in _hops(graph, hops, threads):
        rows = _by_row(layer)
        mean = rows @ matrix
        if aggregation == "variance":
            square = rows @ (matrix.multiply(matrix) if sparse.issparse(matrix) else matrix * matrix)
            dense = [part.toarray() if sparse.issparse(part) else np.asarray(part) for part in (mean, square)]
            mean = np.maximum(dense[1] - dense[0] ** 2, 0.0)
        blocks.append(mean)
    if all(sparse.issparse(block) for block in blocks):
        return sparse.csr_matrix(sparse.hstack(blocks, format="csr"))
    return np.hstack([block.toarray() if sparse.issparse(block) else np.asarray(block) for block in blocks])


def compare_samples(values: Any, groups: Any, *, n_perms: int = 10_000, seed: int = 0) -> SampleComparison:
    """Compares two groups of samples, feature by feature: the sample is the unit, whatever its number of cells.

    p values come from dealing the groups out to the samples in all ways where these are at most ``n_perms``, else in random ones.

    Parameters
    ----------
    values
        (samples, features) numbers; NaN where a sample has no value, which is then left out for that feature.
    groups
        (samples,) labels, of exactly two kinds; the second less the first is the difference.
    n_perms
        Random ways at most, at least 1; each feature's own p value counts one more.
    seed
        Seed of the random ways.

    Returns
    -------
    SampleComparison
        Means, difference, Welch's t, p values and the smallest one possible.

    Raises
    ------
    ParameterError
        An option out of range.
    DataError
        Other than two groups, fewer than two samples in one, infinity.

    Notes
    -----
    With three samples against three, no p value can be below 0.1: ``least`` says so. Time: ways x samples x features, on one
    thread.
    """
    table = np.asarray(values, dtype=np.float64)
    if table.ndim != 2 or not table.size:
        raise ShapeError(f"`values`: expected samples x features, found shape {table.shape}")
    if np.isinf(table).any():
        raise NonFiniteError("`values`: expected finite values or NaN, found infinity")
    codes, categories = _labels(groups, len(table), "groups")
    if len(categories) != 2:
        raise DataError(f"`groups`: expected two groups, found {len(categories)}: {', '.join(map(str, categories[:6]))}")
    sizes = np.bincount(codes, minlength=2)
    if sizes.min() < 2:
        name = categories[int(sizes.argmin())]
        raise TooFewError(f"`groups`: expected at least two samples in each group, found {sizes.min()} in {name!r}")
    n_perms = _whole("n_perms", n_perms, 10**9)
    if n_perms == 0:
        raise ParameterError("parameter `n_perms`: expected at least 1, found 0")
    second = codes == 1
    count, ways = len(codes), comb(len(codes), int(sizes[1]))
    random = ways > n_perms
    known = ~np.isnan(table)
    filled = np.where(known, table, 0.0)
    # Off their mean, so that squares keep their digits.
    with np.errstate(invalid="ignore", divide="ignore"):
        filled = np.where(known, filled - filled.sum(axis=0) / known.sum(axis=0), 0.0)

    def welch(chosen: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """For ways x samples: difference, t and numbers, ways x features."""
        sides = []
        for side in (~chosen, chosen):
            part = side.astype(np.float64)
            number, total, square = part @ known, part @ filled, part @ filled**2
            with np.errstate(invalid="ignore", divide="ignore"):
                mean = total / number
                spread = np.maximum(square - total * mean, 0.0) / (number - 1) / number
            sides.append((number, mean, np.where(number >= 2, spread, np.nan)))
        (first, mean_a, spread_a), (other, mean_b, spread_b) = sides
        difference, error = mean_b - mean_a, np.sqrt(spread_a + spread_b)
        with np.errstate(invalid="ignore", divide="ignore"):
            t = np.where(error > 1e-12 * np.abs(difference), difference / error, np.nan)
        return difference, t, first, other

    difference, t, n_a, n_b = (part[0] for part in welch(second[None]))

    def strength(difference: np.ndarray, t: np.ndarray) -> np.ndarray:
        # Where no group varies, any difference is as far as can be, and none is none.
        flat = np.where(np.abs(difference) > 0, np.inf, 0.0)
        return np.where(np.isnan(difference), np.nan, np.where(np.isnan(t), flat, np.abs(t)))

    observed = strength(difference, t)
    enough = (n_a >= 2) & (n_b >= 2)
    at_least = np.zeros(table.shape[1], dtype=np.int64)
    judged = np.zeros(table.shape[1], dtype=np.int64)
    for batch in _ways(count, int(sizes[1]), n_perms, random, seed):
        difference_p, t_p, a, b = welch(batch)
        usable = (a >= 2) & (b >= 2)
        far = strength(difference_p, t_p) >= observed * (1 - 1e-12)
        at_least += (usable & far).sum(axis=0)
        judged += usable.sum(axis=0)
    extra = 1 if random else 0
    with np.errstate(invalid="ignore", divide="ignore"):
        pval = np.where(enough, (at_least + extra) / (judged + extra), np.nan)
        # A way and its mirror are equally far where the groups are equally large.
        mirrored = 2 if sizes[0] == sizes[1] and not random else 1
        least = np.where(enough, np.minimum(1.0, mirrored / (judged + extra)), np.nan)
    means = [np.array([_mean(table[side, f]) for f in range(table.shape[1])]) for side in (~second, second)]
    return SampleComparison(
        means[0], means[1], means[1] - means[0], np.where(enough, t, np.nan), pval, corrected(pval), n_a.astype(np.int64),
        n_b.astype(np.int64), least,
    )  # fmt: skip


def _mean(values: np.ndarray) -> float:
    values = values[~np.isnan(values)]
    return float(values.mean()) if len(values) else float("nan")


def _ways(count: int, chosen: int, n_perms: int, random: bool, seed: int) -> Any:
    """Ways to choose the second group, some at a time; Philox makes random way i from (seed, i) alone."""
    size = 512
    if not random:
        rows = list(combinations(range(count), chosen))
        for at in range(0, len(rows), size):
            batch = np.zeros((len(rows[at : at + size]), count), dtype=bool)
            for row, places in enumerate(rows[at : at + size]):
                batch[row, list(places)] = True
            yield batch
        return
    _seed(seed)
    for at in range(0, n_perms, size):
        batch = np.zeros((min(size, n_perms - at), count), dtype=bool)
        for row in range(len(batch)):
            draw = np.random.Generator(np.random.Philox(key=seed, counter=[0, 0, 0, at + row]))
            batch[row, draw.permutation(count)[:chosen]] = True
        yield batch
