"""Readers of instruments that see cells in tissue: counts, cells and where they lie."""

from __future__ import annotations

import json
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from ..errors import FileError, FormatError, ParameterError
from ._read import read_10x_h5, read_10x_mtx

if TYPE_CHECKING:
    from anndata import AnnData

#: Rows of a table of counts that are read at once.
_ROWS = 20_000
#: Distance between the centres of Visium spots, in micrometres.
_PITCH = 100.0


def read_visium(
    path: str | os.PathLike[str],
    *,
    counts_file: str = "filtered_feature_bc_matrix.h5",
    library_id: str | None = None,
    load_images: bool = True,
    unit: str = "micrometer",
    gex_only: bool = True,
) -> AnnData:
    """Read the output folder of Space Ranger (Visium; of Visium HD one ``binned_outputs/square_*`` folder).

    Parameters
    ----------
    path
        Folder with the matrix and ``spatial/`` (``tissue_positions_list.csv``, ``tissue_positions.csv`` or ``.parquet``,
        ``scalefactors_json.json``, ``tissue_{hires,lowres}_image.png``).
    counts_file
        The matrix in it: 10x HDF5, or a folder.
    library_id
        Name of the library; by default that of the folder.
    load_images
        Whether to read the images of the tissue that are there.
    unit
        ``"micrometer"``: coordinates and scale factors are brought to micrometres, by ``microns_per_pixel`` where the file says it
        (HD), else by the 100 µm between the centres of spots. ``"pixel"``: pixels of the full image, as squidpy has them.
    gex_only
        Keep gene expression alone.

    Returns
    -------
    Spots x genes. ``obsm["spatial"]``: x and y of the spots (y down); ``obs``: ``in_tissue``, ``array_row``, ``array_col``;
    ``uns["spatial"][library_id]``: ``images``, ``scalefactors`` (such that coordinates times ``tissue_hires_scalef`` are pixels of that
    image), ``metadata``; ``uns["spatial_space"]``: name and unit.

    Raises
    ------
    FileError
        A file is not there.
    FormatError
        A file is not what it should be, or barcodes have no position.
    ParameterError
        An unknown unit, or micrometres where neither the file nor the spots say how large a pixel is.
    """
    if unit not in ("micrometer", "pixel"):
        raise ParameterError(f"parameter `unit`: expected 'micrometer' or 'pixel', found {unit!r}")
    folder = _folder(path)
    adata = _matrix(folder, counts_file, gex_only)
    name = folder.name if library_id is None else library_id
    spatial = folder / "spatial"
    positions = _positions(spatial)
    missing = ~adata.obs_names.isin(positions.index)
    if missing.any():
        raise FormatError(
            f"{spatial}: expected a position for each of {adata.n_obs} barcodes, found {missing.sum()} without ({adata.obs_names[missing][0]})"
        )
    factors = json.loads(_there(spatial / "scalefactors_json.json").read_text(encoding="utf-8"))
    entry: dict[str, Any] = {
        "images": {},
        "scalefactors": {key: float(value) for key, value in factors.items()},
        "metadata": {},
    }
    if load_images:
        for kind in ("hires", "lowres"):
            file = spatial / f"tissue_{kind}_image.png"
            if file.exists():
                entry["images"][kind] = _png(file)
    rows = positions.loc[adata.obs_names]
    for column in ("in_tissue", "array_row", "array_col"):
        adata.obs[column] = rows[column].to_numpy()
    places = rows[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(dtype=np.float64)
    if unit == "micrometer":
        size = _micrometers_per_pixel(entry["scalefactors"], positions, spatial)
        places = places * size
        for key in list(entry["scalefactors"]):
            if key.endswith("_scalef"):
                entry["scalefactors"][key] /= size
            elif key.endswith("_fullres"):
                entry["scalefactors"][key] *= size
        entry["metadata"]["microns_per_pixel"] = size
    adata.obsm["spatial"] = places
    adata.uns["spatial"] = {name: entry}
    adata.uns["spatial_space"] = {"name": name, "unit": unit, "axes": "xy"}
    return adata


def read_xenium(path: str | os.PathLike[str], *, library_id: str | None = None, gex_only: bool = True) -> AnnData:
    """Read the output folder of Xenium Ranger: counts and cells.

    Parameters
    ----------
    path
        Folder with ``cell_feature_matrix.h5`` (or the folder of that name) and ``cells.parquet`` or ``cells.csv.gz``; names of run and region
        come from ``experiment.xenium`` where it is there.
    library_id
        Name of the library; by default that of the region, or of the folder.
    gex_only
        Keep genes alone. The control probes and codewords of each cell are among the columns of ``cells`` either way.

    Returns
    -------
    Cells x genes; ``obs`` has the columns of ``cells``; ``obsm["spatial"]``: x and y of the centres in micrometres;
    ``uns["spatial"][library_id]["metadata"]``: what ``experiment.xenium`` says; ``uns["spatial_space"]``: name and unit.

    Raises
    ------
    FileError
        A file is not there.
    FormatError
        A file is not what it should be, or cells and matrix do not belong together.
    """
    folder = _folder(path)
    name = "cell_feature_matrix.h5"
    adata = _matrix(folder, name if (folder / name).exists() else "cell_feature_matrix", gex_only)
    cells = _table(folder, "cells", index="cell_id")
    _need_columns(folder, cells, ["x_centroid", "y_centroid"])
    if not adata.obs_names.isin(cells.index).all():
        absent = int((~adata.obs_names.isin(cells.index)).sum())
        raise FormatError(
            f"{folder}: expected each cell of the matrix among `cells`, found {absent} of {adata.n_obs} that are not"
        )
    cells = cells.loc[adata.obs_names]
    about: dict[str, Any] = {}
    if (folder / "experiment.xenium").exists():
        about = json.loads((folder / "experiment.xenium").read_text(encoding="utf-8"))
    library = library_id or str(about.get("region_name") or folder.name)
    adata.obsm["spatial"] = cells[["x_centroid", "y_centroid"]].to_numpy(dtype=np.float64)
    for column in cells.columns.difference(["x_centroid", "y_centroid"], sort=False):
        adata.obs[column] = cells[column].to_numpy()
    plain = {key: value for key, value in about.items() if isinstance(value, (str, int, float, bool))}
    adata.uns["spatial"] = {library: {"images": {}, "scalefactors": {}, "metadata": plain}}
    adata.uns["spatial_space"] = {"name": library, "unit": "micrometer", "axes": "xy"}
    return adata


def read_merscope(
    path: str | os.PathLike[str],
    *,
    counts_file: str = "cell_by_gene.csv",
    meta_file: str = "cell_metadata.csv",
    library_id: str | None = None,
) -> AnnData:
    """Read the output folder of a MERSCOPE region: counts and cells.

    Parameters
    ----------
    path
        Folder with both tables and, where it is there, ``images/micron_to_mosaic_pixel_transform.csv``.
    counts_file
        Cells x genes; the first column names the cells.
    meta_file
        Cells; the first column (or ``EntityID``) names them; ``center_x`` and ``center_y`` in micrometres.
    library_id
        Name of the library; by default that of the folder.

    Returns
    -------
    Cells x genes, float32 csr. Blank probes (names that begin with "Blank") are no genes: they stand in ``obsm["blank_genes"]`` (DataFrame).
    ``obs`` has the columns of the cells; ``obsm["spatial"]``: x and y of the centres in micrometres; ``uns["spatial"][library_id]``:
    ``scalefactors["transformation_matrix"]`` from micrometres to pixels of the mosaic; ``uns["spatial_space"]``: name and unit.

    Raises
    ------
    FileError
        A file is not there.
    FormatError
        A file is not what it should be, or no cell is in both.

    Notes
    -----
    Cells that are in one of the two tables alone are left out with a warning. The counts are read in pieces and held sparse.
    """
    folder = _folder(path)
    matrix, names, genes = _counts(folder / counts_file, key=None)
    cells = _csv(folder / meta_file)
    cells.index = pd.Index(cells.pop("EntityID" if "EntityID" in cells else cells.columns[0]).astype(str))
    _need_columns(folder / meta_file, cells, ["center_x", "center_y"])
    adata = _joined(matrix, names, genes, cells, folder, lambda gene: gene.startswith("Blank"), "blank_genes")
    adata.obsm["spatial"] = adata.obs[["center_x", "center_y"]].to_numpy(dtype=np.float64)
    adata.obs = adata.obs.drop(columns=["center_x", "center_y"])
    library = folder.name if library_id is None else library_id
    entry: dict[str, Any] = {"images": {}, "scalefactors": {}, "metadata": {}}
    mosaic = folder / "images" / "micron_to_mosaic_pixel_transform.csv"
    if mosaic.exists():
        values = np.loadtxt(mosaic, ndmin=2)
        if values.shape != (3, 3):
            raise FormatError(f"{mosaic}: expected 3 x 3 numbers, found {values.shape}")
        entry["scalefactors"]["transformation_matrix"] = values
    adata.uns["spatial"] = {library: entry}
    adata.uns["spatial_space"] = {"name": library, "unit": "micrometer", "axes": "xy"}
    return adata


def read_cosmx(
    path: str | os.PathLike[str],
    *,
    counts_file: str | None = None,
    meta_file: str | None = None,
    pixel_size: float | None = None,
    library_id: str | None = None,
) -> AnnData:
    """Read the flat files of a CosMx slide: counts and cells.

    Parameters
    ----------
    path
        Folder with ``*_exprMat_file.csv`` and ``*_metadata_file.csv`` (also gzipped).
    counts_file, meta_file
        Names of the two, where the folder has several.
    pixel_size
        Micrometres per pixel, as the instrument's manual says (about 0.12 for commercial instruments): coordinates become micrometres.
        ``None``: they stay pixels.
    library_id
        Name of the library; by default the start of the names of the files.

    Returns
    -------
    Cells x genes, float32 csr, cells named ``<cell_ID>_<fov>``. Control probes (names that begin with "NegPrb", "Negative",
    "SystemControl" or "FalseCode") are no genes: they stand in ``obsm["negative_probes"]`` (DataFrame). ``obs`` has the columns of the cells,
    ``fov`` as a category; ``obsm["spatial"]``: x and y of the centres on the slide; ``obsm["spatial_fov"]``: in their field of view,
    where the file has it; ``uns["spatial_space"]``: name and unit.

    Raises
    ------
    FileError
        A file is not there, or there are several.
    FormatError
        A file is not what it should be, or no cell is in both.
    ParameterError
        A pixel size that is not above 0.

    Notes
    -----
    Rows of ``cell_ID`` 0 (what is outside of cells) are left out. y is that of the file, which points up on the slide. The counts are read in
    pieces and held sparse.
    """
    if pixel_size is not None and not 0 < pixel_size < np.inf:
        raise ParameterError(f"parameter `pixel_size`: expected micrometres per pixel above 0, or None, found {pixel_size!r}")
    folder = _folder(path)
    counts = _only(folder, counts_file, "_exprMat_file.csv")
    meta = _only(folder, meta_file, "_metadata_file.csv")
    matrix, names, genes = _counts(counts, key=("fov", "cell_ID"))
    cells = _csv(meta)
    _need_columns(meta, cells, ["fov", "cell_ID", "CenterX_global_px", "CenterY_global_px"])
    cells.index = pd.Index(cells["cell_ID"].astype(str) + "_" + cells["fov"].astype(str))
    inside = ~np.char.startswith(names.astype(str), "0_")
    starts = ("NegPrb", "Negative", "SystemControl", "FalseCode")
    adata = _joined(
        matrix[inside], names[inside], genes, cells, folder, lambda gene: gene.startswith(starts), "negative_probes"
    )
    scale = 1.0 if pixel_size is None else float(pixel_size)
    adata.obsm["spatial"] = adata.obs[["CenterX_global_px", "CenterY_global_px"]].to_numpy(dtype=np.float64) * scale
    local = ["CenterX_local_px", "CenterY_local_px"]
    if all(column in adata.obs for column in local):
        adata.obsm["spatial_fov"] = adata.obs[local].to_numpy(dtype=np.float64) * scale
    dropped = [column for column in (*local, "CenterX_global_px", "CenterY_global_px") if column in adata.obs]
    adata.obs = adata.obs.drop(columns=dropped)
    adata.obs["fov"] = pd.Categorical(adata.obs["fov"])
    library = counts.name.split("_exprMat_file")[0] if library_id is None else library_id
    adata.uns["spatial"] = {library: {"images": {}, "scalefactors": {}, "metadata": {}}}
    adata.uns["spatial_space"] = {"name": library, "unit": "pixel" if pixel_size is None else "micrometer", "axes": "xy"}
    return adata


def _folder(path: Any) -> Path:
    folder = Path(os.path.expanduser(os.fspath(path)))
    if not folder.is_dir():
        raise FileError(f"{folder}: expected a folder, found {'a file' if folder.exists() else 'nothing'}")
    return folder.resolve()


def _there(file: Path) -> Path:
    if not file.exists():
        near = sorted(entry.name for entry in file.parent.iterdir())[:12] if file.parent.is_dir() else []
        raise FileError(f"{file}: expected a file, found none; the folder has {', '.join(near) or '(nothing)'}")
    return file


def _matrix(folder: Path, name: str, gex_only: bool) -> AnnData:
    place = _there(folder / name)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*names are not unique")
        adata = read_10x_mtx(place, gex_only=gex_only) if place.is_dir() else read_10x_h5(place, gex_only=gex_only)
    if not adata.var_names.is_unique:
        adata.var_names_make_unique()
    return adata


def _csv(file: Path, **options: Any) -> pd.DataFrame:
    try:
        return pd.read_csv(_there(file), **options)
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        raise FormatError(f"{file}: expected a table, found: {error}") from error


def _parquet(file: Path) -> pd.DataFrame:
    from ._beside import need

    parquet = need("pyarrow.parquet", "parquet")
    try:
        table = parquet.read_table(file).to_pandas()
    except Exception as error:  # pyarrow raises of every kind
        raise FormatError(f"{file}: expected a Parquet table, found: {error}") from error
    for column in table.columns:
        values = table[column]
        if values.dtype == object and len(values) and isinstance(values.iloc[0], bytes):
            table[column] = values.str.decode("utf-8")
    return table


def _table(folder: Path, name: str, index: str) -> pd.DataFrame:
    """A table as Parquet or csv, whichever is there."""
    for ending, reader in ((".parquet", _parquet), (".csv.gz", _csv), (".csv", _csv)):
        if (folder / f"{name}{ending}").exists():
            table = reader(folder / f"{name}{ending}")
            _need_columns(folder / f"{name}{ending}", table, [index])
            table.index = pd.Index(table.pop(index).astype(str))
            return table
    _there(folder / f"{name}.parquet")
    raise AssertionError


def _need_columns(file: Path, table: pd.DataFrame, names: list[str]) -> None:
    absent = [name for name in names if name not in table]
    if absent:
        raise FormatError(f"{file}: expected a column {absent[0]!r}, found {', '.join(map(str, table.columns[:20]))}")


def _positions(spatial: Path) -> pd.DataFrame:
    """Positions of spots by barcode, of any version of Space Ranger."""
    names = ["barcode", "in_tissue", "array_row", "array_col", "pxl_row_in_fullres", "pxl_col_in_fullres"]
    if (spatial / "tissue_positions.parquet").exists():
        table = _parquet(spatial / "tissue_positions.parquet")
        file = spatial / "tissue_positions.parquet"
    else:
        file = spatial / "tissue_positions.csv"
        if not file.exists():
            file = spatial / "tissue_positions_list.csv"
        with open(_there(file), encoding="utf-8") as lines:
            header = lines.readline().split(",")[0].strip().lower() == "barcode"
        table = _csv(file, header=0 if header else None)
        if not header:
            if table.shape[1] != 6:
                raise FormatError(f"{file}: expected six columns, found {table.shape[1]}")
            table.columns = pd.Index(names)
    _need_columns(file, table, names)
    table.index = pd.Index(table.pop("barcode").astype(str))
    return table


def _micrometers_per_pixel(factors: dict[str, float], positions: pd.DataFrame, spatial: Path) -> float:
    if factors.get("microns_per_pixel", 0) > 0:
        return factors["microns_per_pixel"]
    # Spots of odd rows lie half a step beside those of even ones; two columns apart in a row are neighbours.
    across = positions["array_col"].to_numpy(np.float64) * _PITCH / 2
    down = positions["array_row"].to_numpy(np.float64) * _PITCH * np.sqrt(0.75)
    grid = np.column_stack([across - across.mean(), down - down.mean()])
    pixels = positions[["pxl_col_in_fullres", "pxl_row_in_fullres"]].to_numpy(np.float64)
    spread = float(np.linalg.norm(pixels - pixels.mean(axis=0)))
    if not spread > 0 or not np.linalg.norm(grid) > 0:
        raise ParameterError(
            f"parameter `unit`: expected 'pixel', since the spots of {spatial} do not say how large a pixel is, found 'micrometer'"
        )
    # Turned or mirrored, distances from the middle keep their ratio.
    return float(np.linalg.norm(grid) / spread)


def _png(file: Path) -> np.ndarray:
    from matplotlib import image

    return np.asarray(image.imread(file))


def _only(folder: Path, name: str | None, ending: str) -> Path:
    if name is not None:
        return _there(folder / name)
    found = sorted(entry for entry in folder.iterdir() if entry.name.endswith((ending, f"{ending}.gz")))
    if len(found) != 1:
        names = ", ".join(entry.name for entry in found) or "none"
        raise FileError(f"{folder}: expected one file that ends in {ending}, found {names}")
    return found[0]


def _counts(file: Path, key: tuple[str, str] | None) -> tuple[sparse.csr_matrix, np.ndarray, list[str]]:
    """A table of counts in pieces: the matrix, names of cells and genes. `key`: columns that name a cell (field of view, number)."""
    blocks, names, genes = [], [], None
    try:
        with pd.read_csv(_there(file), chunksize=_ROWS) as reader:
            for piece in reader:
                if key is None:
                    names.append(piece.pop(piece.columns[0]).astype(str).to_numpy(dtype=object))
                else:
                    _need_columns(file, piece, list(key))
                    fov, cell = (piece.pop(column).astype(str) for column in key)
                    names.append((cell + "_" + fov).to_numpy(dtype=object))
                    piece = piece.drop(columns=[column for column in ("cell", "cell_id") if column in piece])
                genes = [str(column) for column in piece.columns]
                values = piece.to_numpy(dtype=np.float32)
                if not np.isfinite(values).all():
                    raise FormatError(f"{file}: expected counts, found empty or infinite ones")
                blocks.append(sparse.csr_matrix(values))
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError, ValueError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"{file}: expected a table of counts, found: {error}") from error
    if genes is None or not blocks:
        raise FormatError(f"{file}: expected a table of counts, found no rows")
    return sparse.csr_matrix(sparse.vstack(blocks, format="csr")), np.concatenate(names), genes


