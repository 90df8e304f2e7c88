//! Several files taken as one matrix: cells one after the other, genes joined by name.
//!
//! Genes are joined as anndata's `concat` joins them: those of all files in the order of the first (inner), or those of any
//! file in alphabetical order (outer; in the order of the files where all have the same).

mod file;
mod genes;
mod rows;
mod tables;

pub use file::{ConcatOptions, concat_files, joined_genes, subset_file};
pub use genes::{Join, JoinedGenes, join_genes};
pub use rows::{ConcatPart, ConcatRows};
pub use tables::{concat_tables, same_columns};
