"""PAGA, Louvain, dendrogram and density of groups of cells: parity with scanpy, igraph and scipy; bad input."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from scipy import sparse
from zensaibo import errors


@pytest.fixture
def clustered(pbmc3k_log):
    return pbmc3k_log


@pytest.fixture
def graphed(small):
    """`small` with scanpy's slots of a neighbour graph."""
    zs.pp.neighbors(small, n_neighbors=8, use_rep="X")
    return small


@pytest.mark.parametrize("model", ["v1.2", "v1.0"])
def test_paga_is_scanpys(clustered, model):
    import scanpy as sc

    theirs = clustered.copy()
    sc.tl.paga(theirs, groups="leiden", model=model)
    assert zs.tl.paga(clustered, groups="leiden", model=model) is None
    ours, theirs = clustered.uns, theirs.uns
    np.testing.assert_allclose(
        ours["paga"]["connectivities"].toarray(), theirs["paga"]["connectivities"].toarray(), rtol=0, atol=1e-6
    )
    tree, their_tree = (uns["paga"]["connectivities_tree"].toarray() for uns in (ours, theirs))
    np.testing.assert_allclose(np.maximum(tree, tree.T), np.maximum(their_tree, their_tree.T), rtol=0, atol=1e-6)
    assert ours["paga"]["groups"] == "leiden" == theirs["paga"]["groups"]
    assert (ours["leiden_sizes"] == theirs["leiden_sizes"]).all()


def test_paga_of_other_groups_and_scanpys_plot(clustered):
    import matplotlib

    matplotlib.use("Agg")
    import scanpy as sc

    rng = np.random.default_rng(0)
    clustered.obs["pairs"] = pd.Categorical(rng.choice(list("zyxw"), clustered.n_obs), categories=list("wzxy"))
    theirs = clustered.copy()
    sc.tl.paga(theirs, groups="pairs")
    zs.tl.paga(clustered, "pairs")
    expected = theirs.uns["paga"]["connectivities"].toarray()
    np.testing.assert_allclose(clustered.uns["paga"]["connectivities"].toarray(), expected, atol=1e-6)
    zs.tl.paga(clustered)
    assert clustered.uns["paga"]["groups"] == "leiden"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pl.paga(clustered, show=False)
    assert clustered.uns["paga"]["pos"].shape[1] == 2
    zs.tl.umap(clustered, init_pos="paga", maxiter=5)


def test_paga_by_velocity_is_scanpys(clustered):
    import scanpy as sc

    directed = sparse.random(clustered.n_obs, clustered.n_obs, density=0.004, random_state=0, format="csr")
    clustered.uns["velocity_graph"] = directed
    theirs = clustered.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.paga(theirs, groups="leiden", use_rna_velocity=True)
    zs.tl.paga(clustered, groups="leiden", use_rna_velocity=True)
    expected = theirs.uns["paga"]["transitions_confidence"].toarray()
    np.testing.assert_allclose(clustered.uns["paga"]["transitions_confidence"].toarray(), expected, atol=1e-6)
    assert "connectivities" not in clustered.uns["paga"]


