"""Filters beside scipy.ndimage and scikit-image, on the same arrays."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage as ndi

import zensaibo as zs
from zensaibo.errors import DataError, NonFiniteError, ParameterError, ShapeError

RANDOM = np.random.default_rng(0)
ARRAYS = {
    "uint8": RANDOM.integers(0, 256, (11, 34, 41)).astype(np.uint8),
    "uint16": RANDOM.integers(0, 65536, (11, 34, 41)).astype(np.uint16),
    "int16": RANDOM.integers(-32768, 32768, (11, 34, 41)).astype(np.int16),
    "float32": RANDOM.normal(0, 100, (11, 34, 41)).astype(np.float32),
}
ORDERED = {
    "erosion": ndi.grey_erosion,
    "dilation": ndi.grey_dilation,
    "opening": ndi.grey_opening,
    "closing": ndi.grey_closing,
    "white_tophat": ndi.white_tophat,
    "median": ndi.median_filter,
}


def ball(radius: tuple[float, float, float], spacing: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    """An ellipsoid as a boolean footprint."""
    reach = [int(r / s + 1e-9) for r, s in zip(radius, spacing, strict=True)]
    grid = np.meshgrid(*[np.arange(-n, n + 1) * s for n, s in zip(reach, spacing, strict=True)], indexing="ij")
    return sum((axis / r) ** 2 for axis, r in zip(grid, radius, strict=True)) <= 1 + 1e-9


@pytest.mark.parametrize("dtype", ARRAYS)
@pytest.mark.parametrize("name", ORDERED)
@pytest.mark.parametrize("radius", [1, 2, (0, 3, 1)])
def test_boxes_equal_scipy_exactly(name, dtype, radius):
    array = ARRAYS[dtype]
    size = tuple(2 * r + 1 for r in np.broadcast_to(radius, 3))
    ours = getattr(zs.im, name)(array, radius)
    assert ours.dtype == array.dtype
    theirs = ORDERED[name](array.astype(np.float32) if name == "white_tophat" else array, size=size)
    if name == "white_tophat" and array.dtype.kind == "i":
        theirs = np.clip(theirs, -32768, 32767)
    np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("dtype", ["uint16", "float32"])
@pytest.mark.parametrize("name", ORDERED)
def test_anisotropic_balls_equal_scipy_exactly(name, dtype):
    array = ARRAYS[dtype]
    footprint = ball((6, 5, 5), (5, 2, 2))
    assert footprint.shape == (3, 5, 5) and footprint.sum() < 75
    ours = getattr(zs.im, name)(array, (6, 5, 5), form="ball", spacing=(5, 2, 2), dtype=np.float32)
    np.testing.assert_array_equal(ours, ORDERED[name](array.astype(np.float32), footprint=footprint))


@pytest.mark.parametrize("border,mode", [("reflect", "reflect"), ("mirror", "mirror"), ("nearest", "nearest"), ("zero", "constant")])
def test_gaussians_and_their_derivatives_equal_scipy(border, mode):
    array = ARRAYS["uint16"]
    exact = array.astype(np.float64)
    scale = 2e-6 * 65535
    for sigma in (1.0, (0.7, 1.5, 2.3)):
        np.testing.assert_allclose(zs.im.gaussian(array, sigma, border=border), ndi.gaussian_filter(exact, sigma, mode=mode), atol=scale)
        np.testing.assert_allclose(
            zs.im.gaussian_laplace(array, sigma, border=border), ndi.gaussian_laplace(exact, sigma, mode=mode), atol=4 * scale
        )
    theirs = ndi.gaussian_filter(exact, 1.0, mode=mode) - ndi.gaussian_filter(exact, 1.6, mode=mode)
    np.testing.assert_allclose(zs.im.difference_of_gaussians(array, 1.0, 1.6, border=border), theirs, atol=2 * scale)


def test_the_laplacian_knows_micrometres():
    array = ARRAYS["float32"].astype(np.float64)
    sigma, spacing = np.array([8.0, 4.0, 3.0]), np.array([5.0, 2.0, 2.0])
    voxels = sigma / spacing
    second = [ndi.gaussian_filter(array, voxels, order=[2 * (axis == other) for other in range(3)]) for axis in range(3)]
    ours = zs.im.gaussian_laplace(array, sigma, spacing=spacing)
    np.testing.assert_allclose(ours, sum(s / um**2 for s, um in zip(second, spacing, strict=True)), atol=1e-4)
    ours = zs.im.gaussian_laplace(array, sigma, spacing=spacing, normalized=True)
    np.testing.assert_allclose(ours, sum(s * v**2 for s, v in zip(second, voxels, strict=True)), atol=1e-3)
    plane = zs.im.gaussian_laplace(array, (0, 1.5, 1.5))
    np.testing.assert_allclose(plane[3], ndi.gaussian_laplace(array[3], 1.5), atol=1e-3)


@pytest.mark.parametrize("radius,spacing", [(4, 1), ((0, 7, 7), 1), ((10, 6, 6), (5, 2, 2))])
def test_the_rolling_ball_is_that_of_scikit_image(radius, spacing):
    restoration = pytest.importorskip("skimage.restoration")
    array = ndi.gaussian_filter(ARRAYS["float32"], 1.5).astype(np.float32)
    array *= 20 / array.std()
    semi = np.broadcast_to(radius, 3) / np.broadcast_to(spacing, 3)
    height = float(semi.max())
    reach = [int(n) for n in semi]
    grid = np.meshgrid(*[np.arange(-n, n + 1) for n in reach], indexing="ij")
    far = sum((axis / s) ** 2 if s else 0 * axis for axis, s in zip(grid, semi, strict=True))
    kernel = np.where(far <= 1 + 1e-9, height * np.sqrt(np.clip(1 - far, 0, None)), np.inf)
    theirs = restoration.rolling_ball(array, kernel=kernel)
    ours = zs.im.rolling_ball(array, radius, spacing=spacing)
    np.testing.assert_allclose(ours, theirs, atol=2e-5)
    np.testing.assert_array_equal(zs.im.rolling_ball(array, radius, spacing=spacing, subtract=True), array - ours)
    if radius == 4:
        np.testing.assert_allclose(ours, restoration.rolling_ball(array, radius=4), atol=2e-5)


def test_contrast_is_taken_by_gaussian_windows():
    array = ARRAYS["uint16"].astype(np.float64)
    difference = array - ndi.gaussian_filter(array, (1, 3, 3))
    deviation = np.sqrt(ndi.gaussian_filter(difference**2, (1, 4, 4)))
    ours = zs.im.local_contrast(ARRAYS["uint16"], (5, 6, 6), sigma_deviation=(5, 8, 8), spacing=(5, 2, 2))
    np.testing.assert_allclose(ours, difference / deviation, atol=1e-4)


def test_means_equal_scikit_image_and_none_is_dropped():
    measure = pytest.importorskip("skimage.measure")
    array = RANDOM.integers(0, 65536, (8, 30, 42)).astype(np.uint16)
    volume = zs.im.downsample(zs.im.open(array, spacing=(5, 2, 2)), (2, 3, 6), dtype=np.float32)
    assert volume.spacing == (10.0, 6.0, 12.0) and volume.origin == (2.5, 2.0, 5.0)
    np.testing.assert_allclose(volume, measure.block_reduce(array, (2, 3, 6), np.mean), rtol=1e-6)
    rest = np.asarray(zs.im.downsample(array, 4, dtype=np.float64))
    assert rest.shape == (2, 8, 11)
    np.testing.assert_allclose(rest[1, 7, 10], array[4:8, 28:30, 40:42].mean(), rtol=1e-6)
    np.testing.assert_array_equal(zs.im.downsample(array, 2), np.rint(measure.block_reduce(array, (2, 2, 2), np.mean)))


@pytest.mark.parametrize("to", [(5, 2, 2), (10, 10, 10), (2.5, 3, 1)])
def test_resampling_is_smoothing_and_interpolating(to):
    array = ARRAYS["float32"].astype(np.float64)
    ratio = np.array(to) / (5, 2, 2)
    smooth = ndi.gaussian_filter(array, np.maximum(0, (ratio - 1) / 2))
    volume = zs.im.resample(zs.im.open(array, spacing=(5, 2, 2)), to, dtype=np.float32)
    assert volume.shape == tuple(max(1, round(n / r)) for n, r in zip(array.shape, ratio, strict=True))
    assert volume.spacing == tuple(map(float, to))
    places = [(np.arange(n) + 0.5) * r - 0.5 for n, r in zip(volume.shape, ratio, strict=True)]
    theirs = ndi.map_coordinates(smooth, np.meshgrid(*places, indexing="ij"), order=1, mode="nearest")
    np.testing.assert_allclose(volume, theirs, atol=2e-4)


def test_nothing_depends_on_threads_memory_or_where_the_volume_lies():
    zarr = pytest.importorskip("zarr")
    array = RANDOM.integers(0, 4096, (24, 70, 90)).astype(np.uint16)
    other = (array // 2 + RANDOM.integers(0, 200, array.shape)).astype(np.uint16)
    stored = zarr.create_array({}, shape=array.shape, chunks=(8, 32, 32), dtype=array.dtype)
    stored[...] = array
    calls = {
        "laplace": lambda a, **k: zs.im.gaussian_laplace(a, (1, 2, 2), **k),
        "difference": lambda a, **k: zs.im.difference_of_gaussians(a, 1, 2, **k),
        "median": lambda a, **k: zs.im.median(a, 1, **k),
        "median of a ball": lambda a, **k: zs.im.median(a, 2, form="ball", **k),
        "white_tophat": lambda a, **k: zs.im.white_tophat(a, 2, form="ball", **k),
        "rolling_ball": lambda a, **k: zs.im.rolling_ball(a, (0, 9, 9), **k),
        "local_contrast": lambda a, **k: zs.im.local_contrast(a, 2, **k),
        "destripe": lambda a, **k: zs.im.destripe(a, length=30, **k),
        "subtract_background": lambda a, **k: zs.im.subtract_background(a, other, window=20, **k),
        "downsample": lambda a, **k: np.asarray(zs.im.downsample(a, (2, 3, 3), **k)),
        "resample": lambda a, **k: np.asarray(zs.im.resample(a, (2, 1.7, 1.7), **k)),
    }
    for name, call in calls.items():
        one = call(array, threads=1)
        for variant in (call(array, threads=2), call(array, threads=8, memory="24MB"), call(stored, threads=2)):
            assert np.array_equal(one, variant), name


def test_flips_and_turns_commute():
    array = ARRAYS["uint16"]
    for call in (lambda a: zs.im.median(a, 1), lambda a: zs.im.opening(a, 2, form="ball"), lambda a: zs.im.erosion(a, 2)):
        for turned in (lambda a: a[::-1], lambda a: a[:, ::-1, ::-1], lambda a: a.transpose(0, 2, 1)):
            np.testing.assert_array_equal(call(np.ascontiguousarray(turned(array))), turned(call(array)))


def test_autofluorescence_goes_and_cells_stay():
    glow = 400 + 150 * np.sin(np.arange(90) / 9) + 80 * np.cos(np.arange(70) / 6)[:, None] + np.arange(12)[:, None, None]
    cells = np.zeros(glow.shape)
    cells[::4, ::9, ::9] = 1500
    cells = ndi.maximum_filter(cells, (1, 3, 3))
    signal = (1.6 * glow + 40 + cells + RANDOM.normal(0, 3, glow.shape)).clip(0).astype(np.uint16)
    volume = np.stack([signal, signal])
    rest, fit = zs.im.subtract_background(volume, glow.astype(np.float32)[None], clip=False, return_fit=True)
    assert rest.shape == volume.shape and fit.slope.shape == (2, 1, 1, 1)
    np.testing.assert_allclose(fit.slope, 1.6, atol=0.005)
    np.testing.assert_allclose(fit.offset, 40, atol=2)
    assert np.abs(rest[0] - cells).max() < 20
    assert list(fit.saturated) == [0, 0] and list(fit.undecided) == [0, 0]


def test_the_background_of_a_real_crop(tmp_path):
    from conftest import data_path

    tifffile = pytest.importorskip("tifffile")
    folder = data_path("cellfinder_whole_brain_crops")
    signal = tifffile.imread(folder / "crop_signal_ch0.tif")
    background = tifffile.imread(folder / "crop_background_ch1.tif")
    rest, fit = zs.im.subtract_background(signal, background, spacing=(5, 2, 2), window=200, smooth=(0, 2, 2), clip=False, return_fit=True)
    assert fit.slope.min() >= 0
    # Structure that both channels share is gone, cells are not.
    smooth = ndi.gaussian_filter(background.astype(np.float32), (1, 8, 8))
    before = np.corrcoef(ndi.gaussian_filter(signal.astype(np.float32), (1, 8, 8)).ravel(), smooth.ravel())[0, 1]
    after = np.corrcoef(ndi.gaussian_filter(rest, (1, 8, 8)).ravel(), smooth.ravel())[0, 1]
    assert abs(after) < 0.5 * before
    bright = signal > np.percentile(signal, 99.9)
    assert rest[bright].mean() > 10 * np.abs(np.median(rest))


def test_stripes_go():
    tissue = 500 + 40 * ndi.gaussian_filter(RANDOM.normal(size=(3, 128, 160)), (0, 6, 6)) * 20
    stripes = RANDOM.normal(0, 30, (3, 128, 1))
    ours = zs.im.destripe(tissue + stripes, length=200, wavelet=5)
    error = lambda a: np.std(a - tissue)  # noqa: E731
    assert error(ours) < 0.5 * error(tissue + stripes)
    turned = zs.im.destripe((tissue + stripes).transpose(0, 2, 1), along="y", length=200, wavelet=5)
    np.testing.assert_array_equal(turned.transpose(0, 2, 1), ours)


def test_bad_input_is_refused():
    array = ARRAYS["uint16"]
    holed = ARRAYS["float32"].copy()
    holed[2, 3, 4] = np.nan
    for call in (zs.im.median, zs.im.opening, zs.im.rolling_ball):
        with pytest.raises(NonFiniteError, match="NaN"):
            call(holed, 2)
        with pytest.raises(ParameterError, match="radius, axis z"):
            call(array, (-1, 2, 2))
        with pytest.raises(ParameterError, match="reach"):
            call(array, 1, spacing=2)
    with pytest.raises(ParameterError, match="box.*ball"):
        zs.im.median(array, 1, form="star")
    with pytest.raises(ParameterError, match="high_sigma"):
        zs.im.difference_of_gaussians(array, 2, 1)
    with pytest.raises(ParameterError, match="sigma"):
        zs.im.gaussian_laplace(array, 0)
    with pytest.raises(ParameterError, match="floor"):
        zs.im.local_contrast(array, 2, floor=-1)
    with pytest.raises(ParameterError, match="levels"):
        zs.im.destripe(array, levels=20)
    with pytest.raises(DataError, match="log"):
        zs.im.destripe(ARRAYS["int16"], log=True)
    with pytest.raises(ShapeError, match="shape"):
        zs.im.subtract_background(array, array[:, :-1])
    with pytest.raises(DataError, match="vary"):
        zs.im.subtract_background(array, np.full_like(array, 7))
    for factor in (0, 2.5, (2, 2), 5000, -1):
        with pytest.raises(ParameterError, match="factor"):
            zs.im.downsample(array, factor)
    with pytest.raises(ParameterError, match="spacing"):
        zs.im.resample(array, 0)


def test_constant_and_tiny_volumes():
    flat = np.full((3, 1, 4), 7, np.uint8)
    for name in ORDERED:
        expected = 0 if name == "white_tophat" else 7
        assert (getattr(zs.im, name)(flat, 2) == expected).all()
    assert (zs.im.local_contrast(flat, 2) == 0).all()
    # The cut-off kernel does not sum to 0, here or in scipy.
    np.testing.assert_allclose(zs.im.gaussian_laplace(flat, 1), ndi.gaussian_laplace(flat.astype(float), 1), atol=5e-6)
    assert zs.im.median(np.zeros((0, 4, 5), np.uint8), 1).shape == (0, 4, 5)
    assert zs.im.downsample(np.zeros((0, 4, 5), np.uint8)).shape == (0, 2, 3)
