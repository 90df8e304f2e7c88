"""One call of one peer on a prepared volume: `image.py PEER CASE INPUT FOLDER OUT.json THREADS PACKAGE`.

A body for each peer; every body takes the input and gives back what is judged. The first call, on a corner of the volume, loads and
compiles and stays outside the clock.
"""

import contextlib
import os
import sys
import tempfile
import warnings
from pathlib import Path

from measure import Recorder, set_threads

peer, case, source, folder, out, threads, package = (*sys.argv[1:6], int(sys.argv[6]), sys.argv[7])
set_threads(threads)
os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = str(threads)
warnings.simplefilter("ignore")

import importlib.metadata

import numpy as np

SIGMA, RADIUS, DIAMETER = 2.0, 5, 8.0
BODIES = {}
#: Every so many voxels are kept for comparison.
STEP = 1009


def body(*names):
    """Registers a body as "peer/case"."""

    def add(function):
        BODIES.update(dict.fromkeys(names, function))
        return function

    return add


def picked(array) -> dict:
    return {"sample": np.asarray(array, dtype=np.float64).ravel()[::STEP]}


# --- zensaibo


def ours(function):
    def call(volume):
        import zensaibo as zs

        return function(zs.im, volume)

    return call


BODIES |= {
    "zensaibo/label": ours(lambda im, mask: {"count": im.label(mask, threads=threads)[1]}),
    "zensaibo/gaussian": ours(lambda im, v: picked(im.gaussian(v, SIGMA, threads=threads))),
    "zensaibo/log": ours(lambda im, v: picked(im.gaussian_laplace(v, SIGMA, threads=threads))),
    "zensaibo/median": ours(lambda im, v: picked(im.median(v, 1, threads=threads))),
    "zensaibo/tophat": ours(lambda im, v: picked(im.white_tophat(v, RADIUS, threads=threads))),
    "zensaibo/downsample": ours(lambda im, v: picked(im.downsample(v, 2, threads=threads).read(threads=threads))),
    "zensaibo/segment": ours(lambda im, v: {"labels": im.segment_nuclei(v, diameter=DIAMETER, threads=threads)[0]}),
}
for name in ("edt-cells", "edt-solid"):
    BODIES[f"zensaibo/{name}"] = ours(lambda im, mask: picked(im.distance_transform(mask, threads=threads)))


@body("zensaibo/region-properties")
def _(labels):
    import zensaibo as zs

    table = zs.im.region_properties(labels, surface=False, threads=threads)
    return {"sample": table[["z", "y", "x"]].to_numpy(float).ravel()[:300]}


@body("zensaibo/detect-sparse", "zensaibo/detect-dense")
def _(volume):
    import zensaibo as zs

    cells = zs.im.detect_cells(volume, soma_diameter=DIAMETER, classifier=None, threads=threads)
    return {"centres": cells.obsm["spatial"][:, ::-1]}


@body("zensaibo/detect-large")
def _(volume):
    import zensaibo as zs

    cells = zs.im.detect_cells(volume, spacing=(5, 2, 2), soma_diameter=16, classifier=None, threads=threads)
    return {"centres": cells.obsm["spatial"][:, ::-1]}


# --- cellfinder


def cellfinder(volume, deviations):
    """Candidates, by its defaults for voxels of 5, 2 and 2 micrometres but for the threshold."""
    from cellfinder.core.detect.detect import main as detect

    found = detect(volume, voxel_sizes=(5, 2, 2), soma_diameter=16, n_sds_above_mean_thresh=deviations, torch_device="cpu")
    return {"centres": np.array([(cell.z * 5, cell.y * 2, cell.x * 2) for cell in found], float).reshape(-1, 3)}


BODIES["cellfinder/detect-large"] = lambda volume: cellfinder(volume, 10)
BODIES["cellfinder-3sd/detect-large"] = lambda volume: cellfinder(volume, 3)

# --- cc3d and edt


@body("cc3d/label")
def _(mask):
    import cc3d

    return {"count": cc3d.connected_components(mask, connectivity=26, return_N=True)[1]}


@body("cc3d/region-properties")
def _(labels):
    import cc3d

    found = cc3d.statistics(labels)
    return {"sample": found["centroids"][1:].astype(float).ravel()[:300]}


@body("edt/edt-cells", "edt/edt-solid")
def _(mask):
    import edt

    return picked(edt.edt(mask, black_border=False, parallel=threads))


# --- scipy


@body("scipy/label")
def _(mask):
    from scipy import ndimage

    return {"count": ndimage.label(mask, structure=np.ones((3, 3, 3)))[1]}


@body("scipy/edt-cells", "scipy/edt-solid")
def _(mask):
    from scipy import ndimage

    return picked(ndimage.distance_transform_edt(mask))


