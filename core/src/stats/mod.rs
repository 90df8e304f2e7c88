//! Statistics that several algorithms share: column moments in one read, medians, quantiles, row sums, tail
//! probabilities.
//!
//! Sums are f64; variances follow the convention of the R packages (divided by n - 1).

mod corrections;
mod moments;
mod quantile;
mod rows;
mod small_counts;
mod tails;

pub use corrections::benjamini_hochberg;
pub use moments::{GeneMoments, MomentsPass, ValueMap, gene_moments, gene_moments_by};
pub(crate) use moments::{MomentSums, PartialMoments};
pub use quantile::{mad, median, quantile_sorted};
pub use rows::row_sum;
pub(crate) use small_counts::{SMALL, SmallCounts};
pub use tails::{ln_normal_two_sided, ln_t_two_sided};
