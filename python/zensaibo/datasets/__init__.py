"""Data to try things on: made here, or found on this machine."""

from ._organ import PhantomOrgan, phantom_organ
from ._organoid import PhantomOrganoid, phantom_organoid
from ._phantom import PhantomVolume, phantom_volume
from ._registry import locate, pbmc3k, registry
from ._simulate import demo, simulate

__all__ = [
    "PhantomOrgan",
    "PhantomOrganoid",
    "PhantomVolume",
    "demo",
    "locate",
    "pbmc3k",
    "phantom_organ",
    "phantom_organoid",
    "phantom_volume",
    "registry",
    "simulate",
]
