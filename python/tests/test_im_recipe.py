"""The whole way, `zensaibo cells` and `im.recipe`; `zensaibo register` and `count` alone: against the truth of a generated
organ, against the functions they are made of, resumed, and refused."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import zensaibo as zs
from zensaibo import errors

OPTIONS = ["--soma-diameter", "10", "--classifier", "none", "--set", "detect.threshold=9", "--orientation", "psl"]


def command(*arguments: object, **options) -> subprocess.CompletedProcess:
    line = [sys.executable, "-m", "zensaibo", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, **options)


@pytest.fixture(scope="module")
def organ(tmp_path_factory: pytest.TempPathFactory) -> tuple[zs.datasets.PhantomOrgan, Path]:
    made = zs.datasets.phantom_organ(1200, seed=3)
    return made, made.save(tmp_path_factory.mktemp("organ") / "organ")


@pytest.fixture(scope="module")
def run(organ, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One run of the command, which the tests read."""
    folder, out = organ[1], tmp_path_factory.mktemp("run") / "out"
    done = command(*line(folder, out))
    assert done.returncode == 0, done.stderr
    return out


def line(folder: Path, out: Path, *more: object) -> list[object]:
    sources = [folder / "signal.ome.zarr", "--background", folder / "background.ome.zarr"]
    return ["cells", *sources, "--atlas", folder / "atlas", "-o", out, *OPTIONS, *more]


def test_truth_of_the_organ_is_consistent(organ):
    made, folder = organ
    there = made.cells[["atlas_z", "atlas_y", "atlas_x"]].to_numpy()
    here = made.cells[["z", "y", "x"]].to_numpy()
    assert np.abs(made.to_atlas(here) - there).max() < 1e-6
    assert np.abs(made.to_sample(there) - here).max() < 1e-6
    # Where the annotation says a structure is, the template is bright; the tables agree on the cells.
    ids = made.atlas.annotation
    assert (made.atlas.template[ids > 0].mean() > 300) and (made.atlas.template[ids == 0].mean() < 20)
    table = zs.im.count_regions(there, made.atlas).set_index("acronym")
    for name, count in made.cells["region"].value_counts().items():
        assert abs(int(table.loc[name, "own_cell_count"]) - count) < 0.03 * len(there)
    again = zs.datasets.phantom_organ(1200, seed=3)
    assert np.array_equal(np.asarray(again.signal), np.asarray(made.signal))
    assert zs.im.open(folder / "signal.ome.zarr").spacing == (6, 3, 3)


def test_counts_come_near_the_truth(organ, run):
    made, _ = organ
    cells = pd.read_parquet(run / "cells.parquet")
    found = zs.metrics.detection_scores(cells[["z", "y", "x"]].to_numpy(), made.cells[["z", "y", "x"]].to_numpy(), radius=6.0)
    assert found.f1 > 0.97, found
    # Every cell where it belongs, within a voxel of the atlas (10 um) as a rule.
    truth = made.to_atlas(cells[["z", "y", "x"]].to_numpy())
    missed = np.linalg.norm(cells[["atlas_z", "atlas_y", "atlas_x"]].to_numpy() - truth, axis=1)
    assert np.median(missed) < 5.5 and np.quantile(missed, 0.95) < 12.0, (np.median(missed), np.quantile(missed, 0.95))
    table = pd.read_csv(run / "regions.csv").set_index("acronym")
    counted = made.cells["region"].value_counts()
    for name, count in counted.items():
        assert abs(int(table.loc[name, "own_cell_count"]) - count) < 0.06 * count + 6, name
    assert table.loc["organ", "total_cells"] == table["own_cell_count"].sum()
    assert table.loc["shell", "total_cells"] == table.loc[["shell", "shell-a", "shell-p"], "own_cell_count"].sum()
    nowhere = cells["region"].isin(["background", "outside", "lost"]).sum()
    assert table["own_cell_count"].sum() + nowhere == len(cells)


