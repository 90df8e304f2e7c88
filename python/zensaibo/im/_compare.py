"""Groups of animals compared: structure by structure, and voxel by voxel."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _core
from .._memory import to_bytes
from .._options import to_json
from .._progress import Progress, reporting
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError, TooFewError
from ._volume import Volume, _spacing, open

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData

#: Layers with cells and volumes of a side; None is X.
_SIDES = {"both": (None, "volume"), "left": ("left", "left_volume"), "right": ("right", "right_volume")}


def compare_regions(
    table: AnnData,
    groups: str | Mapping[str, Any] | Sequence[Any] = "group",
    *,
    reference: Any = None,
    group: Any = None,
    covariates: Sequence[str] = (),
    offset: str | None = "volume",
    side: str = "both",
    dispersion: float | None = None,
    min_cells: float = 10.0,
    coverage: float = 0.95,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Which structures hold more or fewer cells in one group of samples than in another.

    Cells of a structure follow a negative binomial distribution with a logarithmic mean that is linear in group and
    covariates. One dispersion serves all structures; what each varies beyond it is drawn towards that of the others
    (quasi-likelihood), which is what makes a test of few animals possible.

    Parameters
    ----------
    table
        Of `region_table`: samples x structures.
    groups
        Column of ``table.obs``, or for each sample its group (by name, or in their order).
    reference
        The group that is compared to; the first (of the categories, or sorted) by default.
    group
        The group that is compared; the other one by default. Of three or more all samples enter the fit.
    covariates
        Columns of ``table.obs`` to account for: numbers as they are, anything else by category.
    offset
        "volume": densities are compared, in the volume that a structure takes in each sample. "total": shares of all cells in
        the atlas. None: numbers of cells.
    side
        "both", "left" or "right".
    dispersion
        Of the negative binomial distribution (0: Poisson); by default estimated from the finest structures that are tested.
    min_cells
        Cells in all samples together below which a structure is not tested.
    coverage
        Of the confidence intervals.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    pandas.DataFrame, one row per structure in the order of the table
        ``id``, ``acronym``, ``structure_name``, ``parent_id``, ``depth``; ``mean_reference``, ``mean_group`` (cells per sample),
        ``density_reference``, ``density_group`` (cells of all samples per mm3 of all); ``log2_fold_change`` (infinite where a
        group has no cell), ``std_err``, ``ci_low``, ``ci_high``; ``t`` (root of F, with the sign of the effect), ``df``,
        ``p_value``, ``quasi_dispersion``. Corrected: ``fdr`` (Benjamini and Hochberg over all structures), ``fdr_tree``
        (Yekutieli: parts are tested where the whole was found; the rate among the parts of one whole), ``fwer_tree``
        (Meinshausen: the chance of any false finding in the tree). Along the tree a structure with parts is found when it or
        any of its parts differs. NaN where nothing was tested. ``attrs``: ``reference``,
        ``group``, ``dispersion``, ``prior_df``, ``prior_variance``, ``finest`` (structures they come from), ``coefficients``.

    Raises
    ------
    zensaibo.errors.TooFewError
        A group of one sample, no more samples than coefficients, no structure with cells enough.
    zensaibo.errors.ParameterError
        Groups that are not there, samples without a group, options out of range.
    zensaibo.errors.DataError
        Covariates that are collinear with the groups, cells that are not whole numbers, a table without its layers.

    Notes
    -----
    Wholes and their parts hold the same cells, so their tests depend on each other: `fwer_tree` holds for any dependence;
    `fdr_tree` at level q bounds the rate over the whole tree by about 2.88 q if tests are independent. A whole is judged by its
    own test and by those of the finest structures in it together (by Simes for `fdr_tree`, by Bonferroni for `fwer_tree`;
    twice the smaller p-value), so that an effect in a small part is not lost in the sum. Nothing is random.
    References: Lund et al. 2012 (quasi-likelihood); McCarthy, Chen and Smyth 2012 (adjusted profile likelihood); Yekutieli 2008;
    Meinshausen 2008; Benjamini and Hochberg 1995.
    """
    import pandas as pd

    if side not in _SIDES:
        raise ParameterError(f"parameter `side`: expected 'both', 'left' or 'right', found {side!r}")
    if offset not in ("volume", "total", None):
        raise ParameterError(f"parameter `offset`: expected 'volume', 'total' or None, found {offset!r}")
    cells_layer, volume_layer = _SIDES[side]
    lacking = [layer for layer in (cells_layer, volume_layer) if layer is not None and layer not in table.layers]
    lacking += [column for column in ("id", "acronym", "structure_name", "parent_id", "depth") if column not in table.var]
    if lacking:
        raise DataError(f"table: expected one of region_table, found no {lacking[0]!r}")
    members, reference, group = _groups(table, groups, reference, group)
    design, names = _design(table, members, reference, group, covariates)
    counts = _dense(table.X if cells_layer is None else table.layers[cells_layer])
    volumes = _dense(table.layers[volume_layer])
    structures = table.var[["id", "acronym", "structure_name", "parent_id", "depth"]].reset_index(drop=True)
    rows = {own: row for row, own in enumerate(structures["id"])}
    parents = [rows.get(parent) for parent in structures["parent_id"]]
    offsets = np.zeros_like(counts)
    with np.errstate(divide="ignore"):
        if offset == "volume":
            offsets = np.log(volumes)
        elif offset == "total":
            whole = [row for row, parent in enumerate(parents) if parent is None]
            offsets = np.repeat(np.log(counts[:, whole].sum(axis=1))[:, None], counts.shape[1], axis=1)
    options = to_json(
        dispersion=None if dispersion is None else float(dispersion), min_cells=float(min_cells), coverage=float(coverage)
    )
    with reporting(progress) as callback:
        found = _core.im_compare_regions(
            np.ascontiguousarray(counts),
            np.ascontiguousarray(offsets),
            np.ascontiguousarray(design),
            names,
            list(map(str, table.obs_names)),
            1,
            parents,
            options,
            threads,
            callback,
        )
    attrs = {key: found.pop(key) for key in ("dispersion", "prior_df", "prior_variance", "finest")}
    with np.errstate(divide="ignore", invalid="ignore"):
        for which, name in ((reference, "reference"), (group, "group")):
            inside = members == which
            structures[f"mean_{name}"] = counts[inside].mean(axis=0)
            structures[f"density_{name}"] = counts[inside].sum(axis=0) / volumes[inside].sum(axis=0)
    out = pd.concat([structures, pd.DataFrame(found)], axis=1)
    out.attrs.update(reference=reference, group=group, coefficients=names, **attrs)
    return out