def _joined(
    matrix: sparse.csr_matrix,
    names: np.ndarray,
    genes: list[str],
    cells: pd.DataFrame,
    folder: Path,
    is_control: Any,
    control_key: str,
) -> AnnData:
    """Counts and cells by name, control probes apart."""
    from anndata import AnnData

    for what, index in (("counts", pd.Index(names)), ("cells", cells.index)):
        if not index.is_unique:
            raise FormatError(
                f"{folder}: expected each cell once in the table of {what}, found {index[index.duplicated()][0]!r} twice"
            )
    both = np.isin(names, cells.index.to_numpy(dtype=object))
    if not both.any():
        raise FormatError(
            f"{folder}: expected cells that are in both tables, found none (counts: {names[0]}; cells: {cells.index[0]})"
        )
    lost = len(names) - int(both.sum()), len(cells) - int(both.sum())
    if any(lost):
        warnings.warn(
            f"{folder}: left out {lost[0]} cells of the counts and {lost[1]} of the metadata that the other lacks",
            UserWarning,
            stacklevel=3,
        )
    matrix, names = matrix[both], names[both]
    control = np.array([bool(is_control(gene)) for gene in genes])
    index = pd.Index(names.astype(str))
    adata = AnnData(
        sparse.csr_matrix(matrix[:, ~control]),
        obs=cells.loc[names].set_axis(index),
        var=pd.DataFrame(index=pd.Index([gene for gene, no in zip(genes, control, strict=True) if not no])),
    )
    if control.any():
        columns = [gene for gene, yes in zip(genes, control, strict=True) if yes]
        adata.obsm[control_key] = pd.DataFrame(matrix[:, control].toarray(), index=index, columns=columns)
    return adata
