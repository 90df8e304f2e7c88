"""`pp.neighbors` against scanpy's, live on real data."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc

import zensaibo as zs
from zensaibo import errors


def _sets(adata, key="distances"):
    matrix = adata.obsp[key]
    assert (np.diff(matrix.indptr) == np.diff(matrix.indptr)[0]).all()
    return np.sort(matrix.indices.reshape(adata.n_obs, -1), axis=1)


def _compare(adata: ad.AnnData, **options) -> None:
    ours, theirs = adata.copy(), adata.copy()
    zs.pp.neighbors(ours, **options)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.neighbors(theirs, **options)
    a, b = ours.obsp["distances"], theirs.obsp["distances"]
    assert a.shape == b.shape and type(a) is type(b) and a.nnz == b.nnz
    same = (_sets(ours) == _sets(theirs)).all(axis=1)
    # Where sets differ, the last distances must be a true tie.
    far = lambda m: m.data.reshape(adata.n_obs, -1).max(axis=1)  # noqa: E731
    np.testing.assert_allclose(far(a)[~same], far(b)[~same], rtol=1e-6)
    assert same.mean() > 0.999
    np.testing.assert_allclose(
        np.sort(a.data.reshape(adata.n_obs, -1), axis=1), np.sort(b.data.reshape(adata.n_obs, -1), axis=1), rtol=1e-4, atol=1e-3
    )
    # On scanpy's own distances the weights agree to 1e-5. From the data on, scanpy's distances carry the rounding of
    # single precision, which shifts where the bisection for sigma (tolerance 1e-5) stops.
    k = b.nnz // adata.n_obs + 1
    indices = np.c_[np.arange(adata.n_obs), b.indices.reshape(-1, k - 1)]
    distances = np.c_[np.zeros(adata.n_obs), b.data.reshape(-1, k - 1)]
    method = options.get("method", "umap")
    from_theirs = zs.arrays.connectivities(indices, distances, method=method)
    assert abs(from_theirs - theirs.obsp["connectivities"]).max() < 1e-5
    if same.all():
        assert abs(ours.obsp["connectivities"] - theirs.obsp["connectivities"]).max() < 2e-4
    del ours.uns["zensaibo"]
    assert ours.uns["neighbors"] == theirs.uns["neighbors"]


@pytest.mark.parametrize("method", ["umap", "gauss"])
def test_pbmc3k(pbmc3k_log, method):
    _compare(pbmc3k_log, method=method)


def test_pbmc3k_fewer_components_other_k(pbmc3k_log):
    _compare(pbmc3k_log, n_neighbors=30, n_pcs=20)


def test_pbmc3k_cosine(pbmc3k_log):
    _compare(pbmc3k_log, metric="cosine")


def test_paul15(paul15):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        paul15.X = paul15.X.astype(np.float32)
        sc.pp.recipe_zheng17(paul15)
        sc.pp.pca(paul15, n_comps=30)
    _compare(paul15, n_neighbors=10, use_rep="X_pca")


def test_pbmc68k_reduced(pbmc68k_reduced):
    _compare(pbmc68k_reduced)
    _compare(pbmc68k_reduced, use_rep="X", n_neighbors=5)


def test_scanpy_goes_on_from_here(pbmc3k_log):
    adata = pbmc3k_log
    zs.pp.neighbors(adata, key_added="ours")
    assert {"ours_distances", "ours_connectivities"} <= set(adata.obsp)
    assert adata.uns["ours"]["connectivities_key"] == "ours_connectivities"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.leiden(adata, neighbors_key="ours", flavor="igraph", n_iterations=2, directed=False, key_added="again")
        sc.tl.diffmap(adata, neighbors_key="ours")
        sc.tl.paga(adata, groups="again", neighbors_key="ours")
    assert adata.obs["again"].nunique() > 4


def test_copy_view_and_h5ad(small, tmp_path):
    small.obsm["X_pca"] = small.X.toarray()[:, :20]
    out = zs.pp.neighbors(small, copy=True)
    assert "neighbors" not in small.uns and out.obsp["distances"].nnz == 14 * 300
    view = small[:100]
    zs.pp.neighbors(view, n_neighbors=5)
    assert view.obsp["connectivities"].shape == (100, 100) and not view.is_view
    out.write_h5ad(tmp_path / "out.h5ad")
    back = ad.read_h5ad(tmp_path / "out.h5ad")
    assert abs(back.obsp["connectivities"] - out.obsp["connectivities"]).max() == 0
    assert back.uns["neighbors"]["params"]["n_neighbors"] == 15
    assert zs.pp.neighbors(back) is None


def test_which_representation(small):
    small.obsm["X_pca"] = small.X.toarray()[:, :20]
    small.obsm["other"] = small.X.toarray()[:, 20:40]
    found = {}
    for name, options in {"pca": {}, "pcs": {"n_pcs": 5}, "other": {"use_rep": "other"}, "x": {"use_rep": "X"}, "x0": {"n_pcs": 0}}.items():
        zs.pp.neighbors(small, **options)
        found[name] = small.obsp["distances"].data.copy()
    np.testing.assert_array_equal(found["x"], found["x0"])
    assert len({values.tobytes() for values in found.values()}) == 4
    few = small[:, :30].copy()
    zs.pp.neighbors(few)
    direct = zs.arrays.knn(few.X, 15)
    np.testing.assert_array_equal(few.obsp["distances"].indices.reshape(300, -1), direct.indices[:, 1:])
    with pytest.raises(errors.ParameterError, match="n_pcs"):
        zs.pp.neighbors(few, n_pcs=10)


def test_pca_is_run_when_missing(small):
    if not hasattr(zs.pp, "pca"):
        pytest.skip("zensaibo.pp.pca is not in this build")
    with pytest.warns(UserWarning, match="X_pca"):
        zs.pp.neighbors(small)
    assert small.obsm["X_pca"].shape == (300, 50)


def test_small_data(small):
    small.obsm["X_pca"] = small.X.toarray()[:, :20]
    ten = small[:10].copy()
    with pytest.warns(UserWarning, match="n_neighbors becomes 6"):
        zs.pp.neighbors(ten)
    assert ten.uns["neighbors"]["params"]["n_neighbors"] == 6
    two = small[:2].copy()
    with pytest.warns(UserWarning, match="becomes 2"):
        zs.pp.neighbors(two)
    assert two.obsp["connectivities"].toarray().tolist() == [[0, 1], [1, 0]]
    with pytest.raises(errors.TooFewError, match="at least 2 cells"):
        zs.pp.neighbors(small[:1].copy())


def test_bad_input_is_named(small):
    small.obsm["X_pca"] = small.X.toarray()[:, :20]
    for options, message in [
        ({"n_neighbors": 1}, "n_neighbors"),
        ({"method": "rapids"}, "rapids"),
        ({"metric": "hamming"}, "hamming"),
        ({"transformer": "pynndescent"}, "pynndescent"),
        ({"transformer": object()}, "transformer"),
        ({"knn": False}, "knn"),
        ({"n_pcs": 21}, "at most 20"),
        ({"n_pcs": -1}, "n_pcs"),
        ({"use_rep": "X", "n_pcs": 3}, "n_pcs"),
    ]:
        with pytest.raises(errors.ParameterError, match=message):
            zs.pp.neighbors(small, **options)
    with pytest.raises(errors.MissingKeyError, match="nothing_here"):
        zs.pp.neighbors(small, use_rep="nothing_here")
    small.obsm["X_pca"][3, 4] = np.inf
    with pytest.raises(errors.NonFiniteError, match="row 3, column 4"):
        zs.pp.neighbors(small)
    with pytest.raises(errors.ParameterError, match="AnnData"):
        zs.pp.neighbors(small.X)
    assert "neighbors" not in small.uns and "distances" not in small.obsp
