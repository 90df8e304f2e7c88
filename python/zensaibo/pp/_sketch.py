"""A sketch of the cells, marked in obs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .. import _keys, arrays
from .._anndata import check_adata, get_matrix, get_obs, start
from .._labels import codes_of
from .._provenance import record
from ..arrays._neighbors import _points
from ..arrays._pca import as_mask
from ..arrays._sketch import _seed, _whole
from ..errors import DataError, ParameterError
from ._pca import _UNSET, _mask

if TYPE_CHECKING:
    from anndata import AnnData

    from .._progress import Progress


def sketch(
    adata: AnnData,
    n_obs: int | None = None,
    fraction: float | None = None,
    *,
    method: str = "geometric",
    use_rep: str | None = None,
    layer: str | None = None,
    mask_var: Any = _UNSET,
    n_comps: int | None = 50,
    groupby: str | None = None,
    key_added: str = "sketch",
    random_state: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Marks a small subset of cells that stands for all and keeps rare kinds, to be analysed in their place.

    Parameters
    ----------
    adata
        Annotated data, in memory or backed by a file, which is then read block by block.
    n_obs
        Cells to choose; with ``groupby`` in each group (a group with no more is taken whole). Exactly one of ``n_obs``
        and ``fraction``.
    fraction
        Share of the cells to choose, 0 to 1; with ``groupby`` of each group. Rounded, and at least one cell where it is
        above 0.
    method
        ``"geometric"``: cells evenly from equal boxes that cover an embedding. ``"leverage"``: cells drawn in
        proportion to what each adds to the space of all.
    use_rep
        Key of ``obsm``. ``None``: ``"X_pca"`` with ``"geometric"``; X itself with ``"leverage"``, so that no components
        are needed before.
    layer
        Only with ``"leverage"`` and no ``use_rep``: layer to use instead of X; logarithms of normalised counts.
    mask_var
        Only with ``"leverage"`` and no ``use_rep``: boolean column of ``var``, or array, of the genes to use; ``None``
        for all. Default: ``"highly_variable"`` if it is there.
    n_comps
        Leading columns of ``use_rep`` to use at most; of X, leading components. ``None``: all (of X: all genes, at
        most 6,000).
    groupby
        Column of ``obs``, such as the sample: each group is sketched by itself, as if there were no others.
    key_added
        Column of ``obs`` to write.
    random_state
        Seed of the draws.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Number of threads; ``None`` for all cores. The result is the same to the last bit for any number, and for a
        file as for memory.
    progress
        ``True`` or ``None``: a bar (``None``: on a terminal or in Jupyter); ``False``: none; or a callable.

    Returns
    -------
    None, or the copy. Writes:

    ``obs[key_added]``
        bool: whether the cell is in the sketch.
    ``obs[key_added + "_leverage"]``
        float64, with ``"leverage"``: the score of each cell.

    Raises
    ------
    ParameterError
        An option out of range; more cells than there are; an option that the method does not use.
    MissingKeyError
        No such embedding, layer, mask or column.
    DataError
        NaN or infinity; cells without a group; a mask that does not fit.
    LimitError
        More than 6,000 genes with ``n_comps=None``.

    See Also
    --------
    zensaibo.tl.project_sketch : brings what was found on the sketch to the other cells.
    zensaibo.arrays.sketch_geometric, zensaibo.arrays.leverage_scores : the methods, with cost and references.

    Notes
    -----
    Geometric: 48 bytes per cell beside the embedding. Leverage of X: three reads per group (blocks without a cell of the
    group are not read), 16 genes^2 bytes (24 with ``n_comps=None``), 8 bytes per cell.

    Examples
    --------
    >>> zs.pp.sketch(adata, 50_000, method="leverage", groupby="sample")        # doctest: +SKIP
    >>> small = adata[adata.obs["sketch"]].to_memory()                          # doctest: +SKIP
    """
    check_adata(adata)
    if method not in ("geometric", "leverage"):
        raise ParameterError(f"parameter `method`: expected 'geometric' or 'leverage', found {method!r}")
    if (n_obs is None) is (fraction is None):
        found = "neither" if n_obs is None else "both"
        raise ParameterError(f"parameters `n_obs`, `fraction`: expected exactly one of them, found {found}")
    if n_obs is not None:
        n_obs = _whole("n_obs", n_obs)
    elif isinstance(fraction, bool) or not isinstance(fraction, (int, float, np.number)) or not 0 <= fraction <= 1:
        raise ParameterError(f"parameter `fraction`: expected a number from 0 to 1, found {fraction!r}")
    if n_comps is not None and _whole("n_comps", n_comps) == 0:
        raise ParameterError("parameter `n_comps`: expected at least 1, or None, found 0")
    seed = _seed(random_state, "random_state")
    if copy and adata.isbacked:
        raise ParameterError("parameter `copy`: expected False with a backed AnnData, found True")
    whole = method == "leverage" and use_rep is None
    if not whole and (layer is not None or mask_var is not _UNSET):
        name = "layer" if layer is not None else "mask_var"
        raise ParameterError(
            f"parameter `{name}`: expected none where an embedding is sketched (method='leverage' without `use_rep` takes it), "
            f"found {layer if layer is not None else mask_var!r}"
        )
    groups = None if groupby is None else get_obs(adata, groupby)
    codes = np.zeros(adata.n_obs, np.uint32) if groups is None else codes_of(groups, f"obs[{groupby!r}]")[0]
    members = [np.flatnonzero(codes == group) for group in range(int(codes.max(initial=0)) + 1)]
    if n_obs is not None and groups is None and n_obs > adata.n_obs:
        raise ParameterError(f"parameter `n_obs`: expected at most the number of cells, {adata.n_obs}, found {n_obs}")

    mask_name, scores = None, None
    if whole:
        matrix = get_matrix(adata, layer=layer, stream=True)
        mask_name, mask = _mask(adata, mask_var, None)
        if mask is not None:
            mask = as_mask(mask, matrix.shape[1], "mask_var")
            if not mask.any():
                raise DataError("`mask_var`: expected at least one gene selected, found none")
        components = n_comps
    else:
        matrix = np.ascontiguousarray(_points(get_matrix(adata, obsm=use_rep or _keys.X_PCA))[:, :n_comps])
        # All columns that are left count.
        mask, components = None, None
    if method == "leverage":
        scores = arrays.leverage_scores(
            matrix, mask=mask, groups=groups, n_comps=components, seed=seed, threads=threads, progress=progress
        )
    chosen = np.zeros(adata.n_obs, bool)
    for rows in members:
        count = min(n_obs, len(rows)) if n_obs is not None else _share(fraction, len(rows))
        if scores is not None:
            drawn = arrays.sample_weighted(scores[rows], count, seed=seed)
        else:
            drawn = arrays.sketch_geometric(matrix[rows], count, seed=seed, threads=threads, progress=progress).indices
        chosen[rows[drawn]] = True

    adata = start(adata, copy)
    adata.obs[key_added] = chosen
    if scores is not None:
        adata.obs[f"{key_added}_leverage"] = scores
    record(
        adata,
        "sketch",
        n_obs=n_obs,
        fraction=None if fraction is None else float(fraction),
        method=method,
        use_rep=None if whole else use_rep or _keys.X_PCA,
        layer=layer,
        mask_var=mask_name if mask_name is None or isinstance(mask_name, str) else "array",
        n_comps=n_comps,
        groupby=groupby,
        key_added=key_added,
        random_state=seed,
    )
    return adata if copy else None


def _share(fraction: Any, n: int) -> int:
    """``fraction`` of n cells, rounded, and one at least where there is any."""
    return min(n, max(round(float(fraction) * n), int(fraction > 0)))
