"""An organ with an atlas of its own: a known warp between the two, and known cells."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import FileError, ParameterError

if TYPE_CHECKING:
    import pandas as pd

    from ..im import Atlas, Volume

#: Micrometres along the axes of the atlas (front to back, top to bottom, right to left), and its middle.
_EXTENT = np.array([640.0, 560.0, 480.0])
_MIDDLE = _EXTENT / 2
_SIDES = "asr"
_OPPOSITE = dict(zip("apsirl", "paislr", strict=True))

#: id, acronym, name, parent, brightness, cells per 1000 um^3 (relative), colour. Ids as large as those of real atlases.
_STRUCTURES: tuple[tuple[int, str, str, int | None, float, float, tuple[int, int, int]], ...] = (
    (997, "organ", "Organ", None, 0.0, 0.0, (255, 255, 255)),
    (688, "shell", "Shell", 997, 0.0, 0.0, (112, 255, 113)),
    (526157192, "shell-a", "Shell, anterior part", 688, 0.75, 3.0, (38, 143, 69)),
    (526157196, "shell-p", "Shell, posterior part", 688, 0.95, 1.0, (31, 157, 90)),
    (567, "core", "Core", 997, 0.0, 0.0, (152, 214, 249)),
    (614454277, "core-d", "Core, dorsal part", 567, 0.45, 0.6, (255, 112, 128)),
    (313, "core-v", "Core, ventral part", 567, 0.6, 2.0, (255, 144, 159)),
    (512, "nucleus", "Nucleus of the core", 567, 1.0, 5.0, (240, 240, 128)),
    (507, "bulb", "Bulb", 997, 0.85, 4.0, (154, 210, 189)),
)


@dataclass(frozen=True)
class PhantomOrgan:
    """What `phantom_organ` makes."""

    #: The channel of the cells, (z, y, x) uint16.
    signal: Volume
    #: The channel without them (autofluorescence), on the same grid.
    background: Volume
    #: The atlas: template, annotation, structures.
    atlas: Atlas
    #: One row per cell: z, y, x in micrometres of the sample, atlas_z, atlas_y, atlas_x in those of the atlas, and the
    #: acronym of its structure.
    cells: pd.DataFrame
    _map: _Map = field(repr=False)

    def to_atlas(self, points: Any) -> np.ndarray:
        """The true places in the atlas of places (n, 3) of the sample, both (z, y, x) in micrometres."""
        return self._map.to_atlas(np.asarray(points, dtype=np.float64))

    def to_sample(self, points: Any) -> np.ndarray:
        """The true places in the sample of places (n, 3) of the atlas, both (z, y, x) in micrometres."""
        return self._map.to_sample(np.asarray(points, dtype=np.float64))

    def save(self, folder: str | PathLike[str]) -> Path:
        """Writes signal.ome.zarr, background.ome.zarr, cells.csv and a folder atlas into `folder`, which is made; returns it.

        The atlas is in BrainGlobe's layout, with OME-Zarr in place of TIFF.
        """
        from ..im import write

        folder = Path(folder)
        if folder.exists():
            raise FileError(f"{folder}: expected a folder that does not exist yet")
        (folder / "atlas").mkdir(parents=True)
        write(self.signal, folder / "signal.ome.zarr")
        write(self.background, folder / "background.ome.zarr")
        self.cells.to_csv(folder / "cells.csv", index=False)
        atlas, um = self.atlas, self.atlas.spacing
        metadata = {"name": atlas.name, "orientation": atlas.orientation, "resolution": list(um)}
        (folder / "atlas" / "metadata.json").write_text(json.dumps(metadata, indent=1))
        trail: dict[int | None, list[int]] = {None: []}
        rows = []
        for number, acronym, name, parent, _, _, rgb in _STRUCTURES:
            trail[number] = [*trail[parent], number]
            row = {"id": number, "acronym": acronym, "name": name, "structure_id_path": trail[number], "rgb_triplet": rgb}
            rows.append(row)
        (folder / "atlas" / "structures.json").write_text(json.dumps(rows, indent=1))
        write(atlas.annotation, folder / "atlas" / "annotation.ome.zarr", spacing=um, levels=1)
        write(atlas.template, folder / "atlas" / "reference.ome.zarr", spacing=um, levels=1)
        return folder


class _Map:
    """From the sample to the atlas: axes turned, an affine map, smooth waves."""

    def __init__(self, orientation: str, extent: np.ndarray, warp: float, rng: np.random.Generator) -> None:
        # Rows: axes of the atlas; columns: axes of the sample.
        self.turn, self.shift = np.zeros((3, 3)), np.zeros(3)
        for axis, side in enumerate(_SIDES):
            own = next(at for at, letter in enumerate(orientation) if letter in (side, _OPPOSITE[side]))
            same = orientation[own] == side
            self.turn[axis, own] = 1.0 if same else -1.0
            self.shift[axis] = 0.0 if same else extent[own]
        self.middle = self.turn @ (extent / 2) + self.shift
        a, b, c = np.deg2rad([5.0, -4.0, 3.0])
        turns = [
            np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]),
            np.array([[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]),
            np.array([[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]),
        ]
        self.affine = turns[0] @ turns[1] @ turns[2] @ np.diag([0.96, 1.05, 1.02])
        # Each wave runs one way and moves another; together they reach about `warp`.
        self.waves = rng.normal(size=(6, 3))
        self.waves *= 2 * np.pi / rng.uniform(260.0, 420.0, (6, 1)) / np.linalg.norm(self.waves, axis=1, keepdims=True)
        self.phases = rng.uniform(0, 2 * np.pi, (6, 3))
        self.heights = rng.normal(size=(6, 3))
        self.heights *= warp / np.sqrt((self.heights**2).sum() / 2)

    def to_atlas(self, points: np.ndarray) -> np.ndarray:
        inner = points @ self.turn.T + self.shift
        places = (inner - self.middle) @ self.affine.T + _MIDDLE
        for wave, phase, height in zip(self.waves, self.phases, self.heights, strict=True):
            along = inner @ wave
            for axis in range(3):
                places[..., axis] += height[axis] * np.sin(along + phase[axis])
        return places

    def to_sample(self, points: np.ndarray) -> np.ndarray:
        back = np.linalg.inv(self.affine @ self.turn)
        found = (points - _MIDDLE) @ np.linalg.inv(self.affine).T + self.middle
        found = (found - self.shift) @ self.turn
        for _ in range(60):
            found = found + (points - self.to_atlas(found)) @ back.T
        return found


def _structures(places: np.ndarray) -> np.ndarray:
    """Row of `_STRUCTURES` at places (..., 3) of the atlas; 0 outside."""
    z, y, x = np.moveaxis((places - _MIDDLE) / np.array([250.0, 210.0, 190.0]), -1, 0)
    angle = np.arctan2(y, x)
    # Lumps that no turn or mirror brings back upon themselves.
    far = np.sqrt(z**2 + y**2 + x**2) * (1 + 0.06 * np.sin(3 * angle + 0.7) + 0.05 * np.sin(4 * z + 1.1 * y))
    row = np.where(z < -0.1, 2, 3)
    row = np.where(far < 0.74, np.where(y + 0.25 * np.sin(3 * z) < 0, 5, 6), row)
    row = np.where((z - 0.2) ** 2 + (y - 0.15) ** 2 * 1.6 + x**2 * 0.8 < 0.085, 7, row)
    bulb = (z + 0.98) ** 2 * 1.3 + (y + 0.3) ** 2 * 1.1 + x**2 * 1.4 < 0.12
    return np.where(far < 1, row, np.where(bulb, 8, 0))


def _template(places: np.ndarray, rows: np.ndarray, waves: np.ndarray, phases: np.ndarray) -> np.ndarray:
    """Brightness at places of the atlas: that of the structure, with a texture; 0 outside."""
    level = np.array([0.0, *(row[4] for row in _STRUCTURES[1:])])[rows]
    texture = np.zeros(rows.shape)
    for wave, phase in zip(waves, phases, strict=True):
        texture += np.sin(places @ wave + phase)
    return np.where(rows > 0, level * (1 + 0.12 * texture / np.sqrt(len(waves) / 2)), 0.0)


def _grid(shape: Sequence[int], um: np.ndarray) -> np.ndarray:
    axes = np.meshgrid(*(np.arange(n) * step for n, step in zip(shape, um, strict=True)), indexing="ij")
    return np.stack(axes, axis=-1)


def _cells(n: int, gap: float, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Places in the atlas at least `gap` apart, as dense as each structure says, and their rows of `_STRUCTURES`."""
    from scipy.spatial import cKDTree

    density = np.array([0.0, *(row[5] for row in _STRUCTURES[1:])])
    kept = np.zeros((0, 3))
    for _ in range(50):
        drawn = rng.uniform(0, 1, (20 * n, 3)) * _EXTENT
        drawn = drawn[rng.uniform(0, density.max(), len(drawn)) < density[_structures(drawn)]]
        both = np.concatenate([kept, drawn])
        near = cKDTree(both).query_pairs(gap, output_type="ndarray")
        # Of each pair too near to one another the later one goes; one that is gone already drives none out.
        gone = np.zeros(len(both), dtype=bool)
        for first, second in near[np.lexsort((near[:, 0], near[:, 1]))]:
            if not gone[first]:
                gone[second] = True
        kept = both[~gone][:n]
        if len(kept) == n:
            return kept, _structures(kept)
    raise ParameterError(f"cells: expected a number that finds room, found {n}, of which {len(kept)} do")


