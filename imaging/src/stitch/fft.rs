//! Fourier transforms of three-dimensional boxes of complex numbers, one axis after the other, on `rustfft`.

use rustfft::num_complex::Complex;
use rustfft::{Fft, FftPlanner};

/// Lines that are taken out of the box together: neighbours along the other axes share its cache lines.
const SIDE: usize = 16;

/// The least length of at least `n` that has no prime factors but 2, 3 and 5.
pub(crate) fn good_length(n: usize) -> usize {
    (n.max(1)..)
        .find(|&length| {
            let mut rest = length;
            for factor in [2, 3, 5] {
                while rest.is_multiple_of(factor) {
                    rest /= factor;
                }
            }
            rest == 1
        })
        .unwrap_or(n)
}

/// Complex numbers of a box, (z, y, x), x running fastest.
#[derive(Clone, Debug)]
pub(crate) struct Spectrum {
    pub(crate) shape: [usize; 3],
    pub(crate) re: Vec<f32>,
    pub(crate) im: Vec<f32>,
}

impl Spectrum {
    pub(crate) fn zeros(shape: [usize; 3]) -> Self {
        let n = shape.iter().product();
        Self { shape, re: vec![0.0; n], im: vec![0.0; n] }
    }

    /// Place of the number of the opposite frequency.
    #[inline]
    pub(crate) fn opposite(&self, z: usize, y: usize, x: usize) -> usize {
        let [depth, height, width] = self.shape;
        let back = |at: usize, n: usize| if at == 0 { 0 } else { n - at };
        (back(z, depth) * height + back(y, height)) * width + back(x, width)
    }

    /// The transform, not scaled; with `inverse`, the one with the other sign.
    pub(crate) fn transform(&mut self, inverse: bool) {
        let mut planner = FftPlanner::new();
        for axis in 0..3 {
            let n = self.shape[axis];
            if n > 1 {
                let plan = if inverse { planner.plan_fft_inverse(n) } else { planner.plan_fft_forward(n) };
                self.along(axis, &*plan);
            }
        }
    }

    fn along(&mut self, axis: usize, plan: &dyn Fft<f32>) {
        let [depth, height, width] = self.shape;
        let n = self.shape[axis];
        let mut lines = vec![Complex::<f32>::default(); SIDE * n];
        let mut spare = vec![Complex::default(); plan.get_inplace_scratch_len()];
        // Lines begin at `outer * far + inner * near` and go on by `step`.
        let (outer, far, inner, near, step) = match axis {
            0 => (1, 0, height * width, 1, height * width),
            1 => (depth, height * width, width, 1, width),
            _ => (1, 0, depth * height, width, 1),
        };
        for block in 0..outer {
            for first in (0..inner).step_by(SIDE) {
                let count = SIDE.min(inner - first);
                let place = |k: usize, line: usize| block * far + (first + line) * near + k * step;
                for k in 0..n {
                    for line in 0..count {
                        let at = place(k, line);
                        lines[line * n + k] = Complex::new(self.re[at], self.im[at]);
                    }
                }
                plan.process_with_scratch(&mut lines[..count * n], &mut spare);
                for k in 0..n {
                    for line in 0..count {
                        let (at, value) = (place(k, line), lines[line * n + k]);
                        (self.re[at], self.im[at]) = (value.re, value.im);
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn lengths_are_products_of_small_primes() {
        let found: Vec<usize> = [1, 7, 11, 13, 17, 97, 121, 128].map(good_length).to_vec();
        assert_eq!(found, [1, 8, 12, 15, 18, 100, 125, 128]);
    }

    #[test]
    fn transforms_are_the_sums_of_the_definition_and_come_back() {
        let mut random = Stream::new(1, 0);
        for shape in [[3, 4, 5], [1, 8, 15], [2, 1, 27], [9, 16, 1], [5, 2, 20]] {
            let mut spectrum = Spectrum::zeros(shape);
            spectrum.re.iter_mut().chain(&mut spectrum.im).for_each(|value| *value = random.normal() as f32);
            let before = spectrum.clone();
            spectrum.transform(false);
            let n: usize = shape.iter().product();
            let place = |at: usize| [at / (shape[1] * shape[2]), at / shape[2] % shape[1], at % shape[2]];
            for k in (0..n).step_by(7) {
                let (mut re, mut im) = (0f64, 0f64);
                for at in 0..n {
                    let (f, x) = (place(k), place(at));
                    let turns: f64 = (0..3).map(|a| (f[a] * x[a]) as f64 / shape[a] as f64).sum();
                    let (s, c) = (-TAU * turns).sin_cos();
                    let (r, i) = (f64::from(before.re[at]), f64::from(before.im[at]));
                    re += r * c - i * s;
                    im += r * s + i * c;
                }
                assert!((re - f64::from(spectrum.re[k])).abs() < 2e-4 && (im - f64::from(spectrum.im[k])).abs() < 2e-4);
            }
            spectrum.transform(true);
            for at in 0..n {
                assert!((spectrum.re[at] / n as f32 - before.re[at]).abs() < 1e-5);
                assert!((spectrum.im[at] / n as f32 - before.im[at]).abs() < 1e-5);
            }
        }
    }
}
