"""Counts with known truth, as an AnnData or streamed to a file of any size."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from scipy import sparse

from .. import _core
from .._options import to_json
from .._progress import Progress, reporting
from .._provenance import record
from ..errors import ParameterError

if TYPE_CHECKING:
    from anndata import AnnData

#: Blocks that are made at once when streaming; bounds memory (about 20 MB per block at the defaults).
_BATCH = 8


def simulate(
    n_obs: int = 10_000,
    n_vars: int = 20_000,
    *,
    template: Literal["atlas", "pbmc"] = "atlas",
    n_types: int = 20,
    n_lineages: int = 5,
    n_batches: int = 4,
    n_trajectories: int = 6,
    umi_per_cell: float = 4_600.0,
    genes_per_cell: float = 1_500.0,
    depth_sd: float = 0.35,
    dispersion: float = 0.3,
    marker_fold: float = 2.5,
    batch_effect: float = 0.1,
    doublet_rate: float = 0.04,
    mito_fraction: float = 0.05,
    seed: int = 0,
    out: str | os.PathLike[str] | None = None,
    gzip: int | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Simulate raw counts of cells of known type, batch and place on a trajectory.

    Counts are negative binomial. Types share programs of genes by lineage and have markers of their own; each
    batch scales each gene; some types lie along a trajectory on which further genes rise; doublets are the
    sum of two cells.

    Parameters
    ----------
    n_obs, n_vars
        Cells and genes (at least 500).
    template
        ``"atlas"``, or ``"pbmc"``: eight types of blood cells with the genes known to mark them (leave
        `n_types` and `n_lineages` alone then).
    n_types, n_lineages, n_batches, n_trajectories
        How many of each. The largest type has 50 times the cells of the smallest.
    umi_per_cell, genes_per_cell
        Medians per cell.
    depth_sd
        Standard deviation of the logarithm of depth.
    dispersion
        variance = mean + dispersion * mean^2.
    marker_fold
        log2 of how much markers rise.
    batch_effect
        Standard deviation of the logarithm of each batch's factor on each gene.
    doublet_rate, mito_fraction
        Shares of cells and of transcripts.
    seed
        The same seed gives the same cells for any number of threads, and a larger simulation starts with the
        cells of a smaller one.
    out
        Write to this h5ad file, block by block, instead of returning an AnnData. Written beside and renamed.
    gzip
        Level of compression of that file, 1 to 9; none by default. One core compresses.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    AnnData, or None with `out`. X: counts, CSR float32. obs: ``cell_type``, ``lineage``, ``batch``
    (categorical), ``is_doublet`` (bool), ``doublet_of`` (type of the second cell), ``trajectory``,
    ``pseudotime`` (0 to 1, NaN outside trajectories), ``depth`` (relative). var: ``marker_of``,
    ``lineage_marker_of``, ``trajectory_gene`` (categorical, missing for most), ``is_mito``, ``is_ribo`` (bool).
    ``uns["simulated"]`` is True.

    Notes
    -----
    About 0.1 ms of one core per cell. Memory: 8 bytes per count above zero (1.2 GB for 100,000 cells), or with
    `out` about 200 MB whatever the number of cells, plus 40 bytes per cell.
    """
    options = {
        "n_obs": n_obs,
        "n_vars": n_vars,
        "template": template,
        "n_types": n_types,
        "n_lineages": n_lineages,
        "n_batches": n_batches,
        "n_trajectories": n_trajectories,
        "umi_per_cell": umi_per_cell,
        "genes_per_cell": genes_per_cell,
        "depth_sd": depth_sd,
        "dispersion": dispersion,
        "marker_fold": marker_fold,
        "batch_effect": batch_effect,
        "doublet_rate": doublet_rate,
        "mito_fraction": mito_fraction,
        "seed": seed,
    }
    model = _core.Simulation(to_json(**options))
    from anndata import AnnData

    if gzip is not None and (out is None or isinstance(gzip, bool) or gzip not in range(1, 10)):
        raise ParameterError(f"parameter `gzip`: expected 1 to 9, with `out`, or None, found {gzip!r}")
    described = AnnData(obs=_obs(model), var=_var(model), uns={"simulated": True})
    record(described, "simulate", **options)
    if out is not None:
        _stream(model, described, Path(out), gzip, threads, progress)
        return None
    with reporting(progress) as callback:
        indptr, indices, values = model.counts(0, model.n_blocks, threads, callback)
    if len(values) < 2**31:
        indptr = indptr.astype(np.int32)
    described.X = sparse.csr_matrix((values, indices, indptr), shape=model.shape)
    return described


def _labels(codes: Any, names: list[str]) -> pd.Categorical:
    return pd.Categorical.from_codes(codes, categories=names)


