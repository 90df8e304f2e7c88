//! Images as sums of cosines.

/// Coefficients of an image of `size` in the orthonormal cosines of half-sample symmetry (DCT-II).
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cosines {
    pub(super) size: [usize; 2],
    pub(super) coefficients: Vec<f64>,
}

/// The cosines of images of one size.
pub(super) struct Basis {
    size: [usize; 2],
    /// Frequency by place, for y and for x.
    waves: [Vec<f64>; 2],
}

/// Value of the cosine of frequency `k` at a place, which may lie between those of `0..n`.
fn wave(k: usize, place: f64, n: usize) -> f64 {
    let scale = if k == 0 { (1.0 / n as f64).sqrt() } else { (2.0 / n as f64).sqrt() };
    scale * (std::f64::consts::PI * k as f64 * (place + 0.5) / n as f64).cos()
}

impl Basis {
    pub(super) fn new(size: [usize; 2]) -> Self {
        let waves = size.map(|n| (0..n * n).map(|i| wave(i / n, (i % n) as f64, n)).collect());
        Self { size, waves }
    }

    /// The coefficients of an image.
    pub(super) fn forward(&self, image: &[f64]) -> Cosines {
        let [height, width] = self.size;
        // Along x, then along y; sums run in one order whoever computes them.
        let mut lines = vec![0f64; height * width];
        for (line, out) in image.chunks_exact(width).zip(lines.chunks_exact_mut(width)) {
            for (k, out) in out.iter_mut().enumerate() {
                *out = line.iter().zip(&self.waves[1][k * width..]).map(|(a, b)| a * b).sum();
            }
        }
        let mut coefficients = vec![0f64; height * width];
        for (k, out) in coefficients.chunks_exact_mut(width).enumerate() {
            for (y, line) in lines.chunks_exact(width).enumerate() {
                let weight = self.waves[0][k * height + y];
                out.iter_mut().zip(line).for_each(|(out, value)| *out += weight * value);
            }
        }
        Cosines { size: self.size, coefficients }
    }
}

impl Cosines {
    /// No light at all.
    pub(super) fn zero(size: [usize; 2]) -> Self {
        Self { size, coefficients: vec![0.0; size[0] * size[1]] }
    }

    /// The image at `size` places along y and x over the same extent.
    pub(super) fn at(&self, size: [usize; 2]) -> Vec<f64> {
        let [height, width] = self.size;
        let waves = |axis: usize, k: usize| -> Vec<f64> {
            let ratio = self.size[axis] as f64 / size[axis] as f64;
            (0..size[axis]).map(|at| wave(k, (at as f64 + 0.5) * ratio - 0.5, self.size[axis])).collect()
        };
        let along_x: Vec<Vec<f64>> = (0..width).map(|k| waves(1, k)).collect();
        let mut out = vec![0f64; size[0] * size[1]];
        for k in 0..height {
            let row = &self.coefficients[k * width..(k + 1) * width];
            if row.iter().all(|&value| value == 0.0) {
                continue;
            }
            let mut line = vec![0f64; size[1]];
            for (&value, wave) in row.iter().zip(&along_x).filter(|(value, _)| **value != 0.0) {
                line.iter_mut().zip(wave).for_each(|(out, wave)| *out += value * wave);
            }
            for (out, weight) in out.chunks_exact_mut(size[1]).zip(waves(0, k)) {
                out.iter_mut().zip(&line).for_each(|(out, value)| *out += weight * value);
            }
        }
        out
    }

    /// Multiplies all of it.
    pub(super) fn scaled(&self, factor: f64) -> Self {
        Self { size: self.size, coefficients: self.coefficients.iter().map(|value| value * factor).collect() }
    }

    /// The mean of the image.
    pub(super) fn mean(&self) -> f64 {
        self.coefficients[0] / ((self.size[0] * self.size[1]) as f64).sqrt()
    }
}
