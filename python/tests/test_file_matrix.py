"""Matrices in files in place of matrices in memory: the same bits, or a clear refusal."""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import errors
from zensaibo._anndata import columns_of as chosen
from zensaibo.pl._colors import fetch
from zensaibo.pl._groups import columns_of


@pytest.fixture(scope="module")
def counts() -> ad.AnnData:
    """Enough cells for several blocks."""
    made = zs.datasets.simulate(7000, 900, genes_per_cell=300, umi_per_cell=1200, n_types=5, n_lineages=2, n_trajectories=0, seed=4)
    made.layers["again"] = made.X.copy()
    return made


def logged(counts: ad.AnnData) -> ad.AnnData:
    made = counts.copy()
    zs.pp.normalize_total(made, target_sum=1e4)
    zs.pp.log1p(made)
    return made


@pytest.fixture(scope="module", params=["csr", "csr-gzip", "csc", "dense"])
def stored(request: pytest.FixtureRequest, counts: ad.AnnData, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp(request.param)
    paths = {}
    for name, adata in (("counts", counts), ("logged", logged(counts))):
        kept = adata.copy()
        if request.param == "csc":
            kept.X = sparse.csc_matrix(kept.X)
        if request.param == "dense":
            kept.X = kept.X.toarray()
        paths[name] = folder / f"{name}.h5ad"
        kept.write_h5ad(paths[name], compression="gzip" if request.param == "csr-gzip" else None)
    return paths


def same(first, second) -> None:
    """Equal to the last bit, whatever it is."""
    if isinstance(first, pd.DataFrame):
        # Counts come as int64 of a file, in the type of its row pointers of a matrix.
        pd.testing.assert_frame_equal(first, second, check_exact=True, check_dtype=False)
    elif sparse.issparse(first):
        assert (first != second).nnz == 0
    elif isinstance(first, dict):
        assert first.keys() == second.keys()
        for key in first:
            same(first[key], second[key])
    elif hasattr(first, "__dataclass_fields__"):
        same(vars(first), vars(second))
    elif isinstance(first, (tuple, list)):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            same(one, other)
    else:
        np.testing.assert_array_equal(first, second)


def groups(adata: ad.AnnData) -> np.ndarray:
    return adata.obs["cell_type"].to_numpy().astype(str)


ARRAYS = {
    "qc_metrics": ("counts", lambda X, adata: zs.arrays.qc_metrics(X, gene_masks={"mt": adata.var["is_mito"].to_numpy()})),
    "size_factors": ("counts", lambda X, adata: zs.arrays.size_factors(X, exclude_highly_expressed=True)),
    "pca": ("logged", lambda X, adata: zs.arrays.pca(X, 12)),
    "pca, scaled": ("logged", lambda X, adata: zs.arrays.pca(X, 8, scale=True, max_value=5.0)),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_take_a_matrix_in_a_file(name: str, counts: ad.AnnData, stored: dict[str, Path]) -> None:
    which, function = ARRAYS[name]
    held = counts.X if which == "counts" else logged(counts).X
    same(function(zs.io.open_matrix(stored[which]), counts), function(held, counts))


FUNCTIONS = {
    "calculate_qc_metrics": ("counts", lambda a: zs.pp.calculate_qc_metrics(a, qc_vars=["is_mito"], inplace=False)),
    "filter_cells": ("counts", lambda a: zs.pp.filter_cells(a, min_genes=280, inplace=False)),
    "filter_genes": ("counts", lambda a: zs.pp.filter_genes(a, min_cells=50, inplace=False)),
    "highly_variable_genes": ("logged", lambda a: zs.pp.highly_variable_genes(a, n_top_genes=200, inplace=False)),
    "highly_variable_genes, seurat_v3": (
        "counts",
        lambda a: zs.pp.highly_variable_genes(a, n_top_genes=200, flavor="seurat_v3", inplace=False),
    ),
    "highly_variable_genes, pearson": (
        "counts",
        lambda a: zs.pp.highly_variable_genes(a, n_top_genes=200, flavor="pearson_residuals", inplace=False),
    ),
    "pca": ("logged", lambda a: (zs.pp.pca(a, n_comps=10), a.obsm["X_pca"].copy(), a.varm["PCs"].copy())[1:]),
    "rank_genes_groups": (
        "logged",
        lambda a: (zs.tl.rank_genes_groups(a, "cell_type"), zs.get.rank_genes_groups_df(a, None))[1],
    ),
    "rank_genes_groups, wilcoxon": (
        "logged",
        lambda a: (zs.tl.rank_genes_groups(a, "cell_type", method="wilcoxon"), zs.get.rank_genes_groups_df(a, None))[1],
    ),
    "score_genes": (
        "logged",
        lambda a: (zs.tl.score_genes(a, list(a.var_names[5:25]), use_raw=False), a.obs["score"].to_numpy())[1],
    ),
    "aggregate": ("counts", lambda a: zs.get.aggregate(a, "cell_type", ["mean", "var"]).layers["mean"]),
    "pearson residuals": (
        "counts",
        lambda a: zs.pp.normalize_pearson_residuals(a, inplace=False)["X"],
    ),
    "scrublet": ("counts", lambda a: (zs.pp.scrublet(a, n_prin_comps=8), a.obs["doublet_score"].to_numpy())[1]),
    "scrublet, by batch": (
        "counts",
        lambda a: (
            a.obs.__setitem__("half", np.where(np.arange(a.n_obs) % 3 > 0, "a", "b")),
            zs.pp.scrublet(a, batch_key="half", n_prin_comps=8),
            a.obs["doublet_score"].to_numpy(),
        )[2],
    ),
    "score_genes, a pool": (
        "logged",
        lambda a: (
            zs.tl.score_genes(a, list(a.var_names[5:25]), gene_pool=list(a.var_names[:700]), use_raw=False),
            a.obs["score"].to_numpy(),
        )[1],
    ),
    "score_genes, counts": (
        "counts",
        lambda a: (zs.tl.score_genes(a, list(a.var_names[3:40]), use_raw=False), a.obs["score"].to_numpy())[1],
    ),
    "filter_rank_genes_groups": (
        "logged",
        lambda a: (
            zs.tl.rank_genes_groups(a, "cell_type"),
            zs.tl.filter_rank_genes_groups(a, min_fold_change=0.5),
            pd.DataFrame.from_records(a.uns["rank_genes_groups_filtered"]["names"]),
        )[2],
    ),
    "annotate": (
        "logged",
        lambda a: (
            zs.tl.annotate(a, classifier_of(a), use_raw=False),
            a.obsm["predicted_probabilities"],
        )[1],
    ),
    "annotate_by_markers": (
        "logged",
        lambda a: (
            zs.tl.annotate_by_markers(a, {"one": list(a.var_names[40:30:-2]), "two": list(a.var_names[7:20])}, key_added="m"),
            a.obsm["m_scores"],
        )[1],
    ),
    "dendrogram": (
        "logged",
        lambda a: zs.tl.dendrogram(a, "cell_type", var_names=list(a.var_names[90:50:-1]), use_raw=False, inplace=False)[
            "correlation_matrix"
        ],
    ),
    "pooled_size_factors": (
        "counts",
        lambda a: (zs.pp.pooled_size_factors(a), a.obs["size_factors"].to_numpy())[1],
    ),
    "spike_in_size_factors": (
        "counts",
        lambda a: (
            a.var.__setitem__("spike", np.arange(a.n_vars) % 9 == 0),
            zs.pp.spike_in_size_factors(a, spike_ins="spike"),
            a.obs["size_factors"].to_numpy(),
        )[2],
    ),
    "genes to plot": (
        "logged",
        lambda a: [
            values.to_numpy()
            for values in fetch(a, [a.var_names[8], "cell_type", a.var_names[3]], use_raw=False, layer=None, gene_symbols=None).values()
            if values.dtype != "category"
        ],
    ),
    "genes of groups to plot": (
        "logged",
        lambda a: [
            as_column(places, values, a.n_obs)
            for places, values in columns_of(a, list(a.var_names[9:2:-3]), use_raw=False, layer=None, gene_symbols=None)
        ],
    ),
    "ingest": (
        "logged",
        lambda a: (
            zs.pp.pca(a, n_comps=10),
            zs.pp.neighbors(a, n_pcs=10),
            zs.tl.ingest(a, a, obs="cell_type", embedding_method="pca", inplace=True),
            a.obsm["X_pca"],
        )[3],
    ),
}


def classifier_of(adata: ad.AnnData):
    """Learnt from some genes, in another order than the data have them."""
    part = adata.to_memory() if adata.isbacked else adata
    part = part[::7, [*range(400, 300, -1), *range(20)]].copy()
    return zs.tl.train_classifier(part, "cell_type", use_raw=False, tol=0.05)


def as_column(places, values, n: int) -> np.ndarray:
    """What a plot draws of a gene."""
    column = np.zeros(n, values.dtype)
    column[slice(None) if places is None else places] = values
    return column


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_take_a_backed_anndata(name: str, counts: ad.AnnData, stored: dict[str, Path]) -> None:
    which, function = FUNCTIONS[name]
    held = counts.copy() if which == "counts" else logged(counts)
    backed = ad.read_h5ad(stored[which], backed="r")
    try:
        same(function(backed), function(held))
    finally:
        backed.file.close()


def test_chains_are_what_the_steps_in_memory_are(counts: ad.AnnData, stored: dict[str, Path]) -> None:
    rng = np.random.default_rng(0)
    cells, genes = rng.random(counts.n_obs) < 0.7, rng.random(counts.n_vars) < 0.5
    whole = zs.io.open_matrix(stored["counts"])
    assert whole.shape == counts.shape and whole.key == "X" and Path(whole.path) == stored["counts"]
    chain = whole.select(cells, genes).normalize_total(1e3).log1p()
    held = counts[cells, genes].copy()
    zs.pp.normalize_total(held, target_sum=1e3)
    zs.pp.log1p(held)
    assert chain.shape == held.shape
    for matrix in (chain, chain.select(genes=np.ones(held.n_vars, bool))):
        assert np.allclose(zs.arrays.qc_metrics(matrix, percent_top=()).totals, np.asarray(held.X.sum(1)).ravel(), rtol=1e-5)
        found, wanted = (zs.arrays.pca(X, 5) for X in (matrix, held.X))
        np.testing.assert_allclose(found.scores, wanted.scores, atol=1e-3)
    assert "7,000" not in repr(chain) and "log1p" in repr(chain)
    assert whole.shape == counts.shape  # not changed


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8"])
def test_genes_of_any_type_come_out_in_the_order_asked_for(dtype: str, counts: ad.AnnData, tmp_path: Path) -> None:
    values = counts.X.astype("float64")
    values.data = np.minimum(values.data, 255) / (3 if dtype == "float64" else 1)
    places = [500, 3, 3, 899, 0]
    for layout in (sparse.csr_matrix, sparse.csc_matrix, lambda X: X.toarray()):
        held = layout(values.astype(dtype))
        ad.AnnData(held).write_h5ad(tmp_path / "file.h5ad")
        backed = ad.read_h5ad(tmp_path / "file.h5ad", backed="r")
        found, wanted = chosen(backed.X, places), held[:, places]
        backed.file.close()
        assert found.dtype == np.dtype(dtype) and sparse.issparse(found) == sparse.issparse(held)
        same(*(part.toarray() if sparse.issparse(part) else part for part in (found, wanted)))


def test_columns_are_turned_within_any_memory(counts: ad.AnnData, tmp_path: Path) -> None:
    turned = counts.copy()
    turned.X = sparse.csc_matrix(turned.X)
    turned.write_h5ad(tmp_path / "columns.h5ad")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    for memory in (1, "100KB", "1GiB", None):
        found = zs.io.open_matrix(tmp_path / "columns.h5ad", memory=memory, scratch=scratch)
        same(found.to_memory(), counts.X)
        same(zs.arrays.pca(found, 5), zs.arrays.pca(counts.X, 5))
        assert not any(scratch.iterdir())
    with pytest.raises(errors.FileError, match="nowhere"):
        zs.io.open_matrix(tmp_path / "columns.h5ad", memory=1, scratch=tmp_path / "nowhere")
    with pytest.raises(errors.ParameterError, match="memory"):
        zs.io.open_matrix(tmp_path / "columns.h5ad", memory="much")


def test_turning_columns_tells_how_far_it_is(tmp_path: Path) -> None:
    # Large enough that turning it takes several of the 40 ms between reports on any machine.
    rng = np.random.default_rng(0)
    per_gene, n_obs, n_vars = 100_000, 200_000, 120
    rows = np.concatenate([np.sort(rng.choice(n_obs, per_gene, replace=False)) for _ in range(n_vars)]).astype(np.int32)
    values = rng.integers(1, 9, len(rows)).astype(np.float32)
    wide = ad.AnnData(sparse.csc_matrix((values, rows, np.arange(n_vars + 1) * per_gene), shape=(n_obs, n_vars)))
    wide.write_h5ad(tmp_path / "wide.h5ad")
    seen = []
    found = zs.io.open_matrix(tmp_path / "wide.h5ad", memory="20MB", scratch=tmp_path, progress=lambda *step: seen.append(step))
    turning = [(done, total) for stage, done, total in seen if stage == "columns to rows"]
    assert turning and all(0 <= done <= total for done, total in turning)
    np.testing.assert_array_equal(zs.arrays.qc_metrics(found, percent_top=[50]).totals, np.asarray(wide.X.sum(axis=1)).ravel())


def test_layers_and_threads(counts: ad.AnnData, stored: dict[str, Path]) -> None:
    layer = zs.io.open_matrix(stored["counts"], "layers/again")
    one, two = (zs.arrays.qc_metrics(layer, threads=n) for n in (1, 2))
    same(one, two)
    same(one, zs.arrays.qc_metrics(counts.X))


def test_what_cannot_be_is_named(counts: ad.AnnData, stored: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(errors.MissingKeyError, match="again"):
        zs.io.open_matrix(stored["counts"], "layers/nothing")
    with pytest.raises(errors.FileError):
        zs.io.open_matrix(tmp_path / "nowhere.h5ad")
    whole = zs.io.open_matrix(stored["counts"])
    with pytest.raises(errors.ParameterError, match="cells"):
        whole.select(np.arange(5))
    with pytest.raises(errors.ShapeError, match="row mask"):
        whole.select(np.ones(5, bool))
    with pytest.raises(errors.ShapeError, match="row divisors"):
        whole.divide_rows([1.0])
    # What would change X is refused, and the file stays as it is.
    before = stored["counts"].read_bytes()
    for change in (
        zs.pp.normalize_total,
        zs.pp.log1p,
        zs.pp.scale,
        zs.pp.normalize_pearson_residuals,
        lambda a: zs.pp.regress_out(a, "depth"),
        lambda a: zs.pp.combat(a, "batch"),
        lambda a: zs.pp.downsample_counts(a, 100),
    ):
        backed = ad.read_h5ad(stored["counts"], backed="r+")
        with pytest.raises(errors.ParameterError, match="backed"):
            change(backed)
        backed.file.close()
    assert stored["counts"].read_bytes() == before


def test_the_recipe_within_a_limit_of_memory(counts: ad.AnnData, stored: dict[str, Path], tmp_path: Path) -> None:
    config = {"umap": {"maxiter": 10}, "pca": {"n_comps": 12}, "filter": {"min_genes": 20}}
    free = zs.pp.recipe(stored["counts"], config=config, progress=False)
    tight = zs.pp.recipe(
        stored["counts"], tmp_path / "out.h5ad", config, memory="1GiB", checkpoints=tmp_path / "kept", scratch=tmp_path, progress=False
    )
    held = zs.pp.recipe(counts, config=config, memory=2**30, progress=False)
    backed = ad.read_h5ad(stored["counts"], backed="r")
    streamed = zs.pp.recipe(backed, config=config, progress=False)
    backed.file.close()
    for other in (tight, held, streamed):
        for key in ("X_pca", "X_umap"):
            np.testing.assert_array_equal(other.obsm[key], free.obsm[key])
        assert (other.X != free.X).nnz == 0 and (other.layers["counts"] != free.layers["counts"]).nnz == 0
        assert other.obs["leiden"].tolist() == free.obs["leiden"].tolist()
    assert [path.name for path in tmp_path.iterdir()] == ["out.h5ad"]
    with pytest.raises(errors.LimitError, match="7,000 cells"):
        zs.pp.recipe(stored["counts"], memory="50MB")
    with pytest.raises(errors.ParameterError, match="checkpoints"):
        zs.pp.recipe(counts, checkpoints=tmp_path / "kept")
