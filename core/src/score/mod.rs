//! Mean expression of sets of genes, cell by cell: what gene scores are made of.
//!
//! A gene score (Satija et al., Nat Biotechnol 2015) is the mean of a set of genes less the mean of a control set.
//! Which genes are controls is decided by the caller; the sums over both sets come from one read.

#[cfg(test)]
mod tests;
mod totals;

pub use totals::{Adding, Totals, gene_totals};

use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::{Ctx, DataFault, Error, Result};

/// Sums over the sets, row by row.
struct SetMeans<'a> {
    sets: &'a [Vec<bool>],
    sizes: Vec<f64>,
}

impl Pass for SetMeans<'_> {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        Vec::new()
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut means = Vec::with_capacity(block.n_rows() * self.sets.len());
        for (_, columns, values) in block.rows() {
            for (set, &size) in self.sets.iter().zip(&self.sizes) {
                let (sum, missing) = sum_of(set, columns, values);
                means.push(sum / (size - missing));
            }
        }
        Ok(means)
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.extend(partial);
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// Sum of the values in the set that are not NaN, and how many are.
fn sum_of(set: &[bool], columns: &[u32], values: &[f32]) -> (f64, f64) {
    let mut sum = 0.0;
    for (&column, &value) in columns.iter().zip(values) {
        // No branch: membership is as good as random.
        sum += f64::from(if set[column as usize] { value } else { 0.0 });
    }
    if !sum.is_nan() {
        return (sum, 0.0);
    }
    let members = || columns.iter().zip(values).filter(|&(&column, _)| set[column as usize]).map(|(_, &value)| value);
    let missing = members().filter(|value| value.is_nan()).count();
    (members().filter(|value| !value.is_nan()).map(f64::from).sum(), missing as f64)
}

/// Mean of each set of columns in each row, zeros included: rows x sets, row-major.
///
/// `sets[k][j]` says whether column j is in set k. NaN values are left out of sum and count; a set without members, or
/// with NaN alone, has mean NaN. Nothing is random; the same bits for any number of threads and for sparse as for
/// dense rows. One read; 8 bytes per row and set.
///
/// # Errors
/// [`Error::Data`] for a set of the wrong length; whatever the source returns; [`Error::Interrupted`].
pub fn set_means(source: &dyn RowBlocks, sets: &[Vec<bool>], ctx: &Ctx) -> Result<Vec<f64>> {
    for set in sets {
        if set.len() != source.n_cols() {
            let expected = format!("{} entries, one per gene", source.n_cols());
            return Err(Error::data(DataFault::Shape, "gene set", expected, set.len()));
        }
    }
    let sizes = sets.iter().map(|set| set.iter().filter(|&&member| member).count() as f64).collect();
    run(source, &SetMeans { sets, sizes }, "score genes", ctx)
}
