"""Every public function of pp, tl, get, metrics, arrays and pl on data that hardly is data: no cell, one cell, one gene,
one group, the same value everywhere, NaN, infinity. Each call ends in finite numbers or in an error class of zensaibo
whose message names what it is about; never in a bare error, a panic, a RuntimeWarning or an unannounced NaN."""

from __future__ import annotations

import inspect
import re
import tempfile
import warnings
from functools import cache

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")



@pytest.fixture(autouse=True, scope="module")
def _coarse_pictures():
    """Pictures that nobody looks at cost less when they are small."""
    with matplotlib.rc_context({"figure.dpi": 20}):
        yield


CELLS, GENES, DIMS = 80, 60, 5
EDGES = ("no cells", "one cell", "one gene", "one group", "constant", "nan", "inf")
MODULES = {"pp": zs.pp, "tl": zs.tl, "get": zs.get, "metrics": zs.metrics, "arrays": zs.arrays, "pl": zs.pl}


def ring(n: int, reach: int, rng: np.random.Generator) -> sparse.csr_matrix:
    """A symmetric graph of cells on a ring: `reach` neighbours on either side, weights between 0.2 and 1."""
    steps = [s for s in range(1, reach + 1) if 2 * s < n]
    graph = sparse.csr_matrix((n, n), dtype=np.float32)
    for step in steps:
        columns = (np.arange(n) + step) % n
        graph = graph + sparse.csr_matrix((rng.uniform(0.2, 1, n).astype(np.float32), (np.arange(n), columns)), (n, n))
    return (graph + graph.T).tocsr().astype(np.float32)


