//! How alike two images on one grid are as a whole, and how that changes with the voxels of the second.

use rayon::prelude::*;
use zensaibo_core::data::Grid;

/// Bins of each image in mutual information.
const BINS: usize = 32;

/// A measure of likeness; larger is more alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Similarity {
    /// Correlation of all voxels: images whose brightness rises together.
    Correlation,
    /// Mutual information (Mattes and others 2003, IEEE Trans. Medical Imaging 22, 120): images of any relation.
    MutualInformation,
}

/// Its value; with `by`, its derivative by every voxel of `b`. NaN in `b` and weights of 0 do not count.
pub(super) fn similarity(
    kind: Similarity,
    a: &Grid<f32>,
    b: &Grid<f32>,
    weight: Option<&[f32]>,
    by: Option<&mut [f32]>,
) -> f64 {
    let counts = |at: usize| match weight {
        _ if b.data[at].is_nan() => 0.0,
        Some(weight) => weight[at],
        None => 1.0,
    };
    match kind {
        Similarity::Correlation => correlation(a, b, counts, by),
        Similarity::MutualInformation => mutual_information(a, b, counts, by),
    }
}

/// Sums over planes, added in order.
fn sums<const N: usize>(shape: [usize; 3], voxel: impl Fn(usize, &mut [f64; N]) + Sync) -> [f64; N] {
    let plane = shape[1] * shape[2];
    let parts: Vec<[f64; N]> = (0..shape[0])
        .into_par_iter()
        .map(|z| {
            let mut sum = [0f64; N];
            (z * plane..(z + 1) * plane).for_each(|at| voxel(at, &mut sum));
            sum
        })
        .collect();
    parts.iter().fold([0.0; N], |sum, part| std::array::from_fn(|at| sum[at] + part[at]))
}

fn correlation(a: &Grid<f32>, b: &Grid<f32>, counts: impl Fn(usize) -> f32 + Sync, by: Option<&mut [f32]>) -> f64 {
    let (voxels_a, voxels_b) = (&a.data, &b.data);
    let [n, sum_a, sum_b, sum_aa, sum_bb, sum_ab] = sums(a.shape, |at, sum: &mut [f64; 6]| {
        let weight = f64::from(counts(at));
        if weight > 0.0 {
            let (a, b) = (f64::from(voxels_a[at]), f64::from(voxels_b[at]));
            let parts = [1.0, a, b, a * a, b * b, a * b];
            sum.iter_mut().zip(parts).for_each(|(sum, part)| *sum += weight * part);
        }
    });
    let (mean_a, mean_b) = (sum_a / n.max(1.0), sum_b / n.max(1.0));
    let (v_a, v_b) = (sum_aa - mean_a * sum_a, sum_bb - mean_b * sum_b);
    let scale = (v_a * v_b).sqrt();
    if !(scale > 1e-12 * (sum_aa * sum_bb).sqrt()) {
        if let Some(by) = by {
            by.fill(0.0);
        }
        return 0.0;
    }
    let value = (sum_ab - mean_a * sum_b) / scale;
    if let Some(by) = by {
        by.par_iter_mut().enumerate().with_min_len(1 << 14).for_each(|(at, by)| {
            let weight = f64::from(counts(at));
            *by = if weight > 0.0 {
                let (a, b) = (f64::from(voxels_a[at]) - mean_a, f64::from(voxels_b[at]) - mean_b);
                (weight * (a / scale - value * b / v_b)) as f32
            } else {
                0.0
            };
        });
    }
    value
}

/// Cubic B-spline weights of four neighbouring bins, and their derivatives, at the share `t` between the inner two.
fn spline(t: f64) -> ([f64; 4], [f64; 4]) {
    let s = 1.0 - t;
    let values =
        [s * s * s / 6.0, 2.0 / 3.0 - t * t * (2.0 - t) / 2.0, 2.0 / 3.0 - s * s * (2.0 - s) / 2.0, t * t * t / 6.0];
    let slopes = [-s * s / 2.0, -2.0 * t + 1.5 * t * t, 2.0 * s - 1.5 * s * s, t * t / 2.0];
    (values, slopes)
}

