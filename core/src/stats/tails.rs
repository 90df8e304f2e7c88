//! Natural logarithms of tail probabilities, exact far beyond where the probability itself underflows.

use statrs::function::gamma::ln_gamma;

/// ln of the two-sided tail of the standard normal, ln P(|Z| >= |z|). NaN for NaN.
///
/// Relative error of the probability about 1e-13 down to 1e-300; of the logarithm about 1e-15 beyond.
pub fn ln_normal_two_sided(z: f64) -> f64 {
    let z = z.abs();
    if z < 2.5 {
        // 1 - erf by its series with positive terms (DLMF 7.6.2); at least 0.012 is left.
        let (mut term, mut sum, mut odd) = (z, z, 1.0);
        while term > 1e-18 * sum {
            odd += 2.0;
            term *= z * z / odd;
            sum += term;
        }
        return (-((2.0 / std::f64::consts::PI).sqrt() * (-0.5 * z * z).exp() * sum)).ln_1p();
    }
    if z.is_infinite() {
        return f64::NEG_INFINITY;
    }
    // Mills' ratio as a continued fraction, z + 1/(z + 2/(z + 3/(z + ...))), from the tail inwards. After n
    // terms about e^(-2 z sqrt(2 n)) is left.
    let terms = (400.0 / (z * z)) as usize + 8;
    let fraction = (1..=terms).rev().fold(z, |below, k| z + k as f64 / below);
    (2.0 / std::f64::consts::PI).sqrt().ln() - 0.5 * z * z - fraction.ln()
}

/// ln of the two-sided tail of Student's t with `df` degrees of freedom (any number above 0), ln P(|T| >= |t|).
/// NaN when `t` or `df` is NaN or `df` is not above 0.
///
/// P is the regularised incomplete beta function I_x(df/2, 1/2) at x = df / (df + t^2), by its continued
/// fraction (DLMF 8.17.22, evaluated as Lentz does). Relative error of the probability at most 1e-11
/// down to 1e-300 (the largest near t = 1.7 with 1e5 degrees of freedom; 1e-13 is usual).
pub fn ln_t_two_sided(t: f64, df: f64) -> f64 {
    if t.is_nan() || df.is_nan() || df <= 0.0 {
        return f64::NAN;
    }
    if t == 0.0 {
        return 0.0;
    }
    if t.is_infinite() {
        return f64::NEG_INFINITY;
    }
    if df.is_infinite() {
        return ln_normal_two_sided(t);
    }
    let a = 0.5 * df;
    // x and 1 - x without cancellation, whichever of t^2 and df is larger.
    let square = t * t;
    let (ln_x, x, y) = if square.is_infinite() {
        // t^2 overflows: x = df / t^2.
        (df.ln() - 2.0 * t.abs().ln(), 0.0, 1.0)
    } else {
        (-(square / df).ln_1p(), df / (df + square), square / (df + square))
    };
    // ln of x^a y^(1/2) / B(a, 1/2).
    let ln_front = a * ln_x + 0.5 * y.ln() - ln_beta_half(a);
    if x < (a + 1.0) / (a + 2.5) {
        ln_front - a.ln() + beta_fraction(a, 0.5, x).ln()
    } else {
        // Here t^2 < 3, so the probability is far from 0 and 1 - (...) loses nothing that matters.
        (-(ln_front.exp() / 0.5 * beta_fraction(0.5, a, y))).ln_1p()
    }
}

/// ln B(a, 1/2) = ln Gamma(a) + ln Gamma(1/2) - ln Gamma(a + 1/2).
fn ln_beta_half(a: f64) -> f64 {
    let half_ln_pi = 0.5 * std::f64::consts::PI.ln();
    if a < 20.0 {
        return ln_gamma(a) + half_ln_pi - ln_gamma(a + 0.5);
    }
    // ln Gamma(a + 1/2) - ln Gamma(a) for large a, from Stirling's series; the next term is below 1e-17.
    let r = 1.0 / a;
    let s = r * r;
    let ratio = 0.5 * a.ln()
        - r * (1.0 / 8.0
            - s * (1.0 / 192.0
                - s * (1.0 / 640.0 - s * (17.0 / 14336.0 - s * (31.0 / 18432.0 - s * 691.0 / 180_224.0)))));
    half_ln_pi - ratio
}

