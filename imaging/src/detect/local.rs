//! The first look: what is normal around each place.
//!
//! The volume is cut into tiles of about six soma diameters. Each gives, from a fixed sample of its voxels, the median
//! of the signal, its spread (median absolute deviation) and the noise from voxel to voxel; between the centres of the
//! tiles these run linearly. The tiles lie where the shape of the volume says, so blocks and threads change nothing.
//! What all tiles tell together is how much noise tissue has: less than a share of it is not believed.

use std::ops::Range;

use rayon::prelude::*;
use zensaibo_core::data::{Dtype, Frame, Region, VolumeBlocks};
use zensaibo_core::exchange::units;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use crate::blocks::read_f32;
use crate::space::Spacing;

/// Voxels that a tile looks at, at most.
const SAMPLE: usize = 4096;
/// Noise of a volume of which no tile has any, as a share of its range.
const ROUNDED: f32 = 1e-3;
/// From the median absolute deviation to the standard deviation of a normal distribution.
const MAD: f32 = 1.4826;

/// What is normal at one place.
#[derive(Clone, Copy, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Normal {
    /// Median of the signal.
    pub median: f32,
    /// Its spread.
    pub spread: f32,
    /// Noise from voxel to voxel.
    pub noise: f32,
    /// How much signal comes with each unit of the background channel.
    pub slope: f32,
    /// Median of the background channel.
    pub background: f32,
}

/// What is normal everywhere.
pub(crate) struct LocalMap {
    counts: [usize; 3],
    shape: [usize; 3],
    tiles: Vec<Normal>,
    /// Least noise and least spread that are believed.
    pub floor: [f32; 2],
    /// Voxels at the largest value that the number type holds.
    pub saturated: u64,
    /// Whether all voxels have one value.
    pub constant: bool,
}

/// What one tile tells.
#[derive(serde::Serialize, serde::Deserialize)]
struct Tile {
    normal: Normal,
    /// Least and greatest value.
    range: [f32; 2],
    saturated: u64,
    bad: Option<[usize; 3]>,
}