def test_the_command_does_what_the_functions_do(organ, run):
    import anndata as ad

    made, folder = organ
    signal, background = (zs.im.open(folder / f"{name}.ome.zarr") for name in ("signal", "background"))
    cells = zs.im.detect_cells(signal, background, soma_diameter=10, classifier=None, threshold=9)
    found = zs.im.register(background, made.atlas.template, fixed_spacing=made.atlas.spacing, moving_orientation="psl", fixed_orientation="asr")
    table = zs.im.count_regions(cells, made.atlas, found)
    stored = ad.read_h5ad(run / "cells.h5ad")
    assert np.array_equal(stored.obsm["spatial"], cells.obsm["spatial"])
    assert np.array_equal(stored.obsm["spatial_atlas"], cells.obsm["spatial_atlas"])
    for column in ("region", "region_id", "hemisphere", "score", "volume"):
        assert stored.obs[column].tolist() == cells.obs[column].tolist(), column
    kept = zs.im.load_registration(run / "registration")
    assert np.array_equal(kept.displacements, found.displacements) and np.array_equal(kept.affine, found.affine)
    assert kept.report()["correlation"] == found.report()["correlation"]
    written = pd.read_csv(run / "regions.csv")
    for column in written.columns:
        if written[column].dtype.kind in "iuf":
            np.testing.assert_allclose(written[column].to_numpy(float), table[column].to_numpy(float), rtol=1e-12)
        else:
            assert written[column].tolist() == table[column].tolist(), column
    steps = json.loads(str(stored.uns["zensaibo"])) if isinstance(stored.uns["zensaibo"], str) else stored.uns["zensaibo"]
    assert {"detect_cells", "register", "count_regions"} <= set(steps)


def test_parts_alone_give_the_same(organ, run, tmp_path):
    _, folder = organ
    reg, regions, placed = tmp_path / "registration", tmp_path / "regions.csv", tmp_path / "placed.parquet"
    background = folder / "background.ome.zarr"
    page = tmp_path / "page.html"
    done = command("register", background, "--orientation", "psl", "--atlas", folder / "atlas", "-o", reg, "--report", page)
    assert done.returncode == 0, done.stderr
    a, b = zs.im.load_registration(reg), zs.im.load_registration(run / "registration")
    assert np.array_equal(a.displacements, b.displacements) and np.array_equal(a.affine, b.affine)
    assert page.read_text().count("<image ") == 6
    done = command("count", run / "cells.parquet", "--registration", reg, "--atlas", folder / "atlas", "-o", regions, "--cells", placed)
    assert done.returncode == 0, done.stderr
    assert regions.read_text() == (run / "regions.csv").read_text()
    first, second = pd.read_parquet(run / "cells.parquet"), pd.read_parquet(placed)
    assert first["region"].tolist() == second["region"].tolist() and np.array_equal(first["atlas_z"], second["atlas_z"])
    # Shared by processes: the same bits, whatever the number of parts; more cells than a part maps at once.
    many, work = tmp_path / "many.parquet", tmp_path / "work"
    rng = np.random.default_rng(0)
    drawn = first.sample(60_000, replace=True, random_state=0)[["z", "y", "x"]] + rng.normal(0, 30, (60_000, 3))
    drawn.to_parquet(many, index=False)
    files = ["--registration", reg, "--set", f"atlas.path={folder / 'atlas'}", "--work", work]
    done = command("count", many, "--registration", reg, "--atlas", folder / "atlas", "-o", tmp_path / "one.csv", "--cells", placed)
    assert done.returncode == 0, done.stderr
    merge = ["merge", many, "--recipe", "count", *files, "-o", tmp_path / "merged.csv", "--table", tmp_path / "merged.parquet"]
    lacking = command(*merge)
    assert lacking.returncode == 3 and "place-cells" in lacking.stderr and not (tmp_path / "merged.csv").exists()
    assert command("run-blocks", "list", "--recipe", "count").stdout.split() == ["place-cells"]
    for part in (3, 1, 2):
        done = command("run-blocks", "place-cells", many, "--recipe", "count", *files, "--blocks", f"{part}/3", "-t", part)
        assert done.returncode == 0, done.stderr
    parts = [(work / "steps" / "place-cells" / f"part-{part}-of-3").stat().st_size for part in (1, 2, 3)]
    assert min(parts) > 24 * 10_000
    done = command(*merge)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "merged.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "merged.parquet"), pd.read_parquet(placed), check_exact=True)
    for wrong, words in ((["--background", many], "none for count"), (["--memory", "1GiB"], "none for count")):
        done = command(*merge, *wrong)
        assert done.returncode == 2 and words in done.stderr, done.stderr
    done = command(*merge, "--set", "cells.spacing=[1,1,1]")
    assert done.returncode == 2 and "other options" in done.stderr
    # Another registration is another run.
    (reg / "zarr.json").touch()
    done = command(*merge)
    assert done.returncode == 2 and "an input that changed" in done.stderr
    # Without a registration the places are those of the atlas.
    moved = tmp_path / "moved.csv"
    first[["atlas_z", "atlas_y", "atlas_x"]].set_axis(["z", "y", "x"], axis=1).to_csv(moved, index=False)
    done = command("count", moved, "--atlas", folder / "atlas", "-o", tmp_path / "again.csv")
    assert done.returncode == 0, done.stderr
    own = pd.read_csv(tmp_path / "again.csv")["own_cell_count"]
    assert own.tolist() == pd.read_csv(regions)["own_cell_count"].tolist()


