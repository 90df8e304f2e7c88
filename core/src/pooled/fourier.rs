//! Discrete Fourier transforms of any length.

use std::f64::consts::TAU;

/// A complex number.
pub(super) type Complex = [f64; 2];

fn times(a: Complex, b: Complex) -> Complex {
    [a[0] * b[0] - a[1] * b[1], a[0] * b[1] + a[1] * b[0]]
}

fn turn(numerator: u64, denominator: u64) -> Complex {
    let angle = TAU * (numerator % denominator) as f64 / denominator as f64;
    [angle.cos(), angle.sin()]
}

/// sum_j x_j e^(-2 pi i j k / n), for each k. O(n log n) by the chirp transform (Bluestein 1970).
pub(super) fn transform(x: &[Complex]) -> Vec<Complex> {
    let n = x.len();
    if n <= 1 {
        return x.to_vec();
    }
    // j k = (j^2 + k^2 - (k - j)^2) / 2 makes it a convolution with a chirp.
    let chirp: Vec<Complex> = (0..n as u64).map(|j| turn(j * j, 2 * n as u64)).collect();
    let size = (2 * n - 1).next_power_of_two();
    let (mut a, mut b) = (vec![[0.0; 2]; size], vec![[0.0; 2]; size]);
    for j in 0..n {
        a[j] = times(x[j], [chirp[j][0], -chirp[j][1]]);
        b[j] = chirp[j];
        b[(size - j) % size] = chirp[j];
    }
    power_of_two(&mut a, false);
    power_of_two(&mut b, false);
    a.iter_mut().zip(&b).for_each(|(a, &b)| *a = times(*a, b));
    power_of_two(&mut a, true);
    (0..n)
        .map(|k| {
            let [re, im] = times(a[k], [chirp[k][0], -chirp[k][1]]);
            [re / size as f64, im / size as f64]
        })
        .collect()
}

/// In place, for lengths that are powers of two; the inverse is not divided by the length.
fn power_of_two(x: &mut [Complex], inverse: bool) {
    let n = x.len();
    let bits = n.trailing_zeros();
    if bits == 0 {
        return;
    }
    for i in 0..n {
        let j = i.reverse_bits() >> (usize::BITS - bits);
        if i < j {
            x.swap(i, j);
        }
    }
    let mut half = 1;
    while half < n {
        let roots: Vec<Complex> = (0..half as u64)
            .map(|k| {
                let [re, im] = turn(k, 2 * half as u64);
                [re, if inverse { im } else { -im }]
            })
            .collect();
        for part in x.chunks_exact_mut(2 * half) {
            let (low, high) = part.split_at_mut(half);
            for ((low, high), &root) in low.iter_mut().zip(high).zip(&roots) {
                let turned = times(*high, root);
                let sum = [low[0] + turned[0], low[1] + turned[1]];
                *high = [low[0] - turned[0], low[1] - turned[1]];
                *low = sum;
            }
        }
        half *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_sum_over_all_lengths() {
        for n in (0..40).chain([64, 101, 210, 1000]) {
            let x: Vec<Complex> = (0..n).map(|j| [(j as f64 * 1.3).sin(), (j * j % 7) as f64]).collect();
            let got = transform(&x);
            for k in 0..n {
                let expected = (0..n).fold([0.0; 2], |sum, j| {
                    let [re, im] = times(x[j], turn((n - j % n) as u64 * k as u64, n as u64));
                    [sum[0] + re, sum[1] + im]
                });
                let error = (got[k][0] - expected[0]).abs().max((got[k][1] - expected[1]).abs());
                assert!(error < 1e-9 * (1.0 + n as f64), "{n}, {k}: {error}");
            }
        }
    }
}
