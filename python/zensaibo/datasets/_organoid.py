"""An organoid in which expression depends on position: imaged, and sequenced with loss; the truth of both is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .._provenance import record
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

    from ..im import Volume

#: Half axes of the body over its mean radius, longest first.
_AXES = np.array([1.16, 1.0, 0.86])
#: Types of cells, and the normalised depth around which each is most frequent; those of the pole lie by angle.
_TYPES = ("rim", "outer", "middle", "inner", "pole")
_DEPTHS = np.array([0.06, 0.34, 0.62, 0.9])
#: Degrees from the tip of the longest axis within which cells of the outer half are of the pole.
_POLE = 32.0
#: Genes that stand in the image, and what they are; their names are those of the channels.
_IMAGED = (("RIM1", "rim"), ("INN1", "inner"), ("MID1", "middle"), ("POL1", "pole"))
#: Genes that mark each type, beside the imaged ones.
_MARKERS = 12


@dataclass(frozen=True)
class PhantomOrganoid:
    """What `phantom_organoid` makes."""

    #: The image, (c, z, y, x) uint16: "nuclei" and the imaged genes.
    volume: Volume
    #: True labels of the nuclei, (z, y, x) uint32: row of `truth` + 1.
    nuclei: np.ndarray
    #: Where there is tissue: (z, y, x) bool.
    tissue: np.ndarray
    #: Numbers of the lumens, (z, y, x) uint32, from 1.
    lumens: np.ndarray
    #: All cells x genes: transcripts of each cell before any loss (CSR float32). ``obs``: `cell_type`, `z`, `y`, `x` (um), `depth`,
    #: `to_lumen` (um), `rho` (0 at the surface, 1 at a lumen), `axis_angle` (degrees), `diameter` (um); ``obsm["spatial"]`` (x, y, z). ``var``: see `phantom_organoid`.
    truth: AnnData
    #: Dissociated cells x genes, with loss of cells and of transcripts, in random order. ``obs``: `cell_type`, and of the truth
    #: `true_cell` (its name), `true_rho`, `true_axis_angle`; no place.
    sequenced: AnnData


def phantom_organoid(
    cells: int = 1400,
    *,
    spacing: Sequence[float] = (1.5, 1.0, 1.0),
    radius: float = 58.0,
    lumens: int = 2,
    diameter: float = 6.5,
    genes: int = 400,
    channels: int = 2,
    gradient: float = 2.0,
    transcripts: float = 6000.0,
    recovery: float = 0.6,
    capture: float = 0.3,
    noise: float = 0.03,
    seed: int = 0,
) -> PhantomOrganoid:
    """A spheroid with lumens whose cells express by depth and angle: as a microscope sees it, and as a sequencer does.

    Parameters
    ----------
    cells
        How many; nuclei keep a diameter from centre to centre.
    spacing
        Micrometres per voxel (z, y, x).
    radius
        Mean radius in micrometres; the body is an ellipsoid, turned at random, with half axes of 1.16, 1 and 0.86 of it.
    lumens
        0; 1: a large one in the middle; 2: and a small one beside it.
    diameter
        Mean diameter of nuclei in micrometres.
    genes
        How many, at least 150: 4 that can be imaged, 12 that mark each type, an eighth that change with depth, an eighth with angle, and others.
    channels
        1 to 4 imaged genes (RIM1, INN1, MID1, POL1: of these types), each a channel beside "nuclei".
    gradient
        By how much genes change from surface to lumen, or from tip to tip: log2. Types stay.
    transcripts
        Median of a cell before loss.
    recovery
        Share of the cells that survive dissociation.
    capture
        Share of the transcripts of those that are sequenced.
    noise
        Standard deviation of the camera's noise relative to a bright nucleus; photons add theirs.
    seed
        The same seed makes the same organoid. Places, expression, image and loss have streams of their own.

    Returns
    -------
    PhantomOrganoid
        ``truth.var`` and ``sequenced.var``: `kind` ("imaged", "marker", "depth", "angle", "other"), `marker_of` (type, missing for others), `slope` (log2 from surface
        to lumen, or from the angle 0 to 180; 0 for others).

    Raises
    ------
    zensaibo.errors.ParameterError
        Options out of range; more cells than find room.

    Notes
    -----
    Distances of the truth are those to some 60,000 points of each surface, not those of voxels. Some 60 bytes per
    voxel, of which there are 2.2 million at the defaults.
    """
    import anndata as ad
    import pandas as pd
    from scipy import sparse

    from ..im import Volume, gaussian
    from ..im import open as open_volume

    for key, value, low, high in (
        ("cells", cells, 1, 10**6), ("radius", radius, 1, 1e4), ("lumens", lumens, 0, 2), ("diameter", diameter, 0.1, 1e3), ("genes", genes, 150, 10**5),
        ("channels", channels, 1, len(_IMAGED)), ("gradient", gradient, 0, 20), ("transcripts", transcripts, 1, 1e7), ("recovery", recovery, 0, 1),
        ("capture", capture, 0, 1), ("noise", noise, 0, 10),
    ):  # fmt: skip
        if not low <= value <= high:
            raise ParameterError(f"parameter `{key}`: expected {low:g} to {high:g}, found {value!r}")
    um = np.broadcast_to(np.asarray(spacing, dtype=np.float64), 3)
    if not (np.isfinite(um).all() and (um > 0).all()):
        raise ParameterError(f"parameter `spacing`: expected micrometres above 0, found {spacing!r}")
    shaping, living, imaging, losing = (np.random.default_rng(part) for part in np.random.SeedSequence(seed).spawn(4))

    half = radius * _AXES
    turn = np.linalg.qr(shaping.normal(size=(3, 3)))[0]
    # The longest axis points where its first component is above 0, as measured ones do.
    turn[:, 0] *= np.sign(turn[0, 0])
    shape = np.ceil((2 * half[0] + 14) / um).astype(int)
    middle = (shape - 1) * um / 2
    bodies = [(middle, half)]
    if lumens:
        bodies.append((middle, 0.4 * half))
    if lumens == 2:
        bodies.append((middle + turn @ (np.array([0.66, 0.0, 0.0]) * half), np.full(3, 0.15 * radius)))

    def scaled(points: np.ndarray, body: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        """1 on the surface of a body, less inside."""
        return np.linalg.norm((points - body[0]) @ turn / body[1], axis=-1)

    from scipy.spatial import cKDTree

    trees = [cKDTree(body[0] + (_directions(60_000) * body[1]) @ turn.T) for body in bodies]
    points = _scatter(int(cells), diameter, bodies, scaled, trees, shaping)
    order = np.lexsort((points[:, 2], points[:, 1], points[:, 0]))
    points = points[order]
    n = len(points)
    depth = trees[0].query(points)[0]
    to_lumen = np.min([tree.query(points)[0] for tree in trees[1:]], axis=0) if lumens else np.full(n, np.inf)
    rho = depth / (depth + to_lumen) if lumens else depth / (half[2])
    cosine = (points - middle) @ turn[:, 0] / np.maximum(np.linalg.norm(points - middle, axis=1), 1e-9)
    angle = np.degrees(np.arccos(np.clip(cosine, -1, 1)))

    kinds = np.abs(rho[:, None] + living.normal(0, 0.05, (n, 1)) - _DEPTHS).argmin(axis=1)
    kinds[(angle + living.normal(0, 4, n) < _POLE) & (rho < 0.5)] = 4
    var, log_mean = _genes(int(genes), gradient, living)
    # A gene changes around its mean from one end to the other.
    steps = np.where((var["kind"] == "depth").to_numpy()[None, :], rho[:, None] - 0.5, 0.0)
    steps = np.where((var["kind"] == "angle").to_numpy()[None, :], angle[:, None] / 180 - 0.5, steps)
    rate = np.exp2(log_mean[None, :] + steps * var["slope"].to_numpy()[None, :])
    marks = var["marker_of"].to_numpy(dtype=object)
    own = marks[None, :] == np.array(_TYPES, dtype=object)[kinds][:, None]
    rate *= np.where(own, 2.0**3.2, 1.0)
    share = rate / rate.sum(axis=1, keepdims=True)
    size = transcripts * living.lognormal(0, 0.25, n)
    mean = share * size[:, None]
    whole = living.poisson(mean * living.gamma(8.0, 1 / 8.0, mean.shape))

    names = pd.Index([f"cell_{row}" for row in range(1, n + 1)])
    across = diameter * np.clip(shaping.normal(1.0, 0.08, n), 0.8, 1.2)
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical.from_codes(kinds, list(_TYPES)),
            **{axis: points[:, a] for a, axis in enumerate("zyx")},
            "depth": depth,
            "to_lumen": to_lumen,
            "rho": rho,
            "axis_angle": angle,
            "diameter": across,
        },
        index=names,
    )
    truth = ad.AnnData(sparse.csr_matrix(whole.astype(np.float32)), obs=obs, var=var)
    truth.obsm["spatial"] = np.ascontiguousarray(points[:, ::-1])
    truth.uns["spatial_space"] = {"name": "sample", "unit": "micrometer", "axes": "xyz"}
    truth.uns["simulated"] = True

    survivors = losing.permutation(n)[: round(recovery * n)]
    kept = losing.binomial(whole[survivors], capture)
    sequenced = ad.AnnData(
        sparse.csr_matrix(kept.astype(np.float32)),
        obs=pd.DataFrame(
            {
                "cell_type": obs["cell_type"].to_numpy()[survivors],
                "true_cell": names[survivors].to_numpy(dtype=object),
                "true_rho": rho[survivors],
                "true_axis_angle": angle[survivors],
            },
            index=pd.Index([f"seq_{row}" for row in range(1, len(survivors) + 1)]),
        ),
        var=var.copy(),
    )
    sequenced.uns["simulated"] = True

    grid = np.stack(np.meshgrid(*(np.arange(k) * step for k, step in zip(shape, um, strict=True)), indexing="ij"), axis=-1)
    inside = scaled(grid, bodies[0]) <= 1
    holes = np.zeros(tuple(shape), dtype=np.uint32)
    for number, body in enumerate(bodies[1:], 1):
        holes[scaled(grid, body) <= 1] = number
    tissue = inside & (holes == 0)
    del grid
    bright = np.ones((channels + 1, n))
    bright[0] = imaging.lognormal(0, 0.15, n)
    for channel in range(channels):
        # Protein follows the mean of its gene, with a scatter of its own.
        level = share[:, channel] / np.quantile(share[:, channel], 0.98)
        bright[channel + 1] = level * imaging.lognormal(0, 0.2, n)
    labels, light = _drawn(points, across, bright, shape, um)
    picture = np.empty((channels + 1, *shape), dtype=np.uint16)
    for channel in range(channels + 1):
        glow = light[channel] + 0.06 * tissue
        blurred = gaussian(glow.astype(np.float32), sigma=(1.4, 0.6, 0.6), spacing=tuple(um), progress=False)
        photons = imaging.poisson(np.maximum(blurred, 0) * 600.0)
        counts = 100 + photons + imaging.normal(0, 600 * noise, blurred.shape)
        picture[channel] = np.clip(np.round(counts), 0, 65535).astype(np.uint16)
    core = open_volume(picture, tuple(um.tolist()), axes="czyx")._core
    named = core.described(core.spacing, core.origin, None, None, ["nuclei", *(name for name, _ in _IMAGED[:channels])])
    options = dict(
        cells=cells, spacing=um.tolist(), radius=radius, lumens=lumens, diameter=diameter, genes=genes, channels=channels,
        gradient=gradient, transcripts=transcripts, recovery=recovery, capture=capture, noise=noise, seed=seed,
    )  # fmt: skip
    for made in (truth, sequenced):
        record(made, "phantom_organoid", **options)
    return PhantomOrganoid(Volume(named), labels, tissue, holes, truth, sequenced)


def _directions(n: int) -> np.ndarray:
    """Unit vectors on an even spiral."""
    z = 1 - (2 * np.arange(n) + 1) / n
    angle = np.pi * (3 - np.sqrt(5)) * np.arange(n)
    flat = np.sqrt(1 - z**2)
    return np.column_stack([z, flat * np.cos(angle), flat * np.sin(angle)])


def _scatter(n: int, apart: float, bodies: Any, scaled: Any, trees: Any, rng: np.random.Generator) -> np.ndarray:
    """Places in the tissue, `apart` from each other and half of it from every surface."""
    from scipy.spatial import cKDTree

    reach = bodies[0][1].max()
    # Where centres may lie: bodies less, cavities more half of what keeps cells apart.
    room = 4 / 3 * np.pi * (np.prod(np.maximum(bodies[0][1] - apart / 2, 0)) - sum(np.prod(body[1] + apart / 2) for body in bodies[1:]))
    most = int(0.35 * max(room, 0.0) / (np.pi / 6 * apart**3))
    if n > most:
        # Balls thrown at random fill at most some 38 %.
        raise ParameterError(f"parameter `cells`: expected a number that finds room, at most {most}, found {n}")
    kept = np.zeros((0, 3))
    for _ in range(100):
        drawn = bodies[0][0] + rng.uniform(-reach, reach, (20 * n, 3))
        drawn = drawn[scaled(drawn, bodies[0]) < 1]
        for body in bodies[1:]:
            drawn = drawn[scaled(drawn, body) > 1]
        for tree in trees:
            drawn = drawn[tree.query(drawn)[0] >= 0.5 * apart]
        if len(kept):
            drawn = drawn[cKDTree(kept).query(drawn)[0] >= apart]
        near = cKDTree(drawn).query_pairs(apart, output_type="ndarray")
        gone = np.zeros(len(drawn), dtype=bool)
        for first, second in near[np.lexsort((near[:, 1], near[:, 0]))]:
            if not gone[first]:
                gone[second] = True
        kept = np.concatenate([kept, drawn[~gone]])
        if len(kept) >= n:
            return kept[:n]
    raise ParameterError(f"parameter `cells`: expected a number that finds room, at most {len(kept)}, found {n}")


def _genes(n: int, gradient: float, rng: np.random.Generator) -> tuple[Any, np.ndarray]:
    """The genes, and the log2 of the mean of each."""
    import pandas as pd

    kind, names = ["imaged"] * len(_IMAGED), [name for name, _ in _IMAGED]
    marker: list[str | None] = [of for _, of in _IMAGED]
    for of in _TYPES:
        kind += ["marker"] * _MARKERS
        marker += [of] * _MARKERS
    graded = n // 8
    kind += ["depth"] * graded + ["angle"] * graded
    kind += ["other"] * (n - len(kind))
    marker += [None] * (n - len(marker))
    names += [f"GENE{number:04d}" for number in range(len(names) + 1, n + 1)]
    kinds = np.array(kind, dtype=object)
    slope = np.where(np.isin(kinds, ["depth", "angle"]), np.where(np.arange(n) % 2 == 0, gradient, -gradient), 0.0)
    log_mean = rng.normal(0.0, 1.3, n)
    log_mean[: len(_IMAGED)] = 1.0
    var = pd.DataFrame(
        {
            "kind": pd.Categorical(kinds, categories=["imaged", "marker", "depth", "angle", "other"]),
            "marker_of": pd.Categorical(marker, categories=list(_TYPES)),
            "slope": slope,
        },
        index=pd.Index(names),
    )
    return var, log_mean


def _drawn(
    points: np.ndarray, across: np.ndarray, bright: np.ndarray, shape: np.ndarray, um: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Balls with soft edges: labels, and light of each channel."""
    labels = np.zeros(tuple(shape), dtype=np.uint32)
    nearest = np.ones(tuple(shape), dtype=np.float32)
    light = np.zeros((len(bright), *shape), dtype=np.float32)
    step = float(np.cbrt(um.prod()))
    for row, (centre, wide) in enumerate(zip(points, across, strict=True)):
        reach = wide / 2 + step
        low = np.maximum(np.ceil((centre - reach) / um), 0).astype(int)
        high = np.minimum(np.floor((centre + reach) / um) + 1, shape).astype(int)
        box = tuple(map(slice, low, high))
        squares = [((np.arange(a, b) * um[k] - centre[k]) ** 2) for k, (a, b) in enumerate(zip(low, high, strict=True))]
        far = np.sqrt(squares[0][:, None, None] + squares[1][None, :, None] + squares[2]) / (wide / 2)
        mine = far < nearest[box]
        labels[box][mine] = row + 1
        nearest[box][mine] = far[mine]
        covered = np.clip((1 - far) * (wide / 2) / step + 0.5, 0, 1).astype(np.float32)
        for channel in range(len(bright)):
            np.maximum(light[channel][box], covered * bright[channel, row], out=light[channel][box])
    return labels, light
