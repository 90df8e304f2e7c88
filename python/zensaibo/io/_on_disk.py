"""One file of several, or of a part of one: tables by anndata in memory, matrices block by block by the Rust core."""

from __future__ import annotations

import contextlib
import itertools
import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .. import _core
from .._progress import Progress, reporting
from ..errors import DuplicateNamesError, EmptyDataError, FileError, FormatError, MissingKeyError, ParameterError, ZensaiboError
from ._beside import need
from ._inspect import detect
from ._matrix import paths_of
from ._read import _path
from ._remote import h5_file, is_url, zarr_group
from ._write import write_h5ad

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

_COUNT = itertools.count()

#: What is held while a file is written: everything but the matrices of cells x genes.
_TABLES = ("obs", "var", "obsm", "varm", "obsp", "varp", "uns")


@dataclass
class _Matrix:
    """A matrix in a file."""

    path: str
    key: str
    shape: tuple[int, int]
    dtype: np.dtype
    layout: str

    def sample(self) -> Any:
        """One row of zeros in the same type and layout: what anndata makes of it shows what it makes of the matrix."""
        from scipy import sparse

        if self.layout == "dense":
            return np.zeros((1, self.shape[1]), self.dtype)
        kind = sparse.csc_matrix if self.layout == "csc" else sparse.csr_matrix
        return kind((1, self.shape[1]), dtype=self.dtype)


@dataclass
class _File:
    """A file of which the tables are held and the matrices are not."""

    path: str
    #: Everything but X and layers; the matrix of raw is a blank one.
    tables: AnnData
    #: ``"X"``, ``"layers/<name>"``, ``"raw/X"``.
    matrices: dict[str, _Matrix] = field(default_factory=dict)


@contextlib.contextmanager
def _opened(path: str) -> Iterator[Any]:
    """The root of an h5ad or of a Zarr folder, as anndata's reader takes it."""
    kind = detect(path)
    if kind == "zarr" and is_url(path):
        root = zarr_group(path)
        if not {"obs", "var"} <= set(root):
            raise FormatError(f"{path}: expected AnnData in Zarr, found a store without obs and var")
        yield root
        return
    if kind == "zarr" and os.path.isdir(path):
        zarr = need("zarr", "zarr")
        settings = {"use_consolidated": False} if int(zarr.__version__.split(".")[0]) > 2 else {}
        root = zarr.open_group(path, mode="r", **settings)
        if not {"obs", "var"} <= set(root):
            raise FormatError(f"{path}: expected AnnData in Zarr, found a store without obs and var")
        yield root
        return
    if kind != "h5ad":
        raise FormatError(f"{path}: expected an h5ad or AnnData in a Zarr folder (zensaibo.io.convert makes one), found {kind}")
    import h5py

    with h5_file(path) as file:
        if isinstance(file["obs"], h5py.Dataset) or "raw.X" in file:
            raise FormatError(f"{path}: expected an h5ad of anndata 0.7 or later (zensaibo.io.convert makes one), found an older one")
        yield file


def _described(path: str, key: str) -> _Matrix:
    shape, dtype, layout = _core.io_describe_matrix(path, key)
    return _Matrix(path, key, shape, np.dtype(dtype), layout)


def _load(path: str, tables: Sequence[str]) -> _File:
    import anndata
    from anndata.io import read_elem
    from scipy import sparse

    try:
        with _opened(path) as root, warnings.catch_warnings():
            # Said once, of the object that comes out.
            warnings.filterwarnings("ignore", message=".*names are not unique.*")
            parts = {name: read_elem(root[name]) for name in tables if name in root}
            adata = anndata.AnnData(**parts)
            found = _File(path, adata)
            keys = [f"layers/{name}" for name in root.get("layers", ())]
            if _present(root, "X"):
                keys.insert(0, "X")
            if "raw" in root and _present(root, "raw/X"):
                keys.append("raw/X")
            for key in keys:
                found.matrices[key] = _described(path, key)
                if key != "raw/X" and found.matrices[key].shape != adata.shape:
                    raise FormatError(f"{path}: {key}: expected shape {adata.shape}, found {found.matrices[key].shape}")
            if "raw/X" in found.matrices:
                var = read_elem(root["raw/var"])
                varm = read_elem(root["raw/varm"]) if "varm" in root["raw"] else {}
                blank = sparse.csr_matrix((adata.n_obs, len(var)), dtype=np.float32)
                found.tables = anndata.AnnData(**parts, raw={"X": blank, "var": var, "varm": varm})
            return found
    except ZensaiboError:
        raise
    except Exception as error:  # anndata, h5py and zarr raise of every kind on a damaged file
        raise FormatError(f"{path}: expected a sound file of AnnData, found: {error}") from error


