"""Highly variable genes: scanpy's sets and statistics, on real data and at the edges."""

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

STATISTICS = ["means", "dispersions", "dispersions_norm", "variances", "variances_norm"]


def scanpys(adata, **arguments) -> pd.DataFrame:
    """scanpy's table.

    Genes with the same counts in another order have equal variances; scanpy ranks them by numpy's unstable sort,
    whose order depends on the machine. With a stable sort in its place, there is one right answer.
    """
    argsort = np.argsort
    with warnings.catch_warnings(), pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("ignore")
        # The function itself, not the module's `np`: scanpy's numba kernels are compiled against that name.
        patch.setattr(np, "argsort", lambda values, axis=-1, **_: argsort(values, axis=axis, kind="stable"))
        table = sc.pp.highly_variable_genes(adata, inplace=False, **arguments)
    return table.loc[adata.var_names]


def assert_same(adata, **arguments):
    """Sets identical, statistics to 1e-6.

    Statistics are compared with scanpy on float64 values: on float32 it squares in float32, which alone costs more
    than 1e-6. Sets are compared on the values as they are.
    """
    ours = zs.pp.highly_variable_genes(adata, inplace=False, **arguments)
    theirs = scanpys(adata, **arguments)
    assert ours["highly_variable"].sum() > 0
    assert set(ours.index[ours["highly_variable"]]) == set(theirs.index[theirs["highly_variable"].astype(bool)])
    wide = adata.copy()
    wide.X = wide.X.astype(np.float64)
    exact = scanpys(wide, **arguments)
    for column in STATISTICS:
        assert (column in ours) == (column in exact)
        if column in ours:
            a, b = ours[column].to_numpy(float), exact[column].to_numpy(float)
            # A gene whose values are all but equal has a variance of rounding errors alone.
            noise = exact["means"].to_numpy() * 1e-12 if column == "variances" else 1e-6
            np.testing.assert_allclose(a, b, rtol=1e-6, atol=noise if np.isscalar(noise) else noise.max(), err_msg=column)
    for column in ("highly_variable_nbatches", "highly_variable_intersection"):
        assert (column in ours) == (column in theirs)
        if column in ours:
            np.testing.assert_array_equal(ours[column], theirs[column], err_msg=column)
    return ours, theirs


def logged(adata, min_cells=1):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.filter_genes(adata, min_cells=min_cells)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
    return adata


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger"])
@pytest.mark.parametrize("n_top_genes", [None, 1500])
def test_dispersions_equal_scanpy(request, name, flavor, n_top_genes):
    adata = logged(request.getfixturevalue(name), min_cells=3)
    assert_same(adata, flavor=flavor, n_top_genes=n_top_genes)


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
@pytest.mark.parametrize("n_top_genes", [None, 500])
def test_seurat_v3_equals_scanpy(request, name, n_top_genes):
    adata = request.getfixturevalue(name)
    sc.pp.filter_genes(adata, min_cells=3)
    ours, theirs = assert_same(adata, flavor="seurat_v3", n_top_genes=n_top_genes)
    chosen = theirs["highly_variable"].to_numpy()
    np.testing.assert_array_equal(ours["highly_variable_rank"][chosen], theirs["highly_variable_rank"][chosen])
    assert ours["highly_variable_rank"].dtype == theirs["highly_variable_rank"].dtype


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper"])
@pytest.mark.parametrize("n_top_genes", [None, 1000])
def test_batches_equal_scanpy(kang, flavor, n_top_genes):
    sc.pp.filter_genes(kang, min_cells=10)
    if not flavor.startswith("seurat_v3"):
        kang = logged(kang)
    assert_same(kang, flavor=flavor, n_top_genes=n_top_genes, batch_key="stim")


@pytest.mark.parametrize("arguments", [{"min_disp": 0.1, "max_mean": 2}, {"n_bins": 7}, {"n_top_genes": 5}], ids=str)
def test_other_options_equal_scanpy(pbmc3k_log, arguments):
    assert_same(pbmc3k_log, **arguments)


def test_span_and_base(pbmc3k):
    sc.pp.filter_genes(pbmc3k, min_cells=20)
    assert_same(pbmc3k, flavor="seurat_v3", n_top_genes=300, span=0.6)
    sc.pp.normalize_total(pbmc3k)
    sc.pp.log1p(pbmc3k, base=2)
    assert_same(pbmc3k, n_top_genes=300)


