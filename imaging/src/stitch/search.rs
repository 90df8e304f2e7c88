//! Correlation of two parts of tiles at every whole shift, over the voxels that both hold and that are tissue.
//!
//! With m the masks, a and b the images, the sums over what overlaps at a shift are correlations of m, am and a^2 m with
//! their like (Padfield 2012, IEEE Trans. Image Processing 21, 2706): three transforms there, three back.

use zensaibo_core::data::Grid;

use super::fft::{Spectrum, good_length};

/// Values and where they count, of one tile.
pub(super) struct Side<'a> {
    pub(super) values: &'a Grid<f32>,
    pub(super) mask: &'a Grid<f32>,
}

/// The best shift of a search.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Peak {
    /// Voxel u of the first is voxel u - lag of the second.
    pub(super) lag: [isize; 3],
    pub(super) correlation: f64,
    /// Voxels that count in both.
    pub(super) voxels: f64,
    /// Correlation of the best other place, if there is one.
    pub(super) rival: Option<f64>,
    /// Whether it lies at the end of the lags that were tried.
    pub(super) at_border: bool,
}

/// The best of the lags from `low` to `high`, both included; nothing where no lag has `least` voxels.
pub(super) fn best_lag(a: &Side<'_>, b: &Side<'_>, low: [isize; 3], high: [isize; 3], least: usize) -> Option<Peak> {
    if (0..3).any(|axis| high[axis] < low[axis]) || a.values.is_empty() || b.values.is_empty() {
        return None;
    }
    // Long enough that no lag of the window meets another one that is not 0.
    let shape: [usize; 3] = std::array::from_fn(|axis| {
        let (n_a, n_b) = (a.values.shape[axis] as isize, b.values.shape[axis] as isize);
        good_length((n_a.max(n_b)).max(n_a + (-low[axis]).max(0)).max(n_b + high[axis].max(0)) as usize)
    });
    let sums = correlations(a, b, shape);
    let size: [usize; 3] = std::array::from_fn(|axis| (high[axis] - low[axis] + 1) as usize);
    let mut scores = Grid::filled(size, [f64::NEG_INFINITY, 0.0, 0.0]);
    let at = |lag: isize, axis: usize| lag.rem_euclid(shape[axis] as isize) as usize;
    let mut most = 0f64;
    for z in 0..size[0] {
        for y in 0..size[1] {
            let line = (at(low[0] + z as isize, 0) * shape[1] + at(low[1] + y as isize, 1)) * shape[2];
            for x in 0..size[2] {
                let place = line + at(low[2] + x as isize, 2);
                let count = f64::from(sums[0].re[place]);
                if count + 0.5 < least as f64 {
                    continue;
                }
                let [ab, sum_a, sum_b, aa, bb] =
                    [sums[0].im[place], sums[1].re[place], sums[1].im[place], sums[2].re[place], sums[2].im[place]]
                        .map(f64::from);
                let cov = ab - sum_a * sum_b / count;
                let (v_a, v_b) = (aa - sum_a * sum_a / count, bb - sum_b * sum_b / count);
                let floor = 1e-7 * count;
                if v_a > floor && v_b > floor {
                    let r = (cov / (v_a * v_b).sqrt()).clamp(-0.999, 0.999);
                    let index = scores.index(z, y, x);
                    // In units of its own error: little in common may correlate by chance.
                    scores.data[index] = [r.atanh() * count.sqrt(), r, count];
                    most = most.max(count);
                }
            }
        }
    }
    let score = |at: usize| scores.data[at][0];
    let best = (0..scores.len()).fold(0, |best, at| if score(at) > score(best) { at } else { best });
    if score(best) == f64::NEG_INFINITY {
        return None;
    }
    let place = |at: usize| [at / (size[1] * size[2]), at / size[2] % size[1], at % size[2]];
    let found = place(best);
    let mut rival: Option<f64> = None;
    for at in 0..scores.len() {
        let here = place(at);
        let near = (0..3).all(|axis| here[axis].abs_diff(found[axis]) <= 2);
        if near || score(at) < 0.5 * score(best) || rival.is_some_and(|rival| scores.data[at][1] <= rival) {
            continue;
        }
        let range = |axis: usize| here[axis].saturating_sub(1)..(here[axis] + 2).min(size[axis]);
        let top = range(0).all(|z| range(1).all(|y| range(2).all(|x| score(scores.index(z, y, x)) <= score(at))));
        if top {
            rival = Some(scores.data[at][1]);
        }
    }
    Some(Peak {
        lag: std::array::from_fn(|axis| low[axis] + found[axis] as isize),
        correlation: scores.data[best][1],
        voxels: scores.data[best][2].round(),
        rival,
        at_border: (0..3).any(|axis| size[axis] > 1 && (found[axis] == 0 || found[axis] + 1 == size[axis])),
    })
}

