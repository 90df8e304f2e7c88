"""Niches, genes and pairs in space, comparison of samples: against formulas, planted truth, real tissue, and squidpy and LIANA where installed."""

from __future__ import annotations

from itertools import combinations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse
from scipy.stats import cauchy, chi2, rankdata, ttest_ind

import zensaibo as zs
from zensaibo.errors import DataError, EmptyDataError, MissingKeyError, NonFiniteError, ParameterError, ShapeError, TooFewError

from conftest import data_path


def tissue(n: int = 300, dimensions: int = 2, seed: int = 0) -> ad.AnnData:
    """Cells at random places in two libraries, with random labels and counts."""
    rng = np.random.default_rng(seed)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(0.7, (n, 8)).astype(np.float32)))
    adata.var_names = [f"g{i}" for i in range(8)]
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, dimensions))
    adata.obs["label"] = pd.Categorical.from_codes(rng.integers(0, 3, n), ["a", "b", "c"])
    adata.obs["library"] = pd.Categorical(np.where(np.arange(n) % 2, "one", "two"))
    zs.sp.spatial_neighbors_knn(adata, n_neighs=5, library_key="library")
    return adata


def halves(n: int = 600, seed: int = 3) -> ad.AnnData:
    """Two halves of different mixtures of labels, and of different genes."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(0, 100, (n, 2))
    left = places[:, 0] < 50
    labels = np.where(rng.random(n) < 0.8, np.where(left, "a", "b"), "c")
    rates = np.where(left[:, None], [5, 5, 0.3, 1], [0.3, 5, 5, 1])
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(rates).astype(np.float32)))
    adata.obs["label"], adata.obs["half"] = pd.Categorical(labels), pd.Categorical(np.where(left, "left", "right"))
    adata.obsm["spatial"] = places
    zs.sp.spatial_neighbors_knn(adata, n_neighs=10)
    return adata


# Genes in space


def functions(x: np.ndarray) -> list[np.ndarray]:
    """The eleven sets, from their description."""
    u = x - x.mean(axis=0)
    lengths = np.quantile(np.abs(u), [0.2, 0.4, 0.6, 0.8, 1.0], axis=0)
    return [
        u,
        *(np.exp(-(u**2) / (2 * length**2)) for length in lengths),
        *(np.cos(2 * np.pi * u / length) for length in lengths),
    ]


@pytest.mark.parametrize("dimensions", [2, 3])
def test_genes_in_space_are_regressions_held_against_chi_squared(dimensions):
    adata = tissue(dimensions=dimensions)
    libraries = adata.obs["library"].to_numpy()
    y = adata.X.toarray().astype(np.float64)
    statistic, degrees = np.zeros((8, 11)), 0
    explained, spread = np.zeros((8, 11)), np.zeros(8)
    for library in ("one", "two"):
        mine = libraries == library
        z = y[mine] - y[mine].mean(axis=0)
        for at, f in enumerate(functions(adata.obsm["spatial"][mine])):
            fitted = np.linalg.lstsq(f - f.mean(axis=0), z, rcond=None)[0]
            part = (((f - f.mean(axis=0)) @ fitted) ** 2).sum(axis=0)
            statistic[:, at] += mine.sum() * part / (z**2).sum(axis=0)
            explained[:, at] += part
        spread += (z**2).sum(axis=0)
        degrees += dimensions
    pvals = chi2.sf(statistic, degrees)
    joined = cauchy.sf(np.tan((0.5 - pvals) * np.pi).mean(axis=1))
    found = zs.arrays.spatially_variable_genes(adata.obsm["spatial"], adata.X, libraries=libraries)
    np.testing.assert_allclose(found.pval_patterns, pvals, rtol=1e-8)
    np.testing.assert_allclose(found.pval, joined, rtol=1e-8)
    np.testing.assert_allclose(found.share, (explained / spread[:, None]).max(axis=1), rtol=1e-8)
    assert list(found.pattern) == [zs.arrays._surroundings.PATTERNS[at] for at in (explained / spread[:, None]).argmax(axis=1)]
    dense = zs.arrays.spatially_variable_genes(adata.obsm["spatial"], y, libraries=libraries, threads=1)
    assert dense.ln_pval.tobytes() == found.ln_pval.tobytes()


def test_genes_that_vary_are_found_and_flat_ones_stand_last():
    adata = halves()
    adata.X[:, 3] = 0
    adata.var_names = ["left", "both", "right", "none"]
    adata.layers["more"] = adata.X * 2
    zs.sp.spatially_variable_genes(adata, min_cells=0)
    table = adata.uns["spatially_variable_genes"]
    assert set(table.index[:2]) == {"left", "right"} and table.index[3] == "none"
    assert (table["pval_adj"].iloc[:2] < 1e-20).all() and table["pval"].iloc[2] > 1e-4 and np.isnan(table["pval"].iloc[3])
    before = table.copy()
    zs.sp.spatially_variable_genes(adata, layer="more", min_cells=3)
    # The scale of a gene says nothing.
    np.testing.assert_allclose(adata.uns["spatially_variable_genes"]["share"], before["share"].iloc[:3], rtol=1e-12)
    with pytest.raises(EmptyDataError, match="not zero in at least 1000 cells"):
        zs.sp.spatially_variable_genes(adata, min_cells=1000)


def test_genes_in_space_name_what_is_wrong():
    adata = tissue()
    places = adata.obsm["spatial"].copy()
    places[7, 1] = np.nan
    with pytest.raises(NonFiniteError, match="row 7"):
        zs.arrays.spatially_variable_genes(places, adata.X)
    with pytest.raises(DataError, match="one place"):
        zs.arrays.spatially_variable_genes(np.ones((300, 2)), adata.X)
    with pytest.raises(TooFewError, match="five"):
        zs.arrays.spatially_variable_genes(adata.obsm["spatial"], adata.X, libraries=["few"] * 3 + ["rest"] * 297)
    with pytest.raises(ShapeError, match="300 rows"):
        zs.arrays.spatially_variable_genes(adata.obsm["spatial"], adata.X[:5])
    bad = adata.X.copy()
    bad.data[3] = np.inf
    with pytest.raises(NonFiniteError, match="X"):
        zs.arrays.spatially_variable_genes(adata.obsm["spatial"], bad)
    with pytest.raises(MissingKeyError, match="nothing_here"):
        zs.sp.spatially_variable_genes(adata, genes=["nothing_here"])


# Pairs


def test_pairs_are_their_formulas():
    adata = tissue()
    graph = adata.obsp["spatial_connectivities"].astype(np.float64)
    graph.data = np.random.default_rng(2).uniform(0.2, 1, graph.nnz)
    w = graph.toarray()
    x, y = (adata.X[:, i].toarray().ravel().astype(np.float64) for i in (0, 1))
    zx, zy = ((v - v.mean()) / v.std() for v in (x, y))
    rx, ry = rankdata(x), rankdata(y)

    def correlation(a, b):
        s = w.sum(1)
        c = s * (w @ (a * b)) - (w @ a) * (w @ b)
        va, vb = s * (w @ a**2) - (w @ a) ** 2, s * (w @ b**2) - (w @ b) ** 2
        varies = (va > 1e-10 * s * (w @ a**2)) & (vb > 1e-10 * s * (w @ b**2))
        return np.where(varies, c / np.sqrt(np.where(varies, va * vb, 1)), 0)

    bx, by = (x > 0).astype(float), (y > 0).astype(float)
    either = w @ np.maximum(bx, by)
    cosine = np.sqrt((w @ x**2) * (w @ y**2))
    expected = {
        "cosine": np.divide(w @ (x * y), cosine, out=np.zeros(300), where=cosine > 0),
        "pearson": correlation(x, y),
        "spearman": correlation(rx, ry),
        "jaccard": np.divide(w @ np.minimum(bx, by), either, out=np.zeros(300), where=either > 0),
        "product": (w @ x) * (w @ y),
        "norm_product": (w @ x) / (w @ x).max() * (w @ y) / (w @ y).max(),
        "morans": 300 / w.sum() * (zx * (w @ zy) + zy * (w @ zx)),
        "lee": (w @ zx) * (w @ zy) * 300 / (w.sum(1) ** 2).sum(),
    }
    for name, values in expected.items():
        found = zs.arrays.bivariate(graph, adata.X, [[0, 1], [2, 2]], local_name=name)
        np.testing.assert_allclose(found.local[:, 0], values, atol=1e-9, err_msg=name)
        np.testing.assert_allclose(found.morans[0], (zy * (w @ zx)).sum() / w.sum(), rtol=1e-9)
        np.testing.assert_allclose(found.lee[0], ((w @ zx) * (w @ zy)).sum() / (w.sum(1) ** 2).sum(), rtol=1e-9)
        assert np.array_equal(
            found.categories[:, 0], np.where((w @ zx > 0) & (w @ zy > 0), 1, np.where((w @ zx) * (w @ zy) < 0, -1, 0))
        )


def test_pairs_of_planted_halves_and_their_p_values():
    adata = halves()
    adata.var_names = ["left", "both", "right", "none"]
    zs.sp.bivariate(
        adata,
        [("left", "right"), ("left", "none"), ("left", "left"), ("left", "absent")],
        local_name="morans",
        n_perms=99,
        nz_prop=0.01,
    )
    table = adata.uns["bivariate_morans"]
    assert list(table.index) == ["left^right", "left^none"]
    assert table["morans"].iloc[0] < -0.4 and table["morans_pvals"].iloc[0] == 0.01 and abs(table["morans"].iloc[1]) < 0.1
    cats, pvals = adata.obsm["bivariate_morans_cats"], adata.obsm["bivariate_morans_pvals"]
    assert (cats["left^right"] == -1).mean() > 0.9 and pvals["left^right"].between(0.01, 1).all()
    scores = [zs.sp.bivariate(adata, [("left", "right")], n_perms=20, threads=t, copy=True).obsm for t in (1, 2, 8)]
    assert (
        len({s["bivariate_cosine"].to_numpy().tobytes() + s["bivariate_cosine_pvals"].to_numpy().tobytes() for s in scores})
        == 1
    )
    zs.sp.bivariate(
        adata, pd.DataFrame({"ligand": ["left"], "receptor": ["right"]}), mask_negatives=True, n_perms=5, key_added="masked"
    )
    hidden = adata.obsm["masked_cats"]["left^right"] != 1
    assert (adata.obsm["masked"]["left^right"][hidden] == 0).all() and (
        adata.obsm["masked_pvals"]["left^right"][hidden] == 1
    ).all()


def test_pairs_name_what_is_wrong():
    adata = tissue()
    with pytest.raises(EmptyDataError, match="another species"):
        zs.sp.bivariate(adata, [("G0", "G1")])
    with pytest.raises(EmptyDataError, match="different genes"):
        zs.sp.bivariate(adata, [("g0", "g0")])
    with pytest.raises(EmptyDataError, match="99%"):
        zs.sp.bivariate(adata, [("g0", "g1")], nz_prop=0.99)
    for pairs in ([], ["g0g1"], pd.DataFrame({"x": ["g0"]})):
        with pytest.raises(ParameterError, match="pairs"):
            zs.sp.bivariate(adata, pairs)
    with pytest.raises(ParameterError, match="local_name"):
        zs.arrays.bivariate(adata.obsp["spatial_connectivities"], adata.X, [[0, 1]], local_name="moran")
    with pytest.raises(DataError, match="from 0 to 7"):
        zs.arrays.bivariate(adata.obsp["spatial_connectivities"], adata.X, [[0, 8]])
    with pytest.raises(DataError, match="at least 0"):
        zs.arrays.bivariate(-adata.obsp["spatial_connectivities"], adata.X, [[0, 1]])
    with pytest.raises(MissingKeyError, match="spatial_connectivities"):
        zs.sp.bivariate(ad.AnnData(adata.X), [("0", "1")])


def test_liana_has_the_same_local_and_global_scores():
    li = pytest.importorskip("liana", reason="liana is not installed: parity with it is not looked at")
    adata = tissue(400)
    graph = adata.obsp["spatial_connectivities"]
    # Symmetric, as Lee's L asks.
    adata.obsp["spatial_connectivities"] = sparse.csr_matrix(graph.maximum(graph.T))
    resource = pd.DataFrame({"ligand": ["g0", "g2"], "receptor": ["g1", "g3"]})
    for name in ("cosine", "pearson", "spearman", "jaccard", "product", "norm_product", "morans"):
        theirs = li.mt.bivariate(
            adata,
            local_name=name,
            global_name=["morans", "lee"],
            resource=resource,
            use_raw=False,
            verbose=False,
            add_categories=True,
        )
        zs.sp.bivariate(adata, resource, local_name=name)
        table = adata.uns[f"bivariate_{name}"]
        # Standardised values are single precision there.
        tolerance = 2e-5 if name == "morans" else 2e-6
        np.testing.assert_allclose(adata.obsm[f"bivariate_{name}"].to_numpy(), theirs.X.toarray(), atol=tolerance, err_msg=name)
        for stat in ("morans", "lee"):
            np.testing.assert_allclose(table[stat], theirs.var[stat].loc[table.index], atol=1e-6, err_msg=stat)
        cats = adata.obsm[f"bivariate_{name}_cats"].to_numpy()
        assert (cats == theirs.layers["cats"].toarray()).mean() > 0.99


# Niches


def test_profiles_and_aggregates_are_those_of_a_slow_walk():
    adata = tissue(120)
    graph = adata.obsp["spatial_connectivities"]
    labels = adata.obs["label"].cat.codes.to_numpy()
    x = adata.X.toarray().astype(np.float64)
    near = [set(graph[i].indices) for i in range(120)]
    rings = []
    for i in range(120):
        seen, shells = {i}, [{i}]
        for _ in range(3):
            shells.append(set().union(*(near[j] for j in shells[-1])) - seen if shells[-1] else set())
            seen |= shells[-1]
        rings.append(shells[1:])
    for hops, weights in ((1, None), (3, [1.0, 0.5])):
        filled = ([1.0] * hops) if weights is None else (weights + [weights[-1]] * hops)[:hops]
        for absolute in (False, True):
            expected = np.zeros((120, 3))
            for i in range(120):
                for weight, shell in zip(filled, rings[i][:hops], strict=True):
                    counts = np.bincount(labels[sorted(shell)], minlength=3) if shell else np.zeros(3)
                    expected[i] += weight * (counts if absolute else counts / max(len(shell), 1))
            found, names = zs.arrays.neighborhood_profile(
                graph, adata.obs["label"], distance=hops, n_hop_weights=weights, abs_nhood=absolute
            )
            np.testing.assert_allclose(found, expected if absolute else expected / sum(filled), rtol=1e-12)
            assert list(names) == ["a", "b", "c"]
    for aggregation in ("mean", "variance"):
        blocks = [x] + [
            np.array(
                [
                    (
                        getattr(x[sorted(rings[i][h])], "mean" if aggregation == "mean" else "var")(axis=0)
                        if rings[i][h]
                        else np.zeros(8)
                    )
                    for i in range(120)
                ]
            )
            for h in range(3)
        ]
        for matrix in (adata.X, x):
            found = zs.arrays.aggregate_neighbors(graph, matrix, distance=3, aggregation=aggregation)
            found = found.toarray() if sparse.issparse(found) else found
            np.testing.assert_allclose(found, np.hstack(blocks), atol=1e-12)


@pytest.mark.parametrize("flavor", ["neighborhood", "utag", "cellcharter"])
def test_planted_niches_come_back_for_any_number_of_threads(flavor):
    options = {
        "neighborhood": {"groups": "label", "resolutions": 0.1},
        "utag": {"resolutions": [0.1, 0.2]},
        "cellcharter": {"n_components": 2, "n_init": 3},
    }[flavor]
    adata = halves()
    zs.sp.calculate_niche(adata, flavor, **options)
    key = {"neighborhood": "nhood_niche_res=0.1", "utag": "utag_niche_res=0.1", "cellcharter": "cellcharter_niche"}[flavor]
    score = zs.metrics.adjusted_rand_index(adata.obs["half"], adata.obs[key])
    # Shares of three labels among ten cells take few values, and each makes a niche: these lie in one half each.
    purity = pd.crosstab(adata.obs[key], adata.obs["half"]).max(axis=1).sum() / adata.n_obs
    assert purity > 0.85 and (score > 0.7 or flavor == "neighborhood"), (score, purity)
    assert flavor != "utag" or "utag_niche_res=0.2" in adata.obs
    sizes = adata.obs[key].value_counts()
    assert list(sizes.loc[adata.obs[key].cat.categories]) == sorted(sizes, reverse=True)
    others = [zs.sp.calculate_niche(halves(), flavor, **options, threads=t, copy=True).obs[key] for t in (1, 2, 8)]
    assert all(other.tolist() == adata.obs[key].tolist() for other in others)


def test_niches_by_library_with_a_mask_and_a_least_size():
    adata = tissue(400)
    kept = np.arange(400) % 5 > 0
    zs.sp.calculate_niche(
        adata, "neighborhood", groups="label", library_key="library", mask=kept, min_niche_size=30, resolutions=1.0
    )
    found = adata.obs["nhood_niche_res=1.0"].astype(str)
    assert (found[~kept] == "not_a_niche").all()
    named = found[found != "not_a_niche"]
    assert len(named) and (named.str.startswith("lib=one_") == (adata.obs["library"][named.index] == "one")).all()
    assert named.value_counts().min() >= 30
    again = tissue(400)
    zs.sp.calculate_niche(
        again,
        "neighborhood",
        groups="label",
        library_key="library",
        mask=pd.Series(kept, index=again.obs_names)[::-1],
        min_niche_size=30,
        resolutions=1.0,
    )
    assert again.obs["nhood_niche_res=1.0"].tolist() == adata.obs["nhood_niche_res=1.0"].tolist()


def test_cellcharter_takes_an_embedding_and_its_surroundings():
    adata = halves()
    adata.obsm["X_pca"] = adata.X.toarray()
    plain = zs.sp.calculate_niche(adata, "cellcharter", n_components=2, copy=True).obs["cellcharter_niche"]
    embedded = zs.sp.calculate_niche(adata, "cellcharter", n_components=2, use_rep="X_pca", copy=True).obs["cellcharter_niche"]
    assert plain.tolist() == embedded.tolist()


def test_niches_name_what_is_wrong():
    adata = tissue()
    for flavor, options, word in (
        ("spatialleiden", {}, "flavor"),
        ("neighborhood", {}, "groups"),
        ("neighborhood", {"groups": "label", "n_components": 3}, "n_components"),
        ("utag", {"groups": "label"}, "groups"),
        ("utag", {"scale": False}, "scale"),
        ("cellcharter", {"resolutions": 1.0}, "resolutions"),
        ("cellcharter", {"aggregation": "median"}, "aggregation"),
        ("neighborhood", {"groups": "label", "distance": 0}, "distance"),
        ("neighborhood", {"groups": "label", "n_hop_weights": [-1.0]}, "n_hop_weights"),
        ("neighborhood", {"groups": "label", "resolutions": -1}, "resolutions"),
        ("neighborhood", {"groups": "label", "n_neighbors": 1}, "n_neighbors"),
        ("utag", {"use_rep": "X_pca", "layer": "more"}, "use_rep"),
    ):
        with pytest.raises(ParameterError, match=word):
            zs.sp.calculate_niche(adata, flavor, **options)
    with pytest.raises(ShapeError, match="mask"):
        zs.sp.calculate_niche(adata, "neighborhood", groups="label", mask=[True])
    with pytest.raises(TooFewError, match="components"):
        zs.sp.calculate_niche(adata, "cellcharter", n_components=500)
    adata.obs["label"] = adata.obs["label"].where(np.arange(300) > 2)
    with pytest.raises(DataError, match="3 without"):
        zs.sp.calculate_niche(adata, "neighborhood", groups="label")


def test_squidpy_has_the_same_profiles_where_all_cells_have_as_many_neighbours():
    pytest.importorskip("squidpy", reason="squidpy is not installed: parity with it is not looked at")
    from squidpy.gr._niche import _aggregate, _calculate_neighborhood_profile, _hop, _normalize, _setdiag, _utag

    adata = tissue(200)
    graph = adata.obsp["spatial_connectivities"]
    theirs = _calculate_neighborhood_profile(adata, "label", graph.tocoo(), False).to_numpy()
    np.testing.assert_allclose(zs.arrays.neighborhood_profile(graph, adata.obs["label"])[0], theirs, rtol=1e-12)
    ours = zs.arrays.aggregate_neighbors(graph, adata.X, distance=2).toarray()
    hop = _setdiag(graph, 0)
    visited = _setdiag(graph.copy(), 1)
    second, _ = _hop(hop, graph, visited)
    np.testing.assert_allclose(ours[:, 8:16], _aggregate(adata, _normalize(hop)).toarray(), rtol=1e-6)
    assert second.shape == graph.shape
    np.testing.assert_allclose(ours[:, 8:16], _utag(adata, True, "spatial_connectivities").toarray(), rtol=1e-6)


def test_mixtures_are_as_likely_as_those_of_scikit_learn():
    mixture = pytest.importorskip("sklearn.mixture")
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, s, (300, 4)) for m, s in ((0, 1), (4, 0.5), ([6, -3, 0, 1], 1.5))])
    ours = zs.arrays.gaussian_mixture(x, n_components=3, n_init=5, tol=1e-6, max_iter=500)
    theirs = mixture.GaussianMixture(3, n_init=5, tol=1e-6, max_iter=500, random_state=0).fit(x)
    assert abs(ours.likelihood - theirs.score(x)) < 1e-4
    assert zs.metrics.adjusted_rand_index(ours.labels, theirs.predict(x)) > 0.99
    np.testing.assert_allclose(np.sort(ours.weights), np.sort(theirs.weights_), atol=1e-3)
    assert ours.converged and list(np.bincount(ours.labels)) == sorted(np.bincount(ours.labels), reverse=True)
    for options, word in (
        ({"n_components": 0}, "n_components"),
        ({"n_components": 2000}, "n_components"),
        ({"reg_covar": 0.0}, "reg_covar"),
        ({"tol": -1.0}, "tol"),
    ):
        with pytest.raises(ParameterError, match=word):
            zs.arrays.gaussian_mixture(x, **options)
    x[5, 2] = np.nan
    with pytest.raises(NonFiniteError, match="row 5, column 2"):
        zs.arrays.gaussian_mixture(x)


# Conditions


def test_samples_are_compared_in_all_ways():
    rng = np.random.default_rng(4)
    values = rng.normal(size=(7, 5))
    values[3:, 0] += 5
    values[2, 1] = np.nan
    values[:, 2] = 1.0
    values[3:, 3] = np.nan
    groups = ["a"] * 3 + ["b"] * 4
    found = zs.arrays.compare_samples(values, groups)
    for feature in (0, 4):
        t = abs(ttest_ind(values[3:, feature], values[:3, feature], equal_var=False).statistic)
        np.testing.assert_allclose(abs(found.t[feature]), t, rtol=1e-9)
        ways = [
            abs(ttest_ind(values[list(c), feature], np.delete(values[:, feature], list(c)), equal_var=False).statistic)
            for c in combinations(range(7), 4)
        ]
        np.testing.assert_allclose(found.pval[feature], np.mean([way >= t - 1e-9 for way in ways]))
        np.testing.assert_allclose(found.difference[feature], values[3:, feature].mean() - values[:3, feature].mean())
    assert found.pval[0] == found.least[0] == 1 / 35 and found.pval[2] == 1.0
    assert found.n_a[1] == 2 and np.isfinite(found.pval[1]) and np.isnan(found.pval[3]) and found.n_b[3] == 0
    drawn = [zs.arrays.compare_samples(values, groups, n_perms=n, seed=1) for n in (20, 20)]
    assert drawn[0].pval.tobytes() == drawn[1].pval.tobytes() and drawn[0].least[0] == 1 / 21
    balanced = zs.arrays.compare_samples(values[:6], ["a"] * 3 + ["b"] * 3)
    assert balanced.least[0] == 2 / 20 and balanced.pval[0] == 2 / 20
    for bad, word in (
        (["a"] * 7, "two groups"),
        (["a"] * 6 + ["b"], "two samples"),
        (["a", "b", "c"] + ["a"] * 4, "two groups"),
    ):
        with pytest.raises(DataError, match=word):
            zs.arrays.compare_samples(values, bad)
    with pytest.raises(ParameterError, match="n_perms"):
        zs.arrays.compare_samples(values, groups, n_perms=0)


def several(n: int = 8) -> ad.AnnData:
    """Samples of two conditions; in the second, labels a and b avoid each other."""
    rng = np.random.default_rng(9)
    parts = []
    for sample in range(n):
        places = rng.uniform(0, 100, (250, 2))
        ill = sample >= n // 2
        side = places[:, 0] < 50
        labels = np.where(rng.random(250) < (0.9 if ill else 0.5), np.where(side, "a", "b"), np.where(side, "b", "a"))
        labels[rng.random(250) < 0.2] = "c"
        part = ad.AnnData(
            sparse.csr_matrix(rng.poisson(np.where(side, 3 if ill else 1, 1)[:, None] * np.ones(2)).astype(np.float32))
        )
        part.obsm["spatial"] = places
        part.obs = pd.DataFrame(
            {"label": labels, "sample": f"s{sample}", "condition": "ill" if ill else "well"},
            index=[f"{sample}-{i}" for i in range(250)],
        )
        parts.append(part)
    adata = ad.concat(parts)
    for column in adata.obs:
        adata.obs[column] = adata.obs[column].astype("category")
    zs.sp.spatial_neighbors_knn(adata, library_key="sample")
    return adata


@pytest.mark.parametrize("statistic", ["nhood_enrichment", "co_occurrence", "spatial_autocorr", "composition"])
def test_conditions_differ_where_they_were_made_to(statistic):
    adata = several()
    options = {
        "nhood_enrichment": {"cluster_key": "label"},
        "co_occurrence": {"cluster_key": "label", "interval": [5.0, 20.0]},
        "spatial_autocorr": {},
        "composition": {"cluster_key": "label"},
    }
    zs.sp.compare_conditions(
        adata, "condition", "sample", statistic=statistic, conditions=["well", "ill"], **options[statistic]
    )
    table, samples = adata.uns[f"{statistic}_comparison"], adata.uns[f"{statistic}_comparison_samples"]
    assert list(samples["condition"]) == ["well"] * 4 + ["ill"] * 4
    assert (table["least"] == 2 / 70).all() and table["pval"].is_monotonic_increasing
    if statistic == "nhood_enrichment":
        by = table.set_index(["label", "neighbor"])
        assert by.loc[("a", "b"), "difference"] < -0.5 and by.loc[("a", "b"), "pval"] == 2 / 70
        assert by.loc[("a", "a"), "difference"] > 0.2 and abs(by.loc[("c", "c"), "difference"]) < 0.5
        one = adata[adata.obs["sample"] == "s5"]
        found = zs.arrays.nhood_enrichment(one.obsp["spatial_connectivities"], one.obs["label"])
        assert samples.loc["s5", "a|b"] == pytest.approx(np.log2((found.count[0, 1] + 1.0) / (found.mean[0, 1] + 1.0)))
    elif statistic == "co_occurrence":
        by = table.set_index(["label", "neighbor", "distance"])
        assert by.loc[("a", "b", 5.0), "difference"] < -0.5 and len(by) == 18
    elif statistic == "spatial_autocorr":
        assert (table["difference"] > 0.1).all() and (table["pval"] == 2 / 70).all()
    else:
        assert (table["pval"] > 0.02).all() and table[["mean_well", "mean_ill"]].sum().round(9).tolist() == [1.0, 1.0]


def test_samples_without_a_label_are_left_out_for_it():
    adata = several()
    adata.obs["label"] = (
        adata.obs["label"]
        .astype(str)
        .where(~((adata.obs["sample"] == "s0") & (adata.obs["label"] == "c")), "a")
        .astype("category")
    )
    zs.sp.compare_conditions(adata, "condition", "sample", cluster_key="label", conditions=["well", "ill"])
    by = adata.uns["nhood_enrichment_comparison"].set_index(["label", "neighbor"])
    assert by.loc[("c", "a"), "n_well"] == 3 and by.loc[("a", "b"), "n_well"] == 4
    assert np.isnan(adata.uns["nhood_enrichment_comparison_samples"].loc["s0", "c|c"])


def test_conditions_name_what_is_wrong():
    adata = several()
    for options, word in (
        ({"statistic": "ripley"}, "statistic"),
        ({}, "cluster_key"),
        ({"cluster_key": "label", "interval": [1.0]}, "interval"),
        ({"cluster_key": "label", "genes": ["0"]}, "genes"),
        ({"statistic": "co_occurrence", "cluster_key": "label"}, "interval"),
        ({"cluster_key": "label", "conditions": ["ill", "dead"]}, "dead"),
    ):
        with pytest.raises(ParameterError, match=word):
            zs.sp.compare_conditions(adata, "condition", "sample", **options)
    few = adata[adata.obs["sample"].isin(["s0", "s1", "s7"])].copy()
    with pytest.raises(TooFewError, match="1 of 'ill'"):
        zs.sp.compare_conditions(few, "condition", "sample", cluster_key="label")
    adata.obs["condition"] = np.where(np.arange(2000) % 2, "ill", "well")
    with pytest.raises(DataError, match="one condition"):
        zs.sp.compare_conditions(adata, "condition", "sample", cluster_key="label")


# Real tissue


def test_layers_of_the_cortex_come_back_as_niches_and_genes():
    path = data_path("spatial_osmfish_cortex/osmFISH_SScortex_mouse_all_cells.loom")
    adata = zs.io.read_loom(path)
    adata = adata[adata.obs["Region"] != "Excluded"].copy()
    adata.obsm["spatial"] = adata.obs[["X", "Y"]].to_numpy(np.float64)
    zs.sp.spatial_neighbors_knn(adata, n_neighs=15)
    zs.sp.calculate_niche(adata, "neighborhood", groups="ClusterName", resolutions=0.5)
    score = zs.metrics.adjusted_rand_index(adata.obs["Region"].astype(str), adata.obs["nhood_niche_res=0.5"])
    alone = zs.metrics.adjusted_rand_index(adata.obs["Region"].astype(str), adata.obs["ClusterName"].astype(str))
    # Surroundings tell layers apart that types of cells alone do not.
    assert score > 0.4 and score > alone + 0.1, (score, alone)
    zs.sp.spatially_variable_genes(adata)
    table = adata.uns["spatially_variable_genes"]
    # Genes of layers (Codeluppi 2018) come first, those of vessels, which lie anywhere, last.
    assert (
        (table["pval_adj"] < 1e-3).mean() > 0.8
        and {"Lamp5", "Rorb", "Plp1"} <= set(table.index[:6])
        and "Flt1" in table.index[-4:]
    )
