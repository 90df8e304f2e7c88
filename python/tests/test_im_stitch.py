"""Stitching: planted places come back through noise, fading and uneven light, from every kind of layout; what cannot be
stitched is refused; the fused volume is the truth where no tiles meet and takes no more memory than it may."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

import zensaibo as zs
from conftest import data_path
from zensaibo import errors

SPACING = (5.0, 2.0, 2.0)
SHAPE = (20, 110, 120)


@pytest.fixture(scope="module")
def tissue() -> np.ndarray:
    """Cells in tissue, (30, 330, 360)."""
    rng = np.random.default_rng(1)
    noise = rng.normal(size=(30, 330, 360)).astype(np.float32)
    blobs = ndimage.gaussian_filter(noise, (0.8, 2, 2))
    blobs = np.clip(blobs / blobs.std() - 1.2, 0, None)
    return (150 + 60 * ndimage.gaussian_filter(noise, (4, 20, 20)) * 60 + 500 * blobs).astype(np.float32)


def layout(rows: int, columns: int, jitter: tuple[int, int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Where tiles are said to lie and where they lie, in voxels: overlaps of a fifth."""
    rng = np.random.default_rng(seed)
    cells = np.array([(0, r, c) for r in range(rows) for c in range(columns)])
    said = cells * np.array([0, 88, 96])
    by = np.array([rng.integers(-j, j + 1, len(cells)) for j in jitter]).T
    return said.astype(float), said + by + np.array(jitter)


def cut(volume: np.ndarray, place: np.ndarray, shape=SHAPE) -> np.ndarray:
    z, y, x = place
    part = volume[z : z + shape[0], y : y + shape[1], x : x + shape[2]]
    assert part.shape == tuple(shape)
    return part


def taken(part: np.ndarray, gain: float, seed: int, noise: float = 1.0) -> np.ndarray:
    """What a camera makes of it: light that falls off to the sides, bleaching along z, a gain, photon noise."""
    rng = np.random.default_rng(seed)
    z, y, x = (np.linspace(-1, 1, n) for n in part.shape)
    light = gain * (1 - 0.15 * y[:, None] ** 2 - 0.15 * x**2) * np.exp(-0.1 * (z + 1))[:, None, None]
    value = part * light
    return np.clip(np.round(value + noise * np.sqrt(value) * rng.normal(size=part.shape)), 0, 65535).astype(np.uint16)


def off(found: np.ndarray, truth: np.ndarray) -> float:
    """The largest error in voxels, up to a shift of the whole."""
    difference = np.asarray(found) / SPACING - truth
    return float(np.abs(difference - difference.mean(axis=0)).max())


