"""Sketches: few cells that stand for many."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import as_matrix
from .._labels import codes_of
from .._options import to_json
from .._progress import Progress, reporting
from .._shared import call
from ..errors import ParameterError, ShapeError
from ._neighbors import _points
from ._pca import as_mask


class GeometricSketch(NamedTuple):
    """What `sketch_geometric` returns."""

    indices: np.ndarray
    """(n_obs,) uint32, rising: rows of the cells chosen."""
    side: float
    """Side of the boxes, in the unit of the embedding; 0 where all cells are alike."""
    n_boxes: int
    """Boxes that hold a cell."""


def _whole(name: str, value: Any, most: int = 2**63 - 1) -> int:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, np.integer)) or not 0 <= value <= most:
        limit = "of at least 0" if most == 2**63 - 1 else f"from 0 to {most}"
        raise ParameterError(f"parameter `{name}`: expected a whole number {limit}, found {value!r}")
    return int(value)


def _seed(value: Any, name: str = "seed") -> int:
    return _whole(name, value, 2**64 - 1)


def sketch_geometric(
    embedding: Any,
    n_obs: int,
    *,
    n_boxes: int | None = None,
    tolerance: float = 0.1,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> GeometricSketch:
    """Chooses cells that follow the shape of an embedding and not its density: rare kinds of cells are kept.

    A grid of equal boxes is laid over the embedding, as fine as it takes for about ``n_boxes`` boxes to hold a cell; the
    boxes then take turns in giving cells at random.

    Parameters
    ----------
    embedding
        (cells, d) array, finite: principal components as they are. Columns share one unit; those of little extent are
        not cut.
    n_obs
        Cells to choose, 0 to all.
    n_boxes
        Boxes to cover the cells with, about, at least 1; ``None``: ``n_obs``. More follow finer shapes; with more than
        there are different cells the draw is uniform.
    tolerance
        The share of ``n_boxes`` by which the number of boxes may be off, 0 to below 1.
    seed
        Seed of the draws; each cell has random numbers of its own. For a given grid fewer cells are part of more.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable
        ``(stage, done, total)``.

    Returns
    -------
    GeometricSketch
        ``indices`` (n_obs, uint32), ``side``, ``n_boxes``.

    Raises
    ------
    ParameterError
        An option out of range; more cells than there are.
    DataError
        Not two dimensions; no cells; NaN or infinity.

    Notes
    -----
    Cost: some ten to thirty sorts of the cells; 48 bytes per cell.

    References
    ----------
    Hie, Cho, DeMeo, Bryson, Berger, Cell Systems 8 (2019).
    """
    options = to_json(
        n_boxes=None if n_boxes is None else _whole("n_boxes", n_boxes), tolerance=float(tolerance), random_state=_seed(seed)
    )
    points = _points(embedding)
    with reporting(progress) as callback:
        return GeometricSketch(*_core.sketch_geometric(points, _whole("n_obs", n_obs), options, threads, callback))


def leverage_scores(
    X: Any,
    *,
    mask: Any = None,
    groups: Any = None,
    n_comps: int | None = 50,
    zero_center: bool = True,
    n_projections: int | None = None,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """How much each cell adds to the space that the cells span: near 1 for a cell that nothing else stands for.

    The score of a row a of the matrix A is a (A'A)^-1 a', within the leading components or within all genes. Cells drawn
    in proportion (`sample_weighted`) keep rare kinds.

    Parameters
    ----------
    X
        Cells x genes, best logarithms of normalised counts: scipy csr or csc, numpy array, or a matrix in a file
        (`zensaibo.io.open_matrix`), which is read block by block and gives the same bits.
    mask
        Boolean array, one entry per gene: use only these genes.
    groups
        (cells,) labels: the cells of each group by themselves, as if there were no others. One pass per group.
    n_comps
        Leverage within this many leading components, at least 1; where the data have fewer, within those. More let noise
        count as much as what tells kinds of cells apart. ``None``: within the space of all genes, at most 6,000; for an
        embedding too, where all columns count.
    zero_center
        Take each gene's mean off, and add 1 / cells to each score (a column of ones). Seurat does not.
    n_projections
        With ``n_comps=None``: approximate scores from so many random projections, with a standard deviation of
        sqrt(2 / n_projections) of the score; 64 are enough for sampling. ``None``: exact.
    seed
        Seed of the projections, and of the start vectors of components (changes those by less than 1e-7).
    threads, progress
        See `sketch_geometric`.

    Returns
    -------
    numpy.ndarray
        (cells,) float64, 0 to 1 (approximate ones may be larger); their sum is the dimension of the space.

    Raises
    ------
    ParameterError
        An option out of range, ``n_projections`` beside ``n_comps``.
    DataError
        NaN or infinity, no genes, a mask or labels that do not fit.
    LimitError
        More than 6,000 genes with ``n_comps=None``.

    Notes
    -----
    Cost: three reads (above 6,000 genes some 20 to 40), one of them for the genes x genes products. The last takes
    entries x n_comps multiplications, with ``n_comps=None`` entries x genes (or x n_projections). Memory: 8 bytes per
    cell; 16 genes^2 bytes, with ``n_comps=None`` 24 genes^2. Genes that others foretell but for 1e-6 of their variance
    add nothing.

    References
    ----------
    Clarkson and Woodruff, J. ACM 63 (2017); Mahoney and Drineas, PNAS 106 (2009); Hao et al., Nat Biotechnol 42 (2024).
    """
    matrix = as_matrix(X, "X", stream=True)
    if mask is not None:
        mask = as_mask(mask, matrix.shape[1])
    options = to_json(
        n_comps=None if n_comps is None else _whole("n_comps", n_comps),
        zero_center=bool(zero_center),
        n_projections=None if n_projections is None else _whole("n_projections", n_projections),
        random_state=_seed(seed),
    )
    n = matrix.shape[0]
    if groups is None:
        with reporting(progress) as callback:
            return call(_core.leverage_scores, matrix, options, None, mask, threads, callback)
    codes, categories = codes_of(groups, "groups")
    if len(codes) != n:
        raise ShapeError(f"`groups`: expected {n} labels, one per cell, found {len(codes)}")
    scores = np.empty(n)
    for group in range(len(categories)):
        cells = codes == group
        with reporting(progress) as callback:
            scores[cells] = call(_core.leverage_scores, matrix, options, cells, mask, threads, callback)
    return scores


def sample_weighted(weights: Any, n_obs: int, *, seed: int = 0) -> np.ndarray:
    """Draws different rows, each time with chances in proportion to the weights of those that are left.

    Parameters
    ----------
    weights
        (n,) numbers, finite and at least 0, such as `leverage_scores`. Rows of weight 0 come after all others.
    n_obs
        Rows to draw, 0 to n.
    seed
        Seed of the draws. Each row has a random number of its own: fewer rows are part of more.

    Returns
    -------
    numpy.ndarray
        (n_obs,) uint32, rising: the rows drawn.

    Raises
    ------
    ParameterError
        More rows than there are.
    DataError
        Weights that are negative, NaN or infinite.

    Notes
    -----
    Cost: time n, 24 bytes per row.

    References
    ----------
    Efraimidis and Spirakis, Information Processing Letters 97 (2006).
    """
    values = np.asarray(weights, dtype=np.float64)
    if values.ndim != 1:
        raise ShapeError(f"`weights`: expected one number per row, found shape {values.shape}")
    return _core.sample_weighted(np.ascontiguousarray(values), _whole("n_obs", n_obs), _seed(seed))
