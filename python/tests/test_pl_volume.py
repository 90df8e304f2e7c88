"""Pictures of volumes: the right voxels at the right place, in micrometres."""

from __future__ import annotations

import anndata as ad
import matplotlib
import numpy as np
import pandas as pd
import pytest

import zensaibo as zs
from zensaibo.errors import ParameterError, ShapeError

matplotlib.use("Agg")
ARRAY = np.random.default_rng(0).integers(0, 4000, (6, 20, 30)).astype(np.uint16)


def _picture(ax):
    return np.asarray(ax.images[0].get_array()), ax.images[0].get_extent()


@pytest.mark.parametrize("axis", ["z", "y", "x"])
def test_slices_and_projections_show_the_voxels_in_micrometres(axis):
    along = "zyx".index(axis)
    spacing = np.array([5.0, 2.0, 1.0])
    volume = zs.im.open(ARRAY, spacing=spacing)
    picture, extent = _picture(zs.pl.volume(volume, axis=axis, at=2 * spacing[along]))
    np.testing.assert_array_equal(picture, ARRAY.take(2, along))
    across, down = [k for k in (2, 1, 0) if k != along]
    low, high = -spacing / 2, (np.array(ARRAY.shape) - 0.5) * spacing
    assert extent == [low[across], high[across], high[down], low[down]] or tuple(extent) == (low[across], high[across], high[down], low[down])
    picture, _ = _picture(zs.pl.volume(volume, axis=axis, projection="max"))
    np.testing.assert_array_equal(picture, ARRAY.max(along))
    picture, _ = _picture(zs.pl.volume(volume, axis=axis, projection="mean"))
    np.testing.assert_allclose(picture, ARRAY.mean(along))
    matplotlib.pyplot.close("all")


def test_a_slab_and_its_cells():
    points = np.array([[0, 10, 3], [10, 20, 9], [25, 30, 21]], dtype=float)
    cells = ad.AnnData(obs=pd.DataFrame({"score": [0.1, 0.9, 0.5], "label": ["a", "b", "a"]}, index=list("123")))
    cells.obsm["spatial"] = points[:, ::-1]
    volume = zs.im.open(ARRAY, spacing=(5, 2, 1))
    ax = zs.pl.volume(volume, at=10, depth=10, projection="max", cells=cells, color="score")
    np.testing.assert_array_equal(_picture(ax)[0], ARRAY[1:4].max(0))
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[9, 20]])
    ax = zs.pl.volume(volume, at=0, cells=points, size=4)
    np.testing.assert_allclose(ax.collections[0].get_offsets(), [[3, 10]])
    ax = zs.pl.volume(volume, projection="max", cells=cells, color="label")
    assert len(ax.collections[0].get_offsets()) == 3 and len(ax.get_legend().get_texts()) == 2
    matplotlib.pyplot.close("all")


def test_outlines_surround_each_label():
    labels = np.zeros(ARRAY.shape, np.uint32)
    labels[:, 2:8, 3:9], labels[:, 2:8, 9:15] = 7, 2**31
    overlay = np.asarray(zs.pl.volume(ARRAY, labels=labels).images[1].get_array())
    edge = overlay[..., 3] > 0
    assert edge[2, 3] and edge[4, 8] and edge[4, 9] and not edge[4, 5] and not edge[0, 0]
    matplotlib.pyplot.close("all")


def test_bad_input_is_named():
    for keywords, message in [
        ({"axis": "t"}, "axis"),
        ({"projection": "sum"}, "projection"),
        ({"at": 99.0}, "at"),
        ({"depth": -1.0, "projection": "max"}, "depth"),
        ({"time": 3}, "time"),
        ({"channel": 1}, "channel"),
        ({"cells": np.zeros((2, 3)), "color": "x"}, "color"),
    ]:
        with pytest.raises(ParameterError, match=message):
            zs.pl.volume(ARRAY, **keywords)
    with pytest.raises(ShapeError, match="labels"):
        zs.pl.volume(ARRAY, labels=ARRAY[1:])
    with pytest.raises(ShapeError, match="cells"):
        zs.pl.volume(ARRAY, cells=np.zeros((2, 2)))
    with pytest.raises(ShapeError, match="voxels"):
        zs.pl.volume(ARRAY[:0])
    matplotlib.pyplot.close("all")
