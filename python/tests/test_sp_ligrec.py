"""Ligands and receptors: against formulas over all cells, planted truth, and what squidpy and LIANA gave or give."""

from __future__ import annotations

import gzip
import hashlib
from importlib import metadata
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse, stats

import zensaibo as zs
from zensaibo.arrays._rank_aggregate import ranked
from zensaibo.errors import (
    DataError,
    EmptyDataError,
    MissingKeyError,
    NonFiniteError,
    ParameterError,
    ShapeError,
    TooFewError,
)

from conftest import data_path

GOLDEN = Path(__file__).parent / "golden" / "space"
PAIRS = [("Lig", "Rec"), ("Lig", "RecA_RecB"), ("LigA_LigB", "Rec"), ("Other", "Rec")]


def tissue(n: int = 400, seed: int = 0) -> ad.AnnData:
    """Three labels in a square; type 0 makes Lig, type 1 Rec."""
    rng = np.random.default_rng(seed)
    genes = ["Lig", "Rec", "RecA", "RecB", "LigA", "LigB", "Other", "Rest"]
    labels = rng.integers(0, 3, n)
    rates = np.full((3, 8), 0.4)
    rates[0, 0] = rates[1, 1] = 3
    adata = ad.AnnData(sparse.csr_matrix(np.log1p(rng.poisson(rates[labels])).astype(np.float32)))
    adata.var_names = genes
    adata.var["symbol"] = [gene.upper() for gene in genes]
    adata.obs["label"] = pd.Categorical.from_codes(labels, ["type 0", "type 1", "a/b"])
    adata.obs["library"] = pd.Categorical(np.where(np.arange(n) % 3, "one", "two"))
    adata.obsm["spatial"] = rng.uniform(0, 100, (n, 2))
    zs.sp.spatial_neighbors_knn(adata)
    return adata


@pytest.fixture
def pbmc() -> ad.AnnData:
    sc = pytest.importorskip("scanpy")
    return sc.datasets.pbmc68k_reduced()


def touching(adata: ad.AnnData, one: str, other: str) -> np.ndarray:
    """The cells of a label with a neighbour of the other, in either direction."""
    graph = adata.obsp["spatial_connectivities"]
    near = ((graph + graph.T) @ (adata.obs["label"] == other).to_numpy().astype(float)) > 0
    return (adata.obs["label"] == one).to_numpy() & near


def mean_of(adata: ad.AnnData, cells: np.ndarray, partner: str) -> tuple[float, float]:
    """Least mean of the genes, and least share of cells that express them."""
    part = adata[cells, partner.split("_")].X.toarray().astype(np.float64)
    return (part.mean(axis=0).min(), (part > 0).mean(axis=0).min()) if len(part) else (0.0, 0.0)


# The test


@pytest.mark.parametrize("contact", [False, True])
def test_means_are_those_of_the_cells_and_complexes_are_as_scarce_as_their_scarcest_gene(contact):
    adata = tissue()
    zs.sp.ligrec(
        adata, "label", PAIRS, n_perms=20, threshold=0.3, connectivity_key="spatial_connectivities" if contact else None
    )
    found = adata.uns["label_ligrec"]
    assert list(found["metadata"]["source"]) == [pair[0] for pair in PAIRS] and found["means"].shape == (4, 9)
    for row, (ligand, receptor) in enumerate(PAIRS):
        for column, pair in enumerate(found["clusters"].itertuples()):
            one = touching(adata, pair.cluster_1, pair.cluster_2) if contact else (adata.obs["label"] == pair.cluster_1).to_numpy()
            two = touching(adata, pair.cluster_2, pair.cluster_1) if contact else (adata.obs["label"] == pair.cluster_2).to_numpy()
            assert (pair.n_cells_1, pair.n_cells_2) == (one.sum(), two.sum())
            (l, share_l), (r, share_r) = mean_of(adata, one, ligand), mean_of(adata, two, receptor)
            assert found["means"][row, column] == pytest.approx((l + r) / 2 if min(l, r) > 0 else 0, rel=1e-6)
            tested = min(share_l, share_r) >= 0.3 and min(l, r) > 0
            assert np.isfinite(found["pvalues"][row, column]) == tested