/// N + i sum ab, sum a + i sum b, sum aa + i sum bb over what counts in both, at every lag.
fn correlations(a: &Side<'_>, b: &Side<'_>, shape: [usize; 3]) -> [Spectrum; 3] {
    let packed = |value: fn(f32, f32) -> f32| {
        let mut out = Spectrum::zeros(shape);
        let paste = |side: &Side<'_>, out: &mut [f32]| {
            let [depth, height, width] = side.values.shape;
            for z in 0..depth {
                for y in 0..height {
                    let from = (z * shape[1] + y) * shape[2];
                    let line = out[from..from + width].iter_mut();
                    let voxels = side.values.row(z, y).iter().zip(side.mask.row(z, y));
                    line.zip(voxels).for_each(|(out, (&voxel, &mask))| *out = value(voxel, mask));
                }
            }
        };
        paste(a, &mut out.re);
        paste(b, &mut out.im);
        out.transform(false);
        out
    };
    let mut masks = packed(|_, mask| mask);
    let mut values = packed(|voxel, mask| voxel * mask);
    let mut squares = packed(|voxel, mask| voxel * voxel * mask);
    let scale = 1.0 / shape.iter().product::<usize>() as f32;
    for z in 0..shape[0] {
        for y in 0..shape[1] {
            for x in 0..shape[2] {
                let here = (z * shape[1] + y) * shape[2] + x;
                let back = masks.opposite(z, y, x);
                if back < here {
                    continue;
                }
                let (mask_a, mask_b) = parted(&masks, here, back);
                let (value_a, value_b) = parted(&values, here, back);
                let (square_a, square_b) = parted(&squares, here, back);
                pack(&mut masks, here, back, times(mask_a, mask_b), times(value_a, value_b), scale);
                pack(&mut values, here, back, times(value_a, mask_b), times(mask_a, value_b), scale);
                pack(&mut squares, here, back, times(square_a, mask_b), times(mask_a, square_b), scale);
            }
        }
    }
    for spectrum in [&mut masks, &mut values, &mut squares] {
        spectrum.transform(true);
    }
    [masks, values, squares]
}

type Complex = (f32, f32);

/// The transforms of the real and of the imaginary part, at a frequency.
#[inline]
fn parted(spectrum: &Spectrum, here: usize, back: usize) -> (Complex, Complex) {
    let (r, i, s, j) = (spectrum.re[here], spectrum.im[here], spectrum.re[back], spectrum.im[back]);
    ((0.5 * (r + s), 0.5 * (i - j)), (0.5 * (i + j), 0.5 * (s - r)))
}

/// a times the conjugate of b.
#[inline]
fn times(a: Complex, b: Complex) -> Complex {
    (a.0 * b.0 + a.1 * b.1, a.1 * b.0 - a.0 * b.1)
}

