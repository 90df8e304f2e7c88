//! RNA velocity: where each cell's expression is heading, from spliced and unspliced counts.
//!
//! Counts are averaged over each cell's neighbours ([`moments`]); per gene the ratio of unspliced to spliced at steady
//! state is fitted, and what a cell has beyond it is its velocity ([`velocity`]). Differences to neighbours that point the
//! way of the velocity make a graph ([`velocity_graph`]), its entries transition probabilities ([`transition_matrix`]),
//! and these arrows in an embedding ([`velocity_embedding`]).
//!
//! Shapes: n cells x g genes, row by row; graphs n x n.
//!
//! References: La Manno et al. 2018, RNA velocity of single cells, Nature 560, 494; Bergen, Lange, Peidli, Wolf, Theis
//! 2020, Generalizing RNA velocity to transient cell states through dynamical modeling, Nature Biotechnology 38, 1408.

mod embedding;
mod fit;
mod graph;
mod moments;
mod options;
mod transitions;

#[cfg(test)]
mod tests;

pub use embedding::velocity_embedding;
pub use fit::{Velocity, velocity};
pub use graph::{VelocityGraph, velocity_graph};
pub use moments::moments;
pub use options::{TransitionOptions, VelocityEmbeddingOptions, VelocityGraphOptions, VelocityMode, VelocityOptions};
pub use transitions::transition_matrix;
