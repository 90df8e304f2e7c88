//! Dissociated cells and tissue brought together: cells get a place, places get genes and labels, spots get their mixture.
//!
//! - [`principal_vectors`]: the directions in gene space that both sides have, and both sides' cells along them.
//! - [`neighbor_weights`]: the nearest cells of the other side, weighted as SpaGE weights them.
//! - [`tangram()`]: Tangram's objective, by analytic gradients, over [`Candidates`] or over all pairs.
//! - [`weighted_rows`], [`weighted_places`], [`label_shares`]: what a matrix of weights carries over.
//! - [`deconvolve()`]: spots as mixtures of types, by weighted least squares of what is not negative ([`nnls`]).
//!
//! No matrix of all cells by all places is formed unless all pairs are asked for. The promises of `zensaibo_core` hold: the
//! same bits for any number of threads, and a parameter is used or refused.

mod candidates;
mod deconvolve;
mod neighbors;
mod nnls;
mod options;
mod tangram;
#[cfg(test)]
mod tests;
mod transfer;
mod vectors;

pub use candidates::{Candidates, candidates};
pub use deconvolve::{Deconvolution, Signatures, deconvolve};
pub use neighbors::{NeighborWeights, neighbor_weights};
pub use nnls::nnls;
pub use options::{DeconvolveOptions, NeighborWeightsOptions, PrincipalVectorsOptions, TangramOptions, Weighting};
pub use tangram::{Loss, Tangram, TangramInput, tangram};
pub use transfer::{label_shares, weighted_places, weighted_rows};
pub use vectors::{PrincipalVectors, principal_vectors};
