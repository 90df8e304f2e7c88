//! Normalisation of counts: per-cell totals, scaling and logarithms.
//!
//! [`size_factors`] says by what each cell is divided. The division and the logarithm then happen lazily
//! ([`crate::matrix::Lazy`]) or in place ([`divide_rows_in_place`], [`log1p_in_place`]); both go through the
//! same kernels, so f32 results agree to the last bit.

mod in_place;
mod log1p;
mod options;
mod size_factors;
#[cfg(test)]
mod tests;

pub use in_place::{Float, divide_rows_in_place, divide_values, log1p_in_place};
pub use log1p::{expm1_into, log1p_values, log1p_values_f64};
pub use options::NormalizeTotalOptions;
pub use size_factors::{SizeFactors, size_factors};
