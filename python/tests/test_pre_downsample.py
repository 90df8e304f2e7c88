"""Drawing counts and cells: targets met, distributions right, scanpy's draws of cells, the same bits for any threads."""

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse, stats

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors


def plain(x):
    return x.toarray() if sparse.issparse(x) else np.asarray(x)


@pytest.mark.parametrize("replace", [False, True])
@pytest.mark.parametrize("target", [1000, "array"])
def test_cells_meet_their_targets_on_real_counts(pbmc3k, replace, target):
    before = pbmc3k.X.copy()
    totals = np.asarray(before.sum(axis=1)).ravel()
    targets = np.full(2700, 1000) if target == 1000 else np.random.default_rng(0).integers(0, 4000, 2700)
    zs.pp.downsample_counts(pbmc3k, counts_per_cell=1000 if target == 1000 else targets, replace=replace)
    np.testing.assert_array_equal(np.asarray(pbmc3k.X.sum(axis=1)).ravel(), np.minimum(totals, targets))
    few = totals <= targets
    assert few.any() and (pbmc3k.X[few] != before[few]).nnz == 0
    if not replace:
        assert (before - pbmc3k.X).min() >= 0
    assert pbmc3k.X.dtype == before.dtype and (pbmc3k.X.data > 0).all()


@pytest.mark.parametrize("replace", [False, True])
def test_the_distribution_is_scanpys(replace):
    """Many cells alike: the mean and variance of each gene are those of the urn, and those of scanpy's draws."""
    counts = np.array([1, 2, 5, 20, 100, 0, 72])
    n, target, total = 6000, 50, 200
    ours = zs.arrays.downsample_counts(np.tile(counts, (n, 1)), target, replace=replace)
    share = counts / total
    variance = target * share * (1 - share) * (1 if replace else (total - target) / (total - 1))
    np.testing.assert_allclose(ours.mean(axis=0), target * share, atol=5 * np.sqrt(variance.max() / n))
    np.testing.assert_allclose(ours.var(axis=0), variance, rtol=0.12, atol=0.01)
    theirs = np.array(
        [
            sc.pp._simple._downsample_array(counts.copy(), target, random_state=seed, replace=replace, inplace=False)
            for seed in range(2000)
        ]
    )
    for gene in (3, 4, 6):
        assert stats.ks_2samp(ours[:, gene], theirs[:, gene]).pvalue > 1e-4


