"""Shading: found behind tissue and cells on images with known truth, taken away."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import zensaibo as zs
from zensaibo.errors import DataError, NonFiniteError, ParameterError, ShapeError, TooFewError

SIZE = (90, 110)


def vignette(seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[: SIZE[0], : SIZE[1]] / np.array(SIZE)[:, None, None] - np.array([0.55, 0.4 + 0.1 * seed])[:, None, None]
    field = np.exp(-(y**2 + x**2) / 0.6)
    return field / field.mean()


def tiles(count: int = 50, cells: int = 15, dark: float = 0.0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Images (uint16) of uneven tissue with bright cells behind the vignette, and the light without it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE[0], : SIZE[1]]
    light = []
    for _ in range(count):
        slopes = rng.uniform(-0.2, 0.2, 2)
        picture = rng.uniform(100, 500) * (1 + slopes[0] * (y / SIZE[0] - 0.5) + slopes[1] * (x / SIZE[1] - 0.5))
        for point in rng.uniform(0, SIZE, (cells, 2)):
            picture[(y - point[0]) ** 2 + (x - point[1]) ** 2 < 12] += 3000
        light.append(picture)
    light = np.array(light)
    images = light * vignette(seed) + dark + rng.normal(0, 4, light.shape)
    return images.round().clip(0, 65535).astype(np.uint16), light


@pytest.fixture(scope="module")
def sample() -> tuple[np.ndarray, np.ndarray]:
    return tiles()


def test_known_shading_is_found_and_taken_away(sample):
    images, light = sample
    found = zs.im.estimate_flatfield(images)
    assert found.flatfield.shape == SIZE and found.flatfield.dtype == np.float32
    assert found.baseline.shape == (50,) and found.saturated == (0,)
    far = found.flatfield - vignette()
    assert np.sqrt((far**2).mean()) < 0.014 and np.abs(far).max() < 0.06
    assert not found.darkfield.any()
    # A mean image, which cells reach, is further off.
    mean = images.mean(0) / images.mean()
    assert np.abs(far).mean() < 0.5 * np.abs(mean - vignette()).mean()
    clean = zs.im.apply_flatfield(images, found)
    ground = light < 1000
    assert np.median(np.abs(clean - light)[ground] / light[ground]) < 0.02
    assert np.corrcoef(found.baseline, np.median(light, (1, 2)))[0, 1] > 0.999
    np.testing.assert_allclose(clean, images / found.flatfield, rtol=1e-5)


def test_agrees_with_the_reference_implementation(sample):
    """basicpy on the same images (golden/flatfield): the tissue of 50 images leaves it an error of 0.0107, us one of 0.0137."""
    theirs = np.load(Path(__file__).parent / "golden" / "flatfield" / "flatfield.npy")
    ours = zs.im.estimate_flatfield(sample[0]).flatfield
    assert np.abs(ours - theirs).mean() < 0.008

    def error(field: np.ndarray) -> float:
        return float(np.sqrt(((field - vignette()) ** 2).mean()))

    assert error(theirs) == pytest.approx(0.0107, abs=1e-4)
    assert error(ours) < 0.015


def test_a_dark_field_is_found_or_given():
    images, _ = tiles(80, 5, 120.0, seed=1)
    found = zs.im.estimate_flatfield(images, darkfield=True)
    assert abs(found.darkfield.mean() - 120) < 8
    assert np.abs(found.flatfield - vignette(1)).mean() < 0.02
    given = zs.im.estimate_flatfield(images, offset=120.0)
    assert (given.darkfield == 120).all()
    assert np.abs(given.flatfield - vignette(1)).mean() < 0.015


def test_channels_time_lists_and_threads(sample):
    images, _ = sample
    other, _ = tiles(50, 5, seed=1)
    both = np.stack([images, other])
    found = zs.im.estimate_flatfield(both, threads=2)
    assert found.flatfield.shape == (2, *SIZE) and len(found.baseline) == 2 and found.saturated == (0, 0)
    alone = [zs.im.estimate_flatfield(one, threads=1) for one in (images, other)]
    for at, one in enumerate(alone):
        np.testing.assert_array_equal(found.flatfield[at], one.flatfield)
    # The same planes as one volume, as tiles, as time points.
    parts = zs.im.estimate_flatfield([images[:20], images[20:]], threads=8)
    np.testing.assert_array_equal(parts.flatfield, alone[0].flatfield)
    times = zs.im.estimate_flatfield(images[:, None, None])
    np.testing.assert_array_equal(times.flatfield[0], alone[0].flatfield)
    clean = zs.im.apply_flatfield(both, found, threads=1)
    for at in range(2):
        np.testing.assert_allclose(clean[at], both[at] / found.flatfield[at], rtol=1e-5)
    np.testing.assert_array_equal(zs.im.apply_flatfield(both, found, memory="2MiB", threads=8), clean)
    rounded = zs.im.apply_flatfield(both, found.flatfield, 10.0, dtype=np.uint8)
    expected = ((both - np.float32(10)) / found.flatfield[:, None]).round().clip(0, 255)
    assert (np.abs(rounded.astype(float) - expected) <= 1).all() and (rounded != expected).mean() < 1e-3


def test_fewer_images_are_looked_at(sample):
    images, _ = sample
    found = zs.im.estimate_flatfield(images, max_images=20, working_size=32)
    assert len(found.baseline) == 20
    assert np.abs(found.flatfield - vignette()).mean() < 0.03


def test_what_cannot_be_told_is_refused(sample):
    images, _ = sample
    with pytest.raises(TooFewError, match="at least 3"):
        zs.im.estimate_flatfield(images[:2])
    with pytest.raises(TooFewError, match="not saturated"):
        zs.im.estimate_flatfield(np.full((5, 20, 20), 65535, np.uint16))
    with pytest.raises(DataError, match="light"):
        zs.im.estimate_flatfield(np.zeros((5, 20, 20), np.uint16))
    with pytest.raises(DataError, match="1 %"):
        zs.im.estimate_flatfield(np.full((5, 20, 20), 7, np.uint16), darkfield=True)
    constant = zs.im.estimate_flatfield(np.full((5, 20, 20), 7, np.uint16))
    np.testing.assert_allclose(constant.flatfield, 1, atol=1e-6)
    broken = images.astype(np.float32)
    broken[3, 4, 5] = np.nan
    with pytest.raises(NonFiniteError, match="plane 3"):
        zs.im.estimate_flatfield(broken)
    with pytest.raises(ParameterError, match="working_size"):
        zs.im.estimate_flatfield(images, working_size=2)
    with pytest.raises(ParameterError, match="smoothness"):
        zs.im.estimate_flatfield(images, smoothness=-1)
    with pytest.raises(ShapeError, match="tile"):
        zs.im.estimate_flatfield([images, images[:, :-1]])
    flat = np.ones(SIZE)
    with pytest.raises(ShapeError, match="90 x 110"):
        zs.im.apply_flatfield(images, flat[:-1])
    with pytest.raises(ShapeError, match="as the flat-field"):
        zs.im.apply_flatfield(images, flat, flat[:-1])
    with pytest.raises(ShapeError, match="axes"):
        zs.im.apply_flatfield(images, flat[0])
    with pytest.raises(DataError, match="above 0"):
        zs.im.apply_flatfield(images, 0 * flat)
    with pytest.raises(NonFiniteError, match="NaN"):
        zs.im.apply_flatfield(broken, flat, dtype=np.uint16)
