"""Tracking: made cells whose tracks are known, real recordings with a reference, and the scores of the challenge."""

from __future__ import annotations

import json
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from scipy.spatial import cKDTree

import zensaibo as zs

GOLDEN = Path(__file__).parent / "golden" / "ctc"


def swarm(n=300, times=30, side=92.0, speed=6.0, noise=0.3, turn=0.4, seed=0):
    """Dense cells that fly on nearly straight, farther in a step than their neighbours are away."""
    rng = np.random.default_rng(seed)
    place = rng.uniform(0, side, (n, 3))
    way = rng.normal(size=(n, 3))
    frames = []
    for _ in range(times):
        frames.append(place + noise * rng.normal(size=place.shape))
        way += turn * rng.normal(size=way.shape)
        way *= speed / np.linalg.norm(way, axis=1, keepdims=True)
        out = (place + way < 0) | (place + way > side)
        way[out] *= -1
        place = place + way
    order = [rng.permutation(n) for _ in range(times)]
    return [frame[o] for frame, o in zip(frames, order, strict=True)], order


def dividing(n=60, times=30, side=160.0, step=1.0, share=0.02, seed=1):
    """Cells that jitter and divide: a table with tracks and parents."""
    rng = np.random.default_rng(seed)
    cells = [[k + 1, 0, place] for k, place in enumerate(rng.uniform(0, side, (n, 3)))]
    rows, count = [], n
    for t in range(times):
        rows += [(k, parent, t, *place) for k, parent, place in cells]
        following = []
        for k, parent, place in cells:
            if rng.random() < share and t > 0:
                axis = rng.normal(size=3)
                axis *= 4 / np.linalg.norm(axis)
                for sign in (-1, 1):
                    count += 1
                    following.append([count, k, place + sign * axis + 0.3 * step * rng.normal(size=3)])
            else:
                following.append([k, parent, place + step * rng.normal(size=3)])
        cells = following
    return pd.DataFrame(rows, columns=["track", "parent", "t", "z", "y", "x"])


def nearest_neighbour(frames):
    """Mutual nearest neighbours from frame to frame: a table as `track` returns."""
    number, rows, last = 0, [], None
    for t, frame in enumerate(frames):
        tracks = np.zeros(len(frame), int)
        if last is not None:
            there = cKDTree(last[0]).query(frame)[1]
            back = cKDTree(frame).query(last[0])[1]
            same = back[there] == np.arange(len(frame))
            tracks[same] = last[1][there[same]]
        new = tracks == 0
        tracks[new] = number + 1 + np.arange(new.sum())
        number += int(new.sum())
        last = frame, tracks
        rows.append(pd.DataFrame({"track": tracks, "parent": 0, "t": t, "z": frame[:, 0], "y": frame[:, 1], "x": frame[:, 2]}))
    return pd.concat(rows, ignore_index=True)


def frames_of(table):
    return [part[["z", "y", "x"]].to_numpy(float) for _, part in table.groupby("t")]


def truth_of_swarm(frames, order):
    return pd.DataFrame(
        {
            "track": np.concatenate(order) + 1,
            "parent": 0,
            "t": np.repeat(np.arange(len(frames)), len(frames[0])),
            **dict(zip("zyx", np.concatenate(frames).T, strict=True)),
        }
    )


def test_a_dense_fast_swarm_is_followed_where_nearest_neighbours_fail():
    frames, order = swarm()
    truth = truth_of_swarm(frames, order)
    ours = zs.metrics.ctc_scores(truth, zs.im.track(frames, max_speed=10, divisions=False), radius=1e-6)
    simple = zs.metrics.ctc_scores(truth, nearest_neighbour(frames), radius=1e-6)
    assert ours["DET"] == simple["DET"] == 1
    assert ours["LNK"] > 0.97
    assert simple["LNK"] < 0.6


