"""Matrices that stay in their file."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from scipy import sparse

from .. import _core
from .._anndata import as_matrix
from ..errors import ParameterError


class FileMatrix:
    """A matrix of cells x genes in a file, read block by block each time it is looked at.

    The functions of :mod:`zensaibo.arrays` take it in place of a matrix, those of `pp` and `tl` an AnnData that is backed by a
    file; results have the same bits as of the matrix in memory. Quality control, filters, size factors, variable genes, sketches,
    components, Pearson residuals, doublets, markers, sums of groups and pseudobulks read it block by block; other functions read it
    into memory first. What is done to the values (`normalize_total`, `log1p`, `select`)
    is done as they are read: a new object comes back, the file is never changed. Memory: a few blocks of 8 MB per thread, 8 bytes
    per cell; a matrix stored by columns is held, 8 bytes per value.

    Parameters
    ----------
    path
        An h5ad, or a 10x HDF5 file (all features).
    key
        The matrix: ``"X"``, ``"layers/<name>"``, ``"raw/X"``.

    Raises
    ------
    FormatError, FileError
        A file that cannot be read, or is of another kind.
    MissingKeyError
        No such matrix.

    Examples
    --------
    >>> counts = zs.io.open_matrix("atlas.h5ad")                                # doctest: +SKIP
    >>> logged = counts.normalize_total(1e4).log1p()                            # doctest: +SKIP
    >>> pca = zs.arrays.pca(logged, 50, mask=variable)                          # doctest: +SKIP
    """

    def __init__(self, path: str | os.PathLike[str], key: str = "X") -> None:
        self._core = _core.FileMatrix(os.fspath(path), key)
        self._done: list[str] = []

    @property
    def shape(self) -> tuple[int, int]:
        """Cells and genes."""
        return self._core.shape

    @property
    def path(self) -> str:
        """The file."""
        return os.fspath(self._core.path)

    @property
    def key(self) -> str:
        """The matrix in the file."""
        return self._core.key

    def to_memory(self) -> sparse.csr_matrix:
        """The matrix in memory as float32: 8 bytes per value."""
        return as_matrix(self)

    def __repr__(self) -> str:
        cells, genes = self.shape
        return "".join([f"FileMatrix: {cells:,} cells x {genes:,} genes of {self.path}: {self.key}", *(f", {step}" for step in self._done)])

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


def open_matrix(path: str | os.PathLike[str], key: str = "X") -> FileMatrix:
    """Opens a matrix of cells x genes in a file without reading it.

    Parameters
    ----------
    path
        An h5ad, or a 10x HDF5 file (all features).
    key
        ``"X"``, ``"layers/<name>"`` or ``"raw/X"``.

    Returns
    -------
    FileMatrix

    Raises
    ------
    FormatError, FileError, MissingKeyError
        As :class:`FileMatrix`.
    """
    return FileMatrix(path, key)
