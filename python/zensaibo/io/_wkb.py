"""Geometry as well-known binary (OGC 06-103r4): points, polygons, several polygons in one."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ..errors import DataError, FormatError

_POINT, _POLYGON, _MULTI = 1, 3, 6


def kind_of(geometry: Any) -> str:
    """ "Point" for numbers, "Polygon" for a list of rings, "MultiPolygon" for a list of such lists."""
    if np.ndim(geometry[0]) == 0:
        return "Point"
    first = geometry[0][0]
    return "Polygon" if np.ndim(first) == 1 else "MultiPolygon"


def to_wkb(geometry: Any, where: str) -> bytes:
    kind = kind_of(geometry)
    if kind == "Point":
        place = np.asarray(geometry, dtype="<f8")
        if place.shape not in ((2,), (3,)) or not np.isfinite(place).all():
            raise DataError(f"{where}: expected two or three finite coordinates, found {place.tolist()}")
        # 1001: a point with z.
        return struct.pack("<BI", 1, _POINT + (1000 if len(place) == 3 else 0)) + place.tobytes()
    if kind == "Polygon":
        return _polygon(geometry, where)
    return struct.pack("<BII", 1, _MULTI, len(geometry)) + b"".join(_polygon(one, where) for one in geometry)


def _polygon(rings: Any, where: str) -> bytes:
    packed = [struct.pack("<BII", 1, _POLYGON, len(rings))]
    for ring in rings:
        corners = np.asarray(ring, dtype="<f8")
        if corners.ndim != 2 or corners.shape[1] != 2 or len(corners) < 3 or not np.isfinite(corners).all():
            raise DataError(f"{where}: expected rings of at least three finite corners (x, y), found shape {corners.shape}")
        if not np.array_equal(corners[0], corners[-1]):
            corners = np.vstack([corners, corners[:1]])
        packed.append(struct.pack("<I", len(corners)) + np.ascontiguousarray(corners, dtype="<f8").tobytes())
    return b"".join(packed)


def from_wkb(data: bytes, where: str) -> Any:
    """An array (2 or 3), a list of rings (closed: the first corner is repeated), or a list of such lists."""
    try:
        geometry, end = _read(data, 0, where)
    except (struct.error, ValueError) as error:
        raise FormatError(f"{where}: expected well-known binary, found a damaged one ({error})") from error
    if end != len(data):
        raise FormatError(f"{where}: expected well-known binary of {end} bytes, found {len(data)}")
    return geometry


def _read(data: bytes, at: int, where: str) -> tuple[Any, int]:
    order = "<" if data[at] else ">"
    (code,) = struct.unpack_from(f"{order}I", data, at + 1)
    at += 5
    # With z: 1000 more (ISO), or the highest bit set (EWKB).
    solid = bool(code & 0x80000000) or (code & 0x0FFFFFFF) // 1000 == 1
    kind, size = (code & 0x0FFFFFFF) % 1000, 3 if solid else 2
    if kind == _POINT:
        return np.frombuffer(data, f"{order}f8", size, at).astype(np.float64), at + 8 * size
    if kind == _POLYGON:
        (count,) = struct.unpack_from(f"{order}I", data, at)
        at += 4
        rings = []
        for _ in range(count):
            (corners,) = struct.unpack_from(f"{order}I", data, at)
            at += 4
            ring = np.frombuffer(data, f"{order}f8", size * corners, at).astype(np.float64).reshape(corners, size)
            rings.append(ring[:, :2].copy())
            at += 8 * size * corners
        return rings, at
    if kind == _MULTI:
        (count,) = struct.unpack_from(f"{order}I", data, at)
        at += 4
        polygons = []
        for _ in range(count):
            polygon, at = _read(data, at, where)
            polygons.append(polygon)
        return polygons, at
    raise FormatError(f"{where}: expected points or polygons, found geometry of type {code}")
