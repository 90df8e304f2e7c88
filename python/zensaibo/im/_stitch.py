"""Stitching: overlapping tiles as one volume."""

from __future__ import annotations

import json
import os
import tempfile
import warnings
from collections.abc import Sequence
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, FileError, ParameterError, ShapeError
from ._volume import Volume, _triple, open, write

if TYPE_CHECKING:
    import pandas as pd

_VERSION = 1


class Stitching:
    """What `stitch` returns: where each tile lies, how bright it is, and the volume that they make.

    Places are (z, y, x) in micrometres (voxels where nobody said how large these are) of the centre of a tile's first voxel.
    """

    def __init__(
        self, found: dict[str, Any], names: list[str], tiles: list[Volume] | None, fuse: dict[str, Any], source: Any
    ) -> None:
        self._found = found
        self._tiles = tiles
        self._fuse = fuse
        self._source = source
        #: Names of the tiles.
        self.names = names
        #: The OME-Zarr that was written, or None.
        self.path: Path | None = None

    def __repr__(self) -> str:
        used = sum(pair["verdict"] == "used" for pair in self._found["pairs"])
        return f"Stitching({len(self.names)} tiles, {used} of {len(self._found['pairs'])} pairs used)"

    @property
    def spacing(self) -> tuple[float, float, float]:
        """Micrometres per voxel along z, y and x."""
        return tuple(self._found["spacing"])

    @property
    def positions(self) -> np.ndarray:
        """(tiles, 3) float64: where each tile lies."""
        return np.array(self._found["positions"], dtype=np.float64)

    @property
    def nominal(self) -> np.ndarray:
        """(tiles, 3) float64: where each tile was said to lie."""
        return np.array(self._found["nominal"], dtype=np.float64)

    @property
    def gains(self) -> np.ndarray:
        """(tiles,) float64: what each tile is multiplied by, above `dark`. Their geometric mean is 1 in each group."""
        return np.array(self._found["gains"], dtype=np.float64)

    @property
    def placed(self) -> np.ndarray:
        """(tiles,) bool: whether any pair places the tile. The others lie beside their neighbours as they were said to."""
        return np.array(self._found["placed"], dtype=bool)

    @property
    def warnings(self) -> list[str]:
        """What is worth knowing: pairs that were dropped, tiles that nothing places."""
        return list(self._found["warnings"])

    @property
    def tiles(self) -> pd.DataFrame:
        """One row per tile: name, z, y, x, moved_z, moved_y, moved_x (from where it was said to lie), gain, placed, group."""
        import pandas as pd

        positions, moved = self.positions, self.positions - self.nominal
        columns: dict[str, Any] = {"name": self.names}
        columns |= {axis: positions[:, a] for a, axis in enumerate("zyx")}
        columns |= {f"moved_{axis}": moved[:, a] for a, axis in enumerate("zyx")}
        return pd.DataFrame(columns | {"gain": self.gains, "placed": self.placed, "group": self._found["group"]})

    @property
    def pairs(self) -> pd.DataFrame:
        """One row per pair of tiles that overlap.

        ``tile_a, tile_b``; ``shift_z, shift_y, shift_x``: by how much the second lies elsewhere relative to the first than it
        was said to; ``correlation`` there, ``rival`` (of the best other place) and ``voxels`` of tissue in both; ``used`` and
        ``verdict`` ("used", "little_tissue", "low_correlation", "at_border", "ambiguous", "contradicts"); ``residual``: how far
        that is from where the tiles were placed, also along each axis; ``closure``: how far one is from where one began, going
        along this pair and back along the fewest others; ``step_before``, ``step_after``: difference in intensity in percent
        without and with gains. NaN where a number means nothing.
        """
        import pandas as pd

        pairs = self._found["pairs"]
        nowhere = [np.nan] * 3

        def vectors(key: str) -> np.ndarray:
            return np.array([pair[key] or nowhere for pair in pairs], dtype=np.float64).reshape(-1, 3)

        def numbers(key: str) -> np.ndarray:
            return np.array([pair[key] for pair in pairs], dtype=np.float64)

        shift, residual = vectors("shift"), vectors("residual")
        verdict = [pair["verdict"] for pair in pairs]
        columns: dict[str, Any] = {"tile_a": [pair["a"] for pair in pairs], "tile_b": [pair["b"] for pair in pairs]}
        columns |= {f"shift_{axis}": shift[:, a] for a, axis in enumerate("zyx")}
        columns |= {
            "correlation": numbers("correlation"),
            "rival": numbers("rival"),
            "voxels": [pair["voxels"] for pair in pairs],
            "used": [name == "used" for name in verdict],
            "verdict": verdict,
            "residual": np.linalg.norm(residual, axis=1),
        }
        columns |= {f"residual_{axis}": residual[:, a] for a, axis in enumerate("zyx")}
        columns |= {"closure": np.linalg.norm(vectors("closure"), axis=1)}
        return pd.DataFrame(columns | {name: numbers(name) for name in ("step_before", "step_after")})

    def report(self) -> dict[str, Any]:
        """The numbers in short.

        ``tiles``, ``placed``, ``pairs``, ``used``, ``warnings``; (median, largest) over the pairs that are used of ``residual``
        and ``closure`` (micrometres), ``step_before`` and ``step_after`` (percent), None where there is none; and of ``moved``
        over the tiles.
        """
        summary = json.loads(_core.im_stitch_summary(json.dumps(self._found)))
        known = {"tiles": len(self.names), "placed": int(self.placed.sum())}
        return known | {k: tuple(v) if isinstance(v, list) else v for k, v in summary.items()} | {"warnings": self.warnings}

    @property
    def volume(self) -> Volume:
        """All tiles as one volume, put together where it is read; see `fuse`."""
        return self.fuse(**self._fuse)

    def fuse(self, *, blend: float | None = None, interpolate: bool = True) -> Volume:
        """All tiles as one volume of their number type, put together where it is read; nothing is held in memory.

        Parameters
        ----------
        blend
            Micrometres from the border of a tile over which its weight rises; by default the whole way to its middle, so that
            neighbours cross-fade over all of their overlap. The weights along z, y and x are multiplied.
        interpolate
            Whether tiles are moved by parts of a voxel, by linear interpolation; otherwise by whole voxels, which leaves every
            voxel as it was taken.

        Returns
        -------
        Volume, its origin where the first tiles begin. Where no tile lies, it is 0. Where one tile lies, voxels are that
        tile's times its gain. Voxels go through float32.

        Raises
        ------
        zensaibo.errors.ParameterError
            Options out of range; a stitching that was loaded without its tiles.
        """
        if self._tiles is None:
            raise ParameterError("parameter `tiles`: expected the tiles to be given to `load_stitching`, found none")
        options = to_json(blend=None if blend is None else float(blend), interpolate=bool(interpolate))
        tiles = [tile._core for tile in self._tiles]
        positions = [tuple(place) for place in self._found["positions"]]
        found = self._found
        return Volume(_core.im_fuse(tiles, positions, found["gains"], found["dark"], tuple(found["spacing"]), options))

    def write(
        self,
        path: str | PathLike[str],
        *,
        memory: int | str | None = None,
        threads: int | None = None,
        progress: bool | Progress | None = None,
        **options: Any,
    ) -> None:
        """Writes the volume as OME-Zarr with a pyramid, block by block within `memory`; takes what `zensaibo.im.write` takes.

        Parameters
        ----------
        path
            The folder to write, which should end in ".ome.zarr".
        memory
            Working memory in bytes or as text; 1 GiB by default.
        threads, progress
            See :mod:`zensaibo`.
        **options
            Further keywords of `zensaibo.im.write`, such as ``version`` and ``chunk``.
        """
        if any(os.path.exists(name) and os.path.exists(path) and os.path.samefile(name, path) for name in self.names):
            raise ParameterError(f"parameter `path`: expected a name other than those of the tiles, found {path}")
        write(self.volume, path, memory=memory, threads=threads, progress=progress, **options)
        self.path = Path(path)

    def save(self, path: str | PathLike[str]) -> None:
        """Saves places, gains and pairs as JSON, written beside and renamed, so that `load_stitching` can go on from there."""
        path = Path(path)
        text = {
            "zensaibo": "stitching",
            "version": _VERSION,
            "names": self.names,
            "source": self._source,
            "fuse": self._fuse,
            "found": self._found,
        }
        try:
            with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
                json.dump(text, file, indent=1)
            os.replace(file.name, path)
        except OSError as error:
            raise FileError(f"{path}: cannot write: {error}") from None