def test_divisions_are_found():
    truth = dividing()
    found = zs.im.track(frames_of(truth), max_speed=8)
    scores = zs.metrics.ctc_scores(truth, found, radius=1e-6)
    assert scores["divisions_truth"] > 25
    assert scores["division_recall"] > 0.9 and scores["division_precision"] > 0.9
    assert scores["LNK"] > 0.99
    # Daughters begin after their mother ends; every parent is a track.
    ends, begins = found.groupby("track")["t"].max(), found.groupby("track")["t"].min()
    parents = found.groupby("track")["parent"].first()
    born = parents[parents > 0]
    assert (begins[born.index].to_numpy() == ends[born].to_numpy() + 1).all()
    assert (born.value_counts() == 2).all()


def with_mistakes(truth, missed, false, seed=0):
    """Frames of a table, with detections missed and false ones among them."""
    rng = np.random.default_rng(seed)
    seen = truth[rng.random(len(truth)) >= missed]
    low, high = truth[["z", "y", "x"]].min(), truth[["z", "y", "x"]].max()
    frames = []
    for t in range(int(truth["t"].max()) + 1):
        points = seen[seen["t"] == t][["z", "y", "x"]].to_numpy(float)
        stray = rng.uniform(low, high, (rng.poisson(false * len(points)), 3))
        frames.append(np.vstack([points + rng.normal(0, 0.3, points.shape), stray]))
    return frames


@pytest.mark.parametrize(("cells", "mistakes", "precision"), [(60, 0.03, 0.85), (200, 0.03, 0.85), (200, 0.08, 0.7), (400, 0.08, 0.6)])
def test_divisions_are_not_made_of_mistakes(cells, mistakes, precision):
    truth = dividing(n=cells)
    found = zs.im.track(with_mistakes(truth, mistakes, mistakes), max_speed=8)
    scores = zs.metrics.ctc_scores(truth, found, radius=1.5, tolerance=1)
    print(f"{cells} cells, {mistakes:.0%} missed and false:", {k: scores[k] for k in scores if k.startswith("division")})
    assert scores["division_precision"] > precision and scores["division_recall"] > 0.5


def test_where_nothing_divides_hardly_a_division_is_found():
    for seed in range(3):
        truth = dividing(n=200, share=0.0, seed=seed)
        found = zs.im.track(with_mistakes(truth, 0.08, 0.08, seed), max_speed=8)
        born = found[found["parent"] > 0]["parent"].nunique()
        print(f"seed {seed}: {born} divisions in {found['track'].nunique()} tracks")
        assert born <= 5


def test_missed_detections_are_bridged():
    truth = dividing(share=0.0)
    rng = np.random.default_rng(3)
    seen = truth[rng.random(len(truth)) > 0.04]
    frames = frames_of(seen)
    bridged = zs.im.track(frames, max_speed=6, max_gap=2)
    open_ = zs.im.track(frames, max_speed=6, max_gap=0)
    assert zs.metrics.ctc_scores(seen, bridged, radius=1e-6)["LNK"] > 0.995
    assert bridged["track"].nunique() < 66 < open_["track"].nunique()


def test_every_kind_of_input_gives_the_same():
    frames = frames_of(dividing(n=20, times=8))
    base = zs.im.track(frames, max_speed=8)
    tables = [pd.DataFrame(frame, columns=["z", "y", "x"]) for frame in frames]
    cells = [ad.AnnData(np.zeros((len(frame), 1), np.float32), obsm={"spatial": frame[:, ::-1]}) for frame in frames]
    for other in (tables, cells, [frame.tolist() for frame in frames]):
        pd.testing.assert_frame_equal(base, zs.im.track(other, max_speed=8))
    whole = pd.concat([table.assign(t=t + 5) for t, table in enumerate(tables)], ignore_index=True)
    shuffled = whole.sample(frac=1, random_state=0)
    found = zs.im.track(shuffled, max_speed=8)
    assert found["t"].min() == 5
    assert zs.metrics.ctc_scores(base.assign(t=base["t"] + 5), found, radius=1e-6)["TRA"] == 1
    np.testing.assert_array_equal(shuffled[["z", "y", "x"]].to_numpy()[found["detection"]], found[["z", "y", "x"]])
    two = [ad.AnnData(np.zeros((len(frame), 1), np.float32), obsm={"spatial": frame[:, :0:-1]}) for frame in frames]
    flat = zs.im.track([frame[:, 1:] for frame in frames], max_speed=8)
    pd.testing.assert_frame_equal(flat, zs.im.track(two, max_speed=8))
    assert (flat["z"] == 0).all()


