"""Writing beside the target and renaming, for files and folders: whole or not at all."""

from __future__ import annotations

import contextlib
import importlib
import itertools
import os
import shutil
from collections.abc import Iterator
from typing import Any

from ..errors import FileError, ZensaiboError

_COUNT = itertools.count()


def need(module: str, extra: str) -> Any:
    """An optional library, or an ImportError that says how to get it."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{module} is needed for this format: pip install 'zensaibo[{extra}]' ({error})") from error


def _partial(target: str) -> str:
    folder, name = os.path.split(target)
    return os.path.join(folder, f".{name}.{os.getpid()}-py{next(_COUNT)}.partial")


@contextlib.contextmanager
def file_beside(path: str) -> Iterator[str]:
    """Yields a name to write to; the file takes the place of `path` once the block ends well."""
    target = os.path.realpath(path)
    if os.path.isdir(target):
        raise FileError(f"{target}: cannot write: is a folder")
    partial = _partial(target)
    try:
        yield partial
        with open(partial, "rb+") as file:
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(partial, os.stat(target).st_mode & 0o777)
        os.replace(partial, target)
    except ZensaiboError:
        raise
    except OSError as error:
        raise FileError(f"{target}: cannot write: {error.strerror or error}") from error
    finally:
        if os.path.lexists(partial):
            os.unlink(partial)


@contextlib.contextmanager
def folder_beside(path: str, replaceable: Any) -> Iterator[str]:
    """As `file_beside` for a folder. One that is there already is replaced only if ``replaceable(path)`` says so."""
    target = os.path.realpath(path)
    partial, old = _partial(target), _partial(target)
    if os.path.lexists(target) and not (os.path.isdir(target) and (not os.listdir(target) or replaceable(target))):
        raise FileError(f"{target}: cannot write: something else is there (expected nothing, or a store of this kind)")
    try:
        yield partial
        if os.path.lexists(target):
            # Two renames: for a moment neither stands at the target, but one of them always stands beside it.
            os.rename(target, old)
        os.rename(partial, target)
    except ZensaiboError:
        raise
    except OSError as error:
        raise FileError(f"{target}: cannot write: {error.strerror or error}") from error
    finally:
        if os.path.lexists(old) and not os.path.lexists(target):
            os.rename(old, target)
        for left in (partial, old):
            if os.path.lexists(left):
                shutil.rmtree(left, ignore_errors=True)
