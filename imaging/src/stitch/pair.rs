//! Where one tile lies beside another: every whole shift at a low resolution, then closer and closer.

use multiversion::multiversion;
use zensaibo_core::data::{Frame, Grid, Region, VolumeBlocks};
use zensaibo_core::{Ctx, Result};

use super::level::{flattened, logarithms, reduced, tissue};
use super::search::{Side, best_lag};
use super::{StitchOptions, Verdict};

/// Voxels of the part of a tile in which every shift is tried.
const SEARCHED: usize = 1 << 18;
/// Voxels along an axis below which it is not made coarser.
const FEWEST: usize = 16;
/// Voxels of a brick, of which correlations closer to full resolution are summed.
const BRICK: [usize; 3] = [16, 32, 32];
/// Bricks at full resolution at most; at a lower one fewer, so that about as much is read, and never fewer than the other.
const BRICKS: [usize; 2] = [96, 6];
/// What correlation must exceed, over the root of the voxels that are shared: about the highest by chance of all shifts, where
/// eight voxels know as much as one that is independent of its neighbours.
const CHANCE: f64 = 12.0;
/// Parts of a voxel by which places may differ through rounding alone.
const ROUNDING: f64 = 1e-6;
/// Bytes that a pair takes while it is worked on, at most about.
pub(super) const BYTES: u64 = 160 << 20;

/// What was found about a pair.
#[derive(Clone, Copy, Debug)]
pub(super) struct Found {
    /// Voxels from the first voxel of the first tile to that of the second.
    pub(super) offset: [f64; 3],
    pub(super) correlation: f64,
    pub(super) rival: Option<f64>,
    /// Voxels that count in both, of the search.
    pub(super) voxels: f64,
    pub(super) verdict: Verdict,
    /// Logarithm of the intensity of the first over that of the second.
    pub(super) log_ratio: f64,
}

/// Two tiles, and what is said about them.
pub(super) struct Task<'a> {
    pub(super) a: &'a dyn VolumeBlocks,
    pub(super) b: &'a dyn VolumeBlocks,
    pub(super) frame: Frame,
    /// Voxels from the first voxel of the first tile to that of the second, as they are said to lie.
    pub(super) nominal: [f64; 3],
    /// Voxels along each axis by which this may be wrong.
    pub(super) search: [f64; 3],
    pub(super) spacing: [f64; 3],
}

/// A tile's part on the level of the search.
struct Part {
    region: Region,
    mask: Grid<f32>,
    values: Grid<f32>,
}

