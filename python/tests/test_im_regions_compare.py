"""Groups of animals: regression against statsmodels and edgeR, corrections by the slow way, permutation maps against scipy;
p-values that are uniform where nothing differs, and planted differences that are found."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import ndimage, stats

import zensaibo as zs
from zensaibo import errors

GOLDEN = np.load(Path(__file__).parent / "golden" / "regions" / "counts.npz")


def table_of(counts, volume=None, parents=None, **obs) -> ad.AnnData:
    """Counts (samples x structures) as `region_table` gives them; ids from 1."""
    counts = np.asarray(counts, dtype="f8")
    n, structures = counts.shape
    volume = np.ones_like(counts) if volume is None else volume
    var = pd.DataFrame(
        {
            "id": np.arange(1, structures + 1, dtype="u8"),
            "acronym": [f"s{k}" for k in range(1, structures + 1)],
            "structure_name": [f"structure {k}" for k in range(1, structures + 1)],
            "parent_id": np.array(parents if parents is not None else [0] * structures, dtype="u8"),
            "depth": 0,
        }
    )
    var.index = pd.Index(var["acronym"], name=None)
    layers = {"left": np.floor(counts / 2), "right": np.ceil(counts / 2), "volume": volume}
    layers |= {"left_volume": volume / 2, "right_volume": volume / 2}
    return ad.AnnData(counts, obs=pd.DataFrame(obs, index=[f"m{k}" for k in range(n)]), var=var, layers=layers)


def golden() -> ad.AnnData:
    group = np.where(GOLDEN["group"] > 0, "treated", "control")
    return table_of(GOLDEN["counts"], GOLDEN["volume"], group=group, age=GOLDEN["age"])


@pytest.mark.parametrize("name, dispersion", [("poisson", 0.0), ("some", 0.05), ("much", 0.7)])
def test_coefficients_and_errors_are_those_of_statsmodels(name, dispersion):
    table = zs.im.compare_regions(golden(), covariates=["age"], dispersion=dispersion)
    kept = np.isfinite(GOLDEN[f"{name}_coefficient"])
    assert kept.sum() == 58 and table.attrs["coefficients"] == ["mean", "group treated", "age"]
    np.testing.assert_allclose(table["log2_fold_change"][kept] * np.log(2), GOLDEN[f"{name}_coefficient"][kept], rtol=1e-6, atol=1e-9)
    # Errors are scaled by the quasi-dispersion, and at least Poisson's.
    scaled = kept & (table["quasi_dispersion"] >= 1).to_numpy()
    unscaled = table["std_err"] * np.log(2) / np.sqrt(table["quasi_dispersion"])
    assert scaled.sum() > (20 if name != "much" else -1)
    np.testing.assert_allclose(unscaled[scaled], GOLDEN[f"{name}_error"][scaled], rtol=1e-6)


@pytest.mark.parametrize("at", ["estimated", "small"])
def test_tests_are_those_of_edger(at):
    table = zs.im.compare_regions(golden(), covariates=["age"], dispersion=None if at == "estimated" else 0.002)
    expected = {key: GOLDEN[f"edger_{at}_{key}"] for key in ("F", "p", "df", "var", "prior", "coefficient")}
    # A common dispersion found to 1e-4 moves the rest as little.
    rtol = 2e-4 if at == "estimated" else 1e-6
    if at == "estimated":
        np.testing.assert_allclose(table.attrs["dispersion"], GOLDEN["edger_dispersion"], rtol=1e-4)
    np.testing.assert_allclose([table.attrs["prior_df"], table.attrs["prior_variance"]], expected["prior"], rtol=10 * rtol)
    np.testing.assert_allclose(table["quasi_dispersion"], expected["var"], rtol=rtol)
    np.testing.assert_allclose(table["t"] ** 2, expected["F"], rtol=5 * rtol, atol=1e-7)
    np.testing.assert_allclose(table["df"], expected["df"], rtol=10 * rtol)
    np.testing.assert_allclose(np.log(table["p_value"]), np.log(expected["p"]), rtol=10 * rtol, atol=1e-5)
    finite = np.isfinite(table["log2_fold_change"])
    assert list(np.flatnonzero(~finite)) == [20, 21] and table["log2_fold_change"][20] > 0 > table["log2_fold_change"][21]
    np.testing.assert_allclose(table["log2_fold_change"][finite] * np.log(2), expected["coefficient"][finite], rtol=10 * rtol, atol=1e-5)
    assert np.isinf(table["std_err"][20]) and table["ci_low"][20] == -np.inf and table["p_value"][21] < 0.01


def counts_of(rng, mean, group, effect, dispersion=0.08):
    expected = mean * np.exp(np.outer(group, effect))
    return rng.poisson(expected * rng.gamma(1 / dispersion, dispersion, expected.shape))


def test_p_values_are_uniform_where_nothing_differs():
    rng = np.random.default_rng(0)
    p = []
    for _ in range(8):
        mean = np.exp(rng.uniform(np.log(20), np.log(3000), 250))
        counts = counts_of(rng, mean, np.zeros(8), np.zeros(250))
        p.append(zs.im.compare_regions(table_of(counts), list("aaaabbbb"))["p_value"].to_numpy())
    p = np.concatenate(p)
    assert stats.kstest(p, "uniform").pvalue > 1e-3
    assert abs((p < 0.05).mean() - 0.05) < 4 * np.sqrt(0.05 * 0.95 / len(p))


def test_planted_effects_are_found_and_intervals_hold_them():
    rng = np.random.default_rng(1)
    effect = np.zeros(300)
    effect[:40] = rng.choice([-1.0, 1.0], 40) * np.log(3)
    covered, power, false = [], [], []
    for _ in range(5):
        counts = counts_of(rng, np.full(300, 400.0), np.repeat([0, 1], 5), effect)
        table = zs.im.compare_regions(table_of(counts), list("aaaaabbbbb"))
        covered.append(((table["ci_low"] <= effect / np.log(2)) & (effect / np.log(2) <= table["ci_high"])).mean())
        found = table["fdr"] < 0.1
        power.append(found[:40].mean())
        false.append(found[40:].sum() / max(found.sum(), 1))
        assert abs(table.attrs["dispersion"] - 0.08) < 0.02 and table.attrs["finest"] == 300
    assert np.mean(power) > 0.95 and np.mean(false) < 0.14 and abs(np.mean(covered) - 0.95) < 0.02


def slow_corrections(p, parents):
    """By their definitions, top down."""
    n = len(p)
    above = []
    for k in range(n):
        parent = parents[k] - 1
        while parent >= 0 and np.isnan(p[parent]):
            parent = parents[parent] - 1
        above.append(parent)

    def bh(members, p):
        return {
            k: min(p[j] * len(members) / sum(p[i] <= p[j] for i in members) for j in members if p[j] >= p[k]) for k in members
        }

    tested = [k for k in range(n) if not np.isnan(p[k])]
    leaves = [k for k in tested if k not in {above[j] for j in tested}]

    def under(leaf, k):
        while leaf >= 0 and leaf != k:
            leaf = above[leaf]
        return leaf == k

    # A whole counts by itself and by the finest in it, twice the smaller.
    simes, least = p.copy(), p.copy()
    for k in tested:
        below = np.sort([p[leaf] for leaf in leaves if under(leaf, k)])
        if k not in leaves:
            simes[k] = min(1.0, 2 * min(p[k], (below * len(below) / np.arange(1, len(below) + 1)).min()))
            least[k] = min(1.0, 2 * min(p[k], below[0] * len(below)))
    flat, tree, whole = (np.full(n, np.nan) for _ in range(3))
    for k, value in bh(tested, p).items():
        flat[k] = min(value, 1)
    for k in tested:
        own = bh([j for j in tested if above[j] == above[k]], simes)[k]
        tree[k] = max(own, tree[above[k]]) if above[k] >= 0 else own
        share = min(1.0, least[k] * len(leaves) / sum(under(leaf, k) for leaf in leaves))
        whole[k] = max(share, whole[above[k]]) if above[k] >= 0 else share
    return flat, np.minimum(tree, 1), whole


def test_corrections_along_a_tree():
    rng = np.random.default_rng(2)
    for seed in range(6):
        rng = np.random.default_rng(seed)
        n = 40
        parents = [int(rng.integers(0, k + 1)) for k in range(n)]
        own = counts_of(rng, np.exp(rng.uniform(0, 6, n)), np.repeat([0, 1], 4), rng.choice([0.0, 1.0], n)).astype(float)
        for k in range(n - 1, -1, -1):
            if parents[k]:
                own[:, parents[k] - 1] += own[:, k]
        table = zs.im.compare_regions(table_of(own, parents=parents), list("ccccbbbb"), reference="c", min_cells=60)
        p = table["p_value"].to_numpy()
        assert np.isnan(p).any() and (~np.isnan(p)).sum() > 10
        assert np.array_equal(np.isnan(p), own.sum(axis=0) < 60)
        for column, expected in zip(("fdr", "fdr_tree", "fwer_tree"), slow_corrections(p, parents), strict=True):
            np.testing.assert_allclose(table[column], expected, rtol=1e-12)


def test_groups_covariates_offsets_and_sides():
    rng = np.random.default_rng(3)
    group = np.array(list("aabbccab"))
    counts = counts_of(rng, np.full(30, 300.0), group == "b", np.r_[np.ones(5), np.zeros(25)])
    volume = rng.uniform(0.5, 2, counts.shape)
    adata = table_of(counts, volume, group=group, batch=list("xyxyxyxy"), sex=[True, False] * 4)
    table = zs.im.compare_regions(adata, group="b")
    assert (table.attrs["reference"], table.attrs["group"]) == ("a", "b")
    assert table.attrs["coefficients"] == ["mean", "group b", "group c"]
    np.testing.assert_allclose(table["mean_group"], counts[group == "b"].mean(axis=0))
    np.testing.assert_allclose(table["density_reference"], counts[group == "a"].sum(axis=0) / volume[group == "a"].sum(axis=0))
    # The other way round: the sign turns, nothing else.
    turned = zs.im.compare_regions(adata, reference="b", group="a")
    np.testing.assert_allclose(turned["log2_fold_change"], -table["log2_fold_change"], rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(turned["p_value"], table["p_value"], rtol=1e-5)
    # Groups by name, in order, by category.
    for groups in (dict(zip(adata.obs_names, group, strict=True)), list(group)):
        pd.testing.assert_frame_equal(zs.im.compare_regions(adata, groups, group="b"), table)
    adata.obs["group"] = pd.Categorical(group, categories=["b", "a", "c"])
    assert zs.im.compare_regions(adata, group="a").attrs["reference"] == "b"
    with_batch = zs.im.compare_regions(adata, reference="a", group="b", covariates=["batch"])
    assert with_batch.attrs["coefficients"] == ["mean", "group b", "group c", "batch y"]
    # Every volume doubled moves the mean alone; without the offset volumes do not count at all.
    double = adata.copy()
    double.layers["volume"] = volume * 2
    again = zs.im.compare_regions(double, reference="a", group="b")
    np.testing.assert_allclose(again["log2_fold_change"], table["log2_fold_change"], rtol=1e-6, atol=1e-9)
    plain = zs.im.compare_regions(adata, reference="a", group="b", offset=None)
    pd.testing.assert_series_equal(zs.im.compare_regions(double, reference="a", group="b", offset=None)["t"], plain["t"])
    assert not np.allclose(plain["t"], table["t"])
    left = zs.im.compare_regions(adata, reference="a", group="b", side="left")
    np.testing.assert_allclose(left["mean_group"], np.floor(counts / 2)[group == "b"].mean(axis=0))
    for threads in (1, 2, 8):
        pd.testing.assert_frame_equal(zs.im.compare_regions(adata, reference="a", group="b", threads=threads), zs.im.compare_regions(adata, reference="a", group="b"))


def test_shares_of_all_cells():
    rng = np.random.default_rng(4)
    # One animal was stained twice as strongly: cells everywhere, the same shares.
    own = rng.poisson(np.outer([1, 1, 1, 1, 2, 2, 2, 2], rng.uniform(200, 900, 20))).astype(float)
    counts = np.hstack([own.sum(axis=1, keepdims=True), own])
    adata = table_of(counts, parents=[0] + [1] * 20, group=list("aaaabbbb"))
    shares = zs.im.compare_regions(adata, offset="total", dispersion=0.0)
    cells = zs.im.compare_regions(adata, offset=None, dispersion=0.0)
    assert abs(shares["log2_fold_change"][0]) < 1e-9 and shares["p_value"][0] > 0.99
    assert (abs(shares["log2_fold_change"][1:]) < 0.25).all() and (abs(cells["log2_fold_change"] - 1) < 0.25).all()


def test_what_cannot_be_compared_is_named():
    rng = np.random.default_rng(5)
    counts = rng.poisson(50, (6, 4)).astype(float)
    adata = table_of(counts, group=list("aaabbb"), same=list("xxxyyy"), lone=list("xyyyyy"), age=[1.0, 2, 3, 4, 5, np.nan])

    def refused(kind, match, *args, data=adata, **more):
        with pytest.raises(kind, match=match):
            zs.im.compare_regions(data, *args, **more)

    refused(errors.TooFewError, "one in 'a'", list("abbbbb"))
    refused(errors.TooFewError, "at least two, found 1", list("aaaaaa"))
    refused(errors.TooFewError, "sample m0.*alone", covariates=["lone"])
    refused(errors.TooFewError, "more samples than the 4 coefficients", data=adata[:4].copy(), groups=list("aabb"), covariates=["group", "lone"])
    refused(errors.TooFewError, "min_cells", min_cells=1e6)
    refused(errors.DataError, "linear combination", covariates=["same"])
    refused(errors.MissingKeyError, "'nothing'", "nothing")
    refused(errors.MissingKeyError, "'weight'", covariates=["weight"])
    refused(errors.ParameterError, "none for 'm5'", covariates=["age"])
    refused(errors.ParameterError, "none for 'm1'", {"m0": "a"})
    refused(errors.ParameterError, "`reference`.*'z'", reference="z")
    refused(errors.ParameterError, "another group", reference="a", group="a")
    refused(errors.ParameterError, "one of b, c", list("aabbcc"))
    refused(errors.ShapeError, "6 samples", list("aab"))
    refused(errors.ParameterError, "offset", offset="area")
    refused(errors.ParameterError, "side", side="top")
    refused(errors.ParameterError, "dispersion", dispersion=-1.0)
    refused(errors.ParameterError, "coverage", coverage=1.0)
    halved = counts.copy()
    halved[1, 2] += 0.5
    refused(errors.NotCountsError, "structure 2 of sample m1", data=table_of(halved, group=list("aaabbb")))
    refused(errors.DataError, "region_table", data=ad.AnnData(counts))
    # Nothing anywhere in one structure, and one without volume in a sample: not tested, the rest is.
    counts[:, 1] = 0
    volume = np.ones((6, 4))
    volume[2, 3] = 0
    table = zs.im.compare_regions(table_of(counts, volume, group=list("aaabbb")))
    assert list(np.isnan(table["p_value"])) == [False, True, False, True] and np.isnan(table["fdr"][1])


def volumes_of(rng, n, shape=(6, 7, 8), effect=0.0, box=np.s_[1:4, 2:5, 2:6], smooth=0.0):
    out = rng.normal(size=(n, *shape))
    if smooth:
        out = np.stack([ndimage.gaussian_filter(volume, smooth) for volume in out])
        out /= out.std()
    out[(slice(None), *box)] += effect
    return list(out.astype("f4"))


def test_statistics_and_exact_p_values_are_those_of_scipy():
    rng = np.random.default_rng(6)
    a, b = volumes_of(rng, 4, effect=1.0), volumes_of(rng, 5)
    found = zs.im.compare_volumes(a, b)
    welch = stats.ttest_ind(np.asarray(a, "f8"), np.asarray(b, "f8"), equal_var=False)
    np.testing.assert_allclose(np.asarray(found.statistic), welch.statistic, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.asarray(found.difference), np.mean(a, 0) - np.mean(b, 0), atol=1e-6)
    assert found.exact and len(found.largest) == 126
    assert np.isclose(found.largest[0], np.abs(welch.statistic).max(), rtol=1e-5)

    def difference(x, y, axis):
        return x.mean(axis=axis) - y.mean(axis=axis)

    for alternative in ("two-sided", "greater", "less"):
        # scipy doubles the smaller tail; with the absolute difference both tails are one.
        def statistic(x, y, axis):
            value = difference(x, y, axis)
            return np.abs(value) if alternative == "two-sided" else value

        side = "greater" if alternative == "two-sided" else alternative
        expected = stats.permutation_test(
            (np.asarray(a, "f8").reshape(4, -1), np.asarray(b, "f8").reshape(5, -1)), statistic, vectorized=True,
            n_resamples=np.inf, alternative=side, axis=0,
        )  # fmt: skip
        ours = zs.im.compare_volumes(a, b, statistic="difference", alternative=alternative)
        np.testing.assert_allclose(np.asarray(ours.p_value).ravel(), expected.pvalue, atol=1e-6)


def test_maps_are_calibrated_and_find_what_was_planted():
    rng = np.random.default_rng(7)
    p, false = [], 0
    for _ in range(60):
        found = zs.im.compare_volumes(volumes_of(rng, 5, (4, 5, 6)), volumes_of(rng, 5, (4, 5, 6)), n_permutations=200)
        p.append(np.asarray(found.p_value)[::2, ::2, ::2].ravel())
        false += (np.asarray(found.p_corrected) <= 0.05).any()
    p = np.concatenate(p)
    # Multiples of 1/200: compared with the uniform distribution at its steps.
    for level in (0.05, 0.2, 0.5, 0.8):
        assert abs((p <= level).mean() - level) < 4 * np.sqrt(level * (1 - level) / len(p)), level
    assert false <= 10  # of 60, where 3 are expected
    planted = zs.im.compare_volumes(volumes_of(rng, 8, effect=4.0), volumes_of(rng, 8), n_permutations=500)
    corrected = np.asarray(planted.p_corrected)
    box = np.zeros(corrected.shape, bool)
    box[1:4, 2:5, 2:6] = True
    assert (corrected[box] <= 0.05).mean() > 0.8 and (corrected[~box] <= 0.05).mean() < 0.01
    assert "500 random shuffles" in repr(planted)


def test_clusters_are_those_of_scipy():
    rng = np.random.default_rng(8)
    a, b = volumes_of(rng, 6, (9, 10, 11), 2.0, smooth=0.7), volumes_of(rng, 6, (9, 10, 11), smooth=0.7)
    mask = np.ones((9, 10, 11), bool)
    mask[:, 0] = False
    um = (50.0, 25.0, 25.0)
    opened = [[zs.im.open(volume, um) for volume in group] for group in (a, b)]
    found = zs.im.compare_volumes(*opened, mask=mask, control="cluster", threshold=2.5, n_permutations=300)
    t = stats.ttest_ind(np.asarray(a, "f8"), np.asarray(b, "f8"), equal_var=False).statistic
    sizes = []
    for sign in (1, -1):
        labels, n = ndimage.label((sign * t > 2.5) & mask, np.ones((3, 3, 3)))
        sizes += list(np.bincount(labels.ravel())[1:])
    assert sorted(sizes, reverse=True) == list(found.clusters["voxels"])
    assert found.largest[0] == max(sizes) and found.clusters["p_corrected"][0] <= 0.02
    np.testing.assert_allclose(found.clusters["volume_mm3"], found.clusters["voxels"] * 50 * 25 * 25e-9)
    labels = np.asarray(found.labels)
    first = found.clusters.iloc[0]
    place = tuple(np.rint(first[["z", "y", "x"]].to_numpy(float) / um).astype(int))
    assert labels[place] == 1 and np.isclose(t[place], first["peak"], rtol=1e-5)
    for row in found.clusters.itertuples():
        expected = (found.largest >= row.voxels).mean()
        assert np.isclose(row.p_corrected, expected) and np.allclose(np.asarray(found.p_corrected)[labels == row.label], expected)
    assert np.isnan(np.asarray(found.p_corrected)[~mask]).all() and (np.asarray(found.p_corrected)[mask & (labels == 0)] == 1).all()
    assert found.statistic.spacing == um


def test_maps_do_not_depend_on_threads_memory_or_where_they_lie(tmp_path):
    rng = np.random.default_rng(9)
    a, b = volumes_of(rng, 4, (11, 12, 13), 1.0), volumes_of(rng, 4, (11, 12, 13))
    paths = []
    for number, volume in enumerate([*a, *b]):
        paths.append(tmp_path / f"{number}.ome.zarr")
        zs.im.write(volume, paths[-1], spacing=25.0, levels=1)
    one = zs.im.compare_volumes(a, b, n_permutations=40, seed=3, threads=1)
    assert not one.exact
    for more in ({"threads": 2, "memory": 10_000}, {"threads": 8, "memory": "1MB"}):
        two = zs.im.compare_volumes(paths[:4], paths[4:], n_permutations=40, seed=3, **more)
        for name in ("difference", "statistic", "p_value", "p_corrected"):
            np.testing.assert_array_equal(np.asarray(getattr(one, name)), np.asarray(getattr(two, name)))
        np.testing.assert_array_equal(one.largest, two.largest)
        assert two.statistic.spacing == (25.0,) * 3
    other = zs.im.compare_volumes(a, b, n_permutations=40, seed=4)
    assert not np.array_equal(one.largest, other.largest)


def test_volumes_that_cannot_be_compared_are_named():
    rng = np.random.default_rng(10)
    a, b = volumes_of(rng, 2), volumes_of(rng, 2)
    with pytest.warns(UserWarning, match="only 6 ways"):
        zs.im.compare_volumes(a, b)

    def refused(kind, match, *args, **more):
        with warnings.catch_warnings(), pytest.raises(kind, match=match):
            warnings.simplefilter("ignore")
            zs.im.compare_volumes(*args, **more)

    refused(errors.TooFewError, "found 1 and 2", a[:1], b)
    refused(errors.ShapeError, "one shape", a, [b[0], b[1][1:]])
    refused(errors.ShapeError, "one channel", a, [b[0], np.zeros((2, 6, 7, 8), "f4")])
    refused(errors.ShapeError, "mask", a, b, mask=np.ones((6, 7, 9)))
    refused(errors.DataError, "mask", a, b, mask=np.zeros((6, 7, 8)))
    refused(errors.DataError, "one spacing", [zs.im.open(a[0], 25.0), zs.im.open(a[1], 50.0)], b)
    broken = b[1].copy()
    broken[0, 1, 2] = np.nan
    refused(errors.NonFiniteError, r"\[0, 1, 2\] of volume 4", a, [b[0], broken])
    mask = np.ones((6, 7, 8), bool)
    mask[0, 1, 2] = False
    with pytest.warns(UserWarning, match="only 6"):
        zs.im.compare_volumes(a, [b[0], broken], mask=mask)
    refused(errors.ParameterError, "n_permutations", a, b, n_permutations=1)
    refused(errors.ParameterError, "threshold", a, b, control="cluster", threshold=0.0)
    refused(errors.ParameterError, "median", a, b, statistic="median")