def load_stitching(path: str | PathLike[str], tiles: Any = None) -> Stitching:
    """A stitching that was saved.

    Parameters
    ----------
    path
        What `Stitching.save`, or ``zensaibo stitch --positions``, left.
    tiles
        The tiles in the order in which they were stitched. By default they are opened again where they lay, if they were
        opened by name; of arrays, places and pairs alone come back and `Stitching.volume` is refused.

    Returns
    -------
    Stitching

    Raises
    ------
    zensaibo.errors.FileError, zensaibo.errors.DataError
        A file that is not there, or that holds no stitching.
    zensaibo.errors.ParameterError
        Another number of tiles than were stitched.
    """
    path = Path(path)
    try:
        text = json.loads(path.read_text())
    except OSError as error:
        raise FileError(f"{path}: expected a stitching that was saved ({error})") from None
    except ValueError as error:
        raise DataError(f"{path}: damaged ({error})") from None
    if not isinstance(text, dict) or text.get("zensaibo") != "stitching" or text.get("version") != _VERSION:
        raise DataError(f"{path}: expected a stitching of version {_VERSION}, found another file")
    try:
        names, source, found, fuse = (text[key] for key in ("names", "source", "found", "fuse"))
        um = found["spacing"]
    except (KeyError, TypeError) as error:
        raise DataError(f"{path}: damaged: expected {error}, found none") from None
    opened: list[Volume] | None = None
    if tiles is not None:
        opened = [open(tile, um) for tile in tiles]
    elif source is not None:
        opened = [Volume(core) for _, core, _ in _core.im_open_tiles(*_arguments(source))]
    if opened is not None and len(opened) != len(names):
        raise ParameterError(f"parameter `tiles`: expected the {len(names)} tiles that were stitched, found {len(opened)}")
    return Stitching(found, names, opened, fuse, source)


