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

crate::options! {
    /// Options of [`branchings`](crate::diffusion::branchings).
    pub struct BranchingOptions("dpt_branchings") {
        /// Diffusion components to use, from the first; at least 1 and at most as many as there are.
        pub n_dcs: usize = 10,
        /// Splits to make at most, each of one segment into three or four; 0 leaves all cells in one.
        pub n_branchings: usize = 0,
        /// Segments of this many cells or fewer are not split: a number of cells from 1 on, a fraction of all cells
        /// below; at least 0. Segments of 11 cells or fewer never are.
        pub min_group_size: f64 = 0.01,
        /// Where a branch would take more than 95% of its segment, lets it have 5% less; without, it has all of that.
        pub allow_kendall_tau_shift: bool = true,
    }
}

impl BranchingOptions {
    fn check(&self) -> Result<()> {
        if self.n_dcs == 0 {
            return Err(Error::parameter("n_dcs", "a whole number of at least 1", self.n_dcs));
        }
        if !(self.min_group_size >= 0.0 && self.min_group_size.is_finite()) {
            return Err(Error::parameter("min_group_size", "a number of at least 0", self.min_group_size));
        }
        Ok(())
    }
}
