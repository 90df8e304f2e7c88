"""``tl.gene_activity``: cells x genes from cells x peaks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from .. import _anndata, _mudata, arrays
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, DuplicateNamesError, MissingKeyError, ParameterError

if TYPE_CHECKING:
    from anndata import AnnData
    from mudata import MuData


def gene_activity(
    adata: AnnData | MuData,
    genes: pd.DataFrame,
    *,
    upstream: int = 2000,
    downstream: int = 0,
    one_based: bool = True,
    name: str = "gene_name",
    chromosome: str = "chrom",
    start: str = "start",
    end: str = "end",
    strand: str | None = "strand",
    layer: str | None = None,
    mod: str | None = None,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """Sum the peaks in and upstream of each gene.

    Parameters
    ----------
    adata
        Annotated data, cells x peaks, peaks named ``chromosome:start-end`` (or with ``-`` or ``_`` for ``:``), counted
        from 0, end not included, as BED files have them.
    genes
        One row per gene, in the columns below.
    upstream, downstream
        Bases added before the start and after the end of a gene, in the direction of its strand.
    one_based
        Gene positions count from 1 and include the end, as in GTF files; else as the peaks.
    name, chromosome, start, end, strand
        Columns of `genes`. ``strand`` holds ``"+"`` or ``"-"``; None: all taken as ``"+"``.
    layer
        In place of ``X``.
    mod
        With MuData: the modality to work on. Refused with AnnData.
    threads, progress
        See :mod:`zensaibo`.

    Returns
    -------
    AnnData
        Cells x genes that at least one peak overlaps, float32 CSR sums; ``obs`` as in `adata`; ``var`` holds the
        interval summed over (``chrom``, ``start``, ``end``, counted from 0) and ``n_peaks``. A peak counts for every
        gene that it overlaps.

    Raises
    ------
    DataError
        Peak names that are no intervals, an unknown strand, or no overlap at all (chromosomes named differently, say).
    MissingKeyError
        A column that `genes` does not have.
    DuplicateNamesError
        Genes of the same name.

    References
    ----------
    Stuart et al., Nature Methods 18 (2021).
    """
    _, adata = _mudata.modality(adata, mod)
    matrix = _anndata.get_matrix(adata, layer=layer, stream=True)
    for parameter, value in (("upstream", upstream), ("downstream", downstream)):
        if value < 0:
            raise ParameterError(f"parameter `{parameter}`: expected at least 0, found {value}")
    columns = [name, chromosome, start, end] + ([] if strand is None else [strand])
    for column in columns:
        if column not in genes.columns:
            raise MissingKeyError(f"key `{column}` not found in genes; present: {', '.join(map(str, genes.columns))}")
    names = genes[name].astype(str)
    if names.duplicated().any():
        raise DuplicateNamesError(f"genes: expected each name once, found {names[names.duplicated()].iloc[0]!r} again")
    peaks = _intervals(adata.var_names)

    first = genes[start].to_numpy(dtype=np.int64) - int(one_based)
    last = genes[end].to_numpy(dtype=np.int64)
    forward = np.ones(len(genes), dtype=bool)
    if strand is not None:
        strands = genes[strand].astype(str).to_numpy()
        unknown = ~np.isin(strands, ["+", "-"])
        if unknown.any():
            raise DataError(f"genes[{strand!r}]: expected + or -, found {strands[unknown][0]!r}")
        forward = strands == "+"
    first = np.maximum(first - np.where(forward, upstream, downstream), 0)
    last = last + np.where(forward, downstream, upstream)
    chromosomes = genes[chromosome].astype(str).to_numpy()
    found = arrays.gene_activity(matrix, peaks, (chromosomes, first, last), threads=threads, progress=progress)
    kept = found.n_peaks > 0
    if not kept.any():
        raise DataError(
            "genes: expected some that a peak overlaps, found none; chromosomes of the peaks: "
            f"{', '.join(np.unique(peaks[0])[:5])}; of the genes: {', '.join(np.unique(chromosomes)[:5])}"
        )
    from anndata import AnnData

    var = pd.DataFrame(
        {"chrom": chromosomes, "start": first, "end": last, "n_peaks": found.n_peaks},
        index=names.to_numpy(dtype=object),
    )
    result = AnnData(found.matrix[:, np.flatnonzero(kept)], obs=adata.obs.copy(), var=var[kept])
    record(result, "gene_activity", upstream=upstream, downstream=downstream, one_based=one_based, layer=layer)
    return result


def _intervals(names: pd.Index) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Chromosome, start and end out of names such as ``chr1:100-200``, ``chr1-100-200`` or ``chr1_100_200``."""
    parts = pd.Series(names.astype(str)).str.extract(r"^(.+)[:_-](\d+)[_-](\d+)$")
    wrong = parts.isna().any(axis=1).to_numpy()
    if wrong.any():
        raise DataError(
            f"peak names: expected `chromosome:start-end`, found {str(names[wrong][0])!r} and {int(wrong.sum()) - 1} more"
        )
    edges = parts[[1, 2]].astype(np.int64)
    return parts[0].to_numpy(dtype=str), edges[1].to_numpy(), edges[2].to_numpy()
