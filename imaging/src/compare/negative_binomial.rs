//! Regression of counts: the negative binomial distribution with a logarithmic mean that is linear in a design.

use statrs::function::gamma::ln_gamma;

/// Rounds of weighted least squares at most.
const ROUNDS: usize = 200;
/// Change of the deviance, relative, below which it has settled.
const SETTLED: f64 = 1e-13;
/// Movement of the coefficients below which they have settled, and above which one has no finite estimate although the
/// deviance has settled.
const STILL: f64 = 1e-10;
const LEAVING: f64 = 0.05;
/// Fitted means below which they stop falling.
const LEAST_MEAN: f64 = 1e-12;

/// Samples x coefficients, row-major.
#[derive(Clone, Debug)]
pub(super) struct Rows {
    pub(super) values: Vec<f64>,
    pub(super) columns: usize,
}

impl Rows {
    pub(super) fn row(&self, sample: usize) -> &[f64] {
        &self.values[sample * self.columns..(sample + 1) * self.columns]
    }

    pub(super) fn len(&self) -> usize {
        self.values.len() / self.columns.max(1)
    }

    /// Without one column.
    pub(super) fn without(&self, column: usize) -> Self {
        let kept = |(at, _): &(usize, &f64)| at % self.columns != column;
        let values = self.values.iter().enumerate().filter(kept).map(|(_, value)| *value).collect();
        Self { values, columns: self.columns - 1 }
    }
}

/// A fitted regression.
#[derive(Clone, Debug)]
pub(super) struct Fit {
    /// One per column.
    pub(super) coefficients: Vec<f64>,
    /// One per sample.
    pub(super) means: Vec<f64>,
    pub(super) deviance: f64,
    /// Lower triangle of the Cholesky factor of the information, row-major; what could not be factored is infinite.
    factor: Vec<f64>,
}

impl Fit {
    /// Variance of one coefficient, at a quasi-dispersion of 1.
    pub(super) fn variance(&self, column: usize) -> f64 {
        let p = self.coefficients.len();
        if (0..p).any(|at| !self.factor[at * p + at].is_finite()) {
            return f64::INFINITY;
        }
        // |L^-1 e|^2.
        let mut solved = vec![0f64; p];
        for row in column..p {
            let known: f64 = (column..row).map(|at| self.factor[row * p + at] * solved[at]).sum();
            let own = if row == column { 1.0 } else { 0.0 };
            solved[row] = (own - known) / self.factor[row * p + row];
        }
        solved.iter().map(|value| value * value).sum()
    }

    /// Half the logarithm of the determinant of the information, its least parts raised as in edgeR.
    fn half_ln_information(&self) -> f64 {
        let p = self.coefficients.len();
        let part = |at: usize| if self.factor[at].is_finite() { self.factor[at].powi(2).max(1e-10) } else { 1e-10 };
        (0..p).map(|at| 0.5 * part(at * p + at).ln()).sum()
    }
}

/// Deviance of one count.
fn unit_deviance(y: f64, mean: f64, dispersion: f64) -> f64 {
    let fits = if y > 0.0 { y * (y / mean).ln() } else { 0.0 };
    if dispersion < 1e-12 {
        return 2.0 * (fits - (y - mean));
    }
    // (y + 1/a) ln((1 + a y) / (1 + a mean)), the ratio by its distance from 1.
    let ratio = (dispersion * (y - mean) / (1.0 + dispersion * mean)).ln_1p();
    2.0 * (fits - (y + 1.0 / dispersion) * ratio)
}

fn deviance(counts: &[f64], means: &[f64], dispersion: f64) -> f64 {
    counts.iter().zip(means).map(|(&y, &mean)| unit_deviance(y, mean, dispersion).max(0.0)).sum()
}

/// The Cholesky factor of X' W X, row-major; false where it stopped short (the factor is then infinite from there).
fn factored(rows: &Rows, weights: &[f64]) -> (Vec<f64>, bool) {
    let p = rows.columns;
    let mut m = vec![0f64; p * p];
    for (sample, &weight) in weights.iter().enumerate() {
        let row = rows.row(sample);
        for a in 0..p {
            for b in 0..=a {
                m[a * p + b] += weight * row[a] * row[b];
            }
        }
    }
    let mut whole = true;
    for a in 0..p {
        for b in 0..=a {
            let known: f64 = (0..b).map(|k| m[a * p + k] * m[b * p + k]).sum();
            let left = m[a * p + b] - known;
            if a == b {
                // What rounding alone would leave counts as nothing.
                whole &= left > 1e-14 * m[a * p + a];
                m[a * p + a] = if whole { left.sqrt() } else { f64::INFINITY };
            } else {
                m[a * p + b] = if m[b * p + b].is_finite() { left / m[b * p + b] } else { 0.0 };
            }
        }
    }
    (m, whole)
}

