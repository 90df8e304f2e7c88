"""Groups in graphs of neighbours and patterns of cells: against networkx, formulas, planted truth and what squidpy gave."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.spatial import ConvexHull
from scipy.spatial.distance import pdist

import zensaibo as zs
from zensaibo.errors import DataError, MissingKeyError, NonFiniteError, ParameterError, TooFewError

GOLDEN = Path(__file__).parent / "golden" / "space"


def tissue(n: int = 500, dimensions: int = 2, seed: int = 0) -> ad.AnnData:
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(np.zeros((n, 1), np.float32))
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, dimensions))
    adata.obs["label"] = pd.Categorical.from_codes(rng.integers(0, 3, n), ["a", "b/c", "d"])
    adata.obs["library"] = pd.Categorical(np.where(np.arange(n) % 2, "one", "two"))
    zs.sp.spatial_neighbors_knn(adata, library_key="library")
    return adata


def clustered(rng, n: int, side: float = 100.0) -> np.ndarray:
    """Cells around few parents (a Thomas process)."""
    parents = rng.uniform(0.1 * side, 0.9 * side, (max(3, n // 15), 2))
    return parents[rng.integers(0, len(parents), n)] + rng.normal(0, side / 50, (n, 2))


def regular(rng, n: int, side: float = 100.0) -> np.ndarray:
    """Cells on a grid, each moved a little."""
    steps = int(np.ceil(np.sqrt(n)))
    grid = np.stack(np.meshgrid(np.arange(steps), np.arange(steps)), -1).reshape(-1, 2)[:n] + 0.5
    return (grid + rng.uniform(-0.2, 0.2, grid.shape)) * side / steps


# Groups


def test_scores_of_groups_are_those_of_networkx():
    nx = pytest.importorskip("networkx", reason="networkx is not installed: parity with it is not looked at")
    adata = tissue(200)
    # Two libraries are not joined: some cells are out of reach of a label that only one of them has.
    adata.obs["label"] = pd.Categorical(np.where(adata.obs["library"] == "one", adata.obs["label"].astype(str), "e"))
    zs.sp.centrality_scores(adata, "label")
    table = adata.uns["label_centrality_scores"]
    graph = nx.Graph(adata.obsp["spatial_connectivities"])
    for label in table.index:
        cells = list(np.flatnonzero(adata.obs["label"] == label))
        row = table.loc[label]
        assert row["degree_centrality"] == pytest.approx(nx.group_degree_centrality(graph, cells), rel=1e-12)
        assert row["average_clustering"] == pytest.approx(nx.average_clustering(graph, cells), rel=1e-12)
        assert row["closeness_centrality"] == pytest.approx(nx.group_closeness_centrality(graph, cells), rel=1e-12)
        away = nx.multi_source_dijkstra_path_length(graph, set(cells), weight=None)
        assert row["reached"] == pytest.approx((len(away) - len(cells)) / (200 - len(cells)))
    assert table.loc["e", "reached"] == 0 and 0 < table.loc["a", "reached"] < 1


def test_scores_of_groups_are_those_that_squidpy_gave():
    sc = pytest.importorskip("scanpy")
    adata = sc.datasets.pbmc68k_reduced()
    golden = np.load(GOLDEN / "peers.npz")
    table = zs.arrays.centrality_scores(adata.obsp["connectivities"], adata.obs["bulk_labels"])
    for at, column in enumerate(golden["centrality_columns"]):
        np.testing.assert_allclose(table[column], golden["centrality"][:, at], rtol=1e-12)


def test_scores_asked_for_and_faults():
    adata = tissue()
    graph, labels = adata.obsp["spatial_connectivities"], adata.obs["label"]
    assert list(zs.arrays.centrality_scores(graph, labels, score="degree_centrality").columns) == ["degree_centrality"]
    one = zs.arrays.centrality_scores(graph, np.zeros(500))
    assert np.isnan(one["degree_centrality"].iloc[0]) and one["closeness_centrality"].iloc[0] == 0 and np.isnan(one["reached"].iloc[0])
    for threads in (1, 3):
        table = zs.arrays.centrality_scores(graph, labels, threads=threads)
        pd.testing.assert_frame_equal(table, zs.arrays.centrality_scores(graph, labels), check_exact=True)
    with pytest.raises(ParameterError, match="score"):
        zs.sp.centrality_scores(adata, "label", score="betweenness")
    with pytest.raises(MissingKeyError):
        zs.sp.centrality_scores(adata, "nothing")
    assert "label_centrality_scores" not in adata.uns


# Ripley


def by_definition(places, measure, mode, far, depth) -> float:
    """F is looked at elsewhere: its places are drawn."""
    off = np.linalg.norm(places[:, None] - places[None], axis=2)
    np.fill_diagonal(off, np.inf)
    looked = depth >= far
    if mode == "G":
        return (off[looked].min(axis=1) <= far).mean() if looked.any() else np.nan
    if not looked.any():
        return np.nan
    k = measure / (len(places) - 1) * (off[looked] <= far).sum(axis=1).mean()
    return np.sqrt(k / np.pi) if places.shape[1] == 2 else np.cbrt(0.75 * k / np.pi)


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("mode", ["G", "L"])
def test_curves_are_those_of_all_pairs(dimensions, mode):
    adata = tissue(300, dimensions)
    places, labels = adata.obsm["spatial"], adata.obs["label"]
    hull = ConvexHull(places)
    depth = (-(places @ hull.equations[:, :-1].T + hull.equations[:, -1])).min(axis=1)
    for edge_correction in ("border", "none"):
        found = zs.arrays.ripley(
            places, labels, mode=mode, n_steps=15, edge_correction=edge_correction, n_simulations=2, max_dist=40.0
        )
        assert found.stat.shape == (3, 15) and found.simulations.shape == (3, 2, 15) and found.bins[-1] == 40
        for at, label in enumerate(found.categories):
            own = np.flatnonzero(labels == label)
            at_depth = depth[own] if edge_correction == "border" else np.full(len(own), np.inf)
            expected = [by_definition(places[own], hull.volume, mode, far, at_depth) for far in found.bins]
            np.testing.assert_allclose(found.stat[at], expected, rtol=1e-9, equal_nan=True)


def test_without_correction_l_is_squidpys_but_for_the_number_of_cells():
    places, labels = tissue(200).obsm["spatial"], tissue(200).obs["label"]
    hull = ConvexHull(places)
    found = zs.arrays.ripley(places, labels, mode="L", edge_correction="none", n_simulations=1)
    assert found.bins[-1] == pytest.approx(np.sqrt(hull.volume / 2))
    for at, label in enumerate(found.categories):
        own = places[labels == label]
        # Theirs: pairs over all cells, whatever their label.
        pairs = (pdist(own) < found.bins[:, None]).sum(axis=1)
        theirs = np.sqrt(2 * pairs / 200 / (200 / hull.volume) / np.pi)
        np.testing.assert_allclose(found.stat[at] * np.sqrt(len(own) * (len(own) - 1)) / 200, theirs, rtol=1e-9)


@pytest.mark.parametrize("mode", ["F", "G", "L"])
def test_randomness_stays_inside_and_clusters_and_grids_are_outside(mode):
    rng = np.random.default_rng(0)
    inside = []
    for seed in range(20):
        places = np.concatenate([rng.uniform(0, 100, (150, 2)), clustered(rng, 150), regular(rng, 150)])
        places = np.clip(places, 0, 100)
        labels = np.repeat(["random", "together", "apart"], 150)
        found = zs.arrays.ripley(places, labels, mode=mode, n_simulations=99, seed=seed)
        p = dict(zip(found.categories, found.pvalue, strict=True))
        # All cells of a label in a region of their own hull: the same square.
        assert p["together"] <= 0.02
        assert p["apart"] <= 0.05
        inside.append(p["random"])
        at = {label: row for row, label in enumerate(found.categories)}
        small = found.bins < 5
        mean = found.simulations[at["together"]].mean(axis=0)
        above = (found.stat[at["together"]] - mean)[small].mean()
        assert above < 0 if mode == "F" else above > 0
    # p values of what is random are uniform: at most 3 of 20 below 0.05 (chance of more: 2%), half of them above a half.
    assert (np.array(inside) <= 0.05).sum() <= 3 and 0.25 < np.mean(inside) < 0.75


def test_simulations_differ_have_as_many_cells_and_begin_alike():
    adata = tissue(400)
    places = adata.obsm["spatial"]
    labels = np.repeat(["few", "many"], [40, 360])
    found = zs.arrays.ripley(places, labels, mode="G", n_simulations=20, n_observations=100, seed=3)
    assert list(found.n_cells) == [40, 100]
    assert np.std(found.simulations[0], axis=0).max() > 0.01
    # Nearest cells of 40 are further than those of 100.
    assert found.simulations[0].mean() < found.simulations[1].mean()
    fewer = zs.arrays.ripley(places, labels, mode="G", n_simulations=5, n_observations=100, seed=3)
    assert np.array_equal(fewer.simulations, found.simulations[:, :5], equal_nan=True)
    other = zs.arrays.ripley(places, labels, mode="G", n_simulations=5, n_observations=100, seed=4)
    assert not np.array_equal(fewer.simulations, other.simulations, equal_nan=True)


@pytest.mark.parametrize("mode", ["F", "G", "L"])
def test_any_number_of_threads_gives_the_same_bits(mode):
    adata = tissue(600, 3)

    def bits(threads):
        found = zs.arrays.ripley(adata.obsm["spatial"], adata.obs["label"], mode=mode, n_simulations=9, threads=threads)
        return [part.tobytes() for part in found[:6]]

    assert bits(1) == bits(2) == bits(7)


def test_libraries_labels_that_one_lacks_and_files(tmp_path):
    adata = tissue()
    adata.obs["label"] = pd.Categorical(
        np.where((adata.obs["label"] == "d") & (adata.obs["library"] == "one"), "a", adata.obs["label"].astype(str))
    )
    zs.sp.ripley(adata, "label", mode="L", library_key="library", n_simulations=7, n_steps=10)
    stored = adata.uns["label_ripley_L"]
    assert stored["pvalues"].shape == (2, 3, 10) and list(stored["libraries"]) == ["one", "two"]
    assert stored["n_cells"][0, 2] == 0 and np.isnan(stored["pvalue"][0, 2]) and np.isfinite(stored["pvalue"][1]).all()
    table = stored["L_stat"]
    assert len(table) == 2 * 3 * 10 and set(table.columns) == {"bins", "label", "stats", "library"}
    own = adata[adata.obs["library"] == "two"]
    alone = zs.arrays.ripley(
        own.obsm["spatial"], own.obs["label"], mode="L", n_simulations=7, n_steps=10, max_dist=stored["bins"][-1]
    )
    part = table[(table["library"] == "two") & (table["label"] == "b/c")]
    np.testing.assert_array_equal(part["stats"], alone.stat[1])
    zs.sp.ripley(adata, "label", n_simulations=3)
    zs.sp.centrality_scores(adata, "label")
    adata.write(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    pd.testing.assert_frame_equal(back.uns["label_ripley_L"]["L_stat"], table)
    assert {"F_stat", "sims_stat", "bins", "pvalues", "pvalue", "n_cells"} <= set(back.uns["label_ripley_F"])
    assert list(back.uns["label_centrality_scores"].index) == ["a", "b/c", "d"]
    assert back.uns["zensaibo"]["ripley"]["options"]["mode"] == "F"


def test_faults_are_named_and_one_cell_of_a_label_is_flagged():
    adata = tissue()
    places, labels = adata.obsm["spatial"], adata.obs["label"]
    alone = np.where(np.arange(500) == 7, "alone", "rest")
    for mode in ("G", "L"):
        found = zs.arrays.ripley(places, alone, mode=mode, n_simulations=3)
        assert np.isnan(found.stat[0]).all() and np.isnan(found.pvalue[0]) and np.isfinite(found.pvalue[1]), mode
    # Cells at one place are counted as any others.
    twice = zs.arrays.ripley(np.concatenate([places, places]), np.concatenate([labels, labels]), mode="L", n_simulations=19)
    assert (twice.stat[:, 1] > twice.bins[1]).all() and (twice.pvalue <= 0.05).all()
    bad = places.copy()
    bad[3, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 3"):
        zs.arrays.ripley(bad, labels)
    with pytest.raises(DataError, match="line or plane"):
        zs.arrays.ripley(np.column_stack([places[:, 0], places[:, 0]]), labels)
    with pytest.raises(TooFewError):
        zs.arrays.ripley(places[:2], labels[:2])
    corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    with pytest.raises(DataError, match="away from the border"):
        zs.arrays.ripley(corners, list("aabb"))
    assert np.isfinite(zs.arrays.ripley(corners, list("aabb"), edge_correction="none", n_simulations=2).stat).all()
    for wrong in (
        {"mode": "K"}, {"n_simulations": 0}, {"n_observations": 1}, {"max_dist": 0.0}, {"max_dist": np.inf}, {"n_steps": 1},
        {"edge_correction": "torus"}, {"seed": -1},
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            zs.sp.ripley(adata, "label", **wrong)
    assert not [key for key in adata.uns if "ripley" in key]


def test_squidpy_finds_the_same_groups():
    sq = pytest.importorskip("squidpy", reason="squidpy is not installed: parity with it is not looked at")
    ours, theirs = tissue(300), tissue(300)
    zs.sp.centrality_scores(ours, "label")
    sq.gr.centrality_scores(theirs, "label", show_progress_bar=False)
    columns = list(theirs.uns["label_centrality_scores"].columns)
    np.testing.assert_allclose(ours.uns["label_centrality_scores"][columns], theirs.uns["label_centrality_scores"])
    assert sparse.issparse(ours.obsp["spatial_connectivities"])
