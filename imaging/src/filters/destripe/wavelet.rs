//! The wavelet transform of a plane, one level and axis at a time, with mirrored borders.

use zensaibo_core::data::Grid;

/// An orthogonal wavelet by its scaling filter.
#[derive(Clone, Debug)]
pub(super) struct Wavelet {
    /// Low-pass filter of the reconstruction.
    low: Vec<f64>,
    /// High-pass filter of the reconstruction.
    high: Vec<f64>,
}

impl Wavelet {
    /// The Daubechies wavelet with `moments` vanishing moments and the least phase: Daubechies, Comm. Pure Appl. Math. 41,
    /// 909-996, 1988. Its filter is found from the roots of the polynomial there (sum of C(N-1+k, k) y^k) that lie inside the unit circle.
    pub(super) fn daubechies(moments: usize) -> Self {
        let n = moments;
        let mut coefficients = vec![1.0f64];
        for k in 1..n {
            coefficients.push(coefficients[k - 1] * (n - 1 + k) as f64 / k as f64);
        }
        // (1 + z)^N times (z - root) for each root: products of real polynomials, complex in between.
        let mut filter = vec![(1.0f64, 0.0f64)];
        let multiply = |filter: &mut Vec<(f64, f64)>, root: (f64, f64)| {
            filter.push((0.0, 0.0));
            for k in (0..filter.len()).rev() {
                let (re, im) = if k == 0 { (0.0, 0.0) } else { filter[k - 1] };
                let (a, b) = filter[k];
                filter[k] = (re - (a * root.0 - b * root.1), im - (a * root.1 + b * root.0));
            }
        };
        for _ in 0..n {
            multiply(&mut filter, (-1.0, 0.0));
        }
        for (re, im) in roots(&coefficients) {
            // y = (2 - z - 1/z) / 4, so z^2 + (4y - 2) z + 1 = 0; the root inside the circle.
            let (p, q) = (1.0 - 2.0 * re, -2.0 * im);
            let (s, t) = square_root((p * p - q * q - 1.0, 2.0 * p * q));
            let (inside, outside) = ((p - s, q - t), (p + s, q + t));
            let size = |z: (f64, f64)| z.0.hypot(z.1);
            multiply(&mut filter, if size(inside) < size(outside) { inside } else { outside });
        }
        let total: f64 = filter.iter().map(|c| c.0).sum();
        // Highest power first: the filter with its weight at the start.
        let low: Vec<f64> = filter.iter().rev().map(|c| c.0 / total * std::f64::consts::SQRT_2).collect();
        let high = (0..low.len()).map(|k| if k % 2 == 0 { 1.0 } else { -1.0 } * low[low.len() - 1 - k]).collect();
        Self { low, high }
    }

    /// Levels that a length allows: the coarsest still longer than the filter.
    pub(super) fn levels(&self, n: usize) -> usize {
        let least = self.low.len() - 1;
        if n < least { 0 } else { (n / least).ilog2() as usize }
    }

    /// Coefficients of a level along an axis of `n`.
    fn length(&self, n: usize) -> usize {
        (n + self.low.len() - 1) / 2
    }

    /// For coefficient `at` along an axis of `n`: the mirrored places of the samples that it is a sum of. The filters that analyse are those that
    /// reconstruct, reversed.
    fn places(&self, at: usize, n: usize) -> impl Iterator<Item = usize> + use<> {
        let (length, period) = (self.low.len() as isize, 2 * n as isize);
        (0..length).map(move |k| {
            let place = (2 * at as isize + 2 - length + k).rem_euclid(period);
            (if place < n as isize { place } else { period - 1 - place }) as usize
        })
    }

