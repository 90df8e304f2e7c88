"""One tool of one peer on a prepared input: `tool.py PEER CASE INPUT.h5ad OUT.json OUT.npz THREADS`.

zensaibo and scanpy share their names, so one body serves both; the other peers have bodies of their own.
"""

import sys
import warnings

from measure import Recorder, set_threads

peer, case, source, out, arrays, threads = (*sys.argv[1:6], int(sys.argv[6]))
set_threads(threads)
warnings.simplefilter("ignore")

import importlib.metadata

import anndata
import numpy as np

PACKAGE = {"zensaibo": "zensaibo", "scanpy": "scanpy", "harmonypy": "harmonypy", "opentsne": "openTSNE", "scvelo": "scvelo"}


def version() -> str:
    if peer == "zensaibo":
        import zensaibo

        return zensaibo.__version__
    return importlib.metadata.version(PACKAGE[peer])


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
    if peer == "zensaibo":
        import zensaibo as zs

        zs.pp.harmony_integrate  # loaded before the clock starts
        with record.stage(case):
            zs.pp.harmony_integrate(adata, "batch", **threads_of())
        return {"embedding": adata.obsm["X_pca_harmony"]}
    import harmonypy

    with record.stage(case):
        found = harmonypy.run_harmony(np.asarray(adata.obsm["X_pca"], dtype=np.float64), adata.obs, "batch")
    embedding = np.asarray(found.Z_corr)
    return {"embedding": embedding if embedding.shape[0] == adata.n_obs else embedding.T}


def scrublet(adata) -> dict:
    pp, tl = faces()
    warm(pp, tl)
    with record.stage(case):
        pp.scrublet(adata, **threads_of())
    return {"score": adata.obs["doublet_score"].to_numpy(), "truth": adata.obs["is_doublet"].to_numpy()}


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


record = Recorder(peer, version(), threads)
result = globals()[case](anndata.read_h5ad(source))
record.save(out)
np.savez(arrays, **result)
