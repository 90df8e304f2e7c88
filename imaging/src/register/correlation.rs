//! Squared correlation of two images in a window around every voxel, and how it changes with their voxels.
//!
//! With sums over the window of a voxel, cov = sum (a - mean a)(b - mean b) and v = sum (a - mean a)^2, the similarity is
//! the mean over all voxels of M = cov^2 / (v_a v_b). It rises with a and with contrast of either sign, and does not see
//! brightness that changes slowly. Its derivative by every voxel of a and b takes two rounds of window sums and is exact
//! (Avants, Epstein, Grossman, Gee 2008, Medical Image Analysis 12, 26, keep the term of the voxel itself only).
//!
//! Every sum is taken over the window anew, in one order, so that cuts into slabs change no bit.

use std::ops::Range;

use multiversion::multiversion;
use rayon::prelude::*;
use zensaibo_core::data::Grid;

/// Planes of a slab.
const SLAB: usize = 16;
/// Added to the variance in a window, as a share of that of the whole image (1): flat regions count little.
const FLOOR: f32 = 1e-4;
/// Voxels that a window needs.
const FEWEST: f32 = 8.0;

/// Numbers of the first round per voxel: weight, a, b, a a, b b, a b.
const SUMS: usize = 6;
/// Numbers of the second round per voxel.
const FACTORS: usize = 5;

/// Two images on one grid, each of mean 0 and variance 1 overall, and where they count.
pub(super) struct Pair<'a> {
    pub(super) a: &'a Grid<f32>,
    pub(super) b: &'a Grid<f32>,
    /// Weight of each voxel, 0 to 1; absent: 1.
    pub(super) weight: Option<&'a [f32]>,
}

/// Mean of M over the voxels with a weight above 0; with `by`, the derivatives of its sum by the voxels of a and of b.
pub(super) fn local_correlation(pair: &Pair<'_>, radius: [usize; 3], by: Option<(&mut [f32], &mut [f32])>) -> f64 {
    let [depth, height, width] = pair.a.shape;
    let plane = height * width;
    let slabs: Vec<Range<usize>> = (0..depth).step_by(SLAB).map(|z| z..(z + SLAB).min(depth)).collect();
    let parts: Vec<(f64, f64)> = match by {
        None => slabs.par_iter().map(|slab| slab_of(pair, radius, slab.clone(), None)).collect(),
        Some((by_a, by_b)) => slabs
            .par_iter()
            .zip(by_a.par_chunks_mut(SLAB * plane).zip(by_b.par_chunks_mut(SLAB * plane)))
            .map(|(slab, by)| slab_of(pair, radius, slab.clone(), Some(by)))
            .collect(),
    };
    let (sum, count) = parts.iter().fold((0.0, 0.0), |(sum, count), part| (sum + part.0, count + part.1));
    if count > 0.0 { sum / count } else { 0.0 }
}

/// M of every voxel; NaN where it does not count.
pub(super) fn correlation_map(pair: &Pair<'_>, radius: [usize; 3]) -> Vec<f32> {
    let [depth, height, width] = pair.a.shape;
    let plane = height * width;
    let mut out = vec![f32::NAN; depth * plane];
    let ones = vec![1f32; width];
    let weights = |z: usize, y: usize| {
        pair.weight.map_or(&ones[..], |weight| &weight[(z * height + y) * width..(z * height + y + 1) * width])
    };
    out.par_chunks_mut(SLAB * plane).enumerate().for_each(|(slab, out)| {
        let planes = slab * SLAB..(slab * SLAB + SLAB).min(depth);
        let sums = window_sums::<SUMS>(pair.a.shape, radius, planes.clone(), |z, y, out| {
            products(weights(z, y), pair.a.row(z, y), pair.b.row(z, y), out);
        });
        for (at, row) in out.chunks_exact_mut(width).enumerate() {
            let weight = weights(planes.start + at / height, at % height);
            let sums = &sums[at * SUMS * width..(at + 1) * SUMS * width];
            for x in (0..width).filter(|&x| weight[x] > 0.0) {
                if let Some([cov, v_a, v_b, ..]) = moments(sums, width, x) {
                    row[x] = cov * cov / (v_a * v_b);
                }
            }
        }
    });
    out
}

