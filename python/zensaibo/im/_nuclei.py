"""Nuclei of dense stains and organoids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from .._provenance import record
from .._shared import call
from ..errors import ParameterError
from ._shapes import _frame
from ._spatial import store_places
from ._volume import _known, _spacing, open

if TYPE_CHECKING:
    import anndata as ad


def segment_nuclei(
    volume: Any,
    *,
    diameter: float,
    channel: int | str = 0,
    spacing: Sequence[float] | float | None = None,
    smoothing: float = 0.1,
    scale: float = 0.2,
    merge_depth: float = 0.1,
    contour_level: float = 0.45,
    background_width: float = 2.0,
    min_contrast: float | None = None,
    noise_factor: float = 5.0,
    min_rim: float = 0.85,
    min_rise: float = 0.35,
    min_volume: float | None = None,
    max_volume: float | None = None,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> tuple[np.ndarray, ad.AnnData]:
    """Finds, divides and measures the nuclei of a dense stain, at every time point.

    The background is an opening of the smoothed volume; each summit of a difference of Gaussians is one nucleus, with the
    voxels from which the steepest way leads there; summits with a shallow saddle between them are one; the contour lies at a
    share of each nucleus' own brightness above the background; what is not darker all around is no nucleus.

    Parameters
    ----------
    volume
        Anything that `zensaibo.im.open` takes.
    diameter
        Typical diameter of a nucleus in micrometres; all scales follow from it.
    channel
        Number or name of the channel that shows the nuclei. Intensities are measured in all channels.
    spacing
        Micrometres per voxel; that of the volume by default, and 1 where it has none (lengths are then voxels).
    smoothing
        Standard deviation of the smoothing before the contour is drawn, as a share of the diameter.
    scale
        Standard deviation of the finer Gaussian whose difference from a coarser one has a summit for each nucleus, as a
        share of the diameter. Larger joins more.
    merge_depth
        Two summits are one nucleus where the saddle between them is less than this share below the lower one.
    contour_level
        Where the contour lies between background (0) and the brightest place of the nucleus (1).
    background_width
        Width of the opening that estimates the background, as a multiple of the diameter.
    min_contrast
        Least brightness above the background; None for `noise_factor` times the noise that smoothing leaves. That
        default knows the noise of the camera alone: set it where the tissue itself is grainy and false nuclei appear.
    noise_factor
        Standard deviations of the noise that a voxel must stand out when `min_contrast` is None.
    min_rim
        Least share of the surface beyond which it is darker: a nucleus is a hill, and what is bright on one side of an edge
        (tissue beside a crack) is none. Surface shared with other nuclei, and what the border of the volume hides, does not
        count. 0 keeps all.
    min_rise
        Least share of its contrast by which a nucleus that the border of the volume cuts is brighter than the background around
        it: the upper quartile at the nuclei within six diameters, of which there must be four. A sliver of tissue between a
        crack and the border is a hill above the crack and no brighter than other tissue. Lower it where dim nuclei at the
        border lie beside bright layers; 0 keeps all.
    min_volume
        Least volume in cubic micrometres; None for a tenth of a ball of the diameter.
    max_volume
        Greatest volume in cubic micrometres; None for any.
    memory
        Working memory for blocks in bytes or as text ("4GiB"); 2 GiB by default. Beside it one time point is held with
        25 bytes per voxel; within `zensaibo.dist.use`, of a volume in a file, the labels alone.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    labels : numpy.ndarray of uint32, (z, y, x), or (t, z, y, x) for a volume with time
        0 for background, else the number of the nucleus, from 1 at each time point.
    cells : anndata.AnnData, one row for each nucleus
        `X`: mean intensity in each channel; `obs`: the columns of `zensaibo.im.region_properties`; `obsm["spatial"]`:
        centroids (x, y, z) in micrometres from the centre of the first voxel plus the origin of the volume;
        `uns["spatial_space"]` (its unit is "voxel" where no spacing is known); `uns["segment_nuclei"]`: spacing, noise and least contrast by time point.

    Raises
    ------
    zensaibo.errors.ParameterError
        Options out of range; a channel that is not there.
    zensaibo.errors.DataError
        NaN or infinity in the volume.
    zensaibo.errors.LimitError
        2^32 voxels or more in a frame; memory that does not hold one block.

    Examples
    --------
    >>> labels, cells = zs.im.segment_nuclei("organoid.ome.zarr", diameter=9)
    >>> zs.im.write(labels, "organoid.ome.zarr", labels=True, name="nuclei")  # beside the image, as viewers expect
    """
    import anndata as ad

    volume = open(volume)
    picked = open(volume, channel=channel)
    number = volume.channels.index(channel) if isinstance(channel, str) else int(channel) % volume._core.shape[1]
    used = _spacing(volume, spacing)
    options = {
        "diameter": diameter,
        "smoothing": smoothing,
        "scale": scale,
        "merge_depth": merge_depth,
        "contour_level": contour_level,
        "background_width": background_width,
        "min_contrast": min_contrast,
        "noise_factor": noise_factor,
        "min_rim": min_rim,
        "min_rise": min_rise,
        "min_volume": min_volume,
        "max_volume": max_volume,
    }
    with reporting(progress) as callback:
        flat, found = call(
            _core.im_segment_nuclei, volume._core, number, to_json(**options), used, to_bytes(memory), threads, callback
        )
    shape = tuple(n for axis, n in zip(picked.axes, picked.shape, strict=True) if axis != "c")
    obs = _frame(volume, [table for table, _, _ in found])
    means = [column for column in obs.columns if column.startswith("mean_")]
    names = [column.removeprefix("mean_") for column in means]
    if len(set(names)) != len(names):
        raise ParameterError(f"volume: expected channels of different names, found {names}")
    cells = ad.AnnData(obs[means].to_numpy(np.float32), obs=obs.set_index(np.arange(len(obs)).astype(str)))
    cells.var_names = names
    store_places(cells, obs[["z", "y", "x"]].to_numpy(np.float64) + np.asarray(volume.origin), known=_known(volume, spacing))
    cells.uns["segment_nuclei"] = {
        "spacing": np.array(used),
        "noise": np.array([noise for _, noise, _ in found]),
        "min_contrast": np.array([contrast for _, _, contrast in found]),
    }
    record(cells, "segment_nuclei", **options, channel=channel, spacing=list(used))
    return flat.reshape(shape), cells
