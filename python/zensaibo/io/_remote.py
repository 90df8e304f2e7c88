"""What is behind a URL, as the readers of h5py and zarr take it."""

from __future__ import annotations

import asyncio
import io
import os
import re
from collections.abc import AsyncIterator, Iterable
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from .. import _core
from ._beside import need

if TYPE_CHECKING:
    from anndata import AnnData

_URL = re.compile(r"(https?|s3):/", re.IGNORECASE)


def is_url(path: str | os.PathLike[str]) -> bool:
    """Whether `path` is a URL (http, https or s3); ``pathlib`` makes one slash of its two, which is taken too."""
    return _URL.match(os.fspath(path)) is not None


class _File(io.RawIOBase):
    """The object at a URL as a file of Python."""

    def __init__(self, url: str) -> None:
        self._core = _core.RemoteFile(url)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._core.size}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any) -> int:
        found = self._core.read(self._at, len(buffer))
        buffer[: len(found)] = found
        self._at += len(found)
        return len(found)


def h5_file(path: str) -> Any:
    """An HDF5 file or the object at a URL, opened by h5py for reading."""
    import h5py

    return h5py.File(_File(path), "r") if is_url(path) else h5py.File(path, "r", locking=False)


def zarr_group(url: str) -> Any:
    """The Zarr store at a URL, opened by zarr for reading."""
    zarr = need("zarr", "zarr")
    if int(version("zarr").split(".")[0]) < 3:
        raise ImportError(f"{url}: expected zarr 3 or later for a store behind a URL, found {version('zarr')}")
    return zarr.open_group(_store(url), mode="r")


def read_anndata(url: str) -> AnnData:
    """AnnData out of the Zarr store at a URL."""
    import anndata

    return anndata.io.read_zarr(zarr_group(url))


def _store(url: str) -> Any:
    from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

    class Remote(Store):
        """A store behind a URL as zarr takes it; requests of one call run at a time."""

        def __init__(self) -> None:
            super().__init__(read_only=True)
            self._core = _core.RemoteStore(url)

        def __eq__(self, value: object) -> bool:
            return self is value

        def __hash__(self) -> int:
            return id(self)

        def __str__(self) -> str:
            return url

        @property
        def supports_writes(self) -> bool:
            return False

        @property
        def supports_deletes(self) -> bool:
            return False

        @property
        def supports_listing(self) -> bool:
            return True

        async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
            part: tuple[int | None, int | None] = (None, None)
            if isinstance(byte_range, RangeByteRequest):
                part = (byte_range.start, byte_range.end - byte_range.start)
            elif isinstance(byte_range, OffsetByteRequest):
                part = (byte_range.offset, None)
            elif isinstance(byte_range, SuffixByteRequest):
                part = (-byte_range.suffix, None)
            found = await asyncio.to_thread(self._core.get, key, *part)
            return None if found is None else prototype.buffer.from_bytes(found)

        async def get_partial_values(self, prototype: Any, key_ranges: Iterable[tuple[str, Any]]) -> list[Any]:
            return await asyncio.gather(*(self.get(key, prototype, part) for key, part in key_ranges))

        async def exists(self, key: str) -> bool:
            return await asyncio.to_thread(self._core.get, key) is not None

        async def list_dir(self, prefix: str) -> AsyncIterator[str]:
            for name in await asyncio.to_thread(self._core.members, prefix.strip("/")):
                yield name

        async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
            raise NotImplementedError(f"{url}: a list of all objects")
            yield ""

        def list(self) -> AsyncIterator[str]:
            return self.list_prefix("")

        async def set(self, key: str, value: Any) -> None:
            raise NotImplementedError(f"{url}: read only")

        async def delete(self, key: str) -> None:
            raise NotImplementedError(f"{url}: read only")

    return Remote()
