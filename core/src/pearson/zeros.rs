//! Sums of residuals and of their squares over all cells, as if every count of a gene were 0.
//!
//! With w = c_j / t and mu_i = r_i w these are -sqrt(w) sum_i sqrt(r_i) / sqrt(1 + r_i w / theta) and
//! w sum_i r_i / (1 + r_i w / theta). Both sums are analytic in ln w within pi of the real axis, so their
//! Chebyshev interpolants over the range of the genes converge geometrically: some tens of sums over the cells serve
//! all genes, to a relative error below 1e-10.

use std::f64::consts::PI;

use rayon::prelude::*;

use super::residuals::of_zero;

/// Sums over a group of cells, for any gene.
pub(super) struct ZeroSums<'a> {
    totals: &'a [f64],
    largest: f64,
    inverse_theta: f64,
    clip: f64,
    curve: Option<Curve>,
}

/// Chebyshev coefficients of the two sums over ln w in `middle - half ..= middle + half`.
struct Curve {
    middle: f64,
    half: f64,
    coefficients: Vec<[f64; 2]>,
}

impl<'a> ZeroSums<'a> {
    /// For cells with the given totals and genes with the given shares w (those that are 0 do not matter).
    pub(super) fn new(totals: &'a [f64], shares: &[f64], theta: f64, clip: f64) -> Self {
        let inverse_theta = 1.0 / theta;
        let mut this =
            Self { totals, largest: totals.iter().copied().fold(0.0, f64::max), inverse_theta, clip, curve: None };
        let used: Vec<f64> = shares.iter().copied().filter(|&w| w > 0.0 && !this.is_cut(w)).collect();
        let (low, high) = used.iter().fold((f64::INFINITY, 0.0f64), |(low, high), &w| (low.min(w), high.max(w)));
        if used.is_empty() {
            return this;
        }
        let (middle, half) = ((low.ln() + high.ln()) / 2.0, (high.ln() - low.ln()) / 2.0);
        // The error falls as rho^-n, rho the sum of the half axes of the ellipse that reaches the nearest pole.
        let reach = PI / half.max(1e-9);
        let rho = reach + (1.0 + reach * reach).sqrt();
        let nodes = ((1e16f64.ln() / rho.ln()).ceil() as usize + 4).min(400);
        if used.len() > 2 * nodes {
            this.curve = Some(Curve::fit(middle, half, nodes, |w| this.sums_of_roots(w)));
        }
        this
    }

    /// Whether the residual of a zero is cut in some cell for this gene.
    fn is_cut(&self, w: f64) -> bool {
        -of_zero(self.largest * w, self.inverse_theta) > self.clip
    }

    /// sum sqrt(r) / sqrt(1 + r w / theta) and sum r / (1 + r w / theta), in the order of the cells.
    fn sums_of_roots(&self, w: f64) -> [f64; 2] {
        let factor = w * self.inverse_theta;
        // Eight interleaved partial sums, so that the loop is not one long chain of additions.
        let mut lanes = [[0.0f64; 2]; 8];
        for chunk in self.totals.chunks(8) {
            for (lane, &r) in lanes.iter_mut().zip(chunk) {
                let squared = r / (1.0 + r * factor);
                lane[0] += squared.sqrt();
                lane[1] += squared;
            }
        }
        lanes.iter().fold([0.0; 2], |sum, lane| [sum[0] + lane[0], sum[1] + lane[1]])
    }

    /// Sum and sum of squares of the (cut) residuals of zeros, for a gene of share `w`.
    pub(super) fn of(&self, w: f64) -> [f64; 2] {
        if !(w > 0.0) {
            return [0.0; 2];
        }
        if self.is_cut(w) {
            let mut sums = [0.0; 2];
            for &r in self.totals {
                let residual = of_zero(r * w, self.inverse_theta).max(-self.clip);
                sums[0] += residual;
                sums[1] += residual * residual;
            }
            return sums;
        }
        let [roots, squares] = match &self.curve {
            Some(curve) => curve.at(w.ln()),
            None => self.sums_of_roots(w),
        };
        [-w.sqrt() * roots, w * squares]
    }
}

