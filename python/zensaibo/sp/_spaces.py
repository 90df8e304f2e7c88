"""Named spaces and the maps between them: a graph, along whose edges places travel forth and back."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import _core
from .._anndata import check_adata
from ..arrays import Alignment, PointTransform
from ..errors import DataError, FileError, FormatError, MissingKeyError, ParameterError, ShapeError
from ..im import Registration, load_registration
from ..im._stored import written

if TYPE_CHECKING:
    from anndata import AnnData

    from ..io import SpatialStore

_FORMAT = "zensaibo spaces"
#: Where the graph stands in an AnnData.
_KEY = "spaces"


class Edge(NamedTuple):
    """A map from one space to another."""

    source: str
    """The space that it leads from."""
    target: str
    """The space that it leads to."""
    transform: PointTransform | Registration
    """The map itself; a matrix is held as a `PointTransform`."""
    axes: str
    """Order of the coordinates that it takes: "xyz" or "zyx" (or "xy", "yx")."""

    @property
    def is_linear(self) -> bool:
        """Whether a matrix says all of it."""
        return isinstance(self.transform, PointTransform) and self.transform.is_linear


class Spaces:
    """Named spaces, and maps between them as edges.

    Places are (n, 2) of (x, y) or (n, 3) of (x, y, z), as in an AnnData, in the unit of their space. A map leads both ways; what lies
    several edges apart is reached along the fewest.

    Examples
    --------
    >>> spaces = zs.sp.Spaces()
    >>> spaces.add("live", "fixed", zs.sp.align(live, fixed))                    # doctest: +SKIP
    >>> spaces.add("fixed", "atlas:allen", registration)                         # doctest: +SKIP
    >>> spaces.transform_points(live.obsm["spatial"], "live", "atlas:allen")     # doctest: +SKIP
    """

    def __init__(self) -> None:
        self._edges: list[Edge] = []

    def __repr__(self) -> str:
        return f"Spaces({', '.join(self.names) or 'none'}; {len(self._edges)} maps)"

    @property
    def names(self) -> list[str]:
        """The spaces, in the order in which they came."""
        return list(dict.fromkeys(name for edge in self._edges for name in (edge.source, edge.target)))

    @property
    def edges(self) -> list[Edge]:
        """The maps, in the order in which they came."""
        return list(self._edges)

    def add(self, source: str, target: str, transform: Any, *, axes: str | None = None) -> None:
        """Adds a map.

        Parameters
        ----------
        source, target
            Names of spaces, such as "sample" and "atlas:allen"; new or known.
        transform
            A homogeneous matrix (D + 1, D + 1), a `PointTransform`, an `Alignment` (from its moving to its fixed space), or a
            `zensaibo.im.Registration` (from its moving to its fixed volume).
        axes
            Order of the coordinates of a matrix, transform or alignment: "xyz" (default) as with AnnData, or "zyx" as with plain arrays
            of `zensaibo.im`. A registration takes "zyx" always.

        Raises
        ------
        zensaibo.errors.ParameterError
            One space for both, a map that joins them already, something that is no map.
        zensaibo.errors.DataError
            A matrix without inverse.
        """
        source, target = str(source), str(target)
        if source == target or not source or not target:
            raise ParameterError(f"parameter `target`: expected another space than {source!r}, found {target!r}")
        if any({edge.source, edge.target} == {source, target} for edge in self._edges):
            raise ParameterError(f"parameter `target`: expected spaces that no map joins yet, found {source!r} and {target!r}")
        if isinstance(transform, Alignment):
            transform = transform.transform
        if isinstance(transform, Registration):
            if axes not in (None, "zyx"):
                raise ParameterError(f"parameter `axes`: expected 'zyx' of a registration, found {axes!r}")
            axes = "zyx"
        elif not isinstance(transform, PointTransform):
            if not hasattr(transform, "__len__"):
                raise ParameterError(f"parameter `transform`: expected a matrix or a map, found {type(transform).__name__}")
            transform = PointTransform.from_matrix(transform)
        dimensions = 3 if isinstance(transform, Registration) else transform.dimensions
        letters = "xyz"[:dimensions]
        axes = letters if axes is None else axes
        if axes not in (letters, letters[::-1]):
            raise ParameterError(f"parameter `axes`: expected {letters!r} or {letters[::-1]!r}, found {axes!r}")
        self._edges.append(Edge(source, target, transform, axes))

    def path(self, source: str, target: str) -> list[tuple[Edge, bool]]:
        """The maps from one space to another, each with whether it is taken backwards; empty for one space.

        Raises
        ------
        zensaibo.errors.MissingKeyError
            A space that is not there, or none that leads on.
        """
        names = self.names
        for name in (source, target):
            if name not in names and not (source == target):
                raise MissingKeyError(f"key `{name}` not found in the spaces; present: {', '.join(names) or '(none)'}")
        before: dict[str, tuple[str, Edge, bool]] = {}
        seen, queue = {source}, [source]
        while queue and target not in seen:
            here = queue.pop(0)
            for edge in self._edges:
                for start, end, inverse in ((edge.source, edge.target, False), (edge.target, edge.source, True)):
                    if start == here and end not in seen:
                        seen.add(end)
                        before[end] = (here, edge, inverse)
                        queue.append(end)
        if target not in seen:
            raise MissingKeyError(f"no way from space {source!r} to {target!r}; reached: {', '.join(sorted(seen))}")
        way: list[tuple[Edge, bool]] = []
        while target != source:
            target, edge, inverse = before[target]
            way.append((edge, inverse))
        return way[::-1]

    def transform_points(self, points: Any, source: str, target: str, *, threads: int | None = None) -> np.ndarray:
        """Places (n, D) of (x, y[, z]) in `source` as places in `target`.

        Parameters
        ----------
        points
            (n, 2) or (n, 3), finite.
        source, target
            Names of spaces.
        threads
            Number of threads; ``None`` for all cores. The result is the same for any number.

        Returns
        -------
        (n, D) float64; NaN where a map has no way back.
        """
        places = np.ascontiguousarray(points, dtype=np.float64)
        if places.ndim != 2 or places.shape[1] not in (2, 3):
            raise ShapeError(f"points: expected (n, 2) or (n, 3), found shape {places.shape}")
        for edge, inverse in self.path(source, target):
            if len(edge.axes) != places.shape[1]:
                raise ShapeError(
                    f"points: expected {len(edge.axes)} coordinates, as the map from {edge.source!r} to {edge.target!r} has, found {places.shape[1]}"
                )
            # What an earlier map lost stays lost; maps take finite places alone.
            known = np.isfinite(places).all(axis=1)
            step = -1 if edge.axes[0] != "x" else 1
            out = np.full_like(places, np.nan)
            if known.any():
                there = np.ascontiguousarray(places[known][:, ::step])
                if isinstance(edge.transform, Registration):
                    mapped = edge.transform.transform_points(there, inverse, threads=threads, progress=False)
                else:
                    mapped = edge.transform.transform_points(there, inverse, threads=threads)
                out[known] = mapped[:, ::step]
            places = out
        return places

    def matrix(self, source: str, target: str) -> np.ndarray | None:
        """The homogeneous matrix (D + 1, D + 1) on (x, y[, z], 1) from one space to another; None where a map between them bends."""
        whole: np.ndarray | None = None
        for edge, inverse in self.path(source, target):
            if not edge.is_linear:
                return None
            assert isinstance(edge.transform, PointTransform)
            one = edge.transform.matrix
            if edge.axes[0] != "x":
                d = len(edge.axes)
                turn = np.eye(d + 1)[[*range(d)[::-1], d]]
                one = turn @ one @ turn
            one = np.linalg.inv(one) if inverse else one
            whole = one if whole is None else one @ whole
        return np.eye(4) if whole is None else whole

    def move(self, adata: AnnData, target: str, *, source: str | None = None, key: str = "spatial", key_added: str | None = None) -> None:
        """Writes the places of an AnnData in another space.

        Parameters
        ----------
        adata
            With ``obsm[key]``.
        target
            The space to go to.
        source
            The space of the places; by default the name in ``uns["spatial_space"]``.
        key
            Key of ``obsm`` to read.
        key_added
            Key of ``obsm`` to write; by default ``key + "_" + target``.
        """
        check_adata(adata)
        if key not in adata.obsm:
            raise MissingKeyError(f"key `{key}` not found in obsm; present: {', '.join(adata.obsm) or '(nothing)'}")
        if source is None:
            source = (adata.uns.get("spatial_space") or {}).get("name")
            if source is None:
                raise MissingKeyError('key `spatial_space` not found in uns: say which space the places are in (`source`)')
        moved = self.transform_points(np.asarray(adata.obsm[key]), str(source), target)
        adata.obsm[f"{key}_{target}" if key_added is None else key_added] = moved

    def to_uns(self, adata: AnnData, key: str = _KEY) -> None:
        """Writes all spaces and maps into ``adata.uns[key]``, as text and, of registrations, arrays; h5ad and Zarr hold them."""
        check_adata(adata)
        entry: dict[str, Any] = {}
        listed = []
        for number, edge in enumerate(self._edges):
            said: dict[str, Any] = {"source": edge.source, "target": edge.target, "axes": edge.axes}
            if isinstance(edge.transform, Registration):
                core = edge.transform._core
                said["registration"] = f"map_{number}"
                entry[f"map_{number}"] = {
                    "vectors": core.vectors(),
                    "field_spacing": np.array(core.field_spacing),
                    "affine": np.asarray(core.affine),
                    "shapes": np.array([core.fixed[0], core.moving[0]], dtype=np.int64),
                    "spacings": np.array([core.fixed[1], core.moving[1]], dtype=np.float64),
                    "origin": np.array(core.origin),
                    "quality": core.quality,
                }
            else:
                said["map"] = edge.transform._held
            listed.append(said)
        entry["graph"] = json.dumps({"format": _FORMAT, "version": 1, "edges": listed})
        adata.uns[key] = entry

    @classmethod
    def from_uns(cls, adata: AnnData, key: str = _KEY) -> Spaces:
        """The spaces that `to_uns` wrote.

        Raises
        ------
        zensaibo.errors.MissingKeyError, zensaibo.errors.FormatError
            No such key, or something else under it.
        """
        check_adata(adata)
        if key not in adata.uns:
            raise MissingKeyError(f"key `{key}` not found in uns; present: {', '.join(map(str, adata.uns)) or '(nothing)'}")
        held = adata.uns[key]
        out = cls()
        for said in _listed(held["graph"] if isinstance(held, Mapping) and "graph" in held else "", f"uns[{key!r}]"):
            if "map" in said:
                out.add(said["source"], said["target"], PointTransform(json.dumps(said["map"])), axes=said["axes"])
                continue
            parts = held[said["registration"]]
            fixed, moving = (
                (tuple(int(n) for n in shape), tuple(float(um) for um in spacing))
                for shape, spacing in zip(parts["shapes"], parts["spacings"], strict=True)
            )
            core = _core.Registration(
                np.ascontiguousarray(parts["vectors"], dtype=np.float32),
                tuple(float(um) for um in parts["field_spacing"]),
                np.ascontiguousarray(parts["affine"], dtype=np.float64),
                fixed,
                moving,
                str(parts["quality"]),
                tuple(float(um) for um in parts["origin"]),
            )
            out.add(said["source"], said["target"], Registration(core))
        return out

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a folder, beside and renamed: ``spaces.json``, and of each registration a folder as `Registration.save` makes it.

        Raises
        ------
        zensaibo.errors.FileError
            The folder is there already or cannot be written.
        """

        def make(folder: Path) -> None:
            listed = []
            for number, edge in enumerate(self._edges):
                said: dict[str, Any] = {"source": edge.source, "target": edge.target, "axes": edge.axes}
                if isinstance(edge.transform, Registration):
                    said["registration"] = f"map_{number}"
                    edge.transform.save(folder / f"map_{number}")
                else:
                    said["map"] = edge.transform._held
                listed.append(said)
            text = json.dumps({"format": _FORMAT, "version": 1, "edges": listed}, indent=1)
            (folder / "spaces.json").write_text(text, encoding="utf-8")

        written(path, make)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Spaces:
        """The spaces in a folder that `save` made.

        Raises
        ------
        zensaibo.errors.FileError, zensaibo.errors.FormatError
            No such folder, or one that holds something else.
        """
        folder = Path(path)
        try:
            text = (folder / "spaces.json").read_text(encoding="utf-8")
        except OSError as error:
            raise FileError(f"{folder / 'spaces.json'}: cannot be read ({error})") from None
        out = cls()
        for said in _listed(text, os.fspath(folder)):
            if "map" in said:
                out.add(said["source"], said["target"], PointTransform(json.dumps(said["map"])), axes=said["axes"])
            else:
                out.add(said["source"], said["target"], load_registration(folder / said["registration"]))
        return out

    def into_spatialdata(self, store: SpatialStore, elements: Mapping[str, str]) -> list[str]:
        """Gives elements of a SpatialData store the matrices to all spaces that a linear map leads to.

        Parameters
        ----------
        store
            Of `zensaibo.io.read_spatialdata`, or new; its elements are changed.
        elements
            For names of points, shapes, labels or images the space that their coordinates are in.

        Returns
        -------
        list of str
            Spaces that are reached by a bent map alone: SpatialData holds no such map. `save` keeps them in a folder beside the store.

        Raises
        ------
        zensaibo.errors.MissingKeyError
            Elements or spaces that are not there.
        """
        bent: dict[str, None] = {}
        for name, space in elements.items():
            groups = (store.points, store.shapes, store.labels, store.images)
            element = next((group[name] for group in groups if name in group), None)
            if element is None:
                raise MissingKeyError(f"key `{name}` not found in points, shapes, labels or images of the store")
            if space not in self.names:
                raise MissingKeyError(f"key `{space}` not found in the spaces; present: {', '.join(self.names) or '(none)'}")
            maps: dict[str, np.ndarray] = {}
            for other in self.names:
                try:
                    found = self.matrix(space, other)
                except MissingKeyError:
                    continue
                if found is None:
                    bent[other] = None
                else:
                    maps[other] = found
            size = len(next(iter(matrix for other, matrix in maps.items() if other != space), np.eye(4)))
            maps[space] = np.eye(size)
            element.transforms = maps
        return list(bent)

    @classmethod
    def from_spatialdata(cls, store: SpatialStore) -> Spaces:
        """The spaces of a SpatialData store: each element has one of its own, ``"element:NAME"``, and the maps that it names."""
        out = cls()
        for group in (store.points, store.shapes, store.labels, store.images):
            for name, element in group.items():
                for space, matrix in element.transforms.items():
                    if not any({edge.source, edge.target} == {f"element:{name}", space} for edge in out._edges):
                        out.add(f"element:{name}", space, matrix)
        return out


def _listed(text: Any, where: str) -> list[dict[str, Any]]:
    try:
        held = json.loads(str(text))
    except ValueError:
        held = None
    if not isinstance(held, dict) or held.get("format") != _FORMAT or held.get("version") != 1:
        raise FormatError(f"{where}: expected spaces of version 1, found something else")
    if not all({"source", "target", "axes"} <= set(said) for said in held["edges"]):
        raise DataError(f"{where}: expected maps with source, target and axes, found one without")
    return list(held["edges"])
