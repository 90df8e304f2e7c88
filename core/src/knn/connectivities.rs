//! Weighted graphs from nearest neighbours: umap, gauss, jaccard.
//!
//! Each method gives a row of directed weights per row of neighbours; joining a graph with its transpose makes
//! the symmetric result. All arithmetic happens row by row, so threads change nothing.

mod gauss;
mod jaccard;
mod join;
mod umap;

#[cfg(test)]
mod tests;

pub(crate) use umap::row_weights;

use super::Neighbors;
use crate::graph::Graph;
use crate::options::Options;
use crate::{Ctx, Error, Result};

/// How distances become weights.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Fuzzy simplicial set (McInnes, Healy and Melville 2018): exp(-(d - rho) / sigma), where rho is the
    /// distance of the nearest other row and sigma makes the weights of a row sum to log2(k); the two
    /// directions of an edge join as a + b - a b.
    Umap,
    /// Gaussian kernel of adaptive width (Coifman et al. 2005; Haghverdi et al. 2016):
    /// sqrt(2 s_i s_j / (s_i^2 + s_j^2)) exp(-d^2 / (s_i^2 + s_j^2)), where s_i^2 is the median squared
    /// distance of row i's neighbours; an edge of one direction holds in both.
    Gauss,
    /// Shared neighbours (Levine et al. 2015): size of the intersection over that of the union of two rows'
    /// neighbours, halved where only one of the two lists the other.
    Jaccard,
}

crate::options! {
    /// Options of [`connectivities`](super::connectivities).
    pub struct ConnectivitiesOptions("connectivities") {
        /// umap, gauss or jaccard.
        pub method: Method = Method::Umap,
        /// With method umap: number of nearest neighbours that are surely connected; at least 0. Larger values
        /// join more at short range. Fractions interpolate.
        pub local_connectivity: f64 = 1.0,
        /// With method umap: 1 joins the two directions of an edge as a union, 0 as an intersection.
        pub set_op_mix_ratio: f64 = 1.0,
    }
}

impl ConnectivitiesOptions {
    fn check(&self) -> Result<()> {
        if !(self.local_connectivity >= 0.0 && self.local_connectivity.is_finite()) {
            let expected = "a finite number of at least 0";
            return Err(Error::parameter("local_connectivity", expected, self.local_connectivity));
        }
        if !(0.0..=1.0).contains(&self.set_op_mix_ratio) {
            return Err(Error::parameter("set_op_mix_ratio", "a number from 0 to 1", self.set_op_mix_ratio));
        }
        Ok(())
    }
}

/// The weighted, symmetric graph of the neighbours.
///
/// `neighbors`: n rows of k neighbours, the row itself first (a row that does not name itself first is taken as it
/// is; entries of a row that name itself get no weight). Returns a [`Graph`] without self-loops or zero weights.
///
/// Deterministic. Cost: O(n k log k) time, about 24 n k bytes beside the result.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for neighbours that fail
/// [`Neighbors::check`], fewer than 2 per row, or a neighbour named twice in a row; [`Error::Interrupted`].
pub fn connectivities(neighbors: &Neighbors, options: &ConnectivitiesOptions, ctx: &Ctx) -> Result<Graph> {
    options.validate()?;
    neighbors.check()?;
    if neighbors.k < 2 && neighbors.n > 0 {
        let expected = "at least 2 neighbours per row (the row itself counts)";
        return Err(Error::data(crate::DataFault::TooFew, "neighbours", expected, neighbors.k));
    }
    let _stage = ctx.stage("connectivities", 0);
    match options.method {
        Method::Umap => umap::weights(neighbors, options, ctx),
        Method::Gauss => gauss::weights(neighbors, ctx),
        Method::Jaccard => jaccard::weights(neighbors, ctx),
    }
}
