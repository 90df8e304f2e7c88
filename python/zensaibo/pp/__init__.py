"""Preprocessing, with scanpy's names, parameters and slots."""

from ._pca import pca
