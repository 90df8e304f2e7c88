"""``zensaibo space``: the same numbers as zs.sp, what is kept of the input, notes, bad input, the report."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs

from conftest import data_path


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "zensaibo", *map(str, arguments)], capture_output=True, text=True, check=False)


def tissue(dimensions: int = 2, n: int = 300) -> ad.AnnData:
    rng = np.random.default_rng(dimensions)
    places = rng.uniform(0, 1000, (n, dimensions))
    left = places[:, :1] < 500
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(np.where(left, [4, 1, 1, 0], [1, 4, 1, 0])).astype(np.float32)))
    adata.var_names = ["left", "right", "both", "none"]
    adata.obsm["spatial"] = places
    adata.obs["type"] = pd.Categorical(
        np.where(rng.random(n) < 0.8, np.where(left[:, 0], "a", "b"), "c"), categories=["a", "b", "c", "unused"]
    )
    adata.obs["section"] = pd.Categorical(np.where(np.arange(n) % 3, "two", "one"))
    adata.uns["spatial_space"] = {"name": "sample", "unit": "micrometer"}
    adata.layers["raw"] = adata.X.copy()
    adata.uns["moranI"] = "an older result"
    return adata


METHODS = {
    "knn": (("neighbors.n_neighs=5",), lambda a, **k: zs.sp.spatial_neighbors_knn(a, n_neighs=5, **k)),
    "radius": (
        ("neighbors.method=radius", "neighbors.radius=90.0"),
        lambda a, **k: zs.sp.spatial_neighbors_radius(a, 90.0, **k),
    ),
    "grid": (("neighbors.method=grid", "neighbors.n_rings=2"), lambda a, **k: zs.sp.spatial_neighbors_grid(a, n_rings=2, **k)),
}


@pytest.mark.parametrize("dimensions", [2, 3])
@pytest.mark.parametrize("method", METHODS)
def test_the_numbers_are_those_of_sp(tmp_path, method, dimensions):
    settings, neighbors = METHODS[method]
    adata = tissue(dimensions)
    adata.write_h5ad(tmp_path / "in.h5ad")
    flags = [word for setting in settings for word in ("--set", setting)]
    done = command(
        "space",
        tmp_path / "in.h5ad",
        "-o",
        tmp_path / "out.h5ad",
        "--cluster",
        "type",
        "--library",
        "section",
        "--quiet",
        "--set",
        "co_occurrence.interval=8",
        "--set",
        "genes.min_cells=0",
        "--set",
        "autocorr.n_perms=20",
        *flags,
    )
    assert done.returncode == 0, done.stderr
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    neighbors(adata, library_key="section")
    for key in ("spatial_connectivities", "spatial_distances"):
        assert found.obsp[key].dtype == adata.obsp[key].dtype and (found.obsp[key] != adata.obsp[key]).nnz == 0
        assert np.array_equal(found.obsp[key].indices, adata.obsp[key].indices)
    zs.sp.nhood_enrichment(adata, "type", library_key="section")
    zs.sp.interaction_matrix(adata, "type")
    zs.sp.co_occurrence(adata, "type", library_key="section", interval=found.uns["type_co_occurrence"]["interval"])
    for key, names in (
        ("type_nhood_enrichment", ("zscore", "count", "mean", "std")),
        ("type_co_occurrence", ("occ", "interval")),
    ):
        for name in names:
            np.testing.assert_array_equal(found.uns[key][name], adata.uns[key][name], err_msg=name)
        assert list(found.uns[key]["categories"]) == ["a", "b", "c"]
    np.testing.assert_array_equal(found.uns["type_interactions"], adata.uns["type_interactions"])
    zs.sp.spatial_autocorr(adata, n_perms=20)
    ours, theirs = adata.uns["moranI"], found.uns["moranI"]
    assert list(ours.index) == list(theirs.index)
    for column in theirs:
        np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-12, err_msg=column)
    zs.sp.spatially_variable_genes(adata, library_key="section", min_cells=0)
    ours, theirs = adata.uns["spatially_variable_genes"], found.uns["spatially_variable_genes"]
    assert list(ours.index) == list(theirs.index) and ours["pattern"].tolist() == theirs["pattern"].tolist()
    for column in ("share", "pval", "pval_adj"):
        np.testing.assert_allclose(theirs[column], ours[column], rtol=1e-12)
    # All else is what it was.
    assert (found.layers["raw"] != adata.layers["raw"]).nnz == 0 and found.uns["spatial_space"]["unit"] == "micrometer"
    assert found.uns["zensaibo"]["space"]["options"]["input"]["cluster_key"] == "type"


def test_threads_change_nothing_and_genes_and_labels_may_be_left_out(tmp_path):
    tissue().write_h5ad(tmp_path / "in.h5ad")
    files = []
    for threads in (1, 3):
        out = tmp_path / f"{threads}.h5ad"
        assert (
            command("space", tmp_path / "in.h5ad", "-o", out, "--cluster", "type", "--threads", threads, "-q").returncode == 0
        )
        files.append(ad.read_h5ad(out))
    one, three = files
    assert one.uns["type_nhood_enrichment"]["zscore"].tobytes() == three.uns["type_nhood_enrichment"]["zscore"].tobytes()
    for key in ("moranI", "spatially_variable_genes"):
        pd.testing.assert_frame_equal(one.uns[key], three.uns[key], check_exact=True)
    done = command(
        "space",
        tmp_path / "in.h5ad",
        "-o",
        tmp_path / "few.h5ad",
        "--set",
        "genes.autocorr=false",
        "--set",
        "genes.variable=false",
    )
    few = ad.read_h5ad(tmp_path / "few.h5ad")
    assert done.returncode == 0 and "input.cluster_key names no column" in done.stdout
    assert (
        set(few.uns) == {"spatial_neighbors", "spatial_space", "zensaibo", "moranI"} and few.uns["moranI"] == "an older result"
    )


def test_what_should_be_known_is_said(tmp_path):
    adata = tissue()
    adata.obsm["spatial"][1] = adata.obsm["spatial"][4]
    labels = adata.obs["type"].astype(str)
    labels.iloc[7] = "lone"
    labels[(adata.obs["section"] == "one") & (labels == "c")] = "a"
    adata.obs["type"] = labels.astype("category")
    del adata.uns["spatial_space"]
    adata.write_h5ad(tmp_path / "in.h5ad")
    done = command(
        "space",
        tmp_path / "in.h5ad",
        "-o",
        tmp_path / "out.h5ad",
        "--cluster",
        "type",
        "--library",
        "section",
        "--report",
        tmp_path / "r.html",
    )
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "r.html").read_text(encoding="utf-8")
    for text in (
        "1 cells lie where another",
        "unit of the coordinates is not known",
        "of one cell, of which little can be said: lone",
        "Library one has no cell of: c",
        "about the mean over all libraries",
    ):
        assert text in done.stdout and text in page, text
    assert (
        page.count("<svg") == page.count("</svg>") >= 4
        and "<h3>one</h3>" in page
        and "http://" not in page
        and "https://" not in page
    )
    assert command("space", tmp_path / "in.h5ad", "-o", tmp_path / "out.h5ad", "--unit", "pixel", "-q").returncode == 0


def test_bad_input_is_named(tmp_path):
    def refused(code: int, word: str, change=None, *flags: object) -> None:
        adata = tissue(3)
        if change is not None:
            change(adata)
        adata.write_h5ad(tmp_path / "in.h5ad")
        done = command("space", tmp_path / "in.h5ad", "-o", tmp_path / "out.h5ad", "--cluster", "type", *flags)
        assert done.returncode == code and word in done.stderr, (done.returncode, done.stderr)
        assert not (tmp_path / "out.h5ad").exists()

    def lost(adata):
        adata.obsm["spatial"][3, 0] = np.nan

    def mixed(adata):
        adata.obsm["spatial"][:50, 2] = np.nan

    def unlabelled(adata):
        adata.obs["type"] = adata.obs["type"].where(np.arange(300) != 5)

    def numbers(adata):
        adata.obs["type"] = np.linspace(0, 1, 300)

    def unit(adata):
        adata.uns["spatial_space"] = {"unit": "furlong"}

    def wide(adata):
        adata.obsm["spatial"] = np.zeros((300, 4))

    def infinite(adata):
        adata.X.data[3] = np.inf

    refused(3, "the first is cell 3", lost)
    refused(3, "two and of three dimensions mixed", mixed)
    refused(3, "1 without one (the first is cell 5)", unlabelled)
    refused(2, "input.cluster_key", numbers)
    refused(3, "furlong", unit)
    refused(3, "2 or 3 numbers", wide)
    refused(3, "finite values", infinite)
    refused(3, "`nowhere`", None, "--spatial", "nowhere")
    refused(3, "section_2", None, "--library", "section_2")
    refused(2, "input.unit", None, "--unit", "inch")
    refused(2, "neighbors.radius", None, "--set", "neighbors.method=radius")
    refused(2, "nearest", None, "--set", "neighbors.method=nearest")
    refused(3, "library one", None, "--library", "section", "--set", "neighbors.n_neighs=150")
    done = command("space", tmp_path / "none.h5ad", "-o", tmp_path / "out.h5ad")
    assert done.returncode == 3 and "none.h5ad" in done.stderr


def test_the_olfactory_bulb_from_the_command_line(tmp_path):
    path = data_path("spatial_mouse_olfactory_bulb/mob.h5ad")
    done = command(
        "space",
        path,
        "-o",
        tmp_path / "out.h5ad",
        "--set",
        "neighbors.method=grid",
        "--set",
        "neighbors.n_neighs=4",
        "--cluster",
        "layer",
    )
    assert done.returncode == 0, done.stderr
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    published = ["Penk", "Kctd12", "Fabp7", "Nrgn"]
    assert (found.uns["spatially_variable_genes"].loc[published, "pval_adj"] < 0.01).all()
    # The ring of Doc2g is no sum of functions of one axis each; its neighbours tell it.
    assert (
        found.uns["spatially_variable_genes"].loc["Doc2g", "pval_adj"] > 0.1
        and found.uns["moranI"].loc["Doc2g", "pval_norm_fdr_bh"] < 1e-4
    )
    assert "Penk" in done.stdout and np.diag(found.uns["layer_nhood_enrichment"]["zscore"])[:5].min() > 1
