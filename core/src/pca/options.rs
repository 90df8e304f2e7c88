//! Options of principal component analysis.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// How the leading components are found. All routes converge to `tolerance`; none is a sketch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Solver {
    /// The cheaper of the two, estimated from the number of genes and of non-zeros.
    Auto,
    /// The exact g x g matrix of products, accumulated in f64, and its leading eigenpairs.
    #[serde(alias = "covariance_eigh")]
    Gram,
    /// Block Lanczos with products of the data only. The names of other iterations are accepted for it.
    #[serde(alias = "arpack", alias = "randomized", alias = "lobpcg")]
    Krylov,
}

crate::options! {
    /// Options for [`pca`](crate::pca::pca).
    pub struct PcaOptions("pca") {
        /// Number of components; 1 to min(cells - 1, genes). Unset: 50, or one less than the smaller side of the
        /// matrix when that is fewer.
        pub n_comps: Option<usize> = None,
        /// Whether to take each gene's mean off (implicitly: nothing becomes dense). Without it this is a truncated
        /// singular value decomposition.
        pub zero_center: bool = true,
        /// Bring each gene to unit variance first, as `scale` does, without making anything dense. Needs zero_center.
        pub scale: bool = false,
        /// With scale: cut scaled values to -max_value..max_value; in standard deviations, greater than 0. Unset: no cut.
        pub max_value: Option<f64> = None,
        /// "auto", "gram" (also "covariance_eigh") or "krylov" (also "arpack", "randomized", "lobpcg").
        pub svd_solver: Solver = Solver::Auto,
        /// Reads the source again for each look instead of gathering it: memory does not grow with the number of
        /// non-zeros. The result is the same.
        pub chunked: bool = false,
        /// Cells spread out at once as a dense panel in the gram route; 1 or more, only with `chunked`. Unset: 512.
        /// Changes memory, time and the last bits.
        pub chunk_size: Option<usize> = None,
        /// Residual at which a component counts as found, relative to its eigenvalue; above 0, below 0.01.
        pub tolerance: f64 = 1e-7,
        /// Seed of the start vectors. Changes the result by less than the tolerance.
        pub random_state: u64 = 0,
    }
}

impl PcaOptions {
    fn check(&self) -> Result<()> {
        if self.n_comps == Some(0) {
            return Err(Error::parameter("n_comps", "at least 1, or unset", 0));
        }
        match self.chunk_size {
            Some(0) => return Err(Error::parameter("chunk_size", "at least 1, or unset", 0)),
            Some(size) if !self.chunked => {
                return Err(Error::parameter("chunk_size", "unset, or `chunked = true` beside it", size));
            }
            _ => {}
        }
        if self.scale && !self.zero_center {
            return Err(Error::parameter("zero_center", "true with `scale`", false));
        }
        match self.max_value {
            Some(limit) if !(limit > 0.0 && limit.is_finite()) => {
                return Err(Error::parameter("max_value", "a finite number above 0, or unset", limit));
            }
            Some(limit) if !self.scale => {
                return Err(Error::parameter("max_value", "unset, or `scale = true` beside it", limit));
            }
            _ => {}
        }
        if !(self.tolerance > 0.0 && self.tolerance < 0.01) {
            return Err(Error::parameter("tolerance", "above 0 and below 0.01", self.tolerance));
        }
        Ok(())
    }
}
