"""Pure functions: numpy and scipy in, arrays out. No AnnData."""

from ._neighbors import Neighbors, NeighborsGraph, connectivities, knn, neighbors_graph
from ._pca import PcaResult, pca
