"""Clouds of cells aligned and paired, in obs and obsm; recordings of matched cells beside them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _mudata, arrays
from .._anndata import check_adata, get_obsm
from .._anndata import start as start_adata
from .._provenance import record
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError, TooFewError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData

    from .._progress import Progress
    from ..arrays import Alignment

#: Where the name and unit of the space of the places stand.
_SPACE = "spatial_space"


def align(
    moving: Any,
    fixed: Any,
    *,
    landmarks: Any = None,
    initial: Any = None,
    features: Any = None,
    spatial_key: str = "spatial",
    key_added: str = "align",
    scale: bool = False,
    max_scale: float = 4.0,
    mirror: bool = False,
    deform: str = "nonrigid",
    beta: float | None = None,
    stiffness: float = 4.0,
    max_controls: int = 1500,
    start_width: float | None = None,
    end_width: float = 0.125,
    outliers: float = 0.3,
    gate: float = 0.7,
    min_probability: float = 0.5,
    decoys: int = 8,
    tries: int = 200,
    min_matches: int = 10,
    max_false_rate: float = 0.25,
    feature_width: float | None = None,
    trust: bool = False,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> Alignment:
    """Aligns the cells of `moving` with those of `fixed` and pairs them one to one: live to fixed, round to round, section to
    section, cells to atlas; two or three dimensions.

    Parameters
    ----------
    moving, fixed
        Two AnnData, which are changed in place; or two arrays of places (z, y, x) in micrometres, and nothing is written.
    landmarks
        ``(moving places, fixed places[, weights])``, or an integer array (n, 2) of numbers of cells (moving, fixed). Places
        are in the order of the coordinates: (x, y[, z]) with AnnData.
    initial
        Instead: a homogeneous matrix from the moving to the fixed space, in the same order.
    features
        With AnnData a key of ``obsm`` that both have; else ``(values of moving cells, values of fixed cells)``.
    spatial_key
        Key of ``obsm`` with the places (x, y[, z]).
    key_added
        Start of the keys to write.
    scale, max_scale, mirror, deform, beta, stiffness, max_controls, start_width, end_width, outliers, gate, min_probability
        See `zensaibo.arrays.align_points`; lengths in spacings of the fixed cells.
    decoys, tries, min_matches, max_false_rate, feature_width, trust, seed, threads, progress
        See `zensaibo.arrays.align_points`.

    Returns
    -------
    Alignment
        ``transform`` (forth and back, ``save``, ``to_registration``), ``pairs``, ``probability``, ``false_match_rate``, ``table``,
        ``report()``. With AnnData it also writes:

    ``moving.obsm[spatial_key + "_aligned"]``
        Places in the fixed space.
    ``obs[key_added + "_match"]``
        On both sides: name of the partner, missing for cells without one.
    ``obs[key_added + "_probability"]``, ``obs[key_added + "_distance"]``
        On both sides: that the two are the same cell, and how far they are apart after alignment; NaN without a partner.
    ``moving.uns[key_added]``
        The map (``start``, ``affine`` homogeneous, ``controls``, ``weights``, ``beta``) and the numbers of the report.

    Raises
    ------
    MissingKeyError
        No such key.
    NotTrustworthyError
        No neighbourhood found again, landmarks that fit mirrored or at another scale, no overlap, too few or too many false
        matches; with the reason. Nothing is written.
    ParameterError
        An option out of range, an AnnData beside an array, one AnnData for both sides.
    DataError
        NaN or infinity, sides of other dimensions or units, names that repeat.

    Notes
    -----
    Cost as `zensaibo.arrays.align_points`. The same bits for any number of threads.
    """
    options: dict[str, Any] = dict(
        scale=scale, max_scale=max_scale, mirror=mirror, deform=deform, beta=beta, stiffness=stiffness,
        max_controls=max_controls, start_width=start_width, end_width=end_width, outliers=outliers, gate=gate,
        min_probability=min_probability, decoys=decoys, tries=tries, min_matches=min_matches, max_false_rate=max_false_rate,
        feature_width=feature_width, trust=trust, seed=seed,
    )  # fmt: skip
    with_obs = [hasattr(side, "obsm") for side in (moving, fixed)]
    if not any(with_obs):
        return arrays.align_points(
            moving, fixed, landmarks=landmarks, initial=initial, features=features, threads=threads, progress=progress, **options
        )
    check_adata(moving, "moving")
    check_adata(fixed, "fixed")
    if moving is fixed:
        raise ParameterError("parameter `fixed`: expected another AnnData than `moving`, found the same")
    for name, side in (("moving", moving), ("fixed", fixed)):
        if not side.obs_names.is_unique:
            raise DataError(f"`{name}.obs_names`: expected names that do not repeat, found some that do")
    units = [(side.uns.get(_SPACE) or {}).get("unit") for side in (moving, fixed)]
    if None not in units and units[0] != units[1]:
        raise DataError(f"`uns[{_SPACE!r}]`: expected one unit on both sides, found {units[0]!r} (moving) and {units[1]!r} (fixed)")
    if features is not None:
        if not isinstance(features, str):
            raise ParameterError(f"parameter `features`: expected a key of obsm with AnnData, found {type(features).__name__}")
        features = (get_obsm(moving, features), get_obsm(fixed, features))
    found = arrays.align_points(
        np.asarray(get_obsm(moving, spatial_key)), np.asarray(get_obsm(fixed, spatial_key)),
        landmarks=landmarks, initial=initial, features=features, threads=threads, progress=progress, **options,
    )  # fmt: skip
    for side, other, column in ((moving, fixed, 0), (fixed, moving, 1)):
        start_adata(side, False)
        _store(side, other, found, column, key_added)
    moving.obsm[f"{spatial_key}_aligned"] = found.placed
    transform = found.transform
    report = {name: value for name, value in found.report().items() if name != "faults"}
    moving.uns[key_added] = {
        "start": transform.start,
        "affine": transform.affine,
        "matrix": transform.matrix,
        "controls": transform.controls,
        "weights": transform.weights,
        "beta": transform.beta,
        "axes": "xyz"[: transform.dimensions],
        "report": report,
    }
    for side in (moving, fixed):
        record(side, "align", spatial_key=spatial_key, key_added=key_added, **options)
    return found


def _store(side: AnnData, other: AnnData, found: Alignment, column: int, key_added: str) -> None:
    import pandas as pd

    rows, partners = found.pairs[:, column], found.pairs[:, 1 - column]
    names = np.full(side.n_obs, None, dtype=object)
    names[rows] = np.asarray(other.obs_names, dtype=object)[partners]
    side.obs[f"{key_added}_match"] = pd.Series(names, index=side.obs_names).astype("category")
    for name, values in (("probability", found.probability), ("distance", found.matches.distance)):
        whole = np.full(side.n_obs, np.nan)
        whole[rows] = values
        side.obs[f"{key_added}_{name}"] = whole


def attach_traces(
    fixed: Any,
    traces: AnnData,
    alignment: Any = None,
    *,
    mod: str = "function",
    cells_mod: str = "cells",
    key: str = "align",
    min_probability: float = 0.0,
) -> MuData:
    """Puts recordings of matched cells beside them, as a modality of their own.

    Parameters
    ----------
    fixed
        AnnData of the fixed cells (types, genes), or a MuData that has them as modality `cells_mod`.
    traces
        AnnData of the recorded cells, cells x times, as `zensaibo.io.read_traces` gives it: one row for each moving cell.
    alignment
        What `align` returned for these two; its moving cells are the rows of `traces`. ``None``: partners are read from
        ``traces.obs[key + "_match"]``, which `align` wrote where `traces` was its moving side.
    mod
        Name of the modality to add.
    cells_mod
        Name of the modality of the fixed cells.
    key
        The ``key_added`` of `align`.
    min_probability
        Leave out pairs less probable than this.

    Returns
    -------
    mudata.MuData
        Modality `mod` holds the recordings of the matched cells (cells x times), under the names of their fixed cells;
        its ``obs`` also says ``recorded_as``, ``match_probability`` and ``match_distance``. The fixed cells are shared, not copied.

    Raises
    ------
    ShapeError
        Traces of another number of cells than were aligned.
    TooFewError
        Traces of which no cell has a partner.
    MissingKeyError
        Neither `alignment` nor a column of partners, or partners that are not among the fixed cells.
    ParameterError
        A modality that is there already.
    ImportError
        mudata is not installed (``pip install 'zensaibo[mudata]'``).
    """
    import pandas as pd
    from mudata import MuData

    check_adata(traces, "traces")
    whole = _mudata.is_mudata(fixed)
    cells = _mudata.modality(fixed, cells_mod, name="fixed")[1] if whole else check_adata(fixed, "fixed")
    if mod == cells_mod or (whole and mod in fixed.mod):
        raise ParameterError(f"parameter `mod`: expected the name of a new modality, found {mod!r}, which is there already")
    if alignment is not None:
        if len(alignment.placed) != traces.n_obs:
            raise ShapeError(f"`traces`: expected {len(alignment.placed)} cells, as many as were aligned, found {traces.n_obs}")
        if alignment.pairs.size and alignment.pairs[:, 1].max() >= cells.n_obs:
            raise ShapeError(f"`fixed`: expected the cells that were aligned, found only {cells.n_obs}")
        rows, partners = alignment.pairs[:, 0], alignment.pairs[:, 1]
        probability, distance = alignment.probability, alignment.matches.distance
    else:
        column = f"{key}_match"
        if column not in traces.obs:
            raise MissingKeyError(
                f"key `{column}` not found in traces.obs; pass the `alignment`, or align `traces` themselves; present: "
                + (", ".join(map(str, traces.obs)) or "(nothing)")
            )
        names = traces.obs[column]
        rows = np.flatnonzero(names.notna().to_numpy())
        partners = cells.obs_names.get_indexer(names.iloc[rows].astype(str))
        if (partners < 0).any():
            raise MissingKeyError(
                f"key `{names.iloc[rows[int(np.argmax(partners < 0))]]}` not found in fixed.obs_names; was it aligned with other cells?"
            )
        probability = traces.obs[f"{key}_probability"].to_numpy()[rows]
        distance = traces.obs[f"{key}_distance"].to_numpy()[rows]
    keep = probability >= min_probability
    rows, partners, probability, distance = rows[keep], partners[keep], probability[keep], distance[keep]
    if not len(rows):
        raise TooFewError(
            f"`traces`: expected at least one cell with a partner of probability {min_probability} or more, found none of {traces.n_obs}"
        )
    order = np.argsort(partners, kind="stable")
    rows, partners = rows[order], partners[order]
    matched = traces[rows].copy()
    matched.obs["recorded_as"] = np.asarray(traces.obs_names)[rows]
    matched.obs["match_probability"], matched.obs["match_distance"] = probability[order], distance[order]
    matched.obs_names = pd.Index(np.asarray(cells.obs_names)[partners])
    parts = dict(fixed.mod) if whole else {cells_mod: cells}
    mdata = MuData({**parts, mod: matched})
    if whole:
        mdata.uns.update(fixed.uns)
    record(mdata, "attach_traces", mod=mod, cells_mod=cells_mod, key=key, min_probability=float(min_probability))
    return mdata