fn solve(factor: &[f64], mut b: Vec<f64>) -> Vec<f64> {
    let p = b.len();
    for row in 0..p {
        let known: f64 = (0..row).map(|at| factor[row * p + at] * b[at]).sum();
        b[row] = (b[row] - known) / factor[row * p + row];
    }
    for row in (0..p).rev() {
        let known: f64 = (row + 1..p).map(|at| factor[at * p + row] * b[at]).sum();
        b[row] = (b[row] - known) / factor[row * p + row];
    }
    b
}

/// Fits one structure: `counts` and `offsets` (natural logarithms) per sample. Iteratively reweighted least squares, with
/// steps halved until the deviance does not rise. A coefficient without a finite estimate (a group without a cell) ends
/// where the deviance has settled.
pub(super) fn fit(counts: &[f64], rows: &Rows, offsets: &[f64], dispersion: f64) -> Fit {
    let n = counts.len();
    let p = rows.columns;
    let weights_at =
        |means: &[f64]| -> Vec<f64> { means.iter().map(|mean| mean / (1.0 + dispersion * mean)).collect() };
    let means_of = |b: &[f64]| -> Vec<f64> {
        (0..n)
            .map(|sample| {
                let line: f64 = rows.row(sample).iter().zip(b).map(|(x, b)| x * b).sum();
                (line + offsets[sample]).clamp(-50.0, 50.0).exp().max(LEAST_MEAN)
            })
            .collect()
    };
    // One round from means near the counts.
    let start: Vec<f64> = counts.iter().map(|y| y + 0.5).collect();
    let round = |means: &[f64]| -> Option<Vec<f64>> {
        let weights = weights_at(means);
        let (factor, whole) = factored(rows, &weights);
        if !whole {
            return None;
        }
        let mut right = vec![0f64; p];
        for sample in 0..n {
            let working = means[sample].ln() - offsets[sample] + (counts[sample] - means[sample]) / means[sample];
            let scaled = weights[sample] * working;
            right.iter_mut().zip(rows.row(sample)).for_each(|(sum, x)| *sum += scaled * x);
        }
        Some(solve(&factor, right)).filter(|b| b.iter().all(|value| value.is_finite()))
    };
    let mut b = round(&start).unwrap_or_else(|| vec![0.0; p]);
    let mut means = means_of(&b);
    let mut level = deviance(counts, &means, dispersion);
    for _ in 0..ROUNDS {
        let Some(goal) = round(&means) else { break };
        let mut share = 1.0;
        let (next, there, reached) = loop {
            let next: Vec<f64> = b.iter().zip(&goal).map(|(from, to)| from + share * (to - from)).collect();
            let there = means_of(&next);
            let reached = deviance(counts, &there, dispersion);
            if reached <= level + 1e-10 * (level + 1.0) || share < 1e-6 {
                break (next, there, reached);
            }
            share *= 0.5;
        };
        if share < 1e-6 {
            break;
        }
        let change = (level - reached).abs();
        // The deviance is flat at its least, so that coefficients still move when it does not; one without a finite
        // estimate goes on for ever.
        let moved = next.iter().zip(&b).map(|(to, from)| (to - from).abs()).fold(0.0, f64::max);
        (b, means, level) = (next, there, reached);
        let (still, leaving) = (moved < STILL, moved > LEAVING);
        if change <= SETTLED * (level + 1e-3) && (still || leaving) {
            break;
        }
    }
    let (factor, _) = factored(rows, &weights_at(&means));
    Fit { coefficients: b, deviance: level, means, factor }
}

/// Logarithm of the likelihood of counts, less what does not depend on the dispersion.
fn ln_likelihood(counts: &[f64], means: &[f64], dispersion: f64) -> f64 {
    if dispersion < 1e-12 {
        return counts.iter().zip(means).map(|(y, mean)| y * mean.ln() - mean).sum();
    }
    let size = 1.0 / dispersion;
    let own = |(&y, &mean): (&f64, &f64)| {
        // ln Gamma(y + r) - ln Gamma(r) - y ln r, which tends to 0 with the dispersion.
        let rising: f64 = if y < 64.0 {
            (0..y as u32).map(|k| (dispersion * f64::from(k)).ln_1p()).sum()
        } else {
            ln_gamma(y + size) - ln_gamma(size) - y * size.ln()
        };
        let down = (dispersion * mean).ln_1p();
        rising + y * (mean.ln() - down) - size * down
    };
    counts.iter().zip(means).map(own).sum()
}

/// The profile likelihood of a dispersion, adjusted for the coefficients (Cox and Reid).
pub(super) fn adjusted_profile(counts: &[f64], rows: &Rows, offsets: &[f64], dispersion: f64) -> f64 {
    let fit = fit(counts, rows, offsets, dispersion);
    ln_likelihood(counts, &fit.means, dispersion) - fit.half_ln_information()
}