def test_paga_is_the_same_for_any_number_of_threads_and_can_be_written(clustered, tmp_path):
    import anndata

    codes = clustered.obs["leiden"].cat.codes.to_numpy()
    found = [zs.arrays.paga(clustered.obsp["distances"], codes, threads=threads) for threads in (1, 2, 8)]
    assert all((a == b).all() for other in found[1:] for a, b in zip(found[0], other, strict=True))
    copied = zs.tl.paga(clustered, copy=True)
    assert "paga" not in clustered.uns
    for key in [key for key in copied.uns if key not in ("paga", "zensaibo")]:
        del copied.uns[key]
    copied.write(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (again.uns["paga"]["connectivities"] != copied.uns["paga"]["connectivities"]).nnz == 0


def test_paga_refuses_bad_input_by_name(graphed):
    with pytest.raises(errors.MissingKeyError, match="leiden"):
        zs.tl.paga(graphed)
    with pytest.raises(errors.MissingKeyError, match="nothing"):
        zs.tl.paga(graphed, "nothing")
    with pytest.raises(errors.ParameterError, match="model"):
        zs.tl.paga(graphed, "group", model="v2")
    with pytest.raises(errors.ParameterError, match="use_rna_velocity"):
        zs.tl.paga(graphed, "group", model="v1.0", use_rna_velocity=True)
    with pytest.raises(errors.MissingKeyError, match="velocity_graph"):
        zs.tl.paga(graphed, "group", use_rna_velocity=True)
    graphed.obs["holes"] = pd.Categorical(["a"] * 299 + [None])
    with pytest.raises(errors.DataError, match="1 cells without"):
        zs.tl.paga(graphed, "holes")
    graphed.obs["number"] = 1.5
    with pytest.raises(errors.DataError, match="float64"):
        zs.tl.paga(graphed, "number")
    with pytest.raises(errors.ShapeError, match="labels"):
        zs.arrays.paga(graphed.obsp["distances"], [0, 1])
    with pytest.raises(errors.ParameterError, match="labels"):
        zs.arrays.paga(graphed.obsp["distances"], np.zeros(300))
    with pytest.raises(errors.ParameterError, match="n_neighbors"):
        zs.arrays.paga(graphed.obsp["distances"], np.zeros(300, int), model="v1.0")
    del graphed.uns["neighbors"]
    with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
        zs.tl.paga(graphed, "group")
    one = zs.arrays.paga(sparse.csr_matrix((4, 4)), [0, 0, 0, 0])
    assert one.connectivities.tolist() == [[0.0]] and one.sizes.tolist() == [4]


@pytest.mark.parametrize("use_weights", [False, True])
@pytest.mark.parametrize("resolution", [0.5, 1.0])
def test_louvain_is_at_or_above_igraphs_multilevel(clustered, use_weights, resolution):
    igraph = pytest.importorskip("igraph", reason="python-igraph is not installed")
    matrix = clustered.obsp["connectivities"]
    upper = sparse.triu(matrix, 1).tocoo()
    peer = igraph.Graph(n=matrix.shape[0], edges=np.c_[upper.row, upper.col])
    weights = upper.data.astype(float) if use_weights else None
    ours, theirs = [], []
    for seed in range(10):
        found = zs.arrays.louvain(matrix, resolution=resolution, use_weights=use_weights, seed=seed)
        ours.append(found.quality)
        random.seed(seed)
        igraph.set_random_number_generator(random)
        part = peer.community_multilevel(weights=weights, resolution=resolution)
        theirs.append(peer.modularity(part.membership, weights=weights, resolution=resolution))
        score = peer.modularity(found.membership.tolist(), weights=weights, resolution=resolution)
        assert found.quality == pytest.approx(score, abs=1e-6)
    print(f"louvain {resolution} {use_weights}: ours {np.mean(ours):.6f}, igraph {np.mean(theirs):.6f}")
    assert np.mean(ours) >= np.mean(theirs)


def test_louvain_slots_threads_layouts_and_conventions(clustered, tmp_path):
    assert zs.tl.louvain(clustered) is None
    labels = clustered.obs["louvain"]
    assert list(labels.cat.categories) == [str(i) for i in range(len(labels.cat.categories))]
    assert (np.diff(labels.value_counts().reindex(labels.cat.categories)) <= 0).all()
    assert clustered.uns["louvain"]["params"] == {"random_state": 0}
    graph = clustered.obsp["connectivities"]
    one = zs.arrays.louvain(graph, threads=1).membership
    assert (labels.cat.codes.to_numpy() == one).all()
    for threads in (2, 8):
        assert (zs.arrays.louvain(graph, threads=threads).membership == one).all()
    small = graph[:300][:, :300]
    expected = zs.arrays.louvain(small).membership
    for name in ("csc", "csr_array", "dense", "csr_i64", "csr_f64"):
        assert (zs.arrays.louvain(LAYOUTS[name](small)).membership == expected).all(), name
    found = {
        name: zs.tl.louvain(clustered, copy=True, **options).obs["louvain"].tolist()
        for name, options in {
            "igraph": {"flavor": "igraph"},
            "undirected": {"directed": False},
            "named": {"partition_type": "RBConfigurationVertexPartition"},
            "obsp": {"obsp": "connectivities"},
        }.items()
    }
    assert all(other == labels.tolist() for other in found.values())
    zs.tl.louvain(clustered, resolution=2.0, restrict_to=("louvain", ["0", "1"]))
    parts = clustered.obs["louvain_R"]
    chosen = labels.isin(["0", "1"])
    assert parts[chosen].str.startswith("0-1,").all() and (parts[~chosen].astype(str) == labels[~chosen].astype(str)).all()


def test_louvain_refuses_bad_input_by_name(graphed):
    for message, parameters in {
        "flavor": {"flavor": "rapids"},
        "resolution": {"flavor": "igraph", "resolution": 2.0},
        "partition_type": {"flavor": "igraph", "partition_type": "CPMVertexPartition"},
        "SurpriseVertexPartition": {"partition_type": "SurpriseVertexPartition"},
        "ModularityVertexPartition": {"partition_type": "ModularityVertexPartition", "resolution": 2.0},
        "random_state": {"random_state": -1},
        "directed": {"directed": None},
        "restrict_to": {"restrict_to": "group"},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.louvain(graphed, **parameters)
    with pytest.raises(errors.ParameterError, match="resolution"):
        zs.tl.louvain(graphed, -1.0)
    del graphed.uns["neighbors"]
    with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
        zs.tl.louvain(graphed)
    lopsided = sparse.csr_matrix(np.triu(np.ones((4, 4)), 1))
    with pytest.raises(errors.DataError, match="symmetric"):
        zs.arrays.louvain(lopsided)
    assert zs.arrays.louvain(np.zeros((3, 3))).membership.tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cor_method": "spearman", "linkage_method": "average"},
        {"cor_method": "kendall", "linkage_method": "ward", "optimal_ordering": True},
        {"n_pcs": 10},
        {"use_rep": "X_pca", "linkage_method": "single"},
    ],
)
def test_dendrogram_is_scanpys(clustered, options):
    import scanpy as sc

    theirs = sc.tl.dendrogram(clustered, "leiden", inplace=False, **options)
    ours = zs.tl.dendrogram(clustered, "leiden", inplace=False, **options)
    assert set(ours) == set(theirs)
    np.testing.assert_allclose(ours["correlation_matrix"], theirs["correlation_matrix"], rtol=0, atol=2e-6)
    np.testing.assert_allclose(ours["linkage"], theirs["linkage"], rtol=0, atol=2e-6)
    assert ours["categories_ordered"] == theirs["categories_ordered"]
    assert ours["categories_idx_ordered"] == theirs["categories_idx_ordered"]
    assert zs.tl.dendrogram(clustered, "leiden", **options) is None
    stored = clustered.uns["dendrogram_leiden"]
    assert (stored["linkage"] == ours["linkage"]).all() and stored["groupby"] == ["leiden"]


