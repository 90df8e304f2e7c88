"""Imaging: volumes of cleared tissue, filters, cells.

Arrays are ordered (z, y, x), with time and channel before them where there are any: (t, c, z, y, x). Lengths are
micrometres. Wherever a volume is asked for, anything that `open` takes will do.
"""

from ._background import BackgroundFit, destripe, local_contrast, rolling_ball, subtract_background
from ._filters import (
    closing,
    difference_of_gaussians,
    dilation,
    erosion,
    gaussian,
    gaussian_laplace,
    median,
    opening,
    white_tophat,
)
from ._resample import downsample, resample
from ._filters import gaussian
from ._nuclei import segment_nuclei
from ._shapes import distance_transform, label, region_properties, watershed
from ._track import relabel_tracks, track
from ._volume import Volume, open
from ._volume import Volume, open, write

__all__ = [
    "BackgroundFit",
    "Volume",
    "closing",
    "destripe",
    "difference_of_gaussians",
    "dilation",
    "downsample",
    "erosion",
from ._detect import CellClassifier, detect_cells, train_cell_classifier
from ._filters import gaussian
from ._points import read_points, write_points
from ._volume import Volume, open

__all__ = [
    "CellClassifier",
    "Volume",
    "detect_cells",
    "gaussian",
    "gaussian_laplace",
    "local_contrast",
    "median",
    "open",
    "opening",
    "resample",
    "rolling_ball",
    "subtract_background",
    "white_tophat",
    "distance_transform",
    "gaussian",
    "label",
    "open",
    "region_properties",
    "segment_nuclei",
    "watershed",
    "read_points",
    "train_cell_classifier",
    "write_points",
    "relabel_tracks",
    "track",
    "write",
]
