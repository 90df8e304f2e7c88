//! Options of logistic regression.

use crate::{Error, Result};

crate::options! {
    /// Options for [`fit`](crate::logistic::fit).
    pub struct LogisticOptions("logistic") {
        /// Inverse strength of the penalty on the weights; above 0. Larger values fit the cells more closely.
        pub c: f64 = 1.0,
        /// Whether classes get intercepts, which are not penalised.
        pub fit_intercept: bool = true,
        /// Iterations at most, 1 or more.
        pub max_iter: usize = 1000,
        /// Largest entry of the gradient of the mean loss at which the fit counts as found; 0 or more. Smaller values
        /// take longer and change less.
        pub tol: f64 = 1e-4,
    }
}

impl LogisticOptions {
    fn check(&self) -> Result<()> {
        if !(self.c > 0.0 && self.c.is_finite()) {
            return Err(Error::parameter("c", "a finite number above 0", self.c));
        }
        if self.max_iter == 0 {
            return Err(Error::parameter("max_iter", "at least 1", 0));
        }
        if !(self.tol >= 0.0 && self.tol.is_finite()) {
            return Err(Error::parameter("tol", "a finite number of at least 0", self.tol));
        }
        Ok(())
    }
}
