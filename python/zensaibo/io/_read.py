"""Readers: AnnData out of h5ad, 10x and Matrix Market files."""

from __future__ import annotations

import json
import os
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import FormatError, ParameterError, ZensaiboError
from ._remote import h5_file, is_url

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from anndata import AnnData

# Arrays below this many bytes are left to anndata's own reader: opening them a second time would cost more.
_SMALL = 1 << 16


def _path(path: str | os.PathLike[str]) -> str:
    return os.path.expanduser(os.fspath(path))


def _sparse(parts: tuple, *, array: bool = False) -> Any:
    from scipy import sparse

    layout, shape, data, indices, indptr = parts
    classes = {
        ("csr", False): sparse.csr_matrix,
        ("csc", False): sparse.csc_matrix,
        ("csr", True): sparse.csr_array,
        ("csc", True): sparse.csc_array,
    }
    return classes[layout, array]((data, indices, indptr), shape=tuple(shape), copy=False)


def _warn_repeated(adata: AnnData) -> AnnData:
    # As anndata does when it makes an object out of a file.
    for axis, names in (("Observation", adata.obs_names), ("Variable", adata.var_names)):
        if not names.is_unique:
            slot = "obs" if axis == "Observation" else "var"
            message = f"{axis} names are not unique. To make them unique, call `.{slot}_names_make_unique`."
            warnings.warn(message, UserWarning, stacklevel=3)
    return adata


