//! Two normal distributions fitted to the values of one cell.

/// Steps of the iteration at most, and the relative change of the likelihood at which it ends.
const STEPS: usize = 1000;
const TOLERANCE: f64 = 1e-8;

/// A fit of two components.
struct Fit {
    means: [f64; 2],
    /// Bayesian information criterion, larger is better; absent when a variance vanished.
    bic: Option<f64>,
}

/// The lower mean of a mixture of two normal distributions fitted to `values`: the background of a cell.
///
/// Fitted by expectation and maximisation from the halves below and above the median, once with one variance and once
/// with two; the better by the Bayesian information criterion is taken. Values without spread give their mean.
pub fn lower_mean(values: &[f64]) -> f64 {
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let fits = [fit(values, true), fit(values, false)];
    let best = match (fits[0].bic, fits[1].bic) {
        (Some(shared), Some(own)) if own > shared => &fits[1],
        (Some(_), _) => &fits[0],
        (None, Some(_)) => &fits[1],
        (None, None) => return mean,
    };
    best.means[0].min(best.means[1])
}

fn fit(values: &[f64], shared: bool) -> Fit {
    let n = values.len();
    let mut sorted = values.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    let scale = sorted[n - 1] - sorted[0];
    let none = Fit { means: [0.0; 2], bic: None };
    if n < 4 || scale <= 0.0 {
        return none;
    }
    let floor = 1e-9 * scale * scale;
    let middle = crate::stats::quantile_sorted(&sorted, 0.5);
    // Responsibility of the second component for each value.
    let mut upper: Vec<f64> = values.iter().map(|&x| f64::from(u8::from(x > middle))).collect();
    let mut before = f64::NEG_INFINITY;
    let mut means = [0.0; 2];
    for _ in 0..STEPS {
        let weight: f64 = upper.iter().sum();
        let weights = [n as f64 - weight, weight];
        if weights.iter().any(|&weight| weight < 1e-9) {
            return none;
        }
        let sum: f64 = upper.iter().zip(values).map(|(p, x)| p * x).sum();
        let all: f64 = values.iter().sum();
        means = [(all - sum) / weights[0], sum / weights[1]];
        let mut squares = [0.0; 2];
        for (p, x) in upper.iter().zip(values) {
            squares[0] += (1.0 - p) * (x - means[0]) * (x - means[0]);
            squares[1] += p * (x - means[1]) * (x - means[1]);
        }
        let variances = if shared {
            [(squares[0] + squares[1]) / n as f64; 2]
        } else {
            [squares[0] / weights[0], squares[1] / weights[1]]
        };
        if variances.iter().any(|&variance| variance < floor) {
            return none;
        }
        let mut likelihood = 0.0;
        for (p, x) in upper.iter_mut().zip(values) {
            let log = |k: usize| {
                (weights[k] / n as f64).ln()
                    - 0.5 * (2.0 * std::f64::consts::PI * variances[k]).ln()
                    - 0.5 * (x - means[k]) * (x - means[k]) / variances[k]
            };
            let (low, high) = (log(0), log(1));
            let largest = low.max(high);
            let total = largest + ((low - largest).exp() + (high - largest).exp()).ln();
            *p = (high - total).exp();
            likelihood += total;
        }
        let settled = (likelihood - before).abs() <= TOLERANCE * (1.0 + likelihood.abs());
        before = likelihood;
        if settled {
            break;
        }
    }
    let parameters = if shared { 4.0 } else { 5.0 };
    Fit { means, bic: Some(2.0 * before - parameters * (n as f64).ln()) }
}
