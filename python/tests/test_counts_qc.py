"""Quality control: the metrics of scanpy, on real data and at the edges."""

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


def both(adata, **arguments):
    """Ours and scanpy's tables for the same call."""
    ours = zs.pp.calculate_qc_metrics(adata, **arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        known = adata.copy()
        if isinstance(known.X, sparse.csr_array):  # scanpy 1.11 takes sparse matrices only
            known.X = sparse.csr_matrix(known.X)
        theirs = sc.pp.calculate_qc_metrics(known, **arguments)
    return ours, theirs


def assert_same_tables(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        pd.testing.assert_index_equal(a.index, b.index)
        assert set(a.columns) == set(b.columns)
        for column in b.columns:
            np.testing.assert_allclose(
                a[column].to_numpy(float), b[column].to_numpy(float), rtol=1e-6, atol=1e-12, err_msg=column
            )


@pytest.mark.parametrize("name", ["pbmc3k", "paul15", "kang"])
def test_metrics_equal_scanpy_on_real_counts(request, name):
    adata = request.getfixturevalue(name)
    adata.var["mt"] = adata.var_names.str.upper().str.startswith("MT-")
    adata.var["ribo"] = adata.var_names.str.upper().str.match("RP[SL]")
    ours, theirs = both(adata, qc_vars=["mt", "ribo"])
    assert_same_tables(ours, theirs)
    assert ours[0]["total_counts"].dtype == theirs[0]["total_counts"].dtype
    assert ours[0]["pct_counts_mt"].dtype == theirs[0]["pct_counts_mt"].dtype
    assert theirs[1]["total_counts"].sum() > 0


def test_metrics_equal_scanpy_on_values_that_are_not_counts(pbmc3k_log):
    # In float64: on float32 scanpy adds up in float32, which alone costs 2e-5.
    pbmc3k_log.X = pbmc3k_log.X.astype(np.float64)
    assert_same_tables(*both(pbmc3k_log, percent_top=[10, 50, 700]))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_agree_with_scanpy(small, layout):
    small.X = LAYOUTS[layout](small.X)
    small.var["some"] = np.arange(120) % 5 == 0
    assert_same_tables(*both(small, qc_vars="some", percent_top=(5, 120), expr_type="umis", var_type="features"))


def test_options(small):
    small.layers["twice"] = small.X * 2
    small.raw = small
    assert_same_tables(*both(small, layer="twice", percent_top=None, log1p=False))
    assert_same_tables(*both(small, use_raw=True, percent_top=[50]))
    frames = zs.pp.calculate_qc_metrics(small, percent_top=[50])
    assert zs.pp.calculate_qc_metrics(small, percent_top=[50], inplace=True) is None
    for table, frame in ((small.obs, frames[0]), (small.var, frames[1])):
        pd.testing.assert_frame_equal(table[frame.columns], frame)
    assert small.uns["zensaibo"]["calculate_qc_metrics"]["options"]["percent_top"] == [50]


def test_stored_zeros_do_not_count():
    matrix = sparse.csr_matrix(np.array([[1, 2, 0], [0, 3, 4]], "f4"))
    matrix.data[0] = 0
    obs, var = zs.pp.calculate_qc_metrics(ad.AnnData(matrix), percent_top=None)
    assert obs["n_genes_by_counts"].tolist() == [1, 2]
    assert var["n_cells_by_counts"].tolist() == [0, 2, 1]
    assert matrix.nnz == 4, "the matrix is left as it was"


def test_empty_cells_and_genes():
    adata = ad.AnnData(sparse.csr_matrix(np.array([[0, 0, 0], [1, 0, 2]], "f4")), var=pd.DataFrame({"q": [True, False, False]}, index=list("abc")))
    obs, var = zs.pp.calculate_qc_metrics(adata, qc_vars="q", percent_top=[1, 3])
    assert obs["pct_counts_in_top_1_genes"].isna().tolist() == [True, False]
    assert obs["pct_counts_q"].isna().tolist() == [True, False]
    assert var["pct_dropout_by_counts"].tolist() == [50, 100, 50]


def test_threads_change_nothing(pbmc3k):
    first = zs.pp.calculate_qc_metrics(pbmc3k, threads=1)
    for threads in (2, 8):
        for a, b in zip(first, zs.pp.calculate_qc_metrics(pbmc3k, threads=threads), strict=True):
            pd.testing.assert_frame_equal(a, b, check_exact=True)


def test_views_are_read_not_made_real(small):
    view = small[10:50, ::2]
    ours, theirs = both(view, percent_top=[10])
    assert_same_tables(ours, theirs)
    assert view.is_view


def test_bad_input(small):
    with pytest.raises(errors.ParameterError, match="percent_top.*120"):
        zs.pp.calculate_qc_metrics(small, percent_top=[121])
    with pytest.raises(errors.ParameterError, match="percent_top"):
        zs.pp.calculate_qc_metrics(small, percent_top=[0])
    with pytest.raises(errors.MissingKeyError, match="nowhere"):
        zs.pp.calculate_qc_metrics(small, qc_vars=["nowhere"], percent_top=None)
    with pytest.raises(errors.MissingKeyError, match="layer_x"):
        zs.pp.calculate_qc_metrics(small, layer="layer_x", percent_top=None)
    with pytest.raises(errors.ParameterError, match="use_raw"):
        zs.pp.calculate_qc_metrics(small, layer="a", use_raw=True)
    with pytest.raises(errors.MissingKeyError, match="raw"):
        zs.pp.calculate_qc_metrics(small, use_raw=True)
    small.var["text"] = "yes"
    with pytest.raises(errors.DataError, match="text"):
        zs.pp.calculate_qc_metrics(small, qc_vars="text", percent_top=None)
    with pytest.raises(errors.ParameterError, match="AnnData"):
        zs.pp.calculate_qc_metrics(small.X)
    small.X.data[3] = np.nan
    with pytest.raises(errors.NonFiniteError, match="cell 0"):
        zs.pp.calculate_qc_metrics(small, percent_top=None)
    with pytest.raises(errors.EmptyDataError):
        zs.pp.calculate_qc_metrics(ad.AnnData(sparse.csr_matrix((0, 3), dtype="f4")), percent_top=None)


@pytest.mark.parametrize(
    ("value", "error"), [(-1.0, errors.NegativeValuesError), (0.5, errors.NotCountsError), (np.nan, errors.NonFiniteError)]
)
def test_check_counts(small, value, error):
    zs.arrays.check_counts(small.X)
    small.X.data[7] = value
    with pytest.raises(error, match="cell 0, gene"):
        zs.arrays.check_counts(small.X)
    with pytest.raises(errors.EmptyDataError):
        zs.arrays.check_counts(sparse.csr_matrix((2, 2), dtype="f4"))
