//! Eigenpairs of symmetric matrices.

use faer::Side;
use ndarray::{Array2, ArrayView2};

use crate::convert::{check_finite, check_square, on_this_thread, view};
use crate::{Failure, Result};

/// Eigenpairs of a symmetric matrix.
#[derive(Clone, Debug, PartialEq)]
pub struct Eigen {
    /// Eigenvalues.
    pub values: Vec<f64>,
    /// n x k: column j is the unit eigenvector of `values[j]`. Its sign is arbitrary.
    pub vectors: Array2<f64>,
}

/// All eigenpairs of a symmetric n x n matrix, eigenvalues rising. Only the lower triangle is read.
/// O(n^3) time, O(n^2) memory.
///
/// # Errors
/// [`Failure::Shape`] when not square, [`Failure::NotFinite`], [`Failure::NotConverged`].
pub fn symmetric_eigen(a: ArrayView2<'_, f64>) -> Result<Eigen> {
    decompose("symmetric_eigen", a, |n| (0..n).collect())
}

/// The `k` eigenpairs with the largest eigenvalues (all when `k > n`), eigenvalues falling. Costs as
/// [`symmetric_eigen`]: a full decomposition, meant for n up to some hundreds.
///
/// # Errors
/// As [`symmetric_eigen`].
pub fn symmetric_eigen_top(a: ArrayView2<'_, f64>, k: usize) -> Result<Eigen> {
    decompose("symmetric_eigen_top", a, |n| (0..n).rev().take(k).collect())
}

fn decompose(what: &'static str, a: ArrayView2<'_, f64>, order: impl Fn(usize) -> Vec<usize>) -> Result<Eigen> {
    check_square(what, a)?;
    on_this_thread();
    let n = a.nrows();
    for row in 0..n {
        for column in 0..=row {
            let value = a[(row, column)];
            if !value.is_finite() {
                return Err(Failure::NotFinite { what, row, column, value });
            }
        }
    }
    let found = view(a).self_adjoint_eigen(Side::Lower).map_err(|_| Failure::NotConverged { what })?;
    let order = order(n);
    let (values, vectors) = (found.S(), found.U());
    let eigen = Eigen {
        values: order.iter().map(|&j| values[j]).collect(),
        vectors: Array2::from_shape_fn((n, order.len()), |(i, j)| vectors[(i, order[j])]),
    };
    check_finite(what, eigen.vectors.view()).map_err(|_| Failure::NotConverged { what })?;
    Ok(eigen)
}
