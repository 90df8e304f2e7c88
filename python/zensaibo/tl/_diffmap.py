"""`zs.tl.diffmap` and `zs.tl.dpt`."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .. import arrays
from .._anndata import get_matrix, start
from .._keys import DIFFMAP_EVALS, DPT_PSEUDOTIME, IROOT, X_DIFFMAP
from .._progress import Progress
from .._provenance import record
from ..errors import DataError, MissingKeyError, ParameterError, ShapeError
from ._graph import check_seed, stored_connectivities

if TYPE_CHECKING:
    from anndata import AnnData


def diffmap(
    adata: AnnData,
    n_comps: int = 15,
    *,
    neighbors_key: str | None = None,
    random_state: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Diffusion map of the neighbour graph, as `scanpy.tl.diffmap`.

    Parameters
    ----------
    adata
        With a neighbour graph (`zs.pp.neighbors`).
    n_comps
        Components, the steady state included; at least 3. With n cells at most n - 1 are written.
    neighbors_key
        Entry of uns that names the graph; default ``"neighbors"``.
    random_state
        Seed of the starting vector; changes rounding only.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm["X_diffmap"]``, float32 (n_obs, n_comps), unit eigenvectors of the
        transition matrix, column 0 the steady state; ``uns["diffmap_evals"]``, float32, the eigenvalues.

    Raises
    ------
    MissingKeyError, ParameterError, DataError
        No such graph; ``n_comps`` out of range; a cell without an edge.

    Notes
    -----
    As scanpy's up to the sign of each column, which here is such that the entry of largest magnitude is positive.
    Reference: Coifman and Lafon 2006; Haghverdi, Büttner, Theis 2015, Bioinformatics 31, 2989.
    """
    adata = start(adata, copy)
    seed = check_seed(random_state)
    graph = stored_connectivities(adata, neighbors_key)
    found = arrays.diffmap(graph, n_comps=n_comps, seed=seed, threads=threads, progress=progress)
    adata.obsm[X_DIFFMAP] = found.vectors
    adata.uns[DIFFMAP_EVALS] = found.values.astype(np.float32)
    record(adata, "diffmap", n_comps=int(n_comps), neighbors_key=neighbors_key, random_state=seed)
    return adata if copy else None