impl Curve {
    fn fit(middle: f64, half: f64, nodes: usize, function: impl Fn(f64) -> [f64; 2] + Sync) -> Self {
        let angle = |k: usize| PI * (k as f64 + 0.5) / nodes as f64;
        let values: Vec<[f64; 2]> =
            (0..nodes).into_par_iter().map(|k| function((middle + half * angle(k).cos()).exp())).collect();
        let coefficients = (0..nodes)
            .map(|j| {
                let mut sums = [0.0; 2];
                for (k, value) in values.iter().enumerate() {
                    let cosine = (j as f64 * angle(k)).cos();
                    sums[0] += value[0] * cosine;
                    sums[1] += value[1] * cosine;
                }
                let weight = if j == 0 { 1.0 } else { 2.0 } / nodes as f64;
                [sums[0] * weight, sums[1] * weight]
            })
            .collect();
        Self { middle, half, coefficients }
    }

    /// Clenshaw's recurrence.
    fn at(&self, t: f64) -> [f64; 2] {
        let x = if self.half > 0.0 { (t - self.middle) / self.half } else { 0.0 };
        let (mut last, mut before) = ([0.0f64; 2], [0.0f64; 2]);
        for c in self.coefficients[1..].iter().rev() {
            let next = [c[0] + 2.0 * x * last[0] - before[0], c[1] + 2.0 * x * last[1] - before[1]];
            (before, last) = (last, next);
        }
        let first = self.coefficients[0];
        [first[0] + x * last[0] - before[0], first[1] + x * last[1] - before[1]]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Stream;

    fn slowly(totals: &[f64], w: f64, theta: f64, clip: f64) -> [f64; 2] {
        totals.iter().fold([0.0; 2], |sum, r| {
            let mu = r * w;
            let residual = (-mu / (mu + mu * mu / theta).sqrt()).max(-clip);
            [sum[0] + residual, sum[1] + residual * residual]
        })
    }

    #[test]
    fn interpolated_sums_equal_the_sums_over_the_cells() {
        let mut stream = Stream::new(2, 0);
        let totals: Vec<f64> = (0..500).map(|_| (8.0 + 1.5 * stream.normal()).exp().round() + 1.0).collect();
        let grand: f64 = totals.iter().sum();
        let shares: Vec<f64> = (0..3000).map(|j| (1.0 + (grand / 3.0).powf(j as f64 / 3000.0)) / grand).collect();
        for theta in [0.5, 100.0, f64::INFINITY] {
            for clip in [22.4, 3.0, f64::INFINITY] {
                let sums = ZeroSums::new(&totals, &shares, theta, clip);
                assert!(sums.curve.is_some(), "{theta} {clip}");
                for &w in &shares {
                    let (got, expected) = (sums.of(w), slowly(&totals, w, theta, clip));
                    for k in 0..2 {
                        let error = (got[k] - expected[k]).abs() / expected[k].abs();
                        assert!(error < 1e-10, "theta {theta}, clip {clip}, w {w}: {error}");
                    }
                }
            }
        }
    }

    #[test]
    fn few_genes_genes_alike_and_none() {
        let totals = [3.0, 5.0, 0.0];
        let sums = ZeroSums::new(&totals, &[0.25, 0.0], 100.0, 2.0);
        assert!(sums.curve.is_none());
        assert_eq!(sums.of(0.0), [0.0; 2]);
        let expected = slowly(&totals[..2], 0.25, 100.0, 2.0);
        assert!((sums.of(0.25)[0] - expected[0]).abs() < 1e-14);
        let alike = ZeroSums::new(&totals, &[0.25; 50], 100.0, 2.0);
        assert!(alike.curve.is_some() && (alike.of(0.25)[1] - expected[1]).abs() < 1e-14);
        assert_eq!(ZeroSums::new(&[], &[], 100.0, 2.0).of(0.5), [0.0; 2]);
    }
}
