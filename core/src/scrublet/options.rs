//! Options of Scrublet.

use crate::knn::Metric;
use crate::{Error, Result};

crate::options! {
    /// Options of [`scrublet`](super::scrublet).
    pub struct ScrubletOptions("scrublet") {
        /// Doublets simulated per observed cell, above 0.
        pub sim_doublet_ratio: f64 = 2.0,
        /// Share of doublets expected among the cells, above 0 and below 1.
        pub expected_doublet_rate: f64 = 0.05,
        /// Uncertainty of that share, at least 0. Enters the standard errors only.
        pub stdev_doublet_rate: f64 = 0.02,
        /// Share of the two cells' counts that a simulated doublet keeps, drawn molecule by molecule; above 0 and at
        /// most 1.
        pub synthetic_doublet_umi_subsampling: f64 = 1.0,
        /// Distance between cells: euclidean, cosine or correlation.
        pub knn_dist_metric: Metric = Metric::Euclidean,
        /// Scale each gene to variance 1.
        pub normalize_variance: bool = true,
        /// ln(1 + x) before the cells are brought to one total.
        pub log_transform: bool = false,
        /// Take each gene's mean off.
        pub mean_center: bool = true,
        /// Number of principal components, at least 1; no more than cells and genes allow.
        pub n_prin_comps: usize = 30,
        /// Approximate search (true), exact search (false); unset: exact below 16,384 cells and doublets together.
        pub use_approx_neighbors: Option<bool> = None,
        /// Neighbours of a cell among the observed, at least 1; those among the simulated come on top. Unset: half the
        /// square root of the number of cells.
        pub n_neighbors: Option<usize> = None,
        /// Score above which a cell is called a doublet. Unset: the minimum between the two modes of the scores of
        /// simulated doublets; none is called where there are no two modes.
        pub threshold: Option<f64> = None,
        /// Seed of the simulated doublets and of the approximate search.
        pub random_state: u64 = 0,
    }
}

impl ScrubletOptions {
    fn check(&self) -> Result<()> {
        if !(self.sim_doublet_ratio > 0.0 && self.sim_doublet_ratio.is_finite()) {
            return Err(Error::parameter("sim_doublet_ratio", "a finite number above 0", self.sim_doublet_ratio));
        }
        if !(self.expected_doublet_rate > 0.0 && self.expected_doublet_rate < 1.0) {
            return Err(Error::parameter("expected_doublet_rate", "above 0 and below 1", self.expected_doublet_rate));
        }
        if !(self.stdev_doublet_rate >= 0.0 && self.stdev_doublet_rate.is_finite()) {
            let expected = "a finite number of at least 0";
            return Err(Error::parameter("stdev_doublet_rate", expected, self.stdev_doublet_rate));
        }
        let kept = self.synthetic_doublet_umi_subsampling;
        if !(kept > 0.0 && kept <= 1.0) {
            return Err(Error::parameter("synthetic_doublet_umi_subsampling", "above 0 and at most 1", kept));
        }
        for (name, value) in [("n_prin_comps", self.n_prin_comps), ("n_neighbors", self.n_neighbors.unwrap_or(1))] {
            if value == 0 {
                return Err(Error::parameter(name, "a whole number of at least 1", 0));
            }
        }
        match self.threshold {
            Some(threshold) if !threshold.is_finite() => {
                Err(Error::parameter("threshold", "a finite number, or none", threshold))
            }
            _ => Ok(()),
        }
    }
}
