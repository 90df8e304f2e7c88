"""Statistics of the tissue between conditions, with the sample as the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import check_adata, get_obs, get_obsm, get_obsp, start
from .._labels import codes_of
from .._provenance import record
from ..errors import DataError, ParameterError, TooFewError
from ._autocorr import _values
from ._nhood import _CONNECTIVITIES

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress

_STATISTICS = ("nhood_enrichment", "co_occurrence", "spatial_autocorr", "composition")


def compare_conditions(
    adata: AnnData,
    condition_key: str,
    sample_key: str,
    *,
    statistic: str = "nhood_enrichment",
    cluster_key: str | None = None,
    genes: str | Sequence[str] | None = None,
    layer: str | None = None,
    interval: Sequence[float] | None = None,
    conditions: Sequence[str] | None = None,
    connectivity_key: str = _CONNECTIVITIES,
    spatial_key: str = "spatial",
    n_perms: int = 10_000,
    seed: int = 0,
    key_added: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Compares a statistic of the tissue between two conditions: computed in each sample, tested between samples.

    Cells of one sample are no replicates of its condition: however many they are, each sample counts once.

    Parameters
    ----------
    adata
        Annotated data of several samples.
    condition_key
        Column of ``obs`` with the condition; all cells of a sample must have one.
    sample_key
        Column of ``obs`` with the sample (animal, patient, section) of each cell.
    statistic
        ``"nhood_enrichment"``: log2 of (edges + 1) / (edges by chance + 1) for each pair of labels. ``"co_occurrence"``: the same of
        pairs of cells up to each distance of `interval`. ``"spatial_autocorr"``: Moran's I of each gene. ``"composition"``: the share of
        each label.
    cluster_key
        Column of ``obs`` with a label for every cell; all but ``"spatial_autocorr"`` need it.
    genes, layer
        Genes of ``"spatial_autocorr"`` (``None``: highly variable ones, or all) and the layer to use instead of X.
    interval
        Distances of ``"co_occurrence"``, above 0, in the unit of the coordinates.
    conditions
        Two conditions, the one to compare with first; ``None``: the two that there are, in their order. Cells of others are left out.
    connectivity_key
        Key of ``obsp``; edges between samples are left out. For ``"nhood_enrichment"`` and ``"spatial_autocorr"``.
    spatial_key
        Key of ``obsm``. For ``"co_occurrence"``.
    n_perms
        Ways to deal the conditions out to the samples at most; where there are fewer, all are looked at.
    seed
        Seed of random ways.
    key_added
        Key to write; by default ``statistic + "_comparison"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes:

    ``uns[key_added]``
        DataFrame, the smallest p value first: what is compared (``label`` and ``neighbor``; also ``distance``; ``gene``; or ``label``),
        ``mean_<condition>`` of both, ``difference`` (second less first), ``t`` (Welch), ``pval``, ``pval_adj``, ``n_<condition>`` (samples that
        have a value) and ``least``, the smallest p value that so many samples allow.
    ``uns[key_added + "_samples"]``
        DataFrame of samples x what is compared: the values, NaN where a sample lacks a label.

    Raises
    ------
    MissingKeyError
        No such key.
    ParameterError
        An option out of range, missing, or one that the statistic does not use.
    TooFewError
        Fewer than two samples of a condition.
    DataError
        A sample of two conditions, cells without a label, sample or condition.

    Notes
    -----
    Time: that of the statistic in each sample, and ways x samples x what is compared.
    """
    check_adata(adata)
    if statistic not in _STATISTICS:
        raise ParameterError(f"parameter `statistic`: expected one of {', '.join(_STATISTICS)}, found {statistic!r}")
    _check_use(statistic, cluster_key, genes, layer, interval)
    sample_codes, samples = codes_of(get_obs(adata, sample_key), sample_key)
    condition_codes, present = codes_of(get_obs(adata, condition_key), condition_key)
    first, second = _two(conditions, present, condition_key)
    chosen, groups = _conditions_of(sample_codes, samples, condition_codes, present, (first, second), sample_key)
    labels, names = (None, None) if cluster_key is None else codes_of(get_obs(adata, cluster_key), cluster_key)
    run: dict[str, Any] = {"threads": threads, "progress": progress}
    if statistic == "composition":
        assert labels is not None and names is not None
        values = [np.bincount(labels[sample_codes == s], minlength=len(names)) / (sample_codes == s).sum() for s in chosen]
        features = pd.DataFrame({"label": [str(name) for name in names]})
    elif statistic == "nhood_enrichment":
        assert labels is not None and names is not None
        graph = sparse.csr_matrix(get_obsp(adata, connectivity_key))
        values = [_enrichment(graph, labels, len(names), np.flatnonzero(sample_codes == s), run) for s in chosen]
        features = _pairs_of(names)
    elif statistic == "co_occurrence":
        assert labels is not None and names is not None
        distances = np.unique(np.asarray(interval, dtype=np.float64))
        places = np.asarray(get_obsm(adata, spatial_key))
        values = [_co_occurrence(places, labels, len(names), distances, np.flatnonzero(sample_codes == s), run) for s in chosen]
        pairs = _pairs_of(names)
        features = pd.concat([pairs.assign(distance=distance) for distance in distances], ignore_index=True)
    else:
        matrix, index = _values(adata, "X", genes, layer, False)
        graph = sparse.csr_matrix(get_obsp(adata, connectivity_key))
        values = []
        for s in chosen:
            cells = np.flatnonzero(sample_codes == s)
            values.append(arrays.spatial_autocorr(sparse.csr_matrix(graph[cells][:, cells]), matrix[cells], **run).score)
        features = pd.DataFrame({"gene": index.astype(str)})
    table = np.array(values)
    found = arrays.compare_samples(table, pd.Categorical(groups, categories=[first, second]), n_perms=n_perms, seed=seed)
    result = features.assign(**{
        f"mean_{first}": found.mean_a, f"mean_{second}": found.mean_b, "difference": found.difference, "t": found.t, "pval": found.pval,
        "pval_adj": found.pval_adj, f"n_{first}": found.n_a, f"n_{second}": found.n_b, "least": found.least,
    })  # fmt: skip
    key = f"{statistic}_comparison" if key_added is None else key_added
    adata = start(adata, copy)
    order = np.lexsort([-np.abs(result["difference"].to_numpy()), result["pval"].to_numpy()])
    ordered = result.iloc[order].reset_index(drop=True)
    ordered.index = ordered.index.astype(str)
    adata.uns[key] = ordered
    columns = ["|".join(str(value) for value in row) for row in features.itertuples(index=False)]
    adata.uns[f"{key}_samples"] = pd.DataFrame(table, index=[str(samples[s]) for s in chosen], columns=columns).assign(
        condition=groups
    )
    record(
        adata, "compare_conditions", condition_key=condition_key, sample_key=sample_key, statistic=statistic, cluster_key=cluster_key,
        layer=layer, interval=None if interval is None else [float(d) for d in interval], conditions=[first, second],
        connectivity_key=connectivity_key, spatial_key=spatial_key, n_perms=int(n_perms), seed=int(seed), key_added=key,
    )  # fmt: skip
    return adata if copy else None


