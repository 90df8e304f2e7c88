"""Calls of the extension whose matrix or volume other machines may look at."""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from . import _core


class Machines(Protocol):
    """Those that compute parts of passes."""

    def call(self, function: Callable[..., Any], at: int, args: tuple[Any, ...]) -> Any:
        """Calls a function of the extension; ``args[at]`` is the matrix or volume whose passes are computed in parts."""


#: Set by `zensaibo.dist.use`.
machines: ContextVar[Machines | None] = ContextVar("zensaibo_machines", default=None)


def call(function: Callable[..., Any], *args: Any) -> Any:
    """Calls a function of the extension: here, or, for a matrix or volumes in files, on the machines that are in use."""
    elsewhere = machines.get()
    at = next((at for at, arg in enumerate(args) if isinstance(arg, (_core.FileMatrix, _core.Volume))), None)
    if elsewhere is None or at is None:
        return function(*args)
    if any(isinstance(arg, _core.Volume) and not arg.in_file for arg in args):
        # Other machines cannot see it.
        return function(*args)
    return elsewhere.call(function, at, args)
