"""BrainGlobe's deformation fields: for each voxel of the sample, on the atlas's axes and spacing, its place in the atlas."""

from __future__ import annotations

import struct
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from ..errors import FileError, ParameterError, ShapeError, ZensaiboError
from ._volume import open

_NAMES = [f"deformation_field_{axis}.tiff" for axis in range(3)]
_Ends = tuple[tuple[int, ...], tuple[float, ...]]


def between(fixed: str, moving: str) -> tuple[list[int], list[bool]]:
    """For each axis of the fixed volume: the axis of the moving one along the same direction, and whether it points back."""
    for name, given in (("fixed_orientation", fixed), ("orientation of the sample", moving)):
        if sorted("apsilr".find(letter) // 2 for letter in given.lower()) != [0, 1, 2]:
            raise ParameterError(f"{name}: expected three letters such as 'asr', found {given!r}")
    order = [next(at for at, b in enumerate(moving.lower()) if "apsilr".find(b) // 2 == "apsilr".find(a) // 2) for a in fixed.lower()]
    return order, [moving.lower()[at] != a for at, a in zip(order, fixed.lower(), strict=True)]


def nearest_turn(affine: np.ndarray) -> tuple[list[int], list[bool]]:
    """The same of the right-angled turn nearest to an affine map."""
    from scipy.optimize import linear_sum_assignment

    linear = affine[:, :3] / np.linalg.norm(affine[:, :3], axis=0)
    axes, order = linear_sum_assignment(-np.abs(linear.T))
    return [int(at) for at in order], [bool(linear[at, axis] < 0) for axis, at in zip(axes, order, strict=True)]


def _sample(turn: tuple[list[int], list[bool]], fixed: _Ends, moving: _Ends) -> tuple[tuple[int, ...], np.ndarray]:
    """Shape of the sample on the axes and spacing of the fixed volume, and the map (3, 4) from places there to places of the
    sample as it is stored."""
    (_, um), (shape, own) = fixed, moving
    shapes, matrix = [], np.zeros((3, 4))
    for axis, (at, back) in enumerate(zip(*turn, strict=True)):
        length = shape[at] * own[at]
        shapes.append(max(1, round(length / um[axis])))
        matrix[at, axis] = -1.0 if back else 1.0
        matrix[at, 3] = length if back else 0.0
    return tuple(shapes), matrix


def export(core: _core.Registration, folder: Path, orientation: str | None, fixed_orientation: str, threads: Any) -> None:
    """See `Registration.export_brainglobe`."""
    turn = nearest_turn(np.asarray(core.affine)) if orientation is None else between(fixed_orientation, orientation)
    fixed, moving = core.fixed, core.moving
    shape, matrix = _sample(turn, fixed, moving)
    um = np.array(fixed[1])
    planes = np.empty((3, *shape), dtype="<f4")
    grid = np.indices((1, *shape[1:])).reshape(3, -1).T * um
    for z in range(shape[0]):
        places = (grid + [z * um[0], 0, 0]) @ matrix[:, :3].T + matrix[:, 3]
        found = core.map_points(np.ascontiguousarray(places + core.origin), False, threads, None)
        planes[:, z] = (found.T / 1000.0).reshape(3, *shape[1:])
    for name, field in zip(_NAMES, planes, strict=True):
        write_tiff(folder / name, field)


def load(
    path: str | PathLike[str],
    fixed: _Ends,
    moving: _Ends,
    origin: tuple[float, float, float],
    turn: tuple[list[int], list[bool]],
    threads: Any,
) -> _core.Registration:
    """See `import_brainglobe`; `origin` is that of the moving volume."""
    path = Path(path)
    fields = []
    for name in _NAMES:
        if not (path / name).is_file():
            raise FileError(f"{path}: expected a folder with {', '.join(_NAMES)}; {name} is not there")
        try:
            fields.append(np.asarray(open(path / name), dtype=np.float64))
        except ZensaiboError as error:
            raise type(error)(f"{path / name}: {error}") from None
    shapes = [field.shape for field in fields]
    if len(set(shapes)) != 1 or len(shapes[0]) != 3:
        raise ShapeError(f"{path}: expected three fields of one shape (z, y, x), found {shapes}")
    um = np.array(fixed[1])
    should, matrix = _sample(turn, fixed, moving)
    if any(abs(a - b) > 2 for a, b in zip(shapes[0], should, strict=True)):
        text = "(is the orientation right?)"
        raise ShapeError(f"{path}: expected fields of about {should} voxels for this sample and atlas {text}, found {shapes[0]}")
    goal = np.stack(fields, axis=-1) * 1000.0
    del fields
    # The linear part first, so that what is left is small.
    step = max(1, round((np.prod(shapes[0]) / 50_000) ** (1 / 3)))
    part = goal[::step, ::step, ::step]
    places = np.stack(np.meshgrid(*(np.arange(0, n, step) * u for n, u in zip(shapes[0], um, strict=True)), indexing="ij"), -1)
    design = np.column_stack([places.reshape(-1, 3), np.ones(places.size // 3)])
    linear = np.ascontiguousarray(np.linalg.lstsq(design, part.reshape(-1, 3), rcond=None)[0].T)
    inverse = np.linalg.inv(linear[:, :3])
    places = np.stack(np.meshgrid(*(np.arange(n) * u for n, u in zip(shapes[0], um, strict=True)), indexing="ij"), -1)
    rest = np.ascontiguousarray((goal - linear[:, 3]) @ inverse.T - places, dtype=np.float32)
    del goal, places
    forth = _core.Registration(rest, tuple(um), linear, (shapes[0], tuple(um)), fixed, "{}")
    vectors = np.empty((*fixed[0], 3), dtype=np.float32)
    grid = np.indices((1, *fixed[0][1:])).reshape(3, -1).T * um
    for z in range(fixed[0][0]):
        places = np.ascontiguousarray(grid + [z * um[0], 0, 0])
        found = forth.map_points(places, False, threads, None)
        vectors[z] = (found @ linear[:, :3].T + linear[:, 3] - places).reshape(*fixed[0][1:], 3)
    # Through the linear part back to the turned sample, and to the sample as it is stored.
    back = matrix[:, :3] @ inverse
    affine = np.column_stack([back, matrix[:, 3] - back @ linear[:, 3]])
    return _core.Registration(vectors, tuple(um), np.ascontiguousarray(affine), fixed, moving, "{}", origin)


def write_tiff(path: Path, planes: np.ndarray) -> None:
    """Planes (z, y, x) of float32 as a TIFF file, one page each, not compressed; BigTIFF where they need it."""
    depth, height, width = planes.shape
    size = 4 * height * width
    big = depth * (size + 256) > 2**32 - 2**16
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 32),
        (259, 3, 1),
        (262, 3, 1),
        (273, 16 if big else 4, None),
        (277, 3, 1),
        (278, 4, height),
        (279, 16 if big else 4, size),
        (339, 3, 3),
    ]
    head = struct.pack("<2s3HQ", b"II", 43, 8, 0, 16) if big else struct.pack("<2sHI", b"II", 42, 8)
    count, entry, link = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    page = struct.calcsize(count) + len(entries) * struct.calcsize(entry) + struct.calcsize(link)
    page += -page % 16
    with path.open("wb") as file:
        file.write(head)
        at = len(head)
        for z in range(depth):
            out = struct.pack(count, len(entries))
            for tag, kind, value in entries:
                out += struct.pack(entry, tag, kind, 1, at + page if value is None else value)
            after = at + page + size
            out += struct.pack(link, after if z + 1 < depth else 0)
            file.write(out.ljust(page, b"\0"))
            file.write(np.ascontiguousarray(planes[z], dtype="<f4").tobytes())
            at = after
