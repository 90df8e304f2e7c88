"""Organoids on bodies whose measures are known, and on the phantom that is imaged and sequenced."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from zensaibo import errors

OFF = np.array([0.3, 0.1, 0.4])


def field(side, spacing):
    """Places (z, y, x) in micrometres from the middle of a cube, off the grid."""
    um = np.asarray(spacing, float)
    shape = (side / um).astype(int)
    axes = [(np.arange(n) - n // 2 + off) * step for n, off, step in zip(shape, OFF, um, strict=True)]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)


def to_volume(points, side, spacing):
    """Places from the middle as places from the first voxel."""
    um = np.asarray(spacing, float)
    return points + ((side / um).astype(int) // 2 - OFF) * um


def directions(n, seed=0):
    drawn = np.random.default_rng(seed).normal(size=(n, 3))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


@pytest.mark.parametrize("spacing", [(1.0, 1.0, 1.0), (2.0, 1.0, 1.0)])
def test_a_shell_with_cells_at_known_depths(spacing):
    far = np.linalg.norm(field(84, spacing), axis=-1)
    labels = np.where((far <= 36) & (far >= 14), 5, 0).astype(np.uint16)
    rng = np.random.default_rng(1)
    radius = rng.uniform(14.5, 35.5, 400)
    points = to_volume(directions(400) * radius[:, None], 84, spacing)
    found = zs.im.organoid(labels, points, spacing=spacing, axis=(1, 0, 0))
    row = found.organoids.obs.iloc[0]
    assert found.organoids.obs_names.tolist() == ["organoid_5"] and row["label"] == 5 and row["lumens"] == 1
    ball = lambda r: 4 / 3 * np.pi * r**3  # noqa: E731
    assert row["volume"] == pytest.approx(ball(36), rel=0.01)
    assert row["tissue_volume"] == pytest.approx(ball(36) - ball(14), rel=0.01)
    assert row["surface"] == pytest.approx(4 * np.pi * 36**2, rel=0.03)
    assert row["sphericity"] == pytest.approx(1, abs=0.03) and row["elongation"] == pytest.approx(1, abs=0.02)
    assert row["eccentricity"] < 0.2
    assert row["lumen_fraction"] == pytest.approx((14 / 36) ** 3, rel=0.03)
    cells = found.cells.obs
    assert (cells["organoid_place"] == "tissue").mean() > 0.97
    inside = (cells["organoid_place"] == "tissue").to_numpy()
    # A cell takes the distances of its voxel, whose centre lies up to half a voxel away.
    assert np.abs(cells["depth"] - (36 - radius))[inside].max() < 1.6 * spacing[0]
    assert np.abs(cells["depth"] - (36 - radius))[inside].mean() < 0.5 * spacing[0]
    assert np.abs(cells["to_lumen"] - (radius - 14))[inside].max() < 1.6 * spacing[0]
    assert np.abs(cells["rho"] - (36 - radius) / 22)[inside].max() < 0.08 * spacing[0]
    angle = np.degrees(np.arccos(directions(400)[:, 0]))
    assert np.abs(cells["axis_angle"] - angle)[inside].max() < 2
    assert row["cells"] == inside.sum()
    assert row["cells_per_mm3"] == pytest.approx(inside.sum() / row["tissue_volume"] * 1e9)
    rho = found.rho
    assert np.isnan(rho[far > 36]).all() and np.isnan(rho[far < 14]).all()
    assert np.nanmax(np.abs(rho - (36 - far) / 22)) < 0.08 * spacing[0]


def test_two_shells_give_a_profile_of_two_steps():
    spacing = (1.5, 1.0, 1.0)
    far = np.linalg.norm(field(90, spacing), axis=-1)
    labels = ((far <= 40) & (far >= 10)).astype(np.uint8)
    picture = np.where(far > 25, 900, 300).astype(np.uint16) * labels
    # As many cells in each cubic micrometre of the outer shell as there are three in that of the inner one.
    rng = np.random.default_rng(2)
    everywhere = rng.uniform(-40, 40, (120_000, 3))
    length = np.linalg.norm(everywhere, axis=1)
    keep = (length < 39) & (length > 11) & (np.abs(length - 25) > 1) & ((length < 25) | (rng.uniform(0, 1, len(length)) < 1 / 3))
    points, length = everywhere[keep], length[keep]
    cells = ad.AnnData(
        np.where(length > 25, 7.0, 2.0)[:, None].astype(np.float32),
        obs=pd.DataFrame({"type": pd.Categorical(np.where(length > 25, "outer", "inner"))}, index=[f"c{i}" for i in range(len(points))]),
        var=pd.DataFrame(index=["M"]),
    )
    cells.obsm["spatial"] = to_volume(points, 90, spacing)[:, ::-1].copy()
    found = zs.im.organoid(labels, cells, spacing=spacing, intensity=picture)
    assert found.cells is cells and "rho" in cells.obs
    assert found.organoids.shape == (1, 1)
    profile = zs.im.radial_profile(found, groupby="type", bins=np.linspace(0, 1, 11))
    wide = profile.pivot(index="shell", columns="label", values="value")
    step = 120_000 / 80**3 * 1e9  # per mm3, where all are kept
    assert wide["outer"][1:4].to_numpy() == pytest.approx(step / 3, rel=0.12)
    assert wide["inner"][6:9].to_numpy() == pytest.approx(step, rel=0.12)
    assert (wide["outer"][6:] == 0).all() and (wide["inner"][:4] == 0).all()
    assert profile.attrs == {"by": "rho", "of": "density"}
    assert profile.loc[profile["shell"] == 2].set_index("label")["share"].to_dict() == {"inner": 0.0, "outer": 1.0}
    marker = zs.im.radial_profile(found, markers=["M"])["value"].to_numpy()
    assert (marker[:4] == 7).all() and (marker[6:9] == 2).all()
    light = zs.im.radial_profile(found, intensity=picture, by="depth", bins=[0, 7, 14, 16, 23, 30])
    assert light["value"].to_numpy()[[0, 1, 3, 4]] == pytest.approx([900, 900, 300, 300])
    volumes = light["volume_mm3"].to_numpy() * 1e9
    shells = 4 / 3 * np.pi * (np.array([40, 33, 26, 24, 17.0]) ** 3 - np.array([33, 26, 24, 17, 10.0]) ** 3)
    assert volumes == pytest.approx(shells, rel=0.08)
    # What the shells hold is all there is, and by the lumen it is the same in reverse.
    assert zs.im.radial_profile(found, intensity=picture, by="depth")["volume_mm3"].sum() == pytest.approx(
        found.organoids.obs["tissue_volume"].iloc[0] * 1e-9
    )
    back = zs.im.radial_profile(found, markers="M", by="to_lumen", bins=[0, 12, 18, 30])["value"].to_numpy()
    assert back[0] == 2 and back[2] == 7
    summary = found.summary("type")
    assert summary["share_inner"].iloc[0] == pytest.approx((length < 25).mean(), abs=0.01)
    assert found.summary()["median_M"].iloc[0] in (2.0, 7.0)


def test_without_a_lumen_depth_counts_to_the_deepest_place():
    far = np.linalg.norm(field(60, (1, 1, 1)), axis=-1)
    found = zs.im.organoid(far <= 25, to_volume(np.array([[0.0, 0, 0], [0, 12, 0], [0, 0, 24.0]]), 60, (1, 1, 1)), spacing=1)
    assert found.cells.obs["rho"].to_numpy() == pytest.approx([1, 0.52, 0.04], abs=0.03)
    assert np.isinf(found.cells.obs["to_lumen"]).all() and np.isnan(found.organoids.obs["wall"].iloc[0])
    assert len(found.lumens) == 0
    with pytest.raises(errors.DataError, match="no organoid has a lumen"):
        zs.im.radial_profile(found, groupby=None, intensity=far.astype(np.float32), by="to_lumen")


def test_parts_of_a_mask_are_organoids_and_labels_stay_labels():
    places = field(100, (1, 1, 1))
    two = (np.linalg.norm(places - [0, -25, -25], axis=-1) <= 15) | (np.linalg.norm(places - [0, 25, 25], axis=-1) <= 20)
    parts = zs.im.organoid(two, spacing=1, name="dish")
    assert parts.organoids.obs_names.tolist() == ["dish_1", "dish_2"]
    assert parts.organoids.obs["volume"].to_numpy() == pytest.approx(4 / 3 * np.pi * np.array([20**3, 15**3]), rel=0.02)
    assert zs.im.organoid(two.astype(np.uint8), spacing=1).organoids.n_obs == 1
    assert zs.im.organoid(two.astype(np.uint8), spacing=1, split=True).organoids.n_obs == 2
    large = zs.im.organoid(two, spacing=1, min_volume=20_000)
    assert large.organoids.obs["label"].tolist() == [1]
    # A volume with an origin: cells are in its space.
    volume = zs.im.open(two.astype(np.uint8), spacing=1)
    core = volume._core
    moved = zs.im.Volume(core.described(core.spacing, (100.0, 0.0, -50.0), None, None, []))
    found = zs.im.organoid(moved, np.array([[150.0, 75, 25]]), spacing=1, split=True)
    assert found.cells.obs["organoid"].tolist() == [1]
    assert found.organoids.obs[["z", "y", "x"]].to_numpy()[0] == pytest.approx([149.7, 74.9, 24.6], abs=0.2)


def test_cells_outside_are_flagged_and_may_snap():
    far = np.linalg.norm(field(60, (1, 1, 1)), axis=-1)
    mask = (far <= 20) & (far > 6)
    points = to_volume(np.array([[0.0, 0, 0], [0, 0, 10], [0, 0, 21.5], [0, 0, 26], [0, 0, 400.0]]), 60, (1, 1, 1))
    with pytest.warns(UserWarning, match="3 of 5 cells"):
        found = zs.im.organoid(mask, points, spacing=1)
    assert found.cells.obs["organoid_place"].tolist() == ["lumen", "tissue", "outside", "outside", "outside"]
    assert found.cells.obs["rho"].isna().tolist() == [False, False, True, True, True] and found.cells.obs["rho"].iloc[0] == 1
    with pytest.warns(UserWarning, match="2 of 5 cells"):
        near = zs.im.organoid(mask, points, spacing=1, snap=2.5)
    assert near.cells.obs["organoid"].tolist() == [1, 1, 1, 0, 0] and near.cells.obs["depth"].iloc[2] == 0
    assert near.organoids.obs["cells"].iloc[0] == 2


def test_an_organoid_at_the_border_is_named():
    far = np.linalg.norm(field(40, (1, 1, 1)) - [0, 0, 15], axis=-1)
    with pytest.warns(UserWarning, match="organoid_1"):
        found = zs.im.organoid(far <= 12, spacing=1)
    assert found.organoids.obs["touches_border"].tolist() == [True]


def test_gaps_between_nuclei_are_tissue_and_lumens_are_not():
    rng = np.random.default_rng(0)
    places = field(80, (1, 1, 1))
    far = np.linalg.norm(places, axis=-1)
    from scipy.ndimage import distance_transform_edt

    centres = rng.uniform(-34, 34, (6000, 3))
    length = np.linalg.norm(centres, axis=1)
    centres = centres[(length < 30) & (length > 15)]
    seeds = np.ones(far.shape, bool)
    at = np.round(to_volume(centres, 80, (1, 1, 1))).astype(int)
    seeds[tuple(at.T)] = False
    nuclei = distance_transform_edt(seeds) <= 2
    mask = zs.im.organoid_mask(nuclei, radius=4, spacing=1)
    assert mask.dtype == bool and (mask | ~nuclei).all()
    assert mask[(far > 17) & (far < 29)].mean() > 0.95 and not mask[far < 11].any() and not mask[far > 34].any()
    expected = distance_transform_edt(distance_transform_edt(~nuclei) <= 4) > 4
    assert (mask == (expected | nuclei)).all()
    found = zs.im.organoid(mask, spacing=1)
    assert found.organoids.obs["lumens"].tolist() == [1]
    assert found.lumens["radius"].iloc[0] == pytest.approx(13, abs=1.5)


def test_arms_are_compared_organoid_by_organoid():
    rng = np.random.default_rng(3)
    tables, profiles = [], []
    for arm, radius in (("control", 16), ("control", 17), ("control", 16.5), ("control", 17.5), ("drug", 21), ("drug", 22), ("drug", 21.5), ("drug", 20.5)):
        far = np.linalg.norm(field(56, (1, 1, 1)), axis=-1)
        found = zs.im.organoid(far <= radius, spacing=1, name=f"{arm}{radius}", intensity=np.where(far < 10, 50, 10) + rng.normal(0, 1, far.shape))
        found.organoids.obs["arm"] = pd.Categorical([arm], categories=["drug", "control"])
        tables.append(found.organoids)
        profile = zs.im.radial_profile(found, intensity=np.where(far < 10, 50.0, 10.0), bins=4)
        profiles.append(profile.assign(arm=arm))
    both = ad.concat(tables)
    compared = zs.im.compare_organoids(both, "arm", reference="control").set_index("feature")
    assert compared.loc["volume", "mean_drug"] > 1.5 * compared.loc["volume", "mean_control"]
    # All 70 ways are looked at: two of them are as far apart.
    assert compared.loc["volume", "pval"] == pytest.approx(2 / 70) and compared.loc["volume", "least"] == pytest.approx(2 / 70)
    assert compared.loc["volume", "n_drug"] == 4 and (compared["pval_adj"].dropna() >= compared["pval"].dropna()).all()
    assert {"label", "x", "cells"}.isdisjoint(compared.index)
    assert "mean_drug" in zs.im.compare_organoids(both, "arm") and zs.im.compare_organoids(both, "arm")["difference"].iloc[0] < 0
    shells = zs.im.compare_organoids(pd.concat(profiles), "arm", reference="control")
    assert shells["shell"].tolist() == [0, 1, 2, 3] and shells["label"].tolist() == ["0"] * 4
    assert shells["mean_control"].iloc[0] == 10 and shells["mean_control"].iloc[3] == 50
    picked = zs.im.compare_organoids(both.obs, dict(both.obs["arm"].astype(str)), columns=["volume"], reference="control")
    assert picked["pval"].tolist() == [pytest.approx(2 / 70)]
    with pytest.raises(errors.ParameterError, match="concat"):
        zs.im.compare_organoids([both], "arm")
    with pytest.raises(errors.DataError, match="two arms"):
        zs.im.compare_organoids(both, ["a", "b", "c", "a", "b", "c", "a", "b"])
    with pytest.raises(errors.MissingKeyError, match="treatment"):
        zs.im.compare_organoids(both, "treatment")
    with pytest.raises(errors.DataError, match="twice"):
        zs.im.compare_organoids(pd.concat([profiles[0], *profiles]), "arm")


def test_the_same_for_any_number_of_threads():
    made = zs.datasets.phantom_organoid(200, spacing=(2, 2, 2), radius=36, genes=150, seed=4)
    results = []
    for threads in (1, 2, 8):
        cells = made.truth.copy()
        found = zs.im.organoid(made.tissue, cells, spacing=2, intensity=made.volume, lumen_channel="nuclei", threads=threads)
        profile = zs.im.radial_profile(found, groupby="cell_type")
        results.append(
            (found.depth.tobytes(), found.to_lumen.tobytes(), found.lumen.tobytes(), found.organoids.X.tobytes(), profile["value"].to_numpy().tobytes())
        )
    assert results[0] == results[1] == results[2]


def test_the_phantom_organoid_is_what_it_says():
    made = zs.datasets.phantom_organoid(400, spacing=(1.5, 1, 1), radius=40, genes=200, channels=4, recovery=0.5, capture=0.2, seed=7)
    again = zs.datasets.phantom_organoid(400, spacing=(1.5, 1, 1), radius=40, genes=200, channels=4, recovery=0.5, capture=0.2, seed=7)
    assert (np.asarray(made.volume) == np.asarray(again.volume)).all() and (made.sequenced.X != again.sequenced.X).nnz == 0
    # The image changes nothing of the cells, nor loss of the truth.
    other = zs.datasets.phantom_organoid(400, spacing=(1.5, 1, 1), radius=40, genes=200, channels=1, recovery=0.8, noise=0.1, seed=7)
    assert (other.truth.X != made.truth.X).nnz == 0 and other.sequenced.n_obs == 320
    assert made.volume.channels == ["nuclei", "RIM1", "INN1", "MID1", "POL1"] and made.sequenced.shape == (200, 200)
    truth = made.truth.obs
    found = zs.im.organoid(made.tissue, made.truth.copy(), spacing=(1.5, 1, 1))
    assert found.organoids.obs["lumens"].tolist() == [2] and (found.cells.obs["organoid_place"] == "tissue").all()
    assert np.abs(found.cells.obs["rho"] - truth["rho"]).quantile(0.99) < 0.06
    assert np.abs(found.cells.obs["depth"] - truth["depth"]).mean() < 0.6
    assert np.abs(found.cells.obs["axis_angle"] - truth["axis_angle"]).max() < 2.5
    # Of the filled body lumens are what is dark in the image.
    body = made.tissue | (made.lumens > 0)
    dark = zs.im.organoid(body, spacing=(1.5, 1, 1), intensity=made.volume, lumen_channel="nuclei", lumen_smoothing=4, min_lumen_volume=400)
    large = dark.lumens["volume"].max()
    assert large == pytest.approx((made.lumens == 1).sum() * 1.5, rel=0.3) and dark.organoids.obs["lumen_level"].iloc[0] > 100
    assert dark.organoids.var_names.tolist() == made.volume.channels
    means = truth.groupby("cell_type", observed=True)["rho"].mean()
    assert means["rim"] < means["outer"] < means["middle"] < means["inner"]
    # Labels lie where the cells are.
    at = np.round(truth[["z", "y", "x"]].to_numpy() / [1.5, 1, 1]).astype(int)
    assert (made.nuclei[tuple(at.T)] == np.arange(1, 401)).mean() > 0.99
    # A share of the transcripts of each cell that survived.
    rows = made.truth.obs_names.get_indexer(made.sequenced.obs["true_cell"])
    whole = np.asarray(made.truth.X.sum(axis=1)).ravel()[rows]
    kept = np.asarray(made.sequenced.X.sum(axis=1)).ravel()
    assert kept.sum() / whole.sum() == pytest.approx(0.2, abs=0.01)
    assert ((made.truth.X[rows] - made.sequenced.X).data >= 0).all()
    # Genes of depth follow depth.
    var = made.truth.var
    share = made.truth.X.toarray() / made.truth.X.sum(axis=1).A1[:, None] if hasattr(made.truth.X.sum(axis=1), "A1") else made.truth.X.toarray()
    log = np.log2(share[:, (var["kind"] == "depth").to_numpy() & (var["slope"] > 0).to_numpy()].sum(axis=1))
    assert np.corrcoef(log, truth["rho"])[0, 1] > 0.8
    # The image shows its genes in their types.
    means = zs.im.region_properties(made.nuclei, made.volume, spacing=(1.5, 1, 1), surface=False).set_index("label")
    inner = (truth["cell_type"] == "inner").to_numpy()
    own = means.reindex(np.arange(1, 401))["mean_INN1"].to_numpy()
    assert np.nanmean(own[inner]) > 1.5 * np.nanmean(own[~inner])
    with pytest.raises(errors.ParameterError, match="finds room"):
        zs.datasets.phantom_organoid(4000, radius=30, lumens=0)
    with pytest.raises(errors.ParameterError, match="recovery"):
        zs.datasets.phantom_organoid(recovery=1.5)


def test_the_image_of_the_phantom_gives_places_back():
    made = zs.datasets.phantom_organoid(450, radius=42, lumens=1, genes=150, seed=2)
    labels, nuclei = zs.im.segment_nuclei(made.volume, diameter=6.5, channel="nuclei")
    mask = zs.im.organoid_mask(labels, radius=7, spacing=made.volume.spacing)
    found = zs.im.organoid(mask, nuclei, spacing=made.volume.spacing, intensity=made.volume, snap=2, min_volume=2e4)
    assert found.organoids.n_obs == 1
    from scipy.spatial import cKDTree

    far, own = cKDTree(nuclei.obsm["spatial"]).query(made.truth.obsm["spatial"])
    seen = far < 2.5
    assert seen.mean() > 0.95
    rho = found.cells.obs["rho"].to_numpy()[own[seen]]
    known = np.isfinite(rho)
    assert known.mean() > 0.95 and np.corrcoef(rho[known], made.truth.obs["rho"].to_numpy()[seen][known])[0, 1] > 0.95


def test_bad_input_is_refused():
    far = np.linalg.norm(field(30, (1, 1, 1)), axis=-1)
    mask = far <= 10
    with pytest.raises(errors.ParameterError, match="spacing"):
        zs.im.organoid(mask)
    with pytest.raises(errors.EmptyDataError, match="at least one organoid"):
        zs.im.organoid(np.zeros((5, 5, 5), bool), spacing=1)
    with pytest.raises(errors.ShapeError, match="two planes"):
        zs.im.organoid(mask[:1], spacing=1)
    with pytest.raises(errors.ShapeError, match="two planes"):
        zs.im.organoid(mask[0], spacing=1)
    with pytest.raises(errors.DataError, match="another unit"):
        zs.im.organoid(mask, np.array([[15.0, 15, 15]]) * 1000, spacing=1)
    cells = ad.AnnData(np.zeros((1, 0)))
    cells.obsm["spatial"] = np.array([[15.0, 15, 15]])
    cells.uns["spatial_space"] = {"name": "sample", "unit": "millimeter", "axes": "xyz"}
    with pytest.raises(errors.DataError, match="millimeter"):
        zs.im.organoid(mask, cells, spacing=1)
    with pytest.raises(errors.DataError, match="whole numbers"):
        zs.im.organoid(mask.astype(np.float32), spacing=1)
    with pytest.raises(errors.ParameterError, match="lumen_channel"):
        zs.im.organoid(mask, spacing=1, lumen_channel=0)
    with pytest.raises(errors.ShapeError, match="intensity"):
        zs.im.organoid(mask, spacing=1, intensity=np.zeros((4, 4, 4)))
    with pytest.raises(errors.ParameterError, match="axis"):
        zs.im.organoid(mask, spacing=1, axis=(0, 0, 0))
    with pytest.raises(errors.ParameterError, match="max_opening"):
        zs.im.organoid(mask, spacing=1, max_opening=-1)
    with pytest.raises(errors.ParameterError, match="radius"):
        zs.im.organoid_mask(mask, radius=0, spacing=1)
    with pytest.raises(errors.EmptyDataError, match="at least one"):
        zs.im.organoid_mask(np.zeros((4, 4, 4), bool), radius=1, spacing=1)
    found = zs.im.organoid(mask, spacing=1)
    with pytest.raises(errors.MissingKeyError, match="pass them"):
        zs.im.radial_profile(found, groupby="type")
    with pytest.raises(errors.ParameterError, match="ascend"):
        zs.im.radial_profile(found, intensity=far, bins=[1, 0])
    with pytest.raises(errors.ParameterError, match="groupby and intensity"):
        zs.im.radial_profile(found, groupby="type", intensity=far)
    with pytest.raises(errors.ParameterError, match="rho, depth"):
        zs.im.radial_profile(found, intensity=far, by="radius")
