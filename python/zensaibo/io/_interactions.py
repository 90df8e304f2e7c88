"""Tables of ligands and receptors: the user's, or one that an installed package brings. None is shipped here."""

from __future__ import annotations

import hashlib
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from ..errors import DataError, EmptyDataError, MissingKeyError, ParameterError

#: Columns under which tables in use name the ligand and the receptor.
_COLUMNS = (
    ("source", "target"),
    ("ligand", "receptor"),
    ("source_genesymbol", "target_genesymbol"),
    ("genesymbol_intercell_source", "genesymbol_intercell_target"),
    ("Ligand.ApprovedSymbol", "Receptor.ApprovedSymbol"),
)


class Interactions(NamedTuple):
    """Ligands and receptors, and where they are from."""

    table: pd.DataFrame
    """``source`` and ``target``: a gene, or the genes of a complex joined by "_"; then the other columns of the table."""
    name: str
    """What was read."""
    version: str
    """Of the package, or as given; empty if not known."""
    sha256: str
    """Of the bytes of the files read, or of the two columns of a table given in memory."""

    def origin(self) -> dict[str, Any]:
        """Name, version, hash and number of rows, for records."""
        return {"name": self.name, "version": self.version, "sha256": self.sha256, "rows": len(self.table)}


def read_interactions(source: str | Path, *, columns: tuple[str, str] | None = None, version: str = "") -> Interactions:
    """Reads a table of ligands and receptors.

    Parameters
    ----------
    source
        ``"liana:NAME"``: table NAME (``consensus``, ``mouseconsensus``, ``cellphonedb`` ...) of the package liana, which must be
        installed; it is read and not imported. A folder: the input files of the CellPhoneDB database, ``*interaction_input.csv``,
        ``*complex_input.csv`` and ``*gene_input.csv``, gzip or not. A file: comma- or tab-separated, gzip or not.
    columns
        Columns of a file with the ligand and the receptor. ``None``: the first pair there is of ``source`` and ``target``, ``ligand``
        and ``receptor``, and what OmniPath and Ramilowski 2015 call them.
    version
        Of a folder or file, kept with the result.

    Returns
    -------
    Interactions
        ``table``, ``name``, ``version``, ``sha256``. Rows without a ligand or a receptor and rows that repeat both are left out.
        Of a folder also those whose proteins have no gene.

    Raises
    ------
    FileNotFoundError
        No such file or folder.
    MissingKeyError
        liana is not installed or has no such table; a file of a folder or a column is not there.
    ParameterError
        `columns` with something other than a file.
    EmptyDataError
        No rows.

    Notes
    -----
    No table comes with this package, since most are under terms of their own: mind those of the one you use.
    """
    text = str(source)
    if text.startswith("liana:"):
        _only_for_files(columns)
        table, sha256, version = _of_liana(text.removeprefix("liana:"))
        return _made(table, text, version, sha256)
    path = Path(source)
    if path.is_dir():
        _only_for_files(columns)
        table, sha256 = _of_cellphonedb(path)
        return _made(table, path.name, version, sha256)
    data = path.read_bytes()
    table = _frame(path)
    pair = columns if columns is not None else next((pair for pair in _COLUMNS if set(pair) <= set(table.columns)), None)
    if pair is None or not set(pair) <= set(table.columns):
        wanted = " and ".join(pair or ("source", "target"))
        raise MissingKeyError(f"columns {wanted} not found in {path.name}; present: {', '.join(map(str, table.columns[:15]))}")
    table = table.rename(columns={pair[0]: "source", pair[1]: "target"})
    return _made(table, path.name, version, hashlib.sha256(data).hexdigest())


def interactions_of(given: Any) -> Interactions:
    """What users give as interactions: read ones, a table, pairs of names, or a dictionary of two columns."""
    if isinstance(given, Interactions):
        return given
    if isinstance(given, pd.DataFrame):
        pair = next((pair for pair in _COLUMNS if set(pair) <= set(given.columns)), None)
        if pair is None:
            raise MissingKeyError(
                f"columns source and target not found in `interactions`; present: {', '.join(map(str, given.columns[:15]))}"
            )
        table = given.rename(columns={pair[0]: "source", pair[1]: "target"})
    elif isinstance(given, dict):
        return interactions_of(pd.DataFrame(given))
    else:
        pairs = [] if isinstance(given, (str, bytes)) else list(given)
        if not pairs or any(isinstance(pair, str) or len(pair) != 2 for pair in pairs):
            raise ParameterError(
                "parameter `interactions`: expected a table with columns source and target, pairs of names, or what "
                f"`io.read_interactions` gives, found {given!r:.80}"
            )
        table = pd.DataFrame(pairs, columns=["source", "target"])
    made = _made(table, "table", "", "")
    text = made.table[["source", "target"]].to_csv(index=False)
    return made._replace(sha256=hashlib.sha256(text.encode()).hexdigest())


