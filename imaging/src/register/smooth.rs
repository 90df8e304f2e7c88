//! Gaussian smoothing of images and fields: `N` numbers per voxel, side by side.
//!
//! Along every axis the neighbours of a number lie at a constant distance in memory, so the sums run over whole lines.
//! Beyond the grid lies the nearest voxel.

use multiversion::multiversion;
use rayon::prelude::*;

/// Standard deviations at which the kernel is cut off.
const TRUNCATE: f64 = 3.0;

/// Weights from the centre outwards; together 1.
fn weights(sigma: f64) -> Vec<f32> {
    let radius = (TRUNCATE * sigma).ceil() as usize;
    let half: Vec<f64> = (0..=radius).map(|at| (-0.5 * (at as f64 / sigma).powi(2)).exp()).collect();
    let total = half[0] + 2.0 * half[1..].iter().sum::<f64>();
    half.iter().map(|weight| (weight / total) as f32).collect()
}

/// Smooths `field`, `N` numbers per voxel, by `sigma` voxels along each axis; 0 leaves an axis alone.
pub(super) fn smooth<const N: usize>(field: &mut Vec<f32>, shape: [usize; 3], sigma: [f64; 3]) {
    let [depth, height, width] = shape;
    let (line, plane) = (N * width, N * width * height);
    if field.is_empty() {
        return;
    }
    let wanted = |axis: usize| sigma[axis] > 1e-3 && shape[axis] > 1;
    if wanted(1) || wanted(2) {
        let (wy, wx) = (weights(sigma[1].max(1e-3)), weights(sigma[2].max(1e-3)));
        field.par_chunks_mut(plane).for_each(|plane| {
            if wanted(2) {
                let radius = wx.len() - 1;
                let mut padded = vec![0f32; line + 2 * N * radius];
                for row in plane.chunks_exact_mut(line) {
                    for at in 0..radius {
                        padded[N * at..N * at + N].copy_from_slice(&row[..N]);
                        padded[N * (radius + width + at)..][..N].copy_from_slice(&row[line - N..]);
                    }
                    padded[N * radius..N * radius + line].copy_from_slice(row);
                    along_line(&padded, &wx, N, row);
                }
            }
            if wanted(1) {
                let source = plane.to_vec();
                let row = |y: isize| {
                    let y = y.clamp(0, height as isize - 1) as usize;
                    &source[y * line..(y + 1) * line]
                };
                for (y, out) in plane.chunks_exact_mut(line).enumerate() {
                    start(row(y as isize), wy[0], out);
                    for (at, &weight) in wy.iter().enumerate().skip(1) {
                        let (y, at) = (y as isize, at as isize);
                        add(row(y - at), row(y + at), weight, out);
                    }
                }
            }
        });
    }
    if wanted(0) {
        let wz = weights(sigma[0]);
        let mut result = vec![0f32; field.len()];
        result.par_chunks_mut(plane).enumerate().for_each(|(z, out)| {
            let source = |z: isize| {
                let z = z.clamp(0, depth as isize - 1) as usize;
                &field[z * plane..(z + 1) * plane]
            };
            // Row by row, so that a row of the result stays in the first cache.
            for (y, out) in out.chunks_exact_mut(line).enumerate() {
                let row = |z: isize| &source(z)[y * line..(y + 1) * line];
                start(row(z as isize), wz[0], out);
                for (at, &weight) in wz.iter().enumerate().skip(1) {
                    let (z, at) = (z as isize, at as isize);
                    add(row(z - at), row(z + at), weight, out);
                }
            }
        });
        *field = result;
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn along_line(padded: &[f32], weights: &[f32], stride: usize, out: &mut [f32]) {
    let (radius, n) = (weights.len() - 1, out.len());
    for (out, &value) in out.iter_mut().zip(&padded[stride * radius..stride * radius + n]) {
        *out = weights[0] * value;
    }
    for (at, &weight) in weights.iter().enumerate().skip(1) {
        let (before, after) = (&padded[stride * (radius - at)..][..n], &padded[stride * (radius + at)..][..n]);
        for ((out, &a), &b) in out.iter_mut().zip(before).zip(after) {
            *out += weight * (a + b);
        }
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn start(row: &[f32], weight: f32, out: &mut [f32]) {
    out.iter_mut().zip(row).for_each(|(out, &value)| *out = weight * value);
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn add(before: &[f32], after: &[f32], weight: f32, out: &mut [f32]) {
    for ((out, &a), &b) in out.iter_mut().zip(before).zip(after) {
        *out += weight * (a + b);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equals_the_triple_sum() {
        let shape = [5, 9, 11];
        let mut random = zensaibo_core::random::Stream::new(1, 0);
        let image: Vec<f32> = (0..5 * 9 * 11 * 3).map(|_| random.normal() as f32).collect();
        let sigma = [0.6, 1.1, 1.7];
        let mut smoothed = image.clone();
        smooth::<3>(&mut smoothed, shape, sigma);
        let kernel = sigma.map(weights);
        for (voxel, part) in [([0usize, 0usize, 0usize], 0usize), ([2, 8, 5], 1), ([4, 3, 10], 2)] {
            let mut sum = 0f64;
            let radius = kernel.each_ref().map(|half| half.len() as isize - 1);
            for dz in -radius[0]..=radius[0] {
                for dy in -radius[1]..=radius[1] {
                    for dx in -radius[2]..=radius[2] {
                        let steps = [dz, dy, dx];
                        let at: [usize; 3] = std::array::from_fn(|axis| {
                            (voxel[axis] as isize + steps[axis]).clamp(0, shape[axis] as isize - 1) as usize
                        });
                        let weight: f64 =
                            (0..3).map(|axis| f64::from(kernel[axis][steps[axis].unsigned_abs()])).product();
                        sum += weight * f64::from(image[((at[0] * 9 + at[1]) * 11 + at[2]) * 3 + part]);
                    }
                }
            }
            let found = smoothed[((voxel[0] * 9 + voxel[1]) * 11 + voxel[2]) * 3 + part];
            assert!((sum - f64::from(found)).abs() < 1e-5, "{voxel:?}: {sum} {found}");
        }
        // One number per voxel is the same sums.
        let mut single: Vec<f32> = image.iter().skip(1).step_by(3).copied().collect();
        smooth::<1>(&mut single, shape, sigma);
        assert!(single.iter().zip(smoothed.iter().skip(1).step_by(3)).all(|(a, b)| a == b));
    }
}
