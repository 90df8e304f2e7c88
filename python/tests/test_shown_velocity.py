"""RNA velocity on the mouse pancreas (rna_velocity_small, 50 cells) beside scvelo 0.3.4 (golden/velocity/pancreas.npz)."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from conftest import _read
from scipy import sparse

import zensaibo as zs

MODES = ("deterministic", "stochastic")
CELLS, GENES = 50, 90


@pytest.fixture(scope="module")
def golden():
    return np.load(Path(__file__).parent / "golden" / "velocity" / "pancreas.npz")


def matrix(golden, name, shape):
    data, indices, indptr = (golden[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    return sparse.csr_matrix((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=shape)


@pytest.fixture
def pancreas(golden) -> ad.AnnData:
    adata = ad.AnnData(matrix(golden, "spliced", (CELLS, GENES)))
    adata.layers["spliced"], adata.layers["unspliced"] = adata.X.copy(), matrix(golden, "unspliced", (CELLS, GENES))
    for key in ("distances", "connectivities"):
        adata.obsp[key] = matrix(golden, key, (CELLS, CELLS))
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"n_neighbors": 12},
    }
    adata.obsm["X_umap"] = golden["X_umap"]
    return adata


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_chain_is_scvelos_on_pancreas(pancreas, golden, mode):
    zs.pp.moments(pancreas)
    for key in ("Ms", "Mu"):
        np.testing.assert_allclose(pancreas.layers[key], golden[key], rtol=1e-5, atol=1e-6)
    zs.tl.velocity(pancreas, mode=mode)
    assert (pancreas.var["velocity_genes"] == golden[f"{mode}_genes"]).all()
    for name in ("gamma", "qreg_ratio", "r2"):
        np.testing.assert_allclose(pancreas.var[f"velocity_{name}"], golden[f"{mode}_{name}"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pancreas.layers["velocity"][::9], golden[f"{mode}_velocity"], rtol=0, atol=2e-4)
    zs.tl.velocity_graph(pancreas)
    graph = pancreas.uns["velocity_graph"] + pancreas.uns["velocity_graph_neg"]
    assert abs(graph - matrix(golden, f"{mode}_graph", (CELLS, CELLS))).max() < 1e-3
    for negative in (False, True):
        found = zs.tl.transition_matrix(pancreas, use_negative_cosines=negative)
        np.testing.assert_allclose(found.toarray()[::9], golden[f"{mode}_transitions_{negative}"], rtol=0, atol=1e-3)
    for autoscale in (False, True):
        zs.tl.velocity_embedding(pancreas, "umap", autoscale=autoscale)
        expected = golden[f"{mode}_embedding_{autoscale}"]
        np.testing.assert_allclose(pancreas.obsm["velocity_umap"], expected, rtol=0, atol=2e-3 * np.abs(expected).max())


def test_the_golden_is_the_real_file(pancreas):
    """Genes and cells of the golden are those of the stored file: the same pattern of zeros in the kept genes."""
    adata = _read("rna_velocity_small/pancreas_50cells.h5ad")
    spliced, unspliced = (sparse.csr_matrix(adata.layers[key]).astype(np.float32) for key in ("spliced", "unspliced"))
    score = np.minimum(np.asarray(unspliced.sum(0)).ravel(), np.asarray(spliced.sum(0)).ravel())
    genes = np.sort(np.argsort(-score, kind="stable")[:GENES])
    assert ((spliced[:, genes] > 0) != (pancreas.layers["spliced"] > 0)).nnz == 0
    assert ((unspliced[:, genes] > 0) != (pancreas.layers["unspliced"] > 0)).nnz == 0
