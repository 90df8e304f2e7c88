//! Tails, as natural logarithms: they stay apart where the probabilities are too small for a number.

use zensaibo_core::stats::ln_normal_two_sided;

/// ln P(X >= x) of chi-squared with a whole number of degrees of freedom, at least 1, by its finite sum.
pub(super) fn ln_chi_squared(x: f64, degrees: usize) -> f64 {
    if !(x > 0.0) {
        return 0.0;
    }
    let half = 0.5 * x;
    let odd = degrees % 2 == 1;
    // Terms half^s e^-half / Gamma(s + 1) for s = 0, 1, ... or 1/2, 3/2, ... below degrees / 2.
    let (mut term, mut s) = if odd {
        // Gamma(3/2) = sqrt(pi) / 2.
        (0.5 * half.ln() - half - (0.5 * std::f64::consts::PI.sqrt()).ln(), 0.5)
    } else {
        (-half, 0.0)
    };
    let mut terms = if odd { vec![ln_normal_two_sided(x.sqrt())] } else { Vec::new() };
    while s < 0.5 * degrees as f64 - 0.25 {
        terms.push(term);
        s += 1.0;
        term += half.ln() - s.ln();
    }
    let most = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    (most + terms.iter().map(|term| (term - most).exp()).sum::<f64>().ln()).min(0.0)
}

/// ln of the p value that joins others with equal weights: the mean of tan((1/2 - p) pi) against a standard Cauchy.
/// NaN if one is. A p value of 1 would outweigh any other and counts as 1 - 1e-9.
pub(super) fn ln_cauchy(ln_pvals: &[f64]) -> f64 {
    if ln_pvals.iter().any(|value| value.is_nan()) {
        return f64::NAN;
    }
    let pi = std::f64::consts::PI;
    let count = ln_pvals.len() as f64;
    let least = ln_pvals.iter().copied().fold(f64::INFINITY, f64::min);
    if least < -690.0 {
        // tan((1/2 - p) pi) is 1 / (p pi) to all digits; the others are nothing beside such a one unless as small.
        let total = ln_pvals.iter().map(|value| (least - value).exp()).sum::<f64>().ln();
        return (count.ln() + least - total).min(0.0);
    }
    let sum: f64 = ln_pvals
        .iter()
        .map(|&value| {
            let p = value.exp().min(1.0 - 1e-9);
            if p < 1e-8 { 1.0 / (p * pi) } else { ((0.5 - p) * pi).tan() }
        })
        .sum();
    let mean = sum / count;
    if mean > 1e8 { -(mean * pi).ln() } else { (0.5 - mean.atan() / pi).ln() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tails_against_tables() {
        // scipy.stats.chi2.logsf.
        for (x, degrees, expected) in [
            (3.0, 1, -2.4857327909860794f64),
            (3.0, 2, -1.5),
            (10.0, 3, -3.9864160317343833),
            (0.5, 4, -0.026856448685790242),
            (2000.0, 2, -1000.0),
            (300.0, 5, -142.75874670464486),
            (40.0, 66, -0.004738635157019191),
            (40.0, 33, -1.675372875062654),
        ] {
            let found = ln_chi_squared(x, degrees);
            assert!((found - expected).abs() < 1e-11 * expected.abs(), "{x} {degrees}: {found}");
        }
        assert_eq!(ln_chi_squared(0.0, 3), 0.0);
    }

    #[test]
    fn joined_p_values() {
        let ln = |all: &[f64]| all.iter().map(|p: &f64| p.ln()).collect::<Vec<_>>();
        assert!((ln_cauchy(&ln(&[0.03, 0.03])).exp() - 0.03).abs() < 1e-12);
        // One small one among others costs about its share.
        let joined = ln_cauchy(&ln(&[1e-12, 0.5, 0.5, 0.5])).exp();
        assert!((joined / 4e-12 - 1.0).abs() < 1e-6, "{joined}");
        assert!((ln_cauchy(&[-1000.0, -1.0]) - (-1000.0 + 2f64.ln())).abs() < 1e-9);
        assert!((ln_cauchy(&[-689.0, -1.0]) - (-689.0 + 2f64.ln())).abs() < 1e-6);
        assert!(ln_cauchy(&[f64::NAN, 0.0]).is_nan());
    }
}