def _dense(values: Any) -> np.ndarray:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values, dtype=np.float64)


def _groups(table: AnnData, groups: Any, reference: Any, group: Any) -> tuple[np.ndarray, Any, Any]:
    """The group of every sample, and the two that are compared."""
    import pandas as pd

    names = list(map(str, table.obs_names))
    if isinstance(groups, str):
        if groups not in table.obs:
            raise MissingKeyError(f"groups: expected a column of obs ({', '.join(table.obs) or 'none'}), found {groups!r}")
        column = table.obs[groups]
        order = list(column.cat.categories) if hasattr(column, "cat") else None
        members = column.to_numpy(dtype=object)
    elif isinstance(groups, Mapping):
        lacking = [name for name in names if name not in groups]
        if lacking:
            raise ParameterError(f"groups: expected one for every sample, found none for {lacking[0]!r}")
        members, order = np.array([groups[name] for name in names], dtype=object), None
    else:
        members, order = np.array(list(groups), dtype=object), None
        if members.shape != (len(names),):
            raise ShapeError(f"groups: expected one for each of {len(names)} samples, found shape {members.shape}")
    missing = pd.isna(members)
    if missing.any():
        raise ParameterError(f"groups: expected one for every sample, found none for {names[int(np.flatnonzero(missing)[0])]!r}")
    present = set(members)
    held = [name for name in order if name in present] if order is not None else sorted(present, key=lambda name: (str(type(name)), name))
    if len(held) < 2:
        raise TooFewError(f"groups: expected at least two, found {len(held)} ({', '.join(map(str, held))})")
    for name, chosen in (("reference", reference), ("group", group)):
        if chosen is not None and chosen not in present:
            raise ParameterError(f"parameter `{name}`: expected one of {', '.join(map(str, held))}, found {chosen!r}")
    if reference is None:
        reference = next(name for name in held if name != group)
    if group is None:
        others = [name for name in held if name != reference]
        if len(others) > 1:
            raise ParameterError(f"parameter `group`: expected one of {', '.join(map(str, others))}, found None")
        group = others[0]
    if group == reference:
        raise ParameterError(f"parameter `group`: expected another group than the reference, found {group!r}")
    for chosen in (reference, group):
        if (members == chosen).sum() < 2:
            raise TooFewError(f"groups: expected at least two samples in each, found one in {chosen!r}")
    return members, reference, group


