"""Cells in tissue: neighbours in space and statistics over them, under squidpy's names and keys."""

from ._autocorr import spatial_autocorr
from ._centrality import centrality_scores
from ._co_occurrence import co_occurrence
from ._ligrec import ligrec, rank_aggregate
from ._neighbors import (
    spatial_neighbors_delaunay,
    spatial_neighbors_grid,
    spatial_neighbors_knn,
    spatial_neighbors_radius,
)
from ._nhood import interaction_matrix, nhood_enrichment
from ._ripley import ripley

__all__ = [
    "centrality_scores",
    "co_occurrence",
    "interaction_matrix",
    "ligrec",
    "nhood_enrichment",
    "rank_aggregate",
    "ripley",
    "spatial_autocorr",
    "spatial_neighbors_delaunay",
    "spatial_neighbors_grid",
    "spatial_neighbors_knn",
    "spatial_neighbors_radius",
]
