"""Scores of quality."""

from ._knn_recall import Recall, knn_recall
from ._layout import neighbor_preservation, trustworthiness
from ._partition import adjusted_rand_index, modularity, normalized_mutual_information

__all__ = [
    "Recall",
    "adjusted_rand_index",
    "knn_recall",
    "modularity",
    "neighbor_preservation",
    "normalized_mutual_information",
    "trustworthiness",
]
