"""Logistic regression against scikit-learn at its convergence; logreg ranking against scanpy; classifiers."""

from __future__ import annotations

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import scanpy as sc
from conftest import LAYOUTS

import zensaibo as zs


def _sklearn(X, y, **settings):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=20000, tol=1e-9, **settings).fit(X, y)


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize(("c", "intercept"), [(1.0, True), (0.05, False)])
def test_coefficients_as_scikit_learn(small, classes, c, intercept):
    y = np.arange(small.n_obs) * 7 % classes
    X = small.X.log1p()
    theirs = _sklearn(X.toarray().astype(np.float64), y, C=c, fit_intercept=intercept)
    ours = zs.arrays.logistic_regression(X, y, c=c, fit_intercept=intercept, tol=1e-9)
    assert ours.converged and ours.coef.shape == theirs.coef_.shape
    # Both stop at a gradient of about 1e-9; what is left is the flatness of the objective.
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=2e-5)
    shift = 0 if classes == 2 else theirs.intercept_.mean()
    np.testing.assert_allclose(ours.intercept, theirs.intercept_ - shift, atol=1e-4)
    np.testing.assert_allclose(ours.predict_proba(X), theirs.predict_proba(X.toarray()), atol=1e-5)
    np.testing.assert_array_equal(ours.predict(X), theirs.predict(X.toarray()))


def _real(pbmc3k_log: ad.AnnData) -> ad.AnnData:
    """The 200 genes of highest dispersion, in float64: scikit-learn works in the type of the matrix."""
    order = np.argsort(-pbmc3k_log.var["dispersions_norm"].to_numpy())[:200]
    cells = pbmc3k_log[:, order].copy()
    cells.X = cells.X.astype(np.float64)
    return cells


def test_as_scikit_learn_on_real_cells(pbmc3k_log):
    from scipy.special import logsumexp

    cells = _real(pbmc3k_log)
    y = cells.obs["leiden"].to_numpy()
    theirs = _sklearn(cells.X, y)
    ours = zs.arrays.logistic_regression(cells.X, y, tol=1e-7, max_iter=20000)
    assert ours.converged
    # The objective is flat: scikit-learn stops where its value no longer falls in double precision.
    np.testing.assert_allclose(ours.coef, theirs.coef_, atol=2e-3)
    assert (ours.predict(cells.X) == theirs.predict(cells.X)).mean() > 0.999
    logits = cells.X @ theirs.coef_.T + theirs.intercept_
    own = logits[np.arange(len(y)), np.searchsorted(theirs.classes_, y)]
    loss = (logsumexp(logits, axis=1) - own).mean() + (theirs.coef_**2).sum() / (2 * len(y))
    assert ours.loss <= loss + 1e-9


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_same_bits_for_layouts_and_threads(small, layout):
    y = small.obs["group"].to_numpy()
    one = zs.arrays.logistic_regression(small.X, y, threads=1)
    for threads in (2, 8):
        other = zs.arrays.logistic_regression(LAYOUTS[layout](small.X), y, threads=threads)
        assert other.coef.tobytes() == one.coef.tobytes() and other.intercept.tobytes() == one.intercept.tobytes()


def test_missing_classes_are_left_out(small):
    y = small.obs["group"].astype(object).to_numpy()
    y[:30] = None
    ours = zs.arrays.logistic_regression(small.X, y)
    again = zs.arrays.logistic_regression(small.X[30:], y[30:])
    np.testing.assert_allclose(ours.coef, again.coef, atol=1e-9)


def test_stopping_early_is_said(small):
    with pytest.warns(UserWarning, match="max_iter=2"):
        model = zs.arrays.logistic_regression(small.X, small.obs["group"], max_iter=2, tol=1e-9)
    assert not model.converged and model.n_iter == 2


