//! Looking further afield than single moves: new starts on a coarse copy of the graph.

use rayon::prelude::*;

use super::aggregate::aggregate;
use super::levels::Levels;
use super::local_move::compact;
use super::network::{Network, Weight};
use super::refine::refine;
use crate::Result;
use crate::random::Stream;

/// New starts; each costs little, for the coarse graph is small.
const STARTS: u64 = 8;

/// The graph is made coarser until it has at most this many nodes, or stops shrinking.
const COARSE: usize = 3000;

/// A better partition than `membership`, if one is found, and what the [`score`] gains by it.
///
/// The communities are split into parts as in [`refine`], the parts into parts of parts, until few are left; so
/// `membership` is one partition of the coarse graph. The method starts anew on that graph from single nodes,
/// several times, each until an iteration gains no more than the share `tolerance`, and the best result counts if it beats
/// `membership`.
pub(super) fn explore(
    network: &Network<'_, f32>,
    membership: &[u32],
    tolerance: f64,
    levels: &Levels<'_>,
) -> Result<Option<(f64, Vec<u32>)>> {
    let seed = Stream::new(levels.seed, levels.iteration << 16 | 0xffff).next_u64();
    let Some((mut node, mut coarse, mut labels)) = coarser(network, membership, seed, levels)? else {
        return Ok(None);
    };
    while coarse.len() > COARSE {
        let Some((part, next, next_labels)) = coarser(&coarse, &labels, seed ^ coarse.len() as u64, levels)? else {
            break;
        };
        for entry in &mut node {
            *entry = part[*entry as usize];
        }
        let stuck = next.len() * 10 > coarse.len() * 9;
        (coarse, labels) = (next, next_labels);
        if stuck {
            break;
        }
    }
    let n = coarse.len();
    let found: Vec<(f64, Vec<u32>)> = (0..STARTS)
        .into_par_iter()
        .map(|start| {
            let mut partition: Vec<u32> = (0..n as u32).collect();
            let mut reached = f64::NEG_INFINITY;
            for iteration in 0..16 {
                let again = Levels { seed: Stream::new(seed, start + 1).next_u64(), iteration, ..*levels };
                let mut next = again.run(&coarse, partition.clone())?;
                compact(&mut next, n);
                let unchanged = next == partition;
                partition = next;
                let before = reached;
                reached = score(&coarse, &partition, levels.penalty);
                if unchanged || reached - before <= tolerance * reached.abs() {
                    break;
                }
            }
            Ok((reached, partition))
        })
        .collect::<Result<_>>()?;
    let present = score(&coarse, &labels, levels.penalty);
    let mut best: Option<(f64, Vec<u32>)> = None;
    for candidate in found {
        if candidate.0 > best.as_ref().map_or(present + 1e-9 * present.abs(), |best| best.0) {
            best = Some(candidate);
        }
    }
    Ok(best.map(|(score, partition)| {
        let mut better: Vec<u32> = node.iter().map(|&entry| partition[entry as usize]).collect();
        compact(&mut better, network.len());
        (score - present, better)
    }))
}

/// Part of each node, the graph of the parts, and their communities; none if nothing shrinks.
#[allow(clippy::type_complexity)] // three parts of one step, taken apart at once
fn coarser<W: Weight>(
    network: &Network<'_, W>,
    community: &[u32],
    seed: u64,
    levels: &Levels<'_>,
) -> Result<Option<(Vec<u32>, Network<'static, f64>, Vec<u32>)>> {
    let count = community.iter().max().map_or(0, |&label| label as usize + 1);
    let (part, n_parts) = refine(network, community, count, levels.penalty, levels.theta, seed, levels.ctx)?;
    if n_parts == network.len() {
        return Ok(None);
    }
    let next = aggregate(network, &part, n_parts, levels.ctx)?;
    let mut labels = vec![0u32; n_parts];
    for (node, &p) in part.iter().enumerate() {
        labels[p as usize] = community[node];
    }
    compact(&mut labels, count);
    Ok(Some((part, next, labels)))
}

/// The objective up to a factor and to what all partitions of one graph share.
pub(super) fn score<W: Weight>(network: &Network<'_, W>, labels: &[u32], penalty: f64) -> f64 {
    let mut inside = 0.0;
    let mut total = vec![0f64; labels.len()];
    for (node, &label) in labels.iter().enumerate() {
        total[label as usize] += network.size[node];
        for (&neighbour, &weight) in network.row(node).0.iter().zip(network.row(node).1) {
            if labels[neighbour as usize] == label {
                inside += weight.into();
            }
        }
    }
    inside - penalty * total.iter().map(|size| size * size).sum::<f64>()
}