def dpt(
    adata: AnnData,
    n_dcs: int = 10,
    *,
    n_branchings: int = 0,
    min_group_size: float = 0.01,
    allow_kendall_tau_shift: bool = True,
    neighbors_key: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Diffusion pseudotime from a root cell, and branchings, as `scanpy.tl.dpt`.

    Parameters
    ----------
    adata
        With a neighbour graph, a diffusion map (`zs.tl.diffmap`; computed with its defaults and a warning if missing),
        and a root: ``uns["iroot"]``, the index of a cell; or ``uns["xroot"]`` or ``var["xroot"]``, an expression
        profile, whose nearest cell in X is taken and written to ``uns["iroot"]``.
    n_dcs
        Diffusion components to use, from the first.
    n_branchings
        Branchings to look for at most: each splits one group of cells into three branches and what is undecided between
        them. 0: none. (`zs.tl.paga` finds more than trees of few branches.)
    min_group_size
        With branchings: groups of this many cells or fewer are not split; below 1 a fraction of all cells.
    allow_kendall_tau_shift
        With branchings: let a branch that would take more than 95% of its group have 5% less.
    neighbors_key
        Entry of uns that names the graph; default ``"neighbors"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obs["dpt_pseudotime"]``, float32, 0 at the root, 1 at the furthest cell,
        infinite where the graph does not lead. With branchings also

        - ``obs["dpt_groups"]``, categories "0", "1", ...: group of each cell; the undecided cells keep the number of the
          group that was split;
        - ``obs["dpt_order_indices"]``, int: all cells by group and within it by pseudotime; ``obs["dpt_order"]``, int:
          the place of each cell in that order;
        - ``uns["dpt_changepoints"]``, int: the places in the order where a group begins; ``uns["dpt_grouptips"]``, int
          (groups, 2): the two cells at the ends of each group, the one nearer to the root first.

    Raises
    ------
    MissingKeyError
        No graph, or no root.
    ParameterError
        ``n_dcs`` above the components there are; an option out of range; a root that is no cell.
    DataError
        Branchings of a graph of several parts, between which no distance is finite (scanpy finds none there).

    Notes
    -----
    A cell that no branch takes stays with the undecided cells of the group it was in; scanpy calls it "0" whichever that
    was. Distances are taken in float64 where scanpy takes float32, which can move a branch's last cells.
    References: Haghverdi et al. 2016, Nature Methods 13, 845; Wolf et al. 2019, Genome Biology 20, 59.
    """
    splits: dict[str, Any] = {"min_group_size": min_group_size, "allow_kendall_tau_shift": allow_kendall_tau_shift}
    adata = start(adata, copy)
    graph = stored_connectivities(adata, neighbors_key)
    root = _root(adata)
    if X_DIFFMAP not in adata.obsm:
        warnings.warn(
            "`X_diffmap` is missing: computing it by zensaibo.tl.diffmap with its defaults; call that yourself to choose",
            UserWarning,
            stacklevel=2,
        )
        diffmap(adata, neighbors_key=neighbors_key, threads=threads, progress=progress)
    if DIFFMAP_EVALS not in adata.uns:
        raise MissingKeyError(f"key `{DIFFMAP_EVALS}` not found in adata.uns: run `zs.tl.diffmap` first")
    vectors, values = np.asarray(adata.obsm[X_DIFFMAP]), np.asarray(adata.uns[DIFFMAP_EVALS])
    found = arrays.pseudotime(graph, vectors, values, root=root, n_dcs=n_dcs, threads=threads, progress=progress)
    branches = None
    if n_branchings != 0:
        branches = arrays.dpt_branchings(
            graph,
            vectors,
            values,
            root=root,
            n_dcs=n_dcs,
            n_branchings=n_branchings,
            **splits,
            threads=threads,
            progress=progress,
        )
    adata.uns[IROOT] = root
    adata.obs[DPT_PSEUDOTIME] = found
    if branches is not None:
        categories = [str(group) for group in range(len(branches.tips))]
        adata.obs["dpt_groups"] = pd.Categorical.from_codes(branches.groups, categories)
        places = np.empty_like(branches.order)
        places[branches.order] = np.arange(adata.n_obs)
        adata.obs["dpt_order"] = places
        adata.obs["dpt_order_indices"] = branches.order
        adata.uns["dpt_changepoints"] = branches.changepoints
        adata.uns["dpt_grouptips"] = branches.tips
        splits = {"n_branchings": int(n_branchings), **splits}
    else:
        splits = {"n_branchings": 0}
    record(adata, "dpt", n_dcs=int(n_dcs), **splits, neighbors_key=neighbors_key, root=root)
    return adata if copy else None


def _root(adata: AnnData) -> int:
    """Index of the root cell."""
    if IROOT in adata.uns:
        root: Any = adata.uns[IROOT]
        root = root.item() if hasattr(root, "item") and np.ndim(root) == 0 else root
        if not isinstance(root, int) or isinstance(root, bool) or not 0 <= root < adata.n_obs:
            raise ParameterError(f"`adata.uns['iroot']`: expected the index of a cell, 0 to {adata.n_obs - 1}, found {root!r}")
        return root
    if "xroot" in adata.uns:
        profile = adata.uns["xroot"]
    elif "xroot" in adata.var:
        profile = adata.var["xroot"]
    else:
        raise MissingKeyError(
            "key `iroot` not found in adata.uns: name the root cell, as in "
            "adata.uns['iroot'] = numpy.flatnonzero(adata.obs['cell_type'] == 'stem')[0]"
        )
    profile = np.asarray(profile, dtype=np.float64).ravel()
    if len(profile) != adata.n_vars:
        raise ShapeError(f"`xroot`: expected {adata.n_vars} values, one for each gene, found {len(profile)}")
    if not np.isfinite(profile).all():
        raise DataError("`xroot`: expected finite values, found others")
    matrix = get_matrix(adata)
    if sparse.issparse(matrix):
        squares = np.asarray(matrix.multiply(matrix).sum(axis=1), dtype=np.float64).ravel()
    else:
        squares = np.einsum("ij,ij->i", matrix, matrix, dtype=np.float64)
    return int(np.argmin(squares - 2 * np.asarray(matrix @ profile).ravel()))
