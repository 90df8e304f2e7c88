"""Preprocessing, with scanpy's names, parameters and slots."""

from ._bbknn import bbknn
from ._combat import combat
from ._downsample import downsample_counts
from ._harmony import harmony_integrate
from ._hashsolo import hashsolo
from ._hvg import highly_variable_genes
from ._moments import moments
from ._neighbors import neighbors
from ._normalize import log1p, normalize_total
from ._pca import pca
from ._pearson import normalize_pearson_residuals
from ._protein import clr, dsb
from ._qc import calculate_qc_metrics, filter_cells, filter_genes
from ._recipe import recipe
from ._regress import regress_out
from ._sample import sample
from ._scale import scale
from ._scrublet import scrublet
from ._size_factors import normalize_size_factors, normalize_tpm, pooled_size_factors, spike_in_size_factors
from ._sketch import sketch
from ._tfidf import tfidf
from ._wnn import wnn

__all__ = [
    "bbknn",
    "calculate_qc_metrics",
    "clr",
    "combat",
    "downsample_counts",
    "dsb",
    "filter_cells",
    "filter_genes",
    "harmony_integrate",
    "hashsolo",
    "highly_variable_genes",
    "log1p",
    "moments",
    "neighbors",
    "normalize_pearson_residuals",
    "normalize_size_factors",
    "normalize_total",
    "normalize_tpm",
    "pca",
    "pooled_size_factors",
    "recipe",
    "regress_out",
    "sample",
    "scale",
    "scrublet",
    "sketch",
    "spike_in_size_factors",
    "tfidf",
    "wnn",
]
