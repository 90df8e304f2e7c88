//! Options of the joint graph.

use crate::{Error, Result};

crate::options! {
    /// Options for [`wnn`](crate::wnn::wnn).
    pub struct WnnOptions("wnn") {
        /// Neighbours per cell, the cell itself counted; at least 2. Used in each modality and in the joint graph.
        pub n_neighbors: usize = 20,
        /// Cells that the width of a kernel is averaged over; at least 1.
        pub n_bandwidth_neighbors: usize = 20,
        /// Nearest cells of each modality that may become joint neighbours; at least 1.
        pub n_multineighbors: usize = 200,
        /// Seed of the approximate search of neighbours; the exact one is free of chance.
        pub seed: u64 = 0,
    }
}

impl WnnOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighbors < 2 {
            return Err(Error::parameter("n_neighbors", "at least 2 (the cell itself counts)", self.n_neighbors));
        }
        for (name, value) in
            [("n_bandwidth_neighbors", self.n_bandwidth_neighbors), ("n_multineighbors", self.n_multineighbors)]
        {
            if value == 0 {
                return Err(Error::parameter(name, "at least 1", 0));
            }
        }
        if self.n_multineighbors + 1 < self.n_neighbors {
            let expected = format!("at least n_neighbors - 1, {}", self.n_neighbors - 1);
            return Err(Error::parameter("n_multineighbors", expected, self.n_multineighbors));
        }
        Ok(())
    }
}
