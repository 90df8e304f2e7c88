//! Options of batch-balanced neighbours.

use crate::knn::{Algorithm, Metric};
use crate::{Error, Result};

crate::options! {
    /// Options of [`balanced_neighbors`](super::balanced_neighbors).
    pub struct BbknnOptions("bbknn") {
        /// Neighbours of each cell in each batch, at least 1; the cell itself counts in its own. Larger values join
        /// batches more.
        pub neighbors_within_batch: usize = 3,
        /// Distance: euclidean, cosine or correlation.
        pub metric: Metric = Metric::Euclidean,
        /// auto, exact or approximate; auto: approximate in batches of at least 4,096 cells where there are at least
        /// 16,384 in all.
        pub algorithm: Algorithm = Algorithm::Auto,
    }
}

impl BbknnOptions {
    fn check(&self) -> Result<()> {
        if self.neighbors_within_batch == 0 {
            return Err(Error::parameter("neighbors_within_batch", "at least 1", 0));
        }
        Ok(())
    }
}
