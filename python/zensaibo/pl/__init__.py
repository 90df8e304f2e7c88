"""Plots: matplotlib axes, points drawn in Rust."""

from ._embedding import diffmap, draw_graph, embedding, pca, tsne, umap

__all__ = [
    "diffmap",
    "draw_graph",
    "embedding",
    "pca",
    "tsne",
    "umap",
]