@body("scipy/gaussian")
def _(volume):
    from scipy import ndimage

    return picked(ndimage.gaussian_filter(volume, SIGMA))


@body("scipy/log")
def _(volume):
    from scipy import ndimage

    return picked(ndimage.gaussian_laplace(volume, SIGMA))


@body("scipy/median")
def _(volume):
    from scipy import ndimage

    return picked(ndimage.median_filter(volume, size=3))


@body("scipy/tophat")
def _(volume):
    from scipy import ndimage

    return picked(ndimage.white_tophat(volume, size=2 * RADIUS + 1))


@body("scipy/detect-sparse", "scipy/detect-dense")
def _(volume):
    """Peaks of a Laplacian matched to the nuclei, above six times its noise."""
    from scipy import ndimage

    response = -ndimage.gaussian_laplace(volume.astype(np.float32), DIAMETER / 2 / np.sqrt(3))
    noise = 1.4826 * np.median(np.abs(response - np.median(response)))
    peaks = (response == ndimage.maximum_filter(response, size=5)) & (response > 6 * noise)
    return {"centres": np.argwhere(peaks).astype(float)}


# --- scikit-image


@body("skimage/label")
def _(mask):
    from skimage.measure import label

    return {"count": label(mask, connectivity=3, return_num=True)[1]}


@body("skimage/gaussian")
def _(volume):
    from skimage.filters import gaussian

    return picked(gaussian(volume, SIGMA, preserve_range=True, mode="reflect"))


@body("skimage/downsample")
def _(volume):
    from skimage.transform import downscale_local_mean

    return picked(downscale_local_mean(volume, (2, 2, 2)))


@body("skimage/region-properties")
def _(labels):
    from skimage.measure import regionprops_table

    found = regionprops_table(labels, properties=("label", "area", "bbox", "centroid"))
    return {"sample": np.column_stack([found[f"centroid-{axis}"] for axis in range(3)]).ravel()[:300]}


@body("skimage/detect-sparse", "skimage/detect-dense")
def _(volume):
    from skimage.feature import blob_log

    picture = volume.astype(np.float32)
    picture = (picture - picture.min()) / np.ptp(picture)
    sigma = DIAMETER / 2 / np.sqrt(3)
    found = blob_log(picture, min_sigma=0.8 * sigma, max_sigma=1.2 * sigma, num_sigma=3, threshold=0.03)
    return {"centres": found[:, :3].astype(float)}


@body("skimage/segment")
def _(volume):
    """Difference of Gaussians against the background, Otsu's threshold, distances, peaks, watershed."""
    from scipy import ndimage
    from skimage.feature import peak_local_max
    from skimage.filters import gaussian, threshold_otsu
    from skimage.segmentation import watershed

    picture = volume.astype(np.float32)
    smooth = gaussian(picture, 1, preserve_range=True) - gaussian(picture, DIAMETER, preserve_range=True)
    mask = smooth > threshold_otsu(smooth)
    depth = gaussian(ndimage.distance_transform_edt(mask), 1, preserve_range=True)
    peaks = peak_local_max(depth, min_distance=3, labels=ndimage.label(mask)[0])
    seeds = np.zeros(volume.shape, np.int32)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    return {"labels": watershed(-depth, seeds, mask=mask)}


# --- SimpleITK


def itk(function):
    def call(volume):
        import SimpleITK as sitk

        sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(threads)
        array = volume.astype(np.uint8) if volume.dtype == bool else volume
        return function(sitk, sitk.GetImageFromArray(array))

    return call


def of(sitk, image) -> dict:
    return picked(sitk.GetArrayFromImage(image))


def itk_label(sitk, image):
    found = sitk.ConnectedComponentImageFilter()
    found.FullyConnectedOn()
    sitk.GetArrayFromImage(found.Execute(image))
    return {"count": found.GetObjectCount()}


def itk_distance(sitk, image):
    found = sitk.SignedMaurerDistanceMap(image == 0, insideIsPositive=False, squaredDistance=False, useImageSpacing=True)
    return picked(np.maximum(sitk.GetArrayFromImage(found), 0))


def itk_properties(sitk, image):
    found = sitk.LabelShapeStatisticsImageFilter()
    found.Execute(image)
    return {"sample": np.array([found.GetCentroid(label)[::-1] for label in found.GetLabels()]).ravel()[:300]}


def itk_segment(sitk, image):
    smooth = sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), 1.0)
    smooth = smooth - sitk.SmoothingRecursiveGaussian(sitk.Cast(image, sitk.sitkFloat32), DIAMETER)
    mask = sitk.OtsuThreshold(smooth, 0, 1)
    depth = sitk.SignedMaurerDistanceMap(mask, insideIsPositive=False, squaredDistance=False)
    found = sitk.MorphologicalWatershed(depth, level=0.3, markWatershedLine=False)
    return {"labels": sitk.GetArrayFromImage(sitk.Mask(found, sitk.Cast(mask, found.GetPixelID()))).astype(np.uint32)}


