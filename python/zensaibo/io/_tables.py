"""Count tables: delimited text and Parquet, their orientation named by the caller."""

from __future__ import annotations

import csv
import gzip
import os
import warnings
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _anndata
from ..errors import FileError, FormatError, ParameterError
from ._beside import file_beside, need
from ._read import _path, _warn_repeated

if TYPE_CHECKING:
    from anndata import AnnData

Orientation = Literal["cells_by_genes", "genes_by_cells"]

#: Values parsed, or written, at a time.
_CHUNK = 1 << 22


def table_kind(path: str) -> str | None:
    """``"parquet"`` or ``"csv"`` (any delimited text) when `path` is one by its content, else None."""
    if not os.path.isfile(path):
        return None
    try:
        with open(path, "rb") as file:
            if file.read(4) == b"PAR1":
                return "parquet"
        with _open(path) as file:
            first, second = file.readline(1 << 24), file.readline(1 << 24)
    except (OSError, UnicodeDecodeError, EOFError, zlib.error):
        return None
    if not second or first.startswith("%%MatrixMarket") or "\0" in first:
        return None
    delimiter = _delimiter(first, second)
    header, row = (next(csv.reader([line.rstrip("\r\n")], delimiter=delimiter), []) for line in (first, second))
    numbers = sum(map(_is_number, row[1:]))
    # Prose has commas too: most of what follows the name must be numbers.
    return "csv" if len(row) - len(header) in (0, 1) and 2 * numbers > len(row) - 1 else None


