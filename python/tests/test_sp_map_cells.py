"""Dissociated cells mapped to tissue: against the formulas written out here, and on data of known places."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from scipy import sparse

import zensaibo as zs

QUIET = {"progress": False}


def rows(n: int, seed: int, genes: int = 40, noise: float = 0.4) -> np.ndarray:
    """Counts-like values of five factors that all draws share."""
    loads = np.random.default_rng(99).gamma(0.5, 1.0, (5, genes))
    rng = np.random.default_rng(seed)
    return (rng.gamma(0.7, 1.0, (n, 5)) @ loads + noise * rng.gamma(0.5, 1.0, (n, genes))).astype(np.float32)


def spage(cells: np.ndarray, places: np.ndarray, d: int, values: np.ndarray, k: int = 50) -> np.ndarray:
    """SpaGE by its published formula, in numpy alone."""
    x, y = ((side - side.mean(0)) / side.std(0) for side in (cells.astype(np.float64), places.astype(np.float64)))
    p, q = (np.linalg.svd(side, full_matrices=False)[2][:d] for side in (x, y))
    u, cosines, _ = np.linalg.svd(p @ q.T)
    vectors = p.T @ u[:, cosines > 0.3]
    a, b = x @ vectors, y @ vectors
    a, b = a / np.linalg.norm(a, axis=1)[:, None], b / np.linalg.norm(b, axis=1)[:, None]
    out = np.zeros((len(places), values.shape[1]))
    for row, distances in enumerate(1 - b @ a.T):
        near = np.argsort(distances, kind="stable")[:k]
        near = near[distances[near] < 1]
        weights = (1 - distances[near] / distances[near].sum()) / (len(near) - 1)
        out[row] = weights @ values[near]
    return out


@pytest.mark.parametrize("n, s, genes, d", [(500, 500, 40, 20), (500, 500, 60, 50), (300, 120, 33, 30)])
@pytest.mark.parametrize("kind", ["factors", "noise"])
def test_imputation_is_spages(n, s, genes, d, kind):
    if kind == "factors":
        cells, places = rows(n, 1, genes), rows(s, 2, genes)
    else:
        rng = np.random.default_rng(5)
        cells, places = (rng.random((size, genes), dtype=np.float32) for size in (n, s))
    values = np.random.default_rng(3).random((n, 7), dtype=np.float32)
    vectors = zs.arrays.principal_vectors(cells, sparse.csr_matrix(places), n_components=d, **QUIET)
    found = zs.arrays.neighbor_weights(vectors.cells, vectors.places, **QUIET)
    predicted = zs.arrays.weighted_rows(found.weights, sparse.csr_matrix(values), **QUIET)
    np.testing.assert_allclose(predicted, spage(cells, places, d, values), atol=1e-6)
    np.testing.assert_allclose(np.asarray(found.weights.sum(axis=1)).ravel(), 1, atol=1e-6)


def pair(n: int = 400, s: int = 300, seed: int = 0) -> tuple[ad.AnnData, ad.AnnData]:
    """Cells and tissue whose expression follows the place: (dissociated cells with obs.x, y, type; tissue without the last six genes)."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).random((36, 2))
    adatas = []
    for name, size in (("cell", n), ("spot", s)):
        places = rng.random((size, 2))
        far = ((places[:, None] - centres) ** 2).sum(axis=2)
        values = 4 * np.exp(-far / (2 * 0.15**2)) + 0.2 * rng.random(far.shape)
        adata = ad.AnnData(sparse.csr_matrix(values.astype(np.float32)))
        adata.obs_names = [f"{name}{i}" for i in range(size)]
        adata.var_names = [f"gene{i}" for i in range(36)]
        adata.obs["type"] = pd.Categorical(np.where(places[:, 0] < 0.5, "left", "right"))
        adata.obsm["spatial"] = 100 * places
        adatas.append(adata)
    cells, tissue = adatas
    cells.obsm["truth"] = cells.obsm.pop("spatial")
    return cells, tissue[:, :30].copy()


def off(cells: ad.AnnData) -> float:
    return float(np.median(np.linalg.norm(cells.obsm["spatial_mapped"] - cells.obsm["truth"], axis=1)))


