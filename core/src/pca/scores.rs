//! Coordinates of the cells: centred rows, less what is regressed out, times components.

use ndarray::ArrayView2;

use super::adjust::Removed;
use super::multiply::{padded, times};
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::{Ctx, Result};

/// Rows of a block times the components, minus the means' own coordinates.
struct Project<'a> {
    n_rows: usize,
    k: usize,
    width: usize,
    /// g x width.
    dense: Vec<f64>,
    /// k long: the means times the components.
    offset: Vec<f64>,
    /// What is regressed out, and its part along the components (width of the design x k).
    removed: Option<(&'a Removed<'a>, Vec<f64>)>,
}

impl Pass for Project<'_> {
    type Partial = Vec<f32>;
    type State = Vec<f32>;
    type Output = Vec<f32>;

    fn start(&self) -> Vec<f32> {
        Vec::with_capacity(self.n_rows * self.k)
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f32>> {
        let mut wide = vec![0.0; block.n_rows() * self.width];
        times(block, &self.dense, self.width, &mut wide);
        let mut scores = Vec::with_capacity(block.n_rows() * self.k);
        let mut offset = self.offset.clone();
        for (i, row) in wide.chunks_exact(self.width).enumerate() {
            if let Some((removed, along)) = &self.removed {
                offset.copy_from_slice(&self.offset);
                removed.design().add_row(block.first_row + i, along, &mut offset);
            }
            scores.extend(row.iter().zip(&offset).map(|(score, offset)| (score - offset) as f32));
        }
        Ok(scores)
    }

    fn merge(&self, state: &mut Vec<f32>, partial: Vec<f32>) -> Result<()> {
        state.extend_from_slice(&partial);
        Ok(())
    }

    fn finish(&self, state: Vec<f32>) -> Result<Vec<f32>> {
        Ok(state)
    }
}

/// Scores (n x k, row-major) of all rows. `vectors` is g x k.
pub(super) fn project(
    source: &dyn RowBlocks,
    vectors: ArrayView2<'_, f64>,
    center: Option<&[f64]>,
    removed: Option<&Removed<'_>>,
    ctx: &Ctx,
) -> Result<Vec<f32>> {
    let (g, k) = vectors.dim();
    let width = padded(k);
    let mut dense = vec![0.0; g * width];
    let mut offset = vec![0.0; k];
    for (i, row) in vectors.rows().into_iter().enumerate() {
        let mean = center.map_or(0.0, |mean| mean[i]);
        for (j, &value) in row.iter().enumerate() {
            dense[i * width + j] = value;
            offset[j] += mean * value;
        }
    }
    let removed = removed.map(|removed| (removed, removed.along(vectors)));
    run(source, &Project { n_rows: source.n_rows(), k, width, dense, offset, removed }, "pca: scores", ctx)
}

/// Variance of each column of the scores (n x k), divided by n. Two rounds, in row order.
pub(super) fn variances(scores: &[f32], n: usize, k: usize) -> Vec<f64> {
    let mut mean = vec![0.0; k];
    for row in scores.chunks_exact(k) {
        mean.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
    }
    mean.iter_mut().for_each(|sum| *sum /= n as f64);
    let mut squares = vec![0.0; k];
    for row in scores.chunks_exact(k) {
        for ((sum, &x), mean) in squares.iter_mut().zip(row).zip(&mean) {
            *sum += (f64::from(x) - mean).powi(2);
        }
    }
    squares.iter().map(|sum| sum / n as f64).collect()
}
