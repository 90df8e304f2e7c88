"""t-SNE and ForceAtlas2: quality beside scikit-learn and against the graph, slots, threads, bad input."""

from __future__ import annotations

import inspect
import warnings

import anndata as ad
import numpy as np
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from scipy import sparse
from zensaibo import errors


def kept(points, layout, k=15):
    """Share of each point's k nearest that are among its k nearest in the layout."""
    near = zs.arrays.knn(np.ascontiguousarray(points, dtype=np.float32), k + 1).indices[:, 1:]
    drawn = zs.arrays.knn(np.ascontiguousarray(layout, dtype=np.float32), k + 1).indices[:, 1:]
    return np.mean([len(set(a) & set(b)) / k for a, b in zip(near.tolist(), drawn.tolist(), strict=True)])


def similarities(points, perplexity=30.0):
    """t-SNE's similarities of all pairs, the slow way."""
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    n = len(points)
    p = np.zeros((n, n))
    for i in range(n):
        others = np.delete(squared[i], i)
        others = others - others.min()
        low, high = 0.0, np.inf
        b = 1 / others.mean()
        for _ in range(200):
            weights = np.exp(-b * others)
            weights /= weights.sum()
            entropy = -(weights * np.log(np.maximum(weights, 1e-300))).sum()
            if entropy > np.log(perplexity):
                low, b = b, 2 * b if np.isinf(high) else (b + high) / 2
            else:
                high, b = b, (low + b) / 2
        p[i, np.arange(n) != i] = weights
    p = (p + p.T) / (2 * n)
    return p


def divergence(p, layout):
    layout = np.asarray(layout, dtype=np.float64)
    q = 1 / (1 + ((layout[:, None] - layout[None]) ** 2).sum(-1))
    np.fill_diagonal(q, 0)
    q /= q.sum()
    mask = p > 0
    return (p[mask] * np.log(p[mask] / np.maximum(q[mask], 1e-300))).sum()


def test_tsne_keeps_neighbours_and_descends_as_far_as_scikit_learn(pbmc68k_reduced):
    from sklearn.manifold import TSNE

    points = np.asarray(pbmc68k_reduced.obsm["X_pca"], dtype=np.float64)
    p = similarities(points)
    theirs = TSNE(perplexity=30, learning_rate=1000, random_state=0, init="pca").fit_transform(points)
    expected = divergence(p, theirs)
    for rate in (1000.0, "auto"):
        found = zs.arrays.tsne(points, learning_rate=rate)
        ours = divergence(p, found.coordinates)
        message = f"{rate}: KL {ours:.4f} (reported {found.kl_divergence:.4f}) against {expected:.4f}, "
        message += f"kNN {kept(points, found.coordinates):.4f} against {kept(points, theirs):.4f}"
        print(message)
        # Different local minima: a few hundredths of a nat either way.
        assert ours <= expected + 0.03, message
        assert kept(points, found.coordinates) >= kept(points, theirs) - 0.02, message
        # Similarities of far-away pairs are left out of ours, and repulsion is approximated.
        assert found.kl_divergence == pytest.approx(ours, abs=0.1)


def test_tsne_keeps_cell_types_together(pbmc68k_reduced):
    zs.tl.tsne(pbmc68k_reduced)
    layout, types = pbmc68k_reduced.obsm["X_tsne"], pbmc68k_reduced.obs["bulk_labels"].cat.codes.to_numpy()
    near = zs.arrays.knn(layout, 11).indices[:, 1:]
    inside = np.mean(types[near] == types[:, None])
    theirs = zs.arrays.knn(np.asarray(pbmc68k_reduced.obsm["X_umap"], dtype=np.float32), 11).indices[:, 1:]
    assert inside > np.mean(types[theirs] == types[:, None]) - 0.03


