"""Imaged cells joined to typed ones: by place, by the markers that were imaged, or by a map that was made before."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsm
from .._provenance import record
from ..arrays import Alignment, PointTransform
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError, TooFewError
from ..im import Registration
from ._spaces import Spaces

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

_SPACE = "spatial_space"
#: Options of one way alone, with their defaults: given with another they would do nothing.
_ONLY: dict[str, dict[str, Any]] = {
    "place": {"transform": None, "one_to_one": True, "gate": 0.7, "min_probability": 0.5},
    "markers": {"markers": None, "n_neighbors": 30, "smooth": 0, "use_rep": "X_pca"},
    "mapping": {"mapping": "map_weights"},
}


def join_cells(
    imaged: AnnData,
    typed: AnnData,
    *,
    by: str = "place",
    labels: str | Sequence[str] = (),
    genes: Sequence[str] | None = None,
    key_added: str = "join",
    min_confidence: float = 0.0,
    spatial_key: str = "spatial",
    typed_spatial_key: str = "spatial",
    transform: Any = None,
    one_to_one: bool = True,
    gate: float = 0.7,
    min_probability: float = 0.5,
    markers: Mapping[str, str] | Sequence[str] | None = None,
    imaged_layer: str | None = None,
    layer: str | None = None,
    n_neighbors: int = 30,
    smooth: int = 0,
    use_rep: str = "X_pca",
    mapping: Any = "map_weights",
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Joins cells of an image to cells of known type, and gives them types and genes.

    Parameters
    ----------
    imaged
        Cells of a volume, as `zensaibo.im.segment_nuclei` gives them. Not changed.
    typed
        Cells with types and genes: sequenced, or of a section. Not changed.
    by
        ``"place"``: cells of both lie in one space, or `transform` brings them there. ``"markers"``: what was imaged is compared with the
        expression of the same genes. ``"mapping"``: by weights between cells that were found before.
    labels
        Columns of ``typed.obs`` to carry over.
    genes
        Genes of ``typed`` to carry over, as weighted means; None for none.
    key_added
        Start of the keys to write.
    min_confidence
        Labels less sure than this are left missing.
    spatial_key, typed_spatial_key
        By place: keys of ``obsm`` with (x, y[, z]) on the two sides.
    transform
        By place: from the space of the imaged cells to that of the typed ones: a `PointTransform`, an `Alignment` (both in the order of
        AnnData), a homogeneous matrix on (x, y[, z], 1), or a `zensaibo.im.Registration`; or `Spaces` that know both spaces by the names in
        ``uns["spatial_space"]``. None: they share one.
    one_to_one
        By place: no typed cell has two partners, and pairs are the likeliest set as a whole. Otherwise each imaged cell takes all typed
        cells within the gate, by probability.
    gate
        By place: partners are at most so many times the median distance of neighbouring typed cells apart.
    min_probability
        By place, one to one: least probability of a pair. Otherwise: least probability that a cell has a partner at all.
    markers
        By markers: for names of ``imaged.var_names`` the gene of ``typed.var_names``, or names that are the same on both sides; all those by
        default.
    imaged_layer, layer
        Layers to use instead of X, of the imaged and of the typed cells (markers, genes). Typed values should be normalised and logged.
    n_neighbors
        By markers: typed cells that vote on each imaged one.
    smooth
        By markers: typed values are averaged over so many neighbours in `use_rep` first, for genes of which a cell has few counts. 0: not at all.
    use_rep
        By markers: key of ``typed.obsm`` for `smooth`.
    mapping
        By mapping: a sparse or dense matrix imaged x typed of weights of at least 0, or the key of ``imaged.obsm`` that holds it (as
        `zensaibo.sp.map_cells` writes it). Rows are scaled to sum to 1.
    seed
        By place: seed of the displaced copies that estimate false pairs.
    threads, progress
        See :mod:`zensaibo`; the result is the same for any number of threads.

    Returns
    -------
    AnnData
        The imaged cells with, JOIN standing for `key_added`: ``obsm["JOIN_weights"]`` (CSR, imaged x typed; rows sum to 1, by place to the probability that there is a
        partner at all), ``obs["JOIN_match"]`` (name of the likeliest typed cell; missing without one), ``obs["JOIN_probability"]`` (its weight),
        ``obs["JOIN_distance"]`` (by place in the unit of the typed side; by markers the mean over neighbours in scaled units), for each label L
        ``obs[L]`` and ``obs[L + "_confidence"]`` (the weight that stands behind it; missing and 0 without any), and ``obsm["JOIN_expression"]`` (DataFrame of `genes`; NaN without
        partner). With `Spaces`, ``obsm[spatial_key + "_" + NAME]`` has the places in the space of the typed cells, and ``uns["spaces"]`` the spaces. ``uns["JOIN"]``: ``by``, ``joined`` (cells with a partner), by place ``false_match_rate``, ``scatter`` and ``share``.

    Raises
    ------
    MissingKeyError
        Columns, genes, markers or keys that are not there.
    ParameterError
        An option of another way than `by`.
    DataError
        Places in other units; disjoint sets of markers; weights below 0 or not finite.
    TooFewError
        No cell found a partner: with what to look at.
    ShapeError
        Weights of another shape.

    Warns
    -----
    UserWarning
        By place: more than a quarter of the pairs is likely false.

    Notes
    -----
    By markers, each is brought to ranks on both sides (normal scores; ties share the mean rank), which takes both to hold about the
    same mixture of cells: brightness has no unit that counts have. By place: see `zensaibo.arrays.match_points`. Time about cells x (log cells + candidates or neighbours).
    """
    check_adata(imaged, "imaged")
    check_adata(typed, "typed")
    if by not in _ONLY:
        raise ParameterError(f"parameter `by`: expected one of {', '.join(_ONLY)}, found {by!r}")
    given: dict[str, Any] = dict(
        transform=transform, one_to_one=one_to_one, gate=gate, min_probability=min_probability, markers=markers, n_neighbors=n_neighbors,
        smooth=smooth, use_rep=use_rep, mapping=mapping,
    )  # fmt: skip
    for other, options in _ONLY.items():
        for name, default in options.items():
            value = given[name]
            if other != by and not (value is default or (isinstance(value, (bool, int, float, str)) and value == default)):
                raise ParameterError(f"parameter `{name}`: expected its default with by={by!r}, which does not use it, found {value!r}")
    if not 0 <= min_confidence <= 1:
        raise ParameterError(f"parameter `min_confidence`: expected 0 to 1, found {min_confidence!r}")
    wanted = [labels] if isinstance(labels, str) else list(labels)
    columns = {label: get_obs(typed, label) for label in wanted}
    report: dict[str, Any] = {"by": by}
    distance: np.ndarray | None = None
    if by == "place":
        weights, distance, more = _by_place(
            imaged, typed, transform, one_to_one, float(gate), float(min_probability), (spatial_key, typed_spatial_key), seed, threads, progress
        )
        report |= more
    elif by == "markers":
        weights, distance, more = _by_markers(imaged, typed, markers, imaged_layer, layer, n_neighbors, smooth, use_rep, threads, progress)
        report |= more
    else:
        weights = _by_mapping(imaged, typed, mapping)
    out = imaged.copy()
    if isinstance(transform, Spaces):
        transform.move(out, _named(typed, "typed"), key=spatial_key)
        transform.to_uns(out)
    best, most = _best(weights)
    names = np.full(imaged.n_obs, None, dtype=object)
    names[best >= 0] = np.asarray(typed.obs_names, dtype=object)[best[best >= 0]]
    out.obs[f"{key_added}_match"] = pd.Series(names, index=out.obs_names).astype("category")
    out.obs[f"{key_added}_probability"] = most
    if distance is not None:
        out.obs[f"{key_added}_distance"] = distance
    report["joined"] = int((best >= 0).sum())
    if not report["joined"]:
        raise TooFewError(
            f"join_cells: expected some cells with a partner by {by}, found none of {imaged.n_obs}"
            + (": is the transform the right way round, mirrored, or in another unit?" if by == "place" else "")
        )
    for label, column in columns.items():
        kinds = pd.Categorical(column)
        known = kinds.codes >= 0
        members = sparse.csr_matrix(
            (np.ones(int(known.sum())), (np.flatnonzero(known), kinds.codes[known])), shape=(typed.n_obs, len(kinds.categories))
        )
        votes = np.asarray((weights @ members).todense())
        code = votes.argmax(axis=1) if votes.shape[1] else np.zeros(len(votes), np.int64)
        sure = votes[np.arange(len(votes)), code] if votes.shape[1] else np.zeros(len(votes))
        code = np.where((sure > 0) & (sure >= min_confidence), code, -1)
        out.obs[label] = pd.Categorical.from_codes(code, categories=kinds.categories)
        out.obs[f"{label}_confidence"] = sure
    if genes is not None:
        listed = [genes] if isinstance(genes, str) else list(genes)
        values = _columns(typed, listed, layer, "genes")
        total = np.asarray(weights.sum(axis=1)).ravel()
        with np.errstate(invalid="ignore", divide="ignore"):
            carried = np.asarray(weights @ values) / total[:, None]
        out.obsm[f"{key_added}_expression"] = pd.DataFrame(carried, index=out.obs_names, columns=listed)
    out.obsm[f"{key_added}_weights"] = weights
    out.uns[key_added] = report
    said = {name: given[name] for name in _ONLY[by] if name not in ("transform", "mapping", "markers")}
    record(
        out, "join_cells", by=by, labels=wanted, key_added=key_added, min_confidence=float(min_confidence), imaged_layer=imaged_layer,
        layer=layer, seed=seed, **said,
    )  # fmt: skip
    return out


