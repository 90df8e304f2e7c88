//! Louvain communities: moves and levels without refinement.

use rayon::prelude::*;

use super::aggregate::aggregate;
use super::engine::Leiden;
use super::explore::score;
use super::local_move::{compact, local_move};
use super::locality::LARGE;
use super::network::{Edges, Network, Weight};
use super::options::LouvainOptions;
use super::prepare::Prepared;
use crate::options::Options;
use crate::random::Stream;
use crate::{Ctx, Result};

/// Louvain communities of a weighted undirected graph.
///
/// `graph` is as for [`leiden`](super::leiden). Nodes are moved one by one to where the objective gains most, communities
/// become the nodes of a smaller graph, and so on until nothing moves; then all of it again from the partition found,
/// until that changes nothing either. Much hangs on the first order of visits, so several are tried (8 up to 16,384 nodes,
/// else 2) and the best partition is taken on. Unlike those of [`leiden`](super::leiden), a community may fall into parts
/// that no edge joins.
///
/// Returns n labels. The order of visits is random by `options.seed`; the number of threads changes nothing. O(edges)
/// time per pass; memory about 60 bytes per node and at most 32 per stored edge, for each thread.
///
/// # Errors
/// As [`leiden`](super::leiden).
///
/// # References
/// Blondel, Guillaume, Lambiotte, Lefebvre 2008, Fast unfolding of communities in large networks, J. Stat. Mech. P10008.
pub fn louvain<'a>(graph: impl Into<Edges<'a>>, options: &LouvainOptions, ctx: &Ctx) -> Result<Leiden> {
    options.validate()?;
    let prepared = Prepared::new(graph.into(), options.use_weights, options.objective, options.resolution, ctx)?;
    let (network, n, penalty) = (prepared.network(), prepared.n(), prepared.penalty);
    let mut membership: Vec<u32> = (0..n as u32).collect();
    let stage = ctx.stage("louvain", 0);
    let starts = if n < LARGE { 8 } else { 2 };
    let mut iterations = 0;
    loop {
        let seed = Stream::new(options.seed, iterations as u64).next_u64();
        let start = |k: u64| pass(network, membership.clone(), penalty, seed.wrapping_add(k), 0, ctx);
        let mut next = if iterations == 0 {
            let found: Vec<Vec<u32>> = (0..starts).into_par_iter().map(start).collect::<Result<_>>()?;
            let scores: Vec<f64> = found.iter().map(|labels| score(network, labels, penalty)).collect();
            let best = (1..found.len()).fold(0, |best, k| if scores[k] > scores[best] { k } else { best });
            found.into_iter().nth(best).unwrap_or_default()
        } else {
            start(0)?
        };
        compact(&mut next, n);
        iterations += 1;
        stage.advance(1)?;
        if next == membership {
            break;
        }
        membership = next;
    }
    prepared.finish(membership, iterations, true, ctx)
}

/// One pass from compact labels through all levels; returns labels below n.
fn pass<W: Weight>(
    network: &Network<'_, W>,
    mut community: Vec<u32>,
    penalty: f64,
    seed: u64,
    depth: u64,
    ctx: &Ctx,
) -> Result<Vec<u32>> {
    let n = network.len();
    local_move(network, &mut community, penalty, &mut Stream::new(seed, depth), ctx)?;
    let count = compact(&mut community, n);
    if count == n {
        return Ok(community);
    }
    let next = aggregate(network, &community, count, ctx)?;
    let labels = pass(&next, (0..count as u32).collect(), penalty, seed, depth + 1, ctx)?;
    Ok(community.into_iter().map(|label| labels[label as usize]).collect())
}
