"""Nearest neighbours among rows that lie in a file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import sparse

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, ShapeError
from ._mapping import Nearest
from ._neighbors import Metric, Neighbors, _points


class NeighborIndex:
    """An index of nearest neighbours in a file: made by `build_index`, opened by :func:`zensaibo.io.open_index`.

    In memory are the centres of its lists and where these lie: 4 d + 16 bytes per list, one list for 384 rows as a rule.
    Rows are read from the file as a search needs them, and checked (CRC-32). The file must not be changed while it is open.

    Parameters
    ----------
    path
        The file.

    Raises
    ------
    FormatError
        No index, of another version, cut short or changed.
    FileError
        A file that cannot be read.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._core = _core.NeighborIndex(os.fspath(path))

    @property
    def path(self) -> str:
        """The file."""
        return os.fspath(self._core.path)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the embedding."""
        return self._core.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its values: float32 or float64."""
        return np.dtype(self._core.dtype)

    @property
    def metric(self) -> str:
        """The distance: ``"euclidean"``, ``"cosine"`` or ``"correlation"``."""
        return self._core.metric

    @property
    def n_lists(self) -> int:
        """Number of lists."""
        return self._core.n_lists

    @property
    def seed(self) -> int:
        """Seed that the lists were learnt by."""
        return self._core.seed

    @property
    def fingerprint(self) -> str:
        """32 hexadecimal digits of shape, type and bits of the embedding."""
        return self._core.fingerprint

    def is_of(self, X: Any, *, threads: int | None = None, progress: bool | Progress | None = None) -> bool:
        """Whether the index was made from ``X``: the same shape, type and bits, by their fingerprint. One read of ``X``.

        ``threads``, ``progress`` as in `build_index`; ``X`` as there.
        """
        data, fetched = _rows(X)
        shape, double = (fetched[:2], fetched[2]) if fetched else (data.shape, data.dtype == np.float64)
        if tuple(shape) != self.shape or double != (self.dtype == np.float64):
            return False
        with reporting(progress) as callback:
            return _core.index_fingerprint(data, fetched, threads, callback) == self.fingerprint

    def neighbors(
        self,
        n_neighbors: int = 15,
        *,
        probes: int | None = None,
        effort: float = 1.0,
        memory: int | str | None = None,
        threads: int | None = None,
        progress: bool | Progress | None = None,
    ) -> Neighbors:
        """The nearest rows of every row of the index.

        Parameters
        ----------
        n_neighbors
            Neighbours per row, the row itself included and counted first; 2 to n.
        probes
            Lists that a row may look at, 1 to `n_lists`; more where these hold too few rows. Default: 8 times the root of
            `n_lists`, times ``effort``. See Notes for what is found with fewer.
        effort
            How far beyond a row's present neighbours a list may lie to be looked at, as in `knn`. With 2.3 none is left out
            that can hold a neighbour: with ``probes=index.n_lists`` too the search is exact, but for rounding in single
            precision.
        memory
            Bytes, or text such as ``"4GiB"``, for lists that are kept at hand; default 1 GiB. A list per thread and the result,
            8 n_neighbors bytes per row, come on top. Less memory makes the search slower and nothing else.
        threads
            Number of threads, None for all cores. The result is the same to the last bit for any number.
        progress
            None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

        Returns
        -------
        `Neighbors`, ``exact`` False: with the default number of lists and probes the same bits as of `knn` with
        ``algorithm="approximate"`` and the same metric, effort and seed.

        Raises
        ------
        ParameterError
            An option out of its range, fewer than 2 neighbours or more than rows, more probes than lists.
        FormatError
            Rows in the file that are not as they were written; the list is named.

        Notes
        -----
        Free of chance. Cost: up to ``probes`` / ``n_lists`` of n^2 d multiply-adds, a tenth of that as a rule. On 50 components of 100,000
        simulated cells (261 lists), 15 neighbours: recall 0.58 with 1 probe, 0.86 with 4, 0.956 with 8, 0.984 with 16, 0.994 with
        32, 0.9977 by default (130), in the time that `knn` takes; twice that with a quarter of the lists at hand. Measure yours with
        `zensaibo.metrics.knn_recall`.
        """
        options = to_json(n_neighbors=n_neighbors, probes=probes, effort=effort)
        with reporting(progress) as callback:
            return Neighbors(*self._core.neighbors(options, to_bytes(memory), threads, callback), False)

    def query(
        self,
        Y: np.ndarray,
        n_neighbors: int = 15,
        *,
        probes: int | None = None,
        effort: float = 1.0,
        memory: int | str | None = None,
        threads: int | None = None,
        progress: bool | Progress | None = None,
    ) -> Nearest:
        """The nearest rows of the index for each row of other data.

        Parameters
        ----------
        Y
            (m, d) array, float32 or float64 without a copy. A row that is in the index too finds itself.
        n_neighbors
            Neighbours per query, 1 to n.
        probes, effort, memory, threads, progress
            See `neighbors`. A query looks from the list whose centre is nearest to it.

        Returns
        -------
        `Nearest`: what `knn_query` with ``algorithm="approximate"`` finds, but for rounding in single precision (there the queries
        take part in where the data is centred). The result of a query does not depend on the other queries.

        Raises
        ------
        ParameterError, FormatError
            See `neighbors`.
        DataError
            Another number of columns; NaN or infinity; a constant row with metric ``"correlation"``.
        """
        options = to_json(n_neighbors=n_neighbors, probes=probes, effort=effort)
        with reporting(progress) as callback:
            return Nearest(*self._core.query(_points(Y), options, to_bytes(memory), threads, callback))

    def __repr__(self) -> str:
        n, d = self.shape
        return f"NeighborIndex: {n:,} x {d}, {self.metric}, {self.n_lists:,} lists in {self.path}"


