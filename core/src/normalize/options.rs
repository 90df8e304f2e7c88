//! Options of total-count normalisation.

use crate::options;
use crate::{Error, Result};

options! {
    /// Options for [`size_factors`](super::size_factors).
    pub struct NormalizeTotalOptions("normalize_total") {
        /// Total of every cell afterwards; greater than 0. None: the median of the totals of the cells that
        /// are not empty.
        pub target_sum: Option<f64> = None,
        /// Leave genes that make up more than `max_fraction` of some cell out of the totals (not out of the matrix).
        pub exclude_highly_expressed: bool = false,
        /// Fraction of a cell's total, 0 to 1, above which a gene counts as highly expressed.
        /// Ignored unless `exclude_highly_expressed` is set.
        pub max_fraction: f64 = 0.05,
    }
}

impl NormalizeTotalOptions {
    fn check(&self) -> Result<()> {
        if let Some(target) = self.target_sum
            && !(target > 0.0 && target.is_finite())
        {
            return Err(Error::parameter("target_sum", "a finite number above 0", target));
        }
        if !(0.0..=1.0).contains(&self.max_fraction) {
            return Err(Error::parameter("max_fraction", "a number from 0 to 1", self.max_fraction));
        }
        Ok(())
    }
}
