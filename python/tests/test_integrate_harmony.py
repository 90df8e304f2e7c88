"""`zs.pp.harmony_integrate` and the scores of mixing: against harmonypy (golden), scikit-learn (live), bad input."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from scipy.stats import chi2

import zensaibo as zs

GOLDEN = Path(__file__).parent / "golden" / "harmony" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


@pytest.fixture(scope="module")
def cell_lines() -> ad.AnnData:
    """2,370 cells in 20 components: jurkat, 293t, and a batch of half each."""
    table = pd.read_csv(data_path("batch_pcs/cell_lines_20pcs.csv.gz"))
    pcs = table[[f"PC{i}" for i in range(1, 21)]].to_numpy()
    adata = ad.AnnData(obs=table[["dataset", "cell_type"]].set_axis(table["cell_id"], axis=0))
    adata.obsm["X_pca"] = pcs / pcs.std()
    return adata


@pytest.fixture(scope="module")
def pbmc() -> ad.AnnData:
    """3,500 cells in 30 components from several donors, and a key that means nothing."""
    pcs = pd.read_csv(data_path("batch_pcs/pbmc_3500_pcs.tsv.gz"), sep="\t").to_numpy()
    meta = pd.read_csv(data_path("batch_pcs/pbmc_3500_meta.tsv.gz"), sep="\t").set_index("cell")
    meta["plate"] = np.where(np.arange(len(meta)) % 3 == 0, "p", "q")
    adata = ad.AnnData(obs=meta.set_axis([str(i) for i in range(len(meta))], axis=0))
    adata.obsm["X_pca"] = pcs
    return adata


@pytest.mark.parametrize("flavor", ["harmony1", "harmony2"])
def test_cell_lines_as_harmonypy(cell_lines, golden, flavor):
    """Coordinates correlate with harmonypy's (0.0.10 for harmony1, 2.1.0 for harmony2); batches mix as well, types stay
    apart. The starts differ, so digits do not agree."""
    adata = cell_lines.copy()
    zs.pp.harmony_integrate(adata, "dataset", flavor=flavor, max_iter_harmony=20)
    ours, theirs = adata.obsm["X_pca_harmony"], golden[flavor].astype(np.float64)
    assert ours.shape == theirs.shape and ours.dtype == np.float32
    correlations = [np.corrcoef(ours[:, i], theirs[:, i])[0, 1] for i in range(20)]
    # Leading components agree closely; the last ones are mostly noise.
    assert correlations[0] > 0.99 and np.min(correlations) > 0.9, correlations
    half = (adata.obs["dataset"] == "half").to_numpy()
    for kind, pure in (("jurkat", "jurkat"), ("t293", "t293")):
        cells = (adata.obs["cell_type"] == kind).to_numpy()
        assert set(adata.obs["dataset"][cells & ~half]) == {pure}

        def mixing(z, cells=cells):
            return zs.metrics.lisi(z[cells], half[cells]).mean()

        before = mixing(adata.obsm["X_pca"])
        assert mixing(ours) > mixing(theirs) - 0.08 and mixing(ours) > before + 0.3, (before, mixing(ours), mixing(theirs))
    types = zs.metrics.lisi(ours, adata.obs["cell_type"])
    assert types.mean() < zs.metrics.lisi(theirs, adata.obs["cell_type"]).mean() + 0.02


@pytest.mark.parametrize("keys", ["one", "two"])
def test_donors_mix_as_with_harmonypy(pbmc, golden, keys):
    adata = pbmc.copy()
    names = ["donor"] if keys == "one" else ["donor", "plate"]
    zs.pp.harmony_integrate(adata, names)
    for name, theirs, before in zip(names, golden[f"pbmc_{keys}"], golden["pbmc_before"], strict=False):
        ours = zs.metrics.lisi(adata.obsm["X_pca_harmony"], adata.obs[name]).mean()
        assert ours > theirs - 0.05 * (theirs - 1), (name, before, ours, theirs)
    ours = zs.metrics.lisi(adata.obsm["X_pca"], adata.obs["donor"]).mean()
    assert ours == pytest.approx(golden["pbmc_before"][0], abs=2e-3)


def test_kang_mixes_within_types(kang):
    """Control and stimulated cells mix, and what tells T cells, B cells and monocytes apart stays."""
    zs.pp.filter_genes(kang, min_cells=3)
    zs.pp.normalize_total(kang, target_sum=1e4)
    zs.pp.log1p(kang)
    zs.pp.highly_variable_genes(kang, n_top_genes=2000)
    zs.pp.pca(kang, n_comps=20)
    zs.pp.harmony_integrate(kang, "stim", max_iter_harmony=20)
    before = zs.metrics.ilisi(kang.obsm["X_pca"], kang.obs["stim"])
    after = zs.metrics.ilisi(kang.obsm["X_pca_harmony"], kang.obs["stim"])
    assert before < 0.3 and after > 0.6, (before, after)
    expression = kang[:, ["CD3D", "MS4A1", "LYZ"]].to_df()
    kinds = expression.idxmax(axis=1)[expression.max(axis=1) > 1.5]
    apart = [
        zs.metrics.clisi(kang[kinds.index].obsm[rep], kinds, scale=False) for rep in ("X_pca", "X_pca_harmony")
    ]
    assert apart[1] < apart[0] + 0.05, apart


def test_slots_copy_provenance_and_threads(cell_lines):
    adata = cell_lines.copy()
    changed = zs.pp.harmony_integrate(adata, "dataset", adjusted_basis="Y", copy=True, threads=1)
    assert "Y" not in adata.obsm and "harmony" not in adata.uns
    clusters = changed.uns["harmony"]
    k = len(clusters["cluster_sizes"])
    assert clusters["centroids"].shape == clusters["cluster_sums"].shape == (k, 20)
    assert clusters["cluster_sizes"].sum() == pytest.approx(adata.n_obs, abs=0.05)
    assert clusters["params"]["key"] == ["dataset"]
    assert changed.uns["zensaibo"]["harmony_integrate"]["options"]["flavor"] == "harmony2"
    for threads in (2, 8):
        again = zs.pp.harmony_integrate(adata, ["dataset"], adjusted_basis="Y", copy=True, threads=threads)
        assert again.obsm["Y"].tobytes() == changed.obsm["Y"].tobytes()
    single = zs.arrays.harmony(adata.obsm["X_pca"].astype(np.float32), adata.obs["dataset"])
    np.testing.assert_allclose(single.corrected, changed.obsm["Y"], atol=0.05)


def test_one_batch_and_a_batch_of_one_cell(cell_lines):
    adata = cell_lines.copy()
    adata.obs["one"] = "x"
    with pytest.warns(UserWarning, match="one batch only in one"):
        zs.pp.harmony_integrate(adata, "one")
    np.testing.assert_array_equal(adata.obsm["X_pca_harmony"], adata.obsm["X_pca"].astype(np.float32))
    adata.obs["lonely"] = ["a"] + ["b"] * (adata.n_obs - 1)
    zs.pp.harmony_integrate(adata, "lonely")
    assert np.isfinite(adata.obsm["X_pca_harmony"]).all()
    with pytest.warns(UserWarning, match="not settled after 1"):
        zs.pp.harmony_integrate(adata, "dataset", max_iter_harmony=1)


def test_bad_input_is_named(cell_lines):
    adata = cell_lines.copy()
    with pytest.raises(KeyError, match=r"`plate` not found in adata.obs; present: dataset, cell_type"):
        zs.pp.harmony_integrate(adata, "plate")
    with pytest.raises(KeyError, match="`X_pc` not found in adata.obsm"):
        zs.pp.harmony_integrate(adata, "dataset", basis="X_pc")
    with pytest.raises(zs.errors.ParameterError, match="`key`: expected one or several different columns"):
        zs.pp.harmony_integrate(adata, ["dataset", "dataset"])
    with pytest.raises(zs.errors.ParameterError, match="flavor|harmony3"):
        zs.pp.harmony_integrate(adata, "dataset", flavor="harmony3")
    with pytest.raises(zs.errors.ParameterError, match="`theta`: expected one number, or 1"):
        zs.pp.harmony_integrate(adata, "dataset", theta=[1, 2])
    with pytest.raises(zs.errors.ParameterError, match="`ridge_lambda`"):
        zs.pp.harmony_integrate(adata, "dataset", ridge_lambda=3.0)
    adata.obs["gap"] = adata.obs["dataset"].where(np.arange(adata.n_obs) != 5)
    with pytest.raises(zs.errors.DataError, match="`gap`: expected a label for every cell, found 1 .*row 5"):
        zs.pp.harmony_integrate(adata, "gap")
    adata.obsm["X_pca"][3, 2] = np.nan
    with pytest.raises(zs.errors.NonFiniteError, match="row 3, column 2"):
        zs.pp.harmony_integrate(adata, "dataset")


def test_lisi_is_harmonypys(cell_lines, golden):
    """harmonypy 2.1.0's LISI, cell by cell, to 1e-5 (the golden is float32)."""
    for column, key in enumerate(["dataset", "cell_type"]):
        ours = zs.metrics.lisi(cell_lines.obsm["X_pca"][:, :5], cell_lines.obs[key])
        np.testing.assert_allclose(ours, golden["lisi"][:, column], atol=1e-5)


