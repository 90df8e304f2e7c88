"""AnnData in Zarr, MuData in HDF5, and loom files."""

from __future__ import annotations

import os
import warnings
import zipfile
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _mudata
from ..errors import FileError, FormatError, ParameterError, ZensaiboError
from ._beside import file_beside, folder_beside, need
from . import _remote
from ._read import _path, _warn_repeated
from ._remote import is_url
from ._zarrfiles import Store, open_store, read_anndata

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

#: Values of a dense loom matrix turned into rows at a time.
_CHUNK = 1 << 24


def store_kind(path: str) -> str | None:
    """``"zarr"``, ``"h5mu"`` or ``"loom"`` when `path` is one by its content; None when it is not, or cannot be read."""
    if os.path.isdir(path):
        return "zarr" if _zarr_root(path) is not None else None
    if _zarr_root(path) is not None:
        return "zarr"
    import h5py

    try:
        # mudata puts a block of text before the HDF5 signature.
        if not h5py.is_hdf5(path):
            return None
        with h5py.File(path, "r", locking=False) as file:
            if "row_attrs" in file and "col_attrs" in file and isinstance(file.get("matrix"), h5py.Dataset):
                return "loom"
            kind = file.attrs.get("encoding-type", "")
            kind = kind.decode() if isinstance(kind, bytes) else kind
            return "h5mu" if kind == "MuData" or ("mod" in file and "X" not in file) else None
    except OSError:
        return None


def _zarr_root(path: str) -> dict[str, Any] | None:
    """Attributes of the root group of a Zarr store (version 2 or 3; a folder or a zip archive), or None."""
    try:
        store = open_store(path)
        if store is None:
            return None
        with store:
            return store.attributes() or {}
    except (OSError, ValueError, AttributeError, zipfile.BadZipFile):
        return {}


def read_zarr(path: str | os.PathLike[str]) -> AnnData:
    """Read AnnData from a Zarr store, version 2 or 3, by anndata's reader.

    Parameters
    ----------
    path
        The folder, a zip archive of it (``.zarr.zip``), or a URL (``http://``, ``https://``, ``s3://``); of a web server the store
        must have consolidated metadata, as anndata writes them.

    Returns
    -------
    The object, in memory. Entries of ``uns`` of a type that the installed zarr does not know are left out, with a
    warning that counts and names them.

    Raises
    ------
    FileError
        There is no such folder or archive.
    FormatError
        It is no Zarr store, holds no AnnData, or is damaged.
    ImportError
        zarr is not installed (``pip install 'zensaibo[zarr]'``).
    """
    place = _path(path)
    if is_url(place):
        return _behind_url(place)
    if not os.path.exists(place):
        raise FileError(f"{place}: cannot read: no such folder or archive")
    attributes = _zarr_root(place)
    if attributes is None:
        found = "a folder without either" if os.path.isdir(place) else "a file that holds none"
        raise FormatError(f"{place}: expected a Zarr store (zarr.json or .zgroup), found {found}")
    need("zarr", "zarr")
    try:
        kind = attributes.get("encoding-type")
        with Store(place) as store:
            parts = {"obs", "var"} <= set(store.members())
        if kind == "MuData" or (kind != "anndata" and not parts):
            raise FormatError(f"{place}: expected AnnData in Zarr, found {kind or 'a store without obs and var'}")
        return read_anndata(place)
    except ZensaiboError:
        raise
    except Exception as error:  # zarr and anndata raise of every kind on a damaged store
        raise FormatError(f"{place}: expected a sound Zarr store of AnnData, found: {error}") from error


def _behind_url(url: str) -> AnnData:
    try:
        return _remote.read_anndata(url)
    except (ZensaiboError, ImportError):
        raise
    except Exception as error:  # zarr and anndata raise of every kind on a damaged store
        cause = error.__cause__
        if isinstance(cause, ZensaiboError):
            raise cause from None
        raise FormatError(f"{url}: expected a sound Zarr store of AnnData, found: {error}") from error


