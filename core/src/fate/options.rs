//! What a caller can choose.

use crate::{Error, Result};

crate::options! {
    /// Options of [`fate_probabilities`](crate::fate::fate_probabilities).
    pub struct FateOptions("fate_probabilities") {
        /// Nearest cells that a step may lead to, the cell itself counted; at least 4. With fewer cells, all of them.
        pub n_neighbors: usize = 30,
        /// Seed of the sample of an approximate neighbour search.
        pub seed: u64 = 0,
    }
}

impl FateOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighbors < 4 {
            return Err(Error::parameter("n_neighbors", "at least 4 (the cell itself counts)", self.n_neighbors));
        }
        Ok(())
    }
}
