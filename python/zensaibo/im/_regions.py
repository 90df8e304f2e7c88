"""Cells in an atlas: counts of every structure, tables of several samples, tables of points, densities."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, ParameterError, ShapeError
from ._atlas import Atlas
from ._register import Registration
from ._spatial import places
from ._volume import Volume, _triple, open

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: What `locate` writes where a cell lies in no structure, by code.
_NOWHERE = {-1: "background", -2: "outside", -3: "lost"}


def _points(cells: Any) -> np.ndarray:
    """(n, 3) places."""
    points = np.ascontiguousarray(places(cells) if hasattr(cells, "obsm") else cells, dtype=np.float64)
    if points.ndim != 2 or points.shape[1] != 3:
        raise ShapeError(f"cells: expected places of shape (n, 3), found {points.shape}")
    return points


def _in_atlas(
    cells: Any, atlas: Atlas, registration: Registration | None, threads: int | None, progress: bool | Progress | None
) -> tuple[np.ndarray, tuple[np.ndarray, tuple[float, float, float]] | None]:
    """Places in the atlas, and by how much it grows towards the sample (factors and their spacing)."""
    points = _points(cells)
    if registration is None:
        return points, None
    shape, um = registration._core.fixed
    if tuple(shape) != atlas.annotation.shape or not np.allclose(um, atlas.spacing):
        found = f"{tuple(shape)} voxels of {tuple(um)} um"
        expected = f"{atlas.annotation.shape} voxels of {atlas.spacing} um"
        raise ShapeError(f"registration: expected one to the grid of atlas {atlas.name}, {expected}, found {found}")
    points = registration.transform_points(points, threads=threads, progress=progress)
    return points, (registration.jacobian(), registration.displacement_spacing)


def count_regions(
    cells: Any,
    atlas: Atlas,
    registration: Registration | None = None,
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Cells per structure of an atlas, at every level of its tree.

    Parameters
    ----------
    cells
        (n, 3) places (z, y, x) in micrometres, or an AnnData with ``obsm["spatial"]`` (x, y, z). An AnnData gains the columns
        ``region`` (acronym; "background", "outside" or "lost" where there is none), ``region_id`` (0 there) and
        ``hemisphere``, and with a registration ``obsm["spatial_atlas"]`` (x, y, z).
    atlas
        Of `load_atlas`.
    registration
        Of `register`, from the sample of the cells to this atlas. Without it the places are those of the atlas.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    pandas.DataFrame, one row per structure, each before its parts
        ``id``, ``acronym``, ``structure_name``, ``parent_id``, ``depth``; ``own_cell_count`` (in voxels of the structure itself);
        and with all its parts ``left_cell_count``, ``right_cell_count``, ``total_cells``, ``left_volume_mm3``,
        ``right_volume_mm3``, ``total_volume_mm3``, ``left_cells_per_mm3``, ``right_cells_per_mm3``, ``cells_per_mm3`` (NaN
        without volume). Volumes are those that the structures take in the sample. ``attrs``: ``background``, ``outside``,
        ``lost`` and ``cells``; the own counts of all structures and the first three add up to the fourth.

    Raises
    ------
    zensaibo.errors.ShapeError
        Places of another shape; a registration to another grid than that of the atlas.

    Notes
    -----
    Places are mapped and looked up in float64, once; a cell belongs to the voxel whose box holds it, and one below the first
    voxel lies outside. A million cells take about half a CPU-second with a registration. Nothing is random. Saved with
    ``to_csv``, the table has the columns of brainmapper's summary.csv among its own.
    """
    import pandas as pd

    adata = cells if hasattr(cells, "obsm") else None
    points, growth = _in_atlas(cells, atlas, registration, threads, progress)
    with reporting(progress) as callback:
        codes, left = atlas._core.locate(points, threads, callback)
        own, counts, volume, nowhere = atlas._core.count(codes, left, growth, threads, callback)
    # Signed, so that differences of counts are what they seem.
    own, counts = own.astype(np.int64), counts.astype(np.int64)
    with np.errstate(divide="ignore", invalid="ignore"):
        density = np.where(volume > 0, counts / volume, np.nan)
        both = np.where(volume.sum(axis=1) > 0, counts.sum(axis=1) / volume.sum(axis=1), np.nan)
    structures = atlas.structures
    table = pd.DataFrame(
        {
            "id": structures["id"],
            "acronym": structures["acronym"],
            "structure_name": structures["name"],
            "parent_id": structures["parent_id"],
            "depth": structures["depth"],
            "own_cell_count": own.sum(axis=1),
            "left_cell_count": counts[:, 0],
            "right_cell_count": counts[:, 1],
            "total_cells": counts.sum(axis=1),
            "left_volume_mm3": volume[:, 0],
            "right_volume_mm3": volume[:, 1],
            "total_volume_mm3": volume.sum(axis=1),
            "left_cells_per_mm3": density[:, 0],
            "right_cells_per_mm3": density[:, 1],
            "cells_per_mm3": both,
        }
    )
    table.attrs.update(dict(zip(_NOWHERE.values(), map(int, nowhere), strict=True)), cells=len(points))
    if adata is not None:
        names = np.array([*structures["acronym"], *reversed(_NOWHERE.values())], dtype=object)
        ids = np.append(structures["id"].to_numpy(), np.zeros(len(_NOWHERE), dtype=np.uint64))
        adata.obs["region"] = pd.Categorical(names[codes])
        adata.obs["region_id"] = ids[codes]
        half = np.where(codes < 0, "none", np.where(left, "left", "right"))
        adata.obs["hemisphere"] = pd.Categorical(half, categories=["left", "right", "none"])
        if registration is not None:
            adata.obsm["spatial_atlas"] = np.ascontiguousarray(points[:, ::-1])
    return table


