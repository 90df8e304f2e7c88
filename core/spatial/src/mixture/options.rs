//! Options of the mixture of normal distributions.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Options for [`gaussian_mixture`](super::gaussian_mixture).
    pub struct MixtureOptions("gaussian_mixture") {
        /// Distributions, at least 1 and at most as many as there are rows. More tell finer kinds apart.
        pub n_components: usize = 10,
        /// Starts, at least 1; the one of the largest likelihood stays.
        pub n_init: usize = 1,
        /// Steps of one start at most, at least 1.
        pub max_iter: usize = 100,
        /// A start ends once the mean log-likelihood of a row gains less than this in a step; at least 0.
        pub tol: f64 = 1e-3,
        /// Added to every variance, in squares of the unit of the columns; above 0. Keeps distributions of few or equal rows from
        /// collapsing.
        pub reg_covar: f64 = 1e-6,
        /// Seed of the starts. Each has random numbers of its own: fewer starts are part of more.
        pub seed: u64 = 0,
    }
}

impl MixtureOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [("n_components", self.n_components), ("n_init", self.n_init), ("max_iter", self.max_iter)]
        {
            if value == 0 {
                return Err(Error::parameter(name, "at least 1", value));
            }
        }
        if !(self.tol >= 0.0 && self.tol.is_finite()) {
            return Err(Error::parameter("tol", "a number of at least 0", self.tol));
        }
        if !(self.reg_covar > 0.0 && self.reg_covar.is_finite()) {
            return Err(Error::parameter("reg_covar", "a number above 0", self.reg_covar));
        }
        Ok(())
    }
}