def read(
    path: str | os.PathLike[str],
    *,
    genome: str | None = None,
    gex_only: bool = True,
    orientation: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Any:
    """Read any file that zensaibo knows, found by its content, whatever its name.

    h5ad, 10x HDF5, 10x folders, Matrix Market; AnnData in Zarr (versions 2 and 3, also in a zip archive),
    h5mu, loom, delimited text, Parquet.

    Parameters
    ----------
    path
        File or folder, or a URL (``http://``, ``https://``, ``s3://``) of an h5ad, a 10x HDF5 file or AnnData in Zarr.
    genome, gex_only
        For 10x data, see :func:`read_10x_h5`. Refused for others unless left at their defaults.
    orientation
        For delimited text and Parquet, which must be told: ``"cells_by_genes"`` or ``"genes_by_cells"``. Refused for
        others.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Returns
    -------
    The object, cells x genes: AnnData, or MuData for h5mu.

    Raises
    ------
    FileError
        The file cannot be opened (also an ``OSError``).
    FormatError
        It is none of these formats, or damaged (also a ``ValueError``).
    """
    from ._inspect import detect

    kind = detect(path)
    if kind in {"csv", "parquet"}:
        from . import _tables

        if genome is not None:
            raise ParameterError(f"parameter `genome`: expected none for {kind} data, found {genome!r}")
        reader: Any = _tables.read_csv if kind == "csv" else _tables.read_parquet
        return reader(path, orientation=orientation)
    if orientation is not None:
        raise ParameterError(f"parameter `orientation`: expected none for {kind} data, which says it, found {orientation!r}")
    if kind in {"zarr", "h5mu", "loom"}:
        from . import _stores

        if genome is not None:
            raise ParameterError(f"parameter `genome`: expected none for {kind} data, found {genome!r}")
        return {"zarr": _stores.read_zarr, "h5mu": _stores.read_h5mu, "loom": _stores.read_loom}[kind](path)
    if kind in {"h5ad", "matrix_market"}:
        if genome is not None:
            raise ParameterError(f"parameter `genome`: expected none for {kind} data, found {genome!r}")
        reader = read_h5ad if kind == "h5ad" else read_mtx
        return reader(path, threads=threads, progress=progress)
    if kind in {"tenx_v2", "tenx_v3"}:
        return read_10x_h5(path, genome=genome, gex_only=gex_only, threads=threads, progress=progress)
    if genome is not None:
        raise ParameterError(f"parameter `genome`: expected none for a 10x folder, which names none, found {genome!r}")
    return read_10x_mtx(path, gex_only=gex_only, threads=threads, progress=progress)


def read_h5ad(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Read an h5ad file into memory; the same object as ``anndata.read_h5ad`` gives.

    Sparse matrices and large arrays go through the Rust reader (any of gzip, lzf, blosc, zstd, shuffle,
    fletcher32; decoded in parallel), the small parts through anndata's own element reader. Indices of sparse
    matrices come as 32 bits where they fit; values keep the type of the file.

    Parameters
    ----------
    path
        The file. Files of anndata before 0.7 are handed to anndata as a whole.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Returns
    -------
    The object. Peak memory is that of the object and one chunk per thread.

    Raises
    ------
    FileError
        The file cannot be opened (also an ``OSError``).
    FormatError
        It is not an h5ad, or damaged: file and key are named (also a ``ValueError``).
    """
    import anndata
    import h5py
    from anndata.experimental import read_dispatched

    path = _path(path)
    _core.io_check_h5ad(path)
    array = bool(getattr(anndata.settings, "use_sparse_array_on_read", False))

    with reporting(progress) as report:

        def callback(read_func: Callable, name: str, elem: Any, iospec: Any) -> Any:
            kind = iospec.encoding_type
            key = elem.name.strip("/")
            if key == "":
                members = {k: read_dispatched(elem[k], callback) for k in elem if not k.startswith("raw.")}
                known = {"X", "layers", "obs", "obsm", "obsp", "raw", "uns", "var", "varm", "varp"}
                return anndata.AnnData(**{k: v for k, v in members.items() if k in known})
            if key == "raw" and isinstance(elem, h5py.Group):
                return {k: read_dispatched(elem[k], callback) for k in elem if k in {"X", "var", "varm"}}
            if kind in {"csr_matrix", "csc_matrix"}:
                return _sparse(_core.io_read_sparse(path, key, threads, report), array=array)
            if (
                kind in {"array", ""}
                and isinstance(elem, h5py.Dataset)
                and elem.ndim >= 1
                and elem.dtype.kind in "iuf"
                and elem.dtype.itemsize <= 8
                and elem.nbytes >= _SMALL
                and "categories" not in elem.attrs
            ):
                return _core.io_read_array(path, key, threads, report)
            return read_func(elem)

        try:
            with h5_file(path) as file:
                old = "raw.X" in file or isinstance(file["obs"], h5py.Dataset)
                if old and is_url(path):
                    raise FormatError(f"{path}: expected an h5ad of anndata 0.7 or later behind a URL, found an older one")
                adata = None if old else read_dispatched(file, callback)
            return anndata.read_h5ad(path) if adata is None else adata
        except ZensaiboError:
            raise
        except Exception as error:  # anndata and h5py raise of every kind on a damaged file
            cause = error.__cause__
            if isinstance(cause, ZensaiboError):
                raise cause from None
            raise FormatError(f"{path}: expected a sound h5ad file, found: {error}") from error


def _columns(columns: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: values if isinstance(values, np.ndarray) else np.array(values, dtype=str) for name, values in columns}


def _options(**options: Any) -> str:
    return json.dumps({name: value for name, value in options.items() if value is not None})


def read_10x_h5(
    path: str | os.PathLike[str],
    *,
    genome: str | None = None,
    gex_only: bool = True,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Read a 10x HDF5 file of version 2 or 3, or a Visium probe file; the same object as ``scanpy.read_10x_h5``.

    Parameters
    ----------
    path
        The file.
    genome
        Keep only the features of this genome. Must be given for a version 2 file that holds several.
    gex_only
        Keep only features of type "Gene Expression" (version 3).
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Returns
    -------
    Cells x genes, float32 CSR. ``var`` carries ``gene_ids``, ``feature_types``, ``genome`` and whatever else the file
    says of its features; ``obs`` carries ``filtered_barcodes`` where the file does. Gene names may repeat (a warning
    says so).

    Raises
    ------
    ParameterError
        The genome is not there, or must be chosen; the message lists those present.
    FileError, FormatError
        The file cannot be opened, or is not what it should be.
    """
    from anndata import AnnData

    with reporting(progress) as report:
        parts = _core.io_read_10x_h5(_path(path), _options(genome=genome, gex_only=gex_only), threads, report)
    obs, var = parts["obs"], parts["var"]
    matrix, kept = _sparse(parts["matrix"]), parts["kept"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        adata = AnnData(
            matrix,
            obs={"obs_names": np.array(obs[0], dtype=str), **_columns(obs[1])},
            var={"var_names": np.array(var[0], dtype=str), **_columns(var[1])},
        )
        if not kept.all():
            adata = adata[:, kept].copy()
    return _warn_repeated(adata)


def read_10x_mtx(
    path: str | os.PathLike[str],
    *,
    var_names: str = "gene_symbols",
    make_unique: bool = True,
    gex_only: bool = True,
    prefix: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Read a 10x folder of version 2 or 3, gzip or not; the same object as ``scanpy.read_10x_mtx``.

    Parameters
    ----------
    path
        The folder with ``matrix.mtx``, ``genes.tsv`` or ``features.tsv``, and ``barcodes.tsv``.
    var_names
        What names the genes: ``"gene_symbols"`` or ``"gene_ids"``. The other becomes a column of ``var``.
    make_unique
        Make repeated gene symbols unique by appending ``-1``, ``-2``, ...
    gex_only
        Keep only features of type "Gene Expression" (version 3).
    prefix
        What stands before the names of the files, such as ``"patient1_"``.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Returns
    -------
    Cells x genes, float32 CSR; ``var["gene_ids"]`` and, for version 3, ``var["feature_types"]``.

    Raises
    ------
    FileError, FormatError
        A file is missing or damaged (the line is named), or their lengths disagree.
    """
    from anndata import AnnData

    options = _options(var_names=var_names, make_unique=make_unique, gex_only=gex_only, prefix=prefix)
    with reporting(progress) as report:
        parts = _core.io_read_10x_mtx(_path(path), options, threads, report)
    obs, var = parts["obs"], parts["var"]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        adata = AnnData(
            _sparse(parts["matrix"]),
            obs={"obs_names": np.array(obs[0], dtype=str)},
            var={"var_names": np.array(var[0], dtype=str), **_columns(var[1])},
        )
    for column in adata.var.columns:
        adata.var[column] = adata.var[column].astype(object)
    return _warn_repeated(adata)


def read_mtx(
    path: str | os.PathLike[str],
    *,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Read a Matrix Market file (coordinate, general; gzip or not); the same object as ``anndata.io.read_mtx``.

    Parameters
    ----------
    path
        The file.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Returns
    -------
    Rows x columns as the file has them, float32 CSR, without names. Repeated entries are added up.

    Raises
    ------
    FileError, FormatError
        The file cannot be opened, or a line is not what it should be.
    """
    from anndata import AnnData

    with reporting(progress) as report:
        parts = _core.io_read_mtx(_path(path), threads, report)
    return AnnData(_sparse(parts))
