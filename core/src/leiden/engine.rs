//! Levels and iterations, and the final numbering.

use super::aggregate::aggregate;
use super::local_move::{compact, local_move};
use super::network::{Edges, Network, Weight, check};
use super::options::{LeidenOptions, Objective};
use super::quality::value;
use super::refine::refine;
use crate::options::Options;
use crate::random::Stream;
use crate::{Ctx, DataFault, Error, Result};

/// How often in a row an iteration must leave the partition unchanged before "until nothing changes" is over. The
/// refinement is random, so that another look can find what one look missed; it costs little by then.
const PATIENCE: u32 = 2;

/// A partition of a graph.
#[derive(Clone, Debug, PartialEq)]
pub struct Leiden {
    /// Community of each node, numbered by decreasing size; of equals, the one with the smallest node first.
    pub membership: Vec<u32>,
    /// Number of communities.
    pub n_communities: usize,
    /// Value of the objective that was maximised, at its resolution.
    pub quality: f64,
    /// Modularity at resolution 1, whatever was maximised.
    pub modularity: f64,
    /// Iterations done.
    pub iterations: usize,
    /// Whether it stopped because nothing changed any more.
    pub converged: bool,
}

/// Leiden communities of a weighted undirected graph.
///
/// `graph` (a [`Graph`](crate::graph::Graph) or borrowed [`Edges`]) is a symmetric matrix of n nodes: weights finite and at least 0, each edge in both of its rows. Zeros count
/// as no edge, duplicates are summed, and the diagonal counts once in its row. `initial`, if given, holds a label
/// below n for each node to start from; otherwise each node starts alone.
///
/// Returns n labels. Every community is connected. Order of visits and refinement are random by `options.seed`; the
/// number of threads changes nothing. An iteration takes O(edges) time; memory is about 70 bytes per node and 16
/// per stored edge, plus a copy of the graph if it holds zeros, loops, or unsorted rows.
///
/// # Errors
/// [`Error::Parameter`] for an option outside its range; [`Error::Data`] for a graph that is not symmetric, weights
/// negative or not finite, or an `initial` that does not fit; [`Error::Interrupted`].
///
/// # References
/// Traag, Waltman, van Eck, Scientific Reports 9, 5233 (2019).
pub fn leiden<'a>(
    graph: impl Into<Edges<'a>>,
    initial: Option<&[u32]>,
    options: &LeidenOptions,
    ctx: &Ctx,
) -> Result<Leiden> {
    options.validate()?;
    let mut graph = check(graph.into(), options.use_weights, ctx)?;
    let n = graph.strength.len();
    let mut membership: Vec<u32> = match initial {
        Some(labels) => {
            check_membership(labels, n, "initial membership")?;
            labels.to_vec()
        }
        None => (0..n as u32).collect(),
    };
    compact(&mut membership, n);
    let penalty = match options.objective {
        Objective::Modularity if graph.total > 0.0 => options.resolution / graph.total,
        Objective::Modularity => 0.0,
        Objective::Cpm => options.resolution,
    };
    graph.network.size = match options.objective {
        Objective::Modularity => graph.strength.clone(),
        Objective::Cpm => vec![1.0; n],
    };
    let stored = graph.network.indices.len();
    let mean_weight = if stored == 0 { 0.0 } else { (graph.total - graph.loops) / stored as f64 };
    let theta = options.theta * mean_weight;

    let limit = usize::try_from(options.n_iterations).unwrap_or(usize::MAX);
    let stage = ctx.stage("leiden", u64::try_from(options.n_iterations).unwrap_or(0));
    let (mut iterations, mut unchanged) = (0, 0);
    while iterations < limit && unchanged < PATIENCE {
        let mut levels = Levels { penalty, theta, seed: options.seed, iteration: iterations as u64, ctx };
        let mut next = levels.run(&graph.network, membership.clone())?;
        compact(&mut next, n);
        iterations += 1;
        unchanged = if next == membership { unchanged + 1 } else { 0 };
        membership = next;
        stage.advance(1)?;
    }
    let membership = number_by_size(connected_parts(&graph.network, &membership, ctx)?);
    let n_communities = membership.iter().max().map_or(0, |&label| label as usize + 1);
    Ok(Leiden {
        quality: value(&graph, &membership, options.objective, options.resolution, ctx)?,
        modularity: value(&graph, &membership, Objective::Modularity, 1.0, ctx)?,
        membership,
        n_communities,
        iterations,
        converged: unchanged > 0,
    })
}

