//! Options of sketches.

use crate::{Error, Result};

crate::options! {
    /// Options for [`geometric`](super::geometric()).
    pub struct GeometricOptions("sketch_geometric") {
        /// Boxes that cover the cells, about; at least 1. More follow finer shapes, and with more than there are
        /// different cells a sketch is a uniform draw. Unset: as many as cells are asked for.
        pub n_boxes: Option<usize> = None,
        /// By which share of n_boxes the number of occupied boxes may be off before the search for a side ends;
        /// 0 to below 1. Smaller takes longer and may end off by more, where no side gives that number.
        pub tolerance: f64 = 0.1,
        /// Seed of the draws.
        pub random_state: u64 = 0,
    }
}

impl GeometricOptions {
    fn check(&self) -> Result<()> {
        if self.n_boxes == Some(0) {
            return Err(Error::parameter("n_boxes", "at least 1, or unset", 0));
        }
        if !(0.0..1.0).contains(&self.tolerance) {
            return Err(Error::parameter("tolerance", "at least 0 and below 1", self.tolerance));
        }
        Ok(())
    }
}

crate::options! {
    /// Options for [`leverage_scores`](super::leverage_scores).
    pub struct LeverageOptions("leverage_scores") {
        /// Leverage within this many leading components, at least 1; where the data have fewer, within those. More let
        /// noise count as much as what tells kinds of cells apart. Unset: within the space of all genes.
        pub n_comps: Option<usize> = Some(50),
        /// Whether each gene's mean is taken off first, and a column of ones counted instead: 1 / cells in each score.
        pub zero_center: bool = true,
        /// With n_comps unset: approximate scores from this many random projections, at least 1. The standard deviation
        /// of a score is its sqrt(2 / n_projections) part; 64 are enough for sampling. Unset: exact.
        pub n_projections: Option<usize> = None,
        /// Seed of the projections, and of the start vectors of components.
        pub random_state: u64 = 0,
    }
}

impl LeverageOptions {
    fn check(&self) -> Result<()> {
        if self.n_comps == Some(0) {
            return Err(Error::parameter("n_comps", "at least 1, or unset", 0));
        }
        match self.n_projections {
            Some(0) => Err(Error::parameter("n_projections", "at least 1, or unset", 0)),
            Some(count) if self.n_comps.is_some() => {
                Err(Error::parameter("n_projections", "unset, or `n_comps` unset beside it", count))
            }
            _ => Ok(()),
        }
    }
}
