//! ln(1 + x) and e^x - 1 over slices, vectorised, with the same bits on every machine.
//!
//! Both compute in f64 with plain multiplications and additions (no fused ones, whose presence would depend
//! on the machine), so that an f32 result is within 0.51 units in the last place.

use multiversion::multiversion;

/// Replaces each value by ln(1 + x), or by the logarithm to `base`. As `ln_1p`: -1 gives -inf, below it NaN.
pub fn log1p_values(values: &mut [f32], base: Option<f64>) {
    log1p_scaled(values, base.map_or(1.0, |base| 1.0 / base.ln()));
}

/// As [`log1p_values`] for f64, to f64 accuracy (the system's `ln_1p`).
pub fn log1p_values_f64(values: &mut [f64], base: Option<f64>) {
    match base {
        None => values.iter_mut().for_each(|value| *value = value.ln_1p()),
        Some(base) => {
            let divisor = base.ln();
            values.iter_mut().for_each(|value| *value = value.ln_1p() / divisor);
        }
    }
}

/// Writes e^(scale x) - 1 for each x: relative error below 1e-14. +inf where f64 overflows.
///
/// The shorter of the two slices decides.
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub fn expm1_into(values: &[f32], scale: f64, out: &mut [f64]) {
    for (value, result) in values.iter().zip(out) {
        *result = expm1(f64::from(*value) * scale);
    }
}

#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
fn log1p_scaled(values: &mut [f32], scale: f64) {
    for run in values.chunks_mut(64) {
        // Nearly always: nothing to be told apart value by value.
        if run.iter().fold(true, |regular, &value| regular & (value > -1.0) & (value < f32::INFINITY)) {
            run.iter_mut().for_each(|value| *value = (log1p_regular(f64::from(*value)) * scale) as f32);
        } else {
            run.iter_mut().for_each(|value| *value = (log1p(f64::from(*value)) * scale) as f32);
        }
    }
}

/// ln 2 in a part whose low bits are zero, so that small multiples are exact, and the rest.
const LN2_HIGH: f64 = 6.931_471_803_691_238e-1;
const LN2_LOW: f64 = 1.908_214_929_270_587_7e-10;

/// ln(1 + x) to about 1e-11, for x that came from an f32.
#[inline(always)]
fn log1p(x: f64) -> f64 {
    let u = 1.0 + x;
    let positive = if u > 0.0 { log1p_regular(x) } else { f64::NAN };
    let with_pole = if u == 0.0 { f64::NEG_INFINITY } else { positive };
    if u == f64::INFINITY { f64::INFINITY } else { with_pole }
}

/// ln(1 + x) to about 1e-11, for a finite x above -1 that came from an f32.
#[inline(always)]
fn log1p_regular(x: f64) -> f64 {
    const SQRT_HALF: u64 = 0x3fe6_a09e_667f_3bcd;
    const ONE: u64 = 0x3ff0_0000_0000_0000;
    const MANTISSA: u64 = 0x000f_ffff_ffff_ffff;
    /// 2^52 as bits: an integer below 2^52 put into its mantissa reads as 2^52 plus that integer.
    const TWO_52: u64 = 0x4330_0000_0000_0000;
    // 1 + x = 2^k (1 + f) with 1 + f in [sqrt(1/2), sqrt(2)); then ln(1 + f) = 2 artanh(f / (2 + f)).
    let shifted = (1.0 + x).to_bits().wrapping_add(ONE - SQRT_HALF);
    // -k, so that k ln 2 is -0 for k = 0 and leaves the sign of a zero alone.
    let minus_k = (4_503_599_627_370_496.0 + 1023.0) - f64::from_bits((shifted >> 52) | TWO_52);
    let reduced = f64::from_bits((shifted & MANTISSA).wrapping_add(SQRT_HALF)) - 1.0;
    // Where nothing was to be halved, f is x itself, with the low bits that 1 + x loses.
    let f = if minus_k == 0.0 { x } else { reduced };
    let s = f / (2.0 + f);
    // artanh(s) / s as a polynomial in z = s^2, of which z is at most 0.0295: by interpolation at Chebyshev's nodes, wrong by 4e-12.
    let z = s * s;
    let series = 1.0000000000041798
        + z * (0.33333332623743755 + z * (0.20000192336188816 + z * (0.14267525518843785 + z * 0.11808179550667075)));
    minus_k * -std::f64::consts::LN_2 + (s + s) * series
}

