//! Options of comparisons.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Comparison of counts of structures between two groups.
    pub struct CompareRegionsOptions("im_compare_regions") {
        /// Dispersion of the negative binomial distribution, at least 0 (0: Poisson); absent: estimated from the
        /// finest structures that are tested, one for all.
        pub dispersion: Option<f64> = None,
        /// Cells in all samples together below which a structure is not tested.
        pub min_cells: f64 = 10.0,
        /// Coverage of the confidence intervals, between 0 and 1.
        pub coverage: f64 = 0.95,
    }
}

impl CompareRegionsOptions {
    fn check(&self) -> Result<()> {
        if let Some(dispersion) = self.dispersion
            && !(0.0..=1e4).contains(&dispersion)
        {
            return Err(Error::parameter("dispersion", "0 to 10000", dispersion));
        }
        if !(self.min_cells >= 1.0 && self.min_cells.is_finite()) {
            return Err(Error::parameter("min_cells", "at least 1 cell", self.min_cells));
        }
        if !(self.coverage > 0.0 && self.coverage < 1.0) {
            return Err(Error::parameter("coverage", "a number between 0 and 1", self.coverage));
        }
        Ok(())
    }
}

/// What is compared at a voxel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Statistic {
    /// The difference of the means over its standard error, each group with its own variance.
    Welch,
    /// The difference of the means.
    Difference,
}

/// Which differences count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Alternative {
    /// Either way.
    TwoSided,
    /// The first group above the second.
    Greater,
    /// The first group below the second.
    Less,
}

/// What the family-wise error is controlled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Control {
    /// The largest statistic of all voxels: each voxel is judged.
    Max,
    /// The voxels of the largest cluster: each cluster is judged.
    Cluster,
}

zensaibo_core::options! {
    /// Comparison of volumes of two groups, voxel by voxel.
    pub struct CompareVolumesOptions("im_compare_volumes") {
        /// "welch" or "difference".
        pub statistic: Statistic = Statistic::Welch,
        /// "two-sided", "greater" (the first group above the second) or "less".
        pub alternative: Alternative = Alternative::TwoSided,
        /// Shuffles, the one observed among them. Where no more are possible, every one is made once.
        pub n_permutations: usize = 1000,
        /// What the family-wise error is controlled by: "max" (voxels) or "cluster" (clusters by their extent).
        pub control: Control = Control::Max,
        /// With "cluster": the statistic beyond which voxels form clusters, touching by faces, edges or corners.
        pub threshold: f64 = 3.0,
        /// Seed of the shuffles. Threads and blocks change nothing.
        pub seed: u64 = 0,
    }
}

impl CompareVolumesOptions {
    fn check(&self) -> Result<()> {
        if !(2..=1_000_000).contains(&self.n_permutations) {
            return Err(Error::parameter("n_permutations", "2 to 1000000", self.n_permutations));
        }
        if self.control == Control::Cluster && !(self.threshold > 0.0 && self.threshold.is_finite()) {
            return Err(Error::parameter("threshold", "a number above 0", self.threshold));
        }
        Ok(())
    }
}
