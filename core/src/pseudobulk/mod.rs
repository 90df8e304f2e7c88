//! Differential expression between samples: aggregated counts, a linear model, moderated t-statistics.
//!
//! Counts of few samples (pseudobulks) are made comparable (trimmed mean of M-values), logged, and fitted gene by gene
//! by weighted least squares, each observation weighted by the precision that its size promises (voom). Variances are
//! then drawn towards each other by an empirical Bayes estimate before a contrast of the coefficients is tested.
//! Shapes: samples x genes and samples x coefficients in, one row per gene out.
//!
//! References: Law, Chen, Shi, Smyth, voom, Genome Biology 15:R29 (2014); Smyth, Linear models and empirical Bayes
//! methods, Stat. Appl. Genet. Mol. Biol. 3 (2004); Robinson and Oshlack, Genome Biology 11:R25 (2010); Chen, Lun,
//! Smyth, F1000Research 5:1438 (2016) for the filter; Cleveland, JASA 74 (1979) for the trend; Benjamini and Hochberg
//! (1995).

mod bayes;
mod design;
mod fit;
mod library;
mod lowess;
mod options;
#[cfg(test)]
mod tests;
mod voom;

pub use bayes::{Prior, fit_prior, squeeze};
pub use design::Design;
pub use lowess::lowess;
pub use options::{LibrarySize, PseudobulkOptions};

use rayon::prelude::*;

use crate::markers::{Correction, adjust};
use crate::options::Options;
use crate::stats::ln_t_two_sided;
use crate::{Ctx, DataFault, Error, Result};

/// One row per gene of the counts. Genes that did not pass the filter have NaN in every f64 column.
#[derive(Clone, Debug, PartialEq)]
pub struct PseudobulkTest {
    /// Whether each gene had counts enough to be tested.
    pub kept: Vec<bool>,
    /// The contrast of the coefficients: a log2 fold change when the contrast compares two groups.
    pub logfoldchanges: Vec<f64>,
    /// Mean over samples of log2 counts per million.
    pub mean_expression: Vec<f64>,
    /// Moderated t.
    pub scores: Vec<f64>,
    /// Two-sided p-values; 0 where they underflow.
    pub pvals: Vec<f64>,
    /// False discovery rates over the genes tested.
    pub pvals_adj: Vec<f64>,
    /// Residual standard deviation of the weighted fit.
    pub sigma: Vec<f64>,
    /// Counts of each sample over the genes kept.
    pub library_sizes: Vec<f64>,
    /// What each library size was multiplied with.
    pub norm_factors: Vec<f64>,
    /// Residual degrees of freedom, samples - coefficients.
    pub df_residual: f64,
    /// The distribution that variances were drawn towards.
    pub prior: Prior,
    /// Mean and spread trend over the genes kept, by rising mean log2 count: (mean log2 count, square root of the
    /// standard deviation, fitted square root).
    pub trend: Vec<[f64; 3]>,
}