def test_tsne_slots_copies_and_signature(pbmc68k_reduced, tmp_path):
    import scanpy as sc

    adata = ad.AnnData(pbmc68k_reduced.X, obsm={"X_pca": pbmc68k_reduced.obsm["X_pca"]})
    copied = zs.tl.tsne(adata, n_pcs=10, perplexity=20, random_state=3, copy=True)
    assert "X_tsne" not in adata.obsm and copied.obsm["X_tsne"].shape == (700, 2)
    assert copied.obsm["X_tsne"].dtype == np.float32
    params = copied.uns["tsne"]["params"]
    assert params["perplexity"] == 20 and params["n_pcs"] == 10 and params["random_state"] == 3
    zs.tl.tsne(adata, use_rep="X_pca", key_added="other", learning_rate="auto")
    assert "other" in adata.obsm and adata.uns["other"]["params"]["use_rep"] == "X_pca"
    adata.write(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert (again.obsm["other"] == adata.obsm["other"]).all()
    theirs, ours = inspect.signature(sc.tl.tsne).parameters, inspect.signature(zs.tl.tsne).parameters
    for name, parameter in theirs.items():
        if name not in ("use_fast_tsne", "n_jobs"):
            assert ours[name].default == parameter.default, name


def test_threads_change_nothing(pbmc68k_reduced):
    points, graph = pbmc68k_reduced.obsm["X_pca"], ring_of_rings()
    layouts = [zs.arrays.tsne(points, n_iter=60, early_exaggeration_iter=30, threads=t).coordinates for t in (1, 2, 8)]
    assert layouts[0].tobytes() == layouts[1].tobytes() == layouts[2].tobytes()
    drawings = [zs.arrays.force_atlas(graph, maxiter=30, threads=t) for t in (1, 2, 8)]
    assert drawings[0].tobytes() == drawings[1].tobytes() == drawings[2].tobytes()
    assert zs.arrays.force_atlas(graph, maxiter=30, seed=1).tobytes() != drawings[0].tobytes()


def ring_of_rings(rings=12, size=25):
    """Rings of cells, joined in a ring by weak edges."""
    n = rings * size
    rows = np.arange(n)
    inside = rows // size * size + (rows % size + 1) % size
    heads = np.arange(rings) * size
    graph = sparse.coo_matrix(
        (np.r_[np.ones(n), np.full(rings, 0.5)], (np.r_[rows, heads], np.r_[inside, np.roll(heads, 1)])), shape=(n, n)
    )
    return (graph + graph.T).tocsr().astype(np.float32)


def test_force_atlas_keeps_the_graph(pbmc3k_log):
    zs.tl.draw_graph(pbmc3k_log)
    drawn = pbmc3k_log.obsm["X_draw_graph_fa"]
    assert drawn.shape == (pbmc3k_log.n_obs, 2) and drawn.dtype == np.float32 and np.isfinite(drawn).all()
    graph = pbmc3k_log.obsp["connectivities"].tocoo()
    edges = np.linalg.norm(drawn[graph.row] - drawn[graph.col], axis=1)
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, len(drawn), (2, 20_000))
    any_two = np.linalg.norm(drawn[pairs[0]] - drawn[pairs[1]], axis=1)
    # Edges are short: few of any two cells lie as close as the ends of the median edge (fa2-modified draws as short).
    assert (any_two < np.median(edges)).mean() < 0.06
    types = pbmc3k_log.obs["leiden"].cat.codes.to_numpy()
    near = zs.arrays.knn(drawn, 11).indices[:, 1:]
    assert np.mean(types[near] == types[:, None]) > 0.85


