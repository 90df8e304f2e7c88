//! Volumes of two groups, voxel by voxel.

use rayon::prelude::*;
use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::options::Options;
use zensaibo_core::{Ctx, DataFault, Error, Result};

use super::options::{Alternative, CompareVolumesOptions, Control, Statistic};
use super::shuffles::{Deal, deals};
use crate::blocks::{DEFAULT_MEMORY, read_as};

/// Voxels that are worked on together: with a dozen samples they fit the cache.
const VOXELS: usize = 512;
/// Share by which statistics count as equal: what rounding makes of one that is dealt the other way round.
const EQUAL: f64 = 1e-9;
/// Deals whose clusters are found together: a byte per voxel and deal.
const DEALS: usize = 64;

/// Voxels that stand out together.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cluster {
    /// Number of voxels.
    pub voxels: u64,
    /// The statistic that is farthest from 0.
    pub peak: f64,
    /// Where it is, (z, y, x); the first where several are.
    pub at: [usize; 3],
    /// Family-wise error: share of shuffles with a cluster as large.
    pub p: f64,
}

/// What [`compare_volumes`] returns. Grids are NaN beyond the mask.
#[derive(Clone, Debug, PartialEq)]
pub struct VolumeComparison {
    /// Mean of the first group less that of the second.
    pub difference: Grid<f32>,
    /// The statistic.
    pub statistic: Grid<f32>,
    /// P-value of each voxel by itself.
    pub p: Grid<f32>,
    /// Family-wise error over the mask: of the voxel, or of the cluster that it is in (1 where it is in none).
    pub p_corrected: Grid<f32>,
    /// Clusters, the largest first, and their numbers (from 1) per voxel, when clusters were asked for.
    pub clusters: Option<(Vec<Cluster>, Grid<u32>)>,
    /// For every shuffle, the observed one first, the largest statistic or the voxels of the largest cluster.
    pub largest: Vec<f64>,
    /// Whether every shuffle was made.
    pub exact: bool,
}