def test_the_same_for_any_threads():
    frames, _ = swarm(n=150, times=12)
    one = zs.im.track(frames, max_speed=10, threads=1)
    for threads in (2, 8):
        pd.testing.assert_frame_equal(one, zs.im.track(frames, max_speed=10, threads=threads))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.uint64])
def test_labels_over_time(dtype):
    labels = np.zeros((4, 3, 30, 40), dtype)
    for t in range(4):
        labels[t, 1, 5:9, 4 + 3 * t : 8 + 3 * t] = 7 - t
        labels[t, 0:2, 20:24, 30:33] = 20 + t
    found = zs.im.track(labels, max_speed=5, spacing=(2.0, 1.0, 0.5))
    assert sorted(found["label"]) == [4, 5, 6, 7, 20, 21, 22, 23]
    assert found.groupby("track").size().tolist() == [4, 4]
    first = found[(found["label"] == 7)].iloc[0]
    assert (first["z"], first["y"], first["x"]) == (2.0, 6.5, 2.75)
    masks = zs.im.relabel_tracks(labels, found)
    assert masks.shape == labels.shape and set(np.unique(masks)) == {0, 1, 2}
    np.testing.assert_array_equal(masks > 0, labels > 0)
    # An opened volume, and its spacing.
    volume = zs.im.open(labels[:, None], spacing=(2.0, 1.0, 0.5))
    pd.testing.assert_frame_equal(found, zs.im.track(volume, max_speed=5))


def test_nothing_to_track():
    assert len(zs.im.track([], max_speed=1)) == 0
    assert len(zs.im.track([np.zeros((0, 3))] * 3, max_speed=1)) == 0
    assert len(zs.im.track(np.zeros((3, 5, 5), np.uint8), max_speed=1)) == 0
    one = zs.im.track([[], [[1.0, 2.0, 3.0]], []], max_speed=1)
    assert one[["track", "parent", "t", "detection"]].to_numpy().tolist() == [[1, 0, 1, 0]]


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        (lambda: zs.im.track([[[0, 0, 0]]], max_speed=0), zs.errors.ParameterError, "max_speed"),
        (lambda: zs.im.track([[[0, 0, np.nan]]], max_speed=1), zs.errors.NonFiniteError, "time point 0"),
        (lambda: zs.im.track([[[0, 0, 0, 0]]], max_speed=1), zs.errors.ShapeError, "time point 0"),
        (lambda: zs.im.track([pd.DataFrame({"a": [1]})], max_speed=1), zs.errors.ShapeError, "columns y and x"),
        (lambda: zs.im.track(pd.DataFrame({"y": [1], "x": [1]}), max_speed=1), zs.errors.ShapeError, "column t"),
        (lambda: zs.im.track([[[0, 0, 0]]], max_speed=1, sizes=[[1, 2]]), zs.errors.ShapeError, "sizes"),
        (lambda: zs.im.track([[[0, 0, 0]]], max_speed=1, sizes=[[0]]), zs.errors.DataError, "sizes above 0"),
        (lambda: zs.im.track([[[0, 0, 0]]], max_speed=1, spacing=2), zs.errors.ParameterError, "spacing"),
        (lambda: zs.im.track(np.zeros((2, 4, 4), np.float32), max_speed=1), zs.errors.DataError, "whole number"),
        (lambda: zs.im.track(-np.ones((2, 4, 4), np.int16), max_speed=1), zs.errors.DataError, "labels from 0"),
        (lambda: zs.im.track(zs.im.open(np.zeros((2, 4, 4), np.uint8)), max_speed=1), zs.errors.ShapeError, "axis t"),
    ],
)
def test_bad_input_is_named(call, error, match):
    with pytest.raises(error, match=match):
        call()


