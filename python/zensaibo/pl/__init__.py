"""Plots: matplotlib axes, points drawn in Rust."""

from ._composition import region_composition
from ._dendrogram import dendrogram
from ._dotplot import dotplot, matrixplot
from ._embedding import diffmap, draw_graph, embedding, pca, tsne, umap
from ._embedding_density import embedding_density
from ._heatmap import heatmap, tracksplot
from ._organoid import organoid, radial_profile
from ._paga import paga
from ._pca import pca_loadings, pca_variance_ratio
from ._qc import highest_expr_genes, highly_variable_genes, scrublet_score_distribution
from ._rank_genes_groups import (
    rank_genes_groups,
    rank_genes_groups_dotplot,
    rank_genes_groups_heatmap,
    rank_genes_groups_matrixplot,
    rank_genes_groups_stacked_violin,
    rank_genes_groups_tracksplot,
    rank_genes_groups_violin,
)
from ._regions import atlas_slices, regions
from ._spatial import spatial
from ._spatial_statistics import (
    centrality_scores,
    co_occurrence,
    interaction_matrix,
    ligrec,
    nhood_enrichment,
    ripley,
    spatial_autocorr,
)
from ._tissue import bivariate, compare_conditions, niches, spatially_variable_genes
from ._velocity import velocity_embedding, velocity_embedding_grid, velocity_embedding_stream
from ._violin import stacked_violin, violin
from ._volume import volume

__all__ = [
    "atlas_slices",
    "bivariate",
    "centrality_scores",
    "co_occurrence",
    "compare_conditions",
    "dendrogram",
    "diffmap",
    "dotplot",
    "draw_graph",
    "embedding",
    "embedding_density",
    "heatmap",
    "highest_expr_genes",
    "highly_variable_genes",
    "interaction_matrix",
    "ligrec",
    "matrixplot",
    "nhood_enrichment",
    "niches",
    "organoid",
    "paga",
    "pca",
    "pca_loadings",
    "pca_variance_ratio",
    "radial_profile",
    "rank_genes_groups",
    "rank_genes_groups_dotplot",
    "rank_genes_groups_heatmap",
    "rank_genes_groups_matrixplot",
    "rank_genes_groups_stacked_violin",
    "rank_genes_groups_tracksplot",
    "rank_genes_groups_violin",
    "region_composition",
    "regions",
    "ripley",
    "scrublet_score_distribution",
    "spatial",
    "spatial_autocorr",
    "spatially_variable_genes",
    "stacked_violin",
    "tracksplot",
    "tsne",
    "umap",
    "velocity_embedding",
    "velocity_embedding_grid",
    "velocity_embedding_stream",
    "violin",
    "volume",
]
