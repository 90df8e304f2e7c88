//! Moving nodes one by one to where the objective gains most.

use std::collections::VecDeque;

use super::locality::LARGE;
use super::network::{Network, Weight};
use crate::parallel::pieces;
use crate::random::Stream;
use crate::{Ctx, Result};

/// A move must gain this share of the node's own links: less is rounding.
const LEAST_GAIN: f64 = 1e-10;

/// Moves nodes until none gains by moving. `community` holds labels below the number of nodes and is changed in
/// place. All nodes queue in random order; a move puts the neighbours outside the new community back in line.
///
/// The gain of node v in community C, up to terms common to all C, is w(v, C) - penalty size(v) size(C).
/// Serial: each move sees all moves before it, which is what makes the result good and independent of threads.
pub(super) fn local_move<W: Weight>(
    network: &Network<'_, W>,
    community: &mut [u32],
    penalty: f64,
    stream: &mut Stream,
    ctx: &Ctx,
) -> Result<()> {
    let n = network.len();
    let mut total = vec![0f64; n];
    let mut count = vec![0u32; n];
    for (node, &c) in community.iter().enumerate() {
        total[c as usize] += network.size[node];
        count[c as usize] += 1;
    }
    let mut free: Vec<u32> = (0..n as u32).rev().filter(|&c| count[c as usize] == 0).collect();

    let mut order: Vec<u32> = (0..n as u32).collect();
    if n < LARGE {
        stream.shuffle(&mut order);
    } else {
        // Neighbours are numbered close together: random blocks, random inside, keep most of what that saves.
        let mut blocks: Vec<std::ops::Range<usize>> = pieces(n, 256);
        stream.shuffle(&mut blocks);
        order = blocks.into_iter().flatten().map(|node| node as u32).collect();
        order.chunks_mut(256).for_each(|block| stream.shuffle(block));
    }
    let mut queue = VecDeque::from(order);
    let mut queued = vec![true; n];

    let mut links = vec![0f64; n];
    let mut touched: Vec<u32> = Vec::new();
    let mut visits = 0u32;
    while let Some(node) = queue.pop_front() {
        visits += 1;
        if visits & 0xfff == 0 {
            ctx.check()?;
        }
        let node = node as usize;
        queued[node] = false;
        let own = community[node];
        let size = network.size[node];
        let (neighbours, weights) = network.row(node);

        let mut strength = 0.0;
        for (&neighbour, &weight) in neighbours.iter().zip(weights) {
            let c = community[neighbour as usize];
            let weight = weight.into();
            strength += weight;
            let link = &mut links[c as usize];
            if *link == 0.0 {
                touched.push(c);
            }
            *link += weight;
        }
        let stay = links[own as usize] - penalty * size * (total[own as usize] - size);
        let (mut best, mut most) = (own, f64::NEG_INFINITY);
        for &c in &touched {
            if c != own {
                let gain = links[c as usize] - penalty * size * total[c as usize];
                if gain > most {
                    (best, most) = (c, gain);
                }
            }
            links[c as usize] = 0.0;
        }
        touched.clear();
        if most < 0.0 && count[own as usize] > 1 {
            // Alone, the gain is 0. A free label exists, for own holds more than one node.
            if let Some(&label) = free.last() {
                (best, most) = (label, 0.0);
            }
        }
        if most <= stay + LEAST_GAIN * strength {
            continue;
        }

        if count[best as usize] == 0 {
            free.pop();
        }
        total[own as usize] -= size;
        count[own as usize] -= 1;
        if count[own as usize] == 0 {
            total[own as usize] = 0.0;
            free.push(own);
        }
        total[best as usize] += size;
        count[best as usize] += 1;
        community[node] = best;
        for &neighbour in neighbours {
            let neighbour = neighbour as usize;
            if !queued[neighbour] && community[neighbour] != best {
                queued[neighbour] = true;
                queue.push_back(neighbour as u32);
            }
        }
    }
    Ok(())
}

/// Renumbers labels 0, 1, ... in order of first appearance; returns how many there are.
pub(super) fn compact(labels: &mut [u32], bound: usize) -> usize {
    let mut new = vec![u32::MAX; bound];
    let mut count = 0u32;
    for label in labels {
        let entry = &mut new[*label as usize];
        if *entry == u32::MAX {
            *entry = count;
            count += 1;
        }
        *label = *entry;
    }
    count as usize
}
