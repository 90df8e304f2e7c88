"""Matrices that stay in their file."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..errors import ParameterError
from ._read import _path

if TYPE_CHECKING:
    import pandas as pd


class FileMatrix:
    """A matrix of cells x genes in a file, or in several, read block by block each time it is looked at.

    The functions of :mod:`zensaibo.arrays` take it in place of a matrix, those of `pp` and `tl` an AnnData that is backed by a
    file; results have the same bits as of the matrix in memory. Quality control, filters, size factors, variable genes, sketches,
    components, Pearson residuals, doublets, markers, gene scores, annotation, sums of groups and pseudobulks read it block by block;
    plots and what else needs some genes reads their columns, in one read. Other functions read it into memory first: those that make
    a dense matrix of cells x genes (`scale`, `regress_out`, `combat`) or hand back counts (`downsample_counts`), searches in X itself,
    velocity, mapping to a reference. What is done to the values (`normalize_total`, `log1p`, `select`)
    is done as they are read: a new object comes back, the file is never changed. Memory: a few blocks of 8 MB per thread, 8 bytes
    per cell. A matrix stored by columns is turned into packed rows on opening, in one read, within `memory` and beyond it in a
    scratch file (3 to 6 bytes per count). Of a Zarr store the chunks decoded last are kept, 16 MB for each
    array or one chunk; `adata.X` may be such a matrix as well, as ``anndata.io.sparse_dataset`` opens it.

    Of several files the cells stand one after the other, genes are joined by name: results have the same bits as of
    ``anndata.concat`` of sparse matrices in memory. Where genes are left out, the files that have them are read once on opening.

    Parameters
    ----------
    path
        An h5ad, AnnData in a Zarr folder, or a 10x HDF5 file (all features), or a URL of one (``http://``, ``https://``,
        ``s3://``), or a list of them.
    key
        The matrix: ``"X"``, ``"layers/<name>"``, ``"raw/X"``; the same in every file.
    join
        Genes of several files: ``"inner"``, those of all files in the order of the first; ``"outer"``, those of any file,
        sorted by name unless all have the same, and zero in the cells of a file that does not have them.
    memory
        What turning a matrix that is stored by columns into rows may take, in bytes or as text such as ``"4GiB"``; 1 GiB by
        default. Half of it stays taken by packed rows.
    scratch
        Folder of the scratch file of such a matrix, that of temporary files by default. The file has no name and goes with the
        object.
    progress
        See :mod:`zensaibo`.

    Raises
    ------
    FormatError, FileError
        A file that cannot be read, or is of another kind.
    MissingKeyError
        No such matrix in a file.
    EmptyDataError
        No gene that all files have.
    DuplicateNamesError
        A gene name twice in a file, where the files have different genes.

    Examples
    --------
    >>> counts = zs.io.open_matrix("atlas.h5ad")                                # doctest: +SKIP
    >>> logged = counts.normalize_total(1e4).log1p()                            # doctest: +SKIP
    >>> pca = zs.arrays.pca(logged, 50, mask=variable)                          # doctest: +SKIP
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
        key: str = "X",
        join: str = "inner",
        *,
        memory: int | str | None = None,
        scratch: str | os.PathLike[str] | None = None,
        progress: bool | Progress | None = None,
    ) -> None:
        folder = None if scratch is None else os.fspath(scratch)
        with reporting(progress) as report:
            self._core = _core.FileMatrix(paths_of(path, "path"), key, join, to_bytes(memory), folder, report)
        self._done: list[str] = []

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self._core.shape

    @property
    def paths(self) -> list[str]:
        """The files."""
        return [os.fspath(path) for path in self._core.paths]

    @property
    def path(self) -> str:
        """The file; of several, the first."""
        return self.paths[0]

    @property
    def key(self) -> str:
        """The matrix in the file."""
        return self._core.key

    @property
    def obs_names(self) -> pd.Index:
        """Names of the cells, read from the files each time; those of several files may repeat."""
        import pandas as pd

        return pd.Index(self._core.obs_names(), dtype=object)

    @property
    def var_names(self) -> pd.Index:
        """Names of the genes, read from the file each time."""
        import pandas as pd

        return pd.Index(self._core.var_names(), dtype=object)

    def to_memory(self) -> sparse.csr_matrix:
        """The matrix in memory as float32: 8 bytes per value."""
        return as_matrix(self)

    def __repr__(self) -> str:
        cells, genes = self.shape
        place = self.path if len(self.paths) == 1 else f"{len(self.paths)} files ({self.path}, ...)"
        return "".join([f"FileMatrix: {cells:,} cells x {genes:,} genes of {place}: {self.key}", *(f", {step}" for step in self._done)])

    def _with(self, core: Any, step: str) -> FileMatrix:
        made = object.__new__(FileMatrix)
        made._core, made._done = core, [*self._done, step]
        return made

    def select(self, cells: Any = None, genes: Any = None) -> FileMatrix:
        """Keeps cells and genes where boolean masks are True.

        Raises
        ------
        ParameterError
            A mask that is not boolean.
        ShapeError
            A mask of another length than there are cells (genes).
        """
        made = self
        if cells is not None:
            mask = _mask(cells, "cells")
            made = made._with(made._core.select_rows(mask), f"{sum(mask):,} cells")
        if genes is not None:
            mask = _mask(genes, "genes")
            made = made._with(made._core.select_columns(mask), f"{sum(mask):,} genes")
        return made

    def divide_rows(self, divisors: Any) -> FileMatrix:
        """Divides each cell by its number, in double precision.

        Raises
        ------
        ShapeError
            Not as many divisors as cells.
        """
        return self._with(self._core.divide_rows(np.asarray(divisors, dtype=float).tolist()), "divided by cell")

    def normalize_total(self, target_sum: float | None = None, **options: Any) -> FileMatrix:
        """Brings every cell to the same total; parameters as of `zensaibo.arrays.size_factors`. One read."""
        from ..arrays import size_factors

        return self.divide_rows(size_factors(self, target_sum=target_sum, **options).divisors)

    def log1p(self, base: float | None = None) -> FileMatrix:
        """ln(1 + x), or the logarithm to `base`."""
        return self._with(self._core.log1p(base), "log1p")


