//! Options of ComBat.

use crate::{Error, Result};

crate::options! {
    /// Options for [`combat_into`](super::combat_into).
    pub struct CombatOptions("combat") {
        /// Largest relative change of an effect at which the posterior estimates count as found; above 0, below 1.
        pub tolerance: f64 = 1e-4,
        /// Rounds after which to give up, at least 1.
        pub max_iter: usize = 1000,
    }
}

impl CombatOptions {
    fn check(&self) -> Result<()> {
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Error::parameter("tolerance", "a number above 0 and below 1", self.tolerance));
        }
        if self.max_iter == 0 {
            return Err(Error::parameter("max_iter", "a whole number of at least 1", 0));
        }
        Ok(())
    }
}
