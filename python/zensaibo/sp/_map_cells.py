"""`sp.map_cells`: dissociated cells get a place, places get genes and labels."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import as_matrix, check_adata, columns_of, get_matrix, get_obs, get_obsm, start
from .._provenance import record
from ..arrays._neighbors import Algorithm
from ..arrays._spatial_neighbors import places_of
from ..errors import DataError, DuplicateNamesError, MissingKeyError, ParameterError, ShapeError, TooFewError
from ..metrics import imputation_scores

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

#: Shared genes below which a map is drawn with a warning.
_FEW = 10

#: Options of one method alone, with their defaults: given with the other they would do nothing.
_ONLY: dict[str, dict[str, Any]] = {
    "principal_vectors": {"n_neighbors": 50},
    "tangram": {
        "mode": "cells", "cluster_key": None, "n_candidates": 200, "density_prior": "rna_count_based", "lambda_g1": 1.0,
        "lambda_g2": 0.0, "lambda_d": None, "lambda_r": 0.0, "learning_rate": 0.1, "num_epochs": 1000,
    },
}  # fmt: skip


class _Learnt(NamedTuple):
    """A map between the two sides."""

    #: Cells (or clusters) x places, and places x cells (or clusters).
    there: sparse.csr_matrix
    back: sparse.csr_matrix
    #: Similarity of cells, of places; None where the method has none.
    similarity: tuple[np.ndarray, np.ndarray] | None
    #: For `uns`.
    report: dict[str, Any]


def map_cells(
    sc_adata: AnnData,
    sp_adata: AnnData,
    *,
    method: Literal["principal_vectors", "tangram"] = "principal_vectors",
    genes: Sequence[str] | None = None,
    impute: Literal["unmeasured", "all"] | Sequence[str] | None = "unmeasured",
    labels: str | Sequence[str] | None = None,
    held_out: Sequence[str] | int | Literal["each"] | None = None,
    spatial_key: str = "spatial",
    layer: str | None = None,
    sp_layer: str | None = None,
    key_added: str = "map",
    n_components: int | None = None,
    min_cosine: float = 0.3,
    algorithm: Algorithm = "auto",
    n_neighbors: int = 50,
    mode: Literal["cells", "clusters"] = "cells",
    cluster_key: str | None = None,
    n_candidates: int | None = 200,
    density_prior: Any = "rna_count_based",
    lambda_g1: float = 1.0,
    lambda_g2: float = 0.0,
    lambda_d: float | None = None,
    lambda_r: float = 0.0,
    learning_rate: float = 0.1,
    num_epochs: int = 1000,
    min_confidence: float = 0.5,
    seed: int = 0,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Brings dissociated cells and tissue together: cells get a place, places get genes, labels and how sure they are.

    Parameters
    ----------
    sc_adata
        Dissociated cells, changed in place: normalised and logged as the method wants it (``"principal_vectors"`` as usual for both
        sides; ``"tangram"``: at least 0).
    sp_adata
        Cells or spots with places, changed in place.
    method
        ``"principal_vectors"``: the directions that both sides share, and nearest neighbours along them, both ways (SpaGE);
        ``"tangram"``: a distribution over places for each cell such that together they look as the tissue does.
    genes
        Genes to learn from; ``None``: all that both sides have under the same name. Those without variation (``"tangram"``: without
        expression) on a side are left out and named in ``uns``.
    impute
        Genes to predict in space: ``"unmeasured"`` (those that only the cells have), ``"all"`` of the cells', a list, or ``None``.
    labels
        Columns of ``sc_adata.obs`` to carry to the places.
    held_out
        Genes by which the map is judged: a list, which is never learnt from; a number of parts into which the shared genes are dealt, each left out in
        turn; or ``"each"`` gene by itself.
    spatial_key
        Key of ``sp_adata.obsm`` with the places, two or three coordinates.
    layer, sp_layer
        Layers to use instead of X, of the cells and of the tissue.
    key_added
        Start of the keys to write.
    n_components, min_cosine
        See `zensaibo.arrays.principal_vectors`. With ``"tangram"`` they choose the candidates.
    algorithm
        Search of neighbours: ``"exact"``, ``"approximate"`` or ``"auto"`` (exact below 16,384).
    n_neighbors
        ``"principal_vectors"``: nearest cells of the other side that are averaged.
    mode
        ``"tangram"``: map ``"cells"``, or the summed expression of ``"clusters"``.
    cluster_key
        Column of ``sc_adata.obs`` with the clusters, for mode ``"clusters"``.
    n_candidates
        ``"tangram"``: places each cell may go to, the nearest along the principal vectors; ``None``: all, as Tangram itself does. Clusters
        may always go anywhere.
    density_prior
        ``"tangram"``: how the cells should lie: ``"rna_count_based"`` (by the totals of the places), ``"uniform"``, an array that
        sums to 1, or ``None``.
    lambda_g1, lambda_g2, lambda_d, lambda_r, learning_rate, num_epochs
        ``"tangram"``: see `zensaibo.arrays.tangram`.
    min_confidence
        Below this a place or a label counts as doubtful, 0 to 1.
    seed
        Seed of the parts of ``held_out`` and of the start of ``"tangram"``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    AnnData
        The places x the genes of ``impute``, float32 (of ``"tangram"`` sums over cells, as Tangram's ``project_genes`` has them; NaN for places that
        found no cell), with ``obs``, ``obsm[spatial_key]`` and ``uns[key_added]`` of the tissue; ``var["measured"]``, ``var["held_out"]``.
        Beside that it writes, with ``map`` standing for ``key_added``:

    ``sc_adata.obsm[spatial_key + "_mapped"]``
        (n, D) float64: weighted mean of the places that the cell goes to; NaN for cells that found none.
    ``sc_adata.obs["map_spread"]``, ``["map_confidence"]``, ``["map_doubtful"]``
        How far those places are from their mean (root mean square, unit of the places); ``1 - (spread / spread of all places)^2``, from 0
        (anywhere) to 1 (one place); whether that is below ``min_confidence``.
    ``sc_adata.obsm["map_weights"]``
        (n, s) sparse: the weights themselves; rows sum to 1 (absent in mode ``"clusters"``).
    ``sp_adata.obs["map_" + label]``, ``["map_" + label + "_confidence"]``, ``["map_doubtful"]``
        For each of ``labels`` the one of largest weight, and its share; whether any share is below ``min_confidence``, or no cell was
        found.
    ``sp_adata.obsm["map_" + label]``
        DataFrame: shares of all labels.
    ``sp_adata.obsm["map_weights"]``
        (s, n) sparse: weights of the cells at each place. ``"principal_vectors"``: rows sum to 1; ``"tangram"``: the other matrix turned; mode ``"clusters"``:
        a DataFrame with a column for each cluster.
    ``obs["map_similarity"]``
        ``"principal_vectors"``, on both sides: weighted mean cosine to the neighbours.
    ``sp_adata.obs["map_cells"]``
        ``"tangram"``: expected number of cells at the place.
    ``uns["map"]``
        On both sides: ``method``, ``genes``, ``unused_genes``, ``cosines`` of the principal vectors, ``history`` of the loss,
        ``gene_scores`` (cosine of each gene learnt from; ``"tangram"``), ``held_out`` (DataFrame as of `zensaibo.metrics.imputation_scores`).

    Raises
    ------
    MissingKeyError
        No places, no such label, gene or layer.
    TooFewError
        Fewer than two shared genes; the message says how many there are, and whether the names differ in case alone.
    DuplicateNamesError
        A gene that stands twice.
    NotTrustworthyError
        ``"principal_vectors"``: the sides have no direction in common.
    DataError
        NaN or infinity; negative values with ``"tangram"``; cells without a label.
    ParameterError
        An option out of range, or of the other method.

    Warns
    -----
    UserWarning
        Fewer than 10 genes to learn from.

    Notes
    -----
    ``"principal_vectors"``: two PCAs and two searches, 16 ``n_neighbors`` bytes per cell; ``"tangram"``: per epoch 4 multiply-adds per pair and gene, 4 (n +
    2 s) bytes per gene and 45 per pair. No matrix of all cells by all places unless ``n_candidates`` asks for it. The prediction takes 4 bytes per place and gene. With ``held_out`` in
    parts the map is learnt once more for each.

    References
    ----------
    Abdelaal et al., SpaGE, Nucleic Acids Research 48 (2020); Biancalani et al., Tangram, Nature Methods 18 (2021); Li et al., Nature Methods 19 (2022).
    """
    given = dict(
        n_neighbors=n_neighbors, mode=mode, cluster_key=cluster_key, n_candidates=n_candidates, density_prior=density_prior,
        lambda_g1=lambda_g1, lambda_g2=lambda_g2, lambda_d=lambda_d, lambda_r=lambda_r, learning_rate=learning_rate,
        num_epochs=num_epochs,
    )  # fmt: skip
    _check_options(method, given, min_confidence)
    check_adata(sc_adata, "sc_adata")
    check_adata(sp_adata, "sp_adata")
    if sc_adata is sp_adata:
        raise ParameterError("parameter `sp_adata`: expected another AnnData than `sc_adata`, found the same")
    if spatial_key not in sp_adata.obsm:
        present = ", ".join(map(str, sp_adata.obsm.keys())) or "(nothing)"
        raise MissingKeyError(f"key `{spatial_key}` not found in sp_adata.obsm: the tissue needs places; present: {present}")
    places = places_of(get_obsm(sp_adata, spatial_key), f"sp_adata.obsm[{spatial_key!r}]")
    wanted_labels = [labels] if isinstance(labels, str) else list(labels or [])
    columns = {label: get_obs(sc_adata, label) for label in wanted_labels}
    clusters = None
    if mode == "clusters":
        clusters = pd.Categorical(get_obs(sc_adata, str(cluster_key))).remove_unused_categories()
        if (clusters.codes < 0).any():
            raise DataError(f"`sc_adata.obs[{cluster_key!r}]`: expected a cluster for every cell, found cells without one")

    shared = shared_genes(sc_adata, sp_adata)
    train = shared if genes is None else listed(genes, shared, "genes")
    judged = _judged(held_out, shared, train, seed)
    if held_out is not None and not isinstance(held_out, (int, np.integer, str)):
        apart = set(judged[0])
        train = [gene for gene in train if gene not in apart]
    if len(train) < 2:
        raise TooFewError(f"`genes`: expected at least 2 to learn from, found {len(train)} beside those held out")
    if len(train) < _FEW:
        warnings.warn(f"only {len(train)} genes to learn from: a map of so few is seldom sharp", UserWarning, stacklevel=2)
    cells = get_matrix(sc_adata, layer=layer, stream=True)
    tissue = get_matrix(sp_adata, layer=sp_layer, stream=True)

    def columns_from(adata: AnnData, matrix: Any, names: Sequence[str]) -> Any:
        return as_matrix(columns_of(matrix, positions(adata, names)), "X")

    prior = _density(density_prior, tissue, sp_adata.n_obs) if method == "tangram" else None

    def learn(names: list[str]) -> tuple[_Learnt, list[str]]:
        ours, theirs = columns_from(sc_adata, cells, names), columns_from(sp_adata, tissue, names)
        quiet = {"threads": threads, "progress": progress}
        if method == "principal_vectors":
            return _by_vectors(ours, theirs, names, n_components, min_cosine, n_neighbors, algorithm, quiet)
        tangram = {name: given[name] for name in given if name.startswith(("lambda", "learning", "num"))} | {"seed": seed}
        vectors = {"n_components": n_components, "min_cosine": min_cosine}
        return _by_tangram(ours, theirs, names, clusters, n_candidates, prior, vectors, algorithm, tangram, quiet)

    def predict(learnt: _Learnt, names: Sequence[str]) -> np.ndarray:
        values = columns_from(sc_adata, cells, names)
        if clusters is not None:
            values = _summed(values, clusters)
        empty = float("nan") if method == "principal_vectors" else 0.0
        return arrays.weighted_rows(learnt.back, values, empty=empty, threads=threads, progress=progress)

    learnt, used = learn(train)
    learnt_from = set(used)
    tables = []
    for part, names in enumerate(judged):
        left = set(names)
        one = learnt if left.isdisjoint(learnt_from) else learn([gene for gene in train if gene not in left])[0]
        truth = columns_from(sp_adata, tissue, names)
        tables.append(imputation_scores(truth, predict(one, names), genes=names).assign(part=part))

    report: dict[str, Any] = {
        "method": method, "genes": np.asarray(used, dtype=object),
        "unused_genes": np.asarray([gene for gene in train if gene not in learnt_from], dtype=object), **learnt.report,
    }  # fmt: skip
    if tables:
        report["held_out"] = pd.concat(tables)
    imputed = _to_impute(impute, sc_adata, sp_adata, judged[0] if isinstance(held_out, (list, tuple)) else [])
    predicted = predict(learnt, imputed) if imputed else np.zeros((sp_adata.n_obs, 0), np.float32)

    masses = None if clusters is None else np.bincount(clusters.codes).astype(np.float64)
    carried = {}
    for label, column in columns.items():
        if clusters is None:
            carried[label] = arrays.label_shares(learnt.back, column, threads=threads, progress=progress)
        else:
            carried[label] = _through_clusters(learnt.back, clusters, column, masses, threads)
    where = arrays.weighted_places(learnt.there, places, threads=threads, progress=progress)
    whole = np.sqrt(((places - places.mean(axis=0)) ** 2).sum(axis=1).mean())

    # Nothing is written before everything is there.
    start(sc_adata, False)
    start(sp_adata, False)
    row = slice(None) if clusters is None else clusters.codes
    spread = where.spread[row]
    with np.errstate(invalid="ignore", divide="ignore"):
        confidence = np.clip(1 - (spread / whole) ** 2, 0.0, 1.0) if whole > 0 else np.where(np.isnan(spread), np.nan, 1.0)
    confidence = np.nan_to_num(confidence, nan=0.0)
    sc_adata.obsm[f"{spatial_key}_mapped"] = where.places[row]
    sc_adata.obs[f"{key_added}_spread"] = spread
    sc_adata.obs[f"{key_added}_confidence"] = confidence
    sc_adata.obs[f"{key_added}_doubtful"] = confidence < min_confidence
    doubtful = np.asarray(np.diff(learnt.back.indptr) == 0)
    for label, found in carried.items():
        name = f"{key_added}_{label}"
        sp_adata.obs[name] = found.labels
        sp_adata.obs[f"{name}_confidence"] = found.confidence
        sp_adata.obsm[name] = pd.DataFrame(
            found.shares, index=sp_adata.obs_names, columns=[str(category) for category in found.labels.categories]
        )
        doubtful |= found.confidence < min_confidence
    sp_adata.obs[f"{key_added}_doubtful"] = doubtful
    weights_key = f"{key_added}_weights"
    if clusters is None:
        sc_adata.obsm[weights_key] = learnt.there
        sp_adata.obsm[weights_key] = learnt.back
    else:
        sc_adata.obsm.pop(weights_key, None)
        names_of = [str(category) for category in clusters.categories]
        sp_adata.obsm[weights_key] = pd.DataFrame(learnt.back.toarray(), index=sp_adata.obs_names, columns=names_of)
    if learnt.similarity is not None:
        sc_adata.obs[f"{key_added}_similarity"], sp_adata.obs[f"{key_added}_similarity"] = learnt.similarity
    else:
        mass = 1.0 if masses is None else masses
        sp_adata.obs[f"{key_added}_cells"] = np.asarray(learnt.there.T @ (np.ones(learnt.there.shape[0]) * mass)).ravel()
    mapped = _imputed(sp_adata, imputed, predicted, spatial_key, report)
    options = dict(
        method=method, genes=None if genes is None else len(train), impute=impute if isinstance(impute, str) else len(imputed),
        labels=wanted_labels, held_out=held_out if isinstance(held_out, (int, str, type(None))) else len(judged[0]), spatial_key=spatial_key,
        layer=layer, sp_layer=sp_layer, key_added=key_added, n_components=n_components, min_cosine=float(min_cosine),
        algorithm=algorithm, min_confidence=float(min_confidence), seed=int(seed),
        **{name: given[name] if isinstance(given[name], (int, float, str, type(None))) else "given" for name in _ONLY[method]},
    )  # fmt: skip
    for side in (sc_adata, sp_adata, mapped):
        side.uns[key_added] = dict(report)
        record(side, "map_cells", **options)
    return mapped


