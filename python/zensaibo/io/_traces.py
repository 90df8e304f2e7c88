"""Recordings of cells over time: suite2p, CaImAn, NWB, tables."""

from __future__ import annotations

import io
import pickle
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import DataError, EmptyDataError, FileError, FormatError, MissingKeyError, ParameterError, ShapeError

if TYPE_CHECKING:
    from anndata import AnnData

_KINDS = ("suite2p", "caiman", "nwb", "table")


class _Plain(pickle.Unpickler):
    """Unpickles numpy arrays and Python's plain values, and nothing that could run."""

    _ALLOWED = {
        ("numpy", "dtype"), ("numpy", "ndarray"),
        ("numpy.core.multiarray", "_reconstruct"), ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.multiarray", "scalar"), ("numpy._core.multiarray", "scalar"),
        ("numpy.core.numeric", "_frombuffer"), ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"), ("collections", "OrderedDict"),
        ("builtins", "slice"), ("builtins", "complex"), ("builtins", "set"),
        ("pathlib", "PosixPath"), ("pathlib", "WindowsPath"), ("pathlib", "PurePosixPath"), ("pathlib._local", "PosixPath"),
    }  # fmt: skip

    def find_class(self, module: str, name: str) -> Any:
        if "pathlib" in module and (module, name) in self._ALLOWED:
            # Paths of another system cannot be made here, and are not needed.
            return lambda *parts: "/".join(map(str, parts))
        if (module, name) not in self._ALLOWED:
            raise pickle.UnpicklingError(f"it holds {module}.{name}")
        return super().find_class(module, name)


