//! Term frequency, inverse document frequency.

use crate::data::Csr;
use crate::matrix::{Pass, RowBlock, RowBlocks, run};
use crate::options::Options;
use crate::stats::row_sum;
use crate::{Ctx, DataFault, Error, Result};

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

/// Sums of the columns of values that are at least 0.
struct ColumnSums(usize);

impl Pass for ColumnSums {
    type Partial = Vec<f64>;
    type State = Vec<f64>;
    type Output = Vec<f64>;
    fn start(&self) -> Vec<f64> {
        vec![0.0; self.0]
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Vec<f64>> {
        if let Some(at) = block.values.iter().position(|&value| !(value >= 0.0 && value.is_finite())) {
            let row = block.first_row + block.indptr.partition_point(|&end| end as usize <= at) - 1;
            let fault = if block.values[at] < 0.0 { DataFault::Negative } else { DataFault::NotFinite };
            let found = format!("{} in row {row}, column {}", block.values[at], block.indices[at]);
            return Err(Error::data(fault, "counts", "finite values of at least 0", found));
        }
        let mut sums = vec![0.0; self.0];
        block.indices.iter().zip(block.values).for_each(|(&at, &value)| sums[at as usize] += f64::from(value));
        Ok(sums)
    }
    fn merge(&self, state: &mut Vec<f64>, partial: Vec<f64>) -> Result<()> {
        state.iter_mut().zip(partial).for_each(|(total, sum)| *total += sum);
        Ok(())
    }
    fn finish(&self, state: Vec<f64>) -> Result<Vec<f64>> {
        Ok(state)
    }
}

/// The transform of every block.
struct Weigh<'a> {
    n_rows: usize,
    idf: &'a [f64],
    options: &'a TfidfOptions,
}

impl Pass for Weigh<'_> {
    type Partial = (Vec<u64>, Vec<u32>, Vec<f32>);
    type State = Csr;
    type Output = Csr;
    fn start(&self) -> Csr {
        Csr { n_rows: self.n_rows, n_cols: self.idf.len(), indptr: vec![0], indices: Vec::new(), values: Vec::new() }
    }
    fn block(&self, block: &RowBlock<'_>) -> Result<Self::Partial> {
        let mut out = Vec::with_capacity(block.values.len());
        for (_, columns, values) in block.rows() {
            let total = row_sum(values);
            let factor = if total > 0.0 { self.options.scale_factor / total } else { 0.0 };
            out.extend(columns.iter().zip(values).map(|(&column, &value)| {
                let scaled = f64::from(value) * factor;
                let tf = if self.options.log_tf { scaled.ln_1p() } else { scaled };
                let both = tf * self.idf[column as usize];
                (if self.options.log_tfidf { both.ln_1p() } else { both }) as f32
            }));
        }
        Ok((block.indptr.to_vec(), block.indices.to_vec(), out))
    }
    fn merge(&self, state: &mut Csr, (indptr, indices, values): Self::Partial) -> Result<()> {
        let base = state.indices.len() as u64;
        state.indptr.extend(indptr[1..].iter().map(|&end| base + end));
        state.indices.extend(indices);
        state.values.extend(values);
        Ok(())
    }
    fn finish(&self, state: Csr) -> Result<Csr> {
        Ok(state)
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
    let sums = run(source, &ColumnSums(source.n_cols()), "tf-idf: totals", ctx)?;
    let idf: Vec<f64> = sums
        .into_iter()
        .map(|sum| {
            let idf = if sum > 0.0 { n_rows as f64 / sum } else { 0.0 };
            if options.log_idf { idf.ln_1p() } else { idf }
        })
        .collect();
    run(source, &Weigh { n_rows, idf: &idf, options }, "tf-idf", ctx)
}
