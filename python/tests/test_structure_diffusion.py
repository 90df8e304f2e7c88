"""Diffusion maps and pseudotime: parity with scanpy, paul15's branches in order, bad input."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from conftest import LAYOUTS
from scipy import sparse
from zensaibo import errors


def chain(n=400, reach=4, seed=0):
    """A symmetric graph of cells along a line."""
    rng = np.random.default_rng(seed)
    rows = np.repeat(np.arange(n), reach)
    columns = rows + np.tile(np.arange(1, reach + 1), n)
    keep = columns < n
    graph = sparse.csr_matrix((0.2 + rng.random(keep.sum()), (rows[keep], columns[keep])), shape=(n, n))
    return (graph + graph.T).tocsr().astype(np.float32)


@pytest.fixture(scope="module")
def paul(request):
    """paul15 with zensaibo's steps up to the neighbour graph."""
    from conftest import _read

    adata = _read("paul15/paul15.h5ad")
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.highly_variable_genes(adata, n_top_genes=1000)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata, n_neighbors=15)
    return adata


@pytest.fixture
def small_graph(small):
    small.obsp["connectivities"] = chain(300)
    small.uns["neighbors"] = {"connectivities_key": "connectivities", "params": {"n_neighbors": 4}}
    return small


def scanpy_diffmap(adata, n_comps=15):
    import scanpy as sc

    theirs = adata.copy()
    sc.tl.diffmap(theirs, n_comps=n_comps)
    return theirs


@pytest.mark.parametrize("name", ["paul", "pbmc3k_log"])
def test_diffmap_is_scanpys_up_to_sign(name, request):
    adata = request.getfixturevalue(name).copy()
    theirs = scanpy_diffmap(adata)
    assert zs.tl.diffmap(adata) is None
    ours, values = adata.obsm["X_diffmap"], adata.uns["diffmap_evals"]
    assert ours.dtype == theirs.obsm["X_diffmap"].dtype == np.float32 and ours.shape == (adata.n_obs, 15)
    np.testing.assert_allclose(values, theirs.uns["diffmap_evals"], rtol=0, atol=1e-5)
    for column in range(15):
        a, b = ours[:, column], theirs.obsm["X_diffmap"][:, column]
        # Unit vectors; eigenvalues a millionth apart, in float32 weights, turn into each other by this much.
        assert np.abs(a - np.sign(a @ b) * b).max() < 2e-4, column
    assert (ours[:, 0] > 0).all()


def test_dpt_is_scanpys(paul):
    import scanpy as sc

    theirs = scanpy_diffmap(paul)
    ours = theirs.copy()
    assert ours.uns["iroot"] == 840
    sc.tl.dpt(theirs)
    assert zs.tl.dpt(ours) is None
    time = ours.obs["dpt_pseudotime"]
    assert time.dtype == np.float32 == theirs.obs["dpt_pseudotime"].dtype
    # scanpy computes value / (1 - value) in float32, which costs it digits where values are close to 1.
    np.testing.assert_allclose(time, theirs.obs["dpt_pseudotime"], rtol=0, atol=2e-4)
    assert time.iloc[840] == 0 and time.max() == 1
    for n_dcs in (1, 5, 15):
        sc.tl.dpt(theirs, n_dcs=n_dcs)
        zs.tl.dpt(ours, n_dcs=n_dcs)
        np.testing.assert_allclose(ours.obs["dpt_pseudotime"], theirs.obs["dpt_pseudotime"], rtol=0, atol=2e-4)


def test_paul15_erythroid_and_myeloid_branches_are_in_order(paul):
    adata = paul.copy()
    zs.tl.diffmap(adata)
    zs.tl.dpt(adata)
    time = adata.obs.groupby("paul15_clusters", observed=True)["dpt_pseudotime"].median()
    erythroid = ["7MEP", "6Ery", "5Ery", "4Ery", "3Ery", "2Ery", "1Ery"]
    assert time[erythroid].is_monotonic_increasing, time[erythroid]
    myeloid = [["9GMP", "10GMP"], ["15Mo", "14Mo"], ["17Neu", "16Neu"]]
    progenitors = time[myeloid[0]].mean()
    assert time["7MEP"] < progenitors < min(time[myeloid[1]].mean(), time[myeloid[2]].mean()), time