def _check_options(method: str, given: dict[str, Any], min_confidence: float) -> None:
    if method not in _ONLY:
        raise ParameterError(f"parameter `method`: expected 'principal_vectors' or 'tangram', found {method!r}")
    for other, defaults in _ONLY.items():
        for name, default in defaults.items():
            same = given[name] is default or (not isinstance(given[name], np.ndarray) and given[name] == default)
            if other != method and not same:
                raise ParameterError(f"parameter `{name}`: expected it with method={other!r} alone, found it with {method!r}")
    if given["mode"] not in ("cells", "clusters"):
        raise ParameterError(f"parameter `mode`: expected 'cells' or 'clusters', found {given['mode']!r}")
    if (given["cluster_key"] is None) != (given["mode"] == "cells"):
        raise ParameterError(
            f"parameter `cluster_key`: expected a column of obs with mode='clusters' and none without, found {given['cluster_key']!r} with "
            f"mode={given['mode']!r}"
        )
    if not 0 <= min_confidence <= 1:
        raise ParameterError(f"parameter `min_confidence`: expected a share, 0 to 1, found {min_confidence!r}")


def shared_genes(sc_adata: AnnData, sp_adata: AnnData, least: int = 2) -> list[str]:
    """Genes of the tissue that the cells have too, in the tissue's order."""
    ours, theirs = sc_adata.var_names.astype(str), sp_adata.var_names.astype(str)
    there = set(ours)
    shared = [gene for gene in theirs if gene in there]
    if len(shared) < least:
        alike = len(set(ours.str.upper()) & set(theirs.str.upper()))
        hint = f"; {alike} would agree if case were ignored" if alike > len(shared) else ""
        raise TooFewError(
            f"`sc_adata.var_names`, `sp_adata.var_names`: expected at least {least} shared genes, found {len(shared)} (cells have "
            f"{len(ours)}, such as {', '.join(ours[:3])}; the tissue {len(theirs)}, such as {', '.join(theirs[:3])}){hint}"
        )
    for name, names in (("sc_adata", ours), ("sp_adata", theirs)):
        twice = names[names.duplicated()].intersection(pd.Index(shared))
        if len(twice):
            raise DuplicateNamesError(f"`{name}.var_names`: expected each shared gene once, found {twice[0]!r} several times")
    return shared


