"""Gene scores: scanpy's draws and scores, every layout, the same bits for any number of threads."""

import warnings

import anndata as ad
import numpy as np
import pytest
import scanpy as sc
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS
from zensaibo import errors

#: Some of the cell-cycle genes of Tirosh et al. 2016.
S_GENES = "MCM5 PCNA TYMS FEN1 MCM2 MCM4 RRM1 UNG GINS2 MCM6 CDCA7 DTL PRIM1 UHRF1 HELLS RFC2 NASP GMNN SLBP".split()
G2M_GENES = "HMGB2 CDK1 NUSAP1 UBE2C BIRC5 TPX2 TOP2A NDC80 CKS2 NUF2 CKS1B MKI67 TMPO CENPF TACC3 SMC4 CCNB2".split()


#: scanpy sums sparse float32 values in float32; other control genes would change scores in the second digit.
TOLERANCE = 2e-6


def same_score(ours, theirs, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.tl.score_genes(ours, *args, **kwargs)
        sc.tl.score_genes(theirs, *args, **kwargs)
    name = kwargs.get("score_name", "score")
    np.testing.assert_allclose(ours.obs[name], theirs.obs[name], rtol=TOLERANCE, atol=TOLERANCE)
    assert ours.obs[name].dtype == theirs.obs[name].dtype == np.float64


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"ctrl_as_ref": False},
        {"ctrl_size": 5, "random_state": 7},
        {"n_bins": 5, "ctrl_size": 200, "score_name": "other"},
        {"ctrl_size": 3, "n_bins": 400},
    ],
    ids=str,
)
def test_equals_scanpy_on_real_data(pbmc3k_log, arguments):
    genes = ["CD79A", "CD79B", "MS4A1", "CD74", "not a gene"]
    same_score(pbmc3k_log, pbmc3k_log.copy(), genes, **arguments)


@pytest.mark.parametrize("ctrl_as_ref", [True, False])
def test_gene_pools_draw_in_their_own_order(pbmc3k_log, ctrl_as_ref):
    names = pbmc3k_log.var_names.to_numpy()
    pool = list(np.random.default_rng(0).permutation(names)[:6000]) + ["nothing"]
    same_score(pbmc3k_log, pbmc3k_log.copy(), pool[:30], gene_pool=pool, ctrl_size=20, ctrl_as_ref=ctrl_as_ref)


def test_scaled_data_as_in_the_tutorials(pbmc3k_log):
    adata = pbmc3k_log[:, pbmc3k_log.var["highly_variable"]].copy()
    adata.raw = pbmc3k_log
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        sc.pp.scale(adata, max_value=10)
    genes = adata.var_names[:25]
    same_score(adata, adata.copy(), genes, use_raw=False)
    same_score(adata, adata.copy(), genes)
    same_score(adata, adata.copy(), genes, use_raw=False, gene_pool=adata.var_names[:900], ctrl_size=10)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_equal_scanpy(small, layout):
    small.X = LAYOUTS[layout](small.X)
    theirs = small.copy()
    if isinstance(theirs.X, sparse.csr_array):
        theirs.X = sparse.csr_matrix(theirs.X)
    same_score(small, theirs, ["gene3", "gene50"], ctrl_size=4, n_bins=10)


def test_layers_and_missing_values(small):
    small.X.data[::7] = np.nan
    small.layers["a"] = small.X.copy()
    small.layers["b"] = small.X.toarray()
    for layer in ("a", "b"):
        same_score(small, small.copy(), ["gene3", "gene50"], ctrl_size=4, n_bins=10, layer=layer)
    only = zs.tl.score_genes(small, "gene1", layer="a", copy=True)
    assert "score" not in zs.tl.score_genes(small, "gene1", score_name="s", copy=True).uns and "score" in only.obs


