"""Golden values of variances drawn towards each other, by inmoose's port of limma's squeezeVar.

Made with Python 3.11, inmoose 0.9.1, numpy 2.4: pip install inmoose==0.9.1 && python make.py

squeeze.tsv: one line per set: df, prior df, prior variance, then the variances and the posterior variances (";" between).
"""

from pathlib import Path

import numpy as np
from inmoose.limma import squeezeVar

rng = np.random.default_rng(5)
with open(Path(__file__).parent / "squeeze.tsv", "w") as file:
    for df, prior in ((3, 5.0), (6, 2.0), (20, 40.0), (4, None)):
        spread = 1.0 if prior is None else prior / rng.chisquare(prior, 50)
        variances = 0.7 * spread * rng.chisquare(df, 50) / df
        if prior is None:
            # All but equal: no spread beyond chance.
            variances = 0.7 + 0.001 * rng.normal(size=50)
        variances = np.array([float(f"{v:.6e}") for v in variances])
        found = squeezeVar(variances.copy(), np.full(50, float(df)))
        post = np.broadcast_to(np.asarray(found["var_post"], dtype=float), 50)
        numbers = [df, float(np.asarray(found["df_prior"])), float(np.asarray(found["var_prior"]))]
        lists = [";".join(repr(float(v)) for v in table) for table in (variances, post)]
        file.write("\t".join([*map(repr, map(float, numbers)), *lists]) + "\n")
