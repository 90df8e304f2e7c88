"""Pure functions: numpy and scipy in, arrays out. No AnnData."""

from ._pca import PcaResult, pca
