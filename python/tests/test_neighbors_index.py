"""Neighbours from an index in a file: against the search in memory, every pair, and files that are not whole."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from zensaibo import arrays, errors, metrics


def _cells(n: int, d: int = 30, seed: int = 0) -> np.ndarray:
    """Twenty groups of unequal size, each a bent sheet in noise; groups are those of seed 0 for every seed."""
    fixed, rng = np.random.default_rng(0), np.random.default_rng(seed)
    centres, bends = fixed.normal(size=(20, d)) * 8 * 0.9 ** np.arange(d), fixed.normal(size=(20, 3, d)) * 2
    kinds = rng.choice(20, size=n, p=(p := 0.8 ** np.arange(20)) / p.sum())
    sheet = 5 * 0.93 ** np.arange(d) * np.sin(np.einsum("nz,nzd->nd", rng.random((n, 3)), bends[kinds]))
    return (centres[kinds] + sheet + 0.8 * rng.normal(size=(n, d))).astype(np.float32)


@pytest.fixture(scope="module")
def cells() -> np.ndarray:
    return _cells(20_000)


@pytest.fixture(scope="module")
def index(cells, tmp_path_factory) -> arrays.NeighborIndex:
    return arrays.build_index(cells, tmp_path_factory.mktemp("index") / "cells.zsindex")


def _same(a, b) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b))


@pytest.mark.parametrize("metric", ["euclidean", "cosine", "correlation"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_same_bits_as_in_memory(tmp_path, metric, dtype):
    data = _cells(4000).astype(dtype)
    index = arrays.build_index(data, tmp_path / "index", metric=metric, seed=3)
    assert (index.shape, index.dtype, index.metric, index.seed) == ((4000, 30), np.dtype(dtype), metric, 3)
    for effort in (1.0, 0.4):
        expected = arrays.knn(data, 12, metric=metric, algorithm="approximate", effort=effort, seed=3)
        found = zs.io.open_index(tmp_path / "index").neighbors(12, effort=effort)
        assert _same(found[:2], expected[:2]) and not found.exact


def test_recall_against_every_pair_rises_with_probes(cells, index):
    share = [metrics.knn_recall(cells, index.neighbors(15, probes=p).indices, sample=1000).mean for p in (1, 4, 16, 52)]
    assert index.n_lists == 53 and share == sorted(share) and 0.3 < share[0] < 0.95, share
    assert metrics.knn_recall(cells, index.neighbors(15).indices, sample=1000).mean >= 0.99


def test_recall_on_real_data(pbmc3k_log, tmp_path):
    data = pbmc3k_log.obsm["X_pca"].astype(np.float32)
    index = arrays.build_index(data, tmp_path / "index")
    assert metrics.knn_recall(data, index.neighbors(15).indices, sample=2700).mean >= 0.99
    whole = index.neighbors(15, probes=index.n_lists, effort=2.3)
    truth = arrays.knn(data, 15, algorithm="exact")
    assert _same(whole[:2], truth[:2])


def test_queries(cells, index):
    queries = _cells(3000, seed=5)
    truth = arrays.knn_query(cells, queries, 10, algorithm="exact")
    assert _same(index.query(queries, 10, probes=index.n_lists, effort=2.3), truth)
    found = index.query(queries, 10)
    assert found.indices.dtype == np.uint32 and found.distances.dtype == np.float32
    assert (found.indices[:, :, None] == truth.indices[:, None, :]).any(axis=2).mean() >= 0.98
    # One by one as all at once, and float64 as float32.
    assert _same(index.query(queries[7:8].astype(np.float64), 10), [part[7:8] for part in found])
    own = index.query(cells[:50], 1)
    assert (own.indices[:, 0] == np.arange(50)).all() and not own.distances.any()


def test_threads_and_memory_change_nothing(cells, index, tmp_path):
    expected, near = index.neighbors(15), index.query(cells[:500] + 1, 5)
    for threads, memory in [(1, "600kB"), (8, None)]:
        other = arrays.build_index(cells, tmp_path / "other", memory="1MB" if memory else None, threads=threads)
        assert Path(other.path).read_bytes() == Path(index.path).read_bytes()
        assert _same(other.neighbors(15, threads=threads, memory=memory), expected)
        assert _same(other.query(cells[:500] + 1, 5, threads=threads, memory=memory), near)


def test_every_kind_of_source(cells, index, tmp_path):
    h5py = pytest.importorskip("h5py")
    expected = Path(index.path).read_bytes()
    np.save(tmp_path / "cells.npy", cells)
    with h5py.File(tmp_path / "cells.h5", "w") as file:
        file["X_pca"] = cells
    with h5py.File(tmp_path / "cells.h5") as file:
        sources = {
            "memmap": np.load(tmp_path / "cells.npy", mmap_mode="r"),
            "hdf5": file["X_pca"],
            "csr": sparse.csr_matrix(cells),
            "by columns": np.asfortranarray(cells),
        }
        for name, source in sources.items():
            made = arrays.build_index(source, tmp_path / "index")
            assert Path(made.path).read_bytes() == expected, name
            assert made.is_of(source) and made.is_of(cells)
    assert not index.is_of(cells[1:]) and not index.is_of(cells.astype(np.float64))
    other = cells.copy()
    other[-1, -1] += 1
    assert not index.is_of(other)
    # Whole numbers are taken as float64.
    counts = np.arange(60).reshape(20, 3) ** 2 % 17
    assert arrays.build_index(counts, tmp_path / "counts").dtype == np.float64


def test_files_that_are_not_whole(cells, tmp_path):
    path = tmp_path / "index"
    arrays.build_index(cells[:3000], path)
    whole = path.read_bytes()
    for length in (0, 5, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(errors.FormatError, match=f"{path}: .*expected .*found"):
            zs.io.open_index(path)
    for place, named in [(3, "letters"), (9, "version"), (40, "head"), (len(whole) - 9, "list .*, piece")]:
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        with pytest.raises(errors.FormatError, match=f"{path}: {named}"):
            zs.io.open_index(path).neighbors(15)
    np.save(tmp_path / "cells.npy", cells)
    with pytest.raises(errors.FormatError, match="zs-index"):
        zs.io.open_index(tmp_path / "cells.npy")
    with pytest.raises(errors.FileError):
        zs.io.open_index(tmp_path / "none")
    with pytest.raises(errors.FileError):
        arrays.build_index(cells, tmp_path / "no folder" / "index")
    # A fault leaves what was there, and nothing beside it.
    path.write_bytes(whole)
    bad = cells.copy()
    bad[12_345, 6] = np.nan
    with pytest.raises(errors.NonFiniteError, match="row 12345, column 6"):
        arrays.build_index(bad, path)
    assert path.read_bytes() == whole and sorted(os.listdir(tmp_path)) == ["cells.npy", "index"]


def test_small_and_strange(tmp_path):
    with pytest.raises(errors.EmptyDataError, match="at least one row"):
        arrays.build_index(np.zeros((0, 3), np.float32), tmp_path / "index")
    one = arrays.build_index(np.ones((1, 3), np.float32), tmp_path / "index")
    assert one.query(np.zeros((1, 3)), 1).distances[0, 0] == np.float32(3**0.5)
    with pytest.raises(errors.ParameterError, match="n_neighbors.*number of rows, 1"):
        one.neighbors(2)
    same = arrays.build_index(np.full((1000, 2), 4.0), tmp_path / "index", n_lists=7)
    found = same.neighbors(5)
    assert not found.distances.any() and (found.indices[:, 0] == np.arange(1000)).all()
    assert "1,000 x 2, euclidean, 7 lists" in repr(same)


def test_bad_input_is_named(cells, index, tmp_path):
    for options, message in [
        ({"n_lists": 0}, "n_lists"),
        ({"n_lists": 20_001}, "number of rows, 20000"),
        ({"metric": "hamming"}, "hamming"),
        ({"memory": "many"}, "memory"),
        ({"seed": -1}, "build_index"),
    ]:
        with pytest.raises(errors.ParameterError, match=message):
            arrays.build_index(cells, tmp_path / "index", **options)
    with pytest.raises(errors.LimitError, match="n_lists"):
        arrays.build_index(cells, tmp_path / "index", memory=1000)
    for options, message in [
        ({"n_neighbors": 1}, "n_neighbors"),
        ({"n_neighbors": 20_001}, "n_neighbors"),
        ({"probes": 0}, "probes"),
        ({"probes": 54}, "number of lists, 53"),
        ({"effort": 0}, "effort"),
        ({"memory": 0}, "memory"),
    ]:
        with pytest.raises(errors.ParameterError, match=message):
            index.neighbors(**options)
    with pytest.raises(errors.ShapeError, match="30 columns"):
        index.query(cells[:, :4])
    with pytest.raises(errors.NonFiniteError):
        index.query(np.full((1, 30), np.inf))
    with pytest.raises(errors.ShapeError, match="two dimensions"):
        arrays.build_index(cells[0], tmp_path / "index")
    with pytest.raises(errors.DataError, match="csc"):
        arrays.build_index(sparse.csc_matrix(cells), tmp_path / "index")
    with pytest.raises(errors.DataError, match="real numbers"):
        arrays.build_index(np.array([["a"]]), tmp_path / "index")

    class Restless:
        """Rows that are others each time."""

        shape, dtype, turn = (100, 2), np.dtype(np.float32), 0

        def __getitem__(self, rows: slice) -> np.ndarray:
            self.turn += 1
            return np.full((rows.stop - rows.start, 2), self.turn)

    with pytest.raises(errors.DataError, match="the same rows each time"):
        arrays.build_index(Restless(), tmp_path / "index")
    Restless.__getitem__ = lambda self, rows: [][1]
    with pytest.raises(errors.DataError, match="rows 0 to 100.*IndexError"):
        arrays.build_index(Restless(), tmp_path / "index")
    assert os.listdir(tmp_path) == []


def test_pp_neighbors(small, tmp_path):
    rng = np.random.default_rng(1)
    small.obsm["X_pca"] = rng.normal(size=(300, 20)).astype(np.float32)
    path = tmp_path / "index"
    first = zs.pp.neighbors(small, transformer="approximate", copy=True)
    for _ in range(2):  # made, then found there
        out = zs.pp.neighbors(small, index=path, copy=True)
        assert abs(out.obsp["distances"] - first.obsp["distances"]).max() == 0
        assert abs(out.obsp["connectivities"] - first.obsp["connectivities"]).max() == 0
    assert out.uns["zensaibo"]["neighbors"]["options"]["index"] == str(path)
    zs.pp.neighbors(small, n_pcs=5, index=tmp_path / "fewer")
    zs.pp.neighbors(small, use_rep="X", index=str(tmp_path / "X"))
    assert zs.io.open_index(tmp_path / "X").shape == (300, 120)
    for options, message in [
        ({"metric": "cosine"}, "metric='cosine'"),
        ({"random_state": 4}, "random_state=4"),
        ({"n_pcs": 5}, "of the 300 x 5 values"),
        ({"transformer": "exact"}, "transformer"),
    ]:
        with pytest.raises(errors.ParameterError, match=message):
            zs.pp.neighbors(small, index=path, **options)
    small.obsm["X_pca"][2, 3] += 1
    with pytest.raises(errors.ParameterError, match="other 300 x 20 values"):
        zs.pp.neighbors(small, index=path)
    assert sorted(os.listdir(tmp_path)) == ["X", "fewer", "index"]
    shutil.copy(tmp_path / "X", path)
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(errors.FormatError, match="index"):
        zs.pp.neighbors(small, index=path)
