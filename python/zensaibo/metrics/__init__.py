"""Scores of quality."""

from ._knn_recall import Recall, knn_recall
from ._layout import neighbor_preservation, trustworthiness
