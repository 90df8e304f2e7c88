//! Small systems of equations.

use faer::Side;
use faer::linalg::solvers::Solve;
use ndarray::{Array2, ArrayView2};

use crate::convert::{check_finite, check_square, on_this_thread, row_major, view};
use crate::{Failure, Result};

fn check(what: &'static str, a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<()> {
    check_square(what, a)?;
    if a.nrows() != b.nrows() {
        let expected = format!("a right-hand side of {} rows", a.nrows());
        return Err(Failure::Shape { what, expected, found: b.nrows().to_string() });
    }
    check_finite(what, a)?;
    check_finite(what, b)
}

/// Solves `a x = b` for n x n `a` by LU with partial pivoting; `b` is n x m.
///
/// # Errors
/// [`Failure::Shape`], [`Failure::NotFinite`], [`Failure::Singular`] when a pivot is below n eps times the largest.
pub fn solve(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    check("solve", a, b)?;
    on_this_thread();
    let lu = view(a).partial_piv_lu();
    let pivots = lu.U();
    singular("solve", a.nrows(), |i| pivots[(i, i)].abs())?;
    Ok(row_major(lu.solve(view(b)).as_ref()))
}

/// Solves `a x = b` for symmetric positive definite `a` by Cholesky. Only the lower triangle is read.
///
/// # Errors
/// [`Failure::Shape`], [`Failure::NotFinite`], [`Failure::Singular`] when `a` is not positive definite.
pub fn solve_positive(a: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    check("solve_positive", a, b)?;
    on_this_thread();
    let llt = view(a).llt(Side::Lower).map_err(|error| match error {
        faer::linalg::solvers::LltError::NonPositivePivot { index } => {
            Failure::Singular { what: "solve_positive", pivot: index }
        }
    })?;
    Ok(row_major(llt.solve(view(b)).as_ref()))
}

/// Solves `r x = b` for upper triangular `r`, as [`crate::thin_qr`] returns it.
///
/// # Errors
/// As [`solve`].
pub fn solve_upper(r: ArrayView2<'_, f64>, b: ArrayView2<'_, f64>) -> Result<Array2<f64>> {
    check("solve_upper", r, b)?;
    on_this_thread();
    singular("solve_upper", r.nrows(), |i| r[(i, i)].abs())?;
    let mut x = b.as_standard_layout().into_owned();
    view(r).solve_upper_triangular_in_place(crate::convert::view_mut(x.view_mut()));
    Ok(x)
}

fn singular(what: &'static str, n: usize, pivot: impl Fn(usize) -> f64) -> Result<()> {
    let largest = (0..n).map(&pivot).fold(0.0, f64::max);
    match (0..n).find(|&i| pivot(i) <= largest * n as f64 * f64::EPSILON) {
        None => Ok(()),
        Some(pivot) => Err(Failure::Singular { what, pivot }),
    }
}
