"""Cells in tissue: neighbours in space and statistics over them, under squidpy's names and keys; clouds of cells aligned and
paired; dissociated cells mapped, spots taken apart."""

from ._align import align, attach_traces
from ._autocorr import spatial_autocorr
from ._centrality import centrality_scores
from ._co_occurrence import co_occurrence
from ._compare import compare_conditions
from ._composition import compare_region_composition, region_composition
from ._deconvolve import deconvolve
from ._in_space import bivariate, spatially_variable_genes
from ._join import join_cells
from ._ligrec import ligrec, rank_aggregate
from ._map_cells import map_cells
from ._neighbors import (
    spatial_neighbors_delaunay,
    spatial_neighbors_grid,
    spatial_neighbors_knn,
    spatial_neighbors_radius,
)
from ._nhood import interaction_matrix, nhood_enrichment
from ._niche import calculate_niche
from ._ripley import ripley
from ._spaces import Spaces

__all__ = [
    "Spaces",
    "align",
    "attach_traces",
    "bivariate",
    "calculate_niche",
    "centrality_scores",
    "co_occurrence",
    "compare_conditions",
    "compare_region_composition",
    "deconvolve",
    "interaction_matrix",
    "join_cells",
    "ligrec",
    "map_cells",
    "nhood_enrichment",
    "rank_aggregate",
    "region_composition",
    "ripley",
    "spatial_autocorr",
    "spatial_neighbors_delaunay",
    "spatial_neighbors_grid",
    "spatial_neighbors_knn",
    "spatial_neighbors_radius",
    "spatially_variable_genes",
]
