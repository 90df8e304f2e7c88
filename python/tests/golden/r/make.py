"""Golden values from R: limma's voom on sums of samples, scran's pooled size factors.

Made with R 4.2.2, limma 3.54.1, edgeR 3.40.2, scran 1.26.2, scuttle 1.8.4 (Debian 12: apt install r-bioc-limma
r-bioc-edger r-bioc-scran):

    python make.py

Counts are drawn here, so that nothing but numbers goes to R and back.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent


def samples() -> dict[str, np.ndarray]:
    """Sums of 12 samples: 6 donors, each with and without treatment; a numeric covariate; 600 genes, 60 of them up."""
    rng = np.random.default_rng(4)
    genes, donors = 600, 6
    treated = np.tile([0, 1], donors)
    donor = np.repeat(np.arange(donors), 2)
    age = np.repeat(rng.normal(size=donors), 2).round(3)
    mean = rng.gamma(0.6, 200.0, genes)
    depth = rng.uniform(0.4, 2.5, 2 * donors)
    effect = np.zeros(genes)
    effect[:60] = rng.choice([-1.5, 1.5], 60)
    own = rng.normal(0, 0.3, (donors, genes))[donor]
    expected = depth[:, None] * mean * 2 ** (treated[:, None] * effect + own)
    dispersion = 0.1
    counts = rng.poisson(rng.gamma(1 / dispersion, expected * dispersion))
    return {"counts": counts, "treated": treated, "donor": donor, "age": age}


def cells() -> dict[str, np.ndarray]:
    """260 cells of two kinds, 400 genes, of which a fifth differ strongly; sequencing depths over a factor of ten."""
    rng = np.random.default_rng(5)
    n, genes = 260, 400
    kind = np.repeat([0, 1], [150, 110])
    mean = rng.gamma(0.8, 2.0, genes)
    fold = np.where(np.arange(genes) < 80, 8.0, 1.0)
    depth = rng.lognormal(0, 0.6, n)
    expected = depth[:, None] * mean * np.where(kind[:, None] == 1, fold, 1.0)
    counts = rng.poisson(rng.gamma(2.0, expected / 2.0))
    return {"counts": counts, "kind": kind}


def through_r(what: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What make.R makes of the arrays."""
    with tempfile.TemporaryDirectory() as folder:
        for name, array in arrays.items():
            np.savetxt(f"{folder}/{name}.csv", array, delimiter=",", fmt="%.17g")
        subprocess.run(["Rscript", str(HERE / "make.R"), what, folder], check=True)
        return {file.stem: np.loadtxt(file, delimiter=",") for file in sorted(Path(folder, "out").glob("*.csv"))}


if __name__ == "__main__":
    for what, arrays in {"voom": samples(), "pooled": cells()}.items():
        small = {name: array.astype(np.uint32) if array.dtype.kind == "i" else array for name, array in arrays.items()}
        np.savez_compressed(HERE / f"{what}.npz", **small, **through_r(what, arrays))
