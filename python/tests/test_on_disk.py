"""Concatenation and subsets from file to file: what anndata makes of the objects in memory and writes."""

from __future__ import annotations

import warnings
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from anndata.tests.helpers import assert_equal
from scipy import sparse

import zensaibo as zs
from zensaibo import errors


def sample(seed: int, n: int, genes: list[str], *, kind: str = "csr", dtype: str = "float32", layers: tuple[str, ...] = ("counts",)) -> ad.AnnData:
    """A small object with something in every slot."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.7, (n, len(genes))).astype(dtype)
    forms = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
    obs = pd.DataFrame(
        {
            "type": pd.Categorical(rng.choice(["b", "a", f"own{seed}"], n)),
            "score": rng.random(n),
            "own" + str(seed % 2): rng.integers(0, 9, n),
            "flag": pd.array(rng.random(n) < 0.5, dtype="boolean"),
        },
        index=[f"cell{i}" for i in range(n)],
    )
    obs.loc[obs.index[0], "flag"] = pd.NA
    made = ad.AnnData(forms[kind](values), obs=obs, var=pd.DataFrame({"length": np.arange(len(genes))}, index=genes))
    for name in layers:
        made.layers[name] = values * 2 if kind == "dense" else sparse.csr_matrix(values * 2)
    made.obsm["X_pca"] = rng.random((n, 3))
    made.obsm["table"] = pd.DataFrame({"x": np.arange(n)}, index=made.obs_names)
    made.varm["PCs"] = rng.random((len(genes), 3))
    made.obsp["near"] = sparse.csr_matrix(rng.random((n, n)) * (rng.random((n, n)) < 0.1))
    made.uns = {"type_colors": np.array(["#111111", "#222222", "#333333"]), "deep": {"number": seed, "same": 1}}
    made.raw = made[:, : len(genes) // 2 + 1].copy()
    return made


GENES = [
    ["g3", "g1", "g4", "g0", "g5", "g9", "g2", "g6"],
    ["g0", "x1", "g1", "g2", "g9", "g3", "x0", "g4", "g5"],
    ["g5", "g4", "g0", "g1", "g3"],
]
LAYOUTS = {
    "sparse": [("csr", "float32"), ("csr", "float32"), ("csr", "float32")],
    "counts": [("csr", "int32"), ("csc", "uint8"), ("csr", "float64")],
    "dense": [("dense", "float32"), ("dense", "float32"), ("dense", "int64")],
    "mixed": [("dense", "float32"), ("csr", "int64"), ("csc", "float32")],
}


def written(adata: ad.AnnData, folder: Path, name: str, **options) -> Path:
    path = folder / f"{name}.h5ad"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata.write_h5ad(path, **options)
    return path


def same_file(path: Path, wanted: ad.AnnData, folder: Path) -> None:
    """The file holds what the object does once it is written; X in rows where anndata joins columns to rows."""
    found, expected = ad.read_h5ad(path), ad.read_h5ad(written(wanted, folder, "wanted"))
    assert (found.X is None) == (expected.X is None)
    if expected.X is not None:
        assert found.X.dtype == expected.X.dtype and type(found.X) is type(expected.X)
    for name in expected.layers:
        assert found.layers[name].dtype == expected.layers[name].dtype
    assert (found.raw is None) == (expected.raw is None)
    if expected.raw is not None:
        same_matrix(found.raw.X, expected.raw.X)
        assert_equal(found.raw.var, expected.raw.var, exact=True)
        assert_equal(dict(found.raw.varm), dict(expected.raw.varm), exact=True)
    for name in expected.layers:
        same_matrix(found.layers[name], expected.layers[name])
    if expected.X is not None:
        same_matrix(found.X, expected.X)
    # anndata's comparison of objects takes no NaN in arrays.
    for each in (found, expected):
        each.raw, each.X = None, None
        for name in list(each.layers):
            del each.layers[name]
    assert_equal(found, expected, exact=True)


def same_matrix(found, expected) -> None:
    if isinstance(expected, np.ndarray):
        np.testing.assert_array_equal(found, expected)
    else:
        assert_equal(found, expected, exact=True)


@pytest.mark.parametrize("join", ["inner", "outer"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_concatenation_is_that_of_anndata(layout: str, join: str, tmp_path: Path) -> None:
    parts = []
    for at, (kind, dtype) in enumerate(LAYOUTS[layout]):
        layers = ("counts", "own") if at == 1 else ("counts",)
        parts.append(sample(at, 40 + 11 * at, GENES[at], kind=kind, dtype=dtype, layers=layers))
    paths = [written(part, tmp_path, f"part{at}", compression="gzip" if at == 1 else None) for at, part in enumerate(parts)]
    options = {"join": join, "keys": ["one", "two", "three"], "index_unique": "-", "merge": "same", "uns_merge": "same"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = ad.concat(parts, label="batch", **options)
    bytes_found = []
    for threads, gzip in ((1, None), (2, 4)):
        zs.io.concat_on_disk(paths, tmp_path / "out.h5ad", gzip=gzip, threads=threads, **options)
        same_file(tmp_path / "out.h5ad", wanted, tmp_path)
        bytes_found.append((tmp_path / "out.h5ad").stat().st_size)
    assert len(set(bytes_found)) == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out.h5ad", "part0.h5ad", "part1.h5ad", "part2.h5ad", "wanted.h5ad"]


def test_the_defaults_are_those_of_anndata(tmp_path: Path) -> None:
    parts = [sample(at, 30, GENES[0]) for at in range(2)]
    del parts[1].raw
    paths = [written(part, tmp_path, f"part{at}") for at, part in enumerate(parts)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wanted = ad.concat(parts, label="batch")
    with pytest.warns(UserWarning, match="raw"):
        zs.io.concat_on_disk(paths, tmp_path / "out.h5ad")
    same_file(tmp_path / "out.h5ad", wanted, tmp_path)
    # One of the files may be the target; one file alone is a copy.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        zs.io.concat_on_disk(paths, paths[0], label=None)
    del wanted.obs["batch"]
    same_file(paths[0], wanted, tmp_path)


def test_many_cells_go_in_blocks(tmp_path: Path) -> None:
    whole = zs.datasets.simulate(6000, 700, genes_per_cell=300, umi_per_cell=1200, n_types=3, n_lineages=2, n_trajectories=0, seed=3)
    parts = [whole[:2500, :600].copy(), whole[2500:, 50:].copy()]
    paths = [written(part, tmp_path, f"part{at}", compression="gzip") for at, part in enumerate(parts)]
    zs.io.concat_on_disk(paths, tmp_path / "one.h5ad", threads=1)
    zs.io.concat_on_disk(paths, tmp_path / "two.h5ad", threads=2)
    one, two = (ad.read_h5ad(tmp_path / f"{name}.h5ad") for name in ("one", "two"))
    assert_equal(one, two, exact=True)
    assert (one.X != ad.concat(parts).X).nnz == 0
    # A subset of the result, and the matrix of the list of files.
    mask = np.random.default_rng(0).random(one.n_obs) < 0.3
    zs.io.subset_on_disk(tmp_path / "one.h5ad", tmp_path / "few.h5ad", obs=mask, var=slice(100, 400))
    assert (ad.read_h5ad(tmp_path / "few.h5ad").X != one[mask, 100:400].X).nnz == 0
    assert (zs.io.open_matrix(paths).to_memory() != one.X).nnz == 0


CHOICES = {
    "mask": lambda a: (np.arange(a.n_obs) % 3 == 0, np.arange(a.n_vars) % 2 == 1),
    "names": lambda a: (list(a.obs_names[[3, 5, 20]]), a.var_names[[1, 2, 6]]),
    "slice": lambda a: (slice(5, -3, 2), slice(2, None)),
    "cells": lambda a: (pd.Series(np.arange(a.n_obs) < 9, index=a.obs_names), None),
    "genes": lambda a: (None, ["g1", "g5"]),
    "none of the cells": lambda a: (np.zeros(a.n_obs, bool), None),
    "all": lambda a: (None, None),
}


@pytest.mark.parametrize("kind", ["csr", "csc", "dense"])
@pytest.mark.parametrize("choice", CHOICES)
def test_subsets_are_those_of_anndata(choice: str, kind: str, tmp_path: Path) -> None:
    adata = sample(7, 60, GENES[0], kind=kind, dtype="float64")
    path = written(adata, tmp_path, "whole", compression="gzip")
    obs, var = CHOICES[choice](adata)
    wanted = adata[slice(None) if obs is None else obs, slice(None) if var is None else var].copy()
    for threads in (1, 2):
        zs.io.subset_on_disk(path, tmp_path / "out.h5ad", obs=obs, var=var, threads=threads)
        same_file(tmp_path / "out.h5ad", wanted, tmp_path)
    # In place of the file itself.
    zs.io.subset_on_disk(path, path, obs=obs, var=var)
    same_file(path, wanted, tmp_path)


def test_names_stay_in_the_order_of_the_file(tmp_path: Path) -> None:
    adata = sample(1, 20, GENES[0])
    path = written(adata, tmp_path, "whole")
    zs.io.subset_on_disk(path, tmp_path / "out.h5ad", obs=["cell9", "cell2"], var=["g6", "g3"])
    found = ad.read_h5ad(tmp_path / "out.h5ad")
    assert found.obs_names.tolist() == ["cell2", "cell9"] and found.var_names.tolist() == ["g3", "g6"]


def test_what_cannot_be_is_named(tmp_path: Path) -> None:
    adata = sample(1, 20, GENES[0])
    path, out = written(adata, tmp_path, "whole"), tmp_path / "out.h5ad"
    for parameters, error, message in [
        ({"obs": np.ones(5, bool)}, errors.ParameterError, "mask of 20"),
        ({"obs": slice(None, None, -1)}, errors.ParameterError, "goes forward"),
        ({"obs": [1, 2]}, errors.ParameterError, "names or a slice"),
        ({"var": "g1"}, errors.ParameterError, "found str"),
        ({"var": ["g1", "nothing"]}, errors.MissingKeyError, "nothing"),
        ({"var": ["g1", "g1"]}, errors.ParameterError, "g1 twice"),
        ({"gzip": 10}, errors.ParameterError, "1 to 9"),
    ]:
        with pytest.raises(error, match=message):
            zs.io.subset_on_disk(path, out, **parameters)
    other = sample(2, 10, [f"y{i}" for i in range(8)])
    away = written(other, tmp_path, "other")
    bare = sample(2, 10, GENES[0])
    bare.X = None
    bare = written(bare, tmp_path, "bare")
    twice = sample(3, 10, GENES[1])
    twice.var_names = ["g0", "g0", *twice.var_names[2:]]
    twice = written(twice, tmp_path, "twice")
    (tmp_path / "text.h5ad").write_text("no")
    for paths, parameters, error, message in [
        ([path, away], {}, errors.EmptyDataError, "other.h5ad"),
        ([path, bare], {}, errors.MissingKeyError, "bare.h5ad"),
        ([path, twice], {}, errors.DuplicateNamesError, "twice.h5ad: var.*g0 twice"),
        ([path, tmp_path / "nowhere.h5ad"], {}, errors.FileError, "nowhere.h5ad"),
        ([path, tmp_path / "text.h5ad"], {}, errors.FormatError, "text.h5ad"),
        ([path, path], {"keys": ["a", "a"]}, errors.ParameterError, "2 different names"),
        ([path, path], {"join": "left"}, errors.ParameterError, "inner or outer"),
        ([path, path], {"merge": "never"}, errors.ParameterError, "join"),
        ([], {}, errors.ParameterError, "at least one path"),
    ]:
        with pytest.raises(error, match=message):
            zs.io.concat_on_disk(paths, out, **parameters)
    with pytest.raises(errors.FileError):
        zs.io.concat_on_disk([path, path], tmp_path / "no folder" / "out.h5ad")
    assert not out.exists() and not [name for name in tmp_path.iterdir() if name.name.startswith(".")]


def test_a_damaged_file_leaves_the_target_alone(tmp_path: Path) -> None:
    whole = zs.datasets.simulate(3000, 600, genes_per_cell=200, umi_per_cell=900, n_types=2, n_lineages=2, n_trajectories=0, seed=1)
    paths = [written(whole, tmp_path, name, compression="gzip") for name in ("a", "b")]
    import h5py

    with h5py.File(paths[1]) as file:
        info = file["X/data"].id.get_chunk_info(0)
    with open(paths[1], "r+b") as file:
        file.seek(info.byte_offset)
        file.write(b"\xff" * info.size)
    target = tmp_path / "out.h5ad"
    target.write_bytes(b"as it was")
    with pytest.raises(errors.FormatError, match=r"b\.h5ad: X/data"):
        zs.io.concat_on_disk(paths, target)
    assert target.read_bytes() == b"as it was"
    with pytest.raises(errors.FormatError, match=r"b\.h5ad: X/data"):
        zs.arrays.qc_metrics(zs.io.open_matrix(paths))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.h5ad", "b.h5ad", "out.h5ad"]
