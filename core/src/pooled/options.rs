//! Options of pooled size factors.

use crate::{Error, Result};

crate::options! {
    /// Options for [`pooled_size_factors`](super::pooled_size_factors).
    pub struct PooledOptions("pooled_size_factors") {
        /// Numbers of cells per pool, each at least 1; sizes above the number of cells of a cluster are left out there.
        /// More sizes and larger ones are more precise and slower.
        pub sizes: Vec<usize> = (21..=101).step_by(5).collect(),
        /// Mean count, at least 0, that a gene needs in the average cell to take part; larger leaves fewer genes, with
        /// fewer zeros.
        pub min_mean: f64 = 0.1,
    }
}

impl PooledOptions {
    fn check(&self) -> Result<()> {
        if self.sizes.is_empty() || self.sizes.contains(&0) {
            let found = format!("{:?}", self.sizes);
            return Err(Error::parameter("sizes", "at least one whole number, each of at least 1", found));
        }
        if !(self.min_mean >= 0.0 && self.min_mean.is_finite()) {
            return Err(Error::parameter("min_mean", "a finite number of at least 0", self.min_mean));
        }
        Ok(())
    }
}