@pytest.fixture(scope="module")
def grid(tissue: np.ndarray) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Six tiles in two rows, where they are said to lie and where they lie (voxels)."""
    said, truth = layout(2, 3, (2, 6, 6))
    return [np.ascontiguousarray(cut(tissue, t)).astype(np.uint16) for t in truth], said, truth


def test_places_gains_and_seams_through_noise_and_uneven_light(tissue):
    said, truth = layout(3, 3, (2, 6, 6), seed=4)
    strength = np.array([1.0, 0.7, 1.2, 0.9, 1.4, 0.8, 1.1, 0.75, 1.0])
    tiles = [taken(cut(tissue, t), g, at) for at, (t, g) in enumerate(zip(truth, strength, strict=True))]
    found = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, progress=False)
    assert off(found.positions, truth) < 0.15
    assert found.placed.all() and not found.warnings
    np.testing.assert_allclose(found.gains * strength / (found.gains * strength).mean(), 1, atol=0.05)
    report = found.report()
    assert report["tiles"] == 9 and report["used"] >= 12
    assert report["step_before"][0] > 15 and report["step_after"][1] < 5
    assert report["closure"][1] < 1.0 and report["residual"][1] < 1.0
    pairs = found.pairs
    used = pairs[pairs["used"]]
    assert len(pairs) == report["pairs"] and (used["correlation"] > 0.5).all()
    first = used.iloc[0]
    expected = (truth[first["tile_b"]] - truth[first["tile_a"]] - said[first["tile_b"]] + said[first["tile_a"]]) * SPACING
    np.testing.assert_allclose(first[["shift_z", "shift_y", "shift_x"]].to_numpy(float), expected, atol=1.0)
    # Said nearly where they are, with nothing to search: the nearest shift alone is looked at, then refined.
    near = truth + np.random.default_rng(0).uniform(-0.3, 0.3, truth.shape)
    still = zs.im.stitch(tiles, positions=near * SPACING, spacing=SPACING, search=0, progress=False)
    assert off(still.positions, truth) < 0.15 and still.report()["used"] == 20
    # Without gains, seams stay.
    plain = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, gains=False, progress=False)
    assert np.all(plain.gains == 1) and plain.report()["step_after"] == report["step_before"]
    # The fused volume, against the truth under light that falls off.
    fused = np.asarray(found.volume).astype(float)
    start = np.round((found.positions - found.positions.min(axis=0)) / SPACING - (truth - truth.min(axis=0))).mean(axis=0)
    assert np.all(start == 0)
    low = truth.min(axis=0)
    whole = tissue[tuple(slice(a, a + n) for a, n in zip(low, fused.shape, strict=True))][:, : fused.shape[1]]
    common = tuple(slice(0, n) for n in whole.shape)
    inside = fused[common] > 0
    assert np.corrcoef(fused[common][inside], whole[inside])[0, 1] > 0.93


def test_parts_of_voxels(tissue):
    rng = np.random.default_rng(3)
    said, whole = layout(2, 2, (2, 6, 6), seed=8)
    parts = rng.uniform(-0.5, 0.5, (4, 3))
    fine = ndimage.spline_filter(tissue)
    tiles = []
    for place, part in zip(whole, parts, strict=True):
        places = np.meshgrid(*(p + q + np.arange(n) for p, q, n in zip(place, part, SHAPE, strict=True)), indexing="ij")
        tiles.append(taken(ndimage.map_coordinates(fine, places, prefilter=False), 1.0, 1))
    found = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, progress=False)
    assert off(found.positions, whole + parts) < 0.25


def test_a_real_volume_cut_into_tiles():
    crop = tifffile.imread(data_path("cellfinder_whole_brain_crops/crop_signal_ch0.tif")).astype(np.float32)
    shape, rng = (26, 200, 260), np.random.default_rng(2)
    said = np.array([(0, 150 * r, 200 * c) for r in range(3) for c in range(3)], dtype=float)
    truth = (said + rng.integers(0, 5, (9, 3))).astype(int)
    assert np.all(truth.max(axis=0) + shape <= crop.shape)
    strength = np.linspace(0.7, 1.3, 9)
    tiles = [taken(cut(crop, t, shape), g, at, 0.3) for at, (t, g) in enumerate(zip(truth, strength, strict=True))]
    found = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, progress=False)
    assert off(found.positions, truth) < 0.3
    assert found.report()["step_after"][1] < 0.35 * found.report()["step_before"][1]
    # At the true places, of untouched tiles: the volume itself, wherever tiles lie.
    exact = zs.im.stitch(
        [np.ascontiguousarray(cut(crop, t, shape)) for t in truth], positions=truth * SPACING, spacing=SPACING, progress=False
    )
    np.testing.assert_allclose(exact.positions, truth * SPACING, atol=0.3)
    fused = np.asarray(exact.fuse(interpolate=False))
    low = truth.min(axis=0)
    part = crop[tuple(slice(a, a + n) for a, n in zip(low, fused.shape, strict=True))]
    covered = np.zeros(fused.shape, bool)
    for t in truth - low:
        covered[tuple(slice(a, a + n) for a, n in zip(t, shape, strict=True))] = True
    np.testing.assert_allclose(fused[covered], part[covered], rtol=2e-3)
    assert np.all(fused[~covered] == 0)


def at_place(tile: np.ndarray, um: np.ndarray) -> zs.im.Volume:
    """A volume that knows where it lies."""
    return zs.im.Volume(zs.im.open(tile, SPACING)._core.described(SPACING, tuple(um), None, None, []))


def test_every_way_to_say_where_arrays_lie(grid):
    tiles, said, truth = grid
    places = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, progress=False).positions
    assert off(places, truth) < 0.1

    def same(found, order=None):
        # In another order the second tile of a pair may be the first: equal but for the interpolation.
        if order is None:
            np.testing.assert_allclose(found.positions, places, atol=1e-9)
        else:
            np.testing.assert_allclose(found.positions[order], places, atol=0.3)

    def listed(order: list[int], name: str) -> zs.im.Stitching:
        return zs.im.stitch([tiles[k] for k in order], grid=(2, 3), order=name, overlap=share, spacing=SPACING, progress=False)

    share = 0.2
    same(zs.im.stitch(tiles, grid=(2, 3), overlap=share, spacing=SPACING, progress=False))
    snake = [0, 1, 2, 5, 4, 3]
    same(listed(snake, "snake"), snake)
    columns = [0, 3, 1, 4, 2, 5]
    same(listed(columns, "columns"), np.argsort(columns))
    same(zs.im.stitch([at_place(tile, place * SPACING) for tile, place in zip(tiles, said, strict=True)], progress=False))
    table = pd.DataFrame({"file": tiles, "y": said[:, 1] * 2, "x": said[:, 2] * 2})
    same(zs.im.stitch(table, spacing=SPACING, progress=False))
    cells = pd.DataFrame({"file": tiles, "row": [7, 7, 7, 8, 8, 8], "column": [1, 2, 3] * 2})
    same(zs.im.stitch(cells, spacing=SPACING, overlap=(0, share, share), progress=False))

def test_tiles_of_one_plane(tissue):
    said, truth = layout(2, 3, (0, 6, 6))
    planes = [taken(cut(tissue, t + (8, 0, 0), (1, 110, 120)), 1.0, at) for at, t in enumerate(truth)]
    flat = zs.im.stitch(planes, positions=said[:, 1:] * 2, spacing=SPACING, progress=False)
    assert off(flat.positions, truth) < 0.3 and flat.volume.shape[0] == 1
    assert flat.positions.shape == (6, 3) and np.all(flat.positions[:, 0] == flat.positions[0, 0])


def test_every_layout_of_files(grid, tmp_path: Path):
    tiles, said, _ = grid
    um = said * SPACING
    places = zs.im.stitch(tiles, positions=um, spacing=SPACING, progress=False).positions
    for at, tile in enumerate(tiles):
        tifffile.imwrite(tmp_path / f"scan_r{at // 3 + 4:02}_c{at % 3}_ch0.tif", tile)
        tifffile.imwrite(tmp_path / f"n{at + 1}.tif", tile)
        tifffile.imwrite(tmp_path / f"at x{um[at, 2]:g} y{um[at, 1]:g}.tif", tile)
    names = [f"scan_r{at // 3 + 4:02}_c{at % 3}_ch0.tif" for at in range(6)]

    def same(source, **options):
        found = zs.im.stitch(source, progress=False, **options)
        np.testing.assert_allclose(found.positions, places, atol=1e-9, err_msg=str(source))
        assert off(found.nominal, said) < 1e-9
        return found

    same(tmp_path / "scan_r{row}_c{column}_*.tif", spacing=SPACING, overlap=0.2)
    same(str(tmp_path / "n{tile}.tif"), spacing=SPACING, overlap=0.2, grid=(2, 3))
    same([tmp_path / name for name in names], spacing=SPACING, overlap=0.2, grid=(2, 3))
    by_name = zs.im.stitch(tmp_path / "at x{x} y{y}.tif", spacing=SPACING, progress=False)
    order = np.lexsort((by_name.nominal[:, 2], by_name.nominal[:, 1]))
    np.testing.assert_allclose(by_name.positions[order], places, atol=0.3)
    pd.DataFrame({"file": names, "z": um[:, 0], "y": um[:, 1], "x": um[:, 2]}).to_csv(tmp_path / "um.csv", index=False)
    same(tmp_path / "um.csv", spacing=SPACING)
    cells = pd.DataFrame({"file": names, "row": [0, 0, 0, 1, 1, 1], "column": [0, 1, 2] * 2})
    cells.to_csv(tmp_path / "cells.csv", index=False)
    same(tmp_path / "cells.csv", spacing=SPACING, overlap=0.2)
    cells["file"] = [str(tmp_path / name) for name in names]
    same(cells, spacing=SPACING, overlap=0.2)

    size = {"PhysicalSizeZ": 5.0, "PhysicalSizeY": 2.0, "PhysicalSizeX": 2.0}
    planes = SHAPE[0]

    def plane(at: int) -> dict:
        # Millimetres along y, micrometres along x.
        return {
            "PositionX": [um[at, 2] + 1000.0] * planes, "PositionXUnit": ["µm"] * planes,
            "PositionY": [um[at, 1] / 1000] * planes, "PositionYUnit": ["mm"] * planes,
            "PositionZ": [5.0 * z for z in range(planes)], "PositionZUnit": ["µm"] * planes,
        }  # fmt: skip

    for at, tile in enumerate(tiles):
        tifffile.imwrite(tmp_path / f"t{at}.ome.tif", tile, metadata={"axes": "ZYX", "Plane": plane(at), **size})
        zs.im.write(at_place(tile, um[at]), tmp_path / f"t{at}.ome.zarr")
    with tifffile.TiffWriter(tmp_path / "all.ome.tif", ome=True) as writer:
        for at, tile in enumerate(tiles):
            writer.write(tile, metadata={"axes": "ZYX", "Plane": plane(at), **size})
    for source in ([tmp_path / f"t{at}.ome.tif" for at in range(6)], tmp_path / "all.ome.tif"):
        found = zs.im.stitch(source, progress=False)
        np.testing.assert_allclose(found.positions - (0, 0, 1000), places, atol=1e-6)
    found = same([tmp_path / f"t{at}.ome.zarr" for at in range(6)])
    with pytest.raises(errors.ParameterError, match="other than those of the tiles"):
        found.write(tmp_path / "t3.ome.zarr")

    xml = bdv(tmp_path, tiles, um)
    found = same(xml)
    assert "tile 4" in found.names[4]
    table = same(tmp_path / "um.csv", spacing=SPACING)
    np.testing.assert_array_equal(np.asarray(found.volume).view(np.uint16), np.asarray(table.volume))


def bdv(folder: Path, tiles: list[np.ndarray], um: np.ndarray, channels: int = 1, turned: bool = False) -> Path:
    """BigDataViewer's XML and HDF5 of tiles."""
    setups, places = [], []
    with h5py.File(folder / "tiles.h5", "w") as file:
        for at, tile in enumerate(tiles):
            for channel in range(channels):
                id = at * channels + channel
                file[f"t00000/s{id:02}/0/cells"] = tile.view(np.int16) + np.int16(channel)
                file[f"s{id:02}/resolutions"] = np.ones((1, 3))
                file[f"s{id:02}/subdivisions"] = np.full((1, 3), 64)
                setups.append(
                    f"<ViewSetup><id>{id}</id><size>{SHAPE[2]} {SHAPE[1]} {SHAPE[0]}</size><voxelSize><unit>um</unit>"
                    f"<size>2.0 2.0 5.0</size></voxelSize><attributes><channel>{channel}</channel><tile>{at}</tile>"
                    f"<angle>0</angle></attributes></ViewSetup>"
                )
                # The calibration makes voxels cubes of 1; the shift is in units of those.
                x, y, z = um[at, 2] / 2, um[at, 1] / 2, um[at, 0] / 2
                map = f"1 {0.2 if turned else 0} 0 {x} 0 1 0 {y} 0 0 1 {z}"
                places.append(
                    f'<ViewRegistration timepoint="0" setup="{id}"><ViewTransform type="affine"><affine>{map}</affine>'
                    f'</ViewTransform><ViewTransform type="affine"><affine>1 0 0 0 0 1 0 0 0 0 2.5 0</affine></ViewTransform>'
                    f"</ViewRegistration>"
                )
    (folder / "tiles.xml").write_text(
        '<?xml version="1.0" encoding="UTF-8"?><SpimData version="0.2"><BasePath type="relative">.</BasePath>'
        '<SequenceDescription><ImageLoader format="bdv.hdf5"><hdf5 type="relative">tiles.h5</hdf5></ImageLoader>'
        f"<ViewSetups>{''.join(setups)}</ViewSetups><Timepoints type=\"range\"><first>0</first><last>0</last></Timepoints>"
        f"</SequenceDescription><ViewRegistrations>{''.join(places)}</ViewRegistrations></SpimData>"
    )
    return folder / "tiles.xml"