def scanpy_branchings(adata, **options):
    """scanpy's result, and which cells its segments hold: those that none does it calls "0" without saying so."""
    import scanpy as sc
    from scanpy.tools._dpt import DPT

    theirs = adata.copy()
    # In float64, as ours: the same numbers, without rounding of distances in between.
    theirs.obsm["X_diffmap"] = theirs.obsm["X_diffmap"].astype(np.float64)
    theirs.uns["diffmap_evals"] = theirs.uns["diffmap_evals"].astype(np.float64)
    sc.tl.dpt(theirs, **options)
    inner = DPT(theirs, **{"n_dcs": 10, "allow_kendall_tau_shift": True, **options})
    inner._set_pseudotime()
    inner.detect_branchings()
    held = np.zeros(theirs.n_obs, dtype=bool)
    for segment in inner.segs:
        held[segment] = True
    return theirs, held


def compare_branchings(adata, **options):
    theirs, held = scanpy_branchings(adata, **options)
    ours = adata.copy()
    assert zs.tl.dpt(ours, **options) is None
    assert list(ours.obs["dpt_groups"].cat.categories) == list(theirs.obs["dpt_groups"].cat.categories)
    a, b = ours.obs["dpt_groups"].astype(str).to_numpy(), theirs.obs["dpt_groups"].astype(str).to_numpy()
    same = held | (a == b)
    assert (a[held] == b[held]).all(), pd.crosstab(a, b)
    if options["n_branchings"] == 1:  # one group was split, "0": what no branch took is undecided there
        assert same.all()
    tips = theirs.uns["dpt_grouptips"]
    assert ours.uns["dpt_grouptips"].dtype == tips.dtype and (ours.uns["dpt_grouptips"] == tips).all()
    if (a == b).all():
        assert (ours.uns["dpt_changepoints"] == theirs.uns["dpt_changepoints"]).all()
    if held.all():
        assert (ours.obs["dpt_order"] == theirs.obs["dpt_order"]).all()
    # The order: by group and within it by pseudotime (scanpy leaves cells of no segment where they were).
    order = ours.obs["dpt_order_indices"].to_numpy()
    assert order.dtype == ours.obs["dpt_order"].dtype == np.int64
    assert (ours.obs["dpt_order"].to_numpy()[order] == np.arange(ours.n_obs)).all()
    frame = ours.obs.iloc[order]
    codes = frame["dpt_groups"].cat.codes.to_numpy()
    assert (np.diff(codes) >= 0).all()
    assert (np.flatnonzero(np.diff(codes)) + 1 == ours.uns["dpt_changepoints"]).all()
    assert frame.groupby("dpt_groups", observed=True)["dpt_pseudotime"].apply(lambda t: t.is_monotonic_increasing).all()
    return ours


@pytest.mark.parametrize("n_branchings", [1, 2, 3])
@pytest.mark.parametrize("shift", [True, False])
def test_paul15_branchings_are_scanpys(paul, n_branchings, shift):
    adata = paul.copy()
    zs.tl.diffmap(adata)
    ours = compare_branchings(adata, n_branchings=n_branchings, allow_kendall_tau_shift=shift)
    if n_branchings == 1:  # the erythroid cells are a branch of their own
        mature = ours.obs.loc[ours.obs["paul15_clusters"].isin(["1Ery", "2Ery", "3Ery"]), "dpt_groups"]
        assert mature.value_counts(normalize=True).iloc[0] > 0.95


@pytest.fixture(scope="module")
def branched():
    """600 cells on three arms that meet, in 20 dimensions, and the truth in obs["arm"]."""
    import anndata

    rng = np.random.default_rng(4)
    arm = np.repeat([0, 1, 2], 200)
    ends = np.linalg.qr(rng.normal(size=(20, 3)))[0].T
    x = ends[arm] * rng.uniform(0, 10, 600)[:, None] + 0.15 * rng.normal(size=(600, 20))
    adata = anndata.AnnData(x.astype(np.float32))
    adata.obs["arm"] = pd.Categorical(arm.astype(str))
    zs.pp.neighbors(adata, n_neighbors=12, use_rep="X")
    adata.uns["iroot"] = int(np.argmax(x[:200] @ ends[0]))
    zs.tl.diffmap(adata)
    return adata


@pytest.mark.parametrize("options", [
    # Where more branchings are asked for than there are, scanpy itself stops with an IndexError.
    {"n_branchings": 1}, {"n_branchings": 2}, {"n_branchings": 1, "allow_kendall_tau_shift": False},
    {"n_branchings": 2, "min_group_size": 0.3}, {"n_branchings": 1, "n_dcs": 5},
], ids=str)
def test_generated_branchings_are_scanpys(branched, options):
    compare_branchings(branched, **options)


