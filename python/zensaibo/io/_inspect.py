"""Looking into files and converting them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from .. import _core
from .._progress import Progress, reporting
from ..errors import FormatError
from ._read import _options, _path

if TYPE_CHECKING:
    from collections.abc import Callable


def detect(path: str | os.PathLike[str]) -> str:
    """Tell what a file or folder is by its content.

    Parameters
    ----------
    path
        A file or folder.

    Returns
    -------
    One of ``"h5ad"``, ``"tenx_v2"``, ``"tenx_v3"``, ``"tenx_folder_v2"``, ``"tenx_folder_v3"``, ``"matrix_market"``,
    ``"zarr"`` (any Zarr store), ``"h5mu"``, ``"loom"``, ``"parquet"``, ``"csv"`` (delimited text whose lines agree).

    Raises
    ------
    FileError, FormatError
        It cannot be opened, or is none of these.
    """
    from ._stores import store_kind
    from ._tables import table_kind

    place = _path(path)
    found = store_kind(place)
    if found is not None:
        return found
    try:
        return _core.io_detect(place)
    except FormatError:
        found = table_kind(place)
        if found is None:
            raise
        return found


def inspect(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Tell what a file holds without reading it.

    Parameters
    ----------
    path
        A file or folder: h5ad, 10x or Matrix Market.

    Returns
    -------
    ``format``, ``bytes``, ``n_cells``, ``n_genes``, ``entries`` (stored values of the matrix) and ``slots``: for each
    element its ``key``, ``kind`` (encoding), ``shape``, ``dtype``, ``entries``, ``compression`` and ``bytes`` on disk.

    Raises
    ------
    FileError, FormatError
        It cannot be opened, is nothing that zensaibo reads, or is damaged.
    """
    return json.loads(_core.io_inspect(_path(path))[0])


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    gzip: int | None = None,
    genome: str | None = None,
    gex_only: bool = True,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Write any readable file (h5ad, 10x, Matrix Market) as an h5ad in today's encodings, without AnnData between.

    Parameters
    ----------
    source, target
        The files. The target appears whole or not at all; it may be the source.
    gzip
        Level 1 (fast) to 9 (small), compressed in parallel; none leaves the arrays plain, which reads fastest.
    genome, gex_only
        For 10x data, see :func:`read_10x_h5`.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Raises
    ------
    FileError, FormatError, ParameterError
        As the readers; ``FileError`` when the disk is full.
    """
    with reporting(progress) as report:
        options = _options(genome=genome, gex_only=gex_only)
        _core.io_convert(_path(source), _path(target), options, gzip, threads, report)
