//! What a caller can choose.

use crate::{Error, Result};

crate::options! {
    /// Options of [`diffmap`](crate::diffusion::diffmap).
    pub struct DiffmapOptions("diffmap") {
        /// Eigenvectors to compute, the steady state included; at least 3. With n cells at most n - 1 are given.
        pub n_comps: usize = 15,
        /// Seed of the starting vector.
        pub seed: u64 = 0,
    }
}

impl DiffmapOptions {
    fn check(&self) -> Result<()> {
        if !(3..=500).contains(&self.n_comps) {
            return Err(Error::parameter("n_comps", "a whole number from 3 to 500", self.n_comps));
        }
        Ok(())
    }
}

crate::options! {
    /// Options of [`pseudotime`](crate::diffusion::pseudotime).
    pub struct DptOptions("dpt") {
        /// Diffusion components to use, from the first; at least 1 and at most as many as there are.
        pub n_dcs: usize = 10,
    }
}

impl DptOptions {
    fn check(&self) -> Result<()> {
        if self.n_dcs == 0 {
            return Err(Error::parameter("n_dcs", "a whole number of at least 1", self.n_dcs));
        }
        Ok(())
    }
}
