"""SpatialData stores: tables, points, shapes, labels and images with the maps between their spaces, in a Zarr folder."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._units import unit_of
from ..errors import DataError, FileError, FormatError, MissingKeyError, ParameterError, ShapeError
from ._beside import folder_beside, need
from ._wkb import from_wkb, kind_of, to_wkb

if TYPE_CHECKING:
    from anndata import AnnData

#: Versions that are written; those of spatialdata 0.7.
_VERSIONS = {"container": "0.2", "raster": "0.3", "points": "0.2", "shapes": "0.3", "table": "0.2"}
_OME = "0.5-dev-spatialdata"
_SPACE = ("x", "y", "z")


@dataclass
class Element:
    """One image, set of labels, points or shapes, and where it lies.

    ``data``: of images and labels an array (numpy, or a Zarr array that is read when it is indexed); of points a DataFrame with
    columns x, y[, z]; of shapes a DataFrame with a column ``geometry`` — rows of (x, y[, z]) with a column ``radius`` for circles, or lists of
    rings, each (corners, 2), the first the outline and others holes, for polygons; lists of such lists for several polygons in one.
    """

    data: Any
    transforms: dict[str, np.ndarray] = field(default_factory=dict)
    """Maps by the name of the space that they lead to: (d + 1, d + 1) matrices on (x, y[, z], 1). Empty: the identity to "global"."""
    axes: tuple[str, ...] = ()
    """Of images and labels, such as ("c", "y", "x"); by default from the number of dimensions."""
    channels: list[str] | None = None
    """Names of the channels of an image."""
    levels: list[Any] = field(default_factory=list)
    """Coarser copies of an image or of labels, each smaller than the one before."""
    unit: str = "unit"
    """Unit of the spaces."""
    feature_key: str | None = None
    """Column of points that says what they are, such as the gene."""
    instance_key: str | None = None
    """Column of points that says to which cell they belong."""

    def to_space(self, points: Any, space: str = "global") -> np.ndarray:
        """Places (n, 2 or 3) of this element in a space."""
        matrix = (
            self.transforms.get(space) if self.transforms else np.eye(np.shape(points)[1] + 1) if space == "global" else None
        )
        if matrix is None:
            raise MissingKeyError(
                f"key `{space}` not found in the spaces of the element; present: {', '.join(self.transforms) or 'global'}"
            )
        places = np.asarray(points, dtype=np.float64)
        size = places.shape[1]
        matrix = _fitted(matrix, size)
        return places @ matrix[:size, :size].T + matrix[:size, size]


@dataclass
class SpatialStore:
    """What a SpatialData store holds, by name."""

    tables: dict[str, AnnData] = field(default_factory=dict)
    points: dict[str, Element] = field(default_factory=dict)
    shapes: dict[str, Element] = field(default_factory=dict)
    labels: dict[str, Element] = field(default_factory=dict)
    images: dict[str, Element] = field(default_factory=dict)

    def to_adata(self, table: str | None = None, *, space: str = "global", key: str = "spatial") -> AnnData:
        """A table with the places of its cells in ``obsm[key]``: the middles of the shapes or labels that it annotates, in `space`.

        Circles and points lie at their centre, polygons at their centroid, labels at the mean of their voxels.
        """
        if table is None:
            if len(self.tables) != 1:
                raise ParameterError(f"parameter `table`: expected one of {', '.join(self.tables) or '(none)'}, found None")
            table = next(iter(self.tables))
        if table not in self.tables:
            raise MissingKeyError(f"key `{table}` not found in the tables; present: {', '.join(self.tables) or '(nothing)'}")
        adata = self.tables[table].copy()
        said = adata.uns.get("spatialdata_attrs")
        if not isinstance(said, Mapping):
            raise DataError(f"table {table!r}: expected one that annotates an element (uns['spatialdata_attrs']), found none")
        region, instance = (adata.obs[str(said[name])].to_numpy() for name in ("region_key", "instance_key"))
        places = np.full((adata.n_obs, 3), np.nan)
        dimensions = 2
        for name in pd.unique(region):
            element = next((group[str(name)] for group in (self.shapes, self.labels, self.points) if str(name) in group), None)
            if element is None:
                raise MissingKeyError(f"key `{name}` not found in shapes, labels or points, which table {table!r} annotates")
            mine = np.flatnonzero(region == name)
            index, middles = _middles(element)
            at = pd.Index(index).get_indexer(pd.Index(instance[mine]))
            if (at < 0).any():
                raise DataError(
                    f"table {table!r}: expected each cell in {name!r}, found {int((at < 0).sum())} that are not ({instance[mine][at < 0][0]!r})"
                )
            found = element.to_space(middles, space)[at]
            dimensions = max(dimensions, found.shape[1])
            places[mine, : found.shape[1]] = found
        places = places[:, :dimensions]
        if not np.isfinite(places).all():
            raise DataError(f"table {table!r}: expected elements all in two or all in three dimensions, found both")
        adata.obsm[key] = places
        units = {
            element.unit
            for group in (self.shapes, self.labels, self.points)
            for name, element in group.items()
            if name in set(map(str, region))
        }
        adata.uns["spatial_space"] = {
            "name": space,
            "unit": units.pop() if len(units) == 1 else "unit",
            "axes": "xyz"[:dimensions],
        }
        return adata


def read_spatialdata(path: str | os.PathLike[str]) -> SpatialStore:
    """Read a SpatialData store (a Zarr folder, format 0.1 and 0.2, Zarr versions 2 and 3).

    Parameters
    ----------
    path
        The folder.

    Returns
    -------
    SpatialStore
        Tables, points, shapes, labels and images by name, with all maps to the spaces that the store names. Images and labels stay
        in the store until they are indexed; the rest is read.

    Raises
    ------
    FileError
        There is no folder.
    FormatError
        It is no SpatialData store, is damaged, or holds shapes of format 0.1 or a map that no matrix holds; the element is named.

    Notes
    -----
    Needs ``zarr`` and, for points and shapes, ``pyarrow``. A map of a kind without a matrix (a field of displacements) is refused.
    """
    zarr = need("zarr", "zarr")
    place = os.path.expanduser(os.fspath(path))
    if not os.path.isdir(place):
        raise FileError(f"{place}: expected a folder, found {'a file' if os.path.exists(place) else 'nothing'}")
    root = _open(zarr, place)
    if (
        root is None
        or "spatialdata_attrs" not in root.attrs
        and not any(name in root for name in ("images", "labels", "points", "shapes", "tables", "table"))
    ):
        raise FormatError(
            f"{place}: expected a SpatialData store, found {'another Zarr store' if root is not None else 'no Zarr store'}"
        )
    store = SpatialStore()
    readers: dict[str, Any] = {
        "images": _read_raster,
        "labels": _read_raster,
        "points": _read_points,
        "shapes": _read_shapes,
        "tables": _read_table,
        "table": _read_table,
    }
    for group, reader in readers.items():
        if group not in root:
            continue
        kept = store.tables if group == "table" else getattr(store, group)
        for name in sorted(root[group].group_keys()):
            where = f"{place}: {group}/{name}"
            try:
                kept[name] = reader(root[group][name], os.path.join(place, group, name), where)
            except (FormatError, ImportError):
                raise
            except Exception as error:  # zarr, anndata and pyarrow raise of every kind
                raise FormatError(f"{where}: expected a sound element, found: {error}") from error
    return store


def write_spatialdata(
    store: SpatialStore | AnnData, path: str | os.PathLike[str], *, spatial_key: str = "spatial", diameter: float | None = None
) -> None:
    """Write a store that the package ``spatialdata`` (0.5 or later) opens.

    Parameters
    ----------
    store
        What `read_spatialdata` returns, or an AnnData: its cells become circles ("cells", by library where ``uns["spatial"]`` names one), its images
        images, itself the table "table" that annotates the circles.
    path
        The folder (Zarr version 3). A store that is there is replaced once the new one is complete; anything else is refused.
    spatial_key
        Of an AnnData: key of obsm with 2 finite coordinates per cell. (SpatialData has no circles in three dimensions: such cells become points.)
    diameter
        Of an AnnData: of a cell, in the unit of the coordinates; by default ``spot_diameter_fullres``, else 1.

    Raises
    ------
    FileError
        Something else is at `path`, or it cannot be written.
    DataError
        Elements that do not fit together, NaN or infinity in places.
    ParameterError
        A name that occurs twice, or that a store cannot hold.

    Notes
    -----
    Written beside and renamed. Images and labels are copied plane by plane. Needs ``zarr`` 3 and, for points and shapes, ``pyarrow``.
    """
    zarr = need("zarr", "zarr")
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ParameterError(f"`write_spatialdata`: expected zarr 3 or later, found {zarr.__version__}")
    if not isinstance(store, SpatialStore):
        store = _of_adata(store, spatial_key, diameter)
    _check(store)
    place = os.path.expanduser(os.fspath(path))
    with folder_beside(place, _is_store) as partial, warnings.catch_warnings():
        # zarr does not know Parquet files inside a store, nor that spatialdata wants metadata in one place.
        warnings.filterwarnings("ignore", message=".*(not recognized as a component|Consolidated metadata|autosharding)")
        root = zarr.open_group(partial, mode="w", zarr_format=3)
        root.attrs["spatialdata_attrs"] = {"version": _VERSIONS["container"], "spatialdata_software_version": "zensaibo"}
        for group, writer in (
            ("images", _write_raster),
            ("labels", _write_raster),
            ("points", _write_points),
            ("shapes", _write_shapes),
        ):
            elements = getattr(store, group)
            if not elements:
                continue
            parent = root.create_group(group)
            if group == "labels":
                parent.attrs["ome"] = {"labels": list(elements)}
            for name, element in elements.items():
                writer(parent.create_group(name), element, f"{group}/{name}", os.path.join(partial, group, name))
        if store.tables:
            parent = root.create_group("tables")
            for name, table in store.tables.items():
                _write_table(parent, name, table)
        zarr.consolidate_metadata(root.store)


def _open(zarr: Any, place: str) -> Any:
    try:
        return zarr.open_group(
            place, mode="r", **({"use_consolidated": False} if int(zarr.__version__.split(".")[0]) > 2 else {})
        )
    except Exception:  # zarr raises of every kind
        return None


def _is_store(place: str) -> bool:
    zarr = need("zarr", "zarr")
    root = _open(zarr, place)
    return root is not None and "spatialdata_attrs" in root.attrs


# --- maps -------------------------------------------------------------------------------------------------------------


def _axis_names(system: Any, default: tuple[str, ...]) -> tuple[str, ...]:
    if isinstance(system, Mapping) and "axes" in system:
        return tuple(str(axis["name"]) for axis in system["axes"])
    return default


def _matrix_of(said: Mapping[str, Any], axes: tuple[str, ...], where: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A map as a matrix from its input axes to its output axes, both with a 1 behind."""
    inputs = _axis_names(said.get("input"), axes)
    outputs = _axis_names(said.get("output"), inputs)
    kind, n = said.get("type"), len(inputs)
    matrix = np.eye(n + 1)
    if kind == "identity":
        pass
    elif kind == "scale":
        matrix[:n, :n] = np.diag(np.asarray(said["scale"], dtype=np.float64))
    elif kind == "translation":
        matrix[:n, n] = said["translation"]
    elif kind == "rotation":
        matrix[:n, :n] = np.asarray(said["rotation"], dtype=np.float64).reshape(n, n)
    elif kind == "affine":
        rows = np.asarray(said["affine"], dtype=np.float64).reshape(len(outputs), n + 1)
        matrix = np.vstack([rows, np.eye(n + 1)[-1:]])
        return matrix, outputs
    elif kind == "mapAxis":
        mapped = said["mapAxis"]
        matrix = np.zeros((len(outputs) + 1, n + 1))
        matrix[-1, -1] = 1
        for at, name in enumerate(outputs):
            matrix[at, inputs.index(mapped[name])] = 1
        return matrix, outputs
    elif kind == "sequence":
        names = inputs
        for step in said["transformations"]:
            one, names = _matrix_of(step, names, where)
            matrix = one @ matrix
        return matrix, names
    else:
        raise FormatError(f"{where}: expected a map that a matrix holds, found type {kind!r}")
    return matrix, inputs