def _present(root: Any, key: str) -> bool:
    return key in root and root[key].attrs.get("encoding-type") != "null"


def _places(old: pd.Index, new: pd.Index) -> list[int] | None:
    """New place of each name, -1 where it is left out; None where all stay."""
    return None if old.equals(new) else new.get_indexer(old).tolist()


def _write(
    adata: AnnData,
    matrices: list[tuple[str, str, int, str, list[Any]]],
    out: str,
    gzip: int | None,
    threads: int | None,
    progress: bool | Progress | None,
) -> None:
    """The tables to a file beside the target, then all of it by the Rust core, which renames."""
    target = os.path.realpath(out)
    folder, name = os.path.split(target)
    if os.path.isdir(target):
        raise FileError(f"{target}: cannot write: is a folder")
    held = os.path.join(folder, f".{name}.{os.getpid()}-py{next(_COUNT)}.tables")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*names are not unique.*")
            write_h5ad(adata, held)
        with reporting(progress) as report:
            _core.io_write_stacked(held, out, matrices, gzip, threads, report)
    finally:
        if os.path.lexists(held):
            os.unlink(held)


def _check_gzip(gzip: int | None) -> None:
    if gzip is not None and gzip not in range(1, 10):
        raise ParameterError(f"parameter `gzip`: expected 1 to 9, or None, found {gzip!r}")