def test_channels_are_fused_together(grid, tmp_path: Path):
    tiles, said, _ = grid
    one = zs.im.stitch(tiles[:2], positions=said[:2] * SPACING, spacing=SPACING, gains=False, progress=False)
    noise = np.random.default_rng(0).integers(90, 110, (2, *SHAPE)).astype(np.uint16)
    two = [np.stack([noise[k], tiles[k]]) for k in range(2)]
    found = zs.im.stitch(two, positions=said[:2] * SPACING, spacing=SPACING, channel=1, gains=False, progress=False)
    np.testing.assert_array_equal(found.positions, one.positions)
    fused = np.asarray(found.volume)
    assert fused.shape[0] == 2
    np.testing.assert_array_equal(fused[1], np.asarray(one.volume))
    xml = bdv(tmp_path, tiles[:2], said[:2] * SPACING, channels=2)
    both = zs.im.stitch(xml, channel=1, gains=False, progress=False).volume
    assert both.axes == "czyx"
    planes = np.asarray(both)
    inside = planes[0] > 0
    assert np.abs(planes[1].astype(int) - planes[0] - 1)[inside].max() <= 1
    with pytest.raises(errors.FormatError, match="not turned"):
        zs.im.stitch(bdv(tmp_path, tiles[:2], said[:2] * SPACING, turned=True), progress=False)


