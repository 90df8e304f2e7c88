"""Sketches and what is brought back from them: rare kinds kept, leverage by its formula, labels of held-out cells found
again, the same bits from a file as from memory."""

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


@pytest.fixture(scope="module")
def planted() -> ad.AnnData:
    """4,000 logged cells of six kinds from two samples, with marked genes, components, clusters and a layout."""
    adata = zs.datasets.simulate(
        4000,
        800,
        n_types=6,
        n_lineages=3,
        n_trajectories=0,
        umi_per_cell=2000,
        genes_per_cell=500,
        marker_fold=4.0,
        doublet_rate=0.0,
        seed=2,
    )
    adata.obs["sample"] = pd.Categorical(np.where(np.arange(adata.n_obs) % 3 == 0, "s1", "s0"))
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.highly_variable_genes(adata, n_top_genes=300)
    return adata


@pytest.fixture(scope="module")
def _analysed(planted) -> ad.AnnData:
    adata = planted.copy()
    analyse(adata)
    return adata


@pytest.fixture
def analysed(_analysed) -> ad.AnnData:
    return _analysed.copy()


def analyse(adata: ad.AnnData) -> None:
    zs.pp.pca(adata, n_comps=20)
    zs.pp.neighbors(adata)
    zs.tl.leiden(adata, resolution=0.3)
    zs.tl.umap(adata, maxiter=60)


def by_formula(X: np.ndarray, k: int | None, zero_center: bool) -> np.ndarray:
    """Leverage by numpy's singular value decomposition."""
    X = np.asarray(X, dtype=np.float64)
    if zero_center:
        X = X - X.mean(axis=0)
    u, s, _ = np.linalg.svd(X, full_matrices=False)
    u = u[:, s > 1e-6 * s[0]][:, :k]
    return (u**2).sum(axis=1) + (1 / len(X) if zero_center else 0)


@pytest.mark.parametrize("zero_center", [True, False])
@pytest.mark.parametrize("n_comps", [5, 50, None])
def test_leverage_by_its_formula(small, n_comps, zero_center):
    zs.pp.log1p(small)
    found = zs.arrays.leverage_scores(small.X, n_comps=n_comps, zero_center=zero_center)
    assert found.dtype == np.float64
    # The data are products of f32; leading components are found to 1e-7.
    np.testing.assert_allclose(found, by_formula(small.X.toarray(), n_comps, zero_center), rtol=0, atol=2e-6)
    assert found.max() <= 1 + 1e-9
    total = (n_comps or 120) + (1 if zero_center else 0)
    assert found.sum() == pytest.approx(total, abs=1e-6)


def test_leverage_of_groups_masks_and_projections(small):
    zs.pp.log1p(small)
    mask = np.arange(120) < 60
    groups = small.obs["group"]
    found = zs.arrays.leverage_scores(small.X, mask=mask, groups=groups, n_comps=8)
    for name in groups.cat.categories:
        rows = (groups == name).to_numpy()
        np.testing.assert_allclose(found[rows], by_formula(small.X[rows][:, mask].toarray(), 8, True), atol=2e-6)
    exact = zs.arrays.leverage_scores(small.X, n_comps=None)
    rough = zs.arrays.leverage_scores(small.X, n_comps=None, n_projections=200)
    assert np.std(rough / exact - 1) == pytest.approx(0.1, rel=0.3)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_and_threads_give_the_same_bits(small, layout):
    # Logarithms would round otherwise in float64 than in float32: counts.
    expected = zs.arrays.leverage_scores(small.X, n_comps=6, threads=1)
    for threads in (2, 8):
        found = zs.arrays.leverage_scores(LAYOUTS[layout](small.X), n_comps=6, threads=threads)
        assert found.tobytes() == expected.tobytes()


def test_geometric_sketches_are_nested_and_free_of_threads(analysed):
    points = analysed.obsm["X_pca"]
    runs = [zs.arrays.sketch_geometric(points, 300, threads=threads) for threads in (1, 2, 8)]
    for run in runs[1:]:
        assert (run.indices == runs[0].indices).all() and run[1:] == runs[0][1:]
    assert abs(runs[0].n_boxes - 300) <= 30 and runs[0].indices.dtype == np.uint32
    assert (np.diff(runs[0].indices.astype(int)) > 0).all()
    fewer = zs.arrays.sketch_geometric(points, 200, n_boxes=300)
    assert set(fewer.indices) < set(runs[0].indices) and fewer.side == runs[0].side
    assert set(zs.arrays.sketch_geometric(points, 300, seed=1).indices) != set(runs[0].indices)
    assert (zs.arrays.sketch_geometric(points.astype(np.float64), 300).indices == runs[0].indices).all()