def _maps(listed: Any, axes: tuple[str, ...], where: str) -> tuple[dict[str, np.ndarray], str]:
    """Matrices on (x, y[, z], 1) by space, and the unit that the spaces name."""
    maps: dict[str, np.ndarray] = {}
    unit = "unit"
    for said in listed or []:
        output = said.get("output")
        if output is None:
            continue
        name = str(output["name"] if isinstance(output, Mapping) else output)
        matrix, outputs = _matrix_of(said, _axis_names(said.get("input"), axes), where)
        inputs = _axis_names(said.get("input"), axes)
        space_in = [axis for axis in _SPACE if axis in inputs]
        space_out = [axis for axis in _SPACE if axis in outputs]
        size = max(len(space_in), len(space_out))
        plain = np.eye(size + 1)
        for row in space_out:
            for column in space_in:
                plain[_SPACE.index(row), _SPACE.index(column)] = matrix[outputs.index(row), inputs.index(column)]
            plain[_SPACE.index(row), size] = matrix[outputs.index(row), -1]
        maps[name] = plain
        if isinstance(output, Mapping):
            for axis in output.get("axes", []):
                if axis["name"] in _SPACE and axis.get("unit"):
                    unit = str(axis["unit"])
    return maps, unit


def _fitted(matrix: np.ndarray, size: int) -> np.ndarray:
    """A map of another number of dimensions: the third axis stays what it is, or is left out."""
    have = len(matrix) - 1
    if have == size:
        return matrix
    out = np.eye(size + 1)
    common = min(have, size)
    out[:common, :common] = matrix[:common, :common]
    out[:common, size] = matrix[:common, have]
    return out


