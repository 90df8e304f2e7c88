"""ComBat: scanpy's numbers, covariates, layouts, the same bits for any number of threads."""

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


def theirs(adata, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        copy = adata.copy()
        copy.X = (copy.X.toarray() if sparse.issparse(copy.X) else np.asarray(copy.X)).astype(np.float64)
        return sc.pp.combat(copy, inplace=False, **arguments)


def logged(adata, n_top=800):
    adata.X = sparse.csr_matrix(adata.X).astype(np.float32)
    sc.pp.filter_genes(adata, min_cells=20)
    sc.pp.normalize_total(adata, target_sum=1e4)
    sc.pp.log1p(adata)
    return adata[:, np.argsort(-np.asarray(adata.X.mean(axis=0)).ravel())[:n_top]].copy()


def test_equals_scanpy_on_real_data(kang):
    adata = logged(kang)
    expected = theirs(adata, key="stim")
    zs.pp.combat(adata, "stim")
    # Both stop once no effect changes by more than 1e-4 of itself; effects are of the order of 1.
    np.testing.assert_allclose(adata.X, expected, atol=2e-4)
    assert adata.X.dtype == np.float32


def test_three_batches_and_covariates_equal_scanpy(pbmc3k_log, monkeypatch):
    adata = pbmc3k_log[:, pbmc3k_log.var["highly_variable"]][:, :600].copy()
    adata.obs["batch"] = pd.Categorical(np.array(["z", "a", "k"])[np.random.default_rng(0).integers(0, 3, adata.n_obs)])
    varying = [adata.X[(adata.obs["batch"] == b).to_numpy()].toarray().var(axis=0) > 0 for b in "zak"]
    adata = adata[:, np.all(varying, axis=0)].copy()
    np.testing.assert_allclose(
        zs.pp.combat(adata, inplace=False), theirs(adata), atol=1e-3
    )
    got = zs.pp.combat(adata, covariates=["n_genes"], inplace=False)
    np.testing.assert_allclose(got, theirs(adata, covariates=["n_genes"]), atol=1e-3)
    # scanpy inverts a singular matrix where there are categories; with the pseudo-inverse its answer is determined.
    monkeypatch.setattr(sc.pp._combat.la, "inv", lambda m: np.linalg.pinv(np.asarray(m)))
    got = zs.pp.combat(adata, covariates=["leiden", "n_genes"], inplace=False)
    np.testing.assert_allclose(got, theirs(adata, covariates=["leiden", "n_genes"]), atol=1e-3)


def test_planted_effects_go_and_covariates_stay(small):
    rng = np.random.default_rng(3)
    batch = rng.integers(0, 2, 300)
    shift, groups = rng.normal(size=120), np.repeat([0, 1, 2], 100)
    x = rng.normal(size=(300, 120)) * (1 + batch[:, None]) + np.outer(batch, 3 * shift)
    x += np.outer(groups == 1, rng.normal(size=120) * 3)
    small.X = x.astype("f4")
    small.obs["batch"] = pd.Categorical(batch.astype(str))
    zs.pp.combat(small, covariates=["group"])
    first, second = small.X[(batch == 0) & (groups == 0)], small.X[(batch == 1) & (groups == 0)]
    assert np.abs(first.mean(axis=0) - second.mean(axis=0)).mean() < 0.35
    assert abs(first.std() / second.std() - 1) < 0.1
    apart = np.abs(small.X[groups == 1].mean(axis=0) - small.X[groups == 0].mean(axis=0)).mean()
    assert apart > 1.5


def test_a_constant_gene_changes_nothing_else(small):
    small.obs["batch"] = np.array(["a", "b"])[np.arange(300) % 2]
    plain = zs.pp.combat(small, inplace=False)
    with_constant = sparse.hstack([small.X, sparse.csr_matrix(np.full((300, 1), 3.25, "f4"))], format="csr")
    found = zs.arrays.combat(with_constant, np.arange(300) % 2)
    assert found.n_constant == 1
    np.testing.assert_allclose(found.corrected[:, :120], plain, atol=1e-6)
    np.testing.assert_allclose(found.corrected[:, 120], 3.25, rtol=1e-6)
    assert sparse.issparse(small.X)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(small, layout):
    batches = np.arange(300) % 3
    one = zs.arrays.combat(small.X, batches)
    other = zs.arrays.combat(LAYOUTS[layout](small.X), batches)
    assert one.corrected.tobytes() == other.corrected.tobytes() and one.delta.tobytes() == other.delta.tobytes()


def test_threads_give_the_same_bits(pbmc3k_log):
    batches = np.arange(pbmc3k_log.n_obs) % 4
    covariates = np.sin(np.arange(pbmc3k_log.n_obs))
    part = pbmc3k_log.X[:, :3000]
    runs = [zs.arrays.combat(part, batches, covariates=covariates, threads=t) for t in (1, 2, 8)]
    for run in runs[1:]:
        assert run.corrected.tobytes() == runs[0].corrected.tobytes() and run.gamma.tobytes() == runs[0].gamma.tobytes()


def test_storage_and_bad_input(small, tmp_path):
    small.obs["batch"] = np.array(["a", "b"])[np.arange(300) % 2]
    small.obs["same"] = small.obs["batch"]
    small.obs["lonely"] = np.where(np.arange(300) == 7, "x", "y")
    small.obs["one"] = "u"
    small.obs["x"] = np.arange(300.0)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.combat(small, "nope")
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.combat(small, covariates=["nope"])
    with pytest.raises(errors.ParameterError, match="other than the batches"):
        zs.pp.combat(small, covariates=["batch"])
    with pytest.raises(errors.ParameterError, match="each column once"):
        zs.pp.combat(small, covariates=["x", "x"])
    with pytest.raises(errors.TooFewError, match="`lonely`: expected .*found 1 in batch 'x'"):
        zs.pp.combat(small, "lonely")
    with pytest.raises(errors.TooFewError, match="at least 2, found 1"):
        zs.pp.combat(small, "one")
    with pytest.raises(errors.DataError, match="collinear"):
        zs.pp.combat(small, covariates=["same"])
    small.obs.loc[small.obs_names[4], "x"] = np.nan
    with pytest.raises(errors.NonFiniteError, match="cell 4"):
        zs.pp.combat(small, covariates=["x"])
    with pytest.raises(errors.ShapeError, match="entries"):
        zs.arrays.combat(small.X, np.zeros(4, int))
    with pytest.raises(errors.DataError, match="batches"):
        zs.arrays.combat(small.X, np.array(["a"] * 300))
    for name, value in (("tolerance", 0.0), ("max_iter", 0)):
        with pytest.raises(errors.ParameterError, match=name):
            zs.arrays.combat(small.X, np.arange(300) % 2, **{name: value})
    with pytest.raises(errors.NotConvergedError, match="combat"):
        zs.arrays.combat(small.X, np.arange(300) % 2, tolerance=1e-15, max_iter=1)
    broken = small.copy()
    broken.X.data[3] = np.nan
    with pytest.raises(errors.NonFiniteError, match="column"):
        zs.pp.combat(broken)
    assert sparse.issparse(broken.X)
    zs.pp.combat(small)
    small.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").uns["zensaibo"]["combat"]["options"]["key"] == "batch"
