"""Single tools, peers side by side: `python benches/compare/tools.py [harmony scrublet diffmap ...]`.

Inputs are prepared once by our own chain from the generated counts of `omics.py`, so that every peer is given the same
numbers; `velocity` has counts of its own, drawn from known kinetics. Each run is a process of its own. Prints and writes
to benches/results/tools.{json,md}: CPU-seconds and wall, ours / peer, peak memory, and one judgement for all peers of a
case. `--size 2k` tries the cases on fewer cells and writes nothing down.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from omics import ENVIRONMENTS, HERE, RESULTS, SIZES, _cpu_name, dataset
from omics import environment as chain_environment
from quality import adjusted_rand, exact_neighbors, modularity

#: Case: (size of the input, peers, what the input is).
CASES = {
    "harmony": ("100k", ["harmonypy", "crest", "brisc"], "neighbors"),
    "scrublet": ("10k", ["scanpy", "crest", "brisc"], "counts"),
    "diffmap": ("10k", ["scanpy"], "neighbors"),
    "paga": ("10k", ["scanpy"], "neighbors"),
    "score_genes": ("10k", ["scanpy"], "log"),
    "scale": ("10k", ["scanpy"], "log"),
    "regress_out": ("10k", ["scanpy"], "log"),
    "tsne": ("10k", ["opentsne"], "neighbors"),
    "velocity": ("10k", ["scvelo"], "velocity"),
    "louvain": ("10k", ["scanpy"], "neighbors"),
    "combat": ("10k", ["scanpy"], "variable"),
    "pearson_residuals": ("10k", ["scanpy"], "counts"),
    "bbknn": ("10k", ["bbknn"], "neighbors"),
    "ttest": ("100k", ["scanpy", "crest"], "log"),
    "wilcoxon": ("10k", ["scanpy", "crest"], "log"),
    "ranksums": ("100k", ["illico", "crest"], "log"),
    "knn": ("100k", ["faiss", "pynndescent", "brisc"], "neighbors"),
    "leiden": ("100k", ["igraph", "leidenalg"], "neighbors"),
    "umap": ("10k", ["umap-learn"], "neighbors"),
    "logreg": ("2k", ["scanpy"], "variable"),
    "ingest": ("10k", ["scanpy"], "variable"),
    "tfidf": ("10k", ["muon"], "counts"),
    "lsi": ("10k", ["muon"], "counts"),
    "wnn": ("2k", ["muon"], "joint"),
    "downsample_counts": ("10k", ["scanpy"], "counts"),
    "aggregate": ("10k", ["scanpy"], "log"),
}
#: Cases in which crest-sc starts from counts: it keeps transforms as a list and applies them as it reads.
FROM_COUNTS = {"ttest", "wilcoxon", "ranksums"}
#: Peer: packages, pinned. crest and brisc live in the environments of `omics.py`.
PEERS = {
    "scanpy": ["scanpy==1.11.5", "pynndescent<0.7", "igraph==1.0.0", "scikit-misc==0.5.3", "scikit-image"],
    "illico": ["illico==0.6.0", "statsmodels", "anndata"],
    "faiss": ["faiss-cpu==1.13.0", "anndata"],
    "pynndescent": ["pynndescent==0.5.13", "anndata"],
    "scranpy": ["scranpy==0.3.1", "anndata"],
    "igraph": ["igraph==1.0.0", "anndata"],
    "leidenalg": ["leidenalg==0.11.0", "igraph==1.0.0", "anndata"],
    "umap-learn": ["umap-learn==0.5.9.post2", "pynndescent<0.7", "anndata"],
    "harmonypy": ["harmonypy==2.1.0", "anndata"],
    "opentsne": ["openTSNE==1.0.4", "anndata"],
    "scvelo": ["scvelo==0.3.4", "scanpy==1.11.5", "anndata==0.11.4", "numpy==1.26.4", "pandas==2.2.3", "pynndescent<0.7"],
    "muon": ["muon==0.1.9", "mudata==0.3.10", "scanpy==1.11.5", "pynndescent<0.7"],
    "bbknn": ["bbknn==1.6.0", "annoy==1.17.3", "scanpy==1.11.5", "pynndescent<0.7", "igraph==1.0.0"],
}


def environment(peer: str) -> Path:
    """The interpreter of a peer's own environment; made on first use."""
    if peer == "zensaibo":
        return Path(sys.executable)
    if peer not in PEERS:
        return chain_environment(peer)
    home = ENVIRONMENTS / f"tools-{peer}"
    stamp, wanted = home / "packages.txt", "\n".join(PEERS[peer])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        stamp.write_text(wanted)
    return home / "bin/python"