def _said(matrix: np.ndarray, axes: tuple[str, ...], space: str, unit: str) -> dict[str, Any]:
    """A map as the store has it, over these axes."""
    inside = [axis for axis in _SPACE if axis in axes]
    plain = _fitted(np.asarray(matrix, dtype=np.float64), len(inside))
    whole = np.eye(len(axes) + 1)
    for row in inside:
        for column in inside:
            whole[axes.index(row), axes.index(column)] = plain[_SPACE.index(row), _SPACE.index(column)]
        whole[axes.index(row), -1] = plain[_SPACE.index(row), -1]
    listed = [
        {"name": axis, "type": "channel"} if axis == "c" else {"name": axis, "type": "space", "unit": unit} for axis in axes
    ]
    ends = {"input": {"name": "".join(axes), "axes": listed}, "output": {"name": space, "axes": listed}}
    if np.array_equal(whole, np.eye(len(axes) + 1)):
        return {"type": "identity", **ends}
    turned = whole[:-1, :-1]
    if np.array_equal(turned, np.diag(np.diag(turned))) and not whole[:-1, -1].any():
        return {"type": "scale", "scale": np.diag(turned).tolist(), **ends}
    return {"type": "affine", "affine": whole[:-1].tolist(), **ends}


def _all_said(element: Element, axes: tuple[str, ...]) -> list[dict[str, Any]]:
    maps = element.transforms or {"global": np.eye(len([axis for axis in axes if axis in _SPACE]) + 1)}
    return [_said(matrix, axes, space, element.unit) for space, matrix in maps.items()]


