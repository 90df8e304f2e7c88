"""Normalisation and logarithm: scanpy's numbers, every layout, the same bits for any number of threads."""

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


def for_scanpy(adata):
    """A copy that scanpy 1.11 can take: it does not know sparse arrays, only matrices."""
    out = adata.copy()
    if isinstance(out.X, sparse.csr_array):
        out.X = sparse.csr_matrix(out.X)
    return out


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
@pytest.mark.parametrize(
    "arguments",
    [{}, {"target_sum": 1e4}, {"exclude_highly_expressed": True, "max_fraction": 0.02}],
    ids=str,
)
def test_equals_scanpy_on_real_counts(request, name, arguments):
    adata = request.getfixturevalue(name)
    ours, theirs = adata, adata.copy()
    zs.pp.normalize_total(ours, key_added="factor", **arguments)
    sc.pp.normalize_total(theirs, key_added="factor", **arguments)
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=1e-6)
    np.testing.assert_allclose(ours.obs["factor"], theirs.obs["factor"], rtol=1e-6)
    assert ours.X.dtype == theirs.X.dtype
    zs.pp.log1p(ours)
    sc.pp.log1p(theirs)
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=1e-6)
    assert ours.uns["log1p"] == theirs.uns["log1p"] == {"base": None}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_equal_scanpy(small, layout):
    small.X = LAYOUTS[layout](small.X)
    ours, theirs = small, for_scanpy(small)
    zs.pp.normalize_total(ours)
    sc.pp.normalize_total(theirs)
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=1e-6)
    assert ours.X.dtype == theirs.X.dtype
    zs.pp.log1p(ours, base=2)
    sc.pp.log1p(theirs, base=2)
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=2e-6)
    assert ours.uns["log1p"] == {"base": 2}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_log1p_of_every_layout(small, layout):
    small.X = LAYOUTS[layout](small.X)
    kind = type(small.X)
    ours, theirs = small, for_scanpy(small)
    zs.pp.log1p(ours)
    sc.pp.log1p(theirs)
    np.testing.assert_allclose(plain(ours.X), plain(theirs.X), rtol=1e-6)
    assert ours.X.dtype == theirs.X.dtype and type(ours.X) is kind


def test_values_are_overwritten_in_place(small):
    data = small.X.data
    zs.pp.normalize_total(small)
    zs.pp.log1p(small)
    assert small.X.data is data
    dense = np.ascontiguousarray(plain(small.X))
    adata = ad.AnnData(dense)
    zs.pp.log1p(adata)
    assert np.shares_memory(adata.X, dense)


def test_not_inplace_copy_and_layer(small):
    before = small.X.copy()
    small.layers["counts"] = small.X.copy()
    out = zs.pp.normalize_total(small, target_sum=100, inplace=False)
    expected = sc.pp.normalize_total(small.copy(), target_sum=100, inplace=False)
    np.testing.assert_allclose(plain(out["X"]), plain(expected["X"]), rtol=1e-6)
    np.testing.assert_allclose(out["norm_factor"], expected["norm_factor"], rtol=1e-6)
    assert (small.X != before).nnz == 0
    other = zs.pp.normalize_total(small, layer="counts", copy=True)
    assert (small.layers["counts"] != before).nnz == 0 and (other.X != before).nnz == 0
    assert (other.layers["counts"] != before).nnz > 0
    logged = zs.pp.log1p(small, copy=True, layer="counts")
    np.testing.assert_allclose(plain(logged.layers["counts"]), np.log1p(plain(before)), rtol=1e-6)
    small.obsm["extra"] = np.ones((300, 2), "f4")
    zs.pp.log1p(small, obsm="extra")
    np.testing.assert_allclose(small.obsm["extra"], np.log(2), rtol=1e-6)
    assert (small.X != before).nnz == 0


