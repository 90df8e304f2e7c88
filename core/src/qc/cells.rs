//! Metrics per cell.

use super::top::TopSums;
use crate::matrix::{Pass, RowBlock};
use crate::stats::row_sum;
use crate::{DataFault, Error, Result};

/// Metrics per cell; each vector as long as there are cells.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct CellMetrics {
    /// Number of genes other than zero.
    pub n_genes: Vec<u32>,
    /// Total count.
    pub total: Vec<f64>,
    /// For each entry of `percent_top`, ascending: percentage of the total in that many highest genes.
    /// NaN for an empty cell.
    pub percent_top: Vec<Vec<f64>>,
    /// For each gene mask: total count of its genes.
    pub subset_total: Vec<Vec<f64>>,
}

impl CellMetrics {
    fn empty(n_top: usize, n_masks: usize) -> Self {
        Self { percent_top: vec![Vec::new(); n_top], subset_total: vec![Vec::new(); n_masks], ..Self::default() }
    }

    /// Percentage of the total that the genes of mask `mask` make up. NaN for an empty cell.
    pub fn subset_percent(&self, mask: usize) -> Vec<f64> {
        self.subset_total[mask].iter().zip(&self.total).map(|(part, total)| part / total * 100.0).collect()
    }
}

/// The pass behind the metrics per cell.
#[derive(Clone, Debug)]
pub struct CellMetricsPass {
    ranks: Vec<usize>,
    n_masks: usize,
    /// Where each gene's list of masks starts in `members`; one more than there are genes.
    starts: Vec<u32>,
    members: Vec<u16>,
    /// Whether a gene is in any mask.
    in_any: Vec<bool>,
}

impl CellMetricsPass {
    /// Metrics with the highest `percent_top` genes and the totals of `gene_masks`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an entry of `percent_top` outside `1..=n_cols`; [`Error::Data`] for a mask that
    /// is not as long as there are genes, or more than 65,535 masks.
    pub fn new(n_cols: usize, percent_top: &[usize], gene_masks: &[&[bool]]) -> Result<Self> {
        let mut ranks = percent_top.to_vec();
        ranks.sort_unstable();
        if let Some(&rank) = ranks.iter().find(|rank| !(1..=n_cols).contains(rank)) {
            let expected = format!("whole numbers from 1 to the number of genes ({n_cols})");
            return Err(Error::parameter("percent_top", expected, rank));
        }
        if gene_masks.len() > usize::from(u16::MAX) {
            return Err(Error::data(DataFault::Shape, "gene masks", "at most 65535", gene_masks.len()));
        }
        for (at, mask) in gene_masks.iter().enumerate() {
            if mask.len() != n_cols {
                let what = format!("gene mask {at}");
                return Err(Error::data(DataFault::Shape, what, format!("{n_cols} entries"), mask.len()));
            }
        }
        let (mut starts, mut members) = (vec![0], Vec::new());
        for gene in 0..n_cols {
            members.extend((0..gene_masks.len()).filter(|&mask| gene_masks[mask][gene]).map(|mask| mask as u16));
            starts.push(members.len() as u32);
        }
        let in_any = starts.windows(2).map(|pair| pair[0] < pair[1]).collect();
        Ok(Self { ranks, n_masks: gene_masks.len(), starts, members, in_any })
    }
}

impl Pass for CellMetricsPass {
    type Partial = CellMetrics;
    type State = CellMetrics;
    type Output = CellMetrics;

    fn start(&self) -> CellMetrics {
        CellMetrics::empty(self.ranks.len(), self.n_masks)
    }

    fn block(&self, block: &RowBlock<'_>) -> Result<CellMetrics> {
        let mut found = self.start();
        let mut top = TopSums::new();
        let mut top_sums = vec![0.0; self.ranks.len()];
        let mut subset_sums = vec![0.0; self.n_masks];
        for (row, columns, values) in block.rows() {
            let total = row_sum(values);
            if !total.is_finite() {
                let at = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
                let place = format!("{} in cell {row}, gene {}", values[at], columns[at]);
                return Err(Error::data(DataFault::NotFinite, "matrix", "finite values", place));
            }
            found.n_genes.push(values.iter().map(|&value| u32::from(value != 0.0)).sum());
            found.total.push(total);
            if !self.ranks.is_empty() {
                top.of_row(values, block.n_cols, &self.ranks, &mut top_sums);
                for (metric, sum) in found.percent_top.iter_mut().zip(&top_sums) {
                    metric.push(sum / total * 100.0);
                }
            }
            if self.n_masks > 0 {
                subset_sums.fill(0.0);
                for (&column, &value) in columns.iter().zip(values) {
                    if self.in_any[column as usize] {
                        let span = self.starts[column as usize] as usize..self.starts[column as usize + 1] as usize;
                        for &mask in &self.members[span] {
                            subset_sums[usize::from(mask)] += f64::from(value);
                        }
                    }
                }
                for (metric, &sum) in found.subset_total.iter_mut().zip(&subset_sums) {
                    metric.push(sum);
                }
            }
        }
        Ok(found)
    }

    fn merge(&self, state: &mut CellMetrics, partial: CellMetrics) -> Result<()> {
        state.n_genes.extend(partial.n_genes);
        state.total.extend(partial.total);
        for (all, more) in state.percent_top.iter_mut().zip(partial.percent_top) {
            all.extend(more);
        }
        for (all, more) in state.subset_total.iter_mut().zip(partial.subset_total) {
            all.extend(more);
        }
        Ok(())
    }

    fn finish(&self, state: CellMetrics) -> Result<CellMetrics> {
        Ok(state)
    }
}