def test_silhouette_is_scikit_learns(cell_lines):
    from sklearn.metrics import silhouette_score

    X, labels = cell_lines.obsm["X_pca"], cell_lines.obs["cell_type"]
    ours = zs.metrics.silhouette(X, labels)
    assert ours == pytest.approx(silhouette_score(X, labels), abs=1e-9)
    assert zs.metrics.silhouette(X, labels, threads=1) == ours == zs.metrics.silhouette(X, labels, threads=8)
    assert zs.metrics.silhouette(X, labels, sample=800) == pytest.approx(ours, abs=0.03)


def test_kbet_is_the_chi_square_test(cell_lines):
    X, batches = cell_lines.obsm["X_pca"], cell_lines.obs["dataset"]
    indices = zs.arrays.knn(X, 25).indices
    found = zs.metrics.kbet(X, batches, n_neighbors=25)
    seen = pd.get_dummies(batches).to_numpy(float)
    expected = seen.mean(axis=0) * 25
    statistic = ((seen[indices].sum(axis=1) - expected) ** 2 / expected).sum(axis=1)
    np.testing.assert_allclose(found.statistics, statistic, rtol=1e-9)
    np.testing.assert_allclose(found.p_values, chi2.sf(statistic, 2), rtol=1e-8, atol=1e-300)
    assert found.acceptance_rate == (found.p_values >= 0.05).mean()
    again = zs.metrics.kbet(None, batches, indices=indices)
    assert again.acceptance_rate == found.acceptance_rate
    mixed = zs.metrics.kbet(X, np.random.default_rng(0).permutation(batches), n_neighbors=25)
    assert mixed.acceptance_rate > 0.9 > 0.1 > found.acceptance_rate