def test_sketches_reach_further_than_uniform_draws(analysed):
    """The farthest that a cell is from the sketch, the 99th percentile: smaller than for a uniform draw of the size."""
    points = analysed.obsm["X_pca"].astype(np.float64)
    far = lambda rows: np.quantile(zs.arrays.knn_query(points[rows], points, 1).distances, 0.99)  # noqa: E731
    uniform = np.mean([far(np.random.default_rng(seed).choice(len(points), 200, replace=False)) for seed in range(5)])
    geometric = np.mean([far(zs.arrays.sketch_geometric(points, 200, seed=seed).indices) for seed in range(5)])
    assert geometric < 0.97 * uniform, (geometric, uniform)


def log_normal(adata: ad.AnnData, genes: int) -> ad.AnnData:
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.highly_variable_genes(adata, n_top_genes=genes)
    zs.pp.pca(adata, n_comps=30)
    return adata


@pytest.mark.parametrize("method", ["geometric", "leverage", "leverage of X_pca"])
def test_rare_cells_of_real_data_are_kept(pbmc3k, paul15, method):
    """Platelets of PBMC 3k (by their genes), and eosinophils, dendritic cells and lymphocytes of Paul 2015 (published):
    at least 1.5 times as many as in a uniform draw of 10 %, over five seeds."""
    options = {"method": method.split()[0]}
    if method.endswith("X_pca"):
        options["use_rep"] = "X_pca"
    counts = pbmc3k[:, ["PPBP", "PF4"]].X.toarray()
    kept = []
    for adata, rare in (
        (pbmc3k, (counts > 1).all(axis=1)),
        (paul15, paul15.obs["paul15_clusters"].isin(["18Eos", "11DC", "19Lymph"]).to_numpy()),
    ):
        assert 8 <= rare.sum() <= 80, rare.sum()
        log_normal(adata, 1500)
        shares = []
        for seed in range(5):
            zs.pp.sketch(adata, fraction=0.1, random_state=seed, **options)
            assert adata.obs["sketch"].sum() == round(0.1 * adata.n_obs)
            shares.append(adata.obs["sketch"].to_numpy()[rare].mean())
        kept.append(float(np.mean(shares)))
    assert min(kept) > 0.15, kept


@pytest.mark.parametrize("method", ["geometric", "leverage"])
def test_a_sketch_stands_for_held_out_cells(planted, _analysed, method):
    """Clusters of a quarter of the cells, brought to the others, are those of all cells and the planted kinds (adjusted
    Rand index measured: 0.999 geometric, 0.991 leverage)."""
    adata = planted.copy()
    if method == "geometric":
        zs.pp.pca(adata, n_comps=20)
    zs.pp.sketch(adata, fraction=0.25, method=method)
    part = adata[adata.obs["sketch"]].copy()
    analyse(part)
    before = part.obs["leiden"].copy()
    zs.tl.project_sketch(adata, part, obs="leiden")
    held = ~adata.obs["sketch"].to_numpy()
    assert held.sum() == 3000
    ari = zs.metrics.adjusted_rand_index(adata.obs["leiden"][held], _analysed.obs["leiden"][held])
    truth = zs.metrics.adjusted_rand_index(adata.obs["leiden"][held], adata.obs["cell_type"][held])
    alone = zs.metrics.adjusted_rand_index(_analysed.obs["leiden"][held], adata.obs["cell_type"][held])
    assert ari > 0.95 and truth > alone - 0.05, (ari, truth, alone)
    # What was found on the sketch stays.
    assert (adata.obs["leiden"][~held].astype(str) == before.astype(str)).all()
    assert (adata.obs["leiden_confidence"][~held] == 1).all()
    confidence = adata.obs["leiden_confidence"][held]
    assert confidence.min() > 0 and confidence.max() <= 1
    for key in ("X_pca", "X_umap"):
        assert np.isfinite(adata.obsm[key]).all() and adata.obsm[key].dtype == np.float32
        assert (adata.obsm[key][~held] == part.obsm[key]).all()
    # Components are those of all cells, nearly; places lie among cells of the same kind.
    assert abs(np.corrcoef(adata.obsm["X_pca"][held, 0], _analysed.obsm["X_pca"][held, 0])[0, 1]) > 0.98
    near = zs.arrays.knn_query(adata.obsm["X_umap"][~held], adata.obsm["X_umap"][held], 5).indices
    kinds = adata.obs["cell_type"].to_numpy()
    assert (kinds[~held][near] == kinds[held][:, None]).mean() > 0.9