def _best(weights: sparse.csr_matrix) -> tuple[np.ndarray, np.ndarray]:
    """Column and value of the largest weight of each row, of equals the first; -1 and 0 for rows without any."""
    best, most = np.full(weights.shape[0], -1), np.zeros(weights.shape[0])
    for row in range(weights.shape[0]):
        part = slice(weights.indptr[row], weights.indptr[row + 1])
        if part.stop > part.start:
            at = int(weights.data[part].argmax())
            if weights.data[part][at] > 0:
                best[row], most[row] = weights.indices[part][at], weights.data[part][at]
    return best, most


def _columns(adata: AnnData, names: Sequence[str], layer: str | None, what: str) -> np.ndarray:
    at = adata.var_names.get_indexer(list(names))
    if (at < 0).any():
        raise MissingKeyError(f"{what}: expected names of var_names, found {names[int(np.argmax(at < 0))]!r}")
    if layer is not None and layer not in adata.layers:
        raise MissingKeyError(f"key `{layer}` not found in layers; present: {', '.join(adata.layers) or '(nothing)'}")
    matrix = (adata.X if layer is None else adata.layers[layer])[:, at]
    return np.asarray(matrix.toarray() if sparse.issparse(matrix) else matrix, dtype=np.float64)


def _by_place(
    imaged: AnnData,
    typed: AnnData,
    transform: Any,
    one_to_one: bool,
    gate: float,
    least: float,
    keys: tuple[str, str],
    seed: int,
    threads: int | None,
    progress: Any,
) -> tuple[sparse.csr_matrix, np.ndarray, dict[str, Any]]:
    here, there = (np.asarray(get_obsm(side, key), dtype=np.float64) for side, key in zip((imaged, typed), keys, strict=True))
    units = [(side.uns.get(_SPACE) or {}).get("unit") for side in (imaged, typed)]
    if None not in units and units[0] != units[1]:
        raise DataError(f"`uns[{_SPACE!r}]`: expected one unit on both sides, found {units[0]!r} (imaged) and {units[1]!r} (typed)")
    if transform is not None:
        here = _moved(here, transform, imaged, typed)
    if here.shape[1] != there.shape[1]:
        raise ShapeError(f"places: expected as many coordinates on both sides, found {here.shape[1]} (imaged) and {there.shape[1]} (typed)")
    found = arrays.match_points(here, there, gate=gate, min_probability=least, seed=seed, threads=threads, progress=progress)
    report = {"false_match_rate": float(found.false_match_rate), "scatter": float(found.scatter), "share": float(found.share)}
    if found.false_match_rate > 0.25 and len(found.pairs):
        warnings.warn(
            f"join_cells: about {100 * found.false_match_rate:.0f} % of the pairs by place are likely false", stacklevel=3
        )
    shape = (imaged.n_obs, typed.n_obs)
    distance = np.full(shape[0], np.nan)
    if one_to_one:
        rows, partners = found.pairs[:, 0], found.pairs[:, 1]
        distance[rows] = found.distance
        return sparse.csr_matrix((found.probability, (rows, partners)), shape=shape), distance, report
    weights = _candidates(here, there, found, least)
    best, _ = _best(weights)
    joined = best >= 0
    distance[joined] = np.linalg.norm(here[joined] - there[best[joined]], axis=1)
    return weights, distance, report


