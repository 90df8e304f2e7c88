"""Scores of quality."""

from ._knn_recall import Recall, knn_recall
from ._layout import neighbor_preservation, trustworthiness
from ._mixing import Kbet, clisi, ilisi, kbet, lisi, silhouette
from ._partition import adjusted_rand_index, modularity, normalized_mutual_information
from ._segmentation import segmentation_scores

__all__ = [
    "Kbet",
    "Recall",
    "adjusted_rand_index",
    "clisi",
    "ilisi",
    "kbet",
    "knn_recall",
    "lisi",
    "modularity",
    "neighbor_preservation",
    "normalized_mutual_information",
    "segmentation_scores",
    "silhouette",
    "trustworthiness",
]
