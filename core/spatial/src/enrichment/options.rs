//! Options of the enrichment of labels among neighbours.

use zensaibo_core::{Error, Result};

zensaibo_core::options! {
    /// Options for [`permuted`](super::permuted()), and whether it is wanted.
    pub struct NhoodOptions("nhood_enrichment") {
        /// Random orders of the labels, at least 2. Unset: the exact mean and variance over all orders, at once.
        pub n_perms: Option<u64> = None,
        /// Seed of the orders. Each has random numbers of its own: fewer orders are part of more.
        pub seed: u64 = 0,
    }
}

impl NhoodOptions {
    fn check(&self) -> Result<()> {
        match self.n_perms {
            Some(count @ (0 | 1)) => Err(Error::parameter("n_perms", "at least 2, or unset", count)),
            _ => Ok(()),
        }
    }
}
