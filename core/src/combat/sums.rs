//! The sums per gene and batch that all estimates are made of.

use super::estimate::Design;
use crate::matrix::{Pass, RowBlock};
use crate::{DataFault, Error, Result};

/// Per batch and gene: sum of x, of x^2, and of x times each covariate.
pub(super) struct BatchSums<'a> {
    pub(super) n_cols: usize,
    pub(super) batches: &'a [u32],
    pub(super) n_batches: usize,
    pub(super) design: &'a Design,
}

impl BatchSums<'_> {
    /// Numbers per batch and gene.
    fn width(&self) -> usize {
        2 + self.design.n_covariates()
    }
}

impl Pass for BatchSums<'_> {
    type Partial = Vec<(usize, Vec<f64>)>;
    /// Batches x genes x width.
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        vec![0.0; self.n_batches * self.n_cols * self.width()]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let width = self.width();
        let mut rows: Vec<(u32, usize)> = (0..block.n_rows()).map(|i| (self.batches[block.first_row + i], i)).collect();
        rows.sort_unstable();
        Ok(rows
            .chunk_by(|a, b| a.0 == b.0)
            .map(|same| {
                let mut sums = vec![0.0; self.n_cols * width];
                for &(_, i) in same {
                    let covariates = self.design.covariates_of(block.first_row + i);
                    let (columns, values) = block.row(i);
                    for (&column, &value) in columns.iter().zip(values) {
                        let value = f64::from(value);
                        let own = &mut sums[column as usize * width..(column as usize + 1) * width];
                        own[0] += value;
                        own[1] += value * value;
                        for (sum, covariate) in own[2..].iter_mut().zip(covariates) {
                            *sum += value * covariate;
                        }
                    }
                }
                (same[0].0 as usize, sums)
            })
            .collect())
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Self::Partial) -> Result<()> {
        let size = self.n_cols * self.width();
        for (batch, sums) in partial {
            state[batch * size..(batch + 1) * size].iter_mut().zip(sums).for_each(|(total, sum)| *total += sum);
        }
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        let width = self.width();
        if let Some(at) = state.chunks_exact(width).position(|own| !own[1].is_finite()) {
            let found = format!("NaN, infinity or overflow in column {}", at % self.n_cols);
            return Err(Error::data(DataFault::NotFinite, "matrix", "finite values", found));
        }
        Ok(state)
    }
}
