//! The objective and its gradient, in one read of the cells.

use std::ops::Range;

use rayon::prelude::*;

use super::LogisticOptions;
use crate::matrix::{RowBlock, RowBlocks, Scratch};
use crate::{Ctx, Result};

/// Rows of weights are padded to a multiple of this, so that each value meets whole vector registers.
const LANES: usize = 4;

/// Stored values that one piece of work sums over.
const PIECE: usize = 1 << 15;

/// Bytes of gradients at work at once.
const SUMS: usize = 128 << 20;

/// Cells, labels and penalty. Parameters lie feature by feature: `[feature * width + row of weights]`, and the
/// intercepts last, where `width` is the padded number of rows of weights (padding stays 0).
pub(super) struct Problem<'a> {
    source: &'a dyn RowBlocks,
    labels: &'a [i32],
    /// Rows of weights: K, or 1 for two classes.
    rows: usize,
    width: usize,
    cells: f64,
    penalty: f64,
    intercept: bool,
    /// (block, rows within the block) of each piece, grouped so that each group sums into its own gradient.
    groups: Vec<Vec<(usize, Range<usize>)>>,
}

impl<'a> Problem<'a> {
    pub(super) fn new(
        source: &'a dyn RowBlocks,
        labels: &'a [i32],
        n_classes: usize,
        options: &LogisticOptions,
    ) -> Result<Self> {
        let rows = if n_classes == 2 { 1 } else { n_classes };
        let width = rows.next_multiple_of(LANES);
        let cells = labels.iter().filter(|&&label| label >= 0).count() as f64;
        // Pieces of about PIECE entries, from the shape of the data alone.
        let per_row = source.n_entries().div_ceil(source.n_rows().max(1)).max(1);
        let size = (PIECE / per_row).max(1);
        let mut pieces = Vec::new();
        for block in 0..source.n_blocks() {
            let n = source.block_rows(block).len();
            pieces.extend((0..n.div_ceil(size)).map(|at| (block, at * size..((at + 1) * size).min(n))));
        }
        let most = (SUMS / (8 * (source.n_cols() + 1) * width)).clamp(2, 32);
        let groups = pieces.chunks(pieces.len().div_ceil(most).max(1)).map(<[_]>::to_vec).collect();
        Ok(Self {
            source,
            labels,
            rows,
            width,
            cells,
            penalty: 1.0 / (options.c * cells),
            intercept: options.fit_intercept,
            groups,
        })
    }

    pub(super) fn n_parameters(&self) -> usize {
        (self.source.n_cols() + 1) * self.width
    }

    /// Weights (rows x features) and intercepts.
    pub(super) fn unpack(&self, parameters: &[f64]) -> (Vec<f64>, Vec<f64>) {
        let (weights, intercepts) = parameters.split_at(self.source.n_cols() * self.width);
        let row = |row: usize| weights.iter().skip(row).step_by(self.width).copied();
        ((0..self.rows).flat_map(row).collect(), intercepts[..self.rows].to_vec())
    }

