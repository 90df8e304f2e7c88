"""How well labels found agree with true ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import _core
from .._memory import to_bytes
from .._progress import Progress, reporting

if TYPE_CHECKING:
    import pandas as pd


def segmentation_scores(
    truth: Any,
    found: Any,
    *,
    thresholds: Sequence[float] = (0.5, 0.6, 0.7, 0.8, 0.9),
    memory: int | str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> pd.DataFrame:
    """Scores of labels found against true ones: average precision, F1, panoptic quality, SEG.

    Parameters
    ----------
    truth
        True labels, whole numbers, 0 for background: one frame that `zensaibo.im.open` takes.
    found
        Labels found, of the same extent.
    thresholds
        Intersections over union from which a pair of objects counts, each above 0 and at most 1.
    memory
        Working memory in bytes or as text ("4GiB"); 2 GiB by default.
    threads, progress
        As in `zensaibo.im.gaussian`; same result for any `threads` and any `memory`.

    Returns
    -------
    pandas.DataFrame, one row for each threshold
        `true_positives`, `false_positives`, `false_negatives` (of the most one-to-one pairs), `precision`, `recall`, `f1`,
        `average_precision` (TP / (TP + FP + FN), as StarDist and Cellpose define it), `mean_iou` of the pairs,
        `panoptic_quality`; index `threshold`. ``attrs["seg"]`` is SEG of the Cell Tracking Challenge, NaN without a
        true object.

    Raises
    ------
    zensaibo.errors.ShapeError
        Extents that differ.
    zensaibo.errors.ParameterError
        A threshold out of range.
    """
    import pandas as pd

    from ..im import open

    with reporting(progress) as callback:
        rows, seg = _core.im_segmentation_scores(
            open(truth)._core, open(found)._core, [float(t) for t in thresholds], to_bytes(memory), threads, callback
        )
    table = pd.DataFrame(rows).set_index("threshold")
    table.attrs["seg"] = seg
    return table
