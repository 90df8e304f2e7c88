//! Neighbours in the components, and the graph made from them.

use zensaibo_core::graph::Graph;
use zensaibo_core::knn::{Neighbors, Points, connectivities, knn};
use zensaibo_core::matrix::ValueSlice;
use zensaibo_core::pca::Pca;
use zensaibo_core::{Ctx, Result};

use super::ClusterConfig;
use super::sections::within;

/// Finds the neighbours of each cell and weighs the graph of them.
pub(super) fn find(pca: &Pca, config: &ClusterConfig, ctx: &Ctx) -> Result<(Neighbors, Graph)> {
    let points = Points::new(pca.n_rows, pca.n_comps, ValueSlice::F32(&pca.scores))?;
    let neighbors = knn(&points, &config.neighbors, ctx).map_err(|error| within("neighbors", error))?;
    let graph = connectivities(&neighbors, &config.graph, ctx).map_err(|error| within("graph", error))?;
    Ok((neighbors, graph))
}
