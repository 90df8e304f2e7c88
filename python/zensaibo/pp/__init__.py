"""Preprocessing, with scanpy's names, parameters and slots."""

from ._neighbors import neighbors
from ._pca import pca
from ._hvg import highly_variable_genes
from ._normalize import log1p, normalize_total
from ._qc import calculate_qc_metrics, filter_cells, filter_genes
from ._recipe import recipe