def prepared(size: str, kind: str) -> Path:
    """Counts as they come (`counts`), logarithms of normalised counts (`log`) with the variable genes marked
    (`variable`), cells with components and neighbours (`neighbors`) and with planted protein coordinates beside them
    (`joint`), or spliced and unspliced counts (`velocity`)."""
    if kind == "counts":
        return dataset(size)
    path = ENVIRONMENTS / "data" / f"{size}-{kind}.h5ad"
    if path.exists():
        return path
    import anndata

    import zensaibo as zs

    if kind == "velocity":
        zs.io.write(kinetics(SIZES[size]), path)
        return path
    if kind == "joint":
        adata = zs.io.read(prepared(size, "neighbors"))
        rng = np.random.default_rng(0)
        codes = adata.obs["cell_type"].cat.codes.to_numpy()
        # Proteins tell half of the types apart, and the others not.
        centres = rng.normal(0, 3, (codes.max() + 1, 20))
        centres[len(centres) // 2 :] = centres[-1]
        adata.obsm["X_prot"] = (centres[codes] + rng.normal(0, 1, (adata.n_obs, 20))).astype(np.float32)
        zs.io.write(adata, path)
        return path
    adata = zs.io.read(dataset(size))
    zs.pp.filter_cells(adata, min_genes=200)
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    if kind != "log":
        zs.pp.highly_variable_genes(adata, n_top_genes=2000)
    if kind == "neighbors":
        zs.pp.pca(adata, n_comps=50)
        zs.pp.neighbors(adata, n_neighbors=15)
        slim = anndata.AnnData(obs=adata.obs, uns={"neighbors": adata.uns["neighbors"]})
        slim.obsm["X_pca"] = adata.obsm["X_pca"]
        slim.obsp.update(adata.obsp)
        adata = slim
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    zs.io.write(adata, path)
    return path


def kinetics(n_obs: int, n_vars: int = 1000, seed: int = 0):
    """Cells along one path whose genes switch on and off: layers `spliced`, `unspliced` (normalised counts) and `truth`
    (the change of spliced transcripts in the same units), obs `time`, components and 15 neighbours."""
    import anndata
    from scipy import sparse

    import zensaibo as zs

    rng = np.random.default_rng(seed)
    time = rng.uniform(0, 20, n_obs)
    on, length = rng.uniform(-5, 16, n_vars), rng.uniform(4, 10, n_vars)
    alpha, beta, gamma = rng.lognormal(0.7, 0.6, n_vars), rng.lognormal(0, 0.2, n_vars), rng.lognormal(-0.5, 0.2, n_vars)

    def after(elapsed, u, s, rate):
        # Solution of du/dt = rate - beta u, ds/dt = beta u - gamma s from (u, s).
        decay, loss = np.exp(-beta * elapsed), np.exp(-gamma * elapsed)
        mixed = (rate - beta * u) / (gamma - beta) * (loss - decay)
        return u * decay + rate / beta * (1 - decay), s * loss + rate / gamma * (1 - loss) + mixed

    risen = after(np.clip(time[:, None] - on, 0, length), 0.0, 0.0, alpha)
    unspliced, spliced = after(np.maximum(time[:, None] - on - length, 0), *risen, 0.0)
    truth = beta * unspliced - gamma * spliced
    counts = {name: rng.poisson(mean).astype(np.float32) for name, mean in (("spliced", spliced), ("unspliced", unspliced))}
    adata = anndata.AnnData(sparse.csr_matrix(counts["spliced"]))
    adata.obs["time"] = time
    depth = {name: values.sum(1, keepdims=True) for name, values in counts.items()}
    for name, values in counts.items():
        adata.layers[name] = sparse.csr_matrix(values / np.maximum(depth[name], 1) * np.median(depth[name]))
    adata.layers["truth"] = (truth / np.maximum(depth["spliced"], 1) * np.median(depth["spliced"])).astype(np.float32)
    zs.pp.normalize_total(adata)
    zs.pp.log1p(adata)
    zs.pp.pca(adata, n_comps=30)
    zs.pp.neighbors(adata, n_neighbors=15)
    # The others hold None, which the anndata of scvelo cannot read.
    adata.uns = {"neighbors": adata.uns["neighbors"]}
    return adata


def run(peer: str, case: str, source: Path, threads: int) -> dict | None:
    out = ENVIRONMENTS / "runs" / f"tool-{case}-{peer}-{threads}.json"
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays = out.with_suffix(".npz")
    command = [str(environment(peer)), str(HERE / "tool.py"), peer, case, str(source), str(out), str(arrays), str(threads)]
    env = dict(os.environ)
    if peer != "zensaibo":
        env.pop("PYTHONPATH", None)
    if subprocess.run(command, cwd=HERE, env=env).returncode != 0:
        print(f"  {peer} failed on {case}", file=sys.stderr)
        return None
    return json.loads(out.read_text()) | {"arrays": dict(np.load(arrays, allow_pickle=True))}


def judge(case: str, source: Path, results: dict[str, dict]) -> dict[str, str]:
    """One figure of quality per peer, by one referee."""
    import anndata

    import zensaibo as zs

    verdict = {}
    for peer, result in results.items():
        found = result["arrays"]
        if case == "harmony":
            obs = anndata.read_h5ad(source).obs
            sample = np.random.default_rng(0).choice(len(obs), min(5000, len(obs)), replace=False)
            points = np.ascontiguousarray(found["embedding"][sample], dtype=np.float32)
            mixing = float(np.median(zs.metrics.lisi(points, obs["batch"].to_numpy()[sample])))
            keeping = float(np.median(zs.metrics.lisi(points, obs["cell_type"].astype(str).to_numpy()[sample])))
            verdict[peer] = f"LISI of batches {mixing:.2f}, of types {keeping:.2f}"
        elif case == "scrublet":
            from sklearn.metrics import roc_auc_score

            area = roc_auc_score(found["truth"], found["score"])
            verdict[peer] = f"AUC to planted doublets {area:.3f}{' (by cxds)' if peer == 'brisc' else ''}"
        elif case == "knn":
            sample = np.sort(np.random.default_rng(0).choice(len(found["points"]), 1000, replace=False))
            truth = exact_neighbors(found["points"], sample, 14)
            rows = [found["neighbors"][cell][found["neighbors"][cell] != cell][:14] for cell in sample]
            verdict[peer] = f"recall {np.mean([len(np.intersect1d(*pair)) / 14 for pair in zip(rows, truth, strict=True)]):.4f}"
        elif case in {"tsne", "umap"}:
            trust = zs.metrics.trustworthiness(found["points"], found["embedding"], n_neighbors=15)
            kept = zs.metrics.neighbor_preservation(found["points"], found["embedding"], n_neighbors=15)
            verdict[peer] = f"trustworthiness {trust:.4f}, neighbours kept {kept:.4f}"
        elif case == "velocity":
            kept = np.isfinite(found["velocity"]).all(0)
            ours, truth = found["velocity"][:, kept], found["truth"][:, kept]
            norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(truth, axis=1)
            cosine = np.median((ours * truth).sum(1) / np.maximum(norms, 1e-12))
            rows = np.repeat(np.arange(len(found["time"])), np.diff(found["indptr"]))
            weights = np.expm1(np.maximum(found["data"], 0) * 10)
            ahead = np.bincount(rows, weights * (found["time"][found["indices"]] - found["time"][rows]), len(found["time"]))
            verdict[peer] = f"{kept.sum()} genes, cosine to the true change {cosine:.3f}, cells led forward {np.mean(ahead > 0):.3f}"
        elif case in {"louvain", "leiden"}:
            score = modularity(found["labels"], found["indptr"], found["indices"], found["data"])
            verdict[peer] = f"modularity {score:.4f}, ARI to truth {adjusted_rand(found['labels'], found['truth']):.3f}"
        elif case == "bbknn":
            verdict[peer] = balanced(found)
        elif case in {"ttest", "wilcoxon", "ranksums", "logreg"}:
            if peer != "zensaibo" and "zensaibo" in results:
                ours = results["zensaibo"]["arrays"]["names"]
                shared = np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(ours, found["names"], strict=True)])
                verdict[peer] = f"first 50 genes of a group shared with ours {shared:.3f}"
        elif case == "ingest":
            trust = zs.metrics.trustworthiness(np.ascontiguousarray(found["points"]), np.ascontiguousarray(found["embedding"]), n_neighbors=15)
            right = np.mean(found["labels"] == found["truth"])
            verdict[peer] = f"labels right {right:.4f}, trustworthiness {trust:.4f}"
        elif case == "wnn":
            rows = np.repeat(np.arange(len(found["truth"])), np.diff(found["indptr"]))
            same = np.mean(found["truth"][rows] == found["truth"][found["indices"]])
            verdict[peer] = f"neighbours of the same type {same:.4f}"
            if peer != "zensaibo" and "zensaibo" in results:
                ours = results["zensaibo"]["arrays"]
                shared = [
                    len(np.intersect1d(*(r["indices"][r["indptr"][i] : r["indptr"][i + 1]] for r in (ours, found))))
                    / max(found["indptr"][i + 1] - found["indptr"][i], 1)
                    for i in range(0, len(found["truth"]), 5)
                ]
                verdict[peer] += f", shared with ours {np.mean(shared):.3f}, weights' correlation {np.corrcoef(ours['weights'], found['weights'])[0, 1]:.4f}"
        elif case == "downsample_counts":
            wanted = np.minimum(found["total"], 1000)
            expected = found["before"] * found["left"].sum() / found["before"].sum()
            apart = np.corrcoef(expected, found["after"])[0, 1]
            verdict[peer] = f"cells at the target {np.mean(found['left'] == wanted):.3f}, genes' correlation to the share expected {apart:.5f}"
        elif "zensaibo" in results and peer != "zensaibo":
            apart = np.max(np.abs(results["zensaibo"]["arrays"]["values"] - found["values"]))
            verdict[peer] = f"largest difference to ours {apart:.1e}"
    return verdict


