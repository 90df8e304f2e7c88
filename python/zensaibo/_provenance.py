"""What was run, with which options: stored beside every result."""

from typing import Any

from . import _core
from ._keys import PROVENANCE


def _storable(value: Any) -> Any:
    """``value`` as something h5ad can hold. ``None`` becomes the string "None" (HDF5 has no null)."""
    if value is None:
        return "None"
    if isinstance(value, dict):
        return {str(key): _storable(item) for key, item in value.items()}
    if isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (list, tuple)):
        return [_storable(item) for item in value] if value else "[]"
    return str(value)


def record(adata: Any, function: str, **options: Any) -> None:
    """Writes ``uns["zensaibo"][function] = {"version": ..., "options": {...}}``."""
    entry = {"version": _core.__version__, "options": _storable(options)}
    # A new dict each time: a shallow copy of an AnnData must not see the change.
    adata.uns[PROVENANCE] = {**adata.uns.get(PROVENANCE, {}), function: entry}
