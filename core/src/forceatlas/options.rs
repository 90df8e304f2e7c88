//! What a caller can choose.

use crate::{Error, Result};

crate::options! {
    /// Options of [`force_atlas`](crate::forceatlas::force_atlas).
    pub struct ForceAtlasOptions("draw_graph") {
        /// Steps.
        pub maxiter: usize = 500,
        /// Strength of repulsion, above 0; larger values spread the drawing.
        pub scaling_ratio: f64 = 2.0,
        /// Pull towards the origin, at least 0; holds parts together that no edge joins.
        pub gravity: f64 = 1.0,
        /// How much swinging to and fro is allowed, above 0; larger is faster and less precise.
        pub jitter_tolerance: f64 = 1.0,
        /// Squares narrower than this times their distance push as one; 0 to 2. Smaller is exacter and slower.
        pub theta: f64 = 1.2,
        /// Seed of the random start.
        pub seed: u64 = 0,
    }
}

impl ForceAtlasOptions {
    fn check(&self) -> Result<()> {
        if self.maxiter > 1_000_000 {
            return Err(Error::parameter("maxiter", "at most 1000000 steps", self.maxiter));
        }
        for (name, value) in [("scaling_ratio", self.scaling_ratio), ("jitter_tolerance", self.jitter_tolerance)] {
            if !(value > 0.0 && value <= 1e6) {
                return Err(Error::parameter(name, "a number above 0, at most 1000000", value));
            }
        }
        if !(0.0..=1e6).contains(&self.gravity) {
            return Err(Error::parameter("gravity", "a number from 0 to 1000000", self.gravity));
        }
        if !(0.0..=2.0).contains(&self.theta) {
            return Err(Error::parameter("theta", "a number from 0 to 2", self.theta));
        }
        Ok(())
    }
}
