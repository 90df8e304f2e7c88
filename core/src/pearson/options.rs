//! Options of Pearson residuals.

use super::check;
use crate::Result;
use crate::hvg::Bound;

crate::options! {
    /// Options for [`pearson_residuals_into`](super::pearson_residuals_into).
    pub struct PearsonOptions("normalize_pearson_residuals") {
        /// Overdispersion of the negative binomial model, shared by all genes; greater than 0, larger means closer to
        /// Poisson, infinity is Poisson.
        pub theta: Bound = Bound(100.0),
        /// Residuals are cut to -clip..clip; at least 0. None: the square root of the number of cells.
        pub clip: Option<f64> = None,
        /// Look whether the values are raw counts.
        pub check_values: bool = true,
    }
}

impl PearsonOptions {
    fn check(&self) -> Result<()> {
        check(self.theta.0, self.clip)
    }
}
