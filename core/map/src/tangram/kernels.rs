//! The two loops that take the time: rows summed under weights, and inner products of one row with many.
//!
//! Rows are padded to a multiple of [`LANES`], so that no loop has a rest. Sums are in single precision, as the method was published, in
//! an order that the data fix.

use multiversion::multiversion;

/// Values that stay in registers together.
pub(super) const LANES: usize = 32;

/// `out` = sum over `at` of `weights` times that row of `rows`; rows and `out` are `out.len()` wide.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn sum_rows(at: &[u32], weights: &[f32], rows: &[f32], out: &mut [f32]) {
    let width = out.len();
    let mut from = 0;
    while from + 2 * LANES <= width {
        strip::<{ 2 * LANES }>(at, weights, rows, from, out);
        from += 2 * LANES;
    }
    if from < width {
        strip::<LANES>(at, weights, rows, from, out);
    }
}

#[inline(always)]
fn strip<const N: usize>(at: &[u32], weights: &[f32], rows: &[f32], from: usize, out: &mut [f32]) {
    let width = out.len();
    let mut sums = [0.0f32; N];
    for (&at, &weight) in at.iter().zip(weights) {
        let start = at as usize * width + from;
        let row = &rows[start..start + N];
        for lane in 0..N {
            sums[lane] += weight * row[lane];
        }
    }
    out[from..from + N].copy_from_slice(&sums);
}

/// `out[k]` = `row` . row `at[k]` of `rows`.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn products(row: &[f32], at: &[u32], rows: &[f32], out: &mut [f32]) {
    let width = row.len();
    for (&at, out) in at.iter().zip(out) {
        let other = &rows[at as usize * width..(at as usize + 1) * width];
        let mut sums = [0.0f32; LANES];
        for (a, b) in row.chunks_exact(LANES).zip(other.chunks_exact(LANES)) {
            for lane in 0..LANES {
                sums[lane] += a[lane] * b[lane];
            }
        }
        let mut half = LANES / 2;
        while half > 0 {
            for lane in 0..half {
                sums[lane] += sums[lane + half];
            }
            half /= 2;
        }
        *out = sums[0];
    }
}

/// Adam's moments and step for the gradient `gradient`.
pub(super) struct Step {
    pub(super) rate: f32,
    pub(super) second: f32,
}

impl Step {
    const FIRST: f64 = 0.9;
    const SECOND: f64 = 0.999;
    const LEAST: f32 = 1e-8;

    /// That of epoch `epoch`, counted from 1.
    pub(super) fn new(learning_rate: f64, epoch: usize) -> Self {
        let correction = |decay: f64| 1.0 - decay.powi(epoch.min(i32::MAX as usize) as i32);
        Self {
            rate: (learning_rate / correction(Self::FIRST)) as f32,
            second: (1.0 / correction(Self::SECOND).sqrt()) as f32,
        }
    }
}

/// One step of Adam (Kingma and Ba 2015).
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn adam(step: &Step, gradient: &[f32], logits: &mut [f32], first: &mut [f32], second: &mut [f32]) {
    let (a, b) = (Step::FIRST as f32, Step::SECOND as f32);
    for (((&gradient, logit), first), second) in gradient.iter().zip(logits).zip(first).zip(second) {
        *first = a * *first + (1.0 - a) * gradient;
        *second = b * *second + (1.0 - b) * gradient * gradient;
        *logit -= step.rate * *first / (second.sqrt() * step.second + Step::LEAST);
    }
}

/// `out` = softmax of `logits`; returns what to take off a logit for the logarithm of its share.
pub(super) fn softmax(logits: &[f32], out: &mut [f32]) -> f32 {
    let most = logits.iter().fold(f32::NEG_INFINITY, |most, &x| most.max(x));
    let mut total = 0.0f64;
    for (out, &x) in out.iter_mut().zip(logits) {
        *out = (x - most).exp();
        total += f64::from(*out);
    }
    let scale = (1.0 / total) as f32;
    out.iter_mut().for_each(|out| *out *= scale);
    most + (total.ln() as f32)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zensaibo_core::random::Stream;

    #[test]
    fn kernels_agree_with_plain_sums() {
        for width in [LANES, 2 * LANES, 3 * LANES, 5 * LANES] {
            let mut stream = Stream::new(1, width as u64);
            let rows: Vec<f32> = (0..20 * width).map(|_| stream.normal() as f32).collect();
            let at: Vec<u32> = (0..13).map(|_| stream.below(20) as u32).collect();
            let weights: Vec<f32> = (0..13).map(|_| stream.normal() as f32).collect();
            let mut sums = vec![7.0; width];
            sum_rows(&at, &weights, &rows, &mut sums);
            for lane in 0..width {
                let plain: f64 =
                    at.iter().zip(&weights).map(|(&at, &w)| f64::from(w * rows[at as usize * width + lane])).sum();
                assert!((plain - f64::from(sums[lane])).abs() < 1e-5);
            }
            let mut found = vec![7.0; at.len()];
            products(&rows[..width], &at, &rows, &mut found);
            for (&at, &found) in at.iter().zip(&found) {
                let plain: f64 = (0..width).map(|lane| f64::from(rows[lane] * rows[at as usize * width + lane])).sum();
                assert!((plain - f64::from(found)).abs() < 1e-4);
            }
        }
    }
}
