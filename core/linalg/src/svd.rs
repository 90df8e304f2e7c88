//! Singular values.

use ndarray::{Array2, ArrayView2};

use crate::convert::{check_finite, on_this_thread, row_major, view};
use crate::{Failure, Result};

/// A thin singular value decomposition `a = u diag(s) vt`.
#[derive(Clone, Debug, PartialEq)]
pub struct Svd {
    /// m x min(m, n), orthonormal columns.
    pub u: Array2<f64>,
    /// min(m, n) singular values, falling, at least 0.
    pub s: Vec<f64>,
    /// min(m, n) x n, orthonormal rows.
    pub vt: Array2<f64>,
}

/// Thin SVD of an m x n matrix. O(m n min(m, n)) time. Signs of the pairs of vectors are arbitrary.
///
/// # Errors
/// [`Failure::NotFinite`], [`Failure::NotConverged`].
pub fn thin_svd(a: ArrayView2<'_, f64>) -> Result<Svd> {
    check_finite("thin_svd", a)?;
    on_this_thread();
    let found = view(a).thin_svd().map_err(|_| Failure::NotConverged { what: "thin_svd" })?;
    let s = found.S();
    Ok(Svd {
        u: row_major(found.U()),
        s: (0..a.nrows().min(a.ncols())).map(|i| s[i]).collect(),
        vt: row_major(found.V().transpose()),
    })
}
