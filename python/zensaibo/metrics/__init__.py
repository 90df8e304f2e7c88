"""Scores of quality."""

from ._ctc import ctc_scores
from ._detection import DetectionScores, detection_scores
from ._imputation import imputation_scores
from ._knn_recall import Recall, knn_recall
from ._layout import neighbor_preservation, trustworthiness
from ._mixing import Kbet, clisi, ilisi, kbet, lisi, silhouette
from ._partition import adjusted_rand_index, modularity, normalized_mutual_information
from ._segmentation import segmentation_scores

__all__ = [
    "DetectionScores",
    "Kbet",
    "Recall",
    "adjusted_rand_index",
    "clisi",
    "ctc_scores",
    "detection_scores",
    "ilisi",
    "imputation_scores",
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
