//! Scrublet: doublets of two different cells, found by their likeness to doublets made on the computer.
//!
//! Counts of n cells x g genes are filtered, the variable genes chosen, doublets simulated as sums of two random cells,
//! both brought to one total, scaled and projected on the principal components of the observed cells; a cell's score
//! follows from how many of its nearest neighbours, observed and simulated, are simulated.
//!
//! Reference: Wolock, Lopez, Klein, Cell Systems 8, 281 (2019); steps and slots as scanpy documents them
//! (`pp.scrublet`).

mod options;
mod score;
mod simulate;
mod threshold;

#[cfg(test)]
mod tests;

pub use options::ScrubletOptions;
pub use threshold::minimum_between_modes;

use crate::data::Csr;
use crate::hvg::{HvgInput, HvgOptions, highly_variable_genes};
use crate::knn::{Algorithm, KnnOptions, Points, knn};
use crate::matrix::{Lazy, RowBlocks, ValueSlice, collect};
use crate::normalize::{NormalizeTotalOptions, size_factors};
use crate::options::Options;
use crate::pca::{PcaOptions, pca, project};
use crate::qc::{FilterCellsOptions, FilterGenesOptions, check_counts, filter_cells, filter_genes};
use crate::stats::{ValueMap, gene_moments};
use crate::{Ctx, DataFault, Error, Result};

/// Genes are kept that this many cells express, cells that express this many genes.
const LEAST: f64 = 3.0;
/// Total that all cells are brought to.
const TOTAL: f64 = 1e6;

/// Scores and calls.
#[derive(Clone, Debug, PartialEq)]
pub struct Scrublet {
    /// n long: score of each cell; NaN for a cell that expresses fewer than 3 genes, which takes no part.
    pub scores: Vec<f64>,
    /// n long: standard error of the score; NaN likewise.
    pub errors: Vec<f64>,
    /// n long: whether the score is above the threshold. All false without a threshold.
    pub predicted: Vec<bool>,
    /// Score of each simulated doublet.
    pub simulated_scores: Vec<f64>,
    /// Cells that each simulated doublet is made of.
    pub parents: Vec<[u32; 2]>,
    /// The threshold given or found.
    pub threshold: Option<f64>,
    /// Neighbours among the observed.
    pub n_neighbors: usize,
    /// Number of genes that were used.
    pub n_genes: usize,
    /// Share of the simulated doublets above the threshold.
    pub detectable_fraction: Option<f64>,
}

/// Scores the cells of `source`, n cells x g genes of raw counts.
///
/// Doublets are drawn from one random stream each under `random_state`; the bits do not depend on the number of
/// threads, nor on whether the source is sparse, dense or a file.
///
/// Cost: that of the principal components of the variable genes, and of a neighbour search over (1 + ratio) n rows with
/// (1 + ratio) n_neighbors neighbours. Memory: 8 bytes per non-zero of the variable genes, (1 + 2 ratio) times.
///
/// # Errors
/// [`Error::Parameter`] for options out of range; [`Error::Data`] for values that are no counts, fewer than 4 cells
/// that express 3 genes, or no variable genes; [`Error::Interrupted`]; whatever the source returns.
pub fn scrublet(source: &dyn RowBlocks, options: &ScrubletOptions, ctx: &Ctx) -> Result<Scrublet> {
    options.validate()?;
    check_counts(source, ctx)?;
    let n = source.n_rows();
    let (cells, counts, normalized) = prepare(source, options, ctx)?;
    let n_observed = counts.n_rows;
    let n_simulated = (n_observed as f64 * options.sim_doublet_ratio) as usize;
    if n_simulated == 0 {
        let expected = format!("at least {} for {n_observed} cells", 1.0 / n_observed as f64);
        return Err(Error::parameter("sim_doublet_ratio", expected, options.sim_doublet_ratio));
    }
    let kept = options.synthetic_doublet_umi_subsampling;
    let (doublets, parents) = simulate::doublets(&counts, n_simulated, kept, options.random_state, ctx)?;
    let n_genes = counts.n_cols;
    drop(counts);
    let manifold = embed(&normalized, &doublets, options, ctx)?;
    drop(doublets);

    let n_neighbors =
        options.n_neighbors.unwrap_or_else(|| ((0.5 * (n_observed as f64).sqrt()).round_ties_even() as usize).max(1));
    let all = n_observed + n_simulated;
    let ratio = n_simulated as f64 / n_observed as f64;
    let k = ((n_neighbors as f64 * (1.0 + ratio)).round_ties_even() as usize).max(2);
    if k > all {
        let expected = format!("at most {} for {n_observed} cells", (all as f64 / (1.0 + ratio)) as usize);
        return Err(Error::parameter("n_neighbors", expected, n_neighbors));
    }
    let search = KnnOptions {
        n_neighbors: k,
        metric: options.knn_dist_metric,
        algorithm: match options.use_approx_neighbors {
            None => Algorithm::Auto,
            Some(true) => Algorithm::Approximate,
            Some(false) => Algorithm::Exact,
        },
        seed: options.random_state,
        ..KnnOptions::default()
    };
    let neighbors = knn(&Points::new(all, manifold.len() / all, ValueSlice::F32(&manifold))?, &search, ctx)?;
    let found = score::score(&neighbors, n_observed, options);
    let simulated_scores = found.scores[n_observed..].to_vec();
    let threshold = options.threshold.or_else(|| minimum_between_modes(&simulated_scores));
    let spread = |values: &[f64]| {
        let mut out = vec![f64::NAN; n];
        cells.iter().zip(values).for_each(|(&cell, &value)| out[cell as usize] = value);
        out
    };
    let scores = spread(&found.scores[..n_observed]);
    let above = |values: &[f64], limit: f64| values.iter().filter(|&&score| score > limit).count();
    Ok(Scrublet {
        predicted: scores.iter().map(|&score| threshold.is_some_and(|limit| score > limit)).collect(),
        scores,
        errors: spread(&found.errors[..n_observed]),
        detectable_fraction: threshold.map(|limit| above(&simulated_scores, limit) as f64 / n_simulated as f64),
        simulated_scores,
        parents: parents.iter().map(|pair| pair.map(|row| cells[row as usize])).collect(),
        threshold,
        n_neighbors,
        n_genes,
    })
}

