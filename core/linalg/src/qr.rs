//! Orthonormal bases.

use ndarray::{Array2, ArrayView2};

use crate::Result;
use crate::convert::{check_finite, on_this_thread, row_major, view};

/// Thin QR of an m x n matrix by Householder reflections: `q` (m x min(m, n)) with orthonormal columns, also
/// when `a` is rank deficient, and `r` (min(m, n) x n) upper trapezoidal, `a = q r`.
///
/// # Errors
/// [`crate::Failure::NotFinite`].
pub fn thin_qr(a: ArrayView2<'_, f64>) -> Result<(Array2<f64>, Array2<f64>)> {
    check_finite("thin_qr", a)?;
    on_this_thread();
    let found = view(a).qr();
    Ok((row_major(found.compute_thin_Q().as_ref()), row_major(found.thin_R())))
}

/// As [`thin_qr`], in f32.
///
/// # Errors
/// [`crate::Failure::NotFinite`].
pub fn thin_qr_f32(a: ArrayView2<'_, f32>) -> Result<(Array2<f32>, Array2<f32>)> {
    if let Some(((row, column), &value)) = a.indexed_iter().find(|(_, value)| !value.is_finite()) {
        return Err(crate::Failure::NotFinite { what: "thin_qr_f32", row, column, value: f64::from(value) });
    }
    on_this_thread();
    let found = view(a).qr();
    Ok((row_major(found.compute_thin_Q().as_ref()), row_major(found.thin_R())))
}