def write_zarr(adata: AnnData, path: str | os.PathLike[str], *, zarr_format: Literal[2, 3] = 2) -> None:
    """Write AnnData as a Zarr store, beside the target and renamed.

    Parameters
    ----------
    adata
        The object, in memory.
    path
        The folder. One that is there is replaced if it is empty or a Zarr store, and left alone otherwise.
    zarr_format
        2, which every reader knows, or 3.

    Raises
    ------
    FileError
        The system refuses, or something else stands at the target.
    ParameterError
        The object is backed by a file, or the installed libraries do not write version 3.
    ImportError
        zarr is not installed (``pip install 'zensaibo[zarr]'``).
    """
    import anndata

    if zarr_format not in (2, 3):
        raise ParameterError(f"parameter `zarr_format`: expected 2 or 3, found {zarr_format!r}")
    if adata.isbacked:
        raise ParameterError("parameter `adata`: expected an object in memory, found a backed one; use .to_memory()")
    need("zarr", "zarr")
    settings = anndata.settings
    if not hasattr(settings, "zarr_write_format"):
        if zarr_format == 3:
            raise ParameterError(f"parameter `zarr_format`: expected 2 with anndata {anndata.__version__}, found 3")
        with folder_beside(_path(path), lambda place: _zarr_root(place) is not None) as partial:
            adata.write_zarr(partial)
        return
    with folder_beside(_path(path), lambda place: _zarr_root(place) is not None) as partial:
        with settings.override(zarr_write_format=zarr_format), warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*zarr v[23].*|.*Consolidated metadata.*")
            adata.write_zarr(partial)


def read_h5mu(path: str | os.PathLike[str]) -> MuData:
    """Read MuData from an h5mu file, by mudata's reader.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    The object, in memory. Names that stand in more than one modality are kept, with a warning that counts them.

    Raises
    ------
    FileError, FormatError
        The file cannot be opened; it is no h5mu file, or is damaged.
    ImportError
        mudata is not installed (``pip install 'zensaibo[mudata]'``).
    """
    place = _path(path)
    if not os.path.isfile(place):
        raise FileError(f"{place}: cannot read: no such file")
    if store_kind(place) != "h5mu":
        raise FormatError(f"{place}: expected an h5mu file (HDF5 with MuData), found another kind, or a damaged file")
    mudata = need("mudata", "mudata")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning)
            warnings.filterwarnings("ignore", message=".*(names are not unique|intersecting).*")
            mdata = mudata.read_h5mu(place)
    except Exception as error:  # h5py and mudata raise of every kind on a damaged file
        raise FormatError(f"{place}: expected a sound h5mu file, found: {error}") from error
    _mudata.warn_of_shared_names(mdata, place, 2)
    return mdata


def write_h5mu(mdata: MuData, path: str | os.PathLike[str]) -> None:
    """Write MuData as an h5mu file, beside the target and renamed: whole or not there.

    Parameters
    ----------
    mdata
        The object, in memory.
    path
        The file.

    Raises
    ------
    FileError
        The system refuses.
    ParameterError
        It is no MuData, or is backed by a file.
    ImportError
        mudata is not installed (``pip install 'zensaibo[mudata]'``).
    """
    mudata = need("mudata", "mudata")
    if not isinstance(mdata, mudata.MuData):
        raise ParameterError(f"parameter `mdata`: expected a MuData, found {type(mdata).__name__}")
    if mdata.isbacked:
        raise ParameterError("parameter `mdata`: expected an object in memory, found a backed one")
    _mudata.warn_of_shared_names(mdata, _path(path), 2)
    with file_beside(_path(path)) as partial, warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=FutureWarning)
        mudata.write_h5mu(partial, mdata)