def test_draw_graph_starts_slots_and_copies(small, tmp_path):
    small.obsp["connectivities"] = ring_of_rings()
    small.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 3}}
    small.obsm["X_pca"] = np.random.default_rng(0).normal(size=(300, 5))
    copied = zs.tl.draw_graph(small, copy=True)
    assert "X_draw_graph_fa" not in small.obsm
    assert copied.uns["draw_graph"] == {"params": {"layout": "fa", "random_state": 0}}
    zs.tl.draw_graph(small, init_pos="X_pca", maxiter=0)
    np.testing.assert_array_equal(small.obsm["X_draw_graph_fa"], small.obsm["X_pca"][:, :2].astype(np.float32))
    zs.tl.draw_graph(small, init_pos=small.obsm["X_pca"][:, 2:4], maxiter=0, key_added_ext="mine")
    np.testing.assert_array_equal(small.obsm["X_draw_graph_mine"], small.obsm["X_pca"][:, 2:4].astype(np.float32))
    small.uns["paga"] = {"pos": np.array([[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]]), "groups": "group"}
    for init_pos in ("paga", True):
        zs.tl.draw_graph(small, init_pos=init_pos, maxiter=0)
        assert small.obsm["X_draw_graph_fa"][100:200, 0].min() > 4
    small.obsp["other"] = small.obsp["connectivities"] * 2
    found = [zs.tl.draw_graph(small, copy=True, maxiter=20, **graph).obsm["X_draw_graph_fa"] for graph in (
        {"obsp": "other"}, {"adjacency": small.obsp["other"]})]
    assert (found[0] == found[1]).all()
    expected = zs.arrays.force_atlas(ring_of_rings(), maxiter=20)
    for name in ("csc", "dense", "csr_f64", "csr_array", "csr_i64"):
        assert (zs.arrays.force_atlas(LAYOUTS[name](ring_of_rings()), maxiter=20) == expected).all(), name
    small.write(tmp_path / "a.h5ad")


def test_bad_input_is_refused_by_name(small):
    small.obsm["X_pca"] = np.random.default_rng(0).normal(size=(300, 5))
    for message, options in {
        "perplexity": {"perplexity": 300},
        "perplexity.*1": {"perplexity": 0.5},
        "early_exaggeration": {"early_exaggeration": 0},
        "learning_rate": {"learning_rate": -1},
        "learning_rate.*fast": {"learning_rate": "fast"},
        "random_state": {"random_state": -1},
        "metric|manhattan": {"metric": "manhattan"},
        "n_pcs": {"n_pcs": 9, "use_rep": "X_pca"},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.tsne(small, **options)
    with pytest.raises(errors.MissingKeyError, match="nothing"):
        zs.tl.tsne(small, use_rep="nothing")
    with pytest.raises(errors.TooFewError, match="at least 4"):
        zs.arrays.tsne(np.zeros((3, 2)), perplexity=1)
    with pytest.raises(errors.ShapeError, match="init_pos"):
        zs.arrays.tsne(np.zeros((9, 2)), perplexity=2, init_pos=np.zeros((3, 2)))
    with pytest.raises(errors.ParameterError, match="theta"):
        zs.arrays.tsne(np.zeros((9, 2)), perplexity=2, theta=3)
    small.obsm["X_pca"][5, 2] = np.inf
    with pytest.raises(errors.NonFiniteError, match="row 5"):
        zs.tl.tsne(small, use_rep="X_pca")
    assert "X_tsne" not in small.obsm

    with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
        zs.tl.draw_graph(small)
    with pytest.raises(errors.ParameterError, match="layout"):
        zs.tl.draw_graph(small, "fr")
    small.obsp["connectivities"] = ring_of_rings()
    with pytest.raises(errors.MissingKeyError, match="init_pos"):
        zs.tl.draw_graph(small, obsp="connectivities", init_pos="X_nothing")
    with pytest.raises(errors.MissingKeyError, match="pos"):
        zs.tl.draw_graph(small, obsp="connectivities", init_pos="paga")
    with pytest.raises(errors.ShapeError, match="init_pos"):
        zs.tl.draw_graph(small, obsp="connectivities", init_pos=np.zeros((2, 2)))
    with pytest.raises(errors.ParameterError, match="gravity"):
        zs.arrays.force_atlas(ring_of_rings(), gravity=-1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert zs.arrays.force_atlas(sparse.csr_matrix((0, 0))).shape == (0, 2)
