//! Regressing unwanted variation out: what is left of each gene after a linear fit on properties of the cells.
//!
//! A [`Design`] holds the properties: some continuous ones (with a constant), or one categorical one. [`fit`] reads a
//! matrix X once and yields, beside the means m, the matrix A (q x g) with which the fitted values are 1 m^T + U A, U
//! (n x q) an orthonormal basis of the centred design. [`regress_out_into`] writes X - 1 m^T - U A, a dense matrix.
//! Principal components need no such matrix: the g x g matrix of products of the residuals is that of the centred X
//! less A^T A ([`crate::pca::pca_regressed`]).
//!
//! The fit is ordinary least squares; collinear or constant properties span less and change nothing else.

mod design;
mod residuals;
#[cfg(test)]
mod tests;

pub use design::Design;
pub use residuals::{Fit, fit, regress_out_into};