def _obs(model: _core.Simulation) -> pd.DataFrame:
    cells, genes = model.cells(), model.genes()
    kind = cells["cell_type"]
    batches = [f"batch{i}" for i in range(int(cells["batch"].max(initial=-1)) + 1)]
    trajectories = [f"trajectory{i}" for i in range(int(genes["trajectory_of"].max(initial=-1)) + 1)]
    return pd.DataFrame(
        {
            "cell_type": _labels(kind, genes["types"]),
            "lineage": _labels(genes["lineage_of"][kind], genes["lineages"]),
            "batch": _labels(cells["batch"], batches),
            "is_doublet": cells["doublet_of"] >= 0,
            "doublet_of": _labels(cells["doublet_of"], genes["types"]),
            "trajectory": _labels(genes["trajectory_of"][kind], trajectories),
            "pseudotime": cells["pseudotime"],
            "depth": cells["depth"],
        },
        index=pd.Index([f"cell{i}" for i in range(len(kind))], dtype=object),
    )


def _var(model: _core.Simulation) -> pd.DataFrame:
    genes = model.genes()
    names = pd.Index(genes["names"], dtype=object)
    trajectories = [f"trajectory{i}" for i in range(int(genes["trajectory"].max(initial=-1)) + 1)]
    return pd.DataFrame(
        {
            "marker_of": _labels(genes["marker_of"], genes["types"]),
            "lineage_marker_of": _labels(genes["lineage_marker_of"], genes["lineages"]),
            "trajectory_gene": _labels(genes["trajectory"], trajectories),
            "is_mito": genes["is_mito"] >= 0,
            "is_ribo": names.str.fullmatch(r"RP[LS]\d+"),
        },
        index=names,
    )


def _stream(
    model: _core.Simulation,
    described: AnnData,
    path: Path,
    gzip: int | None,
    threads: int | None,
    progress: bool | Progress | None,
) -> None:
    """Writes X block by block under a temporary name beside `path`, the rest as anndata does, and renames."""
    import anndata
    import h5py

    if not path.parent.is_dir():
        raise ParameterError(f"parameter `out`: expected a path in a folder that exists, found {path}")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with h5py.File(temporary, "w") as file, reporting(progress) as callback:
            file.attrs.update({"encoding-type": "anndata", "encoding-version": "0.1.0"})
            matrix = file.create_group("X")
            matrix.attrs.update({"encoding-type": "csr_matrix", "encoding-version": "0.1.0"})
            matrix.attrs["shape"] = np.array(model.shape, dtype=np.int64)
            columns: dict[str, h5py.Dataset] = {}
            pointers = [np.zeros(1, dtype=np.int64)]
            for start in range(0, model.n_blocks, _BATCH):
                indptr, indices, values = model.counts(start, start + _BATCH, threads, callback)
                if not columns:
                    # Row pointers and columns share one width: scanpy fails on a mix. The first rows tell, with a
                    # margin, whether 32 bits will do.
                    expected = 1.25 * (len(indices) + 1) / max(1, len(indptr) - 1) * model.shape[0]
                    width = "i4" if expected < np.iinfo(np.int32).max else "i8"
                    for name, kind in (("data", "f4"), ("indices", width)):
                        columns[name] = matrix.create_dataset(
                            name,
                            shape=(0,),
                            maxshape=(None,),
                            dtype=kind,
                            chunks=(1 << 18,),
                            compression=None if gzip is None else "gzip",
                            compression_opts=gzip,
                            shuffle=gzip is not None,
                        )
                pointers.append(indptr[1:] + pointers[-1][-1])
                for name, part in (("data", values), ("indices", indices)):
                    held = len(columns[name])
                    columns[name].resize((held + len(part),))
                    columns[name][held:] = part
            matrix.create_dataset("indptr", data=np.concatenate(pointers).astype(columns["indices"].dtype))
            for slot in ("obs", "var", "uns", "obsm", "varm", "obsp", "varp", "layers"):
                value = getattr(described, slot)
                anndata.io.write_elem(file, slot, value if slot in ("obs", "var") else dict(value))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def demo(*, seed: int = 0, threads: int | None = None) -> AnnData:
    """A small simulated data set that looks like blood: 2,400 cells x 3,000 genes, made in about a second.

    Simulated, not measured: eight types of PBMC with the genes that are known to mark them (IL7R and CD3D,
    CD14 and LYZ, MS4A1 and CD79A, CD8A, GNLY and NKG7, FCGR3A and MS4A7, FCER1A, PPBP), mitochondrial and
    ribosomal genes, two batches and a few doublets. Needs no network and no file.

    Parameters
    ----------
    seed
        Seed of all random choices.
    threads
        Threads; they change no count.

    Returns
    -------
    AnnData
        As from :func:`simulate`.
    """
    return simulate(
        2_400,
        3_000,
        template="pbmc",
        n_batches=2,
        n_trajectories=0,
        umi_per_cell=2_400,
        genes_per_cell=700,
        batch_effect=0.05,
        doublet_rate=0.02,
        mito_fraction=0.03,
        seed=seed,
        threads=threads,
        progress=False,
    )
