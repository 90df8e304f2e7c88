//! Options of Harmony.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Which Harmony.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Flavor {
    /// As published in 2019: penalty (E + 1) / (O + 1), one ridge penalty for all, assignments carried over from
    /// one correction to the next, centroids moved in every round.
    Harmony1,
    /// The second version: bounded penalty (2 E + 1) / (O + E + 1), ridge penalty in proportion to the expected
    /// number of cells, batches that are absent from a cluster left out, assignments made anew after each
    /// correction, centroids moved by the correction.
    Harmony2,
}

/// Strength of the diversity penalty.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Theta {
    /// The same for every batch key.
    One(f64),
    /// One number per batch key.
    Each(Vec<f64>),
}

/// How the iterations stop: rounds at most, tolerance of the rounds, tolerance of the corrections.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stopping {
    pub(super) rounds: usize,
    pub(super) tol_clustering: f64,
    pub(super) tol_harmony: f64,
}

crate::options! {
    /// Options of [`harmony`](super::harmony).
    pub struct HarmonyOptions("harmony_integrate") {
        /// harmony1 or harmony2.
        pub flavor: Flavor = Flavor::Harmony2,
        /// Number of clusters, 1 to the number of cells. Unset: cells / 30, at least 2 and at most 100.
        pub n_clusters: Option<usize> = None,
        /// Corrections at most, at least 1.
        pub max_iter_harmony: usize = 10,
        /// Rounds of soft clustering before each correction at most, at least 1. Unset: 4 (harmony2), 200 (harmony1).
        pub max_iter_clustering: Option<usize> = None,
        /// Relative fall of the objective below which no further correction is made, at least 0. Unset: 0.01
        /// (harmony2), 0.0001 (harmony1).
        pub tol_harmony: Option<f64> = None,
        /// Relative change of the objective, over windows of three rounds, below which clustering stops, at least 0.
        /// Unset: 0.001 (harmony2), 0.00001 (harmony1).
        pub tol_clustering: Option<f64> = None,
        /// Width of soft clustering, above 0. Smaller values make assignments harder.
        pub sigma: f64 = 0.1,
        /// Strength of the diversity penalty, at least 0: one number, or one per batch key. Larger values mix more;
        /// with 0 a key does not influence the clustering.
        pub theta: Theta = Theta::One(2.0),
        /// Protects small batches: theta of a batch of N cells is multiplied with 1 - exp(-(N / (n_clusters tau))^2).
        /// At least 0; 0 is off.
        pub tau: f64 = 0.0,
        /// Ridge penalty of each batch in the correction, above 0. Used by harmony1; must be left at 1 with harmony2.
        pub ridge_lambda: f64 = 1.0,
        /// Ridge penalty as a share of the expected number of cells of a batch in a cluster, above 0. Used by
        /// harmony2; must be left at 0.2 with harmony1.
        pub alpha: f64 = 0.2,
        /// A batch of which less than this share lies in a cluster is not corrected there; 0 to 1, unset: never left
        /// out. Used by harmony2; must be left at 0.00001 with harmony1.
        pub batch_prune_threshold: Option<f64> = Some(1e-5),
        /// Share of the cells whose assignments are renewed at once, above 0 and at most 1. Smaller values follow the
        /// penalty more closely and take longer.
        pub block_proportion: f64 = 0.05,
        /// Seed of the start of k-means and of the order of renewal.
        pub random_state: u64 = 0,
    }
}

impl HarmonyOptions {
    fn check(&self) -> Result<()> {
        let at_least_one = [
            ("n_clusters", self.n_clusters.unwrap_or(1)),
            ("max_iter_harmony", self.max_iter_harmony),
            ("max_iter_clustering", self.max_iter_clustering.unwrap_or(1)),
        ];
        for (name, value) in at_least_one {
            if value == 0 {
                return Err(Error::parameter(name, "a whole number of at least 1", 0));
            }
        }
        let positive = [("sigma", self.sigma), ("ridge_lambda", self.ridge_lambda), ("alpha", self.alpha)];
        for (name, value) in positive {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number above 0", value));
            }
        }
        let not_negative = [
            ("tau", self.tau),
            ("tol_harmony", self.tol_harmony.unwrap_or(0.0)),
            ("tol_clustering", self.tol_clustering.unwrap_or(0.0)),
        ];
        let thetas = match &self.theta {
            Theta::One(theta) => std::slice::from_ref(theta),
            Theta::Each(thetas) => thetas,
        };
        for (name, value) in not_negative.into_iter().chain(thetas.iter().map(|&theta| ("theta", theta))) {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number of at least 0", value));
            }
        }
        if !(self.block_proportion > 0.0 && self.block_proportion <= 1.0) {
            return Err(Error::parameter("block_proportion", "above 0 and at most 1", self.block_proportion));
        }
        if let Some(threshold) = self.batch_prune_threshold
            && !(0.0..=1.0).contains(&threshold)
        {
            return Err(Error::parameter("batch_prune_threshold", "from 0 to 1, or none", threshold));
        }
        self.check_flavor()
    }

    /// Refuses what the flavor would not look at.
    fn check_flavor(&self) -> Result<()> {
        let usual = Self::default();
        match self.flavor {
            Flavor::Harmony1 if self.alpha != usual.alpha => {
                Err(Error::parameter("alpha", "0.2 (the default) with harmony1, which uses ridge_lambda", self.alpha))
            }
            Flavor::Harmony1 if self.batch_prune_threshold != usual.batch_prune_threshold => {
                let found = self.batch_prune_threshold.map_or("none".to_string(), |threshold| threshold.to_string());
                let expected = "0.00001 (the default) with harmony1, which leaves no batch out";
                Err(Error::parameter("batch_prune_threshold", expected, found))
            }
            Flavor::Harmony2 if self.ridge_lambda != usual.ridge_lambda => {
                let expected = "1 (the default) with harmony2, which uses alpha";
                Err(Error::parameter("ridge_lambda", expected, self.ridge_lambda))
            }
            _ => Ok(()),
        }
    }

    /// The rules of stopping, those of the flavor where unset.
    pub(super) fn stopping(&self) -> Stopping {
        let usual = match self.flavor {
            Flavor::Harmony1 => Stopping { rounds: 200, tol_clustering: 1e-5, tol_harmony: 1e-4 },
            Flavor::Harmony2 => Stopping { rounds: 4, tol_clustering: 1e-3, tol_harmony: 1e-2 },
        };
        Stopping {
            rounds: self.max_iter_clustering.unwrap_or(usual.rounds),
            tol_clustering: self.tol_clustering.unwrap_or(usual.tol_clustering),
            tol_harmony: self.tol_harmony.unwrap_or(usual.tol_harmony),
        }
    }
}
