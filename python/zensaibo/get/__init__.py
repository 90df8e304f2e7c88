"""Results as tables."""

from ._rank_genes_groups_df import rank_genes_groups_df

__all__ = [
    "rank_genes_groups_df",
]
