//! Soft clustering under the diversity penalty: the cells' assignments, their sums by batch, and the objective.

use ndarray::{ArrayView2, ArrayViewMut2, s};
use rayon::prelude::*;
use zensaibo_linalg::gemm_f32;

use super::design::Design;
use super::kernel::{LANES, assignments, soften, weigh};
use super::options::Flavor;
use crate::parallel::ordered_reduce;
use crate::random::Stream;
use crate::{Ctx, Error, Result};

/// First stream of the order of blocks.
const BLOCKS: u64 = 3 << 40;
/// Least penalty of a cluster relative to the largest: keeps every sum of a row above zero.
const LEAST: f64 = 1e-30;

/// The state of the clustering. Cells are in the order of the design.
pub(super) struct Clustering<'a> {
    design: &'a Design,
    flavor: Flavor,
    d: usize,
    /// Number of clusters.
    pub(super) k: usize,
    /// `k` rounded up to whole vectors.
    width: usize,
    sigma: f64,
    /// Per level.
    theta: Vec<f64>,
    seed: u64,
    /// k x d, unit rows.
    pub(super) centroids: Vec<f32>,
    /// n x width: assignments before the penalty, up to a factor per cell.
    soft: Vec<f32>,
    /// n: logarithm of that factor.
    base: Vec<f32>,
    /// segments x width: penalty of each cluster, the largest 1.
    penalty: Vec<f32>,
    /// segments x k: sums of the assignments.
    sums: Vec<f64>,
    /// segments: sum of the logarithms of what rows were divided by.
    logs: Vec<f64>,
    /// levels x k: cells of each level in each cluster.
    observed: Vec<f64>,
    /// k: cells in each cluster.
    pub(super) totals: Vec<f64>,
    rounds_done: u64,
}

impl<'a> Clustering<'a> {
    pub(super) fn new(
        design: &'a Design,
        flavor: Flavor,
        d: usize,
        centroids: Vec<f32>,
        sigma: f64,
        theta: Vec<f64>,
        seed: u64,
    ) -> Self {
        let (n, k) = (design.order.len(), centroids.len() / d);
        let width = k.next_multiple_of(LANES);
        let segments = design.segments.len();
        Self {
            design,
            flavor,
            d,
            k,
            width,
            sigma,
            theta,
            seed,
            centroids,
            soft: vec![0.0; n * width],
            base: vec![0.0; n],
            penalty: vec![0.0; segments * width],
            sums: vec![0.0; segments * k],
            logs: vec![0.0; segments],
            observed: vec![0.0; design.n_levels() * k],
            totals: vec![0.0; k],
            rounds_done: 0,
        }
    }

    /// Assignments before the penalty, of `cells` (n x d, unit rows) to the centroids.
    pub(super) fn soften(&mut self, cells: &[f32], ctx: &Ctx) -> Result<()> {
        let (d, k, width, scale) = (self.d, self.k, self.width, (2.0 / self.sigma) as f32);
        let centroids = ArrayView2::from_shape((k, d), &self.centroids).map_err(shape)?;
        let design = self.design;
        let parts = design.cut(&mut self.soft, width);
        let bases = design.cut(&mut self.base, 1);
        parts.into_par_iter().zip(bases).zip(&design.tiles).with_max_len(4).try_for_each(|((part, base), tile)| {
            ctx.check()?;
            let m = tile.rows.len();
            let rows = ArrayView2::from_shape((m, d), &cells[tile.rows.start * d..tile.rows.end * d]).map_err(shape)?;
            let mut out = ArrayViewMut2::from_shape((m, width), &mut *part).map_err(shape)?;
            gemm_f32(out.slice_mut(s![.., ..k]), false, rows, centroids.t())?;
            soften(part, k, width, scale, base);
            Ok(())
        })
    }

    /// Assignments without any penalty, and their sums.
    pub(super) fn reset(&mut self, ctx: &Ctx) -> Result<()> {
        for penalty in self.penalty.chunks_exact_mut(self.width) {
            penalty[..self.k].fill(1.0);
        }
        self.observed.fill(0.0);
        self.totals.fill(0.0);
        for block in 0..self.design.blocks.len() {
            self.sum_block(block, ctx)?;
            self.count_block(block, 1.0);
        }
        Ok(())
    }

