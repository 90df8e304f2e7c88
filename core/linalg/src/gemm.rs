//! Matrix products.

use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Par};
use ndarray::{ArrayView2, ArrayViewMut2};

use crate::convert::{view, view_mut};
use crate::{Failure, Result};

fn check(what: &'static str, out: (usize, usize), a: (usize, usize), b: (usize, usize)) -> Result<()> {
    if a.1 == b.0 && out == (a.0, b.1) {
        return Ok(());
    }
    Err(Failure::Shape {
        what,
        expected: "(m x n) = (m x k) (k x n)".into(),
        found: format!("({} x {}) = ({} x {}) ({} x {})", out.0, out.1, a.0, a.1, b.0, b.1),
    })
}

fn accum(accumulate: bool) -> Accum {
    if accumulate { Accum::Add } else { Accum::Replace }
}

/// `out = a b`, or `out += a b` with `accumulate`. `a` is m x k, `b` is k x n, `out` m x n; any strides, so a
/// transposed factor is `b.t()`. Sums in f32.
///
/// # Errors
/// [`Failure::Shape`].
pub fn gemm_f32(
    mut out: ArrayViewMut2<'_, f32>,
    accumulate: bool,
    a: ArrayView2<'_, f32>,
    b: ArrayView2<'_, f32>,
) -> Result<()> {
    check("gemm_f32", out.dim(), a.dim(), b.dim())?;
    if !accumulate && a.ncols() == 0 {
        out.fill(0.0);
    }
    faer::linalg::matmul::matmul(view_mut(out), accum(accumulate), view(a), view(b), 1.0, Par::Seq);
    Ok(())
}

/// As [`gemm_f32`], in f64.
///
/// # Errors
/// [`Failure::Shape`].
pub fn gemm_f64(
    mut out: ArrayViewMut2<'_, f64>,
    accumulate: bool,
    a: ArrayView2<'_, f64>,
    b: ArrayView2<'_, f64>,
) -> Result<()> {
    check("gemm_f64", out.dim(), a.dim(), b.dim())?;
    if !accumulate && a.ncols() == 0 {
        out.fill(0.0);
    }
    faer::linalg::matmul::matmul(view_mut(out), accum(accumulate), view(a), view(b), 1.0, Par::Seq);
    Ok(())
}

/// `out = a b^T` on plain row-major slices: `a` is m x k, `b` is n x k, `out` m x n. For tiles of inner products
/// (distances) inside parallel tasks.
///
/// # Errors
/// [`Failure::Shape`] when a slice is not as long as its dimensions say.
pub fn gemm_abt_f32(out: &mut [f32], a: &[f32], b: &[f32], m: usize, n: usize, k: usize) -> Result<()> {
    let fault = || Failure::Shape {
        what: "gemm_abt_f32",
        expected: format!("a of {m} x {k}, b of {n} x {k}, out of {m} x {n}"),
        found: format!("{}, {} and {} values", a.len(), b.len(), out.len()),
    };
    if m.checked_mul(n) != Some(out.len()) {
        return Err(fault());
    }
    let a = ArrayView2::from_shape((m, k), a).map_err(|_| fault())?;
    let b = ArrayView2::from_shape((n, k), b).map_err(|_| fault())?;
    let out = ArrayViewMut2::from_shape((m, n), out).map_err(|_| Failure::Shape {
        what: "gemm_abt_f32",
        expected: format!("out of {m} x {n}"),
        found: "another length".into(),
    })?;
    gemm_f32(out, false, a, b.t())
}

/// The lower triangle of `out = a^T a` (`+=` with `accumulate`): `a` is n x g, `out` g x g. What lies above the
/// diagonal is left alone. Half the work of a product.
///
/// # Errors
/// [`Failure::Shape`].
pub fn gram_f32(out: ArrayViewMut2<'_, f32>, accumulate: bool, a: ArrayView2<'_, f32>) -> Result<()> {
    check("gram_f32", out.dim(), a.t().dim(), a.dim())?;
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(view_mut(out), lower, accum(accumulate), view(a.t()), full, view(a), full, 1.0, Par::Seq);
    Ok(())
}

/// As [`gram_f32`], in f64.
///
/// # Errors
/// [`Failure::Shape`].
pub fn gram_f64(out: ArrayViewMut2<'_, f64>, accumulate: bool, a: ArrayView2<'_, f64>) -> Result<()> {
    check("gram_f64", out.dim(), a.t().dim(), a.dim())?;
    let (lower, full) = (BlockStructure::TriangularLower, BlockStructure::Rectangular);
    triangular::matmul(view_mut(out), lower, accum(accumulate), view(a.t()), full, view(a), full, 1.0, Par::Seq);
    Ok(())
}
