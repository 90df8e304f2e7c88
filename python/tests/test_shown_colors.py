"""Default colours of categories: told apart by the colour-blind up to eight, stable as categories come, stored for scanpy."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest

import zensaibo as zs

matplotlib = pytest.importorskip("matplotlib")
matplotlib.use("Agg")

OKABE_ITO = ["#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7", "#000000"]

#: Linear sRGB as seen without red, green or blue cones (Machado, Oliveira, Fernandes 2009, severity 1).
BLINDNESS = {
    "protan": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deutan": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritan": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def lab(color: str, seen: np.ndarray) -> np.ndarray:
    """CIELAB (D65) of a colour as it is seen."""
    rgb = np.array(matplotlib.colors.to_rgb(color))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    linear = np.clip(seen @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ linear
    t = xyz / [0.95047, 1, 1.08883]
    f = np.where(t > 216 / 24389, np.cbrt(t), (24389 / 27 * t + 16) / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def closest(colors: list[str], seen) -> float:
    points = [lab(color, np.asarray(seen, dtype=float)) for color in colors]
    return min(float(np.linalg.norm(a - b)) for a, b in itertools.combinations(points, 2))


def drawn(small, n: int) -> list[str]:
    small.obs["kind"] = pd.Categorical([f"k{i % n:02}" for i in range(small.n_obs)])
    small.obsm["X_umap"] = np.random.default_rng(0).normal(size=(small.n_obs, 2))
    small.uns.pop("kind_colors", None)
    zs.pl.umap(small, color="kind")
    matplotlib.pyplot.close("all")
    return list(small.uns["kind_colors"])


def test_eight_are_told_apart_by_the_colour_blind(small):
    colors = drawn(small, 8)
    assert colors == OKABE_ITO
    # A difference of 10 is plain to see; Tableau's first eight come to 4 and less without red or green cones.
    tableau = [matplotlib.colors.to_hex(color) for color in matplotlib.colormaps["tab10"].colors[:8]]
    for kind, seen in BLINDNESS.items():
        assert closest(colors, seen) > 10, kind
    assert min(closest(tableau, BLINDNESS[kind]) for kind in ("protan", "deutan")) < 8


@pytest.mark.parametrize("n", [2, 8, 9, 20, 21, 60])
def test_colours_are_distinct_and_do_not_depend_on_how_many_follow(small, n):
    colors = drawn(small, n)
    assert len(set(colors)) == n and colors[: min(n, 8)] == OKABE_ITO[:n]
    assert closest(colors, np.eye(3)) > (10 if n <= 21 else 4)


def test_scanpy_draws_with_them(small):
    import scanpy as sc

    colors = drawn(small, 8)
    sc.pl.umap(small, color="kind", show=False)
    matplotlib.pyplot.close("all")
    assert list(small.uns["kind_colors"]) == colors
