"""`zs.pp.scrublet`: against scanpy (golden and live), scikit-image's threshold (golden), planted doublets, bad input."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from conftest import LAYOUTS, _read
from scipy import sparse
from scipy.stats import spearmanr

import zensaibo as zs
from zensaibo import _core

GOLDEN = Path(__file__).parent / "golden" / "scrublet" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


@pytest.fixture(scope="module")
def planted() -> ad.AnnData:
    """2,000 simulated blood cells, 6 % of them doublets of two cells."""
    return zs.datasets.simulate(2000, 4000, template="pbmc", doublet_rate=0.06, batch_effect=0.0, seed=3)


def area(scores: np.ndarray, truth: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(truth, scores))


def different_types(adata: ad.AnnData) -> np.ndarray:
    """Doublets of two types; those of one type look like any cell."""
    column = next(name for name in ("cell_type", "type") if name in adata.obs)
    return (adata.obs["is_doublet"] & (adata.obs["doublet_of"].astype(str) != adata.obs[column].astype(str))).to_numpy()


def test_scores_as_scanpys_on_a_library(golden):
    """Other random doublets, so other digits: rank correlation above 0.9, the same cells above a score of 0.25 for
    97 %, and simulated scores of the same distribution (quantiles to 0.03)."""
    hspc = _read("mouse_hspc_4samples/counts.h5ad")
    hspc = hspc[hspc.obs["sample"] == "P9A"].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.pp.scrublet(hspc)
    ours, theirs = hspc.obs["doublet_score"].to_numpy(), golden["scores"]
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(theirs))
    there = ~np.isnan(theirs)
    assert spearmanr(ours[there], theirs[there]).statistic > 0.9
    assert ((ours[there] > 0.25) == (theirs[there] > 0.25)).mean() > 0.97
    simulated = hspc.uns["scrublet"]["doublet_scores_sim"]
    assert len(simulated) == len(golden["simulated"])
    levels = np.linspace(0.05, 0.95, 19)
    np.testing.assert_allclose(np.quantile(simulated, levels), np.quantile(golden["simulated"], levels), atol=0.03)


def test_threshold_is_scikit_images(golden):
    """threshold_minimum of scikit-image 0.26.0, to the last digits, on 60 made-up mixtures and on real scores."""

    def made_up(case):
        rng = np.random.default_rng(case)
        share = rng.uniform(0.1, 0.9)
        n = int(rng.integers(200, 5000))
        low, high = rng.beta(2, 20, n), rng.beta(8, rng.uniform(2, 20), n)
        return np.where(rng.uniform(size=n) < share, low, high)

    found = [_core.minimum_between_modes(made_up(case)) for case in range(60)]
    ours = np.array([np.nan if value is None else value for value in found])
    np.testing.assert_allclose(ours, golden["thresholds"], rtol=1e-12)
    assert _core.minimum_between_modes(golden["simulated"]) == pytest.approx(float(golden["threshold"]), rel=1e-12)


def test_calls_as_scanpys_and_planted_doublets(planted):
    """With one threshold for both: the same calls for 97 % of the cells; doublets of two types are found as well."""
    import scanpy as sc

    theirs, ours = planted.copy(), planted.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.scrublet(theirs, threshold=0.25)
        zs.pp.scrublet(ours, threshold=0.25)
    same = ours.obs["predicted_doublet"].to_numpy() == theirs.obs["predicted_doublet"].to_numpy(bool)
    assert same.mean() > 0.97
    truth = different_types(planted)
    a, b = area(ours.obs["doublet_score"], truth), area(theirs.obs["doublet_score"], truth)
    assert a > 0.93 and a > b - 0.02, (a, b)
    assert spearmanr(ours.obs["doublet_score"], theirs.obs["doublet_score"]).statistic > 0.85
    keys = {"doublet_scores_sim", "doublet_parents", "parameters", "threshold"}
    assert set(ours.uns["scrublet"]) == set(theirs.uns["scrublet"]) == keys
    assert ours.uns["scrublet"]["parameters"] == theirs.uns["scrublet"]["parameters"]
    assert ours.uns["scrublet"]["doublet_parents"].shape == theirs.uns["scrublet"]["doublet_parents"].shape


def test_the_threshold_is_found(planted):
    adata = planted.copy()
    zs.pp.scrublet(adata)
    threshold = adata.uns["scrublet"]["threshold"]
    assert threshold == _core.minimum_between_modes(adata.uns["scrublet"]["doublet_scores_sim"])
    np.testing.assert_array_equal(adata.obs["predicted_doublet"], adata.obs["doublet_score"] > threshold)
    called = adata.obs["predicted_doublet"].to_numpy()
    truth = different_types(adata)
    assert called[truth].mean() > 0.6 and called[~adata.obs["is_doublet"].to_numpy()].mean() < 0.05


def test_each_batch_by_itself(planted):
    adata = planted[:900].copy()
    adata.obs["library"] = np.where(np.arange(900) % 3 == 0, "b", "a")
    changed = zs.pp.scrublet(adata, batch_key="library", threshold=0.3, copy=True)
    assert "doublet_score" not in adata.obs
    entry = changed.uns["scrublet"]
    assert entry["batched_by"] == "library" and list(entry["batches"]) == ["a", "b"]
    for batch, found in entry["batches"].items():
        rows = np.flatnonzero(adata.obs["library"] == batch)
        alone = zs.pp.scrublet(adata[rows], threshold=0.3, copy=True)
        np.testing.assert_array_equal(alone.obs["doublet_score"], changed.obs["doublet_score"].iloc[rows])
        assert np.isin(found["doublet_parents"], rows).all()
        np.testing.assert_array_equal(rows[alone.uns["scrublet"]["doublet_parents"]], found["doublet_parents"])
    assert changed.uns["zensaibo"]["scrublet"]["options"]["batch_key"] == "library"


def test_layouts_and_threads_give_the_same_bits(planted):
    matrix = sparse.csr_matrix(planted.X)[:400]
    one = zs.arrays.scrublet(matrix, threads=1, threshold=0.3)
    for name, layout in LAYOUTS.items():
        other = zs.arrays.scrublet(layout(matrix), threads=3, threshold=0.3)
        np.testing.assert_array_equal(other.scores, one.scores, err_msg=name)
        np.testing.assert_array_equal(other.parents, one.parents, err_msg=name)
    assert (zs.arrays.scrublet(matrix, seed=1, threshold=0.3).scores != one.scores).any()


def test_empty_cells_keep_their_place(planted):
    adata = planted[:300].copy()
    counts = sparse.csr_matrix(adata.X).tolil()
    counts[7] = 0
    adata.X = counts.tocsr()
    zs.pp.scrublet(adata, threshold=0.3)
    assert np.isnan(adata.obs["doublet_score"].iloc[7]) and not adata.obs["predicted_doublet"].iloc[7]
    assert adata.obs["doublet_score"].isna().sum() == 1
    assert not (adata.uns["scrublet"]["doublet_parents"] == 7).any()


def test_no_threshold_calls_no_cell(planted):
    """A single simulated doublet: its score is no distribution."""
    adata = planted[:80].copy()
    adata.obs["lane"] = "l1"
    for options in ({}, {"batch_key": "lane"}):
        with pytest.warns(UserWarning, match="no threshold found" + (" in batch 'l1' of `lane`" if options else ":")):
            zs.pp.scrublet(adata, n_prin_comps=5, sim_doublet_ratio=0.02, **options)
        assert not adata.obs["predicted_doublet"].any() and adata.obs["doublet_score"].notna().all()
    assert "threshold" not in adata.uns["scrublet"]["batches"]["l1"]


def test_bad_input_is_named(planted):
    adata = planted[:200].copy()
    with pytest.raises(KeyError, match="`lane` not found in adata.obs"):
        zs.pp.scrublet(adata, batch_key="lane")
    with pytest.raises(zs.errors.ParameterError, match="`expected_doublet_rate`: expected above 0 and below 1, found 0"):
        zs.pp.scrublet(adata, expected_doublet_rate=0.0)
    with pytest.raises(zs.errors.ParameterError, match="n_prin_comps"):
        zs.pp.scrublet(adata, n_prin_comps=5000)
    with pytest.raises(zs.errors.ParameterError, match="knn_dist_metric|manhattan"):
        zs.pp.scrublet(adata, knn_dist_metric="manhattan")
    adata.obs["lane"] = ["x"] * 198 + ["y"] * 2
    with pytest.raises(zs.errors.TooFewError, match="batch 'y' of `lane`: .*at least 4 cells"):
        zs.pp.scrublet(adata, batch_key="lane", threshold=0.2, n_prin_comps=10)
    logged = zs.pp.log1p(adata, copy=True)
    with pytest.raises(zs.errors.NotCountsError):
        zs.pp.scrublet(logged)
    adata.X = sparse.csr_matrix(adata.X)
    adata.X.data[3] = -2
    with pytest.raises(zs.errors.NegativeValuesError):
        zs.pp.scrublet(adata)