def point_table(
    cells: Any,
    atlas: Atlas,
    registration: Registration | None = None,
    *,
    spacing: Any = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Every cell with its place in the sample and in the atlas, in the columns of brainmapper's all_points.csv.

    Parameters
    ----------
    cells
        (n, 3) places (z, y, x) in micrometres, or an AnnData with ``obsm["spatial"]`` (x, y, z).
    atlas, registration
        As for `count_regions`.
    spacing
        Micrometres per voxel (z, y, x) of the sample, to write its coordinates in voxels, as brainmapper does; without it they
        are micrometres.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    pandas.DataFrame, one row per cell in their order
        ``coordinate_raw_axis_0..2`` (sample), ``coordinate_atlas_axis_0..2`` (voxels of the atlas, not rounded),
        ``structure_name`` ("background", "outside" or "lost" where there is none), ``hemisphere`` ("left", "right", or "none"
        there), and ``acronym`` and ``structure_id`` (0 there).

    Raises
    ------
    zensaibo.errors.ShapeError
        As for `count_regions`.

    Notes
    -----
    No cell is left out, so rows belong together whatever lies outside. Cost as that of `count_regions`.
    """
    import pandas as pd

    raw = _points(cells)
    points, _ = _in_atlas(cells, atlas, registration, threads, progress)
    with reporting(progress) as callback:
        codes, left = atlas._core.locate(points, threads, callback)
    if spacing is not None:
        raw = raw / np.array(_triple("spacing", spacing))
    voxels = points / np.array(atlas.spacing)
    table = {f"coordinate_raw_axis_{axis}": raw[:, axis] for axis in range(3)}
    table |= {f"coordinate_atlas_axis_{axis}": voxels[:, axis] for axis in range(3)}
    structures, nowhere = atlas.structures, list(reversed(_NOWHERE.values()))
    table["structure_name"] = np.array([*structures["name"], *nowhere], dtype=object)[codes]
    table["hemisphere"] = np.where(codes < 0, "none", np.where(left, "left", "right"))
    table["acronym"] = np.array([*structures["acronym"], *nowhere], dtype=object)[codes]
    table["structure_id"] = np.append(structures["id"].to_numpy(), np.zeros(len(nowhere), np.uint64))[codes]
    return pd.DataFrame(table)


#: Layers of a table of samples, and the columns of `count_regions` that they hold.
_LAYERS = {
    "left": "left_cell_count",
    "right": "right_cell_count",
    "own": "own_cell_count",
    "volume": "total_volume_mm3",
    "left_volume": "left_volume_mm3",
    "right_volume": "right_volume_mm3",
}


def region_table(tables: Mapping[str, pd.DataFrame], obs: Any = None) -> AnnData:
    """Tables of `count_regions` of several samples as one AnnData: samples x structures.

    Parameters
    ----------
    tables
        For the name of each sample its table, all of the same atlas.
    obs
        What is known of the samples: a DataFrame with their names as index, or for each name its group, which becomes
        ``obs["group"]``. Every sample must be in it.

    Returns
    -------
    AnnData
        ``X``: cells of each structure with its parts (float64). ``layers``: ``left``, ``right``, ``own`` (cells), ``volume``,
        ``left_volume``, ``right_volume`` (mm3, those taken in the sample). ``obs``: columns of `obs`, and ``cells``,
        ``background``, ``outside``, ``lost`` of each sample. ``var``: ``id``, ``acronym``, ``structure_name``, ``parent_id``,
        ``depth``; its names are the acronyms, or the ids where acronyms repeat.

    Raises
    ------
    zensaibo.errors.ParameterError
        No table; samples that `obs` does not have; columns of `obs` that are filled here.
    zensaibo.errors.DataError
        Tables of different atlases, or without the columns of `count_regions`.
    """
    import anndata as ad
    import pandas as pd

    if not tables:
        raise ParameterError("tables: expected at least one sample, found none")
    names = [str(name) for name in tables]
    known = ["id", "acronym", "structure_name", "parent_id", "depth"]
    first = next(iter(tables.values()))
    for name, table in tables.items():
        lacking = [column for column in [*known, "total_cells", *_LAYERS.values()] if column not in table]
        if lacking:
            raise DataError(f"table of sample {name}: expected the columns of count_regions, found no {lacking[0]}")
        if not np.array_equal(table["id"], first["id"]) or not np.array_equal(table["parent_id"], first["parent_id"]):
            raise DataError(f"table of sample {name}: expected the structures of sample {names[0]}, found others: another atlas?")
    var = first[known].reset_index(drop=True)
    unique = not var["acronym"].duplicated().any()
    var.index = pd.Index(var["acronym"] if unique else var["id"].astype(str), name=None).astype(str)

    def stacked(column: str) -> np.ndarray:
        return np.stack([table[column].to_numpy(dtype=np.float64) for table in tables.values()])

    rows = pd.DataFrame(index=pd.Index(names))
    if isinstance(obs, pd.DataFrame):
        given = obs.set_axis(obs.index.astype(str))
    elif obs is not None:
        given = pd.DataFrame({"group": {str(name): group for name, group in dict(obs).items()}})
    else:
        given = rows
    if given.index.has_duplicates:
        raise ParameterError(f"obs: expected every sample once, found {given.index[given.index.duplicated()][0]!r} again")
    lacking = [name for name in names if name not in given.index]
    if lacking:
        raise ParameterError(f"obs: expected all samples, found none named {lacking[0]!r}")
    taken = [key for key in ("cells", *_NOWHERE.values()) if key in given]
    if taken:
        raise ParameterError(f"obs: expected no column {taken[0]!r}, which the counts of the samples fill; found one")
    rows = given.loc[names].copy()
    for key in ("cells", *_NOWHERE.values()):
        rows[key] = [table.attrs.get(key, -1) for table in tables.values()]
    layers = {layer: stacked(column) for layer, column in _LAYERS.items()}
    return ad.AnnData(stacked("total_cells"), obs=rows, var=var, layers=layers)


def density_volume(
    cells: Any,
    atlas: Atlas,
    registration: Registration | None = None,
    *,
    radius: float | None = None,
    sigma: float = 100.0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Volume:
    """Cells per cubic millimetre at every voxel of an atlas.

    Parameters
    ----------
    cells
        (n, 3) places (z, y, x) in micrometres, or an AnnData with ``obsm["spatial"]`` (x, y, z).
    atlas
        Of `load_atlas`.
    registration
        Of `register`, from the sample of the cells to this atlas: cells are mapped, and the volume of a voxel is the one that
        it takes in the sample. Without it the places are those of the atlas.
    radius
        Micrometres: every cell spreads evenly over the voxels whose centre lies in a ball of this radius around it; over its
        own voxel where there is none.
    sigma
        Micrometres: without `radius`, the standard deviation of a Gaussian kernel (cut at four).
    threads, progress
        See :mod:`zensaibo`. Threads change the time and nothing else.

    Returns
    -------
    Volume
        float32, on the grid of the atlas with its spacing and orientation: ``numpy.asarray`` makes it an array,
        `zensaibo.im.write` writes it. The sum of density times volume is the number of cells on the grid.

    Raises
    ------
    zensaibo.errors.ParameterError
        A radius or sigma that is not above 0.
    zensaibo.errors.ShapeError
        Places of another shape; a registration to another grid than that of the atlas.

    Warns
    -----
    UserWarning
        Cells beyond the grid or without a place, which are in no voxel: with their number.

    Notes
    -----
    Kernels are cut at the border of the grid and scaled, so that no part of a cell is lost. Takes time in proportion to cells
    times the voxels of a ball, or with a Gaussian to voxels times the length of the kernel, which has 8 bytes per voxel of
    its own.
    """
    points, growth = _in_atlas(cells, atlas, registration, threads, progress)
    options = to_json(radius=None if radius is None else float(radius), sigma=float(sigma))
    with reporting(progress) as callback:
        density, (_, outside, lost) = atlas._core.density(points, options, growth, threads, callback)
    if outside or lost:
        text = f"density_volume: of {len(points)} cells {outside} lie beyond the atlas and {lost} have no place; they are in no voxel"
        warnings.warn(text, stacklevel=2)
    return open(density, atlas.spacing, atlas.orientation)