def test_labels_of_real_cells_are_found_again(pbmc3k_log):
    """Labels of all cells, known of a quarter: the others' are found again (measured: adjusted Rand index 0.77, 90 % of
    the cells; of a uniform quarter 0.78 and 90 %). Sure cells are right more often."""
    truth = pbmc3k_log.obs["leiden"].copy()
    zs.pp.sketch(pbmc3k_log, fraction=0.25)
    marked = pbmc3k_log.obs["sketch"].to_numpy()
    pbmc3k_log.obs["leiden"] = truth.where(marked)
    zs.tl.project_sketch(pbmc3k_log, obs="leiden", umap=False)
    found = pbmc3k_log.obs["leiden"]
    right = (found.astype(str) == truth.astype(str)).to_numpy()
    assert right[marked].all()
    assert zs.metrics.adjusted_rand_index(found[~marked], truth[~marked]) > 0.72 and right[~marked].mean() > 0.87
    sure = pbmc3k_log.obs["leiden_confidence"].to_numpy()
    assert sure[~marked & right].mean() > sure[~marked & ~right].mean() + 0.1


@pytest.mark.parametrize("layout", ["csr", "csc", "dense"])
def test_a_file_gives_the_bits_of_memory(planted, tmp_path, layout):
    kept = planted.copy()
    kept.X = LAYOUTS[layout](kept.X)
    kept.write_h5ad(tmp_path / "a.h5ad")
    results = []
    for backed in (None, "r"):
        adata = ad.read_h5ad(tmp_path / "a.h5ad", backed=backed)
        zs.pp.sketch(adata, 300, method="leverage", groupby="sample")
        part = adata[adata.obs["sketch"].to_numpy()]
        part = part.to_memory() if backed else part.copy()
        zs.pp.pca(part, n_comps=10)
        zs.pp.neighbors(part)
        zs.tl.leiden(part)
        zs.tl.umap(part, maxiter=20)
        zs.tl.project_sketch(adata, part, obs="leiden", threads=2 if backed else 1)
        results.append(
            (adata.obs.drop(columns="leiden"), adata.obs["leiden"].astype(str), adata.obsm["X_pca"], adata.obsm["X_umap"])
        )
        if backed:
            adata.file.close()
    pd.testing.assert_frame_equal(results[0][0], results[1][0], check_exact=True)
    assert (results[0][1] == results[1][1]).all()
    for one, other in zip(results[0][2:], results[1][2:], strict=True):
        assert one.tobytes() == other.tobytes()
    assert results[0][0]["sketch"].groupby(planted.obs["sample"], observed=True).sum().tolist() == [300, 300]


def test_groups_are_sketched_by_themselves(analysed):
    for options in ({}, {"method": "leverage"}, {"method": "leverage", "use_rep": "X_pca"}):
        zs.pp.sketch(analysed, 100, groupby="sample", **options)
        for name in ("s0", "s1"):
            rows = (analysed.obs["sample"] == name).to_numpy()
            alone = analysed[rows].copy()
            zs.pp.sketch(alone, 100, **options)
            assert alone.obs["sketch"].sum() == 100
            same = (alone.obs["sketch"].to_numpy() == analysed.obs["sketch"].to_numpy()[rows]).mean()
            # Leverage sums its blocks elsewhere, so digits far behind may move a cell across the line.
            assert same == 1 if not options else same > 0.999
    small = analysed[:400].copy()
    small.obs["sample"] = pd.Categorical(np.where(np.arange(400) < 30, "few", "many"))
    zs.pp.sketch(small, 50, groupby="sample")
    assert small.obs["sketch"].groupby(small.obs["sample"], observed=True).sum().tolist() == [30, 50]
    zs.pp.sketch(small, fraction=0.02, groupby="sample", key_added="thin")
    assert small.obs["thin"].groupby(small.obs["sample"], observed=True).sum().tolist() == [1, 7]


