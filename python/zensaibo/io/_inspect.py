"""Looking into files and converting them."""

from __future__ import annotations

import json
import os
from typing import Any, Literal

from .. import _core
from .._progress import Progress, reporting
from ..errors import FormatError, ParameterError
from ._read import _options, _path, read
from ._remote import is_url
from ._write import write

#: Kinds that are read through Python libraries.
_BY_PYTHON = frozenset({"zarr", "h5mu", "loom", "csv", "parquet"})


def detect(path: str | os.PathLike[str]) -> str:
    """Tell what a file or folder is by its content.

    Parameters
    ----------
    path
        A file or folder, or a URL (``http://``, ``https://``, ``s3://``) of an HDF5 file or a Zarr store.

    Returns
    -------
    One of ``"h5ad"``, ``"tenx_v2"``, ``"tenx_v3"``, ``"tenx_folder_v2"``, ``"tenx_folder_v3"``, ``"matrix_market"``,
    ``"zarr"`` (any Zarr store, also in a zip archive), ``"h5mu"``, ``"loom"``, ``"parquet"``, ``"csv"`` (delimited text whose lines agree).

    Raises
    ------
    FileError, FormatError
        It cannot be opened, or is none of these.
    """
    from ._stores import store_kind
    from ._tables import table_kind

    place = _path(path)
    if is_url(place):
        return _core.io_detect(place)
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
        A file, folder or URL of any kind that :func:`read` takes, found by its content.

    Returns
    -------
    ``path``, ``format``, ``bytes``, ``n_cells``, ``n_genes``, ``entries`` (stored values of the matrix; every value of a
    dense one) and ``slots``: for each element its ``key``, ``kind`` (encoding), ``shape``, ``dtype``, ``entries``,
    ``compression`` and ``bytes`` on disk (0 of a Zarr store on a web server, which does not say). Of Zarr behind a URL only the
    matrices are told. Also

    ``zarr_format`` (Zarr on disk)
        2 or 3.
    ``modalities`` (h5mu)
        For each: ``n_cells``, ``n_genes`` and ``entries``; those of the file are over all of them.
    ``rows``, ``columns`` (delimited text, Parquet)
        Without the names. ``n_cells`` and ``n_genes`` are None, as a table does not say which is which.

    Raises
    ------
    FileError, FormatError
        It cannot be opened, is nothing that zensaibo reads, or is damaged.
    ImportError
        pyarrow is not installed, for Parquet.

    Notes
    -----
    Names and sizes are read, values are not, but for delimited text, whose lines are counted.
    """
    from ._contents import contents

    place, kind = _path(path), detect(path)
    return contents(place, kind) if kind in _BY_PYTHON and not is_url(place) else json.loads(_core.io_inspect(place)[0])


def convert(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str],
    *,
    format: Literal["h5ad", "zarr", "h5mu"] | None = None,
    gzip: int | None = None,
    zarr_format: Literal[2, 3] | None = None,
    genome: str | None = None,
    gex_only: bool = True,
    orientation: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Write any readable file as h5ad, Zarr or h5mu, in today's encodings.

    h5ad, 10x and Matrix Market become h5ad by the Rust core, without AnnData between; everything else goes through the
    object that :func:`read` gives.

    Parameters
    ----------
    source, target
        The files. The target appears whole or not at all; it may be the source.
    format
        Of the target: ``"h5ad"``, ``"zarr"`` or ``"h5mu"``; by default ``"h5mu"`` for an h5mu source, ``"zarr"`` when the
        target's name ends in ``.zarr``, else ``"h5ad"``.
    gzip
        With h5ad: level 1 (fast) to 9 (small); none leaves the arrays plain, which reads fastest. Refused for others.
    zarr_format
        With Zarr: 2 (the default) or 3. Refused for others.
    genome, gex_only
        For 10x data, see :func:`read_10x_h5`.
    orientation
        For delimited text and Parquet, see :func:`read`.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Raises
    ------
    FileError, FormatError, ParameterError
        As the readers and :func:`write`; ``FileError`` when the disk is full.
    """
    place, goal, kind = _path(source), _path(target), detect(source)
    if format is None:
        format = "h5mu" if kind == "h5mu" else "zarr" if goal.rstrip("/").endswith(".zarr") else "h5ad"
    if format not in ("h5ad", "zarr", "h5mu"):
        raise ParameterError(f"parameter `format`: expected h5ad, zarr, h5mu or None, found {format!r}")
    if (format == "h5mu") != (kind == "h5mu"):
        what = f"{kind} holds one modality" if format == "h5mu" else f"an h5mu file does not fit into one {format}"
        raise ParameterError(f"parameter `format`: {what}; expected {'h5mu' if kind == 'h5mu' else 'h5ad or zarr'}")
    if gzip is not None and format != "h5ad":
        raise ParameterError(f"parameter `gzip`: expected none with format {format}, found {gzip!r}")
    if gzip is not None and gzip not in range(1, 10):
        raise ParameterError(f"parameter `gzip`: expected 1 to 9, found {gzip!r}")
    if format != "zarr" and zarr_format is not None:
        raise ParameterError(f"parameter `zarr_format`: expected none with format {format}, found {zarr_format!r}")
    if format == "h5ad" and kind not in _BY_PYTHON:
        if orientation is not None:
            raise ParameterError(
                f"parameter `orientation`: expected none for {kind} data, which says it, found {orientation!r}"
            )
        with reporting(progress) as report:
            options = _options(genome=genome, gex_only=gex_only)
            _core.io_convert(place, goal, options, gzip, threads, report)
        return
    found = read(place, genome=genome, gex_only=gex_only, orientation=orientation, threads=threads, progress=progress)
    settings: dict[str, Any] = {} if gzip is None else {"compression": "gzip", "compression_opts": gzip}
    write(found, goal, format=format, zarr_format=zarr_format, **settings)
