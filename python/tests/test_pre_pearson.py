"""Pearson residuals and their gene selection: scanpy's numbers, layouts, the same bits for any number of threads."""

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


def expressed(adata, step=1):
    """Genes that some cell expresses: scanpy's residuals of the others are NaN."""
    genes = np.flatnonzero(np.asarray(adata.X.sum(axis=0)).ravel() > 0)[::step]
    return adata[:, genes].copy()


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
@pytest.mark.parametrize("arguments", [{}, {"theta": 10, "clip": 3.0}, {"theta": np.inf, "clip": np.inf}], ids=str)
def test_residuals_equal_scanpy(request, name, arguments):
    adata = expressed(request.getfixturevalue(name), step=7)
    adata.X = sparse.csr_matrix(adata.X).astype(np.float32)
    if arguments.get("clip") == np.inf:
        arguments = {**arguments, "clip": 1e9}
    ours, theirs = adata, adata.copy()
    theirs.X = theirs.X.astype(np.float64)
    zs.pp.normalize_pearson_residuals(ours, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.experimental.pp.normalize_pearson_residuals(theirs, **arguments)
    np.testing.assert_allclose(ours.X, np.asarray(theirs.X), rtol=1e-6, atol=1e-6)
    assert ours.X.dtype == np.float32
    assert ours.uns["pearson_residuals_normalization"] == theirs.uns["pearson_residuals_normalization"]


def frames(ours, theirs, **arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.pp.highly_variable_genes(ours, flavor="pearson_residuals", **arguments)
        sc.experimental.pp.highly_variable_genes(theirs, flavor="pearson_residuals", **arguments)
    return ours.var, theirs.var


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
@pytest.mark.parametrize("arguments", [{}, {"theta": 5.0, "clip": 2.5}], ids=str)
def test_selection_equals_scanpy(request, name, arguments):
    adata = request.getfixturevalue(name)
    adata.X = sparse.csr_matrix(adata.X)
    ours, theirs = frames(adata, adata.copy(), n_top_genes=1000, **arguments)
    assert set(ours.columns) == set(theirs.columns)
    np.testing.assert_allclose(ours["residual_variances"], theirs["residual_variances"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(ours["means"], theirs["means"], rtol=1e-6)
    np.testing.assert_allclose(ours["variances"], theirs["variances"], rtol=1e-6)
    # Genes with the same residual variance rank in gene order; scanpy leaves that open.
    differ = ours["highly_variable"] != theirs["highly_variable"]
    assert differ.sum() <= 4
    ranks = np.abs(ours["highly_variable_rank"] - theirs["highly_variable_rank"])
    assert (ranks.dropna() > 0).mean() < 0.02
    assert adata.uns["hvg"] == {"flavor": "pearson_residuals", "computed_on": "adata.X"}


def test_batches_equal_scanpy(kang):
    kang.X = sparse.csr_matrix(kang.X)
    ours, theirs = frames(kang, kang.copy(), n_top_genes=800, batch_key="stim", clip=30.0)
    assert set(ours.columns) == set(theirs.columns)
    np.testing.assert_allclose(ours["residual_variances"], theirs["residual_variances"], rtol=1e-6, atol=1e-9)
    assert (ours["highly_variable_nbatches"] != theirs["highly_variable_nbatches"]).mean() < 0.001
    assert (ours["highly_variable_intersection"] != theirs["highly_variable_intersection"]).mean() < 0.001
    assert (ours["highly_variable"] != theirs["highly_variable"]).sum() <= 6


def test_without_a_clip_each_batch_takes_its_own(kang):
    batches = (np.arange(kang.n_obs) % 5 == 0).astype(np.uint32)
    found = zs.arrays.highly_variable_genes(
        kang.X, flavor="pearson_residuals", n_top_genes=100, batches=batches, check_values=False
    )
    alone = [
        zs.arrays.highly_variable_genes(
            kang.X[batches == b], flavor="pearson_residuals", n_top_genes=100, clip=float(np.sqrt((batches == b).sum()))
        ).residual_variances
        for b in (0, 1)
    ]
    np.testing.assert_allclose(found.residual_variances, np.mean(alone, axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_bits(small, layout):
    one = zs.arrays.pearson_residuals(small.X)
    other = zs.arrays.pearson_residuals(LAYOUTS[layout](small.X))
    assert one.residuals.tobytes() == other.residuals.tobytes() and not other.not_counts
    genes = [
        zs.arrays.highly_variable_genes(x, flavor="pearson_residuals", n_top_genes=20).residual_variances.tobytes()
        for x in (small.X, LAYOUTS[layout](small.X))
    ]
    assert genes[0] == genes[1]


def test_threads_give_the_same_bits(pbmc3k):
    def run(threads):
        genes = zs.arrays.highly_variable_genes(pbmc3k.X, flavor="pearson_residuals", n_top_genes=50, threads=threads)
        part = zs.arrays.pearson_residuals(pbmc3k.X[:, genes.highly_variable], threads=threads)
        return genes.residual_variances.tobytes(), part.residuals.tobytes()

    assert run(1) == run(2) == run(8)


def test_genes_and_cells_without_counts_and_storage(small, tmp_path):
    dense = small.X.toarray()
    dense[:, 3] = 0
    dense[7] = 0
    small.X = sparse.csr_matrix(dense)
    small.layers["counts"] = small.X.copy()
    out = zs.pp.normalize_pearson_residuals(small, layer="counts", inplace=False)
    assert not out["X"][:, 3].any() and not out["X"][7].any() and np.isfinite(out["X"]).all()
    assert out["computed_on"] == "counts" and sparse.issparse(small.layers["counts"])
    other = zs.pp.normalize_pearson_residuals(small, layer="counts", copy=True)
    np.testing.assert_array_equal(other.layers["counts"], out["X"])
    frame = zs.pp.highly_variable_genes(small, flavor="pearson_residuals", n_top_genes=10, inplace=False)
    assert frame["residual_variances"].iloc[3] == 0 and frame["highly_variable"].sum() == 10
    zs.pp.highly_variable_genes(small, flavor="pearson_residuals", n_top_genes=10, subset=True)
    assert small.n_vars == 10
    zs.pp.normalize_pearson_residuals(small)
    small.uns["pearson_residuals_normalization"]["clip"] = 1.0
    small.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").uns["hvg"]["computed_on"] == "adata.X"


def test_bad_input(small):
    for function in (
        zs.pp.normalize_pearson_residuals,
        lambda a, **k: zs.pp.highly_variable_genes(a, flavor="pearson_residuals", n_top_genes=5, **k),
    ):
        for arguments in ({"theta": 0}, {"theta": -1.0}, {"clip": -1.0}):
            with pytest.raises(errors.ParameterError, match=next(iter(arguments))):
                function(small, **arguments)
        halves = small.copy()
        halves.X = halves.X * 0.5
        with pytest.warns(UserWarning, match="non-integers"):
            function(halves)
        for value, error in ((-1, errors.NegativeValuesError), (np.nan, errors.NonFiniteError)):
            broken = small.copy()
            broken.X.data[3] = value
            with pytest.raises(error, match="cell 0"):
                function(broken)
            assert sparse.issparse(broken.X)
        with pytest.raises(errors.MissingKeyError, match="nope"):
            function(small, layer="nope")
    with pytest.raises(errors.ParameterError, match="n_top_genes"):
        zs.pp.highly_variable_genes(small, flavor="pearson_residuals")
    with pytest.raises(errors.ParameterError, match="inplace"):
        zs.pp.normalize_pearson_residuals(small, copy=True, inplace=False)