def _mask(mask: Any, name: str) -> list[bool]:
    mask = np.asarray(mask)
    if mask.dtype != bool or mask.ndim != 1:
        raise ParameterError(f"parameter `{name}`: expected a boolean mask, found {mask.dtype} of shape {mask.shape}")
    return mask.tolist()


def paths_of(path: Any, name: str) -> list[str]:
    """One path or several, as a list."""
    if isinstance(path, (str, os.PathLike)):
        return [_path(path)]
    try:
        found = [_path(each) for each in path]
    except TypeError:
        raise ParameterError(f"parameter `{name}`: expected a path or a list of paths, found {type(path).__name__}") from None
    if not found:
        raise ParameterError(f"parameter `{name}`: expected at least one path, found none")
    return found


def open_matrix(
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    key: str = "X",
    *,
    join: str = "inner",
    memory: int | str | None = None,
    scratch: str | os.PathLike[str] | None = None,
    progress: bool | Progress | None = None,
) -> FileMatrix:
    """Opens a matrix of cells x genes in a file without reading it, or those of several files as one.

    One that is stored by columns is read once, to be turned into rows.

    Parameters
    ----------
    path
        An h5ad, AnnData in a Zarr folder, or a 10x HDF5 file (all features), or a URL of one, or a list of them: cells one after
        the other.
    key
        ``"X"``, ``"layers/<name>"`` or ``"raw/X"``; the same in every file.
    join
        Genes of several files: ``"inner"``, those of all files in the order of the first; ``"outer"``, those of any file,
        sorted by name unless all have the same, and zero in the cells of a file that does not have them.
    memory, scratch, progress
        As of :class:`FileMatrix`.

    Returns
    -------
    FileMatrix
        Its values are those of ``anndata.concat`` of the matrices. Where genes are left out, the files that have them are read
        once to count what stays.

    Raises
    ------
    FormatError, FileError, MissingKeyError, EmptyDataError, DuplicateNamesError
        As :class:`FileMatrix`.
    """
    return FileMatrix(path, key, join, memory=memory, scratch=scratch, progress=progress)
