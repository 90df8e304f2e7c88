//! Fourier transforms of three-dimensional boxes of complex numbers, lengths 2^a 3^b 5^c.
//!
//! Stockham's self-sorting transform, sixteen lines at a time side by side, so that every step runs over neighbouring
//! numbers whichever axis it goes along.

use std::f64::consts::TAU;

use multiversion::multiversion;

/// Lines that are transformed together.
const SIDE: usize = 16;

/// The least length of at least `n` that has no prime factors but 2, 3 and 5.
pub(super) fn good_length(n: usize) -> usize {
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
pub(super) struct Spectrum {
    pub(super) shape: [usize; 3],
    pub(super) re: Vec<f32>,
    pub(super) im: Vec<f32>,
}

impl Spectrum {
    pub(super) fn zeros(shape: [usize; 3]) -> Self {
        let n = shape.iter().product();
        Self { shape, re: vec![0.0; n], im: vec![0.0; n] }
    }

    /// Place of the number of the opposite frequency.
    #[inline]
    pub(super) fn opposite(&self, z: usize, y: usize, x: usize) -> usize {
        let [depth, height, width] = self.shape;
        let back = |at: usize, n: usize| if at == 0 { 0 } else { n - at };
        (back(z, depth) * height + back(y, height)) * width + back(x, width)
    }

    /// The transform, not scaled; with `inverse`, the one with the other sign.
    pub(super) fn transform(&mut self, inverse: bool) {
        // The transform of the other sign is the same one with real and imaginary parts exchanged.
        if inverse {
            std::mem::swap(&mut self.re, &mut self.im);
        }
        for axis in 0..3 {
            self.along(axis);
        }
        if inverse {
            std::mem::swap(&mut self.re, &mut self.im);
        }
    }

    fn along(&mut self, axis: usize) {
        let [depth, height, width] = self.shape;
        let n = self.shape[axis];
        if n == 1 {
            return;
        }
        let plan = Plan::new(n);
        let mut work = Work::new(n);
        // Lines begin at `outer * far + inner * near` and go on by `step`.
        let (outer, far, inner, near, step) = match axis {
            0 => (1, 0, height * width, 1, height * width),
            1 => (depth, height * width, width, 1, width),
            _ => (1, 0, depth * height, width, 1),
        };
        for block in 0..outer {
            for first in (0..inner).step_by(SIDE) {
                let count = SIDE.min(inner - first);
                let start = block * far + first * near;
                if near == 1 {
                    for k in 0..n {
                        let (from, to) = (start + k * step, k * SIDE);
                        work.re[to..to + count].copy_from_slice(&self.re[from..from + count]);
                        work.im[to..to + count].copy_from_slice(&self.im[from..from + count]);
                    }
                } else {
                    for line in 0..count {
                        let from = start + line * near;
                        scatter(&self.re[from..from + n], &mut work.re[line..]);
                        scatter(&self.im[from..from + n], &mut work.im[line..]);
                    }
                }
                plan.run(&mut work);
                if near == 1 {
                    for k in 0..n {
                        let (to, from) = (start + k * step, k * SIDE);
                        self.re[to..to + count].copy_from_slice(&work.re[from..from + count]);
                        self.im[to..to + count].copy_from_slice(&work.im[from..from + count]);
                    }
                } else {
                    for line in 0..count {
                        let to = start + line * near;
                        gather(&work.re[line..], &mut self.re[to..to + n]);
                        gather(&work.im[line..], &mut self.im[to..to + n]);
                    }
                }
            }
        }
    }
}

/// Writes a line among those beside it.
fn scatter(line: &[f32], out: &mut [f32]) {
    out.iter_mut().step_by(SIDE).zip(line).for_each(|(out, &value)| *out = value);
}

/// Reads a line from among those beside it.
fn gather(lines: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(lines.iter().step_by(SIDE)).for_each(|(out, &value)| *out = value);
}

/// Sixteen lines side by side, and room for the next step.
struct Work {
    re: Vec<f32>,
    im: Vec<f32>,
    next_re: Vec<f32>,
    next_im: Vec<f32>,
}

impl Work {
    fn new(n: usize) -> Self {
        let zeros = || vec![0f32; n * SIDE];
        Self { re: zeros(), im: zeros(), next_re: zeros(), next_im: zeros() }
    }
}

/// The steps of a transform of one length.
struct Plan {
    n: usize,
    factors: Vec<usize>,
    /// exp(-2 pi i k / n).
    turns: Vec<(f32, f32)>,
}

impl Plan {
    fn new(n: usize) -> Self {
        let mut factors = Vec::new();
        let mut rest = n;
        for factor in [4, 2, 3, 5] {
            while rest.is_multiple_of(factor) {
                factors.push(factor);
                rest /= factor;
            }
        }
        let turn = |k: usize| {
            let angle = -TAU * k as f64 / n as f64;
            (angle.cos() as f32, angle.sin() as f32)
        };
        Self { n, factors, turns: (0..n).map(turn).collect() }
    }

    fn run(&self, work: &mut Work) {
        let (mut rest, mut done) = (self.n, 1);
        for &radix in &self.factors {
            rest /= radix;
            match radix {
                2 => stage::<2>(work, &self.turns, rest, done),
                3 => stage::<3>(work, &self.turns, rest, done),
                4 => stage::<4>(work, &self.turns, rest, done),
                _ => stage::<5>(work, &self.turns, rest, done),
            }
            std::mem::swap(&mut work.re, &mut work.next_re);
            std::mem::swap(&mut work.im, &mut work.next_im);
            done *= radix;
        }
    }
}

/// One step: `rest` groups of `R`, each of `done` numbers.
fn stage<const R: usize>(work: &mut Work, turns: &[(f32, f32)], rest: usize, done: usize) {
    let n = turns.len();
    let width = done * SIDE;
    let roots: [(f32, f32); R] = std::array::from_fn(|k| {
        let angle = -TAU * k as f64 / R as f64;
        (angle.cos() as f32, angle.sin() as f32)
    });
    for group in 0..rest {
        let from: [usize; R] = std::array::from_fn(|q| width * (group + rest * q));
        let to = width * R * group;
        let turn: [(f32, f32); R] = std::array::from_fn(|p| turns[group * p * done % n]);
        let re: [&[f32]; R] = std::array::from_fn(|q| &work.re[from[q]..from[q] + width]);
        let im: [&[f32]; R] = std::array::from_fn(|q| &work.im[from[q]..from[q] + width]);
        let out_re = &mut work.next_re[to..to + width * R];
        let out_im = &mut work.next_im[to..to + width * R];
        match R {
            2 => two([re[0], re[1]], [im[0], im[1]], out_re, out_im, turn[1]),
            4 => four(
                [re[0], re[1], re[2], re[3]],
                [im[0], im[1], im[2], im[3]],
                out_re,
                out_im,
                [turn[1], turn[2], turn[3]],
            ),
            _ => many(re, im, out_re, out_im, turn, &roots),
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn two(re: [&[f32]; 2], im: [&[f32]; 2], out_re: &mut [f32], out_im: &mut [f32], (c, s): (f32, f32)) {
    let n = re[0].len();
    let ([ar, br], [ai, bi]) = (re.map(|part| &part[..n]), im.map(|part| &part[..n]));
    let ((pr, qr), (pi, qi)) = (out_re[..2 * n].split_at_mut(n), out_im[..2 * n].split_at_mut(n));
    for k in 0..n {
        (pr[k], pi[k]) = (ar[k] + br[k], ai[k] + bi[k]);
        let (dr, di) = (ar[k] - br[k], ai[k] - bi[k]);
        (qr[k], qi[k]) = (dr * c - di * s, dr * s + di * c);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn four(re: [&[f32]; 4], im: [&[f32]; 4], out_re: &mut [f32], out_im: &mut [f32], turn: [(f32, f32); 3]) {
    let n = re[0].len();
    let ([ar, br, cr, dr], [ai, bi, ci, di]) = (re.map(|part| &part[..n]), im.map(|part| &part[..n]));
    let (p0, rest) = out_re[..4 * n].split_at_mut(n);
    let (p1, rest) = rest.split_at_mut(n);
    let (p2, p3) = rest.split_at_mut(n);
    let (q0, rest) = out_im[..4 * n].split_at_mut(n);
    let (q1, rest) = rest.split_at_mut(n);
    let (q2, q3) = rest.split_at_mut(n);
    let [(c1, s1), (c2, s2), (c3, s3)] = turn;
    for k in 0..n {
        let (er, ei) = (ar[k] + cr[k], ai[k] + ci[k]);
        let (fr, fi) = (ar[k] - cr[k], ai[k] - ci[k]);
        let (gr, gi) = (br[k] + dr[k], bi[k] + di[k]);
        // -i (b - d)
        let (hr, hi) = (bi[k] - di[k], dr[k] - br[k]);
        (p0[k], q0[k]) = (er + gr, ei + gi);
        let (xr, xi) = (fr + hr, fi + hi);
        (p1[k], q1[k]) = (xr * c1 - xi * s1, xr * s1 + xi * c1);
        let (xr, xi) = (er - gr, ei - gi);
        (p2[k], q2[k]) = (xr * c2 - xi * s2, xr * s2 + xi * c2);
        let (xr, xi) = (fr - hr, fi - hi);
        (p3[k], q3[k]) = (xr * c3 - xi * s3, xr * s3 + xi * c3);
    }
}

/// By the definition: for 3 and 5.
fn many<const R: usize>(
    re: [&[f32]; R],
    im: [&[f32]; R],
    out_re: &mut [f32],
    out_im: &mut [f32],
    turn: [(f32, f32); R],
    roots: &[(f32, f32); R],
) {
    let n = re[0].len();
    for (p, &(c, s)) in turn.iter().enumerate() {
        let (out_re, out_im) = (&mut out_re[p * n..(p + 1) * n], &mut out_im[p * n..(p + 1) * n]);
        out_re.fill(0.0);
        out_im.fill(0.0);
        for q in 0..R {
            // The turn of this number of the group and that of the whole group in one.
            let (a, b) = roots[p * q % R];
            add_turned(re[q], im[q], (a * c - b * s, a * s + b * c), out_re, out_im);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add_turned(re: &[f32], im: &[f32], (c, s): (f32, f32), out_re: &mut [f32], out_im: &mut [f32]) {
    let n = re.len();
    let (im, out_re, out_im) = (&im[..n], &mut out_re[..n], &mut out_im[..n]);
    for k in 0..n {
        out_re[k] += re[k] * c - im[k] * s;
        out_im[k] += re[k] * s + im[k] * c;
    }
}

#[cfg(test)]
mod tests {
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
