//! Numbering nodes so that neighbours lie close together in memory.
//!
//! Cells come in any order, so that each step along an edge misses the cache once the graph outgrows it. The method
//! walks over all edges dozens of times; ordering the nodes once by a rough hierarchy repays itself several times.

use std::borrow::Cow;

use super::aggregate::aggregate;
use super::network::{Network, Weight};
use super::refine::group;
use crate::{Ctx, Result};

/// Graphs below this many nodes stay in the cache in any order.
pub(super) const LARGE: usize = 16_384;

/// An order of the nodes (old number at each new place) in which linked nodes are near each other.
///
/// Each node joins the neighbour to which it is linked most, relative to that neighbour's size; the groups so formed
/// do the same, until few are left (Boruvka's rounds). Nodes are listed group by group, at every level. Not random.
pub(super) fn order(network: &Network<'_, f32>, ctx: &Ctx) -> Result<Vec<u32>> {
    let mut parents = Vec::new();
    let (mut parent, mut count) = join(network);
    let mut coarse = aggregate(network, &parent, count, ctx)?;
    loop {
        parents.push((parent, count));
        let before = count;
        if before < 64 {
            break;
        }
        (parent, count) = join(&coarse);
        if count * 10 > before * 9 {
            break;
        }
        coarse = aggregate(&coarse, &parent, count, ctx)?;
    }
    // From the top: the members of each group, in the order of the groups.
    let mut listed: Vec<u32> = (0..parents.last().map_or(0, |level| level.1) as u32).collect();
    for (parent, count) in parents.iter().rev() {
        let grouped = group(parent, *count);
        listed = listed
            .iter()
            .flat_map(|&g| &grouped.members[grouped.start[g as usize]..grouped.start[g as usize + 1]])
            .copied()
            .collect();
    }
    Ok(listed)
}

/// Groups formed by each node's strongest link, and how many.
fn join<W: Weight>(network: &Network<'_, W>) -> (Vec<u32>, usize) {
    let n = network.len();
    let mut parent: Vec<u32> = (0..n as u32).collect();
    let root = |parent: &mut [u32], mut node: u32| {
        while parent[node as usize] != node {
            parent[node as usize] = parent[parent[node as usize] as usize];
            node = parent[node as usize];
        }
        node
    };
    for node in 0..n {
        let (neighbours, weights) = network.row(node);
        let (mut best, mut most) = (node, 0.0);
        for (&neighbour, &weight) in neighbours.iter().zip(weights) {
            let link = weight.into() / network.size[neighbour as usize];
            if link > most {
                (best, most) = (neighbour as usize, link);
            }
        }
        let (a, b) = (root(&mut parent, node as u32), root(&mut parent, best as u32));
        parent[a.max(b) as usize] = a.min(b);
    }
    let mut label = vec![0u32; n];
    let mut count = 0;
    for node in 0..n as u32 {
        let root = root(&mut parent, node);
        // A root is the smallest of its group, so it has its number already.
        label[node as usize] = if root == node { count } else { label[root as usize] };
        count += u32::from(root == node);
    }
    (label, count as usize)
}

/// The same graph with nodes renumbered: new node i is old node `order[i]`.
pub(super) fn renumber(network: &Network<'_, f32>, order: &[u32]) -> Network<'static, f32> {
    let mut place = vec![0u32; order.len()];
    for (new, &old) in order.iter().enumerate() {
        place[old as usize] = new as u32;
    }
    let mut indptr = Vec::with_capacity(order.len() + 1);
    let mut indices = Vec::with_capacity(network.indices.len());
    let mut weights = Vec::with_capacity(network.weights.len());
    indptr.push(0u64);
    for &old in order {
        let (neighbours, row) = network.row(old as usize);
        indices.extend(neighbours.iter().map(|&neighbour| place[neighbour as usize]));
        weights.extend_from_slice(row);
        indptr.push(indices.len() as u64);
    }
    let size = order.iter().map(|&old| network.size[old as usize]).collect();
    Network { indptr: Cow::Owned(indptr), indices: Cow::Owned(indices), weights: Cow::Owned(weights), size }
}
