"""Statistics of cells in tissue side by side: `spatial.py [--peers PYTHON] [--cells 10000,40000,100000] [--more 1000000] [--out FOLDER]`.

Cells lie at random in a square, 10 um apart in the mean, with 20 labels: ten of regions, ten dealt out anywhere. 200 genes, one in ten
values not zero, of which 100 pairs are ligand and receptor. Each statistic of each peer runs in a process of its own, on one thread
(`--threads`), after the same on 600 cells, so that what compiles as it runs has done so. Peers live in an environment of their own:
`pip install squidpy==1.8.2 liana==1.10.0 esda==2.9.0 libpysal igraph leidenalg`; without `--peers` only zensaibo runs. A run is stopped after `--limit`
seconds. `--more` are sizes for zensaibo alone. Writes benches/results/spatial.{json,md}.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
RESULTS = HERE.parent / "results"
LABELS, GENES, PERMS = 20, 200, 100
#: Cells up to which all pairs are counted, and cells that are looked from where there are more.
MOST_PAIRS, SAMPLED = 200_000, 10_000
#: Case: what is run, and by whom.
CASES = {
    "neighbors": ("6 nearest cells", ["zensaibo", "squidpy"]),
    "nhood": ("enrichment; zensaibo exact, squidpy 1,000 orders", ["zensaibo", "squidpy"]),
    "nhood_orders": ("enrichment, 1,000 orders", ["zensaibo", "squidpy"]),
    "co_occurrence": ("50 distances, all pairs; above 200,000 cells those of 10,000", ["zensaibo", "squidpy"]),
    "moran": ("20 genes, 100 permutations", ["zensaibo", "squidpy", "esda"]),
    "ripley": ("L, 100 simulations; zensaibo of 1,000 cells of each label, squidpy of all", ["zensaibo", "squidpy"]),
    "centrality": ("all three scores", ["zensaibo", "squidpy"]),
    "ligrec": ("100 pairs, 100 orders", ["zensaibo", "squidpy"]),
    "rank_aggregate": ("five methods, 100 pairs, 100 orders", ["zensaibo", "liana"]),
    "niches": ("labels among neighbours, 15 nearest, Leiden", ["zensaibo", "squidpy"]),
    "variable": ("200 genes as functions of place", ["zensaibo"]),
}


def tissue(n: int, seed: int = 0):
    """Positions, labels, expression and names; the same numbers for every peer."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy import sparse
    from scipy.spatial import cKDTree

    rng = np.random.default_rng(seed)
    side = 10 * np.sqrt(n)
    places = rng.uniform(0, side, (n, 2))
    seeds = rng.uniform(0, side, (max(20, n // 500), 2))
    home = rng.integers(0, 10, len(seeds))[cKDTree(seeds).query(places)[1]]
    labels = np.where(rng.random(n) < 0.5, home, rng.integers(10, LABELS, n))
    rows = np.repeat(np.arange(n), GENES // 10)
    columns = rng.integers(0, GENES, len(rows))
    values = rng.gamma(2.0, 0.5, len(rows))
    # A tenth of the genes is higher in a label of its own.
    values = values * np.where(columns % LABELS == labels[rows], 1.5, 1.0)
    X = sparse.csr_matrix((values.astype(np.float32), (rows, columns)), (n, GENES))
    adata = ad.AnnData(X)
    adata.var_names = [f"L{i}" if i < 100 else f"R{i - 100}" for i in range(GENES)]
    adata.obs["label"] = pd.Categorical([f"type {label:02d}" for label in labels])
    adata.obsm["spatial"] = places
    return adata


def with_graph(adata):
    """Six nearest cells of each, by scipy: the same for every peer."""
    import numpy as np
    from scipy import sparse
    from scipy.spatial import cKDTree

    n = adata.n_obs
    far, near = cKDTree(adata.obsm["spatial"]).query(adata.obsm["spatial"], k=7)
    starts = np.arange(0, 6 * n + 1, 6)
    for key, values in (("connectivities", np.ones(6 * n, np.float32)), ("distances", far[:, 1:].ravel())):
        graph = sparse.csr_matrix((values, near[:, 1:].ravel(), starts), (n, n))
        graph.sort_indices()
        adata.obsp[f"spatial_{key}"] = graph
    adata.uns["spatial_neighbors"] = {
        "connectivities_key": "spatial_connectivities", "distances_key": "spatial_distances", "params": {"n_neighbors": 6},
    }  # fmt: skip
    return adata


PAIRS = [(f"L{i}", f"R{i}") for i in range(100)]


def zensaibo(case: str, adata, threads: int):
    import numpy as np
    import zensaibo as zs

    quiet = {"threads": threads, "progress": False}
    if case == "neighbors":
        zs.sp.spatial_neighbors_knn(adata, **quiet)
        return {"distances": adata.obsp["spatial_distances"].sum(1)}
    if case in ("nhood", "nhood_orders"):
        zs.sp.nhood_enrichment(adata, "label", n_perms=1000 if case == "nhood_orders" else None, **quiet)
        return {key: adata.uns["label_nhood_enrichment"][key] for key in ("count", "zscore")}
    if case == "co_occurrence":
        zs.sp.co_occurrence(adata, "label", n_observations=SAMPLED if adata.n_obs > MOST_PAIRS else None, **quiet)
        return {"occ": adata.uns["label_co_occurrence"]["occ"]}
    if case == "moran":
        genes = list(adata.var_names[:20])
        zs.sp.spatial_autocorr(adata, genes=genes, n_perms=PERMS, **quiet)
        return {"I": adata.uns["moranI"].loc[genes, "I"].to_numpy()}
    if case == "ripley":
        zs.sp.ripley(adata, "label", mode="L", **quiet)
        return {"pvalue": adata.uns["label_ripley_L"]["pvalue"]}
    if case == "centrality":
        zs.sp.centrality_scores(adata, "label", **quiet)
        return {"scores": adata.uns["label_centrality_scores"].to_numpy()[:, :3]}
    if case == "ligrec":
        zs.sp.ligrec(adata, "label", PAIRS, n_perms=PERMS, **quiet)
        found = adata.uns["label_ligrec"]
        return {"means": found["means"], "pvalues": found["pvalues"]}
    if case == "niches":
        zs.sp.calculate_niche(adata, "neighborhood", groups="label", n_neighbors=15, resolutions=0.5, **quiet)
        return {"niche": adata.obs["nhood_niche_res=0.5"].astype("category").cat.codes}
    if case == "variable":
        zs.sp.spatially_variable_genes(adata, **quiet)
        return {"share": adata.uns["spatially_variable_genes"]["share"]}
    zs.sp.rank_aggregate(adata, "label", PAIRS, n_perms=PERMS, **quiet)
    return ranks(adata.uns["liana_res"], np)


def ranks(table, np):
    table = table.sort_values(["source", "target", "ligand_complex"])
    return {key: table[key].to_numpy(np.float64) for key in ("lr_means", "lrscore", "spec_weight", "lr_logfc", "expr_prod")}


def squidpy(case: str, adata, threads: int):
    import numpy as np
    import squidpy as sq

    quiet = {"show_progress_bar": False, "n_jobs": threads}
    if case == "neighbors":
        sq.gr.spatial_neighbors_knn(adata)
        return {"distances": adata.obsp["spatial_distances"].sum(1)}
    if case in ("nhood", "nhood_orders"):
        sq.gr.nhood_enrichment(adata, "label", seed=0, **quiet)
        return {key: adata.uns["label_nhood_enrichment"][key] for key in ("count", "zscore")}
    if case == "co_occurrence":
        sq.gr.co_occurrence(adata, "label")
        return {"occ": adata.uns["label_co_occurrence"]["occ"]}
    if case == "moran":
        genes = list(adata.var_names[:20])
        sq.gr.spatial_autocorr(adata, genes=genes, n_perms=PERMS, seed=0, **quiet)
        return {"I": adata.uns["moranI"].loc[genes, "I"].to_numpy()}
    if case == "ripley":
        sq.gr.ripley(adata, "label", mode="L")
        return {"pvalue": np.median(adata.uns["label_ripley_L"]["pvalues"], axis=1)}
    if case == "centrality":
        sq.gr.centrality_scores(adata, "label", **quiet)
        return {"scores": adata.uns["label_centrality_scores"].to_numpy()}
    if case == "niches":
        sq.gr.calculate_niche(adata, "neighborhood", groups="label", n_neighbors=15, resolutions=0.5)
        return {"niche": adata.obs["nhood_niche_res=0.5"].astype("category").cat.codes}
    found = sq.gr.ligrec(adata, "label", PAIRS, n_perms=PERMS, use_raw=False, seed=0, copy=True, **quiet)
    order = [(one, two) for one, two in PAIRS]
    return {key: found[key].loc[order].to_numpy(np.float64) for key in ("means", "pvalues")}


def liana(case: str, adata, threads: int):
    import liana as li
    import numpy as np
    import pandas as pd

    resource = pd.DataFrame(PAIRS, columns=["ligand", "receptor"])
    li.mt.rank_aggregate(adata, "label", resource=resource, n_perms=PERMS, use_raw=False, n_jobs=threads, verbose=False)
    return ranks(adata.uns["liana_res"], np)


def esda(case: str, adata, threads: int):
    import esda as package
    import numpy as np
    from libpysal.weights import W

    rows = adata.obsp["spatial_connectivities"].tocsr()
    weights = W({i: list(rows.indices[rows.indptr[i] : rows.indptr[i + 1]]) for i in range(rows.shape[0])}, silence_warnings=True)
    X = np.asarray(adata.X[:, :20].todense(), dtype=np.float64)
    return {"I": np.array([package.Moran(X[:, gene], weights, permutations=PERMS).I for gene in range(20)])}


RUN = {"zensaibo": zensaibo, "squidpy": squidpy, "liana": liana, "esda": esda}


def worker(peer: str, case: str, n: int, threads: int, out: str) -> None:
    from measure import Recorder, peak_mb, set_threads

    set_threads(threads)
    import warnings

    import numpy as np

    warnings.simplefilter("ignore")
    import importlib.metadata

    RUN[peer](case, with_graph(tissue(600)), threads)
    adata = with_graph(tissue(n))
    recorder = Recorder(peer, importlib.metadata.version(peer) if peer != "zensaibo" else version(), threads)
    recorder.result["before_mb"] = peak_mb()
    with recorder.stage(case):
        found = RUN[peer](case, adata, threads)
    np.savez(out + ".npz", **{key: np.asarray(value, dtype=np.float64) for key, value in found.items()})
    recorder.save(out + ".json")


def version() -> str:
    import zensaibo

    return zensaibo.__version__


def agreement(case: str, ours: Path, theirs: Path) -> str:
    """What of two results is the same."""
    import numpy as np

    a, b = np.load(ours), np.load(theirs)

    def off(key: str) -> float:
        return float(np.nanmax(np.abs(np.nan_to_num(a[key]) - np.nan_to_num(b[key]))))

    if case == "neighbors":
        return f"distances within {off('distances'):.1g}"
    if case.startswith("nhood"):
        return f"counts {'equal' if off('count') == 0 else 'differ'}, z r = {np.corrcoef(a['zscore'].ravel(), b['zscore'].ravel())[0, 1]:.5f}"
    if case == "co_occurrence":
        return f"ratios within {off('occ'):.1g}"
    if case == "moran":
        return f"I within {off('I'):.1g}"
    if case == "centrality":
        return f"scores within {off('scores'):.1g}"
    if case == "ligrec":
        known = np.isfinite(a["pvalues"]) & np.isfinite(b["pvalues"])
        return f"means within {off('means'):.1g}, p r = {np.corrcoef(a['pvalues'][known], b['pvalues'][known])[0, 1]:.3f}"
    if case == "niches":
        from quality import adjusted_rand

        return f"{len(set(a['niche']))} niches, theirs {len(set(b['niche']))}; ARI {adjusted_rand(a['niche'].astype(str), b['niche'].astype(str)):.2f}"
    if case == "rank_aggregate":
        if len(a["lr_means"]) != len(b["lr_means"]):
            return f"{len(a['lr_means'])} rows, theirs {len(b['lr_means'])}"
        return "; ".join(f"{key} within {off(key):.1g}" for key in a.files)
    return ""


def verdict(case: str, found: Path) -> str:
    """Against what was planted."""
    import numpy as np

    if case != "ripley":
        return ""
    p = np.load(found)["pvalue"]
    return f"regions told from chance {int((p[:10] <= 0.05).sum())} of 10, labels dealt out {int((p[10:] <= 0.05).sum())} of 10"


def run(peer: str, case: str, n: int, python: str, args, folder: Path) -> dict:
    out = folder / f"{peer}-{case}-{n}"
    command = [python, __file__, "--worker", peer, case, str(n), str(out), "--threads", str(args.threads)]
    try:
        done = subprocess.run(command, timeout=args.limit, capture_output=True, text=True)
    except subprocess.TimeoutExpired:
        return {"peer": peer, "case": case, "cells": n, "failed": f"not done in {args.limit} s of wall time"}
    sys.stderr.write("".join(line + "\n" for line in done.stderr.splitlines() if "cpu-s" in line))
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [""])[-1][:100]
        killed = "killed" if done.returncode < 0 else reason
        return {"peer": peer, "case": case, "cells": n, "failed": killed}
    result = json.loads(Path(f"{out}.json").read_text())
    entry = {"peer": peer, "case": case, "cells": n, "version": result["version"], "threads": args.threads}
    entry |= result["stages"][case] | {"before_mb": result["before_mb"]}
    ours = folder / f"zensaibo-{case}-{n}.npz"
    if peer != "zensaibo" and ours.exists():
        entry["agreement"] = agreement(case, ours, Path(f"{out}.npz"))
    if text := verdict(case, Path(f"{out}.npz")):
        entry["agreement"] = text if peer == "zensaibo" else entry.get("agreement", "")
    return entry


def report(entries: list[dict], out: Path) -> None:
    out.mkdir(parents=True, exist_ok=True)
    (out / "spatial.json").write_text(json.dumps(entries, indent=1) + "\n")
    lines = [
        "# Statistics of cells in tissue, one thread", "",
        "Made by `benches/compare/spatial.py` on two cores shared with other work: compare CPU-seconds. 20 labels, 200 genes. Peak memory is of the",
        "whole process; `before` is what it had with the data loaded. Times ours / theirs are of CPU-seconds.", "",
    ]  # fmt: skip
    for case, (what, _) in CASES.items():
        rows = [entry for entry in entries if entry["case"] == case]
        if not rows:
            continue
        lines += [f"## {case}: {what}", "", "| peer | cells | CPU s | wall s | before MB | peak MB | CPU s over ours | agreement with ours |"]
        lines += ["|---|---:|---:|---:|---:|---:|---:|---|"]
        for entry in rows:
            if "failed" in entry:
                lines.append(f"| {entry['peer']} | {entry['cells']:,} | | | | | | {entry['failed']} |")
                continue
            ours = next((row for row in rows if row["peer"] == "zensaibo" and row["cells"] == entry["cells"] and "cpu" in row), None)
            ratio = f"{entry['cpu'] / max(ours['cpu'], 0.01):.0f}" if ours and entry["peer"] != "zensaibo" else ""
            lines.append(
                f"| {entry['peer']} {entry['version']} | {entry['cells']:,} | {entry['cpu']:.2f} | {entry['wall']:.2f} | "
                f"{entry['before_mb']:.0f} | {entry['peak_mb']:.0f} | {ratio} | {entry.get('agreement', '')} |"
            )
        lines.append("")
    (out / "spatial.md").write_text("\n".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--peers", help="interpreter of the peers' environment")
    parser.add_argument("--cells", default="10000,40000,100000")
    parser.add_argument("--more", default="", help="sizes for zensaibo alone")
    parser.add_argument("--cases", default=",".join(CASES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--limit", type=int, default=600)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--keep", action="store_true", help="add to the results that are there")
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        peer, case, n, out = args.worker
        worker(peer, case, int(n), args.threads, out)
        return
    sizes = [(int(n), True) for n in args.cells.split(",") if n] + [(int(n), False) for n in args.more.split(",") if n]
    cases = args.cases.split(",")
    stored = args.out / "spatial.json"
    entries = json.loads(stored.read_text()) if args.keep and stored.exists() else []
    with tempfile.TemporaryDirectory() as folder:
        for n, beside in sizes:
            for case in cases:
                for peer in CASES[case][1]:
                    python = sys.executable if peer == "zensaibo" else args.peers
                    if python is None or (peer != "zensaibo" and not beside):
                        continue
                    entry = run(peer, case, n, python, args, Path(folder))
                    same = {"peer": peer, "case": case, "cells": n}
                    entries = [old for old in entries if any(old[key] != value for key, value in same.items())] + [entry]
                    entries.sort(key=lambda one: (list(CASES).index(one["case"]), one["cells"], one["peer"] != "zensaibo", one["peer"]))
                    report(entries, args.out)


if __name__ == "__main__":
    os.environ.setdefault("PYTHONHASHSEED", "0")
    main()