/// Compares volumes of one grid voxel by voxel, `first` of them against the rest, by dealing the samples anew.
///
/// Every deal is applied to all voxels at once, so that their dependence is kept. The p-value of a voxel is the share of deals
/// (the observed one among them) whose statistic is at least as large there; family-wise, whose largest statistic anywhere
/// is. It holds where samples could have been in either group if it made no difference. For clusters, a deal counts by its
/// largest one.
///
/// With [`Control::Max`] voxels are read slab by slab within `memory` bytes (2 GiB by default); clusters need all
/// voxels of the mask of all samples at once, 4 bytes each, and 64 bytes per voxel. Random are only the deals, by the seed; the same bits for any number
/// of threads and any memory. Time O(voxels x deals x samples of the smaller group).
///
/// # Errors
/// [`Error::Data`] for volumes of different shape or with several frames, fewer than two in a group, values that are not
/// finite, an empty mask or one of another shape; [`Error::Parameter`] for bad options; what reading can meet;
/// [`Error::Interrupted`].
pub fn compare_volumes(
    volumes: &[&dyn VolumeBlocks],
    first: usize,
    mask: Option<&Grid<u8>>,
    options: &CompareVolumesOptions,
    memory: Option<u64>,
    ctx: &Ctx,
) -> Result<VolumeComparison> {
    options.validate()?;
    let n = volumes.len();
    let second = n.saturating_sub(first);
    if first < 2 || second < 2 {
        let found = format!("{first} and {second}");
        return Err(Error::data(DataFault::TooFew, "volumes", "at least two in each group", found));
    }
    let shape = check(volumes, mask)?;
    let (deals, exact) = deals(n, first, options.n_permutations, options.seed);
    let judge = Judge { n, deals, options, observed_first: first };
    let total: usize = shape.iter().product();
    let mut out = VolumeComparison {
        difference: Grid::filled(shape, f32::NAN),
        statistic: Grid::filled(shape, f32::NAN),
        p: Grid::filled(shape, f32::NAN),
        p_corrected: Grid::filled(shape, f32::NAN),
        clusters: None,
        largest: vec![f64::NEG_INFINITY; judge.deals.len()],
        exact,
    };
    // Two copies of a slab while it is dealt into blocks.
    let plane = (shape[1] * shape[2]).max(1);
    let depth = (memory.unwrap_or(DEFAULT_MEMORY) as usize / (plane * n * 16)).clamp(1, shape[0].max(1));
    let stage = ctx.stage(
        "compare volumes",
        total as u64 + if options.control == Control::Cluster { judge.deals.len() as u64 } else { 0 },
    );
    let mut kept: Vec<Block> = Vec::new();
    let mut scores: Vec<(usize, f64)> = Vec::new();
    for z in (0..shape[0]).step_by(depth) {
        let region = Region { start: [z, 0, 0], size: [depth.min(shape[0] - z), shape[1], shape[2]] };
        let places: Vec<usize> =
            (z * plane..z * plane + region.len()).filter(|&at| mask.is_none_or(|mask| mask.data[at] != 0)).collect();
        if places.is_empty() {
            stage.advance(region.len() as u64)?;
            continue;
        }
        let read: Vec<Grid<f32>> = volumes
            .par_iter()
            .map(|volume| {
                ctx.check()?;
                read_as::<f32>(*volume, Frame::default(), &region)
            })
            .collect::<Result<_>>()?;
        let blocks: Vec<Block> = places
            .par_chunks(VOXELS)
            .map(|places| Block::new(&read, places, z * plane, volumes, shape))
            .collect::<Result<_>>()?;
        drop(read);
        let found: Vec<Judged> = blocks.par_iter().map(|block| judge.block(block, ctx)).collect::<Result<_>>()?;
        for (block, judged) in blocks.iter().zip(&found) {
            for (voxel, &place) in block.places.iter().enumerate() {
                out.difference.data[place] = judged.difference[voxel] as f32;
                out.statistic.data[place] = judged.statistic[voxel] as f32;
                out.p.data[place] = (judged.reached[voxel] as f64 / judge.deals.len() as f64) as f32;
                scores.push((place, judged.score[voxel]));
            }
            out.largest.iter_mut().zip(&judged.largest).for_each(|(all, own)| *all = all.max(*own));
        }
        if options.control == Control::Cluster {
            kept.extend(blocks);
        }
        stage.advance(region.len() as u64)?;
    }
    if options.control == Control::Cluster {
        let places = Places::new(&kept, shape);
        let mut observed = Vec::new();
        let mut largest = Vec::with_capacity(judge.deals.len());
        for from in (0..judge.deals.len()).step_by(DEALS) {
            let to = (from + DEALS).min(judge.deals.len());
            let stands: Vec<Vec<i8>> = kept
                .par_iter()
                .map(|block| {
                    ctx.check()?;
                    Ok(judge.stands(block, from..to))
                })
                .collect::<Result<_>>()?;
            let mut found: Vec<Vec<Vec<usize>>> = (from..to)
                .into_par_iter()
                .map(|deal| {
                    stage.advance(1)?;
                    let all = kept.iter().zip(&stands).flat_map(|(block, stands)| {
                        let width = block.places.len();
                        &stands[(deal - from) * width..(deal - from + 1) * width]
                    });
                    let found = clusters(all.copied().collect(), &places);
                    Ok(if deal == 0 { found } else { found.into_iter().max_by_key(Vec::len).into_iter().collect() })
                })
                .collect::<Result<_>>()?;
            largest.extend(found.iter().map(|found| found.iter().map(Vec::len).max().unwrap_or(0) as f64));
            if from == 0 {
                observed = std::mem::take(&mut found[0]);
            }
        }
        out.largest = largest;
        let mut found: Vec<(Vec<usize>, Cluster)> = observed
            .into_iter()
            .map(|members| {
                let mut members: Vec<usize> = members.into_iter().map(|member| places.all[member]).collect();
                members.sort_unstable();
                let far = |at: usize| f64::from(out.statistic.data[at]);
                let peak = members
                    .iter()
                    .copied()
                    .fold(members[0], |best, at| if far(at).abs() > far(best).abs() { at } else { best });
                let p = share_of(&out.largest, members.len() as f64);
                let at = [peak / plane, peak % plane / shape[2], peak % shape[2]];
                let cluster = Cluster { voxels: members.len() as u64, peak: far(peak), at, p };
                (members, cluster)
            })
            .collect();
        found.sort_by(|a, b| b.1.voxels.cmp(&a.1.voxels).then(a.0[0].cmp(&b.0[0])));
        places.all.iter().for_each(|&place| out.p_corrected.data[place] = 1.0);
        let mut numbers = Grid::filled(shape, 0u32);
        for (number, (members, cluster)) in found.iter().enumerate() {
            for &at in members {
                numbers.data[at] = number as u32 + 1;
                out.p_corrected.data[at] = cluster.p as f32;
            }
        }
        out.clusters = Some((found.into_iter().map(|(_, cluster)| cluster).collect(), numbers));
    } else {
        let mut sorted = out.largest.clone();
        sorted.sort_unstable_by(f64::total_cmp);
        for (place, score) in scores {
            let reached = sorted.len() - sorted.partition_point(|&most| most < score - EQUAL * score.abs());
            out.p_corrected.data[place] = (reached as f64 / sorted.len() as f64) as f32;
        }
        // Scores of t are its squares with their sign.
        if options.statistic == Statistic::Welch {
            out.largest.iter_mut().for_each(|most| *most = root(*most));
        }
    }
    Ok(out)
}

