"""Files behind URLs: the same bits as from disk, through the library and the command line; servers that misbehave. Nothing leaves
this machine."""

from __future__ import annotations

import hashlib
import json
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import zensaibo as zs
from test_cli_recipe import SMALL, command
from test_cli_recipe import same as same_run
from zensaibo import errors

zarr = pytest.importorskip("zarr", minversion="3")


class Handler(BaseHTTPRequestHandler):
    """Serves a folder with ranges, tags and S3's listings; `server.faults` says what goes wrong, by the end of the path."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server: Any = self.server
        parts = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(parts.path).lstrip("/")
        query = dict(urllib.parse.parse_qsl(parts.query))
        server.log.append((path, self.headers.get("Authorization", "")))
        with server.lock:
            fault = next((fault for fault in server.faults if path.endswith(fault["path"]) and fault["times"] > 0), None)
            if fault is not None:
                fault["times"] -= 1
        kind = None if fault is None else fault["kind"]
        if kind == "stall":
            server.stop.wait(60)
            self.close_connection = True
            return
        if isinstance(kind, int):
            self.answer(kind, b"")
            return
        place = server.root / path
        if "list-type" in query:
            self.answer(200, listing(place, query))
        elif not place.is_file():
            self.answer(404, b"nothing")
        else:
            whole = place.read_bytes()
            tag = f'"{hashlib.md5(whole).hexdigest()}"'
            asked = self.headers.get("Range")
            if asked is None:
                self.answer(200, whole, ETag=tag)
                return
            first, last = asked.removeprefix("bytes=").split("-")
            start = int(first) if first else max(0, len(whole) - int(last))
            end = min(int(last) + 1, len(whole)) if first and last else len(whole)
            if start >= end:
                self.answer(416, b"", **{"Content-Range": f"bytes */{len(whole)}"})
                return
            cut = kind == "cut"
            self.answer(206, whole[start:end], cut, ETag=tag, **{"Content-Range": f"bytes {start}-{end - 1}/{len(whole)}"})

    def answer(self, status: int, body: bytes, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)
        self.close_connection = cut


def listing(bucket: Path, query: dict[str, str]) -> bytes:
    names = sorted(str(path.relative_to(bucket)) for path in bucket.rglob("*") if path.is_file())
    prefix, folders, files = query.get("prefix", ""), [], []
    for name in names:
        rest = name.removeprefix(prefix)
        if not name.startswith(prefix):
            continue
        if "/" in rest and "delimiter" in query:
            folders.append(prefix + rest.split("/")[0] + "/")
        else:
            files.append((name, (bucket / name).stat().st_size))
    text = "".join(f"<Contents><Key>{name}</Key><Size>{size}</Size></Contents>" for name, size in files)
    text += "".join(f"<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>" for name in dict.fromkeys(folders))
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{text}</ListBucketResult>".encode()


class Served:
    """A folder, and the server of it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.server.root, self.server.faults, self.server.log = root, [], []
        self.server.lock, self.server.stop = threading.Lock(), threading.Event()
        self.endpoint = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def url(self, name: str) -> str:
        return f"{self.endpoint}/{name}"

    def fail(self, path: str, kind: Any, times: int = 1 << 30) -> dict[str, Any]:
        fault = {"path": path, "kind": kind, "times": times}
        self.server.faults[:] = [fault]
        return fault


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setenv("ZENSAIBO_REMOTE_STALL_TIMEOUT", "0.5")
    monkeypatch.setenv("ZENSAIBO_REMOTE_RETRIES", "2")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "web").mkdir()
    made = Served(tmp_path / "web")
    yield made
    made.server.stop.set()
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def adata(small: ad.AnnData) -> ad.AnnData:
    small.layers["counts"] = small.X.copy()
    small.obsm["X_pca"] = np.arange(300 * 60, dtype=np.float32).reshape(300, 60)
    small.uns["nested"] = {"number": 3.0, "text": "ü"}
    small.obs["depth"] = np.arange(300) / 7
    return small


def write(adata: ad.AnnData, folder: Path) -> dict[str, Path]:
    """The same object in every kind of file that is read behind URLs."""
    adata.write_h5ad(folder / "gzip.h5ad", compression="gzip")
    adata.write_h5ad(folder / "plain.h5ad")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for version in (2, 3):
            with ad.settings.override(zarr_write_format=version):
                adata.write_zarr(folder / f"v{version}.zarr")
            zarr.consolidate_metadata(folder / f"v{version}.zarr")
    return {name: folder / name for name in ("gzip.h5ad", "plain.h5ad", "v2.zarr", "v3.zarr")}


