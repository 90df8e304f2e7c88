"""`zs.arrays.umap` and `zs.tl.umap`: slots, start positions, threads, refusals, and quality beside umap-learn."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import errors

from conftest import data_path


def planted(n: int = 300, seed: int = 0) -> sparse.csr_matrix:
    """Three groups, weights 0 to 1, symmetric."""
    rng = np.random.default_rng(seed)
    group = np.repeat(np.arange(3), n // 3)
    chance = np.where(group[:, None] == group[None], 0.12, 0.001)
    upper = np.triu(rng.random((n, n)) < chance, 1) * rng.uniform(0.2, 1.0, (n, n))
    return sparse.csr_matrix((upper + upper.T).astype(np.float32))


def with_graph(n: int = 300) -> ad.AnnData:
    adata = ad.AnnData(sparse.csr_matrix((n, 1), dtype=np.float32))
    adata.obsp["connectivities"] = planted(n)
    adata.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 15}}
    adata.obs["group"] = np.repeat(["a", "b", "c"], n // 3)
    adata.obs["group"] = adata.obs["group"].astype("category")
    return adata


def test_curve_equals_umap_learn():
    from umap.umap_ import find_ab_params

    np.testing.assert_allclose(zs.arrays.umap_curve(), (0.5830300203414425, 1.334166992455648), rtol=1e-6)
    for spread, min_dist in ((1.0, 0.5), (1.0, 0.1), (2.0, 0.3), (1.0, 0.0)):
        # scipy stops at a relative change of 1e-8 of the sum of squares, which leaves about 1e-6 in b.
        np.testing.assert_allclose(zs.arrays.umap_curve(min_dist, spread), find_ab_params(spread, min_dist), rtol=5e-6)


def test_threads_layouts_and_types_change_no_bit():
    graph = planted()
    expected = zs.arrays.umap(graph, threads=1)
    assert expected.coordinates.dtype == np.float32 and expected.coordinates.shape == (300, 2)
    wide = graph.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    forms = [graph.tocsc(), graph.tocoo(), sparse.csr_array(graph), graph.toarray(), graph.astype(np.float64), wide]
    for form in forms:
        np.testing.assert_array_equal(zs.arrays.umap(form).coordinates, expected.coordinates)
    for threads in (2, 8):
        np.testing.assert_array_equal(zs.arrays.umap(graph, threads=threads).coordinates, expected.coordinates)
    assert not np.array_equal(zs.arrays.umap(graph, seed=1).coordinates, expected.coordinates)


def test_slots_are_scanpys():
    adata = with_graph()
    assert zs.tl.umap(adata) is None
    assert adata.obsm["X_umap"].shape == (300, 2) and adata.obsm["X_umap"].dtype == np.float32
    assert set(adata.uns["umap"]["params"]) == {"a", "b"}
    assert adata.uns["zensaibo"]["umap"]["options"]["min_dist"] == 0.5
    np.testing.assert_array_equal(adata.obsm["X_umap"], zs.arrays.umap(adata.obsp["connectivities"]).coordinates)

    changed = zs.tl.umap(adata, copy=True, key_added="map", random_state=3, n_components=3)
    assert "map" not in adata.obsm and changed.obsm["map"].shape == (300, 3)
    assert changed.uns["map"]["params"]["random_state"] == 3
    zs.tl.umap(adata, preset="scanpy-v2", maxiter=5)
    assert adata.obsm["umap"].shape == (300, 2)


def test_named_graph_and_view():
    adata = with_graph()
    adata.obsp["w"] = adata.obsp.pop("connectivities")
    adata.uns["n2"] = {"connectivities_key": "w"}
    view = adata[:200]
    zs.tl.umap(view, neighbors_key="n2", maxiter=5)
    assert view.obsm["X_umap"].shape == (200, 2) and "X_umap" not in adata.obsm


def test_start_positions():
    adata = with_graph()
    start = np.random.default_rng(0).normal(size=(300, 4))
    adata.obsm["X_other"] = start
    zs.tl.umap(adata, init_pos="X_other", maxiter=0)
    from_key = adata.obsm["X_umap"].copy()
    zs.tl.umap(adata, init_pos=start[:, :2], maxiter=0)
    np.testing.assert_array_equal(adata.obsm["X_umap"], from_key)
    low, high = start[:, :2].min(axis=0), start[:, :2].max(axis=0)
    np.testing.assert_allclose(from_key, 10 * (start[:, :2] - low) / (high - low), atol=1e-5)
    zs.tl.umap(adata, init_pos="random", maxiter=0)
    assert not np.allclose(adata.obsm["X_umap"], from_key)

    with pytest.raises(errors.MissingKeyError, match="sc.pl.paga"):
        zs.tl.umap(adata, init_pos="paga")
    adata.uns["paga"] = {"groups": "group", "pos": np.array([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])}
    zs.tl.umap(adata, init_pos="paga", maxiter=0)
    centres = adata.obsm["X_umap"].reshape(3, 100, 2).mean(axis=1)
    assert centres[1, 0] - centres[0, 0] > 3 and centres[2, 1] - centres[0, 1] > 3


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"min_dist": -1.0}, "min_dist"),
        ({"min_dist": 2.0}, "min_dist"),
        ({"min_dist": np.nan}, "min_dist"),
        ({"spread": 0}, "spread"),
        ({"spread": "wide"}, "spread"),
        ({"n_components": 0}, "n_components"),
        ({"n_components": 2.5}, "n_components"),
        ({"maxiter": -1}, "maxiter"),
        ({"alpha": 0}, "alpha"),
        ({"gamma": -0.5}, "gamma"),
        ({"negative_sample_rate": -1}, "negative_sample_rate"),
        ({"a": 1.0}, "a, b"),
        ({"init_pos": "pca"}, "init_pos"),
        ({"seed": -1}, "seed"),
        ({"threads": 0}, "threads"),
    ],
)
def test_refusals_name_the_parameter(change, name):
    with pytest.raises(errors.ParameterError, match=f"`{name}`"):
        zs.arrays.umap(planted(30), **change)


def test_bad_input():
    adata = with_graph()
    with pytest.raises(errors.ParameterError, match="`method`.*rapids"):
        zs.tl.umap(adata, method="rapids")
    with pytest.raises(errors.ParameterError, match="preset"):
        zs.tl.umap(adata, preset="v3")
    with pytest.raises(errors.MissingKeyError, match="neighbors2.*zs.pp.neighbors"):
        zs.tl.umap(adata, neighbors_key="neighbors2")
    with pytest.raises(errors.MissingKeyError, match="init_pos.*X_pca"):
        zs.tl.umap(adata, init_pos="X_pca")
    with pytest.raises(errors.ShapeError, match=r"\(300, 2\)"):
        zs.tl.umap(adata, init_pos=np.zeros((3, 2)))
    with pytest.raises(errors.NonFiniteError, match="row 5"):
        start = np.zeros((300, 2))
        start[5, 1] = np.inf
        zs.tl.umap(adata, init_pos=start)
    with pytest.raises(errors.ShapeError, match="square"):
        zs.arrays.umap(sparse.csr_matrix((3, 4), dtype=np.float32))
    for value, kind in ((-1.0, errors.NegativeValuesError), (np.nan, errors.NonFiniteError)):
        graph = planted(30)
        graph.data[3] = value
        with pytest.raises(kind, match="stored edge 3"):
            zs.arrays.umap(graph)
    with pytest.raises(errors.ParameterError, match="AnnData"):
        zs.tl.umap(np.zeros((3, 3)))


def test_progress_reports_and_may_stop_it():
    stages = set()
    zs.arrays.umap(planted(900), maxiter=3000, progress=lambda stage, done, total: stages.add((stage, total)))
    assert ("umap: layout", 3000) in stages

    def stop(stage, done, total):
        raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        zs.arrays.umap(planted(900), maxiter=1_000_000, progress=stop)


def test_scores_equal_sklearn_and_are_repeatable():
    from sklearn.manifold import trustworthiness

    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 30)).astype(np.float32)
    y = x[:, :2] + 0.1 * rng.normal(size=(200, 2))
    for k in (5, 15):
        ours = zs.metrics.trustworthiness(x, y, n_neighbors=k)
        assert abs(ours - trustworthiness(x, y.astype(np.float32), n_neighbors=k)) < 1e-6
    assert zs.metrics.neighbor_preservation(x, x) == 1.0
    assert zs.metrics.trustworthiness(sparse.csr_matrix(x), x) == 1.0
    sampled = [zs.metrics.neighbor_preservation(x, y, sample=50, threads=threads) for threads in (1, 2, 8)]
    assert sampled[0] == sampled[1] == sampled[2]
    assert zs.metrics.neighbor_preservation(x, y, sample=50, seed=1) != sampled[0]
    with pytest.raises(errors.ShapeError, match="200 rows"):
        zs.metrics.trustworthiness(x, y[1:])
    with pytest.raises(errors.ParameterError, match="n_neighbors"):
        zs.metrics.trustworthiness(x, y, n_neighbors=100)


def _quality(adata: ad.AnnData) -> None:
    """Mean of trustworthiness and neighbour preservation over seeds, ours beside umap-learn's, same graph."""
    from umap.umap_ import find_ab_params, simplicial_set_embedding

    x, graph = adata.obsm["X_pca"], sparse.csr_matrix(adata.obsp["connectivities"])
    a, b = find_ab_params(1.0, 0.5)
    ours, theirs = [], []
    for seed in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            other, _ = simplicial_set_embedding(
                x, graph.tocoo(), 2, 1.0, a, b, 1.0, 5, 500, "spectral", np.random.RandomState(seed), "euclidean", {},
                False, {}, False,
            )
        for scores, layout in ((ours, zs.arrays.umap(graph, seed=seed).coordinates), (theirs, other)):
            assert np.isfinite(layout).all()
            scores.append(
                (zs.metrics.trustworthiness(x, layout, sample=None), zs.metrics.neighbor_preservation(x, layout, sample=None))
            )
    ours, theirs = np.mean(ours, axis=0), np.mean(theirs, axis=0)
    print(f"trustworthiness {ours[0]:.4f} (umap-learn {theirs[0]:.4f}), preservation {ours[1]:.4f} ({theirs[1]:.4f})")
    # The spread between seeds is about 0.001 and 0.002.
    assert ours[0] >= theirs[0] - 0.002
    assert ours[1] >= theirs[1] - 0.003


