//! Options of an index, and of a search in it.

use super::Metric;
use crate::{Error, Result};

crate::options! {
    /// Options of [`learn_index`](super::learn_index).
    pub struct IndexOptions("build_index") {
        /// Distance: euclidean, cosine or correlation. Every search in the index is by it.
        pub metric: Metric = Metric::Euclidean,
        /// Number of lists, 1 to the number of rows. Default: one for 384 rows. Fewer lists are learnt faster, from a smaller
        /// sample (40 rows per list), and are longer, so that a search reads more.
        pub n_lists: Option<usize> = None,
        /// Seed of the sample that the lists are learnt from.
        pub seed: u64 = 0,
    }
}

impl IndexOptions {
    fn check(&self) -> Result<()> {
        if self.n_lists == Some(0) {
            return Err(Error::parameter("n_lists", "at least 1", 0));
        }
        Ok(())
    }
}

crate::options! {
    /// Options of a search in a [`NeighborIndex`](super::NeighborIndex).
    pub struct SearchOptions("search_index") {
        /// Neighbours per row. Of rows of the index the row itself is counted, first, and they are at least 2.
        pub n_neighbors: usize = 15,
        /// Lists that a row may look at, 1 to the number of lists; more, if these hold too few rows. Default: 8 times the root
        /// of the number of lists, times effort. Larger values find more of the true neighbours and take longer.
        pub probes: Option<usize> = None,
        /// How far beyond a row's present neighbours a list may lie to be looked at; greater than 0. With 2.3 no list
        /// is left out that can hold a neighbour: with all lists as probes the search is then exact. Smaller values are faster.
        pub effort: f64 = 1.0,
    }
}

impl SearchOptions {
    fn check(&self) -> Result<()> {
        if self.n_neighbors == 0 {
            return Err(Error::parameter("n_neighbors", "at least 1", 0));
        }
        if self.probes == Some(0) {
            return Err(Error::parameter("probes", "at least 1", 0));
        }
        if !(self.effort > 0.0 && self.effort.is_finite()) {
            return Err(Error::parameter("effort", "a finite number greater than 0", self.effort));
        }
        Ok(())
    }
}