/// Sum of M and number of voxels in a slab.
fn slab_of(
    pair: &Pair<'_>,
    radius: [usize; 3],
    slab: Range<usize>,
    by: Option<(&mut [f32], &mut [f32])>,
) -> (f64, f64) {
    let [depth, height, width] = pair.a.shape;
    let row_of = |z: usize, y: usize| (z * height + y) * width..(z * height + y + 1) * width;
    let ones = vec![1f32; width];
    let weights = |z: usize, y: usize| pair.weight.map_or(&ones[..], |weight| &weight[row_of(z, y)]);
    let around = match by {
        Some(_) => slab.start.saturating_sub(radius[0])..(slab.end + radius[0]).min(depth),
        None => slab.clone(),
    };
    let sums = window_sums::<SUMS>(pair.a.shape, radius, around.clone(), |z, y, out| {
        products(weights(z, y), pair.a.row(z, y), pair.b.row(z, y), out);
    });
    let line = |stored: &Range<usize>, z: usize, y: usize, n: usize| {
        let from = ((z - stored.start) * height + y) * n * width;
        from..from + n * width
    };
    let (mut sum, mut count) = (0f64, 0f64);
    for z in slab.clone() {
        for y in 0..height {
            let (row_sum, row_count) = row_value(&sums[line(&around, z, y, SUMS)], weights(z, y));
            sum += row_sum;
            count += row_count;
        }
    }
    if let Some((by_a, by_b)) = by {
        let factors = window_sums::<FACTORS>(pair.a.shape, radius, slab.clone(), |z, y, out| {
            row_factors(&sums[line(&around, z, y, SUMS)], weights(z, y), out);
        });
        for z in slab.clone() {
            for y in 0..height {
                let to = ((z - slab.start) * height + y) * width;
                row_forces(
                    &factors[line(&slab, z, y, FACTORS)],
                    [weights(z, y), pair.a.row(z, y), pair.b.row(z, y)],
                    &mut by_a[to..to + width],
                    &mut by_b[to..to + width],
                );
            }
        }
    }
    (sum, count)
}