impl LocalMap {
    /// Looks at every voxel once. `floor` is the least noise that is believed, as a share of that of tissue.
    ///
    /// # Errors
    /// [`Error::Data`] for a volume without voxels or with NaN or infinity, naming the first such voxel.
    pub(crate) fn new(
        signal: &dyn VolumeBlocks,
        background: Option<&dyn VolumeBlocks>,
        frame: Frame,
        spacing: Spacing,
        diameter: f64,
        floor: f64,
        ctx: &Ctx,
    ) -> Result<Self> {
        let shape = signal.info().space();
        if shape.contains(&0) {
            let found = format!("{} x {} x {} voxels", shape[0], shape[1], shape[2]);
            return Err(Error::data(DataFault::Empty, signal.info().name.clone(), "at least one voxel", found));
        }
        let voxels = spacing.to_voxels(6.0 * diameter);
        let counts: [usize; 3] = std::array::from_fn(|a| ((shape[a] as f64 / voxels[a]).round() as usize).max(1));
        let reach = spacing.to_voxels(0.75 * diameter).map(|r| (r.round() as usize).max(1));
        let top = top_value(signal.info().dtype);
        let number: usize = counts.iter().product();
        let place = |index: usize| [index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]];
        let start = |at: [usize; 3]| -> [usize; 3] { std::array::from_fn(|a| at[a] * shape[a] / counts[a]) };
        // Tiles of one stored piece follow one another, so that it is decoded for all of them at once.
        let chunk = signal.info().chunk.map(|n| n.max(1));
        let mut order: Vec<usize> = (0..number).collect();
        order.sort_by_key(|&index| {
            let first = start(place(index));
            (std::array::from_fn::<usize, 3, _>(|a| first[a] / chunk[a]), index)
        });
        let here = |wanted: Range<usize>, put: &mut dyn FnMut(usize, (usize, Tile)) -> Result<()>| {
            let stage = ctx.stage("local noise", wanted.len() as u64);
            let tiles: Vec<Result<(usize, Tile)>> = order[wanted.clone()]
                .par_iter()
                .with_max_len(1)
                .map(|&index| {
                    ctx.check()?;
                    let at = place(index);
                    let (start, end) = (start(at), start(at.map(|n| n + 1)));
                    let region = Region { start, size: std::array::from_fn(|a| end[a] - start[a]) };
                    let tile = look(signal, background, frame, &region, reach, top)?;
                    stage.advance(1)?;
                    Ok((index, tile))
                })
                .collect();
            wanted.zip(tiles).try_for_each(|(unit, tile)| put(unit, tile?))
        };
        let mut seen: Vec<(usize, Tile)> = Vec::with_capacity(number);
        units(signal.exchange(), "local noise", number, ctx, here, |_, tile| {
            seen.push(tile);
            Ok(())
        })?;
        seen.sort_unstable_by_key(|(index, _)| *index);
        let tiles: Vec<Tile> = seen.into_iter().map(|(_, tile)| tile).collect();
        if let Some(at) = tiles.iter().filter_map(|tile| tile.bad).min() {
            let what = format!("voxels of {}", signal.info().name);
            let found = format!("NaN or infinity at (z, y, x) = ({}, {}, {})", at[0], at[1], at[2]);
            return Err(Error::data(DataFault::NotFinite, what, "finite numbers", found));
        }
        let least = |of: fn(&Normal) -> f32| floor as f32 * weighty(tiles.iter().map(|tile| of(&tile.normal)));
        let low = tiles.iter().map(|tile| tile.range[0]).fold(f32::INFINITY, f32::min);
        let high = tiles.iter().map(|tile| tile.range[1]).fold(f32::NEG_INFINITY, f32::max);
        // Cells on nothing at all: what is left is what sums of rounded numbers leave.
        let still = tiles.iter().all(|tile| tile.normal.spread <= 0.0 && tile.normal.noise <= 0.0);
        let floor = match still {
            true => [ROUNDED * (high - low); 2],
            false => [least(|normal| normal.noise), least(|normal| normal.spread)],
        };
        Ok(Self {
            counts,
            shape,
            floor,
            saturated: tiles.iter().map(|tile| tile.saturated).sum(),
            constant: low >= high,
            tiles: tiles.into_iter().map(|tile| tile.normal).collect(),
        })
    }

    /// What is normal at a voxel.
    pub(crate) fn at(&self, voxel: [usize; 3]) -> Normal {
        let mut low = [0usize; 3];
        let mut high = [0usize; 3];
        let mut share = [0f32; 3];
        for a in 0..3 {
            let n = self.counts[a];
            let place = (voxel[a] as f64 + 0.5) * n as f64 / self.shape[a] as f64 - 0.5;
            let place = place.clamp(0.0, (n - 1) as f64);
            low[a] = place as usize;
            high[a] = (low[a] + 1).min(n - 1);
            share[a] = (place - low[a] as f64) as f32;
        }
        let mut sum = Normal::default();
        for corner in 0..8 {
            let pick = |a: usize| if corner >> a & 1 == 0 { (low[a], 1.0 - share[a]) } else { (high[a], share[a]) };
            let [(z, wz), (y, wy), (x, wx)] = [pick(0), pick(1), pick(2)];
            let weight = wz * wy * wx;
            let tile = &self.tiles[(z * self.counts[1] + y) * self.counts[2] + x];
            sum.median += weight * tile.median;
            sum.spread += weight * tile.spread;
            sum.noise += weight * tile.noise;
            sum.slope += weight * tile.slope;
            sum.background += weight * tile.background;
        }
        sum
    }
}

