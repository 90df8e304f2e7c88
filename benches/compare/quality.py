"""One referee for all peers: every score is computed here, from the arrays that each peer handed over."""

from __future__ import annotations

import numpy as np

#: Points whose neighbours are searched exactly, for recall and trustworthiness.
SAMPLE = 2000


def adjusted_rand(a: np.ndarray, b: np.ndarray) -> float:
    """Adjusted Rand index of two labelings (Hubert and Arabie 1985)."""
    _, a = np.unique(a, return_inverse=True)
    _, b = np.unique(b, return_inverse=True)
    counts = np.zeros((a.max() + 1, b.max() + 1))
    np.add.at(counts, (a, b), 1)

    def pairs(x: np.ndarray) -> float:
        return float((x * (x - 1) / 2).sum())

    together, rows, columns, all_pairs = pairs(counts), pairs(counts.sum(1)), pairs(counts.sum(0)), len(a) * (len(a) - 1) / 2
    expected = rows * columns / all_pairs
    return (together - expected) / ((rows + columns) / 2 - expected)


def exact_neighbors(points: np.ndarray, queries: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k nearest other points of each query, by brute force in float64."""
    points = points.astype(np.float64)
    squares = (points**2).sum(1)
    out = np.empty((len(queries), k), dtype=np.int64)
    for start in range(0, len(queries), 200):
        rows = queries[start : start + 200]
        distance = squares[None, :] - 2 * points[rows] @ points.T
        distance[np.arange(len(rows)), rows] = np.inf
        nearest = np.argpartition(distance, k, axis=1)[:, :k]
        order = np.argsort(np.take_along_axis(distance, nearest, 1), axis=1, kind="stable")
        out[start : start + 200] = np.take_along_axis(nearest, order, 1)
    return out


def trustworthiness(high: np.ndarray, low: np.ndarray, queries: np.ndarray, k: int = 15) -> float:
    """Venna and Kaski 2001, over the sampled queries, ranks among all points."""
    n = len(high)
    near = exact_neighbors(low, queries, k)
    high = high.astype(np.float64)
    squares = (high**2).sum(1)
    penalty = 0.0
    for position, row in enumerate(queries):
        distance = squares - 2 * high @ high[row]
        distance[row] = -np.inf
        intruders = distance[near[position]]
        ranks = (distance[None, :] < intruders[:, None]).sum(1)
        penalty += np.maximum(ranks - k, 0).sum()
    return 1 - 2 / (len(queries) * k * (2 * n - 3 * k - 1)) * penalty


def modularity(labels: np.ndarray, indptr: np.ndarray, indices: np.ndarray, weights: np.ndarray) -> float:
    """Newman's modularity of a symmetric weighted graph, resolution 1."""
    _, labels = np.unique(labels, return_inverse=True)
    rows = np.repeat(np.arange(len(indptr) - 1), np.diff(indptr))
    total = weights.sum(dtype=np.float64)
    inside = weights[labels[rows] == labels[indices]].sum(dtype=np.float64)
    degree = np.bincount(labels[rows], weights=weights.astype(np.float64))
    return inside / total - float(((degree / total) ** 2).sum())


def judge(paths: dict[str, str], simulated: bool) -> dict[str, dict[str, float]]:
    """Scores per peer."""
    loaded = {peer: np.load(path, allow_pickle=False) for peer, path in paths.items()}
    scores: dict[str, dict[str, float]] = {}
    reference = loaded.get("scanpy")
    for peer, data in loaded.items():
        own: dict[str, float] = {}
        n = len(data["labels"])
        queries = np.sort(np.random.default_rng(0).choice(n, min(SAMPLE, n), replace=False))
        own["clusters"] = float(len(np.unique(data["labels"])))
        if simulated:
            own["ARI to truth"] = adjusted_rand(data["labels"], data["truth"])
        if "knn_indptr" in data:
            truth = exact_neighbors(data["pcs"], queries, 14)
            hits = 0
            for row, near in zip(queries, truth):
                found = data["knn_indices"][data["knn_indptr"][row] : data["knn_indptr"][row + 1]]
                hits += len(np.intersect1d(found, near))
            own["kNN recall"] = hits / truth.size
        if "graph_data" in data:
            own["modularity"] = modularity(data["labels"], data["graph_indptr"], data["graph_indices"], data["graph_data"])
            if "labels_2" in data:
                own["modularity, leiden_2"] = modularity(data["labels_2"], data["graph_indptr"], data["graph_indices"], data["graph_data"])
        own["UMAP trustworthiness"] = trustworthiness(data["pcs"], data["umap"], queries)
        near_low = exact_neighbors(data["umap"], queries, 15)
        near_high = exact_neighbors(data["pcs"], queries, 15)
        own["UMAP neighbours kept"] = float(np.mean([len(np.intersect1d(a, b)) / 15 for a, b in zip(near_low, near_high)]))
        if reference is not None and peer != "scanpy":
            for key in ("hvg", "hvg_v3"):
                if key in data:
                    ours, theirs = set(data["genes"][data[key]]), set(reference["genes"][reference[key]])
                    own[f"{key} shared with scanpy"] = len(ours & theirs) / max(1, len(theirs))
        scores[peer] = own
    return scores
