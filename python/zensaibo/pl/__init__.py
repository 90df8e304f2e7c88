"""Plots: matplotlib axes, points drawn in Rust."""

from ._embedding import embedding, pca, umap

__all__ = [
    "embedding",
    "pca",
    "umap",
]
