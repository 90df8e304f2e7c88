"""Registration of a real brain: parts of it, turned in every way, with torn tissue; landmarks and channels."""

from __future__ import annotations

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

import zensaibo as zs
from conftest import data_path
from test_im_register import FIXED, INNER, SHAPE, UM, grid, organ
from zensaibo import errors

#: Micrometres of the reduced brain, and a search that ends at 200 um.
BRAIN_UM = (100.0, 80.0, 80.0)
QUICK = {"finest": 200, "iterations": (60, 60, 30)}


@pytest.fixture(scope="module")
def brain() -> np.ndarray:
    whole = np.asarray(zs.im.open(data_path("brainreg_mouse_brain/brain_z50_y40_x40um.tif"))).astype("f4")
    return np.ascontiguousarray(ndimage.gaussian_filter(whole, 0.8)[::2, ::2, ::2])


@pytest.fixture(scope="module")
def template() -> zs.im.Volume:
    return zs.im.open(data_path("allen_ccf_mouse_atlas/average_template_100.nii.gz"))


@pytest.fixture(scope="module")
def places() -> np.ndarray:
    """Places of the atlas in annotated tissue."""
    annotation = np.asarray(zs.im.open(data_path("allen_ccf_mouse_atlas/annotation_100.nii.gz")))
    voxels = np.argwhere(annotation > 0)
    return 100.0 * voxels[np.random.default_rng(0).choice(len(voxels), 5000, replace=False)]


def registered(sample, template, **options):
    options = {"moving_spacing": BRAIN_UM, "moving_orientation": "psl", **QUICK, **options}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return zs.im.register(sample, template, **options)


@pytest.fixture(scope="module")
def whole(brain, template) -> zs.im.Registration:
    return registered(brain, template)


def middle(brain: np.ndarray) -> tuple[int, int, int]:
    return tuple(round(c) for c in ndimage.center_of_mass(brain > 30))


def cut(brain: np.ndarray, part: str) -> tuple[np.ndarray, np.ndarray]:
    """A part of the brain, and where its first voxel lies in the whole."""
    z, _, x = middle(brain)
    cuts = {
        "left half": (np.s_[:, :, :x], (0, 0, 0)),
        "right half": (np.s_[:, :, x:], (0, 0, x)),
        "posterior half": (np.s_[:z], (0, 0, 0)),
        "anterior half": (np.s_[z:], (z, 0, 0)),
    }
    if part in cuts:
        slices, first = cuts[part]
        return np.ascontiguousarray(brain[slices]), np.array(first) * BRAIN_UM
    torn = brain.copy()
    gone = {
        "cerebellum missing": np.s_[: int(0.45 * z)],
        "a lobe missing": np.s_[z + 8 :, :, x + 4 :],
        "right half missing": np.s_[:, :, x:],
    }
    torn[gone[part]] = np.median(brain[:, :3])
    return torn, np.zeros(3)


def far_from(whole, found, sample, first, places) -> np.ndarray:
    """Micrometres between where two maps take the places of the atlas that the part shows."""
    there = whole.transform_points(places, inverse=True)
    voxels = (there - first) / BRAIN_UM
    inside = ((voxels >= 0) & (voxels <= np.array(sample.shape) - 1)).all(axis=1)
    inside &= ndimage.map_coordinates(sample, voxels.T, order=1) > 30
    assert inside.sum() > 1000
    return np.linalg.norm(found.transform_points(places[inside], inverse=True) + first - there[inside], axis=1)


@pytest.mark.parametrize(
    "part",
    ["left half", "right half", "posterior half", "anterior half", "cerebellum missing"],
)
def test_parts_find_their_place(brain, template, whole, places, part):
    sample, first = cut(brain, part)
    found = registered(sample, template, partial=True)
    far = far_from(whole, found, sample, first, places)
    assert np.median(far) < 200, f"{part}: {np.median(far):.0f} um"
    assert found.report()["turn"] == 0 and found.report()["folds"] == 0