def test_copies_genes_and_provenance(analysed, tmp_path):
    before = analysed.obs.columns.tolist()
    copied = zs.pp.sketch(analysed, 200, copy=True)
    assert copied.obs["sketch"].dtype == bool and analysed.obs.columns.tolist() == before
    zs.pp.sketch(analysed, 200, method="leverage", mask_var="highly_variable", key_added="kept")
    scores = zs.arrays.leverage_scores(analysed.X, mask=analysed.var["highly_variable"].to_numpy())
    assert (analysed.obs["kept_leverage"] == scores).all()
    assert (np.flatnonzero(analysed.obs["kept"]) == zs.arrays.sample_weighted(scores, 200)).all()
    # A sketch of the marked genes alone, in another order, gives the components of all genes where others count nothing.
    part = analysed[analysed.obs["kept"]].copy()
    analyse(part)
    fewer = part[:, part.var["highly_variable"]].copy()[:, ::-1].copy()
    whole = zs.tl.project_sketch(analysed, part, obs=["leiden"], copy=True)
    other = zs.tl.project_sketch(analysed, fewer, obs=["leiden"], copy=True)
    np.testing.assert_allclose(other.obsm["X_pca"], whole.obsm["X_pca"], atol=1e-3)
    assert (other.obs["leiden"] == whole.obs["leiden"]).mean() > 0.999
    whole.write_h5ad(tmp_path / "a.h5ad")
    stored = ad.read_h5ad(tmp_path / "a.h5ad").uns["zensaibo"]
    assert stored["sketch"]["options"]["n_obs"] == 200 and stored["project_sketch"]["options"]["n_sketch"] == 200
    # An embedding that both have; every cell in the sketch.
    analysed.obsm["other"] = analysed.obsm["X_pca"][:, :5].astype(np.float64)
    everything = zs.tl.project_sketch(analysed, analysed.copy(), obs="leiden", use_rep="other", umap=False, copy=True)
    assert (everything.obs["leiden"] == analysed.obs["leiden"]).all() and (everything.obs["leiden_confidence"] == 1).all()


def test_votes_of_weight():
    labels = pd.Categorical(["a", "b", "b"], categories=["b", "a"])
    indices = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 1]])
    votes = zs.arrays.vote(indices, labels, weights=[[3, 1, 1], [2, 1, 1], [0, 0, 2]])
    assert list(votes.labels) == ["a", "b", "b"] and votes.confidence.tolist() == [0.6, 0.5, 1.0]
    with pytest.raises(errors.ShapeError, match="weights"):
        zs.arrays.vote(indices, labels, weights=np.ones(3))
    for wrong in (-1.0, np.nan, 0.0):
        with pytest.raises(errors.DataError, match="in row 1"):
            zs.arrays.vote(indices, labels, weights=np.array([[1.0] * 3, [wrong, 0, 0], [1] * 3]))


def test_edges_of_sketches(small):
    points = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    assert len(zs.arrays.sketch_geometric(points, 0).indices) == 0
    assert zs.arrays.sketch_geometric(points, 20).indices.tolist() == list(range(20))
    assert zs.arrays.sketch_geometric(np.ones((9, 2)), 4).n_boxes == 1
    assert zs.arrays.sketch_geometric(np.ones((1, 2)), 1).indices.tolist() == [0]
    assert zs.arrays.leverage_scores(np.full((5, 3), 2.0)).tolist() == [0.2] * 5
    assert zs.arrays.leverage_scores(sparse.csr_matrix((1, 3))).tolist() == [1.0]
    for n in (0, 300):
        zs.pp.sketch(small, n, method="leverage")
        assert small.obs["sketch"].sum() == n
    zs.pp.sketch(small, fraction=1e-9, method="leverage")
    assert small.obs["sketch"].sum() == 1


