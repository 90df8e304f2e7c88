"""Neighbours and connectivities as pure functions, against sklearn and umap-learn."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import arrays, errors, metrics


def _cells(n: int, d: int = 50, seed: int = 0) -> np.ndarray:
    """Twenty groups of unequal size, each a bent sheet in noise."""
    rng = np.random.default_rng(seed)
    kinds = rng.choice(20, size=n, p=(p := 0.8 ** np.arange(20)) / p.sum())
    centres = rng.normal(size=(20, d)) * 8 * 0.9 ** np.arange(d)
    bends = rng.normal(size=(20, 3, d)) * 2
    sheet = 5 * 0.93 ** np.arange(d) * np.sin(np.einsum("nz,nzd->nd", rng.random((n, 3)), bends[kinds]))
    return (centres[kinds] + sheet + 0.8 * rng.normal(size=(n, d))).astype(np.float32)


def _brute(data: np.ndarray, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.metrics import pairwise_distances

    distances = pairwise_distances(data.astype(np.float64), metric=metric)
    np.fill_diagonal(distances, -1)
    order = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return order, np.maximum(np.take_along_axis(distances, order, axis=1), 0)


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize(("n", "d", "k"), [(50, 3, 5), (700, 50, 15), (1500, 20, 30)])
def test_exact_neighbours_are_those_of_sklearn(metric, n, d, k):
    data = _cells(n, d)
    found = arrays.knn(data, k, metric=metric)
    indices, distances = _brute(data, k, metric)
    assert found.exact and found.indices.dtype == np.uint32 and found.distances.dtype == np.float32
    np.testing.assert_array_equal(np.sort(found.indices, axis=1), np.sort(indices, axis=1))
    np.testing.assert_allclose(found.distances, distances, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("method", ["umap", "gauss"])
@pytest.mark.parametrize("k", [2, 5, 15, 40])
def test_weights_are_those_of_scanpy(method, k):
    from scanpy.neighbors import _connectivity

    data = _cells(600, 20, seed=k)
    data[:5] = data[0]  # duplicates
    found = arrays.knn(data, k)
    ours = arrays.connectivities(found.indices, found.distances, method=method)
    if method == "umap":
        theirs = _connectivity.umap(
            found.indices.astype(np.int64), found.distances, n_obs=len(data), n_neighbors=k
        )
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scanpy divides 0 by 0 among duplicates
            theirs = _connectivity.gauss(
                sparse.csr_matrix(arrays.neighbors_graph(data, k).distances, dtype=np.float64), k, knn=True
            )
        theirs = theirs.toarray()
        theirs[np.isnan(theirs)] = ours.toarray()[np.isnan(theirs)]
        theirs = sparse.csr_matrix(theirs)
    assert ours.dtype == np.float32 and ours.has_canonical_format
    assert abs(ours - theirs).max() < 1e-5
    assert (ours != ours.T).nnz == 0 and not ours.diagonal().any()


@pytest.mark.parametrize(("mix", "local"), [(1.0, 1.0), (0.5, 1.0), (0.0, 1.0), (1.0, 2.0), (1.0, 2.5), (1.0, 0.5)])
def test_umap_options_are_those_of_umap_learn(mix, local):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from umap.umap_ import fuzzy_simplicial_set
    data = _cells(400, 10)
    found = arrays.knn(data, 10)
    theirs, _, _ = fuzzy_simplicial_set(
        data, 10, None, None, knn_indices=found.indices.astype(np.int64), knn_dists=found.distances,
        set_op_mix_ratio=mix, local_connectivity=local,
    )  # fmt: skip
    ours = arrays.connectivities(found.indices, found.distances, set_op_mix_ratio=mix, local_connectivity=local)
    assert abs(ours - theirs.tocsr()).max() < 1e-5


def test_jaccard_is_the_share_of_common_neighbours():
    data = _cells(200, 8)
    found = arrays.knn(data, 10)
    ours = arrays.connectivities(found.indices, found.distances, method="jaccard").toarray()
    others = [set(row[1:].tolist()) for row in found.indices]
    expected = np.zeros_like(ours)
    for i, mine in enumerate(others):
        for j in mine:
            expected[i, j] = len(mine & others[j]) / len(mine | others[j])
    np.testing.assert_allclose(ours, (expected + expected.T) / 2, atol=1e-6)


def test_approximate_recall_on_30k():
    data = _cells(30_000)
    found = arrays.knn(data)
    assert not found.exact
    recall = metrics.knn_recall(data, found.indices, sample=500)
    assert recall.mean >= 0.99 and recall.sample == 500
    lazy = arrays.knn(data, effort=0.3)
    assert metrics.knn_recall(data, lazy.indices, sample=500).mean < recall.mean
    assert (found.indices[:, 0] == np.arange(len(data))).all() and not found.distances[:, 0].any()


@pytest.mark.parametrize("algorithm", ["exact", "approximate"])
def test_threads_change_nothing(algorithm):
    data = _cells(3000, 30)
    results = [arrays.neighbors_graph(data, algorithm=algorithm, threads=t) for t in (1, 2, 8)]
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            assert a.data.tobytes() == b.data.tobytes()
            assert a.indices.tobytes() == b.indices.tobytes() and a.indptr.tobytes() == b.indptr.tobytes()


def test_another_seed_is_another_sample_but_exact_ignores_it():
    data = _cells(2000, 10)
    a, b = (arrays.knn(data, algorithm="exact", seed=s) for s in (0, 1))
    np.testing.assert_array_equal(a.indices, b.indices)
    a, b = (arrays.knn(data, algorithm="approximate", effort=0.2, seed=s) for s in (0, 1))
    assert (a.indices != b.indices).any()


def test_layouts_and_types_agree():
    data = _cells(300, 12)
    expected = arrays.knn(data, 9)
    forms = [data.astype(np.float64), np.asfortranarray(data), data[:, :], sparse.csr_matrix(data), sparse.csc_array(data)]
    for form in forms:
        found = arrays.knn(form, 9)
        np.testing.assert_array_equal(found.indices, expected.indices)
        np.testing.assert_array_equal(found.distances, expected.distances)
    np.testing.assert_array_equal(
        arrays.knn(np.arange(12).reshape(6, 2), 3).indices, arrays.knn(np.arange(12.0).reshape(6, 2), 3).indices
    )


def test_permuting_cells_permutes_the_graph():
    data = _cells(500, 10)
    order = np.random.default_rng(1).permutation(len(data))
    a, b = arrays.neighbors_graph(data, 10), arrays.neighbors_graph(data[order], 10)
    assert abs(a.connectivities[order][:, order] - b.connectivities).max() == 0
    assert abs(a.distances[order][:, order] - b.distances).max() == 0


def test_duplicates_keep_their_entries():
    data = np.repeat(_cells(20, 5), 10, axis=0)
    graph = arrays.neighbors_graph(data, 15)
    assert (np.diff(graph.distances.indptr) == 14).all()
    assert np.isfinite(graph.connectivities.data).all()
    assert (graph.distances.diagonal() == 0).all()


def test_graph_from_neighbours_equals_graph_from_data():
    data = _cells(300, 10)
    found = arrays.knn(data, 8)
    a = arrays.neighbors_graph(data, 8)
    b = arrays.neighbors_graph(indices=found.indices.astype(np.int64), distances=found.distances.astype(np.float64))
    assert abs(a.connectivities - b.connectivities).max() == 0 and abs(a.distances - b.distances).max() == 0


def test_bad_input_is_named():
    data = _cells(30, 4)
    for values, message in [(dict(n_neighbors=1), "n_neighbors"), (dict(n_neighbors=31), "30"), (dict(effort=-1), "effort"),
                            (dict(metric="hamming"), "hamming"), (dict(algorithm="annoy"), "annoy")]:  # fmt: skip
        with pytest.raises(errors.ParameterError, match=message):
            arrays.knn(data, **{"n_neighbors": 5, **values})
    broken = data.copy()
    broken[7, 2] = np.nan
    with pytest.raises(errors.NonFiniteError, match="row 7, column 2"):
        arrays.knn(broken, 5)
    with pytest.raises(errors.EmptyDataError):
        arrays.knn(np.empty((0, 4), np.float32), 5)
    with pytest.raises(errors.ShapeError, match="two dimensions"):
        arrays.knn(data[0], 5)
    with pytest.raises(errors.DataError, match="real numbers"):
        arrays.knn(data.astype(complex), 5)
    with pytest.raises(errors.DataError, match="row 3"):
        arrays.knn(np.vstack([data[:3], np.ones((1, 4))]), 2, metric="correlation")
    found = arrays.knn(data, 5)
    with pytest.raises(errors.ShapeError):
        arrays.connectivities(found.indices, found.distances[:, 1:])
    with pytest.raises(errors.DataError, match="below 30"):
        arrays.connectivities(np.full((30, 5), 99), found.distances)
    with pytest.raises(errors.NegativeValuesError):
        arrays.connectivities(found.indices, -1 - found.distances)
    with pytest.raises(errors.ParameterError, match="nearest"):
        arrays.connectivities(found.indices, found.distances, method="nearest")
    with pytest.raises(errors.DataError, match="either"):
        arrays.neighbors_graph(data, indices=found.indices, distances=found.distances)
    with pytest.raises(errors.DataError, match="names? itself first|name itself first"):
        arrays.neighbors_graph(indices=found.indices[:, ::-1], distances=found.distances)
    with pytest.raises(errors.ParameterError, match="sample"):
        metrics.knn_recall(data, found.indices, sample=0)


def test_defaults_are_those_of_rust():
    import inspect

    from zensaibo._options import defaults

    for function, name in [(arrays.knn, "knn"), (arrays.connectivities, "connectivities")]:
        signature = inspect.signature(function).parameters
        for field, value in defaults(name).items():
            assert signature[field].default == value, (name, field)
    assert inspect.signature(zs.pp.neighbors).parameters["n_neighbors"].default == defaults("knn")["n_neighbors"]
