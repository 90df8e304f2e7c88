"""Many machines: passes over matrices and volumes in files, computed by the workers of a Dask cluster.

Every worker opens the same file and runs the same Rust pass over its share of the blocks; the partial results come back and are
merged in the order of the blocks, so a result has the bits of one process. Needs ``dask.distributed`` (``pip install distributed``).
"""

from ._recipe import count, detect, recipe, segment
from ._use import use

__all__ = ["count", "detect", "recipe", "segment", "use"]