# --- images and labels ------------------------------------------------------------------------------------------------


def _read_raster(group: Any, _: str, where: str) -> Element:
    attributes = dict(group.attrs)
    ome = attributes.get("ome", attributes)
    if "multiscales" not in ome:
        raise FormatError(f"{where}: expected `multiscales`, found {', '.join(attributes) or 'no attributes'}")
    scales = ome["multiscales"][0]
    axes = tuple(str(axis["name"]) for axis in scales["axes"])
    transforms, unit = _maps(scales.get("coordinateTransformations"), axes, where)
    arrays = [group[str(level["path"])] for level in scales["datasets"]]
    channels = [str(channel.get("label", at)) for at, channel in enumerate(ome.get("omero", {}).get("channels", []))] or None
    return Element(arrays[0], transforms, axes, channels, arrays[1:], unit)


def _axes_of(element: Element, where: str, labels: bool) -> tuple[str, ...]:
    shape = np.shape(element.data)
    if element.axes:
        axes = tuple(element.axes)
    else:
        axes = ("z", "y", "x")[-len(shape) :] if labels else ("c", "z", "y", "x")[0:1] + ("z", "y", "x")[-(len(shape) - 1) :]
    legal = [("y", "x"), ("z", "y", "x")] if labels else [("c", "y", "x"), ("c", "z", "y", "x")]
    if axes not in legal or len(axes) != len(shape):
        raise ShapeError(
            f"{where}: expected axes {' or '.join(''.join(one) for one in legal)}, found {''.join(axes)} for shape {shape}"
        )
    return axes


