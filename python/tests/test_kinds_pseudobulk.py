"""The pseudobulk test: against a slow version in numpy with statsmodels' lowess, on planted truth, null data and kang."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, special, stats

import zensaibo as zs


def _counts(n: int, genes: int, fold: np.ndarray, seed: int) -> np.ndarray:
    """Negative binomial counts of n samples; the second half is `fold` times as high."""
    rng = np.random.default_rng(seed)
    level = np.exp(rng.normal(3.0, 1.3, genes))
    size = 1 / np.exp(rng.normal(np.log(0.06), 0.4, genes))
    depth = rng.uniform(0.6, 1.6, n)
    mean = level * depth[:, None] * np.where(np.arange(n)[:, None] >= n // 2, fold, 1.0)
    return rng.negative_binomial(size, size / (size + mean)).astype(np.float64)


def _halves(n: int) -> np.ndarray:
    return np.column_stack([np.ones(n), np.arange(n) >= n // 2]).astype(float)


def test_lowess_as_statsmodels():
    from statsmodels.nonparametric.smoothers_lowess import lowess

    rng = np.random.default_rng(1)
    x = np.sort(rng.gamma(2, 2, 700))
    y = np.sin(x / 3) + rng.normal(0, 0.2, 700)
    y[::97] += 5
    for span, delta in ((0.5, 0.0), (0.2, 0.0), (0.5, 0.01 * np.ptp(x))):
        theirs = lowess(y, x, frac=span, it=3, delta=delta, return_sorted=False)
        np.testing.assert_allclose(zs.arrays.lowess(x, y, span=span, delta=delta), theirs, rtol=1e-7, atol=1e-7)
    shuffled = rng.permutation(700)
    np.testing.assert_allclose(zs.arrays.lowess(x[shuffled], y[shuffled]), zs.arrays.lowess(x, y)[shuffled], rtol=1e-12)


GOLDEN = Path(__file__).parent / "golden" / "r"


@pytest.mark.parametrize("name", ["paired", "numeric"])
def test_as_limma_and_edger(name):
    """filterByExpr, calcNormFactors, voom, lmFit, eBayes: to 1e-9 where ranks decide alike.

    Under the numeric design one pair of genes ties in the trim of the M-values up to rounding; R ranks their logarithms,
    which rounding tells apart. Factors then differ by 1e-4, scores by 2e-4.
    """
    golden = np.load(GOLDEN / "voom.npz")
    n = len(golden["treated"])
    others = np.eye(6)[golden["donor"]][:, 1:] if name == "paired" else golden["age"][:, None]
    design = np.column_stack([np.ones(n), golden["treated"], others])
    contrast = np.eye(design.shape[1])[1]
    found = zs.arrays.pseudobulk_test(golden["counts"].astype(float), design, contrast)
    assert (found.kept == (golden[f"{name}_kept"] == 1)).all() and not found.kept.all()
    assert (found.library_sizes == golden[f"{name}_library_sizes"]).all()
    close = {"rtol": 1e-9, "atol": 1e-10} if name == "paired" else {"rtol": 1e-3, "atol": 2e-4}
    np.testing.assert_allclose(
        found.norm_factors, golden[f"{name}_norm_factors"], rtol=1e-12 if name == "paired" else 1e-4
    )
    for field in ("logfoldchanges", "scores", "pvals", "pvals_adj", "sigma"):
        np.testing.assert_allclose(getattr(found, field)[found.kept], golden[f"{name}_{field}"], **close)
    np.testing.assert_allclose([found.df_prior, found.variance_prior], golden[f"{name}_prior"], **close)
    # The planted genes lead.
    assert np.mean(np.argsort(np.where(found.kept, found.pvals, 1))[:30] < 60) > 0.9


def _slowly(counts: np.ndarray, design: np.ndarray, contrast: np.ndarray, min_count: float = 10, total: float = 15):
    """The whole chain, one gene after the other, with the textbook formulas."""
    from statsmodels.nonparametric.smoothers_lowess import lowess

    n, p = design.shape
    library = counts.sum(axis=1)
    hat = np.diag(design @ np.linalg.inv(design.T @ design) @ design.T)
    smallest = 1 / hat.max()
    smallest = 10 + (smallest - 10) * 0.7 if smallest > 10 else smallest
    enough = (counts / library[:, None] * 1e6 >= min_count / np.median(library) * 1e6).sum(axis=0) >= smallest - 1e-9
    kept = enough & (counts.sum(axis=0) >= total)
    y = counts[:, kept]
    library = y.sum(axis=1)

    upper = [np.quantile((y / library[:, None])[s][y.sum(axis=0) > 0], 0.75) for s in range(n)]
    reference = int(np.argmin(np.abs(np.array(upper) - np.mean(upper))))
    factors = []
    for s in range(n):
        both = (y[s] > 0) & (y[reference] > 0)
        a, b = y[s][both], y[reference][both]
        ratio = (a / library[s]) / (b / library[reference])
        m, level = np.log2(ratio), (a / library[s]) * (b / library[reference])
        variance = (library[s] - a) / library[s] / a + (library[reference] - b) / library[reference] / b
        if np.abs(m).max() < 1e-6:
            factors.append(1.0)
            continue
        k = len(m)
        low_m, low_a = int(k * 0.3) + 1, int(k * 0.05) + 1
        rank_m, rank_a = stats.rankdata(ratio), stats.rankdata(level)
        keep = (rank_m >= low_m) & (rank_m <= k + 1 - low_m) & (rank_a >= low_a) & (rank_a <= k + 1 - low_a)
        factors.append(2 ** ((m[keep] / variance[keep]).sum() / (1 / variance[keep]).sum()))
    factors = np.array(factors) / np.exp(np.mean(np.log(factors)))
    library = library * factors

    logged = np.log2((y + 0.5) / (library[:, None] + 1) * 1e6)
    beta = np.linalg.lstsq(design, logged, rcond=None)[0]
    sigma = np.sqrt(((logged - design @ beta) ** 2).sum(axis=0) / (n - p))
    x = logged.mean(axis=0) + np.log2(library + 1).mean() - np.log2(1e6)
    smooth = lowess(np.sqrt(sigma), x, frac=0.5, it=3, delta=0.01 * np.ptp(x), return_sorted=False)
    order = np.argsort(x)
    expected = design @ beta + np.log2(library + 1)[:, None] - np.log2(1e6)
    weights = np.interp(expected, x[order], smooth[order]) ** -4

    t, fold, s2, unscaled = [], [], [], []
    for g in range(y.shape[1]):
        w = np.diag(weights[:, g])
        inverse = np.linalg.inv(design.T @ w @ design)
        b = inverse @ design.T @ w @ logged[:, g]
        residual = logged[:, g] - design @ b
        s2.append(residual @ w @ residual / (n - p))
        unscaled.append(contrast @ inverse @ contrast)
        fold.append(contrast @ b)
    s2, d = np.array(s2), n - p
    e = np.log(s2) - special.digamma(d / 2) + np.log(d / 2)
    spread = e.var(ddof=1) - special.polygamma(1, d / 2)
    if spread > 0:
        from scipy.optimize import brentq

        d0 = 2 * brentq(lambda v: special.polygamma(1, v) - spread, 1e-6, 1e8)
        s02 = np.exp(e.mean() + special.digamma(d0 / 2) - np.log(d0 / 2))
        post = (d * s2 + d0 * s02) / (d + d0)
    else:
        d0, post = np.inf, np.full_like(s2, s2.mean())
    t = np.array(fold) / np.sqrt(post * unscaled)
    pvals = 2 * stats.t.sf(np.abs(t), min(d + d0, d * len(t)))
    return kept, np.array(fold), t, pvals, stats.false_discovery_control(pvals), d0, factors


@pytest.mark.parametrize(("n", "seed", "covariate"), [(6, 0, False), (9, 1, True), (24, 2, True)])
def test_as_the_slow_version(n, seed, covariate):
    rng = np.random.default_rng(seed)
    counts = _counts(n, 600, np.where(np.arange(600) % 15, 1.0, 3.0), seed)
    design = _halves(n)
    contrast = np.array([0.0, 1.0])
    if covariate:
        design, contrast = np.column_stack([design, rng.normal(size=n)]), np.array([0.0, 1.0, 0.3])
    found = zs.arrays.pseudobulk_test(counts, design, contrast)
    kept, fold, t, pvals, adjusted, d0, factors = _slowly(counts, design, contrast)
    np.testing.assert_array_equal(found.kept, kept)
    np.testing.assert_allclose(found.norm_factors, factors, rtol=1e-10)
    np.testing.assert_allclose(found.df_prior, d0, rtol=1e-5)
    np.testing.assert_allclose(found.logfoldchanges[kept], fold, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose(found.scores[kept], t, rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(found.pvals[kept], pvals, rtol=2e-4)
    np.testing.assert_allclose(found.pvals_adj[kept], adjusted, rtol=2e-4)
    assert np.isnan(found.scores[~kept]).all()


def test_finds_what_was_planted_and_holds_its_false_discovery_rate():
    hits, truth, false, called, small, tested = 0, 0, 0, 0, 0, 0
    for seed in range(5):
        real = np.arange(2000) % 10 == 0
        fold = np.where(real, np.where(np.arange(2000) % 20 == 0, 2.5, 0.4), 1.0)
        found = zs.arrays.pseudobulk_test(_counts(10, 2000, fold, seed), _halves(10), [0, 1])
        yes = found.pvals_adj < 0.05
        hits, truth = hits + (yes & real).sum(), truth + (found.kept & real).sum()
        false, called = false + (yes & ~real).sum(), called + yes.sum()
        sign = np.sign(found.logfoldchanges[yes & real]) == np.sign(np.log(fold[yes & real]))
        assert sign.all()
        null = zs.arrays.pseudobulk_test(_counts(10, 2000, np.ones(2000), 100 + seed), _halves(10), [0, 1])
        small, tested = small + (null.pvals < 0.05).sum(), tested + null.kept.sum()
        assert (null.pvals_adj < 0.05).sum() <= 4
    assert hits / truth > 0.8
    assert false / called < 0.08
    # Uniform under the null: 10,000 genes give 0.05 within four standard errors (0.0022).
    assert abs(small / tested - 0.05) < 0.012


def _cells(seed: int = 0, donors: int = 4, per: int = 40) -> ad.AnnData:
    """Donors x two treatments x two types of cells; gene0..gene9 go up fourfold with treatment in type A alone."""
    rng = np.random.default_rng(seed)
    rows, frames = [], []
    level = np.exp(rng.normal(0.0, 0.8, 200))
    for donor in range(donors):
        own = np.exp(rng.normal(0, 0.25, 200))
        for stim in ("ctrl", "stim"):
            for kind in "AB":
                mean = level * own * np.exp(rng.normal(0, 0.1, 200))
                if stim == "stim" and kind == "A":
                    mean[:10] *= 4
                rows.append(rng.poisson(mean, size=(per, 200)))
                frames.append(
                    pd.DataFrame(
                        {"donor": f"d{donor}", "stim": stim, "kind": kind, "age": 20.0 + donor}, index=range(per)
                    )
                )
    adata = ad.AnnData(sparse.csr_matrix(np.vstack(rows).astype(np.float32)))
    adata.obs = pd.concat(frames, ignore_index=True).astype(
        {"donor": "category", "stim": "category", "kind": "category"}
    )
    adata.obs_names = [f"c{i}" for i in range(adata.n_obs)]
    adata.var_names = [f"gene{i}" for i in range(200)]
    return adata


def test_donors_are_blocks_and_types_are_tested_apart():
    adata = _cells()
    zs.tl.pseudobulk_test(
        adata, ["donor", "stim"], ["stim", "donor"], contrast=("stim", "stim", "ctrl"), groupby="kind"
    )
    results = adata.uns["pseudobulk_test"]["results"]
    a, b = (results[results["group"] == kind].set_index("names") for kind in "AB")
    planted = [f"gene{i}" for i in range(10)]
    assert (a.loc[[g for g in planted if g in a.index], "pvals_adj"] < 0.01).all()
    assert set(a.index[:8]) <= set(planted) and (a["scores"].abs().diff().dropna() <= 0).all()
    assert (b["pvals_adj"] < 0.05).sum() <= 1
    assert list(adata.uns["pseudobulk_test"]["design"].columns) == [
        "Intercept",
        "stim[stim]",
        "donor[d1]",
        "donor[d2]",
        "donor[d3]",
    ]
    assert adata.uns["pseudobulk_test"]["params"]["fits"]["A"]["df_residual"] == 3

    # The same by hand: sums, design, contrast.
    cells = adata[adata.obs["kind"] == "A"]
    bulk = zs.get.aggregate(cells.copy(), ["donor", "stim"], "sum")
    design = np.column_stack(
        [np.ones(8), bulk.obs["stim"] == "stim", *(bulk.obs["donor"] == f"d{i}" for i in (1, 2, 3))]
    ).astype(float)
    direct = zs.arrays.pseudobulk_test(bulk.layers["sum"], design, [0, 1, 0, 0, 0])
    np.testing.assert_array_equal(a["scores"], pd.Series(direct.scores, bulk.var_names)[a.index])
    # The other ways to say it, and the other way round.
    for contrast, sign in (("stim[stim]", 1), ({"stim[stim]": 2.0}, 2), (("stim", "ctrl", "stim"), -1)):
        copy = zs.tl.pseudobulk_test(cells.copy(), ["donor", "stim"], ["stim", "donor"], contrast=contrast, copy=True)
        again = copy.uns["pseudobulk_test"]["results"].set_index("names")
        np.testing.assert_allclose(again.loc[a.index, "logfoldchanges"], sign * a["logfoldchanges"], rtol=1e-9)


def test_kang_interferon_genes_rise(kang):
    # The stored sample has no donors: cells are dealt to four mock samples per condition, which therefore show
    # technical spread alone. What is asserted is the known direction of the strongest genes, not a number of genes.
    rng = np.random.default_rng(0)
    kang.obs["mock"] = pd.Categorical(rng.integers(0, 4, kang.n_obs).astype(str))
    zs.tl.pseudobulk_test(kang, ["stim", "mock"], "stim", contrast=("stim", "stim", "ctrl"))
    results = kang.uns["pseudobulk_test"]["results"].set_index("names")
    for gene in ("ISG15", "IFI6", "IFIT1", "IFIT3", "ISG20"):
        assert results.loc[gene, "logfoldchanges"] > 2 and results.loc[gene, "pvals_adj"] < 1e-3, gene
    assert "ISG15" in results.index[:30]
    # Mock samples of one condition hardly differ: what is left are genes of cell types that chance dealt unevenly.
    ctrl = kang[kang.obs["stim"] == "ctrl"].copy()
    ctrl.obs["half"] = np.where(ctrl.obs["mock"].isin(["0", "1"]), "a", "b")
    zs.tl.pseudobulk_test(ctrl, ["mock"], "half", contrast=("half", "b", "a"))
    null = ctrl.uns["pseudobulk_test"]["results"]
    assert (null["pvals_adj"] < 0.05).mean() < 0.002 and 0.02 < (null["pvals"] < 0.05).mean() < 0.08


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_change_no_bit(threads):
    counts, design = _counts(8, 1500, np.ones(1500), 3), _halves(8)
    one = zs.arrays.pseudobulk_test(counts, design, [0, 1], threads=1)
    other = zs.arrays.pseudobulk_test(counts, design, [0, 1], threads=threads)
    for a, b in zip(one, other, strict=True):
        assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


def test_results_are_written_and_read(tmp_path):
    adata = _cells()
    zs.tl.pseudobulk_test(adata, ["donor", "stim"], "stim", contrast=("stim", "stim", "ctrl"), groupby="kind")
    zs.io.write(adata, tmp_path / "x.h5ad")
    again = zs.io.read(tmp_path / "x.h5ad")
    pd.testing.assert_frame_equal(
        again.uns["pseudobulk_test"]["results"], adata.uns["pseudobulk_test"]["results"], check_dtype=False
    )


def test_bad_input_is_named():
    adata = _cells()
    ask = {"contrast": ("stim", "stim", "ctrl")}
    by = ["donor", "stim"]
    test = zs.tl.pseudobulk_test
    # Age follows from the donor.
    with pytest.raises(zs.errors.DataError, match="collinear.*`age`"):
        test(adata, by, ["stim", "donor", "age"], **ask)
    with pytest.raises(zs.errors.DataError, match="kind.*one value for all cells of a sample"):
        test(adata, by, ["stim", "kind"], **ask)
    single = adata[~((adata.obs["stim"] == "stim") & (adata.obs["donor"] != "d0")).to_numpy()].copy()
    with pytest.raises(zs.errors.TooFewError, match="sample d0_stim.*alone"):
        test(single, by, "stim", **ask)
    with pytest.raises(zs.errors.TooFewError, match="more samples than the 2"):
        test(adata[adata.obs["donor"] == "d0"].copy(), by, "stim", **ask)
    with pytest.raises(zs.errors.TooFewError, match="two levels"):
        test(adata[adata.obs["stim"] == "ctrl"].copy(), by, "stim", **ask)
    with pytest.raises(zs.errors.MissingKeyError, match="`dose`"):
        test(adata, by, "dose", **ask)
    with pytest.raises(zs.errors.MissingKeyError, match="`high`.*ctrl, stim"):
        test(adata, by, "stim", contrast=("stim", "high", "ctrl"))
    with pytest.raises(zs.errors.MissingKeyError, match="`nothing`.*Intercept"):
        test(adata, by, "stim", contrast="nothing")
    with pytest.raises(zs.errors.ParameterError, match="different levels"):
        test(adata, by, "stim", contrast=("stim", "stim", "stim"))
    with pytest.raises(zs.errors.ParameterError, match="contrast"):
        test(adata, by, "stim", contrast=3)
    with pytest.raises(zs.errors.ParameterError, match="numeric"):
        test(adata, by, ["stim", "age"], contrast=("age", "21", "20"))
    with pytest.raises(zs.errors.ParameterError, match="normalization|known options"):
        test(adata, by, "stim", normalization="median", **ask)
    with pytest.warns(UserWarning, match="16 of 16|fewer than 1000 cells"), pytest.raises(zs.errors.ZensaiboError):
        test(adata, by, "stim", min_cells=1000, **ask)
    adata.layers["log"] = adata.X.log1p()
    with pytest.raises(zs.errors.NotCountsError, match="whole numbers"):
        test(adata, by, "stim", layer="log", **ask)
    with pytest.raises(zs.errors.ShapeError, match="counts.*design"):
        zs.arrays.pseudobulk_test(np.ones((3, 4)), np.ones((4, 1)), [1])


def test_a_group_that_cannot_be_tested_is_left_out_aloud():
    adata = _cells()
    adata = adata[~((adata.obs["kind"] == "B") & (adata.obs["stim"] == "stim")).to_numpy()].copy()
    with pytest.warns(UserWarning, match="group 'B' is not tested.*two levels"):
        zs.tl.pseudobulk_test(adata, ["donor", "stim"], "stim", contrast=("stim", "stim", "ctrl"), groupby="kind")
    assert set(adata.uns["pseudobulk_test"]["results"]["group"]) == {"A"}


def test_a_group_with_too_few_cells_says_so():
    adata = _cells()
    kept = np.flatnonzero((adata.obs["kind"] != "B").to_numpy() | (np.arange(adata.n_obs) % 97 == 0))
    adata = adata[kept].copy()
    with pytest.warns(UserWarning, match="group 'B' is not tested.*min_cells"):
        zs.tl.pseudobulk_test(adata, ["donor", "stim"], "stim", contrast=("stim", "stim", "ctrl"), groupby="kind")
    assert set(adata.uns["pseudobulk_test"]["results"]["group"]) == {"A"}
