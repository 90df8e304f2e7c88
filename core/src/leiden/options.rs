//! What a caller can choose.

use crate::{Error, Result};

/// What a good partition maximises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// Modularity with a resolution (Reichardt and Bornholdt's configuration model).
    Modularity,
    /// The constant Potts model, free of the resolution limit.
    Cpm,
}

crate::options! {
    /// Options of [`leiden`](crate::leiden::leiden).
    pub struct LeidenOptions("leiden") {
        /// Coarseness of the partition; at least 0, finite. Larger values give more, smaller communities.
        /// For `cpm` it is a density in units of edge weight, typically well below 1.
        pub resolution: f64 = 1.0,
        /// What is maximised: `modularity` or `cpm`.
        pub objective: Objective = Objective::Modularity,
        /// Iterations of the whole method, each starting from the partition of the one before; at least 1, or -1 to
        /// iterate until one gains nothing worth having (see `tolerance`). Only with -1 are new starts on a coarse copy
        /// of the graph tried, too.
        pub n_iterations: i64 = -1,
        /// With `n_iterations = -1`, an iteration that raises the objective by no more than this share of it is the last;
        /// at least 0, below 1. 0 goes on until no label changes, which takes large graphs several times as long.
        pub tolerance: f64 = 1e-4,
        /// Randomness of the refinement, in units of the mean edge weight; at least 0, finite. A part is merged with
        /// probability proportional to exp(gain / theta); 0 always takes the best merge.
        pub theta: f64 = 0.3,
        /// Whether edge weights count. If not, every edge of positive weight counts 1.
        pub use_weights: bool = true,
        /// Seed of every random choice. The partition does not depend on the number of threads.
        pub seed: u64 = 0,
    }
}

impl LeidenOptions {
    fn check(&self) -> Result<()> {
        if !(self.resolution.is_finite() && self.resolution >= 0.0) {
            return Err(Error::parameter("resolution", "a finite number of at least 0", self.resolution));
        }
        if !(self.theta.is_finite() && self.theta >= 0.0) {
            return Err(Error::parameter("theta", "a finite number of at least 0", self.theta));
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return Err(Error::parameter("tolerance", "a number of at least 0, below 1", self.tolerance));
        }
        if self.n_iterations < 1 && self.n_iterations != -1 {
            return Err(Error::parameter(
                "n_iterations",
                "at least 1, or -1 for until nothing changes",
                self.n_iterations,
            ));
        }
        Ok(())
    }
}

crate::options! {
    /// Options of [`louvain`](crate::leiden::louvain).
    pub struct LouvainOptions("louvain") {
        /// Coarseness of the partition; at least 0, finite. Larger values give more, smaller communities.
        pub resolution: f64 = 1.0,
        /// What is maximised: `modularity` or `cpm`.
        pub objective: Objective = Objective::Modularity,
        /// Whether edge weights count. If not, every edge of positive weight counts 1.
        pub use_weights: bool = false,
        /// Seed of the order of visits. The partition does not depend on the number of threads.
        pub seed: u64 = 0,
    }
}

impl LouvainOptions {
    fn check(&self) -> Result<()> {
        if !(self.resolution.is_finite() && self.resolution >= 0.0) {
            return Err(Error::parameter("resolution", "a finite number of at least 0", self.resolution));
        }
        Ok(())
    }
}