/// The value at and above which values hold half of their sum: that of tissue, be it a small share of a volume whose rest is
/// nearly still. 0 where all are.
fn weighty(values: impl Iterator<Item = f32>) -> f32 {
    let mut sorted: Vec<f32> = values.collect();
    sorted.sort_unstable_by(f32::total_cmp);
    let half = sorted.iter().map(|&value| f64::from(value)).sum::<f64>() / 2.0;
    let mut sum = 0.0;
    for &value in sorted.iter().rev() {
        sum += f64::from(value);
        if sum >= half {
            return value;
        }
    }
    0.0
}

/// The largest value of a whole-number type.
fn top_value(dtype: Dtype) -> f32 {
    match dtype {
        Dtype::U8 => 255.0,
        Dtype::U16 => 65535.0,
        Dtype::I8 => 127.0,
        Dtype::I16 => 32767.0,
        Dtype::U32 => u32::MAX as f32,
        Dtype::I32 => i32::MAX as f32,
        _ => f32::INFINITY,
    }
}

/// One tile.
fn look(
    signal: &dyn VolumeBlocks,
    background: Option<&dyn VolumeBlocks>,
    frame: Frame,
    region: &Region,
    reach: [usize; 3],
    top: f32,
) -> Result<Tile> {
    let grid = read_f32(signal, frame, region)?;
    let other = background.map(|volume| read_f32(volume, Frame::default(), region)).transpose()?;
    let saturated = at_least(&grid.data, top);
    let place = |i: usize| {
        let [_, h, w] = region.size;
        let at = [i / (h * w), i / w % h, i % w];
        std::array::from_fn(|a| region.start[a] + at[a])
    };
    let faulty = |data: &[f32]| {
        // A search for the first one alone would not be vectorised.
        let stretch =
            data.chunks(4096).position(|stretch| stretch.iter().fold(false, |bad, v| bad | !v.is_finite()))?;
        data[stretch * 4096..].iter().position(|value| !value.is_finite()).map(|at| place(stretch * 4096 + at))
    };
    let bad = [faulty(&grid.data), other.as_ref().and_then(|other| faulty(&other.data))].into_iter().flatten().min();
    if bad.is_some() {
        return Ok(Tile { normal: Normal::default(), range: [0.0; 2], saturated, bad });
    }
    // A lattice and its mirror image, so that a turned volume gives the same sample.
    let size = region.size;
    let mut step = [1usize; 3];
    while (0..3).map(|a| size[a].div_ceil(step[a])).product::<usize>() > SAMPLE {
        let widest = (0..3).map(|a| size[a].div_ceil(step[a])).max().unwrap_or(1);
        for a in 0..3 {
            step[a] += usize::from(size[a].div_ceil(step[a]) == widest);
        }
    }
    let places: [Vec<usize>; 3] = std::array::from_fn(|a| {
        let mut all: Vec<usize> = (0..size[a]).step_by(step[a]).flat_map(|at| [at, size[a] - 1 - at]).collect();
        all.sort_unstable();
        all.dedup();
        all
    });
    let count = places.iter().map(Vec::len).product();
    let [mut own, mut apart] = [Vec::with_capacity(count), Vec::with_capacity(count)];
    let [mut own_other, mut apart_other] = [Vec::new(), Vec::new()];
    let six = |grid: &zensaibo_core::data::Grid<f32>, at: [usize; 3]| {
        let mut sums = [0f32; 3];
        let mut number = 0f32;
        for a in 0..3 {
            // Both neighbours or none, so that a slope does not count as noise.
            if at[a] >= reach[a] && at[a] + reach[a] < size[a] {
                let (mut before, mut after) = (at, at);
                before[a] -= reach[a];
                after[a] += reach[a];
                sums[a] = grid.at(before[0], before[1], before[2]) + grid.at(after[0], after[1], after[2]);
                number += 2.0;
            }
        }
        let centre = grid.at(at[0], at[1], at[2]);
        if number == 0.0 {
            None
        } else {
            Some((centre - (sums[0] + sums[1] + sums[2]) / number) / (1.0 + 1.0 / number).sqrt())
        }
    };
    for &z in &places[0] {
        for &y in &places[1] {
            for &x in &places[2] {
                own.push(grid.at(z, y, x));
                let difference = six(&grid, [z, y, x]);
                apart.extend(difference);
                if let Some(other) = &other {
                    own_other.push(other.at(z, y, x));
                    if difference.is_some() {
                        apart_other.extend(six(other, [z, y, x]));
                    }
                }
            }
        }
    }
    let mut normal = Normal::default();
    if other.is_some() {
        normal.background = median(&mut own_other.clone());
        normal.slope = slope(&own, &own_other);
        own.iter_mut().zip(&own_other).for_each(|(own, &b)| *own -= normal.slope * (b - normal.background));
        apart.iter_mut().zip(&apart_other).for_each(|(own, &b)| *own -= normal.slope * b);
    }
    (normal.median, normal.spread) = centre_and_spread(&mut own);
    normal.noise = if apart.is_empty() { normal.spread } else { centre_and_spread(&mut apart).1 };
    Ok(Tile { normal, range: range(&grid.data), saturated, bad: None })
}