def read_loom(
    path: str | os.PathLike[str],
    *,
    obs_names: str = "CellID",
    var_names: str = "Gene",
    sparse: bool = True,
) -> AnnData:
    """Read a loom file (versions 1 to 3) with h5py: cells as rows.

    Parameters
    ----------
    path
        The file.
    obs_names, var_names
        Attributes of columns (cells) and rows (genes) that name them. Where a file has none of that name, they are
        numbered.
    sparse
        CSR matrices, read piece by piece; else numpy arrays.

    Returns
    -------
    AnnData
        ``X`` and ``layers`` in float32; attributes of one dimension in ``obs`` and ``var``, of two in ``obsm`` and
        ``varm``; graphs in ``obsp`` and ``varp``; what the file says of itself in ``uns["loom"]``.

    Raises
    ------
    FileError, FormatError
        The file cannot be opened; it is no loom file, or is damaged (the place is named).
    """
    import h5py
    from anndata import AnnData

    place = _path(path)
    if not os.path.isfile(place):
        raise FileError(f"{place}: cannot read: no such file")
    if store_kind(place) != "loom":
        raise FormatError(
            f"{place}: expected a loom file (matrix, row_attrs, col_attrs), found another kind, or a damaged file"
        )
    key = "matrix"
    try:
        with h5py.File(place, "r", locking=False) as file:
            matrix = _loom_matrix(file["matrix"], sparse)
            n_cells, n_genes = matrix.shape
            layers = {}
            for name in file.get("layers", {}):
                key = f"layers/{name}"
                layers[name] = _loom_matrix(file[key], sparse)
                if layers[name].shape != matrix.shape:
                    raise FormatError(f"{place}: {key}: expected {n_genes} x {n_cells}, found {file[key].shape}")
            key = "col_attrs"
            obs, obsm, cells = _loom_attributes(file[key], n_cells, obs_names, place)
            key = "row_attrs"
            var, varm, genes = _loom_attributes(file[key], n_genes, var_names, place)
            graphs: dict[str, dict[str, Any]] = {}
            for key, n in (("col_graphs", n_cells), ("row_graphs", n_genes)):
                graphs[key] = {name: _loom_graph(file[key][name], n) for name in file.get(key, {})}
            key = "attrs"
            said = {name: _text(value) for name, value in file.attrs.items()}
            for name in file.get("attrs", {}):
                said[name] = _text(file["attrs"][name][()])
    except ZensaiboError:
        raise
    except (OSError, KeyError, ValueError, TypeError, IndexError) as error:
        raise FormatError(f"{place}: {key}: expected a sound loom file, found: {error}") from error
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        adata = AnnData(
            matrix,
            obs=pd.DataFrame(obs, index=pd.Index(cells, dtype=object)),
            var=pd.DataFrame(var, index=pd.Index(genes, dtype=object)),
            layers=layers,
            obsm=obsm,
            varm=varm,
            obsp=graphs["col_graphs"],
            varp=graphs["row_graphs"],
        )
    if said:
        adata.uns["loom"] = said
    return _warn_repeated(adata)


def _loom_matrix(dataset: Any, as_sparse: bool) -> Any:
    """Genes x cells on disk as cells x genes."""
    if dataset.ndim != 2:
        raise ValueError(f"two dimensions expected, found shape {dataset.shape}")
    n_genes, n_cells = dataset.shape
    if not as_sparse:
        return np.ascontiguousarray(dataset[...].astype(np.float32).T)
    rows = max(_CHUNK // max(n_cells, 1), 1)
    parts = [sparse.csr_matrix(dataset[at : at + rows].astype(np.float32)) for at in range(0, n_genes, rows)]
    stacked = sparse.vstack(parts, format="csr") if parts else sparse.csr_matrix((n_genes, n_cells), dtype=np.float32)
    return stacked.T.tocsr()


def _loom_attributes(
    group: Any, n: int, names_key: str, place: str
) -> tuple[dict[str, Any], dict[str, np.ndarray], list[str]]:
    """Columns, arrays of two dimensions, and names."""
    columns, arrays = {}, {}
    names = [str(i) for i in range(n)]
    for name in group:
        values = _text(group[name][()])
        if np.ndim(values) == 0 or len(values) != n:
            raise FormatError(f"{place}: {group.name}/{name}: expected {n} values, found shape {np.shape(values)}")
        if name == names_key and np.ndim(values) == 1:
            names = [str(value) for value in values]
        elif np.ndim(values) == 1:
            columns[name] = values
        else:
            arrays[name] = values
    return columns, arrays, names


def _loom_graph(group: Any, n: int) -> sparse.csr_matrix:
    return sparse.csr_matrix((group["w"][()], (group["a"][()], group["b"][()])), shape=(n, n))


def _text(value: Any) -> Any:
    """Bytes as text, in arrays too."""
    if isinstance(value, bytes):
        return value.decode("utf8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        decoded = [item.decode("utf8", "replace") if isinstance(item, bytes) else item for item in value.ravel()]
        return np.array(decoded, dtype=object).reshape(value.shape)
    return value
