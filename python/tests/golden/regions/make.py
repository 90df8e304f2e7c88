"""Golden values for counts of structures: statsmodels at fixed dispersion, edgeR's quasi-likelihood.

Made with statsmodels 0.15.0, numpy 2.4.6, scipy 1.17.1; R 4.2.2, edgeR 3.40.2, limma 3.54.1 (Debian 12: apt install
r-bioc-edger):

    python make.py

Counts are drawn here, so that nothing but numbers goes to R and back.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import statsmodels.api as sm

HERE = Path(__file__).parent
SCRIPT = """
suppressPackageStartupMessages({library(limma); library(edgeR)})
read <- function(name) as.matrix(read.csv(paste0(name, ".csv"), header = FALSE))
keep <- function(name, x) write.table(format(as.matrix(x), digits = 17), paste0(name, "_out.csv"), sep = ",", quote = FALSE,
                                      row.names = FALSE, col.names = FALSE)
counts <- t(read("counts")); offsets <- t(read("offsets")); design <- read("design")
dimnames(counts) <- dimnames(offsets) <- dimnames(design) <- NULL
dispersion <- dispCoxReid(counts, design, offset = offsets, tol = 1e-10)
keep("dispersion", dispersion)
for (at in c("estimated", "small")) {
    used <- if (at == "estimated") dispersion else 0.002
    fit <- glmQLFit.default(counts, design, dispersion = used, offset = offsets, abundance.trend = FALSE, prior.count = 0)
    test <- glmQLFTest(fit, coef = 2)
    keep(paste0(at, "_F"), test$table$F); keep(paste0(at, "_p"), test$table$PValue)
    keep(paste0(at, "_df"), test$df.total); keep(paste0(at, "_var"), fit$var.post)
    keep(paste0(at, "_prior"), c(fit$df.prior, fit$var.prior))
    keep(paste0(at, "_coefficient"), fit$coefficients[, 2])
}
"""


def samples() -> dict[str, np.ndarray]:
    """5 and 6 animals, a covariate, 60 structures from a few cells to thousands, 12 of them changed; two without a cell in one group."""
    rng = np.random.default_rng(11)
    n, structures = 11, 60
    group = np.repeat([0.0, 1.0], [5, 6])
    age = rng.normal(size=n).round(3)
    mean = np.exp(rng.uniform(np.log(4), np.log(4000), structures))
    effect = np.zeros(structures)
    effect[:12] = rng.choice([-0.8, 0.8], 12)
    volume = np.exp(rng.normal(0, 0.1, (n, structures))).round(4)
    own = np.exp(rng.normal(np.log(0.05), 0.5, structures))
    expected = mean * volume * np.exp(np.outer(group, effect) + 0.2 * age[:, None])
    counts = rng.poisson(expected * rng.gamma(1 / own, own, (n, structures))).astype(float)
    counts[:5, 20], counts[5:, 21] = 0, 0
    counts[5:, 20], counts[:5, 21] = [3, 4, 5, 6, 2, 9], [30, 22, 41, 18, 25]
    counts[:, counts.sum(axis=0) < 10] += 2
    return {"counts": counts, "volume": volume, "group": group, "age": age}


if __name__ == "__main__":
    made = samples()
    counts, offsets = made["counts"], np.log(made["volume"])
    design = np.stack([np.ones(11), made["group"], (made["age"] - made["age"].mean()) / made["age"].std()], axis=1)
    out = dict(made)
    for name, alpha in (("poisson", 0.0), ("some", 0.05), ("much", 0.7)):
        coefficients, errors = [], []
        for structure in range(counts.shape[1]):
            family = sm.families.Poisson() if alpha == 0 else sm.families.NegativeBinomial(alpha=alpha)
            if structure in (20, 21):
                coefficients.append(np.nan)
                errors.append(np.nan)
                continue
            fit = sm.GLM(counts[:, structure], design, family=family, offset=offsets[:, structure]).fit(tol=1e-14, maxiter=200)
            coefficients.append(fit.params[1])
            errors.append(fit.bse[1])
        out[f"{name}_coefficient"], out[f"{name}_error"] = np.array(coefficients), np.array(errors)
    with tempfile.TemporaryDirectory() as folder:
        for name, table in (("counts", counts), ("offsets", offsets), ("design", design)):
            np.savetxt(Path(folder) / f"{name}.csv", table, delimiter=",", fmt="%.17g")
        subprocess.run(["Rscript", "-e", SCRIPT], cwd=folder, check=True)
        for file in Path(folder).glob("*_out.csv"):
            out["edger_" + file.stem.removesuffix("_out")] = np.loadtxt(file, delimiter=",")
    np.savez_compressed(HERE / "counts.npz", **out)