/// Voxels at or above a value.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn at_least(voxels: &[f32], top: f32) -> u64 {
    voxels.chunks(4096).map(|stretch| u64::from(stretch.iter().map(|&v| u32::from(v >= top)).sum::<u32>())).sum()
}

/// The least and the greatest of finite values.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn range(voxels: &[f32]) -> [f32; 2] {
    // Side by side, since one minimum after the other would not be vectorised.
    let (mut low, mut high) = ([f32::INFINITY; 16], [f32::NEG_INFINITY; 16]);
    let (sixteens, rest) = voxels.as_chunks::<16>();
    for sixteen in sixteens {
        for k in 0..16 {
            low[k] = if sixteen[k] < low[k] { sixteen[k] } else { low[k] };
            high[k] = if sixteen[k] > high[k] { sixteen[k] } else { high[k] };
        }
    }
    let low = low.iter().chain(rest).copied().fold(f32::INFINITY, f32::min);
    [low, high.iter().chain(rest).copied().fold(f32::NEG_INFINITY, f32::max)]
}

/// How much of `own` goes with `other`, among the darker nine tenths of `own`, where cells are few; never below 0.
fn slope(own: &[f32], other: &[f32]) -> f32 {
    let mut sorted = own.to_vec();
    sorted.sort_by(f32::total_cmp);
    let limit = sorted[(sorted.len() - 1) * 9 / 10];
    let chosen: Vec<(f64, f64)> =
        own.iter().zip(other).filter(|pair| *pair.0 <= limit).map(|(&a, &b)| (f64::from(a), f64::from(b))).collect();
    let n = chosen.len() as f64;
    let (mean_own, mean_other) =
        (chosen.iter().map(|pair| pair.0).sum::<f64>() / n, chosen.iter().map(|pair| pair.1).sum::<f64>() / n);
    let (mut both, mut square) = (0.0, 0.0);
    for (a, b) in chosen {
        both += (a - mean_own) * (b - mean_other);
        square += (b - mean_other) * (b - mean_other);
    }
    if square > 0.0 { (both / square).max(0.0) as f32 } else { 0.0 }
}

/// The middle value (the mean of the two in the middle of an even number).
fn median(values: &mut [f32]) -> f32 {
    let n = values.len();
    if n == 0 {
        return 0.0;
    }
    let (low, &mut upper, _) = values.select_nth_unstable_by(n / 2, f32::total_cmp);
    if n % 2 == 1 { upper } else { (low.iter().copied().fold(f32::NEG_INFINITY, f32::max) + upper) / 2.0 }
}

/// Median and scaled median absolute deviation.
fn centre_and_spread(values: &mut [f32]) -> (f32, f32) {
    let centre = median(values);
    values.iter_mut().for_each(|value| *value = (*value - centre).abs());
    (centre, MAD * median(values))
}
