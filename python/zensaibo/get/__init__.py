"""Results as tables."""

from ._aggregate import aggregate
from ._rank_genes_groups_df import rank_genes_groups_df

__all__ = [
    "aggregate",
    "rank_genes_groups_df",
]
