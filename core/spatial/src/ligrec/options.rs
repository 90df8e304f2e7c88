//! Options of the test of ligands and receptors.

use zensaibo_core::{Error, Result};

/// What of a ligand in one label and a receptor in another is made one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Score {
    /// Half the sum of the means; 0 where one of them is.
    Mean,
    /// The root of the product of the means.
    Geometric,
    /// With the product of the trimeans p: p / (0.5 + p).
    Probability,
}

zensaibo_core::options! {
    /// Options for [`ligrec`](super::ligrec).
    pub struct LigrecOptions("ligrec") {
        /// Random orders of the labels. 0: none, scores alone.
        pub n_perms: u64 = 1000,
        /// Seed of the orders. Each has random numbers of its own: fewer orders are part of more.
        pub seed: u64 = 0,
        /// Count as squidpy does: only orders whose score is above that found, and half the sum even where one mean is 0.
        pub squidpy_compat: bool = false,
    }
}

impl LigrecOptions {
    fn check(&self) -> Result<()> {
        if self.n_perms > u64::from(u32::MAX) {
            return Err(Error::parameter("n_perms", format!("at most {}", u32::MAX), self.n_perms));
        }
        Ok(())
    }
}