def test_saved_and_gone_on_from(grid, tmp_path: Path):
    tiles, said, _ = grid
    found = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, blend=40, progress=False)
    found.save(tmp_path / "found.json")
    alone = zs.im.load_stitching(tmp_path / "found.json")
    pd.testing.assert_frame_equal(alone.pairs, found.pairs)
    pd.testing.assert_frame_equal(alone.tiles, found.tiles)
    with pytest.raises(errors.ParameterError, match="load_stitching"):
        _ = alone.volume
    again = zs.im.load_stitching(tmp_path / "found.json", tiles)
    whole = np.asarray(found.volume)
    np.testing.assert_array_equal(np.asarray(again.volume), whole)
    with pytest.raises(errors.ParameterError, match="6 tiles"):
        zs.im.load_stitching(tmp_path / "found.json", tiles[:2])
    for at, tile in enumerate(tiles):
        tifffile.imwrite(tmp_path / f"r{at // 3}_c{at % 3}.tif", tile)
    named = zs.im.stitch(tmp_path / "r{row}_c{column}.tif", overlap=0.2, spacing=SPACING, blend=40, progress=False)
    named.save(tmp_path / "named.json")
    reopened = zs.im.load_stitching(tmp_path / "named.json")
    np.testing.assert_array_equal(np.asarray(reopened.volume), whole)
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "other.json").write_text("[]")
    (tmp_path / "cut.json").write_text('{"zensaibo": "stitching", "version": 1}')
    for name, kind in (("broken", errors.DataError), ("cut", errors.DataError), ("other", errors.DataError), ("none", errors.FileError)):
        with pytest.raises(kind, match=name):
            zs.im.load_stitching(tmp_path / f"{name}.json")


