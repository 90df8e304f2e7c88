//! Options of mapping and deconvolution.

use zensaibo_core::knn::Algorithm;
use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Options for [`principal_vectors`](crate::principal_vectors).
    pub struct PrincipalVectorsOptions("principal_vectors") {
        /// Principal components of each side, at least 1 and at most the number of genes and of cells less one. Unset: 50, or
        /// as many as there can be.
        pub n_components: Option<usize> = None,
        /// Principal vectors of a cosine above this are kept; 0 to below 1. Larger keeps only what both sides surely share.
        pub min_cosine: f64 = 0.3,
    }
}

impl PrincipalVectorsOptions {
    fn check(&self) -> Result<()> {
        if self.n_components == Some(0) {
            return Err(Error::parameter("n_components", "at least 1, or unset", 0));
        }
        if !(0.0..1.0).contains(&self.min_cosine) {
            return Err(Error::parameter("min_cosine", "0 to below 1", self.min_cosine));
        }
        Ok(())
    }
}

zensaibo_core::options! {
    /// Options for [`neighbor_weights`](crate::neighbor_weights).
    pub struct NeighborWeightsOptions("neighbor_weights") {
        /// Nearest cells of the other side that are averaged, at least 1; all of them where there are fewer. Larger is smoother.
        pub n_neighbors: usize = 50,
        /// auto (exact below 16,384 cells of the other side), exact or approximate.
        pub algorithm: Algorithm = Algorithm::Auto,
    }
}

impl NeighborWeightsOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighbors == 0 {
            return Err(Error::parameter("n_neighbors", "at least 1", 0));
        }
        Ok(())
    }
}

zensaibo_core::options! {
    /// Options for [`tangram`](crate::tangram()). Names and defaults are Tangram's.
    pub struct TangramOptions("tangram") {
        /// Weight of the mean cosine of each gene over the places; above 0.
        pub lambda_g1: f64 = 1.0,
        /// Weight of the mean cosine of each place over the genes, at least 0.
        pub lambda_g2: f64 = 0.0,
        /// Weight of the divergence from the given density, at least 0. Unset: 1 with a density, 0 without.
        pub lambda_d: Option<f64> = None,
        /// Weight of the entropy of each cell's distribution, at least 0. Larger gives each cell fewer places.
        pub lambda_r: f64 = 0.0,
        /// Step of Adam, above 0.
        pub learning_rate: f64 = 0.1,
        /// Steps of Adam, at least 1.
        pub num_epochs: usize = 1000,
        /// Seed of the start: standard normal numbers of a stream per cell.
        pub seed: u64 = 0,
    }
}

impl TangramOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [("lambda_g1", self.lambda_g1), ("learning_rate", self.learning_rate)] {
            if !(value > 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number above 0", value));
            }
        }
        let lambda_d = self.lambda_d.unwrap_or(0.0);
        for (name, value) in [("lambda_g2", self.lambda_g2), ("lambda_d", lambda_d), ("lambda_r", self.lambda_r)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number of at least 0", value));
            }
        }
        if self.num_epochs == 0 {
            return Err(Error::parameter("num_epochs", "at least 1", 0));
        }
        Ok(())
    }
}

/// How much each gene counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// By one over the variance that a mixture of such cells has.
    Variance,
    /// By one over the squared expected value (dampened weighted least squares).
    Dampened,
    /// All genes alike.
    Equal,
}

zensaibo_core::options! {
    /// Options for [`deconvolve`](crate::deconvolve()).
    pub struct DeconvolveOptions("deconvolve") {
        /// variance, dampened or equal.
        pub weighting: Weighting = Weighting::Variance,
        /// Largest weight over the smallest, at least 1. Larger trusts genes of low expression more. Not used by equal.
        pub dampening: f64 = 10_000.0,
        /// Rounds of fitting and weighting at most, at least 1. Not used by equal.
        pub max_iterations: usize = 30,
        /// Stop when no share changes by more than this, above 0. Not used by equal.
        pub tolerance: f64 = 1e-4,
    }
}

impl DeconvolveOptions {
    fn check(&self) -> Result<()> {
        if !(self.dampening >= 1.0 && self.dampening.is_finite()) {
            return Err(Error::parameter("dampening", "a finite number of at least 1", self.dampening));
        }
        if self.max_iterations == 0 {
            return Err(Error::parameter("max_iterations", "at least 1", 0));
        }
        if !(self.tolerance > 0.0 && self.tolerance < 1.0) {
            return Err(Error::parameter("tolerance", "above 0 and below 1", self.tolerance));
        }
        Ok(())
    }
}