/// The cells that take part, their counts of the variable genes, and the same normalised to the median total (and
/// logarithmised, if so wanted).
fn prepare(source: &dyn RowBlocks, options: &ScrubletOptions, ctx: &Ctx) -> Result<(Vec<u32>, Csr, Csr)> {
    let genes = filter_genes(source, &FilterGenesOptions { min_cells: Some(LEAST), ..Default::default() }, ctx)?.keep;
    let by_gene = Lazy::new(source).select_columns(&genes)?;
    let rows = filter_cells(&by_gene, &FilterCellsOptions { min_genes: Some(LEAST), ..Default::default() }, ctx)?.keep;
    let cells: Vec<u32> = (0..rows.len()).filter(|&row| rows[row]).map(|row| row as u32).collect();
    if cells.len() < 4 {
        let expected = "at least 4 cells that express 3 genes seen in 3 cells";
        return Err(Error::data(DataFault::TooFew, "matrix", expected, cells.len()));
    }
    let filtered = by_gene.select_rows(&rows)?;
    let divisors = size_factors(&filtered, &NormalizeTotalOptions::default(), ctx)?.divisors();
    let logarithms = filtered.clone().divide_rows(divisors.clone())?.log1p(None);
    let variable = highly_variable_genes(HvgInput::new(&logarithms), &HvgOptions::default(), ctx)?.highly_variable;
    if !variable.contains(&true) {
        let found = "none with a normalised dispersion above 0.5";
        return Err(Error::data(DataFault::TooFew, "matrix", "variable genes", found));
    }
    let counts = collect(&filtered.select_columns(&variable)?, ctx)?;
    // What follows scales rows to one total, so the first scaling shows only in logarithms.
    let mut normalized = Lazy::new(&counts);
    if options.log_transform {
        normalized = normalized.divide_rows(divisors)?.log1p(None);
    }
    let normalized = collect(&normalized, ctx)?;
    Ok((cells, counts, normalized))
}

/// Rows divided so that each adds up to the same total; empty rows stay empty.
fn to_one_total<'a>(matrix: &'a Csr, chain: Lazy<'a>, logarithms: bool) -> Result<Lazy<'a>> {
    let divisors = (0..matrix.n_rows).map(|row| {
        let values = matrix.row(row).1;
        let total: f64 = if logarithms {
            values.iter().map(|&x| f64::from(x.ln_1p())).sum()
        } else {
            values.iter().map(|&x| f64::from(x)).sum()
        };
        if total > 0.0 { total / TOTAL } else { 1.0 }
    });
    chain.divide_rows(divisors.collect())
}

/// Coordinates of observed and simulated cells along the principal components of the observed: (n + m) x components.
fn embed(observed: &Csr, simulated: &Csr, options: &ScrubletOptions, ctx: &Ctx) -> Result<Vec<f32>> {
    let plain = to_one_total(observed, Lazy::new(observed), false)?;
    let made = if options.log_transform { Lazy::new(simulated).log1p(None) } else { Lazy::new(simulated) };
    let made = to_one_total(simulated, made, options.log_transform)?;
    let (plain, made) = if options.normalize_variance {
        let variances = gene_moments(&plain, ValueMap::Identity, ctx)?.variances();
        let deviations: Vec<f64> = variances.iter().map(|&v| if v > 0.0 { v.sqrt() } else { 1.0 }).collect();
        (plain.divide_columns(deviations.clone())?, made.divide_columns(deviations)?)
    } else {
        (plain, made)
    };
    let most = observed.n_cols.min(observed.n_rows - 1);
    if options.n_prin_comps > most {
        let expected = format!("at most {most} for {} cells x {} variable genes", observed.n_rows, observed.n_cols);
        return Err(Error::parameter("n_prin_comps", expected, options.n_prin_comps));
    }
    let components = PcaOptions {
        n_comps: Some(options.n_prin_comps),
        zero_center: options.mean_center,
        tolerance: 1e-5,
        random_state: options.random_state,
        ..PcaOptions::default()
    };
    let found = pca(&plain, &components, ctx)?;
    let center = options.mean_center.then_some(found.mean.as_slice());
    let mut manifold = found.scores;
    manifold.extend(project(&made, &found.components, center, ctx)?);
    Ok(manifold)
}
