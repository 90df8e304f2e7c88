"""Plots: matplotlib axes, points drawn in Rust."""

from ._dotplot import dotplot, matrixplot
from ._embedding import diffmap, draw_graph, embedding, pca, tsne, umap
from ._heatmap import heatmap, tracksplot
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
from ._violin import stacked_violin, violin

__all__ = [
    "diffmap",
    "dotplot",
    "draw_graph",
    "embedding",
    "heatmap",
    "highest_expr_genes",
    "highly_variable_genes",
    "matrixplot",
    "pca",
    "pca_loadings",
    "pca_variance_ratio",
    "rank_genes_groups",
    "rank_genes_groups_dotplot",
    "rank_genes_groups_heatmap",
    "rank_genes_groups_matrixplot",
    "rank_genes_groups_stacked_violin",
    "rank_genes_groups_tracksplot",
    "rank_genes_groups_violin",
    "scrublet_score_distribution",
    "stacked_violin",
    "tracksplot",
    "tsne",
    "umap",
    "violin",
]
