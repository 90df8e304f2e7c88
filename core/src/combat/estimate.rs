//! From sums to the effects of the batches.

use ndarray::Array2;
use rayon::prelude::*;
use zensaibo_linalg::symmetric_eigen;

use super::{CombatInput, CombatOptions, batch_sizes};
use crate::{Ctx, DataFault, Error, Result};

/// Indicators of the batches, then the covariates (centred and brought to unit variance).
pub(super) struct Design {
    /// Cells of each batch.
    sizes: Vec<usize>,
    n_covariates: usize,
    /// Cells x covariates, row-major.
    covariates: Vec<f64>,
    /// Per batch: sums of the covariates (c), then of their products (c x c).
    moments: Vec<Vec<f64>>,
    /// Inverse of the matrix of products of all columns, (batches + c) squared.
    inverse: Array2<f64>,
}

impl Design {
    pub(super) fn new(n_rows: usize, input: CombatInput<'_>) -> Result<Self> {
        let sizes = batch_sizes(input.batches, n_rows)?;
        let c = input.covariates.len();
        let mut covariates = vec![0.0; n_rows * c];
        for (k, column) in input.covariates.iter().enumerate() {
            let what = || format!("covariate {k}");
            if column.len() != n_rows {
                return Err(Error::data(DataFault::Shape, what(), format!("{n_rows} entries"), column.len()));
            }
            if let Some(row) = column.iter().position(|value| !value.is_finite()) {
                let found = format!("{} in cell {row}", column[row]);
                return Err(Error::data(DataFault::NotFinite, what(), "finite values", found));
            }
            // Centring moves a constant into the batches, whose weighted mean takes it back: the kept part is the same
            // up to a constant that belongs to the overall mean.
            let largest = column.iter().fold(0.0f64, |largest, value| largest.max(value.abs())).max(f64::MIN_POSITIVE);
            let mean = column.iter().map(|value| value / largest).sum::<f64>() / n_rows as f64;
            let squares: f64 = column.iter().map(|value| (value / largest - mean).powi(2)).sum();
            let deviation = (squares / n_rows as f64).sqrt();
            let divisor = if deviation > 1e-13 { deviation } else { 1.0 };
            column.iter().enumerate().for_each(|(i, value)| covariates[i * c + k] = (value / largest - mean) / divisor);
        }
        let mut moments = vec![vec![0.0; c + c * c]; sizes.len()];
        for (row, &batch) in covariates.chunks_exact(c.max(1)).zip(input.batches) {
            let own = &mut moments[batch as usize];
            for k in 0..c {
                own[k] += row[k];
                for l in 0..c {
                    own[c + k * c + l] += row[k] * row[l];
                }
            }
        }
        let inverse = inverse(&sizes, &moments, c)?;
        Ok(Self { sizes, n_covariates: c, covariates, moments, inverse })
    }

    pub(super) fn n_batches(&self) -> usize {
        self.sizes.len()
    }

    pub(super) fn n_covariates(&self) -> usize {
        self.n_covariates
    }

    pub(super) fn covariates_of(&self, row: usize) -> &[f64] {
        &self.covariates[row * self.n_covariates..(row + 1) * self.n_covariates]
    }
}

/// Inverse of the products of the columns, each brought to unit length first; collinear columns are refused.
fn inverse(sizes: &[usize], moments: &[Vec<f64>], c: usize) -> Result<Array2<f64>> {
    let b = sizes.len();
    let mut products = Array2::zeros((b + c, b + c));
    for batch in 0..b {
        products[(batch, batch)] = sizes[batch] as f64;
        for k in 0..c {
            products[(batch, b + k)] = moments[batch][k];
            products[(b + k, batch)] = moments[batch][k];
            for l in 0..c {
                products[(b + k, b + l)] += moments[batch][c + k * c + l];
            }
        }
    }
    let lengths: Vec<f64> = (0..b + c).map(|k| f64::sqrt(products[(k, k)])).collect();
    let collinear = || {
        let expected = "covariates that vary, and that neither each other nor the batches determine";
        Err(Error::data(DataFault::Invalid, "covariates", expected, "collinear ones"))
    };
    if lengths.iter().any(|&length| length <= 0.0) {
        return collinear();
    }
    let scaled = Array2::from_shape_fn(products.dim(), |(k, l)| products[(k, l)] / (lengths[k] * lengths[l]));
    let eigen = symmetric_eigen(scaled.view())?;
    if eigen.values[0] < 1e-9 {
        return collinear();
    }
    Ok(Array2::from_shape_fn(products.dim(), |(k, l)| {
        let sum: f64 = (0..b + c).map(|m| eigen.vectors[(k, m)] * eigen.vectors[(l, m)] / eigen.values[m]).sum();
        sum / (lengths[k] * lengths[l])
    }))
}