def test_views_and_read_only_memory(small):
    before = small.X.copy()
    view = small[:50]
    zs.pp.normalize_total(view)
    assert not view.is_view and (small.X != before).nnz == 0
    small.X.data.flags.writeable = False
    zs.pp.normalize_total(small, target_sum=1)
    np.testing.assert_allclose(np.ravel(small.X.sum(1)), 1, rtol=1e-5)


def test_empty_cells_do_not_count_for_the_median():
    adata = ad.AnnData(sparse.csr_matrix(np.array([[0, 0], [1, 1], [2, 2], [4, 4]], "f4")))
    with pytest.warns(UserWarning, match="zero counts"):
        zs.pp.normalize_total(adata, key_added="f")
    np.testing.assert_array_equal(plain(adata.X), [[0, 0], [2, 2], [2, 2], [2, 2]])
    np.testing.assert_array_equal(adata.obs["f"], [0, 0.5, 1, 2])
    zeros = ad.AnnData(np.zeros((3, 2), "f4"))
    with pytest.warns(UserWarning, match="zero counts"):
        zs.pp.normalize_total(zeros)
    assert not zeros.X.any()


def test_threads_and_layouts_give_the_same_bits(pbmc3k):
    def run(matrix, threads):
        out, _ = zs.arrays.normalize_total(matrix, target_sum=1e4, threads=threads)
        return zs.arrays.log1p(out, copy=False, threads=threads)

    one = run(pbmc3k.X, 1)
    for threads in (2, 8):
        assert (run(pbmc3k.X, threads).data.view("u4") == one.data.view("u4")).all()
    part = pbmc3k.X[:200]
    from_dense, from_sparse = run(part.toarray(), 2), run(part, 2)
    np.testing.assert_array_equal(from_dense.view("u4"), from_sparse.toarray().view("u4"))


def test_log1p_on_arrays():
    values = np.array([0, 1e-8, 0.5, 1e30, -0.5], "f4")
    out = zs.pp.log1p(values, copy=True)
    np.testing.assert_allclose(out, np.log1p(values.astype("f8")), rtol=1e-7)
    assert values[2] == 0.5 and zs.pp.log1p(values) is not None
    np.testing.assert_allclose(values, out)
    assert zs.pp.log1p(np.array([1, 2])).dtype == np.float64


def test_second_logarithm_warns(small):
    zs.pp.log1p(small)
    with pytest.warns(UserWarning, match="already log-transformed"):
        zs.pp.log1p(small)


def test_scanpy_goes_on_from_our_results(small):
    zs.pp.normalize_total(small)
    zs.pp.log1p(small)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.highly_variable_genes(small, n_top_genes=20)
        sc.pp.pca(small, n_comps=5)
    assert small.obsm["X_pca"].shape == (300, 5)


def test_provenance_survives_a_file(small, tmp_path):
    zs.pp.normalize_total(small)
    zs.pp.log1p(small)
    small.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert back.uns["zensaibo"]["normalize_total"]["options"]["target_sum"] == "None"


def test_bad_input(small):
    with pytest.raises(errors.ParameterError, match="target_sum"):
        zs.pp.normalize_total(small, target_sum=-1)
    with pytest.raises(errors.ParameterError, match="max_fraction"):
        zs.pp.normalize_total(small, max_fraction=2)
    with pytest.raises(errors.ParameterError, match="inplace"):
        zs.pp.normalize_total(small, copy=True, inplace=False)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.normalize_total(small, layer="nope")
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.log1p(small, layer="nope")
    with pytest.raises(errors.ParameterError, match="base"):
        zs.pp.log1p(small, base=1)
    with pytest.raises(errors.ParameterError, match="layer"):
        zs.pp.log1p(small.X, layer="a")
    for value, error in ((-2, errors.NegativeValuesError), (np.nan, errors.NonFiniteError), (np.inf, errors.NonFiniteError)):
        broken = small.copy()
        broken.X.data[11] = value
        kept = broken.X.copy()
        with pytest.raises(error, match="cell 0"):
            zs.pp.normalize_total(broken)
        np.testing.assert_array_equal(broken.X.data, kept.data)
