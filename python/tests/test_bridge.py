"""The bridge between Python and Rust: matrices, errors, Ctrl-C, progress."""

import json
import os
import signal
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


def test_import_is_quick():
    """`import zensaibo` costs under 0.5 s on top of `import anndata` (best of three, CPU time)."""
    code = "import anndata, time; t = time.process_time(); import zensaibo; zensaibo.pp; print(time.process_time() - t)"
    best = min(float(subprocess.check_output([sys.executable, "-c", code]).split()[-1]) for _ in range(3))
    assert best < 0.5


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT, which only POSIX systems have")
def test_ctrl_c_stops_quickly():
    """SIGINT during long work raises KeyboardInterrupt within 100 ms (plus scheduling slack of a loaded machine)."""
    code = textwrap.dedent(
        """
        import os, signal, threading, time
        import numpy as np
        from zensaibo import _core
        matrix = np.ones((60_000, 2_000), "f4")
        sent = []
        def send():
            time.sleep(0.25)
            sent.append(time.perf_counter())
            os.kill(os.getpid(), signal.SIGINT)
        threading.Thread(target=send).start()
        try:
            while True:
                _core.matrix_summary(matrix, threads=2)
        except KeyboardInterrupt:
            print(time.perf_counter() - sent[0])
        """
    )
    delay = min(float(subprocess.check_output([sys.executable, "-c", code]).split()[-1]) for _ in range(3))
    assert delay < 0.3, delay
    assert signal.SIGINT