def test_what_was_planted_is_found_and_random_labels_are_not():
    adata = tissue()
    zs.sp.ligrec(adata, "label", PAIRS, n_perms=199)
    found = adata.uns["label_ligrec"]
    p = dict(zip(found["clusters"]["cluster_1"] + ">" + found["clusters"]["cluster_2"], found["pvalues"][0], strict=True))
    assert p["type 0>type 1"] == pytest.approx(1 / 200) and p["type 1>type 0"] > 0.9
    rng = np.random.default_rng(1)
    drawn = [
        zs.arrays.ligrec(adata.X, rng.permutation(adata.obs["label"]), PAIRS[:1], genes=adata.var_names, n_perms=99, seed=i).pvalues
        for i in range(40)
    ]
    # Nine pairs of labels that depend on each other: about one in 20 is below 0.05.
    assert 0.01 < (np.array(drawn) <= 0.05).mean() < 0.12 and 0.4 < np.mean(drawn) < 0.6


def test_contact_matters_where_only_cells_in_contact_express():
    rng = np.random.default_rng(0)
    adata = tissue(900)
    at_border = touching(adata, "type 0", "type 1") | touching(adata, "type 1", "type 0")
    x = np.log1p(rng.poisson(0.5, (900, 8))).astype(np.float32)
    # In contact with each other: much; elsewhere: as all cells.
    x[at_border & (adata.obs["label"] == "type 0").to_numpy(), 0] += 1
    x[at_border & (adata.obs["label"] == "type 1").to_numpy(), 1] += 1
    genes = adata.var_names
    options = {"genes": genes, "n_perms": 99}
    near = zs.arrays.ligrec(x, adata.obs["label"], PAIRS[:1], graph=adata.obsp["spatial_connectivities"], **options)
    at = [row for row, pair in enumerate(near.pairs.itertuples()) if (pair.cluster_1, pair.cluster_2) == ("type 0", "type 1")]
    assert near.pvalues[0, at[0]] == pytest.approx(0.01)
    whole = zs.arrays.ligrec(x, adata.obs["label"], PAIRS[:1], **options)
    assert near.means[0, at[0]] > whole.means[0, at[0]]


def test_orders_stay_within_libraries():
    adata = tissue()
    # A gene of one library: only orders within libraries know that its labels are no cause.
    x = adata.X.toarray()
    one = (adata.obs["library"] == "one").to_numpy()
    x[:, :2] = 0
    x[one, :2] = 1
    labels = np.where(one, np.where(np.arange(400) % 5, "in one", "in both"), "in both")
    free = zs.arrays.ligrec(x, labels, PAIRS[:1], genes=adata.var_names, n_perms=99)
    bound = zs.arrays.ligrec(x, labels, PAIRS[:1], genes=adata.var_names, n_perms=99, libraries=adata.obs["library"])
    assert free.pvalues[0, -1] == pytest.approx(0.01) and bound.pvalues[0, -1] == pytest.approx(1.0)


def test_any_number_of_threads_and_any_layout_gives_the_same_bits():
    adata = tissue()

    def bits(threads, X=adata.X, **options):
        found = zs.arrays.ligrec(X, adata.obs["label"], PAIRS, genes=adata.var_names, n_perms=50, threads=threads, **options)
        table = zs.arrays.rank_aggregate(
            X, adata.obs["label"], PAIRS, genes=adata.var_names, methods=list(METHODS), n_perms=30, threads=threads, **options
        )
        return [found.means.tobytes(), found.pvalues.tobytes(), table.to_csv()]

    for options in ({}, {"graph": adata.obsp["spatial_connectivities"], "libraries": adata.obs["library"]}):
        assert bits(1, **options) == bits(2, **options) == bits(5, **options) == bits(2, adata.X.toarray(), **options)


