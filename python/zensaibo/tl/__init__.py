"""Tools: clustering, embedding, markers, with scanpy's names, parameters and slots."""

from ._annotate import Classifier, annotate, train_classifier
from ._annotate_by_markers import annotate_by_markers
from ._dendrogram import dendrogram
from ._diffmap import diffmap, dpt
from ._draw_graph import draw_graph
from ._embedding_density import embedding_density
from ._fate import fate_probabilities
from ._filter_rank_genes_groups import filter_rank_genes_groups
from ._gene_activity import gene_activity
from ._ingest import ingest
from ._leiden import leiden
from ._louvain import louvain
from ._lsi import lsi
from ._map_to_reference import map_to_reference
from ._marker_gene_overlap import marker_gene_overlap
from ._paga import paga
from ._project_sketch import project_sketch
from ._pseudobulk_test import pseudobulk_test
from ._rank_genes_groups import rank_genes_groups
from ._score_genes import score_genes, score_genes_cell_cycle
from ._tsne import tsne
from ._umap import umap
from ._velocity import transition_matrix, velocity, velocity_embedding, velocity_graph

__all__ = [
    "Classifier",
    "annotate",
    "annotate_by_markers",
    "dendrogram",
    "diffmap",
    "dpt",
    "draw_graph",
    "embedding_density",
    "fate_probabilities",
    "filter_rank_genes_groups",
    "gene_activity",
    "ingest",
    "leiden",
    "louvain",
    "lsi",
    "map_to_reference",
    "marker_gene_overlap",
    "paga",
    "project_sketch",
    "pseudobulk_test",
    "rank_genes_groups",
    "score_genes",
    "score_genes_cell_cycle",
    "train_classifier",
    "transition_matrix",
    "tsne",
    "umap",
    "velocity",
    "velocity_embedding",
    "velocity_graph",
]
