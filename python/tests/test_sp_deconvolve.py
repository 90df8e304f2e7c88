"""Spots taken apart into types: mixtures made here, designed mixtures of RNA, and small real sets."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from scipy import sparse
from scipy.optimize import nnls

import zensaibo as zs

QUIET = {"progress": False}


def reference(types: int = 6, genes: int = 150, each: int = 40, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    rates = rng.gamma(0.4, 3.0, (types, genes)) * rng.uniform(0.5, 2.0, (types, 1))
    labels = np.repeat(np.arange(types), each)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(rates[labels]).astype(np.float32)))
    adata.var_names = [f"gene{i}" for i in range(genes)]
    adata.obs["type"] = pd.Categorical([f"t{label}" for label in labels])
    return adata


def spots(cells: ad.AnnData, n: int = 60, seed: int = 1) -> tuple[ad.AnnData, np.ndarray]:
    """Sums of cells drawn from the reference, and the numbers of each type."""
    rng = np.random.default_rng(seed)
    names = list(cells.obs["type"].cat.categories)
    chance = rng.dirichlet(np.full(len(names), 0.5), n)
    counts, truth = [], np.zeros((n, len(names)))
    for row in range(n):
        truth[row] = rng.multinomial(12, chance[row])
        chosen = [rng.choice(np.flatnonzero(cells.obs["type"] == name), int(k)) for name, k in zip(names, truth[row], strict=True)]
        counts.append(np.asarray(cells.X[np.concatenate(chosen).astype(int)].sum(axis=0)).ravel())
    adata = ad.AnnData(sparse.csr_matrix(np.array(counts, dtype=np.float32)))
    adata.var_names = cells.var_names
    return adata, truth


def test_nnls_is_scipys():
    rng = np.random.default_rng(0)
    for types, genes in ((1, 4), (5, 30), (20, 60), (30, 31)):
        signatures, values = rng.random((types, genes)), rng.random((12, genes))
        weights = rng.random(genes)
        found = zs.arrays.nnls(signatures, values, weights=weights)
        for x, row in zip(found, values, strict=True):
            root = np.sqrt(weights)
            expected, rest = nnls((signatures * root).T, row * root)
            assert np.linalg.norm((x @ signatures - row) * root) <= rest * (1 + 1e-9)
            np.testing.assert_allclose(x, expected, atol=1e-7)
    np.testing.assert_allclose(zs.arrays.nnls(signatures, values[0]), zs.arrays.nnls(signatures, values)[0], atol=1e-12)
    with pytest.raises(zs.errors.ShapeError, match="values"):
        zs.arrays.nnls(signatures, values[:, 1:])
    with pytest.raises(zs.errors.ShapeError, match="weights"):
        zs.arrays.nnls(signatures, values, weights=[1.0])
    with pytest.raises(zs.errors.DataError, match="weights"):
        zs.arrays.nnls(signatures, values, weights=-weights)
    with pytest.raises(zs.errors.NonFiniteError):
        zs.arrays.nnls(signatures, np.full(31, np.nan))


@pytest.mark.parametrize("weighting", ["variance", "dampened", "equal"])
def test_exact_mixtures_have_the_exact_answer(weighting):
    cells = reference()
    means = np.array([cells.X[(cells.obs["type"] == name).to_numpy()].mean(axis=0).A1 for name in cells.obs["type"].cat.categories])
    truth = np.random.default_rng(2).integers(0, 4, (30, 6)).astype(np.float64)
    truth[0] = [1, 0, 0, 0, 0, 0]
    adata = ad.AnnData((truth @ means).astype(np.float32))
    adata.var_names = cells.var_names
    zs.sp.deconvolve(adata, cells, "type", weighting=weighting, **QUIET)
    known = truth.sum(axis=1) > 0
    np.testing.assert_allclose(adata.obsm["deconvolution_abundance"].to_numpy()[known], truth[known], atol=1e-4)
    np.testing.assert_allclose(adata.obsm["deconvolution"].to_numpy()[known], truth[known] / truth[known].sum(1, keepdims=True), atol=1e-5)
    assert adata.obs["deconvolution_residual"][known].max() < 1e-4 and adata.obs["deconvolution_type"].iloc[0] == "t0"
    # Shares of RNA are those of cells times the size of each type.
    zs.sp.deconvolve(adata, cells, "type", weighting=weighting, per_cell=False, **QUIET)
    rna = truth * means.sum(axis=1)
    np.testing.assert_allclose(adata.obsm["deconvolution"].to_numpy()[known], rna[known] / rna[known].sum(1, keepdims=True), atol=1e-4)


@pytest.mark.parametrize("weighting, most", [("variance", 0.02), ("dampened", 0.03), ("equal", 0.05)])
def test_sums_of_cells_are_taken_apart(weighting, most, tmp_path):
    cells = reference()
    adata, truth = spots(cells)
    zs.sp.deconvolve(adata, cells, "type", weighting=weighting, **QUIET)
    shares = adata.obsm["deconvolution"]
    assert list(shares.columns) == list(cells.obs["type"].cat.categories)
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    error = np.abs(shares.to_numpy() - truth / 12).mean()
    print(weighting, error)
    assert error < most
    assert adata.uns["deconvolution"]["not_converged"] == 0
    adata.write(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(ad.read_h5ad(tmp_path / "a.h5ad").obsm["deconvolution"], shares)


def test_the_same_bits_for_any_number_of_threads_and_layout():
    cells = reference()
    adata, _ = spots(cells, 200)

    def run(threads: int, dense: bool = False) -> bytes:
        side = adata.copy()
        if dense:
            side.X = side.X.toarray()
        found = zs.sp.deconvolve(side, cells, "type", threads=threads, copy=True, **QUIET)
        assert "deconvolution" not in side.obsm
        return found.obsm["deconvolution"].to_numpy().tobytes() + found.obs["deconvolution_residual"].to_numpy().tobytes()

    assert run(1) == run(2) == run(8) == run(2, dense=True)


def test_bad_input_is_named():
    cells = reference(3, 30)
    adata, _ = spots(cells, 10)

    def fault(error, match, a=adata, b=cells, key="type", **options):
        with pytest.raises(error, match=match):
            zs.sp.deconvolve(a, b, key, **options, **QUIET)

    errors = zs.errors
    fault(errors.MissingKeyError, "nosuch", key="nosuch")
    lower = adata.copy()
    lower.var_names = lower.var_names.str.upper()
    fault(errors.TooFewError, "30 would agree", a=lower)
    fault(errors.TooFewError, "as many as types, 3, found 2", genes=["gene0", "gene1"])
    fault(errors.MissingKeyError, "nosuch", genes=["nosuch"])
    for value, error in ((np.nan, errors.NonFiniteError), (-1.0, errors.NegativeValuesError)):
        for side in ("a", "b"):
            changed = (adata if side == "a" else cells).copy()
            changed.X = changed.X.toarray()
            changed.X[2, 3] = value
            fault(error, "sc_adata|spots", **{side: changed})
    one = cells.copy()
    one.obs["type"] = "same"
    fault(errors.ParameterError, "at least 2 types", b=one)
    lost = cells.copy()
    lost.obs["type"] = pd.Categorical([None, *["a", "b"] * 59, "a"])
    fault(errors.DataError, "label for every cell", b=lost)
    silent = cells.copy()
    silent.X = silent.X.toarray()
    silent.X[(silent.obs["type"] == "t1").to_numpy()] = 0
    fault(errors.DataError, "type 1", b=silent)
    fault(errors.ParameterError, "dampening", dampening=0.1)
    fault(errors.ParameterError, "weighting|deconvolve", weighting="some")
    with pytest.warns(UserWarning, match="t0"):
        zs.sp.deconvolve(adata, cells[38:].copy(), "type", **QUIET)
    empty = adata.copy()
    empty.X = empty.X.toarray()
    empty.X[4] = 0
    zs.sp.deconvolve(empty, cells, "type", **QUIET)
    assert empty.obsm["deconvolution"].isna().all(axis=1).tolist() == [row == 4 for row in range(10)]
    assert empty.obs["deconvolution_type"].isna().sum() == 1


@pytest.mark.slow
def test_designed_mixtures_of_rna():
    """Wells of RNA of three cell lines in known shares; signatures from single cells of the same lines.

    Two names stand for each other in the table of the wells: EGFR, which is amplified in HCC827 and high in single cells of that line, is high in
    the wells called H2228 alone. They are read so.
    """
    folder = data_path("cell_line_mixology")

    def read(name: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        files = sorted(folder.glob(f"*{name}*"))
        counts = next(file for file in files if "meta" not in file.name)
        meta = next(file for file in files if "meta" in file.name)
        return pd.read_csv(counts, index_col=0).T, pd.read_csv(meta, index_col=0)

    counts, meta = read("sc_celseq2_5cl_p1")
    cells = ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), var=pd.DataFrame(index=counts.columns))
    cells.obs["line"] = pd.Categorical(meta.loc[counts.index, "cell_line_demuxlet"].to_numpy())
    lines = ["H2228", "H1975", "HCC827"]
    cells = cells[(meta.loc[counts.index, "demuxlet_cls"] == "SNG").to_numpy() & cells.obs["line"].isin(lines).to_numpy()].copy()
    counts, meta = read("RNAmix_celseq2")
    wells = ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), var=pd.DataFrame(index=counts.columns))
    truth = meta.loc[counts.index, [f"{line}_prop" for line in ("HCC827", "H1975", "H2228")]].to_numpy(np.float64)
    for adata, of_line in ((cells, [cells.obs["line"] == line for line in lines]), (wells, (truth == 1).T)):
        level = np.asarray(adata[:, "ENSG00000146648"].X.sum(axis=1) / adata.X.sum(axis=1)).ravel()
        assert np.argmax([level[np.asarray(rows)].mean() for rows in of_line]) == 2
    assert len(truth) > 300 and (truth.sum(axis=1) > 0.98).all()
    truth /= truth.sum(axis=1, keepdims=True)
    errors = {}
    for weighting in ("variance", "dampened", "equal"):
        zs.sp.deconvolve(wells, cells, "line", per_cell=False, weighting=weighting, **QUIET)
        shares = wells.obsm["deconvolution"][lines].to_numpy()
        errors[weighting] = np.abs(shares - truth).mean()
        if weighting != "equal":
            assert min(np.corrcoef(shares[:, line], truth[:, line])[0, 1] for line in range(3)) > 0.95
    print("RNA mixtures: mean error of a share", errors)
    assert max(errors["variance"], errors["dampened"]) < 0.12 < errors["equal"]


@pytest.mark.parametrize("name", ["hippocampus", "hypothalamus"])
def test_small_real_sets(name):
    folder = data_path("spatial_deconvolution_small")
    spatial = {"hippocampus": "visium_hippocampus", "hypothalamus": "merfish_hypothalamus"}[name]
    tissue, cells = ad.read_h5ad(folder / f"{spatial}.h5ad"), ad.read_h5ad(folder / f"reference_{name}.h5ad")
    zs.sp.deconvolve(tissue, cells, "cell_type", **QUIET)
    shares = tissue.obsm["deconvolution"].dropna()
    assert len(shares) > 0.95 * tissue.n_obs and (shares >= 0).to_numpy().all()
    np.testing.assert_allclose(shares.sum(axis=1), 1)
    # One cell looks like one type more than a spot of several does.
    largest = shares.max(axis=1).median()
    print(name, largest, tissue.obs["deconvolution_residual"].median())
    assert largest > (0.5 if name == "hypothalamus" else 0.3)