def build_index(
    X: Any,
    path: str | os.PathLike[str],
    *,
    metric: Metric = "euclidean",
    n_lists: int | None = None,
    seed: int = 0,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> NeighborIndex:
    """Makes an index of nearest neighbours in a file: for an embedding that is larger than memory, or queried again and again.

    Rows are sorted into lists of nearby ones by k-means on a sample; the file holds the rows, list by list. It appears whole or
    not at all.

    Parameters
    ----------
    X
        (n, d) array: a numpy array or ``numpy.memmap`` (float32 or float64, C-contiguous, without a copy), or anything with ``shape``,
        ``dtype`` and rows by slices, which is read in blocks of about 8 MB, three times: an array in HDF5 or Zarr, a scipy csr
        matrix (made dense block by block). Values other than float32 become float64.
    path
        The file; one that is there is replaced.
    metric
        ``"euclidean"``, ``"cosine"`` (1 - cosine; a row of zeros is at distance 1 from every other) or ``"correlation"``.
    n_lists
        Number of lists, 1 to n. Default: one for 384 rows. Fewer are learnt faster and from a smaller sample, and a search
        reads more.
    seed
        Of the sample that the lists are learnt from.
    memory
        Bytes, or text such as ``"4GiB"``, for the sample (40 rows per list, held as stored and as float32) and the rows that are
        sorted at a time. Default: 1 GiB, or what the sample needs. 8 bytes per row come on top.
    threads
        Number of threads, None for all cores. The file is the same to the last bit for any number, and for any memory.
    progress
        None: bars on a terminal; True, False; or a callable ``(stage, done, total)``.

    Returns
    -------
    `NeighborIndex`, opened.

    Raises
    ------
    ParameterError
        An option out of its range, more lists than rows.
    DataError
        No rows or columns, NaN or infinity (the place is named), a constant row with metric ``"correlation"``, rows that differ
        from one read to the next.
    LimitError
        A memory that the sample does not fit into.
    FileError
        A file that cannot be written.

    Notes
    -----
    Size of the file: n (4 d + 4) bytes and little more (8 d + 4 of float64). Cost: three reads of ``X``, one write, n x n_lists x d + 200 n_lists^2 d multiply-adds.

    References
    ----------
    Lists over centres: Jégou, Douze and Schmid 2011; rows are kept as they are, not compressed.

    Examples
    --------
    >>> index = zs.arrays.build_index(np.load("embedding.npy", mmap_mode="r"), "atlas.zsindex")    # doctest: +SKIP
    >>> found = index.neighbors(15)                                                                # doctest: +SKIP
    >>> near = zs.io.open_index("atlas.zsindex").query(new_cells, 30)                              # doctest: +SKIP
    """
    options = to_json(metric=metric, n_lists=n_lists, seed=seed)
    data, fetched = _rows(X)
    made = object.__new__(NeighborIndex)
    with reporting(progress) as callback:
        made._core = _core.NeighborIndex.build(data, os.fspath(path), options, to_bytes(memory), fetched, threads, callback)
    return made


def _rows(X: Any) -> tuple[Any, tuple[int, int, bool] | None]:
    """An array as it is; else what fetches its rows, with its shape and whether they are float64."""
    if isinstance(X, np.ndarray) and X.dtype in (np.float32, np.float64) and X.flags.c_contiguous:
        if X.ndim != 2:
            raise ShapeError(f"`X`: expected two dimensions, found shape {X.shape}")
        return X, None
    if sparse.issparse(X) and X.format != "csr":
        raise DataError(f"`X`: expected an array, or rows of a csr matrix, found a sparse {X.format} matrix; use .tocsr()")
    if not (hasattr(X, "shape") and hasattr(X, "dtype") and hasattr(X, "__getitem__")):
        X = np.asarray(X)
    if len(X.shape) != 2:
        raise ShapeError(f"`X`: expected two dimensions, found shape {tuple(X.shape)}")
    if np.dtype(X.dtype).kind not in "biuf":
        raise DataError(f"`X`: expected real numbers, found dtype {X.dtype}")
    kept = np.float32 if X.dtype == np.float32 else np.float64

    def fetch(start: int, stop: int) -> np.ndarray:
        rows = X[start:stop]
        return np.ascontiguousarray(rows.toarray() if sparse.issparse(rows) else rows, dtype=kept)

    return fetch, (int(X.shape[0]), int(X.shape[1]), kept is np.float64)