impl Task<'_> {
    fn sizes(&self) -> [[usize; 3]; 2] {
        [self.a.info().space(), self.b.info().space()]
    }

    /// What of each tile the other may hold.
    fn regions(&self) -> Option<[Region; 2]> {
        let [n_a, n_b] = self.sizes();
        let part = |own: [usize; 3], other: [usize; 3], offset: [f64; 3]| {
            let start: [usize; 3] = std::array::from_fn(|a| {
                (offset[a] - self.search[a] - ROUNDING).ceil().clamp(0.0, own[a] as f64) as usize
            });
            let end: [usize; 3] = std::array::from_fn(|a| {
                ((offset[a] + self.search[a] + ROUNDING).floor() + other[a] as f64)
                    .clamp(start[a] as f64, own[a] as f64) as usize
            });
            Region { start, size: std::array::from_fn(|a| end[a] - start[a]) }
        };
        let regions = [part(n_a, n_b, self.nominal), part(n_b, n_a, self.nominal.map(|x| -x))];
        regions.iter().all(|region| !region.is_empty()).then_some(regions)
    }

    /// How many voxels are taken together for the search: those axes first along which voxels are close.
    fn factor(&self, regions: &[Region; 2]) -> [usize; 3] {
        let least: [usize; 3] = std::array::from_fn(|a| regions[0].size[a].min(regions[1].size[a]));
        let mut factor = [1usize; 3];
        while (0..3).map(|a| regions[0].size[a] / factor[a]).product::<usize>() > SEARCHED {
            let next = (0..3).filter(|&a| least[a] / (2 * factor[a]) >= FEWEST).min_by(|&a, &b| {
                (factor[a] as f64 * self.spacing[a]).total_cmp(&(factor[b] as f64 * self.spacing[b])).then(b.cmp(&a))
            });
            match next {
                Some(axis) => factor[axis] *= 2,
                None => break,
            }
        }
        factor
    }

    fn part(
        &self,
        volume: &dyn VolumeBlocks,
        region: &Region,
        factor: [usize; 3],
        options: &StitchOptions,
        ctx: &Ctx,
    ) -> Result<Part> {
        let size: [usize; 3] = std::array::from_fn(|a| region.size[a] / factor[a] * factor[a]);
        let region = Region { start: region.start, size };
        let reduced = reduced(volume, self.frame, &region, factor, options.dark as f32, ctx)?;
        let mask = tissue(&reduced, options.background.map(|value| (value - options.dark) as f32));
        let values = flattened(&logarithms(&reduced), &mask);
        Ok(Part { region, mask, values })
    }

    /// Measures the pair.
    pub(super) fn measure(&self, options: &StitchOptions, ctx: &Ctx) -> Result<Found> {
        let mut found = Found {
            offset: self.nominal,
            correlation: 0.0,
            rival: None,
            voxels: 0.0,
            verdict: Verdict::LittleTissue,
            log_ratio: 0.0,
        };
        let Some(regions) = self.regions() else { return Ok(found) };
        let factor = self.factor(&regions);
        let a = self.part(self.a, &regions[0], factor, options, ctx)?;
        let b = self.part(self.b, &regions[1], factor, options, ctx)?;
        let between: [f64; 3] = std::array::from_fn(|x| a.region.start[x] as f64 - b.region.start[x] as f64);
        let lag = |axis: usize, offset: f64| (offset - between[axis]) / factor[axis] as f64;
        let mut low: [isize; 3] =
            std::array::from_fn(|x| (lag(x, self.nominal[x] - self.search[x]) - ROUNDING).ceil() as isize);
        let mut high: [isize; 3] =
            std::array::from_fn(|x| (lag(x, self.nominal[x] + self.search[x]) + ROUNDING).floor() as isize);
        for x in 0..3 {
            // A search that ends between two lags: the nearest one.
            if low[x] > high[x] {
                low[x] = lag(x, self.nominal[x]).round() as isize;
                high[x] = low[x];
            }
        }
        ctx.check()?;
        let sides = [&a, &b].map(|part| Side { values: &part.values, mask: &part.mask });
        let Some(peak) = best_lag(&sides[0], &sides[1], low, high, options.least_voxels) else { return Ok(found) };
        found.offset = std::array::from_fn(|x| between[x] + factor[x] as f64 * peak.lag[x] as f64);
        (found.correlation, found.rival, found.voxels) = (peak.correlation, peak.rival, peak.voxels);
        found.verdict = if peak.correlation < options.least_correlation.max(CHANCE / peak.voxels.max(1.0).sqrt()) {
            Verdict::LowCorrelation
        } else if peak.at_border {
            Verdict::AtBorder
        } else if peak.rival.is_some_and(|rival| rival > 0.95 * peak.correlation) {
            Verdict::Ambiguous
        } else {
            Verdict::Used
        };
        if found.verdict == Verdict::Used {
            self.refine(&mut found, [&a, &b], factor, options, ctx)?;
        }
        Ok(found)
    }

    /// From the level of the search to parts of a voxel.
    fn refine(
        &self,
        found: &mut Found,
        parts: [&Part; 2],
        coarse: [usize; 3],
        options: &StitchOptions,
        ctx: &Ctx,
    ) -> Result<()> {
        const MOVES: usize = 6;
        let sizes = self.sizes();
        // A tile of one plane cannot tell where it lies along z.
        let fixed: [bool; 3] = std::array::from_fn(|axis| sizes[0][axis] == 1 || sizes[1][axis] == 1);
        let mut factor = coarse;
        loop {
            factor = factor.map(|n| n.div_ceil(2));
            let last = factor == [1; 3];
            for _ in 0..MOVES {
                let near = self.around(found.offset, parts, coarse, factor, fixed, options, ctx)?;
                let Some(near) = near else { break };
                let best = near.best();
                let step: [f64; 3] = std::array::from_fn(|axis| best[axis] as f64 - 1.0);
                let sub: [f64; 3] = std::array::from_fn(|axis| near.vertex(best, axis));
                found.offset = std::array::from_fn(|axis| {
                    if fixed[axis] {
                        return self.nominal[axis];
                    }
                    found.offset[axis].round() + factor[axis] as f64 * (step[axis] + sub[axis])
                });
                found.log_ratio = near.log_ratio;
                // Once more where the best lies beside the middle, of which not all neighbours are known then.
                if step == [0.0; 3] {
                    break;
                }
                found.offset = found.offset.map(f64::round);
            }
            if last {
                return Ok(());
            }
        }
    }

    /// Correlations at the offset (rounded) and one step of the level to each side of it.
    #[allow(clippy::too_many_arguments)] // all that a level is
    fn around(
        &self,
        offset: [f64; 3],
        parts: [&Part; 2],
        coarse: [usize; 3],
        factor: [usize; 3],
        fixed: [bool; 3],
        options: &StitchOptions,
        ctx: &Ctx,
    ) -> Result<Option<Near>> {
        let sizes = self.sizes();
        let whole: [isize; 3] = offset.map(|x| x.round() as isize);
        let start: [usize; 3] = std::array::from_fn(|x| whole[x].clamp(0, sizes[0][x] as isize) as usize);
        let end: [usize; 3] = std::array::from_fn(|x| {
            (whole[x] + sizes[1][x] as isize).clamp(start[x] as isize, sizes[0][x] as isize) as usize
        });
        let mut near = Near { sums: [[0.0; 4]; 27], log_ratio: 0.0, fixed };
        let (mut light_a, mut light_b) = (0f64, 0f64);
        for brick in
            bricks(&Region { start, size: std::array::from_fn(|x| end[x] - start[x]) }, factor, parts[0], coarse)
        {
            let light = self.brick(&brick, whole, parts, coarse, factor, options, &mut near, ctx)?;
            light_a += light.0;
            light_b += light.1;
        }
        if near.sums[13][0] < 10.0 {
            return Ok(None);
        }
        if light_a > 0.0 && light_b > 0.0 {
            near.log_ratio = (light_a / light_b).ln();
        }
        Ok(Some(near))
    }

    /// Adds one brick of the first tile; returns the sums of light in both where they lie on each other.
    #[allow(clippy::too_many_arguments)] // all that a brick is
    fn brick(
        &self,
        brick: &Region,
        whole: [isize; 3],
        parts: [&Part; 2],
        coarse: [usize; 3],
        factor: [usize; 3],
        options: &StitchOptions,
        near: &mut Near,
        ctx: &Ctx,
    ) -> Result<(f64, f64)> {
        let dark = options.dark as f32;
        let light_a = reduced(self.a, self.frame, brick, factor, dark, ctx)?;
        let size = light_a.shape;
        let first = Terms::new(&logarithms(&light_a), parts[0], brick.start, coarse, factor, size, [0; 3]);
        // The same place of the second tile and a voxel of the level more on each side, as far as the tile goes.
        let n_b = self.sizes()[1];
        let from: [isize; 3] = std::array::from_fn(|x| brick.start[x] as isize - whole[x] - factor[x] as isize);
        let padded = size.map(|n| n + 2);
        let before: [usize; 3] =
            std::array::from_fn(|x| ((-from[x]).max(0) as usize).div_ceil(factor[x]).min(padded[x]));
        let start: [usize; 3] = std::array::from_fn(|x| (from[x] + (before[x] * factor[x]) as isize).max(0) as usize);
        let held: [usize; 3] =
            std::array::from_fn(|x| (n_b[x].saturating_sub(start[x]) / factor[x]).min(padded[x] - before[x]));
        if held.contains(&0) {
            return Ok((0.0, 0.0));
        }
        let region = Region { start, size: std::array::from_fn(|x| held[x] * factor[x]) };
        let light_b = reduced(self.b, self.frame, &region, factor, dark, ctx)?;
        let second = Terms::new(&logarithms(&light_b), parts[1], start, coarse, factor, padded, before);
        for (at, sums) in near.sums.iter_mut().enumerate() {
            let step = [at / 9, at / 3 % 3, at % 3];
            if (0..3).any(|axis| near.fixed[axis] && step[axis] != 1) {
                continue;
            }
            // A later place of the second tile in the common space is an earlier voxel of it.
            let [count, a, b, aa, bb, ab] = overlap(&first, &second, step.map(|n| 2 - n));
            if count >= 10.0 {
                sums[0] += count;
                sums[1] += ab - a * b / count;
                sums[2] += aa - a * a / count;
                sums[3] += bb - b * b / count;
            }
        }
        let mut light = (0f64, 0f64);
        for z in 0..size[0] {
            for y in 0..size[1] {
                for x in 0..size[2] {
                    let at = [z + 1, y + 1, x + 1];
                    let inside = (0..3).all(|axis| (before[axis]..before[axis] + held[axis]).contains(&at[axis]));
                    if inside && first.mask.at(z, y, x) * second.mask.at(at[0], at[1], at[2]) > 0.0 {
                        light.0 += f64::from(light_a.at(z, y, x));
                        light.1 += f64::from(light_b.at(at[0] - before[0], at[1] - before[1], at[2] - before[2]));
                    }
                }
            }
        }
        Ok(light)
    }
}

