"""Indexes of nearest neighbours in files."""

from __future__ import annotations

import os

from ..arrays import NeighborIndex


def open_index(path: str | os.PathLike[str]) -> NeighborIndex:
    """Opens an index of nearest neighbours that :func:`zensaibo.arrays.build_index` made.

    Its head is read and checked, its rows are read and checked as searches need them.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    :class:`zensaibo.arrays.NeighborIndex`.

    Raises
    ------
    FormatError
        No index, of another version, cut short or changed; file and place are named.
    FileError
        A file that cannot be read.
    """
    return NeighborIndex(path)