def test_cells_counted_by_workers_are_those_of_one_process(organ, run, tmp_path):
    distributed = pytest.importorskip("distributed", reason="dask.distributed is not installed")
    many, reg, atlas = tmp_path / "many.parquet", run / "registration", organ[1] / "atlas"
    places = pd.read_parquet(run / "cells.parquet").sample(40_000, replace=True, random_state=1)[["z", "y", "x"]]
    (places + np.random.default_rng(1).normal(0, 30, places.shape)).to_parquet(many, index=False)
    done = command("count", many, "--registration", reg, "--atlas", atlas, "-o", tmp_path / "one.csv", "--cells", tmp_path / "one.parquet")
    assert done.returncode == 0, done.stderr
    told = []
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        summary = zs.dist.count(
            client,
            many,
            tmp_path / "two.csv",
            {"atlas": {"path": str(atlas)}},
            registration=reg,
            table=tmp_path / "two.parquet",
            work=tmp_path / "work",
            n_parts=3,
            progress=lambda stage, now, total: told.append((stage, now, total)),
        )
        with pytest.raises(zs.errors.FileError, match="nowhere"):
            zs.dist.count(client, tmp_path / "nowhere.parquet", tmp_path / "x.csv", work=tmp_path / "other")
    assert summary["cells"] == 40_000 and ("place-cells", 3, 3) in told
    assert (tmp_path / "two.csv").read_bytes() == (tmp_path / "one.csv").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(tmp_path / "two.parquet"), pd.read_parquet(tmp_path / "one.parquet"), check_exact=True)


def test_python_is_the_command(organ, run, tmp_path):
    _, folder = organ
    cells = zs.im.recipe(
        folder / "signal.ome.zarr",
        tmp_path / "out",
        folder / "background.ome.zarr",
        config={"classifier": {"model": "none"}, "detect": {"threshold": 9}},
        atlas=folder / "atlas",
        orientation="psl",
        soma_diameter=10,
        threads=1,
        memory="300MiB",
    )
    first = pd.read_parquet(run / "cells.parquet")
    assert cells.obs["region"].tolist() == first["region"].tolist()
    assert np.array_equal(cells.obsm["spatial_atlas"][:, ::-1], first[["atlas_z", "atlas_y", "atlas_x"]].to_numpy())
    assert (tmp_path / "out" / "regions.csv").read_bytes() == (run / "regions.csv").read_bytes()


