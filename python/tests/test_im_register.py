"""Registration: planted maps come back, both ways and whatever the threads; doubt is said aloud; a real brain."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scipy import ndimage

import zensaibo as zs
from conftest import data_path
from zensaibo import errors

UM = 40.0


def organ(places: np.ndarray) -> np.ndarray:
    """An egg, heavier at one end, with blobs in it, at (..., 3) places in micrometres."""
    rng = np.random.default_rng(5)
    place = places - np.array([700.0, 900.0, 800.0])
    inside = np.sqrt((place / np.array([600.0, 800.0, 680.0]))**2 @ np.ones(3))
    value = (1 + 0.4 * places[..., 1] / 1800 + 0.2 * places[..., 0] / 1400) / (1 + np.exp(12 * (inside - 1)))
    for _ in range(50):
        centre = np.array([1400.0, 1800.0, 1600.0]) * (0.2 + 0.6 * rng.random(3))
        value = value + (0.3 + rng.random()) * np.exp(-0.5 * ((places - centre) ** 2).sum(-1) / (50 + 90 * rng.random()) ** 2)
    return (100 * value).astype(np.float32)


def grid(shape: tuple[int, ...], um: tuple[float, ...]) -> np.ndarray:
    return np.moveaxis(np.indices(shape), 0, -1) * np.array(um)


SHAPE = (35, 45, 40)
FIXED = organ(grid(SHAPE, (UM,) * 3))
#: From the fixed volume to the moving one: y = MATRIX (x - CENTRE) + GOAL.
MATRIX = np.array([[1.05, 0.08, -0.02], [-0.07, 0.96, 0.05], [0.03, -0.05, 1.02]])
CENTRE, GOAL = np.array([700.0, 900.0, 800.0]), np.array([760.0, 850.0, 830.0])
INNER = np.array([1400.0, 1800.0, 1600.0]) * (0.3 + 0.4 * np.random.default_rng(1).random((300, 3)))


def moved(points: np.ndarray) -> np.ndarray:
    return (points - CENTRE) @ MATRIX.T + GOAL


@pytest.fixture(scope="module")
def sample() -> np.ndarray:
    """Finer than the fixed volume, with voxels longer along z."""
    places = grid((40, 92, 84), (40.0, 20.0, 20.0))
    return organ((places - GOAL) @ np.linalg.inv(MATRIX).T + CENTRE)


def found(sample: np.ndarray, **options) -> zs.im.Registration:
    return zs.im.register(sample, FIXED, moving_spacing=(40, 20, 20), fixed_spacing=UM, deform=False, **options)


def test_a_planted_map_comes_back(sample):
    registration = found(sample)
    there = registration.transform_points(INNER, inverse=True)
    assert np.median(np.linalg.norm(there - moved(INNER), axis=1)) < 0.1 * UM
    np.testing.assert_allclose(registration.transform_points(there), INNER, atol=1e-6)
    report = registration.report()
    assert report["turn"] == 0 and not report["faults"] and not report["warnings"]
    # The whole sample, at its own spacing, on the fixed grid.
    seen = registration.warp_image(sample)
    assert seen.shape == SHAPE and np.corrcoef(seen.ravel(), FIXED.ravel())[0, 1] > 0.999
    back = registration.warp_image(FIXED, inverse=True)
    assert back.shape == sample.shape and np.corrcoef(back.ravel(), sample.ravel())[0, 1] > 0.99


def test_deformations_come_back_with_the_same_bits(sample):
    def bend(p):
        return p + np.stack([45 * np.sin(p[..., 1] / 300), 40 * np.sin(p[..., 2] / 260 + 1), 35 * np.cos(p[..., 0] / 240)], -1)

    places = grid(SHAPE, (UM,) * 3)
    origin = places.copy()
    for _ in range(40):
        origin = origin + places - bend(origin)
    moving = organ(origin)
    runs = [zs.im.register(moving, FIXED, moving_spacing=UM, fixed_spacing=UM, iterations=(40, 40, 20), threads=n) for n in (1, 8)]
    there = runs[0].transform_points(INNER, inverse=True)
    assert np.median(np.linalg.norm(there - bend(INNER), axis=1)) < 0.2 * UM
    assert runs[0].report()["folds"] == 0 and runs[0].jacobian().min() > 0
    np.testing.assert_array_equal(runs[0].displacements, runs[1].displacements)
    np.testing.assert_array_equal(runs[0].affine, runs[1].affine)


def test_what_was_found_is_saved(sample, tmp_path):
    registration = found(sample)
    registration.save(tmp_path / "map")
    loaded = zs.im.load_registration(tmp_path / "map")
    np.testing.assert_array_equal(loaded.transform_points(INNER), registration.transform_points(INNER))
    assert loaded.report() == registration.report() and loaded.report()["correlation"] > 0.9


def test_labels_of_any_number_travel(sample):
    registration = found(sample)
    labels = np.zeros(SHAPE, dtype=np.uint64)
    labels[10:25, 10:35, 10:30] = 2**40 + 1
    labels[12:20, 15:25, 12:22] = 484682512
    there = registration.warp_labels(labels)
    assert there.shape == sample.shape and there.dtype == np.uint64 and set(np.unique(there)) == set(np.unique(labels))
    volume = np.count_nonzero(there == 484682512) * 40 * 20 * 20 / (np.count_nonzero(labels == 484682512) * UM**3)
    assert abs(volume - np.linalg.det(MATRIX)) < 0.05
    np.testing.assert_allclose(registration.jacobian().mean(), np.linalg.det(MATRIX), rtol=0.03)


def test_wrong_headers_are_contradicted_aloud():
    turned = np.ascontiguousarray(FIXED[::-1, ::-1])
    with pytest.warns(UserWarning, match="against what its orientation says"):
        registration = zs.im.register(
            turned, FIXED, moving_spacing=UM, fixed_spacing=UM, moving_orientation="asr", fixed_orientation="asr", deform=False
        )
    there = registration.transform_points(INNER, inverse=True)
    expected = (np.array(SHAPE) - 1) * UM * [1, 1, 0] + INNER * [-1, -1, 1]
    assert np.median(np.linalg.norm(there - expected, axis=1)) < 0.1 * UM
    # The header that tells the truth: nothing to warn of.
    right = zs.im.register(
        turned, FIXED, moving_spacing=UM, fixed_spacing=UM, moving_orientation="pir", fixed_orientation="asr", deform=False
    )
    assert right.report()["turn"] == 0


def test_what_fits_nothing_is_refused_with_reasons():
    noise = np.random.default_rng(0).random(SHAPE).astype("f4")
    with warnings.catch_warnings(), pytest.raises(errors.NotTrustworthyError, match="hardly alike"):
        warnings.simplefilter("ignore")
        zs.im.register(noise, FIXED, moving_spacing=UM, fixed_spacing=UM, deform=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kept = zs.im.register(noise, FIXED, moving_spacing=UM, fixed_spacing=UM, deform=False, trust=True)
    assert kept.report()["faults"] and "NOT trustworthy" in repr(kept)


def test_bad_input(sample):
    with pytest.raises(errors.DataError, match="structure"):
        zs.im.register(np.ones(SHAPE, "f4"), FIXED, moving_spacing=UM, fixed_spacing=UM)
    with pytest.raises(errors.ParameterError, match="moving_spacing"):
        zs.im.register(sample, FIXED, fixed_spacing=UM)
    with pytest.raises(errors.ParameterError, match="axes"):
        zs.im.register(np.ones((2, 1, *SHAPE), "f4"), FIXED, moving_spacing=UM, fixed_spacing=UM)
    with pytest.raises(errors.EmptyDataError, match="mask of moving"):
        zs.im.register(FIXED, FIXED, moving_spacing=UM, fixed_spacing=UM, mask=np.zeros(SHAPE))
    with pytest.raises(errors.ShapeError, match="fixed_mask"):
        zs.im.register(FIXED, FIXED, moving_spacing=UM, fixed_spacing=UM, fixed_mask=np.ones((3, 3, 3)))
    with pytest.raises(errors.ParameterError, match="step"):
        zs.im.register(FIXED, FIXED, moving_spacing=UM, fixed_spacing=UM, step=2.0)
    with pytest.raises(errors.ParameterError, match="orientation"):
        zs.im.register(FIXED, FIXED, moving_spacing=UM, fixed_spacing=UM, moving_orientation="xyz")
    broken = FIXED.copy()
    broken[3, 4, 5] = np.nan
    with pytest.raises(errors.NonFiniteError, match="moving volume"):
        zs.im.register(broken, FIXED, moving_spacing=UM, fixed_spacing=UM)
    registration = found(sample)
    with pytest.raises(errors.ShapeError, match="points"):
        registration.transform_points(np.zeros((4, 2)))
    with pytest.raises(errors.ParameterError, match="whole numbers"):
        registration.warp_labels(FIXED)
    outside = registration.transform_points([[-1e6, 0, 0], [np.nan, 0, 0]])
    assert np.isfinite(outside[0]).all() and outside[0, 0] < -1e5 and np.isnan(outside[1]).all()


def test_a_real_brain_finds_its_atlas():
    brain = data_path("brainreg_mouse_brain/brain_z50_y40_x40um.tif")
    folder = data_path("allen_ccf_mouse_atlas")
    template = zs.im.open(folder / "average_template_100.nii.gz")
    annotation = np.asarray(zs.im.open(folder / "annotation_100.nii.gz"))
    affine = zs.im.register(
        brain, template, moving_spacing=(50, 40, 40), moving_orientation="psl", finest=200, deform=False
    )
    registration = zs.im.register(
        brain, template, moving_spacing=(50, 40, 40), moving_orientation="psl", finest=200, iterations=(60, 60, 30)
    )
    inside = annotation > 0
    sample = np.asarray(zs.im.open(brain)).astype("f4")

    def alike(found):
        return np.corrcoef(found.warp_image(sample)[inside], np.asarray(template)[inside])[0, 1]

    report = registration.report()
    assert report["turn"] == 0 and report["folds"] == 0 and report["overlap"] > 0.9
    assert alike(registration) > alike(affine) + 0.03
    assert report["local_after"] > report["local_before"] + 0.1
    # The edges of the warped brain lie where the template has them.
    edges = [ndimage.gaussian_gradient_magnitude(image, 1.5) for image in (registration.warp_image(sample), np.asarray(template, "f4"))]
    assert np.corrcoef(edges[0].ravel(), edges[1].ravel())[0, 1] > 0.5


def test_crops_keep_their_places(sample):
    """Cells of a crop count from the origin of the whole, and so do the points of its registration."""
    um = (40.0, 20.0, 20.0)
    crop = zs.im.open(sample, um)[2:, 3:, 1:]
    assert crop.origin == (80.0, 60.0, 20.0)
    own, found_ = found(np.asarray(crop)), zs.im.register(crop, FIXED, fixed_spacing=UM, deform=False)
    np.testing.assert_allclose(found_.transform_points(INNER), own.transform_points(INNER - crop.origin), atol=1e-6)
    there = found_.transform_points(INNER)
    np.testing.assert_allclose(found_.transform_points(there, inverse=True), INNER, atol=1e-4)
    np.testing.assert_allclose(found_.warp_image(np.asarray(crop)), own.warp_image(np.asarray(crop)), atol=1e-3)
    whole = found(sample)
    assert np.median(np.linalg.norm(found_.transform_points(INNER) - whole.transform_points(INNER), axis=1)) < 0.25 * UM
