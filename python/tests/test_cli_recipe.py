"""``pp.recipe`` and the console script: the known story of PBMC 3k, the same bits as the command line, bad input."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from html.parser import HTMLParser
from pathlib import Path

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import errors

from conftest import data_path

SMALL = {"filter": {"min_genes": 5}, "pca": {"n_comps": 10}, "hvg": {"n_top_genes": 60}}


def command(*arguments: object, **options) -> subprocess.CompletedProcess:
    """Runs the console script in a process of its own."""
    line = [sys.executable, "-m", "zensaibo", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False, **options)


def same(a: ad.AnnData, b: ad.AnnData) -> None:
    """The same results, to the last bit."""
    assert a.obs["leiden"].tolist() == b.obs["leiden"].tolist()
    for slot, key in [("obsm", "X_pca"), ("obsm", "X_umap"), ("varm", "PCs")]:
        assert np.array_equal(getattr(a, slot)[key], getattr(b, slot)[key]), key
    for first, second in [(a.X, b.X), (a.layers["counts"], b.layers["counts"]), *((a.obsp[k], b.obsp[k]) for k in a.obsp)]:
        assert np.array_equal(first.indptr, second.indptr) and np.array_equal(first.indices, second.indices)
        assert np.array_equal(first.data, second.data)
    ranked = [adata.uns["rank_genes_groups"] for adata in (a, b)]
    for name in ("names", "scores", "pvals", "pvals_adj", "logfoldchanges"):
        assert ranked[0][name].tolist() == ranked[1][name].tolist()


@pytest.fixture(scope="module")
def pbmc(tmp_path_factory: pytest.TempPathFactory) -> tuple[ad.AnnData, Path]:
    """PBMC 3k through the command line, with a report."""
    source = data_path("pbmc3k/filtered_gene_bc_matrices/hg19")
    folder = tmp_path_factory.mktemp("pbmc")
    limits = ["--set", "filter.max_genes=2500", "--set", "filter.max_pct_mito=5"]
    done = command("cluster", source, "-o", folder / "out.h5ad", "--report", folder / "report.html", *limits)
    assert done.returncode == 0, done.stderr
    return ad.read_h5ad(folder / "out.h5ad"), folder


#: Cell types of PBMC 3k by genes that mark them, as the tutorials tell it.
STORY = {
    "CD4 T": ("IL7R", "CD3D"),
    "CD14 monocyte": ("CD14", "LYZ"),
    "B": ("MS4A1", "CD79A"),
    "CD8 T": ("CD8A", "CD3D"),
    "NK": ("GNLY", "NKG7"),
    "FCGR3A monocyte": ("FCGR3A", "MS4A7"),
    "dendritic": ("FCER1A", "CST3"),
    "megakaryocyte": ("PPBP", "PF4"),
}


def test_pbmc3k_tells_the_known_story(pbmc: tuple[ad.AnnData, Path]) -> None:
    adata, _ = pbmc
    assert adata.shape[0] == 2638
    clusters = adata.obs["leiden"]
    assert 7 <= clusters.cat.categories.size <= 12
    genes = sorted({gene for pair in STORY.values() for gene in pair})
    level = adata[:, genes].to_df().groupby(clusters, observed=True).mean()
    # How far a cluster stands out among all, for each gene.
    z = (level - level.mean()) / level.std()
    found = {kind: str(z[list(pair)].mean(axis=1).idxmax()) for kind, pair in STORY.items()}
    for kind, pair in STORY.items():
        share = (adata[clusters == found[kind], list(pair)].to_df() > 0).mean()
        rest = (adata[clusters != found[kind], list(pair)].to_df() > 0).mean()
        assert (share > rest).all(), f"{kind}: {share} in cluster {found[kind]}, {rest} outside"
    distinct = {found[kind] for kind in ("CD14 monocyte", "B", "NK", "FCGR3A monocyte", "dendritic", "megakaryocyte", "CD4 T")}
    assert len(distinct) == 7, found


def test_pbmc3k_markers_are_ranked(pbmc: tuple[ad.AnnData, Path]) -> None:
    adata, _ = pbmc
    names = adata.uns["rank_genes_groups"]["names"]
    top = {group: set(names[group][:30]) for group in names.dtype.names}
    for gene in ("CD3D", "LYZ", "CD79A", "NKG7", "GNLY", "LST1", "PPBP"):
        assert any(gene in genes for genes in top.values()), gene


def test_scanpy_works_on_the_result(pbmc: tuple[ad.AnnData, Path]) -> None:
    sc = pytest.importorskip("scanpy")
    matplotlib = pytest.importorskip("matplotlib")
    matplotlib.use("agg")
    adata = pbmc[0].copy()
    sc.pl.umap(adata, color=["leiden", "LYZ"], show=False)
    sc.pl.rank_genes_groups(adata, show=False)
    sc.pl.highly_variable_genes(adata, show=False)
    sc.pl.pca_variance_ratio(adata, show=False)
    sc.tl.dendrogram(adata, "leiden")
    sc.pl.rank_genes_groups_dotplot(adata, n_genes=3, show=False)
    sc.tl.paga(adata, groups="leiden")
    sc.tl.umap(adata)
    frame = sc.get.rank_genes_groups_df(adata, "0")
    assert list(frame.columns) == ["names", "scores", "logfoldchanges", "pvals", "pvals_adj"]
    matplotlib.pyplot.close("all")


class _Page(HTMLParser):
    """Collects tags and checks that they close."""

    VOID = {"meta", "input", "br", "hr", "img", "link"}

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.outside: list[str] = []

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.outside += [f"{tag} {k}={v}" for k, v in attributes if k in ("src", "href") and not str(v).startswith("#")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attributes: list) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> within {self.open[-3:]}"
        self.open.pop()


def test_the_report_is_one_page_without_network(pbmc: tuple[ad.AnnData, Path]) -> None:
    text = (pbmc[1] / "report.html").read_text(encoding="utf-8")
    page = _Page()
    page.feed(text)
    assert page.open == [] and page.outside == []
    assert "http://" not in text and "https://" not in text
    assert len(text) < 1_500_000
    for word in ("2,638", "CD79A", "SHA-256", "max_pct_mito", "Knee plot"):
        assert word in text, word


def test_recipe_is_the_command_line(small: ad.AnnData, tmp_path: Path) -> None:
    source = tmp_path / "in.h5ad"
    small.write_h5ad(source)
    out = tmp_path / "out.h5ad"
    sets = [f"--set={section}.{key}={value}" for section, options in SMALL.items() for key, value in options.items()]
    done = command("cluster", source, "-o", out, "--threads", 1, *sets)
    assert done.returncode == 0, done.stderr
    from_command = ad.read_h5ad(out)
    before = small.copy()
    from_path = zs.pp.recipe(source, config=SMALL, threads=2)
    from_memory = zs.pp.recipe(small, config=SMALL)
    same(from_command, from_path)
    same(from_command, from_memory)
    assert from_memory.obs["group"].tolist() == from_command.obs["group"].tolist()
    assert list(from_memory.obs["group"].cat.categories) == ["g0", "g1", "g2"]
    # The input is left as it was.
    assert np.array_equal(small.X.data, before.X.data) and list(small.obs) == list(before.obs)


@pytest.mark.parametrize("layout", ["csr", "csc", "dense", "int64"])
def test_layouts_give_the_same(small: ad.AnnData, layout: str) -> None:
    expected = zs.pp.recipe(small, config=SMALL)
    matrix = small.X
    other = {
        "csr": sparse.csr_matrix(matrix),
        "csc": sparse.csc_matrix(matrix),
        "dense": matrix.toarray(),
        "int64": matrix.astype(np.int64),
    }[layout]
    same(expected, zs.pp.recipe(ad.AnnData(other, obs=small.obs, var=small.var), config=SMALL))


def test_the_planted_groups_are_found_and_everything_is_kept(small: ad.AnnData, tmp_path: Path) -> None:
    small.obs["flag"] = np.arange(small.n_obs) % 2 == 0
    small.obs["number"] = np.linspace(0, 1, small.n_obs)
    small.obs["text"] = [f"t{i}" for i in range(small.n_obs)]
    small.var["weight"] = np.arange(small.n_vars, dtype=np.int16)
    report = tmp_path / "report.html"
    done = zs.pp.recipe(small, tmp_path / "out.h5ad", SMALL, report=report, seed=3)
    assert done.obs["flag"].dtype == bool and done.obs["flag"].tolist() == small.obs["flag"].tolist()
    assert done.obs["number"].tolist() == small.obs["number"].tolist()
    assert done.obs["text"].tolist() == small.obs["text"].tolist()
    assert done.var["weight"].tolist() == small.var["weight"].tolist()
    table = np.array([[np.sum((done.obs["group"] == g) & (done.obs["leiden"] == c)) for c in done.obs["leiden"].cat.categories] for g in ("g0", "g1", "g2")])
    assert table.max(axis=0).sum() == small.n_obs, table
    options = done.uns["zensaibo"]["recipe"]["options"]
    assert options["umap"]["seed"] == 3 and options["leiden"]["seed"] == 3 and options["pca"]["n_comps"] == 10
    assert report.read_text(encoding="utf-8").startswith("<!doctype html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5ad", "report.html"]


def test_bad_options_and_data_have_their_class(small: ad.AnnData, tmp_path: Path) -> None:
    def refused(kind: type, words: str, data: object = small, **arguments: object) -> None:
        with pytest.raises(kind, match=words):
            zs.pp.recipe(data, **{"config": SMALL, **arguments})

    refused(errors.ParameterError, "did you mean `resolution`", config={"leiden": {"resolutoin": 1}})
    refused(errors.ParameterError, "leiden.resolution", config={"leiden": {"resolution": -1}})
    refused(errors.ParameterError, "n_neighbors", config={**SMALL, "neighbors": {"n_neighbors": 1000}})
    refused(errors.ParameterError, "n_comps", config={**SMALL, "pca": {"n_comps": 1000}})
    refused(errors.ParameterError, "config", config=tmp_path / "none.toml")
    refused(errors.ParameterError, "output", out=tmp_path / "no" / "out.h5ad")
    refused(errors.FileError, "none.h5ad", data=tmp_path / "none.h5ad")
    (tmp_path / "text.h5ad").write_text("dear diary")
    refused(errors.FormatError, "text.h5ad", data=tmp_path / "text.h5ad")
    logged = small.copy()
    logged.X = logged.X.log1p()
    refused(errors.NotCountsError, "raw counts", data=logged)
    negative = small.copy()
    negative.X.data[5] = -1
    refused(errors.NegativeValuesError, "-1", data=negative)
    missing = small.copy()
    missing.X.data[5] = np.nan
    refused(errors.NonFiniteError, "NaN", data=missing)
    empty = small.copy()
    empty.X = sparse.csr_matrix(empty.shape, dtype=np.float32)
    refused(errors.EmptyDataError, "0 stored values", data=empty)
    repeated = small.copy()
    repeated.var_names = ["same"] * repeated.n_vars
    refused(errors.DuplicateNamesError, "same twice", data=repeated, config={**SMALL, "input": {"make_names_unique": False}})
    refused(errors.MissingKeyError, "nothing", config={**SMALL, "input": {"layer": "nothing"}})
    refused(errors.ParameterError, "data", data=3)


def test_the_console_script_can_be_interrupted(small: ad.AnnData, tmp_path: Path) -> None:
    source = tmp_path / "in.h5ad"
    small.write_h5ad(source)
    sets = [f"--set={section}.{key}={value}" for section, options in SMALL.items() for key, value in options.items()]
    line = [sys.executable, "-m", "zensaibo", "cluster", source, "-o", tmp_path / "out.h5ad", *sets, "--set=umap.maxiter=1000000"]
    for which in (signal.SIGINT, signal.SIGTERM):
        with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as run:
            assert any(text.startswith("leiden") for text in run.stderr)
            asked = time.monotonic()
            os.kill(run.pid, which)
            assert run.wait(timeout=20) == 130
            assert time.monotonic() - asked < 5
        assert sorted(path.name for path in tmp_path.iterdir()) == ["in.h5ad"]


def test_console_script_usage() -> None:
    assert command("--version").stdout.strip() == f"zensaibo {zs.__version__}"
    assert command("bogus").returncode == 2
    assert command("inspect", "no/such/file").returncode == 3
    assert "[leiden]" in command("config", "cluster").stdout


@pytest.mark.slow
def test_the_demo_runs(tmp_path: Path) -> None:
    environment = {**os.environ, "ZENSAIBO_DATA": str(tmp_path / "none")}
    line = [sys.executable, "-m", "zensaibo.demo", "--out", str(tmp_path / "demo")]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for word in ("Simulated", "clusters", "top markers", "peak", "simulated.html", "PBMC 3k is left out", "phantom.html", "The brain crop"):
        assert word in done.stdout, word
    scores = re.search(r"precision ([\d.]+), recall ([\d.]+), F1 ([\d.]+)", done.stdout)
    assert scores is not None and float(scores[3]) > 0.9, done.stdout
    assert (tmp_path / "demo" / "simulated.html").exists()
    # What is imaged and what is sequenced meet: types by four genes, types by a hundred, and genes that no channel shows.
    shares = re.search(r"([\d.]+)% of the types came back.*and ([\d.]+)% of \d+ depth-dependent genes", done.stdout)
    assert shares is not None and float(shares[1]) > 85 and float(shares[2]) > 90, done.stdout
    typed = re.search(r"([\d.]+)% of the cells in place have their type back", done.stdout)
    assert typed is not None and float(typed[1]) > 85, done.stdout
    for name in ("organoid.html", "organoid_section.png", "organoid_profile.png"):
        assert (tmp_path / "demo" / name).exists()