def test_quality_on_pbmc3k(pbmc3k_log):
    _quality(pbmc3k_log)


def test_quality_on_paul15(paul15):
    import scanpy as sc

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.normalize_total(paul15, target_sum=1e4)
        sc.pp.log1p(paul15)
        sc.pp.pca(paul15, n_comps=50)
        sc.pp.neighbors(paul15)
    _quality(paul15)


def test_spectral_start_equals_scipys(pbmc3k_log):
    from scipy.sparse.csgraph import connected_components, laplacian
    from scipy.sparse.linalg import eigsh

    graph = sparse.csr_matrix(pbmc3k_log.obsp["connectivities"])
    count, labels = connected_components(graph)
    graph = graph[labels == np.bincount(labels).argmax()][:, labels == np.bincount(labels).argmax()]
    ours = zs.arrays.umap(graph, maxiter=0).coordinates.astype(np.float64)
    shifted = 2 * sparse.eye(graph.shape[0]) - laplacian(graph.astype(np.float64), normed=True)
    values, vectors = eigsh(shifted, k=3, which="LA")
    wanted = vectors[:, np.argsort(-values)[1:]]
    # Each axis was moved and stretched to 0..10 and carries noise of 1e-4: compare the planes they span.
    plane = np.linalg.qr(np.column_stack([wanted, np.ones(len(wanted))]))[0]
    for axis in ours.T:
        rest = axis - plane @ (plane.T @ axis)
        assert np.linalg.norm(rest) < 2e-3 * np.linalg.norm(axis)


def test_scanpy_draws_it(pbmc3k_log):
    import matplotlib

    matplotlib.use("Agg")
    import scanpy as sc

    zs.tl.umap(pbmc3k_log)
    axes = sc.pl.umap(pbmc3k_log, color="leiden", show=False)
    assert len(axes.collections) > 0


def test_clusters_that_a_few_edges_join_are_not_driven_apart(tmp_path):
    adata = zs.io.read(data_path("spatial_deconvolution_small") / "reference_hypothalamus.h5ad")
    adata = adata[~adata.obs["cell_type"].isin(["Ambiguous", "Unstable"])].copy()
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata, n_neighbors=15)
    for seed in range(3):
        zs.tl.umap(adata, random_state=seed)
        # umap-learn's layouts of this graph are some 17 wide; where a vertex followed one neighbour after the other they were 50 to 70.
        assert np.ptp(adata.obsm["X_umap"], axis=0).max() < 30
