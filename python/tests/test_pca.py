"""`zs.arrays.pca` and `zs.pp.pca`: against numpy and live against scanpy, layouts, threads, slots, bad input."""

from __future__ import annotations

import inspect
import warnings

import anndata as ad
import numpy as np
import pytest
from conftest import LAYOUTS
from scipy import sparse

import zensaibo as zs
from zensaibo._options import defaults


def prepared(adata: ad.AnnData, *, log: bool = True) -> ad.AnnData:
    """Normalised, logged, 2,000 highly variable genes marked: by scanpy, so that only the PCA differs."""
    import scanpy as sc

    adata = adata.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.X = sparse.csr_matrix(adata.X).astype(np.float32)
        sc.pp.filter_genes(adata, min_cells=3)
        if log:
            sc.pp.normalize_total(adata, target_sum=1e4)
            sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=2000, flavor="seurat")
    return adata


def compare(ours: ad.AnnData, theirs: ad.AnnData, n_comps: int, variance_tolerance: float = 1e-5) -> int:
    """Checks slots, variances, and scores and loadings where the gap allows; returns how many it did allow."""
    v, w = ours.uns["pca"]["variance"], theirs.uns["pca"]["variance"]
    np.testing.assert_allclose(v, w, rtol=variance_tolerance)
    np.testing.assert_allclose(ours.uns["pca"]["variance_ratio"], theirs.uns["pca"]["variance_ratio"], rtol=1e-4)
    assert ours.obsm["X_pca"].shape == theirs.obsm["X_pca"].shape == (ours.n_obs, n_comps)
    assert ours.obsm["X_pca"].dtype == theirs.obsm["X_pca"].dtype == np.float32
    assert ours.varm["PCs"].shape == theirs.varm["PCs"].shape
    checked = 0
    for j in range(n_comps):
        around = [abs(w[i] - w[j]) for i in (j - 1, j + 1) if 0 <= i < n_comps]
        # The next eigenvalue after the last one is not known, so its gap is not either.
        if j == n_comps - 1 or min(around) / w[j] < 2e-3:
            continue
        a, b = ours.obsm["X_pca"][:, j], theirs.obsm["X_pca"][:, j]
        # No absolute value: signs follow the same rule.
        assert np.corrcoef(a, b)[0, 1] > 0.99999, j
        a, b = ours.varm["PCs"][:, j], theirs.varm["PCs"][:, j]
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.99999, j
        checked += 1
    return checked


@pytest.mark.parametrize("solver", [None, "gram", "krylov", "covariance_eigh", "arpack"])
def test_pbmc3k_as_scanpy(pbmc3k, solver):
    import scanpy as sc

    theirs = prepared(pbmc3k)
    ours = theirs.copy()
    sc.pp.pca(theirs, svd_solver="arpack")
    zs.pp.pca(ours, svd_solver=solver)
    assert compare(ours, theirs, 50) >= 20
    outside = ~ours.var["highly_variable"].to_numpy()
    assert not ours.varm["PCs"][outside].any()
    assert ours.uns["pca"]["params"] == theirs.uns["pca"]["params"]
    assert ours.uns["zensaibo"]["pca"]["options"]["n_comps"] == 50


@pytest.mark.parametrize("name", ["paul15", "kang"])
def test_other_data_as_scanpy(name, request):
    import scanpy as sc

    theirs = prepared(request.getfixturevalue(name))
    ours = theirs.copy()
    sc.pp.pca(theirs, n_comps=30, svd_solver="arpack")
    zs.pp.pca(ours, n_comps=30)
    assert compare(ours, theirs, 30) >= 10


def test_all_genes_as_scanpy(paul15):
    import scanpy as sc

    theirs = prepared(paul15)
    ours = theirs.copy()
    for solver in ("gram", "krylov"):
        sc.pp.pca(theirs, n_comps=20, mask_var=None, svd_solver="arpack")
        zs.pp.pca(ours, n_comps=20, mask_var=None, svd_solver=solver)
        assert compare(ours, theirs, 20) >= 5
        assert ours.uns["pca"]["params"]["mask_var"] is None


