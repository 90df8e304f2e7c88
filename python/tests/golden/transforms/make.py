"""Golden files of transforms: python make.py, with zensaibo and this folder's parent's parent on the path.

Made with SimpleITK 2.5.7, antspyx 0.6.3, brainglobe-utils 0.11.2, brainglobe-space 1.0.3, tifffile, Python 3.11.
`itk.npz`: where SimpleITK takes points by the exported files beside it, and where ANTs takes them by its own files;
`brainglobe.npz`: three deformation fields, points of a sample, and where brainglobe-utils takes them.
"""

import shutil
import sys
import tempfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1]))
import test_im_register_transforms as case  # noqa: E402


def itk() -> None:
    import ants
    import pandas as pd
    import SimpleITK as sitk

    registration = case.planted()
    with tempfile.TemporaryDirectory() as folder:
        for ending in ("nrrd", "nii.gz"):
            made = Path(folder) / ending
            registration.export_itk(made, fixed_space=case.TURNED, moving_space="psl", format=ending)
            shutil.copy(made / f"displacements.{ending}", HERE)
            shutil.copy(made / "affine.tfm", HERE)
    # By images, as ITK counts: no formula of ours.
    def image(shape, um, origin, direction):
        found = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
        found.SetSpacing([u / 1000 for u in um[::-1]])
        found.SetOrigin(origin)
        found.SetDirection(np.asarray(direction, float).ravel())
        return found

    fixed = image(*case.FIXED, *case.TURNED)
    # psl: x from left to right is -x of LPS, y from superior is -z, z from posterior is -y.
    moving = image(*case.MOVING, [0, 0, 0], [[-1, 0, 0], [0, 0, -1], [0, -1, 0]])
    field = sitk.DisplacementFieldTransform(sitk.ReadImage(str(HERE / "displacements.nrrd"), sitk.sitkVectorFloat64))
    both = sitk.CompositeTransform([sitk.ReadTransform(str(HERE / "affine.tfm")), field])
    there = []
    for index in (case.POINTS / case.FIXED[1])[:, ::-1].tolist():
        point = both.TransformPoint(fixed.TransformContinuousIndexToPhysicalPoint(index))
        there.append(moving.TransformPhysicalPointToContinuousIndex(point))
    moving_points = np.array(there)[:, ::-1] * case.MOVING[1]

    def blobs(shape, um, by):
        rng = np.random.default_rng(0)
        place = np.moveaxis(np.indices(shape), 0, -1) * np.array(um) + by
        value = np.zeros(shape)
        for _ in range(12):
            value += np.exp(-0.5 * (((place - rng.uniform(100, 800, 3)) / rng.uniform(80, 160)) ** 2).sum(-1))
        spacing = [u / 1000 for u in um[::-1]]
        return ants.from_numpy(np.ascontiguousarray(100 * value.T).astype("f4"), spacing=spacing)

    found = ants.registration(blobs(*case.FIXED, 0.0), blobs(*case.MOVING, 25.0), "SyN", random_seed=1)
    warp, affine = found["fwdtransforms"]
    shutil.copy(warp, HERE / "ants1Warp.nii.gz")
    shutil.copy(affine, HERE / "ants0GenericAffine.mat")
    table = pd.DataFrame(case.POINTS[:, ::-1] / 1000, columns=list("xyz"))
    theirs = ants.apply_transforms_to_points(3, table, found["fwdtransforms"])[list("xyz")].to_numpy()
    np.savez_compressed(HERE / "itk.npz", moving_points=moving_points, ants_points=theirs[:, ::-1] * 1000)


def brainglobe() -> None:
    import brainglobe_space as bgs
    import tifffile
    from brainglobe_utils.brainreg import transform

    shape, atlas_shape = (40, 36, 30), (24, 22, 24)
    target = bgs.AnatomicalSpace("asr", shape=(20, 18, 15), resolution=[100.0] * 3)
    at = np.indices((20, 18, 15)).astype(float)
    bend = [0.8 * np.sin(at[1] / 6), 0.7 * np.cos(at[2] / 5), 0.6 * np.sin(at[0] / 7)]
    fields = np.stack([(1.05 * at[k] + 0.05 * at[(k + 1) % 3] + bend[k] + [1, 1, 4][k]) * 0.1 for k in range(3)]).astype("f4")
    rng = np.random.default_rng(0)
    # Points whose place in the field is a whole voxel: rounding before the field then does nothing.
    raw = np.stack([2 * rng.integers(1, n // 2 - 1, 150) for n in shape], -1)
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / f"deformation_field_{axis}.tiff" for axis in range(3)]
        for path, field in zip(paths, fields, strict=True):
            tifffile.imwrite(path, field)
        small = transform.transform_points_from_raw_to_downsampled_space(
            raw, np.zeros(shape, "u1"), "psl", [50, 50, 50], target
        )
        atlas = SimpleNamespace(resolution=(100.0, 100.0, 100.0))
        points, beyond = transform.transform_points_from_downsampled_to_atlas_space(small, atlas, paths)
    assert not beyond and np.abs(small - np.rint(small)).max() < 1e-9
    assert (points >= 0).all() and (points < atlas_shape).all()
    np.savez_compressed(HERE / "brainglobe.npz", fields=fields, raw_points=raw, atlas_points=points)


if __name__ == "__main__":
    itk()
    brainglobe()
