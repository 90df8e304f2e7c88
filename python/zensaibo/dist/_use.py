"""Passes over matrices and volumes in files on the workers of a Dask cluster."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from inspect import signature
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from .. import _core
from .._shared import machines
from ..errors import ParameterError

if TYPE_CHECKING:
    from distributed import Client, Future


@contextmanager
def use(client: Client, *, n_parts: int | None = None, threads: int = 1) -> Iterator[None]:
    """Within this context, passes over matrices and volumes in files are computed by the workers of a Dask cluster.

    It concerns the functions of :mod:`zensaibo.arrays` that read a :class:`zensaibo.io.FileMatrix` block by block, and those of
    `pp`, `tl` and `get` on an AnnData that is backed by a file: quality control, filters, size factors, variable genes,
    components, projection, Pearson residuals, doublets, leverage scores, markers, sums of groups. And `zensaibo.im.detect_cells` and
    `zensaibo.im.segment_nuclei` of volumes that `zensaibo.im.open` opened from a path (all of them, where there are two). What is in
    memory is computed here as ever, and so is `zensaibo.im.count_regions`, whose cells are few beside the voxels of an atlas.
    For components pass ``chunked=True``: without it the chosen genes are gathered here first, and only that is shared out.

    Each pass is cut into `n_parts` parts, a task of Dask each. A task opens the file anew, takes what the passes before it
    gave, computes its part and hands it back; a part of a worker that dies is computed by another one. Parts are made of
    blocks that the data fix, and are merged in order: the result has the same bits as without this context, for any number of
    workers, parts and threads.

    Parameters
    ----------
    client
        A client of ``dask.distributed``: a local cluster, or one on SLURM, PBS or LSF through dask-jobqueue. All workers
        must see the files under the same paths.
    n_parts
        Parts of each pass; default twice the threads of all workers. More lose less when a worker dies and balance better;
        each costs a task.
    threads
        Threads of each part: 1 where a worker runs as many tasks at once as it has cores.

    Raises
    ------
    ParameterError
        Numbers below 1, or a client without workers.
    FormatError
        A worker finds another file than was opened (raised where the function is called).

    Notes
    -----
    Cost: each part reads its blocks and nothing else, but sums per group and rank sums, which are shared out by genes: there each
    part reads the file. Memory here: the partial results, some bytes per gene and block of 8 MB, and the result; in a worker a few
    blocks and the partial results of earlier passes of the same call. What blocks of nuclei keep from one pass to the next (4 to 8 bytes
    per voxel of bright tissue) is held by the workers as results of Dask, which moves them to disk where memory is short; the labels come
    back here, 4 bytes per voxel.

    Ctrl-C stops the call, and what the workers have not begun is cancelled; a task that runs ends by itself.

    Examples
    --------
    >>> from distributed import Client                                          # doctest: +SKIP
    >>> counts = zs.io.open_matrix("/scratch/atlas.h5ad")                       # doctest: +SKIP
    >>> with zs.dist.use(Client("scheduler:8786")):                             # doctest: +SKIP
    ...     quality = zs.arrays.qc_metrics(counts)
    ...     logged = counts.normalize_total(1e4).log1p()
    ...     variable = zs.arrays.highly_variable_genes(logged)
    """
    token = machines.set(_DaskMachines(client, parts_of(client, n_parts, threads), threads))
    try:
        yield
    finally:
        machines.reset(token)


def parts_of(client: Client, n_parts: int | None, threads: int) -> int:
    """How many parts: as asked, or twice the threads of all workers."""
    for name, value in (("n_parts", n_parts), ("threads", threads)):
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
            raise ParameterError(f"parameter `{name}`: expected a whole number of at least 1, found {value!r}")
    found = n_parts or 2 * sum(client.nthreads().values())
    if found == 0:
        raise ParameterError("parameter `client`: expected a cluster with workers, found none")
    return found


class _DaskMachines:
    """The workers of a cluster."""

    def __init__(self, client: Client, n_parts: int, threads: int) -> None:
        self.client = client
        self.n_parts = n_parts
        self.threads = threads

    def call(self, function: Callable[..., Any], at: int, args: tuple[Any, ...]) -> Any:
        passes = _Passes(self, function, at, args)
        try:
            return function(*args[:at], args[at].shared(passes), *args[at + 1 :])
        except _core.PartDone:
            if passes.failure is None:
                raise
            raise passes.failure from None
        finally:
            passes.release()


class _Passes:
    """The passes of one call, one after the other."""

    def __init__(self, on: _DaskMachines, function: Callable[..., Any], at: int, args: tuple[Any, ...]) -> None:
        self.on = on
        self.function = function.__name__
        # Reports are for the process that asks; threads are those of a part.
        instead = {"threads": on.threads, "progress": None}
        own = [instead.get(name, arg) for name, arg in zip(signature(function).parameters, args, strict=False)]
        # A task rather than scattered data: it is done again where its worker died. As bytes: what goes wrong in opening the file
        # then goes wrong in the part.
        job = pickle.dumps((self.function, at, own))
        self.job: Future = on.client.submit(_itself, job, key=f"zensaibo-{uuid4().hex}", pure=False)
        self.history: list[list[Future]] = []
        # By pass what its parts kept for later ones.
        self.keeping: dict[str, list[Future]] = {}
        self.failure: BaseException | None = None

    def begin(self, stage: str, units: int, keeps: bool) -> _Pending:
        """Has the parts of a pass computed."""
        del units
        try:
            return self._submit(stage, keeps)
        except BaseException as failure:
            self.failure = failure
            raise

    def kept(self, stage: str) -> list[bytes]:
        """What the parts of a pass kept."""
        try:
            return self.on.client.gather(self.keeping[stage])
        except BaseException as failure:
            self.failure = failure
            raise

    def _submit(self, stage: str, keeps: bool) -> _Pending:
        def submit(what: str, function: Callable[..., Any], part: int, *args: Any) -> Future:
            key = f"{self.function}-{self.job.key}-{len(self.history)}-{stage}-{what}-{part}"
            return self.on.client.submit(function, *args, key=key, pure=False)

        parts = range(self.on.n_parts)
        kept = [[(name, futures[part]) for name, futures in self.keeping.items()] for part in parts]
        made = [
            submit("part", _compute, part, self.job, self.history, kept[part], part, self.on.n_parts, keeps) for part in parts
        ]
        if keeps:
            self.keeping[stage] = [submit("kept", _second, part, pair) for part, pair in enumerate(made)]
            made = [submit("units", _first, part, pair) for part, pair in enumerate(made)]
        self.history = [*self.history, made]
        return _Pending(self, made)

    def release(self) -> None:
        """Nobody asks for anything any more."""
        futures = [future for parts in (*self.history, *self.keeping.values()) for future in parts]
        self.on.client.cancel([future for future in futures if not future.done()])
        self.history, self.keeping = [], {}


class _Pending:
    """The parts of a pass on their way."""

    def __init__(self, passes: _Passes, parts: list[Future]) -> None:
        self.passes = passes
        self.parts = parts

    def poll(self) -> tuple[int, list[bytes] | None]:
        """How many parts are there, and all of them once they are."""
        try:
            done = sum(future.done() for future in self.parts)
            if done < len(self.parts):
                for future in self.parts:
                    if future.status in ("error", "cancelled", "lost"):
                        future.result()
                return done, None
            return done, self.passes.on.client.gather(self.parts)
        except BaseException as failure:
            self.passes.failure = failure
            raise

    def cancel(self) -> None:
        """Nobody waits for them any more."""
        self.passes.on.client.cancel(self.parts)


def _itself(job: bytes) -> bytes:
    return job


def _compute(
    job: bytes, history: list[list[bytes]], kept: list[tuple[str, bytes]], part: int, of: int, keeps: bool
) -> bytes | tuple[bytes, bytes]:
    """Runs in a worker: the same call up to the pass after `history`, of which a part is computed."""
    function, at, args = pickle.loads(job)
    shared = args[at].for_part(history, kept, part, of)
    try:
        getattr(_core, function)(*args[:at], shared, *args[at + 1 :])
    except _core.PartDone:
        taken = shared.taken()
        return taken if keeps else taken[0]
    raise RuntimeError(f"{function}: the call in a worker was over before pass {len(history) + 1}; please report it")


def _first(pair: tuple[bytes, bytes]) -> bytes:
    return pair[0]


def _second(pair: tuple[bytes, bytes]) -> bytes:
    return pair[1]