def test_bad_input_is_named(small):
    fit = zs.arrays.logistic_regression
    with pytest.raises(zs.errors.TooFewError, match="two classes"):
        fit(small.X, np.zeros(300))
    with pytest.raises(zs.errors.ShapeError, match="one class per cell"):
        fit(small.X, np.zeros(3))
    with pytest.raises(zs.errors.ParameterError, match="`c`"):
        fit(small.X, small.obs["group"], c=0)
    with pytest.raises(zs.errors.ShapeError, match="mask"):
        fit(small.X, small.obs["group"], mask=np.ones(3, bool))
    with pytest.raises(zs.errors.ParameterError, match="at least one feature"):
        fit(small.X, small.obs["group"], mask=np.zeros(120, bool))
    small.X.data[0] = np.nan
    with pytest.raises(zs.errors.NonFiniteError):
        fit(small.X, small.obs["group"])


def test_ranking_as_scanpy(pbmc3k_log):
    cells = _real(pbmc3k_log)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(cells, "leiden", method="logreg", key_added="theirs", max_iter=20000, tol=1e-9)
    zs.tl.rank_genes_groups(cells, "leiden", method="logreg", key_added="ours", tol=1e-7, max_iter=20000)
    ours, theirs = cells.uns["ours"], cells.uns["theirs"]
    assert set(ours) == {"params", "names", "scores"}
    for group in theirs["names"].dtype.names:
        top = 30
        assert len(set(ours["names"][group][:top]) & set(theirs["names"][group][:top])) >= top - 1
        # Coefficients, gene by gene.
        a = pd.Series(ours["scores"][group], ours["names"][group])
        b = pd.Series(theirs["scores"][group], theirs["names"][group])
        np.testing.assert_allclose(a, b[a.index], atol=2e-3)
    assert (np.diff(ours["scores"]["0"]) <= 0).all()
    frame = zs.get.rank_genes_groups_df(cells, "0", key="ours")
    assert list(frame.columns) == ["names", "scores"]


def test_ranking_settings(small):
    rank = zs.tl.rank_genes_groups
    rank(small, "group", method="logreg", n_genes=7, rankby_abs=True, key_added="abs")
    scores = np.abs(small.uns["abs"]["scores"]["g1"])
    assert len(scores) == 7 and (np.diff(scores) <= 0).all()
    # Two groups: a table each, of opposite signs; cells of other groups do not count.
    rank(small, "group", method="logreg", groups=["g0", "g2"], key_added="two", c=0.5)
    two = small.uns["two"]
    a, b = (pd.Series(two["scores"][g], two["names"][g]) for g in ("g0", "g2"))
    np.testing.assert_array_equal(a, -b[a.index])
    sub = small[small.obs["group"] != "g1"]
    model = zs.arrays.logistic_regression(sub.X, sub.obs["group"].astype(str).to_numpy(), c=0.5)
    np.testing.assert_allclose(b[small.var_names], model.coef[0], atol=1e-6)
    means = [np.asarray(small.X[(small.obs["group"] == g).to_numpy()].mean(axis=0)).ravel() for g in ("g0", "g2")]
    assert np.corrcoef(b[small.var_names], means[1] - means[0])[0, 1] > 0.5
    mask = np.arange(120) < 40
    rank(small, "group", method="logreg", mask_var=mask, key_added="mask")
    assert set(small.uns["mask"]["names"]["g0"]) == set(small.var_names[:40])
    for name in ("pts", "tie_correct", "log10_pvals"):
        with pytest.raises(zs.errors.ParameterError, match=name):
            rank(small, "group", method="logreg", **{name: True})
    with pytest.raises(zs.errors.ParameterError, match="`c`.*logreg"):
        rank(small, "group", method="t-test", c=1.0)
    with pytest.raises(zs.errors.ParameterError, match="two groups"):
        rank(small, "group", method="logreg", groups=["g0"])


def _split(small):
    rng = np.random.default_rng(3)
    first = rng.permutation(small.n_obs) < 200
    small.X = small.X.log1p()
    return small[first].copy(), small[~first].copy()


