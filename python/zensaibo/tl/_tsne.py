"""`zs.tl.tsne`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import arrays
from .._anndata import start
from .._keys import TSNE, X_TSNE
from .._progress import Progress
from .._provenance import record
from ..pp._neighbors import _representation
from ._graph import check_seed

if TYPE_CHECKING:
    from anndata import AnnData


def tsne(
    adata: AnnData,
    n_pcs: int | None = None,
    *,
    use_rep: str | None = None,
    perplexity: float = 30,
    metric: str = "euclidean",
    early_exaggeration: float = 12,
    learning_rate: float | str = 1000,
    random_state: int = 0,
    key_added: str | None = None,
    copy: bool = False,
    threads: int | None = None,
    progress: bool | Progress | None = None,
) -> AnnData | None:
    """t-SNE of the cells, as `scanpy.tl.tsne`; the same coordinates for any number of threads.

    Parameters
    ----------
    adata
        Annotated cells x genes.
    n_pcs
        Columns of the representation to use; default all.
    use_rep
        ``"X"`` or a key of obsm; default ``X_pca`` if there are more than 50 genes (computed with a warning if it is
        missing), else X.
    perplexity
        Effective number of neighbours of a cell; 5 to 50 as a rule, below the number of cells.
    metric
        ``"euclidean"``, ``"cosine"`` or ``"correlation"``.
    early_exaggeration
        Factor on attraction in the first 250 of 1000 steps.
    learning_rate
        Length of steps; ``"auto"`` is cells / exaggeration, which is right for 20,000 cells and more.
    random_state
        Seed, a whole number.
    key_added
        Entry of obsm and uns to write in place of ``"X_tsne"`` and ``"tsne"``.
    copy
        Return a changed copy instead of changing ``adata``.
    threads
        Threads; default all cores. Changes the time and nothing else.
    progress
        ``True``, ``False``, a callable ``(stage, done, total)``, or ``None``: bars on a terminal or in Jupyter.

    Returns
    -------
    AnnData or None
        The copy if ``copy=True``. Written: ``obsm["X_tsne"]``, float32 (n_obs, 2); ``uns["tsne"]`` with ``params`` and
        ``kl_divergence``.

    Raises
    ------
    MissingKeyError, ParameterError, TooFewError
        No such representation; an option out of range; fewer than 4 cells.

    Notes
    -----
    Starts from the first two principal axes. Not the coordinates of scikit-learn: the same objective, descended in an
    order that does not depend on threads. Reference: van der Maaten 2014, JMLR 15, 3221.
    """
    seed = check_seed(random_state)
    adata = start(adata, copy)
    points = _representation(adata, use_rep, n_pcs, seed, threads, progress)
    found = arrays.tsne(
        points,
        perplexity=perplexity,
        metric=metric,
        early_exaggeration=early_exaggeration,
        learning_rate=learning_rate,
        seed=seed,
        threads=threads,
        progress=progress,
    )
    params = {
        "perplexity": perplexity,
        "early_exaggeration": early_exaggeration,
        "learning_rate": learning_rate,
        "metric": metric,
        "random_state": seed,
    }
    if use_rep is not None:
        params["use_rep"] = use_rep
    if n_pcs is not None:
        params["n_pcs"] = int(n_pcs)
    adata.obsm[key_added or X_TSNE] = found.coordinates
    adata.uns[key_added or TSNE] = {"params": params, "kl_divergence": found.kl_divergence}
    record(adata, "tsne", **params, key_added=key_added)
    return adata if copy else None
