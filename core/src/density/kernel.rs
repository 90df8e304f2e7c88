//! Sums of Gaussian kernels.

use multiversion::multiversion;

/// Sums side by side: one AVX-512 register, or two of AVX2.
const LANES: usize = 8;

/// exp(x) for x from -700 to 0, relative error below 1e-13.
#[inline(always)]
fn exp(x: f64) -> f64 {
    // Adding 1.5 * 2^52 leaves the nearest whole number in the low bits.
    const MAGIC: f64 = 6_755_399_441_055_744.0;
    let shifted = x * std::f64::consts::LOG2_E + MAGIC;
    let whole = shifted - MAGIC;
    let r = (x - whole * 0.693_147_180_369_123_8) - whole * 1.908_214_929_270_587_7e-10;
    let scale = f64::from_bits((shifted.to_bits().wrapping_sub(MAGIC.to_bits()).wrapping_add(1023)) << 52);
    let mut p = 1.0 / 479_001_600.0;
    for factor in [
        1.0 / 39_916_800.0,
        1.0 / 3_628_800.0,
        1.0 / 362_880.0,
        1.0 / 40_320.0,
        1.0 / 5_040.0,
        1.0 / 720.0,
        1.0 / 120.0,
        1.0 / 24.0,
        1.0 / 6.0,
        0.5,
        1.0,
        1.0,
    ] {
        p = p * r + factor;
    }
    p * scale
}

/// Sum over all points of exp(-d^2 / 2), d their distance to (x, y).
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub(super) fn sum(x: f64, y: f64, xs: &[f64], ys: &[f64]) -> f64 {
    let mut sums = [0f64; LANES];
    let (chunks_x, rest_x) = xs.as_chunks::<LANES>();
    let (chunks_y, rest_y) = ys.as_chunks::<LANES>();
    for (xs, ys) in chunks_x.iter().zip(chunks_y) {
        for lane in 0..LANES {
            let (dx, dy) = (xs[lane] - x, ys[lane] - y);
            sums[lane] += exp((-0.5 * (dx * dx + dy * dy)).max(-700.0));
        }
    }
    for (lane, (&other_x, &other_y)) in rest_x.iter().zip(rest_y).enumerate() {
        let (dx, dy) = (other_x - x, other_y - y);
        sums[lane] += exp((-0.5 * (dx * dx + dy * dy)).max(-700.0));
    }
    sums.iter().sum()
}
