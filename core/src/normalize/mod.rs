//! Normalisation of counts: per-cell totals, scaling and logarithms.

mod log1p;

pub use log1p::log1p_values;
