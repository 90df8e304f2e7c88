"""Imaging: volumes of cleared tissue, filters, labels, cells.

Arrays are ordered (z, y, x), with time and channel before them where there are any: (t, c, z, y, x). Lengths are
micrometres. Wherever a volume is asked for, anything that `open` takes will do.
"""

from ._atlas import Atlas, load_atlas
from ._background import BackgroundFit, destripe, local_contrast, rolling_ball, subtract_background
from ._cells import read_cells, write_cells
from ._compare import VolumeComparison, compare_regions, compare_volumes
from ._detect import CellClassifier, detect_cells, train_cell_classifier
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
from ._flatfield import FlatField, apply_flatfield, estimate_flatfield
from ._nuclei import segment_nuclei
from ._organoid import Organoids, compare_organoids, organoid, organoid_mask, radial_profile
from ._points import read_points, write_points
from ._recipe import recipe
from ._regions import count_regions, density_volume, point_table, region_table
from ._register import Registration, import_brainglobe, import_itk, load_registration, register
from ._resample import downsample, resample
from ._rounds import Rounds, register_rounds
from ._shapes import distance_transform, label, region_properties, watershed
from ._stitch import Stitching, load_stitching, stitch
from ._track import relabel_tracks, track
from ._volume import Volume, open, write

__all__ = [
    "Atlas",
    "BackgroundFit",
    "CellClassifier",
    "FlatField",
    "Organoids",
    "Registration",
    "Rounds",
    "Stitching",
    "Volume",
    "VolumeComparison",
    "apply_flatfield",
    "closing",
    "compare_organoids",
    "compare_regions",
    "compare_volumes",
    "count_regions",
    "density_volume",
    "destripe",
    "detect_cells",
    "difference_of_gaussians",
    "dilation",
    "distance_transform",
    "downsample",
    "erosion",
    "estimate_flatfield",
    "gaussian",
    "gaussian_laplace",
    "import_brainglobe",
    "import_itk",
    "label",
    "load_atlas",
    "load_registration",
    "load_stitching",
    "local_contrast",
    "median",
    "open",
    "opening",
    "organoid",
    "organoid_mask",
    "point_table",
    "radial_profile",
    "read_cells",
    "read_points",
    "region_properties",
    "recipe",
    "region_table",
    "register",
    "register_rounds",
    "relabel_tracks",
    "resample",
    "rolling_ball",
    "segment_nuclei",
    "stitch",
    "subtract_background",
    "track",
    "train_cell_classifier",
    "watershed",
    "white_tophat",
    "write",
    "write_cells",
    "write_points",
]
