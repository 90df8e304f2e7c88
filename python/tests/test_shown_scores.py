"""The scores of `zs.metrics` beside scikit-learn (live) and slow versions, on pbmc3k and kang."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
from scipy.spatial.distance import cdist
from scipy.stats import chi2

import zensaibo as zs


@pytest.fixture(scope="module")
def labelled(request):
    """700 cells in 15 components, the clusters of scanpy and a coarser partition."""
    adata = request.getfixturevalue("_pbmc3k_log")
    part = adata[::4]
    return part.obsm["X_pca"][:, :15].astype(np.float32), part.obs["leiden"].astype(str).to_numpy()


def test_partitions_as_scikit_learn(labelled):
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    _, labels = labelled
    rng = np.random.default_rng(0)
    others = {
        "same": labels,
        "coarser": np.where(np.isin(labels, ["0", "1"]), "a", "b"),
        "noise": rng.integers(0, 5, len(labels)),
        "one": np.zeros(len(labels), int),
        "each": np.arange(len(labels)),
        "half": np.where(rng.random(len(labels)) < 0.5, labels, "x"),
    }
    for name, other in others.items():
        for a, b in ((labels, other), (other, labels)):
            assert zs.metrics.adjusted_rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12), name
            expected = normalized_mutual_info_score(a, b)
            assert zs.metrics.normalized_mutual_information(a, b) == pytest.approx(expected, abs=1e-12), name


def test_silhouette_and_trustworthiness_as_scikit_learn(labelled):
    from sklearn.manifold import trustworthiness
    from sklearn.metrics import silhouette_score

    X, labels = labelled
    assert zs.metrics.silhouette(X, labels) == pytest.approx(silhouette_score(X.astype(np.float64), labels), abs=1e-6)
    layouts = {"pcs": X[:, :2], "noise": np.random.default_rng(0).normal(size=(len(X), 2)).astype(np.float32)}
    for layout in layouts.values():
        for k in (1, 5, 30):
            ours = zs.metrics.trustworthiness(X, layout, n_neighbors=k, sample=None)
            assert ours == pytest.approx(trustworthiness(X.astype(np.float64), layout, n_neighbors=k), abs=1e-4)


def test_neighbours_kept_as_the_slow_version(labelled):
    X, _ = labelled
    layout, k = X[:, :2], 12
    near = [
        np.argsort(cdist(z, z) + np.diag([np.inf] * len(z)), axis=1)[:, :k]
        for z in (X.astype(float), layout.astype(float))
    ]
    expected = np.mean([len(set(a) & set(b)) / k for a, b in zip(*near, strict=True)])
    found = zs.metrics.neighbor_preservation(X, layout, n_neighbors=k, sample=None)
    assert found == pytest.approx(expected, abs=1e-3)


def slow_lisi(X: np.ndarray, labels: np.ndarray, perplexity: float) -> np.ndarray:
    """By bisection on the entropy of Gaussian weights over the 3 x perplexity nearest other cells."""
    out = []
    table = cdist(X.astype(float), X.astype(float))
    for row, distances in enumerate(table):
        order = [i for i in np.argsort(distances, kind="stable") if i != row][: int(3 * perplexity)]
        d = distances[order]
        low, high = 0.0, np.inf
        beta = 1.0
        for _ in range(200):
            weight = np.exp(-beta * d)
            weight /= weight.sum()
            entropy = -(weight * np.log(np.maximum(weight, 1e-300))).sum()
            if abs(entropy - np.log(perplexity)) < 1e-10:
                break
            low, high = (beta, high) if entropy > np.log(perplexity) else (low, beta)
            beta = beta * 2 if high == np.inf else (low + high) / 2
        out.append(1 / sum(weight[labels[order] == label].sum() ** 2 for label in np.unique(labels)))
    return np.array(out)


def test_lisi_as_the_slow_version(labelled):
    X, labels = (part[:250] for part in labelled)
    ours = zs.metrics.lisi(X, labels, perplexity=10)
    # harmonypy, whose numbers these are, stops its search at 1e-5 of the entropy.
    np.testing.assert_allclose(ours, slow_lisi(X, labels, 10), rtol=1e-3, atol=1e-3)
    n = len(np.unique(labels))
    assert zs.metrics.ilisi(X, labels, perplexity=10) == pytest.approx((np.median(ours) - 1) / (n - 1))
    assert zs.metrics.clisi(X, labels, perplexity=10) == pytest.approx((n - np.median(ours)) / (n - 1))


def test_kbet_as_the_slow_version(labelled):
    X, _ = labelled
    batches = np.array(["a", "b", "c"])[np.arange(len(X)) % 3]
    k = 20
    near = np.argsort(cdist(X.astype(float), X.astype(float)), axis=1)[:, :k]
    shares = np.array([(batches == b).mean() for b in "abc"]) * k
    seen = np.column_stack([(batches[near] == b).sum(axis=1) for b in "abc"])
    statistic = ((seen - shares) ** 2 / shares).sum(axis=1)
    found = zs.metrics.kbet(X, batches, n_neighbors=k)
    assert (np.abs(found.statistics - statistic) < 1e-9).mean() > 0.99  # ties among the nearest
    np.testing.assert_allclose(found.p_values, chi2.sf(found.statistics, 2), rtol=1e-9)
    assert found.acceptance_rate > 0.85


def test_every_score_says_what_is_good():
    for name in ("adjusted_rand_index", "normalized_mutual_information", "lisi", "ilisi", "clisi", "silhouette", "kbet",
                 "trustworthiness"):  # fmt: skip
        text = inspect.getdoc(getattr(zs.metrics, name))
        assert any(word in text for word in ("1 ", "good", "best")), name
