//! What a caller can choose.

use crate::{Error, Result};

/// How the steady-state ratio is fitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VelocityMode {
    /// Least squares of unspliced on spliced over the cells with most of both.
    Deterministic,
    /// As `deterministic`, and then together with variances and covariances over neighbours.
    Stochastic,
}

crate::options! {
    /// Options of [`velocity`](crate::velocity::velocity).
    pub struct VelocityOptions("velocity") {
        /// `deterministic` (the steady-state model) or `stochastic` (which adds second moments).
        pub mode: VelocityMode = VelocityMode::Stochastic,
        /// Percentile, 0 to 100: the ratio is fitted on cells whose sum of spliced and unspliced, each over its maximum,
        /// is at or above it.
        pub perc: f64 = 95.0,
        /// A velocity gene must have a coefficient of determination above this.
        pub min_r2: f64 = 0.01,
        /// A velocity gene must have a ratio of unspliced to spliced above this.
        pub min_ratio: f64 = 0.01,
        /// Whether the coefficient of determination is that of a fit on all cells, not on the extreme ones.
        pub r2_adjusted: bool = false,
    }
}

impl VelocityOptions {
    fn check(&self) -> Result<()> {
        if !(0.0..=100.0).contains(&self.perc) {
            return Err(Error::parameter("perc", "a percentile from 0 to 100", self.perc));
        }
        for (name, value) in [("min_r2", self.min_r2), ("min_ratio", self.min_ratio)] {
            if !value.is_finite() {
                return Err(Error::parameter(name, "a finite number", value));
            }
        }
        Ok(())
    }
}

crate::options! {
    /// Options of [`velocity_graph`](crate::velocity::velocity_graph).
    pub struct VelocityGraphOptions("velocity_graph") {
        /// How far a cell looks: 1 for its neighbours, 2 for theirs as well, at most 3.
        pub n_recurse_neighbors: usize = 2,
        /// Whether differences and velocities are replaced by their square roots, signs kept.
        pub sqrt_transform: bool = false,
    }
}

impl VelocityGraphOptions {
    fn check(&self) -> Result<()> {
        if !(1..=3).contains(&self.n_recurse_neighbors) {
            return Err(Error::parameter("n_recurse_neighbors", "1, 2 or 3", self.n_recurse_neighbors));
        }
        Ok(())
    }
}

crate::options! {
    /// Options of [`transition_matrix`](crate::velocity::transition_matrix).
    pub struct TransitionOptions("transition_matrix") {
        /// Inverse width of the kernel exp(scale x cosine); above 0, at most 50. Larger values favour the best fit.
        pub scale: f64 = 10.0,
        /// Whether a cell may stay, the more likely the worse its best fit is.
        pub self_transitions: bool = true,
        /// Whether neighbours against the velocity get negative entries in place of small ones.
        pub use_negative_cosines: bool = false,
        /// Whether to go against the velocities: the matrix is transposed before rows are scaled.
        pub backward: bool = false,
    }
}

impl TransitionOptions {
    fn check(&self) -> Result<()> {
        if !(self.scale > 0.0 && self.scale <= 50.0) {
            return Err(Error::parameter("scale", "a number above 0, at most 50", self.scale));
        }
        Ok(())
    }
}

crate::options! {
    /// Options of [`velocity_embedding`](crate::velocity::velocity_embedding).
    pub struct VelocityEmbeddingOptions("velocity_embedding") {
        /// Whether arrows are scaled by one factor to a length that can be drawn; directions and ratios stay.
        pub autoscale: bool = true,
    }
}

impl VelocityEmbeddingOptions {
    fn check(&self) -> Result<()> {
        Ok(())
    }
}
