"""Shapes of violins: a Gaussian density of binned values, so that its cost does not grow with the cells."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ..errors import ParameterError

#: Points at which the shape is drawn, and bins between two of them.
_POINTS, _FINER = 101, 5


class Shape(NamedTuple):
    """Density of one group's values, cut at the lowest and highest."""

    #: Values at which the density is given; one only if all values are equal.
    at: np.ndarray
    #: Density there; the integral over all numbers is 1.
    density: np.ndarray
    #: How many values.
    members: int


def shape(values: np.ndarray) -> Shape:
    """Gaussian kernel density at 101 points from the lowest to the highest value, bandwidth by Scott's rule.

    Values are shared out between the two nearest of 501 bins, which changes the density by less than 1% of its peak
    unless the bandwidth is narrower than a bin.
    """
    n = len(values)
    if n == 0:
        return Shape(np.empty(0), np.empty(0), 0)
    low, high = float(values.min()), float(values.max())
    spread = float(values.std(ddof=1)) if n > 1 else 0.0
    if not high > low or spread == 0.0 or not np.isfinite(high - low):
        return Shape(np.array([low]), np.array([1.0]), n)
    bins = (_POINTS - 1) * _FINER
    step = (high - low) / bins
    place = np.clip((values - low) / step, 0, bins)
    left = np.minimum(place.astype(np.int64), bins - 1)
    share = place - left
    mass = np.bincount(left, weights=1 - share, minlength=bins + 1) + np.bincount(left + 1, weights=share, minlength=bins + 1)
    width = spread * n ** (-1 / 5) / step  # of the kernel, in bins
    distance = np.arange(-bins, bins + 1) / width
    kernel = np.exp(-0.5 * distance**2) / (np.sqrt(2 * np.pi) * width * step)
    # Entry bins + i of the full convolution is bin i of the result.
    size = 1 << int(np.ceil(np.log2(3 * bins + 1)))
    full = np.fft.irfft(np.fft.rfft(mass, size) * np.fft.rfft(kernel, size), size)[bins : 2 * bins + 1]
    return Shape(np.linspace(low, high, _POINTS), np.maximum(full[::_FINER], 0) / n, n)


def half_widths(shapes: list[Shape], density_norm: str, width: float) -> list[np.ndarray]:
    """Half of each violin's breadth: the widest is `width` across.

    "width": all are equally wide; "count": in proportion to their values; "area": equal areas.
    """
    if density_norm not in ("width", "count", "area"):
        raise ParameterError(f"parameter `density_norm`: expected 'width', 'count' or 'area', found {density_norm!r}")
    most = max((s.members for s in shapes), default=1) or 1
    tallest = max((s.density.max() for s in shapes if len(s.at) > 1), default=1.0)
    out = []
    for s in shapes:
        if len(s.at) < 2:
            # All values equal: a line as long as the rule would make the widest place.
            share = s.members / most if density_norm == "count" else 1.0
            out.append(np.full(len(s.at), share * width / 2))
        elif density_norm == "area":
            out.append(s.density / tallest * width / 2)
        else:
            share = s.members / most if density_norm == "count" else 1.0
            out.append(s.density / s.density.max() * share * width / 2)
    return out
