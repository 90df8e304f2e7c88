"""Preprocessing, with scanpy's names, parameters and slots."""

from ._neighbors import neighbors
from ._pca import pca
