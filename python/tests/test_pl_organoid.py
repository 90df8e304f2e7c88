"""Pictures of organoids: outlines where the surfaces are, cells of the section, profiles over organoids."""

from __future__ import annotations

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from zensaibo import errors


@pytest.fixture(autouse=True)
def _closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def made():
    phantom = zs.datasets.phantom_organoid(300, spacing=(2, 1.5, 1.5), radius=38, genes=150, lumens=1, seed=6)
    return phantom, zs.im.organoid(phantom.tissue, phantom.truth.copy(), spacing=(2, 1.5, 1.5))


def test_a_section_with_outlines_and_its_cells(made):
    phantom, found = made
    middle = found.organoids.obs[["z", "y", "x"]].to_numpy()[0]
    ax = zs.pl.organoid(found, at=middle[0], thickness=10)
    shown = ax.collections[-1].get_offsets()
    near = np.abs(found.cells.obsm["spatial"][:, 2] - round(middle[0] / 2) * 2) <= 5
    np.testing.assert_allclose(np.sort(shown[:, 0]), np.sort(found.cells.obsm["spatial"][near, 0]))
    lines = [collection for collection in ax.collections if type(collection).__name__ == "QuadContourSet"]
    assert len(lines) == 2
    wide = [np.ptp(line.get_paths()[0].vertices, axis=0) for line in lines]
    assert (wide[0] > 2 * wide[1]).all()
    by_type = zs.pl.organoid(found, color="cell_type", axis="y", image=phantom.volume, channel="RIM1", palette={"rim": "red"})
    names = [text.get_text() for text in by_type.get_legend().get_texts()]
    assert names == list(found.cells.obs["cell_type"].cat.categories) and by_type.get_ylabel().startswith("z")
    gene = zs.pl.organoid(found, color="RIM1", axis="x", at=middle[2])
    assert gene.collections[-1].get_array() is not None
    for match, options in (("color", {"color": "nothing"}), ("axis", {"axis": "t"}), ("`at`", {"at": 1e4})):
        with pytest.raises((errors.ParameterError, errors.MissingKeyError), match=match):
            zs.pl.organoid(found, **options)


def test_profiles_as_lines(made):
    _, found = made
    profile = zs.im.radial_profile(found, groupby="cell_type", bins=5)
    ax = zs.pl.radial_profile(profile, labels=["rim", "inner"])
    assert [line.get_label() for line in ax.lines] == ["rim", "inner"]
    np.testing.assert_allclose(ax.lines[0].get_ydata(), profile.loc[profile["label"] == "rim", "value"])
    np.testing.assert_allclose(ax.lines[0].get_xdata(), [0.1, 0.3, 0.5, 0.7, 0.9])
    several = pd.concat([profile.assign(arm=arm, organoid=name) for arm, name in (("a", "1"), ("a", "2"), ("b", "3"))])
    arms = zs.pl.radial_profile(several, groupby="arm", labels=["rim"], value="share", scale=True)
    assert [line.get_label() for line in arms.lines] == ["rim, a", "rim, b"] and len(arms.collections) == 1
    assert max(arms.lines[0].get_ydata()) == 1
    with pytest.raises(errors.MissingKeyError, match="nerve"):
        zs.pl.radial_profile(profile, labels=["nerve"])
    with pytest.raises(errors.DataError, match="radial_profile"):
        zs.pl.radial_profile(pd.DataFrame({"a": [1]}))