def test_scaled_dense_data_as_scanpy(pbmc68k_reduced):
    import scanpy as sc

    theirs = ad.AnnData(np.asarray(pbmc68k_reduced.X, dtype=np.float32))
    ours = theirs.copy()
    sc.pp.pca(theirs, svd_solver="arpack")
    zs.pp.pca(ours)
    assert compare(ours, theirs, 50) >= 20


def test_without_centring_as_scanpy(pbmc3k):
    import scanpy as sc

    theirs = prepared(pbmc3k)
    ours = theirs.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.pca(theirs, n_comps=10, zero_center=False, svd_solver="arpack")
    for solver in ("gram", "krylov"):
        zs.pp.pca(ours, n_comps=10, zero_center=False, svd_solver=solver)
        np.testing.assert_allclose(ours.uns["pca"]["variance"], theirs.uns["pca"]["variance"], rtol=2e-4)
        for j in range(5):
            assert np.corrcoef(ours.obsm["X_pca"][:, j], theirs.obsm["X_pca"][:, j])[0, 1] > 0.99999


def test_against_numpy():
    rng = np.random.default_rng(3)
    X = rng.poisson(1.0, size=(200, 60)) * rng.gamma(2.0, size=60)
    X = X.astype(np.float32)
    centred = X.astype(float) - X.astype(float).mean(axis=0)
    _, s, vt = np.linalg.svd(centred, full_matrices=False)
    found = zs.arrays.pca(X, 12)
    np.testing.assert_allclose(found.variance, s[:12] ** 2 / 199, rtol=1e-6)
    np.testing.assert_allclose(found.variance_ratio, (s**2 / (s**2).sum())[:12], rtol=1e-6)
    np.testing.assert_allclose(np.abs(np.sum(found.components * vt[:12], axis=1)), 1, atol=1e-6)
    np.testing.assert_allclose(found.scores, centred @ found.components.T, atol=1e-4)
    np.testing.assert_allclose(found.mean, X.astype(float).mean(axis=0), rtol=1e-12)
    largest = np.abs(found.components).argmax(axis=1)
    assert (found.components[np.arange(12), largest] > 0).all()
    assert found.scores.dtype == np.float32 and found.scores.flags.c_contiguous


