//! Metrics per cell.

use multiversion::multiversion;

use super::top::TopSums;
use crate::matrix::{Pass, RowBlock};
use crate::stats::{SmallCounts, row_sum};
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

/// Metrics of the cells that were looked at so far, and what is reused from one to the next.
pub(super) struct CellRows<'a> {
    pass: &'a CellMetricsPass,
    n_cols: usize,
    found: CellMetrics,
    top: TopSums,
    top_sums: Vec<f64>,
    subset_sums: Vec<f64>,
}

impl<'a> CellRows<'a> {
    pub(super) fn new(pass: &'a CellMetricsPass, n_cols: usize) -> Self {
        Self {
            pass,
            n_cols,
            found: pass.start(),
            top: TopSums::new(),
            top_sums: vec![0.0; pass.ranks.len()],
            subset_sums: vec![0.0; pass.n_masks],
        }
    }

    /// Looks at one cell; `counts` are its values where all are small counts. [`CellRows::add_subsets`] comes after it.
    pub(super) fn add(&mut self, row: usize, columns: &[u32], values: &[f32], counts: Option<&[u16]>) -> Result<()> {
        let (total, n_genes) = match counts {
            Some(counts) => sum_and_count(counts),
            None => (row_sum(values), values.iter().map(|&value| u32::from(value != 0.0)).sum()),
        };
        if !total.is_finite() {
            let at = values.iter().position(|value| !value.is_finite()).unwrap_or_default();
            let place = format!("{} in cell {row}, gene {}", values[at], columns[at]);
            return Err(Error::data(DataFault::NotFinite, "matrix", "finite values", place));
        }
        let (pass, found) = (self.pass, &mut self.found);
        found.n_genes.push(n_genes);
        found.total.push(total);
        if !pass.ranks.is_empty() {
            match counts {
                Some(counts) => self.top.of_counts(counts, self.n_cols, &pass.ranks, &mut self.top_sums),
                None => self.top.of_row(values, self.n_cols, &pass.ranks, &mut self.top_sums),
            }
            for (metric, sum) in found.percent_top.iter_mut().zip(&self.top_sums) {
                metric.push(sum / total * 100.0);
            }
        }
        Ok(())
    }

    /// Totals of the masks in the cell that was added last: of all its genes and values, or of those that are in any mask.
    pub(super) fn add_subsets(&mut self, values: impl Iterator<Item = (u32, f32)>) {
        let pass = self.pass;
        if pass.n_masks == 0 {
            return;
        }
        self.subset_sums.fill(0.0);
        for (column, value) in values {
            if pass.in_any[column as usize] {
                let span = pass.starts[column as usize] as usize..pass.starts[column as usize + 1] as usize;
                for &mask in &pass.members[span] {
                    self.subset_sums[usize::from(mask)] += f64::from(value);
                }
            }
        }
        for (metric, &sum) in self.found.subset_total.iter_mut().zip(&self.subset_sums) {
            metric.push(sum);
        }
    }

    pub(super) fn finish(self) -> CellMetrics {
        self.found
    }
}

/// Sum, exact, and number of counts other than zero.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn sum_and_count(counts: &[u16]) -> (f64, u32) {
    let (mut total, mut n_genes) = (0u64, 0u32);
    // Runs short enough for sums of 32 bits.
    for run in counts.chunks(1 << 20) {
        let (sum, some) =
            run.iter().fold((0u32, 0u32), |(sum, some), &count| (sum + u32::from(count), some + u32::from(count != 0)));
        total += u64::from(sum);
        n_genes += some;
    }
    (total as f64, n_genes)
}

impl CellMetricsPass {
    /// Genes that are in any mask.
    pub(super) fn in_masks(&self) -> impl Iterator<Item = usize> {
        self.in_any.iter().enumerate().filter(|&(_, &any)| any).map(|(gene, _)| gene)
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
        let (mut cells, mut small) = (CellRows::new(self, block.n_cols), SmallCounts::default());
        for (row, columns, values) in block.rows() {
            cells.add(row, columns, values, small.of(values))?;
            cells.add_subsets(columns.iter().copied().zip(values.iter().copied()));
        }
        Ok(cells.finish())
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
