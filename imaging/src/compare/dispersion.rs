//! How much structures vary: one dispersion for all, and a quasi-dispersion of each, drawn towards the others.

use rayon::prelude::*;
pub use zensaibo_core::pseudobulk::Prior;
use zensaibo_core::pseudobulk::fit_prior;
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

/// Fits the prior that quasi-dispersions with degrees of freedom of their own are drawn towards. Those without degrees of
/// freedom do not count; of 0 degrees of freedom itself where there are too few to tell.
pub(super) fn prior(variances: &[f64], df: &[f64]) -> Prior {
    let (values, df): (Vec<f64>, Vec<f64>) = variances
        .iter()
        .zip(df)
        .filter(|(value, df)| **df > 0.0 && value.is_finite())
        .map(|(v, d)| (v.max(0.0), *d))
        .unzip();
    match values.len() {
        0 | 1 => Prior { df: 0.0, variance: values.first().copied().unwrap_or(1.0) },
        _ => fit_prior(&values, &df),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priors_of_known_variances() {
        // Variances that are all alike: no more than chance.
        let same = prior(&[2.0; 9], &[4.0; 9]);
        assert!(same.df.is_infinite() && same.draw(9.0, 4.0) == 2.0);
        // Those without degrees of freedom, or not a number, do not count.
        let values = [0.3, 1.2, 4.0, 0.8, 9.0, 0.05, 2.2];
        let (core, posterior) = zensaibo_core::pseudobulk::squeeze(&values, 6.0);
        let ours = prior(&[&values[..], &[7.0, f64::NAN]].concat(), &[&[6.0; 7][..], &[0.0, 6.0]].concat());
        assert_eq!(ours, core);
        for (value, expected) in values.iter().zip(posterior) {
            assert_eq!(ours.draw(*value, 6.0), expected);
        }
        assert_eq!(ours.draw(9.0, 0.0), ours.variance);
        // More degrees of freedom count for more.
        let uneven = prior(&values, &[2.0, 4.0, 8.0, 16.0, 3.0, 9.0, 5.0]);
        assert!(uneven.df > 0.0 && uneven.df.is_finite() && uneven.draw(9.0, 100.0) > uneven.draw(9.0, 1.0));
        assert_eq!(prior(&[3.0], &[2.0]), Prior { df: 0.0, variance: 3.0 });
    }
}
