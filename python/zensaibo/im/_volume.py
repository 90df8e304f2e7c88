"""Volumes: opened without being read."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike, fspath
from typing import Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..errors import ParameterError, ShapeError

_AXES = "tczyx"


class Volume:
    """A volume of (t, c, z, y, x) that is read when it is needed, by regions. Made by `zensaibo.im.open`.

    ``numpy.asarray(volume)`` reads it whole; ``volume[...]`` takes whole numbers and slices (step 1) along the axes that
    it has, reads nothing, and is again a volume.
    """

    def __init__(self, core: _core.Volume) -> None:
        self._core = core

    @property
    def axes(self) -> str:
        """The axes it has, a subset of "tczyx" in that order."""
        return self._core.axes

    @property
    def shape(self) -> tuple[int, ...]:
        """Length along each of `axes`."""
        return tuple(n for axis, n in zip(_AXES, self._core.shape, strict=True) if axis in self.axes)

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.axes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """Number type of the voxels."""
        return np.dtype(self._core.dtype)

    @property
    def spacing(self) -> tuple[float, float, float] | None:
        """Micrometres per voxel along z, y and x; None when nobody said so."""
        return self._core.spacing

    @property
    def origin(self) -> tuple[float, float, float]:
        """Micrometres from the origin of the sample to the centre of the first voxel, along z, y and x."""
        return self._core.origin

    @property
    def time_step(self) -> float | None:
        """Seconds between time points; None when nobody said so."""
        return self._core.time_step

    @property
    def orientation(self) -> str | None:
        """For each of z, y and x, the side of the body where index 0 lies ("asr"); None when nobody said so."""
        return self._core.orientation

    @property
    def channels(self) -> list[str]:
        """Names of the channels; empty when they have none."""
        return self._core.channels

    @property
    def chunk(self) -> tuple[int, int, int]:
        """Voxels along z, y and x of the pieces in which it is stored; 1 where any length reads as well."""
        return self._core.chunk

    @property
    def name(self) -> str:
        """Where it comes from."""
        return self._core.name

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize

    def __repr__(self) -> str:
        shape = " x ".join(f"{axis} {n}" for axis, n in zip(self.axes, self.shape, strict=True))
        known = [f"Volume({shape}, {self.dtype}"]
        if self.spacing is not None:
            known.append("spacing " + " x ".join(f"{um:g}" for um in self.spacing) + " um")
        if self.orientation is not None:
            known.append(f"orientation {self.orientation}")
        if self.channels:
            known.append("channels " + ", ".join(self.channels))
        return ", ".join(known) + f", from {self.name})"

    def read(self, *, threads: int | None = None, progress: bool | Progress | None = None) -> np.ndarray:
        """All voxels as a numpy array of `shape` and `dtype`."""
        with reporting(progress) as callback:
            return self._core.read(threads, callback).reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        if copy is False:
            raise ValueError("a volume cannot become an array without reading it: expected copy=None or True, found False")
        array = self.read()
        return array if dtype is None else array.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> Volume:
        keys = key if isinstance(key, tuple) else (key,)
        if sum(k is Ellipsis for k in keys) > 1:
            raise ParameterError("parameter `index`: expected at most one ..., found several")
        if Ellipsis in keys:
            at = keys.index(Ellipsis)
            keys = keys[:at] + (slice(None),) * (self.ndim - len(keys) + 1) + keys[at + 1 :]
        if len(keys) > self.ndim:
            raise ParameterError(f"parameter `index`: expected at most {self.ndim} places ({self.axes}), found {len(keys)}")
        start, stop = [0] * 5, list(self._core.shape)
        for axis, k in zip(self.axes, keys, strict=False):
            place = _AXES.index(axis)
            n = self._core.shape[place]
            if isinstance(k, slice):
                first, last, step = k.indices(n)
                if step != 1:
                    raise ParameterError(f"parameter `index`, axis {axis}: expected slices of step 1, found step {step}")
                start[place], stop[place] = first, max(first, last)
            elif isinstance(k, (int, np.integer)):
                if not -n <= k < n:
                    raise ParameterError(f"parameter `index`, axis {axis}: expected a place in {-n}..{n}, found {k}")
                start[place] = int(k) % n
                stop[place] = start[place] + 1
            else:
                raise ParameterError(
                    f"parameter `index`, axis {axis}: expected a whole number or a slice, found {type(k).__name__}"
                )
        return Volume(self._core.part(start, stop))


def open(
    source: Any,
    spacing: Sequence[float] | float | None = None,
    orientation: str | None = None,
    channel: int | str | None = None,
    *,
    axes: str | None = None,
    time_step: float | None = None,
    series: int | None = None,
    level: int | None = None,
) -> Volume:
    """Opens a volume without reading it.

    Parameters
    ----------
    source
        The path of a file or folder, known by content: TIFF, BigTIFF, OME-TIFF, ImageJ hyperstacks, folders of planes (in
        natural order), OME-Zarr 0.4, 0.5 and 0.6rc0, plain Zarr, N5, Imaris, BDV (HDF5 or XML), NIfTI, NRRD, npy; the URL
        (``http://``, ``https://``, ``s3://``) of an OME-Zarr, a plain Zarr array or an HDF5 file. Or a `Volume`; a numpy array (used where it lies: do not change it meanwhile); anything with ``shape``, ``dtype``
        and numpy's indexing, such as a dask or zarr array, which is read region by region.
    spacing
        Micrometres per voxel along z, y and x, or one number for all three. Goes before what the source says.
    orientation
        For each of z, y and x, the side of the body where index 0 lies, such as "asr". Goes before what the source says.
    channel
        Number (negative counts from the end) or name of the one channel to take; all by default.
    axes
        Names of the axes of an array, of "tczyx" in that order. By default "yx", "zyx", "czyx" or "tczyx" by their
        number.
    time_step
        Seconds between time points. Goes before what the source says.
    series
        Which of several images of one file, from 0.
    level
        Level of a pyramid; 0, the default, is the finest.

    Returns
    -------
    Volume

    Raises
    ------
    zensaibo.errors.ParameterError
        A spacing that is not positive and finite, below a nanometre or above a centimetre; an orientation that is not a
        triple of sides; a channel that is not there.
    zensaibo.errors.ShapeError
        An array of fewer than two or more than five axes, or of a number type that voxels do not have.
    zensaibo.errors.FormatError, zensaibo.errors.FileError
        A file that is damaged or cut short, planes that are missing or do not match, a format that is not known.
    """
    if isinstance(source, (str, PathLike)):
        given = None if spacing is None else _triple("spacing", spacing)
        core = _core.Volume.from_path(fspath(source), given, orientation, axes, series, level)
        source, axes = Volume(core), None
    elif series is not None or level is not None:
        raise ParameterError("parameters `series` and `level`: expected None unless `source` is a path")
    volume = source if isinstance(source, Volume) else _from_array(source, axes)
    if isinstance(source, Volume) and axes is not None and axes != source.axes:
        raise ParameterError(f"parameter `axes`: expected {source.axes!r}, the axes of the volume, found {axes!r}")
    if spacing is not None or orientation is not None or time_step is not None:
        core = volume._core
        volume = Volume(
            core.described(
                core.spacing if spacing is None else _triple("spacing", spacing),
                core.origin,
                core.time_step if time_step is None else float(time_step),
                core.orientation if orientation is None else orientation,
                core.channels,
            )
        )
    return volume if channel is None else _channel(volume, channel)


def write(
    volume: Any,
    path: str | PathLike[str],
    *,
    labels: bool = False,
    name: str | None = None,
    version: str = "0.5",
    chunk: Sequence[int] | None = None,
    shard: Sequence[int] | None = None,
    levels: int | None = None,
    compression: str = "blosc-zstd",
    spacing: Sequence[float] | float | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> None:
    """Writes a volume as OME-Zarr, with a pyramid, block by block. It appears whole or not at all.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes.
    path
        The folder to write, which should end in ".ome.zarr"; an OME-Zarr that is there is replaced.
    labels
        Whether voxels are labels (whole numbers): coarser levels then take the most frequent one instead of the mean.
    name
        With `labels`: writes them as ``labels/<name>`` of the OME-Zarr image at `path`, in its version.
    version
        "0.5" (Zarr v3, sharded) or "0.4" (Zarr v2).
    chunk, shard
        Voxels along z, y and x of a chunk, and of a shard (multiples of the chunk); chosen by shape.
    levels
        Levels of the pyramid; by default until no axis is longer than 256 voxels. Axes are halved until they are as
        coarse as the coarsest.
    compression
        "blosc-zstd", "zstd" or "none".
    spacing
        Micrometres per voxel; that of the volume by default.
    memory
        Working memory in bytes or as text ("4GiB"); 1 GiB by default.
    threads
        Threads to use; all cores by default.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Raises
    ------
    zensaibo.errors.ParameterError
        Options out of range, labels that are not whole numbers, something other than a Zarr at `path`.
    zensaibo.errors.FileError
        The disk is full, or nothing may be written there. What was there before stays.
    """
    source = open(volume, spacing)
    if name is not None and not labels:
        raise ParameterError("parameter `name`: expected None unless `labels` is True")
    with reporting(progress) as callback:
        source._core.write(
            fspath(path),
            name,
            labels,
            version,
            None if chunk is None else tuple(chunk),
            None if shard is None else tuple(shard),
            compression,
            levels,
            to_bytes(memory),
            threads,
            callback,
        )


def _from_array(source: Any, axes: str | None) -> Volume:
    shape, dtype = getattr(source, "shape", None), getattr(source, "dtype", None)
    if shape is None or dtype is None:
        source = np.asarray(source)
        shape, dtype = source.shape, source.dtype
    dtype = np.dtype(dtype)
    if dtype.kind not in "buif" or dtype.itemsize > 8:
        raise ShapeError(f"array: expected whole or floating-point numbers of up to 64 bits, found {dtype}")
    if axes is None:
        usual = {2: "yx", 3: "zyx", 4: "czyx", 5: "tczyx"}
        if len(shape) not in usual:
            raise ShapeError(f"array: expected 2 to 5 axes, found {len(shape)} (shape {tuple(shape)})")
        axes = usual[len(shape)]
    as_it_lies = isinstance(source, np.ndarray) and source.flags.c_contiguous and dtype.isnative
    # A mapped file that does not lie as we read it is read by regions; memory is put right at once.
    if isinstance(source, np.ndarray) and (as_it_lies or not _mapped(source)):
        source = np.ascontiguousarray(source, dtype=dtype.newbyteorder("="))
        return Volume(_core.Volume.from_array(_bytes(source), dtype.name, axes, list(source.shape)))

    def fetch(time: int, channel: int, start: Sequence[int], size: Sequence[int]) -> np.ndarray:
        first = {"t": time, "c": channel, "z": start[0], "y": start[1], "x": start[2]}
        length = {"t": 1, "c": 1, "z": size[0], "y": size[1], "x": size[2]}
        index = tuple(slice(first[axis], first[axis] + length[axis]) for axis in axes)
        part = np.asarray(source[index])
        return _bytes(np.ascontiguousarray(part, dtype=dtype.newbyteorder("=")))

    chunks = getattr(source, "chunks", None) or (1,) * len(shape)
    # dask names every chunk, zarr one.
    chunks = [n[0] if isinstance(n, tuple) else n for n in chunks]
    by_axis = dict(zip(axes, chunks, strict=False))
    chunk = [int(by_axis.get(axis, 1)) for axis in "zyx"]
    name = f"{type(source).__module__.split('.')[0]} array"
    return Volume(_core.Volume.from_callable(fetch, name, dtype.name, axes, [int(n) for n in shape], chunk))


def _bytes(array: np.ndarray) -> np.ndarray:
    """The memory of a C-contiguous array."""
    return array.reshape(-1).view(np.uint8)


def _channel(volume: Volume, channel: int | str) -> Volume:
    n = volume._core.shape[1]
    if isinstance(channel, str):
        if channel not in volume.channels:
            present = ", ".join(volume.channels) or "none has a name"
            raise ParameterError(f"parameter `channel`: expected one of the channels ({present}), found {channel!r}")
        channel = volume.channels.index(channel)
    if not -n <= channel < n:
        raise ParameterError(f"parameter `channel`: expected a place in {-n}..{n}, found {channel}")
    start, stop = [0] * 5, list(volume._core.shape)
    start[1] = channel % n
    stop[1] = start[1] + 1
    return Volume(volume._core.part(start, stop))


def _triple(name: str, value: Sequence[float] | float) -> tuple[float, float, float]:
    """One number for all axes, or one for each of z, y and x."""
    array = np.asarray(value, dtype=np.float64)
    if array.ndim == 0:
        array = np.repeat(array, 3)
    if array.shape != (3,):
        raise ParameterError(f"parameter `{name}`: expected one number or three (z, y, x), found {value!r}")
    return float(array[0]), float(array[1]), float(array[2])


def _spacing(volume: Volume, spacing: Sequence[float] | float | None) -> tuple[float, float, float]:
    """The spacing given, else that of the volume, else one micrometre: lengths are then voxels."""
    if spacing is not None:
        return _triple("spacing", spacing)
    return volume.spacing or (1.0, 1.0, 1.0)


def _known(volume: Volume, spacing: Sequence[float] | float | None) -> bool:
    """Whether lengths are micrometres: somebody said how large a voxel is."""
    return spacing is not None or volume.spacing is not None


def _mapped(array: Any) -> bool:
    """Whether an array lies in a file that is mapped into memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap):
            return True
        array = array.base
    return False