def positions(adata: AnnData, genes: Sequence[str]) -> np.ndarray:
    """Columns of genes that are there; others may stand several times."""
    first: dict[str, int] = {}
    for at, name in enumerate(adata.var_names.astype(str)):
        first.setdefault(name, at)
    return np.array([first[gene] for gene in genes], dtype=np.int64)


def listed(genes: Sequence[str], known: Sequence[str], name: str) -> list[str]:
    wanted = list(dict.fromkeys([genes] if isinstance(genes, str) else genes))
    there = set(known)
    missing = [gene for gene in wanted if gene not in there]
    if missing:
        raise MissingKeyError(
            f"key `{missing[0]}` of `{name}` not found among the genes that can serve; {len(missing)} of {len(wanted)} are not there"
        )
    return wanted


def _judged(held_out: Any, shared: list[str], train: list[str], seed: int) -> list[list[str]]:
    """Genes to judge by, in the parts that are left out together."""
    if held_out is None:
        return []
    if isinstance(held_out, str) and held_out == "each":
        return [[gene] for gene in train]
    if isinstance(held_out, (int, np.integer)) and not isinstance(held_out, bool):
        if not 2 <= held_out <= len(train):
            raise ParameterError(f"parameter `held_out`: expected 2 to {len(train)} parts, the number of genes, found {held_out}")
        order = np.random.default_rng(seed).permutation(len(train))
        return [[train[at] for at in np.sort(order[part::held_out])] for part in range(int(held_out))]
    if isinstance(held_out, (str, bool)) or not hasattr(held_out, "__iter__"):
        raise ParameterError(f"parameter `held_out`: expected genes, a number of parts, 'each' or None, found {held_out!r}")
    found = listed(list(held_out), shared, "held_out")
    if not found:
        raise ParameterError("parameter `held_out`: expected at least one gene, found none")
    return [found]