@pytest.mark.parametrize("part", ["a lobe missing", "right half missing"])
def test_torn_parts_lie_right_where_there_is_tissue(brain, template, whole, places, part):
    sample, first = cut(brain, part)
    found = registered(sample, template, partial=True)
    assert np.median(far_from(whole, found, sample, first, places)) < 200
    table = found.suspicious_regions()
    assert table.loc[table["reason"] == "missing", "volume_mm3"].sum() > 5


def test_a_planted_hole_is_told(brain, template, whole):
    z, y, x = middle(brain)
    hole = np.array([z + 10, y, x + 25]) * BRAIN_UM
    far = np.linalg.norm(np.indices(brain.shape).reshape(3, -1).T * BRAIN_UM - hole, axis=1).reshape(brain.shape)
    dark = np.where(far < 700, np.median(brain[:, :3]), brain)
    table = registered(dark, template, finest=100).suspicious_regions()
    place = whole.transform_points(hole[None])[0]
    near = table[np.linalg.norm(table[["z", "y", "x"]] - place, axis=1) < 600].set_index("reason")
    assert 0.3 < near.loc["missing", "volume_mm3"] < 3
    assert "missing" not in list(whole.suspicious_regions()["reason"])


def test_every_turn_is_found(brain, template, places):
    """All 24 ways to store the brain, each with a header that claims the first."""
    small = np.ascontiguousarray(ndimage.zoom(ndimage.gaussian_filter(brain, 2), (0.25, 0.2, 0.2), order=1))
    um = np.array(BRAIN_UM) * brain.shape / small.shape
    options = {"deform": False, "finest": 400, "moving_orientation": "psl"}
    right = registered(small, template, moving_spacing=tuple(um), **options)
    assert right.report()["turn"] == 0
    there = right.transform_points(places[:500], inverse=True)
    length = (np.array(small.shape) - 1) * um
    found = set()
    for order in itertools.permutations(range(3)):
        for flips in itertools.product((False, True), repeat=3):
            turn = np.zeros((3, 3))
            turn[range(3), order] = np.where(flips, -1, 1)
            if np.linalg.det(turn) < 0:
                continue
            stored = np.ascontiguousarray(np.flip(small.transpose(order), [axis for axis in range(3) if flips[axis]]))
            other = registered(stored, template, moving_spacing=tuple(um[list(order)]), **options)
            should = there[:, order]
            should = np.where(flips, length[list(order)] - should, should)
            far = np.linalg.norm(other.transform_points(places[:500], inverse=True) - should, axis=1)
            assert np.median(far) < 100, (order, flips, np.median(far), other.report()["warnings"])
            found.add(other.report()["turn"])
    assert len(found) == 24


def test_suspicious_regions_have_names(whole):
    table = whole.suspicious_regions()
    assert list(table.columns) == ["z", "y", "x", "volume_mm3", "reason", "value"] and len(table) == len(whole.report()["suspicious"])
    assert len(table) and (np.diff(table["volume_mm3"]) <= 0).all()
    assert set(table["reason"]) <= {"unlike", "stretched", "pressed"}
    folder = data_path("allen_ccf_mouse_atlas")
    atlas = zs.im.load_atlas(
        annotation=folder / "annotation_100.nii.gz", structures=folder / "structure_tree_safe_2017.csv", orientation="rsa"
    )
    named = whole.suspicious_regions(atlas)
    pd.testing.assert_frame_equal(named[table.columns], table)
    assert named["acronym"].isin({"", *atlas.structures["acronym"]}).all()
    # What lies in an annotated voxel has its name.
    voxels = np.rint(table[["z", "y", "x"]].to_numpy() / 100).astype(int)
    annotated = atlas.annotation[tuple(voxels.T)] > 0
    assert ((named["acronym"] != "") == annotated).all()


