//! Open chromatin: cells x peaks.
//!
//! [`tfidf`]: term frequency, inverse document frequency. [`Overlaps`] and [`gene_activity`]: peaks summed over the
//! genes that they lie in. Latent semantic indexing is [`crate::pca`] of the former without centring.
//!
//! References: Cusanovich et al., Science 348 (2015); Stuart et al., Nature Methods 18 (2021).

mod activity;
mod overlap;
#[cfg(test)]
mod tests;
mod tfidf;

pub use activity::gene_activity;
pub use overlap::{Interval, Overlaps};
pub use tfidf::{TfidfOptions, tfidf};