def test_cell_cycle_equals_scanpy(pbmc3k_log):
    ours, theirs = pbmc3k_log, pbmc3k_log.copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.tl.score_genes_cell_cycle(ours, s_genes=S_GENES, g2m_genes=G2M_GENES, random_state=3)
        sc.tl.score_genes_cell_cycle(theirs, s_genes=S_GENES, g2m_genes=G2M_GENES, random_state=3)
    for column in ("S_score", "G2M_score"):
        np.testing.assert_allclose(ours.obs[column], theirs.obs[column], rtol=TOLERANCE, atol=TOLERANCE)
    s, g2m = (theirs.obs[column].to_numpy() for column in ("S_score", "G2M_score"))
    # Equal scores are decided by rounding, which in scanpy is float32's.
    clear = (np.abs(s - g2m) > 1e-5) & (np.abs(s) > 1e-5) & (np.abs(g2m) > 1e-5)
    assert clear.mean() > 0.9
    assert (ours.obs["phase"].to_numpy() == theirs.obs["phase"].to_numpy())[clear].all()
    assert set(ours.obs["phase"]) == {"S", "G1", "G2M"}


def test_threads_and_the_global_generator(pbmc3k_log):
    np.random.seed(5)
    expected = np.random.RandomState(5).rand()
    runs = [zs.arrays.score_genes(pbmc3k_log.X, np.arange(0, 900, 9), threads=t) for t in (1, 2, 8)]
    assert np.random.rand() == expected
    for run in runs[1:]:
        assert run.scores.tobytes() == runs[0].scores.tobytes()
        np.testing.assert_array_equal(run.control_genes, runs[0].control_genes)
    assert not np.isin(runs[0].control_genes, np.arange(0, 900, 9)).any()
    other = zs.arrays.score_genes(pbmc3k_log.X, np.arange(0, 900, 9), seed=1)
    assert (other.scores != runs[0].scores).any()


def test_a_shifted_set_is_found(small):
    dense = small.X.toarray()
    dense[:100, 10:20] += 4
    adata = ad.AnnData(sparse.csr_matrix(dense), obs=small.obs, var=small.var)
    zs.tl.score_genes(adata, [f"gene{i}" for i in range(10, 20)], ctrl_size=20, n_bins=5)
    assert adata.obs["score"][:100].min() > adata.obs["score"][100:].median()


def test_bad_input(small):
    with pytest.raises(errors.MissingKeyError, match="gene_list.*a, b"):
        zs.tl.score_genes(small, ["a", "b"])
    with pytest.raises(errors.MissingKeyError, match="gene_pool"):
        zs.tl.score_genes(small, ["gene1"], gene_pool=["a"])
    with pytest.raises(errors.EmptyDataError, match="gene_list"):
        zs.tl.score_genes(small, [])
    with pytest.raises(errors.DataError, match="gene pool.*1 others"):
        zs.tl.score_genes(small, ["gene1", "gene2"], gene_pool=[f"gene{i}" for i in range(2, 90)])
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.tl.score_genes(small, ["gene1"], layer="nope")
    with pytest.raises(errors.MissingKeyError, match="raw"):
        zs.tl.score_genes(small, ["gene1"], use_raw=True)
    for name, value in (("ctrl_size", 0), ("n_bins", 1), ("random_state", -1), ("random_state", None), ("ctrl_size", 2.5)):
        with pytest.raises(errors.ParameterError, match=name):
            zs.tl.score_genes(small, ["gene1"], **{name: value})
    with pytest.raises(errors.ParameterError, match="ctrl_size"):
        zs.tl.score_genes_cell_cycle(small, s_genes=["gene1"], g2m_genes=["gene2"], ctrl_size=5)
    with pytest.raises(errors.DataError, match="ctrl_as_ref=False"):
        zs.arrays.score_genes(small.X[:, :3], [0, 1, 2])
    with pytest.raises(errors.DataError, match=r"columns in 0\.\.120"):
        zs.arrays.score_genes(small.X, [500])
    with pytest.raises(errors.DataError, match="repeated"):
        zs.arrays.score_genes(small.X, [5, 5])
    small.var_names = ["x"] * 120
    with pytest.raises(errors.DuplicateNamesError, match="'x'"):
        zs.tl.score_genes(small, ["x"])
    with pytest.warns(UserWarning, match="1 genes of `gene_list`.*unknown"):
        small.var_names = [f"gene{i}" for i in range(120)]
        zs.tl.score_genes(small, ["gene1", "unknown"])
