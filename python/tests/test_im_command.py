"""Cells in files and on the command line: the same from Python and from `zensaibo`, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import zensaibo as zs
from conftest import data_path
from zensaibo.errors import DataError, FileError, FormatError, NonFiniteError, ParameterError, ShapeError

SPACING = (5.0, 2.0, 2.0)


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "zensaibo", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def done(*arguments: object) -> str:
    run = command(*arguments)
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture(scope="module")
def phantom() -> zs.datasets.PhantomVolume:
    return zs.datasets.phantom_volume((36, 140, 150), spacing=SPACING, nuclei=110, gap=5, seed=3)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, phantom: zs.datasets.PhantomVolume) -> Path:
    folder = tmp_path_factory.mktemp("command")
    zs.im.write(phantom.volume, folder / "signal.ome.zarr")
    return folder


@pytest.fixture(scope="module")
def cells(place: Path) -> ad.AnnData:
    return zs.im.detect_cells(place / "signal.ome.zarr", soma_diameter=16)


def same_cells(a: ad.AnnData, b: ad.AnnData) -> None:
    pd.testing.assert_frame_equal(a.obs, b.obs, check_exact=True)
    np.testing.assert_array_equal(a.obsm["spatial"], b.obsm["spatial"])
    assert dict(a.uns["spatial_space"]) == dict(b.uns["spatial_space"])


def test_a_phantom_knows_its_truth(phantom: zs.datasets.PhantomVolume) -> None:
    picture, labels = np.asarray(phantom.volume), np.asarray(phantom.labels)
    assert picture.dtype == np.uint16 and labels.dtype == np.uint32 and picture.shape == labels.shape == (36, 140, 150)
    assert phantom.volume.spacing == phantom.labels.spacing == SPACING
    np.testing.assert_array_equal(np.asarray(phantom.volume[3:9, 20:71, 11:]), picture[3:9, 20:71, 11:])
    np.testing.assert_array_equal(np.asarray(phantom.labels[3:9, 20:71, 11:]), labels[3:9, 20:71, 11:])
    table = phantom.cells
    assert len(table) == 110 and list(table["label"]) == list(range(1, 111))
    at = np.rint(phantom.centres / SPACING).astype(int)
    np.testing.assert_array_equal(labels[tuple(at.T)], table["label"])
    inside = np.bincount(labels.ravel(), minlength=111)[1:] * np.prod(SPACING)
    whole = ~((phantom.centres < 12) | (phantom.centres > (np.array(picture.shape) - 1) * SPACING - 12)).any(1)
    volume = np.pi / 6 * table["diameter"].to_numpy() ** 3
    np.testing.assert_allclose(inside[whole], volume[whole], rtol=0.2)
    assert abs(inside[whole].sum() / volume[whole].sum() - 1) < 0.02
    assert picture[labels > 0].mean() > picture[labels == 0].mean() + 200
    again = zs.datasets.phantom_volume((36, 140, 150), spacing=SPACING, nuclei=110, gap=5, seed=3)
    np.testing.assert_array_equal(np.asarray(again.volume), picture)


def test_defects_of_a_phantom_are_what_they_say() -> None:
    def made(**options: object) -> np.ndarray:
        plain = {"spacing": (4, 2, 2), "nuclei": 0, "unevenness": 0.0, "photons": 0.0, "read_noise": 0.0, "seed": 1}
        return np.asarray(zs.datasets.phantom_volume((20, 64, 64), **{**plain, **options}).volume).astype(float) - 100

    flat = made()
    assert (flat == 150).all()
    fading = made(attenuation=40.0)
    np.testing.assert_allclose(fading[10] / fading[0], np.exp(-1), rtol=0.02)
    tiles = made(tile=64.0, tile_gain=0.3)
    assert tiles[0, :32, :32].std() == 0 and len(np.unique(tiles[0, ::32, ::32])) == 4
    stripes = made(stripes=0.2)
    assert (stripes.std(2) == 0).all() and stripes.mean(2).std() > 15
    bleached = made(bleaching=0.5)
    assert 0.5 <= bleached[-1].mean() / bleached[0].mean() < 0.56
    assert (made(tears=2, tear_width=20.0) == 0).mean() > 0.05
    pairs = zs.datasets.phantom_volume((40, 100, 100), spacing=(4, 2, 2), nuclei=60, pairs=1.0, pair_gap=1.0, gap=4.0)
    gaps = np.linalg.norm(pairs.centres[:, None] - pairs.centres, axis=2) + 1e9 * np.eye(len(pairs.cells))
    assert pairs.cells["paired"].all() and np.median(gaps.min(1)) < 19
    with pytest.raises(ParameterError, match="nuclei"):
        zs.datasets.phantom_volume((10, 20, 20), nuclei=10_000)
    with pytest.raises(ParameterError, match="bleaching"):
        zs.datasets.phantom_volume(bleaching=2)


@pytest.mark.parametrize("ending", ["parquet", "csv", "h5ad"])
def test_the_command_finds_the_same_cells(place: Path, cells: ad.AnnData, ending: str) -> None:
    path = place / f"found.{ending}"
    text = done("detect", place / "signal.ome.zarr", "--soma-diameter", 16, "-o", path, "--threads", 1, "--memory", "200MB")
    assert f"{cells.n_obs} cells" in text
    read = zs.im.read_cells(path)
    same_cells(read, cells)
    if ending == "csv":
        return
    assert {key: float(value) for key, value in read.uns["detection"].items()} == cells.uns["detection"]
    ours, theirs = (x.uns["zensaibo"]["detect_cells"] for x in (cells, read))
    assert ours["version"] == theirs["version"] and set(ours["options"]) == set(theirs["options"])
    for name, value in ours["options"].items():
        np.testing.assert_array_equal(theirs["options"][name], value, err_msg=name)


def test_written_from_python_and_by_the_command_are_one_file(place: Path, cells: ad.AnnData) -> None:
    for ending in ("parquet", "csv"):
        done("detect", place / "signal.ome.zarr", "--soma-diameter", 16, "-o", place / f"a.{ending}", "--quiet")
        zs.im.write_cells(place / f"b.{ending}", cells)
    assert (place / "a.csv").read_bytes() == (place / "b.csv").read_bytes()
    done("detect", place / "signal.ome.zarr", "--soma-diameter", 16, "-o", place / "a.xml", "--quiet")
    zs.im.write_points(place / "b.xml", cells, spacing=SPACING)
    assert (place / "a.xml").read_bytes() == (place / "b.xml").read_bytes()
    pq = pytest.importorskip("pyarrow.parquet")
    a, b = pq.read_table(place / "a.parquet"), pq.read_table(place / "b.parquet")
    assert a.equals(b)
    said = [{key.decode(): value.decode() for key, value in table.schema.metadata.items()} for table in (a, b)]
    assert said[0]["unit"] == said[1]["unit"] == "micrometer"
    for key in ("spacing", "detection", "zensaibo"):
        assert json.loads(said[0][key]) == json.loads(said[1][key])
    assert json.loads(said[0]["spacing"]) == list(SPACING)


def test_parquet_opens_in_pandas_with_the_columns_of_obs(place: Path, cells: ad.AnnData) -> None:
    pytest.importorskip("pyarrow")
    zs.im.write_cells(place / "cells.parquet", cells)
    table = pd.read_parquet(place / "cells.parquet")
    assert list(table.columns) == [*cells.obs.columns, "z", "y", "x"]
    pd.testing.assert_frame_equal(table[cells.obs.columns], cells.obs.reset_index(drop=True), check_exact=True)
    np.testing.assert_array_equal(table[["x", "y", "z"]], cells.obsm["spatial"])
    # What pandas writes is read: an index, a gap, Snappy and Zstandard.
    table["name"] = [f"cell {n}" for n in range(len(table))]
    table.loc[3, "score"] = np.nan
    for codec in ("snappy", "zstd", None):
        table.to_parquet(place / "pandas.parquet", compression=codec)
        read = zs.im.read_cells(place / "pandas.parquet")
        pd.testing.assert_frame_equal(
            read.obs.reset_index(drop=True), table.drop(columns=["z", "y", "x"]), check_exact=True, check_dtype=False
        )


def test_cells_come_back_from_files(tmp_path: Path, cells: ad.AnnData) -> None:
    for ending in ("parquet", "csv"):
        path = tmp_path / f"cells.{ending}"
        zs.im.write_cells(path, cells)
        same_cells(zs.im.read_cells(path), cells)
        none = cells[:0].copy()
        zs.im.write_cells(path, none)
        assert zs.im.read_cells(path).n_obs == 0
    tracks = zs.im.track([cells, cells], max_speed=5)
    zs.im.write_cells(tmp_path / "tracks.csv", tracks)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tracks.csv", float_precision="round_trip"), tracks)
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n")
    for call, fault in [
        (lambda: zs.im.read_cells(tmp_path / "bad.csv"), DataError),
        (lambda: zs.im.read_cells(tmp_path / "bad.txt"), FormatError),
        (lambda: zs.im.read_cells(tmp_path / "none.parquet"), FileError),
        (lambda: zs.im.write_cells(tmp_path / "x.txt", cells), ParameterError),
        (lambda: zs.im.write_cells(tmp_path / "x.csv", 3), ParameterError),
        (lambda: zs.im.write_cells(tmp_path / "x.csv", ad.AnnData(np.zeros((2, 1)))), ShapeError),
    ]:
        with pytest.raises(fault):
            call()
    zs.im.write_cells(tmp_path / "um.csv", cells)
    with pytest.raises(DataError, match="read_cells"):
        zs.im.read_points(tmp_path / "um.csv", spacing=SPACING)
    damaged = (tmp_path / "cells.parquet").read_bytes()
    (tmp_path / "cells.parquet").write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(FormatError, match=r"cells\.parquet"):
        zs.im.read_cells(tmp_path / "cells.parquet")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.csv", "cells.csv", "cells.parquet", "tracks.csv", "um.csv"]


def test_the_command_segments_alike(place: Path) -> None:
    pytest.importorskip("pyarrow")
    source = place / "signal.ome.zarr"
    labels, nuclei = zs.im.segment_nuclei(source, diameter=16)
    out = place / "labels.ome.zarr"
    done("segment", source, "--diameter", 16, "-o", out, "--table", place / "n.parquet", "--report", place / "n.html")
    np.testing.assert_array_equal(np.asarray(zs.im.open(out)), labels)
    table = pd.read_parquet(place / "n.parquet")
    ours = nuclei.obs.reset_index(drop=True)
    assert sorted(table.columns) == sorted(ours.columns)
    for name in ours:
        np.testing.assert_array_equal(table[name], ours[name], err_msg=name)
        assert table[name].dtype == ours[name].dtype, name
    done("segment", source, "--diameter", 16, "-o", out, "--table", place / "n.h5ad", "--quiet", "--threads", 1)
    stored = ad.read_h5ad(place / "n.h5ad")
    np.testing.assert_array_equal(stored.X, nuclei.X)
    assert list(stored.var_names) == list(nuclei.var_names)
    same_cells(stored, nuclei)
    for name in ("spacing", "noise", "min_contrast"):
        np.testing.assert_array_equal(stored.uns["segment_nuclei"][name], nuclei.uns["segment_nuclei"][name])


def test_the_command_tracks_alike(tmp_path: Path, cells: ad.AnnData) -> None:
    rng = np.random.default_rng(0)
    frames = []
    for t in range(5):
        frame = cells[rng.permutation(cells.n_obs)[: cells.n_obs - t]].copy()
        frame.obsm["spatial"] = frame.obsm["spatial"] + [3.0 * t, 0, 0] + rng.normal(0, 0.3, (frame.n_obs, 3))
        zs.im.write_cells(tmp_path / f"t{t}.parquet", frame)
        frame.write_h5ad(tmp_path / f"t{t}.h5ad")
        frames.append(frame)
    ours = zs.im.track(frames, max_speed=8)
    assert ours["track"].nunique() < 1.1 * cells.n_obs
    for ending in ("parquet", "h5ad"):
        files = [tmp_path / f"t{t}.{ending}" for t in range(5)]
        done("track", *files, "--max-speed", 8, "-o", tmp_path / "tracks.csv", "--quiet")
        pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "tracks.csv", float_precision="round_trip"), ours, check_exact=True)
    labels = np.zeros((4, 6, 40, 40), np.uint16)
    for t in range(4):
        labels[t, 2:4, 5 + 2 * t : 9 + 2 * t, 10:14] = 7
        labels[t, 1:3, 25:30, 30 - 2 * t : 34 - 2 * t] = 9
    np.save(tmp_path / "labels.npy", labels)
    ours = zs.im.track(labels, max_speed=8, spacing=(2, 1, 1))
    out = tmp_path / "l.csv"
    done("track", tmp_path / "labels.npy", "--set", "input.axes=tzyx", "--spacing", "2,1,1", "--max-speed", 8, "-o", out)
    pd.testing.assert_frame_equal(pd.read_csv(out, float_precision="round_trip"), ours, check_exact=True)


def test_tracks_take_the_places_of_cells_in_their_order(cells: ad.AnnData) -> None:
    tracks = zs.im.track([cells, cells], max_speed=3)
    np.testing.assert_array_equal(tracks[["x", "y", "z"]].to_numpy()[: cells.n_obs], cells.obsm["spatial"])


def test_faults_have_their_exit_codes(tmp_path: Path) -> None:
    volume = np.random.default_rng(0).normal(100, 9, (12, 30, 30)).astype(np.float32)
    np.save(tmp_path / "v.npy", volume)
    volume[3, 4, 5] = np.inf
    np.save(tmp_path / "inf.npy", volume)
    out = tmp_path / "out.parquet"
    for arguments, code, word in [
        (("detect", tmp_path / "none.tif", "-o", out), 3, "none.tif"),
        (("detect", tmp_path / "v.npy", "-o", out), 2, "--spacing"),
        (("detect", tmp_path / "inf.npy", "--spacing", "5,2,2", "-o", out), 3, "(3, 4, 5)"),
        (("detect", tmp_path / "v.npy", "--spacing", "5,2,2", "-o", tmp_path / "x.txt"), 2, ".parquet"),
        (("detect", tmp_path / "v.npy", "--spacing", "5,2,2", "-o", "/dev/full/x.csv"), 2, "/dev/full"),
    ]:
        run = command(*arguments)
        assert run.returncode == code and word in run.stderr, run.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["inf.npy", "v.npy"]
    with pytest.raises(NonFiniteError):
        zs.im.detect_cells(tmp_path / "inf.npy", spacing=SPACING)


def test_real_crop_with_its_background(tmp_path: Path) -> None:
    signal = data_path("cellfinder_whole_brain_crops/crop_signal_ch0.tif")
    background = data_path("cellfinder_whole_brain_crops/crop_background_ch1.tif")
    ours = zs.im.detect_cells(signal, background, spacing=SPACING, soma_diameter=16)
    out, page = tmp_path / "cells.h5ad", tmp_path / "cells.html"
    done("detect", signal, "--background", background, "--spacing", "5,2,2", "--soma-diameter", 16, "-o", out, "--report", page)
    same_cells(ad.read_h5ad(out), ours)
    assert 100 < ours.n_obs < 2000 and "data:image/png;base64," in page.read_text()