def test_some_labels_policies_corrections_and_other_names():
    adata = tissue()
    genes = adata.var_names
    some = zs.arrays.ligrec(adata.X, adata.obs["label"], PAIRS, genes=genes, clusters=["type 0", "type 1"], n_perms=50)
    part = adata[adata.obs["label"] != "a/b"]
    alone = zs.arrays.ligrec(part.X, part.obs["label"], PAIRS, genes=genes, n_perms=50)
    assert np.array_equal(some.means, alone.means) and np.array_equal(some.pvalues, alone.pvalues, equal_nan=True)
    one = zs.arrays.ligrec(adata.X, adata.obs["label"], PAIRS, genes=genes, clusters=[("type 1", "a/b")], n_perms=None)
    assert one.means.shape == (4, 1) and np.isnan(one.pvalues).all() and list(one.pairs.iloc[0])[:2] == ["type 1", "a/b"]
    every = zs.arrays.ligrec(adata.X, adata.obs["label"], PAIRS, genes=genes, complex_policy="all", n_perms=1)
    assert list(zip(every.interactions["source"], every.interactions["target"], strict=True)) == [
        ("Lig", "Rec"), ("Lig", "RecA"), ("Lig", "RecB"), ("LigA", "Rec"), ("LigB", "Rec"), ("Other", "Rec"),
    ]  # fmt: skip
    zs.sp.ligrec(adata, "label", [("LIG", "REC")], gene_symbols="symbol", n_perms=30, key_added="plain")
    for axis in ("clusters", "interactions"):
        zs.sp.ligrec(adata, "label", PAIRS, n_perms=30, corr_method="fdr_bh", corr_axis=axis)
        zs.sp.ligrec(adata, "label", PAIRS, n_perms=30, key_added="raw")
        raw, corrected = adata.uns["raw"]["pvalues"], adata.uns["label_ligrec"]["pvalues"]
        line, other = (raw[:, 1], corrected[:, 1]) if axis == "clusters" else (raw[1], corrected[1])
        known = ~np.isnan(line)
        np.testing.assert_allclose(other[known], stats.false_discovery_control(line[known]))
        assert np.array_equal(np.isnan(raw), np.isnan(corrected))
    adata.raw = adata
    adata.X = adata.X * 2
    zs.sp.ligrec(adata, "label", PAIRS, n_perms=None, key_added="of raw")
    zs.sp.ligrec(adata, "label", PAIRS, n_perms=None, use_raw=False, key_added="of X")
    np.testing.assert_allclose(2 * adata.uns["of raw"]["means"], adata.uns["of X"]["means"], rtol=1e-6)


def test_results_go_through_a_file(tmp_path):
    adata = tissue()
    copy = zs.sp.ligrec(adata, "label", PAIRS, n_perms=5, copy=True)
    assert "label_ligrec" not in adata.uns
    zs.sp.rank_aggregate(copy, "label", PAIRS, n_perms=5)
    copy.write(tmp_path / "a.h5ad")
    back = ad.read_h5ad(tmp_path / "a.h5ad")
    np.testing.assert_array_equal(back.uns["label_ligrec"]["pvalues"], copy.uns["label_ligrec"]["pvalues"])
    pd.testing.assert_frame_equal(back.uns["label_ligrec"]["clusters"], copy.uns["label_ligrec"]["clusters"])
    assert len(back.uns["liana_res"]) == len(copy.uns["liana_res"]) > 0
    text = "source,target\n" + "".join(f"{one},{two}\n" for one, two in PAIRS)
    assert back.uns["label_ligrec"]["resource"]["sha256"] == hashlib.sha256(text.encode()).hexdigest()
    assert back.uns["zensaibo"]["rank_aggregate"]["options"]["interactions"]["rows"] == 4


# Scores of several methods