def _write_raster(group: Any, element: Element, where: str, _: str) -> None:
    labels = where.startswith("labels")
    axes = _axes_of(element, where, labels)
    datasets = []
    full = np.shape(element.data)
    for number, level in enumerate([element.data, *element.levels]):
        shape = np.shape(level)
        if len(shape) != len(full) or (number and any(small > large for small, large in zip(shape, full, strict=True))):
            raise ShapeError(f"{where}: expected coarser copies of {full}, found {shape}")
        dtype = np.dtype(getattr(level, "dtype", np.asarray(level).dtype))
        if dtype.kind not in ("iu" if labels else "iuf"):
            raise DataError(f"{where}: expected {'whole numbers' if labels else 'numbers'}, found dtype {dtype}")
        chunks = tuple(
            1 if axis == "c" else min(size, 1024 if axis in "yx" else 64) for axis, size in zip(axes, shape, strict=True)
        )
        array = group.create_array(f"s{number}", shape=shape, dtype=dtype, chunks=chunks, dimension_names=list(axes))
        # Plane by plane: what lies in a file is never whole in memory.
        for at in np.ndindex(*shape[:-2]):
            array[at] = np.asarray(level[at])
        scale = [large / small if axis in _SPACE else 1.0 for axis, large, small in zip(axes, full, shape, strict=True)]
        datasets.append(
            {"path": f"s{number}", "coordinateTransformations": [{"type": "scale", "scale": [float(value) for value in scale]}]}
        )
    listed = [{"name": axis, "type": "channel" if axis == "c" else "space"} for axis in axes]
    ome: dict[str, Any] = {
        "version": _OME,
        "multiscales": [
            {
                "name": where.split("/", 1)[1],
                "axes": listed,
                "datasets": datasets,
                "coordinateTransformations": _all_said(element, axes),
            }
        ],
    }
    if labels:
        ome["image-label"] = {"version": "0.5"}
    else:
        names = element.channels or [str(at) for at in range(full[0])]
        if len(names) != full[0]:
            raise ShapeError(f"{where}: expected {full[0]} names of channels, found {len(names)}")
        ome["omero"] = {"channels": [{"label": name} for name in names]}
    group.attrs.update({"ome": ome, "spatialdata_attrs": {"version": _VERSIONS["raster"]}})


# --- points and shapes ------------------------------------------------------------------------------------------------


def _frame(table: Any) -> pd.DataFrame:
    return table.to_pandas().rename_axis(None)


def _read_points(group: Any, place: str, where: str) -> Element:
    parquet = need("pyarrow.parquet", "parquet")
    attributes = dict(group.attrs)
    data = _frame(parquet.read_table(os.path.join(place, "points.parquet")))
    data = data.drop(columns=[column for column in ("__null_dask_index__",) if column in data])
    axes = tuple(str(axis) for axis in attributes.get("axes", [axis for axis in _SPACE if axis in data]))
    transforms, unit = _maps(attributes.get("coordinateTransformations"), axes, where)
    said = attributes.get("spatialdata_attrs", {})
    return Element(
        data, transforms, axes, unit=unit, feature_key=said.get("feature_key"), instance_key=said.get("instance_key")
    )


