"""Whole recipes on the workers of a Dask cluster: those of ``zensaibo cluster``, ``detect``, ``segment`` and ``count``."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .. import _core
from .._config import Config, config_toml
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..io._matrix import paths_of
from ..io._remote import is_url
from ..pp._recipe import _seeds, _text
from ._use import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from anndata import AnnData
    from distributed import Client


def recipe(
    client: Client,
    path: str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    config: Config | None = None,
    *,
    join: str = "inner",
    work: str | os.PathLike[str],
    n_parts: int | None = None,
    threads: int = 1,
    memory: int | str | None = None,
    report: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """From raw counts to annotated clusters, with the reads of the counts on the workers of a Dask cluster.

    What :func:`zensaibo.pp.recipe` does, with the same bits. Counting, filtering, packing, gene statistics and markers are
    computed in parts, through the folder `work`; components, neighbours, clusters, layout and the output here. What is in `work`
    is not computed again: after whatever went wrong, the same call goes on from there. It is what ``zensaibo run-blocks`` and
    ``zensaibo merge`` do, which need no Python on the machines.

    Parameters
    ----------
    client
        A client of ``dask.distributed``. All workers see `path` and `work` under the same names.
    path
        Raw counts: an h5ad, AnnData in Zarr or a 10x HDF5 file, or a list of them, taken as one as
        :func:`zensaibo.pp.recipe` does. What is stored by columns is read whole by each part of the first step.
    out
        h5ad to write. Written beside and renamed at the end.
    config, join, report, seed
        As of :func:`zensaibo.pp.recipe`.
    work
        Folder of the parts; it is made, and left as it is: remove it once `out` is there. It takes 3 to 6 bytes per count
        above zero, twice.
    n_parts
        Parts of each step; default twice the threads of all workers.
    threads
        Threads of each part, and of what is done here.
    memory
        Memory that this process may take, in bytes or as text such as ``"4GiB"``; any by default.
    progress
        See :mod:`zensaibo`.

    Returns
    -------
    As :func:`zensaibo.pp.recipe`.

    Raises
    ------
    ParameterError
        As :func:`zensaibo.pp.recipe`; a folder of another run or with other things; a cluster without workers.
    FormatError
        Counts that are text.
    others
        As :func:`zensaibo.pp.recipe`.

    Examples
    --------
    >>> zs.dist.recipe(client, "atlas.h5ad", "out.h5ad", work="/scratch/atlas.parts")       # doctest: +SKIP
    """
    toml = config_toml(config, {} if seed is None else {place: int(seed) for place in _seeds()})
    of = parts_of(client, n_parts, threads)
    sources = [place if is_url(place) else os.path.abspath(place) for place in paths_of(path, "path")]
    folder, target = (os.path.abspath(os.fspath(place)) for place in (work, out))
    with reporting(progress) as callback:
        for step in _core.recipe_steps(toml):
            if step == "markers":
                _core.recipe_merge(sources, join, folder, toml, step, threads=threads, progress=callback)
            _step(client, _core.recipe_part, (sources, join, folder, toml, step), of, threads, callback)
        tail = (_text(report), to_bytes(memory), threads, callback)
        _core.recipe_merge(sources, join, folder, toml, None, target, *tail)
    from anndata import read_h5ad

    return read_h5ad(target)


def detect(
    client: Client,
    signal: str | os.PathLike[str],
    out: str | os.PathLike[str],
    background: str | os.PathLike[str] | None = None,
    config: Config | None = None,
    *,
    work: str | os.PathLike[str],
    n_parts: int | None = None,
    threads: int = 1,
    report: str | os.PathLike[str] | None = None,
    progress: bool | Progress | None = None,
) -> dict[str, Any]:
    """Cells of a volume, found by the workers of a Dask cluster: what ``zensaibo detect`` does, with the same bits.

    The noise of the tissue and the cells are found in parts, through the folder `work`, as by ``zensaibo run-blocks --recipe detect``; the
    table is written here. What is in `work` is not computed again: after whatever went wrong, the same call goes on from there.

    Parameters
    ----------
    client
        A client of ``dask.distributed``. All workers see the volumes and `work` under the same names.
    signal
        The volume in which cells are sought: a file or folder that `zensaibo.im.open` takes.
    out
        The table: .parquet, .csv, .h5ad (AnnData) or .xml of cellfinder. Written beside and renamed.
    background
        The channel without the stain; may be the same file.
    config
        Options by section, such as ``{"detect": {"soma_diameter": 16.0}}``, or the path of a TOML file. ``zensaibo config detect`` prints
        every option with its meaning and default; unknown ones are refused.
    work
        Folder of the parts; it is made, and left as it is: remove it once `out` is there. It takes some hundred bytes per candidate.
    n_parts
        Parts of each step; default twice the threads of all workers.
    threads
        Threads of each part, and of what is done here.
    report
        Also write a report, one self-contained HTML page.
    progress
        See :mod:`zensaibo`.

    Returns
    -------
    The summary: ``cells``, ``seen`` (voxels, candidates, ...), ``notes``, ``stages`` with their costs, and what else
    ``zensaibo detect`` tells.

    Raises
    ------
    ParameterError
        Options that are unknown or out of range, a spacing that nobody says; a folder of another run or with other things; a
        cluster without workers.
    others
        As of :func:`zensaibo.im.detect_cells`.

    Examples
    --------
    >>> zs.dist.detect(client, "brain.ome.zarr", "cells.parquet", work="/scratch/brain.parts")     # doctest: +SKIP
    """
    return _on_volume(client, "detect", signal, background, out, None, config, work, n_parts, threads, report, progress)


def segment(
    client: Client,
    volume: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config | None = None,
    *,
    table: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str],
    n_parts: int | None = None,
    threads: int = 1,
    report: str | os.PathLike[str] | None = None,
    progress: bool | Progress | None = None,
) -> dict[str, Any]:
    """Nuclei of a volume, found by the workers of a Dask cluster: what ``zensaibo segment`` does, with the same bits.

    Noise, basins, contours and measurements are computed in parts, through the folder `work`, as by ``zensaibo run-blocks --recipe
    segment``; nuclei that reach over blocks are put together from what blocks say of their outermost voxels. Labels and table are
    written here, block by block: no time point is held whole. What is in `work` is not computed again: after whatever went wrong, the
    same call goes on from there.

    Parameters
    ----------
    client
        A client of ``dask.distributed``. All workers see the volume and `work` under the same names.
    volume
        A file or folder that `zensaibo.im.open` takes.
    out
        The labels: an OME-Zarr. Written beside and renamed.
    config
        Options by section, such as ``{"segment": {"diameter": 9.0}}``, or the path of a TOML file. ``zensaibo config segment`` prints
        every option with its meaning and default; unknown ones are refused.
    table
        Also write a table of the nuclei: .parquet, .csv or .h5ad (AnnData).
    work
        Folder of the parts; it is made, and left as it is: remove it once `out` is there. It takes 4 to 8 bytes per voxel that stands
        out of the background.
    n_parts, threads, report, progress
        As of :func:`detect`; the report holds the labels of one time point with 4 bytes per voxel.

    Returns
    -------
    The summary: ``nuclei``, ``times``, ``at_border``, ``median_volume``, ``stages`` with their costs, and what else
    ``zensaibo segment`` tells.

    Raises
    ------
    ParameterError
        As of :func:`detect`.
    others
        As of :func:`zensaibo.im.segment_nuclei`.

    Examples
    --------
    >>> zs.dist.segment(client, "organoid.ome.zarr", "labels.ome.zarr", work="/scratch/organoid.parts")     # doctest: +SKIP
    """
    return _on_volume(client, "segment", volume, None, out, table, config, work, n_parts, threads, report, progress)


def count(
    client: Client,
    cells: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config | None = None,
    *,
    registration: str | os.PathLike[str] | None = None,
    table: str | os.PathLike[str] | None = None,
    work: str | os.PathLike[str],
    n_parts: int | None = None,
    threads: int = 1,
    progress: bool | Progress | None = None,
) -> dict[str, Any]:
    """Cells per structure of an atlas, placed by the workers of a Dask cluster: what ``zensaibo count`` does, with the same bits.

    Cells are mapped into the atlas in parts of 16,384, through the folder `work`, as by ``zensaibo run-blocks --recipe count``; the atlas is
    read here alone, where cells are counted.

    Parameters
    ----------
    client
        A client of ``dask.distributed``. All workers see the cells, the registration and `work` under the same names.
    cells
        The table of cells: .parquet or .csv with columns z, y, x in micrometres, .h5ad, or .xml of cellfinder in voxels.
    out
        The table of structures: .csv or .parquet. Written beside and renamed.
    config
        Options by section, such as ``{"atlas": {"path": "allen_mouse_25um"}}``, or the path of a TOML file. ``zensaibo config count``
        prints every option with its meaning and default; unknown ones are refused.
    registration
        The folder that ``zensaibo register`` left; without it the places of the cells are those of the atlas.
    table
        Also write the cells with the structure, hemisphere and place in the atlas of each: .csv or .parquet.
    work
        Folder of the parts; it is made, and left as it is. It takes 24 bytes per cell.
    n_parts, threads, progress
        As of :func:`detect`. Every part reads the whole table of cells and the registration.

    Returns
    -------
    The summary: ``cells``, ``background``, ``outside``, ``lost``, ``told``, ``stages`` with their costs.

    Raises
    ------
    ParameterError
        As of :func:`detect`.
    others
        As of :func:`zensaibo.im.count_regions`.

    Examples
    --------
    >>> atlas = {"atlas": {"path": "allen_mouse_25um"}}
    >>> zs.dist.count(client, "cells.parquet", "regions.csv", atlas, registration="registration", work="parts")     # doctest: +SKIP
    """
    return _on_volume(client, "count", cells, registration, out, table, config, work, n_parts, threads, None, progress)


def _on_volume(
    client: Client,
    recipe: str,
    volume: str | os.PathLike[str],
    beside: str | os.PathLike[str] | None,
    out: str | os.PathLike[str],
    table: str | os.PathLike[str] | None,
    config: Config | None,
    work: str | os.PathLike[str],
    n_parts: int | None,
    threads: int,
    report: str | os.PathLike[str] | None,
    progress: bool | Progress | None,
) -> dict[str, Any]:
    toml = config_toml(config)
    of = parts_of(client, n_parts, threads)
    source, folder, target = (os.path.abspath(os.fspath(place)) for place in (volume, work, out))
    other = None if beside is None else os.path.abspath(os.fspath(beside))
    with reporting(progress) as callback:
        for step in _core.volume_steps(recipe, toml):
            _step(client, _core.volume_part, (recipe, source, other, folder, toml, step), of, threads, callback)
        summary, _ = _core.volume_merge(
            recipe, source, other, folder, toml, target, _text(table), _text(report), threads, callback
        )
    return json.loads(summary)


def _step(
    client: Client,
    function: Callable[..., None],
    job: tuple[list[str] | str | None, ...],
    of: int,
    threads: int,
    callback: Callable[[str, int, int], None] | None,
) -> None:
    """Computes all parts of a step, whose name `job` ends with."""
    from distributed import as_completed

    name, step = uuid4().hex, str(job[-1])
    parts = [
        client.submit(function, *job, part, of, threads, key=f"zensaibo-{step}-{part}-{name}", pure=False)
        for part in range(1, of + 1)
    ]
    try:
        for done, part in enumerate(as_completed(parts), 1):
            part.result()
            if callback is not None:
                callback(step, done, of)
    finally:
        client.cancel([part for part in parts if not part.done()])
