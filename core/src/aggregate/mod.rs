//! Pseudobulk: one profile per group of cells.
//!
//! [`aggregate`] sums, averages, counts or takes medians of each gene over the cells of each group, straight from
//! sparse rows. Shapes: cells x genes in, groups x genes out. Names follow `scanpy.get.aggregate`.

mod median;
mod options;
mod sums;
#[cfg(test)]
mod tests;

pub use options::{AggregateOptions, Statistic};

use crate::matrix::RowBlocks;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// Statistics of each gene over the cells of each group. Tables are `[group * n_genes + gene]`, absent when not
/// asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Aggregated {
    /// Number of groups.
    pub n_groups: usize,
    /// Number of genes.
    pub n_genes: usize,
    /// Cells of each group.
    pub sizes: Vec<u64>,
    /// Sums of the values.
    pub sum: Option<Vec<f64>>,
    /// Means, zeros included. NaN for a group without cells.
    pub mean: Option<Vec<f64>>,
    /// Variances, divided by (cells - `dof`). NaN where a group has no cells; 0/0 or x/0 where it has `dof` of them.
    pub var: Option<Vec<f64>>,
    /// Number of values other than zero.
    pub count_nonzero: Option<Vec<f64>>,
    /// Medians, zeros included; the mean of the two middle values for an even number. NaN for a group without cells,
    /// or with a NaN among its values.
    pub median: Option<Vec<f64>>,
}

/// Aggregates the rows of `source` (cells x genes) by group.
///
/// `labels` holds the group of each cell, below 0 for cells of no group, which count nowhere. Sums run in f64 in the
/// order of the cells. Nothing is random; the bits depend neither on threads nor on the layout. NaN and infinity
/// travel into the results of their group and gene.
///
/// One read for sums, O(non-zeros); medians read the source 1 + (8 bytes per non-zero / `memory`) times more. Memory:
/// 20 bytes per group and gene while summing, 8 bytes for each table returned, and `memory` for medians.
///
/// # Errors
/// [`Error::Parameter`] for bad options; [`Error::Data`] for labels that do not fit; what the source returns;
/// [`Error::Interrupted`].
pub fn aggregate(
    source: &dyn RowBlocks,
    labels: &[i32],
    n_groups: usize,
    options: &AggregateOptions,
    ctx: &Ctx,
) -> Result<Aggregated> {
    options.validate()?;
    if labels.len() != source.n_rows() {
        let expected = format!("one label per cell, {}", source.n_rows());
        return Err(Error::data(DataFault::Shape, "groups", expected, labels.len()));
    }
    if let Some(cell) = labels.iter().position(|&label| label >= 0 && label as usize >= n_groups) {
        let found = format!("{} at cell {cell}", labels[cell]);
        return Err(Error::data(DataFault::Invalid, "groups", format!("labels below {n_groups}"), found));
    }
    let mut sizes = vec![0u64; n_groups];
    labels.iter().filter(|&&label| label >= 0).for_each(|&label| sizes[label as usize] += 1);
    let n_genes = source.n_cols();
    let wants = |statistic| options.func.contains(&statistic);

    let mut found =
        Aggregated { n_groups, n_genes, sizes, sum: None, mean: None, var: None, count_nonzero: None, median: None };
    if options.func.iter().any(|&statistic| statistic != Statistic::Median) {
        let sums = sums::sums(source, labels, n_groups, wants(Statistic::Var), wants(Statistic::CountNonzero), ctx)?;
        if wants(Statistic::Mean) {
            found.mean = Some(per_group(&sums.sum, &found.sizes, n_genes, |sum, n| sum / n));
        }
        if wants(Statistic::Var) {
            found.var = Some(variances(&sums, &found.sizes, n_genes, options.dof));
        }
        found.count_nonzero = sums.non_zeros;
        found.sum = wants(Statistic::Sum).then_some(sums.sum);
    }
    if wants(Statistic::Median) {
        found.median = Some(median::medians(source, labels, &found.sizes, options.memory, ctx)?);
    }
    Ok(found)
}

/// `map(value, cells of its group)` over a table.
fn per_group(table: &[f64], sizes: &[u64], n_genes: usize, map: impl Fn(f64, f64) -> f64) -> Vec<f64> {
    let mut out = Vec::with_capacity(table.len());
    for (row, &size) in table.chunks(n_genes.max(1)).zip(sizes) {
        out.extend(row.iter().map(|&value| map(value, size as f64)));
    }
    out
}

/// Variances from sums and sums of squares.
fn variances(sums: &sums::Sums, sizes: &[u64], n_genes: usize, dof: usize) -> Vec<f64> {
    let Some(squares) = &sums.squares else { return Vec::new() };
    let mut out = per_group(&sums.sum, sizes, n_genes, |sum, n| sum / n);
    for (group, &size) in sizes.iter().enumerate() {
        let n = size as f64;
        for at in group * n_genes..(group + 1) * n_genes {
            let (mean, square) = (out[at], squares[at] / n);
            let spread = square - mean * mean;
            // What rounding leaves of a constant gene is not a variance.
            let spread = if spread <= 4.0 * f64::EPSILON * square { 0.0 } else { spread };
            out[at] = if dof == 0 { spread } else { spread * (n / (n - dof as f64)) };
        }
    }
    out
}
