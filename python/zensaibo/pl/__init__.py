"""Plots: matplotlib axes, points drawn in Rust."""

from ._dotplot import dotplot, matrixplot
from ._embedding import diffmap, draw_graph, embedding, pca, tsne, umap
from ._heatmap import heatmap, tracksplot
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
    "matrixplot",
    "pca",
    "rank_genes_groups",
    "rank_genes_groups_dotplot",
    "rank_genes_groups_heatmap",
    "rank_genes_groups_matrixplot",
    "rank_genes_groups_stacked_violin",
    "rank_genes_groups_tracksplot",
    "rank_genes_groups_violin",
    "stacked_violin",
    "tracksplot",
    "tsne",
    "umap",
    "violin",
]