def plain(n: int, genes: int, groups: int) -> ad.AnnData:
    """Counts, layers, labels, coordinates and graphs, all made by numpy."""
    rng = np.random.default_rng(7)
    kind = np.arange(n) % groups
    rates = rng.gamma(0.8, 1.2, (groups, genes)) + 0.3
    counts = rng.poisson(rates[kind]).astype(np.float32)
    counts[:, -2:] += 4 * (genes > 2)  # the spike-ins
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.obs_names = [f"cell{i}" for i in range(n)]
    adata.var_names = [f"gene{i}" for i in range(genes - 2 if genes > 2 else genes)] + (
        ["ERCC-1", "ERCC-2"] * (genes > 2)
    )
    for name in ("group", "batch", "donor", "half"):
        step = {"group": 1, "batch": groups, "donor": 2 * groups, "half": 1}[name]
        count = {"group": groups, "batch": 2, "donor": 4, "half": 2}[name] if groups > 1 else 1
        adata.obs[name] = pd.Categorical([f"{name[0]}{i}" for i in (np.arange(n) // step) % count])
    adata.obs["number"] = rng.normal(size=n)
    adata.obs["size_factors"] = rng.uniform(0.5, 2, n)
    adata.obs["dpt_pseudotime"] = np.arange(n) / max(n - 1, 1)
    for tag in range(4):
        adata.obs[f"tag{tag}"] = rng.poisson(np.where(np.arange(n) % 4 == tag, 50, 3)).astype(int)
    adata.var["length"] = rng.integers(500, 3000, genes).astype(float)
    adata.var["marked"] = np.arange(genes) % 3 == 0
    adata.var["symbol"] = [f"S{i}" for i in range(genes)]
    adata.layers["log"] = sparse.csr_matrix(np.log1p(counts))
    adata.layers["spliced"] = adata.X.copy()
    adata.layers["unspliced"] = sparse.csr_matrix(rng.poisson(0.4 * rates[kind]).astype(np.float32))
    adata.layers["Ms"], adata.layers["Mu"] = counts + 0.5, 0.4 * counts + 0.2
    adata.layers["velocity"] = rng.normal(size=(n, genes)).astype(np.float32)
    adata.var["velocity_genes"] = True
    centres = rng.normal(0, 4, (groups, DIMS))
    adata.obsm["X_pca"] = (centres[kind] + rng.normal(size=(n, DIMS))).astype(np.float32)
    for name in ("umap", "tsne", "draw_graph_fa"):
        adata.obsm[f"X_{name}"] = adata.obsm["X_pca"][:, :2].copy()
    adata.obsm["velocity_umap"] = rng.normal(size=(n, 2))
    angle = 2 * np.pi * np.arange(n) / max(n, 1)
    waves = [np.full(n, 0.5**0.5), np.cos(angle), np.sin(angle), np.cos(2 * angle), np.sin(2 * angle)]
    adata.obsm["X_diffmap"] = ((2 / max(n, 1)) ** 0.5 * np.column_stack(waves)).astype(np.float32)
    adata.obsm["protein"] = rng.poisson(5, (n, 6)).astype(np.float32)
    adata.varm["PCs"] = rng.normal(size=(genes, DIMS)).astype(np.float32)
    adata.obsp["connectivities"], adata.obsp["distances"] = ring(n, 4, rng), ring(n, 4, rng)
    adata.uns["neighbors"] = {
        "connectivities_key": "connectivities",
        "distances_key": "distances",
        "params": {"n_neighbors": 9, "method": "umap", "metric": "euclidean", "use_rep": "X_pca"},
    }
    adata.uns["pca"] = {"variance": np.arange(DIMS, 0, -1.0), "variance_ratio": np.arange(DIMS, 0, -1.0) / 20}
    adata.uns["diffmap_evals"] = np.linspace(1, 0.8, DIMS).astype(np.float32)
    adata.uns["iroot"] = 0
    adata.uns["velocity_graph"] = adata.obsp["connectivities"].copy()
    adata.uns["velocity_graph_neg"] = -0.3 * adata.obsp["connectivities"]
    return adata


@cache
def _healthy(genes: int) -> ad.AnnData:
    adata = plain(CELLS, genes, 3)
    adata.X = adata.layers["log"].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.tl.rank_genes_groups(adata, "group", pts=True)
        zs.tl.paga(adata, "group")
        zs.pl.paga(adata)
        matplotlib.pyplot.close("all")
        if genes > 1:
            zs.tl.dendrogram(adata, "group")
            zs.pp.pca(adata, n_comps=DIMS)
            zs.pp.neighbors(adata)
        zs.tl.umap(adata, maxiter=5)
        zs.pp.scale(adata, layer="log", copy=True)
        centres = zs.pp.harmony_integrate(adata, "batch", n_clusters=3, copy=True)
    adata.uns["harmony"], adata.obsm["X_pca_harmony"] = centres.uns["harmony"], centres.obsm["X_pca_harmony"]
    adata.uns["scrublet"] = {"threshold": 0.2, "doublet_scores_sim": np.linspace(0, 1, 50), "parameters": {}}
    return adata


def healthy(genes: int = GENES) -> ad.AnnData:
    """Three groups, and what the tools keep in uns."""
    return _healthy(genes).copy()


def world(edge: str) -> ad.AnnData:
    n = {"no cells": 0, "one cell": 1}.get(edge, CELLS)
    genes = 1 if edge == "one gene" else GENES
    adata = plain(n, genes, 1 if edge == "one group" else 3)
    for name in ("rank_genes_groups", "paga", "dendrogram_group", "umap", "scrublet"):
        if name in healthy(genes).uns:
            adata.uns[name] = healthy(genes).uns[name]
    adata.obs["doublet_score"] = np.linspace(0, 1, n)
    adata.obs["predicted_doublet"] = adata.obs["doublet_score"] > 0.9
    adata.obs["umap_density_group"] = np.linspace(0, 1, n)
    adata.uns["umap_density_group_params"] = {"covariate": "group", "components": [0, 1]}
    if edge == "constant":
        for name in ("X", *adata.layers):
            shape = adata.shape
            same = np.full(shape, 2, np.float32)
            values = sparse.csr_matrix(same) if name == "X" or sparse.issparse(adata.layers[name]) else same
            if name == "X":
                adata.X = values
            else:
                adata.layers[name] = values
        for name in adata.obsm:
            adata.obsm[name] = np.ones_like(adata.obsm[name])
        for name in ("number", "size_factors", "dpt_pseudotime", "doublet_score", "umap_density_group"):
            adata.obs[name] = 1.0
        for tag in range(4):
            adata.obs[f"tag{tag}"] = 1
    if edge in ("nan", "inf"):
        bad = np.nan if edge == "nan" else np.inf
        for matrix in (adata.X, *adata.layers.values()):
            if sparse.issparse(matrix):
                matrix.data[5] = bad
            else:
                matrix[3, 1] = bad
        for name in adata.obsm:
            adata.obsm[name][3, 1] = bad
        for name in ("number", "size_factors", "dpt_pseudotime", "doublet_score", "umap_density_group"):
            adata.obs.loc["cell3", name] = bad
    return adata


def lists(w: ad.AnnData, k: int = 8) -> tuple[np.ndarray, np.ndarray]:
    """(n, k) neighbours on a ring, each cell first, and distances."""
    n = w.n_obs
    indices = (np.arange(n)[:, None] + np.arange(min(k, n))) % max(n, 1)
    return indices.astype(np.uint32), np.tile(np.arange(indices.shape[1], dtype=np.float32), (n, 1))


def codes(w: ad.AnnData, name: str = "group") -> np.ndarray:
    return w.obs[name].cat.codes.to_numpy()


def positions(n: int) -> pd.DataFrame:
    return pd.DataFrame({
        "gene_name": ["A", "B"], "chrom": ["chr1", "chr1"], "start": [5000, 9000], "end": [6000, 9500], "strand": ["+", "-"],
    })  # fmt: skip


def peaked(w: ad.AnnData) -> ad.AnnData:
    w.var_names = [f"chr1:{100 * i + 3000}-{100 * i + 3050}" for i in range(w.n_vars)]
    return w


def logged(w: ad.AnnData) -> ad.AnnData:
    w.X = w.layers["log"].copy()
    return w


def half(genes: int) -> ad.AnnData:
    sketch = healthy(genes)[::2].copy()
    if genes > 1:
        zs.pp.pca(sketch, n_comps=DIMS)
    return sketch


def marked(w: ad.AnnData) -> str:
    w.obs["marked"] = np.arange(w.n_obs) % 2 == 0
    return "marked"


def model(w: ad.AnnData):
    return zs.tl.train_classifier(healthy(w.n_vars), "group")


def design(w: ad.AnnData) -> np.ndarray:
    return np.column_stack([np.ones(w.n_obs), np.arange(w.n_obs) % 2]).astype(float)


def indexed(w: ad.AnnData):
    with tempfile.TemporaryDirectory() as folder:
        return zs.arrays.build_index(w.obsm["X_pca"], f"{folder}/index").neighbors(5)


def nearest(w: ad.AnnData):
    return zs.arrays.knn_query(healthy().obsm["X_pca"], w.obsm["X_pca"], n_neighbors=5)


PEAKS = pd.DataFrame(
    {"chrom": ["chr1"] * GENES, "start": 100 * np.arange(GENES) + 3000, "end": 100 * np.arange(GENES) + 3050}
)
GENE = "gene0"
PCA = {"n_comps": 3}
FEW = {"percent_top": (1,)}

#: Function -> a call of it on such data.
CASES = {
    "pp.bbknn": lambda w: zs.pp.bbknn(w),
    "pp.calculate_qc_metrics": lambda w: zs.pp.calculate_qc_metrics(
        w, percent_top=(1,), inplace=True, qc_vars=["marked"]
    ),
    "pp.clr": lambda w: zs.pp.clr(w, obsm="protein", key_added="clr"),
    "pp.combat": lambda w: zs.pp.combat(logged(w), "batch"),
    "pp.downsample_counts": lambda w: zs.pp.downsample_counts(w, counts_per_cell=5),
    "pp.dsb": lambda w: zs.pp.dsb(w, healthy(w.n_vars), key_added="dsb"),
    "pp.filter_cells": lambda w: zs.pp.filter_cells(w, min_genes=1),
    "pp.filter_genes": lambda w: zs.pp.filter_genes(w, min_cells=1),
    "pp.harmony_integrate": lambda w: zs.pp.harmony_integrate(w, "batch"),
    "pp.hashsolo": lambda w: zs.pp.hashsolo(w, [f"tag{i}" for i in range(4)]),
    "pp.highly_variable_genes": lambda w: zs.pp.highly_variable_genes(logged(w), n_top_genes=min(10, w.n_vars)),
    "pp.log1p": lambda w: zs.pp.log1p(w),
    "pp.moments": lambda w: zs.pp.moments(w),
    "pp.neighbors": lambda w: zs.pp.neighbors(w, use_rep="X_pca"),
    "pp.normalize_pearson_residuals": lambda w: zs.pp.normalize_pearson_residuals(w),
    "pp.normalize_size_factors": lambda w: zs.pp.normalize_size_factors(w),
    "pp.normalize_total": lambda w: zs.pp.normalize_total(w),
    "pp.normalize_tpm": lambda w: zs.pp.normalize_tpm(w),
    "pp.pca": lambda w: zs.pp.pca(logged(w), **PCA),
    "pp.pooled_size_factors": lambda w: zs.pp.pooled_size_factors(w),
    "pp.recipe": lambda w: zs.pp.recipe(
        ad.AnnData(w.X, w.obs[["batch"]], w.var[["symbol"]]),
        config={"filter": {"min_genes": 1, "min_cells": 1}, "pca": {"n_comps": 3}},
    ),
    "pp.regress_out": lambda w: zs.pp.regress_out(logged(w), ["number"]),
    "pp.sample": lambda w: zs.pp.sample(w, 0.5),
    "pp.scale": lambda w: zs.pp.scale(logged(w)),
    "pp.scrublet": lambda w: zs.pp.scrublet(w, n_prin_comps=3, batch_key="batch"),
    "pp.sketch": lambda w: zs.pp.sketch(w, fraction=0.5),
    "pp.sketch leverage": lambda w: zs.pp.sketch(logged(w), fraction=0.5, method="leverage"),
    "pp.spike_in_size_factors": lambda w: zs.pp.spike_in_size_factors(w),
    "pp.tfidf": lambda w: zs.pp.tfidf(w),
    "pp.wnn": lambda w: zs.pp.wnn(w, ["X_pca", "protein"]),
    "tl.annotate": lambda w: zs.tl.annotate(logged(w), model(w)),
    "tl.annotate_by_markers": lambda w: zs.tl.annotate_by_markers(
        logged(w), {"a": ["gene0"], "b": list(w.var_names[-1:])}
    ),
    "tl.dendrogram": lambda w: zs.tl.dendrogram(w, "group", use_rep="X_pca", key_added="tree"),
    "tl.diffmap": lambda w: zs.tl.diffmap(w, n_comps=5),
    "tl.dpt": lambda w: zs.tl.dpt(w, n_dcs=3),
    "tl.draw_graph": lambda w: zs.tl.draw_graph(w, maxiter=5),
    "tl.embedding_density": lambda w: zs.tl.embedding_density(w, groupby="group", key_added="dense"),
    "tl.fate_probabilities": lambda w: zs.tl.fate_probabilities(w, {"end": "cell79"}, n_dcs=3),
    "tl.filter_rank_genes_groups": lambda w: zs.tl.filter_rank_genes_groups(logged(w)),
    "tl.gene_activity": lambda w: zs.tl.gene_activity(peaked(w), positions(w.n_vars)),
    "tl.ingest": lambda w: zs.tl.ingest(logged(w), healthy(w.n_vars), obs="group", embedding_method="umap"),
    "tl.leiden": lambda w: zs.tl.leiden(w),
    "tl.louvain": lambda w: zs.tl.louvain(w),
    "tl.lsi": lambda w: zs.tl.lsi(w, n_comps=3),
    "tl.map_to_reference": lambda w: zs.tl.map_to_reference(logged(w), healthy(w.n_vars), obs="group"),
    "tl.marker_gene_overlap": lambda w: zs.tl.marker_gene_overlap(w, {"a": {"gene0"}, "b": {"gene1"}}),
    "tl.paga": lambda w: zs.tl.paga(w, "group"),
    "tl.project_sketch": lambda w: zs.tl.project_sketch(logged(w), half(w.n_vars), obs="group"),
    "tl.project_sketch half": lambda w: zs.tl.project_sketch(
        logged(w), marked(w), obs="group", umap=False, n_neighbors=3
    ),
    "tl.pseudobulk_test": lambda w: zs.tl.pseudobulk_test(
        w, ["donor", "half"], "half", contrast=("half", "h1", "h0"), min_cells=2, min_count=1, min_total_count=1
    ),
    "tl.rank_genes_groups": lambda w: zs.tl.rank_genes_groups(logged(w), "group", pts=True),
    "tl.rank_genes_groups wilcoxon": lambda w: zs.tl.rank_genes_groups(logged(w), "group", method="wilcoxon"),
    "tl.rank_genes_groups logreg": lambda w: zs.tl.rank_genes_groups(logged(w), "group", method="logreg"),
    "tl.score_genes": lambda w: zs.tl.score_genes(logged(w), [GENE], ctrl_size=5),
    "tl.score_genes_cell_cycle": lambda w: zs.tl.score_genes_cell_cycle(logged(w), s_genes=[GENE], g2m_genes=["gene1"]),
    "tl.train_classifier": lambda w: zs.tl.train_classifier(logged(w), "group"),
    "tl.transition_matrix": lambda w: zs.tl.transition_matrix(w),
    "tl.tsne": lambda w: zs.tl.tsne(w, use_rep="X_pca", perplexity=5),
    "tl.umap": lambda w: zs.tl.umap(w, maxiter=5),
    "tl.velocity": lambda w: zs.tl.velocity(w),
    "tl.velocity_embedding": lambda w: zs.tl.velocity_embedding(w, "umap"),
    "tl.velocity_graph": lambda w: zs.tl.velocity_graph(w),
    "get.aggregate": lambda w: zs.get.aggregate(w, "group", ["sum", "mean", "var", "count_nonzero", "median"]),
    "get.rank_genes_groups_df": lambda w: zs.get.rank_genes_groups_df(w, None),
    "metrics.adjusted_rand_index": lambda w: zs.metrics.adjusted_rand_index(w.obs["group"], w.obs["batch"]),
    "metrics.clisi": lambda w: zs.metrics.clisi(w.obsm["X_pca"], w.obs["group"]),
    "metrics.ilisi": lambda w: zs.metrics.ilisi(w.obsm["X_pca"], w.obs["batch"]),
    "metrics.kbet": lambda w: zs.metrics.kbet(w.obsm["X_pca"], w.obs["batch"], n_neighbors=10),
    "metrics.knn_recall": lambda w: zs.metrics.knn_recall(w.obsm["X_pca"], lists(w)[0]),
    "metrics.lisi": lambda w: zs.metrics.lisi(w.obsm["X_pca"], w.obs["batch"]),
    "metrics.modularity": lambda w: zs.metrics.modularity(w, "group"),
    "metrics.neighbor_preservation": lambda w: zs.metrics.neighbor_preservation(w.obsm["X_pca"], w.obsm["X_umap"]),
    "metrics.normalized_mutual_information": lambda w: zs.metrics.normalized_mutual_information(
        w.obs["group"], w.obs["batch"]
    ),
    "metrics.silhouette": lambda w: zs.metrics.silhouette(w.obsm["X_pca"], w.obs["group"]),
    "metrics.trustworthiness": lambda w: zs.metrics.trustworthiness(w.obsm["X_pca"], w.obsm["X_umap"]),
    "arrays.aggregate": lambda w: zs.arrays.aggregate(w.X, codes(w), func=("sum", "mean", "var", "median"), n_groups=3),
    "arrays.bbknn": lambda w: zs.arrays.bbknn(w.obsm["X_pca"], w.obs["batch"]),
    "arrays.build_index": lambda w: indexed(w),
    "arrays.check_counts": lambda w: zs.arrays.check_counts(w.X),
    "arrays.clr": lambda w: zs.arrays.clr(w.X),
    "arrays.combat": lambda w: zs.arrays.combat(w.layers["log"], codes(w, "batch")),
    "arrays.connectivities": lambda w: zs.arrays.connectivities(*lists(w)),
    "arrays.diffmap": lambda w: zs.arrays.diffmap(w.obsp["connectivities"], n_comps=5),
    "arrays.downsample_counts": lambda w: zs.arrays.downsample_counts(w.X, total_counts=50),
    "arrays.dsb": lambda w: zs.arrays.dsb(w.obsm["protein"], healthy().obsm["protein"]),
    "arrays.fate_probabilities": lambda w: zs.arrays.fate_probabilities(
        w.obsm["X_diffmap"],
        w.uns["diffmap_evals"],
        w.obs["dpt_pseudotime"].to_numpy(),
        terminal=np.where(np.arange(w.n_obs) == w.n_obs - 1, 0, -1),
        n_dcs=3,
    ),
    "arrays.filter_cells": lambda w: zs.arrays.filter_cells(w.X, min_counts=1),
    "arrays.filter_genes": lambda w: zs.arrays.filter_genes(w.X, min_counts=1),
    "arrays.force_atlas": lambda w: zs.arrays.force_atlas(w.obsp["connectivities"], maxiter=5),
    "arrays.gaussian_density": lambda w: zs.arrays.gaussian_density(w.obsm["X_umap"]),
    "arrays.gene_activity": lambda w: zs.arrays.gene_activity(
        w.X,
        (np.zeros(w.n_vars, np.uint32), 100 * np.arange(w.n_vars), 100 * np.arange(w.n_vars) + 50),
        (np.zeros(2, np.uint32), np.array([0, 900]), np.array([500, 2000])),
    ),
    "arrays.harmony": lambda w: zs.arrays.harmony(w.obsm["X_pca"], w.obs["batch"]),
    "arrays.harmony_map": lambda w: zs.arrays.harmony_map(
        w.obsm["X_pca"],
        np.zeros(w.n_obs, np.uint32),
        centroids=healthy().uns["harmony"]["centroids"],
        cluster_sizes=healthy().uns["harmony"]["cluster_sizes"],
        cluster_sums=healthy().uns["harmony"]["cluster_sums"],
    ),
    "arrays.hashsolo": lambda w: zs.arrays.hashsolo(w.obs[[f"tag{i}" for i in range(4)]]),
    "arrays.highly_variable_genes": lambda w: zs.arrays.highly_variable_genes(w.layers["log"], n_top_genes=1),
    "arrays.highly_variable_genes v3": lambda w: zs.arrays.highly_variable_genes(
        w.X, flavor="seurat_v3", n_top_genes=1
    ),
    "arrays.knn": lambda w: zs.arrays.knn(w.obsm["X_pca"], 5),
    "arrays.knn_query": lambda w: nearest(w),
    "arrays.leiden": lambda w: zs.arrays.leiden(w.obsp["connectivities"]),
    "arrays.leverage_scores": lambda w: zs.arrays.leverage_scores(w.layers["log"], groups=w.obs["half"], n_comps=3),
    "arrays.leverage_scores all genes": lambda w: zs.arrays.leverage_scores(w.layers["log"], n_comps=None),
    "arrays.loess": lambda w: zs.arrays.loess(w.obs["number"].to_numpy(), w.obs["size_factors"].to_numpy()),
    "arrays.log1p": lambda w: zs.arrays.log1p(w.X),
    "arrays.logistic_regression": lambda w: zs.arrays.logistic_regression(w.layers["log"], w.obs["group"]),
    "arrays.louvain": lambda w: zs.arrays.louvain(w.obsp["connectivities"]),
    "arrays.lowess": lambda w: zs.arrays.lowess(w.obs["number"].to_numpy(), w.obs["size_factors"].to_numpy()),
    "arrays.modularity": lambda w: zs.arrays.modularity(w.obsp["connectivities"], w.obs["group"]),
    "arrays.moments": lambda w: zs.arrays.moments(w.obsp["connectivities"], w.X),
    "arrays.neighbors_graph": lambda w: zs.arrays.neighbors_graph(w.obsm["X_pca"], 5),
    "arrays.normalize_total": lambda w: zs.arrays.normalize_total(w.X),
    "arrays.normalize_tpm": lambda w: zs.arrays.normalize_tpm(w.X, w.var["length"].to_numpy()),
    "arrays.paga": lambda w: zs.arrays.paga(w.obsp["connectivities"], codes(w)),
    "arrays.paga_transitions": lambda w: zs.arrays.paga_transitions(w.uns["velocity_graph"], codes(w), n_neighbors=9),
    "arrays.partition_agreement": lambda w: zs.arrays.partition_agreement(w.obs["group"], w.obs["batch"]),
    "arrays.pca": lambda w: zs.arrays.pca(w.layers["log"], **PCA),
    "arrays.pca_project": lambda w: zs.arrays.pca_project(w.layers["log"], w.varm["PCs"].T.copy()),
    "arrays.pearson_residuals": lambda w: zs.arrays.pearson_residuals(w.X),
    "arrays.pooled_size_factors": lambda w: zs.arrays.pooled_size_factors(w.X),
    "arrays.pseudobulk_test": lambda w: zs.arrays.pseudobulk_test(
        w.X.toarray() + 10, design(w), [0, 1], min_count=0.01, min_total_count=0.01
    ),
    "arrays.pseudotime": lambda w: zs.arrays.pseudotime(
        w.obsp["connectivities"], w.obsm["X_diffmap"], w.uns["diffmap_evals"], root=0, n_dcs=3
    ),
    "arrays.dpt_branchings": lambda w: zs.arrays.dpt_branchings(
        w.obsp["connectivities"], w.obsm["X_diffmap"], w.uns["diffmap_evals"], root=0, n_dcs=3
    ),
    "arrays.qc_metrics": lambda w: zs.arrays.qc_metrics(w.X, percent_top=(1,)),
    "arrays.rank_genes_groups": lambda w: zs.arrays.rank_genes_groups(w.layers["log"], w.obs["group"]),
    "arrays.raster_points": lambda w: zs.arrays.raster_points(w.obsm["X_umap"], width=20, height=20),
    "arrays.regress_out": lambda w: zs.arrays.regress_out(w.layers["log"], w.obs[["number"]].to_numpy()),
    "arrays.sample_weighted": lambda w: zs.arrays.sample_weighted(w.obs["size_factors"], w.n_obs // 2),
    "arrays.scale": lambda w: zs.arrays.scale(w.layers["log"]),
    "arrays.score_genes": lambda w: zs.arrays.score_genes(w.layers["log"], [0], ctrl_size=3),
    "arrays.scrublet": lambda w: zs.arrays.scrublet(w.X, n_prin_comps=3),
    "arrays.size_factors": lambda w: zs.arrays.size_factors(w.X),
    "arrays.sketch_geometric": lambda w: zs.arrays.sketch_geometric(w.obsm["X_pca"], w.n_obs // 2),
    "arrays.spike_in_size_factors": lambda w: zs.arrays.spike_in_size_factors(w.X, np.arange(w.n_vars) >= w.n_vars - 2),
    "arrays.tfidf": lambda w: zs.arrays.tfidf(w.X),
    "arrays.transition_matrix": lambda w: zs.arrays.transition_matrix(w.uns["velocity_graph"]),
    "arrays.tsne": lambda w: zs.arrays.tsne(w.obsm["X_pca"], perplexity=5, n_iter=5, early_exaggeration_iter=2),
    "arrays.umap": lambda w: zs.arrays.umap(w.obsp["connectivities"], maxiter=5),
    "arrays.umap_curve": lambda w: zs.arrays.umap_curve(),
    "arrays.umap_place": lambda w: zs.arrays.umap_place(
        nearest(w), healthy().obsm["X_umap"], a=0.58, b=1.33, maxiter=5
    ),
    "arrays.velocity": lambda w: zs.arrays.velocity(
        w.layers["Ms"],
        w.layers["Mu"],
        spliced=w.layers["spliced"],
        unspliced=w.layers["unspliced"],
        graph=w.obsp["connectivities"],
    ),
    "arrays.velocity_embedding": lambda w: zs.arrays.velocity_embedding(
        zs.arrays.transition_matrix(w.uns["velocity_graph"]), w.obsm["X_umap"]
    ),
    "arrays.velocity_graph": lambda w: zs.arrays.velocity_graph(
        w.layers["Ms"], w.layers["velocity"], w.obsp["distances"]
    ),
    "arrays.vote": lambda w: zs.arrays.vote(lists(w)[0], w.obs["group"]),
    "arrays.wnn": lambda w: zs.arrays.wnn([w.obsm["X_pca"], w.obsm["protein"]]),
    "pl.dendrogram": lambda w: zs.pl.dendrogram(w, "group"),
    "pl.diffmap": lambda w: zs.pl.diffmap(w, color="group"),
    "pl.dotplot": lambda w: zs.pl.dotplot(logged(w), [GENE], "group"),
    "pl.draw_graph": lambda w: zs.pl.draw_graph(w, layout="fa", color="number"),
    "pl.embedding": lambda w: zs.pl.embedding(w, "umap", color=["group", GENE, "number"]),
    "pl.embedding_density": lambda w: zs.pl.embedding_density(w, groupby="group"),
    "pl.heatmap": lambda w: zs.pl.heatmap(logged(w), [GENE], "group"),
    "pl.highest_expr_genes": lambda w: zs.pl.highest_expr_genes(w, n_top=3),
    "pl.highly_variable_genes": lambda w: zs.pl.highly_variable_genes(
        zs.pp.highly_variable_genes(logged(w), n_top_genes=1, inplace=False)
    ),
    "pl.matrixplot": lambda w: zs.pl.matrixplot(logged(w), [GENE], "group", standard_scale="var"),
    "pl.paga": lambda w: zs.pl.paga(w),
    "pl.pca": lambda w: zs.pl.pca(w, color="group", annotate_var_explained=True),
    "pl.pca_loadings": lambda w: zs.pl.pca_loadings(w, n_points=2, components=[1]),
    "pl.pca_variance_ratio": lambda w: zs.pl.pca_variance_ratio(w),
    "pl.rank_genes_groups": lambda w: zs.pl.rank_genes_groups(w, n_genes=2),
    "pl.rank_genes_groups_dotplot": lambda w: zs.pl.rank_genes_groups_dotplot(logged(w), n_genes=2),
    "pl.rank_genes_groups_heatmap": lambda w: zs.pl.rank_genes_groups_heatmap(logged(w), n_genes=2),
    "pl.rank_genes_groups_matrixplot": lambda w: zs.pl.rank_genes_groups_matrixplot(logged(w), n_genes=2),
    "pl.rank_genes_groups_stacked_violin": lambda w: zs.pl.rank_genes_groups_stacked_violin(logged(w), n_genes=2),
    "pl.rank_genes_groups_tracksplot": lambda w: zs.pl.rank_genes_groups_tracksplot(logged(w), n_genes=2),
    "pl.rank_genes_groups_violin": lambda w: zs.pl.rank_genes_groups_violin(logged(w), n_genes=2),
    "pl.scrublet_score_distribution": lambda w: zs.pl.scrublet_score_distribution(w),
    "pl.stacked_violin": lambda w: zs.pl.stacked_violin(logged(w), [GENE], "group"),
    "pl.tracksplot": lambda w: zs.pl.tracksplot(logged(w), [GENE], "group"),
    "pl.tsne": lambda w: zs.pl.tsne(w, color="group"),
    "pl.umap": lambda w: zs.pl.umap(w, color=["group", GENE]),
    "pl.velocity_embedding": lambda w: zs.pl.velocity_embedding(w),
    "pl.velocity_embedding_grid": lambda w: zs.pl.velocity_embedding_grid(w),
    "pl.velocity_embedding_stream": lambda w: zs.pl.velocity_embedding_stream(w, density=0.4),
    "pl.violin": lambda w: zs.pl.violin(logged(w), [GENE, "number"], "group"),
}

#: (function, edge) -> why its result may hold values that are not finite.
NOT_A_NUMBER: dict[tuple[str, str], str] = {
    ("pp.calculate_qc_metrics", "one gene"): "a cell without counts has no shares (scanpy)",
    ("pp.highly_variable_genes", "one cell"): "the logarithm of a dispersion of 0 (scanpy)",
    ("pp.highly_variable_genes", "constant"): "the logarithm of a dispersion of 0 (scanpy)",
    **{
        (name, edge): "element by element"
        for name in ("pp.log1p", "arrays.log1p", "pp.sample")
        for edge in ("nan", "inf")
    },
    **{
        (name, edge): "a sum of what is there"
        for name in ("tl.gene_activity", "get.aggregate")
        for edge in ("nan", "inf")
    },
    **{("arrays.aggregate", edge): "a sum of what is there" for edge in ("nan", "inf")},
    ("get.aggregate", "one cell"): "a variance of one cell with one degree of freedom less",
    ("arrays.aggregate", "one cell"): "a variance of one cell with one degree of freedom less",
    ("arrays.aggregate", "no cells"): "means of no cells",
    ("arrays.aggregate", "one group"): "means of groups without cells",
    ("tl.pseudobulk_test", "constant"): "infinite degrees of freedom of the prior: all genes vary alike",
    ("arrays.pseudobulk_test", "constant"): "infinite degrees of freedom of the prior: all genes vary alike",
}


def test_every_public_function_has_a_case():
    public = {
        f"{short}.{name}"
        for short, module in MODULES.items()
        for name in module.__all__
        if inspect.isfunction(getattr(module, name))
    }
    # Volumes, cells and tracks have edges of their own: test_pl_volume.py, test_pl_regions.py, test_pl_organoid.py, test_im_*.py.
    imaging = {"pl.volume", "pl.regions", "pl.atlas_slices", "pl.organoid", "pl.radial_profile", *(f"metrics.{name}_scores" for name in ("detection", "segmentation", "ctc"))}
    # Those of cells in tissue are in test_sp_*.py, test_pl_spatial.py and test_pl_sp_statistics.py.
    tissue = {f"{short}.{name}" for short in ("arrays", "pl") for name in zs.sp.__all__} | {"pl.spatial", "pl.niches"}
    tissue |= {f"arrays.{name}" for name in ("aggregate_neighbors", "compare_samples", "gaussian_mixture", "neighborhood_profile")}
    tissue |= {f"arrays.{name}" for name in ("align_points", "coherent_point_drift", "landmark_transform", "match_points")}
    mapped = ("label_shares", "map_candidates", "neighbor_weights", "nnls", "principal_vectors", "tangram", "weighted_places", "weighted_rows")
    tissue |= {"metrics.imputation_scores", *(f"arrays.{name}" for name in mapped)}
    assert public - imaging - tissue == {name.split()[0] for name in CASES}
    assert {name for name, _ in NOT_A_NUMBER} <= set(CASES)


def numbers(thing, path: str = "result"):
    """(path, array of floats) of everything in a result."""
    if isinstance(thing, ad.AnnData):
        for slot in ("X", "obs", "var"):
            yield from numbers(getattr(thing, slot), f"{path}.{slot}")
        for slot in ("layers", "obsm", "varm", "obsp", "uns"):
            for key, value in getattr(thing, slot).items():
                if (slot, key) == ("uns", "zensaibo"):
                    continue  # the options of the calls, among them infinite limits
                yield from numbers(value, f"{path}.{slot}[{key}]")
    elif isinstance(thing, pd.DataFrame):
        for column in thing:
            yield from numbers(thing[column], f"{path}.{column}")
    elif isinstance(thing, pd.Series):
        yield from numbers(thing.to_numpy(), path)
    elif sparse.issparse(thing):
        yield from numbers(thing.tocsr().data, path)
    elif isinstance(thing, np.ndarray):
        if thing.dtype.names:
            for name in thing.dtype.names:
                yield from numbers(thing[name], f"{path}.{name}")
        elif thing.dtype.kind == "f":
            yield path, thing
    elif isinstance(thing, (float, np.floating)):
        yield path, np.asarray([thing])
    elif isinstance(thing, dict):
        for key, value in thing.items():
            yield from numbers(value, f"{path}[{key}]")
    elif isinstance(thing, zs.arrays.Aggregated):
        yield from numbers(thing.tables, path)
    elif hasattr(thing, "_asdict"):
        yield from numbers(thing._asdict(), path)
    elif isinstance(thing, (list, tuple)):
        for place, value in enumerate(thing):
            yield from numbers(value, f"{path}[{place}]")


def attempt(name: str, edge: str) -> str | None:
    """None where the call behaves; else what it did. On ordinary data an error is no good behaviour."""
    w = world(edge)
    before = {path: array.copy() for path, array in numbers(logged(w.copy()))}
    before_raw = {path: array.copy() for path, array in numbers(w)}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", RuntimeWarning)
            result = CASES[name](w)
            if name.startswith("pl."):
                for number in matplotlib.pyplot.get_fignums():
                    matplotlib.pyplot.figure(number).canvas.draw()
    except zs.errors.ZensaiboError as error:
        text = str(error)
        if edge == "ordinary":
            return f"{type(error).__name__}: {text}"
        # "what: expected this, found that", or a name in backticks with what is present.
        if not re.search(r"^[^:]*[\w\]')]: .*expected .*found |`[^`]+`.*(expected|present|found)", text, re.DOTALL):
            return f"error does not name what it is about, what was expected and what was found: {type(error).__name__}: {text}"
        return None
    except BaseException as error:  # a panic of Rust is no Exception
        if isinstance(error, KeyboardInterrupt):
            raise
        return f"{type(error).__name__}: {error}"
    finally:
        matplotlib.pyplot.close("all")
    if name.startswith("pl."):
        return None
    for path, array in [*numbers(result), *numbers(w)]:
        same = [old[path] for old in (before, before_raw) if path in old]
        if any(old.shape == array.shape and np.array_equal(old, array, equal_nan=True) for old in same):
            continue
        if not np.isfinite(array).all():
            if (name, edge) in NOT_A_NUMBER:
                return None
            return f"{path}: {np.size(array) - np.isfinite(array).sum()} of {array.size} values are not finite"
    return (
        f"all values are finite, and not, as listed, {NOT_A_NUMBER[name, edge]}"
        if (name, edge) in NOT_A_NUMBER
        else None
    )


@pytest.mark.parametrize("name", CASES)
def test_the_case_is_one(name):
    """On ordinary data the call ends well: what is refused below is refused for the data."""
    assert (found := attempt(name, "ordinary")) is None, found


@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("name", CASES)
def test_hardly_data(name, edge):
    assert (found := attempt(name, edge)) is None, found