def _npy(path: Path) -> np.ndarray:
    """An array of a .npy file; of objects, if they are plain ones."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise FileError(f"{path}: cannot be read ({error})") from None
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except ValueError:
        pass
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        read(stream)
        found = _Plain(stream).load()
    except (ValueError, EOFError, pickle.UnpicklingError, AttributeError, ImportError, IndexError, TypeError, KeyError) as error:
        raise FormatError(f"{path}: expected an array of numbers or of plain dictionaries ({error})") from None
    return np.asarray(found, dtype=object) if not isinstance(found, np.ndarray) else found


def read_traces(
    path: str | PathLike[str],
    *,
    kind: str | None = None,
    pixel_size: float | tuple[float, float] | None = None,
    series: str | None = None,
    only_cells: bool = True,
) -> AnnData:
    """Reads recordings of cells over time from the output of a program that extracts them, or from a table.

    Parameters
    ----------
    path
        A folder of suite2p (``plane0``, or the folder above it: planes follow each other), an HDF5 file of CaImAn, an NWB file, or
        a table (csv or tsv, also .gz: a row for each cell with its name first, a column for each time).
    kind
        ``"suite2p"``, ``"caiman"``, ``"nwb"`` or ``"table"``. ``None``: told by what is there.
    pixel_size
        Micrometres per pixel, or those along (y, x). ``None``: places stay in pixels.
    series
        NWB: name of the ROI response series, where there are several.
    only_cells
        Keep what the program took for cells (``iscell.npy``, CaImAn's ``idx_components``).

    Returns
    -------
    AnnData
        Cells x times, float32: fluorescence (suite2p ``F``), denoised traces (CaImAn ``C``), the series (NWB), the numbers of the
        table. ``layers``: ``neuropil`` and ``spikes`` (suite2p), ``dff`` and ``spikes`` (CaImAn), where they are there.
        ``obsm["spatial"]``: (x, y) of each cell's centre, with its unit in ``uns["spatial_space"]``, where the file has places.
        ``var["t_s"]`` seconds and ``uns["fs"]`` frames per second where the rate is known. ``obs``: ``plane``, ``probability``.

    Raises
    ------
    FileError
        No such file or folder.
    FormatError
        A file that is not what it should be: named with the place in it.
    DataError
        No cells, or traces and places of different numbers of cells.
    ParameterError
        A kind that is not known, several series to choose from.

    Notes
    -----
    Files of suite2p hold pickled objects; only arrays and plain values are read from them, anything that could run is refused.
    """
    path = Path(path)
    if kind is not None and kind not in _KINDS:
        raise ParameterError(f"parameter `kind`: expected one of {', '.join(_KINDS)} or None, found {kind!r}")
    if not path.exists():
        raise FileError(f"{path}: cannot be read (no such file or folder)")
    kind = kind or _kind_of(path)
    um = None if pixel_size is None else np.broadcast_to(np.asarray(pixel_size, dtype=np.float64), (2,))
    if um is not None and not (np.isfinite(um).all() and (um > 0).all()):
        raise ParameterError(f"parameter `pixel_size`: expected micrometres above 0, found {pixel_size!r}")
    if series is not None and kind != "nwb":
        raise ParameterError(f"parameter `series`: expected none for a {kind} source, found {series!r}")
    if kind == "suite2p":
        found = _suite2p(path, only_cells)
    elif kind == "table":
        found = _table(path)
    else:
        import h5py

        try:
            file = h5py.File(path, "r")
        except OSError as error:
            raise FormatError(f"{path}: expected an HDF5 file ({error})") from None
        with file:
            found = _caiman(path, file, only_cells) if kind == "caiman" else _nwb(path, file, series)
    return _as_adata(path, found, um, kind)


def _kind_of(path: Path) -> str:
    if path.is_dir():
        return "suite2p"
    with open(path, "rb") as file:
        if file.read(8) != b"\x89HDF\r\n\x1a\n":
            return "table"
    import h5py

    with h5py.File(path, "r") as held:
        if "estimates" in held:
            return "caiman"
        if "processing" in held or "nwb_version" in held.attrs:
            return "nwb"
        raise FormatError(f"{path}: expected `estimates` (CaImAn) or `processing` (NWB), found {', '.join(held) or 'nothing'}")


def _suite2p(path: Path, only_cells: bool) -> dict[str, Any]:
    planes = [path] if (path / "F.npy").is_file() else sorted(
        (entry for entry in path.glob("plane*") if (entry / "F.npy").is_file()), key=lambda entry: int("0" + "".join(filter(str.isdigit, entry.name)))
    )  # fmt: skip
    if not planes:
        raise FormatError(f"{path}: expected a folder of suite2p with F.npy, or with plane0 and so on, found neither")
    parts: list[dict[str, Any]] = []
    for number, plane in enumerate(planes):
        traces = np.atleast_2d(_npy(plane / "F.npy"))
        stat = _npy(plane / "stat.npy") if (plane / "stat.npy").is_file() else None
        if stat is not None and len(stat) != len(traces):
            raise ShapeError(f"{plane / 'stat.npy'}: expected {len(traces)} cells, as F.npy has, found {len(stat)}")
        part: dict[str, Any] = {"X": traces, "plane": np.full(len(traces), number)}
        part["names"] = np.array([f"plane{number}_{at}" for at in range(len(traces))], dtype=object)
        if stat is not None:
            try:
                part["places"] = np.array([cell["med"][:2] for cell in stat], dtype=np.float64).reshape(-1, 2)
            except (KeyError, TypeError, IndexError, ValueError):
                raise FormatError(f"{plane / 'stat.npy'}: expected a dictionary with `med` for each cell") from None
        for layer, name in (("neuropil", "Fneu.npy"), ("spikes", "spks.npy")):
            if (plane / name).is_file():
                part[layer] = _npy(plane / name)
                if part[layer].shape != traces.shape:
                    raise ShapeError(f"{plane / name}: expected shape {traces.shape}, as F.npy has, found {part[layer].shape}")
        if (plane / "iscell.npy").is_file():
            cells = np.asarray(_npy(plane / "iscell.npy"), dtype=np.float64).reshape(len(traces), -1)
            if cells.shape[1] > 1:
                part["probability"] = cells[:, 1]
            if only_cells:
                keep = cells[:, 0] > 0
                part = {name: value[keep] for name, value in part.items()}
        for name in ("ops.npy", "settings.npy"):
            if (plane / name).is_file():
                held = _npy(plane / name)
                ops = held.item() if held.ndim == 0 else None
                if isinstance(ops, dict) and "fs" in ops:
                    part["fs"] = float(ops["fs"])
                    break
        parts.append(part)
    shared = set.intersection(*(set(part) for part in parts)) - {"fs"}
    # Planes of a volume may differ by a frame.
    length = min(part["X"].shape[1] for part in parts)
    out: dict[str, Any] = {}
    for name in shared:
        values = [part[name][:, :length] if name in ("X", "neuropil", "spikes") else part[name] for part in parts]
        out[name] = np.concatenate(values)
    if "fs" in parts[0]:
        out["fs"] = parts[0]["fs"]
    return out


def _caiman(path: Path, file: Any, only_cells: bool) -> dict[str, Any]:
    from scipy import sparse

    held = file["estimates"]
    if "C" not in held:
        raise FormatError(f"{path}: estimates: expected `C`, the traces, found {', '.join(held)}")
    traces = np.asarray(held["C"])
    n = len(traces)

    def array(name: str) -> np.ndarray | None:
        # What is not set is stored as text.
        entry = held.get(name)
        if entry is None or not hasattr(entry, "dtype") or entry.dtype.kind not in "biuf":
            return None
        return np.asarray(entry)

    out: dict[str, Any] = {"X": traces, "names": np.array([f"component{at}" for at in range(n)], dtype=object)}
    for layer, name in (("dff", "F_dff"), ("spikes", "S")):
        values = array(name)
        if values is not None and values.shape == traces.shape:
            out[layer] = values
    scores = array("SNR_comp")
    if scores is not None and scores.shape == (n,):
        out["snr"] = scores
    dims = array("dims")
    if dims is None and "dims" in file and file["dims"].dtype.kind in "iu":
        dims = np.asarray(file["dims"])
    footprints = held.get("A")
    if footprints is not None and dims is not None and len(dims) == 2:
        try:
            if hasattr(footprints, "keys"):
                parts = tuple(np.asarray(footprints[name]) for name in ("data", "indices", "indptr"))
                matrix = sparse.csc_matrix(parts, shape=tuple(int(v) for v in np.asarray(footprints["shape"])))
            else:
                matrix = sparse.csc_matrix(np.asarray(footprints))
        except (KeyError, ValueError) as error:
            raise FormatError(f"{path}: estimates/A: expected a sparse matrix by columns ({error})") from None
        if matrix.shape != (int(np.prod(dims)), n):
            raise ShapeError(f"{path}: estimates/A: expected shape {(int(np.prod(dims)), n)}, found {matrix.shape}")
        # Pixels are counted down the columns of the image.
        pixels = np.arange(matrix.shape[0])
        weight = np.asarray(matrix.sum(axis=0)).ravel()
        weight[weight == 0] = np.nan
        rows, columns = pixels % int(dims[0]), pixels // int(dims[0])
        out["places"] = np.column_stack([matrix.T @ rows / weight, matrix.T @ columns / weight])
    if only_cells:
        keep = array("idx_components")
        if keep is not None and keep.ndim == 1 and len(keep):
            keep = keep.astype(np.int64)
            if keep.min() < 0 or keep.max() >= n:
                raise FormatError(f"{path}: estimates/idx_components: expected numbers below {n}, found {keep.max()}")
            out = {name: value[keep] for name, value in out.items()}
    rate = file.get("params/data/fr")
    if rate is not None and rate.shape == () and rate.dtype.kind in "iuf":
        out["fs"] = float(rate[()])
    return out


def _nwb(path: Path, file: Any, series: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def visit(name: str, entry: Any) -> None:
        kind = entry.attrs.get("neurodata_type", "")
        if (kind.decode() if isinstance(kind, bytes) else kind) == "RoiResponseSeries" and "data" in entry:
            found[name] = entry

    if "processing" in file:
        file["processing"].visititems(visit)
    if not found:
        raise FormatError(f"{path}: processing: expected a RoiResponseSeries, found none")
    chosen = [name for name in found if series is None or series in (name, name.rsplit("/", 1)[-1], name.rsplit("/", 2)[-2])]
    if not chosen:
        raise MissingKeyError(f"key `{series}` not found in {path}; present: {', '.join(found)}")
    if len(chosen) > 1:
        raise ParameterError(f"parameter `series`: expected one of {', '.join(chosen)}, since there are several, found {series!r}")
    entry = found[chosen[0]]
    data = np.asarray(entry["data"])
    traces = data[:, None] if data.ndim == 1 else data
    out: dict[str, Any] = {"X": traces.T}
    n = traces.shape[1]
    rois = np.asarray(entry["rois"]).astype(np.int64) if "rois" in entry else np.arange(n)
    if len(rois) != n:
        raise ShapeError(f"{path}: processing/{chosen[0]}/rois: expected {n} cells, as data has columns, found {len(rois)}")
    table = None
    if "rois" in entry and "table" in entry["rois"].attrs:
        table = file[entry["rois"].attrs["table"]]
    names = np.asarray(table["id"])[rois] if table is not None and "id" in table else rois
    out["names"] = np.array([f"roi{name}" for name in names], dtype=object)
    if table is not None:
        places = _nwb_places(table, rois)
        if places is not None:
            out["places"] = places
    if "timestamps" in entry:
        out["t_s"] = np.asarray(entry["timestamps"], dtype=np.float64)
    elif "starting_time" in entry:
        rate = float(entry["starting_time"].attrs["rate"])
        out["fs"], out["t0"] = rate, float(entry["starting_time"][()])
    return out


def _nwb_places(table: Any, rois: np.ndarray) -> np.ndarray | None:
    """Centres (y, x) in pixels: of pixel masks (x, y, weight), or of images of masks."""
    places = np.full((len(rois), 2), np.nan)
    if "pixel_mask" in table and "pixel_mask_index" in table:
        mask, ends = np.asarray(table["pixel_mask"]), np.asarray(table["pixel_mask_index"]).astype(np.int64)
        starts = np.concatenate([[0], ends[:-1]])
        for slot, roi in enumerate(rois):
            part = mask[starts[roi] : ends[roi]]
            weight = np.asarray(part["weight"], dtype=np.float64)
            if weight.sum() > 0:
                places[slot] = [np.average(part["y"], weights=weight), np.average(part["x"], weights=weight)]
        return places
    if "image_mask" in table:
        masks = table["image_mask"]
        for slot, roi in enumerate(rois):
            mask = np.asarray(masks[roi], dtype=np.float64)
            if mask.ndim == 2 and mask.sum() > 0:
                rows, columns = np.indices(mask.shape)
                places[slot] = [np.average(rows, weights=mask), np.average(columns, weights=mask)]
        return places
    return None


def _table(path: Path) -> dict[str, Any]:
    import pandas as pd

    try:
        table = pd.read_csv(path, sep=None, engine="python", index_col=0)
    except (ValueError, UnicodeDecodeError, pd.errors.ParserError, OSError) as error:
        raise FormatError(f"{path}: expected a table, a row for each cell ({error})") from None
    wrong = [str(name) for name, kind in table.dtypes.items() if kind.kind not in "biuf"]
    if wrong:
        raise FormatError(f"{path}: expected numbers in every column after the first, found other values in {', '.join(wrong[:5])}")
    return {"X": table.to_numpy(dtype=np.float32), "names": np.array(table.index.astype(str), dtype=object)}


def _as_adata(path: Path, found: dict[str, Any], um: np.ndarray | None, kind: str) -> AnnData:
    import pandas as pd
    from anndata import AnnData

    matrix = np.ascontiguousarray(found["X"], dtype=np.float32)
    if matrix.ndim != 2 or 0 in matrix.shape:
        raise EmptyDataError(f"{path}: expected at least one cell and one time, found shape {matrix.shape}")
    obs = pd.DataFrame(index=pd.Index(found["names"].astype(str)))
    for name in ("plane", "probability", "snr"):
        if name in found:
            obs[name] = found[name]
    var = pd.DataFrame(index=pd.Index([f"t{at}" for at in range(matrix.shape[1])]))
    adata = AnnData(matrix, obs=obs, var=var)
    for name in ("neuropil", "spikes", "dff"):
        if name in found:
            adata.layers[name] = np.ascontiguousarray(found[name], dtype=np.float32)
    if "t_s" in found:
        times = found["t_s"]
        if len(times) != adata.n_vars:
            raise ShapeError(f"{path}: expected {adata.n_vars} time stamps, one for each sample, found {len(times)}")
        adata.var["t_s"] = times
        if len(times) > 1 and times[-1] > times[0]:
            adata.uns["fs"] = float((len(times) - 1) / (times[-1] - times[0]))
    elif "fs" in found:
        if not found["fs"] > 0:
            raise DataError(f"{path}: expected a rate above 0 per second, found {found['fs']}")
        adata.uns["fs"] = found["fs"]
        adata.var["t_s"] = found.get("t0", 0.0) + np.arange(adata.n_vars) / found["fs"]
    if "places" in found:
        places = found["places"] if um is None else found["places"] * um
        adata.obsm["spatial"] = np.ascontiguousarray(places[:, ::-1])
        adata.uns["spatial_space"] = {"name": "recording", "unit": "voxel" if um is None else "micrometer", "axes": "xy"}
    elif um is not None:
        raise ParameterError(f"parameter `pixel_size`: expected none, since {path} ({kind}) has no places, found one")
    return adata