/// Share of `all` that reach `value`.
fn share_of(all: &[f64], value: f64) -> f64 {
    all.iter().filter(|most| **most >= value).count() as f64 / all.len() as f64
}

fn root(square: f64) -> f64 {
    square.abs().sqrt().copysign(square)
}

/// The shape that all volumes share.
fn check(volumes: &[&dyn VolumeBlocks], mask: Option<&Grid<u8>>) -> Result<[usize; 3]> {
    let shape = volumes[0].info().space();
    for volume in volumes {
        let info = volume.info();
        if info.shape[0] != 1 || info.shape[1] != 1 {
            let found = format!("{} in {}", info.axes, info.name);
            return Err(Error::data(DataFault::Shape, "volumes", "one time point of one channel each", found));
        }
        if info.space() != shape {
            let found = format!("{:?} in {}", info.space(), info.name);
            return Err(Error::data(DataFault::Shape, "volumes", format!("one shape, {shape:?}"), found));
        }
    }
    if shape.contains(&0) {
        return Err(Error::data(DataFault::Empty, "volumes", "voxels", format!("{shape:?}")));
    }
    if let Some(mask) = mask {
        if mask.shape != shape {
            return Err(Error::data(DataFault::Shape, "mask", format!("{shape:?}"), format!("{:?}", mask.shape)));
        }
        if mask.data.iter().all(|&value| value == 0) {
            return Err(Error::data(DataFault::Empty, "mask", "voxels that count", "none"));
        }
    }
    Ok(shape)
}

/// Some voxels of all samples.
struct Block {
    /// Where they lie in the volume.
    places: Vec<usize>,
    /// Samples x voxels.
    values: Vec<f32>,
}

impl Block {
    fn new(
        read: &[Grid<f32>],
        places: &[usize],
        start: usize,
        volumes: &[&dyn VolumeBlocks],
        shape: [usize; 3],
    ) -> Result<Self> {
        let mut values = Vec::with_capacity(read.len() * places.len());
        for (sample, grid) in read.iter().enumerate() {
            for &place in places {
                let value = grid.data[place - start];
                if !value.is_finite() {
                    let plane = shape[1] * shape[2];
                    let at = [place / plane, place % plane / shape[2], place % shape[2]];
                    let name = &volumes[sample].info().name;
                    let found = format!("{value} at {at:?} of volume {} ({name})", sample + 1);
                    return Err(Error::data(DataFault::NotFinite, "volumes", "finite values within the mask", found));
                }
                values.push(value);
            }
        }
        Ok(Self { places: places.to_vec(), values })
    }
}

/// Values less their mean over all samples, so that sums of squares lose nothing.
struct Centred {
    width: usize,
    values: Vec<f64>,
    squares: Vec<f64>,
    /// Sum of squares over all samples.
    all: Vec<f64>,
}

