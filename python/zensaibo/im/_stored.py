"""Files of registrations, made beside and renamed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from os import PathLike
from pathlib import Path

from .. import _core
from ..errors import FileError


def written(path: str | PathLike[str], make: Callable[[Path], None]) -> None:
    """Runs `make` on a folder beside `path` and renames it; refuses a path that is there."""
    path = Path(path)
    if path.exists():
        raise FileError(f"{path}: expected a folder that does not exist yet")
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
            made = Path(folder) / "made"
            made.mkdir()
            make(made)
            os.rename(made, path)
    except OSError as error:
        raise FileError(f"{path}: cannot be written ({error})") from None


def save(core: _core.Registration, path: str | PathLike[str]) -> None:
    """See `Registration.save`."""
    path = Path(path)
    if path.exists():
        raise FileError(f"{path}: expected a folder that does not exist yet")
    core.save(path)


def load(path: str | PathLike[str]) -> _core.Registration:
    """See `load_registration`."""
    return _core.Registration.load(Path(path))
