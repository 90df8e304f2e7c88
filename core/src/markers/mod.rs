//! Marker genes: which genes tell a group of cells from the others.
//!
//! [`rank_genes_groups`] compares, gene by gene, each group with all other cells or with one reference group:
//! Welch's t-test from sums taken in one read of the rows, or Wilcoxon's rank-sum test from the sorted
//! non-zeros of each gene. Shapes: cells x genes in, one table per group out.
//!
//! Behaviour, names and defaults are those of `scanpy.tl.rank_genes_groups` 1.11 (Wolf, Angerer, Theis 2018).
//! Welch 1947; Wilcoxon 1945; Mann and Whitney 1947; Benjamini and Hochberg 1995.

mod groups;
mod moments;
mod options;
mod scores;
mod sort;
#[cfg(test)]
mod tests;
mod wilcoxon;

use rayon::prelude::*;

pub use groups::Grouping;
pub use options::{Correction, FoldChange, Method, RankGenesOptions};
pub(crate) use scores::adjust;

use crate::matrix::RowBlocks;
use crate::options::Options;
use crate::{Ctx, DataFault, Error, Result};

/// The genes of one group, the highest score first; equal scores in the order of the genes. All vectors are
/// `n_genes` of the options long (or as many as there are genes).
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct GroupMarkers {
    /// The group.
    pub group: usize,
    /// Genes, as columns of the source.
    pub genes: Vec<u32>,
    /// t (t-tests) or z (Wilcoxon). 0 where a gene has no spread and no difference.
    pub scores: Vec<f64>,
    /// log2 fold changes, as `fold_change` and `pseudocount` say. NaN where a level plus the pseudocount is below zero,
    /// which takes values below zero.
    pub logfoldchanges: Vec<f64>,
    /// Two-sided p-values. 0 where they are below the smallest double; see `log10_pvals`.
    pub pvals: Vec<f64>,
    /// Adjusted p-values, over all genes of the source.
    pub pvals_adj: Vec<f64>,
    /// log10 of the p-values; finite however small they are (-infinity only for an infinite score).
    pub log10_pvals: Vec<f64>,
    /// log10 of the adjusted p-values.
    pub log10_pvals_adj: Vec<f64>,
}

/// What [`rank_genes_groups`] returns.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct RankedGenes {
    /// One table per group, in the order of the groups, without the reference.
    pub groups: Vec<GroupMarkers>,
    /// Fraction of the cells of each group (the reference too) where each gene is not zero;
    /// `[group * n_genes + gene]`. Only with `pts`.
    pub pts: Option<Vec<f64>>,
    /// The same outside each group. Only with `pts` and without a reference.
    pub pts_rest: Option<Vec<f64>>,
}

/// Ranks the genes of each group by how they differ from the other cells.
///
/// `source` holds cells x genes of log-transformed values (any finite values are accepted, below zero too);
/// `grouping` the group of each cell and the reference. Returns one table per tested group, see
/// [`GroupMarkers`].
///
/// Nothing is random. The result has the same bits for any number of threads, for sparse and dense input,
/// and for a file as for memory. t-tests read the source once and take O(non-zeros) time and 16 to 36 bytes
/// per group and gene. Wilcoxon reads it 1 + (8 bytes per non-zero / `memory`) times, takes O(non-zeros) time
/// for 32-bit keys sorted by digits, and `memory` bytes, plus 16 to 40 bytes per group and gene.
///
/// # Errors
/// [`Error::Parameter`] for bad options; [`Error::Data`] for a matrix without cells or genes, labels that do
/// not fit it, or values that are NaN or infinite; what the source returns; [`Error::Interrupted`].
pub fn rank_genes_groups(
    source: &dyn RowBlocks,
    grouping: &Grouping,
    options: &RankGenesOptions,
    ctx: &Ctx,
) -> Result<RankedGenes> {
    options.validate()?;
    if grouping.labels().len() != source.n_rows() {
        let expected = format!("one label per cell, {}", source.n_rows());
        return Err(Error::data(DataFault::Shape, "groups", expected, grouping.labels().len()));
    }
    if source.n_cols() == 0 {
        return Err(Error::data(DataFault::Empty, "X", "at least one gene", "none"));
    }
    let (ranks, sums) = match options.method {
        Method::Wilcoxon => {
            let (ranks, sums) = wilcoxon::rank_sums(source, grouping, options, ctx)?;
            (Some(ranks), sums)
        }
        Method::TTest | Method::TTestOverestimVar => (None, moments::moments(source, grouping, options, ctx)?),
    };
    let sides = scores::Sides::new(sums, grouping);
    let tested: Vec<usize> = grouping.tested().collect();
    let groups = tested
        .par_iter()
        .with_max_len(1)
        .map(|&group| ctx.check().map(|()| table(&sides, ranks.as_ref(), grouping, group, options)))
        .collect::<Vec<Result<GroupMarkers>>>()
        .into_iter()
        .collect::<Result<_>>()?;

    let n_genes = source.n_cols();
    let fractions = |counts: &[f64], cells: &dyn Fn(usize) -> usize| -> Vec<f64> {
        (0..grouping.n_groups() * n_genes).map(|at| counts[at] / cells(at / n_genes) as f64).collect()
    };
    Ok(RankedGenes {
        groups,
        pts: options.pts.then(|| fractions(&sides.own.non_zeros, &|group| grouping.sizes()[group])),
        pts_rest: (options.pts && grouping.reference().is_none())
            .then(|| fractions(&sides.other.non_zeros, &|group| grouping.other_size(group))),
    })
}

/// Scores, sorts and cuts the table of one group.
fn table(
    sides: &scores::Sides,
    ranks: Option<&wilcoxon::RankSums>,
    grouping: &Grouping,
    group: usize,
    options: &RankGenesOptions,
) -> GroupMarkers {
    let (scores, ln_p) = scores::scores(sides, ranks, grouping, group, options.method);
    let ln_adjusted = scores::adjust(&ln_p, options.corr_method);
    let folds = scores::fold_changes(sides, grouping, group, options);
    let mut genes: Vec<u32> = (0..scores.len() as u32).collect();
    let rank_by = |gene: u32| {
        let score = scores[gene as usize];
        if options.rankby_abs { score.abs() } else { score }
    };
    genes.sort_unstable_by(|&a, &b| rank_by(b).total_cmp(&rank_by(a)).then(a.cmp(&b)));
    genes.truncate(options.n_genes.unwrap_or(genes.len()));
    let pick = |values: &[f64], map: fn(f64) -> f64| genes.iter().map(|&gene| map(values[gene as usize])).collect();
    let log10 = |ln: f64| ln / std::f64::consts::LN_10;
    GroupMarkers {
        group,
        scores: pick(&scores, |x| x),
        logfoldchanges: pick(&folds, |x| x),
        pvals: pick(&ln_p, f64::exp),
        pvals_adj: pick(&ln_adjusted, f64::exp),
        log10_pvals: pick(&ln_p, log10),
        log10_pvals_adj: pick(&ln_adjusted, log10),
        genes,
    }
}