def test_scores_refuse_what_they_cannot_hold_together():
    table = dividing(n=4, times=4)
    masks = (np.ones((2, 4, 4), np.uint8), [[1, 0, 1, 0]])
    score = zs.metrics.ctc_scores
    for call, error, match in (
        (lambda: score(table, table), zs.errors.ParameterError, "radius"),
        (lambda: score(table, masks, radius=1), zs.errors.ParameterError, "table for a table"),
        (lambda: score(masks, masks, radius=1), zs.errors.ParameterError, "radius"),
        (lambda: score(table, table.drop(columns="parent"), radius=1), zs.errors.ShapeError, "parent"),
        (lambda: score(table, table, radius=1, tolerance=-1), zs.errors.ParameterError, "tolerance"),
        (lambda: score(table.assign(track=1), table, radius=1), zs.errors.DataError, "one detection of a track"),
        (lambda: score(masks, (np.ones((3, 4, 4), np.uint8), masks[1])), zs.errors.ShapeError, "shape"),
    ):
        with pytest.raises(error, match=match):
            call()


def test_scores_are_those_of_two_other_implementations():
    """py-ctcmetrics in every score and count; traccuracy in all but the kinds of links, which it counts otherwise where
    a track is the only child of another (as after a gap)."""
    with np.load(GOLDEN / "masks.npz") as arrays:
        arrays = dict(arrays)
    for case, golden in enumerate(json.loads((GOLDEN / "scores.json").read_text())):
        sides = [(arrays[f"{name}{case}"], arrays[f"{name}_rows{case}"]) for name in ("truth", "result")]
        ctc, second = golden["py-ctcmetrics"], golden["traccuracy"]
        for tolerance in range(4):
            ours = zs.metrics.ctc_scores(*sides, tolerance=tolerance)
            assert ours["divisions_found"] == ctc[f"tp_div({tolerance})"]
            assert ours["BC"] == pytest.approx(ctc[f"BC({tolerance})"], abs=1e-12)
        for name in ("DET", "TRA", "LNK", "SEG", "CT", "TF", "OP_CSB", "OP_CTB"):
            assert ours[name] == pytest.approx(ctc[name], abs=1e-12), name
        counts = ["splits", "missed", "false_positives", "links_false", "links_missed"]
        assert [ours[name] for name in counts] == [ctc[f"AOGM_{name}"] for name in ("NS", "FN", "FP", "ED", "EA")]
        assert ours["links_changed"] == ctc["AOGM_EC"]
        theirs = ["ns_nodes", "fn_nodes", "fp_nodes", "fp_edges", "fn_edges"]
        assert [ours[name] for name in counts] == [second[name] for name in theirs]
        assert ours["DET"] == pytest.approx(second["DET"], abs=1e-12)