def balanced(found: dict) -> str:
    """Recall of the 3 nearest cells of each batch, and neighbours of the cell's own type, over 1,000 cells."""
    points, batches = found["points"], found["batch"]
    sample = np.random.default_rng(0).choice(len(points), min(1000, len(points)), replace=False)
    hits = asked = same = seen = 0
    for batch in np.unique(batches):
        members = np.flatnonzero(batches == batch)
        squares = (points[sample].astype(np.float64) ** 2).sum(1)[:, None] + (points[members].astype(np.float64) ** 2).sum(1)
        apart = squares - 2 * points[sample].astype(np.float64) @ points[members].T.astype(np.float64)
        near = members[np.argsort(apart, axis=1, kind="stable")[:, :3]]
        for cell, exact in zip(sample, near, strict=True):
            others = exact[exact != cell]
            row = found["indices"][found["indptr"][cell] : found["indptr"][cell + 1]]
            hits, asked = hits + len(np.intersect1d(row, others)), asked + len(others)
    for cell in sample:
        row = found["indices"][found["indptr"][cell] : found["indptr"][cell + 1]]
        row = row[row != cell]
        same, seen = same + int((found["truth"][row] == found["truth"][cell]).sum()), seen + len(row)
    return f"recall {hits / asked:.4f}, neighbours of the same type {same / seen:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--size", help="cells in place of each case's own, as 2k; nothing is written down")
    arguments = parser.parse_args()
    if arguments.size is not None and arguments.size not in SIZES:
        parser.error(f"--size: expected one of {', '.join(SIZES)}, found {arguments.size}")
    record_path = RESULTS / "tools.json"
    record = json.loads(record_path.read_text()) if record_path.exists() and arguments.size is None else {}
    for case in arguments.cases or CASES:
        if case not in CASES:
            parser.error(f"case: expected one of {', '.join(CASES)}, found {case}")
        size, peers, kind = CASES[case]
        size = arguments.size or size
        source = prepared(size, kind)
        results = {}
        for peer in ["zensaibo", *peers]:
            given = dataset(size) if peer == "crest" and case in FROM_COUNTS else source
            if result := run(peer, case, given, arguments.threads):
                results[peer] = result
        verdict = judge(case, source, results)
        record[case] = {
            "size": size,
            "threads": arguments.threads,
            "peers": {
                peer: result["stages"][case] | {"version": result["version"], "quality": verdict.get(peer, "")}
                for peer, result in results.items()
            },
        }
    lines = ["| tool | cells | peer | CPU-s (wall) | ours CPU-s (wall) | ours / peer | peak MB ours, peer | quality: ours; peer |", "|" + "---|" * 8]
    for case, entry in record.items():
        ours = entry["peers"].get("zensaibo")
        for peer, theirs in entry["peers"].items():
            if peer == "zensaibo" or ours is None:
                continue
            ratio = ours["cpu"] / max(theirs["cpu"], 1e-9)
            quality = "; ".join(text for text in (ours["quality"], theirs["quality"]) if text)
            lines.append(
                f"| {case} | {entry['size']} | {peer} {theirs['version']} | {theirs['cpu']:.2f} ({theirs['wall']:.2f}) | {ours['cpu']:.2f} ({ours['wall']:.2f}) "
                f"| {ratio:.2f} | {ours['peak_mb']:.0f}, {theirs['peak_mb']:.0f} | {quality} |"
            )
    text = "\n".join(lines) + f"\n\n{arguments.threads} threads on {_cpu_name()}.\n"
    print(text)
    if arguments.size is not None:
        return
    RESULTS.mkdir(parents=True, exist_ok=True)
    record_path.write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "tools.md").write_text(text)


if __name__ == "__main__":
    main()