def test_dendrogram_of_some_genes(clustered):
    import scanpy as sc

    genes = ["CST3", "NKG7", "LYZ", "MS4A1", "CD3D", "GNLY"]
    ours = zs.tl.dendrogram(clustered, "leiden", var_names=genes, inplace=False)
    # scanpy correlates all genes of the object, whatever `var_names` says.
    theirs = sc.tl.dendrogram(clustered[:, genes].copy(), "leiden", var_names=genes, inplace=False)
    np.testing.assert_allclose(ours["correlation_matrix"], theirs["correlation_matrix"], rtol=0, atol=2e-6)
    assert ours["categories_ordered"] == theirs["categories_ordered"]


def test_dendrogram_of_combined_groups_and_scanpys_plot(clustered):
    import matplotlib

    matplotlib.use("Agg")
    import scanpy as sc

    clustered.obs["half"] = pd.Categorical(np.where(np.arange(clustered.n_obs) % 2, "a", "b"))
    theirs = sc.tl.dendrogram(clustered, ["leiden", "half"], inplace=False)
    zs.tl.dendrogram(clustered, ["leiden", "half"])
    ours = clustered.uns["dendrogram_leiden_half"]
    np.testing.assert_allclose(ours["linkage"], theirs["linkage"], rtol=0, atol=2e-6)
    zs.tl.dendrogram(clustered, "leiden")
    sc.pl.dendrogram(clustered, "leiden", show=False)
    sc.pl.dotplot(clustered, ["LYZ", "NKG7"], groupby="leiden", dendrogram=True, show=False)


