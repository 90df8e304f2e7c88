"""Pure functions: numpy and scipy in, arrays out. No AnnData."""

from ._neighbors import Neighbors, NeighborsGraph, connectivities, knn, neighbors_graph
from ._markers import RankedGenes, rank_genes_groups
from ._pca import PcaResult, pca
from ._counts import (
    Filtered,
    QcMetrics,
    SizeFactors,
    check_counts,
    filter_cells,
    filter_genes,
    log1p,
    normalize_total,
    qc_metrics,
    size_factors,
)
from ._hvg import HighlyVariableGenes, highly_variable_genes, loess
from ._umap import Umap, umap, umap_curve