/// Tests one contrast of a linear model on counts.
///
/// `counts` holds samples x genes, row-major: whole numbers of at least 0. `design` the model, `contrast` one weight
/// per coefficient. Returns one row per gene. Nothing is random; genes are independent tasks, so threads change no bit.
/// Time O(genes x samples x coefficients^2); memory a few copies of the counts.
///
/// # Errors
/// [`Error::Parameter`] for bad options or a contrast that does not fit; [`Error::Data`] for values that are not
/// counts, a sample without counts, fewer than two genes left by the filter, or a design without residual degrees of
/// freedom; [`Error::Interrupted`].
pub fn pseudobulk_test(
    counts: &[f64],
    design: &Design,
    contrast: &[f64],
    options: &PseudobulkOptions,
    ctx: &Ctx,
) -> Result<PseudobulkTest> {
    options.validate()?;
    let n = design.n_samples();
    let n_genes = counts.len() / n.max(1);
    if n == 0 || counts.len() != n * n_genes {
        let expected = format!("{n} samples x genes");
        return Err(Error::data(DataFault::Shape, "counts", expected, format!("{} values", counts.len())));
    }
    check_contrast(design, contrast)?;
    check_counts(counts, n_genes)?;
    let df_residual = design.residual_df()?;

    let stage = ctx.stage("pseudobulk test", 4);
    let kept = library::filter(counts, n_genes, design, options)?;
    let genes: Vec<usize> = (0..n_genes).filter(|&gene| kept[gene]).collect();
    if genes.len() < 2 {
        let expected = "at least 2 genes with counts enough (see `min_count`, `min_total_count`)";
        return Err(Error::data(DataFault::TooFew, "counts", expected, genes.len()));
    }
    let mut table = Vec::with_capacity(n * genes.len());
    for row in counts.chunks_exact(n_genes) {
        table.extend(genes.iter().map(|&gene| row[gene]));
    }
    let library_sizes: Vec<f64> = table.chunks_exact(genes.len()).map(|row| row.iter().sum()).collect();
    let norm_factors = match options.normalization {
        LibrarySize::Tmm => library::tmm(&table, &library_sizes),
        LibrarySize::None => vec![1.0; n],
    };
    let effective: Vec<f64> = library_sizes.iter().zip(&norm_factors).map(|(size, factor)| size * factor).collect();
    stage.advance(1)?;

    let logged = voom::log_cpm(&table, &effective);
    let (trend, weights) = voom::weights(&logged, &effective, design, options.span, ctx)?;
    stage.advance(1)?;
    let fits = fit::fit_all(&logged, Some(&weights), design, Some(contrast), ctx)?;
    stage.advance(1)?;

    let variances: Vec<f64> = fits.iter().map(|fit| fit.sigma * fit.sigma).collect();
    let (prior, posterior) = squeeze(&variances, df_residual);
    let df_total = (df_residual + prior.df).min(df_residual * genes.len() as f64);
    let t: Vec<f64> =
        fits.iter().zip(&posterior).map(|(fit, variance)| fit.estimate / (fit.unscaled * variance.sqrt())).collect();
    let ln_p: Vec<f64> = t.par_iter().with_min_len(64).map(|&t| ln_t_two_sided(t, df_total)).collect();
    let ln_adjusted = adjust(&ln_p, Correction::BenjaminiHochberg);
    stage.advance(1)?;

    let spread = |values: Vec<f64>| {
        let mut all = vec![f64::NAN; n_genes];
        genes.iter().zip(values).for_each(|(&gene, value)| all[gene] = value);
        all
    };
    let means = (0..genes.len()).map(|gene| voom::mean_of(&logged, n, genes.len(), gene)).collect();
    Ok(PseudobulkTest {
        logfoldchanges: spread(fits.iter().map(|fit| fit.estimate).collect()),
        mean_expression: spread(means),
        scores: spread(t),
        pvals: spread(ln_p.iter().map(|ln| ln.exp()).collect()),
        pvals_adj: spread(ln_adjusted.iter().map(|ln| ln.exp()).collect()),
        sigma: spread(fits.iter().map(|fit| fit.sigma).collect()),
        kept,
        library_sizes,
        norm_factors,
        df_residual,
        prior,
        trend,
    })
}

fn check_contrast(design: &Design, contrast: &[f64]) -> Result<()> {
    let p = design.n_coefficients();
    if contrast.len() != p || contrast.iter().any(|weight| !weight.is_finite()) {
        let expected = format!("{p} finite numbers, one per coefficient ({})", design.names().join(", "));
        return Err(Error::parameter("contrast", expected, format!("{contrast:?}")));
    }
    if contrast.iter().all(|&weight| weight == 0.0) {
        return Err(Error::parameter("contrast", "at least one weight other than 0", "zeros"));
    }
    Ok(())
}

fn check_counts(counts: &[f64], n_genes: usize) -> Result<()> {
    let fault = |value: f64| {
        if !value.is_finite() {
            Some((DataFault::NotFinite, "finite counts"))
        } else if value < 0.0 {
            Some((DataFault::Negative, "counts of at least 0"))
        } else if value.fract() != 0.0 {
            Some((DataFault::NotCounts, "raw counts (whole numbers), summed over the cells of each sample"))
        } else {
            None
        }
    };
    match counts.iter().enumerate().find_map(|(at, &value)| fault(value).map(|fault| (at, value, fault))) {
        None => Ok(()),
        Some((at, value, (kind, expected))) => {
            let found = format!("{value} in sample {}, gene {}", at / n_genes, at % n_genes);
            Err(Error::data(kind, "counts", expected, found))
        }
    }
}
