"""Names of the slots that zensaibo writes into AnnData: scanpy's, in one place."""

#: Where options, seed and version of each call are recorded: ``uns[PROVENANCE][function]``.
PROVENANCE = "zensaibo"

X_PCA = "X_pca"
PCS = "PCs"
PCA = "pca"
X_UMAP = "X_umap"
UMAP = "umap"
NEIGHBORS = "neighbors"
DISTANCES = "distances"
CONNECTIVITIES = "connectivities"
LEIDEN = "leiden"
LOUVAIN = "louvain"
X_DIFFMAP = "X_diffmap"
DIFFMAP_EVALS = "diffmap_evals"
IROOT = "iroot"
DPT_PSEUDOTIME = "dpt_pseudotime"
PAGA = "paga"
X_TSNE = "X_tsne"
TSNE = "tsne"
DRAW_GRAPH = "draw_graph"
LOG1P = "log1p"
HVG = "hvg"
HIGHLY_VARIABLE = "highly_variable"
RANK_GENES_GROUPS = "rank_genes_groups"
SPATIAL = "spatial"

#: Names that scanpy 1.13's v2 preset changes.
V2_NAMES = {X_PCA: "pca", X_UMAP: "umap"}

PRESETS = ("scanpy-v1", "scanpy-v2")


def check_preset(preset: str) -> str:
    """``preset`` if known, else `ParameterError`."""
    from .errors import ParameterError

    if preset not in PRESETS:
        raise ParameterError(f"parameter `preset`: expected one of {', '.join(PRESETS)}, found {preset!r}")
    return preset