def same(a: ad.AnnData, b: ad.AnnData) -> None:
    for first, second in [(a.X, b.X), (a.layers["counts"], b.layers["counts"])]:
        assert type(first) is type(second) and first.dtype == second.dtype
        assert (first != second).nnz == 0
    assert a.obs.equals(b.obs) and a.var.equals(b.var)
    assert np.array_equal(a.obsm["X_pca"], b.obsm["X_pca"])
    assert a.uns["nested"]["number"] == b.uns["nested"]["number"] and a.uns["nested"]["text"] == b.uns["nested"]["text"]


def test_what_is_read_behind_a_url_is_what_is_on_disk(adata, served):
    for name, path in write(adata, served.root).items():
        url = served.url(name)
        assert zs.io.detect(url) == zs.io.detect(path)
        here, there = zs.io.open_matrix(path, "layers/counts"), zs.io.open_matrix(url, "layers/counts")
        assert there.path == url and there.shape == here.shape
        assert (here.to_memory() != there.to_memory()).nnz == 0
        assert there.obs_names.equals(here.obs_names) and there.var_names.equals(here.var_names)
        same(zs.io.read(url), zs.io.read(path))
        found = zs.io.inspect(url)
        assert (found["n_cells"], found["n_genes"], found["entries"]) == (300, 120, adata.X.nnz)
        assert pickle.loads(pickle.dumps(there._core)).shape == (300, 120)
        # What pathlib makes of a URL.
        assert (zs.io.open_matrix(Path(url)).to_memory() != adata.X).nnz == 0
    both = zs.io.open_matrix([served.url("gzip.h5ad"), served.url("v3.zarr")])
    assert (both.to_memory() != sparse.vstack([adata.X, adata.X]).tocsr()).nnz == 0
    copy = served.root / "copy.h5ad"
    for name in ("gzip.h5ad", "v2.zarr"):
        zs.io.convert(served.url(name), copy)
        same(ad.read_h5ad(copy), adata)
    zs.io.concat_on_disk([served.url("gzip.h5ad"), served.url("v3.zarr")], served.root / "both.h5ad", index_unique="-")
    assert ad.read_h5ad(served.root / "both.h5ad").shape == (600, 120)


def test_the_pipeline_takes_urls(adata, served, tmp_path):
    write(adata, served.root)
    expected = zs.pp.recipe(served.root / "gzip.h5ad", config=SMALL)
    for name in ("gzip.h5ad", "v3.zarr"):
        same_run(zs.pp.recipe(served.url(name), config=SMALL), expected)
    options = [f"--set={section}.{key}={value}" for section, keys in SMALL.items() for key, value in keys.items()]
    for name in ("plain.h5ad", "v2.zarr"):
        done = command("cluster", served.url(name), "-o", tmp_path / "out.h5ad", "--memory", "1GiB", *options)
        assert done.returncode == 0, done.stderr
        same_run(ad.read_h5ad(tmp_path / "out.h5ad"), expected)
        shown = command("inspect", served.url(name))
        assert shown.returncode == 0 and "300 cells x 120 genes" in shown.stdout, shown.stderr
    done = command("cluster", served.url("none.h5ad"), "-o", tmp_path / "none.h5ad")
    assert done.returncode == 3 and "none.h5ad" in done.stderr and "404" in done.stderr
    assert not (tmp_path / "none.h5ad").exists()


def test_volumes_behind_urls(served):
    voxels = (np.arange(30 * 50 * 40) % 999).astype(np.uint16).reshape(30, 50, 40)
    zs.im.write(voxels, served.root / "a.ome.zarr", spacing=(5, 2, 2))
    volume = zs.im.open(served.url("a.ome.zarr"))
    assert volume.shape == voxels.shape and tuple(volume.spacing) == (5, 2, 2)
    assert np.array_equal(volume[:], voxels)
    done = command("inspect", served.url("a.ome.zarr"))
    assert done.returncode == 0 and "z 30 x y 50 x x 40" in done.stdout, done.stderr
    target = served.root / "copy.ome.zarr"
    done = command("convert", served.url("a.ome.zarr"), target)
    assert done.returncode == 0, done.stderr
    assert np.array_equal(zs.im.open(target)[:], voxels)
    import h5py

    with h5py.File(served.root / "a.h5", "w") as file:
        file.create_dataset("voxels", data=voxels, chunks=(8, 16, 16), compression="gzip")
    assert np.array_equal(zs.im.open(served.url("a.h5"))[:], voxels)