def test_scores_name_bad_input(cell_lines):
    X = cell_lines.obsm["X_pca"][:50]
    labels = np.repeat(["a", "b"], 25)
    with pytest.raises(zs.errors.ShapeError, match="`labels`: expected 50 labels"):
        zs.metrics.lisi(X, labels[1:])
    with pytest.raises(zs.errors.ParameterError, match="`perplexity`"):
        zs.metrics.lisi(X, labels, perplexity=0)
    with pytest.raises(zs.errors.TooFewError, match="at least 3 rows, found 2"):
        zs.metrics.lisi(X[:2], labels[:2])
    with pytest.raises(zs.errors.TooFewError, match="two labels"):
        zs.metrics.ilisi(X, ["a"] * 50)
    with pytest.raises(zs.errors.TooFewError, match="two labels"):
        zs.metrics.silhouette(X, ["a"] * 50)
    with pytest.raises(zs.errors.ParameterError, match="`sample`"):
        zs.metrics.silhouette(X, labels, sample=0)
    with pytest.raises(zs.errors.TooFewError, match="two batches"):
        zs.metrics.kbet(X, ["a"] * 50)
    with pytest.raises(zs.errors.ParameterError, match="`alpha`"):
        zs.metrics.kbet(X, labels, n_neighbors=5, alpha=0)
    assert zs.metrics.clisi(X, labels, perplexity=5) <= 1
