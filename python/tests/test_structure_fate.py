"""Fate probabilities: paul15's branches, slots, threads, bad input."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
import zensaibo as zs
from zensaibo import errors


@pytest.fixture(scope="module")
def _paul():
    from conftest import _read

    adata = _read("paul15/paul15.h5ad")
    # Lymphoid and dendritic cells have no part in the two branches.
    adata = adata[~adata.obs["paul15_clusters"].isin(["19Lymph", "11DC"])].copy()
    root = "7MEP"
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.highly_variable_genes(adata, n_top_genes=1000)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata, n_neighbors=15)
    zs.tl.diffmap(adata)
    # The multipotent cell nearest to the middle of the stem.
    stem = np.flatnonzero(adata.obs["paul15_clusters"] == root)
    middle = adata.obsm["X_pca"][stem].mean(0)
    adata.uns["iroot"] = int(stem[np.argmin(((adata.obsm["X_pca"][stem] - middle) ** 2).sum(1))])
    zs.tl.dpt(adata)
    return adata


@pytest.fixture
def paul(_paul):
    return _paul.copy()


def ends(adata):
    """The last cells of four published clusters."""
    time, clusters = adata.obs["dpt_pseudotime"], adata.obs["paul15_clusters"]
    return {
        name: time[clusters == cluster].nlargest(3).index.tolist()
        for name, cluster in {"erythroid": "1Ery", "monocyte": "14Mo", "neutrophil": "16Neu"}.items()
    }


def test_paul15_cells_go_where_they_belong(paul):
    assert zs.tl.fate_probabilities(paul, ends(paul)) is None
    found = paul.obsm["fate_probabilities"]
    assert list(found.columns) == ["erythroid", "monocyte", "neutrophil"]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-9)
    by = found.groupby(paul.obs["paul15_clusters"], observed=True).mean()
    for cluster in ("1Ery", "2Ery", "3Ery", "4Ery"):
        assert by.loc[cluster, "erythroid"] > 0.95, by
    for cluster in ("14Mo", "15Mo", "16Neu", "17Neu"):
        assert by.loc[cluster, "erythroid"] < 0.05, by
    assert by.loc["14Mo", "monocyte"] > by.loc["16Neu", "monocyte"]
    assert by.loc["16Neu", "neutrophil"] > by.loc["14Mo", "neutrophil"]
    entropy = paul.obs["fate_entropy"]
    ends_of = paul.obs["paul15_clusters"].isin(["1Ery", "2Ery"])
    assert entropy[ends_of].mean() < 0.1 and entropy.between(0, np.log(3) + 1e-9).all()


def test_states_by_column_names_and_numbers_agree(paul, tmp_path):
    states = ends(paul)
    zs.tl.fate_probabilities(paul, states)
    expected = paul.obsm["fate_probabilities"].to_numpy()
    paul.obs["ends"] = pd.Series({cell: name for name, cells in states.items() for cell in cells})
    places = {name: paul.obs_names.get_indexer(cells) for name, cells in states.items()}
    for given in ("ends", places):
        copied = zs.tl.fate_probabilities(paul, given, key_added="again", copy=True)
        assert (copied.obsm["again_probabilities"].to_numpy() == expected).all()
    assert "again_entropy" not in paul.obs
    del paul.obs["ends"]
    paul.write(tmp_path / "a.h5ad")
    again = ad.read_h5ad(tmp_path / "a.h5ad")
    assert (again.obsm["fate_probabilities"].to_numpy() == expected).all()


def test_threads_change_nothing(paul):
    found = [
        zs.tl.fate_probabilities(paul, ends(paul), threads=threads, copy=True).obsm["fate_probabilities"].to_numpy().tobytes()
        for threads in (1, 2, 8)
    ]
    assert found[0] == found[1] == found[2]


def test_bad_input_is_refused_by_name(paul):
    cell, other = paul.obs_names[:2]
    for message, states in {
        "in two": {"a": cell, "b": [cell]},
        "none for 'b'": {"a": cell, "b": []},
        "from 0 to": {"a": paul.n_obs},
        "column of obs": {},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.fate_probabilities(paul, states)
    with pytest.raises(errors.MissingKeyError, match="nobody"):
        zs.tl.fate_probabilities(paul, {"a": "nobody"})
    with pytest.raises(errors.MissingKeyError, match="nothing"):
        zs.tl.fate_probabilities(paul, "nothing")
    paul.obs["empty"] = pd.Categorical([None] * paul.n_obs, categories=["a"])
    with pytest.raises(errors.DataError, match="found none"):
        zs.tl.fate_probabilities(paul, "empty")
    states = {"a": cell, "b": other}
    for message, options in {
        "n_dcs": {"n_dcs": 99},
        "n_neighbors": {"n_neighbors": 2},
        "random_state": {"random_state": -1},
    }.items():
        with pytest.raises(errors.ParameterError, match=message):
            zs.tl.fate_probabilities(paul, states, **options)
    with pytest.raises(errors.MissingKeyError, match="time"):
        zs.tl.fate_probabilities(paul, states, pseudotime="time")
    paul.obs["late"] = np.inf
    with pytest.raises(errors.NonFiniteError, match="late"):
        zs.tl.fate_probabilities(paul, states, pseudotime="late")
    del paul.obsm["X_diffmap"]
    with pytest.raises(errors.MissingKeyError, match="X_diffmap"):
        zs.tl.fate_probabilities(paul, states)
    with pytest.raises(errors.ParameterError, match="terminal"):
        zs.arrays.fate_probabilities(np.ones((5, 3)), np.ones(3), np.ones(5), terminal=np.zeros(5))
    with pytest.raises(errors.ShapeError, match="pseudotime"):
        zs.arrays.fate_probabilities(np.ones((5, 3)), np.ones(3), np.ones(4), terminal=np.zeros(5, int))
    with pytest.raises(errors.DataError, match="connected"):
        zs.arrays.fate_probabilities(np.ones((5, 3)), np.ones(3), np.ones(5), terminal=np.zeros(5, int), n_dcs=3)