def _design(
    table: AnnData, members: np.ndarray, reference: Any, group: Any, covariates: Sequence[str]
) -> tuple[np.ndarray, list[str]]:
    """Samples x coefficients: the mean, the group, other groups, covariates."""
    import pandas as pd

    if isinstance(covariates, str):
        covariates = [covariates]
    others = sorted((name for name in set(members) if name not in (reference, group)), key=str)
    columns = [np.ones(len(members)), *[(members == name).astype(np.float64) for name in (group, *others)]]
    names = ["mean", *[f"group {name}" for name in (group, *others)]]
    for covariate in covariates:
        if covariate not in table.obs:
            raise MissingKeyError(f"covariates: expected columns of obs ({', '.join(table.obs)}), found {covariate!r}")
        values = table.obs[covariate]
        if values.isna().any():
            raise ParameterError(f"covariates: expected {covariate!r} of every sample, found none for {values.index[values.isna()][0]!r}")
        if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
            numbers = values.to_numpy(dtype=np.float64)
            spread = numbers.std() or 1.0
            columns.append((numbers - numbers.mean()) / spread)
            names.append(covariate)
        else:
            text = values.astype(str)
            for level in sorted(text.unique())[1:]:
                columns.append((text == level).to_numpy(dtype=np.float64))
                names.append(f"{covariate} {level}")
    return np.stack(columns, axis=1), names


@dataclass(frozen=True)
class VolumeComparison:
    """What `compare_volumes` returns. Volumes have the grid of those that came in, NaN beyond the mask."""

    #: Mean of the first group less that of the second.
    difference: Volume
    #: The statistic.
    statistic: Volume
    #: P-value of each voxel by itself.
    p_value: Volume
    #: Family-wise error over the mask: of the voxel, or of the cluster that it is in (1 where it is in none).
    p_corrected: Volume
    #: For every shuffle, the observed one first, the largest statistic, or the voxels of the largest cluster.
    largest: np.ndarray
    #: Whether every shuffle was made.
    exact: bool
    #: One row per cluster, the largest first: label, voxels, volume_mm3, peak, z, y, x (um), p_corrected; None without.
    clusters: pd.DataFrame | None
    #: Label of the cluster of each voxel, 0 for none; None without clusters.
    labels: Volume | None

    def __repr__(self) -> str:
        way = "all" if self.exact else "random"
        found = int((np.asarray(self.p_corrected) < 0.05).sum())
        return f"VolumeComparison({len(self.largest)} {way} shuffles, {found} voxels with corrected p < 0.05)"