def test_generated_branches_are_the_arms(branched):
    adata = branched.copy()
    zs.tl.dpt(adata, n_branchings=1, n_dcs=5)
    table = pd.crosstab(adata.obs["arm"], adata.obs["dpt_groups"])
    assert table.shape == (3, 3)
    assert sorted(table.to_numpy().argmax(axis=0)) == [0, 1, 2], "each arm has a group of its own"
    assert table.max().sum() > 0.95 * adata.n_obs, "few cells near the meeting point go astray"
    zs.tl.dpt(adata, n_branchings=9, min_group_size=150)
    assert adata.obs["dpt_groups"].notna().all()


def test_branchings_need_one_part_and_leave_no_trace_when_none_are_asked_for(small_graph):
    graph = sparse.block_diag([chain(200), chain(100, seed=1)]).tocsr()
    small_graph.uns["iroot"] = 0
    zs.tl.diffmap(small_graph)
    zs.tl.dpt(small_graph)
    assert not {"dpt_groups", "dpt_order", "dpt_order_indices"} & set(small_graph.obs)
    assert not {"dpt_changepoints", "dpt_grouptips"} & set(small_graph.uns)
    small_graph.obsp["connectivities"] = graph.astype(np.float32)
    with pytest.raises(errors.DataError, match="2 parts"):
        zs.tl.dpt(small_graph, n_branchings=1)