impl Centred {
    fn new(block: &Block, n: usize) -> Self {
        let width = block.places.len();
        let mut values: Vec<f64> = block.values.iter().map(|&value| f64::from(value)).collect();
        let mut means = vec![0f64; width];
        values.chunks(width).for_each(|row| means.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
        means.iter_mut().for_each(|mean| *mean /= n as f64);
        values.chunks_mut(width).for_each(|row| row.iter_mut().zip(&means).for_each(|(value, mean)| *value -= mean));
        let squares: Vec<f64> = values.iter().map(|value| value * value).collect();
        let mut all = vec![0f64; width];
        squares.chunks(width).for_each(|row| all.iter_mut().zip(row).for_each(|(sum, value)| *sum += value));
        Self { width, values, squares, all }
    }
}

/// What one block gives.
struct Judged {
    difference: Vec<f64>,
    statistic: Vec<f64>,
    /// The statistic as it is ranked.
    score: Vec<f64>,
    /// Deals that reach it.
    reached: Vec<u32>,
    /// Largest score of each deal.
    largest: Vec<f64>,
}

/// Sums over the smaller group and the statistic of a deal: the difference, or the square of t with its sign.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512vl", "x86_64+avx2"))]
fn statistic(data: &Centred, few: &[usize], sign: f64, n: usize, welch: bool, sums: &mut [f64], out: &mut [f64]) {
    let width = data.width;
    let (sums, out) = (&mut sums[..width], &mut out[..width]);
    sums.fill(0.0);
    out.fill(0.0);
    let row = |table: &[f64], sample: usize| -> std::ops::Range<usize> {
        debug_assert!(table.len() >= (sample + 1) * width);
        sample * width..(sample + 1) * width
    };
    for &sample in few {
        let values = &data.values[row(&data.values, sample)];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    let (f, o) = (few.len() as f64, (n - few.len()) as f64);
    let to_difference = sign * (1.0 / f + 1.0 / o);
    if !welch {
        out.iter_mut().zip(sums).for_each(|(out, sum)| *out = *sum * to_difference);
        return;
    }
    for &sample in few {
        let squares = &data.squares[row(&data.squares, sample)];
        out.iter_mut().zip(squares).for_each(|(sum, value)| *sum += value);
    }
    let (by_f, by_o) = (1.0 / (f * (f - 1.0)), 1.0 / (o * (o - 1.0)));
    for ((out, sum), all) in out.iter_mut().zip(sums).zip(&data.all[..width]) {
        let square = *sum * *sum;
        let variance = (*out - square / f) * by_f + (all - *out - square / o) * by_o;
        let difference = *sum * to_difference;
        // Groups without variation: what rounding leaves of it.
        let variance = variance.max(1e-12 * all).max(1e-300);
        *out = difference * difference.abs() / variance;
    }
}

/// How voxels are judged.
struct Judge<'a> {
    n: usize,
    deals: Vec<Deal>,
    options: &'a CompareVolumesOptions,
    observed_first: usize,
}

impl Judge<'_> {
    /// The statistic of one deal, to be ranked by `score`.
    fn statistic(&self, data: &Centred, deal: &Deal, sums: &mut [f64], out: &mut [f64]) {
        let sign = if deal.second { -1.0 } else { 1.0 };
        statistic(data, &deal.few, sign, self.n, self.options.statistic == Statistic::Welch, sums, out);
    }

    fn score(&self, statistic: f64) -> f64 {
        match self.options.alternative {
            Alternative::TwoSided => statistic.abs(),
            Alternative::Greater => statistic,
            Alternative::Less => -statistic,
        }
    }

