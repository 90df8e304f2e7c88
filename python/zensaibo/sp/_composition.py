"""Which types fill which region: cells of every type in every structure of an atlas, one animal or many, and groups compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._anndata import check_adata, get_obs
from .._corrections import corrected
from .._labels import codes_of
from .._provenance import record
from ..errors import DataError, MissingKeyError, ParameterError, TooFewError
from ..im import Atlas, Registration, compare_regions
from ..im._regions import _NOWHERE, _in_atlas

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

#: Columns of a structure, as in `zensaibo.im.region_table`.
_ABOUT = ["id", "acronym", "structure_name", "parent_id", "depth"]


def region_composition(
    cells: AnnData,
    groupby: str,
    *,
    atlas: Atlas | None = None,
    registration: Registration | Mapping[str, Registration] | None = None,
    region_key: str | None = None,
    hemisphere_key: str = "hemisphere",
    volumes: Mapping[str, float] | None = None,
    sample_key: str | None = None,
    sample_columns: Sequence[str] = (),
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Counts cells of each type in each region of an atlas, at every level of its tree, left and right.

    Parameters
    ----------
    cells
        Typed cells of one animal or several. With `atlas` and without `region_key` they need ``obsm["spatial"]`` (x, y, z) in micrometres.
    groupby
        Column of ``obs`` with the type; every cell must have one.
    atlas
        Of `zensaibo.im.load_atlas`. Without it regions are those of `region_key`, without a tree.
    registration
        From the sample to the atlas, or one for each sample by name. Without it the places are those of the atlas.
    region_key
        Column of ``obs`` with acronyms of regions, such as ``"region"`` of `zensaibo.im.count_regions`, instead of looking places up;
        ``"background"``, ``"outside"``, ``"lost"`` and missing values lie in none. None: places are looked up, or without an atlas ``"region"``.
    hemisphere_key
        With regions from a column: column with "left" and "right"; where there is none, or anything else stands in it, a cell counts in the
        sum of both alone.
    volumes
        Without an atlas: cubic millimetres of each region by acronym (NaN for others).
    sample_key
        Column of ``obs`` with the animal of each cell; None: all are of one, named "sample".
    sample_columns
        Columns of ``obs`` that are the same for all cells of an animal, such as its group: they become columns of the result.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    AnnData, one row per animal and type, one column per structure (each before its parts)
        ``X``: cells of the type in the structure with all its parts. ``layers``: ``left``, ``right``, ``own`` (in the structure itself), ``volume``,
        ``left_volume``, ``right_volume`` (mm3, as taken in the sample), ``density`` (per mm3), ``share`` (of all cells of the animal in the
        structure; NaN where there are none), ``of_type`` (of all cells of the type of that animal). ``obs``: ``sample``, the column `groupby`,
        `sample_columns`, ``cells``, ``background``, ``outside``, ``lost`` (numbers of the type). ``var``: as of `zensaibo.im.region_table`.
        The rows of one type are a table of `zensaibo.im.region_table`: ``zs.im.compare_regions(table[table.obs[groupby] == "T"])``.

    Raises
    ------
    MissingKeyError
        Columns or samples that are not there.
    ParameterError
        Options that contradict each other.
    DataError
        Cells without a type, regions that the atlas does not have, columns that differ within an animal.

    Notes
    -----
    Cells are looked up once per animal. Nothing is random.
    """
    import anndata as ad

    check_adata(cells, "cells")
    if atlas is None and registration is not None:
        raise ParameterError("parameter `registration`: expected None without `atlas`, found one")
    if atlas is not None and volumes is not None:
        raise ParameterError("parameter `volumes`: expected None with `atlas`, which has its own, found some")
    if region_key is not None and registration is not None:
        raise ParameterError("parameter `registration`: expected None with `region_key`, found one")
    types, kinds = codes_of(get_obs(cells, groupby), groupby)
    if sample_key is None:
        animals, names = np.zeros(cells.n_obs, dtype=np.uint32), pd.Index(["sample"])
    else:
        animals, names = codes_of(get_obs(cells, sample_key), sample_key)
    if isinstance(registration, Mapping):
        lacking = [str(name) for name in names if name not in registration]
        if lacking:
            raise MissingKeyError(f"registration: expected one for every sample, found none for {lacking[0]!r}")
    by_column = region_key is not None or atlas is None
    if by_column:
        var, codes, half = _from_column(cells, atlas, "region" if region_key is None else region_key, hemisphere_key)
    else:
        assert atlas is not None
        var = atlas.structures[["id", "acronym", "name", "parent_id", "depth"]].rename(columns={"name": "structure_name"})
        if "spatial" not in cells.obsm:
            raise MissingKeyError('key `spatial` not found in obsm: expected places, or the regions of the cells in `region_key`')
        codes = half = np.zeros(0)
    n, m, s = len(kinds), len(names), len(var)
    # Left, right, both.
    counts = np.zeros((3, m * n, s))
    nowhere = np.zeros((m * n, len(_NOWHERE)), dtype=np.int64)
    volume = np.full((m, s, 2), np.nan)
    for animal in range(m):
        mine = np.flatnonzero(animals == animal)
        if by_column:
            here, side = codes[mine], half[mine]
            if atlas is not None:
                _, volume[animal] = _counted(atlas, np.zeros(0, np.int64), np.zeros(0, bool), None, threads, progress)
        else:
            assert atlas is not None
            of = registration[names[animal]] if isinstance(registration, Mapping) else registration
            points, growth = _in_atlas(cells[mine], atlas, of, threads, progress)
            here, left = atlas._core.locate(points, threads, None)
            side = np.where(left, 0, 1)
            _, volume[animal] = _counted(atlas, here, left, growth, threads, progress)
        row = animal * n + types[mine].astype(np.int64)
        held = here >= 0
        for place, which in enumerate((held & (side == 0), held & (side == 1), held)):
            slots = row[which] * s + here[which]
            counts[place] += np.bincount(slots, minlength=m * n * s).reshape(m * n, s)
        slots = row[~held] * len(_NOWHERE) - 1 - here[~held]
        nowhere += np.bincount(slots, minlength=nowhere.size).reshape(nowhere.shape)
    own = counts[2].copy()
    if atlas is not None:
        counts = np.ascontiguousarray(atlas.roll_up(counts.transpose(2, 0, 1)).transpose(1, 2, 0))
    elif volumes is not None:
        given = var["acronym"].map(dict(volumes)).to_numpy(np.float64)
        volume[:] = np.nan
        volume[:, :, 0] = given
    if atlas is None:
        both = volume[:, :, 0]
    else:
        both = volume.sum(axis=2)
    total = counts[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.repeat(both, n, axis=0)
        density = np.where(each > 0, total / each, np.nan)
        of_all = total.reshape(m, n, s).sum(axis=1, keepdims=True)
        share = (total.reshape(m, n, s) / of_all).reshape(m * n, s)
        in_all = np.bincount(animals.astype(np.int64) * n + types, minlength=m * n).astype(np.float64)
        of_type = total / in_all[:, None]
    obs = pd.DataFrame(
        {
            "sample": pd.Categorical(np.repeat(names.astype(str), n), categories=list(map(str, names))),
            groupby: pd.Categorical(np.tile(np.asarray(kinds, dtype=object), m), categories=list(kinds)),
        },
        index=[f"{name}|{kind}" for name in names for kind in kinds],
    )
    for column in [sample_columns] if isinstance(sample_columns, str) else sample_columns:
        obs[column] = _of_animals(cells, column, animals, names).repeat(n)
    obs["cells"] = in_all.astype(np.int64)
    for place, name in enumerate(_NOWHERE.values()):
        obs[name] = nowhere[:, place]
    unique = not var["acronym"].duplicated().any()
    var = var.set_axis(pd.Index(var["acronym"] if unique else var["id"].astype(str), name=None).astype(str))
    sides = [np.repeat(volume[:, :, side], n, axis=0) for side in (0, 1)] if atlas is not None else [np.full((m * n, s), np.nan)] * 2
    table = ad.AnnData(
        total.copy(),
        obs=obs,
        var=var,
        layers={
            "left": counts[0], "right": counts[1], "own": own, "volume": each, "left_volume": sides[0],
            "right_volume": sides[1], "density": density, "share": share, "of_type": of_type,
        },
    )  # fmt: skip
    table.uns["region_composition"] = {"groupby": groupby}
    record(
        table, "region_composition", groupby=groupby, region_key=region_key, hemisphere_key=hemisphere_key, sample_key=sample_key,
        sample_columns=list([sample_columns] if isinstance(sample_columns, str) else sample_columns),
        atlas=None if atlas is None else atlas.name, registration=registration is not None,
    )  # fmt: skip
    return table


def _counted(
    atlas: Atlas, here: np.ndarray, left: np.ndarray, growth: Any, threads: int | None, progress: Any
) -> tuple[np.ndarray, np.ndarray]:
    """Cells and cubic millimetres of every structure with its parts, left and right."""
    from .._progress import reporting

    with reporting(progress) as callback:
        _, counts, volume, _ = atlas._core.count(np.ascontiguousarray(here, dtype=np.int32), left, growth, threads, callback)
    return counts, volume


def _from_column(cells: AnnData, atlas: Atlas | None, key: str, side_key: str) -> tuple[pd.DataFrame, np.ndarray, np.ndarray]:
    """Structures; the row of each cell or -1, -2, -3 where it lies in none; 0 left, 1 right, 2 neither."""
    column = get_obs(cells, key)
    text = column.astype(object).where(column.notna(), "lost").astype(str).to_numpy()
    absent = {name: code for code, name in _NOWHERE.items()}
    if atlas is None:
        order = list(column.cat.categories.astype(str)) if hasattr(column, "cat") else sorted(set(text))
        found = [name for name in order if name in set(text) and name not in absent]
        if not found:
            raise DataError(f"`obs[{key!r}]`: expected acronyms of regions, found none")
        count = len(found)
        var = pd.DataFrame(
            {
                "id": np.arange(1, count + 1, dtype=np.uint64),
                "acronym": found,
                "structure_name": found,
                "parent_id": np.zeros(count, np.uint64),
                "depth": np.zeros(count, np.int64),
            }
        )
    else:
        var = atlas.structures[["id", "acronym", "name", "parent_id", "depth"]].rename(columns={"name": "structure_name"})
        if var["acronym"].duplicated().any():
            raise DataError(f"atlas {atlas.name}: expected acronyms that do not repeat to find regions by them; look places up instead")
    rows = {**{name: row for row, name in enumerate(var["acronym"])}, **absent}
    unknown = [name for name in dict.fromkeys(text) if name not in rows]
    if unknown:
        raise DataError(f"`obs[{key!r}]`: expected acronyms of atlas {atlas.name if atlas else ''}, found {unknown[0]!r}")
    codes = np.array([rows[name] for name in text], dtype=np.int64)
    half = np.full(len(codes), 2)
    if side_key in cells.obs:
        side = cells.obs[side_key].astype(object).to_numpy()
        half = np.where(side == "left", 0, np.where(side == "right", 1, 2))
    return var, codes, half


def _of_animals(cells: AnnData, column: str, animals: np.ndarray, names: pd.Index) -> Any:
    """One value per animal."""
    values = get_obs(cells, column)
    first = []
    for animal in range(len(names)):
        its = pd.unique(values[animals == animal])
        if len(its) > 1:
            raise DataError(f"`obs[{column!r}]`: expected one value for all cells of an animal, found {its[0]} and {its[1]} in {names[animal]!r}")
        first.append(its[0])
    return pd.Categorical(first, categories=values.cat.categories) if hasattr(values, "cat") else pd.array(first)


def compare_region_composition(
    table: AnnData,
    groups: str | Mapping[str, Any] | Sequence[Any] = "group",
    *,
    types: Sequence[str] | None = None,
    offset: str | None = "volume",
    reference: Any = None,
    group: Any = None,
    covariates: Sequence[str] = (),
    side: str = "both",
    dispersion: float | None = None,
    min_cells: float = 10.0,
    coverage: float = 0.95,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Which types are more or less frequent in which structures in one group of animals than in another: the animal is the unit.

    Parameters
    ----------
    table
        Of `region_composition`, with several animals.
    groups
        Column of ``table.obs``, or the group of each animal by name or in their order.
    types
        Types to compare; all by default.
    offset
        "volume": cells per volume of the structure. "cells": the share of the type among all cells of the structure. "total": the share of
        the type's own cells that lie in the structure. None: numbers.
    reference, group, covariates, side, dispersion, min_cells, coverage
        See `zensaibo.im.compare_regions`; `covariates` are columns of ``table.obs``.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    pandas.DataFrame, one row per type and structure
        ``cell_type`` and the columns of `zensaibo.im.compare_regions` (with offset "cells" ``density_*`` are shares); corrections within the
        type: ``fdr``, ``fdr_tree``, ``fwer_tree``; and over all types and structures: ``fdr_all`` (Benjamini and Hochberg). Types with too few
        cells in every structure are left out. ``attrs``: ``reference``, ``group``, ``left_out`` and for each type ``dispersion``.

    Raises
    ------
    TooFewError
        Fewer than two animals in a group; no type with enough cells.
    DataError
        A table that is none of `region_composition`.
    ParameterError, MissingKeyError
        Types, groups or columns that are not there.

    Notes
    -----
    A negative binomial model for each type with quasi-likelihood over its structures: `zensaibo.im.compare_regions` does the work.
    """
    if "region_composition" not in table.uns or not {"left", "right", "volume", "share"} <= set(table.layers):
        raise DataError("table: expected one of region_composition, found another")
    if offset not in ("volume", "cells", "total", None):
        raise ParameterError(f"parameter `offset`: expected 'volume', 'cells', 'total' or None, found {offset!r}")
    groupby = str(table.uns["region_composition"]["groupby"])
    labels = table.obs[groupby].astype(str).to_numpy()
    known = list(dict.fromkeys(labels))
    wanted = known if types is None else [types] if isinstance(types, str) else [str(kind) for kind in types]
    lacking = [kind for kind in wanted if kind not in known]
    if lacking:
        raise ParameterError(f"parameter `types`: expected some of {', '.join(known)}, found {lacking[0]!r}")
    animals = table.obs["sample"].astype(str).to_numpy()
    order = list(dict.fromkeys(animals))
    cells_of = {"both": table.X, "left": table.layers["left"], "right": table.layers["right"]}
    if side not in cells_of:
        raise ParameterError(f"parameter `side`: expected 'both', 'left' or 'right', found {side!r}")
    everything = np.stack([np.asarray(cells_of[side])[animals == name].sum(axis=0) for name in order])
    frames, left_out, dispersions = [], [], {}
    ends: dict[str, Any] = {}
    for kind in wanted:
        part = table[labels == kind].copy()
        part.obs_names = part.obs["sample"].astype(str).to_numpy()
        counts = part.X if side == "both" else part.layers[side]
        if np.asarray(counts).sum(axis=0).max(initial=0) < min_cells:
            left_out.append(kind)
            continue
        if offset == "cells":
            part.layers["volume"] = everything
            part.layers["left_volume"] = part.layers["right_volume"] = everything
        found = compare_regions(
            part, groups, reference=reference, group=group, covariates=covariates, offset="volume" if offset == "cells" else offset,
            side=side, dispersion=dispersion, min_cells=min_cells, coverage=coverage, threads=threads, progress=progress,
        )  # fmt: skip
        dispersions[kind] = found.attrs["dispersion"]
        ends = {key: found.attrs[key] for key in ("reference", "group")}
        found.insert(0, "cell_type", kind)
        frames.append(found)
    if not frames:
        raise TooFewError(f"table: expected a type with at least {min_cells:g} cells in a structure, found none")
    out = pd.concat([frame.set_axis(frame.columns, axis=1) for frame in frames], ignore_index=True)
    out["fdr_all"] = corrected(out["p_value"].to_numpy())
    out.attrs = {**ends, "left_out": left_out, "dispersion": dispersions}
    return out
