"""Reading and writing files: what a file is, is found by its content, never by its name.

``read`` takes h5ad, 10x HDF5 (versions 2 and 3, probe files), 10x folders (versions 2 and 3, gzip or not) and Matrix
Market. Matrices are read by the Rust core in parallel, without a lock on the file; results equal those of anndata and
scanpy. ``write`` writes beside the target and renames, so that a file is whole or not there.
"""

from ._inspect import convert, detect, inspect
from ._read import read, read_10x_h5, read_10x_mtx, read_h5ad, read_mtx
from ._write import write, write_h5ad

__all__ = [
    "convert",
    "detect",
    "inspect",
    "read",
    "read_10x_h5",
    "read_10x_mtx",
    "read_h5ad",
    "read_mtx",
    "write",
    "write_h5ad",
]
