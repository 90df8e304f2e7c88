//! The flavor that takes the variance of Pearson residuals.

use super::variance::{first_read, pick, ranks, total};
use super::{Flavor, Hvg, HvgInput, HvgOptions, HvgStatistics};
use crate::pearson::residual_variances;
use crate::{Ctx, DataFault, Error, Result};

pub(super) fn select(input: HvgInput<'_>, n_batches: usize, options: &HvgOptions, ctx: &Ctx) -> Result<Hvg> {
    let Some(asked) = options.n_top_genes else {
        return Err(Error::parameter("n_top_genes", "a number for flavor pearson_residuals", "none"));
    };
    let source = input.source;
    let (moments, not_counts) = first_read(input, n_batches, options, ctx)?;
    // Negative and infinite values are refused here.
    let variances = residual_variances(source, &moments, input.batches, options.theta.0, options.clip, ctx)?;
    let whole = total(&moments);
    if whole.sum.iter().all(|&sum| sum == 0.0) {
        return Err(Error::data(DataFault::Empty, "matrix", "at least one count above 0", "none"));
    }
    let n_genes = whole.sum.len();
    let mut notes = Vec::new();
    if asked > n_genes {
        notes.push(format!("`n_top_genes` ({asked}) > number of genes ({n_genes}), returning all genes."));
    }
    let (rank, counts) = ranks(&variances, asked);
    let highly_variable = pick(&rank, &counts, asked, Flavor::SeuratV3Paper);
    let residual_variances =
        (0..n_genes).map(|gene| variances.iter().map(|batch| batch[gene]).sum::<f64>() / n_batches as f64).collect();
    let intersection = counts.iter().map(|&count| count as usize == n_batches).collect();
    Ok(Hvg {
        highly_variable,
        means: whole.means(),
        statistics: HvgStatistics::Residuals { variances: whole.variances(), residual_variances, rank },
        n_batches: input.batches.map(|_| counts),
        intersection: input.batches.map(|_| intersection),
        not_counts,
        notes,
    })
}