/// Bricks of a region of the first tile: all, or those that hold most structure.
fn bricks(region: &Region, factor: [usize; 3], part: &Part, coarse: [usize; 3]) -> Vec<Region> {
    let size: [usize; 3] = std::array::from_fn(|a| region.size[a] / factor[a]);
    if size.contains(&0) {
        return Vec::new();
    }
    let counts: [usize; 3] = std::array::from_fn(|a| size[a].div_ceil(BRICK[a]));
    let mut all: Vec<(f64, usize, Region)> = Vec::new();
    for index in 0..counts.iter().product() {
        let at = [index / (counts[1] * counts[2]), index / counts[2] % counts[1], index % counts[2]];
        // Of nearly equal lengths.
        let cut = |a: usize, k: usize| size[a] * k / counts[a];
        let brick = Region {
            start: std::array::from_fn(|a| region.start[a] + cut(a, at[a]) * factor[a]),
            size: std::array::from_fn(|a| (cut(a, at[a] + 1) - cut(a, at[a])) * factor[a]),
        };
        all.push((structure(&brick, part, coarse), index, brick));
    }
    all.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
    let [most, least] = BRICKS;
    all.truncate((4 * most / factor.iter().product::<usize>()).clamp(least, most));
    all.retain(|brick| brick.0 > 0.0);
    all.sort_by_key(|brick| brick.1);
    all.into_iter().map(|brick| brick.2).collect()
}

