//! A mixture of normal distributions with full covariances, by expectation and maximisation.
//!
//! Starts are the centres of k-means, itself started from rows drawn far apart (k-means++). Sums run over pieces of the rows whose
//! size depends on their number alone, and are added in order.
//!
//! References: Dempster, Laird and Rubin, J. R. Stat. Soc. B 39 (1977); Arthur and Vassilvitskii, SODA (2007), for the starts.

mod centres;
mod normal;
mod options;

#[cfg(test)]
mod tests;

pub use options::MixtureOptions;

use normal::{Normal, Sums};
use zensaibo_core::options::Options;
use zensaibo_core::parallel::{ordered_reduce, pieces};
use zensaibo_core::random::Stream;
use zensaibo_core::{Ctx, DataFault, Error, Result};

/// What [`gaussian_mixture`] found. Components stand by their number of rows, the largest first.
#[derive(Clone, Debug)]
pub struct Mixture {
    /// The most likely component of each row.
    pub labels: Vec<u32>,
    /// Its probability.
    pub probability: Vec<f64>,
    /// Shares of the components.
    pub weights: Vec<f64>,
    /// Their means, components x columns.
    pub means: Vec<f64>,
    /// Mean log-likelihood of a row.
    pub likelihood: f64,
    /// Steps of the start that stayed.
    pub n_iter: usize,
    /// Whether it ended before `max_iter`.
    pub converged: bool,
}

/// Rows of numbers, one after the other.
#[derive(Clone, Copy)]
pub(crate) struct Rows<'a> {
    pub(crate) values: &'a [f64],
    pub(crate) width: usize,
}

impl<'a> Rows<'a> {
    pub(crate) fn len(&self) -> usize {
        self.values.len() / self.width
    }

    pub(crate) fn of(&self, range: std::ops::Range<usize>) -> &'a [f64] {
        &self.values[range.start * self.width..range.end * self.width]
    }

    /// The ranges that work is cut along.
    pub(crate) fn pieces(&self) -> Vec<std::ops::Range<usize>> {
        pieces(self.len(), self.len().div_ceil(256).max(1024))
    }
}

/// Fits a mixture to `n` x `width` values, row by row. Threads change the time alone.
///
/// Cost: for each start, steps x rows x components x width^2. Memory: 8 bytes per value, 12 per row, and 8 components x width^2
/// for each of some five sums per thread.
///
/// # Errors
/// [`Error::Parameter`] for options out of range or more components than rows; [`Error::Data`] (`Shape`, `Empty`, `NotFinite`);
/// [`Error::NotConverged`] for values so large that no covariance holds them; [`Error::Interrupted`].
pub fn gaussian_mixture(values: &[f64], width: usize, options: &MixtureOptions, ctx: &Ctx) -> Result<Mixture> {
    const WHAT: &str = "rows of the mixture";
    options.validate()?;
    if width == 0 || values.is_empty() {
        return Err(Error::data(DataFault::Empty, WHAT, "at least one row and one column", "none"));
    }
    if !values.len().is_multiple_of(width) {
        let found = format!("{} numbers", values.len());
        return Err(Error::data(DataFault::Shape, WHAT, format!("rows of {width} numbers"), found));
    }
    if let Some(at) = values.iter().position(|value| !value.is_finite()) {
        let found = format!("{} in row {}, column {}", values[at], at / width, at % width);
        return Err(Error::data(DataFault::NotFinite, WHAT, "finite numbers", found));
    }
    let rows = Rows { values, width };
    if options.n_components > rows.len() {
        let expected = format!("at most {}, the number of rows", rows.len());
        return Err(Error::parameter("n_components", expected, options.n_components));
    }
    let mut best: Option<Fit> = None;
    for start in 0..options.n_init {
        let fit = fit(rows, start, options, ctx)?;
        if best.as_ref().is_none_or(|best| fit.likelihood > best.likelihood) {
            best = Some(fit);
        }
    }
    let best = best.ok_or_else(|| Error::Internal("no start of the mixture".into()))?;
    finish(rows, best, ctx)
}

struct Fit {
    normals: Vec<Normal>,
    likelihood: f64,
    n_iter: usize,
    converged: bool,
}

fn fit(rows: Rows<'_>, start: usize, options: &MixtureOptions, ctx: &Ctx) -> Result<Fit> {
    let k = options.n_components;
    let centres = centres::k_means(rows, k, &mut Stream::new(options.seed, start as u64), ctx)?;
    // The first distributions: rows belong to the nearest centre, whole.
    let mut sums = Sums::new(k, rows.width);
    let parts = rows.pieces();
    ordered_reduce(
        parts.len(),
        ctx,
        |piece| Ok(Sums::of_nearest(rows.of(parts[piece].clone()), &centres, k, rows.width)),
        |_, part| {
            sums.add(&part);
            Ok(())
        },
    )?;
    let mut normals = sums.normals(&centres, None, rows.len(), options.reg_covar)?;
    let mut before = f64::NEG_INFINITY;
    let stage = ctx.stage("mixture", options.max_iter as u64);
    for step in 1..=options.max_iter {
        let mut sums = Sums::new(k, rows.width);
        ordered_reduce(
            parts.len(),
            ctx,
            |piece| Ok(Sums::of_shares(rows.of(parts[piece].clone()), &normals)),
            |_, part| {
                sums.add(&part);
                Ok(())
            },
        )?;
        let likelihood = sums.likelihood / rows.len() as f64;
        let converged = likelihood - before < options.tol;
        before = likelihood;
        if converged || step == options.max_iter {
            return Ok(Fit { normals, likelihood, n_iter: step, converged });
        }
        let means: Vec<f64> = normals.iter().flat_map(|normal| normal.mean.iter().copied()).collect();
        normals = sums.normals(&means, Some(normals), rows.len(), options.reg_covar)?;
        stage.advance(1)?;
    }
    Err(Error::Internal("a mixture without steps".into()))
}

/// Shares the rows out and puts the components in order.
fn finish(rows: Rows<'_>, fit: Fit, ctx: &Ctx) -> Result<Mixture> {
    let k = fit.normals.len();
    let (mut labels, mut probability) = (Vec::with_capacity(rows.len()), Vec::with_capacity(rows.len()));
    let parts = rows.pieces();
    ordered_reduce(
        parts.len(),
        ctx,
        |piece| Ok(normal::most_likely(rows.of(parts[piece].clone()), &fit.normals)),
        |_, (some, their)| {
            labels.extend(some);
            probability.extend(their);
            Ok(())
        },
    )?;
    let mut sizes = vec![0usize; k];
    labels.iter().for_each(|&label| sizes[label as usize] += 1);
    let mut order: Vec<usize> = (0..k).collect();
    order.sort_by_key(|&component| (std::cmp::Reverse(sizes[component]), component));
    let mut place = vec![0u32; k];
    order.iter().enumerate().for_each(|(at, &component)| place[component] = at as u32);
    labels.iter_mut().for_each(|label| *label = place[*label as usize]);
    Ok(Mixture {
        labels,
        probability,
        weights: order.iter().map(|&component| fit.normals[component].weight).collect(),
        means: order.iter().flat_map(|&component| fit.normals[component].mean.iter().copied()).collect(),
        likelihood: fit.likelihood,
        n_iter: fit.n_iter,
        converged: fit.converged,
    })
}