fn mutual_information(
    a: &Grid<f32>,
    b: &Grid<f32>,
    counts: impl Fn(usize) -> f32 + Sync,
    by: Option<&mut [f32]>,
) -> f64 {
    let plane = a.shape[1] * a.shape[2];
    let (voxels_a, voxels_b) = (&a.data, &b.data);
    let range = |voxels: &[f32]| {
        let parts: Vec<(f32, f32)> = voxels
            .par_chunks(1 << 16)
            .map(|part| {
                let finite = part.iter().filter(|value| value.is_finite());
                finite.fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), &v| (low.min(v), high.max(v)))
            })
            .collect();
        let (low, high) = parts
            .iter()
            .fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), part| (low.min(part.0), high.max(part.1)));
        (f64::from(low), if high > low { f64::from(high - low) } else { 1.0 })
    };
    let ((low_a, span_a), (low_b, span_b)) = (range(voxels_a), range(voxels_b));
    let bin_a = |at: usize| (((f64::from(voxels_a[at]) - low_a) / span_a * BINS as f64) as usize).min(BINS - 1);
    // The outer bins of b take the ends of the spline.
    let stretch = (BINS - 4) as f64 / span_b;
    let bin_b = |at: usize| {
        let place = 1.0 + (f64::from(voxels_b[at]) - low_b) * stretch;
        let bin = (place as usize).clamp(1, BINS - 3);
        (bin - 1, place - bin as f64)
    };
    let parts: Vec<Vec<f64>> = (0..a.shape[0])
        .into_par_iter()
        .map(|z| {
            let mut joint = vec![0f64; BINS * BINS];
            for at in z * plane..(z + 1) * plane {
                let weight = f64::from(counts(at));
                if weight > 0.0 {
                    let (first, share) = bin_b(at);
                    let row = &mut joint[bin_a(at) * BINS + first..][..4];
                    row.iter_mut().zip(spline(share).0).for_each(|(sum, value)| *sum += weight * value);
                }
            }
            joint
        })
        .collect();
    let mut joint = vec![0f64; BINS * BINS];
    for part in &parts {
        joint.iter_mut().zip(part).for_each(|(sum, part)| *sum += part);
    }
    let total: f64 = joint.iter().sum();
    if total <= 0.0 {
        if let Some(by) = by {
            by.fill(0.0);
        }
        return 0.0;
    }
    joint.iter_mut().for_each(|value| *value /= total);
    let of_a: Vec<f64> = joint.chunks_exact(BINS).map(|row| row.iter().sum()).collect();
    let of_b: Vec<f64> = (0..BINS).map(|at| joint.iter().skip(at).step_by(BINS).sum()).collect();
    let mut value = 0.0;
    let mut logs = vec![0f64; BINS * BINS];
    for (at, &p) in joint.iter().enumerate() {
        if p > 1e-12 {
            value += p * (p / (of_a[at / BINS] * of_b[at % BINS])).ln();
            logs[at] = (p / of_b[at % BINS]).ln();
        } else {
            logs[at] = 1e-12f64.ln();
        }
    }
    if let Some(by) = by {
        by.par_iter_mut().enumerate().with_min_len(1 << 14).for_each(|(at, by)| {
            let weight = f64::from(counts(at));
            *by = if weight > 0.0 {
                let (first, share) = bin_b(at);
                let row = &logs[bin_a(at) * BINS + first..][..4];
                let slope: f64 = row.iter().zip(spline(share).1).map(|(log, slope)| log * slope).sum();
                (weight * slope * stretch / total) as f32
            } else {
                0.0
            };
        });
    }
    value
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    #[test]
    fn derivatives_are_those_of_the_value() {
        let shape = [6, 10, 12];
        let mut random = Stream::new(1, 0);
        let a = Grid { shape, data: (0..720).map(|_| random.normal() as f32).collect() };
        let mut b = Grid { shape, data: a.data.iter().map(|a| (a * a) + 0.3 * random.normal() as f32).collect() };
        b.data[17] = f32::NAN;
        let weight: Vec<f32> = (0..720).map(|at| if at % 5 == 0 { 0.5 } else { 1.0 }).collect();
        for kind in [Similarity::Correlation, Similarity::MutualInformation] {
            let mut by = vec![9f32; 720];
            let value = |b: &Grid<f32>| similarity(kind, &a, b, Some(&weight), None);
            assert_eq!(similarity(kind, &a, &b, Some(&weight), Some(&mut by)), value(&b));
            assert_eq!(by[17], 0.0);
            // Not the largest or smallest: those set the range of the bins.
            for at in [3, 40, 333, 600] {
                let (mut more, mut less) = (b.clone(), b.clone());
                more.data[at] += 0.01;
                less.data[at] -= 0.01;
                let slope = (value(&more) - value(&less)) / 0.02;
                assert!((slope - f64::from(by[at])).abs() < 2e-5, "{kind:?} {at}: {slope} {}", by[at]);
            }
        }
        // A relation that is not linear: only mutual information sees it.
        assert!(similarity(Similarity::Correlation, &a, &b, None, None).abs() < 0.15);
        assert!(similarity(Similarity::MutualInformation, &a, &b, None, None) > 0.5);
        let same = Grid::filled(shape, 1f32);
        for kind in [Similarity::Correlation, Similarity::MutualInformation] {
            assert!(similarity(kind, &a, &same, None, None).abs() < 1e-9);
        }
    }
}
