# /// script
# requires-python = ">=3.11"
# dependencies = ["scanpy==1.11.5", "umap-learn==0.5.9", "numpy", "scipy", "scikit-learn"]
# ///
"""Writes expected.json: neighbours of 40 rows (three of them equal) and scanpy's umap and gauss weights for them.

Run: python make.py   (in this folder)
"""

import json
import warnings
from pathlib import Path

import numpy as np
from scipy import sparse

warnings.simplefilter("ignore")
from scanpy.neighbors import _connectivity  # noqa: E402
from sklearn.metrics import pairwise_distances  # noqa: E402

n, k = 40, 7
rng = np.random.default_rng(7)
data = rng.normal(size=(n, 4)) * rng.choice([0.2, 1.0, 5.0], size=(n, 1))
data[11] = data[12] = data[10]
distances = pairwise_distances(data)
np.fill_diagonal(distances, -1)
distances[distances < 1e-7] *= distances[distances < 1e-7] < 0  # equal rows at exactly 0
indices = np.argsort(distances, axis=1, kind="stable")[:, :k]
nearest = np.maximum(np.take_along_axis(distances, indices, axis=1), 0).astype(np.float32)


def parts(matrix):
    matrix = sparse.csr_matrix(matrix)
    matrix.eliminate_zeros()
    matrix.sort_indices()
    return {
        "indptr": matrix.indptr.tolist(),
        "indices": matrix.indices.tolist(),
        "weights": [float(x) for x in matrix.data],
    }


graph = sparse.csr_matrix(
    (nearest[:, 1:].ravel().astype(float), indices[:, 1:].ravel(), np.arange(0, n * (k - 1) + 1, k - 1)), shape=(n, n)
)
expected = {
    "n": n,
    "k": k,
    "indices": indices.ravel().tolist(),
    "distances": [float(x) for x in nearest.ravel()],
    "umap": parts(_connectivity.umap(indices, nearest, n_obs=n, n_neighbors=k)),
    "gauss": parts(_connectivity.gauss(graph, k, knn=True)),
}
Path(__file__).with_name("expected.json").write_text(json.dumps(expected) + "\n")