    /// Smooth and sharp halves along x.
    pub(super) fn forward_x(&self, image: &Grid<f32>) -> (Grid<f32>, Grid<f32>) {
        let [_, height, width] = image.shape;
        let shape = [1, height, self.length(width)];
        let (mut low, mut high) = (Grid::filled(shape, 0f32), Grid::filled(shape, 0f32));
        let places: Vec<Vec<usize>> = (0..shape[2]).map(|at| self.places(at, width).collect()).collect();
        for y in 0..height {
            let line = image.row(0, y);
            for (at, places) in places.iter().enumerate() {
                let (mut a, mut b) = (0.0, 0.0);
                for (k, &place) in places.iter().enumerate() {
                    a += self.low[k] * f64::from(line[place]);
                    b += self.high[k] * f64::from(line[place]);
                }
                low.row_mut(0, y)[at] = a as f32;
                high.row_mut(0, y)[at] = b as f32;
            }
        }
        (low, high)
    }

    /// Smooth and sharp halves along y.
    pub(super) fn forward_y(&self, image: &Grid<f32>) -> (Grid<f32>, Grid<f32>) {
        let [_, height, width] = image.shape;
        let shape = [1, self.length(height), width];
        let (mut low, mut high) = (Grid::filled(shape, 0f32), Grid::filled(shape, 0f32));
        let (mut a, mut b) = (vec![0f64; width], vec![0f64; width]);
        for at in 0..shape[1] {
            a.fill(0.0);
            b.fill(0.0);
            for (k, place) in self.places(at, height).enumerate() {
                let (p, q) = (self.low[k], self.high[k]);
                for ((&value, a), b) in image.row(0, place).iter().zip(&mut a).zip(&mut b) {
                    *a += p * f64::from(value);
                    *b += q * f64::from(value);
                }
            }
            low.row_mut(0, at).iter_mut().zip(&a).for_each(|(out, &sum)| *out = sum as f32);
            high.row_mut(0, at).iter_mut().zip(&b).for_each(|(out, &sum)| *out = sum as f32);
        }
        (low, high)
    }

    /// For sample `at`: the coefficients it is a sum of, and the taps that they are weighted by.
    fn taps(&self, at: usize, coefficients: usize) -> impl Iterator<Item = (usize, usize)> + use<> {
        let length = self.low.len();
        // Coefficient c reaches the samples 2c + 2 - length + k.
        (at / 2..coefficients).map_while(move |c| Some((c, (at + length).checked_sub(2 * c + 2)?)))
    }

    /// The lines that [`Wavelet::forward_x`] came from, `width` long.
    pub(super) fn backward_x(&self, low: &Grid<f32>, high: &Grid<f32>, width: usize) -> Grid<f32> {
        let mut out = Grid::filled([1, low.shape[1], width], 0f32);
        let taps: Vec<Vec<(usize, usize)>> = (0..width).map(|at| self.taps(at, low.shape[2]).collect()).collect();
        for y in 0..low.shape[1] {
            let (a, b) = (low.row(0, y), high.row(0, y));
            for (out, taps) in out.row_mut(0, y).iter_mut().zip(&taps) {
                let part = |&(c, k): &(usize, usize)| self.low[k] * f64::from(a[c]) + self.high[k] * f64::from(b[c]);
                *out = taps.iter().map(part).sum::<f64>() as f32;
            }
        }
        out
    }

    /// The lines that [`Wavelet::forward_y`] came from, `height` of them.
    pub(super) fn backward_y(&self, low: &Grid<f32>, high: &Grid<f32>, height: usize) -> Grid<f32> {
        let width = low.shape[2];
        let mut out = Grid::filled([1, height, width], 0f32);
        let mut sums = vec![0f64; width];
        for at in 0..height {
            sums.fill(0.0);
            for (c, k) in self.taps(at, low.shape[1]) {
                let (p, q) = (self.low[k], self.high[k]);
                for ((sum, &a), &b) in sums.iter_mut().zip(low.row(0, c)).zip(high.row(0, c)) {
                    *sum += p * f64::from(a) + q * f64::from(b);
                }
            }
            out.row_mut(0, at).iter_mut().zip(&sums).for_each(|(out, &sum)| *out = sum as f32);
        }
        out
    }
}

