"""Amounts of memory as people write them."""

from __future__ import annotations

import re

from .errors import ParameterError

_UNITS = {
    "": 1,
    "b": 1,
    **{prefix + unit: base**power for power, prefix in enumerate("kmgt", 1) for unit, base in (("b", 1000), ("ib", 1024))},
    **{prefix: 1024**power for power, prefix in enumerate("kmgt", 1)},
}


def to_bytes(memory: int | str | None) -> int | None:
    """Bytes of ``4GiB``, ``500 MB``, ``2G`` (1024s) or a number; None stays None (the default of the function)."""
    if memory is None:
        return None
    if isinstance(memory, str):
        match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Z]*)\s*", memory)
        if match is None or match[2].lower() not in _UNITS:
            raise ParameterError(f"parameter `memory`: expected bytes or text such as '4GiB', found {memory!r}")
        memory = int(float(match[1]) * _UNITS[match[2].lower()])
    if memory <= 0:
        raise ParameterError(f"parameter `memory`: expected more than 0 bytes, found {memory}")
    return int(memory)