def _candidates(here: np.ndarray, there: np.ndarray, found: arrays.Matches, least: float) -> sparse.csr_matrix:
    """Probabilities of all typed cells within the gate: scattered around a partner, or there by chance as dense as they lie around."""
    from scipy.spatial import cKDTree
    from scipy.special import gamma

    d = here.shape[1]
    tree = cKDTree(there)
    k = min(8, len(there))
    far = tree.query(here, k=[k])[0][:, 0]
    ball = np.pi ** (d / 2) / gamma(d / 2 + 1)
    density = k / (ball * np.maximum(far, 1e-12) ** d)
    spread = max(found.scatter, 1e-9)
    share = min(max(found.share, 1e-6), 1 - 1e-6)
    rows, columns, values = [], [], []
    for row, near in enumerate(tree.query_ball_point(here, found.gate, return_sorted=True)):
        if not near:
            continue
        squares = ((there[near] - here[row]) ** 2).sum(axis=1)
        likely = share * np.exp(-squares / (2 * spread**2)) / (2 * np.pi * spread**2) ** (d / 2)
        chance = (1 - share) * density[row]
        each = likely / (likely.sum() + chance)
        if each.sum() >= least:
            rows += [row] * len(near)
            columns += near
            values += each.tolist()
    return sparse.csr_matrix((values, (rows, columns)), shape=(len(here), len(there)))


