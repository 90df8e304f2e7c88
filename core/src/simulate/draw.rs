//! Random numbers of the distributions that the simulation needs.

use statrs::function::gamma::ln_gamma;

use crate::random::Stream;

/// Poisson: by multiplication for small means, by transformed rejection (Hörmann 1993, PTRS) for large ones.
pub(super) fn poisson(stream: &mut Stream, mean: f64) -> u64 {
    if mean <= 0.0 {
        return 0;
    }
    if mean < 12.0 {
        let limit = (-mean).exp();
        let (mut count, mut product) = (0, stream.uniform());
        while product > limit {
            count += 1;
            product *= stream.uniform();
        }
        return count;
    }
    let b = 0.931 + 2.53 * mean.sqrt();
    let a = -0.059 + 0.02483 * b;
    let inverse_alpha = 1.1239 + 1.1328 / (b - 3.4);
    let v_r = 0.9277 - 3.6224 / (b - 2.0);
    loop {
        let u = stream.uniform() - 0.5;
        let v = stream.uniform();
        let us = 0.5 - u.abs();
        let k = ((2.0 * a / us + b) * u + mean + 0.43).floor();
        if us >= 0.07 && v <= v_r {
            return k as u64;
        }
        if k < 0.0 || (us < 0.013 && v > us) {
            continue;
        }
        if v.ln() + inverse_alpha.ln() - (a / (us * us) + b).ln() <= -mean + k * mean.ln() - ln_gamma(k + 1.0) {
            return k as u64;
        }
    }
}

/// Logarithmic series with parameter `p` in 0..1 (Kemp 1981, LK); `ln_q` = ln(1 - p).
#[inline]
pub(super) fn log_series(stream: &mut Stream, p: f64, ln_q: f64) -> u32 {
    let v = f64::from(stream.next_u32()) * (1.0 / 4_294_967_296.0);
    if v >= p {
        return 1;
    }
    let q = -(ln_q * stream.uniform()).exp_m1();
    if v <= q * q {
        // v may be 0, whose logarithm is -infinity: take the smallest that can be drawn instead.
        let size = 1.0 + v.max(1e-10).ln() / q.ln();
        return size.min(1e6) as u32;
    }
    if v > q { 1 } else { 2 }
}

/// Picks items with given weights in constant time (Walker 1977, Vose 1991).
#[derive(Clone, Debug)]
pub(super) struct Alias {
    /// For each column: below this (of 2^32) itself, else its alias.
    columns: Vec<(u32, u32)>,
    /// Sum of the weights.
    pub(super) total: f64,
}

impl Alias {
    pub(super) fn new(weights: &[f64]) -> Self {
        let total: f64 = weights.iter().sum();
        let n = weights.len() as f64;
        let mut scaled: Vec<f64> = weights.iter().map(|weight| weight * n / total).collect();
        let mut columns: Vec<(u32, u32)> = (0..weights.len() as u32).map(|at| (u32::MAX, at)).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..weights.len() as u32).partition(|&at| scaled[at as usize] < 1.0);
        while let (Some(low), Some(&high)) = (small.pop(), large.last()) {
            columns[low as usize] = ((scaled[low as usize] * 4_294_967_296.0) as u32, high);
            scaled[high as usize] -= 1.0 - scaled[low as usize];
            if scaled[high as usize] < 1.0 {
                large.pop();
                small.push(high);
            }
        }
        Self { columns, total }
    }

    /// One item.
    #[inline]
    pub(super) fn pick(&self, stream: &mut Stream) -> u32 {
        let column = ((u64::from(stream.next_u32()) * self.columns.len() as u64) >> 32) as usize;
        let (threshold, alias) = self.columns[column];
        if stream.next_u32() <= threshold { column as u32 } else { alias }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 200_000;
        let values: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = values.iter().sum::<f64>() / n as f64;
        (mean, values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64)
    }

    #[test]
    fn poisson_has_its_mean_and_variance() {
        for wanted in [0.2, 3.0, 11.9, 12.1, 80.0, 3500.0] {
            let mut stream = Stream::new(1, 0);
            let (mean, variance) = moments(|| poisson(&mut stream, wanted) as f64);
            assert!(
                (mean / wanted - 1.0).abs() < 0.02 && (variance / wanted - 1.0).abs() < 0.03,
                "{wanted} {mean} {variance}"
            );
        }
        assert_eq!(poisson(&mut Stream::new(1, 0), 0.0), 0);
    }

    #[test]
    fn log_series_has_its_mean() {
        for p in [0.01f64, 0.3, 0.9, 0.99] {
            let mut stream = Stream::new(2, 0);
            let ln_q = (-p).ln_1p();
            let (mean, _) = moments(|| f64::from(log_series(&mut stream, p, ln_q)));
            let wanted = -p / ((1.0 - p) * ln_q);
            assert!((mean / wanted - 1.0).abs() < 0.02, "{p} {mean} {wanted}");
        }
    }

    #[test]
    fn poisson_bursts_of_logarithmic_size_are_negative_binomial() {
        let (mean, shape) = (5.0f64, 2.0f64);
        let p = mean / (mean + shape);
        let ln_q = (-p).ln_1p();
        let mut stream = Stream::new(3, 0);
        let (found, variance) = moments(|| {
            let bursts = poisson(&mut stream, -shape * ln_q);
            (0..bursts).map(|_| f64::from(log_series(&mut stream, p, ln_q))).sum()
        });
        assert!((found / mean - 1.0).abs() < 0.02 && (variance / (mean + mean * mean / shape) - 1.0).abs() < 0.03);
    }

    #[test]
    fn alias_keeps_the_weights() {
        let weights = [1.0, 0.0, 5.0, 2.0, 2.0];
        let alias = Alias::new(&weights);
        let mut stream = Stream::new(4, 0);
        let mut seen = [0f64; 5];
        for _ in 0..100_000 {
            seen[alias.pick(&mut stream) as usize] += 1e-5;
        }
        for (found, weight) in seen.iter().zip(weights) {
            assert!((found - weight / alias.total).abs() < 0.006, "{seen:?}");
        }
    }
}
