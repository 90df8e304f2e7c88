//! The scores themselves.

use rayon::prelude::*;

use super::Local;
use crate::Edges;

/// Cells that one task scores.
const PIECE: usize = 2048;

pub(super) struct Scorer<'a> {
    edges: Edges<'a>,
    local: Local,
    /// Brings the mean sum of the weights of a cell to 1.
    norm: f64,
    /// Sum over cells of the square of the sum of their weights.
    squares: f64,
}

impl<'a> Scorer<'a> {
    pub(super) fn new(edges: &Edges<'a>, local: Local) -> Self {
        let n = edges.len();
        let sums: Vec<f64> = (0..n).map(|cell| edges.weights_of(cell).iter().sum()).collect();
        let total: f64 = sums.iter().sum();
        Self { edges: *edges, local, norm: n as f64 / total, squares: sums.iter().map(|sum| sum * sum).sum() }
    }

    /// The weighted sum of the values of the neighbours.
    #[inline]
    pub(super) fn lag(&self, cell: usize, values: &[f64]) -> f64 {
        let pairs = self.edges.of(cell).iter().zip(self.edges.weights_of(cell));
        pairs.map(|(&other, weight)| weight * values[other as usize]).sum()
    }

    /// The score of each cell.
    pub(super) fn local(&self, x: &[f64], y: &[f64], out: &mut [f64]) {
        let per_cell = self.squares / x.len() as f64;
        let mut sides = [1.0, 1.0];
        if self.local == Local::NormProduct {
            let most = |values: &[f64]| {
                let lags = (0..x.len()).into_par_iter().with_min_len(PIECE).map(|cell| self.lag(cell, values).abs());
                let most = lags.reduce(|| 0.0, f64::max);
                if most > 0.0 { most } else { 1.0 }
            };
            sides = [most(x), most(y)];
        }
        out.par_chunks_mut(PIECE).enumerate().for_each(|(piece, out)| {
            for (at, slot) in out.iter_mut().enumerate() {
                let cell = piece * PIECE + at;
                *slot = match self.local {
                    Local::Cosine => {
                        let sums = self.sums(cell, x, y);
                        over(sums.xy, sums.xx * sums.yy)
                    }
                    Local::Pearson | Local::Spearman => self.sums(cell, x, y).correlation(),
                    Local::Jaccard => {
                        let (mut both, mut either) = (0.0, 0.0);
                        for (&other, weight) in self.edges.of(cell).iter().zip(self.edges.weights_of(cell)) {
                            let (a, b) = (x[other as usize], y[other as usize]);
                            both += weight * a.min(b);
                            either += weight * a.max(b);
                        }
                        if either > 0.0 { both / either } else { 0.0 }
                    }
                    Local::Product => self.lag(cell, x) * self.lag(cell, y),
                    Local::NormProduct => (self.lag(cell, x) / sides[0]) * (self.lag(cell, y) / sides[1]),
                    Local::Morans => self.norm * (x[cell] * self.lag(cell, y) + y[cell] * self.lag(cell, x)),
                    Local::Lee => self.lag(cell, x) * self.lag(cell, y) / per_cell,
                };
            }
        });
    }

    /// Moran's R and Lee's L of standardised values; NaN for values without variance, which are all zero.
    pub(super) fn global(&self, x: &[f64], y: &[f64]) -> [f64; 2] {
        let flat = |values: &[f64]| values.iter().all(|&value| value == 0.0);
        if flat(x) || flat(y) {
            return [f64::NAN; 2];
        }
        let n = x.len();
        let parts: Vec<[f64; 2]> = (0..n.div_ceil(PIECE))
            .into_par_iter()
            .map(|piece| {
                let (mut r, mut l) = (0.0, 0.0);
                for cell in piece * PIECE..((piece + 1) * PIECE).min(n) {
                    let (a, b) = (self.lag(cell, x), self.lag(cell, y));
                    r += a * y[cell];
                    l += a * b;
                }
                [r, l]
            })
            .collect();
        let sum = |at: usize| parts.iter().map(|part| part[at]).sum::<f64>();
        [sum(0) * self.norm / n as f64, sum(1) / self.squares]
    }

    fn sums(&self, cell: usize, x: &[f64], y: &[f64]) -> Sums {
        let mut sums = Sums::default();
        for (&other, &weight) in self.edges.of(cell).iter().zip(self.edges.weights_of(cell)) {
            let (a, b) = (x[other as usize], y[other as usize]);
            sums.w += weight;
            sums.x += weight * a;
            sums.y += weight * b;
            sums.xx += weight * a * a;
            sums.yy += weight * b * b;
            sums.xy += weight * a * b;
        }
        sums
    }
}

#[derive(Default)]
struct Sums {
    w: f64,
    x: f64,
    y: f64,
    xx: f64,
    yy: f64,
    xy: f64,
}

impl Sums {
    fn correlation(&self) -> f64 {
        // What rounding leaves of equal values is no variance.
        let variance = |square: f64, sum: f64| {
            let all = self.w * square;
            let left = all - sum * sum;
            if left > 1e-12 * all { left } else { 0.0 }
        };
        over(self.w * self.xy - self.x * self.y, variance(self.xx, self.x) * variance(self.yy, self.y)).clamp(-1.0, 1.0)
    }
}

/// A sum of products over the root of the product of two sums of squares; 0 where that is 0.
fn over(product: f64, squares: f64) -> f64 {
    if squares > 0.0 { product / squares.sqrt() } else { 0.0 }
}

/// Less their mean, over their standard deviation (of the number of values); zeros for equal values.
pub(super) fn standardised(values: &[f64]) -> Vec<f64> {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let deviation = (values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / n).sqrt();
    if values.iter().all(|&value| value == values[0]) || !(deviation > 0.0) {
        return vec![0.0; values.len()];
    }
    values.iter().map(|value| (value - mean) / deviation).collect()
}

/// Ranks from 1, equal values sharing the mean of theirs.
pub(super) fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&a, &b| values[a].total_cmp(&values[b]));
    let mut ranks = vec![0.0; values.len()];
    let mut done = 0;
    for run in order.chunk_by(|&a, &b| values[a] == values[b]) {
        let rank = done as f64 + (run.len() + 1) as f64 / 2.0;
        run.iter().for_each(|&at| ranks[at] = rank);
        done += run.len();
    }
    ranks
}
