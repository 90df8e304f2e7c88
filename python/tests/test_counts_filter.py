"""Filters: scanpy's choices, and memory that is neither doubled nor shared by mistake."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import _subset, errors

CELLS = [{"min_counts": 90}, {"min_genes": 45}, {"max_counts": 95}, {"max_genes": 44}]
GENES = [{"min_counts": 100}, {"min_cells": 120}, {"max_counts": 200}, {"max_cells": 150}]


def assert_same(ours: ad.AnnData, theirs: ad.AnnData):
    def plain(x):
        return x.toarray() if sparse.issparse(x) else np.asarray(x)

    assert ours.shape == theirs.shape
    np.testing.assert_array_equal(plain(ours.X), plain(theirs.X))
    pd.testing.assert_frame_equal(ours.obs, theirs.obs)
    pd.testing.assert_frame_equal(ours.var, theirs.var)
    assert set(ours.layers) == set(theirs.layers)
    for key in theirs.layers:
        np.testing.assert_array_equal(plain(ours.layers[key]), plain(theirs.layers[key]))
    for key in theirs.obsm:
        np.testing.assert_array_equal(ours.obsm[key], theirs.obsm[key])


def filled(adata: ad.AnnData) -> ad.AnnData:
    adata.layers["half"] = adata.X * 0.5
    adata.obsm["pc"] = np.arange(adata.n_obs * 2.0).reshape(-1, 2)
    adata.varm["load"] = np.arange(adata.n_vars * 2.0).reshape(-1, 2)
    return adata


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("thresholds", CELLS + GENES, ids=str)
def test_filters_equal_scanpy(small, layout, thresholds):
    cells = "min_genes" in thresholds or "max_genes" in thresholds or thresholds in CELLS
    small.X = LAYOUTS[layout](small.X)
    ours, theirs = filled(small.copy()), filled(small.copy())
    name = "filter_cells" if cells else "filter_genes"
    assert getattr(zs.pp, name)(ours, **thresholds) is None
    getattr(sc.pp, name)(theirs, **thresholds)
    del ours.uns["zensaibo"]
    assert 0 < ours.n_obs * ours.n_vars < small.n_obs * small.n_vars, "the threshold must bite"
    assert_same(ours, theirs)
    assert type(ours.X) is type(theirs.X)


def test_filters_equal_scanpy_on_pbmc3k(pbmc3k):
    ours, theirs = pbmc3k, pbmc3k.copy()
    for pp, adata in ((zs.pp, ours), (sc.pp, theirs)):
        pp.filter_cells(adata, min_genes=200)
        pp.filter_genes(adata, min_cells=3)
        pp.filter_cells(adata, max_counts=10_000)
    assert ours.shape == (2695, 13714) or ours.n_vars == 13714
    assert_same(ours, theirs)
    assert ours.X.has_sorted_indices and ours.X.data.dtype == np.float32


def test_not_inplace_and_arrays(small):
    mask, number = zs.pp.filter_cells(small, min_genes=45, inplace=False)
    expected = sc.pp.filter_cells(small, min_genes=45, inplace=False)
    np.testing.assert_array_equal(mask, expected[0])
    np.testing.assert_array_equal(number, expected[1])
    assert small.n_obs == 300 and "n_genes" not in small.obs
    mask, number = zs.pp.filter_genes(small.X, max_counts=150)
    expected = sc.pp.filter_genes(small.X, max_counts=150)
    np.testing.assert_array_equal(mask, expected[0])
    np.testing.assert_allclose(number, expected[1])


def test_copy_leaves_the_original(small):
    before = small.X.copy()
    out = zs.pp.filter_cells(small, min_genes=45, copy=True)
    assert out.n_obs < 300 == small.n_obs
    assert (small.X != before).nnz == 0


def test_memory_is_compacted_where_it_lies(small):
    small.X = small.X.copy()
    address = small.X.data.ctypes.data
    kept = sc.pp.filter_genes(small.X, min_cells=120)[0]
    expected = small.X[:, kept].toarray()
    zs.pp.filter_genes(small, min_cells=120)
    np.testing.assert_array_equal(small.X.toarray(), expected)
    assert small.X.data.flags.owndata and len(small.X.data) == small.X.nnz
    # A large block may move when it is shortened; a small one does not.
    assert small.X.data.ctypes.data == address


@pytest.mark.parametrize("holder", ["matrix", "data", "slice", "layer", "shared arrays", "raw", "memoryview"])
def test_what_others_hold_stays_whole(small, holder):
    before = small.X.toarray()
    x = small.X
    held = {
        "matrix": lambda: x,
        "data": lambda: x.data,
        "slice": lambda: x.data[:5],
        "layer": lambda: small.layers.__setitem__("counts", x),
        "shared arrays": lambda: sparse.csr_matrix((x.data, x.indices, x.indptr), shape=x.shape),
        "raw": lambda: setattr(small, "raw", small),
        "memoryview": lambda: memoryview(x.indices),
    }[holder]()
    copies = [np.array(x.data), np.array(x.indices)]
    del x
    mask, _ = zs.pp.filter_cells(small, min_genes=45, inplace=False)
    assert 0 < mask.sum() < 300
    zs.pp.filter_cells(small, min_genes=45)
    np.testing.assert_array_equal(small.X.toarray(), before[mask])
    if holder in ("matrix", "shared arrays"):
        np.testing.assert_array_equal(held.toarray(), before)
    elif holder == "data":
        np.testing.assert_array_equal(held, copies[0])
    elif holder == "slice":
        np.testing.assert_array_equal(held, copies[0][:5])
    elif holder == "memoryview":
        np.testing.assert_array_equal(np.asarray(held), copies[1])
    elif holder == "layer":
        np.testing.assert_array_equal(small.layers["counts"].toarray(), before[mask])
    else:
        np.testing.assert_array_equal(small.raw.X.toarray(), before[mask])


def test_read_only_and_borrowed_memory(small):
    before = small.X.toarray()
    mask, _ = zs.pp.filter_cells(small, min_genes=45, inplace=False)
    small.X.data.flags.writeable = False
    zs.pp.filter_cells(small, min_genes=45)
    np.testing.assert_array_equal(small.X.toarray(), before[mask])
    buffer = np.array(small.X.data)
    small.X.data = buffer[:]
    zs.pp.filter_genes(small, min_cells=100)
    assert buffer[0] == before[mask][before[mask] != 0][0] and len(buffer) > small.X.nnz


def test_the_front_of_a_longer_array_is_taken_with_it(small):
    """What scipy leaves behind when it prunes: a view whose owner nobody else holds."""
    before = small.X.toarray()
    matrix = small.X.copy()
    matrix.data, matrix.indices = (np.append(x, x[:2])[:-2] for x in (matrix.data, matrix.indices))
    small.X = matrix
    del matrix
    assert not small.X.data.flags.owndata and _subset._sole([small.X.copy()])
    mask, _ = zs.pp.filter_genes(small, min_cells=100, inplace=False)
    zs.pp.filter_genes(small, min_cells=100)
    np.testing.assert_array_equal(small.X.toarray(), before[:, mask])
    assert small.X.data.flags.owndata, "the whole block was shortened"


def test_views(small):
    view = small[50:, 10:]
    expected = view.copy()
    zs.pp.filter_cells(view, min_genes=42)
    sc.pp.filter_cells(expected, min_genes=42)
    assert not view.is_view and small.shape == (300, 120)
    np.testing.assert_array_equal(view.X.toarray(), expected.X.toarray())


def test_all_or_none_kept(small):
    before = small.X.toarray()
    zs.pp.filter_cells(small, min_counts=0)
    zs.pp.filter_genes(small, min_cells=0)
    np.testing.assert_array_equal(small.X.toarray(), before)
    zs.pp.filter_cells(small, min_counts=1e9)
    assert small.shape == (0, 120) and small.X.shape == (0, 120)


def test_an_error_on_the_way_leaves_everything(small, monkeypatch):
    before = small.X.toarray()

    def fail(self, mask):
        raise RuntimeError("on the way")

    monkeypatch.setattr(ad.AnnData, "_inplace_subset_obs", fail)
    with pytest.raises(RuntimeError, match="on the way"):
        zs.pp.filter_cells(small, min_genes=45)
    np.testing.assert_array_equal(small.X.toarray(), before)


def test_threads_change_nothing(pbmc3k):
    first = zs.pp.filter_genes(pbmc3k, min_cells=3, copy=True, threads=1)
    for threads in (2, 8):
        other = zs.pp.filter_genes(pbmc3k, min_cells=3, copy=True, threads=threads)
        for part in ("data", "indices", "indptr"):
            np.testing.assert_array_equal(getattr(first.X, part), getattr(other.X, part))


def test_alone_is_told_from_shared(small):
    holder = [small.X.copy()]
    assert _subset._sole(holder)
    other = holder[0].indices
    assert not _subset._sole(holder)
    assert other is holder[0].indices


def test_bad_input(small):
    for arguments in ({}, {"min_genes": 1, "min_counts": 1}):
        with pytest.raises(errors.ParameterError, match="exactly one"):
            zs.pp.filter_cells(small, **arguments)
        with pytest.raises(errors.ParameterError, match="exactly one"):
            zs.pp.filter_genes(small, **{key.replace("genes", "cells"): value for key, value in arguments.items()})
    with pytest.raises(TypeError):
        zs.pp.filter_cells(small, min_cells=3)


def test_a_matrix_read_from_a_file_is_compacted_in_its_own_memory(small, tmp_path):
    small.write_h5ad(tmp_path / "small.h5ad")
    adata = zs.io.read(tmp_path / "small.h5ad")
    expected = small.copy()
    counts = np.asarray((small.X > 0).sum(axis=1)).ravel()
    threshold = int(np.sort(counts)[30])
    address = adata.X.data.ctypes.data
    zs.pp.filter_cells(adata, min_genes=threshold)
    assert adata.X.data.ctypes.data == address
    assert 200 < adata.n_obs < small.n_obs
    assert (adata.X != expected.X[counts >= threshold]).nnz == 0
