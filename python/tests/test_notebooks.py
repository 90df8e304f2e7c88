"""The notebooks: kept without outputs, and run whole, on data made here and on real data where it is found."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import zensaibo as zs
from conftest import DATA, REPOSITORY

NOTEBOOKS = sorted((REPOSITORY / "notebooks").rglob("*.ipynb"))


def load(path: Path) -> dict:
    return json.loads(path.read_text(encoding="utf-8"))


def text(cell: dict) -> str:
    return "".join(cell["source"])


def run(path: Path) -> dict:
    """Runs the code cells in one namespace; an error names notebook and cell."""
    namespace: dict = {"__name__": "__main__"}
    for number, cell in enumerate(load(path)["cells"]):
        if cell["cell_type"] == "code":
            exec(compile(text(cell), f"{path.name}, cell {number}", "exec"), namespace)
    return namespace


def test_notebooks_are_found():
    assert {path.name for path in NOTEBOOKS} >= {
        "01_pbmc_clusters.ipynb",
        "02_markers_and_annotation.ipynb",
        "03_batches.ipynb",
        "04_proteins.ipynb",
        "05_trajectory.ipynb",
        "06_velocity.ipynb",
    }


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs_and_explained(path):
    notebook = load(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) >= (4, 5)
    kinds = [cell["cell_type"] for cell in notebook["cells"]]
    assert kinds[0] == "markdown" and text(notebook["cells"][0]).startswith("# ")
    assert len({cell["id"] for cell in notebook["cells"]}) == len(kinds)
    for number, cell in enumerate(notebook["cells"]):
        assert cell["metadata"] == {} and text(cell).strip(), number
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, number
            assert "markdown" in kinds[max(0, number - 2) : number], f"cell {number}: no words before it"
            assert not re.search(r"/(home|root|work|tmp|Users)/", text(cell)), number
    for other in re.findall(r"`(\w+\.ipynb)`", "".join(map(text, notebook["cells"]))):
        assert (path.parent / other).exists(), other


@pytest.fixture
def made_here(tmp_path, monkeypatch):
    """No real data; files go to a folder that is thrown away."""
    monkeypatch.delenv("ZENSAIBO_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    plt.close("all")


@pytest.fixture
def real(tmp_path, monkeypatch, request):
    """PBMC 3k or the data set that the parameter names, or a skip with the reason."""
    monkeypatch.setenv("ZENSAIBO_DATA", os.fspath(DATA))
    monkeypatch.chdir(tmp_path)
    try:
        zs.datasets.locate(getattr(request, "param", "pbmc3k"))
    except zs.errors.FileError as error:
        pytest.skip(str(error))
    yield tmp_path
    plt.close("all")


def notebook(name: str) -> Path:
    (path,) = [path for path in NOTEBOOKS if path.stem == name]
    return path


def test_clusters_of_simulated_cells_are_their_types(made_here):
    adata = run(notebook("01_pbmc_clusters"))["adata"]
    assert adata.uns["simulated"]
    assert 2200 < adata.n_obs < 2400, "the cut-offs leave out a few cells only"
    assert zs.metrics.adjusted_rand_index(adata.obs["cell_type"], adata.obs["leiden"]) > 0.7
    again = zs.io.read(made_here / "pbmc_clusters.h5ad")
    assert again.shape == adata.shape and (again.layers["counts"] != adata.layers["counts"]).nnz == 0
    assert len(plt.get_fignums()) >= 8


def test_simulated_cells_get_their_names(made_here):
    adata = run(notebook("02_markers_and_annotation"))["adata"]
    right = adata.obs["cell_type"].astype(str) == adata.obs["cell_type_found"].astype(str)
    assert right[~adata.obs["is_doublet"]].mean() > 0.95
    assert (made_here / "pbmc_annotated.h5ad").exists()


def test_clusters_of_pbmc3k(real):
    adata = run(notebook("01_pbmc_clusters"))["adata"]
    assert 2500 < adata.n_obs < 2700 and 6 <= adata.obs["leiden"].nunique() <= 14
    cluster = adata.obs["leiden"]
    for gene in ("MS4A1", "LYZ", "NKG7", "PPBP"):
        found = adata[:, gene].X.toarray().ravel() > 0
        shares = [found[cluster == c].mean() for c in cluster.cat.categories]
        assert max(shares) > 0.7 and sorted(shares)[len(shares) // 2] < 0.5 * max(shares), gene


def test_names_of_pbmc3k(real):
    adata = run(notebook("02_markers_and_annotation"))["adata"]
    assert adata.n_obs == 2638
    shares = adata.obs["cell_type_found"].value_counts(normalize=True)
    # What the usual tutorials find in these cells.
    for name, low, high in (("B", 0.11, 0.15), ("CD14+ monocyte", 0.15, 0.22), ("NK", 0.04, 0.08), ("CD4 T", 0.38, 0.52)):
        assert low < shares[name] < high, (name, shares[name])
    assert shares["Megakaryocyte"] < 0.01 and shares["Dendritic"] < 0.03 and len(shares) == 8


def test_batches_of_simulated_cells_are_mixed_and_types_stay_apart(made_here):
    found = run(notebook("03_batches"))
    adata, lisi = found["adata"], found["lisi"]
    assert lisi["sample", "before"].mean() < 2 < 3.5 < lisi["sample", "after"].mean(), "of six batches"
    # The planted types, not those that the notebook names.
    types = [zs.metrics.lisi(adata.obsm[key], adata.obs["cell_type"]).mean() for key in ("X_pca", "X_pca_harmony")]
    assert types[1] < types[0] + 0.05, types
    table = adata.uns["pseudobulk_test"]["results"]
    for kind in ("T", "NK", "B", "Monocyte"):
        part = table[table["group"] == kind]
        assert set(part["names"][part["pvals_adj"] < 0.01]) == set(found["response"]), kind


@pytest.mark.parametrize("real", ["kang"], indirect=True)
def test_interferon_raises_isg15_in_all_types(real):
    found = run(notebook("03_batches"))
    adata, lisi = found["adata"], found["lisi"]
    assert lisi["stim", "before"].mean() < 1.3 < 1.6 < lisi["stim", "after"].mean(), "of two conditions"
    assert lisi["type", "after"].mean() < lisi["type", "before"].mean() + 0.05
    table = adata.uns["pseudobulk_test"]["results"]
    isg15 = table[table["names"] == "ISG15"].set_index("group")
    assert set(isg15.index) == {"T", "NK", "B", "Monocyte"}
    assert (isg15["logfoldchanges"] > 3).all() and (isg15["pvals_adj"] < 1e-3).all()


def test_proteins_of_simulated_cells_find_their_types(made_here):
    found = run(notebook("04_proteins"))
    adata = found["adata"]
    assert zs.metrics.adjusted_rand_index(adata.obs["cell_type"], adata.obs["leiden_joint"]) > 0.7
    largest = adata.obs["leiden_joint"][adata.obs["cell_type"] == "CD8 T"].value_counts(normalize=True).max()
    assert largest > 0.95
    assert adata.obsm["protein"].shape[1] == found["protein"].n_vars - 2, "controls are left out"


@pytest.mark.parametrize("real", ["pbmc_citeseq_5k"], indirect=True)
def test_proteins_bring_cd8_t_cells_together(real):
    found = run(notebook("04_proteins"))
    adata, cd8 = found["adata"], found["is_cd8_t"]
    largest = {key: adata.obs[key][cd8].value_counts(normalize=True).max() for key in ("leiden_rna", "leiden_joint")}
    assert cd8.sum() >= 10 and largest["leiden_joint"] > 0.9 > largest["leiden_rna"], largest
    b_cells = adata.obs["leiden_joint"][found["levels"]["CD19"] > 2].value_counts().index[0]
    means = adata[:, "MS4A1"].to_df()["MS4A1"].groupby(adata.obs["leiden_joint"], observed=True).mean()
    assert means.idxmax() == b_cells


def test_pseudotime_of_made_up_cells_is_the_planted_order(made_here):
    found = run(notebook("05_trajectory"))
    adata = found["adata"]
    assert adata.obs["true_time"].corr(adata.obs["dpt_pseudotime"], method="spearman") > 0.9
    assert adata.obs["true_time"].iloc[adata.uns["iroot"]] < 0.2
    assert (adata.obs["way"].astype(str) == adata.obs["true_way"]).mean() > 0.9
    assert found["order"] == {"red": found["red"], "white": found["white"]}


@pytest.mark.parametrize("real", ["paul15"], indirect=True)
def test_pseudotime_of_progenitors_follows_the_published_stages(real):
    found = run(notebook("05_trajectory"))
    adata = found["adata"]
    stage = adata.obs["paul15_clusters"].astype(str)
    median = adata.obs["dpt_pseudotime"].groupby(stage).median()
    erythroid = median[["7MEP", "6Ery", "5Ery", "4Ery", "3Ery", "2Ery", "1Ery"]]
    assert erythroid.is_monotonic_increasing, erythroid
    assert max(median["9GMP"], median["10GMP"]) < min(median["14Mo"], median["15Mo"], median["16Neu"]), median
    assert (adata.obs["way"][stage.isin(["1Ery", "2Ery", "3Ery"])] == "red").mean() > 0.95
    assert (adata.obs["way"][stage.isin(["14Mo", "15Mo", "16Neu"])] == "white").mean() > 0.95
    # Gata2 falls as Gata1 rises, and haemoglobin is last.
    assert found["order"]["red"][0] == "Gata2" and found["order"]["red"][-1] == "Hba-a2"


def test_arrows_of_made_up_cells_point_to_later_times(made_here):
    found = run(notebook("06_velocity"))
    adata = found["adata"]
    assert (found["step"] > 0).mean() > 0.9
    # On the map: the arrow against the way to those neighbours that are later.
    points, time = np.asarray(adata.obsm["X_umap"], dtype=float), adata.obs["true_time"].to_numpy()
    joined = adata.obsp["connectivities"].tocoo()
    ahead = np.zeros_like(points)
    np.add.at(ahead, joined.row, (points[joined.col] - points[joined.row]) * (time[joined.col] - time[joined.row])[:, None])
    arrows = adata.obsm["velocity_umap"]
    cosines = (ahead * arrows).sum(axis=1) / (np.linalg.norm(ahead, axis=1) * np.linalg.norm(arrows, axis=1))
    assert np.median(cosines) > 0.9 and (cosines > 0).mean() > 0.9
    moving = adata.var_names[found["fitted"]].str.startswith("Moving")
    assert moving.mean() > 0.9, "genes that do not change are left out"


@pytest.mark.parametrize("real", ["dentategyrus_100"], indirect=True)
def test_velocities_of_neighbours_agree_more_than_by_chance(real):
    found = run(notebook("06_velocity"))
    adata = found["adata"]
    assert np.isfinite(adata.obsm["velocity_umap"]).all() and found["fitted"].sum() >= 20
    assert 0.05 < found["share"] < 0.2
    assert adata.obs["agreement"].mean() > found["by_chance"].mean() + 0.1


def test_drawn_cells_are_found_in_a_volume(made_here):
    found = run(notebook("01_cells_in_a_volume"))
    scores = zs.metrics.detection_scores(found["cells"], found["truth"], radius=8.0)
    assert scores.f1 > 0.95, scores
    assert (made_here / "cells.h5ad").exists()


@pytest.mark.parametrize("real", ["cellfinder_crops"], indirect=True)
def test_cells_of_a_real_brain_are_found(real):
    cells = run(notebook("01_cells_in_a_volume"))["cells"]
    assert 700 < cells.n_obs < 2500
    # Most lie in the labelled layer, left of 600 um.
    assert (cells.obsm["spatial"][:, 0] < 600).mean() > 0.6


def test_filters_bring_made_nuclei_out(made_here):
    found = run(notebook("02_background_and_filters"))
    contrast = found["contrast"]
    assert min(contrast[name] for name in ("second channel", "top-hat", "rolling ball", "local contrast")) > 1.2 * contrast["as it came"]
    assert zs.im.open(made_here / "clean.ome.zarr").spacing == (5, 2, 2)


@pytest.mark.parametrize("real", ["cellfinder_crops"], indirect=True)
def test_filters_bring_real_cells_out(real):
    contrast = run(notebook("02_background_and_filters"))["contrast"]
    assert contrast["rolling ball"] > 1.2 * contrast["as it came"]


def test_a_classifier_learns_which_made_nuclei_are_positive(made_here):
    scores = run(notebook("03_detect_cells"))["scores"]
    assert scores["own classifier"]["f1"] > scores["threshold"]["f1"] + 0.05, scores
    assert {path.name for path in made_here.iterdir()} >= {"my_cells.json", "cells.h5ad", "cells.xml"}


@pytest.mark.parametrize("real", ["cfos_patches"], indirect=True)
def test_a_classifier_learns_c_fos_from_other_animals(real):
    scores = run(notebook("03_detect_cells"))["scores"]
    assert scores["own classifier"]["f1"] > scores["threshold"]["f1"] + 0.05, scores


def test_made_nuclei_are_outlined(made_here):
    found = run(notebook("04_segment_nuclei"))
    assert found["scores"].loc[0.5, "f1"] > 0.95
    labels = zs.im.open(made_here / "nuclei.ome.zarr" / "labels" / "nuclei")
    np.testing.assert_array_equal(np.asarray(labels), found["labels"])
    assert labels.spacing == found["spacing"]


@pytest.mark.parametrize("real", ["stardist_nuclei"], indirect=True)
def test_embryo_nuclei_are_outlined(real):
    found = run(notebook("04_segment_nuclei"))
    assert found["scores"].loc[0.5, "average_precision"] > 0.75
    if found["cortex"] is not found["volume"]:
        assert 100 < found["nuclei"].n_obs < found["grainy"].max()


def test_made_cells_are_followed(made_here):
    found = run(notebook("05_track"))
    scores = found["scores"]
    assert scores["LNK"] > 0.95 and scores["division_recall"] > 0.7 and scores["division_precision"] > 0.7, scores
    assert zs.im.open(made_here / "tracks.ome.zarr").shape == found["masks"].shape


@pytest.mark.parametrize("real", ["hela_masks"], indirect=True)
def test_hela_cells_are_followed(real):
    found = run(notebook("05_track"))
    assert found["lengths"].median() >= 10 and len(found["mothers"]) >= 5


def test_an_organ_finds_its_atlas(made_here):
    done = run(notebook("07_register"))
    error = np.linalg.norm(done["in_atlas"] - done["truth"].to_atlas(done["points"]), axis=1)
    assert np.median(error) < 0.6 * done["atlas"].spacing[0]
    assert np.median(done["apart"]) < done["atlas"].spacing[0] and done["report"]["turn"] == 0
    assert (made_here / "registration" / "zarr.json").exists() and len(plt.get_fignums()) == 2


@pytest.mark.parametrize("real", ["mouse_brain"], indirect=True)
def test_a_brain_finds_its_atlas(real):
    done = run(notebook("07_register"))
    assert done["truth"] is None and done["report"]["turn"] == 0 and done["report"]["correlation"] > 0.75
    assert np.median(done["apart"]) < 2 * done["atlas"].spacing[0]
    cortex = done["atlas"].mask("Isocortex")
    assert done["here"][cortex].mean() > 1.5 * done["here"][done["atlas"].mask("VS")].mean()


def test_the_whole_way_counts_what_is_there(made_here):
    done = run(notebook("10_whole_way"))
    assert done["found"].f1 > 0.97 and np.median(done["error"]) < 6
    table = done["table"].set_index("acronym")
    assert (abs(table["own_cell_count"] - table["true"]) <= 0.1 * table["true"] + 8).all()
    assert (made_here / "out" / "report.html").exists()


def _counted(found: dict) -> None:
    table = found["table"]
    nowhere = [table.attrs[key] for key in ("background", "outside", "lost")]
    assert table["own_cell_count"].sum() + sum(nowhere) == len(found["cells"]) == len(found["points"])
    assert table.attrs["outside"] >= 300 and found["error"] < 0.05


def test_cells_of_an_organ_are_counted(made_here):
    _counted(run(notebook("08_count_by_region")))
    saved = zs.im.open(made_here / "density.ome.zarr")
    assert saved.spacing == (50.0, 50.0, 50.0) and (made_here / "regions.csv").exists()


@pytest.mark.parametrize("real", ["allen_atlas"], indirect=True)
def test_cells_of_a_brain_are_counted(real):
    found = run(notebook("08_count_by_region"))
    _counted(found)
    assert len(found["atlas"].structures) == 1327


def _compared(found: dict) -> None:
    result = found["result"].set_index("acronym")
    planted = result.loc[found["changed"]]
    assert planted["ci_low"] <= np.log2(2.5) <= planted["ci_high"] and planted["fdr_tree"] < 0.05 and planted["fwer_tree"] < 0.05
    unrelated = result.drop(index=list(found["related"])).dropna(subset="p_value")
    assert (unrelated["fdr"] < 0.05).mean() < 0.1
    inside = found["atlas"].mask(found["changed"])
    assert found["where"][inside].mean() > 0.5 and found["share"] > 0.8
    assert found["clustered"].clusters["p_corrected"][0] <= 0.05


def test_groups_of_made_organs_are_compared(made_here):
    _compared(run(notebook("09_compare_two_groups")))


@pytest.mark.parametrize("real", ["allen_atlas"], indirect=True)
def test_groups_of_brains_are_compared(real):
    _compared(run(notebook("09_compare_two_groups")))


def test_made_tiles_are_stitched(made_here):
    found = run(notebook("06_stitch"))
    assert found["off"].max() < 0.3 and found["spread"] < 0.03
    assert list(np.flatnonzero(~found["doubtful"].placed)) == [8] and len(found["caught"]) == 2
    np.testing.assert_array_equal(np.asarray(zs.im.open(made_here / "stitched.ome.zarr")), np.asarray(found["volume"]))


@pytest.mark.parametrize("real", ["cellfinder_crops"], indirect=True)
def test_tiles_of_a_brain_are_stitched(real):
    found = run(notebook("06_stitch"))
    assert found["off"].max() < 0.3 and found["spread"] < 0.03


def _tissues(found: dict) -> None:
    bulb, cortex = found["bulb"], found["cortex"]
    z = bulb.uns["layer_nhood_enrichment"]["zscore"]
    apart = np.abs(np.subtract.outer(np.arange(5), np.arange(5)))
    # The onion: each layer beside itself, the innermost far from the outermost.
    assert (np.diag(z) > 1.5).all() and z[0, 4] < -3 and z[apart <= 1].mean() > 2 > 0 > z[apart >= 2].mean()
    assert found["agreement"]["niches"] > found["agreement"]["kinds of cells"] + 0.1, found["agreement"]
    assert cortex.obs["nhood_niche_res=0.3"].nunique() >= 4
    # One of the two cancers has the gene almost everywhere.
    assert min(found["difference"].values()) > 0.2 and max(found["difference"].values()) > 1 and found["rank"] <= 100


def test_made_tissues_show_their_layers_and_regions(made_here):
    found = run(notebook("01_tissue_statistics"))
    _tissues(found)
    assert all(gene.startswith("Layer") for gene in found["top"]) and (made_here / "bulb.zarr").exists()


@pytest.mark.parametrize("real", ["olfactory_bulb"], indirect=True)
def test_bulb_cortex_and_cancer_show_their_published_picture(real):
    found = run(notebook("01_tissue_statistics"))
    assert found["bulb"].n_obs == 260 and found["slides"].n_obs == 471 and found["cortex"].n_vars == 33, "all three sets are there"
    _tissues(found)
    # Genes that the study of the bulb and later ones name (Stahl 2016).
    order = found["bulb"].uns["moranI"].index
    assert np.median([order.get_loc(gene) for gene in ("Penk", "Doc2g", "Kctd12", "Fabp7", "Nrgn")]) < 200
