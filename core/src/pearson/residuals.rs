//! Residuals of every cell and gene.

use multiversion::multiversion;

use super::{Margins, PearsonOptions, check_shape, margins};
use crate::matrix::{RowBlocks, fill_rows};
use crate::options::Options as _;
use crate::{Ctx, Result};

/// Residual of a count of 0 where `mu` is expected, before it is cut; 0 for mu = 0.
#[inline(always)]
pub(super) fn of_zero(mu: f64, inverse_theta: f64) -> f64 {
    -(mu / (1.0 + mu * inverse_theta)).sqrt()
}

/// Residual of a count `x` where `mu` is expected, before it is cut; 0 for mu = 0.
#[inline(always)]
pub(super) fn of_count(x: f64, mu: f64, inverse_theta: f64) -> f64 {
    if mu > 0.0 { (x - mu) / (mu + mu * mu * inverse_theta).sqrt() } else { 0.0 }
}

/// Residuals of a cell without counts whose total says `share` of each gene's total is expected.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn fill_zeros(out: &mut [f32], genes: &[f64], share: f64, inverse_theta: f64, clip: f64) {
    for (value, total) in out.iter_mut().zip(genes) {
        *value = of_zero(total * share, inverse_theta).max(-clip) as f32;
    }
}

/// Writes the residuals into `out` (cells x genes, row-major) and returns the totals they are made of.
///
/// Nothing is random; the same bits for any number of threads and for sparse as for dense counts. Three reads (two
/// without `check_values`) and one write of the result; 8 bytes per cell and gene total beside it.
///
/// # Errors
/// [`crate::Error::Parameter`] for options out of range; [`crate::Error::Data`] for an empty matrix, negative, NaN or
/// infinite values, or a result of the wrong length; whatever the source returns; [`crate::Error::Interrupted`].
pub fn pearson_residuals_into(
    source: &dyn RowBlocks,
    options: &PearsonOptions,
    out: &mut [f32],
    ctx: &Ctx,
) -> Result<Margins> {
    options.validate()?;
    check_shape(source)?;
    let found = margins(source, options.check_values, ctx)?;
    let total: f64 = found.genes.iter().sum();
    let clip = options.clip.unwrap_or((source.n_rows() as f64).sqrt());
    let inverse_theta = 1.0 / options.theta.0;
    let write = |(): &mut (), row: usize, columns: &[u32], values: &[f32], out_row: &mut [f32]| {
        // An empty matrix expects nothing anywhere.
        let share = if total > 0.0 { found.cells[row] / total } else { 0.0 };
        fill_zeros(out_row, &found.genes, share, inverse_theta, clip);
        for (&column, &value) in columns.iter().zip(values) {
            let mu = found.genes[column as usize] * share;
            out_row[column as usize] = of_count(f64::from(value), mu, inverse_theta).clamp(-clip, clip) as f32;
        }
    };
    fill_rows(source, source.n_cols(), out, "pearson residuals", ctx, || (), write)?;
    Ok(found)
}
