"""Scores of quality."""

from ._knn_recall import Recall, knn_recall