METHODS = {
    "cellphonedb": ["lr_means"],
    "connectome": ["expr_prod", "scaled_weight"],
    "logfc": ["lr_logfc"],
    "natmi": ["spec_weight"],
    "singlecellsignalr": ["lrscore"],
    "cellchat": ["lr_probs"],
    "geometric_mean": ["lr_gmeans"],
    "scseqcomm": ["inter_score"],
}


def by_formula(adata: ad.AnnData, ligand: str, receptor: str, one: np.ndarray, two: np.ndarray, source: str, target: str) -> dict:
    """Scores of single genes from their formulas."""
    x = pd.DataFrame(adata.X.toarray().astype(np.float64), columns=adata.var_names)
    label = adata.obs["label"].to_numpy()
    l, r = x.loc[one, ligand].mean(), x.loc[two, receptor].mean()

    def trimean(values):
        q = np.quantile(values / x.to_numpy().max(), [0.25, 0.5, 0.75])
        return (q[0] + 2 * q[1] + q[2]) / 4

    def fold(gene, cells, own):
        counts = np.expm1(x[gene])
        return np.log2(counts[cells].mean() + 1) - np.log2(counts[label != own].mean() + 1)

    p = trimean(x.loc[one, ligand]) * trimean(x.loc[two, receptor])
    z = (x - x.mean()) / x.std(ddof=1)
    root = np.sqrt(l * r)
    return {
        "lr_means": (l + r) / 2,
        "expr_prod": l * r,
        "scaled_weight": (z.loc[one, ligand].mean() + z.loc[two, receptor].mean()) / 2,
        "lr_logfc": (fold(ligand, one, source) + fold(receptor, two, target)) / 2,
        "lrscore": root / (root + x.to_numpy().mean()),
        "lr_probs": p / (0.5 + p),
        "lr_gmeans": root,
    }


@pytest.mark.parametrize("contact", [False, True])
def test_scores_are_those_of_the_formulas(contact):
    adata = tissue()
    zs.sp.rank_aggregate(
        adata, "label", [("Lig", "Rec"), ("Other", "Rest")], methods=list(METHODS), n_perms=None, expr_prop=0.0,
        connectivity_key="spatial_connectivities" if contact else None,
    )  # fmt: skip
    table = adata.uns["liana_res"]
    assert len(table) == 18 and "cellphone_pvals" not in table and table["magnitude_rank"].is_monotonic_increasing
    label = adata.obs["label"].to_numpy()
    for row in table.itertuples():
        one = touching(adata, row.source, row.target) if contact else label == row.source
        two = touching(adata, row.target, row.source) if contact else label == row.target
        expected = by_formula(adata, row.ligand_complex, row.receptor_complex, one, two, row.source, row.target)
        for name, value in expected.items():
            assert getattr(row, name) == pytest.approx(value, rel=1e-5), name
    # NATMI: the shares of all senders of a ligand add up, as do those of all receivers.
    lig = table[table["ligand_complex"] == "Lig"].set_index(["source", "target"])
    total = lig["spec_weight"].groupby(level=0).sum().sum()
    if not contact:
        assert total == pytest.approx(1, rel=1e-9)


def test_ranks_are_robust_rank_aggregation():
    table = pd.DataFrame({"lr_means": [3.0, 2.0, 1.0, 0.5], "expr_prod": [9.0, 1.0, 2.0, 0.1], "lrscore": [0.9, 0.9, 0.1, 0.2]})
    found = ranked(table, ["cellphonedb", "connectome", "natmi", "singlecellsignalr"], "rra").sort_index()
    relative = np.array([[1, 1, 1.5], [2, 3, 1.5], [3, 2, 4], [4, 4, 3]]) / [4, 4, 4]
    expected = []
    for row in np.sort(relative, axis=1):
        # P(the k-th smallest of three uniform numbers is at most r).
        chances = [sum(stats.binom.pmf(j, 3, r) for j in range(k, 4)) for k, r in enumerate(row, start=1)]
        expected.append(min(1, 3 * min(chances)))
    found = found.set_index("lr_means").loc[table["lr_means"]]
    np.testing.assert_allclose(found["magnitude_rank"], expected, rtol=1e-12)
    mean = ranked(table, ["cellphonedb", "connectome", "natmi", "singlecellsignalr"], "mean").set_index("lr_means")
    np.testing.assert_allclose(mean.loc[table["lr_means"], "magnitude_rank"], (relative * 4).mean(axis=1) / 4)


