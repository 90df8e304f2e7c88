"""The bridge between Python and Rust: matrices, errors, Ctrl-C, progress."""

import json
import os
import subprocess
import sys
import textwrap

import numpy as np
import pytest
from scipy import sparse

from conftest import LAYOUTS
from zensaibo import _core, errors


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_arrives_whole(small, layout):
    matrix = LAYOUTS[layout](small.X)
    rows, columns, stored, total = _core.matrix_summary(matrix)
    assert (rows, columns) == small.shape
    assert stored == small.X.nnz
    assert total == small.X.sum()


def test_unsorted_columns_are_refused_by_the_extension():
    bad = sparse.csr_matrix((np.ones(2, "f4"), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    with pytest.raises(errors.DataError, match="unsorted"):
        _core.matrix_summary(bad)


def test_columns_out_of_range_are_refused():
    bad = sparse.csr_matrix((1, 2), dtype="f4")
    bad.indptr, bad.indices, bad.data = np.array([0, 1], "i4"), np.array([5], "i4"), np.ones(1, "f4")
    with pytest.raises(errors.DataError, match="0..2"):
        _core.matrix_summary(bad)


def test_wrong_types_are_named():
    with pytest.raises(TypeError, match="complex"):
        _core.matrix_summary(np.ones((2, 2), complex))
    with pytest.raises(TypeError, match="coo"):
        _core.matrix_summary(sparse.coo_matrix((2, 2)))


def test_error_classes_are_pythons_own_too():
    assert issubclass(errors.ParameterError, ValueError)
    assert issubclass(errors.MissingKeyError, KeyError)
    assert issubclass(errors.FileError, OSError)
    assert issubclass(errors.NotCountsError, errors.DataError)
    assert str(errors.MissingKeyError("a sentence")) == "a sentence"
    assert errors.ParameterError.__module__ == "zensaibo.errors"


def test_zero_threads_is_a_parameter_error(small):
    with pytest.raises(errors.ParameterError, match="threads"):
        _core.matrix_summary(small.X, threads=0)


def test_option_defaults_are_json():
    described = json.loads(_core.option_defaults())
    assert all({"defaults", "doc"} == set(entry) for entry in described.values())
    for name, entry in described.items():
        assert set(entry["doc"]) == set(entry["defaults"]), name
        assert all(text for text in entry["doc"].values()), f"{name}: an option without a manual"


def test_import_loads_nothing_that_anndata_has_not():
    """Plots, graphs, viewers and tables come with the functions that need them (startup.md has the seconds)."""
    code = """
        import anndata, sys
        before = set(sys.modules)
        import zensaibo as zs
        zs.pp, zs.tl, zs.io, zs.im, zs.sp
        after = {name.split(".")[0] for name in set(sys.modules) - before}
        print(*sorted(after - set(sys.stdlib_module_names)))
    """
    assert subprocess.check_output([sys.executable, "-c", textwrap.dedent(code)], text=True).split() == ["zensaibo"]


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, which only POSIX systems have")
def test_ctrl_c_stops_a_long_call():
    """SIGINT within a call that would take hours raises KeyboardInterrupt soon, however loaded the machine is."""
    code = textwrap.dedent(
        """
        import os, signal, threading, time
        import anndata, numpy as np
        import zensaibo as zs
        adata = anndata.AnnData(np.random.default_rng(0).random((3000, 20), "f4"))
        zs.pp.neighbors(adata, use_rep="X")
        sent = []
        def send():
            time.sleep(1)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=send).start()
        try:
            zs.tl.umap(adata, maxiter=1_000_000)
        except KeyboardInterrupt:
            print(time.perf_counter() - sent[0])
        """
    )
    delay = float(subprocess.check_output([sys.executable, "-c", code], timeout=120).split()[-1])
    assert delay < 10, delay