/// The continued fraction of the incomplete beta function, so that I_x(a, b) = x^a (1-x)^b / (a B(a, b)) times it.
fn beta_fraction(a: f64, b: f64, x: f64) -> f64 {
    const TINY: f64 = 1e-300;
    let guard = |value: f64| if value.abs() < TINY { TINY } else { value };
    let mut c = 1.0;
    let mut d = 1.0 / guard(1.0 - (a + b) * x / (a + 1.0));
    let mut fraction = d;
    for m in 1..20_000 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / guard(1.0 + even * d);
        c = guard(1.0 + even / c);
        fraction *= d * c;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / guard(1.0 + odd * d);
        c = guard(1.0 + odd / c);
        let step = d * c;
        fraction *= step;
        if (step - 1.0).abs() < 1e-15 {
            break;
        }
    }
    fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn close(found: f64, expected: f64, relative: f64) {
        assert!((found - expected).abs() <= relative * expected.abs(), "{found:e} against {expected:e}");
    }

    /// (z, ln P(|Z| >= z)), from make.py (mpmath 1.3, 50 digits).
    const NORMAL: &str = include_str!("../../tests/golden/tails/normal.tsv");
    /// (t, df, ln P(|T| >= t)), from make.py.
    const STUDENT: &str = include_str!("../../tests/golden/tails/student.tsv");

    fn rows(text: &str) -> impl Iterator<Item = Vec<f64>> {
        text.lines().map(|line| line.split('\t').map(|field| field.parse().unwrap()).collect())
    }

    #[test]
    fn normal_tails_match_high_precision() {
        for row in rows(NORMAL) {
            let found = ln_normal_two_sided(row[0]);
            // 3e-13 of the probability, or 1e-15 of its logarithm, whichever is looser.
            assert!((found - row[1]).abs() <= 3e-13 + 2e-15 * row[1].abs(), "z {}: {found:e} {:e}", row[0], row[1]);
            assert_eq!(found.to_bits(), ln_normal_two_sided(-row[0]).to_bits());
        }
    }

    #[test]
    fn student_tails_match_high_precision() {
        for row in rows(STUDENT) {
            let found = ln_t_two_sided(row[0], row[1]);
            assert!(
                (found - row[2]).abs() <= 1e-11 + 3e-15 * row[2].abs(),
                "t {} df {}: {found:e} {:e}",
                row[0],
                row[1],
                row[2]
            );
        }
    }

    #[test]
    fn one_degree_of_freedom_is_cauchy() {
        for t in [1e-8f64, 0.3, 1.0, 1.7, 1.8, 50.0, 1e9] {
            close(ln_t_two_sided(t, 1.0).exp(), 2.0 / std::f64::consts::PI * (1.0 / t).atan(), 1e-13);
        }
    }

    #[test]
    fn edges() {
        assert_eq!(ln_normal_two_sided(0.0), 0.0);
        assert_eq!(ln_t_two_sided(0.0, 3.0), 0.0);
        assert_eq!(ln_normal_two_sided(f64::INFINITY), f64::NEG_INFINITY);
        assert_eq!(ln_t_two_sided(f64::NEG_INFINITY, 3.0), f64::NEG_INFINITY);
        assert!(ln_normal_two_sided(f64::NAN).is_nan());
        assert!(ln_t_two_sided(1.0, f64::NAN).is_nan() && ln_t_two_sided(1.0, 0.0).is_nan());
        assert_eq!(ln_t_two_sided(2.0, f64::INFINITY), ln_normal_two_sided(2.0));
        assert!(ln_t_two_sided(1e200, 5.0).is_finite());
    }
}
