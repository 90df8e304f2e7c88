//! Leiden communities of an undirected weighted graph, straight from compressed sparse rows.
//!
//! One iteration works through levels. At each level nodes are moved one by one to the neighbouring community
//! that raises the objective most, until none can be improved ([`local_move`]); each community is then split
//! again into parts that hang together and are merged at random in proportion to what the merge gains
//! ([`refine`]); and the parts become the nodes of the next, smaller graph ([`aggregate`]), which starts from the
//! communities found so far. The level at which no two nodes share a community ends the iteration. When iterations
//! find nothing more, the method looks further afield by new starts on a coarse copy of the graph ([`explore`]).
//!
//! Objectives, with `A` the symmetric weight matrix, `k` its row sums, `2m` their total and `c` the labels:
//!
//! | [`Objective`]  | sum over pairs `i`, `j` with `c_i = c_j` | resolution means |
//! |---|---|---|
//! | `Modularity`   | `(A_ij - resolution k_i k_j / 2m) / 2m`  | multiple of the density expected by chance (Reichardt and Bornholdt) |
//! | `Cpm`          | `(A_ij - resolution) / 2`, `i != j`      | density that a community must exceed (constant Potts model) |
//!
//! Reference: Traag, Waltman, van Eck: From Louvain to Leiden: guaranteeing well-connected communities,
//! Scientific Reports 9, 5233 (2019).

mod aggregate;
mod agreement;
mod engine;
mod explore;
mod levels;
mod local_move;
mod locality;
mod louvain;
mod network;
mod options;
mod prepare;
mod quality;
mod refine;

#[cfg(test)]
mod tests;

pub use agreement::{Agreement, agreement};
pub use engine::{Leiden, leiden};
pub use louvain::louvain;
pub use network::Edges;
pub use options::{LeidenOptions, LouvainOptions, Objective};
pub use quality::modularity;