def test_what_is_written_is_the_volume_whatever_memory_and_threads(grid, tmp_path: Path):
    tiles, said, _ = grid
    one = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, threads=1, progress=False)
    written = zs.im.stitch(
        tiles, positions=said * SPACING, spacing=SPACING, out=tmp_path / "a.ome.zarr", memory="200MiB", threads=8, progress=False
    )
    assert written.path == tmp_path / "a.ome.zarr" and one.path is None
    np.testing.assert_array_equal(written.positions, one.positions)
    opened = zs.im.open(tmp_path / "a.ome.zarr")
    assert opened.spacing == SPACING and opened.dtype == np.uint16
    np.testing.assert_allclose(opened.origin, one.positions.min(axis=0), atol=1e-6)
    whole = np.asarray(one.volume)
    np.testing.assert_array_equal(np.asarray(opened), whole)
    np.testing.assert_array_equal(np.asarray(one.volume[3:9, 20:150, 7:200]), whole[3:9, 20:150, 7:200])


def test_memory_stays_within_what_is_allowed(tmp_path: Path):
    program = """
    import sys
    import numpy as np
    import zensaibo as zs

    class Lazy:
        shape, dtype, chunks = (64, 600, 600), np.dtype(np.uint16), (64, 600, 600)
        def __init__(self, first):
            self.first = first
        def __getitem__(self, index):
            z, y, x = (np.arange(s.start, s.stop) + f for s, f in zip(index, self.first))
            z, y, x = np.sin(z * 0.7), np.sin(y * 0.31 + np.sin(0.05 * y) * 9), np.sin(x * 0.23 + np.sin(0.04 * x) * 11)
            z, y, x = ((300 + 100 * wave).astype(np.uint16) for wave in (z, y, x))
            return z[:, None, None] + y[:, None] + x

    def peak():
        line = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024

    # What the libraries themselves take differs between machines; it is not of the budget.
    zs.im.stitch([Lazy(np.array((0, 0, 500 * c))) for c in range(2)], positions=[(0, 0, 0), (0, 0, 500)], progress=False)
    start = peak()
    said = np.array([(0, 500 * r, 500 * c) for r in range(3) for c in range(3)])
    tiles = [Lazy(p + (0, 3 * k % 5, 2 * k % 5)) for k, p in enumerate(said)]
    found = zs.im.stitch(tiles, positions=said, threads=2, memory="200MiB", progress=False)
    before = peak()
    found.write(sys.argv[1], threads=2, memory="64MiB", shard=(64, 128, 128), levels=1, progress=False)
    print(np.prod(found.volume.shape) * 2 / 2**20, start, before, peak())
    """
    run = [sys.executable, "-c", textwrap.dedent(program), str(tmp_path / "out.ome.zarr")]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    volume, start, compared, written = map(float, done.stdout.split())
    assert volume > 300, volume
    # Budgets of 200 and 64 MiB, on top of what the process held before.
    assert compared - start < 200 and written - compared < 96, (volume, start, compared, written)


