//! Analytic Pearson residuals of counts, and their variance per gene.
//!
//! With cell totals r_i, gene totals c_j and the grand total t, the expected count is mu = r_i c_j / t and the
//! residual (x - mu) / sqrt(mu + mu^2 / theta), cut to -clip..clip (Lause, Berens, Kobak: Analytic Pearson residuals
//! for normalization of single-cell RNA-seq UMI data, Genome Biology 2021). Where mu is 0, so is the count, and the
//! residual is given as 0.
//!
//! [`pearson_residuals_into`] writes all of them, a dense matrix. [`residual_variances`] needs none of it: the sum
//! over the cells with count 0 is a smooth function of c_j alone ([`zeros`]), so only stored values are looked at.

mod options;
mod residuals;
#[cfg(test)]
mod tests;
mod variances;
mod zeros;

pub use options::PearsonOptions;
pub use residuals::pearson_residuals_into;
pub use variances::residual_variances;

use crate::matrix::{RowBlocks, run};
use crate::normalize::{NormalizeTotalOptions, size_factors};
use crate::qc::{CountFault, CountFaultPass};
use crate::stats::{ValueMap, gene_moments};
use crate::{Ctx, DataFault, Error, Result};

/// Totals of a matrix of counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Margins {
    /// Total of each cell.
    pub cells: Vec<f64>,
    /// Total of each gene.
    pub genes: Vec<f64>,
    /// First value that is not a whole number, where `check_values` asked to look.
    pub not_counts: Option<CountFault>,
}

/// Totals of cells and genes.
///
/// # Errors
/// [`Error::Data`] for negative, NaN or infinite values, with the first place; whatever the source returns.
pub fn margins(source: &dyn RowBlocks, check_values: bool, ctx: &Ctx) -> Result<Margins> {
    let cells = size_factors(source, &NormalizeTotalOptions::default(), ctx)?.totals;
    let genes = gene_moments(source, ValueMap::Identity, ctx)?.sum;
    let not_counts = if check_values { run(source, &CountFaultPass, "check counts", ctx)? } else { None };
    Ok(Margins { cells, genes, not_counts })
}

/// Refuses a clip or theta out of range.
fn check(theta: f64, clip: Option<f64>) -> Result<()> {
    if !(theta > 0.0) {
        return Err(Error::parameter("theta", "a number above 0 (infinity: a Poisson model)", theta));
    }
    match clip {
        Some(clip) if !(clip >= 0.0) => Err(Error::parameter("clip", "a number of at least 0, or none", clip)),
        _ => Ok(()),
    }
}

/// Refuses a matrix without cells or genes.
fn check_shape(source: &dyn RowBlocks) -> Result<()> {
    let (n, g) = (source.n_rows(), source.n_cols());
    if n > 0 && g > 0 {
        return Ok(());
    }
    let expected = "at least one cell and one gene";
    Err(Error::data(DataFault::Empty, "matrix", expected, format!("{n} cells, {g} genes")))
}