    /// The objective and its gradient.
    pub(super) fn evaluate(&self, parameters: &[f64], ctx: &Ctx) -> Result<(f64, Vec<f64>)> {
        let partials: Vec<Result<(f64, Vec<f64>)>> = self
            .groups
            .par_iter()
            .with_max_len(1)
            .map(|group| {
                let mut gradient = vec![0.0; parameters.len()];
                let mut loss = 0.0;
                let mut scratch = Scratch::default();
                let mut at = 0;
                while at < group.len() {
                    // All pieces of one block from one read.
                    let block = group[at].0;
                    let read = self.source.read(block, &mut scratch)?;
                    while at < group.len() && group[at].0 == block {
                        ctx.check()?;
                        loss += self.piece(&read, group[at].1.clone(), parameters, &mut gradient);
                        at += 1;
                    }
                }
                Ok((loss, gradient))
            })
            .collect();
        let mut loss = 0.0;
        let mut gradient = vec![0.0; parameters.len()];
        for partial in partials {
            let (part, sums) = partial?;
            loss += part;
            gradient.iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        let weights = self.source.n_cols() * self.width;
        loss /= self.cells;
        gradient.iter_mut().for_each(|value| *value /= self.cells);
        let mut squares = 0.0;
        for (slope, &weight) in gradient[..weights].iter_mut().zip(parameters) {
            *slope += self.penalty * weight;
            squares += weight * weight;
        }
        if !self.intercept {
            gradient[weights..].fill(0.0);
        }
        Ok((loss + 0.5 * self.penalty * squares, gradient))
    }

    /// Adds the cells `rows` of a block to the gradient; their summed loss comes back.
    fn piece(&self, block: &RowBlock<'_>, rows: Range<usize>, parameters: &[f64], gradient: &mut [f64]) -> f64 {
        let bias = self.source.n_cols() * self.width;
        let mut logits = vec![0.0; self.width];
        let mut loss = 0.0;
        for row in rows {
            let Ok(label) = usize::try_from(self.labels[block.first_row + row]) else { continue };
            let (indices, values) = block.row(row);
            logits.copy_from_slice(&parameters[bias..]);
            row_logits(indices, values, parameters, &mut logits);
            loss +=
                if self.rows == 1 { two_classes(&mut logits, label) } else { softmax(&mut logits[..self.rows], label) };
            logits[self.rows..].fill(0.0);
            add_row(indices, values, &logits, gradient);
            gradient[bias..].iter_mut().zip(&logits).for_each(|(sum, value)| *sum += value);
        }
        loss
    }
}

/// Adds the row times the weights (`[feature * width + row of weights]`) to `logits` (width long).
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn row_logits(indices: &[u32], values: &[f32], weights: &[f64], logits: &mut [f64]) {
    let width = logits.len();
    for (&column, &value) in indices.iter().zip(values) {
        let value = f64::from(value);
        let start = column as usize * width;
        for (sum, weight) in logits.chunks_exact_mut(LANES).zip(weights[start..start + width].chunks_exact(LANES)) {
            for lane in 0..LANES {
                sum[lane] += value * weight[lane];
            }
        }
    }
}

/// Adds the row times `residuals` to the gradient.
#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add_row(indices: &[u32], values: &[f32], residuals: &[f64], gradient: &mut [f64]) {
    let width = residuals.len();
    for (&column, &value) in indices.iter().zip(values) {
        let value = f64::from(value);
        let start = column as usize * width;
        let sums = gradient[start..start + width].chunks_exact_mut(LANES);
        for (sum, residual) in sums.zip(residuals.chunks_exact(LANES)) {
            for lane in 0..LANES {
                sum[lane] += value * residual[lane];
            }
        }
    }
}

/// Loss of one cell; `logits[0]` becomes its derivative.
fn two_classes(logits: &mut [f64], label: usize) -> f64 {
    let z = logits[0];
    // ln(1 + e^z) without overflow.
    let ln_one_plus = z.max(0.0) + (-z.abs()).exp().ln_1p();
    let p = if z >= 0.0 { 1.0 / (1.0 + (-z).exp()) } else { z.exp() / (1.0 + z.exp()) };
    logits[0] = p - label as f64;
    ln_one_plus - label as f64 * z
}

/// Loss of one cell; `logits` become its derivatives, probability less 1 for the class it has.
fn softmax(logits: &mut [f64], label: usize) -> f64 {
    let own = logits[label];
    let ln_sum = probabilities(logits);
    logits[label] -= 1.0;
    ln_sum - own
}

/// Turns logits into probabilities; the logarithm of the sum of their exponentials comes back.
pub(super) fn probabilities(logits: &mut [f64]) -> f64 {
    let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut sum = 0.0;
    for logit in logits.iter_mut() {
        *logit = (*logit - largest).exp();
        sum += *logit;
    }
    logits.iter_mut().for_each(|value| *value /= sum);
    largest + sum.ln()
}