@pytest.mark.parametrize(
    "options, most",
    [
        ({"n_neighbors": 8}, 4.0),
        ({"method": "tangram", "num_epochs": 300}, 12.0),
        ({"method": "tangram", "num_epochs": 300, "n_candidates": 40, "lambda_g2": 0.5}, 10.0),
    ],
    ids=["vectors", "tangram", "sparse"],
)
def test_places_labels_and_genes_come_back(options, most, tmp_path):
    cells, tissue = pair()
    truth = tissue.obs.pop("type")
    whole = pair()[1]
    unmeasured = pair()[0].var_names[30:]
    mapped = zs.sp.map_cells(cells, tissue, labels="type", held_out=["gene3", "gene11"], **options, **QUIET)
    assert off(cells) < most
    assert (tissue.obs["map_type"].astype(str) == whole.obs["type"].astype(str)).mean() > 0.9 and truth is not None
    assert list(mapped.var_names) == [*unmeasured, "gene3", "gene11"]
    assert mapped.shape == (300, 8) and mapped.X.dtype == np.float32 and np.isfinite(mapped.X).all()
    scores = tissue.uns["map"]["held_out"]
    assert list(scores.index) == ["gene3", "gene11"] and scores["pearson"].min() > (0.9 if "n_neighbors" in options else 0.6)
    again = zs.metrics.imputation_scores(tissue[:, ["gene3", "gene11"]].X, mapped[:, ["gene3", "gene11"]].X)
    np.testing.assert_array_equal(again["pearson"].to_numpy(), scores["pearson"].to_numpy())
    assert "gene3" not in tissue.uns["map"]["genes"] and len(tissue.uns["map"]["genes"]) == 28
    np.testing.assert_allclose(np.asarray(cells.obsm["map_weights"].sum(axis=1)).ravel(), 1, atol=1e-4)
    shares = tissue.obsm["map_type"].to_numpy()
    np.testing.assert_allclose(shares.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(shares.max(axis=1), tissue.obs["map_type_confidence"])
    assert cells.obs["map_confidence"].between(0, 1).all()
    assert (cells.obs["map_doubtful"] == (cells.obs["map_confidence"] < 0.5)).all()
    # Cells that say they are sure lie nearer to their places.
    far = np.linalg.norm(cells.obsm["spatial_mapped"] - cells.obsm["truth"], axis=1)
    sure = cells.obs["map_spread"] < cells.obs["map_spread"].median()
    assert far[sure].mean() < far[~sure].mean()
    if options.get("method") == "tangram":
        assert abs(tissue.obs["map_cells"].sum() - 400) < 0.1 and "map_similarity" not in cells.obs
        history = tissue.uns["map"]["history"]
        assert len(history["total_loss"]) == 301 and history["total_loss"][-1] < history["total_loss"][0]
    else:
        assert cells.obs["map_similarity"].mean() > 0.9
    for name, adata in (("cells", cells), ("tissue", tissue), ("mapped", mapped)):
        assert "map_cells" in adata.uns["zensaibo"]
        adata.write(tmp_path / f"{name}.h5ad")
        read = ad.read_h5ad(tmp_path / f"{name}.h5ad")
        pd.testing.assert_frame_equal(read.uns["map"]["held_out"], scores)


@pytest.mark.parametrize("options", [{}, {"method": "tangram", "num_epochs": 20, "n_candidates": 30}], ids=["vectors", "tangram"])
def test_threads_and_layout_change_no_bit(options):
    def run(threads: int, dense: bool) -> list[bytes]:
        cells, tissue = pair(200, 150)
        if dense:
            cells.X, tissue.X = cells.X.toarray(), tissue.X.toarray()
        mapped = zs.sp.map_cells(cells, tissue, labels="type", held_out=3, threads=threads, **options, **QUIET)
        scores = tissue.uns["map"]["held_out"].to_numpy(np.float64)
        found = (mapped.X, cells.obsm["spatial_mapped"], cells.obs["map_spread"].to_numpy(), cells.obsm["map_weights"].data, scores)
        return [np.ascontiguousarray(part).tobytes() for part in found]

    one = run(1, False)
    assert one == run(2, False) == run(8, False)
    # The prior of densities is summed in another order by scipy and numpy.
    assert options or one == run(2, True)


def test_all_candidates_are_the_dense_map():
    cells, tissue = (side.X.toarray()[:, :30] for side in pair(60, 50))
    every = zs.arrays.tangram(cells, tissue, num_epochs=30, **QUIET)
    given = zs.arrays.tangram(cells, tissue, candidates=sparse.csr_matrix(np.ones((60, 50))), num_epochs=30, **QUIET)
    assert (every.weights != given.weights).nnz == 0
    np.testing.assert_array_equal(every.cosines, given.cosines)
    predicted = (every.weights.T @ cells).T
    cosines = [(a @ b) / np.linalg.norm(a) / np.linalg.norm(b) for a, b in zip(predicted, tissue.T, strict=True)]
    np.testing.assert_allclose(every.cosines, cosines, atol=1e-5)
    np.testing.assert_allclose(every.history["main_loss"][-1], every.cosines.mean(), atol=1e-6)


def test_tangrams_loss_is_that_of_its_definition():
    cells, tissue = (side.X.toarray()[:, :30].astype(np.float64) for side in pair(30, 20))
    density = np.random.default_rng(0).dirichlet(np.ones(20))
    found = zs.arrays.tangram(cells, tissue, density=density, lambda_g2=0.5, lambda_d=2.0, lambda_r=0.1, num_epochs=5, **QUIET)
    p = found.weights.toarray().astype(np.float64)
    predicted = p.T @ cells

    def cosine(axis: int) -> np.ndarray:
        return (predicted * tissue).sum(axis) / np.linalg.norm(predicted, axis=axis) / np.linalg.norm(tissue, axis=axis)

    terms = {
        "main_loss": cosine(0).mean(), "vg_reg": cosine(1).mean(), "entropy_reg": (p * np.log(p)).sum(),
        "kl_reg": (density * np.log(density / p.mean(axis=0))).sum(),
    }  # fmt: skip
    for name, value in terms.items():
        np.testing.assert_allclose(found.history[name][-1], value, rtol=1e-4, err_msg=name)
    total = 2 * terms["kl_reg"] - 0.1 * terms["entropy_reg"] - terms["main_loss"] - 0.5 * terms["vg_reg"]
    np.testing.assert_allclose(found.history["total_loss"][-1], total, rtol=1e-4)


def test_clusters_are_mapped_as_one():
    cells, tissue = pair()
    cells.obs["quarter"] = pd.Categorical([f"{a}{b}" for a, b in (cells.obsm["truth"] > 50).astype(int)])
    mapped = zs.sp.map_cells(
        cells, tissue, method="tangram", mode="clusters", cluster_key="quarter", labels=["quarter", "type"], num_epochs=200, **QUIET
    )
    truth = np.array([f"{a}{b}" for a, b in (tissue.obsm["spatial"] > 50).astype(int)])
    assert (tissue.obs["map_quarter"].astype(str) == truth).mean() > 0.9
    assert (tissue.obs["map_type"].astype(str) == tissue.obs["type"].astype(str)).mean() > 0.9
    weights = tissue.obsm["map_weights"]
    assert list(weights.columns) == ["00", "01", "10", "11"] and "map_weights" not in cells.obsm
    np.testing.assert_allclose(weights.to_numpy().sum(axis=0), 1, atol=1e-5)
    assert abs(tissue.obs["map_cells"].sum() - 400) < 0.1 and mapped.n_vars == 6
    # All cells of a cluster go to one place, amid its quarter.
    for quarter, places in pd.DataFrame(cells.obsm["spatial_mapped"]).groupby(np.asarray(cells.obs["quarter"])):
        assert (places.nunique() == 1).all()
        assert ((places.iloc[0] > 50).astype(int).astype(str) == list(quarter)).all()


def test_held_out_in_parts_covers_every_gene_once():
    cells, tissue = pair()
    zs.sp.map_cells(cells, tissue, held_out=5, impute=None, **QUIET)
    table = tissue.uns["map"]["held_out"]
    assert sorted(table.index) == sorted(tissue.var_names) and set(table["part"]) == set(range(5))
    assert table["pearson"].median() > 0.9
    few = zs.sp.map_cells(cells, tissue, held_out="each", genes=list(tissue.var_names[:12]), impute=["gene33"], **QUIET)
    assert list(tissue.uns["map"]["held_out"].index) == list(tissue.var_names[:12])
    assert few.shape == (300, 1) and not few.var["measured"].any()
    assert zs.sp.map_cells(cells, tissue, impute=None, **QUIET).shape == (300, 0)
    everything = zs.sp.map_cells(cells, tissue, impute="all", **QUIET)
    assert everything.n_vars == 36 and everything.var["measured"].sum() == 30


def test_bad_input_is_named():
    cells, tissue = pair(60, 50)

    def fault(error, match, a=cells, b=tissue, **options):
        with pytest.raises(error, match=match):
            zs.sp.map_cells(a, b, **options, **QUIET)

    errors = zs.errors
    upper = tissue.copy()
    upper.var_names = upper.var_names.str.upper()
    fault(errors.TooFewError, "found 0 .*30 would agree if case were ignored", b=upper)
    other = tissue.copy()
    other.var_names = [f"x{i}" for i in range(other.n_vars)]
    fault(errors.TooFewError, r"found 0 .*gene0.*x0(?!.*agree)", b=other)
    with pytest.warns(UserWarning, match="only 4 genes"):
        zs.sp.map_cells(cells, tissue[:, :4].copy(), **QUIET)
    lost = tissue.copy()
    del lost.obsm["spatial"]
    fault(errors.MissingKeyError, "needs places", b=lost)
    bad = tissue.copy()
    bad.obsm["spatial"][3, 0] = np.nan
    fault(errors.NonFiniteError, "row 3", b=bad)
    fault(errors.MissingKeyError, "nothing_such", labels="nothing_such")
    fault(errors.MissingKeyError, "nosuch", genes=["gene1", "nosuch"])
    fault(errors.MissingKeyError, "gene35", held_out=["gene35"])
    fault(errors.MissingKeyError, "nosuch", impute=["nosuch"])
    unlabelled = cells.copy()
    unlabelled.obs["type"] = pd.Categorical([None, *["a"] * 59])
    fault(errors.DataError, "label for every cell", a=unlabelled, labels="type")
    for value, error in ((np.nan, errors.NonFiniteError), (-1.0, errors.NegativeValuesError)):
        changed = cells.copy()
        changed.X = changed.X.toarray()
        changed.X[5, 5] = value
        fault(error, "cells", a=changed, method="tangram", n_candidates=None, num_epochs=2)
        if np.isnan(value):
            fault(error, "cells", a=changed)
    twice = cells.copy()
    twice.var_names = ["gene1", *twice.var_names[1:]]
    fault(errors.DuplicateNamesError, "gene1", a=twice)
    # Twice among those that nobody asks for is no matter.
    other = cells.copy()
    other.var_names = [*other.var_names[:34], "gene33", "gene33"]
    zs.sp.map_cells(other, tissue.copy(), impute=["gene30"], **QUIET)
    fault(errors.DuplicateNamesError, "gene33", a=other, impute=["gene33"])
    fault(errors.ParameterError, "found the same", b=cells)
    fault(errors.ParameterError, "lambda_r.*tangram", lambda_r=0.1)
    fault(errors.ParameterError, "n_neighbors.*principal_vectors", method="tangram", n_neighbors=10)
    fault(errors.ParameterError, "method", method="spage")
    fault(errors.ParameterError, "cluster_key", method="tangram", mode="clusters")
    fault(errors.ParameterError, "cluster_key", method="tangram", cluster_key="type")
    fault(errors.ParameterError, "mode", method="tangram", mode="constrained")
    fault(errors.ParameterError, "density_prior", method="tangram", density_prior="flat")
    fault(errors.ShapeError, "density_prior", method="tangram", density_prior=np.ones(3))
    fault(errors.ParameterError, "lambda_d", method="tangram", density_prior=None, lambda_d=1.0)
    fault(errors.ParameterError, "held_out", held_out=1)
    fault(errors.ParameterError, "held_out", held_out="all")
    fault(errors.ParameterError, "impute", impute="some")
    fault(errors.ParameterError, "min_confidence", min_confidence=2)
    fault(errors.ParameterError, "n_components", n_components=200)
    # Nothing is written where something is amiss.
    fresh_cells, fresh_tissue = pair(60, 50)
    before = list(fresh_cells.obs), list(fresh_tissue.obsm)
    with pytest.raises(errors.MissingKeyError):
        zs.sp.map_cells(fresh_cells, fresh_tissue, impute=["nosuch"], **QUIET)
    assert (list(fresh_cells.obs), list(fresh_tissue.obsm)) == before and not fresh_cells.uns


def test_genes_without_variation_are_left_out_by_name():
    cells, tissue = pair(80, 70)
    tissue.X = tissue.X.toarray()
    tissue.X[:, 4] = 0.0
    for options in ({}, {"method": "tangram", "num_epochs": 3}):
        zs.sp.map_cells(cells, tissue, impute=None, **options, **QUIET)
        assert list(tissue.uns["map"]["unused_genes"]) == ["gene4"] and len(tissue.uns["map"]["genes"]) == 29


def test_it_can_be_stopped():
    cells, tissue = pair(300, 300)

    def stop(stage, done, total):
        if stage == "tangram" and done > 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        zs.sp.map_cells(cells, tissue, method="tangram", num_epochs=10**7, progress=stop)
    assert "map" not in cells.uns


def test_scores_are_those_of_their_formulas():
    from scipy.spatial.distance import jensenshannon
    from scipy.stats import pearsonr, zscore

    rng = np.random.default_rng(0)
    truth, predicted = rng.gamma(0.5, 1.0, (80, 5)), rng.gamma(0.5, 1.0, (80, 5))
    truth[:, 3], predicted[:, 4], predicted[7, 0] = 2.0, 0.0, np.nan
    table = zs.metrics.imputation_scores(sparse.csr_matrix(truth), predicted, genes=list("abcde"))
    for gene in range(3):
        known = ~np.isnan(predicted[:, gene])
        x, y = truth[known, gene], predicted[known, gene]
        u, v = x / x.max(), y / y.max()
        level = (2 * u.mean() * v.mean() + 1e-4) / (u.mean() ** 2 + v.mean() ** 2 + 1e-4)
        contrast = (2 * u.std() * v.std() + 9e-4) / (u.var() + v.var() + 9e-4)
        structure = (np.cov(u, v, ddof=0)[0, 1] + 4.5e-4) / (u.std() * v.std() + 4.5e-4)
        expected = [
            pearsonr(x, y)[0], x @ y / np.sqrt(x @ x * (y @ y)), np.sqrt(((zscore(x) - zscore(y)) ** 2).mean()),
            jensenshannon(x, y) ** 2, level * contrast * structure, known.sum(),
        ]  # fmt: skip
        np.testing.assert_allclose(table.iloc[gene].to_numpy(float), expected, rtol=1e-9)
    assert np.isnan(table.loc["d", "pearson"]) and table.loc["d", "cosine"] > 0
    assert table.loc["e", ["pearson", "cosine", "rmse", "js", "ssim"]].isna().all()
    with pytest.raises(zs.errors.ShapeError, match="predicted"):
        zs.metrics.imputation_scores(truth, predicted[:, 1:])
    with pytest.raises(zs.errors.ShapeError, match="genes"):
        zs.metrics.imputation_scores(truth, predicted, genes=["a"])


@pytest.fixture(scope="module")
def embryo() -> tuple[ad.AnnData, ad.AnnData]:
    """Half of the nuclei as dissociated cells of 84 genes, the other half in place with 56 of them."""
    folder = data_path("spatial_drosophila_bdtnp")
    expression = pd.read_csv(folder / "dge.txt.gz", sep=r"\s+")
    places = pd.read_csv(folder / "geometry.txt.gz", sep=r"\s+").to_numpy(np.float64)[: len(expression)]
    order = np.random.default_rng(0).permutation(len(expression))
    ours, theirs = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    held_out = np.sort(np.random.default_rng(1).permutation(84)[:28])
    whole = ad.AnnData(expression.to_numpy(np.float32), obs=pd.DataFrame(index=[f"n{i}" for i in range(len(expression))]))
    whole.var_names = list(expression.columns)
    whole.obsm["truth"] = places
    cells, tissue = whole[ours].copy(), whole[theirs].copy()
    tissue.obsm["spatial"] = tissue.obsm.pop("truth")
    tissue.uns["judged"] = list(whole.var_names[held_out])
    return cells, tissue


@pytest.mark.parametrize(
    "options, pearson, micrometres",
    [({"n_neighbors": 10}, 0.85, 14.0), ({"method": "tangram", "num_epochs": 300}, 0.8, 30.0)],
    ids=["vectors", "tangram"],
)
def test_the_embryo_comes_back(embryo, options, pearson, micrometres):
    cells, tissue = embryo[0].copy(), embryo[1].copy()
    judged = tissue.uns.pop("judged")
    zs.sp.map_cells(cells, tissue, held_out=judged, impute=None, **options, **QUIET)
    scores = tissue.uns["map"]["held_out"]
    print(scores["pearson"].median(), scores["cosine"].median(), off(cells))
    assert scores["pearson"].median() > pearson
    assert off(cells) < micrometres
