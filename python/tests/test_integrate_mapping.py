"""`zs.tl.ingest` and `zs.tl.map_to_reference`: against scanpy (golden), on planted batches, slots, bad input."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs

GOLDEN = Path(__file__).parent / "golden" / "ingest" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    return np.load(GOLDEN)


@pytest.fixture
def halves(_pbmc3k) -> tuple[ad.AnnData, ad.AnnData]:
    """2,160 and 540 cells of PBMC 3k, 1,000 genes, prepared by scanpy as for the golden."""
    import scanpy as sc

    adata = _pbmc3k.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.obs_names = [str(i) for i in range(adata.n_obs)]
        sc.pp.filter_genes(adata, min_cells=3)
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.pp.highly_variable_genes(adata, n_top_genes=1000)
    adata = adata[:, adata.var["highly_variable"]].copy()
    new = np.arange(adata.n_obs) % 5 == 0
    return adata[~new].copy(), adata[new].copy()


@pytest.fixture
def reference(halves, golden) -> ad.AnnData:
    adata = halves[0]
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata)
    adata.obs["leiden"] = pd.Categorical(golden["clusters"].astype(str))
    adata.obsm["X_umap"] = golden["layout"]
    adata.uns["umap"] = {"params": dict(zip("ab", golden["curve"], strict=True))}
    return adata


def test_ingest_as_scanpy(reference, halves, golden):
    """97 % of the labels are scanpy's (its neighbours are approximate), the components its own up to sign and a shift
    (it centres new cells by their own mean), the places in the layout half a unit from its own for most cells."""
    query = halves[1]
    zs.tl.ingest(query, reference, obs="leiden")
    assert (query.obs["leiden"].astype(int).to_numpy() == golden["labels"]).mean() > 0.97
    assert list(query.obs["leiden"].cat.categories) == list(reference.obs["leiden"].cat.categories)
    confidence = query.obs["leiden_confidence"].to_numpy()
    assert confidence.min() > 0 and confidence.max() == 1
    for i in range(5):
        assert abs(np.corrcoef(query.obsm["X_pca"][:, i], golden["new_pca"][:, i])[0, 1]) > 0.999
    gap = np.linalg.norm(query.obsm["X_umap"] - golden["new_layout"], axis=1)
    assert np.median(gap) < 0.75 and query.obsm["X_umap"].dtype == np.float32, np.quantile(gap, [0.5, 0.9])
    assert query.obsm["rep"].shape == (540, 30)


def test_unsure_cells_have_low_confidence(reference, halves):
    """Cells whose label is held back and foretold: those foretold right are surer."""
    query = halves[1]
    half = reference[::2].copy()
    rest = reference[1::2].copy()
    zs.pp.pca(half, n_comps=30)
    zs.pp.neighbors(half)
    truth = rest.obs["leiden"].copy()
    zs.tl.ingest(rest, half, obs=["leiden"], embedding_method=[])
    right = (rest.obs["leiden"].astype(str) == truth.astype(str)).to_numpy()
    assert right.mean() > 0.85
    sure = rest.obs["leiden_confidence"].to_numpy()
    assert sure[right].mean() > sure[~right].mean() + 0.1
    assert "X_umap" not in query.obsm


def test_a_cell_of_the_reference_comes_to_itself(reference):
    twin = reference[:100].copy()
    del twin.obsm, twin.obs
    changed = zs.tl.ingest(twin, reference, obs="leiden", n_neighbors=1, inplace=False)
    assert "leiden" not in twin.obs
    np.testing.assert_allclose(changed.obsm["X_pca"], reference.obsm["X_pca"][:100], atol=1e-3)
    assert (changed.obs["leiden"].astype(str).to_numpy() == reference.obs["leiden"].astype(str)[:100]).all()
    assert (changed.obs["leiden_confidence"] == 1).all()
    dense = reference[:100].copy()
    dense.X = dense.X.toarray()
    del dense.obsm
    for threads in (1, 3):
        other = zs.tl.ingest(dense, reference, obs="leiden", n_neighbors=1, inplace=False, threads=threads)
        for key in ("X_pca", "X_umap"):
            assert other.obsm[key].tobytes() == changed.obsm[key].tobytes()


def test_ingest_names_bad_input(reference, halves):
    query = halves[1]
    with pytest.raises(zs.errors.DataError, match="in its order, found 1000 others|in its order, found"):
        zs.tl.ingest(query[:, ::-1].copy(), reference)
    with pytest.raises(zs.errors.DataError, match="the 1000 genes of the reference in its order, found 999 genes"):
        zs.tl.ingest(query[:, 1:].copy(), reference)
    with pytest.raises(KeyError, match="`kind` not found in adata.obs"):
        zs.tl.ingest(query, reference, obs="kind")
    with pytest.raises(zs.errors.ParameterError, match="`embedding_method`: expected 'umap' or 'pca', found 'tsne'"):
        zs.tl.ingest(query, reference, embedding_method="tsne")
    with pytest.raises(zs.errors.ParameterError, match="`labeling_method`"):
        zs.tl.ingest(query, reference, labeling_method="svm")
    with pytest.raises(KeyError, match="run `zs.pp.neighbors"):
        zs.tl.ingest(query, reference, neighbors_key="mine")
    plain = reference.copy()
    del plain.obsm["X_umap"]
    with pytest.raises(KeyError, match="leave 'umap' out"):
        zs.tl.ingest(query, plain)
    scaled = reference.copy()
    scaled.X = scaled.X * 3
    with pytest.raises(zs.errors.DataError, match="expected the matrix that the principal components were made from"):
        zs.tl.ingest(query, scaled)
    gap = reference.copy()
    gap.obs["leiden"] = gap.obs["leiden"].where(np.arange(gap.n_obs) != 4)
    with pytest.raises(zs.errors.DataError, match="expected a label for every cell"):
        zs.tl.ingest(query, gap, obs="leiden")
    with pytest.raises(zs.errors.ParameterError, match="`n_neighbors`"):
        zs.tl.ingest(query, reference, n_neighbors=5000)


@pytest.fixture(scope="module")
def planted() -> ad.AnnData:
    """2,400 simulated cells of 8 types in four batches, logged; in the last one 300 genes are six times as high."""
    adata = zs.datasets.simulate(
        2400,
        1500,
        n_types=8,
        n_lineages=4,
        n_batches=4,
        n_trajectories=0,
        umi_per_cell=1500,
        genes_per_cell=500,
        marker_fold=4.0,
        batch_effect=0.5,
        doublet_rate=0.0,
        seed=5,
    )
    adata.obs["kind"] = next(adata.obs[name] for name in ("cell_type", "type") if name in adata.obs)
    last = (adata.obs["batch"].astype(str) == max(adata.obs["batch"].astype(str))).to_numpy()
    raised = np.random.default_rng(1).choice(adata.n_vars, 300, replace=False)
    factors = np.ones(adata.n_vars, dtype=np.float32)
    factors[raised] = 6
    counts = sparse.csr_matrix(adata.X)
    rows = np.repeat(np.arange(adata.n_obs), np.diff(counts.indptr))
    counts.data *= np.where(last[rows], factors[counts.indices], 1)
    adata.X = counts
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    return adata


@pytest.fixture
def atlas(planted) -> tuple[ad.AnnData, ad.AnnData]:
    """Three batches as reference, corrected; the fourth as new cells."""
    batches = planted.obs["batch"].astype(str)
    last = sorted(batches.unique())[-1]
    reference, query = planted[batches != last].copy(), planted[batches == last].copy()
    zs.pp.pca(reference, n_comps=20)
    zs.pp.harmony_integrate(reference, "batch", max_iter_harmony=20)
    return reference, query


def test_new_batch_joins_the_reference(atlas):
    reference, query = atlas
    truth = query.obs["kind"].astype(str).to_numpy()
    del query.obs["kind"]
    before = reference.obsm["X_pca_harmony"].copy()
    zs.tl.map_to_reference(query, reference, obs="kind")
    np.testing.assert_array_equal(reference.obsm["X_pca_harmony"], before)
    right = (query.obs["kind"].astype(str) == truth).to_numpy()
    plain = zs.arrays.knn_query(reference.obsm["X_pca"], query.obsm["X_pca"], 15)
    uncorrected = (np.asarray(zs.arrays.vote(plain.indices, reference.obs["kind"]).labels).astype(str) == truth).mean()
    assert right.mean() > 0.9 and right.mean() > uncorrected, (right.mean(), uncorrected)
    together = np.vstack([reference.obsm["X_pca_harmony"], query.obsm["X_pca_harmony"]])
    apart = np.vstack([reference.obsm["X_pca_harmony"], query.obsm["X_pca"]])
    new = np.repeat([False, True], [reference.n_obs, query.n_obs])
    mixed, unmixed = (zs.metrics.lisi(rep, new)[new].mean() for rep in (together, apart))
    assert mixed > unmixed + 0.1, (mixed, unmixed)
    sure = query.obs["kind_confidence"].to_numpy()
    assert sure.min() > 0 and sure[right].mean() > sure[~right].mean() + 0.1
    again = zs.tl.map_to_reference(query, reference, obs="kind", copy=True, threads=1)
    assert again.obsm["X_pca_harmony"].tobytes() == query.obsm["X_pca_harmony"].tobytes()


def test_genes_are_matched_by_name(atlas):
    reference, query = atlas
    plain = zs.tl.map_to_reference(query, reference, copy=True)
    shuffled = query[:, np.random.default_rng(0).permutation(query.n_vars)].copy()
    extra = ad.AnnData(sparse.csr_matrix((query.n_obs, 3), dtype=np.float32), obs=query.obs[[]])
    extra.var_names = ["new1", "new2", "new3"]
    wider = ad.concat([extra, shuffled], axis=1)
    wider.obs = query.obs
    other = zs.tl.map_to_reference(wider, reference, copy=True)
    np.testing.assert_allclose(other.obsm["X_pca_harmony"], plain.obsm["X_pca_harmony"], atol=1e-4)
    fewer = query[:, 5:].copy()
    with pytest.raises(zs.errors.DataError, match=r"all \d+ genes that the reference uses, found 5 missing"):
        zs.tl.map_to_reference(fewer, reference)
    with pytest.warns(UserWarning, match="5 of .* genes that the reference uses are missing"):
        zs.tl.map_to_reference(fewer, reference, missing="mean")
    off = np.abs(fewer.obsm["X_pca_harmony"] - plain.obsm["X_pca_harmony"])
    assert np.median(off) < 0.1
    foreign = query.copy()
    foreign.var_names = [f"x{i}" for i in range(query.n_vars)]
    with pytest.raises(zs.errors.DataError, match="found none of its"):
        zs.tl.map_to_reference(foreign, reference, missing="mean")
    twice = query.copy()
    names = list(query.var_names)
    twice.var_names = [names[1], *names[1:]]
    with pytest.raises(zs.errors.DuplicateNamesError, match="each gene once"):
        zs.tl.map_to_reference(twice, reference)


def test_batches_among_the_new_cells(atlas):
    reference, query = atlas
    query.obs["lane"] = np.where(np.arange(query.n_obs) % 2 == 0, "a", "b")
    query.obs["day"] = np.where(np.arange(query.n_obs) % 3 == 0, 1, 2)
    one = zs.tl.map_to_reference(query, reference, copy=True)
    two = zs.tl.map_to_reference(query, reference, batch_key=["lane", "day"], copy=True)
    assert (one.obsm["X_pca_harmony"] != two.obsm["X_pca_harmony"]).any()
    # Lanes that do not differ are corrected alike.
    assert np.abs(one.obsm["X_pca_harmony"] - two.obsm["X_pca_harmony"]).mean() < 0.5
    single = query[:1].copy()
    zs.tl.map_to_reference(single, reference, obs="kind", n_neighbors=5)
    assert np.isfinite(single.obsm["X_pca_harmony"]).all()


def test_mapping_names_bad_input(atlas):
    reference, query = atlas
    with pytest.raises(KeyError, match="run `zs.pp.harmony_integrate"):
        plain = reference.copy()
        del plain.uns["harmony"]
        zs.tl.map_to_reference(query, plain)
    with pytest.raises(KeyError, match="run `zs.pp.pca"):
        plain = reference.copy()
        del plain.varm["PCs"]
        zs.tl.map_to_reference(query, plain)
    with pytest.raises(KeyError, match="`lane` not found"):
        zs.tl.map_to_reference(query, reference, batch_key="lane")
    with pytest.raises(zs.errors.ParameterError, match="`missing`: expected 'error' or 'mean'"):
        zs.tl.map_to_reference(query, reference, missing="zero")
    with pytest.raises(zs.errors.ParameterError, match="`sigma`"):
        zs.tl.map_to_reference(query, reference, sigma=0.0)
    with pytest.raises(zs.errors.ParameterError, match="`ridge_lambda`"):
        zs.tl.map_to_reference(query, reference, ridge_lambda=-1.0)
    query.obs["gap"] = pd.Series(["a"] * query.n_obs, index=query.obs_names).where(np.arange(query.n_obs) != 3)
    with pytest.raises(zs.errors.DataError, match="a label for every cell"):
        zs.tl.map_to_reference(query, reference, batch_key="gap")
    other = reference.copy()
    other.uns["harmony"] = {**other.uns["harmony"], "params": {**other.uns["harmony"]["params"], "basis": "X_lsi"}}
    with pytest.raises(zs.errors.ParameterError, match="found basis 'X_lsi'"):
        zs.tl.map_to_reference(query, other)


def test_neighbours_in_a_reference_are_the_nearest():
    rng = np.random.default_rng(0)
    reference, queries = rng.normal(size=(500, 6)), rng.normal(size=(80, 6))
    distances = np.linalg.norm(queries[:, None] - reference[None], axis=2)
    found = zs.arrays.knn_query(reference, queries, 7)
    np.testing.assert_array_equal(found.indices, np.argsort(distances, axis=1)[:, :7])
    np.testing.assert_allclose(found.distances, np.sort(distances, axis=1)[:, :7], rtol=1e-6)
    nearly = zs.arrays.knn_query(reference, queries, 7, algorithm="approximate")
    share = np.mean([np.isin(a, b).mean() for a, b in zip(nearly.indices, found.indices, strict=True)])
    assert share > 0.95
    with pytest.raises(zs.errors.ParameterError, match="one of `auto`, `exact`, `approximate`"):
        zs.arrays.knn_query(reference, queries, 7, algorithm="annoy")
    votes = zs.arrays.vote(np.array([[0, 1, 2], [3, 3, 1]]), ["b", "a", "b", "a"])
    assert list(votes.labels) == ["b", "a"] and votes.confidence.tolist() == [2 / 3, 1.0]
    with pytest.raises(zs.errors.ShapeError, match="6 columns"):
        zs.arrays.knn_query(reference, queries[:, :5])
    with pytest.raises(zs.errors.DataError, match="rows below 2, found 5"):
        zs.arrays.vote(np.array([[5]]), ["a", "b"])
