"""Makes golden.npz: scanpy 1.11.5's scrublet on one library of shared/data/mouse_hspc_4samples, and
scikit-image's threshold_minimum on made-up scores.

Run: ZENSAIBO_DATA=.../data python make.py
Needs: scanpy==1.11.5 scikit-image==0.26.0 pynndescent==0.6.0 numpy==2.4.6.
"""

import os
import pathlib

import anndata as ad
import numpy as np
import scanpy as sc
from skimage.filters import threshold_minimum

DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"])


def made_up(case):
    """Two overlapping groups of scores; also used by the test."""
    rng = np.random.default_rng(case)
    share = rng.uniform(0.1, 0.9)
    n = int(rng.integers(200, 5000))
    low, high = rng.beta(2, 20, n), rng.beta(8, rng.uniform(2, 20), n)
    return np.where(rng.uniform(size=n) < share, low, high)


def main():
    golden = {}
    hspc = ad.read_h5ad(DATA / "mouse_hspc_4samples" / "counts.h5ad")
    hspc = hspc[hspc.obs["sample"] == "P9A"].copy()
    sc.pp.scrublet(hspc)
    golden["scores"] = hspc.obs["doublet_score"].to_numpy()
    golden["predicted"] = (hspc.obs["predicted_doublet"] == True).to_numpy(bool)  # noqa: E712 (object dtype, with NaN)
    golden["threshold"] = hspc.uns["scrublet"].get("threshold", np.nan)
    golden["simulated"] = hspc.uns["scrublet"]["doublet_scores_sim"]
    thresholds = []
    for case in range(60):
        try:
            thresholds.append(threshold_minimum(made_up(case)))
        except RuntimeError:
            thresholds.append(np.nan)
    golden["thresholds"] = np.array(thresholds)
    np.savez_compressed(pathlib.Path(__file__).parent / "golden.npz", **golden)
    print({key: np.asarray(value).shape for key, value in golden.items()}, golden["threshold"], golden["predicted"].sum())
    print(golden["thresholds"])


if __name__ == "__main__":
    main()