def _is_number(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return False
    return True


def _open(path: str) -> Any:
    with open(path, "rb") as file:
        packed = file.read(2) == b"\x1f\x8b"
    return gzip.open(path, "rt", encoding="utf8", newline="") if packed else open(path, encoding="utf8", newline="")


def _delimiter(first: str, second: str) -> str:
    """Of tab, comma, semicolon: the one that both lines agree on best."""
    return max("\t,;", key=lambda mark: min(first.count(mark) + 1, second.count(mark)))


def _check(orientation: Any) -> None:
    if orientation not in ("cells_by_genes", "genes_by_cells"):
        raise ParameterError(
            "parameter `orientation`: expected `cells_by_genes` (a row per cell) or `genes_by_cells` (a row per gene); "
            f"a table does not say which it is. Found {orientation!r}"
        )


def read_csv(
    path: str | os.PathLike[str], *, orientation: Orientation, delimiter: str | None = None, sparse: bool = True
) -> AnnData:
    """Read a delimited count table (csv, tsv; gzip or not): names in the first row and the first column.

    Parameters
    ----------
    path
        The file. The header may lack the field above the row names, as R writes it.
    orientation
        ``"cells_by_genes"``: a row per cell; ``"genes_by_cells"``: a row per gene. Always to be named.
    delimiter
        Between fields; by default tab, comma or semicolon, whichever the first two lines agree on.
    sparse
        A CSR matrix, read piece by piece; else a numpy array.

    Returns
    -------
    Cells x genes, float32.

    Raises
    ------
    FileError
        The file cannot be opened.
    FormatError
        An empty table, lines of different lengths, or a field that is no number: line and column are named.
    ParameterError
        No such orientation.
    """
    _check(orientation)
    place = _path(path)
    try:
        with _open(place) as file:
            first, second = file.readline(), file.readline()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise FormatError(f"{place}: expected sound gzip, found: {error}") from error
    except OSError as error:
        raise FileError(f"{place}: cannot read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FormatError(f"{place}: expected text in UTF-8, found: {error}") from error
    if not second.strip():
        raise FormatError(
            f"{place}: expected a header and at least one row, found {'one line' if first else 'an empty file'}"
        )
    mark = delimiter if delimiter is not None else _delimiter(first, second)
    if len(mark) != 1:
        raise ParameterError(f"parameter `delimiter`: expected one character, found {mark!r}")
    header = next(csv.reader([first.rstrip("\r\n")], delimiter=mark))
    width = len(next(csv.reader([second.rstrip("\r\n")], delimiter=mark)))
    if width < 2:
        raise FormatError(f"{place}: line 2: expected a name and values between {mark!r}, found one field")
    if len(header) not in (width, width - 1):
        raise FormatError(
            f"{place}: line 2: expected {len(header)} or {len(header) + 1} fields, as the header has it, found {width}"
        )
    columns = header[1:] if len(header) == width else header

    names: list[str] = []
    try:
        blocks = list(_blocks(place, mark, width, columns, names, sparse))
    except (EOFError, zlib.error, gzip.BadGzipFile, UnicodeDecodeError, csv.Error) as error:
        raise FormatError(f"{place}: line {len(names) + 2} or later: expected sound text, found: {error}") from error
    except OSError as error:
        raise FileError(f"{place}: cannot read: {error.strerror or error}") from error
    return _build(blocks, names, columns, orientation, sparse)


def _blocks(place: str, mark: str, width: int, columns: list[str], names: list[str], as_sparse: bool) -> Iterator[Any]:
    """Pieces of the rows, checked; the names of the rows are added to `names`."""
    line = 2
    rows = max(_CHUNK // width, 1)
    with _open(place) as file:
        file.readline()
        reader = csv.reader(file, delimiter=mark)
        while True:
            values, count = np.empty((rows, width - 1), dtype=np.float32), 0
            lines = []
            for fields in reader:
                line += 1
                if not fields:
                    continue
                if len(fields) != width:
                    raise FormatError(f"{place}: line {line - 1}: expected {width} fields, found {len(fields)}")
                try:
                    values[count] = fields[1:]
                except ValueError:
                    raise _no_number(place, line - 1, fields[1:], columns) from None
                names.append(fields[0])
                lines.append(line - 1)
                count += 1
                if count == rows:
                    break
            if count == 0:
                return
            bad = ~np.isfinite(values[:count])
            if bad.any():
                row, column = np.argwhere(bad)[0]
                found = values[row, column]
                raise FormatError(
                    f"{place}: line {lines[row]}, column {columns[column]!r}: expected a number, found {found}"
                )
            yield _sparse_or_not(values[:count], as_sparse)


def _no_number(place: str, line: int, fields: list[str], columns: list[str]) -> FormatError:
    for field, column in zip(fields, columns, strict=True):
        if not _is_number(field):
            return FormatError(f"{place}: line {line}, column {column!r}: expected a number, found {field!r}")
    return FormatError(f"{place}: line {line}: expected numbers")


def _sparse_or_not(values: np.ndarray, as_sparse: bool) -> Any:
    return sparse.csr_matrix(values) if as_sparse else values.copy()


def _build(blocks: list[Any], names: list[str], columns: list[str], orientation: str, as_sparse: bool) -> AnnData:
    from anndata import AnnData

    matrix: Any = sparse.vstack(blocks, format="csr") if as_sparse else np.concatenate(blocks)
    cells, genes = names, columns
    if orientation == "genes_by_cells":
        matrix = matrix.T.tocsr() if as_sparse else np.ascontiguousarray(matrix.T)
        cells, genes = columns, names
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        adata = AnnData(
            matrix,
            obs=pd.DataFrame(index=pd.Index(cells, dtype=object)),
            var=pd.DataFrame(index=pd.Index(genes, dtype=object)),
        )
    return _warn_repeated(adata)


def write_csv(
    adata: AnnData,
    path: str | os.PathLike[str],
    *,
    orientation: Orientation,
    delimiter: str = ",",
    layer: str | None = None,
) -> None:
    """Write the matrix as a delimited table with names in the first row and column, beside the target and renamed.

    Parameters
    ----------
    adata
        The object; ``obs`` and ``var`` are not written.
    path
        The file; packed by gzip when its name ends in ``.gz``.
    orientation
        ``"cells_by_genes"``: a row per cell; ``"genes_by_cells"``: a row per gene.
    delimiter
        Between fields.
    layer
        In place of ``X``.

    Raises
    ------
    FileError, ParameterError, MissingKeyError
        As named.

    Notes
    -----
    Whole numbers are written without a point, others with as many digits as bring float32 back.
    """
    _check(orientation)
    if len(delimiter) != 1:
        raise ParameterError(f"parameter `delimiter`: expected one character, found {delimiter!r}")
    place = _path(path)
    rows, columns, pieces = _oriented(adata, orientation, layer)
    with file_beside(place) as partial:
        # The name of the partial file does not end as the target's does.
        opened = (
            gzip.open(partial, "wt", encoding="utf8", newline="")
            if place.endswith(".gz")
            else open(partial, "w", encoding="utf8", newline="")
        )
        with opened as file:
            writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
            writer.writerow(["", *columns])
            at = 0
            for piece in pieces:
                for values in piece:
                    writer.writerow([rows[at], *(_digits(value) for value in values)])
                    at += 1


def _digits(value: Any) -> str:
    whole = float(value)
    return str(int(whole)) if whole.is_integer() else str(value)


def _oriented(adata: AnnData, orientation: str, layer: str | None) -> tuple[list[str], list[str], Any]:
    """Names of rows and columns, and the rows as dense pieces."""
    _anndata.check_adata(adata)
    matrix = _anndata.get_matrix(adata, layer=layer, allow_empty=True)
    rows, columns = list(adata.obs_names.astype(str)), list(adata.var_names.astype(str))
    if orientation == "genes_by_cells":
        matrix = matrix.T.tocsr() if sparse.issparse(matrix) else matrix.T
        rows, columns = columns, rows
    elif sparse.issparse(matrix):
        matrix = matrix.tocsr()
    step = max(_CHUNK // max(matrix.shape[1], 1), 1)

    def pieces() -> Any:
        for at in range(0, matrix.shape[0], step):
            piece = matrix[at : at + step]
            yield piece.toarray() if sparse.issparse(piece) else np.asarray(piece)

    return rows, columns, pieces()


def read_parquet(
    path: str | os.PathLike[str], *, orientation: Orientation, names: str | None = None, sparse: bool = True
) -> AnnData:
    """Read a count table from a Parquet file.

    Parameters
    ----------
    path
        The file: numeric columns, and one column (or a pandas index) of row names.
    orientation
        ``"cells_by_genes"``: a row per cell; ``"genes_by_cells"``: a row per gene. Always to be named.
    names
        Column with the row names; by default the pandas index that the file records, else its only text column, else
        rows are numbered.
    sparse
        A CSR matrix; else a numpy array.

    Returns
    -------
    Cells x genes, float32.

    Raises
    ------
    FileError, FormatError
        The file cannot be opened; it is no Parquet file, damaged, or has a column that is not numeric (named).
    ParameterError
        No such orientation, or no such column of names.
    ImportError
        pyarrow is not installed (``pip install 'zensaibo[parquet]'``).
    """
    _check(orientation)
    place = _path(path)
    if not os.path.isfile(place):
        raise FileError(f"{place}: cannot read: no such file")
    if table_kind(place) != "parquet":
        raise FormatError(f"{place}: expected a Parquet file, found another kind")
    need("pyarrow", "parquet")
    try:
        frame = pd.read_parquet(place, engine="pyarrow")
    except Exception as error:  # pyarrow raises of every kind on a damaged file
        raise FormatError(f"{place}: expected a sound Parquet file, found: {error}") from error
    if names is not None:
        if names not in frame.columns:
            listed = ", ".join(map(str, frame.columns[:20]))
            raise ParameterError(f"parameter `names`: expected a column of the table ({listed}), found {names!r}")
        frame = frame.set_index(names)
    elif isinstance(frame.index, pd.RangeIndex):
        text = [column for column in frame.columns if not pd.api.types.is_numeric_dtype(frame[column].dtype)]
        if len(text) == 1:
            frame = frame.set_index(text[0])
    for column in frame.columns:
        kind = frame[column].dtype
        if not pd.api.types.is_numeric_dtype(kind) or pd.api.types.is_bool_dtype(kind):
            raise FormatError(f"{place}: column {column!r}: expected numbers, found {kind}")
    values = frame.to_numpy(dtype=np.float32, na_value=np.nan)
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise FormatError(
            f"{place}: row {frame.index[row]!r}, column {frame.columns[column]!r}: expected a number, found {values[row, column]}"
        )
    if values.size == 0:
        raise FormatError(f"{place}: expected at least one row and one numeric column, found {values.shape}")
    rows, columns = [str(name) for name in frame.index], [str(name) for name in frame.columns]
    return _build([_sparse_or_not(values, sparse)], rows, columns, orientation, sparse)


def write_parquet(
    adata: AnnData, path: str | os.PathLike[str], *, orientation: Orientation, layer: str | None = None
) -> None:
    """Write the matrix as a Parquet table with the row names as its index, beside the target and renamed.

    Parameters
    ----------
    adata
        The object; ``obs`` and ``var`` are not written. Column names must be unique.
    path
        The file.
    orientation
        ``"cells_by_genes"``: a row per cell; ``"genes_by_cells"``: a row per gene.
    layer
        In place of ``X``.

    Raises
    ------
    FileError, ParameterError, MissingKeyError
        As named.
    ImportError
        pyarrow is not installed (``pip install 'zensaibo[parquet]'``).

    Notes
    -----
    The table is made dense in memory.
    """
    _check(orientation)
    need("pyarrow", "parquet")
    rows, columns, pieces = _oriented(adata, orientation, layer)
    if len(set(columns)) < len(columns):
        raise ParameterError(
            "parameter `adata`: expected unique column names, found repeated ones; make them unique first"
        )
    dense = list(pieces)
    values = np.concatenate(dense) if dense else np.empty((0, len(columns)), dtype=np.float32)
    frame = pd.DataFrame(values, index=pd.Index(rows, name="name"), columns=columns)
    with file_beside(_path(path)) as partial:
        frame.to_parquet(partial, engine="pyarrow")