BODIES |= {
    "sitk/label": itk(itk_label),
    "sitk/edt-cells": itk(itk_distance),
    "sitk/edt-solid": itk(itk_distance),
    "sitk/gaussian": itk(lambda sitk, v: of(sitk, sitk.SmoothingRecursiveGaussian(v, SIGMA))),
    "sitk/log": itk(lambda sitk, v: of(sitk, sitk.LaplacianRecursiveGaussian(v, SIGMA))),
    "sitk/median": itk(lambda sitk, v: of(sitk, sitk.Median(v, [1, 1, 1]))),
    "sitk/tophat": itk(lambda sitk, v: of(sitk, sitk.WhiteTopHat(v, [RADIUS] * 3, sitk.sitkBox))),
    "sitk/downsample": itk(lambda sitk, v: of(sitk, sitk.BinShrink(v, [2, 2, 2]))),
    "sitk/region-properties": itk(itk_properties),
    "sitk/segment": itk(itk_segment),
}

# --- OME-Zarr


@contextlib.contextmanager
def place():
    with tempfile.TemporaryDirectory() as home:
        yield Path(home) / "volume.ome.zarr"


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


def written(function):
    def call(volume):
        with place() as path:
            function(volume, path)
            return {"bytes": size_of(path)}

    return call


def ours_written(levels):
    def write(volume, path):
        import zensaibo as zs

        zs.im.write(volume, path, levels=levels, chunk=(64, 64, 64), spacing=2.0, threads=threads)

    return written(write)


@written
def tensorstore_written(volume, path):
    import tensorstore as ts

    codecs = [{"name": "blosc", "configuration": {"cname": "zstd", "clevel": 5, "shuffle": "shuffle"}}]
    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str(path / "0")},
        "metadata": {
            "shape": list(volume.shape),
            "data_type": "uint16",
            "chunk_grid": {"name": "regular", "configuration": {"chunk_shape": [64, 64, 64]}},
            "codecs": [{"name": "bytes", "configuration": {"endian": "little"}}, *codecs],
        },
        "create": True,
        "context": {"data_copy_concurrency": {"limit": threads}},
    }
    ts.open(spec).result().write(volume).result()


@written
def ome_zarr_written(volume, path):
    import zarr
    from ome_zarr.writer import write_image

    write_image(volume, zarr.open_group(str(path), mode="w"), axes="zyx", storage_options={"chunks": (64, 64, 64)})


def ours_read(path):
    import zensaibo as zs

    return picked(zs.im.open(path).read(threads=threads))


def tensorstore_read(path):
    import tensorstore as ts

    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}, "context": {"data_copy_concurrency": {"limit": threads}}}
    return picked(ts.open(spec).result().read().result())


def ome_zarr_read(path):
    import dask
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    with dask.config.set(scheduler="threads", num_workers=threads):
        return picked(np.asarray(next(iter(Reader(parse_url(str(path)))())).data[0]))


BODIES |= {
    "zensaibo/zarr-write": ours_written(1),
    "zensaibo/zarr-write-pyramid": ours_written(5),
    "zensaibo/zarr-read": ours_read,
    "tensorstore/zarr-write": tensorstore_written,
    "tensorstore/zarr-read": tensorstore_read,
    "ome-zarr/zarr-write-pyramid": ome_zarr_written,
    "ome-zarr/zarr-read": ome_zarr_read,
}


def store(home: Path) -> Path:
    """The volume that is read: unsharded OME-Zarr 0.5 of chunks of 64 voxels, written once by zensaibo's own run."""
    path = home / "dense.ome.zarr"
    if not path.exists():
        import zensaibo as zs

        zs.im.write(np.load(home / "dense.npy"), path, chunk=(64, 64, 64), shard=(64, 64, 64), spacing=2.0)
    return path


def main() -> None:
    home = Path(folder)
    call = BODIES[f"{peer}/{case}"]
    if peer == "zensaibo":
        import zensaibo

        version = zensaibo.__version__
    else:
        version = importlib.metadata.version(package)
    record = Recorder(peer, version, threads)
    if source == "store":
        volume = toy = store(home)
    else:
        volume = np.load(home / f"{source}.npy")
        side = 96 if case.startswith("detect") else 40
        toy = np.ascontiguousarray(volume[:side, :side, :side])
    with record.stage("first"):
        call(toy)
    with record.stage(case):
        found = call(volume)
    np.savez(Path(out).with_suffix(".npz"), **found)
    record.save(out)


if __name__ == "__main__":
    main()
