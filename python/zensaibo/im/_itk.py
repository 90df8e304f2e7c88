"""Transforms of ITK: affine maps as text, displacements as NRRD or NIfTI.

ITK counts (x, y, z) in millimetres in a space that points left, posterior, superior (LPS): a voxel lies at origin +
direction x spacing x index. Here places are (z, y, x) in micrometres along the axes of an array from its first voxel. What
leads from one to the other is the origin and direction of the image: a `space`.
"""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from .. import _core
from ..errors import DataError, FileError, ParameterError, FormatError

#: (z, y, x) to (x, y, z).
_TURN = np.eye(3)[::-1]
#: Directions of ITK to which the sides of the body lie.
_LPS = {"l": (1, 0, 0), "r": (-1, 0, 0), "p": (0, 1, 0), "a": (0, -1, 0), "s": (0, 0, 1), "i": (0, 0, -1)}
_ACROSS = dict(zip("lrpasi", "rlapis", strict=True))


def space_of(given: Any, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Origin (3,) in millimetres and direction (3, 3) of an image as ITK sees it."""
    if given is None:
        return np.zeros(3), np.eye(3)
    if isinstance(given, str):
        if sorted("apsilr".find(letter) // 2 for letter in given.lower()) != [0, 1, 2]:
            raise ParameterError(f"{name}: expected three letters such as 'asr', found {given!r}")
        # Each axis leads away from the side where it begins; the last axis of an array is ITK's first.
        columns = [_LPS[_ACROSS[letter]] for letter in reversed(given.lower())]
        return np.zeros(3), np.array(columns, dtype=np.float64).T
    if hasattr(given, "GetOrigin"):
        origin, direction = given.GetOrigin(), given.GetDirection()
    elif hasattr(given, "origin") and hasattr(given, "direction"):
        origin, direction = given.origin, given.direction
    else:
        try:
            origin, direction = given
        except (TypeError, ValueError):
            expected = "an image of SimpleITK or ANTs, an orientation, or (origin, direction)"
            raise ParameterError(f"{name}: expected {expected}, found {type(given).__name__}") from None
    try:
        origin, direction = np.array(origin, dtype=np.float64).ravel(), np.array(direction, dtype=np.float64)
        direction = direction.reshape(3, 3)
    except (TypeError, ValueError):
        raise ParameterError(f"{name}: expected an origin of 3 numbers and a direction of 9, found {given!r}") from None
    if origin.shape != (3,) or not abs(np.linalg.det(direction)) > 1e-6:
        raise ParameterError(f"{name}: expected an origin of 3 numbers and a direction with an inverse, found {given!r}")
    return origin, direction


class Frame:
    """From places (z, y, x) in micrometres to ITK's points and back."""

    def __init__(self, space: tuple[np.ndarray, np.ndarray]) -> None:
        self.origin, self.direction = space
        #: Of differences of places.
        self.matrix = self.direction @ _TURN / 1000.0
        self.back = np.linalg.inv(self.matrix)


def affine_to_itk(affine: np.ndarray, fixed: Frame, moving: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift between ITK's points of a map (3, 4) between places."""
    matrix = moving.matrix @ affine[:, :3] @ fixed.back
    return matrix, moving.matrix @ affine[:, 3] + moving.origin - matrix @ fixed.origin


def affine_from_itk(matrix: np.ndarray, shift: np.ndarray, fixed: Frame, moving: Frame) -> np.ndarray:
    """The way back of `affine_to_itk`."""
    linear = moving.back @ matrix @ fixed.matrix
    return np.column_stack([linear, moving.back @ (matrix @ fixed.origin + shift - moving.origin)])


def write_affine(path: Path, matrix: np.ndarray, shift: np.ndarray) -> None:
    """An affine map as ITK's text."""
    numbers = " ".join(repr(float(value)) for value in [*matrix.ravel(), *shift])
    text = "#Insight Transform File V1.0\n#Transform 0\nTransform: AffineTransform_double_3_3\n"
    path.write_text(f"{text}Parameters: {numbers}\nFixedParameters: 0 0 0\n")


def read_affine(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift of a linear transform, or of several in a row, of ITK's text (.tfm, .txt) or ANTs' .mat."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error})") from None
    parts: list[tuple[str, np.ndarray, np.ndarray]] = []
    if content.startswith(b"#Insight Transform File"):
        pattern = r"(?m)^Transform:[ \t]*(\S+)[ \t\r]*\n(?:Parameters:([^\r\n]*)\r?\nFixedParameters:([^\r\n]*))?"
        try:
            for kind, numbers, centre in re.findall(pattern, content.decode("latin-1")):
                parts.append((kind, *(np.array(text.split(), dtype=np.float64) for text in (numbers, centre))))
        except ValueError as error:
            raise DataError(f"{path}: expected numbers ({error})") from None
    else:
        from scipy.io import loadmat
        from scipy.io.matlab import MatReadError

        try:
            held = loadmat(path)
        except (ValueError, NotImplementedError, TypeError, MatReadError) as error:
            raise DataError(f"{path}: expected a transform of ITK, as text or .mat ({error})") from None
        centre = np.asarray(held.get("fixed", np.zeros(3)), dtype=np.float64).ravel()
        parts += [(kind, np.asarray(v, np.float64).ravel(), centre) for kind, v in held.items() if kind.endswith("_3_3")]
    parts = [part for part in parts if not part[0].startswith("CompositeTransform")]
    if not parts:
        raise DataError(f"{path}: expected a transform between three dimensions, found none")
    matrix, shift = np.eye(3), np.zeros(3)
    # The last one acts first.
    for kind, numbers, centre in reversed(parts):
        own, by = _linear(path, kind, numbers, centre)
        matrix, shift = own @ matrix, own @ shift + by
    return matrix, shift


def _linear(path: Path, kind: str, numbers: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Matrix and shift of one transform: y = M (x - centre) + centre + t."""
    name = kind.split("_")[0]
    lengths = {
        "AffineTransform": 12,
        "MatrixOffsetTransformBase": 12,
        "Euler3DTransform": 6,
        "VersorRigid3DTransform": 6,
        "Similarity3DTransform": 7,
        "TranslationTransform": 3,
        "IdentityTransform": 0,
    }
    if name not in lengths or not kind.endswith("_3_3"):
        raise FormatError(f"{path}: expected a linear transform ({', '.join(lengths)}), found {kind}")
    if len(numbers) < lengths[name] or not np.isfinite(numbers).all() or not np.isfinite(centre).all():
        raise DataError(f"{path}: expected {lengths[name]} finite numbers of {kind}, found {len(numbers)}")
    if name == "IdentityTransform":
        return np.eye(3), np.zeros(3)
    if name == "TranslationTransform":
        return np.eye(3), numbers
    if lengths[name] == 12:
        matrix, shift = numbers[:9].reshape(3, 3), numbers[9:12]
    elif name == "Euler3DTransform":
        (sx, sy, sz), (cx, cy, cz) = np.sin(numbers[:3]), np.cos(numbers[:3])
        x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
        y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
        matrix = z @ y @ x if len(centre) > 3 and centre[3] else z @ x @ y
        shift = numbers[3:6]
    else:
        v = numbers[:3]
        w = np.sqrt(max(0.0, 1.0 - v @ v))
        cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
        matrix = np.eye(3) + 2 * w * cross + 2 * cross @ cross
        matrix *= numbers[6] if name == "Similarity3DTransform" else 1.0
        shift = numbers[3:6]
    about = np.zeros(3) if len(centre) < 3 else centre[:3]
    return matrix, about + shift - matrix @ about


def write_field(path: Path, vectors: np.ndarray, um: Sequence[float], frame: Frame) -> None:
    """Displacements (z, y, x, 3) of places, in micrometres, as an image of vectors."""
    # Components (x, y, z) of ITK's space; x runs fastest in both formats.
    moved = np.ascontiguousarray(vectors.astype(np.float64) @ frame.matrix.T, dtype="<f4")
    depth, height, width, _ = vectors.shape
    mm = np.array(um[::-1]) / 1000.0
    axes = frame.direction * mm
    text = lambda values: ",".join(repr(float(value)) for value in values)  # noqa: E731
    if path.name.endswith(".nrrd"):
        lines = [
            "NRRD0005",
            "type: float",
            "dimension: 4",
            "space: left-posterior-superior",
            f"sizes: 3 {width} {height} {depth}",
            "space directions: none " + " ".join(f"({text(axes[:, axis])})" for axis in range(3)),
            "kinds: vector domain domain domain",
            "endian: little",
            "encoding: gzip",
            f"space origin: ({text(frame.origin)})",
        ]
        content = ("\n".join(lines) + "\n\n").encode() + gzip.compress(moved.tobytes(), 4, mtime=0)
    else:
        # NIfTI's space points right and anterior where ITK's points left and posterior; vectors stay ITK's.
        flip = np.diag([-1.0, -1.0, 1.0])
        rows = np.column_stack([flip @ axes, flip @ frame.origin])
        header = bytearray(352)
        struct.pack_into("<i", header, 0, 348)
        struct.pack_into("<8h", header, 40, 5, width, height, depth, 1, 3, 1, 1)
        struct.pack_into("<h", header, 68, 1007)
        struct.pack_into("<2h", header, 70, 16, 32)
        a, offset, handed = _quaternion(flip @ frame.direction)
        struct.pack_into("<8f", header, 76, handed, *mm, 1, 1, 1, 1)
        struct.pack_into("<3f", header, 108, 352, 1, 0)
        struct.pack_into("<B", header, 123, 2)
        struct.pack_into("<2h", header, 252, int(offset), 1)
        struct.pack_into("<6f", header, 256, *a, *(flip @ frame.origin))
        struct.pack_into("<12f", header, 280, *rows.ravel())
        header[344:348] = b"n+1\0"
        content = bytes(header) + np.moveaxis(moved, -1, 0).tobytes()
        if path.name.endswith(".gz"):
            content = gzip.compress(content, 4, mtime=0)
    path.write_bytes(content)


def _quaternion(direction: np.ndarray) -> tuple[np.ndarray, bool, float]:
    """Vector part of the quaternion of a direction; whether it is a rotation at all; -1 where its third axis is turned
    round."""
    handed = 1.0 if np.linalg.det(direction) > 0 else -1.0
    rotation = direction @ np.diag([1.0, 1.0, handed])
    is_rotation = bool(np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5))
    # The eigenvector of 1 of the symmetric 4 x 4 matrix that belongs to a rotation (Bar-Itzhack 2000).
    m = rotation
    k = np.zeros((4, 4))
    k[1:, 1:] = m + m.T - np.trace(m) * np.eye(3)
    k[0, 0] = np.trace(m)
    k[0, 1:] = k[1:, 0] = [m[2, 1] - m[1, 2], m[0, 2] - m[2, 0], m[1, 0] - m[0, 1]]
    q = np.linalg.eigh(k)[1][:, -1]
    return (q if q[0] >= 0 else -q)[1:], is_rotation, handed


def read_field(path: str | PathLike[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Displacements (z, y, x, 3: x, y, z of ITK, millimetres), origin, and steps of one voxel (columns x, y, z)."""
    path = Path(path)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error})") from None
    try:
        if content.startswith(b"NRRD"):
            found = _nrrd_field(path, content)
        else:
            found = _nifti_field(path, gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content)
    except (ValueError, IndexError, KeyError, struct.error, OSError, EOFError) as error:
        raise DataError(f"{path}: expected an image of displacements (damaged: {error})") from None
    if not np.isfinite(found[0]).all():
        raise DataError(f"{path}: expected finite displacements")
    return found


def _nrrd_field(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    end = re.search(rb"\r?\n\r?\n", content)
    if end is None:
        raise DataError(f"{path}: expected a NRRD file with its data in it")
    fields = {}
    for line in content[: end.start()].decode("latin-1").splitlines()[1:]:
        key, mark, value = line.partition(":")
        if mark and not line.startswith("#"):
            fields[key.strip().lower()] = value.strip().lstrip("=").strip()
    sizes = [int(n) for n in fields["sizes"].split()]
    if len(sizes) != 4 or sizes[0] != 3 or "data file" in fields:
        raise DataError(f"{path}: expected sizes 3 x y z and the data in the file, found {fields['sizes']}")
    kinds = {"float": "f4", "double": "f8"}
    order = "<" if fields.get("endian", "little") == "little" else ">"
    data = content[end.end() :]
    encoding = fields.get("encoding", "raw").lower()
    if encoding in ("gzip", "gz"):
        data = gzip.decompress(data)
    elif encoding != "raw":
        raise FormatError(f"{path}: expected encoding raw or gzip, found {encoding}")
    if fields["type"] not in kinds:
        raise FormatError(f"{path}: expected type float or double, found {fields['type']}")
    vectors = np.frombuffer(data, dtype=order + kinds[fields["type"]], count=int(np.prod(sizes)))
    vectors = vectors.reshape(*sizes[:0:-1], 3).astype(np.float64)
    triples = re.findall(r"\(([^)]*)\)", fields["space directions"])
    axes = np.array([[float(v) for v in triple.split(",")] for triple in triples]).T
    origin = np.array([float(v) for v in fields.get("space origin", "(0,0,0)").strip("()").split(",")])
    if axes.shape != (3, 3) or origin.shape != (3,):
        raise DataError(f"{path}: expected three space directions, found {fields['space directions']}")
    space = fields.get("space", "left-posterior-superior").lower()
    signs = {"left-posterior-superior": (1, 1, 1), "lps": (1, 1, 1), "right-anterior-superior": (-1, -1, 1), "ras": (-1, -1, 1)}
    if space not in signs:
        raise FormatError(f"{path}: expected space left-posterior-superior or right-anterior-superior, found {space}")
    flip = np.array(signs[space], dtype=np.float64)
    # Vectors of a space other than LPS are turned as ITK turns them: not at all; only the grid is.
    return vectors, flip * origin, flip[:, None] * axes


def _nifti_field(path: Path, content: bytes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    order = "<" if struct.unpack_from("<i", content, 0)[0] == 348 else ">"
    if struct.unpack_from(order + "i", content, 0)[0] != 348:
        raise DataError(f"{path}: expected NRRD or NIfTI-1")
    dim = struct.unpack_from(order + "8h", content, 40)
    code = struct.unpack_from(order + "h", content, 70)[0]
    kinds = {16: "f4", 64: "f8"}
    if dim[0] != 5 or dim[4] != 1 or dim[5] != 3 or code not in kinds:
        raise DataError(f"{path}: expected x y z 1 3 floating-point numbers, found dimensions {dim[1 : dim[0] + 1]}, type {code}")
    intent = struct.unpack_from(order + "h", content, 68)[0]
    pixdim = struct.unpack_from(order + "8f", content, 76)
    start = int(struct.unpack_from(order + "f", content, 108)[0])
    qform, sform = struct.unpack_from(order + "2h", content, 252)
    flip = np.diag([-1.0, -1.0, 1.0])
    if sform > 0:
        rows = np.array(struct.unpack_from(order + "12f", content, 280)).reshape(3, 4)
        axes, origin = rows[:, :3], rows[:, 3]
    elif qform > 0:
        b, c, d, *there = struct.unpack_from(order + "6f", content, 256)
        origin = np.array(there)
        v = np.array([b, c, d])
        cross = np.array([[0, -d, c], [d, 0, -b], [-c, b, 0]])
        rotation = np.eye(3) + 2 * np.sqrt(max(0.0, 1 - v @ v)) * cross + 2 * cross @ cross
        handed = -1.0 if pixdim[0] < 0 else 1.0
        axes, origin = rotation * (np.array(pixdim[1:4]) * [1, 1, handed]), np.array(origin)
    else:
        axes, origin = flip @ np.diag(pixdim[1:4]), np.zeros(3)
    units = {1: 1000.0, 3: 0.001}.get(content[123] & 7, 1.0)
    sizes = dim[3], dim[2], dim[1]
    vectors = np.frombuffer(content, dtype=order + kinds[code], count=3 * int(np.prod(sizes)), offset=start)
    vectors = np.moveaxis(vectors.reshape(3, *sizes), 0, -1).astype(np.float64)
    if intent == 1006:
        # Displacement vectors of this intent are NIfTI's, those of 1007 ITK's.
        vectors = vectors @ flip
    return vectors * units, flip @ np.asarray(origin) * units, flip @ axes * units


def on_grid(
    field: tuple[np.ndarray, np.ndarray, np.ndarray], frame: Frame, shape: tuple[int, ...], um: Sequence[float]
) -> tuple[np.ndarray, tuple[float, ...]]:
    """Displacements of places in micrometres (z, y, x, 3) float32 and their spacing, on the grid of the file where it begins
    and points as the fixed volume does, else on that of the fixed volume: linear, and 0 beyond the file's grid."""
    from scipy.ndimage import map_coordinates

    vectors, origin, axes = field
    mm = np.linalg.norm(axes, axis=0)
    if np.allclose(axes / mm, frame.direction, atol=1e-5) and np.allclose(origin, frame.origin, atol=1e-4 * mm.min()):
        return np.ascontiguousarray(vectors @ frame.back.T, dtype=np.float32), tuple(1000.0 * mm[::-1])
    to_index = np.linalg.inv(axes)
    out = np.empty((*shape, 3), dtype=np.float32)
    plane = np.stack(np.meshgrid(*(np.arange(n) * u for n, u in zip(shape[1:], um[1:], strict=True)), indexing="ij"), -1)
    for z in range(shape[0]):
        place = np.concatenate([np.full((*plane.shape[:2], 1), z * um[0]), plane], axis=-1)
        index = ((place @ frame.matrix.T + frame.origin - origin) @ to_index.T)[..., ::-1]
        at = np.moveaxis(index, -1, 0)
        last = np.array(vectors.shape[:3])[:, None, None] - 1
        inside = ((at >= -1e-6) & (at <= last + 1e-6)).all(axis=0)
        seen = np.stack([map_coordinates(vectors[..., part], at, order=1, mode="nearest") for part in range(3)], -1)
        out[z] = (seen * inside[..., None]) @ frame.back.T
    return out, tuple(um)


def export(
    core: _core.Registration, folder: Path, fixed: Frame, moving: Frame, ending: str, inverse: np.ndarray | None
) -> None:
    """Writes the files of `Registration.export_itk`."""
    affine = np.asarray(core.affine)
    matrix, shift = affine_to_itk(affine, fixed, moving)
    write_affine(folder / "affine.tfm", matrix, shift)
    write_field(folder / f"displacements{ending}", core.vectors(), core.field_spacing, fixed)
    if inverse is not None:
        back = np.linalg.inv(matrix)
        write_affine(folder / "inverse_affine.tfm", back, -back @ shift)
        write_field(folder / f"inverse_displacements{ending}", inverse, core.field_spacing, fixed)
