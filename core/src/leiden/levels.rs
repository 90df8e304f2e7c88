//! One iteration, level by level.

use super::aggregate::aggregate;
use super::local_move::{compact, local_move};
use super::network::{Network, Weight};
use super::refine::refine;
use crate::random::Stream;
use crate::{Ctx, Result};

/// What one iteration needs beside the graph.
#[derive(Clone, Copy)]
pub(super) struct Levels<'c> {
    pub(super) penalty: f64,
    pub(super) theta: f64,
    pub(super) seed: u64,
    pub(super) iteration: u64,
    pub(super) ctx: &'c Ctx,
}

impl Levels<'_> {
    /// One iteration from compact labels; returns labels below n.
    pub(super) fn run<W: Weight>(&self, network: &Network<'_, W>, mut community: Vec<u32>) -> Result<Vec<u32>> {
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
        &self,
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
