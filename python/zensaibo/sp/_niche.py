"""Niches: kinds of surroundings, as columns of obs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import as_dense, check_adata, get_matrix, get_obs, get_obsm, get_obsp, start
from .._provenance import record
from ..arrays._sketch import _seed, _whole
from ..arrays._spatial_neighbors import libraries_of
from ..arrays._surroundings import _by_row
from ..errors import ParameterError, ShapeError, TooFewError
from ._nhood import _CONNECTIVITIES

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

_FLAVORS = ("neighborhood", "utag", "cellcharter")
#: What cells without a niche are called, as in squidpy.
_NONE = "not_a_niche"
#: Components that wide tables are brought down to, as scanpy's default.
_COMPONENTS = 50


def calculate_niche(
    adata: AnnData,
    flavor: str,
    *,
    library_key: str | None = None,
    mask: Any = None,
    groups: str | None = None,
    n_neighbors: int | None = None,
    resolutions: float | Sequence[float] | None = None,
    min_niche_size: int | None = None,
    scale: bool = True,
    abs_nhood: bool = False,
    distance: int | None = None,
    n_hop_weights: Sequence[float] | None = None,
    aggregation: str | None = None,
    n_components: int | None = None,
    n_init: int = 1,
    use_rep: str | None = None,
    layer: str | None = None,
    seed: int = 0,
    spatial_connectivities_key: str = _CONNECTIVITIES,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Shares cells out to niches: kinds of surroundings in the tissue.

    Parameters
    ----------
    adata
        Annotated data with a graph of neighbours in space.
    flavor
        ``"neighborhood"``: which labels (`groups`) surround a cell, clustered by Leiden. ``"utag"``: mean expression of the neighbours,
        components of it, Leiden. ``"cellcharter"``: expression of the cell and its mean 1, 2, 3 steps away, components, a mixture of
        normal distributions.
    library_key
        Column of ``obs``: niches are found in each library by itself, and their names begin with ``lib=<library>_``.
    mask
        (n,) booleans, or a Series by cell: cells that get a niche; the others count as neighbours alone. ``"neighborhood"`` alone.
    groups
        Column of ``obs`` with a label for every cell. ``"neighborhood"`` needs it, the others refuse it.
    n_neighbors
        Neighbours of the graph that Leiden works on; 15 by default. Not for ``"cellcharter"``.
    resolutions
        One or more resolutions of Leiden; 0.5 by default. Not for ``"cellcharter"``.
    min_niche_size
        Cells of smaller niches become ``"not_a_niche"``.
    scale
        Standardise the profile of labels (mean 0, standard deviation 1). ``"neighborhood"`` alone.
    abs_nhood
        Numbers of neighbours instead of shares. ``"neighborhood"`` alone.
    distance
        Steps along the graph: 1 by default, 3 for ``"cellcharter"``; ``"utag"`` takes 1 alone.
    n_hop_weights
        Weights of the profiles 1, 2, ... steps away. ``"neighborhood"`` alone.
    aggregation
        ``"mean"`` (default) or ``"variance"``. ``"cellcharter"`` alone.
    n_components
        Niches of ``"cellcharter"``; 10 by default.
    n_init
        Starts of its mixture; the most likely one stays.
    use_rep
        Key of ``obsm`` to use instead of the matrix: ``"utag"`` and ``"cellcharter"`` average its columns over neighbours.
    layer
        Layer to use instead of X.
    seed
        Seed of Leiden, of searches for neighbours and of the mixture.
    spatial_connectivities_key
        Key of ``obsp``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes categorical columns of ``obs``, numbered by decreasing size:

    ``nhood_niche_res=<resolution>``, ``utag_niche_res=<resolution>``
        One for each resolution.
    ``cellcharter_niche``
        One.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range, or one that the flavor does not use.
    TooFewError
        A library of fewer than three cells, or of fewer than there are components.
    DataError
        Cells without a label or library, NaN or infinity.

    Notes
    -----
    Wide tables (more than 50 columns) are brought to 50 components first. squidpy differs: ``"neighborhood"`` divides by the
    largest number of neighbours, and ``"cellcharter"`` with ``use_rep`` leaves the surroundings out altogether; its
    ``"spatialleiden"`` is not offered. Costs: see `zensaibo.arrays.neighborhood_profile`, `aggregate_neighbors`, `gaussian_mixture`.

    References
    ----------
    Kim et al., Nature Methods 19 (2022), UTAG; Varrone et al., Nature Genetics 56 (2024), CellCharter.
    """
    check_adata(adata)
    if flavor not in _FLAVORS:
        raise ParameterError(f"parameter `flavor`: expected one of {', '.join(_FLAVORS)}, found {flavor!r}")
    _refuse_unused(
        flavor, groups=(groups, None), mask=(mask, None), n_hop_weights=(n_hop_weights, None), abs_nhood=(abs_nhood, False),
        scale=(scale, True), n_neighbors=(n_neighbors, None), resolutions=(resolutions, None), distance=(distance, None),
        aggregation=(aggregation, None), n_components=(n_components, None), n_init=(n_init, 1), use_rep=(use_rep, None), layer=(layer, None),
    )  # fmt: skip
    if flavor == "neighborhood" and groups is None:
        raise ParameterError("parameter `groups`: expected a column of obs with flavor 'neighborhood', found None")
    if use_rep is not None and layer is not None:
        raise ParameterError("parameters `use_rep`, `layer`: expected at most one of them, found both")
    several = [0.5] if resolutions is None else list(np.atleast_1d(np.asarray(resolutions, dtype=object)))
    if not several or not all(isinstance(r, (int, float, np.number)) and r >= 0 for r in several):
        raise ParameterError(f"parameter `resolutions`: expected numbers of at least 0, found {resolutions!r}")
    if min_niche_size is not None:
        min_niche_size = _whole("min_niche_size", min_niche_size)
    seed = _seed(seed)
    kept = _mask(mask, adata)
    graph = sparse.csr_matrix(get_obsp(adata, spatial_connectivities_key))
    codes, names = libraries_of(
        None if library_key is None else get_obs(adata, library_key), adata.n_obs, library_key or "libraries"
    )
    columns = _names(flavor, several)
    labels = {column: np.full(adata.n_obs, _NONE, dtype=object) for column in columns}
    run: dict[str, Any] = {"seed": seed, "threads": threads, "progress": progress}
    matrix: Any = None
    if flavor != "neighborhood":
        matrix = (
            get_matrix(adata, layer=layer)
            if use_rep is None
            else as_dense(get_obsm(adata, use_rep), f"obsm[{use_rep!r}]", np.float64)
        )
    for library, name in enumerate(names):
        cells = np.flatnonzero(codes == library)
        if len(cells) < 3:
            raise TooFewError(f"library {name!r}: expected at least three cells, found {len(cells)}")
        local = sparse.csr_matrix(graph[cells][:, cells])
        if flavor == "neighborhood":
            within = kept[cells]
            profile, _ = arrays.neighborhood_profile(
                local, np.asarray(get_obs(adata, groups or ""))[cells], distance=1 if distance is None else distance,
                n_hop_weights=n_hop_weights, abs_nhood=abs_nhood, threads=threads,
            )  # fmt: skip
            if scale:
                spread = profile.std(axis=0, ddof=1)
                profile = (profile - profile.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
            cells, features = cells[within], profile[within]
            found = _leiden(features, n_neighbors, several, **run)
        elif flavor == "utag":
            mean = _by_row(local) @ matrix[cells]
            found = _leiden(_reduced(mean, **run), n_neighbors, several, **run)
        else:
            rows = arrays.aggregate_neighbors(
                local,
                matrix[cells],
                distance=3 if distance is None else distance,
                aggregation=aggregation or "mean",
                threads=threads,
            )
            many = 10 if n_components is None else _whole("n_components", n_components)
            if many > len(cells):
                raise TooFewError(f"library {name!r}: expected at least {many} cells for {many} components, found {len(cells)}")
            mixture = arrays.gaussian_mixture(_reduced(rows, **run), n_components=many, n_init=n_init, **run)
            found = [mixture.labels]
        start_of_name = "" if library_key is None else f"lib={name}_"
        for column, codes_found in zip(columns, found, strict=True):
            sizes = np.bincount(codes_found)
            large = sizes[codes_found] >= (min_niche_size or 0)
            texts = np.array([f"{start_of_name}{code}" for code in range(len(sizes))], dtype=object)
            labels[column][cells[large]] = texts[codes_found[large]]
    adata = start(adata, copy)
    for column in columns:
        adata.obs[column] = pd.Categorical(labels[column], categories=_in_order(labels[column], names, library_key is not None))
        adata.uns.pop(f"{column}_colors", None)
    record(
        adata, "calculate_niche", flavor=flavor, library_key=library_key, groups=groups, n_neighbors=n_neighbors,
        resolutions=[float(r) for r in several], min_niche_size=min_niche_size, scale=scale, abs_nhood=abs_nhood, distance=distance,
        n_hop_weights=None if n_hop_weights is None else [float(w) for w in n_hop_weights], aggregation=aggregation,
        n_components=n_components, n_init=n_init, use_rep=use_rep, layer=layer, seed=seed, masked=mask is not None,
        spatial_connectivities_key=spatial_connectivities_key,
    )  # fmt: skip
    return adata if copy else None


#: Options that only some flavors use.
_USED = {
    "neighborhood": {"groups", "mask", "n_hop_weights", "abs_nhood", "scale", "n_neighbors", "resolutions", "distance"},
    "utag": {"n_neighbors", "resolutions", "use_rep", "layer"},
    "cellcharter": {"distance", "aggregation", "n_components", "n_init", "use_rep", "layer"},
}


def _refuse_unused(flavor: str, **given: tuple[Any, Any]) -> None:
    for name, (value, default) in given.items():
        if name not in _USED[flavor] and value is not default and value != default:
            raise ParameterError(
                f"parameter `{name}`: expected its default with flavor {flavor!r}, which does not use it, found {value!r}"
            )


def _mask(mask: Any, adata: AnnData) -> np.ndarray:
    if mask is None:
        return np.ones(adata.n_obs, dtype=bool)
    values = mask.reindex(adata.obs_names).to_numpy() if isinstance(mask, pd.Series) else np.asarray(mask)
    if values.shape != (adata.n_obs,) or not all(isinstance(value, (bool, np.bool_)) for value in values):
        raise ShapeError(
            f"`mask`: expected one boolean for each of {adata.n_obs} cells, found shape {values.shape}, dtype {values.dtype}"
        )
    return values.astype(bool)


def _names(flavor: str, resolutions: Sequence[Any]) -> list[str]:
    if flavor == "cellcharter":
        return ["cellcharter_niche"]
    return [f"{'nhood' if flavor == 'neighborhood' else 'utag'}_niche_res={resolution}" for resolution in resolutions]


def _reduced(features: Any, **run: Any) -> np.ndarray:
    """At most 50 columns."""
    if features.shape[1] > _COMPONENTS:
        most = min(_COMPONENTS, features.shape[0] - 1)
        return arrays.pca(features.astype(np.float32), most, **run).scores.astype(np.float64)
    return features.toarray() if sparse.issparse(features) else np.asarray(features)


def _leiden(features: np.ndarray, n_neighbors: int | None, resolutions: Sequence[Any], **run: Any) -> list[np.ndarray]:
    many = 15 if n_neighbors is None else _whole("n_neighbors", n_neighbors)
    if many < 2:
        raise ParameterError(f"parameter `n_neighbors`: expected at least 2, found {many}")
    if len(features) < 3:
        raise TooFewError(f"niches: expected at least three cells to cluster, found {len(features)}")
    graph = arrays.neighbors_graph(np.ascontiguousarray(features, np.float32), min(many, len(features)), **run).connectivities
    return [arrays.leiden(graph, resolution=float(r), **run).membership.astype(np.int64) for r in resolutions]


def _in_order(labels: np.ndarray, libraries: Sequence[str], prefixed: bool) -> list[str]:
    """Names of niches by library and number, then what is none."""
    used = set(labels)
    numbers = {text.rsplit("_", 1)[-1] if prefixed else text for text in used if text != _NONE}
    ranks = sorted(numbers, key=int)
    starts = [f"lib={name}_" for name in libraries] if prefixed else [""]
    ordered = [f"{first}{number}" for first in starts for number in ranks if f"{first}{number}" in used]
    return ordered + ([_NONE] if _NONE in used else [])
