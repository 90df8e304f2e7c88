//! Options of the neighbour search and of the weights.

use crate::{Error, Result};

/// How far apart two rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Metric {
    /// Straight-line distance.
    Euclidean,
    /// 1 - cosine of the angle; a row of zeros is at distance 1 from every other row.
    Cosine,
    /// 1 - Pearson correlation of the two rows; a constant row is refused.
    Correlation,
}

/// Which search.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Algorithm {
    /// Exact below [`KnnOptions::exact_below`] rows, approximate from there on.
    Auto,
    /// Every pair is looked at: the true neighbours, in time n^2.
    Exact,
    /// Nearby clusters only: recall as `effort` sets it.
    Approximate,
}

crate::options! {
    /// Options of [`knn`](super::knn).
    pub struct KnnOptions("knn") {
        /// Neighbours per row, the row itself included and counted first; at least 2 and at most the number
        /// of rows. Larger values join more distant cells.
        pub n_neighbors: usize = 15,
        /// Distance: euclidean, cosine or correlation.
        pub metric: Metric = Metric::Euclidean,
        /// auto, exact or approximate.
        pub algorithm: Algorithm = Algorithm::Auto,
        /// With algorithm auto: number of rows from which the search is approximate.
        pub exact_below: usize = 16_384,
        /// How hard the approximate search looks: factor on how far beyond a row's present neighbours a cluster
        /// may lie and on how many clusters may be looked at; greater than 0. Larger values find more of the true
        /// neighbours and take longer (recall at 100,000 generated cells: 0.992 to 0.998 at 1, by how much of the data is noise); from 2 on every
        /// cluster that can hold a neighbour is looked at, up to the number allowed. Ignored by the exact search.
        pub effort: f64 = 1.0,
        /// Seed of the sample that the clusters are learnt from. Ignored by the exact search.
        pub seed: u64 = 0,
    }
}

impl KnnOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighbors < 2 {
            return Err(Error::parameter("n_neighbors", "at least 2 (the row itself counts)", self.n_neighbors));
        }
        if !(self.effort > 0.0 && self.effort.is_finite()) {
            return Err(Error::parameter("effort", "a finite number greater than 0", self.effort));
        }
        Ok(())
    }
}
