"""Pooled and spike-in size factors, TPM: known truth, a slow version of the equations, real mixtures of RNA."""

import gzip
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import zensaibo as zs
from conftest import LAYOUTS, data_path
from zensaibo import errors


def slowly(counts, sizes, min_mean=0.1):
    """Pooling and deconvolution of one cluster, with dense least squares."""
    n, totals = counts.shape[0], counts.sum(axis=1)
    shares = counts / totals[:, None]
    average = shares.mean(axis=0)
    used = (average * totals.mean() >= min_mean) & (average > 0)
    order = np.argsort(totals, kind="stable")
    ring = np.concatenate([order[::2], order[1::2][::-1]])
    rows, right = [], []
    for size in sizes:
        for start in range(n):
            members = ring[np.arange(start, start + size) % n]
            row = np.zeros(n)
            np.add.at(row, members, 1)
            rows.append(row)
            right.append(np.median(shares[members][:, used].sum(axis=0) / average[used]))
    rows.extend(1e-3 * np.eye(n))
    right.extend(np.full(n, 1e-3))
    factors = np.linalg.lstsq(np.array(rows), np.array(right), rcond=None)[0] * totals
    return factors / factors.mean()


@pytest.fixture
def mixtures():
    """Wells with known amounts of RNA, ERCC spike-ins among the genes (CEL-seq2)."""
    folder = data_path("cell_line_mixology")
    with gzip.open(folder / "RNAmix_celseq2.count.csv.gz") as file:
        counts = pd.read_csv(file, index_col=0).T
    with gzip.open(folder / "RNAmix_celseq2.metadata.csv.gz") as file:
        cells = pd.read_csv(file, index_col=0)
    return ad.AnnData(sparse.csr_matrix(counts.to_numpy(np.float32)), obs=cells.loc[counts.index], var=pd.DataFrame(index=counts.columns))


def test_equals_dense_least_squares_on_real_counts(paul15):
    counts = np.asarray(paul15.X.toarray() if sparse.issparse(paul15.X) else paul15.X, dtype=np.float64)[::15]
    sizes = (21, 26, 41)
    found = zs.arrays.pooled_size_factors(counts, sizes=sizes)
    kept = ~found.replaced
    ours, theirs = found.factors[kept], slowly(counts, sizes)[kept]
    np.testing.assert_allclose(ours / ours.mean(), theirs / theirs.mean(), rtol=1e-5)
    assert found.n_genes[0] > 200 and found.replaced.mean() < 0.02


def test_as_scran():
    """calculateSumFactors of one cluster to 1e-9; of two, whose common scale is a median of ratios, to 1e-3."""
    golden = np.load(Path(__file__).parent / "golden" / "r" / "pooled.npz")
    for name, clusters, tolerance in (("one_cluster", None, 1e-9), ("two_clusters", golden["kind"], 1e-3)):
        found = zs.arrays.pooled_size_factors(golden["counts"].astype("f4"), clusters=clusters).factors
        theirs = golden[name]
        np.testing.assert_allclose(found / found.mean(), theirs / theirs.mean(), rtol=tolerance)


def test_known_factors_are_found_and_clusters_share_a_scale():
    rng = np.random.default_rng(2)
    truth = np.exp(0.4 * rng.normal(size=400))
    kinds = rng.integers(0, 2, 400)
    rates = rng.gamma(0.7, 1.5, 800) + 0.1
    up = np.ones((2, 800))
    up[1, ::8] = 15
    counts = rng.poisson(truth[:, None] * rates * up[kinds]).astype("f4")
    adata = ad.AnnData(sparse.csr_matrix(counts))
    adata.obs["kind"] = pd.Categorical(kinds.astype(str))
    library = counts.sum(axis=1)
    for clusters in (None, "kind"):
        zs.pp.pooled_size_factors(adata, clusters=clusters)
        error = np.log(adata.obs["size_factors"] / truth)
        worst = np.log(library / truth)
        assert error.std() < 0.2 and error.std() < 0.5 * worst.std()
        assert abs(error[kinds == 0].median() - error[kinds == 1].median()) < 0.12
    zs.pp.normalize_size_factors(adata)
    np.testing.assert_allclose(
        adata.X.toarray(), counts / adata.obs["size_factors"].to_numpy()[:, None], rtol=1e-5
    )


def test_agrees_with_totals_where_cells_are_alike(pbmc3k):
    part = pbmc3k[::5].copy()
    zs.pp.pooled_size_factors(part)
    totals = np.asarray(part.X.sum(axis=1)).ravel()
    assert np.corrcoef(np.log(part.obs["size_factors"]), np.log(totals))[0, 1] > 0.85


