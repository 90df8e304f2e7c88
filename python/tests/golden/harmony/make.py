"""Makes golden.npz: what harmonypy 2.1.0 (harmony2) and harmonypy 0.0.10 (harmony1) return on shared/data/batch_pcs.

Run: ZENSAIBO_DATA=.../data python make.py
Needs: harmonypy==2.1.0 numpy==2.4.6 pandas, and harmonypy==0.0.10 in the folder named by HARMONYPY_OLD
(pip install --no-deps --target FOLDER harmonypy==0.0.10).

Holds for cell_lines_20pcs (batch key dataset) the corrected coordinates, as float16, and LISI by harmonypy 2.1.0 on the
first five coordinates before correction; for pbmc_3500 (key donor; and keys donor and a made-up one) mean LISI.
"""

import importlib.util
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd

DATA = pathlib.Path(os.environ["ZENSAIBO_DATA"]) / "batch_pcs"


def cell_lines():
    table = pd.read_csv(DATA / "cell_lines_20pcs.csv.gz")
    pcs = table[[f"PC{i}" for i in range(1, 21)]].to_numpy()
    return pcs / pcs.std(), table


def pbmc():
    pcs = pd.read_csv(DATA / "pbmc_3500_pcs.tsv.gz", sep="\t").to_numpy()
    meta = pd.read_csv(DATA / "pbmc_3500_meta.tsv.gz", sep="\t")
    meta["plate"] = np.where(np.arange(len(meta)) % 3 == 0, "p", "q")
    return pcs, meta


def old(path):
    sys.path.insert(0, os.environ["HARMONYPY_OLD"])
    import harmonypy

    assert not hasattr(harmonypy, "_harmony_cpp")
    pcs, table = cell_lines()
    found = harmonypy.run_harmony(pcs, table, ["dataset"], random_state=0, verbose=False)
    z = np.asarray(found.Z_corr)
    np.save(path, z if z.shape == pcs.shape else z.T)


def main():
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, __file__, "--old", f"{folder}/harmony1.npy"], check=True)
        golden = {"harmony1": np.load(f"{folder}/harmony1.npy").astype(np.float16)}
    import harmonypy

    pcs, table = cell_lines()
    z = np.asarray(harmonypy.run_harmony(pcs, table, ["dataset"], verbose=False).Z_corr)
    z = z if z.shape == pcs.shape else z.T
    golden["harmony2"] = z.astype(np.float16)
    golden["lisi"] = harmonypy.compute_lisi(pcs[:, :5], table, ["dataset", "cell_type"], 30).astype(np.float32)
    pcs, meta = pbmc()
    for name, keys in {"one": ["donor"], "two": ["donor", "plate"]}.items():
        z = np.asarray(harmonypy.run_harmony(pcs, meta, keys, verbose=False).Z_corr)
        z = z if z.shape == pcs.shape else z.T
        golden[f"pbmc_{name}"] = harmonypy.compute_lisi(z, meta, keys, 30).mean(axis=0)
    golden["pbmc_before"] = harmonypy.compute_lisi(pcs, meta, ["donor", "plate"], 30).mean(axis=0)
    np.savez_compressed(here / "golden.npz", **golden)
    for key, value in golden.items():
        print(key, value.shape, value.ravel()[:3])


if __name__ == "__main__":
    if "--old" in sys.argv:
        old(sys.argv[-1])
    else:
        main()
