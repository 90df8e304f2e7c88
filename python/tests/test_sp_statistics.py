"""Labels and values of neighbours: against formulas over all pairs, planted truth, real tissue, and squidpy where it is installed."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

import zensaibo as zs
from zensaibo.errors import DataError, EmptyDataError, MissingKeyError, NonFiniteError, ParameterError, ShapeError

from conftest import data_path


def tissue(n: int = 400, dimensions: int = 2, seed: int = 0, k: int = 4) -> ad.AnnData:
    """Cells at random places with random labels, two libraries, a graph within each, and values of every kind."""
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(0.6, (n, 12)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(12)]
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, dimensions))
    adata.obs["label"] = pd.Categorical.from_codes(rng.integers(0, k, n), [f"type {i}" for i in range(k)])
    adata.obs["library"] = pd.Categorical(np.where(np.arange(n) % 3, "a", "b"))
    zs.sp.spatial_neighbors_knn(adata, library_key="library")
    return adata


def edges_by_label(graph, labels) -> np.ndarray:
    codes = pd.Categorical(labels).codes
    rows, columns = graph.nonzero()
    k = codes.max() + 1
    return np.bincount(codes[rows] * k + codes[columns], minlength=k * k).reshape(k, k)


# Neighbourhoods


def test_enrichment_is_that_of_many_orders_and_finds_what_was_planted():
    adata = tissue()
    graph, labels = adata.obsp["spatial_connectivities"], adata.obs["label"]
    rng = np.random.default_rng(1)
    drawn = np.array([edges_by_label(graph, rng.permutation(labels.cat.codes)) for _ in range(3000)])
    zs.sp.nhood_enrichment(adata, "label")
    found = adata.uns["label_nhood_enrichment"]
    assert np.array_equal(found["count"], edges_by_label(graph, labels))
    assert np.abs(found["mean"] - drawn.mean(0)).max() < 5 * drawn.std(0).max() / np.sqrt(3000)
    assert np.abs(found["std"] / drawn.std(0) - 1).max() < 0.07
    np.testing.assert_allclose(found["zscore"], (found["count"] - found["mean"]) / found["std"])
    assert list(found["categories"]) == list(labels.cat.categories)
    # Types 0 and 1 in halves of their own, 2 and 3 anywhere.
    left = adata.obsm["spatial"][:, 0] < 50
    codes = np.where(np.arange(400) % 2, np.where(left, 0, 1), rng.integers(2, 4, 400))
    z = zs.arrays.nhood_enrichment(graph, codes).zscore
    assert z[0, 0] > 5 and z[1, 1] > 5 and z[0, 1] < -5 and abs(z[2, 3]) < 4


def test_orders_are_drawn_within_libraries():
    adata = tissue()
    # One label fills a library: only orders within libraries see that its neighbours are no surprise.
    adata.obs["label"] = pd.Categorical(np.where(adata.obs["library"] == "b", "only here", adata.obs["label"].astype(str)))
    exact = zs.arrays.nhood_enrichment(adata.obsp["spatial_connectivities"], adata.obs["label"], libraries=adata.obs["library"])
    drawn = zs.arrays.nhood_enrichment(
        adata.obsp["spatial_connectivities"], adata.obs["label"], libraries=adata.obs["library"], n_perms=2000, seed=4
    )
    assert np.isnan(exact.zscore[0, 0]) and exact.mean[0, 0] == exact.count[0, 0]
    known = exact.std > 0
    assert np.array_equal(known, drawn.std > 0) and known.sum() == 16
    assert np.abs(drawn.std[known] / exact.std[known] - 1).max() < 0.08
    whole = zs.arrays.nhood_enrichment(adata.obsp["spatial_connectivities"], adata.obs["label"])
    assert whole.zscore[0, 0] > 20
    with pytest.raises(DataError, match="between libraries"):
        zs.arrays.nhood_enrichment(
            zs.arrays.spatial_neighbors_knn(adata.obsm["spatial"]).connectivities, adata.obs["label"], libraries=adata.obs["library"]
        )


def test_one_cell_of_a_label_is_flagged_and_cells_that_are_their_own_neighbours_are_counted():
    adata = tissue()
    codes = adata.obs["label"].cat.codes.to_numpy().copy()
    codes[7] = 9
    found = zs.arrays.nhood_enrichment(adata.obsp["spatial_connectivities"], codes)
    assert np.isnan(found.zscore[4, 4]) and np.isfinite(np.delete(found.zscore.ravel(), 24)).all()
    plain = zs.arrays.nhood_enrichment(adata.obsp["spatial_connectivities"], codes)
    own = zs.arrays.nhood_enrichment(adata.obsp["spatial_connectivities"] + sparse.identity(400, format="csr"), codes)
    assert np.array_equal(own.count - plain.count, np.diag(np.bincount(codes)[[0, 1, 2, 3, 9]]))
    np.testing.assert_allclose(own.zscore, plain.zscore)


def test_interactions_count_and_add_up():
    adata = tissue()
    counts = edges_by_label(adata.obsp["spatial_connectivities"], adata.obs["label"])
    zs.sp.interaction_matrix(adata, "label")
    assert np.array_equal(adata.uns["label_interactions"], counts)
    zs.sp.interaction_matrix(adata, "label", normalized=True)
    np.testing.assert_allclose(adata.uns["label_interactions"], counts / counts.sum(1, keepdims=True))
    zs.sp.interaction_matrix(adata, "label", weights=True, connectivity_key="spatial_distances")
    np.testing.assert_allclose(adata.uns["label_interactions"].sum(), adata.obsp["spatial_distances"].sum())
    # Cells without a label are left out with their edges.
    labels = adata.obs["label"].where(np.arange(400) >= 50)
    found, names = zs.arrays.interaction_matrix(adata.obsp["spatial_connectivities"], labels)
    kept = adata.obsp["spatial_connectivities"][50:][:, 50:]
    assert np.array_equal(found, edges_by_label(kept, labels[50:])) and len(names) == 4


# Labels by distance


def ratios(places, labels, interval, annular, libraries=None) -> np.ndarray:
    """By the definition, over all pairs."""
    codes = pd.Categorical(labels).codes
    k = codes.max() + 1
    far = cdist(places, places)
    np.fill_diagonal(far, np.inf)
    if libraries is not None:
        far[np.asarray(libraries)[:, None] != np.asarray(libraries)[None]] = np.inf
    out = np.full((k, k, len(interval) - 1), np.nan)
    for r, (least, most) in enumerate(zip(interval[:-1], interval[1:], strict=True)):
        near = (far <= most) & (far > least if annular else True)
        counts = np.array([[near[codes == c][:, codes == i].sum() for i in range(k)] for c in range(k)], float)
        share = counts.sum(1) / counts.sum()
        with np.errstate(invalid="ignore", divide="ignore"):
            out[:, :, r] = (counts / counts.sum(1, keepdims=True) / share).T
    return out


@pytest.mark.parametrize("annular", [False, True])
@pytest.mark.parametrize("dimensions", [2, 3])
def test_co_occurrence_is_that_of_all_pairs(annular, dimensions):
    adata = tissue(dimensions=dimensions)
    places, labels = adata.obsm["spatial"], adata.obs["label"]
    for libraries in (None, adata.obs["library"]):
        found = zs.arrays.co_occurrence(places, labels, interval=12, annular=annular, libraries=libraries)
        assert found.occ.shape == (4, 4, 11) and found.interval.shape == (12,) and found.counts.shape == (11, 4, 4)
        np.testing.assert_allclose(found.occ, ratios(places, labels, found.interval, annular, libraries), rtol=1e-10)
    zs.sp.co_occurrence(adata, "label", interval=[30, 5, 10], annular=annular)
    stored = adata.uns["label_co_occurrence"]
    assert list(stored["interval"]) == [5, 10, 30] and stored["occ"].shape == (4, 4, 2)


def test_looking_from_some_cells_comes_close_to_all():
    adata = tissue(3000)
    adata.obs["label"] = pd.Categorical(np.where(adata.obsm["spatial"][:, 0] < 40, "left", adata.obs["label"].astype(str)))
    places, labels = adata.obsm["spatial"], adata.obs["label"]
    whole = zs.arrays.co_occurrence(places, labels, interval=10)
    some = zs.arrays.co_occurrence(places, labels, interval=10, n_observations=600, seed=5)
    assert np.abs(some.occ[..., 2:] / whole.occ[..., 2:] - 1).max() < 0.3 and not np.array_equal(some.occ, whole.occ)
    assert np.corrcoef(some.occ.ravel(), whole.occ.ravel())[0, 1] > 0.97
    for threads in (1, 4):
        again = zs.arrays.co_occurrence(places, labels, interval=10, n_observations=600, seed=5, threads=threads)
        assert np.array_equal(again.counts, some.counts)
    # By the definition over what was looked at.
    counts = some.counts.astype(float)
    expected = counts / counts.sum(2, keepdims=True) / (counts.sum(1, keepdims=True) / counts.sum((1, 2), keepdims=True))
    np.testing.assert_allclose(some.occ, expected.transpose(2, 1, 0), rtol=1e-12)
    assert np.array_equal(zs.arrays.co_occurrence(places, labels, interval=10, n_observations=3000).occ, whole.occ)
    with pytest.raises(ParameterError, match="n_observations"):
        zs.arrays.co_occurrence(places, labels, n_observations=0)


def test_rings_add_up_to_discs():
    adata = tissue()
    rings, discs = (
        zs.arrays.co_occurrence(adata.obsm["spatial"], adata.obs["label"], interval=np.linspace(0, 60, 30), annular=annular).counts
        for annular in (True, False)
    )
    # No two cells are at one place, so nothing is nearer than the first distance.
    assert np.array_equal(np.cumsum(rings, axis=0), discs) and (discs == discs.transpose(0, 2, 1)).all()


def test_labels_that_attract_are_found_near_each_other():
    rng = np.random.default_rng(2)
    centres = rng.uniform(0, 100, (30, 2))
    places = np.concatenate([centres + rng.normal(0, 1, (30, 2)), centres + rng.normal(0, 1, (30, 2)), rng.uniform(0, 100, (300, 2))])
    labels = ["a"] * 30 + ["b"] * 30 + ["c"] * 300
    found = zs.arrays.co_occurrence(places, labels, interval=[0, 3, 70])
    assert found.occ[0, 1, 0] > 3 and found.occ[2, 0, 0] < 0.8 and 0.8 < found.occ[0, 1, 1] < 1.3
    # Nothing near: no ratio, rather than one of 0.
    assert np.isnan(zs.arrays.co_occurrence(places[:3] * 1e6, labels[:3], interval=[0, 1]).occ).all()


# Values


def scores(graph, x, mode) -> tuple[float, float]:
    """The statistic and its variance under normality, by the formulas."""
    w = graph.toarray().astype(float)
    total = np.abs(w).sum(1, keepdims=True)
    w = np.divide(w, total, out=np.zeros_like(w), where=total > 0)
    n, s0, s1, s2 = len(x), w.sum(), ((w + w.T) ** 2).sum() / 2, ((w.sum(0) + w.sum(1)) ** 2).sum()
    z = x - x.mean()
    if mode == "moran":
        variance = (n**2 * s1 - n * s2 + 3 * s0**2) / ((n - 1) * (n + 1) * s0**2) - 1 / (n - 1) ** 2
        return n / s0 * (z @ w @ z) / (z @ z), variance
    variance = ((2 * s1 + s2) * (n - 1) - 4 * s0**2) / (2 * (n + 1) * s0**2)
    return (n - 1) * (w * (x[:, None] - x) ** 2).sum() / (2 * s0 * (z @ z)), variance


@pytest.mark.parametrize("mode", ["moran", "geary"])
def test_autocorrelation_by_formula_and_planted(mode):
    adata = tissue()
    x = adata.X.toarray()
    x[:, 0] = 0
    x[:, 1] = 5 + adata.obsm["spatial"][:, 0] / 10
    x[:, 2] = 1e4 + np.random.default_rng(0).normal(size=400)
    adata.X = sparse.csr_matrix(x.astype(np.float64))
    graph = adata.obsp["spatial_connectivities"]
    zs.sp.spatial_autocorr(adata, mode=mode)
    key, stat = ("moranI", "I") if mode == "moran" else ("gearyC", "C")
    table = adata.uns[key]
    assert table.index[0] == "g1" and table.index[-1] == "g0" and table.loc["g0"].drop("var_norm").isna().all()
    for gene in range(1, 12):
        expected, variance = scores(graph, x[:, gene].astype(np.float64), mode)
        assert table.loc[f"g{gene}", stat] == pytest.approx(expected, abs=1e-6)
        assert table.loc[f"g{gene}", "var_norm"] == pytest.approx(variance, rel=1e-9)
    assert table.loc["g1", "pval_norm_fdr_bh"] < 1e-10 and table["pval_norm"].min() > 0
    from scipy.stats import false_discovery_control, norm

    mean = -1 / 399 if mode == "moran" else 1.0
    known = table.drop("g0")
    np.testing.assert_allclose(known["pval_norm"], norm.sf(np.abs(known[stat] - mean) / np.sqrt(known["var_norm"])))
    np.testing.assert_allclose(known["pval_norm_fdr_bh"], false_discovery_control(known["pval_norm"]))
    zs.sp.spatial_autocorr(adata, mode=mode, two_tailed=True, corr_method=None)
    np.testing.assert_allclose(adata.uns[key].loc[known.index, "pval_norm"], 2 * known["pval_norm"])


def test_permutations_of_values_have_the_mean_of_chance():
    adata = tissue()
    graph = adata.obsp["spatial_connectivities"]
    found = zs.arrays.spatial_autocorr(graph, adata.X, n_perms=500, seed=1)
    rng = np.random.default_rng(0)
    x = adata.X[:, 3].toarray().ravel().astype(float)
    drawn = [scores(graph, rng.permutation(x), "moran")[0] for _ in range(200)]
    assert found.var_sim[3] == pytest.approx(np.var(drawn), rel=0.35)
    assert ((found.pval_sim >= 1 / 501) & (found.pval_sim <= 0.51)).all()
    smooth = np.sin(adata.obsm["spatial"] / 15).astype(np.float64)
    found = zs.arrays.spatial_autocorr(graph, smooth, n_perms=99)
    assert np.allclose(found.pval_sim, 0.01) and (found.pval_z_sim < 1e-10).all()


def test_autocorrelation_of_columns_and_embeddings():
    adata = tissue()
    adata.obs["depth"] = adata.obsm["spatial"][:, 1]
    graph = adata.obsp["spatial_connectivities"]
    expected = scores(graph, adata.obs["depth"].to_numpy(), "moran")[0]
    zs.sp.spatial_autocorr(adata, attr="obs", genes="depth")
    assert adata.uns["moranI"].loc["depth", "I"] == pytest.approx(expected)
    zs.sp.spatial_autocorr(adata, attr="obsm", layer="spatial", genes=[1])
    assert adata.uns["moranI"].loc["1", "I"] == pytest.approx(expected)
    adata.var["highly_variable"] = np.arange(12) < 5
    zs.sp.spatial_autocorr(adata)
    assert set(adata.uns["moranI"].index) == {f"g{i}" for i in range(5)}
    zs.sp.spatial_autocorr(adata, genes=["g7", "g2"])
    assert set(adata.uns["moranI"].index) == {"g7", "g2"}
    adata.layers["twice"] = 2 * adata.X
    before = adata.uns["moranI"]
    zs.sp.spatial_autocorr(adata, genes=["g7", "g2"], layer="twice")
    pd.testing.assert_frame_equal(before, adata.uns["moranI"])
    adata.raw = adata
    zs.sp.spatial_autocorr(adata, genes=["g7", "g2"], use_raw=True)
    pd.testing.assert_frame_equal(before, adata.uns["moranI"])


# All of them


def test_any_number_of_threads_and_any_layout_gives_the_same_bits():
    adata = tissue(3000)
    graph, labels, places = adata.obsp["spatial_connectivities"], adata.obs["label"], adata.obsm["spatial"]

    def bits(threads, X=adata.X):
        nhood = zs.arrays.nhood_enrichment(graph, labels, threads=threads)
        drawn = zs.arrays.nhood_enrichment(graph, labels, n_perms=40, threads=threads)
        near = zs.arrays.co_occurrence(places, labels, threads=threads)
        moran = zs.arrays.spatial_autocorr(graph, X, n_perms=40, threads=threads)
        weights = zs.arrays.interaction_matrix(adata.obsp["spatial_distances"], labels, weights=True, threads=threads)[0]
        parts = [nhood.zscore, drawn.zscore, near.occ, moran.score, moran.pval_sim, moran.var_sim, weights]
        return [part.tobytes() for part in parts]

    one = bits(1)
    assert one == bits(2) == bits(8)
    assert one == bits(2, adata.X.toarray()) == bits(1, adata.X.tocsc())


def test_faults_are_named_and_nothing_is_written():
    adata = tissue()
    before = set(adata.uns)
    graph, places = adata.obsp["spatial_connectivities"], adata.obsm["spatial"]
    adata.obs["holes"] = adata.obs["label"].where(np.arange(400) != 11)
    for run in (zs.sp.nhood_enrichment, zs.sp.co_occurrence):
        with pytest.raises(DataError, match="row 11"):
            run(adata, "holes")
    for run in (zs.sp.nhood_enrichment, zs.sp.co_occurrence, zs.sp.interaction_matrix):
        with pytest.raises(MissingKeyError, match="nothing here"):
            run(adata, "nothing here")
    with pytest.raises(MissingKeyError, match="adata.obsp"):
        zs.sp.nhood_enrichment(adata, "label", connectivity_key="none")
    with pytest.raises(MissingKeyError, match="gene x"):
        zs.sp.spatial_autocorr(adata, genes=["gene x"])
    with pytest.raises(MissingKeyError, match="adata.obsp"):
        zs.sp.spatial_autocorr(adata, connectivity_key="none")
    with pytest.raises(DataError, match="none"):
        zs.arrays.interaction_matrix(graph, [None] * 400)
    with pytest.raises(ShapeError, match="400"):
        zs.arrays.nhood_enrichment(graph, ["a"] * 3)
    with pytest.raises(ShapeError, match="400"):
        zs.arrays.spatial_autocorr(graph, np.zeros((3, 2)))
    with pytest.raises(NonFiniteError):
        zs.arrays.spatial_autocorr(graph, np.full((400, 1), np.nan))
    with pytest.raises(NonFiniteError, match="row 0"):
        zs.arrays.co_occurrence(np.full((400, 2), np.inf), adata.obs["label"])
    with pytest.raises(DataError, match="no edges"):
        zs.arrays.spatial_autocorr(sparse.csr_matrix((400, 400)), adata.X)
    adata.obs.drop(columns=adata.obs.select_dtypes("number").columns, inplace=True)
    with pytest.raises(EmptyDataError, match="adata.obs"):
        zs.sp.spatial_autocorr(adata, attr="obs")
    for wrong in (
        lambda: zs.arrays.nhood_enrichment(graph, adata.obs["label"], n_perms=1),
        lambda: zs.arrays.nhood_enrichment(graph.toarray(), adata.obs["label"]),
        lambda: zs.arrays.spatial_autocorr(graph, adata.X, mode="morans"),
        lambda: zs.arrays.spatial_autocorr(graph, adata.X, n_perms=0),
        lambda: zs.sp.spatial_autocorr(adata, corr_method="holm"),
        lambda: zs.sp.spatial_autocorr(adata, attr="var"),
        lambda: zs.sp.spatial_autocorr(adata, attr="obsm"),
        lambda: zs.sp.spatial_autocorr(adata, attr="obs", use_raw=True),
        lambda: zs.arrays.co_occurrence(places, adata.obs["label"], interval=1),
        lambda: zs.arrays.co_occurrence(places, adata.obs["label"], interval=[1.0]),
        lambda: zs.arrays.co_occurrence(places, adata.obs["label"], interval=[1.0, 1.0]),
        lambda: zs.arrays.co_occurrence(places, adata.obs["label"], interval=[-1.0, 1.0]),
        lambda: zs.arrays.co_occurrence(places, adata.obs["label"], interval="many"),
        lambda: zs.arrays.co_occurrence(np.zeros((400, 2)), adata.obs["label"]),
    ):
        with pytest.raises(ParameterError):
            wrong()
    assert set(adata.uns) == before


def test_results_go_through_a_file(tmp_path):
    adata = tissue()
    copy = zs.sp.nhood_enrichment(adata, "label", copy=True)
    assert "label_nhood_enrichment" not in adata.uns
    zs.sp.co_occurrence(copy, "label")
    zs.sp.interaction_matrix(copy, "label")
    zs.sp.spatial_autocorr(copy, n_perms=5)
    copy.write(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    for name in ("label_nhood_enrichment", "label_co_occurrence", "label_interactions", "moranI"):
        assert name in back.uns
    for name in ("nhood_enrichment", "co_occurrence", "interaction_matrix", "spatial_autocorr"):
        assert back.uns["zensaibo"][name]["version"] == zs.__version__


def test_the_layers_of_the_olfactory_bulb():
    path = data_path("spatial_mouse_olfactory_bulb/mob.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = ad.read_h5ad(path)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.sp.spatial_neighbors_grid(adata, n_neighs=4)
    assert 3 < adata.obsp["spatial_connectivities"].sum(1).mean() <= 4
    zs.sp.spatial_autocorr(adata)
    table = adata.uns["moranI"]
    # Genes of the layers that the first study of this section (Stahl 2016) and later ones name.
    published = ["Penk", "Doc2g", "Kctd12", "Fabp7", "Nrgn", "Pcp4"]
    ranks = {gene: int(np.flatnonzero(table.index == gene)[0]) for gene in published if gene in table.index}
    assert len(ranks) >= 5 and np.median(list(ranks.values())) < 200, ranks
    assert (table["pval_norm_fdr_bh"] < 0.01).sum() > 200
    known = adata[adata.obs["layer"].astype(str) != "nan"].copy()
    zs.sp.spatial_neighbors_grid(known, n_neighs=4)
    zs.sp.nhood_enrichment(known, "layer")
    zs.sp.co_occurrence(known, "layer", interval=10)
    z = known.uns["layer_nhood_enrichment"]["zscore"]
    occ = known.uns["layer_co_occurrence"]["occ"]
    # Five layers around each other: each beside itself and those next to it, the innermost and the outermost far apart.
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    assert z.shape == (5, 5) and (np.diag(z) > 1.5).all() and z[0, 0] > 10 and z[4, 4] > 10
    assert z[apart >= 2].max() < z[apart <= 1].max() and z[0, 4] < -5 and z[apart <= 1].mean() > 4 > 0 > z[apart >= 2].mean()
    assert (np.diagonal(occ[:, :, 0]) > 1).all()


def test_squidpy_has_the_same_numbers():
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed: parity with it is not looked at")
    ours, theirs = tissue(2000), tissue(2000)
    zs.sp.nhood_enrichment(ours, "label")
    sq.gr.nhood_enrichment(theirs, "label", n_perms=2000, seed=0, show_progress_bar=False)
    a, b = ours.uns["label_nhood_enrichment"], theirs.uns["label_nhood_enrichment"]
    assert np.array_equal(a["count"], b["count"]) and np.abs(a["zscore"] - b["zscore"]).max() < 0.25
    for options in ({}, {"normalized": True}):
        zs.sp.interaction_matrix(ours, "label", **options)
        sq.gr.interaction_matrix(theirs, "label", **options)
        np.testing.assert_allclose(ours.uns["label_interactions"], theirs.uns["label_interactions"])
    zs.sp.co_occurrence(ours, "label", interval=20)
    sq.gr.co_occurrence(theirs, "label", interval=20)
    a, b = ours.uns["label_co_occurrence"], theirs.uns["label_co_occurrence"]
    np.testing.assert_allclose(a["interval"], b["interval"], rtol=1e-6)
    # In single precision a few pairs fall on the other side of a distance.
    np.testing.assert_allclose(np.nan_to_num(a["occ"]), b["occ"], atol=2e-3)
    for mode, key in (("moran", "moranI"), ("geary", "gearyC")):
        zs.sp.spatial_autocorr(ours, mode=mode)
        sq.gr.spatial_autocorr(theirs, mode=mode, show_progress_bar=False)
        a, b = ours.uns[key], theirs.uns[key].loc[ours.uns[key].index]
        assert list(a.columns) == list(b.columns)
        np.testing.assert_allclose(a.to_numpy(), b.to_numpy(), rtol=1e-5, atol=1e-6)