def _to_impute(impute: Any, sc_adata: AnnData, sp_adata: AnnData, judged: list[str]) -> list[str]:
    names = [str(gene) for gene in sc_adata.var_names]
    if impute is None:
        found: list[str] = []
    elif isinstance(impute, str) and impute == "all":
        found = names
    elif isinstance(impute, str) and impute == "unmeasured":
        measured = set(sp_adata.var_names)
        found = [gene for gene in names if gene not in measured]
    elif isinstance(impute, str):
        raise ParameterError(f"parameter `impute`: expected 'unmeasured', 'all', a list of genes or None, found {impute!r}")
    else:
        found = listed(impute, names, "impute")
    found = list(dict.fromkeys([*found, *judged]))
    duplicated = set(sc_adata.var_names[sc_adata.var_names.duplicated()])
    if not duplicated.isdisjoint(found):
        raise DuplicateNamesError(f"`sc_adata.var_names`: expected each gene once, found {sorted(duplicated)[0]!r} several times")
    return found


def _density(prior: Any, tissue: Any, n: int) -> np.ndarray | None:
    """How the cells should lie; sums to 1."""
    if prior is None:
        return None
    if isinstance(prior, str):
        if prior == "uniform":
            return np.full(n, 1.0 / n)
        if prior != "rna_count_based":
            raise ParameterError(
                f"parameter `density_prior`: expected 'rna_count_based', 'uniform', an array or None, found {prior!r}"
            )
        matrix = as_matrix(tissue, "X")
        totals = np.asarray(matrix.sum(axis=1), dtype=np.float64).ravel()
        if not np.isfinite(totals).all() or totals.min() < 0 or totals.sum() <= 0:
            raise DataError("`sp_adata`: expected totals of at least 0 for density_prior='rna_count_based', found others")
        return totals / totals.sum()
    density = np.asarray(prior, dtype=np.float64)
    if density.shape != (n,):
        raise ShapeError(f"`density_prior`: expected shape ({n},), found {density.shape}")
    return density


