"""RNA velocity: goldens of scvelo, scanpy-style slots on real data, bad input."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
import zensaibo as zs
from conftest import LAYOUTS, _read
from scipy import sparse
from zensaibo import errors

GOLDEN = np.load(Path(__file__).parent / "golden" / "velocity" / "golden.npz")
MODES = ("deterministic", "stochastic")


def golden_csr(name, shape):
    parts = (GOLDEN[f"{name}_{part}"] for part in ("data", "indices", "indptr"))
    data, indices, indptr = parts
    return sparse.csr_matrix((data, indices.astype(np.int32), indptr.astype(np.int32)), shape=shape)


@pytest.fixture
def golden():
    """The input of the goldens: 100 cells x 90 genes of the dentate gyrus, normalised."""
    spliced = golden_csr("spliced", (100, 90))
    adata = ad.AnnData(spliced.copy())
    adata.layers["spliced"], adata.layers["unspliced"] = spliced, golden_csr("unspliced", (100, 90))
    for key in ("distances", "connectivities"):
        adata.obsp[key] = golden_csr(key, (100, 100))
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"n_neighbors": 12},
    }
    adata.obsm["X_umap"] = GOLDEN["X_umap"]
    return adata


@pytest.fixture(params=["dentategyrus_100cells", "pancreas_50cells"])
def real(request):
    adata = _read(f"rna_velocity_small/{request.param}.h5ad")
    for key in [*adata.obsm, *adata.obsp]:
        (adata.obsm if key in adata.obsm else adata.obsp).pop(key)
    adata.uns.clear()
    zs.pp.filter_genes(adata, min_cells=5)
    for layer in ("spliced", "unspliced"):
        zs.pp.normalize_total(adata, layer=layer)
    zs.pp.normalize_total(adata)
    zs.pp.log1p(adata)
    zs.pp.pca(adata, n_comps=10)
    zs.pp.neighbors(adata, n_neighbors=10)
    return adata


def test_moments_are_scvelos(golden):
    assert zs.pp.moments(golden) is None
    for key in ("Ms", "Mu"):
        assert golden.layers[key].dtype == np.float32
        np.testing.assert_allclose(golden.layers[key], GOLDEN[key], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mode", MODES)
def test_the_whole_chain_is_scvelos(golden, mode):
    zs.pp.moments(golden)
    zs.tl.velocity(golden, mode=mode)
    assert (golden.var["velocity_genes"] == GOLDEN[f"{mode}_genes"]).all()
    for name in ("gamma", "qreg_ratio", "r2"):
        np.testing.assert_allclose(golden.var[f"velocity_{name}"], GOLDEN[f"{mode}_{name}"], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(golden.layers["velocity"][::9], GOLDEN[f"{mode}_velocity"], rtol=0, atol=2e-4)
    zs.tl.velocity_graph(golden)
    graph = golden.uns["velocity_graph"] + golden.uns["velocity_graph_neg"]
    theirs = golden_csr(f"{mode}_graph", (100, 100))
    # Where differences are near 0 their square roots magnify what float32 leaves of them.
    assert abs(graph - theirs).max() < 1e-3 and abs(graph - theirs).mean() < 1e-6
    stay = GOLDEN[f"{mode}_self_transition"]
    np.testing.assert_allclose(golden.obs["velocity_self_transition"], stay, rtol=0, atol=1e-3)
    for negative in (False, True):
        matrix = zs.tl.transition_matrix(golden, use_negative_cosines=negative)
        expected = GOLDEN[f"{mode}_transitions_{negative}"]
        np.testing.assert_allclose(matrix.toarray()[::9], expected, rtol=0, atol=1e-3)
    matrix = zs.tl.transition_matrix(golden, backward=True, self_transitions=False)
    np.testing.assert_allclose(matrix.toarray()[::9], GOLDEN[f"{mode}_transitions_backward"], rtol=0, atol=1e-3)
    for autoscale in (False, True):
        zs.tl.velocity_embedding(golden, "umap", autoscale=autoscale)
        ours, expected = golden.obsm["velocity_umap"], GOLDEN[f"{mode}_embedding_{autoscale}"]
        np.testing.assert_allclose(ours, expected, rtol=0, atol=2e-3 * np.abs(expected).max())


@pytest.mark.parametrize("mode", MODES)
def test_slots_and_threads_on_real_data(real, mode, tmp_path):
    found = []
    for threads in (1, 2, 8):
        adata = real.copy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            zs.pp.moments(adata, threads=threads)
            zs.tl.velocity(adata, mode=mode, threads=threads)
        zs.tl.velocity_graph(adata, threads=threads)
        zs.tl.velocity_embedding(adata, "pca", threads=threads)
        parts = (adata.layers["velocity"], adata.uns["velocity_graph"].data, adata.obsm["velocity_pca"])
        found.append([np.ascontiguousarray(part).tobytes() for part in parts])
    assert found[0] == found[1] == found[2]
    assert adata.layers["velocity"].shape == adata.shape and np.isfinite(adata.layers["velocity"]).all()
    np.testing.assert_allclose(
        adata.layers["velocity"],
        adata.layers["Mu"] - adata.var["velocity_gamma"].to_numpy(np.float32) * adata.layers["Ms"],
        atol=1e-4,
    )
    assert adata.obsm["velocity_pca"].shape == (adata.n_obs, 10)
    matrix = zs.tl.transition_matrix(adata)
    np.testing.assert_allclose(np.asarray(matrix.sum(1)).ravel(), 1, atol=1e-5)
    assert {"moments", "velocity", "velocity_graph", "velocity_embedding"} <= set(adata.uns["zensaibo"])
    adata.write(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert abs(again.uns["velocity_graph"] - adata.uns["velocity_graph"]).nnz == 0
    assert again.uns["velocity_params"]["mode"] == mode


def test_paga_takes_the_velocity_graph(golden):
    zs.pp.moments(golden)
    zs.tl.velocity(golden)
    zs.tl.velocity_graph(golden)
    golden.obs["half"] = np.where(golden.obsm["X_umap"][:, 0] > 0, "a", "b")
    zs.tl.paga(golden, "half", use_rna_velocity=True)
    assert golden.uns["paga"]["transitions_confidence"].shape == (2, 2)


def test_layouts_give_the_same_numbers(golden):
    expected = zs.arrays.moments(golden.obsp["connectivities"], golden.layers["spliced"])
    for name in ("csc", "dense", "csr_f64", "csr_array"):
        counts = LAYOUTS[name](golden.layers["spliced"])
        assert (zs.arrays.moments(golden.obsp["connectivities"], counts) == expected).all(), name
    zs.pp.moments(golden)
    zs.tl.velocity(golden)
    other = golden.copy()
    for layer in ("spliced", "unspliced"):
        other.layers[layer] = golden.layers[layer].toarray()
    zs.tl.velocity(other)
    assert (other.layers["velocity"] == golden.layers["velocity"]).all()


def test_copies_and_other_names(golden):
    zs.pp.moments(golden, mode="distances")
    copied = zs.tl.velocity(golden, vkey="v", copy=True, mode="deterministic")
    assert "v" in copied.layers and "v" not in golden.layers
    zs.tl.velocity_graph(copied, vkey="v", n_recurse_neighbors=1, sqrt_transform=True)
    assert copied.uns["v_params"]["sqrt_transform"] is True
    zs.tl.velocity_embedding(copied, vkey="v")
    given = zs.tl.velocity_embedding(copied, vkey="v", transitions=zs.tl.transition_matrix(copied, vkey="v"), copy=True)
    assert copied.obsm["v_umap"].shape == given.obsm["v_umap"].shape == (100, 2)
    # Highly variable genes alone become velocity genes.
    golden.var["highly_variable"] = np.arange(90) < 45
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.tl.velocity(golden)
    assert not golden.var["velocity_genes"][45:].any() and golden.var["velocity_genes"].any()


def test_weak_signal_and_raw_counts_are_told(golden):
    zs.pp.moments(golden)
    with pytest.warns(UserWarning, match="fewer than 2 genes pass"):
        zs.tl.velocity(golden, min_r2=0.9999)
    with pytest.warns(UserWarning, match="velocity genes"):
        zs.tl.velocity(golden, min_r2=np.sort(golden.var["velocity_r2"])[-6])
    for layer in ("spliced", "unspliced"):
        golden.layers[layer].data[:] = 2.0
    with pytest.warns(UserWarning, match="normalise"):
        zs.pp.moments(golden)


def test_bad_input_is_refused_by_name(golden):
    alone = golden.copy()
    del alone.layers["unspliced"]
    for tool in (zs.pp.moments, zs.tl.velocity):
        with pytest.raises(errors.MissingKeyError, match="`unspliced`.*needs both"):
            tool(alone)
    lonely = golden.copy()
    del lonely.uns["neighbors"]
    with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
        zs.pp.moments(lonely)
    with pytest.raises(errors.MissingKeyError, match="pp.moments"):
        zs.tl.velocity(golden)
    with pytest.raises(errors.MissingKeyError, match="tl.velocity"):
        zs.tl.velocity_graph(golden)
    with pytest.raises(errors.MissingKeyError, match="velocity_graph"):
        zs.tl.velocity_embedding(golden)
    with pytest.raises(errors.ParameterError, match="mode"):
        zs.pp.moments(golden, mode="all")
    zs.pp.moments(golden)
    with pytest.raises(errors.ParameterError, match="dynamical"):
        zs.tl.velocity(golden, mode="dynamical")
    for parameter, value in {"perc": 101, "min_r2": np.nan, "min_ratio": np.inf}.items():
        with pytest.raises(errors.ParameterError, match=parameter):
            zs.tl.velocity(golden, **{parameter: value})
    zs.tl.velocity(golden)
    with pytest.raises(errors.ParameterError, match="n_recurse_neighbors"):
        zs.tl.velocity_graph(golden, n_recurse_neighbors=0)
    zs.tl.velocity_graph(golden)
    with pytest.raises(errors.ParameterError, match="scale"):
        zs.tl.transition_matrix(golden, scale=0)
    with pytest.raises(errors.MissingKeyError, match="X_nothing"):
        zs.tl.velocity_embedding(golden, "nothing")
    with pytest.raises(errors.ShapeError, match="n x 2"):
        zs.tl.velocity_embedding(golden, transitions=sparse.csr_matrix((3, 3)))
    with pytest.raises(errors.ParameterError, match="`graph`"):
        zs.arrays.velocity(golden.layers["Ms"], golden.layers["Mu"], spliced=golden.X, unspliced=golden.X)
    with pytest.raises(errors.ParameterError, match="deterministic"):
        zs.arrays.velocity(golden.layers["Ms"], golden.layers["Mu"], spliced=golden.X, mode="deterministic")
    with pytest.raises(errors.ShapeError, match="unspliced_means"):
        zs.arrays.velocity(np.zeros((3, 2)), np.zeros((2, 2)), mode="deterministic")
    broken = golden.layers["Ms"].copy()
    broken[3, 4] = np.nan
    with pytest.raises(errors.NonFiniteError, match="cell 3, gene 4"):
        zs.arrays.velocity(broken, golden.layers["Mu"], mode="deterministic")
    with pytest.raises(errors.DataError, match="none at cell 0"):
        zs.arrays.velocity_graph(np.ones((3, 2)), np.ones((3, 2)), sparse.csr_matrix((3, 3)))
    with pytest.raises(errors.DataError, match="-1 to 1"):
        zs.arrays.transition_matrix(np.full((2, 2), 3.0))
    golden.var["velocity_genes"] = False
    with pytest.raises(errors.DataError, match="velocity_genes"):
        zs.tl.velocity_graph(golden)
