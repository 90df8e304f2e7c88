//! Highly variable genes.
//!
//! Two families. `seurat` and `cell_ranger` take logarithmised data and compare each gene's dispersion with
//! that of genes of similar mean (bins). `seurat_v3` and `seurat_v3_paper` take raw counts and compare each
//! gene's variance with what a smooth curve (loess) expects at its mean. Every step, down to ties and the
//! edges of bins, is that of scanpy 1.11. `pearson_residuals` takes raw counts and ranks genes by the variance of
//! their Pearson residuals ([`crate::pearson`]).
//!
//! References: Satija et al., Nat Biotechnol 2015; Zheng et al., Nat Commun 2017; Stuart et al., Cell 2019;
//! Cleveland and Grosse, Statistics and Computing 1991; Lause, Berens, Kobak, Genome Biology 2021.

mod bins;
mod dispersion;
mod loess;
mod options;
mod residuals;
#[cfg(test)]
mod tests;
mod variance;

pub use loess::Loess;
pub use options::{Bound, Flavor, HvgOptions};

use crate::matrix::RowBlocks;
use crate::options::Options as _;
use crate::qc::CountFault;
use crate::{Ctx, DataFault, Error, Result};

/// What [`highly_variable_genes`] looks at.
#[derive(Clone, Copy)]
pub struct HvgInput<'a> {
    /// Cells x genes: logarithmised for `seurat` and `cell_ranger`, raw counts for the others.
    pub source: &'a dyn RowBlocks,
    /// Batch of each cell, numbered from 0 without gaps.
    pub batches: Option<&'a [u32]>,
    /// Base of the logarithm that was taken; none: e. Used by `seurat`.
    pub log_base: Option<f64>,
    /// Gene numbers in the order in which ties across batches are broken (`seurat`, `cell_ranger`); none: as they stand.
    pub tie_order: Option<&'a [u32]>,
}

impl<'a> HvgInput<'a> {
    /// A matrix alone.
    pub fn new(source: &'a dyn RowBlocks) -> Self {
        Self { source, batches: None, log_base: None, tie_order: None }
    }
}

/// Result of [`highly_variable_genes`]; each vector as long as there are genes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Hvg {
    /// Whether a gene is highly variable.
    pub highly_variable: Vec<bool>,
    /// Mean per gene (log1p of the mean for `seurat`), averaged over batches.
    pub means: Vec<f64>,
    /// What the family adds.
    pub statistics: HvgStatistics,
    /// Number of batches in which a gene is highly variable.
    pub n_batches: Option<Vec<u32>>,
    /// Whether a gene is highly variable in every batch (not the seurat_v3 flavors).
    pub intersection: Option<Vec<bool>>,
    /// First value that is not a raw count, where raw counts are expected and `check_values` asks to look.
    pub not_counts: Option<CountFault>,
    /// Remarks for the user, such as fewer genes than asked for.
    pub notes: Vec<String>,
}

/// Statistics per gene, by family of flavors.
#[derive(Clone, Debug, PartialEq)]
pub enum HvgStatistics {
    /// `seurat`, `cell_ranger`.
    Dispersion {
        /// Variance / mean; its logarithm for `seurat`.
        dispersions: Vec<f64>,
        /// Dispersion less that of the bin, over the spread of the bin.
        dispersions_norm: Vec<f64>,
    },
    /// `seurat_v3`, `seurat_v3_paper`.
    Variance {
        /// Variance over all cells.
        variances: Vec<f64>,
        /// Variance of standardised, clipped counts, averaged over batches.
        variances_norm: Vec<f64>,
        /// Median over batches of the rank by `variances_norm`, from 0; NaN where below the top in every batch.
        rank: Vec<f64>,
    },
    /// `pearson_residuals`.
    Residuals {
        /// Variance of the counts over all cells.
        variances: Vec<f64>,
        /// Variance of Pearson residuals, averaged over batches.
        residual_variances: Vec<f64>,
        /// Median over batches of the rank by `residual_variances`, from 0; NaN where below the top in every batch.
        rank: Vec<f64>,
    },
}

impl Default for HvgStatistics {
    fn default() -> Self {
        Self::Dispersion { dispersions: Vec::new(), dispersions_norm: Vec::new() }
    }
}

/// Selects the genes that vary more than others of their mean.
///
/// Nothing is random; the same bits for any number of threads. One read (`seurat`, `cell_ranger`), two
/// (`seurat_v3`) or three (`pearson_residuals`); 24 to 40 bytes per gene and batch.
///
/// # Errors
/// [`Error::Parameter`] for options out of range or that contradict the data; [`Error::Data`] for an empty matrix,
/// NaN or infinite values, negative counts, a batch with one cell, batches of the wrong length, or data without
/// genes that vary; whatever the source returns.
pub fn highly_variable_genes(input: HvgInput<'_>, options: &HvgOptions, ctx: &Ctx) -> Result<Hvg> {
    options.validate()?;
    let (n_cells, n_genes) = (input.source.n_rows(), input.source.n_cols());
    if n_cells == 0 || n_genes == 0 {
        let found = format!("{n_cells} cells, {n_genes} genes");
        return Err(Error::data(DataFault::Empty, "matrix", "at least one cell and one gene", found));
    }
    let n_batches = match input.batches {
        None => 1,
        Some(batches) => count_batches(batches, n_cells)?,
    };
    if let Some(order) = input.tie_order {
        let mut seen = vec![false; n_genes];
        let fits = order.len() == n_genes
            && order.iter().all(|&gene| seen.get_mut(gene as usize).is_some_and(|seen| !std::mem::replace(seen, true)));
        if !fits {
            let expected = format!("each of {n_genes} genes once");
            return Err(Error::data(DataFault::Invalid, "tie order", expected, "other numbers"));
        }
    }
    match options.flavor {
        Flavor::Seurat | Flavor::CellRanger => dispersion::select(input, n_batches, options, ctx),
        Flavor::SeuratV3 | Flavor::SeuratV3Paper => variance::select(input, n_batches, options, ctx),
        Flavor::PearsonResiduals => residuals::select(input, n_batches, options, ctx),
    }
}

/// Number of batches; each must have two cells or more.
fn count_batches(batches: &[u32], n_cells: usize) -> Result<usize> {
    if batches.len() != n_cells {
        return Err(Error::data(DataFault::Shape, "batches", format!("{n_cells} entries"), batches.len()));
    }
    let n_batches = batches.iter().max().map_or(0, |&last| last as usize + 1);
    if n_batches > n_cells {
        let expected = "batches numbered from 0 without gaps";
        return Err(Error::data(DataFault::Invalid, "batches", expected, format!("number {}", n_batches - 1)));
    }
    let mut sizes = vec![0usize; n_batches];
    batches.iter().for_each(|&batch| sizes[batch as usize] += 1);
    if let Some(batch) = sizes.iter().position(|&size| size < 2) {
        let found = format!("{} in batch {batch}", sizes[batch]);
        return Err(Error::data(DataFault::TooFew, "batches", "at least 2 cells in each", found));
    }
    Ok(n_batches)
}
