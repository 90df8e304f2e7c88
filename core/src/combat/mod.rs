//! ComBat: batch effects estimated gene by gene with strength borrowed across genes, and taken off.
//!
//! For gene g in cell i of batch b the model is x = alpha_g + (covariates) beta_g + gamma_bg + delta_bg noise. The gene is
//! standardised by its overall mean, the part of the covariates and its pooled standard deviation; gamma and delta^2 get
//! a normal and an inverse gamma prior whose parameters come from all genes of the batch; their posterior estimates
//! (parametric empirical Bayes) are then taken off (Johnson, Li, Rabinovic: Adjusting batch effects in microarray
//! expression data using empirical Bayes methods, Biostatistics 2007).
//!
//! Everything that is estimated depends on a few sums per gene and batch ([`sums`]), which one read yields; the
//! estimates are then a matter of genes alone ([`estimate`]). A second read writes the dense result.

mod estimate;
mod options;
mod sums;
#[cfg(test)]
mod tests;

pub use options::CombatOptions;

use estimate::{Adjustment, Design};
use sums::BatchSums;

use crate::matrix::{RowBlocks, fill_rows, run};
use crate::options::Options as _;
use crate::{Ctx, DataFault, Error, Result};

/// What is known of the cells.
#[derive(Clone, Copy, Debug)]
pub struct CombatInput<'a> {
    /// Batch of each cell, numbered from 0 without gaps.
    pub batches: &'a [u32],
    /// Covariates whose effect is kept, each as long as there are cells: numbers, or indicators of categories (all but
    /// one of each).
    pub covariates: &'a [&'a [f64]],
}

/// What [`combat_into`] found.
#[derive(Clone, Debug, PartialEq)]
pub struct Combat {
    /// Batches x genes, row-major: additive effect, in pooled standard deviations. 0 for genes that do not vary.
    pub gamma: Vec<f64>,
    /// Batches x genes, row-major: multiplicative effect on the variance. 1 for genes that do not vary.
    pub delta: Vec<f64>,
    /// Number of genes that do not vary within batches, which are left as they are.
    pub n_constant: usize,
}

/// Writes the corrected matrix into `out` (cells x genes, row-major).
///
/// Nothing is random; the same bits for any number of threads and for sparse as for dense data. Two reads and one
/// write; 8 (c + 3) bytes per gene and batch, c the number of covariates.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for fewer than two batches, a batch with one cell,
/// covariates that are not finite, or collinear with the batches or with each other, NaN or infinite values, or fewer
/// than two genes that vary; [`Error::NotConverged`]; whatever the source returns; [`Error::Interrupted`], when some
/// rows are written and some are not.
pub fn combat_into(
    source: &dyn RowBlocks,
    input: CombatInput<'_>,
    options: &CombatOptions,
    out: &mut [f32],
    ctx: &Ctx,
) -> Result<Combat> {
    options.validate()?;
    let g = source.n_cols();
    let design = Design::new(source.n_rows(), input)?;
    let pass = BatchSums { n_cols: g, batches: input.batches, n_batches: design.n_batches(), design: &design };
    let sums = run(source, &pass, "combat: sums", ctx)?;
    let found = estimate::estimate(&design, &sums, g, options, ctx)?;
    fill_rows(
        source,
        g,
        out,
        "combat",
        ctx,
        || vec![0.0f64; g],
        |kept, row, columns, values, out_row| {
            write_row(&found, &design, row, input.batches[row] as usize, kept, columns, values, out_row);
        },
    )?;
    Ok(Combat { gamma: found.gamma, delta: found.delta, n_constant: found.n_constant })
}

/// (x - kept) factor + kept + shift, kept the part of overall mean and covariates.
fn write_row(
    found: &Adjustment,
    design: &Design,
    row: usize,
    batch: usize,
    kept: &mut [f64],
    columns: &[u32],
    values: &[f32],
    out: &mut [f32],
) {
    let g = kept.len();
    kept.copy_from_slice(&found.mean);
    for (k, &value) in design.covariates_of(row).iter().enumerate() {
        add_scaled(kept, &found.slopes[k * g..(k + 1) * g], value);
    }
    let (factors, shifts) = (&found.factors[batch * g..(batch + 1) * g], &found.shifts[batch * g..(batch + 1) * g]);
    correct_zeros(out, kept, factors, shifts);
    for (&column, &value) in columns.iter().zip(values) {
        let j = column as usize;
        out[j] = ((f64::from(value) - kept[j]) * factors[j] + kept[j] + shifts[j]) as f32;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add_scaled(out: &mut [f64], row: &[f64], factor: f64) {
    for (sum, value) in out.iter_mut().zip(row) {
        *sum += factor * value;
    }
}

#[multiversion::multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn correct_zeros(out: &mut [f32], kept: &[f64], factors: &[f64], shifts: &[f64]) {
    for (((value, kept), factor), shift) in out.iter_mut().zip(kept).zip(factors).zip(shifts) {
        *value = ((0.0 - kept) * factor + kept + shift) as f32;
    }
}

/// Refuses batches that cannot be corrected; the size of each comes back.
fn batch_sizes(batches: &[u32], n_rows: usize) -> Result<Vec<usize>> {
    if batches.len() != n_rows {
        let expected = format!("{n_rows} entries, one per cell");
        return Err(Error::data(DataFault::Shape, "batches", expected, batches.len()));
    }
    let count = batches.iter().max().map_or(0, |&last| last as usize + 1);
    if count > n_rows {
        let expected = "batches numbered from 0 without gaps";
        return Err(Error::data(DataFault::Invalid, "batches", expected, format!("number {}", count - 1)));
    }
    if count < 2 {
        return Err(Error::data(DataFault::TooFew, "batches", "at least 2", count));
    }
    let mut sizes = vec![0usize; count];
    batches.iter().for_each(|&batch| sizes[batch as usize] += 1);
    if let Some(batch) = sizes.iter().position(|&size| size < 2) {
        let found = format!("{} in batch {batch}", sizes[batch]);
        return Err(Error::data(DataFault::TooFew, "batches", "at least 2 cells in each", found));
    }
    Ok(sizes)
}
