"""Cells mapped to tissue side by side: `map.py [--cases embryo 1k 10k 100k] [--threads 2] [--peers zensaibo ...] [--out FOLDER]`.

`embryo`: half of the nuclei of the BDTNP embryo (ZENSAIBO_DATA) are dissociated cells of 84 genes, the other half lies in place with 56 of them; the same 28
genes are held out for everyone. `1k`, `10k`, `100k`: as many generated cells and as many places in a square; 300 genes, each a sum of
bumps over the square, counted (Poisson) on both sides, the cells deeper; 60 genes are held out. Scores: median over the held-out genes of Pearson's correlation and of the
cosine with what was measured, and the median distance of a cell from where it was (um in the embryo; in the square as a share of its
side).

Each run is a process of its own. Peers live in environments that the first run makes under `.bench/` (Tangram with torch: some gigabytes):

- tangram-sc 1.0.4 (cells mode, its defaults; `--epochs` epochs where 1000 would take too long, said in the table);
- novosparc 0.4.4 (atlas of the 56 or 240 genes, alpha_linear 0.8; other settings its defaults; its dense matrices stop it beyond some
  thousands of cells).

Writes benches/results/mapping.{json,md}.
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
ROOT = HERE.parents[1]
RESULTS = HERE.parent / "results"
DATA = Path(os.environ.get("ZENSAIBO_DATA", ROOT.parent / "shared" / "data"))

PINS = ["numpy==1.26.4", "scipy==1.11.4", "pandas==2.1.4", "anndata==0.10.5", "scanpy==1.9.8", "scikit-learn==1.4.2", "matplotlib==3.8.4", "setuptools"]  # fmt: skip
#: Environment: what it needs.
ENVIRONMENTS = {
    "tangram": ["tangram-sc==1.0.4", "torch==2.2.2", "seaborn==0.13.2", *PINS],
    "novosparc": ["novosparc==0.4.4", "POT==0.9.3", *PINS],
}
#: Runs by case: (peer, options).
RUNS = {
    "embryo": [
        ("vectors", {"n_neighbors": 50}), ("vectors", {"n_neighbors": 10}), ("vectors", {"n_neighbors": 5}),
        ("zs-tangram", {"num_epochs": 1000, "n_candidates": None}),
        ("zs-tangram", {"num_epochs": 1000}), ("zs-tangram", {"num_epochs": 200, "n_candidates": 100}), ("tangram", {"num_epochs": 1000}), ("novosparc", {}),
    ],
    "1k": [
        ("vectors", {"n_neighbors": 50}), ("vectors", {"n_neighbors": 10}), ("zs-tangram", {"num_epochs": 1000, "n_candidates": None}),
        ("zs-tangram", {"num_epochs": 1000}), ("zs-tangram", {"num_epochs": 200, "n_candidates": 100}), ("tangram", {"num_epochs": 1000}), ("novosparc", {}),
    ],
    "10k": [("vectors", {"n_neighbors": 50}), ("vectors", {"n_neighbors": 10}), ("zs-tangram", {"num_epochs": 100}), ("tangram", {"num_epochs": 10})],
    "100k": [("vectors", {"n_neighbors": 50}), ("vectors", {"n_neighbors": 10}), ("zs-tangram", {"num_epochs": 100, "n_candidates": 50})],
}  # fmt: skip


def embryo() -> dict:
    import numpy as np
    import pandas as pd

    folder = DATA / "spatial_drosophila_bdtnp"
    expression = pd.read_csv(folder / "dge.txt.gz", sep=r"\s+").to_numpy(np.float32)
    places = pd.read_csv(folder / "geometry.txt.gz", sep=r"\s+").to_numpy(np.float64)[: len(expression)]
    order = np.random.default_rng(0).permutation(len(expression))
    ours, theirs = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    held_out = np.sort(np.random.default_rng(1).permutation(expression.shape[1])[:28])
    return {"cells": expression[ours], "tissue": expression[theirs], "held_out": held_out, "truth": places[ours], "places": places[theirs]}


def square(n: int, seed: int = 0) -> dict:
    import numpy as np

    rng = np.random.default_rng(seed)
    genes, bumps = 300, 60
    centres, widths = rng.random((bumps, 2)), rng.uniform(0.03, 0.15, bumps)
    loads = rng.gamma(0.3, 1.0, (bumps, genes))
    sides = {}
    for name, depth in (("cells", 3.0), ("tissue", 1.5)):
        places = rng.random((n, 2))
        counts = np.empty((n, genes), np.float32)
        for rows in range(0, n, 10_000):
            far = ((places[rows : rows + 10_000, None] - centres) ** 2).sum(axis=2)
            counts[rows : rows + 10_000] = rng.poisson(depth * (np.exp(-far / (2 * widths**2)) @ loads + 0.02))
        sides[name], sides["truth" if name == "cells" else "places"] = counts, places
    return {**sides, "held_out": np.sort(rng.permutation(genes)[:60])}


def judge(data: dict, predicted, where) -> dict:
    """Medians over the held-out genes, and over the cells."""
    import numpy as np

    truth = data["tissue"][:, data["held_out"]].astype(np.float64)
    predicted = np.asarray(predicted, np.float64)
    a, b = truth - truth.mean(0), predicted - predicted.mean(0)
    with np.errstate(invalid="ignore", divide="ignore"):
        pearson = (a * b).sum(0) / np.sqrt((a * a).sum(0) * (b * b).sum(0))
        cosine = (truth * predicted).sum(0) / np.sqrt((truth * truth).sum(0) * (predicted * predicted).sum(0))
    off = np.linalg.norm(where - data["truth"], axis=1)
    return {"pearson": float(np.nanmedian(pearson)), "cosine": float(np.nanmedian(cosine)), "off": float(np.nanmedian(off))}


def adatas(data: dict, log: bool):
    """Cells of all genes, and the tissue without those held out."""
    import anndata as ad
    import numpy as np
    import pandas as pd
    from scipy import sparse

    kept = np.setdiff1d(np.arange(data["cells"].shape[1]), data["held_out"])
    sides = []
    for name, genes in (("cells", np.arange(data["cells"].shape[1])), ("tissue", kept)):
        values = data[name][:, genes]
        values = np.log1p(values) if log else values
        var = pd.DataFrame(index=[f"g{gene}" for gene in genes])
        obs = pd.DataFrame(index=[f"{name}{row}" for row in range(len(values))])
        sides.append(ad.AnnData(sparse.csr_matrix(values), obs=obs, var=var))
    sides[1].obsm["spatial"] = data["places"]
    return sides


def work(args: argparse.Namespace) -> None:
    sys.path.insert(0, str(HERE))
    from measure import Recorder, set_threads

    set_threads(args.threads)
    import numpy as np

    with np.load(args.data) as held:
        data = dict(held)
    options = json.loads(args.options)
    # Tangram and novoSpaRc take the values as they are; principal vectors log counts.
    log = args.peer == "vectors" and args.case != "embryo"
    cells, tissue = adatas(data, log)
    genes = [f"g{gene}" for gene in data["held_out"]]
    if args.peer in ("vectors", "zs-tangram"):
        import zensaibo as zs

        recorder = Recorder("zensaibo", zs.__version__, args.threads)
        method = {"method": "tangram" if args.peer == "zs-tangram" else "principal_vectors"}
        with recorder.stage("map"):
            mapped = zs.sp.map_cells(cells, tissue, impute=genes, threads=args.threads, progress=False, **method, **options)
        predicted, where = mapped.X, cells.obsm["spatial_mapped"]
        if log:
            predicted = np.expm1(predicted)
    elif args.peer == "tangram":
        import logging

        import tangram as tg
        import torch

        logging.disable(logging.INFO)
        torch.set_num_threads(args.threads)
        recorder = Recorder("tangram", "1.0.4", args.threads)
        with recorder.stage("map"):
            tg.pp_adatas(cells, tissue)
            found = tg.map_cells_to_space(cells, tissue, mode="cells", random_state=1, verbose=False, **options)
            predicted = found.X.T @ cells[:, genes].X.toarray()
            where = found.X @ data["places"]
    else:
        import novosparc

        recorder = Recorder("novosparc", "0.4.4", args.threads)
        train = [gene for gene in cells.var_names if gene not in set(genes)]
        with recorder.stage("map"):
            whole = cells.copy()
            whole.X = whole.X.toarray()
            tissues = novosparc.cm.Tissue(dataset=whole, locations=data["places"])
            markers = whole.var_names.get_indexer(train)
            tissues.setup_reconstruction(markers_to_use=markers, atlas_matrix=tissue[:, train].X.toarray(), num_neighbors_s=5, num_neighbors_t=5)
            tissues.reconstruct(alpha_linear=0.8, epsilon=5e-3)
            plan = tissues.gw / tissues.gw.sum(axis=1, keepdims=True)
            predicted = (tissues.gw / tissues.gw.sum(axis=0)).T @ cells[:, genes].X.toarray()
            where = plan @ data["places"]
    recorder.result["quality"] = judge(data, predicted, where)
    recorder.save(args.save)


def environment(name: str) -> Path:
    """Python of a peer; its environment is made where it is not there yet."""
    home = ROOT / ".bench" / name
    python = home / "bin" / "python"
    if not (home / ".ready").exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *ENVIRONMENTS[name]], check=True)
        (home / ".ready").touch()
    return python


def describe(peer: str, options: dict) -> str:
    names = {"num_epochs": "{} epochs", "n_neighbors": "k {}", "n_candidates": "{} candidates"}
    parts = [names[key].format("all" if value is None else value) for key, value in options.items()]
    if peer == "zs-tangram" and "n_candidates" not in options:
        parts.append("200 candidates")
    title = {"vectors": "zensaibo, principal vectors", "zs-tangram": "zensaibo, tangram", "tangram": "tangram-sc 1.0.4", "novosparc": "novosparc 0.4.4"}[peer]
    return ", ".join([title, *parts])


def table(rows: list[dict], threads: int) -> str:
    text = [
        "# Cells mapped to tissue",
        "",
        f"Made by `benches/compare/map.py` ({threads} threads) on two cores shared with other work: compare CPU-seconds.",
        "",
        "| case | run | cells | places | wall s | CPU s | peak MB | Pearson | cosine | off |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        if "failed" in row:
            text.append(f"| {row['case']} | {row['run']} | {row['cells']:,} | {row['places']:,} | {row['failed']} | | | | | |")
            continue
        quality, stage = row["quality"], row["stages"]["map"]
        off = f"{quality['off']:.1f} um" if row["case"] == "embryo" else f"{quality['off']:.4f}"
        text.append(
            f"| {row['case']} | {row['run']} | {row['cells']:,} | {row['places']:,} | {stage['wall']:.1f} | {stage['cpu']:.1f} | "
            f"{row['peak_mb']:.0f} | {quality['pearson']:.3f} | {quality['cosine']:.3f} | {off} |"
        )
    text += [
        "",
        "Pearson, cosine: medians over the genes held out (28 of 84 in the embryo, 60 of 300 in the square), predicted against measured.",
        "off: median distance of a cell's mean place from where it was; in the square as a share of its side. Generated counts differ between the",
        "two sides by chance, so that no method reaches 1. Peak: of the whole process, data and libraries included. tangram-sc at 10k: ten epochs",
        "tell what an epoch costs; they are too few for a map.",
    ]
    return "\n".join(text) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=list(RUNS), choices=list(RUNS))
    parser.add_argument("--peers", nargs="*", default=["vectors", "zs-tangram", "tangram", "novosparc"])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=float, default=1200.0, help="seconds after which a run is stopped")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--add", action="store_true", help="keep the rows of other cases and peers that are there already")
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--case", help=argparse.SUPPRESS)
    parser.add_argument("--data", help=argparse.SUPPRESS)
    parser.add_argument("--options", help=argparse.SUPPRESS)
    parser.add_argument("--save", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.peer:
        work(args)
        return
    import numpy as np

    stored = args.out / "mapping.json"
    rows = json.loads(stored.read_text()) if args.add and stored.exists() else []
    sizes = {"1k": 1_000, "10k": 10_000, "100k": 100_000}
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        for case in args.cases:
            data = embryo() if case == "embryo" else square(sizes[case])
            file, saved = Path(scratch) / f"{case}.npz", Path(scratch) / "row.json"
            np.savez(file, **data)
            for peer, options in RUNS[case]:
                if peer not in args.peers:
                    continue
                row = {"case": case, "run": describe(peer, options), "cells": len(data["cells"]), "places": len(data["tissue"])}
                python = environment(peer) if peer in ENVIRONMENTS else sys.executable
                command = [python, __file__, "--peer", peer, "--case", case, "--data", file, "--options", json.dumps(options), "--save", saved, "--threads", str(args.threads)]  # fmt: skip
                print(case, row["run"], file=sys.stderr, flush=True)
                saved.unlink(missing_ok=True)
                try:
                    subprocess.run([*map(str, command)], timeout=args.limit, check=True)
                    row |= json.loads(saved.read_text())
                except subprocess.TimeoutExpired:
                    row["failed"] = f"over {args.limit:.0f}"
                except subprocess.CalledProcessError as error:
                    row["failed"] = f"ended with {error.returncode}"
                rows = [old for old in rows if (old["case"], old["run"]) != (row["case"], row["run"])] + [row]
                order = {(case, describe(*run)): (at, number) for at, case in enumerate(RUNS) for number, run in enumerate(RUNS[case])}
                rows = [row for row in rows if (row["case"], row["run"]) in order]
                rows.sort(key=lambda row: order.get((row["case"], row["run"]), (len(RUNS), 0)))
                stored.write_text(json.dumps(rows, indent=1) + "\n")
                (args.out / "mapping.md").write_text(table(rows, args.threads))


if __name__ == "__main__":
    main()
