//! Options of the test.

use crate::{Error, Result};

/// How samples of different depth are made comparable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LibrarySize {
    /// Counts per million of library sizes corrected by the trimmed mean of M-values, so that a few strong genes do
    /// not make all others look lower.
    Tmm,
    /// Counts per million.
    None,
}

crate::options! {
    /// Options for [`pseudobulk_test`](crate::pseudobulk::pseudobulk_test).
    pub struct PseudobulkOptions("pseudobulk_test") {
        /// Counts that a gene must have in a sample of median size, in as many samples as the smallest group has
        /// (by leverage); 0 or more. Larger values test fewer genes.
        pub min_count: f64 = 10.0,
        /// Counts that a gene must have over all samples; 0 or more.
        pub min_total_count: f64 = 15.0,
        /// `tmm` or `none`.
        pub normalization: LibrarySize = LibrarySize::Tmm,
        /// Share of the genes in each window of the mean and spread trend; above 0, at most 1. Larger is smoother.
        pub span: f64 = 0.5,
    }
}

impl PseudobulkOptions {
    fn check(&self) -> Result<()> {
        for (name, value) in [("min_count", self.min_count), ("min_total_count", self.min_total_count)] {
            if !(value >= 0.0 && value.is_finite()) {
                return Err(Error::parameter(name, "a finite number of at least 0", value));
            }
        }
        if !(self.span > 0.0 && self.span <= 1.0) {
            return Err(Error::parameter("span", "above 0 and at most 1", self.span));
        }
        Ok(())
    }
}