def test_bad_input(analysed):
    raises = pytest.raises
    for arguments, name in (
        ({}, "neither"),
        ({"n_obs": 3, "fraction": 0.1}, "both"),
        ({"n_obs": 4001}, "at most the number of cells, 4000"),
        ({"n_obs": -1}, "n_obs"),
        ({"n_obs": 2.5}, "n_obs"),
        ({"fraction": 1.5}, "fraction"),
        ({"n_obs": 5, "method": "uniform"}, "'geometric' or 'leverage'"),
        ({"n_obs": 5, "random_state": -1}, "random_state"),
        ({"n_obs": 5, "n_comps": 0}, "n_comps"),
        ({"n_obs": 5, "layer": "log"}, "layer"),
        ({"n_obs": 5, "mask_var": None}, "mask_var"),
        ({"n_obs": 5, "method": "leverage", "use_rep": "X_pca", "layer": "log"}, "layer"),
    ):
        with raises(errors.ParameterError, match=name):
            zs.pp.sketch(analysed, **arguments)
    for arguments, name in (
        ({"use_rep": "nope"}, "nope"),
        ({"groupby": "nope"}, "nope"),
        ({"method": "leverage", "layer": "nope"}, "nope"),
        ({"method": "leverage", "mask_var": "nope"}, "nope"),
    ):
        with raises(errors.MissingKeyError, match=name):
            zs.pp.sketch(analysed, 5, **arguments)
    with raises(errors.DataError, match="at least one gene"):
        zs.pp.sketch(analysed, 5, method="leverage", mask_var=np.zeros(800, bool))
    with raises(errors.ParameterError, match="n_projections"):
        zs.arrays.leverage_scores(analysed.X, n_projections=3)
    with raises(errors.ShapeError, match="4000 labels"):
        zs.arrays.leverage_scores(analysed.X, groups=["a", "b"])
    with raises(errors.ShapeError, match="weights"):
        zs.arrays.sample_weighted(np.ones((2, 2)), 1)
    assert "sketch" not in analysed.obs

    zs.pp.sketch(analysed, 200)
    part = analysed[analysed.obs["sketch"]].copy()
    with raises(errors.DataError, match="components of all cells .then give use_rep='X_pca'."):
        zs.tl.project_sketch(analysed, part, obs="leiden")
    zs.tl.project_sketch(analysed.copy(), part, obs="leiden", use_rep="X_pca")
    analyse(part)
    for change, error, name in (
        (lambda a, s: zs.tl.project_sketch(a, "nope"), errors.MissingKeyError, "nope"),
        (lambda a, s: zs.tl.project_sketch(a, "leiden"), errors.ParameterError, "boolean column"),
        (lambda a, s: zs.tl.project_sketch(a, s, obs="nope"), errors.MissingKeyError, "nope"),
        (lambda a, s: zs.tl.project_sketch(a, 5), errors.ParameterError, "sketch"),
        (lambda a, s: zs.tl.project_sketch(a, s, umap="yes"), errors.ParameterError, "umap"),
        (lambda a, s: zs.tl.project_sketch(a, s, n_neighbors=201), errors.ParameterError, "n_neighbors"),
        (lambda a, s: zs.tl.project_sketch(a[:5].copy(), s), errors.DataError, "sketch.obs_names"),
        (lambda a, s: zs.tl.project_sketch(a, s[:0].copy()), errors.DataError, "at least one cell"),
        (lambda a, s: zs.tl.project_sketch(a[:, :50].copy(), s), errors.DataError, "missing, the first"),
    ):
        with raises(error, match=name):
            change(analysed, part)
    plain = part.copy()
    del plain.obsm["X_umap"]
    with raises(errors.MissingKeyError, match="umap=False"):
        zs.tl.project_sketch(analysed, plain)
    scaled = part.copy()
    scaled.X = scaled.X * 3
    with raises(errors.DataError, match="`sketch.X`: expected the matrix"):
        zs.tl.project_sketch(analysed, scaled)
    gap = part.copy()
    gap.obs["leiden"] = gap.obs["leiden"].where(np.arange(200) != 4)
    with raises(errors.DataError, match="expected a label for every cell"):
        zs.tl.project_sketch(analysed, gap, obs="leiden")
    twice = part.copy()
    twice.obs_names = ["a"] * 200
    with raises(errors.DuplicateNamesError, match="'a'"):
        zs.tl.project_sketch(analysed, twice)
