//! What Leiden and Louvain share: the graph made ready before the first move, the partition made final after the last.

use super::engine::Leiden;
use super::local_move::compact;
use super::locality::{LARGE, order, renumber};
use super::network::{Checked, Edges, Network, check};
use super::options::Objective;
use super::quality::value;
use crate::{Ctx, Result};

/// A checked graph whose nodes bring the sizes that the objective counts.
pub(super) struct Prepared<'a> {
    graph: Checked<'a>,
    /// What is lost per unit of size times size when two nodes share a community.
    pub(super) penalty: f64,
    objective: Objective,
    resolution: f64,
    /// Old number at each new place, and the copy in which neighbours are neighbours in memory, too; where that pays.
    arranged: Option<(Vec<u32>, Network<'static, f32>)>,
}

impl<'a> Prepared<'a> {
    pub(super) fn new(
        edges: Edges<'a>,
        use_weights: bool,
        objective: Objective,
        resolution: f64,
        ctx: &Ctx,
    ) -> Result<Self> {
        let mut graph = check(edges, use_weights, ctx)?;
        let n = graph.strength.len();
        let (penalty, size) = match objective {
            Objective::Modularity if graph.total > 0.0 => (resolution / graph.total, graph.strength.clone()),
            Objective::Modularity => (0.0, graph.strength.clone()),
            Objective::Cpm => (resolution, vec![1.0; n]),
        };
        graph.network.size = size;
        let arranged = if n < LARGE {
            None
        } else {
            let order = order(&graph.network, ctx)?;
            let copy = renumber(&graph.network, &order);
            Some((order, copy))
        };
        Ok(Self { graph, penalty, objective, resolution, arranged })
    }

    /// Number of nodes.
    pub(super) fn n(&self) -> usize {
        self.graph.strength.len()
    }

    /// The graph to work on.
    pub(super) fn network(&self) -> &Network<'_, f32> {
        self.arranged.as_ref().map_or(&self.graph.network, |(_, copy)| copy)
    }

    /// Labels of the caller's nodes in the order of [`Prepared::network`].
    pub(super) fn arrange(&self, labels: &[u32]) -> Vec<u32> {
        match &self.arranged {
            Some((order, _)) => order.iter().map(|&old| labels[old as usize]).collect(),
            None => labels.to_vec(),
        }
    }

    /// Mean weight of an edge, self-loops aside; 0 without edges.
    pub(super) fn mean_weight(&self) -> f64 {
        let stored = self.graph.network.indices.len();
        if stored == 0 { 0.0 } else { (self.graph.total - self.graph.loops) / stored as f64 }
    }

    /// From labels in the order of [`Prepared::network`] to the result: labels of the caller's nodes, numbered by
    /// decreasing size, and what they are worth.
    pub(super) fn finish(self, labels: Vec<u32>, iterations: usize, converged: bool, ctx: &Ctx) -> Result<Leiden> {
        let Self { graph, objective, resolution, arranged, .. } = self;
        let labels = match arranged {
            Some((order, copy)) => {
                drop(copy);
                let mut original = vec![0u32; labels.len()];
                for (&old, &label) in order.iter().zip(&labels) {
                    original[old as usize] = label;
                }
                original
            }
            None => labels,
        };
        let membership = number_by_size(labels);
        let n_communities = membership.iter().max().map_or(0, |&label| label as usize + 1);
        Ok(Leiden {
            quality: value(&graph, &membership, objective, resolution, ctx)?,
            modularity: value(&graph, &membership, Objective::Modularity, 1.0, ctx)?,
            membership,
            n_communities,
            iterations,
            converged,
        })
    }
}

/// Renumbers compact labels by decreasing size; of equals, the one met first comes first.
fn number_by_size(mut labels: Vec<u32>) -> Vec<u32> {
    let bound = labels.len();
    let count = compact(&mut labels, bound);
    let mut size = vec![0u64; count];
    for &label in &labels {
        size[label as usize] += 1;
    }
    let mut order: Vec<u32> = (0..count as u32).collect();
    order.sort_by_key(|&label| std::cmp::Reverse(size[label as usize]));
    let mut number = vec![0u32; count];
    for (new, &old) in order.iter().enumerate() {
        number[old as usize] = new as u32;
    }
    for label in &mut labels {
        *label = number[*label as usize];
    }
    labels
}
