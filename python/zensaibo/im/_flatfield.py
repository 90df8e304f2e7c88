"""Shading: what all images of a microscope share, found and taken away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import ShapeError
from ._volume import open


class FlatField(NamedTuple):
    """Shading that `estimate_flatfield` found: a voxel is ``light * flatfield + darkfield``."""

    #: Share of the light that each place of a plane gets, mean 1: (y, x), or (c, y, x) where the images have channels. float32.
    flatfield: np.ndarray
    #: Counts without light; the same shape. float32.
    darkfield: np.ndarray
    #: Brightness of each image that was looked at, where the flat-field is 1: (images,), or a list for the channels.
    baseline: Any
    #: Images left out because half of them is saturated, for each channel.
    saturated: tuple[int, ...]


def estimate_flatfield(
    images: Any,
    *,
    darkfield: bool = False,
    offset: float = 0.0,
    sort: bool = False,
    smoothness: float = 1.0,
    max_images: int = 200,
    working_size: int = 64,
    saturation: float | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> FlatField:
    """Flat-field and dark-field that all planes share, for each channel.

    Parameters
    ----------
    images
        Anything that `zensaibo.im.open` takes, each of whose planes is an image; or a list of such tiles with the same
        channels, y and x. Some 20 images and more, of places that are not alike.
    darkfield
        Whether a dark-field is estimated: needs images of different brightness. Otherwise it is `offset` everywhere.
    offset
        Counts of the camera in the dark, taken off first.
    sort
        Put the images in order of brightness at each place first: for images that are in part empty ground.
    smoothness
        How far shading is held to few cosines; larger is smoother.
    max_images
        Images that are looked at, at most, spread evenly over all planes.
    working_size
        Places along y and x that an image is reduced to, at most. Larger is slower and follows finer shading.
    saturation
        Voxels at or above this count as saturated; by default the greatest number of 8- and 16-bit types.
    threads
        Threads to use; all cores by default. They change the time and nothing else.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    FlatField
        For `apply_flatfield`.

    Raises
    ------
    zensaibo.errors.ParameterError
        A parameter out of range.
    zensaibo.errors.ShapeError
        Tiles of different sizes.
    zensaibo.errors.DataError
        NaN or infinity, fewer than 3 images that are not saturated, no light, or images of one brightness (a spread below
        1 %) with `darkfield`.

    Notes
    -----
    Peng et al., Nature Communications 8:14836, 2017 (BaSiC), on medians of blocks of voxels, so that small bright cells hardly
    reach the fit. Where tissue always lies in the same part of the images, it cannot be told from shading. Reads
    `max_images` planes of each channel; nothing is random.
    """
    tiles = [open(tile) for tile in images] if isinstance(images, (list, tuple)) else [open(images)]
    options = to_json(
        darkfield=darkfield,
        offset=offset,
        sort=sort,
        smoothness=smoothness,
        max_images=max_images,
        working_size=working_size,
        saturation=saturation,
    )
    with reporting(progress) as callback:
        found = _core.im_estimate_flatfield([tile._core for tile in tiles], options, threads, callback)
    flat, dark, baseline, saturated = zip(*found, strict=True) if found else ((), (), (), ())
    if tiles and "c" in tiles[0].axes:
        return FlatField(np.stack(flat), np.stack(dark), list(baseline), saturated)
    return FlatField(flat[0], dark[0], baseline[0], saturated)


def apply_flatfield(
    volume: Any,
    flatfield: Any,
    darkfield: Any = None,
    *,
    dtype: Any = np.float32,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> np.ndarray:
    """``(volume - darkfield) / flatfield`` for every plane of every time point and channel.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes, of any number type; computed in float32.
    flatfield
        (y, x) for all channels, or (c, y, x); or the `FlatField` of `estimate_flatfield`, which brings its dark-field.
    darkfield
        Counts without light, of the shape of `flatfield` or one number; 0 by default.
    dtype
        Number type of the result; whole numbers are rounded (ties to even) and saturated.
    memory
        Working memory in bytes or as text ("4GiB"), beside input and result; 2 GiB by default.
    threads
        Threads to use; all cores by default. They change the time and nothing else, as does `memory`.
    progress
        True, False, a callable of (stage, done, total), or None for bars where somebody looks.

    Returns
    -------
    numpy.ndarray of the shape of the volume.

    Raises
    ------
    zensaibo.errors.ShapeError
        Fields of another size than the planes, or of another number than the channels.
    zensaibo.errors.DataError
        A flat-field that is not finite and above 0, a dark-field that is not finite, NaN where the result holds whole numbers.

    Notes
    -----
    Runs at the speed of memory.
    """
    volume = open(volume)
    if isinstance(flatfield, FlatField):
        flatfield, darkfield = flatfield.flatfield, flatfield.darkfield if darkfield is None else darkfield
    flat = _field("flatfield", flatfield)
    dark = np.asarray(0.0 if darkfield is None else darkfield, dtype=np.float32)
    dark = np.full_like(flat, dark) if dark.ndim == 0 else _field("darkfield", dark)
    if dark.shape != flat.shape:
        raise ShapeError(f"`darkfield`: expected shape {flat.shape} as the flat-field, found {dark.shape}")
    with reporting(progress) as callback:
        array = _core.im_apply_flatfield(
            volume._core, flat, dark, np.dtype(dtype).name, to_bytes(memory), threads, callback
        )
    return array.reshape(volume.shape)


def _field(name: str, field: Sequence[Any] | np.ndarray) -> np.ndarray:
    array = np.asarray(field, dtype=np.float32)
    if array.ndim not in (2, 3):
        raise ShapeError(f"`{name}`: expected (y, x) or (c, y, x), found {array.ndim} axes (shape {array.shape})")
    return array[np.newaxis] if array.ndim == 2 else array
