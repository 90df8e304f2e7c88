//! Medians and quantiles.

/// Quantile `q` in 0..=1 of ascending values, interpolated linearly between neighbours (numpy's default,
/// with its rounding). NaN for no values.
pub fn quantile_sorted(sorted: &[f64], q: f64) -> f64 {
    let Some(last) = sorted.len().checked_sub(1) else { return f64::NAN };
    let position = last as f64 * q;
    let below = position.floor().clamp(0.0, last as f64);
    let at = below as usize;
    let (a, b) = (sorted[at], sorted[(at + 1).min(last)]);
    let t = position - below;
    let step = b - a;
    if t >= 0.5 { b - step * (1.0 - t) } else { a + step * t }
}

/// Median; the mean of the two middle values for an even number of them. Reorders `values`. NaN for none.
pub fn median(values: &mut [f64]) -> f64 {
    let n = values.len();
    if n == 0 {
        return f64::NAN;
    }
    let (below, &mut middle, _) = values.select_nth_unstable_by(n / 2, f64::total_cmp);
    if n % 2 == 1 {
        return middle;
    }
    let lower = below.iter().copied().max_by(f64::total_cmp).unwrap_or(middle);
    (lower + middle) / 2.0
}

/// Median absolute deviation from the median, divided by 0.6745 so that it estimates the standard deviation
/// of normal data. Reorders `values`. NaN for none.
pub fn mad(values: &mut [f64]) -> f64 {
    /// The 3/4 quantile of the standard normal distribution.
    const NORMAL_QUARTILE: f64 = 0.674_489_750_196_081_7;
    let centre = median(values);
    for value in values.iter_mut() {
        *value = (*value - centre).abs();
    }
    median(values) / NORMAL_QUARTILE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_by_hand() {
        assert_eq!(median(&mut [3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&mut [4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(&mut [7.0]), 7.0);
        assert!(median(&mut []).is_nan());
        assert!((mad(&mut [1.0, 2.0, 3.0, 4.0, 100.0]) - 1.0 / 0.674_489_750_196_081_7).abs() < 1e-15);
    }

    #[test]
    fn quantiles_by_hand() {
        let sorted = [0.0, 1.0, 2.0, 10.0];
        assert_eq!(quantile_sorted(&sorted, 0.0), 0.0);
        assert_eq!(quantile_sorted(&sorted, 1.0), 10.0);
        assert_eq!(quantile_sorted(&sorted, 0.5), 1.5);
        assert_eq!(quantile_sorted(&sorted, 0.9), 10.0 - 8.0 * (1.0 - (3.0 * 0.9 - 2.0)));
        assert_eq!(quantile_sorted(&[5.0], 0.3), 5.0);
        assert!(quantile_sorted(&[], 0.5).is_nan());
    }
}
