//! Counts with a known truth: cell types in lineages, batches, doublets, trajectories.
//!
//! A [`Simulation`] is a source of rows (cells x genes) that makes each block when it is read, so any number of
//! cells can be streamed to a file in the memory of one block. Counts are negative binomial: each cell draws a
//! Poisson number of bursts, each burst falls on one gene and has a logarithmic size (Fisher 1943, Quenouille
//! 1949), which costs time for the transcripts that are there and none for the many zeros.

mod draw;
mod genes;
mod model;
mod options;
mod pbmc;
#[cfg(test)]
mod tests;

pub use model::{Cell, GeneRole, Simulation};
pub use options::{SimulateOptions, Template};
