"""Leiden: quality at or above igraph's and leidenalg's, scanpy's slots, bad input."""

from __future__ import annotations

import inspect
import random
import warnings

import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from scipy import sparse
from scipy.sparse.csgraph import connected_components
from zensaibo import errors
from zensaibo._options import defaults


def planted(n=600, groups=4, degree=6, seed=0):
    """A symmetric graph of `groups` groups that interleave."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), degree)
    inside = rng.random(len(rows)) < 0.85
    near = rows % groups + groups * rng.integers(0, n // groups, len(rows))
    columns = np.where(inside, near, rng.integers(0, n, len(rows)))
    graph = sparse.csr_matrix((rng.random(len(rows)) + 0.1, (rows, columns)), shape=(n, n))
    graph = graph.maximum(graph.T).tocsr().astype(np.float32)
    graph.setdiag(0)
    graph.eliminate_zeros()
    return graph


@pytest.fixture(scope="module")
def graphs(_pbmc3k_log):
    """Fuzzy graphs of real data."""
    return {"pbmc3k": _pbmc3k_log.obsp["connectivities"]}


@pytest.fixture
def clustered(small):
    """`small` with a graph under scanpy's names."""
    small.obsp["connectivities"] = planted(300, 3)
    small.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 6}}
    return small


def rb_quality(graph, labels, resolution):
    total = graph.sum(dtype=np.float64)
    coo = graph.tocoo()
    inside = coo.data[labels[coo.row] == labels[coo.col]].sum(dtype=np.float64)
    sizes = np.bincount(labels, weights=np.asarray(graph.sum(1, dtype=np.float64)).ravel())
    return inside / total - resolution * ((sizes / total) ** 2).sum()


@pytest.mark.parametrize("resolution", [0.5, 1.0, 2.0])
def test_quality_is_at_or_above_igraph_and_leidenalg(graphs, resolution):
    igraph = pytest.importorskip("igraph", reason="python-igraph is not installed")
    leidenalg = pytest.importorskip("leidenalg", reason="leidenalg is not installed")
    for name, matrix in graphs.items():
        upper = sparse.triu(matrix, 1).tocoo()
        peer = igraph.Graph(n=matrix.shape[0], edges=np.c_[upper.row, upper.col])
        weights = upper.data.astype(float)
        ours, theirs, older = [], [], []
        for seed in range(10):
            found = zs.arrays.leiden(matrix, resolution=resolution, seed=seed)
            assert found.converged
            assert found.quality == pytest.approx(rb_quality(matrix, found.membership, resolution), abs=1e-6)
            ours.append(found.quality)
            random.seed(seed)
            igraph.set_random_number_generator(random)
            part = peer.community_leiden("modularity", weights=weights, resolution=resolution, n_iterations=-1)
            theirs.append(rb_quality(matrix, np.array(part.membership), resolution))
            if seed < 4:
                kind = leidenalg.RBConfigurationVertexPartition
                part = leidenalg.find_partition(
                    peer, kind, weights=weights, resolution_parameter=resolution, n_iterations=-1, seed=seed
                )
                older.append(rb_quality(matrix, np.array(part.membership), resolution))
        message = f"{name} {resolution}: ours {np.mean(ours):.6f}, igraph {np.mean(theirs):.6f}, leidenalg {np.mean(older):.6f}"
        print(message)
        # Means of ten seeds; the slack is a tenth of their usual spread.
        assert np.mean(ours) >= np.mean(theirs) - 5e-5, message
        assert np.mean(ours) >= np.mean(older) - 5e-5, message
        assert max(ours) >= max(theirs) - 5e-4, message