    fn block(&self, block: &Block, ctx: &Ctx) -> Result<Judged> {
        let data = Centred::new(block, self.n);
        let width = data.width;
        let (mut sums, mut out) = (vec![0f64; width], vec![0f64; width]);
        self.statistic(&data, &self.deals[0], &mut sums, &mut out);
        let score: Vec<f64> = out.iter().map(|&value| self.score(value)).collect();
        let least: Vec<f64> = score.iter().map(|score| score - EQUAL * score.abs()).collect();
        let welch = self.options.statistic == Statistic::Welch;
        let shown: Vec<f64> = out.iter().map(|&value| if welch { root(value) } else { value }).collect();
        let scale = self.n as f64 / (self.observed_first as f64 * (self.n - self.observed_first) as f64);
        let mut difference = vec![0f64; width];
        for sample in 0..self.observed_first {
            let row = &data.values[sample * width..(sample + 1) * width];
            difference.iter_mut().zip(row).for_each(|(sum, value)| *sum += value * scale);
        }
        let mut reached = vec![0u32; width];
        let mut largest = Vec::with_capacity(self.deals.len());
        for (number, deal) in self.deals.iter().enumerate() {
            if number % 256 == 0 {
                ctx.check()?;
            }
            self.statistic(&data, deal, &mut sums, &mut out);
            let mut most = f64::NEG_INFINITY;
            for ((value, least), reached) in out.iter().zip(&least).zip(&mut reached) {
                let score = self.score(*value);
                *reached += u32::from(score >= *least);
                most = if score > most { score } else { most };
            }
            largest.push(most);
        }
        Ok(Judged { difference, statistic: shown, score, reached, largest })
    }

    /// For some deals and every voxel of a block: 1 where it stands out above, -1 below, 0 neither.
    fn stands(&self, block: &Block, deals: std::ops::Range<usize>) -> Vec<i8> {
        let limit = match self.options.statistic {
            Statistic::Welch => self.options.threshold * self.options.threshold,
            Statistic::Difference => self.options.threshold,
        };
        let data = Centred::new(block, self.n);
        let (mut sums, mut out) = (vec![0f64; data.width], vec![0f64; data.width]);
        let mut stands = Vec::with_capacity(data.width * deals.len());
        for deal in &self.deals[deals] {
            self.statistic(&data, deal, &mut sums, &mut out);
            stands.extend(out.iter().map(|&value| {
                let up = value > limit && self.options.alternative != Alternative::Less;
                let down = value < -limit && self.options.alternative != Alternative::Greater;
                i8::from(up) - i8::from(down)
            }));
        }
        stands
    }
}

/// Clusters of what stands out on one side: members as numbers of masked voxels.
fn clusters(mut stands: Vec<i8>, places: &Places) -> Vec<Vec<usize>> {
    let mut found = Vec::new();
    let mut open = Vec::new();
    for start in 0..stands.len() {
        let side = stands[start];
        if side == 0 {
            continue;
        }
        stands[start] = 0;
        open.push(start);
        let mut members = Vec::new();
        while let Some(member) = open.pop() {
            members.push(member);
            places.neighbours(member, |other| {
                if stands[other] == side {
                    stands[other] = 0;
                    open.push(other);
                }
            });
        }
        found.push(members);
    }
    found
}

/// Where the voxels of the mask lie.
struct Places {
    all: Vec<usize>,
    /// Number of each voxel of the volume + 1; 0 beyond the mask.
    number: Vec<u32>,
    shape: [usize; 3],
}

impl Places {
    fn new(blocks: &[Block], shape: [usize; 3]) -> Self {
        let all: Vec<usize> = blocks.iter().flat_map(|block| block.places.iter().copied()).collect();
        let mut number = vec![0u32; shape.iter().product()];
        all.iter().enumerate().for_each(|(at, &place)| number[place] = at as u32 + 1);
        Self { all, number, shape }
    }

    /// The voxels of the mask that touch one by a face, an edge or a corner.
    fn neighbours(&self, member: usize, mut each: impl FnMut(usize)) {
        let [depth, height, width] = self.shape;
        let place = self.all[member];
        let at = [place / (height * width), place / width % height, place % width];
        let span = |axis: usize, n: usize| at[axis].saturating_sub(1)..(at[axis] + 2).min(n);
        for z in span(0, depth) {
            for y in span(1, height) {
                for x in span(2, width) {
                    let number = self.number[(z * height + y) * width + x];
                    if number > 0 && number as usize != member + 1 {
                        each(number as usize - 1);
                    }
                }
            }
        }
    }
}