def test_dendrogram_takes_any_layout_and_refuses_bad_input(small):
    small.obs["other"] = pd.Categorical(["a"] * 300)
    small.obs["unused"] = pd.Categorical(small.obs["group"], categories=["g0", "g1", "g2", "g3"])
    genes = list(small.var_names[:20])
    expected = zs.tl.dendrogram(small, "group", var_names=genes, inplace=False)["linkage"]
    for name in ("csc", "dense", "csr_f64", "csr_i32_values"):
        other = small.copy()
        other.X = LAYOUTS[name](small.X)
        assert (zs.tl.dendrogram(other, "group", var_names=genes, inplace=False)["linkage"] == expected).all(), name
    with pytest.raises(errors.TooFewError, match="2 groups"):
        zs.tl.dendrogram(small, "other", use_rep="X")
    with pytest.raises(errors.TooFewError, match="without cells: g3"):
        zs.tl.dendrogram(small, "unused", use_rep="X")
    with pytest.raises(errors.MissingKeyError, match="`nothing`"):
        zs.tl.dendrogram(small, "nothing")
    with pytest.raises(errors.MissingKeyError, match="`none`"):
        zs.tl.dendrogram(small, "group", var_names=["gene1", "none"])
    with pytest.raises(errors.MissingKeyError, match="raw"):
        zs.tl.dendrogram(small, "group", var_names=genes, use_raw=True)
    for message, options in {
        "cor_method": {"cor_method": "cosine"},
        "linkage_method": {"linkage_method": "best"},
        "n_pcs": {"var_names": genes, "n_pcs": 3},
        "use_raw": {"use_raw": True},
        "at least 2 genes": {"var_names": "gene1"},
        "groupby": {"groupby": []},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.dendrogram(small, **{"groupby": "group", **options})
    flat = small.copy()
    flat.X = np.ones(small.shape, dtype=np.float32)
    with pytest.raises(errors.DataError, match="constant"):
        zs.tl.dendrogram(flat, "group", use_rep="X")


def test_embedding_density_is_scanpys(clustered):
    import scanpy as sc

    clustered.obsm["X_umap"] = np.random.default_rng(0).normal(size=(clustered.n_obs, 3)).astype(np.float32)
    clustered.obsm["X_diffmap"] = clustered.obsm["X_pca"][:, :5]
    theirs = clustered.copy()
    for options in (
        {},
        {"groupby": "leiden"},
        {"basis": "diffmap", "components": "2,3"},
        {"basis": "pca", "key_added": "mine", "components": ["1", "3"], "groupby": "leiden"},
    ):
        sc.tl.embedding_density(theirs, **options)
        assert zs.tl.embedding_density(clustered, **options) is None
    for key in ("umap_density", "umap_density_leiden", "diffmap_density", "mine"):
        np.testing.assert_allclose(clustered.obs[key], theirs.obs[key], rtol=0, atol=1e-9, err_msg=key)
        ours, expected = clustered.uns[f"{key}_params"], theirs.uns[f"{key}_params"]
        expected = {name: value for name, value in expected.items() if value is not None}
        assert ours == expected, key


def test_density_is_scipys_and_the_same_for_any_number_of_threads():
    from scipy.stats import gaussian_kde

    points = np.random.default_rng(1).normal(size=(700, 2)) @ np.array([[1.0, 0.4], [0.0, 30.0]])
    found = zs.arrays.gaussian_density(points)
    np.testing.assert_allclose(found, gaussian_kde(points.T)(points.T), rtol=1e-10)
    assert all((zs.arrays.gaussian_density(points, threads=threads) == found).all() for threads in (1, 2, 8))


def test_density_refuses_bad_input_by_name(small):
    with pytest.raises(errors.MissingKeyError, match="X_umap"):
        zs.tl.embedding_density(small)
    small.obsm["X_umap"] = np.random.default_rng(0).normal(size=(300, 2))
    for components in ("1", "1,a", "0,1", "1,2,3", "1,3"):
        with pytest.raises(errors.ParameterError, match="components"):
            zs.tl.embedding_density(small, components=components)
    small.obs["few"] = pd.Categorical(["a"] * 298 + ["b"] * 2)
    with pytest.raises(errors.TooFewError, match="group 'b'"):
        zs.tl.embedding_density(small, groupby="few")
    small.obsm["X_umap"][:, 1] = 2 * small.obsm["X_umap"][:, 0]
    with pytest.raises(errors.DataError, match="all cells.*one line"):
        zs.tl.embedding_density(small)
    small.obsm["X_umap"][0, 0] = np.nan
    with pytest.raises(errors.NonFiniteError, match="NaN"):
        zs.tl.embedding_density(small)
    with pytest.raises(errors.ShapeError, match="points"):
        zs.arrays.gaussian_density(np.zeros((5, 3)))
    assert "umap_density" not in small.obs
