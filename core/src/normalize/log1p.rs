//! ln(1 + x) over a slice.

/// Replaces each value by ln(1 + x), or by the logarithm to `base`.
pub fn log1p_values(values: &mut [f32], base: Option<f64>) {
    match base {
        None => values.iter_mut().for_each(|value| *value = value.ln_1p()),
        Some(base) => {
            let scale = 1.0 / base.ln();
            values.iter_mut().for_each(|value| *value = (f64::from(*value).ln_1p() * scale) as f32);
        }
    }
}