/// The transform of p + i q where p and q are real, from theirs at a frequency.
#[inline]
fn pack(spectrum: &mut Spectrum, here: usize, back: usize, p: Complex, q: Complex, scale: f32) {
    (spectrum.re[here], spectrum.im[here]) = (scale * (p.0 - q.1), scale * (p.1 + q.0));
    (spectrum.re[back], spectrum.im[back]) = (scale * (p.0 + q.1), scale * (q.0 - p.1));
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn sums_are_those_of_the_definition() {
        let mut random = Stream::new(5, 0);
        let mut grid = |shape: [usize; 3], mask: bool| Grid {
            shape,
            data: (0..shape.iter().product())
                .map(|_| if mask { f32::from(u8::from(random.uniform() < 0.7)) } else { random.normal() as f32 })
                .collect(),
        };
        let (values_a, mask_a) = (grid([4, 7, 9], false), grid([4, 7, 9], true));
        let (values_b, mask_b) = (grid([5, 6, 8], false), grid([5, 6, 8], true));
        let a = Side { values: &values_a, mask: &mask_a };
        let b = Side { values: &values_b, mask: &mask_b };
        let shape = [8, 12, 16];
        let sums = correlations(&a, &b, shape);
        for lag in [[0isize, 0, 0], [1, -2, 3], [-3, 4, -2], [2, 2, 5]] {
            let mut found = [0f64; 6];
            for z in 0..4isize {
                for y in 0..7isize {
                    for x in 0..9isize {
                        let v = [z - lag[0], y - lag[1], x - lag[2]];
                        if (0..3).all(|axis| (0..[5, 6, 8][axis]).contains(&v[axis])) {
                            let [p, q] = [[z, y, x], v].map(|at| at.map(|n| n as usize));
                            let w = f64::from(mask_a.at(p[0], p[1], p[2]) * mask_b.at(q[0], q[1], q[2]));
                            let i = f64::from(values_a.at(p[0], p[1], p[2]));
                            let j = f64::from(values_b.at(q[0], q[1], q[2]));
                            for (sum, term) in found.iter_mut().zip([1.0, i * j, i, j, i * i, j * j]) {
                                *sum += w * term;
                            }
                        }
                    }
                }
            }
            let at: [usize; 3] = std::array::from_fn(|axis| lag[axis].rem_euclid(shape[axis] as isize) as usize);
            let place = (at[0] * shape[1] + at[1]) * shape[2] + at[2];
            let packed = [
                sums[0].re[place],
                sums[0].im[place],
                sums[1].re[place],
                sums[1].im[place],
                sums[2].re[place],
                sums[2].im[place],
            ];
            for (found, packed) in found.iter().zip(packed) {
                assert!((found - f64::from(packed)).abs() < 1e-3, "{lag:?}: {found} {packed}");
            }
        }
    }

    #[test]
    fn the_planted_lag_is_found_under_masks_and_at_the_border_it_is_said() {
        let mut random = Stream::new(6, 0);
        let shape = [8, 30, 40];
        let a = Grid { shape, data: (0..9600).map(|_| random.normal() as f32).collect() };
        let lag = [1isize, -4, 6];
        let mut b = Grid { shape, data: (0..9600).map(|_| random.normal() as f32).collect() };
        for z in 0..8isize {
            for y in 0..30isize {
                for x in 0..40isize {
                    let from = [z + lag[0], y + lag[1], x + lag[2]];
                    if (0..3).all(|axis| (0..shape[axis] as isize).contains(&from[axis])) {
                        let at = b.index(z as usize, y as usize, x as usize);
                        b.data[at] = 2.0 * a.at(from[0] as usize, from[1] as usize, from[2] as usize)
                            + 0.5 * random.normal() as f32;
                    }
                }
            }
        }
        let mut mask = Grid::filled(shape, 1f32);
        mask.data.iter_mut().step_by(3).for_each(|value| *value = 0.0);
        let ones = Grid::filled(shape, 1f32);
        let (a, b) = (Side { values: &a, mask: &mask }, Side { values: &b, mask: &ones });
        let peak = best_lag(&a, &b, [-3, -10, -10], [3, 10, 10], 500).unwrap();
        assert_eq!((peak.lag, peak.at_border), (lag, false));
        assert!(peak.correlation > 0.9 && peak.rival.is_none_or(|rival| rival < 0.2), "{peak:?}");
        let peak = best_lag(&a, &b, [-3, -4, -10], [3, 10, 10], 500).unwrap();
        assert!(peak.lag == lag && peak.at_border);
        assert!(best_lag(&a, &b, [-3, -4, -10], [3, 10, 10], 9000).is_none());
    }
}
