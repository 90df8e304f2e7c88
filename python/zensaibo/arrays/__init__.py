"""Pure functions: numpy and scipy in, arrays out. No AnnData."""

from ._aggregate import Aggregated, aggregate
from ._align import (
    Alignment,
    Drift,
    Matches,
    PointTransform,
    align_points,
    coherent_point_drift,
    landmark_transform,
    match_points,
)
from ._chromatin import GeneActivity, gene_activity, tfidf
from ._bbknn import bbknn
from ._combat import Combat, combat
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
from ._harmony import Harmony, harmony
from ._density import gaussian_density
from ._diffusion import Branchings, Diffmap, diffmap, dpt_branchings, pseudotime
from ._hashsolo import Hashsolo, hashsolo
from ._fate import Fates, fate_probabilities
from ._forceatlas import force_atlas
from ._downsample import downsample_counts
from ._index import NeighborIndex, build_index
from ._hvg import HighlyVariableGenes, highly_variable_genes, loess
from ._leiden import Agreement, Leiden, leiden, modularity, partition_agreement
from ._louvain import louvain
from ._logistic import LogisticModel, logistic_regression
from ._map_cells import (
    Deconvolved,
    LabelShares,
    NeighborWeights,
    PrincipalVectors,
    TangramMap,
    WeightedPlaces,
    deconvolve,
    label_shares,
    map_candidates,
    neighbor_weights,
    nnls,
    principal_vectors,
    tangram,
    weighted_places,
    weighted_rows,
)
from ._mapping import Nearest, Votes, harmony_map, knn_query, pca_project, umap_place, vote
from ._markers import RankedGenes, rank_genes_groups
from ._neighbors import Neighbors, NeighborsGraph, connectivities, knn, neighbors_graph
from ._paga import Paga, paga, paga_transitions
from ._pca import PcaResult, pca
from ._protein import Dsb, clr, dsb
from ._pseudobulk import PseudobulkTest, lowess, pseudobulk_test
from ._pearson import PearsonResiduals, pearson_residuals
from ._raster import Picture, raster_points
from ._scrublet import Scrublet, scrublet
from ._sketch import GeometricSketch, leverage_scores, sample_weighted, sketch_geometric
from ._ligrec import Ligrec, ligrec
from ._rank_aggregate import rank_aggregate
from ._spatial_neighbors import (
    SpatialGraph,
    spatial_neighbors_delaunay,
    spatial_neighbors_grid,
    spatial_neighbors_knn,
    spatial_neighbors_radius,
)
from ._spatial_patterns import Ripley, centrality_scores, ripley
from ._spatial_statistics import (
    CoOccurrence,
    NhoodEnrichment,
    SpatialAutocorr,
    co_occurrence,
    interaction_matrix,
    nhood_enrichment,
    spatial_autocorr,
)
from ._surroundings import (
    Bivariate,
    GaussianMixture,
    SampleComparison,
    SpatiallyVariable,
    aggregate_neighbors,
    bivariate,
    compare_samples,
    gaussian_mixture,
    neighborhood_profile,
    spatially_variable_genes,
)
from ._tsne import Tsne, tsne
from ._regress import Regressed, regress_out
from ._scale import Scaled, scale
from ._score import GeneScores, score_genes
from ._size_factors import PooledSizeFactors, normalize_tpm, pooled_size_factors, spike_in_size_factors
from ._umap import Umap, umap, umap_curve
from ._velocity import (
    Velocity,
    VelocityGraph,
    moments,
    transition_matrix,
    velocity,
    velocity_embedding,
    velocity_graph,
)
from ._wnn import Wnn, wnn

__all__ = [
    "Aggregated",
    "Agreement",
    "Alignment",
    "Bivariate",
    "Branchings",
    "CoOccurrence",
    "Combat",
    "Deconvolved",
    "Diffmap",
    "Drift",
    "Dsb",
    "Fates",
    "Filtered",
    "GaussianMixture",
    "GeneActivity",
    "GeneScores",
    "GeometricSketch",
    "Harmony",
    "Hashsolo",
    "HighlyVariableGenes",
    "LabelShares",
    "Leiden",
    "Ligrec",
    "LogisticModel",
    "Matches",
    "Nearest",
    "NeighborIndex",
    "NeighborWeights",
    "Neighbors",
    "NeighborsGraph",
    "NhoodEnrichment",
    "Paga",
    "PcaResult",
    "PearsonResiduals",
    "Picture",
    "PointTransform",
    "PooledSizeFactors",
    "PrincipalVectors",
    "PseudobulkTest",
    "QcMetrics",
    "RankedGenes",
    "Regressed",
    "Ripley",
    "SampleComparison",
    "Scaled",
    "Scrublet",
    "SizeFactors",
    "SpatialAutocorr",
    "SpatialGraph",
    "SpatiallyVariable",
    "TangramMap",
    "Tsne",
    "Umap",
    "Velocity",
    "VelocityGraph",
    "Votes",
    "WeightedPlaces",
    "Wnn",
    "aggregate",
    "aggregate_neighbors",
    "align_points",
    "bbknn",
    "bivariate",
    "build_index",
    "centrality_scores",
    "check_counts",
    "clr",
    "co_occurrence",
    "coherent_point_drift",
    "combat",
    "compare_samples",
    "connectivities",
    "deconvolve",
    "diffmap",
    "downsample_counts",
    "dpt_branchings",
    "dsb",
    "fate_probabilities",
    "filter_cells",
    "filter_genes",
    "force_atlas",
    "gaussian_density",
    "gaussian_mixture",
    "gene_activity",
    "harmony",
    "harmony_map",
    "hashsolo",
    "highly_variable_genes",
    "interaction_matrix",
    "knn",
    "knn_query",
    "label_shares",
    "landmark_transform",
    "leiden",
    "leverage_scores",
    "ligrec",
    "loess",
    "log1p",
    "logistic_regression",
    "louvain",
    "lowess",
    "map_candidates",
    "match_points",
    "modularity",
    "moments",
    "neighbor_weights",
    "neighborhood_profile",
    "neighbors_graph",
    "nhood_enrichment",
    "nnls",
    "normalize_total",
    "normalize_tpm",
    "paga",
    "paga_transitions",
    "partition_agreement",
    "pca",
    "pca_project",
    "pearson_residuals",
    "pooled_size_factors",
    "principal_vectors",
    "pseudobulk_test",
    "pseudotime",
    "qc_metrics",
    "rank_aggregate",
    "rank_genes_groups",
    "raster_points",
    "regress_out",
    "ripley",
    "sample_weighted",
    "scale",
    "score_genes",
    "scrublet",
    "size_factors",
    "sketch_geometric",
    "spatial_autocorr",
    "spatial_neighbors_delaunay",
    "spatial_neighbors_grid",
    "spatial_neighbors_knn",
    "spatial_neighbors_radius",
    "spatially_variable_genes",
    "spike_in_size_factors",
    "tangram",
    "tfidf",
    "transition_matrix",
    "tsne",
    "umap",
    "umap_curve",
    "umap_place",
    "velocity",
    "velocity_embedding",
    "velocity_graph",
    "vote",
    "weighted_places",
    "weighted_rows",
    "wnn",
]
