"""One tool of one peer on a prepared input: `tool.py PEER CASE INPUT.h5ad OUT.json OUT.npz THREADS`.

zensaibo and scanpy share their names, so one body serves both; the other peers have bodies of their own. What a peer
compiles on first use it compiles on a toy, outside the clock.
"""

import contextlib
import sys
import warnings

from measure import Recorder, set_threads

peer, case, source, out, arrays, threads = (*sys.argv[1:6], int(sys.argv[6]))
set_threads(threads)
warnings.simplefilter("ignore")

import importlib.metadata

import anndata
import numpy as np

PACKAGE = {"opentsne": "openTSNE", "crest": "crest-sc", "faiss": "faiss-cpu"}
#: Cells of the toy.
TOY = 600


def version() -> str:
    if peer == "zensaibo":
        import zensaibo

        return zensaibo.__version__
    return importlib.metadata.version(PACKAGE.get(peer, peer))


def faces():
    """(pp, tl) of zensaibo or scanpy, loaded before the clock starts."""
    if peer == "zensaibo":
        import zensaibo as api
    else:
        import scanpy as api
    return api.pp, api.tl


def threads_of() -> dict:
    return {"threads": threads} if peer == "zensaibo" else {}


def warm(pp, tl) -> None:
    """scanpy compiles on first use: a toy pays for that outside the clock."""
    if peer == "zensaibo":
        return
    rng = np.random.default_rng(0)
    toy = anndata.AnnData(rng.poisson(1.0, (300, 200)).astype(np.float32))
    toy.obs["g"] = ["a", "b", "c"] * 100
    toy.obs["g"] = toy.obs["g"].astype("category")
    with record.stage("jit"):
        pp.neighbors(toy, use_rep="X")
        if case == "diffmap":
            tl.diffmap(toy)
        if case == "scale":
            pp.scale(toy)


def harmony(adata) -> dict:
    points, batches = np.asarray(adata.obsm["X_pca"]), adata.obs["batch"].astype(str)
    if peer == "zensaibo":
        pp, _ = faces()
        with record.stage(case):
            pp.harmony_integrate(adata, "batch", **threads_of())
        return {"embedding": adata.obsm["X_pca_harmony"]}
    if peer == "crest":
        from crest.harmony import run_harmony

        labels = batches.to_list()
        with record.stage(case):
            found = run_harmony(points, [labels])
        return {"embedding": found["Z_corr"]}
    if peer == "brisc":
        for stage in ("first", case):  # the first call loads its modules
            data = brisc_data(adata if stage == case else adata[:TOY].copy())
            with record.stage(stage):
                data = data.harmonize(batch_column="batch", QC_column=None, num_threads=threads)
        return {"embedding": np.asarray(data.obsm["harmony"])}
    import harmonypy

    with record.stage(case):
        found = harmonypy.run_harmony(points.astype(np.float64), adata.obs, "batch")
    embedding = np.asarray(found.Z_corr)
    return {"embedding": embedding if embedding.shape[0] == adata.n_obs else embedding.T}


def brisc_data(adata):
    """What brisc takes: polars tables; without a matrix, one of nothing."""
    import polars
    from brisc import SingleCell
    from scipy import sparse

    matrix = sparse.csr_array((adata.n_obs, 1), dtype=np.float32) if adata.X is None else sparse.csr_array(adata.X)
    obs = {"cell": list(adata.obs_names), **{key: adata.obs[key].astype(str).to_list() for key in ("batch", "cell_type")}}
    genes = ["none"] if adata.X is None else list(adata.var_names)
    obsm = {"pca": np.ascontiguousarray(adata.obsm["X_pca"], dtype=np.float32)} if "X_pca" in adata.obsm else {}
    return SingleCell(
        X=matrix, obs=polars.DataFrame(obs), var=polars.DataFrame({"gene": genes}), obsm=obsm, num_threads=threads
    ).skip_qc()


