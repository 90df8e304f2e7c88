"""`zs.pp.bbknn`: against bbknn 1.6.0 (golden), slots, threads, bad input."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import data_path
from scipy import sparse

import zensaibo as zs

GOLDEN = Path(__file__).parent / "golden" / "bbknn" / "golden.npz"


@pytest.fixture
def cells() -> ad.AnnData:
    table = pd.read_csv(data_path("batch_pcs/cell_lines_20pcs.csv.gz")).iloc[::6]
    pcs = table[[f"PC{i}" for i in range(1, 21)]].to_numpy()
    adata = ad.AnnData(obs=table[["dataset", "cell_type"]].set_axis(table["cell_id"], axis=0))
    adata.obsm["X_pca"] = pcs / pcs.std()
    return adata


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


@pytest.mark.parametrize(("name", "options"), [("default", {}), ("trimmed", {"trim": 8, "neighbors_within_batch": 4})])
def test_graph_is_bbknns(cells, golden, name, options):
    """The same edges; weights and distances to 1e-5 (single precision)."""
    zs.pp.bbknn(cells, batch_key="dataset", **options)
    for part in ("distances", "connectivities"):
        indptr, indices, data = (golden[f"{name}_{part}_{field}"] for field in ("indptr", "indices", "data"))
        theirs = sparse.csr_matrix((data, indices.astype(np.int32), indptr), shape=(cells.n_obs, cells.n_obs))
        ours = cells.obsp[part].copy()
        ours.sort_indices()
        np.testing.assert_array_equal(ours.indptr, theirs.indptr)
        np.testing.assert_array_equal(ours.indices, theirs.indices)
        np.testing.assert_allclose(ours.data, theirs.data, rtol=1e-4, atol=1e-5)


def test_slots_serve_what_follows(cells):
    changed = zs.pp.bbknn(cells, batch_key="dataset", copy=True, key_added="balanced", n_pcs=10)
    assert "balanced" not in cells.uns
    entry = changed.uns["balanced"]
    assert entry["params"]["n_neighbors"] == 9 and entry["params"]["n_pcs"] == 10
    assert entry["params"]["bbknn"]["trim"] == 90
    zs.tl.leiden(changed, neighbors_key="balanced")
    zs.tl.umap(changed, neighbors_key="balanced", maxiter=20)
    zs.pp.bbknn(cells, batch_key="dataset")
    assert cells.uns["neighbors"]["connectivities_key"] == "connectivities"
    difference = cells.obsp["connectivities"] - cells.obsp["connectivities"].T
    assert abs(difference).max() == 0
    again = zs.pp.bbknn(cells, batch_key="dataset", copy=True, threads=1)
    for part in ("distances", "connectivities"):
        assert again.obsp[part].data.tobytes() == cells.obsp[part].data.tobytes()


def test_batches_mix_more_than_with_plain_neighbours(cells):
    """Share of a batch-of-both cell's neighbours that come from the pure batches."""

    def share(graph):
        both = (cells.obs["dataset"] == "half").to_numpy()
        part = graph[both]
        return part[:, ~both].sum() / part.sum()

    zs.pp.neighbors(cells, n_neighbors=9, use_rep="X_pca")
    plain = share(cells.obsp["connectivities"])
    zs.pp.bbknn(cells, batch_key="dataset")
    assert share(cells.obsp["connectivities"]) > plain + 0.1


def test_the_approximate_search_finds_nearly_all(cells):
    """Share of the true neighbours in each batch; generated counts of many cells are compared in core."""
    run = lambda algorithm, threads: zs.arrays.bbknn(  # noqa: E731
        cells.obsm["X_pca"], cells.obs["dataset"], algorithm=algorithm, trim=0, threads=threads
    )
    exact, found = run("exact", 2), run("approximate", 1)
    shared = (exact.distances != 0).multiply(found.distances != 0).nnz
    assert shared > 0.95 * exact.distances.nnz
    again = run("approximate", 8)
    assert (found.connectivities != again.connectivities).nnz == 0
    assert (run("auto", 2).connectivities != exact.connectivities).nnz == 0


def test_bad_input_is_named(cells):
    with pytest.raises(zs.errors.ParameterError, match="one of `auto`, `exact`, `approximate`"):
        zs.pp.bbknn(cells, batch_key="dataset", algorithm="annoy")
    with pytest.raises(KeyError, match="`batch` not found in adata.obs"):
        zs.pp.bbknn(cells)
    with pytest.raises(KeyError, match="`X_lsi` not found in adata.obsm"):
        zs.pp.bbknn(cells, batch_key="dataset", use_rep="X_lsi")
    with pytest.raises(zs.errors.ParameterError, match="`neighbors_within_batch`"):
        zs.pp.bbknn(cells, batch_key="dataset", neighbors_within_batch=0)
    with pytest.raises(zs.errors.ParameterError, match="`trim`: expected at least 0"):
        zs.pp.bbknn(cells, batch_key="dataset", trim=-1)
    with pytest.raises(zs.errors.ParameterError, match="`n_pcs`"):
        zs.pp.bbknn(cells, batch_key="dataset", n_pcs=0)
    cells.obs["small"] = ["x"] * (cells.n_obs - 2) + ["y"] * 2
    with pytest.raises(zs.errors.TooFewError, match="`small`: expected at least 3 cells in each batch, found 2 in batch 'y'"):
        zs.pp.bbknn(cells, batch_key="small")
    cells.obsm["X_pca"][2, 1] = np.inf
    with pytest.raises(zs.errors.NonFiniteError, match="row 2, column 1"):
        zs.pp.bbknn(cells, batch_key="dataset")