def test_a_run_goes_on_where_it_was(organ, run, tmp_path):
    _, folder = organ
    out = tmp_path / "out"
    shutil.copytree(run, out)
    before = (out / "cells.parquet").read_bytes()
    done = command(*line(folder, out))
    assert done.returncode == 0 and done.stdout.count("from the earlier run") == 2, done.stdout
    assert (out / "cells.parquet").read_bytes() == before
    # A file that somebody touched is not trusted: that stage runs again.
    os.utime(out / ".stages" / "detected.parquet")
    done = command(*line(folder, out))
    assert done.returncode == 0 and done.stdout.count("from the earlier run") == 1, done.stdout
    assert (out / "cells.parquet").read_bytes() == before
    # Other options of the registration leave the cells as they were found.
    done = command(*line(folder, out, "--set", "register.iterations=[20]"))
    assert done.returncode == 0 and done.stdout.count("from the earlier run") == 1, done.stdout
    assert (out / "cells.parquet").read_bytes() != before


def test_interrupted_runs_leave_whole_stages(organ, tmp_path):
    _, folder = organ
    out = tmp_path / "out"
    process = subprocess.Popen(
        [sys.executable, "-m", "zensaibo", *map(str, line(folder, out))], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    limit = time.monotonic() + 300
    # Once the cells are there the registration has begun.
    while not (out / ".stages" / "detected.parquet").exists() and time.monotonic() < limit:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130, told
    assert not (out / "registration").exists() and not (out / "report.html").exists()
    assert sorted(p.name for p in out.iterdir() if "partial" in p.name) == []
    done = command(*line(folder, out))
    assert done.returncode == 0 and done.stdout.count("from the earlier run") <= 1, done.stderr
    assert (out / "report.html").exists()


def test_report_is_whole(run):
    page = (run / "report.html").read_text()
    assert page.endswith("</html>\n") and "Cells per structure" in page and "http://" not in page
    # Six of the registration, three of the atlas, two projections and close-ups of the sample.
    assert page.count("<image ") >= 11
    assert "nucleus" in page and "correlation with the template" in page


@pytest.mark.parametrize(
    ("change", "code", "message"),
    [
        (["--set", "atlas.path=nowhere"], 3, "nowhere: cannot read"),
        (["--set", "sample.volume=dapi"], 2, "background or signal"),
        (["--orientation", "psx"], 2, "orientation"),
        (["--set", "register.radius=0"], 2, "register.radius"),
        (["--set", "atlas.annotation=x.nrrd"], 2, "none beside a folder"),
        (["--set", "detect.soma_diamter=3"], 2, "soma_diameter"),
    ],
)
def test_bad_options_are_named(organ, tmp_path, change, code, message):
    _, folder = organ
    done = command(*line(folder, tmp_path / "out", *change))
    assert done.returncode == code and message in done.stderr, (done.returncode, done.stderr)


def test_folders_of_others_are_left_alone(organ, tmp_path):
    _, folder = organ
    (tmp_path / "thesis.txt").write_text("mine")
    done = command(*line(folder, tmp_path))
    assert done.returncode == 2 and "thesis.txt" in done.stderr
    done = command("register", folder / "signal.ome.zarr", "--atlas", folder / "atlas", "-o", tmp_path)
    assert done.returncode == 2 and "registration" in done.stderr
    assert os.listdir(tmp_path) == ["thesis.txt"]


def test_untrusted_registrations_end_with_reasons(organ, tmp_path):
    _, folder = organ
    rng = np.random.default_rng(0)
    noise = tmp_path / "noise.npy"
    np.save(noise, rng.integers(0, 1000, (60, 60, 60)).astype(np.uint16))
    out = tmp_path / "out"
    arguments = ["cells", noise, "--spacing", "10,10,10", "--orientation", "asr", "--atlas", folder / "atlas", "-o", out]
    done = command(*arguments, "--classifier", "none", "--soma-diameter", "30")
    assert done.returncode == 4 and "not to be trusted" in done.stderr and "report.html" in done.stderr, done.stderr
    assert "Not to be trusted" in (out / "report.html").read_text()
    assert not (out / "cells.h5ad").exists() and not (out / "registration").exists()
    with pytest.raises(errors.NotTrustworthyError, match="registration"):
        zs.im.recipe(noise, tmp_path / "two", config={"classifier": {"model": "none"}}, atlas=folder / "atlas", spacing=(10, 10, 10), orientation="asr", soma_diameter=30)
    done = command("register", noise, "--spacing", "10,10,10", "--atlas", folder / "atlas", "-o", tmp_path / "reg", "--trust")
    assert done.returncode == 0 and (tmp_path / "reg" / "zarr.json").exists(), done.stderr


def test_landmarks_come_from_a_table(organ, run, tmp_path):
    _, folder = organ
    found = zs.im.load_registration(run / "registration")
    fixed = 10.0 + np.random.default_rng(4).random((12, 3)) * (np.array(found.displacements.shape[:3]) * found.displacement_spacing - 20.0)
    moving = found.transform_points(fixed, inverse=True) + 15.0
    table = tmp_path / "landmarks.csv"
    columns = [f"{side}_{axis}" for side in ("moving", "fixed") for axis in "zyx"]
    pd.DataFrame(np.hstack([moving, fixed]), columns=columns).to_csv(table, index=False)
    background = folder / "background.ome.zarr"
    base = ["register", background, "--orientation", "psl", "--atlas", folder / "atlas", "--landmarks", table]
    done = command(*base, "-o", tmp_path / "measured", "--set", "register.landmark_weight=0")
    assert done.returncode == 0, done.stderr
    assert "12 landmarks are missed by: median 26.0 um" in done.stdout, done.stdout
    measured = zs.im.load_registration(tmp_path / "measured")
    assert np.array_equal(measured.displacements, found.displacements)
    done = command(*base, "-o", tmp_path / "drawn", "--set", "register.landmark_weight=10")
    assert done.returncode == 0, done.stderr
    drawn = zs.im.load_registration(tmp_path / "drawn")
    assert np.median(drawn.report()["landmark_errors"]) < 0.6 * np.median(measured.report()["landmark_errors"])
    atlas = zs.im.load_atlas(folder / "atlas")
    own = zs.im.register(
        background, atlas.template, moving_orientation="psl", fixed_spacing=atlas.spacing, fixed_orientation=atlas.orientation,
        landmarks=(moving, fixed), landmark_weight=10,
    )
    assert np.array_equal(own.displacements, drawn.displacements)


def test_tables_that_are_no_landmarks_are_named(organ, tmp_path):
    _, folder = organ
    base = ["register", folder / "background.ome.zarr", "--atlas", folder / "atlas", "-o", tmp_path / "out", "--landmarks"]
    columns = [f"{side}_{axis}" for side in ("moving", "fixed") for axis in "zyx"]
    for rows, names, message in [
        (np.zeros((2, 5)), columns[:5], "a column fixed_x"),
        (np.zeros((0, 6)), columns, "no row"),
        (np.array([[0.0] * 6, [np.inf] * 6]), columns, "row 1"),
    ]:
        table = tmp_path / "landmarks.csv"
        pd.DataFrame(rows, columns=names).to_csv(table, index=False)
        done = command(*base, table)
        assert done.returncode == 3 and message in done.stderr and "landmarks.csv" in done.stderr, done.stderr
    done = command(*base, tmp_path / "nowhere.csv")
    assert done.returncode == 3 and "nowhere.csv" in done.stderr
    assert not (tmp_path / "out").exists()


def test_registrations_to_another_grid_are_refused(organ, run, tmp_path):
    made, folder = organ
    other = tmp_path / "atlas"
    shutil.copytree(folder / "atlas", other)
    shutil.rmtree(other / "annotation.ome.zarr")
    np.save(other / "annotation.npy", made.atlas.annotation[:-1])
    done = command("count", run / "cells.parquet", "--registration", run / "registration", "--atlas", other, "-o", tmp_path / "r.csv")
    assert done.returncode == 3 and "grid of atlas" in done.stderr, done.stderr
    assert not (tmp_path / "r.csv").exists()