/// Sum of squares of what the level of the search shows in a brick.
fn structure(brick: &Region, part: &Part, coarse: [usize; 3]) -> f64 {
    let shape = part.values.shape;
    let range = |a: usize| {
        let from = brick.start[a].saturating_sub(part.region.start[a]) / coarse[a];
        let to = (brick.end()[a].saturating_sub(part.region.start[a])).div_ceil(coarse[a]);
        from.min(shape[a])..to.min(shape[a])
    };
    let mut sum = 0f64;
    for z in range(0) {
        for y in range(1) {
            sum += part.values.row(z, y)[range(2)].iter().map(|&value| f64::from(value * value)).sum::<f64>();
        }
    }
    sum
}

/// Mask, value and square of a part of a tile, padded by voxels that do not count.
struct Terms {
    mask: Grid<f32>,
    values: Grid<f32>,
    squares: Grid<f32>,
}

impl Terms {
    /// `logs` begin at voxel `start` of the tile and `before` voxels into the padded shape.
    fn new(
        logs: &Grid<f32>,
        part: &Part,
        start: [usize; 3],
        coarse: [usize; 3],
        factor: [usize; 3],
        padded: [usize; 3],
        before: [usize; 3],
    ) -> Self {
        let mean = (logs.data.iter().map(|&value| f64::from(value)).sum::<f64>() / logs.len().max(1) as f64) as f32;
        let zeros = || Grid::filled(padded, 0f32);
        let mut out = Self { mask: zeros(), values: zeros(), squares: zeros() };
        let shape = part.mask.shape;
        // The voxel of the search in whose reach the middle of a voxel lies.
        let places: [Vec<usize>; 3] = std::array::from_fn(|a| {
            (0..logs.shape[a])
                .map(|at| {
                    let middle = start[a] + at * factor[a] + factor[a] / 2;
                    (middle.saturating_sub(part.region.start[a]) / coarse[a]).min(shape[a] - 1)
                })
                .collect()
        });
        for z in 0..logs.shape[0] {
            for y in 0..logs.shape[1] {
                let mask = part.mask.row(places[0][z], places[1][y]);
                let from = out.mask.index(z + before[0], y + before[1], before[2]);
                for (x, &value) in logs.row(z, y).iter().enumerate() {
                    let weight = mask[places[2][x]];
                    let value = weight * (value - mean);
                    out.mask.data[from + x] = weight;
                    out.values.data[from + x] = value;
                    out.squares.data[from + x] = value * value;
                }
            }
        }
        out
    }
}

