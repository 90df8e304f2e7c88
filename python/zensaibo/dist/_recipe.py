"""``dist.recipe``: the pipeline of ``zensaibo cluster`` on the workers of a Dask cluster."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING
from uuid import uuid4

from .. import _core
from .._config import Config, config_toml
from .._memory import to_bytes
from .._progress import Progress, reporting
from ..io._remote import is_url
from ..pp._recipe import _seeds, _text
from ._use import parts_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from anndata import AnnData
    from distributed import Client


def recipe(
    client: Client,
    path: str | os.PathLike[str],
    out: str | os.PathLike[str],
    config: Config | None = None,
    *,
    work: str | os.PathLike[str],
    n_parts: int | None = None,
    threads: int = 1,
    memory: int | str | None = None,
    report: str | os.PathLike[str] | None = None,
    seed: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData:
    """From raw counts to annotated clusters, with the reads of the counts on the workers of a Dask cluster.

    What :func:`zensaibo.pp.recipe` does, with the same bits. Counting, filtering, packing, gene statistics and markers are
    computed in parts, through the folder `work`; components, neighbours, clusters, layout and the output here. What is in `work`
    is not computed again: after whatever went wrong, the same call goes on from there. It is what ``zensaibo run-blocks`` and
    ``zensaibo merge`` do, which need no Python on the machines.

    Parameters
    ----------
    client
        A client of ``dask.distributed``. All workers see `path` and `work` under the same names.
    path
        Raw counts: an h5ad stored by rows, or a 10x HDF5 file.
    out
        h5ad to write. Written beside and renamed at the end.
    config, report, seed
        As of :func:`zensaibo.pp.recipe`.
    work
        Folder of the parts; it is made, and left as it is: remove it once `out` is there. It takes 3 to 6 bytes per count
        above zero, twice.
    n_parts
        Parts of each step; default twice the threads of all workers.
    threads
        Threads of each part, and of what is done here.
    memory
        Memory that this process may take, in bytes or as text such as ``"4GiB"``; any by default.
    progress
        See :mod:`zensaibo`.

    Returns
    -------
    As :func:`zensaibo.pp.recipe`.

    Raises
    ------
    ParameterError
        As :func:`zensaibo.pp.recipe`; a folder of another run or with other things; a cluster without workers.
    FormatError
        Counts that are not stored by rows.
    others
        As :func:`zensaibo.pp.recipe`.

    Examples
    --------
    >>> zs.dist.recipe(client, "atlas.h5ad", "out.h5ad", work="/scratch/atlas.parts")       # doctest: +SKIP
    """
    toml = config_toml(config, {} if seed is None else {place: int(seed) for place in _seeds()})
    of = parts_of(client, n_parts, threads)
    folder, target = (os.path.abspath(os.fspath(place)) for place in (work, out))
    source = os.fspath(path) if is_url(path) else os.path.abspath(os.fspath(path))
    with reporting(progress) as callback:
        for step in _core.recipe_steps(toml):
            if step == "markers":
                _core.recipe_merge(source, folder, toml, step, threads=threads, progress=callback)
            _step(client, (source, folder, toml, step), of, threads, callback)
        tail = (_text(report), to_bytes(memory), threads, callback)
        _core.recipe_merge(source, folder, toml, None, target, *tail)
    from anndata import read_h5ad

    return read_h5ad(target)


def _step(
    client: Client, job: tuple[str, str, str, str], of: int, threads: int, callback: Callable[[str, int, int], None] | None
) -> None:
    """Computes all parts of a step."""
    from distributed import as_completed

    name = uuid4().hex
    parts = [
        client.submit(_core.recipe_part, *job, part, of, threads, key=f"zensaibo-{job[3]}-{part}-{name}", pure=False)
        for part in range(1, of + 1)
    ]
    try:
        for done, part in enumerate(as_completed(parts), 1):
            part.result()
            if callback is not None:
                callback(job[3], done, of)
    finally:
        client.cancel([part for part in parts if not part.done()])