def _write_points(group: Any, element: Element, where: str, place: str) -> None:
    arrow, parquet = need("pyarrow", "parquet"), need("pyarrow.parquet", "parquet")
    data = pd.DataFrame(element.data)
    axes = tuple(axis for axis in _SPACE if axis in data)
    if axes not in (("x", "y"), ("x", "y", "z")):
        raise DataError(f"{where}: expected columns x and y (and z), found {', '.join(map(str, data.columns))}")
    _finite(data[list(axes)].to_numpy(np.float64), where)
    said: dict[str, Any] = {"version": _VERSIONS["points"]}
    for name in ("feature_key", "instance_key"):
        key = getattr(element, name)
        if key is not None:
            if key not in data:
                raise MissingKeyError(
                    f"key `{key}` not found in the columns of {where}; present: {', '.join(map(str, data.columns))}"
                )
            said[name] = key
    os.makedirs(os.path.join(place, "points.parquet"))
    parquet.write_table(arrow.Table.from_pandas(data), os.path.join(place, "points.parquet", "part.0.parquet"))
    group.attrs.update(
        {
            "encoding-type": "ngff:points",
            "axes": list(axes),
            "coordinateTransformations": _all_said(element, axes),
            "spatialdata_attrs": said,
        }
    )


def _read_shapes(group: Any, place: str, where: str) -> Element:
    parquet = need("pyarrow.parquet", "parquet")
    attributes = dict(group.attrs)
    file = os.path.join(place, "shapes.parquet")
    if not os.path.exists(file):
        raise FormatError(
            f"{where}: expected shapes in Parquet (format 0.2 or later), found {', '.join(sorted(os.listdir(place)))}"
        )
    table = parquet.read_table(file)
    geo = json.loads((table.schema.metadata or {}).get(b"geo", b"{}"))
    column = geo.get("primary_column", "geometry")
    encoding = geo.get("columns", {}).get(column, {}).get("encoding", "WKB")
    if encoding != "WKB":
        raise FormatError(f"{where}: expected geometry as WKB, found {encoding}")
    data = _frame(table)
    data[column] = pd.Series([from_wkb(bytes(one), where) for one in data[column]], index=data.index, dtype=object)
    data = data.rename(columns={column: "geometry"})
    axes = tuple(str(axis) for axis in attributes.get("axes", ("x", "y")))
    transforms, unit = _maps(attributes.get("coordinateTransformations"), axes, where)
    return Element(data, transforms, axes, unit=unit)


def _write_shapes(group: Any, element: Element, where: str, place: str) -> None:
    arrow, parquet = need("pyarrow", "parquet"), need("pyarrow.parquet", "parquet")
    data = pd.DataFrame(element.data)
    if "geometry" not in data or not len(data):
        raise DataError(
            f"{where}: expected a column `geometry` and at least one row, found columns {', '.join(map(str, data.columns))}, {len(data)} rows"
        )
    kinds = sorted({kind_of(one) for one in data["geometry"]})
    if "Point" in kinds and (kinds != ["Point"] or "radius" not in data):
        raise DataError(f"{where}: expected circles with a column `radius`, or polygons, found {', '.join(kinds)}")
    if "radius" in data and not (data["radius"].to_numpy(np.float64) > 0).all():
        raise DataError(f"{where}: expected radii above 0, found others")
    packed = [to_wkb(one, where) for one in data["geometry"]]
    axes = ("x", "y", "z") if kinds == ["Point"] and len(np.ravel(data["geometry"].iloc[0])) == 3 else ("x", "y")
    plain = data.drop(columns="geometry")
    table = arrow.Table.from_pandas(plain.assign(geometry=pd.Series(packed, index=plain.index, dtype=object)))
    place_of = table.schema.get_field_index("geometry")
    table = table.set_column(place_of, "geometry", arrow.array(packed, type=arrow.binary()))
    geo = {
        "primary_column": "geometry",
        "columns": {"geometry": {"encoding": "WKB", "crs": None, "geometry_types": kinds}},
        "version": "1.1.0",
        "creator": {"library": "zensaibo"},
    }
    parquet.write_table(
        table.replace_schema_metadata({**(table.schema.metadata or {}), b"geo": json.dumps(geo).encode()}),
        os.path.join(place, "shapes.parquet"),
    )
    group.attrs.update({
        "encoding-type": "ngff:shapes", "axes": list(axes), "coordinateTransformations": _all_said(element, axes),
        "spatialdata_attrs": {"version": _VERSIONS["shapes"]},
    })  # fmt: skip