/// e^x - 1 to 1e-14.
#[inline(always)]
fn expm1(x: f64) -> f64 {
    /// Adding it rounds to the nearest integer and leaves that integer in the low bits.
    const ROUND: f64 = 6_755_399_441_055_744.0;
    // Kept in the range where 2^k is a normal number; what lies outside is settled at the end.
    let inside = if x < 709.0 { x } else { 709.0 };
    let inside = if inside > -60.0 { inside } else { -60.0 };
    let shifted = inside * std::f64::consts::LOG2_E + ROUND;
    let k = shifted - ROUND;
    let r = (inside - k * LN2_HIGH) - k * LN2_LOW;
    // e^r - 1 for |r| <= 0.347 by its series; the first term left out is below 1e-17.
    let tail = 1.0 / 5040.0
        + r * (1.0 / 40320.0
            + r * (1.0 / 362_880.0
                + r * (1.0 / 3_628_800.0
                    + r * (1.0 / 39_916_800.0 + r * (1.0 / 479_001_600.0 + r * (1.0 / 6_227_020_800.0))))));
    let p = r + r * r * (0.5 + r * (1.0 / 6.0 + r * (1.0 / 24.0 + r * (1.0 / 120.0 + r * (1.0 / 720.0 + r * tail)))));
    // 2^k: the low bits of `shifted` are k.
    let power = f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52);
    let regular = power * p + (power - 1.0);
    let bounded = if x > 709.0 { f64::INFINITY } else { regular };
    if x.is_nan() { f64::NAN } else { bounded }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distance in units in the last place of `expected` as f32.
    fn ulps(got: f32, expected: f64) -> f64 {
        let rounded = expected as f32;
        let unit = f64::from(f32::from_bits(rounded.abs().to_bits() + 1)) - f64::from(rounded.abs());
        (f64::from(got) - expected).abs() / unit
    }

    #[test]
    fn log1p_over_the_whole_range() {
        // Every 257th float of both signs, and the neighbourhood of each switch.
        let mut inputs: Vec<f32> = (0..u32::MAX / 257).map(|i| f32::from_bits(i * 257)).collect();
        for centre in [0.001_953_125f32, 0.414_213_57, 1.0, 2.0, 0.5, 3.0] {
            inputs.extend((0..4000u32).map(|i| f32::from_bits(centre.to_bits() - 2000 + i)));
            inputs.extend((0..4000u32).map(|i| -f32::from_bits(centre.to_bits() - 2000 + i)));
        }
        let mut got = inputs.clone();
        log1p_values(&mut got, None);
        let mut worst = 0.0f64;
        for (&x, &y) in inputs.iter().zip(&got) {
            let expected = f64::from(x).ln_1p();
            if expected.is_nan() {
                assert!(y.is_nan(), "{x}: {y}");
            } else if expected.is_infinite() {
                assert_eq!(f64::from(y), expected, "{x}");
            } else {
                worst = worst.max(ulps(y, expected));
            }
        }
        assert!(worst <= 0.51, "{worst} units in the last place");
    }

    #[test]
    fn log1p_of_special_values() {
        let mut values = [0.0f32, -0.0, 1e-45, -1.0, -2.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, f32::MAX];
        log1p_values(&mut values, None);
        assert_eq!(values[0].to_bits(), 0.0f32.to_bits());
        assert_eq!(values[1].to_bits(), (-0.0f32).to_bits());
        assert_eq!(values[2], 1e-45);
        assert_eq!(values[3], f32::NEG_INFINITY);
        assert!(values[4].is_nan() && values[6].is_nan() && values[7].is_nan());
        assert_eq!(values[5], f32::INFINITY);
        assert_eq!(values[8], f64::from(f32::MAX).ln_1p() as f32);
        let mut to_base = [7.0f32, 1.0];
        log1p_values(&mut to_base, Some(2.0));
        assert_eq!(to_base, [3.0, 1.0]);
        let mut wide = [7.0f64, 1e-20];
        log1p_values_f64(&mut wide, None);
        assert_eq!(wide, [7.0f64.ln_1p(), 1e-20]);
        log1p_values_f64(&mut wide[..1], Some(2.0));
    }

    #[test]
    fn a_value_does_not_depend_on_its_place() {
        let inputs: Vec<f32> = (0..37).map(|i| i as f32 * 0.37).collect();
        let mut together = inputs.clone();
        log1p_values(&mut together, None);
        for (&x, &y) in inputs.iter().zip(&together) {
            let mut alone = [x];
            log1p_values(&mut alone, None);
            assert_eq!(alone[0].to_bits(), y.to_bits());
        }
    }

    #[test]
    fn expm1_over_its_range() {
        let inputs: Vec<f32> =
            (-9000..9000).map(|i| i as f32 * 0.007_81).chain((0..300).map(|i| 0.5f32.powi(i))).collect();
        for scale in [1.0, 2.0f64.ln()] {
            let mut got = vec![0.0; inputs.len()];
            expm1_into(&inputs, scale, &mut got);
            for (&x, &y) in inputs.iter().zip(&got) {
                let expected = (f64::from(x) * scale).exp_m1();
                assert!((y - expected).abs() <= 1e-14 * expected.abs(), "{x}: {y} {expected}");
            }
        }
        let mut got = [0.0; 5];
        expm1_into(&[800.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -0.0], 1.0, &mut got);
        assert_eq!((got[0], got[1], got[2]), (f64::INFINITY, f64::INFINITY, -1.0));
        assert!(got[3].is_nan());
        assert_eq!(got[4], 0.0);
    }
}
