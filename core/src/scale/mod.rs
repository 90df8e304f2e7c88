//! Genes brought to unit variance, and to mean zero on request.
//!
//! [`column_scale`] takes mean m and standard deviation s of each gene (divided by n - 1) in one read. Then
//! x becomes (x - m) / s, or x / s without centring, cut to the limits: in place ([`scale_dense_in_place`],
//! [`scale_rows_in_place`]) or from any source into a dense result ([`scale_into`]). Without centring zeros stay
//! zeros, so sparse rows stay sparse.

mod apply;
mod options;
#[cfg(test)]
mod tests;

pub use apply::{Real, scale_dense_in_place, scale_into, scale_rows_in_place};
pub use options::ScaleOptions;

use crate::matrix::RowBlocks;
use crate::stats::{ValueMap, gene_moments, gene_moments_by};
use crate::{Ctx, DataFault, Error, Result};

/// Mean and standard deviation of each gene; both as long as there are genes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ColumnScale {
    /// Mean, in the units of the data.
    pub mean: Vec<f64>,
    /// Standard deviation (n - 1 in the divisor); 1 for a gene that is the same in every cell.
    pub std: Vec<f64>,
}

/// Mean and standard deviation of each column of `source` over the rows where `mask` is true (all rows without one).
///
/// A variance below 1e-13 of the mean square is rounding: the gene is constant, its deviation is given as 1.
/// Nothing is random; the same bits for any number of threads. One read; 24 bytes per gene.
///
/// # Errors
/// [`Error::Data`] for a mask of the wrong length or without a single cell, NaN or infinite values; whatever the
/// source returns.
pub fn column_scale(source: &dyn RowBlocks, mask: Option<&[bool]>, ctx: &Ctx) -> Result<ColumnScale> {
    let moments = match mask {
        None => gene_moments(source, ValueMap::Identity, ctx)?,
        Some(mask) => {
            check_mask(mask, source.n_rows())?;
            let groups: Vec<u32> = mask.iter().map(|&taken| u32::from(!taken)).collect();
            gene_moments_by(source, &groups, 1, ValueMap::Identity, ctx)?.swap_remove(0)
        }
    };
    if moments.n_rows == 0 {
        return Err(Error::data(DataFault::Empty, "matrix", "at least one cell (selected by the mask)", "none"));
    }
    moments.check_finite("matrix", "finite values")?;
    let n = moments.n_rows as f64;
    let std = moments
        .variances()
        .iter()
        .zip(&moments.sum_squares)
        .map(|(&variance, squares)| if variance > squares / n * 1e-13 { variance.sqrt() } else { 1.0 })
        .collect();
    Ok(ColumnScale { mean: moments.means(), std })
}

/// Refuses a row mask of the wrong length.
fn check_mask(mask: &[bool], n_rows: usize) -> Result<()> {
    if mask.len() == n_rows {
        return Ok(());
    }
    Err(Error::data(DataFault::Shape, "mask_obs", format!("{n_rows} entries, one per cell"), mask.len()))
}
