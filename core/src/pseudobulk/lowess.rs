//! A robust local line through scattered points (Cleveland 1979).

/// Fitted values of a locally weighted linear regression of `y` on `x`, which must rise.
///
/// Each fit looks at the `span` share of the points nearest to it, weighted by the tricube of their distance; three
/// further rounds weigh points down by their residuals (bisquare, six medians). Points closer than `delta` to the last
/// one fitted are interpolated. Both slices are n long; the result is n long. O(n span n) time at worst, less the larger
/// `delta` is.
pub fn lowess(x: &[f64], y: &[f64], span: f64, delta: f64) -> Vec<f64> {
    const ROUNDS: usize = 3;
    let n = x.len().min(y.len());
    if n < 2 {
        return y[..n].to_vec();
    }
    let window = ((span * n as f64 + 1e-7) as usize).clamp(2, n);
    let mut fitted = vec![0.0; n];
    let mut robust: Option<Vec<f64>> = None;
    for round in 0..=ROUNDS {
        one_round(&x[..n], &y[..n], window, delta, robust.as_deref(), &mut fitted);
        if round == ROUNDS {
            break;
        }
        let residuals: Vec<f64> = y.iter().zip(&fitted).map(|(y, fit)| (y - fit).abs()).collect();
        let scale = residuals.iter().sum::<f64>() / n as f64;
        let six_medians = 6.0 * crate::stats::median(&mut residuals.clone());
        if six_medians < 1e-7 * scale {
            break;
        }
        let weight = |residual: &f64| {
            if *residual <= 0.001 * six_medians {
                1.0
            } else if *residual <= 0.999 * six_medians {
                let part = residual / six_medians;
                (1.0 - part * part) * (1.0 - part * part)
            } else {
                0.0
            }
        };
        robust = Some(residuals.iter().map(weight).collect());
    }
    fitted
}

/// Fits at points at least `delta` apart and interpolates between them.
fn one_round(x: &[f64], y: &[f64], window: usize, delta: f64, robust: Option<&[f64]>, fitted: &mut [f64]) {
    let n = x.len();
    let mut left = 0;
    let mut at = 0;
    let mut last: Option<usize> = None;
    let mut weights = vec![0.0; n];
    loop {
        // The window of nearest points.
        while left + window < n && x[at] - x[left] > x[left + window] - x[at] {
            left += 1;
        }
        fitted[at] = fit_at(x, y, x[at], left, left + window - 1, robust, &mut weights).unwrap_or(y[at]);
        if let Some(from) = last.filter(|&from| from + 1 < at) {
            let width = x[at] - x[from];
            for between in from + 1..at {
                let part = (x[between] - x[from]) / width;
                fitted[between] = part * fitted[at] + (1.0 - part) * fitted[from];
            }
        }
        let mut done = at;
        let cut = x[done] + delta;
        let mut next = done + 1;
        while next < n && x[next] <= cut {
            if x[next] == x[done] {
                fitted[next] = fitted[done];
                done = next;
            }
            next += 1;
        }
        last = Some(done);
        if done + 1 >= n {
            return;
        }
        at = (done + 1).max(next - 1);
    }
}

/// The value at `target` of the weighted line through the points from `left` on, as far as the window reaches.
fn fit_at(
    x: &[f64],
    y: &[f64],
    target: f64,
    left: usize,
    right: usize,
    robust: Option<&[f64]>,
    weights: &mut [f64],
) -> Option<f64> {
    let n = x.len();
    let reach = (target - x[left]).max(x[right] - target);
    let mut end = left;
    let mut total = 0.0;
    while end < n {
        let distance = (x[end] - target).abs();
        weights[end] = 0.0;
        if distance <= 0.999 * reach {
            let tricube = if distance <= 0.001 * reach {
                1.0
            } else {
                let part = distance / reach;
                let rest = 1.0 - part * part * part;
                rest * rest * rest
            };
            weights[end] = tricube * robust.map_or(1.0, |robust| robust[end]);
            total += weights[end];
        } else if x[end] > target {
            break;
        }
        end += 1;
    }
    if total <= 0.0 {
        return None;
    }
    let weights = &mut weights[left..end];
    let (x_window, y_window) = (&x[left..end], &y[left..end]);
    weights.iter_mut().for_each(|weight| *weight /= total);
    if reach > 0.0 {
        let centre: f64 = weights.iter().zip(x_window).map(|(w, x)| w * x).sum();
        let spread: f64 = weights.iter().zip(x_window).map(|(w, x)| w * (x - centre) * (x - centre)).sum();
        // With the points all but at one place a line means nothing, and their mean is taken.
        if spread.sqrt() > 0.001 * (x[n - 1] - x[0]) {
            let slope = (target - centre) / spread;
            weights.iter_mut().zip(x_window).for_each(|(w, x)| *w *= slope * (x - centre) + 1.0);
        }
    }
    Some(weights.iter().zip(y_window).map(|(w, y)| w * y).sum())
}
