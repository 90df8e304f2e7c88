//! Options of spatial autocorrelation.

use zensaibo_core::{Error, Result};

/// Which statistic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Moran's I: near 1 where neighbours are alike, -1 / (n - 1) by chance.
    Moran,
    /// Geary's C: near 0 where neighbours are alike, 1 by chance.
    Geary,
}

zensaibo_core::options! {
    /// Options for [`spatial_autocorr`](super::spatial_autocorr).
    pub struct AutocorrOptions("spatial_autocorr") {
        /// "moran" or "geary".
        pub mode: Mode = Mode::Moran,
        /// Whether the weights of each cell are divided by the sum of their absolute values; cells without neighbours stay
        /// without.
        pub transformation: bool = true,
        /// Permutations, at least 1. Unset: none, p values under normality alone.
        pub n_perms: Option<u64> = None,
        /// Seed of the permutations. Each has random numbers of its own: fewer are part of more.
        pub seed: u64 = 0,
    }
}

impl AutocorrOptions {
    fn check(&self) -> Result<()> {
        if self.n_perms == Some(0) {
            return Err(Error::parameter("n_perms", "at least 1, or unset", 0));
        }
        Ok(())
    }
}
