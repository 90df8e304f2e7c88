"""Data to try things on: made here, or found on this machine."""

from ._registry import locate, pbmc3k, registry
from ._simulate import demo, simulate

__all__ = [
    "demo",
    "locate",
    "pbmc3k",
    "registry",
    "simulate",
]
