//! Counts of edges compared with chance.

use super::count::{Counts, count};
use super::options::{PagaModel, PagaOptions};
use super::tree::maximum_tree;
use crate::graph::Graph;
use crate::options::Options;
use crate::{Ctx, Error, Result};

/// An abstracted graph of `groups` groups.
#[derive(Clone, Debug, PartialEq)]
pub struct Paga {
    /// Number of groups.
    pub groups: usize,
    /// groups x groups, row by row, symmetric, diagonal 0: confidence that two groups are connected.
    pub connectivities: Vec<f64>,
    /// groups x groups, row by row: the links of the tree (or forest) that joins all groups by the strongest links;
    /// each stands once, above the diagonal.
    pub tree: Vec<f64>,
    /// Cells in each group.
    pub sizes: Vec<u64>,
}

/// Connectivities of groups of cells on a graph of n cells.
///
/// `labels` holds the group of each cell, below `groups`. Every stored edge of `graph` counts as one, whatever its
/// weight, one of weight 0 (two cells at one place) too. With model v1.2 and `e_ij` the directed edges between groups
/// i and j, both ways, `e_i` those that leave cells of i and `n_i` the cells: `min(1, e_ij / ((e_i n_j + e_j n_i) / (n -
/// 1)))`. With model v1.0: undirected edges / (neighbours x sqrt(n_i n_j)).
///
/// Nothing is random, threads change nothing. O(edges + groups^2 log groups) time; 128 groups^2 bytes of memory.
///
/// # Errors
/// [`Error::Parameter`] for options that contradict; [`Error::Data`] for labels that do not fit; [`Error::Limit`] for
/// more than 10,000 groups; [`Error::Interrupted`].
///
/// # Reference
/// Wolf et al. 2019, Genome Biology 20, 59.
pub fn paga(graph: &Graph, labels: &[u32], groups: usize, options: &PagaOptions, ctx: &Ctx) -> Result<Paga> {
    options.validate()?;
    let Counts { edges, sizes } = count(graph, labels, groups, false, ctx)?;
    let at = |i: usize, j: usize| i * groups + j;
    let size: Vec<f64> = sizes.iter().map(|&size| size as f64).collect();
    let leaving: Vec<f64> = (0..groups).map(|i| edges[at(i, 0)..at(i + 1, 0)].iter().sum::<u64>() as f64).collect();
    let mut connectivities = vec![0f64; groups * groups];
    let mut strength = vec![0f64; groups * groups];
    for i in 0..groups {
        for j in (0..groups).filter(|&j| j != i) {
            let between = (edges[at(i, j)] + edges[at(j, i)]) as f64;
            if between == 0.0 {
                continue;
            }
            let value = match options.model {
                PagaModel::V1_2 => {
                    let chance = (leaving[i] * size[j] + leaving[j] * size[i]) / (graph.n as f64 - 1.0);
                    (between / chance).min(1.0)
                }
                PagaModel::V1_0 => {
                    let neighbors = options.n_neighbors.unwrap_or(1) as f64;
                    0.5 * between / (neighbors * neighbors * size[i] * size[j]).sqrt()
                }
            };
            connectivities[at(i, j)] = value;
            strength[at(i, j)] = if options.model == PagaModel::V1_2 { value } else { between };
        }
    }
    let mut tree = vec![0f64; groups * groups];
    for (i, j) in maximum_tree(&strength, groups) {
        tree[at(i, j)] = connectivities[at(i, j)];
    }
    Ok(Paga { groups, connectivities, tree, sizes })
}

/// Confidence in transitions between groups, from a directed graph of cells such as that of RNA velocity.
///
/// `graph` holds edge (a, b) with positive weight where cell a moves towards cell b. Returns groups x groups, row by
/// row: entry (i, j) is the surplus of edges from group j to group i over those from i to j, divided by `n_neighbors` x
/// sqrt(n_i n_j); 0 where there is no surplus. (Rows are where cells arrive, as in a matrix that acts on columns.)
///
/// # Errors
/// [`Error::Parameter`] for `n_neighbors` of 0; otherwise as [`paga`].
///
/// # Reference
/// Wolf et al. 2019, Genome Biology 20, 59.
pub fn transitions_confidence(
    graph: &Graph,
    labels: &[u32],
    groups: usize,
    n_neighbors: usize,
    ctx: &Ctx,
) -> Result<Vec<f64>> {
    if n_neighbors == 0 {
        return Err(Error::parameter("n_neighbors", "at least 1", n_neighbors));
    }
    let Counts { edges, sizes } = count(graph, labels, groups, true, ctx)?;
    let mut confidence = vec![0f64; groups * groups];
    for i in 0..groups {
        for j in 0..groups {
            let surplus = edges[j * groups + i] as f64 - edges[i * groups + j] as f64;
            if surplus > 0.0 {
                confidence[i * groups + j] =
                    surplus / (n_neighbors as f64 * (sizes[i] as f64 * sizes[j] as f64).sqrt());
            }
        }
    }
    Ok(confidence)
}
