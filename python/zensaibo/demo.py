"""``python -m zensaibo.demo``: the main jobs on data made here, and on real data where it is found."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

#: PBMC 3k under ZENSAIBO_DATA, and what its tutorials remove beyond the defaults.
PBMC3K = Path("pbmc3k") / "filtered_gene_bc_matrices" / "hg19"
PBMC3K_OPTIONS = ("filter.max_genes=2500", "filter.max_pct_mito=5")
#: Two channels of a mouse brain under ZENSAIBO_DATA: fluorescent cells some 16 um across, and autofluorescence.
CROP = Path("cellfinder_whole_brain_crops")
CROP_SPACING = (5.0, 2.0, 2.0)
#: A whole mouse brain under ZENSAIBO_DATA, and the Allen atlas at 100 um.
BRAIN = Path("brainreg_mouse_brain") / "brain_z50_y40_x40um.tif"
ALLEN = Path("allen_ccf_mouse_atlas")


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


def detect(name: str, signal: Path, out: Path, *options: str, threads: int | None = None) -> Path:
    """Runs ``zensaibo detect`` in a process of its own; returns the table of cells."""
    cells = out / f"{name}.parquet"
    command = [sys.executable, "-m", "zensaibo", "detect", str(signal), "-o", str(cells)]
    command += ["--soma-diameter", "16", "--report", str(out / f"{name}.html"), *options]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)
    return cells


def phantom(out: Path, threads: int | None = None) -> None:
    """A light-sheet volume with known truth: what is found of it."""
    from . import datasets, im, metrics

    made = datasets.phantom_volume(
        (60, 512, 512),
        spacing=CROP_SPACING,
        nuclei=2500,
        pairs=0.2,
        pair_gap=2.0,
        gap=4.0,
        attenuation=800.0,
        bleaching=0.1,
        stripes=0.03,
        tile=512.0,
        tile_gain=0.1,
        tears=2,
        seed=1,
    )
    source = out / "phantom.ome.zarr"
    im.write(made.volume, source, threads=threads)
    cells = im.read_cells(detect("phantom", source, out, threads=threads))
    scores = metrics.detection_scores(cells, made.centres, radius=8.0)
    print(
        f"against the truth ({len(made.cells):,} nuclei, matches within 8 um): precision {scores.precision:.3f}, "
        f"recall {scores.recall:.3f}, F1 {scores.f1:.3f}, mean distance {scores.error:.2f} um",
        flush=True,
    )


def organ(out: Path, threads: int | None = None) -> None:
    """An organ with an atlas of its own: the whole way from a volume to cells per structure, against the truth."""
    import shutil

    import numpy as np
    import pandas as pd

    from . import datasets, im, metrics

    made = datasets.phantom_organ(2000, seed=5)
    for folder in (out / "organ", out / "organ_cells"):
        shutil.rmtree(folder, ignore_errors=True)
    source, target = made.save(out / "organ"), out / "organ_cells"
    command = [sys.executable, "-m", "zensaibo", "cells", str(source / "signal.ome.zarr"), "-o", str(target)]
    command += ["--background", str(source / "background.ome.zarr"), "--orientation", "psl", "--atlas", str(source / "atlas")]
    command += ["--soma-diameter", "10", "--classifier", "none", "--set", "detect.threshold=9"]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)
    cells, regions = pd.read_parquet(target / "cells.parquet"), pd.read_csv(target / "regions.csv")
    places = cells[["z", "y", "x"]].to_numpy()
    scores = metrics.detection_scores(places, made.cells[["z", "y", "x"]].to_numpy(), radius=6.0)
    rng = np.random.default_rng(0)
    inside = made.to_sample(made.cells[["atlas_z", "atlas_y", "atlas_x"]].to_numpy() + rng.normal(0, 5, (len(made.cells), 3)))
    found = im.load_registration(target / "registration")
    error = np.linalg.norm(found.transform_points(inside) - made.to_atlas(inside), axis=1)
    print(
        f"against the truth: cells found F1 {scores.f1:.3f}; registration error median {np.median(error):.1f} um, "
        f"95 % below {np.quantile(error, 0.95):.1f} um (a voxel of the atlas is {made.atlas.spacing[0]:g} um)"
    )
    true = made.cells["region"].value_counts()
    print(f"  {'structure':<12}{'cells':>7}{'truth':>7}{'per mm3':>10}")
    for row in regions[regions["acronym"].isin(true.index)].itertuples():
        print(f"  {row.acronym:<12}{row.own_cell_count:>7}{true[row.acronym]:>7}{row.cells_per_mm3:>10.0f}", flush=True)


def brain(out: Path, threads: int | None = None) -> None:
    """A real brain on the real Allen atlas."""
    allen = data_folder() / ALLEN
    command = [sys.executable, "-m", "zensaibo", "register", str(data_folder() / BRAIN), "-o", str(out / "brain_registration")]
    command += ["--spacing", "50,40,40", "--orientation", "psl", "--annotation", str(allen / "annotation_100.nii.gz")]
    command += ["--template", str(allen / "average_template_100.nii.gz"), "--atlas-orientation", "rsa"]
    command += ["--structures", str(allen / "structure_tree_safe_2017.csv"), "--set", "atlas.spacing=[100, 100, 100]"]
    command += ["--set", "atlas.name=allen_mouse_100um", "--report", str(out / "brain_registration.html")]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)


def organoid(out: Path, threads: int | None = None) -> None:
    """An organoid whose cells express by where they lie, imaged and sequenced with noise and loss: what of that comes back."""
    import numpy as np
    import pandas as pd
    from scipy.spatial import cKDTree

    from . import datasets, im, io, pl, pp, sp

    made = datasets.phantom_organoid(channels=4, seed=1)
    truth = made.truth.obs
    labels, nuclei = im.segment_nuclei(made.volume, channel="nuclei", diameter=6.5, threads=threads)
    mask = im.organoid_mask(labels, radius=6.0, spacing=made.volume.spacing, threads=threads)
    found = im.organoid(mask, nuclei, spacing=made.volume.spacing, snap=4.0, threads=threads)
    distance, nearest = cKDTree(made.truth.obsm["spatial"]).query(nuclei.obsm["spatial"])
    real = distance < 4
    depth_error = np.abs(nuclei.obs["rho"].to_numpy() - truth["rho"].to_numpy()[nearest])[real]
    print(
        f"imaged: {real.sum():,} of {len(truth):,} nuclei found, {(~real).sum()} others; {len(found.lumens)} lumens of {made.lumens.max()}; "
        f"relative depth right to {np.nanmedian(depth_error):.3f} (0 at the surface, 1 at a lumen)"
    )

    sequenced = made.sequenced
    io.write(sequenced, out / "organoid_sequenced.h5ad")
    logged = pp.log1p(pp.normalize_total(sequenced, target_sum=1e4, copy=True), copy=True)
    pp.pca(logged, n_comps=20, threads=threads)
    deep = sequenced.var_names[(sequenced.var["kind"] == "depth") & (sequenced.var["slope"].abs() > 0.5)]
    joined = sp.join_cells(nuclei, logged, by="markers", labels="cell_type", genes=list(deep), threads=threads)
    types = truth["cell_type"].astype(str).to_numpy()[nearest]
    right = (joined.obs["cell_type"].astype(str).to_numpy() == types)[real].mean()
    # Genes that no channel shows: do they rise and fall with depth as planted?
    carried = pd.DataFrame(joined.obsm["join_expression"]).to_numpy()
    rho = joined.obs["rho"].to_numpy()
    inside = np.isfinite(rho) & np.isfinite(carried).all(axis=1)
    rise = np.array([np.corrcoef(rho[inside], gene)[0, 1] for gene in carried[inside].T])
    same = (np.sign(rise) == np.sign(sequenced.var.loc[deep, "slope"].to_numpy())).mean()
    common = pd.Series(types[real]).value_counts(normalize=True).max()
    print(
        f"joined to {sequenced.n_obs:,} sequenced cells by 4 imaged genes: {right:.1%} of the types came back (the commonest type alone: {common:.1%}), "
        f"and {same:.1%} of {len(deep)} depth-dependent genes that no channel shows change the right way from surface to lumen"
    )
    io.write(joined, out / "organoid_joined.h5ad")
    nuclei.obs["cell_type"] = joined.obs["cell_type"]
    pictures = {"section": pl.organoid(found, color="cell_type", image=made.volume), "profile": pl.radial_profile(im.radial_profile(found, groupby="cell_type"))}
    for name, ax in pictures.items():
        figure: Any = ax.figure
        figure.savefig(out / f"organoid_{name}.png", dpi=150, bbox_inches="tight")

    # The same organoid as an instrument sees it that reads a hundred genes in place and misses half of the transcripts.
    rng = np.random.default_rng(1)
    panel = sequenced.var_names[sequenced.var["kind"] != "other"][:100]
    placed = made.truth[:, panel].copy()
    placed.X = placed.X.astype(np.float32)
    placed.X.data = rng.binomial(placed.X.data.astype(np.int64), 0.5).astype(np.float32)
    placed.X.eliminate_zeros()
    del placed.obs["cell_type"]
    placed.obs["zone"] = pd.cut(placed.obs["rho"], [-0.01, 1 / 3, 2 / 3, 1.01], labels=["outer third", "middle third", "inner third"])
    placed.uns["spatial_space"] = {"name": "organoid", "unit": "micrometer", "axes": "xyz"}
    io.write(placed, out / "organoid_panel.h5ad")
    target = out / "organoid_typed.h5ad"
    command = [sys.executable, "-m", "zensaibo", "map", str(out / "organoid_panel.h5ad"), "--reference", str(out / "organoid_sequenced.h5ad")]
    command += ["-o", str(target), "--region", "zone", "--report", str(out / "organoid.html")]
    if threads is not None:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)
    typed = io.read(target)
    came_back = (typed.obs["map_cell_type"].astype(str).to_numpy() == truth["cell_type"].astype(str).to_numpy()).mean()
    print(f"against the truth: {came_back:.1%} of the cells in place have their type back", flush=True)


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

        print("\n== A light-sheet volume: made by zensaibo from a known truth, not measured ==\n", flush=True)
        phantom(out, parsed.threads)
        crop = data_folder() / CROP
        signal, background = crop / "crop_signal_ch0.tif", crop / "crop_background_ch1.tif"
        if signal.is_file() and background.is_file():
            print("\n== A crop of a mouse brain, with its autofluorescence (BrainGlobe, BSD-3) ==\n", flush=True)
            spacing = ",".join(str(um) for um in CROP_SPACING)
            options = ("--background", str(background), "--spacing", spacing)
            detect("brain", signal, out, *options, threads=parsed.threads)
        else:
            print(f"\nThe brain crop is left out: {crop} is not there (ZENSAIBO_DATA says where real data lies).", flush=True)

        print("\n== An organ and its atlas: made by zensaibo from a known truth, not measured ==\n", flush=True)
        organ(out, parsed.threads)
        if (data_folder() / BRAIN).is_file() and (data_folder() / ALLEN).is_dir():
            print("\n== A mouse brain (BrainGlobe, BSD-3) on the Allen atlas (Allen Institute terms of use) ==\n", flush=True)
            brain(out, parsed.threads)
        else:
            where = data_folder() / BRAIN
            print(f"\nThe whole brain is left out: {where} is not there (ZENSAIBO_DATA says where real data lies).", flush=True)

        print("\n== An organoid, imaged and sequenced: made by zensaibo from a known truth, not measured ==\n", flush=True)
        organoid(out, parsed.threads)
    except subprocess.CalledProcessError as error:
        return error.returncode
    print(f"\nOpen the reports in a browser: {', '.join(str(page) for page in [*sorted(out.glob('*.html')), *sorted(out.glob('*/report.html'))])}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