    /// One round: block after block, in random order, cells are taken out, weighed by the penalty that follows from
    /// all others, and put back.
    pub(super) fn round(&mut self, ctx: &Ctx) -> Result<()> {
        let mut order: Vec<usize> = (0..self.design.blocks.len()).collect();
        Stream::new(self.seed, BLOCKS + self.rounds_done).shuffle(&mut order);
        self.rounds_done += 1;
        for block in order {
            ctx.check()?;
            self.count_block(block, -1.0);
            self.weigh_batches(block);
            self.sum_block(block, ctx)?;
            self.count_block(block, 1.0);
        }
        Ok(())
    }

    /// Adds (or with -1 takes away) the sums of a block's segments to the counts.
    fn count_block(&mut self, block: usize, sign: f64) {
        let k = self.k;
        for segment in self.design.blocks[block].clone() {
            let sums = &self.sums[segment * k..(segment + 1) * k];
            let add = |counts: &mut [f64]| {
                // Rounding must not leave less than nothing.
                counts.iter_mut().zip(sums).for_each(|(count, sum)| *count = (*count + sign * sum).max(0.0));
            };
            add(&mut self.totals);
            for &level in &self.design.combinations[self.design.segments[segment].combination] {
                add(&mut self.observed[level as usize * k..(level as usize + 1) * k]);
            }
        }
    }

    /// Observed and expected number of cells of a level in a cluster.
    fn counts(&self, level: usize, cluster: usize) -> (f64, f64) {
        let share = self.design.counts[level] / self.design.order.len() as f64;
        (self.observed[level * self.k + cluster], self.totals[cluster] * share)
    }

    /// Logarithm of the penalty of a level in a cluster: theta ln(expected / observed), damped as the flavor has it.
    fn log_penalty(&self, level: usize, cluster: usize) -> f64 {
        let (observed, expected) = self.counts(level, cluster);
        let ratio = match self.flavor {
            Flavor::Harmony1 => (expected + 1.0) / (observed + 1.0),
            Flavor::Harmony2 => (2.0 * expected + 1.0) / (observed + expected + 1.0),
        };
        self.theta[level] * ratio.ln()
    }

    /// The penalties of a block's segments: summed over the batch keys, the largest scaled to 1.
    fn weigh_batches(&mut self, block: usize) {
        let mut logs = vec![0f64; self.k];
        for segment in self.design.blocks[block].clone() {
            let levels = &self.design.combinations[self.design.segments[segment].combination];
            for (cluster, log) in logs.iter_mut().enumerate() {
                let of_levels = levels.iter().map(|&level| self.log_penalty(level as usize, cluster));
                let largest = of_levels.clone().fold(f64::NEG_INFINITY, f64::max);
                *log = largest + of_levels.map(|x| (x - largest).exp()).sum::<f64>().ln();
            }
            let largest = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let row = &mut self.penalty[segment * self.width..segment * self.width + self.k];
            row.iter_mut().zip(&logs).for_each(|(p, log)| *p = (log - largest).exp().max(LEAST) as f32);
        }
    }

    /// Sums the assignments of a block's segments.
    fn sum_block(&mut self, block: usize, ctx: &Ctx) -> Result<()> {
        let (k, width, design) = (self.k, self.width, self.design);
        let segments = design.blocks[block].clone();
        if segments.is_empty() {
            return Ok(());
        }
        let first = design.tiles_of[segments.start].start;
        let last = design.tiles_of[segments.end - 1].end;
        let found: Vec<(Vec<f32>, f64)> = design.tiles[first..last]
            .par_iter()
            .map(|tile| {
                let mut sums = vec![0f32; width];
                let rows = &self.soft[tile.rows.start * width..tile.rows.end * width];
                let penalty = &self.penalty[tile.segment * width..(tile.segment + 1) * width];
                let logs = weigh(rows, width, penalty, &mut sums);
                (sums, logs)
            })
            .collect();
        ctx.check()?;
        self.sums[segments.start * k..segments.end * k].fill(0.0);
        self.logs[segments].fill(0.0);
        for (tile, (sums, logs)) in design.tiles[first..last].iter().zip(&found) {
            let into = &mut self.sums[tile.segment * k..(tile.segment + 1) * k];
            into.iter_mut().zip(sums).for_each(|(sum, &x)| *sum += f64::from(x));
            self.logs[tile.segment] += logs;
        }
        Ok(())
    }

