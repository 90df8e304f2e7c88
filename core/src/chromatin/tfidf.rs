//! Term frequency, inverse document frequency.

use crate::data::Csr;
use crate::matrix::{RowBlocks, column_sums, gather};
use crate::options::Options;
use crate::stats::row_sum;
use crate::{Ctx, Error, Result};

crate::options! {
    /// Options for [`tfidf`](crate::chromatin::tfidf).
    pub struct TfidfOptions("tfidf") {
        /// Whether ln(1 + scale_factor TF) takes the place of TF.
        pub log_tf: bool = true,
        /// Whether ln(1 + IDF) takes the place of IDF.
        pub log_idf: bool = true,
        /// Whether ln(1 + TF IDF) is returned; only with `log_tf` and `log_idf` off.
        pub log_tfidf: bool = false,
        /// What TF is multiplied with; above 0.
        pub scale_factor: f64 = 1e4,
    }
}

impl TfidfOptions {
    fn check(&self) -> Result<()> {
        if self.log_tfidf && (self.log_tf || self.log_idf) {
            return Err(Error::parameter("log_tfidf", "false unless `log_tf` and `log_idf` are false", true));
        }
        if !(self.scale_factor > 0.0 && self.scale_factor.is_finite()) {
            return Err(Error::parameter("scale_factor", "a finite number above 0", self.scale_factor));
        }
        Ok(())
    }
}

/// TF-IDF of `source`, cells x peaks of counts (or of 0 and 1): TF is a count over the total of its cell, IDF the
/// number of cells over the total of the peak.
///
/// A cell or peak without counts stays zero. Nothing is random, and neither threads nor layout change a bit. Two reads;
/// memory that of the result, 8 bytes per non-zero.
///
/// # Errors
/// [`Error::Parameter`]; [`Error::Data`] for values below 0 or not finite; what the source returns;
/// [`Error::Interrupted`].
pub fn tfidf(source: &dyn RowBlocks, options: &TfidfOptions, ctx: &Ctx) -> Result<Csr> {
    options.validate()?;
    let n_rows = source.n_rows();
    let sums = column_sums(source, "tf-idf: totals", ctx, |block, sums| {
        block.check_counts()?;
        block.indices.iter().zip(block.values).for_each(|(&at, &value)| sums[at as usize] += f64::from(value));
        Ok(())
    })?;
    let idf: Vec<f64> = sums
        .into_iter()
        .map(|sum| {
            let idf = if sum > 0.0 { n_rows as f64 / sum } else { 0.0 };
            if options.log_idf { idf.ln_1p() } else { idf }
        })
        .collect();
    gather(source, source.n_cols(), "tf-idf", ctx, |block| {
        let mut out = Vec::with_capacity(block.values.len());
        for (_, columns, values) in block.rows() {
            let total = row_sum(values);
            let factor = if total > 0.0 { options.scale_factor / total } else { 0.0 };
            out.extend(columns.iter().zip(values).map(|(&column, &value)| {
                let scaled = f64::from(value) * factor;
                let tf = if options.log_tf { scaled.ln_1p() } else { scaled };
                let both = tf * idf[column as usize];
                (if options.log_tfidf { both.ln_1p() } else { both }) as f32
            }));
        }
        Ok(block.with_values(out))
    })
}
