//! Which cells and genes pass a threshold.

use multiversion::multiversion;

use super::{FilterCellsOptions, FilterGenesOptions};
use crate::matrix::{Pass, RowBlock, RowBlocks, column_sums, run};
use crate::options::Options as _;
use crate::stats::row_sum;
use crate::{Ctx, Result};

/// Result of [`filter_cells`] and [`filter_genes`].
#[derive(Clone, Debug, PartialEq)]
pub struct Filtered {
    /// Whether each cell (gene) is kept.
    pub keep: Vec<bool>,
    /// What was compared: total counts, or the number of values above zero.
    pub number: Vec<f64>,
}

impl Filtered {
    fn new(number: Vec<f64>, min: Option<f64>, max: Option<f64>) -> Self {
        let keep = number
            .iter()
            .map(|&value| min.is_none_or(|min| value >= min) && max.is_none_or(|max| value <= max))
            .collect();
        Self { keep, number }
    }
}

/// What is counted.
#[derive(Clone, Copy, PartialEq)]
enum Measure {
    Sum,
    Positive,
}

struct PerCell(Measure);

impl Pass for PerCell {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;

    fn start(&self) -> Vec<f64> {
        Vec::new()
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        let measure = |values: &[f32]| match self.0 {
            Measure::Sum => row_sum(values),
            Measure::Positive => f64::from(positives(values)),
        };
        Ok(block.rows().map(|(_, _, values)| measure(values)).collect())
    }

    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.extend(partial);
        Ok(())
    }

    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn positives(values: &[f32]) -> u32 {
    let mut number = 0;
    for &value in values {
        number += u32::from(value > 0.0);
    }
    number
}

/// Which cells of a cells x genes matrix reach a minimum or stay within a maximum (both inclusive) of total
/// counts or of genes above zero.
///
/// Nothing is random; the same bits for any number of threads. One read; 9 bytes per cell.
///
/// # Errors
/// [`crate::Error::Parameter`] unless exactly one threshold is given; whatever the source returns.
pub fn filter_cells(source: &dyn RowBlocks, options: &FilterCellsOptions, ctx: &Ctx) -> Result<Filtered> {
    options.validate()?;
    let by_counts = options.min_counts.is_some() || options.max_counts.is_some();
    let number = run(source, &PerCell(if by_counts { Measure::Sum } else { Measure::Positive }), "filter cells", ctx)?;
    Ok(Filtered::new(number, options.min_counts.or(options.min_genes), options.max_counts.or(options.max_genes)))
}

/// Which genes of a cells x genes matrix reach a minimum or stay within a maximum (both inclusive) of total
/// counts or of cells above zero.
///
/// Nothing is random; the same bits for any number of threads. One read; 9 bytes per gene.
///
/// # Errors
/// [`crate::Error::Parameter`] unless exactly one threshold is given; whatever the source returns.
pub fn filter_genes(source: &dyn RowBlocks, options: &FilterGenesOptions, ctx: &Ctx) -> Result<Filtered> {
    options.validate()?;
    let by_counts = options.min_counts.is_some() || options.max_counts.is_some();
    let measure = if by_counts { Measure::Sum } else { Measure::Positive };
    let number = column_sums(source, "filter genes", ctx, |block, sums| {
        let entries = block.indices.iter().zip(block.values);
        match measure {
            Measure::Sum => entries.for_each(|(&column, &value)| sums[column as usize] += f64::from(value)),
            Measure::Positive => {
                // Whole numbers, and a table half as large.
                let mut cells = vec![0u32; sums.len()];
                entries.for_each(|(&column, &value)| cells[column as usize] += u32::from(value > 0.0));
                sums.iter_mut().zip(cells).for_each(|(sum, cells)| *sum += f64::from(cells));
            }
        }
        Ok(())
    })?;
    Ok(Filtered::new(number, options.min_counts.or(options.min_cells), options.max_counts.or(options.max_cells)))
}
