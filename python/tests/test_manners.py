"""The manners of the public API: documented, few positional parameters, one source of defaults, the same bits for any
number of threads from counts to markers."""

from __future__ import annotations

import ast
import inspect
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import _core

MODULES = (zs.arrays, zs.pp, zs.tl, zs.sp, zs.pl, zs.get, zs.im, zs.io, zs.metrics, zs.datasets)
FUNCTIONS = [
    pytest.param(getattr(module, name), id=f"{module.__name__.split('.')[-1]}.{name}")
    for module in MODULES
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_every_public_function_is_documented(function):
    text = inspect.getdoc(function)
    assert text and len(text) > 80, function
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD and name != "progress":
            assert name in text or "pl" in function.__module__, f"{function.__name__}: `{name}` is not in its docstring"


@pytest.mark.parametrize("function", FUNCTIONS)
def test_few_positional_parameters(function):
    positional = [
        name
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind in (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    ]
    # `im.open(source, spacing, orientation, channel)` is how volumes are named everywhere.
    assert len(positional) <= (4 if function is zs.im.open else 3), positional
    assert "copy" not in positional


#: Options struct -> functions whose keywords carry its defaults.
CARRIERS = {
    "bbknn": [zs.arrays.bbknn, zs.pp.bbknn],
    "map_to_reference": [zs.arrays.harmony_map],
    "hashsolo": [zs.arrays.hashsolo, zs.pp.hashsolo],
    "scrublet": [zs.arrays.scrublet, zs.pp.scrublet],
    "harmony_integrate": [zs.arrays.harmony, zs.pp.harmony_integrate],
    "pca": [zs.arrays.pca],
    "knn": [zs.arrays.knn],
    "build_index": [zs.arrays.build_index],
    "search_index": [zs.arrays.NeighborIndex.neighbors, zs.arrays.NeighborIndex.query],
    "connectivities": [zs.arrays.connectivities],
    "leiden": [zs.arrays.leiden, zs.tl.leiden],
    "louvain": [zs.arrays.louvain],
    "diffmap": [zs.arrays.diffmap, zs.tl.diffmap],
    "dpt": [zs.arrays.pseudotime, zs.tl.dpt],
    "dpt_branchings": [zs.arrays.dpt_branchings, zs.tl.dpt],
    "draw_graph": [zs.arrays.force_atlas, zs.tl.draw_graph],
    "fate_probabilities": [zs.arrays.fate_probabilities, zs.tl.fate_probabilities],
    "tsne": [zs.arrays.tsne, zs.tl.tsne],
    "paga": [zs.arrays.paga, zs.tl.paga],
    "transition_matrix": [zs.arrays.transition_matrix, zs.tl.transition_matrix],
    "umap": [zs.arrays.umap, zs.tl.umap],
    "velocity": [zs.arrays.velocity, zs.tl.velocity],
    "velocity_embedding": [zs.arrays.velocity_embedding, zs.tl.velocity_embedding],
    "velocity_graph": [zs.arrays.velocity_graph],
    "im_distance_transform": [zs.im.distance_transform],
    "im_gaussian": [zs.im.gaussian],
    "im_compare_regions": [zs.im.compare_regions],
    "im_compare_volumes": [zs.im.compare_volumes],
    "im_density_volume": [zs.im.density_volume],
    "im_destripe": [zs.im.destripe],
    "im_estimate_flatfield": [zs.im.estimate_flatfield],
    "im_difference_of_gaussians": [zs.im.difference_of_gaussians],
    "im_downsample": [zs.im.downsample],
    "im_gaussian_laplace": [zs.im.gaussian_laplace],
    "im_local_contrast": [zs.im.local_contrast],
    "im_median": [zs.im.median],
    "im_morphology": [zs.im.erosion, zs.im.dilation, zs.im.opening, zs.im.closing, zs.im.white_tophat],
    "im_resample": [zs.im.resample],
    "im_rolling_ball": [zs.im.rolling_ball],
    "im_subtract_background": [zs.im.subtract_background],
    "im_label": [zs.im.label],
    "im_organoid": [zs.im.organoid],
    "im_phantom": [zs.datasets.phantom_volume],
    "im_region_properties": [zs.im.region_properties],
    "im_register": [zs.im.register],
    "im_segment_nuclei": [zs.im.segment_nuclei],
    "im_stitch": [zs.im.stitch],
    "im_fuse": [zs.im.stitch],
    "im_watershed": [zs.im.watershed],
    "detect_cells": [zs.im.detect_cells],
    "train_cell_classifier": [zs.im.train_cell_classifier],
    "boosted_trees": [zs.im.train_cell_classifier],
    "im_track": [zs.im.track],
    "highly_variable_genes": [zs.arrays.highly_variable_genes],
    "normalize_total": [zs.arrays.size_factors, zs.arrays.normalize_total, zs.pp.normalize_total],
    "rank_genes_groups": [zs.arrays.rank_genes_groups],
    "filter_cells": [zs.arrays.filter_cells, zs.pp.filter_cells],
    "filter_genes": [zs.arrays.filter_genes, zs.pp.filter_genes],
    "calculate_qc_metrics": [zs.arrays.qc_metrics, zs.pp.calculate_qc_metrics],
    "simulate": [zs.datasets.simulate],
    "sketch_geometric": [zs.arrays.sketch_geometric],
    "leverage_scores": [zs.arrays.leverage_scores, zs.pp.sketch],
    "normalize_pearson_residuals": [zs.arrays.pearson_residuals, zs.pp.normalize_pearson_residuals],
    "combat": [zs.arrays.combat],
    "downsample_counts": [zs.arrays.downsample_counts, zs.pp.downsample_counts],
    "pooled_size_factors": [zs.arrays.pooled_size_factors, zs.pp.pooled_size_factors],
    "downsample_counts": [zs.arrays.downsample_counts, zs.pp.downsample_counts],
    "raster": [zs.arrays.raster_points],
    "aggregate": [zs.arrays.aggregate],
    "clr": [zs.arrays.clr, zs.pp.clr],
    "dsb": [zs.arrays.dsb, zs.pp.dsb],
    "tfidf": [zs.arrays.tfidf, zs.pp.tfidf],
    "wnn": [zs.arrays.wnn, zs.pp.wnn],
    "logistic": [zs.arrays.logistic_regression, zs.tl.train_classifier],
    "pseudobulk_test": [zs.arrays.pseudobulk_test, zs.tl.pseudobulk_test],
    "scale": [zs.arrays.scale, zs.pp.scale],
    "align": [zs.arrays.align_points, zs.arrays.match_points, zs.sp.align],
    "coherent_point_drift": [zs.arrays.coherent_point_drift],
    "landmark_transform": [zs.arrays.landmark_transform],
    "deconvolve": [zs.arrays.deconvolve, zs.sp.deconvolve],
    "neighbor_weights": [zs.arrays.neighbor_weights, zs.sp.map_cells],
    "principal_vectors": [zs.arrays.principal_vectors, zs.sp.map_cells],
    "tangram": [zs.arrays.tangram, zs.sp.map_cells],
    "spatial_neighbors_knn": [
        zs.arrays.spatial_neighbors_knn,
        zs.arrays.spatial_neighbors_grid,
        zs.sp.spatial_neighbors_knn,
        zs.sp.spatial_neighbors_grid,
    ],
    "nhood_enrichment": [zs.arrays.nhood_enrichment, zs.sp.nhood_enrichment],
    "gaussian_mixture": [zs.arrays.gaussian_mixture],
    "bivariate": [zs.arrays.bivariate, zs.sp.bivariate],
    "spatial_autocorr": [zs.arrays.spatial_autocorr, zs.sp.spatial_autocorr],
    "ripley": [zs.arrays.ripley, zs.sp.ripley],
    "ligrec": [zs.arrays.ligrec, zs.sp.ligrec],
}


@pytest.mark.parametrize("name", CARRIERS)
def test_python_defaults_are_the_rust_defaults(name):
    rust = json.loads(_core.option_defaults())[name]["defaults"]
    for function in CARRIERS[name]:
        shared = 0
        for keyword, parameter in inspect.signature(function).parameters.items():
            if keyword not in rust or parameter.default is inspect.Parameter.empty:
                continue
            shared += 1
            ours, theirs = parameter.default, rust[keyword]
            if isinstance(ours, float) and math.isinf(ours):
                ours = "inf" if ours > 0 else "-inf"
            if name == "raster" and keyword == "background":
                ours = [round(255 * value) for value in ours]
            if isinstance(ours, tuple):
                ours = list(ours)
            assert ours == theirs, f"{function.__module__}.{function.__name__}({keyword})"
        assert shared, f"{function.__name__} carries none of the options of {name}"


def test_every_options_struct_has_a_carrier():
    assert set(CARRIERS) == set(json.loads(_core.option_defaults()))


#: Public functions of pp and tl that give something back and leave the AnnData as it was.
RETURNERS = {"compare_region_composition", "marker_gene_overlap", "train_classifier", "transition_matrix"}
#: Recorded by the pipeline itself, in Rust.
RECORDED_ELSEWHERE = {"recipe"}


def _recorded_names() -> dict[str, set[str]]:
    """Names under which each file of the package records what was run: the second arguments of `record`."""
    found: dict[str, set[str]] = {}
    package = Path(zs.__file__).parent
    for path in sorted(package.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "record":
                key = node.args[1]
                values = [key.body, key.orelse] if isinstance(key, ast.IfExp) else [key]
                assert all(isinstance(value, ast.Constant) for value in values), f"{path}: {ast.unparse(node)}"
                found.setdefault(path.parent.name, set()).update(value.value for value in values)
    return found


def test_provenance_stands_under_the_bare_name_of_each_function():
    found = _recorded_names()
    assert set(found) == {"pp", "tl", "sp", "im", "datasets"}
    for module in (zs.pp, zs.tl, zs.sp, zs.im, zs.datasets):
        public = {name for name in module.__all__ if inspect.isfunction(getattr(module, name))}
        recorded = found[module.__name__.split(".")[-1]]
        assert recorded <= public, recorded - public
        if module in (zs.pp, zs.tl, zs.sp):
            assert public - recorded == public & (RETURNERS | RECORDED_ELSEWHERE), public - recorded
    # One name, one function: the modules share the dictionary.
    assert not set(zs.pp.__all__) & set(zs.tl.__all__) and not set(zs.sp.__all__) & {*zs.pp.__all__, *zs.tl.__all__}


def test_provenance_has_a_version_and_options_and_goes_through_a_file(small, tmp_path):
    import anndata

    zs.pp.normalize_total(small)
    zs.pp.log1p(small)
    zs.pp.pca(small, n_comps=5)
    zs.pp.neighbors(small)
    for tool in (zs.tl.leiden, zs.tl.louvain, zs.tl.umap, zs.tl.tsne, zs.tl.diffmap, zs.tl.draw_graph):
        tool(small)
    zs.tl.paga(small, "group")
    zs.tl.dendrogram(small, "group")
    zs.tl.rank_genes_groups(small, "group")
    zs.tl.score_genes_cell_cycle(small, s_genes=list(small.var_names[:4]), g2m_genes=list(small.var_names[4:9]))
    small.write(tmp_path / "a.h5ad")
    for adata in (small, anndata.read_h5ad(tmp_path / "a.h5ad")):
        stored = adata.uns["zensaibo"]
        assert set(stored) == {
            "normalize_total", "log1p", "pca", "neighbors", "leiden", "louvain", "umap", "tsne", "diffmap", "draw_graph",
            "paga", "dendrogram", "rank_genes_groups", "score_genes", "score_genes_cell_cycle",
        }
        for entry in stored.values():
            assert set(entry) == {"version", "options"} and entry["version"] == zs.__version__ and len(entry["options"])


def _spine(adata, threads: int):
    adata = adata.copy()
    zs.pp.calculate_qc_metrics(adata, percent_top=(50,), inplace=True, threads=threads)
    zs.pp.filter_cells(adata, min_genes=20, threads=threads)
    zs.pp.filter_genes(adata, min_cells=3, threads=threads)
    v3 = zs.pp.highly_variable_genes(adata, flavor="seurat_v3", n_top_genes=60, inplace=False, threads=threads)
    zs.pp.normalize_total(adata, target_sum=1e4, threads=threads)
    zs.pp.log1p(adata, threads=threads)
    zs.pp.highly_variable_genes(adata, n_top_genes=60, threads=threads)
    zs.pp.pca(adata, n_comps=20, threads=threads)
    zs.pp.neighbors(adata, threads=threads)
    zs.tl.leiden(adata, threads=threads)
    zs.tl.umap(adata, maxiter=60, threads=threads)
    markers = {}
    for method in ("t-test", "t-test_overestim_var", "wilcoxon"):
        zs.tl.rank_genes_groups(adata, "group", method=method, pts=True, threads=threads)
        markers[method] = adata.uns["rank_genes_groups"]
    arrays = {
        "obs": adata.obs.select_dtypes("number").to_numpy(np.float64),
        "var": adata.var.select_dtypes("number").to_numpy(np.float64),
        "v3": v3.select_dtypes("number").to_numpy(np.float64),
        "X": adata.X.data,
        "pca": adata.obsm["X_pca"],
        "PCs": adata.varm["PCs"],
        "distances": adata.obsp["distances"].data,
        "connectivities": adata.obsp["connectivities"].data,
        "leiden": adata.obs["leiden"].cat.codes.to_numpy(),
        "umap": adata.obsm["X_umap"],
    }
    for method, found in markers.items():
        for field in ("scores", "pvals", "pvals_adj", "logfoldchanges"):
            arrays[f"{method} {field}"] = np.array(found[field].tolist())
    return {key: np.ascontiguousarray(value).tobytes() for key, value in arrays.items()}


def test_the_same_bits_for_any_number_of_threads_from_counts_to_markers(pbmc3k):
    pbmc3k.obs["group"] = np.where(np.arange(pbmc3k.n_obs) % 3 == 0, "a", "b")
    pbmc3k.obs["group"] = pbmc3k.obs["group"].astype("category")
    one = _spine(pbmc3k, 1)
    for threads in (2, 8):
        other = _spine(pbmc3k, threads)
        assert [key for key in one if one[key] != other[key]] == []


def test_dense_and_sparse_give_the_same_bits_from_counts_to_markers(small):
    dense = small.copy()
    dense.X = small.X.toarray()
    one, other = _spine(small, 2), _spine(dense, 2)
    del one["X"], other["X"]  # stored differently
    assert [key for key in one if one[key] != other[key]] == []
    assert sparse.issparse(small.X)


def test_each_half_is_loaded_without_the_other():
    program = "import sys, zensaibo as zs; zs.im.register; print([m for m in ('anndata', 'pandas', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
