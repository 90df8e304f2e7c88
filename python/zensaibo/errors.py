"""The error classes of zensaibo. Each is also the Python error one would expect (ValueError, KeyError, OSError...)."""

from ._core import (
    DataError,
    DuplicateNamesError,
    EmptyDataError,
    FileError,
    FormatError,
    LimitError,
    MissingKeyError,
    NegativeValuesError,
    NonFiniteError,
    NotConvergedError,
    NotCountsError,
    NotTrustworthyError,
    ParameterError,
    ShapeError,
    TooFewError,
    ZensaiboError,
)

__all__ = [
    "DataError",
    "DuplicateNamesError",
    "EmptyDataError",
    "FileError",
    "FormatError",
    "LimitError",
    "MissingKeyError",
    "NegativeValuesError",
    "NonFiniteError",
    "NotConvergedError",
    "NotCountsError",
    "NotTrustworthyError",
    "ParameterError",
    "ShapeError",
    "TooFewError",
    "ZensaiboError",
]