def compare_volumes(
    volumes_a: Sequence[Any],
    volumes_b: Sequence[Any],
    *,
    mask: Any = None,
    statistic: str = "welch",
    alternative: str = "two-sided",
    n_permutations: int = 1000,
    control: str = "max",
    threshold: float = 3.0,
    seed: int = 0,
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> VolumeComparison:
    """Where volumes of two groups differ, voxel by voxel, judged by shuffling the samples between the groups.

    Parameters
    ----------
    volumes_a, volumes_b
        Volumes of one grid, such as those of `density_volume`: anything that `zensaibo.im.open` takes, at least two each.
    mask
        Where voxels count: not 0 there. The tissue of an atlas (``atlas.annotation > 0``), so that nothing else is corrected for.
    statistic
        "welch": the difference of the means over its standard error, each group with its own variance. "difference": of the
        means.
    alternative
        "two-sided", "greater" (`volumes_a` above) or "less".
    n_permutations
        Shuffles, the observed one among them. Where no more are possible every one is made once, and p-values are exact.
    control
        Of the family-wise error: "max", by the largest statistic (each voxel is judged), or "cluster", by the extent of the
        largest cluster (each cluster is judged).
    threshold
        With "cluster": the statistic beyond which voxels form clusters, touching by faces, edges or corners.
    seed
        Of the shuffles.
    memory
        Working memory in bytes or as text ("4GiB"); 2 GiB by default. Clusters need 4 bytes for each sample and 64 for each voxel
        of the mask besides.
    threads, progress
        See :mod:`zensaibo`. Threads and memory change the time and nothing else.

    Returns
    -------
    VolumeComparison

    Raises
    ------
    zensaibo.errors.TooFewError
        Fewer than two volumes in a group.
    zensaibo.errors.ShapeError
        Volumes or a mask of different shape, with several channels or time points.
    zensaibo.errors.DataError
        Volumes of different spacing, values within the mask that are not finite, an empty mask.
    zensaibo.errors.ParameterError
        Options out of range.

    Warns
    -----
    UserWarning
        So few ways to shuffle that no p-value can fall below 0.05.

    Notes
    -----
    A p-value is the share of shuffles that reach the observed statistic, so at least one over their number. It holds where samples
    could have been in either group if it made no difference. With "welch" smooth the volumes first: variances of few animals
    are noisy. About 2 ns per voxel of the mask, shuffle and sample of the smaller group. References: Nichols and Holmes 2002, Human
    Brain Mapping 15, 1; Winkler et al. 2014, NeuroImage 92, 381.
    """
    import pandas as pd

    options = to_json(
        statistic=statistic,
        alternative=alternative,
        n_permutations=n_permutations,
        control=control,
        threshold=float(threshold),
        seed=seed,
    )
    sources = [open(volume) for volume in (*volumes_a, *volumes_b)]
    first = len(volumes_a)
    if first < 2 or len(sources) - first < 2:
        raise TooFewError(f"volumes: expected at least two in each group, found {first} and {len(sources) - first}")
    known = [source.spacing for source in sources if source.spacing is not None]
    for spacing in known[1:]:
        if not np.allclose(spacing, known[0], rtol=1e-4):
            raise DataError(f"volumes: expected one spacing, {known[0]} um, found {spacing} um")
    inside = None
    if mask is not None:
        inside = np.asarray(mask if isinstance(mask, np.ndarray) else open(mask))
        if inside.ndim != 3:
            raise ShapeError(f"mask: expected three axes, found shape {inside.shape}")
        inside = np.ascontiguousarray(inside != 0, dtype=np.uint8)
    with reporting(progress) as callback:
        found = _core.im_compare_volumes(
            [source._core for source in sources], first, inside, options, to_bytes(memory), threads, callback
        )
    if found["exact"] and len(found["largest"]) < 20:
        n = len(found["largest"])
        text = f"compare_volumes: only {n} ways to shuffle {first} and {len(sources) - first} samples; no p-value is below {1 / n:.2g}"
        warnings.warn(text, stacklevel=2)
    um, orientation = (known[0] if known else None), next((s.orientation for s in sources if s.orientation), None)

    def volume(name: str) -> Volume:
        return open(found[name], um, orientation)

    clusters = labels = None
    if "clusters" in found:
        voxel = np.array(_spacing(sources[0], um))
        rows = found["clusters"]
        places = np.array([row[2] for row in rows], dtype=np.float64).reshape(-1, 3) * voxel
        clusters = pd.DataFrame(
            {
                "label": np.arange(1, len(rows) + 1),
                "voxels": [row[0] for row in rows],
                "volume_mm3": np.array([row[0] for row in rows], dtype=np.float64) * np.prod(voxel) * 1e-9,
                "peak": [row[1] for row in rows],
                "z": places[:, 0],
                "y": places[:, 1],
                "x": places[:, 2],
                "p_corrected": [row[3] for row in rows],
            }
        )
        labels = volume("labels")
    return VolumeComparison(
        difference=volume("difference"),
        statistic=volume("statistic"),
        p_value=volume("p_value"),
        p_corrected=volume("p_corrected"),
        largest=found["largest"],
        exact=found["exact"],
        clusters=clusters,
        labels=labels,
    )
