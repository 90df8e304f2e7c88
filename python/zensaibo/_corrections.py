"""p values of many tests at once."""

from __future__ import annotations

from typing import Any

import numpy as np

CORRECTIONS = ("fdr_bh", "fdr_by", "bonferroni")


def corrected(values: Any, method: str = "fdr_bh") -> np.ndarray:
    """p values corrected over those that are numbers."""
    from scipy.stats import false_discovery_control

    values = np.asarray(values, dtype=np.float64)
    known = ~np.isnan(values)
    out = np.full(len(values), np.nan)
    if known.any():
        if method == "bonferroni":
            out[known] = np.minimum(1.0, values[known] * known.sum())
        else:
            out[known] = false_discovery_control(np.clip(values[known], 0.0, 1.0), method=method.removeprefix("fdr_"))
    return out
