//! Medians of any neighbourhood by a histogram that slides along x (Huang, Yang and Tang, IEEE Trans. Acoust. Speech Signal
//! Process. 27, 13-18, 1979), over the ranks of the voxels, so that it serves every number type.

use zensaibo_core::data::Grid;
use zensaibo_core::{Ctx, Result};

use super::Footprint;

/// Voxels of the result along z, y and x that share one table of ranks: it stays in the second cache.
const TILE: [usize; 3] = [16, 32, 128];

/// Counts of ranks, and which of them are not 0.
struct Histogram {
    counts: Vec<u32>,
    present: Vec<u64>,
    /// The rank where the median was found last, and how many voxels rank lower.
    at: usize,
    below: usize,
}

impl Histogram {
    fn new(ranks: usize) -> Self {
        Self { counts: vec![0; ranks], present: vec![0; ranks.div_ceil(64)], at: 0, below: 0 }
    }

    #[inline]
    fn add(&mut self, rank: u32) {
        let rank = rank as usize;
        self.counts[rank] += 1;
        self.present[rank / 64] |= 1 << (rank % 64);
        self.below += usize::from(rank < self.at);
    }

    #[inline]
    fn remove(&mut self, rank: u32) {
        let rank = rank as usize;
        self.counts[rank] -= 1;
        self.present[rank / 64] &= !(u64::from(self.counts[rank] == 0) << (rank % 64));
        self.below -= usize::from(rank < self.at);
    }

    /// The next rank that is present, from `rank` on.
    #[inline]
    fn next(&self, rank: usize) -> Option<usize> {
        let (mut word, mut bits) = (rank / 64, self.present.get(rank / 64)? & (!0 << (rank % 64)));
        while bits == 0 {
            word += 1;
            bits = *self.present.get(word)?;
        }
        Some(word * 64 + bits.trailing_zeros() as usize)
    }

    /// The last rank that is present below `rank`.
    #[inline]
    fn previous(&self, rank: usize) -> Option<usize> {
        let mut word = rank / 64;
        let mut bits = self.present.get(word).copied().unwrap_or(0) & ((1 << (rank % 64)) - 1);
        while bits == 0 {
            word = word.checked_sub(1)?;
            bits = self.present[word];
        }
        Some(word * 64 + 63 - bits.leading_zeros() as usize)
    }

    /// The rank that `lower` voxels lie before.
    #[inline]
    fn find(&mut self, lower: usize) -> usize {
        while self.below > lower {
            let Some(rank) = self.previous(self.at) else { break };
            self.at = rank;
            self.below -= self.counts[rank] as usize;
        }
        while let Some(rank) = self.next(self.at) {
            self.at = rank;
            let count = self.counts[rank] as usize;
            if self.below + count > lower {
                break;
            }
            self.below += count;
            self.at += 1;
        }
        self.at
    }
}

/// Medians over a footprint for each voxel of a block that is padded by its radius.
pub(super) fn median(padded: &Grid<f32>, footprint: &Footprint, out: &mut Grid<f32>, ctx: &Ctx) -> Result<()> {
    let shape = out.shape;
    for z in (0..shape[0]).step_by(TILE[0]) {
        for y in (0..shape[1]).step_by(TILE[1]) {
            for x in (0..shape[2]).step_by(TILE[2]) {
                let start = [z, y, x];
                let size = std::array::from_fn(|axis| TILE[axis].min(shape[axis] - start[axis]));
                tile(padded, footprint, start, size, out, ctx)?;
            }
        }
    }
    Ok(())
}

fn tile(
    padded: &Grid<f32>,
    footprint: &Footprint,
    start: [usize; 3],
    size: [usize; 3],
    out: &mut Grid<f32>,
    ctx: &Ctx,
) -> Result<()> {
    let radius = footprint.radius;
    let wide: [usize; 3] = std::array::from_fn(|axis| size[axis] + 2 * radius[axis]);
    let (ranks, values) = ranked(padded, start, wide);
    let mut histogram = Histogram::new(values.len());
    let lower = footprint.len() / 2;
    // Places of the lines of the footprint in a tile, from the place of the voxel at x = 0 of a line of the result.
    let lines: Vec<(usize, usize)> = footprint
        .lines
        .iter()
        .map(|&[z, y, half]| {
            let (z, y) = ((z + radius[0] as isize) as usize, (y + radius[1] as isize) as usize);
            ((z * wide[1] + y) * wide[2] + radius[2], half as usize)
        })
        .collect();
    for z in 0..size[0] {
        for y in 0..size[1] {
            ctx.check()?;
            let from = (z * wide[1] + y) * wide[2];
            for &(line, half) in &lines {
                ranks[from + line - half..=from + line + half].iter().for_each(|&rank| histogram.add(rank));
            }
            let target = &mut out.row_mut(start[0] + z, start[1] + y)[start[2]..start[2] + size[2]];
            for (x, target) in target.iter_mut().enumerate() {
                if x > 0 {
                    for &(line, half) in &lines {
                        histogram.remove(ranks[from + line + x - half - 1]);
                        histogram.add(ranks[from + line + x + half]);
                    }
                }
                *target = values[histogram.find(lower)];
            }
            let last = from + size[2] - 1;
            for &(line, half) in &lines {
                ranks[last + line - half..=last + line + half].iter().for_each(|&rank| histogram.remove(rank));
            }
        }
    }
    Ok(())
}

/// The rank of each voxel of a part of a block, and the value of each rank.
fn ranked(padded: &Grid<f32>, start: [usize; 3], size: [usize; 3]) -> (Vec<u32>, Vec<f32>) {
    let mut voxels = Vec::with_capacity(size.iter().product());
    for z in start[0]..start[0] + size[0] {
        for y in start[1]..start[1] + size[1] {
            voxels.extend_from_slice(&padded.row(z, y)[start[2]..start[2] + size[2]]);
        }
    }
    let (least, most) = voxels.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(a, b), &v| (a.min(v), b.max(v)));
    // Whole numbers of a small range are their own ranks.
    if most - least < 65536.0 && least.abs() < 8e6 && most.abs() < 8e6 && voxels.iter().all(|v| v.trunc() == *v) {
        let ranks = voxels.iter().map(|v| (v - least) as u32).collect();
        return (ranks, (0..=(most - least) as u32).map(|rank| least + rank as f32).collect());
    }
    let mut order: Vec<u64> =
        voxels.iter().enumerate().map(|(at, &value)| (u64::from(sortable(value)) << 32) | at as u64).collect();
    order.sort_unstable();
    let (mut ranks, mut values) = (vec![0u32; voxels.len()], Vec::new());
    let mut last = None;
    for item in order {
        let (key, at) = ((item >> 32) as u32, item as u32 as usize);
        if last != Some(key) {
            last = Some(key);
            // Both zeros become the positive one, whichever comes first in a tile.
            values.push(voxels[at] + 0.0);
        }
        ranks[at] = values.len() as u32 - 1;
    }
    (ranks, values)
}

/// Bits that order as the numbers do; both zeros are one.
fn sortable(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}
