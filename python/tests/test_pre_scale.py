"""Scaling: scanpy's numbers and slots, every layout, the same bits for any number of threads."""

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


def plain(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


def quietly(function, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*args, **kwargs)


@pytest.mark.parametrize("dense", [False, True], ids=["sparse", "dense"])
@pytest.mark.parametrize("max_value", [None, 2.0])
@pytest.mark.parametrize("zero_center", [True, False])
@pytest.mark.parametrize("mask", [None, "name", "array"])
def test_equals_scanpy_on_real_data(pbmc3k_log, dense, max_value, zero_center, mask):
    adata = pbmc3k_log[:, pbmc3k_log.var["highly_variable"]].copy()
    if dense:
        adata.X = adata.X.toarray()
    adata.obs["taken"] = np.arange(adata.n_obs) % 4 != 0
    mask_obs = {None: None, "name": "taken", "array": adata.obs["taken"].to_numpy()}[mask]
    ours, theirs = adata, adata.copy()
    if not dense and zero_center:
        with pytest.warns(UserWarning, match="densifies"):
            zs.pp.scale(ours, zero_center=zero_center, max_value=max_value, mask_obs=mask_obs)
    else:
        zs.pp.scale(ours, zero_center=zero_center, max_value=max_value, mask_obs=mask_obs)
    quietly(sc.pp.scale, theirs, zero_center=zero_center, max_value=max_value, mask_obs=mask_obs)
    assert sparse.issparse(ours.X) is (not dense and not zero_center)
    assert ours.X.dtype == np.float32
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=2e-5, atol=2e-6)
    added = [c for c in theirs.var.columns if c not in pbmc3k_log.var.columns]
    assert len(added) == 2
    for column in added:
        np.testing.assert_allclose(ours.var[column], theirs.var[column], rtol=2e-5)
        assert ours.var[column].dtype == np.float64


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("zero_center", [True, False])
def test_layouts(small, layout, zero_center):
    expected = small.X.toarray().astype(np.float64)
    std = expected.std(axis=0, ddof=1)
    expected = (expected - (expected.mean(axis=0) if zero_center else 0)) / std
    small.X = LAYOUTS[layout](small.X)
    kind = small.X.dtype
    quietly(zs.pp.scale, small, zero_center=zero_center)
    np.testing.assert_allclose(plain(small.X), expected, rtol=1e-5, atol=1e-6)
    assert small.X.dtype == (np.float32 if kind == np.float32 else np.float64)
    assert sparse.issparse(small.X) is (layout != "dense" and not zero_center)


def test_layers_obsm_copies_views_and_arrays(small):
    before = small.X.copy()
    small.layers["a"] = small.X.copy()
    quietly(zs.pp.scale, small, layer="a")
    assert (small.X != before).nnz == 0 and "mean" in small.var
    small.obsm["b"] = np.random.default_rng(0).normal(3, 2, (300, 4)).astype("f4")
    del small.var["mean"]
    zs.pp.scale(small, obsm="b")
    np.testing.assert_allclose(small.obsm["b"].std(axis=0, ddof=1), 1, rtol=1e-5)
    assert "mean" not in small.var
    other = zs.pp.scale(small, zero_center=False, copy=True)
    assert (small.X != before).nnz == 0 and (other.X != before).nnz > 0
    view = small[:50]
    zs.pp.scale(view, zero_center=False)
    assert not view.is_view and (small.X != before).nnz == 0
    values = before.toarray()
    out = zs.pp.scale(values, copy=True)
    assert np.array_equal(values, before.toarray())
    assert zs.pp.scale(values) is values and np.array_equal(values, out)
    found = zs.arrays.scale(before, zero_center=False)
    np.testing.assert_allclose(found.std, before.toarray().astype("f8").std(axis=0, ddof=1), rtol=1e-6)
    assert (small.X != before).nnz == 0


def test_threads_and_layouts_give_the_same_bits(pbmc3k_log):
    x = pbmc3k_log.X
    for zero_center in (True, False):
        one = zs.arrays.scale(x, zero_center=zero_center, max_value=10, threads=1)
        for threads in (2, 8):
            other = zs.arrays.scale(x, zero_center=zero_center, max_value=10, threads=threads)
            assert plain(one.matrix).tobytes() == plain(other.matrix).tobytes()
            assert one.std.tobytes() == other.std.tobytes()
        dense = zs.arrays.scale(x.toarray(), zero_center=zero_center, max_value=10)
        np.testing.assert_array_equal(dense.matrix.view("u4"), plain(one.matrix).view("u4"))


def test_genes_that_do_not_vary_and_one_cell():
    adata = ad.AnnData(np.array([[0, 3.3, 1], [0, 3.3, 2], [0, 3.3, 6]], "f4"))
    zs.pp.scale(adata)
    np.testing.assert_array_equal(adata.X[:, :2], 0)
    np.testing.assert_array_equal(adata.var["std"][:2], 1)
    single = zs.arrays.scale(np.array([[1.0, 2.0]], "f4"))
    np.testing.assert_array_equal(single.matrix, [[0, 0]])


def test_scanpy_goes_on_from_our_results_and_files(small, tmp_path):
    quietly(zs.pp.scale, small, max_value=10, mask_obs=np.arange(300) < 200)
    sc.pp.pca(small, n_comps=5)
    small.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert back.uns["zensaibo"]["scale"]["options"]["mask_obs"] == "array"
    assert "std with mask" in back.var


def test_bad_input(small):
    for value in (0, -1.0, np.nan):
        with pytest.raises((errors.ParameterError, ValueError), match="max_value|JSON"):
            zs.pp.scale(small, zero_center=False, max_value=value)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.scale(small, layer="nope")
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.scale(small, mask_obs="nope")
    with pytest.raises(errors.DataError, match="boolean"):
        zs.pp.scale(small, mask_obs="group")
    with pytest.raises(errors.ShapeError, match="mask_obs.*300 entries"):
        zs.pp.scale(small, mask_obs=np.ones(4, bool))
    with pytest.raises(errors.EmptyDataError, match="at least one cell"):
        zs.pp.scale(small, mask_obs=np.zeros(300, bool), zero_center=False)
    with pytest.raises(errors.ParameterError, match="layer"):
        zs.pp.scale(small.X, layer="a")
    broken = small.copy()
    broken.X.data[5] = np.nan
    kept = broken.X.data.copy()
    with pytest.raises(errors.NonFiniteError, match="column"):
        zs.pp.scale(broken, zero_center=False)
    np.testing.assert_array_equal(broken.X.data, kept)