    /// The objective, times 2000 over the number of cells: distances to the centroids, sigma times the entropy of the
    /// assignments (negative), sigma times theta times the divergence of batches from the expected.
    ///
    /// With assignments S p / s, whose S is exp(-distance / sigma) up to a factor, the distances cancel against the
    /// entropy: what is left are the logarithms of the factors and sums by segment.
    pub(super) fn objective(&self) -> f64 {
        let mut sum: f64 = self.base.iter().map(|&base| -f64::from(base)).sum();
        let k = self.k;
        for (index, segment) in self.design.segments.iter().enumerate() {
            sum -= self.logs[index];
            let levels = &self.design.combinations[segment.combination];
            for cluster in 0..k {
                let cells = self.sums[index * k + cluster];
                if cells > 0.0 {
                    let penalty = f64::from(self.penalty[index * self.width + cluster]).ln();
                    let now: f64 = levels.iter().map(|&level| self.log_penalty(level as usize, cluster)).sum();
                    sum += cells * (penalty - now);
                }
            }
        }
        sum * self.sigma * 2000.0 / self.design.order.len() as f64
    }

    /// Cells of each combination of batches in each cluster: combinations x k.
    pub(super) fn by_combination(&self) -> Vec<f64> {
        let mut counts = vec![0f64; self.design.combinations.len() * self.k];
        for (segment, sums) in self.design.segments.iter().zip(self.sums.chunks_exact(self.k)) {
            let into = &mut counts[segment.combination * self.k..(segment.combination + 1) * self.k];
            into.iter_mut().zip(sums).for_each(|(count, sum)| *count += sum);
        }
        counts
    }

    /// Share of a level's cells that lie in a cluster, and the number of cells expected there.
    pub(super) fn share_and_expected(&self, level: usize, cluster: usize) -> (f64, f64) {
        let (observed, expected) = self.counts(level, cluster);
        (observed / self.design.counts[level], expected)
    }

    /// Assignment-weighted sums of `cells` (n x d) for each group of combinations: groups x k x d. `group` gives the
    /// group of a combination.
    pub(super) fn weighted_sums(
        &self,
        cells: &[f32],
        group: impl Fn(usize) -> usize + Sync,
        groups: usize,
        ctx: &Ctx,
    ) -> Result<Vec<f64>> {
        let (d, k, width) = (self.d, self.k, self.width);
        let mut sums = vec![0f64; groups * k * d];
        ordered_reduce(
            self.design.tiles.len(),
            ctx,
            |index| {
                let rows = self.design.tiles[index].rows.clone();
                let weights = self.of_tile(index);
                let weights = ArrayView2::from_shape((rows.len(), width), &weights).map_err(shape)?;
                let cells = &cells[rows.start * d..rows.end * d];
                let cells = ArrayView2::from_shape((rows.len(), d), cells).map_err(shape)?;
                let mut part = vec![0f32; k * d];
                let out = ArrayViewMut2::from_shape((k, d), &mut part).map_err(shape)?;
                gemm_f32(out, false, weights.slice(s![.., ..k]).t(), cells)?;
                Ok(part)
            },
            |index, part| {
                let segment = &self.design.segments[self.design.tiles[index].segment];
                let group = group(segment.combination);
                let into = &mut sums[group * k * d..(group + 1) * k * d];
                into.iter_mut().zip(part).for_each(|(sum, x)| *sum += f64::from(x));
                Ok(())
            },
        )?;
        Ok(sums)
    }

    /// Assignments of the cells of a tile: cells x width.
    pub(super) fn of_tile(&self, index: usize) -> Vec<f32> {
        let (tile, width) = (&self.design.tiles[index], self.width);
        let mut out = vec![0f32; tile.rows.len() * width];
        let rows = &self.soft[tile.rows.start * width..tile.rows.end * width];
        let penalty = &self.penalty[tile.segment * width..(tile.segment + 1) * width];
        assignments(rows, width, penalty, &mut out);
        out
    }

    /// Length of a row of [`of_tile`](Self::of_tile).
    pub(super) fn width(&self) -> usize {
        self.width
    }
}

/// A tile whose shape is not what it was made for.
pub(super) fn shape(error: ndarray::ShapeError) -> Error {
    Error::Internal(format!("harmony: {error}"))
}