/// All roots of a polynomial, lowest power first, at once (Weierstrass, Durand, Kerner).
fn roots(coefficients: &[f64]) -> Vec<(f64, f64)> {
    let degree = coefficients.len() - 1;
    let lead = coefficients[degree];
    let multiply = |a: (f64, f64), b: (f64, f64)| (a.0 * b.0 - a.1 * b.1, a.0 * b.1 + a.1 * b.0);
    // All roots have about this size.
    let size = (coefficients[0] / lead).abs().powf(1.0 / degree.max(1) as f64);
    let mut roots: Vec<(f64, f64)> = (0..degree)
        .map(|k| {
            let angle = 0.4 + std::f64::consts::TAU * k as f64 / degree as f64;
            (size * angle.cos(), size * angle.sin())
        })
        .collect();
    for _ in 0..500 {
        let mut moved = 0.0f64;
        for i in 0..degree {
            let value = coefficients.iter().rev().fold((0.0, 0.0), |sum, &c| {
                let (re, im) = multiply(sum, roots[i]);
                (re + c / lead, im)
            });
            let others = (0..degree)
                .filter(|&j| j != i)
                .fold((1.0, 0.0), |product, j| multiply(product, (roots[i].0 - roots[j].0, roots[i].1 - roots[j].1)));
            let norm = others.0.powi(2) + others.1.powi(2);
            let step = multiply(value, (others.0 / norm, -others.1 / norm));
            roots[i] = (roots[i].0 - step.0, roots[i].1 - step.1);
            moved = moved.max(step.0.hypot(step.1));
        }
        if moved < 1e-15 * size {
            break;
        }
    }
    roots
}

fn square_root((re, im): (f64, f64)) -> (f64, f64) {
    let size = re.hypot(im);
    let (p, q) = (((size + re) / 2.0).max(0.0).sqrt(), ((size - re) / 2.0).max(0.0).sqrt());
    (p, if im < 0.0 { -q } else { q })
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn filters_are_the_published_ones() {
        // Daubechies 1988, table 1 (N = 2, 3).
        let two = Wavelet::daubechies(2).low;
        let r = 3f64.sqrt();
        let expected = [1.0 + r, 3.0 + r, 3.0 - r, 1.0 - r].map(|c| c / (4.0 * 2f64.sqrt()));
        assert!(two.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{two:?}");
        let three = Wavelet::daubechies(3).low;
        let expected =
            [0.332670552950, 0.806891509311, 0.459877502118, -0.135011020010, -0.085441273882, 0.035226291882];
        assert!(three.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-10), "{three:?}");
    }

    #[test]
    fn filters_are_orthogonal_and_blind_to_polynomials() {
        for moments in 1..=10 {
            let Wavelet { low, high } = Wavelet::daubechies(moments);
            for shift in (0..low.len()).step_by(2) {
                let product: f64 = low.iter().zip(&low[shift..]).map(|(a, b)| a * b).sum();
                assert!((product - f64::from(u8::from(shift == 0))).abs() < 1e-8, "{moments} {shift} {product}");
            }
            for power in 0..moments as i32 {
                let moment: f64 =
                    high.iter().enumerate().map(|(k, h)| h * (k as f64 / low.len() as f64).powi(power)).sum();
                assert!(moment.abs() < 1e-7, "{moments} {power} {moment}");
            }
        }
    }

    #[test]
    fn backward_undoes_forward() {
        let mut random = Stream::new(2, 0);
        for moments in [1, 2, 3, 7, 10] {
            let wavelet = Wavelet::daubechies(moments);
            for shape in [[1, 25, 40], [1, 38, 21], [1, 64, 19]] {
                let data = (0..shape[1] * shape[2]).map(|_| random.uniform() as f32).collect();
                let image = Grid { shape, data };
                let (low, high) = wavelet.forward_x(&image);
                let x = wavelet.backward_x(&low, &high, shape[2]);
                let (low, high) = wavelet.forward_y(&image);
                let y = wavelet.backward_y(&low, &high, shape[1]);
                for back in [x, y] {
                    assert!(
                        back.data.iter().zip(&image.data).all(|(a, b)| (a - b).abs() < 2e-6),
                        "{moments} {shape:?}"
                    );
                }
            }
        }
    }
}
