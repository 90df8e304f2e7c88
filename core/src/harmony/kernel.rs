//! The inner loops, on rows of assignments padded to whole vectors.
//!
//! A row of similarities becomes exp((similarity - largest) 2 / sigma), the assignment of a cell before the batches
//! are looked at, up to a factor. Weighed by the penalty of the cell's batches and divided by their sum these are
//! the assignments proper; they are recomputed where they are needed instead of being stored beside.

use multiversion::multiversion;

/// Rows are padded to a multiple of this.
pub(super) const LANES: usize = 16;

/// e^x for x of at most 0, to about 2 units in the last place; below -87 as at -87.
#[inline(always)]
fn exp(x: f32) -> f32 {
    /// 1.5 x 2^23: adding it leaves the nearest whole number in the low bits.
    const ROUND: f32 = 12_582_912.0;
    let scaled = x.max(-87.0) * std::f32::consts::LOG2_E;
    let rounded = scaled + ROUND;
    let rest = (scaled - (rounded - ROUND)) * std::f32::consts::LN_2;
    let mut power = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = power * rest + coefficient;
    }
    f32::from_bits(power.to_bits().wrapping_add(rounded.to_bits() << 23))
}

/// Scales each row of `d` values to unit length (rows of zeros stay).
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn normalize_rows(rows: &mut [f32], d: usize) {
    for row in rows.chunks_exact_mut(d) {
        let square: f64 = row.iter().map(|&x| f64::from(x) * f64::from(x)).sum();
        let scale = 1.0 / square.sqrt().max(1e-12);
        row.iter_mut().for_each(|x| *x = (f64::from(*x) * scale) as f32);
    }
}

/// Turns rows of `k` similarities (padded to `width`) into exp((similarity - largest) scale), padding into zeros, and
/// writes (largest - 1) scale, the logarithm of what was divided by, to `base`.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn soften(rows: &mut [f32], k: usize, width: usize, scale: f32, base: &mut [f32]) {
    for (row, base) in rows.chunks_exact_mut(width).zip(base) {
        row[k..].fill(f32::NEG_INFINITY);
        let mut lanes = [f32::NEG_INFINITY; LANES];
        for chunk in row.chunks_exact(LANES) {
            for lane in 0..LANES {
                lanes[lane] = if chunk[lane] > lanes[lane] { chunk[lane] } else { lanes[lane] };
            }
        }
        let largest = lanes.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        for chunk in row.chunks_exact_mut(LANES) {
            for lane in 0..LANES {
                chunk[lane] = exp((chunk[lane] - largest) * scale);
            }
        }
        row[k..].fill(0.0);
        *base = (largest - 1.0) * scale;
    }
}

#[inline(always)]
fn weight_sum(row: &[f32], penalty: &[f32]) -> f32 {
    let mut lanes = [0f32; LANES];
    for (chunk, weights) in row.chunks_exact(LANES).zip(penalty.chunks_exact(LANES)) {
        for lane in 0..LANES {
            lanes[lane] += chunk[lane] * weights[lane];
        }
    }
    let mut half = LANES / 2;
    while half > 0 {
        for lane in 0..half {
            lanes[lane] += lanes[lane + half];
        }
        half /= 2;
    }
    lanes[0].max(f32::MIN_POSITIVE)
}

/// Adds the assignments of all rows to `sums` (`width` long) and returns the sum of the logarithms of what the rows
/// were divided by.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn weigh(rows: &[f32], width: usize, penalty: &[f32], sums: &mut [f32]) -> f64 {
    let mut logs = 0f64;
    // Products of a few sums at a time: logarithms are dear.
    let (mut product, mut factors) = (1f64, 0);
    for row in rows.chunks_exact(width) {
        let sum = weight_sum(row, penalty);
        product *= f64::from(sum);
        factors += 1;
        if factors == 6 {
            logs += product.ln();
            (product, factors) = (1.0, 0);
        }
        let inverse = 1.0 / sum;
        for ((sum, value), weight) in sums.iter_mut().zip(row).zip(penalty) {
            *sum += value * weight * inverse;
        }
    }
    logs + product.ln()
}

/// Writes the assignments of all rows.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn assignments(rows: &[f32], width: usize, penalty: &[f32], out: &mut [f32]) {
    for (row, out) in rows.chunks_exact(width).zip(out.chunks_exact_mut(width)) {
        let inverse = 1.0 / weight_sum(row, penalty);
        for ((out, value), weight) in out.iter_mut().zip(row).zip(penalty) {
            *out = value * weight * inverse;
        }
    }
}

/// Squared distances of rows of `d` values to one point, kept where smaller than those so far.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn nearer(rows: &[f32], d: usize, point: &[f32], nearest: &mut [f32]) {
    for (row, nearest) in rows.chunks_exact(d).zip(nearest) {
        let mut lanes = [0f32; LANES];
        let (chunks, points) = (row.chunks_exact(LANES), point.chunks_exact(LANES));
        let mut rest = 0f32;
        for (&a, &b) in chunks.remainder().iter().zip(points.remainder()) {
            rest += (a - b) * (a - b);
        }
        for (a, b) in chunks.zip(points) {
            for lane in 0..LANES {
                let difference = a[lane] - b[lane];
                lanes[lane] += difference * difference;
            }
        }
        let square = lanes.iter().sum::<f32>() + rest;
        *nearest = if square < *nearest { square } else { *nearest };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_right() {
        for i in 0..=8700 {
            let x = -(i as f32) * 0.01;
            let (ours, truth) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((ours / truth - 1.0).abs() < 6e-7 + f64::from(-x) * 1.3e-7, "{x}: {ours} {truth}");
        }
        assert_eq!(exp(f32::NEG_INFINITY), exp(-87.0));
        assert_eq!(exp(0.0), 1.0);
    }
}