/// What is done to each value: (x - kept) factor + kept + shift.
pub(super) struct Adjustment {
    /// Overall mean of each gene.
    pub(super) mean: Vec<f64>,
    /// Covariates x genes: slope of each (scaled) covariate.
    pub(super) slopes: Vec<f64>,
    /// Batches x genes.
    pub(super) factors: Vec<f64>,
    /// Batches x genes.
    pub(super) shifts: Vec<f64>,
    pub(super) gamma: Vec<f64>,
    pub(super) delta: Vec<f64>,
    pub(super) n_constant: usize,
}

/// A gene, standardised: per batch the sum and the sum of squares of what is left.
struct Standardised {
    mean: f64,
    slopes: Vec<f64>,
    deviation: f64,
    sums: Vec<[f64; 2]>,
}

pub(super) fn estimate(
    design: &Design,
    sums: &[f64],
    g: usize,
    options: &CombatOptions,
    ctx: &Ctx,
) -> Result<Adjustment> {
    let (b, c) = (design.n_batches(), design.n_covariates());
    let genes: Vec<Standardised> = (0..g)
        .into_par_iter()
        .with_min_len(64)
        .map(|gene| {
            let of = |batch: usize| &sums[(batch * g + gene) * (2 + c)..(batch * g + gene + 1) * (2 + c)];
            ctx.check().map(|()| standardise(design, of))
        })
        .collect::<Result<_>>()?;
    let varying: Vec<usize> = (0..g).filter(|&gene| genes[gene].deviation > 0.0).collect();
    if varying.len() < 2 {
        let expected = "at least 2 genes that vary within batches";
        return Err(Error::data(DataFault::TooFew, "matrix", expected, varying.len()));
    }
    let mut found = Adjustment {
        mean: genes.iter().map(|gene| gene.mean).collect(),
        slopes: (0..c).flat_map(|k| genes.iter().map(move |gene| gene.slopes[k])).collect(),
        factors: vec![1.0; b * g],
        shifts: vec![0.0; b * g],
        gamma: vec![0.0; b * g],
        delta: vec![1.0; b * g],
        n_constant: g - varying.len(),
    };
    for batch in 0..b {
        ctx.check()?;
        let own: Vec<[f64; 2]> = varying.iter().map(|&gene| genes[gene].sums[batch]).collect();
        let effects = posterior(&own, design.sizes[batch] as f64, options)?;
        for (&gene, [gamma, delta]) in varying.iter().zip(effects) {
            // A batch in which nothing varies says nothing of its spread.
            let delta = if delta > 0.0 { delta } else { 1.0 };
            let at = batch * g + gene;
            (found.gamma[at], found.delta[at]) = (gamma, delta);
            found.factors[at] = 1.0 / delta.sqrt();
            found.shifts[at] = -gamma / delta.sqrt() * genes[gene].deviation;
        }
    }
    Ok(found)
}

