//! Levels and iterations.

use super::explore::{explore, score};
use super::levels::Levels;
use super::local_move::compact;
use super::network::{Edges, Network};
use super::options::LeidenOptions;
use super::prepare::Prepared;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// A partition of a graph.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
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
    /// Whether it stopped because nothing changed any more, or too little to go on for.
    pub converged: bool,
}

/// Leiden communities of a weighted undirected graph.
///
/// `graph` (a [`Graph`](crate::graph::Graph) or borrowed [`Edges`]) is a symmetric matrix of n nodes: weights finite and at least 0, each edge in both of its rows. Zeros count
/// as no edge, duplicates are summed, and the diagonal counts once in its row. `initial`, if given, holds a label
/// below n for each node to start from; otherwise each node starts alone.
///
/// Returns n labels. Every community is connected. Order of visits and refinement are random by `options.seed`; the
/// number of threads changes nothing. An iteration takes O(edges) time; memory is about 100 bytes per node and 32
/// per stored edge at most.
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
    let prepared = Prepared::new(graph.into(), options.use_weights, options.objective, options.resolution, ctx)?;
    let (network, n) = (prepared.network(), prepared.n());
    let mut membership: Vec<u32> = match initial {
        Some(labels) => {
            check_membership(labels, n, "initial membership")?;
            prepared.arrange(labels)
        }
        None => prepared.arrange(&(0..n as u32).collect::<Vec<u32>>()),
    };
    compact(&mut membership, n);
    let theta = options.theta * prepared.mean_weight();

    let limit = usize::try_from(options.n_iterations).unwrap_or(usize::MAX);
    let stage = ctx.stage("leiden", u64::try_from(options.n_iterations).unwrap_or(0));
    let (mut iterations, mut converged) = (0, false);
    let to_the_end = limit == usize::MAX;
    let mut present = f64::NEG_INFINITY;
    while iterations < limit && !converged {
        let levels = Levels { penalty: prepared.penalty, theta, seed: options.seed, iteration: iterations as u64, ctx };
        let mut next = levels.run(network, membership.clone())?;
        compact(&mut next, n);
        iterations += 1;
        let unchanged = next == membership;
        membership = next;
        if !to_the_end {
            converged = unchanged;
        } else {
            let before = present;
            if !unchanged || iterations == 1 {
                present = score(network, &membership, prepared.penalty);
            }
            let enough = |gain: f64| gain > options.tolerance * present.abs();
            if unchanged || !enough(present - before) {
                // Moves help no more. See whether a better partition lies further off.
                converged = true;
                if let Some((gain, better)) = explore(network, &membership, options.tolerance, &levels)? {
                    converged = !enough(gain);
                    membership = better;
                    present += gain;
                }
            }
        }
        stage.advance(1)?;
    }
    let membership = connected_parts(network, &membership, ctx)?;
    prepared.finish(membership, iterations, converged, ctx)
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
