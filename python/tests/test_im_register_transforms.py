"""Registrations as files: our own scenes of OME-NGFF, transforms of ITK, deformation fields of BrainGlobe."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

import zensaibo as zs
from zensaibo import _core, errors
from zensaibo.im._deformation import write_tiff
from zensaibo.im._itk import read_affine

GOLDEN = Path(__file__).parent / "golden" / "transforms"
FIXED = ((9, 11, 12), (100.0, 80.0, 60.0))
MOVING = ((21, 26, 19), (40.0, 50.0, 50.0))
#: Geometry that is not trivial: turned about z and mirrored nowhere; origins in millimetres.
TURNED = (np.array([1.5, -2.0, 0.25]), np.array([[0.8, -0.6, 0.0], [0.6, 0.8, 0.0], [0.0, 0.0, 1.0]]))


def planted() -> zs.im.Registration:
    """A registration of known parts; the field is finer than the fixed volume."""
    shape, um = (12, 14, 13), (75.0, 62.0, 55.0)
    place = np.indices(shape).astype(float) * np.array(um)[:, None, None, None]
    field = np.stack([30 * np.sin(place[1] / 300), 25 * np.cos(place[2] / 250 + place[0] / 500), 20 * np.sin(place[0] / 200)], -1)
    affine = np.array([[0.1, 0.95, -0.05, 40.0], [-1.05, 0.08, 0.02, 1100.0], [0.03, -0.1, 1.1, 20.0]])
    core = _core.Registration(np.ascontiguousarray(field, "f4"), um, affine, FIXED, MOVING, '{"judged": true, "correlation": 0.5}')
    return zs.im.Registration(core)


#: Inside the field, in micrometres.
POINTS = np.array([750.0, 780.0, 640.0]) * (0.05 + 0.9 * np.random.default_rng(0).random((200, 3)))
ENDS = {"fixed": np.zeros(FIXED[0], "u1"), "moving": np.zeros(MOVING[0], "u1"), "fixed_spacing": FIXED[1], "moving_spacing": MOVING[1]}


def voxels(a: np.ndarray, b: np.ndarray) -> float:
    """Largest distance in voxels of the moving volume."""
    return float((np.abs(a - b) / MOVING[1]).max())


def test_saved_and_loaded(tmp_path):
    registration = planted()
    registration.save(tmp_path / "map")
    loaded = zs.im.load_registration(tmp_path / "map")
    for inverse in (False, True):
        a, b = (r.transform_points(POINTS, inverse=inverse) for r in (registration, loaded))
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(loaded.displacements, registration.displacements)
    assert loaded.report() == registration.report() and loaded.report()["correlation"] == 0.5
    assert repr(loaded) == repr(registration) and loaded.displacement_spacing == registration.displacement_spacing
    assert sorted(p.name for p in tmp_path.iterdir()) == ["map"]
    with pytest.raises(errors.FileError, match="does not exist yet"):
        registration.save(tmp_path / "map")


def test_others_can_read_what_is_saved(tmp_path):
    zarr = pytest.importorskip("zarr")
    registration = planted()
    registration.save(tmp_path / "map")
    group = zarr.open_group(tmp_path / "map", mode="r")
    step, affine = group.attrs["ome"]["scene"]["coordinateTransformations"][0]["transformations"]
    image = group[step["path"]]
    scales = image.attrs["ome"]["multiscales"][0]
    field = image[scales["datasets"][0]["path"]][...]
    assert [axis["name"] for axis in scales["coordinateSystems"][0]["axes"]] == ["c", "z", "y", "x"]
    scale = np.array(scales["datasets"][0]["coordinateTransformations"][0]["scale"])
    # As the specification says it: displacements by linear interpolation, then the affine map.
    from scipy.ndimage import map_coordinates

    at = (POINTS / scale[1:]).T
    moved = POINTS + np.stack([map_coordinates(part, at, order=1) for part in field], -1)
    matrix = np.array(affine["affine"])
    there = moved @ matrix[:, :3].T + matrix[:, 3]
    assert voxels(there, registration.transform_points(POINTS, inverse=True)) < 1e-4


def test_the_words_are_those_of_the_specification(tmp_path):
    pytest.importorskip("jsonschema")
    ngff = pytest.importorskip("ngff_zarr")
    from jsonschema import Draft202012Validator
    from referencing import Registry, Resource

    folder = Path(ngff.__file__).parent / "spec" / "0.6" / "schemas"
    if not folder.is_dir():
        pytest.skip("this ngff-zarr has no schemas of version 0.6")
    schemas = {file.name: json.loads(file.read_text()) for file in folder.glob("*.schema")}
    resources = [(schema["$id"], Resource.from_contents(schema)) for schema in schemas.values() if "$id" in schema]
    planted().save(tmp_path / "map")
    scene = json.loads((tmp_path / "map" / "zarr.json").read_text())["attributes"]
    validator = Draft202012Validator(schemas["scene.schema"], registry=Registry().with_resources(resources))
    assert [error.message for error in validator.iter_errors(scene)] == []
    place = scene["ome"]["scene"]["coordinateTransformations"][0]["transformations"][0]["path"]
    image = json.loads((tmp_path / "map" / place / "zarr.json").read_text())["attributes"]
    validator = Draft202012Validator(schemas["image.schema"], registry=Registry().with_resources(resources))
    assert [error.message for error in validator.iter_errors(image)] == []


def test_damaged_scenes_are_named(tmp_path):
    with pytest.raises(errors.FileError, match=r"zarr\.json"):
        zs.im.load_registration(tmp_path / "nothing")
    planted().save(tmp_path / "map")
    file = tmp_path / "map" / "zarr.json"
    text = json.loads(file.read_text())

    def broken(change):
        other = json.loads(json.dumps(text))
        change(other["attributes"])
        file.write_text(json.dumps(other))
        return pytest.raises((errors.DataError, errors.FormatError, errors.FileError), match=r"zarr\.json|displacements")

    with broken(lambda a: a["zensaibo"].update(registration=99)):
        zs.im.load_registration(tmp_path / "map")
    with broken(lambda a: a.pop("zensaibo")):
        zs.im.load_registration(tmp_path / "map")
    with broken(lambda a: a["ome"]["scene"]["coordinateTransformations"][0]["transformations"].pop()):
        zs.im.load_registration(tmp_path / "map")
    file.write_text("{")
    with pytest.raises(errors.FormatError, match=r"zarr\.json"):
        zs.im.load_registration(tmp_path / "map")
    file.write_text(json.dumps(text))
    shutil.rmtree(tmp_path / "map" / "coordinateTransformations" / "displacements" / "0")
    with pytest.raises((errors.DataError, errors.FormatError, errors.FileError), match="displacements"):
        zs.im.load_registration(tmp_path / "map")


@pytest.mark.parametrize("ending", ["nrrd", "nii.gz"])
@pytest.mark.parametrize("spaces", [(None, None), (TURNED, (TURNED[0] * 2, TURNED[1].T)), ("asr", "psl")], ids=["plain", "turned", "named"])
def test_itk_maps_points_alike(tmp_path, ending, spaces):
    sitk = pytest.importorskip("SimpleITK")
    registration = planted()
    registration.export_itk(tmp_path / "itk", fixed_space=spaces[0], moving_space=spaces[1], format=ending, inverse=True)
    assert len(list((tmp_path / "itk").iterdir())) == 4

    def frame(space, um, shape):
        """A SimpleITK image in whose geometry indices are voxels."""
        image = sitk.Image([int(n) for n in shape[::-1]], sitk.sitkUInt8)
        image.SetSpacing([u / 1000 for u in um[::-1]])
        if isinstance(space, str):
            image.SetDirection({"asr": [0, 0, 1, 0, -1, 0, 1, 0, 0], "psl": [0, 0, 1, 0, -1, 0, 1, 0, 0]}[space])
            sides = {"a": (0, 1, 0), "p": (0, -1, 0), "s": (0, 0, -1), "r": (1, 0, 0), "l": (-1, 0, 0)}
            image.SetDirection(np.array([sides[c] for c in reversed(space)], float).T.ravel())
        elif space is not None:
            image.SetOrigin(space[0])
            image.SetDirection(np.asarray(space[1]).ravel())
        return image

    fixed, moving = frame(spaces[0], FIXED[1], FIXED[0]), frame(spaces[1], MOVING[1], MOVING[0])

    def physical(image, points, um):
        return [image.TransformContinuousIndexToPhysicalPoint(list(p)) for p in (points / um)[:, ::-1].tolist()]

    def array(image, physical, um):
        return np.array([image.TransformPhysicalPointToContinuousIndex(p) for p in physical])[:, ::-1] * um

    def chain(name):
        field = sitk.ReadImage(str(tmp_path / "itk" / f"{name}displacements.{ending}"), sitk.sitkVectorFloat64)
        return sitk.ReadTransform(str(tmp_path / "itk" / f"{name}affine.tfm")), sitk.DisplacementFieldTransform(field)

    affine, field = chain("")
    both = sitk.CompositeTransform([affine, field])
    theirs = array(moving, [both.TransformPoint(p) for p in physical(fixed, POINTS, FIXED[1])], MOVING[1])
    ours = registration.transform_points(POINTS, inverse=True)
    assert voxels(theirs, ours) < 1e-4
    affine, field = chain("inverse_")
    both = sitk.CompositeTransform([field, affine])
    home = array(fixed, [both.TransformPoint(p) for p in physical(moving, ours, MOVING[1])], FIXED[1])
    assert np.abs(home - POINTS).max() < 1.0  # micrometres: the inverse is sampled on the grid
    # And in again: through the images, as pairs, as SimpleITK's own images.
    for fixed_space, moving_space in (spaces, (fixed, moving)):
        back = zs.im.import_itk(
            tmp_path / "itk" / "affine.tfm",
            tmp_path / "itk" / f"displacements.{ending}",
            **ENDS,
            fixed_space=fixed_space,
            moving_space=moving_space,
        )
        assert voxels(back.transform_points(POINTS, inverse=True), ours) < 1e-4
        assert back.report()["faults"] == [] and "not judged" in repr(back)


def test_what_itk_wrote_is_read(tmp_path):
    sitk = pytest.importorskip("SimpleITK")
    rng = np.random.default_rng(1)
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((np.eye(3) + 0.1 * rng.normal(size=(3, 3))).ravel())
    affine.SetTranslation(rng.normal(size=3))
    affine.SetCenter([0.3, 0.2, 0.1])
    euler = sitk.Euler3DTransform([0.1, 0.2, 0.3], 0.2, -0.3, 0.4, [1, 2, 3])
    other = sitk.Euler3DTransform(euler)
    other.SetComputeZYX(True)
    versor = sitk.VersorRigid3DTransform([1, 2, 3], 0.5, [0.1, 0.2, 0.3], [4, 5, 6])
    similar = sitk.Similarity3DTransform(1.3, [3, 1, 2], 0.4, [0.1, 0.2, 0.3], [4, 5, 6])
    moved = sitk.TranslationTransform(3, [1.0, 2.0, 3.0])
    both = sitk.CompositeTransform([euler, affine, moved, similar])
    points = rng.normal(size=(20, 3))
    for at, transform in enumerate((affine, euler, other, versor, similar, moved, both, sitk.Transform(3, sitk.sitkIdentity))):
        sitk.WriteTransform(transform, str(tmp_path / f"{at}.tfm"))
        matrix, shift = read_affine(tmp_path / f"{at}.tfm")
        theirs = np.array([transform.TransformPoint(p) for p in points.tolist()])
        np.testing.assert_allclose(points @ matrix.T + shift, theirs, atol=1e-9)
    spline = sitk.BSplineTransform(3)
    sitk.WriteTransform(spline, str(tmp_path / "spline.tfm"))
    with pytest.raises(errors.FormatError, match="BSplineTransform"):
        read_affine(tmp_path / "spline.tfm")
    # A field on a grid of its own: resampled to that of the fixed volume.
    image = sitk.GetImageFromArray(0.02 * rng.normal(size=(8, 9, 10, 3)), isVector=True)
    image.SetSpacing([0.15, 0.14, 0.2])
    image.SetOrigin([-0.3, -0.2, -0.1])
    image = sitk.Cast(sitk.SmoothingRecursiveGaussian(image, 0.3), sitk.sitkVectorFloat64)
    for ending in ("nrrd", "nii.gz", "nii"):
        sitk.WriteImage(image, str(tmp_path / f"field.{ending}"), useCompression=ending == "nrrd")
        found = zs.im.import_itk(displacements=tmp_path / f"field.{ending}", **ENDS)
        field = sitk.DisplacementFieldTransform(sitk.Image(image))
        grid = np.indices(FIXED[0]).reshape(3, -1).T * np.array(FIXED[1])
        theirs = np.array([field.TransformPoint(p) for p in (grid[:, ::-1] / 1000).tolist()])[:, ::-1] * 1000
        assert voxels(found.transform_points(grid, inverse=True), theirs) < 1e-3


def test_files_are_those_that_itk_was_shown(tmp_path):
    """Golden: the files, byte by byte but for compression, and where SimpleITK took the points by them."""
    registration = planted()
    with np.load(GOLDEN / "itk.npz") as held:
        theirs, ants = held["moving_points"], held["ants_points"]
    for ending in ("nrrd", "nii.gz"):
        folder = tmp_path / ending
        registration.export_itk(folder, fixed_space=TURNED, moving_space="psl", format=ending)
        assert (folder / "affine.tfm").read_text() == (GOLDEN / "affine.tfm").read_text()

        def content(file):
            data = file.read_bytes()
            head, mark, data = data.partition(b"\n\n") if data.startswith(b"NRRD") else (b"", b"", data)
            return head, gzip.decompress(data)

        ours, golden = content(folder / f"displacements.{ending}"), content(GOLDEN / f"displacements.{ending}")
        assert ours[0] == golden[0] and len(ours[1]) == len(golden[1])
        # The last bit of a sine is the machine's.
        a, b = (np.frombuffer(data[352:] if ending == "nii.gz" else data, "<f4") for data in (ours[1], golden[1]))
        np.testing.assert_allclose(a, b, atol=1e-8)
        files = (GOLDEN / "affine.tfm", GOLDEN / f"displacements.{ending}")
        read = zs.im.import_itk(*files, **ENDS, fixed_space=TURNED, moving_space="psl")
        assert voxels(read.transform_points(POINTS, inverse=True), theirs) < 1e-4
    # ANTs' own files: 0GenericAffine.mat and 1Warp.nii.gz.
    read = zs.im.import_itk(GOLDEN / "ants0GenericAffine.mat", GOLDEN / "ants1Warp.nii.gz", **ENDS)
    assert voxels(read.transform_points(POINTS, inverse=True), ants) < 1e-4


def test_itk_bad_input(tmp_path):
    registration = planted()
    with pytest.raises(errors.ParameterError, match="format"):
        registration.export_itk(tmp_path / "a", format="mha")
    for space in ("asx", "aaa", ([0, 0], np.eye(3)), ([0, 0, 0], np.zeros((3, 3))), 5):
        with pytest.raises(errors.ParameterError, match="fixed_space"):
            registration.export_itk(tmp_path / "a", fixed_space=space)
    assert not list(tmp_path.iterdir())
    with pytest.raises(errors.ParameterError, match="at least one"):
        zs.im.import_itk(**ENDS)
    with pytest.raises(errors.FileError, match=r"nothing\.tfm"):
        zs.im.import_itk(tmp_path / "nothing.tfm", **ENDS)
    for name, content in [("a.tfm", b"hello"), ("b.tfm", b"#Insight Transform File V1.0\n"), ("c.mat", b"\0" * 200)]:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(errors.DataError, match=name):
            zs.im.import_itk(tmp_path / name, **ENDS)
    registration.export_itk(tmp_path / "itk")
    whole = (tmp_path / "itk" / "displacements.nrrd").read_bytes()
    for cut in (3, 100, len(whole) // 2):
        (tmp_path / "cut.nrrd").write_bytes(whole[:cut])
        with pytest.raises(errors.DataError, match=r"cut\.nrrd"):
            zs.im.import_itk(displacements=tmp_path / "cut.nrrd", **ENDS)


@pytest.mark.parametrize("orientation", [None, "psl", "ail"])
def test_brainglobe_fields_there_and_back(tmp_path, orientation):
    turns = {None: None, "psl": [[-1, 0, 0], [0, 1, 0], [0, 0, -1]], "ail": [[1, 0, 0], [0, -1, 0], [0, 0, -1]]}
    field = np.ascontiguousarray(planted().displacements)
    linear = planted().affine
    if orientation:
        # A sample turned as its header says, bent a little.
        matrix = np.array(turns[orientation], float) @ (np.eye(3) + [[0.05, 0.02, 0], [0, -0.04, 0.03], [0.02, 0, 0.01]])
        length = np.array(MOVING[0]) * MOVING[1]
        linear = np.column_stack([matrix, np.where(matrix.sum(1) < -0.5, length, 0) + 10.0])
    core = _core.Registration(field, planted().displacement_spacing, np.ascontiguousarray(linear), FIXED, MOVING, "{}")
    registration = zs.im.Registration(core)
    registration.export_brainglobe(tmp_path / "fields", orientation=orientation)
    fields = [np.asarray(zs.im.open(tmp_path / "fields" / f"deformation_field_{axis}.tiff")) for axis in range(3)]
    if orientation is None:
        # The map exchanges two axes: the nearest turn is found from it.
        assert fields[0].shape == (13, 10, 16)
        assert not np.isnan(fields).any()
        return
    assert fields[0].shape == tuple(round(n * u / f) for n, u, f in zip(MOVING[0], MOVING[1], FIXED[1], strict=True))
    # As BrainGlobe maps points: turned and scaled, rounded to the voxel of the field, in millimetres.
    sample = registration.transform_points(POINTS, inverse=True)
    back = np.array(["asr"[axis] != orientation[axis] for axis in range(3)])
    scaled = np.where(back, np.array(MOVING[0]) * MOVING[1] - sample, sample) / FIXED[1]
    inside = ((scaled >= 0) & (scaled < np.array(fields[0].shape) - 1)).all(axis=1)
    assert inside.sum() > 50
    at = tuple(np.rint(scaled[inside]).astype(int).T)
    theirs = 1000 * np.stack([field[at] for field in fields], -1)
    assert np.abs((theirs - POINTS[inside]) / FIXED[1]).max() < 0.75
    read = zs.im.import_brainglobe(tmp_path / "fields", **ENDS, moving_orientation=orientation)
    home = read.transform_points(sample[inside])
    # Fields are sampled at the spacing of the atlas on both ways.
    assert np.median(np.abs((home - POINTS[inside]) / FIXED[1])) < 0.02
    assert np.abs((home - POINTS[inside]) / FIXED[1]).max() < 0.1


def test_brainglobe_maps_points_alike(tmp_path):
    """Golden: points mapped by brainglobe-utils, rounded to voxels of the atlas."""
    with np.load(GOLDEN / "brainglobe.npz") as held:
        fields, raw, theirs = held["fields"], held["raw_points"], held["atlas_points"]
    for axis, field in enumerate(fields):
        write_tiff(tmp_path / f"deformation_field_{axis}.tiff", field)
    sample, atlas = np.zeros((40, 36, 30), "u1"), np.zeros((24, 22, 24), "u1")
    read = zs.im.import_brainglobe(
        tmp_path, fixed=atlas, moving=sample, fixed_spacing=100, moving_spacing=50, moving_orientation="psl"
    )
    ours = read.transform_points(raw * 50.0) / 100
    # Rounded to whole voxels there: never farther than half of one, and what two samplings of a bent field differ by.
    assert len(raw) > 100 and np.abs(ours - theirs).max() < 0.52
    assert np.median(np.abs(ours - theirs)) < 0.3


def test_brainglobe_bad_input(tmp_path):
    with pytest.raises(errors.ParameterError, match="moving_orientation"):
        zs.im.import_brainglobe(tmp_path, **ENDS)
    with pytest.raises(errors.FileError, match=r"deformation_field_0\.tiff"):
        zs.im.import_brainglobe(tmp_path, **ENDS, moving_orientation="asr")
    with pytest.raises(errors.ParameterError, match="orientation"):
        planted().export_brainglobe(tmp_path / "a", orientation="xyz")
    planted().export_brainglobe(tmp_path / "fields")
    with pytest.raises(errors.ShapeError, match="is the orientation right"):
        zs.im.import_brainglobe(tmp_path / "fields", **ENDS, moving_orientation="asr")
    write_tiff(tmp_path / "fields" / "deformation_field_1.tiff", np.zeros((2, 3, 4), "f4"))
    with pytest.raises(errors.ShapeError, match="one shape"):
        zs.im.import_brainglobe(tmp_path / "fields", **ENDS, moving_orientation="asr")
