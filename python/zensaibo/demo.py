"""``python -m zensaibo.demo``: the main job on data made here, and on PBMC 3k where it is found."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

#: PBMC 3k under ZENSAIBO_DATA, and what its tutorials remove beyond the defaults.
PBMC3K = Path("pbmc3k") / "filtered_gene_bc_matrices" / "hg19"
PBMC3K_OPTIONS = ("filter.max_genes=2500", "filter.max_pct_mito=5")


def data_folder() -> Path:
    """ZENSAIBO_DATA, or ``../shared/data`` beside the repository."""
    beside = Path(__file__).resolve().parents[2].parent / "shared" / "data"
    return Path(os.environ.get("ZENSAIBO_DATA", beside))


def run(name: str, source: Path, out: Path, options: tuple[str, ...] = (), threads: int | None = None) -> None:
    """Runs ``zensaibo cluster`` in a process of its own, so that its peak memory is its own."""
    command = [sys.executable, "-m", "zensaibo", "cluster", str(source), "-o", str(out / f"{name}.h5ad")]
    command += ["--report", str(out / f"{name}.html")]
    for option in options:
        command += ["--set", option]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)


def main(argv: list[str] | None = None) -> int:
    """Runs the demo; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m zensaibo.demo", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), help="folder for results and reports")
    parser.add_argument("--threads", type=int, help="threads to use; all cores by default")
    parsed = parser.parse_args(argv)
    out: Path = parsed.out
    out.mkdir(parents=True, exist_ok=True)
    try:
        print("== Simulated cells: made by zensaibo from a known truth, not measured ==\n", flush=True)
        from . import datasets

        source = out / "simulated_counts.h5ad"
        datasets.demo().write_h5ad(source)
        run("simulated", source, out, threads=parsed.threads)

        real = data_folder() / PBMC3K
        if real.is_dir():
            print("\n== PBMC 3k: blood cells of a healthy donor (10x Genomics, CC BY 4.0) ==\n", flush=True)
            run("pbmc3k", real, out, PBMC3K_OPTIONS, parsed.threads)
        else:
            print(f"\nPBMC 3k is left out: {real} is not there (ZENSAIBO_DATA says where real data lies).", flush=True)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"\nOpen the reports in a browser: {', '.join(str(page) for page in sorted(out.glob('*.html')))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
