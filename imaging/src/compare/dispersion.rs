//! How much structures vary: one dispersion for all, and a quasi-dispersion of each, drawn towards the others.

use rayon::prelude::*;
use statrs::function::gamma::digamma;
use zensaibo_core::stats::median;
use zensaibo_core::{Ctx, Error, Result};

use super::negative_binomial::{Rows, adjusted_profile};

/// Steps of the coarse search over the fourth root of the dispersion, from 0 to [`MOST`].
const STEPS: usize = 24;
/// The largest fourth root.
const MOST: f64 = 2.0;
/// Width at which the fine search ends.
const WIDTH: f64 = 1e-7;

/// Counts and offsets of one structure.
pub(super) struct Structure {
    pub(super) counts: Vec<f64>,
    pub(super) offsets: Vec<f64>,
}

/// The dispersion that makes the counts of all structures likeliest, after adjustment for the coefficients.
pub(super) fn common(structures: &[&Structure], rows: &Rows, ctx: &Ctx) -> Result<f64> {
    let likelihood = |root: f64| -> Result<f64> {
        let dispersion = root.powi(4);
        // Summed in the order of the structures.
        let parts: Vec<f64> = structures
            .par_iter()
            .map(|s| {
                ctx.check()?;
                Ok::<f64, Error>(adjusted_profile(&s.counts, rows, &s.offsets, dispersion))
            })
            .collect::<Result<_>>()?;
        Ok(parts.iter().sum())
    };
    let mut best = (f64::NEG_INFINITY, 0usize);
    for step in 0..=STEPS {
        let found = likelihood(MOST * step as f64 / STEPS as f64)?;
        if found > best.0 {
            best = (found, step);
        }
    }
    let at = |step: usize| MOST * step as f64 / STEPS as f64;
    let (mut low, mut high) = (at(best.1.saturating_sub(1)), at((best.1 + 1).min(STEPS)));
    // Golden section.
    let golden = 0.5 * (5f64.sqrt() - 1.0);
    let (mut a, mut b) = (high - golden * (high - low), low + golden * (high - low));
    let (mut at_a, mut at_b) = (likelihood(a)?, likelihood(b)?);
    while high - low > WIDTH {
        if at_a >= at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - golden * (high - low);
            at_a = likelihood(a)?;
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + golden * (high - low);
            at_b = likelihood(b)?;
        }
    }
    let root = 0.5 * (low + high);
    // Within a step of 0 nothing tells it from 0.
    Ok(if root < 10.0 * WIDTH { 0.0 } else { root.powi(4) })
}

/// The distribution that quasi-dispersions were drawn towards.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Degrees of freedom; infinite when they differ no more than by chance, 0 when there are too few to tell.
    pub df: f64,
    /// Its centre.
    pub variance: f64,
}

/// Fits the prior to variances with degrees of freedom of their own (Smyth 2004, section 6.2): mean and variance of the
/// logarithms. Those without degrees of freedom do not count.
pub(super) fn prior(variances: &[f64], df: &[f64]) -> Prior {
    let (values, df): (Vec<f64>, Vec<f64>) = variances
        .iter()
        .zip(df)
        .filter(|(value, df)| **df > 0.0 && value.is_finite())
        .map(|(v, d)| (v.max(0.0), *d))
        .unzip();
    if values.len() < 2 {
        return Prior { df: 0.0, variance: values.first().copied().unwrap_or(1.0) };
    }
    let middle = median(&mut values.clone());
    let floor = 1e-5 * if middle > 0.0 { middle } else { 1.0 };
    let raised: Vec<f64> = values.iter().map(|value| value.max(floor)).collect();
    let n = raised.len() as f64;
    let logs: Vec<f64> =
        raised.iter().zip(&df).map(|(value, df)| value.ln() - digamma(0.5 * df) + (0.5 * df).ln()).collect();
    let mean = logs.iter().sum::<f64>() / n;
    let chance = df.iter().map(|df| trigamma(0.5 * df)).sum::<f64>() / n;
    let spread = logs.iter().map(|log| (log - mean) * (log - mean)).sum::<f64>() / (n - 1.0) - chance;
    if spread > 0.0 {
        let half = trigamma_inverse(spread);
        Prior { df: 2.0 * half, variance: (mean + digamma(half) - half.ln()).exp() }
    } else {
        Prior { df: f64::INFINITY, variance: raised.iter().sum::<f64>() / n }
    }
}

impl Prior {
    /// A variance of `df` degrees of freedom drawn towards the prior.
    pub(super) fn draw(&self, variance: f64, df: f64) -> f64 {
        if self.df.is_infinite() {
            self.variance
        } else if self.df + df > 0.0 {
            (df * variance + self.df * self.variance) / (df + self.df)
        } else {
            self.variance
        }
    }
}

/// Second derivative of ln Gamma, for x above 0.
fn trigamma(x: f64) -> f64 {
    // Recurrence up to where the asymptotic series (DLMF 5.15.8) is exact.
    let (mut x, mut sum) = (x, 0.0);
    while x < 20.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let r = 1.0 / x;
    let s = r * r;
    sum + r + 0.5 * s + r * s * (1.0 / 6.0 - s * (1.0 / 30.0 - s * (1.0 / 42.0 - s * (1.0 / 30.0 - s * 5.0 / 66.0))))
}

/// x with trigamma(x) = `y`, by halving the interval of its logarithm: trigamma falls.
fn trigamma_inverse(y: f64) -> f64 {
    let (mut low, mut high) = (-40f64, 40f64);
    for _ in 0..200 {
        let middle = 0.5 * (low + high);
        if trigamma(middle.exp()) > y { low = middle } else { high = middle }
    }
    (0.5 * (low + high)).exp()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_of_known_variances() {
        // Trigamma at 1 is pi^2 / 6; its inverse leads back.
        assert!((trigamma(1.0) - std::f64::consts::PI.powi(2) / 6.0).abs() < 1e-14);
        for x in [1e-3, 0.3, 1.0, 7.5, 400.0] {
            assert!((trigamma_inverse(trigamma(x)) / x - 1.0).abs() < 1e-9, "{x}");
        }
        // Variances that are all alike: no more than chance.
        let same = prior(&[2.0; 9], &[4.0; 9]);
        assert!(same.df.is_infinite() && same.draw(9.0, 4.0) == 2.0);
        // With equal degrees of freedom it is the prior that limma's estimate gives in the core.
        let values = [0.3, 1.2, 4.0, 0.8, 9.0, 0.05, 2.2];
        let (core, posterior) = zensaibo_core::pseudobulk::squeeze(&values, 6.0);
        let ours = prior(&values, &[6.0; 7]);
        assert!((ours.df / core.df - 1.0).abs() < 1e-8 && (ours.variance / core.variance - 1.0).abs() < 1e-8);
        for (value, expected) in values.iter().zip(posterior) {
            assert!((ours.draw(*value, 6.0) - expected).abs() < 1e-8 * expected);
        }
        assert_eq!(prior(&[3.0], &[2.0]), Prior { df: 0.0, variance: 3.0 });
    }
}
