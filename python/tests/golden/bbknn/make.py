"""Makes golden.npz: bbknn 1.6.0 with its exact search on 400 cells of shared/data/batch_pcs/cell_lines_20pcs.

Run: ZENSAIBO_DATA=.../data python make.py
Needs: bbknn==1.6.0 umap-learn==0.5.12 numpy==2.4.6 pandas.
"""

import os
import pathlib

import bbknn.matrix
import numpy as np
import pandas as pd

DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"])


def main():
    table = pd.read_csv(DATA / "batch_pcs" / "cell_lines_20pcs.csv.gz").iloc[::6]
    pcs = table[[f"PC{i}" for i in range(1, 21)]].to_numpy()
    pcs = pcs / pcs.std()
    golden = {}
    for name, options in {"default": {}, "trimmed": {"trim": 8, "neighbors_within_batch": 4}}.items():
        distances, connectivities, _ = bbknn.matrix.bbknn(
            pcs, table["dataset"].to_numpy(), computation="cKDTree", n_pcs=20, **options
        )
        for part, graph in {"distances": distances, "connectivities": connectivities}.items():
            graph = graph.tocsr()
            graph.sort_indices()
            golden[f"{name}_{part}_indptr"] = graph.indptr.astype(np.int32)
            golden[f"{name}_{part}_indices"] = graph.indices.astype(np.int16)
            golden[f"{name}_{part}_data"] = graph.data.astype(np.float32)
    np.savez_compressed(pathlib.Path(__file__).parent / "golden.npz", **golden)
    print({key: value.shape for key, value in golden.items()})


if __name__ == "__main__":
    main()
