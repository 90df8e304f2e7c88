"""Imaging: volumes of cleared tissue, filters, cells.

Arrays are ordered (z, y, x), with time and channel before them where there are any: (t, c, z, y, x). Lengths are
micrometres. Wherever a volume is asked for, anything that `open` takes will do.
"""

from ._filters import gaussian
from ._volume import Volume, open

__all__ = [
    "Volume",
    "gaussian",
    "open",
]