def test_pairs_that_contradict_and_tiles_without_tissue_are_said(tissue):
    said, truth = layout(3, 3, (1, 3, 3), seed=6)
    tiles = [taken(cut(tissue, t), 1.0, at) for at, t in enumerate(truth)]
    # The overlap of tiles 3 and 4, as tile 4 shows it, is that of 7 rows further down.
    fake = truth[4] + (0, 7, 0)
    tiles[4][:, 26:84, :30] = taken(cut(tissue, fake), 1.0, 99)[:, 26:84, :30]
    # Tile 8 shows no tissue.
    tiles[8] = np.random.default_rng(0).normal(100, 10, SHAPE).astype(np.uint16)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = zs.im.stitch(tiles, positions=said * SPACING, spacing=SPACING, progress=False)
    pairs = found.pairs.set_index(["tile_a", "tile_b"])
    wrong = pairs.loc[(3, 4)]
    assert wrong["verdict"] == "contradicts" and not wrong["used"] and wrong["correlation"] > 0.5
    assert abs(wrong["residual"] - 7 * 2) < 2 and np.isnan(wrong["closure"])
    assert (pairs["verdict"] == "contradicts").sum() == 1
    assert list(np.flatnonzero(~found.placed)) == [8] and found.gains[8] == 1
    assert off(found.positions[:8], truth[:8]) < 0.3
    texts = [str(w.message) for w in caught]
    assert any("contradict" in text for text in texts) and any("8 (" in text for text in texts)
    assert found.report()["warnings"] == found.warnings and len(found.warnings) == 2