def _named(side: AnnData, name: str) -> str:
    found = (side.uns.get(_SPACE) or {}).get("name")
    if found is None:
        raise MissingKeyError(f"key `{_SPACE}` not found in {name}.uns: expected the name of its space, which `transform` leads by")
    return str(found)


def _moved(points: np.ndarray, transform: Any, imaged: AnnData, typed: AnnData) -> np.ndarray:
    if isinstance(transform, Spaces):
        return transform.transform_points(points, _named(imaged, "imaged"), _named(typed, "typed"))
    if isinstance(transform, Alignment):
        transform = transform.transform
    if isinstance(transform, Registration):
        return transform.transform_points(np.ascontiguousarray(points[:, ::-1]), progress=False)[:, ::-1]
    if not isinstance(transform, PointTransform):
        transform = PointTransform.from_matrix(transform)
    return transform.transform_points(points)


def _by_markers(
    imaged: AnnData,
    typed: AnnData,
    markers: Any,
    imaged_layer: str | None,
    layer: str | None,
    n_neighbors: int,
    smooth: int,
    use_rep: str,
    threads: int | None,
    progress: Any,
) -> tuple[sparse.csr_matrix, np.ndarray, dict[str, Any]]:
    if markers is None:
        both = [name for name in imaged.var_names if name in set(typed.var_names)]
        if not both:
            raise DataError(
                f"markers: expected names that both sides have, found none: imaged {', '.join(imaged.var_names[:6])}; typed "
                f"{', '.join(typed.var_names[:6])}, ...: say which channel is which gene"
            )
        pairs = {name: name for name in both}
    elif isinstance(markers, Mapping):
        pairs = {str(channel): str(gene) for channel, gene in markers.items()}
    else:
        pairs = {str(name): str(name) for name in ([markers] if isinstance(markers, str) else markers)}
    if not pairs:
        raise ParameterError("parameter `markers`: expected at least one, found none")
    if not 1 <= n_neighbors <= typed.n_obs:
        raise ParameterError(f"parameter `n_neighbors`: expected 1 to {typed.n_obs}, found {n_neighbors!r}")
    bright = _columns(imaged, list(pairs), imaged_layer, "markers (imaged)")
    level = _columns(typed, list(pairs.values()), layer, "markers (typed)")
    for name, values in (("imaged", bright), ("typed", level)):
        if not np.isfinite(values).all():
            raise DataError(f"markers ({name}): expected finite values, found NaN or infinity")
    if smooth < 0:
        raise ParameterError(f"parameter `smooth`: expected at least 0, found {smooth!r}")
    if smooth:
        near = arrays.knn(np.asarray(get_obsm(typed, use_rep)), min(int(smooth), typed.n_obs), threads=threads, progress=progress)
        level = level[near.indices.astype(np.int64)].mean(axis=1)
    found = arrays.knn_query(_scores(level), _scores(bright), n_neighbors, algorithm="exact", threads=threads, progress=progress)
    indices = found.indices.astype(np.int64)
    n = imaged.n_obs
    # A bell as wide as the furthest neighbour is far: all vote, the nearest most.
    widest = np.maximum(found.distances[:, -1:].astype(np.float64), 1e-6)
    votes = np.exp(-0.5 * (found.distances / widest) ** 2)
    votes /= votes.sum(axis=1, keepdims=True)
    weights = sparse.csr_matrix((votes.ravel(), indices.ravel(), np.arange(n + 1) * n_neighbors), shape=(n, typed.n_obs))
    weights.sort_indices()
    return weights, found.distances.mean(axis=1).astype(np.float64), {"markers": list(pairs), "genes": list(pairs.values()), "smooth": int(smooth)}