def _finite(places: np.ndarray, where: str) -> None:
    bad = np.flatnonzero(~np.isfinite(places).all(axis=1))
    if bad.size:
        raise DataError(f"{where}: expected finite places, found {bad.size} without (the first in row {bad[0]})")


def _middles(element: Element) -> tuple[np.ndarray, np.ndarray]:
    """Names and middles of what an element holds."""
    if isinstance(element.data, pd.DataFrame):
        data = element.data
        if "geometry" in data:
            return data.index.to_numpy(), np.array([_middle(one) for one in data["geometry"]])
        return data.index.to_numpy(), data[[axis for axis in _SPACE if axis in data]].to_numpy(np.float64)
    labels = np.asarray(element.data[...])
    index, places = np.unique(labels, return_inverse=True)
    places = places.ravel()
    counts = np.bincount(places)
    # Voxel i reaches from i to i + 1.
    middles = [
        np.bincount(places, weights=(np.indices(labels.shape)[axis] + 0.5).ravel()) / counts for axis in range(labels.ndim)
    ]
    return index, np.column_stack(middles[::-1])


def _middle(geometry: Any) -> np.ndarray:
    kind = kind_of(geometry)
    if kind == "Point":
        return np.asarray(geometry, dtype=np.float64)
    polygons = geometry if kind == "MultiPolygon" else [geometry]
    total, area = np.zeros(2), 0.0
    for polygon in polygons:
        for number, ring in enumerate(polygon):
            corners = np.asarray(ring, dtype=np.float64)[:, :2]
            start = corners[0]
            # About the first corner, so that digits are kept far from the origin.
            a, b = corners - start, np.roll(corners, -1, axis=0) - start
            cross = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
            size = cross.sum() / 2
            sign = (1.0 if number == 0 else -1.0) * (1.0 if size >= 0 else -1.0)
            total += sign * (((a + b) * cross[:, None]).sum(axis=0) / 6 + start * size)
            area += sign * size
    return (
        total / area
        if area > 0
        else np.mean(np.concatenate([np.asarray(ring)[:, :2] for polygon in polygons for ring in polygon]), axis=0)
    )


# --- tables -----------------------------------------------------------------------------------------------------------


def _read_table(group: Any, _: str, where: str) -> AnnData:
    import anndata

    adata = anndata.io.read_elem(group)
    if not isinstance(adata, anndata.AnnData):
        raise FormatError(f"{where}: expected AnnData, found {type(adata).__name__}")
    said = adata.uns.get("spatialdata_attrs")
    if isinstance(said, Mapping):
        region = said.get("region")
        plain = region.tolist() if isinstance(region, np.ndarray) else region
        adata.uns["spatialdata_attrs"] = {
            "region": plain,
            "region_key": str(said["region_key"]),
            "instance_key": str(said["instance_key"]),
        }
    return adata


def _write_table(parent: Any, name: str, table: AnnData) -> None:
    import anndata

    said = table.uns.get("spatialdata_attrs")
    before = anndata.settings.zarr_write_format
    anndata.settings.zarr_write_format = 3
    try:
        anndata.io.write_elem(parent, name, table)
    finally:
        anndata.settings.zarr_write_format = before
    attributes: dict[str, Any] = {
        "spatialdata-encoding-type": "ngff:regions_table",
        "region": None,
        "region_key": None,
        "instance_key": None,
    }
    if isinstance(said, Mapping):
        attributes |= {key: said[key] for key in ("region", "region_key", "instance_key")}
    parent[name].attrs.update({**attributes, "version": _VERSIONS["table"]})


# --- checks, and AnnData --------------------------------------------------------------------------------------------------


