"""Tools: clustering, embedding, markers, with scanpy's names, parameters and slots."""

from ._dendrogram import dendrogram
from ._diffmap import diffmap, dpt
from ._embedding_density import embedding_density
from ._leiden import leiden
from ._louvain import louvain
from ._paga import paga
from ._annotate import Classifier, annotate, train_classifier
from ._annotate_by_markers import annotate_by_markers
from ._filter_rank_genes_groups import filter_rank_genes_groups
from ._leiden import leiden
from ._marker_gene_overlap import marker_gene_overlap
from ._pseudobulk_test import pseudobulk_test
from ._rank_genes_groups import rank_genes_groups
from ._umap import umap

__all__ = [
    "dendrogram",
    "diffmap",
    "dpt",
    "embedding_density",
    "leiden",
    "louvain",
    "paga",
    "Classifier",
    "annotate",
    "annotate_by_markers",
    "filter_rank_genes_groups",
    "leiden",
    "marker_gene_overlap",
    "pseudobulk_test",
    "rank_genes_groups",
    "train_classifier",
    "umap",
]
