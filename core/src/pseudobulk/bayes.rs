//! Variances drawn towards each other (Smyth 2004, section 6.2).

use statrs::function::gamma::digamma;

use crate::stats::median;

/// The scaled inverse chi-square distribution that the variances of all genes are taken to come from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prior {
    /// Degrees of freedom; infinite when the variances differ no more than by chance.
    pub df: f64,
    /// Its variance.
    pub variance: f64,
}

impl Prior {
    /// A variance of `df` degrees of freedom drawn towards the prior: the mean of the two, weighted by their degrees of freedom.
    pub fn draw(&self, variance: f64, df: f64) -> f64 {
        if self.df.is_infinite() || self.df + df <= 0.0 {
            self.variance
        } else {
            (df * variance + self.df * self.variance) / (df + self.df)
        }
    }
}

/// Fits the prior to `variances`, each with `df` degrees of freedom, and returns it with the posterior variances. See
/// [`fit_prior`].
pub fn squeeze(variances: &[f64], df: f64) -> (Prior, Vec<f64>) {
    let prior = fit_prior(variances, &vec![df; variances.len()]);
    (prior, variances.iter().map(|&variance| prior.draw(variance, df)).collect())
}

/// Fits the prior to at least two `variances` with as many degrees of freedom, all above 0.
///
/// The fit matches mean and variance of the logarithms. A variance of zero is raised to 1e-5 of the median, so that
/// its logarithm exists.
pub fn fit_prior(variances: &[f64], df: &[f64]) -> Prior {
    let middle = median(&mut variances.to_vec());
    // More than half of them zero: no scale to raise the others to but their mean.
    let floor = if middle > 0.0 { 1e-5 * middle } else { 1e-5 };
    let raised: Vec<f64> = variances.iter().map(|variance| variance.max(floor)).collect();
    let n = raised.len() as f64;
    let logs: Vec<f64> =
        raised.iter().zip(df).map(|(variance, df)| variance.ln() + ((0.5 * df).ln() - digamma(0.5 * df))).collect();
    let mean = logs.iter().sum::<f64>() / n;
    let chance = df.iter().map(|df| trigamma(0.5 * df)).sum::<f64>() / n;
    let spread = logs.iter().map(|log| (log - mean) * (log - mean)).sum::<f64>() / (n - 1.0) - chance;
    if spread > 0.0 {
        let half = trigamma_inverse(spread);
        Prior { df: 2.0 * half, variance: (mean + digamma(half) - half.ln()).exp() }
    } else {
        // No more spread than chance: one variance for all, its best estimate the mean.
        Prior { df: f64::INFINITY, variance: raised.iter().sum::<f64>() / n }
    }
}

/// Second derivative of ln Gamma, for x above 0.
pub(super) fn trigamma(x: f64) -> f64 {
    // Recurrence up to where the asymptotic series (DLMF 5.15.8) has 1e-16 at its fifth term.
    let (mut x, mut sum) = (x, 0.0);
    while x < 20.0 {
        sum += 1.0 / (x * x);
        x += 1.0;
    }
    let r = 1.0 / x;
    let s = r * r;
    sum + r + 0.5 * s + r * s * (1.0 / 6.0 - s * (1.0 / 30.0 - s * (1.0 / 42.0 - s * (1.0 / 30.0 - s * 5.0 / 66.0))))
}

/// Third derivative of ln Gamma, for x above 0.
fn tetragamma(x: f64) -> f64 {
    let (mut x, mut sum) = (x, 0.0);
    while x < 20.0 {
        sum -= 2.0 / (x * x * x);
        x += 1.0;
    }
    let r = 1.0 / x;
    let s = r * r;
    sum - s * (1.0 + r + s * (0.5 - s * (1.0 / 6.0 - s * (1.0 / 6.0 - s * (3.0 / 10.0 - s * 5.0 / 6.0)))))
}

/// x with trigamma(x) = `y`, for y above 0. Newton's method on 1 / trigamma, which is convex and all but linear.
pub(super) fn trigamma_inverse(y: f64) -> f64 {
    if y > 1e7 {
        return 1.0 / y.sqrt();
    }
    if y < 1e-6 {
        return 1.0 / y;
    }
    let mut x = 0.5 + 1.0 / y;
    for _ in 0..50 {
        let value = trigamma(x);
        let step = value * (1.0 - value / y) / tetragamma(x);
        x += step;
        if -step / x < 1e-10 {
            break;
        }
    }
    x
}
