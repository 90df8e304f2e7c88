//! Options of the measurements.

use zensaibo_core::{Result, options};

options! {
    /// Options for [`region_properties`](super::region_properties).
    pub struct RegionOptions("im_region_properties") {
        /// Whether surface and sphericity are measured; more than half of the time goes into them.
        pub surface: bool = true,
    }
}

impl RegionOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
