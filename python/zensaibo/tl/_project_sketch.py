"""`tl.project_sketch`: what was found on a sketch, brought to all cells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import arrays
from .._anndata import check_adata, get_matrix, get_obs, get_obsm, start
from .._keys import UMAP, X_PCA, X_UMAP
from .._labels import codes_of
from .._progress import Progress
from .._provenance import record
from ..arrays._neighbors import _points
from ..errors import DataError, DuplicateNamesError, MissingKeyError, ParameterError
from ._reference import Projection, label_keys

if TYPE_CHECKING:
    from anndata import AnnData


def project_sketch(
    adata: AnnData,
    sketch: str | AnnData = "sketch",
    *,
    obs: str | list[str] | None = None,
    umap: bool = True,
    use_rep: str | None = None,
    n_neighbors: int = 15,
    random_state: int = 0,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """Labels and places of all cells, from their nearest cells in an analysed sketch (`zs.pp.sketch`).

    Cells of the sketch keep what they have; the others get theirs from the sketch.

    Parameters
    ----------
    adata
        All cells, in memory or backed by a file, which is then read block by block.
    sketch
        The analysed sketch: an AnnData of some of the cells (matched by ``obs_names``) with `zs.pp.pca`, its genes all or
        some of those of ``adata`` (matched by name), normalised alike; all cells are projected along its components. Or
        the boolean column of ``adata.obs`` that marks it, where labels, layout and an embedding of all cells lie in
        ``adata`` itself; what cells outside the sketch have of these labels and places is replaced.
    obs
        Columns of labels to carry over.
    umap
        Place cells in the sketch's UMAP (`zs.tl.umap`) too.
    use_rep
        Key of ``obsm``, in ``adata`` and the sketch, to search for neighbours in: ``"X_pca"`` where that of the sketch is a
        part of that of all cells. ``None``: components of a sketch AnnData are projected; else ``"X_pca"``.
    n_neighbors
        Cells of the sketch that vote, 1 to all of them. Larger is smoother, and loses kinds with few cells in the sketch.
    random_state
        Seed of the places in the UMAP.
    copy
        Return a changed copy instead of changing ``adata``.
    threads, progress
        See `zensaibo.arrays.knn_query`. The result is the same for any number of threads, and for a file as for memory.

    Returns
    -------
    None, or the copy. Writes:

    ``obs[key]``, ``obs[key + "_confidence"]``
        For each key of ``obs``: the label of most weight among the neighbours (categorical; ties: the first category),
        and its share of the weight (float64; 1 for cells of the sketch). The weight of a neighbour at distance d is
        exp(-d^2 / 2 m^2), where m is the mean distance of the cell's neighbours.
    ``obsm["X_pca"]``
        float32, where it was projected.
    ``obsm["X_umap"]``
        float32, with ``umap``.

    Raises
    ------
    MissingKeyError
        Components, an embedding, a layout or a column that is not there.
    DataError
        Cells or genes of the sketch that ``adata`` lacks, or names that come twice; a sketch whose X is not what its
        components were made from; cells of the sketch without a label or a place; NaN; a sketch without cells.
    ParameterError
        A column that is not boolean; more neighbours than cells of the sketch; an option out of range.

    See Also
    --------
    zensaibo.tl.ingest, zensaibo.tl.map_to_reference : cells that are not those of the reference.

    Notes
    -----
    Cost: one read of X, and the search of `zensaibo.arrays.knn_query`; 8 bytes per cell and component, 16 per cell and
    neighbour. For a sketch corrected by Harmony use `zs.tl.map_to_reference`, or give ``use_rep``.

    Examples
    --------
    >>> zs.tl.project_sketch(adata, small, obs="leiden")                        # doctest: +SKIP
    """
    check_adata(adata)
    if not isinstance(umap, (bool, np.bool_)):
        raise ParameterError(f"parameter `umap`: expected True or False, found {umap!r}")
    if copy and adata.isbacked:
        raise ParameterError("parameter `copy`: expected False with a backed AnnData, found True")
    rows = _rows_of(adata, sketch)
    source: AnnData = adata[rows] if isinstance(sketch, str) else sketch
    apart = not isinstance(sketch, str)
    keys = label_keys(source, obs)
    where = "sketch" if apart else "adata"
    if umap and (X_UMAP not in source.obsm or UMAP not in source.uns):
        raise MissingKeyError(
            f"key `{X_UMAP}` not found in {where}.obsm, or `{UMAP}` not in {where}.uns: run `zs.tl.umap` on the sketch "
            "first, or give umap=False"
        )
    # Refused before any work.
    known_labels = {key: codes_of(get_obs(source, key), f"obs[{key!r}]") for key in keys}

    rep = use_rep or X_PCA
    projected = apart and use_rep is None
    known = _points(get_obsm(source, rep))
    if projected:
        coordinates = _project(adata, source, threads=threads, progress=progress)
        coordinates[rows] = known
    else:
        coordinates = _points(get_obsm(adata, rep))
    rest = np.ones(adata.n_obs, bool)
    rest[rows] = False
    nearest = weights = None
    if rest.any():
        nearest = arrays.knn_query(known, coordinates[rest], n_neighbors, threads=threads, progress=progress)
        weights = _weights(nearest.distances)
    places = None
    if umap:
        layout = _points(get_obsm(source, X_UMAP))
        places = np.empty((adata.n_obs, layout.shape[1]), np.float32)
        places[rows] = layout
        if nearest is not None:
            curve = source.uns[UMAP]["params"]
            places[rest] = arrays.umap_place(
                nearest, layout, a=curve["a"], b=curve["b"], seed=random_state, threads=threads, progress=progress
            )

    adata = start(adata, copy)
    if projected:
        adata.obsm[X_PCA] = coordinates
    if places is not None:
        adata.obsm[X_UMAP] = places
    for key, (known_codes, categories) in known_labels.items():
        codes, confidence = np.empty(adata.n_obs, np.int64), np.ones(adata.n_obs)
        codes[rows] = known_codes
        if nearest is not None:
            known_column = pd.Categorical.from_codes(known_codes, categories=categories)
            votes = arrays.vote(nearest.indices, known_column, weights=weights)
            codes[rest], confidence[rest] = votes.labels.codes, votes.confidence
        adata.obs[key] = pd.Categorical.from_codes(codes, categories=categories)
        adata.obs[f"{key}_confidence"] = confidence
    record(
        adata,
        "project_sketch",
        sketch=sketch if not apart else "AnnData",
        n_sketch=len(rows),
        obs=keys,
        umap=bool(umap),
        use_rep=rep,
        n_neighbors=n_neighbors,
        random_state=random_state,
    )
    return adata if copy else None


def _rows_of(adata: AnnData, sketch: str | AnnData) -> np.ndarray:
    """Rows of ``adata`` that are the cells of the sketch, in its order."""
    if isinstance(sketch, str):
        column = get_obs(adata, sketch)
        if column.dtype != bool:
            raise ParameterError(f"parameter `sketch`: expected a boolean column of obs, found {sketch!r} of dtype {column.dtype}")
        rows = np.flatnonzero(column.to_numpy())
    else:
        check_adata(sketch, "sketch")
        for names, which in ((adata.obs_names, "adata"), (sketch.obs_names, "sketch")):
            if not names.is_unique:
                twice = names[names.duplicated()][0]
                raise DuplicateNamesError(f"`{which}.obs_names`: expected each cell once, found {twice!r} more than once")
        rows = adata.obs_names.get_indexer(sketch.obs_names)
        absent = sketch.obs_names[rows < 0]
        if len(absent):
            raise DataError(
                f"`sketch.obs_names`: expected cells of `adata`, found {len(absent)} others, the first {absent[0]!r}; for cells "
                "of other data see `zs.tl.ingest`"
            )
    if not len(rows):
        raise DataError("`sketch`: expected at least one cell, found none")
    return rows


def _project(adata: AnnData, sketch: AnnData, *, threads: int | None, progress: Any) -> np.ndarray:
    """Coordinates of all cells along the components of the sketch. Components are put in the order of the genes of
    ``adata``, not the other way round: its matrix may lie in a file."""
    hint = "was it scaled or normalised since, or are they the components of all cells (then give use_rep='X_pca')?"
    projection = Projection(sketch, "sketch", hint)
    for names, which in ((adata.var_names, "adata"), (sketch.var_names, "sketch")):
        if not names.is_unique:
            twice = names[names.duplicated()][0]
            raise DuplicateNamesError(f"`{which}.var_names`: expected each gene once, found {twice!r} more than once")
    places = adata.var_names.get_indexer(sketch.var_names)
    absent = sketch.var_names[projection.used & (places < 0)]
    if len(absent):
        raise DataError(
            f"`adata.var_names`: expected all {int(projection.used.sum())} genes that the components of the sketch use, found "
            f"{len(absent)} missing, the first {absent[0]!r}"
        )
    there = places >= 0
    components = np.zeros((projection.loadings.shape[1], adata.n_vars))
    components[:, places[there]] = projection.loadings[there].T
    center = None
    if projection.center is not None:
        center = np.zeros(adata.n_vars)
        center[places[there]] = projection.center[there]
    matrix = get_matrix(adata, layer=projection.layer, stream=True)
    return arrays.pca_project(matrix, components, center=center, threads=threads, progress=progress)


def _weights(distances: np.ndarray) -> np.ndarray:
    """exp(-d^2 / 2 m^2) with the mean distance m of each row; 1 where all are 0."""
    distances = distances.astype(np.float64)
    mean = distances.mean(axis=1, keepdims=True)
    return np.exp(-0.5 * (distances / np.where(mean > 0, mean, 1.0)) ** 2)
