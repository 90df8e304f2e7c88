"""Writing AnnData: beside the target, then renamed over it."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Any, Literal

from ..errors import FileError, ParameterError
from ._read import _path

if TYPE_CHECKING:
    import io
    from collections.abc import Callable

    from anndata import AnnData

_COUNT = itertools.count()


class _Sink:
    """A file that never fails towards HDF5, which does not survive a full disk; the first refusal is kept instead."""

    def __init__(self, raw: io.FileIO) -> None:
        self._raw = raw
        self.refusal: OSError | None = None

    def guard(self, action: Callable[..., Any], *arguments: Any) -> Any:
        if self.refusal is not None:
            return None
        try:
            return action(*arguments)
        except OSError as error:
            self.refusal = error
            return None

    def write(self, data: Any) -> int:
        data = memoryview(data).cast("B")
        done = 0
        while done < len(data) and self.refusal is None:
            done += self.guard(self._raw.write, data[done:]) or 0
        return len(data)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        found = self.guard(self._raw.readinto, view) or 0
        view[found:] = bytes(len(view) - found)
        return len(view)

    def read(self, size: int) -> bytes:
        buffer = bytearray(size)
        self.readinto(buffer)
        return bytes(buffer)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._raw.seek(offset, whence)

    def tell(self) -> int:
        return self._raw.tell()

    def truncate(self, size: int | None = None) -> int:
        self.guard(self._raw.truncate, size)
        return size or 0

    def flush(self) -> None:
        pass

    def __enter__(self) -> _Sink:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()


def write_h5ad(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    compression: Literal["gzip", "lzf"] | None = None,
    compression_opts: int | None = None,
) -> None:
    """Write an AnnData object as an h5ad file that is whole or not there.

    anndata writes every element in its own encodings under a temporary name beside the target; the file is brought to
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
    import h5py
    from anndata.io import write_elem

    target = os.path.realpath(_path(path))
    folder, name = os.path.split(target)
    partial = os.path.join(folder, f".{name}.{os.getpid()}-py{next(_COUNT)}.partial")
    if os.path.isdir(target):
        raise FileError(f"{target}: cannot write: is a folder")
    adata.strings_to_categoricals()
    if adata.raw is not None:
        adata.strings_to_categoricals(adata.raw.var)
    try:
        raw = open(partial, "x+b", buffering=0)
    except OSError as error:
        raise FileError(f"{target}: cannot write: {error.strerror}") from error
    try:
        with _Sink(raw) as sink:
            kwargs = {} if compression is None else {"compression": compression, "compression_opts": compression_opts}
            try:
                with h5py.File(sink, "w") as file:
                    write_elem(file, "/", adata, dataset_kwargs=kwargs)
                    if adata.raw is None and "raw" in file:
                        # A "null" element, which anndata before 0.12 cannot read; anndata's own writer leaves it out.
                        del file["raw"]
            except Exception:
                # What the library says of data that never reached the disk is beside the point.
                if sink.refusal is None:
                    raise
            if sink.refusal is None:
                sink.guard(os.fsync, raw.fileno())
        if sink.refusal is None:
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
    if sink.refusal is not None:
        raise FileError(f"{target}: cannot write: {sink.refusal.strerror}") from sink.refusal


def write(
    adata: Any,
    path: str | os.PathLike[str],
    *,
    format: Literal["h5ad", "zarr", "h5mu"] | None = None,
    zarr_format: Literal[2, 3] | None = None,
    compression: Literal["gzip", "lzf"] | None = None,
    compression_opts: int | None = None,
) -> None:
    """Write AnnData or MuData, beside the target and renamed: whole or not at all.

    Parameters
    ----------
    adata
        The object, in memory.
    path
        The file or folder.
    format
        ``"h5ad"``, ``"zarr"`` or ``"h5mu"``; by default ``"h5mu"`` for MuData, ``"zarr"`` when the name ends in
        ``.zarr``, else ``"h5ad"``. For tables see :func:`write_csv` and :func:`write_parquet`.
    zarr_format
        With Zarr: 2 (the default) or 3. Refused otherwise.
    compression, compression_opts
        With h5ad, as in :func:`write_h5ad`. Refused otherwise.

    Raises
    ------
    FileError, ParameterError, ImportError
        As :func:`write_h5ad`, :func:`write_zarr` and :func:`write_h5mu`.
    """
    if format is None:
        named = os.fspath(path)
        suffix = os.path.basename((named.decode() if isinstance(named, bytes) else named).rstrip("/"))
        format = "h5mu" if hasattr(adata, "mod") else "zarr" if suffix.endswith(".zarr") else "h5ad"
    if format not in ("h5ad", "zarr", "h5mu"):
        raise ParameterError(f"parameter `format`: expected h5ad, zarr, h5mu or None, found {format!r}")
    if format != "h5ad" and (compression is not None or compression_opts is not None):
        raise ParameterError(f"parameter `compression`: expected none with format {format}")
    if format != "zarr" and zarr_format is not None:
        raise ParameterError(f"parameter `zarr_format`: expected none with format {format}, found {zarr_format!r}")
    if format == "h5ad":
        write_h5ad(adata, path, compression=compression, compression_opts=compression_opts)
        return
    from ._stores import write_h5mu, write_zarr

    if format == "zarr":
        write_zarr(adata, path, zarr_format=2 if zarr_format is None else zarr_format)
    else:
        write_h5mu(adata, path)