def test_s3_at_an_endpoint(adata, served, monkeypatch):
    write(adata, served.root)
    (served.root / "cells").mkdir()
    for name in ("gzip.h5ad", "v3.zarr"):
        (served.root / name).rename(served.root / "cells" / name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", served.endpoint)
    same(zs.io.read("s3://cells/gzip.h5ad"), adata)
    assert {signed for _, signed in served.server.log} == {""}
    # Without the document that holds all, S3 is asked for a list.
    place = served.root / "cells" / "v3.zarr" / "zarr.json"
    document = json.loads(place.read_text())
    document.pop("consolidated_metadata")
    place.write_text(json.dumps(document))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    served.server.log.clear()
    same(zs.io.read("s3://cells/v3.zarr"), adata)
    assert zs.io.inspect("s3://cells/v3.zarr")["bytes"] > 0
    signatures = [signed for _, signed in served.server.log]
    assert all(signed.startswith("AWS4-HMAC-SHA256 Credential=me/") and "secret" not in signed for signed in signatures)


def test_servers_that_fail_are_named(adata, served):
    write(adata, served.root)
    faults = {"stall": "stalls", 500: "status 500", "cut": "bytes came", 403: "status 403"}
    for kind, said in faults.items():
        for name, part in [("gzip.h5ad", "gzip.h5ad"), ("v3.zarr", "X/data/c/0"), ("v2.zarr", "X/data/0")]:
            served.fail(part, kind)
            begun = time.monotonic()
            with pytest.raises(errors.FileError, match=said) as raised:
                zs.io.open_matrix(served.url(name)).to_memory()
            assert part in str(raised.value) and time.monotonic() - begun < 15
            # Some faults pass.
            if kind != 403:
                fault = served.fail(part, kind, 1)
                assert (zs.io.open_matrix(served.url(name)).to_memory() != adata.X).nnz == 0
                assert fault["times"] == 0
    served.server.faults.clear()
    for name in ("none.h5ad", "none.zarr"):
        with pytest.raises(errors.FileError, match="404") as raised:
            zs.io.open_matrix(served.url(name))
        assert name in str(raised.value)
    with pytest.raises(errors.ParameterError, match="password"):
        zs.io.open_matrix("https://me:secret@host/x.h5ad")
    web = served.root / "v2.zarr"
    (web / ".zmetadata").unlink()
    with pytest.raises(errors.FormatError, match="consolidated"):
        zs.io.inspect(served.url("v2.zarr"))
    assert (zs.io.open_matrix(served.url("v2.zarr")).to_memory() != adata.X).nnz == 0


def test_settings_that_are_none_are_named(served, monkeypatch):
    monkeypatch.setenv("ZENSAIBO_REMOTE_STALL_TIMEOUT", "soon")
    with pytest.raises(errors.ParameterError, match="ZENSAIBO_REMOTE_STALL_TIMEOUT.*soon"):
        zs.io.detect(served.url("x.h5ad"))


def test_an_object_that_changes_is_told(served):
    rng = np.random.default_rng(0)
    adata = ad.AnnData(sparse.random(4000, 300, 0.3, format="csr", dtype=np.float32, random_state=rng))
    path = served.root / "x.h5ad"
    adata.write_h5ad(path)
    matrix = zs.io.open_matrix(served.url("x.h5ad"))
    handed_on = pickle.dumps(matrix._core)
    adata.X.data += 1
    adata.write_h5ad(path)
    for look in (matrix.to_memory, lambda: pickle.loads(handed_on)):
        with pytest.raises(errors.FormatError, match="as it was when it was (first )?opened"):
            look()


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_ends_a_wait_for_a_server(served, tmp_path):
    served.fail("x.h5ad", "stall")
    environment = os.environ | {"ZENSAIBO_REMOTE_STALL_TIMEOUT": "50"}
    codes = {
        "command": [sys.executable, "-m", "zensaibo", "cluster", served.url("x.h5ad"), "-o", str(tmp_path / "out.h5ad")],
        "library": [sys.executable, "-c", f"import zensaibo as zs; zs.io.open_matrix({served.url('x.h5ad')!r})"],
    }
    for name, line in codes.items():
        served.server.log.clear()
        process = subprocess.Popen(line, env=environment, stderr=subprocess.PIPE, text=True)
        begun = time.monotonic()
        while not served.server.log and time.monotonic() - begun < 60:
            time.sleep(0.02)
        assert served.server.log, name
        time.sleep(0.2)
        asked = time.monotonic()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
        assert time.monotonic() - asked < 10, name
        assert process.returncode in (130, -signal.SIGINT, 1), said
        assert "nterrupt" in said, said
    assert not (tmp_path / "out.h5ad").exists()
