//! Splitting communities into parts that hang together, merged at random in proportion to their gain.

use rayon::prelude::*;

use super::network::{Network, Weight};
use crate::random::Stream;
use crate::{Ctx, Result};

/// Nodes sorted by community: `members[start[c]..start[c + 1]]`, ascending; `place` is the inverse of `members`.
pub(super) struct Grouped {
    pub(super) start: Vec<usize>,
    pub(super) members: Vec<u32>,
    pub(super) place: Vec<u32>,
}

/// Counting sort of nodes by label.
pub(super) fn group(labels: &[u32], count: usize) -> Grouped {
    let mut start = vec![0usize; count + 1];
    for &label in labels {
        start[label as usize + 1] += 1;
    }
    for c in 0..count {
        start[c + 1] += start[c];
    }
    let mut next = start.clone();
    let (mut members, mut place) = (vec![0u32; labels.len()], vec![0u32; labels.len()]);
    for (node, &label) in labels.iter().enumerate() {
        let position = &mut next[label as usize];
        members[*position] = node as u32;
        place[node] = *position as u32;
        *position += 1;
    }
    Grouped { start, members, place }
}

/// Splits each of the `count` communities into parts. Returns the part of every node and the number of parts;
/// parts of one community are numbered consecutively.
///
/// Every community is worked on by itself with a random stream of its own, so threads change nothing. A node that
/// is still alone and well connected to the rest of its community joins a well connected part, or stays, with
/// probability proportional to exp(gain / theta) among the merges that do not lose. A part hence is connected.
pub(super) fn refine<W: Weight>(
    network: &Network<'_, W>,
    community: &[u32],
    count: usize,
    penalty: f64,
    theta: f64,
    seed: u64,
    ctx: &Ctx,
) -> Result<(Vec<u32>, usize)> {
    let n = network.len();
    let grouped = group(community, count);
    let mut part_of_place = vec![0u32; n];
    let mut tasks: Vec<(usize, &mut [u32])> = Vec::with_capacity(count);
    let mut rest = part_of_place.as_mut_slice();
    for c in 0..count {
        let (head, tail) = rest.split_at_mut(grouped.start[c + 1] - grouped.start[c]);
        tasks.push((c, head));
        rest = tail;
    }
    tasks.into_par_iter().try_for_each(|(c, parts)| {
        let stream = Stream::new(seed, c as u64 + 1);
        split(network, &grouped, c, parts, penalty, theta, stream, ctx)
    })?;

    // A part's name so far is the position of one of its members; give numbers in order of position.
    let mut number = vec![u32::MAX; n];
    let mut n_parts = 0u32;
    let mut part = vec![0u32; n];
    for c in 0..count {
        let first = grouped.start[c];
        for position in first..grouped.start[c + 1] {
            let entry = &mut number[first + part_of_place[position] as usize];
            if *entry == u32::MAX {
                *entry = n_parts;
                n_parts += 1;
            }
            part[grouped.members[position] as usize] = *entry;
        }
    }
    Ok((part, n_parts as usize))
}

/// One community: fills `part` (a local index of a member, by local index).
fn split<W: Weight>(
    network: &Network<'_, W>,
    grouped: &Grouped,
    c: usize,
    part: &mut [u32],
    penalty: f64,
    theta: f64,
    mut stream: Stream,
    ctx: &Ctx,
) -> Result<()> {
    let span = grouped.start[c]..grouped.start[c + 1];
    let members = &grouped.members[span.clone()];
    let m = members.len();
    for (local, entry) in part.iter_mut().enumerate() {
        *entry = local as u32;
    }
    if m == 1 {
        return Ok(());
    }
    // Neighbours inside, by local index, so that the second look at them costs little.
    let (mut start, mut inner, mut weight) = (Vec::with_capacity(m + 1), Vec::new(), Vec::new());
    let mut outward = vec![0f64; m]; // links of a part to the rest of the community
    let mut size = Vec::with_capacity(m);
    start.push(0usize);
    for (local, &node) in members.iter().enumerate() {
        if local & 0xfff == 0 {
            ctx.check()?;
        }
        let (neighbours, weights) = network.row(node as usize);
        for (&neighbour, &w) in neighbours.iter().zip(weights) {
            let place = grouped.place[neighbour as usize] as usize;
            if span.contains(&place) {
                inner.push((place - span.start) as u32);
                weight.push(w);
                outward[local] += w.into();
            }
        }
        start.push(inner.len());
        size.push(network.size[node as usize]);
    }
    let whole: f64 = size.iter().sum();
    let well_connected = |outward: f64, size: f64| outward >= penalty * size * (whole - size);

    let mut alone = vec![true; m];
    let mut links = vec![0f64; m];
    let mut touched: Vec<u32> = Vec::new();
    let mut choices: Vec<(u32, f64)> = Vec::new();
    let mut order: Vec<u32> = (0..m as u32).collect();
    stream.shuffle(&mut order);
    for (step, &local) in order.iter().enumerate() {
        if step & 0xfff == 0 {
            ctx.check()?;
        }
        let local = local as usize;
        if !alone[local] || !well_connected(outward[local], size[local]) {
            continue;
        }
        for e in start[local]..start[local + 1] {
            let target = part[inner[e] as usize];
            let link = &mut links[target as usize];
            if *link == 0.0 {
                touched.push(target);
            }
            *link += weight[e].into();
        }
        choices.clear();
        let mut most = 0.0;
        for &target in &touched {
            let t = target as usize;
            let gain = links[t] - penalty * size[local] * size[t];
            if gain >= 0.0 && well_connected(outward[t], size[t]) {
                choices.push((target, gain));
                most = f64::max(most, gain);
            }
        }
        if let Some(target) = choose(&mut choices, most, theta, &mut stream) {
            let t = target as usize;
            outward[t] += outward[local] - 2.0 * links[t];
            size[t] += size[local];
            part[local] = target;
            (alone[local], alone[t]) = (false, false);
        }
        for &target in &touched {
            links[target as usize] = 0.0;
        }
        touched.clear();
    }
    Ok(())
}

/// One of the choices with probability proportional to exp(gain / theta), or none, whose gain is 0. Theta 0: the
/// best, the first of equals.
fn choose(choices: &mut [(u32, f64)], most: f64, theta: f64, stream: &mut Stream) -> Option<u32> {
    let best = choices.iter().find(|choice| choice.1 == most)?.0;
    if theta == 0.0 {
        return Some(best);
    }
    let mut sum = (-most / theta).exp();
    for choice in choices.iter_mut() {
        sum += ((choice.1 - most) / theta).exp();
        choice.1 = sum;
    }
    let draw = stream.uniform() * sum;
    if draw < (-most / theta).exp() {
        return None;
    }
    Some(choices.iter().find(|choice| draw < choice.1).map_or(best, |choice| choice.0))
}