def _check_use(statistic: str, cluster_key: Any, genes: Any, layer: Any, interval: Any) -> None:
    by_label = statistic != "spatial_autocorr"
    if by_label and cluster_key is None:
        raise ParameterError(f"parameter `cluster_key`: expected a column of obs with statistic {statistic!r}, found None")
    if not by_label and cluster_key is not None:
        raise ParameterError(
            f"parameter `cluster_key`: expected None with statistic {statistic!r}, which does not use it, found {cluster_key!r}"
        )
    for name, value in (("genes", genes), ("layer", layer)):
        if by_label and value is not None:
            raise ParameterError(
                f"parameter `{name}`: expected None with statistic {statistic!r}, which does not use it, found {value!r}"
            )
    if (statistic == "co_occurrence") != (interval is not None):
        raise ParameterError(
            f"parameter `interval`: expected distances with statistic 'co_occurrence' and None with others, found {interval!r}"
        )
    if interval is not None and (not len(interval) or not all(0 < float(d) < np.inf for d in interval)):
        raise ParameterError(f"parameter `interval`: expected distances above 0, found {interval!r}")


def _two(conditions: Any, present: pd.Index, key: str) -> tuple[str, str]:
    names = [str(name) for name in present]
    wanted = names if conditions is None else [str(name) for name in conditions]
    if len(wanted) != 2 or wanted[0] == wanted[1]:
        raise ParameterError(
            f"parameter `conditions`: expected two of {', '.join(names)} (column `{key}`), found {conditions!r}"
        )
    for name in wanted:
        if name not in names:
            raise ParameterError(f"parameter `conditions`: expected two of {', '.join(names)} (column `{key}`), found {name!r}")
    return wanted[0], wanted[1]


