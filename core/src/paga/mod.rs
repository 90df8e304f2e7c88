//! Partition-based graph abstraction: how strongly groups of cells hang together on a neighbour graph.
//!
//! Edges of the graph are counted between groups ([`count`]); a count is compared with what chance would give
//! ([`connectivities`]); and the strongest links that join all groups are picked out ([`tree`]).
//!
//! Reference: Wolf, Hamey, Plass et al. 2019, PAGA: graph abstraction reconciles clustering with trajectory inference
//! through a topology preserving map of single cells, Genome Biology 20, 59.

mod connectivities;
mod count;
mod options;
mod tree;

#[cfg(test)]
mod tests;

pub use connectivities::{Paga, paga, transitions_confidence};
pub use options::{PagaModel, PagaOptions};
