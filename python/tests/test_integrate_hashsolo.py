"""`zs.pp.hashsolo`: live against scanpy's external hashsolo, on real hashtags; bad input."""

from __future__ import annotations

import contextlib
import io
import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import _read

import zensaibo as zs


@pytest.fixture
def tagged() -> ad.AnnData:
    """500 cells with the counts of 4 hashtags (ECCITE-seq), in obs."""
    source = _read("eccite_pbmc_500/eccite_rna_adt_hto.h5ad")
    counts = source.obsm["HTO"]
    counts = counts.toarray() if hasattr(counts, "toarray") else np.asarray(counts)
    adata = ad.AnnData(obs=pd.DataFrame(counts, columns=[f"tag{i}" for i in range(4)], index=source.obs_names).astype(int))
    adata.obs["cluster"] = np.where(np.arange(adata.n_obs) % 2 == 0, "x", "y")
    return adata


TAGS = [f"tag{i}" for i in range(4)]


@pytest.mark.parametrize(
    "options",
    [{}, {"number_of_noise_barcodes": 1}, {"priors": (0.1, 0.5, 0.4)}, {"pre_existing_clusters": "cluster"}],
    ids=["default", "one noise", "priors", "clusters"],
)
def test_probabilities_are_scanpys(tagged, options):
    """To 1e-9, and the same calls, where no cell has two hashtags of equal counts (numpy ranks those at will)."""
    import scanpy.external as sce

    for place, tag in enumerate(TAGS):
        tagged.obs[tag] = 4 * tagged.obs[tag] + place
    theirs, ours = tagged.copy(), tagged.copy()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sce.pp.hashsolo(theirs, TAGS, **options)
    zs.pp.hashsolo(ours, TAGS, **options)
    for name in ("negative", "singlet", "doublet"):
        column = f"{name}_hypothesis_probability"
        np.testing.assert_allclose(ours.obs[column], theirs.obs[column], atol=1e-9)
    for column in ("most_likely_hypothesis", "Classification", "cluster_feature"):
        assert (ours.obs[column] == theirs.obs[column]).all(), column
    assert ours.obs["most_likely_hypothesis"].dtype == theirs.obs["most_likely_hypothesis"].dtype


def test_raw_counts_with_ties_are_called_as_by_scanpy(tagged):
    import scanpy.external as sce

    theirs, ours = tagged.copy(), tagged.copy()
    with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sce.pp.hashsolo(theirs, TAGS)
    zs.pp.hashsolo(ours, TAGS)
    assert (ours.obs["Classification"] == theirs.obs["Classification"]).mean() > 0.99


def test_a_copy_and_provenance(tagged):
    changed = zs.pp.hashsolo(tagged, TAGS, inplace=False)
    assert "Classification" not in tagged.obs
    assert set(changed.obs["Classification"]) <= {*TAGS, "Negative", "Doublet"}
    assert changed.obs["Classification"].isin(TAGS).mean() > 0.5
    assert changed.uns["zensaibo"]["hashsolo"]["options"]["cell_hashing_columns"] == TAGS
    found = zs.arrays.hashsolo(tagged.obs[TAGS])
    np.testing.assert_array_equal(found.hypothesis, changed.obs["most_likely_hypothesis"])
    np.testing.assert_allclose(found.probabilities.sum(axis=1), 1, rtol=1e-12)


def test_bad_input_is_named(tagged):
    with pytest.raises(KeyError, match="`tag9` not found in adata.obs"):
        zs.pp.hashsolo(tagged, ["tag0", "tag9", "tag1"])
    with pytest.raises(zs.errors.ParameterError, match="`cell_hashing_columns`: expected different columns"):
        zs.pp.hashsolo(tagged, ["tag0", "tag0", "tag1"])
    with pytest.raises(zs.errors.ParameterError, match="`cell_hashing_columns`: expected columns of obs"):
        zs.pp.hashsolo(tagged, [])
    with pytest.raises(zs.errors.TooFewError, match="at least 3, or `number_of_noise_barcodes`"):
        zs.pp.hashsolo(tagged, TAGS[:2])
    zs.pp.hashsolo(tagged, TAGS[:2], number_of_noise_barcodes=1)
    with pytest.raises(zs.errors.ParameterError, match="`number_of_noise_barcodes`: expected less than .* 4"):
        zs.pp.hashsolo(tagged, TAGS, number_of_noise_barcodes=4)
    with pytest.raises(zs.errors.ParameterError, match="`priors`"):
        zs.pp.hashsolo(tagged, TAGS, priors=(-1, 1, 1))
    with pytest.raises(zs.errors.DataError, match="expected counts, found dtype"):
        zs.pp.hashsolo(tagged, [*TAGS, "cluster"])
    tagged.obs["half"] = 0.5
    with pytest.raises(zs.errors.NotCountsError, match="half.*0.5 in row 0"):
        zs.pp.hashsolo(tagged, [*TAGS, "half"])
    tagged.obs["below"] = -1
    with pytest.raises(zs.errors.NegativeValuesError, match="-1 for cell 0, barcode 4"):
        zs.pp.hashsolo(tagged, [*TAGS, "below"])
    tagged.obs["lonely"] = ["a"] * (tagged.n_obs - 1) + ["b"]
    with pytest.raises(zs.errors.DataError, match="cluster 'b' of `lonely`"):
        zs.pp.hashsolo(tagged, TAGS, pre_existing_clusters="lonely")