def _by_vectors(
    ours: Any, theirs: Any, names: list[str], n_components: int | None, min_cosine: float, n_neighbors: int, algorithm: Algorithm, quiet: dict[str, Any]
) -> tuple[_Learnt, list[str]]:  # fmt: skip
    vectors = arrays.principal_vectors(ours, theirs, n_components=n_components, min_cosine=min_cosine, **quiet)
    options = {"n_neighbors": n_neighbors, "algorithm": algorithm, **quiet}
    there = arrays.neighbor_weights(vectors.places, vectors.cells, **options)
    back = arrays.neighbor_weights(vectors.cells, vectors.places, **options)
    used = [gene for gene, there_is in zip(names, vectors.used, strict=True) if there_is]
    report = {"cosines": vectors.cosines, "n_vectors": vectors.vectors.shape[1]}
    return _Learnt(there.weights, back.weights, (there.similarity, back.similarity), report), used


def _by_tangram(
    ours: Any, theirs: Any, names: list[str], clusters: Any, n_candidates: int | None, prior: Any, vectors: dict[str, Any],
    algorithm: Algorithm, options: dict[str, Any], quiet: dict[str, Any],
) -> tuple[_Learnt, list[str]]:  # fmt: skip
    expressed = [np.asarray((side != 0).sum(axis=0)).ravel() > 0 for side in (ours, theirs)]
    kept = np.flatnonzero(expressed[0] & expressed[1])
    if not len(kept):
        raise TooFewError("`genes`: expected at least one gene that is expressed on both sides, found none")
    ours, theirs = ours[:, kept], theirs[:, kept]
    report: dict[str, Any] = {}
    candidates = masses = None
    if clusters is not None:
        masses = np.bincount(clusters.codes) / len(clusters)
        ours = _summed(ours, clusters)
    elif n_candidates is not None and n_candidates < theirs.shape[0]:
        along = arrays.principal_vectors(ours, theirs, **vectors, **quiet)
        candidates = arrays.map_candidates(along.cells, along.places, n_candidates=n_candidates, algorithm=algorithm, **quiet)
        report["cosines"] = along.cosines
    elif n_candidates is not None and n_candidates < 1:
        raise ParameterError(f"parameter `n_candidates`: expected at least 1, or None, found {n_candidates}")
    found = arrays.tangram(ours, theirs, candidates=candidates, density=prior, masses=masses, **options, **quiet)
    used = [names[at] for at in kept]
    report["history"] = found.history
    report["gene_scores"] = pd.DataFrame({"cosine": found.cosines}, index=pd.Index(used))
    return _Learnt(found.weights, found.weights.T.tocsr(), None, report), used


