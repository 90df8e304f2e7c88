"""Data sets on this machine, found through ZENSAIBO_DATA and described in ``registry.toml``."""

from __future__ import annotations

import hashlib
import os
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import FileError, FormatError, MissingKeyError

if TYPE_CHECKING:
    from anndata import AnnData


def registry() -> dict[str, dict[str, Any]]:
    """The data sets that tests and the demo use, by name.

    Each has ``path`` (under ``ZENSAIBO_DATA``), ``files`` (sha256 by path), ``url``, ``licence``, ``citation``,
    ``shape`` (cells, genes) and ``description``.
    """
    return tomllib.loads((files(__package__) / "registry.toml").read_text(encoding="utf-8"))


def locate(name: str, *, check: bool = False) -> Path:
    """Path of data set `name` under the folder that the environment variable ``ZENSAIBO_DATA`` names.

    Parameters
    ----------
    name
        A name in :func:`registry`.
    check
        Also compare the sha256 of each file.

    Raises
    ------
    MissingKeyError
        An unknown name.
    FileError
        ``ZENSAIBO_DATA`` unset, or a file that is not there.
    FormatError
        With `check`, a file whose sha256 is another.
    """
    known = registry()
    if name not in known:
        raise MissingKeyError(f"key `{name}` not found in the data registry; present: {', '.join(known)}")
    entry = known[name]
    folder = os.environ.get("ZENSAIBO_DATA")
    hint = f"get it from {entry['url']} and set ZENSAIBO_DATA to the folder that holds {entry['path']}"
    if not folder:
        raise FileError(f"data set `{name}`: expected ZENSAIBO_DATA to name a folder, found it unset; {hint}")
    for relative, expected in entry["files"].items():
        path = Path(folder) / relative
        if not path.is_file():
            raise FileError(f"data set `{name}`: expected {path}, found no such file; {hint}")
        if check:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != expected:
                raise FormatError(f"{path}: expected sha256 {expected}, found {found}")
    return Path(folder) / entry["path"]


def pbmc3k() -> AnnData:
    """3k PBMCs of a healthy donor (10x Genomics), raw counts, from the folder that ``ZENSAIBO_DATA`` names.

    Returns
    -------
    AnnData
        2,700 cells x 32,738 genes, CSR float32; ``var_names`` are symbols made unique, ``var["gene_ids"]`` the
        Ensembl ids.

    Raises
    ------
    FileError
        ``ZENSAIBO_DATA`` unset, or the data not in it; the message says where to get it.
    """
    import gzip

    import numpy as np
    import pandas as pd
    from anndata import AnnData
    from scipy import sparse
    from scipy.io import mmread

    folder = locate("pbmc3k")
    with gzip.open(folder / "matrix.mtx.gz") as file:
        matrix = sparse.csr_matrix(mmread(file).T.astype(np.float32))
    genes = pd.read_csv(folder / "genes.tsv.gz", sep="\t", header=None, names=["gene_ids", "symbol"], dtype=str)
    cells = pd.read_csv(folder / "barcodes.tsv.gz", sep="\t", header=None, dtype=str)
    adata = AnnData(
        matrix,
        obs=pd.DataFrame(index=pd.Index(cells[0], dtype=object, name=None)),
        var=pd.DataFrame({"gene_ids": genes["gene_ids"].to_numpy()}, index=pd.Index(genes["symbol"], dtype=object, name=None)),
    )
    adata.var_names_make_unique()
    return adata