def test_a_total_is_met(pbmc3k):
    total = int(pbmc3k.X.sum())
    before = np.asarray(pbmc3k.X.sum(axis=1)).ravel()
    out = zs.arrays.downsample_counts(pbmc3k.X, total_counts=total // 10)
    assert int(out.sum()) == total // 10 and (pbmc3k.X - out).min() >= 0
    after = np.asarray(out.sum(axis=1)).ravel()
    assert np.corrcoef(before, after)[0, 1] > 0.99
    same = zs.arrays.downsample_counts(pbmc3k.X, total_counts=total + 1)
    assert (same != pbmc3k.X).nnz == 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_give_the_same_counts(small, layout):
    expected = zs.arrays.downsample_counts(small.X, 40).toarray()
    given = LAYOUTS[layout](small.X)
    out = zs.arrays.downsample_counts(given, 40)
    np.testing.assert_array_equal(plain(out), expected)
    assert type(out) is type(given) and out.dtype == given.dtype


def test_threads_and_seeds(pbmc3k):
    runs = [zs.arrays.downsample_counts(pbmc3k.X, 500, threads=t) for t in (1, 2, 8)]
    for run in runs[1:]:
        assert run.data.tobytes() == runs[0].data.tobytes() and run.indices.tobytes() == runs[0].indices.tobytes()
    assert (zs.arrays.downsample_counts(pbmc3k.X, 500, seed=1) != runs[0]).nnz > 0
    # A cell's draw depends on its number and its counts alone.
    part = zs.arrays.downsample_counts(pbmc3k.X[:100], 500)
    assert (part != runs[0][:100]).nnz == 0


def test_copies_and_provenance(small, tmp_path):
    before = small.X.copy()
    other = zs.pp.downsample_counts(small, 30, copy=True)
    assert (small.X != before).nnz == 0 and (other.X != before).nnz > 0
    zs.pp.downsample_counts(small, total_counts=500)
    assert small.X.sum() == 500
    small.write_h5ad(tmp_path / "a.h5ad")
    options = ad.read_h5ad(tmp_path / "a.h5ad").uns["zensaibo"]["downsample_counts"]["options"]
    assert options["total_counts"] == 500


def test_bad_counts(small):
    with pytest.raises(errors.ParameterError, match="neither"):
        zs.pp.downsample_counts(small)
    with pytest.raises(errors.ParameterError, match="both"):
        zs.pp.downsample_counts(small, 5, 5)
    for value in (-1, 2.5, np.nan, True):
        with pytest.raises(errors.ParameterError, match="counts_per_cell"):
            zs.pp.downsample_counts(small, value)
        with pytest.raises(errors.ParameterError, match="total_counts"):
            zs.pp.downsample_counts(small, total_counts=value)
    with pytest.raises(errors.ShapeError, match="300, one per cell"):
        zs.pp.downsample_counts(small, [3, 4])
    with pytest.raises(errors.ParameterError, match="counts_per_cell"):
        zs.pp.downsample_counts(small, np.full(300, -2))
    with pytest.raises(errors.ParameterError, match="seed"):
        zs.pp.downsample_counts(small, 5, random_state=-1)
    for value, error in ((-1, errors.NegativeValuesError), (0.5, errors.NotCountsError), (np.inf, errors.NonFiniteError)):
        broken = small.copy()
        broken.X.data[0] = value
        with pytest.raises(error, match="cell 0"):
            zs.pp.downsample_counts(broken, 5)
    broken = small.copy()
    broken.X.data[0] = 2.0**25
    with pytest.raises(errors.LimitError, match="2\\^24"):
        zs.pp.downsample_counts(broken, 5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"fraction": 0.3},
        {"n": 40, "axis": "var"},
        {"n": 500, "replace": True},
        {"fraction": 0.1, "axis": 1, "p": "weight"},
        {"n": 20, "p": "taken"},
    ],
    ids=str,
)
def test_sample_draws_as_scanpy(small, arguments):
    small.obs["taken"] = np.arange(300) % 3 == 0
    small.var["weight"] = np.arange(120) / np.arange(120).sum()
    ours, theirs = small.copy(), small.copy()
    assert zs.pp.sample(ours, rng=5, **arguments) is None
    sc.pp.sample(theirs, rng=5, **arguments)
    assert list(ours.obs_names) == list(theirs.obs_names) and list(ours.var_names) == list(theirs.var_names)
    assert (ours.X != theirs.X).nnz == 0
    copied = zs.pp.sample(small, rng=5, copy=True, **arguments)
    assert list(copied.obs_names) == list(theirs.obs_names) and small.shape == (300, 120)
    if not isinstance(arguments.get("p"), str):
        drawn, numbers = zs.pp.sample(small.X, rng=5, **arguments)
        expected, other = sc.pp.sample(small.X, rng=5, **arguments)
        np.testing.assert_array_equal(numbers, other)
        assert (drawn != expected).nnz == 0


def test_sample_generators_and_bad_input(small):
    a = zs.pp.sample(small, n=10, rng=np.random.default_rng(1), copy=True)
    assert list(a.obs_names) == list(zs.pp.sample(small, n=10, rng=1, copy=True).obs_names)
    assert zs.pp.sample(small, n=0, copy=True).n_obs == 0
    for arguments, name in (
        ({}, "fraction"),
        ({"n": 3, "fraction": 0.1}, "both"),
        ({"fraction": 1.5}, "replace=True"),
        ({"fraction": -1}, "fraction"),
        ({"n": 301}, "at most 300"),
        ({"n": 2.5}, "`n`"),
        ({"n": 3, "axis": "cells"}, "axis"),
        ({"n": 3, "rng": "x"}, "rng"),
        ({"n": 5, "p": np.eye(1, 300, dtype=bool)[0]}, "at most 1"),
    ):
        with pytest.raises(errors.ParameterError, match=name):
            zs.pp.sample(small, **arguments)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.sample(small, n=3, p="nope")
    with pytest.raises(errors.ShapeError, match="300 entries"):
        zs.pp.sample(small, n=3, p=np.ones(4))
    with pytest.raises(errors.DataError, match="sum to 1"):
        zs.pp.sample(small, n=3, p=np.ones(300))
    with pytest.raises(errors.DataError, match="probabilities"):
        zs.pp.sample(small, n=3, p=np.ones(300, int))
    with pytest.raises(errors.ParameterError, match="name 'a'"):
        zs.pp.sample(small.X, n=3, p="a")
    assert small.shape == (300, 120)
