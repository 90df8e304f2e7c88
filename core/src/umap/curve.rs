//! The attraction curve: a and b such that 1 / (1 + a x^(2b)) follows the shape that `min_dist` and `spread` ask for.

use crate::{Error, Result};

/// Points at which curve and target are compared.
const POINTS: usize = 300;

/// Fits `a` and `b` by least squares to the target 1 up to `min_dist`, then exp(-(x - min_dist) / spread), on 300
/// points from 0 to 3 `spread`. Equal to what scipy's `curve_fit` finds from (1, 1), to about 1e-7.
///
/// Not random. Cost: microseconds.
///
/// # Errors
/// [`Error::NotConverged`] if the fit does not settle, which no `0 <= min_dist <= spread` was seen to cause.
///
/// # Reference
/// McInnes, Healy, Melville 2018 (arXiv:1802.03426), section 4; Levenberg 1944, Marquardt 1963.
pub fn fit_curve(min_dist: f64, spread: f64) -> Result<(f64, f64)> {
    // In units of `spread` the target depends on min_dist / spread alone, so the fit is well scaled for any spread.
    let threshold = min_dist / spread;
    let points: Vec<(f64, f64)> = (0..POINTS)
        .map(|i| 3.0 * i as f64 / (POINTS - 1) as f64)
        .map(|x| (x, if x < threshold { 1.0 } else { (threshold - x).exp() }))
        .collect();
    let cost = |a: f64, b: f64| points.iter().map(|&(x, y)| (curve(x, a, b) - y).powi(2)).sum::<f64>();

    let (mut a, mut b, mut damping) = (1.0f64, 1.0f64, 1e-3);
    let mut current = cost(a, b);
    for _ in 0..500 {
        // Normal equations J'J step = -J'r of the two unknowns.
        let (mut jaa, mut jab, mut jbb, mut ra, mut rb) = (0.0, 0.0, 0.0, 0.0, 0.0);
        for &(x, y) in points.iter().skip(1) {
            let power = x.powf(2.0 * b);
            let value = 1.0 / (1.0 + a * power);
            let (da, db) = (-power * value * value, -2.0 * a * power * x.ln() * value * value);
            jaa += da * da;
            jab += da * db;
            jbb += db * db;
            ra += da * (value - y);
            rb += db * (value - y);
        }
        loop {
            let (maa, mbb) = (jaa * (1.0 + damping), jbb * (1.0 + damping));
            let determinant = maa * mbb - jab * jab;
            let step_a = (jab * rb - mbb * ra) / determinant;
            let step_b = (jab * ra - maa * rb) / determinant;
            let (next_a, next_b) = (a + step_a, b + step_b);
            let next = if next_a > 0.0 && next_b > 0.0 { cost(next_a, next_b) } else { f64::INFINITY };
            let small = step_a.abs() <= 1e-11 * a && step_b.abs() <= 1e-11 * b;
            if next <= current {
                (a, b, current) = (next_a, next_b, next);
                damping = (damping * 0.1).max(1e-15);
            } else {
                damping *= 10.0;
            }
            if small || damping > 1e12 {
                return Ok((a / spread.powf(2.0 * b), b));
            }
            if next <= current {
                break;
            }
        }
    }
    Err(Error::NotConverged { what: "fit of a and b".into(), iterations: 500, reached: current, asked: 1e-11 })
}

fn curve(x: f64, a: f64, b: f64) -> f64 {
    1.0 / (1.0 + a * x.powf(2.0 * b))
}
