"""Plots: matplotlib axes, points drawn in Rust."""

from ._dotplot import dotplot, matrixplot
from ._embedding import diffmap, draw_graph, embedding, pca, tsne, umap
from ._heatmap import heatmap, tracksplot
from ._violin import stacked_violin, violin

__all__ = [
    "diffmap",
    "dotplot",
    "draw_graph",
    "embedding",
    "heatmap",
    "matrixplot",
    "pca",
    "stacked_violin",
    "tracksplot",
    "tsne",
    "umap",
    "violin",
]
