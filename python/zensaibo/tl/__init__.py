"""Tools: clustering, embedding, markers, with scanpy's names, parameters and slots."""

from ._leiden import leiden
from ._rank_genes_groups import rank_genes_groups
from ._umap import umap

__all__ = [
    "leiden",
    "rank_genes_groups",
    "umap",
]