def _conditions_of(
    sample_codes: np.ndarray, samples: pd.Index, condition_codes: np.ndarray, present: pd.Index, two: tuple[str, str], key: str
) -> tuple[list[int], list[str]]:
    """The samples of two conditions, and the condition of each."""
    chosen, groups = [], []
    for sample in range(len(samples)):
        its = np.unique(condition_codes[sample_codes == sample])
        if len(its) > 1:
            both = ", ".join(str(present[code]) for code in its)
            raise DataError(
                f"`{key}`: expected one condition for all cells of a sample, found {both} in sample {samples[sample]!r}"
            )
        name = str(present[its[0]])
        if name in two:
            chosen.append(sample)
            groups.append(name)
    for name in two:
        if groups.count(name) < 2:
            raise TooFewError(
                f"`{key}`: expected at least two samples of each condition, found {groups.count(name)} of {name!r}"
            )
    return chosen, groups


def _pairs_of(names: pd.Index) -> pd.DataFrame:
    texts = [str(name) for name in names]
    return pd.DataFrame([(a, b) for a in texts for b in texts], columns=["label", "neighbor"])


def _spread(found: np.ndarray, inside: np.ndarray, k: int) -> np.ndarray:
    """A table over the labels of a sample as one over all; NaN for those that it lacks."""
    table = np.full((k, k), np.nan)
    table[np.ix_(inside, inside)] = found
    return table


def _enrichment(graph: Any, labels: np.ndarray, k: int, cells: np.ndarray, run: dict[str, Any]) -> np.ndarray:
    inside, codes = np.unique(labels[cells], return_inverse=True)
    found = arrays.nhood_enrichment(sparse.csr_matrix(graph[cells][:, cells]), codes, **run)
    ratio = np.log2((found.count + 1.0) / (found.mean + 1.0))
    # One cell has no other of its label to be near.
    single = np.bincount(codes) == 1
    ratio[single, single] = np.nan
    return _spread(ratio, inside, k).ravel()


def _co_occurrence(
    places: np.ndarray, labels: np.ndarray, k: int, distances: np.ndarray, cells: np.ndarray, run: dict[str, Any]
) -> np.ndarray:
    inside, codes = np.unique(labels[cells], return_inverse=True)
    found = arrays.co_occurrence(places[cells], codes, interval=[0.0, *distances], **run)
    single = np.bincount(codes) == 1
    layers = []
    for counts in found.counts.astype(np.float64):
        near = counts.sum(axis=1)
        total = near.sum()
        expected = np.outer(near, near) / total if total else np.zeros_like(counts)
        ratio = np.log2((counts + 1.0) / (expected + 1.0))
        ratio[single, single] = np.nan
        layers.append(_spread(ratio, inside, k).ravel())
    return np.concatenate(layers)
