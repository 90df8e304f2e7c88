"""``zensaibo map``: planted types found again in place, what is written, bad input, the report."""

from __future__ import annotations

import subprocess
import sys

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

TYPES = ["a", "b", "c"]


def command(*arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-m", "zensaibo", *map(str, arguments)], capture_output=True, text=True, check=False)


def made(n: int, genes: int, seed: int, means: np.ndarray | None = None) -> tuple[ad.AnnData, np.ndarray]:
    """Counts of cells of three types."""
    if means is None:
        means = np.random.default_rng(0).gamma(0.5, 4.0, (len(TYPES), genes))
    rng = np.random.default_rng(seed)
    types = rng.integers(0, len(TYPES), n)
    adata = ad.AnnData(sparse.csr_matrix(rng.poisson(means[types] + 0.05).astype(np.float32)))
    adata.var_names = [f"G{i}" for i in range(genes)]
    adata.obs_names = [f"{'ref' if seed == 1 else 'cell'}{i}" for i in range(n)]
    return adata, types


@pytest.fixture()
def files(tmp_path):
    reference, types = made(400, 120, 1)
    reference.obs["cell_type"] = pd.Categorical([TYPES[t] for t in types])
    reference.write_h5ad(tmp_path / "cells.h5ad")
    placed, truth = made(300, 120, 2)
    # Fewer genes, in another order, and some that only they have.
    placed = placed[:, np.random.default_rng(3).permutation(120)[:60]].copy()
    placed.var_names = [*placed.var_names[:55], *(f"own{i}" for i in range(5))]
    rng = np.random.default_rng(4)
    placed.obsm["spatial"] = np.column_stack([truth * 100 + rng.uniform(0, 90, 300), rng.uniform(0, 200, 300), rng.uniform(0, 50, 300)])
    placed.obs["region"] = pd.Categorical(np.where(truth == 0, "left", np.where(truth == 1, "middle", None)), categories=["left", "middle"])
    placed.uns["spatial_space"] = {"name": "sample", "unit": "micrometer", "axes": "xyz"}
    placed.obs["cell_type"] = "an older guess"
    placed.write_h5ad(tmp_path / "spatial.h5ad")
    return tmp_path, truth


@pytest.mark.parametrize("method", ["principal_vectors", "tangram"])
def test_planted_types_come_back(files, method):
    folder, truth = files
    settings = [] if method == "principal_vectors" else ["--set", "method.name=tangram", "--set", "tangram.num_epochs=200"]
    run = lambda out, *more: command(  # noqa: E731
        "map", folder / "spatial.h5ad", "--reference", folder / "cells.h5ad", "-o", folder / out, "--region", "region", *settings, *more
    )
    done = run("out.h5ad", "--report", folder / "map.html", "--set", 'output.impute=["G0","G7"]', "--threads", 1)
    assert done.returncode == 0, done.stderr
    assert "300 cells in place, 400 cells of the reference, 55 shared genes" in done.stdout
    found = ad.read_h5ad(folder / "out.h5ad")
    assert (found.obs["map_cell_type"].to_numpy() == np.array(TYPES)[truth]).mean() > 0.97
    assert list(found.obs["map_cell_type"].cat.categories) == TYPES
    shares = found.obsm["map_cell_type"]
    assert list(shares.columns) == TYPES and np.allclose(shares.sum(axis=1), 1, atol=1e-5)
    assert np.array_equal(found.obs["map_cell_type_confidence"].to_numpy(), shares.to_numpy().max(axis=1))
    held = found.uns["map"]["held_out"]
    assert len(held) == 55 and set(held.index) <= set(found.var_names) and held["pearson"].mean() > 0.3
    # Genes that were never measured in place follow the types that express them.
    assert list(found.obsm["map_imputed"].columns) == ["G0", "G7"]
    # What was there stays.
    assert np.array_equal(found.obsm["spatial"], ad.read_h5ad(folder / "spatial.h5ad").obsm["spatial"])
    kept = found.uns["zensaibo"]["map"]
    assert kept["options"]["input"]["label"] == "cell_type" and len(found.uns["map"]["genes"]) == 55
    page = (folder / "map.html").read_text()
    for part in ("<canvas id=organ", "<canvas id=umap", "id=by-region", "Genes held out", "lie in no region"):
        assert part in page
    # Threads change nothing.
    again = run("two.h5ad", "--set", 'output.impute=["G0","G7"]', "--threads", 2)
    assert again.returncode == 0, again.stderr
    second = ad.read_h5ad(folder / "two.h5ad")
    for key in ("map_cell_type", "map_imputed"):
        assert np.array_equal(second.obsm[key].to_numpy(), found.obsm[key].to_numpy(), equal_nan=True)
    assert second.uns["map"]["held_out"].equals(held)


def test_what_was_mapped_can_be_mapped_again(files):
    folder, _ = files
    first = command("map", folder / "spatial.h5ad", "--reference", folder / "cells.h5ad", "-o", folder / "out.h5ad", "--set", 'output.impute=["*"]')
    assert first.returncode == 0, first.stderr
    assert ad.read_h5ad(folder / "out.h5ad").obsm["map_imputed"].shape == (300, 120)
    second = command("map", folder / "out.h5ad", "--reference", folder / "cells.h5ad", "-o", folder / "again.h5ad", "--set", "held_out.folds=0")
    assert second.returncode == 0, second.stderr
    again = ad.read_h5ad(folder / "again.h5ad")
    # An older run's genes are not passed off as this one's.
    assert "map_imputed" not in again.obsm and "held_out" not in again.uns["map"]
    assert again.obs["map_cell_type"].equals(ad.read_h5ad(folder / "out.h5ad").obs["map_cell_type"])
    assert (again.obs["cell_type"] == "an older guess").all()


def test_flat_tissue_without_regions(files):
    folder, _ = files
    flat = ad.read_h5ad(folder / "spatial.h5ad")
    flat.obsm["spatial"] = flat.obsm["spatial"][:, :2]
    del flat.uns["spatial_space"], flat.obs["region"]
    flat.write_h5ad(folder / "flat.h5ad")
    done = command("map", folder / "flat.h5ad", "--reference", folder / "cells.h5ad", "-o", folder / "out.h5ad", "--report", folder / "map.html")
    assert done.returncode == 0, done.stderr
    page = (folder / "map.html").read_text()
    assert "id=by-region" not in page and "Drag to move;" in page


def test_bad_input_is_named(files):
    folder, _ = files
    spatial, cells = folder / "spatial.h5ad", folder / "cells.h5ad"

    def refused(*arguments: object) -> str:
        done = command("map", *arguments)
        assert done.returncode in (2, 3, 4), (done.returncode, done.stderr)
        return done.stderr

    out = folder / "out.h5ad"
    ask = ("--reference", cells, "-o", out)
    assert "kind" in refused(spatial, *ask, "--label", "kind")
    assert "X_other" in refused(spatial, *ask, "--spatial", "X_other")
    assert "nowhere" in refused(spatial, *ask, "--region", "nowhere")
    assert "folds" in refused(spatial, *ask, "--set", "held_out.folds=40")
    assert "Nothing1" in refused(spatial, *ask, "--set", 'output.impute=["Nothing1"]')
    assert "output" in refused(spatial, "--reference", cells, "-o", cells)
    assert "fold" in refused(spatial, *ask, "--set", "held_out.fold=4")
    for change, said in [
        (lambda a: a.var.__setattr__("index", [f"x{i}" for i in range(a.n_vars)]), "share"),
        (lambda a: a.var.__setattr__("index", [name.lower() for name in a.var_names]), "upper and lower case"),
        (lambda a: a.X.data.__setitem__(0, np.nan), "NaN"),
        (lambda a: a.X.data.__setitem__(0, -1.0), "-1"),
        (lambda a: a.obsm["spatial"].__setitem__((3, 1), np.nan), "cell 3"),
    ]:
        bad = ad.read_h5ad(spatial)
        change(bad)
        bad.write_h5ad(folder / "bad.h5ad")
        assert said in refused(folder / "bad.h5ad", *ask)
    unlabelled = ad.read_h5ad(cells)
    unlabelled.obs["cell_type"] = unlabelled.obs["cell_type"].where(np.arange(400) != 7)
    unlabelled.write_h5ad(folder / "unlabelled.h5ad")
    assert "cell 7" in refused(spatial, "--reference", folder / "unlabelled.h5ad", "-o", out)
    # Nothing was left behind.
    assert not out.exists() and not list(folder.glob("*.tmp*")) and not list(folder.glob(".*"))


@pytest.mark.parametrize("method", ["principal_vectors", "tangram"])
def test_the_numbers_are_those_of_map_cells(files, method):
    import zensaibo as zs

    folder, _ = files
    cells, placed = ad.read_h5ad(folder / "cells.h5ad"), ad.read_h5ad(folder / "spatial.h5ad")
    for side in (cells, placed):
        zs.pp.normalize_total(side, target_sum=1e4)
        zs.pp.log1p(side)
    settings, options = [], {}
    if method == "tangram":
        settings = ["--set", "method.name=tangram", "--set", "tangram.num_epochs=50"]
        # The command looks at the nearest places of each cell and the nearest cells of each place, as the function does.
        options = {"method": "tangram", "num_epochs": 50, "n_candidates": 200}
    done = command(
        "map", folder / "spatial.h5ad", "--reference", folder / "cells.h5ad", "-o", folder / "out.h5ad", "--set", "held_out.folds=0", *settings
    )
    assert done.returncode == 0, done.stderr
    found = ad.read_h5ad(folder / "out.h5ad")
    zs.sp.map_cells(cells, placed, labels="cell_type", impute=None, **options)
    assert (found.obs["map_cell_type"].astype(str) == placed.obs["map_cell_type"].astype(str)).all()
    np.testing.assert_allclose(found.obsm["map_cell_type"], placed.obsm["map_cell_type"], atol=1e-5)
    np.testing.assert_allclose(found.uns["map"]["cosines"], placed.uns["map"]["cosines"][: len(found.uns["map"]["cosines"])], atol=1e-7)