def phantom_organ(
    cells: int = 2000,
    *,
    spacing: Sequence[float] = (6.0, 3.0, 3.0),
    atlas_spacing: float = 10.0,
    orientation: str = "psl",
    warp: float = 14.0,
    diameter: float = 10.0,
    noise: float = 0.05,
    seed: int = 0,
) -> PhantomOrgan:
    """An organ half a millimetre across as a light-sheet microscope sees it, with an atlas: the warp between the two and all
    cells are known.

    Parameters
    ----------
    cells
        How many.
    spacing
        Micrometres per voxel of the sample (z, y, x).
    atlas_spacing
        Micrometres per voxel of the atlas.
    orientation
        Sides where index 0 of each axis of the sample lies; the atlas is "asr".
    warp
        Typical displacement in micrometres beyond the turn and the affine map.
    diameter
        Diameter of the cells in micrometres; their centres are at least 1.6 diameters apart.
    noise
        Standard deviation relative to the brightest tissue.
    seed
        The same seed makes the same organ.

    Returns
    -------
    PhantomOrgan

    Raises
    ------
    zensaibo.errors.ParameterError
        An orientation that is none, more cells than find room.

    Notes
    -----
    Held in memory: 4 bytes per voxel of the sample; some 60 while it is made.
    """
    import pandas as pd

    from ..im import load_atlas
    from ..im import open as open_volume

    if sorted(min(side, _OPPOSITE.get(side, "")) for side in orientation) != ["a", "i", "l"]:
        raise ParameterError(f'orientation: expected three sides such as "psl", found {orientation!r}')
    rng = np.random.default_rng(seed)
    um = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3)
    # The sample is a little larger than the organ along each of its own axes.
    along = [next(at for at, side in enumerate(_SIDES) if letter in (side, _OPPOSITE[side])) for letter in orientation]
    shape = np.round(1.06 * _EXTENT[along] / um).astype(int)
    truth = _Map(orientation, (shape - 1) * um, warp, rng)
    waves = rng.normal(size=(16, 3))
    waves *= 2 * np.pi / rng.uniform(60.0, 180.0, (16, 1)) / np.linalg.norm(waves, axis=1, keepdims=True)
    phases = rng.uniform(0, 2 * np.pi, 16)

    fine = np.full(3, float(atlas_spacing))
    grid = _grid(np.round(_EXTENT / fine).astype(int), fine)
    rows = _structures(grid)
    template = 1000 * _template(grid, rows, waves, phases) + rng.normal(0, 1000 * noise / 4, rows.shape)
    ids = np.array([0, *(row[0] for row in _STRUCTURES[1:])], dtype=np.uint32)
    atlas = load_atlas(
        annotation=ids[rows],
        template=np.clip(template, 0, 65535).astype(np.uint16),
        structures=pd.DataFrame(
            [(row[0], row[1], row[2], row[3], row[6]) for row in _STRUCTURES],
            columns=["id", "acronym", "name", "parent_structure_id", "rgb"],
        ),
        spacing=fine,
        orientation=_SIDES,
        name="phantom",
    )

    tissue = np.empty(shape, dtype=np.float32)
    for plane in range(shape[0]):
        places = _grid((1, *shape[1:]), um) + [plane * um[0], 0, 0]
        places = truth.to_atlas(places)
        tissue[plane] = _template(places, _structures(places), waves, phases)[0]
    there, own = _cells(int(cells), 1.6 * diameter, rng)
    centres = truth.to_sample(there)
    stained = np.zeros(shape, dtype=np.float32)
    # Bodies as a bell whose width at half its height is the diameter, a little longer along z.
    sigma = np.array([1.3, 1.0, 1.0]) * diameter / 2.355
    reach = np.ceil(3 * sigma / um).astype(int)
    for centre, height in zip(centres, rng.lognormal(0, 0.2, len(centres)), strict=True):
        middle = np.round(centre / um).astype(int)
        low, high = np.maximum(middle - reach, 0), np.minimum(middle + reach + 1, shape)
        bells = [np.exp(-0.5 * ((np.arange(a, b) * um[k] - centre[k]) / sigma[k]) ** 2) for k, (a, b) in enumerate(zip(low, high, strict=True))]
        stained[tuple(map(slice, low, high))] += height * bells[0][:, None, None] * bells[1][None, :, None] * bells[2]
    channels = []
    for picture in (0.3 * tissue + stained, tissue):
        picture = 100 + 1000 * picture + rng.normal(0, 1000 * noise, shape)
        voxels = np.clip(np.round(picture), 0, 65535).astype(np.uint16)
        channels.append(open_volume(voxels, spacing=tuple(um), orientation=orientation))
    table = pd.DataFrame(
        {
            **{axis: centres[:, place] for place, axis in enumerate("zyx")},
            **{f"atlas_{axis}": there[:, place] for place, axis in enumerate("zyx")},
            "region": [_STRUCTURES[row][1] for row in own],
        }
    )
    return PhantomOrgan(channels[0], channels[1], atlas, table, truth)
