//! What a caller can choose.

use crate::{Error, Result};

/// What a count of edges between two groups is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum PagaModel {
    /// Directed edges of the nearest-neighbour graph against edges drawn at random; at most 1.
    #[serde(rename = "v1.2")]
    V1_2,
    /// Undirected edges against neighbours x the geometric mean of the sizes; not bounded.
    #[serde(rename = "v1.0")]
    V1_0,
}

crate::options! {
    /// Options of [`paga`](crate::paga::paga).
    pub struct PagaOptions("paga") {
        /// `v1.2`: counts directed edges of the nearest-neighbour graph (give it the graph of distances); `v1.0`: counts
        /// undirected edges (give it the symmetric graph of connectivities and `n_neighbors`).
        pub model: PagaModel = PagaModel::V1_2,
        /// Neighbours per cell; needed by `v1.0`, refused by `v1.2`, which counts them.
        pub n_neighbors: Option<usize> = None,
    }
}

impl PagaOptions {
    fn check(&self) -> Result<()> {
        match (self.model, self.n_neighbors) {
            (PagaModel::V1_2, None) => Ok(()),
            (PagaModel::V1_0, Some(neighbors)) if neighbors > 0 => Ok(()),
            (PagaModel::V1_2, Some(found)) => Err(Error::parameter("n_neighbors", "none with model v1.2", found)),
            (PagaModel::V1_0, found) => {
                Err(Error::parameter("n_neighbors", "at least 1 with model v1.0", found.unwrap_or(0)))
            }
        }
    }
}
