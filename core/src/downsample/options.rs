//! Options of drawing counts.

use crate::Result;

crate::options! {
    /// Options for [`downsample_counts`](super::downsample_counts).
    pub struct DownsampleOptions("downsample_counts") {
        /// Put each molecule back before the next is drawn.
        pub replace: bool = false,
        /// Seed of the draws.
        pub random_state: u64 = 0,
    }
}

impl DownsampleOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
