"""Units of length that files name, and how they are written."""

from __future__ import annotations

from .errors import ParameterError

#: Names of units, and how they are written; none for "unit".
LENGTHS = {
    "micrometer": "µm",
    "micrometre": "µm",
    "um": "µm",
    "µm": "µm",
    "μm": "µm",
    "nanometer": "nm",
    "nanometre": "nm",
    "nm": "nm",
    "millimeter": "mm",
    "millimetre": "mm",
    "mm": "mm",
    "pixel": "px",
    "px": "px",
    "voxel": "voxel",
    "unit": "",
}

#: Micrometres in one of them.
_MICROMETERS = {"µm": 1.0, "nm": 1e-3, "mm": 1e3}


def unit_of(name: str, where: str) -> str:
    """How a unit is written, or a `ParameterError` that lists those that are known."""
    if name not in LENGTHS:
        raise ParameterError(f"{where}: expected a unit of length ({', '.join(LENGTHS)}), found {name!r}")
    return LENGTHS[name]


def micrometers_in(name: str, where: str) -> float | None:
    """Micrometres in one of a unit; ``None`` for pixels, voxels and none."""
    return _MICROMETERS.get(unit_of(name, where))