/// Number, sum a, sum b, sum aa, sum bb, sum ab where the first lies on the second from voxel `shift` on.
fn overlap(a: &Terms, b: &Terms, shift: [usize; 3]) -> [f64; 6] {
    let [depth, height, width] = a.mask.shape;
    let mut total = [0f64; 6];
    for z in 0..depth {
        let mut sums = [[0f32; 8]; 6];
        for y in 0..height {
            let from = b.mask.index(z + shift[0], y + shift[1], shift[2]);
            let part = from..from + width;
            row_sums(
                [a.mask.row(z, y), a.values.row(z, y), a.squares.row(z, y)],
                [&b.mask.data[part.clone()], &b.values.data[part.clone()], &b.squares.data[part]],
                &mut sums,
            );
        }
        for (total, sums) in total.iter_mut().zip(sums) {
            *total += sums.iter().map(|&sum| f64::from(sum)).sum::<f64>();
        }
    }
    total
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn row_sums([m, u, p]: [&[f32]; 3], [n, v, q]: [&[f32]; 3], sums: &mut [[f32; 8]; 6]) {
    let ([m, u, p], [n, v, q]) = ([m, u, p].map(|row| row.as_chunks::<8>()), [n, v, q].map(|row| row.as_chunks::<8>()));
    let count = m.0.len();
    let ([mc, uc, pc], [nc, vc, qc]) =
        ([m.0, u.0, p.0].map(|row| &row[..count]), [n.0, v.0, q.0].map(|row| &row[..count]));
    for k in 0..count {
        for lane in 0..8 {
            sums[0][lane] += mc[k][lane] * nc[k][lane];
            sums[1][lane] += uc[k][lane] * nc[k][lane];
            sums[2][lane] += mc[k][lane] * vc[k][lane];
            sums[3][lane] += pc[k][lane] * nc[k][lane];
            sums[4][lane] += mc[k][lane] * qc[k][lane];
            sums[5][lane] += uc[k][lane] * vc[k][lane];
        }
    }
    for lane in 0..m.1.len() {
        sums[0][lane] += m.1[lane] * n.1[lane];
        sums[1][lane] += u.1[lane] * n.1[lane];
        sums[2][lane] += m.1[lane] * v.1[lane];
        sums[3][lane] += p.1[lane] * n.1[lane];
        sums[4][lane] += m.1[lane] * q.1[lane];
        sums[5][lane] += u.1[lane] * v.1[lane];
    }
}

/// Correlations at an offset and a step to each side of it.
struct Near {
    /// Number, covariance, variance of a, of b, of each step -1, 0, 1 along z, y, x.
    sums: [[f64; 4]; 27],
    log_ratio: f64,
    fixed: [bool; 3],
}

impl Near {
    fn correlation(&self, step: [usize; 3]) -> Option<f64> {
        let [count, cov, v_a, v_b] = self.sums[(step[0] * 3 + step[1]) * 3 + step[2]];
        let enough = count >= 0.3 * self.sums[13][0] && v_a * v_b > 0.0;
        enough.then(|| cov / (v_a * v_b).sqrt())
    }

    /// The step of the highest correlation, 0 to 2 along each axis; the middle where nothing is higher.
    fn best(&self) -> [usize; 3] {
        let mut best = ([1; 3], self.correlation([1; 3]).unwrap_or(f64::NEG_INFINITY));
        for at in 0..27 {
            let step = [at / 9, at / 3 % 3, at % 3];
            if let Some(found) = self.correlation(step).filter(|&found| found > best.1) {
                best = (step, found);
            }
        }
        best.0
    }

    /// Where a parabola through a step and its neighbours along `axis` has its vertex; 0 where these are not known.
    fn vertex(&self, step: [usize; 3], axis: usize) -> f64 {
        if step[axis] != 1 || self.fixed[axis] {
            return 0.0;
        }
        let (mut before, mut after) = (step, step);
        before[axis] = 0;
        after[axis] = 2;
        let (Some(left), Some(middle), Some(right)) =
            (self.correlation(before), self.correlation(step), self.correlation(after))
        else {
            return 0.0;
        };
        let curve = left - 2.0 * middle + right;
        if curve < 0.0 { (0.5 * (left - right) / curve).clamp(-0.5, 0.5) } else { 0.0 }
    }
}