def test_spike_ins_show_the_amount_of_rna(mixtures):
    """Wells were given 3.75, 7.5, 15 and 30 pg of RNA and the same spike-ins."""
    mixtures.obs["total"] = np.asarray(mixtures[:, ~mixtures.var_names.str.startswith("ERCC-")].X.sum(axis=1)).ravel()
    spikes = np.asarray(mixtures[:, mixtures.var_names.str.startswith("ERCC-")].X.sum(axis=1)).ravel()
    mixtures = mixtures[spikes > 0].copy()
    zs.pp.spike_in_size_factors(mixtures)
    np.testing.assert_allclose(mixtures.obs["size_factors"].to_numpy() * spikes[spikes > 0].mean(), spikes[spikes > 0], rtol=1e-6)
    assert mixtures.var["spike_in"].sum() == mixtures.var_names.str.startswith("ERCC-").sum() > 10
    relative = (mixtures.obs["total"] / mixtures.obs["size_factors"]).groupby(mixtures.obs["mRNA_amount"]).median()
    assert relative.is_monotonic_increasing and relative.iloc[-1] > 2.5 * relative.iloc[0]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(small, layout):
    given = LAYOUTS[layout](small.X)
    lengths = np.linspace(200, 9000, 120)
    one, other = (zs.arrays.pooled_size_factors(x, sizes=(20, 30, 50)).factors for x in (small.X, given))
    assert one.tobytes() == other.tobytes()
    mask = np.arange(120) < 30
    np.testing.assert_array_equal(
        zs.arrays.spike_in_size_factors(given, mask), zs.arrays.spike_in_size_factors(small.X, mask)
    )
    dense = small.X.toarray().astype(np.float64) / lengths
    expected = dense / dense.sum(axis=1, keepdims=True) * 1e6
    out = zs.arrays.normalize_tpm(given, lengths)
    np.testing.assert_allclose(out.toarray() if sparse.issparse(out) else out, expected, rtol=2e-6)
    assert sparse.issparse(out) is sparse.issparse(given)
    assert out.dtype == (given.dtype if given.dtype.kind == "f" else np.float32)


def test_threads_give_the_same_bits(pbmc3k):
    part = pbmc3k.X[:400]
    clusters = np.arange(400) % 2
    runs = [zs.arrays.pooled_size_factors(part, clusters=clusters, threads=t).factors for t in (1, 2, 8)]
    assert runs[0].tobytes() == runs[1].tobytes() == runs[2].tobytes()
    lengths = np.arange(1, pbmc3k.n_vars + 1)
    runs = [zs.arrays.normalize_tpm(part, lengths, threads=t).data for t in (1, 2, 8)]
    assert runs[0].tobytes() == runs[1].tobytes() == runs[2].tobytes()


def test_tpm_in_place_copies_and_layers(small, tmp_path):
    small.var["length"] = np.linspace(500, 5000, 120)
    before = small.X.copy()
    small.layers["reads"] = small.X.copy()
    out = zs.pp.normalize_tpm(small, inplace=False)
    assert (small.X != before).nnz == 0
    other = zs.pp.normalize_tpm(small, layer="reads", copy=True, target_sum=100)
    np.testing.assert_allclose(np.asarray(other.layers["reads"].sum(axis=1)).ravel(), 100, rtol=1e-5)
    data = small.X.data
    zs.pp.normalize_tpm(small)
    assert small.X.data is data
    np.testing.assert_array_equal(small.X.data, out.data)
    zs.pp.pooled_size_factors(small, layer="reads", sizes=(20, 40))
    small.write_h5ad(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    assert back.uns["zensaibo"]["normalize_tpm"]["options"]["lengths"] == "length"


def test_bad_input(small):
    small.var["length"] = 100.0
    for values, error, text in (
        (np.ones(4), errors.ShapeError, "120 entries"),
        (np.zeros(120), errors.DataError, "gene 0"),
        (np.full(120, np.nan), errors.NonFiniteError, "gene 0"),
        (np.array(["a"] * 120), errors.DataError, "expected numbers"),
    ):
        with pytest.raises(error, match=text):
            zs.pp.normalize_tpm(small, values)
    with pytest.raises(errors.MissingKeyError, match="nope"):
        zs.pp.normalize_tpm(small, "nope")
    with pytest.raises(errors.ParameterError, match="target_sum"):
        zs.pp.normalize_tpm(small, target_sum=0)
    with pytest.raises(errors.DataError, match="begin with 'ERCC-'"):
        zs.pp.spike_in_size_factors(small)
    with pytest.raises(errors.DataError, match="boolean"):
        zs.pp.spike_in_size_factors(small, spike_ins="length")
    silent = small.copy()
    silent.X = sparse.csr_matrix(silent.X.toarray() * (np.arange(300) != 9)[:, None])
    with pytest.raises(errors.DataError, match="1 cells .first: cell 9"):
        zs.pp.spike_in_size_factors(silent, prefix="gene1")
    with pytest.raises(errors.DataError, match="none in cell 9"):
        zs.pp.pooled_size_factors(silent)
    with pytest.raises(errors.TooFewError, match="100 in cluster 0"):
        zs.pp.pooled_size_factors(small, clusters="group", sizes=(150,))
    with pytest.raises(errors.TooFewError, match="mean of 1000000000"):
        zs.pp.pooled_size_factors(small, min_mean=1e9)
    for name, value in (("sizes", ()), ("sizes", (0,)), ("min_mean", -1.0)):
        with pytest.raises(errors.ParameterError, match=name):
            zs.pp.pooled_size_factors(small, **{name: value})
    with pytest.raises(errors.MissingKeyError, match="size_factors"):
        zs.pp.normalize_size_factors(small)
    small.obs["size_factors"] = np.where(np.arange(300) == 3, 0.0, 1.0)
    with pytest.raises(errors.DataError, match="0 for cell 3"):
        zs.pp.normalize_size_factors(small)
    with pytest.raises(errors.DataError, match="expected numbers"):
        zs.pp.normalize_size_factors(small, "group")
    broken = small.copy()
    broken.X.data[0] = -1
    for function in (zs.pp.pooled_size_factors, zs.pp.normalize_tpm, lambda a: zs.pp.spike_in_size_factors(a, prefix="gene")):
        with pytest.raises(errors.NegativeValuesError, match="cell 0"):
            function(broken)
        assert broken.X.data[0] == -1