def test_what_cannot_be_stitched_is_refused(grid, tmp_path: Path):
    tiles, said, _ = grid
    um = said * SPACING

    def refused(kind, match, source=tiles, **options):
        options = {"spacing": SPACING, "progress": False} | options
        with pytest.raises(kind, match=match):
            zs.im.stitch(source, **options)

    refused(errors.ParameterError, "positions")
    refused(errors.ParameterError, "overlap", grid=(2, 3))
    refused(errors.ParameterError, "grid", grid=(2,), overlap=0.1)
    refused(errors.ParameterError, "tile 5 of 2 rows of 2", grid=(2, 2), overlap=0.1)
    refused(errors.ParameterError, "share", grid=(2, 3), overlap=1.5)
    refused(errors.ParameterError, "snake_columns", grid=(2, 3), overlap=0.1, order="zigzag")
    refused(errors.ShapeError, r"\(6, 3\)", positions=um[:5])
    refused(errors.DataError, "overlap", positions=um * 20)
    refused(errors.DataError, "position of its own", positions=np.repeat(um[:1], 6, axis=0))
    refused(errors.DataError, "finite position", positions=np.full((6, 3), np.nan))
    refused(errors.DataError, "at least two", source=tiles[:1], positions=um[:1])
    refused(errors.DataError, "uint16, as tile 0", source=[tiles[0], tiles[1].astype(np.uint8)], positions=um[:2])
    refused(errors.DataError, "channels", source=[tiles[0], tiles[1][None].repeat(2, 0)], positions=um[:2])
    flat = [np.full(SHAPE, 100, np.uint16)] * 2
    refused(errors.DataError, "shows the same tissue", source=flat, positions=um[:2])
    refused(errors.DataError, "little tissue", positions=um, background=60000)
    wrong = {"channel": 2, "least_correlation": 1.0, "tolerance": -1, "search": -3, "blend": 0.0, "least_voxels": 1}
    for name, value in wrong.items():
        with pytest.raises(errors.ParameterError, match=name):
            found = zs.im.stitch(tiles, positions=um, spacing=SPACING, progress=False, **{name: value})
            _ = found.volume
    refused(errors.LimitError, "memory", positions=um, memory="10MiB")
    refused(errors.ParameterError, "tiles", source=tiles[0])
    refused(errors.DataError, "column file", source=pd.DataFrame({"name": tiles}))
    refused(errors.DataError, "y and x, or row and column", source=pd.DataFrame({"file": tiles}))
    # Spacings of files that differ.
    for at, spacing in enumerate((SPACING, (5, 3, 2))):
        zs.im.write(tiles[at], tmp_path / f"s{at}.ome.zarr", spacing=spacing)
    paths = [tmp_path / f"s{at}.ome.zarr" for at in range(2)]
    refused(errors.DataError, "micrometres per voxel, as tile 0", source=paths, grid=(1, 2), overlap=0.2, spacing=None)
    refused(errors.ParameterError, "one place", source=paths)
    refused(errors.FormatError, "several tiles", source=paths[0])
    refused(errors.FormatError, "none", source=tmp_path / "q{row}_{column}.tif", overlap=0.1)
    refused(errors.ParameterError, "column", source=tmp_path / "q{rows}.tif", overlap=0.1)
    refused(errors.FileError, "nothere", source=tmp_path / "nothere.xml")
    tifffile.imwrite(tmp_path / "a1.tif", tiles[0])
    tifffile.imwrite(tmp_path / "b1.tif", tiles[1])
    refused(errors.ParameterError, "one tile at each place", source=tmp_path / "*{column}.tif", overlap=0.1)
    (tmp_path / "bad.csv").write_text("name,y\na,1\n")
    refused(errors.DataError, "column file", source=tmp_path / "bad.csv")


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "zensaibo", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command_does_the_same_and_goes_on(grid, tmp_path: Path):
    tiles, said, _ = grid
    for at, tile in enumerate(tiles):
        tifffile.imwrite(tmp_path / f"r{at // 3}_c{at % 3}.tif", tile)
    pattern = tmp_path / "r{row}_c{column}.tif"
    found = zs.im.stitch(pattern, overlap=0.2, spacing=SPACING, progress=False)
    out, kept, page = tmp_path / "out.ome.zarr", tmp_path / "found.json", tmp_path / "page.html"
    basic = ["stitch", pattern, "--overlap", 0.2, "--spacing", "5,2,2", "-o", out, "--memory", "512MiB"]
    run = command(*basic, "--positions", kept, "--report", page)
    assert run.returncode == 0, run.stderr
    assert "6 tiles placed by" in run.stdout and "as found before" not in run.stdout + run.stderr
    whole = np.asarray(found.volume)
    np.testing.assert_array_equal(np.asarray(zs.im.open(out)), whole)
    loaded = zs.im.load_stitching(kept)
    np.testing.assert_array_equal(loaded.positions, found.positions)
    np.testing.assert_array_equal(np.asarray(loaded.volume), whole)
    html = page.read_text()
    assert html.count("data:image/png") == 2 and "pair 0 - 1" in html and "tile 5" in html and "http://" not in html
    # Again: places are not found anew, for another way to fuse either.
    text = kept.read_text()
    marked = json.loads(text)
    marked["found"]["positions"][0][2] += 2.0
    kept.write_text(json.dumps(marked))
    run = command(*basic, "--positions", kept, "--set", "fuse.interpolate=false")
    assert run.returncode == 0 and "as found before" in run.stdout
    moved = zs.im.load_stitching(kept, tiles).fuse(interpolate=False)
    np.testing.assert_array_equal(np.asarray(zs.im.open(out)), np.asarray(moved))
    # Other options: found anew.
    run = command(*basic, "--positions", kept, "--set", "stitch.gains=false")
    assert run.returncode == 0 and "as found before" not in run.stdout
    assert np.all(zs.im.load_stitching(kept).gains == 1)
    template = command("config", "stitch").stdout
    (tmp_path / "stitch.toml").write_text(template.replace("#overlap", "overlap"))
    assert "[input]" in template and "[stitch]" in template and "[fuse]" in template and "least_correlation" in template
    for arguments, code, what in (
        ([*basic, "--search", "1,2"], 2, "three numbers"),
        ([*basic, "--set", "stitch.serach=3"], 2, "search"),
        ([*basic, "--order", "zigzag"], 2, "snake"),
        ([*basic[:2], "-o", out], 2, "overlap"),
        (["stitch", pattern, "--overlap", 0.2, "-o", out], 2, "--spacing"),
        ([*basic[:-3], tmp_path / "out.tif"], 2, ".zarr"),
        (["stitch", tmp_path / "none{row}{column}.tif", "--overlap", 0.2, "-o", out], 3, "none"),
    ):
        run = command(*arguments)
        assert run.returncode == code and what in run.stderr, (arguments, run.stderr)
