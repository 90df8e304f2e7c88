//! Metrics per cell.

use multiversion::multiversion;

use super::top::TopSums;
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
    /// Puts more cells behind these.
    pub(super) fn append(&mut self, more: CellMetrics) {
        self.n_genes.extend(more.n_genes);
        self.total.extend(more.total);
        for (all, more) in self.percent_top.iter_mut().zip(more.percent_top) {
            all.extend(more);
        }
        for (all, more) in self.subset_total.iter_mut().zip(more.subset_total) {
            all.extend(more);
        }
    }

    /// Percentage of the total that the genes of mask `mask` make up. NaN for an empty cell.
    pub fn subset_percent(&self, mask: usize) -> Vec<f64> {
        self.subset_total[mask].iter().zip(&self.total).map(|(part, total)| part / total * 100.0).collect()
    }
}

/// What is asked of each cell.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    ranks: Vec<usize>,
    n_masks: usize,
    /// Where each gene's list of masks starts in `members`; one more than there are genes.
    starts: Vec<u32>,
    members: Vec<u16>,
}

impl Asked {
    /// Metrics with the highest `percent_top` genes and the totals of `gene_masks`.
    ///
    /// # Errors
    /// [`Error::Parameter`] for an entry of `percent_top` outside `1..=n_cols`; [`Error::Data`] for a mask that
    /// is not as long as there are genes, or more than 65,535 masks.
    pub(super) fn new(n_cols: usize, percent_top: &[usize], gene_masks: &[&[bool]]) -> Result<Self> {
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
        Ok(Self { ranks, n_masks: gene_masks.len(), starts, members })
    }
}

/// Metrics of the cells that were looked at so far, and what is reused from one to the next.
pub(super) struct CellRows<'a> {
    asked: &'a Asked,
    n_cols: usize,
    found: CellMetrics,
    top: TopSums,
    top_sums: Vec<f64>,
    subset_sums: Vec<f64>,
}

impl<'a> CellRows<'a> {
    pub(super) fn new(asked: &'a Asked, n_cols: usize) -> Self {
        Self {
            asked,
            n_cols,
            found: asked.nothing(),
            top: TopSums::new(),
            top_sums: vec![0.0; asked.ranks.len()],
            subset_sums: vec![0.0; asked.n_masks],
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
        let (asked, found) = (self.asked, &mut self.found);
        found.n_genes.push(n_genes);
        found.total.push(total);
        if !asked.ranks.is_empty() {
            match counts {
                Some(counts) => self.top.of_counts(counts, self.n_cols, &asked.ranks, &mut self.top_sums),
                None => self.top.of_row(values, self.n_cols, &asked.ranks, &mut self.top_sums),
            }
            for (metric, sum) in found.percent_top.iter_mut().zip(&self.top_sums) {
                metric.push(sum / total * 100.0);
            }
        }
        Ok(())
    }

    /// Totals of the masks in the cell that was added last: of all its genes and values, or of those that are in any mask.
    pub(super) fn add_subsets(&mut self, values: impl Iterator<Item = (u32, f32)>) {
        let asked = self.asked;
        if asked.n_masks == 0 {
            return;
        }
        self.subset_sums.fill(0.0);
        for (column, value) in values {
            for &mask in asked.masks_of(column as usize) {
                self.subset_sums[usize::from(mask)] += f64::from(value);
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
    // Runs short enough for sums of 32 bits. Closures would not be inlined into code for other processors.
    for run in counts.chunks(1 << 20) {
        let mut sum = 0u32;
        for &count in run {
            sum += u32::from(count);
            n_genes += u32::from(count != 0);
        }
        total += u64::from(sum);
    }
    (total as f64, n_genes)
}

impl Asked {
    /// The metrics of no cell.
    pub(super) fn nothing(&self) -> CellMetrics {
        let (n_top, n_masks) = (self.ranks.len(), self.n_masks);
        CellMetrics {
            percent_top: vec![Vec::new(); n_top],
            subset_total: vec![Vec::new(); n_masks],
            ..CellMetrics::default()
        }
    }

    /// The masks that a gene is in.
    fn masks_of(&self, gene: usize) -> &[u16] {
        &self.members[self.starts[gene] as usize..self.starts[gene + 1] as usize]
    }

    /// Genes that are in any mask.
    pub(super) fn in_masks(&self) -> impl Iterator<Item = usize> {
        (0..self.starts.len() - 1).filter(|&gene| !self.masks_of(gene).is_empty())
    }
}