def test_landmarks_lead_and_are_measured():
    matrix = np.array([[1.05, 0.08, -0.02], [-0.07, 0.96, 0.05], [0.03, -0.05, 1.02]])
    there = INNER[:8] @ matrix.T + [60.0, -50.0, 30.0]
    noise = np.random.default_rng(0).random(tuple(2 * n for n in SHAPE)).astype("f4")
    options = {"moving_spacing": UM / 2, "fixed_spacing": UM, "deform": False, "trust": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = zs.im.register(noise, FIXED, landmarks=(there, INNER[:8]), landmark_weight=50, **options)
    # The sample is finer and was resampled: its landmarks went with it.
    missed = np.linalg.norm(found.transform_points(INNER[:8], inverse=True) - there, axis=1)
    np.testing.assert_allclose(found.report()["landmark_errors"], missed, atol=1e-6)
    assert missed.max() < UM / 2
    # One pair that is none is told.
    wrong = INNER[:8].copy()
    wrong[3] += 500
    with pytest.warns(UserWarning, match="landmark 3 is missed"):
        found = zs.im.register(
            FIXED, FIXED, landmarks=(wrong, INNER[:8]), landmark_weight=0, deform=False, moving_spacing=UM, fixed_spacing=UM
        )
    assert np.argmax(found.report()["landmark_errors"]) == 3
    for bad in ((there, INNER[:7]), (there[:, :2], INNER[:8, :2])):
        with pytest.raises(errors.ShapeError, match="landmarks"):
            zs.im.register(FIXED, FIXED, landmarks=bad, moving_spacing=UM, fixed_spacing=UM)
    with pytest.raises(errors.ParameterError, match="landmarks"):
        zs.im.register(FIXED, FIXED, landmarks=5, moving_spacing=UM, fixed_spacing=UM)
    with pytest.raises(errors.NonFiniteError, match="landmarks"):
        zs.im.register(FIXED, FIXED, landmarks=(there * np.nan, INNER[:8]), moving_spacing=UM, fixed_spacing=UM)


def test_channels_of_lists_and_axes():
    shift = np.array([60.0, -50.0, 30.0])
    moving = organ(grid(SHAPE, (UM,) * 3) - shift)
    rng = np.random.default_rng(0)
    noise = [rng.random(SHAPE).astype("f4") for _ in range(2)]
    options = {"moving_spacing": UM, "fixed_spacing": UM, "deform": False, "try_orientations": False, "trust": True}
    seeing = {**options, "channel_weights": (0.02, 1)}
    stacked = zs.im.register(np.stack([noise[0], moving]), np.stack([noise[1], FIXED]), **seeing)
    listed = zs.im.register([noise[0], moving], [noise[1], FIXED], **seeing)
    np.testing.assert_array_equal(stacked.affine, listed.affine)
    far = np.linalg.norm(stacked.transform_points(INNER, inverse=True) - INNER - shift, axis=1)
    assert np.median(far) < 0.2 * UM
    blind = zs.im.register([noise[0], moving], [noise[1], FIXED], channel_weights=(1, 0), **options)
    far = np.linalg.norm(blind.transform_points(INNER, inverse=True) - INNER - shift, axis=1)
    assert np.median(far) > 0.5 * UM
    # Channels of a crop keep its place; one channel taken by its number is an image.
    pair = zs.im.open(np.stack([noise[0], moving]), spacing=UM)
    crop = zs.im.register(pair[:, 3:, 2:, 1:], np.stack([noise[1], FIXED]), **seeing)
    far = np.linalg.norm(crop.transform_points(INNER, inverse=True) - INNER - shift, axis=1)
    assert np.median(far) < 0.5 * UM
    alone = zs.im.register(zs.im.open(pair, channel=1), FIXED, mask=zs.im.open(pair, channel=1), **options)
    far = np.linalg.norm(alone.transform_points(INNER, inverse=True) - INNER - shift, axis=1)
    assert np.median(far) < 0.2 * UM
    with pytest.raises(errors.ParameterError, match="mask: expected one channel"):
        zs.im.register(moving, FIXED, mask=pair, **options)
    with pytest.raises(errors.ShapeError, match="channels"):
        zs.im.register([moving], [noise[1], FIXED], **options)
    with pytest.raises(errors.ShapeError, match="one shape"):
        zs.im.register([moving, moving[1:]], [noise[1], FIXED], **options)
    with pytest.raises(errors.ParameterError, match="channel_weights"):
        zs.im.register(moving, FIXED, channel_weights=(1, 2), **options)
    with pytest.raises(errors.ParameterError, match="empty list"):
        zs.im.register([], FIXED, **options)
