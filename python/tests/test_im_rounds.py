"""Rounds of staining with a known shift, turn and warp; rounds that do not belong together."""

from __future__ import annotations

import numpy as np
import pytest
import zensaibo as zs
from zensaibo import errors

UM = (1.5, 1.0, 1.0)


@pytest.fixture(scope="module")
def organoid():
    return zs.datasets.phantom_organoid(400, radius=40, genes=150, seed=11)


def warped(points, middle, kind):
    """Places of the reference as a later round has them."""
    away = points - middle
    if kind == "turn":
        a = np.deg2rad(9.0)
        away = away @ np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]]).T
    if kind == "warp":
        away = away + 1.5 * np.sin(away[:, [1, 2, 0]] / 18)
    return away + middle + {"shift": [7.5, -11.0, 6.0], "turn": [3.0, 4.0, -5.0], "warp": [-4.5, 6.0, 3.0]}[kind]


def seen(organoid, places, seed, lost=0.1):
    """A round: nuclei drawn at places, some lost, with noise."""
    from zensaibo.datasets._organoid import _drawn

    rng = np.random.default_rng(seed)
    keep = rng.uniform(0, 1, len(places)) >= lost
    shape = np.array(organoid.nuclei.shape) + [14, 20, 20]
    inside = ((places > 8) & (places < (shape - 1) * np.array(UM) - 8)).all(axis=1)
    keep &= inside
    across = organoid.truth.obs["diameter"].to_numpy()
    _, light = _drawn(places[keep], across[keep], rng.lognormal(0, 0.15, (1, keep.sum())), shape, np.array(UM))
    blurred = zs.im.gaussian(light[0], sigma=(1.4, 0.6, 0.6), spacing=UM, progress=False)
    return (np.clip(100 + 600 * blurred + rng.normal(0, 15, shape), 0, 65535)).astype(np.uint16), np.flatnonzero(keep)


@pytest.mark.parametrize("kind", ["shift", "turn", "warp"])
def test_a_known_change_comes_back(organoid, kind):
    truth = organoid.truth.obs[["z", "y", "x"]].to_numpy() + [10.0, 10, 10]
    moved = warped(truth, truth.mean(axis=0), kind)
    first, _ = seen(organoid, truth, 1)
    second, kept = seen(organoid, moved, 2)
    found = zs.im.register_rounds([first, second], diameter=6.5, spacing=UM)
    row = found.report.iloc[1]
    assert row["trustworthy"] and row["matched_fraction"] > 0.8 and row["false_match_rate"] < 0.1
    assert row["residual_median"] < 1.0 and row["residual_95"] < 2.5
    back = found.transforms[1].transform_points(moved[kept])
    assert np.median(np.linalg.norm(back - truth[kept], axis=1)) < 0.8
    if kind == "shift":
        assert row[["shift_z", "shift_y", "shift_x"]].to_numpy(float) == pytest.approx([-7.5, 11, -6], abs=1.5)
        image = found.warp(1, second)
        inside = image > 250
        assert np.corrcoef(image[inside], first[inside])[0, 1] > 0.6 > np.corrcoef(second[inside], first[inside])[0, 1] + 0.3
    assert found.report.loc[0, "start"] == "reference" and found.transforms[0].is_linear
    assert found.pairs[1].shape == (row["matched"], 2)


def test_points_alone_and_several_rounds_in_any_number_of_threads(organoid):
    truth = organoid.truth.obs[["z", "y", "x"]].to_numpy() + [10.0, 10, 10]
    later = warped(truth, truth.mean(axis=0), "shift")
    images = [seen(organoid, places, seed)[0] for seed, places in enumerate((later, truth))]
    results = []
    for threads in (1, 2):
        found = zs.im.register_rounds(images, nuclei=[later, truth], spacing=UM, reference=1, affine=False, deform="affine", threads=threads)
        assert found.report["start"].tolist() == ["shift", "reference"] and found.reference == 1
        results.append((found.transforms[0].matrix.tobytes(), found.pairs[0].tobytes()))
        np.testing.assert_allclose(found.transforms[0].matrix[:3, 3], [-7.5, 11, -6], atol=0.05)
    assert results[0] == results[1]


def test_rounds_of_other_samples_are_refused(organoid):
    truth = organoid.truth.obs[["z", "y", "x"]].to_numpy() + [10.0, 10, 10]
    other = zs.datasets.phantom_organoid(400, radius=40, genes=150, seed=12)
    stranger = other.truth.obs[["z", "y", "x"]].to_numpy() + [10.0, 10, 10]
    images = [seen(organoid, truth, 1)[0], seen(other, stranger, 2)[0]]
    with pytest.raises(errors.NotTrustworthyError, match="round 1"):
        zs.im.register_rounds(images, diameter=6.5, spacing=UM)
    found = zs.im.register_rounds(images, diameter=6.5, spacing=UM, trust=True)
    assert not found.report.loc[1, "trustworthy"] and found.report.loc[1, "faults"]


def test_bad_input_is_refused():
    image = np.random.default_rng(0).integers(0, 9, (6, 20, 20)).astype(np.uint16)
    with pytest.raises(errors.ParameterError, match="at least two"):
        zs.im.register_rounds([image], diameter=5, spacing=1)
    with pytest.raises(errors.ParameterError, match="spacing"):
        zs.im.register_rounds([image, image], diameter=5)
    with pytest.raises(errors.ParameterError, match="diameter"):
        zs.im.register_rounds([image, image], spacing=1)
    with pytest.raises(errors.ShapeError, match="2 rounds"):
        zs.im.register_rounds([image, image], nuclei=[np.zeros((20, 3))], spacing=1)
    with pytest.raises(errors.TooFewError, match="round 0"):
        zs.im.register_rounds([image, image], nuclei=[np.zeros((3, 3)), np.zeros((20, 3))], spacing=1)
    with pytest.raises(errors.ParameterError, match="reference"):
        zs.im.register_rounds([image, image], diameter=5, spacing=1, reference=2)