/// Sums over the window of every voxel of some planes. `make` writes the `N` numbers of each voxel of a row: first the
/// first of all voxels, then the second, and so on; so does the result.
fn window_sums<const N: usize>(
    shape: [usize; 3],
    radius: [usize; 3],
    planes: Range<usize>,
    mut make: impl FnMut(usize, usize, &mut [f32]),
) -> Vec<f32> {
    let [depth, height, width] = shape;
    let line = N * width;
    let mut out = vec![0f32; planes.len() * height * line];
    let mut rows = vec![0f32; height * line];
    let mut across = vec![0f32; line];
    let mut made = vec![0f32; line];
    for z in planes.start.saturating_sub(radius[0])..(planes.end + radius[0]).min(depth) {
        for (y, row) in rows.chunks_exact_mut(line).enumerate() {
            make(z, y, &mut made);
            for (made, row) in made.chunks_exact(width).zip(row.chunks_exact_mut(width)) {
                along_row(made, radius[2], row);
            }
        }
        for y in 0..height {
            across.fill(0.0);
            for other in y.saturating_sub(radius[1])..(y + radius[1] + 1).min(height) {
                add(&rows[other * line..(other + 1) * line], &mut across);
            }
            for to in z.saturating_sub(radius[0]).max(planes.start)..(z + radius[0] + 1).min(planes.end) {
                let from = ((to - planes.start) * height + y) * line;
                add(&across, &mut out[from..from + line]);
            }
        }
    }
    out
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn along_row(row: &[f32], radius: usize, out: &mut [f32]) {
    let n = row.len();
    out.copy_from_slice(row);
    for step in 1..=radius.min(n.saturating_sub(1)) {
        out[step..].iter_mut().zip(row).for_each(|(out, value)| *out += value);
        out[..n - step].iter_mut().zip(&row[step..]).for_each(|(out, value)| *out += value);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add(row: &[f32], out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(out, value)| *out += value);
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn products(weight: &[f32], a: &[f32], b: &[f32], out: &mut [f32]) {
    let n = weight.len();
    let (ws, rest) = out.split_at_mut(n);
    let (was, rest) = rest.split_at_mut(n);
    let (wbs, rest) = rest.split_at_mut(n);
    let (waas, rest) = rest.split_at_mut(n);
    let (wbbs, wabs) = rest.split_at_mut(n);
    let wabs = &mut wabs[..n];
    for x in 0..n {
        let (w, wa, wb) = (weight[x], weight[x] * a[x], weight[x] * b[x]);
        ws[x] = w;
        was[x] = wa;
        wbs[x] = wb;
        waas[x] = wa * a[x];
        wbbs[x] = wb * b[x];
        wabs[x] = wa * b[x];
    }
}

/// cov, v_a, v_b, mean a, mean b of a voxel; nothing for a window with too few voxels.
#[inline(always)]
fn moments(sums: &[f32], n: usize, x: usize) -> Option<[f32; 5]> {
    let count = sums[x];
    if count < FEWEST {
        return None;
    }
    let (mean_a, mean_b) = (sums[n + x] / count, sums[2 * n + x] / count);
    let floor = FLOOR * count;
    let v_a = (sums[3 * n + x] - mean_a * sums[n + x]).max(0.0) + floor;
    let v_b = (sums[4 * n + x] - mean_b * sums[2 * n + x]).max(0.0) + floor;
    Some([sums[5 * n + x] - mean_a * sums[2 * n + x], v_a, v_b, mean_a, mean_b])
}

/// Sum of M and number of voxels of a row.
fn row_value(sums: &[f32], weight: &[f32]) -> (f64, f64) {
    let n = weight.len();
    let (mut sum, mut count) = (0f64, 0f64);
    for x in (0..n).filter(|&x| weight[x] > 0.0) {
        count += 1.0;
        if let Some([cov, v_a, v_b, ..]) = moments(sums, n, x) {
            sum += f64::from(cov * cov / (v_a * v_b));
        }
    }
    (sum, count)
}

/// What a window lends to each of its voxels.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn row_factors(sums: &[f32], weight: &[f32], out: &mut [f32]) {
    let n = out.len() / FACTORS;
    let (sums, weight, out) = (&sums[..SUMS * n], &weight[..n], &mut out[..FACTORS * n]);
    for x in 0..n {
        // The window of a voxel that does not count does not count either.
        let found = if weight[x] > 0.0 { moments(sums, n, x) } else { None };
        let [cov, v_a, v_b, mean_a, mean_b] = found.unwrap_or([0.0, 1.0, 1.0, 0.0, 0.0]);
        let both = 2.0 * cov / (v_a * v_b);
        let (own_a, own_b) = (both * cov / v_a, both * cov / v_b);
        out[x] = both;
        out[n + x] = own_a;
        out[2 * n + x] = own_b;
        out[3 * n + x] = own_a * mean_a - both * mean_b;
        out[4 * n + x] = own_b * mean_b - both * mean_a;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn row_forces(factors: &[f32], [weight, a, b]: [&[f32]; 3], by_a: &mut [f32], by_b: &mut [f32]) {
    let n = weight.len();
    let factors = &factors[..FACTORS * n];
    let (a, b) = (&a[..n], &b[..n]);
    for x in 0..n {
        let both = factors[x];
        by_a[x] = weight[x] * (b[x] * both - a[x] * factors[n + x] + factors[3 * n + x]);
        by_b[x] = weight[x] * (a[x] * both - b[x] * factors[2 * n + x] + factors[4 * n + x]);
    }
}

#[cfg(test)]
mod tests {
    use zensaibo_core::random::Stream;

    use super::*;

    fn noise(shape: [usize; 3], seed: u64) -> Grid<f32> {
        let mut random = Stream::new(seed, 0);
        Grid { shape, data: (0..shape.iter().product()).map(|_| random.normal() as f32).collect() }
    }

    #[test]
    fn derivatives_are_those_of_the_value() {
        let shape = [7, 20, 9];
        let (a, mut b) = (noise(shape, 1), noise(shape, 2));
        b.data.iter_mut().zip(&a.data).for_each(|(b, a)| *b = 0.5 * *b + 0.7 * a);
        let weight: Vec<f32> = (0..a.len()).map(|at| f32::from(u8::from(at % 7 != 3))).collect();
        for weight in [None, Some(&weight[..])] {
            let value = |b: &Grid<f32>| local_correlation(&Pair { a: &a, b, weight }, [1, 2, 1], None);
            let (mut by_a, mut by_b) = (vec![0f32; a.len()], vec![0f32; a.len()]);
            let pair = Pair { a: &a, b: &b, weight };
            assert_eq!(local_correlation(&pair, [1, 2, 1], Some((&mut by_a, &mut by_b))), value(&b));
            // The two images swapped: the two derivatives swapped.
            let (mut swapped_b, mut swapped_a) = (by_a.clone(), by_a.clone());
            let pair = Pair { a: &b, b: &a, weight };
            local_correlation(&pair, [1, 2, 1], Some((&mut swapped_b, &mut swapped_a)));
            assert!(swapped_a.iter().zip(&by_a).all(|(x, y)| (x - y).abs() < 1e-5));
            let count = weight.map_or(a.len() as f64, |weight| weight.iter().map(|&w| f64::from(w)).sum());
            for at in [0, 5, 100, 641, 1259] {
                let (mut more, mut less) = (b.clone(), b.clone());
                more.data[at] += 0.01;
                less.data[at] -= 0.01;
                let slope = (value(&more) - value(&less)) / 0.02 * count;
                assert!((slope - f64::from(by_b[at])).abs() < 2e-3, "{at}: {slope} {}", by_b[at]);
            }
        }
    }

    #[test]
    fn the_map_has_the_mean_of_the_whole() {
        let (a, mut b) = (noise([19, 12, 15], 1), noise([19, 12, 15], 2));
        b.data.iter_mut().zip(&a.data).for_each(|(b, a)| *b = 0.5 * *b + 0.7 * a);
        let weight: Vec<f32> = (0..a.len()).map(|at| f32::from(u8::from(at % 5 != 0))).collect();
        let pair = Pair { a: &a, b: &b, weight: Some(&weight) };
        let map = correlation_map(&pair, [2, 1, 2]);
        assert!(map.iter().zip(&weight).all(|(value, &weight)| value.is_nan() == (weight == 0.0)));
        let counted: Vec<f64> = map.iter().filter(|value| !value.is_nan()).map(|&value| f64::from(value)).collect();
        let mean = counted.iter().sum::<f64>() / counted.len() as f64;
        assert!((mean - local_correlation(&pair, [2, 1, 2], None)).abs() < 1e-6);
    }

    #[test]
    fn brightness_and_contrast_do_not_count() {
        let a = noise([8, 9, 40], 3);
        let b = Grid { shape: a.shape, data: a.data.iter().map(|a| -0.8 * a + 0.3).collect() };
        assert!(local_correlation(&Pair { a: &a, b: &b, weight: None }, [2; 3], None) > 0.999);
        let other = noise(a.shape, 4);
        assert!(local_correlation(&Pair { a: &a, b: &other, weight: None }, [2; 3], None) < 0.05);
    }
}
