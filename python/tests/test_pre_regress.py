"""Regressing out: scanpy's residuals; principal components without the dense matrix; the same bits for any threads."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


@pytest.fixture
def cells(pbmc3k_log):
    adata = pbmc3k_log[:, pbmc3k_log.var["highly_variable"]].copy()
    adata.obs["total"] = np.asarray(np.expm1(pbmc3k_log.X[:, ::3]).sum(axis=1)).ravel()
    adata.obs["wide"] = adata.obs["n_genes"] * 1e6 + 3
    adata.obs["sample"] = pd.Categorical(np.array(["a", "b", "c"])[np.arange(adata.n_obs) % 3])
    return adata


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("keys", [["n_genes"], ["total", "wide"], "sample", ["leiden"]], ids=str)
def test_equals_scanpy_on_real_data(cells, dense, keys):
    if dense:
        cells.X = cells.X.toarray()
    ours, theirs = cells, cells.copy()
    zs.pp.regress_out(ours, keys)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.regress_out(theirs, keys, n_jobs=1)
    np.testing.assert_allclose(ours.X, theirs.X, atol=2e-5)
    assert ours.X.dtype == np.float32


def test_collinear_keys_equal_scanpy(small):
    small.obs["x"] = np.arange(300.0)
    small.obs["y"] = 2.0
    ours, theirs = small, small.copy()
    with pytest.warns(UserWarning, match="1 of the keys"):
        zs.pp.regress_out(ours, ["x", "y"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.regress_out(theirs, ["x", "y"], n_jobs=1)
    np.testing.assert_allclose(ours.X, theirs.X, atol=2e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(small, layout):
    x = np.linspace(-1, 1, 300)
    for design in ({"covariates": x}, {"categories": np.arange(300) % 4}):
        one = zs.arrays.regress_out(small.X, **design)
        other = zs.arrays.regress_out(LAYOUTS[layout](small.X), **design)
        assert one.residuals.tobytes() == other.residuals.tobytes()


def test_threads_give_the_same_bits(cells):
    def run(threads):
        covariates = cells.obs[["total", "wide"]].to_numpy()
        found = zs.arrays.pca(cells.X, 20, covariates=covariates, scale=True, threads=threads)
        one = zs.arrays.regress_out(cells.X, covariates, threads=threads).residuals
        two = zs.arrays.regress_out(cells.X, categories=np.arange(cells.n_obs) % 3, threads=threads).residuals
        return found.scores.tobytes(), one.tobytes(), two.tobytes()

    assert run(1) == run(2) == run(8)


def test_layers_copies_and_strings(small):
    small.obs["text"] = np.array(["u", "v"])[np.arange(300) % 2]
    before = small.X.copy()
    small.layers["a"] = small.X.copy()
    other = zs.pp.regress_out(small, "text", layer="a", copy=True, n_jobs=2)
    assert sparse.issparse(small.layers["a"]) and (other.X != before).nnz == 0
    for start in (0, 1):
        np.testing.assert_allclose(other.layers["a"][start::2].astype("f8").mean(axis=0), 0, atol=1e-5)
    assert other.uns["zensaibo"]["regress_out"]["options"]["keys"] == ["text"]


def compare(ours, theirs, k, rtol=1e-3):
    """Components and scores up to sign, for those well apart from their neighbours."""
    a, b = ours.obsm["X_pca"][:, :k], theirs.obsm["X_pca"][:, :k]
    np.testing.assert_allclose(ours.uns["pca"]["variance"][:k], theirs.uns["pca"]["variance"][:k], rtol=rtol)
    np.testing.assert_allclose(ours.uns["pca"]["variance_ratio"][:k], theirs.uns["pca"]["variance_ratio"][:k], rtol=rtol)
    signs = np.sign((a * b).sum(axis=0))
    np.testing.assert_allclose(a * signs, b, atol=2e-2 * np.abs(b).std(axis=0).max())


@pytest.mark.parametrize("max_value", [None, 10.0, 2.0])
def test_pca_of_scaled_data_equals_scanpy_without_the_dense_matrix(cells, max_value):
    ours, theirs = cells, cells.copy()
    zs.pp.pca(ours, 30, scale=True, max_value=max_value)
    assert sparse.issparse(ours.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.scale(theirs, max_value=max_value)
        sc.pp.pca(theirs, 30, svd_solver="full")
    compare(ours, theirs, 8)
    assert ours.uns["pca"]["params"]["scale"] is True


@pytest.mark.parametrize("keys", [["total", "n_genes"], "sample"], ids=str)
@pytest.mark.parametrize("scale", [False, True])
def test_pca_of_residuals_equals_scanpy_without_the_dense_matrix(cells, keys, scale):
    ours, theirs = cells, cells.copy()
    zs.pp.pca(ours, 30, regress_keys=keys, scale=scale)
    assert sparse.issparse(ours.X)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.regress_out(theirs, keys, n_jobs=1)
        if scale:
            sc.pp.scale(theirs)
        sc.pp.pca(theirs, 30, svd_solver="full")
    compare(ours, theirs, 8)


def test_a_planted_property_goes_and_the_groups_stay(small):
    rng = np.random.default_rng(1)
    depth = rng.normal(size=300)
    x = np.log1p(small.X.toarray()) + np.outer(depth, rng.uniform(0.5, 1.5, 120))
    small.obs["depth"] = depth
    small.X = x.astype("f4")
    plain = zs.arrays.pca(small.X, 5)
    assert abs(np.corrcoef(plain.scores[:, 0], depth)[0, 1]) > 0.95
    zs.pp.pca(small, 5, regress_keys="depth")
    left = [abs(np.corrcoef(small.obsm["X_pca"][:, k], depth)[0, 1]) for k in range(5)]
    assert max(left) < 1e-4


def test_bad_input(small):
    small.obs["x"] = np.arange(300.0)
    small.obs["holes"] = np.where(np.arange(300) == 5, np.nan, 1.0)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.regress_out(small, ["x", "nope"])
    with pytest.raises(errors.ParameterError, match="keys.*'group' among 2"):
        zs.pp.regress_out(small, ["x", "group"])
    with pytest.raises(errors.ParameterError, match="keys.*none"):
        zs.pp.regress_out(small, [])
    with pytest.raises(errors.NonFiniteError, match="holes.*cell 5"):
        zs.pp.regress_out(small, "holes")
    small.obs.loc[small.obs_names[2], "x"] = np.inf
    with pytest.raises(errors.NonFiniteError, match="inf in cell 2"):
        zs.pp.regress_out(small, "x")
    with pytest.raises(errors.ParameterError, match="n_jobs"):
        zs.pp.regress_out(small, "group", n_jobs=1, threads=1)
    with pytest.raises(errors.ParameterError, match="neither"):
        zs.arrays.regress_out(small.X)
    with pytest.raises(errors.ParameterError, match="both"):
        zs.arrays.regress_out(small.X, np.ones(300), categories=np.zeros(300, int))
    with pytest.raises(errors.ShapeError, match="300 rows"):
        zs.arrays.regress_out(small.X, np.ones(4))
    with pytest.raises(errors.ShapeError, match="300 entries"):
        zs.arrays.regress_out(small.X, categories=np.zeros(4, int))
    with pytest.raises(errors.DataError, match="categories.*-1"):
        zs.arrays.regress_out(small.X, categories=np.full(300, -1))
    with pytest.raises(errors.DataError, match="expected numbers"):
        zs.arrays.regress_out(small.X, np.array(["a"] * 300))
    with pytest.raises(errors.ParameterError, match="max_value"):
        zs.pp.pca(small, 5, max_value=10)
    with pytest.raises(errors.ParameterError, match="max_value.*regressed out"):
        zs.pp.pca(small, 5, regress_keys="group", scale=True, max_value=10)
    with pytest.raises(errors.ParameterError, match="zero_center"):
        zs.pp.pca(small, 5, scale=True, zero_center=False)
    with pytest.raises(errors.ParameterError, match="zero_center"):
        zs.pp.pca(small, 5, regress_keys="group", zero_center=False)
    with pytest.raises(errors.ParameterError, match="regress_keys.*ndarray"):
        zs.pp.pca(small.X.toarray(), 5, regress_keys="group")
    broken = small.copy()
    broken.X.data[1] = np.nan
    with pytest.raises(errors.NonFiniteError, match="matrix"):
        zs.pp.regress_out(broken, "group")
    assert sparse.issparse(broken.X) and isinstance(broken, ad.AnnData)
