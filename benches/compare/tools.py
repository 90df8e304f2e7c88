"""Single tools, peers side by side: `python benches/compare/tools.py [harmony scrublet diffmap ...]`.

Inputs are prepared once by our own chain from the generated counts of `omics.py` (10,000 cells; Harmony 100,000), so that every
peer is given the same numbers. Each run is a process of its own. Prints and writes to benches/results/tools.{json,md}:
CPU-seconds and wall, ours / peer, peak memory, and one judgement for all peers of a case.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np

from omics import ENVIRONMENTS, HERE, RESULTS, _cpu_name, dataset

#: Case: (size of the input, peers, what the input is).
CASES = {
    "harmony": ("100k", ["harmonypy"], "neighbors"),
    "scrublet": ("10k", ["scanpy"], "counts"),
    "diffmap": ("10k", ["scanpy"], "neighbors"),
    "paga": ("10k", ["scanpy"], "neighbors"),
    "score_genes": ("10k", ["scanpy"], "log"),
    "scale": ("10k", ["scanpy"], "log"),
    "regress_out": ("10k", ["scanpy"], "log"),
    "tsne": ("10k", ["opentsne"], "neighbors"),
}
#: Peer: packages, pinned.
PEERS = {
    "scanpy": ["scanpy==1.11.5", "pynndescent<0.7", "igraph==1.0.0", "scikit-misc==0.5.3", "scikit-image"],
    "harmonypy": ["harmonypy==2.1.0", "anndata"],
    "opentsne": ["openTSNE==1.0.4", "anndata"],
}


def environment(peer: str) -> Path:
    """The interpreter of a peer's own environment; made on first use."""
    if peer == "zensaibo":
        return Path(sys.executable)
    home = ENVIRONMENTS / f"tools-{peer}"
    stamp, wanted = home / "packages.txt", "\n".join(PEERS[peer])
    if not stamp.exists() or stamp.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        subprocess.run([str(home / "bin/python"), "-m", "pip", "install", "--quiet", *PEERS[peer]], check=True)
        stamp.write_text(wanted)
    return home / "bin/python"


def prepared(size: str, kind: str) -> Path:
    """Counts as they come, logarithms of normalised counts, or cells with components and neighbours."""
    if kind == "counts":
        return dataset(size)
    path = ENVIRONMENTS / "data" / f"{size}-{kind}.h5ad"
    if path.exists():
        return path
    import anndata

    import zensaibo as zs

    adata = zs.io.read(dataset(size))
    zs.pp.filter_cells(adata, min_genes=200)
    zs.pp.filter_genes(adata, min_cells=3)
    zs.pp.normalize_total(adata, target_sum=1e4)
    zs.pp.log1p(adata)
    if kind == "neighbors":
        zs.pp.highly_variable_genes(adata, n_top_genes=2000)
        zs.pp.pca(adata, n_comps=50)
        zs.pp.neighbors(adata, n_neighbors=15)
        slim = anndata.AnnData(obs=adata.obs, uns={"neighbors": adata.uns["neighbors"]})
        slim.obsm["X_pca"] = adata.obsm["X_pca"]
        slim.obsp.update(adata.obsp)
        adata = slim
    adata.obs["cell_type"] = adata.obs["cell_type"].astype("category")
    zs.io.write(adata, path)
    return path


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
            sample = np.random.default_rng(0).choice(len(obs), 5000, replace=False)
            points = np.ascontiguousarray(found["embedding"][sample], dtype=np.float32)
            mixing = float(np.median(zs.metrics.lisi(points, obs["batch"].to_numpy()[sample])))
            keeping = float(np.median(zs.metrics.lisi(points, obs["cell_type"].astype(str).to_numpy()[sample])))
            verdict[peer] = f"LISI of batches {mixing:.2f}, of types {keeping:.2f}"
        elif case == "scrublet":
            from sklearn.metrics import roc_auc_score

            verdict[peer] = f"AUC to planted doublets {roc_auc_score(found['truth'], found['score']):.3f}"
        elif case == "tsne":
            trust = zs.metrics.trustworthiness(found["points"], found["embedding"], n_neighbors=15)
            kept = zs.metrics.neighbor_preservation(found["points"], found["embedding"], n_neighbors=15)
            verdict[peer] = f"trustworthiness {trust:.4f}, neighbours kept {kept:.4f}"
        elif "zensaibo" in results and peer != "zensaibo":
            apart = np.max(np.abs(results["zensaibo"]["arrays"]["values"] - found["values"]))
            verdict[peer] = f"largest difference to ours {apart:.1e}"
    return verdict


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", help=", ".join(CASES))
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    arguments = parser.parse_args()
    record_path = RESULTS / "tools.json"
    record = json.loads(record_path.read_text()) if record_path.exists() else {}
    for case in arguments.cases or CASES:
        if case not in CASES:
            parser.error(f"case: expected one of {', '.join(CASES)}, found {case}")
        size, peers, kind = CASES[case]
        source = prepared(size, kind)
        results = {peer: r for peer in ["zensaibo", *peers] if (r := run(peer, case, source, arguments.threads))}
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
    RESULTS.mkdir(parents=True, exist_ok=True)
    record_path.write_text(json.dumps(record, indent=1) + "\n")
    (RESULTS / "tools.md").write_text(text)


if __name__ == "__main__":
    main()