def test_cpm_is_at_or_above_igraph():
    igraph = pytest.importorskip("igraph", reason="python-igraph is not installed")
    matrix = planted(400, 4)
    upper = sparse.triu(matrix, 1).tocoo()
    peer = igraph.Graph(n=400, edges=np.c_[upper.row, upper.col])

    def quality(labels):
        inside = upper.data[labels[upper.row] == labels[upper.col]].sum(dtype=np.float64)
        sizes = np.bincount(labels)
        return inside - 0.05 * (sizes * (sizes - 1) / 2).sum()

    ours, theirs = [], []
    for seed in range(5):
        found = zs.arrays.leiden(matrix, objective="cpm", resolution=0.05, seed=seed)
        ours.append(found.quality)
        assert found.quality == pytest.approx(quality(found.membership), rel=1e-6)
        random.seed(seed)
        igraph.set_random_number_generator(random)
        part = peer.community_leiden("CPM", weights=upper.data.astype(float), resolution=0.05, n_iterations=-1)
        theirs.append(quality(np.array(part.membership)))
    assert np.mean(ours) >= np.mean(theirs) * (1 - 1e-3)


def test_modularity_equals_igraphs():
    igraph = pytest.importorskip("igraph", reason="python-igraph is not installed")
    matrix = planted()
    upper = sparse.triu(matrix, 1).tocoo()
    peer = igraph.Graph(n=600, edges=np.c_[upper.row, upper.col])
    labels = np.random.default_rng(1).integers(0, 5, 600)
    expected = peer.modularity(labels.tolist(), weights=upper.data.astype(float))
    assert zs.arrays.modularity(matrix, labels) == pytest.approx(expected, abs=1e-9)
    expected = peer.modularity(labels.tolist())
    assert zs.arrays.modularity(matrix, labels.astype(str), use_weights=False) == pytest.approx(expected, abs=1e-9)


def test_agreement_equals_sklearns():
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    rng = np.random.default_rng(0)
    for _ in range(5):
        a, b = rng.integers(0, 4, 50), rng.integers(0, 6, 50)
        assert zs.metrics.adjusted_rand_index(a, b) == pytest.approx(adjusted_rand_score(a, b), abs=1e-12)
        expected = normalized_mutual_info_score(a, b)
        assert zs.metrics.normalized_mutual_information(a.astype(str), b) == pytest.approx(expected, abs=1e-12)


def test_communities_are_connected_on_real_data(graphs):
    for matrix in graphs.values():
        labels = zs.arrays.leiden(matrix, resolution=2.0).membership
        for community in range(labels.max() + 1):
            members = np.flatnonzero(labels == community)
            assert connected_components(matrix[members][:, members], directed=False)[0] == 1


def test_threads_do_not_change_the_result(graphs):
    for matrix in graphs.values():
        one = zs.arrays.leiden(matrix, threads=1, seed=3)
        for threads in (2, 8):
            other = zs.arrays.leiden(matrix, threads=threads, seed=3)
            assert (other.membership == one.membership).all()
            assert other[1:] == one[1:]


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if name != "csr_i32_values"])
def test_layouts_agree(layout):
    matrix = planted()
    expected = zs.arrays.leiden(matrix).membership
    assert (zs.arrays.leiden(LAYOUTS[layout](matrix)).membership == expected).all()


def test_labels_tell_groups_apart_and_run_by_size():
    found = zs.arrays.leiden(planted())
    assert found.n_communities == 4
    assert zs.metrics.adjusted_rand_index(found.membership, np.arange(600) % 4) > 0.95
    sizes = np.bincount(found.membership)
    assert (np.diff(sizes) <= 0).all()


def test_slots_are_scanpys(pbmc3k_log):
    import scanpy as sc

    before = set(pbmc3k_log.obs)
    assert zs.tl.leiden(pbmc3k_log, key_added="ours") is None
    labels = pbmc3k_log.obs["ours"]
    assert set(pbmc3k_log.obs) == before | {"ours"}
    assert list(labels.cat.categories) == [str(i) for i in range(len(labels.cat.categories))]
    assert pbmc3k_log.uns["ours"]["params"] == {"resolution": 1, "random_state": 0, "n_iterations": -1}
    score = zs.metrics.modularity(pbmc3k_log, "ours")
    assert pbmc3k_log.uns["ours"]["modularity"] == pytest.approx(score, abs=1e-12)
    assert score >= zs.metrics.modularity(pbmc3k_log, "leiden") - 1e-3  # one seed against one seed
    assert zs.metrics.adjusted_rand_index(labels, pbmc3k_log.obs["leiden"]) > 0.6
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.rank_genes_groups(pbmc3k_log, "ours", method="t-test", n_genes=5)
        sc.tl.paga(pbmc3k_log, groups="ours")
    assert pbmc3k_log.uns["zensaibo"]["leiden"]["options"]["random_state"] == 0


