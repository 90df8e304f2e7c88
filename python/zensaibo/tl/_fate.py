"""`zs.tl.fate_probabilities`."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import get_obs, get_obsm, get_uns, start
from .._keys import DIFFMAP_EVALS, DPT_PSEUDOTIME, X_DIFFMAP
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, MissingKeyError, NonFiniteError, ParameterError
from ._graph import check_seed

if TYPE_CHECKING:
    from anndata import AnnData


def fate_probabilities(
    adata: AnnData,
    terminal_states: str | Mapping[str, Any],
    *,
    pseudotime: str = DPT_PSEUDOTIME,
    n_dcs: int = 10,
    n_neighbors: int = 30,
    random_state: int = 0,
    key_added: str = "fate",
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Probabilities of each cell to end in each terminal state, as Palantir computes them, over all cells.

    Parameters
    ----------
    adata
        With a diffusion map (`zs.tl.diffmap`) and a pseudotime (`zs.tl.dpt`), finite for every cell.
    terminal_states
        ``{name: cells}``, cells by name or by index, one or several; or a column of obs that holds the name of the state
        at terminal cells and is missing (NaN) at all others.
    pseudotime
        Column of obs.
    n_dcs
        Diffusion components to use, the steady state counted.
    n_neighbors
        Nearest cells in diffusion space that a step may lead to, the cell itself counted; at least 4.
    random_state
        Seed of the sample of an approximate neighbour search.
    key_added
        Name under which results are written.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm[key_added + "_probabilities"]``, a table of float64 with a column for
        each state, rows sum to 1; ``obs[key_added + "_entropy"]``, nats: how undecided a cell is. A warning counts cells
        from which no terminal state is reached; their rows are 0.

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        A diffusion map, pseudotime or cell that is missing; a cell in two states; pseudotime that is not finite; a graph
        in parts; options out of range.

    Notes
    -----
    Terminal states are handed in, not guessed. Reference: Setty et al. 2019, Nature Biotechnology 37, 451.
    """
    seed = check_seed(random_state)
    adata = start(adata, copy)
    vectors, values = np.asarray(get_obsm(adata, X_DIFFMAP)), np.asarray(get_uns(adata, DIFFMAP_EVALS))
    time = np.asarray(get_obs(adata, pseudotime), dtype=np.float64)
    if not np.isfinite(time).all():
        raise NonFiniteError(
            f"`adata.obs[{pseudotime!r}]`: expected finite values, found {int((~np.isfinite(time)).sum())} that are not; "
            "leave out cells that the root does not reach"
        )
    names, terminal = _terminal(adata, terminal_states)
    found = arrays.fate_probabilities(
        vectors,
        values,
        time,
        terminal=terminal,
        n_dcs=n_dcs,
        n_neighbors=n_neighbors,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    if found.unreached:
        warnings.warn(
            f"{found.unreached} cells reach no terminal state: their probabilities are 0", UserWarning, stacklevel=2
        )
    adata.obsm[f"{key_added}_probabilities"] = pd.DataFrame(found.probabilities, index=adata.obs_names, columns=names)
    adata.obs[f"{key_added}_entropy"] = found.entropy
    record(
        adata,
        "fate_probabilities",
        terminal_states={name: int((terminal == fate).sum()) for fate, name in enumerate(names)},
        pseudotime=pseudotime,
        n_dcs=int(n_dcs),
        n_neighbors=int(n_neighbors),
        random_state=seed,
        key_added=key_added,
    )
    return adata if copy else None


def _terminal(adata: AnnData, states: str | Mapping[str, Any]) -> tuple[list[str], np.ndarray]:
    """Names of the states, and the state of each cell or -1."""
    if isinstance(states, str):
        column = pd.Categorical(get_obs(adata, states))
        used = [k for k in range(len(column.categories)) if (column.codes == k).any()]
        if not used:
            raise DataError(f"`adata.obs[{states!r}]`: expected a name at the terminal cells, found none")
        terminal = np.full(adata.n_obs, -1)
        for fate, code in enumerate(used):
            terminal[column.codes == code] = fate
        return [str(column.categories[code]) for code in used], terminal
    if not isinstance(states, Mapping) or not states:
        raise ParameterError(f"parameter `terminal_states`: expected a column of obs or {{name: cells}}, found {states!r}")
    terminal = np.full(adata.n_obs, -1)
    for fate, (name, cells) in enumerate(states.items()):
        for cell in [cells] if isinstance(cells, (str, int, np.integer)) else list(cells):
            place = _place(adata, cell)
            if terminal[place] not in (-1, fate):
                raise ParameterError(f"parameter `terminal_states`: expected each cell in one state, found {cell!r} in two")
            terminal[place] = fate
        if not (terminal == fate).any():
            raise ParameterError(f"parameter `terminal_states`: expected a cell for every state, found none for {name!r}")
    return [str(name) for name in states], terminal


def _place(adata: AnnData, cell: Any) -> int:
    """Index of a cell."""
    if isinstance(cell, (int, np.integer)) and not isinstance(cell, (bool, np.bool_)):
        if not 0 <= cell < adata.n_obs:
            raise ParameterError(
                f"parameter `terminal_states`: expected cells from 0 to {adata.n_obs - 1}, found {int(cell)}"
            )
        return int(cell)
    if cell not in adata.obs_names:
        raise MissingKeyError(f"key `{cell}` not found in adata.obs_names")
    return int(adata.obs_names.get_loc(cell))