def embryo(every=1):
    """C. elegans: truth as a table, at every so many minutes."""
    table = pd.read_csv(data_path("celegans_embryo_nuclei_4d/nuclei_t001_t200.csv.gz"))
    row = {key: at for at, key in enumerate(zip(table["t"], table["id"], strict=True))}
    before = np.array([row.get((t - 1, p), -1) for t, p in zip(table["t"], table["pred"], strict=True)])
    ancestor = np.arange(len(table))
    for _ in range(every):
        ancestor = np.where(ancestor >= 0, before[ancestor], -1)
    keep = np.flatnonzero((table["t"] - 1) % every == 0)
    place = {old: new for new, old in enumerate(keep)}
    return as_table(table.iloc[keep], (table["t"].to_numpy()[keep] - 1) // every, [place.get(a, -1) for a in ancestor[keep]])


def as_table(table, times, before):
    """Tracks and parents from the detection before each."""
    children = np.bincount([b for b in before if b >= 0], minlength=len(before))
    track, parent, count = np.zeros(len(before), int), [0], 0
    for at, b in enumerate(before):
        if b >= 0 and children[b] == 1:
            track[at] = track[b]
        else:
            count += 1
            track[at] = count
            parent.append(track[b] if b >= 0 else 0)
    columns = {axis: table[axis].to_numpy(float) if axis in table else 0.0 for axis in "zyx"}
    return pd.DataFrame({"track": track, "parent": np.array(parent)[track], "t": np.asarray(times), **columns})


@pytest.mark.parametrize(
    ("every", "speed", "daughters", "link", "division"),
    [(1, 20, 25, 0.997, 0.93), (2, 25, 30, 0.98, 0.85), (3, 30, 30, 0.96, 0.73)],
)
def test_the_embryo_of_c_elegans(every, speed, daughters, link, division):
    truth = embryo(every)
    found = zs.im.track(frames_of(truth), max_speed=speed, max_division_distance=daughters)
    scores = zs.metrics.ctc_scores(truth, found, radius=1e-6)
    shown = {name: round(scores[name], 4) for name in ("LNK", "TRA", "division_recall", "division_precision")}
    print(f"every {every} min: {shown}")
    assert scores["LNK"] > link and scores["TRA"] > 0.99
    assert scores["division_recall"] > division and scores["division_precision"] > division


def test_hela_cells_beside_the_tracking_that_comes_with_them():
    table = pd.read_csv(data_path("celltracking_hela_tracks/hela_tracks.csv.gz")).sort_values(["t", "id"], kind="stable")
    row = {name: at for at, name in enumerate(table["id"])}
    before = [row[int(p)] if p == p and int(p) in row else -1 for p in table["parent_id"]]
    truth = as_table(table, table["t"], before)
    found = zs.im.track(frames_of(truth), max_speed=20)
    scores = zs.metrics.ctc_scores(truth, found, radius=1e-6)
    print(f"HeLa: LNK {scores['LNK']:.4f}, TRA {scores['TRA']:.5f}, divisions {scores['division_recall']:.3f}")
    assert scores["LNK"] > 0.99 and scores["TRA"] > 0.998
    assert scores["division_recall"] > 0.75


def test_segmented_time_lapses():
    import tifffile

    hela = tifffile.imread(data_path("timelapse_segmented/fluo_n2dl_hela_02_crop_masks.tif"))
    found = zs.im.track(hela, max_speed=20)
    masks = zs.im.relabel_tracks(hela, found)
    np.testing.assert_array_equal(masks > 0, hela > 0)
    lengths = found.groupby("track").size()
    # Most cells are followed from the first picture to the last, or to a division.
    whole = found[found["t"] == 0]["track"]
    ended = found.groupby("track")["t"].max()[whole]
    mothers = set(found["parent"])
    assert np.mean([(end == len(hela) - 1) or (track in mothers) for track, end in ended.items()]) > 0.85
    assert lengths.median() >= 10
    # A step moves a cell over part of itself: most of the voxels of a track are its own one picture on.
    same = np.mean([(masks[t + 1][masks[t] > 0] == masks[t][masks[t] > 0]).mean() for t in range(len(hela) - 1)])
    assert same > 0.6
    cho = tifffile.imread(data_path("timelapse_segmented/fluo_n3dh_cho_02_masks.tif"))
    cells = zs.im.track(cho, max_speed=15, spacing=(1.0, 0.202, 0.202))
    assert cells[cells["t"] == 0]["track"].nunique() == 7
    assert cells.groupby("track").size().max() == len(cho)