/// Least squares of one gene on batches and covariates, and what it leaves.
fn standardise<'a>(design: &Design, of: impl Fn(usize) -> &'a [f64]) -> Standardised {
    let (b, c) = (design.n_batches(), design.n_covariates());
    let n: usize = design.sizes.iter().sum();
    let mut right: Vec<f64> = (0..b).map(|batch| of(batch)[0]).collect();
    right.extend((0..c).map(|k| (0..b).map(|batch| of(batch)[2 + k]).sum::<f64>()));
    let coefficients: Vec<f64> =
        (0..b + c).map(|k| (0..b + c).map(|l| design.inverse[(k, l)] * right[l]).sum()).collect();
    let slopes = coefficients[b..].to_vec();
    let mean = (0..b).map(|batch| design.sizes[batch] as f64 / n as f64 * coefficients[batch]).sum::<f64>();
    // Per batch: sum and sum of squares of x - mean - covariates slopes.
    let mut sums: Vec<[f64; 2]> = Vec::with_capacity(b);
    let (mut residual, mut squares) = (0.0, 0.0);
    for batch in 0..b {
        let (own, moments, size) = (of(batch), &design.moments[batch], design.sizes[batch] as f64);
        let along: f64 = (0..c).map(|k| slopes[k] * moments[k]).sum();
        let across: f64 = (0..c).map(|k| slopes[k] * own[2 + k]).sum();
        let both: f64 =
            (0..c).map(|k| (0..c).map(|l| slopes[k] * slopes[l] * moments[c + k * c + l]).sum::<f64>()).sum();
        let sum = own[0] - size * mean - along;
        let square = own[1] - 2.0 * mean * own[0] - 2.0 * across + size * mean * mean + 2.0 * mean * along + both;
        let shift = coefficients[batch] - mean;
        residual += square - 2.0 * shift * sum + size * shift * shift;
        squares += own[1];
        sums.push([sum, square]);
    }
    // A rest below rounding of the squares is none.
    let deviation = if residual > squares * 1e-12 { (residual / n as f64).sqrt() } else { 0.0 };
    if deviation > 0.0 {
        for own in &mut sums {
            own[0] /= deviation;
            own[1] /= deviation * deviation;
        }
    }
    Standardised { mean, slopes, deviation, sums }
}

/// Posterior additive and multiplicative effects of one batch of `n` cells on each gene.
fn posterior(sums: &[[f64; 2]], n: f64, options: &CombatOptions) -> Result<Vec<[f64; 2]>> {
    let gammas: Vec<f64> = sums.iter().map(|own| own[0] / n).collect();
    let deltas: Vec<f64> =
        sums.iter().zip(&gammas).map(|(own, gamma)| ((own[1] - own[0] * gamma) / (n - 1.0)).max(0.0)).collect();
    let count = sums.len() as f64;
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count;
    let squares = |values: &[f64], mean: f64| values.iter().map(|value| (value - mean).powi(2)).sum::<f64>();
    let gamma_bar = mean(&gammas);
    let t2 = squares(&gammas, gamma_bar) / count;
    let delta_bar = mean(&deltas);
    let s2 = squares(&deltas, delta_bar) / (count - 1.0);
    // Parameters of the inverse gamma prior by its moments; with equal variances it is a point.
    let point = s2 <= delta_bar * delta_bar * 1e-24;
    let (a, beta) = ((2.0 * s2 + delta_bar * delta_bar) / s2, (delta_bar * s2 + delta_bar.powi(3)) / s2);
    let mut effects: Vec<[f64; 2]> = gammas.iter().zip(&deltas).map(|(&gamma, &delta)| [gamma, delta]).collect();
    let mut reached = f64::INFINITY;
    for _ in 0..options.max_iter {
        reached = 0.0;
        for ((effect, own), &gamma_hat) in effects.iter_mut().zip(sums).zip(&gammas) {
            let [gamma, delta] = *effect;
            let weight = t2 * n + delta;
            let new_gamma = if weight > 0.0 { (t2 * n * gamma_hat + delta * gamma_bar) / weight } else { gamma_bar };
            let left = (own[1] - 2.0 * new_gamma * own[0] + n * new_gamma * new_gamma).max(0.0);
            let new_delta = if point { delta_bar } else { (0.5 * left + beta) / (n / 2.0 + a - 1.0) };
            let change = |new: f64, old: f64| if new == old { 0.0 } else { ((new - old) / old).abs() };
            reached = f64::max(reached, change(new_gamma, gamma).max(change(new_delta, delta)));
            *effect = [new_gamma, new_delta];
        }
        if reached <= options.tolerance {
            return Ok(effects);
        }
    }
    Err(Error::NotConverged { what: "combat".into(), iterations: options.max_iter, reached, asked: options.tolerance })
}