def _summed(matrix: Any, clusters: Any) -> np.ndarray:
    """Rows summed by cluster."""
    n = len(clusters)
    members = sparse.csr_matrix((np.ones(n), (clusters.codes, np.arange(n))), (len(clusters.categories), n))
    summed = members @ matrix
    return np.ascontiguousarray(summed.toarray() if sparse.issparse(summed) else summed, dtype=np.float32)


def _through_clusters(back: Any, clusters: Any, column: Any, masses: Any, threads: int | None) -> arrays.LabelShares:
    """Shares of labels where clusters were mapped: each cluster spreads the labels of its cells."""
    labels = pd.Categorical(column).remove_unused_categories()
    if (labels.codes < 0).any():
        raise DataError("`labels`: expected a label for every cell, found cells without one")
    # One column for each pair of cluster and label, as often as it occurs.
    pairs, counts = np.unique(np.column_stack([clusters.codes, labels.codes]), axis=0, return_counts=True)
    spread = sparse.csr_matrix(
        (np.ones(len(pairs)), (pairs[:, 0], np.arange(len(pairs)))), (len(clusters.categories), len(pairs))
    )
    names = pd.Categorical.from_codes(pairs[:, 1], categories=labels.categories)
    return arrays.label_shares((back @ spread).tocsr(), names, masses=counts.astype(np.float64), threads=threads, progress=False)


def _imputed(
    sp_adata: AnnData, genes: list[str], predicted: np.ndarray, spatial_key: str, report: dict[str, Any]
) -> AnnData:
    from anndata import AnnData

    mapped = AnnData(predicted, obs=sp_adata.obs.copy(), var=pd.DataFrame(index=pd.Index(genes, dtype=object)))
    mapped.var["measured"] = np.isin(genes, np.asarray(sp_adata.var_names, dtype=object)) if genes else np.zeros(0, bool)
    judged = report["held_out"].index if "held_out" in report else pd.Index([])
    mapped.var["held_out"] = mapped.var_names.isin(judged)
    mapped.obsm[spatial_key] = np.array(sp_adata.obsm[spatial_key])
    return mapped
