//! Options of local scores of two values.

use zensaibo_core::{Error, Result};

/// Which score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Local {
    /// Weighted cosine of the two values among the neighbours.
    Cosine,
    /// Weighted correlation among the neighbours.
    Pearson,
    /// The same of ranks over all cells.
    Spearman,
    /// Weight of the neighbours with both values above 0, over that with either.
    Jaccard,
    /// Product of the weighted sums of the neighbours.
    Product,
    /// The same, each sum divided by its largest absolute value.
    NormProduct,
    /// Local Moran's R: each value of the cell times the other's weighted sum among the neighbours, both standardised, weights
    /// with mean row sum 1.
    Morans,
    /// Local Lee's L: product of the weighted sums of the standardised values, over the mean square of the sums of weights.
    Lee,
}

zensaibo_core::options! {
    /// Options for [`bivariate`](super::bivariate).
    pub struct BivariateOptions("bivariate") {
        /// "cosine", "pearson", "spearman", "jaccard", "product", "norm_product", "morans" or "lee".
        pub local_name: Local = Local::Cosine,
        /// Permutations of the cells, at least 1, both values moving together. Unset: none, no p values.
        pub n_perms: Option<u64> = None,
        /// Whether p values are of scores at least as large, instead of at least as far from zero.
        pub mask_negatives: bool = false,
        /// Seed of the permutations. Each has random numbers of its own: fewer are part of more.
        pub seed: u64 = 0,
    }
}

impl BivariateOptions {
    fn check(&self) -> Result<()> {
        if self.n_perms == Some(0) {
            return Err(Error::parameter("n_perms", "at least 1, or unset", 0));
        }
        Ok(())
    }
}