def scrublet(adata) -> dict:
    truth = adata.obs["is_doublet"].to_numpy()
    if peer == "crest":
        import crest

        data = crest.read_h5ad(source)
        with record.stage(case):
            crest.pp.scrublet(data)
        return {"score": data.obs["doublet_score"].fill_null(0).to_numpy(), "truth": truth}
    if peer == "brisc":
        # Another method (cxds): what it has for the task.
        for stage in ("first", case):
            data = brisc_data(adata if stage == case else adata[:TOY].copy())
            with record.stage(stage):
                data = data.find_doublets(batch_column=None, QC_column=None, num_threads=threads)
        return {"score": data.obs["doublet_score"].fill_null(0).to_numpy(), "truth": truth}
    pp, tl = faces()
    warm(pp, tl)
    with record.stage(case):
        pp.scrublet(adata, **threads_of())
    return {"score": adata.obs["doublet_score"].to_numpy(), "truth": truth}


def diffmap(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    with record.stage(case):
        tl.diffmap(adata, **threads_of())
    return {"values": adata.uns["diffmap_evals"], "vectors": adata.obsm["X_diffmap"]}


def paga(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    with record.stage(case):
        tl.paga(adata, groups="cell_type", **threads_of())
    return {"values": adata.uns["paga"]["connectivities"].toarray()}


def score_genes(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    with record.stage(case):
        tl.score_genes(adata, list(adata.var_names[10:60]), **threads_of())
    return {"values": adata.obs["score"].to_numpy()}


def scale(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    adata = adata[:, :2000].copy()
    with record.stage(case):
        pp.scale(adata, max_value=10, **threads_of())
    return {"values": np.asarray(adata.X[:200])}


def regress_out(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    adata = adata[:, :2000].copy()
    extra = threads_of() if peer == "zensaibo" else {"n_jobs": threads}
    with record.stage(case):
        pp.regress_out(adata, ["depth"], **extra)
    return {"values": np.asarray(adata.X[:200])}


def tsne(adata) -> dict:
    points = np.asarray(adata.obsm["X_pca"])
    if peer == "zensaibo":
        import zensaibo as zs

        zs.tl.tsne  # loaded before the clock starts
        with record.stage(case):
            zs.tl.tsne(adata, use_rep="X_pca", **threads_of())
        return {"embedding": adata.obsm["X_tsne"], "points": points}
    import openTSNE

    with record.stage(case):
        found = openTSNE.TSNE(perplexity=30, n_jobs=threads, random_state=0).fit(points)
    return {"embedding": np.asarray(found), "points": points}


def twice(body):
    """Runs `body(adata, stage)` on a toy first where the peer compiles."""

    def timed(adata) -> dict:
        if peer not in ("zensaibo", "crest", "brisc"):
            toy = adata[:TOY].copy()
            if "cell_type" in toy.obs:
                counts = toy.obs["cell_type"].value_counts()
                toy = toy[toy.obs["cell_type"].isin(counts.index[counts >= 10])].copy()
            body(toy, "jit")
        return body(adata, case)

    return timed


@twice
def velocity(adata, stage) -> dict:
    """Moments, the stochastic model and the graph of cosines."""
    if peer == "zensaibo":
        pp, tl = faces()
        with record.stage(stage):
            pp.moments(adata, **threads_of())
            tl.velocity(adata, mode="stochastic", **threads_of())
            tl.velocity_graph(adata, **threads_of())
    else:
        import scvelo as scv

        scv.settings.verbosity = 0
        if stage == "jit":
            scv.pp.neighbors(adata, n_neighbors=15, use_rep="X_pca")
        with record.stage(stage), contextlib.redirect_stdout(None):
            scv.pp.moments(adata, n_neighbors=None, n_pcs=None)
            scv.tl.velocity(adata, mode="stochastic")
            scv.tl.velocity_graph(adata, n_jobs=threads, backend="threading", show_progress_bar=False)
    # scvelo leaves the column out when it keeps every gene.
    genes = adata.var["velocity_genes"].to_numpy() if "velocity_genes" in adata.var else np.ones(adata.n_vars, dtype=bool)
    graph = adata.uns["velocity_graph"].tocsr()
    return {
        "velocity": np.asarray(adata.layers["velocity"])[:, genes],
        "truth": np.asarray(adata.layers["truth"])[:, genes],
        "time": adata.obs["time"].to_numpy(),
        "indptr": graph.indptr,
        "indices": graph.indices,
        "data": graph.data,
    }


@twice
def louvain(adata, stage) -> dict:
    _, tl = faces()
    with record.stage(stage):
        tl.louvain(adata, flavor="igraph", directed=False, use_weights=True, **threads_of())
    graph = adata.obsp["connectivities"].tocsr()
    return {
        "labels": adata.obs["louvain"].to_numpy().astype(str),
        "truth": adata.obs["cell_type"].to_numpy().astype(str),
        "indptr": graph.indptr,
        "indices": graph.indices,
        "data": graph.data,
    }


@twice
def combat(adata, stage) -> dict:
    pp, _ = faces()
    adata = adata[:, adata.var["highly_variable"].to_numpy()].copy()
    with record.stage(stage):
        pp.combat(adata, "batch", **threads_of())
    return {"values": dense(adata.X[:200])}


@twice
def pearson_residuals(adata, stage) -> dict:
    # In the order of the file, as a mask of genes leaves them.
    adata = adata[:, np.sort(np.argsort(-np.asarray(adata.X.sum(0)).ravel(), kind="stable")[:2000])].copy()
    if peer == "zensaibo":
        import zensaibo as zs

        normalize = zs.pp.normalize_pearson_residuals
    else:
        import scanpy as sc

        normalize = sc.experimental.pp.normalize_pearson_residuals
    with record.stage(stage):
        normalize(adata, **threads_of())
    return {"values": dense(adata.X[:200])}


@twice
def bbknn(adata, stage) -> dict:
    if peer == "zensaibo":
        pp, _ = faces()
        with record.stage(stage):
            pp.bbknn(adata, **threads_of())
    else:
        import bbknn as package

        with record.stage(stage):
            package.bbknn(adata)
    distances = adata.obsp["distances"].tocsr()
    return {
        "points": np.asarray(adata.obsm["X_pca"])[:, :50],
        "batch": adata.obs["batch"].to_numpy().astype(str),
        "truth": adata.obs["cell_type"].to_numpy().astype(str),
        "indptr": distances.indptr,
        "indices": distances.indices,
    }


def _markers(adata, stage, method: str) -> dict:
    if peer == "crest":
        import crest

        # Its transforms are recorded and applied as the counts are read.
        data = crest.pp.filter_genes(crest.pp.filter_cells(crest.read_h5ad(source), min_genes=200), min_cells=3)
        crest.pp.normalize_total(data, target_sum=1e4)
        crest.pp.log1p(data)
        with record.stage(stage):
            table = crest.tl.rank_genes_groups(data, "cell_type", method=method, n_genes=None)
        groups = sorted(set(table["group"].to_list()))
        return {"names": np.array([table.filter(table["group"] == g)["names"].to_list()[:50] for g in groups])}
    _, tl = faces()
    if method == "logreg":
        adata = adata[:, adata.var["highly_variable"].to_numpy()].copy()
    with record.stage(stage):
        tl.rank_genes_groups(adata, "cell_type", method=method, **threads_of())
    names = adata.uns["rank_genes_groups"]["names"]
    return {"names": np.array([[str(names[group][i]) for i in range(50)] for group in sorted(names.dtype.names)])}


@twice
def ttest(adata, stage) -> dict:
    return _markers(adata, stage, "t-test")


@twice
def wilcoxon(adata, stage) -> dict:
    return _markers(adata, stage, "wilcoxon")


@twice
def ranksums(adata, stage) -> dict:
    """The Wilcoxon test of all genes at a size where scanpy's takes minutes."""
    if peer != "illico":
        return _markers(adata, stage, "wilcoxon")
    from illico import asymptotic_wilcoxon

    groups = sorted(adata.obs["cell_type"].unique())
    with record.stage(stage):
        found = asymptotic_wilcoxon(
            adata, is_log1p=True, group_keys="cell_type", reference=None, n_threads=threads, use_continuity=False, tie_correct=False, return_as_scanpy=True
        )
    names = found["names"]
    return {"names": np.array([[str(names[group][i]) for i in range(50)] for group in groups])}


@twice
def knn(adata, stage) -> dict:
    """The 14 nearest other cells on 50 components."""
    points = np.ascontiguousarray(adata.obsm["X_pca"], dtype=np.float32)
    if peer == "zensaibo":
        import zensaibo as zs

        with record.stage(stage):
            neighbors = zs.arrays.knn(points, 15, threads=threads).indices
    elif peer == "faiss":
        import faiss

        faiss.omp_set_num_threads(threads)
        with record.stage(stage):
            # As its own guide advises for this many points: 4 sqrt(n) lists, of which the nearest 32 are looked at.
            lists = faiss.IndexIVFFlat(faiss.IndexFlatL2(points.shape[1]), points.shape[1], max(1, int(4 * len(points) ** 0.5)))
            lists.train(points)
            lists.add(points)
            lists.nprobe = 32
            _, neighbors = lists.search(points, 15)
    elif peer == "pynndescent":
        import pynndescent

        with record.stage(stage):
            neighbors, _ = pynndescent.NNDescent(points, n_neighbors=15, random_state=0, n_jobs=threads).neighbor_graph
    elif peer == "scranpy":
        import knncolle

        with record.stage(stage):
            index = knncolle.build_index(knncolle.VptreeParameters(), points)
            found = knncolle.find_knn(index, num_neighbors=14, num_threads=threads)
        neighbors = np.asarray(found.index)
    else:
        data = brisc_data(adata)
        with record.stage(stage):
            data = data.neighbors(num_neighbors=14, QC_column=None, num_threads=threads)
        neighbors = np.asarray(data.obsm["neighbors"])
    return {"points": points, "neighbors": np.asarray(neighbors).astype(np.int64)}


@twice
def leiden(adata, stage) -> dict:
    """Communities of the same graph by modularity; igraph until nothing changes, leidenalg's two rounds."""
    graph = adata.obsp["connectivities"].tocsr()
    if peer == "zensaibo":
        _, tl = faces()
        with record.stage(stage):
            tl.leiden(adata, **threads_of())
        labels = adata.obs["leiden"].to_numpy().astype(str)
    else:
        import igraph

        upper = graph.tocoo()
        once = upper.row < upper.col
        with record.stage(stage):
            made = igraph.Graph(n=adata.n_obs, edges=np.column_stack([upper.row[once], upper.col[once]]))
            weights = upper.data[once].astype(float)
            if peer == "igraph":
                found = made.community_leiden("modularity", weights=weights, n_iterations=-1)
            else:
                import leidenalg

                found = leidenalg.find_partition(made, leidenalg.ModularityVertexPartition, weights=weights, n_iterations=2, seed=0)
        labels = np.asarray(found.membership).astype(str)
    return {"labels": labels, "truth": adata.obs["cell_type"].to_numpy().astype(str), "indptr": graph.indptr, "indices": graph.indices, "data": graph.data}


@twice
def umap(adata, stage) -> dict:
    """From components to the layout: neighbours and 500 epochs."""
    points = np.ascontiguousarray(adata.obsm["X_pca"], dtype=np.float32)
    if peer == "zensaibo":
        pp, tl = faces()
        with record.stage(stage):
            pp.neighbors(adata, 15, use_rep="X_pca", **threads_of())
            tl.umap(adata, maxiter=500, **threads_of())
        return {"points": points, "embedding": np.asarray(adata.obsm["X_umap"])}
    import umap as package

    with record.stage(stage):
        # Without a seed it uses its threads.
        embedding = package.UMAP(n_neighbors=15, n_epochs=500, min_dist=0.5, n_jobs=threads).fit_transform(points)
    return {"points": points, "embedding": embedding}


@twice
def logreg(adata, stage) -> dict:
    return _markers(adata, stage, "logreg")


@twice
def ingest(adata, stage) -> dict:
    """The last fifth of the cells onto the others."""
    pp, tl = faces()
    adata = adata[:, adata.var["highly_variable"].to_numpy()].copy()
    cut = adata.n_obs * 4 // 5
    reference, query = adata[:cut].copy(), adata[cut:].copy()
    pp.pca(reference, n_comps=50)
    if peer == "scanpy":
        pp.neighbors(reference, n_neighbors=15, transformer="sklearn")
    else:
        pp.neighbors(reference, n_neighbors=15)
    tl.umap(reference)
    truth = query.obs["cell_type"].to_numpy().astype(str)
    del query.obs["cell_type"]
    with record.stage(stage):
        tl.ingest(query, reference, obs="cell_type", **threads_of())
    return {"labels": query.obs["cell_type"].to_numpy().astype(str), "truth": truth, "points": query.obsm["X_pca"], "embedding": query.obsm["X_umap"]}


def _chromatin():
    """(tfidf, lsi) of zensaibo or muon."""
    if peer == "zensaibo":
        import zensaibo as zs

        return zs.pp.tfidf, zs.tl.lsi
    import muon

    return muon.atac.pp.tfidf, muon.atac.tl.lsi


@twice
def tfidf(adata, stage) -> dict:
    transform, _ = _chromatin()
    with record.stage(stage):
        transform(adata, **threads_of())
    return {"values": dense(adata.X[:200])}


@twice
def lsi(adata, stage) -> dict:
    transform, decompose = _chromatin()
    transform(adata, **threads_of())
    with record.stage(stage):
        decompose(adata, n_comps=50, **threads_of())
    # The components in the middle of the spectrum are settled; signs are free.
    found = np.asarray(adata.obsm["X_lsi"], dtype=np.float64)
    return {"values": np.sort(np.asarray(adata.uns["lsi"]["stdev"]))[::-1], "vectors": found}


@twice
def wnn(adata, stage) -> dict:
    truth = adata.obs["cell_type"].to_numpy().astype(str)
    points = {"rna": np.asarray(adata.obsm["X_pca"]), "prot": np.asarray(adata.obsm["X_prot"])}
    if peer == "zensaibo":
        pp, _ = faces()
        with record.stage(stage):
            pp.wnn(adata, ["X_pca", "X_prot"], **threads_of())
        graph, weights = adata.obsp["wnn_distances"], adata.obs["X_prot:mod_weight"]
    else:
        import mudata
        import muon
        import scanpy as sc

        parts = {name: anndata.AnnData(obs=adata.obs[[]].copy(), obsm={"X_rep": values}) for name, values in points.items()}
        mdata = mudata.MuData(parts)
        with record.stage(stage):
            for part in mdata.mod.values():
                sc.pp.neighbors(part, use_rep="X_rep", n_neighbors=20)
            muon.pp.neighbors(mdata, n_neighbors=19)  # the cell itself not counted
        graph, weights = mdata.obsp["distances"], mdata.obs["prot:mod_weight"]
    graph = graph.tocsr()
    return {"indptr": graph.indptr, "indices": graph.indices, "truth": truth, "weights": np.asarray(weights)}


@twice
def downsample_counts(adata, stage) -> dict:
    pp, _ = faces()
    before = np.asarray(adata.X.sum(0)).ravel()
    total = np.asarray(adata.X.sum(1)).ravel()
    with record.stage(stage):
        pp.downsample_counts(adata, counts_per_cell=1000, **threads_of())
    return {"before": before, "total": total, "after": np.asarray(adata.X.sum(0)).ravel(), "left": np.asarray(adata.X.sum(1)).ravel()}


@twice
def aggregate(adata, stage) -> dict:
    if peer == "zensaibo":
        import zensaibo as api
    else:
        import scanpy as api
    statistics = ["sum", "mean", "var", "count_nonzero"]
    api.get.aggregate  # loaded before the clock starts
    with record.stage(stage):
        found = api.get.aggregate(adata, "cell_type", statistics, **threads_of())
    found = found[np.argsort(found.obs_names)]
    return {"values": np.concatenate([dense(found.layers[name]) for name in ("mean", "var")])}


def dense(matrix) -> np.ndarray:
    return np.asarray(matrix.todense() if hasattr(matrix, "todense") else matrix)


record = Recorder(peer, version(), threads)
result = globals()[case](anndata.read_h5ad(source))
record.save(out)
np.savez(arrays, **result)