def test_result_can_be_written(clustered, tmp_path):
    zs.tl.leiden(clustered, resolution=None)
    clustered.write(tmp_path / "a.h5ad")
    import anndata

    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (again.obs["leiden"] == clustered.obs["leiden"]).all()
    assert again.uns["leiden"]["modularity"] == clustered.uns["leiden"]["modularity"]


def test_restrict_to_renames_only_the_chosen(clustered):
    import scanpy as sc

    zs.tl.leiden(clustered)
    theirs = clustered.copy()
    zs.tl.leiden(clustered, restrict_to=("leiden", ["0", "2"]), resolution=2.0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.leiden(theirs, restrict_to=("leiden", ["0", "2"]), resolution=2.0, flavor="igraph", directed=False)
    ours = clustered.obs["leiden_R"]
    chosen = clustered.obs["leiden"].isin(["0", "2"])
    assert ours[chosen].str.startswith("0-2,").all()
    assert (ours[~chosen].astype(str) == clustered.obs["leiden"][~chosen].astype(str)).all()
    assert {label.split(",")[0] for label in theirs.obs["leiden_R"]} == {label.split(",")[0] for label in ours}
    assert ours.cat.categories[0] == "0-2,0"
    inner = clustered.obsp["connectivities"][chosen.to_numpy()][:, chosen.to_numpy()]
    expected = zs.arrays.leiden(inner, resolution=2.0).membership
    assert (ours[chosen].str.split(",").str[1].astype(int).to_numpy() == expected).all()
    zs.tl.leiden(clustered, restrict_to=("leiden", ["1"]), key_added="sub")
    assert "sub" in clustered.obs and clustered.uns["sub"]["params"]["resolution"] == 1


def test_copies_views_and_graphs(clustered):
    copied = zs.tl.leiden(clustered, copy=True)
    assert "leiden" not in clustered.obs and "leiden" in copied.obs
    view = clustered[:150]
    zs.tl.leiden(view)
    assert "leiden" in view.obs and "leiden" not in clustered.obs
    other = planted(300, 5, seed=9)
    clustered.obsp["other"] = other
    clustered.uns["mine"] = {"connectivities_key": "other"}
    results = []
    for graph in ({"adjacency": other}, {"obsp": "other"}, {"neighbors_key": "mine"}):
        zs.tl.leiden(clustered, **graph)
        results.append(clustered.obs["leiden"].to_numpy())
    assert (results[0] == results[1]).all() and (results[0] == results[2]).all()


def test_conventions_of_other_packages(clustered):
    def labels(**parameters):
        return zs.tl.leiden(clustered, copy=True, **parameters).obs["leiden"].tolist()

    class CPMVertexPartition: ...

    standard = labels()
    assert labels(flavor="igraph", directed=False, objective_function="modularity") == standard
    assert labels(flavor="leidenalg", directed=True, partition_type="RBConfigurationVertexPartition") == standard
    assert labels(partition_type="ModularityVertexPartition") == standard
    potts = labels(objective_function="CPM", resolution=0.2)
    assert potts != standard
    assert labels(partition_type=CPMVertexPartition, resolution=0.2, flavor="leidenalg") == potts
    for message, parameters in {
        "flavor": {"flavor": "louvain"},
        "directed": {"flavor": "igraph", "directed": True},
        "partition_type": {"flavor": "igraph", "partition_type": "CPMVertexPartition"},
        "objective_function": {"flavor": "leidenalg", "objective_function": "CPM"},
        "SurpriseVertexPartition": {"partition_type": "SurpriseVertexPartition"},
        "expected 'modularity' or 'CPM'": {"objective_function": "surprise"},
        "at most one": {"objective_function": "CPM", "partition_type": "CPMVertexPartition"},
        "resolution": {"partition_type": "ModularityVertexPartition", "resolution": 2},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.leiden(clustered, **parameters)


def test_bad_input_is_refused_by_name(clustered):
    empty = clustered.copy()
    del empty.uns["neighbors"]
    with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
        zs.tl.leiden(empty)
    with pytest.raises(errors.MissingKeyError, match="connectivities"):
        zs.tl.leiden(clustered, obsp="nothing")
    with pytest.raises(errors.ParameterError, match="at most one"):
        zs.tl.leiden(clustered, obsp="a", neighbors_key="b")
    with pytest.raises(errors.ShapeError, match="adjacency"):
        zs.tl.leiden(clustered, adjacency=planted(100))
    with pytest.raises(errors.MissingKeyError, match="`9`"):
        zs.tl.leiden(clustered, restrict_to=("group", ["9"]))
    with pytest.raises(errors.ParameterError, match="strings"):
        zs.tl.leiden(clustered, restrict_to=("group", [1]))
    with pytest.raises(errors.ParameterError, match="restrict_to"):
        zs.tl.leiden(clustered, restrict_to="group")
    for parameter, value in {"resolution": -1.0, "n_iterations": 0, "theta": -1.0, "tolerance": 1.0, "random_state": -1}.items():
        with pytest.raises(errors.ParameterError, match=parameter):
            zs.tl.leiden(clustered, **{parameter: value})
    with pytest.raises(errors.ShapeError, match="initial_membership"):
        zs.tl.leiden(clustered, initial_membership=["a", "b"])
    with pytest.raises(errors.ParameterError, match="AnnData"):
        zs.tl.leiden(3)
    assert "leiden" not in clustered.obs and "zensaibo" not in clustered.uns


def test_bad_graphs_are_refused_by_name():
    matrix = planted(50, 2)
    lopsided = matrix.tolil()
    lopsided[0, 1] = 5.0
    with pytest.raises(errors.DataError, match="symmetric"):
        zs.arrays.leiden(lopsided.tocsr())
    for value, kind in ((np.nan, errors.NonFiniteError), (-1.0, errors.NegativeValuesError), (np.inf, errors.NonFiniteError)):
        broken = matrix.copy()
        broken.data[0] = value
        with pytest.raises(kind, match="weights"):
            zs.arrays.leiden(broken)
    with pytest.raises(errors.ShapeError, match="square"):
        zs.arrays.leiden(matrix[:10])
    with pytest.raises(errors.DataError, match="expected numbers"):
        zs.arrays.leiden(np.array([["a"]]))
    with pytest.raises(errors.DataError, match="label"):
        zs.arrays.modularity(matrix, [None] * 50)
    with pytest.raises(errors.ShapeError, match="labels"):
        zs.arrays.modularity(matrix, [0])
    assert zs.arrays.leiden(sparse.csr_matrix((0, 0))).membership.shape == (0,)
    assert zs.arrays.leiden(np.zeros((3, 3))).membership.tolist() == [0, 1, 2]


def test_initial_membership_is_used():
    matrix = planted()
    best = zs.arrays.leiden(matrix)
    names = np.array(["d", "c", "b", "a"])[best.membership]
    again = zs.arrays.leiden(matrix, n_iterations=1, initial_membership=pd.Categorical(names))
    assert again.converged and (again.membership == best.membership).all()


def test_defaults_stand_once():
    rust = defaults("leiden")
    python = {name: p.default for name, p in inspect.signature(zs.arrays.leiden).parameters.items()}
    assert {name: python[name] for name in rust} == rust
    tool = {name: p.default for name, p in inspect.signature(zs.tl.leiden).parameters.items()}
    assert {name: tool[name] for name in ("resolution", "n_iterations", "tolerance", "theta", "use_weights")} == {
        name: rust[name] for name in ("resolution", "n_iterations", "tolerance", "theta", "use_weights")
    }


def test_signature_holds_scanpys():
    import scanpy as sc

    theirs = inspect.signature(sc.tl.leiden).parameters
    ours = inspect.signature(zs.tl.leiden).parameters
    for name, parameter in theirs.items():
        if name not in ("clustering_args", "flavor"):
            assert ours[name].default == parameter.default, name