def _only_for_files(columns: Any) -> None:
    if columns is not None:
        raise ParameterError(f"parameter `columns`: expected None unless a file is read, found {columns!r}")


def _frame(path: Path) -> pd.DataFrame:
    name = path.name.removesuffix(".gz")
    return pd.read_csv(path, sep="\t" if name.endswith((".tsv", ".txt")) else ",", low_memory=False)


def _made(table: pd.DataFrame, name: str, version: str, sha256: str) -> Interactions:
    known = table["source"].notna() & table["target"].notna()
    table = table[known].astype({"source": str, "target": str})
    table = table[(table["source"] != "") & (table["target"] != "")].drop_duplicates(["source", "target"])
    if table.empty:
        raise EmptyDataError(f"interactions of {name}: expected at least one ligand with a receptor, found none")
    first = ["source", "target"]
    rest = [column for column in table.columns if column not in first]
    return Interactions(table[first + rest].reset_index(drop=True), name, version, sha256)


def _of_liana(name: str) -> tuple[pd.DataFrame, str, str]:
    try:
        package = metadata.distribution("liana")
    except metadata.PackageNotFoundError:
        raise MissingKeyError("package `liana` is not installed: `pip install liana` brings its tables") from None
    path = Path(str(package.locate_file("liana/resource/omni_resource.csv")))
    if not path.exists():
        raise MissingKeyError(f"table of liana {package.version} not found at {path}")
    table = pd.read_csv(path, index_col=0)
    names = sorted(table["resource"].unique())
    if name not in names:
        raise MissingKeyError(f"table `{name}` not found in liana {package.version}; present: {', '.join(names)}")
    table = table.loc[table["resource"] == name, ["source_genesymbol", "target_genesymbol"]]
    table.columns = ["source", "target"]
    return table, hashlib.sha256(path.read_bytes()).hexdigest(), package.version


def _of_cellphonedb(folder: Path) -> tuple[pd.DataFrame, str]:
    parts, digest = {}, hashlib.sha256()
    for part in ("interaction_input", "complex_input", "gene_input"):
        found = sorted([*folder.glob(f"*{part}.csv"), *folder.glob(f"*{part}.csv.gz")])
        if len(found) != 1:
            raise MissingKeyError(f"one file *{part}.csv expected in {folder}, found {len(found)}")
        parts[part] = _frame(found[0])
        digest.update(found[0].read_bytes())
    genes = parts["gene_input"].dropna(subset=["uniprot"]).copy()
    symbol = genes["hgnc_symbol"].where(genes["hgnc_symbol"].notna(), genes["gene_name"])
    by_protein = dict(zip(genes["uniprot"][::-1], symbol[::-1], strict=True))  # the first of several
    members = parts["complex_input"].filter(regex=r"^uniprot_\d+$")
    proteins = {
        name: [protein for protein in row if isinstance(protein, str)]
        for name, row in zip(parts["complex_input"]["complex_name"], members.to_numpy(), strict=True)
    }

    def spelled(partner: str) -> str | None:
        found = [by_protein.get(protein) for protein in proteins.get(partner, [partner])]
        # A gene that is there twice is there once.
        return None if None in found or not found else "_".join(dict.fromkeys(map(str, found)))

    table = parts["interaction_input"]
    for column in ("partner_a", "partner_b"):
        if column not in table:
            raise DataError(f"interactions of {folder.name}: expected a column {column}, found {', '.join(table.columns[:8])}")
    table = table.assign(source=[spelled(name) for name in table["partner_a"]], target=[spelled(name) for name in table["partner_b"]])
    kept = [column for column in ("partner_a", "partner_b", "classification", "directionality") if column in table]
    return table[["source", "target", *kept]], digest.hexdigest()
