"""zensaibo: single-cell omics and imaging analysis, Rust core, Python face.

``import zensaibo as zs``; AnnData in, AnnData changed in place, results under scanpy's slots.

- ``zs.pp``, ``zs.tl``, ``zs.pl``, ``zs.get``: scanpy's names and parameters.
- ``zs.arrays``: the same algorithms as pure functions on numpy and scipy arrays.
- ``zs.im``: volumes of cleared tissue. ``zs.sp``: cells in tissue, under squidpy's names.
- ``zs.dist``: passes over files on the machines of a Dask cluster.
- ``zs.io``, ``zs.datasets``, ``zs.metrics``: files, data, scores.
- ``zs.errors``: one class per kind of fault.
"""

from importlib import import_module as _import_module
from typing import TYPE_CHECKING

from . import errors
from ._core import __version__

if TYPE_CHECKING:
    from . import arrays, datasets, dist, get, im, io, metrics, pl, pp, sp, tl

__all__ = ["__version__", "arrays", "datasets", "dist", "errors", "get", "im", "io", "metrics", "pl", "pp", "sp", "tl"]

_LAZY = frozenset({"arrays", "datasets", "dist", "get", "im", "io", "metrics", "pl", "pp", "sp", "tl"})


def __getattr__(name: str):
    # Loaded on first use, so that `import zensaibo` costs next to nothing.
    if name in _LAZY:
        return _import_module(f".{name}", __name__)
    raise AttributeError(f"module 'zensaibo' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
