"""Preprocessing, with scanpy's names, parameters and slots."""

from ._bbknn import bbknn
from ._harmony import harmony_integrate
from ._hashsolo import hashsolo
from ._hvg import highly_variable_genes
from ._moments import moments
from ._neighbors import neighbors
from ._normalize import log1p, normalize_total
from ._pca import pca
from ._protein import clr, dsb
from ._qc import calculate_qc_metrics, filter_cells, filter_genes
from ._recipe import recipe
from ._scrublet import scrublet
from ._tfidf import tfidf
from ._wnn import wnn
from ._scale import scale

__all__ = [
    "bbknn",
    "calculate_qc_metrics",
    "clr",
    "dsb",
    "filter_cells",
    "filter_genes",
    "harmony_integrate",
    "hashsolo",
    "highly_variable_genes",
    "log1p",
    "moments",
    "neighbors",
    "normalize_total",
    "pca",
    "recipe",
    "scrublet",
    "tfidf",
    "wnn",
    "scale",
]