def _check(store: SpatialStore) -> None:
    """Refuses, before anything is written, what spatialdata would not open."""
    groups = {
        "images": store.images,
        "labels": store.labels,
        "points": store.points,
        "shapes": store.shapes,
        "tables": store.tables,
    }
    seen: dict[str, str] = {}
    for group, elements in groups.items():
        for name, element in elements.items():
            if (
                not name
                or not all(letter.isalnum() or letter in "_-." for letter in name)
                or name.startswith("__")
                or name in (".", "..")
            ):
                raise ParameterError(f"{group}: expected a name of letters, digits, _, - and ., found {name!r}")
            if name.lower() in seen:
                raise ParameterError(
                    f"{group}: expected each name once in a store, found {name!r} also in {seen[name.lower()]}"
                )
            seen[name.lower()] = group
            if isinstance(element, Element):
                unit_of(element.unit, f"{group}/{name}: `unit`")
                for space, matrix in element.transforms.items():
                    size = np.shape(matrix)
                    if (
                        size not in ((3, 3), (4, 4))
                        or not np.isfinite(matrix).all()
                        or not np.array_equal(np.asarray(matrix)[-1], np.eye(size[0])[-1])
                    ):
                        raise DataError(
                            f"{group}/{name}: expected a finite 3 x 3 or 4 x 4 matrix to {space!r} with a last row of 0 ... 1, found {np.asarray(matrix).tolist()}"
                        )
    for name, table in store.tables.items():
        said = table.uns.get("spatialdata_attrs")
        if said is None:
            continue
        if not isinstance(said, Mapping) or any(key not in said for key in ("region", "region_key", "instance_key")):
            raise DataError(
                f"tables/{name}: expected region, region_key and instance_key in uns['spatialdata_attrs'], found {said!r}"
            )
        for key in (said["region_key"], said["instance_key"]):
            if key not in table.obs:
                raise MissingKeyError(
                    f"key `{key}` not found in obs of table {name!r}; present: {', '.join(map(str, table.obs.columns))}"
                )
        regions = {
            str(region)
            for region in (said["region"] if isinstance(said["region"], (list, tuple, np.ndarray)) else [said["region"]])
        }
        found = set(map(str, pd.unique(table.obs[said["region_key"]])))
        if regions != found:
            raise DataError(
                f"tables/{name}: expected regions {sorted(regions)} in column {said['region_key']!r}, found {sorted(found)}"
            )


def _of_adata(adata: AnnData, key: str, diameter: float | None) -> SpatialStore:
    """Cells as circles, images, and the table."""
    from .._anndata import check_adata, get_obsm

    adata = check_adata(adata).copy()
    places = np.asarray(get_obsm(adata, key), dtype=np.float64)
    if places.ndim != 2 or places.shape[1] not in (2, 3):
        raise ShapeError(f"`obsm[{key!r}]`: expected 2 or 3 coordinates per cell, found shape {places.shape}")
    _finite(places, f"obsm[{key!r}]")
    space = adata.uns.pop("spatial_space", {})
    unit = str(space.get("unit", "unit")) if isinstance(space, Mapping) else "unit"
    stored = adata.uns.pop("spatial", {})
    names = list(stored) if isinstance(stored, Mapping) else []
    factors = stored[names[0]].get("scalefactors", {}) if len(names) == 1 else {}
    across = diameter if diameter is not None else float(factors.get("spot_diameter_fullres", 1.0))
    if not across > 0:
        raise ParameterError(f"parameter `diameter`: expected a length above 0, found {across!r}")
    store = SpatialStore()
    index = np.arange(adata.n_obs)
    if places.shape[1] == 2:
        rows = pd.Series(list(places), index=index, dtype=object)
        store.shapes["cells"] = Element(
            pd.DataFrame({"geometry": rows, "radius": np.full(len(places), across / 2)}, index=index), unit=unit
        )
    else:
        store.points["cells"] = Element(pd.DataFrame(places, columns=["x", "y", "z"], index=index), unit=unit)
    for name in names:
        entry = stored[name]
        for kind, pixels in entry.get("images", {}).items():
            factor = float(entry["scalefactors"][f"tissue_{kind}_scalef"])
            pixels = np.asarray(pixels)
            pixels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
            clean = "".join(letter if letter.isalnum() or letter in "_-." else "_" for letter in f"{name}_{kind}")
            store.images[clean] = Element(pixels, {"global": np.diag([1 / factor, 1 / factor, 1.0])}, unit=unit)
    adata.obs["region"] = pd.Categorical(["cells"] * adata.n_obs)
    adata.obs["instance_id"] = index
    adata.uns["spatialdata_attrs"] = {"region": "cells", "region_key": "region", "instance_key": "instance_id"}
    store.tables["table"] = adata
    return store