def test_scores_are_those_that_liana_gave(pbmc):
    golden = np.load(GOLDEN / "peers.npz")
    pairs = pd.read_csv(GOLDEN / "pairs.csv")
    zs.sp.rank_aggregate(pbmc, "bulk_labels", pairs, methods=list(METHODS), n_perms=1000)
    table = pbmc.uns["liana_res"]
    labels = list(pbmc.obs["bulk_labels"].cat.categories)
    interactions = list(pairs.itertuples(index=False, name=None))
    at = (
        pd.Categorical(table["source"], labels).codes,
        pd.Categorical(table["target"], labels).codes,
        [interactions.index(pair) for pair in zip(table["ligand_complex"], table["receptor_complex"], strict=True)],
    )
    # The same rows pass.
    assert np.isfinite(golden["lr_means"]).sum() == len(table) > 100
    for columns in METHODS.values():
        for column in columns:
            # They compute in single precision.
            np.testing.assert_allclose(table[column], golden[column][at], rtol=2e-5, atol=1e-6, err_msg=column)
    for column in ("cellphone_pvals", "cellchat_pvals"):
        theirs = golden[column][at]
        assert np.abs(table[column] - theirs).mean() < 0.02 and np.corrcoef(table[column], theirs)[0, 1] > 0.98, column


def test_means_and_p_values_are_those_that_squidpy_gave(pbmc):
    golden = np.load(GOLDEN / "peers.npz")
    pairs = pd.read_csv(GOLDEN / "pairs.csv")
    zs.sp.ligrec(pbmc, "bulk_labels", pairs, squidpy_compat=True, n_perms=1000)
    found = pbmc.uns["bulk_labels_ligrec"]
    names = list(zip(found["metadata"]["source"], found["metadata"]["target"], strict=True))
    rows = [names.index(tuple(pair)) for pair in golden["squidpy_pairs"].tolist()]
    assert len(rows) == len(names)
    # Pairs of labels are in alphabetical order there.
    columns = found["clusters"].reset_index().sort_values(["cluster_1", "cluster_2"]).index
    np.testing.assert_allclose(found["means"][rows][:, columns], golden["squidpy_means"], rtol=1e-6, atol=1e-7)
    ours, theirs = found["pvalues"][rows][:, columns], golden["squidpy_pvalues"]
    assert np.array_equal(np.isnan(ours), np.isnan(theirs))
    known = ~np.isnan(ours)
    # The difference of two shares of 1,000 orders.
    assert np.abs(ours - theirs)[known].max() < 0.1 and np.corrcoef(ours[known], theirs[known])[0, 1] > 0.995
    assert ours[known].min() == 0
    zs.sp.ligrec(pbmc, "bulk_labels", pairs, n_perms=1000)
    assert np.nanmin(pbmc.uns["bulk_labels_ligrec"]["pvalues"]) == pytest.approx(1 / 1001)


def test_liana_ranks_what_it_should():
    li = pytest.importorskip("liana", reason="liana is not installed: parity with it is not looked at")
    sc = pytest.importorskip("scanpy")
    pbmc = sc.datasets.pbmc68k_reduced()
    pairs = pd.read_csv(GOLDEN / "pairs.csv")
    li.mt.rank_aggregate(pbmc, "bulk_labels", resource=pairs.copy(), n_perms=50, expr_prop=0.1, verbose=False)
    theirs = pbmc.uns["liana_res"]
    # Specificity from their own scores; their magnitude up to 1.10.0 ranks the product that two methods share twice.
    found = ranked(theirs.drop(columns=["specificity_rank", "magnitude_rank"]), ["cellphonedb", "connectome", "logfc", "natmi"], "rra")
    keys = ["source", "target", "ligand_complex", "receptor_complex"]
    both = found.merge(theirs, on=keys)
    np.testing.assert_allclose(both["specificity_rank_x"], both["specificity_rank_y"], rtol=1e-5, atol=1e-7)
    resource = zs.io.read_interactions("liana:consensus")
    assert resource.version == metadata.version("liana") and len(resource.table) > 4000


