//! Options of neighbours in space.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Options for [`nearest`](super::nearest()).
    pub struct SpatialKnnOptions("spatial_neighbors_knn") {
        /// Neighbours of each cell, itself left out; at least 1 and fewer than there are cells.
        pub n_neighs: usize = 6,
    }
}

impl SpatialKnnOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighs == 0 {
            return Err(Error::parameter("n_neighs", "at least 1", 0));
        }
        Ok(())
    }
}