@pytest.mark.parametrize("solver", ["gram", "krylov"])
def test_layouts_and_threads_give_the_same_bits(small, solver):
    counts = small.X
    reference = zs.arrays.pca(counts, 10, svd_solver=solver, threads=1)
    for name, make in LAYOUTS.items():
        found = zs.arrays.pca(make(counts), 10, svd_solver=solver, threads=2)
        for a, b in zip(found, reference, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    found = zs.arrays.pca(counts, 10, svd_solver=solver, threads=8)
    for a, b in zip(found, reference, strict=True):
        np.testing.assert_array_equal(a, b)


def test_real_data_over_threads(pbmc3k):
    adata = prepared(pbmc3k)
    mask = adata.var["highly_variable"].to_numpy()
    for solver in ("gram", "krylov"):
        one, two, eight = (zs.arrays.pca(adata.X, mask=mask, svd_solver=solver, threads=t) for t in (1, 2, 8))
        for a, b, c in zip(one, two, eight, strict=True):
            np.testing.assert_array_equal(a, b)
            np.testing.assert_array_equal(a, c)


def test_mask_is_the_same_as_slicing(small):
    mask = np.arange(120) % 3 == 0
    whole = zs.arrays.pca(small.X, 5, mask=mask)
    sliced = zs.arrays.pca(small.X[:, mask], 5)
    chunked = zs.arrays.pca(small.X, 5, mask=mask, chunked=True)
    for a, b, c in zip(whole, sliced, chunked, strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)
    sized = zs.arrays.pca(small.X, 5, mask=mask, chunked=True, chunk_size=37)
    np.testing.assert_allclose(sized.variance, whole.variance, rtol=1e-6)


def test_views_and_layers_and_copies(small):
    small.layers["counts"] = small.X.copy()
    small.X = small.X * 2
    view = small[::2]
    zs.pp.pca(view, 4)
    assert not view.is_view and view.obsm["X_pca"].shape == (150, 4)
    assert "X_pca" not in small.obsm
    copied = zs.pp.pca(small, 4, layer="counts", copy=True)
    assert "X_pca" not in small.obsm
    assert copied.uns["pca"]["params"]["layer"] == "counts"
    np.testing.assert_array_equal(copied.obsm["X_pca"], zs.arrays.pca(small.layers["counts"], 4).scores)
    assert zs.pp.pca(small, 4) is None


def test_slots_follow_preset_and_key(small):
    zs.pp.pca(small, 4, preset="scanpy-v2")
    assert set(small.obsm) == {"pca"} and set(small.varm) == {"PCs"} and "pca" in small.uns
    zs.pp.pca(small, 4, key_added="mine", dtype="float64")
    assert small.obsm["mine"].dtype == np.float64
    assert "mine" in small.varm and "mine" in small.uns


def test_names_of_solvers(small):
    taken = {}
    for name in (None, "auto", "arpack", "randomized", "lobpcg", "gram", "covariance_eigh", "krylov"):
        zs.pp.pca(small, 3, svd_solver=name)
        taken[name] = small.uns["zensaibo"]["pca"]["options"]["svd_solver"]
    assert taken.pop("krylov") == "krylov"
    assert set(taken.values()) == {"gram"}
    assert zs.arrays.pca(small.X, 3, svd_solver="arpack").solver == "krylov"
    with pytest.raises(zs.errors.ParameterError, match="tsqr"):
        zs.pp.pca(small, 3, svd_solver="tsqr")


def test_masks_of_an_anndata(small):
    mask = np.arange(120) < 50
    small.var["mine"] = mask
    zs.pp.pca(small, 4, mask_var="mine")
    by_name = small.obsm["X_pca"]
    zs.pp.pca(small, 4, mask_var=mask)
    np.testing.assert_array_equal(small.obsm["X_pca"], by_name)
    assert not small.varm["PCs"][50:].any()
    zs.pp.pca(small, 4)
    assert small.varm["PCs"][50:].any()
    small.var["highly_variable"] = mask
    zs.pp.pca(small, 4)
    np.testing.assert_array_equal(small.obsm["X_pca"], by_name)
    assert small.uns["pca"]["params"]["use_highly_variable"] is True
    zs.pp.pca(small, 4, mask_var=None)
    assert small.varm["PCs"][50:].any()
    with pytest.warns(FutureWarning, match="mask_var"):
        zs.pp.pca(small, 4, use_highly_variable=True)
    np.testing.assert_array_equal(small.obsm["X_pca"], by_name)
    with pytest.warns(FutureWarning), pytest.raises(zs.errors.ParameterError, match="one of them"):
        zs.pp.pca(small, 4, use_highly_variable=True, mask_var="mine")


def test_arrays_instead_of_an_anndata(small):
    scores = zs.pp.pca(small.X, 4)
    zs.pp.pca(small, 4)
    np.testing.assert_array_equal(scores, small.obsm["X_pca"])
    scores, components, ratio, variance = zs.pp.pca(small.X.toarray(), 4, return_info=True)
    np.testing.assert_array_equal(components.T, small.varm["PCs"])
    np.testing.assert_array_equal(ratio, small.uns["pca"]["variance_ratio"])
    np.testing.assert_array_equal(variance, small.uns["pca"]["variance"])
    with pytest.raises(zs.errors.ParameterError, match="AnnData"):
        zs.pp.pca(small.X, 4, mask_var="mine")


def test_scanpy_goes_on_from_it_and_it_is_stored(small, tmp_path):
    import matplotlib
    import scanpy as sc

    matplotlib.use("Agg")
    zs.pp.pca(small, 10)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.neighbors(small, n_neighbors=10)
        sc.pl.pca(small, color="group", show=False)
        sc.pl.pca_variance_ratio(small, show=False)
        sc.pl.pca_loadings(small, show=False)
    assert "connectivities" in small.obsp
    small.var["mask"] = True
    zs.pp.pca(small, 10, mask_var="mask")
    small.write_h5ad(tmp_path / "stored.h5ad")
    back = ad.read_h5ad(tmp_path / "stored.h5ad")
    np.testing.assert_array_equal(back.obsm["X_pca"], small.obsm["X_pca"])


def test_defaults_are_those_of_rust():
    ours = {name: p.default for name, p in inspect.signature(zs.arrays.pca).parameters.items()}
    for name, value in defaults("pca").items():
        assert ours[{"random_state": "seed"}.get(name, name)] == value, name


def fails(kind, match, *args, **kwargs):
    with pytest.raises(kind, match=match):
        zs.arrays.pca(*args, **kwargs)


def test_bad_arrays(small):
    errors = zs.errors
    dense = small.X.toarray()
    fails(errors.ParameterError, "n_comps.*1 to 120.*121", dense, 121)
    fails(errors.ParameterError, "n_comps.*1 to 4", dense[:5], 5)
    fails(errors.ParameterError, "n_comps", dense, 0)
    fails(errors.ParameterError, "svd_solver|variant", dense, 3, svd_solver="tsqr")
    fails(errors.ParameterError, "chunk_size", dense, 3, chunk_size=10)
    fails(errors.ParameterError, "tolerance", dense, 3, tolerance=0.0)
    fails(errors.EmptyDataError, "2 cells", dense[:1])
    fails(errors.EmptyDataError, "2 cells", dense[:0])
    fails(errors.EmptyDataError, "gene", dense[:, :0])
    fails(errors.DataError, "varies", np.full((20, 9), 0.1, dtype=np.float32))
    fails(errors.DataError, "varies", sparse.csr_matrix((20, 9), dtype=np.float32))
    for bad in (np.nan, np.inf, -np.inf):
        broken = dense.copy()
        broken[7, 5] = bad
        fails(errors.NonFiniteError, "column 5", broken)
        fails(errors.NonFiniteError, "column 5", sparse.csr_matrix(broken))
    fails(errors.DataError, "120 entries", dense, mask=np.ones(3, dtype=bool))
    fails(errors.DataError, "boolean", dense, mask=np.ones(120))
    fails(errors.EmptyDataError, "gene", dense, mask=np.zeros(120, dtype=bool))
    fails(errors.DataError, "two dimensions", dense[0])


def test_bad_anndata(small):
    errors = zs.errors
    with pytest.raises(errors.MissingKeyError, match="nothing_such"):
        zs.pp.pca(small, layer="nothing_such")
    with pytest.raises(errors.MissingKeyError, match="nothing_such"):
        zs.pp.pca(small, mask_var="nothing_such")
    with pytest.raises(errors.DataError, match="at least one gene selected"):
        zs.pp.pca(small, mask_var=np.zeros(120, dtype=bool))
    with pytest.raises(errors.DataError, match="120 entries"):
        zs.pp.pca(small, mask_var=np.zeros(5, dtype=bool))
    small.var["text"] = "a"
    with pytest.raises(errors.DataError, match="boolean"):
        zs.pp.pca(small, mask_var="text")
    for name, value in {"random_state": None, "dtype": "int32", "preset": "scanpy-v3"}.items():
        with pytest.raises(errors.ParameterError, match=name):
            zs.pp.pca(small, **{name: value})
    assert not small.obsm and not small.varm and not small.uns