# Tables


def test_tables_are_read_with_their_origin(tmp_path):
    path = tmp_path / "pairs.tsv.gz"
    with gzip.open(path, "wt") as file:
        file.write("ligand\treceptor\tnote\nA\tB_C\tx\nA\tB_C\ty\n\tB\tz\n")
    read = zs.io.read_interactions(path, version="3")
    assert list(read.table.columns) == ["source", "target", "note"] and read.table.to_numpy().tolist() == [["A", "B_C", "x"]]
    assert read.origin() == {
        "name": "pairs.tsv.gz", "version": "3", "sha256": hashlib.sha256(path.read_bytes()).hexdigest(), "rows": 1,
    }  # fmt: skip
    (tmp_path / "other.csv").write_text("from,to\nA,B\n")
    assert zs.io.read_interactions(tmp_path / "other.csv", columns=("from", "to")).table.shape == (1, 2)
    with pytest.raises(MissingKeyError, match="from, to"):
        zs.io.read_interactions(tmp_path / "other.csv")
    (tmp_path / "empty.csv").write_text("source,target\n,\n")
    with pytest.raises(EmptyDataError):
        zs.io.read_interactions(tmp_path / "empty.csv")
    with pytest.raises(FileNotFoundError):
        zs.io.read_interactions(tmp_path / "none.csv")
    with pytest.raises(MissingKeyError, match="interaction_input"):
        zs.io.read_interactions(tmp_path)
    with pytest.raises(ParameterError, match="columns"):
        zs.io.read_interactions(tmp_path, columns=("a", "b"))
    try:
        metadata.version("liana")
    except metadata.PackageNotFoundError:
        with pytest.raises(MissingKeyError, match="pip install liana"):
            zs.io.read_interactions("liana:consensus")


def test_the_input_files_of_cellphonedb(tmp_path):
    (tmp_path / "interaction_input.csv").write_text("partner_a,partner_b,classification\nP1,duo,x\nP1,P9,y\nduo,P3,z\n")
    (tmp_path / "complex_input.csv").write_text("complex_name,uniprot_1,uniprot_2,uniprot_3\nduo,P2,P3,\n")
    (tmp_path / "gene_input.csv").write_text("gene_name,uniprot,hgnc_symbol\nG1,P1,G1\nG2,P2,G2\nG3old,P3,G3\nG3b,P3,G3b\n")
    read = zs.io.read_interactions(tmp_path)
    # P9 has no gene; of the genes of P3 the first counts.
    assert list(zip(read.table["source"], read.table["target"], strict=True)) == [("G1", "G2_G3"), ("G2_G3", "G3")]
    real = zs.io.read_interactions(data_path("ligand_receptor_and_genes"))
    assert 2500 < len(real.table) <= 2911 and ("CDH1", "ITGB1_ITGA2") in set(real.table[["source", "target"]].itertuples(index=False, name=None))
    ramilowski = zs.io.read_interactions(data_path("ligand_receptor_and_genes/ramilowski2015_human_lr_pairs.tsv.gz"))
    assert len(ramilowski.table) > 2000


# Bad input


