//! Sums along a row.

use multiversion::multiversion;

/// Sum of a row in f64, over eight interleaved partial sums (the same order on every machine).
#[multiversion(targets("x86_64+avx512f+avx512dq+avx512vl+avx512bw+fma+avx2", "x86_64+avx2+fma"))]
pub fn row_sum(values: &[f32]) -> f64 {
    let mut lanes = [0f64; 8];
    let chunks = values.chunks_exact(8);
    let rest = chunks.remainder();
    for chunk in chunks {
        for (lane, &value) in lanes.iter_mut().zip(chunk) {
            *lane += f64::from(value);
        }
    }
    for (lane, &value) in lanes.iter_mut().zip(rest) {
        *lane += f64::from(value);
    }
    ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]))
}

#[cfg(test)]
mod tests {
    use super::row_sum;

    #[test]
    fn sums_of_every_length() {
        for n in 0..40 {
            let values: Vec<f32> = (0..n).map(|i| i as f32 + 0.5).collect();
            let slow: f64 = values.iter().map(|&v| f64::from(v)).sum();
            assert_eq!(row_sum(&values), slow);
        }
        assert!(row_sum(&[1.0, f32::NAN]).is_nan());
    }
}