def test_a_classifier_names_cells_that_it_has_not_seen(pbmc3k_log):
    zs.tl.rank_genes_groups(pbmc3k_log, "leiden", n_genes=50)
    first = np.arange(pbmc3k_log.n_obs) % 2 == 0
    known, new = pbmc3k_log[first].copy(), pbmc3k_log[~first].copy()
    classifier = zs.tl.train_classifier(known, "leiden", mask_var="highly_variable")
    assert list(classifier.genes) == list(known.var_names[known.var["highly_variable"]])
    zs.tl.annotate(new, classifier)
    right = (new.obs["predicted"].astype(str) == new.obs["leiden"].astype(str)).mean()
    assert right > 0.9, right
    # Sure cells are right more often than unsure ones.
    sure = new.obs["predicted_confidence"] > new.obs["predicted_confidence"].median()
    hit = new.obs["predicted"].astype(str) == new.obs["leiden"].astype(str)
    assert hit[sure].mean() >= hit[~sure].mean()
    np.testing.assert_allclose(new.obsm["predicted_probabilities"].sum(axis=1), 1)
    zs.tl.annotate(new, classifier, groupby="leiden", key_added="cluster")
    assert (new.obs["cluster"].astype(str) == new.obs["leiden"].astype(str)).mean() > 0.95
    zs.tl.annotate(new, classifier, min_confidence=1.01, key_added="none")
    assert (new.obs["none"] == "unassigned").all()


def test_genes_are_matched_by_name(small):
    known, new = _split(small)
    classifier = zs.tl.train_classifier(known, "group")
    zs.tl.annotate(new, classifier)
    shuffled = new[:, np.random.default_rng(0).permutation(new.n_vars)].copy()
    zs.tl.annotate(shuffled, classifier)
    np.testing.assert_allclose(shuffled.obsm["predicted_probabilities"], new.obsm["predicted_probabilities"], rtol=1e-9)
    fewer = new[:, :100].copy()
    with pytest.warns(UserWarning, match="20 of the 120 genes"):
        zs.tl.annotate(fewer, classifier)
    zeroed = new.copy()
    zeroed.X = zeroed.X.toarray()
    zeroed.X[:, 100:] = 0
    zs.tl.annotate(zeroed, classifier)
    np.testing.assert_allclose(fewer.obsm["predicted_probabilities"], zeroed.obsm["predicted_probabilities"], rtol=1e-9)


def test_a_classifier_is_saved_and_loaded(small, tmp_path):
    known, new = _split(small)
    classifier = zs.tl.train_classifier(known, "group")
    classifier.save(tmp_path / "c.npz")
    again = zs.tl.Classifier.load(tmp_path / "c.npz")
    assert list(again.genes) == list(classifier.genes) and list(again.classes) == list(classifier.classes)
    one = zs.tl.annotate(new, classifier, copy=True)
    other = zs.tl.annotate(new, again, copy=True)
    np.testing.assert_array_equal(one.obsm["predicted_probabilities"], other.obsm["predicted_probabilities"])
    np.savez(tmp_path / "other.npz", a=np.ones(2))
    with pytest.raises(zs.errors.FormatError, match="other.npz"):
        zs.tl.Classifier.load(tmp_path / "other.npz")


def test_annotation_names_bad_input(small):
    known, new = _split(small)
    classifier = zs.tl.train_classifier(known, "group")
    with pytest.raises(zs.errors.ParameterError, match="classifier"):
        zs.tl.annotate(new, {"a": 1})
    with pytest.raises(zs.errors.MissingKeyError, match="absent"):
        zs.tl.train_classifier(known, "absent")
    with pytest.raises(zs.errors.ParameterError, match="unassigned"):
        zs.tl.annotate(new, classifier, unassigned="g1")
    with pytest.raises(zs.errors.ParameterError, match="min_genes"):
        zs.tl.annotate(new, classifier, min_genes=2)
    mouse = new.copy()
    mouse.var_names = [f"Other{i}" for i in range(120)]
    with pytest.raises(zs.errors.MissingKeyError, match="0 of the 120 genes.*'gene0'"):
        zs.tl.annotate(mouse, classifier)
    known.var_names = ["gene0", *known.var_names[:-1]]
    with pytest.raises(zs.errors.DuplicateNamesError, match="'gene0'"):
        zs.tl.train_classifier(known, "group")
    assert isinstance(new, ad.AnnData)
