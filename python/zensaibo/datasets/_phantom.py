"""A light-sheet volume of nuclei with known truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .. import _core
from .._options import to_json

if TYPE_CHECKING:
    import pandas as pd

    from ..im import Volume


@dataclass(frozen=True)
class PhantomVolume:
    """What `phantom_volume` makes."""

    #: The picture, (z, y, x) uint16; voxels are computed when they are read.
    volume: Volume
    #: The truth, (z, y, x) uint32: 0 outside nuclei, else the label of the nucleus; computed when read, too.
    labels: Volume
    #: One row for each nucleus: label, z, y, x (micrometres), diameter (of the ball of the same volume), radius_1 to
    #: radius_3 (half axes, longest first), intensity, paired.
    cells: pd.DataFrame

    @property
    def centres(self) -> np.ndarray:
        """(n, 3) float64 centres of the nuclei (z, y, x) in micrometres; that of the first voxel is 0."""
        return self.cells[["z", "y", "x"]].to_numpy(np.float64)


def phantom_volume(
    shape: Sequence[int] = (128, 128, 128),
    *,
    spacing: Sequence[float] = (2.0, 2.0, 2.0),
    nuclei: int = 400,
    diameter: float = 16.0,
    diameter_spread: float = 0.1,
    elongation: float = 1.3,
    gap: float = 0.5,
    pairs: float = 0.0,
    pair_gap: float = 0.0,
    intensity: float = 500.0,
    intensity_spread: float = 0.25,
    background: float = 150.0,
    unevenness: float = 0.2,
    psf: Sequence[float] = (2.5, 1.0, 1.0),
    attenuation: float | None = None,
    bleaching: float = 0.0,
    stripes: float = 0.0,
    tile: float | None = None,
    tile_gain: float = 0.0,
    tears: int = 0,
    tear_width: float = 30.0,
    offset: float = 100.0,
    photons: float = 1.0,
    read_noise: float = 5.0,
    seed: int = 0,
) -> PhantomVolume:
    """A light-sheet volume of nuclei whose places, sizes and labels are known.

    Ellipsoids in tissue that shines by itself, seen through a microscope that blurs and loses light, and a camera
    that adds noise. Every defect is off, or mild, unless asked for.

    Parameters
    ----------
    shape
        Voxels (z, y, x).
    spacing
        Micrometres per voxel (z, y, x).
    nuclei
        How many nuclei; those whose centre falls into a tear are taken out again.
    diameter, diameter_spread
        Mean diameter in micrometres, and its relative standard deviation (cut at two of them).
    elongation
        Longest over shortest axis of the most elongated nucleus, 1 to 3.
    gap
        Least gap between nuclei in micrometres, along the line of their centres.
    pairs, pair_gap
        Share of the nuclei that come in touching pairs, and the gap within a pair (below 0 they overlap).
    intensity, intensity_spread
        Mean brightness above the background in counts, and its relative standard deviation.
    background, unevenness
        Light of the tissue in counts, and its relative swing over some ten diameters.
    psf
        Standard deviations of the blur along z, y and x in micrometres.
    attenuation
        Depth along z in micrometres over which light falls to 1/e; None for clear tissue.
    bleaching
        Share of the light that is lost from the first to the last exposure.
    stripes
        Relative standard deviation of the brightness of lines along x (shadows in the light sheet).
    tile, tile_gain
        Edge of a tile in y and x in micrometres (None: one tile), and the relative spread of their brightness.
    tears, tear_width
        Cracks through the tissue, and their width in micrometres.
    offset, photons, read_noise
        The camera: counts in the dark, photons per count (0: no shot noise), standard deviation of its own noise.
    seed
        The same seed gives the same voxels, in whatever regions and by whatever threads they are read.

    Returns
    -------
    PhantomVolume: ``volume``, ``labels`` (both read like a file, of any size, holding nothing but the nuclei) and
    ``cells``, in the order of z, y, x.

    Raises
    ------
    zensaibo.errors.ParameterError
        Options out of range; more nuclei than find room.

    Examples
    --------
    >>> phantom = zs.datasets.phantom_volume((40, 120, 120), spacing=(5, 2, 2), nuclei=60, seed=1)
    >>> zs.im.write(phantom.volume, "phantom.ome.zarr")  # any size, in bounded memory
    """
    import pandas as pd

    from ..im import Volume

    options = to_json(
        shape=list(shape),
        spacing=list(spacing),
        nuclei=nuclei,
        diameter=diameter,
        diameter_spread=diameter_spread,
        elongation=elongation,
        gap=gap,
        pairs=pairs,
        pair_gap=pair_gap,
        intensity=intensity,
        intensity_spread=intensity_spread,
        background=background,
        unevenness=unevenness,
        psf=list(psf),
        attenuation=attenuation,
        bleaching=bleaching,
        stripes=stripes,
        tile=tile,
        tile_gain=tile_gain,
        tears=tears,
        tear_width=tear_width,
        offset=offset,
        photons=photons,
        read_noise=read_noise,
        seed=seed,
    )
    picture, labels, table = _core.im_phantom(options)
    centre, radii = table["centre"].reshape(-1, 3), table["radii"].reshape(-1, 3)
    cells = pd.DataFrame(
        {
            "label": np.arange(1, len(centre) + 1, dtype=np.uint32),
            **{axis: centre[:, place] for place, axis in enumerate("zyx")},
            "diameter": 2 * np.cbrt(radii.prod(1)),
            **{f"radius_{place + 1}": radii[:, place] for place in range(3)},
            "intensity": table["intensity"],
            "paired": table["paired"],
        }
    )
    return PhantomVolume(Volume(picture), Volume(labels), cells)
