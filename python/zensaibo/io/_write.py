"""Writing AnnData: beside the target, then renamed over it."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Literal

from ..errors import FileError, ParameterError
from ._read import _path

if TYPE_CHECKING:
    from anndata import AnnData

_COUNT = itertools.count()


def write_h5ad(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    compression: Literal["gzip", "lzf"] | None = None,
    compression_opts: int | None = None,
) -> None:
    """Write an AnnData object as an h5ad file that is whole or not there.

    anndata writes every element in its own encodings to a temporary name beside the target; the file is brought to
    the disk and renamed. After an error, an interruption or on a full disk, what stood at the target stands there
    still, and nothing else is left behind.

    Parameters
    ----------
    adata
        The object, in memory. As in anndata, its string columns with repeated values become categorical.
    path
        The file.
    compression
        ``"gzip"``, ``"lzf"`` or none, which reads fastest.
    compression_opts
        Level of gzip, 0 to 9.

    Raises
    ------
    FileError
        The system refuses, or the disk is full (also an ``OSError``).
    ParameterError
        The object is backed by a file, or the compression is unknown.
    """
    if compression not in {None, "gzip", "lzf"}:
        raise ParameterError(f"parameter `compression`: expected 'gzip', 'lzf' or None, found {compression!r}")
    if compression_opts is not None and compression != "gzip":
        raise ParameterError("parameter `compression_opts`: expected none without compression='gzip'")
    if adata.isbacked:
        raise ParameterError("parameter `adata`: expected an object in memory, found a backed one; use .to_memory()")
    target = os.path.realpath(_path(path))
    folder, name = os.path.split(target)
    partial = os.path.join(folder, f".{name}.{os.getpid()}-py{next(_COUNT)}.partial")
    if os.path.isdir(target):
        raise FileError(f"{target}: cannot write: is a folder")
    try:
        # Refusals of the system show here, with their reason.
        with open(partial, "xb"):
            pass
        adata.write_h5ad(partial, compression=compression, compression_opts=compression_opts)
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(partial, os.stat(target).st_mode & 0o777)
        os.replace(partial, target)
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise FileError(f"{target}: cannot write: {error}") from error
    finally:
        if os.path.lexists(partial):
            os.unlink(partial)


def write(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    compression: Literal["gzip", "lzf"] | None = None,
    compression_opts: int | None = None,
) -> None:
    """Write an AnnData object as h5ad; see :func:`write_h5ad`."""
    write_h5ad(adata, path, compression=compression, compression_opts=compression_opts)
