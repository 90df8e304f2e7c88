//! Options of scaling.

use crate::{Error, Result};

crate::options! {
    /// Options for scaling genes to unit variance.
    pub struct ScaleOptions("scale") {
        /// Take the mean of each gene off before dividing. Sparse data become dense then.
        pub zero_center: bool = true,
        /// Cut scaled values above this, and with zero_center those below its negative too; in standard deviations,
        /// greater than 0. None: no cut.
        pub max_value: Option<f64> = None,
    }
}

impl ScaleOptions {
    fn check(&self) -> Result<()> {
        match self.max_value {
            Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
                Err(Error::parameter("max_value", "a finite number above 0, or none", limit))
            }
            _ => Ok(()),
        }
    }
}