/// Length and range of labels.
pub(super) fn check_membership(labels: &[u32], n: usize, what: &str) -> Result<()> {
    if labels.len() != n {
        return Err(Error::data(DataFault::Shape, what, format!("{n} labels, one for each node"), labels.len()));
    }
    match labels.iter().position(|&label| label as usize >= n) {
        Some(node) => {
            let found = format!("{} at node {node}", labels[node]);
            Err(Error::data(DataFault::Invalid, what, format!("labels below {n}, the number of nodes"), found))
        }
        None => Ok(()),
    }
}

/// What one iteration needs beside the graph.
struct Levels<'c> {
    penalty: f64,
    theta: f64,
    seed: u64,
    iteration: u64,
    ctx: &'c Ctx,
}

impl Levels<'_> {
    /// One iteration from compact labels; returns labels below n.
    fn run(&mut self, network: &Network<'_, f32>, mut community: Vec<u32>) -> Result<Vec<u32>> {
        let Some((mut node, mut next, mut labels)) = self.level(network, &mut community, 0)? else {
            return Ok(community);
        };
        let mut depth = 1;
        while let Some((part, smaller, smaller_labels)) = self.level(&next, &mut labels, depth)? {
            for entry in &mut node {
                *entry = part[*entry as usize];
            }
            (next, labels) = (smaller, smaller_labels);
            depth += 1;
        }
        Ok(node.into_iter().map(|entry| labels[entry as usize]).collect())
    }

    /// One level: moves, refines, aggregates. Returns the node of the next level for each node of this, the next
    /// level, and the communities of its nodes; or none when every node of this level is a community.
    #[allow(clippy::type_complexity)] // three parts of one step, taken apart at once
    fn level<W: Weight>(
        &mut self,
        network: &Network<'_, W>,
        community: &mut [u32],
        depth: u64,
    ) -> Result<Option<(Vec<u32>, Network<'static, f64>, Vec<u32>)>> {
        let n = network.len();
        let seed = Stream::new(self.seed, self.iteration << 16 | depth).next_u64();
        local_move(network, community, self.penalty, &mut Stream::new(seed, 0), self.ctx)?;
        let count = compact(community, n);
        if count == n {
            return Ok(None);
        }
        let (mut part, mut n_parts) = refine(network, community, count, self.penalty, self.theta, seed, self.ctx)?;
        if n_parts == n {
            // By chance every node stayed alone: the best merges shrink the graph, as some merge always gains.
            (part, n_parts) = refine(network, community, count, self.penalty, 0.0, seed, self.ctx)?;
        }
        if n_parts == n {
            // Only rounding can bring us here. The communities themselves are then the nodes.
            part = community.to_vec();
            n_parts = count;
        }
        let next = aggregate(network, &part, n_parts, self.ctx)?;
        let mut labels = vec![0u32; n_parts];
        for (node, &p) in part.iter().enumerate() {
            labels[p as usize] = community[node];
        }
        compact(&mut labels, count);
        Ok(Some((part, next, labels)))
    }
}

/// Splits labels by connected component, so that every label is connected. Labels that are connected stay as they
/// are. (An initial partition, or rounding, can leave one that is not.)
fn connected_parts(network: &Network<'_, f32>, labels: &[u32], ctx: &Ctx) -> Result<Vec<u32>> {
    let mut parts = vec![u32::MAX; labels.len()];
    let (mut count, mut stack) = (0u32, Vec::new());
    for first in 0..labels.len() {
        if parts[first] != u32::MAX {
            continue;
        }
        parts[first] = count;
        stack.push(first);
        while let Some(node) = stack.pop() {
            if node & 0xfff == 0 {
                ctx.check()?;
            }
            for &neighbour in network.row(node).0 {
                let neighbour = neighbour as usize;
                if parts[neighbour] == u32::MAX && labels[neighbour] == labels[node] {
                    parts[neighbour] = count;
                    stack.push(neighbour);
                }
            }
        }
        count += 1;
    }
    Ok(parts)
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
