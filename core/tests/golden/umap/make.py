"""Writes curve.in: (spread, min_dist, a, b) as umap-learn's least squares finds them.

umap-learn 0.5.12, scipy 1.17.1, numpy 2.4.6.

umap-learn fits with scipy's default tolerance (1e-8); here the same fit is run to 1e-15.
"""

from pathlib import Path

import numpy as np
from scipy.optimize import curve_fit
from umap.umap_ import find_ab_params

lines = []
for spread in (0.5, 1.0, 2.0, 3.0):
    for min_dist in (0.0, 0.001, 0.01, 0.1, 0.25, 0.3, 0.5):
        x = np.linspace(0, spread * 3, 300)
        y = np.where(x < min_dist, 1.0, np.exp(-(x - min_dist) / spread))
        start = find_ab_params(spread, min_dist)
        (a, b), _ = curve_fit(lambda x, a, b: 1 / (1 + a * x ** (2 * b)), x, y, p0=start, ftol=1e-15, xtol=1e-15, gtol=1e-15)
        assert abs(a / start[0] - 1) < 1e-5 and abs(b / start[1] - 1) < 1e-5
        lines.append(f"    ({spread}, {min_dist}, {float(a)!r}, {float(b)!r}),")
Path(__file__).with_name("curve.in").write_text("[\n" + "\n".join(lines) + "\n]\n")
