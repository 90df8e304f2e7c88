"""Reading and writing files: what a file is, is found by its content, never by its name.

``read`` takes h5ad, 10x HDF5 (versions 2 and 3, probe files), 10x folders (versions 2 and 3, gzip or not) and Matrix
Market. Matrices are read by the Rust core in parallel, without a lock on the file; results equal those of anndata and
scanpy. AnnData in Zarr (versions 2 and 3, also in a zip archive), MuData (h5mu), loom, delimited tables and Parquet go through anndata, mudata,
h5py and pyarrow; ``pip install 'zensaibo[formats]'`` installs what is optional. ``read_visium``, ``read_xenium``, ``read_merscope``
and ``read_cosmx`` take the folders of instruments, ``read_spatialdata`` and ``write_spatialdata`` whole stores. ``open_matrix`` leaves a matrix in its file, ``open_index`` an index of neighbours, ``concat_on_disk`` and
``subset_on_disk`` make one file of several, or of a part of one, without holding its matrices. ``write`` writes beside the target and
renames, so that a file is whole or not there.
"""

from ._index import open_index
from ._inspect import convert, detect, inspect
from ._interactions import Interactions, read_interactions
from ._matrix import FileMatrix, open_matrix
from ._on_disk import concat_on_disk, subset_on_disk
from ._read import read, read_10x_h5, read_10x_mtx, read_h5ad, read_mtx
from ._spatialdata import Element, SpatialStore, read_spatialdata, write_spatialdata
from ._stores import read_h5mu, read_loom, read_zarr, write_h5mu, write_zarr
from ._tables import read_csv, read_parquet, write_csv, write_parquet
from ._tissue import read_cosmx, read_merscope, read_visium, read_xenium
from ._traces import read_traces
from ._write import write, write_h5ad

__all__ = [
    "Element",
    "FileMatrix",
    "Interactions",
    "SpatialStore",
    "concat_on_disk",
    "convert",
    "detect",
    "inspect",
    "open_index",
    "open_matrix",
    "read",
    "read_10x_h5",
    "read_10x_mtx",
    "read_cosmx",
    "read_csv",
    "read_h5ad",
    "read_h5mu",
    "read_interactions",
    "read_loom",
    "read_merscope",
    "read_mtx",
    "read_parquet",
    "read_spatialdata",
    "read_traces",
    "read_visium",
    "read_xenium",
    "read_zarr",
    "subset_on_disk",
    "write",
    "write_csv",
    "write_h5ad",
    "write_h5mu",
    "write_parquet",
    "write_spatialdata",
    "write_zarr",
]
