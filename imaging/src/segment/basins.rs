//! From a relief to one number for each summit.

use std::collections::HashMap;

use rayon::prelude::*;
use zensaibo_core::data::{Grid, Region};
use zensaibo_core::{Ctx, Error, Result};

/// Neighbours that come after a voxel in raster order.
pub(super) const AFTER: [[isize; 3]; 13] = {
    let mut steps = [[0; 3]; 13];
    let mut k = 0;
    while k < 13 {
        let step = 14 + k as isize;
        steps[k] = [step / 9 - 1, step / 3 % 3 - 1, step % 3 - 1];
        k += 1;
    }
    steps
};

/// No way begins at a voxel of the background.
pub(super) const OUTSIDE: u32 = u32::MAX;

/// Gives every foreground voxel (`inside`) the number of the summit to which the steepest way leads, from 1 in raster order of
/// summits; 0 outside. Two summits are one where the saddle between them lies less than `depth` (a share) below the lower
/// one; a summit that is not above 0 goes to the neighbour across its highest saddle.
///
/// 26 neighbours; of equal heights the voxel that comes first in raster order is higher. The volume must hold fewer than 2^32 - 1 voxels.
pub(super) fn basins(relief: &Grid<f32>, inside: &[bool], depth: f64, ctx: &Ctx) -> Result<Vec<u32>> {
    let (mut numbers, summits) = ends(steepest(relief, inside, ctx)?, ctx)?;
    let heights: Vec<f32> = summits.iter().map(|&at| relief.data[at as usize]).collect();
    let joined = join(&heights, saddles(relief, &numbers, &Region::whole(relief.shape), ctx)?, depth);
    numbers.par_iter_mut().filter(|number| **number != 0).for_each(|number| *number = joined[*number as usize - 1]);
    Ok(numbers)
}

/// For each voxel the number of the place where its way ends, from 1 in raster order of these, and the places.
pub(super) fn ends(mut up: Vec<u32>, ctx: &Ctx) -> Result<(Vec<u32>, Vec<u32>)> {
    // Each voxel on the way is sent to the end, so that no way is gone twice.
    let mut way = Vec::new();
    let mut summits = Vec::new();
    for start in 0..up.len() {
        if start % (1 << 22) == 0 {
            ctx.check()?;
        }
        if up[start] == OUTSIDE {
            continue;
        }
        let mut at = start as u32;
        while up[at as usize] != at {
            way.push(at);
            at = up[at as usize];
        }
        if at as usize == start {
            summits.push(at);
        }
        way.drain(..).for_each(|voxel| up[voxel as usize] = at);
    }
    up.par_iter_mut().for_each(|summit| {
        *summit = match *summit {
            OUTSIDE => 0,
            at => summits.partition_point(|&summit| summit < at) as u32 + 1,
        };
    });
    Ok((up, summits))
}

/// For each foreground voxel the highest of itself and its foreground neighbours.
pub(super) fn steepest(relief: &Grid<f32>, inside: &[bool], ctx: &Ctx) -> Result<Vec<u32>> {
    let [depth, height, width] = relief.shape;
    let plane = height * width;
    let mut up = vec![OUTSIDE; relief.len()];
    up.par_chunks_mut(plane.max(1)).enumerate().try_for_each(|(z, up)| {
        ctx.check()?;
        for y in 0..height {
            for x in 0..width {
                let at = (z * height + y) * width + x;
                if !inside[at] {
                    continue;
                }
                let (mut best, mut top) = (at, relief.data[at]);
                for dz in z.saturating_sub(1)..(z + 2).min(depth) {
                    for dy in y.saturating_sub(1)..(y + 2).min(height) {
                        let line = (dz * height + dy) * width;
                        for next in line + x.saturating_sub(1)..line + (x + 2).min(width) {
                            let value = relief.data[next];
                            if inside[next] && (value > top || (value == top && next < best)) {
                                (best, top) = (next, value);
                            }
                        }
                    }
                }
                up[y * width + x] = best as u32;
            }
        }
        Ok::<(), Error>(())
    })?;
    Ok(up)
}

/// The highest place at which two basins meet, for each pair; by pair. Only where the voxel that comes first in raster order lies in
/// `core`.
pub(super) fn saddles(relief: &Grid<f32>, numbers: &[u32], core: &Region, ctx: &Ctx) -> Result<Vec<(u32, u32, f32)>> {
    let [depth, height, width] = relief.shape;
    let parts: Vec<Result<HashMap<(u32, u32), f32>>> = core
        .range(0)
        .into_par_iter()
        .map(|z| {
            ctx.check()?;
            let mut found: HashMap<(u32, u32), f32> = HashMap::new();
            for y in core.range(1) {
                for x in core.range(2) {
                    let at = (z * height + y) * width + x;
                    let here = numbers[at];
                    if here == 0 {
                        continue;
                    }
                    for [dz, dy, dx] in AFTER {
                        let next = [z.wrapping_add_signed(dz), y.wrapping_add_signed(dy), x.wrapping_add_signed(dx)];
                        if next[0] >= depth || next[1] >= height || next[2] >= width {
                            continue;
                        }
                        let next = (next[0] * height + next[1]) * width + next[2];
                        let there = numbers[next];
                        if there != 0 && there != here {
                            let low = relief.data[at].min(relief.data[next]);
                            let saddle = found.entry((here.min(there), here.max(there))).or_insert(f32::NEG_INFINITY);
                            *saddle = saddle.max(low);
                        }
                    }
                }
            }
            Ok(found)
        })
        .collect();
    let mut all = Vec::new();
    for part in parts {
        all.extend(part?.into_iter().map(|((a, b), saddle)| (a, b, saddle)));
    }
    highest(&mut all);
    Ok(all)
}

/// Of each pair the highest saddle, by pair.
pub(super) fn highest(saddles: &mut Vec<(u32, u32, f32)>) {
    saddles.par_sort_unstable_by(|a, b| (a.0, a.1).cmp(&(b.0, b.1)).then(b.2.total_cmp(&a.2)));
    saddles.dedup_by_key(|&mut (a, b, _)| (a, b));
}

/// Joins summits over saddles, highest first; the number that each summit ends with.
pub(super) fn join(heights: &[f32], mut saddles: Vec<(u32, u32, f32)>, depth: f64) -> Vec<u32> {
    saddles.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    let mut up: Vec<u32> = (0..heights.len() as u32).collect();
    fn find(up: &mut [u32], mut at: u32) -> u32 {
        while up[at as usize] != at {
            up[at as usize] = up[up[at as usize] as usize];
            at = up[at as usize];
        }
        at
    }
    for (a, b, saddle) in saddles {
        let (a, b) = (find(&mut up, a - 1), find(&mut up, b - 1));
        if a == b {
            continue;
        }
        let order = heights[a as usize].total_cmp(&heights[b as usize]).then(b.cmp(&a));
        let (low, high) = if order.is_lt() { (a, b) } else { (b, a) };
        let height = f64::from(heights[low as usize]);
        if height <= 0.0 || f64::from(saddle) > (1.0 - depth) * height {
            up[low as usize] = high;
        }
    }
    (0..heights.len() as u32)
        .map(|at| {
            let summit = find(&mut up, at);
            // Nothing that rises is near.
            if heights[summit as usize] > 0.0 { summit + 1 } else { 0 }
        })
        .collect()
}
