"""Proteins, chromatin and the joint graph: against muon (golden/kinds), by their definitions, and on real CITE-seq."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from conftest import LAYOUTS, data_path
from scipy import sparse

import zensaibo as zs

GOLDEN = Path(__file__).parent / "golden" / "kinds"


def _golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as stored:
        return dict(stored)


def _read(relative: str) -> ad.AnnData:
    return ad.read_h5ad(data_path(relative))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_clr_as_muon(layout, axis):
    stored = _golden("proteins")
    counts = LAYOUTS[layout](sparse.csr_matrix(stored["cells"]))
    found = zs.arrays.clr(counts, axis=axis)
    assert found.dtype == np.float32 and sparse.issparse(found) == sparse.issparse(counts)
    dense = found.toarray() if sparse.issparse(found) else found
    np.testing.assert_allclose(dense, stored[f"clr_{axis}"], rtol=1e-6)


def test_clr_on_real_proteins_in_every_slot():
    adata = _read("pbmc_citeseq_10x_200/pbmc_5k_protein_v3_200cells.h5ad")
    counts = np.asarray(adata.obsm["protein_expression"], dtype=np.float64)
    expected = np.log1p(counts / np.exp(np.log1p(counts).mean(axis=0)))
    zs.pp.clr(adata, obsm="protein_expression", key_added="protein_clr")
    np.testing.assert_allclose(adata.obsm["protein_clr"], expected, rtol=1e-6)
    np.testing.assert_array_equal(np.asarray(adata.obsm["protein_expression"]), counts)
    zs.pp.clr(adata, obsm="protein_expression")
    np.testing.assert_allclose(np.asarray(adata.obsm["protein_expression"]), expected, rtol=1e-6)
    proteins = ad.AnnData(counts.astype(np.float32))
    proteins.obsm["frame"] = pd.DataFrame(counts, index=proteins.obs_names).add_prefix("p")
    proteins.layers["counts"] = proteins.X.copy()
    copy = zs.pp.clr(proteins, axis=1, copy=True)
    np.testing.assert_allclose(
        copy.X, np.log1p(counts / np.exp(np.log1p(counts).mean(axis=1, keepdims=True))), rtol=1e-6
    )
    zs.pp.clr(proteins, layer="counts", key_added="clr")
    np.testing.assert_allclose(proteins.layers["clr"], expected, rtol=1e-6)
    zs.pp.clr(proteins, obsm="frame")
    assert isinstance(proteins.obsm["frame"], pd.DataFrame)


def test_dsb_scaling_as_muon():
    stored = _golden("proteins")
    raw = zs.arrays.dsb(stored["cells"], stored["empty"], denoise_counts=False)
    np.testing.assert_allclose(raw.values, stored["dsb_scaled"], rtol=1e-5, atol=1e-5)
    centred = zs.arrays.dsb(stored["cells"], stored["empty"], denoise_counts=False, scale_factor="mean_subtract")
    np.testing.assert_allclose(centred.values, stored["dsb_centred"], rtol=1e-5, atol=1e-5)


def test_dsb_denoising_follows_muon():
    # muon starts its mixtures once, at random; the golden starts them as we do, from the halves about the median. What is
    # left: scikit-learn adds 1e-6 to variances, so some cells settle in another maximum.
    stored = _golden("proteins")
    found = zs.arrays.dsb(stored["cells"], stored["empty"])
    for ours, theirs in zip(found.values.T, stored["dsb_denoised"].T, strict=True):
        assert np.corrcoef(ours, theirs)[0, 1] > 0.995


def test_dsb_on_real_droplets():
    cells = _read("citeseq_protein_background/cells_87proteins.h5ad")
    empty = _read("citeseq_protein_background/empty_droplets_87proteins.h5ad")
    controls = [name for name in cells.var_names if "isotype" in name.lower() or "igg" in name.lower()]
    assert len(controls) >= 3, list(cells.var_names)
    counts = np.asarray(cells.X.todense() if sparse.issparse(cells.X) else cells.X, dtype=np.float64)
    shuffled = empty[:, np.random.default_rng(0).permutation(empty.n_vars)].copy()
    zs.pp.dsb(cells, shuffled, isotype_controls=controls, key_added="dsb")
    values = pd.DataFrame(cells.layers["dsb"], columns=cells.var_names)
    # By hand, without the mixture: regressing each scaled protein on the factor that was taken off.
    logs = np.log(np.asarray(empty.X.todense() if sparse.issparse(empty.X) else empty.X, dtype=np.float64) + 10)
    scaled = (np.log(counts + 10) - logs.mean(axis=0)) / logs.std(axis=0, ddof=1)
    factor = cells.obs["dsb_technical"].to_numpy()
    centred = factor - factor.mean()
    expected = scaled - np.outer(centred, centred @ scaled) / (centred @ centred)
    np.testing.assert_allclose(values, expected, rtol=2e-3, atol=2e-3)
    # The factor is the first component of the scaled controls and backgrounds.
    noise = np.column_stack([scaled[:, cells.var_names.get_indexer(controls)], cells.obs["dsb_background"]])
    noise = (noise - noise.mean(axis=0)) / noise.std(axis=0, ddof=1)
    u, s, _ = np.linalg.svd(noise, full_matrices=False)
    assert abs(np.corrcoef(u[:, 0], factor)[0, 1]) > 1 - 1e-9
    # Isotype controls end near the background; they no longer follow the factor.
    assert values[controls].median().abs().max() < 3
    assert values[controls].corrwith(pd.Series(factor)).abs().max() < 1e-3
    # Lineage proteins stay above background in some cells and at it in most.
    cd3 = next(name for name in cells.var_names if name.upper().startswith("CD3"))
    assert values[cd3].quantile(0.99) > 5


def test_dsb_mixture_as_a_grid_search():
    # The lower mean must sit at a maximum of the likelihood: no other start of scikit-learn's EM finds a better fit.
    from sklearn.mixture import GaussianMixture

    stored = _golden("proteins")
    found = zs.arrays.dsb(stored["cells"], stored["empty"])
    scaled = stored["dsb_scaled"].astype(np.float64)
    close = 0
    for cell in range(16):
        best = None
        for kind in ("tied", "full"):
            fits = [
                GaussianMixture(
                    2, covariance_type=kind, init_params=start, random_state=seed, tol=1e-8, max_iter=2000, reg_covar=0
                )
                for seed in range(3)
                for start in ("kmeans", "random")
            ]
            for fit in fits:
                try:
                    fit.fit(scaled[cell][:, None])
                except ValueError:  # a variance that vanished
                    continue
                if fit.covariances_.min() > 1e-3 and (best is None or fit.bic(scaled[cell][:, None]) < best[0]):
                    best = (fit.bic(scaled[cell][:, None]), fit.means_.min())
        close += abs(best[1] - found.cell_background[cell]) < 0.05 * scaled[cell].std()
    # Local maxima differ in some cells of 24 proteins.
    assert close >= 12, close


@pytest.mark.parametrize("threads", [2, 8])
def test_threads_change_no_bit(threads):
    stored, chromatin, joint = _golden("proteins"), _golden("peaks"), _golden("joint")

    def run(threads):
        return [
            *zs.arrays.dsb(stored["cells"], stored["empty"], isotype_controls=[22, 23], threads=threads),
            zs.arrays.clr(stored["cells"], threads=threads),
            zs.arrays.tfidf(chromatin["counts"], threads=threads),
            *zs.arrays.wnn([joint["a"], joint["b"]], threads=threads),
        ]

    for a, b in zip(run(1), run(threads), strict=True):
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tfidf_as_muon(layout):
    stored = _golden("peaks")
    counts = LAYOUTS[layout](sparse.csr_matrix(stored["counts"]))
    for name, settings in {
        "default": {},
        "signac1": {"log_tf": False, "log_idf": False, "log_tfidf": True},
        "signac2": {"log_tf": False, "scale_factor": 1},
    }.items():
        found = zs.arrays.tfidf(counts, **settings)
        dense = found.toarray() if sparse.issparse(found) else found
        np.testing.assert_allclose(dense, stored[f"tfidf_{name}"], rtol=1e-5)


def test_lsi_as_muon():
    stored = _golden("peaks")
    cells = ad.AnnData(sparse.csr_matrix(stored["counts"]))
    zs.pp.tfidf(cells)
    zs.tl.lsi(cells, n_comps=10, tolerance=1e-9)
    np.testing.assert_allclose(cells.uns["lsi"]["stdev"], stored["lsi_stdev"], rtol=1e-5)
    for ours, theirs in ((cells.obsm["X_lsi"], stored["lsi"]), (cells.varm["LSI"], stored["lsi_loadings"])):
        sign = np.sign((ours * theirs).sum(axis=0))
        np.testing.assert_allclose(ours * sign, theirs, atol=2e-4 * np.abs(theirs).max())
    raw = zs.tl.lsi(cells, n_comps=1000, scale_embeddings=False, copy=True)
    assert raw.obsm["X_lsi"].shape == (90, 60)
    np.testing.assert_allclose((cells.X.toarray() ** 2).sum(), (raw.uns["lsi"]["stdev"] ** 2).sum() * 89, rtol=1e-5)


@pytest.mark.parametrize("shape", [(60, 200), (200, 60), (80, 80)])
def test_lsi_as_a_full_decomposition(shape):
    # More peaks than cells, and fewer: the two routes; three planted directions stand out of the noise.
    rng = np.random.default_rng(0)
    planted = rng.gamma(1.0, 2.0, (shape[0], 3)) @ rng.gamma(0.3, 1.0, (3, shape[1]))
    matrix = rng.poisson(planted).astype(np.float32)
    u, s, vt = np.linalg.svd(matrix.astype(np.float64), full_matrices=False)
    signs = np.sign(vt[np.arange(3), np.abs(vt[:3]).argmax(axis=1)])
    found = []
    for layout in ("csr", "csc", "dense"):
        cells = ad.AnnData(LAYOUTS[layout](sparse.csr_matrix(matrix)))
        zs.tl.lsi(cells, n_comps=3, scale_embeddings=False, tolerance=1e-9, threads=1 + len(found))
        np.testing.assert_allclose(cells.uns["lsi"]["stdev"], s[:3] / np.sqrt(shape[0] - 1), rtol=1e-6)
        np.testing.assert_allclose(cells.obsm["X_lsi"], u[:, :3] * signs, atol=1e-5)
        np.testing.assert_allclose(cells.varm["LSI"], vt[:3].T * signs, atol=1e-5)
        found.append((cells.obsm["X_lsi"], cells.varm["LSI"]))
    for other in found[1:]:
        for a, b in zip(found[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def test_lsi_names_the_place_of_what_it_refuses():
    values = np.random.default_rng(0).poisson(1.0, (4, 9)).astype(np.float32)
    values[2, 5] = np.nan
    with pytest.raises(zs.errors.NonFiniteError, match="column 5"):
        zs.tl.lsi(ad.AnnData(values), n_comps=2)
    with pytest.raises(zs.errors.ZensaiboError, match="cell"):
        zs.tl.lsi(ad.AnnData(np.ones((1, 9), dtype=np.float32)), n_comps=1)


def _genes() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "gene_name": ["A", "B", "C", "Far"],
            "chrom": ["chr1", "chr1", "chr2", "chr9"],
            "start": [1001, 5001, 1001, 1],
            "end": [2000, 6000, 2000, 100],
            "strand": ["+", "-", "+", "+"],
        }
    )


def test_gene_activity_by_hand():
    peaks = ["chr1:900-1000", "chr1:1999-2100", "chr1:2000-2100", "chr1:6000-6100", "chr1:7900-8001", "chr1:8000-8100",
             "chr2:1500-1600", "chr1:0-10"]  # fmt: skip
    counts = np.arange(1, 25, dtype=np.float32).reshape(3, 8)
    cells = ad.AnnData(
        sparse.csr_matrix(counts), var=pd.DataFrame(index=peaks), obs=pd.DataFrame({"x": [1, 2, 3]}, index=list("abc"))
    )
    found = zs.tl.gene_activity(cells, _genes())
    # A reaches from 0 (2,000 upstream, cut at 0) to 2000; B, on the other strand, from 5000 to 8000; Far has no peak.
    assert list(found.var_names) == ["A", "B", "C"] and list(found.obs["x"]) == [1, 2, 3]
    expected = np.stack([counts[:, [0, 1, 7]].sum(axis=1), counts[:, [3, 4]].sum(axis=1), counts[:, 6]], axis=1)
    np.testing.assert_array_equal(found.X.toarray(), expected)
    assert list(found.var["n_peaks"]) == [3, 2, 1]
    plain = zs.tl.gene_activity(cells, _genes(), upstream=0, one_based=False, strand=None)
    np.testing.assert_array_equal(plain.X.toarray()[:, 0], counts[:, 1])
    dashes = cells.copy()
    dashes.var_names = [name.replace(":", "-") for name in peaks]
    np.testing.assert_array_equal(zs.tl.gene_activity(dashes, _genes()).X.toarray(), expected)


def test_gene_activity_as_the_slow_version():
    rng = np.random.default_rng(0)
    starts = rng.integers(0, 5000, 80)
    ends = starts + rng.integers(0, 300, 80)
    peaks = [f"chr{c}:{s}-{e}" for c, s, e in zip(rng.integers(1, 4, 80), starts, ends, strict=True)]
    low = rng.integers(1, 5000, 25)
    genes = pd.DataFrame({"gene_name": [f"g{i}" for i in range(25)], "chrom": [f"chr{c}" for c in rng.integers(1, 4, 25)],
                          "start": low, "end": low + rng.integers(0, 900, 25), "strand": rng.choice(["+", "-"], 25)})  # fmt: skip
    cells = ad.AnnData(
        sparse.random(40, 80, 0.3, random_state=0, format="csr", dtype=np.float32), var=pd.DataFrame(index=peaks)
    )
    found = zs.tl.gene_activity(cells, genes, upstream=150, downstream=20)
    dense = cells.X.toarray()
    for _, gene in genes.iterrows():
        low, high = gene["start"] - 1, gene["end"]
        before, after = (150, 20) if gene["strand"] == "+" else (20, 150)
        inside = [
            i
            for i, name in enumerate(peaks)
            if name.split(":")[0] == gene["chrom"]
            and int(name.split(":")[1].split("-")[0]) < high + after
            and int(name.split("-")[1]) > low - before
        ]
        if inside:
            np.testing.assert_allclose(
                found[:, gene["gene_name"]].X.toarray().ravel(), dense[:, inside].sum(axis=1), rtol=1e-6
            )
        else:
            assert gene["gene_name"] not in found.var_names


def test_wnn_weights_as_muon():
    # muon's graph leaves the distance of the nearest neighbour out of its last kernel, where the paper (and Seurat) has
    # it, so graphs agree in most neighbours only; its weights (with the exact search of the golden) are the paper's.
    stored = _golden("joint")
    found = zs.arrays.wnn([stored["a"], stored["b"]], n_neighbors=15, n_multineighbors=149)
    np.testing.assert_allclose(found.weights, stored["weights"], atol=1e-5)
    rows = [
        set(stored["indices"][a:b]) - {i}
        for i, (a, b) in enumerate(zip(stored["indptr"][:-1], stored["indptr"][1:], strict=True))
    ]
    shared = [
        len(set(ours[1:]) & theirs) / len(theirs) for ours, theirs in zip(found.indices.tolist(), rows, strict=True)
    ]
    assert np.mean(shared) > 0.8


def test_wnn_joins_real_modalities():
    adata = _read("cbmc_citeseq/cbmc_rna2000_adt10.h5ad")[:3000].copy()
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.wnn(adata, ["X_pca", "protein"])
    weights = adata.obs[["X_pca:mod_weight", "protein:mod_weight"]].to_numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1)
    assert 0.2 < weights[:, 0].mean() < 0.8 and weights[:, 0].std() > 0.02
    zs.tl.leiden(adata, neighbors_key="wnn", key_added="joint")
    assert 5 < adata.obs["joint"].nunique() < 40
    # The joint clusters keep what each modality tells: proteins differ between them about as much as between protein
    # clusters, genes' components as much as between RNA clusters.
    zs.pp.neighbors(adata, use_rep="protein", key_added="p")
    zs.tl.leiden(adata, neighbors_key="p", key_added="protein_only")
    zs.pp.neighbors(adata, use_rep="X_pca", key_added="r")
    zs.tl.leiden(adata, neighbors_key="r", key_added="rna_only")

    def explained(values, labels):
        frame = pd.DataFrame(np.asarray(values))
        return 1 - (frame - frame.groupby(labels.to_numpy()).transform("mean")).var().sum() / frame.var().sum()

    for rep, other in (("protein", "rna_only"), ("X_pca", "protein_only")):
        assert explained(adata.obsm[rep], adata.obs["joint"]) > explained(adata.obsm[rep], adata.obs[other])


def test_bad_input_is_named(small):
    errors = zs.errors
    small.obsm["a"], small.obsm["b"] = np.ones((300, 2)), np.random.default_rng(0).normal(size=(300, 2))
    with pytest.raises(errors.ParameterError, match="axis"):
        zs.pp.clr(small, axis=2)
    with pytest.raises(errors.MissingKeyError, match="`absent`"):
        zs.pp.clr(small, obsm="absent")
    with pytest.raises(errors.NegativeValuesError, match="row 0"):
        zs.pp.clr(small, obsm="b")
    with pytest.raises(errors.MissingKeyError, match="`gene0`"):
        zs.pp.dsb(small, small[:, 1:].copy())
    with pytest.raises(errors.MissingKeyError, match="`IgG`.*gene0"):
        zs.pp.dsb(small, small.copy(), isotype_controls=["IgG"])
    with pytest.raises(errors.ParameterError, match="isotype_controls"):
        zs.pp.dsb(small, small.copy(), isotype_controls="gene1")
    with pytest.raises(errors.ShapeError, match="same proteins"):
        zs.pp.dsb(small, np.ones((5, 3)))
    with pytest.raises(errors.DataError, match="same count in every droplet"):
        zs.pp.dsb(small, np.ones((5, 120)))
    with pytest.raises(errors.ParameterError, match="log_tfidf"):
        zs.pp.tfidf(small, log_tfidf=True)
    with pytest.raises(errors.ParameterError, match="n_comps"):
        zs.tl.lsi(small, n_comps=0)
    with pytest.raises(errors.DataError, match="'gene0' and 119 more"):
        zs.tl.gene_activity(small, _genes())
    peaks = small[:, :2].copy()
    peaks.var_names = ["1:5-9", "2:5-9"]
    with pytest.raises(errors.DataError, match="of the peaks: 1, 2; of the genes: chr1"):
        zs.tl.gene_activity(peaks, _genes())
    with pytest.raises(errors.MissingKeyError, match="`strand`.*gene_name"):
        zs.tl.gene_activity(peaks, _genes().drop(columns="strand"))
    with pytest.raises(errors.DuplicateNamesError, match="'A'"):
        zs.tl.gene_activity(peaks, pd.concat([_genes()] * 2))
    with pytest.raises(errors.DataError, match=r"\+ or -"):
        zs.tl.gene_activity(peaks, _genes().assign(strand="?"))
    with pytest.raises(errors.ParameterError, match="reps"):
        zs.pp.wnn(small, ["a"])
    with pytest.raises(errors.MissingKeyError, match="`c`"):
        zs.pp.wnn(small, ["a", "c"])
    with pytest.raises(errors.DuplicateNamesError, match="once"):
        zs.pp.wnn(small, ["a", "a"])
    with pytest.raises(errors.ParameterError, match="n_neighbors"):
        zs.pp.wnn(small, ["a", "b"], n_neighbors=1)
    small.obsm["b"][3, 1] = np.nan
    with pytest.raises(errors.NonFiniteError, match="row 3"):
        zs.pp.wnn(small, ["a", "b"])


def test_wnn_takes_mudata():
    mudata = pytest.importorskip("mudata", reason="mudata is not installed (pip install zensaibo[mudata])")
    stored = _golden("joint")
    mods = {}
    for name in "ab":
        mods[name] = ad.AnnData(np.zeros((150, 1), np.float32), obsm={"rep": stored[name]})
        mods[name].obs_names, mods[name].var_names = [f"c{i}" for i in range(150)], [f"{name}0"]
    mdata = mudata.MuData(mods)
    zs.pp.wnn(mdata, {"a": "rep", "b": "rep"}, n_neighbors=15)
    direct = zs.arrays.wnn([stored["a"], stored["b"]], n_neighbors=15)
    np.testing.assert_array_equal(mdata.obs["a:mod_weight"], direct.weights[:, 0])
    assert mdata.obsp["wnn_connectivities"].shape == (150, 150)
    with pytest.raises(zs.errors.MissingKeyError, match="`c`.*a, b"):
        zs.pp.wnn(mdata, {"a": "rep", "c": "rep"})
    with pytest.raises(zs.errors.ParameterError, match="dict"):
        zs.pp.wnn(mdata, ["a", "b"])
    mdata = mudata.MuData({"a": mods["a"], "b": mods["b"][:100].copy()})
    with pytest.raises(zs.errors.DataError, match="'b'.*100"):
        zs.pp.wnn(mdata, {"a": "rep", "b": "rep"})


def _multi():
    """RNA, proteins and peaks of the same 60 cells."""
    mudata = pytest.importorskip("mudata", reason="mudata is not installed (pip install zensaibo[mudata])")
    rng = np.random.default_rng(0)
    mods = {}
    for name, width in (("rna", 50), ("prot", 8), ("atac", 80)):
        counts = rng.poisson(1.5, (60, width)).astype(np.float32)
        mods[name] = ad.AnnData(sparse.csr_matrix(counts) if name != "prot" else counts)
        mods[name].obs_names = [f"c{i}" for i in range(60)]
        mods[name].var_names = [f"{name}{i}" for i in range(width)]
    mods["atac"].var_names = [f"chr1:{1000 * i}-{1000 * i + 500}" for i in range(80)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return mudata.MuData(mods)


def _same(a, b):
    if sparse.issparse(a):
        assert (a != b).nnz == 0
    else:
        np.testing.assert_array_equal(a, b)


def test_a_modality_of_mudata_as_the_modality_alone():
    mdata = _multi()
    empty = np.random.default_rng(1).poisson(0.4, (40, 8)).astype(np.float32)
    droplets = ad.AnnData(empty)
    droplets.var_names = mdata.mod["prot"].var_names
    for function, mod, arguments in (
        (zs.pp.clr, "prot", ()),
        (zs.pp.dsb, "prot", (droplets,)),
        (zs.pp.tfidf, "atac", ()),
        (zs.tl.lsi, "atac", ()),
    ):
        settings = {"n_comps": 5} if function is zs.tl.lsi else {}
        expected = mdata.mod[mod].copy()
        function(expected, *arguments, **settings)
        before = {name: part.X.copy() for name, part in mdata.mod.items()}
        copy = function(mdata, *arguments, mod=mod, copy=True, **settings)
        assert type(copy) is type(mdata)
        for name, part in mdata.mod.items():
            _same(part.X, before[name])
            if name != mod:
                _same(copy.mod[name].X, before[name])
        assert "zensaibo" not in mdata.mod[mod].uns or function.__name__ not in mdata.mod[mod].uns["zensaibo"]
        assert function(mdata, *arguments, mod=mod, **settings) is None
        for found in (copy, mdata):
            part = found.mod[mod]
            _same(part.X, expected.X)
            assert set(part.obsm) == set(expected.obsm) and list(part.obs) == list(expected.obs)
            assert function.__name__ in part.uns["zensaibo"]
        if function is zs.pp.clr:  # counts again, for what follows
            mdata.mod[mod].X = before[mod]
    np.testing.assert_array_equal(mdata.mod["atac"].obsm["X_lsi"], expected.obsm["X_lsi"])
    genes = pd.DataFrame({"gene_name": ["g"], "chrom": ["chr1"], "start": [1], "end": [5000], "strand": ["+"]})
    found = zs.tl.gene_activity(mdata, genes, mod="atac")
    _same(found.X, zs.tl.gene_activity(mdata.mod["atac"], genes).X)


def test_droplets_in_mudata():
    mdata, droplets = _multi(), _multi()
    expected = mdata.mod["prot"].copy()
    zs.pp.dsb(expected, droplets.mod["prot"])
    zs.pp.dsb(mdata, droplets, mod="prot")
    np.testing.assert_array_equal(mdata.mod["prot"].X, expected.X)


def test_the_modality_must_be_named():
    mdata = _multi()
    for function in (zs.pp.clr, zs.pp.tfidf, zs.tl.lsi):
        with pytest.raises(zs.errors.ParameterError, match=r"`mod`: expected the modality.*rna, prot, atac.*found None"):
            function(mdata)
        with pytest.raises(zs.errors.MissingKeyError, match=r"key `adt` not found in mdata.mod; present: rna, prot, atac"):
            function(mdata, mod="adt")
        with pytest.raises(zs.errors.ParameterError, match=r"`mod`: expected none with an AnnData, found 'rna'"):
            function(mdata.mod["rna"], mod="rna")
    with pytest.raises(zs.errors.ParameterError, match="expected an AnnData, found list"):
        zs.pp.clr([1, 2])


def test_mudata_through_a_file(tmp_path):
    # RNA and proteins from counts to the joint graph and its clusters, then to a file and back.
    mdata = _multi()
    del mdata.mod["atac"]
    mdata.update()
    zs.pp.clr(mdata, mod="prot")
    for name in ("rna", "prot"):
        zs.pp.pca(mdata.mod[name], n_comps=5)
    zs.pp.wnn(mdata, {"rna": "X_pca", "prot": "X_pca"}, n_neighbors=10, n_multineighbors=40)
    zs.io.write(mdata, tmp_path / "m.h5mu")
    found = zs.io.read(tmp_path / "m.h5mu")
    assert list(found.mod) == ["rna", "prot"] and found.shape == (60, 58)
    for key in ("wnn_distances", "wnn_connectivities"):
        _same(found.obsp[key], mdata.obsp[key])
    assert found.uns["wnn"]["connectivities_key"] == "wnn_connectivities"
    np.testing.assert_array_equal(found.obs["rna:mod_weight"], mdata.obs["rna:mod_weight"])
    for name in found.mod:
        _same(found.mod[name].X, mdata.mod[name].X)
        np.testing.assert_array_equal(found.mod[name].obsm["X_pca"], mdata.mod[name].obsm["X_pca"])


def test_names_shared_by_modalities_are_counted(tmp_path):
    mdata = _multi()
    mdata.mod["prot"].var_names = ["rna0", "rna1", *[f"p{i}" for i in range(6)]]
    with pytest.warns(UserWarning, match=r"2 names stand in more than one modality \(rna, prot, atac\): rna0, rna1\."):
        zs.io.write(mdata, tmp_path / "m")
    with pytest.warns(UserWarning, match=r"2 names stand in more than one modality"):
        found = zs.io.read(tmp_path / "m")
    for name in mdata.mod:
        assert list(found.mod[name].var_names) == list(mdata.mod[name].var_names)
        _same(found.mod[name].X, mdata.mod[name].X)
    mdata.mod["prot"].var_names = [f"p{i}" for i in range(8)]
    mdata.update()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        zs.io.write(mdata, tmp_path / "m")
        zs.io.read(tmp_path / "m")
