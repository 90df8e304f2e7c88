"""``pp.recipe``: the pipeline of ``zensaibo cluster``, from Python."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import _anndata, _core
from .._config import Config, config_toml
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..errors import ParameterError
from ..io._matrix import paths_of

if TYPE_CHECKING:
    from anndata import AnnData


def recipe(
    data: AnnData | str | os.PathLike[str] | Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str] | None = None,
    config: Config | None = None,
    *,
    join: str = "inner",
    memory: int | str | None = None,
    report: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    scratch: str | os.PathLike[str] | None = None,
    checkpoints: str | os.PathLike[str] | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """From raw counts to annotated clusters: the pipeline of the command ``zensaibo cluster``.

    Quality control, filter, normalisation, highly variable genes, PCA, neighbours, Leiden, UMAP, markers; the
    same code, and the same bits, as from the command line.

    Parameters
    ----------
    data
        Raw counts: a path (h5ad, AnnData in Zarr, 10x HDF5, 10x folder, Matrix Market; of HDF5 and Zarr also a URL, ``http://``,
        ``https://`` or ``s3://``), a list of paths, or an AnnData with counts
        in ``X`` (or in the layer that ``config["input"]["layer"]`` names). An AnnData is not changed. Of a list the cells stand one
        after the other, with the name of their file in ``obs["batch"]`` and, where names repeat, behind theirs.
    out
        h5ad to write; by default none is kept. Written beside and renamed at the end.
    config
        Options by section, such as ``{"filter": {"max_pct_mito": 5}, "leiden": {"resolution": 0.8}}``, or the
        path of a TOML file. ``zensaibo config cluster`` prints every option with its meaning and default;
        unknown ones are refused.
    join
        Genes of a list of paths: ``"inner"``, those of all files, or ``"outer"``, those of any. Refused otherwise.
    memory
        Memory that the run may take, in bytes or as text such as ``"4GiB"``; any by default. Counts that do not fit go to a
        scratch file. The AnnData that is returned comes on top.
    report
        HTML page to write: one file that needs nothing else.
    seed
        Seed of every stage that draws random numbers; a seed in `config` comes before it.
    scratch
        Folder of the scratch file, that of `out` by default. The file has no name and goes with the process.
    checkpoints
        Folder in which finished stages are kept until `out` is written: after a run was killed, the same call goes on from
        there. For paths only.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    A new AnnData of the kept cells and genes: ``X`` log-normalised, ``layers["counts"]`` raw counts, quality
    metrics and ``leiden`` in ``obs``, metrics and variability in ``var``, ``X_pca``, ``X_umap``, ``PCs``,
    ``neighbors``, ``rank_genes_groups`` in scanpy's slots, options and hash of the input in
    ``uns["zensaibo"]["recipe"]``. ``obs`` and ``var`` keep the columns they had; of an AnnData in memory other
    slots are not carried over.

    Raises
    ------
    ParameterError
        An option that is unknown or out of range; an output that cannot be written.
    NotCountsError, NegativeValuesError, NonFiniteError, EmptyDataError, DuplicateNamesError
        Data that are not raw counts.
    FormatError, FileError
        A file that cannot be read.
    LimitError
        A `memory` that does not do, with one that would.

    Notes
    -----
    Random numbers are drawn by PCA, neighbours (above 16,384 cells), Leiden and UMAP, each under its seed; threads
    change no bit, nor do `memory` and `checkpoints`. Each file is read once; one of several of which genes are left out, a
    second time before. Memory: up to 6 bytes per count above zero, 8 per
    count of a variable gene, about 2 kB per cell, up to 0.5 GB while what is stored by columns is read, and that of the result.
    """
    seeds = {} if seed is None else {place: int(seed) for place in _seeds()}
    toml = config_toml(config, seeds)
    with tempfile.TemporaryDirectory(prefix="zensaibo-") as folder:
        target = Path(folder) / "out.h5ad" if out is None else Path(out)
        tail = (_text(report), to_bytes(memory), _text(scratch))
        with reporting(progress) as callback:
            paths = paths_of(data, "data") if isinstance(data, (str, os.PathLike, list, tuple)) else []
            if join != "inner" and len(paths) < 2:
                raise ParameterError(f"parameter `join`: expected 'inner' unless there are several files, found {join!r}")
            if paths:
                _core.recipe_files(paths, join, os.fspath(target), toml, *tail, _text(checkpoints), threads, callback)
            else:
                data = _anndata.check_adata(data, "data")
                if checkpoints is not None:
                    raise ParameterError("parameter `checkpoints`: expected none for an AnnData, which is gone with the process")
                counts, name = _counts(data, toml)
                _core.recipe_counts(
                    counts,
                    _table(data.obs),
                    _table(data.var),
                    name,
                    os.fspath(target),
                    toml,
                    *tail,
                    threads,
                    callback,
                )
        from anndata import read_h5ad

        return read_h5ad(target)


def _text(path: str | os.PathLike[str] | None) -> str | None:
    return None if path is None else os.fspath(path)


def _seeds() -> list[tuple[str, str]]:
    """Every option that is a seed."""
    import tomllib

    sections = tomllib.loads(_core.recipe_template())
    return [(name, key) for name, keys in sections.items() for key in keys if key in ("seed", "random_state")]


def _counts(adata: AnnData, toml: str) -> tuple[Any, str]:
    """The matrix that ``input.layer`` names, and what it is called."""
    import tomllib

    _anndata.check_adata(adata, "data")
    try:
        layer = tomllib.loads(toml).get("input", {}).get("layer")
    except tomllib.TOMLDecodeError:
        layer = None  # the extension says what is wrong with it
    return _anndata.get_matrix(adata, layer=layer, stream=True), "AnnData"


def _table(frame: pd.DataFrame) -> tuple[list[str], list[tuple[str, str, Any]]]:
    """Row names and columns as the extension takes them."""
    return [str(name) for name in frame.index], [(str(name), *_column(frame[name])) for name in frame.columns]


def _column(column: pd.Series) -> tuple[str, Any]:
    if isinstance(column.dtype, pd.CategoricalDtype):
        codes = column.cat.codes.to_numpy().astype(np.int32).tolist()
        return "categories", (codes, [str(name) for name in column.cat.categories], bool(column.cat.ordered))
    kind = column.dtype.kind if isinstance(column.dtype, np.dtype) else "O"
    if kind == "b":
        return "numbers", (column.to_numpy().astype(np.uint8), True)
    if kind in "iuf":
        return "numbers", (_anndata_numbers(column.to_numpy()), False)
    texts = [None if missing else str(value) for value, missing in zip(column, column.isna(), strict=True)]
    return ("optional strings" if None in texts else "strings"), texts


def _anndata_numbers(values: np.ndarray) -> np.ndarray:
    """Values in a type that the extension takes."""
    narrow = {"i1": "i4", "i2": "i4", "f2": "f4"}
    return np.ascontiguousarray(values.astype(narrow.get(values.dtype.str[1:], values.dtype.newbyteorder("="))))