def test_loess_is_that_of_scikit_misc(pbmc3k):
    from skmisc.loess import loess

    sc.pp.filter_genes(pbmc3k, min_cells=5)
    x = np.asarray(pbmc3k.X.mean(0)).ravel()
    variance = np.asarray(pbmc3k.X.power(2).mean(0)).ravel() - x**2
    x, y = np.log10(x[x > 0]), np.log10(variance[x > 0])
    for span in (0.3, 0.7, 1.0):
        model = loess(x, y, span=span, degree=2)
        model.fit()
        np.testing.assert_allclose(zs.arrays.loess(x, y, span=span), model.outputs.fitted_values, rtol=0, atol=1e-9)


@pytest.mark.parametrize("flavor", ["seurat", "seurat_v3"])
@pytest.mark.parametrize("batch_key", [None, "group"])
def test_slots_are_scanpys(small, flavor, batch_key):
    ours, theirs = small.copy(), small.copy()
    if flavor == "seurat":
        ours, theirs = logged(ours), logged(theirs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert zs.pp.highly_variable_genes(ours, flavor=flavor, n_top_genes=30, batch_key=batch_key) is None
        sc.pp.highly_variable_genes(theirs, flavor=flavor, n_top_genes=30, batch_key=batch_key)
    table = scanpys(small if flavor == "seurat_v3" else theirs, flavor=flavor, n_top_genes=30, batch_key=batch_key)
    assert ours.uns["hvg"] == theirs.uns["hvg"]
    assert set(ours.var.columns) == set(theirs.var.columns)
    for column in theirs.var.columns:
        assert ours.var[column].dtype == theirs.var[column].dtype, column
    assert set(ours.var_names[ours.var["highly_variable"]]) == set(table.index[table["highly_variable"].astype(bool)])
    sc.pp.pca(ours, n_comps=3)


def test_subset_and_frames(small):
    log = logged(small.copy())
    table = zs.pp.highly_variable_genes(log, n_top_genes=12, inplace=False, subset=True)
    assert len(table) == 12 and "highly_variable" not in log.var
    expected = log[:, table.index].X.toarray()
    zs.pp.highly_variable_genes(log, n_top_genes=12, subset=True)
    assert list(log.var_names) == list(table.index)
    np.testing.assert_array_equal(log.X.toarray(), expected)


def test_presets(small):
    table = zs.pp.highly_variable_genes(small, n_top_genes=10, preset="scanpy-v2")
    assert "variances_norm" in table and "highly_variable" not in small.var
    assert zs.pp.highly_variable_genes(small, n_top_genes=10, preset="scanpy-v2", inplace=True) is None
    assert small.uns["hvg"] == {"flavor": "seurat_v3_paper"}
    with pytest.raises(errors.ParameterError, match="preset"):
        zs.pp.highly_variable_genes(small, preset="scanpy-v9")


@pytest.mark.parametrize("flavor", ["seurat", "cell_ranger", "seurat_v3", "seurat_v3_paper"])
def test_layouts_threads_and_views_agree(small, flavor):
    adata = small if flavor.startswith("seurat_v3") else logged(small)
    codes = adata.obs["group"].cat.codes.to_numpy()
    for batches in (None, codes):
        one = zs.arrays.highly_variable_genes(adata.X, flavor=flavor, n_top_genes=20, batches=batches, threads=1)
        for threads in (2, 8):
            for layout, make in LAYOUTS.items():
                if layout == "csr_i32_values" and not flavor.startswith("seurat_v3"):
                    continue
                other = zs.arrays.highly_variable_genes(
                    make(adata.X), flavor=flavor, n_top_genes=20, batches=batches, threads=threads
                )
                for field in ("highly_variable", "means", *STATISTICS[1:], "rank"):
                    np.testing.assert_array_equal(getattr(one, field), getattr(other, field), err_msg=f"{layout} {field}")
    view = adata[::2]
    assert_same(view, flavor=flavor, n_top_genes=20)
    assert view.is_view


def test_layer(small):
    log = logged(small.copy())
    small.layers["log"] = log.X
    a = zs.pp.highly_variable_genes(small, layer="log", n_top_genes=9, inplace=False)
    b = zs.pp.highly_variable_genes(log, n_top_genes=9, inplace=False)
    pd.testing.assert_frame_equal(a, b)


def test_unexpressed_genes(small):
    small.X[:, :40] = 0
    small.X.eliminate_zeros()
    log = logged(small, min_cells=0)
    with pytest.raises(errors.DataError, match="filter_unexpressed_genes"):
        zs.pp.highly_variable_genes(log, flavor="cell_ranger", n_top_genes=5)
    table = zs.pp.highly_variable_genes(
        log, flavor="cell_ranger", n_top_genes=5, filter_unexpressed_genes=True, inplace=False
    )
    expected = scanpys(log[:, 40:].copy(), flavor="cell_ranger", n_top_genes=5)
    assert set(table.index[table["highly_variable"]]) == set(expected.index[expected["highly_variable"]])
    with pytest.raises(errors.ParameterError, match="filter_unexpressed_genes"):
        zs.pp.highly_variable_genes(log, batch_key="group", filter_unexpressed_genes=False)


def test_warnings_are_scanpys(small):
    log = logged(small.copy())
    with pytest.warns(UserWarning, match="non-integers were found"):
        zs.pp.highly_variable_genes(log, flavor="seurat_v3", n_top_genes=5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        zs.pp.highly_variable_genes(log, flavor="seurat_v3", n_top_genes=5, check_values=False)
        zs.pp.highly_variable_genes(log, n_top_genes=5)
    with pytest.warns(UserWarning, match="cutoffs are ignored"):
        zs.pp.highly_variable_genes(log, n_top_genes=5, min_disp=1)
    with pytest.warns(UserWarning, match="returning all genes"):
        zs.pp.highly_variable_genes(small, flavor="seurat_v3", n_top_genes=500)
    assert small.var["highly_variable"].all()


def test_bad_input(small):
    log = logged(small.copy())
    cases = [
        (log, {"flavor": "nope"}, errors.ParameterError, "flavor"),
        (log, {"n_top_genes": 0}, errors.ParameterError, "n_top_genes"),
        (log, {"n_bins": 0}, errors.ParameterError, "n_bins"),
        (small, {"flavor": "seurat_v3", "span": 2.0}, errors.ParameterError, "span"),
        (log, {"layer": "nope"}, errors.MissingKeyError, "nope"),
        (log, {"batch_key": "nope"}, errors.MissingKeyError, "nope"),
        (log.X, {}, errors.ParameterError, "AnnData"),
    ]
    for data, arguments, error, words in cases:
        with pytest.raises(error, match=words):
            zs.pp.highly_variable_genes(data, **arguments)
    log.obs["lonely"] = ["a"] * 299 + ["b"]
    log.obs["gaps"] = pd.Categorical([None] + ["a"] * 299)
    with pytest.raises(errors.TooFewError, match="at least 2 cells"):
        zs.pp.highly_variable_genes(log, batch_key="lonely")
    with pytest.raises(errors.DataError, match="gaps"):
        zs.pp.highly_variable_genes(log, batch_key="gaps")
    for flavor in ("seurat", "cell_ranger", "seurat_v3"):
        broken = small.copy()
        broken.X.data[5] = np.nan
        with pytest.raises(errors.NonFiniteError):
            zs.pp.highly_variable_genes(broken, flavor=flavor, n_top_genes=5)
        with pytest.raises(errors.EmptyDataError):
            zs.pp.highly_variable_genes(ad.AnnData(sparse.csr_matrix((3, 0), dtype="f4")), flavor=flavor)
    negative = small.copy()
    negative.X.data[5] = -1
    with pytest.raises(errors.NegativeValuesError, match="cell 0"):
        zs.pp.highly_variable_genes(negative, flavor="seurat_v3", n_top_genes=5)
    raw = small.copy()
    raw.X.data[:] = 1000
    with pytest.raises(errors.NonFiniteError, match="logarithmised"):
        zs.pp.highly_variable_genes(raw)
    zeros = ad.AnnData(np.zeros((5, 4), "f4"))
    with pytest.raises(errors.DataError, match="varies"):
        zs.pp.highly_variable_genes(zeros, flavor="seurat_v3", n_top_genes=2)
    zs.pp.highly_variable_genes(zeros)
    assert not zeros.var["highly_variable"].any()


def test_unused_batches_and_strings(small):
    log = logged(small)
    log.obs["text"] = log.obs["group"].astype(str)
    log.obs["more"] = log.obs["group"].cat.add_categories(["unused"])
    tables = [
        zs.pp.highly_variable_genes(log, batch_key=key, n_top_genes=20, inplace=False)
        for key in ("group", "text", "more")
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1])
    pd.testing.assert_frame_equal(tables[0], tables[2])
