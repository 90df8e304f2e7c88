//! p values corrected for their number.

/// Benjamini and Hochberg's correction over the p values that are numbers; NaN stays NaN.
pub fn benjamini_hochberg(pvals: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..pvals.len()).filter(|&at| !pvals[at].is_nan()).collect();
    order.sort_by(|&a, &b| pvals[a].total_cmp(&pvals[b]));
    let mut out = vec![f64::NAN; pvals.len()];
    let mut least = 1.0f64;
    for (rank, &at) in order.iter().enumerate().rev() {
        least = least.min(pvals[at] * order.len() as f64 / (rank + 1) as f64);
        out[at] = least;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn corrected_p_values() {
        // scipy.stats.false_discovery_control.
        let found = benjamini_hochberg(&[0.01, 0.04, f64::NAN, 0.03, 0.5]);
        let expected = [0.04, 0.05333333333333334, f64::NAN, 0.05333333333333334, 0.5];
        for (a, b) in found.iter().zip(expected) {
            assert!((a - b).abs() < 1e-15 || (a.is_nan() && b.is_nan()), "{a} {b}");
        }
    }
}