def _scores(values: np.ndarray) -> np.ndarray:
    """Normal scores of each column; equal values share their mean rank."""
    from scipy.special import ndtri
    from scipy.stats import rankdata

    n = len(values)
    return np.ascontiguousarray(ndtri((rankdata(values, axis=0) - 0.5) / n), dtype=np.float32)


def _by_mapping(imaged: AnnData, typed: AnnData, mapping: Any) -> sparse.csr_matrix:
    if isinstance(mapping, str):
        if mapping not in imaged.obsm:
            raise MissingKeyError(f"key `{mapping}` not found in imaged.obsm; present: {', '.join(imaged.obsm) or '(nothing)'}")
        mapping = imaged.obsm[mapping]
    weights = sparse.csr_matrix(mapping, dtype=np.float64)
    if weights.shape != (imaged.n_obs, typed.n_obs):
        raise ShapeError(f"mapping: expected imaged x typed, {(imaged.n_obs, typed.n_obs)}, found {weights.shape}")
    if not np.isfinite(weights.data).all() or (weights.data < 0).any():
        raise DataError("mapping: expected finite weights of at least 0, found others")
    weights.eliminate_zeros()
    weights.sort_indices()
    total = np.asarray(weights.sum(axis=1)).ravel()
    scale = np.divide(1.0, total, out=np.zeros_like(total), where=total > 0)
    return sparse.csr_matrix(sparse.diags(scale) @ weights)