def stitch(
    tiles: Any,
    *,
    positions: Any = None,
    overlap: Sequence[float] | float | None = None,
    grid: Sequence[int] | None = None,
    order: str = "rows",
    spacing: Sequence[float] | float | None = None,
    axes: str | None = None,
    channel: int = 0,
    search: Sequence[float] | float | None = None,
    background: float | None = None,
    dark: float = 0.0,
    least_correlation: float = 0.25,
    least_voxels: int = 500,
    tolerance: float | None = None,
    gains: bool = True,
    blend: float | None = None,
    interpolate: bool = True,
    out: str | PathLike[str] | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Stitching:
    """Finds where overlapping tiles lie from what neighbours both show, evens out their brightness and makes one volume.

    Parameters
    ----------
    tiles
        - The path of a BigDataViewer XML: all its tiles, their channels together, where its registrations put them.
        - The path of a table (.csv, .parquet), or a DataFrame: a column ``file`` (in a file, relative to it; in a DataFrame,
          anything that `zensaibo.im.open` takes) and columns ``y``, ``x`` (and ``z``) in micrometres, or ``row``, ``column``
          (and ``layer``), whole numbers, which need `overlap`.
        - A name with places: ``"scan/tile_r{row}_c{column}.tif"`` (and ``{layer}``), ``{y}``, ``{x}`` and ``{z}`` for
          micrometres, or ``{tile}`` for the number of the tile in `grid`; ``*`` stands for anything. Row, column and number
          count from any first one.
        - The path of an OME-TIFF of several images, or a list of paths: what OME-TIFF (position of the first plane) and
          OME-Zarr (translation) say, unless `grid` is given.
        - A list of anything that `zensaibo.im.open` takes, with `positions`, with `grid` and `overlap`, or with origins.
    positions
        (tiles, 3) where the centre of the first voxel of each tile lies, in micrometres; (tiles, 2) for y and x.
    overlap
        Share of a tile that its neighbour shows too, such as 0.1: one number, or one along each of z, y and x.
    grid
        (rows, columns), for tiles that are listed or numbered.
    order
        Their order in the grid: "rows" (row after row from the first column), "snake" (every second row backwards), "columns"
        or "snake_columns".
    spacing
        Micrometres per voxel; that of the tiles by default, else 1: lengths are then voxels.
    axes
        Names of the axes, where files or arrays do not name them.
    channel
        Channel that shows the tissue; all of them are fused. Of several time points the first one counts.
    search
        How far a tile may lie from where it is said to relative to a neighbour, in micrometres: one number, or along z, y, x. By
        default a twentieth of the tile, at least 10 voxels.
    background
        Intensity above which there is tissue, as the mean around a voxel; by default found in each overlap, where its
        intensities fall into two classes.
    dark
        What the camera reads without light. Gains act on what lies above.
    least_correlation
        Correlation below which two tiles are not believed to show the same. More is asked where they share few voxels: 12 over
        the root of their number.
    least_voxels
        Voxels of tissue that they must share, at the resolution of the search.
    tolerance
        Micrometres by which a pair may contradict the others before it is dropped; by default 2 voxels of each axis. Three
        times the median of all pairs is always allowed.
    gains
        Whether each tile gets a gain, so that neighbours are equally bright where they overlap.
    blend, interpolate
        How the tiles are fused: see `Stitching.fuse`.
    out
        An OME-Zarr to write with the result, block by block.
    memory
        Working memory in bytes or as text ("4GiB"); 2 GiB for comparing and 1 GiB for writing by default.
    threads, progress
        See :mod:`zensaibo`. Threads and memory change the time and nothing else.

    Returns
    -------
    Stitching

    Raises
    ------
    zensaibo.errors.ParameterError
        Nothing says where the tiles lie, two lie at one place, options out of range.
    zensaibo.errors.DataError
        Fewer than two tiles, none that overlap, tiles that differ in number type, channels or spacing; no two tiles that
        show the same tissue, with what became of the pairs.
    zensaibo.errors.FormatError, zensaibo.errors.FileError
        Files that cannot be read or written.

    Warns
    -----
    UserWarning
        Pairs that contradict the others and were dropped; tiles that no pair places.

    Notes
    -----
    Of each pair, what both may hold is read once at a reduced resolution: the Pearson correlation of the logarithm of
    intensity, over voxels of tissue that both hold, is computed at every whole shift of the search by Fourier transforms
    (Padfield 2012, IEEE Trans. Image Processing 21, 2706), then closer and closer on the bricks with most structure, to
    parts of a voxel by a parabola. Places minimise the weighted squares of what pairs say; before that, pairs that
    contradict a solution by least distances are dropped. Nothing is random. A pair takes about 0.2 CPU-seconds and reading,
    and 160 MiB.
    """
    names, volumes, places, um, source = _tiles(tiles, positions, overlap, grid, order, spacing, axes)
    options = to_json(
        channel=channel,
        search=None if search is None else list(_triple("search", search)),
        background=None if background is None else float(background),
        dark=float(dark),
        least_correlation=float(least_correlation),
        least_voxels=least_voxels,
        tolerance=None if tolerance is None else float(tolerance),
        gains=bool(gains),
        memory=to_bytes(memory),
    )
    fuse = {"blend": None if blend is None else float(blend), "interpolate": bool(interpolate)}
    with reporting(progress) as callback:
        cores = [volume._core for volume in volumes]
        text = _core.im_stitch(cores, [tuple(map(float, place)) for place in places], um, options, threads, callback)
    result = Stitching(json.loads(text), names, volumes, fuse, source)
    for line in result.warnings:
        warnings.warn(f"stitch: {line}", stacklevel=2)
    if out is not None:
        result.write(out, memory=memory, threads=threads, progress=progress)
    return result


def _arguments(source: dict[str, Any]) -> tuple[Any, ...]:
    """What `_core.im_open_tiles` takes, from what was saved."""
    return tuple(source[key] for key in ("paths", "spacing", "axes", "overlap", "grid", "order"))


def _shares(overlap: Sequence[float] | float | None) -> tuple[float, float, float] | None:
    return None if overlap is None else _triple("overlap", overlap)


def _tiles(
    tiles: Any, positions: Any, overlap: Any, grid: Any, order: str, spacing: Any, axes: str | None
) -> tuple[list[str], list[Volume], np.ndarray, tuple[float, float, float], Any]:
    """Names, volumes, places, spacing, and how to open them again."""
    um = None if spacing is None else _triple("spacing", spacing)
    if grid is not None:
        grid = [int(n) for n in grid]
        if len(grid) != 2 or min(grid) < 1:
            raise ParameterError(f"parameter `grid`: expected (rows, columns) of at least 1, found {grid}")
    if hasattr(tiles, "columns") and hasattr(tiles, "iloc"):
        tiles, positions, cells = _from_table(tiles, positions)
    else:
        cells = None
    single = isinstance(tiles, (str, PathLike))
    if not single and (isinstance(tiles, (np.ndarray, Volume)) or not hasattr(tiles, "__len__")):
        raise ParameterError(f"parameter `tiles`: expected a path, a table or a list of tiles, found {type(tiles).__name__}")
    named = single or (len(tiles) > 0 and all(isinstance(tile, (str, PathLike)) for tile in tiles))
    if named and positions is None and cells is None:
        paths = [os.path.abspath(fspath(tile)) for tile in ([tiles] if single else tiles)]
        again = {"paths": paths, "spacing": um, "axes": axes, "overlap": _shares(overlap), "grid": grid, "order": order}
        found = _core.im_open_tiles(*_arguments(again))
        names, volumes = [name for name, _, _ in found], [Volume(core) for _, core, _ in found]
        places = np.array([place for _, _, place in found], dtype=np.float64)
        return names, volumes, places, _common(volumes, um), again
    if single:
        raise ParameterError("parameter `positions`: expected None unless `tiles` is a list, found positions")
    volumes = [open(tile, spacing, axes=axes) for tile in tiles]
    names = [fspath(t) if isinstance(t, (str, PathLike)) else f"tile {at}" for at, t in enumerate(tiles)]
    used = _common(volumes, um)
    if positions is not None:
        places = np.asarray(positions, dtype=np.float64)
        if places.ndim != 2 or places.shape[0] != len(volumes) or places.shape[1] not in (2, 3):
            raise ShapeError(f"positions: expected shape ({len(volumes)}, 3) or ({len(volumes)}, 2), found {places.shape}")
        if places.shape[1] == 2:
            places = np.column_stack([np.zeros(len(places)), places])
    elif cells is not None or grid is not None:
        if overlap is None:
            raise ParameterError("parameter `overlap`: expected the share that neighbours show too (0.1), found none")
        if cells is None:
            cells = np.array([(0, *cell) for cell in _core.im_grid_cells(len(volumes), grid, order)])
        if len(np.unique(cells, axis=0)) < len(cells):
            raise ParameterError("parameter `tiles`: expected one tile at each row and column, found several")
        size = np.array(volumes[0]._core.shape[2:]) if volumes else np.ones(3)
        shares = np.array(_shares(overlap))
        if not np.all((shares >= 0) & (shares < 1)):
            raise ParameterError(f"parameter `overlap`: expected a share of at least 0 and below 1, found {overlap}")
        places = (cells - cells.min(axis=0)) * size * (1 - shares) * used
    else:
        places = np.array([volume.origin for volume in volumes], dtype=np.float64).reshape(-1, 3)
        if len(places) > 1 and np.all(places == places[0]):
            raise ParameterError(
                "parameter `positions`: expected where the tiles lie (or `grid` and `overlap`), since they do not say; found none"
            )
    source: dict[str, Any] | None = None
    if named:
        # Opened again as a list with places of its own.
        source = {"paths": [os.path.abspath(name) for name in names], "spacing": um, "axes": axes}
        source |= {"overlap": (0.0, 0.0, 0.0), "grid": [1, len(names)], "order": "rows"}
    return names, volumes, places, used, source


def _from_table(table: Any, positions: Any) -> tuple[list[Any], np.ndarray | None, np.ndarray | None]:
    if positions is not None:
        raise ParameterError("parameter `positions`: expected None with a table of tiles, found positions")
    names = [str(name) for name in table.columns]
    if "file" not in names:
        raise DataError(f"tiles: expected a column file, found columns {', '.join(names)}")

    def columns(wanted: Sequence[str]) -> np.ndarray:
        zeros = np.zeros(len(table))
        return np.column_stack([np.asarray(table[name], dtype=np.float64) if name in names else zeros for name in wanted])

    files = list(table["file"])
    if {"y", "x"} <= set(names):
        return files, columns("zyx"), None
    if {"row", "column"} <= set(names):
        cells = columns(("layer", "row", "column"))
        if not np.all(cells == np.round(cells)):
            raise DataError("tiles: expected whole numbers in row and column, found others")
        return files, None, cells
    raise DataError(f"tiles: expected columns y and x, or row and column, found columns {', '.join(names)}")


def _common(volumes: list[Volume], um: tuple[float, float, float] | None) -> tuple[float, float, float]:
    if um is not None:
        return um
    said = next((volume.spacing for volume in volumes if volume.spacing is not None), None)
    return (1.0, 1.0, 1.0) if said is None else said