def concat_on_disk(
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    *,
    join: Literal["inner", "outer"] = "inner",
    label: str | None = "batch",
    keys: Sequence[str] | None = None,
    index_unique: str | None = None,
    merge: str | Callable[..., Any] | None = None,
    uns_merge: str | Callable[..., Any] | None = None,
    gzip: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Writes the cells of several files, one file after the other, as one h5ad without holding their matrices.

    What comes out is what ``anndata.concat`` of the objects makes and writes: ``X``, layers and ``raw`` that all files have (of an
    outer join every layer that any file has), ``obs`` and ``obsm``; ``var``, ``varm`` and ``uns`` as `merge` and `uns_merge` say;
    ``obsp`` is left out. Matrices go from file to file in blocks, in their own types.

    Parameters
    ----------
    paths
        The files: h5ad, or AnnData in Zarr folders.
    out
        The h5ad to write. It appears whole or not at all; it may be one of the files.
    join
        Genes, columns and layers: ``"inner"``, those of all files; ``"outer"``, those of any. What a file does not have is 0 in
        sparse matrices and NaN in dense ones.
    label
        Column of ``obs`` that says from which file a cell comes; None for no such column.
    keys
        Names of the files in that column; ``"0"``, ``"1"``, ... by default.
    index_unique
        Where given, cells are named ``<name><index_unique><key>``, which makes names unique that occur in several files.
    merge, uns_merge
        What is kept of ``var``, ``varm``, ``varp`` and of ``uns``: None (nothing), ``"same"``, ``"unique"``, ``"first"``, ``"only"``,
        as in ``anndata.concat``.
    gzip
        Level 1 (fast) to 9 (small); None leaves matrices plain, which reads fastest.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Raises
    ------
    FileError, FormatError
        A file cannot be opened, is of another kind, or is damaged; the output cannot be written.
    EmptyDataError
        No gene that all files have.
    DuplicateNamesError
        A gene name twice in a file, where the files have different genes.
    MissingKeyError
        Some of the files have ``X`` and others have none.
    ParameterError
        Parameters out of range.

    Notes
    -----
    One read and one write of the matrices. Memory: the tables (``obs``, ``obsm``, ``var``, ``varm``, ``uns``) of the files, 8 bytes
    per cell and matrix and a few megabytes per thread; a matrix stored by columns takes up to 1 GiB and a
    scratch file among those for temporary files, and is held where single precision does not hold its type (float64, int32, ...).
    """
    import anndata

    places = paths_of(paths, "paths")
    if join not in ("inner", "outer"):
        raise ParameterError(f"parameter `join`: expected inner or outer, found {join!r}")
    names = [str(i) for i in range(len(places))] if keys is None else [str(key) for key in keys]
    if len(names) != len(places) or len(set(names)) != len(names):
        raise ParameterError(f"parameter `keys`: expected {len(places)} different names, found {list(keys or ())}")
    _check_gzip(gzip)
    needed = _TABLES if merge is not None else ("obs", "var", "obsm", "varm", "uns")
    files = [_load(path, [name for name in needed if name != "obsp"]) for path in places]
    _check_genes(files, join)
    options: dict[str, Any] = {"join": join, "label": label, "keys": names, "index_unique": index_unique}
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique.*")
        samples = anndata.concat([_sample(file) for file in files], join=join)
        try:
            tables = anndata.concat([file.tables for file in files], merge=merge, uns_merge=uns_merge, **options)
        except (TypeError, ValueError, KeyError, NotImplementedError) as error:
            raise ParameterError(f"{', '.join(places)}: expected tables that anndata can join, found: {error}") from error
    made = {"X": samples.X, **{f"layers/{name}": matrix for name, matrix in samples.layers.items()}}
    wanted = [(key, matrix, samples.var_names) for key, matrix in made.items() if matrix is not None]
    if tables.raw is not None and samples.raw is not None:
        wanted.append(("raw/X", samples.raw.X, samples.raw.var_names))
    matrices = []
    for key, matrix, genes in wanted:
        dense = isinstance(matrix, np.ndarray)
        parts: list[Any] = []
        for file in files:
            stored = file.matrices.get(key)
            if stored is None:
                parts.append((None, key, file.tables.n_obs, None, None))
                continue
            own = file.tables.raw.var_names if key == "raw/X" else file.tables.var_names
            parts.append((stored.path, stored.key, stored.shape[0], None, _places(own, genes)))
        kinds = {file.matrices[key].dtype for file in files if key in file.matrices}
        dtype = matrix.dtype if matrix.dtype != np.float16 or kinds == {matrix.dtype} else np.dtype("f4")
        matrices.append((key, "dense" if dense else "csr", len(genes), dtype.name, parts))
    _write(tables, matrices, _path(out), gzip, threads, progress)


def _sample(file: _File) -> AnnData:
    """The matrices of a file with one blank row."""
    import anndata
    import pandas as pd

    found = {key: matrix.sample() for key, matrix in file.matrices.items()}
    layers = {key.removeprefix("layers/"): matrix for key, matrix in found.items() if key.startswith("layers/")}
    raw = {"X": found["raw/X"], "var": pd.DataFrame(index=file.tables.raw.var_names)} if "raw/X" in found else None
    genes = pd.DataFrame(index=file.tables.var_names)
    return anndata.AnnData(found.get("X"), obs=pd.DataFrame(index=["0"]), var=genes, layers=layers, raw=raw)


def _check_genes(files: list[_File], join: str) -> None:
    """Refuses, by file, what cannot be joined by name."""
    without = [file.path for file in files if "X" not in file.matrices]
    if without and len(without) < len(files):
        raise MissingKeyError(f"key `X` not found in {', '.join(without)}; expected in all files or in none")
    for what in ("var", "raw.var"):
        if what == "raw.var" and any(file.tables.raw is None for file in files):
            return
        genes = [file.tables.var_names if what == "var" else file.tables.raw.var_names for file in files]
        if all(genes[0].equals(other) for other in genes[1:]):
            continue
        for file, names in zip(files, genes, strict=True):
            if not names.is_unique:
                twice = names[names.duplicated()][0]
                raise DuplicateNamesError(f"{file.path}: {what}: expected gene names that occur once, to be joined by name, found {twice} twice")
        if join == "inner" and not set(genes[0]).intersection(*genes[1:]):
            shown = "; ".join(f"{file.path}: {', '.join(names[:3])}, ..." for file, names in zip(files, genes, strict=True))
            raise EmptyDataError(f'{what}: expected genes that all files have (or join="outer"), found none: {shown}')


def subset_on_disk(
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    obs: Any = None,
    var: Any = None,
    gzip: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Writes some cells and genes of a file as an h5ad without holding its matrices.

    What comes out is what ``adata[obs, var].copy()`` of the object makes and writes, every slot cut to the cells and genes that are
    kept (``raw`` keeps its genes). Matrices go from file to file in blocks, in their own types and layouts.

    Parameters
    ----------
    path
        The file: an h5ad, or AnnData in a Zarr folder.
    out
        The h5ad to write. It appears whole or not at all; it may be `path`.
    obs, var
        Cells and genes to keep: a boolean mask, names, or a slice of positions; None keeps all. They stay in the order of the
        file, whatever the order of the names.
    gzip
        Level 1 (fast) to 9 (small); None leaves matrices plain, which reads fastest.
    threads
        Threads to use; all cores by default. The result does not depend on it.
    progress
        Show a progress bar, or a function ``(stage, done, total)``.

    Raises
    ------
    FileError, FormatError
        The file cannot be opened, is of another kind, or is damaged; the output cannot be written.
    ParameterError
        A mask of another length, a slice that goes backwards, a name that is given twice.
    MissingKeyError
        Names that the file does not have.
    DuplicateNamesError
        Names are asked for in a file where names repeat.

    Notes
    -----
    One read of the matrices and one write of what is kept. Memory: the tables, ``obsm``, ``obsp`` and ``uns`` of the file, 8 bytes
    per cell and a few megabytes per thread; ``raw`` stored by columns stays so.
    """
    _check_gzip(gzip)
    file = _load(_path(path), _TABLES)
    cells = _mask_of(obs, file.tables.obs_names, "obs", file.path)
    genes = _mask_of(var, file.tables.var_names, "var", file.path)
    rows, columns = (slice(None) if mask is None else np.flatnonzero(mask) for mask in (cells, genes))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique.*")
        tables = file.tables[rows, columns].copy()
    matrices = []
    for key, stored in file.matrices.items():
        kept, other = cells, None if key == "raw/X" else genes
        if stored.layout == "csc":
            kept, other = other, kept
        n_lines, width = stored.shape[:: -1 if stored.layout == "csc" else 1]
        lines = None if kept is None else kept.tolist()
        places = None if other is None else np.where(other, np.cumsum(other) - 1, -1).tolist()
        width = width if other is None else int(other.sum())
        part = (stored.path, stored.key, n_lines, lines, places)
        matrices.append((key, stored.layout, width, stored.dtype.name, [part]))
    _write(tables, matrices, _path(out), gzip, threads, progress)


def _mask_of(chosen: Any, names: pd.Index, which: str, path: str) -> np.ndarray | None:
    """Cells or genes to keep, as a mask; None for all."""
    if chosen is None:
        return None
    if isinstance(chosen, slice):
        if chosen.step is not None and chosen.step < 1:
            raise ParameterError(f"parameter `{which}`: expected a slice that goes forward, found {chosen}")
        mask = np.zeros(len(names), dtype=bool)
        mask[chosen] = True
        return mask
    values = np.asarray(chosen) if not isinstance(chosen, str) else np.array(0)
    if values.ndim == 1 and values.dtype == bool:
        if len(values) != len(names):
            raise ParameterError(f"parameter `{which}`: expected a mask of {len(names)}, as {path} has, found {len(values)}")
        return values
    if values.ndim != 1 or not all(isinstance(value, str) for value in values):
        found = f"{type(chosen).__name__} of {values.dtype}" if values.ndim == 1 else type(chosen).__name__
        raise ParameterError(f"parameter `{which}`: expected a boolean mask, a list of names or a slice, found {found}")
    if not names.is_unique:
        raise DuplicateNamesError(f"{path}: {which}: expected names that occur once, found {names[names.duplicated()][0]} twice; use a mask")
    places = names.get_indexer(values)
    if (places < 0).any():
        absent = values[places < 0]
        shown = ", ".join(absent[:5]) + (f", ... ({len(absent)} in all)" if len(absent) > 5 else "")
        raise MissingKeyError(f"{which} names not found in {path}: {shown}; present: {', '.join(names[:5])}, ... ({len(names)} in all)")
    mask = np.zeros(len(names), dtype=bool)
    mask[places] = True
    if mask.sum() < len(values):
        seen, counts = np.unique(values, return_counts=True)
        raise ParameterError(f"parameter `{which}`: expected each name once, found {seen[counts > 1][0]} twice")
    return mask
