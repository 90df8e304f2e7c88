"""``im.recipe``: the way of ``zensaibo cells``, from Python."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import _core
from .._config import Config, config_toml
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData


def recipe(
    signal: str | os.PathLike[str],
    out: str | os.PathLike[str],
    background: str | os.PathLike[str] | None = None,
    *,
    config: Config | None = None,
    atlas: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    spacing: Sequence[float] | None = None,
    orientation: str | None = None,
    soma_diameter: float | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """From a volume to its cells in an atlas: the way of the command ``zensaibo cells``.

    Finds the cells, registers the volume to the template of the atlas, counts cells per structure; the same code, and the
    same bits, as from the command line.

    Parameters
    ----------
    signal
        The volume in which cells are sought: a file or folder that `zensaibo.im.open` takes.
    out
        Folder of results: new, empty, or of an earlier run, which is then gone on with: what the same options made of the
        same files is kept. Gains cells.h5ad, cells.parquet, regions.csv, registration/ and report.html.
    background
        A volume of the same shape without the stain (autofluorescence); it is taken off the signal, and it is what is
        registered.
    config
        Options by section, such as ``{"register": {"partial": True}}``, or the path of a TOML file. ``zensaibo config
        cells`` prints every option with its meaning and default; unknown ones are refused.
    atlas
        A folder in the layout of BrainGlobe; or parts as ``{"annotation": ..., "template": ..., "structures": ...,
        "orientation": ...}``. Stands over ``config["atlas"]``, as do the next ones over what `config` says.
    spacing
        Micrometres per voxel (z, y, x); what the file says by default.
    orientation
        For each axis the anatomical side where index 0 lies, such as "psl"; what the file says by default.
    soma_diameter
        Diameter of a cell body in micrometres; 10 by default.
    memory
        Bytes, or text such as "4GiB", for detection and the preparation of volumes; 2 GiB of blocks by default.
    threads, progress
        See :mod:`zensaibo`. Threads and memory change the time and nothing else.

    Returns
    -------
    AnnData
        That of ``cells.h5ad``: one row per cell with ``region``, ``region_id`` and ``hemisphere`` beside the columns of
        `detect_cells`; ``obsm["spatial"]`` (x, y, z) in micrometres of the sample and ``obsm["spatial_atlas"]`` in those of
        the atlas.

    Raises
    ------
    zensaibo.errors.NotTrustworthyError
        A registration that is not to be trusted, with the reasons; report.html then shows it.
    zensaibo.errors.ParameterError
        Options that are unknown or out of range, no atlas, a spacing that nobody says, a folder that holds other things.
    zensaibo.errors.FormatError, zensaibo.errors.DataError, zensaibo.errors.FileError
        Files that cannot be read or do not agree.

    Notes
    -----
    Nothing is random. Cost: that of `detect_cells`, `register` and `count_regions`; the signal is read twice (once for the
    pictures).
    """
    sections: dict[str, dict[str, Any]] = {name: dict(given) for name, given in _sections(config).items()}
    named = {} if atlas is None else dict(atlas) if isinstance(atlas, Mapping) else {"path": atlas}
    given: dict[str, dict[str, Any]] = {
        "atlas": {key: os.fspath(value) if isinstance(value, os.PathLike) else value for key, value in named.items()},
        "input": {"spacing": None if spacing is None else [float(um) for um in spacing]},
        "sample": {"orientation": orientation},
        "detect": {"soma_diameter": None if soma_diameter is None else float(soma_diameter), "memory": to_bytes(memory)},
    }
    for section, values in given.items():
        kept = {key: value for key, value in values.items() if value is not None}
        sections.setdefault(section, {}).update(kept)
    with reporting(progress) as callback:
        _core.recipe_cells(
            os.fspath(signal),
            None if background is None else os.fspath(background),
            os.fspath(out),
            config_toml(sections),
            threads,
            callback,
        )
    from anndata import read_h5ad

    return read_h5ad(Path(out) / "cells.h5ad")


def _sections(config: Config | None) -> Mapping[str, Mapping[str, Any]]:
    """The options by section."""
    text = config_toml(config)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ParameterError(f"parameter `config`: expected TOML, found {error}") from error
