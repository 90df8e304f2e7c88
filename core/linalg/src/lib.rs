//! Dense linear algebra behind plain functions: products, factorisations and small solves.
//!
//! The only crate that knows faer, and the only one in which its generic code is compiled. Matrices come as
//! [`ndarray`] views of any strides; results are row-major (C order) arrays.
//!
//! Every function here runs on the calling thread alone. Callers cut large work into tiles and call from their
//! own parallel tasks, so nothing nests, and the bits of a result depend on its input and the processor's
//! instruction set, never on the number of threads.

mod convert;
mod eigen;
mod gemm;
mod qr;
mod solve;
mod svd;

pub use eigen::{Eigen, symmetric_eigen, symmetric_eigen_top};
pub use gemm::{gemm_abt_f32, gemm_f32, gemm_f64, gram_f32, gram_f64};
pub use qr::{thin_qr, thin_qr_f32};
pub use solve::{solve, solve_positive, solve_upper};
pub use svd::{Svd, thin_svd};

/// Why a function of this crate returned no result.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Failure {
    /// Dimensions that do not fit together.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// The function and its argument.
        what: &'static str,
        /// What the dimensions should be.
        expected: String,
        /// What they are.
        found: String,
    },
    /// NaN or infinity in an argument.
    #[error("{what}: expected finite values, found {value} at row {row}, column {column}")]
    NotFinite {
        /// The function.
        what: &'static str,
        /// Row of the first such value.
        row: usize,
        /// Column of the first such value.
        column: usize,
        /// The value.
        value: f64,
    },
    /// The iteration inside a decomposition did not end.
    #[error("{what} did not converge")]
    NotConverged {
        /// The function.
        what: &'static str,
    },
    /// A system without a unique solution, to working precision.
    #[error("{what}: the matrix is singular or not positive definite at pivot {pivot}")]
    Singular {
        /// The function.
        what: &'static str,
        /// Index of the pivot that vanished.
        pivot: usize,
    },
}

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Failure>;

#[cfg(test)]
mod tests;
