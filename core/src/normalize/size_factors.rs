//! What each cell is divided by.

use super::NormalizeTotalOptions;
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::options::Options as _;
use crate::stats::{median, row_sum};
use crate::{Ctx, DataFault, Error, Result};

/// Result of [`size_factors`].
#[derive(Clone, Debug, PartialEq)]
pub struct SizeFactors {
    /// Total of each cell over the genes that count.
    pub totals: Vec<f64>,
    /// `totals` / `target`: 0 for an empty cell.
    pub factors: Vec<f64>,
    /// The total that cells have after division.
    pub target: f64,
    /// Whether a gene was left out of the totals as highly expressed; as long as there are genes.
    pub excluded: Vec<bool>,
    /// Number of cells whose total is 0.
    pub n_empty: usize,
}

impl SizeFactors {
    /// What each cell is divided by: its factor, 1 for an empty cell.
    pub fn divisors(&self) -> Vec<f64> {
        self.factors.iter().map(|&factor| if factor == 0.0 { 1.0 } else { factor }).collect()
    }
}

/// Totals over the genes that are not left out.
struct Totals<'a> {
    n_cols: usize,
    left_out: Option<&'a [bool]>,
}

impl Pass for Totals<'_> {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        Vec::new()
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let mut totals = Vec::with_capacity(block.n_rows());
        for (row, columns, values) in block.rows() {
            // A comparison with NaN is false, so NaN is caught too.
            if !values.iter().fold(true, |good, &value| good & (0.0..=f32::MAX).contains(&value)) {
                return Err(bad_value(row, columns, values));
            }
            totals.push(match self.left_out {
                None => row_sum(values),
                Some(left_out) => columns
                    .iter()
                    .zip(values)
                    .filter(|&(&column, _)| !left_out[column as usize])
                    .map(|(_, &value)| f64::from(value))
                    .sum(),
            });
        }
        Ok(totals)
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.extend(partial);
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        debug_assert!(self.left_out.is_none_or(|flags| flags.len() == self.n_cols));
        Ok(state)
    }
}

fn bad_value(row: usize, columns: &[u32], values: &[f32]) -> Error {
    let at = values.iter().position(|value| !(0.0..=f32::MAX).contains(value)).unwrap_or_default();
    let (column, value) = (columns[at], values[at]);
    let fault = if value < 0.0 && value.is_finite() { DataFault::Negative } else { DataFault::NotFinite };
    Error::data(fault, "matrix", "finite values of at least 0", format!("{value} in cell {row}, gene {column}"))
}

/// Genes that make up more than a fraction of some cell.
struct HighlyExpressed<'a> {
    n_cols: usize,
    totals: &'a [f64],
    max_fraction: f64,
}

impl Pass for HighlyExpressed<'_> {
    type Partial = Vec<u32>;
    type State = Vec<bool>;
    type Output = Vec<bool>;

    fn start(&self) -> Vec<bool> {
        vec![false; self.n_cols]
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<u32>> {
        let mut found = Vec::new();
        for (row, columns, values) in block.rows() {
            let limit = self.max_fraction * self.totals[row];
            found.extend(
                columns.iter().zip(values).filter(|&(_, &value)| f64::from(value) > limit).map(|(&column, _)| column),
            );
        }
        Ok(found)
    }

    fn merge(&self, state: &mut Vec<bool>, partial: Vec<u32>) -> Result<()> {
        partial.into_iter().for_each(|column| state[column as usize] = true);
        Ok(())
    }

    fn finish(&self, state: Vec<bool>) -> Result<Vec<bool>> {
        Ok(state)
    }
}

/// What each cell of a cells x genes matrix is divided by so that all have the same total.
///
/// The target is that of the options or the median total of the cells that are not empty; with every cell
/// empty it is 1. Nothing is random; the same bits for any number of threads. One read (three when highly
/// expressed genes are excluded); 8 bytes per cell.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for negative, NaN or infinite values with
/// the first place; whatever the source returns.
pub fn size_factors(source: &dyn RowBlocks, options: &NormalizeTotalOptions, ctx: &Ctx) -> Result<SizeFactors> {
    options.validate()?;
    let n_cols = source.n_cols();
    let mut totals = run(source, &Totals { n_cols, left_out: None }, "totals", ctx)?;
    let mut excluded = vec![false; n_cols];
    if options.exclude_highly_expressed {
        let pass = HighlyExpressed { n_cols, totals: &totals, max_fraction: options.max_fraction };
        excluded = run(source, &pass, "highly expressed genes", ctx)?;
        totals = run(source, &Totals { n_cols, left_out: Some(&excluded) }, "totals", ctx)?;
    }
    let mut filled: Vec<f64> = totals.iter().copied().filter(|&total| total > 0.0).collect();
    let n_empty = totals.len() - filled.len();
    let target = options.target_sum.unwrap_or_else(|| if filled.is_empty() { 1.0 } else { median(&mut filled) });
    let factors = totals.iter().map(|total| total / target).collect();
    Ok(SizeFactors { totals, factors, target, excluded, n_empty })
}
