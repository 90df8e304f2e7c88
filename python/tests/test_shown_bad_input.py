"""Bad input, one test for each kind: a named error or a counted warning, and nothing lost or changed on the way."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import errors


@pytest.fixture
def cells(small) -> ad.AnnData:
    small.obs["batch"] = np.where(np.arange(300) % 2 == 0, "a", "b")
    small.obs["lonely"] = ["alone"] + ["rest"] * 299
    small.obsm["X_pca"] = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)
    return small


def logged(adata: ad.AnnData) -> ad.AnnData:
    adata.X = adata.X.log1p()
    return adata


@pytest.mark.parametrize(("call", "key"), [
    (lambda a: zs.pp.bbknn(a, batch_key="plate"), "plate"),
    (lambda a: zs.pp.combat(a, "plate"), "plate"),
    (lambda a: zs.pp.harmony_integrate(a, "plate"), "plate"),
    (lambda a: zs.pp.scrublet(a, batch_key="plate"), "plate"),
    (lambda a: zs.pp.regress_out(a, "depth"), "depth"),
    (lambda a: zs.pp.highly_variable_genes(a, batch_key="plate"), "plate"),
    (lambda a: zs.pp.normalize_total(a, layer="raw"), "raw"),
    (lambda a: zs.pp.neighbors(a, use_rep="X_lsi"), "X_lsi"),
    (lambda a: zs.tl.leiden(a), "neighbors"),
    (lambda a: zs.tl.paga(a, "kind"), "neighbors|kind"),
    (lambda a: zs.tl.rank_genes_groups(a, "kind"), "kind"),
    (lambda a: zs.tl.dendrogram(a, "kind"), "kind"),
    (lambda a: zs.tl.embedding_density(a, "umap"), "X_umap"),
    (lambda a: zs.get.aggregate(a, "kind", "sum"), "kind"),
    (lambda a: zs.get.rank_genes_groups_df(a, None), "rank_genes_groups"),
    (lambda a: zs.pp.clr(a, obsm="protein"), "protein"),
    (lambda a: zs.pp.wnn(a, ["X_pca", "protein"]), "protein"),
])  # fmt: skip
def test_missing_keys_are_named_with_what_is_there(cells, call, key):
    before = cells.copy()
    with pytest.raises(errors.MissingKeyError, match=f"`({key})`.*") as caught:
        call(cells)
    assert isinstance(caught.value, KeyError) and ("present" in str(caught.value) or "run" in str(caught.value))
    assert (
        (before.X != cells.X).nnz == 0 and list(before.obs) == list(cells.obs) and list(before.obsm) == list(cells.obsm)
    )


class TwoModalities:
    """Looks like MuData."""

    def __init__(self, **mod):
        self.mod = mod
        self.obs_names = next(iter(mod.values())).obs_names


@pytest.mark.parametrize("function", [
    zs.pp.normalize_total, zs.pp.neighbors, zs.pp.scrublet, zs.pp.moments, zs.pp.clr, zs.pp.tfidf, zs.tl.leiden,
    zs.tl.umap, zs.tl.diffmap, zs.tl.louvain, zs.tl.lsi, zs.tl.velocity, zs.tl.velocity_graph,
])  # fmt: skip
def test_a_modality_must_be_chosen(cells, function):
    with pytest.raises(errors.ParameterError, match="expected an AnnData, found TwoModalities"):
        function(TwoModalities(rna=cells, prot=cells))


def test_the_wrong_modality(cells):
    """Genes where peaks are needed; proteins of another panel; RNA without unspliced counts; no such modality."""
    genes = pd.DataFrame({"gene_name": ["A"], "chrom": ["chr1"], "start": [1], "end": [9], "strand": ["+"]})
    with pytest.raises(errors.DataError, match="'gene0' and 119 more"):
        zs.tl.gene_activity(cells, genes)
    with pytest.raises(errors.MissingKeyError, match="gene0"):
        zs.pp.dsb(cells, cells[:, 3:].copy())
    cells.layers["spliced"] = cells.X.copy()
    with pytest.raises(errors.MissingKeyError, match="`unspliced`.*needs both"):
        zs.pp.moments(cells)


def test_a_modality_that_is_not_there(cells):
    mudata = pytest.importorskip("mudata", reason="mudata is not installed")
    with pytest.raises(errors.MissingKeyError, match="`prot` not found in mdata.mod; present: rna"):
        zs.pp.wnn(mudata.MuData({"rna": cells}), {"rna": "X_pca", "prot": "X"})


COUNTERS = {
    "scrublet": lambda a: zs.pp.scrublet(a, n_prin_comps=5),
    "seurat_v3": lambda a: zs.pp.highly_variable_genes(a, flavor="seurat_v3", n_top_genes=10),
    "downsample_counts": lambda a: zs.pp.downsample_counts(a, counts_per_cell=3),
    "pearson": lambda a: zs.pp.normalize_pearson_residuals(a),
    "pseudobulk": lambda a: zs.tl.pseudobulk_test(
        a, ["batch", "group"], "group", contrast=("group", "g1", "g0"), min_cells=2, min_count=1, min_total_count=1
    ),
    "check_counts": lambda a: zs.arrays.check_counts(a.X),
}


@pytest.mark.parametrize("name", COUNTERS)
def test_negative_counts_are_refused(cells, name):
    cells.X.data[17] = -2
    before = cells.X.copy()
    with pytest.raises((errors.NegativeValuesError, errors.NotCountsError), match="-2"):
        COUNTERS[name](cells)
    assert (before != cells.X).nnz == 0


@pytest.mark.parametrize("name", COUNTERS)
def test_fractions_are_refused_or_told(cells, name):
    cells.X.data[17] = 1.5
    if name in ("seurat_v3", "pearson"):  # scanpy's warning
        with pytest.warns(UserWarning, match="non-integers"):
            COUNTERS[name](cells)
    else:
        with pytest.raises(errors.NotCountsError, match="1.5"):
            COUNTERS[name](cells)


def test_a_batch_of_one_cell_is_named(cells):
    with pytest.raises(
        errors.TooFewError, match="`lonely`: expected at least 3 cells in each batch, found 1 in batch 'alone'"
    ):
        zs.pp.bbknn(cells, batch_key="lonely")
    for flavor in ("seurat", "seurat_v3"):
        source = cells.copy() if flavor == "seurat_v3" else logged(cells.copy())
        with pytest.raises(errors.TooFewError, match="`lonely`: expected at least 2 cells .* batch 'alone'"):
            zs.pp.highly_variable_genes(source, flavor=flavor, batch_key="lonely", n_top_genes=10)
    with pytest.raises(errors.TooFewError, match="batch 'alone' of `lonely`"):
        zs.pp.scrublet(cells, batch_key="lonely", n_prin_comps=5, threshold=0.3)
    with pytest.raises(errors.TooFewError, match="`lonely`: expected at least 2 cells .* batch 'alone'"):
        zs.pp.combat(logged(cells.copy()), "lonely")
    zs.pp.harmony_integrate(cells, "lonely")
    assert np.isfinite(cells.obsm["X_pca_harmony"]).all()


def test_collinear_covariates_are_refused(cells):
    cells.obs["site"] = cells.obs["batch"].map({"a": "x", "b": "y"})
    with pytest.raises(errors.DataError, match="collinear|determine"):
        zs.pp.combat(logged(cells.copy()), "batch", covariates=["site"])
    cells.obs["sample"] = (np.arange(300) % 12).astype(str)
    cells.obs["half"] = np.where(np.arange(300) % 2 == 0, "p", "q")
    with pytest.raises(errors.DataError, match="collinear"):
        zs.tl.pseudobulk_test(
            cells,
            ["sample"],
            ["batch", "half"],
            contrast=("batch", "b", "a"),
            min_cells=1,
            min_count=1,
            min_total_count=1,
        )


def test_names_shared_by_modalities(cells):
    """Two representations of one name would write one column of weights twice."""
    with pytest.raises(errors.DuplicateNamesError, match="each representation once"):
        zs.pp.wnn(cells, ["X_pca", "X_pca"])
    assert not [column for column in cells.obs if column.endswith("mod_weight")]


def test_a_reference_of_other_genes(cells):
    reference = logged(cells.copy())
    zs.pp.pca(reference, n_comps=10)
    zs.pp.neighbors(reference)
    zs.tl.umap(reference, maxiter=5)
    query = logged(cells.copy())
    query.var_names = [f"x{i}" for i in range(query.n_vars)]
    with pytest.raises(errors.ZensaiboError, match="gene"):
        zs.tl.ingest(query, reference, obs="group")
    zs.pp.harmony_integrate(reference, "batch")
    with pytest.raises(errors.DataError, match="found none|missing"):
        zs.tl.map_to_reference(query, reference, obs="group")
    model = zs.tl.train_classifier(reference, "group")
    with pytest.raises(errors.ZensaiboError, match="gene"):
        zs.tl.annotate(query, model)
    half = logged(cells.copy())
    half.var_names = [name if i % 4 else f"x{i}" for i, name in enumerate(half.var_names)]
    with pytest.warns(UserWarning, match="30 of .*120|30 .*genes"):
        zs.tl.annotate(half, model)
    assert half.n_vars == 120 and sparse.issparse(half.X)