def test_names_of_another_species_and_empty_overlap_are_said():
    adata = tissue()
    with pytest.raises(EmptyDataError, match="another case.*another species"):
        zs.sp.ligrec(adata, "label", [("LIG", "REC")])
    with pytest.raises(EmptyDataError, match="0 of 2 genes"):
        zs.sp.rank_aggregate(adata, "label", [("X", "Y")])
    many = [("Lig", "Rec"), *((f"no{i}", f"none{i}") for i in range(200))]
    with pytest.warns(UserWarning, match="2 of 402 genes"):
        zs.sp.ligrec(adata, "label", many, n_perms=None)
    assert len(adata.uns["label_ligrec"]["metadata"]) == 1


def test_faults_are_named_and_nothing_is_written():
    adata = tissue()
    before = set(adata.uns)
    x, labels, genes = adata.X, adata.obs["label"], adata.var_names
    run = zs.arrays.ligrec
    adata.obs["holes"] = labels.where(np.arange(400) != 11)
    for function in (zs.sp.ligrec, zs.sp.rank_aggregate):
        with pytest.raises(DataError, match="row 11"):
            function(adata, "holes", PAIRS)
        with pytest.raises(MissingKeyError, match="nothing"):
            function(adata, "nothing", PAIRS)
        with pytest.raises(MissingKeyError, match="adata.obsp"):
            function(adata, "label", PAIRS, connectivity_key="none")
        with pytest.raises(MissingKeyError, match="symbols"):
            function(adata, "label", PAIRS, gene_symbols="symbols")
        with pytest.raises(MissingKeyError, match="source and target"):
            function(adata, "label", pd.DataFrame({"a": ["x"]}))
        for wrong in ("Lig", [], ["Lig", "Rec"], [("a", "b", "c")]):
            with pytest.raises(ParameterError, match="interactions"):
                function(adata, "label", wrong)
    with pytest.raises(MissingKeyError, match="type 9"):
        run(x, labels, PAIRS, genes=genes, clusters=["type 9"])
    with pytest.raises(ShapeError, match="8 names"):
        run(x, labels, PAIRS, genes=genes[1:])
    with pytest.raises(DataError, match="'Lig' for several"):
        run(x, labels, PAIRS, genes=["Lig", *genes[:-1]])
    with pytest.raises(DataError, match="at least 0"):
        run(-x.toarray(), labels, PAIRS, genes=genes)
    bad = x.toarray()
    bad[0, 0] = np.nan
    with pytest.raises(NonFiniteError):
        run(bad, labels, PAIRS, genes=genes)
    with pytest.raises(ShapeError, match="`graph`"):
        run(x, labels, PAIRS, genes=genes, graph=sparse.identity(3, format="csr"))
    with pytest.raises(TooFewError, match="two labels"), pytest.warns(UserWarning, match="fewer than 300"):
        zs.arrays.rank_aggregate(x, labels, PAIRS, genes=genes, min_cells=300)
    with pytest.warns(UserWarning, match="alone"):
        alone = labels.astype(str).where(np.arange(400) != 3, "alone")
        assert "alone" not in set(zs.arrays.rank_aggregate(x, alone, PAIRS, genes=genes, n_perms=3)["source"])
    for wrong in (
        {"complex_policy": "max"}, {"threshold": 2}, {"n_perms": -1}, {"seed": -1}, {"clusters": []}, {"clusters": ["type 0", ("a", "b")]},
    ):  # fmt: skip
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            zs.sp.ligrec(adata, "label", PAIRS, **wrong)
    for wrong in ({"corr_method": "holm"}, {"corr_axis": "rows"}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            zs.sp.ligrec(adata, "label", PAIRS, **wrong)
    with pytest.raises(ParameterError, match="squidpy_compat"):
        zs.sp.ligrec(adata, "label", PAIRS, squidpy_compat=True, connectivity_key="spatial_connectivities")
    for wrong in ({"methods": ["nichenet"]}, {"methods": []}, {"aggregate_method": "max"}, {"expr_prop": -1}, {"base": 1.0}):
        with pytest.raises(ParameterError, match=next(iter(wrong))):
            zs.sp.rank_aggregate(adata, "label", PAIRS, **wrong)
    assert set(adata.uns) == before
