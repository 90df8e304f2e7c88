"""Fate probabilities on numpy."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError
from ._umap import _whole


class Fates(NamedTuple):
    """What `fate_probabilities` returns."""

    #: (n, fates) float64: probability of ending in each; a row of zeros reaches none.
    probabilities: np.ndarray
    #: (n,) float64: entropy of each row in nats, how undecided a cell is.
    entropy: np.ndarray
    #: Cells from which no terminal state is reached.
    unreached: int
    #: Sweeps over all cells that were needed.
    sweeps: int


def fate_probabilities(
    vectors: Any,
    values: Any,
    pseudotime: Any,
    *,
    terminal: Any,
    n_dcs: int = 10,
    n_neighbors: int = 30,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Fates:
    """Probabilities of each cell to end in each terminal state, by a walk that goes forward in pseudotime.

    Parameters
    ----------
    vectors, values
        (n, c) eigenvectors and (c,) eigenvalues of a diffusion map (`diffmap`) of a connected graph.
    pseudotime
        (n,) finite values.
    terminal
        (n,) whole numbers: the fate 0, 1, ... of each terminal cell, -1 for all others.
    n_dcs
        Diffusion components to use, the steady state counted, 2 to c.
    n_neighbors
        Nearest cells in diffusion space that a step may lead to, the cell itself counted; at least 4.
    seed
        Seed of the sample of an approximate neighbour search.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    Fates
        ``(probabilities, entropy, unreached, sweeps)``.

    Raises
    ------
    ParameterError, ShapeError, DataError, NotConvergedError
        Options out of range; shapes that disagree; values that are not finite, a fate without a cell, a graph in parts.

    Notes
    -----
    Palantir's chain over all cells. Reference: Setty et al. 2019, Nature Biotechnology 37, 451.
    """
    vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    values = np.ascontiguousarray(values, dtype=np.float64)
    if vectors.ndim != 2 or values.ndim != 1 or vectors.shape[1] != len(values):
        raise ShapeError(f"`vectors`, `values`: expected shapes (n, c) and (c,), found {vectors.shape} and {values.shape}")
    time, given = np.ascontiguousarray(pseudotime, dtype=np.float64), np.asarray(terminal)
    if time.shape != (len(vectors),):
        raise ShapeError(f"`pseudotime`: expected shape ({len(vectors)},), found {time.shape}")
    if given.ndim != 1 or given.dtype.kind not in "iu":
        raise ParameterError(f"parameter `terminal`: expected whole numbers, found {given.dtype} of shape {given.shape}")
    fates = int(given.max()) + 1 if given.size else 0
    options = to_json(n_neighbors=_whole("n_neighbors", n_neighbors), seed=_whole("seed", seed))
    with reporting(progress) as callback:
        return Fates(
            *_core.fate_probabilities(
                vectors, values, _whole("n_dcs", n_dcs), time, given.astype(np.int32), fates, options, threads, callback
            )
        )