def test_branchings_do_not_depend_on_threads_and_go_through_a_file(branched, tmp_path):
    import anndata

    graph, map_ = branched.obsp["connectivities"], zs.arrays.diffmap(branched.obsp["connectivities"])
    options = {"root": int(branched.uns["iroot"]), "n_branchings": 2}
    one = zs.arrays.dpt_branchings(graph, map_.vectors, map_.values, **options, threads=1)
    for threads in (2, 8):
        other = zs.arrays.dpt_branchings(graph, map_.vectors, map_.values, **options, threads=threads)
        assert all((a == b).all() for a, b in zip(one, other, strict=True))
    dense = zs.arrays.dpt_branchings(graph.toarray(), map_.vectors, map_.values, **options)
    assert all((a == b).all() for a, b in zip(one, dense, strict=True))
    copied = zs.tl.dpt(branched, n_branchings=2, copy=True)
    assert "dpt_groups" not in branched.obs
    copied.write(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (again.obs["dpt_groups"] == copied.obs["dpt_groups"]).all()
    assert again.uns["zensaibo"]["dpt"]["options"]["n_branchings"] == 2


def test_scanpys_plots_take_the_branchings(branched):
    import matplotlib

    matplotlib.use("Agg")
    import scanpy as sc
    from matplotlib import pyplot

    adata = branched.copy()
    zs.tl.dpt(adata, n_branchings=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pl.dpt_timeseries(adata[:, :5].copy(), show=False)
    pyplot.close("all")


def test_disconnected_cells_are_infinitely_far(small_graph):
    import scanpy as sc

    graph = sparse.block_diag([chain(200), chain(100, seed=1)]).tocsr()
    small_graph.obsp["connectivities"] = graph.astype(np.float32)
    small_graph.uns["iroot"] = 0
    zs.tl.diffmap(small_graph)
    np.testing.assert_allclose(small_graph.uns["diffmap_evals"][:2], 1, atol=1e-7)
    zs.tl.dpt(small_graph)
    time = small_graph.obs["dpt_pseudotime"].to_numpy()
    assert np.isfinite(time[:200]).all() and np.isinf(time[200:]).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.tl.dpt(small_graph)
    assert (np.isinf(small_graph.obs["dpt_pseudotime"]) == np.isinf(time)).all()


def test_threads_and_layouts_change_nothing(paul):
    graph = paul.obsp["connectivities"]
    one = zs.arrays.diffmap(graph, threads=1)
    for threads in (2, 8):
        other = zs.arrays.diffmap(graph, threads=threads)
        assert other.vectors.tobytes() == one.vectors.tobytes() and other.values.tobytes() == one.values.tobytes()
    times = [zs.arrays.pseudotime(graph, one.vectors, one.values, root=3, threads=t).tobytes() for t in (1, 2, 8)]
    assert times[0] == times[1] == times[2]
    expected = zs.arrays.diffmap(chain()).vectors
    for name in ("csr", "csc", "csr_array", "dense", "csr_i64", "csr_f64"):
        assert (zs.arrays.diffmap(LAYOUTS[name](chain())).vectors == expected).all(), name


def test_results_can_be_written_copied_and_keyed(small_graph, tmp_path):
    import anndata

    small_graph.uns["mine"] = {"connectivities_key": "other"}
    small_graph.obsp["other"] = chain(300, 3, seed=5)
    small_graph.uns["iroot"] = np.int64(3)
    copied = zs.tl.diffmap(small_graph, neighbors_key="mine", copy=True)
    assert "X_diffmap" not in small_graph.obsm
    expected = zs.arrays.diffmap(small_graph.obsp["other"]).vectors
    assert (copied.obsm["X_diffmap"] == expected).all()
    copied = zs.tl.dpt(copied, copy=True, neighbors_key="mine")
    copied.write(tmp_path / "a.h5ad")
    again = anndata.read_h5ad(tmp_path / "a.h5ad")
    assert (again.obs["dpt_pseudotime"] == copied.obs["dpt_pseudotime"]).all()
    assert set(again.uns["zensaibo"]) == {"diffmap", "dpt"}


def test_roots_by_profile(small_graph):
    zs.tl.diffmap(small_graph)
    small_graph.var["xroot"] = small_graph.X[7].toarray().ravel()
    zs.tl.dpt(small_graph)
    assert small_graph.uns["iroot"] == 7 and small_graph.obs["dpt_pseudotime"].iloc[7] == 0
    del small_graph.uns["iroot"]
    small_graph.X = small_graph.X.toarray()
    small_graph.uns["xroot"] = small_graph.X[9]
    zs.tl.dpt(small_graph)
    assert small_graph.uns["iroot"] == 9


def test_a_missing_map_is_made_with_a_warning(small_graph):
    small_graph.uns["iroot"] = 0
    with pytest.warns(UserWarning, match="X_diffmap"):
        zs.tl.dpt(small_graph)
    assert "X_diffmap" in small_graph.obsm


def test_bad_input_is_refused_by_name(small_graph):
    empty = small_graph.copy()
    del empty.uns["neighbors"]
    for tool in (zs.tl.diffmap, zs.tl.dpt):
        with pytest.raises(errors.MissingKeyError, match="pp.neighbors"):
            tool(empty)
    with pytest.raises(errors.MissingKeyError, match="iroot"):
        zs.tl.dpt(small_graph)
    for root in (300, -1, 1.5, "a"):
        small_graph.uns["iroot"] = root
        with pytest.raises(errors.ParameterError, match="iroot"):
            zs.tl.dpt(small_graph)
    small_graph.uns["iroot"] = 0
    zs.tl.diffmap(small_graph)
    for bad in (-1, 1.5, True):
        with pytest.raises(errors.ParameterError, match="n_branchings"):
            zs.tl.dpt(small_graph, n_branchings=bad)
    for bad in (-0.1, np.inf, np.nan):
        with pytest.raises(errors.ParameterError, match="min_group_size"):
            zs.tl.dpt(small_graph, n_branchings=1, min_group_size=bad)
    with pytest.raises(errors.ParameterError, match="allow_kendall_tau_shift"):
        zs.tl.dpt(small_graph, n_branchings=1, allow_kendall_tau_shift=3)
    with pytest.raises(errors.ShapeError, match="vectors"):
        zs.arrays.dpt_branchings(chain(), np.zeros((400, 3)), np.zeros(2), root=0)
    with pytest.raises(errors.ParameterError, match="root"):
        zs.arrays.dpt_branchings(chain(), np.zeros((400, 3)), np.zeros(3), root=400, n_dcs=3)
    with pytest.raises(errors.ParameterError, match="n_dcs"):
        zs.tl.dpt(small_graph, n_branchings=1, n_dcs=16)
    assert "dpt_groups" not in small_graph.obs
    with pytest.raises(errors.ParameterError, match="at most 15"):
        zs.tl.dpt(small_graph, n_dcs=16)
    with pytest.raises(errors.ParameterError, match="n_dcs"):
        zs.tl.dpt(small_graph, n_dcs=0)
    with pytest.raises(errors.ParameterError, match="n_comps"):
        zs.tl.diffmap(small_graph, n_comps=2)
    with pytest.raises(errors.ParameterError, match="random_state"):
        zs.tl.diffmap(small_graph, random_state=-1)
    with pytest.raises(errors.ShapeError, match="square"):
        zs.arrays.diffmap(chain()[:10])
    with pytest.raises(errors.TooFewError, match="2 cells"):
        zs.arrays.diffmap(np.zeros((1, 1)))
    with pytest.raises(errors.DataError, match="cell 0"):
        zs.arrays.diffmap(np.zeros((5, 5)))
    broken = chain()
    broken.data[0] = np.nan
    with pytest.raises(errors.NonFiniteError, match="weights"):
        zs.arrays.diffmap(broken)
    with pytest.raises(errors.ShapeError, match="vectors"):
        zs.arrays.pseudotime(chain(), np.zeros((400, 3)), np.zeros(2), root=0)
    with pytest.raises(errors.ParameterError, match="root"):
        zs.arrays.pseudotime(chain(), np.zeros((400, 3)), np.zeros(3), root=400, n_dcs=3)
